"""AI-Toolkit's config for a recipe, architecture by architecture. It ignores what it doesn't know: what is refused is refused here."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import Field

from studio import models
from studio.contracts import Contract
from studio.errors import InvalidFieldValue, LikenessError, ModelInvalid
from studio.files import read_yaml
from studio.training import Schedule, Targets, ToolkitOptions, TrainRecipe

CPU, CUDA = "cpu", "cuda"
DIFFUSION_TRAINER, SD_TRAINER = "diffusion_trainer", "sd_trainer"
# Both trainers end a falling rate at this share of the first.
_LAST_RATE = 0.05
# Counted from 1 in the recipe; the trainer takes its own number of one picture for each.
_NEVER = 10**9


class Arch(Contract):
    """An architecture that AI-Toolkit trains, and what its own page suggests for it. `vram_gb` None: unknown until measured.

    `repo` is the model on Hugging Face; `single_file`: a checkpoint of one file can be trained too. `model` and `sample` are more keys.
    """

    name: str
    title: str
    repo: str
    family: str = ""
    draws: tuple[str, ...] = ()
    gated: bool = False
    single_file: bool = False
    quantize: bool = False
    quantize_te: bool = False
    low_vram: bool = False
    noise_scheduler: str = "flowmatch"
    sampler: str = "flowmatch"
    timestep_type: str | None = "sigmoid"
    guidance: float = 4.0
    sample_steps: int = 30
    side: int = 1024
    resolutions: tuple[int, ...] = (512, 768, 1024)
    rank: int = 32
    steps: int = 3000
    vram_gb: float | None = None
    model: dict[str, Any] = Field(default_factory=dict)
    sample: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True)
class Estimate:
    """What a training will take; None is unknown until measured. `vram_gb` and `disk_gb` are gigabytes, `seconds` wall time."""

    vram_gb: float | None = None
    disk_gb: float | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Places:
    """Where the trainer finds and puts things: paths as it is told them."""

    output: Path
    dataset: Path
    database: Path


@cache
def _arches() -> dict[str, Arch]:
    table = read_yaml((Path(__file__).parent / "arches.yaml").read_text("utf-8"))
    assert isinstance(table, dict)
    return {name: Arch.model_validate({"name": name, **entry}) for name, entry in table.items()}


class _Arches(Mapping[str, Arch]):
    """Read when it is first asked for: importing this reads no file."""

    def __getitem__(self, name: str) -> Arch:
        return _arches()[name]

    def __iter__(self) -> Any:
        return iter(_arches())

    def __len__(self) -> int:
        return len(_arches())


ARCHES: Mapping[str, Arch] = _Arches()


def default_recipe(arch: str, *, model: str = "", trigger: str = "", samples: tuple[str, ...] = (), seed: int = 0) -> TrainRecipe:
    """The recipe that AI-Toolkit's own page suggests for an architecture. Raises InvalidFieldValue for one it isn't known to train."""
    known = _known(arch)
    return TrainRecipe(
        model=model or known.repo,
        trigger=trigger,
        rank=known.rank,
        alpha=known.rank,
        targets=Targets.everything,
        learning_rate=1e-4,
        schedule=Schedule.constant,
        warmup=0,
        steps=known.steps,
        batch=1,
        resolution=max(known.resolutions),
        caption_dropout=0.05,
        gradient_checkpointing=True,
        seed=seed,
        save_every=250,
        sample_every=250,
        samples=samples,
        toolkit=ToolkitOptions(arch=arch, resolutions=known.resolutions),
    )


def arch_of(recipe: TrainRecipe, model: Path) -> Arch:
    """The architecture of a recipe: the one it names, or that of its model. Raises InvalidFieldValue or ModelInvalid."""
    if recipe.toolkit is not None and recipe.toolkit.arch:
        return _known(recipe.toolkit.arch)
    if not model.exists():
        for arch in ARCHES.values():
            if arch.repo == model.as_posix():
                return arch
        raise InvalidFieldValue(
            f"The architecture of “{model.as_posix()}” is unknown.",
            remedy=f"Choose one of AI-Toolkit's: {', '.join(ARCHES)}.",
            field="model",
        )
    family = models.describe(model).family
    for arch in ARCHES.values():
        if arch.family and arch.family == family:
            return arch
    raise InvalidFieldValue(
        f"AI-Toolkit doesn't train models like “{model.name}”.",
        remedy=f"Choose one of these: {', '.join(arch.title for arch in ARCHES.values())}. Or train with the embedded trainer.",
        field="model",
    )


def check_recipe(recipe: TrainRecipe, arch: Arch, model: Path) -> None:
    """See that AI-Toolkit can do what a recipe says: it would leave out silently what it can't. Raises InvalidFieldValue, ModelInvalid."""
    if recipe.targets is not Targets.everything:
        raise InvalidFieldValue("AI-Toolkit always trains every layer.", remedy="Choose the targets “everything”.", field="targets")
    if recipe.prior_weight:
        raise InvalidFieldValue(
            "AI-Toolkit trains without prior preservation here: it draws no class pictures.",
            remedy="Leave it at 0, or train with the embedded trainer.",
            field="prior_weight",
        )
    if recipe.warmup and recipe.schedule is not Schedule.constant:
        raise InvalidFieldValue(
            f"AI-Toolkit can't warm up and then follow a {recipe.schedule} schedule.",
            remedy="Set the warm-up to 0, or choose the schedule “constant”.",
            field="warmup",
        )
    for side in _resolutions(recipe):
        if side % 32:
            raise InvalidFieldValue(
                f"A resolution of {side} is not a multiple of 32.", remedy="Choose 512, 768 or 1024.", field="resolution"
            )
    if model.is_file() and not arch.single_file:
        raise ModelInvalid(
            f"AI-Toolkit can't train {arch.title} from a single file.",
            remedy=f"Choose a diffusers folder, or {arch.repo} from Hugging Face.",
            field="model",
        )
    if not model.exists() and not re.fullmatch(r"[\w.-]+/[\w.-]+", model.as_posix()):
        raise ModelInvalid(f"There is no model “{model}”.", remedy="Choose another model, or download it again.", field="model")


