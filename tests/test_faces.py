"""Faces are found where they are, one person is told from another, and any thread may ask."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps
from PIL.Image import Resampling

from studio.faces import NUMBERS, SAME_PERSON, Face, distance, find_faces

FILES = Path(__file__).parent / "files"


@pytest.fixture(scope="module")
def portrait() -> Image.Image:
    return Image.open(FILES / "portrait.jpg").convert("RGB")


@pytest.fixture(scope="module")
def face(portrait: Image.Image) -> Face:
    (found,) = find_faces(portrait)
    return found


def test_a_face_is_found_where_it_is(face: Face) -> None:
    left, top, right, bottom = face.box
    # Brows, mouth and chin of the picture, read off by eye.
    assert 160 < left < 190 < 250 < right < 285
    assert 60 < top < 95 < 155 < bottom < 190
    assert abs(face.turn) < 0.1
    assert face.embedding.shape == (NUMBERS,)
    assert face.embedding.dtype == np.float32


@pytest.mark.parametrize(
    "changed",
    [
        lambda image: image.rotate(12, Resampling.BICUBIC),
        lambda image: image.point(lambda value: value // 2),
        lambda image: image.resize((200, 200)),
        ImageOps.mirror,
    ],
    ids=["turned", "darker", "small", "mirrored"],
)
def test_the_same_person_stays_the_same(portrait: Image.Image, face: Face, changed: object) -> None:
    (again,) = find_faces(changed(portrait))  # pyright: ignore[reportCallIssue]
    assert distance(face.embedding, again.embedding) < 0.4 < SAME_PERSON


def test_somebody_else_is_far_away(face: Face) -> None:
    found = find_faces(Image.open(FILES / "drawn_1.png").convert("RGB"))
    assert found, "this drawing has a face that the detector knows"
    assert distance(face.embedding, found[0].embedding) > SAME_PERSON


def test_boxes_are_in_pixels_of_the_given_picture_and_the_largest_comes_first(portrait: Image.Image, face: Face) -> None:
    both = Image.new("RGB", (2400, 1600), "grey")
    both.paste(portrait.resize((768, 768)), (100, 500))
    both.paste(portrait.resize((1024, 1024)), (1200, 300))
    large, small = find_faces(both)
    assert large.area > small.area
    expected = [edge * 2 + begin for edge, begin in zip(face.box, (1200, 300) * 2, strict=True)]
    assert large.box == pytest.approx(expected, abs=40)
    assert distance(large.embedding, small.embedding) < 0.3


def test_threads_find_the_same_at_once(portrait: Image.Image, face: Face) -> None:
    with ThreadPoolExecutor(4) as pool:
        for (found,) in pool.map(find_faces, [portrait] * 8):
            assert found.box == face.box
            assert distance(found.embedding, face.embedding) < 1e-6


@pytest.mark.parametrize("size", [(1, 1), (12_000, 10), (10, 12_000), (300, 200)])
def test_no_shape_of_a_picture_is_too_odd(size: tuple[int, int]) -> None:
    assert find_faces(Image.new("RGB", size, "olive")) == ()
