"""Workflows: ComfyUI graphs with variables, each with a manifest that says what it does, what can be set and what it needs."""

from __future__ import annotations

import json
import math
import os
import re
import secrets
import shutil
from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import Field, StringConstraints, ValidationError, model_validator

from studio.contracts import Asked, Contract, Name, Prompt, Recipe
from studio.errors import (
    Conflict,
    ContractMismatch,
    FileTooLarge,
    InvalidFieldType,
    InvalidFieldValue,
    LikenessError,
    NotFound,
    from_os_error,
    from_validation,
)
from studio.files import read_yaml, sync_folder, write_atomically
from studio.graphs import MAX_GRAPH_BYTES, Graph, Node, check_files, check_wiring, escapes, fill, is_picture, link, places, variables
from studio.nodes import FaultKind, Nodes, check

Id = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(?:[-_][a-z0-9]+)*$", max_length=60)]
Value = str | int | float | bool

# The field's names and ComfyUI's; a workflow's `names` go before them.
SAMPLERS = {
    "dpmpp_2m": "dpmpp_2m",
    "dpmpp_2m_sde": "dpmpp_2m_sde",
    "euler": "euler",
    "euler_a": "euler_ancestral",
    "ddim": "ddim",
    "unipc": "uni_pc",
    "lcm": "lcm",
}
SCHEDULERS = {name: name for name in ("normal", "karras", "exponential", "sgm_uniform", "beta")}

_EXPORT_MARK = "likeness_workflow"
_GRAPH, _MANIFEST = "graph.json", "manifest.yaml"
_TRASH = ".trash"
_ID = re.compile(r"[a-z0-9]+(?:[-_][a-z0-9]+)*")
_MEND = "Mend the file or take it away."


class WorkflowKind(StrEnum):
    """What a workflow does."""

    text_to_image = "text_to_image"
    image_to_image = "image_to_image"
    inpaint = "inpaint"
    hires_fix = "hires_fix"
    upscale = "upscale"
    controlnet = "controlnet"
    reference = "reference"
    edit = "edit"
    character_sheet = "character_sheet"
    outfit = "outfit"
    repair = "repair"
    other = "other"


class WorkflowStatus(StrEnum):
    """How sure it is that a workflow works."""

    ran = "ran"  # on a real server
    schema = "schema"  # checked against the recorded nodes of a server
    template = "template"  # wired as a published template is, which needs a newer server than the recorded one
    pack = "pack"  # checked against the recorded nodes of a server and those that the sources of its node packs declare; unrun
    imported = "imported"  # a person's own


class ParameterType(StrEnum):
    """What kind of value a parameter takes, and so which control it gets."""

    text = "text"
    integer = "integer"
    number = "number"
    boolean = "boolean"
    choice = "choice"
    image = "image"  # the name of a picture that was uploaded to the server
    model = "model"  # the name of a file in one of the server's model folders


class Parameter(Asked):
    """One value of a workflow that a person can set. Without a default it must be given.

    A choice without `choices` takes what the server's node lists. Integers keep to their step, counted from 0.
    """

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)]
    label: Name
    type: ParameterType
    tooltip: Prompt = ""
    default: Value | None = None
    minimum: int | float | None = None
    maximum: int | float | None = None
    step: int | float | None = Field(None, gt=0)
    choices: tuple[str, ...] = ()
    folder: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]*$", max_length=60)] = Field(
        "", description="For models: the server's folder, as in checkpoints"
    )

    @model_validator(mode="after")
    def _default_fits(self) -> Parameter:
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"the range of {self.name} is empty")
        if self.default is not None:
            try:
                check_value(self, self.default)
            except LikenessError as error:
                raise ValueError(f"the default does not fit: {error.message}") from error
        return self


class ModelFile(Asked):
    """A file that a workflow is made for: its name in the server's folder, where it comes from, and its licence as far as known."""

    folder: Name
    file: Name
    url: str = ""
    sha256: str = ""
    licence: str = "unknown"


