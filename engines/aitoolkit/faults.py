"""What AI-Toolkit's errors mean to the person who trains: each becomes one of ours, with a remedy."""

from __future__ import annotations

import re
import signal
from pathlib import Path

from engines.aitoolkit.config import Arch, told_leaner
from studio.errors import (
    Conflict,
    ContractMismatch,
    DependencyMissing,
    DiskFull,
    DownloadFailed,
    EngineFailed,
    InvalidFieldValue,
    LikenessError,
    ModelGated,
    ModelInvalid,
    OutOfMemory,
    TrainingDiverged,
)
from studio.training import TrainRecipe

TESTED = "0.12.26 (commit 27a03a9)"
_MEMORY = re.compile(r"CUDA out of memory|OutOfMemoryError|OOM during training step|CUBLAS_STATUS_ALLOC_FAILED|MPS backend out of memory")
_HOST_MEMORY = re.compile(r"DefaultCPUAllocator: (can't|not enough)|Cannot allocate memory|^MemoryError|\nMemoryError", re.MULTILINE)
_GATED = re.compile(r"gated repo|GatedRepoError|401 Client Error|403 Client Error|awaiting a review|Invalid user token", re.IGNORECASE)
_REPO = re.compile(
    r"huggingface\.co/(?:api/models/)?([\w.-]+/[\w.-]+)|Cannot load model ([\w.-]+/[\w.-]+):|^([\w.-]+/[\w.-]+) does not appear",
    re.MULTILINE,
)
_UNREACHABLE = re.compile(
    r"model is not cached locally|LocalEntryNotFoundError|OfflineModeIsEnabled|Max retries exceeded|NameResolutionError"
    r"|Connection(Error| aborted)"
)
_NOT_A_MODEL = re.compile(
    r"neither a valid local path nor a valid repo id|does not appear to have a file named|Repository Not Found|RepositoryNotFoundError"
    r"|Error no file named|is not a valid (model|JSON)"
)
_CONFIG = re.compile(
    r"config file (must|is invalid)|Unknown process type|name_or_path must be specified|expected str, bytes or os\.PathLike"
    r"|while (parsing|scanning)|Environment variable \S+ not set|Unknown optimizer|Scheduler must be|Could not find config file"
)
_FOREIGN = re.compile(r"Weights only load failed|\[Errno 21\] Is a directory")
_BROKEN = re.compile(r"Error while deserializing header|HeaderTooLarge|InvalidHeaderDeserialization|MetadataIncompleteBuffer")
_DISK = re.compile(r"No space left on device|\[Errno 28\]|Disk quota exceeded|database or disk is full")
_MODULE = re.compile(r"No module named '([^'.]+)")
_PICTURES = re.compile(r"no images found in")
_GONE = re.compile(r"No such file or directory: '([^']+)'")


