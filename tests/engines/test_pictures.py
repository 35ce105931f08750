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
from studio.contracts import LoraUse
from studio.engine import Artifact, Cancelled, Inputs, denoise_of
from studio.errors import InvalidFieldValue, OutOfMemory
from studio.models import SAMPLERS, SCHEDULERS
from studio.source import fitted
from tests.engines.test_embedded import _ENVIRONMENT, HOME, PROMPT, STARTER, Said, _digest, _pixels, _recipe, _same, _settings

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
    for make in (_tiny_sdxl, _tiny_flux):
        make(folder := tmp_path / make.__name__)
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


def _tiny_sdxl(folder: Path) -> None:
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl import StableDiffusionXLPipeline
    from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler
    from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(STARTER / "tokenizer")
    unet = UNet2DConditionModel(
        block_out_channels=(32, 64),
        layers_per_block=1,
        sample_size=16,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=(2, 4),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        transformer_layers_per_block=(1, 1),
        projection_class_embeddings_input_dim=6 * 8 + 32,
        cross_attention_dim=64,
        norm_num_groups=8,
    )
    StableDiffusionXLPipeline(
        vae=_tiny_vae(channels=4),
        text_encoder=CLIPTextModel(_tiny_clip()),
        text_encoder_2=CLIPTextModelWithProjection(_tiny_clip()),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=unet,
        scheduler=EulerDiscreteScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"),
        add_watermarker=False,
    ).save_pretrained(folder)


def _tiny_flux(folder: Path) -> None:
    from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel
    from diffusers.pipelines.flux.pipeline_flux import FluxPipeline
    from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
    from transformers import CLIPTextModel, CLIPTokenizer

    FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=_tiny_vae(channels=4),
        text_encoder=CLIPTextModel(_tiny_clip()),
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
        vae=_tiny_vae(channels=4),
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


def _tiny_vae(channels: int) -> Any:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    blocks = (8, 8, 8, 8)
    return AutoencoderKL(
        block_out_channels=blocks,
        down_block_types=("DownEncoderBlock2D",) * len(blocks),
        up_block_types=("UpDecoderBlock2D",) * len(blocks),
        latent_channels=channels,
        norm_num_groups=4,
        scaling_factor=0.13,
        shift_factor=0.1,
    )


def _tiny_clip() -> Any:
    from transformers import CLIPTextConfig

    words = json.loads((STARTER / "text_encoder" / "config.json").read_text())
    return CLIPTextConfig(
        vocab_size=words["vocab_size"],
        eos_token_id=words["eos_token_id"],
        hidden_size=32,
        intermediate_size=37,
        num_attention_heads=4,
        num_hidden_layers=2,
        projection_dim=32,
    )


def _tiny_t5() -> Any:
    from transformers import T5Config, T5EncoderModel

    return T5EncoderModel(T5Config(vocab_size=50_000, d_model=32, d_kv=8, d_ff=37, num_layers=1, num_heads=4))


def _draw(
    engine: Embedded, image: Image.Image, *, mask: Image.Image | None = None, report: Said | None = None, **changes: Any
) -> list[Artifact]:
    recipe = _recipe(**({"width": 128, "height": 128, "prompt": PROMPT} | changes))
    return list(engine.generate(recipe, Inputs(STARTER, image=image, mask=mask), "run", report or Said()))


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
