"""Characters: make them, change them, give them photos, take them along."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from studio.api.answers import disposition
from studio.api.forms import files_of
from studio.api.refusals import RESPONSES, correlation_id, with_errors
from studio.api.rim import MOST_FILES
from studio.api.views import (
    CharacterView,
    CharacterViews,
    Chosen,
    Counted,
    Id,
    PhotosReceived,
    Pictures,
    Suggestion,
    Templates,
    character_view,
    view,
)
from studio.contracts import Character, CharacterChange, CharacterFields, CharacterStatus, Contract, FaceVariant, Submitted
from studio.studio import Studio
from studio.variants import VariantUse

MOST_PHOTOS = 50
Variant = Annotated[str, Path(description="The name of a face variant", max_length=100)]


class VariantList(Contract):
    """The face variants of a character."""

    items: tuple[FaceVariant, ...]


def routes(studio: Studio) -> APIRouter:
    """Everything under characters. `{id}` is an id or a slug."""
    router = APIRouter(responses=RESPONSES, tags=["characters"])

    def shown(character: Character) -> CharacterView:
        return character_view(character, studio.character_counts([character.id])[character.id])

    @router.get("/characters", summary="List characters")
    def characters(
        status: Annotated[CharacterStatus, Query(description="Where they are kept")] = CharacterStatus.active,
    ) -> CharacterViews:
        """By name, with the numbers of each."""
        found = studio.characters(status)
        counts = studio.character_counts([character.id for character in found])
        return CharacterViews(items=tuple(character_view(character, counts[character.id]) for character in found))

    @router.post("/characters", status_code=201, summary="Make a character", responses=with_errors(403))
    def create(body: CharacterFields) -> CharacterView:
        """A slug and a trigger word that are left out are suggested."""
        return shown(studio.create_character(body))

    @router.get("/characters/templates", summary="Ready-made characters to start from")
    def templates() -> Templates:
        """`fields` is what `POST /characters` takes."""
        return Templates(items=studio.templates())

    @router.get("/characters/suggest", summary="A free slug and trigger word")
    def suggest(name: Annotated[str, Query(description="The character's name", max_length=200)]) -> Suggestion:
        """Made from the name; nobody has them yet."""
        slug, trigger_word = studio.suggest_names(name)
        return Suggestion(slug=slug, trigger_word=trigger_word)

    @router.post(
        "/characters/import", status_code=201, summary="Take in an exported character", responses=with_errors(413, 507), openapi_extra=_FILE
    )
    async def take_in(request: Request) -> CharacterView:
        """As a new character, with its photos, captions, LoRA and consent record."""
        ((_, data),) = await files_of(request, studio.settings.max_upload_mb * 2**20 * MOST_FILES["characters/import"], most_files=1)
        return shown(await run_in_threadpool(studio.import_character, data))

    @router.get("/characters/{id}", summary="One character", responses=with_errors(404))
    def character(id: Id) -> CharacterView:
        """Everything that is known of it."""
        return shown(studio.character(id))

    @router.patch("/characters/{id}", summary="Change a character", responses=with_errors(403, 404, 409))
    def change(id: Id, body: CharacterChange) -> CharacterView:
        """What is left out stays. With `version`, only if nobody changed it since. `status` archives it or brings it back."""
        return shown(studio.change_character(id, body))

    @router.delete("/characters/{id}", summary="Move a character to the trash", responses=with_errors(404))
    def delete(id: Id) -> CharacterView:
        """Its pictures stay; PATCH {"status": "active"} brings it back."""
        return shown(studio.change_character(id, CharacterChange.model_validate({"status": CharacterStatus.trashed})))

    @router.get("/characters/{id}/variants", summary="A character's face variants", responses=with_errors(404))
    def variants(id: Id) -> VariantList:
        """Up to three named looks, each with a LoRA of its own."""
        return VariantList(items=studio.variants.of(id))

    @router.put("/characters/{id}/variants", summary="Keep a face variant", responses=with_errors(403, 404, 409))
    def put_variant(id: Id, body: FaceVariant) -> CharacterView:
        """A new one, or another of the same name."""
        return shown(studio.variants.put(id, body))

    @router.delete("/characters/{id}/variants/{name}", summary="Take a face variant away", responses=with_errors(404, 409))
    def remove_variant(id: Id, name: Variant) -> CharacterView:
        """Its LoRA and its pictures stay."""
        return shown(studio.variants.remove(id, name))

    @router.post(
        "/characters/{id}/variants/{name}/use",
        status_code=202,
        summary="Draw a face variant over pictures",
        responses=with_errors(403, 404, 409, 507),
    )
    def use_variant(request: Request, id: Id, name: Variant, body: VariantUse) -> Submitted:
        """A new picture of each, with the face drawn anew by the variant's LoRA and the rest as it is. Only of pictures that were made here
        of this character; faces in photos are never exchanged.
        """
        return studio.variants.use(id, name, body, correlation_id=correlation_id(request))

    @router.post("/characters/{id}/duplicate", status_code=201, summary="Make another one like it", responses=with_errors(404))
    def duplicate(id: Id) -> CharacterView:
        """The same words and looks under another name; photos and LoRA stay with the first."""
        return shown(studio.duplicate_character(id))

    @router.get("/characters/{id}/images", summary="A character's photos", responses=with_errors(404))
    def photos(id: Id) -> Pictures:
        """Oldest first."""
        found = studio.photos(id)
        return Pictures(items=tuple(view(photo) for photo in found), total=len(found))

    @router.post(
        "/characters/{id}/images",
        status_code=201,
        summary="Add photos",
        responses=with_errors(403, 404, 413, 507),
        openapi_extra=_FILES,
    )
    async def add_photos(request: Request, id: Id) -> PhotosReceived:
        """Up to 50 files in fields called `file`: PNG, JPEG, WebP or HEIC. They are turned upright and freed of GPS and other private
        EXIF. `refused` names each file that could not be used, with the reason; the others are kept.
        """
        files = await files_of(request, studio.settings.max_upload_mb * 2**20, most_files=MOST_PHOTOS)
        added = await run_in_threadpool(studio.add_photos, id, files)
        return PhotosReceived(items=tuple(view(photo) for photo in added.items), refused=added.refused)

    @router.delete("/characters/{id}/images", summary="Move photos to the trash", responses=with_errors(404))
    def remove_photos(id: Id, body: Chosen) -> Counted:
        """`POST /images/restore` brings them back."""
        return Counted(count=studio.remove_photos(id, body.ids))

    @router.put(
        "/characters/{id}/evidence", summary="Keep the proof of a consent", responses=with_errors(403, 404, 413), openapi_extra=_FILE
    )
    async def evidence(request: Request, id: Id) -> CharacterView:
        """One file in a field called `file`; it stays on this computer's disk and is shown to nobody."""
        ((name, data),) = await files_of(request, studio.settings.max_upload_mb * 2**20, most_files=1)
        return shown(await run_in_threadpool(studio.keep_evidence, id, name, data))

    @router.get(
        "/characters/{id}/export",
        summary="A character as one file",
        response_class=Response,
        responses={**with_errors(404), 200: {"content": {"application/zip": {}}, "description": "A ZIP that `import` takes"}},
    )
    def export(id: Id) -> Response:
        """Photos, datasets, captions, LoRA, settings and consent."""
        name, data = studio.export_character(id)
        return Response(data, media_type="application/zip", headers={"Content-Disposition": disposition("attachment", name)})

    return router


_FILE = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {"type": "object", "required": ["file"], "properties": {"file": {"type": "string", "format": "binary"}}}
            }
        },
    }
}
_FILES = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "array", "items": {"type": "string", "format": "binary"}}},
                }
            }
        },
    }
}
