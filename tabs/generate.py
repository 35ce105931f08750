"""The Generate tab: the form that becomes a GenerateRequest, and the stage."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
from pydantic import ValidationError

from studio.batches import is_dynamic
from studio.contracts import Contract, GenerateRequest, ModelSpec, Picture, Preset, Problem, Quality, Tone, new_id
from studio.errors import InvalidFieldValue, LikenessError, NotFound, from_validation
from studio.models import SAMPLERS, SCHEDULERS, draws, size_near
from studio.orders import NO_PRESET
from studio.prompts import beside, check_something_to_draw, on_model, toning
from studio.studio import Studio
from tabs.languages import later, t
from tabs.live import choice, live

MOST_PICTURES = 8
OPEN = ""  # what a menu holds when the choice is left to the preset or the model


class Shape(NamedTuple):
    """An aspect ratio that can be chosen."""

    id: str
    name: str

    @property
    def ratio(self) -> float:
        """Width ÷ height."""
        width, height = self.id.split(":")
        return int(width) / int(height)


SHAPES = (
    Shape("1:1", later("Square")),
    Shape("4:5", later("Portrait")),
    Shape("2:3", later("Tall portrait")),
    Shape("9:16", later("Phone")),
    Shape("5:4", later("Landscape")),
    Shape("3:2", later("Photo")),
    Shape("16:9", later("Wide")),
)
QUALITIES = (
    (Quality.low, later("Low"), later("A quick sketch: about half the steps.")),
    (Quality.standard, later("Standard"), later("The steps that the preset or the model was made for.")),
    (Quality.pro, later("Pro"), later("More steps: slower, with finer detail.")),
)


class Outcome(Contract):
    """What the page hears after a click. `count` pictures were asked for; `error` is set when nothing was accepted."""

    ok: bool
    click: str
    job_id: str = ""
    jobs: int = 0
    count: int = 0
    error: Problem | None = None


class Hints(NamedTuple):
    """What the fields show while they are left open, and what shapes mean in pixels."""

    shapes: list[dict[str, str]]
    width: str
    height: str
    steps: str
    cfg: str
    grain: str
    tone_strength: str


# Decided here


def size_of(shape_id: str, model: ModelSpec, preset: Preset | None = None) -> tuple[int, int]:
    """Width and height in pixels of a shape: on the model's grid, near the area it likes. A preset's own size wins for its own shape.

    Raises InvalidFieldValue for a shape that isn't one.
    """
    shape = next((shape for shape in SHAPES if shape.id == shape_id), None)
    if shape is None:
        raise InvalidFieldValue(f"There is no shape “{shape_id}”.", field="width", remedy="Choose one of the seven shapes.")
    for width, height in _own_sizes(model, preset):
        if shape_of(width, height) == shape_id:
            return width, height
    return size_near(shape.ratio, model)


def shape_of(width: int, height: int) -> str:
    """The id of the shape that is nearest to a size."""
    return min(SHAPES, key=lambda shape: abs(math.log(width / height / shape.ratio))).id


def request_of(values: Mapping[str, Any], model: ModelSpec, preset: Preset | None) -> GenerateRequest:
    """The request that a filled-in form stands for. Empty fields are left open. Raises the error that names the first field at fault."""
    chosen = values.get("references") or {}
    whole = {
        **values,
        **_workflow(values.get("workflow")),
        # With a picture to start from, what was said of the references doesn't count: they give their captions alone.
        **(values.get("source") or {name: value for name, value in chosen.items() if name != "ids"}),
        **_written(values.get("written")),
        "references": chosen.get("ids", []),
    }
    fields = {name: value for name, value in whole.items() if value not in (None, OPEN) and name not in _FORM_ALONE}
    if fields.get("character") and not fields.get("preset"):
        # The form shows which preset is used: none means none, also where the character has one of its own.
        fields["preset"] = NO_PRESET
    if fields.get("width") is None and fields.get("height") is None and not fields.get("mask"):
        # With a mask the picture keeps its own size.
        fields["width"], fields["height"] = size_of(values.get("shape") or SHAPES[0].id, model, preset)
    try:
        request = GenerateRequest.model_validate(fields)
    except ValidationError as error:
        raise from_validation(error) from error
    check_something_to_draw(request)
    return request


def _workflow(chosen: Mapping[str, Any] | None) -> dict[str, Any]:
    if not chosen:
        return {"workflow": None}
    # It draws with a model of its own, one of its values.
    return {"values": {}, **chosen, "workflow": chosen["id"], "model": None}


def _written(written: Mapping[str, str] | None) -> dict[str, Any]:
    if not written:
        return {}
    # What the engine reads was edited by hand: then nothing is added to it, or resolved in it.
    return {"prompt": written["prompt"], "negative_prompt": written["negative_prompt"], "as_written": True, "wildcards": False}


def settings_of(
    picture: Picture, request: GenerateRequest | None, model: ModelSpec | None, preset: Preset | None, style: Preset | None = None
) -> dict[str, Any]:
    """What the form must hold to make this picture again.

    `request` is what was asked for then; it, the model, the preset and the style may be gone since. Raises NotFound for uploads.
    """
    recipe = picture.recipe
    if recipe is None:
        raise NotFound("This picture was not made here, so it has no settings.", remedy="Choose a picture that was generated.")
    kept = request is not None and all(
        found is not None or name in (None, NO_PRESET) for found, name in ((preset, request.preset), (style, request.style))
    )
    if request is not None and kept:
        asked = request.model_dump(mode="json", include=set(_REUSED))
    else:
        asked = recipe.model_dump(mode="json", include=set(_REUSED)) | {"preset": OPEN, "style": OPEN}
        # The recipe's words are final, those of the character, preset and style among them: nothing may be added to them again.
        asked["written"] = {"prompt": recipe.prompt, "negative_prompt": recipe.negative_prompt}
        if request is not None:
            asked |= {"prompt": request.prompt, "negative_prompt": request.negative_prompt, "quality": request.quality.value}
    if request is not None and request.as_written:
        asked["written"] = {"prompt": request.prompt, "negative_prompt": request.negative_prompt}
    if recipe.reference:
        start = {"denoise": recipe.denoise, "real_person": recipe.real_person} if recipe.reference == recipe.image else {}
        asked["references"] = {"ids": [recipe.reference], **start}
    if recipe.image and recipe.image != recipe.reference:
        asked["source"] = {"image": recipe.image, "mask": recipe.mask, "denoise": recipe.denoise, "real_person": recipe.real_person}
    if request is not None and request.workflow:
        asked["workflow"] = {"id": request.workflow, "values": request.values, "real_person": request.real_person}
    asked["character"] = recipe.character if request is not None else None
    shape = shape_of(recipe.width, recipe.height)
    if recipe.mask:
        # Left open it is the source's own, as one that no model draws as a whole must have been.
        is_open = (request is not None and not request.width and not request.height) or (
            model is not None and not draws(recipe.width, recipe.height, model)
        )
    else:
        is_open = model is not None and size_of(shape, model, preset if asked.get("preset") else None) == (recipe.width, recipe.height)
    width, height = (None, None) if is_open else (recipe.width, recipe.height)
    if asked.pop("wildcards", True) is False:
        asked["wildcards"] = "false"
    asked |= {name: OPEN for name in ("preset", "style") if asked.get(name) == NO_PRESET}
    settings = {**_BLANK, **{name: value for name, value in asked.items() if value is not None}}
    return settings | {"model": recipe.model, "shape": shape, "width": width, "height": height, "seed": picture.seed, "count": 1}


def hints(model: ModelSpec, preset: Preset | None, style: Preset | None = None, shape: str | None = None) -> Hints:
    """What the fields show while they are left open. `shape` is the chosen one; without it the preset's or the model's own."""
    width, height = size_of(shape, model, preset) if shape else next(_own_sizes(model, preset))
    steps = (preset and preset.steps) or model.steps
    cfg = preset.cfg if preset and preset.cfg is not None else model.cfg
    under = beside(preset, style)
    toned = toning(under, style)
    strength = toned.tone_strength if toned and toned.tone_strength is not None else 1
    grain = next((look.grain for look in (under, style) if look and look.grain is not None), 0)
    shapes = [{"id": shape.id, "name": shape.name, "size": "{} × {}".format(*size_of(shape.id, model, preset))} for shape in SHAPES]
    return Hints(shapes, str(width), str(height), str(steps), f"{cfg:g}", f"{grain:g}", f"{strength:g}")


# Done here


def on_generate(studio: Studio, values: Mapping[str, Any]) -> Outcome:
    """A click on Generate: the job is on disk when this returns, or `error` says why not."""
    click = new_id()
    try:
        model, preset = _chosen(studio, values)
        request = request_of(values, model, preset)
        submitted = studio.generate(request, correlation_id=click)
    except LikenessError as error:
        problem = Problem(code=error.code, message=error.message, remedy=error.remedy, field=error.field, correlation_id=click)
        return Outcome(ok=False, click=click, error=problem)
    jobs = len(submitted.job_ids)
    # Alternatives in a prompt make one job of each picture.
    return Outcome(ok=True, click=click, job_id=submitted.job_id, jobs=jobs, count=jobs if is_dynamic(request) else jobs * request.count)


def on_reuse(studio: Studio, picture_id: str) -> dict[str, Any]:
    """The settings of a picture, for the form. Raises NotFound when it is gone or was not made here."""
    picture = studio.picture(picture_id)
    request = preset = style = None
    if picture.job_id is not None and picture.recipe is not None:
        with suppress(NotFound):
            request = studio.job(picture.job_id).request
        with suppress(NotFound):
            preset = studio.preset(picture.recipe.preset or "")
        with suppress(NotFound):
            style = studio.preset((request and request.style) or "")
    models = studio.models()
    model = next((model for model in models if picture.recipe and model.id == picture.recipe.model), None)
    if preset is not None and model is not None:
        preset = on_model(preset, model)
    settings = settings_of(picture, request, model, preset, style)
    if settings["workflow"]:
        try:
            studio.workflow(settings["workflow"]["id"])
        except NotFound:
            settings["workflow"] = None
    # A model that is gone leaves its place to the default; everything else still holds.
    return settings if model else settings | {"model": models[0].id}


def on_recall(studio: Studio, kept: Any) -> dict[str, Any]:
    """The settings that a browser kept over a reload, for the form. What is gone since, or was never one, gives way to what is usual."""
    kept = kept if isinstance(kept, dict) else {}
    models = studio.models()
    usual = {**_BLANK, "model": models[0].id, "prompt": "", "shape": SHAPES[0].id, "width": None, "height": None, "seed": None, "count": 1}
    settings = {name: kept[name] if isinstance(kept.get(name), _KINDS.get(name, str)) else value for name, value in usual.items()}
    if all(model.id != settings["model"] for model in models):
        settings["model"] = models[0].id
    known = {preset.id for preset in studio.presets()}
    settings |= {name: OPEN for name in ("preset", "style") if settings[name] not in known}
    if all(shape.id != settings["shape"] for shape in SHAPES):
        settings["shape"] = SHAPES[0].id
    with suppress(NotFound):
        if settings["workflow"]:
            studio.workflow(str(settings["workflow"].get("id")))
        return settings
    return settings | {"workflow": None}


def on_character(studio: Studio, character_id: str, preset_id: str) -> str:
    """Another character was chosen: the preset that goes with it, or the one that was chosen before."""
    if not character_id:
        return preset_id
    try:
        return studio.character(character_id).preset or preset_id
    except NotFound:
        return preset_id


def on_source(studio: Studio, source: Mapping[str, Any] | None, preset_id: str, model_id: str) -> tuple[str, int | None, int | None]:
    """Another picture to start from was chosen: the shape that fits it, and its own size where the model can draw that.

    With a mask the size is left open, which keeps the picture's own.
    """
    model, preset = _chosen(studio, {"preset": preset_id, "model": model_id})
    if not source or not source.get("image"):
        return shape_of(*next(_own_sizes(model, preset))), None, None
    picture = studio.picture(str(source["image"]))
    own = draws(picture.width, picture.height, model) and not source.get("mask")
    width, height = (picture.width, picture.height) if own else (None, None)
    return shape_of(picture.width, picture.height), width, height


def cards(studio: Studio, model_id: str | None) -> list[dict[str, Any]]:
    """What the cards of presets and styles show besides: whether there is an example picture, and why one doesn't run with the model."""
    try:
        presets = studio.presets(model=model_id or studio.models()[0].id)
    except InvalidFieldValue:
        presets = studio.presets()
    pictured = {path.stem for path in _EXAMPLES.glob("*.webp")}
    return [
        {"id": each.id, "pictured": each.id in pictured, "why": each.why_not, "remedy": each.remedy, "link": each.link} for each in presets
    ]


