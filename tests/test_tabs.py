"""The page: what the form decides, what a click does to a real studio, and what is served."""

from __future__ import annotations

import asyncio
import io
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import gradio as gr
import httpx
import pytest
from fastapi import FastAPI
from PIL import Image

from app import HOME, open_studio
from studio.contracts import (
    Appearance,
    CharacterChange,
    CharacterFields,
    Family,
    GenerateRequest,
    JobState,
    ModelSpec,
    Picture,
    PictureChange,
    PictureKind,
    Preset,
    Recipe,
    Tone,
)
from studio.engine import Artifact
from studio.errors import InvalidFieldType, InvalidFieldValue, MissingRequiredField, NotFound
from studio.gallery import Gallery
from studio.orders import NO_PRESET
from studio.prompts import on_model
from studio.settings import Settings
from studio.studio import Studio
from tabs import page
from tabs.form import SHAPES, cards, hints, on_choice, on_generate, on_reuse, request_of, settings_of, shape_of, size_of

STARTER = ModelSpec(
    id="starter",
    name="Starter model",
    about="",
    engine="embedded",
    family=Family.starter,
    path="",
    licence="CC BY 4.0",
    side_min=64,
    side_max=256,
    side_step=32,
    width=128,
    height=128,
    steps=16,
    cfg=4,
    sampler="dpmpp_2m",
    scheduler="normal",
)
LARGE = STARTER.model_copy(update={"id": "sdxl", "side_min": 256, "side_max": 2048, "side_step": 64, "width": 1024, "height": 1024})
TALL = Preset(id="tall_v1", name="Tall", category="portrait", tooltip="", width=128, height=160, steps=20, cfg=5)
FORM: dict[str, Any] = {
    "character": "",
    "variant": "",
    "written": None,
    "source": None,
    "workflow": None,
    "references": None,
    "variations": 1,
    "wildcards": "true",
    "grid": None,
    "prompt": "a person with red hair",
    "negative_prompt": "",
    "preset": "",
    "style": "",
    "shape": "1:1",
    "count": 1,
    "quality": "standard",
    "seed": None,
    "model": "starter",
    "width": None,
    "height": None,
    "steps": None,
    "cfg": None,
    "sampler": "",
    "scheduler": "",
    "grain": None,
    "tone": "",
    "tone_strength": None,
    "loras": [],
    "prompt_suffix": "",
    "negative_suffix": "",
}


# Shapes


@pytest.mark.parametrize("model", [STARTER, LARGE], ids=lambda model: model.id)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.id)
def test_a_shape_is_a_size_the_model_can_draw(shape: Any, model: ModelSpec) -> None:
    width, height = size_of(shape.id, model)
    assert all(model.side_min <= side <= model.side_max and side % model.side_step == 0 for side in (width, height))
    assert width / height == pytest.approx(shape.ratio, rel=0.12)
    assert width * height == pytest.approx(model.width * model.height, rel=0.51)


def test_the_seven_shapes_of_a_large_model_are_seven_sizes() -> None:
    sizes = [size_of(shape.id, LARGE) for shape in SHAPES]
    assert len(set(sizes)) == len(SHAPES)
    assert sizes[0] == (1024, 1024)


def test_upright_and_lying_shapes_mirror_each_other() -> None:
    assert size_of("9:16", LARGE) == size_of("16:9", LARGE)[::-1]
    assert size_of("4:5", STARTER) == size_of("5:4", STARTER)[::-1]


def test_a_presets_own_size_wins_for_its_own_shape() -> None:
    odd = TALL.model_copy(update={"width": 192, "height": 256})
    assert shape_of(192, 256) == "4:5"
    assert size_of("4:5", STARTER, odd) == (192, 256)
    assert size_of("1:1", STARTER, odd) == (128, 128)


def test_a_shape_nobody_knows_is_refused_at_its_field() -> None:
    with pytest.raises(InvalidFieldValue) as refused:
        size_of("7:3", STARTER)
    assert refused.value.field == "width"


# The form


