"""Two checkpoints or versions side by side: what differs, the same prompts at the same seeds, and a new picture of both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from test_keeping import lora, put, there
from test_keeping import run as run  # a fixture
from test_keeping import studio as studio

from app import main
from studio import judging, training
from studio.api import create_api
from studio.comparing import CompareRequest
from studio.contracts import JobState, TrainRequest
from studio.errors import InvalidFieldValue, NotFound, SafetyFilter
from studio.judging import FreedomMeasure, Judgement, Measure, Sample, Verdict
from studio.settings import Settings
from studio.studio import Studio


def judged(studio: Studio, job_id: str, steps: tuple[int, ...]) -> None:
    """A judgement with two prompts at two seeds, and the pictures that it names."""

    def verdict(step: int) -> Verdict:
        samples = tuple(
            Sample(step=step, prompt=f"portrait of zmara, {key}", seed=seed, file=f"grid/{step:06}-{key}-{seed}.webp")
            for key in ("blue-shirt", "in-profile")
            for seed in (1, 2)
        )
        for one in samples:
            file = studio.trainings.folder(job_id) / one.file
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(f"{step} {one.file}".encode())
        return Verdict(
            step=step,
            sha256=str(step),
            measure=Measure.illustrated,
            distance=0.5 - step / 100,
            spread=0,
            prompt_freedom=0.9,
            diversity=1,
            copies=0,
            loss=0.1,
            samples=samples,
        )

    found = Judgement(
        basis="1",
        measure=Measure.illustrated,
        freedom_measure=FreedomMeasure.reader,
        own=0.05,
        baseline=verdict(0),
        verdicts=tuple(verdict(step) for step in steps),
    )
    judging.write_judgement(studio.trainings.folder(job_id), judging.conclude(found))


@pytest.fixture
def other(studio: Studio, run: str) -> str:
    """Another finished training of Mara, with another rank; its id."""
    wanted = {"character": "mara", "preset": "quick", "rank": 4}
    job = studio.trainings.order(TrainRequest.model_validate(wanted), correlation_id="test")
    place = training.place_of(studio.trainings.folder(job.id), 40)
    place.mkdir(parents=True)
    (place / training.LORA).write_bytes(lora(40))
    put(studio, job.id, JobState.done)
    return job.id


def test_two_checkpoints_of_a_training_are_seen_at_the_same_prompts_and_seeds(studio: Studio, run: str) -> None:
    judged(studio, run, (20, 40))
    found = studio.comparing.compare(f"{run}@20", f"{run}@40")
    assert [(pair.key, pair.seed) for pair in found.pairs] == [("blue-shirt", 1), ("blue-shirt", 2), ("in-profile", 1), ("in-profile", 2)]
    assert found.pairs[0].names == ("000020-blue-shirt-1.webp", "000040-blue-shirt-1.webp")
    assert all(studio.trainings.sample(run, name).is_file() for pair in found.pairs for name in pair.names)
    assert found.differs == () and found.one.path is None
    assert found.one.likeness is not None and found.other.likeness is not None and found.one.likeness < found.other.likeness


def test_a_version_of_one_training_beside_a_checkpoint_of_another(studio: Studio, run: str, other: str) -> None:
    judged(studio, run, (20, 40))
    judged(studio, other, (40,))
    version = studio.trainings.pick(run, 40)
    found = studio.comparing.compare(version.path, f"{other}@40")
    assert len(found.pairs) == 4
    assert (found.one.version, found.other.version) == (1, None)
    assert "rank" in found.differs and "model" not in found.differs
    assert studio.comparing.compare(f"{run}@20", f"{other}@40").pairs
    judging.write_judgement(studio.trainings.folder(other), judging.conclude(_without(studio, other)))
    assert studio.comparing.compare(version.path, f"{other}@40").pairs == (), "one that was not judged has no pictures"


def _without(studio: Studio, job_id: str) -> Judgement:
    found = judging.read_judgement(studio.trainings.folder(job_id))
    assert found is not None
    return found.model_copy(update={"verdicts": ()})


def test_the_same_picture_is_ordered_of_both_at_one_seed_each_with_its_lora_alone(studio: Studio, run: str) -> None:
    first, second = studio.trainings.pick(run, 20), studio.trainings.pick(run, 40)
    assert studio.character("mara").lora == second.path
    made = studio.comparing.draw(CompareRequest(one=first.path, other=second.path, prompt="portrait, smiling"))
    recipes = [studio.job(job_id).recipe for job_id in made.job_ids]
    assert [[use.path for use in recipe.loras] for recipe in recipes if recipe] == [[first.path], [second.path]]
    assert len({(recipe.seed, recipe.prompt, recipe.steps, recipe.model) for recipe in recipes if recipe}) == 1
    named = studio.comparing.draw(CompareRequest(one=first.path, other=second.path, prompt="portrait", seed=7))
    assert {job.recipe.seed for job in map(studio.job, named.job_ids) if job.recipe} == {7}


@pytest.mark.parametrize(
    ("one", "other", "fault"),
    [
        ("nothing.safetensors", "{run}@40", NotFound),
        ("{run}@40", "{run}@25", NotFound),
        ("nobody@40", "{run}@40", NotFound),
        ("{run}@40", "{run}@40", InvalidFieldValue),
        ("{run}@", "{run}@40", NotFound),
    ],
)
def test_what_is_not_there_or_the_same_is_refused(studio: Studio, run: str, one: str, other: str, fault: type[Exception]) -> None:
    with pytest.raises(fault) as told:
        studio.comparing.compare(one.format(run=run), other.format(run=run))
    assert getattr(told.value, "remedy")  # noqa: B009 - of every error of ours


def test_pictures_are_made_with_versions_alone_and_within_the_lines(studio: Studio, run: str) -> None:
    version = studio.trainings.pick(run, 20)
    with pytest.raises(InvalidFieldValue) as told:
        studio.comparing.draw(CompareRequest(one=version.path, other=f"{run}@40", prompt="portrait"))
    assert told.value.field == "other"
    second = studio.trainings.pick(run, 40)
    with pytest.raises(SafetyFilter):
        studio.comparing.draw(CompareRequest(one=version.path, other=second.path, prompt="naked, twelve years old"))
    assert studio.jobs(states=[JobState.queued]).items == ()
    assert there(studio, run)


def test_the_doors_of_comparing(studio: Studio, run: str, settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    judged(studio, run, (20, 40))
    first, second = studio.trainings.pick(run, 20), studio.trainings.pick(run, 40)

    def said(*argv: str, status: int = 0) -> Any:
        capsys.readouterr()
        assert main(["--data", str(settings.data), "--json", *argv]) == status
        return json.loads(capsys.readouterr().out)

    with TestClient(create_api(studio), base_url="http://127.0.0.1/api/v1") as api:
        shown = api.get("loras/compare", params={"one": first.path, "other": f"{run}@40"}).json()
        assert [len(shown["pairs"]), shown["one"]["version"]] == [4, 1]
        picture = api.get(f"training/{run}/samples/{shown['pairs'][0]['names'][0]}")
        assert picture.status_code == 200 and picture.content.startswith(b"20 ")
        made = api.post("loras/compare", json={"one": first.path, "other": second.path, "prompt": "portrait", "seed": 3})
        assert made.status_code == 202 and len(made.json()["job_ids"]) == 2
        assert api.get("loras/compare", params={"one": first.path}).status_code == 422
        assert api.post("loras/compare", json={"one": first.path, "other": second.path, "prompt": ""}).status_code == 422
    told = said("loras", "compare", first.path, second.path)
    assert told["pairs"] == shown["pairs"] and told["one"]["step"] == 20
    assert len(said("loras", "compare", first.path, second.path, "--prompt", "portrait", "--seed", "3")["job_ids"]) == 2
    assert said("loras", "compare", first.path, second.path, "--prompt", "x", "--seed", "-5", status=1)["error"]["field"] == "seed"
    capsys.readouterr()
    assert main(["--data", str(settings.data), "loras", "compare", first.path, second.path]) == 0
    text = capsys.readouterr().out
    assert "4 pictures of both" in text and Path(text.splitlines()[-1].strip()).is_file()
