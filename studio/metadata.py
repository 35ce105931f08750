"""What a picture's file says of itself, and what is taken in from files of others.

PNG text chunks: `parameters` as A1111 writes it (other programs read it), `likeness` as our own JSON, and XMP with IPTC's
digital source type, which marks the picture as made with AI.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import struct
import warnings
import zlib
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from PIL import Image, ImageCms, ImageOps, PngImagePlugin

from studio import VERSION
from studio.contracts import Recipe, Tone
from studio.engine import Crop
from studio.errors import FileTooLarge, ImageInvalid

SCHEMA = 1
FORMATS = ("PNG", "JPEG", "WEBP")
PNG_SETTINGS = {"compress_level": 6}
THUMBNAIL_SIDE = 384
MAX_SIDE = 30_000
# The setting says how large an upload may be; Pillow's own limit would come before the setting's ceiling.
Image.MAX_IMAGE_PIXELS = 1_000_000_000

# https://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia
_XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
 xmp:CreatorTool="Likeness {version}"/></rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>"""

# A1111's own names where it has one; people and programs look for these words.
_SAMPLERS = {
    "dpmpp_2m": "DPM++ 2M",
    "dpmpp_2m_sde": "DPM++ 2M SDE",
    "dpmpp_sde": "DPM++ SDE",
    "euler": "Euler",
    "euler_a": "Euler a",
    "heun": "Heun",
    "ddim": "DDIM",
    "unipc": "UniPC",
    "lcm": "LCM",
}
# Each pair begins at the line's start or a comma and nothing is tried twice: a foreign file must not cost more than its length.
_PAIR = re.compile(r'(?:^|,)\s*+(\w[\w \-/]*+):\s*+("(?:\\.|[^\\"])*+"|[^,]*+)')


def png_bytes(
    image: Image.Image,
    recipe: Recipe,
    *,
    index: int,
    seed: int,
    model_name: str,
    model_hash: str,
    lora_hashes: dict[str, str],
    job_id: str,
    created_at: datetime,
    crop: Crop | None = None,
    graph: Mapping[str, Any] | None = None,
) -> bytes:
    """The picture as a PNG file that says how it was made. `model_hash` and `lora_hashes` are SHA-256 in hex.

    A `graph` stands where ComfyUI looks for it: dropped onto its page, the picture opens as the workflow that made it.
    """
    ours = {
        "schema": SCHEMA,
        "made_with_ai": True,
        "software": f"Likeness {VERSION}",
        "created_at": created_at.isoformat(timespec="milliseconds"),
        "job_id": job_id,
        "index": index,
        "seed": seed,
        "model_name": model_name,
        "model_hash": model_hash,
        "lora_hashes": lora_hashes,
        "crop": None if crop is None else {"box": list(crop.box), "size": list(crop.size)},
        # Who agreed to what is kept in the library; a file that is shown around need not tell.
        "recipe": recipe.model_dump(mode="json", exclude={"consent"}),
    }
    text = PngImagePlugin.PngInfo()
    words = infotext(recipe, seed=seed, model_name=model_name, model_hash=model_hash, lora_hashes=lora_hashes, crop=crop)
    text.add_itxt("parameters", words) if not words.isascii() else text.add_text("parameters", words)
    if graph is not None:
        text.add_text("prompt", json.dumps(graph))
    text.add_itxt("likeness", json.dumps(ours, ensure_ascii=False))
    text.add_itxt("XML:com.adobe.xmp", _XMP.format(version=VERSION))
    data = io.BytesIO()
    image.save(data, "PNG", pnginfo=text, **PNG_SETTINGS)
    return data.getvalue()


