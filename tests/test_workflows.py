"""Every shipped workflow fits the nodes it was made for, no value changes a graph's wiring, and bad files are told apart."""

from __future__ import annotations

import io
import json
import random
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

from app import HOME, PRESETS, open_studio
from studio import models
from studio.contracts import GenerateRequest, Inventory, ModelSpec, Preset, Recipe
from studio.errors import Conflict, ContractMismatch, FileTooLarge, InvalidFieldType, InvalidFieldValue, LikenessError, NotFound
from studio.graphs import MAX_GRAPH_BYTES, Graph, link, read_api_graph, texts, variables
from studio.imports import Exposed, expose, inputs_of, workflow_id
from studio.node_files import NodeFiles
from studio.nodes import FaultKind, Nodes, check, read_nodes
from studio.presets import load_presets
from studio.prompts import compose
from studio.remote import Remote, WorkflowShelf, drawing_with, models_of
from studio.safety_nodes import check_nodes, faces_of
from studio.settings import Settings
from studio.workflows import (
    SAMPLERS,
    SCHEDULERS,
    LackKind,
    NodePack,
    Parameter,
    ParameterType,
    Value,
    Workflow,
    WorkflowKind,
    WorkflowStatus,
    choices_of,
    delete_workflow,
    export_workflow,
    is_exported,
    load_workflow,
    load_workflows,
    missing,
    packs_of,
    read_workflow,
    render,
    restore_workflow,
    save_workflow,
    translated,
    values_of,
)
from studio.workshop import check_faces, face_pictures

DATA = Path(__file__).parent / "comfyui" / "data"
SHIPPED = load_workflows(HOME / "workflows")
BY_ID = {workflow.id: workflow for workflow in SHIPPED}
NEWER = {workflow.id for workflow in SHIPPED if workflow.status is WorkflowStatus.template}
THREE = (("first.safetensors", 0.8), ("second.safetensors", -0.5), ("sub/third.safetensors", 1.0))


PACKS: dict[str, dict[str, Any]] = {pack["repository"]: pack for pack in json.loads((DATA / "pack_nodes.json").read_text())["packs"]}
WITH_PACKS = [workflow for workflow in SHIPPED if workflow.status is WorkflowStatus.pack]


@pytest.fixture(scope="module")
def core() -> Nodes:
    return read_nodes(json.loads((DATA / "object_info_full.json").read_text()))


@pytest.fixture(scope="module")
def nodes() -> Nodes:
    """A server's recorded nodes, and those that the sources of node packs declare."""
    said = json.loads((DATA / "object_info_full.json").read_text())
    for pack in PACKS.values():
        said |= pack["nodes"]
    return read_nodes(said)


def filled(workflow: Workflow, **values: Value) -> dict[str, Value]:
    """What a person must give, and what else is said."""
    given: dict[str, Value] = {"prompt": "a person", "image": "one.png", "mask": "two.png"}
    return {name: value for name, value in {**given, **values}.items() if workflow.parameter(name)}


def everything_there(workflow: Workflow) -> dict[str, list[str]]:
    folders: dict[str, list[str]] = {}
    for parameter in workflow.parameters:
        if parameter.type is ParameterType.model:
            folders.setdefault(parameter.folder, []).append(str(parameter.default))
    return folders


def blocking(graph: Graph, nodes: Nodes) -> list[str]:
    return [fault.message for fault in check(graph, nodes) if fault.kind is not FaultKind.model_missing]


# What ships


def test_every_kind_and_family_that_is_promised_ships() -> None:
    assert {workflow.kind for workflow in SHIPPED} == set(WorkflowKind) - {WorkflowKind.other}
    assert {"sd15", "sdxl", "flux1", "flux2", "flux3", "qwen-image", "z-image"} <= {workflow.family for workflow in SHIPPED}


@pytest.mark.parametrize("workflow", SHIPPED, ids=lambda workflow: workflow.id)
@pytest.mark.parametrize("loras", [(), THREE[:1], THREE], ids=["no LoRA", "one LoRA", "three LoRAs"])
def test_a_shipped_graph_fits_the_recorded_nodes(workflow: Workflow, loras: tuple[tuple[str, float], ...], nodes: Nodes) -> None:
    if workflow.loras is None:
        with pytest.raises(InvalidFieldValue, match="takes no LoRAs"):
            render(workflow, filled(workflow), THREE)
        loras = ()
    graph = render(workflow, filled(workflow), loras)

    assert not variables(graph)
    faults = check(graph, nodes)
    if workflow.id not in NEWER:
        assert [fault.message for fault in faults if fault.kind is not FaultKind.model_missing] == []
    # The prompt upsampler, the cache and the like: only what its newer server brings is unknown to the recorded one.
    assert {fault.kind for fault in faults} <= {FaultKind.model_missing, FaultKind.unknown_node, FaultKind.not_in_list}
    assert sum(node["class_type"].startswith("LoraLoader") for node in graph.values()) == len(loras)


@pytest.mark.parametrize("workflow", SHIPPED, ids=lambda workflow: workflow.id)
def test_a_shipped_graph_fits_with_what_every_preset_says_of_its_family(workflow: Workflow, nodes: Nodes) -> None:
    model, draws = spec_for(workflow), workflow.family != "any"
    fitting = 0
    for preset in load_presets(PRESETS):
        start = "start" if workflow.parameter("image") or preset.needs.identity else None
        request = GenerateRequest(prompt="a person", image=start)
        if draws and not {"any", workflow.family} & {*preset.families}:
            with pytest.raises(InvalidFieldValue, match="is not made for"):
                compose(request, preset, model, seed=5)
            continue
        # Upscalers and repairs work for any family: there a preset has no values of its own, and nothing breaks.
        made = compose(request, preset, model, seed=5) if draws else recipe(preset)
        values = values_of(made, workflow)
        graph = render(workflow, {**filled(workflow), **values})
        faults = blocking(graph, nodes)
        assert workflow.id in NEWER or faults == [], preset.id
        fitting += 1
        if not draws:
            continue
        own = preset.on(workflow.family)
        for name in ("width", "height", "steps", "cfg"):
            said = getattr(own, name)
            unlike = name in {"width", "height"} and not models.draws(own.width or 64, own.height or 64, model)
            assert said is None or unlike or workflow.parameter(name) is None or values[name] == said, f"{preset.id} says {name}"
        for name in ("sampler", "scheduler"):
            said = getattr(own, name)
            assert said is None or workflow.parameter(name) is None or values[name] == translated(workflow, name, said)
        if workflow.parameter("prompt"):
            assert own.prompt_suffix in str(values["prompt"]) and own.style_words in str(values["prompt"])
            assert any(str(values["prompt"]) in text for text in texts(graph))
    assert fitting >= 18


