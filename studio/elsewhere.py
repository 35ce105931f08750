"""A picture that waits while a training has the device: how long that takes, and which other engine could make it meanwhile."""

from __future__ import annotations

from pathlib import PurePosixPath

from studio.contracts import Contract, GenerateRequest, Job, JobKind, JobState, ModelSpec, Recipe
from studio.errors import Conflict, EngineOffline, LikenessError
from studio.jobs import LANE_LOCAL, LANE_OF_ENGINE, Jobs
from studio.orders import Orders
from studio.remote import COMFYUI, Remote

OFFERED = 3
TRIED = 12


class Place(Contract):
    """A model elsewhere that could make a picture. `same`: it is the same checkpoint; otherwise the picture looks as that model draws."""

    engine: str
    model: str
    name: str
    same: bool


class Waiting(Contract):
    """Why a queued picture waits, about how many seconds at least (None: nobody can tell yet), and where else it could be made.

    `training` is the job that has the device; None where the picture waits for no training.
    """

    training: str | None
    about_s: float | None
    places: tuple[Place, ...]


class Elsewhere:
    """Queued pictures of one studio, and the other engines that could make them."""

    def __init__(self, jobs: Jobs, orders: Orders, remote: Remote) -> None:
        self._jobs = jobs
        self._orders = orders
        self._remote = remote

    def waiting(self, job_id: str) -> Waiting:
        """Why a job waits, and where else it could be done. Raises NotFound."""
        job = self._jobs.job(job_id)
        training = self._training_before(job)
        if training is None:
            return Waiting(training=None, about_s=None, places=())
        places: list[Place] = []
        for spec in self._candidates(job):
            try:
                self._made_by(job, spec)
            except LikenessError:
                continue
            places.append(Place(engine=spec.engine, model=spec.id, name=spec.name, same=_is_same(job, spec)))
            if len(places) == OFFERED:
                break
        return Waiting(training=training.id, about_s=training.eta_s, places=tuple(places))

    def move(self, job_id: str, model: str | None = None) -> Job:
        """Have a queued picture made elsewhere: by this model, or the first that can. It keeps its id, prompt and seed.

        Raises NotFound, Conflict when it doesn't wait any more, EngineOffline where nothing else can make it, and as `generate` does.
        """
        job = self._jobs.job(job_id)
        if job.state is not JobState.queued or job.kind is not JobKind.generate:
            raise Conflict("This job doesn't wait to be made.", remedy="Only a queued picture can be moved to another engine.")
        if model is None:
            places = self.waiting(job_id).places
            if not places:
                raise EngineOffline("No other engine can make this picture now.", remedy="Connect a ComfyUI on the Setup tab, or wait.")
            model = places[0].model
        spec = next((one for one in self._remote.models() if one.id == model), None)
        if spec is None:
            raise EngineOffline(f"No server has “{model}” now.", remedy="Choose another model, or wait.", field="model")
        request, recipe = self._made_by(job, spec)
        return self._jobs.hand_over(job_id, request, recipe)

    def _training_before(self, job: Job) -> Job | None:
        if job.state is not JobState.queued or job.recipe is None or LANE_OF_ENGINE.get(job.recipe.engine, LANE_LOCAL) != LANE_LOCAL:
            return None
        running = self._jobs.jobs(states=[JobState.running]).items
        return next((one for one in running if one.kind is JobKind.train), None)

    def _candidates(self, job: Job) -> list[ModelSpec]:
        """Models elsewhere: the same checkpoint first, then those of its family."""
        family = next((one.family for one in self._orders.models() if job.recipe is not None and one.id == job.recipe.model), "")
        found = [spec for spec in self._remote.models() if spec.engine == COMFYUI]
        return sorted(found, key=lambda spec: (not _is_same(job, spec), spec.family != family))[:TRIED]

    def _made_by(self, job: Job, spec: ModelSpec) -> tuple[GenerateRequest, Recipe]:
        assert job.request is not None and job.recipe is not None
        said = {"engine": spec.engine, "model": spec.id, "seed": job.recipe.seed, "wildcards": False}
        made = self._orders.work(job.request.model_copy(update=said))
        if len(made) != 1:
            raise Conflict("This picture is one of a grid and can't be moved alone.")
        request, recipe = made[0]
        return request, recipe.model_copy(update={"cell": job.recipe.cell, "reference": job.recipe.reference})


def _is_same(job: Job, spec: ModelSpec) -> bool:
    return job.recipe is not None and PurePosixPath(spec.id).name == PurePosixPath(job.recipe.model).name
