"""Training with the real starter model: few steps of small pictures."""

from __future__ import annotations

import collections
import json
import os
import shutil
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from app import HOME
from engines.embedded import Embedded
from studio import training
from studio.contracts import Recipe
from studio.engine import Cancelled, Inputs, Stopping
from studio.errors import Conflict, ImageInvalid, InvalidFieldValue, TrainingDiverged
from studio.settings import Settings
from studio.training import Schedule, Targets, TrainedLora, TrainingPicture, TrainRecipe
from tests.engines.tiny_models import tiny_sdxl

STARTER = Path(__file__).resolve().parent.parent.parent / "engines" / "embedded" / "starter_model"
SMALL = TrainRecipe(model="starter", trigger="zxmia", rank=2, alpha=2, steps=6, batch=2, resolution=64, save_every=2, sample_every=6)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[TrainingPicture]:
    """Five orange pictures of two shapes."""
    folder = tmp_path_factory.mktemp("pictures")
    made = []
    for number, size in enumerate([(96, 96), (96, 96), (200, 100), (96, 96), (200, 100)]):
        pixels = np.full((size[1], size[0], 3), (255, 140, 20), np.uint8)
        pixels[: size[1] // (number + 2)] = (250, 200, 40)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        made.append(TrainingPicture(folder / f"{number}.png", "portrait of zxmia person, black background"))
    return made


@pytest.fixture
def engine(tmp_path: Path) -> Embedded:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import diffusers  # noqa: F401 - its import warns developers, who are not us
        import peft  # noqa: F401
    return Embedded(Settings(data=tmp_path / "data"))


def test_a_run_that_was_stopped_goes_on_to_the_very_same_lora(engine: Embedded, pictures: list[TrainingPicture], tmp_path: Path) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    straight = engine.train(SMALL, STARTER, pictures, whole, Said())
    with pytest.raises(Stopping):
        engine.train(SMALL, STARTER, pictures, stopped, Said(Stopping, after=3))
    assert [one.step for one in training.checkpoints(stopped)] == [2, 3]
    said = Said()
    went_on = engine.train(SMALL, STARTER, pictures, stopped, said)
    assert "Going on after step 3" in said.notes
    assert [step for step in said.steps if step] == [4, 5, 6]
    assert _learned(went_on.path) == _learned(straight.path)
    assert _losses(stopped) == _losses(whole)
    assert [one["step"] for one in training.read_progress(stopped)] == [1, 2, 3, 4, 5, 6]
    assert [one.state is not None for one in training.checkpoints(stopped)] == [False, False, True, True], "two can be gone on from"


def test_sdxl_learns_with_both_of_its_text_encoders(engine: Embedded, pictures: list[TrainingPicture], tmp_path: Path) -> None:
    """A tiny one of random numbers: that it learns, goes on, and is worn by the pipeline that draws."""
    tiny_sdxl(model := tmp_path / "sdxl")
    (model / "likeness.json").write_text(json.dumps({"side_min": 64}), encoding="utf-8")
    recipe = SMALL.model_copy(update={"model": "sdxl", "learning_rate": 2e-2, "schedule": Schedule.constant, "warmup": 0, "steps": 8})
    straight = engine.train(recipe, model, pictures, tmp_path / "whole", Said())
    with pytest.raises(Stopping):
        engine.train(recipe, model, pictures, tmp_path / "stopped", Said(Stopping, after=5))
    went_on = engine.train(recipe, model, pictures, tmp_path / "stopped", Said())
    assert _learned(went_on.path) == _learned(straight.path)
    losses = _losses(tmp_path / "whole")
    assert len(losses) == 8 and np.isfinite(losses).all()
    with safe_open(straight.path, "pt") as file:
        about: dict[str, str] = file.metadata()
        names = list(file.keys())
    assert names and all(name.startswith("lora_unet_") for name in names)
    assert about["ss_base_model_version"] == "sdxl_base_v1-0"
    plain, worn = _draw(engine, model=model, cfg=3), _draw(engine, straight, model=model, cfg=3)
    assert not np.array_equal(plain, worn), "the LoRA changes the picture"
    assert np.array_equal(_draw(engine, model=model, cfg=3), plain)


def test_a_checkpoint_the_disk_lost_is_left_out_and_what_came_after_is_learned_again(
    engine: Embedded, pictures: list[TrainingPicture], tmp_path: Path
) -> None:
    before = _learned(engine.train(SMALL, STARTER, pictures, tmp_path / "run", Said()).path)
    for name in (training.LORA, training.STATE):
        path = training.place_of(tmp_path / "run", 6) / name
        path.write_bytes(path.read_bytes()[:-100])
    said = Said()
    after = engine.train(SMALL, STARTER, pictures, tmp_path / "run", said)
    assert "Going on after step 4" in said.notes
    assert after.steps == 6
    assert _learned(after.path) == before
    assert [one["step"] for one in training.read_progress(tmp_path / "run")] == [1, 2, 3, 4, 5, 6]


def test_what_was_learned_is_seen_in_the_pictures_and_the_engine_draws_as_before_without_it(
    engine: Embedded, pictures: list[TrainingPicture], tmp_path: Path
) -> None:
    recipe = SMALL.model_copy(
        update={
            "steps": 40,
            "rank": 8,
            "alpha": 8,
            "learning_rate": 4e-3,
            "save_every": 100,
            "sample_every": 20,
            "samples": ("a zxmia person",),
        }
    )
    plain = _draw(engine)
    trained = engine.train(recipe, STARTER, pictures, tmp_path / "run", Said())
    assert np.array_equal(_draw(engine), plain), "the model itself is as it was"
    taught = _draw(engine, trained)
    orange = np.array([255, 140, 20])
    assert np.abs(taught - orange).mean() < 0.6 * np.abs(plain - orange).mean()
    losses = _losses(tmp_path / "run")
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:10])
    assert trained.loss == pytest.approx(np.mean(losses[-4:]))
    assert sorted(path.name for path in (tmp_path / "run" / "samples").iterdir()) == [
        "000000-0.png",
        "000020-0.png",
        "000040-0.png",
    ]
    with safe_open(trained.path, "pt") as file:
        about: dict[str, str] = file.metadata()
        assert all(name.startswith("lora_unet_") for name in file.keys())  # noqa: SIM118 - not a dictionary
    assert about["modelspec.trigger_phrase"] == "zxmia"
    assert (about["ss_network_dim"], about["ss_steps"], about["ss_base_model_version"]) == ("8", "40", "starter")


