"""What a training job does in the worker: the trainer learns, its checkpoints are judged, and nothing that was learned is lost."""

from __future__ import annotations

import logging
from collections.abc import Mapping
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

    At the end `picker` judges the checkpoints of models that lie here; a judgement that fails or is stopped costs nothing that was learned.
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
    try:
        learned = trainer.train(plan.recipe, model, pictures, folder, report)
        log.info("Learned %d steps in %.1f s, loss %.4f", learned.steps, learned.seconds, learned.loss)
    except Cancelled:
        if not _was_stopped(jobs, run.job_id):
            raise
        log.info("Stopped; it can go on from its newest checkpoint")
        jobs.pause(run.run_id)
        return
    if model.exists():
        judge()
    with jobs.database.begin() as connection:
        jobs.finish(run.run_id, connection)


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
