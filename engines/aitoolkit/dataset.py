"""The pictures and captions of a run as files that AI-Toolkit reads whole: it passes over what it can't read, and says nothing.

Files are named by what is in them. Its cache of latents goes by names, and so never shows it a picture that was replaced.
"""

from __future__ import annotations

import hashlib
import io
import shutil
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageOps

from studio.errors import ImageInvalid, InvalidFieldValue, from_os_error
from studio.files import write_atomically
from studio.training import TrainingPicture

CAPTION = ".txt"
# As they are, where they are plain: anything else is written anew as PNG.
_AS_THEY_ARE = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp"}
_ORIENTATION = 0x0112


def write_dataset(pictures: Sequence[TrainingPicture], trigger: str, folder: Path) -> None:
    """Make `folder` hold these pictures, each with its caption, and none besides.

    Raises InvalidFieldValue without pictures or where a picture has neither caption nor trigger word, ImageInvalid naming the picture
    that can't be read, DiskFull.
    """
    if not pictures:
        raise InvalidFieldValue("There are no pictures to learn from.", remedy="Add pictures to the dataset.", field="pictures")
    wanted: set[str] = set()
    try:
        for picture in pictures:
            caption = " ".join(picture.caption.split()) or trigger
            if not caption:
                raise InvalidFieldValue(
                    f"{picture.path.name} has no caption, and there is no trigger word.", remedy="Write a caption for it.", field="pictures"
                )
            data, suffix = _readable(picture.path)
            name = _free_name(hashlib.sha256(data).hexdigest()[:20], suffix, wanted)
            wanted |= {f"{name}{suffix}", f"{name}{CAPTION}"}
            _put(folder / f"{name}{suffix}", data)
            _put(folder / f"{name}{CAPTION}", caption.encode())
        for path in folder.iterdir():
            if path.is_file() and path.name not in wanted:
                path.unlink()
    except OSError as error:
        raise from_os_error(error, "write the pictures for AI-Toolkit") from error


def forget_dataset(folder: Path) -> None:
    """Take the copies and the cache away: the run is over."""
    shutil.rmtree(folder, ignore_errors=True)


def _free_name(digest: str, suffix: str, taken: set[str]) -> str:
    # The same picture twice is learned twice, as the person asked.
    name, number = digest, 1
    while f"{name}{suffix}" in taken:
        number += 1
        name = f"{digest}-{number}"
    return name


def _put(path: Path, data: bytes) -> None:
    try:
        if path.read_bytes() == data:
            return
    except FileNotFoundError:
        pass
    write_atomically(path, data)


def _readable(path: Path) -> tuple[bytes, str]:
    try:
        data = path.read_bytes()
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            plain = image.mode == "RGB" and not getattr(image, "is_animated", False) and image.getexif().get(_ORIENTATION, 1) == 1
            if plain and image.format in _AS_THEY_ARE:
                return data, _AS_THEY_ARE[image.format]
            upright = ImageOps.exif_transpose(image)
            if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
                seen = upright.convert("RGBA")
                upright = Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen)
            written = io.BytesIO()
            upright.convert("RGB").save(written, "PNG")
            return written.getvalue(), ".png"
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ImageInvalid(f"{path.name} can't be read: {error}", remedy="Take it out of the dataset, or give it again.") from error
