"""What the studio asks of an engine, and what it offers one. Engines are blocking: a job reads from top to bottom."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from PIL.Image import Image

from studio.contracts import EngineState, Inventory, Recipe
from studio.training import TrainedLora, TrainingPicture, TrainRecipe

if TYPE_CHECKING:
    import numpy as np

    from studio.judging import Judgement


class Cancelled(Exception):
    """Raised by Report when the person cancelled the job. Engines let it pass and stay usable."""


class Stopping(Exception):
    """Raised by Report when the worker is being stopped. The job goes on after the next start."""


@dataclass(frozen=True)
class Crop:
    """The part of a picture that is drawn anew, as (left, top, right, bottom), and the width and height it is drawn at. All in pixels."""

    box: tuple[int, int, int, int]
    size: tuple[int, int]


@dataclass(frozen=True)
class Artifact:
    """One finished picture. `image` is RGB; hashes are SHA-256 of the weights that made it, empty where nobody tells; `crop` is set
    where a part alone was drawn; `graph` is the ComfyUI graph that made it.
    """

    index: int
    image: Image
    seed: int
    model_hash: str
    lora_hashes: dict[str, str] = field(default_factory=dict)
    duration_s: float = 0.0
    crop: Crop | None = None
    graph: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Inputs:
    """The files and pictures that a recipe speaks of. `loras` are in the recipe's order, `pictures` (RGB) by the workflow's parameters.

    `image` is the RGB picture to start from, of any size; `mask` is L, of the image's own size, white where it is drawn anew.
    """

    model: Path
    loras: tuple[Path, ...] = ()
    image: Image | None = None
    mask: Image | None = None
    pictures: Mapping[str, Image] = field(default_factory=dict)


def denoise_of(recipe: Recipe, inputs: Inputs) -> float:
    """How much of a picture is drawn anew: what the recipe says, otherwise 0.6, or all that the mask lets through."""
    if recipe.denoise is not None:
        return recipe.denoise
    return 0.6 if inputs.mask is None else 1.0


class Report(Protocol):
    """Progress goes out, cancellation comes in."""

    def __call__(self, progress: float, note: str = "", *, step: int = 0, steps: int = 0, preview: Image | None = None) -> None:
        """Say how far the job is (0 to 1). Raises Cancelled or Stopping. Cheap: call it every step.

        `preview` is an RGB picture of the unfinished work. Ask `wants_preview()` first; making one costs time.
        """
        ...

    def wants_preview(self) -> bool:
        """True when enough time has passed since the last preview (at most LIKENESS_PREVIEWS_PER_S a second)."""
        ...


class Judge(Protocol):
    """What looks at edits of real people's photos before anybody sees them."""

    def explicit(self, image: Image) -> float:
        """How likely an RGB picture is explicit, 0 to 1."""
        ...


class Trainer(Protocol):
    """An engine that trains LoRAs."""

    name: str

    def train(self, recipe: TrainRecipe, model: Path, pictures: Sequence[TrainingPicture], folder: Path, report: Report) -> TrainedLora:
        """Train into `folder`, going on after the newest checkpoint found there. `model` is a diffusers folder or a .safetensors file.

        Raises Cancelled or Stopping, as `report` does, when a checkpoint was saved; LikenessError with a remedy: IMAGE_INVALID,
        MODEL_INVALID, OUT_OF_MEMORY, TRAINING_DIVERGED, DISK_FULL …. The newest good checkpoint stays.
        """
        ...


class Picker(Protocol):
    """What judges the checkpoints of a training."""

    def judge(
        self,
        recipe: TrainRecipe,
        model: Path,
        folder: Path,
        pictures: Sequence[TrainingPicture],
        report: Report,
        faces: Callable[[Image], np.ndarray | None] | None = None,
    ) -> Judgement:
        """Judge every checkpoint in `folder` that was not judged yet, and propose the best. `faces` gives a face's embedding, or None.

        Raises Cancelled or Stopping, as `report` does; LikenessError with a remedy. What was judged until then is kept.
        """
        ...

    def judge_samples(
        self,
        recipe: TrainRecipe,
        folder: Path,
        pictures: Sequence[TrainingPicture],
        faces: Callable[[Image], np.ndarray | None] | None = None,
    ) -> Callable[[], Judgement | None]:
        """What judges the checkpoints of a run that learns, by the samples that its trainer drew, whenever it is called.

        It gives None where nothing is new, and raises LikenessError with a remedy. What `judge` found goes first.
        """
        ...


class Generator(Protocol):
    """An engine that makes pictures."""

    name: str

    def state(self) -> EngineState:
        """What is loaded, and on which device. Must not load or import anything heavy."""
        ...

    def generate(self, recipe: Recipe, inputs: Inputs, run_id: str, report: Report) -> Iterator[Artifact]:
        """Yield finished pictures. Called twice with one run_id, the work is done once.

        `inputs.model` is a diffusers folder or a single .safetensors file. With an image, `recipe.denoise` says how much of it is drawn
        anew (1: all), and with a mask only its white part is: black pixels of the result are the image's own, bit for bit. A recipe of
        the image's own size with a mask may be larger than the model draws: the part around the mask is drawn then.
        Raises LikenessError with a remedy: OUT_OF_MEMORY, MODEL_INVALID, LORA_MISMATCH ….
        """
        ...

    def places(self) -> int:
        """How many jobs may run on it at once, at least 1."""
        ...

    def inventory(self) -> Inventory | None:
        """What it has where it runs, as last seen: no network is asked. None for an engine whose files lie on this computer."""
        ...

    def idle(self) -> None:
        """Called now and then while no job runs: the place to unload what was not used for a while."""
        ...
