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
from studio.errors import Conflict, ContractMismatch, InvalidFieldValue, MissingRequiredField, NotFound, from_os_error
from studio.files import write_atomically
from studio.settings import Settings, reread

HOME = Path(__file__).resolve().parent.parent
PINS = HOME / "engines" / "pins.json"
EMBEDDED, COMFYUI = "embedded", "comfyui"
TITLES = {EMBEDDED: "Embedded engine", COMFYUI: "ComfyUI"}
MOST_OF_A_LOG = 256 * 2**10
WATCHED = frozenset({"install", "update", "start"})
WAITS = "It waits for its turn."

Commit = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]


class Torch(Contract):
    """One build of torch: what pip is asked for, from which index (None: the usual one), and the disk that all takes, in MB."""

    packages: tuple[str, ...] = ("torch", "torchvision", "torchaudio")
    index: str | None
    disk_mb: int


class Tree(Contract):
    """The ids of a commit's tree: what git calls it, and what a git that hashes by SHA-256 would call it."""

    sha1: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Pin(Contract):
    """The version of an engine that Likeness was tested with.

    `archive` holds `{commit}`. `tree` is what the pinned commit's archive must hold; None leaves it at the commit that the archive names.
    `constraints` is a file of package versions for the pinned commit, beside the pins file.
    """

    repository: str
    version: str
    commit: Commit
    tree: Tree | None = None
    archive: str
    constraints: str | None = None
    torch: dict[str, Torch]


class Pins(Contract):
    """engines/pins.json."""

    comfyui: Pin


class Order(Contract):
    """What a person wants done. `commit` is for install and update, `folder` for adopt."""

    id: str
    act: str = Field(description="install | update | start | stop | remove | find | adopt")
    commit: str = ""
    folder: str = ""


