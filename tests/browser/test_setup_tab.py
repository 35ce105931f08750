"""The first run and the Setup tab in a real browser. Screenshots land in test-results/screens."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from bench.rig import Running, free_port, running_studio, wait_until
from tests.browser.browsing import DESKTOP, HOME, PHONE, open_browser, usable

SCREENS = HOME / "test-results" / "screens"
SIZES = pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])

# A key that presses a button clicks it, too.
COUNT_CLICKS = "window.clicks = 0; addEventListener('click', (event) => { window.clicks += event.isTrusted }, { capture: true })"

Open = Callable[..., Page]

expect.set_options(timeout=60_000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Running]:
    """A studio that nobody has used yet."""
    with running_studio(tmp_path / "data") as running:
        yield running


@pytest.fixture
def arrive(browser: Browser) -> Iterator[Open]:
    """Open a studio's address as a newcomer; when the test ends, no page may have had a fault in its scripts."""
    opened: list[Page] = []
    faults: list[str] = []

    def open_one(studio: Running, size: tuple[int, int] = DESKTOP, *, dark: bool = False) -> Page:
        width, height = size
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light")
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.add_init_script(COUNT_CLICKS)
        opened.append(page)
        page.goto(studio.url)
        page.wait_for_function("document.documentElement.dataset.welcome")
        return page

    yield open_one
    for page in opened:
        page.context.close()
    assert faults == []


def test_just_show_me_is_one_click_to_a_picture(fresh: Running, arrive: Open) -> None:
    begun = time.monotonic()
    page = arrive(fresh, PHONE)
    expect(page.get_by_role("tab", name="Setup")).to_have_attribute("aria-selected", "true")
    page.get_by_role("button", name="Just show me").click()
    expect(page.locator("likeness-setup .one-easel img.picture")).to_be_visible()
    expect(page.get_by_role("heading", name="This is Nova")).to_be_visible()
    expect(page.locator(".walk-steps [aria-current=step]")).to_contain_text("First picture")
    expect(page.locator(".walk-kept")).to_contain_text("The starter model still draws each face anew")
    assert time.monotonic() - begun < 60
    assert page.evaluate("window.clicks") == 1
    keep(page, "just-show")
    shown: Any = fresh.get("images?limit=10")
    people: Any = fresh.get("characters")
    assert shown["total"] == 1
    assert [one["name"] for one in people["items"]] == ["Nova"]
    assert shown["items"][0]["character_id"] == people["items"][0]["id"]

    page.get_by_role("button", name="Open Generate").click()
    expect(page.get_by_role("tab", name="Generate")).to_have_attribute("aria-selected", "true")
    wait_until(lambda: fresh.get("welcome") == {"fresh": False, "walked_through": True}, 10, "the end was not kept")
    page.reload()
    usable(page)
    expect(page.get_by_role("tab", name="Generate")).to_have_attribute("aria-selected", "true")


