"""Nodes and model files that put one person's face on another's photo: a graph that holds one is refused, whatever its words say."""

from __future__ import annotations

import re

from studio.errors import SafetyFilter
from studio.graphs import Graph, texts

_NODES = re.compile(
    r"reactor|face_?swap|swap_?faces?|head_?swap|instant_?swap|in_?swapper|sim_?swap|hyper_?swap|face_?fusion|(?<![a-z])roop|deepfake"
)
_FILES = re.compile(r"inswapper|reswapper|simswap|hyperswap|ghost_unet|blendswap|uniface_\d|hififace")


def check_nodes(graph: Graph) -> None:
    """Refuse a graph that swaps faces. Raises SafetyFilter naming the node."""
    for node_id, node in graph.items():
        kind = re.sub(r"[\s\-.]+", "_", node["class_type"].casefold())
        if _NODES.search(kind) or _FILES.search(kind):
            raise _refused(f"node {node_id} ({node['class_type'][:60]})", f"{node_id}")
    for text in texts(graph):
        if len(text) < 300 and _FILES.search(re.sub(r"[\s\-.]+", "_", text.casefold())):
            raise _refused(f"“{text[:60]}”", "file")


def _refused(what: str, field: str) -> SafetyFilter:
    return SafetyFilter(
        f"This workflow swaps faces, with {what}. Likeness never puts one person's face on another's photo.",
        field=field,
        remedy="Take that part out of the workflow. A character's own LoRA or reference pictures keep a face the same.",
    )