@pytest.mark.parametrize("workflow", SHIPPED, ids=lambda workflow: workflow.id)
def test_a_shipped_workflow_says_what_its_models_are(workflow: Workflow) -> None:
    named = {(model.folder, model.file) for model in workflow.models}
    chosen = {(parameter.folder, parameter.default) for parameter in workflow.parameters if parameter.type is ParameterType.model}
    assert named == chosen
    assert all(model.url.startswith("https://") and model.licence for model in workflow.models)
    assert workflow.about.endswith(".") and workflow.source and all(parameter.tooltip.endswith(".") for parameter in workflow.parameters)


@pytest.mark.parametrize("workflow", SHIPPED, ids=lambda workflow: workflow.id)
def test_a_server_that_has_everything_lacks_nothing_and_an_older_one_is_told_what(workflow: Workflow, nodes: Nodes) -> None:
    lacks = missing(workflow, nodes, everything_there(workflow), version="0.3.75")
    if workflow.id in NEWER:
        assert workflow.comfyui
        assert lacks[0].kind is LackKind.version and workflow.comfyui in lacks[0].message and "0.3.75" in lacks[0].message
    newer = missing(workflow, nodes, everything_there(workflow), version="99.0")
    assert {lack.kind for lack in newer} <= {LackKind.node, LackKind.choice}
    assert workflow.id in NEWER or newer == ()


def test_what_a_newer_family_needs_is_named(nodes: Nodes) -> None:
    qwen = missing(BY_ID["qwen_image_2_1_text_to_image"], nodes, {})
    assert {lack.name for lack in qwen if lack.kind is LackKind.node} == {"TextEncodeQwenImage21", "QwenImage21Cache"}
    assert all("0.37.2" in lack.remedy for lack in qwen if lack.kind is LackKind.node)
    flux = missing(BY_ID["flux3_klein_text_to_image"], nodes, {})
    assert any(lack.kind is LackKind.choice and "flux3" in lack.message for lack in flux)
    edit = missing(BY_ID["qwen_image_edit_2511"], nodes, {})
    assert any("index_timestep_zero" in lack.message for lack in edit)


def test_a_missing_file_is_named_with_those_that_are_there(nodes: Nodes) -> None:
    (lack,) = missing(BY_ID["sd15_text_to_image"], nodes, {"checkpoints": ["mine.safetensors"]})
    assert lack.kind is LackKind.model
    assert "v1-5-pruned-emaonly-fp16.safetensors" in lack.message and "mine.safetensors" in lack.message
    assert lack.url.startswith("https://huggingface.co/")
    chosen = {"checkpoint": "mine.safetensors"}
    assert missing(BY_ID["sd15_text_to_image"], nodes, {"checkpoints": ["mine.safetensors"]}, values=chosen) == ()


def test_a_missing_custom_node_is_named_with_its_pack(nodes: Nodes) -> None:
    graph: Graph = {"1": {"class_type": "FaceFixer", "inputs": {}}}
    pack = NodePack(name="Face Pack", repository="https://example.org/face-pack", commit="abc123", nodes=("FaceFixer",))
    (lack,) = missing(Workflow(id="faces", name="Faces", packs=(pack,), graph=graph), nodes, {})
    assert "Face Pack" in lack.message and lack.remedy == "Install https://example.org/face-pack at commit abc123."


@pytest.mark.parametrize("workflow", WITH_PACKS, ids=lambda workflow: workflow.id)
def test_a_workflow_with_node_packs_says_what_to_install_at_which_commit(workflow: Workflow, core: Nodes) -> None:
    wanted = {name for name in workflow.node_classes if name not in core}
    assert wanted and {name for pack in workflow.packs for name in pack.nodes} == wanted
    for pack in workflow.packs:
        read = PACKS[pack.repository]
        assert (pack.commit, pack.licence) == (read["commit"], read["licence"]) and set(pack.nodes) <= set(read["nodes"])
        assert pack.commit[:7] in workflow.source and "unrun" in workflow.source
        assert all(file.url.startswith("https://") and file.licence for file in pack.loads)
    lacks = [lack for lack in missing(workflow, core, everything_there(workflow)) if lack.kind is LackKind.node]
    assert [lack.url for lack in lacks] == [pack.repository for pack in sorted(workflow.packs, key=lambda pack: min(pack.nodes))]
    for lack in lacks:
        pack = next(pack for pack in workflow.packs if pack.repository == lack.url)
        assert lack.message.startswith(f"Install the node pack {pack.name} (commit {pack.commit[:7]})")
        assert set(lack.nodes) == set(pack.nodes) and f"“{lack.nodes[0]}”" in lack.message
        assert lack.remedy == f"Install {pack.repository} at commit {pack.commit}."


def test_a_reference_goes_into_a_picture_made_from_words_and_repairs_take_no_other_picture() -> None:
    kinds = {workflow.id: workflow.kind for workflow in WITH_PACKS}
    assert set(kinds.values()) == {WorkflowKind.reference, WorkflowKind.repair, WorkflowKind.controlnet}
    for workflow in SHIPPED:
        check_nodes(workflow.graph)
        check_faces(workflow)
        assert face_pictures(workflow) == (), f"{workflow.id} puts one picture's face into another"
    for workflow in WITH_PACKS:
        assert [each.name for each in workflow.parameters if each.type is ParameterType.image] == ["image"]
        if workflow.kind is WorkflowKind.reference:
            assert [faces.into for faces in faces_of(workflow.graph)] == [frozenset()]
            assert any(node["class_type"].startswith("Empty") for node in workflow.graph.values())


