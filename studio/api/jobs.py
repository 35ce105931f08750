"""Jobs: make pictures, follow the work, cancel, retry, reorder."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Body, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.openapi.models import Example
from fastapi.responses import JSONResponse

from studio.api.answers import bytes_answer
from studio.api.refusals import RESPONSES, correlation_id, with_errors
from studio.api.views import (
    PREFIX,
    SEARCHABLE,
    Artifacts,
    CancelMany,
    Counted,
    Cursor,
    Finished,
    Id,
    InlinePicture,
    Jobs,
    Limit,
    LogLines,
    Move,
    MoveElsewhere,
    inline_view,
    view,
)
from studio.contracts import Composed, GenerateRequest, Job, JobState, Submitted
from studio.elsewhere import Waiting
from studio.errors import NotFound
from studio.feed import Feed
from studio.studio import Studio

# Pod proxies cut a request at 100 s; the answer must be out before.
LONGEST_WAIT_S = 90.0
EXAMPLES: dict[str, Example] = {
    "words alone": {"value": {"prompt": "portrait of a person with long wavy red hair"}},
    "a preset": {"value": {"prompt": "portrait of a person with a green hat", "preset": "portrait_v1", "count": 4}},
    "a preset in a style": {"value": {"prompt": "portrait of a person with a green hat", "preset": "night_v1", "style": "ink_comic_v1"}},
    "every parameter": {
        "value": {
            "prompt": "portrait of a person with short dark hair",
            "negative_prompt": "glasses",
            "model": "starter",
            "width": 128,
            "height": 128,
            "steps": 20,
            "cfg": 4,
            "sampler": "dpmpp_2m",
            "scheduler": "normal",
            "seed": 7,
            "count": 2,
        }
    },
}


def routes(studio: Studio, feed: Feed) -> APIRouter:
    """generate, and everything under jobs but its event stream."""
    router = APIRouter(responses=RESPONSES, tags=["jobs"])

    @router.post(
        "/generate",
        status_code=202,
        summary="Make pictures",
        responses={
            **with_errors(403, 507),
            200: {"model": Finished, "description": "With `wait`: the job has ended; look at `ok`"},
            202: {"description": "The job is on disk and will be done"},
        },
        response_model=Submitted,
    )
    async def generate(
        request: Request,
        body: Annotated[GenerateRequest, Body(openapi_examples=EXAMPLES)],
        wait: Annotated[float, Query(description="Wait up to this many seconds (90 at most) for the job to end", ge=0)] = 0,
        inline: Annotated[Literal["base64"] | None, Query(description="With `wait`: put each PNG into the answer")] = None,
    ) -> Response:
        """Answers 202 as soon as the job is on disk; a lost connection changes nothing.

        With `wait` it answers 200 when the job has ended in time, else 202.
        """
        submitted = await run_in_threadpool(studio.generate, body, correlation_id=correlation_id(request))
        ended = await _until_ended(studio, feed, submitted.job_ids, min(wait, LONGEST_WAIT_S)) if wait else None
        if ended is None:
            where = {"Location": f"{PREFIX}/jobs/{submitted.job_id}"}
            return JSONResponse(submitted.model_dump(mode="json"), 202, where)
        finished = await run_in_threadpool(_finished, studio, ended, inline is not None)
        without_data = None if inline else {"items": {"__all__": {"data"}}}
        return JSONResponse(finished.model_dump(mode="json", exclude=without_data), 200)

    @router.post("/compose", summary="What would be made", responses=with_errors(404))
    def compose(body: GenerateRequest) -> Composed:
        """The final prompts of a request's first job, and how many jobs and pictures it is; nothing is made."""
        return studio.compose(body)

    @router.get("/jobs", summary="List jobs")
    def jobs(
        state: Annotated[list[JobState] | None, Query(description="Only jobs in this state; may be given several times")] = None,
        batch_id: Annotated[str | None, Query(description="Only jobs of this batch", max_length=100, pattern=SEARCHABLE)] = None,
        character: Annotated[
            str | None, Query(description="Only jobs of this character: an id or a slug", max_length=100, pattern=SEARCHABLE)
        ] = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Jobs:
        """Newest first."""
        page = studio.jobs(states=state or (), batch_id=batch_id, character=character, limit=limit, cursor=cursor)
        return Jobs(items=page.items, next=page.next)

    @router.post("/jobs/cancel", summary="Cancel a batch, or everything")
    def cancel_many(body: CancelMany | None = None) -> Counted:
        """Queued jobs end now, running ones at their next step."""
        return Counted(count=studio.cancel_all(batch_id=body.batch_id if body else None))

    @router.get("/jobs/{id}", summary="One job", responses=with_errors(404))
    def job(id: Id) -> Job:
        """Its state, progress, request, recipe, and its error if it failed."""
        return studio.job(id)

    @router.post("/jobs/{id}/cancel", summary="Cancel a job", responses=with_errors(404, 409))
    def cancel(id: Id) -> Job:
        """A queued job ends now, a running one at its next step."""
        return studio.cancel(id)

    @router.post("/jobs/{id}/retry", summary="Start an ended job again", responses=with_errors(404, 409))
    def retry(id: Id) -> Job:
        """A new attempt of a failed, cancelled or poisoned job, with the same recipe."""
        return studio.retry(id)

    @router.post("/jobs/{id}/move", summary="Move a queued job", responses=with_errors(404, 409))
    def move(id: Id, body: Move) -> Job:
        """To the front or the end of the queue."""
        return studio.move(id, body.to)

    @router.get("/jobs/{id}/waiting", summary="Why a picture waits", responses=with_errors(404))
    def waiting(id: Id) -> Waiting:
        """Whether a training has the device that a queued picture wants, about how long yet, and what else could make it."""
        return studio.elsewhere.waiting(id)

    @router.post("/jobs/{id}/elsewhere", summary="Have a queued picture made elsewhere", responses=with_errors(403, 404, 409))
    def elsewhere(id: Id, body: MoveElsewhere | None = None) -> Job:
        """By one of the models that `waiting` names, on a ComfyUI server; the job keeps its id, prompt and seed."""
        return studio.elsewhere.move(id, body.model if body else None)

    @router.get("/jobs/{id}/artifacts", summary="The pictures of a job", responses=with_errors(404))
    def artifacts(id: Id) -> Artifacts:
        """In order; those that are finished while it still runs, too."""
        return Artifacts(items=tuple(view(picture) for picture in studio.artifacts(id)))

    @router.get("/jobs/{id}/logs", summary="What was logged while a job ran", responses=with_errors(404))
    def logs(
        id: Id,
        level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], Query(description="The least important lines to show")] = "DEBUG",
        last: Annotated[int | None, Query(description="Only the newest so many lines", ge=1, le=10_000)] = None,
    ) -> LogLines:
        """One object a line, oldest first; secrets are redacted."""
        return LogLines(items=studio.job_log(id, level=level, last=last))

    @router.get(
        "/jobs/{id}/preview",
        summary="The live preview of a running job",
        response_class=Response,
        responses={
            **with_errors(404),
            200: {"content": {"image/webp": {}}, "description": "A small WebP of the unfinished picture"},
            204: {"description": "None now"},
        },
    )
    def preview(
        request: Request,
        id: Id,
        v: Annotated[int | None, Query(description="The job's `preview` number: a new address for each new preview")] = None,
    ) -> Response:
        """404 before the first preview and after the job ended; with `v` 204: who follows a job asks for one that may be gone by then."""
        try:
            return bytes_answer(request, studio.preview(id), media_type="image/webp", cache="private, no-cache")
        except NotFound:
            if v is None:
                raise
            studio.job(id)
            return Response(status_code=204, headers={"Cache-Control": "no-store"})

    return router


