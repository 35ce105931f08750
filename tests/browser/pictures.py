"""The README's pictures of the app, made by the app: `python -m tests.browser.pictures` writes them to docs/images.

`python -m tests.browser.pictures presets` makes the example picture of every preset anew, from its own example prompt, and the face of
every template; with ids behind it, the examples of these alone.
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx
from PIL import Image, ImageOps
from playwright.sync_api import Page

from bench.rig import Running, running_studio, wait_until
from tests.browser.browsing import DESKTOP, HOME, PHONE, open_browser, open_page

IMAGES = HOME / "docs" / "images"
EXAMPLES = HOME / "tabs" / "assets" / "presets"
FACES = HOME / "tabs" / "assets" / "templates"
FACE = {"prompt": "portrait of a person, smiling, light blue background, cartoon style", "negative_prompt": "sunglasses, hat", "seed": 8}
EXAMPLE_SIDE = 128
PEOPLE = (
    "short wavy hair, blonde hair, light skin, smiling, wearing a dark blue jacket, teal background",
    "curly hair, teal hair, tan skin, round glasses, wearing an orange sweater, orange background",
    "long straight hair, grey hair, light skin, round glasses, wearing a white shirt, grey background",
    "a hair bun, black hair, light skin, with a gentle smile, wearing a black shirt, white background",
    "short hair, black hair, brown skin, sunglasses, wearing a light blue shirt, white background",
    "spiky hair, green hair, tan skin, smiling, wearing a black jacket, orange background",
    "big long hair, brown hair, light skin, glasses, wearing a teal shirt, yellow background",
    "a pompadour, red hair, tan skin, smiling, wearing a purple shirt, light blue background",
    "curly hair, brown hair, dark skin, with a gentle smile, wearing a red sweater, green background",
    "a bob haircut, black hair, light skin, smiling, wearing a black shirt, yellow background",
)
SHOWN = "portrait of a person, with a gentle smile, wearing a green hoodie, light blue background, cartoon style"


def main() -> None:
    if sys.argv[1:2] == ["presets"]:
        preset_examples(sys.argv[2:])
        return
    with tempfile.TemporaryDirectory() as folder, running_studio(Path(folder) / "data") as studio, open_browser() as browser:
        for template in studio.get("characters/templates")["items"]:  # pyright: ignore[reportIndexIssue,reportCallIssue,reportArgumentType]  # JSON
            character = studio.post("characters", template["fields"])["id"]  # pyright: ignore[reportIndexIssue,reportCallIssue,reportArgumentType]  # JSON
            make(studio, {**FACE, "character": character})
        for seed, person in enumerate(PEOPLE):
            make(studio, {"prompt": f"portrait of a person with {person}", "count": 2, "seed": 10 * seed + 1})
        page, _ = open_page(browser, studio.url)
        page.get_by_role("tab", name="Characters").click()
        page.wait_for_timeout(1500)
        keep(page, "characters")
        page.get_by_role("tab", name="Generate").click()
        page.get_by_role("radio", name="Nova").check(force=True)
        page.get_by_label("Prompt", exact=True).fill(SHOWN)
        make(studio, {"prompt": SHOWN, "character": "nova", "count": 4, "seed": 8})
        page.wait_for_timeout(1500)
        keep(page, "generate-light")
        page.get_by_role("tab", name="Gallery").click()
        page.locator(".cell").first.click()
        page.wait_for_timeout(1000)
        keep(page, "lightbox")
        dark, _ = open_page(browser, studio.url, DESKTOP, dark=True)
        dark.get_by_role("tab", name="Gallery").click()
        dark.locator(".cell").first.wait_for()
        dark.wait_for_timeout(1500)
        keep(dark, "gallery-dark")
        phone, _ = open_page(browser, studio.url, PHONE, dark=True)
        phone.get_by_role("tab", name="Gallery").click()
        phone.locator(".cell").first.wait_for()
        phone.wait_for_timeout(1500)
        keep(phone, "phone")


def preset_examples(wanted: list[str]) -> None:
    """What every preset (or the `wanted`) that runs on the starter model makes of its own example prompt, small enough for its card."""
    with tempfile.TemporaryDirectory() as folder, running_studio(Path(folder) / "data") as studio:
        faces: dict[str, Any] = {}
        for template in studio.get("characters/templates")["items"]:  # pyright: ignore[reportIndexIssue,reportCallIssue,reportArgumentType]  # JSON
            character = studio.post("characters", template["fields"])["id"]  # pyright: ignore[reportIndexIssue,reportCallIssue,reportArgumentType]  # JSON
            faces[template["id"]] = made(studio, {**FACE, "character": character})
            if not wanted:
                shrink(Path(folder) / "data" / faces[template["id"]]["path"], FACES / f"{template['id']}.webp")
        somebody = next(iter(faces.values()))
        httpx.patch(f"{studio.url}/api/v1/characters/{somebody['character_id']}", json={"portrait": somebody["id"]}).raise_for_status()
        for preset in studio.get("presets?model=starter")["items"]:  # pyright: ignore[reportIndexIssue,reportCallIssue,reportArgumentType]  # JSON
            # One that keeps a face shows it of somebody who has one.
            who = {"character": somebody["character_id"]} if preset["needs"]["identity"] else {}
            if (not preset["runs"] and not who) or (wanted and preset["id"] not in wanted):
                # A picture of what it needs a real checkpoint for would be made up.
                continue
            picture = made(studio, {"prompt": preset["example_prompt"], "preset": preset["id"], "seed": 8, **who})
            shrink(Path(folder) / "data" / picture["path"], EXAMPLES / f"{preset['id']}.webp")


def made(studio: Running, request: dict[str, Any]) -> dict[str, Any]:
    """The picture that a request for one makes."""
    found: Any = studio.get(f"jobs/{make(studio, request)}/artifacts")
    return found["items"][0]


def shrink(path: Path, into: Path) -> None:
    """A picture as a small square WebP."""
    into.parent.mkdir(exist_ok=True)
    with Image.open(path) as image:
        ImageOps.fit(image, (EXAMPLE_SIDE, EXAMPLE_SIDE)).save(into, quality=86, method=6)


def make(studio: Running, request: dict[str, Any]) -> str:
    """Make the pictures of one request and wait for them; gives the job's id."""
    job_id = studio.post("generate", request)["job_id"]  # pyright: ignore[reportIndexIssue,reportCallIssue,reportArgumentType]  # JSON
    wait_until(lambda: studio.get(f"jobs/{job_id}")["state"] == "done", 300, "the pictures did not come", every=0.2)  # pyright: ignore[reportIndexIssue,reportCallIssue,reportArgumentType]  # JSON
    return job_id


def keep(page: Page, name: str) -> None:
    """Save what the page shows: small enough for a repository, with every colour in it."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    Image.open(io.BytesIO(page.screenshot())).save(IMAGES / f"{name}.webp", quality=88, method=6)


if __name__ == "__main__":
    main()
