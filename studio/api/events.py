"""Server-sent events: what changes, as it changes, to every page and program that listens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from studio import VERSION
from studio.api.refusals import RESPONSES, with_errors
from studio.api.views import Id
from studio.contracts import Job
from studio.feed import Feed
from studio.studio import Studio

HEARTBEAT_S = 15.0
LAST = "end"
HEADERS = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}
STREAM: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {}}, "description": "A stream of events"}}


def routes(studio: Studio, feed: Feed) -> APIRouter:
    """events, and jobs/{id}/events."""
    router = APIRouter(responses=RESPONSES, tags=["events"])

    @router.get("/events", summary="Everything that changes", response_class=StreamingResponse, responses=STREAM)
    async def events() -> Response:
        """`hello` first (and again when too much changed to tell: then look at everything anew), `job` with a job's JSON whenever
        one changes, `pictures` when the library changed, `models` when ComfyUI's servers have others than before, `engine` while one is
        being installed, updated or started (and once when that is over). A comment line every 15 s keeps proxies awake.
        """
        return StreamingResponse(everything(feed), media_type="text/event-stream", headers=HEADERS)

    @router.get(
        "/jobs/{id}/events",
        summary="One job, until it ends",
        response_class=StreamingResponse,
        responses={**with_errors(404), **STREAM, 204: {"description": "The stream had told the end already"}},
    )
    async def job_events(request: Request, id: Id) -> Response:
        """`job` at once and at every change; the stream ends with the job."""
        if request.headers.get("last-event-id") == LAST:
            # A browser asks again when a stream ends; 204 tells it that there is no more.
            return Response(status_code=204)
        job = await run_in_threadpool(studio.job, id)
        return StreamingResponse(one_job(studio, feed, job), media_type="text/event-stream", headers=HEADERS)

    return router


async def everything(feed: Feed, heartbeat_s: float = HEARTBEAT_S) -> AsyncIterator[str]:
    """The lines of the stream of everything, until the feed is closed."""
    async with feed.listen() as listener:
        yield _hello()
        while (news := await listener.next(heartbeat_s)) is not None:
            if news.lost:
                yield _hello()
            for job in news.jobs:
                yield _event("job", job.model_dump_json())
            if news.pictures:
                yield _event("pictures", "{}")
            if news.models:
                yield _event("models", "{}")
            if news.work is not None:
                yield _event("engine", news.work.model_dump_json())
            if not (news.lost or news.jobs or news.pictures or news.models or news.work):
                yield ": still here\n\n"


async def one_job(studio: Studio, feed: Feed, job: Job) -> AsyncIterator[str]:
    """The lines of the stream of one job, until it ends."""
    async with feed.listen(job.id) as listener:
        yield _hello()
        told: Job | None = None
        job = await run_in_threadpool(studio.job, job.id)
        while True:
            if job != told:
                yield _event("job", job.model_dump_json(), LAST if job.state.ended else "")
                told = job
            if job.state.ended:
                return
            news = await listener.next(HEARTBEAT_S)
            if news is None:
                return
            if news.jobs:
                job = news.jobs[-1]
            elif news.lost:
                job = await run_in_threadpool(studio.job, job.id)
            elif not news.pictures:
                yield ": still here\n\n"


def _hello() -> str:
    return f'retry: 2000\nevent: hello\ndata: {{"version": "{VERSION}"}}\n\n'


def _event(name: str, data: str, event_id: str = "") -> str:
    return f"{f'id: {event_id}' + chr(10) if event_id else ''}event: {name}\ndata: {data}\n\n"
