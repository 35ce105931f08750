"""The HTTP API over a real studio, on real sockets: what it answers, what it refuses, what it streams."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
import uvicorn
from PIL import Image
from pydantic import ValidationError
from starlette.types import Receive, Scope, Send

from app import HOME, KEEP_ALIVE_S, open_studio
from studio.api import create_api
from studio.api.answers import disposition
from studio.api.events import everything
from studio.api.jobs import EXAMPLES
from studio.api.rim import Rim
from studio.contracts import GenerateRequest, Inventory, JobKind, JobState, ServerState
from studio.db import engine_states
from studio.db import jobs as job_table
from studio.errors import from_validation
from studio.feed import MOST_WAITING, Feed, Listener, News
from studio.jobs import Jobs
from studio.managed import EngineWork, Managed, Order, WorkState, managed_folder
from studio.pins import PROGRAMS
from studio.settings import Settings, load_settings
from studio.studio import Studio

ASK = {"prompt": "a girl with red hair", "width": 64, "height": 64, "steps": 2}


@dataclass
class Served:
    """A studio behind a real server."""

    studio: Studio
    url: str
    server: uvicorn.Server
    feed: Feed
    thread: threading.Thread

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url + "/api/v1", timeout=60)

    def stop(self) -> float:
        """Stop the server the way app.py does; gives the seconds it took."""
        started = time.monotonic()
        self.feed.close()
        self.server.should_exit = True
        self.thread.join(30)
        return time.monotonic() - started


def serve(studio: Studio) -> Served:
    api = create_api(studio)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(api, log_config=None, access_log=False, timeout_keep_alive=KEEP_ALIVE_S))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    wait_until(lambda: server.started)
    return Served(studio, f"http://127.0.0.1:{listener.getsockname()[1]}", server, api.state.feed, thread)


def wait_until(condition: Callable[[], bool], seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it took too long"
        time.sleep(0.01)


def open_on(data: Path, **changes: object) -> Studio:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DATABASE_URL", raising=False)
        patch.setenv("LIKENESS_DATA", str(data))
        return open_studio(load_settings(data).model_copy(update=changes))


@pytest.fixture
def studio(settings: Settings) -> Studio:
    return open_studio(settings)


@pytest.fixture
def served(studio: Studio) -> Iterator[Served]:
    """A studio of the test's own; no worker, so jobs stay queued."""
    served = serve(studio)
    yield served
    served.stop()


@pytest.fixture
def client(served: Served) -> Iterator[httpx.Client]:
    with served.client() as client:
        yield client


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A studio for the tests that change nothing in it; uploads are limited to 1 MB."""
    served = serve(open_on(tmp_path_factory.mktemp("still") / "data", max_upload_mb=1))
    with served.client() as client:
        yield client
    served.stop()


@pytest.fixture(scope="module")
def working(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A studio with a real worker and the starter model."""
    data = tmp_path_factory.mktemp("working") / "data"
    served = serve(open_on(data))
    # On a busy machine threads that wait for each other take many times as long as one.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "LIKENESS_THREADS": "1"}
    command = [sys.executable, str(HOME / "app.py"), "worker", "--data", str(data)]
    worker = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment)
    yield served
    worker.terminate()
    worker.wait(30)
    served.stop()


def png(side: int = 64, noise: bool = False) -> bytes:
    data = io.BytesIO()
    image = Image.effect_noise((side, side), 200).convert("RGB") if noise else Image.new("RGB", (side, side), (200, 80, 40))
    image.save(data, "PNG")
    return data.getvalue()


def upload(client: httpx.Client, data: bytes | None = None) -> dict[str, Any]:
    answer = client.post("/images", files={"file": ("me.png", data or png(), "image/png")})
    assert answer.status_code == 201, answer.text
    return answer.json()


def refused(answer: httpx.Response, status: int, code: str, field: str | None = None) -> dict[str, Any]:
    body = answer.json()
    assert (answer.status_code, body["ok"], body["error"]["code"], body["error"]["field"]) == (status, False, code, field), body
    assert set(body["error"]) == {"code", "message", "remedy", "field", "correlation_id"}
    assert body["error"]["message"] and body["error"]["remedy"] and body["error"]["correlation_id"]
    return body["error"]


# What bad input gets


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"width": 5000}, "“width” can be 4096 at most."),
        ({"steps": 0}, "“steps” must be at least 1."),
        ({"seed": 2**40}, "“seed” can be 4294967295 at most."),
        ({"seed": "x"}, "“seed” must be a whole number."),
        ({"cfg": "much"}, "“cfg” must be a number."),
        ({"wildcards": "perhaps"}, "“wildcards” must be true or false."),
        ({"loras": 1}, "“loras” must be a list."),
        ({"prompt": 1}, "“prompt” must be text."),
        ({"quality": "best"}, "“quality” can be low, standard or pro."),
        ({"references": ["a"] * 101}, "“references” can have 100 entries at most."),
    ],
)
def test_a_value_at_fault_is_told_as_a_person_would_say_it(still: httpx.Client, said: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as fault:
        GenerateRequest.model_validate(said)
    assert from_validation(fault.value).message == words
    assert still.post("/generate", json={"prompt": "a", **said}).json()["error"]["message"] == words


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({}, "MISSING_REQUIRED_FIELD", "prompt"),
        ({"prompt": "   "}, "MISSING_REQUIRED_FIELD", "prompt"),
        ({"prompt": "x" * 20_000}, "INVALID_FIELD_VALUE", "prompt"),
        ({"prompt": "a", "steps": 0}, "INVALID_FIELD_VALUE", "steps"),
        ({"prompt": "a", "steps": "many"}, "INVALID_FIELD_TYPE", "steps"),
        ({"prompt": "a", "width": 100_000}, "INVALID_FIELD_VALUE", "width"),
        ({"prompt": "a", "width": 65, "height": 64}, "INVALID_FIELD_VALUE", "width"),
        ({"prompt": "a", "quality": "best"}, "INVALID_FIELD_TYPE", "quality"),
        ({"prompt": "a", "preset": "nope_v1"}, "INVALID_FIELD_VALUE", "preset"),
        ({"prompt": "a", "style": "nope_v1"}, "INVALID_FIELD_VALUE", "style"),
        ({"prompt": "a", "style": "night_v1"}, "INVALID_FIELD_VALUE", "style"),
        ({"prompt": "a", "preset": "identity_lock_v1"}, "INVALID_FIELD_VALUE", "preset"),
        ({"prompt": "a", "model": "nope"}, "INVALID_FIELD_VALUE", "model"),
        ({"prompt": "a", "engine": "nope"}, "INVALID_FIELD_VALUE", "engine"),
        ({"prompt": "a", "loras": [{"path": "nope.safetensors"}]}, "INVALID_FIELD_VALUE", "loras"),
        ({"prompt": "a", "loras": [{"path": "a", "strength": 9}]}, "INVALID_FIELD_VALUE", "loras.0.strength"),
        ({"prompt": "a", "seed": -2}, "INVALID_FIELD_VALUE", "seed"),
        ({"prompt": "a\0b"}, "INVALID_FIELD_VALUE", "prompt"),
        ({"prompt": "a", "model": "a\0b"}, "INVALID_FIELD_VALUE", "model"),
        ({"prompt": "a", "loras": [{"path": "a\0b"}]}, "INVALID_FIELD_VALUE", "loras.0.path"),
        ({"prompt": "a", "mystery": 1}, "CONTRACT_MISMATCH", "mystery"),
        ([], "CONTRACT_MISMATCH", None),
        (None, "CONTRACT_MISMATCH", None),
    ],
)
def test_a_bad_request_is_refused_with_code_field_and_remedy(still: httpx.Client, body: object, code: str, field: str | None) -> None:
    refused(still.post("/generate", json=body), 422, code, field)

    assert still.get("/jobs").json()["items"] == []


