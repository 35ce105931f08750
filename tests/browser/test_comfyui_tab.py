"""The Generate tab with a real ComfyUI: a graph is imported, its inputs become fields, and it makes a picture."""

from __future__ import annotations

import functools
import http.server
import json
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from comfyui.graphs import text_to_image
from comfyui.server import Server, install
from comfyui.test_managed import COMMIT, Keeper, Shop, pins_file, small_archive
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


def test_an_installation_is_seen_from_every_tab_and_its_log_is_followed(tmp_path: Path) -> None:
    serving = functools.partial(Keeper, shop=(shop := Shop(tmp_path / "shop", slow=0.05)))
    shop.folder.mkdir()
    small_archive(shop.folder / f"{COMMIT}.zip", size=100_000_000)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serving) as server, pytest.MonkeyPatch.context() as patch:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        shop.url = f"http://127.0.0.1:{server.server_address[1]}"
        patch.delenv("COMFYUI_URL", raising=False)
        patch.setenv("LIKENESS_ENGINE_PINS", str(pins_file(shop, tmp_path)))
        patch.setenv("LIKENESS_COMFYUI_PYTHON", sys.executable)
        with running_studio(tmp_path / "data") as running, open_browser() as browser:
            page, faults = open_page(browser, running.url)
            work = page.locator("likeness-engine-work")
            expect(work).to_be_hidden()
            running.post("engines/comfyui/install", {})
            expect(work).to_contain_text("Installing ComfyUI")
            page.get_by_role("tab", name="Gallery").click()
            expect(work).to_be_visible()
            page.reload()
            work.locator(".work-show").click()
            card = page.locator(".comfy-card")
            card.get_by_role("button", name="View log").click()
            log = card.get_by_role("log")
            expect(log).to_contain_text("Getting http://127.0.0.1")
            written = running.data / "engines" / "comfyui" / "install.log"
            write(written, "".join(f"line {number}\n" for number in range(200)))
            expect(log).to_contain_text("line 199")
            assert log.evaluate("node => node.scrollHeight - node.scrollTop - node.clientHeight") < 24, "it follows the end"
            log.evaluate("node => { node.scrollTop = 0 }")
            write(written, "while somebody reads\n")
            expect(log).to_contain_text("while somebody reads")
            assert log.evaluate("node => node.scrollTop") == 0, "who reads is left where he is"
            card.get_by_role("button", name="To the end").click()
            expect(card.get_by_role("button", name="To the end")).to_be_hidden()
            card.get_by_role("button", name="Pause").click()
            work.locator(".work-cancel").click()
            expect(work).to_be_hidden()
            expect(card).to_contain_text("Not installed")
            assert faults == []
        server.shutdown()


def write(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(text)
