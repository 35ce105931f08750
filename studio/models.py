"""The models and LoRAs on this computer: what each is, what it wants, whether it is whole and fits. Reads files, never weights."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import ValidationError

from studio.contracts import Family, LoraSpec, LoraUse, ModelSpec, Sampling, SamplingChoice
from studio.errors import InvalidFieldValue, LikenessError, LoraMismatch, ModelInvalid, ModelUnsafe
from studio.loras import LoraModule, family_of_lora, read_lora, same_module
from studio.weights import PICKLES, Header, fingerprint, read_safetensors_header, stamp

__all__ = ["fingerprint", "read_safetensors_header", "stamp"]

LIKENESS_JSON = "likeness.json"


@dataclass(frozen=True)
class Choice:
    """One entry of a menu: the field's own word, how it is written for people, and what it is good for."""

    id: str
    name: str
    tooltip: str


SAMPLERS = (
    Choice("dpmpp_2m", "DPM++ 2M", "Sharp after few steps. A good first choice."),
    Choice("dpmpp_2m_sde", "DPM++ 2M SDE", "Adds fresh noise at every step: more variety and detail, wants more steps."),
    Choice("euler", "Euler", "Plain and smooth. More steps bring the same picture, only finer."),
    Choice("euler_a", "Euler a", "Adds fresh noise at every step: the picture keeps changing with the number of steps."),
    Choice("ddim", "DDIM", "The classic: calm and predictable."),
    Choice("unipc", "UniPC", "Made for very few steps, 6 to 12."),
    Choice("lcm", "LCM", "For models and LoRAs made for 4 to 8 steps (LCM, Lightning, Turbo), with a CFG scale near 1."),
)
SCHEDULERS = (
    Choice("normal", "Normal", "The steps as the model was trained for them. A good first choice."),
    Choice("karras", "Karras", "More steps at the end, for fine detail."),
    Choice("exponential", "Exponential", "Like Karras, with even more weight on the end: soft and clean."),
    Choice("sgm_uniform", "SGM uniform", "Even steps from pure noise down."),
    Choice("beta", "Beta", "More steps at the beginning and at the end, fewer between them."),
)


def find_models(folder: Path, bundled: Sequence[Path]) -> tuple[ModelSpec, ...]:
    """Every model: those that come with Likeness, then diffusers folders and single files in `folder`, down to two levels.

    Broken and unsafe files are listed too, so that choosing one says what is wrong with it.
    """
    found: dict[str, ModelSpec] = {}
    for path in bundled:
        spec = _describe(path, path.name, _marks(path))
        found[spec.id] = spec
    for path in _walk(folder):
        name = path.relative_to(folder).as_posix()
        spec = _describe(path, name, _marks(path))
        free = _free(spec.id, found)
        found[free] = spec if free == spec.id else spec.model_copy(update={"id": free})
    return tuple(found.values())


def describe(path: Path) -> ModelSpec:
    """What one checkpoint is, wherever it lies; its id is its name."""
    return _describe(path, path.name, _marks(path))


def resolve_model(name: str, models: Sequence[ModelSpec]) -> ModelSpec:
    """The model of that id or name; an id may leave out `.safetensors`. Raises InvalidFieldValue naming what exists."""
    wanted = name.strip().casefold()
    for spec in models:
        if wanted in {spec.id.casefold(), spec.id.casefold().removesuffix(".safetensors"), spec.name.casefold()}:
            return spec
    known = ", ".join(spec.id for spec in models) or "none yet"
    raise InvalidFieldValue(f"There is no model called “{name}”.", field="model", remedy=f"Choose one of: {known}.")


def check_checkpoint(path: Path) -> None:
    """See that a checkpoint is whole, from its headers alone.

    Raises ModelInvalid for missing parts and truncated or corrupt files, ModelUnsafe for pickles, both with field "model".
    """
    try:
        if path.is_dir():
            _check_folder(path)
        elif not path.exists():
            raise ModelInvalid(f"There is no model at {path}.", remedy="Put it back, or choose another model.")
        else:
            _check_file(path)
    except LikenessError as error:
        error.field = "model"
        raise


