"""Face variants: named looks of a character with a LoRA each, drawn over the face of pictures that were made here, and of no others."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from PIL import Image
from test_keeping import lora
from test_keeping import run as run  # a fixture
from test_keeping import studio as studio
from test_trainings import WorkerProcess, until
from test_trainings import worker as worker

from app import main
from studio.api import create_api
from studio.contracts import CharacterChange, CharacterFields, FaceVariant, GenerateRequest, JobState, Picture
from studio.db import pictures
from studio.errors import InvalidFieldValue, LikenessError, NotFound, SafetyFilter
from studio.face_pass import face_mask
from studio.settings import Settings
from studio.studio import Studio
from studio.variants import VariantUse


@pytest.fixture
def face(studio: Studio, run: str) -> str:
    """The LoRA of Mara's younger look."""
    return studio.trainings.pick(run, 20).path


def made(studio: Studio, worker: WorkerProcess, **values: Any) -> Picture:
    """A small picture of Mara."""
    asked = {"prompt": "smiling", "character": "mara", "seed": 5, "steps": 4, "width": 128, "height": 128, **values}
    (picture,) = finished(studio, [studio.generate(GenerateRequest.model_validate(asked)).job_id])
    return picture


def finished(studio: Studio, job_ids: Sequence[str]) -> list[Picture]:
    until(lambda: all(studio.job(each).state.ended for each in job_ids))
    assert [studio.job(each).state for each in job_ids] == [JobState.done] * len(job_ids), [studio.job(each).error for each in job_ids]
    return [picture for each in job_ids for picture in studio.artifacts(each)]


def pixels(studio: Studio, picture: Picture) -> np.ndarray:
    with Image.open(studio.picture_file(picture.id)) as image:
        return np.array(image.convert("RGB")).astype(int)


# What a variant is


def test_a_character_has_up_to_three_variants_each_with_a_name_of_its_own(studio: Studio, face: str) -> None:
    for name in ("Younger", "With a beard", "Grey"):
        studio.variants.put("mara", FaceVariant(name=name, lora=face))
    changed = studio.variants.put("mara", FaceVariant(name="GREY", lora=face, lora_strength=0.5, handles={"instagram": "mara.grey"}))
    assert [one.name for one in changed.variants] == ["Younger", "With a beard", "GREY"]
    assert changed.variants[2].handles == {"instagram": "mara.grey"}
    with pytest.raises(InvalidFieldValue) as told:
        studio.variants.put("mara", FaceVariant(name="Fourth", lora=face))
    assert "take one away" in told.value.remedy
    assert [one.name for one in studio.variants.remove("mara", "younger").variants] == ["With a beard", "GREY"]
    with pytest.raises(NotFound, match="no face variant"):
        studio.variants.remove("mara", "Younger")
    assert studio.duplicate_character("mara").variants == (), "another character is another face"


@pytest.mark.parametrize(
    ("values", "fault", "field"),
    [
        ({"lora": "nothing"}, InvalidFieldValue, "loras"),
        ({"lora": "../../secret.safetensors"}, InvalidFieldValue, "loras"),
        ({"portrait": "nothing"}, InvalidFieldValue, "portrait"),
    ],
)
def test_a_variant_of_nothing_is_refused(studio: Studio, face: str, values: dict[str, Any], fault: type[LikenessError], field: str) -> None:
    with pytest.raises(fault) as told:
        studio.variants.put("mara", FaceVariant.model_validate({"name": "Odd", "lora": face, **values}))
    assert told.value.field == field and told.value.remedy
    assert studio.variants.of("mara") == ()


def test_nobody_gets_the_face_of_another_character(studio: Studio, face: str) -> None:
    other = studio.create_character(CharacterFields.model_validate({"name": "Other"}))
    variant = FaceVariant(name="Stolen", lora=face.removesuffix(".safetensors"))
    with pytest.raises(SafetyFilter, match="face of Mara"):
        studio.variants.put(other.id, variant)
    with pytest.raises(SafetyFilter):
        studio.change_character(other.id, CharacterChange.model_validate({"variants": (variant,)}))
    twice = (FaceVariant(name="A", lora=face), FaceVariant(name="a", lora=face))
    with pytest.raises(InvalidFieldValue, match="same name"):
        studio.change_character("mara", CharacterChange.model_validate({"variants": twice}))
    assert studio.variants.of(other.id) == studio.variants.of("mara") == ()


# What it is drawn on


def test_only_pictures_that_were_made_of_the_character_are_drawn_over(studio: Studio, face: str) -> None:
    studio.variants.put("mara", FaceVariant(name="Younger", lora=face))
    photo = studio.photos("mara")[0]
    upload = studio.upload(png(8), "somebody.png")
    for picture in (photo, upload):
        with pytest.raises(SafetyFilter) as told:
            studio.variants.use("mara", "Younger", VariantUse(ids=(picture.id,)))
        assert told.value.remedy
    with pytest.raises(NotFound):
        studio.variants.use("mara", "Younger", VariantUse(ids=("nothing",)))
    with pytest.raises(NotFound, match="no face variant"):
        studio.variants.use("mara", "Older", VariantUse(ids=(photo.id,)))
    assert studio.jobs(states=[JobState.queued]).items == ()


