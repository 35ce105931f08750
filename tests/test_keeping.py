"""What of a training may go: checkpoints that nobody took, and LoRAs that nobody uses; versions only when they are named."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from PIL import Image

from app import main, open_studio
from studio import training
from studio.api import create_api
from studio.contracts import (
    CharacterChange,
    CharacterFields,
    FaceVariant,
    GenerateRequest,
    Inventory,
    JobState,
    ServerState,
    TrainRequest,
)
from studio.db import INVENTORY, engine_states, jobs
from studio.errors import Conflict, InvalidFieldValue, NotFound
from studio.keeping import LoraDelete
from studio.settings import Settings
from studio.studio import Studio

STEPS = (10, 20, 30, 40)


@pytest.fixture
def studio(settings: Settings) -> Iterator[Studio]:
    opened = open_studio(settings)
    yield opened
    opened.database.close()


@pytest.fixture
def run(studio: Studio, tmp_path: Path) -> str:
    """A finished training of Mara with four checkpoints; its id."""
    mara = studio.create_character(CharacterFields.model_validate({"name": "Mara", "trigger_word": "zmara"}))
    photos = []
    for number in range(3):
        Image.new("RGB", (96, 96), (40 * number, 90, 120)).save(tmp_path / f"{number}.png")
        photos.append((f"{number}.png", (tmp_path / f"{number}.png").read_bytes()))
    assert len(studio.add_photos(mara.id, photos).items) == 3
    job = studio.trainings.order(TrainRequest.model_validate({"character": "mara", "preset": "quick"}), correlation_id="test")
    for step in STEPS:
        place = training.place_of(studio.trainings.folder(job.id), step)
        place.mkdir(parents=True)
        (place / training.LORA).write_bytes(lora(step))
        (place / training.STATE).write_bytes(lora(step))
    put(studio, job.id, JobState.done)
    return job.id


def lora(seed: int) -> bytes:
    """A small whole LoRA for the starter model's first attention layer."""
    name = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q"
    tensors: dict[str, Any] = {}
    data = b""
    for half, shape in (("lora_down", (1, 160)), ("lora_up", (160, 1))):
        tensors[f"{name}.{half}.weight"] = {"dtype": "F32", "shape": list(shape), "data_offsets": [len(data), len(data) + 640]}
        data += struct.pack("<160f", *[seed / 100] * 160)
    head = json.dumps(tensors).encode()
    return struct.pack("<Q", len(head)) + head + data


def put(studio: Studio, job_id: str, state: JobState) -> None:
    with studio.database.begin() as connection:
        connection.execute(sa.update(jobs).where(jobs.c.id == job_id).values(state=state.value))


def test_a_lora_of_a_model_that_is_elsewhere_is_kept_and_used_as_soon_as_a_server_draws_with_it(studio: Studio, run: str) -> None:
    plan = json.loads(studio.trainings.training(run).plan.model_dump_json())
    plan |= {"engine": "aitoolkit"}
    plan["recipe"] |= {"model": "black-forest-labs/FLUX.1-dev", "toolkit": {"arch": "flux"}}
    with studio.database.begin() as connection:
        connection.execute(sa.update(jobs).where(jobs.c.id == run).values(recipe=json.dumps(plan)))
    before = studio.character("mara")
    version = studio.trainings.pick(run, 20)
    assert not version.used and "FLUX.1-dev" in version.lacks and "ComfyUI" in version.lacks
    after = studio.character("mara")
    assert (after.lora, after.model) == (before.lora, before.model) == (None, before.model), "pictures are made as before"
    assert [one.path for one in studio.trainings.versions("mara")] == [version.path]

    server = ServerState(url="http://127.0.0.1:8188", state="reachable", version="0.3.75")
    body = Inventory(servers=(server,), files={"diffusion_models": ("flux1-dev.safetensors",)}).model_dump_json()
    with studio.database.begin() as connection:
        connection.execute(sa.insert(engine_states).values(name=f"{INVENTORY}comfyui", body=body, updated_at=0.0))
    assert studio.trainings.use(version.path).used
    worn = studio.character("mara")
    assert (worn.lora, worn.model) == (version.path, "comfyui/diffusion_models/flux1-dev.safetensors")


def there(studio: Studio, run: str) -> list[int]:
    return [one.step for one in studio.trainings.training(run).checkpoints]


