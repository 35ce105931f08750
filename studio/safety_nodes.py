"""Whose face a graph uses: nodes that swap faces are refused whatever the words say, and the face of one picture stays out of another."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from studio.errors import SafetyFilter
from studio.graphs import Graph, Node, link, texts
from studio.nodes import WEIGHTS

_NODES = re.compile(
    r"reactor|face_?swap|swap_?faces?|head_?swap|instant_?swap|in_?swapper|sim_?swap|hyper_?swap|face_?fusion|(?<![a-z])roop|deepfake"
    r"|live_?portrait|deep_?fuze|face_?shifter"
)
_FILES = re.compile(r"inswapper|reswapper|simswap|hyperswap|ghost_unet|blendswap|uniface_\d|hififace|live_?portrait")

# Nodes that give the model a face to draw.
_IDENTITY = re.compile(
    r"instant_?id|pulid|photo_?maker|face_?id(?!x)|infinite_?you|infuse_?net|ecom_?id|consistent_?id|uni_?portrait|arc2face|face_?adapter"
)
_ADAPTER = re.compile(r"ipa?_?adapter")
# Inputs that steer what is drawn and carry no picture through to the result.
_STEERS = re.compile(
    r"^(.*model.*|clip|vae|positive|negative|conditioning.*|cond|guider|sigmas|sampler|noise|control_?net|clip_vision.*|ipadapter"
    r"|instantid|insightface|pulid.*|eva_clip|face_?analysis|photomaker|.*detector.*|.*_kps)$"
)
# Nodes whose conditioning holds a whole picture all the same.
_EDITS = re.compile(r"reference_?latent|kontext|image_?edit|pix_?2_?pix|pix_?to_?pix|inpaint")
_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".mp4", ".webm")
_BRINGS = re.compile(r"load|url|base64|fetch|import|webcam")


@dataclass(frozen=True)
class Faces:
    """A node that takes a face from pictures. `given` are the nodes that load those, or the node itself where none is seen; `into` are
    those that load the other pictures which the result is made of: empty where it is drawn from words.
    """

    node: str
    given: frozenset[str]
    into: frozenset[str]


def check_nodes(graph: Graph) -> None:
    """Refuse a graph that swaps faces. Raises SafetyFilter naming the node."""
    for node_id, node in graph.items():
        kind = _kind(node)
        if _NODES.search(kind) or _FILES.search(kind):
            raise _refused(f"node {node_id} ({node['class_type'][:60]})", f"{node_id}")
    for text in texts(graph):
        if len(text) < 300 and _FILES.search(re.sub(r"[\s\-.]+", "_", text.casefold())):
            raise _refused(f"“{text[:60]}”", "file")


def faces_of(graph: Graph) -> tuple[Faces, ...]:
    """Every node of a graph that takes a face from a picture, and where that face goes, as far as names tell."""
    after: dict[str, set[str]] = {node_id: set() for node_id in graph}
    for node_id, node in graph.items():
        for at in _links(node):
            after.setdefault(at[0], set()).add(node_id)
    carried: dict[str, set[str]] = {}
    found: list[Faces] = []
    for node_id, node in graph.items():
        brings = [at[0] for name, value in node["inputs"].items() if (at := link(value)) and not _aside(name)]
        # One that loads a model or measures takes no picture; one that is applied to a model without any takes a face from elsewhere.
        if not _takes_face(node_id, graph) or not (brings or _applied(node)):
            continue
        given = frozenset(loader for each in brings for loader in _carried(graph, each))
        if brings and not given:
            continue
        ends = [each for each in _reached(after, node_id) if not after[each]]
        for end in ends:
            if end not in carried:
                carried[end] = _carried(graph, end)
        into = frozenset(loader for end in ends for loader in carried[end])
        found.append(Faces(node_id, given or frozenset({node_id}), into - given))
    return tuple(found)


def _takes_face(node_id: str, graph: Graph) -> bool:
    kind = _kind(graph[node_id])
    if _IDENTITY.search(kind):
        return True
    if not _ADAPTER.search(kind):
        return False
    # An adapter takes a style or a face: its file tells, and a file that can be chosen may be either.
    files: dict[str, set[str]] = {}
    for each, node in graph.items():
        files[each] = {at[0] for name, value in node["inputs"].items() if "adapter" in name and (at := link(value))}
    near = [graph[each]["inputs"].values() for each in _reached(files, node_id) if each in graph]
    words = " ".join(value.casefold() for values in near for value in values if isinstance(value, str))
    return any(word in words for word in ("face", "portrait", "{{"))


def _applied(node: Node) -> bool:
    return any(name in {"model", "positive", "conditioning"} and link(value) for name, value in node["inputs"].items())


def _carried(graph: Graph, start: str) -> set[str]:
    """The loaders of pictures that come through to a node, whole or in part."""
    loaders: set[str] = set()
    seen: set[tuple[str, bool]] = set()
    waiting = [(start, False)]
    while waiting:
        node_id, steered = waiting.pop()
        if (node_id, steered) in seen or node_id not in graph:
            continue
        seen.add((node_id, steered))
        node = graph[node_id]
        steered = steered and not _EDITS.search(_kind(node))
        if not steered and _loads(node):
            loaders.add(node_id)
        for name, value in node["inputs"].items():
            at = link(value)
            if at and "mask" not in name:
                waiting.append((at[0], steered or _aside(name)))
    return loaders


def _reached(ways: Mapping[str, set[str]], start: str) -> set[str]:
    """The nodes that can be reached from one, itself among them."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        node_id = waiting.pop()
        if node_id not in found:
            found.add(node_id)
            waiting += ways.get(node_id, ())
    return found


def _aside(name: str) -> bool:
    return "mask" in name or bool(_STEERS.match(name))


def _loads(node: Node) -> bool:
    """Whether a node brings something in from outside that may be a picture, or what was measured of one."""
    values = [value.casefold() for value in node["inputs"].values() if isinstance(value, str)]
    if any(True for _ in _links(node)) or any(value.endswith(WEIGHTS) for value in values):
        return False
    return bool(_BRINGS.search(_kind(node))) or any(value.endswith(_PICTURES) for value in values)


def _links(node: Node) -> Iterator[tuple[str, int]]:
    return (at for value in node["inputs"].values() if (at := link(value)))


def _kind(node: Node) -> str:
    return re.sub(r"[\s\-.]+", "_", node["class_type"].casefold())


def _refused(what: str, field: str) -> SafetyFilter:
    return SafetyFilter(
        f"This workflow swaps faces, or takes one over, with {what}. Likeness never puts one person's face on another's photo.",
        field=field,
        remedy="Take that part out of the workflow. A character's own LoRA or reference pictures keep a face the same.",
    )
