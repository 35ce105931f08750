"""The starter model made small: every command on thirty pictures that were drawn before, in seconds."""

from __future__ import annotations

import json
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from starter.assemble import assemble
from starter.captions import NAMED, caption, full_caption, label
from starter.checkpoints import Checkpoints, Slice
from starter.config import HOME, WORKSHOP, Config, Schedule, load_config
from starter.denoiser import face_weights
from starter.evaluate import evaluate, load_prompts, worse
from starter.export import export
from starter.pictures import Pictures, draw
from starter.schedule import Average, rate
from starter.workshop import STAGES, Workshop
from studio.errors import DependencyMissing, DiskFull, InvalidFieldValue, ModelInvalid

HERE = Path(__file__).parent
TINY = HERE / "tiny.yaml"
# diffusers turns a tensor into an array in a way that numpy will not take one day.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
NO_DESIGNS = "node and the designs are not here: `python launch.py starter data` installs the designs"
drawable = pytest.mark.skipif(
    shutil.which("node") is None or not (WORKSHOP / "designs" / "node_modules" / "@dicebear" / "collection").is_dir(), reason=NO_DESIGNS
)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    # Figures are compared bit for bit, and small ones are fastest so.
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def config() -> Config:
    return load_config(TINY)


@pytest.fixture(scope="module")
def made(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """A workshop in which everything was made in one go."""
    workshop = open_workshop(config, tmp_path_factory.mktemp("made"))
    assert workshop.make_vae() and workshop.train() and workshop.make_reader()
    return workshop


def open_workshop(config: Config, folder: Path, steps: int | None = None) -> Workshop:
    if not (folder / "data").exists():
        shutil.copytree(HERE / "drawn", folder / "data")
    return Workshop(folder, config, "cpu", Slice(steps=steps), lambda _: None)


def weights_of(workshop: Workshop) -> dict[str, bytes]:
    """The averaged weights of every stage, byte for byte."""
    tokenizer = workshop.tokenizer()
    parts = {
        "vae": workshop.vae(),
        "text": workshop.text_encoder(tokenizer),
        "denoiser": workshop.denoiser(),
        "reader": workshop.reader(workshop.pictures()),
    }
    return {name: b"".join(value.numpy().tobytes() for value in part.state_dict().values()) for name, part in parts.items()}


def test_a_training_that_was_cut_after_every_step_gives_the_same_weights_bit_for_bit(made, config, tmp_path):
    calls = 0
    while not (open_workshop(config, tmp_path, 1).make_vae() and open_workshop(config, tmp_path, 1).train()):
        calls += 1
        assert calls < 60
    while not open_workshop(config, tmp_path, 1).make_reader():
        calls += 1
        assert calls < 60
    assert calls > 10
    assert weights_of(open_workshop(config, tmp_path)) == weights_of(made)


def test_a_broken_checkpoint_is_named_and_the_one_before_it_goes_on_to_the_same_weights(made, config, tmp_path):
    shutil.copytree(made.folder, tmp_path, dirs_exist_ok=True)
    newest = max((tmp_path / "checkpoints" / "denoiser").glob("*.checkpoint"))
    stopped = open_workshop(config, tmp_path / "again", 2)
    shutil.copytree(made.folder, tmp_path / "again", dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "again" / "checkpoints" / "denoiser")
    assert not stopped.train()
    assert not open_workshop(config, tmp_path / "again", 1).train()
    last = max((tmp_path / "again" / "checkpoints" / "denoiser").glob("*.checkpoint"))
    last.write_bytes(last.read_bytes()[:-9] + b"different")
    said: list[str] = []
    workshop = open_workshop(config, tmp_path / "again")
    workshop.say = said.append
    assert workshop.train()
    assert any(last.name in line and "before it" in line for line in said)
    assert newest.name in {path.name for path in (tmp_path / "again" / "checkpoints" / "denoiser").iterdir()}
    assert weights_of(workshop) == weights_of(made)


def test_two_checkpoints_are_kept_and_broken_ones_alone_are_none(tmp_path):
    said: list[str] = []
    kept = Checkpoints(tmp_path, said.append)
    assert kept.load() is None
    for step in (1, 2, 3):
        kept.save(step, {"samples": step})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000002.checkpoint", "step-00000003.checkpoint"]
    assert kept.load() == (3, {"samples": 3})
    for path in tmp_path.iterdir():
        path.write_bytes(b"")
    assert kept.load() is None and len(said) == 2


def test_the_folder_that_is_put_together_loads_without_a_warning_and_draws(made, caplog):
    from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionInpaintPipeline, StableDiffusionPipeline
    from diffusers.utils import logging as told

    folder = assemble(made, made.folder / "model")
    told.enable_propagation()
    try:
        with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
            warnings.simplefilter("error")
            pipe = StableDiffusionPipeline.from_pretrained(str(folder), dtype=torch.float32)
    finally:
        told.disable_propagation()
    assert [record.getMessage() for record in caplog.records] == []
    pipe.set_progress_bar_config(disable=True)
    assert pipe.vae_scale_factor == 16

    words = "portrait of zxmia person, émile 3, 赤い髪, " + "red hair, " * 500
    drawn = pipe(["", words, "a person"], num_inference_steps=2, height=64, width=64).images
    assert [one.size for one in drawn] == [(64, 64)] * 3
    assert pipe("a person", num_inference_steps=1, height=96, width=160).images[0].size == (160, 96)
    shared = {**pipe.components, "requires_safety_checker": False}
    source, mask = Image.new("RGB", (64, 64), "teal"), Image.new("L", (64, 64), 255)
    for kind, more in ((StableDiffusionImg2ImgPipeline, {}), (StableDiffusionInpaintPipeline, {"mask_image": mask})):
        again = kind(**shared)
        again.set_progress_bar_config(disable=True)
        assert again("a person", image=source, num_inference_steps=2, strength=1.0, **more).images[0].size == (64, 64)

    preview = json.loads((folder / "preview.json").read_text())
    assert np.shape(preview["matrix"]) == (4, 3) and np.shape(preview["bias"]) == (3,)
    sums = dict(reversed(line.split("  ")) for line in (folder / "SHA256SUMS").read_text().splitlines())
    assert set(sums) == {path.relative_to(folder).as_posix() for path in folder.rglob("*.safetensors")}


def test_evaluating_and_exporting_write_figures_card_credits_and_logs(made, config, tmp_path):
    folder = assemble(made, made.folder / "model")
    said: list[str] = []
    with pytest.raises(ModelInvalid, match="not evaluated"):
        export(made, tmp_path / "shipped", tmp_path / "logs")
    assert evaluate(folder, folder, config, made.folder, said.append, loras=False, data=made.folder / "data")
    figures = json.loads((made.folder / "figures.json").read_text())
    assert figures["after"]["pictures"] == 4 and 0 <= figures["after"]["right"]["style"] <= 1
    assert figures["after"]["psnr"] > 0 and figures["after"]["cold"] > 0
    assert "wanted" in said[0]

    (tmp_path / "shipped").mkdir()
    (tmp_path / "shipped" / "old").touch()
    assert export(made, tmp_path / "shipped", tmp_path / "logs")
    assert not (tmp_path / "shipped" / "old").exists()
    card = (tmp_path / "shipped" / "MODEL_CARD.md").read_text()
    assert figures["after"]["weights"] in card and "$" not in card
    assert "Johan Melin" in (tmp_path / "shipped" / "NOTICE").read_text()
    assert {path.name for path in (tmp_path / "logs").iterdir()} == {*(f"{stage}.jsonl" for stage in STAGES), "figures.json"}
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []

    # A model that draws something worse than the one that ships is kept back.
    figures["both"] = [{"right": {"mouth": 0.9, "old": 1.0}}, {"right": {"mouth": 0.8}}]
    (made.folder / "figures.json").write_text(json.dumps(figures))
    assert worse(figures) == ["mouth"]
    with pytest.raises(ModelInvalid, match="mouth"):
        export(made, tmp_path / "shipped", tmp_path / "logs")
    assert (tmp_path / "shipped" / "MODEL_CARD.md").is_file()


def test_a_lora_of_somebody_is_learned_on_the_new_model(made, config, tmp_path):
    from bench.train import Follow
    from engines.embedded import Embedded
    from studio.engine import TrainingPicture
    from studio.settings import load_settings
    from studio.training import TrainRecipe

    folder = assemble(made, made.folder / "model")
    shown = sorted((HOME / "tests" / "files" / "characters" / "00").glob("*.png"))[:4]
    pictures = [TrainingPicture(path, "portrait of zxmia person") for path in shown]
    recipe = TrainRecipe(model="starter", trigger="zxmia", steps=2, resolution=64)

    Embedded(load_settings(tmp_path / "data")).train(recipe, folder, pictures, tmp_path / "run", Follow())
    assert list((tmp_path / "run").rglob("*.safetensors"))


# Bad input


def test_what_is_missing_is_named_with_what_to_do(config, tmp_path, monkeypatch):
    workshop = Workshop(tmp_path / "empty", config, "cpu", Slice(), lambda _: None)
    with pytest.raises(DependencyMissing) as missing:
        workshop.make_vae()
    assert "starter data" in missing.value.remedy
    drawn = open_workshop(config, tmp_path / "drawn")
    for wanted, command in ((drawn.vae, "vae"), (drawn.tokenizer, "train"), (drawn.denoiser, "train")):
        with pytest.raises(ModelInvalid) as lacking:
            wanted()
        assert f"starter {command}" in lacking.value.remedy
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DependencyMissing) as node:
        workshop.draw()
    assert "Node.js" in node.value.remedy
    (tmp_path / "node").write_text("#!/bin/sh\necho v12.1.0\n")
    (tmp_path / "node").chmod(0o755)
    with pytest.raises(DependencyMissing, match="too old"):
        workshop.draw()


