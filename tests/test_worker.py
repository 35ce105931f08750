"""The worker process: what a job's end looks like when its engine hangs, dies, fails or is told to stop."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from app import HOME, open_studio
from studio.bell import Ear
from studio.contracts import CharacterFields, GenerateRequest, Job, JobKind, JobState
from studio.dispatch import Claims, Lookout
from studio.errors import DataRootLocked
from studio.jobs import LANE_LOCAL, Run
from studio.settings import Settings, load_settings
from studio.studio import Studio
from studio.worker import EXIT_STUCK, Worker, data_root_lock
from tests.conftest import own_postgres_database


@pytest.fixture
def studio(settings: Settings) -> Studio:
    return open_studio(settings)


class OddWorker:
    """A worker process with the odd engine, started and stopped by the test."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PYTHONPATH": str(HOME)}
        self.process = subprocess.Popen([sys.executable, str(HOME / "tests" / "odd_worker.py"), str(self.data)], cwd=HOME, env=environment)
        return self.process


@pytest.fixture
def worker(settings: Settings) -> Iterator[OddWorker]:
    odd = OddWorker(settings.data)
    yield odd
    if odd.process and odd.process.poll() is None:
        odd.process.kill()
        odd.process.wait()


def ask(studio: Studio, prompt: str, count: int = 1) -> str:
    return studio.generate(GenerateRequest(prompt=prompt, width=64, height=64, steps=2, count=count)).job_id


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it took too long"
        time.sleep(0.02)


def ended(studio: Studio, job_id: str) -> Job:
    wait_for(lambda: studio.job(job_id).state.ended)
    return studio.job(job_id)


def test_jobs_run_in_order_and_their_pictures_are_kept(studio: Studio, worker: OddWorker) -> None:
    ids = [ask(studio, f"fine {number}", count=2) for number in range(3)]
    worker.start()
    assert [ended(studio, job_id).state for job_id in ids] == [JobState.done] * 3
    starts = [studio.job(job_id).started_at for job_id in ids]
    assert starts == sorted(starts, key=str)
    assert [len(studio.artifacts(job_id)) for job_id in ids] == [2, 2, 2]


def test_a_run_that_begins_while_the_worker_stops_goes_back_and_counts_as_no_crash(studio: Studio, settings: Settings) -> None:
    worker = Worker(settings, studio.database, {}, {JobKind.generate: lambda _, report: report(0.1, "Thinking")})
    begin, begun = worker.jobs.begin, threading.Event()

    def slowly(run_id: str) -> Run | None:
        run = begin(run_id)
        begun.set()
        # The row says that it runs, and its thread has not got any further.
        time.sleep(0.5)
        return run

    worker.jobs.begin = slowly  # pyright: ignore[reportAttributeAccessIssue]
    job_id = ask(studio, "fine")
    threading.Thread(target=worker._run, args=(f"{job_id}-1",), daemon=True).start()
    assert begun.wait(30)
    assert studio.job(job_id).state is JobState.running
    worker.stop()
    assert studio.job(job_id).state is JobState.queued
    crashes = sa.text("SELECT crashes FROM jobs WHERE id = :id")
    with studio.database.read() as connection:
        assert connection.execute(crashes, {"id": job_id}).scalar() == 0


def test_what_is_moved_to_the_front_goes_before_what_the_worker_has_at_hand(studio: Studio, worker: OddWorker) -> None:
    running, at_hand, third, last = ask(studio, "slow"), ask(studio, "fine 1"), ask(studio, "fine 2"), ask(studio, "fine 3")
    worker.start()
    wait_for(lambda: studio.job(running).state is JobState.running)
    # The worker takes the next one from the queue while it works.
    wait_for(lambda: taken(studio, at_hand))
    studio.move(last, "first")
    studio.cancel(running)
    assert [ended(studio, each).state for each in (at_hand, third, last)] == [JobState.done] * 3
    assert sorted((at_hand, third, last), key=lambda each: str(studio.job(each).started_at)) == [last, at_hand, third]


def taken(studio: Studio, job_id: str) -> bool:
    query = sa.text("SELECT status FROM workflow_status WHERE workflow_uuid = :run")
    with studio.database.read() as connection:
        return connection.execute(query, {"run": f"{job_id}-1"}).scalar() == "PENDING"


def test_a_worker_starts_without_what_only_some_jobs_need(studio: Studio, settings: Settings) -> None:
    code = "import sys\nfrom pathlib import Path\nimport app\nfrom studio.db import open_database\n"
    code += "from studio.settings import load_settings\n"
    code += f"settings = load_settings(Path({str(settings.data)!r}))\n"
    code += "worker = app.make_worker(settings, open_database(settings.database))\n"
    code += "print(sorted(kind.value for kind in worker.handlers))\n"
    code += "print([name for name in ('numpy', 'torch', 'diffusers', 'gradio', 'alembic', 'studio.vision_model') if name in sys.modules])"
    told = subprocess.run([sys.executable, "-c", code], cwd=HOME, capture_output=True, text=True, timeout=120, check=False)
    assert told.stdout.splitlines() == ["['caption', 'generate', 'train']", "[]"], told.stderr


