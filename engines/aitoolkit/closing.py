"""Stops a trainer when its save is there, as a small process that outlives ours: a worker that ends can't wait for a long step.

`python -m engines.aitoolkit.closing <folder of the run>/toolkit JOB STEP` ends when that is done, when nobody trains any more, or when
the file `closing` is gone: then the training was taken up again.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from engines.aitoolkit import process
from engines.aitoolkit.saves import find_saves
from engines.aitoolkit.watch import JobTable

CLOSING = "closing"
PATIENCE_S = 600.0
HOME = Path(__file__).resolve().parent.parent.parent


def close_later(inside: Path, job: str, saved: int) -> None:
    """Have the trainer of a run stopped as soon as it has saved a step beyond `saved`, or after ten minutes. Raises OSError."""
    (inside / CLOSING).touch()
    closer = subprocess.Popen(
        [sys.executable, "-m", "engines.aitoolkit.closing", str(inside), job, str(saved)],
        cwd=HOME,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    _CLOSERS[:] = [one for one in (*_CLOSERS, closer) if one.poll() is None]


def keep_open(inside: Path) -> None:
    """Take that back: the training goes on."""
    (inside / CLOSING).unlink(missing_ok=True)


# Ours to reap as long as we live.
_CLOSERS: list[subprocess.Popen[bytes]] = []


def main(inside: Path, job: str, saved: int) -> None:
    """Wait for the save, then ask the trainer to stop."""
    trainer = process.last_trainer(inside)
    until = time.monotonic() + PATIENCE_S
    while trainer is not None and trainer.alive and (inside / CLOSING).exists():
        found, _ = find_saves(inside / "out" / job, job)
        if any(save.step > saved for save in found) or time.monotonic() > until:
            keep_open(inside)
            JobTable(inside / "jobs.db", job).ask("stop")
            return
        time.sleep(0.2)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
