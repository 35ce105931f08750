"""Every shipped preset can be used, and a broken one says where it is broken."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app import HOME, PRESETS, STARTER_MODEL
from studio.contracts import GenerateRequest, Inventory, LoraUse, ModelSpec, Needs, Preset, Quality, ServerState, Tone
from studio.errors import ContractMismatch, InvalidFieldValue
from studio.models import draws, find_models
from studio.nodes import FaultKind, check, read_nodes
from studio.presets import load_presets
from studio.prompts import ASPECTS, aspect_size, compose
from studio.remote import drawing_with, graph_of, models_of
from studio.workflows import ParameterType, WorkflowStatus, load_workflows

SHIPPED = load_presets(PRESETS)
WORKFLOWS = load_workflows(HOME / "workflows")


def shipped(name: str) -> Preset:
    return next(preset for preset in SHIPPED if preset.id == name)


def model_of(family: str, **changes: object) -> ModelSpec:
    plain: dict[str, object] = {"id": "m", "name": "M", "about": "", "engine": "embedded", "family": family, "path": "m", "licence": ""}
    plain |= {"side_min": 64, "side_max": 4096, "side_step": 16, "width": 1024, "height": 1024, "steps": 20, "cfg": 5.0}
    # What an embedded model of a flow family can be sampled with.
    return ModelSpec.model_validate(plain | {"sampler": "euler", "scheduler": "normal"} | changes)


@pytest.fixture(scope="module")
def starter() -> ModelSpec:
    return find_models(HOME / "no such folder", [STARTER_MODEL])[0]


def test_there_are_a_score_with_versioned_ids() -> None:
    assert len(SHIPPED) >= 20
    assert all(preset.id.rpartition("_v")[2].isdigit() for preset in SHIPPED)


@pytest.mark.parametrize("preset", SHIPPED, ids=[preset.id for preset in SHIPPED])
def test_a_shipped_preset_makes_a_recipe_on_every_family_it_names(preset: Preset, starter: ModelSpec) -> None:
    assert preset.tooltip.endswith(".")
    for model in (starter, *(model_of(family) for family in ("sdxl", "sd15", "sd2", "sd3", "flux", "qwen-image", "nobody-knows-it"))):
        unfit = model.family in preset.not_families or not {model.family, "any"} & {*preset.families}
        for quality in Quality:
            request = GenerateRequest(prompt="a person", quality=quality, image="start" if preset.needs.identity else None)
            if unfit:
                with pytest.raises(InvalidFieldValue) as caught:
                    compose(request, preset, model, seed=5)
                assert caught.value.field == "preset"
                continue
            recipe = compose(request, preset, model, seed=5)
            assert (recipe.preset, recipe.seed) == (preset.id, 5)
            assert draws(recipe.width, recipe.height, model)


def test_the_photographs_are_as_they_were_asked_for() -> None:
    sdxl = model_of("sdxl")
    said = {
        preset.id: (recipe.steps, recipe.sampler, recipe.scheduler, recipe.width, recipe.height)
        for preset in SHIPPED
        if not preset.needs.identity and preset.per_family
        for recipe in [compose(GenerateRequest(prompt="a person"), preset, sdxl, seed=1)]
    }
    assert said["photoreal_portrait_v1"][:3] == (40, "dpmpp_2m", "karras")
    assert (said["fullbody_photoreal_v1"][0], *said["fullbody_photoreal_v1"][3:]) == (45, 1024, 1536)
    assert (said["cinematic_v1"][0], *said["cinematic_v1"][3:]) == (35, 1536, 1024)
    assert {"realism_v1", "luxury_v1", "anime_v1", "illustration_v1"} <= said.keys()


def test_cinematic_has_grain_and_tone_which_a_request_can_change() -> None:
    cinematic, sdxl = shipped("cinematic_v1"), model_of("sdxl")
    recipe = compose(GenerateRequest(prompt="a"), cinematic, sdxl, seed=1)
    assert (recipe.tone, recipe.grain, recipe.tone_strength) == (Tone.reinhard, 0.25, 0.6)
    bare = compose(GenerateRequest(prompt="a", grain=0, tone=Tone.none), cinematic, sdxl, seed=1)
    assert (bare.tone, bare.grain) == (Tone.none, 0)
    assert compose(GenerateRequest(prompt="a", grain=0.7), None, sdxl, seed=1).grain == 0.7


def test_one_preset_is_another_on_each_family(starter: ModelSpec) -> None:
    cinematic, flux = shipped("cinematic_v1"), model_of("flux", steps=25, cfg=3.5, sampler="euler", scheduler="normal")
    on_flux = compose(GenerateRequest(prompt="a person"), cinematic, flux, seed=1)
    assert (on_flux.steps, on_flux.cfg, on_flux.sampler, on_flux.negative_prompt) == (25, 3.5, "euler", "")
    on_starter = compose(GenerateRequest(prompt="a person"), cinematic, starter, seed=1)
    assert (on_starter.width, on_starter.height) == (192, 128) and "dark blue background" in on_starter.prompt
    assert on_flux.grain == on_starter.grain == 0.25, "what a family does not say is said for all"


SAME_EVERYWHERE = (
    *("photoreal_portrait_v1", "fullbody_photoreal_v1", "cinematic_v1", "identity_lock_v1"),
    *("realism_v1", "luxury_v1", "anime_v1", "illustration_v1", "portrait_v1", "night_v1", "ink_comic_v1", "flat_avatar_v1"),
)


@pytest.mark.parametrize("name", SAME_EVERYWHERE)
def test_one_preset_runs_on_sdxl_flux_and_the_starter_alike(name: str, starter: ModelSpec) -> None:
    preset, start = shipped(name), GenerateRequest(prompt="a person", image="start")
    assert preset.engines == ("any",)
    sdxl = compose(start, preset, model_of("sdxl"), seed=1)
    assert (sdxl.steps, sdxl.cfg) == (preset.on("sdxl").steps, preset.on("sdxl").cfg)
    for family in ("flux", "flux1", "flux2", "flux3", "z-image", "qwen-image"):
        recipe = compose(start, preset, model_of(family, steps=4, cfg=1.0, engine="comfyui"), seed=1)
        assert (recipe.steps, recipe.cfg, recipe.sampler) == (4, 1.0, "euler"), "such a model is sampled its own way"
        assert family == "qwen-image" or recipe.negative_prompt == ""
    small = compose(start, preset, starter, seed=1)
    assert small.width <= 256 and small.height <= 256
    assert small.steps == preset.on("starter").steps, "the starter model has values of its own"


def test_what_the_starter_model_is_told_are_words_that_it_learned() -> None:
    labels = json.loads((STARTER_MODEL / "reader" / "labels.json").read_text(encoding="utf-8"))["labels"]
    known = {f"{colour} background" for colour in labels["bg"]} | {"flat avatar style", "cartoon style", "ink comic style"}
    for preset in SHIPPED:
        own = preset.on("starter")
        said = ", ".join(text for text in (own.prompt_suffix, own.style_words, own.negative_prompt) if text)
        assert {word for word in said.split(", ") if word} <= known, preset.id


def test_every_preset_has_an_example_of_its_own() -> None:
    pictured = {path.stem for path in (HOME / "tabs" / "assets" / "presets").glob("*.webp")}
    assert pictured == {preset.id for preset in SHIPPED}


def test_null_leaves_a_value_to_the_model() -> None:
    preset = Preset.model_validate(
        {
            "id": "a_v1",
            "name": "A",
            "category": "x",
            "tooltip": "T.",
            "families": "any",
            "steps": 40,
            "per_family": {"sdxl": {"steps": None}},
        }
    )
    assert compose(GenerateRequest(prompt="a"), preset, model_of("sdxl", steps=7), seed=1).steps == 7
    assert compose(GenerateRequest(prompt="a"), preset, model_of("sd15"), seed=1).steps == 40


def test_a_size_that_the_model_does_not_draw_becomes_the_nearest_of_that_shape() -> None:
    small = model_of("sdxl", side_max=768, width=512, height=512)
    recipe = compose(GenerateRequest(prompt="a"), shipped("fullbody_photoreal_v1"), small, seed=1)
    assert draws(recipe.width, recipe.height, small)
    assert abs(recipe.width / recipe.height - 2 / 3) < 0.1


def test_a_refusal_says_why_and_what_would_do(starter: ModelSpec) -> None:
    photos = shipped("photoreal_portrait_v1").model_copy(update={"not_families": ("starter",)})
    with pytest.raises(InvalidFieldValue) as caught:
        compose(GenerateRequest(prompt="a"), photos, starter, seed=1)
    assert caught.value.message == "The preset “Photoreal portrait” is not made for the starter model."
    assert "SDXL" in caught.value.remedy and "FLUX.1" in caught.value.remedy
    with pytest.raises(InvalidFieldValue) as caught:
        compose(GenerateRequest(prompt="a"), shipped("quick_sketch_v1"), model_of("flux"), seed=1)
    assert "models for FLUX.1" in caught.value.message
    assert caught.value.remedy == (
        "Choose the starter model, or a model for SDXL, Stable Diffusion 1.5 or Stable Diffusion 2, or another preset."
    )
    elsewhere = shipped("anime_v1").model_copy(update={"engines": ("comfyui",)})
    with pytest.raises(InvalidFieldValue, match="runs on ComfyUI"):
        compose(GenerateRequest(prompt="a"), elsewhere, model_of("sdxl"), seed=1)
    with_nodes = shipped("anime_v1").model_copy(update={"needs": Needs(nodes=("FaceDetailer",))})
    with pytest.raises(InvalidFieldValue, match="FaceDetailer"):
        compose(GenerateRequest(prompt="a"), with_nodes, model_of("sdxl"), seed=1)


def test_identity_lock_needs_somebody_and_changes_little(starter: ModelSpec) -> None:
    lock = shipped("identity_lock_v1")
    with pytest.raises(InvalidFieldValue, match="nobody to keep to"):
        compose(GenerateRequest(prompt="a"), lock, starter, seed=1)
    recipe = compose(GenerateRequest(prompt="a", image="start"), lock, starter, seed=1)
    assert recipe.denoise == 0.35
    assert compose(GenerateRequest(prompt="a", image="start", denoise=0.8), lock, starter, seed=1).denoise == 0.8
    assert compose(GenerateRequest(prompt="a", image="start", mask="part"), lock, starter, seed=1).denoise is None
    led = compose(GenerateRequest(prompt="a", loras=(LoraUse(path="mia"),)), lock, starter, seed=1)  # pyright: ignore[reportCallIssue]
    assert led.denoise is None and led.loras[0].path == "mia"


def test_a_presets_loras_come_last_and_each_once(starter: ModelSpec) -> None:
    preset = shipped("portrait_v1").model_copy(update={"loras": (LoraUse(path="film", strength=0.5), LoraUse(path="own", strength=0.1))})
    recipe = compose(GenerateRequest(prompt="a", loras=(LoraUse(path="own", strength=1),)), preset, starter, seed=1)
    assert [(use.path, use.strength) for use in recipe.loras] == [("own", 1), ("film", 0.5)]


def test_what_a_model_brings_itself_is_in_no_menu_and_still_right() -> None:
    own = model_of("z-image", sampler="res_multistep", scheduler="normal", engine="comfyui")
    assert compose(GenerateRequest(prompt="a"), None, own, seed=1).sampler == "res_multistep"


def test_a_style_brings_its_look_to_any_preset_which_keeps_its_settings(starter: ModelSpec) -> None:
    night, ink = shipped("night_v1"), shipped("ink_comic_v1")
    recipe = compose(GenerateRequest(prompt="a person"), night, starter, style=ink, seed=1)
    assert recipe.prompt == "a person, dark blue background, ink comic style", "not the preset's own “cartoon style” as well"
    assert (recipe.preset, recipe.style) == ("night_v1", "ink_comic_v1")
    drawn = night.on("starter")
    assert (recipe.steps, recipe.cfg, recipe.scheduler) == (drawn.steps, drawn.cfg, drawn.scheduler)
    alone = compose(GenerateRequest(prompt="a person"), None, starter, style=ink, seed=1)
    assert (alone.prompt, alone.steps, alone.cfg) == ("a person, ink comic style", starter.steps, starter.cfg)
    none = compose(GenerateRequest(prompt="a person"), night, starter, seed=1)
    assert (none.prompt, none.style) == ("a person, dark blue background, cartoon style", None)


def test_a_style_on_each_family_with_its_negative_prompt_and_tone() -> None:
    portrait, luxury, cinematic = (shipped(f"{name}_v1") for name in ("photoreal_portrait", "luxury", "cinematic"))
    sdxl = model_of("sdxl")
    recipe = compose(GenerateRequest(prompt="a"), portrait, sdxl, style=luxury, seed=1)
    assert (recipe.steps, recipe.tone, recipe.tone_strength) == (40, Tone.reinhard, 0.35)
    assert "harsh flash" in recipe.negative_prompt and "waxy skin" in recipe.negative_prompt
    own = compose(GenerateRequest(prompt="a"), cinematic, sdxl, style=luxury, seed=1)
    assert (own.tone_strength, own.grain) == (0.6, 0.25), "a preset's own tone goes before the style's"
    assert compose(GenerateRequest(prompt="a", tone=Tone.none), portrait, sdxl, style=luxury, seed=1).tone is Tone.none
    told = compose(GenerateRequest(prompt="a"), portrait, model_of("flux"), style=luxury, seed=1)
    assert "a luxury editorial photograph" in told.prompt and told.negative_prompt == ""


def test_a_preset_does_not_forbid_what_the_style_asks_for() -> None:
    portrait, illustration = shipped("photoreal_portrait_v1"), shipped("illustration_v1")
    forbidden = compose(GenerateRequest(prompt="a"), portrait, model_of("sdxl"), style=illustration, seed=1).negative_prompt.split(", ")
    assert "illustration" in portrait.negative_prompt and "illustration" not in forbidden
    assert {"waxy skin", "photo", "text"} <= {*forbidden}, "“paper texture” is no text"


def test_a_style_that_is_the_preset_is_still_one_and_makes_way_for_another() -> None:
    anime, luxury, sdxl = shipped("anime_v1"), shipped("luxury_v1"), model_of("sdxl")
    plain = compose(GenerateRequest(prompt="a"), anime, sdxl, seed=1)
    assert (plain.preset, plain.style) == ("anime_v1", "anime_v1") and "anime style" in plain.prompt
    other = compose(GenerateRequest(prompt="a"), luxury, sdxl, style=anime, seed=1)
    assert (other.preset, other.style, other.steps, other.tone) == ("luxury_v1", "anime_v1", 34, Tone.none)
    assert "anime style" in other.prompt and "luxury" not in other.prompt and "cheap" not in other.negative_prompt


def test_a_style_for_other_models_is_refused_at_its_field(starter: ModelSpec) -> None:
    anime = shipped("anime_v1").model_copy(update={"not_families": ("starter",)})
    with pytest.raises(InvalidFieldValue) as caught:
        compose(GenerateRequest(prompt="a"), shipped("night_v1"), starter, style=anime, seed=1)
    assert (caught.value.field, caught.value.message) == ("style", "The style “Anime” is not made for the starter model.")
    assert caught.value.remedy.endswith("or another style.")


@pytest.fixture(scope="module")
def recorded() -> Inventory:
    """A server with the recorded nodes, and every file that a shipped workflow names."""
    nodes = json.loads((HOME / "tests" / "comfyui" / "data" / "object_info_full.json").read_text())
    files: dict[str, set[str]] = {}
    for workflow in WORKFLOWS:
        for parameter in workflow.parameters:
            if parameter.type is ParameterType.model:
                files.setdefault(parameter.folder, set()).add(str(parameter.default))
    server = ServerState(url="http://one", state="reachable", version="99.0")
    return Inventory(servers=(server,), files={folder: tuple(sorted(names)) for folder, names in files.items()}, nodes=tuple(nodes))


@pytest.mark.parametrize("preset", SHIPPED, ids=[preset.id for preset in SHIPPED])
def test_a_shipped_preset_renders_on_every_model_of_comfyui_that_it_is_made_for(preset: Preset, recorded: Inventory) -> None:
    nodes = read_nodes(json.loads((HOME / "tests" / "comfyui" / "data" / "object_info_full.json").read_text()))
    seen: set[str] = set()
    for model in models_of(recorded, WORKFLOWS):
        if not {"any", model.family} & {*preset.families}:
            with pytest.raises(InvalidFieldValue, match=f"“{preset.name}” is not made for models for"):
                compose(GenerateRequest(prompt="a person"), preset, model, seed=5)
            continue
        workflow = drawing_with(model.path, WORKFLOWS)
        assert workflow is not None
        # Those that edit a picture start from one, and Identity lock asks for one.
        start = "start" if workflow.parameter("image") or preset.needs.identity else None
        for quality in Quality:
            recipe = compose(GenerateRequest(prompt="a person", quality=quality, image=start), preset, model, seed=5)
            graph = graph_of(recipe, workflow, image="one.png", mask="two.png")
            faults = [fault.message for fault in check(graph, nodes) if fault.kind is not FaultKind.model_missing]
            assert faults == [] or workflow.status is WorkflowStatus.template, model.id
        seen.add(model.family)
    assert seen >= ({"sd15", "sdxl", "flux1", "flux2", "flux3", "qwen-image", "z-image"} if "any" in preset.families else {"sd15", "sdxl"})
    assert {family for family in preset.per_family if family not in {"starter", "sd2", "sd3", "flux"}} <= seen


def test_the_request_goes_before_the_preset_and_the_preset_before_the_model(starter: ModelSpec) -> None:
    own = {"steps": 20, "cfg": 3.0, "sampler": "unipc", "negative_prompt": "blurry, hat", "prompt_suffix": "", "per_family": {}}
    preset = SHIPPED[0].model_copy(update={**own, "width": 128, "height": 128})
    request = GenerateRequest(prompt="a person", negative_prompt="hat", cfg=0, seed=9, prompt_suffix="smiling", negative_suffix="noise")
    recipe = compose(request, preset, starter, seed=1)
    assert (recipe.cfg, recipe.steps, recipe.seed, recipe.sampler) == (0, 20, 9, "unipc")
    assert recipe.prompt == f"a person, {preset.style_words}, smiling"
    assert recipe.negative_prompt == "blurry, hat, noise"
    said = compose(GenerateRequest(prompt="a person, Cartoon style, smiling"), SHIPPED[0], starter, seed=1)
    assert said.prompt == "a person, Cartoon style, smiling", "what the person says already is not said twice"
    bare = compose(GenerateRequest(prompt="a person"), None, starter, seed=1)
    assert (bare.steps, bare.cfg, bare.width) == (starter.steps, starter.cfg, starter.width)


def test_quality_scales_steps_unless_the_request_says_them(starter: ModelSpec) -> None:
    steps = {q: compose(GenerateRequest(prompt="a", quality=q), None, starter, seed=1).steps for q in Quality}
    assert steps == {Quality.low: 8, Quality.standard: 16, Quality.pro: 24}
    assert compose(GenerateRequest(prompt="a", quality=Quality.pro, steps=3), None, starter, seed=1).steps == 3


@pytest.mark.parametrize(("field", "value"), [("width", 100), ("height", 300), ("width", 32), ("height", 4096)])
def test_a_size_off_the_grid_is_refused_with_the_nearest_one(starter: ModelSpec, field: str, value: int) -> None:
    with pytest.raises(InvalidFieldValue) as caught:
        compose(GenerateRequest.model_validate({"prompt": "a", field: value}), None, starter, seed=1)
    assert caught.value.field == field
    assert "nearest" in caught.value.remedy


@pytest.mark.parametrize("field", ["sampler", "scheduler"])
def test_an_unknown_sampler_or_scheduler_is_refused_with_what_exists(starter: ModelSpec, field: str) -> None:
    with pytest.raises(InvalidFieldValue) as caught:
        compose(GenerateRequest.model_validate({"prompt": "a", field: "magic"}), None, starter, seed=1)
    assert caught.value.field == field


def test_a_preset_for_another_family_is_refused(starter: ModelSpec) -> None:
    with pytest.raises(InvalidFieldValue) as caught:
        compose(GenerateRequest(prompt="a"), SHIPPED[0].model_copy(update={"families": ("sdxl",)}), starter, seed=1)
    assert caught.value.field == "preset"


def test_seven_shapes_lie_on_the_grid_and_differ(starter: ModelSpec) -> None:
    sizes = {aspect.ratio: aspect_size(aspect, starter) for aspect in ASPECTS}
    assert len(sizes) == len(set(sizes.values())) == 7
    for aspect in ASPECTS:
        width, height = sizes[aspect.ratio]
        assert (width - starter.side_min) % starter.side_step == 0
        assert abs(width / height - aspect.value) < 0.2


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("id: [", "YAML"),
        ("just words", "no preset"),
        ("id: a_v1\nname: A\ncategory: x\ntooltip: T.\nwidht: 3\n", "widht"),
        ("id: a_v1\nname: A\ncategory: x\n", "tooltip"),
        ("id: a_v1\nname: A\ncategory: x\ntooltip: T.\nsteps: many\n", "steps"),
    ],
)
def test_a_broken_file_says_where(tmp_path: Path, text: str, word: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ContractMismatch) as caught:
        load_presets(tmp_path)
    assert "mine.yaml" in caught.value.message
    assert word in caught.value.message


def test_two_presets_of_one_id_are_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text("id: a_v1\nname: A\ncategory: x\ntooltip: T.\n")
    with pytest.raises(ContractMismatch):
        load_presets(tmp_path)


def test_the_docs_name_every_preset_of_several_families_with_its_values_on_sdxl() -> None:
    rows = [line.split("|") for line in (HOME / "docs" / "presets.md").read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    told = {row[1].partition(":")[0].strip(): row[2] for row in rows}
    for preset in SHIPPED:
        if preset.per_family:
            on_sdxl = preset.on("sdxl")
            assert told[preset.name].startswith(f" {on_sdxl.steps} steps"), preset.id
            assert on_sdxl.width is None or f"{on_sdxl.width}×{on_sdxl.height}" in told[preset.name], preset.id
