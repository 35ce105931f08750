"""Datasets: what a character is learned from. Pictures, captions, tags, and the way back from each change."""

from __future__ import annotations

from datetime import datetime
from pathlib import PurePosixPath
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, StreamingResponse
from pydantic import Field

from studio.api.answers import FOREVER, MEDIA_TYPES, bytes_answer, disposition, has_it
from studio.api.forms import files_of
from studio.api.refusals import RESPONSES, with_errors
from studio.api.views import PREFIX, SEARCHABLE, Counted, Cursor, Id, Limit
from studio.captions import CaptionChange
from studio.contracts import Asked, Contract, Name, RefusedPhoto
from studio.dataset_check import Preflight
from studio.dataset_contracts import (
    MOST_PICTURES,
    CaptionEdit,
    CaptionState,
    Cut,
    Dataset,
    DatasetChange,
    DatasetFacets,
    DatasetFields,
    DatasetPicture,
    DatasetPicturesAdded,
    PicturesChange,
    Title,
)
from studio.dataset_files import PICTURES, DatasetFiles, DatasetZip
from studio.preflight import Code
from studio.studio import Studio

# As many files as the page sends at once, a caption beside each picture.
MOST_FILES = 100
SHOWN_CHANGES = 200
Image = Annotated[str, Path(description="The id of a picture of the dataset", min_length=1, max_length=100, pattern=r"^[\w.-]+$")]
Whose = Query(description="Only of this character: its id or slug", max_length=400, pattern=SEARCHABLE)
Word = Query(max_length=400, pattern=SEARCHABLE)


class DatasetPictureView(DatasetPicture):
    """A picture of a dataset and where to get it. A cropped one has other addresses than before."""

    url: str
    thumbnail_url: str


class DatasetView(Contract):
    """A dataset; `covers` are its first pictures, `undo` is what would be taken back next."""

    id: str
    character_id: str
    name: str
    version: int
    pictures: int
    captioned: int
    covers: tuple[DatasetPictureView, ...]
    undo: DatasetChange | None
    created_at: datetime
    updated_at: datetime


class DatasetMade(DatasetView):
    """A new dataset, and what could not be put into it."""

    ok: bool = True
    refused: tuple[RefusedPhoto, ...]


class DatasetList(Contract):
    """Datasets, newest first."""

    items: tuple[DatasetView, ...]


class DatasetPictures(Contract):
    """A slice of a dataset's pictures in the order in which they came; `next` continues it, `total` counts all that fit."""

    items: tuple[DatasetPictureView, ...]
    next: str | None = None
    total: int | None = None


class DatasetPicturesReceived(Contract):
    """What became of what was sent. `left_out` are paths whose pictures are of others: kohya learns by them what a class looks like."""

    ok: bool = True
    items: tuple[DatasetPictureView, ...]
    refused: tuple[RefusedPhoto, ...]
    left_out: tuple[str, ...] = ()


class CaptionsAnswer(Contract):
    """How many captions change, and the first two hundred of them, before and after."""

    ok: bool = True
    preview: bool
    count: int
    items: tuple[CaptionChange, ...]


class Renamed(Asked):
    """Another name."""

    name: Title


class FromLibrary(Asked):
    """Pictures of the library, by id."""

    pictures: tuple[Name, ...] = Field(min_length=1, max_length=MOST_PICTURES)


class DatasetChosen(Asked):
    """Pictures of a dataset, by id."""

    ids: tuple[Name, ...] = Field(min_length=1, max_length=MOST_PICTURES)


class ChangeChosen(Asked):
    """Pictures of a dataset, and what is to change of them."""

    ids: tuple[Name, ...] = Field(min_length=1, max_length=MOST_PICTURES)
    change: PicturesChange


class CaptionsEdit(CaptionEdit):
    """A change of many captions; as a `preview` it is only shown."""

    preview: bool = False


class Undoing(Asked):
    """Which change to take back: only if it is the last one, or `with_newer` ones. None takes the last one, whatever it is."""

    change: Name | None = None
    with_newer: bool = False


class DatasetChanges(Contract):
    """What can be taken back, the newest first."""

    items: tuple[DatasetChange, ...]


class Fixing(Asked):
    """Which finding to fix, and the side in pixels that will be trained at, where the check was asked for one."""

    code: Code
    resolution: int | None = Field(None, ge=64, le=2048)


