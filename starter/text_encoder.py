"""The text encoder, taught before the denoiser what captions tell, and frozen then.

Taught together with the denoiser it never learned to keep colours apart: hair, skin and clothes stayed at chance for 105,000 samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from starter import config
from starter.captions import NAMED, Caption, caption, label
from starter.checkpoints import chance
from starter.config import Config
from starter.machine import autocast
from starter.pictures import Attributes, Pictures
from starter.training import Stage

_JUDGED = 512


def build_text_encoder(about: config.TextEncoder, tokenizer: CLIPTokenizer, length: int) -> CLIPTextModel:
    """With weights as they begin."""
    build: Any = CLIPTextConfig
    return CLIPTextModel(
        build(
            vocab_size=len(tokenizer),
            hidden_size=about.width,
            intermediate_size=4 * about.width,
            projection_dim=about.width,
            num_hidden_layers=about.layers,
            num_attention_heads=about.heads,
            max_position_embeddings=length,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def labels_of(pictures: Pictures) -> dict[str, tuple[str, ...]]:
    """Every attribute's labels that occur among the pictures, in alphabetical order."""
    return {name: tuple(sorted({label(each, name) for each in pictures.attributes})) for name in NAMED}


class Heads(nn.Module):
    """One linear map per attribute: from `width` numbers to its labels, and before them to “unsaid” where that is a class."""

    def __init__(self, width: int, labels: dict[str, tuple[str, ...]], *, unsaid: bool) -> None:
        super().__init__()
        self.labels = labels
        self._first = 1 if unsaid else 0
        self.maps = nn.ModuleDict({name: nn.Linear(width, len(known) + self._first) for name, known in labels.items()})
        self._places = {name: {word: place + self._first for place, word in enumerate(known)} for name, known in labels.items()}

    def loss(self, seen: torch.Tensor, wanted: dict[str, torch.Tensor]) -> torch.Tensor:
        """The cross-entropies' sum over the attributes."""
        return torch.stack([functional.cross_entropy(each(seen), wanted[name]) for name, each in self.maps.items()]).sum()

    def right(self, seen: torch.Tensor, wanted: dict[str, torch.Tensor]) -> dict[str, float]:
        """The share that is read rightly, per attribute."""
        return {name: (each(seen).argmax(1) == wanted[name]).float().mean().item() for name, each in self.maps.items()}

    def wanted(self, every: Sequence[Attributes], captions: Sequence[Caption] | None, device: str) -> dict[str, torch.Tensor]:
        """The places of the labels, per attribute a tensor of (pictures,); 0 for what a caption leaves unsaid."""
        found: dict[str, torch.Tensor] = {}
        for name, places in self._places.items():
            rows = [0 if captions and name not in captions[row].said else places[label(each, name)] for row, each in enumerate(every)]
            found[name] = torch.tensor(rows, device=device)
        return found


def text_stage(encoder: CLIPTextModel, tokenizer: CLIPTokenizer, pictures: Pictures, about: Config, device: str) -> Stage:
    """Caption to attributes, read off the state at the end of the text."""
    heads = Heads(about.text_encoder.width, labels_of(pictures), unsaid=True).to(device)

    def read(every: Sequence[Attributes], captions: Sequence[Caption]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        tokens = tokens_of(tokenizer, [each.text for each in captions]).to(device)
        with autocast(device):
            states = encoder(tokens)[0]
        ends = torch.eq(tokens, _end(tokenizer)).int().argmax(1)
        return states.float()[torch.arange(len(tokens), device=device), ends], heads.wanted(every, captions, device)

    def loss(step: int, _seen: int, batch: int) -> torch.Tensor:
        dice = chance(about.seed, "text", step)
        every = [pictures.attributes[dice.randrange(pictures.learned)] for _ in range(batch)]
        return heads.loss(*read(every, [caption(each, dice) for each in every]))

    @torch.no_grad()
    def judge() -> dict[str, float]:
        dice = chance(about.seed, "text judged", 0)
        every = [pictures.attributes[number] for number in pictures.held_out[:_JUDGED]]
        right = heads.right(*read(every, [caption(each, dice) for each in every]))
        return {"read": sum(right.values()) / len(right), "worst": min(right.values())}

    return Stage("text", {"text_encoder": encoder, "heads": heads}, about.text_encoder.schedule, loss, judge)


def tokens_of(tokenizer: CLIPTokenizer, texts: Sequence[str]) -> torch.Tensor:
    """(texts, length), padded and cut as the pipeline does it."""
    said = tokenizer(list(texts), padding="max_length", max_length=tokenizer.model_max_length, truncation=True, return_tensors="pt")
    return torch.as_tensor(said["input_ids"])


def labelled(pictures: Pictures) -> dict[str, list[str]]:
    """Per attribute the label of every picture."""
    return {name: [label(each, name) for each in pictures.attributes] for name in NAMED}


def _end(tokenizer: CLIPTokenizer) -> int:
    number = tokenizer.eos_token_id
    assert isinstance(number, int)
    return number
