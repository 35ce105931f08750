"""Learning rates and averages that count samples, not seconds: a training that stands still loses nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from starter.config import Schedule


def rate(schedule: Schedule, seen: int) -> float:
    """The learning rate after `seen` samples."""
    climb = min(1.0, (seen + schedule.batch) / schedule.warm_up) if schedule.warm_up else 1.0
    share = min(1.0, seen / schedule.samples)
    if share < schedule.flat:
        return schedule.rate * climb
    fall = 0.5 * (1 + math.cos(math.pi * (share - schedule.flat) / (1 - schedule.flat)))
    return schedule.rate * climb * max(schedule.end, fall)


class Average:
    """The running average of parameters (EMA), which draws better than the last ones."""

    def __init__(self, parameters: Sequence[torch.nn.Parameter], half_life: int) -> None:
        self._live = [parameter.detach() for parameter in parameters]
        self._half_life = half_life
        self.values = [parameter.clone() for parameter in self._live]

    def update(self, seen: int, batch: int) -> None:
        """After a step of `batch` samples, `seen` with it. At first it forgets faster, so that the beginning is soon gone."""
        kept = 0.5 ** (batch / min(self._half_life, max(1, seen // 8)))
        torch._foreach_lerp_(self.values, self._live, 1 - kept)

    def swap(self) -> None:
        """Put the average in the parameters' place, and back at the second call."""
        for live, value in zip(self._live, self.values, strict=True):
            held = value.clone()
            value.copy_(live)
            live.copy_(held)

    def load(self, values: Sequence[torch.Tensor]) -> None:
        """Take up an average that was saved."""
        for value, saved in zip(self.values, values, strict=True):
            value.copy_(saved)
