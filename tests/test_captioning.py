"""Captions by a vision model, against a real server that speaks OpenAI's protocol and has every fault that such servers have."""

from __future__ import annotations

import base64
import io
import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from oracle import KEY, SAID, Answer, Oracle, fails, hangs, picture_in, picture_of, running_oracle, says, sees
from PIL import Image
from pydantic import SecretStr

from studio import vision_model
from studio.caption_text import LONGEST, CaptionStyle, cleaned, instruction, refuses, sees_nothing, traits_in
from studio.caption_ways import installed_captioners, is_this_computer, require_captioner
from studio.captioning import (
    Captioned,
    Wanted,
    caption_pictures,
    check,
    list_models,
)
from studio.engine import Cancelled
from studio.errors import (
    ConsentMissing,
    DependencyMissing,
    EngineFailed,
    EngineOffline,
    EngineTimeout,
    ImageInvalid,
    InsufficientFunds,
    InvalidFieldValue,
    LikenessError,
    SafetyFilter,
)
from studio.settings import Settings, save_settings
from studio.vision_model import Refused, VisionModel, data_url, price_of


@pytest.fixture
def oracle() -> Iterator[Oracle]:
    with running_oracle() as running:
        yield running


# What is sent


def test_a_picture_is_sent_small_and_with_nothing_in_it_but_its_pixels(oracle: Oracle) -> None:
    private = io.BytesIO()
    exif = Image.Exif()
    exif[0x010F] = "SecretCamera"
    Image.new("RGB", (2000, 1000), "red").save(private, "JPEG", exif=exif, comment=b"taken at home", icc_profile=b"SecretProfile")
    with oracle.model(changes={"caption_side": 512}) as model:
        assert model.caption(Image.open(private), "Describe it.", real=True) == SAID
    asked = oracle.asked[0]
    picture = picture_in(asked)
    assert (picture.size, picture.format) == ((512, 256), "JPEG")
    sent = base64.b64decode(asked["messages"][0]["content"][1]["image_url"]["url"].partition(",")[2])
    assert not any(word in sent for word in (b"SecretCamera", b"taken at home", b"SecretProfile", b"Exif"))
    assert asked["messages"][0]["content"][0] == {"type": "text", "text": "Describe it."}
    assert (asked["model"], asked["stream"]) == ("seer", False)
    assert oracle.headers[0]["Authorization"] == f"Bearer {KEY}"


def test_a_small_drawing_goes_as_png() -> None:
    assert data_url(Image.new("L", (128, 4000), 0), 128).startswith("data:image/png;base64,")
    assert picture_of(data_url(Image.new("L", (128, 4000), 0), 300)).size == (10, 300)


def test_no_key_is_sent_where_none_is_set(oracle: Oracle) -> None:
    with oracle.model(changes={"caption_key": SecretStr("")}) as model:
        model.caption(picture(), "x", real=False)
    assert "Authorization" not in oracle.headers[0]


def test_nothing_is_sent_before_an_address_is_set(oracle: Oracle) -> None:
    with pytest.raises(DependencyMissing, match="No vision model is set up") as missing:
        VisionModel(oracle.settings(caption_url=""))
    assert missing.value.field == "caption_url"
    assert Settings.model_validate({}).caption_url == ""
    with oracle.model(changes={"caption_model": " "}) as model, pytest.raises(DependencyMissing, match="No vision model is chosen"):
        model.caption(picture(), "x", real=False)
    assert not oracle.asked


# Who may see it


def test_a_real_persons_photo_leaves_this_computer_only_with_a_yes(oracle: Oracle, tmp_path: Path) -> None:
    away = oracle.settings(caption_url="https://vision.example/v1")
    with VisionModel(away, tries=1) as model:
        assert model.sends_away
        with pytest.raises(ConsentMissing, match=r"vision\.example") as refused:
            model.caption(picture(), "x", real=True)
        assert refused.value.field == "allow_remote_for_real"
        # One real picture is enough for none to be sent.
        wanted = [Wanted("a", saved(tmp_path / "a.png"), False), Wanted("b", saved(tmp_path / "b.png"), True)]
        with pytest.raises(ConsentMissing):
            list(captioned(model, wanted))
    with VisionModel(away, allow_remote_for_real=True) as model:
        model.check_real()
    with oracle.model() as model:
        assert not model.sends_away
        model.check_real()