@pytest.mark.parametrize(
    ("content", "kind"),
    [(b"{", "application/json"), (b"\xff\xfe", "application/json"), (b'{"prompt": "a"}', "text/plain"), (b"", "application/json")],
)
def test_a_body_that_is_not_json_is_refused(still: httpx.Client, content: bytes, kind: str) -> None:
    answer = still.post("/generate", content=content, headers={"Content-Type": kind})

    refused(answer, 422, "CONTRACT_MISMATCH")


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "field"),
    [
        ("GET", "/jobs?limit=0", 422, "INVALID_FIELD_VALUE", "limit"),
        ("GET", "/jobs?limit=501", 422, "INVALID_FIELD_VALUE", "limit"),
        ("GET", "/jobs?limit=some", 422, "INVALID_FIELD_TYPE", "limit"),
        ("GET", "/jobs?cursor=made-up", 422, "INVALID_FIELD_VALUE", "cursor"),
        ("GET", "/jobs?state=odd", 422, "INVALID_FIELD_TYPE", "state.0"),
        ("GET", "/images?cursor=made-up", 422, "INVALID_FIELD_VALUE", "cursor"),
        ("GET", "/images?offset=-1", 422, "INVALID_FIELD_VALUE", "offset"),
        ("GET", "/images?search=a%00b", 422, "INVALID_FIELD_VALUE", "search"),
        ("GET", "/jobs?batch_id=%00", 422, "INVALID_FIELD_VALUE", "batch_id"),
        ("GET", "/jobs/nope", 404, "NOT_FOUND", None),
        ("GET", "/jobs/nope/events", 404, "NOT_FOUND", None),
        ("GET", "/jobs/nope/artifacts", 404, "NOT_FOUND", None),
        ("GET", "/jobs/nope/logs", 404, "NOT_FOUND", None),
        ("GET", "/jobs/nope/preview", 404, "NOT_FOUND", None),
        ("GET", "/jobs/a%00b", 422, "INVALID_FIELD_VALUE", "id"),
        ("POST", "/jobs/nope/cancel", 404, "NOT_FOUND", None),
        ("POST", "/jobs/nope/retry", 404, "NOT_FOUND", None),
        ("GET", "/images/nope", 404, "NOT_FOUND", None),
        ("GET", "/images/nope/file", 404, "NOT_FOUND", None),
        ("GET", "/images/nope/thumbnail", 404, "NOT_FOUND", None),
        ("GET", "/images/..%2f..%2fsecrets/file", 404, "NOT_FOUND", None),
        ("GET", "/images/.../file", 404, "NOT_FOUND", None),
        ("GET", "/images/nope/metadata", 404, "NOT_FOUND", None),
        ("DELETE", "/images/nope", 404, "NOT_FOUND", None),
        ("POST", "/images/nope/restore", 404, "NOT_FOUND", None),
        ("GET", "/presets/nope", 404, "NOT_FOUND", None),
        ("GET", "/no/such/thing", 404, "NOT_FOUND", None),
        ("GET", "/../../etc/passwd", 404, "NOT_FOUND", None),
        ("POST", "/images/trash", 422, "CONTRACT_MISMATCH", None),
    ],
)
def test_what_does_not_exist_or_fit_is_told_in_one_shape(
    still: httpx.Client, method: str, path: str, status: int, code: str, field: str | None
) -> None:
    refused(still.request(method, path), status, code, field)


def test_a_wrong_method_names_the_right_ones(still: httpx.Client) -> None:
    answer = still.post("/health")

    refused(answer, 405, "CONTRACT_MISMATCH")
    assert answer.headers["allow"] == "GET"
    assert still.put("/images/some-id").headers["allow"] == "DELETE, GET, PATCH"


def test_a_request_that_is_too_large_is_refused_whether_it_says_so_or_not(still: httpx.Client) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(64):
            yield b" " * 65_536

    refused(still.post("/generate", content=b" " * 3 * 2**20, headers={"Content-Type": "application/json"}), 413, "FILE_TOO_LARGE")
    refused(still.post("/generate", content=endless(), headers={"Content-Type": "application/json"}), 413, "FILE_TOO_LARGE")


def test_a_fault_of_our_own_is_told_without_its_insides() -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("the secret inside")

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(Rim(broken, max_upload_mb=1))
        async with httpx.AsyncClient(transport=transport, base_url="http://studio") as client:
            return await client.get("/api/v1/health")

    answer = asyncio.run(ask())

    refused(answer, 500, "UNKNOWN_ERROR")
    assert "inside" not in answer.text and "Traceback" not in answer.text


def test_a_database_that_is_gone_is_told_and_health_still_answers(client: httpx.Client, served: Served) -> None:
    with served.studio.database.begin() as connection:
        connection.execute(sa.text("DROP TABLE jobs"))

    refused(client.get("/jobs"), 503, "DB_UNAVAILABLE")
    health = client.get("/health")
    assert health.status_code == 200
    assert health.json()["ok"] is False


