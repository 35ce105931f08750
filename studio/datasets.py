"""Datasets: the pictures that a character is learned from, with their captions and tags, and the way back from every change.

A dataset's version grows with every change of its pictures. Its files lie under the names of their contents and may be shared with
other datasets; the pictures' own rows say everything else. What a change found before it is kept, so that the last ones can be undone.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

import sqlalchemy as sa
from PIL import Image

from studio import captions
from studio.characters import Characters, check_consent, slug_of
from studio.contracts import Character, Page, Picture, Problem, RefusedPhoto, new_id
from studio.cursors import decode_cursor, encode_cursor
from studio.dataset_contracts import (
    LEAST_SIDE,
    MOST_PICTURES,
    MOST_TAGS,
    CaptionAct,
    CaptionEdit,
    CaptionState,
    ChangeKind,
    Cut,
    Dataset,
    DatasetChange,
    DatasetFacet,
    DatasetFacets,
    DatasetFields,
    DatasetPicture,
    DatasetPicturesAdded,
    FrozenPicture,
    PicturesChange,
)
from studio.dataset_files import DatasetSource, Found, pack
from studio.dataset_rows import (
    Change,
    change_of,
    dataset_row,
    delete_pictures,
    every_row,
    grow,
    hashes,
    lock,
    parts,
    picture_of,
    picture_rows,
    put_back,
    read_datasets,
    remember,
)
from studio.dataset_shelf import SHA256, DatasetShelf, Kept
from studio.db import Database, dataset_changes, dataset_pictures, datasets, trainings
from studio.errors import Conflict, ImageInvalid, InvalidFieldValue, LikenessError, NotFound, SafetyFilter
from studio.gallery import Gallery
from studio.passport import Learned, LearnedSet
from studio.photos import plain_name, read_photo, written_like
from studio.preflight import WORDS
from studio.prompts import person_words
from studio.settings import Settings

_IN_HAND = 8
_LANES = min(4, os.cpu_count() or 1)
# Above this many texts at once what is added is read, and the captions themselves when they are trained.
_MOST_READ = 1000

_TURNS = (None, Image.Transpose.ROTATE_270, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_90)


class Datasets:
    """The datasets of one database, with their files under the data root."""

    def __init__(self, database: Database, settings: Settings, gallery: Gallery, people: Characters) -> None:
        self.database = database
        self.settings = settings
        self.files = DatasetShelf(settings.data)
        self._gallery = gallery
        self._characters = people

    # Finding

    def datasets(self, character: str | None = None) -> tuple[Dataset, ...]:
        """Datasets of one character (its id or slug), or of all; the newest first. Raises NotFound."""
        wanted = sa.select(datasets).order_by(datasets.c.created_at.desc(), datasets.c.id.desc())
        if character is not None:
            wanted = wanted.where(datasets.c.character_id == self._characters.character(character).id)
        with self.database.read() as connection:
            return read_datasets(connection, connection.execute(wanted).mappings().all())

    def dataset(self, dataset_id: str) -> Dataset:
        """One dataset. Raises NotFound."""
        with self.database.read() as connection:
            return read_datasets(connection, [dataset_row(connection, dataset_id)])[0]

    def for_character(self, character: str) -> Dataset:
        """A character's newest dataset, or one made of its photos. Raises NotFound, ConsentMissing."""
        found = self.datasets(character)
        return found[0] if found else self.create(DatasetFields.model_validate({"character": character, "photos": True}))[0]

    def pictures(
        self,
        dataset_id: str | None = None,
        *,
        character: str | None = None,
        tag: str | None = None,
        flag: str | None = None,
        caption: CaptionState | None = None,
        search: str = "",
        limit: int = 100,
        cursor: str | None = None,
        offset: int = 0,
    ) -> Page[DatasetPicture]:
        """Pictures of one dataset, or of all (of one character's), in the order in which they came. `total` counts all that fit.

        Every word of `search` is in the caption, the name or a tag. Raises NotFound.
        """
        fits = self._among(dataset_id, character)
        for column, wanted in ((dataset_pictures.c.tags, tag and tag.lower()), (dataset_pictures.c.flags, flag)):
            if wanted:
                fits.append(column.contains(_quoted(wanted), autoescape=True))
        if caption is not None:
            fits.append(dataset_pictures.c.caption == "" if caption is CaptionState.missing else dataset_pictures.c.caption != "")
        for word in search.split():
            columns = (dataset_pictures.c.caption, dataset_pictures.c.name, dataset_pictures.c.tags)
            fits.append(sa.or_(*(column.icontains(word, autoescape=True) for column in columns)))
        order = (dataset_pictures.c.created_at, dataset_pictures.c.id)
        window = sa.select(dataset_pictures.c.id).where(*fits).order_by(*order).limit(limit + 1).offset(offset)
        if cursor is not None:
            created_at, last_id = decode_cursor(cursor, float, str)
            window = window.where(sa.tuple_(*order) > sa.tuple_(sa.literal(created_at), sa.literal(last_id)))
        shown = window.subquery()
        page = sa.select(dataset_pictures).where(dataset_pictures.c.id.in_(sa.select(shown.c.id))).order_by(*order)
        with self.database.read() as connection:
            if dataset_id is not None:
                dataset_row(connection, dataset_id)
            rows = connection.execute(page).mappings().all()
            total = connection.execute(sa.select(sa.func.count()).select_from(dataset_pictures).where(*fits)).scalar_one()
        more = encode_cursor(rows[limit - 1]["created_at"], rows[limit - 1]["id"]) if len(rows) > limit else None
        return Page[DatasetPicture](items=tuple(picture_of(row) for row in rows[:limit]), next=more, total=total)

    def every_picture(self, dataset_id: str) -> tuple[DatasetPicture, ...]:
        """All pictures of a dataset in the order in which they came. Raises NotFound."""
        with self.database.read() as connection:
            dataset_row(connection, dataset_id)
            return tuple(picture_of(row) for row in every_row(connection, dataset_id))

    def owner(self, dataset_id: str) -> Character:
        """Whose dataset it is. Raises NotFound."""
        with self.database.read() as connection:
            row = dataset_row(connection, dataset_id)
        return self._characters.character(row["character_id"])

    def picture(self, dataset_id: str, picture_id: str) -> DatasetPicture:
        """One picture of a dataset. Raises NotFound."""
        with self.database.read() as connection:
            found = picture_rows(connection, dataset_id, [picture_id])
        if not found:
            raise _no_picture(picture_id)
        return picture_of(found[0])

    def facets(self, dataset_id: str | None = None, *, character: str | None = None) -> DatasetFacets:
        """The tags and flags of a dataset's pictures, or of all (of one character's), the most frequent first. Raises NotFound."""
        by = (dataset_pictures.c.tags, dataset_pictures.c.flags, dataset_pictures.c.caption != "")
        counted = sa.select(*by, sa.func.count()).where(*self._among(dataset_id, character)).group_by(*by)
        tags, flags = Counter[str](), Counter[str]()
        pictures = captioned = 0
        with self.database.read() as connection:
            if dataset_id is not None:
                dataset_row(connection, dataset_id)
            for tags_there, flags_there, has_caption, count in connection.execute(counted):
                pictures += count
                captioned += count if has_caption else 0
                for counter, text in ((tags, tags_there), (flags, flags_there)):
                    counter.update(dict.fromkeys(json.loads(text), count))
        named = {code: WORDS[code][0] for code in flags if code in WORDS}
        return DatasetFacets(tags=_facets(tags, {}), flags=_facets(flags, named), pictures=pictures, captioned=captioned)

    def file(self, dataset_id: str, picture_id: str) -> Path:
        """Where a picture lies. Raises NotFound."""
        return self.files.file(self.picture(dataset_id, picture_id).path)

    def thumbnail(self, dataset_id: str, picture_id: str) -> Path:
        """Where a picture's WebP thumbnail lies. Raises NotFound, ImageInvalid."""
        return self.files.thumbnail(self.picture(dataset_id, picture_id).path)

    def frozen(self, dataset_id: str) -> tuple[FrozenPicture, ...]:
        """What a training gets to see, in the order in which it came; a picture without a caption has the trigger word and a plain one.

        Raises NotFound for a dataset, or a file that is gone, SafetyFilter for a caption that crosses a line, ConsentMissing.
        """
        with self.database.read() as connection:
            row = dataset_row(connection, dataset_id)
            rows = every_row(connection, dataset_id)
        character = self._agreed(row["character_id"])
        plain = plain_caption(character)
        found = tuple(FrozenPicture(one["path"], one["caption"] or plain, one["sha256"]) for one in rows)
        _check_words({one.caption for one in found})
        for one in found:
            self.files.file(one.path)
        return found

    def sizes(self, dataset_id: str) -> list[int]:
        """How many bytes each picture of a dataset has; one whose file is gone is left out. Raises NotFound."""
        with self.database.read() as connection:
            dataset_row(connection, dataset_id)
            paths = [self.settings.data / one["path"] for one in every_row(connection, dataset_id)]
        found: list[int] = []
        for path in paths:
            with contextlib.suppress(OSError):
                found.append(path.stat().st_size)
        return found

    def export(self, dataset_id: str, *, repeats: int = 0) -> tuple[str, Iterator[bytes]]:
        """A dataset as a ZIP with a caption file beside each picture: its name, and its bytes piece by piece.

        With `repeats` the pictures lie in a folder as kohya names them. Raises NotFound.
        """
        with self.database.read() as connection:
            row = dataset_row(connection, dataset_id)
            rows = every_row(connection, dataset_id)
        character = self._characters.character(row["character_id"])
        listed = [(one["name"], self.settings.data / one["path"], one["caption"]) for one in rows]
        class_word = person_words(character.appearance.model_copy(update={"age": None})) or "person"
        name = f"{character.slug}-{slug_of(row['name'])}.zip"
        return name, pack(listed, trigger=character.trigger_word, class_word=class_word, repeats=repeats)

    # Making

    def create(self, fields: DatasetFields) -> tuple[Dataset, tuple[RefusedPhoto, ...]]:
        """A new dataset, and those of the chosen pictures that could not be added, each with its reason.

        Raises NotFound, and ConsentMissing for pictures of a real person who did not agree; nothing is made then.
        """
        character = self._characters.character(fields.character)
        photos = self._gallery.photos(character.id) if fields.photos else ()
        chosen = [*(photo.id for photo in photos), *fields.pictures]
        if chosen:
            self._agreed(character.id)
        dataset_id, now = new_id(), time.time()
        values = {"id": dataset_id, "character_id": character.id, "name": fields.name, "version": 1, "created_at": now, "updated_at": now}
        with self.database.begin() as connection:
            connection.execute(sa.insert(datasets).values(values))
        refused = self.add_pictures(dataset_id, chosen).refused if chosen else ()
        return self.dataset(dataset_id), refused

    def restore(self, character: Character, kept: LearnedSet, *, called: str) -> Dataset:
        """A dataset as it was exported with its character, whose trigger word was `called`; it may have another now.

        What can't be read any more is left out, and so is a caption that crosses a line. Raises ConsentMissing, DiskFull …
        """
        self._agreed(character.id)
        name = kept.name.strip()[:80] or "Photos"
        was = re.compile(rf"(?<!\w){re.escape(called)}(?!\w)", re.IGNORECASE) if called != character.trigger_word and called else None

        def take(one: Learned) -> _New | RefusedPhoto:
            caption = was.sub(lambda _: character.trigger_word, one.caption) if was else one.caption
            tags = tuple(dict.fromkeys(tag for each in one.tags if (tag := each.strip().lower()[:60])))[:MOST_TAGS]
            data = one.content if isinstance(one.content, bytes) else one.content.read_bytes()
            found = self._taken(plain_name(one.name), data, "" if _crossing(caption) else caption)
            return replace(found, tags=tags) if isinstance(found, _New) else found

        found = _side_by_side(take, kept.pictures)
        made, _ = self.create(DatasetFields.model_validate({"character": character.id, "name": name}))
        self._add(made.id, [one for one in found if isinstance(one, _New)], [], {})
        return self.dataset(made.id)

    def rename(self, dataset_id: str, name: str) -> Dataset:
        """Another name. Raises NotFound."""
        with self._changing(dataset_id, ChangeKind.renamed) as change:
            if change.row["name"] != name:
                change.remember_dataset()
                change.connection.execute(sa.update(datasets).where(datasets.c.id == dataset_id).values(name=name))
        return self.dataset(dataset_id)

    def delete(self, dataset_id: str) -> Dataset:
        """Take a dataset away; `undo` brings it back. Its files stay until the trash is emptied. Raises NotFound."""
        before = self.dataset(dataset_id)
        with self._changing(dataset_id, ChangeKind.deleted) as change:
            change.remember_dataset()
            change.count = before.pictures
            every = sa.select(dataset_pictures).where(dataset_pictures.c.dataset_id == dataset_id)
            change.rows = [dict(row) for row in change.connection.execute(every).mappings()]
            change.connection.execute(sa.delete(dataset_pictures).where(dataset_pictures.c.dataset_id == dataset_id))
            change.connection.execute(sa.delete(datasets).where(datasets.c.id == dataset_id))
        return before

    # Adding

    def add_files(self, dataset_id: str, files: Sequence[tuple[str, bytes]]) -> DatasetPicturesAdded:
        """Take in pictures, and the captions in text files beside them: each bad file is named with its reason, the good ones are kept.

        A text file that stands beside no picture of these becomes the caption of the picture in the dataset that has its name.
        Raises NotFound, ConsentMissing, DiskFull or DataRootReadOnly; nothing is added then.
        """
        self._agreed(self.dataset(dataset_id).character_id)
        refused: list[RefusedPhoto] = []
        texts = _texts([file for file in files if _is_text(file[0])], refused)
        pictures = [file for file in files if not _is_text(file[0])]

        found = _side_by_side(lambda file: self._taken(plain_name(file[0]), file[1], _beside(file[0], texts) or ""), pictures)
        new = [one for one in found if isinstance(one, _New)]
        refused += [one for one in found if isinstance(one, RefusedPhoto)]
        return self._add(dataset_id, new, refused, texts)

    def take_in(self, dataset_id: str, source: DatasetSource) -> DatasetPicturesAdded:
        """Take in a folder or a ZIP of pictures with their captions, as kohya and AI-Toolkit keep them. It is one change.

        Raises as `add_files` does.
        """
        character = self._agreed(self.dataset(dataset_id).character_id)
        refused: list[RefusedPhoto] = []
        new: list[_New] = []
        most = self.settings.max_upload_mb * 2**20

        def take(found: Found) -> _New | RefusedPhoto:
            if found.data is None:
                return _refused(found.name, found.problem or ImageInvalid())
            return self._taken(found.name, found.data, _said(found.caption, character))

        pictures = source.pictures(most)
        # A few at a time: a ZIP may be far larger than the memory.
        while some := list(islice(pictures, _IN_HAND)):
            for found, one in zip(some, _side_by_side(take, some), strict=True):
                refused += [one] if isinstance(one, RefusedPhoto) else []
                if isinstance(one, _New):
                    problem = found.problem or _crossing(one.caption)
                    refused += [_refused(found.name, problem)] if problem else []
                    new.append(replace(one, caption="") if problem else one)
        return self._add(dataset_id, new, refused, {}).model_copy(update={"left_out": source.arrangement.left_out})

    def add_pictures(self, dataset_id: str, picture_ids: Sequence[str]) -> DatasetPicturesAdded:
        """Add pictures of the library, with their captions: what can't be used is named with its reason. Raises as `add_files` does."""
        character = self._agreed(self.dataset(dataset_id).character_id)
        plain = plain_caption(character)
        refused: list[RefusedPhoto] = []
        chosen = list(self._gallery.chosen(picture_ids))
        there = {picture.id for picture in chosen}
        refused += [_refused(each, NotFound("There is no such picture.")) for each in dict.fromkeys(picture_ids) if each not in there]

        def take(picture: Picture) -> _New | RefusedPhoto:
            caption = captions.with_trigger(picture.caption, character.trigger_word) if picture.caption else plain
            try:
                data = self._gallery.file(picture.id).read_bytes()
            except NotFound as error:
                return _refused(picture.name or picture.id, error)
            return self._taken(picture.name or picture.id, data, caption, source=picture.id)

        found = _side_by_side(take, chosen)
        new = [one for one in found if isinstance(one, _New)]
        refused += [one for one in found if isinstance(one, RefusedPhoto)]
        return self._add(dataset_id, new, refused, {})

    def _taken(self, shown: str, data: bytes, caption: str, source: str | None = None) -> _New | RefusedPhoto:
        try:
            kept = self.files.keep(read_photo(data, self.settings.max_upload_megapixels))
        except LikenessError as error:
            if not _of_this_file(error):
                raise
            return _refused(shown, error)
        return _New(kept, shown, caption, source)

    def _add(self, dataset_id: str, new: Sequence[_New], refused: list[RefusedPhoto], texts: Mapping[str, _Text]) -> DatasetPicturesAdded:
        now = time.time()
        rows: list[dict[str, Any]] = []
        with self._changing(dataset_id, ChangeKind.added) as change:
            known = set(change.connection.execute(hashes(dataset_id)).scalars())
            room = MOST_PICTURES - len(known)
            for at, one in enumerate(new):
                if one.kept.sha256 in known:
                    refused.append(
                        _refused(one.name, Conflict("This picture is in the dataset already.", remedy="Nothing needs to be done."))
                    )
                elif len(rows) >= room:
                    refused.append(_refused(one.name, _full()))
                else:
                    known.add(one.kept.sha256)
                    # A millionth of a second keeps them in the order in which they came.
                    rows.append(_new_row(dataset_id, one, now + at * 1e-6))
            if rows:
                change.connection.execute(sa.insert(dataset_pictures), rows)
                change.added = [row["id"] for row in rows]
            self._caption_by_name(change, texts, refused)
            change.count = len(rows) + len(change.rows)
            if not rows and change.rows:
                change.kind = ChangeKind.captioned
        return DatasetPicturesAdded(items=tuple(picture_of(row) for row in rows), refused=tuple(refused))

    def _caption_by_name(self, change: Change, texts: Mapping[str, _Text], refused: list[RefusedPhoto]) -> None:
        left = {key: text for key, text in texts.items() if not text.used}
        if not left:
            return
        there = sa.select(dataset_pictures).where(dataset_pictures.c.dataset_id == change.dataset_id)
        by_name: dict[str, sa.RowMapping] = {}
        for row in change.connection.execute(there).mappings():
            if row["id"] not in change.added:
                by_name.setdefault(PurePosixPath(row["name"]).stem.casefold(), row)
        said: dict[str, str] = {}
        for key, text in left.items():
            row = by_name.get(PurePosixPath(PurePosixPath(key).name).stem)
            if row is None:
                refused.append(
                    _refused(text.name, NotFound("No picture has this file's name.", remedy="Add the picture together with it."))
                )
            else:
                said[row["id"]] = text.caption
        change.set_captions(said)

    # Changing

    def change_pictures(self, dataset_id: str, picture_ids: Sequence[str], wanted: PicturesChange) -> int:
        """Change the caption and tags of pictures, or move them to another dataset; gives how many were changed.

        A picture that the other dataset has already is only taken out of this one. Raises NotFound, InvalidFieldValue, SafetyFilter,
        ConsentMissing where the other dataset is that of another character.
        """
        changed = 0
        if wanted.caption is not None:
            changed = max(changed, self._write_captions(dataset_id, dict.fromkeys(picture_ids, wanted.caption)))
        if wanted.add_tags or wanted.remove_tags:
            changed = max(changed, self._tag(dataset_id, picture_ids, wanted))
        if wanted.to is not None:
            changed = max(changed, self._move(dataset_id, picture_ids, wanted.to))
        return changed

    def preview_captions(self, dataset_id: str, edit: CaptionEdit) -> captions.CaptionPreview:
        """What a change of many captions would do. Raises NotFound, InvalidFieldValue, MissingRequiredField."""
        return self._preview(edit, *self._captions(dataset_id, edit.ids))

    def edit_captions(self, dataset_id: str, edit: CaptionEdit) -> captions.CaptionPreview:
        """Change many captions, and say what became of each. Raises as `preview_captions` does, and SafetyFilter."""
        preview = self.preview_captions(dataset_id, edit)
        self._write_captions(dataset_id, {one.id: one.after for one in preview.changes}, (edit.text,))
        return preview

    def write_caption(
        self,
        dataset_id: str,
        picture_id: str,
        caption: str,
        *,
        was: str,
        change_id: str | None,
        also: Callable[[sa.Connection, str | None], None],
    ) -> bool:
        """Write one of many captions that come one by one, where it is still what it `was`; False where it isn't, or the picture is gone.

        They are one change as long as nobody else changes the dataset meanwhile: `change_id` is that of those before, and `also` gets that
        of this one, in the same transaction. Raises NotFound.
        """
        with self.database.begin() as connection:
            lock(connection, dataset_id)
            change = Change(connection, dataset_id, ChangeKind.captioned, dataset_row(connection, dataset_id))
            there = picture_rows(connection, dataset_id, [picture_id])
            if not there or there[0]["caption"] != was:
                return False
            change.set_captions({picture_id: caption})
            if not change.nothing:
                change_id = remember(change, change_id)
                grow(connection, dataset_id)
            also(connection, change_id)
        return True

    def swap_captions(self, dataset_id: str, said: Mapping[str, tuple[str, str]]) -> int:
        """Where a picture's caption is the first of a pair, write the second; gives how many that were. Raises NotFound."""
        with self._changing(dataset_id, ChangeKind.captioned) as change:
            there = picture_rows(change.connection, dataset_id, list(said))
            change.set_captions({row["id"]: said[row["id"]][1] for row in there if row["caption"] == said[row["id"]][0]})
            change.count = len(change.rows)
        return change.count

    def remove(self, dataset_id: str, picture_ids: Sequence[str]) -> int:
        """Take pictures out of a dataset; gives how many there were. Raises NotFound."""
        with self._changing(dataset_id, ChangeKind.removed) as change:
            change.rows = [dict(row) for row in picture_rows(change.connection, dataset_id, picture_ids)]
            change.count = len(change.rows)
            delete_pictures(change.connection, dataset_id, [row["id"] for row in change.rows])
        return change.count

    def cut(self, dataset_id: str, picture_id: str, cut: Cut) -> DatasetPicture:
        """Turn and crop a picture: a new file takes its place, the old one stays for undo.

        Raises NotFound, InvalidFieldValue for a box beyond the picture, Conflict where the dataset has the result already.
        """
        self.picture(dataset_id, picture_id)
        self.cut_many(dataset_id, {picture_id: cut})
        return self.picture(dataset_id, picture_id)

    def cut_many(self, dataset_id: str, cuts: Mapping[str, Cut]) -> int:
        """Turn and crop pictures, as one change; those that are not there are left out. Raises as `cut` does."""
        with self.database.read() as connection:
            before = [picture_of(row) for row in picture_rows(connection, dataset_id, list(cuts))]

        def write(one: DatasetPicture) -> Kept:
            return self.files.keep(written_like(_cut(self.files.pixels(one.path), cuts[one.id]), Path(one.path).suffix))

        with ThreadPoolExecutor(_LANES) as pool:
            new = dict(zip((one.id for one in before), pool.map(write, before), strict=True))
        with self._changing(dataset_id, ChangeKind.cropped) as change:
            taken = set(change.connection.execute(hashes(dataset_id)).scalars())
            for row in picture_rows(change.connection, dataset_id, list(new)):
                kept = new[row["id"]]
                if kept.sha256 == row["sha256"]:
                    continue
                if kept.sha256 in taken:
                    raise Conflict("This dataset has that very picture already.", remedy="Crop it in another way, or remove one of them.")
                taken.add(kept.sha256)
                values = {"sha256": kept.sha256, "path": kept.path, "width": kept.width, "height": kept.height, "flags": "[]"}
                change.rows.append({"id": row["id"], **{name: row[name] for name in values}})
                change.connection.execute(sa.update(dataset_pictures).where(dataset_pictures.c.id == row["id"]).values(values))
            change.count = len(change.rows)
        return change.count

    def set_flags(self, dataset_id: str, flags: Mapping[str, Sequence[str]]) -> None:
        """Keep what the check found of pictures, by their ids; it is no change that could be undone."""
        values = [{"picture": picture_id, "told": _list(found)} for picture_id, found in flags.items()]
        if not values:
            return
        mine = (dataset_pictures.c.dataset_id == dataset_id, dataset_pictures.c.id == sa.bindparam("picture"))
        with self.database.begin() as connection:
            connection.execute(sa.update(dataset_pictures).where(*mine).values(flags=sa.bindparam("told")), values)

    # Undoing

    def changes(self, dataset_id: str) -> tuple[DatasetChange, ...]:
        """What can be undone, the newest first."""
        told = (dataset_changes.c.id, dataset_changes.c.what, dataset_changes.c.created_at)
        wanted = sa.select(*told).where(dataset_changes.c.dataset_id == dataset_id).order_by(dataset_changes.c.id.desc())
        with self.database.read() as connection:
            return tuple(change_of(row) for row in connection.execute(wanted).mappings())

    def undo(self, dataset_id: str, change_id: str | None = None, *, with_newer: bool = False) -> DatasetChange:
        """Take the last change back; with an id that one, which must be the last, or goes `with_newer` ones: the dataset is as before it.

        Raises NotFound, and Conflict where there is no such change, or a newer one.
        """
        known = sa.select(dataset_changes).where(dataset_changes.c.dataset_id == dataset_id).order_by(dataset_changes.c.id.desc())
        with self.database.begin() as connection:
            lock(connection, dataset_id)
            rows = connection.execute(known if with_newer else known.limit(1)).mappings().all()
            if not rows:
                dataset_row(connection, dataset_id)
                raise Conflict("There is nothing to undo.", remedy="Every change since the dataset was made has been undone.")
            at = next((at for at, row in enumerate(rows) if change_id in {None, row["id"]}), None)
            if at is None and with_newer:
                raise Conflict("That can't be taken back any more.", remedy="Choose a change that `changes` lists.")
            if at is None:
                raise Conflict("Something else was changed since.", remedy="Undo that first: undo goes back one change at a time.")
            for row in rows[: at + 1]:
                put_back(connection, dataset_id, change_of(row).kind, json.loads(row["before"]))
                connection.execute(sa.delete(dataset_changes).where(dataset_changes.c.id == row["id"]))
            grow(connection, dataset_id)
        return change_of(rows[at])

    def empty_trash(self) -> int:
        """Forget deleted datasets for good, and delete the files that no dataset, no change and no training names any more."""
        alive = sa.select(datasets.c.id)
        with self.database.begin() as connection:
            connection.execute(sa.delete(dataset_changes).where(dataset_changes.c.dataset_id.not_in(alive)))
        with self.database.read() as connection:
            named = set(connection.execute(sa.select(dataset_pictures.c.sha256).distinct()).scalars())
            for told in (sa.select(dataset_changes.c.before), sa.select(trainings.c.pictures)):
                for text in connection.execute(told).scalars():
                    named.update(SHA256.findall(text))
        return self.files.sweep(named)

    # Inside

    def _among(self, dataset_id: str | None, character: str | None) -> list[sa.ColumnElement[bool]]:
        fits: list[sa.ColumnElement[bool]] = []
        if character is not None:
            mine = sa.select(datasets.c.id).where(datasets.c.character_id == self._characters.character(character).id)
            fits.append(dataset_pictures.c.dataset_id.in_(mine))
        if dataset_id is not None:
            fits.append(dataset_pictures.c.dataset_id == dataset_id)
        return fits

    def _agreed(self, character_id: str) -> Character:
        character = self._characters.character(character_id)
        if character.kind.real:
            check_consent(character.consent, character.name)
        return character

    def _captions(self, dataset_id: str, ids: Sequence[str] | None) -> tuple[Character, dict[str, str]]:
        with self.database.read() as connection:
            row = dataset_row(connection, dataset_id)
            columns = (dataset_pictures.c.id, dataset_pictures.c.caption)
            order = (dataset_pictures.c.created_at, dataset_pictures.c.id)
            wanted = sa.select(*columns).where(dataset_pictures.c.dataset_id == dataset_id).order_by(*order)
            found = {one.id: one.caption for one in connection.execute(wanted)}
        if ids is not None:
            chosen = set(ids)
            found = {key: text for key, text in found.items() if key in chosen}
        return self._characters.character(row["character_id"]), found

    def _preview(self, edit: CaptionEdit, character: Character, found: Mapping[str, str]) -> captions.CaptionPreview:
        if edit.act is CaptionAct.find_and_replace:
            return captions.find_and_replace(found, edit.find, edit.text, pattern=edit.pattern, case=edit.case, words=edit.words)
        if edit.act is CaptionAct.prefix:
            return captions.add_prefix(found, edit.text)
        if edit.act is CaptionAct.suffix:
            return captions.add_suffix(found, edit.text)
        if edit.act is CaptionAct.trigger:
            return captions.add_trigger(found, character.trigger_word)
        changes = (captions.CaptionChange(id=key, before=text, after=edit.text) for key, text in found.items() if text != edit.text)
        return captions.CaptionPreview(changes=tuple(changes))

    def _write_captions(self, dataset_id: str, said: Mapping[str, str], added: Sequence[str] = ()) -> int:
        texts = set(said.values())
        _check_words({*added, *(texts if len(texts) <= _MOST_READ else ())} - {""})
        with self._changing(dataset_id, ChangeKind.captioned) as change:
            change.set_captions(said)
            change.count = len(change.rows)
        return change.count

    def _tag(self, dataset_id: str, picture_ids: Sequence[str], wanted: PicturesChange) -> int:
        with self._changing(dataset_id, ChangeKind.tagged) as change:
            values: list[dict[str, str]] = []
            for row in picture_rows(change.connection, dataset_id, picture_ids):
                before = json.loads(row["tags"])
                after = list(dict.fromkeys([*(tag for tag in before if tag not in wanted.remove_tags), *wanted.add_tags]))
                if len(after) > MOST_TAGS:
                    raise InvalidFieldValue(
                        f"A picture can have {MOST_TAGS} tags at most.", field="add_tags", remedy="Take some away first."
                    )
                if after != before:
                    change.rows.append({"id": row["id"], "tags": row["tags"]})
                    values.append({"picture": row["id"], "told": _list(after)})
            if values:
                mine = sa.update(dataset_pictures).where(dataset_pictures.c.id == sa.bindparam("picture"))
                change.connection.execute(mine.values(tags=sa.bindparam("told")), values)
            change.count = len(values)
        return change.count

    def _move(self, dataset_id: str, picture_ids: Sequence[str], to: str) -> int:
        if to == dataset_id:
            raise InvalidFieldValue("The pictures are in that dataset already.", field="to", remedy="Choose another dataset.")
        self._agreed(self.dataset(to).character_id)
        with self._changing(dataset_id, ChangeKind.moved) as change:
            lock(change.connection, to)
            dataset_row(change.connection, to)
            known = set(change.connection.execute(hashes(to)).scalars())
            change.to = to
            change.rows = [dict(row) for row in picture_rows(change.connection, dataset_id, picture_ids)]
            change.count = len(change.rows)
            going = [row["id"] for row in change.rows if row["sha256"] not in known]
            if len(known) + len(going) > MOST_PICTURES:
                raise _full()
            delete_pictures(change.connection, dataset_id, [row["id"] for row in change.rows if row["sha256"] in known])
            for some in parts(going):
                own = sa.update(dataset_pictures).where(dataset_pictures.c.id.in_(some))
                change.connection.execute(own.values(dataset_id=to))
            if going:
                grow(change.connection, to)
        return change.count

    @contextmanager
    def _changing(self, dataset_id: str, kind: ChangeKind) -> Iterator[Change]:
        """A change of a dataset, alone at that moment. Where it changed nothing, nothing is remembered and no version grows."""
        with self.database.begin() as connection:
            lock(connection, dataset_id)
            change = Change(connection, dataset_id, kind, dataset_row(connection, dataset_id))
            yield change
            if change.nothing:
                return
            remember(change)
            grow(connection, dataset_id)


