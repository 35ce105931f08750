"""The embedded engine drawing from a picture, with the real starter model, and with tiny models of other families."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from engines.embedded import Embedded
from studio.contracts import LoraUse, ModelSpec
from studio.crop import Cutout, crop_around
from studio.engine import Artifact, Cancelled, Crop, Inputs, denoise_of
from studio.errors import InvalidFieldValue, OutOfMemory
from studio.models import SAMPLERS, SCHEDULERS, describe, draws
from studio.source import fitted
from tests.engines.test_embedded import _ENVIRONMENT, HOME, PROMPT, STARTER, Said, _digest, _pixels, _recipe, _same, _settings
from tests.engines.tiny_models import tiny_clip, tiny_sdxl, tiny_vae

BLONDE = "portrait of a person with short blonde hair, pale skin, wearing a blue suit, light blue background, cartoon style"


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Embedded:
    """One engine for all tests that only draw: loading it takes seconds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import diffusers  # noqa: F401 - its import warns developers, who are not us
        import peft  # noqa: F401
    return Embedded(_settings(tmp_path_factory.mktemp("data")))


@pytest.fixture(scope="module")
def blonde(warm: Embedded) -> Image.Image:
    """A portrait to start from."""
    (artifact,) = warm.generate(_recipe(prompt=BLONDE, seed=5, width=128, height=128, steps=8), Inputs(STARTER), "run", Said())
    return artifact.image


def test_the_more_is_drawn_anew_the_further_it_goes_away(warm: Embedded, blonde: Image.Image) -> None:
    away = [_difference(_draw(warm, blonde, denoise=denoise, steps=10)[0].image, blonde).mean() for denoise in (0.1, 0.4, 1.0)]
    assert away == sorted(away)
    assert away[0] < 12
    assert away[2] > away[0] * 2
    # The picture is drawn and not only kept: long red hair is redder than the blonde's.
    (red,) = _draw(warm, blonde, denoise=0.6, steps=10)
    assert _pixels(red)[18:30, 50:78, 2].mean() < np.asarray(blonde)[18:30, 50:78, 2].mean() - 10


_COUNTED = [(10, 0.3, 3), (10, 1.0, 10), (10, 0.01, 1), (1, 0.5, 1), (100, 0.29, 29), (4, None, 2), (16, 0.6, 10)]


@pytest.mark.parametrize(("steps", "denoise", "done"), _COUNTED)
def test_steps_are_counted_as_they_are_done(warm: Embedded, blonde: Image.Image, steps: int, denoise: float | None, done: int) -> None:
    report = Said()
    _draw(warm, blonde, report=report, steps=steps, denoise=denoise)
    assert [step for step in report.steps if step] == list(range(1, done + 1))
    assert report.progress == sorted(report.progress)
    assert report.progress[-1] == pytest.approx(0.98)


def test_what_is_drawn_anew_when_nobody_says() -> None:
    picture = Image.new("RGB", (64, 64))
    assert denoise_of(_recipe(), Inputs(STARTER, image=picture)) == 0.6
    assert denoise_of(_recipe(), Inputs(STARTER, image=picture, mask=Image.new("L", (64, 64)))) == 1.0
    assert denoise_of(_recipe(denoise=0.2), Inputs(STARTER, image=picture, mask=Image.new("L", (64, 64)))) == 0.2


def test_a_picture_is_fitted_to_the_recipe_by_its_middle(warm: Embedded, blonde: Image.Image) -> None:
    for size in ((128, 128), (300, 200), (50, 333), (64, 64), (1, 1)):
        picture = blonde.resize(size)
        (artifact,) = _draw(warm, picture, width=96, height=64, denoise=0.1, steps=10)
        assert artifact.image.size == (96, 64)
        assert _difference(artifact.image, ImageOps.fit(picture, (96, 64), Image.Resampling.LANCZOS)).mean() < 20
    picture, mask = blonde.resize((200, 100)), Image.new("L", (200, 100))
    mask.paste(255, (155, 0, 200, 100))  # the right edge, of which the middle square shows nothing
    inputs = fitted(_recipe(width=128, height=128), Inputs(STARTER, image=picture, mask=mask))
    assert inputs.image is not None
    assert inputs.mask is not None
    assert inputs.image.size == inputs.mask.size == (128, 128)
    assert inputs.mask.getextrema() == (0, 0)


