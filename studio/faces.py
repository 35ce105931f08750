"""Faces in pictures: where they are, which way they look, and 128 numbers that tell one person from another.

By dlib (Boost licence): its HOG detector, five landmarks and a ResNet, whose weights (CC0) come as files of the package
face-recognition-models. That package's own code is not used, nor its 68 landmarks, whose training pictures were for research only.

What was measured, on 133 photos of 55 and more people, with two processor cores:

- The HOG detector finds a face in 77 of 78 pictures that have one, in 0.06 to 0.1 s; the neural detector of the same package in 72, in
  0.9 to 2.3 s. Neither knows faces in full profile, and of drawn ones they find some styles and not others.
- Distances: of 313 pairs of one person 0.07 to 0.60 (half of them under 0.33, 99 % under 0.55), of 2,682 pairs of two people 0.64 and more.
  One photo against itself, turned by 12 degrees: 0.03, half as bright: 0.15, at a quarter of the pixels: 0.22, mirrored: 0.20.
"""

from __future__ import annotations

import importlib.metadata
import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from PIL.Image import Image, Resampling

from studio.errors import DependencyMissing

if TYPE_CHECKING:
    import numpy as np  # the page's process does without

# Two photos of one person are nearer than this, photos of two people are not: it lies in the gap between 0.60 and 0.64.
SAME_PERSON = 0.6
NUMBERS = 128

# The detector looks for faces of 80 pixels and more: at 1,280 those are a sixteenth of the picture, and in a second look half of that.
_LONGEST = 1280
_ENLARGED = 2.0
# Of what is found, true faces had 0.17 and more (but for one of a crowd 0.4), what were none 0.14 at most.
_LEAST_SCORE = 0.2
# A crowd is known for one after so many; each takes 0.06 s.
_MOST = 5
# Around the box, as a share of its side: what the ResNet wants to see lies within it, also of a tilted face.
_MARGIN = 0.7
_LARGEST_FACE = 300


@dataclass(frozen=True, eq=False)
class Face:
    """A face. `box` is (left, top, right, bottom) in pixels of the picture, from the brows to the chin; it may reach over the edge.

    `embedding` is float32 of [128]. `turn` is how far the nose lies right of the middle between the eyes, as the picture shows it, in
    distances of the eyes: within ±0.1 for somebody who looks at the camera, ±0.3 where the far eye is about to vanish. `score` is
    how sure the detector is, from 0.2; 1 to 3 are usual.
    """

    box: tuple[int, int, int, int]
    embedding: np.ndarray
    turn: float
    score: float

    @property
    def area(self) -> int:
        """In square pixels."""
        left, top, right, bottom = self.box
        return (right - left) * (bottom - top)


def find_faces(image: Image) -> tuple[Face, ...]:
    """The faces in an RGB picture, at most five, the largest first. Any thread may call it.

    Raises DependencyMissing where the packages are not installed. The first call loads the models: 0.3 s.
    """
    import numpy as np

    models = _models()
    scale = min(_ENLARGED, _LONGEST / max(image.size))
    small = image.resize([max(1, round(side * scale)) for side in image.size], Resampling.BILINEAR, reducing_gap=2.0)
    pixels = np.asarray(small)
    with models.detector() as detector:
        boxes, scores, _ = detector.run(pixels, 0, _LEAST_SCORE)
        if not boxes:
            boxes, scores, _ = detector.run(pixels, 1, _LEAST_SCORE)
    faces: list[Face] = []
    for found, score in sorted(zip(boxes, scores, strict=True), key=lambda pair: -pair[0].area())[:_MOST]:
        left, top, right, bottom = (round(edge / scale) for edge in (found.left(), found.top(), found.right() + 1, found.bottom() + 1))
        embedding, turn = models.describe(image, (left, top, right, bottom))
        faces.append(Face((left, top, right, bottom), embedding, turn, float(score)))
    return tuple(faces)