def test_licences_that_forbid_business_are_named_where_one_chooses() -> None:
    for workflow in WITH_PACKS:
        told = [pack.licence for pack in workflow.packs] + [file.licence for pack in workflow.packs for file in pack.loads]
        if any("InsightFace" in licence for licence in told):
            assert "non-commercial" in workflow.about
    assert "commercially" in BY_ID["face_restore_codeformer"].about
    assert {workflow.id for workflow in WITH_PACKS if "InsightFace" in workflow.about} == {"sdxl_instantid", "sdxl_pulid", "flux1_pulid"}


def test_every_sampler_and_scheduler_has_a_name_in_comfyui(nodes: Nodes) -> None:
    assert set(SAMPLERS) == {choice.id for choice in models.SAMPLERS}
    assert set(SCHEDULERS) == {choice.id for choice in models.SCHEDULERS}
    workflow = BY_ID["sd15_text_to_image"]
    assert set(SAMPLERS.values()) <= set(choices_of(workflow, "sampler", nodes))
    assert set(SCHEDULERS.values()) <= set(choices_of(workflow, "scheduler", nodes))
    assert translated(workflow, "sampler", "euler_a") == "euler_ancestral"
    assert translated(BY_ID["flux1_dev_text_to_image"], "scheduler", "normal") == "simple"
    assert translated(workflow, "sampler", "res_multistep") == "res_multistep", "ComfyUI's own names are taken as they are"
    assert choices_of(workflow, "prompt", nodes) == ()


def test_what_the_mask_leaves_out_is_laid_over_the_result() -> None:
    masked = [workflow for workflow in SHIPPED if workflow.parameter("mask")]
    assert {"sd15", "sdxl", "flux1", "qwen-image", "z-image"} == {workflow.family for workflow in masked}
    for workflow in masked:
        graph = render(workflow, filled(workflow, count=3))
        (saved,) = (node for node in graph.values() if node["class_type"] == "SaveImage")
        (composed, _) = link(saved["inputs"]["images"]) or ("", 0)
        assert graph[composed]["class_type"] == "ImageCompositeMasked"
        (kept, _) = link(graph[composed]["inputs"]["destination"]) or ("", 0)
        assert (graph[kept]["class_type"], graph[kept]["inputs"]["amount"]) == ("RepeatImageBatch", 3)
        (picture, _) = link(graph[kept]["inputs"]["image"]) or ("", 0)
        assert graph[picture]["class_type"] == "ImageScale", "the picture itself, at the size that is drawn"


DRAWS = {
    "checkpoints/v1-5-pruned-emaonly-fp16.safetensors": "sd15_text_to_image",
    "checkpoints/dreamshaper_8.safetensors": "sd15_text_to_image",
    "checkpoints/meinamix_v21.safetensors": "sd15_text_to_image",
    "checkpoints/epicphotogasm_lastUnicorn.safetensors": "sd15_text_to_image",
    "checkpoints/sd_xl_base_1.0.safetensors": "sdxl_text_to_image",
    "checkpoints/sub/juggernaut_v9.safetensors": "sdxl_text_to_image",
    "checkpoints/dreamshaperXL_turboDPMSDE.safetensors": "sdxl_text_to_image",
    "checkpoints/sd_xl_turbo_1.0_fp16.safetensors": "sdxl_turbo_text_to_image",
    "checkpoints/flux1-dev-fp8.safetensors": "flux1_dev_checkpoint_text_to_image",
    "checkpoints/flux1-schnell-fp8.safetensors": "flux1_schnell_checkpoint_text_to_image",
    "diffusion_models/flux1-dev.safetensors": "flux1_dev_text_to_image",
    "diffusion_models/flux1-dev-fp8.safetensors": "flux1_dev_text_to_image",
    "diffusion_models/flux1-krea-dev_fp8_scaled.safetensors": "flux1_dev_text_to_image",
    "diffusion_models/flux1-schnell.safetensors": "flux1_schnell_text_to_image",
    "diffusion_models/flux1-dev-kontext_fp8_scaled.safetensors": "flux1_kontext_edit",
    "diffusion_models/flux1-fill-dev.safetensors": "flux1_fill_inpaint",
    "diffusion_models/flux.1-fill-dev-OneReward-transformer_fp8.safetensors": "flux1_fill_inpaint",
    "diffusion_models/flux-2-klein-4b.safetensors": "flux2_klein_text_to_image",
    "diffusion_models/flux-2-klein-base-9b-fp8.safetensors": "flux2_klein_base_text_to_image",
    "diffusion_models/flux3-image-klein-int8-convrot.safetensors": "flux3_klein_text_to_image",
    "diffusion_models/qwen_image_fp8_e4m3fn.safetensors": "qwen_image_text_to_image",
    "diffusion_models/qwen_image_2512_fp8_e4m3fn.safetensors": "qwen_image_text_to_image",
    "diffusion_models/qwen_image_2.1_turbo_int8_convrot.safetensors": "qwen_image_2_1_turbo_text_to_image",
    "diffusion_models/qwen_image_edit_2511_fp8mixed.safetensors": "qwen_image_edit_2511",
    "diffusion_models/z_image_bf16.safetensors": "z_image_text_to_image",
    "diffusion_models/z_image_int8_convrot.safetensors": "z_image_text_to_image",
    "diffusion_models/z_image_turbo_bf16.safetensors": "z_image_turbo_text_to_image",
    "diffusion_models/z_image_turbo_int8_convrot.safetensors": "z_image_turbo_text_to_image",
}
# The checkpoints and some models of published templates whose families no shipped workflow draws.
DRAWN_BY_NONE = (
    *("sd_turbo", "sd_xl_refiner_1.0", "sd3.5_large_fp8_scaled", "v2-1_768-ema-pruned", "768-v-ema", "512-base-ema", "svd_xt"),
    *("ace_step_v1_3.5b", "ace_step_1.5_turbo_aio", "hidream_o1_image_bf16", "sdpose_wholebody_fp16", "yue2_3b_int8_convrot"),
    *("hunyuan3d-dit-v2-mv-turbo_fp16", "hunyuan_3d_v2.1", "sam3.1_multiplex_fp16", "stable_audio_3_medium", "stable-audio-open-1.0"),
    *("ltx-2.3-22b-dev-fp8", "ltx-video-2b-v0.9.5", "NetaYumev35_pretrained_all_in_one", "flux-2-klein-4b"),
)