def on_choice(
    studio: Studio,
    preset_id: str | None,
    model_id: str | None,
    workflow: Mapping[str, Any] | None = None,
    style_id: str | None = None,
    shape: str | None = None,
) -> Hints:
    """Another preset, style, model or workflow was chosen: what the open fields mean now."""
    model, preset = _chosen(studio, {"preset": preset_id, "model": model_id, "workflow": workflow})
    style = next((each for each in studio.presets() if each.id == style_id and each.is_style), None)
    return hints(model, preset, style and style.on(model.family), shape)


# Drawn here


def build(studio: Studio, blocks: gr.Blocks, tabs: gr.Tabs) -> None:
    """Draw the tab and connect it. `tabs` is told to come here when a picture's settings are to be used."""
    with gr.Row(elem_id="workbench"):
        with gr.Column(elem_id="form", min_width=0):
            form = _draw_form(studio)
        live("likeness-stage", elem_id="stage")
    _tell_expert_values(form)
    _connect(studio, blocks, tabs, form, {name: _bridge(name) for name in ("outcome", "reuse", "recall")})


def _draw_form(studio: Studio) -> dict[str, Any]:
    models = studio.models()
    hint = hints(models[0], None)
    form: dict[str, Any] = {}
    with gr.Column(elem_id="fields", min_width=0):
        form["character"] = choice(
            "who",
            label=later("Character"),
            info=later("Whom the picture shows. Their looks, trigger word, LoRA and negative prompt are added for you."),
            value="",
            elem_id="field-character",
        )
        form["prompt"] = gr.Textbox(
            label=t("Prompt"),
            info=t(
                "What the picture shows, in your own words. The starter model knows hair, skin, clothes, glasses, backgrounds and styles."
            ),
            placeholder=t("portrait of a person with long red hair, round glasses, wearing a green hoodie, flat avatar style"),
            lines=4,
            max_lines=12,
            max_length=10_000,
            elem_id="field-prompt",
        )
        form["negative_prompt"] = gr.Textbox(
            label=t("Negative prompt"),
            info=t("What should not be in the picture. The preset adds its own words to these."),
            placeholder=t("blurry, extra fingers"),
            lines=1,
            max_lines=6,
            max_length=10_000,
            elem_id="field-negative_prompt",
            elem_classes="advanced-only",
        )
        form["written"] = choice(
            "written",
            label=later("What the engine reads"),
            info=later(
                "Your words together with those of character, preset and style; a made-up word like nova_lk is the trigger word. "
                "Change them and they are taken exactly as they stand."
            ),
            value=None,
            elem_id="field-written",
        )
        with gr.Accordion(t("Start from a picture"), open=False, elem_id="starting"):
            form["source"] = choice(
                "source",
                label=later("Picture to start from"),
                info=later("The new picture keeps its composition. Paint a mask to draw only a part of it anew."),
                value=None,
                elem_id="field-source",
            )
            form["references"] = choice(
                "references",
                label=later("References"),
                info=later("Poses, places and outfits from your library. Each makes pictures of its own, with its own caption."),
                value=None,
                elem_id="field-references",
            )
        form["preset"] = choice(
            "cards",
            label=later("Preset"),
            info=later(
                "Size, steps and sampling that suit a purpose, with a few words of its own. Point at one to read what it is good for."
            ),
            value="",
            items=cards(studio, None),
            elem_id="field-preset",
            folds=True,
        )
        form["style"] = choice(
            "styles",
            label=later("Style"),
            info=later("How it is drawn, with any preset: the style's words take the place of the preset's own style."),
            value="",
            items=cards(studio, None),
            elem_id="field-style",
            folds=True,
        )
        form["shape"] = choice(
            "shapes",
            label=later("Shape"),
            info=later("Width to height of the picture. The size in pixels is the one the model draws best."),
            value=SHAPES[0].id,
            items=hint.shapes,
            elem_id="field-shape",
            folds=True,
        )
        with gr.Row(elem_id="how-many", elem_classes="pair"):
            form["count"] = choice(
                "stepper",
                label=later("Pictures"),
                info=later("How many to make at once, each from the next seed."),
                value=1,
                items=[{"id": "1"}, {"id": str(MOST_PICTURES)}],
                elem_id="field-count",
            )
            form["quality"] = choice(
                "segments",
                label=later("Quality"),
                info=later("How much time a picture may take."),
                value=Quality.standard.value,
                items=[{"id": quality.value, "name": name, "about": about} for quality, name, about in QUALITIES],
                elem_id="field-quality",
            )
        form["seed"] = choice(
            "seed",
            label=later("Seed"),
            info=later("Where the randomness starts. The same seed and settings give the same picture; empty takes a new one each time."),
            value=None,
            items=[{"hint": later("Random")}],
            elem_id="field-seed",
            folds=True,
        )
        with gr.Accordion(t("More settings"), open=False, elem_id="advanced"):
            _draw_advanced(form, models, hint)
        # In the simple view those fields are out of sight; what they hold still counts, and that is said.
        live("likeness-counting", elem_id="counting")
    with gr.Column(elem_id="go", min_width=0):
        live("likeness-offline", elem_id="offline")
        form["generate"] = gr.Button(t("Generate"), variant="primary", elem_id="make")
    return form


