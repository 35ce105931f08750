"""Presets: named defaults for a request, one YAML file each."""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import ValidationError

from studio.contracts import Preset
from studio.errors import ContractMismatch, from_validation


def load_presets(folder: Path) -> tuple[Preset, ...]:
    """Every preset of a folder, in the order of its file names. Raises ContractMismatch naming the file and the field at fault."""
    found: dict[str, Preset] = {}
    for path in sorted(folder.glob("*.yaml")):
        preset = _load(path)
        if preset.id in found:
            raise ContractMismatch(f"{path.name}: there is a preset “{preset.id}” already.", field="id", remedy="Give it another id.")
        found[preset.id] = preset
    return tuple(found.values())


def _load(path: Path) -> Preset:
    try:
        said = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ContractMismatch(f"{path.name} can't be read as YAML.", remedy="Mend the file or take it away.") from error
    if not isinstance(said, dict):
        raise ContractMismatch(f"{path.name} holds no preset.", remedy="Mend the file or take it away.")
    try:
        return Preset.model_validate(said)
    except ValidationError as error:
        fault = from_validation(error)
        raise ContractMismatch(f"{path.name}: {fault.message}", field=fault.field, remedy="Mend the file or take it away.") from error
