"""What is kept of trainings, in a browser: two compared, a clean-up, a version deleted by name and restored, and a face variant."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from app import open_studio
from bench.rig import Running, running_studio
from studio import training
from studio.contracts import CharacterFields, JobState, TrainRequest
from studio.settings import load_settings
from tests.browser.browsing import DESKTOP, HOME, PHONE, every_control, open_browser, open_page
from tests.browser.test_train_tab import make_active, show_training
from tests.test_comparing import judged
from tests.test_keeping import lora, put

expect.set_options(timeout=60_000)
SCREENS = HOME / "test-results" / "screens"


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A studio with Mara, whose training is done: four judged checkpoints, two of which became versions."""
    data = tmp_path_factory.mktemp("keeping") / "data"
    opened = open_studio(load_settings(data))
    mara = opened.create_character(CharacterFields.model_validate({"name": "Mara", "trigger_word": "zmara"}))
    opened.add_photos(mara.id, [(f"{number}.png", photo(data, number)) for number in range(3)])
    job = opened.trainings.order(TrainRequest.model_validate({"character": "mara", "preset": "quick"}), correlation_id="test")
    for step in (10, 20, 30, 40):
        place = training.place_of(opened.trainings.folder(job.id), step)
        place.mkdir(parents=True)
        (place / training.LORA).write_bytes(lora(step))
    put(opened, job.id, JobState.done)
    judged(opened, job.id, (20, 40))
    for path in (opened.trainings.folder(job.id) / "grid").iterdir():
        Image.new("RGB", (128, 128), f"hsl({hash(path.name) % 360}, 60%, 60%)").save(path, "WEBP")
    opened.trainings.pick(job.id, 20)
    opened.trainings.pick(job.id, 40)
    opened.database.close()
    with running_studio(data, ready=False) as running:
        yield running


def photo(folder: Path, number: int) -> bytes:
    file = folder / f"{number}.png"
    Image.new("RGB", (96, 96), (60 * number, 90, 120)).save(file)
    return file.read_bytes()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


@pytest.mark.timeout(600, func_only=True)
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_versions_are_compared_named_deleted_and_worn_as_a_variant(studio: Running, browser: Browser, size: tuple[int, int]) -> None:
    name = "phone" if size is PHONE else "desktop"
    page, faults = open_page(browser, studio.url, size, dark=size is PHONE)
    every_control(page)
    make_active(page, studio, "mara")
    show_training(page)

    page.get_by_role("button", name=re.compile("^Compare two")).click()
    expect(page.locator(".train-compare-two .train-grid img")).to_have_count(4)
    page.screenshot(path=SCREENS / f"compare-two-{name}.png")
    page.locator(".train-compare-two").get_by_role("button", name="Close").click()

    page.get_by_role("button", name=re.compile("^Clean up")).click()
    expect(page.locator(".train-kept-list li")).to_have_count(2)
    page.screenshot(path=SCREENS / f"clean-up-{name}.png")
    page.locator(".train-ask").get_by_role("button", name="Cancel").click()

    page.get_by_role("button", name=re.compile("^Delete Version 1")).click()
    go = page.locator(".train-ask").get_by_role("button", name="Move to the trash")
    expect(go).to_be_disabled()
    page.locator(".train-confirm input").fill("mara_v1.safetensors")
    page.screenshot(path=SCREENS / f"delete-version-{name}.png")
    go.click()
    page.get_by_role("button", name=re.compile("^Restore Version 1")).click()
    expect(page.get_by_role("button", name=re.compile("^Delete Version 1"))).to_be_visible()

    page.get_by_role("tab", name="Characters").click()
    page.locator(".person-card:not(.ghost)", has_text="Mara").click()
    page.get_by_role("button", name="Add a look").click()
    page.locator(".train-ask").get_by_label("Name").fill(f"Younger {name}")
    page.screenshot(path=SCREENS / f"variant-form-{name}.png")
    page.locator(".train-ask").get_by_role("button", name="Save").click()
    card = page.locator(f'[data-variant="Younger {name}"]')
    expect(card).to_contain_text("mara_v")
    card.scroll_into_view_if_needed()
    page.screenshot(path=SCREENS / f"variants-{name}.png")

    page.get_by_role("tab", name="Generate").click()
    face = page.locator("#field-variant")
    face.get_by_role("radio", name=f"Younger {name}").check(force=True)
    page.get_by_label("Prompt", exact=True).fill("smiling in the sun")
    page.wait_for_timeout(500)  # what was typed reaches the form
    page.screenshot(path=SCREENS / f"variant-chosen-{name}.png")
    page.locator("#make").click()
    expect(page.locator("#toasts")).to_contain_text("on the way")
    assert studio.get("jobs?limit=1")["items"][0]["request"]["variant"] == f"Younger {name}"

    page.get_by_role("tab", name="Characters").click()
    card.get_by_role("button", name=re.compile("^Remove")).click()
    expect(card).to_have_count(0)
    page.get_by_role("tab", name="Generate").click()
    expect(face).to_be_hidden()
    assert not faults, faults
