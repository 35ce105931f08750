"""Character sheets: one portrait becomes a batch of views, whose pictures are kept as photos of the character or thrown away."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum

import sqlalchemy as sa
from PIL import Image
from pydantic import Field

from studio.characters import Characters, check_consent
from studio.contracts import (
    MAX_SEED,
    Asked,
    Character,
    CharacterStatus,
    Contract,
    GenerateRequest,
    JobKind,
    JobState,
    Name,
    Picture,
    PictureKind,
    Problem,
    new_id,
)
from studio.db import jobs, sheet_views, sheets
from studio.errors import Conflict, DependencyMissing, InvalidFieldValue, LikenessError, MissingRequiredField, NotFound
from studio.gallery import Gallery
from studio.jobs import Jobs
from studio.orders import NO_PRESET, Orders
from studio.photos import Photo
from studio.settings import Settings
from studio.shelf import require_classifier
from studio.workflows import Lack, ParameterType, View, Workflow, WorkflowKind
from studio.workshop import Workshop

_MAIN = ("checkpoint", "diffusion_model")


class ShotVerdict(StrEnum):
    """What was decided of a picture of a sheet."""

    open = "open"
    kept = "kept"
    thrown = "thrown"


class SheetRequest(Asked):
    """A sheet to make. What is left out: the character's portrait, the first workflow that runs, all of its views."""

    portrait: Name | None = Field(None, description="One of the character's own photos or pictures, by its id")
    workflow: Name | None = Field(None, description="A workflow of the sheet's offer, by its id")
    views: tuple[Name, ...] | None = Field(None, min_length=1, max_length=100, description="Views by their names")
    seed: int = Field(-1, ge=-1, le=MAX_SEED)


class ShotJudgement(Asked):
    """What is decided of some views of a sheet, by their names."""

    views: tuple[Name, ...] = Field(min_length=1, max_length=100)
    verdict: ShotVerdict


class Shot(Contract):
    """One view of a sheet. `picture` is None until it is made; `photo` is the character's photo that it was added as."""

    view: str
    group: str
    job_id: str
    state: JobState
    progress: float
    picture: str | None
    verdict: ShotVerdict
    photo: str | None
    problem: Problem | None


class Sheet(Contract):
    """A sheet as it stands. `open` while something of it is made, undecided, or kept and not added yet. Its id is that of its batch."""

    id: str
    character: str
    portrait: str
    workflow: str
    created_at: datetime
    open: bool
    shots: tuple[Shot, ...]


class SheetWorkflow(Contract):
    """A workflow that turns one portrait into views of the same person, and whether the servers have what it takes."""

    id: str
    name: str
    about: str
    views: tuple[View, ...]
    runs: bool
    lacks: tuple[Lack, ...]


class SheetOffer(Contract):
    """What a sheet of a character can be made of. `portrait` is the picture that is taken where none is named.

    `obstacles` say what must be done first; their `field` is status, consent, portrait, classifier or workflow. `open` are the ids of
    sheets that still wait for a decision, newest first.
    """

    portrait: str | None
    workflows: tuple[SheetWorkflow, ...]
    obstacles: tuple[Problem, ...]
    open: tuple[str, ...]


