"""Character sheets: what one can be made with, make it, keep or throw its pictures, add them to the photos."""

from __future__ import annotations

from fastapi import APIRouter, Request

from studio.api.refusals import RESPONSES, correlation_id, with_errors
from studio.api.views import Id, Pictures, view
from studio.contracts import Contract
from studio.sheets import Sheet, SheetOffer, SheetRequest, ShotJudgement
from studio.studio import Studio


class SheetList(Contract):
    """A character's sheets, newest first."""

    items: tuple[Sheet, ...]


def routes(studio: Studio) -> APIRouter:
    """A character's sheet and sheets; one sheet by its own id. `{id}` of a character is an id or a slug."""
    router = APIRouter(responses=RESPONSES, tags=["characters"])

    @router.get("/characters/{id}/sheet", summary="What a character sheet can be made with", responses=with_errors(404))
    def offer(id: Id) -> SheetOffer:
        """The workflows with their views, the picture to start from, and what stands in the way (`obstacles`)."""
        return studio.sheets.offer(id)

    @router.post("/characters/{id}/sheet", status_code=202, summary="Make a character sheet", responses=with_errors(403, 404, 507))
    def order(request: Request, id: Id, body: SheetRequest | None = None) -> Sheet:
        """One job for each view, from one portrait; they go through the queue as all jobs do."""
        wish = body or SheetRequest.model_validate({})
        return studio.sheets.order(id, wish, correlation_id=correlation_id(request))

    @router.get("/characters/{id}/sheets", summary="A character's sheets", responses=with_errors(404))
    def sheets(id: Id) -> SheetList:
        """Newest first; `open` ones wait for a decision."""
        return SheetList(items=studio.sheets.sheets(id))

    @router.get("/sheets/{id}", summary="One character sheet", responses=with_errors(404))
    def sheet(id: Id) -> Sheet:
        """Each view with its job, its picture, and what was decided of it."""
        return studio.sheets.sheet(id)

    @router.post("/sheets/{id}/judge", summary="Keep views of a sheet, or throw them away", responses=with_errors(404, 409))
    def judge(id: Id, body: ShotJudgement) -> Sheet:
        """Thrown pictures go to the trash; `open` takes a decision back."""
        return studio.sheets.judge(id, body)

    @router.post("/sheets/{id}/add", status_code=201, summary="Add what was kept to the photos", responses=with_errors(403, 404, 507))
    def add(id: Id) -> Pictures:
        """Gives the new photos, each with a caption made from its view and the recipe that made it. What was added before is left alone."""
        added = studio.sheets.add(id)
        return Pictures(items=tuple(view(photo) for photo in added), total=len(added))

    return router
