"""What helps to choose: presets that explain themselves, seeds, references, the order of the queue, and what a picture says of itself."""

from __future__ import annotations

import io
import json
import sqlite3
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from bench.rig import Running, running_studio, wait_until
from tests.browser.browsing import DESKTOP, HOME, PHONE, open_browser, open_page
from tests.test_workflow_doors import GRAPH

SCREENS = HOME / "test-results" / "screens"
SIZES = pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
CONSENT = {"who": "Ana Silva", "what_for": "portraits for her own page", "until": "2031-05-04"}
ANA = {"name": "Ana", "kind": "consented", "appearance": {"age": 30, "hair": "black hair"}, "consent": CONSENT}

Open = Callable[..., Page]

expect.set_options(timeout=60_000)


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_studio(tmp_path_factory.mktemp("choosing") / "data") as running:
        running.post(
            "characters", {"name": "Ana", "kind": "consented", "appearance": {"age": 30, "hair": "black hair"}, "consent": CONSENT}
        )
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


@pytest.fixture
def visit(studio: Running, browser: Browser) -> Iterator[Open]:
    """Open the page; when the test ends, no page may have had a fault in its scripts."""
    opened: list[tuple[Page, list[str]]] = []

    def open_one(size: tuple[int, int] = DESKTOP, **options: Any) -> Page:
        opened.append(open_page(browser, studio.url, size, **options))
        return opened[-1][0]

    yield open_one
    faults = [fault for _page, written in opened for fault in written]
    for page, _written in opened:
        page.context.close()
    assert faults == []


@SIZES
def test_the_chosen_preset_says_under_the_cards_what_it_does(studio: Running, visit: Open, size: tuple[int, int]) -> None:
    presets = {one["id"]: one["tooltip"] for one in items(studio, "presets")}
    page = visit(size, dark=size == PHONE)
    field = page.locator("#field-preset")
    if size == PHONE:
        field.get_by_role("button", name="Preset").click()
    about = field.locator(".card-about")
    expect(about).to_have_text("No preset: your words and the model's own settings.")
    shown = field.locator("input[value='night_v1']")
    if not shown.count():
        field.get_by_role("button", name="Show all").click()
    shown.check(force=True)
    expect(about).to_have_text(presets["night_v1"])
    expect(about).to_be_visible()
    keep(page, f"preset-about-{size[0]}")
    # Whoever hears the page hears the same of each card, before choosing it.
    for radio in field.locator("input[type=radio]").all():
        name = radio.get_attribute("value")
        if name:
            expect(radio).to_have_attribute("aria-description", presets[name])


@SIZES
def test_a_picture_says_everything_that_made_it(studio: Running, visit: Open, size: tuple[int, int]) -> None:
    made = make(studio, character="ana", prompt="smiling", grain=0.3, tone="reinhard", tone_strength=0.5)
    page = visit(size, dark=size == PHONE)
    look_at_newest(page)
    box = page.get_by_role("dialog", name="Picture")
    facts = facts_of(page)
    assert (facts["Film grain"], facts["Tone mapping"], facts["Tone strength"]) == ("0.3", "Reinhard", "0.5")
    assert facts["Real person"] == "Yes"
    assert facts["Consent"].startswith("Ana Silva: portraits for her own page · until ")
    assert "2031" in facts["Consent"]
    assert "Workflow" not in facts
    box.locator("[data-fact=consent]").scroll_into_view_if_needed()
    keep(page, f"facts-{size[0]}")
    assert made["recipe"]["consent"]["who"] == "Ana Silva"


