"""Making pictures of somebody: characters, what the engine reads, references, grids, masks. Screenshots land in test-results/screens."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, Route, expect

from bench.rig import Running, running_studio, wait_until
from tests.browser.browsing import DESKTOP, HOME, PHONE, every_control, open_browser, open_page

SCREENS = HOME / "test-results" / "screens"
NOVA = {"name": "Nova", "appearance": {"hair": "long red hair", "skin": "tan"}, "negative_prompt": "hat", "preset": "night_v1"}

Open = Callable[..., Page]

expect.set_options(timeout=60_000)


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_studio(tmp_path_factory.mktemp("making") / "data") as running:
        running.post("characters", NOVA)
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


def test_what_the_studio_puts_into_the_form_late_is_read_too(visit: Open) -> None:
    page = visit()
    waiting: list[Route] | None = []

    def hold(route: Route) -> None:
        route.continue_() if waiting is None else waiting.append(route)

    page.route("**/gradio_api/run/**", hold)
    page.get_by_role("radio", name="Nova").check(force=True)
    page.get_by_label("Prompt", exact=True).fill("smiling")
    line = page.locator(".written-line")
    expect(line).to_have_text("nova_lk, long red hair, tan skin, smiling")
    # A shape's pixels don't wait for anybody.
    every_control(page)
    page.get_by_role("button", name="More settings").click()
    page.locator("#field-shape input[value='16:9']").check(force=True)
    expect(page.locator("#field-width input")).to_have_attribute("placeholder", "160")
    assert waiting, "the character's preset is on its way"
    held, waiting = waiting, None
    for route in held:
        route.continue_()
    expect(line).to_have_text("nova_lk, long red hair, tan skin, smiling, dark blue background, cartoon style")
    # Answers to older questions come last now.
    page.wait_for_timeout(1000)
    shape = page.locator("#field-shape input:checked").get_attribute("value")
    assert page.locator("#field-width input").get_attribute("placeholder") == {"16:9": "160", "1:1": "128"}[str(shape)]


def test_a_character_speaks_in_the_prompt_and_what_is_read_can_be_edited_and_reset(visit: Open) -> None:
    page = visit()
    page.get_by_role("radio", name="Nova").check(force=True)
    page.get_by_label("Prompt", exact=True).fill("smiling, wearing a green hoodie")
    line = page.locator(".written-line")
    expect(line).to_have_text("nova_lk, long red hair, tan skin, smiling, wearing a green hoodie, dark blue background, cartoon style")
    expect(page.locator("likeness-cards input:checked")).to_have_attribute("value", "night_v1")
    page.locator(".fold summary").click()
    negative = page.get_by_label("The negative prompt as the engine reads it")
    expect(negative).to_have_value("hat, white background, yellow background")
    positive = page.get_by_label("The prompt as the engine reads it")
    positive.fill("my own words, cartoon style")
    expect(page.get_by_text("Edited by hand")).to_be_visible()
    page.get_by_role("button", name="Reset", exact=True).click()
    expect(positive).to_have_value("nova_lk, long red hair, tan skin, smiling, wearing a green hoodie, dark blue background, cartoon style")
    keep(page, "composed")
    page.reload()
    expect(page.get_by_role("radio", name="Nova")).to_be_checked()


def test_a_style_goes_with_a_preset_into_the_picture_and_the_gallery_finds_it(studio: Running, visit: Open) -> None:
    page = visit()
    page.get_by_label("Prompt", exact=True).fill("portrait of a person with a bun")
    page.get_by_role("button", name="Show all").click()
    page.locator("#field-preset input[value='night_v1']").check()
    page.locator("#field-style input[value='ink_comic_v1']").check()
    expect(page.locator(".written-line")).to_have_text("portrait of a person with a bun, dark blue background, ink comic style")
    keep(page, "style")
    page.locator("#make").click()
    expect(page.get_by_text("Your picture is on the way")).to_be_visible()
    wait_until(lambda: not live(studio), 120, "the picture did not come")
    made = pictures(studio)[0]
    assert (made["recipe"]["preset"], made["recipe"]["style"]) == ("night_v1", "ink_comic_v1")
    page.get_by_role("tab", name="Gallery").click()
    page.locator("[data-filter=style] select").select_option("ink_comic_v1")
    expect(page.locator(".cell")).to_have_count(1)
    expect(page.locator(".cell")).to_have_attribute("data-picture", made["id"])
    # Reused, both are chosen again.
    page.locator(".cell").click()
    expect(page.locator("[data-fact=style]")).to_have_text("Ink comic")
    page.get_by_role("button", name="Use these settings").click()
    expect(page.locator("#field-style input:checked")).to_have_attribute("value", "ink_comic_v1")
    expect(page.locator("#field-preset input:checked")).to_have_attribute("value", "night_v1")


def test_a_grid_is_shown_as_it_was_asked_for(studio: Running, visit: Open) -> None:
    page = visit()
    page.get_by_role("radio", name="Nova").check(force=True)
    page.get_by_label("Prompt", exact=True).fill("portrait of a person")
    every_control(page)
    page.get_by_role("button", name="More settings").click()
    page.get_by_label("Across: what is varied").select_option("cfg")
    page.get_by_label("Across: the values").fill("2, 4")
    page.get_by_label("Down: what is varied").select_option("steps")
    page.get_by_label("Down: the values").fill("3, 5, 7")
    expect(page.locator(".sum")).to_have_text("2 × 3 grid = 6 jobs")
    page.locator("#make").click()
    expect(page.get_by_text("6 pictures on the way")).to_be_visible()
    expect(page.locator(".result")).to_have_count(6, timeout=180_000)
    labels = page.locator(".result-label").all_text_contents()
    assert labels == [f"Steps {steps} · CFG {cfg}" for steps in (3, 5, 7) for cfg in (2, 4)]
    keep(page, "grid")
    seeds = {picture["seed"] for picture in pictures(studio)[:6]}
    assert len(seeds) == 1


def test_references_times_variations(studio: Running, visit: Open, tmp_path: Path) -> None:
    page = visit(PHONE)
    page.get_by_role("radio", name="Nova").check(force=True)
    page.get_by_role("button", name="Start from a picture").click()
    page.get_by_role("button", name="Choose references").click()
    box = page.get_by_role("dialog", name="References")
    files = [drawing(tmp_path, f"reference-{number}") for number in range(2)]
    box.get_by_text("Add pictures").locator("input").set_input_files(files)
    expect(box.locator(".ref-card")).to_have_count(2)
    for number, words in enumerate(("at the sea", "in a park")):
        caption = box.locator(".ref-card").nth(number).get_by_placeholder("What it shows")
        caption.fill(words)
        caption.blur()
    expect(box.get_by_text("2 selected · clear all")).to_be_visible()
    keep(page, "references")
    box.get_by_role("button", name="Use these").click()
    # By key: where the page stands, the button for Generate may lie over it.
    every_control(page)
    page.get_by_role("button", name="More settings").press("Enter")
    page.locator("#field-variations").get_by_role("button", name="One more").click()
    page.locator("#field-steps input").fill("4")
    expect(page.locator(".sum")).to_have_text("2 references × 2 variations = 4 jobs")
    page.locator("#make").click()
    # Nobody has said yet whether these show a real person.
    expect(page.get_by_text("Say whether the picture to start from shows a real person.").first).to_be_visible()
    page.get_by_role("radio", name="No", exact=True).check()
    page.locator("#make").click()
    expect(page.get_by_text("4 pictures on the way")).to_be_visible()
    wait_until(lambda: not live(studio), 180, "the batch did not end")
    prompts = [picture["recipe"]["prompt"] for picture in pictures(studio)[:4]]
    assert sum("at the sea" in prompt for prompt in prompts) == 2
    assert sum("in a park" in prompt for prompt in prompts) == 2


def test_only_the_painted_part_is_drawn_anew(studio: Running, visit: Open) -> None:
    made = studio.post("generate?wait=60", {"prompt": "portrait of a person with black hair, wearing a red shirt", "steps": 8, "seed": 3})
    source = made["items"][0]  # pyright: ignore[reportIndexIssue,reportCallIssue,reportArgumentType]  # JSON
    page = visit()
    page.locator(".result").first.hover()
    page.get_by_role("button", name="Start from this picture: picture 1").click()
    page.get_by_role("button", name="Paint a mask").click()
    paper = page.locator(".mask-paper")
    expect(paper).to_be_visible()
    place = paper.bounding_box()
    assert place
    page.mouse.move(place["x"] + place["width"] * 0.2, place["y"] + place["height"] * 0.92)
    page.mouse.down()
    page.mouse.move(place["x"] + place["width"] * 0.8, place["y"] + place["height"] * 0.92, steps=6)
    page.mouse.up()
    keep(page, "mask")
    # It is seen on white: a good part of what is painted has a colour.
    coloured = paper.evaluate(
        "canvas => { const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height); let [all, tinted] = [0, 0];"
        " for (let at = 0; at < data.length; at += 4) if (data[at + 3] > 200) { all += 1; if (data[at + 2] < 150) tinted += 1; }"
        " return tinted / all; }"
    )
    assert coloured > 0.3
    # Strokes don't go without a question.
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Keep painting").click()
    page.get_by_role("button", name="Use this mask").click()
    expect(page.get_by_role("button", name="Change the mask")).to_be_visible()
    page.get_by_label("Prompt", exact=True).fill("portrait of a person with black hair, wearing a green shirt")
    page.locator("#make").click()
    expect(page.get_by_text("Your picture is on the way")).to_be_visible()
    wait_until(lambda: not live(studio) and pictures(studio)[0]["id"] != source["id"], 120, "the picture did not come")
    result = pictures(studio)[0]
    assert result["recipe"]["image"] == source["id"]
    before, after = (pixels(studio, each) for each in (source["id"], result["id"]))
    mask = pixels(studio, result["recipe"]["mask"])[..., 0]
    assert mask.shape == before.shape[:2]
    assert (mask == 255).mean() > 0.05, "the stripes are for the eye: what is painted is white"
    kept = mask == 0
    assert 0.5 < kept.mean() < 0.95
    assert np.array_equal(before[kept], after[kept])
    assert np.abs(before[~kept].astype(int) - after[~kept]).mean() > 5


def test_a_mask_asked_for_before_the_picture_is_known_is_painted_once_it_is(studio: Running, visit: Open) -> None:
    studio.post("generate?wait=60", {"prompt": "portrait of a person with white hair", "steps": 1, "seed": 5, "width": 64, "height": 64})
    page = visit()
    held: list[Route] = []
    page.locator(".result").first.hover()

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/api/v1/images/*", hold, times=1)
    page.get_by_role("button", name="Start from this picture: picture 1").click()
    paint = page.get_by_role("button", name="Paint a mask")
    paint.click()
    button = paint.element_handle()
    wait_until(lambda: page.evaluate("1") and bool(held), 20, "the picture was not asked for")
    expect(page.locator(".mask-paper")).to_have_count(0)
    for route in held:
        route.continue_()
    expect(page.locator(".mask-paper")).to_be_visible()
    assert button.evaluate("button => button.isConnected"), "the button was taken away while it could be pressed"


def test_a_painted_part_of_a_large_picture_leaves_its_size_and_the_rest(studio: Running, visit: Open, tmp_path: Path) -> None:
    Image.effect_noise((900, 600), 60).convert("RGB").save(tmp_path / "large.png")
    page = visit()
    page.get_by_role("button", name="Start from a picture").click()
    page.get_by_label("Choose a picture to start from").set_input_files(tmp_path / "large.png")
    page.get_by_role("button", name="Paint a mask").click()
    page.locator(".mask-paper").click()
    page.get_by_role("button", name="Use this mask").click()
    expect(page.get_by_text("keeps its size of 900 × 600 pixels")).to_be_visible()
    page.get_by_role("radio", name="No", exact=True).check()
    page.get_by_label("Prompt", exact=True).fill("portrait of a person with black hair")
    page.locator("#make").click()
    expect(page.get_by_text("Your picture is on the way")).to_be_visible()
    wait_until(lambda: not live(studio) and pictures(studio)[0]["width"] == 900, 120, "the picture did not come")
    result = pictures(studio)[0]
    keep(page, "mask-large")
    before, after = (pixels(studio, each) for each in (result["recipe"]["image"], result["id"]))
    kept = pixels(studio, result["recipe"]["mask"])[..., 0] == 0
    assert before.shape == after.shape == (600, 900, 3)
    assert np.array_equal(before[kept], after[kept])
    assert not np.array_equal(before, after)
    # Variations are of what was painted.
    page.locator(".result").first.hover()
    page.get_by_role("button", name="Make variations").first.click()
    expect(page.get_by_text("4 variations on the way")).to_be_visible()
    wait_until(lambda: not live(studio), 180, "the variations did not end")
    assert {(picture["width"], picture["height"]) for picture in pictures(studio)[:4]} == {(900, 600)}


def test_a_picture_becomes_the_portrait_and_is_varied(studio: Running, visit: Open) -> None:
    studio.post("generate?wait=60", {"prompt": "smiling", "character": "nova", "steps": 6})
    page = visit()
    page.locator(".result").first.hover()
    page.get_by_role("button", name="Set as portrait").first.click()
    expect(page.get_by_text("This is Nova's portrait now")).to_be_visible()
    expect(page.locator("likeness-who img.who-face")).to_have_count(1)
    newest = pictures(studio)[0]["id"]
    assert studio.get("characters/nova")["portrait"] == newest  # pyright: ignore[reportIndexIssue,reportCallIssue,reportArgumentType]  # JSON
    page.locator(".result").first.hover()
    page.get_by_role("button", name="Make variations").first.click()
    expect(page.get_by_text("4 variations on the way")).to_be_visible()
    wait_until(lambda: not live(studio), 180, "the variations did not end")
    assert all(picture["recipe"]["image"] == newest for picture in pictures(studio)[:4])
    # Jobs are called by whom they show, not by the word that the model knows them by.
    expect(page.locator(".row .prompt").first).to_have_text("Variations of Nova")
    expect(page.locator(".row", has_text="nova_lk")).to_have_count(0)


def pictures(studio: Running) -> list[dict[str, Any]]:
    return studio.get("images?limit=20")["items"]  # pyright: ignore[reportIndexIssue,reportCallIssue,reportArgumentType,reportReturnType]  # JSON


def live(studio: Running) -> bool:
    return bool(studio.get("jobs?state=queued&state=running")["items"])  # pyright: ignore[reportIndexIssue,reportCallIssue,reportArgumentType]  # JSON


def pixels(studio: Running, picture_id: str) -> np.ndarray[Any, Any]:
    import urllib.request

    with urllib.request.urlopen(f"{studio.url}/api/v1/images/{picture_id}/file") as answer:
        return np.asarray(Image.open(io.BytesIO(answer.read())).convert("RGB"))


def drawing(folder: Path, name: str) -> Path:
    path = folder / f"{name}.png"
    noise = np.random.default_rng(abs(hash(name)) % 1000).integers(0, 255, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((128, 128)).save(path)
    return path


def keep(page: Page, name: str) -> None:
    SCREENS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENS / f"{name}.png")