def plain_caption(character: Character) -> str:
    """The trigger word and a plain sentence, for a picture that nobody described."""
    who = person_words(character.appearance.model_copy(update={"age": None})) or "person"
    article = "an" if who[:1].lower() in "aeiou" else "a"
    return f"{character.trigger_word}, a {'photo' if character.kind.real else 'picture'} of {article} {who}"


def _new_row(dataset_id: str, one: _New, created_at: float) -> dict[str, Any]:
    return {
        "id": new_id(),
        "dataset_id": dataset_id,
        "sha256": one.kept.sha256,
        "path": one.kept.path,
        "name": one.name,
        "width": one.kept.width,
        "height": one.kept.height,
        "caption": one.caption,
        "tags": _list(one.tags),
        "flags": "[]",
        "source": one.source,
        "created_at": created_at,
    }


def _facets(counts: Counter[str], names: Mapping[str, str]) -> tuple[DatasetFacet, ...]:
    return tuple(DatasetFacet(id=found, name=names.get(found, found), count=count) for found, count in counts.most_common())


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def _list(values: Sequence[str]) -> str:
    return json.dumps(list(values), ensure_ascii=False)


def _no_picture(picture_id: str) -> NotFound:
    return NotFound(f"There is no picture {picture_id!r} in this dataset.", remedy="GET /api/v1/datasets/{id}/images lists them.")