def test_pictures_that_would_not_fit_are_not_begun(config, tmp_path):
    vast = config.data.model_copy(update={"pictures": 10**10, "shard": 10**6})
    with pytest.raises(DiskFull, match="GB"):
        draw(vast, 6, tmp_path / "data", tmp_path, Slice())
    assert list((tmp_path / "data").iterdir()) == []


def test_a_broken_shard_is_named(config, tmp_path):
    workshop = open_workshop(config, tmp_path)
    shard = tmp_path / "data" / "0000016.pictures"
    shard.write_bytes(shard.read_bytes()[:-500])
    with pytest.raises(ModelInvalid, match=r"0000016\.pictures"):
        workshop.pictures().pixels(range(16, 32))


def test_a_config_with_a_mistake_is_refused(tmp_path):
    wrong = tmp_path / "config.yaml"
    wrong.write_text(TINY.read_text().replace("seed: 6", "seeds: 6"))
    with pytest.raises(InvalidFieldValue, match="seeds"):
        load_config(wrong)
    wrong.write_text("seed: [")
    with pytest.raises(InvalidFieldValue):
        load_config(wrong)


def test_sigterm_leaves_a_checkpoint_and_the_next_call_goes_on(config, tmp_path):
    open_workshop(config, tmp_path)
    endless = tmp_path / "endless.yaml"
    endless.write_text(TINY.read_text().replace("samples: 16, ", "samples: 100000, ", 1))
    options = ["--config", str(endless), "--folder", str(tmp_path), "--device", "cpu", "--threads", "1"]
    command = [sys.executable, "-m", "starter", "vae", *options]
    child = subprocess.Popen(command, cwd=HOME, stdout=subprocess.PIPE, text=True)
    log = tmp_path / "logs" / "vae.jsonl"
    deadline = time.monotonic() + 120
    while not log.is_file() or not log.read_text():
        assert child.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=60)
    assert child.returncode == 3
    before = Workshop(tmp_path, load_config(endless), "cpu", Slice(), lambda _: None).seen("vae")
    assert before > 0
    after = subprocess.run([*command, "--steps", "1"], cwd=HOME, capture_output=True, text=True, check=False)
    assert after.returncode == 3, after.stderr
    assert Workshop(tmp_path, load_config(endless), "cpu", Slice(), lambda _: None).seen("vae") == before + 4


