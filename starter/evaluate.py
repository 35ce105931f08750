"""How good a model is: what its pictures show of what was asked, how sharp, how different, how fast, and how well it learns somebody."""

from __future__ import annotations

import itertools
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from PIL import Image

from engines.embedded.reader import Reader
from starter.captions import NOTHING, full_caption, label
from starter.config import HERE, HOME, Config, Evaluation
from starter.machine import autocast
from starter.pictures import Attributes, Pictures
from studio.errors import ModelInvalid, from_os_error
from studio.files import write_atomically

PROMPTS = HERE / "prompts.jsonl"
WANTED = {
    "style": 0.99, "hair_color": 0.97, "skin": 0.97, "cloth_color": 0.97, "bg": 0.97, "hair": 0.95, "acc": 0.95,
    "mouth": 0.80, "eyes": 0.80, "scene": 0.85, "framing": 0.85, "age": 0.85,
}  # fmt: skip
_TIMED_STEPS = (8, 16, 25)
_AT_ONCE = 8
_GRID_PROMPTS, _CELL = 8, 256
# What a model that knows only busts before plain colours was never shown.
_NEWER = ("scene", "framing", "age", "facing", "tilt", "extra", "eyes", "hat", "hat_color")


@dataclass
class Figures:
    """What one model came to. `right` is the share of pictures that show what the prompt asks for, per attribute.

    `apart` is how far two seeds' pictures of one prompt are from each other: 1 - the cosine of what the reader sees in them.
    """

    model: str
    weights: str
    pictures: int
    right: dict[str, float]
    apart: float
    psnr: float | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    cold: float = 0.0
    megabytes: float = 0.0
    weights_mb: float = 0.0
    reader: dict[str, float] = field(default_factory=dict)
    people: list[dict[str, float]] = field(default_factory=list)


def evaluate(
    model: Path, before: Path | None, config: Config, folder: Path, say: Callable[[str], None], *, loras: bool, data: Path
) -> bool:
    """Measure `model`, and `before` on the prompts that both know; print tables, write `folder`/figures.json and grid.png; True.

    Raises ModelInvalid for a folder that is no model with a reader.
    """
    prompts = load_prompts(config.evaluation.prompts)
    after, drawn = measure(model, prompts, config, data)
    if loras:
        after.people = measure_loras(model, config.evaluation, folder / "loras", config.data.side, say)
    say(tell(after))
    both: tuple[Figures, Figures] | None = None
    pictures = [(f"{model.name}, {row.text}", row.pictures) for row in drawn[:_GRID_PROMPTS]]
    shared = [one for one in map(_older, prompts) if one is not None and before is not None and _known(before, one)]
    if before is not None and shared:
        old, old_drawn = measure(before, shared, config, data)
        new, new_drawn = measure(model, shared, config, None)
        both = (old, new)
        say(compare(old, new))
        pictures = [pair for rows in zip(old_drawn, new_drawn, strict=True) for pair in (("", row.pictures) for row in rows)][
            : 2 * _GRID_PROMPTS
        ]
    said = {"after": asdict(after), "both": [asdict(one) for one in both] if both else None}
    try:
        write_atomically(folder / "figures.json", json.dumps(said, indent=1).encode())
        grid([row for _, row in pictures]).save(folder / "grid.png")
    except OSError as error:
        raise from_os_error(error, "save the figures") from error
    say(f"Written: {folder / 'figures.json'} and grid.png")
    return True


def load_prompts(count: int) -> list[Attributes]:
    """The attributes that the prompts ask for: of pictures that nothing learned from."""
    return [json.loads(line) for line in PROMPTS.read_text(encoding="utf-8").splitlines()[:count]]


@dataclass
class Row:
    """The pictures of one prompt, a seed each."""

    text: str
    pictures: list[Image.Image]


