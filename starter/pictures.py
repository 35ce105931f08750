"""The pictures that are learned from: drawn by node in `starter/designs`, kept in shards, read one at a time."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from starter.checkpoints import Slice
from starter.config import HERE, Data
from studio.errors import DependencyMissing, DiskFull, ModelInvalid, UnknownError, from_os_error

DESIGNS = HERE / "designs"
OLDEST_NODE = 18
# Bytes that a picture takes as a PNG, about, and what else a drive needs to stay usable.
_PICTURE_BYTES = 17_000
_SPARE_BYTES = 500 * 2**20

Attributes = dict[str, str]


def draw(data: Data, seed: int, folder: Path, workshop: Path, slice_: Slice, say: Callable[[str], None] = print, jobs: int = 1) -> bool:
    """Draw what is missing of the pictures, shard by shard; True when all are there.

    Raises DependencyMissing without node or the designs, DiskFull before it begins when they would not fit.
    """
    missing = [first for first in _shards(data) if not (folder / f"{first:07d}.jsonl").is_file()]
    if not missing:
        return True
    _require_space(folder, len(missing) * data.shard * _PICTURE_BYTES)
    node, program = _require_node(), _require_designs(workshop)

    def one(first: int) -> None:
        if slice_.over:
            return
        count = min(data.shard, data.pictures + data.held_out - first)
        words = ["--seed", seed, "--first", first, "--count", count, "--side", data.side, "--out", folder]
        drawn = subprocess.run([node, str(program), *map(str, words)], capture_output=True, text=True, check=False)
        if drawn.returncode == 0:
            slice_.step()
        elif not slice_.stopped:
            raise _drawing_failed(drawn.stderr)

    with ThreadPoolExecutor(jobs) as pool:
        for done, _ in enumerate(pool.map(one, missing), len(_shards(data)) - len(missing) + 1):
            if done % 10 == 0 or done == len(_shards(data)):
                say(f"Drawn: {done} of {len(_shards(data))} shards")
    return all((folder / f"{first:07d}.jsonl").is_file() for first in _shards(data))


class Pictures:
    """All pictures of a folder, by number from 0: the first `learned` are to learn from, the others are held out."""

    def __init__(self, folder: Path, data: Data) -> None:
        """Raises DependencyMissing when shards are missing, ModelInvalid when one is broken."""
        absent = [first for first in _shards(data) if not (folder / f"{first:07d}.jsonl").is_file()]
        if absent:
            raise DependencyMissing(
                f"{len(absent)} of {len(_shards(data))} shards of pictures are missing.",
                remedy="Draw them: `python launch.py starter data`.",
            )
        self.learned, self.side, self.shard = data.pictures, data.side, data.shard
        self.attributes: list[Attributes] = []
        self._where: list[tuple[int, int]] = []
        boxes: list[list[int]] = []
        self._files = [folder / f"{first:07d}.pictures" for first in _shards(data)]
        for file in self._files:
            for line in file.with_suffix(".jsonl").read_text(encoding="utf-8").splitlines():
                said: dict[str, Any] = json.loads(line)
                self._where.append(tuple(said.pop("at")))
                boxes.append(said.pop("face"))
                del said["number"]
                self.attributes.append(said)
        # (pictures, 4): left, top, right, bottom of the face in pixels.
        self.faces = np.array(boxes, dtype=np.int16)
        if len(self.attributes) != data.pictures + data.held_out:
            raise ModelInvalid("The pictures are not those of config.yaml.", remedy=f"Remove {folder} and draw them again.")

    def __len__(self) -> int:
        return len(self.attributes)

    @property
    def held_out(self) -> range:
        """The numbers of the pictures that nothing learns from."""
        return range(self.learned, len(self))

    def picture(self, number: int) -> Image.Image:
        """RGB. Raises ModelInvalid when its shard is broken."""
        file = self._files[number // self.shard]
        begin, length = self._where[number]
        try:
            with file.open("rb") as opened:
                opened.seek(begin)
                return Image.open(io.BytesIO(opened.read(length))).convert("RGB")
        except OSError as error:
            raise ModelInvalid(
                f"The shard {file.name} is broken.", remedy=f"Remove {file.with_suffix('.jsonl')} and run `python launch.py starter data`."
            ) from error

    def pixels(self, numbers: Sequence[int]) -> np.ndarray:
        """(pictures, side, side, 3), uint8."""
        return np.stack([np.asarray(self.picture(number)) for number in numbers])


def _shards(data: Data) -> range:
    return range(0, data.pictures + data.held_out, data.shard)


def _require_space(folder: Path, needed: int) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise from_os_error(error, "make the folder of the pictures") from error
    free = shutil.disk_usage(folder).free
    if free < needed + _SPARE_BYTES:
        raise DiskFull(f"The pictures need {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free on the drive of {folder}.")


def _require_node() -> str:
    """The path of node. Raises DependencyMissing."""
    remedy = f"Install Node.js {OLDEST_NODE} or newer (https://nodejs.org). Only drawing needs it; training runs without."
    node = shutil.which("node")
    if node is None:
        raise DependencyMissing("The pictures are drawn by node, which is not installed.", remedy=remedy)
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    number = re.match(r"v(\d+)", said)
    if number is None or int(number[1]) < OLDEST_NODE:
        raise DependencyMissing(f"This node is too old: {said.strip() or node}.", remedy=remedy)
    return node


def _require_designs(workshop: Path) -> Path:
    """The drawing program, beside its packages in the workshop: installed there when they are not, as package-lock.json says."""
    place = workshop / "designs"
    place.mkdir(parents=True, exist_ok=True)
    lock = (DESIGNS / "package-lock.json").read_bytes()
    for file in DESIGNS.iterdir():
        if file.is_file() and file.name != "package-lock.json":
            shutil.copyfile(file, place / file.name)
    stamp = place / "package-lock.json"
    if not (place / "node_modules" / "@dicebear" / "collection").is_dir() or not stamp.is_file() or stamp.read_bytes() != lock:
        npm = shutil.which("npm")
        by_hand = f"Connect to the internet and run `npm ci` in {place}."
        if npm is None:
            raise DependencyMissing("npm is missing, which brings the designs.", remedy="It comes with Node.js: https://nodejs.org.")
        stamp.write_bytes(lock)
        installed = subprocess.run(
            [npm, "ci", "--no-audit", "--no-fund"], cwd=place, capture_output=True, text=True, check=False, env={**os.environ, "CI": "1"}
        )
        if installed.returncode:
            stamp.unlink(missing_ok=True)
            raise DependencyMissing(f"The designs could not be installed: {_last_line(installed.stderr)}", remedy=by_hand)
    return place / "draw.mjs"


def _drawing_failed(said: str) -> Exception:
    if "ENOSPC" in said:
        return DiskFull("The disk is full: could not save the pictures.")
    if "ERR_MODULE_NOT_FOUND" in said:
        return DependencyMissing(
            "The designs are missing.", remedy="Remove .cache/starter/designs and run `python launch.py starter data`."
        )
    return UnknownError(f"Drawing failed: {_last_line(said)}")


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if "rror" in line]
    return lines[0] if lines else text.strip()[-200:] or "no reason was given"