def _full() -> InvalidFieldValue:
    return InvalidFieldValue(f"A dataset can have {MOST_PICTURES:,} pictures at most.", remedy="Make another dataset for the others.")


# What comes in


@dataclass(frozen=True)
class _New:
    kept: Kept
    name: str
    caption: str
    source: str | None = None
    tags: tuple[str, ...] = ()


@dataclass
class _Text:
    name: str
    caption: str
    used: bool = False


def _is_text(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in captions.SUFFIXES


def _texts(files: Sequence[tuple[str, bytes]], refused: list[RefusedPhoto]) -> dict[str, _Text]:
    """The captions in text files by where they lie, in small letters; the bad ones are named in `refused`."""
    found: dict[str, _Text] = {}
    for name, data in files:
        try:
            caption = captions.read_caption(data, plain_name(name))
            _check_words({caption})
        except LikenessError as error:
            refused.append(_refused(plain_name(name), error))
        else:
            found[_where(name)] = _Text(plain_name(name), caption)
    return found


def _beside(name: str, texts: Mapping[str, _Text]) -> str | None:
    place = PurePosixPath(_where(name))
    for beside in captions.caption_files(place):
        text = texts.get(str(place.with_name(beside)))
        if text is not None:
            text.used = True
            return text.caption
    return None


def _where(name: str) -> str:
    return name.replace("\\", "/").casefold()


def _side_by_side(take: Callable[[Any], _New | RefusedPhoto], things: Sequence[Any]) -> list[_New | RefusedPhoto]:
    # Decoding lets go of the interpreter: two pictures at a time use both cores of a small machine.
    with ThreadPoolExecutor(_LANES) as pool:
        return list(pool.map(take, things))


def _of_this_file(error: LikenessError) -> bool:
    """Whether the others have nothing to fear: a full disk would be the same for all."""
    return error.status < 500


def _refused(name: str, error: LikenessError) -> RefusedPhoto:
    return RefusedPhoto(name=name, error=Problem(code=error.code, message=error.message, remedy=error.remedy, field=error.field))


def _check_words(texts: set[str]) -> None:
    # Its rules take a second to read, which the page must not wait for: `Studio.warm_up` has read them by the first click.
    from studio import safety

    for text in texts:
        try:
            safety.check([text])
        except SafetyFilter as error:
            raise SafetyFilter(error.message, field="caption", remedy=error.remedy) from error


def _crossing(caption: str) -> SafetyFilter | None:
    try:
        _check_words({caption} - {""})
    except SafetyFilter as error:
        return error
    return None


def _said(caption: str, character: Character) -> str:
    # AI-Toolkit writes the trigger word so and fills it in itself.
    return captions.with_trigger(caption, character.trigger_word) if "[trigger]" in caption.lower() else caption


def _cut(image: Image.Image, cut: Cut) -> Image.Image:
    way = _TURNS[cut.turns]
    turned = image if way is None else image.transpose(way)
    width, height = cut.width or turned.width - cut.left, cut.height or turned.height - cut.top
    if min(width, height) < LEAST_SIDE or cut.left + width > turned.width or cut.top + height > turned.height:
        raise InvalidFieldValue(
            f"The box is not inside of the picture, which is {turned.width} × {turned.height}.",
            field="width",
            remedy=f"Choose a part of it, {LEAST_SIDE} pixels wide and high at least.",
        )
    return turned.crop((cut.left, cut.top, cut.left + width, cut.top + height))
