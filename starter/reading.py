"""The reader's training: the network that says what a picture shows, by which everything else is judged."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from engines.embedded.reader import ReaderNet
from starter.checkpoints import chance, noise_dice
from starter.config import Config
from starter.pictures import Pictures
from starter.text_encoder import labelled, labels_of
from starter.training import Stage

_JUDGED = 1000
_AT_ONCE = 100


def build_reader(config: Config, pictures: Pictures) -> ReaderNet:
    """With weights as they begin."""
    return ReaderNet(labels_of(pictures), config.reader.channels)


def reader_stage(net: ReaderNet, pictures: Pictures, config: Config, device: str) -> Stage:
    """Picture to attributes, with some noise on it: the reader has to judge pictures that were not drawn by hand."""
    about = config.reader
    places = {name: {word: place for place, word in enumerate(known)} for name, known in net.labels.items()}
    # (pictures,) per attribute.
    wanted = {name: torch.tensor([places[name][each] for each in column], device=device) for name, column in labelled(pictures).items()}

    def loss(step: int, _seen: int, batch: int) -> torch.Tensor:
        dice = chance(config.seed, "reader", step)
        numbers = [dice.randrange(pictures.learned) for _ in range(batch)]
        pixels = prepared(pictures, numbers, about.side)
        noise = noise_dice(config.seed, "reader noise", step)
        pixels = pixels + about.noise * torch.rand(len(pixels), 1, 1, 1, generator=noise) * torch.randn(pixels.shape, generator=noise)
        seen = net.see(pixels.to(device))
        return torch.stack([functional.cross_entropy(head(seen), wanted[name][numbers]) for name, head in net.heads()]).sum()

    def judge() -> dict[str, float]:
        right = held_out_accuracy(net, pictures, about.side, device)
        return {name: round(share, 4) for name, share in right.items()}

    return Stage("reader", {"reader": net}, about.schedule, loss, judge)


@torch.no_grad()
def held_out_accuracy(net: ReaderNet, pictures: Pictures, side: int, device: str, count: int = _JUDGED) -> dict[str, float]:
    """The share of held-out pictures that is read rightly, per attribute."""
    net.eval()
    numbers = list(pictures.held_out[:count])
    columns = labelled(pictures)
    right = dict.fromkeys(net.labels, 0)
    for begin in range(0, len(numbers), _AT_ONCE):
        part = numbers[begin : begin + _AT_ONCE]
        seen = net.see(prepared(pictures, part, side).to(device))
        for name, head in net.heads():
            said = head(seen).argmax(1).tolist()
            right[name] += sum(net.labels[name][place] == columns[name][number] for place, number in zip(said, part, strict=True))
    net.train()
    return {name: count / len(numbers) for name, count in right.items()}


def prepared(pictures: Pictures, numbers: list[int], side: int) -> torch.Tensor:
    """(pictures, 3, side, side) from -1 to 1."""
    pixels = torch.from_numpy(np.ascontiguousarray(pictures.pixels(numbers))).permute(0, 3, 1, 2).float() / 127.5 - 1
    return functional.interpolate(pixels, size=(side, side), mode="area")
