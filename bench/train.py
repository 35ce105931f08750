"""A LoRA of twelve pictures on the starter model, beside a minimal peft loop: `python launch.py bench train`.

Each side runs in a process of its own, in turns, with the same pictures, layers, rank, batch, numbers and threads. The rate counts from
the end of the first step to the saved LoRA, checkpoints included; the wall time from the start of the process, imports and all.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from bench.model import HOME, STARTER
from bench.rig import table
from studio import models
from studio.settings import load_settings
from studio.training import TrainingPicture, TrainRecipe

CLOTHES = ("red t-shirt", "blue hoodie", "green shirt", "black jacket")
GROUNDS = ("white", "light blue", "yellow")
LOOKS = "a person with long red hair, tan skin"


def main() -> int:
    """Measure both sides in turns and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="processes per side (3)")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    recipe = TrainRecipe(model="starter", trigger="zxmia", steps=args.steps)
    if args.side:
        pictures = [TrainingPicture(path, path.with_suffix(".txt").read_text()) for path in sorted((args.folder / "set").glob("*.png"))]
        with tempfile.TemporaryDirectory() as run:
            print(json.dumps(SIDES[args.side](recipe, pictures, Path(run))))
        return 0
    said: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as folder:
        draw_pictures(Path(folder))
        for number in range(args.rounds):
            for side in list(SIDES) if number % 2 == 0 else reversed(list(SIDES)):
                said[side].append(in_a_process(side, args.steps, Path(folder)))
    print_table(said, recipe)
    return 0


def draw_pictures(folder: Path) -> None:
    """Twelve pictures of one look and their captions, by the starter model itself."""
    from bench.model import _recipe, _Silent
    from engines.embedded import Embedded
    from studio.engine import Inputs

    engine = Embedded(load_settings(folder))
    (folder / "set").mkdir()
    for number in range(12):
        wears = f"wearing a {CLOTHES[number % 4]}, {GROUNDS[number % 3]} background"
        recipe = _recipe(16, 1, number).model_copy(update={"prompt": f"portrait of {LOOKS}, {wears}, cartoon style"})
        (artifact,) = engine.generate(recipe, Inputs(STARTER), "bench", _Silent())
        artifact.image.save(folder / "set" / f"{number:02}.png")
        (folder / "set" / f"{number:02}.txt").write_text(f"portrait of zxmia person, {wears}")