def infotext(recipe: Recipe, *, seed: int, model_name: str, model_hash: str, lora_hashes: dict[str, str], crop: Crop | None = None) -> str:
    """The parameters as A1111 writes them: the prompt, the negative prompt, then one line of `Name: value` pairs.

    `Size` is the picture's own; of one that was drawn in part, `Drawn part` says which one and `Drawn size` how large it was drawn.
    """
    # LoRAs stand in the prompt there, which is also where their strength is found.
    tags = "".join(f" <lora:{Path(use.path).stem}:{use.strength:g}>" for use in recipe.loras)
    pairs: dict[str, object] = {
        "Steps": recipe.steps,
        "Sampler": _SAMPLERS.get(recipe.sampler, recipe.sampler),
        "Schedule type": recipe.scheduler.replace("_", " ").title(),
        "CFG scale": f"{recipe.cfg:g}",
        "Seed": seed,
        "Size": f"{recipe.width}x{recipe.height}",
        **({"Model hash": model_hash[:10]} if model_hash else {}),
        "Model": model_name,
    }
    if crop is not None:
        left, top, right, bottom = crop.box
        pairs["Inpaint area"] = "Only masked"
        pairs["Drawn part"] = f"{right - left}x{bottom - top}+{left}+{top}"
        pairs["Drawn size"] = f"{crop.size[0]}x{crop.size[1]}"
    if lora_hashes:
        pairs["Lora hashes"] = ", ".join(f"{name}: {digest[:12]}" for name, digest in lora_hashes.items())
    if recipe.tone is not Tone.none:
        pairs["Tone mapping"] = f"{recipe.tone.value.title()} {recipe.tone_strength:g}"
    if recipe.grain:
        pairs["Film grain"] = f"{recipe.grain:g}"
    pairs["Version"] = f"Likeness {VERSION}"
    lines = [recipe.prompt + tags]
    if recipe.negative_prompt:
        lines.append(f"Negative prompt: {recipe.negative_prompt}")
    lines.append(", ".join(f"{name}: {_quoted(value)}" for name, value in pairs.items()))
    return "\n".join(lines)


def parse_infotext(words: str) -> dict[str, str]:
    """The pairs of an A1111 text, with `Prompt` and `Negative prompt`; what is not there is left out."""
    lines = words.strip().split("\n")
    last = lines[-1] if len(_PAIR.findall(lines[-1])) >= 3 else ""
    prompt: list[str] = []
    negative: list[str] = []
    into = prompt
    for line in lines[:-1] if last else lines:
        if line.startswith("Negative prompt:"):
            into = negative
            line = line.removeprefix("Negative prompt:").strip()
        into.append(line)
    found = {"Prompt": "\n".join(prompt).strip()}
    if negative:
        found["Negative prompt"] = "\n".join(negative).strip()
    for name, value in _PAIR.findall(last):
        found[name.strip()] = _unquoted(value)
    return found


def read_metadata(path: Path) -> dict[str, object]:
    """What a picture's file says: `infotext` (empty if nothing) and `likeness` (None if it is not ours). Raises ImageInvalid."""
    try:
        with Image.open(path) as image:
            image.load()
            said = dict(getattr(image, "text", {}))
    except UNREADABLE as error:
        raise ImageInvalid(f"{path.name} can't be read as a picture.") from error
    try:
        ours = json.loads(said.get("likeness", "null"))
    except ValueError:
        ours = None
    return {"infotext": str(said.get("parameters", "")), "likeness": ours}


def check_upload(data: bytes, max_megapixels: float) -> tuple[str, int, int]:
    """Format, width and height of an uploaded picture that can be used. Raises ImageInvalid, FileTooLarge.

    The size is judged from the header, before anything is decoded: a small file can claim a billion pixels.
    """
    kind = peek_upload(data, max_megapixels)
    with own_limits(), Image.open(io.BytesIO(data), formats=FORMATS) as image:
        load(image)
        return kind, *image.size


def peek_upload(data: bytes, max_megapixels: float) -> str:
    """The format of a still picture of an allowed size, by its header alone. Raises ImageInvalid, FileTooLarge."""
    if not data:
        raise ImageInvalid("The file is empty.", field="file")
    try:
        with own_limits():
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise FileTooLarge("The picture has far too many pixels.", field="file", remedy="Make it smaller.") from error
    except UNREADABLE as error:
        raise ImageInvalid("This file is not a PNG, JPEG or WebP picture, or it is broken.", field="file") from error
    with image:
        width, height = image.size
        if width * height > max_megapixels * 1e6 or max(width, height) > MAX_SIDE:
            raise too_many_pixels(width, height, max_megapixels)
        # Phones keep a second picture (depth, brightness) behind a JPEG and Pillow calls that MPO: the first is the photo.
        kind = "JPEG" if image.format == "MPO" else image.format or ""
        try:
            if kind != "JPEG" and getattr(image, "n_frames", 1) > 1:
                raise ImageInvalid("This picture moves.", field="file", remedy="Send a still picture.")
        except UNREADABLE as error:
            raise ImageInvalid("The picture is cut off or broken.", field="file") from error
        return kind


