"""The smoke walk through a real studio, and through things that are none."""

from __future__ import annotations

import http.client
import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.smoke import smoke

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def running_data(tmp_path: Path) -> Iterator[Path]:
    """The data folder of a real studio: supervisor, page and worker as `python launch.py` starts them."""
    data = tmp_path / "data"
    output = tmp_path / "output.txt"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, str(ROOT / "app.py"), "run", "--data", str(data), "--port", str(port), "--no-browser"]
    with output.open("wb") as file:
        studio = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=dict(os.environ))
    until = time.monotonic() + 90
    while "Likeness is running" not in output.read_text():
        assert studio.poll() is None, output.read_text()
        assert time.monotonic() < until, output.read_text()
        time.sleep(0.05)
    yield data
    studio.send_signal(signal.SIGTERM)
    assert studio.wait(30) == 0, output.read_text()


@pytest.fixture
def chatterbox() -> Iterator[str]:
    """A server that answers everything with the same page: no studio."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<html>hello</html>")

        do_POST = do_DELETE = do_GET  # noqa: N815 - the names that http.server asks for

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def health(connection: http.client.HTTPConnection) -> int:
    connection.request("GET", "/api/v1/health")
    answer = connection.getresponse()
    answer.read()
    return answer.status


def test_the_walk_passes_in_a_running_studio_that_it_finds_by_its_data_folder(running_data: Path) -> None:
    url = json.loads((running_data / "studio.json").read_text())["url"]
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
    began = time.monotonic()
    assert health(connection) == 200
    idle = connection.sock

    command = [sys.executable, str(ROOT / "app.py"), "smoke", "--data", str(running_data)]
    walk = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")

    assert "16 passed, 0 failed" in walk.stdout, walk.stdout + walk.stderr
    assert walk.returncode == 0
    # A proxy keeps a connection for its next visitor; a server that hangs up first makes that one's request fail now and then.
    time.sleep(max(0, began + 6 - time.monotonic()))
    assert health(connection) == 200
    assert connection.sock is idle, "the same connection"
    connection.close()


def test_a_server_that_is_no_studio_fails_step_by_step(
    chatterbox: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Otherwise it waits two minutes for a worker, as it should.
    monkeypatch.setattr("studio.smoke.READY_S", 0.1)

    assert smoke(chatterbox) == 1

    said = capsys.readouterr().out
    assert "ok    the page answers" in said
    assert "FAIL  it is healthy: GET /api/v1/health answered text/html, which is not JSON" in said
    assert "there is no job to follow" in said
    assert said.strip().endswith("1 passed, 15 failed")


def test_where_nobody_answers_the_walk_ends_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]

        assert smoke(f"http://127.0.0.1:{port}/", "a-token") == 1

    said = capsys.readouterr().out
    assert "FAIL  the page answers: no answer" in said
    assert said.strip().endswith("0 passed, 1 failed")
