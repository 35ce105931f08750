"""The sixteen ways in which a real ComfyUI surprises its clients, by their numbers in docs/comfyui.md. What the
11th, its restart, does to a job that runs is in test_watch.py."""

from __future__ import annotations

import io
import json
import secrets
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from comfyui.graphs import Graph, Said, empty, fail, node, sleep, text_to_image
from comfyui.server import Server, install
from PIL import Image
from safetensors.numpy import load_file, save_file
from websockets.sync.client import connect

from bench.rig import wait_until
from engines.comfyui import ComfyServer, MissingNode, OutputFile, Progress, choices, run, with_prefix
from engines.comfyui.faults import refused
from engines.comfyui.progress import picture
from engines.comfyui.server import files_of
from studio.engine import Cancelled
from studio.errors import (
    Conflict,
    ContractMismatch,
    EngineFailed,
    InvalidFieldType,
    InvalidFieldValue,
    LikenessError,
    MissingRequiredField,
    NotFound,
    OutOfMemory,
)

HERE = Path(__file__).parent


def test_1_a_job_has_ended_when_its_history_says_so_and_unknown_and_unfinished_look_the_same(server: ComfyServer) -> None:
    for _ in range(10):
        entry = run(server, empty(), _id(), Said())
        assert entry.completed and server.has(entry.files[0])
    job = _id()
    server.post(sleep(30), job, "somebody")
    assert server.history(job) is None
    assert server.history("never heard of") is None
    server.cancel(job)


def test_2_a_job_id_is_the_name_of_the_work_and_runs_once(comfy: Server, server: ComfyServer) -> None:
    prefix, job = f"once/{_id()}", "an id/with?odd#marks"
    graph = text_to_image(prefix=prefix)
    server.post(graph, job, "before a crash")
    first = run(server, graph, job, Said())
    assert run(server, graph, job, Said()).files == first.files
    assert len(list((comfy.output / "once").glob(f"{prefix.partition('/')[2]}*"))) == 1


def test_2_a_plain_500_that_queued_the_job_all_the_same_is_no_failure(comfy: Server, server: ComfyServer) -> None:
    blocker, job = _blocked(server), _id()
    body = {"prompt": empty(), "prompt_id": job, "number": 5}
    assert _post(comfy, body).status_code == 200
    assert _post(comfy, body).status_code == 500
    assert server.queue().pending.count(job) == 2
    server.cancel(job)
    assert job not in server.queue().pending
    server.cancel(blocker)


def test_3_the_queue_is_listed_in_the_order_it_will_run(comfy: Server, server: ComfyServer) -> None:
    blocker = _blocked(server)
    mark = _id()
    ids = [f"{mark}-{name}" for name in ("first", "second", "front", "very front")]
    for job, more in zip(ids, ({}, {}, {"front": True}, {"front": True}), strict=True):
        _post(comfy, {"prompt": empty(), "prompt_id": job} | more)
    assert server.queue().pending == (ids[3], ids[2], ids[0], ids[1])
    for job in (*ids, blocker):
        server.cancel(job)


def test_4_what_others_post_without_a_client_id_is_not_taken_for_ours(comfy: Server, server: ComfyServer) -> None:
    theirs = text_to_image(steps=30)
    _post(comfy, {"prompt": theirs, "prompt_id": _id()})
    said = Said(previews=True)
    run(server, text_to_image(steps=2), _id(), said)
    waited = [progress for progress, note in zip(said.progress, said.notes, strict=True) if note.startswith("Waiting")]
    assert not any(waited)
    assert {steps for _, steps in said.steps} <= {0, 2}
    assert len(said.previews) <= 2


def test_5_a_second_socket_under_the_same_client_id_takes_ours_over_and_the_job_still_ends(comfy: Server, server: ComfyServer) -> None:
    job = _id()

    meddled = threading.Event()

    def meddle(said: Said) -> None:
        if said.steps[-1][0] >= 2 and not meddled.is_set():
            meddled.set()
            with connect(ComfyServer(comfy.url).socket_url(f"likeness-{job}")):
                pass

    entry = run(server, sleep(1.5), job, Said(meddle))
    assert entry.completed and meddled.is_set()


