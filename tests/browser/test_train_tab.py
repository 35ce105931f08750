"""The Train tab in a browser: photos, a training that is watched, a checkpoint that is used. Screenshots land in test-results/screens."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, Page, expect

from bench.rig import Running, running_studio, wait_until
from tests.browser.browsing import DESKTOP, HOME, PHONE, every_control, open_browser, open_page

SCREENS = HOME / "test-results" / "screens"
# The embedded trainer takes seconds for a step on a machine that others use too.
LONG_MS = 400_000

expect.set_options(timeout=60_000)


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A studio with Nova, who has photos, and Rita, a real person who has none and whose consent is missing."""
    with running_studio(tmp_path_factory.mktemp("train") / "data") as running:
        running.post("characters", {"name": "Nova", "appearance": {"hair": "long red hair", "skin": "tan"}})
        running.post("characters", {"name": "Ilse"})
        running.post("characters", {"name": "Rita", "kind": "consented"})
        with api_of(running) as api:
            files = [("file", (f"{number}.png", face(number), "image/png")) for number in range(6)]
            assert api.post("characters/nova/images", files=files).status_code == 201
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


def api_of(studio: Running) -> httpx.Client:
    return httpx.Client(base_url=f"{studio.url}/api/v1/", timeout=60)


def face(number: int) -> bytes:
    """A drawn face on a ground of another colour each time."""
    image = Image.new("RGB", (128, 128), f"hsl({60 * number}, 70%, 70%)")
    pen = ImageDraw.Draw(image)
    pen.ellipse((34, 20 + number, 94, 100 + number), fill="#c58a5a")
    pen.pieslice((28, 12 + number, 100, 90 + number), 180, 360, fill="#a3341c")
    for x in (50, 78):
        pen.ellipse((x - 4, 56 + number, x + 4, 64 + number), fill="#222")
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def make_active(page: Page, studio: Running, slug: str) -> None:
    """As another tab of this browser would."""
    somebody: Any = studio.get(f"characters/{slug}")
    tell = """(id) => {
        localStorage.setItem('likeness-character', id);
        dispatchEvent(new StorageEvent('storage', { key: 'likeness-character', newValue: id }));
    }"""
    page.evaluate(tell, somebody["id"])


def show_training(page: Page) -> None:
    page.get_by_role("tab", name="Train").click()
    views = page.locator(".train-views")
    if views.is_visible():
        views.get_by_role("button", name="Training").click()


