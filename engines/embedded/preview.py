"""Live previews: an unfinished latent as a small picture, by one matrix instead of the VAE."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

_LARGEST = 512
_SIDE = 128
_PICTURES = 6


class Preview:
    """The matrix of one model: read from its `preview.json`, or fitted to its VAE when it is first needed (under a second)."""

    def __init__(self, pipe: Any, folder: Path) -> None:
        self._pipe = pipe
        self._matrix = _read(folder / "preview.json")
        self._tried = self._matrix is not None

    def picture(self, sampler: Any, latents: torch.Tensor, width: int, height: int) -> Image.Image | None:
        """The first picture of a batch as far as it is known; None for models whose latents are laid out in a way of their own."""
        guess = _best_guess(sampler, latents)
        if guess.ndim == 3 and hasattr(self._pipe, "_unpack_latents"):
            guess = self._pipe._unpack_latents(guess, height, width, self._pipe.vae_scale_factor)
        if guess.ndim != 4:
            return None
        if not self._tried:
            self._tried = True
            self._matrix = _fit(self._pipe.vae, self._pipe._execution_device)
        if self._matrix is None or len(self._matrix) != guess.shape[1] + 1:
            return None
        config = self._pipe.vae.config
        plain = guess[0].float().cpu().numpy() / config.scaling_factor + (getattr(config, "shift_factor", None) or 0.0)
        rgb = np.tensordot(self._matrix[:-1], plain, (0, 0)) + self._matrix[-1][:, None, None]
        small = Image.fromarray((np.nan_to_num(rgb).clip(0, 1) * 255).astype(np.uint8).transpose(1, 2, 0))
        scale = min(1.0, _LARGEST / max(width, height))
        return small.resize((max(1, round(width * scale)), max(1, round(height * scale))), Image.Resampling.BICUBIC)


def _best_guess(sampler: Any, latents: torch.Tensor) -> torch.Tensor:
    """The finished picture as the sampler foresees it at this step, where it says so; otherwise the noisy one."""
    outputs = getattr(sampler, "model_outputs", None)
    guess = outputs[-1] if outputs else getattr(sampler, "guess", None)
    return guess if isinstance(guess, torch.Tensor) and guess.shape == latents.shape else latents


def _read(path: Path) -> np.ndarray | None:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return np.asarray([*said["matrix"], said["bias"]], dtype=np.float32)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _fit(vae: Any, device: torch.device) -> np.ndarray | None:
    """Least squares between the latents of a few made-up pictures and their colours; None for a VAE that takes no plain pictures."""
    pictures = torch.from_numpy(_made_up_pictures())
    try:
        coded = vae.encode((pictures * 2 - 1).to(device, vae.dtype))
    except (RuntimeError, ValueError, AttributeError):
        return None
    latents = coded.latents if hasattr(coded, "latents") else coded.latent_dist.mode()
    if latents.ndim != 4 or not torch.isfinite(latents).all():
        return None
    small = torch.nn.functional.adaptive_avg_pool2d(pictures, tuple(latents.shape[2:]))
    known = latents.float().cpu().permute(0, 2, 3, 1).flatten(0, 2).double()
    colours = small.permute(0, 2, 3, 1).flatten(0, 2).double()
    known = torch.cat([known, torch.ones(len(known), 1, dtype=torch.float64)], 1)
    return torch.linalg.lstsq(known, colours).solution.float().numpy()


def _made_up_pictures() -> np.ndarray:
    """Soft fields and hard patches of random colours: (pictures, 3, side, side) in 0..1, the same ones every time."""
    dice = np.random.default_rng(7)
    made: list[np.ndarray] = []
    for cells in (2, 3, 4, 5, 8, 16)[:_PICTURES]:
        patches = Image.fromarray(dice.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        way = Image.Resampling.NEAREST if cells > 4 else Image.Resampling.BICUBIC
        made.append(np.asarray(patches.resize((_SIDE, _SIDE), way), dtype=np.float32) / 255)
    return np.stack(made).transpose(0, 3, 1, 2)
