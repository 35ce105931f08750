"""The ComfyUI of this computer: orders are taken from a file, done one after another, and its process is looked after.

It listens on 127.0.0.1 alone. It ends with the studio and starts with it again; one that outlived a crash of ours is taken up again.
"""

from __future__ import annotations

import json
import logging
import os
import shlex
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from engines.comfyui.install import install
from engines.comfyui.server import ComfyServer
from engines.comfyui.torch_builds import CPU, choose, this_machine
from studio.contracts import Problem
from studio.errors import Conflict, EngineFailed, InvalidFieldValue, LikenessError, UnknownError, from_os_error
from studio.files import replace_quickly, write_atomically
from studio.managed import (
    Installation,
    Order,
    WorkState,
    is_alive,
    is_comfyui,
    managed_folder,
    pins,
    python_of,
    read_managed,
    tail,
    version_in,
    waiting,
)
from studio.settings import Settings

LOOK_S = 0.3
SAY_S = 0.5
PATIENCE_S = 300.0
STOP_S = 10.0
FIRST_PORT, PORTS_TRIED = 8188, 100
FALLS = 3
PROVEN_AFTER_S = 120.0
LARGEST_LOG = 20_000_000
OURS = ("--listen", "--port", "--base-directory", "--extra-model-paths-config", "--tls-keyfile", "--tls-certfile", "--enable-cors-header")
COMMON = ("ComfyUI", "comfyui", "Documents/ComfyUI", "Desktop/ComfyUI", "ComfyUI_windows_portable/ComfyUI", "git/ComfyUI", "src/ComfyUI")
ELSEWHERE = ("/workspace/ComfyUI", "/opt/ComfyUI", "/root/ComfyUI", "/comfyui")

log = logging.getLogger(__name__)


class Halted(Exception):
    """The worker is being stopped: the order stays and is done after the next start."""


class Revoked(Exception):
    """The person cancelled the order."""