def test_6_previews_say_whose_they_are_where_the_first_message_asked_for_it(comfy: Server, server: ComfyServer) -> None:
    for flags, kind in ((True, 4), (False, 1)):
        job, progress = _id(), None
        graph = text_to_image(steps=3)
        progress, another = Progress(graph, job), Progress(graph, "another job")
        kinds: set[int] = set()
        with connect(server.socket_url("previews")) as socket:
            if flags:
                socket.send(json.dumps({"type": "feature_flags", "data": {"supports_preview_metadata": True}}))
            server.post(graph, job, "previews")
            while not progress.ended:
                message = socket.recv(30)
                progress.take(message)
                assert not another.take(message)
                if isinstance(message, bytes):
                    kinds.add(message[3])
        assert kinds == {kind}
        assert progress.preview is not None
        image = picture(progress.preview)
        assert image is not None and image.mode == "RGB"
    assert picture(b"\xff\xd8\xff no picture") is None


def test_7_a_job_that_was_made_before_is_saved_anew(comfy: Server, server: ComfyServer) -> None:
    graph = text_to_image(seed=secrets.randbelow(2**40))
    first = run(server, graph, _id(), Said()).files[0]
    second = run(server, graph, job := _id(), Said()).files[0]
    assert (second.subfolder, second.name) != (first.subfolder, first.name)
    assert _pixels(server, second) == _pixels(server, first)
    for file in (first, second):
        (comfy.output / file.subfolder / file.name).unlink()
    # The very job again, whose files somebody deleted meanwhile: there is nothing to find, and that is said.
    with pytest.raises(NotFound, match="doesn't have any more"):
        run(server, graph, job, Said())
    with pytest.raises(NotFound):
        server.view(second)
    # Another job of the same graph makes its own.
    assert _pixels(server, run(server, graph, _id(), Said()).files[0]) != b""


def test_8_new_models_are_listed_at_once_and_replaced_ones_read_after_free(comfy: Server, server: ComfyServer) -> None:
    mine = comfy.base / "models" / "loras" / "mine.safetensors"
    mine.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(install() / "models" / "loras" / "tiny_lora.safetensors", mine)
    assert "mine.safetensors" in server.models(refresh=True).loras

    def draw() -> bytes:
        graph = text_to_image(seed=5)
        graph["10"] = node("LoraLoader", model=["4", 0], clip=["4", 1], lora_name="mine.safetensors", strength_model=1.0, strength_clip=1.0)
        graph["3"]["inputs"]["model"] = ["10", 0]
        return _pixels(server, run(server, graph, _id(), Said()).files[0])

    before = draw()
    save_file({name: -weight if "lora_up" in name else weight for name, weight in load_file(mine).items()}, mine)
    assert draw() == before
    # Another of its tasks does this; it is quick, and nothing says when.
    until = time.monotonic() + 120
    server.free()
    while draw() == before:
        assert time.monotonic() < until
        server.free()


def test_9_a_waiting_job_is_cancelled_and_what_runs_goes_on(server: ComfyServer) -> None:
    running, job = _blocked(server), _id()
    _cancel_when(server, empty(), job, lambda said: said.notes[-1].startswith("Waiting"))
    queue = server.queue()
    assert queue.running == (running,) and job not in queue.pending
    assert server.history(job) is None
    server.cancel(running)


def test_9_a_running_job_is_cancelled_and_what_waits_comes_next(server: ComfyServer) -> None:
    job, waiting = _id(), _id()
    posted = threading.Event()

    def running(said: Said) -> bool:
        if said.steps[-1][0] and not posted.is_set():
            server.post(empty(), waiting, "somebody")
            posted.set()
        return posted.is_set()

    _cancel_when(server, sleep(60, steps=600), job, running)
    assert job not in server.queue().running
    assert run(server, empty(), waiting, Said()).completed
    with pytest.raises(Conflict, match="stopped"):
        run(server, empty(), job, Said())


