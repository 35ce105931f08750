"""Engines as a person sets them up: what is installed, runs and answers, and the orders to install, start, stop and update.

The worker does the work. Orders go to it, and its state comes back, as files of `<data>/engines/<name>`: an order that was
taken is on disk, outlives a closed page and a restart, and is done once a worker runs.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import psutil
from filelock import FileLock, Timeout
from pydantic import Field, StringConstraints, ValidationError

from studio.contracts import Asked, Contract, EngineState, Health, Inventory, Problem, ServerState, new_id
from studio.errors import Conflict, InvalidFieldValue, MissingRequiredField, NotFound, from_os_error
from studio.files import write_atomically
from studio.pins import AITOOLKIT, COMFYUI, PROGRAMS, Pin, Program, pin_of
from studio.settings import Settings, reread

EMBEDDED = "embedded"
EMBEDDED_TITLE = "Embedded engine"
MOST_OF_A_LOG = 256 * 2**10
WATCHED = frozenset({"install", "update", "start"})
WAITS = "It waits for its turn."


class Order(Contract):
    """What a person wants done. `commit` is for install and update, `folder` for adopt."""

    id: str
    act: str = Field(description="install | update | start | stop | remove | find | refresh | adopt")
    commit: str = ""
    folder: str = ""


class Installation(Contract):
    """A program on this computer. `own` when Likeness installed it: only then can it be updated and removed.

    `torch` is the build it was given, by its name in the pins file; empty where it has its torch from elsewhere.
    """

    folder: str
    python: str
    version: str
    commit: str = ""
    own: bool = False
    torch: str = ""


class WorkState(StrEnum):
    """How far work on an engine is."""

    running = "running"
    done = "done"
    failed = "failed"
    cancelled = "cancelled"

    @property
    def ended(self) -> bool:
        """True when nothing more will be told of it."""
        return self is not WorkState.running


class Managed(Contract):
    """What the worker last wrote of a program on this computer. `born` is the process's own start, in Unix seconds."""

    installation: Installation | None = None
    wanted: bool = False
    pid: int | None = None
    born: float = 0
    port: int = 0
    order: str = ""
    act: str = ""
    progress: float = 0
    note: str = ""
    ended: WorkState = Field(default=WorkState.done, description="how the last order ended")
    problem: Problem | None = None
    found_urls: tuple[str, ...] = ()
    found_folders: tuple[str, ...] = ()
    looked: bool = False

    @property
    def alive(self) -> bool:
        """True while the very process that was started runs; another one that got its number is not it."""
        return is_alive(self.pid, self.born)

    @property
    def url(self) -> str:
        """Where it answers; empty before it was first started."""
        return f"http://127.0.0.1:{self.port}" if self.port else ""


class EngineInfo(Contract):
    """One engine. `action_required` is what to do next before it makes pictures or trains; None when it can, or when only waiting helps.

    `actions` are all that can be done now: connect, find, refresh, install, start, stop, update, remove, cancel. AI-Toolkit is no server:
    it is `running` while a training runs with it, and `reachable` when one could.
    """

    name: str
    title: str
    state: str = Field(
        description="not_installed | installed | running | asking (no answer is known yet) | reachable | offline; AI-Toolkit: "
        "not_installed | installed | training | unusable (the folder that is set has none)"
    )
    installed: bool
    running: bool
    reachable: bool
    action_required: str | None
    actions: tuple[str, ...] = ()
    problem: str = ""
    remedy: str = ""
    busy: str = Field(default="", description="what is being done: install, update, start, stop, remove, find, refresh, adopt")
    progress: float = 0
    note: str = ""
    servers: tuple[ServerState, ...] = ()
    version: str = ""
    commit: str = ""
    folder: str = ""
    url: str = ""
    own: bool = Field(default=False, description="Likeness installed it; false for a folder of somebody's own, which is never changed")
    licence: str = Field(default="", description="of the program, not of what it makes")
    fixed_by: str = Field(default="", description="where its folder is fixed, so that nothing here can change it")
    disk_mb: int = Field(default=0, description="about what an installation takes, at least and without models")
    update_to: str = Field(default="", description="the commit that `update` installs; empty where the installed one is it")
    update_version: str = ""
    looked: bool = False
    found_urls: tuple[str, ...] = ()
    found_folders: tuple[str, ...] = ()