def test_ollamas_cloud_is_not_this_computer(oracle: Oracle) -> None:
    for name in ("qwen3-vl:235b-cloud", "seer:cloud"):
        with oracle.model(changes={"caption_model": name}) as model, pytest.raises(ConsentMissing, match="cloud"):
            model.caption(picture(), "x", real=True)
    assert not oracle.asked


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("192.168.1.4", False),
        ("localhost.evil.example", False),
        ("0.0.0.0", False),
    ],
)
def test_only_loopback_is_this_computer(host: str, here: bool) -> None:
    assert is_this_computer(host) is here


def test_a_key_does_not_travel_where_everyone_reads_it(oracle: Oracle) -> None:
    with pytest.raises(InvalidFieldValue, match="everyone on the way"):
        VisionModel(oracle.settings(caption_url="http://vision.example/v1"))
    for near in ("http://192.168.1.4:11434/v1", "http://nas.local/v1", "http://gpu-box:8000/v1"):
        VisionModel(oracle.settings(caption_url=near)).close()
    with pytest.raises(InvalidFieldValue, match="no key has") as refused:
        VisionModel(oracle.settings(caption_key=SecretStr("sk-1 2")))
    assert "sk-1" not in str(refused.value)


def test_the_address_is_taken_as_people_paste_it(settings: Settings) -> None:
    saved_url = save_settings(settings, {"caption_url": " http://127.0.0.1:11434/v1/chat/completions/ "}).caption_url
    assert saved_url == "http://127.0.0.1:11434/v1"
    for wrong in ("127.0.0.1:11434", "ftp://x", "http://user:pw@host/v1", "http://host/v1?key=1", "http://"):
        with pytest.raises(InvalidFieldValue):
            save_settings(settings, {"caption_url": wrong})
    with pytest.raises(LikenessError, match="Secrets"):
        save_settings(settings, {"caption_key": "x"})
    assert KEY in Settings.model_validate({"caption_key": KEY}).secrets()


# Faults