def test_an_untouched_form_asks_for_nothing_but_the_prompt_and_the_size() -> None:
    request = request_of(FORM, STARTER, None)
    assert request == GenerateRequest(prompt="a person with red hair", model="starter", width=128, height=128)


def test_every_field_of_the_form_is_a_field_of_the_contract() -> None:
    # A shape, a picture to start from and a prompt written by hand stand for several fields each.
    theirs = {"engine", "as_written", "image", "mask", "denoise", "real_person", "consent", "values"}
    assert set(FORM) - {"shape", "source", "written"} == set(GenerateRequest.model_fields) - theirs


def test_what_was_edited_by_hand_is_taken_as_it_stands() -> None:
    request = request_of({**FORM, "written": {"prompt": "only {this|that}", "negative_prompt": ""}}, STARTER, None)
    assert (request.prompt, request.as_written, request.wildcards) == ("only {this|that}", True, False)


def test_a_source_brings_its_mask_and_its_consent() -> None:
    consent = {"who": "Mia", "what_for": "portraits"}
    source = {"image": "one", "mask": "two", "denoise": 0.4, "real_person": True, "consent": consent}
    request = request_of({**FORM, "prompt": "", "source": source}, STARTER, None)
    assert (request.image, request.mask, request.denoise, request.real_person) == ("one", "two", 0.4, True)
    assert request.consent is not None
    assert request.consent.who == "Mia"


def test_a_mask_leaves_the_size_to_its_picture_unless_one_was_typed() -> None:
    masked = {"image": "one", "mask": "two"}
    request = request_of({**FORM, "shape": "16:9", "source": masked}, STARTER, None)
    assert (request.width, request.height) == (None, None)
    request = request_of({**FORM, "source": masked, "width": 64, "height": 96}, STARTER, TALL)
    assert (request.width, request.height) == (64, 96)
    assert request_of({**FORM, "source": {"image": "one"}}, STARTER, None).width == 128


def test_settings_of_a_repainted_picture_leave_its_size_open_where_it_was() -> None:
    picture = _picture(seed=1, width=1500, height=1000)
    assert picture.recipe is not None
    large = picture.model_copy(update={"recipe": picture.recipe.model_copy(update={"image": "one", "mask": "two"})})
    assert settings_of(large, None, STARTER, None)["width"] is None
    small = _picture(seed=1)
    assert small.recipe is not None
    small = small.model_copy(update={"recipe": small.recipe.model_copy(update={"image": "one", "mask": "two"})})
    # Nobody knows any more whether it was typed; a shape would be no size here.
    assert (settings_of(small, None, STARTER, None)["width"], settings_of(small, None, STARTER, None)["height"]) == (128, 160)
    open_one = GenerateRequest(prompt="x", image="one", mask="two")
    assert settings_of(small, open_one, STARTER, None)["width"] is None


def test_references_bring_what_was_said_of_them() -> None:
    request = request_of({**FORM, "prompt": "", "references": {"ids": ["a", "b"], "real_person": False}}, STARTER, None)
    assert (request.references, request.real_person) == (("a", "b"), False)
    beside = {**FORM, "source": {"image": "c"}, "references": {"ids": ["a"], "real_person": False, "denoise": 0.2}}
    request = request_of(beside, STARTER, None)
    assert (request.image, request.references, request.real_person, request.denoise) == ("c", ("a",), None, None)


def test_no_preset_means_none_also_where_the_character_has_one() -> None:
    assert request_of({**FORM, "character": "someone"}, STARTER, None).preset == "none"
    assert request_of(FORM, STARTER, None).preset is None


def test_pixels_that_were_typed_win_over_the_shape() -> None:
    request = request_of({**FORM, "shape": "16:9", "width": 64, "height": 96}, STARTER, None)
    assert (request.width, request.height) == (64, 96)