class EngineLog(Contract):
    """A piece of a log, oldest line first."""

    lines: tuple[str, ...]
    unfinished: str = Field(default="", description="a line that is still being written, such as a progress bar")
    next: str = Field(description="give it as `after` to get what is written from here on")
    anew: bool = Field(description="true when this doesn't go on from `after`: the log is another one by now, or far longer")


class EngineWork(Contract):
    """What is being done with an engine that takes long enough to be watched from every tab. `act` is install, update or start."""

    name: str
    title: str
    order: str
    act: str
    state: WorkState = WorkState.running
    progress: float
    note: str
    problem: str = ""
    remedy: str = ""


class Connect(Asked):
    """What to use: a ComfyUI by addresses of running servers with commas between them (empty forgets them) or by its folder on this
    computer; an AI-Toolkit by its folder (empty forgets it).
    """

    url: Annotated[str, StringConstraints(strip_whitespace=True, max_length=2000)] | None = None
    folder: Annotated[str, StringConstraints(strip_whitespace=True, max_length=2000)] | None = None


class Engines:
    """The engines of one data root, as the page, the API and the command line see them. Asks no engine and no network."""

    def __init__(
        self,
        settings: Settings,
        health: Callable[[], Health],
        inventory: Callable[[], Inventory],
        change: Callable[[dict[str, str | None]], object],
        fixed: Callable[[str], str] = lambda _: "",
        trains: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """`fixed` says where a setting is fixed, `trains` whether a training runs with an engine."""
        self._settings = settings
        self._health = health
        self._inventory = inventory
        self._change = change
        self._fixed = fixed
        self._trains = trains

    def engines(self) -> tuple[EngineInfo, ...]:
        """Every engine and how it is."""
        return tuple(self.engine(name) for name in (EMBEDDED, *PROGRAMS))

    def engine(self, name: str) -> EngineInfo:
        """One engine. Raises NotFound."""
        if name == EMBEDDED:
            return _embedded(self._health())
        if name not in PROGRAMS:
            raise NotFound(f"There is no engine “{name}”.", remedy="GET /api/v1/engines lists them.")
        program, settings = PROGRAMS[name], reread(self._settings)
        folder = managed_folder(settings, program)
        managed, order, health, pin = read_managed(folder), waiting(folder), self._health(), pin_of(settings, program)
        if program is COMFYUI:
            return _comfyui(managed, order, self._inventory(), health, pin, settings)
        return _toolkit(managed, order, health, pin, settings, self._fixed("aitoolkit_path"), self._trains(name))

    def connect(self, name: str, wish: Connect) -> EngineInfo:
        """Use running servers by their addresses, or a folder with the program in it, as it lies there.

        Raises MissingRequiredField, InvalidFieldValue, Conflict where the environment fixes it, NotFound.
        """
        program = self._program(name)
        if program is AITOOLKIT:
            return self._use_toolkit(wish)
        if wish.url is None and not wish.folder:
            raise MissingRequiredField("Neither an address nor a folder was given.", field="url")
        if wish.folder:
            folder = Path(wish.folder).expanduser()
            if not COMFYUI.is_in(folder):
                raise InvalidFieldValue(
                    f"There is no ComfyUI in “{wish.folder}”.", field="folder", remedy="Choose the folder that holds its main.py."
                )
            if python_of(folder) is None:
                raise InvalidFieldValue(
                    f"The ComfyUI in “{wish.folder}” has no Python environment of its own.",
                    field="folder",
                    remedy="Start it yourself and connect to its address, or let Likeness install one.",
                )
            return self._order(program, "adopt", folder=str(folder))
        self._change({"comfyui_url": wish.url or None})
        return self.engine(name)

    def install(self, name: str, commit: str | None = None) -> EngineInfo:
        """Have it installed, the pinned commit where none is said. An interrupted installation goes on. Raises Conflict, NotFound."""
        program = self._program(name)
        if program is AITOOLKIT and (used := reread(self._settings).aitoolkit_path):
            raise Conflict(
                f"An AI-Toolkit of your own is used, in “{used}”.",
                remedy="Remove it first: its folder is only forgotten, nothing in it is changed.",
            )
        there = read_managed(managed_folder(self._settings, program)).installation
        if there and there.own:
            raise Conflict(f"{program.title} {there.version} is installed already.", remedy="Update it, or remove it first.")
        return self._order(program, "install", commit=self._commit(program, commit))

    def update(self, name: str, commit: str | None = None) -> EngineInfo:
        """Have another commit installed; one that doesn't start is taken back. Raises Conflict, InvalidFieldValue, NotFound."""
        program = self._program(name)
        there = self._installation(program)
        if not there.own or (program is AITOOLKIT and reread(self._settings).aitoolkit_path):
            raise Conflict(f"This {program.title} was not installed by Likeness.", remedy="Update it the way it was installed.")
        wanted = self._commit(program, commit)
        if wanted == there.commit:
            raise Conflict("This commit is installed already.", remedy="Name another one.")
        self._check_rest(program)
        return self._order(program, "update", commit=wanted)

    def remove(self, name: str) -> EngineInfo:
        """Stop it and move it to the trash folder of the engines; of one that was there before, only the note goes.

        Raises Conflict while a training runs with it, and where the environment fixes its folder.
        """
        program = self._program(name)
        self._check_rest(program)
        if program is AITOOLKIT and reread(self._settings).aitoolkit_path:
            managed = read_managed(managed_folder(self._settings, program))
            if not self._fixed("aitoolkit_path") or managed.installation is None:
                self._change({"aitoolkit_path": None})
                return self.engine(name)
        self._installation(program)
        return self._order(program, "remove")

    def start(self, name: str) -> EngineInfo:
        """Have the ComfyUI of this computer started; it starts again with the studio until it is stopped. Raises Conflict, NotFound."""
        self._installation(self._server(name))
        return self._order(COMFYUI, "start")

    def stop(self, name: str) -> EngineInfo:
        """Have it stopped. Raises Conflict, NotFound."""
        self._installation(self._server(name))
        return self._order(COMFYUI, "stop")

    def find(self, name: str) -> EngineInfo:
        """Have the worker look for one on this computer; what it finds stands in `found_urls` and `found_folders`."""
        return self._order(self._program(name), "find")

    def refresh(self, name: str) -> EngineInfo:
        """Have every server asked now for its models, LoRAs and nodes, instead of within a minute. Raises Conflict where there is none."""
        if self._program(name) is AITOOLKIT:
            raise Conflict("AI-Toolkit has no lists that could be read anew.", remedy="Its models are chosen by name for each training.")
        if "refresh" not in (info := self.engine(name)).actions and not info.busy:
            raise Conflict("No ComfyUI is connected or runs.", remedy="Connect one by its address, or start the one of this computer.")
        return self._order(COMFYUI, "refresh")

    def cancel(self, name: str) -> EngineInfo:
        """Stop what is being done. What was downloaded is kept. Raises Conflict when nothing is."""
        folder = managed_folder(self._settings, self._program(name))
        order = waiting(folder)
        if order is None:
            raise Conflict("Nothing is being done with this engine.")
        _write(folder / "cancel", order.id.encode())
        return self.engine(name)

    def log(self, name: str, which: str | None = None, lines: int = 200, after: str = "") -> EngineLog:
        """The last lines of a log, or what was written `after` another piece of it. `server` is what ComfyUI says, `install` what an
        installation said; None is the first where there is one. Raises NotFound, Conflict, and InvalidFieldValue for an `after` that no
        piece said.
        """
        program = self._program(name)
        if program is AITOOLKIT and which == "server":
            raise Conflict("AI-Toolkit is no server: each training has a log of its own.", remedy="Ask for the log of its installation.")
        which = which or ("server" if program is COMFYUI else "install")
        return read_log(managed_folder(self._settings, program) / f"{which}.log", lines, after)

    def work(self, told: EngineWork | None = None) -> EngineWork | None:
        """What is being done now, of what is worth watching; that of the engine which was `told` of before another's. Cheap: it reads a
        file or two.
        """
        for program in sorted(PROGRAMS.values(), key=lambda one: told is None or one.name != told.name):
            folder = managed_folder(self._settings, program)
            order = waiting(folder)
            if order is None or order.act not in WATCHED:
                continue
            managed = read_managed(folder)
            begun = managed.order == order.id
            return EngineWork(
                name=program.name,
                title=program.title,
                order=order.id,
                act=order.act,
                progress=managed.progress if begun else 0,
                note=managed.note if begun else WAITS,
            )
        return None

    def outcome(self, work: EngineWork) -> EngineWork:
        """How work stands that `work` told of: how it ended, once it has."""
        folder = managed_folder(self._settings, PROGRAMS[work.name])
        if (order := waiting(folder)) is not None and order.id == work.order:
            return work
        managed = read_managed(folder)
        problem = managed.problem
        told = {"problem": problem.message, "remedy": problem.remedy} if problem else {}
        return work.model_copy(update={"state": managed.ended, **told})

    def _program(self, name: str) -> Program:
        if name == EMBEDDED:
            raise Conflict("The embedded engine is part of Likeness: there is nothing to install, start or connect.")
        if name not in PROGRAMS:
            raise NotFound(f"There is no engine “{name}”.", remedy="GET /api/v1/engines lists them.")
        return PROGRAMS[name]

    def _server(self, name: str) -> Program:
        if self._program(name) is AITOOLKIT:
            raise Conflict("AI-Toolkit is neither started nor stopped: it runs while a training does.", remedy="Start or stop a training.")
        return COMFYUI

    def _use_toolkit(self, wish: Connect) -> EngineInfo:
        if wish.url:
            raise InvalidFieldValue("AI-Toolkit has no address.", field="url", remedy="Give the folder that holds its run.py.")
        if wish.folder is None:
            raise MissingRequiredField("No folder was given.", field="folder", remedy="Give the folder that holds its run.py.")
        self._check_rest(AITOOLKIT)
        folder = Path(wish.folder).expanduser()
        if wish.folder and (problem := unfit_toolkit(folder)):
            problem.field = "folder"
            raise problem
        self._change({"aitoolkit_path": str(folder.absolute()) if wish.folder else None})
        return self.engine(AITOOLKIT.name)

    def _check_rest(self, program: Program) -> None:
        if program is AITOOLKIT and self._trains(program.name):
            raise Conflict("A training runs with this AI-Toolkit.", remedy="Wait until it has ended, or stop it on the Train tab.")

    def _installation(self, program: Program) -> Installation:
        found = read_managed(managed_folder(self._settings, program)).installation
        if found is None:
            raise Conflict(
                f"There is no {program.title} of this studio on this computer.", remedy="Install it, or choose the folder it is in."
            )
        return found

    def _commit(self, program: Program, commit: str | None) -> str:
        if commit is None:
            return pin_of(reread(self._settings), program).commit
        if len(commit) != 40 or set(commit) - set("0123456789abcdef"):
            raise InvalidFieldValue("A commit is named by its 40 letters and digits.", field="commit", remedy="Copy it whole.")
        return commit

    def _order(self, program: Program, act: str, *, commit: str = "", folder: str = "") -> EngineInfo:
        root = managed_folder(self._settings, program)
        try:
            root.mkdir(parents=True, exist_ok=True)
            with FileLock(root / ".order.lock", timeout=5):
                there = waiting(root)
                # A search, which nobody may have asked for, makes way.
                if there is not None and (there.act != "find" or act == "find"):
                    raise Conflict(f"{program.title} is busy: {there.act}.", remedy="Wait until it is done, or cancel it.")
                (root / "cancel").unlink(missing_ok=True)
                write_atomically(root / "order.json", Order(id=new_id(), act=act, commit=commit, folder=folder).model_dump_json().encode())
        except Timeout as error:
            raise Conflict(f"Another command is ordering something of {program.title}.", remedy="Try again in a moment.") from error
        except OSError as error:
            raise from_os_error(error, "note what you want") from error
        return self.engine(program.name)


def managed_folder(settings: Settings, program: Program = COMFYUI) -> Path:
    """Where everything of a program of this studio lies."""
    return settings.data / "engines" / program.name


def has_toolkit(settings: Settings) -> bool:
    """Whether an AI-Toolkit is set up: somebody's own, or one that Likeness installed."""
    return settings.aitoolkit_path is not None or read_managed(managed_folder(settings, AITOOLKIT)).installation is not None


def unfit_toolkit(folder: Path) -> InvalidFieldValue | None:
    """Why a folder can't be used as an AI-Toolkit; None where it can."""
    if not (folder / "run.py").is_file():
        return InvalidFieldValue(
            f"There is no AI-Toolkit in “{folder}”.", remedy="Choose the folder that has its run.py.", field="aitoolkit_path"
        )
    if python_of(folder) is None:
        return InvalidFieldValue(
            f"The AI-Toolkit in “{folder}” has no environment of its own.",
            remedy="Make one there, as its own instructions say: a folder `venv` with its packages.",
            field="aitoolkit_path",
        )
    return None


def read_managed(folder: Path) -> Managed:
    """What the worker last wrote; nothing installed where it wrote nothing that can be read."""
    try:
        return Managed.model_validate_json((folder / "state.json").read_bytes())
    except (OSError, ValidationError):
        return Managed()


def waiting(folder: Path) -> Order | None:
    """The order that is not done yet."""
    try:
        return Order.model_validate_json((folder / "order.json").read_bytes())
    except (OSError, ValidationError):
        return None


def is_alive(pid: int | None, born: float) -> bool:
    """True while the process of that number and that start runs."""
    if not pid:
        return False
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - born) < 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def python_of(folder: Path) -> Path | None:
    """The Python of the environment in a program's folder; None where it has none."""
    for name in ("venv", ".venv"):
        for program in ("bin/python", "Scripts/python.exe"):
            if (folder / name / program).is_file():
                return folder / name / program
    portable = folder.parent / "python_embeded" / "python.exe"
    return portable if portable.is_file() else None


