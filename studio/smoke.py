"""A walk through a running studio from outside, over HTTP alone: what a person would try first, with a line for each step."""

from __future__ import annotations

import json
import struct
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from typing import Any

API = "/api/v1"
READY_S = 120.0
JOB_S = 300.0
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def smoke(url: str, token: str | None = None) -> int:
    """Walk through the studio at `url`; prints a line for each step and gives the exit status: 0 when all passed."""
    walk = _Walk(url.rstrip("/"), token)
    print(f"Walking through {walk.url}")
    for step in _steps(walk):
        try:
            detail = step() or ""
            walk.passed += 1
            print(f"ok    {_name(step)}{f': {detail}' if detail else ''}", flush=True)
        except _Failed as failure:
            walk.failed += 1
            print(f"FAIL  {_name(step)}: {failure}", flush=True)
            if walk.unreachable:
                break
    print(f"{walk.passed} passed, {walk.failed} failed")
    return int(walk.failed > 0)


class _Failed(Exception):
    """A step did not go as it should; says how."""


class _Walk:
    """What was learnt on the way: later steps use what earlier ones made."""

    def __init__(self, url: str, token: str | None) -> None:
        self.url = url
        self.token = token
        self.passed = self.failed = 0
        self.unreachable = False
        self.job_id = ""
        self.picture: dict[str, Any] = {}

    def ask(self, method: str, path: str, body: object = None, *, status: int = 200, timeout: float = 30) -> tuple[bytes, str]:
        """Send a request; gives body and content type of an answer with the wanted status."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method)
        if data is not None:
            request.add_header("Content-Type", "application/json")
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                found, content, kind = answer.status, answer.read(), answer.headers.get_content_type()
        except urllib.error.HTTPError as error:
            with error:
                found, content, kind = error.code, error.read(), error.headers.get_content_type()
        except (OSError, ValueError) as error:
            self.unreachable = self.passed == 0
            raise _Failed(f"no answer from {self.url}{path} ({getattr(error, 'reason', error)})") from error
        if found != status:
            raise _Failed(f"{method} {path} answered {found} instead of {status}{_said(content)}")
        return content, kind

    def value(self, method: str, path: str, body: object = None, *, status: int = 200) -> Any:
        """The JSON value that the API answers."""
        content, kind = self.ask(method, API + path, body, status=status)
        try:
            return json.loads(content)
        except ValueError as error:
            raise _Failed(f"{method} {API}{path} answered {kind}, which is not JSON") from error


def _steps(walk: _Walk) -> Iterator[Callable[[], str | None]]:
    def the_page_answers() -> str:
        content, kind = walk.ask("GET", "/")
        _must(kind == "text/html" and b"<html" in content.lower(), f"got {kind} without a page in it")
        return f"{len(content) / 1000:.0f} kB"

    def it_is_healthy() -> str:
        health = walk.value("GET", "/health")
        _must(health.get("ok") is True, f"database: {health.get('database')}")
        return f"version {health['version']}, worker {health['worker']}, GPU {'yes' if health['gpu_available'] else 'no'}"

    def it_is_ready() -> str:
        started = time.monotonic()
        while True:
            try:
                walk.value("GET", "/ready")
                return f"after {time.monotonic() - started:.1f} s"
            except _Failed:
                _must(time.monotonic() - started < READY_S, f"not within {READY_S:.0f} s: no worker runs")
                time.sleep(0.2)

    def there_are_presets() -> str:
        items = walk.value("GET", "/presets")["items"]
        _must(bool(items), "the list is empty")
        return str(len(items))

    def there_are_models() -> str:
        items = walk.value("GET", "/models")["items"]
        _must(bool(items), "the list is empty")
        return ", ".join(item["id"] for item in items[:5])

    def a_bad_request_is_refused_with_code_and_remedy() -> str:
        answer = walk.value("POST", "/generate", {"prompt": "a portrait", "steps": 0}, status=422)
        error = answer.get("error", {})
        _must(answer.get("ok") is False and bool(error.get("code")) and bool(error.get("remedy")), f"got {answer}")
        _must(error.get("field") == "steps", f"it names the field {error.get('field')!r}, not 'steps'")
        return error["code"]

    def what_is_not_there_is_said_not_to_be_there() -> str:
        return walk.value("GET", "/jobs/no-such-job", status=404)["error"]["code"]

    def a_job_is_accepted() -> str:
        # One picture, few steps: this is to see that it works, not to make something fine.
        answer = walk.value("POST", "/generate", {"prompt": "smiling woman with red hair", "seed": 7, "steps": 6}, status=202)
        _must(answer.get("ok") is True and bool(answer.get("job_id")), f"got {answer}")
        walk.job_id = answer["job_id"]
        return walk.job_id

    def the_job_is_done() -> str:
        _must(bool(walk.job_id), "there is no job to follow")
        started = time.monotonic()
        while time.monotonic() - started < JOB_S:
            job = walk.value("GET", f"/jobs/{walk.job_id}")
            if job["state"] == "done":
                return f"in {time.monotonic() - started:.1f} s"
            _must(job["state"] in ("queued", "running"), f"it ended as {job['state']}: {(job.get('error') or {}).get('message')}")
            time.sleep(0.2)
        raise _Failed(f"it was not done after {JOB_S:.0f} s")

    def it_has_an_artifact() -> str:
        _must(bool(walk.job_id), "there is no job to ask")
        items = walk.value("GET", f"/jobs/{walk.job_id}/artifacts")["items"]
        _must(len(items) == 1, f"{len(items)} instead of 1")
        walk.picture = items[0]
        return f"{items[0]['width']}×{items[0]['height']}"

    def the_file_is_a_png_that_says_how_it_was_made() -> str:
        content, kind = walk.ask("GET", _of(walk, "url"))
        _must(kind == "image/png", f"it is served as {kind}")
        width, height, texts = _read_png(content)
        _must((width, height) == (walk.picture["width"], walk.picture["height"]), f"it is {width}×{height}")
        _must("smiling woman with red hair" in texts.get("parameters", ""), f"its text chunks are {sorted(texts)}")
        return f"{len(content) / 1000:.0f} kB, with {', '.join(sorted(texts))}"

    def the_metadata_route_says_the_same() -> None:
        metadata = walk.value("GET", f"/images/{_of(walk, 'id')}/metadata")
        _must("smiling woman with red hair" in str(metadata.get("infotext")), f"got {sorted(metadata)}")

    def the_thumbnail_is_a_webp() -> str:
        content, kind = walk.ask("GET", _of(walk, "thumbnail_url"))
        _must(kind == "image/webp" and content[:4] == b"RIFF" and content[8:12] == b"WEBP", f"it is {kind}")
        return f"{len(content) / 1000:.1f} kB"

    def the_gallery_lists_it() -> None:
        _must(_listed(walk, trashed=False), "it is not among the newest pictures")

    def it_goes_to_the_trash() -> None:
        walk.value("DELETE", f"/images/{_of(walk, 'id')}")
        _must(_listed(walk, trashed=True) and not _listed(walk, trashed=False), "it is still in the gallery")

    def it_comes_back() -> None:
        walk.value("POST", f"/images/{_of(walk, 'id')}/restore")
        _must(_listed(walk, trashed=False) and not _listed(walk, trashed=True), "it is still in the trash")

    yield from (
        the_page_answers,
        it_is_healthy,
        it_is_ready,
        there_are_presets,
        there_are_models,
        a_bad_request_is_refused_with_code_and_remedy,
        what_is_not_there_is_said_not_to_be_there,
        a_job_is_accepted,
        the_job_is_done,
        it_has_an_artifact,
        the_file_is_a_png_that_says_how_it_was_made,
        the_metadata_route_says_the_same,
        the_thumbnail_is_a_webp,
        the_gallery_lists_it,
        it_goes_to_the_trash,
        it_comes_back,
    )


def _name(step: Callable[[], str | None]) -> str:
    return getattr(step, "__name__", "").replace("_", " ")


def _must(fact: bool, otherwise: str) -> None:
    if not fact:
        raise _Failed(otherwise)


def _of(walk: _Walk, key: str) -> str:
    _must(key in walk.picture, "there is no picture")
    return str(walk.picture[key])


def _listed(walk: _Walk, *, trashed: bool) -> bool:
    items = walk.value("GET", f"/images?trashed={str(trashed).lower()}&limit=100")["items"]
    return _of(walk, "id") in [item["id"] for item in items]


def _said(content: bytes) -> str:
    try:
        error = json.loads(content)["error"]
        return f": {error['code']} {error['message']} {error['remedy']}"
    except (ValueError, KeyError, TypeError):
        return ""


def _read_png(data: bytes) -> tuple[int, int, dict[str, str]]:
    """Width, height and text chunks of a whole PNG (PNG specification, third edition, chapters 5 and 11)."""
    _must(data.startswith(SIGNATURE), "it doesn't begin like a PNG")
    width = height = 0
    texts: dict[str, str] = {}
    place, last = len(SIGNATURE), b""
    while place + 12 <= len(data):
        length, last = struct.unpack(">I4s", data[place : place + 8])
        body = data[place + 8 : place + 8 + length]
        check = data[place + 8 + length : place + 12 + length]
        _must(
            len(check) == 4 and zlib.crc32(last + body) == struct.unpack(">I", check)[0], f"its {last.decode('latin-1')} chunk is damaged"
        )
        if last == b"IHDR":
            width, height = struct.unpack(">II", body[:8])
        elif last == b"tEXt":
            key, _, text = body.partition(b"\0")
            texts[key.decode("latin-1")] = text.decode("latin-1")
        elif last == b"iTXt":
            key, _, rest = body.partition(b"\0")
            text = rest[2:].split(b"\0", 2)[2]
            texts[key.decode("latin-1")] = (zlib.decompress(text) if rest[:1] == b"\1" else text).decode("utf-8", "replace")
        place += 12 + length
    _must(last == b"IEND", "its end is missing")
    return width, height, texts