@pytest.mark.parametrize(("path", "workflow"), DRAWS.items())
def test_a_file_is_drawn_by_the_graph_of_its_family(path: str, workflow: str) -> None:
    found = drawing_with(path, SHIPPED)
    assert found is not None and found.id == workflow


@pytest.mark.parametrize("name", DRAWN_BY_NONE)
def test_a_checkpoint_of_a_family_that_no_graph_draws_is_drawn_by_none(name: str) -> None:
    found = drawing_with(f"checkpoints/{name}.safetensors", SHIPPED)
    assert found is None, "SD 1.5's graph would make noise of it"


@pytest.mark.parametrize("name", ["flux1-canny-dev", "pid_flux1_1024_to_4096_4step_bf16", "qwen_image_layered_bf16", "wan2.1_t2v_14B"])
def test_a_model_that_wants_more_than_words_is_not_drawn_from_words(name: str) -> None:
    assert drawing_with(f"diffusion_models/{name}.safetensors", SHIPPED) is None


@pytest.fixture
def remote(settings: Settings) -> Iterator[Remote]:
    opened = open_studio(settings)
    shelf = WorkflowShelf(HOME / "workflows", settings.data / "workflows")
    yield Remote(opened.database, shelf, NodeFiles(settings.data / "nodes"))
    opened.database.close()


def chosen_for(remote: Remote, path: str, *, masked: bool) -> str:
    """The workflow that a picture, or a part of one, is drawn with."""
    folder, _, name = path.partition("/")
    (model,) = models_of(Inventory(files={folder: (name,)}), SHIPPED)
    return remote.workflow_for(model, named=None, from_picture=True, masked=masked).id


@pytest.mark.parametrize(
    ("path", "whole", "part"),
    [
        ("checkpoints/dreamshaper_8.safetensors", "sd15_image_to_image", "sd15_inpaint"),
        ("checkpoints/sd_xl_base_1.0.safetensors", "sdxl_image_to_image", "sdxl_inpaint"),
        ("checkpoints/flux1-dev-fp8.safetensors", "flux1_checkpoint_image_to_image", "flux1_checkpoint_inpaint"),
        ("checkpoints/flux1-schnell-fp8.safetensors", "flux1_checkpoint_image_to_image", "flux1_checkpoint_inpaint"),
        ("diffusion_models/flux1-dev.safetensors", "flux1_image_to_image", "flux1_inpaint"),
        ("diffusion_models/flux1-schnell.safetensors", "flux1_image_to_image", "flux1_inpaint"),
        ("diffusion_models/flux1-fill-dev.safetensors", "flux1_fill_inpaint", "flux1_fill_inpaint"),
        ("diffusion_models/qwen_image_fp8_e4m3fn.safetensors", "qwen_image_image_to_image", "qwen_image_inpaint"),
        ("diffusion_models/z_image_bf16.safetensors", "z_image_image_to_image", "z_image_inpaint"),
        ("diffusion_models/z_image_turbo_bf16.safetensors", "z_image_image_to_image", "z_image_inpaint"),
    ],
)
def test_a_picture_and_a_part_of_one_are_drawn_with_the_model_that_was_chosen(remote: Remote, path: str, whole: str, part: str) -> None:
    assert (chosen_for(remote, path, masked=False), chosen_for(remote, path, masked=True)) == (whole, part)


def test_a_model_that_starts_from_no_picture_says_so_and_which_workflow_does(remote: Remote) -> None:
    with pytest.raises(InvalidFieldValue) as caught:
        chosen_for(remote, "diffusion_models/flux-2-klein-4b.safetensors", masked=False)
    assert "starts from a picture" in caught.value.message and "FLUX.2 klein 4B: edit a picture" in caught.value.remedy
    with pytest.raises(InvalidFieldValue, match="redraws a part of a picture"):
        chosen_for(remote, "diffusion_models/flux1-dev-kontext_fp8_scaled.safetensors", masked=True)


def test_a_presets_own_workflow_is_taken_where_it_loads_the_model_that_was_chosen(remote: Remote) -> None:
    found = {}
    for folder, name in (("diffusion_models", "flux1-dev.safetensors"), ("checkpoints", "flux1-dev-fp8.safetensors")):
        (model,) = models_of(Inventory(files={folder: (name,)}), SHIPPED)
        found[folder] = remote.workflow_for(model, named=None, from_picture=True, masked=False, preferred="flux1_redux").id
    assert found == {"diffusion_models": "flux1_redux", "checkpoints": "flux1_checkpoint_image_to_image"}


def test_what_a_model_starts_a_picture_with_is_loaded_from_its_own_file() -> None:
    for workflow in SHIPPED:
        if workflow.kind not in {WorkflowKind.image_to_image, WorkflowKind.inpaint}:
            continue
        graph = render(workflow, filled(workflow))
        loaders = [node["class_type"] for node in graph.values() if node["class_type"] in {"CheckpointLoaderSimple", "UNETLoader"}]
        assert len(loaders) == 1 and {"VAEEncode", "InpaintModelConditioning"} & {node["class_type"] for node in graph.values()}


def test_clothes_are_changed_under_a_mask_or_by_words() -> None:
    ways = {workflow.id: workflow for workflow in SHIPPED if workflow.kind is WorkflowKind.outfit}
    assert {workflow.family for workflow in ways.values()} == {"sd15", "sdxl", "flux1", "qwen-image"}
    for workflow in ways.values():
        assert workflow.name.endswith(": change clothes") and workflow.parameter("image")
        told = texts(render(workflow, filled(workflow, prompt="a red wool coat")))
        assert any("a red wool coat" in text and text != "a red wool coat" for text in told)
        assert workflow.parameter("mask") or any("Change only the clothes" in text for text in told)


def test_a_character_sheet_has_views_of_every_group_and_each_is_a_picture() -> None:
    for workflow in SHIPPED:
        if workflow.kind is not WorkflowKind.character_sheet:
            continue
        assert {view.group for view in workflow.views} == {"angles", "expressions", "light", "outfits"}
        graphs = [render(workflow, {"image": "portrait.png", "prompt": view.prompt}) for view in workflow.views]
        assert all(view.prompt in texts(graph) for view, graph in zip(workflow.views, graphs, strict=True))


