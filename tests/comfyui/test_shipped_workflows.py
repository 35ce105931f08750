"""The shipped workflows that say they ran, run: on the real server, with its tiny models, three pictures at once and three LoRAs."""

from __future__ import annotations

import io
import time

import numpy as np
import pytest
from comfyui.server import Server
from PIL import Image

from app import HOME
from engines.comfyui import ComfyServer
from studio.graphs import read_api_graph
from studio.nodes import FaultKind, check, read_nodes
from studio.workflows import Value, Workflow, WorkflowStatus, load_workflows, missing, render

SHIPPED = load_workflows(HOME / "workflows")
RAN = [workflow for workflow in SHIPPED if workflow.status is WorkflowStatus.ran]
TINY = {"checkpoint": "tiny_sd15.safetensors", "controlnet": "tiny_controlnet.safetensors", "upscale_model": "tiny_esrgan_2x.safetensors"}
SIDE = 96


def shot(pixels: np.ndarray) -> bytes:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    return data.getvalue()


@pytest.mark.parametrize("workflow", RAN, ids=lambda workflow: workflow.id)
def test_a_workflow_that_says_it_ran_runs(workflow: Workflow, comfy: Server, server: ComfyServer) -> None:
    chance = np.random.default_rng(3)
    source = chance.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[32:64, 24:72] = 255
    wanted: dict[str, Value] = {
        "image": server.upload(shot(source), f"{workflow.id}.png"),
        "mask": server.upload(shot(mask), f"{workflow.id}_mask.png"),
        "prompt": "a cat",
        "width": SIDE,
        "height": SIDE,
        "steps": 2,
        "hires_steps": 2,
        "count": 3,
        "filename_prefix": f"shipped/{workflow.id}",
        **TINY,
    }
    values = {name: value for name, value in wanted.items() if workflow.parameter(name)}
    loras = [("tiny_lora.safetensors", 0.5)] * 3 if workflow.loras else []
    graph = render(workflow, values, loras)
    nodes = read_nodes(dict(server.object_info()))
    assert [fault.message for fault in check(graph, nodes)] == []

    server.post(graph, f"shipped-{workflow.id}", "shipped")
    until = time.monotonic() + 120
    while (entry := server.history(f"shipped-{workflow.id}")) is None or not entry.completed:
        assert time.monotonic() < until
        time.sleep(0.05)

    pictures = [server.view(file) for file in entry.files]
    assert len(pictures) == (3 if workflow.parameter("count") else 1)
    if workflow.parameter("mask"):
        for picture in pictures:
            made = np.asarray(Image.open(io.BytesIO(picture)))
            assert (made[mask == 0] == source[mask == 0]).all(), "what the mask leaves out is kept bit for bit"
            assert (made[mask > 0] != source[mask > 0]).any()
    assert read_api_graph(pictures[0]) == graph, "the picture carries its graph, which can be imported again"


@pytest.mark.parametrize("workflow", SHIPPED, ids=lambda workflow: workflow.id)
def test_the_real_server_lacks_only_models_where_the_manifest_says_so(workflow: Workflow, server: ComfyServer) -> None:
    nodes = read_nodes(dict(server.object_info()))
    lacks = missing(workflow, nodes, {}, version=server.system_stats().version)
    newer = workflow.status in {WorkflowStatus.template, WorkflowStatus.pack}
    assert newer or all(lack.kind in {"model", "version"} for lack in lacks)
    # Node packs are told as such; nothing else is missing on a server without them.
    assert workflow.status is not WorkflowStatus.pack or {lack.kind for lack in lacks} <= {"model", "node"}
    assert FaultKind.no_output not in {fault.kind for fault in check(workflow.graph, nodes)}
