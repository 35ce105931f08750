"""The page with a real ComfyUI: a character sheet, larger pictures, what a preset lacks, a graph of one's own, an engine that is away."""

from __future__ import annotations

import io
import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from comfyui.graphs import text_to_image, tiny_sheet
from comfyui.server import KIT, Server, free_port, home, install
from comfyui.test_managed import pins_file, small_archive
from PIL import Image
from playwright.sync_api import expect
from shop import COMMIT, open_shop

from bench.rig import Running, running_studio, wait_until
from tests.browser.browsing import HOME, open_browser, open_page, usable

SCREENS = HOME / "test-results" / "screens"

expect.set_options(timeout=60_000)


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Server]]:
    install()
    base = tmp_path_factory.mktemp("comfyui")
    # Models by their names alone: what one needs beside it is not there, and the other is newer than the server.
    models = base / "models" / "diffusion_models"
    models.mkdir(parents=True)
    for name in ("flux1-dev", "flux3imageklein"):
        (models / f"{name}.safetensors").touch()
    with Server(base) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("COMFYUI_URL", server.url)
        with running_studio(tmp_path_factory.mktemp("with-comfyui") / "data") as running:
            wait_until(lambda: "tiny_sd15" in json.dumps(running.get("models")), 60, "the server's models were not seen")
            yield running, server


@pytest.mark.timeout(300, func_only=True)
def test_one_portrait_becomes_a_sheet_whose_good_views_become_photos(studio: tuple[Running, Server]) -> None:
    running, _ = studio
    SCREENS.mkdir(parents=True, exist_ok=True)
    with client(running) as api, open_browser() as browser:
        api.post("workflows", files={"file": ("tiny_sheet.json", tiny_sheet(6))}, data={"choices": "{}"}).raise_for_status()
        mira = api.post("characters", json={"name": "Mira"}).json()
        page, faults = open_page(browser, running.url)
        page.get_by_role("tab", name="Characters").click()
        page.locator(".person-open", has_text="Mira").click()

        # Without a picture it says so, and leads there.
        page.get_by_role("button", name="Character sheet …").click()
        order = page.locator(".sheet-order")
        expect(order.locator(".sheet-obstacle")).to_have_count(1)
        expect(order.locator(".sheet-obstacle")).to_contain_text("There is no picture of Mira to start from.")
        expect(order.locator(".sheet-foot .primary")).to_be_disabled()
        with page.expect_file_chooser() as chooser:
            order.get_by_role("button", name="Choose photos").click()
        chooser.value.set_files({"name": "mira.png", "mimeType": "image/png", "buffer": portrait()})
        expect(page.locator(".photo[data-photo]")).to_have_count(1)

        # Views are chosen by group or one by one, and counted; what can't be used says what it lacks.
        page.get_by_role("button", name="Character sheet …").click()
        order.locator("summary").click()
        lacking = order.locator(".sheet-maker[data-off]", has_text="FLUX.1 Kontext")
        expect(lacking).to_contain_text("flux1-dev-kontext_fp8_scaled.safetensors")
        expect(lacking.get_by_role("link", name="Get it")).to_have_attribute("href", re.compile("^https://huggingface.co/"))
        expect(order.locator(".sheet-maker[data-off]", has_text="Starter model")).to_contain_text("draws every face anew")
        make = order.locator(".sheet-foot .primary")
        expect(make).to_have_text("Make 6 pictures")
        order.locator("fieldset[data-group=outfits] legend input").uncheck()
        order.get_by_label("Studio", exact=True).uncheck()
        expect(make).to_have_text("Make 1 picture")
        order.locator("fieldset[data-group=outfits] legend input").check()
        order.get_by_label("T-shirt").uncheck()
        expect(make).to_have_text("Make 4 pictures")
        make.click()

        # A closed tab loses nothing.
        expect(page.locator(".sheet-review")).to_be_visible()
        page.reload()
        usable(page)
        page.get_by_role("tab", name="Characters").click()
        page.locator(".page-sheet").get_by_role("button", name="Look through it").click()
        review = page.locator(".sheet-review")
        words = review.get_by_role("status")
        expect(words).to_have_text("4 to decide", timeout=120_000)
        shots = review.locator(".sheet-shot")
        expect(shots).to_have_count(4)

        # By keys, one after another, and back.
        page.keyboard.press("k")
        expect(words).to_have_text("3 to decide · 1 kept")
        page.keyboard.press("t")
        expect(words).to_have_text("2 to decide · 1 kept · 1 thrown")
        expect(shots.nth(2).locator(".tile")).to_be_focused()
        page.keyboard.press("ArrowLeft")
        expect(shots.nth(1)).to_have_attribute("data-verdict", "thrown")
        page.keyboard.press("u")
        expect(words).to_have_text("3 to decide · 1 kept")
        page.keyboard.press("Delete")
        expect(words).to_have_text("2 to decide · 1 kept · 1 thrown")
        page.screenshot(path=SCREENS / "character-sheet.png")
        assert Axe().run(page).response["violations"] == []
        review.get_by_role("button", name="Select all").click()
        review.locator(".sheet-acts").get_by_role("button", name="Keep").click()
        review.get_by_role("button", name="Add 3 to the photos").click()
        expect(review).to_have_count(0)
        expect(page.locator(".photo[data-photo]")).to_have_count(4)
        expect(page.locator(".photo-made")).to_have_count(3)
        expect(page.locator(".page-sheet")).to_have_count(0)
        photos = api.get(f"characters/{mira['id']}/images").json()["items"]
        assert [photo["caption"].partition(", ")[0] for photo in photos[1:]] == [mira["trigger_word"]] * 3
        assert len(api.get("images", params={"trashed": True}).json()["items"]) == 1
        assert faults == []