class Sheets:
    """The sheets of one studio."""

    def __init__(
        self, settings: Settings, characters: Characters, gallery: Gallery, jobs: Jobs, orders: Orders, workshop: Workshop
    ) -> None:
        self._settings = settings
        self._characters = characters
        self._gallery = gallery
        self._jobs = jobs
        self._orders = orders
        self._workshop = workshop

    def offer(self, name: str) -> SheetOffer:
        """What a sheet of a character, an id or a slug, could be made with, and what stands in the way. Raises NotFound."""
        character = self._characters.character(name)
        found = self._workflows()
        portrait = self._default_portrait(character)
        return SheetOffer(
            portrait=portrait,
            workflows=found,
            obstacles=tuple(_told(error) for error in self._obstacles(character, portrait, found)),
            open=tuple(sheet.id for sheet in self.sheets(name) if sheet.open),
        )

    def order(self, name: str, wish: SheetRequest, *, correlation_id: str = "") -> Sheet:
        """Make a sheet: one job for each view, on disk when this returns.

        Raises NotFound, MissingRequiredField without a portrait, InvalidFieldValue, DependencyMissing where no workflow runs, and
        whatever `Studio.generate` raises; then nothing is left behind.
        """
        character = self._characters.character(name)
        portrait = self._portrait(character, wish.portrait)
        workflow = self._chosen(wish.workflow)
        views = _named(workflow.views, wish.views)
        seed = secrets.randbelow(MAX_SEED + 1) if wish.seed < 0 else wish.seed
        work = [
            pair
            for view in views
            for pair in self._orders.work(
                GenerateRequest.model_validate(
                    {
                        "prompt": view.prompt,
                        "as_written": True,
                        "wildcards": False,
                        "character": character.id,
                        "image": portrait,
                        "workflow": workflow.id,
                        "preset": NO_PRESET,
                        "seed": seed,
                    }
                ),
                # It was trained for another model than the one that edits.
                own_lora=False,
            )
        ]
        self._orders.check_space()
        now = time.time()

        def keep(connection: sa.Connection, batch_id: str, job_ids: tuple[str, ...]) -> None:
            values = {"id": batch_id, "character_id": character.id, "portrait": portrait, "workflow": workflow.id, "created_at": now}
            connection.execute(sa.insert(sheets).values(values))
            for place, (job_id, view) in enumerate(zip(job_ids, views, strict=True)):
                said = {"view": view.name, "view_group": view.group, "caption": _caption(character, view)}
                row = {"job_id": job_id, "sheet_id": batch_id, "place": place, "kept": False, **said}
                connection.execute(sa.insert(sheet_views).values(row))

        batch_id, _ = self._jobs.submit(JobKind.generate, work, correlation_id=correlation_id or new_id(), also=keep)
        return self.sheet(batch_id)

    def sheets(self, name: str) -> tuple[Sheet, ...]:
        """A character's sheets, newest first. Raises NotFound."""
        character = self._characters.character(name)
        newest = sa.select(sheets).where(sheets.c.character_id == character.id).order_by(sheets.c.created_at.desc(), sheets.c.id.desc())
        with self._gallery.database.read() as connection:
            rows = connection.execute(newest).mappings().all()
        return tuple(self._sheet(row) for row in rows)

    def sheet(self, sheet_id: str) -> Sheet:
        """One sheet by its id. Raises NotFound."""
        with self._gallery.database.read() as connection:
            row = connection.execute(sa.select(sheets).where(sheets.c.id == sheet_id)).mappings().first()
        if row is None:
            raise NotFound(f"There is no character sheet {sheet_id!r}.", remedy="GET /api/v1/characters/{id}/sheets lists them.")
        return self._sheet(row)

    def judge(self, sheet_id: str, judgement: ShotJudgement) -> Sheet:
        """Keep views, throw them to the trash, or take that back. Raises NotFound, InvalidFieldValue for a view that is not there,
        Conflict for one that has no picture.
        """
        shots = _shots_named(self.sheet(sheet_id).shots, judgement.views)
        without = next((shot for shot in shots if shot.picture is None), None)
        if without is not None:
            raise Conflict(f"“{without.view}” has no picture.", remedy="Wait until it is made, or leave it out.")
        found = [shot.picture for shot in shots if shot.picture is not None]
        with self._gallery.database.begin() as connection:
            mine = sheet_views.c.job_id.in_([shot.job_id for shot in shots])
            connection.execute(sa.update(sheet_views).where(mine).values(kept=judgement.verdict is ShotVerdict.kept))
        if judgement.verdict is ShotVerdict.thrown:
            self._gallery.trash(found)
        else:
            self._gallery.restore(found)
        return self.sheet(sheet_id)

    def add(self, sheet_id: str) -> tuple[Picture, ...]:
        """Make photos of the character of what was kept and is none yet, each with a caption made from its view; gives the new ones.

        Raises NotFound, ConsentMissing, DiskFull or DataRootReadOnly, and then adds none.
        """
        sheet = self.sheet(sheet_id)
        character = self._characters.character(sheet.character)
        if character.kind.real:
            check_consent(character.consent, character.name)
        wanted = [shot for shot in sheet.shots if shot.verdict is ShotVerdict.kept and shot.photo is None]
        captions = self._captions(sheet_id)
        made = self._gallery.of_jobs([shot.job_id for shot in wanted])
        kept: list[Picture] = []
        try:
            for shot in wanted:
                kept.append(self._added(made[shot.job_id], character, shot, captions[shot.job_id]))
            with self._gallery.database.begin() as connection:
                self._gallery.record(kept, connection)
        except LikenessError:
            self._gallery.forget(kept)
            raise
        return tuple(kept)

    def _added(self, picture: Picture, character: Character, shot: Shot, caption: str) -> Picture:
        path = self._gallery.file(picture.id)
        with Image.open(path) as image:
            # Its own bytes: the file says of itself how it was made.
            photo = Photo(image.convert("RGB"), path.read_bytes(), path.suffix)
        return self._gallery.keep_photo(
            photo, character_id=character.id, name=shot.view, real_person=picture.real_person, caption=caption, made=picture
        )

    # What it is made of

    def _workflows(self) -> tuple[SheetWorkflow, ...]:
        views = {view.id: view for view in self._workshop.views()}
        found = [
            SheetWorkflow(
                id=each.id, name=each.name, about=each.about, views=each.views, runs=views[each.id].runs, lacks=views[each.id].lacks
            )
            for each in sheet_workflows(self._workshop.workflows())
        ]
        return tuple(sorted(found, key=lambda each: not each.runs))

    def _chosen(self, wanted: str | None) -> SheetWorkflow:
        found = self._workflows()
        if wanted is not None:
            for each in found:
                if each.id == wanted:
                    return each
            known = ", ".join(each.id for each in found)
            raise InvalidFieldValue(f"No sheet is made with “{wanted}”.", field="workflow", remedy=f"Choose one of: {known}.")
        if not found or not found[0].runs:
            raise _nothing_runs(found)
        return found[0]

    def _obstacles(self, character: Character, portrait: str | None, found: Sequence[SheetWorkflow]) -> list[LikenessError]:
        obstacles: list[LikenessError] = []
        if character.status is CharacterStatus.trashed:
            told = f"{character.name} is in the trash."
            obstacles.append(InvalidFieldValue(told, field="status", remedy="Take it out of the trash first."))
        if character.kind.real:
            try:
                check_consent(character.consent, character.name)
                require_classifier(self._settings.data)
            except LikenessError as error:
                field = error.field if error.field == "consent" else "classifier"
                obstacles.append(type(error)(error.message, field=field, remedy=error.remedy))
        if portrait is None:
            obstacles.append(_no_portrait(character))
        if not any(each.runs for each in found):
            obstacles.append(_nothing_runs(found))
        return obstacles

    def _portrait(self, character: Character, wanted: str | None) -> str:
        portrait = wanted or self._default_portrait(character)
        if portrait is None:
            raise _no_portrait(character)
        if not self._is_own(portrait, character):
            raise InvalidFieldValue(
                f"This is neither a photo nor a picture of {character.name}.",
                field="portrait",
                remedy="Choose one of the character's own, or add it to the photos first.",
            )
        return portrait

    def _default_portrait(self, character: Character) -> str | None:
        """The portrait where it is the character's own, else the first photo, else the newest picture."""
        if character.portrait and self._is_own(character.portrait, character):
            return character.portrait
        photos = self._gallery.photos(character.id)
        if photos:
            return photos[0].id
        newest = self._gallery.pictures(limit=1, character=character.id).items
        return newest[0].id if newest else None

    def _is_own(self, picture_id: str, character: Character) -> bool:
        try:
            picture = self._gallery.picture(picture_id)
        except NotFound:
            return False
        kinds = (PictureKind.photo, PictureKind.generated)
        return picture.character_id == character.id and picture.kind in kinds and picture.trashed_at is None

    # What has become of it

    def _sheet(self, row: sa.RowMapping) -> Sheet:
        wanted = (
            sa.select(sheet_views, jobs.c.state, jobs.c.progress, *(jobs.c[f"error_{part}"] for part in ("code", "message", "remedy")))
            .join(jobs, jobs.c.id == sheet_views.c.job_id)
            .where(sheet_views.c.sheet_id == row["id"])
            .order_by(sheet_views.c.place)
        )
        with self._gallery.database.read() as connection:
            rows = connection.execute(wanted).mappings().all()
        made = self._gallery.of_jobs([each["job_id"] for each in rows])
        photos = {photo.sha256: photo.id for photo in self._gallery.photos(row["character_id"])}
        shots = tuple(_shot(each, made.get(each["job_id"]), photos) for each in rows)
        return Sheet(
            id=row["id"],
            character=row["character_id"],
            portrait=row["portrait"],
            workflow=row["workflow"],
            created_at=datetime.fromtimestamp(row["created_at"], UTC),
            open=any(_waits(shot) for shot in shots),
            shots=shots,
        )

    def _captions(self, sheet_id: str) -> Mapping[str, str]:
        wanted = sa.select(sheet_views.c.job_id, sheet_views.c.caption).where(sheet_views.c.sheet_id == sheet_id)
        with self._gallery.database.read() as connection:
            return {row.job_id: row.caption for row in connection.execute(wanted)}


