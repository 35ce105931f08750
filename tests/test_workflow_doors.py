"""Workflows by the API and the command line: taking in one's own, what is refused, what needs consent. No server is needed."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from app import HOME, open_studio
from app import main as run
from studio.api import create_api
from studio.contracts import CharacterFields, CharacterKind, Consent, GenerateRequest, Inventory, ServerState
from studio.db import INVENTORY, engine_states
from studio.errors import ConsentMissing, DependencyMissing, InvalidFieldValue, LikenessError, MissingRequiredField, SafetyFilter
from studio.graphs import read_api_graph, variables
from studio.node_files import KEPT, NodeFiles, node_files
from studio.remote import WorkflowShelf
from studio.safety_nodes import faces_of
from studio.settings import load_settings
from studio.studio import Studio
from studio.workflows import ParameterType

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


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """The API of a studio that several tests share: what they send is refused, and keeps nothing."""
    data = tmp_path_factory.mktemp("still") / "data"
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DATABASE_URL", raising=False)
        with TestClient(create_api(open_studio(load_settings(data))), base_url="http://127.0.0.1") as client:
            yield client
            assert not (data / "workflows").exists()


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


@pytest.mark.parametrize("kind", ["WEBP", "JPEG"])
@pytest.mark.parametrize("comment", [False, True], ids=["camera", "comment"])
def test_other_pictures_carry_their_graph_in_exif(api: TestClient, kind: str, comment: bool) -> None:
    exif, said = Image.Exif(), "prompt:" + json.dumps(GRAPH)
    if comment:
        exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + said.encode("utf-16")
    else:
        exif[0x010F], exif[0x0110] = "workflow:{}", said
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, kind, exif=exif)
    assert sent(api, out.getvalue(), name="cat.webp").json()["id"] == "cat"


@pytest.mark.parametrize("kind", ["WEBP", "JPEG"])
def test_a_picture_without_one_or_a_broken_one_says_so(still: TestClient, kind: str) -> None:
    out = io.BytesIO()
    Image.new("RGB", (64, 64)).save(out, kind)
    assert "carries no workflow" in sent(still, out.getvalue()).json()["error"]["message"]
    assert sent(still, out.getvalue()[:40]).json()["error"]["code"] == "CONTRACT_MISMATCH"


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("SaveWEBM", "makes videos, and no picture"),
        ("SaveAudioMP3", "makes sound"),
        ("PreviewAny", "makes text"),
        ("VHS_VideoCombine", "videos"),
    ],
)
@pytest.mark.parametrize("path", ["workflows", "workflows/inspect"])
def test_a_graph_that_makes_no_picture_is_refused_before_it_runs(studio: Studio, api: TestClient, kind: str, says: str, path: str) -> None:
    seen(studio)
    graph = {**GRAPH, "9": {"class_type": kind, "inputs": {"images": ["8", 0], "filename_prefix": "mine"}}}
    error = sent(api, data_of(graph), path=path).json()["error"]
    assert error["code"] == "CONTRACT_MISMATCH" and says in error["message"] and "Save Image" in error["remedy"]
    # A picture beside it is enough, and what nobody knows may save one.
    beside = {**graph, "10": GRAPH["9"]}
    unknown = {**GRAPH, "9": {"class_type": "FancySave", "inputs": {"images": ["8", 0]}}}
    for fine in (beside, unknown):
        assert sent(api, data_of(fine), path=path).status_code in (200, 201)


def test_a_graph_whose_last_known_node_saves_nothing_is_refused(studio: Studio, api: TestClient) -> None:
    seen(studio)
    told(studio, json.loads((HOME / "tests" / "comfyui" / "data" / "object_info_full.json").read_text()))
    graph = {node_id: node for node_id, node in GRAPH.items() if node_id != "9"}
    assert "saves a picture" in sent(api, data_of(graph)).json()["error"]["message"]


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
    still: TestClient, path: str, data: bytes, code: str, says: str
) -> None:
    answer = sent(still, data, path=path)
    error = answer.json()["error"]
    assert error["code"] == code and says in error["message"] and error["remedy"], error


@pytest.mark.parametrize("choices", ["[]", "{", '{"expose": [{"node": "3"}]}', '{"warp": 1}', '{"expose": [{"node": "3", "input": "x"}]}'])
def test_choices_that_make_no_sense_are_refused(still: TestClient, choices: str) -> None:
    answer = still.post("/api/v1/workflows", files={"file": ("a.json", data_of(GRAPH))}, data={"choices": choices})
    assert answer.status_code in {404, 422} and answer.json()["error"]["remedy"]


@pytest.mark.parametrize(
    "kind",
    [
        "ReActorFaceSwap",
        "FaceSwapNode",
        "ComfyUI-Roop",
        "roop",
        "InstantSwap",
        "InSwapper",
        "Face Swap (Fast)",
        "SwapFace",
        "HeadSwap",
        "LivePortraitProcess",
    ],
)
def test_nodes_that_swap_faces_are_refused(still: TestClient, kind: str) -> None:
    graph = {**GRAPH, "10": {"class_type": kind, "inputs": {"image": ["8", 0]}}}
    for path in ("workflows", "workflows/inspect"):
        error = sent(still, data_of(graph), path=path).json()["error"]
        assert error["code"] == "SAFETY_FILTER" and "face" in error["message"]
    error = sent(still, data_of(changed(n9={"swap_model": "inswapper_128.onnx"}))).json()["error"]
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


def test_samplers_are_those_of_the_server_and_no_others(studio: Studio, api: TestClient) -> None:
    def offered(**asked: str) -> tuple[list[str], list[str]]:
        said = api.get("/api/v1/samplers", params=asked).raise_for_status().json()
        return [one["id"] for one in said["samplers"]], [one["id"] for one in said["schedulers"]]

    embedded = offered()
    assert "dpmpp_2m" in embedded[0] and "karras" in embedded[1] and "res_multistep" not in embedded[0]
    files = {
        "checkpoints": ("tiny_sd15.safetensors",),
        "diffusion_models": ("flux1-dev.safetensors",),
        "samplers": ("euler", "euler_ancestral", "res_multistep"),
        "schedulers": ("normal", "simple", "ddim_uniform"),
    }
    seen(studio, files=files)
    model, flux = "comfyui/checkpoints/tiny_sd15.safetensors", "comfyui/diffusion_models/flux1-dev.safetensors"
    assert offered(model=model) == (["euler", "euler_a", "res_multistep"], ["normal", "simple", "ddim_uniform"])
    assert offered(model=flux)[1] == ["normal", "ddim_uniform"], "there “normal” is ComfyUI's “simple”"
    assert offered(workflow="upscale_by_model") == ([], []), "nothing is sampled there"
    assert api.get("/api/v1/samplers", params={"model": "none"}).json()["error"]["field"] == "model"

    def made(**more: Any) -> Any:
        return studio.job(studio.generate(GenerateRequest(prompt="a cat", **{"model": model, **more})).job_id).recipe

    recipe = made(sampler="res_multistep", scheduler="ddim_uniform")
    assert (recipe.sampler, recipe.scheduler) == ("res_multistep", "ddim_uniform")
    assert made(sampler="euler_ancestral", scheduler="simple").sampler == "euler_a", "one sampler has one name here"
    for wrong, field in (("ddim", "sampler"), ("exponential", "scheduler")):
        with pytest.raises(InvalidFieldValue, match="on the ComfyUI server") as refused:
            made(**{"sampler": "euler", "scheduler": "normal", field: wrong})
        assert refused.value.field == field and "Choose one of" in refused.value.remedy
    with pytest.raises(InvalidFieldValue, match="There is no sampler called “res_multistep”"):
        made(model="starter", sampler="res_multistep")


def test_what_is_said_of_a_workflow_s_steps_stands_in_the_recipe(studio: Studio, api: TestClient) -> None:
    seen(studio)
    names = ("sampler_name", "steps", "cfg", "denoise")
    chosen: list[dict[str, Any]] = [{"node": "3", "input": name, "label": f"My {name}"} for name in names]
    chosen[1]["maximum"] = 1000
    sent(api, data_of(GRAPH), {"name": "cat", "expose": chosen})
    said = {"steps": 7, "cfg": 3.5, "sampler": "euler", "denoise": 0.5}
    recipe = studio.job(studio.generate(GenerateRequest(workflow="cat", values=said)).job_id).recipe
    assert (recipe.steps, recipe.cfg, recipe.sampler, recipe.values) == (7, 3.5, "euler", {"denoise": 0.5})
    # More than a picture of ours may have is between the person and the server.
    recipe = studio.job(studio.generate(GenerateRequest(workflow="cat", values={"steps": 500})).job_id).recipe
    assert recipe.values["steps"] == 500
    with pytest.raises(InvalidFieldValue) as refused:
        studio.generate(GenerateRequest(workflow="cat", values={"sampler": "dreamy"}))
    assert refused.value.field == "sampler"


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
    alone = api.get("/api/v1/workflows/sd15_text_to_image/export?format=api")
    assert "sd15_text_to_image-comfyui.json" in alone.headers["content-disposition"]
    assert not variables(read_api_graph(alone.content)), "every variable has its default"
    assert api.get("/api/v1/workflows/sd15_text_to_image/export?format=yaml").status_code == 422
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
    assert said("workflows", "export", "cat", "--out", str(tmp_path / "api.json"), "--format", "api")[0] == 0
    assert json.loads((tmp_path / "api.json").read_text()) == GRAPH, "what was taken in comes out as it was"
    assert said("workflows", "delete", "cat")[0] == 0 and said("workflows", "show", "cat")[0] == 1
    assert said("workflows", "restore", "cat")[1]["name"] == "Tom"
    status, job = said("generate", "a dog", "--workflow", "cat", "--set", "steps=3", "--no-wait")
    assert status == 0
    made = studio.job(job["job_id"])
    assert (made.recipe.workflow, made.recipe.steps) == ("cat", 3)
    assert said("generate", "a dog", "--workflow", "cat", "--set", "warp=3", "--no-wait")[1]["error"]["field"] == "set"


# What the servers' own nodes say


def told(studio: Studio, said: object) -> None:
    """Write down what a worker would have kept of a server's nodes."""
    content = said if isinstance(said, bytes) else json.dumps(said).encode()
    node_files(studio.settings.data).keep("http://127.0.0.1:8188", content)


