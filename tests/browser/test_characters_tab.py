"""The Characters tab in a real browser: from a blank form to the trash and back. Screenshots land in test-results/screens."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from bench.rig import Running, running_studio, wait_until
from tests.browser.browsing import DESKTOP, HOME, PHONE, open_browser, open_page, usable

SCREENS = HOME / "test-results" / "screens"
SIZES = pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])

Open = Callable[..., Page]

expect.set_options(timeout=60_000)


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_studio(tmp_path_factory.mktemp("characters") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


@pytest.fixture
def visit(studio: Running, browser: Browser) -> Iterator[Open]:
    """Open the Characters tab; when the test ends, no page may have had a fault in its scripts."""
    opened: list[tuple[Page, list[str]]] = []

    def open_one(size: tuple[int, int] = DESKTOP, **options: Any) -> Page:
        opened.append(open_page(browser, studio.url, size, **options))
        page = opened[-1][0]
        page.get_by_role("tab", name="Characters").click()
        expect(page.get_by_role("heading", name="Characters", exact=True)).to_be_visible()
        return page

    yield open_one
    # A browser writes every refused request to its console; those are meant.
    faults = [fault for _page, written in opened for fault in written if "the server responded with a status of 4" not in fault]
    for page, _written in opened:
        page.context.close()
    assert faults == []


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """Two photos, and a text that calls itself one."""
    paths = [tmp_path / name for name in ("left.jpg", "right.webp", "not a photo.png")]
    Image.radial_gradient("L").convert("RGB").resize((320, 240)).save(paths[0])
    Image.linear_gradient("L").convert("RGB").resize((240, 320)).save(paths[1])
    paths[2].write_text("These are only words.")
    return paths


@SIZES
def test_a_character_from_blank_form_to_the_trash_and_back(studio: Running, visit: Open, photos: list[Path], size: tuple[int, int]) -> None:
    look = "phone" if size == PHONE else "desktop"
    name = f"Mara {look.title()}"
    page = visit(size)
    page.get_by_role("button", name=re.compile("New character|Start blank")).first.click()

    # Short name and trigger word write themselves, until somebody else does.
    page.get_by_label("Name", exact=True).fill(name)
    expect(page.get_by_label("Short name")).to_have_value(f"mara-{look}")
    expect(page.get_by_label("Trigger word", exact=True)).to_have_value(re.compile(r"^mara[\w-]+$"))
    page.get_by_role("group", name="Hair styles").get_by_role("button", name="long wavy hair").click()
    page.get_by_role("group", name="Hair colours").get_by_role("button", name="red", exact=True).click()
    expect(page.get_by_label("Hair", exact=True)).to_have_value("long wavy red hair")
    page.get_by_role("group", name="Suggestions for Skin").get_by_role("button", name="tan").click()

    # Nobody under 18, said where it was written.
    age = page.get_by_label("Age", exact=True)
    age.fill("17")
    page.get_by_role("button", name="Create character").click()
    expect(page.locator("[data-field='appearance.age'] .field-error")).to_contain_text("18 or more")
    expect(age).to_be_focused()
    keep(page, f"character-age-{look}")
    assert name not in names(studio)
    age.fill("27")
    expect(page.locator(".character-form .field-error")).to_have_count(0)

    # A reload loses nothing.
    page.reload()
    usable(page)
    page.get_by_role("tab", name="Characters").click()
    expect(page.get_by_text("Your unsaved changes are back.")).to_be_visible()
    expect(age).to_have_value("27")
    page.get_by_role("button", name="Create character").click()
    expect(page.get_by_role("heading", name=name)).to_be_visible()
    expect(page.get_by_text("A 27-year-old person with long wavy red hair and tan skin.")).to_be_visible()

    # Three files, one of them no photo: two are kept, the third is named with its reason.
    page.get_by_label("Photo files").set_input_files(photos)
    expect(page.get_by_text("2 photos added")).to_be_visible()
    expect(page.locator(".refusals li")).to_have_count(1)
    expect(page.locator(".refusals li b")).to_have_text("not a photo.png")
    expect(page.locator(".photo[data-photo]")).to_have_count(2)

    # A portrait, shown in the library too.
    page.get_by_label("Select left.jpg").check()
    page.locator(".photo-selection").get_by_role("button", name="Set as portrait").click()
    expect(page.locator(".page-face img")).to_be_visible()
    expect(page.locator(".photo.portrayed")).to_have_count(1)
    keep(page, f"character-page-{look}")

    # Photos go to the trash and come back.
    page.get_by_label("Select right.webp").check()
    page.locator(".photo-selection").get_by_role("button", name="Delete").click()
    expect(page.locator(".photo[data-photo]")).to_have_count(1)
    page.locator(".toast", has_text="1 photo moved to the trash").get_by_role("button", name="Undo").click()
    expect(page.locator(".photo[data-photo]")).to_have_count(2)

    # Make pictures: the character is the active one, here and after a reload.
    page.get_by_role("button", name="Make pictures").click()
    expect(page.get_by_role("tab", name="Generate")).to_have_attribute("aria-selected", "true")
    page.reload()
    usable(page)
    if size == DESKTOP:
        side = page.get_by_role("complementary", name="Active character and jobs")
        expect(side.locator(".active-words")).to_contain_text(name)
        side.get_by_role("button", name="Open", exact=True).click()
    else:
        page.get_by_role("button", name=re.compile(f"^{name} is active")).click()
    expect(page.get_by_role("heading", name=name)).to_be_visible()

    # Archive, delete, undo.
    page.get_by_role("button", name="Archive", exact=True).click()
    expect(page.locator(".page-kind").get_by_text("Archived")).to_be_visible()
    assert name in names(studio, "archived")
    page.get_by_role("button", name="Delete", exact=True).click()
    wait_until(lambda: name in names(studio, "trashed"), 10, "the character did not go to the trash")
    page.locator(".toast", has_text="moved to the trash").get_by_role("button", name="Undo").last.click()
    wait_until(lambda: name in names(studio, "archived"), 10, "the character did not come back")
    page.get_by_role("button", name="Archived", exact=True).click()
    expect(page.locator(".person-card", has_text=name).locator("img.portrait")).to_be_visible()
    keep(page, f"character-library-{look}")


@SIZES
def test_a_real_person_waits_for_consent(studio: Running, visit: Open, photos: list[Path], size: tuple[int, int]) -> None:
    name = f"Ines {size[0]}"
    page = visit(size)
    page.get_by_role("button", name=re.compile("New character|Start blank")).first.click()
    expect(page.get_by_label("Who agreed", exact=True)).to_be_hidden()
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_role("radio", name=re.compile("Someone who agreed")).check()
    expect(page.get_by_label("Who agreed", exact=True)).to_be_visible()
    page.get_by_role("button", name="Create character").click()
    expect(page.get_by_text("The consent is missing")).to_be_visible()
    page.get_by_label("Photo files").set_input_files(photos[:2])
    expect(page.locator(".refusals li")).to_have_count(2)

    page.get_by_role("button", name="Write it down").click()
    page.get_by_label("Who agreed", exact=True).fill(name)
    page.get_by_role("button", name="Save changes").click()
    expect(page.locator("[data-field='consent.what_for'] .field-error")).to_be_visible()
    page.get_by_label("What for").fill("Portraits for the tests")
    page.get_by_label("Evidence").set_input_files({"name": "signed.txt", "mimeType": "text/plain", "buffer": b"I agree."})
    page.get_by_role("button", name="Save changes").click()
    expect(page.get_by_text("Consent given")).to_be_visible()
    page.get_by_label("Photo files").set_input_files(photos[:2])
    expect(page.locator(".photo[data-photo]")).to_have_count(2)


def test_two_people_at_one_character_see_both_versions(studio: Running, visit: Open) -> None:
    made: Any = studio.post("characters", {"name": "Two Hands"})
    page = visit()
    page.locator(".person-open", has_text="Two Hands").click()
    page.get_by_role("button", name="Edit", exact=True).click()
    page.get_by_label("Eyes", exact=True).fill("green")
    change(studio, made["id"], {"wardrobe": "a red coat", "appearance": {"hair": "short black hair"}})
    page.get_by_role("button", name="Save changes").click()
    expect(page.get_by_role("heading", name="Somebody else changed this character meanwhile")).to_be_visible()
    expect(page.get_by_role("cell", name="a red coat")).to_be_visible()
    keep(page, "character-conflict")
    page.get_by_role("button", name="Save mine anyway").click()
    expect(page.get_by_role("heading", name="Two Hands", exact=True)).to_be_visible()
    after: Any = studio.get(f"characters/{made['id']}")
    assert (after["appearance"]["eyes"], after["appearance"]["hair"], after["wardrobe"]) == ("green", "short black hair", "a red coat")


def test_leaving_a_half_written_form_asks(visit: Open) -> None:
    page = visit()
    page.get_by_role("button", name=re.compile("New character|Start blank")).first.click()
    page.get_by_label("Name", exact=True).fill("Nobody yet")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("dialog").get_by_role("button", name="Keep").click()
    expect(page.get_by_label("Name", exact=True)).to_have_value("Nobody yet")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("dialog").get_by_role("button", name="Discard").click()
    expect(page.get_by_role("heading", name="Characters", exact=True)).to_be_visible()


def test_a_template_a_copy_and_a_file_make_characters(studio: Running, visit: Open) -> None:
    page = visit()
    page.get_by_role("button", name=re.compile("New character")).first.click()
    page.get_by_text("Start from a template").click()
    page.get_by_role("button", name=re.compile("^Nova")).click()
    expect(page.get_by_label("Short name")).to_have_value("nova")
    page.get_by_role("button", name="Create character").click()
    expect(page.get_by_role("heading", name="Nova")).to_be_visible()
    with page.expect_download() as taken:
        page.get_by_role("link", name="Export").click()
    page.get_by_role("button", name="Duplicate").click()
    expect(page.get_by_role("heading", name="Nova (copy)")).to_be_visible()
    page.get_by_role("button", name="All characters").click()
    before = len(names(studio))
    page.get_by_label("Character file").set_input_files(taken.value.path())
    wait_until(lambda: len(names(studio)) == before + 1, 20, "the file did not come in")
    expect(page.get_by_role("button", name="Make pictures")).to_be_visible()


def names(studio: Running, status: str = "active") -> list[str]:
    found: Any = studio.get(f"characters?status={status}")
    return [one["name"] for one in found["items"]]


def change(studio: Running, character: str, what: dict[str, Any]) -> None:
    request = urllib.request.Request(
        f"{studio.url}/api/v1/characters/{character}", json.dumps(what).encode(), {"Content-Type": "application/json"}, method="PATCH"
    )
    with urllib.request.urlopen(request, timeout=30):
        pass


def keep(page: Page, name: str) -> None:
    SCREENS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENS / f"{name}.png")
