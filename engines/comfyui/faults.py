"""What ComfyUI's errors mean to the person who made the request: each becomes one of ours, with a remedy."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from studio.errors import (
    Conflict,
    ContractMismatch,
    DependencyMissing,
    EngineFailed,
    EngineOffline,
    InvalidFieldType,
    InvalidFieldValue,
    LikenessError,
    MissingRequiredField,
    ModelInvalid,
    NotFound,
    OutOfMemory,
)
from studio.workflows import NodePack, missing_pack


class Unreachable(EngineOffline):
    """Nobody answers, or not in time. It may come back by itself: a starting server is unreachable too."""

    default_remedy = "Start ComfyUI there, or correct its address."


class Hanging(Unreachable):
    """Somebody took the call and then said nothing in time: stuck, or busy with a large model."""


class NeedsSignIn(EngineOffline):
    """Somebody answers who wants a token or a password first."""

    default_remedy = "Put the server's token, or user:password, into COMFYUI_TOKEN and start the studio again."


class NotComfy(EngineOffline):
    """Somebody answers who is not ComfyUI, or not a version that is understood."""

    default_remedy = "Check the address and its port: ComfyUI's own is usually http://127.0.0.1:8188."


class MissingNode(DependencyMissing):
    """A workflow needs a node that the server doesn't have. `pack` is the node pack that has it, where that is known."""

    def __init__(self, class_type: str, pack: NodePack | None = None) -> None:
        self.class_type = class_type
        lack = missing_pack(pack, (class_type,)) if pack else None
        install = lack.remedy.rstrip(".") if lack else f"Install the node pack that has {class_type}, or update ComfyUI"
        super().__init__(
            lack.message if lack else f"ComfyUI has no node “{class_type}”.",
            remedy=f"{install}, and restart it. Or choose another workflow.",
        )


class Unread(ContractMismatch):
    """A server answered a job with a plain 500: it may have queued it first."""

    def __init__(self) -> None:
        super().__init__("ComfyUI failed while it read this workflow.", remedy=_LOOK_AT_ITS_LOG)


Lists = Callable[[str, str], Sequence[str]]
"""(class name, input name) -> what that input can be on the server, or nothing."""


def refused(answer: Mapping[str, Any] | None, graph: Mapping[str, Any], lists: Lists) -> LikenessError:
    """Translate what `POST /prompt` said instead of yes: its answer, or None for a plain 500.

    An answer that lists errors of nodes is a refusal also where the server accepted the rest of the graph.
    """
    if answer is None:
        return Unread()
    for node, fault in (answer.get("node_errors") or {}).items():
        for error in fault.get("errors") or ():
            return _node_refused(_title(graph, node), str(fault.get("class_type", "")), error, lists)
    error = answer.get("error")
    error = error if isinstance(error, dict) else {"message": str(error or "")}
    missing = _missing_class(error)
    if missing:
        return MissingNode(missing)
    words = {
        "prompt_no_outputs": "nothing in it saves a picture",
        "no_prompt": "it is empty",
        "invalid_prompt": _sentence(error),
        # Without a word about a node: the graph goes in circles.
        "prompt_outputs_failed_validation": "its nodes lead into a circle or to nothing",
    }
    why = words.get(str(error.get("type")), _sentence(error))
    return ContractMismatch(f"ComfyUI can't run this workflow: {why}.", remedy=_MEND_IT)


def ended_badly(messages: Sequence[tuple[str, Mapping[str, Any]]]) -> LikenessError:
    """Translate the end of a job whose history says that it did not succeed; `messages` are its events, oldest first."""
    for kind, data in reversed(messages):
        if kind == "execution_interrupted":
            return Conflict("Somebody stopped this job in ComfyUI.", remedy="Retry the job.")
        if kind == "execution_error":
            return _node_failed(data)
    return EngineFailed("ComfyUI ended this job without saying why.", remedy=_LOOK_AT_ITS_LOG)


def taken_out() -> LikenessError:
    """The fault of a job that is neither in the queue nor in the history of a server that never stopped."""
    return Conflict("Somebody took this job out of ComfyUI's queue.", remedy="Retry the job.")


def lost(times: int) -> LikenessError:
    """The fault of a job that a server forgot `times` times, because it was restarted or died."""
    return EngineOffline(
        f"ComfyUI stopped {times} times while it had this job.",
        remedy="Look at ComfyUI's log: a picture that is too large for its memory is the usual cause. Then retry the job.",
    )


