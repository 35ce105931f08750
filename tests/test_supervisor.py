"""The supervisor with real processes: small web servers and workers in place of ours, real ports, real signals."""

from __future__ import annotations

import json
import os
import platform
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from studio import supervisor
from studio.errors import DataRootLocked, InvalidFieldValue, LikenessError
from studio.settings import Settings

ROOT = Path(__file__).resolve().parent.parent

# In place of app.py: `web` answers every request, `worker` sleeps; a file called <verb>.py in the folder is run first.
CHILD = """
import http.server, json, os, pathlib, signal, sys, time
sys.path.insert(0, {root!r})
from studio.supervisor import exit_when_orphaned
exit_when_orphaned()
verb, arguments = sys.argv[1], sys.argv[2:]
here = pathlib.Path(__file__).parent
with (here / (verb + ".started")).open("a") as file:
    file.write(json.dumps({{"pid": os.getpid(), "arguments": arguments, "log_dir": os.environ["LIKENESS_LOG_DIR"]}}) + "\\n")
said = "this is " + verb
print(said)
trick = here / (verb + ".py")
if trick.exists():
    exec(trick.read_text())
if verb == "worker":
    while True:
        time.sleep(60)
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(401)
        self.end_headers()
    def log_message(self, *_): pass
port = int(arguments[arguments.index("--port") + 1])
http.server.HTTPServer(("127.0.0.1", port), Answer).serve_forever()
"""

RUN = """
import sys
sys.path.insert(0, {root!r})
from pathlib import Path
from studio import supervisor
from studio.errors import LikenessError
from studio.settings import load_settings
settings = load_settings(Path({data!r})).model_copy(update={{"port": {port}, "listen": {listen!r}}})
try:
    sys.exit(supervisor.run(settings, open_browser={browser}, command=[sys.executable, {child!r}]))
except LikenessError as error:
    print(error.code, error.message, error.remedy)
    sys.exit(9)
"""


