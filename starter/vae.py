"""The VAE: pictures to latents of a sixteenth of their side, and back."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

from starter.checkpoints import Slice, chance, noise_dice
from starter.config import Config, Vae
from starter.machine import autocast
from starter.pictures import Pictures
from starter.training import Stage
from studio.errors import from_os_error
from studio.files import sync_folder

# The logarithm of a variance that is none: latents are what the encoder says, also where a pipeline draws them.
_NO_SPREAD = -20.0
_JUDGED = 48
_ENCODED = 32


def build_vae(about: Vae, side: int) -> Any:
    """An AutoencoderKL with weights as they begin."""
    stages = len(about.channels)
    build: Any = AutoencoderKL
    vae = build(
        down_block_types=("DownEncoderBlock2D",) * stages,
        up_block_types=("UpDecoderBlock2D",) * stages,
        block_out_channels=about.channels,
        layers_per_block=1,
        latent_channels=about.latent_channels,
        norm_num_groups=about.groups,
        sample_size=side,
        scaling_factor=1.0,
        mid_block_add_attention=False,
        use_quant_conv=False,
        use_post_quant_conv=False,
        force_upcast=False,
    )
    with torch.no_grad():
        last = vae.encoder.conv_out
        last.weight[about.latent_channels :] = 0
        last.bias[about.latent_channels :] = _NO_SPREAD
    return vae


def vae_stage(vae: Any, pictures: Pictures, config: Config, device: str) -> Stage:
    """Encoder and decoder together: squares of pictures first, whole ones then."""
    about = config.vae

    def loss(step: int, seen: int, batch: int) -> torch.Tensor:
        crop = about.crop if seen < about.cropped * about.schedule.samples else pictures.side
        pixels, weights = _batch(pictures, config, "vae", step, batch, crop, device)
        dice = noise_dice(config.seed, "vae noise", step)
        with autocast(device):
            latents = vae.encode(pixels).latent_dist.mean
            noise = torch.randn(latents.shape, generator=dice).to(device) * about.noise
            drawn = vae.decode(latents + noise).sample
        latents = latents.float()
        moments = latents.mean((0, 2, 3)).pow(2).mean() + (latents.std((0, 2, 3)) - 1).pow(2).mean()
        return _difference(drawn.float(), pixels, weights, about) + about.moments * moments

    return Stage("vae", {"vae": vae}, about.schedule, loss, lambda: {"psnr": psnr(vae, pictures, device)}, decay=0.0)


def decoder_stage(vae: Any, pictures: Pictures, latents: np.ndarray, config: Config, device: str) -> Stage:
    """The decoder alone, on stored latents."""
    about = config.vae
    vae.encoder.requires_grad_(False)

    def loss(step: int, _seen: int, batch: int) -> torch.Tensor:
        dice = chance(config.seed, "decoder", step)
        numbers = [dice.randrange(pictures.learned) for _ in range(batch)]
        pixels, weights = _tensors(pictures, numbers, about.face, device)
        known = torch.from_numpy(latents[numbers]).float()
        known = known + about.noise * torch.randn(known.shape, generator=noise_dice(config.seed, "decoder noise", step))
        with autocast(device):
            drawn = vae.decode(known.to(device)).sample
        return _difference(drawn.float(), pixels, weights, about)

    return Stage("decoder", {"decoder": vae.decoder}, about.decoder_alone, loss, lambda: {"psnr": psnr(vae, pictures, device)}, decay=0.0)


@torch.no_grad()
def psnr(vae: Any, pictures: Pictures, device: str, count: int = _JUDGED) -> float:
    """Peak signal-to-noise ratio of reconstructed held-out pictures in dB, the mean of the pictures' own."""
    values: list[float] = []
    held_out = pictures.held_out[:count]
    for begin in range(0, len(held_out), 8):
        pixels, _ = _tensors(pictures, held_out[begin : begin + 8], 1.0, device)
        with autocast(device):
            drawn = vae.decode(vae.encode(pixels).latent_dist.mean).sample.float().clamp(-1, 1)
        errors = ((drawn - pixels) / 2).pow(2).mean((1, 2, 3))
        values += [-10 * math.log10(max(error, 1e-12)) for error in errors.tolist()]
    return sum(values) / len(values)