def test_an_empty_prompt_is_missing_and_says_what_to_do() -> None:
    with pytest.raises(MissingRequiredField) as refused:
        request_of({**FORM, "prompt": "   "}, STARTER, None)
    assert refused.value.field == "prompt"
    assert refused.value.message == "The prompt is empty."


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("steps", 0, InvalidFieldValue),
        ("steps", 12.5, InvalidFieldValue),
        ("cfg", 31, InvalidFieldValue),
        ("count", 99, InvalidFieldValue),
        ("seed", -2, InvalidFieldValue),
        ("quality", "best", InvalidFieldType),
        ("prompt", "x" * 20_000, InvalidFieldValue),
    ],
)
def test_a_wrong_value_is_refused_at_its_field(name: str, value: object, error: type[Exception]) -> None:
    with pytest.raises(error) as refused:
        request_of({**FORM, name: value}, STARTER, None)
    assert getattr(refused.value, "field", None) == name


def test_zero_is_a_cfg_scale_and_not_an_empty_field() -> None:
    assert request_of({**FORM, "cfg": 0}, STARTER, None).cfg == 0


def test_open_fields_show_what_the_preset_or_the_model_says() -> None:
    assert hints(STARTER, None)[1:] == ("128", "128", "16", "4", "0", "1")
    assert hints(STARTER, TALL)[1:] == ("128", "160", "20", "5", "0", "1")
    assert {shape["id"]: shape["size"] for shape in hints(STARTER, TALL).shapes}["4:5"] == "128 × 160"
    grainy = TALL.model_copy(update={"category": "style", "steps": 9, "grain": 0.3, "tone": Tone.reinhard, "tone_strength": 0.4})
    assert hints(STARTER, TALL, grainy)[1:] == ("128", "160", "20", "5", "0.3", "0.4"), "a style says how it looks, the preset the rest"


# Using a picture's settings again


def test_settings_come_from_what_was_asked_and_the_seed_from_the_picture() -> None:
    request = GenerateRequest(prompt="red hair", preset="tall_v1", count=4, width=128, height=160, prompt_suffix="smiling")
    settings = settings_of(_picture(seed=77), request, STARTER, TALL)
    assert settings["prompt"] == "red hair"
    assert (settings["preset"], settings["shape"], settings["width"], settings["height"]) == ("tall_v1", "4:5", None, None)
    assert (settings["seed"], settings["count"], settings["steps"], settings["sampler"]) == (77, 1, None, "")


def test_settings_without_their_job_or_preset_are_the_recipes() -> None:
    settings = settings_of(_picture(seed=77), None, STARTER, None)
    assert settings["prompt"] == "red hair, cartoon style"
    assert (settings["preset"], settings["steps"], settings["sampler"]) == ("", 20, "dpmpp_2m")


def test_a_size_that_no_shape_stands_for_is_kept_as_pixels() -> None:
    picture = _picture(seed=1, width=96, height=256)
    settings = settings_of(picture, None, STARTER, None)
    assert (settings["shape"], settings["width"], settings["height"]) == ("9:16", 96, 256)


def test_settings_fill_the_whole_form_and_make_the_same_request_again() -> None:
    settings = settings_of(_picture(seed=77), None, STARTER, None)
    assert set(settings) == set(FORM)
    again = request_of(settings, STARTER, None)
    assert (again.width, again.height, again.seed, again.steps) == (128, 160, 77, 20)


def test_an_upload_has_no_settings() -> None:
    with pytest.raises(NotFound):
        settings_of(_picture(seed=None).model_copy(update={"recipe": None}), None, None, None)


# A real studio


def test_a_click_puts_the_job_on_disk(studio: Studio) -> None:
    outcome = on_generate(studio, {**FORM, "count": 3, "shape": "4:5", "seed": 5})
    assert outcome.ok and outcome.count == 3 and outcome.error is None
    job = studio.job(outcome.job_id)
    assert job.state is JobState.queued
    assert job.correlation_id == outcome.click
    assert (job.recipe.width, job.recipe.height, job.recipe.count, job.recipe.seed) == (128, 160, 3, 5)


def test_a_click_with_a_preset_leaves_its_settings_to_it(studio: Studio) -> None:
    preset = studio.presets()[0]
    outcome = on_generate(studio, {**FORM, "preset": preset.id})
    job = studio.job(outcome.job_id)
    assert job.request.preset == preset.id
    assert job.recipe.preset == preset.id
    assert job.recipe.steps == (preset.steps or studio.models()[0].steps)


