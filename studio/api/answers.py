"""Answers made of files: an ETag for each, 304 for who has it already, names that every system can save."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.responses import FileResponse

from studio.contracts import Picture
from studio.errors import NotFound

FOREVER = "private, max-age=31536000, immutable"
MEDIA_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp"}


def bytes_answer(request: Request, path: Path, *, media_type: str, cache: str) -> Response:
    """A small file, read at once: it may be replaced or removed at any moment. Raises NotFound."""
    try:
        with path.open("rb") as file:
            data = file.read()
            made = path.stat().st_mtime_ns
    except FileNotFoundError as error:
        raise NotFound() from error
    headers = {"ETag": f'"{made:x}-{len(data):x}"', "Cache-Control": cache, "X-Content-Type-Options": "nosniff"}
    if has_it(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(data, media_type=media_type, headers=headers)


def picture_answer(request: Request, picture: Picture, path: Path, *, download: bool) -> Response:
    """A whole picture, in ranges if asked for. Its content never changes, so its hash is its ETag."""
    headers = {"ETag": f'"{picture.sha256}"', "Cache-Control": FOREVER, "X-Content-Type-Options": "nosniff"}
    if has_it(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    kind = "attachment" if download else "inline"
    headers["Content-Disposition"] = disposition(kind, filename(picture))
    return FileResponse(path, media_type=MEDIA_TYPES[path.suffix], headers=headers, stat_result=path.stat())


def filename(picture: Picture) -> str:
    """A name to save a picture under: the first words of its prompt, and its id."""
    words = re.sub(r"[^\w]+", "-", picture.recipe.prompt if picture.recipe else picture.kind.value).strip("-_").lower()
    suffix = Path(picture.path).suffix
    return f"{words[:48].rstrip('-')}-{picture.id}{suffix}" if words else f"{picture.id}{suffix}"


def disposition(kind: str, name: str) -> str:
    """A Content-Disposition that old and new clients understand (RFC 6266)."""
    plain = re.sub(r"-{2,}", "-", re.sub(r"[^A-Za-z0-9._-]", "-", name)).lstrip("-.")
    if plain == name:
        return f'{kind}; filename="{name}"'
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def has_it(request: Request, etag: str) -> bool:
    """Whether the caller says that it has the file with this ETag already."""
    asked = request.headers.get("if-none-match", "")
    return asked.strip() == "*" or etag in [tag.strip().removeprefix("W/") for tag in asked.split(",")]