def sheet_workflows(workflows: Sequence[Workflow]) -> tuple[Workflow, ...]:
    """The workflows that a sheet can be made with: those with views of their own, then those that edit a picture by words alone.

    The latter take the views of the first; one that draws with the very model of a sheet workflow is left out.
    """
    sheets = [each for each in workflows if each.kind is WorkflowKind.character_sheet and each.views and _from_portrait(each)]
    if not sheets:
        return ()
    drawn = {_model(each) for each in sheets}
    edits = [each for each in workflows if each.kind is WorkflowKind.edit and _from_portrait(each) and _model(each) not in drawn]
    return (*sheets, *(each.model_copy(update={"views": sheets[0].views}) for each in edits))


def _from_portrait(workflow: Workflow) -> bool:
    if workflow.parameter("image") is None or workflow.parameter("prompt") is None:
        return False
    given = {"image", "prompt"}
    pictures = (each for each in workflow.parameters if each.type is ParameterType.image)
    return all(each.name in given or each.default is not None for each in pictures)


def _model(workflow: Workflow) -> object:
    return next((found.default for name in _MAIN if (found := workflow.parameter(name)) is not None), workflow.id)


def _named(views: Sequence[View], wanted: Sequence[str] | None) -> tuple[View, ...]:
    if wanted is None:
        return tuple(views)
    names = {view.name.casefold() for view in views}
    for name in wanted:
        if name.casefold() not in names:
            known = ", ".join(view.name for view in views)
            raise InvalidFieldValue(f"There is no view “{name}”.", field="views", remedy=f"Choose from: {known}.")
    chosen = {name.casefold() for name in wanted}
    return tuple(view for view in views if view.name.casefold() in chosen)


