"""A ComfyUI workflow as its API reads it: nodes by id, each with its class and its inputs. Plain values; no server is asked here."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath, PureWindowsPath
from typing import NotRequired

from PIL import Image
from pydantic import JsonValue
from typing_extensions import TypedDict

from studio.errors import ContractMismatch, FileTooLarge, InvalidFieldValue
from studio.metadata import UNREADABLE, own_limits

MAX_GRAPH_BYTES = 4 * 2**20
MAX_PICTURE_BYTES = 64 * 2**20
MAX_NODES = 2_000
MAX_TEXT = 100_000
MAX_DEPTH = 20

EXPORT = "In ComfyUI choose Workflow → Export (API), and give the file that this writes."

_PICTURE = re.compile(rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|RIFF....WEBP", re.DOTALL)
# ComfyUI's nodes for WebP write `prompt:{…}` and `workflow:{…}` into EXIF fields meant for a camera's name; others use the comment.
_EXIF_FOLDER, _COMMENT = 0x8769, 0x9286
_COMMENT_CODES = {b"ASCII\0\0\0": "utf-8", b"UNICODE\0": "utf-16", b"\0" * 8: "utf-8"}
_VARIABLE = re.compile(r"\{\{ *([a-z][a-z0-9_]*) *\}\}")
# Inputs whose words are read, not opened: a path in them is only a word.
_WORDS = frozenset(
    {"text", "text_g", "text_l", "prompt", "negative_prompt", "positive", "negative", "clip_l", "t5xxl", "caption", "system_prompt"}
)


class Meta(TypedDict):
    """What the person wrote above a node."""

    title: str


class Node(TypedDict):
    """One node: its class, and its inputs by name. An input that is a list of an id and a number is a link to that node's output."""

    class_type: str
    inputs: dict[str, JsonValue]
    _meta: NotRequired[Meta]


Graph = dict[str, Node]


def read_api_graph(data: bytes) -> Graph:
    """The graph in a person's file: JSON as ComfyUI's Export (API) writes it, a posted `{"prompt": …}`, or a picture that ComfyUI saved
    (a PNG with its text, a WebP or JPEG with its EXIF).

    Raises FileTooLarge, ContractMismatch for what is no API graph (with how to export one), and InvalidFieldValue naming `node.input`
    for a value that can't be used.
    """
    said = _read(data)
    if not isinstance(said, dict):
        raise ContractMismatch("This file holds no workflow.", field="file", remedy=EXPORT)
    if isinstance(said.get("nodes"), list):
        raise ContractMismatch("This workflow is saved as ComfyUI's page shows it, not as its API reads it.", field="file", remedy=EXPORT)
    inner = said.get("prompt")
    if isinstance(inner, dict) and "class_type" not in inner:
        said = inner
    if not said:
        raise ContractMismatch("This workflow has no nodes.", field="file", remedy=EXPORT)
    if len(said) > MAX_NODES:
        raise FileTooLarge(f"This workflow has {len(said)} nodes; {MAX_NODES} are allowed.", field="file", remedy="Leave parts of it out.")
    graph = {node_id: _node(node_id, node) for node_id, node in said.items()}
    check_wiring(graph)
    check_files(graph)
    return graph


def check_files(graph: Graph) -> None:
    """See that nothing in a graph but its words leads out of ComfyUI's folders. Raises InvalidFieldValue naming `node.input`."""
    for node_id, name, text in _strings(graph):
        if name not in _WORDS and escapes(text):
            raise InvalidFieldValue(
                f"Node {node_id} ({graph[node_id]['class_type']}) reaches for “{text[:100]}”, outside ComfyUI's own folders.",
                field=f"{node_id}.{name}",
                remedy="Put the file into ComfyUI's folders and choose it there by its name.",
            )


def check_wiring(graph: Graph) -> None:
    """See that every link leads to a node and that none goes in a circle. Raises InvalidFieldValue or ContractMismatch."""
    before: dict[str, list[str]] = {}
    for node_id, node in graph.items():
        before[node_id] = []
        for name, value in node["inputs"].items():
            at = link(value)
            if at is None:
                continue
            if at[0] not in graph:
                raise InvalidFieldValue(
                    f"Node {node_id} ({node['class_type']}) takes its “{name}” from node {at[0]}, which is not there.",
                    field=f"{node_id}.{name}",
                    remedy=EXPORT,
                )
            before[node_id].append(at[0])
    done: set[str] = set()
    for start in graph:
        # A walk with a stack of its own: a long chain must not end at Python's limit.
        path, waiting = [start], [iter(before[start])]
        while path and start not in done:
            following = next((node_id for node_id in waiting[-1] if node_id not in done), None)
            if following is None:
                done.add(path.pop())
                waiting.pop()
            elif following in path:
                circle = " → ".join([*path[path.index(following) :], following])
                raise ContractMismatch(f"The links of this workflow go in a circle: {circle}.", field="file", remedy=EXPORT)
            else:
                path.append(following)
                waiting.append(iter(before[following]))


def link(value: JsonValue) -> tuple[str, int] | None:
    """The node and the number of its output that a value is a link to; None for a plain value."""
    if (
        isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], int)
        and not isinstance(value[1], bool)
    ):
        return value[0], value[1]
    return None


def variables(graph: Graph) -> tuple[str, ...]:
    """The names of every `{{variable}}` in a graph, in the order in which they first occur."""
    return tuple(dict.fromkeys(name for _, _, text in _strings(graph) for name in _VARIABLE.findall(text)))


def texts(graph: Graph) -> tuple[str, ...]:
    """Every text in a graph, once each: whatever can reach a text encoder or a picture, and the names of files and choices too.

    The safety rules read all of them: which input of an unknown node is painted with can't be known.
    """
    return tuple(dict.fromkeys(text for _, _, text in _strings(graph) if text.strip()))


