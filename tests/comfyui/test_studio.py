"""The whole studio with a real ComfyUI: requests by the API, pictures in the library, crashes of either side in between."""

from __future__ import annotations

import io
import json
import os
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from comfyui.server import Server
from PIL import Image

from bench.rig import Running, running_studio, wait_until

CHECKPOINT = "comfyui/checkpoints/tiny_sd15.safetensors"
QUICK = {"engine": "comfyui", "model": CHECKPOINT, "prompt": "a cat", "width": 64, "height": 64, "steps": 2, "seed": 5}


@contextmanager
def studio_on(data: Path, *servers: Server) -> Iterator[Running]:
    before = os.environ.get("COMFYUI_URL")
    os.environ["COMFYUI_URL"] = ",".join(server.url for server in servers)
    try:
        with running_studio(data) as running:
            wait_until(lambda: CHECKPOINT in names(running), 240, "the server's models were not seen")
            yield running
    finally:
        os.environ.pop("COMFYUI_URL")
        if before is not None:
            os.environ["COMFYUI_URL"] = before


@pytest.fixture(scope="module")
def studio(comfy: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with studio_on(tmp_path_factory.mktemp("with-comfyui") / "data", comfy) as running:
        yield running


def test_the_servers_and_their_models_are_seen(studio: Running, comfy: Server) -> None:
    health: Any = studio.get("health")
    state = next(engine for engine in health["engines"] if engine["name"] == "comfyui")
    assert state["state"] == "ready" and comfy.url in state["note"]
    models: Any = studio.get("models")
    spec = next(model for model in models["items"] if model["id"] == CHECKPOINT)
    assert (spec["family"], spec["engine"], spec["width"], spec["side_step"]) == ("sd15", "comfyui", 512, 8)
    loras: Any = studio.get("loras")
    assert "tiny_lora.safetensors" in {lora["path"] for lora in loras["items"] if lora["engine"] == "comfyui"}


def test_words_become_pictures_each_of_its_own_seed(studio: Running) -> None:
    items = made(studio, **QUICK, count=2, loras=[{"path": "tiny_lora", "strength": 0.5}])
    assert [item["seed"] for item in items] == [5, 6]
    assert items[0]["recipe"]["workflow"] == "sd15_text_to_image"
    assert len(items[0]["model_hash"]) == 64 and list(items[0]["lora_hashes"]) == ["tiny_lora.safetensors"]
    with urllib.request.urlopen(f"{studio.url}/api/v1/images/{items[0]['id']}/file") as answer:
        graph = json.loads(Image.open(io.BytesIO(answer.read())).text["prompt"])  # pyright: ignore[reportAttributeAccessIssue]  # of a PNG
    assert {node["class_type"] for node in graph.values()} >= {"KSampler", "LoraLoader"}, "ComfyUI opens the picture as its workflow"
    assert items[0]["recipe"]["loras"] == [{"path": "tiny_lora.safetensors", "strength": 0.5}]
    second = made(studio, **{**QUICK, "seed": 6}, loras=[{"path": "tiny_lora"}])[0]
    assert not np.array_equal(pixels(studio, items[1]), pixels(studio, second)), "the LoRA's strength counts"
    again = made(studio, **{**QUICK, "seed": 6}, loras=[{"path": "tiny_lora", "strength": 0.5}])[0]
    assert np.array_equal(pixels(studio, items[1]), pixels(studio, again)), "the same seed and settings give the same picture"


def test_a_picture_is_the_start_of_another(studio: Running) -> None:
    source = made(studio, **QUICK)[0]
    result = made(studio, **{**QUICK, "seed": 9}, image=source["id"], denoise=0.5)[0]
    assert result["recipe"]["workflow"] == "sd15_image_to_image"
    assert not np.array_equal(pixels(studio, source), pixels(studio, result))


def test_a_picture_is_enlarged_as_a_whole_and_drawn_again_with_more_detail(studio: Running) -> None:
    source = made(studio, **{**QUICK, "height": 96})[0]
    # Its own size says nothing to the upscaler: nothing of the picture is cut off.
    by_model = made(studio, workflow="upscale_by_model", values={"upscale_model": "tiny_esrgan_2x.safetensors"}, image=source["id"])[0]
    assert (by_model["width"], by_model["height"]) == (128, 192)
    for by, size in (("4x", (256, 384)), ("detail", (96, 144))):
        answer: Any = studio.post("images/enlarge", {"ids": [source["id"]], "by": by})
        wait_until(lambda each=answer["job_id"]: job(studio, each)["state"] == "done", 90, "it was not enlarged")
        (larger,) = artifacts(studio, answer["job_id"])
        assert (larger["width"], larger["height"]) == size
        assert (larger["recipe"]["parent"], larger["seed"]) == (source["id"], source["seed"])


def test_what_a_mask_keeps_stays_bit_for_bit_also_in_a_large_picture(studio: Running) -> None:
    noise = Image.effect_noise((900, 700), 60).convert("RGB")
    mask = Image.new("L", noise.size, 0)
    mask.paste(255, (200, 150, 300, 260))
    source, painted = uploaded(studio, noise), uploaded(studio, mask)
    result = made(studio, **{**QUICK, "width": None, "height": None}, image=source, mask=painted, real_person=False)[0]
    assert (result["width"], result["height"]) == (900, 700)
    assert result["recipe"]["workflow"] == "sd15_inpaint"
    before, after = np.asarray(noise), pixels(studio, result)
    kept = np.asarray(mask) == 0
    assert np.array_equal(before[kept], after[kept])
    assert not np.array_equal(before[~kept], after[~kept])


def test_clothes_are_changed_under_a_mask_and_all_else_stays_as_it_is(studio: Running) -> None:
    person = Image.effect_noise((128, 192), 60).convert("RGB")
    mask = Image.new("L", person.size, 0)
    mask.paste(255, (32, 96, 96, 192))
    source, clothes = uploaded(studio, person), uploaded(studio, mask)
    ask = {**QUICK, "width": None, "height": None, "prompt": "a red wool coat", "workflow": "sd15_change_clothes", "real_person": False}
    result = made(studio, **ask, image=source, mask=clothes)[0]
    assert (result["width"], result["height"], result["recipe"]["workflow"]) == (128, 192, "sd15_change_clothes")
    before, after = np.asarray(person), pixels(studio, result)
    kept = np.asarray(mask) == 0
    assert np.array_equal(before[kept], after[kept])
    assert not np.array_equal(before[~kept], after[~kept])
    # Without the mask it says what it wants, and no job is made.
    error = refused(studio, {**ask, "image": source})
    assert error["field"] == "mask" and "Old clothes" in error["message"] and error["remedy"]


@pytest.mark.parametrize(
    ("change", "field", "says"),
    [
        ({"model": "comfyui/checkpoints/nobody.safetensors"}, "model", "There is no model"),
        ({"loras": [{"path": "nobody"}]}, "loras", "tiny_lora.safetensors"),
        ({"workflow": "nobody"}, "workflow", "There is no workflow"),
        ({"workflow": "sdxl_photomaker"}, "image", "starts from a picture"),
        ({"workflow": "flux1_schnell_text_to_image"}, "model", "is not on this server"),
        ({"values": {"warp": 9}}, "warp", "has nothing called"),
        ({"width": 65}, "width", "65"),
        ({"engine": "embedded"}, "engine", "can't run"),
    ],
)
def test_what_the_server_lacks_is_told_before_a_job_is_made(studio: Running, change: dict[str, Any], field: str, says: str) -> None:
    before: Any = studio.get("jobs?limit=1")
    error = refused(studio, {**QUICK, **change})
    assert error["field"] == field and says in error["message"] and error["remedy"]
    assert studio.get("jobs?limit=1") == before


def test_a_forbidden_text_in_a_workflow_s_own_values_is_refused(studio: Running) -> None:
    error = refused(studio, {**QUICK, "values": {"filename_prefix": "nude child portrait"}})
    assert error["code"] == "SAFETY_FILTER"


def test_a_job_can_be_cancelled_while_it_waits_and_while_it_runs(studio: Running, comfy: Server) -> None:
    slow = {**QUICK, "steps": 150, "width": 192, "height": 192}
    jobs = [submitted(studio, slow | {"seed": seed}) for seed in range(3)]
    # Two are sent at once, and either may come first on the server.
    wait_until(lambda: any(job(studio, each)["step"] > 0 for each in jobs), 240, "no job started")
    assert job(studio, jobs[2])["state"] == "queued", "two places on one server"
    for each in (jobs[2], jobs[1], jobs[0]):
        studio.post(f"jobs/{each}/cancel", {})
    wait_until(lambda: all(job(studio, each)["state"] == "cancelled" for each in jobs), 240, "they were not cancelled")
    wait_until(lambda: queue_of(comfy) == 0, 240, "the server still works")


def test_a_killed_worker_finds_its_job_again_and_it_is_done_once(studio: Running, comfy: Server) -> None:
    each = submitted(studio, {**QUICK, "steps": 60, "width": 96, "height": 96, "seed": 77})
    wait_until(lambda: job(studio, each)["step"] > 0, 240, "the job did not start")
    os.kill(worker_of(studio), signal.SIGKILL)
    wait_until(lambda: job(studio, each)["state"] == "done", 240, "the job was not taken up again")
    assert len(artifacts(studio, each)) == 1
    assert len(list(comfy.output.glob(f"likeness/*/{each}-*"))) == 1, "the server drew it once"


def test_a_killed_server_gets_its_job_again(tmp_path: Path, mortal_comfy: Server) -> None:
    with studio_on(tmp_path / "data", mortal_comfy) as studio:
        each = submitted(studio, {**QUICK, "steps": 60, "width": 96, "height": 96})
        wait_until(lambda: job(studio, each)["step"] > 0, 240, "the job did not start")
        mortal_comfy.kill()
        mortal_comfy.start()
        wait_until(lambda: job(studio, each)["state"] == "done", 240, "the job was not finished")
        assert len(artifacts(studio, each)) == 1


def test_a_server_that_goes_away_hands_its_jobs_to_the_other(tmp_path: Path, comfy: Server, mortal_comfy: Server) -> None:
    with studio_on(tmp_path / "data", mortal_comfy, comfy) as studio:
        wait_until(lambda: "," in note(studio), 240, "one server was not seen")
        jobs = [submitted(studio, {**QUICK, "steps": 60, "width": 96, "height": 96, "seed": seed}) for seed in range(4)]
        # On a slow machine the first may be done before the last has begun.
        wait_until(lambda: all(job(studio, each)["state"] != "queued" for each in jobs), 240, "two servers take four jobs")
        mortal_comfy.kill()
        wait_until(lambda: all(job(studio, each)["state"] == "done" for each in jobs), 240, "the other server did not finish them")
        assert [len(artifacts(studio, each)) for each in jobs] == [1, 1, 1, 1]


def names(studio: Running) -> set[str]:
    models: Any = studio.get("models")
    return {model["id"] for model in models["items"]}


def note(studio: Running) -> str:
    health: Any = studio.get("health")
    return next((engine["note"] for engine in health["engines"] if engine["name"] == "comfyui"), "")


def submitted(studio: Running, request: dict[str, Any]) -> str:
    try:
        answer: Any = studio.post("generate", request)
    except urllib.error.HTTPError as error:
        raise AssertionError(error.read().decode()) from error
    return answer["job_id"]


def made(studio: Running, **request: Any) -> list[dict[str, Any]]:
    each = submitted(studio, request)
    wait_until(lambda: job(studio, each)["state"] not in {"queued", "running"}, 240, "the job did not end")
    ended = job(studio, each)
    assert ended["state"] == "done", ended["error"]
    return artifacts(studio, each)


def refused(studio: Running, request: dict[str, Any]) -> dict[str, Any]:
    with pytest.raises(urllib.error.HTTPError) as caught:
        studio.post("generate", request)
    return json.load(caught.value)["error"]


def job(studio: Running, job_id: str) -> dict[str, Any]:
    found: Any = studio.get(f"jobs/{job_id}")
    return found


def artifacts(studio: Running, job_id: str) -> list[dict[str, Any]]:
    found: Any = studio.get(f"jobs/{job_id}/artifacts")
    return found["items"]


def pixels(studio: Running, picture: dict[str, Any]) -> np.ndarray[Any, Any]:
    with urllib.request.urlopen(f"{studio.url}/api/v1/images/{picture['id']}/file") as answer:
        return np.asarray(Image.open(io.BytesIO(answer.read())).convert("RGB"))


def uploaded(studio: Running, image: Image.Image) -> str:
    import base64

    data = io.BytesIO()
    image.save(data, "PNG")
    answer: Any = studio.post("images", {"data": base64.b64encode(data.getvalue()).decode(), "name": "upload.png"})
    return answer["id"]


def queue_of(server: Server) -> int:
    with urllib.request.urlopen(f"{server.url}/queue") as answer:
        said = json.load(answer)
    return len(said["queue_running"]) + len(said["queue_pending"])


def worker_of(studio: Running) -> int:
    for child in psutil.Process(studio.pid).children(recursive=True):
        if "worker" in child.cmdline():
            return child.pid
    raise AssertionError("there is no worker")