class Studio:
    """One supervisor in a process of its own, on a data folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.port = free_port()
        self.child = folder / "child.py"
        self.child.write_text(CHILD.format(root=str(ROOT)))
        self.output = folder / "output.txt"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, browser: bool = False, listen: str = "127.0.0.1", **environment: str) -> None:
        code = RUN.format(root=str(ROOT), data=str(self.data), port=self.port, listen=listen, browser=browser, child=str(self.child))
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", code], stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **environment}
            )

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def wait(self, timeout: float = 30) -> int:
        assert self.process is not None
        return self.process.wait(timeout)

    def said(self) -> str:
        return self.output.read_text()

    def starts(self, verb: str) -> list[dict[str, object]]:
        path = self.folder / f"{verb}.started"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def pid_of(self, verb: str) -> int:
        pid = self.starts(verb)[-1]["pid"]
        assert isinstance(pid, int)
        return pid

    def events(self) -> list[dict[str, object]]:
        lines = (self.data / "logs" / "latest" / "events.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def until_running(self) -> None:
        wait_for(lambda: "Likeness is running" in self.said() and self.starts("worker"), self.said)

    def end(self) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        family = psutil.Process(self.pid).children(recursive=True)
        self.process.kill()
        self.process.wait()
        for child in family:
            if child.is_running():
                child.kill()


def wait_for(fact: Callable[[], object], said: Callable[[], str] = lambda: "", timeout: float = 30) -> None:
    until = time.monotonic() + timeout
    while not fact():
        assert time.monotonic() < until, said()
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    made = Studio(tmp_path)
    yield made
    made.end()


def test_the_worker_starts_only_after_the_page_answers(studio: Studio) -> None:
    (studio.folder / "web.py").write_text("while not (here / 'go').exists(): time.sleep(0.02)")
    studio.start()
    wait_for(lambda: studio.starts("web"), studio.said)
    assert not studio.starts("worker")
    assert "running" not in studio.said()

    (studio.folder / "go").touch()
    studio.until_running()

    assert f"http://127.0.0.1:{studio.port}" in studio.said()
    assert json.loads((studio.data / "studio.json").read_text()) == {"pid": studio.pid, "url": f"http://127.0.0.1:{studio.port}"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_both_cleanly(studio: Studio, number: signal.Signals) -> None:
    (studio.folder / "worker.py").write_text("signal.signal(signal.SIGTERM, lambda *_: ((here / 'clean').touch(), sys.exit(0)))")
    studio.start()
    studio.until_running()
    children = [studio.pid_of("web"), studio.pid_of("worker")]

    os.kill(studio.pid, number)

    assert studio.wait() == 0
    assert all(gone(pid) for pid in children)
    assert (studio.folder / "clean").exists()
    assert not (studio.data / "studio.json").exists()
    assert [event["event"] for event in studio.events()] == ["started", "page_answers", "stopping", "stopped"]
    assert studio.events()[-1]["killed"] == []
    assert "Stopped." in studio.said()


def test_the_second_ctrl_c_kills_what_does_not_stop(studio: Studio) -> None:
    (studio.folder / "worker.py").write_text("signal.signal(signal.SIGTERM, signal.SIG_IGN); (here / 'deaf').touch()")
    studio.start()
    studio.until_running()
    wait_for((studio.folder / "deaf").exists)
    os.kill(studio.pid, signal.SIGINT)
    wait_for(lambda: "Stopping." in studio.said())
    wait_for(lambda: gone(studio.pid_of("web")))
    assert not gone(studio.pid_of("worker"))

    os.kill(studio.pid, signal.SIGINT)

    assert studio.wait(5) == 0
    assert gone(studio.pid_of("worker"))
    assert studio.events()[-1]["killed"] == ["worker"]


def test_a_dead_worker_and_a_dead_page_are_started_again(studio: Studio) -> None:
    studio.start()
    studio.until_running()

    os.kill(studio.pid_of("worker"), signal.SIGKILL)
    wait_for(lambda: len(studio.starts("worker")) == 2, studio.said)
    os.kill(studio.pid_of("web"), signal.SIGKILL)
    wait_for(lambda: len(studio.starts("web")) == 2, studio.said)

    assert studio.starts("web")[0]["arguments"] == studio.starts("web")[1]["arguments"]
    names = [event["event"] for event in studio.events()]
    assert names.count("worker_died") == names.count("web_died") == 1
    assert "The worker stopped (killed by SIGKILL)." in studio.said()
    assert json.loads((studio.data / "logs" / "latest" / "error_root_cause.json").read_text())["process"] == "worker"


def test_pauses_grow_while_a_worker_keeps_dying_and_the_terminal_stays_calm(studio: Studio) -> None:
    problem = {"ok": False, "error": {"code": "DB_TOO_NEW", "message": "From a newer version.", "remedy": "Update."}}
    (studio.folder / "worker.py").write_text(f"print({json.dumps(problem)!r}); sys.exit(3)")
    studio.start()
    wait_for(lambda: len(studio.starts("worker")) == 3, studio.said)

    deaths = [event for event in studio.events() if event["event"] == "worker_died"]

    assert [death["pause_s"] for death in deaths][:2] == [0.5, 1.0]
    assert deaths[0]["error"] == problem["error"]
    assert studio.said().count("The worker stopped: From a newer version. Update.") == 1


def test_a_page_that_cannot_start_says_why_and_is_not_tried_again(studio: Studio) -> None:
    problem = {"ok": False, "error": {"code": "DB_TOO_NEW", "message": "From a newer version.", "remedy": "Update.", "field": None}}
    (studio.folder / "web.py").write_text(f"print({json.dumps(problem)!r}); sys.exit(3)")
    studio.start()

    assert studio.wait() == 1

    assert "From a newer version. (DB_TOO_NEW)\nUpdate." in studio.said()
    assert len(studio.starts("web")) == 1
    assert not studio.starts("worker")
    assert not (studio.data / "studio.json").exists()


def test_a_page_that_crashes_at_its_start_shows_its_last_words(studio: Studio) -> None:
    (studio.folder / "web.py").write_text("raise RuntimeError('the ceiling fell down')")
    studio.start()

    assert studio.wait() == 1

    assert "RuntimeError: the ceiling fell down" in studio.said()
    assert str(studio.data / "logs") in studio.said()


def test_no_orphans_when_the_supervisor_is_killed(studio: Studio) -> None:
    studio.start()
    studio.until_running()
    children = [studio.pid_of("web"), studio.pid_of("worker")]

    os.kill(studio.pid, signal.SIGKILL)

    wait_for(lambda: all(gone(pid) for pid in children), timeout=10)


def test_after_a_kill_the_next_start_takes_the_same_port_and_folder(studio: Studio) -> None:
    # This page is slow to go, as one with open event streams is.
    (studio.folder / "web.py").write_text(
        "import threading\nsignal.signal(signal.SIGTERM, lambda *_: threading.Timer(1, os._exit, [0]).start())"
    )
    studio.start()
    studio.until_running()
    os.kill(studio.pid, signal.SIGKILL)
    studio.wait()

    studio.start()
    wait_for(lambda: studio.said().count("Likeness is running") == 2, studio.said)

    assert studio.starts("web")[1]["arguments"] == studio.starts("web")[0]["arguments"]


def test_a_second_studio_on_the_same_data_folder_is_told_where_the_first_is(studio: Studio, tmp_path: Path) -> None:
    studio.start()
    studio.until_running()
    (tmp_path / "second").mkdir()
    second = Studio(tmp_path / "second")
    second.data = studio.data

    second.start()

    assert second.wait() == 9
    assert "DATA_ROOT_LOCKED" in second.said()
    assert f"http://127.0.0.1:{studio.port}" in second.said()
    assert studio.process is not None
    assert studio.process.poll() is None


def test_a_taken_port_gives_the_next_free_one_in_words(studio: Studio) -> None:
    with socket.create_server(("127.0.0.1", studio.port)):
        studio.start()
        studio.until_running()

    assert f"Port {studio.port} is in use by another program" in studio.said()
    url = json.loads((studio.data / "studio.json").read_text())["url"]
    assert url != f"http://127.0.0.1:{studio.port}"
    assert url in studio.said()


def test_a_port_that_is_taken_while_the_page_starts_is_given_up(studio: Studio) -> None:
    (studio.folder / "web.py").write_text(
        "if not (here / 'tried').exists():\n"
        "    (here / 'tried').touch()\n"
        "    while not (here / 'go').exists(): time.sleep(0.02)\n"
        "    sys.exit(1)"
    )
    studio.start()
    wait_for((studio.folder / "tried").exists)
    # Listening without ever answering: nothing here may be taken for the page.
    with socket.create_server(("127.0.0.1", studio.port)):
        (studio.folder / "go").touch()
        studio.until_running()

    assert len(studio.starts("web")) == 2


def test_what_children_print_is_kept_and_latest_points_to_it(studio: Studio) -> None:
    studio.start()
    studio.until_running()
    latest = studio.data / "logs" / "latest"

    wait_for(lambda: "this is worker" in (latest / "worker.out").read_text())

    assert "this is web" in (latest / "web.out").read_text()
    assert studio.starts("web")[0]["log_dir"] == str(latest.resolve())
    assert "this is" not in studio.said()


def test_the_browser_opens_once_the_page_answers(studio: Studio) -> None:
    opened = studio.folder / "opened"
    browser = studio.folder / "browser.sh"
    browser.write_text(f'#!/bin/sh\necho "$1" >> {opened}\n')
    browser.chmod(0o755)

    studio.start(browser=True, BROWSER=f"{browser} %s")

    wait_for(lambda: opened.exists() and opened.read_text(), studio.said)
    assert opened.read_text().strip() == f"http://127.0.0.1:{studio.port}"


def test_listening_to_others_shows_a_password_once(studio: Studio) -> None:
    studio.start(listen="0.0.0.0")
    studio.until_running()
    wait_for(lambda: "The password for other computers is" in studio.said(), studio.said)
    os.kill(studio.pid, signal.SIGTERM)
    assert studio.wait() == 0

    studio.start(listen="0.0.0.0")
    wait_for(lambda: studio.said().count("Likeness is running") == 2, studio.said)
    os.kill(studio.pid, signal.SIGTERM)
    assert studio.wait() == 0

    assert studio.said().count("The password for other computers is") == 1


def test_old_run_folders_go_and_others_stay(studio: Studio) -> None:
    logs = studio.data / "logs"
    for day in range(10, 35):
        (logs / f"202001{day}-000000").mkdir(parents=True)
    (logs / "mine").mkdir()
    studio.start()
    studio.until_running()

    runs = sorted(path.name for path in logs.iterdir() if path.name[0].isdigit())

    assert len(runs) == supervisor.RUNS_KEPT
    assert "20200134-000000" in runs
    assert "20200110-000000" not in runs
    assert (logs / "mine").exists()


def test_latest_is_a_text_file_where_links_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object, **__: object) -> None:
        raise OSError(1314, "A required privilege is not held by the client")

    # Windows' refusal can't be had here in any other way.
    monkeypatch.setattr(Path, "symlink_to", no_links)

    folder = supervisor.new_run_folder(tmp_path)

    assert (tmp_path / "logs" / "latest").read_text() == folder.name


def test_two_runs_in_one_second_have_two_folders(tmp_path: Path) -> None:
    folders = {supervisor.new_run_folder(tmp_path) for _ in range(3)}

    assert len(folders) == 3


def test_a_data_folder_that_cannot_be_written_starts_nothing(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    broken = settings.model_copy(update={"data": tmp_path / "file" / "data"})

    with pytest.raises(LikenessError, match="ould not write"):
        supervisor.run(broken, open_browser=False, command=["no-such-program"])


def test_an_address_of_another_computer_is_refused() -> None:
    with pytest.raises(InvalidFieldValue, match=r"192\.0\.2\.1"):
        supervisor.choose_port("192.0.2.1", free_port())


def test_a_name_that_is_no_address_is_refused() -> None:
    with pytest.raises(InvalidFieldValue, match="no address"):
        supervisor.choose_port("not an address", 7860)


def test_a_port_taken_on_every_address_is_not_free_on_loopback() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]
        assert supervisor.choose_port("127.0.0.1", port) > port


def test_addresses_are_shown_as_this_computer_reaches_them() -> None:
    assert supervisor.url_of("0.0.0.0", 80) == "http://127.0.0.1:80"
    assert supervisor.url_of("::", 80) == "http://[::1]:80"
    assert supervisor.url_of("localhost", 80) == "http://localhost:80"


def test_a_child_started_by_hand_does_not_watch_its_stdin(tmp_path: Path) -> None:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\nfrom studio.supervisor import exit_when_orphaned\nexit_when_orphaned()\n"
    code += "import threading; print([thread.name for thread in threading.enumerate()])"
    answer = subprocess.run([sys.executable, "-c", code], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)

    assert answer.stdout.strip() == "['MainThread']"


def test_the_supervisor_imports_nothing_heavy() -> None:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\nimport studio.supervisor\n"
    code += "print([name for name in ('sqlalchemy', 'gradio', 'alembic', 'fastapi', 'torch', 'PIL') if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert answer.stdout.strip() == "[]"


def test_the_lock_is_free_again_after_a_stop(studio: Studio) -> None:
    studio.start()
    studio.until_running()
    with pytest.raises(DataRootLocked), supervisor._only_studio_on(studio.data):
        pass
    os.kill(studio.pid, signal.SIGTERM)
    assert studio.wait() == 0

    with supervisor._only_studio_on(studio.data):
        pass
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.1:{studio.port}/", timeout=5)


HEAPS = """
import ctypes, re, sys, threading
from studio.supervisor import share_one_heap
if sys.argv[1] == "shared":
    share_one_heap()