def test_nothing_is_resampled_where_the_sizes_agree(blonde: Image.Image) -> None:
    mask = _half(blonde)
    inputs = fitted(_recipe(width=128, height=128), Inputs(STARTER, image=blonde, mask=mask))
    assert inputs.image is blonde
    assert inputs.mask is mask


# Masks


@pytest.mark.parametrize("sampler", [choice.id for choice in SAMPLERS])
def test_black_is_kept_to_the_bit_and_white_is_drawn(warm: Embedded, blonde: Image.Image, sampler: str) -> None:
    mask = _half(blonde)
    dice = np.random.default_rng(1).integers(0, 2, (128, 128, 3), dtype=np.uint8)
    source = Image.fromarray(np.asarray(blonde) ^ dice)  # a grain that no VAE would bring back
    for index, artifact in enumerate(_draw(warm, source, mask=mask, sampler=sampler, steps=5, count=2)):
        differs = _difference(artifact.image, source)
        assert artifact.seed == 1 + index
        assert differs[:64].max() == 0
        assert differs[64:].mean() > 5


def test_the_drawn_part_fits_the_kept_part(warm: Embedded, blonde: Image.Image) -> None:
    mask = Image.new("L", blonde.size)
    mask.paste(255, (0, 0, 24, 24))  # a corner of the background, of a prompt that says nothing of backgrounds
    for sampler in ("dpmpp_2m", "euler_a", "unipc", "lcm"):
        (artifact,) = _draw(warm, blonde, prompt="portrait of a person, cartoon style", mask=mask, sampler=sampler, steps=8, denoise=0.8)
        assert _difference(artifact.image, blonde)[:24, :24].mean() < 25, sampler


def test_greys_are_blended_linearly(warm: Embedded, blonde: Image.Image) -> None:
    white = Image.new("L", blonde.size, 255)
    grey = white.copy()
    grey.paste(64, (0, 0, 64, 128))
    (full,), (soft,) = (_draw(warm, blonde, mask=mask, steps=4) for mask in (white, grey))
    assert np.array_equal(_pixels(full)[:, 64:], _pixels(soft)[:, 64:])
    expected = np.asarray(blonde, dtype=float)[:, :64] * (191 / 255) + _pixels(full)[:, :64] * (64 / 255)
    assert np.abs(_pixels(soft)[:, :64] - expected).max() <= 1


def test_a_mask_without_any_white_gives_the_picture_back(warm: Embedded, blonde: Image.Image) -> None:
    (artifact,) = _draw(warm, blonde, mask=Image.new("L", blonde.size), steps=2)
    assert _digest(artifact.image) == _digest(blonde)


def test_a_mask_must_be_as_large_as_its_picture(warm: Embedded, blonde: Image.Image) -> None:
    for inputs in (Inputs(STARTER, image=blonde, mask=Image.new("L", (128, 127))), Inputs(STARTER, mask=Image.new("L", (128, 128)))):
        with pytest.raises(InvalidFieldValue) as caught:
            list(warm.generate(_recipe(width=128, height=128), inputs, "run", Said()))
        assert caught.value.field == "mask"
        assert caught.value.remedy
    assert warm.state().state in ("ready", "asleep")


# Masks on pictures that are larger, smaller or longer than the model draws

_SPEC = describe(STARTER)
_LARGE = _SPEC.model_copy(update={"side_min": 256, "side_max": 2048, "side_step": 64, "width": 1024, "height": 1024})


def test_a_part_of_a_large_picture_is_drawn_and_the_rest_is_kept_to_the_bit(warm: Embedded, blonde: Image.Image) -> None:
    source = _grainy(blonde, (1500, 1000))
    mask = Image.new("L", source.size)
    ImageDraw.Draw(mask).ellipse((600, 250, 900, 600), fill=255)
    report = Said(previews=True)
    first = _keep_size(warm, source, mask, report=report, count=2)
    assert [artifact.seed for artifact in first] == [1, 2]
    for artifact in first:
        assert artifact.image.size == source.size
        assert artifact.crop is not None
        assert draws(*artifact.crop.size, _SPEC)
        differs = _difference(artifact.image, source)
        inside = np.asarray(mask) > 0
        assert differs[~inside].max() == 0
        assert differs[inside].mean() > 5
    assert not _same(first[:1], first[1:])
    assert _same(first, _keep_size(warm, source, mask, count=2))
    # The part is seen growing where it lies in the picture.
    assert {preview.size for preview in report.previews} == {(512, 341)}
    assert len({_digest(preview) for preview in report.previews}) == len(report.previews)


