"""Analytics: how the studio is doing, in numbers."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from studio.analytics import Analytics
from studio.api.refusals import RESPONSES
from studio.studio import Studio


def routes(studio: Studio) -> APIRouter:
    """analytics."""
    router = APIRouter(responses=RESPONSES, tags=["system"])

    @router.get("/analytics", summary="The last days in numbers")
    def analytics(
        days: Annotated[int, Query(description="How many days, today being the last", ge=1, le=3650)] = 30,
        utc_offset: Annotated[int, Query(description="Minutes that your clock is ahead of UTC: days are yours then", ge=-840, le=840)] = 0,
    ) -> Analytics:
        """Jobs by state and how long they took, pictures by day, character, preset and style, favourites, errors with remedies."""
        return studio.analytics(days=days, ahead_s=utc_offset * 60)

    return router
