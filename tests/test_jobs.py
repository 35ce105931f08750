"""Jobs move from state to state as people and workers say, on SQLite and PostgreSQL alike."""

from __future__ import annotations

import threading

import pytest
import sqlalchemy as sa

from studio.contracts import GenerateRequest, JobKind, JobState, Recipe
from studio.db import Database
from studio.db import jobs as jobs_table
from studio.errors import Conflict, InvalidFieldValue, NotFound, OutOfMemory
from studio.jobs import MAX_CRASHES, Jobs

REQUEST = GenerateRequest(prompt="portrait of a person")
RECIPE = Recipe(
    prompt="portrait of a person",
    negative_prompt="",
    preset=None,
    engine="embedded",
    model="starter",
    loras=(),
    width=64,
    height=64,
    steps=4,
    cfg=1,
    sampler="euler",
    scheduler="normal",
    seed=1,
    count=1,
)


@pytest.fixture
def jobs(database: Database) -> Jobs:
    return Jobs(database)


def submit(jobs: Jobs, count: int = 1, *, first: bool = False) -> tuple[str, ...]:
    return jobs.submit(JobKind.generate, [(REQUEST, RECIPE)] * count, correlation_id="click", first=first)[1]


def queued_run(jobs: Jobs, job_id: str) -> str:
    return f"{job_id}-{jobs.job(job_id).attempt}"


def waiting_runs(jobs: Jobs) -> list[str]:
    """What DBOS would start, in its order."""
    schema = "" if jobs.database.is_sqlite else "dbos."
    query = f"SELECT workflow_uuid FROM {schema}workflow_status WHERE status = 'ENQUEUED' ORDER BY priority, created_at"
    with jobs.database.read() as connection:
        return list(connection.execute(sa.text(query)).scalars())


def test_a_submitted_job_is_queued_in_both_books(jobs: Jobs) -> None:
    (job_id,) = submit(jobs)
    job = jobs.job(job_id)
    assert (job.state, job.attempt, job.request, job.recipe) == (JobState.queued, 1, REQUEST, RECIPE)
    assert job.correlation_id == "click"
    assert waiting_runs(jobs) == [f"{job_id}-1"]


def test_a_submission_that_fails_leaves_neither_row_nor_run(jobs: Jobs) -> None:
    with pytest.raises(AttributeError):
        jobs.submit(JobKind.generate, [(REQUEST, RECIPE), (REQUEST, None)], correlation_id="click")  # pyright: ignore[reportArgumentType]  # the fault
    assert jobs.jobs().items == ()
    assert waiting_runs(jobs) == []


def test_a_run_begins_reports_and_finishes(jobs: Jobs) -> None:
    (job_id,) = submit(jobs)
    run = jobs.begin(queued_run(jobs, job_id))
    assert run is not None
    assert run.recipe == RECIPE
    assert not jobs.progress(run.run_id, progress=0.5, note="Drawing", step=2, steps=4, eta_s=1.5, preview=1)
    job = jobs.job(job_id)
    assert (job.state, job.progress, job.step, job.eta_s, job.preview, job.note) == (JobState.running, 0.5, 2, 1.5, 1, "Drawing")
    with jobs.database.begin() as connection:
        assert jobs.finish(run.run_id, connection)
    job = jobs.job(job_id)
    assert (job.state, job.progress, job.eta_s, job.preview) == (JobState.done, 1.0, None, 0)
    assert job.finished_at is not None


def test_a_finished_run_that_is_started_again_does_nothing(jobs: Jobs) -> None:
    (job_id,) = submit(jobs)
    run_id = queued_run(jobs, job_id)
    jobs.begin(run_id)
    with jobs.database.begin() as connection:
        jobs.finish(run_id, connection)
    assert jobs.begin(run_id) is None
    assert jobs.job(job_id).state is JobState.done


def test_cancelling_a_queued_job_ends_it_at_once(jobs: Jobs) -> None:
    (job_id,) = submit(jobs)
    assert jobs.cancel(job_id).state is JobState.cancelled
    assert waiting_runs(jobs) == []
    assert jobs.begin(f"{job_id}-1") is None