def test_9_a_job_that_somebody_else_stops_or_takes_out_says_so(server: ComfyServer) -> None:
    job = _id()

    def stop(said: Said) -> None:
        if said.steps[-1][0]:
            server.interrupt(job)

    with pytest.raises(Conflict, match="Somebody stopped"):
        run(server, sleep(60, steps=600), job, Said(stop))
    running, job = _blocked(server), _id()

    def take_out(said: Said) -> None:
        if said.notes[-1].startswith("Waiting"):
            server.delete(job)

    with pytest.raises(Conflict, match="out of ComfyUI's queue"):
        run(server, empty(), job, Said(take_out))
    server.cancel(running)


RECORDED = json.loads((HERE / "captures" / "post_prompt_invalid_cases.json").read_text("utf-8"))
MEANT: dict[str, tuple[type[LikenessError], str]] = {
    "missing checkpoint": (NotFound, "“missing.safetensors” is not on this"),
    "missing node class": (MissingNode, "no node “NoSuchSampler”"),
    "missing required input": (MissingRequiredField, "needs seed"),
    "value below min": (InvalidFieldValue, "0 is no steps"),
    "wrong type": (InvalidFieldType, "“abc”"),
    "value not in list": (InvalidFieldValue, "no sampler “nosuch”"),
    "return type mismatch": (ContractMismatch, "Return type mismatch"),
    "link to unknown node": (ContractMismatch, "VAEDecode"),
    "link to out-of-range output": (ContractMismatch, "VAEDecode"),
    "no outputs": (ContractMismatch, "nothing in it saves"),
    "empty prompt": (ContractMismatch, "nothing in it saves"),
    "missing input image": (NotFound, "not on the ComfyUI server"),
    "node without class_type": (ContractMismatch, "class_type"),
    "self-cycle": (ContractMismatch, "circle"),
    "no prompt key": (ContractMismatch, "empty"),
    "prompt is a list": (ContractMismatch, "nothing in it saves"),
    "prompt null": (ContractMismatch, "failed while it read"),
    "node is null": (ContractMismatch, "failed while it read"),
    "node without inputs": (ContractMismatch, "SaveImage"),
    "body is list": (ContractMismatch, "empty"),
    "number is text": (ContractMismatch, "failed while it read"),
    "extra_data null": (ContractMismatch, "failed while it read"),
    "not JSON": (ContractMismatch, "failed while it read"),
    "one of two outputs invalid -> 200 and runs the valid part": (LikenessError, ""),
}


@pytest.mark.parametrize("case", [case for case in RECORDED if case["case"] in MEANT], ids=lambda case: case["case"])
def test_10_every_refusal_is_put_into_words(case: dict[str, Any], server: ComfyServer) -> None:
    kind, words = MEANT[case["case"]]
    request = case.get("request")
    graph = request.get("prompt") if isinstance(request, dict) else None
    recorded = refused(case["body"] if isinstance(case["body"], dict) else None, graph if isinstance(graph, dict) else {}, lambda *_: ())
    assert isinstance(recorded, kind) and words in recorded.message and recorded.remedy
    if not isinstance(graph, dict) or "number" in request or "extra_data" in request:
        return
    with pytest.raises(kind) as caught:
        run(server, graph, _id(), Said())
    assert words in caught.value.message and caught.value.remedy


def test_10_what_is_missing_is_named_with_what_is_there(server: ComfyServer) -> None:
    with pytest.raises(NotFound) as checkpoint:
        run(server, text_to_image(n4={"ckpt_name": "gone.safetensors"}), _id(), Said())
    assert "tiny_sd15.safetensors, tiny_sd15_b.safetensors" in checkpoint.value.remedy
    assert checkpoint.value.field == "model"
    graph = text_to_image()
    graph["10"] = node("LoraLoader", model=["4", 0], clip=["4", 1], lora_name="gone", strength_model=1.0, strength_clip=1.0)
    graph["3"]["inputs"]["model"] = ["10", 0]
    with pytest.raises(NotFound, match="LoRA “gone”") as lora:
        run(server, graph, _id(), Said())
    assert "tiny_lora.safetensors" in lora.value.remedy
    graph = text_to_image()
    graph["10"] = node("VAELoader", vae_name="gone")
    graph["8"]["inputs"]["vae"] = ["10", 0]
    with pytest.raises(NotFound, match="VAE “gone”"):
        run(server, graph, _id(), Said())
    with pytest.raises(InvalidFieldValue) as sampler:
        run(server, text_to_image(n3={"sampler_name": "gone"}), _id(), Said())
    assert "euler" in sampler.value.remedy and sampler.value.field == "sampler"