def test_the_walkthrough_leads_from_nothing_to_a_picture_by_keyboard(fresh: Running, arrive: Open) -> None:
    begun = time.monotonic()
    page = arrive(fresh, dark=True)
    page.get_by_role("button", name="Show me around").press("Enter")
    expect(page.get_by_role("heading", name="A quick check-up")).to_be_focused()
    # One sentence; what was looked at is a click away, and versions and paths are another.
    expect(page.locator(".checks-fold")).to_be_visible()
    expect(page.locator(".checks.well")).to_be_hidden()
    page.locator(".checks-fold summary").press("Enter")
    expect(page.get_by_text("There is enough room on the drive")).to_be_visible()
    expect(page.get_by_text("free on the drive of the data folder")).to_be_hidden()
    page.get_by_role("button", name="Technical details").press("Enter")
    expect(page.get_by_text("free on the drive of the data folder")).to_be_visible()
    page.get_by_role("button", name="Continue").press("Enter")
    page.get_by_label("Name", exact=True).fill("Mara")
    page.get_by_label("Looks, in a few words").fill("34, woman, short black hair, brown skin, green eyes, round glasses, red hoodie")
    page.get_by_role("button", name="Continue with Mara").press("Enter")
    expect(page.get_by_role("heading", name="A first picture of Mara")).to_be_focused()
    written = page.locator(".walk-written")
    expect(written).to_contain_text("short black hair, brown skin, green eyes, round glasses, wearing red hoodie, portrait of a woman")
    expect(written).to_contain_text("mara_lk is the trigger word")
    page.reload()
    # It goes on where it was.
    expect(page.get_by_role("heading", name="A first picture of Mara")).to_be_focused()
    page.get_by_role("button", name="Make the picture").press("Enter")
    expect(page.get_by_role("heading", name="This is Mara")).to_be_visible()
    expect(page.get_by_role("button", name="Open Generate")).to_be_focused()
    assert time.monotonic() - begun < 120
    people: Any = fresh.get("characters")
    looks = people["items"][0]["appearance"]
    assert (looks["hair"], looks["skin"], looks["eyes"], looks["marks"]) == ("short black hair", "brown", "green", "round glasses")
    assert (looks["age"], looks["gender"], people["items"][0]["wardrobe"]) == (34, "woman", "red hoodie")
    page.keyboard.press("Enter")
    expect(page.locator("likeness-chip")).to_contain_text("Mara")
    # Her picture is her face wherever she is shown, and nobody asks for her looks again.
    expect(page.locator("#field-character img.who-face")).to_be_visible()
    expect(page.get_by_label("Prompt", exact=True)).to_have_attribute("placeholder", re.compile("^smiling, wearing"))


def test_a_person_described_in_a_sentence_is_understood_and_another_picture_becomes_their_face(fresh: Running, arrive: Open) -> None:
    page = arrive(fresh, PHONE)
    page.get_by_role("button", name="Show me around").click()
    page.get_by_role("button", name="Continue").click()
    page.get_by_label("Name", exact=True).fill("Tilda")
    page.get_by_label("Looks, in a few words").fill(
        "A tall dark-skinned woman of 45 with black and white hair and blue eyes, freckles, wearing a red hoodie"
    )
    page.get_by_role("button", name="Continue with Tilda").click()
    expect(page.get_by_text("A 45-year-old woman with black and white hair, dark skin and blue eyes; tall, freckles.")).to_be_visible()
    expect(page.locator(".walk-written")).to_contain_text("can't draw “tall”, “freckles”: they are left out here")
    people: Any = fresh.get("characters")
    looks, wardrobe = people["items"][0]["appearance"], people["items"][0]["wardrobe"]
    told = {"gender": "woman", "age": 45, "hair": "black and white hair", "skin": "dark", "eyes": "blue", "marks": "tall, freckles"}
    assert ({name: looks[name] for name in told}, wardrobe) == (told, "a red hoodie")

    page.get_by_role("button", name="Make the picture").click()
    another = page.get_by_role("button", name="Another one")
    expect(another).to_be_visible()
    another.click()
    expect(another).to_be_hidden()
    expect(another).to_be_visible()

    def newest_is_the_portrait() -> bool:
        people: Any = fresh.get("characters")
        pictures: Any = fresh.get("images")
        return len(pictures["items"]) == 2 and people["items"][0]["portrait"] == pictures["items"][0]["id"]

    wait_until(newest_is_the_portrait, 20, "the one that was asked for did not become the portrait")


def test_a_walkthrough_can_be_left_and_begun_again(fresh: Running, arrive: Open) -> None:
    page = arrive(fresh, PHONE)
    page.get_by_role("button", name="Skip for now").click()
    expect(page.get_by_role("tab", name="Generate")).to_have_attribute("aria-selected", "true")
    wait_until(lambda: fresh.get("welcome") == {"fresh": False, "walked_through": True}, 10, "the skip was not kept")
    page.reload()
    usable(page)
    expect(page.get_by_role("tab", name="Generate")).to_have_attribute("aria-selected", "true")
    page.get_by_role("tab", name="Setup").click()
    page.get_by_role("button", name="Start the walkthrough").click()
    expect(page.get_by_role("heading", name="Pictures of someone who stays the same")).to_be_focused()


