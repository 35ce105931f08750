"""`kill -9` of worker and page at any point: every accepted job is finished once, no picture twice, none missing, the same pixels.

A kill is aimed: the worker is stopped (SIGSTOP) when its job seems to be in the wanted phase, looked at, and then either killed or let go
again. What is printed and counted is the phase found by looking, not the one hoped for.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app import HOME, open_studio
from bench.rig import free_port
from studio.contracts import GenerateRequest, JobState
from studio.settings import Settings
from studio.studio import Studio

PHASES = ("loading", "step", "thumbnail", "between file and row", "row")
PROMPTS = (
    "portrait of a person with long red hair, tan skin, wearing a green hoodie, light blue background, cartoon style",
    "portrait of a person with short black hair, dark skin, round glasses, wearing a red shirt, yellow background, flat avatar style",
    "portrait of a person with a mohawk, pale skin, smiling, white background, ink comic style",
)
JOB_S = 90.0


@pytest.mark.timeout(900)
def test_kills_lose_and_double_nothing(settings: Settings, tmp_path: Path) -> None:
    seed = int(os.environ.get("LIKENESS_KILL_SEED", random.SystemRandom().randrange(10**6)))
    hits = kill_again_and_again(settings, tmp_path, seed, targets=[*PHASES, "web"], while_idle=0)
    assert set(PHASES) <= set(hits), hits


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_thirty_kills_lose_and_double_nothing(settings: Settings, tmp_path: Path) -> None:
    seed = int(os.environ.get("LIKENESS_KILL_SEED", random.SystemRandom().randrange(10**6)))
    targets = [*PHASES * 4, "web", "both", "web", "both", "any", "any"]
    hits = kill_again_and_again(settings, tmp_path, seed, targets=targets, while_idle=4)
    assert set(PHASES) <= set(hits), hits
    assert sum(hits.values()) == 30
    assert sum(count for phase, count in hits.items() if phase != "idle") >= 20, hits


def kill_again_and_again(settings: Settings, tmp_path: Path, seed: int, *, targets: list[str], while_idle: int) -> Counter[str]:
    """Kill once per target, in an order drawn from `seed`; check the whole library at the end; gives the phases that were hit."""
    dice = random.Random(seed)
    print(f"\nLIKENESS_KILL_SEED={seed}")
    order = [*targets, *["idle"] * while_idle]
    dice.shuffle(order)
    studio = open_studio(settings)
    victims = Victims(settings)
    hits: Counter[str] = Counter()
    jobs: list[str] = []
    began = time.monotonic()
    try:
        victims.start()
        for number, target in enumerate(order):
            if target == "idle":
                settle(studio, jobs)
            else:
                jobs.append(studio.generate(request(len(jobs))).job_id)
            phase = victims.strike(target, jobs[-1] if jobs else "", dice)
            hits[phase] += 1
            print(f"{time.monotonic() - began:6.1f} s, kill {number + 1:2}: aimed at {target}, hit {phase}")
            victims.start()
        settle(studio, jobs)
    finally:
        victims.end()
    check_library(studio, settings, jobs)
    compare_with_an_uninterrupted_run(studio, jobs, tmp_path)
    return hits


def request(number: int) -> GenerateRequest:
    # Big and long enough that every phase lasts; the seed makes each picture its own.
    return GenerateRequest(prompt=PROMPTS[number % len(PROMPTS)], seed=number, width=128, height=128, steps=16, count=1 + number % 2)


class Victims:
    """The web process and the worker of one data root, started without a supervisor so that the test decides when they live."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start what is not alive."""
        for verb, options in (("worker", []), ("web", ["--port", str(free_port())])):
            process = self.processes.get(verb)
            if process is None or process.poll() is not None:
                if process and process.stdin:
                    process.stdin.close()
                command = [sys.executable, str(HOME / "app.py"), verb, "--data", str(self.settings.data), *options]
                with (self.settings.data / f"{verb}.out").open("ab") as out:
                    # One thread: on a busy machine two OpenMP threads wait for each other most of the time.
                    environment = {**os.environ, "LIKENESS_THREADS": "1", "OMP_NUM_THREADS": "1"}
                    self.processes[verb] = subprocess.Popen(
                        command, cwd=HOME, env=environment, stdin=subprocess.PIPE, stdout=out, stderr=out
                    )

    def strike(self, target: str, job_id: str, dice: random.Random) -> str:
        """Kill what `target` says at the moment it says; gives the phase the job was in."""
        worker = self.processes["worker"]
        look = Look(self.settings.data, job_id)
        if target in PHASES:
            phase = self._catch(worker, look, target)
        else:
            if target != "idle":
                wait_for(lambda: look.phase() != "queued", JOB_S)
                time.sleep(dice.uniform(0, 1.0))
            phase = look.phase()
        if target in ("web", "both", "any"):
            self._kill("web")
        if target != "web":
            self._kill("worker")
        return "idle" if phase in ("queued", "settled") else phase

    def _catch(self, worker: subprocess.Popen[bytes], look: Look, target: str) -> str:
        until = time.monotonic() + JOB_S
        while time.monotonic() < until:
            if not look.seems(target):
                # Looking without pause would take a core from the engine, and two busy threads on it slow each other tenfold.
                time.sleep(0.005 if target in ("loading", "step") else 0.0003)
                continue
            worker.send_signal(signal.SIGSTOP)
            phase = look.phase()
            if phase == target:
                return phase
            worker.send_signal(signal.SIGCONT)
            if phase == "settled":
                # It slipped through: the moment was too short this time. Any phase is a fair kill; the caller asks again.
                pytest.fail(f"the phase {target!r} was never caught")
        pytest.fail(f"the job never came to the phase {target!r}")

    def _kill(self, verb: str) -> None:
        process = self.processes[verb]
        process.kill()
        process.wait()

    def end(self) -> None:
        for verb, process in self.processes.items():
            self._kill(verb)
            if process.stdin:
                process.stdin.close()