# Jobs


def test_a_request_is_on_disk_as_a_job_when_it_is_answered(client: httpx.Client, served: Served) -> None:
    answer = client.post("/generate", json=ASK)

    receipt = answer.json()
    assert answer.status_code == 202
    assert receipt["ok"] is True and receipt["job_ids"] == [receipt["job_id"]]
    assert answer.headers["location"] == f"/api/v1/jobs/{receipt['job_id']}"
    job = client.get(f"/jobs/{receipt['job_id']}").json()
    assert (job["state"], job["progress"], job["error"], job["batch_id"]) == ("queued", 0, None, receipt["batch_id"])
    assert job["request"]["prompt"] == ASK["prompt"] and job["correlation_id"]
    assert served.studio.job(receipt["job_id"]).state is JobState.queued


def test_waiting_for_a_job_that_does_not_end_gives_its_receipt(client: httpx.Client, served: Served) -> None:
    started = time.monotonic()
    answer = client.post("/generate?wait=0.5", json=ASK)

    assert answer.status_code == 202
    assert 0.5 <= time.monotonic() - started < 5
    assert served.feed.listeners == 0


def test_a_hundred_waiting_requests_leave_room_for_others(client: httpx.Client, served: Served) -> None:
    async def crowd() -> float:
        limits = httpx.Limits(max_connections=200)
        async with httpx.AsyncClient(base_url=served.url + "/api/v1", timeout=60, limits=limits) as many:
            waiting = [asyncio.create_task(many.post("/generate?wait=60", json=ASK)) for _ in range(100)]
            await asyncio.to_thread(wait_until, lambda: served.feed.listeners == 100)
            started = time.monotonic()
            assert (await many.get("/health")).status_code == 200
            took = time.monotonic() - started
            assert (await many.post("/jobs/cancel")).json()["count"] == 100
            for answer in await asyncio.gather(*waiting):
                assert answer.status_code == 200
                assert answer.json()["ok"] is False and answer.json()["job"]["state"] == "cancelled"
            return took

    assert asyncio.run(crowd()) < 2