def _shots_named(shots: Sequence[Shot], wanted: Sequence[str]) -> tuple[Shot, ...]:
    chosen = {name.casefold() for name in wanted}
    found = tuple(shot for shot in shots if shot.view.casefold() in chosen)
    unknown = chosen - {shot.view.casefold() for shot in found}
    if unknown:
        known = ", ".join(shot.view for shot in shots)
        raise InvalidFieldValue(f"This sheet has no view “{min(unknown)}”.", field="views", remedy=f"It has: {known}.")
    return found


def _shot(row: sa.RowMapping, picture: Picture | None, photos: Mapping[str, str]) -> Shot:
    verdict = ShotVerdict.kept if row["kept"] else ShotVerdict.open
    if picture is not None and picture.trashed_at is not None:
        # Whoever takes it out of the trash in the gallery takes this back too.
        verdict = ShotVerdict.thrown
    problem = None
    if row["error_code"]:
        problem = Problem(code=row["error_code"], message=row["error_message"], remedy=row["error_remedy"])
    return Shot(
        view=row["view"],
        group=row["view_group"],
        job_id=row["job_id"],
        state=JobState(row["state"]),
        progress=row["progress"],
        picture=picture.id if picture else None,
        verdict=verdict,
        photo=photos.get(picture.sha256) if picture else None,
        problem=problem,
    )


def _waits(shot: Shot) -> bool:
    if not shot.state.ended:
        return True
    if shot.picture is None or shot.verdict is ShotVerdict.thrown:
        return False
    return shot.verdict is ShotVerdict.open or shot.photo is None


def _caption(character: Character, view: View) -> str:
    return f"{character.trigger_word}, {view.caption or view.name.lower()}"


def _no_portrait(character: Character) -> MissingRequiredField:
    return MissingRequiredField(
        f"There is no picture of {character.name} to start from.",
        field="portrait",
        remedy="Add a photo with the face large and clear, or make a picture first.",
    )


def _nothing_runs(found: Sequence[SheetWorkflow]) -> LikenessError:
    told = "A sheet needs a model that edits pictures and keeps the face, on ComfyUI. The starter model draws each face anew."
    lack = next((lack for each in found for lack in each.lacks[:1]), None)
    if lack is None:
        return DependencyMissing(told, field="workflow", remedy="Import a workflow for character sheets.")
    return DependencyMissing(f"{told} {lack.message}", field="workflow", remedy=lack.remedy)


def _told(error: LikenessError) -> Problem:
    return Problem(code=error.code, message=error.message, remedy=error.remedy, field=error.field)
