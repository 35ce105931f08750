"""What a LoRA file changes: the modules it names and the sizes it expects of them, in every layout that is about."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from studio.contracts import Family
from studio.errors import LoraMismatch, ModelInvalid
from studio.weights import read_safetensors_header, stamp

# The kohya layout's words for the parts of a pipeline.
KOHYA_PARTS = {
    "lora_unet_": "unet",
    "lora_transformer_": "transformer",
    "lora_te_": "text_encoder",
    "lora_te1_": "text_encoder",
    "lora_te2_": "text_encoder_2",
    "lora_te3_": "text_encoder_3",
}


@dataclass(frozen=True)
class LoraModule:
    """One module that a LoRA changes. `flat` names have `_` where the model's own have dots (the kohya layout)."""

    part: str
    name: str
    flat: bool
    into: int
    out: int
    rank: int


def read_lora(path: Path) -> tuple[LoraModule, ...]:
    """The modules of a LoRA, from its header.

    Raises ModelInvalid when the file is broken or is no LoRA, ModelUnsafe for a pickle, LoraMismatch for a kind that can't be used.
    """
    if path.suffix.lower() == ".safetensors":
        return _read_lora(path, *stamp(path))
    read_safetensors_header(path)
    raise ModelInvalid(f"{path.name} is not a .safetensors file.", remedy="Use the .safetensors version of it.")


def family_of_lora(modules: Sequence[LoraModule]) -> Family:
    """The family of models that a LoRA was made for, as far as its names and sizes tell; `other` when they don't."""
    names = [module.name for module in modules if module.part in _DENOISERS]
    if any("single_transformer_blocks" in name or "double_blocks" in name or "single_blocks" in name for name in names):
        return Family.flux
    if any("joint_blocks" in name or "add_k_proj" in name or "add_q_proj" in name for name in names):
        return Family.sd3
    for module in modules:
        if module.part in _DENOISERS and _CROSS_ATTENTION.search(module.name):
            return _FAMILY_BY_CROSS.get(module.into, Family.other)
    if any(module.part == "text_encoder_2" for module in modules):
        return Family.sdxl
    return Family.other


def same_module(module: LoraModule, base: Mapping[str, tuple[int, ...]], flat: Mapping[str, tuple[int, ...]]) -> tuple[int, ...] | None:
    """The shape of a model's weight that a LoRA's module changes; None if the model has no such module.

    `base` maps `part.module` to shapes, `flat` the same names with `_` for dots.
    """
    parts = _DENOISERS if module.part in _DENOISERS else (module.part,)
    # Text encoders are saved with and without this first level, by the age of the library.
    inner = ("", "text_model") if module.part not in _DENOISERS else ("",)
    join = "_" if module.flat else "."
    known = flat if module.flat else base
    for part in parts:
        for level in inner:
            names = [module.name, module.name.removeprefix(f"text_model{join}")]
            for name in names:
                shape = known.get(join.join(word for word in (part, level, name) if word))
                if shape is not None:
                    return shape
    return None


_DENOISERS = ("unet", "transformer")
_FAMILY_BY_CROSS = {192: Family.starter, 768: Family.sd15, 1024: Family.sd2, 2048: Family.sdxl}
_CROSS_ATTENTION = re.compile(r"attn2[._]to_[kv]$")
_DOWN = re.compile(r"^(?P<name>.+?)(?P<kind>\.lora_A(\.default)?|\.lora\.down|\.lora_linear_layer\.down|_lora\.down|\.lora_down)\.weight$")
_UP_OF = {
    ".lora_A": ".lora_B",
    ".lora_A.default": ".lora_B.default",
    ".lora.down": ".lora.up",
    ".lora_linear_layer.down": ".lora_linear_layer.up",
    "_lora.down": "_lora.up",
    ".lora_down": ".lora_up",
}


@lru_cache(maxsize=256)
def _read_lora(path: Path, _size: int, _changed: int) -> tuple[LoraModule, ...]:
    tensors = read_safetensors_header(path).tensors
    modules: list[LoraModule] = []
    for key, (_, down) in tensors.items():
        match = _DOWN.match(key)
        if match is None:
            continue
        up = tensors.get(f"{match['name']}{_UP_OF[match['kind']]}.weight")
        if up is None or len(down) < 2 or len(up[1]) < 2 or up[1][1] != down[0]:
            raise ModelInvalid(f"{path.name} is broken: half of “{match['name']}” is missing.", remedy="Download it again.")
        part, name, flat = _name(match["name"], match["kind"])
        modules.append(LoraModule(part, name, flat, down[1], up[1][0], down[0]))
    if modules:
        return tuple(modules)
    if any(word in key for key in tensors for word in (".hada_", ".lokr_", ".oft_")):
        raise LoraMismatch(
            f"{path.name} is a LyCORIS of a kind that is not supported (LoHa, LoKr or OFT).", remedy="Use a plain LoRA, or train one."
        )
    raise ModelInvalid(f"{path.name} is not a LoRA: nothing in it changes a model.", remedy="Put checkpoints into the models folder.")


def _name(stem: str, kind: str) -> tuple[str, str, bool]:
    for start, part in KOHYA_PARTS.items():
        if stem.startswith(start):
            return part, stem.removeprefix(start), True
    stem = stem.removeprefix("base_model.model.")
    part = "unet"
    for word in ("unet", "transformer", "text_encoder_3", "text_encoder_2", "text_encoder", "diffusion_model"):
        if stem.startswith(word + "."):
            part, stem = ("unet" if word == "diffusion_model" else word), stem.removeprefix(word + ".")
            break
    if kind == "_lora.down":
        stem = stem.replace(".processor.", ".")
        stem = stem + ".0" if stem.endswith(".to_out") else stem
    return part, stem, False
