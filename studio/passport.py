"""A character as one file, to keep or to take along: a ZIP with `character.json`, its photos, its datasets, its LoRA and its consent's
evidence. A picture that is a photo and in a dataset, too, lies in it once.

Nothing in such a file is believed: sizes are counted while unpacking, names never become paths, photos are read like any upload.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from studio import VERSION
from studio.contracts import Character, CharacterFields, Picture
from studio.errors import ContractMismatch, FileTooLarge, from_validation

SCHEMA = 1
MANIFEST = "character.json"
# Captions of many pictures are most of it.
MOST_MANIFEST = 64 * 2**20
MOST_PHOTOS = 2000
MOST_SETS = 100
MOST_LEARNED = 20_000
MOST_BYTES = 2**31


@dataclass(frozen=True)
class Learned:
    """A picture of a dataset; `content` is where its bytes lie, or they themselves."""

    name: str
    caption: str
    tags: tuple[str, ...]
    sha256: str
    content: Path | bytes


@dataclass(frozen=True)
class LearnedSet:
    """A dataset."""

    name: str
    pictures: tuple[Learned, ...]


@dataclass(frozen=True)
class Parcel:
    """What an opened file holds. `photos` are the bytes of each with its name and caption; `lora` is a safetensors file's."""

    fields: CharacterFields
    photos: tuple[tuple[str, str, bytes], ...]
    sets: tuple[LearnedSet, ...]
    portrait: int | None
    lora: bytes | None
    evidence: tuple[str, bytes] | None


def pack(
    character: Character, photos: Sequence[tuple[Picture, Path]], sets: Sequence[LearnedSet], lora: Path | None, evidence: Path | None
) -> bytes:
    """The file of a character. Raises OSError where one of its parts can't be read, FileTooLarge."""
    listed = [
        {"file": f"photos/{number:04d}{path.suffix}", "name": photo.name, "caption": photo.caption}
        for number, (photo, path) in enumerate(photos)
    ]
    files = {photo.sha256: entry["file"] for (photo, _), entry in zip(photos, listed, strict=True)}
    more: dict[str, Path] = {}
    said_sets: list[dict[str, object]] = []
    for one in sets:
        entries: list[dict[str, object]] = []
        for picture in one.pictures:
            if picture.sha256 not in files and isinstance(picture.content, Path):
                files[picture.sha256] = f"learned/{len(more):05d}{picture.content.suffix}"
                more[files[picture.sha256]] = picture.content
            entries.append({"file": files[picture.sha256], "name": picture.name, "caption": picture.caption, "tags": picture.tags})
        said_sets.append({"name": one.name, "pictures": entries})
    portrait = next((number for number, (photo, _) in enumerate(photos) if photo.id == character.portrait), None)
    said = {
        "schema": SCHEMA,
        "software": f"Likeness {VERSION}",
        "character": character.model_dump(mode="json", include=set(CharacterFields.model_fields) - {"lora"}),
        "photos": listed,
        "datasets": said_sets,
        "portrait": portrait,
        "lora": "lora.safetensors" if lora else None,
        "evidence": f"evidence{evidence.suffix}" if evidence else None,
    }
    out = io.BytesIO()
    manifest = json.dumps(said, ensure_ascii=False, indent=1).encode()
    packed = sum(path.stat().st_size for path in (*(path for _, path in photos), *more.values(), *([lora] if lora else [])))
    if packed + len(manifest) > MOST_BYTES or len(manifest) > MOST_MANIFEST:
        remedy = "Export its datasets by themselves on the Train tab, and delete the largest."
        raise FileTooLarge(f"With its datasets {character.name} is more than one file can hold.", remedy=remedy)
    # Photos and weights are packed already: squeezing them again only takes time.
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as parcel:
        parcel.writestr(MANIFEST, manifest)
        for entry, (_, path) in zip(listed, photos, strict=True):
            parcel.write(path, entry["file"])
        for name, path in more.items():
            parcel.write(path, name)
        if lora:
            parcel.write(lora, "lora.safetensors")
        if evidence:
            parcel.write(evidence, f"evidence{evidence.suffix}")
    return out.getvalue()


