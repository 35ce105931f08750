"""How a person's own ComfyUI graph becomes a workflow: what could be set in it, and the chosen inputs made into parameters."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pydantic import JsonValue

from studio.contracts import Contract
from studio.errors import ContractMismatch, InvalidFieldValue, NotFound
from studio.graphs import Graph, link, variables
from studio.nodes import WEIGHTS, InputSchema, Nodes
from studio.workflows import LoraHook, NodePack, Parameter, ParameterType, Value, Workflow, WorkflowKind, WorkflowStatus

# How inputs of core nodes are called in every shipped workflow.
_NAMES = {
    "batch_size": "count",
    "amount": "count",
    "sampler_name": "sampler",
    "noise_seed": "seed",
    "guidance": "cfg",
    "ckpt_name": "checkpoint",
    "unet_name": "diffusion_model",
    "vae_name": "vae",
    "clip_name": "text_encoder",
    "clip_name1": "text_encoder",
    "clip_name2": "text_encoder_2",
    "control_net_name": "controlnet",
    "style_model_name": "style_model",
    "photomaker_model_name": "photomaker",
    "lora_name": "lora",
    "text": "prompt",
}
_FOLDERS = {
    "ckpt_name": "checkpoints",
    "unet_name": "diffusion_models",
    "vae_name": "vae",
    "clip_name": "text_encoders",
    "clip_name1": "text_encoders",
    "clip_name2": "text_encoders",
    "clip_name3": "text_encoders",
    "control_net_name": "controlnet",
    "style_model_name": "style_models",
    "photomaker_model_name": "photomaker",
    "lora_name": "loras",
}
_NODE_FOLDERS = {"CLIPVisionLoader": "clip_vision", "UpscaleModelLoader": "upscale_models", "GLIGENLoader": "gligen"}
_NODE_NAMES = {"CLIPVisionLoader": "clip_vision", "UpscaleModelLoader": "upscale_model", "LoadImageMask": "mask"}
_USUAL = frozenset(
    {"prompt", "negative_prompt", "width", "height", "steps", "cfg", "seed", "count", "denoise", "image", "mask", "checkpoint"}
)
# What the servers list is asked anew for these whenever the form is drawn; other lists are kept as they were when a graph came in.
_LISTED = frozenset({"sampler", "scheduler"})
_MOST_CHOICES = 500
_LONGEST_TIP = 500
# What these can be on every server, for when its nodes are not at hand.
_RANGES: dict[str, tuple[float | None, float | None]] = {
    "steps": (1, 150),
    "cfg": (0, 100),
    "denoise": (0, 1),
    "width": (16, 16384),
    "height": (16, 16384),
    "count": (1, 64),
    "seed": (0, 2**64 - 1),
}
_PICTURES = (".png", ".jpg", ".jpeg", ".webp")


# Nodes at a graph's end that keep something else than pictures: in ComfyUI itself, and in the pack most videos are made with.
_KEPT_ELSE = {
    **dict.fromkeys(("SaveVideo", "SaveWEBM", "VHS_VideoCombine"), "videos"),
    **dict.fromkeys(("SaveAudio", "SaveAudioMP3", "SaveAudioOpus", "PreviewAudio"), "sound"),
    **dict.fromkeys(("SaveGLB", "Preview3D"), "3D models"),
    **dict.fromkeys(("CheckpointSave", "CLIPSave", "VAESave", "ModelSave", "ImageOnlyCheckpointSave", "SaveLoRA", "LoraSave"), "weights"),
    **dict.fromkeys(("SaveLatent", "SaveTrainingDataset"), "latents"),
    **dict.fromkeys(("SaveSVGNode", "PreviewAny"), "text"),
}


class Exposable(Contract):
    """An input that could be set: where it is, what it holds now, and the parameter that it would make.

    `usual` marks the ones most people want, to be ticked from the beginning.
    """

    node: str
    input: str
    class_type: str
    title: str
    parameter: Parameter
    usual: bool


class Exposed(Contract):
    """An input that was chosen to be set, and the parameter that sets it. Several inputs may share one parameter."""

    node: str
    input: str
    parameter: Parameter


def inputs_of(graph: Graph, nodes: Nodes | None = None) -> tuple[Exposable, ...]:
    """Every input that holds a plain value, with a parameter guessed for it: from the server's nodes where they are known, else from
    the value. Names are the ones that presets and forms use (`prompt`, `steps`, `seed` …), each once.
    """
    negative = negative_nodes(graph)
    taken: set[str] = set()
    found: list[Exposable] = []
    for node_id, node in graph.items():
        schema = nodes.get(node["class_type"]) if nodes else None
        title = (node.get("_meta") or {}).get("title") or (schema.title if schema else node["class_type"])
        for input_name, value in node["inputs"].items():
            if not isinstance(value, str | int | float | bool) or link(value):
                continue
            known = schema.inputs.get(input_name) if schema else None
            name = _free(_name(node["class_type"], input_name, node_id in negative), taken)
            taken.add(name)
            parameter = _guess(name, node["class_type"], input_name, value, known, title)
            found.append(
                Exposable(
                    node=node_id,
                    input=input_name,
                    class_type=node["class_type"],
                    title=title,
                    parameter=parameter,
                    usual=name in _USUAL,
                )
            )
    return tuple(found)


def check_ends_in_picture(graph: Graph, nodes: Nodes | None = None) -> None:
    """See that a graph makes a picture, as far as its nodes are known. Raises ContractMismatch saying what it makes in its place."""
    taken = {at[0] for node in graph.values() for value in node["inputs"].values() if (at := link(value))}
    ends = {node["class_type"] for node_id, node in graph.items() if node_id not in taken}
    else_kept = sorted({_KEPT_ELSE[kind] for kind in ends if kind in _KEPT_ELSE})
    for node in graph.values():
        kind = node["class_type"]
        schema = nodes.get(kind) if nodes else None
        # What a node nobody knows does at the end of a graph may be to save.
        if kind not in _KEPT_ELSE and (schema.is_output if schema else kind in ends):
            return
    told = f"This workflow makes {' and '.join(else_kept)}, and no picture." if else_kept else "Nothing in this workflow saves a picture."
    raise ContractMismatch(told, field="file", remedy="Let it end in a Save Image node in ComfyUI, and export it again.")


def expose(
    graph: Graph,
    choices: Sequence[Exposed],
    *,
    workflow_id: str,
    name: str,
    about: str = "",
    kind: WorkflowKind = WorkflowKind.other,
    family: str = "other",
    packs: tuple[NodePack, ...] = (),
) -> Workflow:
    """A workflow of a graph, with variables in the place of the chosen inputs.

    LoRAs are hung on the model (and text encoder) that the first loader gives, if there is one. Raises NotFound for an input that is
    not there, and InvalidFieldValue where two parameters of one name differ or a text that was not chosen holds a `{{variable}}`.
    """
    parameters: dict[str, Parameter] = {}
    changed: Graph = {node_id: {**node, "inputs": dict(node["inputs"])} for node_id, node in graph.items()}
    for choice in choices:
        if choice.node not in graph or choice.input not in graph[choice.node]["inputs"]:
            raise NotFound(f"Node {choice.node} has no input “{choice.input}”.", field=f"{choice.node}.{choice.input}")
        parameter = choice.parameter
        if parameters.setdefault(parameter.name, parameter) != parameter:
            told = f"Two inputs are both called “{parameter.name}” and differ."
            raise InvalidFieldValue(told, field=parameter.name, remedy="Give one of them another name, or the same settings.")
        changed[choice.node]["inputs"][choice.input] = "{{" + parameter.name + "}}"
    left = {node_id: {**node, "inputs": _unchosen(node_id, node["inputs"], choices)} for node_id, node in graph.items()}
    for stray in variables(left):  # pyright: ignore[reportArgumentType]  # the same nodes with fewer inputs
        told = f"The workflow holds the text “{{{{{stray}}}}}”, which would be read as a variable."
        raise InvalidFieldValue(told, field="file", remedy="Choose that input too, or change the text in ComfyUI.")
    return Workflow(
        id=workflow_id,
        name=name,
        about=about,
        kind=kind,
        family=family,
        status=WorkflowStatus.imported,
        parameters=tuple(parameters.values()),
        packs=packs,
        loras=_lora_hook(graph),
        graph=changed,
    )


def workflow_id(name: str) -> str:
    """An id made of a workflow's name: lower-case letters, digits and hyphens."""
    words = re.sub(r"[^a-z0-9]+", "-", name.casefold()).strip("-")
    return words[:60].strip("-") or "workflow"


