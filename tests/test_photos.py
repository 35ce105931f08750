"""Photos lose what is private and keep their pixels; whatever can't be used says why."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from studio.errors import FileTooLarge, ImageInvalid
from studio.photos import plain_name, read_photo

HEIC = Path(__file__).parent / "files" / "two_colours.heic"
SECRET = b"SecretCam"


def _photo(kind: str, size: tuple[int, int] = (60, 40), mode: str = "RGB", **options: object) -> bytes:
    out = io.BytesIO()
    noise = np.random.default_rng(4).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).convert(mode).save(out, kind, **options)
    return out.getvalue()


def _exif(orientation: int = 1) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[271] = SECRET.decode()
    exif[0x8825] = {1: "N", 2: (52.0, 31.0, 12.0)}
    return exif


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_everything_private_is_cut_out_of_the_file(kind: str) -> None:
    sent = _photo(kind, exif=_exif())
    assert SECRET in sent
    photo = read_photo(sent, 100)
    assert SECRET not in photo.data
    kept = Image.open(io.BytesIO(photo.data))
    assert not kept.getexif()
    assert kept.size == (60, 40)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_photo_that_needs_no_turning_keeps_its_pixels_exactly(kind: str) -> None:
    sent = _photo(kind, exif=_exif())
    kept = Image.open(io.BytesIO(read_photo(sent, 100).data))
    assert np.array_equal(np.asarray(kept), np.asarray(Image.open(io.BytesIO(sent))))


def test_a_progressive_photo_is_cleaned_too() -> None:
    photo = read_photo(_photo("JPEG", progressive=True, exif=_exif()), 100)
    assert SECRET not in photo.data
    Image.open(io.BytesIO(photo.data)).load()


def test_what_lies_behind_a_photo_is_left_out() -> None:
    photo = read_photo(_photo("JPEG") + b"a second picture: " + SECRET, 100)
    assert SECRET not in photo.data
    Image.open(io.BytesIO(photo.data)).load()


@pytest.mark.parametrize(("orientation", "size"), [(3, (60, 40)), (6, (40, 60)), (8, (40, 60))])
def test_a_turned_photo_is_kept_upright(orientation: int, size: tuple[int, int]) -> None:
    photo = read_photo(_photo("JPEG", exif=_exif(orientation)), 100)
    assert photo.image.size == size
    assert Image.open(io.BytesIO(photo.data)).size == size


@pytest.mark.parametrize(
    ("kind", "mode"), [("JPEG", "CMYK"), ("PNG", "I;16"), ("PNG", "RGBA"), ("PNG", "P"), ("JPEG", "L"), ("WEBP", "RGBA")]
)
def test_unusual_colours_become_plain_ones(kind: str, mode: str) -> None:
    if mode == "I;16":
        out = io.BytesIO()
        Image.fromarray(np.full((40, 60), 40000, dtype=np.uint16)).save(out, "PNG")
        sent = out.getvalue()
    else:
        sent = _photo(kind, mode=mode)
    photo = read_photo(sent, 100)
    assert photo.image.mode == "RGB"
    assert Image.open(io.BytesIO(photo.data)).mode in ("RGB", "L")


def test_a_wide_colour_space_is_turned_into_the_pages_own() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    photo = read_photo(_photo("JPEG", icc_profile=profile), 100)
    assert not Image.open(io.BytesIO(photo.data)).info.get("icc_profile")


def test_heic_is_read() -> None:
    photo = read_photo(HEIC.read_bytes(), 100)
    assert photo.suffix == ".jpg"
    assert SECRET not in photo.data
    left, right = photo.image.getpixel((10, 30)), photo.image.getpixel((80, 30))
    assert isinstance(left, tuple)
    assert isinstance(right, tuple)
    assert left[0] > 150 > left[2]
    assert right[2] > 150 > right[0]


def test_a_broken_heic_says_so() -> None:
    with pytest.raises(ImageInvalid, match="HEIC"):
        read_photo(HEIC.read_bytes()[:200], 100)


def _bomb(width: int, height: int) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


def _moving() -> bytes:
    out = io.BytesIO()
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(out, "WEBP", save_all=True, append_images=frames[1:])
    return out.getvalue()


def _gif() -> bytes:
    out = io.BytesIO()
    Image.new("P", (8, 8), 1).save(out, "GIF", save_all=True, append_images=[Image.new("P", (8, 8), 2)], duration=100)
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        (_bomb(20_000, 20_000), FileTooLarge, "20000×20000"),
        (b"hello, I am a text file", ImageInvalid, "not a PNG, JPEG, WebP or HEIC picture"),
        (_photo("JPEG")[:900], ImageInvalid, "cut off"),
        (_gif(), ImageInvalid, "not a PNG"),
        (_moving(), ImageInvalid, "moves"),
        (b"", ImageInvalid, "empty"),
    ],
    ids=["bomb", "text", "truncated", "gif", "moving", "empty"],
)
def test_what_can_not_be_used_says_why(data: bytes, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        read_photo(data, 100)


def test_names_are_only_ever_shown() -> None:
    assert plain_name("../../etc/passwd") == "passwd"
    assert plain_name("C:\\Users\\me\\face.jpg") == "face.jpg"
    assert len(plain_name("x" * 300 + ".png")) == 120
    assert plain_name("👩‍🎨\n.png") == "👩🎨.png"
