"""On a slow line every file that is sent or fetched says how far it has come."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from bench.rig import Running, running_studio
from tests.browser.browsing import DESKTOP, HOME, PHONE, open_browser, open_page
from tests.browser.test_choosing import make, upload
from tests.browser.test_train_tab import make_active

SCREENS = HOME / "test-results" / "screens"
SLOW = 40_000
OF = re.compile(r"^[\d.,]+ [KM]B of [\d.,]+ [KM]B$")

expect.set_options(timeout=60_000)


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_studio(tmp_path_factory.mktemp("slow") / "data") as running:
        running.post("characters", {"name": "Nova"})
        upload(running, "characters/nova/images", ("noise.png", noise(256)))
        make(running, prompt="portrait of a person", count=8)
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_zip_export_and_import_count_their_bytes(studio: Running, browser: Browser, tmp_path: Path, size: tuple[int, int]) -> None:
    page, faults = open_page(browser, studio.url, size, dark=size == PHONE)
    count, bar = page.locator(".toast-count"), page.locator(".toast [role=progressbar]")

    # Nobody knows yet how large the ZIP will be.
    page.get_by_role("tab", name="Gallery").click()
    page.get_by_role("button", name="Select all").click()
    throttle(page, SLOW)
    with page.expect_download() as packed:
        page.get_by_role("button", name="ZIP").click()
        expect(count).to_have_text(re.compile("so far$"))
        expect(bar).to_have_attribute("data-unsure", "")
        expect(page.get_by_role("button", name="ZIP")).to_have_attribute("aria-disabled", "true")
        keep(page, f"slow-zip-{size[0]}")
    packed.value.save_as(tmp_path / "pictures.zip")
    with zipfile.ZipFile(tmp_path / "pictures.zip") as parcel:
        assert parcel.testzip() is None
    expect(count).to_have_count(0)
    throttle(page, -1)

    page.get_by_role("tab", name="Characters").click()
    page.get_by_role("button", name="Nova").first.click()
    expect(page.get_by_role("link", name="Export")).to_be_visible()
    throttle(page, SLOW)
    with page.expect_download() as exported:
        page.get_by_role("link", name="Export").click()
        expect(count).to_have_text(OF)
    exported.value.save_as(tmp_path / "nova.zip")
    throttle(page, -1)

    page.get_by_role("button", name="All characters").click()
    throttle(page, SLOW)
    page.get_by_label("Character file").set_input_files(tmp_path / "nova.zip")
    expect(count).to_have_text(OF)
    keep(page, f"slow-import-{size[0]}")
    expect(page.get_by_text("has moved in")).to_be_visible()
    expect(count).to_have_count(0)
    assert faults == []
    page.context.close()


def test_a_datasets_zip_counts_its_bytes(studio: Running, browser: Browser, tmp_path: Path) -> None:
    made: Any = studio.post("datasets", {"character": "nova", "name": "Faces"})
    upload(studio, f"datasets/{made['id']}/images", ("one.png", noise(300)))
    page, faults = open_page(browser, studio.url)
    make_active(page, studio, "nova")
    page.get_by_role("tab", name="Train").click()
    page.locator(".train-views").get_by_role("button", name="Pictures").click()
    page.locator(".dataset-cell img").first.wait_for()
    throttle(page, SLOW)
    with page.expect_download() as packed:
        page.get_by_role("link", name="Download as a ZIP").click()
        expect(page.locator(".toast-count")).not_to_have_count(0)
    packed.value.save_as(tmp_path / "faces.zip")
    with zipfile.ZipFile(tmp_path / "faces.zip") as parcel:
        assert parcel.testzip() is None and any(name.endswith(".png") for name in parcel.namelist())
    throttle(page, -1)
    expect(page.get_by_text("Faces in one file")).to_be_visible()
    page.context.close()
    assert faults == []


def test_a_file_that_is_no_character_says_so_and_leaves_nothing(studio: Running, browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "other.zip").write_bytes(b"no zip at all")
    page, _faults = open_page(browser, studio.url)
    page.get_by_role("tab", name="Characters").click()
    page.get_by_label("Character file").set_input_files(tmp_path / "other.zip")
    expect(page.locator(".toast.warn")).to_be_visible()
    expect(page.locator(".toast-count")).to_have_count(0)
    expect(page.get_by_role("button", name="Import a file")).to_be_enabled()
    page.context.close()


def throttle(page: Page, rate: int) -> None:
    """The page's line carries so many bytes a second, either way; -1 takes the limit off."""
    if not hasattr(page, "line"):
        page.line = page.context.new_cdp_session(page)  # type: ignore[attr-defined]
        page.line.send("Network.enable")  # type: ignore[attr-defined]
    limits = {"offline": False, "latency": 0, "downloadThroughput": rate, "uploadThroughput": rate}
    page.line.send("Network.emulateNetworkConditions", limits)  # type: ignore[attr-defined]


def noise(side: int) -> bytes:
    data = io.BytesIO()
    Image.fromarray(np.random.default_rng(5).integers(0, 255, (side, side, 3), dtype=np.uint8)).save(data, "PNG")
    return data.getvalue()


def keep(page: Page, name: str) -> None:
    SCREENS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENS / f"{name}.png")