def _unchosen(node_id: str, inputs: dict[str, JsonValue], choices: Sequence[Exposed]) -> dict[str, JsonValue]:
    gone = {choice.input for choice in choices if choice.node == node_id}
    return {name: value for name, value in inputs.items() if name not in gone}


def _name(class_type: str, input_name: str, negative: bool) -> str:
    name = _NODE_NAMES.get(class_type) or _NAMES.get(input_name) or re.sub(r"[^a-z0-9]+", "_", input_name.lower()).strip("_")
    if name == "prompt" and negative:
        return "negative_prompt"
    return name[:36] if re.match(r"[a-z]", name) else f"value_{name}"[:36]


def _free(name: str, taken: set[str]) -> str:
    number, free = 2, name
    while free in taken:
        free, number = f"{name}_{number}", number + 1
    return free


def _guess(name: str, class_type: str, input_name: str, value: Value, known: InputSchema | None, title: str) -> Parameter:
    kind = _kind(class_type, input_name, value, known)
    numeric = kind in {ParameterType.integer, ParameterType.number}
    choices = tuple(map(str, known.choices or ())) if known and kind is ParameterType.choice else ()
    if name in _LISTED or len(choices) > _MOST_CHOICES or value not in choices:
        choices = ()
    default: Value | None = float(value) if kind is ParameterType.number and isinstance(value, int) else value
    if kind is ParameterType.image:
        default = None
    step = known.step if known and numeric and (known.step or 0) > 0 else None
    if kind is ParameterType.integer and (not step or step <= 1 or (isinstance(value, int) and value % int(step))):
        step = None
    low, high = (known.minimum, known.maximum) if known and numeric else _RANGES.get(name, (None, None)) if numeric else (None, None)
    if isinstance(value, int | float) and ((low is not None and value < low) or (high is not None and value > high)):
        low = high = None
    if low is not None and high is not None and low > high:
        low = high = None
    return Parameter(
        name=name,
        label=f"{name.replace('_', ' ').capitalize()} ({title})"[:200],
        type=kind,
        tooltip=_plain(known.tooltip)[:_LONGEST_TIP] if known else "",
        default=default,
        minimum=low,
        maximum=high,
        step=step,
        choices=choices,
        folder=_NODE_FOLDERS.get(class_type) or _FOLDERS.get(input_name, "") if kind is ParameterType.model else "",
    )


