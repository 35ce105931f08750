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
# Another task of the server lets go of its models, and nothing says when it has: a job that comes in the same moment may be before it.
LETTING_GO_S = 0.5

_Key = tuple[str, str, str]
"""The server, its folder, and the file's name there."""


@dataclass(frozen=True)
class Hashes:
    """SHA-256 of the model, and of the LoRAs by the recipe's names. Empty and left out where the files are out of reach."""

    model: str = ""
    loras: Mapping[str, str] = field(default_factory=dict)


UNKNOWN = Hashes()


class Fingerprints:
    """Looks up the files of a server on this computer and reads each once: those it names itself, where it runs here, else those of the
    same name and size in `folders` (by the server's name of the folder). `cache` spares reading a file twice. From any thread.

    What a server says of a file is remembered for `remembered_s`. One that was replaced under its name since is read anew: servers keep
    models by their names, and would go on drawing with the old one.
    """

    def __init__(self, folders: Callable[[], Mapping[str, Sequence[Path]]], cache: Path, *, remembered_s: float = REMEMBERED_S) -> None:
        self._folders = folders
        self._cache = cache
        self._remembered_s = remembered_s
        self._there: dict[_Key, ModelFile] = {}
        self._known: dict[_Key, tuple[float, str]] = {}
        # Several may ask, so that a server that hangs keeps nobody else waiting; one reads: two would only read against each other.
        self._askers = ThreadPoolExecutor(4, thread_name_prefix="hashes")
        self._reading = threading.Lock()
        self._closed = threading.Event()

    def begin(self, server: ComfyServer, recipe: Recipe, engine: str) -> Future[Hashes]:
        """Look for the files of a recipe, and read them meanwhile; to be called before the job is posted.

        What can't be found or read is unknown; nothing is raised.
        """
        folder, _, name = recipe.model.removeprefix(f"{engine}/").partition("/")
        wanted: list[_Key] = [(server.url, folder, name), *((server.url, "loras", use.path) for use in recipe.loras)]
        known = [self._remembered(each) for each in wanted]
        if None not in known:
            done: Future[Hashes] = Future()
            done.set_result(_together(recipe, [each for each in known if each is not None]))
            return done
        found = {key: self._look(server, key) for key, digest in zip(wanted, known, strict=True) if digest is None}
        self._let_go_of_old(server, found)
        return self._askers.submit(lambda: _together(recipe, [self._hash(key, found.get(key)) for key in wanted]))

    def close(self) -> None:
        """Stop reading."""
        self._closed.set()
        self._askers.shutdown(wait=False, cancel_futures=True)

    def _remembered(self, key: _Key) -> str | None:
        known = self._known.get(key)
        return known[1] if known and time.monotonic() - known[0] < self._remembered_s else None

    def _look(self, server: ComfyServer, key: _Key) -> ModelFile | None:
        url, folder, name = key
        if not name.lower().endswith(WEIGHTS):
            return None
        try:
            return server.model_file(folder, name)
        except LikenessError as error:
            log.info("%s says nothing of %s/%s: %s", url, folder, name, error)
            return None

    def _let_go_of_old(self, server: ComfyServer, found: Mapping[_Key, ModelFile | None]) -> None:
        """Have the server forget its models where a file is another one than at the last look."""
        there = {key: file for key, file in found.items() if file is not None}
        old = [key for key, file in there.items() if _is_another(self._there.get(key), file)]
        self._there |= there
        if not old:
            return
        log.info("%s has another file for %s: its models are read anew", server.url, ", ".join("/".join(key[1:]) for key in old))
        try:
            server.free()
        except LikenessError as error:
            log.warning("%s keeps its old models: %s", server.url, error)
        self._closed.wait(LETTING_GO_S)

    def _hash(self, key: _Key, there: ModelFile | None) -> str:
        known = self._remembered(key)
        if known is not None:
            return known
        url, folder, name = key
        digest = ""
        try:
            found = self._find(folder, name, there) if there is not None else None
            if found is not None:
                with self._reading:
                    digest = fingerprint([found], self._cache, self._read)
        except (LikenessError, _Closed) as error:
            log.info("The hash of %s/%s on %s stays unknown: %s", folder, name, url, error)
        self._known[key] = time.monotonic(), digest
        return digest

    def _find(self, folder: str, name: str, there: ModelFile) -> Path | None:
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


def _is_another(before: ModelFile | None, now: ModelFile) -> bool:
    return before is not None and (before.size, before.modified) != (now.size, now.modified)


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
