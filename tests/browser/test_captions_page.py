"""Captions by a vision model in a browser: the way to one, the question, how it goes, and what failed. A real server answers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from oracle import Oracle, hangs, running_oracle, says, sees
from playwright.sync_api import Browser, Page, Route, expect

from bench.rig import Running, running_studio, wait_until
from tests.browser.browsing import DESKTOP, HOME, PHONE, open_browser, open_page
from tests.browser.test_train_tab import api_of, face, make_active

SCREENS = HOME / "test-results" / "screens"
STOOD = "A woman with brown hair and blue eyes stands in a red coat, smiling."

expect.set_options(timeout=60_000)


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    with running_oracle() as running:
        yield running


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A studio with Nova, who has a dataset of four pictures without captions, Rita, a real person, and two references."""
    with running_studio(tmp_path_factory.mktemp("captions") / "data") as running:
        consent = {"who": "Rita Example", "what_for": "training"}
        for fields in ({"name": "Nova"}, {"name": "Rita", "kind": "consented", "consent": consent}):
            running.post("characters", fields)
        with api_of(running) as api:
            for who in ("nova", "rita"):
                made = api.post("datasets", json={"character": who}).json()
                files = [("file", (f"{number}.png", face(number), "image/png")) for number in range(4)]
                assert api.post(f"datasets/{made['id']}/images", files=files).status_code == 201
            for number in (4, 5):
                pose = [("file", (f"{number}.png", face(number), "image/png"))]
                assert api.post("images?kind=reference&category=Poses", files=pose).status_code == 201
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


def use(studio: Running, url: str, model: str = "seer") -> None:
    with api_of(studio) as api:
        assert api.patch("settings", json={"caption_url": url, "caption_model": model}).status_code == 200


def show_pictures(page: Page, studio: Running, slug: str) -> None:
    make_active(page, studio, slug)
    page.get_by_role("tab", name="Train").click()
    page.locator(".train-views").get_by_role("button", name="Pictures").click()
    page.locator(".dataset-cell img").first.wait_for()


def begin(page: Page) -> Any:
    """Press the button above the pictures; gives the dialog."""
    page.locator(".dataset-acts").get_by_role("button", name="Write captions …").click()
    return page.get_by_role("dialog", name="Write captions")


@pytest.mark.timeout(900, func_only=True)
def test_captions_are_set_up_written_and_tried_again(studio: Running, browser: Browser, oracle: Oracle) -> None:
    page, faults = open_page(browser, studio.url)

    # Without a vision model the dialog leads to its settings, and these try it
    show_pictures(page, studio, "nova")
    dialog = begin(page)
    expect(dialog).to_contain_text("No vision model is set up.")
    expect(dialog.get_by_role("button", name="Write 4 captions")).to_be_hidden()
    dialog.get_by_role("button", name="Set it up").click()
    address = page.locator("#setting-caption_url")
    address.fill(f"{oracle.url}/v1")
    address.press("Enter")
    expect(page.locator("#toasts")).to_contain_text("Saved: Address")
    page.get_by_role("button", name="Try it").click()
    expect(page.locator(".try-said")).to_contain_text("No vision model is chosen. Choose one that is there, such as llava:latest, seer.")
    model = page.locator("#setting-caption_model")
    model.fill("seer")
    model.press("Enter")
    expect(page.locator("#toasts")).to_contain_text("Saved: Model")
    oracle.will(sees)
    page.get_by_role("button", name="Try it").click()
    expect(page.locator(".try-said")).to_have_text("“seer” sees pictures and describes them.")

    # The question says where pictures go; then they come one by one
    page.get_by_role("tab", name="Train").click()
    dialog = begin(page)
    expect(dialog.locator(".caption-where")).to_have_text(f"Pictures go to seer at {oracle.url}/v1, on this computer.")
    oracle.will(says(STOOD), says("I'm sorry, but I can't help with that."), hangs)
    oracle.reached.clear()
    dialog.get_by_role("button", name="Write 4 captions").click()
    expect(page.locator(".caption-going")).to_contain_text("Captions: 2 of 4")
    expect(page.locator("likeness-tray .row", has_text="Captions of Nova")).to_contain_text("2 of 4")
    expect(page.locator(".dataset-caption").first).to_have_text("nova_lk stands in a red coat, smiling.")
    page.locator(".caption-going").get_by_role("button", name="Cancel").click()
    outcome = page.locator(".caption-outcome")
    expect(outcome).to_contain_text("1 caption written, 1 failed, 2 left")
    expect(outcome.locator(".caption-list li")).to_contain_text("declined to describe this picture")
    page.screenshot(path=SCREENS / "captions.png")

    # A reload shows it again; it goes on with those that are missing, and all of it is one undo
    page.reload()
    show_pictures(page, studio, "nova")
    oracle.asked.clear()
    oracle.will(says(STOOD, usage={"prompt_tokens": 100, "completion_tokens": 10}))
    outcome.get_by_role("button", name="Go on").click()
    expect(outcome).to_contain_text("4 captions written")
    assert len(oracle.asked) == 3
    expect(page.locator(".dataset-head")).to_contain_text("4 of 4 have a caption")
    page.locator(".dataset-acts").get_by_role("button", name="Undo", exact=True).click()
    expect(page.locator(".dataset-head")).to_contain_text("0 of 4 have a caption")

    # A choice of them
    page.locator(".dataset-cell").first.click()
    page.locator(".dataset-selection").get_by_role("button", name="Write captions …").click()
    page.get_by_role("dialog", name="Write captions").get_by_role("button", name="Write 1 caption").click()
    expect(page.locator(".dataset-head")).to_contain_text("1 of 4 have a caption")
    expect(begin(page)).to_contain_text("Those without a caption")
    page.context.close()
    assert faults == []


