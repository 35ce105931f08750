"""The datasets of the Train tab: a folder taken in, the grid by keyboard alone, and the pictures of everybody together."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from bench.rig import Running, running_studio, wait_until
from tests.browser.browsing import DESKTOP, PHONE, open_browser, open_page


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_studio(tmp_path_factory.mktemp("datasets") / "data") as running:
        for name in ("Nova", "Leo"):
            running.post("characters", {"name": name, "appearance": {"age": 30}})
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as one:
        yield one


def photo(seed: int) -> bytes:
    out = io.BytesIO()
    noise = np.random.default_rng(seed).integers(0, 255, (12, 12, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((96, 96)).save(out, "PNG")
    return out.getvalue()


def kohya(folder: Path, *, first: int, count: int) -> Path:
    """A folder as kohya keeps it: pictures, captions, pictures of a class, and what systems leave behind."""
    inside = folder / "10_nova woman"
    inside.mkdir(parents=True)
    for at in range(first, first + count):
        (inside / f"{at}.png").write_bytes(photo(at))
        (inside / f"{at}.txt").write_text(f"[trigger], picture {at}", "utf-8")
    (folder / "reg" / "1_woman").mkdir(parents=True)
    (folder / "reg" / "1_woman" / "other.png").write_bytes(photo(900 + first))
    (folder / "Thumbs.db").write_bytes(b"x")
    return folder


def open_datasets(browser: Browser, studio: Running, slug: str, size: dict[str, int] = DESKTOP) -> tuple[Page, list[str]]:
    page, faults = open_page(browser, studio.url, size)
    somebody: Any = studio.get(f"characters/{slug}")
    page.evaluate("(id) => localStorage.setItem('likeness-character', id)", somebody["id"])
    page.reload()
    page.get_by_role("tab", name="Train").click()
    page.locator(".train-views").get_by_role("button", name="Pictures").click()
    return page, faults


def captions(studio: Running, slug: str) -> list[str]:
    found: Any = studio.get(f"datasets/images?character={slug}")
    return [one["caption"] for one in found["items"]]


def test_a_folder_is_taken_in_and_the_grid_is_walked_by_keyboard(studio: Running, browser: Browser, tmp_path: Path) -> None:
    made: Any = studio.post("datasets", {"character": "nova", "name": "From kohya"})
    page, faults = open_datasets(browser, studio, "nova")
    grid = page.get_by_role("listbox", name="Pictures of the dataset")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Add a folder").click()
    chooser.value.set_files(kohya(tmp_path / "nova", first=0, count=6))
    cells = grid.get_by_role("option")
    expect(cells).to_have_count(6)
    expect(page.locator("likeness-datasets .refusals")).to_contain_text("other.png")
    assert captions(studio, "nova") == [f"nova_lk, picture {at}" for at in range(6)]

    # In: one stop for the whole grid; arrows move, Enter writes and goes on, Escape leaves it as it was.
    page.get_by_role("button", name="Select all").focus()
    for _ in range(12):
        if page.evaluate("document.activeElement.getAttribute('role')") == "option":
            break
        page.keyboard.press("Tab")
    expect(cells.nth(0)).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(cells.nth(1)).to_be_focused()
    page.keyboard.press("Enter")
    editor = page.get_by_role("textbox", name="Caption of 1.png")
    expect(editor).to_be_focused()
    page.keyboard.press("Control+A")
    page.keyboard.type("nova_lk, laughing")
    page.keyboard.press("Enter")
    expect(page.get_by_role("textbox", name="Caption of 2.png")).to_be_focused()
    page.keyboard.type(" that nobody keeps")
    page.keyboard.press("Escape")
    expect(cells.nth(2)).to_be_focused()
    expect(cells.nth(1)).to_contain_text("nova_lk, laughing")
    wait_until(lambda: captions(studio, "nova")[1:3] == ["nova_lk, laughing", "nova_lk, picture 2"], 20, "the caption was not kept")

    # Space chooses, Shift goes on from there, Delete takes out, and the way back.
    page.keyboard.press("End")
    expect(cells.nth(5)).to_be_focused()
    page.keyboard.press(" ")
    page.keyboard.press("Shift+ArrowLeft")
    expect(page.get_by_role("group", name="Selected pictures")).to_contain_text("2 selected")
    page.keyboard.press("Delete")
    expect(cells).to_have_count(4)
    page.get_by_role("button", name="Undo", exact=True).first.click()
    expect(cells).to_have_count(6)
    assert len(captions(studio, "nova")) == 6
    # Back to an earlier version
    page.get_by_role("button", name="Earlier versions").click()
    box = page.get_by_role("dialog", name="Earlier versions")
    expect(box.get_by_role("listitem")).to_have_count(2)
    box.get_by_role("button", name="Back to before: 6 pictures added").click()
    page.get_by_role("button", name="Keep them").click()
    box.get_by_role("button", name="Back to before: 6 pictures added").click()
    page.get_by_role("button", name="Go back", exact=True).click()
    expect(cells).to_have_count(0)
    assert studio.get(f"datasets/{made['id']}")["pictures"] == 0  # pyright: ignore[reportIndexIssue,reportCallIssue,reportArgumentType]  # JSON
    page.context.close()
    assert faults == []


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_pictures_of_everybody_are_found_changed_and_brought_back(studio: Running, browser: Browser, size: dict[str, int]) -> None:
    for slug in ("nova", "leo"):
        if not captions(studio, slug):
            made: Any = studio.post("datasets", {"character": slug, "name": f"{slug.title()}'s"})
            sent = [("file", (f"{slug}-{at}.png", photo(at + 50 * len(slug)), "image/png")) for at in range(2)]
            httpx.post(f"{studio.url}/api/v1/datasets/{made['id']}/images", files=sent, trust_env=False).raise_for_status()
    page, faults = open_datasets(browser, studio, "nova", size)
    page.locator(".dataset-choice select").select_option(label="Everybody's datasets")
    cells = page.get_by_role("listbox", name="Pictures of the dataset").get_by_role("option")
    everyone = len(captions(studio, "nova")) + len(captions(studio, "leo"))
    expect(page.locator("likeness-datasets")).to_contain_text(f"{everyone} pictures")
    whose = page.locator("likeness-datasets .filter[data-filter=whose] select")
    whose.select_option(index=[*whose.locator("option").all_text_contents()].index("Leo (2)"))
    expect(cells).to_have_count(2)
    expect(cells.first).to_contain_text("Leo · Leo's")
    # Somebody else's picture is changed from here, and taken back.
    cells.first.focus()
    page.keyboard.press("Delete")
    expect(cells).to_have_count(1)
    assert len(captions(studio, "leo")) == 1
    page.locator(".toast").get_by_role("button", name="Undo").click()
    expect(cells).to_have_count(2)
    assert len(captions(studio, "leo")) == 2
    page.context.close()
    assert faults == []
