"""A browser that is closed in the middle of photos, a form, a mask, an import or an order: nothing is half there, nothing is lost."""

from __future__ import annotations

import hashlib
import io
import json
import re
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, StorageState, expect

from bench.rig import Running, running_studio, wait_until
from tests.browser.browsing import DESKTOP, open_browser, open_page

PHOTOS = 50
TRICKLE = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 15_000}
LATE_ANSWERS = {"offline": False, "latency": 120_000, "downloadThroughput": -1, "uploadThroughput": -1}

expect.set_options(timeout=60_000)


@pytest.fixture(scope="module")
def passing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the studio puts what it only needs for a moment."""
    return tmp_path_factory.mktemp("passing")


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory, passing: Path) -> Iterator[Running]:
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TMPDIR", str(passing))
            running = stack.enter_context(running_studio(tmp_path_factory.mktemp("closed") / "data"))
        yield running
    assert "Traceback" not in "".join(path.read_text() for path in running.data.glob("logs/*/web*"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Photos of about 10 kB, no two alike."""
    folder = tmp_path_factory.mktemp("photos")
    dice = np.random.default_rng(5)
    paths = [folder / f"photo-{number:02}.jpg" for number in range(PHOTOS)]
    for path in paths:
        Image.fromarray(dice.integers(0, 255, (96, 96, 3), dtype=np.uint8)).save(path, quality=90)
    return paths


def test_photos_are_whole_or_not_there_and_come_only_once(studio: Running, browser: Browser, photos: list[Path], passing: Path) -> None:
    person = asked(studio, "characters", {"name": "Fifty"})["id"]
    page = visit(browser, studio)
    open_person(page, "Fifty")
    # Two parcels of eight photos are always on their way: the first ones arrive, and the next are cut off in the middle.
    page.context.new_cdp_session(page).send("Network.emulateNetworkConditions", TRICKLE)
    page.get_by_label("Photo files").set_input_files(photos)
    wait_until(lambda: bool(kept(studio, person)), 120, "no photo arrived", every=0.1)
    page.context.close()

    # What was read completely may still be written down.
    wait_until(lambda: whole(studio, person), 60, "files and list do not agree", every=0.2)
    arrived = kept(studio, person)
    assert 0 < len(arrived) < PHOTOS
    check_whole(studio, arrived)
    wait_until(lambda: not left_over(studio, passing), 60, "something is left over", every=0.2)

    again = visit(browser, studio)
    open_person(again, "Fifty")
    again.get_by_label("Photo files").set_input_files(photos)
    expect(again.locator(".photo[data-photo]")).to_have_count(PHOTOS)
    # A parcel that had arrived whole may have been read while these were on their way: what was there is told, the rest is added.
    refused = again.locator(".refusals li")
    expect(refused.first).to_contain_text("there already")
    assert len(arrived) <= refused.count() < PHOTOS
    again.context.close()
    everything = kept(studio, person)
    assert sorted(photo["name"] for photo in everything) == [path.name for path in photos]
    assert {photo["id"] for photo in arrived} <= {photo["id"] for photo in everything}
    wait_until(lambda: whole(studio, person), 60, "files and list do not agree", every=0.2)
    check_whole(studio, everything)
    wait_until(lambda: not left_over(studio, passing), 60, "something is left over", every=0.2)


def test_what_was_written_about_a_character_waits_and_nothing_was_saved(studio: Running, browser: Browser) -> None:
    page = visit(browser, studio)
    page.get_by_role("tab", name="Characters").click()
    page.get_by_role("button", name="New character").click()
    page.get_by_label("Name", exact=True).fill("Ines Unfinished")
    page.get_by_label("Backstory", exact=True).fill("Repairs bicycles in Lisbon")
    expect(page.get_by_label("Short name")).to_have_value("ines-unfinished")
    remembered = page.context.storage_state()
    page.context.close()
    assert "Ines Unfinished" not in people(studio)

    again = visit(browser, studio, remembered)
    again.get_by_role("tab", name="Characters").click()
    expect(again.get_by_text("What you were writing about Ines Unfinished was not saved.")).to_be_visible()
    again.get_by_role("button", name="Go on writing").click()
    expect(again.get_by_label("Name", exact=True)).to_have_value("Ines Unfinished")
    expect(again.get_by_label("Backstory", exact=True)).to_have_value("Repairs bicycles in Lisbon")
    # What the studio finds wrong is said with the name that the field has here, and in words.
    again.get_by_label("Short name").fill("Ines Unfinished")
    again.get_by_role("button", name="Create character").click()
    expect(again.locator("[data-field=slug] .field-error")).to_contain_text("Short name: small letters from a to z")
    again.get_by_label("Short name").fill("ines")
    again.get_by_role("button", name="Create character").click()
    expect(again.get_by_role("heading", name="Ines Unfinished")).to_be_visible()
    again.get_by_role("button", name="All characters").click()
    expect(again.locator(".person-card", has_text="Ines Unfinished")).to_be_visible()
    expect(again.locator(".people-unfinished")).to_have_count(0)
    again.context.close()