def failed(said: str, printed: str, recipe: TrainRecipe, arch: Arch) -> LikenessError:
    """Translate a training that ended with an error: what it said of it, and the last it printed."""
    text = f"{said}\n{printed}"
    if _MEMORY.search(text):
        return OutOfMemory(f"Training {arch.title} did not fit into the memory of the graphics card.", remedy=told_leaner(recipe, arch))
    if _HOST_MEMORY.search(text):
        return no_host_memory()
    if _DISK.search(text):
        return DiskFull("The disk filled up while AI-Toolkit trained.")
    if _GATED.search(text):
        return gated(_repo(text) or arch.repo)
    if _UNREACHABLE.search(text):
        return DownloadFailed(
            f"AI-Toolkit could not get {_repo(said) or recipe.model} from Hugging Face.",
            remedy="Check the connection and start the training again; what arrived is kept.",
        )
    if _NOT_A_MODEL.search(said):
        return ModelInvalid(
            f"AI-Toolkit can't open the model “{recipe.model}”.", remedy="Choose another model, or download it again.", field="model"
        )
    if _PICTURES.search(said):
        return InvalidFieldValue("AI-Toolkit found no pictures to learn from.", remedy="Add pictures to the dataset.", field="pictures")
    if _BROKEN.search(text):
        return ModelInvalid(
            "A file of weights that AI-Toolkit opened is broken.",
            remedy="Start the training again: a checkpoint that is whole will be taken.",
        )
    if _FOREIGN.search(said):
        return EngineFailed("Something in this training's folder is none of AI-Toolkit's checkpoints.", remedy="Begin a new training.")
    if module := _MODULE.search(said):
        return DependencyMissing(
            f"AI-Toolkit lacks the package {module[1]}.",
            remedy="Remove AI-Toolkit on the Setup tab and install it again; in a folder of yours install its requirements into its "
            "environment: pip install -r requirements.txt.",
        )
    if _CONFIG.search(said):
        return ContractMismatch(
            f"This AI-Toolkit doesn't understand what Likeness asks of it: {_short(said)}",
            remedy=f"Use the version that Likeness was tested with, {TESTED}: the Setup tab installs it.",
        )
    if said in ("Job stopped", "Job returning to queue"):
        return stopped_elsewhere()
    if gone := _GONE.search(said):
        return EngineFailed(f"A file that the training needs is gone: {Path(gone[1]).name}.", remedy="Start the training again.")
    return EngineFailed(f"AI-Toolkit stopped with an error: {_short(said or printed) or 'it said nothing of it'}", remedy=_LOOK)


def gated(repo: str) -> LikenessError:
    """The fault of a model whose terms were not accepted, or a token that isn't there."""
    return ModelGated(
        f"{repo} is given only to those who accepted its terms.",
        remedy=f"Accept them at https://huggingface.co/{repo}, make a token at https://huggingface.co/settings/tokens and put it into "
        "HF_TOKEN of .env; then start the studio again.",
        field="model",
    )


def killed(status: int | None, by_memory: bool) -> LikenessError:
    """The fault of a trainer that died without a word; `by_memory`: the system ended programs for memory meanwhile."""
    if by_memory:
        return no_host_memory()
    how = f" ({signal.Signals(-status).name})" if status is not None and status < 0 else ""
    return EngineFailed(
        f"AI-Toolkit was ended from outside{how}.",
        remedy="Start the training again: it goes on after its newest checkpoint. "
        "If that happens each time, the computer runs out of memory.",
    )


def no_host_memory() -> LikenessError:
    """The fault of a computer whose memory ran out; the graphics card's is another."""
    return OutOfMemory(
        "The computer ran out of memory, and the system ended the training.",
        remedy="Close other programs, or choose a smaller model; then start again: the training goes on after its newest checkpoint.",
    )


def stopped_elsewhere() -> LikenessError:
    """The fault of a training that somebody stopped, and not through us."""
    return Conflict("Somebody stopped this training outside of Likeness.", remedy="Start it again: it goes on after its newest checkpoint.")


def without_lora(status: int | None) -> LikenessError:
    """The fault of a trainer that ended as if all were well and left no LoRA of the last step."""
    code = "" if status is None else f" (exit status {status})"
    return EngineFailed(f"AI-Toolkit ended{code} and left no finished LoRA.", remedy=_LOOK)


def not_resumed(wanted: int, found: int | None) -> LikenessError:
    """The fault of a trainer that did not go on where it should: it was ended before it could write over anything."""
    where = "at the beginning" if found is None else f"after step {found}"
    return EngineFailed(
        f"AI-Toolkit was to go on after step {wanted} and began {where}, so it was stopped.",
        remedy="Nothing is lost: the checkpoints stay. Start the training again, and report it if that happens twice.",
    )


def diverged() -> LikenessError:
    """The fault of a loss that is no number."""
    return TrainingDiverged()


_LOOK = "Look at the training's log, then start it again: it goes on after its newest checkpoint."


def _repo(text: str) -> str:
    found = _REPO.search(text)
    return next((group for group in found.groups() if group), "") if found else ""


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 300 else f"{text[:297]}…"