def test_the_table_of_the_docs_is_what_the_manifests_say() -> None:
    page = (HOME / "docs" / "workflows.md").read_text(encoding="utf-8")
    packs = packs_of(SHIPPED)
    assert {pack.repository for pack in packs} == set(PACKS), "every recorded pack is used, and every used one recorded"
    install = (HOME / "docs" / "comfyui.md").read_text(encoding="utf-8")
    lines = [line for line in install.splitlines() if line.startswith("| [")]
    assert lines == [pack_row(pack) for pack in packs], "\n".join(["the rows should be:", *map(pack_row, packs)])
    rows = [line for line in page.splitlines() if line.startswith("| `") and line.count(" | ") == 4]
    assert rows == [row(workflow) for workflow in SHIPPED], "\n".join(["the rows should be:", *map(row, SHIPPED)])
    for parameter_type in ParameterType:
        assert f"`{parameter_type}`" in page


def pack_row(pack: NodePack) -> str:
    told = "<br>".join(f"{file.folder}/{file.file} ({file.licence})" for file in pack.loads) or "-"
    return f"| [{pack.name}]({pack.repository}) | `{pack.commit}` | {pack.licence} | {told} |"


def row(workflow: Workflow) -> str:
    files = "<br>".join(f"{model.folder}/{model.file} ({model.licence})" for model in workflow.models)
    return f"| `{workflow.id}` | {workflow.status} | {workflow.comfyui or 'any'} | {files} | {workflow.source} |"


# Rendering


def test_a_lone_variable_keeps_its_type_and_one_in_a_text_becomes_part_of_it() -> None:
    workflow = small({"a": "{{steps}}", "b": "{{ steps }} steps of {{prompt}}", "c": ["{{steps}}", {"d": "{{prompt}}"}]})
    inputs = render(workflow, {"steps": 7, "prompt": "x"})["1"]["inputs"]
    assert inputs == {"a": 7, "b": "7 steps of x", "c": [7, {"d": "x"}]}


def test_whatever_a_value_is_the_graph_keeps_its_shape() -> None:
    chance = random.Random(4)
    pieces = ['"', "\\", "{{steps}}", "{{prompt}}", "}}", '["4", 0]', "{", "\n", "é", "💡", "%s", "\\u0000", "../", "</script>", "a", " "]
    workflow = small(
        {"text": "{{prompt}}", "prompt": "x {{prompt}} y", "from": ["2", 0]}, other={"2": {"class_type": "Other", "inputs": {}}}
    )
    for _ in range(300):
        said = "".join(chance.choices(pieces, k=chance.randrange(12)))
        graph = render(workflow, {"prompt": said})
        assert json.loads(json.dumps(graph)) == graph
        assert graph["1"]["inputs"] == {"text": said, "prompt": f"x {said} y", "from": ["2", 0]}


@pytest.mark.parametrize(
    ("values", "field", "error"),
    [
        ({}, "prompt", InvalidFieldValue),
        ({"prompt": "a", "unknown": 1}, "unknown", InvalidFieldValue),
        ({"prompt": ["4", 0]}, "prompt", InvalidFieldType),
        ({"prompt": {"class_type": "X"}}, "prompt", InvalidFieldType),
        ({"prompt": 3}, "prompt", InvalidFieldType),
        ({"prompt": "a\0b"}, "prompt", InvalidFieldValue),
        ({"prompt": "a", "steps": "20"}, "steps", InvalidFieldType),
        ({"prompt": "a", "steps": True}, "steps", InvalidFieldType),
        ({"prompt": "a", "steps": 2.5}, "steps", InvalidFieldType),
        ({"prompt": "a", "steps": 0}, "steps", InvalidFieldValue),
        ({"prompt": "a", "width": 513}, "width", InvalidFieldValue),
        ({"prompt": "a", "cfg": float("nan")}, "cfg", InvalidFieldValue),
        ({"prompt": "a", "cfg": float("inf")}, "cfg", InvalidFieldValue),
        ({"prompt": "a", "cfg": 99}, "cfg", InvalidFieldValue),
        ({"prompt": "a", "checkpoint": "../secret.safetensors"}, "checkpoint", InvalidFieldValue),
        ({"prompt": "a", "checkpoint": "C:\\models\\a.safetensors"}, "checkpoint", InvalidFieldValue),
        ({"prompt": "a", "filename_prefix": "/etc/cron.d/x"}, "filename_prefix", InvalidFieldValue),
        ({"prompt": "a", "filename_prefix": "a/../../b"}, "filename_prefix", InvalidFieldValue),
    ],
)
def test_a_value_that_does_not_fit_names_its_field(values: dict[str, Value], field: str, error: type[LikenessError]) -> None:
    with pytest.raises(error) as caught:
        render(BY_ID["sd15_text_to_image"], values)
    assert caught.value.field == field and caught.value.remedy


def test_a_text_that_a_node_takes_for_a_path_may_not_lead_elsewhere() -> None:
    graph: Graph = {"1": {"class_type": "SaveText", "inputs": {"folder": "notes", "text": "words"}}}
    found = [Exposed(node=one.node, input=one.input, parameter=one.parameter) for one in inputs_of(graph)]
    workflow = expose(graph, found, workflow_id="notes", name="Notes")
    assert render(workflow, {"folder": "letters", "prompt": "/etc and ../so on"})["1"]["inputs"]["folder"] == "letters"
    with pytest.raises(InvalidFieldValue, match="outside"):
        render(workflow, {"folder": "../secrets"})


def test_whole_numbers_arrive_whole_whatever_they_were_sent_as() -> None:
    graph = render(BY_ID["sd15_text_to_image"], {"prompt": "a", "steps": 12.0, "cfg": 3, "seed": 2**32 - 1})
    inputs = graph["3"]["inputs"]
    assert (inputs["steps"], inputs["cfg"], inputs["seed"]) == (12, 3.0, 2**32 - 1)
    assert isinstance(inputs["steps"], int) and isinstance(inputs["cfg"], float)


