"""The files of datasets: each under the name of its contents, so that the same picture lies on disk once, however many datasets have it.

A trainer keeps what it made of a picture under the picture's file name: under such a name that is never another picture's.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from studio import metadata
from studio.errors import ImageInvalid, NotFound, from_os_error
from studio.files import write_atomically
from studio.photos import Photo

FILES = "datasets/files"
THUMBNAILS = "datasets/thumbnails"
SHA256 = re.compile(r"\b[0-9a-f]{64}\b")
# A file is written before its row: what is younger than this may still be waited for.
_YOUNG_S = 3600.0


@dataclass(frozen=True)
class Kept:
    """A picture's file as it lies on disk. `path` is relative to the data root."""

    sha256: str
    path: str
    width: int
    height: int


class DatasetShelf:
    """Pictures under `data`/datasets, and a thumbnail for each."""

    def __init__(self, data: Path) -> None:
        self.data = data

    def keep(self, photo: Photo) -> Kept:
        """Write a picture and its thumbnail, unless they are there. Raises DiskFull, DataRootReadOnly."""
        sha256 = hashlib.sha256(photo.data).hexdigest()
        kept = Kept(sha256, f"{FILES}/{sha256[:2]}/{sha256}{photo.suffix}", photo.image.width, photo.image.height)
        path = self.data / kept.path
        try:
            if path.is_file():
                # Younger again: nobody clears away what is about to be named in a row.
                os.utime(path)
            else:
                write_atomically(path, photo.data)
            if not self._thumbnail_path(sha256).is_file():
                self._write_thumbnail(sha256, photo.image)
        except OSError as error:
            raise from_os_error(error, "keep the picture") from error
        return kept

    def file(self, path: str) -> Path:
        """Where a picture lies. Raises NotFound."""
        found = self.data / path
        if not found.is_file():
            raise NotFound("The file of this picture is gone.", remedy=f"Put {found.name} back into {found.parent}, or remove the picture.")
        return found

    def pixels(self, path: str) -> Image.Image:
        """The picture itself, in RGB. Raises NotFound, ImageInvalid."""
        try:
            with metadata.own_limits(), Image.open(self.file(path)) as image:
                return image.convert("RGB")
        except (OSError, UnidentifiedImageError) as error:
            raise ImageInvalid("The file of this picture can't be read.", remedy="Remove the picture, or add it again.") from error

    def thumbnail(self, path: str) -> Path:
        """The WebP thumbnail, made now if it is missing. Raises NotFound, ImageInvalid."""
        sha256 = Path(path).stem
        found = self._thumbnail_path(sha256)
        if not found.is_file():
            try:
                self._write_thumbnail(sha256, self.pixels(path))
            except OSError as error:
                raise from_os_error(error, "save the thumbnail") from error
        return found

    def sweep(self, named: Collection[str], *, young_s: float = _YOUNG_S) -> int:
        """Delete the files whose SHA-256 is not among these; gives how many that were. Those of the last hour stay."""
        gone = 0
        for file in (self.data / FILES).glob("*/*"):
            if file.stem in named or file.stat().st_mtime > time.time() - young_s:
                continue
            file.unlink(missing_ok=True)
            self._thumbnail_path(file.stem).unlink(missing_ok=True)
            gone += 1
        return gone

    def _write_thumbnail(self, sha256: str, image: Image.Image) -> None:
        # It can be made again at any time: nothing waits for the disk.
        path = self._thumbnail_path(sha256)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{sha256[:16]}.{secrets.token_hex(4)}.tmp")
        temporary.write_bytes(metadata.thumbnail(image))
        os.replace(temporary, path)

    def _thumbnail_path(self, sha256: str) -> Path:
        return self.data / THUMBNAILS / sha256[:2] / f"{sha256}.webp"