def load(image: Image.Image) -> None:
    """Decode a picture. Raises ImageInvalid where it is cut off or broken."""
    try:
        image.load()
    except UNREADABLE as error:
        raise ImageInvalid("The picture is cut off or broken.", field="file") from error


def too_many_pixels(width: int, height: int, max_megapixels: float, *, field: str = "file") -> FileTooLarge:
    """The error for a picture of more pixels than the setting allows."""
    return FileTooLarge(
        f"The picture has {width}×{height} pixels; {max_megapixels:g} million are allowed.",
        field=field,
        remedy="Make it smaller, or raise LIKENESS_MAX_UPLOAD_MEGAPIXELS.",
    )


def normalised_upload(data: bytes) -> Image.Image:
    """A checked upload as an upright RGB picture in sRGB without EXIF, GPS or profile; transparency becomes white. Raises ImageInvalid."""
    with own_limits():
        try:
            image = Image.open(io.BytesIO(data), formats=FORMATS)
        except UNREADABLE as error:
            raise ImageInvalid("The picture is cut off or broken.", field="file") from error
        with image:
            return upright_rgb(image)


def upright_rgb(image: Image.Image) -> Image.Image:
    """An opened picture turned upright, as RGB in sRGB; transparency becomes white. Raises ImageInvalid."""
    try:
        upright = _in_srgb(_upright(_in_8_bit(image)))
    except UNREADABLE as error:
        raise ImageInvalid("The picture is cut off or broken.", field="file") from error
    if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
        clear = upright.convert("RGBA")
        white = Image.new("RGBA", clear.size, "white")
        return Image.alpha_composite(white, clear).convert("RGB")
    return upright.convert("RGB")


def upload_png(image: Image.Image) -> bytes:
    """An uploaded picture as a PNG file that says nothing."""
    data = io.BytesIO()
    plain = Image.frombytes(image.mode, image.size, image.tobytes())
    plain.save(data, "PNG", **PNG_SETTINGS)
    return data.getvalue()


def thumbnail(image: Image.Image, side: int = THUMBNAIL_SIDE) -> bytes:
    """A WebP of at most `side` pixels a side; never enlarged."""
    small = image
    if max(image.size) > side:
        # A line of pixels stays a line: neither side may round to nothing.
        scale = side / max(image.size)
        small = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    small.save(data, "WEBP", quality=85, method=2)
    return data.getvalue()


# What Pillow's readers raise for broken files.
UNREADABLE = (OSError, ValueError, SyntaxError, TypeError, LookupError, EOFError, OverflowError, struct.error, zlib.error)


@contextlib.contextmanager
def own_limits() -> Iterator[None]:
    """The size is judged by the setting; Pillow's own warning says nothing that a person can act on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except UNREADABLE:
        return image  # a damaged EXIF block turns nothing; the pixels are fine


def _in_8_bit(image: Image.Image) -> Image.Image:
    if not image.mode.startswith("I"):
        return image
    # Pillow cuts 16-bit greys off at 255 instead of scaling them.
    return image.convert("I").point(lambda value: value * (1 / 257)).convert("L")


def _in_srgb(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    if not profile or image.mode not in ("RGB", "RGBA", "L", "CMYK"):
        return image
    try:
        # Phones photograph in a wider colour space; thrown away, its profile would leave the colours dull.
        into = "RGBA" if image.mode == "RGBA" else "RGB"
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode=into) or image
    except (ImageCms.PyCMSError, *UNREADABLE):
        return image


def _quoted(value: object) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if any(ch in text for ch in ',:\n"') else text


def _unquoted(value: str) -> str:
    value = value.strip()
    if value.startswith('"') and value.endswith('"'):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value
