"""What trainings leave on the disk, and what of it may go: nothing that a character uses, no version of its LoRA unless it is named.

A checkpoint is gone for good when its run is cleaned up; those that became a version stay. A LoRA that is deleted is moved aside in the
LoRA folder, under a name that no program takes for a LoRA, until it is restored or the trash is emptied.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from studio import training
from studio.characters import Characters
from studio.contracts import Asked, Contract, JobKind, JobState, Name, Recipe
from studio.db import jobs as job_table
from studio.errors import Conflict, InvalidFieldValue, NotFound, from_os_error
from studio.files import sync_folder
from studio.shelf import TRASHED, ModelShelf
from studio.trainings import Training, Trainings

log = logging.getLogger(__name__)

# A run that isn't done goes on after its newest checkpoint, or after the one before where the disk lost that.
_TO_GO_ON_FROM = 2
_MOVING = (JobState.queued, JobState.running)


class Cleanup(Contract):
    """What cleaning up after a run deletes, or deleted: `freed` and `kept` are the steps of checkpoints, `bytes` is what becomes free.

    `state_bytes` of these are what a run needs to go on and one that is done doesn't. `why` says for each kept step why it stays.
    """

    training: str
    freed: tuple[int, ...]
    kept: tuple[int, ...]
    why: dict[int, str]
    bytes: int
    state_bytes: int


class LoraDelete(Asked):
    """A LoRA by its name in the LoRA folder. A version of a character's LoRA wants its name once more, in `confirm`."""

    path: Name
    confirm: Name | None = None


class LoraMoved(Contract):
    """What became of a LoRA: its name in the LoRA folder, and its size."""

    path: str
    bytes: int


@dataclass(frozen=True)
class _Plan:
    told: Cleanup
    folders: tuple[Path, ...]
    states: tuple[Path, ...]