def _node_refused(title: str, class_type: str, error: Mapping[str, Any], lists: Lists) -> LikenessError:
    extra = error.get("extra_info") or {}
    name, given = str(extra.get("input_name", "")), extra.get("received_value")
    field = _FIELDS.get(name)
    limits = extra.get("input_config")
    limits = limits[1] if isinstance(limits, list) and len(limits) > 1 and isinstance(limits[1], dict) else {}
    match error.get("type"):
        case "value_not_in_list":
            there = lists(class_type, name)
            if name in _FILES:
                return _not_on_server(_FILES[name], str(given), there, field)
            known = f"It knows {_listed(there)}." if there else "Look at the list in ComfyUI."
            return InvalidFieldValue(f"ComfyUI has no {_spoken(name)} “{given}”.", remedy=known, field=field)
        case "value_smaller_than_min" | "value_bigger_than_max":
            low, high = limits.get("min"), limits.get("max")
            between = f"between {low} and {high}" if low is not None and high is not None else "in the range that ComfyUI allows"
            return InvalidFieldValue(f"{given} is no {_spoken(name)} for ComfyUI.", remedy=f"Choose one {between}.", field=field)
        case "invalid_input_type":
            return InvalidFieldType(f"“{given}” is no {_spoken(name)} for ComfyUI's “{title}”.", remedy=_MEND_IT, field=field)
        case "required_input_missing":
            return MissingRequiredField(f"“{title}” in this workflow needs {_spoken(name)}.", remedy=_MEND_IT, field=field)
        case "custom_validation_failed" if class_type.startswith("LoadImage"):
            return NotFound(
                "The picture to start from is not on the ComfyUI server.", remedy="Retry the job: it is sent again.", field="image"
            )
    return ContractMismatch(f"ComfyUI can't run this workflow: “{title}” says {_sentence(error)}.", remedy=_MEND_IT)


def _node_failed(data: Mapping[str, Any]) -> LikenessError:
    kind, said = str(data.get("exception_type", "")), " ".join(str(data.get("exception_message", "")).split())
    node = str(data.get("node_type", "a node"))
    words = said.lower()
    if "outofmemory" in kind.lower().replace("_", "") or kind.endswith("MemoryError") or any(it in words for it in _NO_MEMORY):
        return OutOfMemory(
            "ComfyUI's device ran out of memory.",
            remedy="Make fewer pictures at once, choose a smaller size, or start ComfyUI with --lowvram.",
        )
    if "loader" in node.lower() and (kind.startswith("Safetensor") or any(it in words for it in _BROKEN_FILE)):
        return ModelInvalid(f"ComfyUI can't read a model file of this job: {_short(said)}")
    return EngineFailed(f"ComfyUI's {node} failed: {_short(said) or kind}", remedy=_LOOK_AT_ITS_LOG)


def _not_on_server(what: str, name: str, there: Sequence[str], field: str | None) -> NotFound:
    if there:
        remedy = f"There are {_listed(there)}. Choose one of them, or copy the file into ComfyUI's folder."
    else:
        remedy = "There is none at all: copy the file into ComfyUI's folder."
    return NotFound(f"The {what} “{name}” is not on this ComfyUI server.", remedy=remedy, field=field)


def _missing_class(error: Mapping[str, Any]) -> str | None:
    extra = error.get("extra_info")
    if error.get("type") == "missing_node_type" and isinstance(extra, dict) and extra.get("class_type"):
        return str(extra["class_type"])
    said = re.search(r"node (.+?) (?:does not exist|not found)", str(error.get("message", "")), re.IGNORECASE)
    return said[1].strip("'\"") if said else None


def _title(graph: Mapping[str, Any], node: str) -> str:
    """What a person calls a node: its title, otherwise its class, otherwise its number."""
    it = graph.get(node)
    if not isinstance(it, dict):
        return node
    meta = it.get("_meta")
    return str((meta.get("title") if isinstance(meta, dict) else None) or it.get("class_type") or node)


def _sentence(error: Mapping[str, Any]) -> str:
    parts = [str(error.get(key) or "").strip().rstrip(".") for key in ("message", "details")]
    return _short(": ".join(dict.fromkeys(part for part in parts if part))) or "nothing about why"


def _short(text: str) -> str:
    return text if len(text) <= 300 else f"{text[:299]}…"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown


def _spoken(name: str) -> str:
    return _SPOKEN.get(name) or name.replace("_", " ")


_SHOWN = 12
_LOOK_AT_ITS_LOG = "Look at ComfyUI's own log; a custom node that is broken or out of date is the usual cause."
_MEND_IT = "Open the workflow in ComfyUI, mend it there and import it again."
_NO_MEMORY = ("out of memory", "not enough memory", "can't allocate", "failed to allocate", "allocation on device")
_BROKEN_FILE = (
    "safetensor",
    "could not detect model type",
    "headertoolarge",
    "incomplete metadata",
    "pytorchstreamreader",
    "invalid load key",
)
_FILES = {
    "ckpt_name": "checkpoint",
    "lora_name": "LoRA",
    "vae_name": "VAE",
    "control_net_name": "ControlNet",
    "model_name": "upscaling model",
    "clip_name": "text encoder",
    "clip_name1": "text encoder",
    "clip_name2": "text encoder",
    "clip_name3": "text encoder",
    "unet_name": "diffusion model",
    "style_model_name": "style model",
    "photomaker_model_name": "PhotoMaker model",
}
_SPOKEN = {"sampler_name": "sampler", "cfg": "CFG scale", "noise_seed": "seed", "batch_size": "number of pictures"}
_FIELDS = {
    "ckpt_name": "model",
    "unet_name": "model",
    "lora_name": "loras",
    "sampler_name": "sampler",
    "scheduler": "scheduler",
    "steps": "steps",
    "cfg": "cfg",
    "denoise": "denoise",
    "width": "width",
    "height": "height",
    "seed": "seed",
    "noise_seed": "seed",
    "batch_size": "count",
    "text": "prompt",
}
