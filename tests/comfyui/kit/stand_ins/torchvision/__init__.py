"""Test-only stand-in: ComfyUI imports torchvision at start-up but needs it only for Cosmos / Stable Cascade models."""

__version__ = "0.0.0"
from . import models, transforms  # noqa: F401
