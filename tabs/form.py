"""What the Generate form means: its values become a request, and a picture's settings become its values again."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from studio.batches import is_dynamic
from studio.contracts import Contract, GenerateRequest, ModelSpec, Picture, Preset, Problem, Quality, SamplingChoice, new_id
from studio.errors import InvalidFieldValue, LikenessError, NotFound, from_validation
from studio.models import draws, size_near
from studio.orders import NO_PRESET
from studio.prompts import beside, check_something_to_draw, on_model, toning
from studio.studio import Studio
from tabs.languages import later

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
    asked["variant"] = request.variant if request is not None and asked["character"] else None
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
        model, preset = chosen_of(studio, values)
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
    if model is None:
        # It leaves its place to the default; everything else still holds.
        settings["model"] = models[0].id
    elif picture.recipe is not None and not settings["written"] and not settings["workflow"]:
        with suppress(LikenessError):
            asked = request_of(settings, model, preset)
            composed = studio.compose(asked)
            was = {"prompt": picture.recipe.prompt, "negative_prompt": picture.recipe.negative_prompt}
            # A character whose looks were changed since would make another picture of the same words.
            if not is_dynamic(asked) and {name: getattr(composed, name) for name in was} != was:
                settings["written"] = was
    return settings


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
    model, preset = chosen_of(studio, {"preset": preset_id, "model": model_id})
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


def sampling_of(
    studio: Studio, model_id: str | None, workflow: Mapping[str, Any] | None
) -> tuple[tuple[SamplingChoice, ...], tuple[SamplingChoice, ...]]:
    """The samplers and the schedulers that can be chosen with a model or a workflow; the default model's where it is gone."""
    try:
        found = studio.sampling(model_id or None, str(workflow["id"]) if workflow else None)
    except LikenessError:
        found = studio.sampling()
    return found.samplers, found.schedulers


def on_choice(
    studio: Studio,
    preset_id: str | None,
    model_id: str | None,
    workflow: Mapping[str, Any] | None = None,
    style_id: str | None = None,
    shape: str | None = None,
) -> Hints:
    """Another preset, style, model or workflow was chosen: what the open fields mean now."""
    model, preset = chosen_of(studio, {"preset": preset_id, "model": model_id, "workflow": workflow})
    style = next((each for each in studio.presets() if each.id == style_id and each.is_style), None)
    return hints(model, preset, style and style.on(model.family), shape)


def chosen_of(studio: Studio, values: Mapping[str, Any]) -> tuple[ModelSpec, Preset | None]:
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


_EXAMPLES = Path(__file__).parent / "assets" / "presets"
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
    "variant": OPEN,
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
