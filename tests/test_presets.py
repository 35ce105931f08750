"""Every shipped preset can be used, and a broken one says where it is broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from app import HOME, PRESETS, STARTER_MODEL
from studio.contracts import GenerateRequest, ModelSpec, Preset, Quality
from studio.errors import ContractMismatch, InvalidFieldValue
from studio.models import find_models
from studio.presets import load_presets
from studio.prompts import ASPECTS, aspect_size, compose

SHIPPED = load_presets(PRESETS)


@pytest.fixture(scope="module")
def starter() -> ModelSpec:
    return find_models(HOME / "no such folder", [STARTER_MODEL])[0]


def test_there_are_a_dozen_with_versioned_ids() -> None:
    assert len(SHIPPED) >= 12
    assert all(preset.id.rpartition("_v")[2].isdigit() for preset in SHIPPED)


@pytest.mark.parametrize("preset", SHIPPED, ids=[preset.id for preset in SHIPPED])
def test_a_shipped_preset_makes_a_recipe_for_the_starter_model(preset: Preset, starter: ModelSpec) -> None:
    for quality in Quality:
        recipe = compose(GenerateRequest(prompt=preset.example_prompt, preset=preset.id, quality=quality), preset, starter, seed=5)
        assert recipe.preset == preset.id
        assert recipe.seed == 5
    assert preset.tooltip.endswith(".")


def test_the_request_goes_before_the_preset_and_the_preset_before_the_model(starter: ModelSpec) -> None:
    preset = SHIPPED[0].model_copy(update={"steps": 20, "cfg": 3.0, "negative_prompt": "blurry, hat"})
    request = GenerateRequest(prompt="a person", negative_prompt="hat", cfg=0, seed=9, prompt_suffix="smiling", negative_suffix="noise")
    recipe = compose(request, preset, starter, seed=1)
    assert (recipe.cfg, recipe.steps, recipe.seed, recipe.sampler) == (0, 20, 9, preset.sampler)
    assert recipe.prompt == f"a person, {preset.prompt_suffix}, smiling"
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
