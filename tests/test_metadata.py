"""What a file says of itself is true, readable by others, and says that it was made with AI; what comes in is checked first."""

from __future__ import annotations

import contextlib
import io
import json
import random
import struct
import zlib
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from studio import metadata
from studio.contracts import LoraUse, Recipe
from studio.engine import Crop
from studio.errors import FileTooLarge, ImageInvalid

RECIPE = Recipe(
    prompt='a person, "quoted", 100%: colons\nand a second line',
    negative_prompt="blurry, ugly: very",
    preset="portrait_v1",
    engine="embedded",
    model="starter",
    loras=(LoraUse(path="styles/ink.safetensors", strength=0.8),),
    width=128,
    height=160,
    steps=16,
    cfg=4.5,
    sampler="dpmpp_2m",
    scheduler="karras",
    seed=40,
    count=3,
)
HASH = "ab12" * 16


def png(recipe: Recipe = RECIPE) -> bytes:
    return metadata.png_bytes(
        Image.new("RGB", (128, 160), (9, 8, 7)),
        recipe,
        index=2,
        seed=42,
        model_name="Starter model",
        model_hash=HASH,
        lora_hashes={"ink": "cd" * 32},
        job_id="job",
        created_at=datetime(2026, 11, 21, tzinfo=UTC),
    )


def test_a_picture_says_how_it_was_made_in_words_and_in_json(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png())
    said = metadata.read_metadata(path)
    ours = said["likeness"]
    assert isinstance(ours, dict)
    assert Recipe.model_validate(ours["recipe"]) == RECIPE
    assert (ours["made_with_ai"], ours["seed"], ours["model_hash"], ours["index"]) == (True, 42, HASH, 2)
    words = metadata.parse_infotext(str(said["infotext"]))
    assert words["Prompt"] == RECIPE.prompt + " <lora:ink:0.8>"
    assert words["Negative prompt"] == RECIPE.negative_prompt
    found = {name: words[name] for name in ("Steps", "Sampler", "Schedule type", "CFG scale", "Seed", "Size", "Model hash", "Model")}
    assert found == {
        "Steps": "16",
        "Sampler": "DPM++ 2M",
        "Schedule type": "Karras",
        "CFG scale": "4.5",
        "Seed": "42",
        "Size": "128x160",
        "Model hash": HASH[:10],
        "Model": "Starter model",
    }
    assert words["Lora hashes"] == f"ink: {'cd' * 6}"


def test_the_last_line_is_written_as_a1111_writes_it() -> None:
    plain = RECIPE.model_copy(update={"loras": ()})
    words = metadata.infotext(plain, seed=42, model_name="Starter model", model_hash=HASH, lora_hashes={})
    assert words.split("\n")[-1].startswith(
        "Steps: 16, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 4.5, Seed: 42, Size: 128x160, "
        "Model hash: ab12ab12ab, Model: Starter model, Version: Likeness"
    )


def test_a_picture_that_was_drawn_in_part_says_which_part() -> None:
    crop = Crop((300, 200, 620, 456), (160, 128))
    large = RECIPE.model_copy(update={"width": 1500, "height": 1000})
    words = metadata.parse_infotext(
        metadata.infotext(large, seed=42, model_name="Starter model", model_hash=HASH, lora_hashes={}, crop=crop)
    )
    assert words["Size"] == "1500x1000"
    assert (words["Inpaint area"], words["Drawn part"], words["Drawn size"]) == ("Only masked", "320x256+300+200", "160x128")


@pytest.mark.parametrize("prompt", ["女の子の絵", "портрет", "😀 smile", "naïve café"])
def test_every_script_survives(tmp_path: Path, prompt: str) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(RECIPE.model_copy(update={"prompt": prompt})))
    assert str(metadata.read_metadata(path)["infotext"]).startswith(prompt)


