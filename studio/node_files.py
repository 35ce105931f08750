"""What the nodes of each ComfyUI server take, as the server said it: one file a server, read only when somebody imports a workflow."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

from studio.errors import ContractMismatch
from studio.files import write_atomically
from studio.nodes import Nodes, NodeSchema, read_nodes

log = logging.getLogger(__name__)

# Rented servers come under a new address each time: the oldest are let go.
KEPT = 8
LARGEST = 64 * 2**20


class NodeFiles:
    """The answers of `/object_info`, one file for each server's address. The worker writes them, the web process reads them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, url: str, content: bytes) -> None:
        """Write down what the server at this address said, in the place of what it said before. A full disk is only logged."""
        if len(content) > LARGEST:
            return
        try:
            if self._file(url).exists() and self._file(url).read_bytes() == content:
                return
            write_atomically(self._file(url), content)
            files = sorted(self._folder.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
            for old in files[KEPT:]:
                old.unlink(missing_ok=True)
        except OSError as error:
            log.warning("What ComfyUI's nodes take can't be written down: %s", error)

    def nodes(self, urls: Sequence[str], classes: Iterable[str]) -> Nodes:
        """The schemas of these classes, each from the first of the servers that has it. Classes that none is known to have are left out."""
        wanted = set(classes)
        found: dict[str, NodeSchema] = {}
        for url in urls:
            said = self._said(url) if wanted - set(found) else {}
            for name in (name for name in wanted if name in said and name not in found):
                try:
                    found |= read_nodes({name: said[name]}).schemas
                except ContractMismatch as error:
                    log.info("%s", error.message)
        return Nodes(found)

    def _file(self, url: str) -> Path:
        return self._folder / f"{hashlib.sha256(url.encode()).hexdigest()[:24]}.json"

    def _said(self, url: str) -> dict[str, object]:
        try:
            said = json.loads(self._file(url).read_bytes())
        except (OSError, ValueError, RecursionError):
            return {}
        return said if isinstance(said, dict) else {}


def node_files(data: Path) -> NodeFiles:
    """Those of a data folder."""
    return NodeFiles(data / "cache" / "nodes")
