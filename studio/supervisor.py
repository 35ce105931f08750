"""The supervisor: starts the page and then the worker, starts again what dies, and stops both cleanly.

It must show the page in seconds, so it imports next to nothing and leaves the database to the web process.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from studio.errors import DataRootLocked, InvalidFieldValue, PortInUse, from_os_error
from studio.files import prepare_data_root, replace_quickly

if TYPE_CHECKING:
    from studio.settings import Settings

LOCK = "studio.lock"
NOTE = "studio.json"
PARENT = "LIKENESS_PARENT"

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
PROVEN_AFTER_S = 60.0
STOP_S = 15.0
SLOW_START_S = 60.0
PORTS_TRIED = 100
RUNS_KEPT = 20
# How long a studio that was killed may take to let go of its port.
LETTING_GO_S = 5.0
_M_ARENA_MAX = -8  # as malloc.h has it

WINDOWS = os.name == "nt"


def run(settings: Settings, *, open_browser: bool, command: Sequence[str]) -> int:
    """Run the studio until it is told to stop; gives the exit status.

    `command` plus a verb (`web`, `worker`) starts a child. Raises DataRootReadOnly, DiskFull, DataRootLocked (another studio runs
    on the data folder), InvalidFieldValue (no such address) or PortInUse (nothing free) before anything was started.
    """
    prepare_data_root(settings.data)
    with _only_studio_on(settings.data), _Signals() as signals:
        port = choose_port(settings.listen, settings.port, patience_s=LETTING_GO_S if _left_behind(settings) else 0)
        return _Supervisor(settings, command, signals).run(port, open_browser)


def exit_when_orphaned() -> None:
    """In a child of the supervisor: stop when it is gone, however it went. Started by hand, a process is left alone."""
    if os.environ.pop(PARENT, None):
        threading.Thread(target=_stop_at_end_of_stdin, name="parent-watch", daemon=True).start()


def share_one_heap() -> None:
    """In a child, before it has threads: let all of them take their memory from one heap. The C library (glibc) gives most their own.

    Each of those keeps what its fullest moment took, and each has that moment sooner or later. MALLOC_ARENA_MAX goes before.
    """
    if sys.platform == "linux" and "MALLOC_ARENA_MAX" not in os.environ:
        import ctypes

        # Other C libraries have one heap, and no such call.
        with suppress(AttributeError):
            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def choose_port(listen: str, port: int, *, patience_s: float = 0) -> int:
    """`port`, or the next free one after it. Waits so long for `port` itself. Raises InvalidFieldValue or PortInUse."""
    until = time.monotonic() + patience_s
    while not _is_free(listen, port):
        if time.monotonic() >= until:
            break
        time.sleep(0.1)
    else:
        return port
    for other in range(port + 1, min(port + PORTS_TRIED, 65536)):
        if _is_free(listen, other):
            return other
    raise PortInUse(f"Port {port} and those after it are in use.")


def url_of(listen: str, port: int) -> str:
    """The address at which this computer reaches a page that listens there."""
    host = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(listen, listen)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Supervisor:
    """One run of the studio. All of it happens in one thread; only the question whether the page answers is asked in another."""

    def __init__(self, settings: Settings, command: Sequence[str], signals: _Signals) -> None:
        self.settings = settings
        self.signals = signals
        self.folder = new_run_folder(settings.data)
        self.web = _Child("web", command, self.folder)
        self.worker = _Child("worker", command, self.folder)
        self.port = 0
        self.url = ""
        self.answers = threading.Event()
        self.asked = time.monotonic()

    def run(self, port: int, open_browser: bool) -> int:
        try:
            self._start_web(port)
            if not self._wait_for_the_page():
                return 0 if self.signals.count else 1
            self._start_worker()
            self._say_hello(open_browser)
            while not self.signals.count:
                self._look_after(self.web, "The page", f"It will be at {self.url} again")
                self._look_after(self.worker, "The worker", "No job is lost")
                time.sleep(0.1)
            return 0
        finally:
            self._stop()

    def _start_web(self, port: int) -> None:
        if port != self.settings.port:
            _say(f"Port {self.settings.port} is in use by another program, so the studio takes {port}.")
        self.port, self.url = port, url_of(self.settings.listen, port)
        self.web.start(["--port", str(port), "--listen", self.settings.listen, "--data", str(self.settings.data)])
        # Everything below has the time in which the page starts.
        self.event("started", url=self.url, pid=os.getpid(), web_pid=self.web.pid)
        _say("Likeness is starting.")
        _keep_note(self.settings.data, self.url)
        _forget_old_runs(self.folder.parent)
        self.answers = threading.Event()
        threading.Thread(target=_set_when_it_answers, args=(self.url, self.answers), name="first-look", daemon=True).start()

    def _wait_for_the_page(self) -> bool:
        told = False
        while not self.answers.wait(0.05):
            if self.signals.count:
                return False
            if not self.web.alive() and not self._mend_start():
                return False
            if not told and time.monotonic() - self.asked > SLOW_START_S:
                told = True
                _say(f"This takes longer than usual. What the page says of it: {self.web.output}")
        return True

    def _mend_start(self) -> bool:
        """The web process ended before it ever answered: another port helps only when its port was taken meanwhile."""
        status = self.web.status()
        if status is None or self.signals.count:
            return True
        told = self.web.last_words()
        if not _is_free(self.settings.listen, self.port) and self.web.starts < 3:
            self.event("web_died", status=status, reason="port in use")
            self.answers.set()  # ends the look at the old port
            self._start_web(choose_port(self.settings.listen, self.port + 1))
            return True
        self.event("web_failed", status=status, error=told.error)
        self._keep_root_cause("web", status, told)
        if told.error:
            _say(f"The page could not start: {told.error['message']} ({told.error['code']})\n{told.error['remedy']}")
        else:
            words = "\n".join(f"    {line}" for line in told.lines[-12:]) or "    (nothing)"
            _say(
                f"The page could not start ({_status_words(status)}). Its last words:\n{words}\n"
                f"All of them are in {self.web.output}. `python launch.py diagnose` looks for what is wrong."
            )
        return False

    def _start_worker(self) -> None:
        self.worker.start(["--data", str(self.settings.data)])
        self.event("page_answers", seconds=round(time.monotonic() - self.asked, 2), worker_pid=self.worker.pid)

    def _say_hello(self, open_browser: bool) -> None:
        password = self._password()
        _say(f"Likeness is running at {self.url} (Ctrl-C stops it).")
        if password:
            _say(f"The password for other computers is {password} (shown this once; `python launch.py password set` changes it).")
        if open_browser and _has_screen():
            threading.Thread(target=_open_browser, args=(self.url,), name="browser", daemon=True).start()

    def _password(self) -> str | None:
        from studio.auth import ensure_password
        from studio.auth.caller import listens_beyond

        wanted = self.settings.always_sign_in or listens_beyond(self.settings.listen)
        return ensure_password(self.settings) if wanted else None

    def _look_after(self, child: _Child, name: str, comfort: str) -> None:
        status = child.status()
        if status is None:
            return
        now = time.monotonic()
        if child.start_again_at is None:
            pause = child.pause_after_death(now)
            told = child.last_words()
            self.event(f"{child.name}_died", status=status, error=told.error, pause_s=pause)
            self._keep_root_cause(child.name, status, told)
            why = f"{told.error['message']} {told.error['remedy']}" if told.error else f"({_status_words(status)})."
            if why != child.told:
                _say(f"{name} stopped: {why}" if told.error else f"{name} stopped {why}")
                _say(f"It is started again. {comfort}.")
            child.told = why
        elif now >= child.start_again_at:
            child.start(child.arguments)
            self.event(f"{child.name}_started", pid=child.pid, starts=child.starts)

    def _stop(self) -> None:
        self.answers.set()
        children = [child for child in (self.web, self.worker) if child.alive()]
        if children and self.signals.count:
            _say("Stopping. (Ctrl-C again stops at once; no job is lost.)")
        self.event("stopping", signal=self.signals.last)
        for child in children:
            child.ask_to_stop()
        until = time.monotonic() + STOP_S
        asked = self.signals.count
        while any(child.alive() for child in children) and time.monotonic() < until and self.signals.count <= max(asked, 1):
            time.sleep(0.02)
        killed = [child.name for child in children if child.kill()]
        (self.settings.data / NOTE).unlink(missing_ok=True)
        self.event("stopped", killed=killed)
        if self.signals.count:
            _say("Stopped.")

    def event(self, name: str, **facts: object) -> None:
        """Add one line to the run's events.jsonl."""
        from studio.logs import write_event

        write_event(name, folder=self.folder, process="supervisor", **facts)

    def _keep_root_cause(self, process: str, status: int, told: _LastWords) -> None:
        from studio.logs import Redactor

        # The first fault of a run is usually the cause of the others.
        path = self.folder / "error_root_cause.json"
        if path.exists():
            return
        redact = Redactor(self.settings.secrets())
        words = [redact(line) for line in told.lines]
        cause = {"ts": _now(), "process": process, "status": status, "error": told.error, "last_lines": words}
        try:
            replace_quickly(path, json.dumps(cause, ensure_ascii=False, indent=1).encode())
        except OSError as error:
            _say(f"The cause could not be noted: {error.strerror}.")


