"""Grain and tone: the same for the same seed, only where a mask lets them, and not there unless asked for."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from studio.contracts import GenerateRequest, Recipe, Tone
from studio.develop import develop
from studio.metadata import infotext, parse_infotext


def recipe(**changes: object) -> Recipe:
    plain: dict[str, object] = {"prompt": "a", "negative_prompt": "", "preset": None, "engine": "embedded", "model": "starter", "loras": ()}
    plain |= {"width": 96, "height": 64, "steps": 1, "cfg": 1, "sampler": "euler", "scheduler": "normal", "seed": 5, "count": 1}
    return Recipe.model_validate(plain | changes)


def ramp(width: int = 96, height: int = 64) -> Image.Image:
    across = np.linspace(0, 255, width)[None, :, None]
    down = np.linspace(0.2, 1, height)[:, None, None]
    return Image.fromarray((across * down * np.array([1.0, 0.8, 0.6])).astype(np.uint8))


def values(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


def test_a_recipe_without_grain_and_tone_leaves_the_picture_alone() -> None:
    image = ramp()
    assert develop(image, recipe(), seed=5) is image
    assert develop(image, recipe(tone="reinhard", tone_strength=0), seed=5) is image


def test_grain_follows_from_the_seed_alone() -> None:
    once, again, other = (develop(ramp(), recipe(grain=0.5), seed=seed) for seed in (5, 5, 6))
    assert once.tobytes() == again.tobytes() != other.tobytes()


def test_grain_is_the_same_on_every_computer() -> None:
    # RandomState's numbers never change; a picture this small is not enlarged, so nothing else has a say.
    made = develop(Image.new("RGB", (32, 16), (128, 128, 128)), recipe(grain=1.0), seed=2**32 - 1)
    noise = np.random.RandomState(2**32 - 1).standard_normal((16, 32))
    assert np.abs(values(made)[..., 0] - np.clip(128 + noise * 0.09 * 255, 0, 255)).max() <= 1


@pytest.mark.parametrize("side", [64, 1536])
def test_grain_is_grey_strongest_in_the_middle_and_keeps_the_brightness(side: int) -> None:
    spread: list[float] = []
    for level in (2, 128, 253):
        made = values(develop(Image.new("RGB", (side, side), (level,) * 3), recipe(grain=0.4), seed=3))
        assert np.array_equal(made[..., 0], made[..., 1])
        assert abs(made.mean() - level) < 2
        spread.append(float(made.std()))
    assert spread[1] > 2 * max(spread[0], spread[2]) > 0


def test_more_strength_is_more_grain() -> None:
    flat = Image.new("RGB", (64, 64), (128,) * 3)
    weak, strong = (values(develop(flat, recipe(grain=grain), seed=3)).std() for grain in (0.1, 0.8))
    assert strong > 4 * weak


def test_reinhard_keeps_order_colour_and_white_and_draws_the_ends_together() -> None:
    image = ramp(256, 8)
    made = develop(image, recipe(tone="reinhard"), seed=1)
    line = values(made)[-1]
    assert (np.diff(line.sum(axis=1)) >= -2).all(), "what was lighter is lighter, but for rounding"
    assert line[64].sum() > values(image)[-1, 64].sum() + 9, "shadows are opened"
    assert abs(int(line[-1].sum()) - int(values(image)[-1, -1].sum())) <= 3, "the lightest stays as light as it is"
    bright = line[128:]
    assert np.abs(bright[:, 1] / bright[:, 0] - 0.8).max() < 0.12
    half = develop(image, recipe(tone="reinhard", tone_strength=0.5), seed=1)
    between = (values(image) + values(made)) / 2
    assert np.abs(values(half) - between).max() <= 2


@pytest.mark.parametrize("level", [0, 1, 128, 255])
def test_a_plain_colour_survives_reinhard(level: int) -> None:
    flat = Image.new("RGB", (16, 16), (level,) * 3)
    assert np.array_equal(values(develop(flat, recipe(tone="reinhard"), seed=1)), values(flat))


def test_what_a_mask_keeps_stays_bit_for_bit() -> None:
    image, mask = ramp(), Image.new("L", (96, 64), 0)
    mask.paste(255, (20, 10, 60, 40))
    mask.paste(4, (70, 50, 90, 60))  # what JPEG makes of black
    made = develop(image, recipe(grain=1.0, tone="reinhard"), seed=1, mask=mask)
    painted = np.asarray(mask) == 255
    assert np.array_equal(values(made)[~painted], values(image)[~painted])
    assert (values(made)[painted] != values(image)[painted]).mean() > 0.5


def test_a_pictures_file_says_how_it_was_developed() -> None:
    def words(**changes: object) -> dict[str, str]:
        return parse_infotext(infotext(recipe(**changes), seed=5, model_name="m", model_hash="0" * 64, lora_hashes={}))

    said = words(grain=0.25, tone="reinhard", tone_strength=0.6)
    assert (said["Film grain"], said["Tone mapping"]) == ("0.25", "Reinhard 0.6")
    assert not {"Film grain", "Tone mapping"} & words().keys()


def test_old_recipes_have_neither() -> None:
    old = recipe().model_dump(mode="json", exclude={"grain", "tone", "tone_strength"})
    assert Recipe.model_validate(old).tone is Tone.none


@pytest.mark.parametrize("change", [{"grain": 1.1}, {"grain": -0.1}, {"tone": "aces"}, {"tone_strength": 2}, {"grain": float("nan")}])
def test_strengths_have_limits(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        GenerateRequest.model_validate({"prompt": "a", **change})


def test_nothing_of_numpy_is_there_before_a_picture_is_developed() -> None:
    told = "import sys, studio.develop, studio.generate; assert 'numpy' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", told], check=False).returncode == 0


def test_large_and_small_pictures_have_the_size_that_they_had() -> None:
    for size in ((1, 1), (3000, 2), (1537, 1025)):
        made = develop(Image.effect_noise(size, 40).convert("RGB"), recipe(grain=0.3, tone="reinhard"), seed=1)
        assert made.size == size