def _draw_advanced(form: dict[str, Any], models: Sequence[ModelSpec], hint: Hints) -> None:
    with gr.Row(elem_classes=_EXPERT_PAIR):
        form["variations"] = choice(
            "stepper",
            label=later("Variations"),
            info=later("How many jobs to make of each reference and each grid cell, with the next seeds."),
            value=1,
            items=[{"id": "1"}, {"id": "5"}],
            elem_id="field-variations",
        )
        form["wildcards"] = choice(
            "segments",
            label=later("Alternatives in prompts"),
            info=later("{red|blue} takes one of the words, __hair__ a line of the file wildcards/hair.txt, for each picture anew."),
            value="true",
            items=[
                {"id": "true", "name": later("Resolve"), "about": later("Choose one for each picture.")},
                {"id": "false", "name": later("Leave"), "about": later("Take the prompt literally.")},
            ],
            elem_id="field-wildcards",
        )
    form["grid"] = choice(
        "grid",
        label=later("Grid"),
        info=later("The same picture with one or two settings varied, side by side, all from one seed."),
        value=None,
        elem_id="field-grid",
        advanced=True,
    )
    form["model"] = gr.Dropdown(
        _model_choices(models),
        value=models[0].id,
        label=t("Model"),
        info=t("The checkpoint that draws. Put more of them into the folder “models” of your data folder."),
        filterable=False,
        elem_id="field-model",
    )
    form["workflow"] = choice(
        "workflow",
        label=later("Workflow"),
        info=later("The ComfyUI graph that makes the picture. Import your own: its inputs become fields here."),
        value=None,
        elem_id="field-workflow",
        advanced=True,
    )
    for pair in (_SIZES, _STRENGTHS):
        with gr.Row(elem_classes=_EXPERT_PAIR):
            for name, label, info in pair:
                form[name] = choice(
                    "number", label=label, info=info, value=None, items=_hint(getattr(hint, name)), elem_id=f"field-{name}", min_width=0
                )
    with gr.Row(elem_classes=_EXPERT_PAIR):
        for name, label, info, choices in (
            ("sampler", t("Sampler"), t("The method that takes the noise away, step by step."), SAMPLERS),
            ("scheduler", t("Scheduler"), t("How the steps are spread between noise and picture."), SCHEDULERS),
        ):
            form[name] = gr.Dropdown(
                [(later("As the preset says"), OPEN), *((choice.name, choice.id) for choice in choices)],
                value=OPEN,
                label=label,
                info=info,
                filterable=False,
                min_width=0,
                elem_id=f"field-{name}",
            )
    form["grain"] = choice(
        "number",
        label=later("Film grain"),
        info=later("Laid over the finished picture, 0 to 1; it follows from the seed. Empty: as the preset says."),
        value=None,
        items=_hint(hint.grain),
        elem_id="field-grain",
        advanced=True,
    )
    with gr.Row(elem_classes=_EXPERT_PAIR):
        form["tone"] = gr.Dropdown(
            [(later("As the preset says"), OPEN), *((name, tone.value) for tone, name in _TONES)],
            value=OPEN,
            label=t("Tone mapping"),
            info=t("How light and dark are spread in the finished picture. Reinhard rolls off highlights and opens shadows."),
            filterable=False,
            min_width=0,
            elem_id="field-tone",
        )
        form["tone_strength"] = choice(
            "number",
            label=later("Tone strength"),
            info=later("How much of the tone mapping is taken, 0 to 1. Empty: as the preset says, otherwise all of it."),
            value=None,
            items=_hint(hint.tone_strength),
            elem_id="field-tone_strength",
            min_width=0,
        )
    form["loras"] = choice(
        "loras",
        label=later("LoRAs"),
        info=later("Small additions that teach the model a style or a person. Strength 1 is as trained."),
        value=[],
        elem_id="field-loras",
    )
    for name, label, info in (
        ("prompt_suffix", t("Prompt suffix"), t("Added to the end of the prompt, after the preset's own words.")),
        ("negative_suffix", t("Negative suffix"), t("Added to the end of the negative prompt.")),
    ):
        form[name] = gr.Textbox(
            label=label, info=info, lines=1, max_lines=4, max_length=10_000, elem_id=f"field-{name}", elem_classes="advanced-only"
        )


