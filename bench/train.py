"""A LoRA of twelve pictures on the starter model, beside a minimal peft loop, and how much it looks like ten people: `bench train`.

The speed: each side runs in a process of its own, in turns, with the same pictures, layers, rank, batch, numbers and threads. The
rate counts from the end of the first step to the saved LoRA, checkpoints included; the wall time from the start of the process,
imports and all.

The likeness: ten illustrated people of fourteen pictures each (`tests/files/characters`), twelve to learn from and two kept back. The
checkpoint picker proposes a checkpoint; its pictures, and those of the model without a LoRA, are compared with the kept pictures of
these ten and of forty other people, whom the starter model draws.

The watching: what a page that follows a run of 100,000 steps costs at each look, beside reading and telling the whole loss each time.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
from PIL import Image

from bench.model import HOME, STARTER
from bench.rig import table
from studio import models
from studio.curve import Curve
from studio.settings import load_settings
from studio.training import PROGRESS, TrainingPicture, TrainRecipe

if TYPE_CHECKING:
    from engines.embedded import Embedded
    from engines.embedded.reader import Reader

CLOTHES = ("red t-shirt", "blue hoodie", "green shirt", "black jacket")
GROUNDS = ("white", "light blue", "yellow")
CHARACTERS = HOME / "tests" / "files" / "characters"
KEPT = 12
LOOKS = "a person with long red hair, tan skin"


def main() -> int:
    """Measure both sides in turns and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="processes per side (3)")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--characters", type=int, default=10, help="how many people's likeness is measured (10)")
    parser.add_argument("--only", choices=("speed", "likeness", "watching"), help="one part alone")
    parser.add_argument("--prior", type=float, default=0, metavar="WEIGHT", help="prior preservation for the likeness (0: none)")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    recipe = TrainRecipe(model="starter", trigger="zxmia", steps=args.steps)
    if args.side:
        pictures = [TrainingPicture(path, path.with_suffix(".txt").read_text()) for path in sorted((args.folder / "set").glob("*.png"))]
        with tempfile.TemporaryDirectory() as run:
            print(json.dumps(SIDES[args.side](recipe, pictures, Path(run))))
        return 0
    if args.only in (None, "watching"):
        measure_watching()
    if args.only in (None, "speed"):
        measure_speed(args.rounds, recipe)
    if args.only in (None, "likeness"):
        measure_likeness(args.characters, recipe.model_copy(update={"prior_weight": args.prior}))
    return 0


def measure_watching(steps: int = 100_000, looks: int = 40) -> None:
    """A look at a long run's loss: all of it anew, and what is new since the look before."""
    dice = random.Random(0)

    def lines(first: int, number: int) -> str:
        said = [{"step": step, "loss": dice.uniform(0.1, 0.3), "rate": 1e-4, "seconds": 0.2} for step in range(first, first + number)]
        return "".join(f"{json.dumps(one)}\n" for one in said)

    whole = ""
    anew: list[float] = []
    new: list[float] = []
    sizes: list[int] = []
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / PROGRESS
        log.write_text(lines(1, steps))
        for _ in range(3):
            began = time.perf_counter()
            whole = Curve(Path(folder)).points().model_dump_json()
            anew.append(time.perf_counter() - began)
        curve = Curve(Path(folder))
        known = curve.points()
        for look in range(looks):
            with log.open("a") as file:
                file.write(lines(steps + 1 + 10 * look, 10))
            began = time.perf_counter()
            told = curve.points(known.points[-2].step, known.curve)
            sizes.append(len(told.model_dump_json()))
            new.append(time.perf_counter() - began)
    before, after = statistics.median(anew), statistics.median(new)
    rows = [
        ("everything each time", f"{1000 * before:.0f} ms, {len(whole) / 1024:.0f} KB"),
        ("what is new since the last", f"{1000 * after:.2f} ms, {statistics.median(sizes) / 1024:.1f} KB"),
        ("ratio", f"{before / after:,.0f}   (wanted: at least 100)"),
    ]
    table(f"A look at the loss of a run of {steps:,} steps (median of {len(anew)} and {looks})", rows)


def measure_speed(rounds: int, recipe: TrainRecipe) -> None:
    """Both sides in turns."""
    said: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as folder:
        draw_pictures(Path(folder))
        for number in range(rounds):
            for side in list(SIDES) if number % 2 == 0 else reversed(list(SIDES)):
                said[side].append(in_a_process(side, recipe.steps, Path(folder)))
    print_table(said, recipe)


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


# The likeness


@dataclass(frozen=True)
class Person:
    """What one of the ten came to: `near` is the mean cosine to the person's own kept pictures, `other` to those of the nearest other.

    `top` is the share of pictures whose nearest kept pictures are the person's own, `spread` the deviation of `near` between seeds. The
    `plain` ones are those of the model without a LoRA.
    """

    step: int
    likeness: float
    near: float
    other: float
    top: float
    spread: float
    freedom: float
    plain_near: float
    plain_top: float
    plain_freedom: float
    train_s: float
    judge_s: float