def check_sampling(sampler: str, scheduler: str, family: str, own: tuple[str, str] = ("", ""), offered: Sampling | None = None) -> None:
    """See that a model of this family can be sampled so. Raises InvalidFieldValue naming the field and what can be chosen.

    What a model comes with itself (`own`) is right for it, whether or not it is in the menus. `offered` is what its server has; without it
    the embedded engine draws.
    """
    there = offered or Sampling(samplers=_menu(SAMPLERS), schedulers=_menu(SCHEDULERS))
    for field, value, choices, right in (("sampler", sampler, there.samplers, own[0]), ("scheduler", scheduler, there.schedulers, own[1])):
        if value == right:
            continue
        words = [choice.id for choice in choices]
        if value not in words:
            where = " on the ComfyUI server" if offered else ""
            raise InvalidFieldValue(
                f"There is no {field} called “{value}”{where}.", field=field, remedy=f"Choose one of: {', '.join(words)}."
            )
        if offered is None and is_flow(family) and value != _ONLY[field]:
            raise InvalidFieldValue(
                f"The {field} “{value}” does not work with this kind of model.",
                field=field,
                remedy=f"Choose “{_ONLY[field]}”, or leave it open.",
            )


def embedded_sampling(model: ModelSpec) -> Sampling:
    """How the embedded engine can sample a model."""
    fits = Sampling(samplers=_menu(SAMPLERS), schedulers=_menu(SCHEDULERS))
    if not is_flow(model.family):
        return fits
    return Sampling(
        samplers=tuple(choice for choice in fits.samplers if choice.id in {_ONLY["sampler"], model.sampler}),
        schedulers=tuple(choice for choice in fits.schedulers if choice.id in {_ONLY["scheduler"], model.scheduler}),
    )


def is_flow(family: str) -> bool:
    """True for families trained by flow matching, which are sampled with Euler only."""
    return family in {Family.sd3, Family.flux}


def draws(width: int, height: int, model: ModelSpec) -> bool:
    """True if a model draws pictures of this size as a whole: in pixels, on its grid and within its limits."""
    sides = _sides(model)
    return width in sides and height in sides


def size_near(ratio: float, model: ModelSpec) -> tuple[int, int]:
    """The width and height on the model's grid that come nearest to a ratio of the two, near the area that it likes."""
    sides = _sides(model)
    area = model.width * model.height

    def snap(side: float) -> int:
        return sides[min(max(round((side - model.side_min) / model.side_step), 0), len(sides) - 1)]

    def misfit(size: tuple[int, int]) -> float:
        # A wrong shape is worse than a few pixels more or less.
        return 4 * abs(math.log(size[0] / size[1] / ratio)) + abs(math.log(size[0] * size[1] / area))

    # For each side only its best partner can win; all pairs of a large model would be thousands.
    pairs = {(side, snap(side / ratio)) for side in sides} | {(snap(side * ratio), side) for side in sides}
    return min(sorted(pairs), key=misfit)


def weight_files(path: Path) -> tuple[Path, ...]:
    """The files whose weights make the pictures, in the order of their names: what the fingerprint of a model is taken from."""
    if not path.is_dir():
        return (path,)
    return tuple(file for part in _parts(path) for file in _weights_of(path / part))


def find_loras(folder: Path) -> tuple[LoraSpec, ...]:
    """Every LoRA in the folder, down to two levels; files that can't be read are left out."""
    found: list[LoraSpec] = []
    for path in _files(folder, 2):
        if path.suffix.lower() != ".safetensors":
            continue
        try:
            found.append(_describe_lora(path, path.relative_to(folder).as_posix(), stamp(path)))
        except LikenessError:
            continue
    return tuple(found)


def resolve_lora(use: LoraUse, folder: Path) -> Path:
    """The file of a LoRA: an absolute path, or a name in the LoRA folder with or without `.safetensors`.

    Raises InvalidFieldValue with field "loras" when there is none, and for names that lead out of the folder.
    """
    given = Path(use.path).expanduser()
    if not given.is_absolute():
        if ".." in PurePosixPath(use.path.replace("\\", "/")).parts:
            raise InvalidFieldValue(
                f"“{use.path}” leads out of the LoRA folder.", field="loras", remedy="Give its name in the folder, or its whole path."
            )
        given = folder / given
    for path in (given, given.with_name(given.name + ".safetensors")):
        if path.is_file():
            return path
    known = ", ".join(spec.path for spec in find_loras(folder)) or "none yet"
    raise InvalidFieldValue(f"There is no LoRA called “{use.path}”.", field="loras", remedy=f"LoRAs in the folder: {known}.")


