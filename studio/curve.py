"""How the loss of a training went, thinned for a chart, and read on from where it was left: the hundred-thousandth step costs as the first.

While there are at most 600 steps each is a point. With more of them points are put together by two, by four …, so that those that were
told already stay as they are until there are twice as many steps.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pydantic import Field

from studio.contracts import Contract
from studio.training import PROGRESS

log = logging.getLogger(__name__)

POINTS = 600
_SMOOTH = 0.05  # how much of the smoothed loss each step is
_AT_ONCE = 1 << 20  # bytes
_KEPT = 8  # curves that are being looked at


class Point(Contract):
    """One step of a run, or the mean of several. `smooth` is the loss with its noise taken out."""

    step: int
    loss: float
    smooth: float
    rate: float


class Points(Contract):
    """The curve, or what is new of it.

    With `since` 0 `points` are the whole curve; otherwise those after that step alone, which take the place of all after it that were
    told before. `curve` is what `since` goes with: another one means that everything is told anew.
    """

    points: tuple[Point, ...]
    curve: str = Field(description="Give it back as `curve` with `since` to be told only what is new")
    since: int = Field(description="0: `points` are the whole curve; otherwise they follow on this step")


@dataclass
class _Group:
    count: int
    step: int
    loss: float
    smooth: float
    rate: float

    def point(self) -> Point:
        return Point(step=self.step, loss=round(self.loss / self.count, 6), smooth=round(self.smooth, 6), rate=self.rate)


class Curve:
    """The curve of one run. May be asked from any thread."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / PROGRESS
        self._lock = threading.Lock()
        self._number = 0
        self._begin()

    def points(self, since: int = 0, curve: str = "") -> Points:
        """What is known by now: all of it, or what follows on a step that the same curve told before."""
        with self._lock:
            self._follow()
            name = f"{self._file[1]}-{self._number}-{self._every}"
            begin = 0
            if since and curve == name:
                # Near the end: a page that follows a run has told almost everything already.
                begin = next((number + 1 for number in reversed(range(len(self._groups))) if self._groups[number].step == since), 0)
            return Points(points=tuple(group.point() for group in self._groups[begin:]), curve=name, since=since if begin else 0)

    def _begin(self) -> None:
        self._groups: list[_Group] = []
        self._every = 1
        self._smooth: float | None = None
        self._read = 0
        self._file = (0, 0)
        self._number += 1

    def _follow(self) -> None:
        try:
            with self._path.open("rb") as file:
                seen = os.fstat(file.fileno())
                # A run that goes on from a checkpoint has another file: what it learns again is struck out there.
                if (seen.st_dev, seen.st_ino) != self._file or seen.st_size < self._read:
                    self._begin()
                    self._file = (seen.st_dev, seen.st_ino)
                if not self._take(file):
                    self._begin()
                    self._file = (seen.st_dev, seen.st_ino)
                    self._take(file)
        except FileNotFoundError:
            self._begin()

    def _take(self, file: BinaryIO) -> bool:
        """Read on; False when what follows doesn't go on from what is known, so that it can't be the same file."""
        file.seek(self._read)
        goes_on, rest = bool(self._groups), b""
        while block := file.read(_AT_ONCE):
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                if not self._add(line) and goes_on:
                    return False
                goes_on = False
                self._read += len(line) + 1
        # What stands behind the last line end is being written, or was cut off by a power cut: it is read again next time.
        return True

    def _add(self, line: bytes) -> bool:
        """Put a line to the curve; False for one that can't be read, or a step that is there already."""
        try:
            said = json.loads(line)
            step, loss, rate = int(said["step"]), float(said["loss"]), float(said["rate"])
        except (ValueError, KeyError, TypeError):
            log.debug("A line of %s can't be read", self._path)
            return False
        if self._groups and step <= self._groups[-1].step:
            return False
        self._smooth = loss if self._smooth is None else (1 - _SMOOTH) * self._smooth + _SMOOTH * loss
        last = self._groups[-1] if self._groups else None
        if last is not None and last.count < self._every:
            last.count, last.step, last.loss, last.smooth, last.rate = last.count + 1, step, last.loss + loss, self._smooth, rate
            return True
        self._groups.append(_Group(1, step, loss, self._smooth, rate))
        if len(self._groups) > POINTS:
            self._thin()
        return True

    def _thin(self) -> None:
        self._every *= 2
        self._groups = [_joined(self._groups[number : number + 2]) for number in range(0, len(self._groups), 2)]


class Curves:
    """The curves that somebody looked at lately."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._curves: OrderedDict[Path, Curve] = OrderedDict()

    def of(self, folder: Path) -> Curve:
        """The curve of the run in a folder."""
        with self._lock:
            curve = self._curves.setdefault(folder, Curve(folder))
            self._curves.move_to_end(folder)
            while len(self._curves) > _KEPT:
                self._curves.popitem(last=False)
            return curve


def _joined(pair: list[_Group]) -> _Group:
    last = pair[-1]
    return _Group(sum(one.count for one in pair), last.step, sum(one.loss for one in pair), last.smooth, last.rate)
