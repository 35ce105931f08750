"""The folder of a model, put together from the checkpoints: what diffusers loads, the reader, the matrix of the live previews."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from safetensors.torch import save_file
from torch.nn import functional

from starter.denoiser import scheduler
from starter.pictures import Pictures
from starter.reading import held_out_accuracy
from studio.errors import from_os_error

if TYPE_CHECKING:
    from starter.workshop import Workshop

_FITTED = 400
CARD, NOTICE, SUMS, FIGURES = "MODEL_CARD.md", "NOTICE", "SHA256SUMS", "figures.json"


def assemble(workshop: Workshop, folder: Path) -> Path:
    """Write the newest checkpoints' averaged weights (float16) as `folder`, whole or not at all. Raises ModelInvalid for a missing part.

    The reader and the preview's matrix are in it, checksums too; what people read is written when it is exported.
    """
    pictures = workshop.pictures()
    tokenizer, vae = workshop.tokenizer(), workshop.vae()
    build: Any = StableDiffusionPipeline
    pipe = build(
        vae=vae,
        text_encoder=workshop.text_encoder(tokenizer),
        tokenizer=tokenizer,
        unet=workshop.denoiser(),
        scheduler=scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    making = folder.with_name(f".{folder.name}.{time.time_ns()}")
    try:
        preview = fit_preview(vae, pictures)
        for part in (pipe.vae, pipe.text_encoder, pipe.unet):
            _halve(part)
        pipe.save_pretrained(str(making), safe_serialization=True)
        _write_reader(workshop, pictures, making / "reader")
        _write_json(making / "preview.json", preview)
        side = workshop.config.data.side
        _write_json(making / "likeness.json", _about(side))
        write_sums(making)
        if folder.exists():
            shutil.rmtree(folder)
        making.rename(folder)
    except OSError as error:
        raise from_os_error(error, "put the model together") from error
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return folder


@torch.no_grad()
def fit_preview(vae: Any, pictures: Pictures) -> dict[str, object]:
    """Least squares from latents (as the VAE gives them, unscaled) to the colours of the picture at the latents' size."""
    numbers = range(min(_FITTED, pictures.learned))
    pixels = torch.from_numpy(pictures.pixels(numbers)).permute(0, 3, 1, 2).float() / 255
    latents = torch.cat([vae.encode(part * 2 - 1).latent_dist.mean for part in pixels.split(32)])
    small = functional.interpolate(pixels, size=latents.shape[-2:], mode="area")
    known = latents.permute(0, 2, 3, 1).flatten(0, 2).double()
    known = torch.cat([known, torch.ones(len(known), 1, dtype=torch.float64)], 1)
    matrix = torch.linalg.lstsq(known, small.permute(0, 2, 3, 1).flatten(0, 2).double()).solution.float().numpy()
    cells = pictures.side // latents.shape[-1]
    return {
        "what": f"latent (unscaled: divide by vae.config.scaling_factor first) x matrix + bias = RGB in 0..1 at 1/{cells} size",
        "matrix": np.round(matrix[:-1], 6).tolist(),
        "bias": np.round(matrix[-1], 6).tolist(),
    }


def _halve(part: torch.nn.Module) -> None:
    # Not by part.half(): diffusers warns of layers that it would have kept, and lists none.
    for values in (*part.parameters(), *part.buffers()):
        if values.is_floating_point():
            values.data = values.data.half()


def write_sums(folder: Path) -> None:
    """SHA256SUMS of every weight file, as `sha256sum -c` reads it."""
    lines = [f"{digest(path)}  {path.relative_to(folder).as_posix()}" for path in sorted(folder.rglob("*.safetensors"))]
    (folder / SUMS).write_text("\n".join(lines) + "\n", encoding="utf-8")


def digest(path: Path) -> str:
    """SHA-256 in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _write_reader(workshop: Workshop, pictures: Pictures, folder: Path) -> None:
    net = workshop.reader(pictures)
    about = workshop.config.reader
    accuracy = held_out_accuracy(net, pictures, about.side, "cpu")
    folder.mkdir(parents=True)
    save_file({name: value.contiguous() for name, value in net.state_dict().items()}, folder / "model.safetensors")
    said = {
        "input": f"RGB {2 * about.side}x{2 * about.side} scaled to [-1,1], averaged 2x2 to {about.side}x{about.side}",
        "embedding": f"{net.width:,} values before the heads",
        "side": about.side,
        "channels": list(about.channels),
        "labels": {name: list(known) for name, known in net.labels.items()},
        "held_out_accuracy": {name: round(share, 3) for name, share in accuracy.items()},
    }
    _write_json(folder / "labels.json", said)


def _about(side: int) -> dict[str, object]:
    return {
        "id": "starter",
        "name": "Starter model",
        "about": "A small illustrated-portrait model to start with: cartoon people of all ages, before plain colours or in places, "
        "drawn in under a second on any computer.",
        "family": "starter",
        "licence": "CC BY 4.0",
        "side_min": side // 2,
        "side_max": 2 * side,
        "side_step": 32,
        "width": side,
        "height": side,
        "steps": 16,
        "cfg": 4.0,
        "sampler": "dpmpp_2m",
        "scheduler": "normal",
    }


def _write_json(path: Path, said: object) -> None:
    path.write_text(json.dumps(said, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