def measure(model: Path, prompts: Sequence[Attributes], config: Config, data: Path | None) -> tuple[Figures, list[Row]]:
    """Draw every prompt at every seed; the model's own reader says what is there. `data` are pictures for the PSNR, where there are."""
    about = config.evaluation
    pipe = load_pipeline(model)
    reader = Reader(model / "reader")
    side = _side(pipe)
    texts = [full_caption(one) for one in prompts]
    asked = [(text, seed) for text in texts for seed in about.seeds]
    drawn: list[Image.Image] = []
    for begin in range(0, len(asked), _AT_ONCE):
        part = asked[begin : begin + _AT_ONCE]
        drawn += draw(pipe, [text for text, _ in part], [seed for _, seed in part], about.steps, about.cfg, side)
    reading = reader.read(drawn)
    seeds = len(about.seeds)
    right: dict[str, float] = {}
    for name in reader.labels:
        hits = [
            reading.label(place * seeds + turn, name) == label(one, name)
            for place, one in enumerate(prompts)
            if label(one, name) != NOTHING
            for turn in range(seeds)
        ]
        if hits:
            right[name] = round(statistics.mean(hits), 4)
    figures = Figures(
        model=model.name,
        weights=_fingerprint(model),
        pictures=len(drawn),
        right=right,
        apart=round(_apart(reading.embedding, seeds), 4),
        reader=json.loads((model / "reader" / "labels.json").read_text(encoding="utf-8")).get("held_out_accuracy", {}),
        weights_mb=round(sum(path.stat().st_size for path in model.rglob("*.safetensors")) / 1e6, 1),
    )
    if data is not None:
        figures.psnr = _psnr(pipe, data, config, side)
        figures.seconds = {str(steps): round(_seconds(pipe, texts[0], steps, about.cfg, side), 3) for steps in _TIMED_STEPS}
        figures.cold, figures.megabytes = _cold(model)
    return figures, [Row(text, drawn[place * seeds : (place + 1) * seeds]) for place, text in enumerate(texts)]


def load_pipeline(model: Path) -> Any:
    """As the product uses it: float32, DPM++ 2M. Raises ModelInvalid."""
    try:
        pipe: Any = StableDiffusionPipeline.from_pretrained(str(model), dtype=torch.float32, local_files_only=True)
    except (OSError, ValueError, TypeError) as error:
        raise ModelInvalid(f"{model} is no diffusers folder: {str(error).splitlines()[0]}", remedy="Name another with --model.") from error
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
    return pipe


def draw(pipe: Any, texts: list[str], seeds: list[int], steps: int, cfg: float, side: int) -> list[Image.Image]:
    """One picture per text and seed, all of them at once."""
    dice = [torch.Generator().manual_seed(seed) for seed in seeds]
    with torch.inference_mode(), autocast("cpu"):
        return pipe(texts, num_inference_steps=steps, guidance_scale=cfg, generator=dice, height=side, width=side).images


def measure_loras(model: Path, about: Evaluation, folder: Path, side: int, say: Callable[[str], None]) -> list[dict[str, float]]:
    """A LoRA of each of the first identities of tests/files/characters, whom the model was never shown: likeness, freedom, seconds."""
    from bench.train import CHARACTERS, measure_person
    from engines.embedded import Embedded
    from studio.settings import load_settings
    from studio.training import TrainRecipe

    people: list[dict[str, float]] = []
    engine = Embedded(load_settings(folder / "data"))
    reader = Reader(model / "reader")
    everybody = sorted(place for place in CHARACTERS.iterdir() if place.is_dir())
    kept = [
        reader.read([Image.open(path) for path in sorted(place.glob("*.png"))[about.lora_pictures :]]).person.mean(axis=0)
        for place in everybody
    ]
    middles = np.stack([each / np.linalg.norm(each) for each in kept])
    recipe = TrainRecipe(model="starter", trigger="zxmia", resolution=side)
    for index, place in enumerate(everybody[: about.identities]):
        run = folder / f"{place.name}-{time.time_ns()}"
        one = measure_person(engine, reader, recipe, place, middles, index, run, model)
        people.append({name: round(float(value), 4) for name, value in asdict(one).items()})
        say(
            f"LoRA of {place.name}: cosine {one.plain_near:.3f} → {one.near:.3f}, "
            f"freedom {one.plain_freedom:.2f} → {one.freedom:.2f}, {one.train_s:.0f} s"
        )
    return people


def tell(one: Figures) -> str:
    """The table of one model."""
    lines = [f"{one.model}: {one.pictures} pictures, weights {one.weights[:12]}", f"{'':14}{'right':>8}{'wanted':>8}{'reader':>8}"]
    for name, share in one.right.items():
        wanted = f"{WANTED[name]:.2f}" if name in WANTED else ""
        lines.append(f"{name:14}{share:>8.3f}{wanted:>8}{one.reader.get(name, math.nan):>8.3f}")
    psnr = f"{one.psnr:.1f} dB" if one.psnr is not None else "not measured (no pictures drawn)"
    lines.append(
        f"reconstruction {psnr} (wanted: 34) · seeds apart {one.apart:.3f} · {one.weights_mb:.1f} MB of weights (wanted: at most 60)"
    )
    times = " · ".join(f"{steps} steps {seconds:.2f} s" for steps, seconds in one.seconds.items())
    lines.append(f"{times} (16 wanted in 0.6 s) · cold {one.cold:.1f} s (wanted: 3) · {one.megabytes:.0f} MB (wanted: 700)")
    if one.people:
        near, plain, free, plain_free, train = (
            statistics.mean(each[name] for each in one.people) for name in ("near", "plain_near", "freedom", "plain_freedom", "train_s")
        )
        lines.append(
            f"LoRA of {len(one.people)} people: likeness error {1 - plain:.3f} → {1 - near:.3f} (wanted: at most half), "
            f"prompt freedom {plain_free:.3f} → {free:.3f} (wanted: within 0.05), {train:.0f} s (wanted: 60)"
        )
    return "\n".join(lines)


