"""What a training would take here, and what stands in its way: asked before one is ordered, and again by the order itself."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from pydantic import Field

from studio import training, training_needs
from studio.contracts import Contract, JobKind, JobState, Problem
from studio.db import Database
from studio.db import jobs as job_table
from studio.errors import DiskFull, LikenessError
from studio.meters import Meters
from studio.orders import SPACE_NEEDED
from studio.settings import Settings, reread
from studio.training import ToolkitArch, TrainRecipe
from studio.training_needs import GB, Earlier
from studio.training_presets import TrainPreset

EMBEDDED, TOOLKIT = "embedded", "aitoolkit"
LOOKED_BACK = 40
# The first look at the cards; afterwards they are known.
CARDS_S = 1.0


class TrainPlan(Contract):
    """What a training job does, with nothing left open. `lora` is how its LoRA will be called."""

    engine: str
    character: str
    lora: str
    recipe: TrainRecipe


class TrainChoice(Contract):
    """A preset as it would train a character, what that takes, and what stands in its way. None is unknown until measured here."""

    id: str
    name: str
    about: str
    recipe: TrainRecipe
    seconds: float | None = Field(description="As long as earlier ones of this model took here for as much work")
    vram_gb: float | None = Field(description="Video memory, where a graphics card trains")
    vram_measured: bool = Field(description="Whether `vram_gb` was measured here; otherwise the trainer's authors say so")
    disk_gb: float | None = Field(description="Checkpoints, samples and what it goes on from; fetching the model comes on top")
    obstacles: tuple[Problem, ...]


class ToolkitOffer(ToolkitArch):
    """What AI-Toolkit trains, by preset."""

    presets: tuple[TrainChoice, ...]


@dataclass(frozen=True)
class Toolkit:
    """What the studio asks of AI-Toolkit before it trains.

    `arches` is what it trains; `vram_gb` the video memory that its authors say a recipe takes; `check` raises for what it would fail for,
    told the largest card's memory in MB (0: there is none, None: nobody knows yet) and what the same settings took here before in GB.
    """

    arches: Callable[[], tuple[ToolkitArch, ...]]
    vram_gb: Callable[[TrainRecipe, Path], float | None]
    check: Callable[[Settings, TrainRecipe, Path, float | None, float | None], None]


NO_TOOLKIT = Toolkit(tuple, lambda _recipe, _model: None, lambda _settings, _recipe, _model, _have, _measured: None)


class TrainOffers:
    """What trainings take on this computer, by those that were done before."""

    def __init__(self, settings: Settings, database: Database, meters: Meters, toolkit: Toolkit) -> None:
        self._settings = settings
        self._database = database
        self._meters = meters
        self._toolkit = toolkit

    def choice(
        self, preset: TrainPreset, engine: str, recipe: TrainRecipe, model: Path, pictures: Sequence[int], before: Sequence[Earlier]
    ) -> TrainChoice:
        """A preset's recipe with what it takes. `pictures` are the sizes of the files that it learns from."""
        measured = training_needs.video_memory_for(engine, recipe, before)
        said = self._toolkit.vram_gb(recipe, model) if engine == TOOLKIT and measured is None else None
        written = training_needs.disk_for(engine, recipe, model, pictures, before, toolkit=engine == TOOLKIT)
        obstacles: list[Problem] = []
        for look in (self._check_machine, self._check_disk):
            try:
                look(engine, recipe, model, pictures, before)
            except LikenessError as error:
                obstacles.append(Problem(code=error.code, message=error.message, remedy=error.remedy, field=error.field))
        return TrainChoice(
            id=preset.id,
            name=preset.name,
            about=preset.about,
            recipe=recipe,
            seconds=training_needs.seconds_for(engine, recipe, before),
            vram_gb=measured if measured is not None else said,
            vram_measured=measured is not None,
            disk_gb=None if written is None else round(written / GB, 2),
            obstacles=tuple(obstacles),
        )

    def check(self, engine: str, recipe: TrainRecipe, model: Path, pictures: Sequence[int]) -> None:
        """See that this computer has what a training takes, as far as that is known.

        Raises OutOfMemory, DiskFull, and for AI-Toolkit DependencyMissing, InvalidFieldValue, ModelInvalid, ModelGated.
        """
        before = self.earlier()
        self._meters.video_memory_mb(CARDS_S)
        self._check_machine(engine, recipe, model, pictures, before)
        self._check_disk(engine, recipe, model, pictures, before)

    def earlier(self) -> tuple[Earlier, ...]:
        """The trainings that were done here, newest first."""
        known = job_table.c
        done = (
            sa.select(known.id, known.recipe, known.attempt, known.crashes, known.started_at, known.finished_at)
            .where(known.kind == JobKind.train.value, known.state == JobState.done.value)
            .order_by(known.finished_at.desc())
            .limit(LOOKED_BACK)
        )
        with self._database.read() as connection:
            rows = connection.execute(done).all()
        found: list[Earlier] = []
        for row in rows:
            plan = TrainPlan.model_validate_json(row.recipe)
            folder = training_folder(self._settings.data, row.id)
            at_one_go = row.attempt == 1 and row.crashes == 1
            newest = max((folder / "checkpoints").glob(f"*/{training.LORA}"), default=None)
            found.append(
                Earlier(
                    engine=plan.engine,
                    recipe=plan.recipe,
                    seconds=row.finished_at - row.started_at if at_one_go else None,
                    vram_mb=training.video_memory(folder),
                    lora_bytes=newest.stat().st_size if newest is not None else None,
                )
            )
        return tuple(found)

    def _check_machine(self, engine: str, recipe: TrainRecipe, model: Path, _pictures: Sequence[int], before: Sequence[Earlier]) -> None:
        have = self._meters.video_memory_mb()
        need = training_needs.video_memory_for(engine, recipe, before)
        if engine == TOOLKIT:
            self._toolkit.check(reread(self._settings), recipe, model, have, need)
        elif self._settings.device != "cpu":
            training_needs.check_video_memory(model.stem, recipe, need, have, before)

    def _check_disk(self, engine: str, recipe: TrainRecipe, model: Path, pictures: Sequence[int], before: Sequence[Earlier]) -> None:
        toolkit = engine == TOOLKIT
        needs = training_needs.disk_for(engine, recipe, model, pictures, before, toolkit=toolkit)
        free = shutil.disk_usage(self._settings.data).free - SPACE_NEEDED
        if needs is None or needs <= free:
            return
        every = training_needs.save_every_for(engine, recipe, model, pictures, before, free, toolkit=toolkit)
        less = f" Or keep fewer checkpoints: one every {every} steps fits." if every is not None else ""
        raise DiskFull(
            f"This training writes about {_size(needs)} to the drive of the data folder, and {_size(max(0, free))} are free there.",
            remedy=f"Free some space; emptying the trash helps.{less}",
        )


def training_folder(data: Path, job_id: str) -> Path:
    """Where a run keeps what it learned."""
    return data / "trainings" / job_id


def _size(count: float) -> str:
    return f"{count / GB:.1f} GB" if count >= GB else f"{count / 2**20:.0f} MB"