class Installation(Contract):
    """A ComfyUI on this computer. `own` when Likeness installed it: only then can it be updated and removed.

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
    """What the worker last wrote of the ComfyUI on this computer. `born` is the process's own start, in Unix seconds."""

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
    """One engine. `action_required` is what to do next before it makes pictures; None when it can, or when only waiting helps.

    `actions` are all that can be done now: connect, find, install, start, stop, update, remove, cancel.
    """

    name: str
    title: str
    state: str = Field(description="not_installed | installed | running | asking (no answer is known yet) | reachable | offline")
    installed: bool
    running: bool
    reachable: bool
    action_required: str | None
    actions: tuple[str, ...] = ()
    problem: str = ""
    remedy: str = ""
    busy: str = Field(default="", description="what is being done: install, update, start, stop, remove, find, adopt")
    progress: float = 0
    note: str = ""
    servers: tuple[ServerState, ...] = ()
    version: str = ""
    commit: str = ""
    folder: str = ""
    url: str = ""
    own: bool = False
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
    """Which ComfyUI to use: addresses of running servers with commas between them (empty forgets them), or a folder on this computer."""

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
    ) -> None:
        self._settings = settings
        self._health = health
        self._inventory = inventory
        self._change = change

    def engines(self) -> tuple[EngineInfo, ...]:
        """Every engine and how it is."""
        return (self.engine(EMBEDDED), self.engine(COMFYUI))

    def engine(self, name: str) -> EngineInfo:
        """One engine. Raises NotFound."""
        if name not in TITLES:
            raise NotFound(f"There is no engine “{name}”.", remedy="GET /api/v1/engines lists them.")
        health = self._health()
        if name == EMBEDDED:
            return _embedded(health)
        folder = managed_folder(self._settings)
        return _comfyui(
            read_managed(folder), waiting(folder), self._inventory(), health, pins(reread(self._settings)).comfyui, reread(self._settings)
        )

    def connect(self, name: str, wish: Connect) -> EngineInfo:
        """Use running servers by their addresses, or a folder with a ComfyUI in it.

        Raises MissingRequiredField, InvalidFieldValue, Conflict where the environment fixes the address, NotFound.
        """
        self._own(name)
        if wish.url is None and not wish.folder:
            raise MissingRequiredField("Neither an address nor a folder was given.", field="url")
        if wish.folder:
            folder = Path(wish.folder).expanduser()
            if not is_comfyui(folder):
                raise InvalidFieldValue(
                    f"There is no ComfyUI in “{wish.folder}”.", field="folder", remedy="Choose the folder that holds its main.py."
                )
            if python_of(folder) is None:
                raise InvalidFieldValue(
                    f"The ComfyUI in “{wish.folder}” has no Python environment of its own.",
                    field="folder",
                    remedy="Start it yourself and connect to its address, or let Likeness install one.",
                )
            return self._order(name, "adopt", folder=str(folder))
        self._change({"comfyui_url": wish.url or None})
        return self.engine(name)

    def install(self, name: str, commit: str | None = None) -> EngineInfo:
        """Have it installed, the pinned commit where none is said. An interrupted installation goes on. Raises Conflict, NotFound."""
        self._own(name)
        there = read_managed(managed_folder(self._settings)).installation
        if there and there.own:
            raise Conflict(f"ComfyUI {there.version} is installed already.", remedy="Update it, or remove it first.")
        return self._order(name, "install", commit=self._commit(commit))

    def update(self, name: str, commit: str | None = None) -> EngineInfo:
        """Have another commit installed; one that doesn't start is taken back. Raises Conflict, InvalidFieldValue, NotFound."""
        there = self._installation(name)
        if not there.own:
            raise Conflict("This ComfyUI was not installed by Likeness.", remedy="Update it the way it was installed.")
        wanted = self._commit(commit)
        if wanted == there.commit:
            raise Conflict("This commit is installed already.", remedy="Name another one.")
        return self._order(name, "update", commit=wanted)

    def remove(self, name: str) -> EngineInfo:
        """Stop it and move it to the trash folder of the engines; of a ComfyUI that was there before, only the note goes."""
        self._installation(name)
        return self._order(name, "remove")

    def start(self, name: str) -> EngineInfo:
        """Have the ComfyUI of this computer started; it starts again with the studio until it is stopped. Raises Conflict, NotFound."""
        self._installation(name)
        return self._order(name, "start")

    def stop(self, name: str) -> EngineInfo:
        """Have it stopped. Raises Conflict, NotFound."""
        self._installation(name)
        return self._order(name, "stop")

    def find(self, name: str) -> EngineInfo:
        """Have the worker look for a ComfyUI on this computer; what it finds stands in `found_urls` and `found_folders`."""
        self._own(name)
        return self._order(name, "find")

    def cancel(self, name: str) -> EngineInfo:
        """Stop what is being done. What was downloaded is kept. Raises Conflict when nothing is."""
        self._own(name)
        folder = managed_folder(self._settings)
        order = waiting(folder)
        if order is None:
            raise Conflict("Nothing is being done with this engine.")
        _write(folder / "cancel", order.id.encode())
        return self.engine(name)

    def log(self, name: str, which: str = "server", lines: int = 200, after: str = "") -> EngineLog:
        """The last lines of a log, or what was written `after` another piece of it. `server` is what ComfyUI says, `install` what its
        installation said. Raises NotFound, and InvalidFieldValue for an `after` that no piece said.
        """
        self._own(name)
        return read_log(managed_folder(self._settings) / f"{which}.log", lines, after)

    def work(self) -> EngineWork | None:
        """What is being done now, of what is worth watching. Cheap: it reads a file or two."""
        folder = managed_folder(self._settings)
        order = waiting(folder)
        if order is None or order.act not in WATCHED:
            return None
        managed = read_managed(folder)
        begun = managed.order == order.id
        return EngineWork(
            name=COMFYUI,
            title=TITLES[COMFYUI],
            order=order.id,
            act=order.act,
            progress=managed.progress if begun else 0,
            note=managed.note if begun else WAITS,
        )

    def outcome(self, work: EngineWork) -> EngineWork:
        """How work ended that `work` told of and tells of no more."""
        managed = read_managed(managed_folder(self._settings))
        problem = managed.problem
        told = {"problem": problem.message, "remedy": problem.remedy} if problem else {}
        return work.model_copy(update={"state": managed.ended, **told})

    def _own(self, name: str) -> None:
        self.engine(name)
        if name == EMBEDDED:
            raise Conflict("The embedded engine is part of Likeness: there is nothing to install, start or connect.")

    def _installation(self, name: str) -> Installation:
        self._own(name)
        found = read_managed(managed_folder(self._settings)).installation
        if found is None:
            raise Conflict("There is no ComfyUI of this studio on this computer.", remedy="Install it, or choose the folder it is in.")
        return found

    def _commit(self, commit: str | None) -> str:
        if commit is None:
            return pins(reread(self._settings)).comfyui.commit
        if len(commit) != 40 or set(commit) - set("0123456789abcdef"):
            raise InvalidFieldValue("A commit is named by its 40 letters and digits.", field="commit", remedy="Copy it whole.")
        return commit

    def _order(self, name: str, act: str, *, commit: str = "", folder: str = "") -> EngineInfo:
        root = managed_folder(self._settings)
        try:
            root.mkdir(parents=True, exist_ok=True)
            with FileLock(root / ".order.lock", timeout=5):
                there = waiting(root)
                if there is not None:
                    raise Conflict(f"ComfyUI is busy: {there.act}.", remedy="Wait until it is done, or cancel it.")
                (root / "cancel").unlink(missing_ok=True)
                write_atomically(root / "order.json", Order(id=new_id(), act=act, commit=commit, folder=folder).model_dump_json().encode())
        except Timeout as error:
            raise Conflict("Another command is ordering something of ComfyUI.", remedy="Try again in a moment.") from error
        except OSError as error:
            raise from_os_error(error, "note what you want") from error
        return self.engine(name)