def job_name(recipe: TrainRecipe) -> str:
    """What the trainer calls a run, in its folder and its files: the same for the same recipe, and nothing that it takes for its own."""
    word = re.sub(r"[^a-z0-9]+", "-", recipe.trigger.lower()).strip("-")[:24] or "lora"
    # Without what came later and never counts here: a run of before keeps its name.
    said = recipe.model_dump_json(exclude={"prior_weight", "prior_pictures", "prior_prompt"})
    return f"id-{word}-{hashlib.sha256(said.encode()).hexdigest()[:10]}"


def config(recipe: TrainRecipe, arch: Arch, model: Path, places: Places, *, trainer: str, device: str, seen: bool) -> dict[str, Any]:
    """AI-Toolkit's config for a recipe. `trainer` is the kind of process, `seen`: samples of the untrained model were drawn already."""
    options = recipe.toolkit or ToolkitOptions()
    on_cpu = device == CPU
    process: dict[str, Any] = {
        "type": trainer,
        "training_folder": str(places.output),
        "device": device,
        "performance_log_every": 10,  # 0 would mean that the speed is never told
        "network": {"type": "lora", "linear": recipe.rank, "linear_alpha": recipe.alpha},
        "save": {
            "dtype": "float16",
            "save_every": recipe.save_every,
            # It removes what it takes for old; checkpoints are taken from there and cleaned up here.
            "max_step_saves_to_keep": _NEVER,
            "push_to_hub": False,
        },
        "datasets": [
            {
                "folder_path": str(places.dataset),
                "caption_ext": "txt",
                "caption_dropout_rate": recipe.caption_dropout,
                "shuffle_tokens": False,
                "cache_latents_to_disk": True,
                "resolution": list(_resolutions(recipe)),
            }
        ],
        "train": {
            "steps": recipe.steps,
            "lr": recipe.learning_rate,
            **_rate(recipe),
            "optimizer": options.optimizer or ("adamw" if on_cpu else "adamw8bit"),
            "batch_size": recipe.batch,
            "gradient_accumulation_steps": 1,
            "train_unet": True,
            "train_text_encoder": False,
            "gradient_checkpointing": recipe.gradient_checkpointing,
            "noise_scheduler": arch.noise_scheduler,
            "dtype": "fp32" if on_cpu else "bf16",
            "skip_first_sample": seen,
            "disable_sampling": not recipe.samples,
            **({"timestep_type": arch.timestep_type} if arch.timestep_type else {}),
        },
        "model": {
            "name_or_path": str(model.resolve()) if model.exists() else model.as_posix(),
            "arch": arch.name,
            "quantize": _chosen(options.quantize, arch.quantize),
            "quantize_te": _chosen(options.quantize_te, arch.quantize_te),
            "low_vram": _chosen(options.low_vram, arch.low_vram),
            **arch.model,
        },
        "sample": {
            "sampler": arch.sampler,
            "sample_every": recipe.sample_every,
            "width": min(arch.side, max(_resolutions(recipe))),
            "height": min(arch.side, max(_resolutions(recipe))),
            "prompts": list(recipe.samples),
            "neg": "",
            "seed": recipe.seed % 2**32,
            "walk_seed": True,
            "guidance_scale": arch.guidance,
            "sample_steps": arch.sample_steps,
            **arch.sample,
        },
        "logging": {"log_every": 1, "use_ui_logger": True},
    }
    if recipe.trigger:
        process["trigger_word"] = recipe.trigger
    if trainer == DIFFUSION_TRAINER:
        process["sqlite_db_path"] = str(places.database)
    else:
        # The trainer of 2024 knows its architectures by flags, and quantizes FLUX.1 alone.
        process["model"] = {"name_or_path": process["model"]["name_or_path"], "is_xl": arch.name == "sdxl", "is_flux": arch.name == "flux"}
        process["model"]["quantize"] = _chosen(options.quantize, arch.quantize)
    return {
        "job": "extension",
        "config": {"name": job_name(recipe), "process": [process]},
        "meta": {"name": "[name]", "version": "1.0"},
    }