def test_a_real_persons_photo_never_gets_another_face(studio: Studio, face: str) -> None:
    consent = {"who": "Ann", "what_for": "training and pictures"}
    real = {"kind": "consented", "consent": consent, "variants": (FaceVariant(name="Younger", lora=face),)}
    studio.change_character("mara", CharacterChange.model_validate(real))
    photo = studio.photos("mara")[0]
    with studio.database.begin() as connection:
        connection.execute(sa.update(pictures).where(pictures.c.id == photo.id).values(real_person=True))
    put_classifier(studio.settings.data)
    asked = {"prompt": "smiling", "character": "mara", "image": photo.id, "variant": "Younger"}
    with pytest.raises(SafetyFilter, match="never exchanged"):
        studio.generate(GenerateRequest.model_validate(asked))
    plain = GenerateRequest.model_validate({**asked, "variant": None})
    assert studio.generate(plain).ok, "without the variant the photo may be started from"


def put_classifier(data: Path) -> None:
    folder = data / "classifiers" / "any"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"architectures": ["AnyForImageClassification"]}))


def png(side: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (side, side), "red").save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize(
    "values",
    [
        {"variant": "Older"},
        {"variant": "Younger", "character": None},
        {"variant": "Younger", "mask": True},
    ],
)
def test_a_request_with_an_impossible_variant_is_refused(studio: Studio, face: str, values: dict[str, Any]) -> None:
    studio.variants.put("mara", FaceVariant(name="Younger", lora=face))
    asked: dict[str, Any] = {"prompt": "smiling", "character": "mara", **values}
    if asked.pop("mask", False):
        image = studio.upload(png(128), "a.png")
        mask = studio.upload(png(128), "mask.png")
        asked |= {"image": image.id, "mask": mask.id, "real_person": False}
    with pytest.raises(InvalidFieldValue) as told:
        studio.generate(GenerateRequest.model_validate(asked))
    assert told.value.field == "variant" and told.value.remedy
    assert studio.jobs(states=[JobState.queued]).items == ()


def test_where_a_face_lies_is_found_or_said_to_be_nowhere() -> None:
    ground = Image.new("RGB", (200, 100), "white")
    assert face_mask(ground, "sdxl") is None
    mask = face_mask(ground, "starter")
    assert mask is not None and mask.size == ground.size
    seen = np.asarray(mask)
    assert seen[40, 100] == 255 and max(seen[:, :20].max(), seen[:, -20:].max(), seen[-8:].max()) < 8


# For real


@pytest.mark.timeout(900)
def test_the_face_is_drawn_anew_and_all_else_stays_as_it_is(studio: Studio, face: str, worker: WorkerProcess) -> None:
    # A LoRA that changes whatever it is worn for.
    (studio.shelf.loras_folder / face).write_bytes(lora(400))
    studio.change_character("mara", CharacterChange.model_validate({"lora": None, "model": None}))
    studio.variants.put("mara", FaceVariant(name="Younger", lora=face))
    worker.start()
    plain = made(studio, worker)
    (over,) = finished(studio, studio.variants.use("mara", "younger", VariantUse(ids=(plain.id,))).job_ids)
    before, after = pixels(studio, plain), pixels(studio, over)
    changed = np.abs(after - before).max(axis=2)
    assert changed[40:70, 50:78].mean() > 2, "the face is another one"
    mask = face_mask(Image.fromarray(before.astype(np.uint8)), "starter")
    assert mask is not None
    outside = np.asarray(mask) == 0
    assert outside.any() and changed[outside].max() == 0, "all around it every pixel stays"
    assert over.recipe is not None and over.recipe.parent == plain.id and over.recipe.face is not None
    assert over.recipe.face.variant == "Younger" and face in str(over.lora_hashes)
    assert (over.width, over.height, over.seed) == (plain.width, plain.height, plain.seed)
    (again,) = finished(studio, studio.variants.use("mara", "younger", VariantUse(ids=(plain.id,))).job_ids)
    assert np.array_equal(pixels(studio, again), after), "the same seed gives the same face"

    at_once = made(studio, worker, variant="Younger")
    assert at_once.recipe is not None and at_once.recipe.face is not None and not at_once.recipe.face.alone
    assert np.array_equal(pixels(studio, at_once), after), "asked for with the picture it is the same"


def test_the_doors_of_variants(studio: Studio, face: str, settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    def said(*argv: str, status: int = 0) -> Any:
        capsys.readouterr()
        assert main(["--data", str(settings.data), "--json", *argv]) == status
        return json.loads(capsys.readouterr().out)

    with TestClient(create_api(studio), base_url="http://127.0.0.1/api/v1") as api:
        put = api.put("characters/mara/variants", json={"name": "Younger", "lora": face, "handles": {"x": "mara"}})
        assert put.status_code == 200 and put.json()["variants"][0]["handles"] == {"x": "mara"}
        assert said("variants", "list", "mara")["items"] == api.get("characters/mara/variants").json()["items"]
        assert len(said("variants", "set", "mara", "Grey hair", "--lora", face, "--strength", "0.7", "--handle", "x=grey")["items"]) == 2
        assert api.post("characters/mara/variants/Nobody/use", json={"ids": ["x"]}).status_code == 404
        assert api.post("characters/mara/variants/Younger/use", json={"ids": []}).status_code == 422
        assert api.put("characters/mara/variants", json={"name": "x" * 41, "lora": face}).status_code == 422
        assert api.delete("characters/mara/variants/Grey hair").status_code == 200
    assert said("variants", "set", "mara", "X", "--lora", face, "--handle", "none", status=1)["error"]["field"] == "handle"
    assert said("variants", "use", "mara", "Younger", studio.photos("mara")[0].id, status=1)["error"]["code"] == "SAFETY_FILTER"
    assert said("variants", "remove", "mara", "Younger")["items"] == []
    assert said("generate", "a portrait", "--character", "mara", "--variant", "Younger", status=1)["error"]["field"] == "variant"
