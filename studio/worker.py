"""The worker process: it takes jobs from the queue, runs them one at a time on the device, and lets none of them get lost.

One worker per data root holds `worker.lock` before DBOS starts: two executors with one id would run every job twice.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

import sqlalchemy as sa
from filelock import FileLock, Timeout
from PIL.Image import Image

from studio.contracts import EngineState, JobKind, JobState
from studio.db import INVENTORY, Database, engine_states
from studio.dispatch import Claims, launch
from studio.engine import Cancelled, Generator, Report, Stopping
from studio.errors import DataRootLocked, EngineTimeout, LikenessError, OutOfMemory, UnknownError, from_os_error
from studio.files import replace_quickly
from studio.jobs import LANE_LOCAL, LANE_OF_ENGINE, LANES, Jobs, Run
from studio.logs import job_folder, job_log, log_context, write_event
from studio.settings import Settings

Handler = Callable[[Run, Report], None]
T = TypeVar("T")

LOCK = "worker.lock"
EXIT_STUCK = 75
HEARTBEAT_S = 5.0
STOP_S = 12.0
CANCEL_LOOK_S = 0.1
PROGRESS_S = 0.25
PREVIEW_SIDE = 512
PLACES_S = 0.5

log = logging.getLogger(__name__)


class Worker:
    """Runs jobs in this process until it is told to stop. Only one lives in a process: DBOS is one per process."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        engines: Mapping[str, Generator],
        handlers: Mapping[JobKind, Handler],
        *,
        at_end: Callable[[], None] = lambda: None,
    ) -> None:
        """`at_end` is called when the worker is told to stop, after its jobs were put back."""
        self._at_end = at_end
        self.settings = settings
        self.jobs = Jobs(database)
        self.database = database
        self.engines = engines
        self.handlers = handlers
        self.stopping = threading.Event()
        self._taken = dict.fromkeys(LANES, 0)
        self._claims = Claims()
        self._ended = threading.Condition()
        self._running: dict[str, _Progress] = {}
        # Runs that are about to begin: their rows may say that they run already.
        self._beginning: set[str] = set()
        self._parked = threading.Semaphore(0)
        self._stuck = threading.Event()

    def start(self) -> None:
        """Begin to take jobs, recovered ones included. The data root's worker lock must be held."""
        launch(self.settings, self.database, self._run, self._enough, self._claims)
        threading.Thread(target=self._look_after, name="look-after", daemon=True).start()

    def wait(self) -> int:
        """Block until `stopping` is set or a job hangs; gives the exit status for the process."""
        while not self.stopping.wait(0.2):
            if self._stuck.is_set():
                return EXIT_STUCK
        return 0

    def stop(self) -> None:
        """Put running jobs back into the queue. Their threads stay parked: the process must end with `os._exit` after this.

        Returning from a run would tell DBOS that it is finished; a parked one is recovered under the same run id.
        """
        self.stopping.set()
        until = time.monotonic() + STOP_S
        while (self._running or self._beginning) and time.monotonic() < until:
            self._parked.acquire(timeout=0.1)
        for run_id in [*self._running, *self._beginning]:
            # Deep in a step that takes longer than we may wait: this was no crash of the job's making.
            with contextlib.suppress(LikenessError):
                self.jobs.put_back(run_id)

        with contextlib.suppress(LikenessError), self.database.begin_quick() as connection:
            connection.execute(sa.delete(engine_states))
        self._at_end()

    def _run(self, run_id: str) -> None:
        # More runs are claimed than may run at once, so that the next is at hand when one ends.
        lane = self._claims.arrived(run_id) or self._insist(lambda: self.jobs.lane(run_id))
        with self._turn(lane, run_id):
            # Before it looks whether it may: who stops the worker looks after having said so.
            self._beginning.add(run_id)
            if self.stopping.is_set():
                self._beginning.discard(run_id)
                _park()
            run = self._insist(lambda: self.jobs.begin(run_id))
            if run is None:
                self._beginning.discard(run_id)
            else:
                with log_context(correlation_id=run.correlation_id, job_id=run.job_id), job_log(self.settings.data, run.job_id):
                    self._work(run)

    @contextmanager
    def _turn(self, lane: str, run_id: str) -> Iterator[None]:
        with self._ended:
            while not self.stopping.is_set() and (self._taken[lane] >= self._places(lane) or not self._claims.is_next(run_id)):
                self._ended.wait(PLACES_S)
            self._taken[lane] += 1
            self._claims.forget(run_id)
            self._ended.notify_all()
        try:
            yield
        finally:
            with self._ended:
                self._taken[lane] -= 1
                self._ended.notify_all()

    def _places(self, lane: str) -> int:
        if lane == LANE_LOCAL:
            return 1
        return max([engine.places() for name, engine in self.engines.items() if LANE_OF_ENGINE.get(name) == lane], default=1)

    def _enough(self, lane: str) -> int:
        """How many runs of a lane are at hand when there is no need to look for more: those that run, and two that wait."""
        return min(LANES[lane], self._places(lane) + 2)

    def _work(self, run: Run) -> None:
        report = _Progress(run, self.jobs, self.settings, self.stopping)
        self._running[run.run_id] = report
        self._beginning.discard(run.run_id)
        started = time.monotonic()
        log.info("Started: attempt %s of %s", run.run_id.rpartition("-")[2], run.kind)
        write_event("job_started", job_id=run.job_id, run_id=run.run_id)
        try:
            self.handlers[run.kind](run, report)
            log.info("Done in %.2f s", time.monotonic() - started)
            write_event("job_done", job_id=run.job_id, seconds=round(time.monotonic() - started, 3))
        except Stopping:
            log.info("Put back into the queue: the worker is stopping")
            with contextlib.suppress(LikenessError):
                # Where even this can't be written the row stays as it is, and the next start takes it for a crash.
                self.jobs.put_back(run.run_id)
            self._running.pop(run.run_id, None)
            self._parked.release()
            _park()
        except Cancelled:
            log.info("Cancelled")
            write_event("job_cancelled", job_id=run.job_id)
            self._insist(lambda: self.jobs.end(run.run_id, JobState.cancelled))
        except Exception as error:  # noqa: BLE001 - a job ends here, whatever its engine did
            self._fail(run, error)
        finally:
            self._running.pop(run.run_id, None)
            report.forget_preview()

    def _fail(self, run: Run, error: Exception) -> None:
        problem = _as_problem(error)
        if isinstance(problem, UnknownError):
            log.error("Failed with a fault of our own", exc_info=error)
        else:
            log.error("Failed: %s %s", problem.code, problem.message)
            log.debug("Because of", exc_info=error)
        write_event("job_failed", job_id=run.job_id, code=problem.code)
        self._insist(lambda: self.jobs.end(run.run_id, JobState.failed, problem))

    def _insist(self, write: Callable[[], T]) -> T:
        """Write a state, waiting for a full disk or an absent database: a run that raised here would be lost to DBOS."""
        while True:
            try:
                return write()
            except LikenessError as error:
                log.error("The job's state can't be written yet: %s %s", error.code, error.message)
                if self.stopping.wait(2.0):
                    _park()

    def _look_after(self) -> None:
        told, there = -HEARTBEAT_S, None
        while not self.stopping.is_set():
            try:
                self._end_stuck_runs()
                # Captions need none of the engines.
                if all(report.run.kind is JobKind.caption for report in list(self._running.values())):
                    for engine in self.engines.values():
                        engine.idle()
                # What came or went on a server is told at once: pages wait to offer it.
                before, there = there, self._stock()
                if there != before or time.monotonic() - told >= HEARTBEAT_S:
                    self.tell_state()
                    told = time.monotonic()
            except LikenessError as error:
                log.warning("%s %s", error.code, error.message)
            except Exception:  # looking after jobs must outlive any one fault
                log.exception("Looking after the jobs failed")
            self.stopping.wait(1.0)

    def _end_stuck_runs(self) -> None:
        for run_id, report in list(self._running.items()):
            silent = time.monotonic() - report.last_sign
            if silent < self.settings.engine_timeout_s:
                continue
            log.error("No progress for %.0f s: the worker gives up this job and starts afresh", silent)
            problem = EngineTimeout(f"The engine showed no progress for {silent:.0f} seconds.")
            if self.jobs.end(run_id, JobState.failed, problem):
                write_event("job_failed", job_id=report.run.job_id, code=problem.code)
            # A thread that hangs inside an engine can't be stopped; the process can. Nobody waits for this run any more.
            self._running.pop(run_id, None)
            self._stuck.set()

    def _stock(self) -> list[object]:
        found = [there for engine in self.engines.values() if (there := engine.inventory())]
        return [([(server.url, server.state) for server in there.servers], there.files, there.nodes) for there in found]

    def tell_state(self) -> None:
        """Write down how every engine is, and what its servers have."""
        states = [engine.state() for engine in self.engines.values()]
        states.append(EngineState(name="worker", state="running", note=str(os.getpid())))
        told = {state.name: state.model_dump_json() for state in states}
        told |= {f"{INVENTORY}{name}": found.model_dump_json() for name, engine in self.engines.items() if (found := engine.inventory())}
        with self.database.begin_quick() as connection:
            for name, body in told.items():
                values = {"body": body, "updated_at": time.time()}
                known = connection.execute(sa.update(engine_states).where(engine_states.c.name == name).values(**values))
                if known.rowcount == 0:
                    connection.execute(sa.insert(engine_states).values(name=name, **values))


