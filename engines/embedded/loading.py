"""Loading a checkpoint: where it computes and in which numbers, its weights part by part, nothing fetched from anywhere."""

from __future__ import annotations

import importlib
import inspect
import json
import logging
import math
import os
from pathlib import Path
from typing import Any, cast

import psutil

# Read by the libraries when they are imported: they are not to talk, neither to people nor to servers.
os.environ.setdefault("DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import diffusers.utils.logging
import torch
import transformers.utils.logging
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl import StableDiffusionXLPipeline
from safetensors import SafetensorError
from transformers import CLIPTokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

from engines.embedded.pipeline import Place, Warm
from studio import models
from studio.contracts import Family, ModelSpec
from studio.engine import Report
from studio.errors import DependencyMissing, ModelInvalid, OutOfMemory
from studio.settings import Settings

log = logging.getLogger(__name__)


def load(spec: ModelSpec, settings: Settings, report: Report) -> Warm:
    """Load a checkpoint that was checked before. Reports as it goes, so that a long load never looks stuck.

    Raises ModelInvalid when diffusers can't build it, OutOfMemory when it can't fit, DependencyMissing for a device that is not there.
    """
    for words in (diffusers.utils.logging, transformers.utils.logging):
        words.set_verbosity_error()
        words.disable_progress_bar()
    if settings.threads:
        torch.set_num_threads(settings.threads)
    path = Path(spec.path)
    files = models.weight_files(path)
    place = choose_place(settings, spec, numbers_in(files))
    model_hash = models.fingerprint(files, settings.fingerprints_path, lambda done, total: report(0.0, _reading(spec, done, total)))
    report(0.0, f"Loading {spec.name}")
    try:
        pipe = _from_folder(path, place, report) if path.is_dir() else _from_file(path, spec, place, report)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError, SafetensorError) as error:
        raise ModelInvalid(
            f"{spec.name} can't be loaded: {_first_line(error)}",
            remedy="Download it again; if that does not help, it is of a kind that this version of diffusers does not know.",
            field="model",
        ) from error
    if not _draws_from_words(pipe):
        raise ModelInvalid(f"{spec.name} makes no pictures from a prompt alone.", remedy="Choose a text-to-image model.", field="model")
    pipe.set_progress_bar_config(disable=True)
    if place.offload:
        pipe.enable_model_cpu_offload()
    else:
        report(0.0, f"Moving {spec.name} to the {place.words}")
        pipe.to(place.device)
    log.info("Loaded %s on %s as %s", spec.name, place.device, str(place.weights).removeprefix("torch."))
    return Warm(spec, pipe, place, model_hash, settings.fingerprints_path)


# Models with more numbers than this are kept as bfloat16 on CPUs, where that is fast: twice as many fit.
_LARGE = 1_500_000_000
_HALF: dict[str, torch.dtype] = {
    Family.sd15: torch.float16,
    Family.sd2: torch.float16,
    Family.sdxl: torch.float16,
    Family.starter: torch.float32,
}
_SINGLE_FILE = Path(__file__).parent / "single_file"
_KINDS: dict[str, Any] = {Family.sd15: StableDiffusionPipeline, Family.sdxl: StableDiffusionXLPipeline}
_NAMED = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def choose_place(settings: Settings, spec: ModelSpec, numbers: int) -> Place:
    """Where a model of so many numbers computes, and in which dtypes.

    Raises DependencyMissing for a device that is not there, OutOfMemory when the model can't fit.
    """
    device = settings.device
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device == "auto":
        device = next(name for name in ("cuda", "mps", "cpu") if there[name])
    if not there[device]:
        raise DependencyMissing(f"There is no {device} device here.", remedy="Set LIKENESS_DEVICE=auto, or install its driver.")
    weights, autocast = _choose_numbers(settings.dtype, device, spec.family, numbers)
    needed = numbers * weights.itemsize
    free = torch.cuda.mem_get_info()[0] if device == "cuda" else psutil.virtual_memory().available
    offload = device == "cuda" and needed * 1.2 > free
    if needed > psutil.virtual_memory().available and (device != "cuda" or offload):
        raise OutOfMemory(
            f"{spec.name} wants about {needed / 2**30:.1f} GB of memory, and {psutil.virtual_memory().available / 2**30:.1f} GB are free.",
            remedy="Choose a smaller model, or close other programs.",
        )
    return Place(device, weights, autocast, offload)