def check_lora(path: Path, spec: ModelSpec) -> None:
    """See that a LoRA is whole and that its tensors fit the model's.

    Raises ModelInvalid, ModelUnsafe or LoraMismatch, all with field "loras".
    """
    try:
        misfit = _misfit(read_lora(path), spec)
        if misfit is not None:
            raise LoraMismatch(f"“{path.name}” does not fit {spec.name}: {misfit}.")
    except LikenessError as error:
        error.field = "loras"
        raise


@dataclass(frozen=True)
class _Wants:
    """What a family of models wants when nobody says otherwise."""

    words: str
    side_min: int = 256
    side_max: int = 2048
    side_step: int = 64
    side: int = 1024
    steps: int = 25
    cfg: float = 7.0
    sampler: str = "dpmpp_2m"
    scheduler: str = "karras"


_FAMILIES: Mapping[str, _Wants] = {
    Family.starter: _Wants("the starter model", 64, 256, 32, 128, 16, 4.0, "dpmpp_2m", "normal"),
    Family.sd15: _Wants("Stable Diffusion 1.5", side_max=1024, side=512),
    Family.sd2: _Wants("Stable Diffusion 2", side_max=1536, side=768),
    Family.sdxl: _Wants("SDXL", steps=30, cfg=6.0),
    Family.sd3: _Wants("Stable Diffusion 3", steps=28, cfg=4.5, sampler="euler", scheduler="normal"),
    Family.flux: _Wants("FLUX", side_step=16, steps=25, cfg=3.5, sampler="euler", scheduler="normal"),
    Family.other: _Wants("another architecture", side_step=32, steps=28, cfg=4.0, sampler="euler", scheduler="normal"),
}
_PIPELINES = {
    "StableDiffusionXLPipeline": Family.sdxl,
    "StableDiffusion3Pipeline": Family.sd3,
    "FluxPipeline": Family.flux,
}
_CROSS = {768: Family.sd15, 1024: Family.sd2, 2048: Family.sdxl}
# Parts of a pipeline that the embedded engine leaves out, and those that hold no weights.
_UNUSED = frozenset({"safety_checker", "feature_extractor", "image_encoder"})
_WEIGHTLESS = ("Tokenizer", "Scheduler", "Processor", "FeatureExtractor", "TokenizerFast")
_NAMED_OTHERWISE = ("input_blocks", "middle_block", "output_blocks", "double_blocks", "single_blocks", "joint_blocks")
_LICENCE_UNKNOWN = "unknown"
_SAYABLE = frozenset(ModelSpec.model_fields) - {"path", "engine"}


# What flow matching is sampled with.
_ONLY = {"sampler": "euler", "scheduler": "normal"}


def _menu(choices: Sequence[Choice]) -> tuple[SamplingChoice, ...]:
    return tuple(SamplingChoice(id=choice.id, name=choice.name, about=choice.tooltip) for choice in choices)


def _sides(model: ModelSpec) -> range:
    return range(model.side_min, model.side_max + 1, model.side_step)


def _walk(folder: Path) -> Iterator[Path]:
    for path in _entries(folder):
        if _is_model(path):
            yield path
        elif path.is_dir():
            yield from (inner for inner in _entries(path) if _is_model(inner))


def _is_model(path: Path) -> bool:
    if path.suffix.lower() == ".safetensors" or path.suffix.lower() in PICKLES:
        return path.is_file()
    return (path / "model_index.json").is_file()


def _files(folder: Path, levels: int) -> Iterator[Path]:
    for path in _entries(folder):
        if path.is_dir() and levels > 1:
            yield from _files(path, levels - 1)
        elif path.is_file():
            yield path


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        return []


def _free(wanted: str, taken: Iterable[str]) -> str:
    number, free = 1, wanted
    while free in taken:
        number += 1
        free = f"{wanted} ({number})"
    return free


def _marks(path: Path) -> tuple[tuple[int, int], ...]:
    marks: list[tuple[int, int]] = []
    for file in (path / LIKENESS_JSON, path / "model_index.json", path):
        try:
            seen = file.stat()
        except OSError:
            continue
        marks.append((seen.st_size, seen.st_mtime_ns))
    return tuple(marks)


