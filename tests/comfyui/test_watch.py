"""One job on a real ComfyUI, to its end, whatever breaks on the way."""

from __future__ import annotations

import io
import secrets
import threading
import time
from collections.abc import Iterator

import pytest
from comfyui.graphs import Graph, Said, empty, node, sleep, text_to_image
from comfyui.server import Server
from comfyui.wire import Line
from PIL import Image

from engines.comfyui import ComfyServer, Entry, Patience, Unreachable, run
from engines.comfyui.progress import weights
from studio.engine import Cancelled, Stopping
from studio.errors import EngineOffline, EngineTimeout


@pytest.fixture
def line(comfy: Server) -> Iterator[Line]:
    with Line(comfy.port) as opened:
        yield opened


def test_text_becomes_a_picture(server: ComfyServer) -> None:
    (file,) = run(server, text_to_image(), _id(), Said()).files
    image = Image.open(io.BytesIO(server.view(file)))
    assert image.size == (64, 64) and image.format == "PNG"


def test_a_batch_comes_in_its_order(server: ComfyServer) -> None:
    files = run(server, text_to_image(count=3), _id(), Said()).files
    assert len(files) == 3
    assert [file.name for file in files] == sorted(file.name for file in files)


def test_a_picture_is_begun_from_repainted_by_mask_and_enlarged(server: ComfyServer) -> None:
    out = io.BytesIO()
    Image.new("RGBA", (64, 64), (200, 80, 40, 128)).save(out, "PNG")
    name = server.upload(out.getvalue(), f"{_id()}.png")
    graph = text_to_image(n3={"denoise": 0.5})
    graph["10"] = node("LoadImage", image=name)
    graph["11"] = node("VAEEncode", pixels=["10", 0], vae=["4", 2])
    graph["12"] = node("SetLatentNoiseMask", samples=["11", 0], mask=["10", 1])
    graph["13"] = node("UpscaleModelLoader", model_name="tiny_esrgan_2x.safetensors")
    graph["14"] = node("ImageUpscaleWithModel", upscale_model=["13", 0], image=["8", 0])
    graph["3"]["inputs"]["latent_image"] = ["12", 0]
    graph["9"]["inputs"]["images"] = ["14", 0]
    (file,) = run(server, graph, _id(), Said()).files
    assert Image.open(io.BytesIO(server.view(file))).size == (128, 128)


def test_a_lora_and_a_controlnet_change_the_picture(server: ComfyServer) -> None:
    plain = text_to_image(seed=3)
    drawn = {"plain": plain}
    drawn["lora"] = text_to_image(seed=3)
    drawn["lora"]["10"] = node(
        "LoraLoader", model=["4", 0], clip=["4", 1], lora_name="tiny_lora.safetensors", strength_model=1.0, strength_clip=1.0
    )
    drawn["lora"]["3"]["inputs"]["model"] = ["10", 0]
    drawn["controlnet"] = text_to_image(seed=3)
    drawn["controlnet"]["10"] = node("ControlNetLoader", control_net_name="tiny_controlnet.safetensors")
    drawn["controlnet"]["11"] = node("EmptyImage", width=64, height=64, batch_size=1, color=16711680)
    drawn["controlnet"]["12"] = node(
        "ControlNetApplyAdvanced",
        positive=["6", 0],
        negative=["7", 0],
        control_net=["10", 0],
        image=["11", 0],
        strength=1.0,
        start_percent=0.0,
        end_percent=1.0,
    )
    drawn["controlnet"]["3"]["inputs"] |= {"positive": ["12", 0], "negative": ["12", 1]}
    pixels = {_pixels(server, run(server, graph, _id(), Said())) for graph in drawn.values()}
    assert len(pixels) == 3


def test_progress_runs_over_the_whole_graph_with_the_titles_of_its_nodes(server: ComfyServer) -> None:
    said = Said()
    run(server, text_to_image(steps=12, n4={"ckpt_name": "tiny_sd15_b.safetensors"}), _id(), said)
    assert said.progress == sorted(said.progress)
    assert said.progress[-1] > 0.9
    assert {"CheckpointLoaderSimple", "The sampler", "VAEDecode"} <= set(said.notes)
    assert (12, 12) in said.steps or (11, 12) in said.steps
    sampling = [progress for progress, note in zip(said.progress, said.notes, strict=True) if note == "The sampler"]
    assert max(sampling) - min(sampling) > 0.4


def test_a_sampler_weighs_its_steps_wherever_they_are_written() -> None:
    graph = {
        "1": node("KSampler", steps=30),
        "2": node("BasicScheduler", steps=20),
        "3": node("SamplerCustomAdvanced", sigmas=["2", 0]),
        "4": node("VAEDecode"),
        "5": node("KSampler", steps=["2", 0]),
    }
    assert weights(graph) == {"1": 30, "2": 1, "3": 20, "4": 1, "5": 1}


def test_previews_are_pictures_and_only_made_when_somebody_looks(server: ComfyServer) -> None:
    said = Said(previews=True)
    run(server, text_to_image(steps=4), _id(), said)
    assert said.previews and {image.mode for image in said.previews} == {"RGB"}
    unseen = Said()
    run(server, text_to_image(steps=4), _id(), unseen)
    assert unseen.asked and not unseen.previews