def test_a_setting_and_the_address_of_comfyui_are_saved_at_once_and_a_wrong_one_is_told_in_its_place(fresh: Running, arrive: Open) -> None:
    page = arrive(fresh)
    page.get_by_role("button", name="Skip for now").click()
    page.get_by_role("tab", name="Setup").click()
    expect(page.locator(".check").first).to_be_visible()

    port = page.get_by_label("Port", exact=True)
    port.fill("99999")
    port.press("Enter")
    expect(page.locator("[data-setting=port] .field-error")).to_have_text("Port can be 65535 at most.")
    port.fill("7999")
    port.press("Enter")
    expect(page.locator("[data-setting=port] .waits")).to_have_text("Applies after the next start")
    expect(page.locator("#toasts")).to_contain_text("Saved: Port")
    page.get_by_role("switch", name="Open the browser at the start").click()
    expect(page.locator("[data-setting=open_browser] .waits")).to_be_visible()
    assert setting(fresh, "port")["value"] == 7999
    assert setting(fresh, "open_browser")["value"] is False
    page.get_by_role("button", name="Back to the default: 7860").click()
    expect(page.locator("[data-setting=port] .waits")).to_have_count(0)
    expect(page.locator("[data-setting=data] input")).to_be_disabled()
    keep(page, "setup")

    # An address where nobody answers: asked first, then told in words that are true in this place, and in the page's title line too.
    expect(page.locator(".setup-summary")).to_have_text("All is well: this computer is ready to make pictures.")
    card = page.locator(".comfy-card")
    page.get_by_label("Address of a running ComfyUI").fill(f"http://127.0.0.1:{free_port()}")
    card.get_by_role("button", name="Connect", exact=True).click()
    expect(card.locator(".tag")).to_have_text("Asking …")
    expect(card.locator(".engine-trouble")).to_be_hidden()
    expect(page.locator("#toasts")).not_to_contain_text("address")
    expect(card.locator(".tag")).to_have_text("Offline")
    expect(card.locator(".engine-trouble")).to_contain_text("Start ComfyUI there, or correct its address.")
    expect(card).not_to_contain_text("Setup tab")
    expect(page.locator(".setup-summary")).to_contain_text("1 thing could be better")
    expect(page.locator(".check[data-status=warn]")).to_contain_text("ComfyUI")
    keep(page, "setup-comfyui-offline")
    card.get_by_role("button", name="Ask again").click()
    expect(card.locator(".tag")).to_have_text("Asking …")
    expect(card.locator(".tag")).to_have_text("Offline")


@SIZES
def test_simple_and_advanced_are_remembered(fresh: Running, arrive: Open, size: tuple[int, int]) -> None:
    page = arrive(fresh, size)
    page.get_by_role("button", name="Skip for now").click()
    page.get_by_role("tab", name="Setup").click()
    hidden = page.locator("[data-setting=threads]")
    expect(page.locator("[data-setting=port]")).to_be_visible()
    expect(hidden).to_be_hidden()
    if size == PHONE:
        more = page.locator(".level-button")
        expect(more).to_have_text("Simple")
        more.press("Enter")
        expect(more).to_have_text("Advanced")
    else:
        more = page.get_by_role("button", name="Advanced", exact=True)
        expect(more).to_have_attribute("aria-pressed", "false")
        more.press("Enter")
        expect(more).to_have_attribute("aria-pressed", "true")
    expect(hidden).to_be_visible()
    page.reload()
    usable(page)
    assert page.evaluate("document.documentElement.dataset.level") == "advanced"
    page.evaluate("window.heard = []; document.addEventListener('likeness:level', (event) => heard.push(event.detail))")
    if size == PHONE:
        more.click()
    else:
        page.get_by_role("button", name="Simple", exact=True).click()
    assert page.evaluate("[heard, document.documentElement.dataset.level]") == [["simple"], "simple"]


def setting(studio: Running, name: str) -> dict[str, Any]:
    found: Any = studio.get("settings")
    return next(item for item in found["items"] if item["name"] == name)


def keep(page: Page, name: str) -> None:
    SCREENS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENS / f"{name}.png")