def inspected(api: TestClient, graph: object) -> dict[str, dict[str, Any]]:
    found = sent(api, data_of(graph), path="workflows/inspect").json()["inputs"]
    return {f"{each['node']}.{each['input']}": each["parameter"] for each in found}


def test_an_import_knows_ranges_choices_and_help_of_the_server_s_own_nodes(studio: Studio, api: TestClient) -> None:
    graph = changed(n3={"steps": 200})
    graph["20"] = {"class_type": "SetUnionControlNetType", "inputs": {"control_net": ["4", 0], "type": "auto"}}
    graph["21"] = {
        "class_type": "ImageScale",
        "inputs": {"image": ["8", 0], "upscale_method": "area", "width": 64, "height": 64, "crop": "disabled"},
    }
    seen(studio)
    guessed = inspected(api, graph)
    assert (guessed["3.steps"]["minimum"], guessed["20.type"]["type"], guessed["21.crop"]["type"]) == (None, "text", "text")

    recorded = json.loads((HOME / "tests" / "comfyui" / "data" / "object_info_full.json").read_text())
    told(studio, recorded)
    known = inspected(api, graph)
    assert (known["3.steps"]["minimum"], known["3.steps"]["maximum"]) == (1, 10000)
    assert "denoising" in known["3.steps"]["tooltip"]
    assert (known["3.denoise"]["type"], known["3.denoise"]["step"]) == ("number", 0.01)
    # Lists have two shapes.
    assert known["20.type"]["choices"][:3] == ["auto", "openpose", "depth"]
    assert known["21.upscale_method"]["choices"] == recorded["ImageScale"]["input"]["required"]["upscale_method"][0]
    assert known["3.sampler_name"]["type"] == "choice" and known["3.sampler_name"]["choices"] == [], "what samplers there are is asked anew"

    kept = sent(api, data_of(graph), {"name": "known", "expose": [{"node": "3", "input": "steps"}, {"node": "21", "input": "crop"}]}).json()
    parameters = {each["name"]: each for each in kept["parameters"]}
    assert parameters["steps"]["maximum"] == 10000 and parameters["crop"]["options"] == ["disabled", "center"]


