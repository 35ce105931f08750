"""Trainings with what people really bring: huge pictures, odd words, a model that is gone, too little memory, half written files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open

from app import HOME, open_studio
from engines.embedded import Embedded
from studio import training
from studio.contracts import CharacterFields, JobState, TrainRequest
from studio.dataset_contracts import DatasetFields
from studio.errors import Conflict, InvalidFieldValue, LikenessError, ModelInvalid
from studio.settings import Settings
from studio.studio import Studio
from studio.training import TrainingPicture, TrainRecipe

STARTER = HOME / "engines" / "embedded" / "starter_model"
SMALL = TrainRecipe(model="starter", trigger="zxmia", rank=2, alpha=2, steps=2, batch=2, resolution=64, save_every=1, sample_every=9)


class Silent:
    """A report that nobody hears."""

    def __call__(self, progress: float, note: str = "", *, step: int = 0, steps: int = 0, preview: Any = None) -> None:
        pass

    def wants_preview(self) -> bool:
        return False


@pytest.fixture
def engine(tmp_path: Path) -> Embedded:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import diffusers  # noqa: F401 - its import warns developers, who are not us
        import peft  # noqa: F401
    return Embedded(Settings(data=tmp_path / "data"))


@pytest.fixture
def studio(settings: Settings) -> Iterator[Studio]:
    opened = open_studio(settings)
    yield opened
    opened.database.close()


def picture(path: Path, size: tuple[int, int] = (96, 96), **how: Any) -> TrainingPicture:
    Image.linear_gradient("L").resize(size).convert("RGB").save(path, **how)
    return TrainingPicture(path, "portrait of zxmia person")


# Pictures and words


@pytest.mark.parametrize("size", [(12_000, 8_000), (8_000, 12_000), (12_000, 12), (1, 12_000)])
def test_a_picture_of_twelve_thousand_pixels_is_learned_from(engine: Embedded, size: tuple[int, int], tmp_path: Path) -> None:
    huge = picture(tmp_path / "huge.jpg", size, quality=40)
    done = engine.train(SMALL.model_copy(update={"steps": 1}), STARTER, [huge, picture(tmp_path / "b.png")], tmp_path / "run", Silent())
    assert done.steps == 1 and np.isfinite(done.loss)


def test_a_dataset_names_a_picture_that_is_too_large_and_keeps_the_others(studio: Studio, tmp_path: Path) -> None:
    mara = studio.create_character(CharacterFields.model_validate({"name": "Mara"}))
    made, _ = studio.datasets.create(DatasetFields.model_validate({"character": mara.id, "name": "Large"}))
    sent = []
    for name, size in (("wide.jpg", (12_000, 4_000)), ("huge.jpg", (12_000, 12_000)), ("plain.jpg", (128, 128))):
        picture(tmp_path / name, size, quality=30)
        sent.append((name, (tmp_path / name).read_bytes()))
    added = studio.datasets.add_files(made.id, sent)
    assert [one.name for one in added.items] == ["wide.jpg", "plain.jpg"]
    (refused,) = added.refused
    assert (refused.name, refused.error.code) == ("huge.jpg", "FILE_TOO_LARGE")
    assert "12000×12000" in refused.error.message and refused.error.remedy
    assert studio.trainings.training(order(studio, mara.id).id).pictures == 2


@pytest.mark.parametrize("caption", ["word " * 2000, "é" * 10_000, "🙂" * 3000, "\u202e\u0301" * 400, "   ", "a\nb\tc\x07"])
def test_no_caption_is_too_odd_to_be_learned(engine: Embedded, caption: str, tmp_path: Path) -> None:
    odd = TrainingPicture(picture(tmp_path / "a.png").path, caption)
    assert engine.train(SMALL.model_copy(update={"steps": 1}), STARTER, [odd], tmp_path / "run", Silent()).steps == 1


def test_a_caption_file_that_is_no_text_is_named_and_the_picture_learned_with_the_trigger_word(studio: Studio, tmp_path: Path) -> None:
    mara = studio.create_character(CharacterFields.model_validate({"name": "Mara", "trigger_word": "zmara"}))
    made, _ = studio.datasets.create(DatasetFields.model_validate({"character": mara.id, "name": "Odd"}))
    sent: list[tuple[str, bytes]] = []
    for number, words in enumerate((b"\xff\xfe\xfa\x00\xd8", b"caf\xe9 in the rain", b"x" * 10_001)):
        picture(tmp_path / f"{number}.png", (96 + number, 96))
        sent += [(f"{number}.png", (tmp_path / f"{number}.png").read_bytes()), (f"{number}.txt", words)]
    studio.datasets.add_files(made.id, sent)
    frozen = studio.datasets.frozen(made.id)
    assert len(frozen) == 3
    run = studio.trainings.training(order(studio, mara.id).id)
    assert run.pictures == 3
    with studio.database.read() as connection:
        import sqlalchemy as sa

        from studio.db import trainings

        said = str(connection.execute(sa.select(trainings.c.pictures)).scalar_one())
    assert said.count("zmara") == 3, "each is learned with the trigger word"
    assert "x" * 200 not in said


# Names


@pytest.mark.parametrize("slug", ["   ", "a b", "mara_LoRA", "Mara", "-a", "a--b", "../x", ""])
def test_a_slug_that_would_be_no_good_file_name_is_refused(studio: Studio, slug: str) -> None:
    with pytest.raises(ValueError, match="small letters from a to z"):
        CharacterFields.model_validate({"name": "Mara", "slug": slug})
    assert studio.characters() == ()


def test_names_that_trainers_misread_never_get_into_a_file_name(engine: Embedded, studio: Studio, tmp_path: Path) -> None:
    fields = {"name": "  Mara _LoRA  [t2i] / ../.. ", "trigger_word": "zx_LoRA"}
    mara = studio.create_character(CharacterFields.model_validate(fields))
    assert mara.slug == "mara-lora-t2i"
    studio.add_photos(
        mara.id, [(f"{number}.png", picture(tmp_path / f"{number}.png", (96 + number, 96)).path.read_bytes()) for number in (1, 2)]
    )
    job = order(studio, mara.id, name="a/../b _LoRA \u202e", steps=1, resolution=64, batch=1, rank=2)
    run = studio.trainings.training(job.id)
    folder = studio.trainings.folder(job.id)
    engine.train(run.plan.recipe, STARTER, [picture(tmp_path / "c.png")], folder, Silent())
    version = studio.trainings.pick(job.id)
    assert version.path == "mara-lora-t2i_v1.safetensors"
    with safe_open(studio.shelf.loras_folder / version.path, "pt") as file:
        about: dict[str, str] = file.metadata()
    assert about["modelspec.trigger_phrase"] == "zx_LoRA"


@pytest.mark.parametrize("character", ["   ", "_LoRA", "../x"])
def test_nobody_of_an_odd_name_is_trained(studio: Studio, character: str) -> None:
    with pytest.raises((LikenessError, ValueError)):
        studio.trainings.order(TrainRequest.model_validate({"character": character}), correlation_id="test")
    assert studio.jobs().items == ()


# What is gone, full or half


def test_a_model_that_is_gone_is_said_and_the_run_goes_on_when_it_is_back(engine: Embedded, tmp_path: Path) -> None:
    copy = tmp_path / "models" / "own"
    shutil.copytree(STARTER, copy)
    one = [picture(tmp_path / "a.png")]
    recipe = SMALL.model_copy(update={"model": "own"})
    engine.train(recipe, copy, one, tmp_path / "run", Silent())
    copy.rename(tmp_path / "elsewhere")
    again = Embedded(Settings(data=tmp_path / "data"))
    with pytest.raises(ModelInvalid) as told:
        again.train(recipe, copy, one, tmp_path / "run", Silent())
    assert told.value.remedy and [kept.step for kept in training.checkpoints(tmp_path / "run")] == [1, 2]
    (tmp_path / "elsewhere").rename(copy)
    assert again.train(recipe, copy, one, tmp_path / "run", Silent()).steps == 2


def test_a_run_whose_model_is_gone_is_not_sent_on_its_way(studio: Studio, settings: Settings, tmp_path: Path) -> None:
    copy = settings.models_path / "own"
    shutil.copytree(STARTER, copy)
    mara = studio.create_character(CharacterFields.model_validate({"name": "Mara"}))
    studio.add_photos(
        mara.id, [(f"{number}.png", picture(tmp_path / f"{number}.png", (96 + number, 96)).path.read_bytes()) for number in (1, 2)]
    )
    job = order(studio, mara.id, model="starter (2)")
    studio.trainings.stop(job.id)
    copy.rename(tmp_path / "elsewhere")
    with pytest.raises(InvalidFieldValue) as told:
        studio.trainings.resume(job.id)
    assert told.value.field == "model" and told.value.remedy
    assert studio.job(job.id).state is JobState.paused
    (tmp_path / "elsewhere").rename(copy)
    assert studio.trainings.resume(job.id).state is JobState.queued


def test_a_power_cut_that_halved_what_was_written_down_costs_no_step(engine: Embedded, tmp_path: Path) -> None:
    one = [picture(tmp_path / "a.png")]
    engine.train(SMALL, STARTER, one, tmp_path / "run", Silent())
    progress = tmp_path / "run" / training.PROGRESS
    progress.write_bytes(progress.read_bytes()[:-20] + b"\x00\x00\x00")
    (training.place_of(tmp_path / "run", 2) / training.LORA).unlink()
    (tmp_path / "run" / "checkpoints" / "000002" / ".lora.safetensors.1a2b.tmp").write_bytes(b"half")
    (tmp_path / "run" / "asks").mkdir()
    (tmp_path / "run" / "asks" / "save").write_bytes(b"")
    assert engine.train(SMALL, STARTER, one, tmp_path / "run", Silent()).steps == 2
    assert [line["step"] for line in training.read_progress(tmp_path / "run")] == [1, 2]
    (tmp_path / "run" / "recipe.json").write_bytes(b'{"model": "sta')
    with pytest.raises(Conflict, match="can't be read"):
        engine.train(SMALL, STARTER, one, tmp_path / "run", Silent())


STARVE = """
import resource, sys, warnings
from pathlib import Path
warnings.simplefilter("ignore")
import diffusers, peft, psutil, torch
from engines.embedded import Embedded
from studio import training
from studio.errors import OutOfMemory
from studio.settings import Settings
from studio.training import TrainingPicture, TrainRecipe