def tail(path: Path, lines: int) -> tuple[str, ...]:
    """The last lines of a text file; none where it isn't there."""
    piece = read_log(path, lines)
    return (*piece.lines, *([piece.unfinished] if piece.unfinished else ()))[-lines:]


def read_log(path: Path, lines: int, after: str = "") -> EngineLog:
    """The last lines of a log that is being written, or those after another piece. Raises InvalidFieldValue for an odd `after`."""
    known, offset = _place(after)
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            goes_on = known == status.st_ino and offset <= status.st_size <= offset + MOST_OF_A_LOG
            start = offset if goes_on else max(0, status.st_size - MOST_OF_A_LOG)
            file.seek(start)
            said = file.read(MOST_OF_A_LOG)
    except OSError:
        return EngineLog(lines=(), next="", anew=True)
    whole, _, rest = said.rpartition(b"\n")
    end = start + len(said) - len(rest)
    found = tuple(line for raw in whole.split(b"\n") if (line := _shown(raw)))
    if not goes_on:
        # The first one may have lost its beginning.
        found = found[1 if start else 0 :][-lines:]
    return EngineLog(lines=found, unfinished=_shown(rest), next=f"{status.st_ino}-{end}", anew=not goes_on)


def _shown(raw: bytes) -> str:
    # A progress bar writes its line again and again; colours are for terminals.
    line = raw.decode("utf-8", "replace").rstrip("\r").rpartition("\r")[2].rstrip()
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line)