def test_a_server_that_talks_nonsense_of_its_nodes_is_guessed_around(studio: Studio, api: TestClient) -> None:
    seen(studio)
    upside_down = {"min": 9, "max": 1, "step": -2, "tooltip": "a\0b\n" * 4000}
    for said in (
        b"<html>",
        b"[1]",
        b"[" * 100_000,
        {"KSampler": 3},
        {"KSampler": {"input": {"required": {"steps": ["INT", upside_down]}}}},
        {"KSampler": {"input": {"required": {"steps": [[str(number) for number in range(5000)]]}}}},
    ):
        told(studio, said)
        steps = inspected(api, GRAPH)["3.steps"]
        assert steps["default"] == 2 and steps["choices"] == [] and len(steps["tooltip"]) <= 500
        assert sent(api, data_of(GRAPH), {"name": "cat"}).status_code == 201


def test_what_is_kept_of_servers_is_one_file_each_and_not_for_ever(tmp_path: Path) -> None:
    kept = NodeFiles(tmp_path / "nodes")
    for number in range(KEPT + 3):
        kept.keep(f"http://pod-{number}", json.dumps({f"Node{number}": {"input": {}}}).encode())
        os.utime(next(path for path in (tmp_path / "nodes").iterdir() if f"Node{number}" in path.read_text()), (number, number))
    assert len(list((tmp_path / "nodes").iterdir())) == KEPT
    last = f"Node{KEPT + 2}"
    assert last in kept.nodes([f"http://pod-{KEPT + 2}"], [last]) and "Node0" not in kept.nodes(["http://pod-0"], ["Node0"])
    two = (
        {"A": {"input": {"required": {"x": ["INT", {"max": 1}]}}}},
        {"A": {"input": {"required": {"x": ["INT", {"max": 2}]}}}, "B": {"input": {}}},
    )
    for number, said in enumerate(two):
        kept.keep(f"http://{number}", json.dumps(said).encode())
    nodes = kept.nodes(["http://0", "http://1"], ["A", "B", "C"])
    first = nodes.get("A")
    assert first and first.inputs["x"].maximum == 1 and "B" in nodes and "C" not in nodes
    (tmp_path / "file").write_text("")
    NodeFiles(tmp_path / "file").keep("http://full", b"{}")