def encode_all(vae: Any, pictures: Pictures, path: Path, device: str, slice_: Slice) -> np.ndarray | None:
    """Every picture's latents, (pictures, channels, cells, cells) in float16, mapped from `path`; None when the slice ended before.

    What was encoded by an earlier call is kept. The file has its name when it is whole. Raises DiskFull.
    """
    cells = pictures.side // 2 ** (len(vae.config["block_out_channels"]) - 1)
    shape = (len(pictures), vae.config["latent_channels"], cells, cells)
    if not path.is_file():
        part, told = path.with_suffix(".part"), path.with_suffix(".done")
        done = int(told.read_text(encoding="utf-8")) if told.is_file() and part.is_file() else 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            held = np.memmap(part, np.float16, "r+" if done else "w+", shape=shape)
            with slice_.listening(), torch.no_grad():
                for begin in range(done, len(pictures), _ENCODED):
                    if slice_.over:
                        return None
                    pixels, _ = _tensors(pictures, range(begin, min(begin + _ENCODED, len(pictures))), 1.0, device)
                    with autocast(device):
                        latents = vae.encode(pixels).latent_dist.mean
                    held[begin : begin + len(pixels)] = latents.float().cpu().numpy()
                    slice_.step()
                    if begin % (_ENCODED * 32) == 0:
                        held.flush()
                        told.write_text(str(begin), encoding="utf-8")
            held.flush()
            part.replace(path)
            told.unlink(missing_ok=True)
            sync_folder(path.parent)
        except OSError as error:
            raise from_os_error(error, "store the latents") from error
    return np.memmap(path, np.float16, "r", shape=shape)


def _batch(
    pictures: Pictures, config: Config, stage: str, step: int, batch: int, crop: int, device: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures by chance and their weights; squares of them when `crop` is smaller than they are, half of those around faces."""
    dice = chance(config.seed, stage, step)
    numbers = [dice.randrange(pictures.learned) for _ in range(batch)]
    pixels, weights = _tensors(pictures, numbers, config.vae.face, device)
    room = pictures.side - crop
    if room <= 0:
        return pixels, weights
    cut: list[tuple[slice, slice]] = []
    for number in numbers:
        left, top, right, bottom = pictures.faces[number].tolist()
        x, y = dice.randint(0, room), dice.randint(0, room)
        if dice.random() < 0.5:
            x, y = (max(0, min(room, (low + high - crop) // 2)) for low, high in ((left, right), (top, bottom)))
        cut.append((slice(y, y + crop), slice(x, x + crop)))
    squares, theirs = (
        torch.stack([each[:, down, across] for each, (down, across) in zip(whole, cut, strict=True)]) for whole in (pixels, weights)
    )
    return squares, theirs


def _tensors(pictures: Pictures, numbers: range | list[int], face: float, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """(pictures, 3, side, side) from -1 to 1, and (pictures, 1, side, side): `face` on the face and 1 elsewhere, with mean 1."""
    pixels = torch.from_numpy(pictures.pixels(numbers)).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1
    weights = torch.ones(len(pixels), 1, pictures.side, pictures.side)
    for weight, number in zip(weights, numbers, strict=True):
        left, top, right, bottom = pictures.faces[number].tolist()
        weight[:, top:bottom, left:right] = face
    weights /= weights.mean((1, 2, 3), keepdim=True)
    # Not channels last: on processors the norms of this network are slower in that order.
    return pixels.contiguous(), weights.to(device)


def _difference(drawn: torch.Tensor, pixels: torch.Tensor, weights: torch.Tensor, about: Vae) -> torch.Tensor:
    away = drawn - pixels
    across, down = away[..., 1:] - away[..., :-1], away[..., 1:, :] - away[..., :-1, :]
    edges = (across.abs() * weights[..., 1:]).mean() + (down.abs() * weights[..., 1:, :]).mean()
    return (away.abs() * weights).mean() + about.edges * edges + about.squares * (away.pow(2) * weights).mean()
