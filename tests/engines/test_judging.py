"""The checkpoint picker with the real starter model and reader: a tiny run of two checkpoints."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from engines.embedded import Embedded
from engines.embedded.reader import Reader
from studio import judging, training
from studio.engine import Cancelled
from studio.errors import ImageInvalid, InvalidFieldValue, ModelInvalid
from studio.judging import Judgement, Measure
from studio.settings import Settings
from studio.training import TrainingPicture, TrainRecipe

HOME = Path(__file__).resolve().parent.parent.parent
STARTER = HOME / "engines" / "embedded" / "starter_model"
PEOPLE = HOME / "tests" / "files" / "characters"
RECIPE = TrainRecipe(
    model="starter", trigger="zxmia", rank=8, alpha=8, learning_rate=4e-3, steps=24, batch=2, resolution=64, save_every=12, sample_every=99
)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Embedded:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import diffusers  # noqa: F401 - its import warns developers, who are not us
        import peft  # noqa: F401
    # One thread: two that wait for each other on a busy machine take ten times as long.
    return Embedded(Settings(data=tmp_path_factory.mktemp("data"), threads=1))


@pytest.fixture(scope="module")
def pictures() -> list[TrainingPicture]:
    return [
        TrainingPicture(path, f"portrait of zxmia person, {path.with_suffix('.txt').read_text().strip()}")
        for path in sorted((PEOPLE / "00").glob("*.png"))[:4]
    ]


@pytest.fixture(scope="module")
def run(engine: Embedded, pictures: list[TrainingPicture], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with two checkpoints."""
    folder = tmp_path_factory.mktemp("run")
    engine.train(RECIPE, STARTER, pictures, folder, Said())
    return folder


def test_checkpoints_are_judged_once_kept_when_cancelled_and_the_best_is_proposed(
    engine: Embedded, pictures: list[TrainingPicture], run: Path
) -> None:
    with pytest.raises(Cancelled):
        engine.judge(RECIPE, STARTER, run, pictures, Said(Cancelled, at="Judging step 24"))
    halfway = judging.read_judgement(run)
    assert halfway is not None
    assert [one.step for one in halfway.verdicts] == [12], "what was judged before the cancellation is kept"

    base = (run / halfway.baseline.samples[0].file).stat().st_mtime_ns
    said = Said()
    judged = engine.judge(RECIPE, STARTER, run, pictures, said)
    assert {note for note in said.notes if "Judging" in note or "Drawing" in note} == {"Judging step 24"}, "only what is new is drawn"
    assert said.progress == sorted(said.progress)
    assert (run / judged.baseline.samples[0].file).stat().st_mtime_ns == base
    assert judged == judging.read_judgement(run)
    assert (judged.measure, judged.freedom_measure) == (Measure.illustrated, judging.FreedomMeasure.reader)

    _every_picture_is_there(run, judged)
    first, last = judged.verdicts
    assert judged.baseline.distance is not None and last.distance is not None
    assert judged.own < last.distance < judged.baseline.distance, "what was learned is nearer to the dataset than the model alone"
    assert last.likeness is not None and last.likeness > 0.1
    losses = [one["loss"] for one in training.read_progress(run)]
    assert last.loss == pytest.approx(sum(losses) / len(losses))
    assert first.loss == pytest.approx(sum(losses[:12]) / 12)
    assert judged.proposed in (12, 24)
    assert f"Step {judged.proposed} looks" in judged.why


def test_where_faces_are_found_in_most_pictures_the_distance_between_faces_counts(
    engine: Embedded, pictures: list[TrainingPicture], run: Path, tmp_path: Path
) -> None:
    only = tmp_path / "run"
    place = training.place_of(only, 12)
    place.mkdir(parents=True)
    (place / training.LORA).write_bytes((training.place_of(run, 12) / training.LORA).read_bytes())
    asked: list[Image.Image] = []

    def colours(image: Image.Image) -> np.ndarray | None:
        asked.append(image)
        if len(asked) == 1:
            return None  # one of four without a face
        return np.resize(np.asarray(image.resize((1, 1)), dtype=np.float64) / 255, 128)

    judged = engine.judge(RECIPE, STARTER, only, pictures, Said(), colours)
    (verdict,) = judged.verdicts
    assert judged.measure is verdict.measure is Measure.faces
    assert verdict.loss is None, "nothing was written down of it"
    assert verdict.distance is not None and verdict.faceless == 0
    assert len(asked) == len(pictures) + 2 * len(verdict.samples)