def test_the_list_of_a_loader_that_nobody_knows_is_asked_by_its_name(studio: Studio, api: TestClient) -> None:
    seen(studio)
    graph = changed()
    graph["20"] = {"class_type": "OddLoader", "inputs": {"odd_file": "one.safetensors"}}
    graph["9"]["inputs"]["odd"] = ["20", 0]
    expose = [{"node": "20", "input": "odd_file"}]
    kept = sent(api, data_of(graph), {"name": "odd", "expose": expose}).json()
    assert [lack["kind"] for lack in kept["lacks"]] == ["node"], "nobody was asked for its files yet"
    files = {"checkpoints": ("tiny_sd15.safetensors",), "OddLoader.odd_file": ("two.safetensors",)}
    seen(studio, nodes=(*NODES, "OddLoader"), files=files)
    view = api.get("/api/v1/workflows/odd").json()
    assert view["parameters"][0]["options"] == ["two.safetensors"]
    assert "There are: two.safetensors" in view["lacks"][0]["message"] and "models/" not in view["lacks"][0]["remedy"]
    seen(studio, nodes=(*NODES, "OddLoader"), files=files | {"OddLoader.odd_file": ("one.safetensors",)})
    assert api.get("/api/v1/workflows/odd").json()["runs"]


# What is missing