def written(config: Mapping[str, Any]) -> bytes:
    """A config as a file of JSON. It has no `$`: the trainer would put variables of its environment, tokens among them, in its place."""
    return json.dumps(config, indent=1).replace("$", "\\u0024").encode()


def estimate(recipe: TrainRecipe, model: Path) -> Estimate:
    """What a training will take, as far as anybody has said or measured it."""
    try:
        arch = arch_of(recipe, model)
    except LikenessError:
        return Estimate()
    options = recipe.toolkit or ToolkitOptions()
    as_said = (
        _chosen(options.quantize, arch.quantize) == arch.quantize and _chosen(options.quantize_te, arch.quantize_te) == arch.quantize_te
    )
    as_said = as_said and _chosen(options.low_vram, arch.low_vram) == arch.low_vram
    # What its makers said holds for their own settings alone: with smaller pictures it takes less, and nobody measured how much.
    same = recipe.batch == 1 and recipe.gradient_checkpointing and max(_resolutions(recipe)) == max(arch.resolutions)
    return Estimate(vram_gb=arch.vram_gb if as_said and same and recipe.rank <= arch.rank else None)


def leaner(recipe: TrainRecipe, arch: Arch) -> TrainRecipe | None:
    """The recipe with every setting that saves memory; None when it has them all."""
    sides = _resolutions(recipe)
    options = (recipe.toolkit or ToolkitOptions()).model_copy(
        update={
            "arch": arch.name,
            "quantize": arch.quantize or (recipe.toolkit is not None and recipe.toolkit.quantize),
            "quantize_te": arch.quantize_te or (recipe.toolkit is not None and recipe.toolkit.quantize_te),
            "low_vram": True,
            "resolutions": (min(512, *sides),),
        }
    )
    lean = recipe.model_copy(update={"batch": 1, "gradient_checkpointing": True, "resolution": options.resolutions[0], "toolkit": options})
    return None if _memory(lean, arch) == _memory(recipe, arch) else lean


def told_leaner(recipe: TrainRecipe, arch: Arch) -> str:
    """In words, what would make a training fit into less memory, with the estimate."""
    lean = leaner(recipe, arch)
    if lean is None:
        return "Every setting that saves memory is on. Choose a smaller model, or a graphics card with more memory."
    before, after = _memory(recipe, arch), _memory(lean, arch)
    steps = [_WORDS[name].format(after[name]) for name in _WORDS if before[name] != after[name]]
    need = estimate(recipe, Path(arch.repo)).vram_gb
    measured = f"{arch.title} with AI-Toolkit's own settings wants {need:g} GB; what" if need else "What"
    return f"Train with {', '.join(steps)}. {measured} it takes then is unknown until measured."


_WORDS = {
    "gradient_checkpointing": "gradient checkpointing on",
    "quantize": "the model quantized",
    "quantize_te": "the text encoder quantized",
    "low_vram": "low VRAM on",
    "batch": "a batch of {}",
    "side": "pictures of {} pixels",
}


def _memory(recipe: TrainRecipe, arch: Arch) -> dict[str, object]:
    options = recipe.toolkit or ToolkitOptions()
    return {
        "gradient_checkpointing": recipe.gradient_checkpointing,
        "quantize": _chosen(options.quantize, arch.quantize),
        "quantize_te": _chosen(options.quantize_te, arch.quantize_te),
        "low_vram": _chosen(options.low_vram, arch.low_vram),
        "batch": recipe.batch,
        "side": max(_resolutions(recipe)),
    }


def _known(arch: str) -> Arch:
    if arch not in ARCHES:
        raise InvalidFieldValue(
            f"AI-Toolkit isn't known to train “{arch}”.", remedy=f"Choose one of these: {', '.join(ARCHES)}.", field="toolkit.arch"
        )
    return ARCHES[arch]


def _resolutions(recipe: TrainRecipe) -> tuple[int, ...]:
    chosen = recipe.toolkit.resolutions if recipe.toolkit is not None else ()
    return chosen or (recipe.resolution,)


def _chosen(wanted: bool | None, suggested: bool) -> bool:
    return suggested if wanted is None else wanted


def _rate(recipe: TrainRecipe) -> dict[str, Any]:
    if recipe.schedule is Schedule.cosine:
        return {"lr_scheduler": "cosine", "lr_scheduler_params": {"eta_min": recipe.learning_rate * _LAST_RATE}}
    if recipe.schedule is Schedule.linear:
        return {"lr_scheduler": "linear", "lr_scheduler_params": {"start_factor": 1.0, "end_factor": _LAST_RATE}}
    if recipe.warmup:
        return {"lr_scheduler": "constant_with_warmup", "lr_scheduler_params": {"num_warmup_steps": recipe.warmup}}
    return {"lr_scheduler": "constant"}
