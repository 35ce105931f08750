"""From what a person asked, a preset and a model to a recipe with nothing left open. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeVar

from studio.contracts import (
    DEFAULT_TEMPLATE,
    Appearance,
    Character,
    GenerateRequest,
    LoraUse,
    ModelSpec,
    Preset,
    Quality,
    Recipe,
    Sampling,
    Tone,
)
from studio.errors import InvalidFieldValue, MissingRequiredField
from studio.models import check_sampling, draws, size_near
from studio.presets import check_preset

QUALITY_STEPS = {Quality.low: 0.5, Quality.standard: 1.0, Quality.pro: 1.5}
MAX_STEPS = 150
DEFAULT_CAPTION = "portrait of a person"
# The starter model draws no ages, and words like “34-year-old” cost it colours and style that it would have met.
AGELESS = frozenset({"starter"})
# What it was shown on faces. Any other mark it has no word for, and draws faces that fall apart where it reads one.
_MARKS_OF_STARTER = re.compile(
    r"\b(?:(?:sun)?glasses|eyepatch|beard|goatee|moustache|mustache|hijab|turban|hat|cartoon|avatar|comic)\b", re.IGNORECASE
)

T = TypeVar("T")
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
# “brown eyes” in the field of the eyes must not become “brown eyes eyes”.
_TWICE = re.compile(r"\b(skin|eyes) \1\b", re.IGNORECASE)
_SAID_AGE = re.compile(r"\b\d+[- ]years?[- ]old\b", re.IGNORECASE)
# Characters are adults, whatever the field calls them.
_GROWN = {"boy": "man", "guy": "man", "male": "man", "girl": "woman", "lady": "woman", "female": "woman"}
_PICTURES = "avatar|bust|close-up|drawing|headshot|illustration|image|painting|photo|photograph|picture|portrait|selfie|shot|sketch"
_GARMENTS = (
    "apron|armou?r|bathrobe|bikini|blazer|blouse|bra|cape|cardigan|cloak|coat|costume|dirndl|dress|dungarees|garment|gown|hoodie|jacket|jeans|"
    "jersey|jumper|jumpsuit|kimono|leggings|lingerie|miniskirt|nightgown|outfit|overalls|overcoat|pants|parka|poncho|pullover|pyjamas|pajamas|"
    "raincoat|robe|sari|shirt|shorts|skirt|spacesuit|suit|sweater|sweatshirt|sweatpants|swimming trunks|swimsuit|swimwear|t-shirt|tank top|"
    "tee|toga|towel|trench|trousers|turtleneck|tuxedo|underwear|uniform|vest|waistcoat"
)
_BESIDES = (
    "beanie|cap|crown|earrings?|eyepatch|glasses|gloves|hat|headphones|helmet|hijab|jewell?ery|mask|necklace|scarf|sunglasses|turban|watch"
)
_CLOTHES = re.compile(
    rf"\b(?:(?:{_GARMENTS})(?:e?s)?|attire|cloth(?:es|ing|ed)|dressed|bare[- ]chested|naked|nude|shirtless|topless|unclothed|undressed)\b"
    rf"|\bwear(?:s|ing)\b(?![^,.;]*\b(?:{_BESIDES})\b)",
    re.IGNORECASE,
)


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
    sampling: Sampling | None = None,
) -> Recipe:
    """The recipe of a request. What the request says goes before the character, the preset, the style and the model, in this order.

    `caption` is that of the reference it starts from; `seed` is taken where the request leaves it open. `source` is the size of the picture
    under a mask: it stays where the request names none, whatever sides the model draws. `sampling` is what the model's server has.
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
    check_sampling(sampler, scheduler, model.family, own=(model.sampler, model.scheduler), offered=sampling)
    prompt, negative = prompts_of(request, preset, character, style=style, caption=caption, template=template, family=model.family)
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
    family: str = "",
) -> tuple[str, str]:
    """The positive and the negative prompt as an engine gets them: character, caption and words, then what preset and style add."""
    if request.as_written:
        return request.prompt, request.negative_prompt
    words = _joined(", ".join(part for part in (request.prompt, caption) if part))
    if character is not None:
        # Under a mask only a part is drawn, which need not be the clothes.
        dressed = request.mask is not None or names_clothes(f"{character.appearance.marks}, {words}")
        if family in AGELESS:
            marks = ", ".join(mark for mark in _marks(character) if _MARKS_OF_STARTER.search(mark))
            character = character.model_copy(update={"appearance": character.appearance.model_copy(update={"marks": marks})})
        words = fill(template, character, words or DEFAULT_CAPTION, dressed=dressed, ages=family not in AGELESS)
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