# Checkpoints


def test_a_clean_up_says_what_it_frees_and_keeps_what_became_a_version(studio: Studio, run: str) -> None:
    version = studio.trainings.pick(run, 20)
    told = studio.keeping.cleanup(run)
    assert (told.freed, told.kept) == ((10, 30, 40), (20,))
    assert told.why == {20: "It is version 1 of the character's LoRA."}
    assert there(studio, run) == list(STEPS), "nothing is touched yet"
    folder = studio.trainings.folder(run)
    before = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

    assert studio.keeping.clean(run) == told
    assert there(studio, run) == [20]
    after = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert before - after == told.bytes, "as much became free as was said"
    assert not list(folder.rglob(training.STATE)), "a training that is done needs nothing to go on"
    assert studio.trainings.pick(run, 20).path == version.path
    assert studio.keeping.clean(run).bytes == 0, "a second time there is nothing left"


def test_a_clean_up_never_leaves_a_training_with_nothing(studio: Studio, run: str) -> None:
    assert studio.keeping.clean(run).why == {40: "It is the newest."}
    assert there(studio, run) == [40]


@pytest.mark.parametrize("state", [JobState.paused, JobState.failed, JobState.cancelled, JobState.poisoned])
def test_a_training_that_can_go_on_keeps_what_it_goes_on_from(studio: Studio, run: str, state: JobState) -> None:
    put(studio, run, state)
    studio.trainings.pick(run, 10)
    assert studio.keeping.clean(run).freed == (20,)
    assert [one.step for one in training.checkpoints(studio.trainings.folder(run)) if one.state] == [10, 30, 40]


@pytest.mark.parametrize("state", [JobState.running, JobState.queued])
def test_nothing_is_deleted_of_a_training_that_moves(studio: Studio, run: str, state: JobState) -> None:
    put(studio, run, state)
    with pytest.raises(Conflict) as told:
        studio.keeping.clean(run)
    assert told.value.remedy.startswith("Stop it")
    assert there(studio, run) == list(STEPS)


def test_a_checkpoint_whose_version_was_taken_away_is_kept_as_the_only_copy(studio: Studio, run: str) -> None:
    version = studio.trainings.pick(run, 20)
    (studio.shelf.loras_folder / version.path).unlink()
    assert studio.keeping.clean(run).kept == (20,)


# Versions


def test_a_version_goes_only_when_it_is_named_and_comes_back(studio: Studio, run: str) -> None:
    first, second = studio.trainings.pick(run, 20), studio.trainings.pick(run, 40)
    file = studio.shelf.loras_folder / first.path
    for confirm in (None, "yes", second.path):
        with pytest.raises(Conflict) as told:
            studio.keeping.delete(LoraDelete(path=first.path, confirm=confirm))
        assert (told.value.field, first.path in told.value.remedy) == ("confirm", True)
        assert "version 1 of Mara's LoRA" in told.value.message
        assert file.is_file()
    moved = studio.keeping.delete(LoraDelete(path=first.path, confirm=first.path))
    assert moved.bytes > 0 and not file.exists()
    assert [one.path for one in studio.loras()] == [second.path]
    assert [(one.version, one.there, one.trashed) for one in studio.trainings.versions("mara")] == [(2, True, False), (1, False, True)]
    with pytest.raises(NotFound):
        studio.trainings.use(first.path)
    studio.keeping.restore(first.path)
    assert file.read_bytes() == lora(20)
    assert studio.trainings.use(first.path).used
    with pytest.raises(NotFound):
        studio.keeping.restore(first.path)


def test_what_a_character_is_drawn_with_is_not_deleted_even_when_it_is_named(studio: Studio, run: str) -> None:
    version = studio.trainings.pick(run, 40)
    for status in ("active", "archived", "trashed"):
        studio.change_character("mara", CharacterChange.model_validate({"status": status}))
        with pytest.raises(Conflict, match="Mara is drawn with"):
            studio.keeping.delete(LoraDelete(path=version.path, confirm=version.path))
    variant = FaceVariant(name="Younger", lora=version.path.removesuffix(".safetensors"))
    studio.change_character("mara", CharacterChange.model_validate({"lora": None, "variants": (variant,)}))
    with pytest.raises(Conflict, match="Mara is drawn with"):
        studio.keeping.delete(LoraDelete(path=version.path, confirm=version.path))
    assert (studio.shelf.loras_folder / version.path).is_file()


