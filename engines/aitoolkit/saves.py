"""The LoRAs that AI-Toolkit saves, and their way into the folder of a run: whole ones alone, and none whose weights are no numbers."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from studio import training
from studio.errors import LikenessError, ModelInvalid
from studio.loras import read_lora
from studio.weights import read_safetensors_header

log = logging.getLogger(__name__)

# Wan 2.2 is two models, each with a LoRA; that for the last steps of drawing carries the looks.
HIGH_NOISE = "lora-high-noise.safetensors"
_SAMPLE = re.compile(r"(\d+)__(\d{9})_(\d+)\.(?:jpg|jpeg|png|webp)")
_EXPONENT = {"F16": ("<u2", 0x7C00), "BF16": ("<u2", 0x7F80), "F32": ("<u4", 0x7F800000), "F64": ("<u8", 0x7FF << 52)}
_AT_ONCE = 1 << 24


@dataclass(frozen=True)
class Save:
    """One save of the trainer: the step that its metadata names, and its file, or its files by the part of the model."""

    step: int
    lora: Path
    high_noise: Path | None
    final: bool

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.lora,) if self.high_noise is None else (self.lora, self.high_noise)


def find_saves(folder: Path, name: str) -> tuple[list[Save], list[Path]]:
    """The saves of a job in its folder that are whole, oldest first, and the files of others that aren't (yet)."""
    pattern = re.compile(rf"{re.escape(name)}(_\d{{9}})?(_high_noise|_low_noise)?\.safetensors")
    groups: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.glob("*.safetensors")) if folder.is_dir() else ():
        if match := pattern.fullmatch(path.name):
            groups.setdefault(match[1] or "", {})[match[2] or ""] = path
    saves: list[Save] = []
    broken: list[Path] = []
    for number, files in groups.items():
        steps = {_step(path) for path in files.values()}
        lora = files.get("") or files.get("_low_noise")
        step = steps.pop() if len(steps) == 1 else None
        if lora is None or step is None:
            broken += files.values()
            continue
        saves.append(Save(step, lora, files.get("_high_noise"), not number))
    return sorted(saves, key=lambda save: (save.step, save.final)), broken


def is_kept(save: Save, run: Path) -> bool:
    """Whether a save lies among the run's checkpoints as it is."""
    return _is_same(save.lora, training.place_of(run, save.step) / training.LORA)


def keep(save: Save, run: Path) -> None:
    """Copy a save into the run's checkpoints, where nothing writes over it. Raises OSError."""
    place = training.place_of(run, save.step)
    place.mkdir(parents=True, exist_ok=True)
    if save.high_noise is not None:
        _copy(save.high_noise, place / HIGH_NOISE)
    _copy(save.lora, place / training.LORA)
    log.info("Kept the LoRA after %d steps", save.step)


def put_back(checkpoint: training.Checkpoint, folder: Path, name: str) -> None:
    """Copy a checkpoint to where the trainer looks for one to go on from. Raises OSError."""
    high_noise = checkpoint.lora.with_name(HIGH_NOISE)
    stem = f"{name}_{checkpoint.step:09}"
    if high_noise.is_file():
        _copy(high_noise, folder / f"{stem}_high_noise.safetensors")
        _copy(checkpoint.lora, folder / f"{stem}_low_noise.safetensors")
    else:
        _copy(checkpoint.lora, folder / f"{stem}.safetensors")


def is_finite(path: Path) -> bool:
    """Whether every weight of a safetensors file is a number. Raises ModelInvalid for a broken file."""
    # 12 MB of memory that a worker has no other use for: most never train.
    import numpy as np

    read_safetensors_header(path)
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        entries = json.loads(file.read(length))
    for tensor, entry in entries.items():
        if tensor == "__metadata__" or entry["dtype"] not in _EXPONENT:
            continue
        begin, after = entry["data_offsets"]
        code, exponent = _EXPONENT[entry["dtype"]]
        kind, size = np.dtype(code).type, np.dtype(code).itemsize
        with path.open("rb") as file:
            file.seek(8 + length + begin)
            left = (after - begin) // size
            while left > 0:
                bits = np.frombuffer(file.read(min(left, _AT_ONCE) * size), kind)
                left -= len(bits)
                # All bits of the exponent set: an infinity, or no number at all.
                if len(bits) == 0 or bool(((bits & kind(exponent)) == kind(exponent)).any()):
                    return False
    return True


def collect_samples(folder: Path, run: Path) -> list[Path]:
    """Copy samples that the run doesn't have yet, as PNG; gives the new ones. One that can't be read yet is left for later."""
    newest: dict[tuple[int, int], tuple[int, Path]] = {}
    for path in sorted((folder / "samples").glob("*")) if (folder / "samples").is_dir() else ():
        if match := _SAMPLE.fullmatch(path.name):
            made, step, number = (int(part) for part in match.groups())
            newest[step, number] = max(newest.get((step, number), (0, path)), (made, path))
    new: list[Path] = []
    for (step, number), (_, path) in sorted(newest.items()):
        target = run / "samples" / f"{step:06}-{number}.png"
        if target.exists() and target.stat().st_mtime >= path.stat().st_mtime:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.part")
        try:
            with Image.open(path) as image:
                image.convert("RGB").save(part, "PNG")
        except (OSError, ValueError, SyntaxError):
            part.unlink(missing_ok=True)
            continue
        part.replace(target)
        new.append(target)
    return new


def is_lora(path: Path) -> bool:
    """Whether a file is a LoRA that can be read."""
    try:
        return bool(read_lora(path))
    except LikenessError as error:
        log.warning("A save is left out: %s", error)
        return False


def _step(path: Path) -> int | None:
    """The step in a file's metadata; None where the file is not whole."""
    try:
        said = read_safetensors_header(path).metadata.get("training_info", "")
        return int(json.loads(said)["step"])
    except (ModelInvalid, ValueError, KeyError, TypeError):
        return None


def _is_same(one: Path, other: Path) -> bool:
    try:
        seen, there = one.stat(), other.stat()
    except OSError:
        return False
    return seen.st_size == there.st_size and seen.st_mtime_ns == there.st_mtime_ns


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    try:
        shutil.copy2(source, part)
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(target)
    except OSError:
        part.unlink(missing_ok=True)
        raise
