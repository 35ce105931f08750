"""What is said of datasets and their pictures, and what may be asked of them."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, NamedTuple

from pydantic import Field, StringConstraints

from studio.contracts import Asked, Contract, Name, Prompt, RefusedPhoto

MOST_PICTURES = 20_000
MOST_TAGS = 50
LEAST_SIDE = 16

Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80)]
Tag = Annotated[str, StringConstraints(strip_whitespace=True, to_lower=True, min_length=1, max_length=60)]
Ids = Annotated[tuple[Name, ...], Field(min_length=1, max_length=MOST_PICTURES)]


class ChangeKind(StrEnum):
    """What was done to a dataset."""

    added = "added"
    removed = "removed"
    moved = "moved"
    captioned = "captioned"
    tagged = "tagged"
    cropped = "cropped"
    renamed = "renamed"
    deleted = "deleted"


class CaptionState(StrEnum):
    """Whether a picture has a caption."""

    missing = "missing"
    present = "present"


class CaptionAct(StrEnum):
    """What is done to many captions."""

    write = "write"
    find_and_replace = "replace"
    prefix = "prefix"
    suffix = "suffix"
    trigger = "trigger"


class DatasetFields(Asked):
    """A dataset to make: empty, of the character's photos, of pictures of the library, or of both."""

    character: Name = Field(description="Whose it is: an id or a slug")
    name: Title = Field("Photos", description="How it is called")
    photos: bool = Field(False, description="Begin with the character's photos")
    pictures: tuple[Name, ...] = Field((), max_length=MOST_PICTURES, description="Begin with these pictures of the library")


class DatasetChange(Contract):
    """One change of a dataset that can be undone: what was done, and to how many pictures."""

    id: str
    kind: ChangeKind
    count: int
    created_at: datetime


class DatasetPicture(Contract):
    """A picture of a dataset. `path` is relative to the data root; `flags` are what the check found; `source` is where it came from."""

    id: str
    dataset_id: str
    sha256: str
    path: str
    name: str
    width: int
    height: int
    caption: str
    tags: tuple[str, ...]
    flags: tuple[str, ...]
    source: str | None
    created_at: datetime


class Dataset(Contract):
    """A dataset, how many pictures it has and how many of them have a caption. `undo` is the change that would be undone next."""

    id: str
    character_id: str
    name: str
    version: int
    pictures: int
    captioned: int
    covers: tuple[DatasetPicture, ...]
    undo: DatasetChange | None
    created_at: datetime
    updated_at: datetime


class DatasetPicturesAdded(Contract):
    """What became of the files or pictures that were to be added.

    `left_out` are paths of a folder or ZIP whose pictures are of others: kohya learns by them what a class looks like.
    """

    items: tuple[DatasetPicture, ...]
    refused: tuple[RefusedPhoto, ...]
    left_out: tuple[str, ...] = ()


class DatasetFacet(Contract):
    """A tag or a flag, what to call it, and how many pictures have it."""

    id: str
    name: str
    count: int


class DatasetFacets(Contract):
    """What the pictures of a dataset can be found by."""

    tags: tuple[DatasetFacet, ...]
    flags: tuple[DatasetFacet, ...]
    pictures: int
    captioned: int


class PicturesChange(Asked):
    """What is to change of many pictures. What is left out stays; `to` is another dataset to move them into."""

    caption: Prompt | None = None
    add_tags: tuple[Tag, ...] = Field((), max_length=MOST_TAGS)
    remove_tags: tuple[Tag, ...] = Field((), max_length=MOST_TAGS)
    to: Name | None = None


class CaptionEdit(Asked):
    r"""A change of many captions: of the pictures with these `ids`, or of all.

    `write` puts `text` in place of them, `replace` puts `text` where `find` stands (as a regular expression with `pattern`; `case` tells
    capitals apart, `words` finds whole words), `prefix` and `suffix` add `text`, `trigger` puts the character's trigger word first.
    """

    act: CaptionAct
    text: Prompt = ""
    find: Annotated[str, StringConstraints(max_length=1000)] = ""
    pattern: bool = False
    case: bool = False
    words: bool = False
    ids: tuple[Name, ...] | None = Field(None, max_length=MOST_PICTURES)


class Cut(Asked):
    """A crop: first quarter turns clockwise, then the box that is kept, in pixels of the turned picture. Without a box all of it."""

    turns: int = Field(0, ge=0, le=3)
    left: int = Field(0, ge=0)
    top: int = Field(0, ge=0)
    width: int | None = Field(None, ge=LEAST_SIDE)
    height: int | None = Field(None, ge=LEAST_SIDE)


class FrozenPicture(NamedTuple):
    """A picture as a training gets it; `path` is relative to the data root."""

    path: str
    caption: str
    sha256: str
