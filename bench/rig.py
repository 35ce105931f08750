"""What the benchmarks stand on: a real studio on a data root of its own, and tables that can be read."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Running:
    """A studio that runs: where it answers, its data root, and its supervisor's process id."""

    url: str
    data: Path
    pid: int

    def get(self, path: str) -> object:
        """The JSON that a GET answers. Raises urllib.error.HTTPError."""
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}", timeout=30) as answer:
            return json.load(answer)

    def post(self, path: str, body: object) -> object:
        """The JSON that a POST answers. Raises urllib.error.HTTPError."""
        request = urllib.request.Request(
            f"{self.url}/api/v1/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}, method="POST"
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)


@contextmanager
def running_studio(data: Path, *options: str, ready: bool = True) -> Iterator[Running]:
    """Start `app.py run` on a data root and stop it at the end; with `ready` the worker takes jobs already."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, str(HOME / "app.py"), "run", "--no-browser", "--port", str(port), "--data", str(data), *options],
        cwd=HOME,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    studio = Running(f"http://127.0.0.1:{port}", data, process.pid)
    try:
        wait_until(lambda: answers(studio.url), 60, "the page did not answer")
        if ready:
            wait_until(lambda: answers(f"{studio.url}/api/v1/ready"), 60, "no worker came up")
        yield studio
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


def free_port() -> int:
    """A TCP port that nothing listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(url: str) -> bool:
    """True when a GET is answered with 200."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def wait_until(condition: Callable[[], bool], seconds: float, otherwise: str, *, every: float = 0.02) -> None:
    """Wait for a condition, looking every so many seconds. Raises TimeoutError with the words of `otherwise`."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(otherwise)
        time.sleep(every)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the values lie, by the nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered)) - 1))]


def table(title: str, rows: Sequence[tuple[str, str]]) -> None:
    """Print a table of two columns."""
    width = max(len(name) for name, _ in rows)
    print(f"\n{title}")
    for name, value in rows:
        print(f"  {name:<{width}}  {value}")
    sys.stdout.flush()