def test_a_cancelled_run_keeps_what_it_learned(engine: Embedded, pictures: list[TrainingPicture], tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        engine.train(SMALL, STARTER, pictures, tmp_path / "run", Said(Cancelled, after=1))
    (kept,) = training.checkpoints(tmp_path / "run")
    assert kept.step == 1


def test_a_stop_while_samples_are_drawn_keeps_what_was_learned(engine: Embedded, pictures: list[TrainingPicture], tmp_path: Path) -> None:
    recipe = SMALL.model_copy(update={"save_every": 100, "sample_every": 1, "samples": ("a zxmia person",)})
    said = Said(Stopping, at="Drawing samples")
    with pytest.raises(Stopping):
        engine.train(recipe, STARTER, pictures, tmp_path / "run", said)
    assert said.notes[-1] == "Drawing samples"
    (kept,) = training.checkpoints(tmp_path / "run")
    assert (kept.step, kept.state is not None) == (1, True)


def test_a_loss_that_is_no_number_ends_the_run_and_the_lora_before_it_stays(
    engine: Embedded, pictures: list[TrainingPicture], tmp_path: Path
) -> None:
    with pytest.raises(Stopping):
        engine.train(SMALL, STARTER, pictures, tmp_path / "run", Said(Stopping, after=3))
    state = training.place_of(tmp_path / "run", 3) / training.STATE
    broken = {name: value * float("nan") if name.startswith("weights.") else value for name, value in load_file(state).items()}
    save_file(broken, state)
    with pytest.raises(TrainingDiverged) as told:
        engine.train(SMALL, STARTER, pictures, tmp_path / "run", Said())
    assert "smaller learning rate" in told.value.remedy
    assert [one.step for one in training.checkpoints(tmp_path / "run")] == [2, 3]


def test_prior_preservation_draws_its_class_pictures_once_and_goes_on_to_the_very_same_lora(
    engine: Embedded, pictures: list[TrainingPicture], tmp_path: Path
) -> None:
    recipe = SMALL.model_copy(update={"prior_weight": 0.5, "prior_pictures": 3, "seed": 4})
    whole, stopped, without = tmp_path / "whole", tmp_path / "stopped", tmp_path / "without"
    said = Said()
    straight = engine.train(recipe, STARTER, pictures, whole, said)
    assert "Drawing class pictures, 1 of 1" in said.notes
    drawn = {path.name: path.read_bytes() for path in (whole / "class").iterdir()}
    assert sorted(drawn) == ["000.png", "001.png", "002.png"] and len(set(drawn.values())) == 3
    assert all("prior" in one for one in training.read_progress(whole))

    with pytest.raises(Stopping):
        engine.train(recipe, STARTER, pictures, stopped, Said(Stopping, after=3))
    training.class_picture(stopped, 1).unlink()
    training.class_picture(stopped, 2).write_bytes(drawn["002.png"][:100])
    went_on = engine.train(recipe, STARTER, pictures, stopped, Said())
    assert {path.name: path.read_bytes() for path in (stopped / "class").iterdir()} == drawn, (
        "the model draws them before it wears anything"
    )
    assert _learned(went_on.path) == _learned(straight.path)
    said = Said()
    engine.train(recipe, STARTER, pictures, whole, said)
    assert not [note for note in said.notes if "class" in note], "a finished run draws nothing"

    plain = engine.train(recipe.model_copy(update={"prior_weight": 0}), STARTER, pictures, without, Said())
    assert not (without / "class").exists() and "prior" not in training.read_progress(without)[0]
    assert _learned(plain.path) != _learned(straight.path)


def test_a_run_that_is_cancelled_while_class_pictures_are_drawn_begins_anew_with_those_it_has(
    engine: Embedded, pictures: list[TrainingPicture], tmp_path: Path
) -> None:
    recipe = SMALL.model_copy(update={"prior_weight": 1, "prior_pictures": 10, "steps": 1})
    with pytest.raises(Cancelled):
        engine.train(recipe, STARTER, pictures, tmp_path / "run", Said(Cancelled, at="Drawing class pictures, 2 of 2"))
    assert len(list((tmp_path / "run" / "class").iterdir())) == 5
    said = Said()
    assert engine.train(recipe, STARTER, pictures, tmp_path / "run", said).steps == 1
    assert "Drawing class pictures, 1 of 1" in said.notes


def test_bad_input_is_told_and_leaves_the_engine_usable(engine: Embedded, pictures: list[TrainingPicture], tmp_path: Path) -> None:
    with pytest.raises(InvalidFieldValue, match="no pictures"):
        engine.train(SMALL, STARTER, [], tmp_path / "none", Said())
    broken = tmp_path / "broken.png"
    broken.write_bytes(pictures[0].path.read_bytes()[:60])
    with pytest.raises(ImageInvalid, match=r"broken\.png"):
        engine.train(SMALL, STARTER, [*pictures, TrainingPicture(broken, "")], tmp_path / "bad", Said())
    one = SMALL.model_copy(update={"steps": 1, "targets": Targets.attention, "gradient_checkpointing": True})
    alone = engine.train(one, STARTER, [TrainingPicture(pictures[0].path, "word " * 2000)], tmp_path / "one", Said())
    assert alone.steps == 1
    with pytest.raises(Conflict, match="Another training"):
        engine.train(one.model_copy(update={"seed": 9}), STARTER, pictures, tmp_path / "one", Said())


def test_every_picture_comes_once_in_a_round_and_batches_hold_one_shape() -> None:
    buckets = [(64, 64)] * 5 + [(96, 32)] * 3
    recipe = SMALL.model_copy(update={"batch": 2})
    rounds = [[training.batch_at(recipe, buckets, 5 * number + place) for place in range(5)] for number in range(3)]
    for batches in rounds:
        assert all(len(batch) == 2 and len({buckets[index] for index in batch}) == 1 for batch in batches)
        times = collections.Counter(index for batch in batches for index in batch)
        assert set(times) == set(range(8))
        assert sorted(times.values()) == [1] * 6 + [2] * 2, "only the filling of the last batches comes twice"
    assert rounds[0] != rounds[1]
    assert training.batch_at(recipe.model_copy(update={"batch": 4}), [(64, 64)], 7) == [0, 0, 0, 0]


@pytest.mark.parametrize("size", [(100, 100), (4000, 3000), (3000, 4000), (50, 1000), (1, 9000), (640, 360)])
def test_a_bucket_is_near_the_pictures_shape_and_never_larger_than_asked(size: tuple[int, int]) -> None:
    width, height = training.bucket_of(*size, 512, 64)
    assert width % 64 == height % 64 == 0
    assert 0.6 * 512**2 < width * height <= 512**2
    shape = min(2.0, max(0.5, size[0] / size[1]))
    assert 0.75 < width / height / shape < 1.35


@pytest.mark.parametrize("schedule", Schedule)
def test_the_learning_rate_rises_and_then_follows_its_schedule(schedule: Schedule) -> None:
    recipe = SMALL.model_copy(update={"steps": 100, "warmup": 10, "schedule": schedule, "learning_rate": 1e-3})
    rates = [training.rate_at(recipe, step) for step in range(100)]
    assert rates[:10] == pytest.approx([1e-4 * (step + 1) for step in range(10)])
    assert rates[10] == 1e-3
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(1e-3 if schedule is Schedule.constant else 5e-5)


class Said:
    """A report that writes down what it hears, and raises after so many steps or at a note."""

    def __init__(self, ending: type[Exception] | None = None, *, after: int = 0, at: str = "") -> None:
        self.ending, self.after, self.at = ending, after, at
        self.notes: list[str] = []
        self.steps: list[int] = []

    def __call__(self, progress: float, note: str = "", *, step: int = 0, steps: int = 0, preview: Any = None) -> None:
        self.notes.append(note)
        self.steps.append(step)
        if self.ending is not None and (step >= self.after > 0 or (self.at and note == self.at)):
            raise self.ending

    def wants_preview(self) -> bool:
        return False


def _learned(path: Path) -> dict[str, bytes]:
    """Every tensor to the last bit, and the words beside them; safetensors writes those in no fixed order."""
    with safe_open(path, "pt") as file:
        about: dict[str, str] = file.metadata()
    return {name: value.numpy().tobytes() for name, value in load_file(path).items()} | {
        name: words.encode() for name, words in about.items()
    }


def _losses(folder: Path) -> list[float]:
    return [one["loss"] for one in training.read_progress(folder)]


def _draw(engine: Embedded, lora: TrainedLora | None = None, *, model: Path = STARTER, cfg: float = 1) -> np.ndarray:
    recipe = Recipe.model_validate_json(
        json.dumps(
            {
                "prompt": "portrait of zxmia person, black background",
                "negative_prompt": "",
                "preset": None,
                "engine": "embedded",
                "model": model.name,
                "loras": [{"path": "zxmia", "strength": 1}] if lora else [],
                "width": 64,
                "height": 64,
                "steps": 6,
                "cfg": cfg,
                "sampler": "dpmpp_2m",
                "scheduler": "normal",
                "seed": 5,
                "count": 1,
            }
        )
    )
    (artifact,) = engine.generate(recipe, Inputs(model, loras=(lora.path,) if lora else ()), "run", Said())
    return np.asarray(artifact.image, dtype=float)


FILL_UP = """
import subprocess, sys, warnings
from pathlib import Path
warnings.simplefilter("ignore")
import diffusers, peft
from engines.embedded import Embedded
from studio import training
from studio.errors import DiskFull
from studio.settings import Settings
from studio.training import TrainingPicture, TrainRecipe

model, picture, small, beside = map(Path, sys.argv[1:])
recipe = TrainRecipe.model_validate_json((beside / "recipe.json").read_bytes())
pictures = [TrainingPicture(picture, "portrait of zxmia person")]
engine = Embedded(Settings(data=beside / "data"))
class Silent:
    def __call__(self, *said, **more): pass
    def wants_preview(self): return False
try:
    engine.train(recipe, model, pictures, small, Silent())
    print("finished on a disk that was too small")
except DiskFull as error:
    print(error.code, bool(error.remedy))
kept = [one.step for one in training.checkpoints(small)]
left = [path.name for path in small.rglob("*") if path.is_file() and path.name.startswith((".", "tmp"))]
print(bool(kept), max(kept) < recipe.steps, left)
subprocess.run(["mount", "-o", "remount,size=64m", str(small)], check=True)
done = engine.train(recipe, model, pictures, small, Silent())
steps = [one["step"] for one in training.read_progress(small)]
print(done.steps == recipe.steps, steps == list(range(1, recipe.steps + 1)))
"""


@pytest.mark.skipif(shutil.which("unshare") is None or os.geteuid() != 0, reason="a small disk of its own needs Linux and root")
def test_a_disk_that_is_full_at_a_save_keeps_the_newest_checkpoint_and_the_run_goes_on_with_room(
    pictures: list[TrainingPicture], tmp_path: Path
) -> None:
    small, script = tmp_path / "small", tmp_path / "fill_up.py"
    small.mkdir()
    script.write_text(FILL_UP)
    recipe = SMALL.model_copy(update={"rank": 8, "steps": 4, "save_every": 1})
    (tmp_path / "recipe.json").write_text(recipe.model_dump_json())
    command = f"mount -t tmpfs -o size=20m tmpfs {small} && exec {sys.executable} {script} {STARTER} {pictures[0].path} {small} {tmp_path}"
    told = subprocess.run(
        ["unshare", "-m", "sh", "-c", command], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(HOME)}, check=False
    )
    assert told.stdout.splitlines() == ["DISK_FULL True", "True True []", "True True"], told.stderr