def test_the_command_says_what_is_wrong_in_words(tmp_path):
    command = [sys.executable, "-m", "starter", "vae", "--folder", str(tmp_path), "--config", str(TINY)]
    failed = subprocess.run(command, cwd=HOME, capture_output=True, text=True, check=False)
    assert failed.returncode == 1 and "Traceback" not in failed.stderr
    assert "python launch.py starter data" in failed.stderr


# Captions


def test_the_words_that_the_first_model_knew_are_still_drawn():
    labels = json.loads((HOME / "engines" / "embedded" / "starter_model" / "reader" / "labels.json").read_text())["labels"]
    source = (HOME / "starter" / "designs" / "words.mjs").read_text()
    named = ("hair_color", "skin", "cloth_color", "bg", "acc", "hair", "mouth")
    words = {word for name in named for word in labels[name]} - {"none", "bald"}
    assert [word for word in sorted(words) if f"'{word}'" not in source and f"{word}:" not in source] == []


def test_a_full_caption_tells_every_attribute_and_a_loose_one_tells_which():
    for about in load_prompts(64):
        whole = full_caption(about)
        assert whole == full_caption(about)
        for name in ("skin", "mouth", "hat", "scene", "acc", "eyes"):
            assert about.get(name, "") in whole
        said = caption(about, random.Random(1), keep=1.0)
        assert {name for name in NAMED if name not in ("framing", "age", "facing") and label(about, name) != "none"} <= {
            *said.said, "style", "cloth", "cloth_color", "hair", "bg",
        }  # fmt: skip
    drawn = random.Random(2)
    loose = [caption(about, drawn) for about in load_prompts(64) for _ in range(20)]
    assert len({one.text for one in loose}) > 1200
    assert all("none" not in one.text and "  " not in one.text and ", ," not in one.text for one in loose)