def test_cancelling_a_running_job_is_told_to_its_next_report(jobs: Jobs) -> None:
    (job_id,) = submit(jobs)
    run_id = queued_run(jobs, job_id)
    jobs.begin(run_id)
    job = jobs.cancel(job_id)
    assert (job.state, job.cancel_requested) == (JobState.running, True)
    assert jobs.is_cancelled(run_id)
    assert jobs.progress(run_id, progress=0.1, note="", step=1, steps=4, eta_s=None, preview=0)
    assert jobs.end(run_id, JobState.cancelled)
    assert jobs.job(job_id).state is JobState.cancelled


def test_a_job_whose_cancel_met_a_crash_is_cancelled_at_its_next_start(jobs: Jobs) -> None:
    (job_id,) = submit(jobs)
    jobs.begin(f"{job_id}-1")
    jobs.cancel(job_id)
    assert jobs.begin(f"{job_id}-1") is None
    assert jobs.job(job_id).state is JobState.cancelled


def test_an_ended_job_can_not_be_cancelled(jobs: Jobs) -> None:
    (job_id,) = submit(jobs)
    jobs.cancel(job_id)
    with pytest.raises(Conflict):
        jobs.cancel(job_id)
    with pytest.raises(NotFound):
        jobs.cancel("nothing")


def test_retry_is_a_new_attempt_with_the_same_recipe(jobs: Jobs) -> None:
    (job_id,) = submit(jobs)
    jobs.begin(f"{job_id}-1")
    jobs.end(f"{job_id}-1", JobState.failed, OutOfMemory())
    failed = jobs.job(job_id)
    assert failed.error is not None
    assert (failed.error.code, bool(failed.error.remedy)) == ("OUT_OF_MEMORY", True)
    again = jobs.retry(job_id)
    assert (again.state, again.attempt, again.recipe, again.error) == (JobState.queued, 2, RECIPE, None)
    assert waiting_runs(jobs)[-1] == f"{job_id}-2"
    assert jobs.begin(f"{job_id}-1") is None, "the old attempt must never run again"
    assert jobs.begin(f"{job_id}-2") is not None


def test_a_done_or_running_job_can_not_be_retried(jobs: Jobs) -> None:
    (job_id,) = submit(jobs)
    with pytest.raises(Conflict):
        jobs.retry(job_id)
    jobs.begin(f"{job_id}-1")
    with jobs.database.begin() as connection:
        jobs.finish(f"{job_id}-1", connection)
    with pytest.raises(Conflict):
        jobs.retry(job_id)