@pytest.mark.timeout(300, func_only=True)
def test_pictures_are_enlarged_and_presets_say_what_the_server_lacks(studio: tuple[Running, Server]) -> None:
    running, _ = studio
    ask = {"model": "comfyui/checkpoints/tiny_sd15.safetensors", "prompt": "a lighthouse", "width": 64, "height": 64, "steps": 2, "seed": 5}
    job: Any = running.post("generate", ask)
    wait_until(lambda: state_of(running, job["job_id"]) == "done", 90, "no picture came")
    with open_browser() as browser:
        page, faults = open_page(browser, running.url)
        page.get_by_role("tab", name="Gallery").click()
        cell = page.locator(".cell[aria-label='a lighthouse']")
        cell.first.click()
        page.locator(".viewer-acts").get_by_role("button", name="Enlarge …").click()
        expect(page.locator(".enlarge-ways .button:enabled")).to_have_count(3)
        page.get_by_role("button", name="More detail").click()
        wait_until(lambda: sizes(running) == {(64, 64), (96, 96)}, 90, "no finer picture came")
        page.keyboard.press("Escape")
        expect(cell).to_have_count(2)
        for index in range(2):
            cell.nth(index).locator(".tick").click(force=True)
        page.locator(".selection-bar").get_by_role("button", name="Enlarge …").click()
        page.get_by_role("button", name="Upscale 2×").click()
        wait_until(lambda: sizes(running) == {(64, 64), (96, 96), (128, 128), (192, 192)}, 90, "no larger pictures came")
        page.locator(".selection-bar").get_by_role("button", name="Clear").click()
        expect(cell).to_have_count(4)
        cell.first.click()
        parent = page.locator(".viewer-facts dd > .link").first.inner_text()
        page.locator(".viewer-facts dd > .link").first.click()
        expect(page.locator(".viewer-facts dd").last).to_have_text(parent)
        page.keyboard.press("Escape")

        # A model whose files are not all there: its presets are grey, say which file, and lead to it.
        page.context.route("https://huggingface.co/**", lambda route: route.fulfill(body="here it is"))
        page.get_by_role("tab", name="Generate").click()
        page.locator("#advanced button.label-wrap").click()
        page.locator("#field-model input").click()
        page.get_by_role("option", name="flux1-dev (ComfyUI)").click()
        page.get_by_role("button", name=re.compile("^Show all .* presets$")).click()
        card = page.locator("likeness-cards .option.unfit", has_text="clip_l.safetensors").first
        expect(card.locator("input")).to_be_disabled()
        card.scroll_into_view_if_needed()
        page.screenshot(path=SCREENS / "preset-lacks.png")
        card.click(force=True)  # its button is disabled; a press on the card says why
        told = page.locator(".toast.warn", has_text="clip_l.safetensors")
        with page.context.expect_page() as opened:
            told.get_by_role("button", name="Where it is").click()
        assert opened.value.url.startswith("https://huggingface.co/") and opened.value.url.endswith("clip_l.safetensors")
        assert page.locator("likeness-cards input:checked").get_attribute("value") == "", "a preset that does not run is not chosen"
        # One that is about the sampling, which FLUX has of its own.
        page.locator("likeness-cards .option[data-preset='quick_sketch_v1']").click(force=True)
        expect(page.get_by_text("The preset “Quick look” is not made for models for FLUX.1").last).to_be_visible()

        # A server too old for a model: its presets say which version has the nodes.
        page.locator("#field-model input").click()
        page.get_by_role("option", name="flux3imageklein (ComfyUI)").click()
        old = page.locator("likeness-cards .option.unfit", has_text="needs ComfyUI 0.41.0 or newer; this server is 0.3.75").first
        expect(old.locator("input")).to_be_disabled()
        assert faults == []


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
        dialog.locator('.import-row[data-node="3"][data-input="steps"] [type=text]').fill("How long")
        dialog.locator('.import-row[data-node="3"][data-input="sampler_name"] [type=checkbox]').check()
        dialog.locator('.import-row[data-node="3"][data-input="sampler_name"] [type=text]').fill("Way down")
        page.screenshot(path=SCREENS / "workflow-import.png")
        dialog.get_by_role("button", name="Import", exact=True).click()
        expect(field.locator("select").first).to_have_value("my-cat")
        expect(field.get_by_label("Which model")).to_have_value("tiny_sd15.safetensors")
        # All that was ticked is there by the names that were given.
        expect(field.get_by_label("How long")).to_have_attribute("placeholder", "2")
        field.get_by_label("How long").fill("3")
        field.get_by_label("Way down").select_option("heun")
        expect(field.locator("[data-part=denoise] input")).to_be_visible()
        expect(field.locator(".workflow-main")).to_contain_text("→ Prompt")
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
        wait_until(lambda: bool(running.get("images?search=dog")["items"]), 90, "no picture came")
        picture = running.get("images?search=dog")["items"][0]
        assert [picture["recipe"][name] for name in ("workflow", "steps", "sampler", "prompt")] == ["my-cat", 3, "heun", "a dog"]
        assert (picture["width"], picture["height"]) == (64, 64)
        server.kill()
        expect(page.locator("likeness-offline")).to_contain_text("ComfyUI is not reachable")
        expect(page.locator("#make")).to_be_hidden()
        page.screenshot(path=SCREENS / "workflow-offline.png")
        # The address is the environment's: only looking after it helps.
        page.locator("likeness-offline").get_by_role("button", name="Show its address").click()
        expect(page.locator("likeness-setup")).to_be_visible()
        # The file in the page's own form was refused: browsers write down every 422.
        assert [fault for fault in faults if "422" not in fault] == []


