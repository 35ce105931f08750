"""Every control on the page is named and explained in plain words, on each tab and in what opens from it; and it fits from 390 px to 4K."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from bench.rig import Running, running_studio
from tests.browser.browsing import DESKTOP, HOME, every_control, open_browser, open_page

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
        || node.closest('label, .field, .setting')?.querySelector('small, .info-text, .hint, [data-tip]');
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

    def look(where: str) -> None:
        page.wait_for_timeout(600)
        found: Any = page.evaluate(CONTROLS)
        lacking.extend(f"{where}: {one}" for one in found)

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