def _hint(words: str) -> list[dict[str, str]]:
    return [{"hint": words}]


def _bridge(name: str) -> gr.HTML:
    """A part nobody sees: it passes a value from the page's scripts to a handler (`reuse`, `recall`) or from one to them (`outcome`)."""
    return gr.HTML(
        None,
        html_template="<span></span>",
        js_on_load=f"""
document.addEventListener('likeness:{name}', (event) => {{ props.value = event.detail; trigger('submit'); }});
watch('value', () => document.dispatchEvent(new CustomEvent('likeness:{name}-answer', {{ detail: props.value }})));
document.documentElement.toggleAttribute('data-{name}', true);
document.dispatchEvent(new CustomEvent('likeness:{name}-ready'));
""",
        visible="hidden",
        apply_default_css=False,
        elem_id=f"bridge-{name}",
    )


def _tell_expert_values(form: Mapping[str, Any]) -> None:
    """Whenever the page asks, tell it what the fields of the advanced view hold; they may not be drawn."""
    asked = gr.HTML(
        None,
        html_template="<span></span>",
        js_on_load="document.addEventListener('likeness:count', () => trigger('submit')); setTimeout(() => trigger('submit'), 0);",
        visible="hidden",
        apply_default_css=False,
        elem_id="bridge-count",
    )
    asked.submit(
        None,
        [form[name] for name in _EXPERT],
        None,
        js=f"""(...values) => {{
    const held = Object.fromEntries({list(_EXPERT)}.map((name, place) => [name, values[place]]));
    document.dispatchEvent(new CustomEvent('likeness:counted', {{ detail: held }}));
}}""",
        show_progress="hidden",
    )


