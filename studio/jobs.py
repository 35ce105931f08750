"""Durable jobs: submit, follow, cancel, retry, reorder — and the few writes that move one from state to state.

The `jobs` row is what people see; DBOS decides when and where its run starts. A job's *run id* is `<job id>-<attempt>`:
a crash keeps it, retry and reorder make a new one (DBOS returns the old result for a finished id, and fixes priority at insert).
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import sqlalchemy as sa

from studio.contracts import (
    ENDED,
    CaptionRequest,
    Contract,
    GenerateRequest,
    Job,
    JobKind,
    JobState,
    Page,
    Problem,
    Recipe,
    TrainRequest,
    new_id,
)
from studio.cursors import decode_cursor, encode_cursor
from studio.db import Database, jobs, translated
from studio.errors import Conflict, JobPoisoned, LikenessError, NotFound

if TYPE_CHECKING:
    from dbos import DBOSClient

APPLICATION = "likeness"
# Pinned: DBOS gives a job only to a worker of the version that took it, and jobs must outlive an upgrade.
APPLICATION_VERSION = "1"
WORKFLOW = "run_job"
LANE_LOCAL = "local"
LANE_COMFYUI = "comfyui"
LANE_VISION = "vision"
# How many runs a worker may hold of a lane: this computer's device takes one while the next is at hand; servers keep a queue of their own.
LANES = {LANE_LOCAL: 2, LANE_COMFYUI: 32, LANE_VISION: 2}
LANE_OF_ENGINE = {"comfyui": LANE_COMFYUI, "vision": LANE_VISION}
MAX_CRASHES = 3
MIDDLE_PRIORITY = 1_000_000
FOLLOW_S = 0.05

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """A job that a worker has just begun. `plan` is JSON: the recipe of pictures, or of a training, or what is captioned."""

    job_id: str
    run_id: str
    kind: JobKind
    steps: int
    plan: str
    correlation_id: str

    @cached_property
    def recipe(self) -> Recipe:
        """What pictures are made by; only of jobs that make some."""
        return Recipe.model_validate_json(self.plan)


@dataclass(frozen=True)
class Work:
    """What becomes a job: what was asked, and the plan made of it with nothing left open."""

    request: Contract
    plan: Contract
    engine: str
    steps: int
    character_id: str | None


class Jobs:
    """The jobs of one database."""

    def __init__(self, database: Database, *, ring: Callable[[], None] = lambda: None) -> None:
        """`ring` tells a worker that a run was put into the queue; one that isn't told finds it a little later."""
        self.database = database
        self._ring = ring
        self._client: DBOSClient | None = None
        self._client_lock = threading.Lock()

    # What people do

    def submit(
        self,
        kind: JobKind,
        work: Sequence[tuple[GenerateRequest, Recipe]],
        *,
        correlation_id: str,
        first: bool = False,
        also: Callable[[sa.Connection, str, tuple[str, ...]], None] | None = None,
    ) -> tuple[str, tuple[str, ...]]:
        """Write the jobs and enqueue their runs in one transaction; gives the batch's id and the jobs' ids, in order.

        Each waits in the lane of its engine, so that a server elsewhere never waits for this computer. `also` writes what belongs to
        them, in the same transaction.
        """
        each = [Work(request, recipe, recipe.engine, recipe.steps, recipe.character) for request, recipe in work]
        return self.submit_work(kind, each, correlation_id=correlation_id, first=first, also=also)

    def submit_work(
        self,
        kind: JobKind,
        work: Sequence[Work],
        *,
        correlation_id: str,
        first: bool = False,
        also: Callable[[sa.Connection, str, tuple[str, ...]], None] | None = None,
    ) -> tuple[str, tuple[str, ...]]:
        """The same of any kind of work."""
        client = self._dbos()
        batch_id = new_id()
        # Ids of one millisecond are random: in order they keep a batch in order wherever it is listed.
        job_ids = tuple(sorted(new_id() for _ in work))
        now = time.time()
        with self.database.begin() as connection:
            priority = self._edge(connection, "first") if first else MIDDLE_PRIORITY
            for job_id, one in zip(job_ids, work, strict=True):
                run_id = f"{job_id}-1"
                lane = LANE_OF_ENGINE.get(one.engine, LANE_LOCAL)
                values = {
                    **_fresh(one.steps, now),
                    "id": job_id,
                    "kind": kind.value,
                    "lane": lane,
                    "batch_id": batch_id,
                    "attempt": 1,
                    "run_id": run_id,
                    "priority": priority,
                    "request": one.request.model_dump_json(),
                    "recipe": one.plan.model_dump_json(),
                    "correlation_id": correlation_id,
                    "created_at": now,
                    "character_id": one.character_id,
                }
                connection.execute(sa.insert(jobs).values(values))
                _enqueue(client, connection, lane, run_id, priority)
            if also is not None:
                also(connection, batch_id, job_ids)
        self._ring()
        return batch_id, job_ids

    def job(self, job_id: str) -> Job:
        """One job. Raises NotFound."""
        with self.database.read() as connection:
            row = connection.execute(sa.select(jobs).where(jobs.c.id == job_id)).mappings().first()
        if row is None:
            raise NotFound(f"There is no job {job_id!r}.")
        return _job(row)

    def jobs(
        self,
        *,
        states: Sequence[JobState] = (),
        batch_id: str | None = None,
        character_id: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[Job]:
        """Newest first; `cursor` continues after the last job seen."""
        page = sa.select(jobs).order_by(jobs.c.created_at.desc(), jobs.c.id.desc()).limit(limit + 1)
        if states:
            page = page.where(jobs.c.state.in_([state.value for state in states]))
        if batch_id is not None:
            page = page.where(jobs.c.batch_id == batch_id)
        if character_id is not None:
            page = page.where(jobs.c.character_id == character_id)
        if cursor is not None:
            created_at, last_id = decode_cursor(cursor, float, str)
            page = page.where(sa.tuple_(jobs.c.created_at, jobs.c.id) < sa.tuple_(sa.literal(created_at), sa.literal(last_id)))
        with self.database.read() as connection:
            rows = connection.execute(page).mappings().all()
        more = encode_cursor(rows[limit - 1]["created_at"], rows[limit - 1]["id"]) if len(rows) > limit else None
        return Page[Job](items=tuple(_job(row) for row in rows[:limit]), next=more)

    def changes(self, since: float, *, also: Collection[str] = (), limit: int = 500) -> tuple[Job, ...]:
        """Jobs that changed at or after a Unix time, those that run and the `also` named ones, in the order they changed."""
        fits = sa.or_(jobs.c.changed_at >= since, jobs.c.state == JobState.running.value, jobs.c.id.in_(also))
        changed = sa.select(jobs).where(fits).order_by(jobs.c.changed_at).limit(limit)
        with self.database.read() as connection:
            return tuple(_job(row) for row in connection.execute(changed).mappings())

    def counts(self) -> dict[JobState, int]:
        """How many jobs are queued and running."""
        live = [JobState.queued.value, JobState.running.value]
        counted = sa.select(jobs.c.state, sa.func.count()).where(jobs.c.state.in_(live)).group_by(jobs.c.state)
        with self.database.read() as connection:
            return {JobState(state): count for state, count in connection.execute(counted)}

    def watch(self, job_id: str, *, timeout_s: float | None = None) -> Iterator[Job]:
        """The job now, then whenever it changed, until it has ended or is paused, or `timeout_s` is over."""
        until = None if timeout_s is None else time.monotonic() + timeout_s
        seen: Job | None = None
        while True:
            job = self.job(job_id)
            if job != seen:
                yield job
                seen = job
            if job.state.ended or job.state is JobState.paused or (until is not None and time.monotonic() > until):
                return
            time.sleep(FOLLOW_S)

    def cancel(self, job_id: str) -> Job:
        """Cancel a queued job now, a running one at its next step. Raises Conflict when it has ended."""
        now = time.time()
        with self.database.begin() as connection:
            runs = (
                connection.execute(_cancel_queued(now, JobState.paused).where(jobs.c.id == job_id).returning(jobs.c.run_id)).scalars().all()
            )
            asked = connection.execute(_ask_running(now).where(jobs.c.id == job_id)).rowcount
        if not runs and not asked:
            job = self.job(job_id)
            raise Conflict(f"This job has ended already: it is {job.state}.", remedy="There is nothing left to cancel.")
        self._forget(runs)
        return self.job(job_id)

    def cancel_all(self, *, batch_id: str | None = None) -> int:
        """Cancel everything that is queued or running, or what of one batch is; gives how many jobs that were."""
        fits = [jobs.c.batch_id == batch_id] if batch_id else []
        now = time.time()
        with self.database.begin() as connection:
            runs = connection.execute(_cancel_queued(now).where(*fits).returning(jobs.c.run_id)).scalars().all()
            asked = connection.execute(_ask_running(now).where(jobs.c.cancel_requested.is_(False), *fits)).rowcount
        self._forget(runs)
        return len(runs) + asked

    def retry(self, job_id: str) -> Job:
        """Start a failed, cancelled or poisoned job again as a new attempt with the same recipe. Raises Conflict otherwise."""
        job = self.job(job_id)
        if job.state is JobState.done:
            raise Conflict("This job is done.", remedy="Use its settings for new pictures instead.")
        return self._new_attempt(job_id, tuple(state for state in ENDED if state is not JobState.done), MIDDLE_PRIORITY)

    def resume(self, job_id: str) -> Job:
        """Let a training go on that was stopped, failed or was cancelled: it begins after its newest checkpoint. Raises Conflict."""
        return self._new_attempt(job_id, (JobState.paused, *(state for state in ENDED if state is not JobState.done)), MIDDLE_PRIORITY)

    def look_again(self, job_id: str, also: Callable[[sa.Connection], None]) -> Job:
        """Start a paused or ended training once more for another purpose, which `also` writes in the same transaction. Raises Conflict."""
        return self._new_attempt(job_id, (JobState.paused, *ENDED), MIDDLE_PRIORITY, also=also)

    def again(self, job_id: str, plan: Contract, steps: int, *, lane: str, also: Callable[[sa.Connection], None]) -> Job:
        """Start an ended job again by another plan, also one that is done; `also` writes in the same transaction. Raises Conflict."""
        values = {"recipe": plan.model_dump_json(), "steps": steps, "lane": lane}
        return self._new_attempt(job_id, tuple(ENDED), MIDDLE_PRIORITY, values=values, also=also)

    def move(self, job_id: str, to: Literal["first", "last"]) -> Job:
        """Move a queued job to the front or the end of the queue. Raises Conflict when it is not queued."""
        with self.database.read() as connection:
            priority = self._edge(connection, to)
        return self._new_attempt(job_id, (JobState.queued,), priority)

    def hand_over(self, job_id: str, request: GenerateRequest, recipe: Recipe) -> Job:
        """Let a queued job be done by another engine, as `recipe` says. Raises NotFound, and Conflict when it is not queued."""
        values = {
            "lane": LANE_OF_ENGINE.get(recipe.engine, LANE_LOCAL),
            "steps": recipe.steps,
            "request": request.model_dump_json(),
            "recipe": recipe.model_dump_json(),
        }
        return self._new_attempt(job_id, (JobState.queued,), MIDDLE_PRIORITY, values=values)

    # What a worker does

    def lane(self, run_id: str) -> str:
        """The lane that a run waits in; one whose row is gone is the local lane's, where `begin` settles it."""
        with self.database.read() as connection:
            return connection.execute(sa.select(jobs.c.lane).where(jobs.c.run_id == run_id)).scalar() or LANE_LOCAL

    def begin(self, run_id: str) -> Run | None:
        """Mark a run as started and count it as a crash until it ends; None when there is nothing left to do.

        A run that was cancelled, replaced by a newer attempt or poisoned by its crashes is settled here. One that was taken from the queue
        before another was put in front of it goes back, right behind that.
        """
        while True:
            if (before := self._overtaken(run_id)) is not None:
                job_id, priority = before
                with contextlib.suppress(Conflict, NotFound):
                    self._new_attempt(job_id, (JobState.queued,), priority, forget=False)
                return None
            now = time.time()
            with self.database.begin() as connection:
                row = connection.execute(sa.select(jobs).where(jobs.c.run_id == run_id)).mappings().first()
                if row is None or row["state"] not in (JobState.queued.value, JobState.running.value):
                    return None
                started = True
                values: dict[str, object] = {
                    "state": JobState.running.value,
                    "crashes": row["crashes"] + 1,
                    "started_at": now,
                    "changed_at": now,
                    "progress": 0.0,
                    "step": 0,
                    "note": "Starting",
                    "eta_s": None,
                }
                if row["cancel_requested"]:
                    started, values = False, _end(JobState.cancelled, now)
                elif row["crashes"] >= MAX_CRASHES:
                    started, values = False, _end(JobState.poisoned, now) | _problem(JobPoisoned())
                # Only if nothing changed since the look: a cancel may come between the two.
                mine = sa.update(jobs).where(
                    jobs.c.run_id == run_id, jobs.c.state == row["state"], jobs.c.cancel_requested == row["cancel_requested"]
                )
                if connection.execute(mine.values(**values)).rowcount == 0:
                    continue
            if not started:
                return None
            break
        return Run(row["id"], run_id, JobKind(row["kind"]), row["steps"], row["recipe"], row["correlation_id"])

    def _overtaken(self, run_id: str) -> tuple[str, int] | None:
        """The job of a queued run, and the priority of one in its lane that goes first now; None where there is none."""
        mine, other = jobs.alias("mine"), jobs.alias("other")
        queued = JobState.queued.value
        first = (
            sa.select(mine.c.id, other.c.priority)
            .where(mine.c.run_id == run_id, mine.c.state == queued)
            .where(other.c.state == queued, other.c.lane == mine.c.lane, other.c.priority < mine.c.priority)
            .order_by(other.c.priority)
            .limit(1)
        )
        with self.database.read() as connection:
            found = connection.execute(first).first()
        return found and (found[0], found[1])

    def progress(self, run_id: str, *, progress: float, note: str, step: int, steps: int, eta_s: float | None, preview: int) -> bool:
        """Write how far a run is; True when its cancellation was asked for (or it is not this run's turn any more)."""
        with self.database.begin_quick() as connection:
            asked = connection.execute(
                sa.update(jobs)
                .where(jobs.c.run_id == run_id, jobs.c.state == JobState.running.value)
                .values(progress=progress, note=note, step=step, steps=steps, eta_s=eta_s, preview=preview, changed_at=time.time())
                .returning(jobs.c.cancel_requested)
            ).scalar()
        return asked is None or asked

    def is_cancelled(self, run_id: str) -> bool:
        """True when the run should stop: cancellation was asked for, or the row moved on without it."""
        with self.database.read() as connection:
            row = connection.execute(sa.select(jobs.c.cancel_requested, jobs.c.state).where(jobs.c.run_id == run_id)).first()
        return row is None or row.cancel_requested or row.state != JobState.running.value

    def finish(self, run_id: str, connection: sa.Connection, *, steps: tuple[int, int] | None = None) -> bool:
        """Mark a running run as done in the caller's transaction; False when it is not running any more.

        `steps` are those that came to something, and all of them; without them each did.
        """
        done = sa.update(jobs).where(jobs.c.run_id == run_id, jobs.c.state == JobState.running.value)
        values = _end(JobState.done, time.time()) | {"progress": 1.0, "step": jobs.c.steps, "cancel_requested": False}
        if steps is not None:
            values |= {"step": steps[0], "steps": steps[1]}
        return connection.execute(done.values(**values)).rowcount == 1

    def end(self, run_id: str, state: JobState, problem: LikenessError | None = None) -> bool:
        """End a running run as failed, cancelled or poisoned; False when it is not running any more."""
        values = _end(state, time.time()) | (_problem(problem) if problem else {})
        with self.database.begin() as connection:
            ended = sa.update(jobs).where(jobs.c.run_id == run_id, jobs.c.state == JobState.running.value)
            return connection.execute(ended.values(**values)).rowcount == 1

    def pause(self, run_id: str) -> bool:
        """Leave a running run where it is until somebody resumes it; False when it is not running any more."""
        values = _end(JobState.paused, time.time()) | {"finished_at": None, "cancel_requested": False}
        with self.database.begin() as connection:
            paused = sa.update(jobs).where(jobs.c.run_id == run_id, jobs.c.state == JobState.running.value)
            return connection.execute(paused.values(**values)).rowcount == 1

    def put_back(self, run_id: str) -> None:
        """Return a running run to the queue at a clean stop: it goes on under the same run id, and this was no crash."""
        with self.database.begin() as connection:
            back = sa.update(jobs).where(jobs.c.run_id == run_id, jobs.c.state == JobState.running.value)
            values = {"state": JobState.queued.value, "note": "Waiting for the studio to start again", "eta_s": None, "progress": 0.0}
            connection.execute(back.values(**values, crashes=jobs.c.crashes - 1, changed_at=time.time()))

    def warm_up(self) -> None:
        """Open the connection to DBOS before the first click needs it."""
        self._dbos()

    # Below

    def _dbos(self) -> DBOSClient:
        with self._client_lock:
            if self._client is None:
                from dbos import DBOSClient

                with translated():
                    self._client = DBOSClient(system_database_engine=self.database.engine, application_name=APPLICATION)
            return self._client

    def _edge(self, connection: sa.Connection, to: Literal["first", "last"]) -> int:
        queued = jobs.c.state == JobState.queued.value
        if to == "first":
            lowest = connection.execute(sa.select(sa.func.min(jobs.c.priority)).where(queued)).scalar()
            return max(1, (lowest if lowest is not None else MIDDLE_PRIORITY) - 1)
        highest = connection.execute(sa.select(sa.func.max(jobs.c.priority)).where(queued)).scalar()
        return (highest if highest is not None else MIDDLE_PRIORITY) + 1

    def _new_attempt(
        self,
        job_id: str,
        states: Sequence[JobState],
        priority: int,
        *,
        values: Mapping[str, object] | None = None,
        also: Callable[[sa.Connection], None] = lambda _: None,
        forget: bool = True,
    ) -> Job:
        client = self._dbos()
        now = time.time()
        with self.database.begin() as connection:
            row = connection.execute(sa.select(jobs).where(jobs.c.id == job_id)).mappings().first()
            if row is None:
                raise NotFound(f"There is no job {job_id!r}.")
            if row["state"] not in [state.value for state in states]:
                raise Conflict(f"This can't be done: the job is {row['state']}.")
            attempt = row["attempt"] + 1
            run_id = f"{job_id}-{attempt}"
            fresh = {**_fresh(row["steps"], now), "attempt": attempt, "run_id": run_id, "priority": priority, **(values or {})}
            mine = sa.update(jobs).where(jobs.c.run_id == row["run_id"], jobs.c.state == row["state"])
            if connection.execute(mine.values(fresh)).rowcount == 0:
                raise Conflict("The job changed at this very moment.", remedy="Look at its state and try again.")
            also(connection)
            _enqueue(client, connection, str(fresh.get("lane", row["lane"])), run_id, priority)
        self._ring()
        if forget:
            self._forget([row["run_id"]])
        return self.job(job_id)

    def _forget(self, run_ids: Sequence[str]) -> None:
        # Only spares a worker the look: a run whose row is not queued any more does nothing when it is started.
        if not run_ids:
            return
        try:
            self._dbos().cancel_workflows(list(run_ids))
        except Exception:  # the row has decided already
            log.warning("DBOS did not forget %d cancelled runs", len(run_ids), exc_info=True)


def _enqueue(client: DBOSClient, connection: sa.Connection, lane: str, run_id: str, priority: int) -> None:
    from dbos import WorkflowSerializationFormat

    client.enqueue_in_transaction(
        connection,
        {
            "workflow_name": WORKFLOW,
            "queue_name": lane,
            "workflow_id": run_id,
            "app_version": APPLICATION_VERSION,
            "priority": priority,
            "serialization_type": WorkflowSerializationFormat.PORTABLE,
        },
        run_id,
    )


def _fresh(steps: int, now: float) -> dict[str, object]:
    return {
        "state": JobState.queued.value,
        "progress": 0.0,
        "step": 0,
        "steps": steps,
        "note": "",
        "eta_s": None,
        "preview": 0,
        "cancel_requested": False,
        "crashes": 0,
        "started_at": None,
        "finished_at": None,
        "changed_at": now,
        "error_code": None,
        "error_message": None,
        "error_remedy": None,
        "error_field": None,
    }


def _end(state: JobState, now: float) -> dict[str, object]:
    return {"state": state.value, "finished_at": now, "changed_at": now, "note": "", "eta_s": None, "preview": 0}


def _problem(error: LikenessError) -> dict[str, object]:
    return {"error_code": error.code, "error_message": error.message, "error_remedy": error.remedy, "error_field": error.field}


def _cancel_queued(now: float, *more: JobState) -> sa.Update:
    waiting = [state.value for state in (JobState.queued, *more)]
    return sa.update(jobs).where(jobs.c.state.in_(waiting)).values(**_end(JobState.cancelled, now))


def _ask_running(now: float) -> sa.Update:
    return sa.update(jobs).where(jobs.c.state == JobState.running.value).values(cancel_requested=True, changed_at=now)


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _job(row: sa.RowMapping) -> Job:
    problem = None
    if row["error_code"]:
        problem = Problem(
            code=row["error_code"],
            message=row["error_message"],
            remedy=row["error_remedy"],
            field=row["error_field"],
            correlation_id=row["correlation_id"],
        )
    kind = JobKind(row["kind"])
    paints = kind is JobKind.generate
    return Job(
        id=row["id"],
        kind=kind,
        state=JobState(row["state"]),
        batch_id=row["batch_id"],
        attempt=row["attempt"],
        priority=row["priority"],
        request=GenerateRequest.model_validate_json(row["request"]) if paints else None,
        recipe=Recipe.model_validate_json(row["recipe"]) if paints else None,
        training=TrainRequest.model_validate_json(row["request"]) if kind is JobKind.train else None,
        captions=CaptionRequest.model_validate_json(row["request"]) if kind is JobKind.caption else None,
        progress=row["progress"],
        step=row["step"],
        steps=row["steps"],
        note=row["note"],
        eta_s=row["eta_s"],
        preview=row["preview"],
        cancel_requested=row["cancel_requested"],
        correlation_id=row["correlation_id"],
        created_at=datetime.fromtimestamp(row["created_at"], UTC),
        # A new attempt is written when it is enqueued, and what waits is written by nobody else.
        queued_at=_time(row["created_at"] if row["attempt"] == 1 else row["changed_at"]) if row["state"] == JobState.queued.value else None,
        started_at=_time(row["started_at"]),
        finished_at=_time(row["finished_at"]),
        error=problem,
    )