def test_an_installation_is_seen_from_every_tab_and_its_log_is_followed(tmp_path: Path) -> None:
    with open_shop(tmp_path / "shop") as shop, pytest.MonkeyPatch.context() as patch:
        shop.slow = 0.05
        small_archive(shop.folder / f"{COMMIT}.zip", size=100_000_000)
        patch.delenv("COMFYUI_URL", raising=False)
        patch.setenv("LIKENESS_ENGINE_PINS", str(pins_file(shop, tmp_path)))
        patch.setenv("LIKENESS_COMFYUI_PYTHON", sys.executable)
        patch.setenv("LIKENESS_WALKED_THROUGH", "true")
        with running_studio(tmp_path / "data") as running, open_browser() as browser:
            page, faults = open_page(browser, running.url)
            work = page.locator("likeness-engine-work")
            expect(work).to_be_hidden()
            running.post("engines/comfyui/install", {})
            expect(work).to_contain_text("Installing ComfyUI")
            page.get_by_role("tab", name="Gallery").click()
            expect(work).to_be_visible()
            page.reload()
            usable(page)
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


def write(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


@pytest.mark.timeout(300, func_only=True)
def test_generate_carries_the_one_button_of_an_engine_that_is_away(tmp_path: Path) -> None:
    install()
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COMFYUI_URL", raising=False)
        front = tmp_path / "front"
        front.mkdir()
        (front / "index.html").write_text("<html></html>", "utf-8")
        for name, value in {
            "LIKENESS_COMFYUI_ARGUMENTS": f"--cpu --disable-api-nodes --front-end-root '{front}'",
            "PYTHONPATH": str(KIT / "stand_ins"),
            # Many threads on few cores wait for each other.
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
        }.items():
            patch.setenv(name, value)
        with running_studio(tmp_path / "data") as running, open_browser() as browser, client(running) as api:
            page, faults = open_page(browser, running.url)
            # As when a picture's settings are taken whose engine is away by now.
            model = {"name": "model", "value": "comfyui/checkpoints/tiny_sd15.safetensors"}
            page.evaluate("(detail) => document.dispatchEvent(new CustomEvent('likeness:menu', { detail }))", model)
            away = page.locator("likeness-offline")
            expect(away).to_contain_text("ComfyUI is not installed.")
            expect(page.locator("#make")).to_be_hidden()
            away.get_by_role("button", name="Install it on Setup").click()
            expect(page.locator("#comfy-title")).to_be_in_viewport()

            api.post("engines/comfyui/connect", json={"url": f"http://127.0.0.1:{free_port()}"}).raise_for_status()
            page.get_by_role("tab", name="Generate").click()
            expect(away).to_contain_text("ComfyUI is not reachable.")
            away.get_by_role("button", name="Show its address").click()
            expect(page.locator("#comfy-address")).to_be_focused()

            api.post("engines/comfyui/connect", json={"url": ""}).raise_for_status()
            api.post("engines/comfyui/connect", json={"folder": str(own_comfyui(tmp_path))}).raise_for_status()
            page.get_by_role("tab", name="Generate").click()
            start = away.get_by_role("button", name="Start ComfyUI")
            expect(start).to_be_visible()
            page.screenshot(path=SCREENS / "engine-start.png")
            start.click()
            expect(away.get_by_role("progressbar")).to_be_visible()
            expect(page.locator("#make")).to_be_visible(timeout=150_000)
            expect(away).to_be_empty()
            assert api.get("engines/comfyui").json()["reachable"]
            assert faults == []


@pytest.mark.timeout(300, func_only=True)
def test_what_a_server_has_can_be_chosen_as_soon_as_it_is_connected(tmp_path: Path) -> None:
    install()
    loras = tmp_path / "comfyui" / "models" / "loras"
    loras.mkdir(parents=True)
    SCREENS.mkdir(parents=True, exist_ok=True)
    with Server(tmp_path / "comfyui") as server, pytest.MonkeyPatch.context() as patch:
        patch.delenv("COMFYUI_URL", raising=False)
        patch.setenv("LIKENESS_WALKED_THROUGH", "true")
        with running_studio(tmp_path / "data") as running, open_browser() as browser:
            page, faults = open_page(browser, running.url)
            page.get_by_role("button", name="Advanced", exact=True).click()
            page.locator("#advanced button.label-wrap").click()
            expect(page.locator("likeness-loras .empty-line")).to_be_visible()
            page.locator("#field-model input").click()
            expect(page.get_by_role("option", name="tiny_sd15 (ComfyUI)")).to_have_count(0)
            page.keyboard.press("Escape")

            # The page is not loaded anew from here on.
            page.evaluate("window.theSamePage = true")
            page.get_by_role("tab", name="Setup").click()
            # It is looked for once, by the worker; nobody had to ask.
            wait_until(lambda: running.get("engines/comfyui")["looked"], 60, "nobody looked for a ComfyUI")
            page.locator("#comfy-address").fill(server.url)
            page.locator(".comfy-card").get_by_role("button", name="Connect", exact=True).click()
            expect(page.locator(".comfy-card .engine-head .tag")).to_have_text("Reachable")
            page.get_by_role("tab", name="Generate").click()
            expect(page.locator("likeness-loras .lora-name", has_text="tiny_lora")).to_be_visible()
            page.locator("#field-model input").click()
            page.get_by_role("option", name="tiny_sd15 (ComfyUI)").click()
            # Samplers are the server's now, by their own names where there are no others.
            page.locator("#field-sampler input").click()
            for name in ("Euler a", "heunpp2"):
                expect(page.get_by_role("option", name=name, exact=True)).to_have_count(1)
            expect(page.get_by_role("option", name="euler_ancestral", exact=True)).to_have_count(0)
            page.get_by_role("option", name="res_multistep", exact=True).click()
            page.locator("#field-scheduler input").click()
            page.get_by_role("option", name="ddim_uniform", exact=True).click()
            page.get_by_label("Prompt", exact=True).fill("a boat")
            page.locator("#make").click()
            model = "comfyui/checkpoints/tiny_sd15.safetensors"
            wait_until(lambda: [job["recipe"]["model"] for job in running.get("jobs")["items"]] == [model], 30, "no job came")
            recipe = running.get("jobs")["items"][0]["recipe"]
            assert (recipe["sampler"], recipe["scheduler"]) == ("res_multistep", "ddim_uniform")

            # A file that was put there since is read when somebody wants it, before the minute is over.
            shutil.copyfile(home() / "models" / "loras" / "tiny_lora.safetensors", loras / "new_lora.safetensors")
            page.get_by_role("tab", name="Setup").click()
            page.locator(".comfy-card").get_by_role("button", name="Read its models anew").click()
            page.screenshot(path=SCREENS / "engine-refresh.png")
            page.get_by_role("tab", name="Generate").click()
            expect(page.locator("likeness-loras .lora-name", has_text="new_lora")).to_be_visible(timeout=20_000)

            # Gone again, its models go too; the one that is chosen stays, and why it can't be used is said.
            running.post("engines/comfyui/connect", {"url": ""})
            expect(page.locator("likeness-loras .empty-line")).to_be_visible()
            expect(page.locator("likeness-offline")).to_contain_text("ComfyUI is not installed.")
            page.locator("#field-model input").click()
            expect(page.get_by_role("option", name=re.compile("ComfyUI"))).to_have_text([re.compile(r"tiny_sd15 \(ComfyUI\)")])
            page.get_by_role("option", name="Starter").click()
            expect(page.locator("#make")).to_be_visible()
            # What the embedded engine can't do is not asked of it.
            expect(page.locator("#field-sampler input")).to_have_value("As the preset says")
            page.locator("#field-sampler input").click()
            expect(page.get_by_role("option", name="Euler a", exact=True)).to_have_count(1)
            expect(page.get_by_role("option", name="heunpp2", exact=True)).to_have_count(0)
            assert page.evaluate("window.theSamePage") and faults == []


def client(running: Running) -> httpx.Client:
    return httpx.Client(base_url=f"{running.url}/api/v1/", timeout=60)


def own_comfyui(tmp_path: Path) -> Path:
    """A ComfyUI as a person has one: a folder with an environment of its own."""
    folder = tmp_path / "mine"
    shutil.copytree(home() / "comfyui", folder, ignore=shutil.ignore_patterns("__pycache__"))
    python = folder / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{home() / "venv" / "bin" / "python"}" "$@"\n', "utf-8")
    python.chmod(0o755)
    return folder


def portrait() -> bytes:
    data = io.BytesIO()
    Image.radial_gradient("L").convert("RGB").resize((96, 128)).save(data, "PNG")
    return data.getvalue()


def state_of(running: Running, job_id: str) -> str:
    job: Any = running.get(f"jobs/{job_id}")
    return job["state"]


def sizes(running: Running) -> set[tuple[int, int]]:
    """The sizes of the pictures of the lighthouse."""
    found: Any = running.get("images?search=lighthouse")
    return {(picture["width"], picture["height"]) for picture in found["items"]}
