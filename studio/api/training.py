"""Training: what a character can be trained with, start a run, follow it, stop it, let it go on, and take its LoRA."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.openapi.models import Example
from fastapi.responses import StreamingResponse

from studio.api.answers import bytes_answer
from studio.api.events import HEADERS, LAST, STREAM, one_job
from studio.api.refusals import RESPONSES, correlation_id, with_errors
from studio.api.views import SEARCHABLE, Id, Limit
from studio.comparing import CompareRequest, Comparison
from studio.contracts import Asked, Contract, Job, Name, Submitted, TrainRequest
from studio.dataset_check import Preflight
from studio.feed import Feed
from studio.keeping import Cleanup, LoraDelete, LoraMoved
from studio.studio import Studio
from studio.training import Ask
from studio.trainings import LoraVersion, Training, TrainingLine, TrainOffer

EXAMPLES: dict[str, Example] = {
    "a preset": {"value": {"character": "mara", "preset": "quick"}},
    "some parameters": {"value": {"character": "mara", "preset": "balanced", "steps": 300, "rank": 8, "seed": 7}},
}
Whose = Annotated[str, Query(description="A character: an id or a slug", max_length=100, pattern=SEARCHABLE)]

Compared = Annotated[str, Query(description="A version's name in the LoRA folder, or a checkpoint as TRAINING@STEP", max_length=400)]


class TrainingList(Contract):
    """Runs, newest first."""

    items: tuple[TrainingLine, ...]


class Versions(Contract):
    """LoRAs that became a character's, newest first."""

    items: tuple[LoraVersion, ...]


class Pick(Asked):
    """The checkpoint to take: after so many steps; None takes the proposed one, or the newest."""

    step: int | None = None


class Use(Asked):
    """A LoRA by its name in the LoRA folder."""

    path: Name