def test_runs_have_their_turn_in_the_order_of_the_queue_whichever_thread_comes_first() -> None:
    claims = Claims()
    claims.add("local", ["first", "second"])
    claims.add("comfyui", ["elsewhere"])
    assert [claims.arrived(run_id) for run_id in ("second", "elsewhere", "recovered")] == ["local", "comfyui", None]
    assert not claims.is_next("second")
    assert claims.is_next("elsewhere") and claims.is_next("recovered")
    claims.arrived("first")
    assert claims.is_next("first") and not claims.is_next("second")
    claims.forget("first")
    assert claims.is_next("second")


def test_an_engine_that_shows_no_progress_is_given_up_and_the_next_job_runs(studio: Studio, worker: OddWorker) -> None:
    stuck, fine = ask(studio, "hang forever"), ask(studio, "fine")
    process = worker.start()
    assert process.wait(30) == EXIT_STUCK
    job = studio.job(stuck)
    assert job.error is not None
    assert (job.state, job.error.code, bool(job.error.remedy)) == (JobState.failed, "ENGINE_TIMEOUT", True)
    worker.start()
    assert ended(studio, fine).state is JobState.done
    assert studio.job(stuck).state is JobState.failed


def test_a_job_that_kills_every_worker_is_poisoned_and_the_next_one_runs(studio: Studio, worker: OddWorker) -> None:
    deadly, fine = ask(studio, "die now"), ask(studio, "fine")
    for _ in range(3):
        assert worker.start().wait(30) == -signal.SIGKILL
    worker.start()
    job = ended(studio, deadly)
    assert job.error is not None
    assert (job.state, job.error.code) == (JobState.poisoned, "JOB_POISONED")
    assert ended(studio, fine).state is JobState.done


def test_a_fault_of_our_own_is_told_without_its_inner_words(studio: Studio, worker: OddWorker) -> None:
    job_id = ask(studio, "boom")
    worker.start()
    job = ended(studio, job_id)
    assert job.error is not None
    assert (job.state, job.error.code) == (JobState.failed, "UNKNOWN_ERROR")
    assert "hunter2" not in job.error.message
    assert any("RuntimeError" in str(line) for line in studio.job_log(job_id))


def test_an_error_with_a_remedy_reaches_the_job_as_it_is(studio: Studio, worker: OddWorker) -> None:
    job_id = ask(studio, "memory")
    worker.start()
    job = ended(studio, job_id)
    assert job.error is not None
    assert (job.error.code, job.error.message, job.error.remedy) == ("OUT_OF_MEMORY", "It did not fit.", "Make it smaller.")


def test_a_running_job_shows_previews_and_stops_when_it_is_cancelled(studio: Studio, worker: OddWorker) -> None:
    job_id = ask(studio, "slow")
    worker.start()
    wait_for(lambda: studio.job(job_id).preview >= 2)
    assert studio.preview(job_id).read_bytes()[:4] == b"RIFF"
    assert (studio.job(job_id).eta_s or 0) > 0
    asked = time.monotonic()
    studio.cancel(job_id)
    assert ended(studio, job_id).state is JobState.cancelled
    assert time.monotonic() - asked < 5
    assert not list(studio.settings.data.glob("jobs/*/*/preview.webp"))


def test_a_clean_stop_puts_the_job_back_and_the_next_start_goes_on_with_the_same_run(studio: Studio, worker: OddWorker) -> None:
    job_id = ask(studio, "slow")
    for _ in range(4):
        process = worker.start()
        wait_for(lambda: studio.job(job_id).state is JobState.running)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert studio.job(job_id).state is JobState.queued
        assert not studio.ready(), "a worker that has left is not said to run"
    worker.start()
    assert ended(studio, job_id).state is JobState.done
    assert studio.job(job_id).attempt == 1
    assert len(studio.artifacts(job_id)) == 1


