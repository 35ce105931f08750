"""Small graphs for the test server, and a report that remembers what it was told."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from typing import Any

from PIL.Image import Image

from app import HOME
from studio.workflows import WorkflowKind, export_workflow, load_workflow

Graph = dict[str, Any]


def node(class_type: str, title: str = "", /, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs} | ({"_meta": {"title": title}} if title else {})


def text_to_image(*, seed: int | None = None, steps: int = 2, count: int = 1, prefix: str = "", **changes: dict[str, Any]) -> Graph:
    """The tiny checkpoint's graph: node 3 samples, node 9 saves. `changes` are inputs by node id: n4={"ckpt_name": …}."""
    graph = {
        "4": node("CheckpointLoaderSimple", ckpt_name="tiny_sd15.safetensors"),
        "5": node("EmptyLatentImage", width=64, height=64, batch_size=count),
        "6": node("CLIPTextEncode", text="a cat", clip=["4", 1]),
        "7": node("CLIPTextEncode", text="", clip=["4", 1]),
        "3": node(
            "KSampler",
            "The sampler",
            seed=secrets.randbelow(2**48) if seed is None else seed,
            steps=steps,
            cfg=7.0,
            sampler_name="euler",
            scheduler="normal",
            denoise=1.0,
            model=["4", 0],
            positive=["6", 0],
            negative=["7", 0],
            latent_image=["5", 0],
        ),
        "8": node("VAEDecode", samples=["3", 0], vae=["4", 2]),
        "9": node("SaveImage", filename_prefix=prefix or f"tests/{secrets.token_hex(4)}", images=["8", 0]),
    }
    for name, inputs in changes.items():
        graph[name.removeprefix("n")]["inputs"] |= inputs
    return graph


def empty(prefix: str = "") -> Graph:
    """The cheapest job there is: one grey picture of no model."""
    return {
        "1": node("EmptyImage", width=64, height=64, batch_size=1, color=secrets.randbelow(1 << 24)),
        "2": node("SaveImage", filename_prefix=prefix or f"tests/{secrets.token_hex(4)}", images=["1", 0]),
    }


def sleep(seconds: float, *, steps: int = 20) -> Graph:
    """A job of a known length."""
    return {
        "1": node("EmptyImage", width=64, height=64, batch_size=1, color=secrets.randbelow(1 << 24)),
        "2": node("TestSleep", "A long sleep", image=["1", 0], seconds=seconds, steps=steps),
        "3": node("SaveImage", filename_prefix=f"tests/{secrets.token_hex(4)}", images=["2", 0]),
    }


def fail(message: str = "failed on purpose", *, out_of_memory: bool = False) -> Graph:
    """A job that a node ends with an error."""
    return {
        "1": node("EmptyImage", width=64, height=64, batch_size=1, color=secrets.randbelow(1 << 24)),
        "2": node("TestFail", image=["1", 0], message=message, out_of_memory=out_of_memory),
        "3": node("SaveImage", filename_prefix="tests/fail", images=["2", 0]),
    }


def tiny_sheet(views: int = 20) -> bytes:
    """A character sheet with the shipped views that the tiny checkpoint draws from a picture, as `workflows import` takes it."""
    changes = {"width": 64, "height": 64, "steps": 2, "checkpoint": "tiny_sd15.safetensors"}
    drawing = load_workflow(HOME / "workflows" / "sd15_image_to_image")
    shown = load_workflow(HOME / "workflows" / "character_sheet_kontext").views[-views:]
    parameters = tuple(each.model_copy(update={"default": changes.get(each.name, each.default)}) for each in drawing.parameters)
    kept = {"id": "tiny_sheet", "name": "Tiny sheet", "kind": WorkflowKind.character_sheet, "matches": ()}
    return export_workflow(drawing.model_copy(update={**kept, "parameters": parameters, "views": shown}))


class Said:
    """A report that keeps everything. `when` is called with each progress and may raise what reports raise."""

    def __init__(self, when: Callable[[Said], None] | None = None, *, previews: bool = False) -> None:
        self.progress: list[float] = []
        self.notes: list[str] = []
        self.steps: list[tuple[int, int]] = []
        self.previews: list[Image] = []
        self.asked = 0
        self.moving = threading.Event()
        """Set once a node said how far it is."""
        self._previews = previews
        self._when = when

    def __call__(self, progress: float, note: str = "", *, step: int = 0, steps: int = 0, preview: Image | None = None) -> None:
        self.progress.append(progress)
        self.notes.append(note)
        self.steps.append((step, steps))
        if preview is not None:
            self.previews.append(preview)
        if step:
            self.moving.set()
        if self._when is not None:
            self._when(self)

    def wants_preview(self) -> bool:
        self.asked += 1
        return self._previews
