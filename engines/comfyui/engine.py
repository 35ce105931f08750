"""ComfyUI as an engine: the pictures of a recipe, made one after another by a graph that somebody renders."""

from __future__ import annotations

import hashlib
import io
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from PIL import Image, UnidentifiedImageError

from engines.comfyui.server import ComfyServer, Entry, Graph, OutputFile
from engines.comfyui.watch import Patience, run, with_prefix
from studio.contracts import EngineState, Recipe
from studio.engine import Artifact, Inputs, Report
from studio.errors import EngineFailed, LikenessError
from studio.source import fitted, kept

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Uploaded:
    """What LoadImage is to load: the names that the picture to start from and its mask have on the server. None where there is none."""

    image: str | None = None
    mask: str | None = None


GraphFor = Callable[[Recipe, ComfyServer, Uploaded], Graph]
"""Renders the graph of one picture: the recipe's `count` is 1 and its `seed` the picture's own. Raises LikenessErrors."""


class Comfy:
    """The pictures of recipes, made on one server. May be used from several threads: the server has a queue of its own."""

    def __init__(self, server: ComfyServer, graph_for: GraphFor, *, name: str = "comfyui", patience: Patience | None = None) -> None:
        self.name = name
        self._server = server
        self._graph_for = graph_for
        self._patience = patience
        self._lock = threading.Lock()
        self._counting = threading.Lock()
        self._running = 0
        self._model: str | None = None
        self._known = EngineState(name=name, state="asleep", note="Not asked yet.")
        self._ask_at = 0.0
        # State is asked for every second or so, by a thread that has other things to do.
        self._quick = ComfyServer.like(server, patience_s=1.0)

    def state(self) -> EngineState:
        """Whether the server answers, and on which device it computes; at most a second, and asked again after ten."""
        if self._lock.acquire(blocking=False):
            try:
                if time.monotonic() >= self._ask_at:
                    self._known = self._ask()
                    self._ask_at = time.monotonic() + 10
            finally:
                self._lock.release()
        known = self._known
        if self._running and known.state == "ready":
            return known.model_copy(update={"state": "busy", "model": self._model})
        return known

    def generate(self, recipe: Recipe, inputs: Inputs, run_id: str, report: Report) -> Iterator[Artifact]:
        """Yield the pictures of a recipe, each as soon as it is done; picture i is prompt `<run id>.<i>` on the server.

        Raises what `watch.run` raises, what the graph's renderer raises, and what `report` raises.
        """
        inputs = fitted(recipe, inputs)
        with self._counting:
            self._running += 1
            self._model = recipe.model
        try:
            names = self._upload(inputs)
            for index in range(recipe.count):
                yield from self._one(recipe, inputs, names, index, run_id, report)
        finally:
            with self._counting:
                self._running -= 1

    def idle(self) -> None:
        """Nothing to let go of here: the server keeps its own memory."""

    def close(self) -> None:
        """Let go of the connections that are its own."""
        self._quick.close()

    def _one(self, recipe: Recipe, inputs: Inputs, names: Uploaded, index: int, run_id: str, report: Report) -> Iterator[Artifact]:
        seed = recipe.seed_of(index)
        graph = self._graph_for(recipe.model_copy(update={"count": 1, "seed": seed}), self._server, names)
        # A name of its own: the server never takes it for a picture that it made before. A folder a day: it is read with every save.
        graph = with_prefix(graph, f"likeness/{datetime.now(UTC):%Y-%m-%d}/{run_id}-{index}", whole=True)
        began = time.monotonic()
        entry = run(self._server, graph, f"{run_id}.{index}", _Share(report, inputs, index, recipe.count), patience=self._patience)
        images = [kept(self._fetch(file), inputs) for file in _pictures(entry)]
        if not images:
            raise EngineFailed("The workflow ended without a picture.", remedy="Choose a workflow that ends in a Save Image node.")
        # A workflow may save several: each request counts as many pictures as it has outputs then.
        for place, image in enumerate(images):
            yield Artifact(
                index=index * len(images) + place,
                image=image,
                seed=seed,
                model_hash="",
                duration_s=(time.monotonic() - began) / len(images),
            )

    def _upload(self, inputs: Inputs) -> Uploaded:
        image = None if inputs.image is None else self._send(inputs.image)
        # As a mask its red channel is read.
        mask = None if inputs.mask is None else self._send(inputs.mask.convert("RGB"))
        return Uploaded(image, mask)

    def _send(self, image: Image.Image) -> str:
        out = io.BytesIO()
        image.save(out, "PNG", compress_level=1)
        content = out.getvalue()
        return self._server.upload(content, f"{hashlib.sha256(content).hexdigest()[:32]}.png")

    def _fetch(self, file: OutputFile) -> Image.Image:
        content = self._server.view(file)
        try:
            return Image.open(io.BytesIO(content)).convert("RGB")
        except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
            raise EngineFailed(f"ComfyUI sent “{file.name}”, which is not a picture that can be read.") from error

    def _ask(self) -> EngineState:
        try:
            stats = self._quick.system_stats()
        except LikenessError as error:
            return EngineState(name=self.name, state="asleep", note=f"{error.message} {error.remedy}")
        device = stats.devices[0] if stats.devices else None
        return EngineState(
            name=self.name,
            state="ready",
            device=device.name if device else "",
            memory_mb=device.vram_mb - device.vram_free_mb if device else 0,
            note=f"ComfyUI {stats.version} at {self._server.url}",
        )


class _Share:
    """The report of one picture of several."""

    def __init__(self, report: Report, inputs: Inputs, index: int, count: int) -> None:
        self._report = report
        self._inputs = inputs
        self._index = index
        self._count = count

    def __call__(self, progress: float, note: str = "", *, step: int = 0, steps: int = 0, preview: Image.Image | None = None) -> None:
        preview = None if preview is None else kept(preview, self._inputs)
        self._report((self._index + progress) / self._count, note, step=step, steps=steps, preview=preview)

    def wants_preview(self) -> bool:
        return self._report.wants_preview()


_ENDINGS = (".png", ".jpg", ".jpeg", ".webp")


def _pictures(entry: Entry) -> list[OutputFile]:
    """The pictures that a job saved; those that it only showed, where it saved none."""
    pictures = [file for file in entry.files if file.name.lower().endswith(_ENDINGS)]
    return [file for file in pictures if file.kind == "output"] or pictures