def test_a_style_beside_a_preset_is_in_the_job_and_comes_back_with_its_settings(studio: Studio) -> None:
    outcome = on_generate(studio, {**FORM, "preset": "night_v1", "style": "ink_comic_v1"})
    job = studio.job(outcome.job_id)
    assert (job.recipe.preset, job.recipe.style) == ("night_v1", "ink_comic_v1")
    picture = _picture(seed=1).model_copy(update={"recipe": job.recipe})
    night, ink = studio.preset("night_v1"), studio.preset("ink_comic_v1")
    again = settings_of(picture, job.request, STARTER, night, ink)
    assert (again["prompt"], again["preset"], again["style"]) == (FORM["prompt"], "night_v1", "ink_comic_v1")
    gone = settings_of(picture, job.request, STARTER, night, None)
    assert (gone["prompt"], gone["preset"], gone["style"]) == (FORM["prompt"], "", "")
    assert gone["written"]["prompt"] == job.recipe.prompt, "its words are in what the engine reads then"


def test_a_style_that_was_the_preset_is_still_the_preset(studio: Studio) -> None:
    job = studio.job(on_generate(studio, {**FORM, "preset": "flat_avatar_v1"}).job_id)
    flat = studio.preset("flat_avatar_v1")
    assert (job.recipe.preset, job.recipe.style, job.recipe.cfg) == ("flat_avatar_v1", "flat_avatar_v1", flat.on("starter").cfg)
    again = settings_of(_picture(seed=1).model_copy(update={"recipe": job.recipe}), job.request, STARTER, flat)
    assert (again["preset"], again["style"]) == ("flat_avatar_v1", "")


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"prompt": ""}, "MISSING_REQUIRED_FIELD", "prompt"),
        ({"steps": 0}, "INVALID_FIELD_VALUE", "steps"),
        ({"preset": "gone_v9"}, "INVALID_FIELD_VALUE", "preset"),
        ({"style": "gone_v9"}, "INVALID_FIELD_VALUE", "style"),
        ({"model": "gone"}, "INVALID_FIELD_VALUE", "model"),
        ({"width": 4000, "height": 4000}, "INVALID_FIELD_VALUE", "width"),
        ({"sampler": "magic"}, "INVALID_FIELD_VALUE", "sampler"),
        ({"loras": [{"path": "../../etc/passwd", "strength": 1}]}, "INVALID_FIELD_VALUE", "loras"),
    ],
)
def test_a_click_that_is_refused_names_the_field_and_leaves_no_job(studio: Studio, changes: dict[str, Any], code: str, field: str) -> None:
    outcome = on_generate(studio, {**FORM, **changes})
    assert not outcome.ok and outcome.error is not None
    assert (outcome.error.code, outcome.error.field) == (code, field)
    assert outcome.error.message and outcome.error.remedy and outcome.error.correlation_id
    assert studio.jobs().items == ()


