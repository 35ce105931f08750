"""Captions by a model on this computer: real ones of transformers, tiny and taught here what a red and a blue picture show."""

from __future__ import annotations

import json
import shutil
import socket
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from working_here import working_here

from app import open_studio
from engines.embedded.captioner import load_captioner
from studio.caption_text import CaptionStyle
from studio.captioning import Wanted, caption_pictures
from studio.contracts import CaptionRequest, CharacterFields, JobState
from studio.dataset_contracts import DatasetFields
from studio.engine import Cancelled
from studio.errors import DependencyMissing, ModelInvalid, ModelUnsafe
from studio.settings import Settings, load_settings

COLOURS = {"red": (220, 20, 20), "blue": (20, 20, 220)}
SHOWN = {"red": "a red coat on street", "blue": "a blue coat at night"}
ASKED = "describe it"
WORDS = [
    "<pad>",
    "<unk>",
    "<s>",
    "</s>",
    "<image>",
    "user",
    "assistant",
    *ASKED.split(),
    *sorted({w for said in SHOWN.values() for w in said.split()}),
]
TEMPLATE = (
    "{% for m in messages %}user {% for c in m['content'] %}{% if c['type'] == 'image' %}<image> {% else %}{{ c['text'] }} {% endif %}"
    "{% endfor %}{% endfor %}assistant"
)
SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with one that captions as it was taught, one that chats, and one that was taught nothing."""
    folder = tmp_path_factory.mktemp("models")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tokenizer = make_tokenizer()
        make_blip(folder / "captioners" / "blip", tokenizer)
        make_llava(folder / "captioners" / "llava", tokenizer)
        make_pair(folder / "captioners" / "pair", tokenizer)
    torch.set_num_threads(threads)
    return folder


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever wants to talk to another computer fails."""

    def refuse(*_: object) -> None:
        raise AssertionError("nothing may be fetched")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(("name", "follows", "dtype"), [("blip", False, "auto"), ("llava", True, "auto"), ("llava", True, "bfloat16")])
def test_a_model_in_the_models_folder_describes_pictures(taught: Path, name: str, follows: bool, dtype: str) -> None:
    captioner = load_captioner(settings(taught, dtype=dtype), name)
    assert captioner.follows is follows
    assert not captioner.sends_away
    for colour, said in SHOWN.items():
        assert captioner.caption(flat(colour), ASKED, real=True) == said


def test_models_that_pair_eyes_with_a_writer_are_read_too(taught: Path) -> None:
    captioner = load_captioner(settings(taught), "pair")
    said = captioner.caption(flat("red"), ASKED)
    assert said == captioner.caption(flat("red"), ASKED)
    assert set(said.split()) <= set(WORDS)


def test_a_caption_is_cancelled_in_the_middle_and_the_model_stays_usable(taught: Path) -> None:
    captioner = load_captioner(settings(taught), "llava")
    looks = 0

    def watch() -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        captioner.caption(flat("red"), ASKED, watch=watch)
    assert captioner.caption(flat("red"), ASKED, watch=lambda: None) == SHOWN["red"]


def test_it_captions_a_folder_as_any_other_model_does(taught: Path, tmp_path: Path) -> None:
    wanted = []
    for colour in COLOURS:
        flat(colour).resize((3000, 200)).save(tmp_path / f"{colour}.png")
        wanted.append(Wanted(colour, tmp_path / f"{colour}.png", real=True))

    class Report:
        def __call__(self, progress: float, note: str = "", *, step: int = 0, steps: int = 0, preview: Image.Image | None = None) -> None:
            pass

        def wants_preview(self) -> bool:
            return False

    captioner = load_captioner(settings(taught), "blip")
    found = list(caption_pictures(wanted, captioner, CaptionStyle.natural, "zxmia", Report(), max_megapixels=100))
    assert [(one.id, one.caption) for one in found] == [(colour, f"zxmia, {said}") for colour, said in SHOWN.items()]


