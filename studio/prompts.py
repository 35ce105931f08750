"""From what a person asked, a preset and a model to a recipe with nothing left open. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeVar

from studio.contracts import DEFAULT_TEMPLATE, Character, GenerateRequest, LoraUse, ModelSpec, Preset, Quality, Recipe, Tone
from studio.errors import InvalidFieldValue, MissingRequiredField
from studio.models import check_sampling, draws, size_near
from studio.presets import check_preset

QUALITY_STEPS = {Quality.low: 0.5, Quality.standard: 1.0, Quality.pro: 1.5}
MAX_STEPS = 150
DEFAULT_CAPTION = "portrait of a person"

T = TypeVar("T")
_PLACEHOLDER = re.compile(r"\{(\w+)\}")


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
    # A workflow may hold its own words.
    if not (request.prompt or request.character or request.references or request.image or request.workflow):
        raise MissingRequiredField("The prompt is empty.", field="prompt", remedy="Say in a few words what the picture shows.")
    if request.mask and not request.image:
        raise MissingRequiredField("A mask needs its picture.", field="image", remedy="Send the picture that the mask was painted on.")


def compose(
    request: GenerateRequest,
    preset: Preset | None,
    model: ModelSpec,
    *,
    seed: int,
    style: Preset | None = None,
    character: Character | None = None,
    caption: str = "",
    template: str = DEFAULT_TEMPLATE,
    source: tuple[int, int] | None = None,
) -> Recipe:
    """The recipe of a request. What the request says goes before the character, the preset, the style and the model, in this order.

    `caption` is that of the reference it starts from; `seed` is taken where the request leaves it open. `source` is the size of the picture
    under a mask: it stays where the request names none, whatever sides the model draws.
    Raises InvalidFieldValue naming the field and what would do.
    """
    if preset is not None:
        check_preset(preset, model)
        preset = on_model(preset, model)
    if style is not None:
        check_preset(style, model, "style")
        style = style.on(model.family)
    look = (style or preset) if style or (preset and preset.is_style) else None
    preset = beside(preset, style)
    if source is not None and request.width is None and request.height is None:
        width, height = source
    else:
        width = _first(request.width, preset.width if preset else None, model.width)
        height = _first(request.height, preset.height if preset else None, model.height)
        _check_side("width", width, model)
        _check_side("height", height, model)
    sampler = request.sampler or (preset.sampler if preset else None) or model.sampler
    scheduler = request.scheduler or (preset.scheduler if preset else None) or model.scheduler
    # A model on a server may come with samplers that no menu here has.
    check_sampling(sampler, scheduler, model.family, own=(model.sampler, model.scheduler))
    prompt, negative = prompts_of(request, preset, character, style=style, caption=caption, template=template)
    loras = _loras(request, preset, style, character)
    if preset is not None and preset.needs.identity and not (loras or request.image):
        raise InvalidFieldValue(
            f"The preset “{preset.name}” keeps one person's looks, and there is nobody to keep to.",
            field="preset",
            remedy="Choose a character with a LoRA or a portrait, or a picture to start from.",
        )
    toned = toning(preset, style)
    return Recipe(
        prompt=prompt,
        negative_prompt=negative,
        preset=preset.id if preset else None,
        style=look.id if look else None,
        engine=model.engine,
        model=model.id,
        loras=loras,
        width=width,
        height=height,
        steps=request.steps or _steps(preset.steps if preset and preset.steps else model.steps, request.quality),
        cfg=_first(request.cfg, preset.cfg if preset else None, model.cfg),
        sampler=sampler,
        scheduler=scheduler,
        seed=seed if request.seed < 0 else request.seed,
        count=request.count,
        character=character.id if character else None,
        image=request.image,
        mask=request.mask,
        denoise=request.denoise or (preset.denoise if preset and request.image and not request.mask else None),
        grain=_first(request.grain, preset.grain if preset else None, style.grain if style else None, 0.0),
        tone=_first(request.tone, toned.tone if toned else None, Tone.none),
        tone_strength=_first(request.tone_strength, toned.tone_strength if toned else None, 1.0),
    )


def on_model(preset: Preset, model: ModelSpec) -> Preset:
    """The preset as it is on a model: its family's values, and the nearest size where the model does not draw the preset's."""
    preset = preset.on(model.family)
    if not preset.width or not preset.height or draws(preset.width, preset.height, model):
        return preset
    width, height = size_near(preset.width / preset.height, model)
    return preset.model_copy(update={"width": width, "height": height})


def prompts_of(
    request: GenerateRequest,
    preset: Preset | None,
    character: Character | None,
    *,
    style: Preset | None = None,
    caption: str = "",
    template: str = DEFAULT_TEMPLATE,
) -> tuple[str, str]:
    """The positive and the negative prompt as an engine gets them: character, caption and words, then what preset and style add."""
    if request.as_written:
        return request.prompt, request.negative_prompt
    words = _joined(", ".join(part for part in (request.prompt, caption) if part))
    if character is not None:
        words = fill(template, character, words or DEFAULT_CAPTION)
    preset = beside(preset, style)
    added = [*((preset.prompt_suffix, preset.style_words) if preset else ()), style.prompt_suffix if style else ""]
    positive = _joined(words or DEFAULT_CAPTION, *added, request.prompt_suffix)
    negative = _joined_once(
        character.negative_prompt if character else "",
        preset.negative_prompt if preset else "",
        style.negative_prompt if style else "",
        request.negative_prompt,
        request.negative_suffix,
    )
    return positive, negative


def beside(preset: Preset | None, style: Preset | None) -> Preset | None:
    """What is left of a preset beside a style that was chosen: all but its own style, and what that style is no picture without."""
    if preset is None or style is None:
        return preset
    if preset.is_style:
        plain = {
            "prompt_suffix": "",
            "style_words": "",
            "negative_prompt": "",
            "loras": (),
            "grain": None,
            "tone": None,
            "tone_strength": None,
        }
        return preset.model_copy(update=plain)
    # “illustration” must not be forbidden by a preset for photographs where an illustration is asked for.
    kept = [phrase for phrase in map(str.strip, preset.negative_prompt.split(",")) if phrase and not _names(style.prompt_suffix, phrase)]
    return preset.model_copy(update={"style_words": "", "negative_prompt": ", ".join(kept)})


def toning(preset: Preset | None, style: Preset | None) -> Preset | None:
    """Whose tone mapping a picture gets: the preset's, else the style's; the strength belongs to it."""
    return style if preset is None or (preset.tone is None and style is not None) else preset


def fill(template: str, character: Character, caption: str) -> str:
    """A template with a character's words in it; a part between commas whose words are missing drops out."""
    looks = character.appearance
    values = {
        "trigger_word": character.trigger_word,
        "name": character.name,
        "age": str(looks.age or ""),
        "gender": looks.gender,
        "skin": looks.skin,
        "hair": looks.hair,
        "eyes": looks.eyes,
        "build": looks.build,
        "marks": looks.marks,
        "wardrobe": character.wardrobe,
        "caption": caption,
    }
    parts: list[str] = []
    for part in template.split(","):
        names = _PLACEHOLDER.findall(part)
        if all(values.get(name) for name in names):
            parts.append(_PLACEHOLDER.sub(lambda found: values[found[1]], part).strip())
    return ", ".join(part for part in parts if part)


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


def _loras(request: GenerateRequest, preset: Preset | None, style: Preset | None, character: Character | None) -> tuple[LoraUse, ...]:
    uses = [*request.loras]
    if character is not None and character.lora and all(use.path != character.lora for use in uses):
        uses.insert(0, LoraUse(path=character.lora, strength=character.lora_strength))
    for look in (preset, style):
        uses += [use for use in (look.loras if look else ()) if all(use.path != other.path for other in uses)]
    return tuple(uses)


def _first(*values: T | None) -> T:
    return next(value for value in values if value is not None)


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


def _names(words: str, phrase: str) -> bool:
    return re.search(rf"\b{re.escape(phrase)}\b", words, re.IGNORECASE) is not None


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
