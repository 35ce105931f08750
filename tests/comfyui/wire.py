"""Bad lines and strangers, for tests: a TCP line to a server that can be cut or fall silent, and a server that says what it is told to."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self


class Line:
    """A TCP line from a port of its own to another. `cut` breaks every connection; while `silent`, nothing comes back through old ones."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._muted: set[socket.socket] = set()
        self.connections = 0
        self.carried_back = 0  # bytes to whoever called

    def __enter__(self) -> Self:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Break all connections, and take no new ones."""
        _shut(self._listener)
        self.cut()

    def cut(self) -> None:
        """Break all connections without a word."""
        with self._lock:
            broken, self._open = self._open, []
        for end in broken:
            _shut(end)

    @property
    def open(self) -> int:
        """How many connections nobody has closed."""
        with self._lock:
            return len(self._open) // 2

    def mute(self) -> None:
        """Let all connections that are open now stay open and carry nothing more to the client."""
        with self._lock:
            self._muted.update(self._open)

    def _serve(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            try:
                far = socket.create_connection(("127.0.0.1", self._to))
            except OSError:
                _shut(near)
                continue
            with self._lock:
                self._open += [near, far]
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(source, target, source is far), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, back: bool) -> None:
        try:
            while data := source.recv(65536):
                with self._lock:
                    self.carried_back += len(data) * back
                # What comes from the far end of a muted line is lost on the way.
                if target not in self._muted:
                    target.sendall(data)
        except OSError:
            pass
        with self._lock:
            self._open = [end for end in self._open if end not in (source, target)]
        _shut(source)
        _shut(target)


class Stranger:
    """Answers every connection with what `say` writes to it, after the request's head was read."""

    def __init__(self, say: Callable[[socket.socket], None]) -> None:
        self._say = say
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        _shut(self._listener)

    def _serve(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(near,), daemon=True).start()

    def _answer(self, near: socket.socket) -> None:
        try:
            head = b""
            while b"\r\n\r\n" not in head:
                part = near.recv(65536)
                if not part:
                    break
                head += part
            self._say(near)
        except OSError:
            pass
        _shut(near)


def said(
    body: bytes, *, status: str = "200 OK", kind: str = "application/json", more: str = "", length: int | None = None
) -> Callable[[socket.socket], None]:
    """One whole HTTP answer; `length` is what it says of its length, where that isn't so."""

    def say(near: socket.socket) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body) if length is None else length}"]
        near.sendall("\r\n".join([*lines, "Connection: close", f"{more}\r\n"]).encode() + body)

    return say


def nothing(near: socket.socket) -> None:
    """Accept, read, and never answer."""
    near.settimeout(30)
    near.recv(1)


def drops(near: socket.socket) -> None:
    """An answer that never ends, a drop at a time."""
    near.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        near.sendall(b"1\r\n \r\n")
        time.sleep(0.05)


def flood(near: socket.socket) -> None:
    """An answer of any length that doesn't say how long it is."""
    near.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
    while True:
        near.sendall(b" " * 1_000_000)


def _shut(end: socket.socket) -> None:
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    end.close()