def test_the_same_studio_runs_on_postgresql(tmp_path: Path, postgres_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIKENESS_DATABASE_URL", own_postgres_database(postgres_server))
    settings = load_settings(tmp_path / "data")
    studio, worker = open_studio(settings), OddWorker(settings.data)
    slow, fine = ask(studio, "slow"), ask(studio, "fine", count=2)
    process = worker.start()
    wait_for(lambda: studio.job(slow).state is JobState.running)
    process.kill()
    process.wait()
    process = worker.start()
    wait_for(lambda: studio.job(slow).preview > 0)
    studio.cancel(slow)
    assert ended(studio, slow).state is JobState.cancelled
    assert ended(studio, fine).state is JobState.done
    assert len(studio.artifacts(fine)) == 2
    assert studio.health().ok
    process.terminate()
    assert process.wait(30) == 0
    studio.database.close()


def test_one_data_root_has_one_worker(studio: Studio, worker: OddWorker) -> None:
    first = ask(studio, "slow")
    worker.start()
    wait_for(lambda: studio.job(first).state is JobState.running)
    with pytest.raises(DataRootLocked), data_root_lock(studio.settings):
        pass


def test_a_killed_worker_leaves_the_lock_free(studio: Studio, worker: OddWorker) -> None:
    first = ask(studio, "slow")
    process = worker.start()
    wait_for(lambda: studio.job(first).state is JobState.running)
    process.kill()
    process.wait()
    with data_root_lock(studio.settings):
        pass


FILL_UP = """
import os, subprocess, sys, time
from pathlib import Path
from app import HOME, open_studio
from studio.contracts import GenerateRequest
from studio.settings import load_settings

data = Path(sys.argv[1]) / "data"
studio = open_studio(load_settings(data))
ask = lambda prompt: studio.generate(GenerateRequest(prompt=prompt, width=64, height=64, steps=2)).job_id

def wait(condition):
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)

slow = ask("slow")
worker = subprocess.Popen([sys.executable, str(HOME / "tests" / "odd_worker.py"), str(data)], cwd=HOME)
wait(lambda: studio.job(slow).preview >= 1)
ballast = data.parent / "ballast"
with open(ballast, "wb", buffering=0) as file:
    try:
        while True:
            file.write(bytes(4096))
    except OSError:
        pass
time.sleep(4)
assert worker.poll() is None, "the worker must outlive a full disk"
ballast.unlink()
wait(lambda: studio.job(slow).state.ended)
told = studio.job(slow)
after = ask("a person")
wait(lambda: studio.job(after).state.ended)
pictures = [path.name for path in data.glob("pictures/**/*") if path.is_file()]
print(told.state.value, told.error.code, bool(told.error.remedy))
print(studio.job(after).state.value, pictures == [f"{after}-00.png"], worker.poll())
worker.kill()
os._exit(0)
"""


@pytest.mark.skipif(shutil.which("unshare") is None or os.geteuid() != 0, reason="a small disk of its own needs Linux and root")
def test_a_disk_that_fills_up_under_a_job_fails_it_in_words_and_the_next_one_runs(tmp_path: Path) -> None:
    script, small = tmp_path / "fill_up.py", tmp_path / "small"
    small.mkdir()
    script.write_text(FILL_UP)
    told = subprocess.run(
        ["unshare", "-m", "sh", "-c", f"mount -t tmpfs -o size=80m tmpfs {small} && exec {sys.executable} {script} {small}"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(HOME)},
        check=False,
    )
    assert told.stdout.split() == ["failed", "DISK_FULL", "True", "done", "True", "None"], told.stderr


def test_the_queue_is_asked_after_every_change_and_seldom_otherwise(studio: Studio) -> None:
    over = threading.Event()
    lookout = Lookout(studio.database, 0.05, ear=Ear(studio.settings.data), anyway_s=60, over=over.is_set)
    looks: list[float] = []

    def look() -> None:
        while not over.is_set():
            lookout.wait(LANE_LOCAL)
            looks.append(time.monotonic())

    looking = threading.Thread(target=look)
    looking.start()
    wait_for(lambda: bool(looks), 5)
    wait_for(lambda: time.monotonic() - looks[-1] > 1, 30)
    quiet = len(looks)
    time.sleep(1)
    assert len(looks) == quiet, "a database that nobody writes to is left alone"
    ask(studio, "a person")
    # It would wait for another minute.
    wait_for(lambda: len(looks) > quiet + 5, 20)  # and looks again as long as it waits, should a place become free
    studio.cancel_all()
    wait_for(lambda: time.monotonic() - looks[-1] > 1, 30)
    quiet = len(looks)
    studio.create_character(CharacterFields(name="Mara"))
    time.sleep(1)
    assert len(looks) == quiet, "what is written beside jobs is none of its business"
    over.set()
    looking.join(5)
    assert not looking.is_alive(), "who waits is let go"


def test_where_nobody_tells_of_changes_the_queue_is_asked_all_the_time(tmp_path: Path) -> None:
    class Blind:
        def change_mark(self) -> None:
            return None

    lookout = Lookout(Blind(), 0.02, ear=Ear(tmp_path), anyway_s=60)  # pyright: ignore[reportArgumentType]
    for _ in range(5):
        lookout.wait("a lane")
