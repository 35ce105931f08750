"""AI-Toolkit on the Setup tab: installed with one button, its log followed, its models offered for training; or a folder of one's own."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from aitoolkit.test_managed_toolkit import toolkit_archive
from aitoolkit.toolkits import stand_in
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect
from shop import NEXT, Shop, open_shop

from bench.rig import Running, running_studio
from tests.browser.browsing import DESKTOP, HOME, PHONE, open_browser, open_page

SCREENS = HOME / "test-results" / "screens"

expect.set_options(timeout=90_000)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with open_shop(tmp_path / "shop") as shop:
        yield shop


@pytest.fixture
def studio(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    """A studio that installs AI-Toolkit from the shop, to train on the processor."""
    monkeypatch.delenv("AITOOLKIT_PATH", raising=False)
    pins = tmp_path / "pins.json"
    pins.write_text(json.dumps({"aitoolkit": shop.pin(version="0.12.26", licence="MIT").model_dump()}), "utf-8")
    for name, value in {
        "LIKENESS_ENGINE_PINS": str(pins),
        "LIKENESS_AITOOLKIT_PYTHON": sys.executable,
        "LIKENESS_DEVICE": "cpu",
        "LIKENESS_WALKED_THROUGH": "true",
        "LIKENESS_THREADS": "1",
    }.items():
        monkeypatch.setenv(name, value)
    with running_studio(tmp_path / "data") as running:
        yield running


@pytest.mark.timeout(600, func_only=True)
def test_it_is_installed_with_one_button_and_trains_at_once(studio: Running, shop: Shop, tmp_path: Path) -> None:
    toolkit_archive(shop, size=60_000_000)
    shop.slow = 0.5
    with httpx.Client(base_url=f"{studio.url}/api/v1/", timeout=60) as api:
        api.post("characters", json={"name": "Mira"}).raise_for_status()
    with open_browser() as browser:
        page, faults = open_page(browser, studio.url)
        card = shown(page)
        expect(card).to_contain_text("Not installed")
        expect(card.locator(".engine-terms")).to_contain_text("Licence: MIT.")
        screens(browser, studio, "not-installed")
        card.get_by_role("button", name="Install AI-Toolkit 0.12.26").click()
        expect(card.get_by_role("button", name="Cancel")).to_be_visible()
        # Also where somebody else looks.
        work = page.locator("likeness-engine-work")
        expect(work).to_contain_text("Installing AI-Toolkit")
        card.get_by_role("button", name="View log").click()
        expect(card.get_by_role("log")).to_contain_text("Getting http://127.0.0.1")
        expect(card.locator(".log-bar .switch")).to_be_hidden()
        screens(browser, studio, "installing")
        shop.slow = 0
        page.get_by_role("tab", name="Gallery").click()
        expect(page.locator(".toast", has_text="AI-Toolkit is installed")).to_be_visible()
        page.locator(".toast", has_text="AI-Toolkit is installed").get_by_role("button", name="Show").click()
        expect(page.locator("#toolkit-title")).to_be_in_viewport()
        expect(card.locator(".tag")).to_have_text("Installed")
        expect(card.locator(".facts")).to_contain_text("0.12.26")
        screens(browser, studio, "installed")
        card.get_by_role("button", name="Train a character").click()
        expect(page.get_by_role("tab", name="Train")).to_have_attribute("aria-selected", "true")
        chosen: Any = studio.get("characters")
        offer: Any = studio.get(f"training/offer?character={chosen['items'][0]['id']}")
        assert "FLUX.1-dev" in json.dumps(offer["toolkit"])

        # What could not be updated says why, and the log shows it.
        toolkit_archive(shop, NEXT, **{"run.py": "import a_package_that_nobody_has\n"})
        studio.post("engines/aitoolkit/update", {"commit": NEXT})
        card = shown(page)
        expect(card.locator(".engine-trouble")).to_contain_text("so the one before was kept")
        expect(card.get_by_role("log")).to_contain_text("a_package_that_nobody_has")
        screens(browser, studio, "update-failed")
        card.get_by_role("button", name="Remove").click()
        expect(card.locator(".tag")).to_have_text("Not installed")
        # Browsers write down what a script is refused; here nothing was.
        assert faults == []


@pytest.mark.timeout(300, func_only=True)
def test_a_folder_of_one_s_own_is_taken_by_one_field(studio: Running, tmp_path: Path) -> None:
    mine = stand_in(tmp_path / "mine")
    with open_browser() as browser:
        page, faults = open_page(browser, studio.url, PHONE)
        card = shown(page)
        field = card.get_by_label("Folder of an AI-Toolkit of yours")
        field.fill(str(tmp_path))
        field.press("Enter")
        expect(card.locator(".field-error")).to_contain_text("There is no AI-Toolkit in")
        field.fill(str(mine))
        card.get_by_role("button", name="Use this folder").first.click()
        expect(card.locator(".tag")).to_have_text("Installed")
        expect(card.locator(".facts")).to_contain_text(str(mine))
        expect(card.get_by_role("button", name="Install AI-Toolkit")).to_have_count(0)
        (mine / "run.py").unlink()
        page.reload()
        card = shown(page)
        expect(card.locator(".tag")).to_have_text("Not usable")
        screens(browser, studio, "not-usable")
        card.get_by_role("button", name="Choose another folder").click()
        expect(field).to_be_focused()
        card.get_by_role("button", name="Remove").click()
        expect(card.locator(".tag")).to_have_text("Not installed")
        expect(field).to_have_value("")
        # The field's fault was a 422, which browsers write down.
        assert [fault for fault in faults if "422" not in fault] == []


def shown(page: Page) -> Locator:
    page.get_by_role("tab", name="Setup").click()
    card = page.locator(".toolkit-card")
    card.scroll_into_view_if_needed()
    expect(card.locator(".tag")).not_to_be_empty()
    return card


def screens(browser: Browser, studio: Running, name: str) -> None:
    """The card as it is, on a desk in the light and on a phone in the dark; it shuts nobody out and never runs out of the page."""
    SCREENS.mkdir(parents=True, exist_ok=True)
    for size, dark in ((DESKTOP, False), (PHONE, True)):
        page, _ = open_page(browser, studio.url, size, dark=dark)
        card = shown(page)
        expect(card.locator(".engine-next .button").first).to_be_visible()
        card.screenshot(path=SCREENS / f"toolkit-{name}-{size[0]}-{'dark' if dark else 'light'}.png")
        assert Axe().run(page, context=".toolkit-card").response["violations"] == []
        assert card.evaluate("card => [...card.querySelectorAll('*')].every(one => one.getBoundingClientRect().right <= innerWidth)")
        page.context.close()