def _place(after: str) -> tuple[int, int]:
    if not after:
        return -1, 0
    if not (match := re.fullmatch(r"(\d{1,20})-(\d{1,20})", after)):
        raise InvalidFieldValue("That place in a log is not one of ours.", field="after", remedy="Start again without it.")
    return int(match[1]), int(match[2])


def servers_at(urls: Sequence[str], inventory: Inventory) -> tuple[ServerState, ...]:
    """The servers of some addresses, as the worker last saw them; one that it did not look for yet is left out."""
    # A server that was forgotten a moment ago is still in what the worker saw. It writes hosts in small letters.
    wanted = {url.casefold() for url in urls}
    return tuple(server for server in inventory.servers if server.url.casefold() in wanted)


def _write(path: Path, data: bytes) -> None:
    try:
        write_atomically(path, data)
    except OSError as error:
        raise from_os_error(error, "note what you want") from error


def _embedded(health: Health) -> EngineInfo:
    told = next((engine for engine in health.engines if engine.name == EMBEDDED), EngineState(name=EMBEDDED, state="asleep"))
    up = health.worker == "running"
    return EngineInfo(
        name=EMBEDDED,
        title=EMBEDDED_TITLE,
        state="reachable" if up else "installed",
        installed=True,
        running=up,
        reachable=up,
        action_required=None,
        problem="" if up else "The part that makes pictures is not running.",
        remedy="" if up else "The studio starts it again by itself; wait a few seconds.",
        note=told.note,
    )


