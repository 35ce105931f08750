"""What people do with workflows: see which run here, take in their own, name, export, throw away and bring back."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from pydantic import Field, ValidationError

from studio.contracts import Asked, Contract, Inventory, Name, Prompt
from studio.errors import Conflict, InvalidFieldValue, NotFound, SafetyFilter, from_validation
from studio.graphs import Graph, lone, places, read_api_graph, texts
from studio.imports import Exposable, Exposed, check_ends_in_picture, expose, inputs_of, negative_nodes, workflow_id
from studio.remote import Remote, offline
from studio.safety_nodes import Faces, check_nodes, faces_of
from studio.workflows import (
    Lack,
    LackKind,
    ModelFile,
    NodePack,
    Parameter,
    ParameterType,
    Value,
    Workflow,
    WorkflowKind,
    WorkflowStatus,
    delete_workflow,
    export_graph,
    export_workflow,
    is_exported,
    lacking,
    listed_under,
    missing_pack,
    packs_of,
    read_workflow,
    release,
    restore_workflow,
    save_workflow,
)

T = TypeVar("T")
_MAIN = ("checkpoint", "diffusion_model")
# What the server lists for these goes by other names than a folder's.
_LISTS = {"sampler": "samplers", "scheduler": "schedulers"}


class WorkflowParameter(Parameter):
    """A parameter and what it can be on the servers as last seen: `options` is empty where anything goes or nothing is known."""

    options: tuple[str, ...] = ()


class WorkflowView(Contract):
    """A workflow without its graph. `runs` says whether the servers have all it needs; `lacks` says what they don't."""

    id: str
    name: str
    about: str
    kind: WorkflowKind
    family: str
    status: WorkflowStatus
    source: str
    comfyui: str | None
    own: bool = Field(description="a person's own, which can be changed and deleted")
    takes_loras: bool
    nodes: tuple[str, ...]
    parameters: tuple[WorkflowParameter, ...]
    models: tuple[ModelFile, ...]
    packs: tuple[NodePack, ...]
    runs: bool
    lacks: tuple[Lack, ...]


class Choice(Asked):
    """An input that is to be set from the form. What is left out is guessed from the value that it holds now."""

    node: Name
    input: Name
    name: str | None = None
    label: Name | None = None
    tooltip: Prompt | None = None
    minimum: int | float | None = None
    maximum: int | float | None = None
    step: int | float | None = None


class ImportChoices(Asked):
    """How a graph is to be kept. Without `expose` the inputs that most people set are taken; an exported workflow brings its own."""

    name: Name | None = None
    about: Prompt | None = None
    expose: tuple[Choice, ...] | None = Field(None, max_length=100)


class WorkflowChange(Asked):
    """What is to change of a workflow of one's own; `labels` are by the names of parameters. What is left out stays."""

    name: Name | None = None
    about: Prompt | None = None
    labels: dict[Name, Name] = Field(default_factory=dict, max_length=200)


class Inspected(Contract):
    """What a file holds before it is taken in. `missing_nodes` are classes that no server has; None where no server was seen;
    `missing_packs` says of those that are known which pack brings them.

    `exported` is true for a workflow that Likeness wrote: its parameters are chosen already, and `inputs` is empty.
    """

    name: str
    exported: bool
    inputs: tuple[Exposable, ...]
    nodes: tuple[str, ...]
    missing_nodes: tuple[str, ...] | None
    missing_packs: tuple[Lack, ...] = ()


class ExportForm(StrEnum):
    """How a workflow is written: with all that Likeness knows of it, or its graph alone as ComfyUI's Export (API) writes one."""

    likeness = "likeness"
    api = "api"