def measure_likeness(number: int, recipe: TrainRecipe) -> None:
    """Train and judge so many of the ten, a line for each, and a table of all."""
    from engines.embedded import Embedded
    from engines.embedded.reader import Reader

    folders = sorted(folder for folder in CHARACTERS.iterdir() if folder.is_dir())
    reader = Reader()
    people: list[Person] = []
    with tempfile.TemporaryDirectory() as data:
        engine = Embedded(load_settings(Path(data)))
        kept = [_middle(reader, [Image.open(path) for path in sorted(folder.glob("*.png"))[KEPT:]]) for folder in folders]
        everybody = np.stack([*kept, *(_middle(reader, pictures) for pictures in draw_others(engine, 50 - len(kept)))])
        heads = f"{'likeness':>10}{'near':>7}{'other':>7}{'spread':>8}{'top-1':>7}{'freedom':>9}"
        print(f"\n{'':>4}{'step':>6}{heads}   without: near  top-1  freedom", flush=True)
        for index, folder in enumerate(folders[:number]):
            one = measure_person(engine, reader, recipe, folder, everybody, index, Path(data) / folder.name)
            people.append(one)
            print(
                f"{folder.name:>4}{one.step:>6}{one.likeness:>10.2f}{one.near:>7.2f}{one.other:>7.2f}{one.spread:>8.3f}{one.top:>7.2f}"
                f"{one.freedom:>9.2f}{one.plain_near:>17.2f}{one.plain_top:>7.2f}{one.plain_freedom:>9.2f}"
                f"   trained in {one.train_s:.0f} s, judged in {one.judge_s:.0f} s",
                flush=True,
            )
    _print_likeness(people, recipe)


def measure_person(
    engine: Embedded, reader: Reader, recipe: TrainRecipe, folder: Path, everybody: np.ndarray, index: int, run: Path, model: Path = STARTER
) -> Person:
    """Train one, have the checkpoints judged, and look for everybody in the proposed one's pictures. `everybody` is n × numbers."""
    pictures = [
        TrainingPicture(path, f"portrait of {recipe.trigger} person, {path.with_suffix('.txt').read_text().strip()}")
        for path in sorted(folder.glob("*.png"))[:KEPT]
    ]
    began = time.perf_counter()
    engine.train(recipe, model, pictures, run, Follow())
    trained = time.perf_counter()
    judgement = engine.judge(recipe, model, run, pictures, Follow())
    judged = time.perf_counter()
    chosen = next(one for one in judgement.verdicts if one.step == judgement.proposed)
    found: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for name, verdict in (("with", chosen), ("without", judgement.baseline)):
        cosines = reader.read([Image.open(run / sample.file) for sample in verdict.samples]).person @ everybody.T
        found[name] = cosines[:, index], np.delete(cosines, index, axis=1).max(axis=1)
    near, other = found["with"]
    seeds = [sample.seed for sample in chosen.samples]
    return Person(
        step=chosen.step,
        likeness=chosen.likeness or 0.0,
        near=float(near.mean()),
        other=float(other.mean()),
        top=float((near > other).mean()),
        spread=statistics.pstdev(float(near[[mine == seed for mine in seeds]].mean()) for seed in set(seeds)),
        freedom=chosen.prompt_freedom,
        plain_near=float(found["without"][0].mean()),
        plain_top=float((found["without"][0] > found["without"][1]).mean()),
        plain_freedom=judgement.baseline.prompt_freedom,
        train_s=trained - began,
        judge_s=judged - trained,
    )


def draw_others(engine: Embedded, number: int) -> list[list[Image.Image]]:
    """So many other people, two pictures each, by the starter model: a look put together by chance, twice in other clothes."""
    from bench.model import _recipe, _Silent
    from studio.engine import Inputs

    labels = json.loads((STARTER / "reader" / "labels.json").read_text())["labels"]
    dice = random.Random(0)
    drawn: list[list[Image.Image]] = []
    for person in range(number):
        hair = f"{dice.choice(labels['hair_color'])} {dice.choice(labels['hair']).removeprefix('a ').removeprefix('an ')}".replace(
            "none", ""
        )
        wears = dice.choice(("", "", "round glasses, ", "sunglasses, "))
        look = f"{hair}, {dice.choice(labels['skin'])}, {wears}{dice.choice(('flat avatar style', 'cartoon style', 'ink comic style'))}"
        drawn.append([])
        for _ in range(2):
            dress = f"wearing a {dice.choice(labels['cloth_color'])} t-shirt, {dice.choice(labels['bg'])} background"
            recipe = _recipe(8, 1, person).model_copy(update={"prompt": f"portrait of a person with {look}, {dress}"})
            drawn[-1] += [one.image for one in engine.generate(recipe, Inputs(STARTER), "bench", _Silent())]
    return drawn


def _middle(reader: Reader, pictures: list[Image.Image]) -> np.ndarray:
    middle = reader.read(pictures).person.mean(axis=0)
    return middle / np.linalg.norm(middle)


def _print_likeness(people: list[Person], recipe: TrainRecipe) -> None:
    def mean(what: str) -> float:
        return statistics.mean(getattr(one, what) for one in people)

    above = sum(one.near - one.other > one.spread for one in people)
    lost = max(one.plain_freedom - one.freedom for one in people)
    table(
        f"Likeness of {len(people)} people, 12 pictures each, rank {recipe.rank}, {recipe.steps} steps of {recipe.batch}, best checkpoint",
        [
            ("cosine to the kept pictures", f"{mean('near'):.3f} with the LoRA, {mean('plain_near'):.3f} without"),
            ("top-1 recognition among 50", f"{mean('top'):.0%} with, {mean('plain_top'):.0%} without"),
            (
                "margin to the nearest other",
                f"{mean('near') - mean('other'):.3f}, seed-to-seed spread {mean('spread'):.3f}; above it for {above} of {len(people)}",
            ),
            (
                "prompt freedom",
                f"{mean('freedom'):.1%} with, {mean('plain_freedom'):.1%} without; lost at most {100 * lost:.1f} points (wanted: 5)",
            ),
            ("likeness as the picker says it", f"{mean('likeness'):.2f}, from 0 (without the LoRA) to 1 (the training pictures)"),
            ("seconds for a person", f"{mean('train_s'):.0f} to train, {mean('judge_s'):.1f} to judge"),
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