class _LastWords:
    """What a process said before it died: its last lines, and the error if it named one."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self.error = next((error for line in reversed(lines) if (error := _error_in(line))), None)


class _Child:
    """A process that is kept alive. It leads a group of its own, so that Ctrl-C reaches only the supervisor."""

    def __init__(self, name: str, command: Sequence[str], folder: Path) -> None:
        self.name = name
        self.arguments: list[str] = []
        self.output = folder / f"{name}.out"
        self.starts = 0
        self.start_again_at: float | None = None
        self.told = ""
        self._command = [*command, name, "--json"]
        self._environment = {**os.environ, "LIKENESS_LOG_DIR": str(folder), PARENT: str(os.getpid()), "PYTHONUNBUFFERED": "1"}
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._said_before = 0
        self._deaths = 0

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self, arguments: list[str]) -> None:
        self.arguments = arguments
        self.starts += 1
        self.start_again_at = None
        self._started = time.monotonic()
        apart: Mapping[str, object] = (
            {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)} if WINDOWS else {"start_new_session": True}
        )
        with self.output.open("ab") as output:
            self._said_before = output.seek(0, os.SEEK_END)
            # The pipe says nothing: its end is the sign that this process is gone.
            self._process = subprocess.Popen(
                [*self._command, *arguments],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment,
                **apart,  # type: ignore[arg-type]
            )

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def status(self) -> int | None:
        """The exit status of a child that died; None while it lives or before it was first started."""
        return self._process.poll() if self._process else None

    def pause_after_death(self, now: float) -> float:
        """Note a death; gives the seconds until the next start, twice as many each time unless it had lived long."""
        self._let_go()
        if now - self._started >= PROVEN_AFTER_S:
            self._deaths, self.told = 0, ""
        pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**self._deaths)
        self._deaths += 1
        self.start_again_at = now + pause
        return pause

    def last_words(self) -> _LastWords:
        try:
            with self.output.open("rb") as file:
                end = file.seek(0, os.SEEK_END)
                file.seek(max(self._said_before, end - 20_000))
                said = file.read().decode("utf-8", "replace")
        except OSError:
            said = ""
        return _LastWords([line for line in said.splitlines() if line.strip()][-40:])

    def ask_to_stop(self) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        if not WINDOWS:
            self._process.terminate()
        # Where there is no SIGTERM, the end of its stdin asks the child to stop.
        self._let_go()

    def kill(self) -> bool:
        """End it and everything it started, at once. False when it had ended by itself."""
        if self._process is None or self._process.poll() is not None:
            return False
        try:
            if WINDOWS:
                self._process.kill()
            else:
                os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait()
        return True

    def _let_go(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()


class _Signals:
    """Counts the signals that ask the studio to stop, while the block lasts."""

    WANTED = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")

    def __init__(self) -> None:
        self.count = 0
        self.last = ""
        self._before: dict[int, object] = {}

    def __enter__(self) -> _Signals:
        for number in (getattr(signal, name) for name in self.WANTED if hasattr(signal, name)):
            # Started with nohup, the terminal's end is meant to be ignored.
            if signal.getsignal(number) is not signal.SIG_IGN or number != getattr(signal, "SIGHUP", None):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)  # type: ignore[arg-type]

    def _note(self, number: int, _frame: FrameType | None) -> None:
        # An Event must not be set here: the thread that waits for it is the one this interrupts.
        self.count += 1
        self.last = signal.Signals(number).name


@contextmanager
def _only_studio_on(data: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    lock = FileLock(data / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        url = _noted_url(data)
        where = f" at {url}" if url else ""
        raise DataRootLocked(
            f"Another studio is running on this data folder{where}.",
            remedy="Use that one, stop it, or start this one on another folder with --data.",
        ) from error
    except OSError as error:
        raise from_os_error(error, "lock the data folder") from error
    try:
        yield
    finally:
        lock.release()


def _noted_url(data: Path) -> str:
    try:
        return str(json.loads((data / NOTE).read_text(encoding="utf-8"))["url"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _left_behind(settings: Settings) -> bool:
    """True when a studio on this port was killed: its children end when they see that, and then the port is free."""
    return _noted_url(settings.data) == url_of(settings.listen, settings.port)


def _keep_note(data: Path, url: str) -> None:
    try:
        replace_quickly(data / NOTE, json.dumps({"pid": os.getpid(), "url": url}).encode())
    except OSError as error:
        raise from_os_error(error, "write to the data folder") from error


def new_run_folder(data: Path) -> Path:
    """Make the folder of this run's logs and point `logs/latest` at it. Raises DataRootReadOnly or DiskFull."""
    logs = data / "logs"
    name = time.strftime("%Y%m%d-%H%M%S")
    try:
        logs.mkdir(parents=True, exist_ok=True)
        folder, count = logs / name, 1
        while True:
            try:
                folder.mkdir()
                break
            except FileExistsError:
                count += 1
                folder = logs / f"{name}-{count}"
        _point_to(folder)
    except OSError as error:
        raise from_os_error(error, "make the folder for the logs") from error
    return folder


