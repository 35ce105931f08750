"""Enlarging pictures: how they can be, and doing it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import StringConstraints

from studio.api.refusals import RESPONSES, correlation_id, with_errors
from studio.api.views import SEARCHABLE
from studio.contracts import Contract, Submitted
from studio.enlarging import MOST_AT_ONCE, EnlargeRequest, WayOffered
from studio.studio import Studio

PictureId = Annotated[str, StringConstraints(max_length=100, pattern=SEARCHABLE)]


class Ways(Contract):
    """How pictures can be enlarged."""

    items: tuple[WayOffered, ...]


def routes(studio: Studio) -> APIRouter:
    """images/enlarge. To be taken in before the routes of single pictures."""
    router = APIRouter(responses=RESPONSES, tags=["pictures"])

    @router.get("/images/enlarge", summary="How pictures can be enlarged", responses=with_errors(404))
    def ways(
        id: Annotated[list[PictureId], Query(description="A picture; may be given several times", min_length=1, max_length=MOST_AT_ONCE)],
    ) -> Ways:
        """Upscaled twice or four times, or drawn again with more detail: all of them or not at all. `why_not`, `remedy` and `link` say
        what is missing.
        """
        return Ways(items=studio.enlarging.ways(id))

    @router.post("/images/enlarge", status_code=202, summary="Enlarge pictures", responses=with_errors(403, 404, 507))
    def enlarge(request: Request, body: EnlargeRequest) -> Submitted:
        """One job each. The result is a new picture whose `recipe.parent` is the one that it was made of."""
        return studio.enlarging.order(body, correlation_id=correlation_id(request))

    return router
