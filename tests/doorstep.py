"""Real servers for the tests of the door: uvicorn in a thread, nginx before it, and raw HTTP to say what no client would."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import uvicorn

from app import KEEP_ALIVE_S

Pair = tuple[str, str]
NGINX = shutil.which("nginx") or ("/usr/sbin/nginx" if Path("/usr/sbin/nginx").exists() else None)
NO_NGINX = "nginx is not installed: `python launch.py test` gets it where apt can, elsewhere install it yourself"


@dataclass(frozen=True)
class Answer:
    """What came back. Header names are lower case."""

    status: int
    headers: tuple[Pair, ...]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    def __getitem__(self, name: str) -> str:
        return next(iter(self.all(name)), "")


@contextmanager
def serving(app: Any, host: str = "127.0.0.1") -> Iterator[tuple[str, int]]:
    """Serve an ASGI application the way app.py does, on a free port; gives the address."""
    listener = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=1,
        timeout_keep_alive=KEEP_ALIVE_S,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    wait_until(lambda: server.started)
    try:
        yield listener.getsockname()[:2]
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()


@contextmanager
def nginx(folder: Path, upstream: tuple[str, int], *, location: str = "", as_nobody: bool = False) -> Iterator[tuple[str, int]]:
    """A real nginx that passes everything on by a plain `proxy_pass`; `location` adds lines to it.

    Started by root, its workers run as nginx's usual user; `as_nobody` names that user outright.
    """
    assert NGINX is not None
    user = f"user nobody {_group_of_nobody()};" if as_nobody else ""
    folder.mkdir(parents=True, exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    config = folder / "nginx.conf"
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    config.write_text(
        f"{user} worker_processes 1; daemon off; master_process on; pid {folder}/nginx.pid; error_log {folder}/error.log;"
        f"events {{}} http {{ access_log off; {temporary} server {{ listen 127.0.0.1:{port};"
        f"location / {{ proxy_pass http://{upstream[0]}:{upstream[1]}; proxy_read_timeout 10s; {location} }} }} }}"
    )
    process = subprocess.Popen([NGINX, "-p", str(folder), "-c", str(config), "-e", f"{folder}/error.log"])
    try:
        wait_until(lambda: process.poll() is not None or _listens(port))
        assert process.poll() is None, (folder / "error.log").read_text()
        yield "127.0.0.1", port
    finally:
        process.terminate()
        process.wait(10)


def ask(
    address: tuple[str, int],
    method: str = "GET",
    target: str = "/",
    headers: Sequence[Pair] = (),
    *,
    body: bytes = b"",
    version: str = "1.1",
    host: str | None = "",
    timeout: float = 20,
    head_only: bool = False,
) -> Answer:
    """Send exactly this request. `host=""` names the server itself, None sends no Host at all.

    `head_only` reads no body of unknown length: some streams never end.
    """
    lines = [f"{method} {target} HTTP/{version}"]
    if host is not None:
        lines.append(f"Host: {host or f'{address[0]}:{address[1]}'}")
    lines += [f"{name}: {value}" for name, value in headers]
    if body or method in ("POST", "PUT", "PATCH", "DELETE"):
        lines.append(f"Content-Length: {len(body)}")
    lines.append("Connection: close")
    with socket.create_connection(address, timeout=timeout) as connection:
        # A server may refuse before it has read everything, and close.
        with contextlib.suppress(ConnectionError):
            connection.sendall("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
        with http.client.HTTPResponse(connection, method=method) as response:
            response.begin()
            pairs = tuple((name.lower(), value) for name, value in response.getheaders())
            return Answer(response.status, pairs, b"" if head_only and response.length is None else response.read())


def wait_until(fact: Callable[[], object], seconds: float = 20) -> None:
    """Return as soon as `fact()` holds; fail when it never does."""
    until = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < until, "it never came true"
        time.sleep(0.01)


def is_root() -> bool:
    """Whether this test runs as root, who may become somebody else."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


def own_address() -> str | None:
    """An IPv4 address of this machine that is not loopback, if it has one."""
    found = (a.address for card in psutil.net_if_addrs().values() for a in card if a.family == socket.AF_INET)
    return next((address for address in found if not address.startswith("127.")), None)


def _group_of_nobody() -> str:
    import grp
    import pwd

    return grp.getgrgid(pwd.getpwnam("nobody").pw_gid).gr_name


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
