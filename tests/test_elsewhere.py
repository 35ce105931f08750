"""A picture that waits for a training: it says so and how long, and goes to another engine at one word, by every door."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from test_trainings import drawn, order

from app import main, open_studio
from studio.api import create_api
from studio.contracts import CharacterFields, GenerateRequest, Inventory, Job, JobState, ServerState
from studio.db import INVENTORY, engine_states
from studio.db import jobs as job_table
from studio.errors import Conflict, EngineOffline, NotFound
from studio.jobs import Jobs
from studio.settings import Settings, load_settings
from studio.studio import Studio

CHECKPOINT = "sd_xl_base_1.0.safetensors"
NODES = ("CheckpointLoaderSimple", "CLIPTextEncode", "EmptyLatentImage", "KSampler", "VAEDecode", "SaveImage", "CLIPSetLastLayer")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("LIKENESS_DATA", str(tmp_path / "data"))
    return load_settings(tmp_path / "data")


@pytest.fixture
def studio(settings: Settings) -> Iterator[Studio]:
    opened = open_studio(settings)
    yield opened
    opened.database.close()


@pytest.fixture
def training(studio: Studio) -> Job:
    """A training that a worker has begun, as its row says; no worker runs here."""
    character = studio.create_character(CharacterFields.model_validate({"name": "Mara", "trigger_word": "zmara"}))
    studio.add_photos(character.id, [(f"{number}.png", drawn(number)) for number in range(4)])
    job = order(studio, character.id, steps=60)
    jobs = Jobs(studio.database)
    assert jobs.begin(f"{job.id}-1") is not None
    jobs.progress(f"{job.id}-1", progress=0.5, note="", step=30, steps=60, eta_s=180.0, preview=0)
    return job


def queued(studio: Studio, **values: Any) -> Job:
    asked = {"prompt": "a lighthouse", "seed": 7, **values}
    return studio.job(studio.generate(GenerateRequest.model_validate(asked)).job_id)


def connect(studio: Studio, *checkpoints: str, state: str = "reachable") -> None:
    """A ComfyUI with these checkpoints, as the worker would tell of it."""
    server = ServerState(url="http://127.0.0.1:8188", state=state, problem="" if state == "reachable" else "It is off.")
    body = Inventory(servers=(server,), files={"checkpoints": checkpoints, "loras": ()}, nodes=NODES).model_dump_json()
    with studio.database.begin() as connection:
        connection.execute(sa.delete(engine_states).where(engine_states.c.name == f"{INVENTORY}comfyui"))
        connection.execute(sa.insert(engine_states).values(name=f"{INVENTORY}comfyui", body=body, updated_at=0.0))


def lane_of(studio: Studio, job_id: str) -> str:
    with studio.database.read() as connection:
        return connection.execute(sa.select(job_table.c.lane).where(job_table.c.id == job_id)).scalar_one()


def test_a_picture_behind_a_training_says_how_long_it_waits(studio: Studio, training: Job) -> None:
    job = queued(studio)
    found = studio.elsewhere.waiting(job.id)
    assert (found.training, found.about_s, found.places) == (training.id, 180.0, ())
    with pytest.raises(EngineOffline) as refused:
        studio.elsewhere.move(job.id)
    assert "Connect a ComfyUI" in refused.value.remedy
    assert studio.job(job.id) == job and lane_of(studio, job.id) == "local"


def test_a_picture_that_waits_for_no_training_says_so(studio: Studio) -> None:
    connect(studio, CHECKPOINT)
    found = studio.elsewhere.waiting(queued(studio).id)
    assert (found.training, found.about_s, found.places) == (None, None, ())
    with pytest.raises(NotFound):
        studio.elsewhere.waiting("nothing")


def test_it_is_made_elsewhere_at_one_word(studio: Studio, training: Job) -> None:
    connect(studio, CHECKPOINT)
    job = queued(studio)
    (place,) = studio.elsewhere.waiting(job.id).places
    assert place.engine == "comfyui" and CHECKPOINT in place.model and not place.same
    moved = studio.elsewhere.move(job.id)
    assert moved.id == job.id and moved.state is JobState.queued and moved.attempt == job.attempt + 1
    assert moved.recipe is not None and job.recipe is not None
    assert (moved.recipe.engine, moved.recipe.seed, moved.recipe.prompt) == ("comfyui", 7, job.recipe.prompt)
    assert lane_of(studio, job.id) == "comfyui"
    assert Jobs(studio.database).begin(f"{job.id}-1") is None, "whoever comes for it as it was finds nothing to do"
    assert studio.elsewhere.waiting(job.id).training is None


def test_what_cannot_be_made_elsewhere_is_not_offered(studio: Studio, training: Job) -> None:
    connect(studio, CHECKPOINT, state="offline")
    job = queued(studio)
    assert studio.elsewhere.waiting(job.id).places == ()
    with pytest.raises(EngineOffline, match="No server has"):
        studio.elsewhere.move(job.id, "comfyui/nothing.safetensors")
    assert studio.job(job.id).state is JobState.queued
    Jobs(studio.database).begin(f"{job.id}-1")
    for name in (job.id, training.id):
        with pytest.raises(Conflict):
            studio.elsewhere.move(name, CHECKPOINT)


def test_every_door_does_it(studio: Studio, settings: Settings, training: Job, capsys: pytest.CaptureFixture[str]) -> None:
    connect(studio, CHECKPOINT)
    job, other = queued(studio), queued(studio, prompt="a harbour")
    with TestClient(create_api(studio), base_url="http://127.0.0.1") as api:
        told = api.get(f"/api/v1/jobs/{job.id}/waiting").json()
        assert told["training"] == training.id and told["about_s"] == 180.0
        answer = api.post(f"/api/v1/jobs/{job.id}/elsewhere", json={"model": told["places"][0]["model"]})
        assert answer.status_code == 200 and answer.json()["recipe"]["engine"] == "comfyui"
        assert api.post("/api/v1/jobs/nothing/elsewhere").status_code == 404
        assert api.post(f"/api/v1/jobs/{training.id}/elsewhere").json()["error"]["code"] == "CONFLICT"

    def said(*argv: str, status: int = 0) -> Any:
        capsys.readouterr()
        assert main(["--data", str(settings.data), "--json", *argv]) == status
        return json.loads(capsys.readouterr().out)

    assert said("jobs", "waiting", other.id)["places"][0]["engine"] == "comfyui"
    assert said("jobs", "elsewhere", other.id)["recipe"]["engine"] == "comfyui"
    assert said("jobs", "elsewhere", training.id, status=1)["error"]["code"] == "CONFLICT"