def test_samples_are_judged_while_it_learns_until_more_is_drawn(engine: Embedded, pictures: list[TrainingPicture], tmp_path: Path) -> None:
    words = ("portrait of zxmia person, light blue background", "portrait of zxmia person, smiling, wearing a red shirt")
    recipe = RECIPE.model_copy(update={"samples": words, "sample_every": 12})
    folder = tmp_path / "run"
    judge = engine.judge_samples(recipe, folder, pictures)
    seen: list[Judgement] = []

    class Looking(Said):
        def __call__(self, *told: Any, **more: Any) -> None:
            super().__call__(*told, **more)
            if (found := judge()) is not None:
                seen.append(found)

    engine.train(recipe, STARTER, pictures, folder, Looking())
    if (last := judge()) is not None:
        seen.append(last)
    assert judge() is None, "nothing is new"
    assert [[one.step for one in found.verdicts] for found in seen] == [[12], [12, 24]], "the first while it learned"
    judged = seen[-1]
    assert judged == judging.read_judgement(folder) and judged.by_samples
    assert judged.why.startswith("A first look, at the 2 samples that were drawn of each checkpoint during the training.")
    assert judged.proposed in (12, 24)
    for verdict in (judged.baseline, *judged.verdicts):
        assert [(one.prompt, one.file) for one in verdict.samples] == [
            (text, f"samples/{verdict.step:06}-{number}.png") for number, text in enumerate(words)
        ]
    assert judged.baseline.distance is not None and judged.verdicts[-1].distance is not None
    assert judged.verdicts[-1].distance < judged.baseline.distance, "what was learned is nearer to the dataset than the model alone"
    assert judged.verdicts[-1].loss is not None

    # Another process looks again, and knows what was judged.
    (folder / "samples" / "000012-0.png").write_bytes((folder / "samples" / "000000-0.png").read_bytes())
    again = engine.judge_samples(recipe, folder, pictures)()
    assert again is not None and again.verdicts == judged.verdicts, "and does not judge it twice"

    # A stop before the first real verdict leaves what the samples told; after it they count no more.
    with pytest.raises(Cancelled):
        engine.judge(recipe, STARTER, folder, pictures, Said(Cancelled, at="Judging step 12"))
    assert judging.read_judgement(folder) == judged
    whole = engine.judge(recipe, STARTER, folder, pictures, Said())
    assert not whole.by_samples and [one.step for one in whole.verdicts] == [12, 24]
    assert engine.judge_samples(recipe, folder, pictures)() is None
    assert judging.read_judgement(folder) == whole


def test_bad_input_is_told(engine: Embedded, run: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidFieldValue, match="no pictures"):
        engine.judge(RECIPE, STARTER, run, [], Said())
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n")
    with pytest.raises(ImageInvalid, match=r"broken\.png"):
        engine.judge(RECIPE, STARTER, run, [TrainingPicture(broken, "")], Said())
    with pytest.raises(ModelInvalid, match="reader"):
        Reader(tmp_path)


def test_the_reader_names_what_a_picture_shows_at_any_size_and_knows_a_person_in_other_clothes() -> None:
    files = sorted((PEOPLE / "00").glob("*.png"))[:3] + sorted((PEOPLE / "03").glob("*.png"))[:1]
    images = [Image.open(path) for path in files]
    images[1] = images[1].resize((300, 300), Image.Resampling.LANCZOS).convert("RGBA")
    reading = Reader().read(images)
    captions = [path.with_suffix(".txt").read_text() for path in files]
    for number, caption in enumerate(captions):
        assert f"{reading.label(number, 'bg')} background" in caption
        assert f"{reading.label(number, 'cloth_color')} " in caption
        assert all(sum(chances.values()) == pytest.approx(1, abs=1e-4) for chances in reading.attributes[number].values())
    assert (reading.embedding.shape, reading.embedding.dtype) == ((4, 2048), np.float32)
    for rows in (reading.embedding, reading.person):
        assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(4), abs=1e-5)
    alike = reading.person @ reading.person.T
    assert alike[:3, :3].min() > 0.8 > 0.6 > alike[3, :3].max()
    assert Reader().read([]).embedding.shape == (0, 2048)


def _every_picture_is_there(run: Path, judged: Judgement) -> None:
    verdicts = (judged.baseline, *judged.verdicts)
    assert [one.step for one in verdicts] == [0, 12, 24]
    cells = [[(sample.prompt, sample.seed) for sample in one.samples] for one in verdicts]
    assert cells[0] == cells[1] == cells[2], "the same prompts at the same seeds"
    assert all("zxmia person" in prompt for prompt, _ in cells[0])
    for verdict in verdicts:
        for sample in verdict.samples:
            with Image.open(run / sample.file) as image:
                assert (image.format, image.size) == ("WEBP", (64, 64))
    assert len(list((run / judging.GRID).iterdir())) == 3 * len(cells[0])
    assert json.loads((run / judging.JUDGEMENT).read_text())["proposed"] == judged.proposed


class Said:
    """A report that writes down what it hears, and raises at a note."""

    def __init__(self, ending: type[Exception] | None = None, *, at: str = "") -> None:
        self.ending, self.at = ending, at
        self.notes: list[str] = []
        self.progress: list[float] = []

    def __call__(self, progress: float, note: str = "", *, step: int = 0, steps: int = 0, preview: Any = None) -> None:
        self.notes.append(note)
        self.progress.append(progress)
        if self.ending is not None and note == self.at:
            raise self.ending

    def wants_preview(self) -> bool:
        return False
