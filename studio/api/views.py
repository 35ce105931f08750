"""What the API sends and takes besides the contracts: pictures with their addresses, lists, counts, errors."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Path, Query
from pydantic import Field

from studio.characters import Counts, Template
from studio.contracts import Character, Contract, Job, LoraSpec, ModelSpec, Name, Picture, PresetChoice, Problem, RefusedPhoto
from studio.workshop import WorkflowView

PREFIX = "/api/v1"

Id = Annotated[str, Path(description="The id, as the list routes give it", min_length=1, max_length=100, pattern=r"^[\w.-]+$")]
# A null character is nothing that a database can look for.
SEARCHABLE = r"^[^\x00]*$"
Limit = Annotated[int, Query(description="The most items to answer", ge=1, le=500)]
Cursor = Annotated[str | None, Query(description="`next` of the answer before: continues after its last item", max_length=400)]


class PictureView(Picture):
    """A picture and where to get it."""

    url: str = Field(description="The picture itself")
    thumbnail_url: str = Field(description="A small WebP of it")


class InlinePicture(PictureView):
    """A picture and, if `inline=base64` asked for it, its PNG."""

    data: str | None = Field(None, description="The PNG in base64")


class Received(PictureView):
    """An uploaded picture; `items` holds all of them when several came in one request."""

    ok: bool = True
    items: tuple[PictureView, ...]


class Finished(Contract):
    """What a waiting `POST generate` answers: the job as it ended, and its pictures."""

    ok: bool = Field(description="true when the job is done; false when it failed or was cancelled")
    job: Job
    items: tuple[InlinePicture, ...]
    error: Problem | None = None


class Jobs(Contract):
    """A slice of the jobs, newest first; `next` continues it."""

    items: tuple[Job, ...]
    next: str | None = None


class Pictures(Contract):
    """A slice of the pictures, newest first; `next` continues it, `total` counts all that fit."""

    items: tuple[PictureView, ...]
    next: str | None = None
    total: int | None = None


class Artifacts(Contract):
    """The pictures of one job, in order."""

    items: tuple[PictureView, ...]


class Presets(Contract):
    """Presets, in the order of their files."""

    items: tuple[PresetChoice, ...]


class Models(Contract):
    """Models on this computer; the first is the default."""

    items: tuple[ModelSpec, ...]


class Loras(Contract):
    """LoRAs on this computer."""

    items: tuple[LoraSpec, ...]


class Workflows(Contract):
    """Workflows, those that run on the servers first."""

    items: tuple[WorkflowView, ...]


class LogLines(Contract):
    """What was logged while a job ran, oldest first."""

    items: tuple[dict[str, object], ...]


class Counted(Contract):
    """How many things an act changed."""

    ok: bool = True
    count: int


class Ready(Contract):
    """Whether a job that is sent now would start."""

    ok: bool


class Chosen(Contract):
    """Pictures, by id."""

    ids: tuple[Name, ...] = Field(min_length=1, max_length=10_000)


class CancelMany(Contract):
    """Which jobs to cancel: one batch, or all when nothing is named."""

    batch_id: Name | None = None


class MoveElsewhere(Contract):
    """Which model elsewhere is to make a picture; None takes the first that can."""

    model: Name | None = None


class Move(Contract):
    """Which end of the queue."""

    to: Literal["first", "last"]


class Refusal(Contract):
    """The shape of every error."""

    ok: bool = False
    error: Problem


class CharacterView(Character):
    """A character, its portrait's address, and how much there is of it."""

    portrait_url: str | None
    portrait_thumbnail_url: str | None
    photos: int
    pictures: int
    jobs: int


class CharacterViews(Contract):
    """Characters, by name."""

    items: tuple[CharacterView, ...]


class Templates(Contract):
    """Ready-made characters to start from."""

    items: tuple[Template, ...]


class Suggestion(Contract):
    """Names that nobody has yet."""

    slug: str
    trigger_word: str


class PhotosReceived(Contract):
    """What became of the photos that were sent."""

    ok: bool = True
    items: tuple[PictureView, ...]
    refused: tuple[RefusedPhoto, ...]


def character_view(character: Character, counts: Counts) -> CharacterView:
    """The character with its portrait's address and its numbers."""
    base = f"{PREFIX}/images/{character.portrait}" if character.portrait else None
    return CharacterView(
        **dict(character),
        portrait_url=base and f"{base}/file",
        portrait_thumbnail_url=base and f"{base}/thumbnail",
        photos=counts.photos,
        pictures=counts.pictures,
        jobs=counts.jobs,
    )


def view(picture: Picture) -> PictureView:
    """The picture with its addresses."""
    return PictureView(**_with_urls(picture))


def inline_view(picture: Picture, data: str | None) -> InlinePicture:
    """The picture with its addresses and, if given, its PNG in base64."""
    return InlinePicture(**_with_urls(picture), data=data)


def _with_urls(picture: Picture) -> dict[str, Any]:
    base = f"{PREFIX}/images/{picture.id}"
    return {**dict(picture), "url": f"{base}/file", "thumbnail_url": f"{base}/thumbnail"}
