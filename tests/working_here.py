"""The worker with all its engines in the test's own process, for jobs that the test hands it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from app import make_worker
from studio.db import Database
from studio.settings import Settings
from studio.worker import Worker


@contextmanager
def working_here(settings: Settings, database: Database) -> Iterator[Worker]:
    """Nothing of it outlives the block: an engine that goes on looking for servers would find those of later tests."""
    worker = make_worker(settings, database)
    try:
        yield worker
    finally:
        worker.stop()
        worker.engines["comfyui"].close()