def test_10_a_job_accepted_in_part_is_an_error_and_runs_no_part(server: ComfyServer) -> None:
    # In short steps: a node that looks seldom whether it should stop stops seldom.
    graph = sleep(30, steps=300) | {
        "8": node("LoadImage", image="gone.png"),
        "9": node("SaveImage", filename_prefix="half", images=["8", 0]),
    }
    job = _id()
    with pytest.raises(NotFound):
        run(server, graph, job, Said())
    queue = server.queue()
    assert job not in (*queue.running, *queue.pending)


def test_10_an_embedding_that_is_not_there_is_passed_over_by_the_server(server: ComfyServer) -> None:
    assert run(server, text_to_image(n6={"text": "a cat, embedding:gone"}), _id(), Said()).completed


def test_10_a_node_that_fails_says_which_and_why(server: ComfyServer) -> None:
    with pytest.raises(EngineFailed, match="TestFail failed: the reason"):
        run(server, fail("the reason"), _id(), Said())
    with pytest.raises(OutOfMemory):
        run(server, fail("Allocation on device", out_of_memory=True), _id(), Said())
    with pytest.raises(OutOfMemory):
        run(server, fail("CUDA error: out of memory"), _id(), Said())


def test_11_after_a_restart_numbers_begin_again_and_only_the_files_are_left(mortal_comfy: Server, mortal: ComfyServer) -> None:
    job, waits = _id(), _id()
    file = run(mortal, text_to_image(), job, Said()).files[0]
    _blocked(mortal)
    mortal.post(empty(), waits, "somebody")
    before = _numbers(mortal_comfy)
    mortal_comfy.kill()
    mortal_comfy.start()
    assert mortal.history(job) is None
    assert waits not in mortal.queue().pending
    assert Image.open(io.BytesIO(mortal.view(file))).size == (64, 64)
    # Two jobs that were posted at the two times can have one number: jobs are known by their names alone.
    blocking = _blocked(mortal)
    mortal.post(empty(), waits, "somebody")
    mortal.post(empty(), "last", "somebody")
    assert min(_numbers(mortal_comfy)) < max(before)
    assert mortal.queue().pending == (waits, "last")
    mortal.cancel(blocking)
    assert run(mortal, empty(), waits, Said()).completed


def test_12_files_are_fetched_by_name_and_nothing_else_is(server: ComfyServer) -> None:
    for gone in (
        OutputFile("gone.png", "", "output"),
        OutputFile("../../secret", "", "output"),
        OutputFile("/etc/passwd", "", "output"),
        OutputFile("passwd", "../../../../etc", "output"),
    ):
        with pytest.raises(NotFound):
            server.view(gone)
        assert not server.has(gone)


def test_12_an_upload_is_used_under_the_name_that_the_server_gave_it(server: ComfyServer) -> None:
    red, blue = _png("red"), _png("blue")
    name = f"{_id()}.png"
    first = server.upload(red, name)
    assert server.upload(red, name) == first
    second = server.upload(blue, name)
    assert second != first
    graph = {"1": node("LoadImage", image=second), "2": node("SaveImage", filename_prefix=f"tests/{_id()}", images=["1", 0])}
    file = run(server, graph, _id(), Said()).files[0]
    assert Image.open(io.BytesIO(server.view(file))).convert("RGB").getpixel((0, 0)) == (0, 0, 255)
    with pytest.raises(InvalidFieldValue):
        server.upload(red, "x.png", subfolder="../../outside")


