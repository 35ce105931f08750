"""A training that can be stopped at any moment: checkpoints with a checksum, slices of time, and a log that is kept.

Nothing random is carried over: the dice of a step are thrown from the seed, the stage and the step's number, so that a training that
was interrupted goes on exactly as if it had not been.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from studio.errors import from_os_error
from studio.files import write_atomically

_KEPT = 2
_DIGEST = 32


class Checkpoints:
    """The last two states of a stage, in a folder of their own: SHA-256 (32 bytes), then what torch.save wrote."""

    def __init__(self, folder: Path, say: Callable[[str], None] = print) -> None:
        self._folder, self._say = folder, say

    def save(self, step: int, state: dict[str, Any]) -> Path:
        """Keep a state and the one before it. Raises DiskFull or another LikenessError when it can't be written; the old ones stay."""
        buffer = io.BytesIO()
        torch.save(state, buffer)
        data = buffer.getvalue()
        path = self._folder / f"step-{step:08d}.checkpoint"
        try:
            write_atomically(path, hashlib.sha256(data).digest() + data)
        except OSError as error:
            raise from_os_error(error, "save the checkpoint") from error
        for old in self._paths()[:-_KEPT]:
            old.unlink(missing_ok=True)
        return path

    def load(self) -> tuple[int, dict[str, Any]] | None:
        """The newest whole state and its step, None when there is none. One that is broken is named and passed over."""
        for path in reversed(self._paths()):
            try:
                data = path.read_bytes()
                if hashlib.sha256(data[_DIGEST:]).digest() != data[:_DIGEST]:
                    raise ValueError("its checksum differs")
                state = torch.load(io.BytesIO(data[_DIGEST:]), map_location="cpu", weights_only=True)
            except (OSError, ValueError, RuntimeError, EOFError) as error:
                self._say(f"The checkpoint {path.name} is broken ({error}); going on from the one before it.")
                continue
            return int(path.stem.split("-")[1]), state
        return None

    def _paths(self) -> list[Path]:
        return sorted(self._folder.glob("step-*.checkpoint"))


@dataclass
class Slice:
    """How long this call may train: `minutes` of the clock or `steps`, whichever ends first; None is no limit.

    Inside `listening()` Ctrl-C and SIGTERM end it after the step that is under way.
    """

    minutes: float | None = None
    steps: int | None = None
    stopped: bool = field(default=False, init=False)
    _began: float = field(default_factory=time.monotonic, init=False)
    _done: int = field(default=0, init=False)

    def step(self) -> None:
        """One step is done."""
        self._done += 1

    @property
    def over(self) -> bool:
        late = self.minutes is not None and time.monotonic() - self._began >= 60 * self.minutes
        return self.stopped or late or (self.steps is not None and self._done >= self.steps)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """The first signal ends the slice, a second one the program."""

        def stop(number: int, _frame: object) -> None:
            if self.stopped:
                raise KeyboardInterrupt
            self.stopped = True

        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class Log:
    """JSON lines that are only ever added to: how the weights came about."""

    def __init__(self, path: Path, say: Callable[[str], None] = print) -> None:
        self._path, self._say = path, say

    def write(self, **facts: object) -> None:
        """One line, with the time; said aloud too. Raises DiskFull or another LikenessError when it can't be written."""
        line = {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **facts}
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise from_os_error(error, "write the log") from error
        self._say(" ".join(f"{name} {_short(value)}" for name, value in facts.items()))


def chance(seed: int, stage: str, step: int) -> random.Random:
    """Python's dice of one step."""
    return random.Random(f"{seed} {stage} {step}")


def noise_dice(seed: int, stage: str, step: int) -> torch.Generator:
    """torch's dice of one step, on the processor: the same numbers on every device."""
    digest = hashlib.sha256(f"{seed} {stage} {step}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


def _short(value: object) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)
