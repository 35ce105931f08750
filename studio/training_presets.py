"""Named defaults of trainings, and the recipe that follows from them and from what somebody asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError

from studio.contracts import Appearance, Contract, Family, ModelSpec, TrainRequest
from studio.errors import ContractMismatch, InvalidFieldValue, from_validation
from studio.files import read_yaml
from studio.prompts import person_words
from studio.training import ToolkitArch, TrainRecipe

_ROUND = 50
PRESETS = Path(__file__).resolve().parent.parent / "presets" / "training"
_TOOLKIT_ALONE = ("low_vram", "quantize", "quantize_te", "optimizer")
_OPEN = (
    "steps",
    "rank",
    "alpha",
    "targets",
    "learning_rate",
    "schedule",
    "warmup",
    "batch",
    "resolution",
    "caption_dropout",
    "gradient_checkpointing",
    "prior_weight",
    "prior_pictures",
    "prior_prompt",
    "save_every",
    "sample_every",
)


class TrainPreset(Contract):
    """Named defaults of a training, by the family of the model.

    AI-Toolkit's own page suggests a number of steps for each architecture: `toolkit_steps` is how many times as many these are.
    """

    id: str
    name: str
    about: str
    families: dict[str, dict[str, Any]]
    toolkit_steps: float = Field(default=1, gt=0)


def presets() -> tuple[TrainPreset, ...]:
    """The presets of trainings, in the order of their files. Raises ContractMismatch naming a file that can't be read."""
    return _read_presets(PRESETS, tuple(sorted((path.name, path.stat().st_mtime_ns) for path in PRESETS.glob("*.yaml"))))


def recipe_for(request: TrainRequest, trigger: str, spec: ModelSpec, *, seed: int, looks: Appearance) -> TrainRecipe:
    """The embedded trainer's recipe for a model and a character who looks so. Raises InvalidFieldValue."""
    for name in _TOOLKIT_ALONE:
        if getattr(request, name) is not None:
            raise InvalidFieldValue(
                f"The embedded trainer has no setting “{name}”.", field=name, remedy="Leave it out, or train with AI-Toolkit."
            )
    values = {**_preset(request).families.get(spec.family, {}), **_said(request)}
    steps = int(values.get("steps", TrainRecipe.model_fields["steps"].default))
    often = max(10, steps // 5)
    usual = {"save_every": often, "sample_every": often, "warmup": min(10, steps // 10)}
    own = {"model": spec.id, "trigger": trigger, "seed": seed, "samples": _samples(request, trigger, spec.family)}
    recipe = _validated({**usual, "prior_prompt": class_prompt(looks, spec.family), **values, **own})
    if recipe.prior_weight and trigger and trigger.casefold() in recipe.prior_prompt.casefold():
        raise InvalidFieldValue(
            f"The class prompt names “{trigger}”, so the model would learn that anybody is called so.",
            field="prior_prompt",
            remedy=f"Say what people of that kind are called in general: “{class_prompt(looks, spec.family)}”.",
        )
    return recipe


def class_prompt(looks: Appearance, family: str) -> str:
    """What class pictures show: anybody of the kind that somebody who looks so is one of."""
    if family == Family.starter:
        return "portrait of a person"  # it draws no gender
    who = person_words(looks.model_copy(update={"age": None})) or "person"
    return f"photo of {'an' if who[0].lower() in 'aeiou' else 'a'} {who}"


def toolkit_recipe_for(
    request: TrainRequest, trigger: str, local: ModelSpec | None, arches: Sequence[ToolkitArch], *, seed: int
) -> TrainRecipe:
    """AI-Toolkit's recipe for a model that lies here, an architecture by its name, or a model of Hugging Face. Raises InvalidFieldValue."""
    known = {one.arch: one for one in arches}
    named = local.family if local else request.model or ""
    arch = known.get(named) or next((one for one in arches if one.repo == request.model), None)
    if arch is None:
        raise InvalidFieldValue(
            "Say which model AI-Toolkit should train." if request.model is None else f"AI-Toolkit doesn't train “{request.model}”.",
            field="model",
            remedy=f"Choose one of: {', '.join(known)}.",
        )
    if request.prior_weight:
        raise InvalidFieldValue(
            "AI-Toolkit trains without prior preservation here: it draws no class pictures.",
            field="prior_weight",
            remedy="Leave it at 0, or train with the embedded trainer.",
        )
    own = {"trigger": trigger, "seed": seed, "samples": _samples(request, trigger, "")} | ({"model": local.id} if local else {})
    steps = max(_ROUND, round(arch.recipe.steps * _preset(request).toolkit_steps / _ROUND) * _ROUND)
    suggested = arch.recipe.model_dump()
    toolkit = (suggested["toolkit"] or {}) | {name: getattr(request, name) for name in _TOOLKIT_ALONE if getattr(request, name) is not None}
    if request.resolution is not None:
        toolkit["resolutions"] = (request.resolution,)
    return _validated({**suggested, "steps": steps, **_said(request), **own, "toolkit": toolkit})


def _preset(request: TrainRequest) -> TrainPreset:
    found = {one.id: one for one in presets()}
    if request.preset not in found:
        raise InvalidFieldValue(
            f"There is no training preset called “{request.preset}”.", field="preset", remedy=f"Choose one of: {', '.join(found)}."
        )
    return found[request.preset]


def _said(request: TrainRequest) -> dict[str, Any]:
    return {name: value for name in _OPEN if (value := getattr(request, name)) is not None}


def _samples(request: TrainRequest, trigger: str, family: str) -> tuple[str, ...]:
    wanted = request.samples if request.samples is not None else _SAMPLES.get(family, _PHOTO_SAMPLES)
    return tuple(text.replace("{trigger_word}", trigger) for text in wanted)


@lru_cache(maxsize=4)
def _read_presets(folder: Path, _stamp: tuple[tuple[str, int], ...]) -> tuple[TrainPreset, ...]:
    found: list[TrainPreset] = []
    for path in sorted(folder.glob("*.yaml")):
        try:
            preset = TrainPreset.model_validate(read_yaml(path.read_text(encoding="utf-8")))
            for values in preset.families.values():
                TrainRecipe.model_validate(values | {"model": "any"})
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ContractMismatch(f"{path.name} can't be read as YAML.", remedy="Mend the file or take it away.") from error
        except ValidationError as error:
            raise ContractMismatch(f"{path.name}: {from_validation(error).message}", remedy="Mend the file or take it away.") from error
        found.append(preset)
    return tuple(found)


def _validated(values: Mapping[str, Any]) -> TrainRecipe:
    try:
        return TrainRecipe.model_validate(values)
    except ValidationError as error:
        raise from_validation(error) from error


_SAMPLES: dict[str, tuple[str, ...]] = {
    Family.starter: (
        "{trigger_word}, portrait on a light blue background",
        "{trigger_word}, portrait, smiling, wearing a red hoodie, yellow background",
    )
}
# Where the model does not lie here these alone tell one checkpoint from another: near and far, from two sides, in two kinds of light.
_PHOTO_SAMPLES = (
    "photo of {trigger_word}, portrait, soft daylight",
    "photo of {trigger_word} in a park, seen from the side",
    "photo of {trigger_word}, close-up, smiling, evening light indoors",
    "photo of {trigger_word}, walking down a city street, full body",
)