def test_a_character_file_is_taken_in_whole_or_not_at_all(studio: Running, photos: list[Path], passing: Path) -> None:
    person = asked(studio, "characters", {"name": "Traveller"})["id"]
    line = call(studio, f"characters/{person}/images", *form({path.name: path.read_bytes() for path in photos[:6]}))
    assert b" 201 " in answer_of(line)
    with urllib.request.urlopen(f"{studio.url}/api/v1/characters/{person}/export", timeout=60) as answer:
        parcel = form({"traveller.likeness.zip": answer.read()})
    before = people(studio)
    known = {one["id"] for one in characters(studio)}

    # Cut off at any place: nobody moves in, and nothing stays.
    for share in (0.1, 0.5, 0.99):
        call(studio, "characters/import", *parcel, share=share).close()
    # Whoever asks next gets an answer: the studio has got over it.
    assert b" 422 " in answer_of(call(studio, "characters/import", *form({"words.zip": b"only words"})))
    assert people(studio) == before
    wait_until(lambda: not left_over(studio, passing), 60, "something is left over", every=0.2)

    # Gone while somebody moves in: they have everything all the same.
    with call(studio, "characters/import", *parcel):
        wait_until(lambda: len(people(studio)) == len(before) + 1, 60, "nobody moved in", every=0.005)
    newcomer, name = next((one["id"], one["name"]) for one in characters(studio) if one["id"] not in known)
    assert name == "Traveller (2)"
    wait_until(lambda: len(kept(studio, newcomer)) == 6, 60, "the photos did not come along", every=0.1)
    wait_until(lambda: whole(studio, newcomer), 60, "files and list do not agree", every=0.2)
    check_whole(studio, kept(studio, newcomer))
    wait_until(lambda: not left_over(studio, passing), 60, "something is left over", every=0.2)


def test_a_mask_that_is_being_painted_leaves_nothing(studio: Running, browser: Browser) -> None:
    asked(studio, "generate?wait=60", {"prompt": "portrait of a person with black hair", "steps": 4, "width": 96, "height": 96})
    before = studio.get("images?kind=all")
    page = visit(browser, studio)
    page.locator(".result").first.hover()
    page.get_by_role("button", name="Start from this picture: picture 1").click()
    page.get_by_role("button", name="Paint a mask").click()
    place = page.locator(".mask-paper").bounding_box()
    assert place
    page.mouse.move(place["x"] + place["width"] * 0.3, place["y"] + place["height"] * 0.5)
    page.mouse.down()
    page.mouse.move(place["x"] + place["width"] * 0.6, place["y"] + place["height"] * 0.5, steps=4)
    page.context.close()
    assert studio.get("images?kind=all") == before
    again = visit(browser, studio)
    expect(again.locator("dialog[open]")).to_have_count(0)
    again.context.close()


