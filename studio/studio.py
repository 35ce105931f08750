"""Studio: the verbs that the page, the API and the command line call. Each is quick; long work becomes a job."""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import sqlalchemy as sa

from studio import VERSION, metadata, safety
from studio.contracts import (
    MAX_SEED,
    EngineState,
    GenerateRequest,
    Health,
    Job,
    JobKind,
    JobState,
    LoraSpec,
    ModelSpec,
    Page,
    Picture,
    PictureKind,
    Preset,
    Submitted,
    new_id,
)
from studio.db import Database, engine_states
from studio.doctor import gpu_available
from studio.errors import DiskFull, InvalidFieldValue, LikenessError, NotFound
from studio.gallery import Gallery
from studio.jobs import Jobs
from studio.logs import job_folder, read_job_log
from studio.prompts import check_something_to_draw, compose
from studio.settings import Settings
from studio.shelf import ModelShelf, PresetShelf

# Without this much free space a job would be accepted only to fail at its end.
SPACE_NEEDED = 50 * 2**20
WORKER_SILENT_S = 20.0


class Studio:
    """One studio over one data root. Thread-safe; holds no state but its connections."""

    def __init__(self, settings: Settings, database: Database, *, shelf: ModelShelf, preset_shelf: PresetShelf) -> None:
        self.settings = settings
        self.database = database
        self.shelf = shelf
        self.preset_shelf = preset_shelf
        self._jobs = Jobs(database)
        self._gallery = Gallery(database, settings.data)

    # Jobs

    def generate(self, request: GenerateRequest, *, correlation_id: str = "", first: bool = False) -> Submitted:
        """Accept a request: checked, composed, and on disk as a queued job when this returns.

        `first` puts it before everything else in the queue. Raises SafetyFilter, InvalidFieldValue, ModelInvalid, LoraMismatch,
        DiskFull … and then leaves nothing behind.
        """
        check_something_to_draw(request)
        preset = self._preset_for(request)
        model = self.shelf.model(request.model)
        if request.engine is not None and request.engine != model.engine:
            raise InvalidFieldValue(
                f"The engine “{request.engine}” can't run the model “{model.id}”.",
                field="engine",
                remedy=f"Choose the engine “{model.engine}”, or leave it open.",
            )
        recipe = compose(request, preset, model, seed=secrets.randbelow(MAX_SEED + 1))
        # A negative prompt says what must not be seen; below a CFG scale of 1 it would say the opposite.
        safety.check([request.prompt, recipe.prompt, *([recipe.negative_prompt] if recipe.cfg < 1 else [])])
        self.shelf.check(model, request.loras)
        if shutil.disk_usage(self.settings.data).free < SPACE_NEEDED:
            raise DiskFull("There is less than 50 MB free on the drive of the data folder.")
        batch_id, job_ids = self._jobs.submit(JobKind.generate, [(request, recipe)], correlation_id=correlation_id or new_id(), first=first)
        return Submitted(job_id=job_ids[0], job_ids=job_ids, batch_id=batch_id)

    def job(self, job_id: str) -> Job:
        """One job. Raises NotFound."""
        return self._jobs.job(job_id)

    def jobs(
        self, *, states: Sequence[JobState] = (), batch_id: str | None = None, limit: int = 50, cursor: str | None = None
    ) -> Page[Job]:
        """Jobs, newest first."""
        return self._jobs.jobs(states=states, batch_id=batch_id, limit=limit, cursor=cursor)

    def changes(self, since: float) -> tuple[Job, ...]:
        """Jobs that changed at or after a Unix time, in order: for the event stream."""
        return self._jobs.changes(since)

    def library_version(self) -> int:
        """A number that grows whenever pictures come, go, or move to or from the trash."""
        return self._gallery.version()

    def change_mark(self) -> int | None:
        """Another number whenever something changed at all, cheap to ask; None where only looking can tell."""
        return self.database.change_mark()

    def watch(self, job_id: str, *, timeout_s: float | None = None) -> Iterator[Job]:
        """The job now and at every change, until it has ended or the time is up. Raises NotFound."""
        return self._jobs.watch(job_id, timeout_s=timeout_s)

    def cancel(self, job_id: str) -> Job:
        """Cancel a queued or running job. Raises Conflict when it has ended."""
        return self._jobs.cancel(job_id)

    def cancel_all(self, *, batch_id: str | None = None) -> int:
        """Cancel all queued and running jobs, or those of one batch; gives their number."""
        return self._jobs.cancel_all(batch_id=batch_id)

    def retry(self, job_id: str) -> Job:
        """Start a failed, cancelled or poisoned job again with the same recipe. Raises Conflict otherwise."""
        return self._jobs.retry(job_id)

    def move(self, job_id: str, to: Literal["first", "last"]) -> Job:
        """Move a queued job to the front or the end. Raises Conflict when it is not queued."""
        return self._jobs.move(job_id, to)

    def artifacts(self, job_id: str) -> tuple[Picture, ...]:
        """The pictures a job made so far. Raises NotFound."""
        self._jobs.job(job_id)
        return self._gallery.of_job(job_id)

    def job_log(self, job_id: str, *, level: str = "DEBUG") -> tuple[dict[str, object], ...]:
        """What was logged while a job ran, from this level up. Raises NotFound."""
        self._jobs.job(job_id)
        return read_job_log(self.settings.data, job_id, level)

    def preview(self, job_id: str) -> Path:
        """The live preview of a running job, as a WebP file. Raises NotFound when there is none."""
        self._jobs.job(job_id)
        path = job_folder(self.settings.data, job_id) / "preview.webp"
        if not path.is_file():
            raise NotFound("There is no preview of this job.", remedy="Wait for its first steps, or look at its pictures.")
        return path

    # Pictures

    def pictures(
        self,
        *,
        kind: PictureKind | None = PictureKind.generated,
        trashed: bool = False,
        job_id: str | None = None,
        preset: str | None = None,
        model: str | None = None,
        search: str = "",
        limit: int = 100,
        cursor: str | None = None,
        offset: int = 0,
    ) -> Page[Picture]:
        """Pictures, newest first."""
        return self._gallery.pictures(
            kind=kind,
            trashed=trashed,
            job_id=job_id,
            preset=preset,
            model=model,
            search=search,
            limit=limit,
            cursor=cursor,
            offset=offset,
        )

    def picture(self, picture_id: str) -> Picture:
        """One picture. Raises NotFound."""
        return self._gallery.picture(picture_id)

    def picture_file(self, picture_id: str) -> Path:
        """Where the picture lies. Raises NotFound."""
        return self._gallery.file(picture_id)

    def thumbnail(self, picture_id: str) -> Path:
        """Where the picture's WebP thumbnail lies. Raises NotFound."""
        return self._gallery.thumbnail(picture_id)

    def metadata(self, picture_id: str) -> dict[str, object]:
        """What the file itself says: `infotext` and `likeness`. Raises NotFound."""
        return metadata.read_metadata(self._gallery.file(picture_id))

    def trash(self, ids: Sequence[str]) -> int:
        """Move pictures to the trash; gives how many were moved."""
        return self._gallery.trash(ids)

    def restore(self, ids: Sequence[str]) -> int:
        """Take pictures out of the trash; gives how many came back."""
        return self._gallery.restore(ids)

    def empty_trash(self) -> int:
        """Delete what is in the trash for good; gives how many pictures that were."""
        return self._gallery.empty_trash()

    def upload(self, data: bytes, name: str = "") -> Picture:
        """Take in a picture from outside. Raises ImageInvalid or FileTooLarge and then keeps nothing."""
        return self._gallery.upload(data, name, max_megapixels=self.settings.max_upload_megapixels)

    # What there is

    def presets(self, *, category: str | None = None, engine: str | None = None) -> tuple[Preset, ...]:
        """Presets, in the order of their files."""
        found = self.preset_shelf.presets()
        return tuple(p for p in found if (category is None or p.category == category) and (engine is None or engine in p.engines))

    def preset(self, preset_id: str) -> Preset:
        """One preset. Raises NotFound."""
        for preset in self.preset_shelf.presets():
            if preset.id == preset_id:
                return preset
        raise NotFound(f"There is no preset {preset_id!r}.", remedy="GET /api/v1/presets lists them.")

    def models(self) -> tuple[ModelSpec, ...]:
        """Models on this computer, those that come with Likeness first."""
        return self.shelf.models()

    def loras(self) -> tuple[LoraSpec, ...]:
        """LoRAs on this computer."""
        return self.shelf.loras()

    def health(self) -> Health:
        """How the studio is; asks no engine and no network."""
        try:
            counts = self._jobs.counts()
            states = self._engine_states()
            database = "ok"
        except LikenessError as error:
            counts, states, database = {}, (), error.message
        worker = next((state for state in states if state.name == "worker"), None)
        engines = tuple(state for state in states if state.name != "worker")
        return Health(
            ok=database == "ok",
            version=VERSION,
            gpu_available=any(engine.device.startswith(("cuda", "mps")) for engine in engines) or gpu_available(),
            worker=_worker_words(worker),
            engines=engines,
            database=database,
            jobs_queued=counts.get(JobState.queued, 0),
            jobs_running=counts.get(JobState.running, 0),
        )

    def ready(self) -> bool:
        """True when a job that is sent now would start: the database answers and a worker runs."""
        health = self.health()
        return health.ok and health.worker == "running"

    def warm_up(self) -> None:
        """Do now what the first click would have to wait for."""
        self._jobs.warm_up()
        self.shelf.models()
        self.preset_shelf.presets()

    def _preset_for(self, request: GenerateRequest) -> Preset | None:
        if request.preset is None:
            return None
        try:
            return self.preset(request.preset)
        except NotFound as error:
            known = ", ".join(preset.id for preset in self.preset_shelf.presets())
            raise InvalidFieldValue(
                f"There is no preset called “{request.preset}”.", field="preset", remedy=f"Choose one of: {known}."
            ) from error

    def _engine_states(self) -> tuple[EngineState, ...]:
        with self.database.read() as connection:
            rows = connection.execute(sa.select(engine_states).order_by(engine_states.c.name)).all()
        return tuple(EngineState.model_validate_json(row.body).model_copy(update={"updated_at": _utc(row.updated_at)}) for row in rows)


def _worker_words(worker: EngineState | None) -> str:
    if worker is None or worker.updated_at is None:
        return "starting"
    return "running" if time.time() - worker.updated_at.timestamp() < WORKER_SILENT_S else "down"


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
