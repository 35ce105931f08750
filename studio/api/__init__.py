"""The HTTP API: every verb of the studio under /api/v1, its description at /api/openapi.json and /api/docs."""

from __future__ import annotations

from fastapi import FastAPI

from studio import VERSION
from studio.api import (
    analytics,
    captions,
    characters,
    datasets,
    engines,
    enlarging,
    events,
    jobs,
    manual,
    pictures,
    refusals,
    setup,
    sheets,
    system,
    training,
    workflows,
)
from studio.api.rim import Rim
from studio.api.views import PREFIX
from studio.feed import Feed
from studio.studio import Studio

ABOUT = """Everything the studio can do, for programs. Requests and answers are JSON; an error is always
`{"ok": false, "error": {code, message, remedy, field, correlation_id}}` with a fitting HTTP status.

At this computer no sign-in is needed. From elsewhere send `Authorization: Bearer TOKEN`; `python launch.py token create` makes one."""


def create_api(studio: Studio) -> FastAPI:
    """The API over one studio. `app.state.feed.close()` ends its event streams: call it when the server begins to stop."""
    api = FastAPI(title="Likeness", version=VERSION, description=ABOUT, docs_url=None, redoc_url=None, openapi_url=None)
    feed = Feed(studio)
    api.state.feed = feed
    api.add_middleware(Rim, max_upload_mb=studio.settings.max_upload_mb)
    refusals.install(api)
    for router in (
        system.routes(studio),
        setup.routes(studio),
        engines.routes(studio),
        jobs.routes(studio, feed),
        characters.routes(studio),
        sheets.routes(studio),
        # Before the single pictures: `enlarge` is no id.
        enlarging.routes(studio),
        pictures.routes(studio),
        datasets.routes(studio),
        captions.routes(studio),
        workflows.routes(studio),
        training.routes(studio, feed),
        analytics.routes(studio),
        events.routes(studio, feed),
    ):
        api.include_router(router, prefix=PREFIX)
    manual.install(api)
    return api