async def _until_ended(studio: Studio, feed: Feed, job_ids: Sequence[str], wait_s: float) -> tuple[Job, ...] | None:
    clock = asyncio.get_running_loop().time
    until = clock() + wait_s
    async with feed.listen(*job_ids) as listener:
        # Listening began first, so a job that ends between the two looks is not missed.
        jobs = {job_id: await run_in_threadpool(studio.job, job_id) for job_id in job_ids}
        while not all(job.state.ended for job in jobs.values()):
            news = await listener.next(until - clock()) if clock() < until else None
            if news is None:
                return None
            jobs |= {job.id: job for job in news.jobs}
            if news.lost:
                jobs = {job_id: await run_in_threadpool(studio.job, job_id) for job_id in job_ids}
    return tuple(jobs.values())


def _finished(studio: Studio, jobs: Sequence[Job], inline: bool) -> Finished:
    failed = next((job for job in jobs if job.state is not JobState.done), None)
    items: list[InlinePicture] = []
    for job in jobs:
        for picture in studio.artifacts(job.id):
            data = base64.b64encode(studio.picture_file(picture.id).read_bytes()).decode() if inline else None
            items.append(inline_view(picture, data))
    return Finished(ok=failed is None, job=failed or jobs[0], items=tuple(items), error=failed.error if failed else None)
