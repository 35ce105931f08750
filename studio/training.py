"""Training a LoRA: what is asked for, in which order pictures are learned, and what lies in a run's folder. No torch.

    <folder of the run>/
      recipe.json               what is trained
      progress.jsonl            a line per step: step, loss, learning rate, seconds
      checkpoints/000050/       after 50 steps
        lora.safetensors        the LoRA as Generate and other programs read it
        state.safetensors       the same in full precision and the optimizer's memory; of the newest two
      samples/000050-0.png      the first sample prompt after 50 steps
      class/000.png             what the model itself drew of just anybody, where the recipe wants prior preservation
      asks/save, asks/sample    what somebody wants now; gone when it was done
      measured.json             the most video memory that it held

Everything random about a step follows from the recipe's seed and the step's number alone. So a run that was interrupted goes on
exactly as it would have gone, and no state of a random generator needs to be kept.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import Field

from studio.contracts import MAX_SEED, Contract, Schedule, Targets
from studio.errors import Conflict, ModelInvalid
from studio.files import write_atomically
from studio.weights import read_safetensors_header

log = logging.getLogger(__name__)

LORA = "lora.safetensors"
STATE = "state.safetensors"
PROGRESS = "progress.jsonl"
MEASURED = "measured.json"
CLASS = "class"
_TAIL = 4096  # bytes


class Ask(StrEnum):
    """What can be asked of a run while it learns."""

    save = "save"
    sample = "sample"


JUDGE = "judge"
"""What is asked of a run that shall learn nothing more for now; the state that it has afterwards stands behind it."""


class ToolkitOptions(Contract):
    """What AI-Toolkit alone asks. Empty and None mean what its own page suggests for the architecture.

    `arch` is the architecture by AI-Toolkit's name (flux, sdxl …); empty: by the model. `resolutions` are trained side by side in place
    of the recipe's one.
    """

    arch: str = ""
    optimizer: str = ""
    quantize: bool | None = None
    quantize_te: bool | None = None
    low_vram: bool | None = None
    resolutions: tuple[int, ...] = ()


class TrainRecipe(Contract):
    """A LoRA training with nothing left open: same recipe, same pictures, same device, same LoRA.

    `resolution` is the side in pixels of the square whose area every picture is brought to, whatever its shape. `alpha` over `rank`
    scales what is learned. `caption_dropout` is the share of pictures learned without their words. `samples` are prompts.

    Prior preservation: beside each step's pictures as many class pictures are learned, whose loss counts `prior_weight` times (0: there
    are none). The model without a LoRA draws them once, `prior_pictures` of `prior_prompt` at seeds that follow from the recipe's.
    """

    model: str
    trigger: str = ""
    rank: int = Field(default=16, ge=1, le=256)
    alpha: int = Field(default=16, ge=1, le=1024)
    targets: Targets = Targets.everything
    learning_rate: float = Field(default=2e-3, gt=0, le=0.1)
    schedule: Schedule = Schedule.cosine
    warmup: int = Field(default=10, ge=0)
    steps: int = Field(default=200, ge=1, le=100_000)
    batch: int = Field(default=4, ge=1, le=64)
    resolution: int = Field(default=128, ge=64, le=2048)
    caption_dropout: float = Field(default=0.1, ge=0, le=1)
    gradient_checkpointing: bool = False
    prior_weight: float = Field(default=0, ge=0, le=10)
    prior_pictures: int = Field(default=24, ge=2, le=1000)
    prior_prompt: str = "portrait of a person"
    seed: int = Field(default=0, ge=0, le=MAX_SEED)
    save_every: int = Field(default=50, ge=1)
    sample_every: int = Field(default=50, ge=1)
    samples: tuple[str, ...] = ()
    toolkit: ToolkitOptions | None = None


class ToolkitArch(Contract):
    """An architecture that AI-Toolkit trains: what it is called, its model on Hugging Face, and the recipe that its own page suggests.

    `vram_gb` None is unknown until measured; a `gated` model wants a token. `draws` are the families of the servers' models that draw
    with its LoRAs.
    """

    arch: str
    title: str
    repo: str
    draws: tuple[str, ...] = ()
    gated: bool
    vram_gb: float | None
    recipe: TrainRecipe


@dataclass(frozen=True)
class TrainingPicture:
    """A picture to learn from: a file that Pillow opens, and the words for it."""

    path: Path
    caption: str


@dataclass(frozen=True)
class Checkpoint:
    """What was learned after `step` steps. `state` is None where training can't go on from."""

    step: int
    lora: Path
    state: Path | None


@dataclass(frozen=True)
class TrainedLora:
    """A LoRA that was seen to be whole and to fit its model.

    `loss` is the mean over the last tenth of the steps; `seconds` count from where the run was begun or taken up.
    """

    path: Path
    steps: int
    loss: float
    sha256: str
    seconds: float


# The order of learning


def rate_at(recipe: TrainRecipe, step: int) -> float:
    """The learning rate of a step, the first being 0: up over the warm-up, then as the schedule says."""
    if step < recipe.warmup:
        return recipe.learning_rate * (step + 1) / recipe.warmup
    way = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    if recipe.schedule is Schedule.cosine:
        return recipe.learning_rate * max(0.05, 0.5 * (1 + math.cos(math.pi * way)))
    if recipe.schedule is Schedule.linear:
        return recipe.learning_rate * max(0.05, 1 - way)
    return recipe.learning_rate


