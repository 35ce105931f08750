"""News for everyone who listens: one task looks for changes while someone does, and tells them all."""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
import anyio.to_thread

from studio.contracts import Job, JobState
from studio.errors import LikenessError
from studio.managed import EngineWork
from studio.studio import Studio

LOOK_S = 0.2
# A change is stamped before it is committed, and on another machine by another clock: each look goes this far back.
OVERLAP_S = 3.0
MOST_WAITING = 500

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class News:
    """What changed since the last time: jobs as they are now, whether pictures came or went, whether servers have other models, and what
    is being done with an engine.

    `lost` means that too much happened to tell one by one: look at everything again.
    """

    jobs: tuple[Job, ...] = ()
    pictures: bool = False
    models: bool = False
    lost: bool = False
    work: EngineWork | None = None


class Listener:
    """One who listens. Keeps only the newest state of each job, so a slow one costs little and misses no end."""

    def __init__(self, job_ids: frozenset[str] | None) -> None:
        self._job_ids = job_ids
        self._jobs: dict[str, Job] = {}
        self._pictures = False
        self._models = False
        self._lost = False
        self._work: EngineWork | None = None
        self._closed = False
        self._woken = asyncio.Event()

    async def next(self, timeout_s: float) -> News | None:
        """The news so far, or of the next moment; News() with nothing in it when the time is up, None when the studio stops."""
        if not self._woken.is_set():
            with anyio.move_on_after(timeout_s):
                await self._woken.wait()
        if self._closed:
            return None
        news = News(tuple(self._jobs.values()), self._pictures, self._models, self._lost, self._work)
        self._jobs, self._pictures, self._models, self._lost, self._work = {}, False, False, False, None
        self._woken.clear()
        return news

    def tell(self, news: News) -> None:
        """Add to what waits for this listener."""
        for job in news.jobs:
            if self._job_ids is None or job.id in self._job_ids:
                self._jobs.pop(job.id, None)
                self._jobs[job.id] = job
        self._pictures = self._pictures or news.pictures
        self._lost = self._lost or news.lost
        if self._job_ids is None:
            self._models = self._models or news.models
            self._work = news.work or self._work
        if len(self._jobs) > MOST_WAITING:
            self._jobs, self._lost = {}, True
        if self._jobs or self._pictures or self._models or self._lost or self._work:
            self._woken.set()

    def close(self) -> None:
        """End: `next` gives None from now on."""
        self._closed = True
        self._woken.set()


class Feed:
    """The changes of one studio. Belongs to one event loop; asks the database only while someone listens."""

    def __init__(self, studio: Studio, *, look_s: float = LOOK_S) -> None:
        self._studio = studio
        self._look_s = look_s
        # Set once somebody listens, which a page does from its start on.
        self.listened_to = threading.Event()
        self._listeners: set[Listener] = set()
        self._work: EngineWork | None = None
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    @property
    def listeners(self) -> int:
        """How many listen now."""
        return len(self._listeners)

    @asynccontextmanager
    async def listen(self, *job_ids: str) -> AsyncIterator[Listener]:
        """Hear of everything that changes from now on, or of these jobs alone."""
        listener = Listener(frozenset(job_ids) or None)
        self._loop = asyncio.get_running_loop()
        if self._closed:
            listener.close()
        if self._work is not None:
            listener.tell(News(work=self._work))
        self._listeners.add(listener)
        self.listened_to.set()
        if self._task is None and not self._closed:
            self._task = asyncio.create_task(self._look_for_changes(), name="feed")
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
            if not self._listeners and self._task is not None:
                self._task.cancel()
                self._task = self._work = None

    def close(self) -> None:
        """End every stream now: call it when the server begins to stop, from any thread."""
        self._closed = True
        if self._loop is None or self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self._end_all)

    def _end_all(self) -> None:
        for listener in self._listeners:
            listener.close()
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _look_for_changes(self) -> None:
        # A thread of its own: streams must stay lively while slow requests fill the shared ones.
        limiter = anyio.CapacityLimiter(1)
        known: dict[str, Job] = {}
        version: int | None = None
        stock: int | None = None
        mark: int | None = None
        since = time.time()
        while True:
            looked = time.time()
            try:
                last, (mark, work) = mark, await anyio.to_thread.run_sync(self._look, limiter=limiter)
                if work != self._work:
                    self._work = work if work is None or not work.state.ended else None
                    for listener in self._listeners:
                        listener.tell(News(work=work))
                if mark is not None and mark == last:
                    await asyncio.sleep(self._look_s)
                    continue
                # A commit may wait longer for its turn than the overlap. What runs is looked at each time, so that no end is missed.
                ran = [job.id for job in known.values() if job.state is JobState.running]
                changes = functools.partial(self._studio.changes, since - OVERLAP_S, also=ran)
                changed = await anyio.to_thread.run_sync(changes, limiter=limiter)
                shelf = await anyio.to_thread.run_sync(self._studio.library_version, limiter=limiter)
                there = await anyio.to_thread.run_sync(self._studio.stock, limiter=limiter)
            except LikenessError as error:
                log.warning("Looking for changes failed: %s %s", error.code, error.message)
                mark = None
                await asyncio.sleep(1.0)
                continue
            lost = len(changed) >= MOST_WAITING
            news = News(
                tuple(job for job in changed if known.get(job.id) != job) if not lost else (),
                pictures=version is not None and shelf != version,
                models=stock is not None and there != stock,
                lost=lost,
            )
            for listener in self._listeners:
                listener.tell(news)
            known = {job.id: job for job in changed}
            version, stock = shelf, there
            # Told once that too much happened, nobody needs to hear it again from the overlap.
            since = looked + OVERLAP_S if lost else looked
            await asyncio.sleep(1.0 if lost else self._look_s)

    def _look(self) -> tuple[int | None, EngineWork | None]:
        """The mark of what changed, and what is being done with an engine: how it ended, the once that it is over."""
        work = self._studio.engines.work(self._work)
        if self._work is not None and (work is None or work.order != self._work.order):
            # How that ended is told before what another engine is at.
            work = self._studio.engines.outcome(self._work)
        return self._studio.change_mark(), work