class NodePack(Asked):
    """Custom nodes that a workflow needs. `commit` is the one that their inputs were read at; `loads` are files that the nodes fetch or
    find by themselves, which nothing in the graph names. Licences are hints.
    """

    name: Name
    repository: str
    commit: str = "unknown"
    licence: str = "unknown"
    nodes: tuple[str, ...]
    loads: tuple[ModelFile, ...] = ()

    @property
    def install(self) -> str:
        """Which pack to install, for a sentence: its name, and the beginning of its commit."""
        return f"Install the node pack {self.name}" + (f" (commit {self.commit[:7]})" if self.commit != "unknown" else "")


class LoraHook(Asked):
    """The outputs that LoRAs are hung on: a node and the number of its output. Without `clip` only the model is changed."""

    model: tuple[str, int]
    clip: tuple[str, int] | None = None


class View(Asked):
    """One picture of a character sheet: what it is called, the prompt that makes it, and the words that say what it shows.

    Without a `caption` the name, in small letters, is taken.
    """

    name: Name
    group: Name
    prompt: Prompt
    caption: Prompt = ""


class Workflow(Asked):
    """A graph with `{{variables}}` and what there is to know about it.

    `comfyui` is the version it needs, where one is known; `names` translates the field's samplers and schedulers where this workflow
    wants others than usual; `source` says where the wiring comes from; `matches` are words in a model file's name (small letters and digits
    alone) that tell that this workflow draws with it, `not_matches` such that tell that it can't.
    """

    id: Id
    name: Name
    about: Prompt = ""
    kind: WorkflowKind = WorkflowKind.other
    family: Name = "other"
    status: WorkflowStatus = WorkflowStatus.imported
    source: Prompt = ""
    comfyui: Annotated[str, StringConstraints(pattern=r"^\d+(\.\d+)*$")] | None = None
    parameters: tuple[Parameter, ...] = ()
    models: tuple[ModelFile, ...] = ()
    matches: tuple[str, ...] = ()
    not_matches: tuple[str, ...] = ()
    packs: tuple[NodePack, ...] = ()
    loras: LoraHook | None = None
    names: dict[str, dict[str, str]] = Field(default_factory=dict)
    views: tuple[View, ...] = ()
    graph: Graph

    @property
    def node_classes(self) -> tuple[str, ...]:
        """Every class of nodes in the graph, sorted."""
        return tuple(sorted({node["class_type"] for node in self.graph.values()}))

    def parameter(self, name: str) -> Parameter | None:
        """The parameter of that name."""
        return next((parameter for parameter in self.parameters if parameter.name == name), None)

    def fits(self, file: str) -> int | None:
        """How well the name of a model file fits: the length of the longest of the words in it. None where none is, or one that mustn't."""
        plain = _plain(file)
        if any(word in plain for word in self.not_matches):
            return None
        return max((len(word) for word in self.matches if word in plain), default=None)

    def takes(self, file: str) -> bool:
        """Whether it can draw with a model file of its family: one without `matches` takes all but those of `not_matches`."""
        return self.fits(file) is not None or not (self.matches or any(word in _plain(file) for word in self.not_matches))

    @model_validator(mode="after")
    def _holds_together(self) -> Workflow:
        names = [parameter.name for parameter in self.parameters]
        used = set(variables(self.graph))
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"there are two parameters “{name}”")
            if name not in used:
                raise ValueError(f"the parameter “{name}” is nowhere in the graph")
        for name in sorted(used - set(names)):
            raise ValueError(f"the graph's variable “{name}” is no parameter")
        try:
            check_wiring(self.graph)
        except LikenessError as error:
            raise ValueError(error.message) from error
        for hook in (self.loras.model, self.loras.clip) if self.loras else ():
            if hook and hook[0] not in self.graph:
                raise ValueError(f"LoRAs hang on node {hook[0]}, which is not there")
        return self


def _plain(file: str) -> str:
    return re.sub(r"[^a-z0-9]", "", Path(file).stem.casefold())


class LackKind(StrEnum):
    """What a server lacks for a workflow."""

    server = "server"
    version = "version"
    node = "node"
    choice = "choice"
    model = "model"


class Lack(Contract):
    """One thing that a server lacks for a workflow, and what to do about it. `nodes` are all that one pack brings."""

    kind: LackKind
    name: str
    message: str
    remedy: str
    url: str = ""
    nodes: tuple[str, ...] = ()