def test_a_picture_is_marked_as_made_with_ai() -> None:
    with Image.open(io.BytesIO(png())) as image:
        image.load()
        packet = image.text["XML:com.adobe.xmp"]  # pyright: ignore[reportAttributeAccessIssue]  # a PNG
    tree = ElementTree.fromstring(packet.split("?>", 1)[1].rsplit("<?", 1)[0])
    (about,) = tree.iter("{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description")
    source = about.get("{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType")
    assert source == "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


def test_a_foreign_picture_says_nothing_of_ours(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    assert metadata.read_metadata(tmp_path / "a.png") == {"infotext": "", "likeness": None}
    (tmp_path / "b.png").write_bytes(b"not a picture")
    with pytest.raises(ImageInvalid):
        metadata.read_metadata(tmp_path / "b.png")


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def bomb(width: int, height: int) -> bytes:
    """A PNG that is small as a file and claims to be huge."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


JPEG = encoded(Image.effect_noise((64, 64), 60).convert("RGB"), "JPEG")


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", ImageInvalid),
        (b"I am a text file called picture.png", ImageInvalid),
        (JPEG[: len(JPEG) // 2], ImageInvalid),
        (png()[:200], ImageInvalid),
        (encoded(Image.new("RGB", (9, 9)), "BMP"), ImageInvalid),
        (encoded(Image.new("P", (9, 9)), "GIF"), ImageInvalid),
        (encoded(Image.new("RGB", (9, 9)), "WEBP", save_all=True, append_images=[Image.new("RGB", (9, 9), "red")]), ImageInvalid),
        (bomb(20_000, 20_000), FileTooLarge),
        (bomb(60_000, 60_000), FileTooLarge),
        (bomb(31_000, 2), FileTooLarge),
    ],
)
def test_what_is_no_usable_picture_is_refused_with_a_remedy(data: bytes, error: type[ImageInvalid | FileTooLarge]) -> None:
    with pytest.raises(error) as caught:
        metadata.check_upload(data, max_megapixels=100)
    assert caught.value.remedy


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_pictures_of_the_usual_kinds_come_in(kind: str) -> None:
    assert metadata.check_upload(encoded(Image.new("RGB", (30, 20), "teal"), kind), 100) == (kind, 30, 20)


def test_a_phone_photo_with_a_second_picture_behind_it_is_its_first_picture() -> None:
    data = encoded(Image.new("RGB", (30, 20), "red"), "MPO", save_all=True, append_images=[Image.new("RGB", (30, 20), "blue")])
    assert metadata.check_upload(data, 100) == ("JPEG", 30, 20)
    red, _, blue = metadata.normalised_upload(data).getpixel((9, 9))  # pyright: ignore[reportGeneralTypeIssues]  # three bands
    assert red > 200 > 50 > blue


def test_an_upload_of_the_size_that_the_setting_allows_comes_in_without_a_warning() -> None:
    # More than Pillow's own limit, at which it warns.
    data = encoded(Image.new("1", (10_000, 9_500)), "PNG")
    assert metadata.check_upload(data, 100) == ("PNG", 10_000, 9_500)


def test_16_bit_greys_keep_their_steps() -> None:
    deep = Image.new("I;16", (3, 1))
    for x, value in enumerate((0, 0x8080, 0xFFFF)):
        deep.putpixel((x, 0), value)
    kept = metadata.normalised_upload(encoded(deep, "PNG"))
    assert [kept.getpixel((x, 0)) for x in range(3)] == [(0, 0, 0), (128, 128, 128), (255, 255, 255)]


def test_a_colour_profile_is_applied_before_it_is_left_out() -> None:
    same = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = encoded(Image.new("RGB", (4, 4), (200, 60, 40)), "PNG", icc_profile=same)
    kept = metadata.normalised_upload(data)
    assert np.abs(np.asarray(kept, int)[0, 0] - (200, 60, 40)).max() <= 1
    assert b"iCCP" not in metadata.upload_png(kept)
    broken = encoded(Image.new("RGB", (4, 4), (200, 60, 40)), "PNG", icc_profile=b"not a profile" * 20)
    assert metadata.normalised_upload(broken).getpixel((0, 0)) == (200, 60, 40)


def test_damaged_files_are_read_or_refused_and_nothing_else() -> None:
    noise = Image.effect_noise((24, 24), 60).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6
    text = PngImagePlugin.PngInfo()
    text.add_itxt("a", "é" * 50, zip=True)
    whole = [encoded(noise, kind, exif=exif) for kind in ("PNG", "JPEG", "WEBP")] + [encoded(noise.convert("P"), "PNG", pnginfo=text)]
    dice = random.Random(7)
    for _ in range(800):
        data = bytearray(dice.choice(whole))
        for _ in range(dice.randint(1, 5)):
            place = dice.randrange(min(len(data), dice.choice([60, 600, 100_000])))
            data[place : place + dice.randint(0, 9)] = dice.randbytes(dice.randint(0, 9))
        with contextlib.suppress(ImageInvalid, FileTooLarge):
            metadata.check_upload(bytes(data), 100)
            metadata.normalised_upload(bytes(data))


def test_an_upload_is_turned_upright_and_tells_nothing_of_its_owner() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90°
    exif[0x010F] = "Camera of Jane"
    exif.get_ifd(0x8825)[2] = (52.0, 31.0, 0.0)  # GPS latitude
    data = encoded(Image.new("RGB", (40, 20), "teal"), "JPEG", exif=exif)
    kept = metadata.upload_png(metadata.normalised_upload(data))
    assert b"Jane" not in kept
    with Image.open(io.BytesIO(kept)) as image:
        assert image.size == (20, 40)
        assert not image.getexif()


def test_transparency_becomes_white_and_other_modes_become_rgb() -> None:
    clear = metadata.normalised_upload(encoded(Image.new("RGBA", (4, 4), (255, 0, 0, 0)), "PNG"))
    assert clear.getpixel((0, 0)) == (255, 255, 255)
    for mode in ("L", "P", "I;16", "CMYK"):
        kind = "JPEG" if mode == "CMYK" else "PNG"
        assert metadata.normalised_upload(encoded(Image.new(mode, (4, 4)), kind)).mode == "RGB"


def test_a_thumbnail_is_never_enlarged_and_keeps_its_shape() -> None:
    with Image.open(io.BytesIO(metadata.thumbnail(Image.new("RGB", (2000, 1000))))) as small:
        assert small.size == (384, 192)
    with Image.open(io.BytesIO(metadata.thumbnail(Image.new("RGB", (128, 160))))) as same:
        assert same.size == (128, 160)
    for size in ((30_000, 1), (2, 5_000)):
        with Image.open(io.BytesIO(metadata.thumbnail(Image.new("RGB", size)))) as line:
            assert sorted(line.size) == [1, 384]


def test_pixels_are_kept_exactly() -> None:
    noise = Image.effect_noise((64, 64), 80).convert("RGB")
    data = metadata.png_bytes(
        noise, RECIPE, index=0, seed=1, model_name="m", model_hash=HASH, lora_hashes={}, job_id="j", created_at=datetime.now(UTC)
    )
    with Image.open(io.BytesIO(data)) as image:
        assert np.array_equal(np.asarray(image), np.asarray(noise))


def test_our_json_is_json() -> None:
    with Image.open(io.BytesIO(png())) as image:
        image.load()
        assert json.loads(image.text["likeness"])["schema"] == metadata.SCHEMA  # pyright: ignore[reportAttributeAccessIssue]  # a PNG


def test_a_foreign_text_is_read_in_steps_that_grow_with_its_length() -> None:
    # Patterns that try everything twice would need hours for these; a suite that ends has proved that there are none.
    for words in ("a" * 200_000, " " * 200_000 + "x", "a: " * 50_000, 'a: "' * 50_000, "a:" + "\\" * 100_000):
        metadata.parse_infotext(words)
