"""What tests of AI-Toolkit share: a small recipe, the stand-in as a folder, and a report that takes everything down."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from PIL import Image

from studio.training import ToolkitOptions, TrainRecipe

HERE = Path(__file__).parent


def small_recipe(**changes: Any) -> TrainRecipe:
    """The recipe of most tests, with changes."""
    said = {
        "model": "tiny-sd15",
        "trigger": "zxmia",
        "rank": 4,
        "alpha": 4,
        "learning_rate": 1e-4,
        "schedule": "constant",
        "warmup": 0,
        "steps": 30,
        "batch": 1,
        "resolution": 64,
        "caption_dropout": 0.05,
        "save_every": 10,
        "sample_every": 10,
        "samples": ("portrait of zxmia person", "zxmia in a park"),
        "toolkit": ToolkitOptions(arch="sd15"),
    }
    return TrainRecipe.model_validate(said | changes)


def stand_in(folder: Path) -> Path:
    """Make a folder with the stand-in as AI-Toolkit would lie there."""
    (folder / "venv" / "bin").mkdir(parents=True)
    (folder / "venv" / "bin" / "python").symlink_to(sys.executable)
    shutil.copy(HERE / "stand_in" / "run.py", folder)
    kinds = folder / "extensions_built_in" / "sd_trainer" / "__init__.py"
    kinds.parent.mkdir(parents=True)
    kinds.write_text('uid = "diffusion_trainer"\n', "utf-8")
    return folder


def behave(toolkit: Path, **behaviour: Any) -> None:
    """Make the stand-in slow, or fail."""
    (toolkit / "behaviour.json").write_text(json.dumps(behaviour), "utf-8")


class Said:
    """Takes progress down; raises what a test wants once a step is reached and `when` doesn't say False."""

    def __init__(self, error: type[Exception] | None = None, *, after: int = 0, when: Any = None) -> None:
        self.notes: list[str] = []
        self.steps: list[int] = []
        self._error, self._after, self._when = error, after, when

    def __call__(self, progress: float, note: str = "", *, step: int = 0, steps: int = 0, preview: Image.Image | None = None) -> None:
        assert 0 <= progress <= 1
        self.notes.append(note)
        self.steps.append(step)
        ready = self._when is None or self._when(step) is not False
        if self._error is not None and step >= self._after and ready:
            raise self._error

    def wants_preview(self) -> bool:
        return True