def load_workflows(folder: Path) -> tuple[Workflow, ...]:
    """Every workflow of a folder by id: one folder each, with `graph.json` and `manifest.yaml`.

    Raises ContractMismatch naming the file and the field at fault.
    """
    return tuple(load_workflow(path.parent) for path in sorted(folder.glob(f"[!.]*/{_MANIFEST}")))


def load_workflow(folder: Path) -> Workflow:
    """The workflow in a folder that has its id for a name. Raises ContractMismatch naming the file and the field at fault."""
    try:
        said = read_yaml((folder / _MANIFEST).read_text(encoding="utf-8"))
        graph = json.loads((folder / _GRAPH).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ContractMismatch(f"{folder.name}: {_GRAPH} or {_MANIFEST} can't be read.", remedy=_MEND) from error
    if not isinstance(said, dict):
        raise ContractMismatch(f"{folder.name}/{_MANIFEST} holds no workflow.", remedy=_MEND)
    workflow = _validated({**said, "graph": graph}, folder.name)
    if workflow.id != folder.name:
        raise ContractMismatch(f"{folder.name}: its id is “{workflow.id}”, not the name of its folder.", field="id", remedy=_MEND)
    return workflow


def render(workflow: Workflow, values: Mapping[str, Value], loras: Sequence[tuple[str, float]] = ()) -> Graph:
    """The graph to post: every variable filled in, and the LoRAs (file and strength, in order) hung on.

    A lone `{{variable}}` keeps its type, one inside a text becomes part of it. Raises InvalidFieldValue or InvalidFieldType naming the
    parameter, for values that are missing, unknown, out of range, or lead out of the server's folders.
    """
    for name in values:
        if workflow.parameter(name) is None:
            known = ", ".join(parameter.name for parameter in workflow.parameters)
            raise InvalidFieldValue(f"“{workflow.name}” has nothing called “{name}”.", field=name, remedy=f"It has: {known}.")
    filled: dict[str, Value] = {}
    for parameter in workflow.parameters:
        value = values.get(parameter.name, parameter.default)
        if value is None:
            raise InvalidFieldValue(f"“{parameter.label}” is missing.", field=parameter.name, remedy="Fill it in.")
        filled[parameter.name] = check_value(parameter, value)
    graph = fill(workflow.graph, filled)
    check_files(graph)
    return _with_loras(workflow, graph, loras)


def check_value(parameter: Parameter, value: object) -> Value:
    """The value as the graph takes it (whole numbers as integers). Raises InvalidFieldType or InvalidFieldValue naming the parameter."""
    if parameter.type in {ParameterType.integer, ParameterType.number}:
        return _checked_number(parameter, value)
    wanted = bool if parameter.type is ParameterType.boolean else str
    if not isinstance(value, wanted):
        raise InvalidFieldType(
            f"“{parameter.label}” wants {'yes or no' if wanted is bool else 'a text'}.",
            field=parameter.name,
            remedy="Send the type it wants.",
        )
    if isinstance(value, str):
        _check_text(parameter, value)
    return value


def values_of(recipe: Recipe, workflow: Workflow) -> dict[str, Value]:
    """What a recipe says, in the workflow's words; what the workflow has no place for is left out.

    Files are the caller's to add: `image`, `mask`, and the model under `checkpoint` or `diffusion_model`.
    """
    said: dict[str, Value | None] = {
        "prompt": recipe.prompt,
        "negative_prompt": recipe.negative_prompt,
        "width": recipe.width,
        "height": recipe.height,
        "steps": recipe.steps,
        "cfg": recipe.cfg,
        "sampler": translated(workflow, "sampler", recipe.sampler),
        "scheduler": translated(workflow, "scheduler", recipe.scheduler),
        "seed": recipe.seed,
        "count": recipe.count,
        "denoise": recipe.denoise,
    }
    return {name: value for name, value in said.items() if value is not None and workflow.parameter(name)}


def translated(workflow: Workflow, field: str, name: str) -> str:
    """ComfyUI's name of a sampler or scheduler (`field` says which); one that is not in the tables is taken as it is."""
    table = {"sampler": SAMPLERS, "scheduler": SCHEDULERS}[field]
    return workflow.names.get(field, {}).get(name) or table.get(name, name)


def called_here(workflow: Workflow | None, field: str, theirs: str) -> str:
    """The field's own name of a sampler or scheduler that a workflow knows as `theirs`; ComfyUI's where it has none."""
    table = {"sampler": SAMPLERS, "scheduler": SCHEDULERS}[field]
    return next((ours for ours in table if (translated(workflow, field, ours) if workflow else table[ours]) == theirs), theirs)


def choices_of(workflow: Workflow, name: str, nodes: Nodes) -> tuple[str, ...]:
    """What a parameter can be on this server: its own choices, or what the node it goes to lists. Empty where anything goes."""
    parameter = workflow.parameter(name)
    if parameter is not None and parameter.choices:
        return parameter.choices
    for node_id, taker in places(workflow.graph, name):
        schema = nodes.get(workflow.graph[node_id]["class_type"])
        taken = schema.inputs.get(taker) if schema else None
        if taken and taken.choices is not None:
            return tuple(str(choice) for choice in taken.choices)
    return ()


def missing(
    workflow: Workflow,
    nodes: Nodes,
    models: Mapping[str, Collection[str]],
    *,
    values: Mapping[str, Value] | None = None,
    version: str | None = None,
) -> tuple[Lack, ...]:
    """What this server lacks for a workflow, in words; empty if it can run.

    `models` are the server's files by folder, `values` what was chosen in the place of the defaults, `version` the server's own.
    """
    chosen = {**_stand_ins(workflow), **(values or {})}
    lacks = list(lacking(workflow, nodes, models, values=chosen, version=version))
    for fault in check(render(workflow, chosen), nodes):
        if fault.kind in {FaultKind.unknown_node, FaultKind.model_missing} or not fault.blocking:
            continue
        lack = Lack(kind=LackKind.choice, name=f"{fault.class_type}.{fault.input}", message=fault.message, remedy=_update(workflow))
        if lack not in lacks:
            lacks.append(lack)
    return tuple(lacks)


def lacking(
    workflow: Workflow,
    node_classes: Container[str],
    models: Mapping[str, Collection[str]],
    *,
    values: Mapping[str, Value] | None = None,
    version: str | None = None,
    packs: Sequence[NodePack] = (),
) -> tuple[Lack, ...]:
    """What a server lacks, as far as the names of its nodes and files tell; empty if nothing is missing by name.

    `packs` are node packs known besides the workflow's own, to name where a node comes from.
    """
    lacks: list[Lack] = []
    if workflow.comfyui and version and release(version) < release(workflow.comfyui):
        told = f"“{workflow.name}” needs ComfyUI {workflow.comfyui} or newer; this server is {version}."
        lacks.append(Lack(kind=LackKind.version, name=workflow.comfyui, message=told, remedy=_update(workflow)))
    lacks += _missing_nodes(workflow, [node for node in workflow.node_classes if node not in node_classes], packs)
    chosen = {**_stand_ins(workflow), **(values or {})}
    for parameter in workflow.parameters:
        file = chosen.get(parameter.name)
        if parameter.type is not ParameterType.model or not isinstance(file, str):
            continue
        listed = models.get(listed_under(workflow, parameter))
        # A loader of which no folder is known, on servers that were not asked for its list: nobody can say.
        if file not in (listed or ()) and (parameter.folder or listed is not None):
            lacks.append(_missing_model(workflow, parameter, file, sorted(listed or ())))
    return tuple(lacks)


def listed_under(workflow: Workflow, parameter: Parameter) -> str:
    """Under which name a server's files for a parameter are kept: its folder, or `class.input` where no folder is known."""
    if parameter.folder:
        return parameter.folder
    return next((f"{workflow.graph[node]['class_type']}.{taker}" for node, taker in places(workflow.graph, parameter.name)), "")


def file_lists(workflows: Sequence[Workflow]) -> dict[str, tuple[tuple[str, str], ...]]:
    """Which inputs of which nodes list the files that workflows ask for: (class, input) by what `listed_under` gives."""
    found: dict[str, dict[tuple[str, str], None]] = {}
    for workflow in workflows:
        for parameter in workflow.parameters:
            if parameter.type is ParameterType.model:
                takers = found.setdefault(listed_under(workflow, parameter), {})
                takers |= {(workflow.graph[node]["class_type"], taker): None for node, taker in places(workflow.graph, parameter.name)}
    return {name: tuple(takers) for name, takers in found.items()}


def packs_of(workflows: Sequence[Workflow]) -> tuple[NodePack, ...]:
    """Every node pack that workflows name, each once, with all of its nodes and files that they use."""
    found: dict[str, NodePack] = {}
    for pack in (pack for workflow in workflows for pack in workflow.packs):
        known = found.setdefault(pack.repository, pack)
        whole = {"nodes": tuple(dict.fromkeys((*known.nodes, *pack.nodes))), "loads": tuple(dict.fromkeys((*known.loads, *pack.loads)))}
        found[pack.repository] = known.model_copy(update=whole)
    return tuple(found.values())


def _update(workflow: Workflow) -> str:
    return f"Update ComfyUI to {workflow.comfyui} or newer." if workflow.comfyui else "Update ComfyUI."


def save_workflow(folder: Path, workflow: Workflow, *, replacing: bool = False) -> Path:
    """Keep a workflow in `folder/<id>/`, whole or not at all; `replacing` rewrites the manifest of one that is there.

    Raises Conflict where that id is taken, DiskFull, DataRootReadOnly.
    """
    kept = folder / workflow.id
    manifest = yaml.safe_dump(_manifest(workflow), allow_unicode=True, sort_keys=False, width=120).encode()
    if replacing:
        try:
            write_atomically(kept / _MANIFEST, manifest)
        except OSError as error:
            raise from_os_error(error, "save the workflow") from error
        return kept
    if kept.exists():
        raise Conflict(f"There is a workflow “{workflow.id}” already.", field="id", remedy="Choose another name, or delete that one first.")
    unfinished = folder / f".{workflow.id}.{secrets.token_hex(4)}.tmp"
    try:
        write_atomically(unfinished / _GRAPH, _pretty(workflow.graph))
        write_atomically(unfinished / _MANIFEST, manifest)
        os.rename(unfinished, kept)
        sync_folder(folder)
    except OSError as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise from_os_error(error, "save the workflow") from error
    return kept


def delete_workflow(folder: Path, id: str) -> None:
    """Move a saved workflow to the folder's trash, in the place of an older one of that id. Raises NotFound."""
    kept = folder / id
    if not _ID.fullmatch(id) or not (kept / _MANIFEST).is_file():
        raise NotFound(f"There is no workflow of yours called “{id}”.", field="id")
    trash = folder / _TRASH
    try:
        trash.mkdir(exist_ok=True)
        shutil.rmtree(trash / id, ignore_errors=True)
        os.rename(kept, trash / id)
        sync_folder(folder)
    except OSError as error:
        raise from_os_error(error, "delete the workflow") from error


def restore_workflow(folder: Path, id: str) -> None:
    """Bring a workflow back from the folder's trash. Raises NotFound, and Conflict where its id was taken since."""
    gone = folder / _TRASH / id
    if not _ID.fullmatch(id) or not (gone / _MANIFEST).is_file():
        raise NotFound(f"There is no deleted workflow called “{id}”.", field="id")
    if (folder / id).exists():
        raise Conflict(f"There is a workflow “{id}” again.", field="id", remedy="Delete that one first.")
    try:
        os.rename(gone, folder / id)
        sync_folder(folder)
    except OSError as error:
        raise from_os_error(error, "restore the workflow") from error


def export_workflow(workflow: Workflow) -> bytes:
    """A workflow as one JSON file, which `read_workflow` reads."""
    return _pretty({_EXPORT_MARK: 1, **_manifest(workflow), "graph": workflow.graph})


def export_graph(workflow: Workflow) -> bytes:
    """The graph alone with the default of every parameter filled in, as ComfyUI's own Export (API) writes it: its page opens it."""
    return _pretty(render(workflow, _stand_ins(workflow)))


def is_exported(data: bytes) -> bool:
    """Whether a file looks like one that `export_workflow` wrote, and not like a graph of ComfyUI's own."""
    return not is_picture(data) and f'"{_EXPORT_MARK}"'.encode() in data[:200]


def read_workflow(data: bytes) -> Workflow:
    """A workflow that was exported. Raises FileTooLarge, or ContractMismatch naming the field at fault."""
    if len(data) > MAX_GRAPH_BYTES:
        raise FileTooLarge("The workflow is too large.", field="file", remedy=f"{MAX_GRAPH_BYTES >> 20} MB are allowed.")
    try:
        said = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ContractMismatch("This file is not JSON.", field="file", remedy="Give a workflow that was exported here.") from error
    if not isinstance(said, dict) or said.pop(_EXPORT_MARK, None) != 1:
        raise ContractMismatch("This file is no workflow of Likeness.", field="file", remedy="Give a workflow that was exported here.")
    return _validated(said, "the file")


def _validated(said: dict[str, object], where: str) -> Workflow:
    try:
        return Workflow.model_validate(said)
    except ValidationError as error:
        fault = from_validation(error)
        raise ContractMismatch(f"{where}: {fault.message}", field=fault.field, remedy=_MEND) from error


def _manifest(workflow: Workflow) -> dict[str, object]:
    return workflow.model_dump(mode="json", exclude={"graph"}, exclude_defaults=True)


def _pretty(said: object) -> bytes:
    return (json.dumps(said, ensure_ascii=False, indent=2) + "\n").encode()


def _checked_number(parameter: Parameter, value: object) -> Value:
    whole = parameter.type is ParameterType.integer
    if isinstance(value, bool) or not isinstance(value, int | float) or (whole and isinstance(value, float) and not value.is_integer()):
        raise InvalidFieldType(f"“{parameter.label}” wants a {'whole ' * whole}number.", field=parameter.name, remedy="Send a number.")
    low, high = parameter.minimum, parameter.maximum
    if not math.isfinite(value) or (low is not None and value < low) or (high is not None and value > high):
        limits = " and ".join(f"{word} {limit:g}" for word, limit in (("at least", low), ("at most", high)) if limit is not None)
        raise InvalidFieldValue(f"“{parameter.label}” is out of range.", field=parameter.name, remedy=f"It can be {limits or 'finite'}.")
    if whole and parameter.step and int(value) % int(parameter.step):
        raise InvalidFieldValue(
            f"“{parameter.label}” goes in steps of {parameter.step:g}.",
            field=parameter.name,
            remedy=f"Choose a multiple of {parameter.step:g}.",
        )
    return int(value) if whole else float(value)


def _check_text(parameter: Parameter, value: str) -> None:
    if "\0" in value:
        raise InvalidFieldValue(f"“{parameter.label}” can't hold null characters.", field=parameter.name)
    if parameter.choices and value not in parameter.choices:
        raise InvalidFieldValue(
            f"“{parameter.label}” can't be “{value}”.", field=parameter.name, remedy=f"Choose one of: {', '.join(parameter.choices)}."
        )
    files = parameter.type in {ParameterType.image, ParameterType.model} or parameter.name == "filename_prefix"
    if files and (not value or escapes(value)):
        raise InvalidFieldValue(
            f"“{parameter.label}” must be the name of a file on the server.",
            field=parameter.name,
            remedy="Choose it by its name, without a path.",
        )


def _with_loras(workflow: Workflow, graph: Graph, loras: Sequence[tuple[str, float]]) -> Graph:
    if not loras:
        return graph
    hook = workflow.loras
    if hook is None:
        raise InvalidFieldValue(f"“{workflow.name}” takes no LoRAs.", field="loras", remedy="Leave them out, or choose another workflow.")
    model, clip = hook.model, hook.clip
    added: Graph = {}
    for file, strength in loras:
        if not file or escapes(file) or not math.isfinite(strength):
            raise InvalidFieldValue(f"“{file}” can't be used as a LoRA.", field="loras", remedy="Choose one of the server's by its name.")
        node_id = _free(f"lora_{len(added) + 1}", graph)
        node: Node = {"class_type": "LoraLoaderModelOnly", "inputs": {"model": [*model], "lora_name": file, "strength_model": strength}}
        if clip:
            node["class_type"] = "LoraLoader"
            node["inputs"] |= {"clip": [*clip], "strength_clip": strength}
            clip = (node_id, 1)
        added[node_id], model = node, (node_id, 0)
    moved = {hook.model: model} | ({hook.clip: clip} if hook.clip and clip else {})
    return {node_id: _rewired(node, moved) for node_id, node in graph.items()} | added


def _rewired(node: Node, moved: Mapping[tuple[str, int], tuple[str, int]]) -> Node:
    inputs = dict(node["inputs"])
    for name, value in inputs.items():
        at = link(value)
        if at is not None and at in moved:
            inputs[name] = [*moved[at]]
    return {**node, "inputs": inputs}


def _free(node_id: str, graph: Graph) -> str:
    while node_id in graph:
        node_id += "_"
    return node_id


# ComfyUI brings a picture of this name.
EXAMPLE_IMAGE = "example.png"


def _stand_ins(workflow: Workflow) -> dict[str, Value]:
    # Any value of the right kind: only nodes and lists are looked at.
    kinds: dict[ParameterType, Value] = {ParameterType.text: "", ParameterType.boolean: False, ParameterType.image: EXAMPLE_IMAGE}
    found: dict[str, Value] = {}
    for parameter in workflow.parameters:
        if parameter.default is not None:
            found[parameter.name] = parameter.default
        elif parameter.type in {ParameterType.integer, ParameterType.number}:
            found[parameter.name] = parameter.minimum if parameter.minimum is not None else 0
        else:
            found[parameter.name] = kinds.get(parameter.type, parameter.choices[0] if parameter.choices else "any.safetensors")
    return found


def _missing_nodes(workflow: Workflow, nodes: Sequence[str], packs: Sequence[NodePack]) -> Iterator[Lack]:
    by_pack: dict[str, tuple[NodePack, list[str]]] = {}
    for node in nodes:
        pack = next((pack for pack in (*workflow.packs, *packs) if node in pack.nodes), None)
        if pack is not None:
            by_pack.setdefault(pack.repository, (pack, []))[1].append(node)
            continue
        since = f" It comes with ComfyUI {workflow.comfyui}." if workflow.comfyui else ""
        remedy = _update(workflow) if workflow.comfyui else "Update ComfyUI, or install the node pack that it is part of."
        yield Lack(kind=LackKind.node, name=node, message=f"This server has no node “{node}”.{since}", remedy=remedy)
    for pack, lacking_nodes in by_pack.values():
        yield missing_pack(pack, lacking_nodes)


def missing_pack(pack: NodePack, nodes: Sequence[str]) -> Lack:
    """The lack of nodes that one pack brings."""
    more = f" and {len(nodes) - 1} more of its nodes" if len(nodes) > 1 else ""
    told = f"{pack.install}: this server has no “{nodes[0]}”{more}."
    pinned = f" at commit {pack.commit}" if pack.commit != "unknown" else ""
    remedy = f"Install {pack.repository}{pinned}."
    return Lack(kind=LackKind.node, name=nodes[0], message=told, remedy=remedy, url=pack.repository, nodes=tuple(nodes))


def _missing_model(workflow: Workflow, parameter: Parameter, file: str, there: Sequence[str]) -> Lack:
    known = next((model for model in workflow.models if (model.folder, model.file) == (parameter.folder, file)), None)
    others = f" There are: {', '.join(there[:10])}{' …' if len(there) > 10 else ''}." if there else ""
    folder = f"the server's folder models/{parameter.folder}" if parameter.folder else "the folder where that node looks for its files"
    remedy = f"Put the file into {folder}" + (", or choose one that is there." if there else ".")
    return Lack(
        kind=LackKind.model,
        name=file,
        message=f"“{file}” ({parameter.label}) is not on this server.{others}",
        remedy=remedy,
        url=known.url if known else "",
    )


def release(version: str) -> tuple[int, ...]:
    """A version as numbers, which can be compared: 0.11.0 is newer than 0.3.75."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
