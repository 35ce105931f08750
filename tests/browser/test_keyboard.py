"""The whole way by keyboard alone, from a studio nobody has used to a favourite picture; every stop shows that it has the focus."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops
from playwright.sync_api import Browser, Locator, Page, expect

from bench.rig import Running, running_studio, wait_until
from tests.browser.browsing import DESKTOP, HOME, PHONE, open_browser, open_page, usable

MOST_STOPS = 120
ROOM = 6
SCREENS = HOME / "test-results" / "screens"

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
        """Whether the screen changes when the focus goes; looked at where it lies still, for a page that loads moves its parts."""
        while True:
            box: Any = self.page.evaluate(BOX)
            changes = self.changes(box)
            if changes or self.page.evaluate(BOX) == box:
                return changes

    def changes(self, box: Any) -> bool:
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
def test_the_first_stop_leads_past_the_header(studio: Running, browser: Browser, size: tuple[int, int]) -> None:
    page, faults = open_page(browser, studio.url, size)
    # A click says where the next stop is looked for: here before the first of them.
    page.locator("likeness-header .brand").click()
    page.keyboard.press("Shift+Tab")
    skip = page.get_by_role("button", name="Skip to the tabs")
    expect(skip).to_be_focused()
    expect(skip).to_have_css("opacity", "1")
    page.keyboard.press("Enter")
    expect(page.get_by_role("tab", selected=True)).to_be_focused()
    expect(skip).to_have_css("opacity", "0")
    page.locator("likeness-header .brand").click()
    page.keyboard.press("Tab")
    expect(page.locator("likeness-header button:focus")).to_have_count(1)
    assert skip.evaluate("(node) => node === document.querySelector('button')"), "no stop comes before it"
    page.context.close()
    assert faults == []


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


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.timeout(900, func_only=True)
def test_from_photos_to_a_zip(studio: Running, browser: Browser, tmp_path: Path, size: tuple[int, int]) -> None:
    """What the newcomer's walk does by hand: photos, preset, preview, reload, cancel, references, reuse, compare, ZIP."""
    studio.post("characters", {"name": "Mara", "appearance": {"hair": "short black hair"}})
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, reduced_motion="reduce", accept_downloads=True)
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(studio.url)
    usable(page)
    keys, phone = Keys(page), size == PHONE
    look = "phone" if phone else "desktop"

    # Photos of somebody.
    keys.press(page.get_by_role("tab", name="Characters"))
    keys.press(page.get_by_role("button", name="Mara").first)
    expect(page.get_by_role("heading", name="Mara")).to_be_visible()
    with page.expect_file_chooser() as chooser:
        keys.press(page.get_by_role("button", name="Choose photos"))
    chooser.value.set_files([photo(tmp_path, "left", 320, 240), photo(tmp_path, "right", 240, 320)])
    expect(page.locator(".photo[data-photo]")).to_have_count(2)
    keep(page, f"keys-1-photos-{look}")

    # Two long jobs with a preset, one of them to be watched across a reload.
    keys.press(page.get_by_role("tab", name="Generate"), back=True)
    keys.reach(page.locator("likeness-who input:checked"))
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("radio", name="Mara")).to_be_checked()
    keys.reach(page.get_by_label("Prompt", exact=True))
    page.keyboard.type("smiling, wearing a green hoodie")
    if phone:
        keys.press(page.locator("#field-preset").get_by_role("button", name="Preset"))
    keys.reach(page.locator("#field-preset input:checked"))
    page.keyboard.press("ArrowDown")
    preset = page.locator("#field-preset input:checked").get_attribute("value")
    assert preset
    keys.press(page.get_by_role("button", name="Simple") if phone else page.get_by_role("button", name="Advanced"), back=True)
    keys.press(page.get_by_role("button", name="More settings"))
    keys.reach(page.locator("#field-steps input"))
    page.keyboard.type("100")
    keys.press(page.locator("#make"))
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelectorAll('.row[data-state=queued], .row[data-state=running]').length === 2")
    live = page.locator("img.picture.live")
    expect(live).to_be_in_viewport(ratio=0.5, timeout=240_000)
    keep(page, f"keys-2-preview-{look}")
    page.reload()
    usable(page)
    waiting = page.locator(".row[data-state=queued]").get_attribute("data-job")
    running = page.locator(".row[data-state=running]").get_attribute("data-job")
    if phone:
        keys.press(page.get_by_role("button", name="1 job running, 1 waiting. Show them."))
    keys.press(page.locator(f".row[data-job='{waiting}']").get_by_role("button", name="Cancel"))
    expect(page.locator(f".row[data-job='{waiting}']")).to_have_attribute("data-state", "cancelled")
    keep(page, f"keys-3-cancelled-{look}")
    if phone:
        page.keyboard.press("Escape")
    expect(page.locator(f".row[data-job='{running}']")).to_have_attribute("data-state", "done", timeout=300_000)
    assert pictures(studio)[0]["recipe"]["preset"] == preset

    # Two references, two variations of each.
    keys.press(page.get_by_role("button", name="Start from a picture"))
    keys.press(page.get_by_role("button", name="Choose references"))
    box = page.get_by_role("dialog", name="References")
    with page.expect_file_chooser() as chooser:
        keys.press(box.get_by_text("Add pictures").locator("input"))
    chooser.value.set_files([photo(tmp_path, "sea", 128, 128), photo(tmp_path, "park", 160, 128)])
    expect(box.locator(".ref-card")).to_have_count(2)
    for number, words in enumerate(("at the sea", "in a park")):
        keys.reach(box.locator(".ref-card").nth(number).get_by_placeholder("What it shows"))
        page.keyboard.type(words)
    keep(page, f"keys-4-references-{look}")
    keys.press(box.get_by_role("button", name="Use these"))
    expect(box).to_have_count(0)
    keys.press(page.get_by_role("radio", name="No", exact=True), "Space")
    keys.press(page.get_by_role("button", name="More settings"))
    keys.press(page.locator("#field-variations").get_by_role("button", name="One more"))
    keys.reach(page.locator("#field-steps input"))
    page.keyboard.press("Control+a")
    page.keyboard.type("4")
    expect(page.locator(".sum")).to_have_text("2 references × 2 variations = 4 jobs")
    keys.press(page.locator("#make"))
    wait_until(lambda: len(pictures(studio)) == 5, 240, "the batch did not end")
    prompts = [picture["recipe"]["prompt"] for picture in pictures(studio)[:4]]
    assert [sum(place in prompt for prompt in prompts) for place in ("at the sea", "in a park")] == [2, 2]
    keep(page, f"keys-5-batch-{look}")

    # The settings of one of them once more.
    expect(page.locator(".toast")).to_have_count(0)
    keys.press(page.get_by_role("tab", name="Gallery"), back=True)
    keys.press(page.locator(".cell[tabindex='0']"))
    keys.press(page.get_by_role("dialog", name="Picture").get_by_role("button", name="Use these settings"))
    expect(page.get_by_role("tab", name="Generate")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#field-seed input")).to_have_value(str(pictures(studio)[0]["seed"]))

    # Two side by side, and both as one file.
    expect(page.locator(".toast")).to_have_count(0)
    keys.press(page.get_by_role("tab", name="Gallery"), back=True)
    keys.press(page.locator(".cell[tabindex='0']"), "Space")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    expect(page.locator(".selection-bar p")).to_have_text("2 selected")
    keys.press(page.get_by_role("button", name="Compare"))
    compared = page.get_by_role("dialog", name="Compare two pictures")
    expect(compared.get_by_role("slider")).to_be_focused()
    page.keyboard.press("End")
    assert page.evaluate("document.querySelector('.compare-frame').style.getPropertyValue('--part')") == "100%"
    page.keyboard.press("Home")
    keep(page, f"keys-6-compare-{look}")
    page.keyboard.press("Escape")
    expect(compared).to_have_count(0)
    with page.expect_download() as download:
        keys.press(page.get_by_role("button", name="ZIP"))
    download.value.save_as(tmp_path / "pictures.zip")
    with zipfile.ZipFile(tmp_path / "pictures.zip") as parcel:
        assert sum(name.endswith(".png") for name in parcel.namelist()) == 2
    keep(page, f"keys-7-zip-{look}")
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


def photo(folder: Path, name: str, width: int, height: int) -> Path:
    path = folder / f"{name}.jpg"
    Image.radial_gradient("L").convert("RGB").resize((width, height)).save(path)
    return path


def keep(page: Page, name: str) -> None:
    SCREENS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENS / f"{name}.png")