def bucket_of(width: int, height: int, side: int, step: int) -> tuple[int, int]:
    """Width and height that a picture is brought to: near its own shape, of at most `side` × `side` pixels, both multiples of `step`.

    Shapes beyond 1 : 2 are cropped to it: what is learned of a thin strip is its thinness.
    """
    shape = min(2.0, max(0.5, width / height))
    across = max(step, round(math.sqrt(side * side * shape) / step) * step)
    down = max(step, side * side // across // step * step)
    return across, down


def batch_at(recipe: TrainRecipe, buckets: Sequence[tuple[int, int]], step: int) -> list[int]:
    """The pictures of a step, by their index; all of one bucket, `recipe.batch` of them.

    Every picture comes once in each round over all of them; a bucket's last batch is filled from its beginning.
    """
    groups: dict[tuple[int, int], list[int]] = {}
    for index, bucket in enumerate(buckets):
        groups.setdefault(bucket, []).append(index)
    in_a_round = sum(math.ceil(len(group) / recipe.batch) for group in groups.values())
    number, place = divmod(step, in_a_round)
    dice = random.Random(f"{recipe.seed} {number}")
    batches: list[list[int]] = []
    for _, group in sorted(groups.items()):
        order = dice.sample(group, len(group))
        batches += [[order[(begin + more) % len(order)] for more in range(recipe.batch)] for begin in range(0, len(order), recipe.batch)]
    dice.shuffle(batches)
    return batches[place]


# The folder of a run


def begin(folder: Path, recipe: TrainRecipe) -> None:
    """Make the folder of a run. Raises Conflict if another recipe is trained there, OSError as files do."""
    path = folder / "recipe.json"
    try:
        before = TrainRecipe.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        write_atomically(path, recipe.model_dump_json(indent=1).encode())
        return
    except ValueError as error:
        raise Conflict("What was trained in this folder can't be read.", remedy="Begin a new training.") from error
    if before != recipe:
        raise Conflict("Another training lies in this folder.", remedy="Go on with its own settings, or begin a new training.")


def checkpoints(folder: Path) -> list[Checkpoint]:
    """Every checkpoint of a run whose LoRA is whole, the oldest first."""
    found: list[Checkpoint] = []
    for place in sorted((folder / "checkpoints").glob("[0-9]" * 6)):
        if not _whole(place / LORA):
            continue
        state = place / STATE
        found.append(Checkpoint(int(place.name), place / LORA, state if _whole(state) else None))
    return found


def sweep(folder: Path) -> None:
    """Take away what a save left unfinished when its process was killed. For whoever trains in the folder alone."""
    for left in (folder / "checkpoints").glob("*/.*"):
        with contextlib.suppress(OSError):
            left.unlink()


def ask(folder: Path, what: Ask) -> None:
    """Want something of a run at its next step. Raises OSError as files do."""
    write_atomically(folder / "asks" / what, b"")


def take_ask(folder: Path, what: Ask) -> bool:
    """Whether somebody wants it; it counts as done from now on."""
    try:
        (folder / "asks" / what).unlink()
    except FileNotFoundError:
        return False
    return True


def note_video_memory(folder: Path, mb: float) -> None:
    """Remember the video memory that a run held, in MB, where it was more than before. What can't be written is left out."""
    if mb > (video_memory(folder) or 0):
        with contextlib.suppress(OSError):
            write_atomically(folder / MEASURED, json.dumps({"vram_mb": round(mb, 1)}).encode())


def video_memory(folder: Path) -> float | None:
    """The most video memory that a run held, in MB; None where nobody measured it."""
    try:
        return float(json.loads((folder / MEASURED).read_bytes())["vram_mb"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def class_picture(folder: Path, number: int) -> Path:
    """Where a class picture of a run lies, the first being 0."""
    return folder / CLASS / f"{number:03}.png"


def place_of(folder: Path, step: int) -> Path:
    """Where the checkpoint after so many steps lies."""
    return folder / "checkpoints" / f"{step:06}"


def read_progress(folder: Path) -> list[dict[str, Any]]:
    """The steps of a run as they were written down. A line that a power cut halved is left out."""
    try:
        lines = (folder / PROGRESS).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    steps: list[dict[str, Any]] = []
    for line in lines:
        try:
            steps.append(json.loads(line))
        except ValueError:
            log.warning("A line of %s can't be read", folder / PROGRESS)
    return steps


def last_loss(folder: Path) -> float | None:
    """The mean loss of the newest steps (about 60), from the end of the file alone; None before the first."""
    try:
        with (folder / PROGRESS).open("rb") as file:
            begin = max(0, file.seek(0, os.SEEK_END) - _TAIL)
            file.seek(begin)
            lines = file.read().splitlines()[1 if begin else 0 :]
    except FileNotFoundError:
        return None
    losses: list[float] = []
    for line in lines:
        with contextlib.suppress(ValueError, KeyError):  # halved by a power cut
            losses.append(float(json.loads(line)["loss"]))
    return sum(losses) / len(losses) if losses else None


def forget_after(folder: Path, step: int) -> None:
    """Take back what was written down after a step: it is learned again."""
    kept = [one for one in read_progress(folder) if one["step"] <= step]
    write_atomically(folder / PROGRESS, "".join(f"{json.dumps(one)}\n" for one in kept).encode())


def _whole(path: Path) -> bool:
    try:
        seen = path.stat()
    except OSError:
        return False
    return _is_whole(path, seen.st_size, seen.st_mtime_ns)


@lru_cache(maxsize=4096)
def _is_whole(path: Path, _size: int, _changed: int) -> bool:
    # Asked again and again by every page that follows a run, which may have hundreds of them.
    try:
        read_safetensors_header(path)
    except ModelInvalid as error:
        log.warning("A checkpoint is left out: %s", error)
        return False
    return True
