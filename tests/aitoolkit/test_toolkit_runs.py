"""Trainings through the adapter, by the stand-in: begun, stopped, killed, taken up again, and never called finished when they aren't."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aitoolkit.toolkits import Said, behave, small_recipe
from PIL import Image

from engines.aitoolkit import AIToolkit, process
from engines.aitoolkit.config import job_name
from studio import training
from studio.engine import Cancelled, Stopping
from studio.errors import LikenessError
from studio.settings import Settings
from studio.training import TrainedLora, TrainingPicture, TrainRecipe
from studio.weights import read_safetensors_header

Train = Callable[..., TrainedLora]


@pytest.fixture
def train(engine: AIToolkit, pictures: list[TrainingPicture], model: Path, tmp_path: Path) -> Train:
    """Trains in `tmp_path / "run"`, or in the folder that is named."""

    def run(report: Said | None = None, recipe: TrainRecipe | None = None, folder: Path | None = None) -> TrainedLora:
        return engine.train(recipe or small_recipe(), model, pictures, folder or tmp_path / "run", report or Said())

    return run


def steps(folder: Path) -> list[int]:
    return [one["step"] for one in training.read_progress(folder)]


def kept(folder: Path) -> list[int]:
    return [one.step for one in training.checkpoints(folder)]


def test_a_whole_run_leaves_what_the_embedded_trainer_leaves(train: Train, engine: AIToolkit, tmp_path: Path) -> None:
    assert engine.state().state == "asleep"
    states: set[str] = set()
    said = Said(when=lambda step: states.add(engine.state().state))
    trained = train(said)
    run = tmp_path / "run"
    assert states == {"busy"} and engine.state().state == "asleep"
    assert (trained.steps, trained.path) == (30, run / "checkpoints" / "000030" / "lora.safetensors")
    assert kept(run) == [10, 20, 30] and steps(run) == list(range(1, 31))
    lines = training.read_progress(run)
    assert set(lines[0]) == {"step", "loss", "rate", "seconds"} and lines[0]["loss"] > lines[-1]["loss"] > 0
    assert trained.loss == pytest.approx(sum(line["loss"] for line in lines[-3:]) / 3)
    assert sorted(path.name for path in (run / "samples").iterdir()) == [f"{step:06}-{n}.png" for step in (0, 10, 20, 30) for n in (0, 1)]
    assert json.loads(read_safetensors_header(trained.path).metadata["training_info"])["step"] == 30
    assert not list((run / "toolkit" / "out").rglob("*.safetensors")), "no LoRA lies there twice"
    assert "HF_TOKEN" not in (run / "toolkit" / "config.json").read_text()
    # Asked once more, the work is done once.
    before = (run / "toolkit" / "process.json").read_bytes()
    assert train().sha256 == trained.sha256
    assert (run / "toolkit" / "process.json").read_bytes() == before


@pytest.mark.parametrize("error", [Cancelled, Stopping])
def test_a_stop_saves_first_and_the_run_goes_on_after_it(error: type[Exception], train: Train, toolkit: Path, tmp_path: Path) -> None:
    behave(toolkit, step_s=0.05)
    run = tmp_path / "run"
    with pytest.raises(error):
        train(Said(error, after=4))
    (stopped,) = kept(run)
    assert 4 <= stopped < 30 and stopped % 10, "it was saved there and then"
    trainer = process.last_trainer(run / "toolkit")
    assert trainer is not None and not trainer.alive
    behave(toolkit)
    said = Said()
    assert train(said).steps == 30
    resumed = process.last_trainer(run / "toolkit")
    assert resumed is not None and resumed.resumed == stopped
    assert f"Found step {stopped} in metadata" in (run / "toolkit" / "stdout.log").read_text()
    assert next(step for step in said.steps if step) >= stopped
    assert steps(run) == list(range(1, 31)), "each step once, those after the save learned again"
    assert kept(run) == [*sorted({stopped, 10, 20} - ({10} if stopped > 10 else set())), 30]


def test_a_stop_while_it_loads_is_quick_and_leaves_nothing_behind(train: Train, toolkit: Path, tmp_path: Path) -> None:
    behave(toolkit, load_s=1000)
    with pytest.raises(Cancelled):
        train(Said(Cancelled, when=wait_for(tmp_path / "run" / "toolkit" / "stdout.log", "Running  1 process")))
    trainer = process.last_trainer(tmp_path / "run" / "toolkit")
    assert trainer is not None and not trainer.alive and kept(tmp_path / "run") == []


def test_save_now_and_sample_now_are_asked_once(train: Train, toolkit: Path, tmp_path: Path) -> None:
    behave(toolkit, step_s=0.05)
    run, asked = tmp_path / "run", []

    def ask(step: int) -> None:
        if step >= 2 and not asked:
            asked.append(step)
            (run / "asks").mkdir()
            (run / "asks" / "save").touch()
            (run / "asks" / "sample").touch()

    train(Said(when=ask), small_recipe(save_every=100, sample_every=100))
    assert not list((run / "asks").iterdir())
    early = [step for step in kept(run) if step < 30]
    assert len(early) == 1
    drawn = {int(path.name[:6]) for path in (run / "samples").iterdir()}
    assert len(drawn - {0, 30}) == 1


# Killed, dead and taken up again


def test_a_trainer_that_is_killed_is_noticed_and_the_run_goes_on_after_its_newest_save(train: Train, toolkit: Path, tmp_path: Path) -> None:
    behave(toolkit, die_at=23)
    with pytest.raises(LikenessError) as caught:
        train()
    assert caught.value.code == "ENGINE_FAILED" and "SIGKILL" in caught.value.message and "newest checkpoint" in caught.value.remedy
    assert kept(tmp_path / "run") == [10, 20]
    behave(toolkit)
    assert train().steps == 30
    assert steps(tmp_path / "run") == list(range(1, 31))
    trainer = process.last_trainer(tmp_path / "run" / "toolkit")
    assert trainer is not None and trainer.resumed == 20


def test_a_living_trainer_is_taken_up_after_our_own_death(
    train: Train, toolkit: Path, model: Path, pictures: list[TrainingPicture], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    behave(toolkit, step_s=0.1)
    caplog.set_level(logging.INFO, logger="aitoolkit")
    run = tmp_path / "run"
    program = f"""