def compare(old: Figures, new: Figures) -> str:
    """Two models on the same prompts, each read by its own reader."""
    lines = [f"On the {old.pictures} pictures of prompts that both know:", f"{'':14}{'before':>8}{'after':>8}"]
    lines += [f"{name:14}{share:>8.3f}{new.right[name]:>8.3f}" for name, share in old.right.items() if name in new.right]
    return "\n".join([*lines, f"{'seeds apart':14}{old.apart:>8.3f}{new.apart:>8.3f}"])


def worse(figures: dict[str, Any]) -> list[str]:
    """The attributes that both models know and the new one draws worse."""
    if not figures.get("both"):
        return []
    old, new = (one["right"] for one in figures["both"])
    return [name for name, share in old.items() if name in new and new[name] < share]


def grid(rows: Sequence[Sequence[Image.Image]]) -> Image.Image:
    """Pictures in rows, each shown at 256 pixels."""
    sheet = Image.new("RGB", (_CELL * max(map(len, rows)), _CELL * len(rows)), "white")
    for down, row in enumerate(rows):
        for across, picture in enumerate(row):
            sheet.paste(picture.resize((_CELL, _CELL), Image.Resampling.LANCZOS), (across * _CELL, down * _CELL))
    return sheet


def _older(about: Attributes) -> Attributes | None:
    """The same asked of a model that knows only busts before plain colours; None where nothing of it would be left."""
    if "scene" in about or about["framing"] != "portrait" or "hat" in about or "extra" in about:
        return None
    return {**{name: word for name, word in about.items() if name not in _NEWER}, "framing": "portrait", "age": "young"}


def _known(model: Path, about: Attributes) -> bool:
    labels: dict[str, list[str]] = json.loads((model / "reader" / "labels.json").read_text(encoding="utf-8"))["labels"]
    return all(label(about, name) in known for name, known in labels.items() if label(about, name) != NOTHING)


def _apart(seen: np.ndarray, seeds: int) -> float:
    rows = seen.reshape(-1, seeds, seen.shape[1])
    return statistics.mean(float(1 - row[one] @ row[other]) for row in rows for one, other in itertools.combinations(range(seeds), 2))


def _psnr(pipe: Any, data: Path, config: Config, side: int) -> float | None:
    if not (data / f"{(config.data.pictures + config.data.held_out - 1) // config.data.shard * config.data.shard:07d}.jsonl").is_file():
        return None
    pictures = Pictures(data, config.data)
    values: list[float] = []
    for number in pictures.held_out[:64]:
        small = pictures.picture(number).resize((side, side), Image.Resampling.LANCZOS)
        pixels = torch.from_numpy(np.array(small)).permute(2, 0, 1)[None].float() / 127.5 - 1
        with torch.inference_mode():
            coded = pipe.vae.encode(pixels)
            drawn = pipe.vae.decode(coded.latents if hasattr(coded, "latents") else coded.latent_dist.mode()).sample.clamp(-1, 1)
        values.append(-10 * math.log10(max(((drawn - pixels) / 2).pow(2).mean().item(), 1e-12)))
    return round(statistics.mean(values), 2)


def _seconds(pipe: Any, text: str, steps: int, cfg: float, side: int) -> float:
    times: list[float] = []
    for seed in range(4):
        began = time.perf_counter()
        draw(pipe, [text], [seed], steps, cfg, side)
        times.append(time.perf_counter() - began)
    # The first one warms up.
    return statistics.median(times[1:])


def _cold(model: Path) -> tuple[float, float]:
    """Seconds from nothing to the first picture of 16 steps, and megabytes then, in a process of its own."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "starter.evaluate", str(model)]
    done = subprocess.run(command, cwd=HOME, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ModelInvalid(f"{model} draws nothing: {done.stderr.strip().splitlines()[-1]}", remedy="Name another with --model.")
    return round(time.perf_counter() - began, 2), round(float(done.stdout), 0)


def _side(pipe: Any) -> int:
    return int(pipe.unet.config.sample_size * pipe.vae_scale_factor)


def _fingerprint(model: Path) -> str:
    import hashlib

    return hashlib.sha256((model / "unet" / "diffusion_pytorch_model.safetensors").read_bytes()).hexdigest()


if __name__ == "__main__":
    _pipe = load_pipeline(Path(sys.argv[1]))
    draw(_pipe, ["a person"], [1], 16, 4.0, _side(_pipe))
    sys.stdout.write(str(psutil.Process().memory_info().rss / 2**20))