TRAIN = """
import sys, warnings
from pathlib import Path
warnings.simplefilter("ignore")
import diffusers, peft
from engines.embedded import Embedded
from studio.settings import Settings
from studio.training import TrainingPicture, TrainRecipe

model, picture, run, beside = map(Path, sys.argv[1:])
recipe = TrainRecipe.model_validate_json((beside / "recipe.json").read_bytes())
class Silent:
    def __call__(self, *said, **more): pass
    def wants_preview(self): return False
Embedded(Settings(data=beside / "data")).train(recipe, model, [TrainingPicture(picture, "portrait of zxmia person")], run, Silent())
"""


@pytest.mark.timeout(900)
@pytest.mark.parametrize("file", [training.STATE, training.LORA])
def test_a_trainer_killed_in_the_midst_of_a_save_keeps_the_checkpoint_before(
    file: str, engine: Embedded, pictures: list[TrainingPicture], tmp_path: Path
) -> None:
    run, script = tmp_path / "run", tmp_path / "train.py"
    script.write_text(TRAIN)
    # Large enough that writing a file takes longer than looking for it.
    recipe = SMALL.model_copy(update={"rank": 96, "steps": 3, "save_every": 1, "batch": 1, "sample_every": 100})
    (tmp_path / "recipe.json").write_text(recipe.model_dump_json())
    command = [sys.executable, str(script), str(STARTER), str(pictures[0].path), str(run), str(tmp_path)]
    second = training.place_of(run, 2)
    trainer = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(HOME), "OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL)
    try:
        while not (unfinished := list(second.glob(f".{file}.*.tmp"))):
            assert trainer.poll() is None, "it ended before the save was seen"
            time.sleep(0.001)
    finally:
        trainer.kill()
        trainer.wait()
    assert all(path.is_file() for path in unfinished) and not (second / file).exists(), "it was killed in the midst of the save"
    (before,) = training.checkpoints(run)
    assert before.step == 1 and before.state is not None

    said = Said()
    done = engine.train(recipe, STARTER, pictures[:1], run, said)
    assert "Going on after step 1" in said.notes
    assert done.steps == 3 and [one.step for one in training.checkpoints(run)] == [1, 2, 3]
    assert [one["step"] for one in training.read_progress(run)] == [1, 2, 3]
    assert [path for path in run.rglob(".*") if path.is_file()] == [], "nothing unfinished stays behind"