def test_13_a_foreign_origin_is_refused_and_none_is_sent(comfy: Server, server: ComfyServer) -> None:
    assert httpx.get(f"{comfy.url}/queue", headers={"Origin": "http://localhost:1"}, trust_env=False).status_code == 403
    assert "origin" not in {name.lower() for name in server.headers}
    server.queue()


def test_14_extra_data_is_written_into_the_picture_and_can_be_read_by_all(server: ComfyServer) -> None:
    graph = text_to_image()
    file = run(server, graph, _id(), Said(), extra_data={"extra_pnginfo": {"likeness": {"character": "Mara"}}}).files[0]
    text = Image.open(io.BytesIO(server.view(file))).info
    assert json.loads(text["prompt"]) == graph
    assert json.loads(text["likeness"]) == {"character": "Mara"}


def test_15_animations_and_both_shapes_of_lists_are_understood(server: ComfyServer) -> None:
    graph = text_to_image(count=2)
    images = graph["9"]["inputs"]["images"]
    graph["9"] = node("SaveAnimatedWEBP", images=images, filename_prefix="tests/film", fps=6.0, lossless=True, quality=80, method="default")
    (file,) = run(server, graph, _id(), Said()).files
    assert file.name.endswith(".webp") and server.view(file)[:4] == b"RIFF"
    animated = {"images": [{"filename": "a.webp", "subfolder": "", "type": "output"}], "animated": [True]}
    assert files_of({"9": animated}) == (OutputFile("a.webp", "", "output", "9"),)
    shapes: dict[bool, tuple[str, str]] = {}
    for name, schema in server.object_info().items():
        for entry, shape in (schema["input"].get("required") or {}).items():
            if isinstance(shape[0], list) or shape[0] == "COMBO":
                shapes[shape[0] == "COMBO"] = (name, entry)
    assert set(shapes) == {False, True}
    for where in shapes.values():
        assert isinstance(server.choices(*where), tuple)
    assert choices({"A": {"input": {"optional": {"x": ["COMBO", {"options": ["a", "b"]}]}}}}, "A", "x") == ("a", "b")
    assert server.choices("KSampler", "scheduler")
    assert server.choices("NoSuchNode", "x") == server.choices("KSampler", "seed") == ()


def test_16_pictures_go_into_a_folder_of_their_own_also_under_another_name(server: ComfyServer) -> None:
    graph = empty("2026-01-31/job")
    assert with_prefix(graph, "new")["2"]["inputs"]["filename_prefix"] == "2026-01-31/new"
    assert with_prefix(empty("job"), "new")["2"]["inputs"]["filename_prefix"] == "new"
    file = run(server, with_prefix(graph, _id()), _id(), Said()).files[0]
    assert file.subfolder == "2026-01-31"


def _id() -> str:
    return f"test-{secrets.token_hex(6)}"


def _blocked(server: ComfyServer) -> str:
    """Somebody's job that runs, and lets nothing else run, until it is cancelled."""
    job = _id()
    server.post(sleep(100, steps=1000), job, "somebody")
    wait_until(lambda: job in server.queue().running, 120, "the server did not begin")
    return job


def _numbers(comfy: Server) -> list[float]:
    return [item[0] for item in httpx.get(f"{comfy.url}/queue", trust_env=False).json()["queue_pending"]]


def _post(comfy: Server, body: dict[str, Any]) -> httpx.Response:
    return httpx.post(f"{comfy.url}/prompt", json=body, trust_env=False)


def _cancel_when(server: ComfyServer, graph: Graph, job: str, when: Any) -> None:
    def cancel(said: Said) -> None:
        if when(said):
            raise Cancelled

    with pytest.raises(Cancelled):
        run(server, graph, job, Said(cancel))


def _pixels(server: ComfyServer, file: OutputFile) -> bytes:
    return Image.open(io.BytesIO(server.view(file))).tobytes()


def _png(colour: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (64, 64), colour).save(out, "PNG")
    return out.getvalue()