class Workshop:
    """The workflows of one studio. Own ones lie in the shelf's own folder; asks no server."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote
        self._shelf = remote.shelf

    def views(self) -> tuple[WorkflowView, ...]:
        """Every workflow by name, those that run on the servers first."""
        inventory = self._remote.inventory()
        workflows = self._shelf.workflows()
        packs = packs_of(workflows)
        found = [self._view(workflow, inventory, packs) for workflow in workflows]
        return tuple(sorted(found, key=lambda view: (not view.runs, view.name.casefold())))

    def workflows(self) -> tuple[Workflow, ...]:
        """Every workflow with its graph, by id."""
        return self._shelf.workflows()

    def workflow(self, name: str) -> Workflow:
        """One workflow with its graph, by its id or name. Raises NotFound."""
        return self._shelf.workflow(name)

    def view(self, name: str) -> WorkflowView:
        """One workflow by its id or name. Raises NotFound."""
        return self._view(self._shelf.workflow(name), self._remote.inventory(), self._remote.packs())

    def inspect(self, data: bytes, filename: str = "") -> Inspected:
        """What could be set in a file: JSON of ComfyUI's Export (API), a picture that ComfyUI saved, or a workflow that was exported here.

        Raises ContractMismatch (also for a graph that makes no picture), FileTooLarge, InvalidFieldValue, and SafetyFilter for a graph
        that swaps faces.
        """
        name = Path(filename).stem.replace("_", " ").strip()[:100]
        inventory = self._remote.inventory()
        if is_exported(data):
            workflow = read_workflow(data)
            check_nodes(workflow.graph)
            check_ends_in_picture(workflow.graph, self._remote.nodes_of(workflow.graph))
            return self._inspected(workflow.name, workflow.graph, (), inventory, exported=True)
        graph = read_api_graph(data)
        check_nodes(graph)
        nodes = self._remote.nodes_of(graph)
        check_ends_in_picture(graph, nodes)
        return self._inspected(name, graph, inputs_of(graph, nodes), inventory, exported=False)

    def take_in(self, data: bytes, choices: ImportChoices, filename: str = "") -> WorkflowView:
        """Keep a file's graph as a workflow of one's own, under an id that nobody has. Raises as `inspect` does, SafetyFilter for a text
        that crosses a line, NotFound for an input that is not there, InvalidFieldValue, DiskFull, DataRootReadOnly.
        """
        if is_exported(data):
            said = read_workflow(data)
            # The same limits hold for the values of a graph, whoever wrote it.
            read_api_graph(json.dumps(said.graph).encode())
            check_ends_in_picture(said.graph, self._remote.nodes_of(said.graph))
            changes = {"status": WorkflowStatus.imported, "name": choices.name or said.name, "id": self._free_id(choices.name or said.id)}
            _check_pictures(said)
            workflow = said.model_copy(update=changes | ({} if choices.about is None else {"about": choices.about}))
        else:
            graph = read_api_graph(data)
            name = choices.name or Path(filename).stem.replace("_", " ").strip()[:100] or "My workflow"
            nodes = self._remote.nodes_of(graph)
            check_ends_in_picture(graph, nodes)
            exposed = _chosen(inputs_of(graph, nodes), choices.expose)
            about, packs = choices.about or "", _named(self._remote.packs(), graph)
            workflow = _kept(lambda: expose(graph, exposed, workflow_id=self._free_id(name), name=name, about=about, packs=packs))
        check_texts(workflow)
        save_workflow(self._shelf.own, workflow)
        return self.view(workflow.id)

    def export(self, name: str, form: ExportForm = ExportForm.likeness) -> tuple[str, bytes]:
        """A workflow as one JSON file that can be taken in again, or as ComfyUI opens it: its name and its bytes. Raises NotFound."""
        workflow = self._shelf.workflow(name)
        if form is ExportForm.api:
            return f"{workflow.id}-comfyui.json", export_graph(workflow)
        return f"{workflow.id}.json", export_workflow(workflow)

    def change(self, name: str, change: WorkflowChange) -> WorkflowView:
        """Change the words of a workflow of one's own. Raises NotFound, InvalidFieldValue, SafetyFilter, and Conflict for a shipped one."""
        workflow = self._own(name, "changed")
        for parameter in change.labels:
            if workflow.parameter(parameter) is None:
                known = ", ".join(each.name for each in workflow.parameters)
                raise InvalidFieldValue(f"“{workflow.name}” has nothing called “{parameter}”.", field="labels", remedy=f"It has: {known}.")
        parameters = tuple(
            each.model_copy(update={"label": change.labels[each.name]}) if each.name in change.labels else each
            for each in workflow.parameters
        )
        words = {key: value for key, value in (("name", change.name), ("about", change.about)) if value is not None}
        changed = workflow.model_copy(update={**words, "parameters": parameters})
        save_workflow(self._shelf.own, changed, replacing=True)
        return self.view(changed.id)

    def delete(self, name: str) -> WorkflowView:
        """Move a workflow of one's own to the trash; gives it as it was. Raises NotFound, and Conflict for a shipped one."""
        workflow = self._own(name, "deleted")
        gone = self.view(workflow.id)
        delete_workflow(self._shelf.own, workflow.id)
        return gone

    def restore(self, name: str) -> WorkflowView:
        """Bring a deleted workflow back. Raises NotFound, and Conflict where its id was taken since."""
        restore_workflow(self._shelf.own, name)
        return self.view(name)

    def _own(self, name: str, act: str) -> Workflow:
        workflow = self._shelf.workflow(name)
        if not self._is_own(workflow):
            raise Conflict(
                f"“{workflow.name}” comes with Likeness and can't be {act}.", remedy="Export it, and import the file as one of your own."
            )
        return workflow

    def _is_own(self, workflow: Workflow) -> bool:
        return (self._shelf.own / workflow.id / "manifest.yaml").is_file()

    def _free_id(self, name: str) -> str:
        wanted = workflow_id(name)
        taken = {workflow.id for workflow in self._shelf.workflows()}
        number, free = 2, wanted
        while free in taken or (self._shelf.own / free).exists():
            free, number = f"{wanted[:55]}-{number}", number + 1
        return free

    def _inspected(self, name: str, graph: Graph, inputs: tuple[Exposable, ...], inventory: Inventory, *, exported: bool) -> Inspected:
        nodes = tuple(sorted({node["class_type"] for node in graph.values()}))
        missing = tuple(node for node in nodes if node not in inventory.nodes) if inventory.nodes else None
        by_pack = ((pack, [node for node in missing or () if node in pack.nodes]) for pack in self._remote.packs())
        lacks = tuple(missing_pack(pack, lacking_nodes) for pack, lacking_nodes in by_pack if lacking_nodes)
        return Inspected(
            name=name or "My workflow", exported=exported, inputs=inputs, nodes=nodes, missing_nodes=missing, missing_packs=lacks
        )

    def _view(self, workflow: Workflow, inventory: Inventory, packs: Sequence[NodePack]) -> WorkflowView:
        lacks = self._lacks(workflow, inventory, packs)
        return WorkflowView(
            **{
                name: getattr(workflow, name)
                for name in ("id", "name", "about", "kind", "family", "status", "source", "comfyui", "models", "packs")
            },
            own=self._is_own(workflow),
            takes_loras=workflow.loras is not None,
            nodes=workflow.node_classes,
            parameters=tuple(
                WorkflowParameter(**dict(parameter), options=options_of(workflow, parameter, inventory))
                for parameter in workflow.parameters
            ),
            runs=not lacks,
            lacks=lacks,
        )

    def _lacks(self, workflow: Workflow, inventory: Inventory, packs: Sequence[NodePack]) -> tuple[Lack, ...]:
        reachable = [server for server in inventory.servers if server.state == "reachable"]
        if not reachable:
            why = offline(inventory)
            return (Lack(kind=LackKind.server, name="ComfyUI", message=why.message, remedy=why.remedy),)
        values: dict[str, Value] = {}
        for parameter in workflow.parameters:
            # Another model of the same kind does as well, so the model itself is no lack while there is one to choose.
            there = inventory.files.get(parameter.folder, ())
            if parameter.name in _MAIN and workflow.status is WorkflowStatus.imported and parameter.default not in there and there:
                values[parameter.name] = there[0]
        version = max((server.version for server in reachable), key=release)
        return lacking(workflow, inventory.nodes, inventory.files, values=values, version=version, packs=packs)