def in_a_process(side: str, steps: int, folder: Path) -> dict[str, float]:
    """What one side measured, and its wall time."""
    command = [sys.executable, "-m", "bench.train", "--side", side, "--steps", str(steps), "--folder", str(folder)]
    began = time.perf_counter()
    done = subprocess.run(command, cwd=HOME, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"The side “{side}” failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1]) | {"wall": time.perf_counter() - began}


def by_studio(recipe: TrainRecipe, pictures: list[TrainingPicture], folder: Path) -> dict[str, float]:
    """The embedded trainer, with its four checkpoints."""
    from engines.embedded import Embedded

    follow = Follow()
    trained = Embedded(load_settings(folder)).train(recipe, STARTER, pictures, folder / "run", follow)
    rate = (recipe.steps - 1) / (time.perf_counter() - follow.first)
    return {
        "rate": rate,
        "mb": psutil.Process().memory_info().rss / 2**20,
        "loss": trained.loss,
        "size": trained.path.stat().st_size / 2**20,
    }


class Follow:
    """Notes when the first step was done."""

    first = 0.0

    def __call__(self, progress: float, note: str = "", *, step: int = 0, steps: int = 0, preview: object = None) -> None:
        if step == 1:
            self.first = time.perf_counter()

    def wants_preview(self) -> bool:
        return False


def by_peft(recipe: TrainRecipe, pictures: list[TrainingPicture], folder: Path) -> dict[str, float]:
    """The least that diffusers and peft need: no checkpoints, no words but the captions, no resuming."""
    import numpy as np
    import torch
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict
    from PIL import Image
    from safetensors.torch import save_file

    from engines.embedded.loading import choose_place, numbers_in
    from engines.embedded.training import EVERYTHING

    place = choose_place(load_settings(folder), models.describe(STARTER), numbers_in(models.weight_files(STARTER)))
    pipe: Any = StableDiffusionPipeline.from_pretrained(STARTER, dtype=place.weights, safety_checker=None, local_files_only=True)
    pipe.to(place.device)
    for part in (pipe.unet, pipe.text_encoder, pipe.vae):
        part.requires_grad_(False)

    def numbers() -> contextlib.AbstractContextManager[Any]:
        return torch.autocast(place.device, place.autocast) if place.autocast else contextlib.nullcontext()

    pixels = torch.stack([torch.from_numpy(np.array(Image.open(one.path).convert("RGB"))) for one in pictures]).permute(0, 3, 1, 2)
    with torch.no_grad(), numbers():
        latents = pipe.vae.encode(pixels.float().to(place.device) / 127.5 - 1).latents.float() * pipe.vae.config.scaling_factor
        words = pipe.encode_prompt([one.caption for one in pictures], place.device, 1, do_classifier_free_guidance=False)[0].float()
    pipe.unet.add_adapter(LoraConfig(r=recipe.rank, lora_alpha=recipe.alpha, init_lora_weights="gaussian", target_modules=list(EVERYTHING)))
    if place.device == "cpu":
        pipe.unet.to(memory_format=torch.channels_last)
    learned = [weights for weights in pipe.unet.parameters() if weights.requires_grad]
    optimizer = torch.optim.AdamW(learned, lr=recipe.learning_rate, weight_decay=1e-2)
    schedule: Any = DDPMScheduler.from_config(pipe.scheduler.config)
    pipe.unet.train()
    first, losses = 0.0, []
    for _ in range(recipe.steps):
        some = torch.randint(0, len(pictures), (recipe.batch,))
        times = torch.randint(0, schedule.config["num_train_timesteps"], (recipe.batch,), device=latents.device)
        noise = torch.randn_like(latents[some])
        wanted = schedule.get_velocity(latents[some], noise, times)
        noisy = schedule.add_noise(latents[some], noise, times).contiguous(memory_format=torch.channels_last)
        with numbers():
            said = pipe.unet(noisy, times, words[some]).sample
        loss = torch.nn.functional.mse_loss(said.float(), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        first = first or time.perf_counter()
    save_file({name: value.contiguous() for name, value in get_peft_model_state_dict(pipe.unet).items()}, folder / "lora.safetensors")
    rate = (recipe.steps - 1) / (time.perf_counter() - first)
    last = losses[-max(1, len(losses) // 10) :]
    size = (folder / "lora.safetensors").stat().st_size / 2**20
    return {"rate": rate, "mb": psutil.Process().memory_info().rss / 2**20, "loss": sum(last) / len(last), "size": size}


SIDES = {"plain": by_peft, "studio": by_studio}


def print_table(said: dict[str, list[dict[str, float]]], recipe: TrainRecipe) -> None:
    """Both sides, and the ratio of their rates round by round."""

    def middle(side: str, what: str) -> float:
        return statistics.median(run[what] for run in said[side])

    ratios = [ours["rate"] / plain["rate"] for ours, plain in zip(said["studio"], said["plain"], strict=True)]
    rows: list[tuple[str, str]] = []
    for side, name in (("plain", "a minimal peft loop"), ("studio", "the embedded trainer")):
        speed = f"{middle(side, 'rate'):.2f} steps/s, {middle(side, 'wall'):.1f} s wall, {middle(side, 'mb'):.0f} MB"
        rows.append((name, f"{speed}, loss {middle(side, 'loss'):.3f}, {middle(side, 'size'):.1f} MB of LoRA"))
    each = ", ".join(f"{one:.2f}" for one in ratios)
    rows.append(("trainer ÷ peft", f"{statistics.median(ratios):.3f}   ({each}; wanted: at least 0.9, and 60 s wall)"))
    table(
        f"A LoRA of 12 pictures, starter model, rank {recipe.rank}, {recipe.steps} steps of {recipe.batch} (median of {len(ratios)})", rows
    )


if __name__ == "__main__":
    sys.exit(main())
