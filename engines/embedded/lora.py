"""LoRAs on a pipeline: put on, seen to be there in full, taken off without a trace."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from studio import models
from studio.contracts import Family, LoraUse, ModelSpec
from studio.errors import LikenessError, LoraMismatch, ModelInvalid
from studio.loras import KOHYA_PARTS, read_lora
from studio.weights import Header, stamp

log = logging.getLogger(__name__)

Worn = tuple[tuple[Path, tuple[int, int]], ...]


class Wardrobe:
    """The LoRAs that a pipeline wears. They stay on between jobs that want the same ones."""

    def __init__(self, pipe: Any, spec: ModelSpec, fingerprints: Path) -> None:
        self._pipe = pipe
        self._spec = spec
        self._fingerprints = fingerprints
        self._files: Worn = ()
        self._strengths: tuple[float, ...] = ()

    @property
    def worn(self) -> object:
        """What is on now and how strongly; equal when it acts the same."""
        return self._files, self._strengths

    def wear(self, uses: Sequence[LoraUse], files: Sequence[Path]) -> dict[str, str]:
        """Put on exactly these; gives their SHA-256 by name. Afterwards, or after an error, nothing else is on.

        Raises ModelInvalid, ModelUnsafe or LoraMismatch with field "loras".
        """
        wanted = tuple((file, _stamp(file)) for file in files)
        strengths = tuple(use.strength for use in uses)
        if wanted != self._files:
            self.take_off()
            try:
                for number, file in enumerate(files):
                    self._put_on(file, f"lora{number}")
            except BaseException:
                self.take_off(anyway=True)
                raise
            self._files, self._strengths = wanted, ()
        if strengths != self._strengths:
            self._pipe.set_adapters([f"lora{number}" for number in range(len(strengths))], list(strengths))
            self._strengths = strengths
        return {use.path: models.fingerprint((file,), self._fingerprints) for use, file in zip(uses, files, strict=True)}

    def take_off(self, *, anyway: bool = False) -> None:
        """Take all off: the model is what it was, to the last bit."""
        if self._files or anyway:
            self._pipe.unload_lora_weights()
        self._files, self._strengths = (), ()

    def _put_on(self, file: Path, adapter: str) -> None:
        models.check_lora(file, self._spec)
        if not hasattr(self._pipe, "load_lora_weights"):
            raise LoraMismatch(f"{self._spec.name} can't wear LoRAs.", remedy="Choose another model, or no LoRA.", field="loras")
        try:
            self._pipe.load_lora_weights(_in_one_layout(file, self._pipe), adapter_name=adapter)
        except (ValueError, KeyError, IndexError, RuntimeError, AttributeError, AssertionError, SafetensorError) as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            raise LoraMismatch(f"“{file.name}” does not fit {self._spec.name}: it could not be loaded.", field="loras") from error
        self._see_that_it_is_on(file, adapter)

    def _see_that_it_is_on(self, file: Path, adapter: str) -> None:
        # diffusers leaves out what it does not know with no more than a log line.
        expected = len(read_lora(file))
        loaded = sum(
            adapter in getattr(module, "lora_A", ())
            for part in self._pipe.components.values()
            if isinstance(part, torch.nn.Module)
            for module in part.modules()
        )
        # Fused modules of FLUX and its like are split on loading.
        enough = loaded >= expected if self._spec.family in _FUSED else loaded == expected
        if not enough or loaded == 0:
            raise LoraMismatch(f"Only {loaded} of the {expected} parts of “{file.name}” fit {self._spec.name}.", field="loras")
        log.debug("%s changes %d modules", file.name, loaded)


_FUSED = {Family.flux, Family.sd3, Family.other}
_PARTS = ("unet.", "transformer.", "text_encoder.", "text_encoder_2.", "text_encoder_3.", "diffusion_model.")
_KOHYA = tuple(KOHYA_PARTS)
_KOHYA_HALVES = {"lora_down.weight": "lora_A.weight", "lora_up.weight": "lora_B.weight", "alpha": "alpha"}
_OLD = {
    ".lora.down.weight": ".lora_A.weight",
    ".lora.up.weight": ".lora_B.weight",
    ".lora_linear_layer.down.weight": ".lora_A.weight",
    ".lora_linear_layer.up.weight": ".lora_B.weight",
    ".lora_A.default.weight": ".lora_A.weight",
    ".lora_B.default.weight": ".lora_B.weight",
}


def _in_one_layout(file: Path, pipe: Any) -> dict[str, torch.Tensor]:
    """A LoRA's tensors under the names that PEFT gives them, with a stated alpha worked into the weights.

    Files that mix PEFT's names with older ones would lose a part of them on loading. Kohya's names stay as they are where
    diffusers alone knows the modules they mean, as in SDXL's.
    """
    header = models.read_safetensors_header(file)
    try:
        tensors = load_file(file)
    except (SafetensorError, OSError) as error:
        raise ModelInvalid(f"{file.name} can't be read.", field="loras") from error
    denoiser = "transformer." if hasattr(pipe, "transformer") else "unet."
    if all(key.startswith(_KOHYA) for key in tensors):
        dotted = _dotted(tensors, pipe)
        if dotted is None:
            return tensors
        tensors = dotted
    named = {_name(key, denoiser): value for key, value in tensors.items() if not key.endswith(".alpha")}
    alphas = {_name(key, denoiser).removesuffix(".alpha"): float(value) for key, value in tensors.items() if key.endswith(".alpha")}
    said = _said_alphas(header)
    for key, up in named.items():
        if key.endswith(".lora_B.weight"):
            module = key.removesuffix(".lora_B.weight")
            alpha = alphas.get(module, said(module))
            if alpha is not None:
                named[key] = up * (alpha / up.shape[1])
    return named


def _dotted(tensors: dict[str, torch.Tensor], pipe: Any) -> dict[str, torch.Tensor] | None:
    """Kohya's tensors under the names of the modules that they change; None if one of them is not known by that name."""
    known = {
        f"{start}{level}{name.replace('.', '_')}": f"{part}.{name}"
        for start, part in KOHYA_PARTS.items()
        if isinstance(model := getattr(pipe, part, None), torch.nn.Module)
        # Text encoders have lost their first level with newer libraries.
        for level in ("", "text_model_")
        for name, _ in model.named_modules()
    }
    dotted: dict[str, torch.Tensor] = {}
    for key, value in tensors.items():
        stem, _, half = key.partition(".")
        if stem not in known or half not in _KOHYA_HALVES:
            return None
        dotted[f"{known[stem]}.{_KOHYA_HALVES[half]}"] = value
    return dotted


def _name(key: str, denoiser: str) -> str:
    key = key.removeprefix("base_model.model.")
    for old, new in _OLD.items():
        if key.endswith(old):
            key = key.removesuffix(old) + new
    if ".processor." in key:
        key = key.replace(".processor.", ".").replace("_lora.down.weight", ".lora_A.weight").replace("_lora.up.weight", ".lora_B.weight")
        key = key.replace(".to_out.lora_", ".to_out.0.lora_")
    return key if key.startswith(_PARTS) else denoiser + key


def _said_alphas(header: Header) -> Any:
    """The alpha of a module, where the file's own words tell it (PEFT's settings, as diffusers keeps them)."""
    try:
        said = json.loads(header.metadata.get("lora_adapter_metadata", "{}"))
    except ValueError:
        said = {}

    def alpha_of(module: str) -> float | None:
        part, _, name = module.partition(".")
        special = (said.get(f"{part}.alpha_pattern") or {}).get(name)
        alpha = special if special is not None else said.get(f"{part}.lora_alpha")
        return float(alpha) if alpha is not None else None

    return alpha_of


def _stamp(file: Path) -> tuple[int, int]:
    try:
        return stamp(file)
    except LikenessError as error:
        error.field = "loras"
        raise
