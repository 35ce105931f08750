"""AI-Toolkit for tests: a stand-in that behaves as the recorded runs say, and a real one from the package index."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from aitoolkit import wheel
from aitoolkit.toolkits import small_recipe, stand_in
from PIL import Image

from engines.aitoolkit import AIToolkit
from studio.settings import Settings
from studio.training import TrainingPicture, TrainRecipe

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            # Installing is the first fixture's work and takes as long as the line is slow; a test itself may not.
            item.add_marker(pytest.mark.timeout(300, func_only=True))


@pytest.fixture(scope="session")
def recorded() -> dict[str, Any]:
    """Runs of AI-Toolkit 0.12.26 as they were recorded, by their names."""
    return json.loads((HERE / "captures" / "runs.json").read_text("utf-8"))


@pytest.fixture
def toolkit(tmp_path: Path) -> Path:
    """A folder as a clone of AI-Toolkit is, with the stand-in inside."""
    return stand_in(tmp_path / "ai-toolkit")


@pytest.fixture
def engine(toolkit: Path, tmp_path: Path) -> AIToolkit:
    return AIToolkit(lambda: Settings(data=tmp_path / "data", device="cpu", aitoolkit_path=toolkit))


@pytest.fixture
def pictures(tmp_path: Path) -> list[TrainingPicture]:
    """Four small pictures of four colours."""
    made = []
    for number in range(4):
        path = tmp_path / "photos" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (96, 96), (60 * number, 120, 200)).save(path)
        made.append(TrainingPicture(path, "portrait of zxmia person"))
    return made


@pytest.fixture
def recipe() -> TrainRecipe:
    """Thirty steps of the smallest LoRA, saved and sampled every ten."""
    return small_recipe()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder for the stand-in to be told of: it opens none."""
    folder = tmp_path / "model"
    folder.mkdir()
    return folder


@pytest.fixture(scope="session")
def real_toolkit() -> Path:
    """The folder of a real AI-Toolkit with its tiny model."""
    return wheel.install()
