"""The whole page in a language that was made up: every text a person meets has been through a catalogue."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from bench.rig import Running, running_studio
from tabs.languages import collect
from tests.browser.browsing import HOME, open_browser

SCREENS = HOME / "test-results" / "screens"
# Gradio and Intl know Japanese and write it without Latin letters, so English stands out wherever it comes from.
KNOWN = "ja"
# Gradio doesn't know Esperanto: there the page translates Gradio's components by itself.
UNKNOWN = "eo"
# What the studio itself says, what people wrote, and names: not the page's to translate.
SAID_ELSEWHERE = (
    "[lang=en], code, h1, img.picture, .compare-frame img, .ref-card label input, .viewer-facts .words, .engine dd, "
    "#comfy-title, #comfy-address, #toolkit-title, #toolkit-folder, #field-train-prior_prompt-input, "
    ".lora, .train-form .field-error, .analytics-early, "
    ".check, .setting-help, .setting-control, .setting-env, [data-preset], .template, .models li, .written-line, "
    ".viewer-facts dd, [role=listbox] [role=option], "
    ":is([data-filter=preset], [data-filter=style]) option, .analytics-table th[scope=row], #analytics-charts, "
    "#field-model input, [id^=field-character-preset] option, [id^=field-character-model] option, [id^=field-character-engine] option, "
    "#field-character-slug-input, #field-character-trigger_word-input, .walk-written, .caption-said"
)

# Visible texts and named attributes with Latin words that stand outside of ⟦ and ⟧.
ENGLISH = """(elsewhere) => {
    const found = new Set();
    const look = (text, where) => {
        let rest = text;
        for (let before = ''; before !== rest; ) {
            before = rest;
            rest = rest.replace(/⟦[^⟦⟧]*⟧/g, '');
        }
        if (/[A-Za-z]{2,}/.test(rest)) found.add(`${where}: ${text.trim()}`);
    };
    const names = ['aria-label', 'aria-description', 'aria-valuetext', 'title', 'placeholder', 'alt', 'data-tip', 'data-open'];
    for (const node of document.body.querySelectorAll('*')) {
        if (!node.checkVisibility() || node.closest(elsewhere) || ['SCRIPT', 'STYLE'].includes(node.tagName)) continue;
        const where = [node.tagName.toLowerCase(), ...node.classList].join('.');
        for (const part of node.childNodes) if (part.nodeType === Node.TEXT_NODE) look(part.data, where);
        for (const name of names) if (node.hasAttribute(name)) look(node.getAttribute(name), `${where}[${name}]`);
    }
    return [...found];
}"""

expect.set_options(timeout=30_000)


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    data = tmp_path_factory.mktemp("languages") / "data"
    folder = data / "languages"
    folder.mkdir(parents=True)
    for tag in (KNOWN, UNKNOWN):
        texts = {key: f"⟦{text}⟧" for key, text in collect().items()}
        (folder / f"{tag}.json").write_text(json.dumps(texts), encoding="utf-8")
    with running_studio(data) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


class Walk:
    """One page in a language, and what stayed English on the way through it."""

    def __init__(self, browser: Browser, url: str, language: str) -> None:
        self.context = browser.new_context(locale=language, viewport={"width": 1440, "height": 1200}, reduced_motion="reduce")
        self.page = self.context.new_page()
        self.page.set_default_timeout(30_000)
        self.english: list[str] = []
        self.faults: list[str] = []
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.goto(url)
        self.page.wait_for_function("document.documentElement.dataset.welcome")
        self.page.wait_for_selector("#tabs [role=tab]")

    def look(self, scene: str, also: str = "") -> None:
        found: list[str] = self.page.evaluate(ENGLISH, SAID_ELSEWHERE + also)
        self.english += [f"{scene}: {one}" for one in found]

    def press(self, name: str, where: str = "body") -> None:
        self.page.locator(where).get_by_role("button", name=f"⟦{name}⟧", exact=True).locator("visible=true").first.click()

    def tab(self, name: str, ready: str) -> None:
        self.page.locator(f'#tabs [role=tab][data-tab-id="{name}"]').click()
        self.page.locator(ready).locator("visible=true").first.wait_for()


@pytest.mark.timeout(900, func_only=True)
def test_every_text_of_the_page_can_be_translated(studio: Running, browser: Browser, tmp_path: Path) -> None:
    walk = Walk(browser, studio.url, KNOWN)
    page = walk.page
    walk_the_first_run(walk)
    studio.post("characters", {"name": "ノバ", "appearance": {"hair": "長い赤い髪", "age": 30}, "slug": "nova", "trigger_word": "nova_lk"})
    studio.post("generate?wait=60", {"prompt": "笑顔", "character": "nova", "count": 2, "steps": 2})
    page.reload()
    page.locator("button[data-level=advanced]").click()
    walk_generate(walk, tmp_path)
    walk_characters(walk)
    walk_train(walk, studio)
    walk_the_rest(walk)
    walk.context.close()
    assert not walk.english, "\n".join(dict.fromkeys(walk.english))
    assert walk.faults == []


def test_a_language_that_gradio_does_not_know_is_whole_too(studio: Running, browser: Browser) -> None:
    walk = Walk(browser, studio.url, UNKNOWN)
    walk.tab("generate", "#make")
    walk.page.locator("button[data-level=advanced]").click()
    walk.page.locator("#advanced button.label-wrap").click()
    expect(walk.page.locator("#tabs [role=tab]").first).to_have_text("⟦Setup⟧")
    expect(walk.page.locator("#make")).to_have_text("⟦Generate⟧")
    expect(walk.page.locator("#field-sampler input")).to_have_value("⟦As the preset says⟧")
    expect(walk.page.locator("#field-prompt textarea")).to_have_attribute("aria-label", "⟦Prompt⟧")
    # How long ago something was is said by the browser, which knows no Esperanto.
    walk.look("generate", also=", .stage-words, .status")
    walk.context.close()
    assert not walk.english, "\n".join(walk.english)


def test_a_browser_in_any_other_language_reads_english(studio: Running, browser: Browser) -> None:
    walk = Walk(browser, studio.url, "de-AT")
    expect(walk.page.locator("#tabs [role=tab]").first).to_have_text("Setup")
    assert walk.page.evaluate("document.documentElement.lang") == "en"
    walk.context.close()


def walk_the_first_run(walk: Walk) -> None:
    walk.tab("setup", ".walk-page h2")
    walk.look("first run")
    walk.press("Show me around")
    walk.page.locator(".checks-fold").wait_for()
    walk.look("check-up")
    walk.press("Continue")
    walk.page.locator(".template").first.wait_for()
    walk.look("first character")
    walk.press("Skip this step")
    walk.look("first picture")
    for tab, ready in (
        ("generate", ".easel .welcome"),
        ("characters", ".people-welcome"),
        ("train", ".train-empty"),
        ("gallery", "likeness-gallery .empty"),
    ):
        walk.tab(tab, ready)
        walk.look(f"empty {tab}")
    walk.tab("setup", ".walk-page h2")
    walk.press("Skip for now")


def walk_generate(walk: Walk, tmp_path: Path) -> None:
    page = walk.page
    walk.tab("generate", ".result")
    for part in ("starting", "advanced"):
        page.locator(f"#{part} button.label-wrap").click()
    page.get_by_role("radio", name="ノバ").check(force=True)
    page.locator("#field-prompt textarea").fill("笑顔")
    page.locator("#field-grid select").first.select_option("cfg")
    page.locator("#field-grid input").first.fill("2, 4")
    expect(page.locator(".sum")).to_contain_text("⟦2 jobs⟧")
    page.locator(".fold summary").click()
    expect(page.locator(".row").first).to_be_visible()
    walk.look("generate")
    page.locator("#field-steps input").fill("0")
    page.locator("#field-sampler input").click()
    page.keyboard.press("Escape")
    page.locator(".result").first.hover()
    page.locator(".result-acts button").nth(2).click()
    page.locator(".source-side").wait_for()
    walk.press("Paint a mask")
    page.locator(".mask-paper").wait_for()
    walk.look("mask painter")
    walk.press("Cancel", ".mask-dialog")
    photo = tmp_path / "海.png"
    Image.radial_gradient("L").resize((128, 128)).save(photo)
    walk.press("Start from nothing again")
    walk.press("Choose references")
    page.locator(".library-dialog input[type=file][multiple]").set_input_files(photo)
    expect(page.locator(".ref-card")).to_have_count(1)
    walk.look("references")
    walk.press("Use these", ".library-dialog")
    page.locator(".ask-real input[type=radio]").last.check()
    walk.look("a picture to start from")


def walk_characters(walk: Walk) -> None:
    page = walk.page
    walk.tab("characters", ".person-card")
    walk.look("characters")
    page.locator(".person-open").first.click()
    page.locator(".page-act, .page-acts").first.wait_for()
    page.locator(".page-job").first.wait_for()
    walk.look("a character")
    walk.press("Edit")
    page.locator(".character-form").wait_for()
    walk.look("editing")
    walk.press("Cancel", ".character-form")
    walk.press("All characters")
    walk.press("New character")
    page.locator(".form-templates summary").click()
    page.locator("input[name=character-kind][value=consented]").check(force=True)
    page.locator("#field-character-appearance-age-input").fill("17")
    page.locator(".character-form [type=submit]").click()
    page.locator(".character-form .field-error").first.wait_for()
    walk.press("Add a handle")
    walk.look("a new character")
    walk.press("Cancel", ".form-foot")
    page.locator("dialog.ask").wait_for()
    walk.look("leaving")
    walk.press("Discard", "dialog.ask")


def walk_train(walk: Walk, studio: Running) -> None:
    page = walk.page
    for drawn in (Image.radial_gradient("L"), Image.linear_gradient("L")):
        photo = io.BytesIO()
        drawn.resize((64, 64)).save(photo, "PNG")
        httpx.post(f"{studio.url}/api/v1/characters/nova/images", files={"file": ("海.png", photo.getvalue())}).raise_for_status()
    learn = {"character": "nova", "preset": "quick", "steps": 2, "save_every": 2, "sample_every": 1, "batch": 1, "resolution": 64}
    studio.post("training", learn | {"samples": ["{trigger_word}"]})
    walk.tab("train", ".train-run .train-state")
    expect(page.locator(".train-run .train-state")).to_have_text("⟦Done⟧", timeout=240_000)
    page.locator(".train-new > summary").click()
    page.locator(".train-more > summary").click()
    page.locator("#field-train-steps-input").fill("0")
    page.locator(".train-go").click()
    page.locator("#field-train-steps .field-error").wait_for()
    for fold in page.locator(".train-run .train-fold > summary").locator("visible=true").all():
        fold.click()
    page.locator(".train-log li").first.wait_for()
    page.locator(".train-checkpoint button").first.click()
    page.locator(".train-versions li").wait_for()
    walk.look("train")
    page.locator(".train-views").get_by_role("button", name="⟦Pictures⟧").click()
    page.locator(".dataset-cell img").first.wait_for()
    write = page.locator(".dataset-acts").get_by_role("button", name="⟦Write captions …⟧")
    write.click()
    page.locator(".caption-obstacle").wait_for()
    walk.look("captions without a model")
    page.keyboard.press("Escape")
    set_to = {"caption_url": "http://127.0.0.1:9/v1", "caption_model": "seer"}
    httpx.patch(f"{studio.url}/api/v1/settings", json=set_to).raise_for_status()
    write.click()
    page.locator(".caption-where").wait_for()
    walk.look("captions")
    page.locator("dialog .ask-acts .primary").click()
    # Nobody answers there, and it asks again for some seconds.
    page.locator(".caption-going").wait_for()
    walk.look("captions being written")
    page.locator(".caption-going button").click()
    page.locator(".caption-outcome").wait_for()
    walk.look("captions that were cancelled")


def walk_the_rest(walk: Walk) -> None:
    page = walk.page
    walk.tab("gallery", "likeness-gallery .cell:not([data-empty])")
    page.locator(".filters").hover()
    walk.look("gallery")
    page.locator("likeness-gallery .cell").first.click()
    page.locator(".viewer-facts dl").wait_for()
    walk.look("viewer")
    page.keyboard.press("Escape")
    expect(page.locator("dialog[open]")).to_have_count(0)
    for number in (0, 1):
        page.locator("likeness-gallery .cell").nth(number).focus()
        page.keyboard.press("Space")
        expect(page.locator("likeness-gallery .cell[aria-selected=true]")).to_have_count(number + 1)
    walk.look("a selection")
    walk.press("Compare")
    page.locator("dialog.compare").wait_for()
    walk.look("compare")
    page.keyboard.press("Escape")
    page.locator(".filter-heart").click()
    page.locator("likeness-gallery .empty").wait_for()
    walk.look("nothing found")
    walk.tab("analytics", ".analytics-figures .analytics-card")
    page.locator("#analytics-days svg.main-svg").first.wait_for()
    for fold in page.locator("#analytics details > summary").all():
        fold.click()
    expect(page.locator("#analytics-characters .legendtext").first).to_contain_text("⟦")
    walk.look("analytics")
    page.locator("button[data-level=simple]").click()
    walk.look("analytics in plain words")
    page.locator("button[data-level=advanced]").click()
    walk.tab("setup", ".setup-board .check")
    page.locator(".setting").first.wait_for()
    page.locator(".place").first.wait_for()
    walk.look("setup")
    SCREENS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENS / "languages-setup.png")
