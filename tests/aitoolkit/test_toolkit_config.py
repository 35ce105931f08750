"""The config that AI-Toolkit gets: right for each architecture, and none of its traps set off."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from aitoolkit.toolkits import small_recipe
from PIL import Image

from engines.aitoolkit import ARCHES, default_recipe, estimate
from engines.aitoolkit import process as processes
from engines.aitoolkit.config import Places, arch_of, check_recipe, config, job_name, leaner, told_leaner, written
from engines.aitoolkit.dataset import write_dataset
from studio.errors import DependencyMissing, ImageInvalid, InvalidFieldValue, LikenessError, ModelInvalid
from studio.settings import Settings
from studio.training import Targets, ToolkitOptions, TrainingPicture, TrainRecipe

PLACES = Places(Path("/runs/out"), Path("/runs/dataset"), Path("/runs/jobs.db"))


def told(recipe: TrainRecipe, model: str = "", **more: Any) -> dict[str, Any]:
    arch = arch_of(recipe, Path(model or "nowhere/at-all"))
    said = {"trainer": "diffusion_trainer", "device": "cuda", "seen": False} | more
    return config(recipe, arch, Path(model or arch.repo), PLACES, **said)["config"]["process"][0]


@pytest.mark.parametrize("name", list(ARCHES))
def test_each_architecture_is_trained_as_its_authors_suggest(name: str) -> None:
    recipe = default_recipe(name, trigger="zxmia", samples=("zxmia",))
    check_recipe(recipe, ARCHES[name], Path(ARCHES[name].repo))
    assert arch_of(recipe.model_copy(update={"toolkit": None}), Path(ARCHES[name].repo)).name == name, "its repository says what it is"
    process = told(recipe)
    assert (process["type"], process["model"]["arch"], process["model"]["name_or_path"]) == ("diffusion_trainer", name, ARCHES[name].repo)
    assert (process["train"]["optimizer"], process["train"]["lr"], process["train"]["dtype"]) == ("adamw8bit", 1e-4, "bf16")
    assert process["performance_log_every"] > 0, "otherwise the speed is never told"
    assert process["logging"]["use_ui_logger"], "otherwise there is no log of losses"
    diffusion = name not in ("sdxl", "sd15")
    assert process["train"]["noise_scheduler"] == ("flowmatch" if diffusion else "ddpm")
    assert process["model"]["quantize"] is diffusion
    assert process["sample"]["guidance_scale"] == {"sdxl": 6, "sd15": 6, "zimage:turbo": 1}.get(name, 4)


def test_what_single_architectures_want_is_there() -> None:
    assert told(default_recipe("zimage:turbo"))["model"]["assistant_lora_path"].startswith("ostris/zimage_turbo_training_adapter/")
    assert told(default_recipe("zimage:turbo"))["sample"]["sample_steps"] == 9
    assert told(default_recipe("qwen_image"))["model"]["qtype"].startswith("uint3|ostris/accuracy_recovery_adapters/")
    assert default_recipe("flux").steps == 2000 and default_recipe("flux").rank == 16
    assert told(default_recipe("sd15"))["datasets"][0]["resolution"] == [512]
    assert told(default_recipe("flux"))["datasets"][0]["resolution"] == [512, 768, 1024]


def test_only_what_somebody_said_or_measured_is_estimated() -> None:
    assert estimate(default_recipe("flux"), Path("x/y")).vram_gb == 24
    unquantized = default_recipe("flux").model_copy(update={"toolkit": ToolkitOptions(arch="flux", quantize=False)})
    assert estimate(unquantized, Path("x/y")).vram_gb is None
    assert estimate(default_recipe("sdxl"), Path("x/y")).vram_gb is None
    assert estimate(default_recipe("flux"), Path("x/y")).seconds is None


def test_the_settings_that_save_memory_are_told_until_all_are_on() -> None:
    big = default_recipe("flux").model_copy(update={"batch": 4, "gradient_checkpointing": False})
    words = told_leaner(big, ARCHES["flux"])
    for part in ("gradient checkpointing on", "a batch of 1", "low VRAM on", "512 pixels", "unknown until measured"):
        assert part in words
    lean = leaner(big, ARCHES["flux"])
    assert lean is not None and told(lean)["datasets"][0]["resolution"] == [512] and told(lean)["model"]["low_vram"]
    assert "smaller model" in told_leaner(lean, ARCHES["flux"])


def test_no_variable_of_the_environment_gets_into_a_config() -> None:
    recipe = small_recipe(trigger="${HF_TOKEN}", samples=("a ${HF_TOKEN} b",))
    arch = arch_of(recipe, Path("x/y"))
    text = written(config(recipe, arch, Path("x/y"), PLACES, trainer="diffusion_trainer", device="cpu", seen=False)).decode()
    assert "$" not in text
    assert json.loads(text)["config"]["process"][0]["sample"]["prompts"] == ["a ${HF_TOKEN} b"]


@pytest.mark.parametrize("trigger", ["sam", "a  b_LoRA", "samples", "_cn", "Ωμέγα", ""])
def test_a_jobs_name_is_nothing_that_the_trainer_takes_for_its_own(trigger: str) -> None:
    name = job_name(small_recipe(trigger=trigger))
    assert name.startswith("id-") and "_" not in name and " " not in name and name.isascii()
    assert not any(own.startswith(name) for own in ("samples", "optimizer.pt", "config.yaml", "loss_log.db"))
    assert name == job_name(small_recipe(trigger=trigger)) != job_name(small_recipe(trigger=trigger, rank=8))


def test_what_it_would_leave_out_silently_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "flux.safetensors"
    file.write_bytes(b"")
    for recipe, model, field in (
        (small_recipe(targets=Targets.attention), "x/y", "targets"),
        (small_recipe(prior_weight=1), "x/y", "prior_weight"),
        (small_recipe(schedule="cosine", warmup=10), "x/y", "warmup"),
        (small_recipe(resolution=500), "x/y", "resolution"),
        (default_recipe("flux"), str(file), "model"),
        (small_recipe(), "/no/such/model", "model"),
    ):
        with pytest.raises((InvalidFieldValue, ModelInvalid)) as caught:
            check_recipe(recipe, arch_of(recipe, Path(model)), Path(model))
        assert caught.value.field == field and caught.value.remedy
    with pytest.raises(InvalidFieldValue, match="isn't known to train"):
        default_recipe("nope")
    with pytest.raises(InvalidFieldValue, match="architecture"):
        arch_of(small_recipe(toolkit=None), Path("somebody/something"))


def test_the_trainer_of_2024_gets_a_config_that_it_knows() -> None:
    process = told(small_recipe(), trainer="sd_trainer", device="cpu")
    assert process["type"] == "sd_trainer" and "sqlite_db_path" not in process
    assert (process["train"]["optimizer"], process["train"]["dtype"]) == ("adamw", "fp32"), "bitsandbytes wants a graphics card"


def test_a_schedule_is_the_recipes_own() -> None:
    assert told(small_recipe(schedule="cosine"))["train"]["lr_scheduler_params"] == {"eta_min": pytest.approx(5e-6)}
    assert told(small_recipe(schedule="constant", warmup=5))["train"]["lr_scheduler"] == "constant_with_warmup"


# Pictures


def test_pictures_are_written_so_that_none_is_passed_over_or_taken_for_an_older_one(tmp_path: Path) -> None:
    photos, dataset = tmp_path / "photos", tmp_path / "dataset"
    photos.mkdir()
    Image.new("RGB", (40, 20), "red").save(photos / "a.bmp")
    Image.new("CMYK", (40, 20)).save(photos / "b.jpg")
    Image.new("RGBA", (40, 20), (0, 255, 0, 0)).save(photos / "c.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (40, 20), "blue").save(photos / "d.jpg", exif=turned)
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "green")]
    frames[0].save(photos / "e.webp", save_all=True, append_images=frames[1:])
    Image.new("I;16", (20, 20), 40000).save(photos / "f.png")
    given = [TrainingPicture(path, "") for path in sorted(photos.iterdir())]
    write_dataset(given, "zxmia", dataset)
    found = sorted(path for path in dataset.iterdir() if path.suffix != ".txt")
    assert len(found) == 6 and all(path.suffix in (".png", ".jpg", ".webp") for path in found)
    for path in found:
        with Image.open(path) as image:
            assert image.mode == "RGB" and not getattr(image, "is_animated", False)
            assert image.getexif().get(0x0112, 1) == 1
        assert path.with_suffix(".txt").read_text("utf-8") == "zxmia"
    # The same name with another picture behind it is another file to the trainer's cache.
    before = {path.name for path in found}
    Image.new("RGB", (40, 20), "green").save(photos / "a.bmp")
    write_dataset(given, "zxmia", dataset)
    after = {path.name for path in dataset.iterdir() if path.suffix != ".txt"}
    assert len(after) == 6 and len(after & before) == 5


def test_the_same_picture_twice_is_learned_twice(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    write_dataset([TrainingPicture(tmp_path / "a.png", "one"), TrainingPicture(tmp_path / "a.png", "two")], "", tmp_path / "dataset")
    assert sorted(path.read_text() for path in (tmp_path / "dataset").glob("*.txt")) == ["one", "two"]


def test_bad_pictures_are_named_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    (tmp_path / "empty.png").write_bytes(b"")
    for name in ("broken.png", "empty.png", "missing.png"):
        with pytest.raises(ImageInvalid, match=name):
            write_dataset([TrainingPicture(tmp_path / name, "a")], "zxmia", tmp_path / "dataset")
    with pytest.raises(InvalidFieldValue):
        write_dataset([], "zxmia", tmp_path / "dataset")
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    with pytest.raises(InvalidFieldValue, match="no caption"):
        write_dataset([TrainingPicture(tmp_path / "a.png", " \n")], "", tmp_path / "dataset")


# The machine


def test_a_path_that_it_misreads_gets_another_name(tmp_path: Path) -> None:
    for word in ("my_LoRA_dir", "x_cn", "[ai]", "a$b"):
        folder = tmp_path / word
        folder.mkdir()
        alias = processes.safe_alias(folder)
        assert not processes.is_misread(alias) and alias.resolve() == folder.resolve()
        processes.drop_alias(str(alias), folder)
        assert not alias.exists() and folder.is_dir()
    plain = tmp_path / "plain"
    plain.mkdir()
    if not processes.is_misread(tmp_path):
        assert processes.safe_alias(plain) == plain.resolve()


def test_the_trainer_gets_no_secret_but_its_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIKENESS_PASSWORD", "hush")
    monkeypatch.setenv("RUNPOD_API_KEY", "hush")
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:hush@there")
    environment = processes.environment(Settings(data=tmp_path, hf_token="hf_mine"), "job", "cpu")  # pyright: ignore[reportArgumentType]
    assert "hush" not in str(environment)
    assert environment["HF_TOKEN"] == "hf_mine" and environment["AITK_JOB_ID"] == "job" and environment["CUDA_VISIBLE_DEVICES"] == ""


def test_a_folder_that_is_no_installation_says_why(tmp_path: Path, toolkit: Path) -> None:
    assert processes.find_toolkit(Settings(data=tmp_path, aitoolkit_path=toolkit)).trainer == "diffusion_trainer"
    with pytest.raises(DependencyMissing, match="not set up"):
        processes.find_toolkit(Settings(data=tmp_path))
    bare = tmp_path / "bare"
    bare.mkdir()
    for made in (None, "run.py"):
        if made:
            (bare / made).write_text("")
        with pytest.raises(LikenessError) as caught:
            processes.find_toolkit(Settings(data=tmp_path, aitoolkit_path=bare))
        assert caught.value.field == "aitoolkit_path" and caught.value.remedy