def test_loras_hang_one_on_the_other_and_everything_takes_from_the_last() -> None:
    workflow = BY_ID["sd15_inpaint"]
    graph = render(workflow, filled(workflow), THREE)
    assert graph["lora_1"]["inputs"]["model"] == ["4", 0] and graph["lora_1"]["inputs"]["clip"] == ["4", 1]
    assert graph["lora_3"]["inputs"] == {
        "model": ["lora_2", 0],
        "clip": ["lora_2", 1],
        "lora_name": "sub/third.safetensors",
        "strength_model": 1.0,
        "strength_clip": 1.0,
    }
    assert graph["17"]["inputs"]["model"] == ["lora_3", 0] and graph["6"]["inputs"]["clip"] == ["lora_3", 1]
    assert graph["8"]["inputs"]["vae"] == ["4", 2], "what the LoRAs don't change stays where it was"
    alone = render(BY_ID["z_image_turbo_text_to_image"], {"prompt": "a"}, THREE[:1])
    assert alone["lora_1"]["class_type"] == "LoraLoaderModelOnly" and alone["11"]["inputs"]["model"] == ["lora_1", 0]
    assert workflow.graph["17"]["inputs"]["model"] == ["4", 0], "the workflow itself is left as it is"


@pytest.mark.parametrize("lora", [("../x.safetensors", 1.0), ("", 1.0), ("a.safetensors", float("nan"))])
def test_a_lora_that_leads_elsewhere_is_refused(lora: tuple[str, float]) -> None:
    with pytest.raises(InvalidFieldValue) as caught:
        render(BY_ID["sd15_text_to_image"], {"prompt": "a"}, [lora])
    assert caught.value.field == "loras"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"parameters": []}, "is no parameter"),
        ({"parameters": [{"name": "nowhere", "label": "x", "type": "text"}]}, "nowhere in the graph"),
        ({"id": "../up"}, "id"),
        ({"unknown": 1}, "unknown"),
        ({"loras": {"model": ["99", 0]}}, "99"),
        ({"graph": {"1": {"class_type": "A", "inputs": {"b": ["2", 0]}}}, "parameters": []}, "not there"),
    ],
)
def test_a_manifest_that_does_not_hold_together_is_refused(change: dict[str, object], said: str) -> None:
    whole = json.loads(export_workflow(BY_ID["upscale_by_model"]))
    with pytest.raises(ContractMismatch, match=said):
        read_workflow(json.dumps({**whole, **change}).encode())


def test_a_default_must_fit_its_own_range() -> None:
    with pytest.raises(ValueError, match="the default does not fit"):
        Parameter(name="steps", label="Steps", type=ParameterType.integer, default=200, maximum=150)
    with pytest.raises(ValueError, match="range of steps is empty"):
        Parameter(name="steps", label="Steps", type=ParameterType.integer, minimum=5, maximum=1)


# Checking


def test_graphs_that_a_server_ran_have_no_faults(nodes: Nodes) -> None:
    runs = json.loads((DATA / "feature_runs.json").read_text())
    ran = {name: run["graph"] for name, run in runs.items() if run["status"] == "success"}
    assert len(ran) > 10
    for name, graph in ran.items():
        assert [fault for fault in check(graph, nodes) if fault.blocking and fault.kind is not FaultKind.model_missing] == [], name


@pytest.mark.parametrize(
    ("case", "kind"),
    [
        ("missing checkpoint", FaultKind.model_missing),
        ("missing node class", FaultKind.unknown_node),
        ("missing required input", FaultKind.missing_input),
        ("value below min", FaultKind.out_of_range),
        ("wrong type", FaultKind.wrong_type),
        ("value not in list", FaultKind.not_in_list),
        ("return type mismatch", FaultKind.wrong_link),
        ("link to unknown node", FaultKind.wrong_link),
        ("link to out-of-range output", FaultKind.wrong_link),
        ("no outputs", FaultKind.no_output),
    ],
)
def test_what_a_server_refused_is_found_before_it_is_asked(case: str, kind: FaultKind, nodes: Nodes) -> None:
    recorded = json.loads((DATA / "post_prompt_invalid_cases.json").read_text())
    (graph,) = (entry["request"]["prompt"] for entry in recorded if entry["case"] == case)
    assert [fault.kind for fault in check(graph, nodes) if fault.blocking] == [kind]


def test_both_shapes_of_lists_are_read(nodes: Nodes) -> None:
    old, new = nodes.get("KSampler"), nodes.get("KSamplerSelect")
    assert old and new and old.inputs["sampler_name"].choices == new.inputs["sampler_name"].choices
    unknown = read_nodes(
        {"N": {"input": {"required": {"a": ["COMBO", {"remote": {}}], "b": ["COMFY_AUTOGROW_V3", {}]}}, "output": [["x"]]}}
    )
    graph: Graph = {"1": {"class_type": "N", "inputs": {"a": "anything", "b.one": ["1", 0]}}}
    assert [fault.kind for fault in check(graph, unknown)] == [FaultKind.no_output]


@pytest.mark.parametrize("said", [[], {}, None, "html", {"KSampler": None}, {"error": {"type": "x"}}])
def test_an_answer_that_is_no_list_of_nodes_is_refused(said: object) -> None:
    with pytest.raises(ContractMismatch):
        read_nodes(said)


# A person's own file


def test_a_graph_is_read_from_json_from_a_posted_body_and_from_a_picture() -> None:
    graph = render(BY_ID["sd15_text_to_image"], {"prompt": "a cat"})
    text = json.dumps(graph)
    for data in (
        text.encode(),
        b"\xef\xbb\xbf" + text.encode(),
        json.dumps({"prompt": graph, "client_id": "x"}).encode(),
        picture(prompt=text),
    ):
        assert read_api_graph(data) == graph


