"""A loaded pipeline: draws batches, wears LoRAs, shows what it is doing."""

from __future__ import annotations

import contextlib
import copy
import inspect
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image

from engines.embedded import repaint
from engines.embedded.lora import Wardrobe
from engines.embedded.preview import Preview
from engines.embedded.sampling import make_sampler, steps_of
from studio import models
from studio.contracts import ModelSpec, Recipe
from studio.engine import Artifact, Inputs, Report, denoise_of
from studio.source import kept

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Place:
    """Where a model computes: the device, the dtype of its weights, and that of the computing where it differs."""

    device: str
    weights: torch.dtype
    autocast: torch.dtype | None
    offload: bool

    @property
    def words(self) -> str:
        """The device as people say it."""
        return {"cuda": "graphics card", "mps": "graphics chip"}.get(self.device, "processor")


class Warm:
    """A pipeline that is ready to draw."""

    def __init__(self, spec: ModelSpec, pipe: Any, place: Place, model_hash: str, fingerprints: Path) -> None:
        self.spec = spec
        self.place = place
        self.model_hash = model_hash
        self._pipe = pipe
        self._files = _stamps(spec)
        self._config = pipe.scheduler.config
        self._wardrobe = Wardrobe(pipe, spec, fingerprints)
        self._preview = Preview(pipe, Path(spec.path))
        self._from_picture: dict[bool, Any] = {}
        self._samplers: dict[str, Any] = {}
        self._read: dict[object, dict[str, Any]] = {}

    @property
    def pipe(self) -> Any:
        """The diffusers pipeline itself. Whoever changes it lets go of it afterwards."""
        return self._pipe

    @property
    def scheduler_config(self) -> Any:
        """The configuration of the noise that the model was made with, whatever sampler drew last."""
        return self._config

    def fresh(self, spec: ModelSpec) -> bool:
        """True if this is that model, and its files are still those that were loaded."""
        return spec.path == self.spec.path and _stamps(spec) == self._files

    def take_off(self) -> None:
        """Wear no LoRA any more: the model is what it was, to the last bit."""
        self._wardrobe.take_off()

    def draw(self, recipe: Recipe, inputs: Inputs, batches: tuple[range, ...], number: int, report: Report) -> list[Artifact]:
        """Make the pictures of batch `number`. Raises what `report` raises, between two steps, and stays usable."""
        started = time.perf_counter()
        batch = batches[number]
        report(number / len(batches), "Reading the prompt")
        lora_hashes = self._wardrobe.wear(recipe.loras, inputs.loras)
        pipe = self._pipe_for(inputs)
        sampler = self._sampler(recipe.sampler)
        times = steps_of(recipe.scheduler, sampler, recipe.steps)
        pipe.scheduler = sampler
        note = self._too_long(recipe)
        with torch.inference_mode(), self._numbers():
            call = self._words(pipe, recipe, len(batch)) | {
                "num_inference_steps": recipe.steps,
                "guidance_scale": recipe.cfg,
                "generator": [torch.Generator().manual_seed(recipe.seed_of(index)) for index in batch],
                "output_type": "pil",
                "callback_on_step_end": self._follow(recipe, inputs, sampler, number, len(batches), note, report),
            }
            call |= self._beginning(pipe, recipe, inputs)
            if times is not None:
                call["timesteps"] = times
            images = pipe(**call).images
        if pipe is not self._pipe and self.place.offload:
            # The parts are shared; the order in which they leave the graphics card is known to the first pipeline alone.
            self._pipe.maybe_free_model_hooks()
        seconds = (time.perf_counter() - started) / len(batch)
        return [
            Artifact(index, kept(image.convert("RGB"), inputs), recipe.seed_of(index), self.model_hash, lora_hashes, seconds)
            for index, image in zip(batch, images, strict=True)
        ]

    def draw_together(self, recipes: Sequence[Recipe], loras: Sequence[Path], report: Report) -> list[Image]:
        """One RGB picture of each recipe, all in one batch; they differ in prompt and seed alone. Raises as `draw` does."""
        if type(self._pipe).__name__ not in _EMBEDDED:
            inputs = Inputs(Path(self.spec.path), loras=tuple(loras))
            return [self.draw(recipe, inputs, (range(1),), 0, report)[0].image for recipe in recipes]
        first = recipes[0]
        self._wardrobe.wear(first.loras, loras)
        self._pipe.scheduler = sampler = self._sampler(first.sampler)
        times = steps_of(first.scheduler, sampler, first.steps)

        def on_step(_pipe: Any, index: int, _time: Any, _tensors: dict[str, Any]) -> dict[str, Any]:
            report(_STEPS_SHARE * (index + 1) / first.steps, step=index + 1, steps=first.steps)
            return {}

        with torch.inference_mode(), self._numbers():
            words = [self._words(self._pipe, recipe, 1) for recipe in recipes]
            call = {
                name: torch.cat([one[name] for one in words]) for name in _EMBEDDED[type(self._pipe).__name__] if words[0][name] is not None
            }
            call |= {
                "width": first.width,
                "height": first.height,
                "num_inference_steps": first.steps,
                "guidance_scale": first.cfg,
                "generator": [torch.Generator().manual_seed(recipe.seed) for recipe in recipes],
                "output_type": "pil",
                "callback_on_step_end": on_step,
            } | ({} if times is None else {"timesteps": times})
            return [image.convert("RGB") for image in self._pipe(**call).images]

    def _pipe_for(self, inputs: Inputs) -> Any:
        if inputs.image is None:
            return self._pipe
        masked = inputs.mask is not None and not repaint.blends(self._pipe)
        if masked not in self._from_picture:
            self._from_picture[masked] = repaint.from_picture(self._pipe, self.spec, masked=masked)
        return self._from_picture[masked]

    def _beginning(self, pipe: Any, recipe: Recipe, inputs: Inputs) -> dict[str, Any]:
        """What the pipeline is told of the size, and of the picture it starts from."""
        size = {"width": recipe.width, "height": recipe.height}
        if inputs.image is None:
            return size
        begin: dict[str, Any] = {
            "image": inputs.image,
            "strength": repaint.strength(recipe.steps, denoise_of(recipe, inputs), pipe.scheduler),
        }
        if inputs.mask is not None and not repaint.blends(self._pipe):
            begin["mask_image"] = repaint.hard(inputs.mask)
        return begin | {key: value for key, value in size.items() if key in _takes(pipe)}

    def _numbers(self) -> contextlib.AbstractContextManager[Any]:
        if self.place.autocast is None:
            return contextlib.nullcontext()
        return torch.autocast(self.place.device, self.place.autocast)

    def _sampler(self, name: str) -> Any:
        # Making one takes longer than a copy, and a copy knows nothing of a run that was cancelled.
        if name not in self._samplers:
            self._samplers[name] = make_sampler(name, self._config)
        return copy.copy(self._samplers[name])

    def _words(self, pipe: Any, recipe: Recipe, number: int) -> dict[str, Any]:
        """What the pipeline is told of the prompts: as embeddings, read once per prompt, where it takes them so."""
        guided = recipe.cfg > 1
        if type(self._pipe).__name__ not in _EMBEDDED:
            takes = _takes(pipe)
            plain: dict[str, Any] = {"prompt": recipe.prompt, "num_images_per_prompt": number}
            if "negative_prompt" in takes:
                plain["negative_prompt"] = recipe.negative_prompt
            if "true_cfg_scale" in takes and "Flux" not in type(self._pipe).__name__:
                plain |= {"true_cfg_scale": recipe.cfg, "negative_prompt": recipe.negative_prompt or " "}
            return {key: value for key, value in plain.items() if key in takes}
        key = (recipe.prompt, recipe.negative_prompt, guided, self._wardrobe.worn)
        if key not in self._read:
            if len(self._read) >= _REMEMBERED:
                del self._read[next(iter(self._read))]
            names = _EMBEDDED[type(self._pipe).__name__]
            values = self._pipe.encode_prompt(
                prompt=recipe.prompt,
                device=self._pipe._execution_device,
                num_images_per_prompt=1,
                do_classifier_free_guidance=guided,
                negative_prompt=recipe.negative_prompt,
            )
            self._read[key] = dict(zip(names, values, strict=True))
        return self._read[key] | {"num_images_per_prompt": number}

    def _too_long(self, recipe: Recipe) -> str:
        tokenizer = getattr(self._pipe, "tokenizer", None)
        if tokenizer is None or not isinstance(getattr(tokenizer, "model_max_length", None), int):
            return ""
        most = tokenizer.model_max_length
        for what, text in (("prompt", recipe.prompt), ("negative prompt", recipe.negative_prompt)):
            # No token is shorter than a character: short texts need no counting.
            if len(text) > most - 2 and len(tokenizer(text, truncation=False, padding=False).input_ids) > most:
                note = f"The {what} is longer than this model can read: its end is left out."
                log.warning(note)
                return note
        return ""

    def _follow(self, recipe: Recipe, inputs: Inputs, sampler: Any, number: int, batches: int, note: str, report: Report) -> Any:
        blend = None if inputs.mask is None or not repaint.blends(self._pipe) else repaint.KeptLatents(sampler, inputs.mask)

        def on_step(pipe: Any, index: int, _time: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            own = recipe.steps if inputs.image is None else pipe.num_timesteps
            step, steps = min(own, index + 1) + number * own, own * batches
            preview = None
            if report.wants_preview():
                preview = self._preview.picture(pipe.scheduler, tensors["latents"], recipe.width, recipe.height)
                preview = preview and kept(preview, inputs)
            report(_STEPS_SHARE * step / steps, note, step=step, steps=steps, preview=preview)
            return {} if blend is None else {"latents": blend.put_back(tensors["latents"])}

        return on_step


# What `encode_prompt` of a pipeline gives, by the names under which the pipeline takes it back.
_EMBEDDED = {
    "StableDiffusionPipeline": ("prompt_embeds", "negative_prompt_embeds"),
    "StableDiffusionXLPipeline": ("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds"),
}
_REMEMBERED = 32
# The rest of the way is the VAE's and the disk's.
_STEPS_SHARE = 0.98


def _takes(pipe: Any) -> set[str]:
    return set(inspect.signature(type(pipe).__call__).parameters)


def _stamps(spec: ModelSpec) -> tuple[tuple[int, int], ...]:
    return tuple(models.stamp(file) for file in models.weight_files(Path(spec.path)))
