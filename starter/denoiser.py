"""The denoiser: a small UNet on latents, with v-prediction and a schedule that ends in pure noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from transformers import CLIPTextModel, CLIPTokenizer

from starter.captions import caption, full_caption
from starter.checkpoints import chance, noise_dice
from starter.config import Config, Denoiser
from starter.machine import autocast
from starter.pictures import Pictures
from starter.text_encoder import tokens_of
from starter.training import Stage

_JUDGED = 256
_AT_ONCE = 64


def build_denoiser(about: Denoiser, latent_channels: int, words: int, cells: int) -> Any:
    """A UNet2DConditionModel with weights as they begin: `words` numbers per token, `cells` × `cells` latents."""
    crossing = len(about.channels) - 1
    build: Any = UNet2DConditionModel
    unet = build(
        sample_size=cells,
        in_channels=latent_channels,
        out_channels=latent_channels,
        down_block_types=("DownBlock2D", *("CrossAttnDownBlock2D",) * crossing),
        up_block_types=(*("CrossAttnUpBlock2D",) * crossing, "UpBlock2D"),
        block_out_channels=about.channels,
        layers_per_block=about.layers,
        cross_attention_dim=words,
        attention_head_dim=about.heads,
    )
    return unet.to(memory_format=torch.channels_last)


def scheduler() -> DDIMScheduler:
    """Cosine noise that ends with no signal at all, and trailing steps (Lin et al. 2024): so dark and bright pictures come out."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        steps_offset=1,
        clip_sample=False,
        set_alpha_to_one=True,
    )


def denoiser_stage(
    unet: Any,
    encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    pictures: Pictures,
    latents: np.ndarray,
    scale: float,
    config: Config,
    device: str,
) -> Stage:
    """`latents` are (pictures, channels, cells, cells) as they were stored; `scale` times them is what is denoised."""
    about = config.denoiser
    encoder.requires_grad_(False)
    kept = scheduler().alphas_cumprod.to(device)
    signal, noise = kept.sqrt(), (1 - kept).sqrt()
    weights = torch.from_numpy(face_weights(pictures.faces, pictures.side, latents.shape[-1], about.face)).to(device)
    resident = torch.from_numpy(np.asarray(latents)).to(device) if device == "cuda" else None

    def difference(numbers: list[int], texts: list[str], times: torch.Tensor, dice: torch.Generator) -> torch.Tensor:
        chosen = resident[numbers] if resident is not None else torch.from_numpy(latents[numbers]).to(device)
        clean = chosen.float() * scale
        laid = torch.randn(clean.shape, generator=dice).to(device)
        times = times.to(device)
        with torch.no_grad():
            words = encoder(tokens_of(tokenizer, texts).to(device))[0]
        part, rest = signal[times][:, None, None, None], noise[times][:, None, None, None]
        with autocast(device):
            said = unet((part * clean + rest * laid).contiguous(memory_format=torch.channels_last), times, words).sample
        away = (said.float() - (part * laid - rest * clean)).pow(2).mean(1)
        return (away * weights[numbers]).mean((1, 2))

    def loss(step: int, _seen: int, batch: int) -> torch.Tensor:
        fall = chance(config.seed, "denoiser", step)
        dice = noise_dice(config.seed, "denoiser noise", step)
        numbers = [fall.randrange(pictures.learned) for _ in range(batch)]
        texts = ["" if fall.random() < about.dropped else caption(pictures.attributes[number], fall).text for number in numbers]
        # One time in every part of the way: less chance in the loss of a batch.
        even = (torch.arange(batch) + torch.rand(batch, generator=dice)) / batch
        return difference(numbers, texts, _times(even, about.shift), dice).mean()

    @torch.no_grad()
    def judge() -> dict[str, float]:
        unet.eval()
        losses: list[torch.Tensor] = []
        numbers = list(pictures.held_out[:_JUDGED])
        for begin in range(0, len(numbers), _AT_ONCE):
            part = numbers[begin : begin + _AT_ONCE]
            times = torch.arange(begin, begin + len(part)) * 1000 // len(numbers)
            texts = [full_caption(pictures.attributes[number]) for number in part]
            losses.append(difference(part, texts, times, noise_dice(config.seed, "denoiser judged", begin)))
        unet.train()
        return {"held_out_loss": torch.cat(losses).mean().item()}

    return Stage("denoiser", {"unet": unet}, about.schedule, loss, judge)


def face_weights(faces: np.ndarray, side: int, cells: int, face: float) -> np.ndarray:
    """(pictures, cells, cells) with mean 1 each: `face` where a cell lies in the face, 1 elsewhere, between them by the share of it.

    `faces` are (pictures, 4): left, top, right, bottom in pixels of pictures of `side`.
    """
    edges = np.arange(cells + 1, dtype=np.float32) * side / cells
    low, high = edges[:-1], edges[1:]

    def covered(begin: np.ndarray, end: np.ndarray) -> np.ndarray:
        inside = np.minimum(high, end[:, None]) - np.maximum(low, begin[:, None])
        return np.clip(inside / (side / cells), 0, 1)

    left, top, right, bottom = faces.astype(np.float32).T
    share = covered(top, bottom)[:, :, None] * covered(left, right)[:, None, :]
    weights = 1 + (face - 1) * share
    return (weights / weights.mean((1, 2), keepdims=True)).astype(np.float32)


def _times(even: torch.Tensor, shift: float) -> torch.Tensor:
    return (shift * even / (1 + (shift - 1) * even) * 1000).long().clamp(0, 999)