def managed_folder(settings: Settings) -> Path:
    """Where everything of the ComfyUI of this studio lies."""
    return settings.data / "engines" / COMFYUI


def pins(settings: Settings) -> Pins:
    """The pinned versions. Raises ContractMismatch for a file that can't be read."""
    path = settings.engine_pins or PINS
    try:
        found = Pins.model_validate_json(path.read_bytes())
        beside = found.comfyui.constraints
        constraints = str(path.resolve().parent / beside) if beside else None
        return Pins(comfyui=found.comfyui.model_copy(update={"constraints": constraints}))
    except (OSError, ValidationError) as error:
        raise ContractMismatch(f"{path} can't be read.", remedy="Mend it, or unset LIKENESS_ENGINE_PINS.") from error


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


def is_comfyui(folder: Path) -> bool:
    """Whether a folder holds a ComfyUI, by the files that only it has."""
    return all((folder / name).is_file() for name in ("main.py", "nodes.py", "comfyui_version.py"))


def python_of(folder: Path) -> Path | None:
    """The Python of a ComfyUI folder's own environment; None where it has none."""
    for name in ("venv", ".venv"):
        for program in ("bin/python", "Scripts/python.exe"):
            if (folder / name / program).is_file():
                return folder / name / program
    portable = folder.parent / "python_embeded" / "python.exe"
    return portable if portable.is_file() else None


def version_in(folder: Path) -> str:
    """What a ComfyUI folder says of its version; empty where it says nothing."""
    try:
        text = (folder / "comfyui_version.py").read_text("utf-8")
    except OSError:
        return ""
    return text.partition('__version__ = "')[2].partition('"')[0]


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
        title=TITLES[EMBEDDED],
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
            "remove": installed,
        }
        actions = tuple(name for name, possible in can.items() if possible)
    return EngineInfo(
        name=COMFYUI,
        title=TITLES[COMFYUI],
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
        update_to=newer,
        update_version=pin.version if newer or not installed else "",
        looked=managed.looked,
        found_urls=tuple(url for url in managed.found_urls if url not in urls),
        found_folders=managed.found_folders,
    )