def test_a_preset_s_own_needs_name_the_pack_its_commit_and_what_is_there(studio: Studio, api: TestClient, tmp_path: Path) -> None:
    folder = tmp_path / "presets"
    folder.mkdir()
    needs = {
        "detail": "nodes: [FaceDetailer]",
        "odd": "nodes: [OddNode], link: 'https://example.org/odd'",
        "film": "models: [loras/film.safetensors]",
        "have": "nodes: [KSampler], models: [checkpoints/tiny_sd15.safetensors]",
        "both": "nodes: [OddNode], models: [loras/film.safetensors]",
    }
    for name, said in needs.items():
        about = f"id: {name}_v1\nname: {name}\ncategory: style\ntooltip: x\nengines: any\nfamilies: any\nneeds: {{{said}}}\n"
        (folder / f"{name}.yaml").write_text(about)
    studio.preset_shelf.folder = folder
    seen(studio, files={"checkpoints": ("tiny_sd15.safetensors",), "loras": ("one.safetensors", "two.safetensors")})
    model = "comfyui/checkpoints/tiny_sd15.safetensors"

    def refused(preset: str) -> LikenessError:
        with pytest.raises(DependencyMissing) as caught:
            studio.generate(GenerateRequest(prompt="a cat", preset=f"{preset}_v1", model=model))
        choice = next(each for each in api.get("/api/v1/presets", params={"model": model}).json()["items"] if each["id"] == f"{preset}_v1")
        assert (choice["runs"], choice["why_not"], choice["remedy"]) == (False, caught.value.message, caught.value.remedy)
        assert caught.value.field == "preset"
        return caught.value

    told = {each["id"]: each for each in api.get("/api/v1/presets", params={"model": model}).json()["items"]}["both_v1"]
    assert "OddNode" in told["why_not"] and "film.safetensors" in told["why_not"], "everything that is missing is said at once"
    detail = refused("detail")
    assert "Install the node pack ComfyUI Impact Pack (commit 727295b)" in detail.message and "“FaceDetailer”" in detail.message
    assert detail.remedy == "Install https://github.com/ltdrdata/ComfyUI-Impact-Pack at commit 727295b52e5f7b5429e81ca2179172865aa83b99."
    odd = refused("odd")
    assert "“OddNode”" in odd.message and "https://example.org/odd" in odd.remedy
    film = refused("film")
    assert "“film.safetensors”, which is not on the ComfyUI server. There are: one.safetensors, two.safetensors." in film.message
    assert "models/loras" in film.remedy
    assert studio.generate(GenerateRequest(prompt="a cat", preset="have_v1", model=model)).ok


def test_a_graph_of_one_s_own_is_told_the_packs_that_are_known(studio: Studio, api: TestClient) -> None:
    seen(studio)
    graph = changed()
    graph["30"] = {"class_type": "FaceRestoreModelLoader", "inputs": {"model_name": "GFPGANv1.4.pth"}}
    graph["31"] = {"class_type": "FaceRestoreCFWithModel", "inputs": {"facerestore_model": ["30", 0], "image": ["8", 0]}}
    graph["32"] = {"class_type": "NobodyKnows", "inputs": {"image": ["31", 0]}}
    found = sent(api, data_of(graph), path="workflows/inspect").json()
    (lack,) = found["missing_packs"]
    assert sorted(lack["nodes"]) == ["FaceRestoreCFWithModel", "FaceRestoreModelLoader"] and "facerestore_cf" in lack["url"]
    assert found["missing_nodes"] == ["FaceRestoreCFWithModel", "FaceRestoreModelLoader", "NobodyKnows"]
    kept = sent(api, data_of(graph), {"name": "mend", "expose": []}).json()
    assert [lack["message"].partition(" (")[0] for lack in kept["lacks"]] == [
        "This server has no node “NobodyKnows”.",
        "Install the node pack Facerestore CF",
    ]
    assert [pack["name"] for pack in kept["packs"]] == ["Facerestore CF"]


# Whose face


