"""Photos as they come from phones and cameras: checked, turned upright, freed of everything private, kept in their own format.

A JPEG that needs no turning is not encoded again: what says where and when it was taken is cut out of the file, the picture stays as
it was. Anything unusual (another colour space, CMYK, 16 bits, transparency, HEIC) becomes a plain sRGB JPEG or PNG.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from PIL import Image

from studio import metadata
from studio.errors import FileTooLarge, ImageInvalid

QUALITY = 95
LONGEST_NAME = 120
_ORIENTATION = 0x0112


@dataclass(frozen=True)
class Photo:
    """A photo that can be kept. `data` is a file of the kind that `suffix` says (`.jpg`, `.png`, `.webp`); `image` is upright RGB."""

    image: Image.Image
    data: bytes
    suffix: str


def read_photo(data: bytes, max_megapixels: float) -> Photo:
    """Check and clean one file. Raises ImageInvalid or FileTooLarge saying what is wrong with it."""
    try:
        return _read(data, max_megapixels)
    except ImageInvalid as error:
        # Other uploads are no photos of phones, so what is said of them leaves out HEIC.
        message = error.message.replace("JPEG or WebP", "JPEG, WebP or HEIC")
        raise ImageInvalid(message, field=error.field, remedy=error.remedy.replace("JPEG or WebP", "JPEG, WebP or HEIC")) from error


def _read(data: bytes, max_megapixels: float) -> Photo:
    if _is_heic(data):
        return _from_heic(data, max_megapixels)
    kind = metadata.peek_upload(data, max_megapixels)
    with metadata.own_limits():
        image = Image.open(io.BytesIO(data), formats=metadata.FORMATS)
        metadata.load(image)
    if image.getexif().get(_ORIENTATION, 1) == 1 and not image.info.get("icc_profile") and image.mode in ("RGB", "L"):
        cut = _CUT[kind](data)
        if cut is not None:
            # Pillow copies even what is RGB already: for a large photo that takes as long as decoding it.
            return Photo(image if image.mode == "RGB" else image.convert("RGB"), cut, _SUFFIX[kind])
    upright = metadata.upright_rgb(image)
    return Photo(upright, *_encoded(upright, lossless=kind == "PNG"))


def written_like(image: Image.Image, suffix: str) -> Photo:
    """A changed picture as a file of its own: a JPEG where it was one (`.jpg`), else a PNG that loses nothing."""
    return Photo(image, *_encoded(image, lossless=suffix != ".jpg"))


def plain_name(name: str) -> str:
    """A file's own name, without folders, fit to be shown: never used as a path."""
    last = PurePosixPath(name.replace("\\", "/")).name
    shown = "".join(ch for ch in last if ch.isprintable())
    return shown if len(shown) <= LONGEST_NAME else f"{shown[: LONGEST_NAME - 1]}…"


_SUFFIX = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp"}


def _encoded(image: Image.Image, *, lossless: bool) -> tuple[bytes, str]:
    out = io.BytesIO()
    if lossless:
        image.save(out, "PNG", **metadata.PNG_SETTINGS)
        return out.getvalue(), ".png"
    image.save(out, "JPEG", quality=QUALITY, subsampling=0)
    return out.getvalue(), ".jpg"


def _is_heic(data: bytes) -> bool:
    return data[4:8] == b"ftyp" and data[8:12] in (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")


def _from_heic(data: bytes, max_megapixels: float) -> Photo:
    import pi_heif

    try:
        found = pi_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=True)
        width, height = found.size
        if width * height > max_megapixels * 1e6 or max(width, height) > metadata.MAX_SIDE:
            raise metadata.too_many_pixels(width, height, max_megapixels)
        image = found.to_pillow()
    except FileTooLarge:
        raise
    except (*metadata.UNREADABLE, RuntimeError, EOFError) as error:
        raise ImageInvalid("The HEIC photo is cut off or broken.", field="file") from error
    # libheif turns it upright itself; what its EXIF says of that must not be done twice.
    image.info.pop("exif", None)
    upright = metadata.upright_rgb(image)
    return Photo(upright, *_encoded(upright, lossless=False))


# What may stay of each container; everything else says where, when, or with what a photo was taken.


def _cut_jpeg(data: bytes) -> bytes | None:
    """The JPEG without its APP1-APP15 and comment segments (APP14, Adobe's colour transform, stays); None if it isn't plainly built."""
    kept = [b"\xff\xd8"]
    for marker, start, end in _segments(data):
        if marker == 0xC2:
            return None  # progressive: its end can't be told from inside its many scans
        if marker == 0xDA:
            # Behind the last scan phones keep more: other pictures, videos, their own notes.
            finish = data.rfind(b"\xff\xd9")
            if finish < start:
                return None
            return b"".join([*kept, data[start : _first_end(data, start, finish)]])
        if marker == 0xEE or not (0xE1 <= marker <= 0xEF or marker == 0xFE):
            kept.append(data[start:end])
    return None


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        length = struct.unpack(">H", data[at + 2 : at + 4])[0]
        yield marker, at, at + 2 + length
        at += 2 + length


def _first_end(data: bytes, start: int, last: int) -> int:
    # Inside a scan 0xFF is always followed by 0 or a restart marker: the first real end ends the first picture.
    found = data.find(b"\xff\xd9", start)
    return (found if found >= 0 else last) + 2


def _cut_png(data: bytes) -> bytes | None:
    kept = [data[:8]]
    at = 8
    while at + 12 <= len(data):
        length = struct.unpack(">I", data[at : at + 4])[0]
        name = data[at + 4 : at + 8]
        if name[:1].isupper() or name in (b"tRNS", b"gAMA", b"sRGB", b"pHYs"):
            kept.append(data[at : at + 12 + length])
        if name == b"IEND":
            return b"".join(kept)
        at += 12 + length
    return None


def _cut_webp(data: bytes) -> bytes | None:
    if data[12:16] in (b"VP8 ", b"VP8L"):
        size = struct.unpack("<I", data[4:8])[0]
        chunk = struct.unpack("<I", data[16:20])[0]
        # A simple file holds one chunk and nothing private.
        return data[: 8 + size] if size <= chunk + 4 + 8 + 1 else None
    return None


_CUT = {"JPEG": _cut_jpeg, "PNG": _cut_png, "WEBP": _cut_webp}
