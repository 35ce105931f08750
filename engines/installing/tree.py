"""The id that git gives a tree of files, worked out from an archive of it: without git, and without unpacking.

An id holds for every name, every byte and every exec bit below it. SHA-1 is what the ids of most repositories are made with, and what
their hosts show; SHA-256 is git's other object format, for whom SHA-1 isn't enough. https://git-scm.com/docs/gitformat-pack,
https://git-scm.com/docs/hash-function-transition
"""

from __future__ import annotations

import hashlib
import stat
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hashlib import _Hash

SHA1, SHA256 = "sha1", "sha256"
FILE, PROGRAM, LINK, FOLDER = "100644", "100755", "120000", "40000"
CHUNK = 2**16


class NotATree(Exception):
    """An archive that no tree of git can look like; the message says why."""


@dataclass(frozen=True)
class Blob:
    """One file of a tree: `mode` as git writes it, `ids` by the name of the hash."""

    mode: str
    ids: Mapping[str, bytes]


def archive_ids(archive: zipfile.ZipFile, check: Callable[[], None] = lambda: None) -> dict[str, str]:
    """The tree's id by the name of the hash, of everything below the one folder that an archive of a commit holds.

    Calls `check` between files. Raises NotATree, and zipfile.BadZipFile for broken files.
    """
    blobs: dict[tuple[str, ...], Blob] = {}
    folders: set[tuple[str, ...]] = set()
    for entry in archive.infolist():
        check()
        path = PurePosixPath(entry.filename).parts[1:]
        if entry.is_dir():
            folders.add(path)
            continue
        if not path or path in blobs:
            raise NotATree(f"“{entry.filename}” is in it twice or in no folder.")
        blobs[path] = Blob(_mode(entry), _blob_ids(archive, entry))
    filled = {path[:length] for path in blobs for length in range(len(path))}
    for path in folders - filled - {()}:
        # git keeps no empty folders: where an archive has one, another repository was linked in, and its commit isn't told.
        raise NotATree(f"“{'/'.join(path)}” is a submodule, which no archive holds.")
    return {name: tree_id(((path, blob.mode, blob.ids[name]) for path, blob in blobs.items()), name) for name in (SHA1, SHA256)}


def tree_id(blobs: Iterable[tuple[tuple[str, ...], str, bytes]], name: str) -> str:
    """The id of the tree that holds these (path, mode, id of the content). Raises NotATree where a name is a file and a folder."""
    entries: dict[str, tuple[str, bytes]] = {}
    below: dict[str, list[tuple[tuple[str, ...], str, bytes]]] = {}
    for path, mode, blob in blobs:
        if len(path) == 1:
            entries[path[0]] = (mode, blob)
        else:
            below.setdefault(path[0], []).append((path[1:], mode, blob))
    for folder, inside in below.items():
        if folder in entries:
            raise NotATree(f"“{folder}” is a file and a folder.")
        entries[folder] = (FOLDER, bytes.fromhex(tree_id(inside, name)))
    # git sorts folders as if their names ended with a slash.
    order = sorted(entries.items(), key=lambda item: item[0].encode() + (b"/" if item[1][0] == FOLDER else b""))
    body = b"".join(f"{mode} {entry}\0".encode() + blob for entry, (mode, blob) in order)
    return _started(name, "tree", len(body), body).hexdigest()


def _mode(entry: zipfile.ZipInfo) -> str:
    # Archives of git note a mode where it isn't the usual one, and nothing at all otherwise.
    mode = entry.external_attr >> 16
    if stat.S_ISLNK(mode):
        return LINK
    return PROGRAM if mode & 0o111 else FILE


def _blob_ids(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> dict[str, bytes]:
    hashes = {name: _started(name, "blob", entry.file_size) for name in (SHA1, SHA256)}
    with archive.open(entry) as file:
        while chunk := file.read(CHUNK):
            for each in hashes.values():
                each.update(chunk)
    return {name: each.digest() for name, each in hashes.items()}


def _started(name: str, kind: str, size: int, body: bytes = b"") -> _Hash:
    made = hashlib.new(name, f"{kind} {size}\0".encode(), usedforsecurity=False)
    made.update(body)
    return made
