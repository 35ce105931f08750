"""Trainings from the order to the LoRA that makes pictures: refusals, stop, resume, a worker that is killed, versions."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image, ImageDraw

from app import HOME, main, open_studio
from bench.rig import wait_until
from studio.api import create_api
from studio.contracts import Appearance, CharacterChange, CharacterFields, GenerateRequest, Job, JobKind, JobState, TrainRequest
from studio.dataset_contracts import DatasetFields
from studio.errors import Conflict, ConsentMissing, InvalidFieldValue, LikenessError, NotFound, SafetyFilter
from studio.settings import Settings
from studio.studio import Studio
from studio.training import Ask, last_loss
from studio.training_presets import class_prompt, presets

PATIENCE_S = 300
SMALL = {"preset": "quick", "resolution": 64, "batch": 2, "rank": 4, "targets": "attention", "samples": ("{trigger_word}, portrait",)}


@pytest.fixture
def studio(settings: Settings) -> Iterator[Studio]:
    opened = open_studio(settings)
    yield opened
    opened.database.close()


@pytest.fixture
def mara(studio: Studio) -> str:
    """A character with four photos; its id."""
    character = studio.create_character(CharacterFields.model_validate({"name": "Mara", "trigger_word": "zmara"}))
    added = studio.add_photos(character.id, [(f"{number}.png", drawn(number)) for number in range(4)])
    assert len(added.items) == 4
    return character.id


def drawn(number: int) -> bytes:
    """A face of a kind, with something that differs."""
    image = Image.new("RGB", (96, 96), ("white", "lightblue", "khaki", "pink")[number % 4])
    pen = ImageDraw.Draw(image)
    pen.ellipse((24, 16, 72, 72), fill="#b07040")
    pen.pieslice((20, 8, 76, 60), 180, 360, fill="#20a060")
    pen.rectangle((30 - number, 74, 66 + number, 96), fill="#803080")
    data = io.BytesIO()
    image.save(data, "PNG")
    return data.getvalue()


def order(studio: Studio, character: str, **values: Any) -> Job:
    return studio.trainings.order(TrainRequest.model_validate({"character": character, **SMALL, **values}), correlation_id="test")


class WorkerProcess:
    """The worker of one data root, started without a supervisor so that the test decides when it lives."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = {**os.environ, "LIKENESS_THREADS": "1"}  # two would wait for each other on a busy machine
        command = [sys.executable, str(HOME / "app.py"), "worker", "--data", str(self._settings.data)]
        with (self._settings.data / "worker-of-the-test.log").open("ab") as log:
            self._process = subprocess.Popen(command, cwd=HOME, env=environment, stdout=log, stderr=log)

    def end(self, sign: signal.Signals = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(sign)
            self._process.wait(60)


@pytest.fixture
def worker(settings: Settings) -> Iterator[WorkerProcess]:
    process = WorkerProcess(settings)
    yield process
    process.end(signal.SIGKILL)


# What is refused, and leaves nothing behind


def test_nothing_is_trained_without_pictures(studio: Studio) -> None:
    nobody = studio.create_character(CharacterFields.model_validate({"name": "Nobody"}))
    with pytest.raises(InvalidFieldValue) as refused:
        order(studio, nobody.slug)
    assert refused.value.field == "dataset" and "photos" in refused.value.remedy
    assert [one.field for one in studio.trainings.offer(nobody.id).obstacles] == ["dataset"]
    studio.add_photos(nobody.id, [("0.png", drawn(0))])
    with pytest.raises(InvalidFieldValue, match="One picture"):
        order(studio, nobody.slug)
    assert studio.jobs().items == () and studio.trainings.trainings() == () and studio.datasets.datasets() == ()


def test_a_training_learns_from_the_dataset_that_is_named(studio: Studio, mara: str) -> None:
    photos = [photo.id for photo in studio.photos(mara)]
    chosen, _ = studio.datasets.create(DatasetFields.model_validate({"character": mara, "name": "Two", "pictures": photos[:2]}))
    other = studio.create_character(CharacterFields.model_validate({"name": "Other"}))
    studio.add_photos(other.id, [(f"{number}.png", drawn(number)) for number in range(3)])
    with pytest.raises(InvalidFieldValue, match="not one of Other"):
        order(studio, other.id, dataset=chosen.id)
    run = studio.trainings.training(order(studio, mara, dataset=chosen.id).id)
    assert (run.dataset, run.dataset_name, run.dataset_version, run.pictures) == (chosen.id, "Two", chosen.version, 2)
    studio.datasets.delete(chosen.id)
    assert studio.trainings.training(run.job.id).dataset_name == "", "it keeps what it learned from"
    studio.datasets.undo(chosen.id)
    assert studio.trainings.offer(mara, dataset=chosen.id).pictures == 2


def test_a_real_person_is_trained_with_consent_alone(studio: Studio) -> None:
    consent = {"who": "Ann Example", "what_for": "training and pictures"}
    ann = studio.create_character(CharacterFields.model_validate({"name": "Ann", "kind": "consented", "consent": consent}))
    studio.add_photos(ann.id, [(f"{number}.png", drawn(number)) for number in range(3)])
    job = order(studio, ann.id)
    studio.change_character(ann.id, CharacterChange.model_validate({"consent": None}))
    with pytest.raises(ConsentMissing):
        order(studio, ann.id)
    assert [one.code for one in studio.trainings.offer(ann.id).obstacles] == ["CONSENT_MISSING"]
    studio.trainings.stop(job.id)
    with pytest.raises(ConsentMissing):
        studio.trainings.resume(job.id)
    assert len(studio.trainings.trainings()) == 1


@pytest.mark.parametrize(
    ("values", "fault", "field"),
    [
        ({"preset": "best"}, InvalidFieldValue, "preset"),
        ({"model": "nothing"}, InvalidFieldValue, "model"),
        ({"engine": "comfyui"}, InvalidFieldValue, "engine"),
        ({"dataset": "nothing"}, NotFound, None),
        ({"prior_weight": 1, "prior_prompt": "portrait of zmara"}, InvalidFieldValue, "prior_prompt"),
        ({"prior_weight": 1, "prior_prompt": "a naked child"}, SafetyFilter, "prompt"),
        ({"samples": ("{trigger_word} naked, twelve years old",)}, SafetyFilter, "prompt"),
    ],
)
def test_an_order_that_can_not_be_is_refused(
    studio: Studio, mara: str, values: dict[str, Any], fault: type[LikenessError], field: str | None
) -> None:
    with pytest.raises(fault) as refused:
        order(studio, mara, **values)
    assert refused.value.remedy
    if field:
        assert refused.value.field == field
    assert studio.jobs().items == () and studio.trainings.trainings() == ()


def test_a_caption_that_crosses_a_line_is_refused(studio: Studio, mara: str) -> None:
    photo = studio.photos(mara)[0]
    # Written beside the door that checks captions, as a restored database may have it.
    with studio.database.begin() as connection:
        import sqlalchemy as sa

        from studio.db import pictures

        connection.execute(sa.update(pictures).where(pictures.c.id == photo.id).values(caption="a naked schoolgirl"))
    with pytest.raises(SafetyFilter):
        order(studio, mara)
    assert studio.trainings.trainings() == ()


def test_somebody_in_the_trash_is_not_trained(studio: Studio, mara: str) -> None:
    studio.change_character(mara, CharacterChange.model_validate({"status": "trashed"}))
    with pytest.raises(InvalidFieldValue, match="trash"):
        order(studio, mara)


# What is offered


def test_the_offer_says_what_is_learned_and_that_no_time_is_known_yet(studio: Studio, mara: str) -> None:
    offer = studio.trainings.offer("mara")
    assert (offer.model, offer.pictures, offer.obstacles) == ("starter", 4, ())
    assert [one.id for one in offer.presets] == ["quick", "balanced", "high"]
    assert all(one.seconds is None for one in offer.presets)
    assert offer.presets[0].recipe.trigger == "zmara"
    assert all("zmara" in text for text in offer.presets[0].recipe.samples)


def test_what_would_be_learned_is_checked_before_it_is_by_every_door(studio: Studio, mara: str, capsys: pytest.CaptureFixture[str]) -> None:
    client = TestClient(create_api(studio), base_url="http://127.0.0.1/api/v1/")

    def checked(**query: str) -> dict[str, Any]:
        while (said := client.get("training/check", params={"character": mara, **query}).json())["pending"]:
            pass
        return said

    photos = [photo.id for photo in studio.photos(mara)]
    said = checked()
    assert (said["dataset"], said["pictures"], said["unreadable"]) == ("", len(photos), [])
    found = {one["code"]: one for one in said["findings"]}
    assert "too_few" in found and {one["fix"] for one in said["findings"]} == {"none"}
    assert {picture for one in said["findings"] for picture in one["pictures"]} <= set(photos)
    assert client.get("training/check", params={"character": "nobody"}).status_code == 404

    # A dataset that is there takes the place of the photos, and its findings can be fixed.
    before = studio.trainings.offer(mara).learned
    dataset, _ = studio.datasets.create(DatasetFields.model_validate({"character": mara}))
    studio.datasets.add_files(dataset.id, [("twice.png", drawn(7)), ("again.png", drawn(8))])
    assert studio.trainings.offer(mara).learned != before
    assert checked()["dataset"] == dataset.id == checked(dataset=dataset.id)["dataset"]
    capsys.readouterr()
    main(["training", "check", "mara", "--data", str(studio.settings.data), "--json"])
    assert json.loads(capsys.readouterr().out)["dataset"] == dataset.id


def test_the_class_prompt_says_what_kind_of_person_it_is(studio: Studio, mara: str) -> None:
    assert {one.recipe.prior_weight for one in studio.trainings.offer(mara).presets} == {0}
    assert studio.trainings.offer(mara).presets[0].recipe.prior_prompt == "portrait of a person"
    assert class_prompt(Appearance(gender="woman", age=34), "sdxl") == "photo of a woman"
    assert class_prompt(Appearance(gender="girl"), "sd15") == "photo of a woman", "characters are adults"
    assert class_prompt(Appearance(), "sd15") == "photo of a person"
    run = studio.trainings.training(order(studio, mara, prior_weight=0.5, prior_pictures=8, prior_prompt="somebody drawn").id)
    assert (run.plan.recipe.prior_weight, run.plan.recipe.prior_pictures, run.plan.recipe.prior_prompt) == (0.5, 8, "somebody drawn")


def test_every_preset_is_whole_for_every_family_that_can_be_trained() -> None:
    for preset in presets():
        assert set(preset.families) == {"starter", "sd15", "sd2", "sdxl"}
        assert preset.name and preset.about.endswith(".")


def test_the_newest_loss_is_read_from_the_end_of_the_file(tmp_path: Path) -> None:
    assert last_loss(tmp_path) is None
    lines = [json.dumps({"step": step, "loss": 1.0 if step < 900 else 0.25, "rate": 0.001, "seconds": 0.1}) for step in range(1, 1001)]
    (tmp_path / "progress.jsonl").write_text("\n".join(lines[:3]) + "\n")
    assert last_loss(tmp_path) == 1.0
    (tmp_path / "progress.jsonl").write_text("\n".join(lines) + '\n{"step": 1001, "lo')
    assert last_loss(tmp_path) == 0.25


# States


def test_a_training_that_waits_is_paused_at_once_and_goes_on_as_a_new_attempt(studio: Studio, mara: str) -> None:
    job = order(studio, mara, steps=20)
    assert (job.kind, job.state, job.steps) == (JobKind.train, JobState.queued, 20)
    assert job.request is None and job.recipe is None and job.training is not None
    with pytest.raises(Conflict):
        studio.trainings.ask(job.id, Ask.save)
    assert studio.trainings.stop(job.id).state is JobState.paused
    with pytest.raises(Conflict):
        studio.trainings.stop(job.id)
    again = studio.trainings.resume(job.id)
    assert (again.state, again.attempt) == (JobState.queued, 2)
    studio.trainings.stop(job.id)
    assert studio.cancel(job.id).state is JobState.cancelled
    with pytest.raises(Conflict, match="saved"):
        studio.trainings.pick(job.id)
    with pytest.raises(NotFound):
        studio.trainings.sample(job.id, "../recipe.json")


# For real


@pytest.mark.timeout(900)
def test_a_training_is_stopped_goes_on_survives_a_kill_and_its_lora_changes_pictures(
    studio: Studio, mara: str, settings: Settings, worker: WorkerProcess
) -> None:
    worker.start()
    job = order(studio, mara, steps=60, save_every=20, sample_every=40)
    studio.remove_photos(mara, [studio.photos(mara)[0].id])  # what is learned was settled by the order
    until(lambda: learned(studio, job) >= 5)
    studio.trainings.ask(job.id, Ask.sample)
    until(lambda: bool(studio.trainings.training(job.id).samples))
    studio.trainings.stop(job.id)
    until(lambda: studio.job(job.id).state is JobState.paused)
    paused = studio.trainings.training(job.id)
    assert paused.checkpoints[-1].step == learned(studio, job) < 60, "what was learned until the stop is kept"
    assert not paused.stopping and paused.drawable
    assert paused.judgement is None or paused.judgement.by_samples

    # What was stopped can be judged as it is. It learns nothing meanwhile, and is paused again.
    studio.trainings.judge(job.id)
    with pytest.raises(Conflict, match="runs"):
        studio.trainings.judge(job.id)
    until(lambda: studio.job(job.id).state is JobState.paused)
    seen = studio.trainings.training(job.id)
    assert seen.judgement is not None and seen.judgement.proposed in {one.step for one in paused.checkpoints}
    assert (seen.job.step, seen.job.steps, learned(studio, job)) == (paused.checkpoints[-1].step, 60, paused.checkpoints[-1].step)
    assert seen.job.progress == pytest.approx(seen.job.step / 60)
    with pytest.raises(Conflict, match="not judged"):
        studio.trainings.judge(job.id)

    studio.trainings.resume(job.id)
    until(lambda: learned(studio, job) >= paused.checkpoints[-1].step + 3)
    worker.end(signal.SIGKILL)
    killed = learned(studio, job)
    worker.start()
    until(lambda: studio.job(job.id).state.ended)
    done = studio.trainings.training(job.id)
    assert done.job.state is JobState.done, done.job.error
    assert [point.step for point in done.points] == list(range(1, 61)), "every step once, also those around the kill"
    assert killed < 60
    assert {20, 40, 60} <= {one.step for one in done.checkpoints}
    assert done.pictures == 4
    judged = done.judgement
    assert judged is not None and judged.proposed in {one.step for one in done.checkpoints} and judged.why
    nearest = min(verdict.distance for verdict in judged.verdicts if verdict.distance is not None)
    assert judged.baseline.distance is not None and nearest < judged.baseline.distance, "the likeness rises"
    assert studio.trainings.sample(job.id, Path(judged.verdicts[0].samples[0].file).name).is_file()

    # Each checkpoint that is taken is a version of its own.
    first = studio.trainings.pick(job.id, 20)
    second = studio.trainings.pick(job.id, 60)
    assert studio.trainings.pick(job.id, 60).path == second.path, "picking twice keeps one file"
    assert [first.version, second.version] == [1, 2]
    assert studio.character(mara).lora == second.path and studio.character(mara).model == "starter"
    assert {one.path for one in studio.loras()} == {first.path, second.path}
    assert studio.trainings.use(first.path).used
    assert [one.used for one in studio.trainings.versions(mara)] == [False, True]
    assert all(one.seconds for one in studio.trainings.offer(mara).presets) == (done.job.attempt == 1)

    plain, worn = made(studio, None), made(studio, mara)
    assert not np.array_equal(plain, worn), "the LoRA changes the picture"
    header = json.loads((settings.data / "trainings" / job.id / "recipe.json").read_bytes())
    assert header["trigger"] == "zmara"


@pytest.mark.timeout(900)
def test_checkpoints_are_judged_while_it_learns(studio: Studio, mara: str, worker: WorkerProcess) -> None:
    worker.start()
    job = order(studio, mara, steps=200, save_every=5, sample_every=5, samples=["zmara, portrait", "zmara, portrait, smiling"])
    until(lambda: studio.trainings.training(job.id).judgement is not None)
    seen = studio.trainings.training(job.id)
    assert seen.judgement is not None and seen.judgement.by_samples and seen.job.state is JobState.running
    assert seen.judgement.proposed in {one.step for one in seen.checkpoints}
    name = Path(seen.judgement.verdicts[0].samples[0].file).name
    assert studio.trainings.sample(job.id, name).is_file()
    # What was only looked at in passing is no reason not to judge it.
    studio.trainings.stop(job.id)
    until(lambda: studio.job(job.id).state is JobState.paused)
    assert studio.trainings.judge(job.id).state is JobState.queued


def learned(studio: Studio, job: Job) -> int:
    points = studio.trainings.training(job.id).points
    return points[-1].step if points else 0


def made(studio: Studio, character: str | None) -> np.ndarray:
    """The same words and seed with a character's LoRA, or without."""
    asked = {"prompt": "zmara, portrait", "character": character, "as_written": True, "seed": 5, "steps": 4, "width": 64, "height": 64}
    job_id = studio.generate(GenerateRequest.model_validate(asked)).job_id
    until(lambda: studio.job(job_id).state.ended)
    (picture,) = studio.artifacts(job_id)
    assert picture.recipe is not None and bool(picture.recipe.loras) is bool(character)
    with Image.open(studio.picture_file(picture.id)) as image:
        return np.array(image.convert("RGB"))


def until(condition: Callable[[], bool]) -> None:
    wait_until(condition, PATIENCE_S, "it did not come to that")


def test_doors_of_trainings(studio: Studio, mara: str, settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    from app import main

    data = ["--data", str(settings.data), "--json"]

    def said(*argv: str, status: int = 0) -> Any:
        capsys.readouterr()
        assert main([*data, *argv]) == status
        return json.loads(capsys.readouterr().out)

    begun = said("train", "mara", "--preset", "quick", "--steps", "30", "--rank", "4", "--prior-weight", "0.5", "--warmup", "3")
    assert said("training", "list")["items"][0]["job"]["id"] == begun["job_id"]
    shown = said("training", "show", begun["job_id"])
    assert shown["plan"]["recipe"]["steps"] == 30 and shown["plan"]["recipe"]["rank"] == 4
    assert shown["plan"]["recipe"]["prior_weight"] == 0.5 and shown["plan"]["recipe"]["warmup"] == 3
    assert said("training", "stop", begun["job_id"])["state"] == "paused"
    assert said("training", "resume", begun["job_id"])["state"] == "queued"
    assert said("training", "save", begun["job_id"], status=1)["error"]["code"] == "CONFLICT"
    assert said("training", "pick", begun["job_id"], status=1)["error"]["code"] == "CONFLICT"
    assert said("train", "nobody", status=1)["error"]["code"] == "NOT_FOUND"
    assert said("train", "mara", "--steps", "0", status=1)["error"]["field"] == "steps"
    assert said("loras", "versions")["items"] == []
    assert said("loras", "compare", "a", "b", status=1)["error"]["code"] == "NOT_FOUND"


def test_files_of_a_training_stay_in_its_folder(studio: Studio, mara: str, settings: Settings) -> None:
    job = order(studio, mara, steps=20)
    folder = settings.data / "trainings" / job.id
    (folder / "samples").mkdir(parents=True)
    (folder / "samples" / "000010-0.png").write_bytes(drawn(0))
    Path(folder / "secret.txt").write_text("no")
    assert studio.trainings.sample(job.id, "000010-0.png").is_file()
    for name in ("../secret.txt", "..", "", "/etc/passwd", "000010-1.png"):
        with pytest.raises(NotFound):
            studio.trainings.sample(job.id, name)
