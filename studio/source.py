"""The picture that a recipe starts from: fitted to its size, and what of it stays as it is."""

from __future__ import annotations

from dataclasses import replace

from PIL import ImageOps
from PIL.Image import Image, Resampling, composite

from studio.contracts import Recipe
from studio.engine import Inputs
from studio.errors import InvalidFieldValue


def check_mask(inputs: Inputs) -> None:
    """Raises InvalidFieldValue for a mask without a picture, or of another size than its picture."""
    image, mask = inputs.image, inputs.mask
    if mask is None:
        return
    if image is None:
        raise InvalidFieldValue("There is a mask, and no picture that it belongs to.", field="mask", remedy="Choose the picture too.")
    if mask.size != image.size:
        raise InvalidFieldValue(
            f"The mask is {mask.width}×{mask.height}, its picture {image.width}×{image.height}.",
            field="mask",
            remedy="Send a mask that is exactly as large as the picture.",
        )


def fitted(recipe: Recipe, inputs: Inputs) -> Inputs:
    """The same inputs with picture and mask of the recipe's size: their middle, where the shape differs; untouched where none does."""
    image, mask = inputs.image, inputs.mask
    if image is None:
        return inputs
    size = (recipe.width, recipe.height)
    # LANCZOS swings to both sides of an edge: in a mask that would be a second, faint edge beside it.
    return replace(
        inputs,
        image=_fit(image, size, Resampling.LANCZOS),
        mask=None if mask is None else _fit(mask, size, Resampling.BILINEAR),
    )


def kept(drawn: Image, inputs: Inputs) -> Image:
    """A drawn picture, or a smaller view of it, with the pixels of the first one where the mask is black; greys are blended linearly."""
    if inputs.image is None or inputs.mask is None:
        return drawn
    own, mask = inputs.image, inputs.mask
    if drawn.size != own.size:
        own, mask = own.resize(drawn.size, Resampling.BILINEAR), mask.resize(drawn.size, Resampling.BILINEAR)
    return composite(drawn, own, mask)


def _fit(image: Image, size: tuple[int, int], way: Resampling) -> Image:
    return image if image.size == size else ImageOps.fit(image, size, way)
