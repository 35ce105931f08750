"""Edits of a real person's photo are looked at before anybody sees them: the real engine, and a small classifier made here."""

from __future__ import annotations

import functools
import io
import json
import threading
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from working_here import working_here

import app
from engines.embedded import Embedded
from engines.embedded.classifier import load_judge, means_explicit
from studio.contracts import CharacterFields, Consent, GenerateRequest, JobKind, JobState, Recipe
from studio.engine import Artifact, Crop
from studio.errors import ModelInvalid, ModelUnsafe, SafetyFilter
from studio.generate import make_pictures
from studio.jobs import Run
from studio.settings import Settings
from studio.studio import Studio

AGREED = Consent(who="Mia Example", what_for="pictures for her own channel")
LABELS = ("normal", "nsfw")
RED, BLUE = (220, 20, 20), (20, 20, 220)


@pytest.fixture
def studio(settings: Settings) -> Studio:
    return app.open_studio(settings)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Embedded:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import diffusers  # noqa: F401 - its import warns developers, who are not us
        import peft  # noqa: F401
    return Embedded(Settings.model_validate({"data": tmp_path_factory.mktemp("engine")}))


# The classifier


def test_it_tells_an_explicit_picture_from_another(tmp_path: Path) -> None:
    install(tmp_path)
    judge = load_judge(tmp_path)
    assert judge.explicit(flat(RED)) > 0.9
    assert judge.explicit(flat(BLUE)) < 0.1
    assert judge.explicit(flat(RED).convert("L")) == pytest.approx(judge.explicit(flat(RED).convert("L").convert("RGB")))


def test_scores_of_several_explicit_labels_are_added(tmp_path: Path) -> None:
    install(tmp_path, labels=("drawing", "hentai", "porn", "neutral"), red_is=(1, 2))
    assert load_judge(tmp_path).explicit(flat(RED)) > 0.9


def test_labels_that_do_not_exclude_each_other_are_not_added(tmp_path: Path) -> None:
    install(tmp_path, labels=("nude", "explicit"), red_is=(0, 1), problem_type="multi_label_classification")
    judge = load_judge(tmp_path)
    assert 0.9 < judge.explicit(flat(RED)) <= 1
    assert judge.explicit(flat(BLUE)) < 0.1


@pytest.mark.parametrize("label", ["nsfw", "NSFW", "porn", "Explicit Nudity", "sexy", "unsafe", "hentai_images", "LABEL_nude", "isNude"])
def test_a_label_means_explicit(label: str) -> None:
    assert means_explicit(label)


@pytest.mark.parametrize("label", ["normal", "safe", "sfw", "neutral", "non-nude", "not nsfw", "drawings", "LABEL_1", "denuded hill", ""])
def test_a_label_does_not_mean_explicit(label: str) -> None:
    assert not means_explicit(label)


@pytest.mark.parametrize("labels", [("cat", "dog"), ("LABEL_0", "LABEL_1"), ("porn", "hentai")])
def test_a_model_that_can_not_tell_is_refused_with_what_would_do(tmp_path: Path, labels: tuple[str, ...]) -> None:
    install(tmp_path, labels=labels)
    with pytest.raises(ModelInvalid) as refused:
        load_judge(tmp_path)
    assert "nsfw" in refused.value.remedy


def test_a_classifier_that_can_not_be_trusted_is_not_loaded(tmp_path: Path) -> None:
    with pytest.raises(SafetyFilter, match="looked at"):
        load_judge(tmp_path)
    folder = install(tmp_path)
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelInvalid):
        load_judge(tmp_path)
    weights.unlink()
    with pytest.raises(ModelInvalid, match=r"no \.safetensors"):
        load_judge(tmp_path)
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(ModelUnsafe):
        load_judge(tmp_path)


