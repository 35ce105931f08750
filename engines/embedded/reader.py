"""The starter model's reader: what an illustrated portrait shows, and the picture as numbers by which two of them can be compared.

A small convolutional network that learned to name style, hair, skin, clothes, background, accessories and mouth. On photographs its
words mean little; its numbers still tell colours and shapes apart.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from PIL.Image import Image, Resampling
from PIL.ImageOps import fit
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from studio.errors import ModelInvalid

READER = Path(__file__).parent / "starter_model" / "reader"

_BATCH = 32
# What a reader is that does not say it in its labels.json.
_SIDE, _CHANNELS = 64, (3, 32, 64, 96, 128)
# The last block sees 4 × 4 places.
_PLACES = 16
# What changes from picture to picture of one person. Everything else that the reader knows is the person.
_PASSING = ("bg", "scene", "framing", "facing", "cloth_color", "cloth", "extra", "hat", "mouth", "eyes")


@dataclass(frozen=True)
class Reading:
    """What was seen in `n` pictures.

    `attributes` has, per picture and attribute, every label with its probability, which add up to 1. `embedding` (n × 2,048, float32,
    rows of length 1) is the whole picture; `person` (n × as many as there are labels of it, the same) is the part of it that tells style,
    hair, skin and accessories, without what tells background, clothes and mouth.
    """

    attributes: tuple[dict[str, dict[str, float]], ...]
    embedding: np.ndarray
    person: np.ndarray

    def label(self, picture: int, attribute: str) -> str:
        """The likeliest label of an attribute. Raises KeyError for one that the reader does not know."""
        chances = self.attributes[picture][attribute]
        return max(chances, key=chances.__getitem__)


class Reader:
    """The network, on the processor: a hundred pictures take half a second."""

    def __init__(self, folder: Path = READER) -> None:
        """Raises ModelInvalid when its files are missing or broken."""
        try:
            said = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
            self.labels: dict[str, tuple[str, ...]] = {name: tuple(labels) for name, labels in said["labels"].items()}
            self._side = int(said.get("side", _SIDE))
            self._net = ReaderNet(self.labels, tuple(said.get("channels", _CHANNELS)))
            self._net.load_state_dict(load_file(folder / "model.safetensors"))
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            raise ModelInvalid("The reader of illustrated pictures can't be loaded.", remedy="Install Likeness again.") from error
        self._net.eval()
        passing, staying = (
            torch.cat([head.weight.detach() for name, head in self._net.heads() if (name in _PASSING) is wanted]).T
            for wanted in (True, False)
        )
        # 2,048 × the directions along which the heads read; those of what passes are taken out of the others.
        self._passing, self._staying = torch.linalg.qr(passing)[0], torch.linalg.qr(staying)[0]

    def read(self, pictures: Sequence[Image]) -> Reading:
        """See pictures of any size and mode; what is not square is cropped to its middle."""
        attributes: list[dict[str, dict[str, float]]] = []
        whole: list[torch.Tensor] = []
        with torch.inference_mode():
            for begin in range(0, len(pictures), _BATCH):
                seen = self._net.see(_prepared(pictures[begin : begin + _BATCH], self._side))
                whole.append(seen)
                chances = {name: head(seen).softmax(1).tolist() for name, head in self._net.heads()}
                attributes += [
                    {name: dict(zip(self.labels[name], rows[number], strict=True)) for name, rows in chances.items()}
                    for number in range(len(seen))
                ]
            every = torch.cat(whole) if whole else torch.zeros(0, self._net.width)
            person = (every - every @ self._passing @ self._passing.T) @ self._staying
        return Reading(tuple(attributes), *(functional.normalize(one).numpy() for one in (every, person)))


class ReaderNet(nn.Module):
    """Named as in the file: `f` sees, `h` are the heads. Each block between two of `channels` halves the side, down to 4 × 4."""

    def __init__(self, labels: dict[str, tuple[str, ...]], channels: tuple[int, ...]) -> None:
        super().__init__()
        self.labels = labels
        self.width = _PLACES * channels[-1]
        self.f = nn.Sequential(*(_block(have, want) for have, want in pairwise(channels)))
        self.h = nn.ModuleDict({name: nn.Linear(self.width, len(said)) for name, said in labels.items()})

    def heads(self) -> list[tuple[str, nn.Linear]]:
        """Each attribute with the map from what is seen to its labels."""
        return [(name, head) for name, head in self.h.items() if isinstance(head, nn.Linear)]

    def see(self, pixels: torch.Tensor) -> torch.Tensor:
        """(n, 3, side, side) from -1 to 1, as (n, `width`)."""
        seen: torch.Tensor = self.f.forward(pixels)
        return seen.flatten(1)


def _block(have: int, want: int) -> nn.Sequential:
    half = [nn.Conv2d(have, want, 3, 2, 1), nn.BatchNorm2d(want), nn.ReLU()]
    return nn.Sequential(*half, nn.Conv2d(want, want, 3, 1, 1), nn.BatchNorm2d(want), nn.ReLU())


def _prepared(pictures: Sequence[Image], side: int) -> torch.Tensor:
    """As the network learned to see: twice its side, from -1 to 1, then averaged two by two."""
    fitted = [np.asarray(fit(one.convert("RGB"), (2 * side, 2 * side), Resampling.LANCZOS)) for one in pictures]
    pixels = torch.from_numpy(np.stack(fitted)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return functional.avg_pool2d(pixels, 2)