@pytest.mark.timeout(900, func_only=True)
def test_real_peoples_pictures_leave_this_computer_only_with_a_yes(studio: Running, browser: Browser) -> None:
    use(studio, "https://vision.example/v1")
    page, faults = open_page(browser, studio.url)
    show_pictures(page, studio, "rita")
    dialog = begin(page)
    expect(dialog.locator(".caption-where")).to_contain_text(
        "Pictures leave this computer: they are sent to seer at https://vision.example/v1."
    )
    go = dialog.get_by_role("button", name="Write 4 captions")
    expect(go).to_be_disabled()
    dialog.get_by_label("They agreed that these pictures are sent to vision.example").check()
    expect(go).to_be_enabled()
    dialog.get_by_role("button", name="Cancel").click()
    with api_of(studio) as api:
        api.patch("characters/rita", json={"consent": None})
    expect(begin(page)).to_contain_text("nothing says that they agreed")
    expect(go).to_be_disabled()
    page.context.close()
    assert faults == []


@pytest.mark.timeout(900, func_only=True)
def test_an_answer_that_comes_after_the_end_brings_nothing_back_to_life(studio: Running, browser: Browser, oracle: Oracle) -> None:
    use(studio, f"{oracle.url}/v1")
    page, faults = open_page(browser, studio.url)
    show_pictures(page, studio, "nova")

    def after_the_end(route: Route) -> None:
        answer = route.fetch()
        job = answer.json()["id"]
        wait_until(lambda: studio.get(f"jobs/{job}")["state"] in ("done", "cancelled"), 60, "the job ended")
        # The stream has told of it by then: it looks five times a second.
        time.sleep(1)
        route.fulfill(response=answer)

    outcome, going = page.locator(".caption-outcome"), page.locator(".caption-going")
    page.route("**/api/v1/captions", after_the_end)
    oracle.will(says(STOOD))
    dialog = begin(page)
    dialog.get_by_role("radio", name="All 4").check()
    dialog.get_by_role("button", name="Write 4 captions").click()
    expect(outcome).to_contain_text("4 captions written")
    expect(going).to_be_hidden()
    page.unroute("**/api/v1/captions")

    page.route("**/api/v1/jobs/*/cancel", after_the_end)
    oracle.will(says(STOOD), hangs)
    dialog = begin(page)
    dialog.get_by_role("radio", name="All 4").check()
    dialog.get_by_role("button", name="Write 4 captions").click()
    expect(going).to_contain_text("Captions: 1 of 4")
    going.get_by_role("button", name="Cancel").click()
    expect(outcome).to_contain_text("1 caption written, 3 left")
    expect(going).to_be_hidden()
    page.wait_for_timeout(500)
    expect(page.locator("likeness-tray .row", has_text="Captions of Nova").first).to_contain_text("Cancelled")
    page.unroute_all()
    page.context.close()
    assert faults == []


@pytest.mark.timeout(900, func_only=True)
def test_references_get_captions_where_they_are_chosen(studio: Running, browser: Browser, oracle: Oracle) -> None:
    use(studio, f"{oracle.url}/v1")
    page, faults = open_page(browser, studio.url)
    page.get_by_role("tab", name="Generate").click()
    page.locator("#starting button.label-wrap").click()
    page.get_by_role("button", name="Choose references").click()
    library = page.get_by_role("dialog", name="References")
    library.get_by_role("button", name="Write captions …").click()
    oracle.will(says("The image shows a young woman who leans on a wall."))
    page.get_by_role("dialog", name="Write captions").get_by_role("button", name="Write 2 captions").click()
    expect(library.locator(".caption-outcome")).to_contain_text("2 captions written")
    expect(library.get_by_placeholder("What it shows").first).to_have_value("A woman who leans on a wall.")
    library.locator(".caption-outcome").get_by_role("button", name="Undo").click()
    expect(library.get_by_placeholder("What it shows").first).to_have_value("")
    # Where they leave this computer, somebody has to say who is in them.
    use(studio, "https://vision.example/v1")
    library.get_by_role("button", name="Write captions …").click()
    dialog = page.get_by_role("dialog", name="Write captions")
    go = dialog.get_by_role("button", name="Write 2 captions")
    expect(go).to_be_disabled()
    yes = dialog.get_by_role("radio", name="Yes")
    yes.check()
    expect(yes).to_be_focused()
    expect(go).to_be_disabled()
    dialog.get_by_role("radio", name="No", exact=False).first.check()
    expect(go).to_be_enabled()
    page.context.close()
    assert faults == []


@pytest.mark.timeout(900, func_only=True)
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_question_shuts_nobody_out(studio: Running, browser: Browser, oracle: Oracle, size: tuple[int, int], dark: bool) -> None:
    use(studio, "https://vision.example/v1")
    page, _ = open_page(browser, studio.url, size, dark=dark)
    page.add_style_tag(content="*, *::before, *::after { transition: none !important; animation: none !important }")
    show_pictures(page, studio, "nova")
    expect(begin(page).locator(".caption-where")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    found = Axe().run(page).response["violations"]
    page.screenshot(path=SCREENS / f"captions-{'phone' if size == PHONE else 'desktop'}-{'dark' if dark else 'light'}.png")
    page.context.close()
    assert [f"{one['id']} at {node['target']}: {node['failureSummary']}" for one in found for node in one["nodes"]] == []
