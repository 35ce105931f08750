"""The folder that ships: the evaluated weights, their card with the figures, credits, checksums, and the logs of how they came about."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from PIL import Image

from starter.assemble import CARD, FIGURES, NOTICE, digest, write_sums
from starter.config import HERE
from starter.evaluate import WANTED, worse
from studio.errors import ModelInvalid, from_os_error

if TYPE_CHECKING:
    from starter.workshop import Workshop

LOGS = HERE / "logs"
_EVALUATE = "Evaluate it first: `python launch.py starter evaluate`."


def export(workshop: Workshop, to: Path, logs: Path = LOGS) -> bool:
    """Put the evaluated model where it ships, whole or not at all; True.

    Raises ModelInvalid when it was not evaluated as it is, or when it draws an attribute worse than the one that it would replace.
    """
    model = workshop.folder / "model"
    figures = _figures(workshop.folder)
    weights = model / "unet" / "diffusion_pytorch_model.safetensors"
    if not weights.is_file() or digest(weights) != figures["after"]["weights"]:
        raise ModelInvalid("The figures are not those of these weights.", remedy=_EVALUATE)
    behind = worse(figures)
    if behind:
        raise ModelInvalid(
            f"The model that ships draws this better: {', '.join(behind)}.",
            remedy="Train on: `python launch.py starter train`, then evaluate again.",
        )
    making, old = (to.with_name(f".{to.name}.{word}.{time.time_ns()}") for word in ("new", "old"))
    try:
        shutil.copytree(model, making)
        write_sums(making)
        (making / CARD).write_text(card(workshop, figures, model), encoding="utf-8")
        shutil.copyfile(HERE / NOTICE, making / NOTICE)
        with Image.open(workshop.folder / "grid.png") as grid:
            grid.save(making / "examples.png", optimize=True)
        if to.exists():
            to.rename(old)
        making.rename(to)
        logs.mkdir(parents=True, exist_ok=True)
        for log in sorted((workshop.folder / "logs").glob("*.jsonl")):
            shutil.copyfile(log, logs / log.name)
        shutil.copyfile(workshop.folder / FIGURES, logs / FIGURES)
    except OSError as error:
        if old.exists() and not to.exists():
            old.rename(to)
        raise from_os_error(error, "export the model") from error
    finally:
        shutil.rmtree(making, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)
    workshop.say(f"Written: {to}, and the logs to {logs}")
    return True


def card(workshop: Workshop, figures: dict[str, Any], model: Path) -> str:
    """The model card: card.md with this model's figures."""
    after: dict[str, Any] = figures["after"]
    config = workshop.config
    rows = [
        f"| {name} | {share:.3f} | {WANTED.get(name, '')} | {after['reader'].get(name, '')} |" for name, share in after["right"].items()
    ]
    sizes = {part: _millions(model / part) for part in ("unet", "text_encoder", "vae")}
    trained = ", ".join(f"{stage} {workshop.seen(stage):,}" for stage in ("vae", "decoder", "text", "denoiser", "reader"))
    people: list[dict[str, float]] = after["people"]
    loras = "not measured"
    if people:
        mean = {name: sum(each[name] for each in people) / len(people) for name in people[0]}
        loras = (
            f"likeness error {1 - mean['plain_near']:.3f} without, {1 - mean['near']:.3f} with it; "
            f"prompt freedom {mean['plain_freedom']:.3f} without, {mean['freedom']:.3f} with it; {mean['train_s']:.0f} s"
        )
    return Template((HERE / "card.md").read_text(encoding="utf-8")).substitute(
        side=config.data.side,
        pictures=f"{config.data.pictures:,}",
        parameters=f"{sum(sizes.values()):.1f}",
        parts=", ".join(f"{name.replace('_', ' ')} {size:.2f} M" for name, size in sizes.items()),
        megabytes=after["weights_mb"],
        samples=trained,
        unet=after["weights"],
        prompts=config.evaluation.prompts,
        seeds=len(config.evaluation.seeds),
        steps=config.evaluation.steps,
        cfg=config.evaluation.cfg,
        rows="\n".join(rows),
        psnr=after["psnr"],
        apart=after["apart"],
        seconds=" · ".join(f"{steps} steps {seconds} s" for steps, seconds in after["seconds"].items()),
        cold=after["cold"],
        memory=round(after["megabytes"]),
        loras=loras,
    )


def _figures(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / FIGURES).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelInvalid("The model was not evaluated.", remedy=_EVALUATE) from error


def _millions(part: Path) -> float:
    """Parameters in float16, in millions."""
    return sum(path.stat().st_size for path in part.glob("*.safetensors")) / 2e6
