"""The face-detail pass: where a picture's face lies, and the face drawn anew there with another LoRA, the rest of the picture untouched."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

from studio import faces, models
from studio.contracts import Family, Recipe
from studio.crop import Cutout
from studio.engine import Artifact, Generator, Inputs, Report
from studio.errors import InvalidFieldValue

log = logging.getLogger(__name__)

# How far around what the detector finds (from the brows to the chin) a face reaches: left and right, up, down; in shares of its side.
_AROUND = (0.25, 0.45, 0.15)
_SOFT = 0.06
# The starter model draws heads in one place, and designs in which no detector finds a face: hair and chin lie within these shares.
_STARTER_HEAD = (0.2, 0.06, 0.8, 0.74)
# A picture takes most of a job, its face the rest.
_FIRST = 0.6


def face_mask(image: Image.Image, family: str) -> Image.Image | None:
    """Where the largest face of an RGB picture lies: L, of its size, white on the face with a soft edge; None where none is found."""
    box = _face_box(image, family)
    if box is None:
        return None
    mask = Image.new("L", image.size, 0)
    ImageDraw.Draw(mask).ellipse(box, fill=255)
    return mask.filter(ImageFilter.GaussianBlur(max(1.0, _SOFT * (box[2] - box[0]))))


def with_faces(
    made: Iterable[Artifact], recipe: Recipe, lora: Path, model: Path, engine: Generator, run_id: str, report: Report
) -> Iterator[Artifact]:
    """The pictures with their faces drawn anew by the recipe's variant. One without a face that is found stays as it is.

    Raises what the engine and `report` raise.
    """
    for artifact in made:
        follow = _Share(report, _FIRST + (1 - _FIRST) * artifact.index / recipe.count, (1 - _FIRST) / recipe.count)
        yield _drawn_over(artifact, recipe, lora, model, engine, run_id, follow) or artifact


def face_alone(recipe: Recipe, lora: Path, model: Path, image: Image.Image, engine: Generator, run_id: str, report: Report) -> Artifact:
    """A finished picture with its face drawn anew. Raises InvalidFieldValue where no face is found, and what engine and `report` raise."""
    begun = Artifact(0, image, recipe.seed, "")
    found = _drawn_over(begun, recipe, lora, model, engine, run_id, report)
    if found is None:
        raise InvalidFieldValue(
            "No face is found in this picture, so there is nothing to draw anew.",
            field="ids",
            remedy="Choose a picture with the face from the front and not too small.",
        )
    return found


def beginning(report: Report) -> Report:
    """The report of the pictures themselves, before their faces are drawn anew."""
    return _Share(report, 0.0, _FIRST)


def _drawn_over(
    artifact: Artifact, recipe: Recipe, lora: Path, model: Path, engine: Generator, run_id: str, report: Report
) -> Artifact | None:
    assert recipe.face is not None
    spec = models.describe(model)
    mask = face_mask(artifact.image, spec.family)
    if mask is None:
        log.warning("No face was found in picture %d: it stays without “%s”", artifact.index, recipe.face.variant)
        return None
    inputs = Inputs(model=model, loras=(lora,), image=artifact.image, mask=mask)
    cutout = Cutout(inputs, spec)
    own = _pass_recipe(recipe, artifact)
    (drawn,) = engine.generate(cutout.recipe(own), cutout.inputs(), run_id, cutout.watched(report))
    return replace(
        artifact,
        image=cutout.put_back(drawn.image),
        model_hash=drawn.model_hash,
        lora_hashes={**artifact.lora_hashes, **drawn.lora_hashes},
        duration_s=artifact.duration_s + drawn.duration_s,
        crop=cutout.crop,
    )


def _pass_recipe(recipe: Recipe, artifact: Artifact) -> Recipe:
    assert recipe.face is not None
    return recipe.model_copy(
        update={"loras": (recipe.face.lora,), "denoise": recipe.face.denoise, "seed": artifact.seed, "count": 1, "face": None}
    )


def _face_box(image: Image.Image, family: str) -> tuple[float, float, float, float] | None:
    found = () if faces.why_missing() else faces.find_faces(image)
    if found:
        left, top, right, bottom = found[0].box
        side = max(right - left, bottom - top)
        aside, up, down = (share * side for share in _AROUND)
        return left - aside, top - up, right + aside, bottom + down
    if family == Family.starter:
        left, top, right, bottom = _STARTER_HEAD
        return left * image.width, top * image.height, right * image.width, bottom * image.height
    return None


class _Share:
    """The progress of a part as a share of the whole; it never goes back."""

    def __init__(self, report: Report, begin: float, share: float) -> None:
        self._report = report
        self._begin = begin
        self._share = share

    def __call__(self, progress: float, note: str = "", *, step: int = 0, steps: int = 0, preview: Image.Image | None = None) -> None:
        """Pass it on."""
        self._report(self._begin + self._share * progress, note, step=step, steps=steps, preview=preview)

    def wants_preview(self) -> bool:
        """As the job's own."""
        return self._report.wants_preview()
