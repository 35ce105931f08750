"""Datasets as other programs keep them: folders and ZIPs of pictures with a text file beside each.

    kohya          10_zxmia woman/a.png, a.txt      ten times each in a round; trigger word and class in the folder's name
    AI-Toolkit     zxmia/a.png, a.txt               its own caches lie beside them (`_latent_cache`, `.aitk_size.json`)
    plain          anything else with pictures

`arrange` recognises them by their names alone. Nothing in a ZIP is believed: its paths never become paths here, sizes are counted while
unpacking.
"""

from __future__ import annotations

import re
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from io import BytesIO
from itertools import islice
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO, Self

from studio import parcel
from studio.captions import caption_bytes, caption_files, read_caption
from studio.contracts import Contract
from studio.errors import ContractMismatch, FileTooLarge, InvalidFieldValue, LikenessError, NotFound, from_os_error
from studio.photos import plain_name

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".heic", ".heif", ".bmp", ".gif", ".tif", ".tiff", ".avif"})
"""What counts as a picture by its name. Some of these are refused when they are read, with words of their own."""

MOST_FILES = 20_000
MOST_BYTES = 8 * 2**30
_DEPTH = 4
_MOST_REPEATS = 10_000
_CHUNK = 2**20
_KOHYA = re.compile(r"(\d{1,5})_(.+)")
# What systems and trainers leave beside pictures.
_NOISE = frozenset({"__macosx", "thumbs.db", "desktop.ini", "_latent_cache", "_t_e_cache", "_controls", "_clip_vision_cache"})
_REGULARISATION = frozenset({"reg", "regularization", "regularisation"})
_FALLBACK = "default.txt"
_MOST_TEXT = 2**20


class Layout(StrEnum):
    """How a dataset is laid out."""

    kohya = "kohya"
    aitoolkit = "aitoolkit"
    plain = "plain"


class Group(Contract):
    """Pictures of one folder. `repeats` is how often each comes in a round; `trigger` and `class_word` are what kohya's name says."""

    folder: str
    repeats: int = 1
    trigger: str = ""
    class_word: str = ""
    pictures: tuple[str, ...]


class Arrangement(Contract):
    """What lies in a folder or ZIP: paths inside it with `/`. `captions` is each picture's text file; `left_out` what is not taken in."""

    layout: Layout
    groups: tuple[Group, ...]
    captions: dict[str, str]
    left_out: tuple[str, ...] = ()

    @property
    def pictures(self) -> int:
        """How many there are."""
        return sum(len(group.pictures) for group in self.groups)


@dataclass(frozen=True)
class Found:
    """One picture of a dataset: its path inside, its name to show, its bytes and caption.

    `problem` says what is wrong with picture or caption; without bytes it is the picture, otherwise the caption, which is empty then.
    """

    path: str
    name: str
    data: bytes | None
    caption: str
    group: Group
    problem: LikenessError | None = None


def kohya_name(folder: str) -> tuple[int, str, str] | None:
    """Repeats, trigger word and class of a folder's name such as `10_zxmia woman`; None for another name."""
    match = _KOHYA.fullmatch(folder)
    if match is None or not 1 <= int(match[1]) <= _MOST_REPEATS:
        return None
    trigger, _, class_word = match[2].replace("_", " ").strip().partition(" ")
    return (int(match[1]), trigger, class_word.strip()) if trigger else None


def arrange(paths: Sequence[str], root: str = "") -> Arrangement:
    """Which of these paths are pictures, which their captions, and whose layout it is. `root` is the name of the folder they lie in."""
    known = {path.casefold(): path for path in paths}
    folders: dict[str, list[str]] = {}
    left_out: list[str] = []
    caches = False
    for path in sorted(paths, key=lambda each: _natural(str(PurePosixPath(each).with_suffix("")))):
        parts = [part.casefold() for part in PurePosixPath(path).parts]
        caches = caches or "_latent_cache" in parts or ".aitk_size.json" in parts
        if any(part in _NOISE or part.startswith(".") for part in parts):
            continue
        if PurePosixPath(path).suffix.lower() not in PICTURES:
            continue
        # What kohya learns a class by is not the character.
        if len(parts) > 1 and any(part in _REGULARISATION for part in parts[:-1]):
            left_out.append(path)
            continue
        folders.setdefault(PurePosixPath(path).parent.as_posix(), []).append(path)
    captions = {path: text for inside in folders.values() for path in inside if (text := _caption_of(path, known))}
    groups = tuple(_group(folder, inside, root) for folder, inside in folders.items())
    kohya = any(kohya_name(PurePosixPath(group.folder).name or root) for group in groups)
    layout = Layout.kohya if kohya else Layout.aitoolkit if caches or _FALLBACK in known else Layout.plain
    return Arrangement(layout=layout, groups=groups, captions=captions, left_out=tuple(left_out))