def _plain(words: str) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in words).split())


def _kind(class_type: str, input_name: str, value: Value, known: InputSchema | None) -> ParameterType:
    if isinstance(value, bool):
        return ParameterType.boolean
    if isinstance(value, str):
        if (known and known.upload) or (class_type.startswith("LoadImage") and input_name == "image"):
            return ParameterType.image
        if (known and known.of_files(value)) or value.lower().endswith(WEIGHTS):
            return ParameterType.model
        if not known and value.lower().endswith(_PICTURES):
            return ParameterType.image
        listed = known.type == "COMBO" if known else input_name in {"sampler_name", "scheduler"}
        return ParameterType.choice if listed else ParameterType.text
    whole = known.type == "INT" if known and known.type in {"INT", "FLOAT"} else isinstance(value, int)
    return ParameterType.integer if whole else ParameterType.number


def negative_nodes(graph: Graph) -> set[str]:
    """The nodes whose words lead to a sampler's `negative` and not to a `positive` too."""
    sides: dict[str, set[str]] = {"negative": set(), "positive": set()}
    for side, reached in sides.items():
        waiting = [at[0] for node in graph.values() for name, value in node["inputs"].items() if name == side and (at := link(value))]
        while waiting:
            node_id = waiting.pop()
            if node_id in reached or node_id not in graph:
                continue
            reached.add(node_id)
            inputs = graph[node_id]["inputs"]
            # A node with both sides, such as a ControlNet, keeps them apart.
            ways = [inputs[side]] if side in inputs else list(inputs.values())
            waiting += [at[0] for value in ways if (at := link(value))]
    return sides["negative"] - sides["positive"]


def _lora_hook(graph: Graph) -> LoraHook | None:
    classes = {node["class_type"]: node_id for node_id, node in reversed(graph.items())}
    if "CheckpointLoaderSimple" in classes:
        return LoraHook(model=(classes["CheckpointLoaderSimple"], 0), clip=(classes["CheckpointLoaderSimple"], 1))
    if "UNETLoader" in classes:
        clip = (classes["DualCLIPLoader"], 0) if "DualCLIPLoader" in classes else None
        return LoraHook(model=(classes["UNETLoader"], 0), clip=clip)
    return None
