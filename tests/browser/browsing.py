"""A real browser on a real studio: what the walks through the page and the pictures of the docs share."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, StorageState, sync_playwright

HOME = Path(__file__).resolve().parents[2]
DESKTOP = (1440, 900)
PHONE = (390, 844)
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PROMPT = (
    "portrait of a person with long red hair, tan skin, round glasses, smiling, "
    "wearing a green hoodie, light blue background, cartoon style"
)


@contextmanager
def open_browser() -> Iterator[Browser]:
    """The system's Chromium, or Playwright's own."""
    with sync_playwright() as playwright:
        system = shutil.which("chromium") or shutil.which("chromium-browser")
        browser = playwright.chromium.launch(executable_path=system, args=list(QUIET))
        try:
            yield browser
        finally:
            browser.close()


def open_page(
    browser: Browser, url: str, size: tuple[int, int] = DESKTOP, *, dark: bool = False, remembered: StorageState | None = None
) -> tuple[Page, list[str]]:
    """The studio's page in a browser of its own, ready for use, and the list that its faults will be written to.

    `remembered` is what another browser knew when it was closed.
    """
    width, height = size
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if dark else "light",
        has_touch=size == PHONE,
        storage_state=remembered,
    )
    page = context.new_page()
    page.set_default_timeout(60_000)
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.goto(url)
    usable(page)
    return page, faults


def usable(page: Page) -> None:
    """Wait until a person could begin: the form is there and the tray has been read. A new studio's walkthrough is passed by."""
    page.wait_for_function("document.documentElement.dataset.welcome")
    if page.evaluate("document.documentElement.dataset.welcome") == "shown":
        page.get_by_role("tab", name="Generate").click()
    page.wait_for_selector("#make", state="attached")
    page.wait_for_selector("likeness-cards input", state="attached")
    page.wait_for_function("!['', 'wait'].includes(document.querySelector('likeness-stage .easel')?.dataset.scene ?? '')")


def every_control(page: Page) -> None:
    """The Advanced view, as its switch makes it; on a phone the switch is another one."""
    page.evaluate(
        "localStorage.setItem('likeness-level', 'advanced'); dispatchEvent(new StorageEvent('storage', { key: 'likeness-level' }))"
    )
