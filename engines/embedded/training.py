"""Training a LoRA with diffusers and peft: SD 1.x and 2.x, SDXL and the starter model.

What a step learns follows Hugging Face's `train_text_to_image_lora.py`: noise is laid over a picture's latents and the denoiser is to
tell it (or the velocity, where the model was made for that) from the words. The text encoder and the VAE stay as they are, so both
are asked once per picture, before the first step. With prior preservation (DreamBooth, arXiv 2208.12242) as many class pictures, which
the model drew itself before it learned anything, are learned beside them.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import logging
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict
from PIL import Image, ImageOps
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch.nn import functional

from engines.embedded.engine import split
from engines.embedded.pipeline import Warm
from studio import models, training
from studio.contracts import Family, ModelSpec, Recipe
from studio.engine import Cancelled, Inputs, Report, Stopping
from studio.errors import ImageInvalid, ModelInvalid, TrainingDiverged, from_os_error
from studio.files import write_atomically
from studio.training import Ask, Checkpoint, Targets, TrainedLora, TrainingPicture, TrainRecipe

log = logging.getLogger(__name__)

_ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
EVERYTHING = (*_ATTENTION, "ff.net.0.proj", "ff.net.2", "proj_in", "proj_out", "conv1", "conv2", "conv_shortcut")
_TRAINABLE = {"StableDiffusionPipeline", "StableDiffusionXLPipeline"}
# As kohya's trainers write it, and others read it.
_KOHYA_NAMES: dict[str, str] = {Family.sd15: "sd_v1", Family.sd2: "sd_v2", Family.sdxl: "sdxl_base_v1-0"}
_ADAPTER = "default"
# Gradients longer than this are cut to it, so that one odd picture doesn't undo what the others taught.
_LONGEST_GRADIENT = 1.0


class Training:
    """One run, from a loaded model to a LoRA file. The model can't be drawn with afterwards: it wears what was learned."""

    def __init__(self, warm: Warm, recipe: TrainRecipe, folder: Path, report: Report) -> None:
        if type(warm.pipe).__name__ not in _TRAINABLE:
            raise ModelInvalid(
                f"{warm.spec.name} can't be trained here.", remedy="Choose an SD 1.5, SD 2, SDXL or starter model.", field="model"
            )
        self._warm = warm
        self._pipe: Any = warm.pipe
        self._unet: Any = warm.pipe.unet
        self._device = warm.place.device
        self._recipe = recipe
        self._folder = folder
        self._report = report
        # As DDPM: the same noise that the model was made with, whatever sampler its pictures are drawn by.
        self._noise: Any = DDPMScheduler.from_config(warm.scheduler_config)
        self._latents: list[torch.Tensor] = []
        self._words: list[dict[str, torch.Tensor]] = []
        self._buckets: list[tuple[int, int]] = []
        self._class_latents: list[torch.Tensor] = []
        self._class_buckets: list[tuple[int, int]] = []
        self._class_words: dict[str, torch.Tensor] = {}

    def run(self, pictures: Sequence[TrainingPicture]) -> TrainedLora:
        """Train to the end, from the newest checkpoint in the folder if there is one.

        Raises what `report` raises, after whatever was learned was saved; ImageInvalid for a picture that can't be read,
        TrainingDiverged when the loss is no number any more, DiskFull when a checkpoint can't be written. The newest good checkpoint
        stays in each case.
        """
        started = time.perf_counter()
        training.begin(self._folder, self._recipe)
        training.sweep(self._folder)
        with self._measured():
            # Whatever was drawn last, the model learns and shows itself as it is.
            self._warm.take_off()
            if not self._is_learned():
                # Before it wears what it will learn: what the LoRA changes is seen against these.
                if not all(_opens(self._sample_file(0, number)) for number in range(len(self._recipe.samples))):
                    self._sample(0)
                if self._recipe.prior_weight:
                    self._draw_class()
            self._wear()
            optimizer = torch.optim.AdamW(self._learned().values(), lr=self._recipe.learning_rate, weight_decay=1e-2)
            step = self._resume(optimizer)
            if step < self._recipe.steps:
                self._look_at(pictures)
                self._learn(optimizer, step)
        return self._finish(time.perf_counter() - started)

    @contextlib.contextmanager
    def _measured(self) -> Iterator[None]:
        """Remember the most video memory that was held meanwhile: what such a training will take the next time."""
        if self._device != "cuda":
            yield
            return
        torch.cuda.reset_peak_memory_stats()
        try:
            yield
        finally:
            training.note_video_memory(self._folder, torch.cuda.max_memory_allocated() / 2**20)

    # Before the first step

    def _is_learned(self) -> bool:
        return any(one.step >= self._recipe.steps and one.state is not None for one in training.checkpoints(self._folder))

    def _draw_class(self) -> None:
        """What is missing of the class pictures: those that are there stay, so a run goes on with the very same ones."""
        recipe = self._class_recipe()
        batches = split(recipe, self._warm.spec.family)
        missing = [number for number, batch in enumerate(batches) if not all(_opens(self._class_file(index)) for index in batch)]
        if not missing:
            return
        inputs = Inputs(Path(self._warm.spec.path))
        for done, number in enumerate(missing):
            follow = _Aside(self._report, 0, self._recipe, f"Drawing class pictures, {done + 1} of {len(missing)}")
            for artifact in self._warm.draw(recipe, inputs, batches, number, follow):
                self._keep_class(artifact.image, artifact.index)

    def _keep_class(self, image: Image.Image, index: int) -> None:
        data = io.BytesIO()
        image.save(data, "PNG")
        try:
            write_atomically(self._class_file(index), data.getvalue())
        except OSError as error:
            raise from_os_error(error, "save the class pictures") from error

    def _class_file(self, index: int) -> Path:
        return training.class_picture(self._folder, index)

    def _class_recipe(self) -> Recipe:
        spec = self._warm.spec
        side = min(spec.side_max, max(spec.side_min, self._recipe.resolution)) // spec.side_step * spec.side_step
        usual = _sample_recipe(self._recipe.prior_prompt, self._recipe.seed, spec)
        return usual.model_copy(update={"width": side, "height": side, "count": self._recipe.prior_pictures})

    def _wear(self) -> None:
        torch.manual_seed(self._recipe.seed)
        for part in self._pipe.components.values():
            if isinstance(part, torch.nn.Module):
                part.requires_grad_(False)
        targets = _ATTENTION if self._recipe.targets is Targets.attention else EVERYTHING
        self._unet.add_adapter(
            LoraConfig(r=self._recipe.rank, lora_alpha=self._recipe.alpha, init_lora_weights="gaussian", target_modules=list(targets)),
            adapter_name=_ADAPTER,
        )
        for weights in self._learned().values():
            weights.data = weights.data.float()  # half precision would lose small steps
        if self._device == "cpu":
            self._unet.to(memory_format=torch.channels_last)
        if self._recipe.gradient_checkpointing:
            self._unet.enable_gradient_checkpointing()

    def _learned(self) -> dict[str, torch.nn.Parameter]:
        return {name: weights for name, weights in self._unet.named_parameters() if weights.requires_grad}

    def _look_at(self, pictures: Sequence[TrainingPicture]) -> None:
        with torch.no_grad(), self._numbers():
            for number, picture in enumerate(pictures):
                self._report(0.0, f"Reading picture {number + 1} of {len(pictures)}")
                pixels, bucket, time_ids = _prepared(picture.path, self._recipe.resolution, self._warm.spec.side_step)
                self._buckets.append(bucket)
                self._latents.append(self._encode(pixels.to(self._device)))
                self._words.append(self._read(picture.caption) | {"time_ids": time_ids.to(self._device)})
            self._silence = self._read("")
            if self._recipe.prior_weight:
                self._look_at_class()

    def _look_at_class(self) -> None:
        self._class_words = self._read(self._recipe.prior_prompt)
        for index in range(self._recipe.prior_pictures):
            self._report(0.0, f"Reading class picture {index + 1} of {self._recipe.prior_pictures}")
            pixels, bucket, time_ids = _prepared(self._class_file(index), self._recipe.resolution, self._warm.spec.side_step)
            self._class_buckets.append(bucket)
            self._class_latents.append(self._encode(pixels.to(self._device)))
            self._class_words["time_ids"] = time_ids.to(self._device)  # all are of one size

    def _encode(self, pixels: torch.Tensor) -> torch.Tensor:
        vae = self._pipe.vae
        if getattr(vae.config, "force_upcast", False):
            vae.to(torch.float32)
        seen = vae.encode(pixels.to(vae.dtype))
        latents = seen.latents if hasattr(seen, "latents") else seen.latent_dist.mode()
        return (latents.float() - (getattr(vae.config, "shift_factor", None) or 0.0)) * vae.config.scaling_factor

    def _read(self, caption: str) -> dict[str, torch.Tensor]:
        seen = self._pipe.encode_prompt(prompt=caption, device=self._device, num_images_per_prompt=1, do_classifier_free_guidance=False)
        read = {"words": seen[0].float()}
        return read | {"text_embeds": seen[2].float()} if len(seen) == 4 else read

    # Step by step

    def _learn(self, optimizer: torch.optim.Optimizer, step: int) -> None:
        recipe = self._recipe
        training.forget_after(self._folder, step)
        self._unet.train()
        with (self._folder / training.PROGRESS).open("a", encoding="utf-8") as progress:
            while step < recipe.steps:
                began = time.perf_counter()
                rate = training.rate_at(recipe, step)
                loss, prior = self._step(optimizer, step, rate)
                step += 1
                seconds = round(time.perf_counter() - began, 4)
                line = {"step": step, "loss": round(loss, 6), "rate": rate, "seconds": seconds}
                if prior is not None:
                    line["prior"] = round(prior, 6)
                progress.write(f"{json.dumps(line)}\n")
                progress.flush()
                ended = step == recipe.steps
                saved = training.take_ask(self._folder, Ask.save) or ended or step % recipe.save_every == 0
                if saved:
                    self._save(optimizer, step)
                try:
                    if training.take_ask(self._folder, Ask.sample) or ended or step % recipe.sample_every == 0:
                        self._sample(step)
                    self._report(step / recipe.steps, f"Loss {loss:.3f}", step=step, steps=recipe.steps)
                except (Cancelled, Stopping):
                    if not saved:
                        self._save(optimizer, step)
                    raise

    def _step(self, optimizer: torch.optim.Optimizer, step: int, rate: float) -> tuple[float, float | None]:
        """Learn one step; gives the loss of its pictures, and that of its class pictures where there are any."""
        recipe = self._recipe
        dice = torch.Generator().manual_seed(recipe.seed * 1_000_003 + step)
        batch = training.batch_at(recipe, self._buckets, step)
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = self._loss([self._latents[index] for index in batch], [self._words[index] for index in batch], dice, recipe.caption_dropout)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        prior = self._prior(step, dice) if self._class_latents else None
        length = torch.nn.utils.clip_grad_norm_(self._learned_list(optimizer), _LONGEST_GRADIENT)
        values = loss.item(), prior
        if not all(math.isfinite(value) for value in (*values, length.item()) if value is not None):
            raise TrainingDiverged(f"After {step} steps the loss is no number any more.")
        optimizer.step()
        return values

    def _prior(self, step: int, dice: torch.Generator) -> float:
        """Add what as many class pictures tell to the gradients; gives their loss, before its weight."""
        batch = training.batch_at(self._recipe, self._class_buckets, step)
        loss = self._loss([self._class_latents[index] for index in batch], [self._class_words] * len(batch), dice, 0)
        (self._recipe.prior_weight * loss).backward()
        return loss.item()

    def _loss(
        self, latents: Sequence[torch.Tensor], words: Sequence[dict[str, torch.Tensor]], dice: torch.Generator, dropout: float
    ) -> torch.Tensor:
        """How far off the model is with these pictures, at times and under noise that `dice` throws."""
        clean = torch.cat(list(latents))
        noise = torch.randn(clean.shape, generator=dice).to(clean)
        # One time from each part of the way: a small batch sees all of it.
        share = (torch.arange(len(words)) + torch.rand(len(words), generator=dice)) / len(words)
        if self._noise.config.get("rescale_betas_zero_snr"):
            # A model that begins at pure noise decides there who is drawn: more is learned of it, as when the starter model was made.
            share = 2 * share / (1 + share)
        times = (share * self._noise.config["num_train_timesteps"]).long().to(clean.device)
        silent = torch.rand(len(words), generator=dice) < dropout
        noisy = self._noise.add_noise(clean, noise, times)
        wanted = self._noise.get_velocity(clean, noise, times) if self._noise.config["prediction_type"] == "v_prediction" else noise
        with self._numbers():
            told = self._told([one | (self._silence if alone else {}) for one, alone in zip(words, silent, strict=True)])
            said = self._unet(self._laid(noisy), times, **told).sample
        return functional.mse_loss(said.float(), wanted.float())

    def _told(self, words: Sequence[dict[str, torch.Tensor]]) -> dict[str, Any]:
        told: dict[str, Any] = {"encoder_hidden_states": torch.cat([one["words"] for one in words])}
        if "text_embeds" in words[0]:
            told["added_cond_kwargs"] = {name: torch.cat([one[name] for one in words]) for name in ("text_embeds", "time_ids")}
        return told

    def _laid(self, latents: torch.Tensor) -> torch.Tensor:
        return latents.contiguous(memory_format=torch.channels_last) if self._device == "cpu" else latents

    @staticmethod
    def _learned_list(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
        return optimizer.param_groups[0]["params"]

    def _numbers(self) -> contextlib.AbstractContextManager[Any]:
        place = self._warm.place
        computing = place.autocast or (place.weights if place.weights != torch.float32 else None)
        if computing is None:
            return contextlib.nullcontext()
        if self._device == "cuda" and torch.cuda.is_bf16_supported():
            computing = torch.bfloat16  # of the range of single precision: gradients need no scaling
        return torch.autocast(self._device, computing)

    # Checkpoints

    def _save(self, optimizer: torch.optim.Optimizer, step: int) -> None:
        place = training.place_of(self._folder, step)
        state = {f"weights.{name}": weights.detach().cpu().contiguous() for name, weights in get_peft_model_state_dict(self._unet).items()}
        for name, weights in self._learned().items():
            for kind in ("exp_avg", "exp_avg_sq"):
                state[f"{kind}.{name}"] = optimizer.state[weights][kind].cpu().contiguous()
        older = [one.state for one in training.checkpoints(self._folder) if one.state is not None and one.step < step]
        try:
            write_atomically(place / training.STATE, save(state, {"step": str(step)}))
            write_atomically(place / training.LORA, save(self._as_kohya(), self._about(step)))
            for one in older[:-1]:
                one.unlink(missing_ok=True)  # it was for going on; the newest does that, and the one before if the disk loses it
        except OSError as error:
            raise from_os_error(error, f"save the checkpoint after {step} steps") from error
        log.info("Saved the LoRA after %d steps", step)

    def _as_kohya(self) -> dict[str, torch.Tensor]:
        """In the layout that diffusers, ComfyUI and the trainers of the field read alike."""
        tensors: dict[str, torch.Tensor] = {}
        for name, weights in get_peft_model_state_dict(self._unet).items():
            module, half, _ = name.rsplit(".", 2)
            stem = f"lora_unet_{module.replace('.', '_')}"
            kind = "lora_down" if half == "lora_A" else "lora_up"
            tensors[f"{stem}.{kind}.weight"] = weights.detach().half().cpu().contiguous()
            tensors[f"{stem}.alpha"] = torch.tensor(float(self._recipe.alpha)).half()
        return tensors

    def _about(self, step: int) -> dict[str, str]:
        recipe = self._recipe
        return {
            "ss_network_module": "networks.lora",
            "ss_network_dim": str(recipe.rank),
            "ss_network_alpha": str(recipe.alpha),
            "ss_base_model_version": _KOHYA_NAMES.get(self._warm.spec.family, self._warm.spec.family),
            "ss_sd_model_hash": self._warm.model_hash,
            "ss_steps": str(step),
            "ss_learning_rate": str(recipe.learning_rate),
            "ss_seed": str(recipe.seed),
            "modelspec.sai_model_spec": "1.0.0",
            "modelspec.trigger_phrase": recipe.trigger,
            "modelspec.resolution": f"{recipe.resolution}x{recipe.resolution}",
        }

    def _resume(self, optimizer: torch.optim.Optimizer) -> int:
        """Put on what the newest whole checkpoint knows; gives its step, 0 if there is none."""
        for checkpoint in reversed(training.checkpoints(self._folder)):
            if checkpoint.state is None:
                continue
            try:
                self._take_up(optimizer, checkpoint)
            except (SafetensorError, KeyError, OSError) as error:
                log.warning("The checkpoint after %d steps can't be taken up: %s", checkpoint.step, error)
                continue
            self._report(checkpoint.step / self._recipe.steps, f"Going on after step {checkpoint.step}")
            return checkpoint.step
        return 0

    def _take_up(self, optimizer: torch.optim.Optimizer, checkpoint: Checkpoint) -> None:
        assert checkpoint.state is not None
        state = load_file(checkpoint.state)
        moments = {name: {kind: state[f"{kind}.{name}"].to(self._device) for kind in ("exp_avg", "exp_avg_sq")} for name in self._learned()}
        weights = {name.removeprefix("weights."): value for name, value in state.items() if name.startswith("weights.")}
        set_peft_model_state_dict(self._unet, weights, adapter_name=_ADAPTER)
        for name, learned in self._learned().items():
            optimizer.state[learned] = {"step": torch.tensor(float(checkpoint.step)), **moments[name]}

    # What was learned

    def _sample(self, step: int) -> None:
        self._unet.eval()
        note = "Drawing samples" if step else "Drawing samples to compare with"
        aside = _Aside(self._report, step, self._recipe, note)
        for number, prompt in enumerate(self._recipe.samples):
            recipe = _sample_recipe(prompt, number, self._warm.spec)
            (artifact,) = self._warm.draw(recipe, Inputs(Path(self._warm.spec.path)), (range(1),), 0, aside)
            if step:
                # The last unfinished one would stand there until the next samples.
                aside(1.0, preview=artifact.image)
            path = self._sample_file(step, number)
            path.parent.mkdir(exist_ok=True)
            artifact.image.save(path)
        self._unet.train()

    def _sample_file(self, step: int, number: int) -> Path:
        return self._folder / "samples" / f"{step:06}-{number}.png"

    def _finish(self, seconds: float) -> TrainedLora:
        newest = training.checkpoints(self._folder)[-1]
        models.check_lora(newest.lora, self._warm.spec)
        if not all(torch.isfinite(value).all() for value in load_file(newest.lora).values()):
            raise TrainingDiverged("The LoRA holds numbers that are none.")
        losses = [one["loss"] for one in training.read_progress(self._folder)]
        last = losses[-max(1, len(losses) // 10) :]
        digest = hashlib.sha256(newest.lora.read_bytes()).hexdigest()
        return TrainedLora(newest.lora, newest.step, sum(last) / len(last), digest, seconds)


class _Aside:
    """A sample's own progress is not the run's; its cancellation is."""

    def __init__(self, report: Report, step: int, recipe: TrainRecipe, note: str) -> None:
        self._report = report
        self._note = note
        self._step = step
        self._steps = recipe.steps

    def __call__(self, progress: float, note: str = "", *, step: int = 0, steps: int = 0, preview: Image.Image | None = None) -> None:
        """Say what is drawn."""
        self._report(self._step / self._steps, self._note, step=self._step, steps=self._steps, preview=preview)

    def wants_preview(self) -> bool:
        """As the run's own; before anything is learned the samples show somebody else."""
        return self._step > 0 and self._report.wants_preview()


def _opens(path: Path) -> bool:
    try:
        with Image.open(path) as opened:
            opened.load()
    except (OSError, ValueError, SyntaxError):
        return False
    return True


def _prepared(path: Path, side: int, step: int) -> tuple[torch.Tensor, tuple[int, int], torch.Tensor]:
    """A picture as a batch of one, 3 × height × width from -1 to 1, its bucket, and what SDXL is told of its size and crop."""
    try:
        with Image.open(path) as opened:
            image = ImageOps.exif_transpose(opened).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ImageInvalid(f"{path.name} can't be read: {error}", remedy="Take it out of the dataset, or give it again.") from error
    bucket = training.bucket_of(image.width, image.height, side, step)
    fitted = ImageOps.fit(image, bucket, Image.Resampling.LANCZOS)
    pixels = torch.from_numpy(np.array(fitted)).permute(2, 0, 1)[None].float() / 127.5 - 1
    scale = max(bucket[0] / image.width, bucket[1] / image.height)
    left, top = (round(max(0.0, have * scale - want) / 2) for have, want in zip(image.size, bucket, strict=True))
    time_ids = torch.tensor([[image.height, image.width, top, left, bucket[1], bucket[0]]], dtype=torch.float32)
    return pixels, bucket, time_ids


def _sample_recipe(prompt: str, seed: int, spec: ModelSpec) -> Recipe:
    return Recipe(
        prompt=prompt,
        negative_prompt="",
        preset=None,
        engine="embedded",
        model=spec.id,
        loras=(),
        width=spec.width,
        height=spec.height,
        steps=spec.steps,
        cfg=spec.cfg,
        sampler=spec.sampler,
        scheduler=spec.scheduler,
        seed=seed,
        count=1,
    )