def check_texts(workflow: Workflow) -> None:
    """Hold the safety rules against a graph: nodes that swap faces, and every text in it, defaults among them. Raises SafetyFilter."""
    from studio.safety import check

    check_nodes(workflow.graph)
    check_faces(workflow)
    defaults = [
        parameter.default
        for parameter in workflow.parameters
        # What a picture must not show is replaced by the form's own words before it is drawn.
        if isinstance(parameter.default, str) and parameter.default and not (parameter.name == "negative_prompt" and unread(workflow))
    ]
    try:
        check([*texts(workflow.graph), *defaults])
    except SafetyFilter as error:
        raise SafetyFilter(
            f"A text in this workflow can't be used. {error.message}",
            field="file",
            remedy="Change that text in ComfyUI, and export it again.",
        ) from error


def check_faces(workflow: Workflow) -> None:
    """See that whoever lends a face to a workflow, and whoever it would be given to, is asked for. Raises SafetyFilter."""
    for faces in faces_of(workflow.graph):
        for loader in sorted(_all(faces)):
            if picture_of(workflow, loader) is None:
                raise SafetyFilter(
                    f"Node {faces.node} ({workflow.graph[faces.node]['class_type'][:60]}) draws the face of a person, and nobody can say "
                    f"whose: node {loader} holds it, or the picture it goes into.",
                    field="file",
                    remedy="Choose that node's picture as an input that can be set: then you are asked whose it is.",
                )


