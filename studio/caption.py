"""What a caption job does in the worker: one picture after the other, each kept as soon as it has its caption.

A run that comes after a crash, a cancel or a failure goes on where the last one was: nothing is asked twice that was answered.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import sqlalchemy as sa

from studio.caption_ways import Spent, way_by_address
from studio.captioning import Captioned, Describer, Wanted, caption_pictures
from studio.captionings import CaptionPlan, CaptionState
from studio.characters import Characters, check_consent
from studio.contracts import Problem
from studio.datasets import Datasets
from studio.db import captioned, captionings, dataset_pictures, pictures
from studio.engine import Report
from studio.errors import EngineFailed, InvalidFieldValue, LikenessError
from studio.gallery import Gallery
from studio.jobs import Jobs, Run
from studio.settings import Settings
from studio.vision_model import VisionModel

log = logging.getLogger(__name__)

_GONE = Path()


def write_captions(
    run: Run,
    report: Report,
    *,
    jobs: Jobs,
    datasets: Datasets,
    gallery: Gallery,
    characters: Characters,
    settings: Callable[[], Settings],
    load: Callable[[Settings, str], Describer],
) -> None:
    """Write the captions of one job that have not been written yet. `load` gives a captioning model of the models folder.

    Raises ConsentMissing where a consent was taken back meanwhile, and the error that no picture would be spared; what has its caption
    keeps it.
    """
    plan = CaptionPlan.model_validate_json(run.plan)
    work = _Work(run, plan, jobs, datasets, gallery, characters)
    work.check_consent()
    wanted = work.wanted()
    now = settings()
    if plan.way.captioner:
        work.write(wanted, load(now, plan.way.captioner), report, now)
    elif wanted:
        if way_by_address(now).url != plan.way.url:
            raise InvalidFieldValue(
                "The address of the vision model was changed after these captions were ordered.",
                field="caption_url",
                remedy="Try again: they are asked of the new one then.",
            )
        asked = now.model_copy(update={"caption_model": plan.way.model})
        with VisionModel(asked, allow_remote_for_real=plan.allow_remote_for_real) as model:
            work.write(wanted, model, report, now, model)
    work.finish()


class _Work:
    """One run of a caption job, and how it is kept."""

    def __init__(self, run: Run, plan: CaptionPlan, jobs: Jobs, datasets: Datasets, gallery: Gallery, characters: Characters) -> None:
        self._run = run
        self._plan = plan
        self._jobs = jobs
        self._datasets = datasets
        self._gallery = gallery
        self._characters = characters
        self._mine = captioned.c.job_id == run.job_id
        with jobs.database.read() as connection:
            kept = connection.execute(sa.select(captionings).where(captionings.c.job_id == run.job_id)).mappings().one()
            rows = connection.execute(sa.select(captioned).where(self._mine).order_by(captioned.c.place)).mappings().all()
        self._rows = rows
        self._before = {row["picture_id"]: row["before"] for row in rows}
        self._spent_before = Spent.model_validate_json(kept["spent"])
        self._change: str | None = kept["change_id"]

    def check_consent(self) -> None:
        """Raises ConsentMissing, NotFound for a character that is gone."""
        if self._plan.character is None:
            return
        somebody = self._characters.character(self._plan.character)
        if somebody.kind.real:
            check_consent(somebody.consent, somebody.name)

    def wanted(self) -> list[Wanted]:
        """The pictures that are still to be asked for."""
        waiting = [row for row in self._rows if row["state"] == CaptionState.waiting.value]
        paths = self._paths([row["picture_id"] for row in waiting])
        return [Wanted(row["picture_id"], paths.get(row["picture_id"], _GONE), bool(row["real_person"])) for row in waiting]

    def write(
        self, wanted: list[Wanted], describer: Describer, report: Report, settings: Settings, model: VisionModel | None = None
    ) -> None:
        """Have them described and keep what comes, one by one."""
        counted = sum(row["state"] in (CaptionState.written.value, CaptionState.failed.value) for row in self._rows)
        came = caption_pictures(
            wanted,
            describer,
            self._plan.style,
            self._plan.trigger,
            report,
            max_megapixels=settings.max_upload_megapixels,
            before=counted,
            still=self._still,
        )
        try:
            for one in came:
                self._keep(one, model.spent if model else Spent())
        finally:
            # What was answered costs, also where the run ends with it.
            if model is not None:
                with suppress(LikenessError), self._jobs.database.begin() as connection:
                    self._keep_spent(connection, model.spent)

    def finish(self) -> None:
        """The job is done, where at least one picture has its caption or none failed. Raises the first picture's error otherwise."""
        by_state = sa.select(captioned.c.state, sa.func.count().label("pictures")).where(self._mine).group_by(captioned.c.state)
        failed = sa.select(captioned.c.problem).where(self._mine, captioned.c.state == CaptionState.failed.value)
        with self._jobs.database.begin() as connection:
            counts = {row.state: row.pictures for row in connection.execute(by_state)}
            written = counts.get(CaptionState.written, 0)
            every = written + counts.get(CaptionState.failed, 0)
            if every and not written:
                first = Problem.model_validate_json(connection.execute(failed.order_by(captioned.c.place)).scalars().all()[0])
                raise EngineFailed(f"No caption could be written. {first.message}", remedy=first.remedy, field=first.field)
            self._jobs.finish(self._run.run_id, connection, steps=(written, every))

    def _still(self, one: Wanted) -> bool:
        """Whether a picture is there and has the caption yet that it had when it was ordered. Raises ConsentMissing."""
        self.check_consent()
        with self._jobs.database.begin() as connection:
            now = self._caption_now(connection, one.id)
            if now == self._before[one.id] and one.path != _GONE:
                return True
            self._mark(connection, one.id, CaptionState.skipped)
        log.info("%s needs no caption any more", one.id)
        return False

    def _keep(self, one: Captioned, spent: Spent) -> None:
        if one.error is not None:
            error = one.error
            problem = Problem(code=error.code, message=error.message, remedy=error.remedy, field=error.field)
            with self._jobs.database.begin() as connection:
                self._mark(connection, one.id, CaptionState.failed, problem=problem.model_dump_json())
                self._keep_spent(connection, spent)
            return
        before = self._before[one.id]

        def also(connection: sa.Connection, change_id: str | None = None) -> None:
            self._mark(connection, one.id, CaptionState.written, caption=one.caption, traits=json.dumps(one.traits))
            self._keep_spent(connection, spent, change_id)
            self._change = change_id

        if self._plan.dataset is not None:
            written = self._datasets.write_caption(self._plan.dataset, one.id, one.caption, was=before, change_id=self._change, also=also)
        else:
            with self._jobs.database.begin() as connection:
                written = self._gallery.write_caption(one.id, one.caption, was=before, connection=connection)
                if written:
                    also(connection)
        if not written:
            with self._jobs.database.begin() as connection:
                self._mark(connection, one.id, CaptionState.skipped)
                self._keep_spent(connection, spent)

    def _mark(self, connection: sa.Connection, picture_id: str, state: CaptionState, **values: str) -> None:
        own = sa.update(captioned).where(self._mine, captioned.c.picture_id == picture_id)
        connection.execute(own.values(state=state.value, **values))

    def _keep_spent(self, connection: sa.Connection, spent: Spent, change_id: str | None = None) -> None:
        values = {"spent": self._spent_before.and_(spent).model_dump_json()} | ({"change_id": change_id} if change_id else {})
        connection.execute(sa.update(captionings).where(captionings.c.job_id == self._run.job_id).values(values))

    def _caption_now(self, connection: sa.Connection, picture_id: str) -> str | None:
        if self._plan.dataset is None:
            there = sa.select(pictures.c.caption).where(pictures.c.id == picture_id, pictures.c.trashed_at == 0)
        else:
            mine = (dataset_pictures.c.id == picture_id, dataset_pictures.c.dataset_id == self._plan.dataset)
            there = sa.select(dataset_pictures.c.caption).where(*mine)
        return connection.execute(there).scalar()

    def _paths(self, ids: list[str]) -> dict[str, Path]:
        """Where pictures lie; those that are gone are left out."""
        data = self._gallery.data
        if self._plan.dataset is None:
            return {one.id: data / one.path for one in self._gallery.chosen(ids)}
        chosen = set(ids)
        return {one.id: data / one.path for one in self._datasets.every_picture(self._plan.dataset) if one.id in chosen}