class DatasetFolder:
    """A folder of pictures on this computer. Links are not followed. Raises NotFound, FileTooLarge for more files than are taken in."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise NotFound(f"There is no folder {folder}.", field="folder", remedy="Check the path; it is one on the studio's computer.")
        self._folder = folder
        paths = list(islice(self._paths(folder, _DEPTH), MOST_FILES + 1))
        if len(paths) > MOST_FILES:
            raise _too_many()
        self.arrangement = arrange(paths, folder.name)

    def pictures(self, most_bytes: int) -> Iterator[Found]:
        """Each picture with its caption; one of more than `most_bytes`, or that can't be read, comes with its problem."""
        yield from _pictures(self.arrangement, self._read, most_bytes)

    def _paths(self, folder: Path, depth: int) -> Iterator[str]:
        try:
            entries = sorted(folder.iterdir())
        except OSError as error:
            raise from_os_error(error, f"look into {folder}") from error
        for entry in entries:
            if entry.is_symlink():
                continue
            if entry.is_file():
                yield entry.relative_to(self._folder).as_posix()
            elif entry.is_dir() and depth > 1:
                yield from self._paths(entry, depth - 1)

    def _read(self, path: str, most: int) -> bytes:
        try:
            with (self._folder / path).open("rb") as file:
                data = file.read(most + 1)
        except OSError as error:
            raise from_os_error(error, f"read {PurePosixPath(path).name}") from error
        if len(data) > most:
            raise _too_large(path, most)
        return data


