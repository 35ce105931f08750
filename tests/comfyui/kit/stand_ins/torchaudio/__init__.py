"""Test-only stand-in: ComfyUI imports torchaudio at start-up but needs it only for audio nodes."""

__version__ = "0.0.0"
from . import functional, transforms  # noqa: F401