@pytest.mark.parametrize(
    ("answer", "kind", "words", "field"),
    [
        (fails(401, f"Incorrect API key provided: {KEY}"), EngineOffline, "refuses the key", "caption_key"),
        (fails(403, "no"), EngineOffline, "refuses the key", "caption_key"),
        (fails(404, 'model "seer" not found, try pulling it first'), InvalidFieldValue, "no model “seer”", "caption_model"),
        (fails(404, {"error": {"message": "The model `seer` does not exist", "code": "model_not_found"}}), InvalidFieldValue, "seer", None),
        (fails(404, "404 page not found"), EngineOffline, "OpenAI's interface", "caption_url"),
        (fails(400, {"error": "Model does not support images. Please use a model that does."}), InvalidFieldValue, "can't see", None),
        (fails(500, "image input is not supported - hint: you may need to provide the mmproj"), InvalidFieldValue, "can't see", None),
        (fails(500, "out of memory"), EngineFailed, "HTTP 500.*out of memory", None),
        (fails(402, "pay"), InsufficientFunds, "no money", None),
        (fails(429, {"error": {"code": "insufficient_quota", "message": "You exceeded your quota"}}), InsufficientFunds, "quota", None),
        (fails(400, "rejected as a result of our safety system"), Refused, "declined", None),
        (fails(400, f"bad {KEY} request"), EngineFailed, "bad ••• request", None),
        (fails(413, "too big"), LikenessError, "too large", None),
        (fails(301, "moved", Location="https://evil.example/"), EngineOffline, "another address", "caption_url"),
        (fails(200, "unused"), EngineFailed, "unused", None),
        (lambda _, __: (200, {}, "<html><body>Sign in</body></html>"), EngineOffline, "OpenAI's interface", "caption_url"),
        (lambda _, __: (200, {}, '{"choices": ['), EngineOffline, "OpenAI's interface", None),
        (lambda _, __: (200, {}, b"x" * (2**22 + 1)), EngineOffline, "OpenAI's interface", None),
        (lambda _, __: (200, {}, {"choices": []}), EngineFailed, "without a caption", None),
        (lambda _, __: (200, {}, {"choices": [{"message": None}]}), EngineFailed, "without a caption", None),
        (says(""), EngineFailed, "empty answer", None),
        (says("<think>what is it?"), EngineFailed, "empty answer", None),
        (says("I'm sorry, but I can't help with identifying people."), Refused, "declined", None),
        (says("I don't see an image. Please upload the image."), InvalidFieldValue, "can't see pictures", "caption_model"),
    ],
)  # fmt: skip
def test_what_goes_wrong_is_said_in_plain_words(
    oracle: Oracle, answer: Answer, kind: type[LikenessError], words: str, field: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    oracle.will(answer)
    with caplog.at_level(logging.DEBUG), oracle.model(tries=2) as model, pytest.raises(kind, match=words) as raised:
        model.caption(picture(), "x", real=False)
    assert raised.value.remedy
    if field:
        assert raised.value.field == field
    assert KEY not in caplog.text + str(raised.value) + raised.value.remedy


def test_a_refusal_by_the_protocol_is_one(oracle: Oracle) -> None:
    for choice in ({"message": {"content": None, "refusal": "No."}}, {"message": {"content": "x"}, "finish_reason": "content_filter"}):
        oracle.will(lambda _, __, choice=choice: (200, {}, {"choices": [choice]}))
        with oracle.model() as model, pytest.raises(Refused):
            model.caption(picture(), "x", real=False)
    oracle.will(lambda _, __: (200, {}, {"choices": [{"message": {"content": ""}, "finish_reason": "length"}]}))
    with oracle.model() as model, pytest.raises(EngineFailed, match="thought until its limit"):
        model.caption(picture(), "x", real=False)


def test_nothing_there_and_no_end_are_told_apart(oracle: Oracle) -> None:
    with (
        oracle.model(changes={"caption_url": "http://127.0.0.1:1/v1"}, tries=2) as model,
        pytest.raises(EngineOffline, match="Nothing answers"),
    ):
        model.caption(picture(), "x", real=False)
    oracle.will(hangs)
    with oracle.model(changes={"caption_timeout_s": 0.3}) as model, pytest.raises(EngineTimeout):
        model.caption(picture(), "x", real=False)
    assert len(oracle.asked) == 1
    assert oracle.gone.wait(30)


def test_a_server_that_stumbles_is_asked_again(oracle: Oracle) -> None:
    oracle.will(fails(500, "oops"), fails(503, "<html>busy"), says(SAID))
    with oracle.model() as model:
        assert model.caption(picture(), "x", real=False) == SAID
    assert len(oracle.asked) == 3


def test_a_busy_server_says_when_to_come_back(oracle: Oracle) -> None:
    date = format_datetime(datetime.now(UTC) - timedelta(seconds=5), usegmt=True)
    oracle.will(fails(429, "slow down", Retry_After="0.02"), fails(429, "slow down", Retry_After=date), says(SAID))
    # Were it not for what the server says, nobody would live to see the answer.
    with VisionModel(oracle.settings(), wait_s=10**5) as model:
        assert model.caption(picture(), "x", real=False) == SAID
    oracle.will(fails(429, "slow down", Retry_After="3600"))
    with oracle.model() as model, pytest.raises(EngineOffline, match="60 minutes"):
        model.caption(picture(), "x", real=False)
    oracle.will(fails(429, "slow down"))
    oracle.asked.clear()
    with oracle.model(tries=3) as model, pytest.raises(EngineOffline, match="too busy"):
        model.caption(picture(), "x", real=False)
    assert len(oracle.asked) == 3


def test_newer_models_get_their_limit_by_its_other_name(oracle: Oracle) -> None:
    def picky(_: Oracle, asked: dict[str, Any]) -> tuple[int, dict[str, str], Any]:
        if "max_tokens" in asked:
            return 400, {}, {"error": {"message": "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."}}
        return says(SAID)(oracle, asked)

    oracle.will(picky)
    with oracle.model(tries=1) as model:
        for _ in range(2):
            assert model.caption(picture(), "x", real=False) == SAID
    assert ["max_tokens" in asked for asked in oracle.asked] == [True, False, False]


def test_a_wait_ends_at_once_when_it_is_cancelled(oracle: Oracle) -> None:
    def watch() -> None:
        if oracle.reached.is_set():
            raise Cancelled

    oracle.will(hangs)
    with oracle.model() as model:
        with pytest.raises(Cancelled):
            model.caption(picture(), "x", real=False, watch=watch)
        # The server notices, so a model there stops computing.
        assert oracle.gone.wait(30)
        oracle.will(says(SAID))
        assert model.caption(picture(), "x", real=False) == SAID

        def between() -> None:
            if oracle.asked:
                raise Cancelled

        oracle.asked.clear()
        oracle.will(fails(429, "slow down", Retry_After="100"))
        with pytest.raises(Cancelled):
            model.caption(picture(), "x", real=False, watch=between)


# What it costs


def test_what_was_used_is_counted_and_what_it_cost_where_somebody_says_so(oracle: Oracle) -> None:
    usage = {"prompt_tokens": 900, "completion_tokens": 40}
    with oracle.model() as model:
        oracle.will(says(SAID, usage={**usage, "cost_in_usd_ticks": 37_756_000}))
        model.caption(picture(), "x", real=False)
        assert model.spent.usd == pytest.approx(0.0037756)
        # Refused answers cost, too.
        oracle.will(says("I cannot help with that.", usage={**usage, "cost_in_usd_ticks": 10_000_000}))
        with pytest.raises(Refused):
            model.caption(picture(), "x", real=False)
        assert (model.spent.answers, model.spent.prompt_tokens, model.spent.completion_tokens) == (2, 1800, 80)
        assert model.spent.usd == pytest.approx(0.0047756)
        oracle.will(says(SAID, usage=usage))
        model.caption(picture(), "x", real=False)
        assert model.spent.usd is None
        oracle.will(says(SAID, usage={"prompt_tokens": "many", "completion_tokens": None}))
        model.caption(picture(), "x", real=False)
        assert model.spent.prompt_tokens == 2700


def test_prices_are_published_ones_with_their_source() -> None:
    assert price_of("api.openai.com", "gpt-4o-mini") == (0.15, 0.6)
    assert price_of("127.0.0.1", "gpt-4o-mini") is None
    assert price_of("api.openai.com", "gpt-4o-2024-05-13") is None
    for one in json.loads(vision_model._PRICES.read_text(encoding="utf-8"))["prices"]:
        assert one["source"] and datetime.fromisoformat(one["seen"]) and 0 < one["input"] < one["output"]


# The check for Setup


def test_the_check_finds_a_model_that_sees(oracle: Oracle) -> None:
    oracle.will(sees)
    found = check(oracle.settings())
    assert (found.ok, found.models, found.sends_away) == (True, ("llava:latest", "seer"), False)
    assert check(oracle.settings(caption_model="llava")).ok
    assert list_models(oracle.settings()) == ("llava:latest", "seer")


@pytest.mark.parametrize(
    ("changes", "answer", "field", "words", "remedy"),
    [
        ({"caption_url": ""}, sees, "caption_url", "No vision model is set up", "Setup"),
        ({"caption_model": ""}, sees, "caption_model", "No vision model is chosen", "llava:latest"),
        ({"caption_model": "sear"}, sees, "caption_model", "no model “sear”", "such as seer"),
        ({}, fails(401, "no"), "caption_key", "refuses the key", "LIKENESS_CAPTION_KEY"),
        ({}, says("It is a pretty picture."), "caption_model", "can't see pictures", "vision model"),
        ({}, fails(400, "this model does not support image input"), "caption_model", "can't see pictures", "vision model"),
    ],
)
def test_the_check_says_what_is_wrong(oracle: Oracle, changes: dict[str, Any], answer: Answer, field: str, words: str, remedy: str) -> None:
    oracle.will(answer)
    found = check(oracle.settings(**changes))
    assert not found.ok
    assert (found.field, words in found.message, remedy in found.remedy) == (field, True, True), found


def test_the_check_knows_a_wrong_address(oracle: Oracle) -> None:
    found = check(oracle.settings(caption_url=oracle.url))
    assert (found.ok, found.field) == (False, "caption_url")
    assert "/v1" in found.remedy
    assert check(oracle.settings(caption_url="http://127.0.0.1:1/v1")).code == "ENGINE_OFFLINE"


# One picture after the other


class Seen:
    """A report that keeps what it was told, and ends the work when it is asked to."""

    def __init__(self, until: Callable[[], bool] = lambda: False) -> None:
        self.told: list[tuple[float, str]] = []
        self._until = until

    def __call__(self, progress: float, note: str = "", *, step: int = 0, steps: int = 0, preview: Image.Image | None = None) -> None:
        self.told.append((progress, note))
        if self._until():
            raise Cancelled

    def wants_preview(self) -> bool:
        return False


def captioned(
    model: VisionModel, wanted: list[Wanted], report: Seen | None = None, style: CaptionStyle = CaptionStyle.natural
) -> Iterator[Captioned]:
    return caption_pictures(wanted, model, style, "zxmia", report or Seen(), max_megapixels=100)


def test_a_folder_of_pictures_gets_its_captions_and_what_fails_is_said(oracle: Oracle, tmp_path: Path) -> None:
    wanted = [Wanted(name, saved(tmp_path / f"{name}.png"), True) for name in "abcdef"]
    wanted[1].path.write_bytes(b"not a picture")
    wanted[4].path.unlink()
    oracle.will(
        says("A young woman with long brown hair stands on a beach."),
        says("I'm sorry, I can't help with that."),
        fails(500, "oops"),
        says('"zxmia has freckles."'),
        says("A 12-year-old girl, nude."),
    )
    report = Seen()
    with oracle.model(tries=1) as model:
        found = {one.id: one for one in captioned(model, wanted, report)}
        assert found["a"] == Captioned("a", "zxmia stands on a beach.")
        assert isinstance(found["b"].error, ImageInvalid)
        assert isinstance(found["c"].error, Refused)
        assert isinstance(found["d"].error, EngineFailed)
        assert isinstance(found["e"].error, ImageInvalid)
        assert found["f"].caption == "zxmia"
        assert [round(progress, 2) for progress in sorted({progress for progress, _ in report.told})] == [0, 0.17, 0.33, 0.5, 0.67, 0.83, 1]

        # What crosses a line is not kept, also where cleaning would have hidden it.
        found = {one.id: one for one in captioned(model, wanted[2:4])}
        assert isinstance(found["c"].error, SafetyFilter)
        assert not found["c"].caption


def test_what_dooms_every_picture_ends_the_run(oracle: Oracle, tmp_path: Path) -> None:
    wanted = [Wanted(name, saved(tmp_path / f"{name}.png"), False) for name in "abcdef"]
    oracle.will(says(SAID), fails(401, "no"))
    with oracle.model() as model:
        run = captioned(model, wanted)
        assert next(run).caption == SAID
        with pytest.raises(EngineOffline, match="refuses the key"):
            next(run)
    assert len(oracle.asked) == 2
    oracle.will(fails(500, "out of memory"))
    oracle.asked.clear()
    with oracle.model(tries=1) as model:
        run = captioned(model, wanted)
        assert [next(run).id for _ in range(2)] == ["a", "b"]
        with pytest.raises(EngineFailed, match="out of memory"):
            next(run)
    assert len(oracle.asked) == 3


def test_a_run_is_cancelled_between_pictures_and_in_one(oracle: Oracle, tmp_path: Path) -> None:
    wanted = [Wanted(name, saved(tmp_path / f"{name}.png"), False) for name in "abc"]
    oracle.will(says(SAID), hangs)
    with oracle.model() as model:
        run = captioned(model, wanted, Seen(oracle.reached.is_set))
        assert next(run).caption == SAID
        with pytest.raises(Cancelled):
            next(run)
        assert len(oracle.asked) == 2
        with pytest.raises(Cancelled):
            next(captioned(model, wanted, Seen(lambda: True)))
        assert len(oracle.asked) == 2


# Text


@pytest.mark.parametrize("style", CaptionStyle)
def test_the_instruction_keeps_the_trigger_word_and_leaves_out_who_it_is(style: CaptionStyle) -> None:
    said = instruction(style, "zxmia")
    assert "zxmia" in said
    assert "Leave out" in said
    for trait in ("hair", "eyes", "skin", "age", "body"):
        assert trait in said
    assert "“”" not in instruction(style)


@pytest.mark.parametrize(
    ("answer", "caption"),
    [
        ('"A young woman with long brown hair wearing a red coat stands on a street."', "zxmia wearing a red coat stands on a street."),
        ("Sure! Here is a caption:\n\n**zxmia** sits, smiling.\n\nLet me know if you want another!", "zxmia sits, smiling."),
        ("### Caption\nzxmia stands.", "zxmia stands."),
        ("Caption: “zxmia stands.”", "zxmia stands."),
        ('```json\n{"caption": "Zxmia walks on a beach."}\n```', "zxmia walks on a beach."),
        ('{"caption": "Zxmia walks on a bea', "zxmia walks on a bea"),
        ("<think>her hair…</think>A close-up photo of zxmia with closed eyes.", "zxmia, close-up photo, with closed eyes."),
        ("The image shows a smiling woman in a blue dress,\nleaning on a wall.", "zxmia, smiling, in a blue dress, leaning on a wall."),
        ("A man with long, wavy hair and blue eyes, in a red hat, sits. His hair is short. Night.", "zxmia, in a red hat, sits. Night."),
        ("A woman with long hair and a red coat.", "zxmia with a red coat."),
        ("zxmia has long hair and wears a hat.", "zxmia wears a hat."),
        ("zxmia stands with her hair blowing in the wind.", "zxmia stands with her hair blowing in the wind."),
        ("zxmia holds a sign that says “open”", "zxmia holds a sign that says “open”"),
        ("A cat sits by a woman.", "zxmia, a cat sits by a woman."),
        ("A beautiful 30-year-old Asian woman by an old building.", "zxmia by an old building."),
        ("Caption:", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_an_answer_becomes_one_line_that_begins_with_the_trigger_word(answer: str, caption: str) -> None:
    assert cleaned(answer, CaptionStyle.natural, "zxmia") == caption


def test_without_a_trigger_word_a_caption_is_about_a_person() -> None:
    assert cleaned("The photo shows a young woman with red hair on a chair.", CaptionStyle.natural) == "A woman on a chair."


@pytest.mark.parametrize(
    ("answer", "caption"),
    [
        ("Tags: zxmia, long hair, Smile, brown_hair, red coat, blue eyes, closed eyes, hair ribbon, young woman, smile.",
         "zxmia, smile, red coat, closed eyes, hair ribbon"),
        ("- red coat\n- zxmia\n* street at night", "zxmia, red coat, street at night"),
        ("1. standing\n2. smile", "zxmia, standing, smile"),
        ('["standing", "Zxmia", "blue eyes"]', "zxmia, standing"),
        ("blue eyes", ""),
    ],
)  # fmt: skip
def test_an_answer_becomes_tags(answer: str, caption: str) -> None:
    assert cleaned(answer, CaptionStyle.tags, "zxmia") == caption


def test_a_long_answer_is_cut_where_a_sentence_ends() -> None:
    sentence = "zxmia stands on a street at night in a red coat. "
    long = cleaned(sentence * 40, CaptionStyle.natural, "zxmia")
    assert len(long) <= LONGEST
    assert long.endswith("coat.")
    assert len(cleaned("zxmia " + "walks and " * 200, CaptionStyle.natural, "zxmia")) <= LONGEST
    assert cleaned("zxmia " + "walks and " * 200, CaptionStyle.natural, "zxmia").endswith(("walks", "and"))
    assert len(cleaned(", ".join(f"tag number {n}" for n in range(500)), CaptionStyle.tags, "zxmia")) <= LONGEST + len("zxmia, ")


def test_what_stays_of_a_person_is_named() -> None:
    assert traits_in("zxmia with hair ornament, full body shot, brown hair, an old house, a young woman") == ("brown hair", "young")
    assert traits_in("zxmia sits with closed eyes, the wind in the trees") == ()


def test_refusals_and_blindness_are_no_captions() -> None:
    assert all(
        map(refuses, ["I’m sorry, but I can’t help", "I cannot identify people.", "Unfortunately, I am unable to", "As an AI model"])
    )
    assert not any(map(refuses, [SAID, "zxmia says: I can't come", "Icy street", "I ♥ NY printed on a shirt"]))
    assert all(map(sees_nothing, ["I'm unable to view images.", "No image was provided", "I can’t see any picture here"]))
    assert not any(map(sees_nothing, [SAID, "zxmia looks at a picture on the wall", "zxmia can be seen in a photo"]))


# Models on this computer


def test_a_model_of_ones_own_is_found_by_its_folder(tmp_path: Path) -> None:
    with pytest.raises(DependencyMissing, match="No captioning model is installed") as missing:
        require_captioner(tmp_path)
    assert "captioners" in missing.value.remedy
    for name, config in {
        "blip": '{"architectures": ["BlipForConditionalGeneration"]}',
        "broken": "{",
        "clip": '{"architectures": ["CLIP"]}',
    }.items():
        (tmp_path / "captioners" / name).mkdir(parents=True)
        (tmp_path / "captioners" / name / "config.json").write_text(config)
    assert [folder.name for folder in installed_captioners(tmp_path)] == ["blip"]
    assert require_captioner(tmp_path, "BLIP").name == "blip"
    with pytest.raises(DependencyMissing, match="“other”"):
        require_captioner(tmp_path, "other")


def picture() -> Image.Image:
    return Image.new("RGB", (64, 48), "red")


def saved(path: Path) -> Path:
    picture().save(path)
    return path
