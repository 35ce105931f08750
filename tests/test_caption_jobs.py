"""Captions as jobs, from the order to the pictures: a real server that is asked, a real database, a worker that is killed."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from oracle import Answer, Oracle, fails, hangs, picture_in, running_oracle, says, sees
from PIL import Image
from working_here import working_here

from app import HOME, main, open_studio
from bench.rig import wait_until
from studio.api import create_api
from studio.captionings import VisionTry
from studio.contracts import CaptionRequest, CharacterChange, CharacterFields, Job, JobKind, JobState, PictureChange, PictureKind
from studio.dataset_contracts import CaptionEdit, DatasetFields, PicturesChange
from studio.errors import (
    Conflict,
    ConsentMissing,
    DependencyMissing,
    InvalidFieldValue,
    LikenessError,
    MissingRequiredField,
    NotFound,
)
from studio.jobs import LANE_LOCAL, LANE_VISION
from studio.settings import Settings, save_settings
from studio.studio import Studio

PATIENCE_S = 120
AWAY = "https://vision.example/v1"
COLOURS = ("red", "green", "blue", "yellow", "black", "white", "orange", "purple")


@pytest.fixture
def oracle() -> Iterator[Oracle]:
    with running_oracle() as running:
        yield running


@pytest.fixture
def studio(settings: Settings, oracle: Oracle) -> Iterator[Studio]:
    save_settings(settings, {"caption_url": f"{oracle.url}/v1", "caption_model": "seer"})
    opened = open_studio(settings)
    yield opened
    opened.database.close()


@pytest.fixture
def mara(studio: Studio) -> str:
    """A dataset of five pictures without captions, of Mara, whose trigger word is `zmara`; its id."""
    return dataset_of(studio, {"name": "Mara", "trigger_word": "zmara"}, 5)


def dataset_of(studio: Studio, fields: dict[str, Any], count: int) -> str:
    character = studio.create_character(CharacterFields.model_validate(fields))
    made, _ = studio.datasets.create(DatasetFields.model_validate({"character": character.id}))
    added = studio.datasets.add_files(made.id, [(f"{number}.png", drawn(number)) for number in range(count)])
    assert len(added.items) == count
    return made.id


def drawn(number: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (64 + number, 64), COLOURS[number % len(COLOURS)]).save(out, "PNG")
    return out.getvalue()


def number_of(asked: dict[str, Any]) -> int:
    """Which of the drawn pictures the server was shown."""
    return picture_in(asked).width - 64


def order(studio: Studio, **said: Any) -> Job:
    return studio.captionings.order(CaptionRequest.model_validate(said), correlation_id="test")


def work(studio: Studio, job: Job) -> Job:
    """Run a job's newest attempt as the worker does, in this thread; gives it as it is then."""
    with working_here(studio.settings, studio.database) as worker:
        run = worker.jobs.begin(f"{job.id}-{studio.job(job.id).attempt}")
        assert run is not None
        worker._work(run)
    return studio.job(job.id)


def captions_of(studio: Studio, dataset: str) -> list[str]:
    return [one.caption for one in studio.datasets.every_picture(dataset)]


def numbered(text: str = "A woman stands by door {number}.") -> Answer:
    usage = {"prompt_tokens": 100, "completion_tokens": 10}
    return lambda oracle, asked: says(text.format(number=number_of(asked)), usage=usage)(oracle, asked)