class Keeping:
    """The files that trainings of one studio left."""

    def __init__(self, characters: Characters, shelf: ModelShelf, trainings: Trainings) -> None:
        self._characters = characters
        self._shelf = shelf
        self._trainings = trainings
        self._database = trainings.database

    # Checkpoints

    def cleanup(self, job_id: str) -> Cleanup:
        """What could go of a run, without touching it. Raises NotFound, Conflict while it runs or waits."""
        return self._plan(job_id).told

    def clean(self, job_id: str) -> Cleanup:
        """Delete the checkpoints of a run that no version was made of, for good. Raises as `cleanup` does, DiskFull … as files do."""
        plan = self._plan(job_id)
        try:
            for folder in plan.folders:
                # Without its LoRA it counts as none, wherever a crash stops this.
                (folder / training.LORA).unlink(missing_ok=True)
                shutil.rmtree(folder)
            for state in plan.states:
                state.unlink(missing_ok=True)
        except OSError as error:
            raise from_os_error(error, "delete the checkpoints") from error
        log.info("Deleted %d checkpoints of %s, %d bytes", len(plan.told.freed), job_id, plan.told.bytes)
        return plan.told

    def _plan(self, job_id: str) -> _Plan:
        run = self._trainings.training(job_id)
        if run.job.state in _MOVING:
            raise Conflict("This training is not at rest.", remedy="Stop it or wait for its end, then clean up.")
        why = _worth_keeping(run)
        folder = self._trainings.folder(job_id)
        places = sorted((folder / "checkpoints").glob("[0-9]" * 6))
        gone = tuple(place for place in places if int(place.name) not in why)
        done = run.job.state is JobState.done
        states = tuple(place / training.STATE for place in places if done and place not in gone and (place / training.STATE).is_file())
        state_bytes = sum(state.stat().st_size for state in states)
        told = Cleanup(
            training=job_id,
            freed=tuple(int(place.name) for place in gone),
            kept=tuple(sorted(why)),
            why=why,
            bytes=sum(_bytes_in(place) for place in gone) + state_bytes,
            state_bytes=state_bytes,
        )
        return _Plan(told, gone, states)

    # LoRAs

    def delete(self, wish: LoraDelete) -> LoraMoved:
        """Move a LoRA to the trash. Raises NotFound, and Conflict where a character or a waiting job uses it, or where it is a version
        of a character's LoRA and was not named in `confirm`.
        """
        path, file = self._file(wish.path)
        users = [each.name for each in self._characters.characters(None) if any(_plain(one) == _plain(path) for one in each.loras())]
        if users:
            raise Conflict(
                f"“{path}” is what {_and(users)} {'is' if len(users) == 1 else 'are'} drawn with.",
                remedy=f"Let {users[0]} use another version first: `loras use`, or “Use again” on the Train tab.",
                field="path",
            )
        if self._is_awaited(path):
            raise Conflict(f"A job that waits or runs uses “{path}”.", remedy="Wait for it, or cancel it.", field="path")
        version = next((one for one in self._trainings.versions() if one.path == path), None)
        if version is not None and wish.confirm != path:
            owner = self._trainings.name_of(version.character)
            raise Conflict(
                f"“{path}” is version {version.version} of {owner or 'a character'}'s LoRA, and versions are kept.",
                remedy=f"To delete it all the same, name it once more: confirm “{path}”.",
                field="confirm",
            )
        moved = LoraMoved(path=path, bytes=file.stat().st_size)
        self._move(file, self._shelf.trashed_lora(path))
        return moved

    def restore(self, path: str) -> LoraMoved:
        """Take a LoRA out of the trash. Raises NotFound, Conflict where another file has its name now."""
        file = self._within(path)
        trashed = self._shelf.trashed_lora(path)
        if not trashed.is_file():
            raise NotFound(f"There is no LoRA called “{path}” in the trash.", remedy="GET /api/v1/loras/versions says which are there.")
        if file.exists():
            raise Conflict(f"There is another “{path}” now.", remedy="Rename that one first.", field="path")
        self._move(trashed, file)
        return LoraMoved(path=path, bytes=file.stat().st_size)

    def empty_trash(self) -> int:
        """Delete the LoRAs in the trash for good; gives how many that were."""
        found = sorted(self._shelf.loras_folder.glob(f"**/*{TRASHED}"))
        for file in found:
            file.unlink(missing_ok=True)
        return len(found)

    def _file(self, wanted: str) -> tuple[str, Path]:
        """A LoRA's name in the folder and its file, by that name with or without `.safetensors`."""
        for path in (wanted, f"{wanted}.safetensors"):
            file = self._within(path)
            if file.is_file() and not file.name.endswith(TRASHED):
                return path, file
        raise NotFound(f"There is no LoRA called “{wanted}”.", remedy="GET /api/v1/loras lists them.")

    def _within(self, path: str) -> Path:
        file = self._shelf.loras_folder / path
        if Path(path).is_absolute() or ".." in file.parts[len(self._shelf.loras_folder.parts) :]:
            raise InvalidFieldValue(f"“{path}” leads out of the LoRA folder.", field="path", remedy="Give its name in the folder.")
        return file

    def _is_awaited(self, path: str) -> bool:
        waiting = sa.select(job_table.c.recipe).where(
            job_table.c.kind == JobKind.generate.value, job_table.c.state.in_([state.value for state in _MOVING])
        )
        with self._database.read() as connection:
            recipes = [Recipe.model_validate_json(text) for text in connection.execute(waiting).scalars() if _plain(path) in text]
        used = [use.path for recipe in recipes for use in recipe.loras]
        return any(_plain(one) == _plain(path) for one in used)

    def _move(self, file: Path, to: Path) -> None:
        try:
            os.replace(file, to)
            sync_folder(file.parent)
        except OSError as error:
            raise from_os_error(error, "move the LoRA") from error


def _worth_keeping(run: Training) -> dict[int, str]:
    """The steps of the checkpoints that stay, and why. Where no version was made of any, the proposed one does, or the newest."""
    why: dict[int, str] = {}
    steps = [one.step for one in run.checkpoints]
    if run.job.state is not JobState.done:
        why |= dict.fromkeys(steps[-_TO_GO_ON_FROM:], "The training goes on from it.")
    why |= {one.step: f"It is version {one.version} of the character's LoRA." for one in run.checkpoints if one.version is not None}
    if why or not steps:
        return why
    proposed = run.judgement.proposed if run.judgement else None
    if proposed is not None and proposed in steps:
        return {proposed: "It is the proposed one."}
    return {steps[-1]: "It is the newest."}


def _plain(path: str) -> str:
    return path.removesuffix(".safetensors")


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