_ODD: dict[str, tuple[tuple[int, int], tuple[int, int, int, int]]] = {
    "all of it": ((700, 500), (0, 0, 700, 500)),
    "one pixel": ((700, 500), (699, 499, 700, 500)),
    "an edge": ((700, 500), (0, 100, 60, 300)),
    "a thin line": ((2100, 300), (50, 140, 2050, 150)),
    "a very long picture": ((2000, 10), (500, 0, 900, 10)),
    "smaller than the model draws": ((40, 30), (10, 10, 30, 20)),
    "one pixel in all": ((1, 1), (0, 0, 1, 1)),
    "off the grid": ((150, 100), (20, 20, 90, 70)),
}


@pytest.mark.parametrize("name", list(_ODD))
def test_any_mask_on_any_picture_keeps_the_size_and_every_pixel_around_it(warm: Embedded, blonde: Image.Image, name: str) -> None:
    size, part = _ODD[name]
    source = _grainy(blonde, size)
    mask = Image.new("L", size)
    mask.paste(255, part)
    (artifact,) = _keep_size(warm, source, mask, report=Said(previews=True))
    assert artifact.image.size == size
    assert artifact.image.mode == "RGB"
    differs = _difference(artifact.image, source)
    inside = np.asarray(mask) > 0
    assert differs[~inside].max(initial=0) == 0
    assert differs[inside].max() > 0


