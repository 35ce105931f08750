"""What a ComfyUI server's nodes take and give, read from its `/object_info`, and whether a graph fits them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from pydantic import JsonValue

from studio.contracts import Contract
from studio.errors import ContractMismatch
from studio.graphs import Graph, link

WEIGHTS = (".safetensors", ".sft", ".ckpt", ".pt", ".pth", ".bin", ".gguf", ".onnx")

_PLAIN = frozenset({"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"})


@dataclass(frozen=True)
class InputSchema:
    """One input of a node. `choices` is None where any value does, or where the server doesn't say which."""

    name: str
    type: str
    required: bool
    choices: tuple[JsonValue, ...] | None = None
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    default: JsonValue = None
    multiline: bool = False
    upload: bool = False
    tooltip: str = ""

    def of_files(self, value: JsonValue = None) -> bool:
        """Whether what can be chosen are model files of the server."""
        if self.choices is None or self.upload:
            return False
        return any(isinstance(choice, str) and choice.lower().endswith(WEIGHTS) for choice in (*self.choices, value))


@dataclass(frozen=True)
class NodeSchema:
    """One class of nodes. `outputs` are types in order; `module` says where it comes from (`custom_nodes.…` is a node pack)."""

    name: str
    title: str
    inputs: dict[str, InputSchema]
    outputs: tuple[str, ...]
    is_output: bool = False
    module: str = ""


@dataclass(frozen=True)
class Nodes:
    """Every class of nodes that a server knows, by its name."""

    schemas: Mapping[str, NodeSchema]
    linked: frozenset[str] = field(default=frozenset(), repr=False)  # the types that only a link can bring

    def get(self, name: str) -> NodeSchema | None:
        return self.schemas.get(name)

    def __contains__(self, name: str) -> bool:
        return name in self.schemas


class FaultKind(StrEnum):
    """What is wrong in a graph. A missing model file is a kind of its own: it is mended by a download, not in the graph."""

    unknown_node = "unknown_node"
    unknown_input = "unknown_input"
    missing_input = "missing_input"
    wrong_link = "wrong_link"
    wrong_type = "wrong_type"
    out_of_range = "out_of_range"
    not_in_list = "not_in_list"
    model_missing = "model_missing"
    no_output = "no_output"


class Fault(Contract):
    """One thing that a server would refuse, or, for an unknown input, leave aside."""

    kind: FaultKind
    node: str
    class_type: str
    input: str
    message: str
    value: JsonValue = None

    @property
    def blocking(self) -> bool:
        """Whether the server refuses the graph for it."""
        return self.kind is not FaultKind.unknown_input


def read_nodes(said: object) -> Nodes:
    """The answer of `/object_info`, in either shape of its lists. Raises ContractMismatch where it is something else."""
    if not isinstance(said, dict) or not said:
        raise ContractMismatch("This is not ComfyUI's list of nodes.", remedy="Check the address: it must be ComfyUI's own.")
    schemas: dict[str, NodeSchema] = {}
    for name, node in said.items():
        if not isinstance(node, dict) or not isinstance(node.get("input"), dict):
            raise ContractMismatch(f"ComfyUI describes its node “{name}” in a way this studio can't read.", remedy="Update Likeness.")
        schemas[name] = NodeSchema(
            name=name,
            title=str(node.get("display_name") or name),
            inputs={schema.name: schema for schema in _inputs(node["input"])},
            outputs=tuple("COMBO" if isinstance(kind, list) else str(kind) for kind in node.get("output") or ()),
            is_output=bool(node.get("output_node")),
            module=str(node.get("python_module") or ""),
        )
    given = {kind for schema in schemas.values() for kind in schema.outputs}
    return Nodes(schemas, frozenset(given - _PLAIN - {"*"}))


def check(graph: Graph, nodes: Nodes) -> tuple[Fault, ...]:
    """Everything in a rendered graph that a server with these nodes would refuse, in the graph's order; empty if nothing."""
    faults: list[Fault] = []
    for node_id, node in graph.items():
        schema = nodes.get(node["class_type"])
        if schema is None:
            faults.append(_fault(FaultKind.unknown_node, node_id, graph, "", f"This server has no node “{node['class_type']}”."))
            continue
        for wanted in schema.inputs.values():
            if wanted.required and wanted.name not in node["inputs"] and not _flexible(wanted.type):
                faults.append(
                    _fault(FaultKind.missing_input, node_id, graph, wanted.name, f"“{wanted.name}” of {schema.title} is missing.")
                )
        for name, value in node["inputs"].items():
            wanted = schema.inputs.get(name)
            if wanted is not None:
                faults.extend(_misfits(node_id, wanted, value, graph, nodes))
            elif "." not in name:
                faults.append(_fault(FaultKind.unknown_input, node_id, graph, name, f"{schema.title} has no input “{name}”."))
    known = [nodes.get(node["class_type"]) for node in graph.values()]
    if not any(schema is None or schema.is_output for schema in known):
        told = "Nothing in this workflow is saved or shown."
        faults.append(Fault(kind=FaultKind.no_output, node="", class_type="", input="", message=told))
    return tuple(faults)