def test_a_job_goes_on_while_the_studio_stops_and_is_found_again(comfy: Server, server: ComfyServer) -> None:
    job, graph = _id(), sleep(4, steps=80)

    def stop(said: Said) -> None:
        if said.steps[-1][0]:
            raise Stopping

    with pytest.raises(Stopping):
        run(server, graph, job, Said(stop))
    assert job in server.queue().running
    said = Said()
    entry = run(server, graph, job, said)
    # It also hears the rest: the socket goes by the job's name.
    assert said.moving.is_set()
    assert _saved(comfy, graph) == 1 and entry.completed


def test_a_socket_that_is_cut_mid_job_is_opened_again(comfy: Server, line: Line) -> None:
    graph = sleep(3, steps=60)
    cut: list[int] = []

    def cut_once(said: Said) -> None:
        if said.steps[-1][0] >= 5 and not cut:
            cut.append(said.steps[-1][0])
            line.cut()

    said = Said(cut_once)
    with ComfyServer(line.url) as server:
        assert run(server, graph, _id(), said).completed
    # More than what was under way when it was cut: a new socket told it.
    assert max(step for step, _ in said.steps) > cut[0] + 5
    assert _saved(comfy, graph) == 1


def test_a_socket_that_falls_silent_is_done_without(comfy: Server, line: Line) -> None:
    graph = sleep(3, steps=60)
    muted = threading.Event()

    def mute_once(said: Said) -> None:
        if said.steps[-1][0] >= 5 and not muted.is_set():
            muted.set()
            line.mute()

    # The muted HTTP connection of the client has to run into its patience as well.
    with ComfyServer(line.url, patience_s=0.5) as server:
        assert run(server, graph, _id(), Said(mute_once), patience=Patience(silence=0.5, zombie=1.0)).completed
    assert _saved(comfy, graph) == 1


def test_a_server_killed_and_started_again_mid_job_makes_it_exactly_once(mortal_comfy: Server, mortal: ComfyServer) -> None:
    graph, job = sleep(2, steps=40), _id()
    killed = threading.Event()
    back = threading.Thread(target=lambda: (mortal_comfy.kill(), mortal_comfy.start()))

    def kill_once(said: Said) -> None:
        if said.steps[-1][0] >= 5 and not killed.is_set():
            killed.set()
            back.start()

    said = Said(kill_once)
    assert run(mortal, graph, job, said).completed
    back.join()
    assert any("not answering" in note for note in said.notes)
    assert said.progress == sorted(said.progress)
    assert _saved(mortal_comfy, graph) == 1


def test_a_server_that_stays_away_is_given_up(server: ComfyServer, line: Line) -> None:
    job = _id()
    with ComfyServer(line.url) as ours:
        with pytest.raises(Unreachable):
            run(
                ours,
                sleep(60, steps=600),
                job,
                Said(lambda said: line.close() if said.steps[-1][0] else None),
                patience=Patience(outage=1.0),
            )
    server.cancel(job)


def test_a_server_that_loses_a_job_again_and_again_is_given_up(server: ComfyServer, line: Line) -> None:
    # What a server that dies of a job looks like, faster: its socket breaks and the job is gone.
    job = _id()

    def lose(said: Said) -> None:
        if said.steps[-1][0]:
            line.cut()
            server.interrupt(job)
            while job in server.queue().running:
                time.sleep(0.01)
            server.forget(job)

    with ComfyServer(line.url) as ours:
        with pytest.raises(EngineOffline, match="stopped 3 times"):
            run(ours, sleep(60, steps=600), job, Said(lose))


def test_a_job_that_stands_still_is_ended(server: ComfyServer) -> None:
    job = _id()
    with pytest.raises(EngineTimeout):
        run(server, sleep(2, steps=1), job, Said(), patience=Patience(standstill=0.5, silence=0.2))
    # A node that looks whether it should stop once in two seconds stops then.
    run(server, empty(), _id(), Said())
    assert job not in server.queue().running


def test_a_job_cancelled_while_the_server_is_away_is_cancelled_here(server: ComfyServer, line: Line) -> None:
    job = _id()

    def vanish(said: Said) -> None:
        if said.notes[-1].startswith("ComfyUI is not answering"):
            raise Cancelled
        if said.steps[-1][0]:
            line.close()

    with ComfyServer(line.url) as ours, pytest.raises(Cancelled):
        run(ours, sleep(60, steps=600), job, Said(vanish))
    server.cancel(job)


def _id() -> str:
    return f"test-{secrets.token_hex(6)}"


def _saved(comfy: Server, graph: Graph) -> int:
    folder, _, name = graph["3"]["inputs"]["filename_prefix"].rpartition("/")
    return len(list((comfy.output / folder).glob(f"{name}*")))


def _pixels(server: ComfyServer, entry: Entry) -> bytes:
    return Image.open(io.BytesIO(server.view(entry.files[0]))).tobytes()