@lru_cache(maxsize=512)
def _describe(path: Path, name: str, _marks: tuple[tuple[int, int], ...]) -> ModelSpec:
    path = path.resolve()
    about = ""
    try:
        family, side = _family_of_folder(path) if path.is_dir() else (_family_of_file(path), None)
    except LikenessError as error:
        family, side, about = Family.other, None, error.message
    wants = _FAMILIES[family]
    plain: dict[str, Any] = {
        "id": name,
        "name": (path.name if path.is_dir() else path.stem).replace("_", " "),
        "about": about or f"A model for {wants.words}." if family != Family.other else about or "A model of an architecture of its own.",
        "engine": "embedded",
        "path": str(path),
        "family": family,
        "licence": _licence(path),
        "side_min": wants.side_min,
        "side_max": wants.side_max,
        "side_step": wants.side_step,
        "width": side or wants.side,
        "height": side or wants.side,
        "steps": wants.steps,
        "cfg": wants.cfg,
        "sampler": wants.sampler,
        "scheduler": wants.scheduler,
    }
    said = _read_json(path / LIKENESS_JSON) if path.is_dir() else None
    if not isinstance(said, dict):
        return ModelSpec.model_validate(plain)
    try:
        return ModelSpec.model_validate(plain | {key: value for key, value in said.items() if key in _SAYABLE})
    except ValidationError:
        return ModelSpec.model_validate(plain | {"about": f"Its {LIKENESS_JSON} can't be understood, so it is left aside."})


def _family_of_folder(path: Path) -> tuple[Family, int | None]:
    kind = _index(path).get("_class_name")
    unet = _read_json(path / "unet" / "config.json")
    unet = unet if isinstance(unet, dict) else {}
    size = unet.get("sample_size")
    side = size * 8 if isinstance(size, int) and size >= 32 else None
    if kind == "StableDiffusionPipeline":
        cross = unet.get("cross_attention_dim")
        return (_CROSS.get(cross, Family.other) if isinstance(cross, int) else Family.other), side
    return _PIPELINES.get(str(kind), Family.other), side


def _family_of_file(path: Path) -> Family:
    tensors = read_safetensors_header(path).tensors
    if any(".joint_blocks." in key or key.startswith("joint_blocks.") for key in tensors):
        return Family.sd3
    if any("double_blocks." in key and "img_attn" in key for key in tensors):
        return Family.flux
    for key, (_, shape) in tensors.items():
        if key.startswith("model.diffusion_model.") and key.endswith(".attn2.to_k.weight") and len(shape) == 2:
            return _CROSS.get(shape[1], Family.other)
    return Family.other


def _licence(path: Path) -> str:
    card = next((file for name in ("README.md", "MODEL_CARD.md") if (file := path / name).is_file()), None) if path.is_dir() else None
    if card is None:
        return _LICENCE_UNKNOWN
    try:
        lines = card.read_text(encoding="utf-8", errors="replace").splitlines()[:40]
    except OSError:
        return _LICENCE_UNKNOWN
    # The front matter of a card from the hub: `license: openrail++`, and `license_name:` when that says "other".
    said = {key.strip(): value.strip().strip("\"'") for key, mark, value in (line.partition(":") for line in lines) if mark}
    licence = said.get("license", "")
    return (said.get("license_name") if licence == "other" else licence) or _LICENCE_UNKNOWN


def _index(path: Path) -> dict[str, Any]:
    index = _read_json(path / "model_index.json")
    if not isinstance(index, dict):
        raise ModelInvalid(f"{path.name} is not a model folder: its model_index.json can't be read.")
    return index


