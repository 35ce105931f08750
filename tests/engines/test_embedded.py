"""The embedded engine with the real starter model: small pictures, few steps."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL.Image import Image

from engines.embedded import Embedded
from engines.embedded.engine import split
from studio.contracts import Family, LoraUse, Recipe
from studio.engine import Artifact, Cancelled, Inputs
from studio.errors import InvalidFieldValue, LoraMismatch, ModelInvalid, ModelUnsafe, OutOfMemory
from studio.models import SAMPLERS, SCHEDULERS
from studio.settings import Settings

HOME = Path(__file__).resolve().parent.parent.parent
STARTER = HOME / "engines" / "embedded" / "starter_model"
_ENVIRONMENT = os.environ | {"PYTHONPATH": str(HOME)}
PROMPT = "portrait of a person with long red hair, tan skin, wearing a green hoodie, light blue background, cartoon style"


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Embedded:
    """One engine for all tests that only draw: loading it takes seconds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import diffusers  # noqa: F401 - its import warns developers, who are not us
        import peft  # noqa: F401
    return Embedded(_settings(tmp_path_factory.mktemp("data")))


def test_one_picture_is_rgb_and_carries_its_seed_and_hash(warm: Embedded) -> None:
    report = Said()
    (artifact,) = warm.generate(_recipe(width=96, height=64, seed=7), Inputs(STARTER), "run", report)
    assert (artifact.index, artifact.seed, artifact.image.mode, artifact.image.size) == (0, 7, "RGB", (96, 64))
    assert len(artifact.model_hash) == 64
    assert artifact.duration_s > 0
    assert [step for step in report.steps if step] == [1, 2]
    assert report.progress == sorted(report.progress)
    assert warm.state().state == "ready"
    assert warm.state().model == "starter"
    assert warm.state().device == "cpu"


@pytest.mark.parametrize("sampler", [choice.id for choice in SAMPLERS])
def test_the_same_recipe_gives_the_same_pixels_and_another_seed_others(warm: Embedded, sampler: str) -> None:
    first = _draw(warm, _recipe(seed=3, sampler=sampler))
    assert _same(first, _draw(warm, _recipe(seed=3, sampler=sampler)))
    assert not _same(first, _draw(warm, _recipe(seed=4, sampler=sampler)))


