"""Whoever looks after a program of this computer: takes orders from a file, does one after another, and writes down how far it is."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from studio.contracts import Problem
from studio.errors import Conflict, LikenessError, UnknownError, from_os_error
from studio.files import replace_quickly, write_atomically
from studio.managed import Installation, Managed, Order, WorkState, managed_folder, read_managed, waiting
from studio.pins import Program
from studio.settings import Settings

LOOK_S = 0.3
SAY_S = 0.5
STOP_S = 10.0
LOGS = ("server.log", "install.log")

log = logging.getLogger(__name__)


class Halted(Exception):
    """The worker is being stopped: the order stays and is done after the next start."""


class Revoked(Exception):
    """The person cancelled the order."""


class Caretaker(ABC):
    """Does what is ordered of one program, in a thread of its own. One per data root and program: it needs the worker's lock."""

    def __init__(self, program: Program, settings: Callable[[], Settings]) -> None:
        self._program = program
        self._settings = settings
        self._root = managed_folder(settings(), program)
        self._state: Managed = read_managed(self._root)
        self._closed = threading.Event()
        self._said = 0.0
        self._thread = threading.Thread(target=self._look_after, name=f"managed-{program.name}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Put what is being done back: the next start goes on with it."""
        self._closed.set()
        self._thread.join(STOP_S)

    @abstractmethod
    def _act(self, order: Order) -> None:
        """Do what is ordered. Raises what ends it."""

    def _look(self) -> None:  # noqa: B027 - a program that doesn't run by itself needs none
        """Called again and again between orders."""

    def _look_after(self) -> None:
        while not self._closed.is_set():
            try:
                order = waiting(self._root)
                if order is not None:
                    self._do(order)
                self._look()
            except Halted:
                return
            except LikenessError as error:
                log.warning("%s of this computer: %s %s", self._program.title, error.code, error.message)
            except Exception:  # looking after it must outlive any one fault
                log.exception("Looking after %s failed", self._program.title)
            self._closed.wait(LOOK_S)

    def _do(self, order: Order) -> None:
        title = self._program.title
        log.info("%s of this computer: %s", title, order.act)
        self._tell(order=order.id, act=order.act, progress=0, note="", problem=None)
        problem: LikenessError | None = None
        ended = WorkState.done
        try:
            self._act(order)
        except Halted:
            raise
        except Revoked:
            log.info("Cancelled: %s", order.act)
            ended = WorkState.cancelled
        except LikenessError as error:
            problem = error
        except OSError as error:
            problem = from_os_error(error, f"{order.act} {title}")
        except Exception:  # an order ends here, whatever went wrong in it
            log.exception("The order failed with a fault of our own")
            problem = UnknownError(f"Could not {order.act} {title}: a fault of our own.")
        if problem:
            log.error("%s of this computer: %s %s", title, problem.code, problem.message)
        told = problem and Problem(code=problem.code, message=problem.message, remedy=problem.remedy, field=problem.field)
        try:
            self._tell(order="", act="", progress=0, note="", problem=told, ended=WorkState.failed if told else ended)
        finally:
            # Also on a full disk: an order that failed must not be tried for ever.
            self._forget(order)

    def _forget(self, order: Order) -> None:
        # Another one may have taken the place of a search meanwhile: that one is done next.
        with suppress(Timeout), FileLock(self._root / ".order.lock", timeout=5):
            there = waiting(self._root)
            if there is not None and there.id != order.id:
                return
            (self._root / "order.json").unlink(missing_ok=True)
            (self._root / "cancel").unlink(missing_ok=True)
            return
        (self._root / "order.json").unlink(missing_ok=True)

    # What acts are made of

    def _there(self) -> Installation:
        if self._state.installation is None:
            raise Conflict(
                f"There is no {self._program.title} of this studio on this computer.", remedy="Install it, or choose the folder it is in."
            )
        return self._state.installation

    def _into_trash(self, *names: str) -> None:
        trash = self._root.parent / "trash" / f"{self._program.name}-{time.strftime('%Y%m%d-%H%M%S')}"
        trash.mkdir(parents=True)
        for name in (*names, "versions", "downloads", *LOGS):
            if (self._root / name).exists():
                (self._root / name).rename(trash / name)

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
                raise from_os_error(error, f"note how far {self._program.title} is") from error

    def _revoked(self) -> bool:
        try:
            return (self._root / "cancel").read_text("ascii") == self._state.order != ""
        except OSError:
            return False

    def _tell(self, **changes: object) -> None:
        self._state = self._state.model_copy(update=changes)
        write_atomically(self._root / "state.json", self._state.model_dump_json().encode())


def throw_away(installation: Installation) -> None:
    """Remove one that is ours, with its environment."""
    if installation.own:
        shutil.rmtree(Path(installation.folder).parent, ignore_errors=True)
