"""100 jobs through the studio against the same 100 pictures by a plain diffusers loop, A/B/A/B in blocks of 25, median of 3.

A shared machine is faster in one minute than in the next: short blocks give both sides the same weather.
Both warm; same model, dtype, threads, steps, scheduler, batch of one, PNG settings. The plain loop runs in a process of its own
that does nothing else: load once, then for each picture call the pipeline and save a PNG.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.rig import HOME, Running, running_studio, table, wait_until

PROMPT = "portrait of a person with long red hair, tan skin, round glasses, smiling, wearing a green hoodie, cartoon style"
STEPS = 16
CFG = 4.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--block", type=int, default=25)
    parser.add_argument("--plain", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.plain:
        plain_loop(args.plain, args.jobs)
        return
    with tempfile.TemporaryDirectory() as folder, running_studio(Path(folder) / "data") as studio:
        plain = subprocess.Popen(
            [sys.executable, "-m", "bench.throughput", "--plain", folder, "--jobs", str(args.block)],
            cwd=HOME,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
        )
        assert plain.stdin and plain.stdout
        plain.stdout.readline()
        through_studio(studio, 3)
        rates: dict[str, list[float]] = {"plain": [], "studio": []}
        blocks = max(1, args.jobs // args.block)
        for _ in range(args.rounds):
            seconds = {"plain": 0.0, "studio": 0.0}
            for _ in range(blocks):
                plain.stdin.write("go\n")
                plain.stdin.flush()
                seconds["plain"] += float(plain.stdout.readline())
                seconds["studio"] += through_studio(studio, args.block)
            for name, took in seconds.items():
                rates[name].append(blocks * args.block / took)
        plain.stdin.close()
        plain.wait()
    medians = {name: statistics.median(values) for name, values in rates.items()}
    ratios = [studio / plain for studio, plain in zip(rates["studio"], rates["plain"], strict=True)]
    table(
        f"{args.jobs} pictures of 128 × 128, {STEPS} steps, one at a time (pictures a second, median of {args.rounds})",
        [
            ("plain diffusers loop", f"{medians['plain']:.2f}   ({', '.join(f'{rate:.2f}' for rate in rates['plain'])})"),
            ("through the studio", f"{medians['studio']:.2f}   ({', '.join(f'{rate:.2f}' for rate in rates['studio'])})"),
            (
                "studio ÷ plain",
                f"{statistics.median(ratios):.3f}   ({', '.join(f'{ratio:.3f}' for ratio in ratios)}; wanted: at least 0.9)",
            ),
        ],
    )


def through_studio(studio: Running, count: int) -> float:
    """Seconds from the first submission until the last of `count` jobs is done, by the time that its row tells."""
    started = time.time()
    body = {"prompt": PROMPT, "steps": STEPS, "cfg": CFG, "sampler": "dpmpp_2m", "scheduler": "normal", "width": 128, "height": 128}
    ids = [studio.post("generate", {**body, "seed": seed})["job_id"] for seed in range(count)]  # pyright: ignore[reportIndexIssue,reportCallIssue,reportArgumentType]  # JSON
    last = ids[-1]
    # Seldom: each look takes time from the pictures, and nobody asks fifty times a second.
    wait_until(lambda: studio.get(f"jobs/{last}")["state"] == "done", 600, "the jobs did not finish", every=0.25)  # pyright: ignore[reportIndexIssue,reportCallIssue,reportArgumentType]  # JSON
    return datetime.fromisoformat(studio.get(f"jobs/{last}")["finished_at"]).timestamp() - started  # pyright: ignore[reportIndexIssue,reportCallIssue,reportArgumentType]  # JSON


def fast_bfloat16() -> bool:
    """Whether the engine computes in bfloat16 on this processor, so that both sides use the same numbers."""
    import torch

    return any(getattr(torch.cpu, name, bool)() for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"))


def plain_loop(folder: Path, count: int) -> None:
    """Load once; for each line on standard input make `count` pictures and print the seconds it took."""
    import contextlib

    import torch
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
    from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler

    from studio.metadata import PNG_SETTINGS
    from studio.settings import load_settings

    settings = load_settings(folder / "data")
    model = HOME / "engines" / "embedded" / "starter_model"
    if settings.threads:
        torch.set_num_threads(settings.threads)
    pipe = StableDiffusionPipeline.from_pretrained(model, dtype=torch.float32, local_files_only=True)
    pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    half = settings.dtype == "auto" and fast_bfloat16()

    def one(seed: int) -> None:
        numbers = torch.autocast("cpu", torch.bfloat16) if half else contextlib.nullcontext()
        with numbers, torch.inference_mode():
            drawn: Any = pipe(
                PROMPT, num_inference_steps=STEPS, guidance_scale=CFG, width=128, height=128, generator=torch.Generator().manual_seed(seed)
            )
        drawn.images[0].save(folder / f"plain-{seed}.png", **PNG_SETTINGS)

    for seed in range(3):
        one(seed)
    print(json.dumps({"ready": True}), flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        for seed in range(count):
            one(seed)
        print(time.perf_counter() - started, flush=True)


if __name__ == "__main__":
    main()