def test_two_retries_at_once_make_one_attempt(jobs: Jobs) -> None:
    (job_id,) = submit(jobs)
    jobs.cancel(job_id)
    outcomes: list[object] = []

    def retry() -> None:
        try:
            outcomes.append(jobs.retry(job_id).attempt)
        except Conflict as error:
            outcomes.append(error)

    threads = [threading.Thread(target=retry) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count(2) == 1
    assert waiting_runs(jobs) == [f"{job_id}-2"]


def test_move_puts_a_job_first_or_last(jobs: Jobs) -> None:
    a, b, c = (submit(jobs)[0] for _ in range(3))
    jobs.move(c, "first")
    jobs.move(a, "last")
    assert waiting_runs(jobs) == [f"{c}-2", f"{b}-1", f"{a}-2"]


def test_a_job_that_is_submitted_first_goes_before_all_others(jobs: Jobs) -> None:
    (waiting,) = submit(jobs)
    (urgent,) = submit(jobs, first=True)
    (more_urgent,) = submit(jobs, first=True)
    assert waiting_runs(jobs) == [f"{more_urgent}-1", f"{urgent}-1", f"{waiting}-1"]


def test_a_run_that_was_taken_already_lets_one_go_first_that_was_moved_to_the_front(jobs: Jobs) -> None:
    first, second, third = submit(jobs, 3)
    taken = queued_run(jobs, first)
    moved = jobs.move(third, "first")
    assert jobs.begin(taken) is None, "it was at hand in the worker, and goes back"
    back = jobs.job(first)
    assert (back.state, back.attempt, back.priority) == (JobState.queued, 2, moved.priority)
    order = [run for run in waiting_runs(jobs) if run in {queued_run(jobs, each) for each in (first, second, third)}]
    assert order == [queued_run(jobs, third), queued_run(jobs, first), queued_run(jobs, second)], "right behind the other"
    for each in (third, first, second):
        assert jobs.begin(queued_run(jobs, each)) is not None
    assert jobs.begin(taken) is None


def test_what_waits_in_another_lane_goes_before_nobody(jobs: Jobs) -> None:
    (first,) = submit(jobs)
    other = RECIPE.model_copy(update={"engine": "comfyui"})
    jobs.submit(JobKind.generate, [(REQUEST, other)], correlation_id="click", first=True)
    assert jobs.begin(queued_run(jobs, first)) is not None


def test_what_waits_says_since_when(jobs: Jobs) -> None:
    first, second = submit(jobs, 2)
    jobs.cancel(first)
    assert jobs.job(first).queued_at is None
    again = jobs.retry(first)
    assert again.queued_at is not None
    assert (second_at := jobs.job(second).queued_at) is not None
    assert again.created_at < second_at < again.queued_at or again.created_at == second_at < again.queued_at
    assert waiting_runs(jobs) == [queued_run(jobs, second), queued_run(jobs, first)], "as the queue has it"


def test_a_running_job_can_not_be_moved(jobs: Jobs) -> None:
    (job_id,) = submit(jobs)
    jobs.begin(f"{job_id}-1")
    with pytest.raises(Conflict):
        jobs.move(job_id, "first")


def test_a_job_that_kills_its_worker_three_times_is_poisoned(jobs: Jobs) -> None:
    (job_id,) = submit(jobs)
    for _ in range(MAX_CRASHES):
        assert jobs.begin(f"{job_id}-1") is not None
    assert jobs.begin(f"{job_id}-1") is None
    job = jobs.job(job_id)
    assert job.state is JobState.poisoned
    assert job.error is not None
    assert job.error.code == "JOB_POISONED"
    assert jobs.retry(job_id).state is JobState.queued


def test_clean_stops_are_no_crashes(jobs: Jobs) -> None:
    (job_id,) = submit(jobs)
    for _ in range(MAX_CRASHES + 2):
        assert jobs.begin(f"{job_id}-1") is not None
        jobs.put_back(f"{job_id}-1")
        assert jobs.job(job_id).state is JobState.queued


def test_cancel_all_takes_one_batch_or_everything(jobs: Jobs) -> None:
    ours = submit(jobs, 3)
    others = submit(jobs, 2)
    jobs.begin(f"{ours[0]}-1")
    assert jobs.cancel_all(batch_id=jobs.job(ours[0]).batch_id) == 3
    assert {jobs.job(job_id).state for job_id in others} == {JobState.queued}
    assert jobs.cancel_all() == 2
    assert waiting_runs(jobs) == [f"{ours[0]}-1"]


def test_pages_walk_all_jobs_newest_first_without_gaps(jobs: Jobs) -> None:
    made = [job_id for _ in range(3) for job_id in submit(jobs, 4)]
    seen: list[str] = []
    cursor = None
    while True:
        page = jobs.jobs(limit=5, cursor=cursor)
        seen += [job.id for job in page.items]
        cursor = page.next
        if cursor is None:
            break
    assert sorted(seen) == sorted(made)
    assert len(set(seen)) == len(made)
    with pytest.raises(InvalidFieldValue):
        jobs.jobs(cursor="nonsense")


def test_jobs_are_filtered_by_state_and_batch(jobs: Jobs) -> None:
    a, b = submit(jobs, 2)
    submit(jobs)
    jobs.cancel(a)
    assert [job.id for job in jobs.jobs(states=[JobState.cancelled]).items] == [a]
    assert {job.id for job in jobs.jobs(batch_id=jobs.job(a).batch_id).items} == {a, b}
    assert jobs.counts() == {JobState.queued: 2}


def test_changes_come_in_the_order_they_happened(jobs: Jobs) -> None:
    a, b = submit(jobs, 2)
    since = jobs.job(b).created_at.timestamp()
    jobs.cancel(b)
    jobs.cancel(a)
    assert [job.id for job in jobs.changes(since)][-2:] == [b, a]


def test_watch_ends_with_the_job(jobs: Jobs, database: Database) -> None:
    (job_id,) = submit(jobs)
    seen = jobs.watch(job_id, timeout_s=20)
    assert next(seen).state is JobState.queued
    jobs.begin(f"{job_id}-1")
    assert next(seen).state is JobState.running
    with database.begin() as connection:
        connection.execute(sa.update(jobs_table).values(progress=0.5))
    assert next(seen).progress == 0.5
    jobs.end(f"{job_id}-1", JobState.cancelled)
    assert [job.state for job in seen] == [JobState.cancelled]