class DatasetZip:
    """A ZIP of pictures. Nothing is unpacked onto the disk. Close it, or use it with `with`.

    Raises ContractMismatch for a file that is no ZIP, is encrypted or holds paths that lead out of it; FileTooLarge.
    """

    def __init__(self, file: Path | IO[bytes] | bytes, name: str = "") -> None:
        try:
            self._zip = zipfile.ZipFile(BytesIO(file) if isinstance(file, bytes) else file)
        except (zipfile.BadZipFile, OSError, ValueError, EOFError, NotImplementedError) as error:
            raise _no_zip() from error
        try:
            self._entries = self._checked(self._zip.infolist())
            root = Path(name or (file.name if isinstance(file, Path) else "")).stem
            self.arrangement = arrange(list(self._entries), root)
        except BaseException:
            self._zip.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._zip.close()

    def pictures(self, most_bytes: int) -> Iterator[Found]:
        """Each picture with its caption; one of more than `most_bytes`, or that can't be unpacked, comes with its problem."""
        yield from _pictures(self.arrangement, self._read, most_bytes)

    def _checked(self, entries: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
        if len(entries) > MOST_FILES:
            raise _too_many()
        if sum(entry.file_size for entry in entries) > MOST_BYTES:
            raise FileTooLarge(f"Unpacked, this ZIP would be larger than {MOST_BYTES // 2**30} GB.", field="file", remedy="Split it.")
        found: dict[str, zipfile.ZipInfo] = {}
        for entry in entries:
            # Windows' own compressor writes backslashes.
            name = entry.filename.replace("\\", "/")
            if entry.is_dir() or name.endswith("/"):
                continue
            parts = name.split("/")
            odd = name.startswith("/") or ".." in parts or "" in parts or "\0" in entry.orig_filename or re.match(r"[A-Za-z]:", name)
            if odd or stat.S_ISLNK(entry.external_attr >> 16):
                raise ContractMismatch(
                    "This ZIP holds a path that leads out of it, so nothing of it is taken in.",
                    field="file",
                    remedy="Make the ZIP anew from a plain folder.",
                )
            if entry.flag_bits & 1:
                raise ContractMismatch("This ZIP is encrypted.", field="file", remedy="Make one without a password.")
            # Of two entries with one name the last counts, as for every program that unpacks.
            found[name] = entry
        return found

    def _read(self, path: str, most: int) -> bytes:
        entry = self._entries[path]
        if entry.file_size > most:
            raise _too_large(path, most)
        data = bytearray()
        try:
            with self._zip.open(entry) as part:
                # The header may lie about the size; what comes out is what counts.
                while piece := part.read(min(_CHUNK, most + 1 - len(data))):
                    data += piece
                    if len(data) > most:
                        raise _too_large(path, most)
        except (zipfile.BadZipFile, OSError, EOFError, ValueError, RuntimeError, NotImplementedError, zlib.error) as error:
            raise ContractMismatch(
                f"“{PurePosixPath(path).name}” can't be unpacked; the ZIP is damaged.", field="file", remedy="Make or download it again."
            ) from error
        return bytes(data)


class DatasetFiles:
    """Files of a folder that somebody chose in a browser: paths inside it, with their bytes. Paths only say what lies beside what."""

    def __init__(self, files: Sequence[tuple[str, bytes]]) -> None:
        self._files = {path.replace("\\", "/"): data for path, data in files}
        self.arrangement = arrange(list(self._files))

    def pictures(self, most_bytes: int) -> Iterator[Found]:
        """Each picture with its caption; one of more than `most_bytes` comes with its problem."""
        yield from _pictures(self.arrangement, self._read, most_bytes)

    def _read(self, path: str, most: int) -> bytes:
        data = self._files[path]
        if len(data) > most:
            raise _too_large(path, most)
        return data


DatasetSource = DatasetFolder | DatasetZip | DatasetFiles
"""Where a dataset comes from: `arrangement` says what lies in it, `pictures` reads them."""


def pack(pictures: Iterable[tuple[str, Path, str]], *, trigger: str = "", class_word: str = "", repeats: int = 0) -> Iterator[bytes]:
    """The bytes of a ZIP, piece by piece: each picture (a name to show, its file, its caption) with its caption's file beside it.

    With `repeats` they lie in a folder as kohya names them. Names are made safe and unique, also where capitals don't count; a picture
    whose file is gone is left out. Raises InvalidFieldValue for repeats without a trigger word.
    """
    folder = ""
    if repeats:
        if not trigger:
            raise InvalidFieldValue("A kohya folder is named after the trigger word.", field="trigger", remedy="Write the trigger word.")
        folder = f"{repeats}_{' '.join(filter(None, (_file_word(trigger), _file_word(class_word))))}/"
    return _packed(pictures, folder)


def _packed(pictures: Iterable[tuple[str, Path, str]], folder: str) -> Iterator[bytes]:
    now = datetime.now().astimezone()
    sink = parcel.Sink()
    taken: set[str] = set()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as out:
        for name, path, caption in pictures:
            try:
                file = path.open("rb")
            except OSError:
                continue
            # A picture and its caption share the name before the dot, so that is what must be unique.
            stem = _free(_file_word(PurePosixPath(plain_name(name)).stem) or "picture", taken)
            with file:
                yield from parcel.stored(out, sink, f"{folder}{stem}{path.suffix.lower()}", now, file)
            if caption:
                yield from parcel.stored(out, sink, f"{folder}{stem}.txt", now, BytesIO(caption_bytes(caption)))
    yield sink.take()


def _pictures(arrangement: Arrangement, read: Callable[[str, int], bytes], most_bytes: int) -> Iterator[Found]:
    for group in arrangement.groups:
        for path in group.pictures:
            name = plain_name(path)
            caption, problem = "", None
            if text := arrangement.captions.get(path):
                try:
                    caption = read_caption(read(text, _MOST_TEXT), PurePosixPath(text).name)
                except LikenessError as error:
                    problem = error
            try:
                data = read(path, most_bytes)
            except LikenessError as error:
                yield Found(path, name, None, caption, group, error)
                continue
            yield Found(path, name, data, caption, group, problem)


def _group(folder: str, pictures: list[str], root: str) -> Group:
    place = "" if folder == "." else folder
    said = kohya_name(PurePosixPath(place).name if place else root)
    if said is None:
        return Group(folder=place, pictures=tuple(pictures))
    repeats, trigger, class_word = said
    return Group(folder=place, repeats=repeats, trigger=trigger, class_word=class_word, pictures=tuple(pictures))


def _caption_of(picture: str, known: dict[str, str]) -> str | None:
    place = PurePosixPath(picture)
    # AI-Toolkit takes `default.txt` for pictures without one of their own.
    names = (*caption_files(place), _FALLBACK)
    return next((found for name in names if (found := known.get(place.with_name(name).as_posix().casefold()))), None)


def _natural(path: str) -> tuple[object, ...]:
    # 2.png before 10.png, as file managers show them.
    return tuple((0, int(part), "") if part.isdigit() and part.isascii() else (1, 0, part.casefold()) for part in re.split(r"(\d+)", path))


def _file_word(text: str) -> str:
    """Text that can be a file's name on every system."""
    plain = re.sub(r'[<>:"/\\|?*\x00-\x1f]+', " ", text)
    return " ".join(plain.split())[:80].strip(" .")


def _free(stem: str, taken: set[str]) -> str:
    free, number = stem, 1
    while free.casefold() in taken:
        number += 1
        free = f"{stem}-{number}"
    taken.add(free.casefold())
    return free


def _no_zip() -> ContractMismatch:
    return ContractMismatch("This is not a ZIP, or it is damaged.", field="file", remedy="Choose a ZIP of pictures, or make it again.")


def _too_many() -> FileTooLarge:
    return FileTooLarge(f"There are more than {MOST_FILES:,} files in it.", field="file", remedy="Take in a part of it at a time.")


def _too_large(path: str, most: int) -> FileTooLarge:
    return FileTooLarge(
        f"“{PurePosixPath(path).name}” is larger than {most / 2**20:,.0f} MB.",
        field="file",
        remedy="Make it smaller, or raise LIKENESS_MAX_UPLOAD_MB.",
    )
