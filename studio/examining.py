"""The costly look at one picture of a dataset: what it shows, in numbers that fit into a database. 0.1 to 0.3 s each.

Everything is measured on a copy of at most 1,280 pixels, so that a photo of a phone and the same photo made small say the same.
"""

from __future__ import annotations

import io
import math
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image
from PIL.Image import Resampling

from studio import faces, metadata
from studio.contracts import Contract
from studio.errors import DependencyMissing, ImageInvalid

if TYPE_CHECKING:
    import numpy as np  # the page's process does without

# Raised when the same picture would be described differently: what a database keeps of an older look is looked at anew.
VERSION = 1

_LONGEST = 1280
# What is decoded: enough for a face that is small in the picture, and bounded whatever the file holds.
_DECODED = 2 * _LONGEST
_CELLS = 16
_HASH = 16
_HASH_FROM = 64


class Framing(StrEnum):
    """How much of a person a picture shows."""

    close_up = "close_up"  # the head fills it
    bust = "bust"  # head and shoulders
    half_body = "half_body"  # down to the waist or the knees
    full_body = "full_body"
    unknown = "unknown"


class View(StrEnum):
    """Where a person looks, as the picture shows it. Full profiles and backs of heads are `unknown`: no face is found in them."""

    front = "front"
    left = "left"
    right = "right"
    unknown = "unknown"


class SeenFace(Contract):
    """A face in a picture. `box` is (left, top, right, bottom) in its pixels; the rest as `faces.Face` says."""

    box: tuple[int, int, int, int]
    embedding: tuple[float, ...]
    turn: float
    score: float

    @property
    def side(self) -> int:
        """In pixels, from the brows to the chin."""
        return self.box[3] - self.box[1]


class Light(Contract):
    """How a picture is lit. The face where one is found, otherwise all of it.

    `level` is the mean luma, 0 to 255; `side` how much brighter its right half is than its left one; `warmth` red less blue; `contrast` is
    the standard deviation of the whole picture's luma. All in steps of 255.
    """

    level: float
    side: float
    warmth: float
    contrast: float


class Examined(Contract):
    """What one look at a picture found.

    `width` and `height` are of the upright picture. `detail` is the side in pixels of the largest square that it would fill with real
    detail: near √(width × height) for a sharp picture, half of it when it is as soft as if enlarged twice. `hash` is a perceptual hash of
    255 bits in hex, `cells` are 16 × 16 colours (RGB, by rows) in hex. `background` is the mean L, a and b of what lies
    around the person and how much it varies. `faces` are the largest first; None: nobody could look (see `faces.why_missing`).
    """

    version: int = VERSION
    width: int
    height: int
    detail: int
    hash: str
    cells: str
    light: Light
    background: tuple[float, float, float, float]
    faces: tuple[SeenFace, ...] | None
    framing: Framing
    view: View

    @property
    def side(self) -> float:
        """The side in pixels of a square of as many pixels."""
        return math.sqrt(self.width * self.height)

    @property
    def face(self) -> SeenFace | None:
        """The largest face."""
        return self.faces[0] if self.faces else None


def examine(path: Path, *, max_megapixels: float = 200) -> Examined:
    """Look at one picture file: PNG, JPEG or WebP. Raises ImageInvalid, or FileTooLarge for more than so many million pixels.

    A JPEG of any size is decoded small; of others a whole copy is held, 4 bytes a pixel.
    """
    image, (width, height) = _opened(path, max_megapixels)
    found = _faces(image, width / image.width)
    small = _shrunk(image, _LONGEST)
    inside = None if not found else _scaled(found[0].box, small.width / width)
    cells = small.resize((_CELLS, _CELLS), Resampling.BOX)
    return Examined(
        width=width,
        height=height,
        detail=round(math.sqrt(width * height) * _detail(small, inside)),
        hash=_perceptual_hash(small),
        cells=cells.tobytes().hex(),
        light=_light(small, inside),
        background=_background(cells, None if not found else _scaled(found[0].box, _CELLS / width, _CELLS / height)),
        faces=found,
        framing=Framing.unknown if not found else framing_of(found[0].box, height),
        view=View.unknown if not found else view_of(found[0].turn),
    )