def _read_json(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _parts(path: Path) -> list[str]:
    """The parts of a diffusers folder that hold weights and are used."""
    parts: list[str] = []
    for name, value in _index(path).items():
        if name.startswith("_") or name in _UNUSED or not isinstance(value, list) or len(value) != 2 or value[0] is None:
            continue
        if not str(value[1]).endswith(_WEIGHTLESS):
            parts.append(name)
    return sorted(parts)


def _weights_of(part: Path) -> list[Path]:
    """The safetensors files of one part: full precision if it is there, else fp16; all shards."""
    for index in sorted(part.glob("*.safetensors.index*.json"), key=lambda file: ("fp16" in file.name, file.name)):
        said = _read_json(index)
        if isinstance(said, dict) and isinstance(said.get("weight_map"), dict):
            return [part / name for name in sorted(set(said["weight_map"].values()))]
    files = sorted(part.glob("*.safetensors"), key=lambda file: (".fp16" in file.name, file.name))
    # One part, one file: others beside it are variants (fp16, EMA).
    named = [file for file in files if file.name.startswith(("model", "diffusion_pytorch_model"))]
    return (named or files)[:1]


def _check_folder(path: Path) -> None:
    index = _index(path)
    for name, value in index.items():
        if name.startswith("_") or name in _UNUSED or not isinstance(value, list) or len(value) != 2 or value[0] is None:
            continue
        if not (path / name).is_dir():
            raise ModelInvalid(f"{path.name} is missing its part “{name}”.", remedy="Download the whole folder again.")
    for name in _parts(path):
        files = _weights_of(path / name)
        if not files and any(file.suffix.lower() in PICKLES for file in _entries(path / name)):
            raise ModelUnsafe(f"“{name}” of {path.name} is there as a pickle only, which can run code when it is opened.")
        if not files:
            raise ModelInvalid(f"“{name}” of {path.name} has no weights.", remedy="Download the whole folder again.")
        if not (path / name / "config.json").is_file():
            raise ModelInvalid(f"“{name}” of {path.name} has no config.json.", remedy="Download the whole folder again.")
        for file in files:
            read_safetensors_header(file)


def _check_file(path: Path) -> None:
    tensors = read_safetensors_header(path).tensors
    if any(".lora_" in key or ".lora." in key for key in tensors):
        raise ModelInvalid(f"{path.name} is a LoRA, not a checkpoint.", remedy="Move it to the LoRA folder and choose it there.")
    family = _family_of_file(path)
    if family in (Family.sd15, Family.sdxl):
        for start, words in _HALVES:
            if not any(key.startswith(start) for key in tensors):
                raise ModelInvalid(f"{path.name} has no {words} inside.", remedy="Use the full checkpoint, not the pruned part of it.")
        return
    raise ModelInvalid(
        f"{path.name} is not a checkpoint that can be used as a single file.",
        remedy="Single files work for Stable Diffusion 1.5 and SDXL; take the diffusers folder of other models.",
    )


_HALVES = (
    ("first_stage_model.", "VAE"),
    (("cond_stage_model.", "conditioner.embedders."), "text encoder"),
)


@lru_cache(maxsize=512)
def _describe_lora(path: Path, name: str, mark: tuple[int, int]) -> LoraSpec:
    modules = read_lora(path)
    words = read_safetensors_header(path).metadata
    trigger = words.get("modelspec.trigger_phrase", "") or words.get("trigger", "")
    title = words.get("modelspec.title") or path.stem.replace("_", " ")
    return LoraSpec(path=name, name=title, family=family_of_lora(modules), bytes=mark[0], trigger=trigger)


def _modules_of(spec: ModelSpec) -> dict[str, tuple[int, ...]]:
    """The weights of a model's denoiser and text encoders by module name, `part.module` -> shape; empty for single files."""
    path = Path(spec.path)
    if not path.is_dir():
        return {}
    files = {part: tuple(_weights_of(path / part)) for part in _parts(path)}
    return _read_modules(tuple((part, file, stamp(file)) for part, found in files.items() for file in found))


@lru_cache(maxsize=16)
def _read_modules(files: tuple[tuple[str, Path, tuple[int, int]], ...]) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for part, file, _ in files:
        header: Header = read_safetensors_header(file)
        for key, (_, shape) in header.tensors.items():
            if key.endswith(".weight") and len(shape) >= 2:
                shapes[f"{part}.{key.removesuffix('.weight')}"] = shape
    return shapes


def _misfit(modules: Sequence[LoraModule], spec: ModelSpec) -> str | None:
    """Why a LoRA does not fit a model, in words; None if it does as far as headers tell."""
    base = _modules_of(spec)
    flat = {name.replace(".", "_"): shape for name, shape in base.items()}
    foreign: LoraModule | None = None
    for module in modules:
        shape = same_module(module, base, flat)
        if shape is None:
            foreign = foreign or module
        elif (module.into, module.out) != (shape[1], shape[0]):
            return f"its “{module.name}” joins {module.into} to {module.out} numbers where the model has {shape[1]} and {shape[0]}"
    family = family_of_lora(modules)
    if Family.other not in (family, spec.family) and family != spec.family and foreign:
        return f"it was made for {_FAMILIES[family].words}"
    # Other programs name the same modules otherwise; whether those fit shows when the engine loads them.
    if foreign and base and not foreign.name.startswith(_NAMED_OTHERWISE):
        return f"the model has no “{foreign.name}”"
    return None
