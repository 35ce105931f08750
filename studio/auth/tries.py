"""Slows guessing down: per visitor with a growing wait, and for everyone together with a leaking bucket."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

FREE = 5
LONGEST_S = 60.0
FORGET_S = 900.0
MOST_VISITORS = 4096
BUCKET = 60
LEAK_PER_S = 0.5


class Tries:
    """Counts failed tries. Memory is bounded: the visitors seen longest ago are forgotten first.

    A try is counted before it is judged and taken back when it was right, so many tries at once gain nothing.
    `clock` gives seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._visitors: OrderedDict[str, _Count] = OrderedDict()
        self._level = 0.0
        self._leaked_at = clock()

    def start(self, who: str) -> int:
        """Count a try of `who`. Gives 0 when it may be judged, else the whole seconds to wait (and nothing is counted)."""
        now = self._clock()
        self._level = max(0.0, self._level - (now - self._leaked_at) * LEAK_PER_S)
        self._leaked_at = now
        count = self._visitors.get(who)
        if count is None or now - count.last > FORGET_S:
            count = _Count(0, now, now)
        wait = max(count.until - now, (self._level + 1 - BUCKET) / LEAK_PER_S)
        if wait > 0:
            return math.ceil(wait)
        failed = count.failed + 1
        pause = min(LONGEST_S, 2.0 ** min(failed - FREE, 16)) if failed >= FREE else 0.0
        self._visitors[who] = _Count(failed, now, now + pause)
        self._visitors.move_to_end(who)
        if len(self._visitors) > MOST_VISITORS:
            self._visitors.popitem(last=False)
        self._level += 1
        return 0

    def forgive(self, who: str) -> None:
        """The try was right: forget the wrong ones before it."""
        if self._visitors.pop(who, None) is not None:
            self._level = max(0.0, self._level - 1)


@dataclass(frozen=True, slots=True)
class _Count:
    failed: int
    last: float
    until: float