def _connect(studio: Studio, blocks: gr.Blocks, tabs: gr.Tabs, form: dict[str, Any], bridges: Mapping[str, gr.HTML]) -> None:
    quick: dict[str, Any] = {"queue": False, "concurrency_limit": None, "show_progress": "hidden", "api_visibility": "private"}
    button, outcome, reuse, recall = form.pop("generate"), *(bridges[name] for name in ("outcome", "reuse", "recall"))
    hinted = ("shape", "width", "height", "steps", "cfg", "grain", "tone_strength")

    def clicked(*values: Any) -> dict[str, Any]:
        return on_generate(studio, dict(zip(form, values, strict=True))).model_dump(mode="json")

    def preset_chosen(preset: str, model: str, workflow: Any = None, style: str = OPEN, shape: str | None = None) -> list[Any]:
        _, own = _chosen(studio, {"preset": preset, "model": model, "workflow": workflow})
        if own is None or not own.width or not own.height:
            return style_chosen(preset, model, workflow, style, shape)
        # A preset comes with its own size; what was typed or picked before makes way.
        shape = shape_of(own.width, own.height)
        shown = style_chosen(preset, model, workflow, style, shape)
        shown[0]["value"] = shape
        shown[1]["value"] = shown[2]["value"] = None
        return shown

    def style_chosen(preset: str, model: str, workflow: Any = None, style: str = OPEN, shape: str | None = None) -> list[Any]:
        return _shown(on_choice(studio, preset, model, workflow, style, shape))

    def model_chosen(preset: str, model: str, workflow: Any = None, style: str = OPEN, shape: str | None = None) -> list[Any]:
        found = gr.update(items=cards(studio, model))
        return [*style_chosen(preset, model, workflow, style, shape), found, found]

    def reused(picture_id: str) -> list[Any]:
        try:
            settings = on_reuse(studio, picture_id)
            hint = on_choice(studio, settings["preset"], settings["model"], settings["workflow"], settings["style"], settings["shape"])
        except LikenessError as error:
            raise gr.Error(f"{error.message} {error.remedy}", title="These settings can't be used") from error
        return [*filled(settings, hint), gr.update(selected="generate"), {"taken": picture_id}]

    def recalled(kept: Any) -> list[Any]:
        try:
            settings = on_recall(studio, kept)
            hint = on_choice(studio, settings["preset"], settings["model"], settings["workflow"], settings["style"], settings["shape"])
        except LikenessError:
            return [gr.skip()] * len(form)
        return filled(settings, hint)

    def filled(settings: Mapping[str, Any], hint: Hints) -> list[Any]:
        updates = {name: gr.update(value=settings[name]) for name in form}
        for name, shown in zip(hinted, _shown(hint), strict=True):
            updates[name] |= shown
        for name in ("preset", "style"):
            updates[name] |= gr.update(items=cards(studio, settings["model"]))
        return list(updates.values())

    button.click(clicked, list(form.values()), outcome, trigger_mode="multiple", **quick)
    chosen = [form["preset"], form["model"]]
    drawn = [*chosen, form["workflow"], form["style"], form["shape"]]
    form["character"].input(
        lambda *chosen: on_character(studio, *chosen),
        [form["character"], form["preset"]],
        form["preset"],
        trigger_mode="always_last",
        **quick,
    ).then(preset_chosen, drawn, [form[name] for name in hinted], **quick)
    form["source"].input(
        lambda *given: on_source(studio, *given),
        [form["source"], *chosen],
        [form["shape"], form["width"], form["height"]],
        trigger_mode="always_last",
        **quick,
    )
    form["preset"].input(preset_chosen, drawn, [form[name] for name in hinted], trigger_mode="always_last", **quick)
    form["style"].input(style_chosen, drawn, [form[name] for name in hinted], trigger_mode="always_last", **quick)
    sides = [form["width"], form["height"]]
    form["shape"].input(lambda *now: style_chosen(*now)[1:3], drawn, sides, trigger_mode="always_last", **quick)
    seen = [*(form[name] for name in hinted), form["preset"], form["style"]]
    form["model"].input(model_chosen, drawn, seen, trigger_mode="always_last", **quick)
    form["workflow"].input(model_chosen, drawn, seen, trigger_mode="always_last", **quick)
    recall.submit(recalled, recall, list(form.values()), **quick).then(
        None, None, None, js="() => { document.dispatchEvent(new CustomEvent('likeness:count')); }", show_progress="hidden"
    )
    for name in ("model", "sampler", "scheduler", "tone"):
        form[name].change(None, form[name], None, js=_TELL_JS.replace("NAME", name), show_progress="hidden")
    form["model"].change(
        None,
        form["model"],
        None,
        js="(model) => { document.dispatchEvent(new CustomEvent('likeness:model', { detail: model })); }",
        show_progress="hidden",
    )
    # A shape that is picked by hand wins over pixels that were typed before.
    form["shape"].input(None, None, sides, js="() => [null, null]", show_progress="hidden")
    reuse.submit(reused, reuse, [*form.values(), tabs, reuse], trigger_mode="always_last", **quick)
    # Models that were put into the folder since the studio started.
    blocks.load(functools.partial(_refresh_models, studio), None, form["model"], **quick)


