"""How runs come from the queue to the worker: DBOS, made to look seldom, and to keep the queue's order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.bell import Ear
from studio.contracts import new_id
from studio.db import Database
from studio.errors import from_os_error
from studio.files import write_atomically
from studio.jobs import APPLICATION, APPLICATION_VERSION, LANES, WORKFLOW
from studio.settings import Settings

if TYPE_CHECKING:
    from dbos import DBOS
    from dbos._queue import Queue

# SQLite tells in a few microseconds whether anyone wrote, and in a few more which jobs wait; a look for work takes thousands. To wake for
# it costs more than to ask: orders ring a bell, and this is for those that did not.
WATCH_S = 0.05
LOOKS_APART_S = 0.02
LOOK_ANYWAY_S = 2.0
# Between two times that a thread of DBOS asks whether to look; the waiting is done before it may ask.
ASKS_APART_S = 0.001
FIRST_ASKS_APART_S = 0.005
LIMITS_S = 5.0
ARRIVES_S = 5.0


def launch(settings: Settings, database: Database, run: Callable[[str], None], enough: Callable[[str], int], claims: Claims) -> None:
    """Start DBOS on the studio's own database: runs of every lane come to `run`, each in a thread of its own.

    `enough` says how many runs of a lane are at hand when no more need be looked for.
    """
    from dbos import DBOS

    dbos = DBOS(
        config={
            "name": APPLICATION,
            "system_database_url": database.url,
            "system_database_engine": database.engine,
            "application_version": APPLICATION_VERSION,
            "executor_id": _executor_id(settings.data),
            "run_migrations": False,
            "use_listen_notify": False,
            "notification_listener_polling_interval_sec": 60.0,
            "scheduler_polling_interval_sec": 60.0,
            "log_level": "WARNING",
        }
    )

    # The recovery cap would count clean stops too; our own crash counter in the row decides (Jobs.begin).
    @DBOS.workflow(name=WORKFLOW, max_recovery_attempts=None)
    def run_job(run_id: str) -> None:
        run(run_id)

    DBOS.listen_queues(list(LANES))
    DBOS.launch()
    stops = dbos.background_thread_stop_events
    ear = Ear(settings.data)
    lookout = Lookout(database, settings.poll_interval_s, ear=ear, over=lambda: any(stop.is_set() for stop in stops))
    _look_only_when_needed(dbos, lookout, enough)
    _note_claims(dbos, claims)
    for lane, most in LANES.items():
        DBOS.register_queue(
            lane,
            worker_concurrency=most,
            # DBOS begins with this wait before each look and takes a tenth off it at every one: the first orders would wait for nothing.
            polling_interval_sec=min(settings.poll_interval_s, FIRST_ASKS_APART_S),
            on_conflict="always_update",
        )


def _look_only_when_needed(dbos: DBOS, lookout: Lookout, enough: Callable[[str], int]) -> None:
    """Let the queue threads of DBOS ask the database for work as soon as there is some, seldom otherwise, and when little is at hand.

    Their two questions cost an idle worker 4 ms each time, which at the pace a click deserves is more of a core than an idle program may
    take. DBOS has no setting for it, so two of its methods are shadowed on this one object: `get_queue` (the limits of a queue, asked for
    before each look: here the thread waits) and `dequeue_scopes` (the parts of a queue with work in them: one that stands for "everything",
    where a database isn't sharded).
    """
    system = dbos._sys_db  # pyright: ignore[reportPrivateUsage]
    read_queue, scopes = system.get_queue, system.dequeue_scopes
    at_hand = dbos._active_workflows_set.count_for_queue  # pyright: ignore[reportPrivateUsage]
    queues: dict[str, tuple[float, Queue | None]] = {}
    # Who registers the queues asks for them, too; waiting for work there would make the worker deaf to being stopped.
    launching = threading.get_ident()

    def get_queue(name: str, **options: Any) -> Queue | None:
        if name in LANES and threading.get_ident() != launching:
            lookout.wait(name, busy=lambda: at_hand(name) > 0)
        # Nothing changes the limits of a queue while the worker runs.
        now = time.monotonic()
        if name not in queues or now - queues[name][0] >= LIMITS_S:
            queues[name] = now, read_queue(name, **options)
        queue = queues[name][1]
        if queue is not None and name in LANES:
            # Here alone, never in the database: a thread that begins asks before it knows of the lookout.
            queue._polling_interval_sec = ASKS_APART_S  # pyright: ignore[reportPrivateUsage]
            # As many as the engines have places for now: each that is at hand has a thread and its connection.
            queue._worker_concurrency = enough(name)  # pyright: ignore[reportPrivateUsage]
        return queue

    def dequeue_scopes(queue_name: str) -> list[str | None]:
        # While jobs run something is written all the time; to look each time took a fifth of what the worker spends on small jobs.
        return [] if queue_name in LANES and at_hand(queue_name) >= enough(queue_name) else scopes(queue_name)

    system.get_queue = get_queue
    system.dequeue_scopes = dequeue_scopes


def _note_claims(dbos: DBOS, claims: Claims) -> None:
    """Keep the order in which DBOS takes runs from the queue, before it starts a thread for each."""
    system = dbos._sys_db  # pyright: ignore[reportPrivateUsage]
    start = system.start_queued_workflows

    def start_queued_workflows(queue: Queue, *given: Any, **options: Any) -> tuple[list[str], Any]:
        taken = start(queue, *given, **options)
        claims.add(queue.name, taken[0])
        return taken

    system.start_queued_workflows = start_queued_workflows  # pyright: ignore[reportAttributeAccessIssue]


class Lookout:
    """Says when to look for work: as soon as there is some, and once in a while anyway.

    On PostgreSQL, which can't be asked whether anyone wrote, whenever `ear` hears of an order on this computer, and every `every_s`
    seconds. `over` says that nobody waits any more.
    """

    def __init__(
        self,
        database: Database,
        every_s: float,
        *,
        ear: Ear,
        anyway_s: float = LOOK_ANYWAY_S,
        over: Callable[[], bool] = lambda: False,
    ) -> None:
        self._database = database
        self._every_s = every_s
        self._ear = ear
        self._anyway_s = anyway_s
        self._over = over
        self._lock = threading.Lock()
        self._blind = database.change_mark() is None
        self._changes = 0
        # None: nobody can tell, so every lane looks.
        self._with_work: frozenset[str] | None = None
        self._looked: dict[str, tuple[float, int]] = {}
        self._asleep: dict[str, threading.Event] = {}
        threading.Thread(target=self._watch, name="lookout", daemon=True).start()

    def wait(self, lane: str, *, busy: Callable[[], bool] = lambda: False) -> None:
        """Return when it is time to look for work of a lane. Each lane has one thread that does; one that is busy can wait for more."""
        woken = threading.Event()
        while not self._over():
            working = busy()
            with self._lock:
                wait = self._due(lane, working) - time.monotonic()
                # Work that comes while it is busy is looked for soon enough: threads that wake each other for nothing slow the work down.
                if wait > 0 and not working:
                    woken.clear()
                    self._asleep[lane] = woken
            if wait <= 0:
                break
            woken.wait(min(wait, self._every_s) if working else wait)
        with self._lock:
            self._asleep.pop(lane, None)
            self._looked[lane] = time.monotonic(), self._changes

    def _due(self, lane: str, busy: bool) -> float:
        if lane not in self._looked:
            return 0.0
        looked, known = self._looked[lane]
        if self._blind:
            return looked + (self._every_s if known == self._changes else LOOKS_APART_S)
        if self._with_work is not None and lane not in self._with_work:
            return looked + self._anyway_s
        # What was there at the last look, too, waits for something: a place that is still held by a thread that ends.
        return looked + (self._every_s if busy or known == self._changes else LOOKS_APART_S)

    def _watch(self) -> None:
        mark: int | None = None
        while True:
            rang = self._ear.wait(WATCH_S)
            if self._over():
                break
            now = self._database.change_mark()
            if not rang and (now is None or now == mark):
                continue
            mark = now
            lanes = self._database.queued_lanes()
            with self._lock:
                self._changes += 1
                self._with_work = lanes
                for lane, woken in self._asleep.items():
                    if lanes is None or lane in lanes:
                        woken.set()
        self._ear.close()
        with self._lock:
            for woken in self._asleep.values():
                woken.set()


class Claims:
    """The runs that were taken from the queue and wait for their turn, in the order of the queue.

    Each comes in a thread of its own, and threads overtake each other. May be used from any of them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, _Claim] = {}

    def add(self, lane: str, run_ids: Sequence[str]) -> None:
        """Runs were taken from a lane; their threads follow."""
        now = time.monotonic()
        with self._lock:
            self._waiting |= {run_id: _Claim(lane, now) for run_id in run_ids}

    def arrived(self, run_id: str) -> str | None:
        """The thread of a run is there: gives the run's lane. None for one that was recovered, not taken from the queue."""
        with self._lock:
            claim = self._waiting.get(run_id)
            if claim is not None:
                claim.arrived = True
            return claim and claim.lane

    def is_next(self, run_id: str) -> bool:
        """Whether no run of the lane was taken before it that still waits. A thread that doesn't come is not waited for."""
        now = time.monotonic()
        with self._lock:
            own = self._waiting.get(run_id)
            for other, claim in self._waiting.items():
                if own is None or other == run_id:
                    break
                if claim.lane == own.lane and (claim.arrived or now - claim.at < ARRIVES_S):
                    return False
            return True

    def forget(self, run_id: str) -> None:
        """It has its turn."""
        with self._lock:
            self._waiting.pop(run_id, None)


@dataclass
class _Claim:
    lane: str
    at: float
    arrived: bool = False


def _executor_id(data: Path) -> str:
    # Stable per data root: on a shared PostgreSQL each worker recovers its own jobs and nobody else's.
    path = data / "worker.id"
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        made = f"worker-{new_id()}"
        try:
            write_atomically(path, made.encode())
        except OSError as error:
            raise from_os_error(error, "prepare the data folder") from error
        return made