def test_greys_are_blended_once_in_a_large_picture_too(warm: Embedded, blonde: Image.Image) -> None:
    source = _grainy(blonde, (600, 400))
    white = Image.new("L", source.size)
    white.paste(255, (200, 100, 400, 300))
    grey = white.point([value // 4 for value in range(256)])
    (full,), (soft,) = (_keep_size(warm, source, mask) for mask in (white, grey))
    expected = np.asarray(source, dtype=float) * (192 / 255) + _pixels(full) * (63 / 255)
    assert np.abs(_pixels(soft) - expected).max() <= 1


def test_a_mask_without_any_white_gives_a_large_picture_back(warm: Embedded, blonde: Image.Image) -> None:
    source = _grainy(blonde, (600, 400))
    (artifact,) = _keep_size(warm, source, Image.new("L", source.size))
    assert _digest(artifact.image) == _digest(source)


def test_what_jpeg_makes_of_black_does_not_count_as_painted(warm: Embedded, blonde: Image.Image) -> None:
    source = _grainy(blonde, (600, 400))
    mask = Image.new("L", source.size, 3)
    mask.paste(255, (200, 100, 300, 200))
    (artifact,) = _keep_size(warm, source, mask)
    assert artifact.crop is not None
    assert artifact.crop.box == (150, 50, 350, 250)
    assert _difference(artifact.image, source)[np.asarray(mask) == 3].max() == 0


def test_a_picture_that_can_be_drawn_whole_is_not_cut(warm: Embedded, blonde: Image.Image) -> None:
    (artifact,) = _draw(warm, blonde, mask=_half(blonde))
    assert artifact.crop is None
    # Nor is one whose size was asked for: it is fitted, as one without a mask.
    large = blonde.resize((600, 400))
    (smaller,) = _draw(warm, large, mask=_half(large), width=96, height=64)
    assert (smaller.image.size, smaller.crop) == ((96, 64), None)


@pytest.mark.parametrize("model", [_SPEC, _LARGE], ids=["starter", "large"])
def test_a_crop_has_the_part_in_it_stays_in_the_picture_and_has_the_shape_that_is_drawn(model: ModelSpec) -> None:
    dice = np.random.default_rng(3)
    for _ in range(500):
        wide, high = (int(side) for side in np.exp(dice.uniform(0, np.log(12_000), 2)))
        (left, right), (top, bottom) = (_stretch(dice, side) for side in (wide, high))
        crop = crop_around((left, top, right, bottom), (wide, high), model)
        said = (wide, high), (left, top, right, bottom), crop
        x0, y0, x1, y1 = crop.box
        assert 0 <= x0 <= left < right <= x1 <= wide, said
        assert 0 <= y0 <= top < bottom <= y1 <= high, said
        assert draws(*crop.size, model)
        if x1 - x0 < wide and y1 - y0 < high:
            ratio = crop.size[0] / crop.size[1]
            assert abs((x1 - x0) - (y1 - y0) * ratio) <= max(1.0, ratio), said


def test_a_small_part_is_drawn_large_with_something_around_it() -> None:
    assert crop_around((2000, 1500, 2200, 1700), (4000, 3000), _LARGE) == Crop((1900, 1400, 2300, 1800), (1024, 1024))
    # One pixel is not enlarged beyond what a model can go on with.
    assert crop_around((2000, 1500, 2001, 1501), (4000, 3000), _LARGE) == Crop((1872, 1372, 2128, 1628), (1024, 1024))
    assert crop_around((0, 0, 1, 1), (4000, 3000), _LARGE) == Crop((0, 0, 256, 256), (1024, 1024))


def test_no_line_of_a_mask_is_lost_when_it_is_made_small(blonde: Image.Image) -> None:
    mask = Image.new("L", (3000, 2000))
    mask.paste(255, (100, 1000, 2900, 1001))
    cutout = Cutout(Inputs(STARTER, image=blonde.resize(mask.size), mask=mask), _SPEC)
    small = cutout.inputs().mask
    assert small is not None
    assert small.size == cutout.crop.size
    seen = np.asarray(small)
    assert set(np.unique(seen)) == {0, 255}
    assert (seen.max(axis=1) == 255).sum() == 3
    assert (seen.max(axis=0) == 255).mean() > 0.9


# What every job can do


def test_the_same_picture_and_recipe_give_the_same_pixels_in_another_process(warm: Embedded, blonde: Image.Image, tmp_path: Path) -> None:
    mask = _half(blonde)
    blonde.save(tmp_path / "image.png")
    mask.save(tmp_path / "mask.png")
    recipe = _recipe(width=128, height=128, count=2, steps=4, sampler="dpmpp_2m_sde", denoise=0.7)
    done = subprocess.run(
        [sys.executable, str(Path(__file__)), recipe.model_dump_json(), str(tmp_path)],
        env=_ENVIRONMENT | {"PYTHONPATH": str(HOME)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    here = [list(warm.generate(recipe, inputs, "run", Said())) for inputs in _both(tmp_path)]
    assert json.loads(done.stdout) == [[_digest(artifact.image) for artifact in some] for some in here]


def test_each_picture_of_a_batch_is_another(warm: Embedded, blonde: Image.Image) -> None:
    batch = _draw(warm, blonde, count=3, seed=10, steps=4)
    assert [artifact.seed for artifact in batch] == [10, 11, 12]
    assert len({_digest(artifact.image) for artifact in batch}) == 3
    assert _same(batch, _draw(warm, blonde, count=3, seed=10, steps=4))
    (alone,) = _draw(warm, blonde, seed=12, steps=4)
    assert np.abs(_pixels(alone) - _pixels(batch[2])).mean() < 3


def test_progress_runs_through_all_batches(warm: Embedded, blonde: Image.Image) -> None:
    report = Said()
    assert len(_draw(warm, blonde, report=report, count=9, steps=4, width=192, height=192)) == 9
    assert report.steps[-1] == 2 * 2
    assert report.progress == sorted(report.progress)


@pytest.mark.parametrize("scheduler", [choice.id for choice in SCHEDULERS])
@pytest.mark.parametrize("sampler", [choice.id for choice in SAMPLERS])
def test_every_sampler_and_scheduler_starts_from_a_picture(warm: Embedded, blonde: Image.Image, sampler: str, scheduler: str) -> None:
    report = Said(previews=True)
    (artifact,) = _draw(warm, blonde, report=report, sampler=sampler, scheduler=scheduler, steps=6, denoise=0.5, cfg=2)
    assert [step for step in report.steps if step] == [1, 2, 3]
    assert len(report.previews) == 3
    pixels = _pixels(artifact)
    # Sky stays sky: neither grey nor noise.
    assert pixels[:8, :8, 2].mean() > pixels[:8, :8, 0].mean() + 10
    assert np.abs(np.diff(pixels[:8, :, 2], axis=1)).mean() < 12
    assert _difference(artifact.image, blonde).mean() < 60


def test_previews_show_the_kept_part_from_the_first_step(warm: Embedded, blonde: Image.Image) -> None:
    report = Said(previews=True)
    _draw(warm, blonde, report=report, mask=_half(blonde), steps=4)
    assert len(report.previews) == 4
    for preview in report.previews:
        assert preview.size == blonde.size
        assert _difference(preview, blonde)[:64].max() == 0
    assert len({_digest(preview) for preview in report.previews}) == 4


def test_a_cancel_midway_leaves_the_engine_as_it_was(warm: Embedded, blonde: Image.Image) -> None:
    words = list(warm.generate(_recipe(), Inputs(STARTER), "run", Said()))
    for mask in (None, _half(blonde)):
        before = _draw(warm, blonde, mask=mask, steps=6)
        report = Said(cancel_at=2)
        with pytest.raises(Cancelled):
            _draw(warm, blonde, report=report, mask=mask, steps=6)
        assert report.steps[-1] == 2
        assert warm.state().state == "ready"
        assert _same(before, _draw(warm, blonde, mask=mask, steps=6))
    assert _same(words, list(warm.generate(_recipe(), Inputs(STARTER), "run", Said())))


def test_too_little_memory_is_told_and_the_engine_goes_on(warm: Embedded, blonde: Image.Image) -> None:
    import torch

    before = _draw(warm, blonde, mask=_half(blonde))
    # A real refusal by the allocator: more bytes than any computer has, asked for in the middle of a picture.
    with pytest.raises(OutOfMemory):
        _draw(warm, blonde, mask=_half(blonde), report=Said(at_step=lambda: torch.empty(2**60, dtype=torch.uint8)))
    assert _same(before, _draw(warm, blonde, mask=_half(blonde)))


def test_a_lora_acts_on_pictures_too_and_leaves_no_trace(warm: Embedded, blonde: Image.Image, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    width = json.loads((STARTER / "unet" / "config.json").read_text())["block_out_channels"][-1]
    name = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    dice = torch.Generator().manual_seed(1)
    halves = {f"{name}.lora_A.weight": (2, width), f"{name}.lora_B.weight": (width, 2)}
    save_file({key: torch.randn(shape, generator=dice) for key, shape in halves.items()}, path := tmp_path / "mine.safetensors")
    base = _draw(warm, blonde, steps=4)
    uses = (LoraUse(path=str(path), strength=1.0),)
    recipe = _recipe(width=128, height=128, steps=4, loras=uses)
    worn = list(warm.generate(recipe, Inputs(STARTER, (path,), image=blonde), "run", Said()))
    assert not _same(base, worn)
    assert _same(base, _draw(warm, blonde, steps=4))


# Other families: tiny models of random numbers, which draw noise, along the same way as the large ones


def test_other_families_start_from_pictures_too(warm: Embedded, blonde: Image.Image, tmp_path: Path) -> None:
    for make in (tiny_sdxl, _tiny_flux):
        make(folder := tmp_path / make.__name__)
        # The large ones draw no picture as small as these; then a part of it would be enlarged.
        (folder / "likeness.json").write_text(json.dumps({"side_min": 64}), encoding="utf-8")
        for mask in (None, _half(blonde)):
            recipe = _recipe(width=128, height=128, steps=5, denoise=0.6, sampler="euler", cfg=3.0, count=2)
            report = Said(previews=True)
            artifacts = list(warm.generate(recipe, Inputs(folder, image=blonde, mask=mask), "run", report))
            assert [artifact.image.size for artifact in artifacts] == [(128, 128)] * 2
            assert [step for step in report.steps if step] == [1, 2, 3], make.__name__
            assert not _same(artifacts[:1], artifacts[1:])
            assert _same(artifacts, list(warm.generate(recipe, Inputs(folder, image=blonde, mask=mask), "run", Said())))
            if mask is not None:
                assert _difference(artifacts[0].image, blonde)[:64].max() == 0
                assert _difference(artifacts[0].image, blonde)[64:].mean() > 1


def test_a_model_that_knows_words_alone_says_so(warm: Embedded, blonde: Image.Image, tmp_path: Path) -> None:
    _tiny_auraflow(tmp_path / "auraflow")
    assert list(warm.generate(_recipe(sampler="euler"), Inputs(tmp_path / "auraflow"), "run", Said()))
    for mask in (None, _half(blonde)):
        with pytest.raises(InvalidFieldValue) as caught:
            list(warm.generate(_recipe(sampler="euler"), Inputs(tmp_path / "auraflow", image=blonde, mask=mask), "run", Said()))
        assert caught.value.field == "image"
        assert "FLUX" in caught.value.remedy


def _tiny_flux(folder: Path) -> None:
    from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel
    from diffusers.pipelines.flux.pipeline_flux import FluxPipeline
    from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
    from transformers import CLIPTextModel, CLIPTokenizer

    FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=tiny_vae(channels=4),
        text_encoder=CLIPTextModel(tiny_clip()),
        tokenizer=CLIPTokenizer.from_pretrained(STARTER / "tokenizer"),
        text_encoder_2=_tiny_t5(),
        tokenizer_2=CLIPTokenizer.from_pretrained(STARTER / "tokenizer"),
        transformer=FluxTransformer2DModel(
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=32,
            pooled_projection_dim=32,
            axes_dims_rope=(4, 4, 8),
        ),
    ).save_pretrained(folder)


def _tiny_auraflow(folder: Path) -> None:
    from diffusers.models.transformers.auraflow_transformer_2d import AuraFlowTransformer2DModel
    from diffusers.pipelines.aura_flow.pipeline_aura_flow import AuraFlowPipeline
    from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
    from transformers import CLIPTokenizer, UMT5Config, UMT5EncoderModel

    AuraFlowPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=tiny_vae(channels=4),
        text_encoder=UMT5EncoderModel(UMT5Config(vocab_size=50_000, d_model=32, d_kv=8, d_ff=37, num_layers=1, num_heads=4)),
        tokenizer=CLIPTokenizer.from_pretrained(STARTER / "tokenizer"),
        transformer=AuraFlowTransformer2DModel(
            sample_size=16,
            num_mmdit_layers=1,
            num_single_dit_layers=1,
            attention_head_dim=8,
            num_attention_heads=4,
            joint_attention_dim=32,
            caption_projection_dim=32,
            pos_embed_max_size=64,
        ),
    ).save_pretrained(folder)


def _tiny_t5() -> Any:
    from transformers import T5Config, T5EncoderModel

    return T5EncoderModel(T5Config(vocab_size=50_000, d_model=32, d_kv=8, d_ff=37, num_layers=1, num_heads=4))


def _draw(
    engine: Embedded, image: Image.Image, *, mask: Image.Image | None = None, report: Said | None = None, **changes: Any
) -> list[Artifact]:
    recipe = _recipe(**({"width": 128, "height": 128, "prompt": PROMPT} | changes))
    return list(engine.generate(recipe, Inputs(STARTER, image=image, mask=mask), "run", report or Said()))


def _keep_size(engine: Embedded, image: Image.Image, mask: Image.Image, *, report: Said | None = None, **changes: Any) -> list[Artifact]:
    return _draw(engine, image, mask=mask, report=report, **({"width": image.width, "height": image.height, "steps": 3} | changes))


def _grainy(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """A picture of another size, with a grain that no VAE would bring back."""
    dice = np.random.default_rng(1).integers(0, 2, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(np.asarray(image.resize(size)) ^ dice)


def _stretch(dice: np.random.Generator, side: int) -> tuple[int, int]:
    begin = int(dice.integers(0, side))
    return begin, int(dice.integers(begin, side)) + 1


def _half(image: Image.Image) -> Image.Image:
    mask = Image.new("L", image.size)
    ImageDraw.Draw(mask).rectangle((0, image.height // 2, image.width, image.height), fill=255)
    return mask


def _difference(some: Image.Image, other: Image.Image) -> np.ndarray:
    return np.abs(np.asarray(some, dtype=float) - np.asarray(other, dtype=float))


def _both(folder: Path) -> tuple[Inputs, Inputs]:
    image, mask = Image.open(folder / "image.png"), Image.open(folder / "mask.png")
    return Inputs(STARTER, image=image), Inputs(STARTER, image=image, mask=mask)


if __name__ == "__main__":
    # The other process of a test: draws a recipe from a picture, then with a mask, and prints the digests of the pixels.
    from studio.contracts import Recipe

    engine = Embedded(_settings(Path(sys.argv[2])))
    asked = Recipe.model_validate_json(sys.argv[1])
    print(
        json.dumps([[_digest(each.image) for each in engine.generate(asked, inputs, "run", Said())] for inputs in _both(Path(sys.argv[2]))])
    )