def places(graph: Graph, variable: str) -> tuple[tuple[str, str], ...]:
    """Where a variable stands alone: the nodes and inputs that take its value as it is."""
    return tuple((node_id, name) for node_id, name, text in _strings(graph) if lone(text) == variable)


def lone(text: str) -> str | None:
    """The variable that a text consists of, if it is nothing else."""
    found = _VARIABLE.fullmatch(text)
    return found.group(1) if found else None


def fill(graph: Graph, values: Mapping[str, str | int | float | bool]) -> Graph:
    """The graph with values in the place of variables. Values are put in as they are and never read for variables themselves."""

    def put(value: JsonValue) -> JsonValue:
        if isinstance(value, str):
            alone = lone(value)
            return values[alone] if alone else _VARIABLE.sub(lambda found: str(values[found.group(1)]), value)
        if link(value):
            return value
        if isinstance(value, list):
            return [put(item) for item in value]
        if isinstance(value, dict):
            return {key: put(item) for key, item in value.items()}
        return value

    return {node_id: {**node, "inputs": {name: put(value) for name, value in node["inputs"].items()}} for node_id, node in graph.items()}


def escapes(text: str) -> bool:
    """Whether a text, taken for a file's name, leads out of the folder it belongs to."""
    if text.startswith(("/", "\\", "~")) or PureWindowsPath(text).drive:
        return True
    return ".." in PurePosixPath(text.replace("\\", "/")).parts


def is_picture(data: bytes) -> bool:
    """Whether a file begins like a PNG, JPEG or WebP."""
    return _PICTURE.match(data) is not None


def _read(data: bytes) -> object:
    if is_picture(data):
        return _read_picture(data)
    if len(data) > MAX_GRAPH_BYTES:
        raise FileTooLarge(
            f"A workflow of {len(data) / 2**20:.0f} MB can't be read; {MAX_GRAPH_BYTES >> 20} MB are allowed.", field="file", remedy=EXPORT
        )
    try:
        return _parse(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ContractMismatch("This file is neither JSON nor a PNG, WebP or JPEG.", field="file", remedy=EXPORT) from error


def _read_picture(data: bytes) -> object:
    if len(data) > MAX_PICTURE_BYTES:
        raise FileTooLarge(f"The picture has {len(data) >> 20} MB; {MAX_PICTURE_BYTES >> 20} are allowed.", field="file", remedy=EXPORT)
    try:
        with own_limits(), Image.open(io.BytesIO(data)) as picture:
            said = _exif_texts(picture) | dict(picture.info)
    except (*UNREADABLE, Image.DecompressionBombError) as error:
        raise ContractMismatch("This picture is broken.", field="file", remedy=EXPORT) from error
    text = said.get("prompt")
    if not isinstance(text, str):
        shown = " only as ComfyUI's page shows it" if "workflow" in said else ""
        message = f"This picture carries its workflow{shown}." if shown else "This picture carries no workflow."
        raise ContractMismatch(message, field="file", remedy=EXPORT)
    if len(text) > MAX_GRAPH_BYTES:
        raise FileTooLarge("The workflow in this picture is too large.", field="file", remedy=EXPORT)
    return _parse(text)


def _exif_texts(picture: Image.Image) -> dict[str, str]:
    exif = picture.getexif()
    found: dict[str, str] = {}
    for value in (*exif.values(), exif.get_ifd(_EXIF_FOLDER).get(_COMMENT)):
        text = value
        if isinstance(value, bytes):
            coding = _COMMENT_CODES.get(value[:8])
            text = (value[8:] if coding else value).decode(coding or "utf-8", "replace")
        if isinstance(text, str):
            name, colon, rest = text.partition(":")
            if colon and name.lower() in {"prompt", "workflow"}:
                found[name.lower()] = rest.rstrip("\0")
    return found


def _parse(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ContractMismatch("This file is not JSON.", field="file", remedy=EXPORT) from error


def _node(node_id: str, said: object) -> Node:
    kind, inputs, meta = (said.get(key) for key in ("class_type", "inputs", "_meta")) if isinstance(said, dict) else (None, None, None)
    if not 0 < len(node_id) <= 200 or not isinstance(kind, str) or not kind or not isinstance(inputs, dict):
        told = f"“{node_id[:40]}” is no node: it wants a “class_type” and “inputs”."
        raise ContractMismatch(told, field="file", remedy=EXPORT)
    for name, value in inputs.items():
        _check_value(f"{node_id}.{name}", value, 0)
    node: Node = {"class_type": kind, "inputs": dict(inputs)}
    if isinstance(meta, dict) and isinstance(meta.get("title"), str):
        node["_meta"] = {"title": meta["title"][:200]}
    return node


def _check_value(where: str, value: object, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise InvalidFieldValue(f"The value of {where} is nested too deeply.", field=where, remedy=EXPORT)
    if isinstance(value, str) and (len(value) > MAX_TEXT or "\0" in value):
        raise InvalidFieldValue(f"The text of {where} is too long or holds null characters.", field=where, remedy=EXPORT)
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidFieldValue(f"The number of {where} is not finite.", field=where, remedy=EXPORT)
    if isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            _check_value(where, item, depth + 1)


def _strings(graph: Graph) -> Iterator[tuple[str, str, str]]:
    for node_id, node in graph.items():
        for name, value in node["inputs"].items():
            for text in _within(value):
                yield node_id, name, text


def _within(value: JsonValue) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _within(item)
    elif isinstance(value, list) and not link(value):
        for item in value:
            yield from _within(item)
