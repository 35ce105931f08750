"""The bell between those who order and the worker on the same computer: it rings when a run was put into the queue.

A ring is an empty datagram to a port of 127.0.0.1 that the worker keeps in the data folder. It carries nothing and may get lost: who hears
it only looks at the database sooner than it would have. A worker on another computer, which reads no such file, looks on its own.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import time
from pathlib import Path

from studio.files import write_atomically

LOOPBACK = "127.0.0.1"
FILE = "worker.bell"

log = logging.getLogger(__name__)


class Bell:
    """The bell of one data folder, for those who order. May be used from any thread."""

    def __init__(self, data: Path) -> None:
        self._path = data / FILE

    def ring(self) -> None:
        """Tell the worker, if there is one here. Never raises and never waits."""
        try:
            port = int(self._path.read_text(encoding="ascii"))
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
                out.setblocking(False)
                out.sendto(b"", (LOOPBACK, port))
        except (OSError, ValueError, OverflowError):
            # No worker is there, or none that can be told: it will look by itself.
            return


class Ear:
    """The worker's end of the bell. Where no port can be had it hears nothing, and waits its time."""

    def __init__(self, data: Path) -> None:
        self._socket: socket.socket | None = None
        heard = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            heard.bind((LOOPBACK, 0))
            write_atomically(data / FILE, str(heard.getsockname()[1]).encode())
        except OSError:
            heard.close()
            log.warning("Orders can't be announced: %s can't be written", data / FILE, exc_info=True)
        else:
            self._socket = heard

    def wait(self, seconds: float) -> bool:
        """Wait until the bell rings or the time is over; gives whether it rang. For one thread."""
        if self._socket is None:
            time.sleep(seconds)
            return False
        try:
            self._socket.settimeout(seconds)
            self._socket.recv(1)
        except OSError:
            return False
        with contextlib.suppress(OSError):
            # Rings that came meanwhile mean the same.
            self._socket.setblocking(False)
            while True:
                self._socket.recv(1)
        return True

    def close(self) -> None:
        """Hear no more."""
        if self._socket is not None:
            self._socket.close()