def test_a_card_says_why_its_preset_does_not_run(studio: Studio) -> None:
    told = {card["id"]: card for card in cards(studio, None)}
    assert {card["why"] for card in told.values()} == {""}, "every shipped one runs on the starter model"
    assert all(card["pictured"] for card in told.values())
    large = studio.settings.data / "models" / "large"
    large.mkdir(parents=True)
    (large / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    on_flux = {card["id"]: card for card in cards(studio, "large")}
    assert on_flux["portrait_v1"]["why"] == ""
    assert "not made for models for FLUX.1" in on_flux["quick_sketch_v1"]["why"] and on_flux["quick_sketch_v1"]["remedy"]
    assert {card["why"] for card in cards(studio, "gone")} == {""}


def test_choosing_a_preset_or_model_says_what_open_fields_mean(studio: Studio) -> None:
    preset = studio.preset("fine_v1")
    assert on_choice(studio, preset.id, "starter").steps == str(preset.on("starter").steps) == "32"
    assert on_choice(studio, "", "starter").steps == str(studio.models()[0].steps)


@pytest.mark.parametrize(
    "asked",
    [
        {"prompt": "smiling"},
        {"prompt": "smiling", "preset": "portrait_v1", "quality": "pro"},
        {"prompt": "smiling", "style": "cartoon_v1", "quality": "low"},
        {"prompt": "smiling", "preset": "portrait_v1", "style": "cartoon_v1"},
        {"prompt": ""},
        {"prompt": "smiling", "written": {"prompt": "someone else, smiling", "negative_prompt": "hats"}},
        {"prompt": "smiling", "references": "with a caption"},
        {"prompt": "smiling", "references": "with a caption", "source": "another"},
    ],
)
@pytest.mark.parametrize("gone", [False, True])
def test_the_settings_of_anybodys_picture_make_the_same_picture_again(studio: Studio, asked: dict[str, Any], gone: bool) -> None:
    ilse = studio.create_character(CharacterFields(name="Ilse", appearance=Appearance(age=30, hair="long blonde hair", skin="pale")))
    form = {**FORM, "character": ilse.id, "seed": 77, **asked}
    if "references" in asked:
        pose = studio.upload(red_square(), kind=PictureKind.reference)
        studio.change_picture(pose.id, PictureChange(caption=asked["references"]))
        form["references"] = {"ids": [pose.id], "real_person": False, "denoise": 0.4}
    if "source" in asked:
        form["source"] = {"image": studio.upload(red_square()).id, "real_person": False, "denoise": 0.7}
    first = studio.job(on_generate(studio, form).job_id)
    assert first.request is not None
    if "source" in asked:
        assert first.recipe.image == form["source"]["image"] and "with a caption" in first.recipe.prompt, "a reference gives its caption"

    def found(name: str | None) -> Preset | None:
        return None if gone or name in (None, NO_PRESET) else on_model(studio.preset(name), STARTER)

    picture = _picture(seed=77).model_copy(update={"recipe": first.recipe})
    settings = settings_of(picture, first.request, STARTER, found(first.request.preset), found(first.request.style))
    assert settings["prompt"] == asked["prompt"] or settings["written"] == asked["written"], "one's own words, not what was made of them"
    again = studio.job(on_generate(studio, settings).job_id)
    same = {"preset", "style"} if gone else set[str]()
    assert again.recipe.model_dump(exclude=same) == first.recipe.model_dump(exclude=same)


def test_a_picture_of_somebody_who_was_changed_since_is_made_again_as_it_was(studio: Studio) -> None:
    ilse = studio.create_character(CharacterFields(name="Ilse", appearance=Appearance(age=30, hair="long blonde hair")))
    job = studio.job(on_generate(studio, {**FORM, "character": ilse.id, "prompt": "smiling", "seed": 77}).job_id)
    gallery = Gallery(studio.database, studio.settings.data)
    drawn = Artifact(index=0, image=Image.new("RGB", (128, 128)), seed=77, model_hash="ab")
    picture = gallery.save(drawn, job_id=job.id, recipe=job.recipe, model_name="Starter")
    with studio.database.begin() as connection:
        gallery.record([picture], connection)
    assert on_reuse(studio, picture.id)["written"] is None
    change = CharacterChange(version=ilse.version, appearance=Appearance(age=30, hair="short black hair"))
    studio.change_character(ilse.id, change)
    settings = on_reuse(studio, picture.id)
    assert settings["prompt"] == "smiling"
    assert "blonde" in settings["written"]["prompt"]
    assert studio.job(on_generate(studio, settings).job_id).recipe.prompt == job.recipe.prompt


def test_settings_of_a_picture_that_is_not_there_are_refused(studio: Studio) -> None:
    with pytest.raises(NotFound):
        on_reuse(studio, "nothing")


# What is served


def test_importing_the_page_imports_no_torch_and_no_engine() -> None:
    look = "import sys, tabs.page; print([name for name in ('torch', 'diffusers', 'engines', 'sqlalchemy.orm') if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, cwd=HOME, check=True)
    assert found.stdout.strip() == "[]"


def test_the_page_names_itself_and_its_files(studio: Studio) -> None:
    home, answers = asyncio.run(_visit(studio))
    assert home.status_code == 200
    assert '"title":"Likeness"' in home.text
    assert {answer.status_code for answer in answers} == {200}
    assert all("immutable" in answer.headers["cache-control"] for answer in answers)


async def _visit(studio: Studio) -> tuple[httpx.Response, list[httpx.Response]]:
    app = page.mount(FastAPI(), studio)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://127.0.0.1") as client:
        home = await client.get("/")
        where = re.search(r"likeness/[0-9a-f]{12}/", home.text)
        assert where
        files = [path.relative_to(page.ASSETS).as_posix() for path in page.ASSETS.rglob("*") if path.is_file()]
        return home, [await client.get(f"/{where.group()}{name}") for name in files]


def test_every_script_and_style_is_loaded_from_the_page_and_nothing_from_elsewhere() -> None:
    scripts = {path.name: path.read_text(encoding="utf-8") for path in page.ASSETS.glob("*.js")}
    imported = {
        name for text in scripts.values() for name in re.findall(r'from "\./([\w.]+)"|import "\./([\w.]+)"', text) for name in name if name
    }
    assert imported | {"studio.js"} == set(scripts)
    everything = "\n".join([*scripts.values(), *(path.read_text(encoding="utf-8") for path in page.ASSETS.glob("*.css"))])
    # The name of SVG's language, and how an address is written.
    assert set(re.findall(r"https?://[\w./-]+", everything)) == {"http://www.w3.org/2000/svg", "http://127.0.0.1"}


def test_no_style_asks_what_a_parent_has_and_where_a_child_stands_at_once() -> None:
    """Chromium computes the style of the whole page anew at every change of any element then (7 ms instead of 0.3 with a full gallery)."""
    styles = "\n".join(path.read_text(encoding="utf-8") for path in page.ASSETS.glob("*.css"))
    selectors = re.findall(r"[^{};]+(?=\{)", styles)
    assert len(selectors) > 500
    assert [one.strip() for one in selectors if ":has(" in one and re.search(r":(nth|last|first|only)-", one)] == []


def test_the_form_holds_the_contracts_fields_with_labels_and_help(studio: Studio) -> None:
    blocks = asyncio.run(_build(studio))
    fields = {block.elem_id: block for block in blocks.blocks.values() if (getattr(block, "elem_id", None) or "").startswith("field-")}
    assert {name.removeprefix("field-") for name in fields} == set(FORM)
    for field in fields.values():
        assert field.label
        assert getattr(field, "info", None) or re.search(r'info="[^"]{10,}"', field.html_template)


async def _build(studio: Studio) -> gr.Blocks:
    return page.build(studio)


@pytest.fixture
def studio(settings: Settings) -> Iterator[Studio]:
    opened = open_studio(settings)
    yield opened
    opened.database.close()


def red_square() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(out, "PNG")
    return out.getvalue()


def _picture(*, seed: int | None, width: int = 128, height: int = 160) -> Picture:
    recipe = Recipe(
        prompt="red hair, cartoon style",
        negative_prompt="blurry",
        preset="tall_v1",
        engine="embedded",
        model="starter",
        loras=(),
        width=width,
        height=height,
        steps=20,
        cfg=4.0,
        sampler="dpmpp_2m",
        scheduler="normal",
        seed=7,
        count=4,
    )
    return Picture(
        id="p-00",
        kind=PictureKind.generated,
        job_id="p",
        index=0,
        path="pictures/p.png",
        width=width,
        height=height,
        bytes=1,
        sha256="0",
        seed=seed,
        recipe=recipe,
        model_hash=None,
        duration_s=1.0,
        created_at=datetime.now(UTC),
        trashed_at=None,
    )


def test_the_page_is_imported_without_reading_the_components_sources() -> None:
    counted = "\n".join(
        [
            "import ast, sys",
            "parse, read = ast.parse, []",
            "def counting(source, *more, **named):",
            "    read.append(source)",
            "    return parse(source, *more, **named)",
            "ast.parse = counting",
            "import tabs",
            "import gradio",
            "assert callable(gradio.Button.click)",
            "print(sum('(FormComponent' in str(source) or '(Component' in str(source) for source in read))",
        ]
    )
    done = subprocess.run([sys.executable, "-c", counted], cwd=HOME, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0"
