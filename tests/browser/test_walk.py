"""Walks through the page with a real browser, a real studio and the starter model. Screenshots land in test-results/screens."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from bench.rig import Running, running_studio, wait_until
from tests.browser.browsing import DESKTOP, HOME, PHONE, PROMPT, every_control, open_browser, open_page, usable

SCREENS = HOME / "test-results" / "screens"
# Long enough to be watched on any computer, and stopped or overtaken where a test doesn't need its end.
SLOW = {"steps": 150, "width": 160, "height": 160}
QUICK = {"prompt": "portrait of a person with black hair, cartoon style", "steps": 4}

# What the live preview shows at this moment, as bytes in base64.
PIXELS = """() => {
    const image = document.querySelector('img.picture.live');
    const canvas = Object.assign(document.createElement('canvas'), { width: image.naturalWidth, height: image.naturalHeight });
    canvas.getContext('2d').drawImage(image, 0, 0);
    return canvas.toDataURL();
}"""

Open = Callable[..., Page]

# A cold start of the engine on a busy machine takes a while; waiting is for a condition, never for its own sake.
expect.set_options(timeout=60_000)


# The first of the ideas that an empty stage offers.
IDEA = PROMPT.replace("cartoon style", "flat avatar style")


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_studio(tmp_path_factory.mktemp("walk") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


@pytest.fixture
def visit(studio: Running, browser: Browser) -> Iterator[Open]:
    """Open the page; when the test ends, no page may have had a fault in its scripts."""
    opened: list[tuple[Page, list[str]]] = []

    def open_one(size: tuple[int, int] = DESKTOP, **options: Any) -> Page:
        opened.append(open_page(browser, studio.url, size, **options))
        return opened[-1][0]

    yield open_one
    faults = [fault for _page, written in opened for fault in written]
    for page, _written in opened:
        page.context.close()
    assert faults == []


def test_a_new_library_says_how_to_begin(visit: Open) -> None:
    page = visit()
    expect(page.get_by_role("heading", name="Your first picture starts with a sentence")).to_be_visible()
    expect(page.get_by_text("Nothing is being made.")).to_be_visible()
    keep(page, "empty")
    page.locator(".idea").first.click()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value(IDEA)
    show(page, "Gallery")
    expect(page.get_by_role("heading", name="No pictures yet")).to_be_visible()


def test_a_prompt_becomes_a_picture_that_can_be_watched_found_and_thrown_away(studio: Running, visit: Open) -> None:
    page = visit()

    # Prompt: a long job to watch, and a second one to cancel.
    page.get_by_label("Prompt", exact=True).fill(PROMPT)
    page.get_by_role("radio", name="Pro").check()
    page.get_by_role("button", name="One more").click()
    every_control(page)
    page.locator("#advanced").get_by_role("button", name="More settings").click()
    for field, value in SLOW.items():
        page.locator(f"#field-{field} input").fill(str(value))
    page.locator("#make").click()
    expect(page.get_by_text("2 pictures on the way")).to_be_visible()
    page.keyboard.press("Control+Enter")
    page.wait_for_function("document.querySelectorAll('.row[data-state=queued], .row[data-state=running]').length === 2")
    running = page.locator(".row[data-state=running]").get_attribute("data-job")
    waiting = page.locator(".row[data-state=queued]").get_attribute("data-job")
    assert running and waiting

    # At least two different live previews.
    live = page.locator("img.picture.live")
    expect(live).to_be_visible()
    first = page.evaluate(PIXELS)
    page.wait_for_function(f"before => ({PIXELS})() !== before", arg=first)
    keep(page, "live")

    # Cancel one; reload in between: the tray takes up where it was.
    page.locator(f".row[data-job='{waiting}']").get_by_role("button", name="Cancel").click()
    expect(page.locator(f".row[data-job='{waiting}']")).to_have_attribute("data-state", "cancelled")
    page.reload()
    usable(page)
    expect(page.locator(f".row[data-job='{running}']")).to_have_attribute("data-state", "running")
    expect(page.locator(f".row[data-job='{waiting}']")).to_have_attribute("data-state", "cancelled")
    expect(live).to_be_visible()

    # The pictures come by themselves.
    expect(page.locator(f".row[data-job='{running}']")).to_have_attribute("data-state", "done", timeout=240_000)
    expect(page.locator(".results img")).to_have_count(2)
    keep(page, "done")

    # Gallery, lightbox with all parameters, next and previous by key.
    show(page, "Gallery")
    total = studio_total(studio)
    expect(page.locator(".gallery-bar p")).to_have_text(f"{total} pictures")
    page.locator(".cell").first.click()
    picture: dict[str, Any] = pictures(studio)[0]
    box = page.get_by_role("dialog", name="Picture")
    expect(box).to_be_visible()
    facts = dict(zip(box.locator("dt").all_inner_texts(), box.locator("dd").all_inner_texts(), strict=True))
    assert facts["Seed"].split() == [str(picture["seed"]), "Use", "this", "seed"]
    assert (facts["Size"], facts["Steps"], facts["Sampler"], facts["CFG scale"]) == ("160 × 160", "150", "DPM++ 2M", "4")
    assert {"Model", "Scheduler", "Made in", "Created"} <= set(facts)
    expect(box.locator(".words").first).to_have_text(PROMPT)
    keep(page, "lightbox")
    page.keyboard.press("ArrowRight")
    expect(box.locator(".viewer-count")).to_have_text(f"2 of {total}")
    page.keyboard.press("ArrowLeft")

    # To the trash, and back.
    box.get_by_role("button", name="To trash").click()
    expect(box.locator(".viewer-count")).to_have_text("" if total == 2 else f"1 of {total - 1}")
    wait_until(lambda: studio_total(studio) == total - 1, 10, "the picture did not go to the trash")
    box.get_by_role("button", name="Undo").click()
    wait_until(lambda: studio_total(studio) == total, 10, "the picture did not come back")
    expect(box.locator(".viewer-count")).to_have_text(f"1 of {total}")

    # Its settings fill the form.
    box.get_by_role("button", name="Use these settings").click()
    expect(page.get_by_role("tab", name="Generate")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#field-seed input")).to_have_value(str(pictures(studio)[0]["seed"]))
    expect(page.get_by_label("Prompt", exact=True)).to_have_value(PROMPT)
    expect(page.get_by_role("radio", name="Pro")).to_be_checked()

    # What says reference adds to the references; what says start starts from it.
    for act, made in (("Use as reference", "likeness-references .ref-thumb"), ("Start from this picture", "likeness-source .source img")):
        expect(page.locator("likeness-source .source")).to_have_count(0)
        page.get_by_role("tab", name="Gallery").click()
        page.locator(".cell:not([data-empty])").first.click()
        box.get_by_role("button", name=act).click()
        expect(page.locator(made)).to_have_attribute("src", re.compile(pictures(studio)[0]["id"]))
    expect(page.locator("likeness-references .ref-thumb")).to_have_count(1)


def test_what_is_wrong_is_said_at_its_field(visit: Open) -> None:
    page = visit()
    page.locator("#make").click()
    expect(page.locator("#field-prompt .field-error")).to_contain_text("The prompt is empty.")
    keep(page, "error")
    page.get_by_label("Prompt", exact=True).fill("a person")
    expect(page.locator(".field-error")).to_have_count(0)
    # Simple keeps what everyone needs; what was set in Advanced and counts is told there, and a fault of it is seen.
    page.locator("#advanced").get_by_role("button", name="More settings").click()
    expect(page.locator("#field-model")).to_be_visible()
    for name in ("negative_prompt", "grid", "sampler", "cfg", "steps", "tone", "grain", "prompt_suffix"):
        expect(page.locator(f"#field-{name}")).to_be_hidden()
    counting = page.locator("likeness-counting")
    expect(counting).to_be_empty()
    page.get_by_role("button", name="Advanced", exact=True).click()
    page.locator("#field-steps input").fill("0")
    page.locator("#field-sampler input").click()
    page.get_by_role("option", name="DDIM").click()
    page.locator("#advanced").get_by_role("button", name="More settings").click()
    expect(counting).to_be_empty()
    page.get_by_role("button", name="Simple", exact=True).click()
    expect(counting).to_contain_text("2 settings of the Advanced view count: Steps, Sampler.")
    keep(page, "simple-counts")
    page.reload()
    usable(page)
    expect(counting).to_contain_text("2 settings of the Advanced view count: Steps, Sampler.")
    counting.get_by_role("button", name="Show them").click()
    expect(page.locator("#field-sampler")).to_be_visible()
    page.get_by_role("button", name="Simple", exact=True).click()
    page.locator("#make").click()
    # The field is called as the page calls it, not as the contract does.
    expect(page.locator("#field-steps .field-error")).to_have_text("Steps must be at least 1.")
    expect(page.locator("#field-steps input")).to_be_focused()


def test_a_preset_brings_its_shape_and_says_what_open_fields_mean(studio: Running, visit: Open) -> None:
    presets: Any = studio.get("presets")
    sizes = {preset["id"]: preset | preset["per_family"].get("starter", {}) for preset in presets["items"] if preset["category"] != "style"}
    tall = next(size for size in sizes.values() if size["width"] and size["width"] < size["height"])
    page = visit()
    every_control(page)
    page.locator("#advanced").get_by_role("button", name="More settings").click()
    page.get_by_role("button", name="Show all").click()
    page.locator(f"#field-preset input[value='{tall['id']}']").check()
    expect(page.locator("#field-shape .field-note")).to_have_text(f"{tall['width']} × {tall['height']} pixels")
    expect(page.locator("#field-width input")).to_have_attribute("placeholder", str(tall["width"]))


def test_every_open_browser_shows_the_same_jobs(studio: Running, visit: Open) -> None:
    here, there = visit(), visit(PHONE, dark=True)
    answer: Any = studio.post("generate", {**QUICK, **SLOW})
    row = f".row[data-job='{answer['job_id']}']"
    for page in (here, there):
        expect(page.locator(row)).to_have_attribute("data-state", "running")
    # On a phone they open from the header, over whatever is shown.
    show(there, "Gallery")
    there.get_by_role("button", name="1 job running, 0 waiting. Show them.").click()
    sheet = there.get_by_role("dialog", name="Active character and jobs")
    keep(there, "jobs-sheet")
    sheet.locator(row).get_by_role("button", name="Cancel").click()
    for page in (here, there):
        expect(page.locator(row)).to_have_attribute("data-state", "cancelled")
    there.keyboard.press("Escape")
    expect(sheet).to_have_count(0)
    expect(there.locator(".jobs-button")).to_be_focused()


def test_the_sidebar_goes_along_from_tab_to_tab(studio: Running, visit: Open) -> None:
    nova: Any = studio.post("characters", {"name": "Nova"})
    page = visit()
    side = page.get_by_role("complementary", name="Active character and jobs")
    answer: Any = studio.post("generate", {**QUICK, **SLOW})
    row = side.locator(f".row[data-job='{answer['job_id']}']")
    show(page, "Gallery")
    expect(row).to_have_attribute("data-state", "running")
    expect(row.locator("img[src]")).to_be_visible()
    row.get_by_role("button", name="Cancel").click()
    expect(row).to_have_attribute("data-state", "cancelled")

    # Somebody else, from any tab.
    expect(side.get_by_text("No character")).to_be_visible()
    side.get_by_role("button", name="Choose").click()
    side.get_by_role("button", name="Nova").click()
    expect(side.locator(".active-words")).to_contain_text("Nova")
    keep(page, "sidebar")
    side.get_by_role("button", name="Open", exact=True).click()
    expect(page.get_by_role("heading", name="Nova").locator("visible=true").first).to_be_visible()
    expect(page.get_by_role("tab", name="Characters")).to_have_attribute("aria-selected", "true")

    # Folded, it stays so, and shows how many jobs there are.
    side.get_by_role("button", name="Fold the sidebar").press("Enter")
    expect(side.locator("likeness-tray")).to_be_hidden()
    page.reload()
    usable(page)
    expect(side.locator("likeness-tray")).to_be_hidden()
    side.get_by_role("button", name="Show them").click()
    expect(side.locator("likeness-tray")).to_be_visible()
    # From a job to its picture.
    row.get_by_role("button", name="Show this job").click()
    expect(page.get_by_role("tab", name="Generate")).to_have_attribute("aria-selected", "true")
    # Nobody is left for the tests that follow.
    urllib.request.urlopen(urllib.request.Request(f"{studio.url}/api/v1/characters/{nova['id']}", method="DELETE")).close()


def test_a_long_queue_stays_short_to_look_at(studio: Running, visit: Open) -> None:
    page = visit()
    for _ in range(150):
        studio.post("generate", {**QUICK, **SLOW})
    expect(page.locator(".panel-head .count")).to_have_text("150")
    # 1 runs, 12 of those that wait are shown.
    expect(page.locator(".more-words")).to_have_text("and 137 more waiting")
    last = page.locator(".row[data-state=queued]").last
    moved = last.get_attribute("data-job")
    last.get_by_role("button", name="Move to the front").click()
    page.wait_for_function("id => document.querySelector('.row[data-state=queued]')?.dataset.job === id", arg=moved)
    page.get_by_role("button", name="Cancel all").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel all").click()
    expect(page.get_by_text("150 jobs cancelled")).to_be_visible()
    expect(page.locator(".row[data-state=queued], .row[data-state=running]")).to_have_count(0)


def test_the_gallery_works_by_keyboard_alone(studio: Running, visit: Open) -> None:
    for seed in range(4):
        studio.post("generate?wait=60", {**QUICK, "seed": seed, "count": 4})
    page = visit(dark=True)
    page.get_by_role("tab", name="Generate").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    first = page.locator(".cell[aria-posinset='1']")
    expect(first).to_have_attribute("data-picture", pictures(studio)[0]["id"])
    first.focus()
    for key, at in (("ArrowRight", 2), ("End", studio_total(studio)), ("Home", 1), ("ArrowDown", None)):
        page.keyboard.press(key)
        focused = int(page.evaluate("document.activeElement.getAttribute('aria-posinset')"))
        assert focused == at if at else focused > 2
    keep(page, "gallery")
    # All that the filters show, and the list of such keys.
    page.keyboard.press("Control+a")
    expect(page.locator(".selection-bar p")).to_have_text(f"{studio_total(studio)} selected")
    page.keyboard.press("Escape")
    expect(page.locator(".selection-bar")).to_be_hidden()
    page.get_by_role("button", name="Select all").click()
    expect(page.locator(".selection-bar p")).to_have_text(f"{studio_total(studio)} selected")
    page.get_by_role("button", name="Clear").click()
    page.keyboard.press("?")
    shortcuts = page.get_by_role("dialog", name="Keyboard shortcuts")
    expect(shortcuts).to_contain_text("Select all that the filters show")
    keep(page, "shortcuts")
    page.keyboard.press("Escape")
    expect(shortcuts).to_have_count(0)
    page.get_by_label("Search prompts, captions and names").press("?")
    expect(shortcuts).to_have_count(0)
    page.get_by_label("Search prompts, captions and names").fill("")
    first.focus()
    page.keyboard.press("Home")
    page.keyboard.press("Space")
    page.keyboard.press("Shift+ArrowRight")
    expect(page.locator(".selection-bar p")).to_have_text("2 selected")
    before = studio_total(studio)
    page.keyboard.press("Delete")
    wait_until(lambda: studio_total(studio) == before - 2, 10, "the pictures did not go to the trash")
    page.get_by_role("button", name="Undo").press("Enter")
    wait_until(lambda: studio_total(studio) == before, 10, "the pictures did not come back")
    page.locator(".cell[tabindex='0']").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="Picture")).to_be_visible()
    for _ in range(12):
        page.keyboard.press("Tab")
        # Past its last button the focus visits the browser's own bar, which is the body to the page.
        assert page.evaluate("document.activeElement === document.body || Boolean(document.activeElement.closest('dialog'))")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert page.evaluate("document.activeElement.classList.contains('cell')")


def test_pictures_are_found_by_the_words_of_their_prompt(studio: Running, visit: Open) -> None:
    studio.post("generate?wait=60", {**QUICK, "prompt": "portrait of a person with a purple mohawk"})
    page = visit()
    show(page, "Gallery")
    page.get_by_role("searchbox").fill("mohawk purple")
    expect(page.locator(".gallery-bar p")).to_have_text("1 picture found")
    expect(page.locator(".cell")).to_have_count(1)
    page.get_by_role("searchbox").fill("a word in no prompt")
    expect(page.get_by_role("heading", name="Nothing found")).to_be_visible()


def test_filters_come_as_a_sheet_on_a_phone(studio: Running, visit: Open) -> None:
    studio.post("generate?wait=60", {"prompt": "portrait of a person in a sheet", "steps": 1, "width": 64, "height": 64})
    found: Any = studio.get("images?limit=1")
    page = visit(PHONE)
    show(page, "Gallery")
    expect(page.locator(".cell").first).to_be_visible()
    top = page.locator(".gallery-scroll").bounding_box()
    opener = page.get_by_role("button", name="Filters", exact=True)
    opener.click()
    sheet = page.get_by_role("dialog", name="Filters")
    expect(sheet.get_by_role("heading", name="Filters")).to_be_focused()
    # The pictures stay where they are, and Tab stays in the sheet.
    assert page.locator(".gallery-scroll").bounding_box() == top
    for _press in range(24):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement === document.body || document.activeElement.closest('.filters-sheet') !== null")
    sheet.get_by_label("Kind").select_option("upload")
    expect(sheet.get_by_role("button", name="Nothing fits")).to_be_visible()
    sheet.get_by_label("Kind").select_option("")
    expect(sheet.get_by_role("button", name=f"Show {found['total']} picture")).to_be_visible()
    sheet.get_by_role("button", name="Favourites").click()
    expect(sheet.get_by_role("button", name="Nothing fits")).to_be_visible()
    keep(page, "filters-phone")
    page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()
    expect(page.get_by_role("button", name="Filters, 1 active")).to_be_focused()
    # A phone's way back closes the sheet and leaves the studio open.
    page.get_by_role("button", name="Filters, 1 active").click()
    sheet.get_by_role("button", name="Clear all").click()
    page.go_back()
    expect(sheet).to_be_hidden()
    expect(opener).to_be_focused()
    opener.click()
    sheet.get_by_role("button", name=f"Show {found['total']} picture").click()
    expect(sheet).to_be_hidden()
    # Where there is room, the same choices stand in a row.
    opener.click()
    page.set_viewport_size({"width": DESKTOP[0], "height": DESKTOP[1]})
    expect(sheet).to_be_hidden()
    expect(page.locator("likeness-gallery > .filters").get_by_label("Kind")).to_be_visible()
    expect(opener).to_be_hidden()


def test_pictures_of_the_last_days_are_one_choice_and_days_of_ones_own_another(studio: Running, visit: Open) -> None:
    studio.post("generate?wait=60", {"prompt": "portrait of a person of today", "steps": 1, "width": 64, "height": 64})
    found: Any = studio.get("images?limit=1")
    page = visit(DESKTOP)
    show(page, "Gallery")
    filters, told = page.locator("likeness-gallery > .filters"), page.locator(".gallery-bar p")
    since, chips = filters.get_by_label("From", exact=True), page.get_by_role("group", name="Active filters")
    when = filters.get_by_label("When")
    expect(since).to_be_hidden()
    when.select_option("Today")
    expect(chips).to_contain_text("Today")
    expect(told).to_contain_text(str(found["total"]))
    when.select_option("Choose days …")
    expect(chips).to_be_hidden()
    expect(since).to_be_focused()
    since.fill("2099-01-02")
    # Whatever order a browser's own field has, the day is said in words.
    expect(chips).to_contain_text("From Jan 2, 2099")
    expect(page.get_by_role("heading", name="Nothing fits")).to_be_visible()
    filters.get_by_label("To", exact=True).fill("2099-01-03")
    expect(chips.get_by_role("button")).to_have_count(3)
    # The wrong way round they say the same.
    filters.get_by_label("To", exact=True).fill("2001-01-01")
    expect(told).to_contain_text(str(found["total"]))
    when.select_option("Last 7 days")
    expect(chips.get_by_role("button")).to_have_count(2)
    expect(told).to_contain_text(str(found["total"]))
    chips.get_by_role("button", name="Clear all").click()
    expect(when).to_have_value("")


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_analytics_speaks_plainly_until_figures_are_asked_for(studio: Running, visit: Open, size: tuple[int, int]) -> None:
    studio.post("generate", {"prompt": "portrait of a person who is counted", "steps": 1, "width": 64, "height": 64})
    page = visit(size)
    show(page, "Analytics")
    plain, figures = page.get_by_role("list", name="In plain words"), page.get_by_role("region", name="All figures")
    expect(plain.get_by_role("heading")).to_have_text(["Pictures made", "Favourites", "Jobs that worked", "How long it took"])
    expect(plain.get_by_text("Give a heart to what you like")).to_be_visible()
    expect(figures).to_be_hidden()
    page.get_by_role("button", name="All figures").click()
    expect(figures.get_by_role("heading", name="Waiting")).to_be_visible()
    figures.locator("summary").click()
    expect(figures.get_by_role("rowheader").first).to_be_visible()
    page.get_by_role("button", name="All figures").click()
    expect(figures).to_be_hidden()
    keep(page, f"analytics-{'phone' if size == PHONE else 'desktop'}")
    # The other view shows them at once; on a phone its switch says in a word which view holds.
    if size == PHONE:
        switch = page.get_by_role("button", name="Simple: Only what everyone needs. Press for the other view.")
        expect(switch).to_have_text("Simple")
        switch.click()
        expect(page.get_by_role("button", name="Advanced: Every control")).to_have_text("Advanced")
    else:
        page.get_by_role("button", name="Advanced", exact=True).click()
    expect(figures).to_be_visible()
    expect(plain).to_be_hidden()


def test_charts_that_cannot_be_fetched_leave_the_tables_and_can_be_tried_again(studio: Running, browser: Browser) -> None:
    studio.post("generate?wait=60", QUICK)
    page, faults = open_page(browser, studio.url, DESKTOP)
    page.route("**/plotly/*.js", lambda route: route.abort())
    page.reload()  # they are fetched ahead, as soon as nobody touches the page
    show(page, "Analytics")
    expect(page.get_by_text("The charts could not be fetched")).to_be_visible()
    expect(page.locator("likeness-analytics-tables summary").first).to_be_visible()
    chart = page.get_by_role("img", name="Pictures per day, as a chart")
    expect(chart).to_have_count(0)
    page.unroute("**/plotly/*.js")
    page.locator("likeness-charts").get_by_role("button", name="Try again").click()
    expect(chart).to_be_visible()
    page.locator("#analytics-days .bars path").first.wait_for(state="attached")
    # The sidebar folds, and the charts take its room.
    drawn = page.locator("#analytics-days .main-svg").first
    before = width(drawn)
    page.get_by_role("button", name="Fold the sidebar").click()
    wait_until(lambda: width(drawn) > before + 50, 20, "the charts keep their width")
    page.context.close()
    assert [fault for fault in faults if "ERR_FAILED" not in fault] == []


def test_charts_are_drawn_before_their_tab_is_opened_and_follow_what_was_made_since(studio: Running, visit: Open) -> None:
    studio.post("generate?wait=60", QUICK)
    page = visit(DESKTOP)
    early = page.locator(".analytics-early #analytics-days")
    early.locator(".bars path").first.wait_for(state="attached")  # nobody touched the page for a moment
    drawn = width(early.locator(".main-svg").first)
    show(page, "Analytics")
    chart = page.locator("#analytics #analytics-days")
    chart.locator(".bars path").first.wait_for(state="attached")
    expect(page.locator(".analytics-early")).to_have_count(0)
    assert width(chart.locator(".main-svg").first) == pytest.approx(drawn, abs=1)
    today = "document.querySelector('#analytics-days').data[0].y.at(-1)"
    count = page.evaluate(today)
    studio.post("generate?wait=60", QUICK)
    page.get_by_role("button", name="Count again").click()
    page.wait_for_function(f"{today} === {count + 1}")


def width(what: Locator) -> float:
    box = what.bounding_box()
    assert box is not None
    return box["width"]


def test_the_trash_is_emptied_only_after_a_question(studio: Running, visit: Open) -> None:
    studio.post("generate?wait=60", QUICK)
    before = studio_total(studio)
    studio.post("images/trash", {"ids": [pictures(studio)[0]["id"]]})
    page = visit()
    show(page, "Gallery")
    page.get_by_role("button", name="Trash", exact=True).click()
    expect(page.locator(".gallery-bar p")).to_have_text("1 picture")
    page.get_by_role("button", name="Empty trash").click()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert len(pictures(studio, trashed="true")) == 1
    page.get_by_role("button", name="Empty trash").click()
    page.get_by_role("button", name="Delete for good").click()
    expect(page.get_by_role("heading", name="The trash is empty")).to_be_visible()
    assert studio_total(studio) == before - 1


def test_the_colours_follow_the_system_until_someone_chooses(visit: Open) -> None:
    page = visit(dark=True)
    assert is_dark(page)
    page.locator(".theme-button").click()
    assert not is_dark(page)
    page.reload()
    usable(page)
    assert not is_dark(page)
    page.emulate_media(color_scheme="light")
    # Back to what the system says, and from there the first press is one that is seen.
    page.locator(".theme-button").click()
    assert not is_dark(page)
    page.locator(".theme-button").click()
    assert is_dark(page)


def test_an_idle_page_asks_for_nothing_and_nothing_comes_from_elsewhere(studio: Running, visit: Open, browser: Browser) -> None:
    context = browser.new_context()
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(studio.url)
    usable(page)
    show(page, "Gallery")
    page.wait_for_load_state("load")
    page.wait_for_selector(".cell:not([data-empty])")
    # What the page still fetches for its first sight, and for that of Analytics, ends; then nothing may follow.
    page.locator(".analytics-early .bars path").first.wait_for(state="attached")
    wait_until(lambda: _calm(page, asked), 20, "the page never comes to rest")
    before = len(asked)
    page.wait_for_timeout(5_000)
    assert len(asked) - before <= 1, asked[before:]
    assert {urlsplit(url).netloc for url in asked if not url.startswith(("data:", "blob:"))} == {urlsplit(studio.url).netloc}
    context.close()


def _calm(page: Page, asked: list[str]) -> bool:
    before = len(asked)
    page.wait_for_timeout(500)
    return len(asked) == before


def show(page: Page, tab: str) -> None:
    page.get_by_role("tab", name=tab).click()


def is_dark(page: Page) -> bool:
    return page.evaluate("document.body.classList.contains('dark')")


def keep(page: Page, name: str) -> None:
    SCREENS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENS / f"{name}.png")


def pictures(studio: Running, trashed: str = "false") -> list[dict[str, Any]]:
    found: Any = studio.get(f"images?limit=100&trashed={trashed}")
    return found["items"]


def studio_total(studio: Running) -> int:
    found: Any = studio.get("images?limit=1")
    return found["total"]
