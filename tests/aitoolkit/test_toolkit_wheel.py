"""A real AI-Toolkit trains its tiny model through the adapter: it is killed, and goes on to the end."""

from __future__ import annotations

import json
import logging
import os
import signal
from pathlib import Path

import pytest
from aitoolkit.toolkits import Said, small_recipe

from engines.aitoolkit import AIToolkit, process
from engines.embedded import Embedded
from studio import training
from studio.errors import LikenessError
from studio.loras import read_lora
from studio.settings import Settings
from studio.training import TrainingPicture
from studio.weights import read_safetensors_header


@pytest.mark.timeout(600, func_only=True)
def test_the_real_trainer_is_killed_and_goes_on_to_a_finished_lora(
    real_toolkit: Path, pictures: list[TrainingPicture], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="aitoolkit")
    engine = AIToolkit(lambda: Settings(data=tmp_path / "data", device="cpu", aitoolkit_path=real_toolkit, engine_timeout_s=600))
    # A prompt that today's and that of 2024 would put a variable into, and a folder that they misread.
    recipe = small_recipe(steps=16, save_every=4, sample_every=100, samples=("a ${HOME} of zxmia",))
    model, run = real_toolkit / "tiny-sd15", tmp_path / "zx_LoRA" / "run"
    killed: list[int] = []

    def kill(step: int) -> None:
        trainer = process.last_trainer(run / "toolkit")
        if trainer is not None and not killed and step >= 8:
            killed.append(trainer.pid)
            os.killpg(trainer.pid, signal.SIGKILL)

    with pytest.raises(LikenessError) as caught:
        engine.train(recipe, model, pictures, run, Said(when=kill))
    assert killed and caught.value.code in ("ENGINE_FAILED", "OUT_OF_MEMORY")
    before = [one.step for one in training.checkpoints(run)]
    assert before[:2] == [4, 8] and before[-1] < 16

    trained = engine.train(recipe, model, pictures, run, Said())
    resumed = process.last_trainer(run / "toolkit")
    assert resumed is not None and resumed.resumed == before[-1] and resumed.pid != killed[0]
    assert trained.steps == 16 and 0 < trained.loss < 10
    assert json.loads(read_safetensors_header(trained.path).metadata["training_info"])["step"] == 16
    assert len(read_lora(trained.path)) > 10 and read_lora(trained.path)[0].rank == 4
    steps = [one["step"] for one in training.read_progress(run)]
    assert steps == sorted(set(steps)) and steps[0] == 1 and len(steps) >= 14
    assert {path.name[:6] for path in (run / "samples").iterdir()} >= {"000000", "000016"}
    judged = Embedded(Settings(data=tmp_path / "data")).judge_samples(recipe, run, pictures)()
    assert judged is not None and judged.by_samples and [one.step for one in judged.verdicts] == [16], "by the pictures it drew itself"
    said = [record.getMessage() for record in caplog.records if record.name == "aitoolkit"]
    assert said.count("Running 1 job") == 2, "both times it ran, in the job's log"
    assert not [line for line in said if "it/s" in line]
    assert "${HOME}" in next((run / "toolkit" / "out").rglob("config.yaml")).read_text()