def distance(a: np.ndarray | Sequence[float], b: np.ndarray | Sequence[float]) -> float:
    """How unlike two embeddings are: 0 for one and the same, up to 1.1; below SAME_PERSON it is the same person."""
    import numpy as np

    return float(np.linalg.norm(np.asarray(a, np.float32) - np.asarray(b, np.float32)))


def why_missing() -> str:
    """Why no faces can be found on this computer; empty where they can. Loads nothing but the library."""
    try:
        _library()
        _file("dlib_face_recognition_resnet_model_v1.dat")
    except DependencyMissing as error:
        return error.message
    return ""


class _Models:
    def __init__(self) -> None:
        self._dlib = _library()
        self._landmarks = self._dlib.shape_predictor(_file("shape_predictor_5_face_landmarks.dat"))
        self._resnet = self._dlib.face_recognition_model_v1(_file("dlib_face_recognition_resnet_model_v1.dat"))
        self._describing = threading.Lock()
        # A detector keeps notes while it looks and lets other threads run: each of them needs one of its own.
        self._idle: queue.SimpleQueue[Any] = queue.SimpleQueue()

    @contextmanager
    def detector(self) -> Iterator[Any]:
        try:
            detector = self._idle.get_nowait()
        except queue.Empty:
            detector = self._dlib.get_frontal_face_detector()
        try:
            yield detector
        finally:
            self._idle.put(detector)

    def describe(self, image: Image, box: tuple[int, int, int, int]) -> tuple[np.ndarray, float]:
        """Embedding and turn of the face in a box, from the picture's own pixels: the detector's copy may have few left of it."""
        import numpy as np

        left, top, right, bottom = box
        margin = round(_MARGIN * (right - left))
        # Pillow paints black what lies beyond the edge.
        around = image.crop((left - margin, top - margin, right + margin, bottom + margin))
        scale = min(1.0, _LARGEST_FACE / (right - left))
        if scale < 1:
            around = around.resize([round(side * scale) for side in around.size], Resampling.BILINEAR, reducing_gap=2.0)
        pixels = np.asarray(around)
        begin, width, height = round(margin * scale), round((right - left) * scale), round((bottom - top) * scale)
        with self._describing:
            points = self._landmarks(pixels, self._dlib.rectangle(begin, begin, begin + width - 1, begin + height - 1))
            numbers = self._resnet.compute_face_descriptor(pixels, points)
        return np.array(numbers, dtype=np.float32), _turn([(point.x, point.y) for point in points.parts()])


def _turn(points: list[tuple[int, int]]) -> float:
    """From the corners of the eye on the picture's right, of the other one, and the nose."""
    right, left = ((points[i][0] + points[i + 1][0], points[i][1] + points[i + 1][1]) for i in (0, 2))
    across, down = (right[0] - left[0]) / 2, (right[1] - left[1]) / 2
    nose = points[4][0] - (right[0] + left[0]) / 4, points[4][1] - (right[1] + left[1]) / 4
    return (nose[0] * across + nose[1] * down) / max(1e-6, across * across + down * down)


@cache
def _loaded() -> _Models:
    return _Models()


_LOADING = threading.Lock()


def _models() -> _Models:
    with _LOADING:
        return _loaded()


def _library() -> Any:
    try:
        import dlib
    except ImportError as error:
        raise DependencyMissing("Faces can't be looked for: dlib is not installed.", remedy=_REMEDY) from error
    return dlib


def _file(name: str) -> str:
    try:
        files = importlib.metadata.files("face-recognition-models") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == name and (path := file.locate()).is_file():  # pyright: ignore[reportAttributeAccessIssue]  # a Path there
            return str(path)
    raise DependencyMissing("Faces can't be looked for: the face models are not installed.", remedy=_REMEDY)


_REMEDY = "Run `python launch.py setup`. Where dlib-bin has no package for this computer, everything else works without."