def routes(studio: Studio, feed: Feed) -> APIRouter:
    """training, and the versions of characters' LoRAs."""
    router = APIRouter(responses=RESPONSES, tags=["training"])
    changes = with_errors(404, 409)

    @router.get("/training/offer", summary="What a character can be trained with", responses=with_errors(404))
    def offer(
        character: Whose,
        model: Annotated[str | None, Query(description="A model that can be trained; by default the character's", max_length=400)] = None,
        dataset: Annotated[str | None, Query(description="A dataset by its id; by default the newest", max_length=100)] = None,
    ) -> TrainOffer:
        """Presets with how long they take here (null until this computer has trained such a model), and what stands in the way."""
        return studio.trainings.offer(character, model=model, dataset=dataset)

    @router.get("/training/check", summary="Check what a training would learn from", responses=with_errors(404))
    def check(
        character: Whose,
        dataset: Annotated[
            str | None, Query(description="A dataset by its id; by default the newest or the photos", max_length=100)
        ] = None,
        resolution: Annotated[
            int | None, Query(description="The side in pixels that will be trained at; left out: what suits the pictures", ge=64, le=2048)
        ] = None,
    ) -> Preflight:
        """As `datasets/{id}/preflight`, before there is a dataset too: `dataset` is empty then, and nothing can be fixed by one click."""
        return studio.check_training(character, dataset=dataset, resolution=resolution)

    @router.get("/training", summary="List trainings", responses=with_errors(404))
    def listed(
        character: Annotated[
            str | None, Query(description="Only of this character: an id or a slug", max_length=100, pattern=SEARCHABLE)
        ] = None,
        limit: Limit = 50,
    ) -> TrainingList:
        """Newest first."""
        return TrainingList(items=studio.trainings.trainings(character, limit=limit))

    @router.post("/training", status_code=202, summary="Train a LoRA of a character", responses=with_errors(403, 404, 507))
    def start(request: Request, body: Annotated[TrainRequest, Body(openapi_examples=EXAMPLES)]) -> Job:
        """Answers as soon as the job is on disk. The LoRA becomes the character's when one of its checkpoints is picked."""
        return studio.trainings.order(body, correlation_id=correlation_id(request))

    @router.get("/training/{id}", summary="One training", responses=with_errors(404))
    def one(
        id: Id,
        since: Annotated[int, Query(description="Only the points of the loss after this step, one of those told before", ge=0)] = 0,
        curve: Annotated[str, Query(description="The answer's `curve` that `since` belongs to", max_length=100)] = "",
    ) -> Training:
        """Its job, the loss (600 points at most), the samples, the checkpoints, and what was judged of them.

        Who follows a run gives the step of the last point but one and `curve` back: then `points` are only those after it, or all of
        them (`since` is 0 in the answer) where they were put together otherwise meanwhile.
        """
        return studio.trainings.training(id, since=since, curve=curve)

    @router.get(
        "/training/{id}/events",
        summary="One training, until it ends",
        response_class=StreamingResponse,
        responses={**with_errors(404), **STREAM, 204: {"description": "The stream had told the end already"}},
    )
    async def events(request: Request, id: Id) -> Response:
        """`job` at once and at every change, as of any job; what was learned meanwhile is at `training/{id}`."""
        if request.headers.get("last-event-id") == LAST:
            return Response(status_code=204)
        job = await run_in_threadpool(studio.trainings.job, id)
        return StreamingResponse(one_job(studio, feed, job), media_type="text/event-stream", headers=HEADERS)

    @router.get(
        "/training/{id}/samples/{name}",
        summary="A picture that was drawn while it learned",
        response_class=Response,
        responses={**with_errors(404), 200: {"content": {"image/png": {}, "image/webp": {}}, "description": "The picture"}},
    )
    def sample(request: Request, id: Id, name: Annotated[str, Path(max_length=100)]) -> Response:
        """A sample as `000050-0.png` (step and number of the prompt), or one of the pictures that checkpoints were judged by."""
        path = studio.trainings.sample(id, name)
        return bytes_answer(request, path, media_type=f"image/{path.suffix.removeprefix('.')}", cache="private, no-cache")

    @router.post("/training/{id}/stop", summary="Stop a training", responses=changes)
    def stop(id: Id) -> Job:
        """It saves what it learned and is paused; `resume` lets it go on."""
        return studio.trainings.stop(id)

    @router.post("/training/{id}/resume", summary="Let a training go on", responses=with_errors(403, 404, 409))
    def resume(id: Id) -> Job:
        """After its newest checkpoint: one that was stopped, failed or cancelled."""
        return studio.trainings.resume(id)

    @router.post("/training/{id}/judge", summary="Judge what was not judged yet", responses=with_errors(403, 404, 409))
    def judge(id: Id) -> Job:
        """The checkpoints of a training that was stopped or failed, or whose judging was stopped. It is paused or done again afterwards."""
        return studio.trainings.judge(id)

    @router.post("/training/{id}/save", summary="Save a checkpoint now", responses=changes)
    def save(id: Id) -> Job:
        """After the step that is being learned."""
        return studio.trainings.ask(id, Ask.save)

    @router.post("/training/{id}/sample", summary="Draw the samples now", responses=changes)
    def draw(id: Id) -> Job:
        """After the step that is being learned."""
        return studio.trainings.ask(id, Ask.sample)

    @router.post("/training/{id}/pick", summary="Make a checkpoint the character's LoRA", responses=with_errors(404, 409, 507))
    def pick(id: Id, body: Pick | None = None) -> LoraVersion:
        """It is copied into the LoRA folder as the next version and used from now on; older versions stay."""
        return studio.trainings.pick(id, body.step if body else None)

    @router.get("/training/{id}/cleanup", summary="What cleaning up after a training would delete", responses=changes)
    def cleanup(id: Id) -> Cleanup:
        """Nothing is touched. Versions of the character's LoRA are kept, and what a run needs to go on."""
        return studio.keeping.cleanup(id)

    @router.post("/training/{id}/cleanup", summary="Delete the checkpoints that nobody uses", responses=changes)
    def clean(id: Id) -> Cleanup:
        """For good: all but those that became a version, and the newest two of a run that can go on. Where none was taken, the proposed
        one stays.
        """
        return studio.keeping.clean(id)

    @router.delete("/loras", tags=["choices"], summary="Move a LoRA to the trash", responses=changes)
    def delete(body: LoraDelete) -> LoraMoved:
        """None that a character or a waiting job uses. A version of a character's LoRA wants its name once more, as `confirm`."""
        return studio.keeping.delete(body)

    @router.post("/loras/restore", tags=["choices"], summary="Take a LoRA out of the trash", responses=changes)
    def restore(body: Use) -> LoraMoved:
        """Under the name that it had."""
        return studio.keeping.restore(body.path)

    @router.get("/loras/versions", tags=["choices"], summary="The versions of characters' LoRAs", responses=with_errors(404))
    def versions(
        character: Annotated[
            str | None, Query(description="Only of this character: an id or a slug", max_length=100, pattern=SEARCHABLE)
        ] = None,
    ) -> Versions:
        """Newest first; `used` is the one that the character has now."""
        return Versions(items=studio.trainings.versions(character))

    @router.get("/loras/compare", tags=["choices"], summary="Two versions or checkpoints side by side", responses=with_errors(404))
    def compare(one: Compared, other: Compared) -> Comparison:
        """How they were trained and judged, and pictures of both at the same prompts and seeds, where both were judged."""
        return studio.comparing.compare(one, other)

    @router.post(
        "/loras/compare",
        status_code=202,
        tags=["choices"],
        summary="Make the same picture with two versions",
        responses=with_errors(403, 404, 409, 507),
    )
    def draw_both(request: Request, body: CompareRequest) -> Submitted:
        """Two jobs of one batch: the same words, the same seed, each with its LoRA alone."""
        return studio.comparing.draw(body, correlation_id=correlation_id(request))

    @router.post("/loras/versions/use", tags=["choices"], summary="Go back to an older version", responses=with_errors(404))
    def use(body: Use) -> LoraVersion:
        """It becomes the character's LoRA again."""
        return studio.trainings.use(body.path)

    return router