class WorkerProcess:
    """The worker of one data root, started without a supervisor so that the test decides when it lives."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, str(HOME / "app.py"), "worker", "--data", str(self._settings.data)]
        with (self._settings.data / "worker-of-the-test.log").open("ab") as log:
            self._process = subprocess.Popen(command, cwd=HOME, env={**os.environ, "LIKENESS_THREADS": "1"}, stdout=log, stderr=log)

    def end(self, sign: signal.Signals = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(sign)
            self._process.wait(60)


@pytest.fixture
def worker(settings: Settings) -> Iterator[WorkerProcess]:
    process = WorkerProcess(settings)
    yield process
    process.end(signal.SIGKILL)


def until(condition: Callable[[], bool]) -> None:
    wait_until(condition, PATIENCE_S, "it did not come to that")


# From the order to the captions


def test_a_dataset_gets_its_captions_as_one_change_that_can_be_undone(studio: Studio, mara: str, oracle: Oracle) -> None:
    own = studio.datasets.every_picture(mara)[1].id
    studio.datasets.change_pictures(mara, [own], PicturesChange(caption="zmara, by hand"))
    offer = studio.captionings.offer(CaptionRequest(character="mara"))
    assert (offer.dataset, offer.name, offer.pictures, offer.missing, offer.real, offer.obstacles) == (mara, "Mara", 5, 4, False, ())
    assert offer.way is not None and (offer.way.model, offer.way.sends_away) == ("seer", False)
    oracle.will(numbered())
    job = order(studio, character="mara")
    assert (job.kind, job.state, job.steps) == (JobKind.caption, JobState.queued, 4)
    assert job.captions is not None and (job.captions.dataset, job.request, job.recipe, job.training) == (mara, None, None, None)
    assert oracle.asked == [], "nothing is sent before the worker begins"

    done = work(studio, job)
    assert (done.state, done.step, done.steps, done.error) == (JobState.done, 4, 4, None)
    door = "zmara stands by door {}."
    assert captions_of(studio, mara) == [door.format(0), "zmara, by hand", *(door.format(number) for number in (2, 3, 4))]
    assert all("zmara" in asked["messages"][0]["content"][0]["text"] for asked in oracle.asked)
    found = studio.captionings.captioning(job.id)
    assert (found.written, found.failed, found.waiting, found.skipped) == (4, 0, 0, 0)
    assert (found.spent.answers, found.spent.prompt_tokens, found.spent.usd) == (4, 400, None)
    assert [one.job.id for one in studio.captionings.captionings(dataset=mara)] == [job.id]

    change = studio.datasets.dataset(mara).undo
    assert change is not None and (change.kind.value, change.count) == ("captioned", 4)
    studio.datasets.undo(mara, change.id)
    assert captions_of(studio, mara) == ["", "zmara, by hand", "", "", ""]


def test_all_are_written_anew_only_where_that_is_said_and_then_as_tags(studio: Studio, mara: str, oracle: Oracle) -> None:
    studio.datasets.edit_captions(mara, CaptionEdit.model_validate({"act": "write", "text": "zmara, before"}))
    with pytest.raises(InvalidFieldValue, match="has a caption already") as refused:
        order(studio, dataset=mara)
    assert refused.value.field == "replace"
    oracle.will(says("long hair, red coat, street"))
    job = order(studio, dataset=mara, replace=True, style="tags")
    work(studio, job)
    assert set(captions_of(studio, mara)) == {"zmara, red coat, street"}, "what belongs to the person is left out"
    assert studio.captionings.undo(job.id) == 5
    assert set(captions_of(studio, mara)) == {"zmara, before"}
    with pytest.raises(Conflict, match="Nothing failed"):
        studio.captionings.retry(job.id)


def test_only_chosen_pictures_are_captioned(studio: Studio, mara: str, oracle: Oracle) -> None:
    oracle.will(numbered())
    chosen = [one.id for one in studio.datasets.every_picture(mara)[:2]]
    job = order(studio, dataset=mara, pictures=chosen)
    assert job.captions is not None and job.captions.pictures is None, "ids don't travel with every piece of news"
    assert work(studio, job).steps == 2
    assert [bool(caption) for caption in captions_of(studio, mara)] == [True, True, False, False, False]
    with pytest.raises(NotFound, match="None of these"):
        order(studio, dataset=mara, pictures=["nobody"])


def test_references_are_captioned_without_a_trigger_word_and_put_back(studio: Studio, oracle: Oracle) -> None:
    kept = [studio.upload(drawn(number), f"{number}.png", kind=PictureKind.reference, category="Poses") for number in range(3)]
    studio.upload(drawn(7), "no reference.png")
    other = studio.upload(drawn(6), "place.png", kind=PictureKind.reference, category="Places")
    oracle.will(numbered("The image shows a young woman who leans on wall {number}."))
    offer = studio.captionings.offer(CaptionRequest(references=True))
    assert (offer.pictures, offer.missing, offer.real, offer.dataset) == (4, 4, None, None)
    job = order(studio, references=True, category="Poses")
    assert work(studio, job).state is JobState.done
    assert [studio.picture(one.id).caption for one in kept] == [f"A woman who leans on wall {number}." for number in range(3)]
    assert studio.picture(other.id).caption == ""
    assert [one.job.id for one in studio.captionings.captionings(references=True)] == [job.id]
    studio.change_picture(kept[0].id, PictureChange(caption="mine"))
    assert studio.captionings.undo(job.id) == 2
    assert [studio.picture(one.id).caption for one in kept] == ["mine", "", ""]


# What fails


def test_one_picture_that_fails_leaves_the_others_and_is_asked_for_again(studio: Studio, mara: str, oracle: Oracle) -> None:
    def picky(oracle: Oracle, asked: dict[str, Any]) -> tuple[int, dict[str, str], Any]:
        answers = {1: says("I'm sorry, but I can't help with that."), 3: says("A 12-year-old girl, nude.")}
        return answers.get(number_of(asked), numbered())(oracle, asked)

    oracle.will(picky)
    job = work(studio, order(studio, dataset=mara))
    assert (job.state, job.step, job.steps) == (JobState.done, 3, 5)
    found = studio.captionings.captioning(job.id)
    assert [one.error.code for one in found.failures if one.error] == ["ENGINE_FAILED", "SAFETY_FILTER"]
    assert all(one.error and one.error.remedy for one in found.failures)
    assert captions_of(studio, mara)[1] == captions_of(studio, mara)[3] == ""

    oracle.asked.clear()
    oracle.will(numbered("A woman sits on chair {number}."))
    again = studio.captionings.retry(job.id)
    assert (again.id, again.state, again.attempt) == (job.id, JobState.queued, 2)
    assert (work(studio, again).step, len(oracle.asked)) == (5, 2), "what has its caption is not asked for again"
    assert captions_of(studio, mara)[1] == "zmara sits on chair 1."
    assert captions_of(studio, mara)[0] == "zmara stands by door 0."
    assert studio.captionings.captioning(job.id).spent.answers == 7, "what it cost is counted over all attempts"


def test_where_nothing_could_be_written_the_job_failed_with_the_reason(studio: Studio, mara: str, oracle: Oracle) -> None:
    oracle.will(says("I'm sorry, but I can't help with that."))
    job = work(studio, order(studio, dataset=mara))
    assert job.state is JobState.failed and job.error is not None
    assert "declined" in job.error.message and job.error.remedy
    oracle.will(numbered())
    assert work(studio, studio.retry(job.id)).state is JobState.done, "the tray's Try again does the same"


@pytest.mark.parametrize(
    ("answer", "code", "field"),
    [(fails(401, "no"), "ENGINE_OFFLINE", "caption_key"), (fails(402, "pay"), "INSUFFICIENT_FUNDS", None)],
)
def test_what_dooms_all_fails_the_job_and_it_goes_on_where_it_was(
    studio: Studio, mara: str, oracle: Oracle, answer: Any, code: str, field: str | None
) -> None:
    oracle.will(numbered(), numbered(), answer)
    job = work(studio, order(studio, dataset=mara))
    assert job.state is JobState.failed and job.error is not None
    assert (job.error.code, job.error.field) == (code, field) and job.error.remedy
    assert sum(map(bool, captions_of(studio, mara))) == 2
    oracle.will(numbered())
    oracle.asked.clear()
    assert work(studio, studio.captionings.retry(job.id)).state is JobState.done
    assert len(oracle.asked) == 3
    assert all(captions_of(studio, mara))


def test_a_server_that_is_gone_is_said_with_its_remedy(studio: Studio, mara: str, settings: Settings, oracle: Oracle) -> None:
    save_settings(settings, {"caption_url": "http://127.0.0.1:1/v1"})
    job = work(studio, order(studio, dataset=mara))
    assert job.state is JobState.failed and job.error is not None
    assert job.error.code == "ENGINE_OFFLINE" and "ollama serve" in job.error.remedy
    # Mended on the Setup tab, it goes on with the new address.
    save_settings(settings, {"caption_url": f"{oracle.url}/v1"})
    assert work(studio, studio.captionings.retry(job.id)).state is JobState.done


def test_what_somebody_wrote_or_took_away_meanwhile_stays_so(studio: Studio, mara: str, oracle: Oracle) -> None:
    pictures = studio.datasets.every_picture(mara)

    def meddle(oracle: Oracle, asked: dict[str, Any]) -> tuple[int, dict[str, str], Any]:
        if number_of(asked) == 0:
            # While the first is asked for, somebody writes that one's caption and the next one's, and removes the third.
            studio.datasets.change_pictures(mara, [one.id for one in pictures[:2]], PicturesChange(caption="mine"))
            studio.datasets.remove(mara, [pictures[2].id])
        return numbered()(oracle, asked)

    oracle.will(meddle)
    job = work(studio, order(studio, dataset=mara))
    assert (job.state, job.step, job.steps) == (JobState.done, 2, 2)
    assert studio.captionings.captioning(job.id).skipped == 3
    assert captions_of(studio, mara) == ["mine", "mine", "zmara stands by door 3.", "zmara stands by door 4."]
    assert len(oracle.asked) == 3, "what is not wanted any more is not asked for"


def test_an_edit_between_two_captions_can_be_undone_by_itself(studio: Studio, mara: str, oracle: Oracle) -> None:
    last = studio.datasets.every_picture(mara)[4].id

    def meddle(oracle: Oracle, asked: dict[str, Any]) -> tuple[int, dict[str, str], Any]:
        if number_of(asked) == 2:
            studio.datasets.change_pictures(mara, [last], PicturesChange(caption="mine"))
        return numbered()(oracle, asked)

    oracle.will(meddle)
    work(studio, order(studio, dataset=mara))
    assert [(one.kind.value, one.count) for one in studio.datasets.changes(mara)] == [
        ("captioned", 2),
        ("captioned", 1),
        ("captioned", 2),
        ("added", 5),
    ]
    for _ in range(3):
        studio.datasets.undo(mara)
    assert captions_of(studio, mara) == [""] * 5


# Who may see them


def test_a_real_person_is_shown_on_this_computer_with_consent_alone(studio: Studio, oracle: Oracle) -> None:
    consent = {"who": "Ann Example", "what_for": "training"}
    ann = dataset_of(studio, {"name": "Ann", "kind": "consented", "consent": consent}, 3)
    job = order(studio, dataset=ann)
    studio.change_character("ann", CharacterChange.model_validate({"consent": None}))
    with pytest.raises(ConsentMissing):
        studio.captionings.retry(studio.cancel(job.id).id)
    with pytest.raises(ConsentMissing):
        order(studio, dataset=ann)
    assert [one.code for one in studio.captionings.offer(CaptionRequest(dataset=ann)).obstacles] == ["CONSENT_MISSING"]
    studio.change_character("ann", CharacterChange.model_validate({"consent": consent}))
    again = studio.captionings.retry(job.id)

    def withdraws(oracle: Oracle, asked: dict[str, Any]) -> tuple[int, dict[str, str], Any]:
        studio.change_character("ann", CharacterChange.model_validate({"consent": None}))
        return numbered()(oracle, asked)

    oracle.will(withdraws)
    done = work(studio, again)
    assert done.state is JobState.failed and done.error is not None and done.error.code == "CONSENT_MISSING"
    assert len(oracle.asked) == 1, "taken back in the middle, nobody else is shown"


def test_a_real_persons_pictures_leave_this_computer_only_with_a_yes(studio: Studio, settings: Settings, oracle: Oracle) -> None:
    ann = dataset_of(studio, {"name": "Ann", "kind": "consented", "consent": {"who": "Ann Example", "what_for": "training"}}, 2)
    here = work(studio, order(studio, dataset=ann, pictures=[studio.datasets.every_picture(ann)[0].id]))
    assert here.state is JobState.done
    save_settings(settings, {"caption_url": AWAY})
    offer = studio.captionings.offer(CaptionRequest(dataset=ann))
    assert offer.real is True and offer.way is not None and (offer.way.sends_away, offer.way.host) == (True, "vision.example")
    with pytest.raises(ConsentMissing, match=r"vision\.example") as refused:
        order(studio, dataset=ann)
    assert refused.value.field == "allow_remote_for_real"
    assert len(studio.jobs().items) == 1
    allowed = order(studio, dataset=ann, allow_remote_for_real=True)
    studio.cancel(allowed.id)
    # Who agreed, agreed to that one place.
    save_settings(settings, {"caption_url": "https://elsewhere.example/v1"})
    with pytest.raises(ConsentMissing, match=r"elsewhere\.example"):
        studio.captionings.retry(allowed.id)
    save_settings(settings, {"caption_url": f"{oracle.url}/v1"})
    assert work(studio, studio.captionings.retry(allowed.id)).state is JobState.done


def test_an_address_that_was_changed_meanwhile_gets_nothing(studio: Studio, mara: str, settings: Settings, oracle: Oracle) -> None:
    job = order(studio, dataset=mara)
    with running_oracle() as other:
        save_settings(settings, {"caption_url": f"{other.url}/v1"})
        failed = work(studio, job)
        assert failed.state is JobState.failed and failed.error is not None and failed.error.field == "caption_url"
        assert other.asked == oracle.asked == []
        other.will(numbered())
        assert work(studio, studio.captionings.retry(job.id)).state is JobState.done
        assert len(other.asked) == 5


def test_a_photo_of_a_real_person_in_an_invented_characters_dataset_is_one(studio: Studio, settings: Settings) -> None:
    ann = studio.create_character(
        CharacterFields.model_validate({"name": "Ann", "kind": "me", "consent": {"who": "Ann Example", "what_for": "all"}})
    )
    photo = studio.add_photos(ann.id, [("ann.png", drawn(3))]).items[0]
    mixed = dataset_of(studio, {"name": "Nova"}, 1)
    studio.datasets.add_pictures(mixed, [photo.id])
    studio.datasets.edit_captions(mixed, CaptionEdit.model_validate({"act": "write", "text": ""}))
    save_settings(settings, {"caption_url": AWAY})
    with pytest.raises(ConsentMissing):
        order(studio, dataset=mixed)


def test_references_that_leave_this_computer_are_asked_about(studio: Studio, settings: Settings) -> None:
    studio.upload(drawn(1), "pose.png", kind=PictureKind.reference)
    save_settings(settings, {"caption_url": AWAY})
    with pytest.raises(MissingRequiredField, match=r"vision\.example") as asked:
        order(studio, references=True)
    assert asked.value.field == "real_person"
    with pytest.raises(ConsentMissing):
        order(studio, references=True, real_person=True)
    assert order(studio, references=True, real_person=False).state is JobState.queued


# What is refused, and leaves nothing behind


def test_without_a_vision_model_the_way_to_one_is_said(studio: Studio, mara: str, settings: Settings) -> None:
    save_settings(settings, {"caption_url": ""})
    with pytest.raises(DependencyMissing, match="No vision model is set up") as refused:
        order(studio, dataset=mara)
    assert refused.value.field == "caption_url" and "Setup" in refused.value.remedy
    offer = studio.captionings.offer(CaptionRequest(dataset=mara))
    assert offer.way is None and [one.field for one in offer.obstacles] == ["caption_url"]
    save_settings(settings, {"caption_url": "http://127.0.0.1:1/v1", "caption_model": ""})
    with pytest.raises(DependencyMissing, match="No vision model is chosen"):
        order(studio, dataset=mara)
    assert studio.jobs().items == () and studio.captionings.captionings() == ()


@pytest.mark.parametrize(
    ("said", "fault", "field"),
    [
        ({}, MissingRequiredField, "dataset"),
        ({"dataset": "mine", "references": True}, MissingRequiredField, "dataset"),
        ({"dataset": "nothing"}, NotFound, None),
        ({"character": "nobody"}, NotFound, None),
        ({"character": "empty"}, NotFound, "character"),
        ({"dataset": "mine", "character": "empty"}, InvalidFieldValue, "dataset"),
        ({"dataset": "mine", "captioner": "nothing"}, DependencyMissing, "captioner"),
        ({"references": True}, InvalidFieldValue, "category"),
    ],
)
def test_an_order_that_can_not_be_is_refused(
    studio: Studio, mara: str, said: dict[str, Any], fault: type[LikenessError], field: str | None
) -> None:
    studio.create_character(CharacterFields.model_validate({"name": "Empty"}))
    with pytest.raises(fault) as refused:
        order(studio, **{**said, **({"dataset": mara} if said.get("dataset") == "mine" else {})})
    assert refused.value.remedy
    if field:
        assert refused.value.field == field
    assert studio.jobs().items == () and studio.captionings.captionings() == ()


def test_a_picture_is_captioned_by_one_job_at_a_time(studio: Studio, mara: str) -> None:
    pictures = [one.id for one in studio.datasets.every_picture(mara)]
    first = order(studio, dataset=mara, pictures=pictures[:3])
    with pytest.raises(Conflict, match="1 picture of these is being captioned already"):
        order(studio, dataset=mara, pictures=pictures[2:])
    assert len(studio.jobs().items) == 1
    order(studio, dataset=mara, pictures=pictures[3:])
    with pytest.raises(Conflict, match="still being written"):
        studio.captionings.retry(first.id)
    with pytest.raises(Conflict, match="still being written"):
        studio.captionings.undo(first.id)
    studio.cancel(first.id)
    assert order(studio, dataset=mara, pictures=pictures[:3]).state is JobState.queued


def test_a_model_of_ones_own_waits_for_this_computers_device(studio: Studio, mara: str, settings: Settings) -> None:
    folder = settings.models_path / "captioners" / "blip"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"architectures": ["BlipForConditionalGeneration"]}')
    assert [way.captioner for way in studio.captionings.offer(CaptionRequest(dataset=mara)).ways] == ["", "blip"]
    lanes = [studio._jobs.lane(f"{order(studio, dataset=mara, captioner=name).id}-1") for name in ("BLIP",)]
    studio.cancel_all()
    lanes.append(studio._jobs.lane(f"{order(studio, dataset=mara).id}-1"))
    assert lanes == [LANE_LOCAL, LANE_VISION]
    studio.cancel_all()
    save_settings(settings, {"caption_url": ""})
    job = order(studio, dataset=mara)
    failed = work(studio, job)
    assert failed.error is not None and failed.error.code == "MODEL_INVALID" and "safetensors" in failed.error.message


# The worker


@pytest.mark.timeout(600)
def test_a_worker_that_is_killed_goes_on_where_it_was(studio: Studio, mara: str, oracle: Oracle, worker: WorkerProcess) -> None:
    oracle.will(numbered(), numbered(), hangs)
    worker.start()
    job = order(studio, dataset=mara)
    until(oracle.reached.is_set)
    until(lambda: studio.job(job.id).step == 2)
    assert sum(map(bool, captions_of(studio, mara))) == 2, "each is kept as soon as it is there"
    assert studio.captionings.captioning(job.id).waiting == 3
    worker.end(signal.SIGKILL)
    oracle.will(numbered())
    worker.start()
    until(lambda: studio.job(job.id).state.ended)
    done = studio.job(job.id)
    assert (done.state, done.step, done.steps, done.attempt) == (JobState.done, 5, 5, 1), done.error
    assert sorted(map(number_of, oracle.asked)) == [0, 1, 2, 2, 3, 4], "only the one without an answer is asked for twice"
    change = studio.datasets.dataset(mara).undo
    assert change is not None and change.count == 5, "one way back, also around a crash"

    # Cancelled in the middle of a picture, what is written stays, and it goes on.
    oracle.will(hangs)
    oracle.reached.clear()
    oracle.gone.clear()
    again = order(studio, dataset=mara, replace=True)
    until(oracle.reached.is_set)
    studio.cancel(again.id)
    until(lambda: studio.job(again.id).state is JobState.cancelled)
    assert oracle.gone.wait(PATIENCE_S), "the connection is closed, so the server stops computing"
    oracle.will(numbered("A woman sits on chair {number}."))
    studio.retry(again.id)
    until(lambda: studio.job(again.id).state.ended)
    assert captions_of(studio, mara)[4] == "zmara sits on chair 4."


def test_a_cancel_in_the_middle_keeps_what_is_written(studio: Studio, mara: str, oracle: Oracle) -> None:
    def cancels(oracle: Oracle, asked: dict[str, Any]) -> tuple[int, dict[str, str], Any]:
        studio.cancel(job.id)
        return hangs(oracle, asked)

    oracle.will(numbered(), cancels)
    job = order(studio, dataset=mara)
    assert work(studio, job).state is JobState.cancelled
    assert [bool(caption) for caption in captions_of(studio, mara)] == [True, False, False, False, False]
    found = studio.captionings.captioning(job.id)
    assert (found.written, found.waiting) == (1, 4)
    assert found.failures == ()


# The doors


def test_the_vision_model_is_tried_in_the_background(studio: Studio, oracle: Oracle) -> None:
    assert studio.captionings.last_try() == VisionTry(trying=False, verdict=None)
    oracle.will(sees)
    with TestClient(create_api(studio)) as client:
        assert client.post("/api/v1/captions/try").status_code == 202
        until(lambda: not client.get("/api/v1/captions/try").json()["trying"])
        verdict = client.get("/api/v1/captions/try").json()["verdict"]
        assert (verdict["ok"], verdict["models"]) == (True, ["llava:latest", "seer"])
        oracle.will(says("What a pretty picture."))
        client.post("/api/v1/captions/try")
        until(lambda: not studio.captionings.last_try().trying)
        verdict = client.get("/api/v1/captions/try").json()["verdict"]
        assert not verdict["ok"] and verdict["remedy"] and verdict["field"] == "caption_model"


def test_the_api_orders_shows_and_tries_again(studio: Studio, mara: str, oracle: Oracle) -> None:
    oracle.will(says("I'm sorry, but I can't help with that."), numbered())
    with TestClient(create_api(studio)) as client:
        offer = client.post("/api/v1/captions/offer", json={"dataset": mara}).json()
        assert (offer["missing"], offer["way"]["url"]) == (5, f"{oracle.url}/v1")
        sent = client.post("/api/v1/captions", json={"dataset": mara})
        assert sent.status_code == 202
        job_id = sent.json()["id"]
        assert client.get("/api/v1/captions", params={"live": True}).json()["items"][0]["job"]["id"] == job_id
        work(studio, studio.job(job_id))
        shown = client.get(f"/api/v1/captions/{job_id}").json()
        assert (shown["written"], shown["failed"], shown["failures"][0]["error"]["code"]) == (4, 1, "ENGINE_FAILED")
        assert client.post(f"/api/v1/captions/{job_id}/retry").json()["state"] == "queued"
        assert client.post(f"/api/v1/captions/{job_id}/retry").json()["error"]["code"] == "CONFLICT"
        assert client.post(f"/api/v1/jobs/{job_id}/cancel").json()["state"] == "cancelled"
        assert client.post(f"/api/v1/captions/{job_id}/undo").json() == {"ok": True, "count": 4}
        assert client.get("/api/v1/captions", params={"live": True}).json()["items"] == []
        for path in ("captions/nothing", "captions?dataset=nothing"):
            assert client.get(f"/api/v1/{path}").status_code == 404
        refused = client.post("/api/v1/captions", json={"dataset": mara, "style": "poem"}).json()
        assert refused["error"]["field"] == "style"
        job = client.get(f"/api/v1/jobs/{job_id}").json()
        assert (job["kind"], job["captions"]["character"]) == ("caption", studio.character("mara").id)


def test_the_command_line_orders_shows_and_tries_again(
    studio: Studio, mara: str, settings: Settings, oracle: Oracle, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--data", str(settings.data)]

    def said(*argv: str, status: int = 0) -> Any:
        capsys.readouterr()
        assert main([*data, "--json", *argv]) == status
        return json.loads(capsys.readouterr().out)

    def told(*argv: str, status: int = 0) -> str:
        capsys.readouterr()
        assert main([*data, *argv]) == status
        return capsys.readouterr().out

    oracle.will(sees)
    assert said("captions", "try")["ok"]
    assert "no picture leaves this computer" in told("captions", "offer", "mara")
    oracle.will(says("I'm sorry, but I can't help with that."), numbered("A woman sits by {number}."))
    begun = said("captions", "write", "mara")
    assert said("captions", "write", mara, status=1)["error"]["code"] == "CONFLICT"
    work(studio, studio.job(begun["job_id"]))
    words = told("captions", "show", begun["job_id"])
    assert "4 written, 1 failed" in words and "declined to describe" in words and "captions retry" in words
    assert said("captions", "list")["items"][0]["failed"] == 1
    assert "captions of" in told("jobs", "list")
    assert said("captions", "retry", begun["job_id"])["state"] == "queued"
    assert said("jobs", "cancel", begun["job_id"])["state"] == "cancelled"
    assert said("captions", "undo", begun["job_id"])["count"] == 4
    assert said("captions", "write", "nobody", status=1)["error"]["code"] == "NOT_FOUND"
    assert said("captions", "write", "--references", status=1)["error"]["field"] == "category"
    assert said("captions", "write", status=1)["error"]["field"] == "dataset"
    save_settings(settings, {"caption_url": ""})
    assert said("captions", "offer", "mara", status=1)["obstacles"][0]["field"] == "caption_url"
    assert said("captions", "try", status=1)["field"] == "caption_url"