# What a menu holds is known to Gradio alone; draft.js keeps it over a reload.
_TELL_JS = """(value) => {
    document.dispatchEvent(new CustomEvent('likeness:menu', { detail: { name: 'NAME', value } }));
    return [];
}"""


def _refresh_models(studio: Studio) -> Any:
    return gr.update(choices=_model_choices(studio.models()))


def _shown(hint: Hints) -> list[dict[str, Any]]:
    return [gr.update(items=hint.shapes), *(gr.update(items=_hint(words)) for words in hint[1:])]


def _model_choices(models: Sequence[ModelSpec]) -> list[tuple[str, str | int | float]]:
    # Names alone: the page fills in no texts of Gradio's own menus.
    return [(model.name if model.engine == "embedded" else f"{model.name} (ComfyUI)", model.id) for model in models]


def _chosen(studio: Studio, values: Mapping[str, Any]) -> tuple[ModelSpec, Preset | None]:
    models = studio.models()
    wanted = values.get("model") or models[0].id
    workflow = values.get("workflow")
    if workflow:
        own = studio.workflow_model(str(workflow["id"]), workflow.get("values") or {})
        models, wanted = (own,), own.id
    model = next((model for model in models if model.id == wanted), None)
    if model is None:
        raise InvalidFieldValue(
            f"The model “{wanted}” is not there any more.", field="model", remedy="Choose another one under More settings."
        )
    if not values.get("preset"):
        return model, None
    try:
        return model, on_model(studio.preset(values["preset"]), model)
    except NotFound as error:
        raise InvalidFieldValue("This preset is not there any more.", field="preset", remedy="Choose another one.") from error