def _choose_numbers(wanted: str, device: str, family: str, numbers: int) -> tuple[torch.dtype, torch.dtype | None]:
    """The dtype of the weights, and that of the computing where it differs."""
    if device != "cpu":
        auto = _HALF.get(family, torch.bfloat16) if device == "cuda" else torch.float16
        return _NAMED.get(wanted, auto), None
    if wanted in ("float32", "float16"):
        return _NAMED[wanted], None
    if wanted == "auto" and not _fast_bfloat16():
        return torch.float32, None
    if numbers > _LARGE:
        return torch.bfloat16, None
    return torch.float32, torch.bfloat16


def _fast_bfloat16() -> bool:
    probes = (getattr(torch.cpu, name, None) for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"))
    return any(probe is not None and probe() for probe in probes)


def numbers_in(files: tuple[Path, ...]) -> int:
    """How many numbers weight files hold, from their headers."""
    return sum(math.prod(shape) for file in files for _, shape in models.read_safetensors_header(file).tensors.values())


def _reading(spec: ModelSpec, done: int, total: int) -> str:
    return f"Reading {spec.name}: {done / 2**30:.1f} of {total / 2**30:.1f} GB"


def _from_folder(path: Path, place: Place, report: Report) -> Any:
    index: dict[str, Any] = json.loads((path / "model_index.json").read_text(encoding="utf-8"))
    options: dict[str, Any] = {"dtype": place.weights, "local_files_only": True, "use_safetensors": True}
    files = models.weight_files(path)
    parts: dict[str, Any] = {name: None for name in ("safety_checker", "feature_extractor", "image_encoder") if name in index}
    for name in dict.fromkeys(file.parent.name for file in files):
        library, kind = index[name]
        if library not in ("diffusers", "transformers"):
            continue
        report(0.0, f"Loading the {name.replace('_', ' ')}")
        half_only = all(".fp16." in file.name for file in files if file.parent.name == name)
        variant = {"variant": "fp16"} if half_only else {}
        parts[name] = getattr(importlib.import_module(library), kind).from_pretrained(path / name, **options, **variant)
    if "requires_safety_checker" in index:
        parts["requires_safety_checker"] = False
    return DiffusionPipeline.from_pretrained(path, **options, **parts)


def _from_file(path: Path, spec: ModelSpec, place: Place, report: Report) -> Any:
    """A single file holds weights only: what they mean and how prompts are read lies in `single_file/`, so that nobody is asked."""
    config = _SINGLE_FILE / spec.family
    kind = _KINDS.get(spec.family)
    if kind is None:
        raise ModelInvalid(
            f"{spec.name} can't be used as a single file.",
            remedy="Single files work for Stable Diffusion 1.5 and SDXL; take the diffusers folder of other models.",
            field="model",
        )
    report(0.0, "Reading the weights")
    options: dict[str, Any] = {"tokenizer": _clip_tokenizer("<|endoftext|>")}
    if spec.family == Family.sdxl:
        options["tokenizer_2"] = _clip_tokenizer("!")
    return kind.from_single_file(str(path), config=str(config), dtype=place.weights, local_files_only=True, **options)


def _clip_tokenizer(padding: str) -> Any:
    """CLIP's tokenizer, built as its first implementation builds it: the bytes, the bytes that end a word, the merges."""
    merges = [tuple(line.split()) for line in (_SINGLE_FILE / "clip_merges.txt").read_text(encoding="utf-8").splitlines()]
    letters = list(bytes_to_unicode().values())
    words = [*letters, *(letter + "</w>" for letter in letters), *("".join(pair) for pair in merges), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: number for number, word in enumerate(words)}
    return CLIPTokenizer(vocab=vocabulary, merges=cast("list[str]", merges), pad_token=padding, model_max_length=77)


def _draws_from_words(pipe: Any) -> bool:
    wants = inspect.signature(type(pipe).__call__).parameters
    return "prompt" in wants and "image" not in wants and "callback_on_step_end" in wants


def _first_line(error: Exception) -> str:
    words = (str(error).strip() or type(error).__name__).splitlines()[0]
    return words if len(words) < 200 else words[:200] + "…"
