"""What a running AI-Toolkit says of itself, by its three channels: the job's row, the log of losses, and what it prints.

The first two are SQLite files that releases of 2025 and later write; what it prints is there always. `Job` has the columns that the trainer
touches: it updates a row that exists and makes none.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

LOSS_LOG = "loss_log.db"
LONGEST_LINE = 1000
_JOB = """CREATE TABLE IF NOT EXISTS Job(id TEXT PRIMARY KEY, status TEXT, info TEXT, step INTEGER, speed_string TEXT,
  stop BOOLEAN DEFAULT 0, return_to_queue BOOLEAN DEFAULT 0, save_now BOOLEAN DEFAULT 0, sample_now BOOLEAN DEFAULT 0)"""
_BAR = re.compile(r"(\d+)/(\d+) \[[^\]\r\n]*?, lr: (\S+) loss: ([^\s,\]]+)")
_RESUMING = re.compile(r"#### IMPORTANT RESUMING FROM (.+) ####")
_FOUND = re.compile(r"Found step (\d+) in metadata, starting from there")
_SKIPPED = re.compile(r"# OOM during training step, skipping batch \d/3 #")
_ERROR = re.compile(r"Error running job: (.+)")
_DRAWN = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|^[^\r\n]*?\d+%\|[^|]*\|[^\]]*\]")
_FAULT = re.compile(r"Traceback \(|^\w*(?:Error|Exception)\b|Error running job")
_WORRY = re.compile(r"(?i)\bwarn(?:ing)?\b|\boom\b|loss is nan")
_STOPPED = re.compile(r"^=+\s*\nJob stopped\s*\n=+", re.MULTILINE)


@dataclass(frozen=True)
class Row:
    """The job's row: what the trainer is at, the steps it has done, and whether it was asked to stop."""

    status: str
    info: str
    step: int
    stop: bool


@dataclass(frozen=True)
class Learned:
    """One step as it was logged: its number from 1, loss and learning rate."""

    step: int
    loss: float
    rate: float


class JobTable:
    """The database of a run's job: one row, ours to make and the trainer's to update."""

    def __init__(self, path: Path, job: str) -> None:
        self._path = path
        self._job = job

    def begin(self) -> None:
        """Make the row, as nothing has happened yet."""
        with self._open() as connection:
            connection.execute(_JOB)
            connection.execute(
                "INSERT OR REPLACE INTO Job(id, status, info, step, speed_string) VALUES (?, 'queued', '', 0, '')", (self._job,)
            )

    def read(self) -> Row | None:
        """The row as it is; None where there is none, or nobody can read it now."""
        if not self._path.is_file():
            return None
        try:
            with self._open() as connection:
                found = connection.execute("SELECT status, info, step, stop FROM Job WHERE id = ?", (self._job,)).fetchone()
        except sqlite3.Error:
            return None
        return None if found is None else Row(str(found[0] or ""), str(found[1] or ""), int(found[2] or 0), bool(found[3]))

    def ask(self, what: str) -> None:
        """Set `stop`, `save_now` or `sample_now`: the trainer looks after each step."""
        assert what in ("stop", "save_now", "sample_now")
        with self._open() as connection:
            connection.execute(f"UPDATE Job SET {what} = 1 WHERE id = ?", (self._job,))

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self._path, timeout=10)
        try:
            with connection:
                yield connection
        finally:
            connection.close()


def read_losses(path: Path, after: int) -> list[Learned]:
    """The steps that the log of losses holds after step `after`, in order; nothing where it can't be read now.

    Steps are counted from 0 there. A loss that is no number is kept as NULL, which comes back as NaN.
    """
    if not path.is_file():
        return []
    query = """SELECT l.step, l.value_real, r.value_real FROM metrics l LEFT JOIN metrics r ON r.step = l.step AND r.key = 'learning_rate'
      WHERE l.key = 'loss/loss' AND l.step >= ? ORDER BY l.step"""
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=2)) as connection:
            rows = connection.execute(query, (after,)).fetchall()
    except sqlite3.Error:
        return []
    return [Learned(int(step) + 1, math.nan if loss is None else float(loss), float(rate or 0)) for step, loss, rate in rows]


