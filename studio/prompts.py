"""From what a person asked, a preset and a model to a recipe with nothing left open. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from studio.contracts import GenerateRequest, ModelSpec, Preset, Quality, Recipe
from studio.errors import InvalidFieldValue, MissingRequiredField
from studio.models import check_sampling

QUALITY_STEPS = {Quality.low: 0.5, Quality.standard: 1.0, Quality.pro: 1.5}
MAX_STEPS = 150

T = TypeVar("T")


@dataclass(frozen=True)
class Aspect:
    """The shape of a picture: width to height, and the word people know it by."""

    ratio: str
    name: str

    @property
    def value(self) -> float:
        """Width ÷ height."""
        wide, high = self.ratio.split(":")
        return int(wide) / int(high)


ASPECTS = (
    Aspect("1:1", "Square"),
    Aspect("4:5", "Portrait post"),
    Aspect("3:4", "Portrait"),
    Aspect("2:3", "Tall portrait"),
    Aspect("9:16", "Story"),
    Aspect("4:3", "Landscape"),
    Aspect("16:9", "Wide"),
)


def check_something_to_draw(request: GenerateRequest) -> None:
    """Raises MissingRequiredField for a request that says nothing, or has a mask without its picture."""
    if not (request.prompt or request.character or request.references or request.image):
        raise MissingRequiredField("The prompt is empty.", field="prompt", remedy="Say in a few words what the picture shows.")
    if request.mask and not request.image:
        raise MissingRequiredField("A mask needs its picture.", field="image", remedy="Send the picture that the mask was painted on.")


def compose(request: GenerateRequest, preset: Preset | None, model: ModelSpec, *, seed: int) -> Recipe:
    """The recipe of a request. What the request says goes before the preset, the preset before the model.

    `seed` is taken where the request leaves it open. Raises InvalidFieldValue naming the field and what would do.
    """
    if preset is not None:
        _check_preset(preset, model)
    width = _first(request.width, preset.width if preset else None, model.width)
    height = _first(request.height, preset.height if preset else None, model.height)
    _check_side("width", width, model)
    _check_side("height", height, model)
    sampler = request.sampler or (preset.sampler if preset else None) or model.sampler
    scheduler = request.scheduler or (preset.scheduler if preset else None) or model.scheduler
    check_sampling(sampler, scheduler, model.family)
    return Recipe(
        prompt=_joined(request.prompt, preset.prompt_suffix if preset else "", request.prompt_suffix),
        negative_prompt=_joined_once(request.negative_prompt, preset.negative_prompt if preset else "", request.negative_suffix),
        preset=preset.id if preset else None,
        engine=model.engine,
        model=model.id,
        loras=request.loras,
        width=width,
        height=height,
        steps=request.steps or _steps(preset.steps if preset and preset.steps else model.steps, request.quality),
        cfg=_first(request.cfg, preset.cfg if preset else None, model.cfg),
        sampler=sampler,
        scheduler=scheduler,
        seed=seed if request.seed < 0 else request.seed,
        count=request.count,
    )


def aspect_size(aspect: Aspect, model: ModelSpec) -> tuple[int, int]:
    """The size on the model's grid that comes nearest to a shape, with about as many pixels as the model likes best."""
    pixels = model.width * model.height
    sides = range(model.side_min, model.side_max + 1, model.side_step)

    def distance(size: tuple[int, int]) -> float:
        width, height = size
        shape = max(width / height / aspect.value, aspect.value * height / width)
        amount = max(width * height / pixels, pixels / (width * height))
        # The shape is what was chosen; the amount of pixels may give way a little.
        return (shape - 1) * 4 + (amount - 1)

    return min(((width, height) for width in sides for height in sides), key=distance)


def _first(*values: T | None) -> T:
    return next(value for value in values if value is not None)


def _check_preset(preset: Preset, model: ModelSpec) -> None:
    if model.engine not in preset.engines or model.family not in preset.families:
        raise InvalidFieldValue(
            f"The preset “{preset.name}” is not made for the model “{model.name}”.",
            field="preset",
            remedy=f"Choose a preset for {model.family.value} models, or a model of the kind {', '.join(preset.families)}.",
        )


def _check_side(field: str, side: int, model: ModelSpec) -> None:
    if model.side_min <= side <= model.side_max and (side - model.side_min) % model.side_step == 0:
        return
    nearest = min(range(model.side_min, model.side_max + 1, model.side_step), key=lambda allowed: abs(allowed - side))
    raise InvalidFieldValue(
        f"“{field}” is {side}; {model.name} makes sides of {model.side_min} to {model.side_max} pixels in steps of {model.side_step}.",
        field=field,
        remedy=f"The nearest size is {nearest}.",
    )


def _steps(steps: int, quality: Quality) -> int:
    return min(MAX_STEPS, max(1, round(steps * QUALITY_STEPS[quality])))


def _joined(prompt: str, *suffixes: str) -> str:
    # The person's own words stay as they are; a suffix adds only what they don't say already.
    whole = prompt.strip().strip(",").strip()
    for phrase in (phrase.strip() for suffix in suffixes for phrase in suffix.split(",")):
        if phrase and phrase.casefold() not in whole.casefold():
            whole = f"{whole}, {phrase}"
    return whole


def _joined_once(*parts: str) -> str:
    phrases = (phrase.strip() for part in parts for phrase in part.split(","))
    return ", ".join(dict.fromkeys(phrase for phrase in phrases if phrase))