def _comfyui(managed: Managed, order: Order | None, inventory: Inventory, health: Health, pin: Pin, settings: Settings) -> EngineInfo:
    there, up = managed.installation, managed.alive
    urls = [url.strip() for url in settings.comfyui_url.split(",") if url.strip()]
    servers = servers_at([*urls, managed.url] if up else urls, inventory) if health.worker == "running" else ()
    reachable = any(server.state == "reachable" for server in servers)
    installed = there is not None
    if reachable:
        state = "reachable"
    elif up:
        state = "running"
    elif urls:
        asking = health.worker == "running" and (len(servers) < len(urls) or any(server.state == "asking" for server in servers))
        state = "asking" if asking else "offline"
    else:
        state = "installed" if installed else "not_installed"
    busy = order.act if order else ""
    problem, remedy = "", ""
    if managed.problem and not order:
        problem, remedy = managed.problem.message, managed.problem.remedy
    elif state == "offline":
        ill = next((server for server in servers if server.problem), None)
        problem, remedy = (ill.problem, ill.remedy) if ill else ("", "")
    if health.worker != "running" and (urls or order):
        problem, remedy = "The part of the studio that looks after ComfyUI is not running.", "Start the studio, or wait a few seconds."
    if busy or state in ("reachable", "running", "asking"):
        required = None
    else:
        required = "start" if installed else "connect" if urls else "install"
    own = there is not None and there.own
    newer = pin.commit if there and own and there.commit != pin.commit else ""
    if busy:
        actions: tuple[str, ...] = ("cancel",)
    else:
        can = {
            "start": installed and not up,
            "stop": installed and (up or managed.wanted),
            "update": bool(newer),
            "install": not installed,
            "connect": True,
            "find": True,
            "refresh": up or bool(urls),
            "remove": installed,
        }
        actions = tuple(name for name, possible in can.items() if possible)
    return EngineInfo(
        name=COMFYUI.name,
        title=COMFYUI.title,
        state=state,
        installed=installed,
        running=up,
        reachable=reachable,
        action_required=required,
        actions=actions,
        problem=problem,
        remedy=remedy,
        busy=busy,
        progress=managed.progress if order and managed.order == order.id else 0,
        note=(managed.note if managed.order == order.id else WAITS) if order else "",
        servers=servers,
        version=there.version if there else "",
        commit=there.commit if there else "",
        folder=there.folder if there else "",
        url=managed.url if up else "",
        own=own,
        licence=pin.licence,
        disk_mb=_disk_mb(pin),
        update_to=newer,
        update_version=pin.version if newer or not installed else "",
        looked=managed.looked,
        found_urls=tuple(url for url in managed.found_urls if url not in urls),
        found_folders=managed.found_folders,
    )