class Look:
    """What can be seen of one job from outside, without asking the processes."""

    def __init__(self, data: Path, job_id: str) -> None:
        self.job_id = job_id
        self.database = sqlite3.connect(data / "likeness.db", timeout=30)
        self.pictures = data / "pictures"
        self.thumbnails = data / "thumbnails"

    def phase(self) -> str:
        state, step, run_id = self.row()
        if state == "queued":
            return "queued"
        if state != "running":
            ended = self.database.execute("SELECT status FROM workflow_status WHERE workflow_uuid = ?", (run_id,)).fetchone()
            return "row" if ended and ended[0] == "PENDING" else "settled"
        files = len(list(self.pictures.glob(f"*/{self.job_id}-*.png")))
        thumbnails = len(list(self.thumbnails.glob(f"*/{self.job_id}-*.webp")))
        rows = self.database.execute("SELECT count(*) FROM pictures WHERE job_id = ?", (self.job_id,)).fetchone()[0]
        if files > thumbnails:
            return "thumbnail"
        if files > rows:
            return "between file and row"
        return "step" if step else "loading"

    def seems(self, target: str) -> bool:
        """A cheap guess at the phase; `phase` looks properly once the worker stands still."""
        if target in ("thumbnail", "between file and row"):
            folder = self.pictures if target == "thumbnail" else self.thumbnails
            return any(name.startswith(self.job_id) for month in folder.glob("*") for name in os.listdir(month))
        return self.phase() in (target, "settled")

    def row(self) -> tuple[str, int, str]:
        found = self.database.execute("SELECT state, step, run_id FROM jobs WHERE id = ?", (self.job_id,)).fetchone()
        return found or ("queued", 0, "")


def settle(studio: Studio, jobs: list[str]) -> None:
    """Wait until every job has ended."""
    wait_for(lambda: all(studio.job(job_id).state.ended for job_id in jobs), JOB_S * 2)


def check_library(studio: Studio, settings: Settings, jobs: list[str]) -> None:
    """Every job done once, every row with its file, every file with its row."""
    shown = {picture.id: picture for picture in studio.pictures(limit=500).items}
    for job_id in jobs:
        job = studio.job(job_id)
        assert job.state is JobState.done, (job_id, job.state, job.error)
        made = [picture for picture in shown.values() if picture.job_id == job_id]
        assert sorted(picture.index for picture in made) == list(range(job.recipe.count)), job_id
    for picture in shown.values():
        assert studio.picture_file(picture.id).stat().st_size == picture.bytes
        assert studio.thumbnail(picture.id).is_file()
    on_disk = {path.stem for path in (settings.data / "pictures").rglob("*.png")}
    assert on_disk == set(shown)


def compare_with_an_uninterrupted_run(studio: Studio, jobs: list[str], tmp_path: Path) -> None:
    """The same recipes in a fresh data root, undisturbed: the same pixels."""
    calm = studio.settings.model_copy(update={"data": tmp_path / "calm"})
    calm_studio = open_studio(calm)
    undisturbed = Victims(calm)
    try:
        undisturbed.start()
        again = [calm_studio.generate(studio.job(job_id).request).job_id for job_id in jobs]
        settle(calm_studio, again)
    finally:
        undisturbed.end()
    for job_id, calm_id in zip(jobs, again, strict=True):
        for index in range(studio.job(job_id).recipe.count):
            one = pixels(studio.picture_file(f"{job_id}-{index:02d}"))
            other = pixels(calm_studio.picture_file(f"{calm_id}-{index:02d}"))
            assert np.array_equal(one, other), f"{job_id}-{index:02d} differs from the uninterrupted run"


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it took too long"
        time.sleep(0.02)