def test_the_same_recipe_gives_the_same_pixels_in_another_process(warm: Embedded, tmp_path: Path) -> None:
    recipe = _recipe(count=3, seed=2**32 - 2, sampler="dpmpp_2m_sde")
    assert [recipe.seed_of(index) for index in range(3)] == [2**32 - 2, 2**32 - 1, 0]
    here = _draw(warm, recipe)
    done = subprocess.run(
        [sys.executable, str(Path(__file__)), recipe.model_dump_json(), str(tmp_path)],
        env=_ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert done.stdout.strip() == json.dumps([_digest(artifact.image) for artifact in here])


def test_each_picture_of_a_batch_has_its_own_seed(warm: Embedded) -> None:
    batch = _draw(warm, _recipe(count=3, seed=10))
    assert [artifact.seed for artifact in batch] == [10, 11, 12]
    assert len({_digest(artifact.image) for artifact in batch}) == 3
    (alone,) = _draw(warm, _recipe(seed=12))
    # A batch adds its numbers up in another order: equal to the eye, not to the bit.
    assert np.abs(_pixels(alone) - _pixels(batch[2])).mean() < 3


def test_large_batches_are_split_by_the_recipe_alone() -> None:
    assert split(_recipe(count=5), Family.starter) == (range(5),)
    assert split(_recipe(count=9, width=128, height=128), Family.starter) == (range(4), range(4, 9))
    assert split(_recipe(count=8, width=256, height=256), Family.starter) == (range(4), range(4, 8))
    assert split(_recipe(count=2, width=1024, height=1024), Family.sdxl) == (range(1), range(1, 2))
    assert split(_recipe(count=1, width=4096, height=4096), Family.sdxl) == (range(1),)


def test_progress_runs_through_all_batches(warm: Embedded) -> None:
    report = Said()
    assert len(list(warm.generate(_recipe(count=9, steps=1, width=64, height=64), Inputs(STARTER), "run", report))) == 9
    assert report.steps[-1] == 2
    assert report.progress == sorted(report.progress)


@pytest.mark.parametrize("scheduler", [choice.id for choice in SCHEDULERS])
@pytest.mark.parametrize("sampler", [choice.id for choice in SAMPLERS])
def test_every_sampler_works_with_every_scheduler(warm: Embedded, sampler: str, scheduler: str) -> None:
    report = Said(previews=True)
    (artifact,) = warm.generate(_recipe(sampler=sampler, scheduler=scheduler, steps=6, cfg=2), Inputs(STARTER), "run", report)
    assert [step for step in report.steps if step] == [1, 2, 3, 4, 5, 6]
    assert len(report.previews) == 6
    pixels = _pixels(artifact)
    # The sky of this prompt is light blue whatever the way there; noise and a burnt picture are neither smooth nor blue.
    corner = pixels[:8, :8].reshape(-1, 3)
    assert corner[:, 2].mean() > 150
    assert corner[:, 2].mean() > corner[:, 0].mean() + 10
    assert np.abs(np.diff(pixels[:8, :, 2], axis=1)).mean() < 12


def test_schedules_differ_and_their_steps_fall(warm: Embedded) -> None:
    drawn = {choice.id: _digest(_draw(warm, _recipe(scheduler=choice.id, steps=5))[0].image) for choice in SCHEDULERS}
    # The starter model was trained with evenly spaced steps from pure noise: for it the two are one.
    assert drawn.pop("sgm_uniform") == drawn["normal"]
    assert len(set(drawn.values())) == len(drawn)
    from engines.embedded.sampling import make_sampler, steps_of

    config = json.loads((STARTER / "scheduler" / "scheduler_config.json").read_text())
    for choice in SCHEDULERS[1:]:
        for steps in (1, 2, 16, 150):
            times = steps_of(choice.id, make_sampler("euler", config), steps)
            assert times is not None
            assert len(times) == steps
            assert times[0] == 999
            assert all(after < before for before, after in pairwise(times))
            assert times[-1] >= 0


def test_a_sampler_nobody_knows_is_refused(warm: Embedded) -> None:
    with pytest.raises(InvalidFieldValue) as caught:
        _draw(warm, _recipe(sampler="dreamy"))
    assert caught.value.field == "sampler"


def test_previews_differ_and_come_at_the_pictures_size(warm: Embedded) -> None:
    report = Said(previews=True)
    (artifact,) = warm.generate(_recipe(width=96, height=64, steps=4), Inputs(STARTER), "run", report)
    assert {preview.size for preview in report.previews} == {(96, 64)}
    assert len({_digest(preview) for preview in report.previews}) == 4
    # The last one shows what the picture will be.
    last = np.asarray(report.previews[-1], dtype=float)
    assert np.abs(last - _pixels(artifact)).mean() < 30


def test_a_model_without_a_preview_matrix_gets_one_fitted_to_its_vae(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(STARTER, folder, ignore=shutil.ignore_patterns("preview.json", "*.png", "reader"))
    report = Said(previews=True)
    (artifact,) = Embedded(_settings(tmp_path)).generate(_recipe(width=128, height=128, steps=6), Inputs(folder), "run", report)
    last = np.asarray(report.previews[-1], dtype=float)
    assert np.abs(last - _pixels(artifact)).mean() < 35


def test_a_cancel_midway_leaves_the_pipeline_as_it_was(warm: Embedded) -> None:
    for sampler in ("dpmpp_2m", "unipc", "euler_a"):
        recipe = _recipe(steps=4, sampler=sampler)
        before = _draw(warm, recipe)
        report = Said(cancel_at=2)
        with pytest.raises(Cancelled):
            list(warm.generate(recipe, Inputs(STARTER), "run", report))
        assert report.steps[-1] == 2
        assert warm.state().state == "ready"
        assert _same(before, _draw(warm, recipe))


def test_a_long_prompt_is_cut_with_a_word_about_it(warm: Embedded) -> None:
    report = Said()
    list(warm.generate(_recipe(prompt=PROMPT + ", very nice" * 60), Inputs(STARTER), "run", report))
    assert any("longer than this model can read" in note for note in report.notes)
    report = Said()
    list(warm.generate(_recipe(), Inputs(STARTER), "run", report))
    assert not any("longer" in note for note in report.notes)
    list(warm.generate(_recipe(prompt="👩‍🎨 " * 300, negative_prompt="x" * 9000), Inputs(STARTER), "run", Said()))


def test_without_guidance_the_negative_prompt_has_no_say(warm: Embedded) -> None:
    plain = _draw(warm, _recipe(cfg=1))
    assert _same(plain, _draw(warm, _recipe(cfg=1, negative_prompt="red hair")))
    assert not _same(_draw(warm, _recipe()), _draw(warm, _recipe(negative_prompt="red hair")))


# LoRAs


def test_one_lora_gives_the_same_pixels_in_every_layout_and_leaves_no_trace(warm: Embedded, lora: dict[str, Path]) -> None:
    base = _draw(warm, _recipe())
    drawn = {layout: _draw(warm, _recipe(), lora[layout]) for layout in ("peft", "kohya", "old", "mixed")}
    assert not _same(base, drawn["peft"])
    for layout in ("kohya", "old", "mixed"):
        assert _same(drawn["peft"], drawn[layout]), layout
    assert _same(base, _draw(warm, _recipe()))
    (artifact,) = drawn["kohya"]
    assert list(artifact.lora_hashes) == [str(lora["kohya"])]
    assert len(artifact.lora_hashes[str(lora["kohya"])]) == 64


def test_strength_and_number_of_loras_count(warm: Embedded, lora: dict[str, Path]) -> None:
    base, full = _draw(warm, _recipe()), _draw(warm, _recipe(), lora["peft"])
    half = _draw(warm, _recipe(), lora["peft"], strengths=(0.5,))
    assert not _same(half, full)
    assert not _same(half, base)
    assert _same(base, _draw(warm, _recipe(), lora["peft"], strengths=(0.0,)))
    both = _draw(warm, _recipe(), lora["peft"], lora["words"], strengths=(1.0, 1.0))
    assert not _same(both, full)
    assert _same(full, _draw(warm, _recipe(), lora["peft"], lora["words"], strengths=(1.0, 0.0)))
    assert _same(full, _draw(warm, _recipe(), lora["peft"]))


def test_a_lora_of_the_text_encoder_acts_in_both_layouts(warm: Embedded, lora: dict[str, Path]) -> None:
    base, words = _draw(warm, _recipe()), _draw(warm, _recipe(), lora["words"])
    assert not _same(base, words)
    assert _same(words, _draw(warm, _recipe(), lora["words_kohya"]))
    assert _same(base, _draw(warm, _recipe()))


def test_a_stated_alpha_scales_a_lora(warm: Embedded, lora: dict[str, Path]) -> None:
    half = _draw(warm, _recipe(), lora["peft"], strengths=(0.5,))
    for layout in ("kohya_half", "said_half"):
        (picture,) = _draw(warm, _recipe(), lora[layout])
        assert np.abs(_pixels(picture) - _pixels(half[0])).mean() < 1.5, layout


def test_a_lora_for_another_architecture_is_refused_and_leaves_no_trace(warm: Embedded, lora: dict[str, Path]) -> None:
    base = _draw(warm, _recipe())
    for name in ("other", "partly"):
        with pytest.raises(LoraMismatch) as caught:
            _draw(warm, _recipe(), lora["peft"], lora[name])
        assert caught.value.field == "loras"
        assert _same(base, _draw(warm, _recipe()))


def test_a_lora_that_changes_on_disk_is_read_again(warm: Embedded, lora: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    shutil.copy(lora["peft"], path)
    first = _draw(warm, _recipe(), path)
    shutil.copy(lora["words"], path)
    assert not _same(first, _draw(warm, _recipe(), path))


# What is wrong with a model


def test_broken_models_say_so_and_the_engine_goes_on(warm: Embedded, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(STARTER, folder, ignore=shutil.ignore_patterns("*.png", "reader"))
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    (tmp_path / "old.ckpt").write_bytes(b"\x80\x02}q\x00.")
    _change_json(copy := shutil.copytree(STARTER, tmp_path / "odd"), "vae/config.json", latent_channels=9)
    for path, kind in (
        (folder, ModelInvalid),
        (tmp_path / "old.ckpt", ModelUnsafe),
        (tmp_path / "gone", ModelInvalid),
        (copy, ModelInvalid),
    ):
        with pytest.raises(kind) as caught:
            list(warm.generate(_recipe(), Inputs(path), "run", Said()))
        assert caught.value.field == "model"
        assert caught.value.remedy
    assert warm.state().state == "asleep"
    assert _draw(warm, _recipe())
    assert warm.state().state == "ready"


def test_single_files_are_understood_without_asking_anyone(warm: Embedded) -> None:
    import torch
    from accelerate import init_empty_weights
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    from engines.embedded.loading import _SINGLE_FILE, _clip_tokenizer

    def numbers(model: torch.nn.Module) -> int:
        return sum(parameter.numel() for parameter in model.parameters())

    # The published sizes of these networks: a wrong line in their settings would change them.
    with init_empty_weights():
        for family, size in (("sd15", 859_520_964), ("sdxl", 2_567_463_684)):
            assert numbers(UNet2DConditionModel.from_config(_read_json(_SINGLE_FILE / family / "unet" / "config.json"))) == size
            assert numbers(AutoencoderKL.from_config(_read_json(_SINGLE_FILE / family / "vae" / "config.json"))) == 83_653_863
            assert numbers(CLIPTextModel(CLIPTextConfig.from_pretrained(_SINGLE_FILE / family / "text_encoder"))) == 123_060_480
        large = CLIPTextConfig.from_pretrained(_SINGLE_FILE / "sdxl" / "text_encoder_2")
        assert numbers(CLIPTextModelWithProjection(large)) == 694_659_840
    # The example that CLIP's own documentation uses, with the numbers it gives.
    tokens = _clip_tokenizer("!")("a photo of an astronaut riding a horse").input_ids
    assert tokens == [49406, 320, 1125, 539, 550, 18376, 6765, 320, 4558, 49407]


def test_a_single_file_with_weights_missing_says_so(warm: Embedded, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    for cross, name in ((768, "sd15"), (2048, "sdxl")):
        some = {
            "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight": torch.zeros(8, cross),
            "first_stage_model.decoder.conv_in.weight": torch.zeros(8, 4, 3, 3),
            "cond_stage_model.transformer.text_model.embeddings.position_embedding.weight": torch.zeros(77, 8),
        }
        save_file(some, tmp_path / f"{name}.safetensors")
        with pytest.raises(ModelInvalid, match=name) as caught:
            list(warm.generate(_recipe(), Inputs(tmp_path / f"{name}.safetensors"), "run", Said()))
        assert caught.value.field == "model"
    assert _draw(warm, _recipe())


def test_a_model_that_changes_on_disk_is_loaded_again(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(STARTER, folder, ignore=shutil.ignore_patterns("*.png", "reader"))
    engine = Embedded(_settings(tmp_path))
    (first,) = engine.generate(_recipe(), Inputs(folder), "run", Said())
    weights = folder / "vae" / "diffusion_pytorch_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-2:] = b"\x00\x3c"
    weights.write_bytes(data)
    (second,) = engine.generate(_recipe(), Inputs(folder), "run", Said())
    assert first.model_hash != second.model_hash


def test_loading_tells_what_it_does_and_can_be_cancelled(tmp_path: Path) -> None:
    engine = Embedded(_settings(tmp_path))
    report = Said(cancel_at_note="Loading the unet")
    with pytest.raises(Cancelled):
        list(engine.generate(_recipe(), Inputs(STARTER), "run", report))
    assert report.notes[0] == "Waking the engine"
    assert engine.state().state == "asleep"
    assert list(engine.generate(_recipe(), Inputs(STARTER), "run", Said()))


def test_too_little_memory_is_told_with_what_to_try_and_the_engine_goes_on(warm: Embedded) -> None:
    import torch

    base = _draw(warm, _recipe())
    # A real refusal by the allocator: more bytes than any computer has, asked for in the middle of a picture.
    report = Said(at_step=lambda: torch.empty(2**60, dtype=torch.uint8))
    with pytest.raises(OutOfMemory) as caught:
        list(warm.generate(_recipe(width=128, height=128, count=4), Inputs(STARTER), "run", report))
    assert "4 pictures of 128×128" in caught.value.message
    assert "64×64" in caught.value.remedy
    assert "one picture at a time" in caught.value.remedy
    assert _same(base, _draw(warm, _recipe()))


def test_a_model_larger_than_the_memory_is_refused_before_it_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "huge"
    shutil.copytree(STARTER, folder, ignore=shutil.ignore_patterns("*.png", "reader"))
    _sparse_weights(folder / "unet" / "diffusion_pytorch_model.safetensors", numbers=2**42)
    with pytest.raises(OutOfMemory, match="GB"):
        list(Embedded(_settings(tmp_path)).generate(_recipe(), Inputs(folder), "run", Said()))


def test_the_model_is_let_go_of_after_a_while_and_comes_back_the_same(tmp_path: Path) -> None:
    engine = Embedded(_settings(tmp_path).model_copy(update={"idle_unload_s": 0.001}))
    first = _draw(engine, _recipe())
    while engine.state().state != "asleep":
        engine.idle()
    assert engine.state().model is None
    assert _same(first, _draw(engine, _recipe()))
    patient = Embedded(_settings(tmp_path))
    patient.idle()
    _draw(patient, _recipe())
    patient.idle()
    assert patient.state().state == "ready"


def test_numbers_can_be_chosen(tmp_path: Path) -> None:
    for dtype in ("float32", "float16", "bfloat16"):
        engine = Embedded(_settings(tmp_path).model_copy(update={"dtype": dtype}))
        (artifact,) = _draw(engine, _recipe())
        assert _pixels(artifact)[:8, :8, 2].mean() > 150


def test_nothing_is_ever_asked_of_the_network(tmp_path: Path) -> None:
    code = (
        "import socket, sys\n"
        "def refuse(*_): raise SystemExit('the network was asked for')\n"
        "socket.socket.connect = refuse; socket.getaddrinfo = refuse\n"
        f"sys.argv = ['x', {_recipe(steps=1).model_dump_json()!r}, {str(tmp_path)!r}]\n"
        f"import runpy; runpy.run_path({str(Path(__file__))!r}, run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], env=_ENVIRONMENT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


class Said:
    """A report that remembers what it was told."""

    def __init__(self, *, previews: bool = False, cancel_at: int = 0, cancel_at_note: str = "", at_step: Any = None) -> None:
        self.progress: list[float] = []
        self.steps: list[int] = []
        self.notes: list[str] = []
        self.previews: list[Image] = []
        self._wants = previews
        self._cancel_at = cancel_at
        self._cancel_at_note = cancel_at_note
        self._at_step = at_step

    def __call__(self, progress: float, note: str = "", *, step: int = 0, steps: int = 0, preview: Image | None = None) -> None:
        self.progress.append(progress)
        self.steps.append(step)
        self.notes.append(note)
        if preview is not None:
            self.previews.append(preview)
        if step and self._at_step is not None:
            self._at_step()
        if (self._cancel_at and step == self._cancel_at) or (self._cancel_at_note and note == self._cancel_at_note):
            raise Cancelled

    def wants_preview(self) -> bool:
        return self._wants


@pytest.fixture(scope="module")
def lora(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One small random LoRA, made by PEFT and written down in every layout; another for the text encoder; and some that don't fit."""
    import torch
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from peft import LoraConfig
    from peft.utils.save_and_load import get_peft_model_state_dict
    from safetensors.torch import save_file
    from transformers import CLIPTextModel

    folder = tmp_path_factory.mktemp("loras")

    def random_lora(model: Any, targets: list[str]) -> dict[str, torch.Tensor]:
        model.add_adapter(LoraConfig(r=2, lora_alpha=2, target_modules=targets))
        dice = torch.Generator().manual_seed(1)
        made = get_peft_model_state_dict(model)
        return {name: torch.randn(value.shape, generator=dice) * 0.15 for name, value in made.items()}

    def kohya(tensors: dict[str, torch.Tensor], start: str, alpha: float) -> dict[str, torch.Tensor]:
        made: dict[str, torch.Tensor] = {}
        for name, value in tensors.items():
            stem, _, half = name.removesuffix(".weight").rpartition(".")
            flat = start + stem.replace(".", "_")
            made[f"{flat}.lora_{'down' if half == 'lora_A' else 'up'}.weight"] = value
            made[f"{flat}.alpha"] = torch.tensor(alpha)
        return made

    def old(name: str) -> str:
        return name.replace("lora_A", "lora.down").replace("lora_B", "lora.up")

    unet = random_lora(UNet2DConditionModel.from_pretrained(STARTER / "unet"), ["to_q", "to_v", "to_out.0", "conv1", "ff.net.0.proj"])
    words = random_lora(CLIPTextModel.from_pretrained(STARTER / "text_encoder"), ["q_proj", "v_proj"])
    peft = {f"unet.{name}": value for name, value in unet.items()}
    stranger = {
        "unet.down_blocks.9.attn1.to_q.lora_A.weight": torch.ones(2, 96),
        "unet.down_blocks.9.attn1.to_q.lora_B.weight": torch.ones(96, 2),
    }
    said = {"lora_adapter_metadata": json.dumps({"unet.r": 2, "unet.lora_alpha": 1})}
    files: dict[str, tuple[dict[str, torch.Tensor], dict[str, str] | None]] = {
        "peft": (peft, None),
        "kohya": (kohya(unet, "lora_unet_", 2.0), None),
        "kohya_half": (kohya(unet, "lora_unet_", 1.0), None),
        "said_half": (peft, said),
        "old": ({old(name): value for name, value in peft.items()}, None),
        "mixed": ({old(name) if "attn" in name else name: value for name, value in peft.items()}, None),
        "words": ({f"text_encoder.text_model.{name}": value for name, value in words.items()}, None),
        "words_kohya": (kohya(words, "lora_te_text_model_", 2.0), None),
        "partly": (peft | stranger, None),
        "other": ({name: torch.cat([value, value], 1) if "lora_A" in name else value for name, value in peft.items()}, None),
    }
    for name, (tensors, metadata) in files.items():
        save_file({key: value.contiguous() for key, value in tensors.items()}, folder / f"{name}.safetensors", metadata)
    return {name: folder / f"{name}.safetensors" for name in files}


def _settings(data: Path) -> Settings:
    # One thread: on a busy machine two wait for each other at every layer.
    return Settings().model_copy(update={"data": data, "device": "cpu", "threads": 1})


def _recipe(**changes: Any) -> Recipe:
    plain: dict[str, Any] = {
        "prompt": PROMPT,
        "negative_prompt": "",
        "preset": None,
        "engine": "embedded",
        "model": "starter",
        "loras": (),
        "width": 64,
        "height": 64,
        "steps": 2,
        "cfg": 4.0,
        "sampler": "dpmpp_2m",
        "scheduler": "normal",
        "seed": 1,
        "count": 1,
    }
    return Recipe(**(plain | changes))


def _draw(engine: Embedded, recipe: Recipe, *loras: Path, strengths: tuple[float, ...] = ()) -> list[Artifact]:
    uses = tuple(LoraUse(path=str(path), strength=strength) for path, strength in zip(loras, strengths or [1.0] * len(loras), strict=True))
    return list(engine.generate(recipe.model_copy(update={"loras": uses}), Inputs(STARTER, loras), "run", Said()))


def _pixels(artifact: Artifact) -> np.ndarray:
    return np.asarray(artifact.image, dtype=float)


def _same(some: list[Artifact], others: list[Artifact]) -> bool:
    return [_digest(artifact.image) for artifact in some] == [_digest(artifact.image) for artifact in others]


def _digest(image: Image) -> str:
    import hashlib

    return hashlib.sha256(image.tobytes()).hexdigest()


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text())


def _change_json(folder: Path, name: str, **changes: object) -> None:
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def _sparse_weights(path: Path, numbers: int) -> None:
    """A whole safetensors file of that many zeros, of which the disk holds only the beginning."""
    header = json.dumps({"x": {"dtype": "F16", "shape": [numbers], "data_offsets": [0, numbers * 2]}}).encode()
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + numbers * 2)


if __name__ == "__main__":
    # The other process of two tests: draws a recipe and prints the digests of its pixels.
    os.environ.pop("LIKENESS_DATA", None)
    drawn = Embedded(_settings(Path(sys.argv[2]))).generate(Recipe.model_validate_json(sys.argv[1]), Inputs(STARTER), "run", Said())
    print(json.dumps([_digest(artifact.image) for artifact in drawn]))