@contextmanager
def data_root_lock(settings: Settings) -> Iterator[None]:
    """Hold the worker's lock of a data root. Raises DataRootLocked when another process does, DataRootReadOnly."""
    try:
        settings.data.mkdir(parents=True, exist_ok=True)
        lock = FileLock(settings.data / LOCK)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise DataRootLocked() from error
    except OSError as error:
        raise from_os_error(error, "open the data folder") from error
    try:
        yield
    finally:
        lock.release()


def run_worker(make: Callable[[], Worker], settings: Settings) -> int:
    """The worker process: take the lock, work until SIGTERM or SIGINT, put running jobs back, leave."""
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    with data_root_lock(settings):
        worker = make()
        worker.start()
        threading.Thread(target=lambda: (stop.wait(), worker.stopping.set()), daemon=True).start()
        status = worker.wait()
        worker.stop()
        logging.shutdown()
        os._exit(status)


@contextmanager
def working_in_place(make: Callable[[], Worker], settings: Settings) -> Iterator[Worker]:
    """Run jobs in this process for a while: for a command when no studio runs. Raises DataRootLocked when one does.

    The process must end with `os._exit` afterwards (see Worker.stop).
    """
    with data_root_lock(settings):
        worker = make()
        worker.start()
        try:
            yield worker
        finally:
            worker.stop()