@pytest.mark.timeout(900, func_only=True)
def test_a_character_is_learned_watched_and_used(studio: Running, browser: Browser) -> None:
    page, faults = open_page(browser, studio.url)

    # Nobody, somebody without photos, somebody who did not agree
    show_training(page)
    expect(page.get_by_role("heading", name="Who shall be learned?")).to_be_visible()
    make_active(page, studio, "ilse")
    expect(page.get_by_role("heading", name="Ilse has no photos yet")).to_be_visible()
    make_active(page, studio, "rita")
    expect(page.locator(".train-obstacles")).to_contain_text("nothing says that they agreed")
    expect(page.get_by_role("button", name="Train", exact=True)).to_be_disabled()

    # A fault stands at its field, and goes when it is mended
    make_active(page, studio, "nova")
    expect(page.locator(".train-learns")).to_contain_text("Nova is learned from 6 pictures.")
    # What could be better is said where Train is pressed.
    check = page.locator(".train-form .dataset-check")
    expect(check.locator("summary")).to_contain_text(re.compile("things? to look at|could be better"))
    check.locator("summary").click()
    expect(check.get_by_role("listitem").filter(has_text="Few pictures")).to_be_visible()
    check.locator("summary").click()
    expect(page.get_by_role("radio", name=re.compile("^Quick"))).to_be_checked()
    expect(page.locator(".train-time").first).to_contain_text("unknown until measured")
    every_control(page)
    page.get_by_text("More settings", exact=True).locator("visible=true").click()
    steps = page.get_by_label("Steps", exact=True).locator("visible=true")
    steps.fill("0")
    page.get_by_role("button", name="Train", exact=True).click()
    expect(page.locator("#field-train-steps .field-error")).to_have_text("Steps must be at least 1.")
    expect(steps).to_be_focused()
    steps.fill("12")
    expect(page.locator("#field-train-steps .field-error")).to_have_count(0)
    for label, value in (("Batch", "1"), ("Resolution", "64"), ("Sample prompts", "{trigger_word}, smiling")):
        page.get_by_label(label, exact=True).locator("visible=true").fill(value)
    page.get_by_label("Checkpoint every").fill("6")
    page.get_by_label("Samples every").fill("6")
    expect(page.locator(".train-sum")).to_contain_text("12 steps")
    page.get_by_role("button", name="Train", exact=True).click()

    # Watched
    run = page.locator(".train-run")
    expect(run.locator(".train-state")).to_have_text("Learning", timeout=LONG_MS)
    expect(page.locator(".train-runs .train-run-row")).to_have_count(1)
    expect(run.locator(".train-progress-words")).to_contain_text("Step", timeout=LONG_MS)
    run.locator(".scatterlayer .js-line").first.wait_for(state="attached", timeout=LONG_MS)
    expect(run.get_by_role("button", name="Save now")).to_be_visible()
    expect(run.locator(".train-state")).to_have_text("Done", timeout=LONG_MS)
    expect(run.get_by_text("It has learned", exact=True)).to_be_visible()
    expect(run.locator(".train-samples figcaption")).to_have_text("nova_lk, smiling")
    page.wait_for_function("document.querySelector('.train-samples img').naturalWidth >= 64")
    expect(run.locator(".train-slider-words")).to_have_text("After 12 steps")
    run.get_by_label("After how many steps").press("Home")
    expect(run.locator(".train-slider-words")).to_have_text("Without LoRA")
    run.get_by_label("After how many steps").press("ArrowRight")
    expect(run.locator(".train-slider-words")).to_have_text("After 6 steps")
    assert page.evaluate("document.querySelector('.train-chart').data[0].x") == list(range(1, 13))
    run.get_by_role("button", name="Learning rate").click()
    page.wait_for_function("document.querySelector('.train-chart').data.length === 1")
    page.evaluate("document.activeElement.blur()")
    page.screenshot(path=SCREENS / "train.png", full_page=True)

    # One checkpoint, then the other, and back
    expect(run.locator(".train-checkpoint")).to_have_count(2)
    run.get_by_role("button", name="Use this one: 6 steps").click()
    expect(run.locator(".train-notice")).to_contain_text("Version 1 is Nova's LoRA now")
    expect(run.get_by_role("button", name="Make a picture")).to_be_focused()
    run.get_by_role("button", name="Use this one: 12 steps").click()
    expect(run.locator(".train-notice")).to_contain_text("Version 2 is Nova's LoRA now")
    expect(page.locator(".train-versions [data-used]")).to_contain_text("Version 2")
    page.get_by_role("button", name="Use Version 1 again").click()
    expect(page.locator(".train-versions [data-used]")).to_contain_text("Version 1")
    expect(run.locator(".train-checkpoint", has_text="Version 1, in use")).to_have_count(1)
    run.get_by_role("button", name="Use it again: 12 steps").click()
    expect(run.locator(".train-notice")).to_contain_text("Version 2 is Nova's LoRA now")

    # Generate makes pictures with it
    run.get_by_role("button", name="Make a picture").click()
    page.get_by_label("Prompt", exact=True).fill("smiling")
    page.locator("#make").click()
    wait_until(lambda: bool(pictures_ordered(studio)), 60, "no picture was ordered")
    job = pictures_ordered(studio)[0]
    versions: Any = studio.get("loras/versions?character=nova")
    assert [version["version"] for version in versions["items"] if version["used"]] == [2]
    assert [lora["path"] for lora in job["recipe"]["loras"]] == [versions["items"][0]["path"]]
    page.context.close()
    assert [fault for fault in faults if "422" not in fault] == []


@pytest.mark.timeout(900, func_only=True)
def test_from_photos_to_a_picture(studio: Running, browser: Browser, tmp_path: Path) -> None:
    """Photos → what is said of them → mended → learned → the checkpoint that is proposed → a picture with it."""
    studio.post("characters", {"name": "Wren"})
    photos = sorted((HOME / "tests" / "files" / "characters" / "00").glob("*.png"))[:7]
    again = tmp_path / "once more.png"
    with Image.open(photos[0]) as first:
        first.resize((120, 120)).resize(first.size).save(again)
    page, faults = open_page(browser, studio.url)
    make_active(page, studio, "wren")
    page.get_by_role("tab", name="Train").click()
    page.locator(".train-views").get_by_role("button", name="Pictures").click()

    # Photos
    expect(page.get_by_role("heading", name="No dataset of Wren yet")).to_be_visible()
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose pictures").click()
    chooser.value.set_files([*photos, again])
    expect(page.locator("likeness-datasets .cell img")).to_have_count(8)

    # What is said of them, and one click each
    check = page.locator("likeness-datasets .dataset-check")
    expect(check.locator("summary")).to_contain_text("to look at", timeout=LONG_MS)
    twice = check.locator("li", has_text="Nearly the same picture more than once")
    expect(twice).to_contain_text("2 pictures")
    twice.get_by_role("button", name="Show them").click()
    expect(page.locator("likeness-datasets .cell img")).to_have_count(2)
    page.screenshot(path=SCREENS / "preflight.png", full_page=True)
    twice.get_by_role("button", name="Remove 1").click()
    expect(twice).to_have_count(0)
    untold = check.locator("li", has_text="Captions are missing")
    untold.get_by_role("button", name="Write 7 plain captions").click()
    expect(untold).to_have_count(0)
    expect(page.locator("likeness-datasets")).to_contain_text("7 of 7 have a caption")

    # Learned
    page.get_by_role("button", name="Train with this").click()
    expect(page.locator(".train-learns")).to_contain_text("7 pictures")
    every_control(page)
    page.get_by_text("More settings", exact=True).locator("visible=true").click()
    for label, value in (("Steps", "8"), ("Batch", "1"), ("Resolution", "64"), ("Checkpoint every", "4"), ("Samples every", "8")):
        page.get_by_label(label, exact=True).locator("visible=true").fill(value)
    page.get_by_role("button", name="Train", exact=True).click()
    run = page.locator(".train-run")
    run.locator(".scatterlayer .js-line").first.wait_for(state="attached", timeout=LONG_MS)
    expect(run.locator(".train-state")).to_have_text("Done", timeout=LONG_MS)

    # The one that is proposed, and a picture with it
    expect(run.locator(".train-why")).to_contain_text(re.compile("is proposed"))
    run.get_by_role("button", name=re.compile("^Use the (best|newest) one$")).click()
    expect(run.locator(".train-notice")).to_contain_text("Version 1 is Wren's LoRA now")
    run.get_by_role("button", name="Make a picture").click()
    page.get_by_label("Prompt", exact=True).fill("a park")
    page.locator("#make").click()
    versions: Any = studio.get("loras/versions?character=wren")
    path = versions["items"][0]["path"]
    wait_until(lambda: any(path in str(job["recipe"]["loras"]) for job in pictures_ordered(studio)), 60, "no picture was ordered")
    page.context.close()
    assert faults == []