@pytest.mark.parametrize(
    ("data", "error", "said"),
    [
        (b"", ContractMismatch, "not JSON"),
        (b"<html>", ContractMismatch, "not JSON"),
        (b"\xff\xfe\x00", ContractMismatch, "neither JSON nor a PNG"),
        (b"[]", ContractMismatch, "no workflow"),
        (b"{}", ContractMismatch, "no nodes"),
        (b'"text"', ContractMismatch, "no workflow"),
        (b"[" * 100_000, ContractMismatch, "not JSON"),
        (b'{"a": 1' + b"0" * 10_000 + b"}", ContractMismatch, "."),
        (b'{"nodes": [], "links": [], "version": 0.4}', ContractMismatch, "page shows it"),
        (b'{"1": null}', ContractMismatch, "is no node"),
        (b'{"1": {"inputs": {}}}', ContractMismatch, "is no node"),
        (b'{"1": {"class_type": "A"}}', ContractMismatch, "is no node"),
        (b'{"1": {"class_type": "A", "inputs": {"x": ["2", 0]}}}', InvalidFieldValue, "not there"),
        (b'{"1": {"class_type": "A", "inputs": {"x": ["1", 0]}}}', ContractMismatch, "circle: 1 → 1"),
        (b'{"1": {"class_type": "A", "inputs": {"x": NaN}}}', InvalidFieldValue, "not finite"),
        (b'{"1": {"class_type": "A", "inputs": {"x": "a\\u0000"}}}', InvalidFieldValue, "null"),
        (b'{"1": {"class_type": "A", "inputs": {"x": "' + b"a" * 200_000 + b'"}}}', InvalidFieldValue, "too long"),
        (b'{"1": {"class_type": "A", "inputs": {"x": ' + b"[" * 40 + b"]" * 40 + b"}}}", InvalidFieldValue, "nested"),
        (b"[" + b" " * MAX_GRAPH_BYTES, FileTooLarge, "MB"),
        (json.dumps({str(at): {"class_type": "A", "inputs": {}} for at in range(3000)}).encode(), FileTooLarge, "3000 nodes"),
        (b"\x89PNG\r\n\x1a\nbroken", ContractMismatch, "broken"),
    ],
)
def test_a_file_that_holds_no_usable_graph_says_why(data: bytes, error: type[LikenessError], said: str) -> None:
    with pytest.raises(error, match=said) as caught:
        read_api_graph(data)
    assert caught.value.remedy


def test_how_to_export_is_said_where_only_the_pages_form_is_there() -> None:
    page = json.dumps({"nodes": [{"id": 1}], "links": []})
    for data in (page.encode(), picture(workflow=page)):
        with pytest.raises(ContractMismatch, match="page shows it") as caught:
            read_api_graph(data)
        assert "Export (API)" in caught.value.remedy
    with pytest.raises(ContractMismatch, match="carries no workflow"):
        read_api_graph(picture())


def test_a_picture_that_unpacks_to_something_huge_is_refused() -> None:
    bomb = b"prompt\0\0" + zlib.compress(b" " * 80_000_000, 9)
    chunk = struct.pack(">I", len(bomb)) + b"zTXt" + bomb + struct.pack(">I", zlib.crc32(b"zTXt" + bomb))
    plain = picture()
    with pytest.raises(LikenessError):
        read_api_graph(plain[:33] + chunk + plain[33:])


def test_a_long_circle_is_found_and_a_long_chain_is_no_circle() -> None:
    chain = {str(at): {"class_type": "A", "inputs": {"x": [str(at + 1), 0]}} for at in range(1500)}
    end = {"1500": {"class_type": "A", "inputs": {}}}
    assert len(read_api_graph(json.dumps({**chain, **end}).encode())) == 1501
    with pytest.raises(ContractMismatch, match="circle"):
        read_api_graph(json.dumps({**chain, "1500": {"class_type": "A", "inputs": {"x": ["700", 0]}}}).encode())


@pytest.mark.parametrize("path", ["../../etc/passwd", "/etc/passwd", "a/../../b.png", "..\\..\\x.png", "C:\\x.png", "\\\\host\\x", "~/x"])
def test_a_graph_whose_files_lie_elsewhere_is_refused(path: str) -> None:
    for name in ("image", "ckpt_name", "filename_prefix", "value", "anything"):
        with pytest.raises(InvalidFieldValue, match="outside") as caught:
            read_api_graph(json.dumps({"1": {"class_type": "LoadImage", "inputs": {name: path}}}).encode())
        assert caught.value.field == f"1.{name}"
    words = json.dumps({"1": {"class_type": "CLIPTextEncode", "inputs": {"text": f"and so on {path}"}}})
    assert read_api_graph(words.encode())["1"]["inputs"]["text"] == f"and so on {path}"


def test_every_text_of_a_graph_is_given_to_the_safety_rules() -> None:
    graph: Graph = {
        "1": {"class_type": "StringConcatenate", "inputs": {"string_a": "one", "delimiter": " ", "deep": [{"x": ["two", "three"]}]}},
        "2": {"class_type": "CLIPTextEncode", "inputs": {"text": ["1", 0], "clip": ["1", 1]}},
        "3": {"class_type": "Whatever", "inputs": {"n": 1, "flag": True, "text": "one"}},
    }
    assert texts(graph) == ("one", "two", "three")


# From a graph to a workflow


def test_the_inputs_of_a_graph_are_listed_under_the_usual_names(nodes: Nodes) -> None:
    graph = render(BY_ID["sd15_controlnet_canny"], filled(BY_ID["sd15_controlnet_canny"]))
    for known in (nodes, None):
        found = {exposable.parameter.name: exposable for exposable in inputs_of(graph, known)}
        assert {
            "prompt",
            "negative_prompt",
            "seed",
            "steps",
            "cfg",
            "sampler",
            "scheduler",
            "denoise",
            "image",
            "checkpoint",
            "controlnet",
        } <= set(found)
        assert found["prompt"].node == "6" and found["negative_prompt"].node == "7"
        assert found["image"].parameter.type is ParameterType.image and found["checkpoint"].parameter.folder == "checkpoints"
        assert found["sampler"].parameter.type is ParameterType.choice
        assert found["prompt"].usual and not found["sampler"].usual
    seed = {exposable.parameter.name: exposable for exposable in inputs_of(graph, nodes)}["seed"].parameter
    assert (seed.type, seed.minimum, seed.maximum) == (ParameterType.integer, 0, 18446744073709551615)


