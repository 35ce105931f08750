"""The whole way by keyboard alone, from a studio nobody has used to a favourite picture; every stop shows that it has the focus."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops
from playwright.sync_api import Browser, Locator, Page, expect

from bench.rig import Running, running_studio, wait_until
from tests.browser.browsing import DESKTOP, PHONE, open_browser

MOST_STOPS = 80
ROOM = 6

expect.set_options(timeout=60_000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Running]:
    """A studio that nobody has used yet."""
    with running_studio(tmp_path / "data") as running:
        yield running


class Keys:
    """A person without a mouse: Tab until the wanted part has the focus, and what was seen of the focus on the way."""

    def __init__(self, page: Page) -> None:
        self.page, self.unseen, self.known = page, list[str](), set[str]()

    def reach(self, wanted: Locator, *, back: bool = False) -> Locator:
        wanted.wait_for(state="attached")
        way: list[str] = []
        for _ in range(MOST_STOPS):
            self.page.keyboard.press("Shift+Tab" if back else "Tab")
            way.append(self.look())
            if wanted.evaluate("(node) => node === document.activeElement"):
                return wanted
        raise AssertionError(f"{wanted} can't be reached by Tab; the focus went to: " + " > ".join(way))

    def press(self, wanted: Locator, key: str = "Enter", *, back: bool = False) -> None:
        self.reach(wanted, back=back)
        self.page.keyboard.press(key)

    def look(self) -> str:
        """The name of what has the focus; remembers it when nothing on the screen says so."""
        name: str = self.page.evaluate(NAME)
        if name and name not in self.known:
            self.known.add(name)
            if not self.shown():
                self.unseen.append(f"{name} {self.page.evaluate(BOX)}")
        return name

    def shown(self) -> bool:
        box: Any = self.page.evaluate(BOX)
        width, height = self.page.viewport_size["width"], self.page.viewport_size["height"]  # pyright: ignore[reportOptionalSubscript]
        left, top = max(0, box["x"] - ROOM), max(0, box["y"] - ROOM)
        right, bottom = min(width, box["x"] + box["width"] + ROOM), min(height, box["y"] + box["height"] + ROOM)
        if right - left < 1 or bottom - top < 1:
            return False
        clip: Any = {"x": left, "y": top, "width": right - left, "height": bottom - top}
        with_focus = self.picture(clip)
        self.page.evaluate("window.stop = document.activeElement; stop.blur()")
        without = self.picture(clip)
        self.page.evaluate("stop.focus({ preventScroll: true, focusVisible: true })")
        return ImageChops.difference(with_focus, without).getbbox() is not None

    def picture(self, clip: Any) -> Image.Image:
        return Image.open(io.BytesIO(self.page.screenshot(clip=clip, animations="disabled"))).convert("RGB")


# The body stands for the browser's own bar, which is no stop of ours.
NAME = """() => {
    const node = document.activeElement;
    if (node === document.body) return '';
    const words = node.getAttribute('aria-label') || node.labels?.[0]?.innerText || node.innerText || node.placeholder || '';
    return `${node.tagName.toLowerCase()}.${node.className} “${words.trim().slice(0, 40)}”`;
}"""
# A hidden radio or tick is drawn by its label.
BOX = """() => {
    const node = document.activeElement;
    const box = node.getBoundingClientRect();
    const small = box.width < 8 || box.height < 8 || getComputedStyle(node).opacity === '0';
    return ((small && (node.labels?.[0] ?? node.parentElement)) || node).getBoundingClientRect().toJSON();
}"""


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_from_the_first_run_to_a_favourite_picture(studio: Running, browser: Browser, size: tuple[int, int]) -> None:
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, reduced_motion="reduce")
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(studio.url)
    page.wait_for_function("document.documentElement.dataset.welcome === 'shown'")
    keys = Keys(page)

    # First run: somebody ready-made, and a first picture.
    keys.press(page.get_by_role("button", name="Show me around"))
    expect(page.locator(".checks-fold")).to_be_visible()
    keys.press(page.get_by_role("button", name="Continue"))
    keys.press(page.get_by_role("button", name="Nova"), "Space")
    keys.press(page.get_by_role("button", name="Continue with Nova"))
    keys.press(page.get_by_role("button", name="Make the picture"))
    expect(page.get_by_role("heading", name="This is Nova")).to_be_visible()
    expect(page.get_by_role("button", name="Open Generate")).to_be_focused()
    page.keyboard.press("Enter")

    # A prompt of one's own.
    expect(page.get_by_role("tab", name="Generate")).to_have_attribute("aria-selected", "true")
    keys.reach(page.get_by_label("Prompt", exact=True))
    page.keyboard.type("smiling, wearing a green hoodie")
    keys.press(page.locator("#make"))
    wait_until(lambda: len(pictures(studio)) == 2, 120, "the picture did not come")
    assert "wearing a green hoodie" in pictures(studio)[0]["recipe"]["prompt"]
    expect(page.locator(".result").first).to_be_visible()

    # A message lies over the page for a moment.
    expect(page.locator(".toast")).to_have_count(0)

    # Gallery, lightbox, next and previous.
    keys.press(page.get_by_role("tab", name="Gallery"))
    first = keys.reach(page.locator(".cell[tabindex='0']"))
    page.keyboard.press("Enter")
    box = page.get_by_role("dialog", name="Picture")
    expect(box.locator(".viewer-count")).to_have_text("1 of 2")
    keys.press(box.get_by_role("button", name="Next picture (→)"))
    expect(box.locator(".viewer-count")).to_have_text("2 of 2")
    page.keyboard.press("ArrowLeft")
    expect(box.locator(".viewer-count")).to_have_text("1 of 2")

    # A favourite, and back to where it began.
    keys.press(box.get_by_role("button", name="Favourite (F)"))
    wait_until(lambda: bool(pictures(studio)[0]["favourite"]), 10, "the heart was not kept")
    page.keyboard.press("Escape")
    expect(box).to_be_hidden()
    expect(first).to_be_focused()
    keys.press(page.get_by_role("tab", name="Generate"), back=True)
    keys.reach(page.locator("#make"))
    assert not keys.unseen, "\n".join(keys.unseen)
    context.close()


def test_somebody_from_a_template_without_the_walkthrough(studio: Running, browser: Browser) -> None:
    context = browser.new_context(viewport={"width": DESKTOP[0], "height": DESKTOP[1]}, reduced_motion="reduce", color_scheme="dark")
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(studio.url)
    page.wait_for_function("document.documentElement.dataset.welcome === 'shown'")
    keys = Keys(page)
    keys.press(page.get_by_role("button", name="Skip for now"))
    expect(page.get_by_role("tab", name="Generate")).to_have_attribute("aria-selected", "true")
    keys.press(page.get_by_role("tab", name="Characters"))
    keys.press(page.get_by_role("button", name="Kai").first)
    expect(page.get_by_label("Name", exact=True)).to_have_value("Kai")
    keys.reach(page.get_by_role("button", name="Create character"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Kai")).to_be_visible()
    keys.press(page.get_by_role("button", name="Make pictures"))
    expect(page.get_by_role("tab", name="Generate")).to_have_attribute("aria-selected", "true")
    expect(page.locator("likeness-chip")).to_contain_text("Kai")
    assert not keys.unseen, "\n".join(keys.unseen)
    context.close()


def pictures(studio: Running) -> list[dict[str, Any]]:
    found: Any = studio.get("images?limit=10")
    return found["items"]
