"""Weight files as bytes: what a safetensors header says, whether a file is whole, and its fingerprint. No torch."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from studio.errors import ModelInvalid, ModelUnsafe
from studio.files import write_atomically

PICKLES = frozenset({".ckpt", ".pt", ".pth", ".bin", ".pkl"})

Read = Callable[[int, int], None]


@dataclass(frozen=True)
class Header:
    """What a safetensors file holds: each tensor's dtype and shape, and the words its maker left."""

    tensors: dict[str, tuple[str, tuple[int, ...]]]
    metadata: dict[str, str]


def read_safetensors_header(path: Path) -> Header:
    """The header of a safetensors file, seen to be whole: every tensor lies inside the file and has the size it claims.

    Raises ModelInvalid for a missing, truncated or corrupt file and ModelUnsafe for a pickle. Remembered until the file changes.
    """
    if path.suffix.lower() in PICKLES:
        raise ModelUnsafe(f"{path.name} is a pickle file, which can run code when it is opened.")
    return _read_header(path, *stamp(path))


def stamp(path: Path) -> tuple[int, int]:
    """Size and time of change: equal stamps, same file. Raises ModelInvalid when there is no such file."""
    try:
        seen = path.stat()
    except OSError as error:
        raise ModelInvalid(f"{path.name} can't be read: {error.strerror or error}.") from error
    return seen.st_size, seen.st_mtime_ns


def fingerprint(files: Sequence[Path], cache: Path, read: Read = lambda done, total: None) -> str:
    """SHA-256 of weights: of the file itself if there is one, else of the files' SHA-256 in their order, one a line.

    `cache` is a JSON file that spares reading a file twice. `read(done, total)` is called with the bytes read so far, about every
    64 MB; what it raises ends the reading. Raises ModelInvalid for a file that can't be read.
    """
    known = _load_cache(cache)
    marks = [f"{path.resolve()}|{size}|{changed}" for path in files for size, changed in [stamp(path)]]
    total = sum(stamp(path)[0] for path, mark in zip(files, marks, strict=True) if mark not in known)
    done = 0
    for path, mark in zip(files, marks, strict=True):
        if mark not in known:
            before = done
            known[mark], size = _hash_file(path, lambda part, before=before: read(before + part, total))
            done += size
    if total:
        _save_cache(cache, known)
    digests = [known[mark] for mark in marks]
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "F64": 64, "I64": 64,
    "U64": 64, "C64": 64, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "F6_E2M3": 6, "F6_E3M2": 6, "F4": 4,
}  # fmt: skip
_LARGEST_HEADER = 100 * 2**20  # the format's own limit
_BLOCK = 1 << 20
_TELL_EVERY = 64 * _BLOCK


@lru_cache(maxsize=256)
def _read_header(path: Path, size: int, _changed: int) -> Header:
    try:
        with path.open("rb") as file:
            start = file.read(8)
            length = int.from_bytes(start, "little")
            if len(start) < 8 or length > min(size - 8, _LARGEST_HEADER):
                if start.startswith((b"PK\x03\x04", b"\x80")):
                    raise ModelUnsafe(f"{path.name} is a pickle file under another name; opening one can run any code in it.")
                raise _broken(path, "it is not a safetensors file, or only its beginning")
            text = file.read(length)
    except OSError as error:
        raise ModelInvalid(f"{path.name} can't be read: {error.strerror or error}.") from error
    try:
        entries = json.loads(text)
        words = {str(key): str(value) for key, value in (entries.pop("__metadata__", None) or {}).items()}
        tensors = {name: _tensor(entry) for name, entry in entries.items()}
        spans = sorted(tuple(entry["data_offsets"]) for entry in entries.values())
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _broken(path, "its header makes no sense") from error
    end = 0
    for begin, after in spans:
        if begin != end:
            raise _broken(path, "its tensors don't lie one after the other")
        end = after
    if end != size - 8 - length:
        raise _broken(path, f"it has {size:,} bytes where {end + 8 + length:,} are promised")
    return Header(tensors, words)


def _tensor(entry: dict[str, Any]) -> tuple[str, tuple[int, ...]]:
    dtype, shape = entry["dtype"], tuple(int(side) for side in entry["shape"])
    begin, end = entry["data_offsets"]
    bits = _BITS.get(dtype)
    if bits is not None and math.prod(shape) * bits != (end - begin) * 8:
        raise ValueError("size")
    return dtype, shape


def _broken(path: Path, why: str) -> ModelInvalid:
    return ModelInvalid(f"{path.name} is broken: {why}.", remedy="Download it again; a download that stopped early is the usual cause.")


def _hash_file(path: Path, read: Callable[[int], None]) -> tuple[str, int]:
    digest, done, told = hashlib.sha256(), 0, 0
    for block in _blocks(path):
        digest.update(block)
        done += len(block)
        if done - told >= _TELL_EVERY:
            told = done
            read(done)
    return digest.hexdigest(), done


def _blocks(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb", buffering=0) as file:
            while block := file.read(_BLOCK):
                yield block
    except OSError as error:
        raise ModelInvalid(f"{path.name} can't be read: {error.strerror or error}.") from error


def _load_cache(cache: Path) -> dict[str, str]:
    try:
        known = json.loads(cache.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _save_cache(cache: Path, known: dict[str, str]) -> None:
    try:
        write_atomically(cache, json.dumps(known, indent=0).encode())
    except OSError:
        # The next start reads the weights once more; nothing else is lost.
        return
