"""What AI-Toolkit would fail for, said before anything begins: when a training is ordered, and again when it starts."""

from __future__ import annotations

import os
from pathlib import Path

from engines.aitoolkit import faults
from engines.aitoolkit.config import CPU, CUDA, Arch, arch_of, check_recipe, estimate, told_leaner
from engines.aitoolkit.process import find_toolkit, no_card
from studio.errors import OutOfMemory
from studio.settings import Settings
from studio.training import TrainRecipe

# A card of 24 GB says 23.6 to 24.
NEARLY = 0.95


def vram_gb(recipe: TrainRecipe, model: Path) -> float | None:
    """The video memory that its authors say a recipe takes, in GB; None is unknown until measured."""
    return estimate(recipe, model).vram_gb


def check_order(settings: Settings, recipe: TrainRecipe, model: Path, have_mb: float | None, measured_gb: float | None) -> None:
    """See that AI-Toolkit can begin with a recipe on this computer.

    `have_mb` is the memory of the largest card: 0 where there is none, None where nobody knows yet. `measured_gb` is what the same
    settings took here before. Raises DependencyMissing, InvalidFieldValue, ModelInvalid, ModelGated, OutOfMemory.
    """
    find_toolkit(settings)
    arch = arch_of(recipe, model)
    check_recipe(recipe, arch, model)
    if settings.device not in (CPU, CUDA) and have_mb == 0:
        raise no_card()
    check_machine(settings, recipe, arch, model, None if settings.device == CPU else have_mb, measured_gb)


def check_machine(
    settings: Settings, recipe: TrainRecipe, arch: Arch, model: Path, have_mb: float | None, measured_gb: float | None = None
) -> None:
    """See that the card has the memory, as far as anybody knows what is needed, and that the model may be fetched."""
    need, have = measured_gb or estimate(recipe, model).vram_gb, (have_mb or 0) / 1024
    if need is not None and 0 < have < need * NEARLY:
        raise OutOfMemory(
            f"Training {arch.title} takes {need:g} GB of video memory, and this computer's card has {have:.0f}.",
            remedy=told_leaner(recipe, arch),
        )
    if arch.gated and not model.exists() and not settings.hf_token.get_secret_value() and not _is_at_hand(model):
        raise faults.gated(model.as_posix())


def _is_at_hand(model: Path) -> bool:
    """Whether somebody signed in to Hugging Face on this computer, or the model was fetched before."""
    home = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()
    return (home / "token").is_file() or (home / "hub" / f"models--{model.as_posix().replace('/', '--')}").is_dir()