model, picture, run = map(Path, sys.argv[1:])
recipe = TrainRecipe(model="starter", rank=2, alpha=2, steps=3, batch=1, resolution=64, save_every=1, sample_every=9)
large = recipe.model_copy(update={"batch": 64, "resolution": 1024, "steps": 2})
pictures = [TrainingPicture(picture, "portrait of zxmia person")]
engine = Embedded(Settings(data=run / "data"))
unlimited = resource.getrlimit(resource.RLIMIT_AS)
class Starving:
    def __call__(self, progress, note="", **more):
        if note.startswith("Reading picture"):
            resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + 2**28, unlimited[1]))
    def wants_preview(self): return False
class Silent(Starving):
    def __call__(self, *said, **more): pass
engine.train(recipe, model, pictures, run / "small", Silent())
try:
    engine.train(large, model, pictures, run / "large", Starving())
    print("there was room")
except OutOfMemory as error:
    print(error.code, "32 at a time" in error.remedy, "closing other programs" in error.remedy)
resource.setrlimit(resource.RLIMIT_AS, unlimited)
print(engine.state().state, [one.step for one in training.checkpoints(run / "small")], training.checkpoints(run / "large"))
print(engine.train(recipe, model, pictures, run / "again", Silent()).steps)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a computer is given little memory by Linux's limit on address space")
def test_a_computer_that_runs_out_of_memory_says_what_would_fit_and_goes_on_working(tmp_path: Path) -> None:
    script = tmp_path / "starve.py"
    script.write_text(STARVE)
    command = [sys.executable, str(script), str(STARTER), str(picture(tmp_path / "a.png").path), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(HOME), "LIKENESS_THREADS": "1", "OMP_NUM_THREADS": "1"}
    told = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert told.stdout.splitlines() == ["OUT_OF_MEMORY True True", "asleep [1, 2, 3] []", "3"], told.stderr[-2000:]


def order(studio: Studio, character: str, **values: Any) -> Any:
    return studio.trainings.order(TrainRequest.model_validate({"character": character, "preset": "quick", **values}), correlation_id="test")
