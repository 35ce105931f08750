"""What a training job does in the worker: the trainer learns, its checkpoints are judged, and nothing that was learned is lost."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
from PIL.Image import Image

from studio import faces
from studio.characters import Characters, check_consent
from studio.contracts import JobState
from studio.db import jobs as job_table
from studio.db import trainings
from studio.engine import Cancelled, Picker, Report, Trainer
from studio.errors import EngineOffline, LikenessError, NotFound
from studio.jobs import Jobs, Run
from studio.shelf import ModelShelf
from studio.training import JUDGE, checkpoints
from studio.training_offers import TrainPlan, training_folder
from studio.trainings import pictures_of

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger(__name__)

LOOK_S = 1.0


def train_lora(
    run: Run,
    report: Report,
    *,
    jobs: Jobs,
    trainers: Mapping[str, Trainer],
    picker: Picker,
    shelf: ModelShelf,
    characters: Characters,
    data: Path,
) -> None:
    """Run one training to its end, or until somebody stops it: then it is paused with its newest checkpoint.

    While it learns `picker` judges each checkpoint by the samples that were drawn of it, and at the end, where the model lies here, by
    pictures of its own; a judgement that fails or is stopped costs nothing that was learned.
    Raises ConsentMissing where a consent was taken back meanwhile, and whatever the trainer raises; what was learned stays.
    """
    plan = TrainPlan.model_validate_json(run.plan)
    trainer = trainers.get(plan.engine)
    if trainer is None:
        raise EngineOffline(f"There is no trainer called {plan.engine!r} here.")
    somebody = characters.character(plan.character)
    if somebody.kind.real:
        check_consent(somebody.consent, somebody.name)
    with jobs.database.read() as connection:
        frozen = connection.execute(sa.select(trainings.c.pictures).where(trainings.c.job_id == run.job_id)).scalar()
    if frozen is None:
        raise NotFound("What this training should learn from is not known any more.", remedy="Begin a new training.")
    here = {spec.id: Path(spec.path) for spec in shelf.models()}
    # AI-Toolkit fetches what isn't here: then it is a model's name on Hugging Face.
    model = here.get(plan.recipe.model) or Path(plan.recipe.model)
    pictures = pictures_of(data, frozen)
    folder = training_folder(data, run.job_id)

    def judge() -> None:
        try:
            picker.judge(plan.recipe, model, folder, pictures, report, _face_of)
        except Cancelled:
            log.info("The checkpoints are not all judged: it was stopped")
            _was_stopped(jobs, run.job_id)
        except LikenessError as error:
            log.warning("The checkpoints are not judged: %s %s", error.code, error.message)

    wanted = _asked(jobs, run.job_id)
    if wanted.startswith(JUDGE):
        judge()
        newest = max((one.step for one in checkpoints(folder)), default=0)
        _back(jobs, run, JobState(wanted.removeprefix(JUDGE).strip()), newest, plan.recipe.steps)
        return
    watched = _Watched(report, folder, lambda: picker.judge_samples(plan.recipe, folder, pictures, _face_of))
    try:
        learned = trainer.train(plan.recipe, model, pictures, folder, watched)
        log.info("Learned %d steps in %.1f s, loss %.4f", learned.steps, learned.seconds, learned.loss)
    except Cancelled:
        if not _was_stopped(jobs, run.job_id):
            raise
        log.info("Stopped; it can go on from its newest checkpoint")
        watched.look()
        jobs.pause(run.run_id)
        return
    watched.look()
    if model.exists():
        judge()
    with jobs.database.begin() as connection:
        jobs.finish(run.run_id, connection)


class _Watched:
    """A report that looks at each new checkpoint of the run on the way."""

    def __init__(self, report: Report, folder: Path, begin: Callable[[], Callable[[], object]]) -> None:
        """`begin` gives what judges, once there is something to judge."""
        self._report = report
        self._folder = folder
        self._begin = begin
        self._judge: Callable[[], object] | None = None
        self._there = 0
        self._looked = time.monotonic()
        self.wants_preview = report.wants_preview

    def __call__(self, progress: float, note: str = "", *, step: int = 0, steps: int = 0, preview: Image | None = None) -> None:
        """Pass it on, then look."""
        self._report(progress, note, step=step, steps=steps, preview=preview)
        if time.monotonic() - self._looked >= LOOK_S:
            self.look()

    def look(self) -> None:
        """Judge what is new. A fault ends the looking, never the training."""
        self._looked = time.monotonic()
        # A checkpoint comes with its samples, before or after it.
        there = sum(1 for part in ("checkpoints", "samples") for _ in (self._folder / part).glob("*"))
        if there == self._there:
            return
        self._there = there
        try:
            self._judge = self._judge or self._begin()
            self._judge()
        except Exception as error:  # noqa: BLE001 - looking must not cost what is being learned, whatever went wrong in it
            log.warning("The checkpoints are not judged while it learns: %s", error)
            self._judge = lambda: None


def _asked(jobs: Jobs, job_id: str) -> str:
    with jobs.database.read() as connection:
        return connection.execute(sa.select(trainings.c.asked).where(trainings.c.job_id == job_id)).scalar() or ""


def _back(jobs: Jobs, run: Run, state: JobState, step: int, steps: int) -> None:
    """Leave a run that was only judged as it was before: after so many of its steps."""
    with jobs.database.begin() as connection:
        connection.execute(sa.update(trainings).where(trainings.c.job_id == run.job_id).values(asked=""))
        mine = sa.update(job_table).where(job_table.c.run_id == run.run_id)
        connection.execute(mine.values(step=step, steps=steps, progress=min(1.0, step / steps)))
        if state is JobState.done:
            jobs.finish(run.run_id, connection)
    if state is not JobState.done:
        jobs.pause(run.run_id)


def _face_of(image: Image) -> np.ndarray | None:
    """The embedding (128 numbers) of the largest face in a picture; None where there is none, or nothing here that finds faces."""
    if faces.why_missing():
        return None
    found = faces.find_faces(image)
    return found[0].embedding if found else None


def _was_stopped(jobs: Jobs, job_id: str) -> bool:
    mine = trainings.c.job_id == job_id
    with jobs.database.begin() as connection:
        asked = connection.execute(sa.select(trainings.c.asked).where(mine)).scalar()
        connection.execute(sa.update(trainings).where(mine).values(asked=""))
    return asked == "stop"
