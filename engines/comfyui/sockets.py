"""The sockets on which a server tells how its jobs go, and those that jobs take over from one another."""

from __future__ import annotations

import json
import logging
import ssl
import threading
import time

from websockets.exceptions import ConnectionClosed, InvalidURI, WebSocketException
from websockets.sync.client import ClientConnection, connect

from engines.comfyui.server import ComfyServer

log = logging.getLogger(__name__)


class Sockets:
    """The open sockets of one server that no job uses at the moment. May be used from several threads.

    To open one for each picture costs both sides more than the picture of a small model's step does.
    """

    def __init__(self, server: ComfyServer) -> None:
        self._server = server
        self._spare: list[tuple[float, Socket]] = []
        self._lock = threading.Lock()

    def take(self, client_id: str) -> Socket:
        """One that is open, whatever client it speaks for; else one for `client_id`, which opens when it is asked for messages."""
        while True:
            with self._lock:
                if not self._spare:
                    return Socket(self._server, client_id)
                _, socket = self._spare.pop()
            socket.pass_over()
            if socket.alive:
                return socket
            socket.close()

    def give(self, socket: Socket) -> None:
        """Leave one to the next job."""
        with self._lock:
            self._spare.append((time.monotonic(), socket))

    def tidy(self, older_s: float = 0.0) -> None:
        """Close those that nobody took for so long. Nobody reads them, and a server waits for whoever doesn't read."""
        until = time.monotonic() - older_s
        with self._lock:
            old = [socket for since, socket in self._spare if since <= until]
            self._spare = [(since, socket) for since, socket in self._spare if since > until]
        for socket in old:
            socket.close()


class Socket:
    """The events of one client id. It opens itself when it is asked for messages, and again, with growing pauses, after it broke."""

    def __init__(self, server: ComfyServer, client_id: str) -> None:
        self.client_id = client_id
        self._server = server
        self._connection: ClientConnection | None = None
        self._try_at = 0.0
        self._pause = 0.5
        self._heard = time.monotonic()

    def speak_for(self, client_id: str) -> None:
        """Hear from now on what is told to another client."""
        if client_id != self.client_id:
            self.close()
            self.client_id = client_id

    @property
    def alive(self) -> bool:
        return self._connection is not None

    def silent_for(self) -> float:
        """Seconds since it said anything; 0 while there is none."""
        return time.monotonic() - self._heard if self.alive else 0.0

    def messages(self, wait_s: float) -> list[str | bytes]:
        """Everything that lies there, waiting at most `wait_s` for the first of it."""
        until = time.monotonic() + wait_s
        if self._connection is None and time.monotonic() >= self._try_at:
            self._open()
        if self._connection is None:
            time.sleep(max(0.0, until - time.monotonic()))
            return []
        taken: list[str | bytes] = []
        try:
            while len(taken) < _MOST_AT_ONCE:
                taken.append(self._connection.recv(0.0 if taken else max(0.0, until - time.monotonic())))
        except TimeoutError:
            pass
        except ConnectionClosed:
            self._broken()
        if taken:
            self._heard = time.monotonic()
            self._pause = 0.5
        return taken

    def pass_over(self) -> None:
        """Forget what lies there: it was said of jobs before, and of the queue."""
        while self.alive and self.messages(0.0):
            pass
        self._heard = time.monotonic()

    def close(self) -> None:
        """Close it, saying so: the server sends to a client's newest socket only until an older one is closed."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
            self._try_at = 0.0

    def _open(self) -> None:
        headers = {name: value for name, value in self._server.headers.items() if name == "Authorization"}
        url = self._server.socket_url(self.client_id)
        try:
            self._connection = connect(
                url,
                ssl=ssl.create_default_context() if url.startswith("wss:") else None,
                additional_headers=headers,
                proxy=None if self._server.local else True,
                compression=None,
                open_timeout=min(3.0, self._server.patience_s),
                close_timeout=1,
                # The server itself never asks whether anybody is there.
                ping_interval=10,
                ping_timeout=10,
                max_size=_LARGEST_MESSAGE,
                logger=_QUIET,
                create_connection=_Frugal,
            )
            # Must be the first message: only then do previews say which job they are of.
            self._connection.send(json.dumps({"type": "feature_flags", "data": {"supports_preview_metadata": True}}))
            self._heard = time.monotonic()
        except (OSError, TimeoutError, WebSocketException, InvalidURI) as error:
            log.debug("No socket to ComfyUI: %s", error)
            self._broken()

    def _broken(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        self._try_at = time.monotonic() + self._pause
        self._pause = min(5.0, self._pause * 2)


class _Frugal(ClientConnection):
    """A connection that takes in little at a time: most of what a server says is a few hundred bytes.

    Of the 64 KB that it would set aside for each of these, a few bytes are kept a while; the C library's heap is full of holes of 64 KB
    then, megabytes in the course of thousands of jobs.
    """

    recv_bufsize = 4096


_QUIET = logging.getLogger("likeness.comfyui.socket")
_QUIET.setLevel(logging.CRITICAL)  # a broken socket is an everyday event that is dealt with here
_MOST_AT_ONCE = 200
_LARGEST_MESSAGE = 64_000_000