libc, at = ctypes.CDLL(None), threading.Barrier(9)
libc.malloc.restype, libc.fopen.restype = ctypes.c_void_p, ctypes.c_void_p
libc.malloc_info.argtypes, libc.fclose.argtypes = [ctypes.c_int, ctypes.c_void_p], [ctypes.c_void_p]
def take():
    at.wait(); libc.malloc(5000); at.wait()
threads = [threading.Thread(target=take) for _ in range(8)]
for thread in threads: thread.start()
at.wait(); at.wait()
file = libc.fopen(sys.argv[2].encode(), b"w")
libc.malloc_info(0, file); libc.fclose(file)
print(len(re.findall("<heap nr", open(sys.argv[2]).read())))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux") or platform.libc_ver()[0] != "glibc", reason="only glibc has a heap per thread")
@pytest.mark.parametrize(("how", "chosen", "one"), [("shared", None, True), ("apart", None, False), ("shared", "4", False)])
def test_threads_of_a_worker_share_one_heap(tmp_path: Path, how: str, chosen: str | None, one: bool) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"}
    environment |= {"MALLOC_ARENA_MAX": chosen} if chosen else {}
    command = [sys.executable, "-c", HEAPS, how, str(tmp_path / "heaps.xml")]
    told = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert (int(told.stdout) == 1) is one, told.stdout
