"""A worker whose engine does what the prompt says: hang, die, fail, run out of memory, or take its time. For tests of the worker itself."""

from __future__ import annotations

import functools
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from app import STARTER_MODEL
from engines.embedded.classifier import load_judge
from studio.characters import Characters
from studio.contracts import EngineState, Inventory, JobKind, Recipe
from studio.db import Database, open_database
from studio.engine import Artifact, Inputs, Report
from studio.errors import OutOfMemory
from studio.gallery import Gallery
from studio.generate import make_pictures
from studio.jobs import Jobs
from studio.logs import setup_logging
from studio.settings import Settings, load_settings
from studio.shelf import ModelShelf
from studio.worker import Worker, run_worker


class OddEngine:
    """An engine that misbehaves on demand; its pictures are one flat colour."""

    name = "embedded"

    def state(self) -> EngineState:
        return EngineState(name=self.name, state="ready", device="cpu")

    def places(self) -> int:
        return 1

    def inventory(self) -> Inventory | None:
        return None

    def idle(self) -> None:
        pass

    def generate(self, recipe: Recipe, inputs: Inputs, run_id: str, report: Report) -> Iterator[Artifact]:
        word = recipe.prompt.split()[0]
        report(0.1, "Thinking", step=1, steps=recipe.steps)
        if word == "hang":
            time.sleep(3600)
        if word == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if word == "boom":
            raise RuntimeError("the password is hunter2-in-a-traceback")
        if word == "memory":
            raise OutOfMemory("It did not fit.", remedy="Make it smaller.")
        if word == "slow":
            for step in range(1, 200):
                preview = Image.new("RGB", (8, 8), (step, 0, 0)) if report.wants_preview() else None
                report(step / 200, "Drawing", step=step, steps=200, preview=preview)
                time.sleep(0.05)
        for index in range(recipe.count):
            yield Artifact(index, Image.new("RGB", (recipe.width, recipe.height), (index, 0, 0)), recipe.seed_of(index), "0" * 64)


def make_odd_worker(settings: Settings, database: Database) -> Worker:
    """A worker with the odd engine and everything else real."""
    engines = {"embedded": OddEngine()}
    handler = functools.partial(
        make_pictures,
        jobs=Jobs(database),
        gallery=Gallery(database, settings.data),
        engines=engines,
        shelf=ModelShelf(settings.models_path, settings.loras_path, [STARTER_MODEL]),
        characters=Characters(database),
        judge=functools.partial(load_judge, settings.data),
        explicit_from=settings.explicit_threshold,
    )
    return Worker(settings, database, engines, {JobKind.generate: handler})


if __name__ == "__main__":
    ours = load_settings(Path(sys.argv[1])).model_copy(update={"engine_timeout_s": 2.0})
    setup_logging(ours, "worker", None)
    sys.exit(run_worker(lambda: make_odd_worker(ours, open_database(ours.database)), ours))
