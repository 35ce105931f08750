"""What is known of models and LoRAs from their files alone. No torch is imported here."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from studio import models
from studio.contracts import Family, LoraUse, ModelSpec
from studio.errors import InvalidFieldValue, LoraMismatch, ModelInvalid, ModelUnsafe

HOME = Path(__file__).resolve().parent.parent
STARTER = HOME / "engines" / "embedded" / "starter_model"

Shapes = Mapping[str, tuple[int, ...]]


@pytest.fixture
def starter() -> ModelSpec:
    return models.find_models(Path("/nowhere"), [STARTER])[0]


def test_the_starter_model_says_what_it_is(starter: ModelSpec) -> None:
    assert (starter.id, starter.family, starter.licence) == ("starter", Family.starter, "CC BY 4.0")
    assert (starter.width, starter.height, starter.steps, starter.cfg) == (128, 128, 16, 4.0)
    assert (starter.side_min, starter.side_max, starter.side_step) == (64, 256, 32)
    assert "illustrated" in starter.about
    assert Path(starter.path).is_absolute()
    models.check_sampling(starter.sampler, starter.scheduler, starter.family)
    models.check_checkpoint(Path(starter.path))


def test_models_are_found_two_levels_down_and_new_ones_at_once(tmp_path: Path) -> None:
    assert [spec.id for spec in models.find_models(tmp_path / "absent", [STARTER])] == ["starter"]
    _checkpoint(tmp_path / "sdxl" / "nice.safetensors", cross=2048)
    _checkpoint(tmp_path / "old.safetensors", cross=768)
    shutil.copytree(STARTER, tmp_path / "mine", ignore=shutil.ignore_patterns("likeness.json", "*.png", "reader"))
    found = {spec.id: spec for spec in models.find_models(tmp_path, [STARTER])}
    assert list(found) == ["starter", "mine", "old.safetensors", "sdxl/nice.safetensors"]
    assert found["sdxl/nice.safetensors"].family == Family.sdxl
    assert found["sdxl/nice.safetensors"].width == 1024
    assert found["old.safetensors"].family == Family.sd15
    assert found["mine"].licence == "unknown"
    assert {spec.engine for spec in found.values()} == {"embedded"}
    (tmp_path / "old.safetensors").unlink()
    assert "old.safetensors" not in {spec.id for spec in models.find_models(tmp_path, [STARTER])}


def test_a_folder_called_like_another_model_gets_an_id_of_its_own(tmp_path: Path) -> None:
    shutil.copytree(STARTER, tmp_path / "copy", ignore=shutil.ignore_patterns("*.png", "reader"))
    found = models.find_models(tmp_path, [STARTER])
    assert [spec.id for spec in found] == ["starter", "starter (2)"]
    assert models.resolve_model("starter (2)", found).path == str(tmp_path / "copy")


@pytest.mark.parametrize(
    ("pipeline", "unet", "family", "side"),
    [
        ("StableDiffusionPipeline", {"cross_attention_dim": 768, "sample_size": 64}, Family.sd15, 512),
        ("StableDiffusionPipeline", {"cross_attention_dim": 1024, "sample_size": 96}, Family.sd2, 768),
        ("StableDiffusionXLPipeline", {"cross_attention_dim": 2048, "sample_size": 128}, Family.sdxl, 1024),
        ("StableDiffusion3Pipeline", {}, Family.sd3, 1024),
        ("FluxPipeline", {}, Family.flux, 1024),
        ("SomethingNewPipeline", {}, Family.other, 1024),
    ],
)
def test_a_folder_without_our_card_gets_its_familys_sizes(
    tmp_path: Path, pipeline: str, unet: dict[str, int], family: Family, side: int
) -> None:
    folder = tmp_path / "model"
    _write_json(folder / "model_index.json", {"_class_name": pipeline})
    _write_json(folder / "unet" / "config.json", unet)
    (folder / "README.md").write_text("---\nlicense: openrail++\n---\n# A model\n")
    (spec,) = models.find_models(tmp_path, [])
    assert (spec.family, spec.width, spec.height, spec.licence) == (family, side, side, "openrail++")
    models.check_sampling(spec.sampler, spec.scheduler, spec.family)


def test_a_card_of_ours_goes_before_what_is_guessed_and_nonsense_in_it_is_left_aside(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    _write_json(folder / "model_index.json", {"_class_name": "FluxPipeline"})
    _write_json(folder / "likeness.json", {"name": "Quick one", "steps": 4, "cfg": 0, "path": "/etc", "new_field": 1})
    (spec,) = models.find_models(tmp_path, [])
    assert (spec.name, spec.steps, spec.cfg, spec.path) == ("Quick one", 4, 0, str(folder))
    _write_json(folder / "likeness.json", {"name": "Quick one", "steps": "many"})
    (spec,) = models.find_models(tmp_path, [])
    assert spec.steps == 25
    assert "likeness.json" in spec.about


def test_an_unknown_model_is_refused_with_those_that_exist(starter: ModelSpec) -> None:
    with pytest.raises(InvalidFieldValue) as caught:
        models.resolve_model("dreamy", [starter])
    assert caught.value.field == "model"
    assert "starter" in caught.value.remedy
    assert models.resolve_model("Starter Model", [starter]) is starter


@pytest.mark.parametrize("keep", [0, 5, 8, 100, -1, -5000])
def test_a_truncated_file_is_told_from_its_header(tmp_path: Path, keep: int) -> None:
    path = _checkpoint(tmp_path / "half.safetensors", cross=768)
    data = path.read_bytes()
    path.write_bytes(data[:keep])
    with pytest.raises(ModelInvalid, match=r"half\.safetensors") as caught:
        models.check_checkpoint(path)
    assert caught.value.field == "model"
    # It is listed all the same, so that choosing it says what is wrong.
    assert [spec.id for spec in models.find_models(tmp_path, [])] == ["half.safetensors"]


@pytest.mark.parametrize(
    "header",
    [
        b"not json at all",
        b"[]",
        b'{"a":{"dtype":"F16","shape":[4],"data_offsets":[0,4]}}',
        b'{"a":{"dtype":"F16","shape":[4]}}',
        b'{"a":{"dtype":"F16","shape":[4],"data_offsets":[8,16]}}',
        b'{"a":7}',
    ],
)
def test_a_corrupt_header_is_an_error_not_a_crash(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "odd.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    with pytest.raises(ModelInvalid):
        models.read_safetensors_header(path)


def test_a_header_says_names_shapes_and_words(tmp_path: Path) -> None:
    path = _safetensors(tmp_path / "a.safetensors", {"x.weight": (2, 3)}, {"ss_network_dim": "4"})
    header = models.read_safetensors_header(path)
    assert header.tensors == {"x.weight": ("F16", (2, 3))}
    assert header.metadata == {"ss_network_dim": "4"}


@pytest.mark.parametrize("name", ["old.ckpt", "old.pt", "old.pth", "old.bin"])
def test_a_pickle_is_refused_before_it_is_opened(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x80\x02}q\x00.")
    (spec,) = models.find_models(tmp_path, [])
    with pytest.raises(ModelUnsafe) as caught:
        models.check_checkpoint(Path(spec.path))
    assert caught.value.field == "model"
    with pytest.raises(ModelUnsafe) as caught:
        models.check_lora(tmp_path / name, spec)
    assert caught.value.field == "loras"


@pytest.mark.parametrize("start", [b"PK\x03\x04", b"\x80\x04\x95"])
def test_a_pickle_under_another_name_is_refused_too(tmp_path: Path, start: bytes) -> None:
    (tmp_path / "sly.safetensors").write_bytes(start + bytes(100))
    with pytest.raises(ModelUnsafe):
        models.check_checkpoint(tmp_path / "sly.safetensors")


@pytest.mark.parametrize("first", range(0x78, 0x98))
def test_no_whole_file_is_taken_for_a_pickle_by_its_first_byte(tmp_path: Path, first: int) -> None:
    # The first byte is the lowest of the header's length, so it can be any, a pickle's too.
    short = len(json.dumps({"__metadata__": {"x": ""}, "a": {"dtype": "F16", "shape": [1], "data_offsets": [0, 2]}}))
    path = _safetensors(tmp_path / "a.safetensors", {"a": (1,)}, {"x": "." * ((first - short) % 256)})
    assert path.read_bytes()[0] == first
    assert "a" in models.read_safetensors_header(path).tensors


def test_a_folder_with_pickled_weights_only_is_refused(tmp_path: Path) -> None:
    folder = _copy_of_starter(tmp_path)
    (folder / "unet" / "diffusion_pytorch_model.safetensors").rename(folder / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(ModelUnsafe, match="unet"):
        models.check_checkpoint(folder)


@pytest.mark.parametrize(
    "missing",
    ["vae", "tokenizer", "scheduler", "unet/diffusion_pytorch_model.safetensors", "unet/config.json", "model_index.json"],
)
def test_a_folder_with_a_part_missing_is_refused(tmp_path: Path, missing: str) -> None:
    folder = _copy_of_starter(tmp_path)
    path = folder / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(ModelInvalid) as caught:
        models.check_checkpoint(folder)
    assert caught.value.field == "model"


def test_a_missing_shard_is_found(tmp_path: Path) -> None:
    folder = _copy_of_starter(tmp_path)
    unet = folder / "unet"
    (unet / "diffusion_pytorch_model.safetensors").rename(unet / "diffusion_pytorch_model-00001-of-00002.safetensors")
    shards = {"a": "diffusion_pytorch_model-00001-of-00002.safetensors", "b": "diffusion_pytorch_model-00002-of-00002.safetensors"}
    _write_json(unet / "diffusion_pytorch_model.safetensors.index.json", {"weight_map": shards})
    with pytest.raises(ModelInvalid, match="00002-of-00002"):
        models.check_checkpoint(folder)


def test_single_files_that_are_no_whole_checkpoint_say_what_they_are(tmp_path: Path) -> None:
    _checkpoint(tmp_path / "no_vae.safetensors", cross=768, without="first_stage_model.")
    _safetensors(tmp_path / "lora.safetensors", {"lora_unet_x.lora_down.weight": (4, 8), "lora_unet_x.lora_up.weight": (8, 4)})
    _safetensors(tmp_path / "thing.safetensors", {"x": (1,)})
    for name, word in (("no_vae", "VAE"), ("lora", "LoRA"), ("thing", "single file")):
        with pytest.raises(ModelInvalid) as caught:
            models.check_checkpoint(tmp_path / f"{name}.safetensors")
        assert word in f"{caught.value.message} {caught.value.remedy}"
    with pytest.raises(ModelInvalid):
        models.check_checkpoint(tmp_path / "absent")


def test_samplers_are_checked_by_family() -> None:
    models.check_sampling("dpmpp_2m", "karras", Family.sdxl)
    for sampler, scheduler, family, field in (
        ("dreamy", "normal", Family.starter, "sampler"),
        ("euler", "dreamy", Family.starter, "scheduler"),
        ("dpmpp_2m", "normal", Family.flux, "sampler"),
        ("euler", "karras", Family.sd3, "scheduler"),
    ):
        with pytest.raises(InvalidFieldValue) as caught:
            models.check_sampling(sampler, scheduler, family)
        assert caught.value.field == field


def test_loras_are_listed_with_family_and_trigger(tmp_path: Path) -> None:
    _safetensors(tmp_path / "people" / "ann.safetensors", _lora(768), {"modelspec.trigger_phrase": "ann person"})
    _safetensors(tmp_path / "xl.safetensors", _lora(2048, layout="kohya"))
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")
    (tmp_path / "notes.txt").write_text("mine")
    found = models.find_loras(tmp_path)
    assert [(spec.path, spec.family, spec.trigger) for spec in found] == [
        ("people/ann.safetensors", Family.sd15, "ann person"),
        ("xl.safetensors", Family.sdxl, ""),
    ]
    assert models.find_loras(tmp_path / "absent") == ()


def test_a_lora_is_found_by_name_and_by_whole_path(tmp_path: Path) -> None:
    path = _safetensors(tmp_path / "loras" / "people" / "ann.v2.safetensors", _lora(768))
    folder = tmp_path / "loras"
    for name in ("people/ann.v2", "people/ann.v2.safetensors", str(path), str(path.with_suffix(""))):
        assert models.resolve_lora(LoraUse(path=name), folder) == path


@pytest.mark.parametrize("name", ["../secret", "people/../../secret.safetensors", "..\\secret", "nobody"])
def test_a_lora_name_never_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    _safetensors(tmp_path / "secret.safetensors", _lora(768))
    (tmp_path / "loras" / "people").mkdir(parents=True)
    with pytest.raises(InvalidFieldValue) as caught:
        models.resolve_lora(LoraUse(path=name), tmp_path / "loras")
    assert caught.value.field == "loras"


@pytest.mark.parametrize("layout", ["peft", "old", "kohya"])
def test_a_lora_that_fits_passes_in_every_layout(tmp_path: Path, starter: ModelSpec, layout: str) -> None:
    path = _safetensors(tmp_path / "fits.safetensors", _lora(192, module=_OF_STARTER, into=192, layout=layout))
    models.check_lora(path, starter)
    assert models.find_loras(tmp_path)[0].family == Family.starter


@pytest.mark.parametrize("layout", ["peft", "old", "kohya"])
@pytest.mark.parametrize(("cross", "out"), [(768, 320), (2048, 640), (192, 320)])
def test_a_lora_of_another_architecture_is_refused(tmp_path: Path, starter: ModelSpec, layout: str, cross: int, out: int) -> None:
    path = _safetensors(tmp_path / "other.safetensors", _lora(cross, into=out, layout=layout))
    with pytest.raises(LoraMismatch) as caught:
        models.check_lora(path, starter)
    assert caught.value.field == "loras"
    assert "other.safetensors" in caught.value.message


def test_the_same_check_serves_single_files_by_family(tmp_path: Path) -> None:
    _checkpoint(tmp_path / "models" / "xl.safetensors", cross=2048)
    (spec,) = models.find_models(tmp_path / "models", [])
    models.check_lora(_safetensors(tmp_path / "xl.safetensors", _lora(2048, layout="kohya")), spec)
    with pytest.raises(LoraMismatch, match=r"Stable Diffusion 1\.5"):
        models.check_lora(_safetensors(tmp_path / "sd15.safetensors", _lora(768, layout="kohya")), spec)


def test_half_a_lora_and_no_lora_are_refused(tmp_path: Path, starter: ModelSpec) -> None:
    half = dict(_lora(192, module=_OF_STARTER))
    half.pop(next(name for name in half if "lora_B" in name))
    for name, shapes in (("half", half), ("none", {"x": (1, 1)})):
        with pytest.raises(ModelInvalid) as caught:
            models.check_lora(_safetensors(tmp_path / f"{name}.safetensors", shapes), starter)
        assert caught.value.field == "loras"
    with pytest.raises(LoraMismatch, match="LyCORIS"):
        models.check_lora(_safetensors(tmp_path / "loha.safetensors", {"lora_unet_x.hada_w1_a": (4, 4)}), starter)


def test_a_fingerprint_is_the_files_sha256_and_is_taken_once(tmp_path: Path) -> None:
    path = _safetensors(tmp_path / "a.safetensors", {"x": (64, 64)})
    cache = tmp_path / "cache" / "fingerprints.json"
    assert models.fingerprint((path,), cache) == hashlib.sha256(path.read_bytes()).hexdigest()
    known = json.loads(cache.read_text())
    cache.write_text(json.dumps(dict.fromkeys(known, "remembered")))
    assert models.fingerprint((path,), cache) == "remembered"
    _safetensors(path, {"x": (64, 65)})
    assert models.fingerprint((path,), cache) == hashlib.sha256(path.read_bytes()).hexdigest()
    cache.write_text("broken")
    assert models.fingerprint((path,), cache) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_models_fingerprint_changes_with_any_of_its_weights_and_reading_can_be_cancelled(tmp_path: Path) -> None:
    folder = _copy_of_starter(tmp_path)
    files = models.weight_files(folder)
    assert [file.parent.name for file in files] == ["text_encoder", "unet", "vae"]
    before = models.fingerprint(files, tmp_path / "one.json")
    assert before == models.fingerprint(models.weight_files(STARTER), tmp_path / "two.json")
    data = bytearray(files[2].read_bytes())
    data[-1] ^= 1
    files[2].write_bytes(data)
    assert models.fingerprint(files, tmp_path / "one.json") != before

    def stop(done: int, total: int) -> None:
        raise InterruptedError(done, total)

    large = tmp_path / "large.safetensors"
    with large.open("wb") as file:
        file.truncate(200 << 20)
    with pytest.raises(InterruptedError) as caught:
        models.fingerprint((large,), tmp_path / "one.json", stop)
    assert caught.value.args == (64 << 20, 200 << 20)


def test_everything_about_models_is_known_without_torch() -> None:
    code = (
        "import sys; from pathlib import Path; from studio import models; import engines.embedded\n"
        f"spec = models.find_models(Path('/nowhere'), [Path({str(STARTER)!r})])[0]; models.check_checkpoint(Path(spec.path))\n"
        "print(sorted({'torch', 'diffusers', 'transformers', 'safetensors', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=HOME, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


_OF_STARTER = "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k"


def _copy_of_starter(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    shutil.copytree(STARTER, folder, ignore=shutil.ignore_patterns("*.png", "reader"))
    return folder


def _write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def _safetensors(path: Path, shapes: Shapes, words: dict[str, str] | None = None) -> Path:
    """A real safetensors file of fp16 zeros."""
    entries: dict[str, object] = {"__metadata__": words} if words else {}
    end = 0
    for name, shape in shapes.items():
        size = 2
        for side in shape:
            size *= side
        entries[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    header = json.dumps(entries).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(end))
    return path


def _checkpoint(path: Path, *, cross: int, without: str = "nothing") -> Path:
    """The beginning of every half of a single-file checkpoint, in the layout of its first trainers."""
    shapes = {
        "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight": (8, cross),
        "first_stage_model.decoder.conv_in.weight": (8, 4, 3, 3),
        "cond_stage_model.transformer.text_model.embeddings.position_embedding.weight": (77, 8),
    }
    return _safetensors(path, {name: shape for name, shape in shapes.items() if not name.startswith(without)})


def _lora(
    cross: int, *, module: str = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k", into: int = 320, layout: str = "peft"
) -> dict[str, tuple[int, ...]]:
    rank, out = 4, 160 if module == _OF_STARTER else into
    match layout:
        case "kohya":
            name = f"lora_unet_{module.replace('.', '_')}"
            return {f"{name}.lora_down.weight": (rank, cross), f"{name}.lora_up.weight": (out, rank), f"{name}.alpha": ()}
        case "old":
            return {f"unet.{module}.lora.down.weight": (rank, cross), f"unet.{module}.lora.up.weight": (out, rank)}
        case _:
            return {f"unet.{module}.lora_A.weight": (rank, cross), f"unet.{module}.lora_B.weight": (out, rank)}