def _own_sizes(model: ModelSpec, preset: Preset | None) -> Iterator[tuple[int, int]]:
    if preset is not None and preset.width and preset.height:
        yield preset.width, preset.height
    yield model.width, model.height


_SIZES = (
    ("width", later("Width"), later("In pixels. Empty: as the shape says.")),
    ("height", later("Height"), later("In pixels. Empty: as the shape says.")),
)
_STRENGTHS = (
    (
        "steps",
        later("Steps"),
        later("How many times the picture is refined, 1 to 150. Empty: as the preset, the model and the quality say."),
    ),
    ("cfg", later("CFG scale"), later("How closely the prompt is followed, 0 to 30. Low is free, high is literal and harsh.")),
)
_EXAMPLES = Path(__file__).parent / "assets" / "presets"
_TONES = ((Tone.none, later("None")), (Tone.reinhard, later("Reinhard")))
_EXPERT_PAIR = ["pair", "advanced-only"]
# The fields that only the advanced view shows, as they stand there.
_EXPERT = (
    "negative_prompt",
    "variations",
    "wildcards",
    "grid",
    "workflow",
    "width",
    "height",
    "steps",
    "cfg",
    "sampler",
    "scheduler",
    "grain",
    "tone",
    "tone_strength",
    "prompt_suffix",
    "negative_suffix",
)
_REUSED = (
    "wildcards",
    "prompt",
    "negative_prompt",
    "preset",
    "style",
    "quality",
    "loras",
    "steps",
    "cfg",
    "sampler",
    "scheduler",
    "grain",
    "tone",
    "tone_strength",
    "prompt_suffix",
    "negative_suffix",
)
# What a kept value may be, where it isn't text.
_NUMBER = (int, float)
_KINDS: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("written", "source", "workflow", "references", "grid"), dict),
    **dict.fromkeys(("width", "height", "steps", "cfg", "seed", "count", "variations", "grain", "tone_strength"), _NUMBER),
    "loras": list,
}
_FORM_ALONE = frozenset({"shape", "source", "written", "id"})
_BLANK: dict[str, Any] = {
    "character": OPEN,
    "written": None,
    "source": None,
    "workflow": None,
    "references": None,
    "variations": 1,
    "grid": None,
    "wildcards": "true",
    "negative_prompt": "",
    "preset": OPEN,
    "style": OPEN,
    "quality": Quality.standard.value,
    "loras": [],
    "steps": None,
    "cfg": None,
    "sampler": OPEN,
    "scheduler": OPEN,
    "grain": None,
    "tone": OPEN,
    "tone_strength": None,
    "prompt_suffix": "",
    "negative_suffix": "",
}
