"""Seconds per picture, cold start and memory of the embedded engine, beside a plain diffusers loop: `python launch.py bench model`.

Each side runs in a process of its own, in turns, with the same weights, dtypes, threads, sampler and seeds.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from PIL import Image

from studio import models
from studio.contracts import Recipe
from studio.engine import Inputs
from studio.settings import Settings, load_settings

HOME = Path(__file__).resolve().parent.parent
STARTER = HOME / "engines" / "embedded" / "starter_model"
PROMPT = "portrait of a person with long red hair, tan skin, wearing a green hoodie, light blue background, cartoon style"
STEPS = (8, 16, 25)
BATCHES = (1, 4, 8)
DENOISE = 0.6

Draw = Callable[[Recipe], object]


def main() -> int:
    """Measure both sides in turns and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="processes per side (3)")
    parser.add_argument("--repeats", type=int, default=3, help="measurements of each cell per process (3)")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        print(json.dumps(_measure(SIDES[args.side], args.repeats)))
        return 0
    said: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
    for number in range(args.rounds):
        # A/B, B/A: neither side is always the one that finds the disk cache warm.
        for side in list(SIDES) if number % 2 == 0 else reversed(list(SIDES)):
            said[side].append(_in_a_process(side, args.repeats))
    _print(said)
    return 0


def _in_a_process(side: str, repeats: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.model", "--side", side, "--repeats", str(repeats)]
    done = subprocess.run(command, cwd=HOME, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"The side “{side}” failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def _measure(open_side: Callable[[Settings], Draw], repeats: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(Path(folder))
        started = time.perf_counter()
        draw = open_side(settings)
        draw(_recipe(16, 1, 0))
        cold = time.perf_counter() - started
        cells: dict[str, list[float]] = {}
        for steps in STEPS:
            for count in BATCHES:
                cells[f"{steps}x{count}"] = _time(draw, repeats, _recipe(steps, count, 0))
        for count in BATCHES:
            cells[f"picture x{count}"] = _time(draw, repeats, _recipe(16, count, 0, denoise=DENOISE))
        return {"cold": cold, "mb": psutil.Process().memory_info().rss / 2**20, "cells": cells}


def _time(draw: Draw, repeats: int, recipe: Recipe) -> list[float]:
    draw(recipe.model_copy(update={"steps": 1}))
    times: list[float] = []
    for seed in range(repeats):
        began = time.perf_counter()
        draw(recipe.model_copy(update={"seed": seed}))
        times.append((time.perf_counter() - began) / recipe.count)
    return times


def _studio(settings: Settings) -> Draw:
    from engines.embedded import Embedded

    engine = Embedded(settings)

    def draw(recipe: Recipe) -> object:
        picture = None if recipe.denoise is None else _picture()
        return list(engine.generate(recipe, Inputs(STARTER, image=picture), "bench", _Silent()))

    return draw


def _plain(settings: Settings) -> Draw:
    os.environ.update({"TRANSFORMERS_VERBOSITY": "error", "DIFFUSERS_VERBOSITY": "error"})
    import torch
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_img2img import StableDiffusionImg2ImgPipeline
    from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler

    from engines.embedded.loading import choose_place, numbers_in

    place = choose_place(settings, models.describe(STARTER), numbers_in(models.weight_files(STARTER)))
    pipe: Any = StableDiffusionPipeline.from_pretrained(STARTER, dtype=place.weights, safety_checker=None, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
    pipe.to(place.device)
    from_picture: Any = StableDiffusionImg2ImgPipeline(**pipe.components, requires_safety_checker=False)
    from_picture.set_progress_bar_config(disable=True)

    def draw(recipe: Recipe) -> object:
        numbers = torch.autocast(place.device, place.autocast) if place.autocast else contextlib.nullcontext()
        size = {"width": recipe.width, "height": recipe.height}
        # Half a step more, because int() cuts what 16 × 0.6 falls short of ten.
        start = {"image": _picture(), "strength": min(1.0, (max(1, round(recipe.steps * DENOISE)) + 0.5) / recipe.steps)}
        with torch.inference_mode(), numbers:
            return (pipe if recipe.denoise is None else from_picture)(
                [recipe.prompt] * recipe.count,
                num_inference_steps=recipe.steps,
                guidance_scale=recipe.cfg,
                generator=[torch.Generator().manual_seed(recipe.seed_of(index)) for index in range(recipe.count)],
                **(size if recipe.denoise is None else start),
            ).images

    return draw


SIDES = {"plain": _plain, "studio": _studio}


class _Silent:
    def __call__(self, progress: float, note: str = "", *, step: int = 0, steps: int = 0, preview: object = None) -> None:
        """Nobody is watching."""

    def wants_preview(self) -> bool:
        return False


def _picture() -> Image.Image:
    """A picture to start from, of the recipe's size."""
    return Image.radial_gradient("L").resize((128, 128)).convert("RGB")


def _recipe(steps: int, count: int, seed: int, denoise: float | None = None) -> Recipe:
    return Recipe(
        prompt=PROMPT,
        negative_prompt="",
        preset=None,
        engine="embedded",
        model="starter",
        loras=(),
        width=128,
        height=128,
        steps=steps,
        cfg=4.0,
        sampler="dpmpp_2m",
        scheduler="normal",
        seed=seed,
        count=count,
        denoise=denoise,
    )


def _print(said: dict[str, list[dict[str, Any]]]) -> None:
    print("Starter model, 128×128, DPM++ 2M, CFG 4. Seconds per picture: the engine | a plain diffusers loop | rate of the engine to it")
    print(f"“picture” starts from one: 16 steps, denoise {DENOISE}, of which 10 are done.")
    print(f"{'':10}" + "".join(f"{f'batch of {count}':>26}" for count in BATCHES))
    ratios: list[float] = []
    rows = [(f"{steps} steps", f"{steps}x") for steps in STEPS] + [("picture", "picture x")]
    for name, start in rows:
        line = f"{name:<10}"
        for count in BATCHES:
            studio, plain = (statistics.median(_all(said[side], f"{start}{count}")) for side in ("studio", "plain"))
            ratios.append(plain / studio)
            line += f"{studio:>10.3f} |{plain:>6.3f} |{plain / studio:>6.2f}"
        print(line)
    for name, key, unit in (("Imports, load and first picture of 16 steps", "cold", "s"), ("Memory afterwards", "mb", "MB")):
        studio, plain = (statistics.median(run[key] for run in said[side]) for side in ("studio", "plain"))
        print(f"{name}: {studio:.1f} {unit}, plain {plain:.1f} {unit}")
    print(f"Ratio (median of the table): {statistics.median(ratios):.2f}")


def _all(runs: list[dict[str, Any]], cell: str) -> list[float]:
    return [seconds for run in runs for seconds in run["cells"][cell]]


if __name__ == "__main__":
    sys.exit(main())
