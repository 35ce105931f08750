"""Which weights made a picture: the SHA-256 of a server's model files, where those files are within reach. Servers tell none."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from engines.comfyui.server import ComfyServer, ModelFile
from studio.contracts import Recipe
from studio.errors import LikenessError
from studio.nodes import WEIGHTS
from studio.weights import fingerprint

log = logging.getLogger(__name__)

# Servers read their own lists again about as often.
REMEMBERED_S = 60.0
# A file system may keep times in steps of two seconds.
SAME_TIME_S = 2.0


@dataclass(frozen=True)
class Hashes:
    """SHA-256 of the model, and of the LoRAs by the recipe's names. Empty and left out where the files are out of reach."""

    model: str = ""
    loras: Mapping[str, str] = field(default_factory=dict)


UNKNOWN = Hashes()


class Fingerprints:
    """Looks up the files of a server on this computer and reads each once: those it names itself, where it runs here, else those of the
    same name and size in `folders` (by the server's name of the folder). `cache` spares reading a file twice. From any thread.
    """

    def __init__(self, folders: Callable[[], Mapping[str, Sequence[Path]]], cache: Path) -> None:
        self._folders = folders
        self._cache = cache
        self._known: dict[tuple[str, str, str], tuple[float, str]] = {}
        # Several may ask, so that a server that hangs keeps nobody else waiting; one reads: two would only read against each other.
        self._askers = ThreadPoolExecutor(4, thread_name_prefix="hashes")
        self._reading = threading.Lock()
        self._closed = threading.Event()

    def begin(self, server: ComfyServer, recipe: Recipe, engine: str) -> Future[Hashes]:
        """Look for the files of a recipe meanwhile. What can't be found or read is unknown; nothing is raised."""
        model = recipe.model.removeprefix(f"{engine}/")
        wanted = [(server.url, *model.partition("/")[::2]), *((server.url, "loras", use.path) for use in recipe.loras)]
        known = [self._known.get(each) for each in wanted]
        now = time.monotonic()
        if all(each and now - each[0] < REMEMBERED_S for each in known):
            done: Future[Hashes] = Future()
            done.set_result(_together(recipe, [each[1] for each in known if each]))
            return done
        return self._askers.submit(lambda: _together(recipe, [self._hash(server, *each[1:]) for each in wanted]))

    def close(self) -> None:
        """Stop reading."""
        self._closed.set()
        self._askers.shutdown(wait=False, cancel_futures=True)

    def _hash(self, server: ComfyServer, folder: str, name: str) -> str:
        key = (server.url, folder, name)
        known = self._known.get(key)
        if known and time.monotonic() - known[0] < REMEMBERED_S:
            return known[1]
        digest = ""
        try:
            found = self._find(server, folder, name)
            if found is not None:
                with self._reading:
                    digest = fingerprint([found], self._cache, self._read)
        except (LikenessError, _Closed) as error:
            log.info("The hash of %s/%s on %s stays unknown: %s", folder, name, server.url, error)
        self._known[key] = time.monotonic(), digest
        return digest

    def _find(self, server: ComfyServer, folder: str, name: str) -> Path | None:
        if not name.lower().endswith(WEIGHTS):
            return None
        there = server.model_file(folder, name)
        if there is None:
            return None
        if there.path is not None and _is(Path(there.path), there, timed=True):
            return Path(there.path)
        return next((path for path in self._own(folder, name) if _is(path, there, timed=False)), None)

    def _own(self, folder: str, name: str) -> Iterator[Path]:
        for root in self._folders().get(folder, ()):
            path = (root / name).resolve()
            if path.is_relative_to(root.resolve()):
                yield path

    def _read(self, _done: int, _total: int) -> None:
        if self._closed.is_set():
            raise _Closed


class _Closed(Exception):
    """The engine is being closed."""


def _is(path: Path, there: ModelFile, *, timed: bool) -> bool:
    try:
        seen = path.stat()
    except OSError:
        return False
    return seen.st_size == there.size and (not timed or abs(seen.st_mtime - there.modified) <= SAME_TIME_S)


def _together(recipe: Recipe, digests: Sequence[str]) -> Hashes:
    loras = {use.path: digest for use, digest in zip(recipe.loras, digests[1:], strict=True) if digest}
    return Hashes(digests[0], loras)