class ManagedComfy:
    """Does what is ordered of the ComfyUI of this computer, in a thread of its own. One per data root: it needs the worker's lock."""

    def __init__(self, settings: Callable[[], Settings]) -> None:
        self._settings = settings
        self._root = managed_folder(settings())
        self._state = read_managed(self._root)
        self._closed = threading.Event()
        self._said = 0.0
        self._falls = 0
        self._again_at = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._look_after, name="managed-comfyui", daemon=True)
        self._thread.start()

    def urls(self) -> tuple[str, ...]:
        """Where the one that was started answers; nothing while none runs."""
        state = self._state
        return (state.url,) if state.pid and state.url else ()

    def close(self) -> None:
        """Put what is being done back, and end the server: nobody would look after it any more."""
        self._closed.set()
        self._thread.join(STOP_S)
        if self._state.alive:
            self._end()

    def _look_after(self) -> None:
        while not self._closed.is_set():
            try:
                order = waiting(self._root)
                if order is not None:
                    self._do(order)
                self._keep_running()
            except Halted:
                return
            except LikenessError as error:
                log.warning("ComfyUI of this computer: %s %s", error.code, error.message)
            except Exception:  # looking after it must outlive any one fault
                log.exception("Looking after ComfyUI failed")
            self._closed.wait(LOOK_S)

    def _do(self, order: Order) -> None:
        log.info("ComfyUI of this computer: %s", order.act)
        self._tell(order=order.id, act=order.act, progress=0, note="", problem=None)
        problem: LikenessError | None = None
        ended = WorkState.done
        try:
            _ACTS[order.act](self, order)
        except Halted:
            raise
        except Revoked:
            log.info("Cancelled: %s", order.act)
            ended = WorkState.cancelled
        except LikenessError as error:
            problem = error
        except OSError as error:
            problem = from_os_error(error, f"{order.act} ComfyUI")
        except Exception:  # an order ends here, whatever went wrong in it
            log.exception("The order failed with a fault of our own")
            problem = UnknownError(f"Could not {order.act} ComfyUI: a fault of our own.")
        if problem:
            log.error("ComfyUI of this computer: %s %s", problem.code, problem.message)
        told = problem and Problem(code=problem.code, message=problem.message, remedy=problem.remedy, field=problem.field)
        try:
            self._tell(order="", act="", progress=0, note="", problem=told, ended=WorkState.failed if told else ended)
        finally:
            # Also on a full disk: an order that failed must not be tried for ever.
            (self._root / "order.json").unlink(missing_ok=True)
            (self._root / "cancel").unlink(missing_ok=True)

    # What can be ordered

    def _install(self, order: Order) -> None:
        found = self._installed(order.commit)
        self._tell(installation=found, wanted=False)

    def _update(self, order: Order) -> None:
        before, ran = self._there(), self._state.alive or self._state.wanted
        found = self._installed(order.commit)
        self._end()
        self._tell(installation=found, note="Trying the new one", progress=0.98)
        try:
            self._start(order)
        except (LikenessError, Revoked, Halted) as error:
            log.warning("The new ComfyUI does not start: the one before is taken again")
            self._end()
            self._tell(installation=before, wanted=ran)
            _throw_away(found)
            if isinstance(error, LikenessError):
                raise EngineFailed(
                    f"The new ComfyUI did not start, so the one before was kept: {error.message}", remedy=error.remedy
                ) from error
            raise
        self._tell(wanted=ran)
        if not ran:
            self._end()
        _throw_away(before)

    def _remove(self, order: Order) -> None:
        there = self._there()
        self._end()
        if there.own:
            trash = self._root.parent / "trash" / f"comfyui-{time.strftime('%Y%m%d-%H%M%S')}"
            trash.mkdir(parents=True)
            for name in ("versions", "base", "downloads", "server.log", "install.log"):
                if (self._root / name).exists():
                    (self._root / name).rename(trash / name)
        self._tell(installation=None, wanted=False, port=0)

    def _adopt(self, order: Order) -> None:
        folder = Path(order.folder)
        python = python_of(folder)
        if not is_comfyui(folder) or python is None:
            raise InvalidFieldValue(f"There is no ComfyUI with an environment of its own in “{folder}”.", field="folder")
        if self._state.installation and self._state.installation.own:
            raise Conflict("Likeness has installed a ComfyUI already.", remedy="Remove it first.")
        self._end()
        self._tell(installation=Installation(folder=str(folder), python=str(python), version=version_in(folder)), wanted=False)

    def _find(self, order: Order) -> None:
        urls = [url for port in (8188, 8000) if _is_comfyui(url := f"http://127.0.0.1:{port}")]
        home = Path.home()
        places = [*(home / name for name in COMMON), *(Path(name) for name in ELSEWHERE)]
        folders = [str(place) for place in dict.fromkeys(places) if is_comfyui(place)]
        own = self._state.url if self._state.alive else ""
        self._tell(found_urls=tuple(url for url in urls if url != own), found_folders=tuple(folders), looked=True)

    def _start(self, order: Order | None) -> None:
        there = self._there()
        if self._state.alive:
            self._tell(wanted=True)
            return
        folder, settings = self._root, self._settings()
        if not Path(there.python).is_file() or not is_comfyui(Path(there.folder)):
            raise EngineFailed(f"The ComfyUI in {there.folder} is not whole any more.", remedy="Remove it and install it again.")
        more = extra_arguments(settings)
        port = _free_port(self._state.port)
        command = [there.python, "main.py", "--listen", "127.0.0.1", "--port", str(port), "--disable-auto-launch"]
        command += ["--extra-model-paths-config", str(_model_paths(folder, settings))]
        if there.own:
            base = folder / "base"
            for name in ("models", "input", "output", "temp", "user", "custom_nodes"):
                (base / name).mkdir(parents=True, exist_ok=True)
            command += ["--base-directory", str(base), "--database-url", f"sqlite:///{base / 'user' / 'comfyui.db'}"]
            if "--cpu" not in more and (there.torch or choose(this_machine()).build) == CPU:
                command.append("--cpu")
        command += more
        path = folder / "server.log"
        if path.is_file() and path.stat().st_size > LARGEST_LOG:
            path.replace(folder / "server.log.1")
        self._say(0.1, "Starting ComfyUI")
        with path.open("ab") as output:
            output.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} $ {shlex.join(command)}\n".encode())
            output.flush()
            # A session of its own: it outlives a crash of this process, and jobs on it are not lost.
            self._process = subprocess.Popen(
                command,
                cwd=there.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={name: value for name, value in os.environ.items() if not name.startswith("LIKENESS_") and "TOKEN" not in name},
            )
        pid = self._process.pid
        self._tell(wanted=True, pid=pid, born=_born(pid), port=port)
        try:
            self._await_answer()
        except Revoked:
            self._tell(wanted=False)
            self._end()
            raise
        except LikenessError:
            self._tell(wanted=False)
            self._end()
            raise

    def _stop(self, order: Order) -> None:
        self._tell(wanted=False)
        self._end()

    # What they are made of

    def _there(self) -> Installation:
        if self._state.installation is None:
            raise Conflict("There is no ComfyUI of this studio on this computer.", remedy="Install it, or choose the folder it is in.")
        return self._state.installation

    def _installed(self, commit: str) -> Installation:
        settings = self._settings()
        pin = pins(settings).comfyui
        return install(self._root, pin, commit, self._say, shared=settings.comfyui_python, build=settings.comfyui_torch)

    def _await_answer(self) -> None:
        began = time.monotonic()
        with ComfyServer(self._state.url, patience_s=3.0) as server:
            while True:
                waited = time.monotonic() - began
                self._say(min(0.9, 0.1 + waited / 60), "Waiting for ComfyUI to answer")
                if not is_alive(self._state.pid, self._state.born):
                    last = " ".join(tail(self._root / "server.log", 3))
                    raise EngineFailed(f"ComfyUI ended while it was starting: {last[-400:]}", remedy="Look at its log.")
                try:
                    server.system_stats()
                    return
                except LikenessError as error:
                    if waited > PATIENCE_S:
                        raise EngineFailed("ComfyUI did not answer within five minutes of its start.", remedy="Look at its log.") from error
                time.sleep(0.2)

    def _keep_running(self) -> None:
        state = self._state
        if state.pid and not state.alive:
            log.warning("ComfyUI of this computer ended by itself")
            self._reap()
            self._tell(pid=None, born=0)
            self._falls += 1
            self._again_at = time.monotonic() + 2.0**self._falls
        if not state.wanted or state.alive or time.monotonic() < self._again_at:
            return
        if self._falls > FALLS:
            last = " ".join(tail(self._root / "server.log", 3))
            problem = Problem(
                code=EngineFailed.code, message=f"ComfyUI ended by itself again and again: {last[-400:]}", remedy="Look at its log."
            )
            self._falls = 0
            self._tell(wanted=False, problem=problem)
            return
        try:
            self._start(None)
        except LikenessError as error:
            self._tell(problem=Problem(code=error.code, message=error.message, remedy=error.remedy))
        except Revoked:
            pass

    def _end(self) -> None:
        """End the server, gently at first. Nothing happens where none runs."""
        state = self._state
        if state.alive and state.pid:
            _signal(state.pid, gently=True)
            until = time.monotonic() + STOP_S / 2
            while is_alive(state.pid, state.born) and time.monotonic() < until:
                self._reap()
                time.sleep(0.05)
            if is_alive(state.pid, state.born):
                _signal(state.pid, gently=False)
                time.sleep(0.1)
        self._reap()
        self._falls = 0
        self._tell(pid=None, born=0)

    def _reap(self) -> None:
        if self._process is not None and self._process.poll() is not None:
            self._process = None

    def _say(self, progress: float, note: str) -> None:
        if self._closed.is_set():
            raise Halted
        now = time.monotonic()
        if now - self._said >= SAY_S or (note and note.partition(":")[0] != self._state.note.partition(":")[0]):
            self._said = now
            if self._revoked():
                raise Revoked
            changes = {"progress": max(0.0, min(progress, 1.0)), **({"note": note} if note else {})}
            self._state = self._state.model_copy(update=changes)
            try:
                # Read by the page every second; a power cut may take it.
                replace_quickly(self._root / "state.json", self._state.model_dump_json().encode())
            except OSError as error:
                raise from_os_error(error, "note how far ComfyUI is") from error

    def _revoked(self) -> bool:
        try:
            return (self._root / "cancel").read_text("ascii") == self._state.order != ""
        except OSError:
            return False

    def _tell(self, **changes: object) -> None:
        self._state = self._state.model_copy(update=changes)
        write_atomically(self._root / "state.json", self._state.model_dump_json().encode())