def test_an_exposed_graph_is_a_workflow_that_renders_back_to_itself(nodes: Nodes) -> None:
    for name, run in json.loads((DATA / "feature_runs.json").read_text()).items():
        if run["status"] != "success":
            continue
        graph = read_api_graph(json.dumps(run["graph"]).encode())
        found = inputs_of(graph, nodes)
        chosen = [Exposed(node=one.node, input=one.input, parameter=one.parameter) for one in found]
        workflow = expose(graph, chosen, workflow_id=workflow_id(name), name=name)
        given = {one.parameter.name: graph[one.node]["inputs"][one.input] for one in found}
        assert render(workflow, given) == graph, name  # pyright: ignore[reportArgumentType]  # plain values only are listed
        assert workflow.status is WorkflowStatus.imported
        assert render(workflow, given, THREE)["lora_3"], "LoRAs hang on the loader that was found"  # pyright: ignore[reportArgumentType]


def test_what_can_not_be_exposed_is_said() -> None:
    graph: Graph = {"1": {"class_type": "A", "inputs": {"a": 1, "b": 2, "text": "a {{prompt}} of old"}}}
    number = Parameter(name="x", label="X", type=ParameterType.integer)
    other = number.model_copy(update={"label": "Y"})
    with pytest.raises(NotFound):
        expose(graph, [Exposed(node="9", input="a", parameter=number)], workflow_id="w", name="W")
    pair = [Exposed(node="1", input="a", parameter=number), Exposed(node="1", input="b", parameter=other)]
    with pytest.raises(InvalidFieldValue, match="differ"):
        expose(graph, pair, workflow_id="w", name="W")
    with pytest.raises(InvalidFieldValue, match="read as a variable"):
        expose(graph, [Exposed(node="1", input="a", parameter=number)], workflow_id="w", name="W")
    shared = [Exposed(node="1", input=name, parameter=number) for name in ("a", "b")]
    words = Exposed(node="1", input="text", parameter=Parameter(name="words", label="Words", type=ParameterType.text))
    workflow = expose(graph, [*shared, words], workflow_id="w", name="W")
    assert render(workflow, {"x": 5, "words": "a {{prompt}}"})["1"]["inputs"] == {"a": 5, "b": 5, "text": "a {{prompt}}"}


def test_a_workflow_is_saved_loaded_exported_and_deleted(tmp_path: Path) -> None:
    kept = tmp_path / "workflows"
    workflow = BY_ID["character_sheet_qwen"]
    save_workflow(kept, workflow)
    assert load_workflows(kept) == (workflow,) and load_workflow(kept / workflow.id) == workflow
    with pytest.raises(Conflict):
        save_workflow(kept, workflow)
    data = export_workflow(workflow)
    assert is_exported(data) and read_workflow(data) == workflow
    assert not is_exported(json.dumps(workflow.graph).encode())
    delete_workflow(kept, workflow.id)
    assert [path.name for path in kept.iterdir()] == [".trash"] and load_workflows(kept) == ()
    restore_workflow(kept, workflow.id)
    assert load_workflows(kept) == (workflow,)
    with pytest.raises(NotFound):
        restore_workflow(kept, workflow.id)
    delete_workflow(kept, workflow.id)
    for unknown in (workflow.id, "..", "../workflows", ""):
        with pytest.raises(NotFound):
            delete_workflow(kept, unknown)


def test_a_workflow_that_can_not_be_saved_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "workflows").write_text("a file in the place of the folder")
    with pytest.raises(LikenessError):
        save_workflow(tmp_path / "workflows", SHIPPED[0])
    assert [path.name for path in tmp_path.iterdir()] == ["workflows"]


BROKEN = [("[", "{}"), ("id: x", "{"), ("just words", "{}"), ("id: other\nname: x", "{}"), ("id: x", "[]")]


@pytest.mark.parametrize(("manifest", "graph"), BROKEN)
def test_a_broken_workflow_names_its_folder(tmp_path: Path, manifest: str, graph: str) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "manifest.yaml").write_text(manifest)
    (tmp_path / "x" / "graph.json").write_text(graph)
    with pytest.raises(ContractMismatch, match="x"):
        load_workflows(tmp_path)


def test_an_id_is_made_of_any_name() -> None:
    assert [workflow_id(name) for name in ("My Flow (v2)!", "ÄÖ", "../../x", "a" * 90)] == ["my-flow-v2", "workflow", "x", "a" * 60]


def small(inputs: dict[str, object], other: dict[str, object] | None = None) -> Workflow:
    graph = {"1": {"class_type": "Any", "inputs": inputs}, **(other or {})}
    used = variables(graph)  # pyright: ignore[reportArgumentType]  # written here
    kinds = {"steps": ParameterType.integer, "prompt": ParameterType.text}
    return Workflow.model_validate(
        {
            "id": "small",
            "name": "Small",
            "graph": graph,
            "parameters": [Parameter(name=name, label=name, type=kinds[name]) for name in used],
        }
    )


def picture(**said: str) -> bytes:
    text = PngImagePlugin.PngInfo()
    for key, value in said.items():
        text.add_text(key, value)
    data = io.BytesIO()
    Image.new("RGB", (4, 4)).save(data, "PNG", pnginfo=text)
    return data.getvalue()


def spec_for(workflow: Workflow) -> ModelSpec:
    """A model of a workflow's family, as a server that has its files offers it."""
    for each in (workflow, *(one for one in SHIPPED if one.family == workflow.family)):
        found = models_of(Inventory(files={folder: tuple(names) for folder, names in everything_there(each).items()}), SHIPPED)
        fitting = [model for model in found if model.family == workflow.family]
        if fitting:
            return fitting[0]
    return models_of(Inventory(files={"checkpoints": ("sd_xl_base_1.0.safetensors",)}), SHIPPED)[0]


def recipe(preset: Preset) -> Recipe:
    """What a preset makes of nothing but its own example."""
    return Recipe(
        prompt=preset.example_prompt,
        negative_prompt=preset.negative_prompt,
        preset=preset.id,
        engine="comfyui",
        model="any.safetensors",
        loras=(),
        width=preset.width or 512,
        height=preset.height or 512,
        steps=preset.steps or 20,
        cfg=preset.cfg or 7.0,
        sampler=preset.sampler or "dpmpp_2m",
        scheduler=preset.scheduler or "karras",
        seed=5,
        count=1,
    )