def unpack(data: bytes) -> Parcel:
    """Read such a file. Raises ContractMismatch for a foreign, broken or newer one, FileTooLarge."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as parcel:
            said = json.loads(_part(parcel, MANIFEST, MOST_MANIFEST))
            if not isinstance(said, dict) or "character" not in said:
                raise _foreign()
            schema = said.get("schema")
            if not isinstance(schema, int):
                raise _foreign()
            if schema > SCHEMA:
                raise ContractMismatch(
                    "This character was exported by a newer version of Likeness.",
                    field="file",
                    remedy="Update this studio, then import it.",
                )
            fields = CharacterFields.model_validate(said["character"])
            listed = tuple(_listed(said.get("photos")))
            if sum(info.file_size for info in parcel.infolist()) > MOST_BYTES:
                raise FileTooLarge("Unpacked, this file would be larger than 2 GB.", field="file")
            photos = tuple((name, caption, _part(parcel, file, MOST_BYTES)) for file, name, caption in listed)
            known = {file: photo for (file, _, _), (_, _, photo) in zip(listed, photos, strict=True)}
            portrait = said.get("portrait")
            return Parcel(
                fields,
                photos,
                tuple(_sets(parcel, said.get("datasets"), known)),
                portrait if isinstance(portrait, int) and 0 <= portrait < len(photos) else None,
                _part(parcel, "lora.safetensors", MOST_BYTES) if said.get("lora") else None,
                _evidence(parcel, said.get("evidence")),
            )
    except ValidationError as error:
        fault = from_validation(error)
        raise ContractMismatch(f"The character in this file can't be used: {fault.message}", field="file", remedy=fault.remedy) from error
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError, OSError, RuntimeError, NotImplementedError, RecursionError) as error:
        raise _foreign() from error


def _part(parcel: zipfile.ZipFile, name: str, most: int) -> bytes:
    info = parcel.getinfo(name)
    if info.file_size > most:
        raise FileTooLarge(f"“{name}” in this file is too large.", field="file")
    with parcel.open(info) as part:
        # The header may lie about the size; what comes out is what counts.
        found = part.read(min(most, info.file_size) + 1)
    if len(found) != info.file_size:
        raise _foreign()
    return found


def _listed(said: object) -> Iterator[tuple[str, str, str]]:
    if said is None:
        return
    if not isinstance(said, list) or len(said) > MOST_PHOTOS:
        raise _foreign()
    for entry in said:
        if not isinstance(entry, dict) or not re.fullmatch(r"photos/\d{4}\.(jpg|png|webp)", str(entry.get("file"))):
            raise _foreign()
        yield str(entry["file"]), str(entry.get("name", "")), str(entry.get("caption", ""))[:10_000]


def _sets(parcel: zipfile.ZipFile, said: object, known: dict[str, bytes]) -> Iterator[LearnedSet]:
    """`known` are the photos by their names in the file; a file without datasets is one of an older version."""
    if said is None:
        return
    if not isinstance(said, list) or len(said) > MOST_SETS:
        raise _foreign()
    for one in said:
        listed = one.get("pictures") if isinstance(one, dict) else None
        if not isinstance(listed, list) or len(listed) > MOST_LEARNED:
            raise _foreign()
        pictures: list[Learned] = []
        for entry in listed:
            if not isinstance(entry, dict):
                raise _foreign()
            file = str(entry.get("file"))
            if file not in known:
                if not re.fullmatch(r"learned/\d{5}\.(jpg|png|webp)", file):
                    raise _foreign()
                known[file] = _part(parcel, file, MOST_BYTES)
            tags = entry.get("tags")
            pictures.append(
                Learned(
                    str(entry.get("name", "")),
                    str(entry.get("caption", ""))[:10_000],
                    tuple(str(tag) for tag in tags) if isinstance(tags, list) else (),
                    "",
                    known[file],
                )
            )
        yield LearnedSet(str(one.get("name", "")), tuple(pictures))


def _evidence(parcel: zipfile.ZipFile, said: object) -> tuple[str, bytes] | None:
    if not isinstance(said, str) or not re.fullmatch(r"evidence\.[a-z0-9]{1,5}", said):
        return None
    return said, _part(parcel, said, 64 * 2**20)


def _foreign() -> ContractMismatch:
    return ContractMismatch(
        "This is not a character that was exported from Likeness, or the file is broken.",
        field="file",
        remedy="Choose a file that “Export” of a character made.",
    )
