"""The stand-in does as the recorded runs of AI-Toolkit 0.12.26 did: what it prints, writes and says in its database, and how it ends."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aitoolkit.toolkits import behave, small_recipe
from PIL import Image

from engines.aitoolkit.config import ARCHES, Places, config, job_name, written
from engines.aitoolkit.watch import JobTable, Printed, read_losses
from studio.training import TrainRecipe

# What the stand-in has no model for, and therefore doesn't say.
UNSAID = re.compile(
    r"neuron dropout|create LoRA|enable LoRA|Bucket sizes|64x64|1 buckets|Loading (from|optimizer)|Updating optimizer|Missing keys"
    r"|Caching latents|Saving latents|Dataset:|Preprocessing| +-  Found"
)


class Watched:
    """One start of the stand-in: what its database said meanwhile, and how it ended."""

    def __init__(self, toolkit: Path, folder: Path, recipe: TrainRecipe, act: Callable[[Watched], None] | None = None) -> None:
        folder.mkdir(exist_ok=True)
        dataset = folder / "dataset"
        dataset.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8)).save(dataset / "a.png")
        (dataset / "a.txt").write_text("a")
        self.name = job_name(recipe)
        self.root = folder / "out" / self.name
        self.table = JobTable(folder / "jobs.db", self.name)
        self.table.begin()
        places = Places(folder / "out", dataset, folder / "jobs.db")
        told = config(recipe, ARCHES["sd15"], Path("x/y"), places, trainer="diffusion_trainer", device="cpu", seen=False)
        (folder / "config.json").write_bytes(written(told))
        environment = os.environ | {"AITK_JOB_ID": self.name}
        self.events: list[tuple[str, str]] = []
        with (folder / "out.log").open("wb") as out, (folder / "err.log").open("wb") as err:
            command = [sys.executable, "run.py", str(folder / "config.json")]
            self.process = subprocess.Popen(command, cwd=toolkit, env=environment, stdout=out, stderr=err, start_new_session=True)
        ended = False
        while not ended:
            # Asked first: what was said last is read after the end.
            ended = self.process.poll() is not None
            row = self.table.read()
            if row is not None and (not self.events or self.events[-1] != (row.status, row.info)):
                self.events.append((row.status, row.info))
            if act is not None and row is not None and row.step >= 25:
                act(self)
                act = None
            time.sleep(0.002)
        self.rc = self.process.returncode
        self.stdout = (folder / "out.log").read_text("utf-8")
        self.printed = Printed(folder / "out.log", folder / "err.log", self.name)
        self.printed.follow()
        self.row = self.table.read()

    def requeue(self) -> None:
        with sqlite3.connect(self.root.parent.parent / "jobs.db", timeout=30) as connection:
            connection.execute("UPDATE Job SET return_to_queue = 1")

    def files(self) -> set[str]:
        return {re.sub(r"\d+__", "", str(path.relative_to(self.root))) for path in self.root.rglob("*") if path.is_file()}


def said(text: str, name: str) -> list[str]:
    """What a run printed, without what tells one from another."""
    lines = [line for line in text.replace(name, "JOB").splitlines() if line.strip() and not UNSAID.search(line)]
    lines = [re.sub(r"(<root>|/[^ ]*?)/(out|jobs)/", "/", line) for line in lines if not line.startswith((" ", "{", "}"))]
    return [line for line in lines if not line.startswith(("Using SQLite", "Job ID"))]


def recorded_files(run: dict[str, Any], name: str) -> set[str]:
    return {re.sub(r"\d+__", "", file.replace(name, "JOB")) for file in run["files"]}


def test_a_whole_run_is_as_recorded(toolkit: Path, tmp_path: Path, recorded: dict[str, Any]) -> None:
    run = recorded["10_ui_full"]
    behave(toolkit, step_s=0.004)
    watched = Watched(toolkit, tmp_path / "run", small_recipe(steps=60, save_every=20, sample_every=20))
    assert watched.rc == run["rc"] == 0
    assert said(watched.stdout, watched.name) == said(run["stdout"], "ui_full")
    assert {file.replace(watched.name, "JOB") for file in watched.files()} >= recorded_files(run, "ui_full") - {
        "loss_log.db-shm",
        "loss_log.db-wal",
    }
    seen = [(status, info) for status, info, _ in run["events"]]
    assert set(watched.events) <= {*seen, ("queued", ""), ("running", "Starting")}
    assert watched.events[-1] == seen[-1] == ("completed", "Training completed")
    losses = [one.step - 1 for one in read_losses(watched.root / "loss_log.db", 0)]
    assert [losses[0], losses[-1], len(losses)] == run["losses"], "the first step is never logged"
    assert sorted(watched.printed.bars)[:60] == list(range(1, 61))
    assert watched.row is not None and watched.row.step == run["row"]["step"]


@pytest.mark.parametrize(
    ("tag", "act"),
    [
        ("22_sigterm_ui", lambda run: os.killpg(run.process.pid, signal.SIGTERM)),
        ("23_sigint_ui", lambda run: os.killpg(run.process.pid, signal.SIGINT)),
        ("24_stopflag_ui", lambda run: run.table.ask("stop")),
        ("25_requeue_ui", lambda run: run.requeue()),
    ],
)
def test_an_end_before_the_end_is_as_recorded(tag: str, act: Any, toolkit: Path, tmp_path: Path, recorded: dict[str, Any]) -> None:
    # The recorded ones struck between two saves: steps are slow enough for 15 of them to be a while on a busy computer, too.
    behave(toolkit, step_s=0.04)
    # SIGTERM leaves the row as it is at that moment.
    save_every = 1000 if tag == "22_sigterm_ui" else 20
    watched = Watched(toolkit, tmp_path / "run", small_recipe(steps=2000, save_every=save_every, sample_every=5000, samples=()), act)
    run = recorded[tag]
    assert watched.rc == run["rc"]
    assert watched.row is not None and (watched.row.status, watched.row.info) == (run["row"]["status"], run["row"]["info"])
    if tag != "22_sigterm_ui":
        last = [re.sub(r"\d{9}", "STEP", line) for line in said(watched.stdout, watched.name)[-5:]]
        assert last == [re.sub(r"\d{9}", "STEP", line) for line in said(run["stdout"], tag[3:])[-5:]]
    if tag != "22_sigterm_ui":
        assert watched.row.step % 20 == 0 and run["row"]["step"] % 30 == 0, "the step goes back to that of the last save"
    assert f"{watched.name}.safetensors" not in watched.files()


@pytest.mark.parametrize(
    ("tag", "column", "words"), [("26_savenow_ui", "save_now", "Saving"), ("27_samplenow_ui", "sample_now", "Sampling")]
)
def test_what_it_is_asked_between_is_done_as_recorded(
    tag: str, column: str, words: str, toolkit: Path, tmp_path: Path, recorded: dict[str, Any]
) -> None:
    behave(toolkit, step_s=0.02)
    watched = Watched(toolkit, tmp_path / "run", small_recipe(steps=60, save_every=50, sample_every=50), lambda run: run.table.ask(column))
    for text, regular in ((watched.stdout, 50), (recorded[tag]["stdout"], 30)):
        steps = [int(found) for found in re.findall(rf"{words} at step (\d+)", text)]
        assert len([step for step in steps if step % regular]) == 1
    assert watched.rc == recorded[tag]["rc"] == 0


def test_a_finished_run_started_again_is_as_recorded(toolkit: Path, tmp_path: Path, recorded: dict[str, Any]) -> None:
    recipe = small_recipe(samples=())
    Watched(toolkit, tmp_path / "run", recipe)
    again = Watched(toolkit, tmp_path / "run", recipe)
    run = recorded["29_resume_completed"]
    assert again.rc == run["rc"] == 0
    for text, step in ((again.stdout, 30), (run["stdout"], 60)):
        assert f"Found step {step} in metadata, starting from there" in text
    assert again.row is not None and again.row.status == run["row"]["status"]


def test_a_row_that_is_not_there_is_not_made(toolkit: Path, tmp_path: Path, recorded: dict[str, Any]) -> None:
    behave(toolkit, step_s=0.02)
    recipe = small_recipe(steps=60)

    def lose(run: Watched) -> None:
        with sqlite3.connect(tmp_path / "run" / "jobs.db", timeout=30) as connection:
            connection.execute("DELETE FROM Job")

    watched = Watched(toolkit, tmp_path / "run", recipe, lose)
    assert watched.rc == recorded["79_jobid_without_row"]["rc"] == 0
    assert watched.row is None
