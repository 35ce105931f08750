"""Workflows by the API and the command line: taking in one's own, what is refused, what needs consent. No server is needed."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from app import main as run
from app import open_studio
from studio.api import create_api
from studio.contracts import GenerateRequest, Inventory, ServerState
from studio.db import INVENTORY, engine_states
from studio.errors import ConsentMissing, InvalidFieldValue, LikenessError, MissingRequiredField, SafetyFilter
from studio.settings import load_settings
from studio.studio import Studio

GRAPH: dict[str, Any] = {
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "tiny_sd15.safetensors"}},
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a cat", "clip": ["4", 1]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry", "clip": ["4", 1]}},
    "3": {
        "class_type": "KSampler",
        "inputs": {
            "seed": 5,
            "steps": 2,
            "cfg": 7.0,
            "sampler_name": "res_multistep",
            "scheduler": "normal",
            "denoise": 1.0,
            "model": ["4", 0],
            "positive": ["6", 0],
            "negative": ["7", 0],
            "latent_image": ["5", 0],
        },
    },
    "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
    "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "mine", "images": ["8", 0]}},
}
NODES = tuple(sorted({node["class_type"] for node in GRAPH.values()} | {"LoadImage", "ImageBlend"}))


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Studio:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("LIKENESS_DATA", str(tmp_path / "data"))
    return open_studio(load_settings(tmp_path / "data"))


@pytest.fixture
def api(studio: Studio) -> Iterator[TestClient]:
    with TestClient(create_api(studio), base_url="http://127.0.0.1") as client:
        yield client


def seen(studio: Studio, **more: Any) -> None:
    """Write down what a worker would have seen on a server."""
    server = ServerState(url="http://127.0.0.1:8188", state="reachable", version="0.3.75")
    files = {"checkpoints": ("tiny_sd15.safetensors",), "samplers": ("euler", "res_multistep")}
    body = Inventory(servers=(server,), files=files, nodes=NODES).model_copy(update=more).model_dump_json()
    with studio.database.begin() as connection:
        connection.execute(sa.delete(engine_states).where(engine_states.c.name == f"{INVENTORY}comfyui"))
        connection.execute(sa.insert(engine_states).values(name=f"{INVENTORY}comfyui", body=body, updated_at=0.0))


def changed(**inputs: dict[str, Any]) -> dict[str, Any]:
    graph = json.loads(json.dumps(GRAPH))
    for name, more in inputs.items():
        graph[name.removeprefix("n")]["inputs"] |= more
    return graph


def with_pictures() -> dict[str, Any]:
    graph = changed()
    graph |= {
        "20": {"class_type": "LoadImage", "inputs": {"image": "one.png"}},
        "21": {"class_type": "LoadImage", "inputs": {"image": "two.png"}},
        "22": {
            "class_type": "ImageBlend",
            "inputs": {"image1": ["20", 0], "image2": ["21", 0], "blend_factor": 0.5, "blend_mode": "normal"},
        },
        "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "mine", "images": ["22", 0]}},
    }
    return graph


def data_of(graph: object) -> bytes:
    return json.dumps(graph).encode()


def sent(api: TestClient, data: bytes, choices: object = None, *, path: str = "workflows", name: str = "My cat.json") -> Any:
    form = {} if choices is None else {"choices": json.dumps(choices)}
    return api.post(f"/api/v1/{path}", files={"file": (name, data)}, data=form)


def png(**info: str) -> bytes:
    text = PngInfo()
    for key, value in info.items():
        text.add_text(key, value)
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "PNG", pnginfo=text)
    return out.getvalue()


def test_a_graph_is_inspected_taken_in_renamed_exported_deleted_and_brought_back(studio: Studio, api: TestClient) -> None:
    seen(studio)
    found = sent(api, data_of(GRAPH), path="workflows/inspect").json()
    assert (found["name"], found["missing_nodes"]) == ("My cat", [])
    inputs = {f"{each['node']}.{each['input']}": each for each in found["inputs"]}
    assert inputs["6.text"]["parameter"]["name"] == "prompt" and inputs["7.text"]["parameter"]["name"] == "negative_prompt"
    steps = inputs["3.steps"]["parameter"]
    assert (steps["type"], steps["default"], steps["minimum"], steps["maximum"]) == ("integer", 2, 1, 150)
    assert not studio.settings.data.joinpath("workflows").exists()

    expose = [{"node": "6", "input": "text"}, {"node": "3", "input": "steps", "label": "How long"}, {"node": "4", "input": "ckpt_name"}]
    kept = sent(api, data_of(GRAPH), {"name": "Oil cat", "expose": expose})
    assert kept.status_code == 201, kept.text
    assert kept.json()["id"] == "oil-cat" and kept.json()["own"] and kept.json()["runs"]
    parameters = {each["name"]: each for each in kept.json()["parameters"]}
    assert parameters["steps"]["label"] == "How long" and parameters["checkpoint"]["options"] == ["tiny_sd15.safetensors"]
    assert sent(api, data_of(GRAPH), {"name": "Oil cat"}).json()["id"] == "oil-cat-2"

    renamed = api.patch("/api/v1/workflows/oil-cat", json={"name": "Cat in oil", "labels": {"steps": "Steps"}}).json()
    assert renamed["name"] == "Cat in oil" and renamed["parameters"][1]["label"] == "Steps"
    assert api.patch("/api/v1/workflows/oil-cat", json={"labels": {"warp": "x"}}).json()["error"]["field"] == "labels"

    exported = api.get("/api/v1/workflows/oil-cat/export")
    assert "oil-cat.json" in exported.headers["content-disposition"]
    assert api.delete("/api/v1/workflows/oil-cat").json()["name"] == "Cat in oil"
    assert api.get("/api/v1/workflows/oil-cat").status_code == 404
    assert api.post("/api/v1/workflows/oil-cat/restore").json()["name"] == "Cat in oil"
    again = sent(api, exported.content, name="x.json").json()
    assert (again["id"], again["name"]) == ("oil-cat-3", "Cat in oil")


def test_the_list_says_what_runs_and_what_is_missing(studio: Studio, api: TestClient) -> None:
    before = api.get("/api/v1/workflows").json()["items"]
    assert len(before) > 20 and not any(each["runs"] for each in before)
    assert {each["lacks"][0]["kind"] for each in before} == {"server"}
    seen(studio)
    sent(api, data_of(GRAPH))
    first, *rest = api.get("/api/v1/workflows").json()["items"]
    assert (first["id"], first["runs"]) == ("my-cat", True)
    sdxl = next(each for each in rest if each["id"] == "sdxl_text_to_image")
    assert not sdxl["runs"] and "is not on this server" in sdxl["lacks"][0]["message"] and sdxl["lacks"][0]["remedy"]


def test_a_broken_one_of_somebody_s_own_hides_no_other(studio: Studio, api: TestClient) -> None:
    before = {flow["id"] for flow in api.get("/api/v1/workflows").json()["items"]}
    folder = studio.settings.data / "workflows" / "broken"
    folder.mkdir(parents=True)
    (folder / "manifest.yaml").write_text("id: [", encoding="utf-8")
    (folder / "graph.json").write_text("{", encoding="utf-8")
    assert {flow["id"] for flow in api.get("/api/v1/workflows").json()["items"]} == before


def test_a_png_that_carries_its_graph_is_taken_in(api: TestClient) -> None:
    assert sent(api, png(prompt=json.dumps(GRAPH)), name="cat.png").json()["id"] == "cat"


@pytest.mark.parametrize(
    ("data", "code", "says"),
    [
        (b"", "CONTRACT_MISMATCH", "not JSON"),
        (b"hello", "CONTRACT_MISMATCH", "not JSON"),
        (b"[1]", "CONTRACT_MISMATCH", "no workflow"),
        (b"{}", "CONTRACT_MISMATCH", "no nodes"),
        (b'{"nodes": [], "links": []}', "CONTRACT_MISMATCH", "as ComfyUI's page shows it"),
        (b'{"likeness_workflow": 1}', "CONTRACT_MISMATCH", "the file"),
        (png(), "CONTRACT_MISMATCH", "carries no workflow"),
        (b" " * (5 << 20), "FILE_TOO_LARGE", ""),
        (data_of(changed(n4={"ckpt_name": "../../etc/passwd"})), "INVALID_FIELD_VALUE", "outside ComfyUI's own folders"),
        (data_of(changed(n4={"ckpt_name": ["9", 0]})), "CONTRACT_MISMATCH", "in a circle"),
        (data_of(changed(n3={"model": ["99", 0]})), "INVALID_FIELD_VALUE", "which is not there"),
    ],
    ids=["empty", "words", "list", "nothing", "page form", "broken export", "bare png", "huge", "path", "circle", "loose link"],
)
@pytest.mark.parametrize("path", ["workflows", "workflows/inspect"])
def test_what_is_no_usable_graph_is_refused_in_words_and_nothing_is_kept(
    studio: Studio, api: TestClient, path: str, data: bytes, code: str, says: str
) -> None:
    answer = sent(api, data, path=path)
    error = answer.json()["error"]
    assert error["code"] == code and says in error["message"] and error["remedy"], error
    assert not studio.settings.data.joinpath("workflows").exists()


@pytest.mark.parametrize("choices", ["[]", "{", '{"expose": [{"node": "3"}]}', '{"warp": 1}', '{"expose": [{"node": "3", "input": "x"}]}'])
def test_choices_that_make_no_sense_are_refused(api: TestClient, choices: str) -> None:
    answer = api.post("/api/v1/workflows", files={"file": ("a.json", data_of(GRAPH))}, data={"choices": choices})
    assert answer.status_code in {404, 422} and answer.json()["error"]["remedy"]


@pytest.mark.parametrize(
    "kind",
    ["ReActorFaceSwap", "FaceSwapNode", "ComfyUI-Roop", "roop", "InstantSwap", "InSwapper", "Face Swap (Fast)", "SwapFace", "HeadSwap"],
)
def test_nodes_that_swap_faces_are_refused(api: TestClient, kind: str) -> None:
    graph = {**GRAPH, "10": {"class_type": kind, "inputs": {"image": ["8", 0]}}}
    for path in ("workflows", "workflows/inspect"):
        error = sent(api, data_of(graph), path=path).json()["error"]
        assert error["code"] == "SAFETY_FILTER" and "face" in error["message"]
    error = sent(api, data_of(changed(n9={"swap_model": "inswapper_128.onnx"}))).json()["error"]
    assert error["code"] == "SAFETY_FILTER"


def test_a_baked_text_is_refused_when_it_is_taken_in_and_again_when_pictures_are_asked_for(studio: Studio, api: TestClient) -> None:
    seen(studio)
    for expose in ([], [{"node": "6", "input": "text"}]):
        error = sent(api, data_of(changed(n6={"text": "nude child portrait"})), {"expose": expose}).json()["error"]
        assert error["code"] == "SAFETY_FILTER" and "A text in this workflow" in error["message"]
    assert sent(api, data_of(GRAPH), {"name": "cat", "expose": []}).status_code == 201
    # Whoever writes it into the folder by hand meets the rules too.
    file = studio.settings.data / "workflows" / "cat" / "graph.json"
    file.write_text(file.read_text().replace("a cat", "nude child portrait"))
    with pytest.raises(SafetyFilter):
        studio.generate(GenerateRequest(workflow="cat"))
    swap = {**GRAPH, "10": {"class_type": "ReActorFaceSwap", "inputs": {"image": ["8", 0]}}}
    file.write_text(json.dumps(swap))
    with pytest.raises(SafetyFilter, match="swaps faces"):
        studio.generate(GenerateRequest(workflow="cat"))


def test_a_negative_prompt_that_is_drawn_is_read(studio: Studio, api: TestClient) -> None:
    seen(studio)
    graph = changed()
    graph["6"]["inputs"]["text"] = "{{x}}"
    positive = [{"node": "6", "input": "text", "name": "negative_prompt"}]
    graph = changed()
    assert sent(api, data_of(graph), {"name": "turned", "expose": positive}).status_code == 201
    with pytest.raises(SafetyFilter):
        studio.generate(GenerateRequest(workflow="turned", negative_prompt="nude child portrait"))
    assert sent(api, data_of(graph), {"name": "right", "expose": [{"node": "7", "input": "text"}]}).status_code == 201
    assert studio.generate(GenerateRequest(workflow="right", negative_prompt="nude, child")).ok


def test_values_become_a_job_and_a_sampler_of_the_graph_s_own_stays(studio: Studio, api: TestClient) -> None:
    seen(studio)
    sent(api, data_of(GRAPH), {"name": "cat", "expose": [{"node": "3", "input": name} for name in ("sampler_name", "steps", "denoise")]})
    job = studio.job(studio.generate(GenerateRequest(workflow="cat", values={"denoise": 0.5})).job_id)
    assert job.recipe.engine == "comfyui" and job.recipe.model == "comfyui/checkpoints/tiny_sd15.safetensors"
    assert (job.recipe.workflow, job.recipe.steps) == ("cat", 2)
    assert job.recipe.values == {"denoise": 0.5, "sampler": "res_multistep"}
    for values, field in (({"warp": 1}, "warp"), ({"denoise": "x"}, "denoise"), ({"denoise": -1}, "denoise")):
        with pytest.raises(LikenessError) as refused:
            studio.generate(GenerateRequest(workflow="cat", values=values))
        assert refused.value.field == field
    with pytest.raises(InvalidFieldValue, match="takes no workflow"):
        studio.generate(GenerateRequest(prompt="x", model="starter", workflow="cat"))


def test_pictures_among_the_values_are_asked_about_like_any_other(studio: Studio, api: TestClient) -> None:
    seen(studio)
    expose = [{"node": "20", "input": "image", "name": "first"}, {"node": "21", "input": "image", "name": "second"}]
    assert sent(api, data_of(with_pictures()), {"name": "blend", "expose": expose}).status_code == 201
    one, two = (studio.upload(png(n=name)).id for name in "ab")
    both = {"first": one, "second": two}
    with pytest.raises(MissingRequiredField) as asked:
        studio.generate(GenerateRequest(workflow="blend", values=both))
    assert asked.value.field == "real_person"
    with pytest.raises(ConsentMissing):
        studio.generate(GenerateRequest(workflow="blend", values=both, real_person=True))
    with pytest.raises(InvalidFieldValue) as unknown:
        studio.generate(GenerateRequest(workflow="blend", values={"first": one, "second": "likeness/x.png"}, real_person=False))
    assert unknown.value.field == "second"
    with pytest.raises(MissingRequiredField) as empty:
        studio.generate(GenerateRequest(workflow="blend", values={"first": one}, real_person=False))
    assert empty.value.field == "second"
    job = studio.job(studio.generate(GenerateRequest(workflow="blend", values=both, real_person=False)).job_id)
    assert job.recipe.pictures == both and job.recipe.values == {}


def test_photos_of_two_people_are_never_put_together(studio: Studio, api: TestClient) -> None:
    from studio.contracts import CharacterFields, CharacterKind, Consent

    seen(studio)
    expose = [{"node": "20", "input": "image", "name": "first"}, {"node": "21", "input": "image", "name": "second"}]
    sent(api, data_of(with_pictures()), {"name": "blend", "expose": expose})
    photos = []
    for name in ("Mia", "Ben"):
        fields = CharacterFields(name=name, kind=CharacterKind.consented, consent=Consent(who=name, what_for="portraits"))
        slug = studio.create_character(fields).slug
        out = io.BytesIO()
        Image.effect_noise((300, 300), 50).convert("RGB").save(out, "PNG")
        photos.append(studio.add_photos(slug, [("a.png", out.getvalue())]).items[0].id)
    with pytest.raises(SafetyFilter, match="different people"):
        studio.generate(GenerateRequest(workflow="blend", values={"first": photos[0], "second": photos[1]}, real_person=True))


def test_a_shipped_workflow_can_be_exported_and_not_changed(api: TestClient) -> None:
    assert api.get("/api/v1/workflows/sd15_text_to_image/export").status_code == 200
    for answer in (
        api.patch("/api/v1/workflows/sd15_text_to_image", json={"name": "x"}),
        api.delete("/api/v1/workflows/sd15_text_to_image"),
    ):
        assert answer.json()["error"]["code"] == "CONFLICT"


def test_the_command_line_does_the_same(studio: Studio, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(*words: str) -> Any:
        status = run([*words, "--json"])
        return status, json.loads(capsys.readouterr().out)

    seen(studio)
    file = tmp_path / "my_cat.json"
    file.write_bytes(data_of(GRAPH))
    assert "3.steps" in {f"{each['node']}.{each['input']}" for each in said("workflows", "inspect", str(file))[1]["inputs"]}
    status, kept = said("workflows", "import", str(file), "--name", "Cat", "--expose", "3.steps=How long", "--expose", "6.text")
    assert (status, kept["id"], kept["parameters"][0]["label"]) == (0, "cat", "How long")
    assert said("workflows", "list")[1]["items"][0]["id"] == "cat"
    assert said("workflows", "edit", "cat", "--name", "Tom", "--label", "steps=Steps")[1]["name"] == "Tom"
    assert said("workflows", "export", "cat", "--out", str(tmp_path / "out.json"))[0] == 0
    assert json.loads((tmp_path / "out.json").read_text())["name"] == "Tom"
    assert said("workflows", "delete", "cat")[0] == 0 and said("workflows", "show", "cat")[0] == 1
    assert said("workflows", "restore", "cat")[1]["name"] == "Tom"
    status, job = said("generate", "a dog", "--workflow", "cat", "--set", "steps=3", "--no-wait")
    assert status == 0
    made = studio.job(job["job_id"])
    assert (made.recipe.workflow, made.recipe.values) == ("cat", {"steps": 3})
    assert said("generate", "a dog", "--workflow", "cat", "--set", "warp=3", "--no-wait")[1]["error"]["field"] == "set"
