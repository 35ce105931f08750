"""A real ComfyUI server, installed by the first test that asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from comfyui.server import Server, install

from engines.comfyui import ComfyServer

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            # Installing is the first fixture's work and takes as long as the line is slow; a test itself may not.
            item.add_marker(pytest.mark.timeout(300, func_only=True))


@pytest.fixture(scope="session")
def comfy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server that all tests share: none of them may kill it."""
    install()
    with Server(tmp_path_factory.mktemp("comfyui")) as server:
        yield server


@pytest.fixture
def mortal_comfy(tmp_path: Path) -> Iterator[Server]:
    """A server of the test's own, to kill and start again."""
    install()
    with Server(tmp_path / "comfyui") as server:
        yield server


@pytest.fixture
def server(comfy: Server) -> Iterator[ComfyServer]:
    """The shared server, as the engine's client sees it."""
    with ComfyServer(comfy.url) as client:
        yield client


@pytest.fixture
def mortal(mortal_comfy: Server) -> Iterator[ComfyServer]:
    """The client of the server that may be killed."""
    with ComfyServer(mortal_comfy.url) as client:
        yield client