@dataclass
class Printed:
    """What it has printed so far. `follow` reads on from where it stopped; `told` is a file that keeps up to where `lines` were given."""

    out: Path
    err: Path
    name: str
    told: Path | None = None
    resumed_from: int | None = None
    resuming: bool = False
    skipped: int = 0
    not_numbers: int = 0
    bar: int = 0
    total: int = 0
    bars: dict[int, Learned] = field(default_factory=dict)
    """By step: the last loss shown while the bar stood there."""

    def __post_init__(self) -> None:
        self._out_at = 0
        self._err_at = 0
        self._out_rest = ""
        self._err_rest = ""
        self._lines: list[tuple[int, str]] = []
        before = self._told_before()
        if any(before):
            self._follow(before)
            self._lines.clear()

    def follow(self) -> bool:
        """Read what is new; True when there was anything."""
        return self._follow((None, None))

    def lines(self) -> list[tuple[int, str]]:
        """What it said since the last time, each with its level of logging; no bars and rules. Given once, also over a restart."""
        lines, self._lines = self._lines, []
        if lines and self.told is not None:
            place = [self._out_at - len(self._out_rest.encode()), self._err_at - len(self._err_rest.encode())]
            with contextlib.suppress(OSError):
                self.told.write_text(json.dumps(place), "utf-8")
        return lines

    def _told_before(self) -> tuple[int, int]:
        """Up to which byte its two outputs were told. Nothing of them, where they are others by now."""
        if self.told is None:
            return 0, 0
        try:
            out, err = map(int, json.loads(self.told.read_text("utf-8")))
            whole = out <= self.out.stat().st_size and err <= self.err.stat().st_size
        except (OSError, ValueError, TypeError):
            return 0, 0
        return (out, err) if whole else (0, 0)

    def _follow(self, until: tuple[int | None, int | None]) -> bool:
        # In this order: what a first step shows was said to resume before it.
        err, self._err_at = _more(self.err, self._err_at, until[1])
        out, self._out_at = _more(self.out, self._out_at, until[0])
        lines = (self._out_rest + out).split("\n")
        self._out_rest = lines.pop()
        for line in lines:
            self._read(line)
            self._hear(line)
        pieces = re.split(r"[\r\n]", self._err_rest + err)
        self._err_rest = pieces.pop()
        for piece in (*pieces, self._err_rest):
            self._see(piece)
        for piece in pieces:
            self._hear(piece)
        return bool(out or err)

    def _hear(self, line: str) -> None:
        words = _DRAWN.sub("", line).strip().strip("#=").strip()
        if words:
            level = logging.ERROR if _FAULT.search(words) else logging.WARNING if _WORRY.search(words) else logging.INFO
            self._lines.append((level, words[:LONGEST_LINE]))

    @property
    def training(self) -> bool:
        """Whether the first step was reached."""
        return bool(self.bars)

    def error(self) -> str:
        """What it said went wrong; empty where it said nothing."""
        found = _ERROR.findall(_text(self.out))
        return str(found[-1]).strip() if found else ""

    def traceback(self) -> str:
        """The last lines of what it printed to stderr, without progress bars."""
        lines = [
            line.strip() for line in re.split(r"[\r\n]", _text(self.err)) if line.strip() and "it/s" not in line and "s/it" not in line
        ]
        return "\n".join(lines[-12:])

    def stopped(self) -> bool:
        """Whether it said that it was stopped, as it does when somebody sends it SIGINT: it exits as if all were well."""
        return _STOPPED.search(_text(self.out)) is not None

    def finished(self) -> bool:
        """Whether the bar came to its end: what a trainer of 2024 leaves of a training that ended well."""
        return self.total > 0 and self.bar >= self.total - 1

    def _read(self, line: str) -> None:
        if _RESUMING.search(line):
            self.resuming = True
        elif found := _FOUND.search(line):
            self.resumed_from = int(found[1])
        elif _SKIPPED.search(line):
            self.skipped += 1
        elif line.strip() == "loss is nan":
            self.not_numbers += 1

    def _see(self, piece: str) -> None:
        if not piece.startswith(f"{self.name}:"):
            return
        for done, total, rate, loss in _BAR.findall(piece):
            self.bar, self.total = int(done), int(total)
            self.bars[self.bar + 1] = Learned(self.bar + 1, _number(loss), _number(rate))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _more(path: Path, place: int, until: int | None = None) -> tuple[str, int]:
    try:
        with path.open("rb") as file:
            file.seek(place)
            data = file.read() if until is None else file.read(until - place)
    except OSError:
        return "", place
    # A letter may be half written; the bars' block letters take three bytes.
    whole = len(data)
    while whole and len(data) - whole < 4:
        try:
            return data[:whole].decode("utf-8"), place + whole
        except UnicodeDecodeError as error:
            if error.start < len(data) - 3:
                break
            whole = error.start
    return data.decode("utf-8", "replace"), place + len(data)


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
