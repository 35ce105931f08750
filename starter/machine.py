"""Where it is computed, and in which numbers."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager

import torch


def best_device() -> str:
    """cuda, mps or cpu."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def autocast(device: str) -> AbstractContextManager[object]:
    """bfloat16 where multiplying in it is faster, float32 elsewhere."""
    if device == "cuda" or (device == "cpu" and fast_bfloat16()):
        return torch.autocast(device, torch.bfloat16)
    return contextlib.nullcontext()


def fast_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 by instructions of its own (AMX, AVX512-BF16)."""
    probes = (getattr(torch.cpu, name, None) for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"))
    return any(probe() for probe in probes if probe)
