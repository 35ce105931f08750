"""Every part of the page, looked at by axe-core: it finds no fault, great or small. Screenshots land in test-results/screens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from bench.rig import Running, running_studio
from tests.browser.browsing import DESKTOP, HOME, PHONE, open_browser, open_page

SCREENS = HOME / "test-results" / "screens"
LOOKS = pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
COLOURS = pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])

expect.set_options(timeout=30_000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A studio that nobody has used yet."""
    with running_studio(tmp_path_factory.mktemp("axe") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A studio with somebody in it, and pictures of her and of somebody else."""
    with running_studio(tmp_path_factory.mktemp("axe") / "data") as running:
        running.post("characters", {"name": "Nova", "appearance": {"hair": "long red hair", "skin": "tan"}})
        running.post("generate?wait=60", {"prompt": "smiling", "character": "nova", "count": 4, "steps": 4})
        running.post("generate?wait=60", {"prompt": "portrait of a person with black hair", "steps": 4, "seed": 3})
        yield running


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "beach.png"
    Image.radial_gradient("L").convert("RGB").resize((256, 256)).save(path)
    return path


class Inspection:
    """One page, and what axe-core found on its way through it."""

    def __init__(self, page: Page, look: str) -> None:
        page.set_default_timeout(20_000)
        self.page, self.look, self.faults = page, look, list[str]()
        page.emulate_media(reduced_motion="reduce")
        # Fading parts have colours that are nobody's choice.
        page.add_style_tag(content="*, *::before, *::after { transition: none !important; animation: none !important }")

    def look_at(self, scene: str) -> None:
        self.page.mouse.move(0, 0)
        SCREENS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENS / f"axe-{scene}-{self.look}.png")
        found = faults(self.page)
        if any(fault.startswith("color-contrast") for fault in found):
            # What lies half under a bar is measured against the bar: a fault of the colours is there wherever the page stands.
            self.page.evaluate("window.scrollBy(0, 90)")
            still = {fault.partition(":")[0] for fault in faults(self.page)}
            self.page.evaluate("window.scrollBy(0, -90)")
            found = [fault for fault in found if not fault.startswith("color-contrast") or fault.partition(":")[0] in still]
        self.faults += [f"{scene}: {fault}" for fault in found]

    def show_everything(self) -> None:
        self.page.locator("button[data-level=advanced], .level-button").locator("visible=true").click()

    def show_little(self) -> None:
        self.page.locator("button[data-level=simple], .level-button").locator("visible=true").click()

    def tab(self, name: str) -> None:
        self.page.get_by_role("tab", name=name).click()


def faults(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{one['id']} at {node['target']}: {node['failureSummary']}" for one in found for node in one["nodes"]]


def begin(page: Page, size: tuple[int, int], dark: bool) -> Inspection:
    return Inspection(page, f"{'phone' if size == PHONE else 'desktop'}-{'dark' if dark else 'light'}")


def test_a_fault_would_be_seen(stocked: Running, browser: Browser) -> None:
    page, _ = open_page(browser, stocked.url)
    page.evaluate("document.querySelector('#form').append(document.createElement('button'))")
    assert [fault.split(" at ")[0] for fault in faults(page)] == ["button-name"]
    page.context.close()


@COLOURS
@LOOKS
def test_the_first_run_shuts_nobody_out(fresh: Running, browser: Browser, size: tuple[int, int], dark: bool) -> None:
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme="dark" if dark else "light")
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(fresh.url)
    page.wait_for_function("document.documentElement.dataset.welcome === 'shown'")
    seen = begin(page, size, dark)
    expect(page.get_by_role("heading", name="Pictures of someone who stays the same")).to_be_visible()
    seen.look_at("first-run-1")
    page.get_by_role("button", name="Show me around").click()
    expect(page.locator(".checks-fold")).to_be_visible()
    seen.look_at("first-run-2")
    page.get_by_role("button", name="Continue").click()
    expect(page.locator(".template").first).to_be_visible()
    page.locator(".template").first.click()
    seen.look_at("first-run-3")
    seen.show_everything()
    empty = {
        "Generate": "#make",
        "Characters": "likeness-characters h3",
        "Train": ".train-empty h3",
        "Gallery": ".empty h2",
        "Analytics": ".empty h2",
    }
    for tab, scene in empty.items():
        seen.tab(tab)
        page.locator(scene).locator("visible=true").first.wait_for()
        seen.look_at(f"empty-{tab.lower()}")
    context.close()
    assert not seen.faults, "\n".join(seen.faults)


@COLOURS
@LOOKS
def test_the_studio_shuts_nobody_out(stocked: Running, browser: Browser, photo: Path, size: tuple[int, int], dark: bool) -> None:
    page, _ = open_page(browser, stocked.url, size, dark=dark)
    seen = begin(page, size, dark)

    # Generate
    seen.look_at("generate-simple")
    seen.show_everything()
    page.get_by_role("radio", name="Nova").check(force=True)
    page.get_by_label("Prompt", exact=True).fill("smiling, wearing a green hoodie")
    expect(page.locator(".written-line")).to_contain_text("green hoodie")
    seen.look_at("generate")
    page.get_by_role("button", name="Start from a picture").press("Enter")
    page.get_by_role("button", name="More settings").press("Enter")
    page.locator(".fold summary").click()
    page.get_by_label("Across: what is varied").select_option("cfg")
    seen.look_at("generate-open")
    page.locator("#field-steps input").fill("0")
    page.locator("#make").click()
    expect(page.locator(".field-error").first).to_be_visible()
    seen.look_at("generate-fault")
    page.locator("#field-steps input").fill("")

    # References and masks
    page.get_by_role("button", name="Choose references").click()
    box = page.get_by_role("dialog", name="References")
    box.get_by_text("Add pictures").locator("input").set_input_files(photo)
    expect(box.locator(".ref-card input:checked")).to_have_count(1)
    seen.look_at("references")
    box.get_by_role("button", name="Use these").click()
    expect(page.get_by_text("Do they show real people?")).to_be_visible()
    seen.look_at("generate-references")
    if size == PHONE:
        page.get_by_role("button", name="Show the picture large").click()
    page.locator(".result").first.hover()
    page.get_by_role("button", name="Start from this picture: picture 1").first.click()
    page.get_by_role("button", name="Paint a mask").click()
    expect(page.locator(".mask-paper")).to_be_visible()
    seen.look_at("mask")
    page.get_by_role("button", name="Cancel", exact=True).click()
    seen.look_at("generate-source")

    # Characters
    seen.tab("Characters")
    expect(page.locator(".person-card").first).to_be_visible()
    seen.look_at("characters")
    page.locator(".person-open", has_text="Nova").click()
    page.get_by_role("button", name="Make pictures").wait_for()
    seen.look_at("character-page")
    page.get_by_role("button", name="Character sheet …").click()
    expect(page.locator(".sheet-obstacle").first).to_be_visible()
    seen.look_at("character-sheet")
    page.keyboard.press("Escape")
    expect(page.locator(".sheet-order")).to_have_count(0)
    page.get_by_role("button", name="Edit", exact=True).click()
    page.get_by_label("Name", exact=True).wait_for()
    seen.look_at("character-edit")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="All characters").click()
    page.get_by_role("button", name=re.compile("New character")).click()
    page.get_by_text("Start from a template").click()
    page.get_by_role("radio", name=re.compile("Someone who agreed")).check()
    page.get_by_label("Age", exact=True).fill("17")
    page.get_by_label("Name", exact=True).fill("Mara")
    page.get_by_role("button", name="Create character").click()
    expect(page.locator(".character-form .field-error").first).to_be_visible()
    seen.look_at("character-form")
    page.get_by_role("button", name="Cancel").click()
    seen.look_at("character-discard")
    page.get_by_role("dialog").get_by_role("button", name="Discard").click()

    # Gallery
    seen.tab("Gallery")
    expect(page.locator(".cell:not([data-empty])").first).to_be_visible()
    seen.look_at("gallery")
    page.locator(".cell").first.click()
    expect(page.get_by_role("dialog", name="Picture")).to_be_visible()
    expect(page.locator(".viewer-facts dl")).to_be_visible()
    seen.look_at("lightbox")
    page.locator(".viewer-acts").get_by_role("button", name="Enlarge …").click()
    expect(page.locator(".enlarge-way").first).to_be_visible()
    seen.look_at("enlarge")
    page.keyboard.press("Escape")
    expect(page.locator(".enlarge-way")).to_have_count(0)
    page.keyboard.press("Escape")
    if size == PHONE:
        page.get_by_role("button", name="Filters").click()
        seen.look_at("gallery-filters")
    page.get_by_role("button", name="Favourites", exact=True).click()
    if size == PHONE:
        page.get_by_role("button", name="Nothing fits").click()
    expect(page.get_by_role("heading", name="Nothing fits")).to_be_visible()
    seen.look_at("gallery-filtered")
    page.get_by_role("button", name="Clear all filters").click()
    page.locator(".cell").first.focus()
    page.keyboard.press("Space")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    expect(page.locator(".selection-bar p")).to_have_text("2 selected")
    seen.look_at("gallery-selected")
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_role("dialog", name="Compare two pictures")).to_be_visible()
    seen.look_at("compare")
    page.keyboard.press("Escape")

    # Analytics and Setup
    seen.tab("Analytics")
    expect(page.locator(".analytics-figures .analytics-card").first).to_be_visible()
    page.locator("#analytics-days svg.main-svg, #analytics-days canvas").first.wait_for()
    for fold in page.locator("#analytics details > summary").all():
        fold.click()
    seen.look_at("analytics")
    seen.show_little()
    seen.look_at("analytics-simple")
    seen.show_everything()
    seen.tab("Setup")
    expect(page.locator(".check").first).to_be_visible()
    seen.look_at("setup")
    page.context.close()
    assert not seen.faults, "\n".join(seen.faults)
