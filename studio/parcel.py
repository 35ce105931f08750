"""Pictures as one ZIP that is made while it is sent: speaking names, and a manifest of what made each picture."""

from __future__ import annotations

import io
import json
import re
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import IO

from studio.contracts import Picture

MOST_PICTURES = 10_000
CHUNK = 256 * 2**10
MANIFEST_IN_MEMORY = 2**20
NAME = "{date}_{who}_{words}_{seed}"


def pack(
    found: Iterable[Picture], data: Path, names: Mapping[str, str] | None = None, triggers: Mapping[str, str] | None = None
) -> Iterator[bytes]:
    """The bytes of a ZIP of these pictures, stored as they are, piece by piece; `manifest.json` comes last.

    `names` are the characters' names by id, `triggers` their trigger words.
    A picture whose file is gone has `"file": null` in the manifest.
    """
    sink = Sink()
    taken: set[str] = set()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as parcel, tempfile.SpooledTemporaryFile(MANIFEST_IN_MEMORY) as manifest:
        for picture in found:
            who, trigger = ((by_id or {}).get(picture.character_id or "", "") for by_id in (names, triggers))
            try:
                file = (data / picture.path).open("rb")
            except OSError:
                _note(manifest, _entry(picture, None, who))
                continue
            name = _free(filename(picture, who, trigger), taken)
            _note(manifest, _entry(picture, name, who))
            with file:
                yield from stored(parcel, sink, name, picture.created_at, file)
        manifest.write(b"\n]\n" if manifest.tell() else b"[]\n")
        manifest.seek(0)
        yield from stored(parcel, sink, "manifest.json", datetime.now().astimezone(), manifest)
    yield sink.take()


def filename(picture: Picture, who: str = "", trigger: str = "") -> str:
    """A name that says what the picture is: its day, whom it shows, the first words of its prompt or its own name, its seed.

    The character's `trigger` word is for the model: it stands in no name.
    """
    words = picture.recipe.prompt.removeprefix(trigger).lstrip(" ,") if picture.recipe else Path(picture.name).stem or picture.kind.value
    parts = {
        "date": picture.created_at.strftime("%Y-%m-%d"),
        "who": _plain(who, 40),
        "words": _plain(words, 60),
        "seed": "" if picture.seed is None else str(picture.seed),
    }
    return re.sub(r"_{2,}", "_", NAME.format(**parts)).strip("_") + Path(picture.path).suffix


class Sink(io.RawIOBase):
    """Where zipfile writes to: keeps what has not been taken yet, and can't go back."""

    def __init__(self) -> None:
        self._kept = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        piece = bytes(data)  # pyright: ignore[reportArgumentType]  # whatever a buffer is
        self._kept += piece
        return len(piece)

    def take(self) -> bytes:
        taken, self._kept = bytes(self._kept), bytearray()
        return taken


def stored(parcel: zipfile.ZipFile, sink: Sink, name: str, made: datetime, file: IO[bytes]) -> Iterator[bytes]:
    """Put a file into a ZIP that is written to `sink`, as it is; gives the ZIP's bytes piece by piece."""
    info = zipfile.ZipInfo(name, made.timetuple()[:6])
    info.external_attr = 0o644 << 16
    with parcel.open(info, "w") as entry:
        while piece := file.read(CHUNK):
            entry.write(piece)
            yield sink.take()


def _entry(picture: Picture, name: str | None, who: str) -> dict[str, object]:
    recipe = picture.recipe
    return {
        "id": picture.id,
        "file": name,
        "kind": picture.kind.value,
        "name": picture.name,
        "prompt": recipe.prompt if recipe else "",
        "negative_prompt": recipe.negative_prompt if recipe else "",
        "seed": picture.seed,
        "parameters": recipe.model_dump(mode="json", exclude={"prompt", "negative_prompt", "seed", "consent"}) if recipe else None,
        "character": {"id": picture.character_id, "name": who} if picture.character_id else None,
        "width": picture.width,
        "height": picture.height,
        "sha256": picture.sha256,
        "model_hash": picture.model_hash,
        "lora_hashes": picture.lora_hashes,
        "duration_s": picture.duration_s,
        "favourite": picture.favourite,
        "caption": picture.caption,
        "category": picture.category,
        "created_at": picture.created_at.isoformat(),
    }


def _note(manifest: IO[bytes], entry: dict[str, object]) -> None:
    manifest.write((b",\n" if manifest.tell() else b"[\n") + json.dumps(entry, ensure_ascii=False).encode())


def _free(name: str, taken: set[str]) -> str:
    # Two names that differ in case alone are one file on Windows and macOS.
    free, number = name, 1
    while free.casefold() in taken:
        number += 1
        free = f"{Path(name).stem}-{number}{Path(name).suffix}"
    taken.add(free.casefold())
    return free


def _plain(text: str, most: int) -> str:
    return re.sub(r"[\W_]+", "-", text).strip("-").lower()[:most].rstrip("-")