def _toolkit(managed: Managed, order: Order | None, health: Health, pin: Pin, settings: Settings, fixed: str, trains: bool) -> EngineInfo:
    used, there = settings.aitoolkit_path, managed.installation
    unfit = unfit_toolkit(used.expanduser()) if used else None
    installed = used is not None or there is not None
    usable = installed and unfit is None
    state = "unusable" if unfit else "training" if trains and usable else "installed" if installed else "not_installed"
    problem, remedy = "", ""
    if unfit:
        problem, remedy = unfit.message, unfit.remedy
    elif managed.problem and not order:
        problem, remedy = managed.problem.message, managed.problem.remedy
    if health.worker != "running" and order:
        problem, remedy = "The part of the studio that looks after AI-Toolkit is not running.", "Start the studio, or wait a few seconds."
    own = used is None and there is not None and there.own
    newer = pin.commit if own and there and there.commit != pin.commit else ""
    if order:
        actions: tuple[str, ...] = ("cancel",)
    else:
        can = {
            "update": bool(newer) and not trains,
            "install": not installed,
            "connect": not fixed and not trains,
            "find": not fixed,
            "remove": not trains and ((used is not None and not fixed) or there is not None),
        }
        actions = tuple(name for name, possible in can.items() if possible)
    if order or usable:
        required = None
    else:
        required = "connect" if unfit else "install"
    return EngineInfo(
        name=AITOOLKIT.name,
        title=AITOOLKIT.title,
        state=state,
        installed=installed,
        running=trains and usable,
        reachable=usable,
        action_required=required,
        actions=actions,
        problem=problem,
        remedy=remedy,
        busy=order.act if order else "",
        progress=managed.progress if order and managed.order == order.id else 0,
        note=(managed.note if managed.order == order.id else WAITS) if order else "",
        version=AITOOLKIT.version_in(used.expanduser()) if used else there.version if there else "",
        commit=there.commit if own and there else "",
        folder=str(used) if used else there.folder if there else "",
        own=own,
        licence=pin.licence,
        fixed_by=fixed,
        disk_mb=_disk_mb(pin),
        update_to=newer,
        update_version=pin.version if newer or not installed else "",
        looked=managed.looked,
        found_folders=tuple(folder for folder in managed.found_folders if used is None or folder != str(used)),
    )


def _disk_mb(pin: Pin) -> int:
    return min((torch.disk_mb for torch in pin.torch.values()), default=0)
