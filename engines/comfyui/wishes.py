"""Asking the servers anew, at once: whoever wants it on one side, whoever looks at the servers on the other."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Wishes:
    """Somebody wants to know at once what the servers have, and waits until every one of them was asked. For several threads.

    `then` is called when that is done, before the wish is fulfilled: it passes on what was found.
    """

    def __init__(self) -> None:
        self.then: Callable[[], None] = lambda: None
        self._changed = threading.Condition()
        self._asked = self._done = 0

    def make(self) -> int:
        """Make a wish; gives its number."""
        with self._changed:
            self._asked += 1
            self._changed.notify_all()
            return self._asked

    def is_done(self, wish: int, timeout_s: float) -> bool:
        """Whether it is fulfilled, after waiting a while for that."""
        with self._changed:
            return self._changed.wait_for(lambda: self._done >= wish, timeout_s)

    def waiting(self, timeout_s: float) -> int:
        """The newest wish that nobody took up yet, after waiting a while for one; 0 where there is none."""
        with self._changed:
            self._changed.wait_for(lambda: self._asked > self._done, timeout_s)
            return self._asked if self._asked > self._done else 0

    def fulfil(self, wish: int) -> None:
        """Every server was asked: this wish, and all before it, are done."""
        self.then()
        with self._changed:
            self._done = max(self._done, wish)
            self._changed.notify_all()
