"""Samplers by the field's names, as diffusers schedulers, and the steps of each schedule. Every pair works with every model."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.schedulers.scheduling_euler_ancestral_discrete import EulerAncestralDiscreteScheduler
from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler
from diffusers.schedulers.scheduling_lcm import LCMScheduler
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler

from studio.errors import InvalidFieldValue


def make_sampler(name: str, config: Any) -> Any:
    """The diffusers scheduler of a sampler, for a model whose own scheduler has this configuration.

    Raises InvalidFieldValue for a model trained by flow matching that is asked for anything but Euler.
    """
    if is_flow(config):
        if name != "euler":
            raise InvalidFieldValue(
                f"The sampler “{name}” does not work with this model.", field="sampler", remedy="Choose “euler”, or leave it open."
            )
        import diffusers

        own = getattr(diffusers, config["_class_name"])
        return own.from_config(config)
    kind, changes = _SAMPLERS[name]
    return kind.from_config(config, **changes)


def steps_of(schedule: str, sampler: Any, steps: int) -> list[int] | None:
    """The time steps of a schedule, falling from noise to picture; None means "as the sampler itself does it".

    Raises InvalidFieldValue for a model trained by flow matching that is asked for anything but its own.
    """
    if schedule == "normal":
        return None
    if is_flow(sampler.config):
        raise InvalidFieldValue(
            f"The scheduler “{schedule}” does not work with this model.", field="scheduler", remedy="Choose “normal”, or leave it open."
        )
    alphas = sampler.alphas_cumprod.double().numpy()
    with np.errstate(divide="ignore"):
        sigmas = np.sqrt((1 - alphas) / alphas)
    times = _SCHEDULES[schedule](sigmas, steps)
    if sigmas[-1] > _PURE_NOISE:
        # A model trained down to pure noise must begin there.
        times[0] = len(sigmas) - 1
    # No two alike, from the top down and then from the bottom up: where steps are many, rounding makes them meet.
    for i in range(1, steps):
        times[i] = min(times[i], times[i - 1] - 1)
    times[-1] = max(times[-1], 0)
    for i in range(steps - 2, -1, -1):
        times[i] = max(times[i], times[i + 1] + 1)
    return [int(time) for time in times]


def is_flow(config: Any) -> bool:
    """True for the scheduler of a model trained by flow matching."""
    return "FlowMatch" in config.get("_class_name", "") or bool(config.get("use_flow_sigmas"))


class _Euler(EulerDiscreteScheduler):
    """Euler that keeps its latest guess at the finished picture, for previews."""

    guess: torch.Tensor | None = None

    def step(  # pyright: ignore[reportIncompatibleMethodOverride] - pipelines look for `generator` and pass nothing else by name
        self, model_output: Any, timestep: Any, sample: Any, generator: Any = None, return_dict: bool = True
    ) -> Any:
        out: Any = super().step(model_output, timestep, sample, generator=generator, return_dict=True)
        self.guess = out.pred_original_sample
        return out if return_dict else (out.prev_sample,)


class _EulerAncestral(EulerAncestralDiscreteScheduler):
    """Euler a that keeps its latest guess and takes time steps as Euler does."""

    guess: torch.Tensor | None = None

    def set_timesteps(self, num_inference_steps: int | None = None, device: Any = None, timesteps: list[int] | None = None) -> None:
        super().set_timesteps(num_inference_steps or len(timesteps or ()), device)
        if timesteps is not None:
            _use(self, timesteps, device, torch.float32)

    def step(  # pyright: ignore[reportIncompatibleMethodOverride] - pipelines look for `generator` and pass nothing else by name
        self, model_output: Any, timestep: Any, sample: Any, generator: Any = None, return_dict: bool = True
    ) -> Any:
        out: Any = super().step(model_output, timestep, sample, generator=generator, return_dict=True)
        self.guess = out.pred_original_sample
        return out if return_dict else (out.prev_sample,)


class _UniPC(UniPCMultistepScheduler):
    """UniPC that takes time steps as DPM++ does."""

    def set_timesteps(  # pyright: ignore[reportIncompatibleMethodOverride] - `timesteps` is what pipelines look for
        self, num_inference_steps: int | None = None, device: Any = None, timesteps: list[int] | None = None
    ) -> None:
        super().set_timesteps(num_inference_steps or len(timesteps or ()), device)
        if timesteps is not None:
            _use(self, timesteps, device, torch.int64)


def _use(sampler: Any, timesteps: list[int], device: Any, dtype: torch.dtype) -> None:
    every = ((1 - sampler.alphas_cumprod) / sampler.alphas_cumprod).sqrt()
    sampler.sigmas = torch.cat([every[timesteps], torch.zeros(1)]).float().cpu()
    sampler.timesteps = torch.tensor(timesteps, dtype=dtype, device=device)


_SAMPLERS: dict[str, tuple[type[Any], dict[str, Any]]] = {
    "dpmpp_2m": (DPMSolverMultistepScheduler, {"algorithm_type": "dpmsolver++"}),
    "dpmpp_2m_sde": (DPMSolverMultistepScheduler, {"algorithm_type": "sde-dpmsolver++"}),
    # DDIM is DPM-Solver++ of first order (Lu et al. 2022); diffusers' own takes evenly spaced steps only.
    "ddim": (DPMSolverMultistepScheduler, {"algorithm_type": "dpmsolver++", "solver_order": 1}),
    "euler": (_Euler, {}),
    "euler_a": (_EulerAncestral, {}),
    "unipc": (_UniPC, {}),
    "lcm": (LCMScheduler, {}),
}

# The largest sigma of SD 1.5 and SDXL; above it a picture can hardly be told from noise, and spacing by sigma would spend its steps there.
_PURE_NOISE = 15.0
_RHO = 7.0  # Karras et al. 2022
_BETA = 0.6  # "Beta Sampling is All You Need", Lee et al. 2024


def _karras(sigmas: np.ndarray, steps: int) -> np.ndarray:
    high, low = _ends(sigmas)
    ramp = np.linspace(0, 1, steps)
    return _times_of(sigmas, (high ** (1 / _RHO) + ramp * (low ** (1 / _RHO) - high ** (1 / _RHO))) ** _RHO)


def _exponential(sigmas: np.ndarray, steps: int) -> np.ndarray:
    high, low = _ends(sigmas)
    return _times_of(sigmas, np.exp(np.linspace(np.log(high), np.log(low), steps)))


def _sgm_uniform(sigmas: np.ndarray, steps: int) -> np.ndarray:
    return np.maximum(np.round(np.arange(steps, 0, -1) * len(sigmas) / steps).astype(int) - 1, 0)


def _beta(sigmas: np.ndarray, steps: int) -> np.ndarray:
    # x = sin² makes the density of Beta(a, a) flat enough at its ends to sum it up plainly.
    angle = np.linspace(0, np.pi / 2, 4001)
    density = (np.sin(angle) * np.cos(angle)) ** (2 * _BETA - 1)
    area = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2)])
    quantiles = np.sin(np.interp(1 - np.arange(steps) / steps, area / area[-1], angle)) ** 2
    return np.round(quantiles * (len(sigmas) - 1)).astype(int)


_SCHEDULES = {"karras": _karras, "exponential": _exponential, "sgm_uniform": _sgm_uniform, "beta": _beta}


def _ends(sigmas: np.ndarray) -> tuple[float, float]:
    return float(sigmas[sigmas <= _PURE_NOISE][-1]), float(sigmas[0])


def _times_of(sigmas: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    finite = sigmas[np.isfinite(sigmas)]
    return np.round(np.interp(np.log(wanted), np.log(finite), np.arange(len(finite)))).astype(int)
