"""Captions by a vision model: what it would be, order them, see what became of each picture, try the failed ones again."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Query, Request
from fastapi.openapi.models import Example

from studio.api.refusals import RESPONSES, correlation_id, with_errors
from studio.api.views import SEARCHABLE, Counted, Id, Limit
from studio.captionings import Captioning, CaptioningLine, CaptionOffer, VisionTry
from studio.contracts import CaptionRequest, Contract, Job
from studio.studio import Studio

EXAMPLES: dict[str, Example] = {
    "a character's newest dataset": {"value": {"character": "mara"}},
    "all of a dataset anew, as tags": {"value": {"dataset": "0193…", "replace": True, "style": "tags"}},
    "references of one category": {"value": {"references": True, "category": "Poses"}},
}


class CaptioningList(Contract):
    """Caption jobs, newest first."""

    items: tuple[CaptioningLine, ...]


def routes(studio: Studio) -> APIRouter:
    """Everything under captions."""
    router = APIRouter(responses=RESPONSES, tags=["captions"])

    @router.post("/captions/offer", summary="What captions could be written", responses=with_errors(404))
    def offer(body: Annotated[CaptionRequest, Body(openapi_examples=EXAMPLES)]) -> CaptionOffer:
        """How many pictures, how many without a caption, by which model, and where the pictures would go. Nothing is sent anywhere."""
        return studio.captionings.offer(body)

    @router.get("/captions/try", summary="What the last try of the vision model found")
    def tried() -> VisionTry:
        """While `trying` is true, ask again."""
        return studio.captionings.last_try()

    @router.post("/captions/try", status_code=202, summary="Try the vision model of the settings")
    def begin_try() -> VisionTry:
        """Shows it a small drawing, in the background: address, key, model, and whether it can see. Costs a few hundred tokens."""
        return studio.captionings.start_try()

    @router.get("/captions", summary="List caption jobs", responses=with_errors(404))
    def listed(
        dataset: Annotated[str | None, Query(description="Only of this dataset", max_length=100, pattern=SEARCHABLE)] = None,
        references: Annotated[bool, Query(description="Only of references")] = False,
        live: Annotated[bool | None, Query(description="Only those that wait or run, or only those that have ended")] = None,
        limit: Limit = 50,
    ) -> CaptioningList:
        """Newest first."""
        return CaptioningList(items=studio.captionings.captionings(dataset=dataset, references=references, live=live, limit=limit))

    @router.post("/captions", status_code=202, summary="Have captions written", responses=with_errors(403, 404, 409, 507))
    def order(request: Request, body: Annotated[CaptionRequest, Body(openapi_examples=EXAMPLES)]) -> Job:
        """Answers as soon as the job is on disk. `POST jobs/{id}/cancel` stops it; what is written stays, and the dataset's `undo`
        takes it back. Pictures of real people go to another computer only with `allow_remote_for_real`.
        """
        return studio.captionings.order(body, correlation_id=correlation_id(request))

    @router.get("/captions/{id}", summary="One caption job", responses=with_errors(404))
    def one(id: Id) -> Captioning:
        """How many pictures have their caption, which failed and why, and what it cost where that is known."""
        return studio.captionings.captioning(id)

    @router.post("/captions/{id}/retry", summary="Ask again for those that failed", responses=with_errors(403, 404, 409))
    def retry(id: Id) -> Job:
        """And for those that were not asked for: after a cancel or a failure it goes on where it was."""
        return studio.captionings.retry(id)

    @router.post("/captions/{id}/undo", summary="Put the captions back that were there before", responses=with_errors(404, 409))
    def undo(id: Id) -> Counted:
        """Where nobody changed them since."""
        return Counted(count=studio.captionings.undo(id))

    return router
