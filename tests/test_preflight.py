"""What preflight says of a dataset is true, names the right pictures, and offers what would really help."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter
from PIL.Image import Resampling

from studio.errors import FileTooLarge, ImageInvalid
from studio.examining import Framing, Light, SeenFace, View, framing_of
from studio.preflight import WORDS, Code, Examined, Finding, FixAction, Severity, examine, preflight

ROOT = Path(__file__).resolve().parent.parent
FILES = ROOT / "tests" / "files"


@pytest.fixture(scope="module")
def portrait() -> Examined:
    return examine(FILES / "portrait.jpg")


def _saved(folder: Path, name: str, image: Image.Image, **options: object) -> Path:
    image.save(folder / name, **options)  # pyright: ignore[reportArgumentType]
    return folder / name


def _dataset(like: Examined, count: int = 20) -> list[Examined]:
    """A good dataset of one person: every picture differs from the others in all that ought to differ."""
    dice = np.random.default_rng(7)
    assert like.face
    made: list[Examined] = []
    for i in range(count):
        numbers = tuple(float(x) for x in np.array(like.face.embedding) + dice.normal(0, 0.02, 128))
        views, framings = (View.front, View.front, View.left, View.right), (Framing.bust, Framing.close_up, Framing.half_body)
        changes = {
            "width": 1024,
            "height": 1280,
            "detail": 1000,
            "hash": dice.bytes(32).hex(),
            "cells": dice.bytes(768).hex(),
            "light": Light(level=80 + 7 * i, side=5.0 * (i % 7), warmth=30 + 4 * (i % 9), contrast=50),
            "background": (5.0 * i, 10.0, float(i % 3) * 20, 4.0),
            "faces": (SeenFace(box=(400, 300, 640, 540), embedding=numbers, turn=0, score=2),),
            "framing": framings[i % 3],
            "view": views[i % 4],
        }
        made.append(like.model_copy(update=changes))
    return made


def _captions(count: int) -> list[str]:
    return [f"mira_lk with thing number {i} in place number {i * 3}" for i in range(count)]


def _found(examined: Sequence[Examined], captions: Sequence[str] | None = None, **how: object) -> dict[Code, Finding]:
    found = preflight(examined, captions if captions is not None else _captions(len(examined)), **{"trigger": "mira_lk", **how})  # pyright: ignore[reportArgumentType]
    assert len({finding.code for finding in found}) == len(found)
    return {finding.code: finding for finding in found}


# What one look sees


def test_a_look_at_a_portrait_says_what_is_there(portrait: Examined) -> None:
    assert (portrait.width, portrait.height) == (512, 512)
    assert portrait.faces is not None
    assert len(portrait.faces) == 1
    assert portrait.view is View.front
    assert portrait.framing is Framing.half_body
    assert portrait.detail > 400
    assert Examined.model_validate_json(portrait.model_dump_json()) == portrait


def test_detail_does_not_depend_on_how_many_pixels_hold_it(portrait: Examined, tmp_path: Path) -> None:
    image = Image.open(FILES / "portrait.jpg")
    enlarged = examine(_saved(tmp_path, "enlarged.png", image.resize((1024, 1024), Resampling.BICUBIC)))
    far = examine(_saved(tmp_path, "far.png", image.resize((1536, 1536), Resampling.BICUBIC)))
    blurred = examine(_saved(tmp_path, "blurred.png", image.filter(ImageFilter.GaussianBlur(2))))
    badly = examine(_saved(tmp_path, "badly.png", image.filter(ImageFilter.GaussianBlur(5))))
    assert 300 < enlarged.detail < 750, "twice as many pixels show no more"
    assert far.detail < 900
    assert badly.detail <= blurred.detail < 0.6 * portrait.detail
    assert badly.detail < 0.35 * portrait.detail


def test_framing_follows_how_much_fits_under_the_chin() -> None:
    box = (0, 100, 100, 200)
    heights = {240: Framing.close_up, 350: Framing.bust, 700: Framing.half_body, 1200: Framing.full_body}
    assert {height: framing_of(box, height) for height in heights} == heights


def test_a_turned_photo_is_seen_upright(portrait: Examined, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = Image.open(FILES / "portrait.jpg").crop((0, 0, 512, 400)).transpose(Image.Transpose.ROTATE_90)
    seen = examine(_saved(tmp_path, "lying.jpg", lying, exif=exif, quality=92))
    assert (seen.width, seen.height) == (512, 400)
    assert seen.face
    assert portrait.face
    assert seen.face.box == pytest.approx(portrait.face.box, abs=12)


@pytest.mark.parametrize("mode", ["CMYK", "L", "P", "RGBA", "I;16"])
def test_unusual_colours_are_looked_at_like_others(mode: str, tmp_path: Path, portrait: Examined) -> None:
    image = Image.open(FILES / "portrait.jpg")
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    else:
        image = image.convert(mode)
    seen = examine(_saved(tmp_path, "odd.jpg" if mode in ("CMYK", "L") else "odd.png", image))
    assert seen.face
    assert Code.duplicates in _found([portrait, seen])


@pytest.mark.parametrize("name", ["cut.jpg", "empty.png", "text.png", "bitmap.bmp", "moving.webp", "gone.png"])
def test_what_is_no_picture_says_so(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if name == "cut.jpg":
        path.write_bytes((FILES / "portrait.jpg").read_bytes()[:20_000])
    elif name == "empty.png":
        path.touch()
    elif name == "text.png":
        path.write_text("I am no picture")
    elif name == "bitmap.bmp":
        Image.new("RGB", (40, 40)).save(path)
    elif name == "moving.webp":
        Image.new("RGB", (40, 40)).save(path, save_all=True, append_images=[Image.new("RGB", (40, 40), "red")])
    with pytest.raises(ImageInvalid) as caught:
        examine(path)
    assert caught.value.remedy


@pytest.mark.parametrize("size", [(1, 1), (3, 900), (12_000, 12)])
def test_no_shape_of_a_picture_is_too_odd(size: tuple[int, int], tmp_path: Path) -> None:
    seen = examine(_saved(tmp_path, "odd.png", Image.new("RGB", size, "olive")))
    assert (seen.width, seen.height) == size
    assert Code.small in _found([seen, seen])


def test_a_huge_photo_takes_little_memory_and_without_dlib_all_else_is_checked(tmp_path: Path) -> None:
    huge = _saved(tmp_path, "huge.jpg", Image.linear_gradient("L").resize((12_000, 8_000)), quality=50)
    with pytest.raises(FileTooLarge, match="12000×8000"):
        examine(huge, max_megapixels=50)
    # In a process of its own, where the library can't be imported.
    code = """