_ACTS: dict[str, Callable[[ManagedComfy, Order], None]] = {
    "install": ManagedComfy._install,
    "update": ManagedComfy._update,
    "remove": ManagedComfy._remove,
    "adopt": ManagedComfy._adopt,
    "find": ManagedComfy._find,
    "start": ManagedComfy._start,
    "stop": ManagedComfy._stop,
}


def extra_arguments(settings: Settings) -> list[str]:
    """The person's own arguments for ComfyUI. Raises InvalidFieldValue for those that say where it listens and where its files lie."""
    try:
        words = shlex.split(settings.comfyui_arguments)
    except ValueError as error:
        raise InvalidFieldValue(f"“comfyui_arguments” can't be read: {error}.", field="comfyui_arguments") from error
    for word in words:
        # It takes every beginning of an argument's name for the argument.
        if word.startswith("--") and any(one.startswith(word.partition("=")[0]) for one in OURS):
            raise InvalidFieldValue(
                f"“{word}” can't be among the arguments of ComfyUI: Likeness sets it.",
                field="comfyui_arguments",
                remedy="Leave it out. The ComfyUI that Likeness starts listens on this computer alone.",
            )
    return words


def _model_paths(folder: Path, settings: Settings) -> Path:
    path = folder / "models.yaml"
    # JSON is YAML, whatever stands in a path.
    folders = {"checkpoints": str(settings.models_path), "loras": str(settings.loras_path)}
    write_atomically(path, json.dumps({"likeness": folders}, indent=1).encode())
    return path


def _is_comfyui(url: str) -> bool:
    with ComfyServer(url, patience_s=2.0) as server:
        try:
            server.system_stats()
        except LikenessError:
            return False
    return True


def _free_port(before: int) -> int:
    for port in (before, *range(FIRST_PORT, FIRST_PORT + PORTS_TRIED)):
        if not port:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise EngineFailed(f"No port from {FIRST_PORT} on is free for ComfyUI.")


def _born(pid: int) -> float:
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return 0.0


def _signal(pid: int, *, gently: bool) -> None:
    try:
        if os.name == "nt":
            psutil.Process(pid).terminate()
        else:
            os.killpg(pid, signal.SIGTERM if gently else signal.SIGKILL)
    except (psutil.Error, ProcessLookupError):
        pass


def _throw_away(installation: Installation) -> None:
    if installation.own:
        shutil.rmtree(Path(installation.folder).parent, ignore_errors=True)
