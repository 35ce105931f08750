"""What a training takes: time, video memory, space on the disk. What nobody answers for is unknown until it was measured here.

Time and video memory are what earlier trainings of this studio took; before there was one, a trainer's authors may have said how much
memory theirs wants. The size of a LoRA follows from the shapes of what it changes, so it is known for every model that lies here.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from studio import models
from studio.contracts import Targets
from studio.errors import LikenessError, OutOfMemory
from studio.training import TrainRecipe
from studio.weights import read_safetensors_header

GB = 2**30
# A card of 24 GB says 23.6 to 24.
NEARLY = 0.95
_MARGIN = 1.1
_HALF = 2  # bytes of a number in a saved LoRA
# The denoiser in a diffusers folder, and in a single file.
_DENOISERS, _INSIDE = ("unet", "transformer"), "model.diffusion_model."
_ATTENTION = (".to_q", ".to_k", ".to_v", ".to_out.0")
# To go on from: the weights and two numbers of the optimizer's for each, in single precision. Two of these are kept, a third is written.
_STATES = 3 * 3 * 2
# AI-Toolkit's own folder: its newest saves, and the optimizer's numbers at their largest.
_TOOLKIT_SAVES = 3 + 4


@dataclass(frozen=True)
class Earlier:
    """A training that ended well here. `seconds` is None where it was interrupted, the others where nobody measured them."""

    engine: str
    recipe: TrainRecipe
    seconds: float | None
    vram_mb: float | None
    lora_bytes: int | None


def seconds_for(engine: str, recipe: TrainRecipe, before: Sequence[Earlier]) -> float | None:
    """How long a training takes, by what earlier ones of the model took for as much work; None before there was one."""
    paces = [
        one.seconds / _work(one.recipe)
        for one in before
        if one.seconds is not None
        and (one.engine, one.recipe.model, one.recipe.gradient_checkpointing) == (engine, recipe.model, recipe.gradient_checkpointing)
    ]
    return round(statistics.median(paces) * _work(recipe), 1) if paces else None


def video_memory_for(engine: str, recipe: TrainRecipe, before: Sequence[Earlier]) -> float | None:
    """The most video memory, in GB, that earlier trainings with the same settings held; None before there was one.

    It doesn't grow with any one setting alone, so only the same settings count.
    """
    wanted = _memory(engine, recipe)
    held = [one.vram_mb for one in before if one.vram_mb is not None and _memory(one.engine, one.recipe) == wanted]
    return round(max(held) / 1024, 1) if held else None


def disk_for(
    engine: str, recipe: TrainRecipe, model: Path, pictures: Sequence[int], before: Sequence[Earlier], *, toolkit: bool
) -> int | None:
    """About how many bytes a training writes: checkpoints, what it goes on from, samples, and for AI-Toolkit copies and latents.

    `pictures` are the sizes of the files it learns from. None where nobody knows how large its LoRA gets. A model that has to be
    fetched first comes on top.
    """
    lora = lora_bytes(engine, recipe, model, before)
    if lora is None:
        return None
    kept = len(range(recipe.save_every, recipe.steps, recipe.save_every)) + 1
    drawn = (recipe.steps // recipe.sample_every + 2) * len(recipe.samples) + (recipe.prior_pictures if recipe.prior_weight else 0)
    side = recipe.resolution
    written = lora * (kept + (_TOOLKIT_SAVES if toolkit else _STATES)) + drawn * side * side * 3
    if toolkit:
        sides = (recipe.toolkit.resolutions if recipe.toolkit else ()) or (side,)
        # Of a side of 8 pixels 16 numbers of 4 bytes are left at most.
        written += sum(pictures) + len(pictures) * sum(each * each for each in sides)
    return math.ceil(written * _MARGIN)


def save_every_for(
    engine: str, recipe: TrainRecipe, model: Path, pictures: Sequence[int], before: Sequence[Earlier], free: int, *, toolkit: bool
) -> int | None:
    """Between how many steps a checkpoint may be kept so that a training fits into so many bytes; None where it never does."""
    for parts in range(10, 0, -1):
        every = math.ceil(recipe.steps / parts)
        lean = recipe.model_copy(update={"save_every": every})
        needs = disk_for(engine, lean, model, pictures, before, toolkit=toolkit)
        if every > recipe.save_every and needs is not None and needs <= free:
            return every
    return None


def lora_bytes(engine: str, recipe: TrainRecipe, model: Path, before: Sequence[Earlier]) -> int | None:
    """About how large a LoRA gets: as earlier ones of the model did, else by the shapes of the model's weights; None for one elsewhere."""
    for one in before:
        same = (one.engine, one.recipe.model, one.recipe.targets) == (engine, recipe.model, recipe.targets)
        if same and one.lora_bytes is not None:
            return round(one.lora_bytes * recipe.rank / one.recipe.rank)
    if not model.exists():
        return None
    numbers = 0
    for name, shape in _shapes(model).items():
        if recipe.targets is Targets.everything or name.endswith(_ATTENTION):
            numbers += shape[0] + math.prod(shape[1:])
    return numbers * recipe.rank * _HALF or None


