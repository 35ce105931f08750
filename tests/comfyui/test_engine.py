"""The engine on the real server: recipes become pictures, from nothing, from a picture, and inside a mask."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from comfyui.graphs import Graph, Said, node, text_to_image
from comfyui.server import Server, free_port, home
from comfyui.wire import Line
from PIL import Image, ImageChops
from safetensors.numpy import load_file, save_file

from bench.rig import wait_until
from engines.comfyui import Address, Comfy, ComfyServer, Fingerprints, MissingNode, Uploaded
from engines.comfyui.hashes import Hashes
from studio.contracts import LoraUse, Recipe
from studio.engine import Artifact, Cancelled, Inputs
from studio.errors import EngineFailed
from studio.graphs import read_api_graph
from studio.node_files import NodeFiles
from studio.workflows import NodePack


@pytest.fixture
def engine(comfy: Server) -> Iterator[Comfy]:
    made = Comfy(lambda: [Address(comfy.url)], _graph)
    wait_until(lambda: made.state().state == "ready", 120, "the server was not seen")
    yield made
    made.close()


def test_a_recipe_becomes_pictures_each_of_its_own_seed(engine: Comfy, comfy: Server) -> None:
    said = Said(previews=True)
    first, second = engine.generate(_recipe(seed=7, count=2), INPUTS, "run-1", said)
    assert (first.index, first.seed, second.index, second.seed) == (0, 7, 1, 8)
    assert first.image.mode == "RGB" and first.image.size == (64, 64)
    assert said.progress == sorted(said.progress) and said.previews
    (alone,) = engine.generate(_recipe(seed=8), INPUTS, "run-2", Said())
    assert _same(alone, second) and not _same(alone, first)
    # Made once, found again.
    again = list(engine.generate(_recipe(seed=7, count=2), INPUTS, "run-1", Said()))
    assert _same(again[0], first) and _same(again[1], second)
    assert len(list(comfy.output.glob("likeness/*/run-1-*"))) == 2


def test_the_hash_of_what_made_a_picture_is_known_where_the_file_is_within_reach(comfy: Server, tmp_path: Path) -> None:
    models = home() / "models"
    weights = models / "checkpoints" / "tiny_sd15.safetensors"
    lora = models / "loras" / "tiny_lora.safetensors"
    wanted = [hashlib.sha256(file.read_bytes()).hexdigest() for file in (weights, lora)]
    own = tmp_path / "own"
    own.mkdir()
    fingerprints = Fingerprints(lambda: {"checkpoints": (own,)}, tmp_path / "cache.json")
    engine = Comfy(lambda: [Address(comfy.url)], _graph, fingerprints=fingerprints)
    recipe = _recipe(seed=31).model_copy(
        update={"model": "comfyui/checkpoints/tiny_sd15.safetensors", "loras": (LoraUse(path="tiny_lora.safetensors"),)}
    )
    try:
        wait_until(lambda: engine.state().state == "ready", 30, "the server was not seen")
        (artifact,) = engine.generate(recipe, INPUTS, "run-hash", Said())
        assert (artifact.model_hash, artifact.lora_hashes) == (wanted[0], {"tiny_lora.safetensors": wanted[1]})
    finally:
        engine.close()

    # Read once: what is remembered goes by path, size and time.
    remembered = json.loads((tmp_path / "cache.json").read_text())
    assert sorted(remembered.values()) == sorted(wanted)
    (tmp_path / "cache.json").write_text(json.dumps(dict.fromkeys(remembered, "0" * 64)))
    again = Fingerprints(dict, tmp_path / "cache.json")
    with ComfyServer(comfy.url) as near, ComfyServer(comfy.url) as far:
        assert again.begin(near, recipe, "comfyui").result(30).model == "0" * 64
        # A server elsewhere: only a file of one's own with its name and size will do.
        far.local = False
        elsewhere = Fingerprints(lambda: {"checkpoints": (own,)}, tmp_path / "other.json")
        assert elsewhere.begin(far, recipe, "comfyui").result(30) == Hashes()
        copied = Fingerprints(lambda: {"checkpoints": (own,)}, tmp_path / "other.json")
        shutil.copy(weights, own)
        assert copied.begin(far, recipe, "comfyui").result(30) == Hashes(wanted[0])
        (own / weights.name).write_bytes(b"another file of that name")
        longer = Fingerprints(lambda: {"checkpoints": (own,)}, tmp_path / "other.json")
        assert longer.begin(far, recipe, "comfyui").result(30) == Hashes()
        for name in ("nobody.safetensors", "../loras/tiny_lora.safetensors", "tiny_sd15"):
            odd = recipe.model_copy(update={"model": f"comfyui/checkpoints/{name}", "loras": ()})
            assert longer.begin(near, odd, "comfyui").result(30) == Hashes()
    with ComfyServer(f"http://127.0.0.1:{free_port()}") as gone:
        assert longer.begin(gone, recipe, "comfyui").result(30) == Hashes(), "a server that is gone fails no picture"


def test_a_lora_that_was_replaced_under_its_name_draws_and_is_named_by_its_new_hash(comfy: Server, tmp_path: Path) -> None:
    mine = comfy.base / "models" / "loras" / "retrained.safetensors"
    mine.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(home() / "models" / "loras" / "tiny_lora.safetensors", mine)

    def with_lora(recipe: Recipe, names: Uploaded) -> Graph:
        graph = _graph(recipe, names)
        graph["20"] = node("LoraLoader", lora_name=mine.name, strength_model=1.0, strength_clip=1.0, model=["4", 0], clip=["4", 1])
        graph["3"]["inputs"]["model"] = ["20", 0]
        return graph

    fingerprints = Fingerprints(dict, tmp_path / "cache.json", remembered_s=0)
    engine = Comfy(lambda: [Address(comfy.url)], with_lora, fingerprints=fingerprints)
    recipe = _recipe(seed=71).model_copy(update={"model": "comfyui/checkpoints/tiny_sd15.safetensors", "loras": (LoraUse(path=mine.name),)})
    try:
        wait_until(lambda: engine.state().state == "ready", 30, "the server was not seen")
        (before,) = engine.generate(recipe, INPUTS, "run-before", Said())
        (same,) = engine.generate(recipe, INPUTS, "run-same", Said())
        assert _same(before, same)
        save_file({name: -weight if "lora_up" in name else weight for name, weight in load_file(mine).items()}, mine)
        (after,) = engine.generate(recipe, INPUTS, "run-after", Said())
    finally:
        engine.close()
    assert not _same(before, after)
    assert after.lora_hashes == {mine.name: hashlib.sha256(mine.read_bytes()).hexdigest()} != before.lora_hashes


def test_what_servers_say_of_their_nodes_is_kept_once_and_lists_are_found_by_any_loader(comfy: Server, tmp_path: Path) -> None:
    said: list[tuple[str, bytes]] = []
    lists = {"odd": (("UpscaleModelLoader", "model_name"), ("NobodyLoader", "x")), "nothing": (("NobodyLoader", "x"),)}
    engine = Comfy(
        lambda: [Address(comfy.url)], _graph, lists_for=lambda: lists, keep_nodes=lambda url, content: said.append((url, content))
    )
    try:
        wait_until(lambda: engine.state().state == "ready", 30, "the server was not seen")
    finally:
        engine.close()
    inventory = engine.inventory()
    assert inventory is not None and inventory.files["odd"] == inventory.files["upscale_models"] != () and "nothing" not in inventory.files
    ((url, content),) = said
    kept = NodeFiles(tmp_path / "nodes")
    kept.keep(url, content)
    sampler = kept.nodes([comfy.url], ["KSampler"]).get("KSampler")
    assert sampler and (sampler.inputs["steps"].minimum, sampler.inputs["steps"].maximum) == (1, 10000)
    with ComfyServer(comfy.url) as client:
        client.object_info(keep=lambda more: said.append((url, more)))
        client.object_info(refresh=True, keep=lambda more: said.append((url, more)))
    assert len(said) == 2, "what is the same as before is not told again"


def test_black_pixels_of_a_mask_are_the_picture_s_own_bit_for_bit(engine: Comfy) -> None:
    image = Image.effect_noise((64, 64), 80).convert("RGB")
    mask = Image.new("L", (64, 64), 0)
    mask.paste(255, (0, 0, 32, 64))
    (artifact,) = engine.generate(_recipe(denoise=1.0), Inputs(Path("tiny"), image=image, mask=mask), "run-mask", Said())
    right = (32, 0, 64, 64)
    assert ImageChops.difference(artifact.image.crop(right), image.crop(right)).getbbox() is None
    left = (0, 0, 32, 64)
    assert ImageChops.difference(artifact.image.crop(left), image.crop(left)).getbbox() is not None


def test_a_cancelled_recipe_leaves_nothing_running(engine: Comfy, server: ComfyServer) -> None:
    def cancel(said: Said) -> None:
        if said.steps[-1][0]:
            raise Cancelled

    with pytest.raises(Cancelled):
        list(engine.generate(_recipe(steps=150, count=3), INPUTS, "run-cancelled", Said(cancel)))
    queue = server.queue()
    assert not [job for job in (*queue.running, *queue.pending) if job.startswith("run-cancelled")]


def test_a_workflow_without_pictures_says_so(comfy: Server) -> None:
    def silent(recipe: Recipe, names: Uploaded) -> Graph:
        return {"1": node("EmptyImage", width=64, height=64, batch_size=1, color=recipe.seed), "2": node("PreviewAny", source="words")}

    engine = Comfy(lambda: [Address(comfy.url)], silent)
    with pytest.raises(EngineFailed, match="without a picture"):
        list(engine.generate(_recipe(), INPUTS, "run-silent", Said()))
    engine.close()


def test_a_node_that_no_server_has_is_named_with_its_pack_and_commit(comfy: Server) -> None:
    pack = NodePack(name="ComfyUI_Fancy", repository="https://example.com/fancy", commit="1" * 40, licence="MIT", nodes=("FancyNode",))

    def fancy(kind: str) -> Graph:
        return {"1": node(kind, seed=1), "2": node("PreviewAny", source=["1", 0])}

    for kind, said in (("FancyNode", (f"Install https://example.com/fancy at commit {'1' * 40}",)), ("OtherNode", ("has OtherNode",))):
        engine = Comfy(lambda: [Address(comfy.url)], lambda _recipe, _names, kind=kind: fancy(kind), packs=lambda: (pack,))
        try:
            with pytest.raises(MissingNode, match=kind) as missing:
                list(engine.generate(_recipe(), INPUTS, f"run-{kind}", Said()))
            assert all(words in missing.value.remedy for words in said), missing.value.remedy
        finally:
            engine.close()


def test_a_webp_that_the_server_saved_carries_its_graph(comfy: Server) -> None:
    def moving(recipe: Recipe, names: Uploaded) -> Graph:
        graph = _graph(recipe, names)
        save = next(node_id for node_id, one in graph.items() if one["class_type"] == "SaveImage")
        images = graph[save]["inputs"]["images"]
        graph[save] = node("SaveAnimatedWEBP", images=images, filename_prefix="x", fps=6.0, lossless=True, quality=80, method="fastest")
        return graph

    engine = Comfy(lambda: [Address(comfy.url)], moving)
    try:
        assert len(list(engine.generate(_recipe(seed=61), INPUTS, "run-webp", Said()))) == 1
    finally:
        engine.close()
    (file,) = comfy.output.glob("likeness/*/run-webp-*.webp")
    graph = read_api_graph(file.read_bytes())
    assert {one["class_type"] for one in graph.values()} >= {"KSampler", "SaveAnimatedWEBP"}


def test_the_state_says_whether_the_server_answers(engine: Comfy) -> None:
    state = engine.state()
    assert (state.name, state.state, state.device) == ("comfyui", "ready", "cpu")
    assert "0.3.75" in state.note
    nobody = Address(f"http://127.0.0.1:{free_port()}")
    lonely = Comfy(lambda: [nobody], _graph)
    wait_until(lambda: lonely.state().state == "offline", 120, "nobody looked")
    assert "not answering" in lonely.state().note
    lonely.close()
    unset = Comfy(list, _graph)
    assert unset.state().state == "unset"
    unset.close()


def test_a_job_goes_to_the_server_that_has_all_of_its_files_and_waits_while_that_is_away(comfy: Server, mortal_comfy: Server) -> None:
    own = mortal_comfy.base / "models" / "loras"
    own.mkdir(exist_ok=True)
    shutil.copy(home() / "models" / "loras" / "tiny_lora.safetensors", own / "only_here.safetensors")

    def with_lora(recipe: Recipe, names: Uploaded) -> Graph:
        graph = _graph(recipe, names)
        lora = node("LoraLoader", lora_name="only_here.safetensors", strength_model=1.0, strength_clip=1.0, model=["4", 0], clip=["4", 1])
        return {**graph, "20": lora}

    lists = {"loras": (("LoraLoader", "lora_name"),)}
    engine = Comfy(lambda: [Address(comfy.url), Address(mortal_comfy.url)], with_lora, lists_for=lambda: lists)
    try:
        wait_until(lambda: engine.places() == 4, 60, "both servers were not seen")
        assert len(list(engine.generate(_recipe(seed=41), INPUTS, "run-only-there", Said()))) == 1
        assert list(mortal_comfy.output.glob("likeness/*/run-only-there-0*"))
        assert not list(comfy.output.glob("likeness/*/run-only-there-0*"))

        mortal_comfy.kill()
        wait_until(lambda: engine.places() == 2, 60, "the server that is gone was not missed")
        with ThreadPoolExecutor(1) as beside:
            said = Said()
            waiting = beside.submit(lambda: list(engine.generate(_recipe(seed=42), INPUTS, "run-waits", said)))
            wait_until(lambda: bool(said.notes), 30, "it did not wait")
            assert "that has this model" in said.notes[0]
            mortal_comfy.start()
            assert len(waiting.result(120)) == 1
        assert list(mortal_comfy.output.glob("likeness/*/run-waits-0*"))
    finally:
        engine.close()


def test_a_server_that_is_not_wanted_any_more_is_let_go_of(comfy: Server) -> None:
    wanted = [Address(comfy.url)]
    with Line(comfy.port) as line:
        wanted.append(Address(line.url))
        engine = Comfy(lambda: wanted, _graph)
        try:
            wait_until(lambda: engine.places() == 4, 60, "both servers were not seen")
            assert line.open
            wanted.pop()
            wait_until(lambda: engine.places() == 2, 60, "a server that was taken out of the settings is still used")
            wait_until(lambda: not line.open, 10, "its connections were not closed")
            assert len(list(engine.generate(_recipe(seed=51), INPUTS, "run-other", Said()))) == 1
        finally:
            engine.close()


def test_a_server_that_lets_one_look_wait_is_busy_and_not_gone(comfy: Server) -> None:
    with Line(comfy.port) as line:
        engine = Comfy(lambda: [Address(line.url)], _graph)
        try:
            wait_until(lambda: engine.state().state == "ready", 60, "the server was not seen")
            line.mute()  # what was asked over these is never answered; new ones are
            connections, states = line.connections, set[str]()
            wait_until(lambda: bool(states.add(engine.state().state)) or line.connections > connections, 30, "nobody looked again")
            assert states == {"ready"}
            line.close()
            wait_until(lambda: engine.state().state == "offline", 60, "a server that is gone was not missed")
        finally:
            engine.close()


INPUTS = Inputs(Path("tiny"))


def _graph(recipe: Recipe, names: Uploaded) -> Graph:
    graph = text_to_image(seed=recipe.seed, steps=recipe.steps, n3={"denoise": recipe.denoise or 1.0}, n6={"text": recipe.prompt})
    if names.image:
        graph["10"] = node("LoadImage", image=names.image)
        graph["11"] = node("VAEEncode", pixels=["10", 0], vae=["4", 2])
        graph["3"]["inputs"]["latent_image"] = ["11", 0]
    if names.mask:
        graph["12"] = node("LoadImageMask", image=names.mask, channel="red")
        graph["13"] = node("SetLatentNoiseMask", samples=["11", 0], mask=["12", 0])
        graph["3"]["inputs"]["latent_image"] = ["13", 0]
    return graph


def _recipe(*, seed: int = 1, steps: int = 2, count: int = 1, denoise: float | None = None) -> Recipe:
    return Recipe(
        prompt="a cat",
        negative_prompt="",
        preset=None,
        engine="comfyui",
        model="tiny_sd15.safetensors",
        loras=(),
        width=64,
        height=64,
        steps=steps,
        cfg=7.0,
        sampler="euler",
        scheduler="normal",
        seed=seed,
        count=count,
        denoise=denoise,
    )


def _same(one: Artifact, other: Artifact) -> bool:
    return one.image.tobytes() == other.image.tobytes()
