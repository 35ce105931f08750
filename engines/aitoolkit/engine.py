"""AI-Toolkit as an engine: it trains LoRAs, one at a time, with the installation that AITOOLKIT_PATH names or Likeness made."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from engines.aitoolkit.process import find_toolkit
from studio.contracts import EngineState
from studio.engine import Report
from studio.errors import LikenessError
from studio.managed import has_toolkit
from studio.settings import Settings
from studio.training import TrainedLora, TrainingPicture, TrainRecipe


class AIToolkit:
    """Trains LoRAs of large models in a process of its own. One training runs at a time; `state` may be called from any thread.

    `settings` are asked each time: an installation that was made or chosen meanwhile is used. `leave_s` is how long a save may take when
    the worker ends: less than the worker has. A trainer that is in the midst of a long step then is stopped after its save by a process
    of its own, or taken up again by the next worker, whichever comes first.
    """

    name = "aitoolkit"

    def __init__(self, settings: Callable[[], Settings], *, leave_s: float = 8.0) -> None:
        self._settings = settings
        self._leave_s = leave_s
        self._lock = threading.Lock()
        self._model: str | None = None

    def state(self) -> EngineState:
        """Whether there is one, and whether it trains. Quick: nothing is started or asked."""
        if self._model is not None:
            return EngineState(name=self.name, state="busy", device=self._device(), model=self._model)
        settings = self._settings()
        if not has_toolkit(settings):
            return EngineState(name=self.name, state="unset")
        try:
            find_toolkit(settings)
        except LikenessError as error:
            return EngineState(name=self.name, state="offline", note=error.message)
        return EngineState(name=self.name, state="asleep", device=self._device())

    @contextmanager
    def resting(self) -> Iterator[bool]:
        """Whether none trains. A training that is asked for meanwhile begins after the block."""
        if not self._lock.acquire(blocking=False):
            yield False
            return
        try:
            yield True
        finally:
            self._lock.release()

    def train(self, recipe: TrainRecipe, model: Path, pictures: Sequence[TrainingPicture], folder: Path, report: Report) -> TrainedLora:
        """Train a LoRA into `folder`, going on after the newest checkpoint found there; a trainer that still runs on it is taken up.

        `model` is a diffusers folder, a .safetensors file (SD 1.5 and SDXL), or a model of Hugging Face (owner/name). Files `save` and
        `sample` in `folder/asks` are asks to save or draw samples at the next step; they are removed when the trainer was asked.

        Raises Cancelled or Stopping, as `report` does, when what was learned was saved; otherwise LikenessError with a remedy:
        DEPENDENCY_MISSING, MODEL_GATED, MODEL_INVALID, OUT_OF_MEMORY, TRAINING_DIVERGED, DISK_FULL, ENGINE_FAILED ….
        The newest good checkpoint stays in each case.
        """
        from engines.aitoolkit.runner import Run  # numpy: the page, which asks what can be trained, needs none

        with self._lock:
            self._model = recipe.model
            try:
                return Run(self._settings(), recipe, model, folder.resolve(), report, self._leave_s).run(pictures)
            finally:
                self._model = None

    def _device(self) -> str:
        device = self._settings().device
        return device if device != "auto" else ""