class _Progress:
    """The Report of one run: writes the row now and then, keeps the preview file, and carries cancellation in."""

    def __init__(self, run: Run, jobs: Jobs, settings: Settings, stopping: threading.Event) -> None:
        self.run = run
        self.last_sign = time.monotonic()
        self._jobs = jobs
        self._stopping = stopping
        self._preview_path = job_folder(settings.data, run.job_id) / "preview.webp"
        self._preview_every = 1 / settings.previews_per_s if settings.previews_per_s else None
        self._previews = 0
        self._last_preview = time.monotonic()
        self._last_write = 0.0
        self._last_look = time.monotonic()
        self._last_note = ""
        self._last_mark: int | None = None
        self._first_step: tuple[float, int] | None = None

    def __call__(self, progress: float, note: str = "", *, step: int = 0, steps: int = 0, preview: Image | None = None) -> None:
        now = time.monotonic()
        self.last_sign = now
        if self._stopping.is_set():
            raise Stopping
        if preview is not None:
            self._keep_preview(preview)
        said = bool(note) and note != self._last_note
        if preview is not None or said or now - self._last_write >= PROGRESS_S:
            self._last_write = self._last_look = now
            self._last_note = note
            stop = self._jobs.progress(
                self.run.run_id,
                progress=min(max(progress, 0.0), 1.0),
                note=note,
                step=step,
                steps=steps or self.run.steps,
                eta_s=self._eta(now, step, steps),
                preview=self._previews,
            )
            if stop:
                raise Cancelled
            # What came in since the write above is seen by the next one.
            self._last_mark = self._jobs.database.change_mark()
        elif now - self._last_look >= CANCEL_LOOK_S:
            self._last_look = now
            # Asked of the database only when somebody wrote to it: each question costs the picture a millisecond.
            mark = self._jobs.database.change_mark()
            if mark is None or mark != self._last_mark:
                self._last_mark = mark
                if self._jobs.is_cancelled(self.run.run_id):
                    raise Cancelled

    def wants_preview(self) -> bool:
        return self._preview_every is not None and time.monotonic() - self._last_preview >= self._preview_every

    def forget_preview(self) -> None:
        """Remove the live preview: the picture itself is there now, or nothing is."""
        self._preview_path.unlink(missing_ok=True)

    def _keep_preview(self, preview: Image) -> None:
        self._last_preview = time.monotonic()
        if max(preview.size) > PREVIEW_SIDE:
            preview = preview.copy()
            preview.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
        data = io.BytesIO()
        preview.save(data, "WEBP", quality=70, method=0)
        try:
            replace_quickly(self._preview_path, data.getvalue())
        except OSError as error:
            # A picture can be finished without its preview; saving it will tell about a full disk.
            log.warning("The preview could not be written: %s", error)
            return
        self._previews += 1

    def _eta(self, now: float, step: int, steps: int) -> float | None:
        if step == 0 or steps == 0:
            return None
        if self._first_step is None or step <= self._first_step[1]:
            self._first_step = (now, step)
            return None
        since, first = self._first_step
        return round((now - since) / (step - first) * (steps - step), 2)


def _as_problem(error: Exception) -> LikenessError:
    if isinstance(error, LikenessError):
        return error
    if isinstance(error, MemoryError):
        return OutOfMemory()
    if isinstance(error, OSError):
        return from_os_error(error, "finish this job")
    return UnknownError(f"The job stopped with a fault of our own ({type(error).__name__}).")


def _park() -> None:
    threading.Event().wait()
