"""Every control on the page is named and explained in plain words, on each tab and in what opens from it; and it fits from 390 px to 4K."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from bench.rig import Running, running_studio
from tests.browser.browsing import DESKTOP, HOME, PHONE, every_control, open_browser, open_page
from tests.browser.test_train_tab import face, make_active, show_training

SCREENS = HOME / "test-results" / "screens"
WIDE = (3840, 2160)

expect.set_options(timeout=60_000)

# Pictures, people and templates are opened by touching them; ideas and chips say in full what they put in.
CONTROLS = """() => {
    const own = 'button, input:not([type=hidden]), select, textarea, a.button';
    const plain = '.tile, .cell, .idea, .chip-word, [role=tab], [role=option], .label-wrap, .person-open, .template, '
        + '.form-step, .file-input';
    const home = [...document.querySelectorAll('dialog[open]')].at(-1) ?? document.body;
    const shown = (node) => node.checkVisibility({ visibilityProperty: true }) && node.getBoundingClientRect().width > 0;
    const about = '[data-tip], [title], [aria-description], [aria-describedby]';
    const explained = (node) => node.closest(about) || node.closest('[id^=field-]')?.querySelector('.info-text[data-tip]')
        || node.closest('label, .field, .setting')?.querySelector('small, .info-text, .hint, .train-about, [data-tip]');
    const name = (node) => (node.getAttribute('aria-label') || node.innerText || node.labels?.[0]?.innerText || '').trim();
    const named = (node) => name(node) || node.getAttribute('aria-labelledby');
    return [...home.querySelectorAll(own)]
        .filter((node) => shown(node) && !node.closest(plain) && !(explained(node) && named(node)))
        .map((node) => `${node.tagName.toLowerCase()}.${node.className} “${name(node).slice(0, 50)}”`);
}"""


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_studio(tmp_path_factory.mktemp("explained") / "data") as running:
        running.post("characters", {"name": "Nova", "appearance": {"hair": "long red hair", "skin": "tan"}})
        for number in range(2):
            running.post("generate?wait=110", {"prompt": "smiling", "character": "nova", "steps": 3, "seed": number})
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


def test_every_control_is_named_and_explained(studio: Running, browser: Browser) -> None:
    page, faults = open_page(browser, studio.url)
    every_control(page)
    lacking: list[str] = []
    look = looking(page, lacking)

    page.get_by_role("button", name="More settings").click()
    page.get_by_role("button", name="Start from a picture").click()
    page.get_by_role("button", name="Choose references").wait_for()
    look("generate")
    page.get_by_role("button", name="Choose references").click()
    look("references")
    page.keyboard.press("Escape")
    page.locator(".result").first.hover()
    page.get_by_role("button", name="Start from this picture: picture 1").click()
    page.get_by_role("button", name="Paint a mask").click()
    page.locator(".mask-paper").wait_for()
    look("mask")
    page.keyboard.press("Escape")
    page.get_by_role("tab", name="Gallery").click()
    page.locator(".cell").first.wait_for()
    look("gallery")
    page.locator(".cell").first.click()
    look("lightbox")
    page.keyboard.press("Escape")
    page.get_by_role("tab", name="Characters").click()
    page.get_by_role("button", name="Nova").first.wait_for()
    look("characters")
    page.get_by_role("button", name="Nova").first.click()
    expect(page.get_by_role("heading", name="Nova")).to_be_visible()
    look("one character")
    for tab in ("Train", "Analytics"):
        page.get_by_role("tab", name=tab).click()
        look(tab)
    assert not lacking, "\n".join(lacking)
    assert faults == []
    page.context.close()


def test_every_control_of_the_walkthrough_is_explained(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> None:
    with running_studio(tmp_path_factory.mktemp("walked") / "data") as fresh:
        context = browser.new_context(viewport={"width": DESKTOP[0], "height": DESKTOP[1]})
        page = context.new_page()
        page.goto(fresh.url)
        page.wait_for_function("document.documentElement.dataset.welcome === 'shown'")
        assert page.evaluate(CONTROLS) == []
        page.get_by_role("button", name="Show me around").click()
        expect(page.locator(".checks-fold")).to_be_visible()
        assert page.evaluate(CONTROLS) == []
        page.get_by_role("button", name="Continue").click()
        page.get_by_label("Name", exact=True).wait_for()
        assert page.evaluate(CONTROLS) == []
        context.close()


def test_every_control_of_setup_datasets_and_training_is_named_and_explained(studio: Running, browser: Browser) -> None:
    with httpx.Client(base_url=f"{studio.url}/api/v1/", timeout=60) as api:
        files = [("file", (f"{number}.png", face(number), "image/png")) for number in range(4)]
        assert api.post("characters/nova/images", files=files).status_code == 201
        api.post("datasets", json={"character": "nova"})
        made = api.post("datasets", json={"character": "nova"}).json()
        assert api.post(f"datasets/{made['id']}/images", files=files).status_code == 201
    page, faults = open_page(browser, studio.url)
    every_control(page)
    lacking: list[str] = []
    look = looking(page, lacking)

    def look_into(name: str, within: str = "") -> None:
        page.locator(within or "body").get_by_role("button", name=name, exact=True).locator("visible=true").first.click()
        page.get_by_role("dialog").locator("visible=true").last.wait_for()
        look(f"“{name}”")
        page.keyboard.press("Escape")

    page.get_by_role("tab", name="Setup").click()
    page.locator(".comfy-card").wait_for()
    for fold in page.locator("#panel-setup details:not([open]) > summary, likeness-setup details:not([open]) > summary").all():
        fold.click()
    look("setup")

    make_active(page, studio, "nova")
    show_training(page)
    expect(page.locator(".train-learns")).to_contain_text("Nova is learned from")
    page.get_by_text("More settings", exact=True).locator("visible=true").click()
    look("training")
    page.locator(".train-views").get_by_role("button", name="Pictures").click()
    page.locator(".dataset-cell img").first.wait_for()
    look("dataset")
    for name in ("New", "Rename the dataset", "Captions …", "Write captions …"):
        look_into(name, "likeness-datasets")
    page.locator(".dataset-cell").first.focus()
    page.keyboard.press(" ")
    look("selection")
    for name in ("Crop …", "Move …", "Tags …"):
        look_into(name, "likeness-datasets")
    page.get_by_role("tab", name="Characters").click()
    page.get_by_role("button", name="Nova").first.click()
    look_into("Character sheet …")
    assert not lacking, "\n".join(lacking)
    assert faults == []
    page.context.close()


def test_a_finger_that_stays_reads_what_a_sign_does_and_does_not_press_it(studio: Running, browser: Browser) -> None:
    page, faults = open_page(browser, studio.url, PHONE)
    sign = page.locator(".theme-button")
    before, tip = page.evaluate("document.documentElement.className + document.body.className"), page.locator("#tip")
    hold(page, sign)
    expect(tip).to_be_visible()
    expect(tip).to_have_text(str(sign.get_attribute("data-tip")))
    assert page.evaluate("document.documentElement.className + document.body.className") == before, "it was only read"
    # The next touch presses, and the words go.
    sign.tap()
    expect(tip).to_be_hidden()
    page.wait_for_function("(before) => document.documentElement.className + document.body.className !== before", arg=before)
    # Whoever moves on is scrolling.
    hold(page, sign, by=40)
    expect(tip).to_be_hidden()
    assert faults == []
    page.context.close()


def looking(page: Page, lacking: list[str]) -> Callable[[str], None]:
    """What notes the controls that are seen now and lack a name or an explanation, under the words that it is given."""

    def look(where: str) -> None:
        page.wait_for_timeout(600)
        found: Any = page.evaluate(CONTROLS)
        lacking.extend(f"{where}: {one}" for one in found)

    return look


def hold(page: Page, at: Locator, *, by: int = 0) -> None:
    """Lay a finger on something for a second, and move it by so many pixels."""
    box = at.bounding_box()
    assert box is not None
    place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    touch = page.context.new_cdp_session(page)
    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [place]})
    if by:
        touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [{**place, "y": place["y"] + by}]})
    page.wait_for_timeout(1000)
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.wait_for_timeout(200)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_page_fills_a_4k_screen(studio: Running, browser: Browser, dark: bool) -> None:
    page, faults = open_page(browser, studio.url, WIDE, dark=dark)
    for tab in ("Generate", "Gallery", "Characters", "Train", "Analytics", "Setup"):
        page.get_by_role("tab", name=tab).click()
        page.wait_for_timeout(800)
        keep(page, f"4k-{tab.lower()}-{'dark' if dark else 'light'}")
        across = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert across[0] <= across[1], f"{tab} can be moved sideways"
        # No line of text is as long as the screen: nobody can follow it.
        long: Any = page.evaluate(LONG_LINES)
        assert long == [], tab
    assert faults == []
    page.context.close()


# Words of one line, broader than a hundred and sixty of their letters.
LONG_LINES = """() => [...document.querySelectorAll('p, li, dd, label, small')].filter((node) => {
    if (!node.checkVisibility() || [...node.children].length) return false;
    const range = document.createRange();
    range.selectNodeContents(node);
    return range.getBoundingClientRect().width > 80 * parseFloat(getComputedStyle(node).fontSize);
}).map((node) => node.textContent.slice(0, 60))"""


def keep(page: Page, name: str) -> None:
    SCREENS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENS / f"{name}.png")
