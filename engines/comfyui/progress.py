"""How far a graph is, from the events that a server tells about it. Pure: events go in, numbers and words come out."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Mapping
from typing import Any

from PIL import Image, UnidentifiedImageError


class Progress:
    """One prompt's way through its graph.

    A node weighs 1, a sampler as much as its steps: a graph of 30 steps is half way after 15 of them, near enough.
    """

    def __init__(self, graph: Mapping[str, Any], prompt_id: str) -> None:
        self._graph = graph
        self._prompt_id = prompt_id
        self._weights = weights(graph)
        self._done: dict[str, float] = {}
        self._cached: set[str] = set()
        self._fraction = 0.0
        self.node = ""
        self.step = 0
        self.steps = 0
        self.started = False
        self.ending = False
        self.ended = False
        self.preview: bytes | None = None

    @property
    def fraction(self) -> float:
        """0 to 1; never less than it was before."""
        total = sum(weight for node, weight in self._weights.items() if node not in self._cached)
        now = sum(share * self._weights.get(node, 0) for node, share in self._done.items() if node not in self._cached)
        self._fraction = max(self._fraction, min(1.0, now / total) if total else 0.0)
        return self._fraction

    @property
    def note(self) -> str:
        """The title of the node that runs, as its author named it."""
        it = self._graph.get(self.node)
        if not isinstance(it, dict):
            return ""
        meta = it.get("_meta")
        return str((meta.get("title") if isinstance(meta, dict) else "") or it.get("class_type") or "")

    def start_again(self) -> None:
        """The server forgot the prompt and got it again. The fraction stays where it was until it is passed."""
        self._done, self._cached = {}, set()
        self.started = self.ending = self.ended = False
        self.node, self.step, self.steps, self.preview = "", 0, 0, None

    def take(self, message: str | bytes) -> bool:
        """Take one message of the socket; True when it is about this prompt. What can't be read is passed over."""
        if isinstance(message, bytes):
            return self._take_binary(message)
        try:
            event = json.loads(message)
            kind, data = event["type"], event["data"]
        except (ValueError, TypeError, KeyError):
            return False
        if not isinstance(data, dict):
            return False
        about = data.get("prompt_id")
        # After a reconnect the first `executing` names no prompt: it is only sent to the client whose prompt runs.
        if about != self._prompt_id and not (about is None and kind == "executing" and data.get("node") is not None):
            return False
        self._take(str(kind), data)
        return True

    def _take(self, kind: str, data: Mapping[str, Any]) -> None:
        match kind:
            case "execution_start":
                self.started = True
            case "execution_cached":
                self._cached.update(str(node) for node in data.get("nodes") or ())
            case "executing" if data.get("node") is None:
                self.ended = True
            case "executing":
                self.started = True
                self._enter(str(data.get("display_node") or data["node"]))
            case "progress_state":
                self.started = True
                for name, state in (data.get("nodes") or {}).items():
                    if isinstance(state, dict):
                        self._take_node(str(state.get("display_node_id") or name), state)
            case "progress":
                self._step(str(data.get("node") or self.node), data.get("value"), data.get("max"))
            case "executed":
                self._done[str(data.get("display_node") or data.get("node"))] = 1.0
            case "execution_success" | "execution_error" | "execution_interrupted":
                self.ending = True

    def _take_node(self, node: str, state: Mapping[str, Any]) -> None:
        if state.get("state") == "finished":
            self._done[node] = 1.0
        elif state.get("state") == "running":
            self._enter(node)
            self._step(node, state.get("value"), state.get("max"))

    def _enter(self, node: str) -> None:
        if node != self.node:
            self.node, self.step, self.steps = node, 0, 0

    def _step(self, node: str, value: object, most: object) -> None:
        if not isinstance(value, int | float) or not isinstance(most, int | float) or most <= 0:
            return
        self._done[node] = max(self._done.get(node, 0.0), min(1.0, value / most))
        if node == self.node and most > 1:
            self.step, self.steps = int(value), int(most)

    def _take_binary(self, message: bytes) -> bool:
        """Keep a preview: type 4 names its prompt; type 1 doesn't, and only counts while this prompt runs."""
        if len(message) < 8:
            return False
        (kind, second) = struct.unpack(">II", message[:8])
        if kind == 4 and 8 + second <= len(message):
            try:
                about = json.loads(message[8 : 8 + second])
            except ValueError:
                return False
            if not isinstance(about, dict) or about.get("prompt_id") != self._prompt_id:
                return False
            self.preview = message[8 + second :]
            return True
        if kind == 1 and self.started and not self.ending:
            self.preview = message[8:]
            return True
        return False


def weights(graph: Mapping[str, Any]) -> dict[str, float]:
    """What each node counts for: a sampler its steps, wherever in the graph they are written, everything else 1."""
    return {node: _weight(graph, it) for node, it in graph.items() if isinstance(it, dict)}


def _weight(graph: Mapping[str, Any], node: Mapping[str, Any]) -> float:
    inputs = node.get("inputs")
    kind = str(node.get("class_type", ""))
    if not isinstance(inputs, dict) or "scheduler" in kind.lower():
        return 1.0
    steps = inputs.get("steps")
    sigmas = inputs.get("sigmas")
    if isinstance(sigmas, list) and sigmas and isinstance(graph.get(sigmas[0]), dict):
        steps = (graph[sigmas[0]].get("inputs") or {}).get("steps")
    return float(max(1, steps)) if isinstance(steps, int) else 1.0


def picture(preview: bytes) -> Image.Image | None:
    """A preview as RGB, or None when it can't be read: a picture less to look at on the way."""
    try:
        return Image.open(io.BytesIO(preview), formats=("JPEG", "PNG", "WEBP")).convert("RGB")
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError):
        return None