def test_a_picture_of_a_workflow_and_a_face_variant_names_their_settings(studio: Running, visit: Open) -> None:
    workflow: Any = upload(studio, "workflows", ("mine.json", json.dumps(GRAPH).encode()))
    parameter = next(one for one in workflow["parameters"] if one["name"] not in {"prompt", "negative_prompt"})
    source, made = make(studio, prompt="a person"), make(studio, prompt="a person, smiling")
    # As a ComfyUI server's answer is kept: the recipe names the workflow, its values and pictures, and the face that was drawn anew.
    recipe = {
        **made["recipe"],
        "workflow": workflow["id"],
        "values": {parameter["name"]: 12, "gone_switch": True},
        "pictures": {"pose": source["id"]},
        "face": {"variant": "Winter", "lora": {"path": "winter.safetensors", "strength": 0.8}, "denoise": 0.45, "alone": False},
    }
    with sqlite3.connect(next(studio.data.glob("*.db"))) as db:
        db.execute("UPDATE pictures SET recipe = ? WHERE id = ?", (json.dumps(recipe), made["id"]))
    page = visit()
    look_at_newest(page)
    box = page.get_by_role("dialog", name="Picture")
    expect(box.locator("[data-fact=workflow]")).to_have_text(workflow["name"])
    # Its id reads the same: only the label says that its names have come.
    expect(box.locator("dt").get_by_text(parameter["label"], exact=True)).to_be_attached()
    facts = facts_of(page)
    assert facts[parameter["label"]] == "12"
    assert facts["gone_switch"] == "On"
    assert (facts["Face variant"], facts["Face drawn anew"]) == ("Winter × 0.8", "45 %")
    box.get_by_role("button", name=source["id"]).click()
    expect(box.locator(".picture")).to_have_attribute("alt", source["recipe"]["prompt"])


def test_a_photo_says_whose_consent_it_has(studio: Running, visit: Open) -> None:
    upload(studio, "characters/ana/images", ("ana.png", square("teal", 96)))
    page = visit()
    page.get_by_role("tab", name="Characters").click()
    page.get_by_role("button", name="Ana").first.click()
    page.locator(".photo[data-photo]").first.click()
    expect(page.get_by_role("dialog", name="Picture").locator("[data-fact=consent]")).to_contain_text(
        "Ana Silva: portraits for her own page"
    )


@SIZES
def test_the_seed_of_a_picture_is_taken_and_nothing_else(studio: Running, visit: Open, size: tuple[int, int]) -> None:
    made = make(studio, prompt="somebody else's words", seed=4711)
    page = visit(size)
    page.get_by_label("Prompt", exact=True).fill("my own words")
    look_at_newest(page)
    page.get_by_role("button", name="Use this seed").click()
    expect(page.get_by_role("tab", name="Generate")).to_have_attribute("aria-selected", "true")
    field = page.locator("#field-seed input")
    expect(field).to_have_value(str(made["seed"]))
    expect(field).to_be_focused()
    expect(field).to_be_in_viewport()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("my own words")
    keep(page, f"seed-{size[0]}")
    # It is what the next picture is made from.
    page.get_by_label("Prompt", exact=True).fill("portrait of a person")
    page.locator("#make").click()
    expect(page.get_by_text("Your picture is on the way")).to_be_visible()
    wait_until(lambda: items(studio, "images?limit=1")[0]["id"] != made["id"], 120, "the picture did not come")
    assert items(studio, "images?limit=1")[0]["seed"] == 4711


@SIZES
def test_a_result_becomes_a_reference_where_it_lies(studio: Running, visit: Open, size: tuple[int, int]) -> None:
    make(studio, character="ana", prompt="laughing", count=4)
    page = visit(size, dark=size == DESKTOP)
    last = page.locator(".result").nth(3)
    if size == PHONE:
        page.get_by_role("button", name="Show the picture large").click()
    expect(last).to_be_visible()
    last.hover()
    signs = last.locator(".result-acts .icon-button")
    expect(signs).to_have_count(5)
    keep(page, f"result-signs-{size[0]}")
    tile = last.bounding_box()
    assert tile
    for sign in signs.all():
        place = sign.bounding_box()
        assert place
        assert place["x"] >= tile["x"] - 1, "every sign stays on its picture"
        assert place["x"] + place["width"] <= tile["x"] + tile["width"] + 1
    last.get_by_role("button", name="Use as reference").click()
    expect(page.locator("likeness-references .ref-thumb")).to_have_count(1)