def face_graph(kind: str = "ApplyPulid", *, into: str | None = None) -> dict[str, Any]:
    """A face from node 20's picture, drawn from words, or into node 21's picture by one of several ways."""
    graph = changed(n3={"model": ["30", 0]})
    graph["20"] = {"class_type": "LoadImage", "inputs": {"image": "me.png"}}
    graph["29"] = {"class_type": "PulidModelLoader", "inputs": {"pulid_file": "pulid.safetensors"}}
    graph["30"] = {"class_type": kind, "inputs": {"model": ["4", 0], "pulid": ["29", 0], "image": ["20", 0], "weight": 0.8}}
    if into is None:
        return graph
    graph["21"] = {"class_type": "LoadImage", "inputs": {"image": "them.png"}}
    if into == "latent":
        graph["22"] = {"class_type": "VAEEncode", "inputs": {"pixels": ["21", 0], "vae": ["4", 2]}}
        graph["3"]["inputs"]["latent_image"] = ["22", 0]
    elif into == "detailer":
        graph["22"] = {"class_type": "FaceDetailer", "inputs": {"image": ["21", 0], "model": ["30", 0], "positive": ["6", 0]}}
        graph["9"]["inputs"]["images"] = ["22", 0]
    elif into == "reference":
        graph["22"] = {"class_type": "VAEEncode", "inputs": {"pixels": ["21", 0], "vae": ["4", 2]}}
        graph["23"] = {"class_type": "ReferenceLatent", "inputs": {"conditioning": ["6", 0], "latent": ["22", 0]}}
        graph["3"]["inputs"]["positive"] = ["23", 0]
    elif into == "paste":
        graph["22"] = {"class_type": "ImageCompositeMasked", "inputs": {"destination": ["21", 0], "source": ["8", 0], "x": 0, "y": 0}}
        graph["9"]["inputs"]["images"] = ["22", 0]
    elif into == "pose":
        graph["22"] = {"class_type": "ControlNetApplyAdvanced", "inputs": {"positive": ["6", 0], "negative": ["7", 0], "image": ["21", 0]}}
        graph["3"]["inputs"] |= {"positive": ["22", 0], "negative": ["22", 1]}
    return graph


def test_nodes_that_draw_a_face_must_be_asked_whose_it_is(studio: Studio, api: TestClient) -> None:
    kinds = {"ApplyPulidFlux": True, "ApplyInstantIDAdvanced": True, "IPAdapterFaceID": True, "InfiniteYouApply": True}
    for kind, taken in (kinds | {"IPAdapter": False, "StyleThing": False}).items():
        seen(studio, nodes=(*NODES, kind, "PulidModelLoader"))
        baked = sent(api, data_of(face_graph(kind)), {"name": "baked", "expose": []})
        assert baked.status_code == (403 if taken else 201), baked.text
        if taken:
            error = baked.json()["error"]
            assert "nobody can say whose" in error["message"] and "node 20" in error["message"]
        assert sent(api, data_of(face_graph(kind)), {"name": "asked"}).status_code == 201, "the usual inputs hold the picture"


def test_an_adapter_takes_a_face_where_its_file_or_preset_says_so() -> None:
    for said, taken in (
        ("ip-adapter-plus-face_sdxl.safetensors", True),
        ("PLUS FACE (portraits)", True),
        ("ip-adapter_sdxl.safetensors", False),
    ):
        graph = face_graph("IPAdapterAdvanced")
        graph["29"] = {"class_type": "IPAdapterModelLoader", "inputs": {"ipadapter_file": said}}
        graph["30"]["inputs"] = {"model": ["4", 0], "ipadapter": ["29", 0], "image": ["20", 0]}
        assert bool(faces_of(graph)) == taken, said


@pytest.mark.parametrize(
    ("into", "found"), [("latent", {"21"}), ("detailer", {"21"}), ("reference", {"21"}), ("paste", {"21"}), ("pose", set()), (None, set())]
)
def test_the_ways_a_face_can_take_into_a_picture_are_followed(into: str | None, found: set[str]) -> None:
    (faces,) = faces_of(face_graph(into=into))
    assert (faces.node, faces.given, faces.into) == ("30", {"20"}, found)


