"""The ComfyUI of this computer: orders are taken from a file, done one after another, and its process is looked after.

It listens on 127.0.0.1 alone. It ends with the studio and starts with it again; one that outlived a crash of ours is taken up again.
"""

from __future__ import annotations

import json
import logging
import os
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from engines.comfyui.server import KINDS, ComfyServer
from engines.comfyui.wishes import Wishes
from engines.installing.caretaker import STOP_S, Caretaker, Halted, Revoked, throw_away
from engines.installing.install import install
from engines.installing.torch_builds import CPU, choose, this_machine
from studio.contracts import Problem
from studio.errors import Conflict, EngineFailed, EngineTimeout, InvalidFieldValue, LikenessError
from studio.files import write_atomically
from studio.managed import Installation, Order, is_alive, python_of, tail
from studio.pins import COMFYUI, pin_of
from studio.settings import Settings

PATIENCE_S = 300.0
FIRST_PORT, PORTS_TRIED = 8188, 100
FALLS = 3
PROVEN_AFTER_S = 120.0
LARGEST_LOG = 20_000_000
OURS = ("--listen", "--port", "--base-directory", "--extra-model-paths-config", "--tls-keyfile", "--tls-certfile", "--enable-cors-header")
COMMON = ("ComfyUI", "comfyui", "Documents/ComfyUI", "Desktop/ComfyUI", "ComfyUI_windows_portable/ComfyUI", "git/ComfyUI", "src/ComfyUI")
ELSEWHERE = ("/workspace/ComfyUI", "/opt/ComfyUI", "/root/ComfyUI", "/comfyui")

log = logging.getLogger(__name__)


class ManagedComfy(Caretaker):
    """Does what is ordered of the ComfyUI of this computer, in a thread of its own. One per data root: it needs the worker's lock."""

    def __init__(self, settings: Callable[[], Settings], wishes: Wishes | None = None) -> None:
        self._wishes = wishes or Wishes()
        self._falls = 0
        self._again_at = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        super().__init__(COMFYUI, settings)

    def urls(self) -> tuple[str, ...]:
        """Where the one that was started answers; nothing while none runs."""
        state = self._state
        return (state.url,) if state.pid and state.url else ()

    def close(self) -> None:
        """Put what is being done back, and end the server: nobody would look after it any more."""
        super().close()
        if self._state.alive:
            self._end()

    def _act(self, order: Order) -> None:
        _ACTS[order.act](self, order)

    def _look(self) -> None:
        self._keep_running()

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
            throw_away(found)
            if isinstance(error, LikenessError):
                raise EngineFailed(
                    f"The new ComfyUI did not start, so the one before was kept: {error.message}", remedy=error.remedy
                ) from error
            raise
        self._tell(wanted=ran)
        if not ran:
            self._end()
        throw_away(before)

    def _remove(self, order: Order) -> None:
        there = self._there()
        self._end()
        if there.own:
            self._into_trash("base")
        self._tell(installation=None, wanted=False, port=0)

    def _adopt(self, order: Order) -> None:
        folder = Path(order.folder)
        python = python_of(folder)
        if not COMFYUI.is_in(folder) or python is None:
            raise InvalidFieldValue(f"There is no ComfyUI with an environment of its own in “{folder}”.", field="folder")
        if self._state.installation and self._state.installation.own:
            raise Conflict("Likeness has installed a ComfyUI already.", remedy="Remove it first.")
        self._end()
        self._tell(installation=Installation(folder=str(folder), python=str(python), version=COMFYUI.version_in(folder)), wanted=False)

    def _find(self, order: Order) -> None:
        urls = [url for port in (8188, 8000) if _is_comfyui(url := f"http://127.0.0.1:{port}")]
        home = Path.home()
        places = [*(home / name for name in COMMON), *(Path(name) for name in ELSEWHERE)]
        folders = [str(place) for place in dict.fromkeys(places) if COMFYUI.is_in(place)]
        own = self._state.url if self._state.alive else ""
        self._tell(found_urls=tuple(url for url in urls if url != own), found_folders=tuple(folders), looked=True)

    def _refresh(self, order: Order) -> None:
        wish, began = self._wishes.make(), time.monotonic()
        while not self._wishes.is_done(wish, 0.2):
            waited = time.monotonic() - began
            if waited > PATIENCE_S:
                raise EngineTimeout("The servers did not say within five minutes what they have.", remedy="Look at ComfyUI's own window.")
            self._say(min(0.9, 0.1 + waited / 60), "Asking the servers what they have")

    def _start(self, order: Order | None) -> None:
        there = self._there()
        if self._state.alive:
            self._tell(wanted=True)
            return
        folder, settings = self._root, self._settings()
        if not Path(there.python).is_file() or not COMFYUI.is_in(Path(there.folder)):
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
            if "--cpu" not in more and (there.torch or choose(this_machine(), COMFYUI).build) == CPU:
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

    def _installed(self, commit: str) -> Installation:
        settings = self._settings()
        pin = pin_of(settings, COMFYUI)
        return install(COMFYUI, self._root, pin, commit, self._say, shared=settings.comfyui_python, build=settings.comfyui_torch)

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


_ACTS: dict[str, Callable[[ManagedComfy, Order], None]] = {
    "install": ManagedComfy._install,
    "update": ManagedComfy._update,
    "remove": ManagedComfy._remove,
    "adopt": ManagedComfy._adopt,
    "find": ManagedComfy._find,
    "refresh": ManagedComfy._refresh,
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
    models = settings.models_path
    kinds = {kind: str(models / kind) for kind in sorted(KINDS - {"checkpoints", "loras"})}
    # JSON is YAML, whatever stands in a path; of several folders each has a line.
    folders = {"checkpoints": str(models), "loras": f"{settings.loras_path}\n{models / 'loras'}", **kinds}
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