@pytest.mark.timeout(900, func_only=True)
def test_one_that_another_door_ordered_appears_stops_and_can_be_compared(studio: Running, browser: Browser) -> None:
    has_learned(studio)
    page, faults = open_page(browser, studio.url)
    make_active(page, studio, "nova")
    show_training(page)
    expect(page.locator(".train-run .train-state")).to_have_text("Done")
    body = {
        "character": "nova",
        "preset": "balanced",
        "steps": 900,
        "save_every": 900,
        "sample_every": 900,
        "rank": 4,
        "batch": 1,
        "resolution": 64,
    }
    job: Any = studio.post("training", body | {"batch": 1, "resolution": 64})
    row = page.locator(f".train-runs [data-run='{job['id']}'] button")
    row.click()
    expect(page.locator(".train-progress-words")).to_contain_text("Step", timeout=LONG_MS)
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.locator(".train-run .train-state")).to_have_text("Paused", timeout=LONG_MS)
    expect(page.locator(".train-notice")).to_contain_text("Resume goes on from there")
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    page.locator(".train-fold summary", has_text="Compare with another training").click()
    page.get_by_label("Compare with", exact=True).select_option(index=1)
    line = page.locator(".train-comparison tr", has_text="Rank")
    expect(line.locator("td")).to_have_text(["4", "16"])
    page.locator(".train-fold summary", has_text="Log").click()
    expect(page.locator(".train-log li").first).to_be_visible()
    page.context.close()
    assert faults == []


@pytest.mark.timeout(900, func_only=True)
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_train_tab_shuts_nobody_out(studio: Running, browser: Browser, size: tuple[int, int], dark: bool) -> None:
    has_learned(studio)
    page, _ = open_page(browser, studio.url, size, dark=dark)
    page.emulate_media(reduced_motion="reduce")
    page.add_style_tag(content="*, *::before, *::after { transition: none !important; animation: none !important }")
    make_active(page, studio, "nova")
    show_training(page)
    every_control(page)
    page.locator(".train-run .train-panel").locator("visible=true").first.wait_for()
    # The form is folded away where there is a run to look at, and may have been opened by the page meanwhile.
    for fold in (".train-new", ".train-more"):
        page.locator(fold).evaluate("fold => (fold.open = true)")
    expect(page.get_by_label("Steps", exact=True).locator("visible=true")).to_be_visible()
    for fold in page.locator(".train-run .train-fold > summary").locator("visible=true").all():
        fold.click()
    expect(page.locator(".train-log li").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    found = Axe().run(page).response["violations"]
    page.screenshot(path=SCREENS / f"train-{'phone' if size == PHONE else 'desktop'}-{'dark' if dark else 'light'}.png")
    page.context.close()
    assert [f"{one['id']} at {node['target']}: {node['failureSummary']}" for one in found for node in one["nodes"]] == []


def has_learned(studio: Running) -> None:
    """See to it that a training of Nova is done: the first walk's, where that was taken."""
    trainings: Any = studio.get("training?character=nova")
    if not any(line["job"]["state"] == "done" for line in trainings["items"]):
        job: Any = studio.post("training", {"character": "nova", "preset": "quick", "steps": 2, "batch": 1, "resolution": 64})
        state = f"jobs/{job['id']}"
        wait_until(lambda: studio.get(state)["state"] == "done", LONG_MS / 1000, "it was not learned")  # pyright: ignore[reportIndexIssue,reportCallIssue,reportArgumentType]  # JSON


def pictures_ordered(studio: Running) -> list[Any]:
    jobs: Any = studio.get("jobs?limit=20")
    return [job for job in jobs["items"] if job["kind"] == "generate"]