def test_a_hundred_references_times_five_are_ordered_whole(studio: Running, browser: Browser, photos: list[Path], tmp_path: Path) -> None:
    paths = [tmp_path / f"reference-{number:03}.png" for number in range(100)]
    dice = np.random.default_rng(9)
    for path in paths:
        Image.fromarray(dice.integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(path)
    ids = [json.loads(body_of(call(studio, "images?kind=reference", *form({path.name: path.read_bytes()}))))["id"] for path in paths]
    order = {"prompt": "portrait of a person", "references": ids, "variations": 5, "real_person": False, "steps": 150, "as_written": True}
    body = json.dumps(order).encode()

    # Cut off on its way, and then sent to the end by somebody who is gone before the answer: all of it or nothing, at every moment.
    call(studio, "generate", "application/json", body, share=0.7).close()
    found: list[int] = []
    with call(studio, "generate", "application/json", body):
        wait_until(lambda: bool(found.append(len(waiting(studio))) or found[-1]), 120, "nothing was ordered")
    assert found[-1] == len(waiting(studio)) == 500
    assert len({job["batch_id"] for job in waiting(studio)}) == 1
    assert {job["recipe"]["reference"] for job in waiting(studio)} == set(ids)

    # The page that is opened then shows it and can end it.
    page = visit(browser, studio)
    # Some may be done by now.
    expect(page.get_by_text(re.compile(r"and 4\d\d more waiting"))).to_be_visible()
    asked(studio, "jobs/cancel", {})
    wait_until(lambda: not waiting(studio), 120, "the order did not end", every=0.2)
    page.context.close()


def test_an_order_whose_answer_never_arrives_is_kept(studio: Running, browser: Browser) -> None:
    page = visit(browser, studio)
    page.get_by_label("Prompt", exact=True).fill("portrait of a person with grey hair")
    page.context.new_cdp_session(page).send("Network.emulateNetworkConditions", LATE_ANSWERS)
    page.locator("#make").click()
    wait_until(lambda: bool(waiting(studio)) or ordered(studio) == "portrait of a person with grey hair", 60, "nothing was ordered")
    page.context.close()
    newest: Any = studio.get("jobs?limit=1")
    assert newest["items"][0]["request"]["prompt"] == "portrait of a person with grey hair"
    assert newest["items"][0]["state"] in ("queued", "running", "done")
    asked(studio, "jobs/cancel", {})


# In the browser


def visit(browser: Browser, studio: Running, remembered: StorageState | None = None) -> Page:
    page, _ = open_page(browser, studio.url, DESKTOP, remembered=remembered)
    return page


def open_person(page: Page, name: str) -> None:
    page.get_by_role("tab", name="Characters").click()
    page.locator(".person-card", has_text=name).locator(".person-open").click()
    expect(page.get_by_role("heading", name=name)).to_be_visible()


# At the studio's door


def asked(studio: Running, path: str, body: object) -> dict[str, Any]:
    return studio.post(path, body)  # pyright: ignore[reportReturnType]  # JSON


def characters(studio: Running) -> list[dict[str, Any]]:
    return studio.get("characters")["items"]  # pyright: ignore[reportIndexIssue,reportCallIssue,reportArgumentType,reportReturnType]  # JSON


def people(studio: Running) -> list[str]:
    return sorted(one["name"] for one in characters(studio))


def kept(studio: Running, person: str) -> list[dict[str, Any]]:
    return studio.get(f"characters/{person}/images")["items"]  # pyright: ignore[reportIndexIssue,reportCallIssue,reportArgumentType,reportReturnType]  # JSON


def waiting(studio: Running) -> list[dict[str, Any]]:
    return studio.get("jobs?state=queued&state=running&limit=500")["items"]  # pyright: ignore[reportIndexIssue,reportCallIssue,reportArgumentType,reportReturnType]  # JSON


def ordered(studio: Running) -> str:
    newest: Any = studio.get("jobs?limit=1")
    return newest["items"][0]["request"]["prompt"]


def form(files: dict[str, bytes]) -> tuple[str, bytes]:
    """The type and the body of a form with files."""
    parts = [
        f'--cut\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode() + data + b"\r\n"
        for name, data in files.items()
    ]
    return "multipart/form-data; boundary=cut", b"".join([*parts, b"--cut--\r\n"])


def call(studio: Running, path: str, kind: str, body: bytes, *, share: float = 1) -> socket.socket:
    """A POST of which only a share of the body is sent; whoever closes the connection then is gone in the middle."""
    where = urlsplit(studio.url)
    line = socket.create_connection((where.hostname or "", where.port or 0), timeout=60)
    about = {"Host": where.netloc, "Content-Type": kind, "Content-Length": len(body), "Connection": "close"}
    head = "\r\n".join([f"POST /api/v1/{path} HTTP/1.1", *(f"{name}: {value}" for name, value in about.items()), "", ""])
    line.sendall(head.encode() + body[: int(len(body) * share)])
    return line


def answer_of(line: socket.socket) -> bytes:
    with line:
        return b"".join(iter(lambda: line.recv(65536), b""))


def body_of(line: socket.socket) -> bytes:
    return answer_of(line).partition(b"\r\n\r\n")[2]


# On the disk


def whole(studio: Running, person: str) -> bool:
    """Whether exactly the files of the listed photos are there."""
    there = {str(path.relative_to(studio.data)) for path in (studio.data / "photos" / person).rglob("*") if path.is_file()}
    return there == {photo["path"] for photo in kept(studio, person)}


def check_whole(studio: Running, listed: list[dict[str, Any]]) -> None:
    """Every byte and every pixel of the photos is there, and no two are one."""
    for photo in listed:
        data = (studio.data / photo["path"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == photo["sha256"]
        Image.open(io.BytesIO(data)).load()
        with urllib.request.urlopen(f"{studio.url}/api/v1/images/{photo['id']}/thumbnail", timeout=60) as answer:
            Image.open(io.BytesIO(answer.read())).load()
    assert len({photo["sha256"] for photo in listed}) == len(listed)


def left_over(studio: Running, passing: Path) -> list[Path]:
    """Files that were only meant for a moment."""
    unfinished = [path for folder in ("photos", "thumbnails", "consent", "pictures") for path in (studio.data / folder).rglob("*.tmp")]
    return [*unfinished, *(path for path in passing.rglob("*") if path.is_file())]
