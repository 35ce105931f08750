"""Drawing from a picture: which pipeline does it, how far it goes, and how the kept part of the latents stays the picture's own."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_img2img import StableDiffusionImg2ImgPipeline
from diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl_img2img import StableDiffusionXLImg2ImgPipeline
from PIL.Image import Image

from engines.embedded.sampling import is_flow
from studio.contracts import ModelSpec
from studio.errors import InvalidFieldValue


def blends(pipe: Any) -> bool:
    """True if the latents of this text-to-image pipeline lie like the picture, so that `KeptLatents` can do what a mask asks."""
    return type(pipe).__name__ in _BLENDING


def from_picture(pipe: Any, spec: ModelSpec, *, masked: bool) -> Any:
    """A pipeline of the same parts that starts from a picture, or takes a mask too. Raises InvalidFieldValue if there is none."""
    kind = _BLENDING.get(type(pipe).__name__)
    made = _of_another_family(pipe, spec, masked) if kind is None else kind(**pipe.components, **_SETTINGS.get(kind, {}))
    made.set_progress_bar_config(disable=True)
    return made


def steps_done(steps: int, denoise: float) -> int:
    """How many of a schedule's last steps are done."""
    return max(1, round(steps * denoise))


def strength(steps: int, denoise: float, sampler: Any) -> float:
    """What pipelines are told so that they do `steps_done`, however they round: those of flow matching up, all others down."""
    done = steps_done(steps, denoise)
    return 1.0 if done == steps else (done + (-0.5 if is_flow(sampler.config) else 0.5)) / steps


def hard(mask: Image) -> Image:
    """A mask without greys: whatever is drawn anew in part is drawn anew, and blended later."""
    return mask.point(lambda value: 255 if value else 0)


class KeptLatents:
    """The latents of the part that a mask keeps, noised to the step a sampler has come to."""

    def __init__(self, sampler: Any, mask: Image) -> None:
        self._sampler = sampler
        self._mask = torch.from_numpy(np.asarray(mask) > 0).float()[None]
        # Pipelines code the picture and draw the noise themselves, and tell nobody but the sampler.
        self._noised = sampler.add_noise
        sampler.add_noise = self._remember

    def put_back(self, latents: torch.Tensor) -> torch.Tensor:
        """The latents after a step, with the kept part as the picture has it there."""
        ahead = self._sampler.timesteps[self._sampler.step_index :]
        own = self._noised(self._own, self._noise, ahead[:1].repeat(len(latents))) if len(ahead) else self._own
        anew = torch.nn.functional.adaptive_max_pool2d(self._mask, latents.shape[-2:]).bool().to(latents.device)
        return torch.where(anew, latents, own.to(latents.dtype))

    def _remember(self, own: torch.Tensor, noise: torch.Tensor, times: Any) -> torch.Tensor:
        self._own, self._noise = own, noise
        return self._noised(own, noise, times)


_BLENDING: dict[str, Any] = {
    "StableDiffusionPipeline": StableDiffusionImg2ImgPipeline,
    "StableDiffusionXLPipeline": StableDiffusionXLImg2ImgPipeline,
}
_SETTINGS: dict[Any, dict[str, Any]] = {StableDiffusionImg2ImgPipeline: {"requires_safety_checker": False}}


def _of_another_family(pipe: Any, spec: ModelSpec, masked: bool) -> Any:
    # Knows every pipeline there is, and imports them all.
    from diffusers.pipelines.auto_pipeline import AutoPipelineForImage2Image, AutoPipelineForInpainting

    try:
        made: Any = (AutoPipelineForInpainting if masked else AutoPipelineForImage2Image).from_pipe(pipe)
    except ValueError as error:
        raise _cannot(spec, masked) from error
    if "strength" not in inspect.signature(type(made).__call__).parameters:
        raise _cannot(spec, masked)
    return made


def _cannot(spec: ModelSpec, masked: bool) -> InvalidFieldValue:
    return InvalidFieldValue(
        f"{spec.name} can't {'redraw a part of a picture' if masked else 'start from a picture'}.",
        field="image",
        remedy="Choose a Stable Diffusion, SDXL, SD 3 or FLUX model, or start from words alone.",
    )