def routes(studio: Studio) -> APIRouter:
    """Everything under datasets."""
    router = APIRouter(responses=RESPONSES, tags=["datasets"])
    found, changed, taken = with_errors(404), with_errors(403, 404, 409), with_errors(403, 404, 413, 507)

    @router.get("/datasets", summary="List datasets", responses=found)
    def datasets(character: Annotated[str | None, Whose] = None) -> DatasetList:
        """Newest first."""
        return DatasetList(items=tuple(_view(one) for one in studio.datasets.datasets(character)))

    @router.post("/datasets", status_code=201, summary="Make a dataset", responses=with_errors(403, 404, 507))
    def create(body: DatasetFields) -> DatasetMade:
        """Empty, or of the character's photos (`photos`), or of `pictures` of the library."""
        made, refused = studio.datasets.create(body)
        return DatasetMade(**dict(_view(made)), refused=refused)

    @router.get("/datasets/images", summary="The pictures of all datasets", responses=found)
    def everywhere(
        character: Annotated[str | None, Whose] = None,
        tag: Annotated[str | None, Query(description="Only pictures with this tag"), Word] = None,
        flag: Annotated[str | None, Query(description="Only pictures of which the check found this"), Word] = None,
        caption: Annotated[CaptionState | None, Query(description="Only pictures without a caption, or with one")] = None,
        search: Annotated[str, Query(description="Words in the caption, the name or a tag", max_length=1000, pattern=SEARCHABLE)] = "",
        limit: Limit = 100,
        cursor: Cursor = None,
        offset: Annotated[int, Query(description="Skip this many", ge=0, le=10_000_000)] = 0,
    ) -> DatasetPictures:
        """In the order in which they came; `dataset_id` says where each is."""
        page = studio.datasets.pictures(
            character=character, tag=tag, flag=flag, caption=caption, search=search, limit=limit, cursor=cursor, offset=offset
        )
        return DatasetPictures(items=tuple(_shown(one) for one in page.items), next=page.next, total=page.total)

    @router.get("/datasets/facets", summary="What the pictures of all datasets can be found by", responses=found)
    def facets_everywhere(character: Annotated[str | None, Whose] = None) -> DatasetFacets:
        """Tags, findings of the check, and how many have a caption; of everybody, or of one character."""
        return studio.datasets.facets(character=character)

    @router.get("/datasets/{id}", summary="One dataset", responses=found)
    def dataset(id: Id) -> DatasetView:
        """Its name, how many pictures it has, and how many of them a caption."""
        return _view(studio.datasets.dataset(id))

    @router.patch("/datasets/{id}", summary="Rename a dataset", responses=found)
    def rename(id: Id, body: Renamed) -> DatasetView:
        """Trainings that used it keep what they used."""
        return _view(studio.datasets.rename(id, body.name))

    @router.delete("/datasets/{id}", summary="Delete a dataset", responses=found)
    def delete(id: Id) -> DatasetView:
        """`undo` brings it back until the trash is emptied."""
        return _view(studio.datasets.delete(id))

    @router.get("/datasets/{id}/images", summary="A dataset's pictures", responses=found)
    def images(
        id: Id,
        tag: Annotated[str | None, Query(description="Only pictures with this tag"), Word] = None,
        flag: Annotated[str | None, Query(description="Only pictures of which the check found this"), Word] = None,
        caption: Annotated[CaptionState | None, Query(description="Only pictures without a caption, or with one")] = None,
        search: Annotated[str, Query(description="Words in the caption, the name or a tag", max_length=1000, pattern=SEARCHABLE)] = "",
        limit: Limit = 100,
        cursor: Cursor = None,
        offset: Annotated[int, Query(description="Skip this many: to jump in a long list", ge=0, le=10_000_000)] = 0,
    ) -> DatasetPictures:
        """In the order in which they came."""
        page = studio.datasets.pictures(id, tag=tag, flag=flag, caption=caption, search=search, limit=limit, cursor=cursor, offset=offset)
        return DatasetPictures(items=tuple(_shown(one) for one in page.items), next=page.next, total=page.total)

    @router.post("/datasets/{id}/images", status_code=201, summary="Add files", responses=taken, openapi_extra=_FILES)
    async def add_files(request: Request, id: Id) -> DatasetPicturesReceived:
        """Up to 100 files in fields called `file`: PNG, JPEG, WebP or HEIC, and `.txt` files with captions, which belong to the picture
        of the same name. `refused` names each file that could not be used, with the reason; the others are kept.
        """
        files = await files_of(request, studio.settings.max_upload_mb * 2**20, most_files=MOST_FILES)
        return _received(await run_in_threadpool(studio.datasets.add_files, id, files))

    @router.patch("/datasets/{id}/images", summary="Change many pictures", responses=changed)
    def change_many(id: Id, body: ChangeChosen) -> Counted:
        """The same caption for all, tags to add and to take away, or another dataset to move them `to`. What is left out stays."""
        return Counted(count=studio.datasets.change_pictures(id, body.ids, body.change))

    @router.delete("/datasets/{id}/images", summary="Remove pictures", responses=found)
    def remove(id: Id, body: DatasetChosen) -> Counted:
        """`undo` brings them back. Photos and pictures of the library stay where they are."""
        return Counted(count=studio.datasets.remove(id, body.ids))

    @router.post("/datasets/{id}/library", status_code=201, summary="Add pictures of the library", responses=taken)
    def add_pictures(id: Id, body: FromLibrary) -> DatasetPicturesReceived:
        """Copies, with their captions; one without a caption gets the trigger word and a plain one."""
        added = studio.datasets.add_pictures(id, body.pictures)
        return _received(added)

    @router.get("/datasets/{id}/facets", summary="What a dataset's pictures can be found by", responses=found)
    def facets(id: Id) -> DatasetFacets:
        """Its tags, and what the check found, each with its number of pictures."""
        return studio.datasets.facets(id)

    @router.get("/datasets/{id}/images/{image}", summary="One picture of a dataset", responses=found)
    def image(id: Id, image: Image) -> DatasetPictureView:
        """Its size, caption and tags, and where to get it."""
        return _shown(studio.datasets.picture(id, image))

    @router.get(
        "/datasets/{id}/images/{image}/file", summary="The picture itself", response_class=Response, responses={**found, 200: _PICTURE}
    )
    def file(request: Request, id: Id, image: Image) -> Response:
        """As it is trained."""
        picture = studio.datasets.picture(id, image)
        path = studio.datasets.files.file(picture.path)
        headers = {"ETag": f'"{picture.sha256}"', "Cache-Control": _cache(request), "X-Content-Type-Options": "nosniff"}
        if has_it(request, headers["ETag"]):
            return Response(status_code=304, headers=headers)
        headers["Content-Disposition"] = disposition("inline", f"{picture.name.rpartition('.')[0] or picture.id}{path.suffix}")
        return FileResponse(path, media_type=MEDIA_TYPES[path.suffix], headers=headers, stat_result=path.stat())

    @router.get(
        "/datasets/{id}/images/{image}/thumbnail", summary="A small WebP of it", response_class=Response, responses={**found, 200: _WEBP}
    )
    def thumbnail(request: Request, id: Id, image: Image) -> Response:
        """With the address that lists give it, it may be cached for good."""
        return bytes_answer(request, studio.datasets.thumbnail(id, image), media_type="image/webp", cache=_cache(request))

    @router.post("/datasets/{id}/images/{image}/crop", summary="Turn and crop a picture", responses=changed)
    def crop(id: Id, image: Image, body: Cut) -> DatasetPictureView:
        """First `turns` quarter turns clockwise, then the box, in pixels of the turned picture. `undo` brings the old file back."""
        return _shown(studio.datasets.cut(id, image, body))

    @router.post("/datasets/{id}/captions", summary="Change many captions", responses=changed)
    def captions(id: Id, body: CaptionsEdit) -> CaptionsAnswer:
        """`act` is `write`, `replace` (`find` becomes `text`), `prefix`, `suffix` or `trigger`; of these `ids`, or of all. With `preview`
        nothing is changed.
        """
        edit = CaptionEdit.model_validate(body.model_dump(exclude={"preview"}))
        said = studio.datasets.preview_captions(id, edit) if body.preview else studio.datasets.edit_captions(id, edit)
        return CaptionsAnswer(preview=body.preview, count=len(said.changes), items=said.changes[:SHOWN_CHANGES])

    @router.post("/datasets/{id}/undo", summary="Take the last change back", responses=with_errors(404, 409))
    def undo(id: Id, body: Undoing | None = None) -> DatasetChange:
        """Also that the dataset was deleted. The last twenty changes can be undone, one at a time."""
        return studio.datasets.undo(id, body.change, with_newer=body.with_newer) if body else studio.datasets.undo(id)

    @router.get("/datasets/{id}/changes", summary="What can be taken back", responses=found)
    def changes(id: Id) -> DatasetChanges:
        """The last twenty changes, the newest first; `undo` takes back one, or one `with_newer` ones."""
        studio.datasets.dataset(id)
        return DatasetChanges(items=studio.datasets.changes(id))

    @router.get("/datasets/{id}/preflight", summary="Check a dataset before it is trained", responses=found)
    def check(
        id: Id,
        resolution: Annotated[
            int | None, Query(description="The side in pixels that will be trained at; left out: what suits the pictures", ge=64, le=2048)
        ] = None,
    ) -> Preflight:
        """What is good and what is missing, in plain words, each with the pictures concerned and what one click would do. Pictures that
        nobody looked at yet are looked at for two seconds; while `pending` is above 0, ask again.
        """
        return studio.dataset_check.check(id, resolution=resolution)

    @router.post("/datasets/{id}/fix", summary="Do what a finding proposes", responses=with_errors(404, 409))
    def fix(id: Id, body: Fixing) -> DatasetChange:
        """One change, which `undo` takes back."""
        return studio.dataset_check.fix(id, body.code, resolution=body.resolution)

    @router.get(
        "/datasets/{id}/export",
        summary="A dataset as a ZIP",
        response_class=StreamingResponse,
        responses={**found, 200: {"content": {"application/zip": {}}, "description": "Pictures, and a .txt with the caption beside each"}},
    )
    def export(
        id: Id,
        repeats: Annotated[int, Query(description="Above 0: in a folder as kohya names them, such as 10_nova woman", ge=0, le=1000)] = 0,
    ) -> Response:
        """Made while it is sent. AI-Toolkit and kohya read it as it is."""
        name, pieces = studio.datasets.export(id, repeats=repeats)
        headers = {"Content-Disposition": disposition("attachment", name), "Cache-Control": "no-store"}
        return StreamingResponse(pieces, media_type="application/zip", headers=headers)

    @router.post("/datasets/{id}/import", status_code=201, summary="Take in a ZIP or a folder", responses=taken, openapi_extra=_FILES)
    async def take_in(request: Request, id: Id) -> DatasetPicturesReceived:
        """One ZIP in a field called `file`, or up to 100 files of a folder, each named by its path in it: pictures with `.txt` or
        `.caption` files beside them, as kohya and AI-Toolkit keep them. `left_out` names pictures that only show what a class looks like.
        """
        files = await files_of(request, studio.settings.max_upload_mb * 2**20 * 8, most_files=MOST_FILES, together=True)

        def taken_in() -> DatasetPicturesReceived:
            name, data = files[0]
            if len(files) == 1 and PurePosixPath(name).suffix.lower() not in PICTURES:
                with DatasetZip(data, name) as parcel:
                    return _received(studio.datasets.take_in(id, parcel))
            return _received(studio.datasets.take_in(id, DatasetFiles(files)))

        return await run_in_threadpool(taken_in)

    return router