import logging
from pathlib import Path
from aitoolkit.toolkits import Said, small_recipe
from engines.aitoolkit import AIToolkit
from studio.settings import Settings
from studio.training import TrainingPicture
pictures = [TrainingPicture(Path(path), "portrait of zxmia person") for path in {[str(one.path) for one in pictures]!r}]
settings = Settings(data=Path({str(tmp_path / "data")!r}), device="cpu", aitoolkit_path=Path({str(toolkit)!r}))
logging.basicConfig(filename={str(tmp_path / "ours.log")!r}, level=logging.INFO, format="%(name)s: %(message)s")
AIToolkit(lambda: settings).train(small_recipe(), Path({str(model)!r}), pictures, Path({str(run)!r}), Said())
"""
    home = Path(__file__).resolve().parent.parent
    environment = os.environ | {"PYTHONPATH": f"{home}{os.pathsep}{home.parent}"}
    ours = subprocess.Popen([sys.executable, "-c", program], cwd=home.parent, env=environment)
    wait(lambda: bool(steps(run)) or ours.poll() is not None)
    ours.kill()
    ours.wait()
    before = process.last_trainer(run / "toolkit")
    assert before is not None and before.alive, "it is a process of its own"
    behave(toolkit, fail="it was started twice")
    said = Said()
    assert train(said).steps == 30
    after = process.last_trainer(run / "toolkit")
    assert after == before, "it was not started again"
    assert "Starting AI-Toolkit" not in said.notes
    assert steps(run) == list(range(1, 31)) and kept(run) == [10, 20, 30]
    first = [line for line in (tmp_path / "ours.log").read_text("utf-8").splitlines() if line.startswith("aitoolkit: ")]
    second = [record.getMessage() for record in caplog.records if record.name == "aitoolkit"]
    assert "aitoolkit: Running 1 job" in first and "Running 1 job" not in second, "what it said is told once"
    assert "Saved checkpoint to" in " ".join(second)


@pytest.mark.parametrize("comes_back", [False, True])
def test_a_worker_that_ends_in_a_long_step_leaves_a_trainer_that_saves_and_stops_or_is_taken_up(
    comes_back: bool, train: Train, toolkit: Path, model: Path, pictures: list[TrainingPicture], tmp_path: Path
) -> None:
    behave(toolkit, step_s=0.6)
    run = tmp_path / "run"
    hasty = AIToolkit(lambda: Settings(data=tmp_path / "data", device="cpu", aitoolkit_path=toolkit), leave_s=0.01)
    recipe = small_recipe(steps=8, save_every=100)
    with pytest.raises(Stopping):
        hasty.train(recipe, model, pictures, run, Said(Stopping, after=2))
    left = process.last_trainer(run / "toolkit")
    assert left is not None and left.alive
    if not comes_back:
        wait(lambda: process.exit_status(left) is not None)
        assert process.exit_status(left) == 1, "it was asked to stop"
        behave(toolkit)
    assert train(recipe=recipe).steps == 8
    after = process.last_trainer(run / "toolkit")
    assert after is not None and (after.resumed > 0 or after == left)
    assert steps(run) == list(range(1, 9))
    assert not (run / "toolkit" / "closing").exists()


def test_a_number_that_went_to_another_process_and_a_lock_that_stayed_hold_nobody_up(train: Train, tmp_path: Path) -> None:
    inside = tmp_path / "run" / "toolkit"
    inside.mkdir(parents=True)
    (inside / ".lock").touch()
    stale = {"pid": os.getpid(), "born": 1.0, "resumed": 0, "alias": str(inside), "kills": 0}
    (inside / "process.json").write_text(json.dumps(stale))
    assert train().steps == 30
    (inside / "process.json").write_text("{")
    (inside / "done").unlink()
    assert train().steps == 30


def test_a_run_that_ended_while_nobody_looked_is_finished_without_another_start(train: Train, toolkit: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    behave(toolkit, load_s=1)
    # What this ends is started again by hand, as it would have gone on without us.
    with pytest.raises(Cancelled):
        train(Said(Cancelled, when=wait_for(run / "toolkit" / "stdout.log", "Running  1 process")))
    behave(toolkit)
    environment = process.environment(Settings(data=tmp_path), job_name(small_recipe()), "cpu")
    found = process.find_toolkit(Settings(data=tmp_path, aitoolkit_path=toolkit))
    trainer = process.start(found, run / "toolkit" / "config.json", environment, run / "toolkit", resumed=0, alias=run / "toolkit")
    wait(lambda: process.exit_status(trainer) is not None)
    before = (run / "toolkit" / "process.json").read_bytes()
    assert train().steps == 30
    assert (run / "toolkit" / "process.json").read_bytes() == before
    assert steps(run) == list(range(1, 31))


def test_two_at_once_in_one_folder_are_refused(train: Train, toolkit: Path, tmp_path: Path, model: Path, pictures: Any) -> None:
    other = AIToolkit(lambda: Settings(data=tmp_path / "data", device="cpu", aitoolkit_path=toolkit))
    codes: list[str] = []

    def again(step: int) -> None:
        if not codes:
            with pytest.raises(LikenessError) as caught:
                other.train(small_recipe(), model, pictures, tmp_path / "run", Said())
            codes.append(caught.value.code)

    # The first report comes from inside the lock.
    train(Said(when=again))
    assert codes == ["CONFLICT"]


# Never finished without a LoRA


@pytest.mark.parametrize(
    ("behaviour", "code", "words"),
    [
        ({"vanish_at": 25}, "ENGINE_FAILED", "left no finished LoRA"),
        ({"nan_at": 22}, "TRAINING_DIVERGED", "smaller learning rate"),
        ({"nan_weights_at": 20}, "TRAINING_DIVERGED", "smaller learning rate"),
        ({"oom": [21, 22, 23, 24]}, "OUT_OF_MEMORY", "low VRAM on"),
        ({"fail": "CUDA out of memory. Tried to allocate 48.00 MiB.", "fail_at": 25}, "OUT_OF_MEMORY", "gradient checkpointing on"),
        ({"fail": "[Errno 28] No space left on device", "fail_at": 25}, "DISK_FULL", "Free some space"),
    ],
)
def test_a_run_that_fails_says_why_and_keeps_its_newest_good_checkpoint(
    behaviour: dict[str, Any], code: str, words: str, train: Train, toolkit: Path, tmp_path: Path
) -> None:
    behave(toolkit, step_s=0.02, **behaviour)
    with pytest.raises(LikenessError) as caught:
        train()
    assert caught.value.code == code
    assert words in f"{caught.value.message} {caught.value.remedy}"
    assert kept(tmp_path / "run")[-1] == (10 if "nan_weights_at" in behaviour else 20)
    assert not (tmp_path / "run" / "toolkit" / "done").exists()
    trainer = process.last_trainer(tmp_path / "run" / "toolkit")
    assert trainer is not None and not trainer.alive
    behave(toolkit)
    assert train().steps == 30, "and goes on when the cause is gone"


def test_a_model_behind_a_gate_leads_to_its_page(train: Train, toolkit: Path) -> None:
    behave(
        toolkit, fail="401 Client Error. Cannot access gated repo for url https://huggingface.co/api/models/black-forest-labs/FLUX.1-dev"
    )
    with pytest.raises(LikenessError) as caught:
        train()
    assert caught.value.code == "MODEL_GATED" and "https://huggingface.co/black-forest-labs/FLUX.1-dev" in caught.value.remedy


def test_a_trainer_that_hangs_is_ended(toolkit: Path, model: Path, pictures: list[TrainingPicture], tmp_path: Path) -> None:
    behave(toolkit, hang_at=12)
    engine = AIToolkit(lambda: Settings(data=tmp_path / "data", device="cpu", aitoolkit_path=toolkit, engine_timeout_s=6))
    with pytest.raises(LikenessError) as caught:
        engine.train(small_recipe(), model, pictures, tmp_path / "run", Said())
    assert caught.value.code == "ENGINE_TIMEOUT"
    trainer = process.last_trainer(tmp_path / "run" / "toolkit")
    assert trainer is not None and not trainer.alive and kept(tmp_path / "run") == [10]


def test_a_stop_from_elsewhere_is_no_end(train: Train, toolkit: Path, tmp_path: Path) -> None:
    behave(toolkit, step_s=0.05)
    sent: list[int] = []

    def interrupt(step: int) -> None:
        trainer = process.last_trainer(tmp_path / "run" / "toolkit")
        if step >= 3 and trainer is not None and not sent:
            sent.append(trainer.pid)
            os.killpg(trainer.pid, signal.SIGINT)

    with pytest.raises(LikenessError) as caught:
        train(Said(when=interrupt))
    assert caught.value.code == "CONFLICT" and sent


# Its traps


def test_a_resume_that_begins_anew_is_stopped_before_it_writes_over_anything(train: Train, toolkit: Path, tmp_path: Path) -> None:
    behave(toolkit, die_at=25)
    with pytest.raises(LikenessError):
        train()
    before = {step: training.place_of(tmp_path / "run", step).joinpath(training.LORA).read_bytes() for step in (10, 20)}
    behave(toolkit, deaf=True, step_s=0.02)
    with pytest.raises(LikenessError) as caught:
        train()
    assert "go on after step 20" in caught.value.message
    assert {step: training.place_of(tmp_path / "run", step).joinpath(training.LORA).read_bytes() for step in (10, 20)} == before
    assert steps(tmp_path / "run")[-1] == 20
    behave(toolkit)
    assert train().steps == 30, "the next start goes on after step 20 again"
    assert {step: training.place_of(tmp_path / "run", step).joinpath(training.LORA).read_bytes() for step in (10, 20)} == before


def test_a_save_that_was_cut_off_and_files_of_others_are_cleared_before_it_goes_on(train: Train, toolkit: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    behave(toolkit, die_at=25)
    with pytest.raises(LikenessError):
        train()
    name = job_name(small_recipe())
    inside = run / "toolkit" / "out" / name
    cut = inside / f"{name}_000000020.safetensors"
    cut.write_bytes(cut.read_bytes()[:-50])
    (training.place_of(run, 20) / training.LORA).write_bytes(cut.read_bytes())
    (inside / f"{name}_notes.json").write_text("{}")
    (inside / f"{name}_folder").mkdir()
    behave(toolkit)
    assert train().steps == 30
    trainer = process.last_trainer(run / "toolkit")
    assert trainer is not None and trainer.resumed == 10
    assert kept(run) == [10, 20, 30] and steps(run) == list(range(1, 31))


def test_a_run_goes_on_from_its_checkpoints_when_the_trainers_folder_is_lost(train: Train, toolkit: Path, tmp_path: Path) -> None:
    behave(toolkit, die_at=25)
    with pytest.raises(LikenessError):
        train()
    subprocess.run(["rm", "-r", str(tmp_path / "run" / "toolkit")], check=True)
    behave(toolkit)
    assert train().steps == 30
    trainer = process.last_trainer(tmp_path / "run" / "toolkit")
    assert trainer is not None and trainer.resumed == 20


def test_a_folder_with_a_name_that_it_misreads_is_resumed_all_the_same(train: Train, toolkit: Path, tmp_path: Path) -> None:
    folder = tmp_path / "anna [2]_LoRA $HOME" / "run"
    behave(toolkit, die_at=25)
    with pytest.raises(LikenessError):
        train(folder=folder)
    behave(toolkit)
    assert train(folder=folder).steps == 30
    trainer = process.last_trainer(folder / "toolkit")
    assert trainer is not None and trainer.resumed == 20 and not Path(trainer.alias).exists()


def test_pictures_that_were_replaced_are_other_files(train: Train, toolkit: Path, pictures: list[TrainingPicture], tmp_path: Path) -> None:
    behave(toolkit, die_at=5)
    with pytest.raises(LikenessError):
        train()
    dataset = tmp_path / "run" / "toolkit" / "dataset"
    before = {path.name for path in dataset.glob("*.png")}
    Image.new("RGB", (96, 96), "white").save(pictures[0].path)
    with pytest.raises(LikenessError):
        train()
    after = {path.name for path in dataset.glob("*.png")}
    assert len(before) == len(after) == 4 and len(before & after) == 3


def test_another_recipe_in_the_same_folder_is_refused(train: Train) -> None:
    train()
    with pytest.raises(LikenessError) as caught:
        train(recipe=small_recipe(steps=60))
    assert caught.value.code == "CONFLICT", "a longer run would write over the finished LoRA"


def test_a_card_that_is_missing_or_too_small_is_said_before_anything_starts(
    toolkit: Path, model: Path, pictures: list[TrainingPicture], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    engine = AIToolkit(lambda: Settings(data=tmp_path / "data", aitoolkit_path=toolkit))
    # What its makers said of memory holds for their own settings.
    recipe = small_recipe(toolkit={"arch": "flux"}, gradient_checkpointing=True, rank=16, resolution=1024)
    for answer, code in (("exit 9", "DEPENDENCY_MISSING"), ("echo 12288", "OUT_OF_MEMORY")):
        (programs / "nvidia-smi").write_text(f"#!/bin/sh\n{answer}\n")
        (programs / "nvidia-smi").chmod(0o755)
        with pytest.raises(LikenessError) as caught:
            engine.train(recipe, model, pictures, tmp_path / "run", Said())
        assert caught.value.code == code
    assert "24 GB" in caught.value.message and "low VRAM on" in caught.value.remedy
    assert process.last_trainer(tmp_path / "run" / "toolkit") is None


def wait(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def wait_for(path: Path, words: str) -> Callable[[int], bool]:
    """Waits in a report, once the trainer was started, until it has printed something."""

    def look(step: int) -> bool:
        if path.exists():
            wait(lambda: words in path.read_text())
        return path.exists()

    return look