def test_what_is_drawn_from_words_lends_nobody_s_face_and_stored_faces_are_nobody_s() -> None:
    graph = face_graph()
    graph["30"]["inputs"]["image"] = ["8", 0]
    del graph["3"]["inputs"]["model"]
    assert faces_of(graph) == ()
    stored = face_graph("IPAdapterFaceIDEmbeds", into="latent")
    del stored["30"]["inputs"]["image"]
    assert [(faces.given, faces.into) for faces in faces_of(stored)] == [({"30"}, {"21"})]


def test_a_face_goes_into_another_photo_only_of_the_same_person(studio: Studio, api: TestClient) -> None:
    seen(studio, nodes=(*NODES, "ApplyPulid", "PulidModelLoader", "VAEEncode"))
    graph = data_of(face_graph(into="latent"))
    both = [{"node": "20", "input": "image", "name": "face"}, {"node": "21", "input": "image", "name": "photo"}]
    for expose in (both[:1], both[1:]):
        assert sent(api, graph, {"name": "half", "expose": expose}).json()["error"]["code"] == "SAFETY_FILTER"
    assert sent(api, graph, {"name": "swap", "expose": both}).status_code == 201
    classifier = studio.settings.data / "classifiers" / "any"
    classifier.mkdir(parents=True)
    (classifier / "config.json").write_text('{"architectures": ["AnyForImageClassification"]}')
    consent = Consent(who="Mia", what_for="portraits")
    photos: dict[str, list[str]] = {}
    for name in ("Mia", "Ben"):
        slug = studio.create_character(
            CharacterFields(name=name, kind=CharacterKind.consented, consent=Consent(who=name, what_for="portraits"))
        ).slug
        files = []
        for number in range(2):
            out = io.BytesIO()
            Image.effect_noise((300, 300), 50 + number).convert("RGB").save(out, "PNG")
            files.append((f"{number}.png", out.getvalue()))
        photos[name] = [photo.id for photo in studio.add_photos(slug, files).items]
    one, two = (studio.upload(png(n=name)).id for name in "ab")

    def swap(face: str, photo: str, **more: Any) -> Any:
        return studio.generate(GenerateRequest(workflow="swap", prompt="a portrait", values={"face": face, "photo": photo}, **more))

    assert swap(one, two, real_person=False).ok, "drawings are nobody's photos"
    assert swap(photos["Mia"][0], photos["Mia"][1]).ok, "one person's photos are one person's"
    for face, photo, more in (
        (one, two, {"real_person": True, "consent": consent}),
        (photos["Mia"][0], two, {"real_person": True, "consent": consent}),
        (one, photos["Mia"][0], {"real_person": False}),
        (photos["Mia"][0], photos["Ben"][0], {}),
    ):
        with pytest.raises(SafetyFilter, match="never put on another's photo"):
            swap(face, photo, **more)
    assert swap(one, one, real_person=True, consent=consent).ok, "a picture of its own face"


def test_a_reference_s_face_is_asked_about_like_any_photo(studio: Studio) -> None:
    shelf = WorkflowShelf(HOME / "workflows", studio.settings.data / "workflows")
    for name in (
        "sdxl_ip_adapter_face",
        "sdxl_instantid",
        "sdxl_pulid",
        "flux1_pulid",
        "sdxl_face_detailer",
        "face_restore_gfpgan",
        "sdxl_controlnet_pose",
    ):
        workflow = shelf.workflow(name)
        files: dict[str, tuple[str, ...]] = {}
        for parameter in workflow.parameters:
            if parameter.type is ParameterType.model:
                files[parameter.folder] = (*files.get(parameter.folder, ()), str(parameter.default))
        seen(studio, nodes=workflow.node_classes, files=files)
        picture = studio.upload(png(n=name)).id
        request = GenerateRequest(workflow=name, prompt="a portrait", image=picture)
        with pytest.raises(MissingRequiredField) as asked:
            studio.generate(request)
        assert asked.value.field == "real_person", name
        with pytest.raises(ConsentMissing):
            studio.generate(request.model_copy(update={"real_person": True}))
        assert studio.generate(request.model_copy(update={"real_person": False})).ok
        invented = studio.create_character(CharacterFields(name=f"Invented {name}")).slug
        with pytest.raises(SafetyFilter, match="not one of"):
            studio.generate(request.model_copy(update={"real_person": True, "character": invented}))
