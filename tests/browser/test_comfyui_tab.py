"""The Generate tab with a real ComfyUI: a graph is imported, its inputs become fields, and it makes a picture."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from comfyui.graphs import text_to_image
from comfyui.server import Server, install
from playwright.sync_api import expect

from bench.rig import Running, running_studio, wait_until
from tests.browser.browsing import HOME, open_browser, open_page

SCREENS = HOME / "test-results" / "screens"

expect.set_options(timeout=60_000)


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Server]]:
    install()
    with Server(tmp_path_factory.mktemp("comfyui")) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("COMFYUI_URL", server.url)
        with running_studio(tmp_path_factory.mktemp("with-comfyui") / "data") as running:
            wait_until(lambda: "tiny_sd15" in json.dumps(running.get("models")), 60, "the server's models were not seen")
            yield running, server


@pytest.mark.timeout(300, func_only=True)
def test_an_imported_workflow_makes_a_picture_and_a_server_that_is_gone_is_told(studio: tuple[Running, Server], tmp_path: Path) -> None:
    running, server = studio
    file = tmp_path / "my_cat.json"
    file.write_text(json.dumps(text_to_image(seed=3)))
    SCREENS.mkdir(parents=True, exist_ok=True)
    with open_browser() as browser:
        page, faults = open_page(browser, running.url)
        page.get_by_role("button", name="Advanced", exact=True).click()
        page.locator("#advanced button.label-wrap").click()
        field = page.locator("likeness-workflow")
        field.get_by_role("button", name="Import a workflow").click()
        dialog = page.locator(".import-dialog")
        dialog.locator("input[type=file]").set_input_files({"name": "bad.json", "mimeType": "application/json", "buffer": b'{"nodes": []}'})
        expect(dialog).to_contain_text("as ComfyUI's page shows it")
        dialog.locator("input[type=file]").set_input_files(file)
        expect(dialog).to_contain_text("Your server has all")
        sampler = dialog.locator('.import-row[data-node="3"][data-input="denoise"]')
        expect(sampler.locator("[type=checkbox]")).to_be_checked()
        # Range and help are the server's own.
        steps = dialog.locator('.import-row[data-node="3"][data-input="steps"] label')
        expect(steps).to_contain_text("1 to 10000")
        expect(steps).to_have_attribute("data-tip", re.compile("denoising"))
        loader = dialog.locator('.import-row[data-node="4"][data-input="ckpt_name"]')
        loader.locator("[type=text]").fill("Which model")
        page.screenshot(path=SCREENS / "workflow-import.png")
        dialog.get_by_role("button", name="Import", exact=True).click()
        expect(field.locator("select").first).to_have_value("my-cat")
        expect(field.get_by_label("Which model")).to_have_value("tiny_sd15.safetensors")
        field.scroll_into_view_if_needed()
        page.screenshot(path=SCREENS / "workflow-chosen.png")
        grey = field.locator('option[value="sdxl_instantid"]')
        expect(grey).to_be_disabled()
        expect(grey).to_contain_text("Install the node pack ComfyUI InstantID (commit 1ef34ef)")
        field.get_by_role("button", name="Rename").click()
        renaming = page.locator(".import-dialog")
        renaming.get_by_label("Name", exact=True).fill("Tom in oil")
        renaming.get_by_label("Description").fill("Thick paint.")
        renaming.get_by_label("checkpoint").fill("Model file")
        page.screenshot(path=SCREENS / "workflow-rename.png")
        renaming.get_by_role("button", name="Save").click()
        expect(field.locator('option[value="my-cat"]')).to_have_text("Tom in oil")
        expect(field.get_by_label("Model file")).to_have_value("tiny_sd15.safetensors")
        expect(field).to_contain_text("Thick paint.")
        page.get_by_label("Prompt", exact=True).fill("a dog")
        page.locator("#make").click()
        wait_until(lambda: bool(running.get("images")["items"]), 90, "no picture came")
        picture = running.get("images")["items"][0]
        assert (picture["recipe"]["workflow"], picture["recipe"]["steps"], picture["recipe"]["prompt"]) == ("my-cat", 2, "a dog")
        assert (picture["width"], picture["height"]) == (64, 64)
        server.kill()
        expect(page.locator("likeness-offline")).to_contain_text("ComfyUI is not reachable")
        expect(page.locator("#make")).to_be_hidden()
        page.screenshot(path=SCREENS / "workflow-offline.png")
        page.locator("likeness-offline").get_by_role("button", name="Open Setup").click()
        expect(page.locator("likeness-setup")).to_be_visible()
        # The file in the page's own form was refused: browsers write down every 422.
        assert [fault for fault in faults if "422" not in fault] == []