import json, resource, sys
sys.modules["dlib"] = None
from pathlib import Path
import numpy
from studio import faces
from studio.errors import DependencyMissing
from studio.preflight import examine, preflight
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
seen = examine(Path(sys.argv[1]))
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
try:
    faces.find_faces(None)
except DependencyMissing as error:
    remedy = error.remedy
codes = [finding.code for finding in preflight([seen] * 10, [str(i) for i in range(10)])]
print(json.dumps([[seen.width, seen.height], seen.faces, grown // 1024, remedy, faces.why_missing(), codes]))
"""
    done = subprocess.run([sys.executable, "-c", code, str(huge)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    size, found, megabytes, remedy, why, codes = json.loads(done.stdout)
    assert size == [12_000, 8_000]
    assert megabytes < 100, "whole, it has 288 MB"
    assert found is None
    assert "launch.py setup" in remedy
    assert "not installed" in why
    assert Code.faces_not_looked_for in codes
    assert Code.duplicates in codes


# What is told


def test_a_good_dataset_hears_nothing(portrait: Examined) -> None:
    assert _found(_dataset(portrait)) == {}
    assert _found(_dataset(portrait), consent=True) == {}


def test_what_blocks_comes_first(portrait: Examined) -> None:
    few = preflight(_dataset(portrait, 4), [""] * 4, trigger="mira_lk", consent=False)
    assert few[0].code is Code.consent_missing
    severities = [list(Severity).index(finding.severity) for finding in few]
    assert severities == sorted(severities)


@pytest.mark.parametrize(("count", "severity"), [(0, Severity.blocks), (1, Severity.blocks), (5, Severity.warns), (120, Severity.hints)])
def test_too_few_and_too_many(count: int, severity: Severity, portrait: Examined) -> None:
    found = _found(_dataset(portrait, count))
    assert found[Code.too_few if count < 100 else Code.too_many].severity is severity


def test_of_near_duplicates_the_best_is_kept(portrait: Examined, tmp_path: Path) -> None:
    image = Image.open(FILES / "portrait.jpg")
    others = _dataset(portrait, 12)
    soft = examine(_saved(tmp_path, "soft.png", image.filter(ImageFilter.GaussianBlur(3))))
    small = examine(_saved(tmp_path, "small.jpg", image.resize((256, 256)), quality=40))
    cut = examine(_saved(tmp_path, "cut.png", image.crop((10, 10, 502, 502))))
    found = _found([small, *others, portrait, cut, soft])[Code.duplicates]
    assert found.groups == ((0, 13, 14, 15),)
    assert found.fix.action is FixAction.remove
    assert found.fix.pictures == (0, 14, 15)


def test_drawings_of_one_character_are_no_duplicates(tmp_path: Path) -> None:
    one, two = examine(FILES / "drawn_1.png"), examine(FILES / "drawn_2.png")
    copy = examine(_saved(tmp_path, "copy.jpg", Image.open(FILES / "drawn_1.png").convert("RGB"), quality=60))
    found = _found([one, two, copy], illustrated=True)[Code.duplicates]
    assert found.groups == ((0, 2),)


@pytest.mark.parametrize(
    ("code", "change"),
    [
        (Code.blurry, {"detail": 200}),
        (Code.small, {"width": 300, "height": 340}),
        (Code.too_dark, {"light": Light(level=20, side=0, warmth=0, contrast=5)}),
        (Code.too_bright, {"light": Light(level=240, side=0, warmth=0, contrast=5)}),
        (Code.no_face, {"faces": (), "view": View.unknown, "framing": Framing.unknown}),
    ],
)
def test_a_bad_picture_is_named_and_can_be_taken_out(code: Code, change: dict[str, object], portrait: Examined) -> None:
    pictures = _dataset(portrait)
    for i in (3, 8):
        pictures[i] = pictures[i].model_copy(update=change)
    found = _found(pictures)
    assert set(found) == {code}
    assert found[code].pictures == (3, 8)
    assert (found[code].fix.action, found[code].fix.pictures) == (FixAction.remove, (3, 8))


def test_where_most_pictures_are_poor_none_is_taken_away_by_a_click(portrait: Examined) -> None:
    found = _found([one.model_copy(update={"detail": 200}) for one in _dataset(portrait)])[Code.blurry]
    assert len(found.pictures) == 20
    assert found.fix.action is FixAction.none


def test_blur_and_size_are_judged_by_what_training_looks_at(portrait: Examined) -> None:
    pictures = [one.model_copy(update={"detail": 300, "width": 600, "height": 600}) for one in _dataset(portrait)]
    assert not {Code.blurry, Code.small} & set(_found(pictures, resolution=512))
    assert Code.small in _found(pictures, resolution=1024)
    assert Code.blurry in _found(pictures, resolution=768)


def test_a_long_picture_is_cropped_around_the_face(portrait: Examined) -> None:
    pictures = _dataset(portrait)
    assert pictures[2].face
    face = pictures[2].face.model_copy(update={"box": (2600, 300, 2840, 540)})
    pictures[2] = pictures[2].model_copy(update={"width": 3000, "height": 800, "faces": (face,)})
    (box,) = _found(pictures)[Code.extreme_shape].fix.boxes
    assert (box[2] - box[0], box[3] - box[1]) == (1600, 800)
    assert box == (1400, 0, 3000, 800)


def test_beside_somebody_else_one_is_cropped_out(portrait: Examined) -> None:
    pictures = _dataset(portrait)
    face = pictures[0].face
    assert face
    beside = face.model_copy(update={"box": (800, 320, 1000, 520)})
    speck = face.model_copy(update={"box": (20, 20, 60, 60)})
    over = face.model_copy(update={"box": (560, 320, 780, 540)})
    pictures[4] = pictures[4].model_copy(update={"faces": (face, beside)})
    pictures[5] = pictures[5].model_copy(update={"faces": (face, speck)})
    pictures[6] = pictures[6].model_copy(update={"faces": (face, over)})
    found = _found(pictures)[Code.several_faces]
    assert found.pictures == (4, 6), "a face far behind is no second person"
    assert (found.fix.pictures, found.fix.boxes) == ((4,), ((0, 0, 720, 1280),)), "faces that touch can't be cut apart"


def test_a_small_face_is_cropped_closer_where_pixels_allow(portrait: Examined) -> None:
    pictures = _dataset(portrait)
    assert pictures[0].face
    far = pictures[0].face.model_copy(update={"box": (1900, 500, 2100, 700)})
    tiny = pictures[0].face.model_copy(update={"box": (500, 300, 560, 360)})
    pictures[1] = pictures[1].model_copy(update={"width": 4000, "height": 3000, "faces": (far,)})
    pictures[2] = pictures[2].model_copy(update={"faces": (tiny,)})
    found = _found(pictures)[Code.small_face]
    assert found.pictures == (1, 2)
    assert found.severity is Severity.hints, "a few pictures of the whole figure are good"
    assert found.fix.pictures == (1,)
    left, top, right, bottom = found.fix.boxes[0]
    assert left < 1900 < 2100 < right
    assert top < 500 < 700 < bottom


def test_the_odd_one_out_is_found_and_a_mixed_set_is_called_one(portrait: Examined) -> None:
    pictures = _dataset(portrait)
    dice = np.random.default_rng(3)

    def other(one: Examined) -> Examined:
        assert one.face
        # As far away as two people's photos are: 0.9.
        away = dice.normal(0, 1, 128)
        numbers = np.array(one.face.embedding) + away / np.linalg.norm(away) * 0.9
        return one.model_copy(update={"faces": (one.face.model_copy(update={"embedding": tuple(numbers.tolist())}),)})

    pictures[7] = other(pictures[7])
    found = _found(pictures)
    assert set(found) == {Code.odd_one_out}
    assert found[Code.odd_one_out].pictures == found[Code.odd_one_out].fix.pictures == (7,)
    assert Code.several_people in _found([other(one) for one in pictures])


def test_beside_a_larger_stranger_it_is_known_who_is_meant(portrait: Examined) -> None:
    pictures = _dataset(portrait)
    face = pictures[9].face
    assert face
    stranger = face.model_copy(update={"box": (20, 300, 320, 600), "embedding": tuple(-number for number in face.embedding)})
    pictures[9] = pictures[9].model_copy(update={"faces": (stranger, face.model_copy(update={"box": (600, 320, 840, 560)}))})
    found = _found(pictures)
    assert set(found) == {Code.several_faces}, "the one who is meant is there, so nobody is odd"
    assert found[Code.several_faces].fix.boxes == ((460, 0, 1024, 1280),)


def test_of_drawn_characters_faces_are_only_spoken_of(portrait: Examined) -> None:
    pictures = [
        one.model_copy(update={"faces": (), "view": View.unknown, "framing": Framing.unknown}) if i % 2 else one
        for i, one in enumerate(_dataset(portrait))
    ]
    found = _found(pictures, illustrated=True)
    assert set(found) == {Code.no_face}
    assert found[Code.no_face].severity is Severity.hints
    assert found[Code.no_face].fix.action is FixAction.none
    assert "Drawn" in found[Code.no_face].explanation


@pytest.mark.parametrize(
    ("code", "change"),
    [
        (Code.one_angle, {"view": View.front}),
        (Code.one_angle, {"view": View.left}),
        (Code.one_framing, {"framing": Framing.close_up}),
        (Code.one_background, {"background": (50.0, 1.0, 2.0, 3.0)}),
        (Code.one_light, {"light": Light(level=120, side=4, warmth=30, contrast=40)}),
    ],
)
def test_what_never_changes_is_hinted_at(code: Code, change: dict[str, object], portrait: Examined) -> None:
    pictures = [one.model_copy(update=change) for one in _dataset(portrait)]
    assert set(_found(pictures)) == {code}
    # One that differs is not among those that are alike.
    other = {"view": View.right, "framing": Framing.half_body, "background": (10.0, 40.0, 40.0, 3.0), "faces": ()}
    pictures[3] = pictures[3].model_copy(update=other)
    found = _found(pictures)
    assert found[code].severity is Severity.hints
    assert found[code].pictures == tuple(at for at in range(len(pictures)) if at != 3)


def test_captions_are_read(portrait: Examined) -> None:
    pictures = _dataset(portrait)
    captions = _captions(20)
    captions[0] = ""
    captions[1] = " Mira_LK ,"
    captions[2] = "a woman by the sea"
    captions[3] = "mira_lk " + "word " * 2_000
    captions[4] = "mira_lk in M\ufffdnchen"
    captions[5] = "mira_lk in M\udcfcnchen"
    found = _found(pictures, captions)
    assert set(found) == {Code.caption_missing, Code.trigger_missing, Code.caption_long, Code.caption_unreadable}
    assert found[Code.caption_missing].fix.pictures == (0, 1)
    assert found[Code.trigger_missing].fix.pictures == (0, 2)
    assert found[Code.caption_long].pictures == (3,)
    assert found[Code.caption_unreadable].fix.pictures == (4, 5)
    assert found[Code.trigger_missing].fix.action is FixAction.add_trigger


def test_captions_that_say_the_same_of_everything_say_nothing(portrait: Examined) -> None:
    captions = _captions(12) + ["mira_lk, a woman", "a woman, MIRA_LK"] * 4
    alike = [one if i < 12 else "mira_lk  A woman" for i, one in enumerate(captions)]
    assert _found(_dataset(portrait), alike)[Code.captions_alike].pictures == tuple(range(12, 20))
    assert _found(_dataset(portrait), [*_captions(18), *["mira_lk, a woman"] * 2]) == {}


def test_every_finding_has_words_and_a_line_in_the_manual() -> None:
    manual = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    for code in Code:
        assert code.value in WORDS or code is Code.too_few
        assert f"`{code.value}`" in manual
    for title, explanation in WORDS.values():
        assert title
        assert explanation.endswith(".")
        assert "{" not in title + explanation, "the page translates whole sentences"
