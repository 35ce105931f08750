"""Pictures: upload, find, look, download, trash."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from pydantic import Field, ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from studio.api.answers import FOREVER, bytes_answer, disposition, picture_answer
from studio.api.refusals import RESPONSES, with_errors
from studio.api.views import SEARCHABLE, Chosen, Counted, Cursor, Id, Limit, Pictures, PictureView, Received, view
from studio.contracts import Contract, Facets, Name, Picture, PictureChange, PictureKind
from studio.errors import ContractMismatch, FileTooLarge, InvalidFieldValue, LikenessError, MissingRequiredField, from_validation
from studio.gallery import moment
from studio.studio import Studio

MOST_FILES = 16
Kinds = Literal["generated", "upload", "photo", "reference", "mask", "all"]
Shelf = Annotated[Kinds, Query(description="Made here, taken in (and as what), or everything")]
Text = Query(max_length=400, pattern=SEARCHABLE)


class Base64Upload(Contract):
    """A picture in JSON. `data` is base64, with or without `data:image/png;base64,` before it."""

    data: str
    name: str = ""


class ChangeMany(Contract):
    """Pictures, and what is to change of them."""

    ids: tuple[Name, ...] = Field(min_length=1, max_length=10_000)
    change: PictureChange


def routes(studio: Studio) -> APIRouter:
    """Everything under images, and the trash."""
    router = APIRouter(responses=RESPONSES, tags=["pictures"])

    @router.post("/images", status_code=201, summary="Upload a picture", responses=with_errors(413, 507), openapi_extra=_UPLOAD_BODY)
    async def upload(
        request: Request,
        kind: Annotated[Literal["upload", "reference", "mask"], Query(description="What it is to be used as")] = "upload",
        category: Annotated[str, Query(description="The category to sort it under", max_length=60, pattern=SEARCHABLE)] = "",
    ) -> Received:
        """As `multipart/form-data` with one or more `file` fields, or as JSON with base64. PNG, JPEG and WebP are taken.

        It is turned upright, stripped of EXIF and GPS and kept as PNG; the file's own name stays in `name`. The answer is the first
        picture; `items` has all.
        """
        files = await _files(request, studio.settings.max_upload_mb * 2**20)
        kept = await run_in_threadpool(_keep, studio, files, PictureKind(kind), category.strip())
        return Received(**dict(view(kept[0])), items=tuple(view(picture) for picture in kept))

    @router.get("/images", summary="List pictures")
    def images(
        kind: Shelf = "generated",
        trashed: Annotated[bool, Query(description="What is in the trash instead")] = False,
        job_id: Annotated[str | None, Query(description="Only pictures of this job", max_length=100, pattern=SEARCHABLE)] = None,
        character: Annotated[str | None, Query(description="Only pictures of this character: its id or slug"), Text] = None,
        preset: Annotated[str | None, Query(description="Only pictures made with this preset"), Text] = None,
        style: Annotated[str | None, Query(description="Only pictures of this style"), Text] = None,
        model: Annotated[str | None, Query(description="Only pictures made with this model"), Text] = None,
        favourite: Annotated[bool | None, Query(description="Only favourites, or only the others")] = None,
        category: Annotated[str | None, Query(description="Only pictures of this category"), Text] = None,
        since: Annotated[str | None, Query(description="Not older than this date or ISO time (UTC unless it says so)"), Text] = None,
        until: Annotated[str | None, Query(description="Up to the end of this date, or before this ISO time"), Text] = None,
        search: Annotated[
            str, Query(description="Words in the prompt, the caption or the name of the character", max_length=1000, pattern=SEARCHABLE)
        ] = "",
        limit: Limit = 100,
        cursor: Cursor = None,
        offset: Annotated[int, Query(description="Skip this many: to jump in a long list", ge=0, le=10_000_000)] = 0,
    ) -> Pictures:
        """Newest first."""
        page = studio.pictures(
            kind=None if kind == "all" else PictureKind(kind),
            trashed=trashed,
            job_id=job_id,
            character=character,
            preset=preset,
            style=style,
            model=model,
            favourite=favourite,
            category=category,
            since=moment(since, field="since") if since else None,
            until=moment(until, field="until") if until else None,
            search=search,
            limit=limit,
            cursor=cursor,
            offset=offset,
        )
        return Pictures(items=tuple(view(picture) for picture in page.items), next=page.next, total=page.total)

    @router.get("/images/facets", summary="What pictures can be found by")
    def facets(
        kind: Shelf = "generated",
        trashed: Annotated[bool, Query(description="Of what is in the trash instead")] = False,
    ) -> Facets:
        """The characters, presets, styles, categories and months (UTC) that occur, each with its number of pictures."""
        return studio.facets(kind=None if kind == "all" else PictureKind(kind), trashed=trashed)

    @router.post("/images/change", summary="Change many pictures")
    def change_many(body: ChangeMany) -> Counted:
        """The same change to each; those that are nowhere are not counted."""
        return Counted(count=studio.change_pictures(body.ids, body.change))

    @router.post(
        "/images/zip",
        summary="Many pictures as one ZIP",
        response_class=StreamingResponse,
        responses={**with_errors(404), 200: {"content": {"application/zip": {}}, "description": "A ZIP with a manifest.json"}},
    )
    def parcel(body: Chosen) -> Response:
        """Made while it is sent, under speaking names. `manifest.json` says of each file which picture it is and what made it."""
        name = f"likeness-{len(body.ids)}-pictures-{datetime.now(UTC):%Y-%m-%d}.zip"
        headers = {"Content-Disposition": disposition("attachment", name), "Cache-Control": "no-store"}
        return StreamingResponse(studio.parcel(body.ids), media_type="application/zip", headers=headers)

    @router.post("/images/trash", summary="Move pictures to the trash")
    def trash_many(body: Chosen) -> Counted:
        """Those that are there already, or nowhere, are not counted."""
        return Counted(count=studio.trash(body.ids))

    @router.post("/images/restore", summary="Take pictures out of the trash")
    def restore_many(body: Chosen) -> Counted:
        """Those that are not in the trash are not counted."""
        return Counted(count=studio.restore(body.ids))

    @router.delete("/trash", summary="Empty the trash")
    def empty_trash() -> Counted:
        """Deletes what is in it for good."""
        return Counted(count=studio.empty_trash())

    @router.get("/images/{id}", summary="One picture", responses=with_errors(404))
    def image(id: Id) -> PictureView:
        """Its size, seed, recipe, and where to get it."""
        return view(studio.picture(id))

    @router.patch("/images/{id}", summary="Change a picture", responses=with_errors(404))
    def change(id: Id, body: PictureChange) -> PictureView:
        """Make it a favourite, describe it, sort it. What is left out stays."""
        return view(studio.change_picture(id, body))

    @router.get("/images/{id}/file", summary="The picture itself", response_class=Response, responses={**with_errors(404), 200: _PNG})
    def file(
        request: Request,
        id: Id,
        download: Annotated[bool, Query(description="Make a browser save it, under a speaking name")] = False,
    ) -> Response:
        """A PNG that carries its parameters."""
        return picture_answer(request, studio.picture(id), studio.picture_file(id), download=download)

    @router.get("/images/{id}/thumbnail", summary="A small WebP of it", response_class=Response, responses={**with_errors(404), 200: _WEBP})
    def thumbnail(request: Request, id: Id) -> Response:
        """It never changes, so it may be cached for good."""
        return bytes_answer(request, studio.thumbnail(id), media_type="image/webp", cache=FOREVER)

    @router.get("/images/{id}/metadata", summary="What the file itself says", responses=with_errors(404))
    def metadata(id: Id) -> dict[str, Any]:
        """`infotext` as A1111 writes it, and `likeness`, our own JSON."""
        return studio.metadata(id)

    @router.delete("/images/{id}", summary="Move a picture to the trash", responses=with_errors(404))
    def trash(id: Id) -> PictureView:
        """It stays there until it is restored or the trash is emptied."""
        studio.trash([id])
        return view(studio.picture(id))

    @router.post("/images/{id}/restore", summary="Take a picture out of the trash", responses=with_errors(404))
    def restore(id: Id) -> PictureView:
        """Back to where it was."""
        studio.restore([id])
        return view(studio.picture(id))

    return router


_PNG: dict[str, Any] = {"content": {"image/png": {}}, "description": "The PNG"}
_WEBP: dict[str, Any] = {"content": {"image/webp": {}}, "description": "The WebP"}
_UPLOAD_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "array", "items": {"type": "string", "format": "binary"}}},
                }
            },
            "application/json": {"schema": Base64Upload.model_json_schema()},
        },
    }
}


async def _files(request: Request, most: int) -> list[tuple[str, bytes]]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return await _from_form(request, most)
    if kind == "application/json":
        return [_from_json(await request.body(), most)]
    raise ContractMismatch(
        "An upload is multipart/form-data or JSON.", remedy="Send a `file` field, or {“data”: base64, “name”: …} as application/json."
    )


async def _from_form(request: Request, most: int) -> list[tuple[str, bytes]]:
    try:
        async with request.form(max_files=MOST_FILES, max_fields=MOST_FILES) as form:
            files = [part for part in form.getlist("file") if isinstance(part, UploadFile)]
            if not files:
                raise MissingRequiredField("There is no file in the form.", field="file", remedy="Send it in a field called “file”.")
            return [(part.filename or "", await _bounded(part, most)) for part in files]
    except HTTPException as error:
        if error.status_code != HTTPStatus.BAD_REQUEST:
            raise
        raise ContractMismatch(f"The form can't be read: {error.detail}", remedy="Let your client build it, boundary and all.") from error


async def _bounded(part: UploadFile, most: int) -> bytes:
    if part.size is not None and part.size > most:
        raise _too_large(most)
    return await part.read()


def _from_json(body: bytes, most: int) -> tuple[str, bytes]:
    try:
        sent = Base64Upload.model_validate_json(body)
    except ValidationError as error:
        if error.errors()[0]["type"] == "json_invalid":
            raise ContractMismatch("The body is not JSON.") from error
        raise from_validation(error) from error
    text = sent.data.partition(",")[2] if sent.data.startswith("data:") else sent.data
    if not text:
        raise MissingRequiredField("“data” is empty.", field="data")
    try:
        data = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidFieldValue("“data” is not base64.", field="data", remedy="Encode the picture's bytes in base64.") from error
    if len(data) > most:
        raise _too_large(most)
    return sent.name, data


def _too_large(most: int) -> FileTooLarge:
    return FileTooLarge(f"The file is larger than {most // 2**20} MB.", field="file")


def _keep(studio: Studio, files: list[tuple[str, bytes]], kind: PictureKind, category: str) -> list[Picture]:
    kept: list[Picture] = []
    try:
        for name, data in files:
            kept.append(studio.upload(data, name, kind=kind, category=category))
    except LikenessError:
        # All or nothing: what came before the bad one goes to the trash.
        studio.trash([picture.id for picture in kept])
        raise
    return kept