def test_weights_that_are_missing_are_not_made_up(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = install(tmp_path)
    tensors = load_file(folder / "model.safetensors")
    save_file(
        {name: value for name, value in tensors.items() if not name.startswith("classifier")},
        folder / "model.safetensors",
        {"format": "pt"},
    )
    with pytest.raises(ModelInvalid, match="lacks 2"):
        load_judge(tmp_path)


def test_code_that_comes_with_a_model_is_not_run(tmp_path: Path) -> None:
    folder = install(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.Own", "AutoModelForImageClassification": "own.Own"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Own: pass\n")
    with pytest.raises(ModelInvalid):
        load_judge(tmp_path)
    assert not (tmp_path / "ran").exists()


# Jobs


def test_an_edit_that_is_not_explicit_is_kept_and_was_not_shown_before(studio: Studio, engine: Embedded) -> None:
    run = edit(studio, install(studio.settings.data, explicit="never"))
    report = Watching()
    work(studio, engine, run, report)
    (picture,) = studio.artifacts(run.job_id)
    assert picture.real_person
    assert (studio.settings.data / picture.path).exists()
    assert studio.job(run.job_id).state is JobState.done
    assert report.previews == 0
    assert report.steps


def test_an_explicit_edit_is_withheld_and_nothing_of_it_is_left(studio: Studio, engine: Embedded) -> None:
    run = edit(studio, install(studio.settings.data, explicit="always"), count=2)
    before = files(studio)
    report = Watching()
    with pytest.raises(SafetyFilter, match="withheld"):
        work(studio, engine, run, report)
    assert report.previews == 0
    assert studio.artifacts(run.job_id) == ()
    assert files(studio) == before


def test_one_explicit_picture_withholds_all_of_its_job(studio: Studio) -> None:
    run = edit(studio, install(studio.settings.data), count=2)
    before = files(studio)
    with pytest.raises(SafetyFilter, match="withheld"):
        work(studio, Painter(BLUE, RED), run, Watching())
    assert studio.artifacts(run.job_id) == ()
    assert files(studio) == before
    work(studio, Painter(BLUE, BLUE), run, Watching())
    assert len(studio.artifacts(run.job_id)) == 2


def test_the_threshold_is_a_setting(studio: Studio) -> None:
    run = edit(studio, install(studio.settings.data))
    score = load_judge(studio.settings.data).explicit(flat(BLUE))
    with pytest.raises(SafetyFilter, match="withheld"):
        work(studio, Painter(BLUE), run, Watching(), explicit_from=score)
    work(studio, Painter(BLUE), run, Watching(), explicit_from=score + 0.01)
    assert len(studio.artifacts(run.job_id)) == 1


def test_a_verdict_that_is_no_number_withholds(studio: Studio) -> None:
    run = edit(studio, install(studio.settings.data, bias=float("nan")))
    with pytest.raises(SafetyFilter, match="withheld"):
        work(studio, Painter(BLUE), run, Watching())


def test_a_small_part_that_was_drawn_anew_is_looked_at_on_its_own(studio: Studio) -> None:
    run = edit(studio, install(studio.settings.data))
    whole = Image.new("RGB", (640, 640), BLUE)
    whole.paste(RED, (0, 0, 40, 40))
    assert load_judge(studio.settings.data).explicit(whole) < 0.5
    with pytest.raises(SafetyFilter, match="withheld"):
        work(studio, Patcher(whole, Crop((0, 0, 40, 40), (64, 64))), run, Watching())
    assert studio.artifacts(run.job_id) == ()


def test_a_classifier_that_went_after_the_click_stops_the_job_before_it_draws(studio: Studio) -> None:
    folder = install(studio.settings.data)
    run = edit(studio, folder)
    (folder / "config.json").unlink()
    painter = Painter(BLUE)
    with pytest.raises(SafetyFilter) as refused:
        work(studio, painter, run, Watching())
    assert "classifiers" in refused.value.remedy
    assert painter.drawn == 0


def test_a_picture_made_of_a_real_person_is_not_edited_without_a_classifier(studio: Studio) -> None:
    folder = install(studio.settings.data)
    run = edit(studio, folder)
    work(studio, Painter(BLUE), run, Watching())
    (made,) = studio.artifacts(run.job_id)
    again = GenerateRequest(prompt="in a red coat", image=made.id, width=64, height=64, consent=AGREED)
    assert studio.generate(again).ok
    (folder / "config.json").unlink()
    with pytest.raises(SafetyFilter, match="looked at"):
        studio.generate(again)


def test_pictures_of_invented_people_are_not_looked_at(studio: Studio) -> None:
    picture = studio.upload(photo(BLUE), "drawing.png")
    request = GenerateRequest(prompt="in a red coat", image=picture.id, width=64, height=64, real_person=False)
    run = begin(studio, request)
    report = Watching()
    work(studio, Painter(RED), run, report)
    assert len(studio.artifacts(run.job_id)) == 1
    assert report.previews == 1


def test_the_worker_fails_such_a_job_and_keeps_no_preview(studio: Studio, settings: Settings) -> None:
    run = edit(studio, install(settings.data, explicit="always"))
    with working_here(settings, studio.database) as worker:
        finished = threading.Thread(target=worker._work, args=(run,))
        finished.start()
        finished.join(120)
    job = studio.job(run.job_id)
    assert job.state is JobState.failed
    assert job.error is not None
    assert job.error.code == "SAFETY_FILTER"
    assert not list(settings.data.rglob("preview*"))
    assert studio.artifacts(run.job_id) == ()


class Painter:
    """An engine whose pictures have the colours that a test asks for."""

    name = "embedded"

    def __init__(self, *colours: tuple[int, int, int]) -> None:
        self.colours = colours
        self.drawn = 0

    def generate(self, recipe: Recipe, inputs: Any, run_id: str, report: Any) -> Any:
        for index, colour in enumerate(self.colours):
            report(0.5, "Drawing", step=1, steps=2, preview=flat(colour) if report.wants_preview() else None)
            self.drawn += 1
            yield Artifact(index, flat(colour), seed=index, model_hash="0" * 64)


class Patcher(Painter):
    """An engine that gives one picture, of which it drew a part."""

    def __init__(self, whole: Image.Image, crop: Crop) -> None:
        super().__init__()
        self.whole = whole
        self.crop = crop

    def generate(self, recipe: Recipe, inputs: Any, run_id: str, report: Any) -> Any:
        yield Artifact(0, self.whole, seed=0, model_hash="0" * 64, crop=self.crop)


class Watching:
    """A report that always wants a preview and counts what it gets."""

    def __init__(self) -> None:
        self.previews = 0
        self.steps: list[int] = []

    def __call__(self, progress: float, note: str = "", *, step: int = 0, steps: int = 0, preview: Any = None) -> None:
        self.previews += preview is not None
        self.steps.append(step)

    def wants_preview(self) -> bool:
        return True


def install(
    data: Path,
    *,
    labels: tuple[str, ...] = LABELS,
    red_is: tuple[int, ...] = (1,),
    explicit: str = "red",
    bias: float = 0.0,
    problem_type: str | None = None,
) -> Path:
    """A tiny ResNet that calls red pictures `red_is` and others not, or everything the same; gives its folder."""
    from transformers import ConvNextImageProcessorPil, ResNetConfig, ResNetForImageClassification

    config = ResNetConfig(embedding_size=4, hidden_sizes=[4], depths=[1], layer_type="basic", id2label=dict(enumerate(labels)))
    config.problem_type = problem_type
    torch.manual_seed(0)
    model = ResNetForImageClassification(config).eval()
    with torch.no_grad():
        linear: Any = model.classifier[1]
        seen = [model.resnet(pixels(colour)).pooler_output.flatten() for colour in (RED, BLUE)]
        apart = (seen[0] - seen[1]) / (seen[0] - seen[1]).square().sum()
        middle = float(apart @ (seen[0] + seen[1]) / 2)
        for number in range(len(labels)):
            sign = 20.0 if number in red_is else -20.0
            linear.weight[number] = apart * sign if explicit == "red" else 0
            linear.bias[number] = bias - middle * sign if explicit == "red" else sign * (1 if explicit == "always" else -1)
    folder = data / "classifiers" / "tiny"
    model.save_pretrained(folder)
    ConvNextImageProcessorPil(size={"shortest_edge": 384}, image_mean=[0.5] * 3, image_std=[0.5] * 3).save_pretrained(folder)
    return folder


def pixels(colour: tuple[int, int, int]) -> torch.Tensor:
    return (torch.tensor(colour) / 255 - 0.5).div(0.5).view(1, 3, 1, 1).expand(1, 3, 384, 384)


def flat(colour: tuple[int, int, int]) -> Image.Image:
    return Image.new("RGB", (64, 64), colour)


def photo(colour: tuple[int, int, int]) -> bytes:
    out = io.BytesIO()
    flat(colour).save(out, "PNG")
    return out.getvalue()


def edit(studio: Studio, classifier: Path, *, count: int = 1) -> Run:
    """A begun job that edits the photo of a character who agreed."""
    assert classifier.exists()
    mia = studio.create_character(CharacterFields(name="Mia", kind="consented", consent=AGREED))  # pyright: ignore[reportArgumentType]
    own = studio.add_photos(mia.id, [("mia.png", photo(BLUE))]).items[0]
    return begin(
        studio,
        GenerateRequest(
            prompt="in a red coat", character=mia.id, image=own.id, width=64, height=64, steps=2, denoise=1, count=count, seed=1
        ),
    )


def begin(studio: Studio, request: GenerateRequest) -> Run:
    job_id = studio.generate(request).job_id
    run = studio._jobs.begin(f"{job_id}-1")
    assert run is not None
    assert run.kind is JobKind.generate
    return run


def work(studio: Studio, engine: Any, run: Run, report: Watching, *, explicit_from: float = 0.5) -> None:
    make_pictures(
        run,
        report,
        jobs=studio._jobs,
        gallery=studio._gallery,
        engines={"embedded": engine},
        shelf=studio.shelf,
        characters=studio._characters,
        judge=functools.partial(load_judge, studio.settings.data),
        explicit_from=explicit_from,
    )


def files(studio: Studio) -> set[Path]:
    return {path for path in studio.settings.data.rglob("*") if path.is_file() and path.suffix in {".png", ".webp", ".jpg", ".avif"}}