def check_video_memory(name: str, recipe: TrainRecipe, need_gb: float | None, have_mb: float | None, before: Sequence[Earlier]) -> None:
    """Raises OutOfMemory where the embedded trainer held more with these settings than the card has, with settings that fit."""
    if need_gb is None or not have_mb or have_mb / 1024 >= need_gb * NEARLY:
        return
    fits = [one for one in before if one.recipe.model == recipe.model and one.vram_mb is not None and one.vram_mb <= have_mb]
    best = max(fits, key=lambda one: one.vram_mb or 0, default=None)
    if best is not None:
        said = best.recipe
        saving = " with gradient checkpointing" if said.gradient_checkpointing else ""
        remedy = (
            f"What fits: {said.batch} at a time at {said.resolution} pixels with a rank of {said.rank}{saving} "
            f"took {(best.vram_mb or 0) / 1024:.1f} GB."
        )
    else:
        tries = ["gradient checkpointing"] * (not recipe.gradient_checkpointing) + ["a batch of 1"] * (recipe.batch > 1)
        tries += [f"a resolution of {recipe.resolution // 2}", "a smaller rank"]
        remedy = f"Try {', '.join(tries[:-1])} or {tries[-1]}. What it takes then is unknown until measured."
    raise OutOfMemory(
        f"Training {name} with these settings took {need_gb:g} GB of video memory before, "
        f"and this computer's card has {have_mb / 1024:.0f}.",
        remedy=remedy,
    )


def _memory(engine: str, recipe: TrainRecipe) -> tuple[object, ...]:
    return (
        engine,
        recipe.model,
        recipe.rank,
        recipe.targets,
        recipe.batch,
        recipe.resolution,
        recipe.gradient_checkpointing,
        recipe.prior_weight > 0,
        recipe.toolkit,
    )


def _shapes(model: Path) -> dict[str, tuple[int, ...]]:
    """The matrices of a model's denoiser by their names; empty where its files can't be read."""
    found: dict[str, tuple[int, ...]] = {}
    try:
        for file in models.weight_files(model):
            if model.is_dir() and file.parent.name not in _DENOISERS:
                continue
            for name, (_, shape) in read_safetensors_header(file).tensors.items():
                if name.endswith(".weight") and len(shape) >= 2 and (model.is_dir() or name.startswith(_INSIDE)):
                    found[name.removesuffix(".weight")] = shape
    except LikenessError:
        return {}
    return found


def _work(recipe: TrainRecipe) -> float:
    # As many class pictures are learned in each step.
    return recipe.steps * recipe.batch * recipe.resolution**2 * (2 if recipe.prior_weight else 1)
