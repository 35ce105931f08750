"""Embedded: makes the pictures of a recipe with diffusers, keeps the model warm, and lets go of it after a while."""

from __future__ import annotations

import gc
import logging
import math
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from studio import models
from studio.contracts import EngineState, Family, Inventory, ModelSpec, Recipe
from studio.crop import Cutout, needs_crop
from studio.engine import Artifact, Inputs, Report
from studio.errors import InvalidFieldValue, OutOfMemory
from studio.judging import Judgement
from studio.settings import Settings
from studio.source import check_mask, fitted
from studio.training import TrainedLora, TrainingPicture, TrainRecipe

if TYPE_CHECKING:
    from engines.embedded.judging import Faces
    from engines.embedded.pipeline import Warm

log = logging.getLogger(__name__)


class Embedded:
    """The engine that is always there. One thread at a time may generate; `state` and `idle` may be called from any."""

    name = "embedded"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        # OpenMP keeps a team of threads for each thread that calls it: pictures made from many threads take twice as long.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="embedded")
        self._warm: Warm | None = None
        self._state = "asleep"
        self._note = ""
        self._device = settings.device if settings.device != "auto" else ""
        self._last_used = time.monotonic()

    def state(self) -> EngineState:
        """What is loaded and where. Quick, whatever the engine is doing."""
        warm = self._warm
        return EngineState(
            name=self.name,
            state=self._state,
            device=self._device,
            model=warm.spec.id if warm else None,
            memory_mb=_memory_mb(self._device),
            note=self._note,
        )

    def generate(self, recipe: Recipe, inputs: Inputs, run_id: str, report: Report) -> Iterator[Artifact]:
        """Yield the pictures of a recipe, batch by batch. The same recipe on the same device gives the same pixels.

        Raises ModelInvalid, ModelUnsafe, LoraMismatch, InvalidFieldValue or OutOfMemory, and what `report` raises; the engine
        stays usable after each of them.
        """
        spec = models.describe(inputs.model)
        models.check_sampling(recipe.sampler, recipe.scheduler, spec.family)
        check_mask(inputs)
        if not needs_crop(recipe, inputs, spec):
            yield from self._batches(recipe, spec, fitted(recipe, inputs), report)
            return
        cutout = Cutout(inputs, spec)
        for artifact in self._batches(cutout.recipe(recipe), spec, cutout.inputs(), cutout.watched(report)):
            yield replace(artifact, image=cutout.put_back(artifact.image), crop=cutout.crop)

    def train(self, recipe: TrainRecipe, model: Path, pictures: Sequence[TrainingPicture], folder: Path, report: Report) -> TrainedLora:
        """Train a LoRA into `folder`, going on after the newest checkpoint found there; nothing is drawn meanwhile.

        Raises InvalidFieldValue without pictures, ModelInvalid, ModelUnsafe, ImageInvalid, OutOfMemory, TrainingDiverged, DiskFull, and
        what `report` raises, when a checkpoint was saved. The engine stays usable.
        """
        if not pictures:
            raise InvalidFieldValue("There are no pictures to learn from.", remedy="Add pictures to the dataset.", field="pictures")
        spec = models.describe(model)
        with self._lock:
            return self._thread.submit(copy_context().run, self._learn, recipe, spec, pictures, folder, report).result()

    def judge(
        self,
        recipe: TrainRecipe,
        model: Path,
        folder: Path,
        pictures: Sequence[TrainingPicture],
        report: Report,
        faces: Faces | None = None,
    ) -> Judgement:
        """Judge every checkpoint in the folder of a run, and the model without a LoRA, that was not judged yet; propose the best.

        `pictures` are those it learned from. `faces` gives the face embedding (128 numbers) of an RGB picture, or None; where it finds one
        in most of the pictures, likeness is the distance between faces, otherwise that of the reader of illustrated pictures.
        Raises InvalidFieldValue without pictures, ModelInvalid, ModelUnsafe, LoraMismatch, ImageInvalid, OutOfMemory, DiskFull, and
        what `report` raises: what was judged until then is kept. The engine stays usable.
        """
        if not pictures:
            raise InvalidFieldValue("There are no pictures to compare with.", remedy="Add pictures to the dataset.", field="pictures")
        spec = models.describe(model)
        with self._lock:
            return self._thread.submit(copy_context().run, self._judge, recipe, spec, folder, pictures, report, faces).result()

    def judge_samples(
        self, recipe: TrainRecipe, folder: Path, pictures: Sequence[TrainingPicture], faces: Faces | None = None
    ) -> Callable[[], Judgement | None]:
        """What judges a run by its trainer's own samples, whenever it is called while the run learns; in a thread of its own.

        It gives None where nothing is new. Raises ImageInvalid, ModelInvalid, DiskFull.
        """
        from engines.embedded.judging import SampleJudging

        return SampleJudging(recipe, folder, pictures, faces)

    def places(self) -> int:
        """One: a second job on the same device would only slow the first."""
        return 1

    def inventory(self) -> Inventory | None:
        """None: its models lie on this computer, where the shelf finds them."""
        return None

    def idle(self) -> None:
        """Let go of the model when it has not been used for the set time."""
        if self._warm is None or time.monotonic() - self._last_used < self._settings.idle_unload_s:
            return
        if self._lock.acquire(blocking=False):
            try:
                self._let_go()
            finally:
                self._lock.release()

    def _batches(self, recipe: Recipe, spec: ModelSpec, inputs: Inputs, report: Report) -> Iterator[Artifact]:
        batches = split(recipe, spec.family)
        for number in range(len(batches)):
            with self._lock:
                artifacts = self._thread.submit(copy_context().run, self._draw, recipe, spec, inputs, batches, number, report).result()
            yield from artifacts

    def _draw(
        self, recipe: Recipe, spec: ModelSpec, inputs: Inputs, batches: tuple[range, ...], number: int, report: Report
    ) -> list[Artifact]:
        with self._busy(lambda: _out_of_memory(recipe, spec, self._device)):
            return self._wake(spec, report).draw(recipe, inputs, batches, number, report)

    def _learn(
        self, recipe: TrainRecipe, spec: ModelSpec, pictures: Sequence[TrainingPicture], folder: Path, report: Report
    ) -> TrainedLora:
        with self._busy(lambda: _no_room_to_train(recipe, spec, self._device)):
            try:
                warm = self._wake(spec, report)
                from engines.embedded.training import Training

                return Training(warm, recipe, folder, report).run(pictures)
            finally:
                self._let_go()  # the model wears what was learned

    def _judge(
        self,
        recipe: TrainRecipe,
        spec: ModelSpec,
        folder: Path,
        pictures: Sequence[TrainingPicture],
        report: Report,
        faces: Faces | None,
    ) -> Judgement:
        most = max(1, min(_LARGEST_BATCH, _PIXELS[spec.family] // recipe.resolution**2))
        with self._busy(lambda: _no_room_to_judge(spec, self._device)):
            warm = self._wake(spec, report)
            from engines.embedded.judging import Judging

            return Judging(warm, recipe, folder, report, most, faces).run(pictures)

    def _wake(self, spec: ModelSpec, report: Report) -> Warm:
        warm = self._warm
        if warm is not None and warm.fresh(spec):
            return warm
        self._state = "loading"
        self._let_go()
        self._state = "loading"
        models.check_checkpoint(Path(spec.path))
        report(0.0, "Waking the engine")
        from engines.embedded.loading import load  # the import of torch, seconds long

        self._warm = warm = load(spec, self._settings, report)
        self._device = warm.place.device
        self._state = "busy"
        return warm

    @contextmanager
    def _busy(self, no_room: Callable[[], OutOfMemory]) -> Iterator[None]:
        self._state = "busy"
        try:
            # Libraries warn their developers; people who make pictures can't act on it.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        except Exception as error:  # told apart below; whatever is not about memory goes on as it is
            if not _is_out_of_memory(error):
                raise
            cause = error.with_traceback(None)  # its frames hold the tensors that must go
            _free_memory()
            raise no_room() from cause
        finally:
            self._last_used = time.monotonic()
            self._state = "ready" if self._warm is not None else "asleep"

    def _let_go(self) -> None:
        if self._warm is not None:
            log.info("Unloaded %s", self._warm.spec.name)
            self._warm = None
            _free_memory()
        self._state = "asleep"


def split(recipe: Recipe, family: str) -> tuple[range, ...]:
    """The indices of a recipe's pictures in the batches they are made in: a matter of recipe and family alone, never of the machine."""
    most = max(1, min(_LARGEST_BATCH, _PIXELS[family] // (recipe.width * recipe.height)))
    number = math.ceil(recipe.count / most)
    edges = [recipe.count * i // number for i in range(number + 1)]
    return tuple(range(begin, end) for begin, end in pairwise(edges))


_LARGEST_BATCH = 8
# How many pixels one batch may have: what fits beside the weights on the smallest card that runs the family.
_PIXELS: dict[str, int] = {
    Family.starter: 8 * 192 * 192,
    Family.sd15: 4 * 512 * 512,
    Family.sd2: 2 * 768 * 768,
    Family.sdxl: 1024 * 1024,
    Family.sd3: 1024 * 1024,
    Family.flux: 1024 * 1024,
    Family.other: 1024 * 1024,
}


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError):
        return True
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(error, torch.OutOfMemoryError):
        return True
    words = str(error).lower()
    return isinstance(error, RuntimeError) and ("out of memory" in words or "not enough memory" in words or "can't allocate" in words)


def _out_of_memory(recipe: Recipe, spec: ModelSpec, device: str) -> OutOfMemory:
    where = "The graphics card" if device.startswith(("cuda", "mps")) else "The computer"
    tries: list[str] = []
    if recipe.width * recipe.height > spec.width * spec.height:
        tries.append(f"make it smaller ({spec.width}×{spec.height})")
    elif min(recipe.width, recipe.height) > spec.side_min:
        small = [max(spec.side_min, side // 2 // spec.side_step * spec.side_step) for side in (recipe.width, recipe.height)]
        tries.append(f"make it smaller ({small[0]}×{small[1]})")
    if recipe.count > 1:
        tries.append("make one picture at a time")
    if recipe.loras:
        tries.append("use fewer LoRAs")
    tries.append("close other programs" if not tries else "or close other programs")
    what = f"{recipe.count} pictures of {recipe.width}×{recipe.height}" if recipe.count > 1 else f"{recipe.width}×{recipe.height}"
    remedy = ", ".join(tries)
    return OutOfMemory(f"{where} has not enough memory for {what} with {spec.name}.", remedy=f"{remedy[0].upper()}{remedy[1:]}.")


def _no_room_to_train(recipe: TrainRecipe, spec: ModelSpec, device: str) -> OutOfMemory:
    where = "The graphics card" if device.startswith(("cuda", "mps")) else "The computer"
    tries = [
        words
        for words, helps in (
            (f"learn {max(1, recipe.batch // 2)} at a time", recipe.batch > 1),
            (f"a resolution of {recipe.resolution // 2}", recipe.resolution > max(64, spec.side_min)),
            ("gradient checkpointing", not recipe.gradient_checkpointing),
            ("a smaller rank", recipe.rank > 4),
            ("closing other programs", True),
        )
        if helps
    ]
    return OutOfMemory(
        f"{where} has not enough memory to train {spec.name} at {recipe.resolution} pixels, {recipe.batch} at a time.",
        remedy=f"Try {', '.join(tries[:-1])}{' or ' if tries[:-1] else ''}{tries[-1]}. What was learned until the last checkpoint is kept.",
    )


def _no_room_to_judge(spec: ModelSpec, device: str) -> OutOfMemory:
    where = "The graphics card" if device.startswith(("cuda", "mps")) else "The computer"
    return OutOfMemory(
        f"{where} has not enough memory to draw with {spec.name}.",
        remedy="Close other programs and judge again: what was judged until now is kept.",
    )


def _free_memory() -> None:
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is None:
        return
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()


def _memory_mb(device: str) -> float:
    torch = sys.modules.get("torch")
    if torch is not None and device.startswith("cuda"):
        return round(torch.cuda.memory_reserved() / 2**20, 1)
    return round(psutil.Process().memory_info().rss / 2**20, 1)
