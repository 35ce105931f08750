"""What can be chosen: presets, models and LoRAs that lie on this computer, re-read when their folders change."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from studio import models
from studio.contracts import LoraSpec, LoraUse, ModelSpec, Preset
from studio.errors import SafetyFilter
from studio.presets import load_presets

TRASHED = ".trashed"


class ModelShelf:
    """The models in one folder and those that come with Likeness, and the LoRAs in another."""

    def __init__(self, models_folder: Path, loras_folder: Path, bundled: Sequence[Path]) -> None:
        self.models_folder = models_folder
        self.loras_folder = loras_folder
        self.bundled = tuple(bundled)

    def models(self) -> tuple[ModelSpec, ...]:
        """Every model, those that come with Likeness first."""
        return models.find_models(self.models_folder, self.bundled)

    def model(self, name: str | None) -> ModelSpec:
        """One model by its id; None is the default. Raises InvalidFieldValue naming what exists."""
        found = self.models()
        if name is None:
            return found[0]
        return models.resolve_model(name, found)

    def loras(self) -> tuple[LoraSpec, ...]:
        """Every LoRA in the folder."""
        return models.find_loras(self.loras_folder)

    def lora_file(self, use: LoraUse) -> Path:
        """The file of a LoRA. Raises InvalidFieldValue when there is none."""
        return models.resolve_lora(use, self.loras_folder)

    def trashed_lora(self, path: str) -> Path:
        """Where a LoRA lies while it is in the trash: beside its place, under a name that no program takes for a LoRA."""
        return self.loras_folder / f"{path}{TRASHED}"

    def check(self, spec: ModelSpec, loras: Sequence[LoraUse]) -> None:
        """Look at the files' headers. Raises ModelInvalid, ModelUnsafe, LoraMismatch or InvalidFieldValue."""
        models.check_checkpoint(Path(spec.path))
        for use in loras:
            models.check_lora(self.lora_file(use), spec)


def find_classifier(data: Path) -> Path | None:
    """The first folder in `classifiers` that holds an image classifier in the layout of transformers; None when there is none."""
    for config in sorted((data / "classifiers").glob("*/config.json")):
        try:
            architectures = json.loads(config.read_text(encoding="utf-8")).get("architectures") or []
        except (OSError, ValueError, AttributeError):
            continue
        if any(str(name).endswith("ForImageClassification") for name in architectures):
            return config.parent
    return None


def require_classifier(data: Path) -> Path:
    """The same folder. Raises SafetyFilter with the remedy when there is none."""
    found = find_classifier(data)
    if found is None:
        raise SafetyFilter(
            "Edits of photos of real people are looked at before they are shown, and nothing is installed that could do so.",
            field="image",
            remedy="Put an image classifier into the folder “classifiers” of the data folder (docs/safety.md says which).",
        )
    return found


class PresetShelf:
    """The presets in one folder of YAML files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._read: tuple[tuple[tuple[str, int], ...], tuple[Preset, ...]] = ((), ())

    def presets(self) -> tuple[Preset, ...]:
        """Every preset, in the order of their files. Raises ContractMismatch naming a file that can't be read."""
        stamp = tuple(sorted((path.name, path.stat().st_mtime_ns) for path in self.folder.glob("*.yaml")))
        if stamp != self._read[0]:
            self._read = (stamp, load_presets(self.folder))
        return self._read[1]