def test_jobs_are_listed_newest_first_in_slices_that_miss_and_repeat_none(client: httpx.Client) -> None:
    made = [client.post("/generate", json=ASK).json()["job_id"] for _ in range(7)]
    client.post(f"/jobs/{made[0]}/cancel")

    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = client.get("/jobs", params={"limit": 3, **({"cursor": cursor} if cursor else {})}).json()
        seen += [job["id"] for job in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == made[::-1]
    assert [job["id"] for job in client.get("/jobs?state=cancelled").json()["items"]] == made[:1]
    assert len(client.get("/jobs?state=cancelled&state=queued").json()["items"]) == 7


def test_a_job_is_cancelled_retried_and_moved(client: httpx.Client) -> None:
    first, second = (client.post("/generate", json=ASK).json()["job_id"] for _ in range(2))

    assert client.post(f"/jobs/{first}/cancel").json()["state"] == "cancelled"
    refused(client.post(f"/jobs/{first}/cancel"), 409, "CONFLICT")
    again = client.post(f"/jobs/{first}/retry").json()
    assert (again["state"], again["attempt"]) == ("queued", 2)
    refused(client.post(f"/jobs/{first}/retry"), 409, "CONFLICT")
    assert client.post(f"/jobs/{first}/move", json={"to": "first"}).json()["priority"] < client.get(f"/jobs/{second}").json()["priority"]
    assert client.post(f"/jobs/{first}/move", json={"to": "last"}).json()["priority"] > client.get(f"/jobs/{second}").json()["priority"]
    refused(client.post(f"/jobs/{first}/move", json={"to": "middle"}), 422, "INVALID_FIELD_VALUE", "to")


def test_a_batch_is_cancelled_alone_and_everything_at_once(client: httpx.Client) -> None:
    receipts = [client.post("/generate", json=ASK).json() for _ in range(4)]

    assert client.post("/jobs/cancel", json={"batch_id": receipts[1]["batch_id"]}).json() == {"ok": True, "count": 1}
    assert client.get(f"/jobs/{receipts[0]['job_id']}").json()["state"] == "queued"
    assert [job["id"] for job in client.get(f"/jobs?batch_id={receipts[1]['batch_id']}").json()["items"]] == [receipts[1]["job_id"]]
    assert client.post("/jobs/cancel").json() == {"ok": True, "count": 3}


def test_a_finished_job_comes_with_its_pictures_in_one_answer(working: Served) -> None:
    with working.client() as client:
        answer = client.post("/generate?wait=80&inline=base64", json={**ASK, "count": 2, "seed": 7})

        body = answer.json()
        assert answer.status_code == 200, body
        assert body["ok"] is True and body["job"]["state"] == "done" and body["error"] is None
        assert [item["seed"] for item in body["items"]] == [7, 8]
        for item in body["items"]:
            data = base64.b64decode(item["data"])
            assert Image.open(io.BytesIO(data)).size == (64, 64)
            assert client.get(item["url"].removeprefix("/api/v1")).content == data
            assert client.get(item["thumbnail_url"].removeprefix("/api/v1")).headers["content-type"] == "image/webp"
        job_id = body["job"]["id"]
        artifacts = client.get(f"/jobs/{job_id}/artifacts").json()["items"]
        assert [item["id"] for item in artifacts] == [item["id"] for item in body["items"]]
        assert {"id", "kind", "url", "path"} <= set(artifacts[0])
        refused(client.get(f"/jobs/{job_id}/preview"), 404, "NOT_FOUND")
        # Whoever follows the job asks for one that may be gone by then: that is no fault.
        assert client.get(f"/jobs/{job_id}/preview?v=1").status_code == 204

        without = client.post("/generate?wait=80", json=ASK).json()
        assert "data" not in without["items"][0]


def test_what_a_finished_job_leaves_can_be_asked_for(working: Served) -> None:
    with working.client() as client:
        job = client.post("/generate?wait=80", json={**ASK, "preset": "portrait_v1", "style": "ink_comic_v1", "seed": 3}).json()
        picture = job["items"][0]

        lines = client.get(f"/jobs/{job['job']['id']}/logs").json()["items"]
        assert {line["correlation_id"] for line in lines} == {job["job"]["correlation_id"]}
        assert client.get(f"/jobs/{job['job']['id']}/logs?level=ERROR").json()["items"] == []
        refused(client.get(f"/jobs/{job['job']['id']}/logs?level=LOUD"), 422, "INVALID_FIELD_VALUE", "level")
        metadata = client.get(f"/images/{picture['id']}/metadata").json()
        assert "Seed: 3" in metadata["infotext"] and metadata["likeness"]
        found = client.get("/images", params={"search": "RED girl", "preset": "portrait_v1", "model": "starter"}).json()
        assert picture["id"] in [item["id"] for item in found["items"]]
        assert client.get("/images?search=unheard").json() == {"items": [], "next": None, "total": 0}
        assert client.get("/images?preset=other_v1").json()["total"] == 0
        assert picture["recipe"]["style"] == metadata["likeness"]["recipe"]["style"] == "ink_comic_v1"
        assert "ink comic style" in picture["recipe"]["prompt"] and "cartoon style" not in picture["recipe"]["prompt"]
        assert picture["id"] in [item["id"] for item in client.get("/images?style=ink_comic_v1").json()["items"]]
        assert client.get("/images?style=anime_v1").json()["total"] == 0
        assert {"id": "ink_comic_v1", "name": "Ink comic", "count": 1} in client.get("/images/facets").json()["styles"]
        assert "ink_comic_v1" in [share["id"] for share in client.get("/analytics").json()["by_style"]]


def test_a_running_job_shows_previews_that_change(working: Served) -> None:
    with working.client() as client:
        # Long enough for several previews; cancelled as soon as there were two.
        job_id = client.post("/generate", json={**ASK, "width": 128, "height": 128, "steps": 150, "count": 8}).json()["job_id"]
        seen: dict[int, bytes] = {}
        with client.stream("GET", f"/jobs/{job_id}/events") as stream:
            for event, data in events(stream.iter_lines()):
                if event == "job" and json.loads(data)["preview"]:
                    number = json.loads(data)["preview"]
                    answer = client.get(f"/jobs/{job_id}/preview?v={number}")
                    if answer.status_code == 200:
                        seen[number] = answer.content
                        assert Image.open(io.BytesIO(answer.content)).format == "WEBP"
                        assert answer.headers["cache-control"] == "private, no-cache" and answer.headers["etag"]
                if len(set(seen.values())) >= 2:
                    break
        ended = client.post(f"/jobs/{job_id}/cancel")
        assert ended.status_code == 200, ended.text
        wait_until(lambda: client.get(f"/jobs/{job_id}").json()["state"] == "cancelled")

        assert len(set(seen.values())) >= 2


# Events


def events(lines: Iterator[str]) -> Iterator[tuple[str, str]]:
    name = ""
    for line in lines:
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, line.removeprefix("data: ")


def test_every_listener_hears_hello_first_and_then_each_change(client: httpx.Client, served: Served) -> None:
    with client.stream("GET", "/events") as one, client.stream("GET", "/events") as two:
        heard = [events(one.iter_lines()), events(two.iter_lines())]
        assert one.headers["cache-control"] == "no-cache, no-transform"
        assert one.headers["x-accel-buffering"] == "no"
        assert one.headers["content-type"].startswith("text/event-stream")
        for stream in heard:
            assert next(stream)[0] == "hello"
        job_id = client.post("/generate", json=ASK).json()["job_id"]
        for stream in heard:
            name, data = next(stream)
            assert (name, json.loads(data)["id"], json.loads(data)["state"]) == ("job", job_id, "queued")
        client.post(f"/jobs/{job_id}/cancel")
        for stream in heard:
            name, data = next(stream)
            assert (name, json.loads(data)["state"]) == ("job", "cancelled")
        picture = upload(client)
        for stream in heard:
            assert next(stream) == ("pictures", "{}")
        client.delete(f"/images/{picture['id']}")
        for stream in heard:
            assert next(stream) == ("pictures", "{}")
    wait_until(lambda: served.feed.listeners == 0)


def test_the_stream_of_a_job_begins_with_its_state_and_ends_with_it(client: httpx.Client) -> None:
    job_id = client.post("/generate", json=ASK).json()["job_id"]
    states: list[str] = []
    with client.stream("GET", f"/jobs/{job_id}/events") as stream:
        for name, data in events(stream.iter_lines()):
            if name == "job":
                states.append(json.loads(data)["state"])
                if states == ["queued"]:
                    client.post("/generate", json=ASK)
                    client.post(f"/jobs/{job_id}/cancel")

    assert states == ["queued", "cancelled"]
    with client.stream("GET", f"/jobs/{job_id}/events") as stream:
        text = "".join(stream.iter_text())
    assert "id: end\nevent: job\n" in text
    # What a browser does when a stream ends: it asks again, and 204 tells it to stop.
    assert client.get(f"/jobs/{job_id}/events", headers={"Last-Event-ID": "end"}).status_code == 204


def test_a_job_is_followed_to_its_pictures(working: Served) -> None:
    with working.client() as client, client.stream("GET", "/events") as stream:
        heard = events(stream.iter_lines())
        assert next(heard)[0] == "hello"
        # Long enough that a look, every 0.2 s, meets it at work.
        job_id = client.post("/generate", json={**ASK, "steps": 100, "count": 4}).json()["job_id"]
        states: list[str] = []
        pictures = False
        while not (pictures and states[-1:] == ["done"]):
            name, data = next(heard)
            if name == "job" and json.loads(data)["id"] == job_id:
                states.append(json.loads(data)["state"])
            pictures = pictures or name == "pictures"

        assert "running" in states and states.index("running") < states.index("done")
        assert client.get(f"/jobs/{job_id}/artifacts").json()["items"]


def test_streams_end_promptly_when_the_server_stops(studio: Studio) -> None:
    served = serve(studio)
    job_id = studio.generate(GenerateRequest(prompt="a")).job_id
    with served.client() as client, client.stream("GET", "/events") as all_events, client.stream("GET", f"/jobs/{job_id}/events") as one:
        wait_until(lambda: served.feed.listeners == 2)
        took = served.stop()
        all_events.read()
        one.read()

    assert took < 2
    assert not served.thread.is_alive()


def test_the_database_is_asked_for_changes_only_while_someone_listens(client: httpx.Client, served: Served) -> None:
    looks: list[str] = []
    engine = served.studio.database.engine
    sa.event.listen(engine, "before_cursor_execute", lambda *facts: looks.append(facts[2]) if "changed_at >=" in facts[2] else None)

    with client.stream("GET", "/events"):
        wait_until(lambda: len(looks) > 0)
        heard = len(looks)
        client.post("/generate", json=ASK)
        wait_until(lambda: len(looks) > heard)
    wait_until(lambda: served.feed.listeners == 0)
    # A look that was under way may still end; then there is silence for longer than two looks.
    threading.Event().wait(0.3)
    before = len(looks)
    client.post("/generate", json=ASK)
    threading.Event().wait(0.7)

    assert len(looks) == before


async def heard_within(listener: Listener, seconds: float = 10) -> News:
    news = await listener.next(seconds)
    assert news is not None
    return news


def test_a_slow_listener_gets_the_newest_state_of_each_job_and_no_more(studio: Studio) -> None:
    async def listen() -> None:
        feed = Feed(studio, look_s=0.01)
        async with feed.listen() as listener:
            jobs = [studio.generate(GenerateRequest(prompt="a")).job_id for _ in range(3)]
            await asyncio.sleep(0.2)
            for job_id in jobs:
                studio.cancel(job_id)
            await asyncio.sleep(0.2)
            news = await heard_within(listener)
            assert [(job.id, job.state) for job in news.jobs] == [(job_id, JobState.cancelled) for job_id in jobs]
            assert await listener.next(0.1) == News()

    asyncio.run(listen())


def test_the_end_of_a_job_is_told_also_where_its_commit_waited_for_minutes(studio: Studio) -> None:
    def write(**values: object) -> None:
        with studio.database.begin() as connection:
            connection.execute(sa.update(job_table).where(job_table.c.id == job_id).values(**values))

    async def listen() -> None:
        feed = Feed(studio, look_s=0.01)
        async with feed.listen() as listener:
            write(state="running", changed_at=time.time() - 300)
            assert [job.state for job in (await heard_within(listener)).jobs] == [JobState.running]
            write(state="done", changed_at=time.time() - 200)
            assert [job.state for job in (await heard_within(listener)).jobs] == [JobState.done]
            assert await listener.next(0.1) == News(), "and told once"

    job_id = studio.generate(GenerateRequest(prompt="a")).job_id
    write(changed_at=time.time() - 400)
    asyncio.run(listen())


def test_what_is_being_done_with_an_engine_is_told_to_everyone_also_to_who_comes_later_until_it_is_over(studio: Studio) -> None:
    folder = managed_folder(studio.settings)
    folder.mkdir(parents=True)

    def write(**changes: object) -> None:
        (folder / "state.json").write_text(Managed.model_validate({"order": "7", "act": "install", **changes}).model_dump_json(), "utf-8")

    async def heard(listener: Listener) -> EngineWork:
        while (work := (await heard_within(listener)).work) is None:
            pass
        return work

    async def listen() -> None:
        feed = Feed(studio, look_s=0.01)
        async with feed.listen() as listener, feed.listen("another job") as deaf:
            (folder / "order.json").write_text(Order(id="7", act="install").model_dump_json(), "utf-8")
            assert ((await heard(listener)).state, (await listener.next(0.1))) == (WorkState.running, News())
            write(progress=0.42, note="Downloading ComfyUI: 42 of 100 MB")
            work = await heard(listener)
            assert (work.title, work.act, work.progress, work.note[:11]) == ("ComfyUI", "install", 0.42, "Downloading")
            async with feed.listen() as late:
                assert await heard(late) == work
            write(ended="failed", problem={"code": "DISK_FULL", "message": "The disk is full.", "remedy": "Free some."})
            (folder / "order.json").unlink()
            while (work := await heard(listener)).state is WorkState.running:
                pass
            assert (work.state, work.problem, work.remedy) == (WorkState.failed, "The disk is full.", "Free some.")
            async with feed.listen() as late:
                assert await late.next(0.1) == News(), "what is over is not told again"
            assert await deaf.next(0.01) == News()

    asyncio.run(listen())


def test_models_of_a_server_are_told_when_they_come_change_or_go_and_nothing_else_of_it_is(studio: Studio) -> None:
    def told(queued: int = 0, state: str = "reachable", **files: tuple[str, ...]) -> None:
        server = ServerState(url="http://127.0.0.1:8188", state=state, queued=queued)
        values = {
            "name": "inventory:comfyui",
            "body": Inventory(servers=(server,), files=files).model_dump_json(),
            "updated_at": time.time(),
        }
        with studio.database.begin() as connection:
            connection.execute(sa.delete(engine_states))
            connection.execute(sa.insert(engine_states).values(**values))

    async def listen() -> None:
        feed = Feed(studio, look_s=0.01)
        async with feed.listen() as listener, feed.listen("one job") as deaf:
            await asyncio.sleep(0.2)
            told(checkpoints=("a.safetensors",))
            assert (await heard_within(listener)).models
            assert [model.name for model in studio.models() if model.engine == "comfyui"] == ["a"]
            told(queued=3, checkpoints=("a.safetensors",))
            assert await listener.next(0.3) == News(), "a queue that grows is no news"
            told(checkpoints=("a.safetensors",), loras=("b.safetensors",))
            assert (await heard_within(listener)).models
            told(state="offline")
            assert (await heard_within(listener)).models
            assert await deaf.next(0.01) == News()
        lines = everything(feed, heartbeat_s=10)
        assert "hello" in await anext(lines)
        await asyncio.sleep(0.2)
        told()
        assert await anext(lines) == "event: models\ndata: {}\n\n"
        await lines.aclose()

    asyncio.run(listen())


def test_what_two_engines_are_at_is_told_one_after_the_other(studio: Studio) -> None:
    folders = {program.name: managed_folder(studio.settings, program) for program in PROGRAMS.values()}
    for name, folder in folders.items():
        folder.mkdir(parents=True)
        (folder / "state.json").write_text(Managed(order=name, act="install", progress=0.1).model_dump_json(), "utf-8")
        (folder / "order.json").write_text(Order(id=name, act="install").model_dump_json(), "utf-8")

    async def heard(listener: Listener, state: WorkState) -> EngineWork:
        while (work := (await heard_within(listener)).work) is None or work.state is not state:
            pass
        return work

    async def listen() -> None:
        feed = Feed(studio, look_s=0.01)
        async with feed.listen() as listener:
            assert (await heard(listener, WorkState.running)).name == "comfyui"
            (folders["comfyui"] / "state.json").write_text(Managed(ended=WorkState.done).model_dump_json(), "utf-8")
            (folders["comfyui"] / "order.json").unlink()
            assert (await heard(listener, WorkState.done)).name == "comfyui", "how the first ended is not lost"
            assert (await heard(listener, WorkState.running)).title == "AI-Toolkit"
            # One that begins meanwhile waits until it can be told of.
            (folders["comfyui"] / "order.json").write_text(Order(id="9", act="start").model_dump_json(), "utf-8")
            (folders["aitoolkit"] / "state.json").write_text(Managed(order="aitoolkit", progress=0.7).model_dump_json(), "utf-8")
            assert (await heard(listener, WorkState.running)).progress == 0.7
            (folders["aitoolkit"] / "order.json").unlink()
            assert (await heard(listener, WorkState.done)).name == "aitoolkit"
            assert (await heard(listener, WorkState.running)).order == "9"

    asyncio.run(listen())


def test_a_log_is_followed_piece_by_piece(client: httpx.Client, studio: Studio) -> None:
    log = managed_folder(studio.settings) / "server.log"
    log.parent.mkdir(parents=True)

    def ask(after: str = "", **more: object) -> dict[str, Any]:
        answer = client.get("/engines/comfyui/log", params={"after": after, **more})
        assert answer.status_code == 200, answer.text
        return answer.json()

    assert ask() == {"lines": [], "unfinished": "", "next": "", "anew": True}
    log.write_bytes("one\ntwo\n\x1b[32mthrée\x1b[0m\nload".encode())
    first = ask(lines=2)
    assert (first["lines"], first["unfinished"], first["anew"]) == (["two", "thrée"], "load", True)
    with log.open("ab") as more:
        more.write(b"ed\n 10%|#\r 20%|##")
    second = ask(first["next"])
    assert (second["lines"], second["unfinished"], second["anew"]) == (["loaded"], " 20%|##", False)
    assert ask(second["next"]) == {**second, "lines": []}, "nothing new, and the place stays"
    assert (ask(second["next"].replace("-", "-9"))["anew"]) is True, "a log that became shorter begins anew"
    log.rename(log.with_suffix(".log.1"))
    log.write_bytes(b"another\n" * 40_000)
    again = ask(second["next"], lines=3)
    assert (again["lines"], again["anew"]) == (["another"] * 3, True)
    with log.open("ab") as more:
        more.write(b"x" * 400_000 + b"\nend\n")
    far = ask(again["next"])
    assert (far["lines"], far["anew"]) == (["end"], True), "too far behind to be told everything"
    assert client.get("/engines/comfyui/log", params={"after": "../x"}).json()["error"]["field"] == "after"


def test_a_listener_who_misses_too_much_is_told_to_look_anew(studio: Studio) -> None:
    async def listen() -> None:
        job = studio.job(studio.generate(GenerateRequest(prompt="a")).job_id)
        listener = Listener(None)
        listener.tell(News(tuple(job.model_copy(update={"id": f"{n}"}) for n in range(MOST_WAITING + 1))))
        assert await listener.next(1) == News(lost=True)

    asyncio.run(listen())


def test_more_changes_than_a_look_can_tell_are_told_as_such_once(studio: Studio) -> None:
    async def listen() -> None:
        feed = Feed(studio, look_s=0.01)
        job = studio.job(studio.generate(GenerateRequest(prompt="a")).job_id)
        async with feed.listen() as listener:
            assert [one.id for one in (await heard_within(listener)).jobs] == [job.id]
            Jobs(studio.database).submit(JobKind.generate, [(job.request, job.recipe)] * MOST_WAITING, correlation_id="many")
            assert await heard_within(listener) == News(lost=True)
            studio.cancel(job.id)
            news = await heard_within(listener)
            assert [(one.id, one.state) for one in news.jobs] == [(job.id, JobState.cancelled)]

    asyncio.run(listen())


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_of_the_manual_is_accepted(client: httpx.Client, example: str) -> None:
    assert client.post("/generate", json=EXAMPLES[example]["value"]).status_code == 202


def test_a_quiet_stream_is_kept_awake_by_comments(studio: Studio) -> None:
    async def listen() -> None:
        stream = everything(Feed(studio), heartbeat_s=0.05)
        assert (await anext(stream)).startswith("retry: 2000\nevent: hello\n")
        assert await anext(stream) == ": still here\n\n"
        await stream.aclose()

    asyncio.run(listen())


def test_the_feed_outlives_a_database_that_fails_for_a_while(studio: Studio) -> None:
    async def listen() -> None:
        feed = Feed(studio, look_s=0.01)
        async with feed.listen() as listener:
            with studio.database.begin() as connection:
                connection.execute(sa.text("ALTER TABLE marks RENAME TO away"))
            await asyncio.sleep(0.1)
            job_id = studio.generate(GenerateRequest(prompt="a")).job_id
            with studio.database.begin() as connection:
                connection.execute(sa.text("ALTER TABLE away RENAME TO marks"))
            news = await heard_within(listener)
            assert [job.id for job in news.jobs] == [job_id]

    asyncio.run(listen())


# Pictures


def test_a_picture_is_uploaded_as_a_form_or_as_base64(client: httpx.Client) -> None:
    data = png()
    encoded = base64.b64encode(data).decode()
    made = [
        client.post("/images", files={"file": ("me.png", data, "image/png")}),
        client.post("/images", json={"data": encoded, "name": "me.png"}),
        client.post("/images", json={"data": f"data:image/png;base64,{encoded}"}),
    ]

    for answer in made:
        assert answer.status_code == 201, answer.text
        picture = answer.json()
        assert (picture["kind"], picture["width"], picture["height"], picture["job_id"]) == ("upload", 64, 64, None)
        assert Image.open(io.BytesIO(client.get(picture["url"].removeprefix("/api/v1")).content)).size == (64, 64)
    assert client.get("/images").json()["total"] == 0
    assert client.get("/images?kind=upload").json()["total"] == 3
    assert client.get("/images?kind=all").json()["total"] == 3


def test_several_files_come_in_together_or_not_at_all(client: httpx.Client) -> None:
    good = ("a.png", png(), "image/png")

    both = client.post("/images", files=[("file", good), ("file", good)]).json()
    assert len(both["items"]) == 2 and both["items"][0]["id"] == both["id"]
    refused(client.post("/images", files=[("file", good), ("file", ("b.png", b"no picture", "image/png"))]), 422, "IMAGE_INVALID", "file")
    assert client.get("/images?kind=all").json()["total"] == 2


@pytest.mark.parametrize(
    ("sent", "status", "code", "field"),
    [
        ({"files": {"file": ("x.png", b"not a picture", "image/png")}}, 422, "IMAGE_INVALID", "file"),
        ({"files": {"file": ("x.png", b"", "image/png")}}, 422, "IMAGE_INVALID", "file"),
        ({"files": {"file": ("x.png", png()[:80], "image/png")}}, 422, "IMAGE_INVALID", "file"),
        ({"files": {"other": ("x.png", png(), "image/png")}}, 422, "MISSING_REQUIRED_FIELD", "file"),
        ({"files": {"file": ("x.png", bytes(2**20 + 1), "image/png")}}, 413, "FILE_TOO_LARGE", "file"),
        ({"files": {"file": ("x.png", bytes(3 * 2**20), "image/png")}}, 413, "FILE_TOO_LARGE", None),
        ({"json": {"data": "not base64!"}}, 422, "INVALID_FIELD_VALUE", "data"),
        ({"json": {"data": ""}}, 422, "MISSING_REQUIRED_FIELD", "data"),
        ({"json": {"name": "x"}}, 422, "MISSING_REQUIRED_FIELD", "data"),
        ({"json": {"data": 5}}, 422, "INVALID_FIELD_TYPE", "data"),
        ({"json": {"data": base64.b64encode(bytes(2**20 + 1)).decode()}}, 413, "FILE_TOO_LARGE", "file"),
        ({"content": b"{", "headers": {"Content-Type": "application/json"}}, 422, "CONTRACT_MISMATCH", None),
        ({"content": b"x", "headers": {"Content-Type": "image/png"}}, 422, "CONTRACT_MISMATCH", None),
        ({"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, 422, "CONTRACT_MISMATCH", None),
        ({"content": b"x", "headers": {"Content-Type": "multipart/form-data; boundary=b"}}, 422, "CONTRACT_MISMATCH", None),
    ],
)
def test_an_upload_that_is_no_picture_is_refused_and_nothing_is_kept(
    still: httpx.Client, sent: dict[str, Any], status: int, code: str, field: str | None
) -> None:
    refused(still.post("/images", **sent), status, code, field)

    assert still.get("/images?kind=all").json()["total"] == 0


def test_an_exported_character_of_several_large_photos_comes_back_and_a_huge_file_does_not(tmp_path: Path) -> None:
    served = serve(open_on(tmp_path / "data", max_upload_mb=1))
    with served.client() as client:
        made = client.post("/characters", json={"name": "Mira"}).json()
        photos = [("file", (f"{number}.png", png(600 + number, noise=True), "image/png")) for number in range(4)]
        for one in photos:
            assert client.post(f"/characters/{made['id']}/images", files=[one]).json()["refused"] == []
        exported = client.get(f"/characters/{made['id']}/export").content
        assert len(exported) > 2**20, "larger than one upload may be"
        back = client.post("/characters/import", files={"file": ("mira.likeness.zip", exported)}).json()
        assert client.get(f"/characters/{back['id']}/images").json()["total"] == 4

        huge = {"file": ("huge.likeness.zip", bytes(8 * 2**20 + 1))}
        refused(client.post("/characters/import", files=huge), 413, "FILE_TOO_LARGE", "file")
        assert len(client.get("/characters").json()["items"]) == 2
    served.stop()


def test_a_picture_is_sent_once_and_then_only_confirmed(client: httpx.Client) -> None:
    picture = upload(client)
    for what, cached in ((f"/images/{picture['id']}/file", "image/png"), (f"/images/{picture['id']}/thumbnail", "image/webp")):
        first = client.get(what)
        assert (first.status_code, first.headers["content-type"]) == (200, cached)
        assert first.headers["cache-control"] == "private, max-age=31536000, immutable"
        assert not first.headers["etag"].startswith("W/")
        again = client.get(what, headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
        assert client.get(what, headers={"If-None-Match": '"other"'}).status_code == 200


def test_a_part_of_a_picture_can_be_asked_for(client: httpx.Client) -> None:
    picture = upload(client)
    whole = client.get(f"/images/{picture['id']}/file").content
    part = client.get(f"/images/{picture['id']}/file", headers={"Range": "bytes=0-7"})

    assert (part.status_code, part.content) == (206, whole[:8])


def test_a_download_has_a_speaking_name(client: httpx.Client, working: Served) -> None:
    picture = upload(client)
    shown = client.get(f"/images/{picture['id']}/file").headers["content-disposition"]
    saved = client.get(f"/images/{picture['id']}/file?download=1").headers["content-disposition"]
    assert shown == f'inline; filename="upload-{picture["id"]}.png"'
    assert saved == f'attachment; filename="upload-{picture["id"]}.png"'
    with working.client() as other:
        made = other.post("/generate?wait=80", json={**ASK, "prompt": 'Čeněk "the ../fox"\r\nX: 1'}).json()["items"][0]
        named = other.get(f"/images/{made['id']}/file?download=1").headers["content-disposition"]
    assert named.startswith('attachment; filename="en-k-the-fox-x-1')
    assert "filename*=UTF-8''%C4%8Den%C4%9Bk-the-fox-x-1" in named


def test_a_name_in_any_script_can_be_saved_by_old_clients_too() -> None:
    assert disposition("attachment", "plain.png") == 'attachment; filename="plain.png"'
    assert disposition("attachment", "猫-1.png") == "attachment; filename=\"1.png\"; filename*=UTF-8''%E7%8C%AB-1.png"


def test_pictures_go_to_the_trash_and_come_back(client: httpx.Client) -> None:
    ids = [upload(client)["id"] for _ in range(3)]

    assert client.delete(f"/images/{ids[0]}").json()["trashed_at"]
    assert client.delete(f"/images/{ids[0]}").json()["trashed_at"], "a second time changes nothing"
    assert client.post("/images/trash", json={"ids": ids}).json() == {"ok": True, "count": 2}
    assert client.get("/images?kind=all").json()["total"] == 0
    assert client.get("/images?kind=all&trashed=true").json()["total"] == 3
    assert client.get(f"/images/{ids[0]}/file").status_code == 200
    assert client.post(f"/images/{ids[0]}/restore").json()["trashed_at"] is None
    assert client.post("/images/restore", json={"ids": ids}).json() == {"ok": True, "count": 2}
    client.delete(f"/images/{ids[2]}")
    assert client.delete("/trash").json() == {"ok": True, "count": 1}
    refused(client.get(f"/images/{ids[2]}/file"), 404, "NOT_FOUND")
    refused(client.get(f"/images/{ids[2]}/thumbnail"), 404, "NOT_FOUND")
    refused(client.post("/images/trash", json={"ids": []}), 422, "INVALID_FIELD_VALUE", "ids")


def test_pictures_are_listed_in_slices_by_cursor_or_by_offset(client: httpx.Client) -> None:
    ids = [upload(client)["id"] for _ in range(5)][::-1]

    first = client.get("/images?kind=all&limit=2").json()
    second = client.get("/images", params={"kind": "all", "limit": 2, "cursor": first["next"]}).json()
    assert [item["id"] for item in first["items"] + second["items"]] == ids[:4]
    assert first["total"] == 5
    assert [item["id"] for item in client.get("/images?kind=all&offset=3").json()["items"]] == ids[3:]


# The studio itself


def test_presets_models_and_loras_are_listed(still: httpx.Client) -> None:
    presets = still.get("/presets").json()["items"]

    assert len(presets) >= 12
    assert still.get(f"/presets/{presets[0]['id']}").json() == presets[0]
    category = presets[0]["category"]
    assert [p for p in presets if p["category"] == category] == still.get(f"/presets?category={category}").json()["items"]
    assert still.get("/presets?engine=other").json()["items"] == []
    assert {p["runs"] for p in presets} == {None}, "nobody asked about a model"


def test_each_preset_says_whether_it_runs_with_a_model_and_why_not(still: httpx.Client, client: httpx.Client, settings: Settings) -> None:
    assert {p["runs"] for p in still.get("/presets?model=starter").json()["items"]} == {True}
    large = settings.data / "models" / "large"
    large.mkdir(parents=True)
    (large / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    told = {p["id"]: p for p in client.get("/presets?model=large").json()["items"]}
    assert told["cinematic_v1"]["runs"] is told["portrait_v1"]["runs"] is True
    quick = told["quick_sketch_v1"]
    assert quick["runs"] is False and "not made for models for FLUX.1" in quick["why_not"] and "SDXL" in quick["remedy"]
    assert client.get("/presets/quick_sketch_v1?model=large").json() == quick
    refused = client.post("/generate", json={"prompt": "a", "model": "large", "preset": "quick_sketch_v1"})
    assert refused.status_code == 422
    assert (refused.json()["error"]["field"], refused.json()["error"]["message"]) == ("preset", quick["why_not"])
    alone = still.post("/generate", json={"prompt": "a", "preset": "identity_lock_v1"}).json()["error"]
    assert alone["field"] == "preset" and "LoRA" in alone["remedy"]
    unknown = still.get("/presets?model=nobody")
    assert (unknown.status_code, unknown.json()["error"]["field"]) == (422, "model")
    assert (
        still.post("/compose", json={"prompt": "a", "preset": "cinematic_v1"}).json()["prompt"] == "a, dark blue background, cartoon style"
    )


def test_the_models_choices_are_listed(still: httpx.Client) -> None:
    assert still.get("/models").json()["items"][0]["id"] == "starter"
    assert still.get("/loras").json()["items"] == []


def test_ready_is_false_until_a_worker_runs(still: httpx.Client, working: Served) -> None:
    assert (still.get("/ready").status_code, still.get("/ready").json()) == (503, {"ok": False})
    with working.client() as client:
        wait_until(lambda: client.get("/ready").status_code == 200)
        health = client.get("/health").json()
    assert health["ok"] and health["worker"] == "running" and health["gpu_available"] in (True, False)


def test_the_manual_is_whole_and_needs_no_other_site(still: httpx.Client) -> None:
    root = str(still.base_url).removesuffix("/v1/")
    page = still.get(f"{root}/docs")
    openapi = still.get(f"{root}/openapi.json").json()

    assert page.status_code == 200
    assets = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(assets) == 3
    for asset in assets:
        assert "//" not in asset
        assert still.get(f"{root}/{asset}").status_code == 200
    assert "'openapi.json'" in page.text
    assert openapi["openapi"] == "3.0.3"
    assert '"null"' not in json.dumps(openapi), "3.0 says nullable"
    references = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(openapi)))
    assert references <= set(openapi["components"]["schemas"])
    assert not [name for name in openapi["components"]["schemas"] if "__" in name], "two contracts share a name"
    for path, item in openapi["paths"].items():
        for route in item.values():
            assert route["tags"] and route["summary"] and route["description"], path
            assert route["responses"]["422"]["content"]["application/json"]["schema"]["$ref"].endswith("/Refusal"), path


@pytest.mark.skipif(not (shutil.which("bash") and shutil.which("curl")), reason="the examples of the page are for bash and curl")
def test_every_example_of_the_page_runs(working: Served, tmp_path: Path) -> None:
    page = (HOME / "docs" / "api.md").read_text(encoding="utf-8")
    examples = "\n".join(re.findall(r"```sh\n(.*?)```", page, re.DOTALL))
    script = examples.replace("http://127.0.0.1:7860", working.url)
    with working.client() as client:
        wait_until(lambda: client.get("/ready").status_code == 200)

    done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=200)

    assert done.returncode == 0, done.stderr
    refusals = re.findall(r'"ok":false,"error":{"code":"(\w+)"', done.stdout)
    assert refusals == ["INVALID_FIELD_VALUE"], "one example shows an error, the others work"
    assert {path.suffix for path in tmp_path.iterdir()} == {".png", ".webp", ".zip", ".json"}


def test_the_api_imports_neither_torch_nor_gradio() -> None:
    code = "import sys, studio.api; print([name for name in ('torch', 'gradio', 'diffusers') if name in sys.modules])"

    assert subprocess.run([sys.executable, "-c", code], cwd=HOME, capture_output=True, text=True, check=True).stdout.strip() == "[]"