def framing_of(box: tuple[int, int, int, int], height: int) -> Framing:
    """By how many heights of the face (brows to chin) fit under the chin; both in the same pixels.

    Such a box is two thirds of a head, and somebody who stands is seven and a half heads tall: the chest ends 2 boxes under the chin,
    the feet are at 10. The limits were
    set by looking through 44 photos. Somebody who sits or lies is a guess.
    """
    under = (height - box[3]) / max(1, box[3] - box[1])
    if under < 0.6:
        return Framing.close_up
    if under < 2.2:
        return Framing.bust
    return Framing.half_body if under < 8 else Framing.full_body


def view_of(turn: float) -> View:
    """By where the nose lies between the eyes. Of 55 portraits, nearly all of people who look at the camera, 95 % stay
    within 0.11; of 151 faces in other photos those beyond 0.12 are seen turned."""
    if abs(turn) < 0.12:
        return View.front
    return View.right if turn > 0 else View.left


def _opened(path: Path, max_megapixels: float) -> tuple[Image.Image, tuple[int, int]]:
    """The picture, upright RGB of at most 2,560 pixels a side, and the size of the whole one."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImageInvalid(
            "The picture's file can't be read.", field="file", remedy="Take it out of the dataset and add it again."
        ) from error
    metadata.peek_upload(data, max_megapixels)
    with metadata.own_limits(), Image.open(io.BytesIO(data), formats=metadata.FORMATS) as image:
        width, height = image.size
        image.draft(None, (_LONGEST, _LONGEST))
        metadata.load(image)
        kept = image
        if max(image.size) > _DECODED and image.mode in ("RGB", "RGBA", "L", "CMYK"):
            kept = _shrunk(image, _DECODED)
            kept.info = image.info
        upright = metadata.upright_rgb(kept)
    if (upright.width > upright.height) != (width > height):
        width, height = height, width
    return _shrunk(upright, _DECODED), (width, height)


def _shrunk(image: Image.Image, longest: int) -> Image.Image:
    if max(image.size) <= longest:
        return image
    scale = longest / max(image.size)
    return image.resize([max(1, round(side * scale)) for side in image.size], Resampling.BOX if scale < 0.25 else Resampling.HAMMING)


def _faces(image: Image.Image, scale: float) -> tuple[SeenFace, ...] | None:
    try:
        found = faces.find_faces(image)
    except DependencyMissing:
        return None
    return tuple(
        SeenFace(
            box=_scaled(face.box, scale),
            embedding=tuple(round(float(number), 5) for number in face.embedding),
            turn=round(face.turn, 3),
            score=round(face.score, 2),
        )
        for face in found
    )


def _scaled(box: tuple[int, int, int, int], across: float, down: float = 0) -> tuple[int, int, int, int]:
    left, top, right, bottom = box
    down = down or across
    return round(left * across), round(top * down), round(right * across), round(bottom * down)


# How sharp

# Between a picture and itself at half the size lies one octave of detail. In 95 % of 48 sharp photos at 700 pixels an octave of the face
# holds 0.54 and more of the strength of the next coarser one. Blurred by 1 pixel it is 0.22 to 0.37, by 2 pixels 0.16 to 0.27 and the
# next octave as little; enlarged twice 0.21 to 0.45. The weakest of the sharp photos' octaves had a strength of 1.9, the strongest that
# blurring by 4 pixels left a mere 1.5: rounding and noise, in steps of 255.
_FULL, _EMPTY = 0.5, 0.25
_NOISE = 1.5
_TILES = 8


def _detail(image: Image.Image, inside: tuple[int, int, int, int] | None) -> float:
    """The share of the picture's resolution that holds detail, 0 to 1. Of the face if there is one: what is behind it may be soft."""
    import numpy as np

    grey = image.convert("L")
    if inside is not None and inside[3] - inside[1] >= 48:
        grey = grey.crop((max(0, inside[0]), max(0, inside[1]), min(grey.width, inside[2]), min(grey.height, inside[3])))
    strengths: list[float] = []
    while min(grey.size) >= 2 * _TILES and len(strengths) < 7:
        half = grey.resize((grey.width // 2, grey.height // 2), Resampling.LANCZOS)
        octave = np.asarray(grey, np.float32) - np.asarray(half.resize(grey.size, Resampling.BICUBIC), np.float32)
        down, across = octave.shape[0] // _TILES, octave.shape[1] // _TILES
        tiles = octave[: down * _TILES, : across * _TILES].reshape(_TILES, down, _TILES, across)
        # Most of a portrait is smooth skin or a wall: the eyes and the hair tell.
        strengths.append(float(np.percentile(np.sqrt((tiles**2).mean((1, 3))), 97)))
        grey = half
    parts = [_part(finer, coarser) for finer, coarser in pairwise(strengths)]
    for octaves_lost, part in enumerate(parts):
        # An octave of which something is left counts where the next coarser one is whole.
        if part == 1 or (part > 0 and parts[octaves_lost + 1 : octaves_lost + 2] == [1]):
            return 2.0 ** (part - 1 - octaves_lost)
    if not parts:
        return 1.0  # too small a picture to say
    return 2.0 ** -len(parts) if strengths[-1] >= _NOISE else 0.0


def _part(finer: float, coarser: float) -> float:
    if finer < _NOISE:
        return 0.0
    return min(1.0, max(0.0, (finer / coarser - _EMPTY) / (_FULL - _EMPTY)))


# What is alike


def _perceptual_hash(image: Image.Image) -> str:
    """Which of the 255 slowest waves of the grey picture are stronger than their median: a DCT hash, four times as long as the usual."""
    import numpy as np

    grey = np.asarray(image.convert("L").resize((_HASH_FROM, _HASH_FROM), Resampling.BOX), np.float64)
    places = np.arange(_HASH_FROM)
    waves = np.cos(np.pi * (2 * places[None] + 1) * np.arange(_HASH)[:, None] / (2 * _HASH_FROM))
    slow = (waves @ grey @ waves.T).flatten()[1:]
    return np.packbits(np.concatenate([slow > np.median(slow), [False]])).tobytes().hex()


def _light(image: Image.Image, inside: tuple[int, int, int, int] | None) -> Light:
    import numpy as np

    small = _shrunk(image, 256)
    contrast = float(np.asarray(small.convert("L"), np.float32).std())
    part = image
    if inside is not None:
        left, top, right, bottom = max(0, inside[0]), max(0, inside[1]), min(image.width, inside[2]), min(image.height, inside[3])
        if right - left > 1 and bottom > top:
            part = image.crop((left, top, right, bottom))
    pixels = np.asarray(_shrunk(part, 128), np.float32)
    luma = pixels @ np.array([0.299, 0.587, 0.114], np.float32)
    middle = luma.shape[1] // 2
    side = float(luma[:, -middle:].mean() - luma[:, :middle].mean()) if middle else 0.0
    return Light(
        level=round(float(luma.mean()), 1),
        side=round(side, 1),
        warmth=round(float(pixels[..., 0].mean() - pixels[..., 2].mean()), 1),
        contrast=round(contrast, 1),
    )


def _background(cells: Image.Image, inside: tuple[int, int, int, int] | None) -> tuple[float, float, float, float]:
    """Of the cells along the upper and both outer edges, above where shoulders begin, without the face."""
    import numpy as np

    lab = _lab(np.asarray(cells, np.float64))
    around = np.zeros((_CELLS, _CELLS), bool)
    around[:2] = True
    around[: _CELLS * 5 // 8, :2] = True
    around[: _CELLS * 5 // 8, -2:] = True
    if inside is not None:
        without = around.copy()
        without[max(0, inside[1]) : inside[3] + 1, max(0, inside[0]) : inside[2] + 1] = False
        around = without if without.any() else around
    chosen = lab[around]
    mean = chosen.mean(0)
    spread = float(np.sqrt(((chosen - mean) ** 2).sum(1)).mean())
    return round(float(mean[0]), 1), round(float(mean[1]), 1), round(float(mean[2]), 1), round(spread, 1)


def _lab(rgb: np.ndarray) -> np.ndarray:
    """CIE L*a*b* (D65) of sRGB in steps of 255, along the last axis."""
    import numpy as np

    share = rgb / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    xyz = linear @ np.array([[0.4124, 0.2126, 0.0193], [0.3576, 0.7152, 0.1192], [0.1805, 0.0722, 0.9505]]) / [0.9505, 1.0, 1.089]
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)