def test_a_lora_that_a_waiting_job_needs_is_not_deleted(studio: Studio, run: str) -> None:
    name = "film.safetensors"
    studio.shelf.loras_folder.mkdir()
    (studio.shelf.loras_folder / name).write_bytes(lora(10))
    job = studio.generate(GenerateRequest.model_validate({"prompt": "a portrait", "loras": [{"path": "film"}], "steps": 2})).job_id
    with pytest.raises(Conflict, match="waits or runs"):
        studio.keeping.delete(LoraDelete(path=name))
    studio.cancel(job)
    studio.keeping.delete(LoraDelete(path="film"))
    assert studio.loras() == ()


def test_trash_and_clean_up_elsewhere_leave_versions_and_their_checkpoints_alone(studio: Studio, run: str) -> None:
    first, second = studio.trainings.pick(run, 20), studio.trainings.pick(run, 40)
    studio.change_character("mara", CharacterChange.model_validate({"status": "trashed"}))
    studio.remove_photos("mara", [photo.id for photo in studio.photos("mara")])
    studio.empty_trash()
    assert [one.there for one in studio.trainings.versions()] == [True, True]
    assert there(studio, run) == list(STEPS)
    studio.keeping.delete(LoraDelete(path=first.path, confirm=first.path))
    studio.empty_trash()
    assert [(one.there, one.trashed) for one in studio.trainings.versions()] == [(True, False), (False, False)]
    again = studio.trainings.pick(run, 20)
    assert again.path not in (first.path, second.path), "a version that was deleted for good is made anew from its checkpoint"


@pytest.mark.parametrize("path", ["../likeness.db", "/etc/passwd", "a/../../x.safetensors", "..\\x"])
def test_no_name_leads_out_of_the_lora_folder(studio: Studio, run: str, path: str) -> None:
    with pytest.raises((InvalidFieldValue, NotFound)) as told:
        studio.keeping.delete(LoraDelete(path=path, confirm=path))
    assert told.value.remedy
    with pytest.raises((InvalidFieldValue, NotFound)):
        studio.keeping.restore(path)


def test_a_name_that_is_taken_again_is_not_overwritten(studio: Studio, run: str) -> None:
    first = studio.trainings.pick(run, 20)
    studio.trainings.pick(run, 40)
    studio.keeping.delete(LoraDelete(path=first.path, confirm=first.path))
    (studio.shelf.loras_folder / first.path).write_bytes(lora(1))
    with pytest.raises(Conflict, match="another"):
        studio.keeping.restore(first.path)
    assert (studio.shelf.loras_folder / first.path).read_bytes() == lora(1)


# The doors


def test_the_three_doors_say_and_do_the_same(studio: Studio, run: str, settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    first = studio.trainings.pick(run, 20)
    studio.trainings.pick(run, 40)

    def said(*argv: str, status: int = 0) -> Any:
        capsys.readouterr()
        assert main(["--data", str(settings.data), "--json", *argv]) == status
        return json.loads(capsys.readouterr().out)

    with TestClient(create_api(studio), base_url="http://127.0.0.1/api/v1") as api:
        shown = api.get(f"training/{run}/cleanup").json()
        told = said("training", "clean", run)
        assert not told.pop("done") and told == shown
        assert api.post(f"training/{run}/cleanup").json() == shown
        assert said("training", "clean", run, "--yes")["bytes"] == 0
        refused = api.request("DELETE", "loras", json={"path": first.path})
        assert (refused.status_code, refused.json()["error"]["field"]) == (409, "confirm")
        assert said("loras", "delete", first.path, status=1)["error"]["field"] == "confirm"
        assert said("loras", "delete", first.path, "--confirm", first.path)["path"] == first.path
        assert api.post("loras/restore", json={"path": first.path}).status_code == 200
        assert api.request("DELETE", "loras", json={"path": first.path, "confirm": first.path}).status_code == 200
        assert said("loras", "restore", first.path)["path"] == first.path
        assert api.get("training/nothing/cleanup").status_code == 404
    assert said("loras", "delete", "nothing", status=1)["error"]["code"] == "NOT_FOUND"
