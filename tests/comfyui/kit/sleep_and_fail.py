"""Nodes for tests, loaded by the ComfyUI server: a job of a known length that can be interrupted, and jobs that fail on demand."""

from __future__ import annotations

import time
from typing import Any

import comfy.model_management
import comfy.utils
import torch


class TestSleep:
    """Passes an image on after some seconds, reporting every step."""

    CATEGORY, FUNCTION, RETURN_TYPES = "test", "run", ("IMAGE",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - the name ComfyUI calls
        return {
            "required": {
                "image": ("IMAGE",),
                "seconds": ("FLOAT", {"default": 1.0, "min": 0.0, "max": 600.0}),
                "steps": ("INT", {"default": 10, "min": 1, "max": 1000}),
            }
        }

    def run(self, image: object, seconds: float, steps: int) -> tuple[object]:
        bar = comfy.utils.ProgressBar(steps)
        for _ in range(steps):
            time.sleep(seconds / steps)
            comfy.model_management.throw_exception_if_processing_interrupted()
            bar.update(1)
        return (image,)


class TestFail:
    """Fails with the message it is given; `out_of_memory` fails as a full graphics card does."""

    CATEGORY, FUNCTION, RETURN_TYPES = "test", "run", ("IMAGE",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - the name ComfyUI calls
        return {
            "required": {
                "image": ("IMAGE",),
                "message": ("STRING", {"default": "failed on purpose"}),
                "out_of_memory": ("BOOLEAN", {"default": False}),
            }
        }

    def run(self, image: object, message: str, out_of_memory: bool) -> tuple[object]:
        raise torch.OutOfMemoryError(message) if out_of_memory else RuntimeError(message)


NODE_CLASS_MAPPINGS = {"TestSleep": TestSleep, "TestFail": TestFail}
