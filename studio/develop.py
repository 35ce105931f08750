"""What is done to a picture after an engine made it: tone mapping and film grain, the same on every engine and for every run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image

from studio.contracts import Recipe, Tone
from studio.crop import without_faint

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

# Of the range from black to white: the standard deviation of grain of strength 1 where it is strongest.
_COARSEST = 0.09
# Grain is one pixel large up to this many pixels a side, and grows with larger pictures.
_GRAIN_SIDE = 1024
_EXPOSURE = (1.3, 2.5)
_LUMINANCE = (0.2126, 0.7152, 0.0722)


def develop(image: Image.Image, recipe: Recipe, *, seed: int, mask: Image.Image | None = None) -> Image.Image:
    """An RGB picture with the tone and the grain of its recipe; the picture itself where it has neither.

    The grain follows from `seed` alone, so the same picture gets the same grain. `mask` is L and of the same size: where it is black
    the picture stays as it is, bit for bit; greys are blended linearly.
    """
    toned = recipe.tone is Tone.reinhard and recipe.tone_strength > 0
    if not toned and recipe.grain <= 0:
        return image
    import numpy as np  # the page's process knows of recipes too, and does without

    pixels = np.asarray(image, dtype=np.float32) / np.float32(255)
    if toned:
        pixels = _reinhard(pixels, recipe.tone_strength)
    if recipe.grain > 0:
        pixels = _grained(pixels, recipe.grain, seed)
    done = Image.fromarray(np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8))
    if mask is None:
        return done
    return Image.composite(done, image, without_faint(mask)[0])


def _reinhard(pixels: Floats, strength: float) -> Floats:
    """Highlights rolled off and shadows opened, colours kept, the lightest pixel as light as it was.

    The global operator of Reinhard et al., “Photographic Tone Reproduction for Digital Images” (2002), with the white point at the
    lightest pixel and the key of Reinhard's “Parameter Estimation for Photographic Tone Reproduction” (2002).
    """
    import numpy as np

    light = _linear(pixels)
    luminance = light @ np.asarray(_LUMINANCE, dtype=np.float32)
    most = float(luminance.max())
    logs = np.log2(np.maximum(luminance, np.float32(1e-3)))
    # A few stray pixels must not say how bright a picture is.
    low, high = (float(value) for value in np.percentile(logs, (1, 99)))
    if high - low < 0.1:
        return pixels  # one plain colour has no tones to spread
    mean = float(logs.mean())
    key = 0.18 * 4 ** ((2 * mean - low - high) / (high - low))
    # What an engine makes was exposed for a screen already: unlike measured light it bears only so much.
    exposure = min(max(key * most / 2**mean, _EXPOSURE[0]), _EXPOSURE[1])
    scaled = luminance * np.float32(exposure / most)
    mapped = scaled * (1 + scaled / np.float32(exposure**2)) / (1 + scaled) * np.float32(most)
    ratio = (mapped / np.maximum(luminance, np.float32(1e-6))).astype(np.float32)
    toned = _encoded(light * ratio[..., None])
    return (pixels + (toned - pixels) * np.float32(strength)).astype(np.float32)


def _grained(pixels: Floats, strength: float, seed: int) -> Floats:
    """Grey grain, strongest between light and dark, as film has it."""
    import numpy as np

    height, width = pixels.shape[:2]
    scale = max(1.0, max(height, width) / _GRAIN_SIDE)
    # RandomState's stream is frozen: numpy promises the same numbers for good.
    noise = np.random.RandomState(seed).standard_normal((round(height / scale), round(width / scale))).astype(np.float32)
    if scale > 1:
        noise = np.asarray(Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC))
    luminance = pixels @ np.asarray(_LUMINANCE, dtype=np.float32)
    weight = np.sqrt(np.clip(4 * luminance * (1 - luminance), 0.04, 1))
    return pixels + (noise * weight * np.float32(_COARSEST * strength))[..., None]


def _linear(pixels: Floats) -> Floats:
    """From sRGB to light."""
    import numpy as np

    return np.where(pixels <= 0.04045, pixels / 12.92, ((pixels + 0.055) / 1.055) ** np.float32(2.4)).astype(np.float32)


def _encoded(light: Floats) -> Floats:
    import numpy as np

    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** np.float32(1 / 2.4) - 0.055).astype(np.float32)