def _point_to(folder: Path) -> None:
    latest, new = folder.parent / "latest", folder.parent / f".latest.{os.getpid()}"
    new.unlink(missing_ok=True)
    try:
        new.symlink_to(folder.name, target_is_directory=True)
    except (OSError, NotImplementedError):
        # Windows makes links only for administrators and developers.
        new.write_text(folder.name, encoding="utf-8")
    os.replace(new, latest)


def _forget_old_runs(logs: Path) -> None:
    runs = sorted(path for path in logs.iterdir() if path.is_dir() and re.fullmatch(r"\d{8}-\d{6}(-\d+)?", path.name))
    for path in runs[:-RUNS_KEPT]:
        shutil.rmtree(path, ignore_errors=True)


def _is_free(listen: str, port: int) -> bool:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(listen or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except OSError as error:
        raise InvalidFieldValue(
            f"There is no address “{listen}” to listen on.",
            field="listen",
            remedy="Use 127.0.0.1, or 0.0.0.0 for every address of this computer.",
        ) from error
    with socket.socket(family, kind, protocol) as probe:
        if WINDOWS:
            probe.setsockopt(socket.SOL_SOCKET, getattr(socket, "SO_EXCLUSIVEADDRUSE", -5), 1)
        else:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            if error.errno == errno.EADDRINUSE or (WINDOWS and error.errno == errno.EACCES):
                return False
            if error.errno == errno.EACCES:
                raise InvalidFieldValue(
                    f"Port {port} is for administrators alone.", field="port", remedy="Choose one from 1024 on with --port."
                ) from error
            raise InvalidFieldValue(
                f"This computer can't listen on {listen}: {error.strerror or error}.",
                field="listen",
                remedy="Use 127.0.0.1, or 0.0.0.0 for every address of this computer.",
            ) from error
    # Where addresses overlap (all and loopback), some systems let both be bound, and the wrong one would answer.
    return WINDOWS or not _connects(url_of(listen, port))


def _set_when_it_answers(url: str, answers: threading.Event) -> None:
    while not answers.is_set():
        if _answers(url):
            answers.set()
        else:
            time.sleep(0.05)


def _connects(url: str) -> bool:
    try:
        _connect(url, timeout=0.5).close()
    except OSError:
        return False
    return True


def _answers(url: str) -> bool:
    """True when the page says anything at all in HTTP: to be asked to sign in is an answer, too."""
    try:
        with _connect(url, timeout=30) as connection:
            host = url.removeprefix("http://")
            connection.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            return connection.recv(16).startswith(b"HTTP/")
    except OSError:
        return False


def _connect(url: str, timeout: float) -> socket.socket:
    host, _, port = url.removeprefix("http://").rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), timeout=timeout)


def _has_screen() -> bool:
    """False where a browser could only open inside the terminal."""
    if sys.platform in ("win32", "darwin") or os.environ.get("BROWSER"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _open_browser(url: str) -> None:
    import webbrowser

    webbrowser.open(url)


def _stop_at_end_of_stdin() -> None:
    try:
        while os.read(0, 1024):
            pass
    except OSError:
        pass
    if WINDOWS:
        signal.raise_signal(signal.SIGTERM)
    else:
        os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOP_S)
    os._exit(1)


def _error_in(line: str) -> dict[str, str] | None:
    """The error that a process named in the JSON value of its last words."""
    if not line.startswith("{"):
        return None
    try:
        error = json.loads(line)["error"]
        return {key: str(error[key]) for key in ("code", "message", "remedy")}
    except (ValueError, KeyError, TypeError):
        return None


def _status_words(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _say(words: str) -> None:
    print(words, flush=True)