def _inputs(said: dict[str, object]) -> Iterator[InputSchema]:
    for section in ("required", "optional"):
        group = said.get(section)
        for name, spec in group.items() if isinstance(group, dict) else ():
            if not isinstance(spec, list) or not spec:
                continue
            kind, options = spec[0], spec[1] if len(spec) > 1 and isinstance(spec[1], dict) else {}
            # Older nodes give the list in the place of the type, newer ones beside the word COMBO.
            listed = kind if isinstance(kind, list) else options.get("options")
            yield InputSchema(
                name=name,
                type="COMBO" if isinstance(kind, list) else str(kind),
                required=section == "required",
                choices=tuple(listed) if isinstance(listed, list) else None,
                minimum=_number(options.get("min")),
                maximum=_number(options.get("max")),
                step=_number(options.get("step")),
                default=options.get("default"),
                multiline=bool(options.get("multiline")),
                upload=any(str(option).endswith("_upload") and on for option, on in options.items()),
                tooltip=str(options.get("tooltip") or ""),
            )


def _misfits(node_id: str, wanted: InputSchema, value: JsonValue, graph: Graph, nodes: Nodes) -> Iterator[Fault]:
    title = f"“{wanted.name}” of node {node_id} ({graph[node_id]['class_type']})"
    at = link(value)
    if at is not None:
        told = _wrong_link(at, wanted, graph, nodes)
        if told:
            yield _fault(FaultKind.wrong_link, node_id, graph, wanted.name, f"{title} {told}", value)
        return
    if wanted.type in nodes.linked:
        yield _fault(FaultKind.wrong_type, node_id, graph, wanted.name, f"{title} wants a link to a {wanted.type}.", value)
    elif wanted.type == "COMBO":
        if wanted.choices is None or wanted.upload or value in wanted.choices or isinstance(value, list):
            return
        files = wanted.of_files(value)
        among = ", ".join(str(choice) for choice in wanted.choices[:30]) or "none"
        told = f"{title} is “{value}”, which this server doesn't have. There are: {among}."
        yield _fault(FaultKind.model_missing if files else FaultKind.not_in_list, node_id, graph, wanted.name, told, value)
    elif wanted.type in {"INT", "FLOAT"}:
        number = _converted(value, wanted.type)
        if number is None:
            yield _fault(FaultKind.wrong_type, node_id, graph, wanted.name, f"{title} wants a number.", value)
        elif (wanted.minimum is not None and number < wanted.minimum) or (wanted.maximum is not None and number > wanted.maximum):
            limits = f"{_shown(wanted.minimum)} to {_shown(wanted.maximum)}"
            told = f"{title} is {number:g}, out of its range ({limits})."
            yield _fault(FaultKind.out_of_range, node_id, graph, wanted.name, told, value)
    elif wanted.type == "STRING" and (value is None or isinstance(value, list | dict)):
        yield _fault(FaultKind.wrong_type, node_id, graph, wanted.name, f"{title} wants a text.", value)


def _wrong_link(at: tuple[str, int], wanted: InputSchema, graph: Graph, nodes: Nodes) -> str:
    source = nodes.get(graph[at[0]]["class_type"]) if at[0] in graph else None
    if at[0] not in graph:
        return f"leads to node {at[0]}, which is not there."
    if source is None:
        return ""
    if not 0 <= at[1] < len(source.outputs):
        return f"leads to output {at[1]} of {source.title}, which has {len(source.outputs)}."
    given = source.outputs[at[1]]
    if _flexible(given) or _flexible(wanted.type) or set(given.split(",")) & set(wanted.type.split(",")):
        return ""
    return f"wants a {wanted.type} and gets a {given} from {source.title}."


def _flexible(kind: str) -> bool:
    # The COMFY_… types are made of other types, or take whatever they are linked to.
    return kind == "*" or kind.startswith("COMFY_")


def _converted(value: JsonValue, kind: str) -> float | None:
    # ComfyUI takes "7" for 7 as well.
    try:
        return (int if kind == "INT" else float)(value)  # pyright: ignore[reportArgumentType]  # what can't be converted is caught
    except (TypeError, ValueError, OverflowError):
        return None


def _shown(limit: float | None) -> str:
    return "any" if limit is None else f"{limit:g}"


def _number(value: object) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _fault(kind: FaultKind, node_id: str, graph: Graph, input: str, message: str, value: JsonValue = None) -> Fault:
    return Fault(kind=kind, node=node_id, class_type=graph[node_id]["class_type"], input=input, message=message, value=value)
