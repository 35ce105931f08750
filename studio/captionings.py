"""Captions by a vision model: what could be asked and where pictures would go, order a job, see what became of each picture, try again."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import sqlalchemy as sa
from pydantic import Field

from studio.caption_ways import CaptionVerdict, CaptionWay, Spent, all_ways, choose_way
from studio.characters import Characters, check_consent
from studio.contracts import CaptionRequest, CaptionStyle, Character, Contract, Job, JobKind, JobState, PictureKind, Problem
from studio.dataset_contracts import Dataset
from studio.datasets import Datasets
from studio.db import captioned, captionings, dataset_pictures, pictures
from studio.db import jobs as job_table
from studio.errors import Conflict, InvalidFieldValue, LikenessError, MissingRequiredField, NotFound
from studio.gallery import Gallery
from studio.jobs import LANE_LOCAL, LANE_VISION, Jobs, Work
from studio.orders import Orders
from studio.settings import Settings, reread

VISION, EMBEDDED = "vision", "embedded"
SHOWN = 200
LOOKED_BACK = 12


class CaptionState(StrEnum):
    """What became of a picture. Skipped: its caption was written by somebody meanwhile, or it was taken away."""

    waiting = "waiting"
    written = "written"
    failed = "failed"
    skipped = "skipped"
    undone = "undone"


class CaptionPlan(Contract):
    """What a caption job does, with nothing left open. Without a `dataset` it is for references."""

    engine: str
    dataset: str | None
    character: str | None
    trigger: str
    style: CaptionStyle
    way: CaptionWay
    allow_remote_for_real: bool


class CaptionOffer(Contract):
    """What captions could be written: for how many `pictures`, how many of them have none yet, and by what.

    `way` is the vision model, None where there is none yet; `ways` are all. `real` says that real people are shown, None where nobody
    knows. `usd_each` is what a caption of this model cost here, where somebody said. `obstacles` are what an order would be refused for.
    """

    dataset: str | None
    character: str | None
    name: str
    pictures: int
    missing: int
    way: CaptionWay | None
    ways: tuple[CaptionWay, ...]
    real: bool | None
    usd_each: float | None
    obstacles: tuple[Problem, ...]


class CaptionedPicture(Contract):
    """What became of one picture. `traits` are words of its caption that a LoRA should rather learn by itself: have a look at it."""

    id: str
    state: CaptionState
    before: str
    caption: str
    traits: tuple[str, ...]
    error: Problem | None


class CaptioningLine(Contract):
    """A caption job in a list: how many pictures have their caption, how many failed, are still to come, or were skipped."""

    job: Job
    dataset: str | None
    name: str = Field(description="Whose dataset it is; empty for references")
    way: CaptionWay
    written: int
    failed: int
    waiting: int
    skipped: int
    spent: Spent


class Captioning(CaptioningLine):
    """The same with the pictures that failed, and those whose captions want a look; two hundred of each at most."""

    failures: tuple[CaptionedPicture, ...]
    doubtful: tuple[CaptionedPicture, ...]


class VisionTry(Contract):
    """Whether the vision model of the settings is being tried now, and what the last try found."""

    trying: bool
    verdict: CaptionVerdict | None


@dataclass(frozen=True)
class _Picture:
    id: str
    caption: str
    real: bool | None


@dataclass(frozen=True)
class _Scope:
    """Pictures that could be captioned. `real` of a picture is None where nobody said."""

    dataset: Dataset | None
    character: Character | None
    pictures: tuple[_Picture, ...]


class Captionings:
    """The caption jobs of one studio."""

    def __init__(
        self, settings: Settings, characters: Characters, gallery: Gallery, jobs: Jobs, orders: Orders, datasets: Datasets
    ) -> None:
        self.database = jobs.database
        self._settings = settings
        self._characters = characters
        self._gallery = gallery
        self._jobs = jobs
        self._orders = orders
        self._datasets = datasets
        self._trying = threading.Lock()
        self._verdict: CaptionVerdict | None = None

    # Before

    def offer(self, request: CaptionRequest) -> CaptionOffer:
        """What a request could be, without ordering it. Raises NotFound, MissingRequiredField, InvalidFieldValue."""
        scope = self._scope(request)
        settings = reread(self._settings)
        obstacles: list[Problem] = []
        way = None
        try:
            way = choose_way(settings, request.captioner)
        except LikenessError as error:
            obstacles.append(_problem(error))
        try:
            self._check_consent(scope.character)
        except LikenessError as error:
            obstacles.append(_problem(error))
        known = {one.real for one in scope.pictures}
        return CaptionOffer(
            dataset=scope.dataset.id if scope.dataset else None,
            character=scope.character.id if scope.character else None,
            name=scope.character.name if scope.character else "",
            pictures=len(scope.pictures),
            missing=sum(not one.caption for one in scope.pictures),
            way=way,
            ways=all_ways(settings),
            real=True if True in known else None if None in known else False,
            usd_each=self._usd_each(way) if way is not None else None,
            obstacles=tuple(obstacles),
        )

    def order(self, request: CaptionRequest, *, correlation_id: str) -> Job:
        """Accept captions to be written: checked, and on disk as a queued job when this returns.

        Raises ConsentMissing, DependencyMissing without a vision model, MissingRequiredField, InvalidFieldValue, NotFound, DiskFull, and
        Conflict for pictures that are being captioned already; and then leaves nothing behind.
        """
        scope = self._scope(request)
        way = choose_way(reread(self._settings), request.captioner)
        wanted = [one for one in scope.pictures if request.replace or not one.caption]
        if not wanted:
            raise _nothing(scope)
        self._check_consent(scope.character)
        _check_real(wanted, way, request)
        self._orders.check_space()
        plan = CaptionPlan(
            engine=_engine(way),
            dataset=scope.dataset.id if scope.dataset else None,
            character=scope.character.id if scope.character else None,
            trigger=scope.character.trigger_word if scope.character else "",
            style=request.style,
            way=way,
            allow_remote_for_real=request.allow_remote_for_real,
        )
        # Thousands of ids would travel with every piece of news of this job.
        kept = request.model_copy(update={"pictures": None, "dataset": plan.dataset, "character": plan.character})

        def also(connection: sa.Connection, _batch: str, job_ids: tuple[str, ...]) -> None:
            busy = set(connection.execute(_waiting_elsewhere(plan.dataset)).scalars()) & {one.id for one in wanted}
            if busy:
                raise Conflict(
                    f"{_counted(len(busy))} of these {'is' if len(busy) == 1 else 'are'} being captioned already.",
                    remedy="Wait until that job has ended, or cancel it first.",
                )
            values = {"job_id": job_ids[0], "dataset_id": plan.dataset, "url": way.url, "model": way.model, "created_at": time.time()}
            connection.execute(sa.insert(captionings).values(**values, spent=Spent().model_dump_json(), change_id=None))
            rows = [
                {
                    "job_id": job_ids[0],
                    "place": place,
                    "picture_id": one.id,
                    "state": CaptionState.waiting.value,
                    "real_person": _shows_real(one, request) is not False,
                    "before": one.caption,
                    "caption": "",
                    "traits": "[]",
                    "problem": "",
                }
                for place, one in enumerate(wanted)
            ]
            connection.execute(sa.insert(captioned), rows)

        work = Work(kept, plan, plan.engine, len(wanted), plan.character)
        _, (job_id,) = self._jobs.submit_work(JobKind.caption, [work], correlation_id=correlation_id, also=also)
        return self._jobs.job(job_id)

    def start_try(self) -> VisionTry:
        """Try the vision model of the settings with a small drawing, in the background: `last_try` says what came of it."""
        if self._trying.acquire(blocking=False):
            self._verdict = None
            threading.Thread(target=self._try_out, name="vision-try", daemon=True).start()
        return self.last_try()

    def last_try(self) -> VisionTry:
        """What is known of the last try."""
        # Looked at in this order: a try that ends in between is told.
        trying = self._trying.locked()
        return VisionTry(trying=trying, verdict=None if trying else self._verdict)

    # While it runs, and after

    def captionings(
        self, *, dataset: str | None = None, references: bool = False, live: bool | None = None, limit: int = 50
    ) -> tuple[CaptioningLine, ...]:
        """Caption jobs, newest first: of a dataset, of references, or all; only those that are `live` or have ended. Raises NotFound."""
        wanted = sa.select(captionings.c.job_id).join(job_table, job_table.c.id == captionings.c.job_id)
        if dataset is not None:
            wanted = wanted.where(captionings.c.dataset_id == self._datasets.dataset(dataset).id)
        elif references:
            wanted = wanted.where(captionings.c.dataset_id.is_(None))
        if live is not None:
            wanted = wanted.where(job_table.c.state.in_(_LIVE) if live else job_table.c.state.not_in(_LIVE))
        newest = wanted.order_by(captionings.c.created_at.desc(), captionings.c.job_id.desc()).limit(limit)
        with self.database.read() as connection:
            found = connection.execute(newest).scalars().all()
        return tuple(self._line(job_id) for job_id in found)

    def captioning(self, job_id: str) -> Captioning:
        """One caption job, and what became of its pictures. Raises NotFound."""
        line = self._line(job_id)
        mine = sa.select(captioned).where(captioned.c.job_id == job_id).order_by(captioned.c.place).limit(SHOWN)
        with self.database.read() as connection:
            failures = connection.execute(mine.where(captioned.c.state == CaptionState.failed.value)).mappings().all()
            doubtful = (
                connection.execute(mine.where(captioned.c.state == CaptionState.written.value, captioned.c.traits != "[]")).mappings().all()
            )
        return Captioning(**dict(line), failures=tuple(map(_captioned, failures)), doubtful=tuple(map(_captioned, doubtful)))

    def retry(self, job_id: str) -> Job:
        """Ask again for the pictures that failed, and for those that were not asked for; by the vision model as it is set up now.

        Raises NotFound, Conflict while it runs and when nothing is left to do, ConsentMissing, DependencyMissing.
        """
        row, plan = self._found(job_id)
        if self._jobs.job(job_id).state.value in _LIVE:
            raise Conflict("These captions are still being written.", remedy="Wait until the job has ended, or cancel it first.")
        counts, real = self._left(job_id)
        if not counts[CaptionState.failed] + counts[CaptionState.waiting]:
            raise Conflict("Nothing failed: every picture has its caption.", remedy="Write them anew with a new job.")
        way = choose_way(reread(self._settings), plan.way.captioner or None)
        character = self._characters.character(plan.character) if plan.character else None
        self._check_consent(character)
        if plan.dataset:
            self._datasets.dataset(plan.dataset)
        # Who agreed, agreed to one place.
        same = (way.url, way.host) == (plan.way.url, plan.way.host)
        if real:
            way.check_real(plan.allow_remote_for_real and same)
        now = plan.model_copy(update={"way": way, "engine": _engine(way), "allow_remote_for_real": plan.allow_remote_for_real and same})
        steps = sum(counts.values()) - counts[CaptionState.skipped] - counts[CaptionState.undone]

        def also(connection: sa.Connection) -> None:
            failed = sa.update(captioned).where(captioned.c.job_id == job_id, captioned.c.state == CaptionState.failed.value)
            connection.execute(failed.values(state=CaptionState.waiting.value, problem=""))
            renamed = sa.update(captionings).where(captionings.c.job_id == row["job_id"])
            connection.execute(renamed.values(url=way.url, model=way.model))

        return self._jobs.again(job_id, now, steps, lane=LANE_VISION if now.engine == VISION else LANE_LOCAL, also=also)

    def undo(self, job_id: str) -> int:
        """Put the captions back that were there before, where nobody changed them since; gives how many. Raises NotFound, Conflict."""
        _, plan = self._found(job_id)
        if self._jobs.job(job_id).state.value in _LIVE:
            raise Conflict("These captions are still being written.", remedy="Cancel the job first.")
        mine = (captioned.c.job_id == job_id, captioned.c.state == CaptionState.written.value)
        with self.database.read() as connection:
            rows = connection.execute(sa.select(captioned.c.picture_id, captioned.c.caption, captioned.c.before).where(*mine)).all()
        if plan.dataset is not None:
            count = self._datasets.swap_captions(plan.dataset, {row.picture_id: (row.caption, row.before) for row in rows})
        else:
            with self.database.begin() as connection:
                count = sum(self._gallery.write_caption(row.picture_id, row.before, was=row.caption, connection=connection) for row in rows)
        with self.database.begin() as connection:
            connection.execute(sa.update(captioned).where(*mine).values(state=CaptionState.undone.value))
        return count

    # Below

    def _scope(self, request: CaptionRequest) -> _Scope:
        if request.references == bool(request.dataset or request.character):
            raise MissingRequiredField(
                "Say whose captions are to be written: a dataset's, or those of references.",
                field="dataset",
                remedy="Name a dataset or a character, or say that it is for references.",
            )
        scope = self._of_library(request) if request.references else self._of_dataset(request)
        if request.pictures is None:
            return scope
        chosen = set(request.pictures)
        some = tuple(one for one in scope.pictures if one.id in chosen)
        if not some:
            where = "in this dataset" if scope.dataset else "among the references"
            raise NotFound(f"None of these pictures is {where}.", field="pictures", remedy="Choose pictures that are there.")
        return _Scope(scope.dataset, scope.character, some)

    def _of_dataset(self, request: CaptionRequest) -> _Scope:
        somebody = self._characters.character(request.character) if request.character else None
        if request.dataset is not None:
            dataset = self._datasets.dataset(request.dataset)
        else:
            newest = self._datasets.datasets(request.character)
            if not newest:
                name = somebody.name if somebody else ""
                raise NotFound(f"{name} has no dataset yet.", field="character", remedy="Make one on the Train tab, of photos or pictures.")
            dataset = newest[0]
        owner = self._datasets.owner(dataset.id)
        if somebody is not None and somebody.id != owner.id:
            raise InvalidFieldValue(
                f"The dataset “{dataset.name}” is not one of {somebody.name}.", field="dataset", remedy="Choose one of this character's."
            )
        columns = (dataset_pictures.c.id, dataset_pictures.c.caption, dataset_pictures.c.source)
        order = (dataset_pictures.c.created_at, dataset_pictures.c.id)
        with self.database.read() as connection:
            rows = connection.execute(sa.select(*columns).where(dataset_pictures.c.dataset_id == dataset.id).order_by(*order)).all()
        known = self._gallery.real_people([row.source for row in rows if row.source])
        return _Scope(
            dataset,
            owner,
            tuple(_Picture(row.id, row.caption, owner.kind.real or bool(row.source and row.source in known)) for row in rows),
        )

    def _of_library(self, request: CaptionRequest) -> _Scope:
        fits = [pictures.c.kind == PictureKind.reference.value, pictures.c.trashed_at == 0]
        if request.category:
            fits.append(pictures.c.category == request.category)
        columns = (pictures.c.id, pictures.c.caption, pictures.c.real_person)
        with self.database.read() as connection:
            rows = connection.execute(sa.select(*columns).where(*fits).order_by(pictures.c.created_at, pictures.c.id)).all()
        return _Scope(None, None, tuple(_Picture(row.id, row.caption, True if row.real_person else None) for row in rows))

    def _check_consent(self, character: Character | None) -> None:
        if character is not None and character.kind.real:
            check_consent(character.consent, character.name)

    def _found(self, job_id: str) -> tuple[sa.RowMapping, CaptionPlan]:
        with self.database.read() as connection:
            row = connection.execute(sa.select(captionings).where(captionings.c.job_id == job_id)).mappings().first()
            plan = connection.execute(sa.select(job_table.c.recipe).where(job_table.c.id == job_id)).scalar()
        if row is None or plan is None:
            raise NotFound(f"There is no caption job {job_id!r}.", remedy="GET /api/v1/captions lists them.")
        return row, CaptionPlan.model_validate_json(plan)

    def _left(self, job_id: str) -> tuple[Counter[CaptionState], bool]:
        """How many pictures are in each state, and whether a real person is in one that is still to be asked for."""
        mine = sa.select(captioned.c.state, captioned.c.real_person, sa.func.count()).where(captioned.c.job_id == job_id)
        counts: Counter[CaptionState] = Counter()
        real = False
        with self.database.read() as connection:
            for state, shows_real, count in connection.execute(mine.group_by(captioned.c.state, captioned.c.real_person)):
                counts[CaptionState(state)] += count
                real = real or (shows_real and state in (CaptionState.failed.value, CaptionState.waiting.value))
        return counts, real

    def _line(self, job_id: str) -> CaptioningLine:
        row, plan = self._found(job_id)
        counts, _ = self._left(job_id)
        return CaptioningLine(
            job=self._jobs.job(job_id),
            dataset=plan.dataset,
            name=self._name(plan.character),
            way=plan.way,
            written=counts[CaptionState.written],
            failed=counts[CaptionState.failed],
            waiting=counts[CaptionState.waiting],
            skipped=counts[CaptionState.skipped],
            spent=Spent.model_validate_json(row["spent"]),
        )

    def _name(self, character_id: str | None) -> str:
        try:
            return self._characters.character(character_id).name if character_id else ""
        except NotFound:
            return ""

    def _usd_each(self, way: CaptionWay) -> float | None:
        """What a caption by this model cost lately; None where nobody said."""
        same = sa.select(captionings.c.spent).where(captionings.c.url == way.url, captionings.c.model == way.model)
        with self.database.read() as connection:
            texts = connection.execute(same.order_by(captionings.c.created_at.desc()).limit(LOOKED_BACK)).scalars().all()
        told = [spent for text in texts if (spent := Spent.model_validate_json(text)).answers]
        answers = sum(spent.answers for spent in told)
        return sum(spent.usd or 0 for spent in told) / answers if answers and all(spent.usd is not None for spent in told) else None

    def _try_out(self) -> None:
        from studio.captioning import check

        try:
            self._verdict = check(reread(self._settings))
        except LikenessError as error:  # settings that can't be read
            self._verdict = CaptionVerdict(ok=False, message=error.message, remedy=error.remedy, field=error.field, code=error.code)
        finally:
            self._trying.release()


_LIVE = (JobState.queued.value, JobState.running.value, JobState.paused.value)


def _shows_real(one: _Picture, request: CaptionRequest) -> bool | None:
    return request.real_person if one.real is None else one.real


def _check_real(wanted: Sequence[_Picture], way: CaptionWay, request: CaptionRequest) -> None:
    """Raises MissingRequiredField where nobody said whether pictures that leave this computer show real people; ConsentMissing."""
    if not way.sends_away:
        return
    shown = {_shows_real(one, request) for one in wanted}
    if None in shown:
        raise MissingRequiredField(
            f"These pictures would be sent to {way.host}: say whether they show real people.",
            field="real_person",
            remedy="Drawings, places and invented faces: no. Photos of somebody: yes, with their consent.",
        )
    if True in shown:
        way.check_real(request.allow_remote_for_real)


def _waiting_elsewhere(dataset: str | None) -> sa.Select[str]:
    same = captionings.c.dataset_id.is_(None) if dataset is None else captionings.c.dataset_id == dataset
    joined = captioned.join(captionings, captionings.c.job_id == captioned.c.job_id).join(job_table, job_table.c.id == captioned.c.job_id)
    return (
        sa.select(captioned.c.picture_id)
        .select_from(joined)
        .where(same, job_table.c.state.in_(_LIVE), captioned.c.state == CaptionState.waiting.value)
    )


def _nothing(scope: _Scope) -> LikenessError:
    if scope.pictures:
        return InvalidFieldValue(
            "Every one of these has a caption already.", field="replace", remedy="Say that they are to be written anew."
        )
    if scope.dataset is None:
        return InvalidFieldValue("There are no such references.", field="category", remedy="Add some first, or choose another category.")
    return InvalidFieldValue(f"There are no pictures in “{scope.dataset.name}”.", field="dataset", remedy="Add some first.")


def _engine(way: CaptionWay) -> str:
    return EMBEDDED if way.captioner else VISION


def _problem(error: LikenessError) -> Problem:
    return Problem(code=error.code, message=error.message, remedy=error.remedy, field=error.field)


def _captioned(row: sa.RowMapping) -> CaptionedPicture:
    return CaptionedPicture(
        id=row["picture_id"],
        state=CaptionState(row["state"]),
        before=row["before"],
        caption=row["caption"],
        traits=tuple(json.loads(row["traits"])),
        error=Problem.model_validate_json(row["problem"]) if row["problem"] else None,
    )


def _counted(count: int) -> str:
    return f"{count} picture" if count == 1 else f"{count} pictures"
