"""Repainting a part of a picture that is larger than a model draws: the part around the mask is cut out, drawn, and put back."""

from __future__ import annotations

from dataclasses import replace

from PIL import Image, ImageFilter
from PIL.Image import Resampling

from studio import models
from studio.contracts import ModelSpec, Recipe
from studio.engine import Crop, Inputs, Report

# What surrounds the masked part tells the model what to draw: pixels of the picture at least, and a share of the part's longer side.
_MARGIN = 32
_MARGIN_SHARE = 0.5
# Enlarged any further, a picture has nothing left that a model knows how to go on with.
_LARGEST_SCALE = 4
# What JPEG makes of black is not quite black.
_FAINT = 8
_PREVIEW_SIDE = 512


def needs_crop(recipe: Recipe, inputs: Inputs, model: ModelSpec) -> bool:
    """True for a masked picture that keeps a size which the model does not draw as a whole."""
    if inputs.image is None or inputs.mask is None or inputs.image.size != (recipe.width, recipe.height):
        return False
    return not models.draws(recipe.width, recipe.height, model)


def crop_around(part: tuple[int, int, int, int], size: tuple[int, int], model: ModelSpec) -> Crop:
    """What to draw for a masked part (left, top, right, bottom) of a picture of this size, so that the model can do it well.

    The box has the part and a margin inside it and stays in the picture. It has the shape of the size that it is drawn at, as far as the
    picture reaches: where it ends, or is longer than any shape the model draws, the part is squeezed.
    """
    left, top, right, bottom = part
    margin = max(_MARGIN, round(_MARGIN_SHARE * max(right - left, bottom - top)))
    least = -(-max(model.width, model.height) // _LARGEST_SCALE)
    sides = [min(most, max(side + 2 * margin, least)) for side, most in zip((right - left, bottom - top), size, strict=True)]
    drawn = models.size_near(sides[0] / sides[1], model)
    ratio = drawn[0] / drawn[1]
    width = min(size[0], max(sides[0], round(sides[1] * ratio)))
    height = min(size[1], max(sides[1], round(sides[0] / ratio)))
    x, y = _placed(left, right, width, size[0]), _placed(top, bottom, height, size[1])
    return Crop((x, y, x + width, y + height), drawn)


class Cutout:
    """A picture with a mask, and the part of it that is drawn anew. It may be a very large one: nothing here is made of it in floats."""

    def __init__(self, inputs: Inputs, model: ModelSpec) -> None:
        assert inputs.image is not None
        assert inputs.mask is not None
        self._whole = inputs
        self._image = inputs.image
        self._mask, self._part = without_faint(inputs.mask)
        self.crop = crop_around(self._part or (0, 0, *self._image.size), self._image.size, model)
        self._small: Image.Image | None = None

    def recipe(self, recipe: Recipe) -> Recipe:
        """The recipe of the part alone."""
        width, height = self.crop.size
        return recipe.model_copy(update={"width": width, "height": height})

    def inputs(self) -> Inputs:
        """Picture and mask of the part, at the size it is drawn at. The mask has no greys: they are blended once, in the whole picture."""
        image = self._image.resize(self.crop.size, Resampling.LANCZOS, box=self.crop.box)
        return replace(self._whole, image=image, mask=_touched(self._mask.crop(self.crop.box), self.crop.size))

    def put_back(self, drawn: Image.Image) -> Image.Image:
        """The whole picture with the drawn part in it: where the mask is black, its own pixels; greys are blended linearly."""
        result = self._image.copy()
        if self._part is not None:
            left, top, right, bottom = self.crop.box
            across, down = drawn.width / (right - left), drawn.height / (bottom - top)
            x0, y0, x1, y1 = self._part
            box = ((x0 - left) * across, (y0 - top) * down, (x1 - left) * across, (y1 - top) * down)
            new = drawn.resize((x1 - x0, y1 - y0), Resampling.LANCZOS, box=box)
            result.paste(new, (x0, y0), self._mask.crop(self._part))
        return result

    def watched(self, report: Report) -> Report:
        """A report whose previews show the part where it lies in the picture."""
        return _InPlace(report, self)

    def preview(self, drawn: Image.Image) -> Image.Image:
        """A small view of the whole picture with an unfinished part in it."""
        scale = min(1.0, _PREVIEW_SIDE / max(self._image.size))
        if self._small is None:
            # Neither side of a line of pixels may round to nothing.
            self._small = self._image.resize(
                [max(1, round(side * scale)) for side in self._image.size], Resampling.LANCZOS, reducing_gap=2.0
            )
        left, top, right, bottom = (round(edge * scale) for edge in self.crop.box)
        shown = self._small.copy()
        shown.paste(drawn.resize((max(1, right - left), max(1, bottom - top)), Resampling.BILINEAR), (left, top))
        return shown


class _InPlace:
    def __init__(self, report: Report, cutout: Cutout) -> None:
        self._report = report
        self._cutout = cutout

    def __call__(self, progress: float, note: str = "", *, step: int = 0, steps: int = 0, preview: Image.Image | None = None) -> None:
        self._report(progress, note, step=step, steps=steps, preview=preview and self._cutout.preview(preview))

    def wants_preview(self) -> bool:
        return self._report.wants_preview()


def _placed(begin: int, end: int, length: int, most: int) -> int:
    """Where a length begins that has a part in its middle, or as near to it as the picture's edges allow."""
    return min(max((begin + end - length) // 2, 0), most - length)


def without_faint(mask: Image.Image) -> tuple[Image.Image, tuple[int, int, int, int] | None]:
    """A mask without the greys that nobody painted, and the box of what is left; None where nothing is."""
    plain = mask.point([0] * _FAINT + list(range(_FAINT, 256)))
    part = plain.getbbox()
    # A mask of faint greys alone was meant so.
    return (plain, part) if part is not None else (mask, mask.getbbox())


def _touched(mask: Image.Image, size: tuple[int, int]) -> Image.Image:
    """A mask of another size that is white wherever the first one is not black, and one pixel around: no line of one pixel may be lost."""
    import numpy as np  # the page's process knows of engines too, and does without

    values = np.asarray(mask)
    for axis, (own, wanted) in enumerate(((mask.height, size[1]), (mask.width, size[0]))):
        values = np.maximum.reduceat(values, np.arange(wanted) * own // wanted, axis=axis)
    # One pixel more: what is put back is filtered, and its edge must not take its colours from outside.
    return Image.fromarray(np.where(values > 0, np.uint8(255), np.uint8(0))).filter(ImageFilter.MaxFilter(3))