_PICTURE: dict[str, Any] = {"content": {kind: {} for kind in MEDIA_TYPES.values()}, "description": "The picture"}
_WEBP: dict[str, Any] = {"content": {"image/webp": {}}, "description": "The WebP"}


_SENT = {"type": "array", "items": {"type": "string", "format": "binary"}}
_SCHEMA = {"type": "object", "required": ["file"], "properties": {"file": _SENT}}
_FILES: dict[str, Any] = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _SCHEMA}}}}


def _view(one: Dataset) -> DatasetView:
    return DatasetView(**{**dict(one), "covers": tuple(_shown(each) for each in one.covers)})


def _shown(one: DatasetPicture) -> DatasetPictureView:
    base = f"{PREFIX}/datasets/{one.dataset_id}/images/{one.id}"
    mark = one.sha256[:12]
    return DatasetPictureView(**dict(one), url=f"{base}/file?v={mark}", thumbnail_url=f"{base}/thumbnail?v={mark}")


def _received(added: DatasetPicturesAdded) -> DatasetPicturesReceived:
    return DatasetPicturesReceived(items=tuple(_shown(one) for one in added.items), refused=added.refused, left_out=added.left_out)


def _cache(request: Request) -> str:
    # A crop gives a picture another file under the same id: only the address that names the file may be kept.
    return FOREVER if request.query_params.get("v") else "private, no-cache"