def test_a_job_has_a_dataset_captioned_without_any_address(taught: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIKENESS_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("LIKENESS_MODELS_DIR", str(taught))
    monkeypatch.setenv("LIKENESS_THREADS", "1")
    studio = open_studio(load_settings(tmp_path / "data"))
    ann = {"name": "Ann", "trigger_word": "zann", "kind": "consented", "consent": {"who": "Ann Example", "what_for": "training"}}
    character = studio.create_character(CharacterFields.model_validate(ann))
    dataset, _ = studio.datasets.create(DatasetFields.model_validate({"character": character.id}))
    for colour in COLOURS:
        file = tmp_path / f"{colour}.png"
        flat(colour).save(file)
        studio.datasets.add_files(dataset.id, [(file.name, file.read_bytes())])
    request = CaptionRequest(dataset=dataset.id, captioner="blip")
    offer = studio.captionings.offer(request)
    assert offer.way is not None and (offer.way.captioner, offer.way.sends_away, offer.real) == ("blip", False, True)
    job = studio.captionings.order(request, correlation_id="test")
    with working_here(studio.settings, studio.database) as worker:
        run = worker.jobs.begin(f"{job.id}-1")
        assert run is not None
        worker._work(run)
    assert studio.job(job.id).state is JobState.done, studio.job(job.id).error
    assert [one.caption for one in studio.datasets.every_picture(dataset.id)] == [f"zann, {said}" for said in SHOWN.values()]
    assert studio.captionings.captioning(job.id).spent.answers == 0
    studio.database.close()


def test_without_one_it_is_said_where_to_put_it(tmp_path: Path, taught: Path) -> None:
    with pytest.raises(DependencyMissing) as missing:
        load_captioner(settings(tmp_path))
    assert "captioners" in missing.value.remedy
    if not torch.cuda.is_available():
        with pytest.raises(DependencyMissing, match="cuda"):
            load_captioner(settings(taught, device="cuda"))


def test_a_model_that_can_not_be_trusted_is_not_loaded(tmp_path: Path, taught: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "captioners" / "blip"
    shutil.copytree(taught / "captioners" / "blip", folder)
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    save_file(
        {name: value for name, value in load_file(weights).items() if "vision_model.embeddings" not in name}, weights, {"format": "pt"}
    )
    with pytest.raises(ModelInvalid, match=r"lacks \d+ of its weights"):
        load_captioner(settings(tmp_path))
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelInvalid, match="can't be loaded"):
        load_captioner(settings(tmp_path))
    weights.unlink()
    with pytest.raises(ModelInvalid, match=r"no \.safetensors"):
        load_captioner(settings(tmp_path))
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(ModelUnsafe):
        load_captioner(settings(tmp_path))


def test_code_that_comes_with_a_model_is_not_run(tmp_path: Path, taught: Path) -> None:
    folder = tmp_path / "captioners" / "blip"
    shutil.copytree(taught / "captioners" / "blip", folder)
    ran = tmp_path / "ran"
    (folder / "own.py").write_text(f"open({str(ran)!r}, 'w').close()\nclass Own: pass\n")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.Own", "AutoModelForImageTextToText": "own.Own"}}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelInvalid):
        load_captioner(settings(tmp_path))
    assert not ran.exists()


def settings(models: Path, **changes: Any) -> Settings:
    return Settings.model_validate({}).model_copy(update={"models_dir": models, "device": "cpu", "dtype": "auto", **changes})


def flat(colour: str) -> Image.Image:
    return Image.new("RGB", (40, 30), COLOURS[colour])


def make_tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # pyright: ignore[reportAttributeAccessIssue]
    special: dict[str, Any] = {"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    return PreTrainedTokenizerFast(tokenizer_object=raw, additional_special_tokens=["<image>"], **special)


def make_blip(folder: Path, tokenizer: Any) -> None:
    from transformers import BlipConfig, BlipForConditionalGeneration, BlipImageProcessorPil, BlipProcessor

    text = {**SMALL, "vocab_size": len(WORDS), "encoder_hidden_size": 32, "projection_dim": 32, "max_position_embeddings": 16}
    text |= {"bos_token_id": 2, "eos_token_id": 3, "sep_token_id": 3, "pad_token_id": 0}
    text |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    model = BlipForConditionalGeneration(
        BlipConfig(text_config=text, vision_config={**SMALL, "image_size": 16, "patch_size": 8}, projection_dim=32)
    )
    eyes = BlipImageProcessorPil(size={"height": 16, "width": 16})
    said = [tokenizer(f"<s> {SHOWN[colour]} </s>").input_ids for colour in COLOURS]
    tokens = torch.tensor([ids + [0] * (max(map(len, said)) - len(ids)) for ids in said])
    pixels = eyes(images=[flat(colour) for colour in COLOURS], return_tensors="pt")["pixel_values"]
    teach(model, pixel_values=pixels, input_ids=tokens, attention_mask=(tokens != 0).long(), labels=tokens.masked_fill(tokens == 0, -100))
    model.save_pretrained(folder)
    BlipProcessor(eyes, tokenizer).save_pretrained(folder)


def make_llava(folder: Path, tokenizer: Any) -> None:
    from transformers import (
        CLIPImageProcessorPil,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )

    known = {"vocab_size": len(WORDS), "max_position_embeddings": 64, "bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0}
    model = LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=CLIPVisionConfig(**{**SMALL, "num_hidden_layers": 2}, image_size=16, patch_size=8),
            text_config=LlamaConfig(**SMALL, num_key_value_heads=2, **known),
            image_token_index=WORDS.index("<image>"),
        )
    )
    model.generation_config.eos_token_id, model.generation_config.pad_token_id = 3, 0  # pyright: ignore[reportOptionalMemberAccess]
    eyes = CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
    how: dict[str, Any] = {"patch_size": 8, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}
    processor = LlavaProcessor(eyes, tokenizer, chat_template=TEMPLATE, image_token="<image>", **how)
    tokens, pixels, labels = [], [], []
    for colour in COLOURS:
        asked = [{"role": "user", "content": [{"type": "image", "image": flat(colour)}, {"type": "text", "text": ASKED}]}]
        seen: Any = processor.apply_chat_template(asked, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt")
        said = torch.tensor([tokenizer(f"{SHOWN[colour]} </s>").input_ids])
        tokens.append(torch.cat([seen["input_ids"], said], 1))
        labels.append(torch.cat([torch.full_like(seen["input_ids"], -100), said], 1))
        pixels.append(seen["pixel_values"])
    both = torch.cat(tokens)
    teach(model, input_ids=both, attention_mask=torch.ones_like(both), pixel_values=torch.cat(pixels), labels=torch.cat(labels))
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def make_pair(folder: Path, tokenizer: Any) -> None:
    from transformers import GPT2Config, VisionEncoderDecoderConfig, VisionEncoderDecoderModel, ViTConfig, ViTImageProcessorPil

    marks = {"bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0}
    writer = GPT2Config(
        vocab_size=len(WORDS), n_embd=32, n_layer=1, n_head=2, n_positions=12, add_cross_attention=True, is_decoder=True, **marks
    )
    config = VisionEncoderDecoderConfig.from_encoder_decoder_configs(ViTConfig(**SMALL, image_size=16, patch_size=8), writer)
    model = VisionEncoderDecoderModel(config)
    said: Any = model.generation_config
    said.decoder_start_token_id, said.pad_token_id, said.eos_token_id = 2, 0, 3
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    ViTImageProcessorPil(size={"height": 16, "width": 16}).save_pretrained(folder)


def teach(model: Any, **batch: torch.Tensor) -> None:
    """Until it knows the batch by heart."""
    steps = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(300):
        loss = model(**batch).loss
        if float(loss) < 0.02:
            break
        steps.zero_grad()
        loss.backward()
        steps.step()
    model.eval()
