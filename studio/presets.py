"""Presets: named defaults for a request, one YAML file each, and why one can't run with a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml
from pydantic import ValidationError

from studio.contracts import Family, ModelSpec, Preset
from studio.errors import ContractMismatch, InvalidFieldValue, from_validation
from studio.files import read_yaml

ANY = "any"
# What people call the families; one that is not here is called by its own name.
FAMILY_NAMES = {
    Family.starter: "the starter model",
    Family.sd15: "Stable Diffusion 1.5",
    Family.sd2: "Stable Diffusion 2",
    Family.sdxl: "SDXL",
    Family.sd3: "Stable Diffusion 3",
    Family.flux: "FLUX.1",
    "flux1": "FLUX.1",
    "flux2": "FLUX.2",
    "flux3": "FLUX 3",
    "qwen-image": "Qwen-Image",
    "z-image": "Z-Image",
}
ENGINE_NAMES = {"embedded": "this computer", "comfyui": "ComfyUI"}


def load_presets(folder: Path) -> tuple[Preset, ...]:
    """Every preset of a folder, in the order of its file names. Raises ContractMismatch naming the file and the field at fault."""
    found: dict[str, Preset] = {}
    for path in sorted(folder.glob("*.yaml")):
        preset = _load(path)
        if preset.id in found:
            raise ContractMismatch(f"{path.name}: there is a preset “{preset.id}” already.", field="id", remedy="Give it another id.")
        found[preset.id] = preset
    return tuple(found.values())


def runs_on(preset: Preset, engine: str) -> bool:
    """Whether a preset is made for an engine; none is for one that is not known."""
    return engine in preset.engines or (ANY in preset.engines and engine in ENGINE_NAMES)


def check_preset(preset: Preset, model: ModelSpec, field: str = "preset") -> None:
    """Raises InvalidFieldValue, in plain words, where a preset is not made for a model's family or engine.

    `field` is what it was chosen as: preset or style.
    """
    fits = ANY in preset.families or model.family in preset.families
    if not fits or model.family in preset.not_families:
        raise InvalidFieldValue(
            f"The {field} “{preset.name}” is not made for {_kind_of(model)}.",
            field=field,
            remedy=f"Choose {_model_of(preset)}, or another {field}.",
        )
    if not runs_on(preset, model.engine):
        places = listed([ENGINE_NAMES.get(name, name) for name in preset.engines])
        raise InvalidFieldValue(
            f"The {field} “{preset.name}” runs on {places}; “{model.name}” runs on {ENGINE_NAMES.get(model.engine, model.engine)}.",
            field=field,
            remedy=f"Choose a model on {places}, or another {field}.",
        )
    if model.engine != "comfyui" and (preset.needs.nodes or preset.needs.models):
        what = listed([*preset.needs.nodes, *preset.needs.models])
        raise InvalidFieldValue(
            f"The {field} “{preset.name}” needs {what}, which only ComfyUI has.",
            field=field,
            remedy=f"Choose a model on ComfyUI, or another {field}.",
        )


def listed(words: Sequence[str], mark: str = "and") -> str:
    """Words as a sentence lists them."""
    return f"{', '.join(words[:-1])} {mark} {words[-1]}" if len(words) > 1 else "".join(words)


def _model_of(preset: Preset) -> str:
    everywhere = ANY in preset.families
    families = [family for family in (preset.per_family if everywhere else preset.families) if family not in preset.not_families]
    names = list(dict.fromkeys(FAMILY_NAMES.get(family, family) for family in families))
    if not names:
        return "a model of another kind"
    starter = FAMILY_NAMES[Family.starter]
    if starter in names:
        others = [name for name in names if name != starter]
        return f"{starter}, or a model for {listed(others, 'or')}" if others else starter
    return f"a model, such as one for {listed(names[:4], 'or')}" if everywhere else f"a model for {listed(names, 'or')}"


def _kind_of(model: ModelSpec) -> str:
    if model.family == Family.starter:
        return "the starter model"
    return f"models for {FAMILY_NAMES.get(model.family, model.family)}, as “{model.name}” is"


def _load(path: Path) -> Preset:
    try:
        said = read_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ContractMismatch(f"{path.name} can't be read as YAML.", remedy="Mend the file or take it away.") from error
    if not isinstance(said, dict):
        raise ContractMismatch(f"{path.name} holds no preset.", remedy="Mend the file or take it away.")
    try:
        return Preset.model_validate(said)
    except ValidationError as error:
        fault = from_validation(error)
        raise ContractMismatch(f"{path.name}: {fault.message}", field=fault.field, remedy="Mend the file or take it away.") from error