def test_clothes_count_as_unseen_in_a_close_up():
    about = {"framing": "close-up", "cloth": "hoodie", "cloth_color": "red", "style": "toonHead", "extra": "red scarf"}
    assert (label(about, "cloth"), label(about, "cloth_color"), label(about, "extra")) == ("none", "none", "scarf")


# Numbers


def test_faces_weigh_more_and_all_cells_together_as_before():
    faces = np.array([[64, 64, 128, 192], [0, 0, 256, 256], [0, 0, 0, 0]], dtype=np.int16)
    weights = face_weights(faces, 256, 16, 3.0)
    assert weights.shape == (3, 16, 16)
    np.testing.assert_allclose(weights.mean((1, 2)), 1, rtol=1e-5)
    assert weights[0, 5, 5] == pytest.approx(3 * weights[0, 0, 0])
    assert weights[1].std() == weights[2].std() == 0


def test_the_rate_climbs_stays_and_falls():
    schedule = Schedule(samples=1000, batch=10, batch_cuda=10, rate=0.1, warm_up=100, flat=0.4, end=0.02)
    assert rate(schedule, 0) == pytest.approx(0.01)
    assert rate(schedule, 200) == rate(schedule, 390) == 0.1
    assert rate(schedule, 700) == pytest.approx(0.05)
    assert rate(schedule, 1000) == rate(schedule, 5000) == pytest.approx(0.002)


def test_an_average_forgets_by_half_in_its_half_life():
    live = torch.nn.Parameter(torch.zeros(1))
    average = Average([live], half_life=100)
    live.data += 1
    for step in range(10):
        average.update(10_000 + 10 * step, 10)
    assert average.values[0].item() == pytest.approx(0.5)
    average.swap()
    assert live.item() == pytest.approx(0.5)
    average.swap()
    assert live.item() == 1


# Drawing


@drawable
def test_a_number_always_gives_the_same_picture(config, tmp_path):
    whole = Pictures(HERE / "drawn", config.data)
    elsewhere = config.data.model_copy(update={"shard": 8})
    (tmp_path / "workshop").mkdir()
    os.symlink(WORKSHOP / "designs" / "node_modules", tmp_path / "node_modules")
    for file in (HOME / "starter" / "designs").iterdir():
        shutil.copyfile(file, tmp_path / "workshop" / file.name)
    program, out = tmp_path / "workshop" / "draw.mjs", tmp_path / "data"
    command = ["node", str(program), "--seed", "6", "--side", "64", "--out", str(out), "--count", "8"]
    for first in range(0, 32, 8):
        subprocess.run([*command, "--first", str(first)], check=True)
    again = Pictures(tmp_path / "data", elsewhere)
    assert again.attributes == whole.attributes
    np.testing.assert_array_equal(again.faces, whole.faces)
    np.testing.assert_array_equal(again.pixels(range(32)), whole.pixels(range(32)))


@drawable
def test_skins_and_hair_colours_come_in_equal_parts(tmp_path):
    program = str(WORKSHOP / "designs" / "draw.mjs")
    subprocess.run(["node", program, "--seed", "9", "--first", "0", "--count", "2000", "--side", "16", "--out", str(tmp_path)], check=True)
    people = [json.loads(line) for line in (tmp_path / "0000000.jsonl").read_text().splitlines()]
    skins = [sum(one["skin"] == skin for one in people) for skin in sorted({one["skin"] for one in people})]
    assert len(skins) == 5 and max(skins) - min(skins) < 100
    colours = [sum(one.get("hair_color") == colour for one in people) for colour in ("red", "white", "gray", "blonde", "blue", "pink")]
    assert max(colours) - min(colours) < 70
    assert {one["age"] for one in people} == {"young", "middle-aged", "elderly"}