def face_pictures(workflow: Workflow) -> tuple[frozenset[str], ...]:
    """For each face that is put into other pictures: the parameters of all pictures concerned, who must all be one person."""
    found = [faces for faces in faces_of(workflow.graph) if faces.into]
    return tuple(frozenset(name for each in _all(faces) if (name := picture_of(workflow, each))) for faces in found)


def picture_of(workflow: Workflow, node_id: str) -> str | None:
    """The parameter that says which picture a node loads; None where none does."""
    for value in workflow.graph[node_id]["inputs"].values():
        parameter = workflow.parameter(lone(value) or "") if isinstance(value, str) else None
        if parameter is not None and parameter.type is ParameterType.image:
            return parameter.name
    return None


def _all(faces: Faces) -> frozenset[str]:
    return faces.given | faces.into


def _check_pictures(workflow: Workflow) -> None:
    """See that what a node loads as a picture is one of the library: only of those people are asked about. Raises InvalidFieldValue."""
    for parameter in workflow.parameters:
        for node_id, taker in places(workflow.graph, parameter.name):
            loads = workflow.graph[node_id]["class_type"].startswith("LoadImage") and taker == "image"
            if loads and parameter.type is not ParameterType.image:
                raise InvalidFieldValue(
                    f"“{parameter.label}” loads a picture and is no parameter of the type image.",
                    field=parameter.name,
                    remedy="Change its type to image.",
                )


def unread(workflow: Workflow) -> bool:
    """Whether the negative prompt of a workflow reaches nothing but samplers' negative sides: what pictures must not show."""
    if workflow.status is not WorkflowStatus.imported:
        return True
    away = negative_nodes(workflow.graph)
    return all(node_id in away for node_id, node in workflow.graph.items() if "negative_prompt" in json.dumps(node["inputs"]))


def options_of(workflow: Workflow, parameter: Parameter, inventory: Inventory) -> tuple[str, ...]:
    """What a parameter can be on the servers, as far as the last look at them tells."""
    if parameter.choices:
        return parameter.choices
    if parameter.type is ParameterType.model:
        return inventory.files.get(listed_under(workflow, parameter), ())
    return inventory.files.get(_LISTS.get(parameter.name, ""), ()) if parameter.type is ParameterType.choice else ()


def _named(packs: Sequence[NodePack], graph: Graph) -> tuple[NodePack, ...]:
    """The packs that a graph's nodes are known to be part of, with those nodes alone."""
    classes = sorted({node["class_type"] for node in graph.values()})
    used = ((pack, tuple(name for name in classes if name in pack.nodes)) for pack in packs)
    return tuple(pack.model_copy(update={"nodes": nodes}) for pack, nodes in used if nodes)


def _chosen(inputs: Sequence[Exposable], choices: Sequence[Choice] | None) -> list[Exposed]:
    known = {(each.node, each.input): each for each in inputs}
    if choices is None:
        return [Exposed(node=each.node, input=each.input, parameter=each.parameter) for each in known.values() if each.usual]
    found: list[Exposed] = []
    for choice in choices:
        guess = known.get((choice.node, choice.input))
        if guess is None:
            raise NotFound(
                f"Node {choice.node} has no input “{choice.input}” that could be set.",
                field=f"{choice.node}.{choice.input}",
                remedy="Inspect the file first: it lists them.",
            )
        found.append(Exposed(node=choice.node, input=choice.input, parameter=_as_chosen(guess.parameter, choice)))
    return found


def _as_chosen(parameter: Parameter, choice: Choice) -> Parameter:
    said = choice.model_dump(exclude={"node", "input"}, exclude_none=True)
    if not said:
        return parameter
    return _kept(lambda: Parameter.model_validate({**parameter.model_dump(), **said}))


def _kept(make: Callable[[], T]) -> T:
    try:
        return make()
    except ValidationError as error:
        raise from_validation(error) from error