def left_out(character: Character | None, family: str) -> tuple[str, ...]:
    """The marks of a character that a model has no words for, which its prompts go without."""
    if character is None or family not in AGELESS:
        return ()
    return tuple(mark for mark in _marks(character) if not _MARKS_OF_STARTER.search(mark))


def _marks(character: Character) -> list[str]:
    return [mark for mark in map(str.strip, character.appearance.marks.split(",")) if mark]


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


def fill(template: str, character: Character, caption: str, *, dressed: bool = False, ages: bool = True) -> str:
    """A template with a character's words in it; a part between commas whose words are missing drops out.

    Where the caption itself says “a person” they are named there, and {person} drops out. `dressed` leaves out {clothes}; without `ages`
    {person} says the gender alone.
    """
    looks = character.appearance
    person = person_words(looks if ages else looks.model_copy(update={"age": None}))
    if "{person}" in template and person:
        caption, person = _introduced(caption, looks, person)
    values = {
        "trigger_word": character.trigger_word,
        "name": character.name,
        "person": person,
        "age": str(looks.age or ""),
        "gender": looks.gender,
        "skin": looks.skin,
        "hair": looks.hair,
        "eyes": looks.eyes,
        "build": looks.build,
        "marks": looks.marks,
        "wardrobe": character.wardrobe,
        "clothes": "" if dressed else character.wardrobe,
        "caption": caption,
    }
    parts: list[str] = []
    for part in template.split(","):
        names = _PLACEHOLDER.findall(part)
        if all(values.get(name) for name in names):
            said = _PLACEHOLDER.sub(lambda found: values[found[1]], part).strip()
            parts.append(said if names == ["caption"] else _TWICE.sub(r"\1", said))
    return ", ".join(part for part in parts if part)


def person_words(looks: Appearance) -> str:
    """Age and gender as one says them, “34-year-old man”; empty where neither is known."""
    gender = _GROWN.get(looks.gender.casefold(), looks.gender)
    return f"{looks.age}-year-old {gender or 'person'}" if looks.age else gender


def names_clothes(words: str) -> bool:
    """Whether words say what somebody wears, or that they wear nothing. Glasses and hats alone are no clothes."""
    return _CLOTHES.search(words) is not None


def _introduced(caption: str, looks: Appearance, person: str) -> tuple[str, str]:
    """The caption, and what is left to say of the person before it."""
    if _SAID_AGE.search(caption):
        return caption, ""
    named = "|".join(re.escape(word) for word in ("person", looks.gender, _GROWN.get(looks.gender.casefold())) if word)
    # Only who the picture shows: “talking to a man” is about somebody else.
    who = re.compile(rf"(^\s*|\b(?:{_PICTURES}) of )(?:an?|the) (?:{named})\b(?!['’-])", re.IGNORECASE)
    found = who.search(caption)
    if found is None:
        return caption, person
    article = "an" if re.match(r"8|11\b|11-|18|[aeiou]", person, re.IGNORECASE) else "a"
    return f"{caption[: found.start()]}{found[1]}{article} {person}{caption[found.end() :]}", ""


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


def own_lora_of(character: Character | None) -> LoraUse | None:
    """What a character was given by a training, or by hand."""
    return LoraUse(path=character.lora, strength=character.lora_strength) if character is not None and character.lora else None


def _loras(request: GenerateRequest, preset: Preset | None, style: Preset | None, character: Character | None) -> tuple[LoraUse, ...]:
    uses = [*request.loras]
    own = own_lora_of(character)
    if own is not None and all(use.path != own.path for use in uses):
        uses.insert(0, own)
    for look in (preset, style):
        uses += [use for use in (look.loras if look else ()) if all(use.path != other.path for other in uses)]
    # At a strength of nothing the character's own is left out, or a preset's.
    return tuple(use for use in uses if use.strength)


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
