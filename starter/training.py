"""What every stage's training has in common: steps, checkpoints, slices of time, the log."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from starter.checkpoints import Checkpoints, Log, Slice
from starter.config import Saving, Schedule
from starter.schedule import Average, rate

_BETAS = (0.9, 0.99)
# A process that was stopped for a while did not train meanwhile: no step counts for more seconds than these.
_LONGEST_STEP = 20.0


@dataclass
class Stage:
    """One training of `modules`: its name is that of its checkpoints and its log.

    `loss(step, seen, batch)` is the loss of `batch` samples when `seen` were seen, whose dice are those of that step; `judge()` gives
    figures on the averaged weights for the log, at every checkpoint.
    """

    name: str
    modules: Mapping[str, torch.nn.Module]
    schedule: Schedule
    loss: Callable[[int, int, int], torch.Tensor]
    judge: Callable[[], dict[str, float]] = dict
    decay: float = 0.01

    def train(self, checkpoints: Checkpoints, log: Log, saving: Saving, slice_: Slice, device: str) -> bool:
        """Go on from the last checkpoint until all samples were seen (True) or the slice is over (False).

        Afterwards the modules hold the averaged weights, where an average is kept. Raises DiskFull when a checkpoint can't be saved.
        """
        parameters = [parameter for module in self.modules.values() for parameter in module.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(parameters, lr=self.schedule.rate, betas=_BETAS, weight_decay=self.decay, fused=device != "mps")
        average = Average(parameters, self.schedule.half_life) if self.schedule.half_life else None
        step, seen, seconds = self._resume(checkpoints, optimizer, average)
        batch = self.schedule.batch_cuda if device == "cuda" else self.schedule.batch
        losses: list[torch.Tensor] = []
        kept = step
        said = saved = before = time.monotonic()
        with slice_.listening():
            while seen < self.schedule.samples and not slice_.over:
                for group in optimizer.param_groups:
                    group["lr"] = rate(self.schedule, seen)
                loss = self.loss(step, seen, batch)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(parameters, 1.0)
                optimizer.step()
                step, seen = step + 1, seen + batch
                if average:
                    with torch.no_grad():
                        average.update(seen, batch)
                slice_.step()
                losses.append(loss.detach())
                now = time.monotonic()
                seconds += min(now - before, _LONGEST_STEP)
                before = now
                if now - said >= saving.log_seconds:
                    mean = torch.stack(losses).mean().item()
                    log.write(stage=self.name, step=step, samples=seen, loss=mean, rate=rate(self.schedule, seen), seconds=round(seconds))
                    losses, said = [], now
                if now - saved >= 60 * saving.minutes:
                    self._save(checkpoints, log, optimizer, average, step, seen, seconds)
                    kept, saved = step, time.monotonic()
                    before = saved
        if step > kept:
            self._save(checkpoints, log, optimizer, average, step, seen, seconds)
        if average:
            average.swap()
        return seen >= self.schedule.samples

    def _save(
        self,
        checkpoints: Checkpoints,
        log: Log,
        optimizer: torch.optim.Optimizer,
        average: Average | None,
        step: int,
        seen: int,
        seconds: float,
    ) -> None:
        state: dict[str, Any] = {
            "modules": {name: module.state_dict() for name, module in self.modules.items()},
            "optimizer": optimizer.state_dict(),
            "average": average.values if average else [],
            "samples": seen,
            "seconds": seconds,
        }
        checkpoints.save(step, state)
        if average:
            average.swap()
        figures = self.judge()
        if average:
            average.swap()
        log.write(stage=self.name, step=step, samples=seen, of=self.schedule.samples, seconds=round(seconds), saved=True, **figures)

    def _resume(self, checkpoints: Checkpoints, optimizer: torch.optim.Optimizer, average: Average | None) -> tuple[int, int, float]:
        found = checkpoints.load()
        if found is None:
            return 0, 0, 0.0
        step, state = found
        for name, module in self.modules.items():
            module.load_state_dict(state["modules"][name])
        optimizer.load_state_dict(state["optimizer"])
        if average:
            average.load(state["average"])
        return step, state["samples"], state["seconds"]


def load_averaged(checkpoints: Checkpoints, modules: Mapping[str, torch.nn.Module]) -> int | None:
    """Put a stage's averaged weights (where it keeps none, its last) into its modules; the samples they saw, None when there are none."""
    found = checkpoints.load()
    if found is None:
        return None
    _, state = found
    for name, module in modules.items():
        module.load_state_dict(state["modules"][name])
    learned = [parameter for module in modules.values() for parameter in module.parameters() if parameter.requires_grad]
    for parameter, value in zip(learned, state["average"] or learned, strict=True):
        parameter.data.copy_(value)
    return state["samples"]