def test_one_of_three_waiting_goes_to_the_end_and_to_the_front(studio: Running, visit: Open) -> None:
    slow = {"prompt": "portrait of a person", "preset": "none", "steps": 150, "width": 160, "height": 160}
    ids = [str(studio.post("generate", slow)["job_id"]) for _ in range(4)]  # pyright: ignore[reportIndexIssue,reportCallIssue,reportArgumentType]  # JSON
    page = visit()
    rows = page.locator(".row[data-state=queued]")
    expect(rows).to_have_count(3)
    first = page.locator(f".row[data-job='{ids[1]}']")
    first.hover()
    keep(page, "queue-order")
    first.get_by_role("button", name="Move to the end").click()
    expect(rows.last).to_have_attribute("data-job", ids[1])
    first.get_by_role("button", name="Move to the front").click()
    expect(rows.first).to_have_attribute("data-job", ids[1])
    studio.post("jobs/cancel", {})


def test_more_references_than_one_order_takes_are_said_and_older_ones_can_be_seen(studio: Running, visit: Open) -> None:
    for start in range(0, 210, 10):
        upload(studio, "images?kind=reference", *((f"{number}.png", square("olive", 8, number)) for number in range(start, start + 10)))
    page = visit()
    page.get_by_role("button", name="Start from a picture").click()
    page.get_by_role("button", name="Choose references").click()
    box = page.get_by_role("dialog", name="References")
    expect(box.locator(".ref-card")).to_have_count(200)
    box.get_by_role("button", name="Show more").click()
    expect(box.locator(".ref-card")).to_have_count(210)
    expect(box.get_by_role("button", name="Show more")).to_be_hidden()
    page.evaluate("document.querySelectorAll('.ref-card input[type=checkbox]').forEach((tick, at) => at < 101 && tick.click())")
    expect(box.get_by_text("101 are chosen; 100 at most go into one order. Take some out.")).to_be_visible()
    keep(page, "references-many")
    use = box.get_by_role("button", name="Use these")
    expect(use).to_have_attribute("aria-disabled", "true")
    use.click(force=True)
    expect(box).to_be_visible()
    box.locator(".ref-card input[type=checkbox]").first.uncheck(force=True)
    expect(use).to_have_attribute("aria-disabled", "false")
    use.click()
    expect(page.get_by_role("button", name="100 selected · clear all")).to_be_visible()


def make(studio: Running, **request: Any) -> dict[str, Any]:
    answer: Any = studio.post("generate?wait=110", {"preset": "none", "steps": 3, **request})
    return answer["items"][0]


def items(studio: Running, path: str) -> list[dict[str, Any]]:
    answer: Any = studio.get(path)
    return answer["items"]


def look_at_newest(page: Page) -> None:
    page.get_by_role("tab", name="Gallery").click()
    page.locator(".cell").first.click()
    expect(page.get_by_role("dialog", name="Picture")).to_be_visible()
    expect(page.locator(".viewer-facts dd").first).to_be_attached()


def facts_of(page: Page) -> dict[str, str]:
    box = page.get_by_role("dialog", name="Picture")
    return dict(zip(box.locator("dt").all_inner_texts(), box.locator("dd").all_inner_texts(), strict=True))


def square(colour: str, side: int, mark: int = 0) -> bytes:
    data = io.BytesIO()
    image = Image.new("RGB", (side, side), colour)
    image.putpixel((0, 0), (mark % 256, mark // 256, 90))
    image.save(data, "PNG")
    return data.getvalue()


def upload(studio: Running, path: str, *files: tuple[str, bytes]) -> object:
    """Send files as a form, as a browser does."""
    edge = uuid.uuid4().hex
    head = '--{}\r\nContent-Disposition: form-data; name="file"; filename="{}"\r\nContent-Type: application/octet-stream\r\n\r\n'
    body = b"".join(head.format(edge, name).encode() + data + b"\r\n" for name, data in files)
    request = urllib.request.Request(
        f"{studio.url}/api/v1/{path}",
        body + f"--{edge}--\r\n".encode(),
        {"Content-Type": f"multipart/form-data; boundary={edge}"},
        method="POST",
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def keep(page: Page, name: str) -> None:
    SCREENS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENS / f"{name}.png")
