"""The library of pictures: saving them so that nothing is lost or doubled, finding them, the trash."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TypedDict, Unpack

import sqlalchemy as sa
from PIL import Image, UnidentifiedImageError

from studio import metadata
from studio.contracts import Facet, Facets, Page, Picture, PictureChange, PictureKind, Recipe, new_id
from studio.cursors import decode_cursor, encode_cursor
from studio.db import Database, characters, marks, mentions, pictures
from studio.engine import Artifact
from studio.errors import ImageInvalid, InvalidFieldValue, NotFound, from_os_error
from studio.files import sync_folder, write_atomically
from studio.photos import Photo, plain_name

MARK = "pictures"
MOST_AT_ONCE = 500
DAY_S = 86_400


class Filters(TypedDict, total=False):
    """What pictures are looked for by; what is left out does not matter. `kind` is generated unless given, None for every kind.

    `character` is an id or a slug; `since` is included, `until` is not; every word of `search` is in the
    prompt, the caption or the character's name.
    """

    kind: PictureKind | None
    trashed: bool
    job_id: str | None
    character: str | None
    preset: str | None
    style: str | None
    model: str | None
    favourite: bool | None
    category: str | None
    since: datetime | None
    until: datetime | None
    search: str


class Gallery:
    """Pictures on disk under `data`, and what is known of them in the database."""

    def __init__(self, database: Database, data: Path) -> None:
        self.database = database
        self.data = data

    # Saving: file first, row second; the same picture again lands on itself.

    def save(self, artifact: Artifact, *, job_id: str, recipe: Recipe, model_name: str) -> Picture:
        """Write one finished picture and its thumbnail to disk; `record` puts it into the library.

        The path comes from the job's id and the index, so a run that starts over after a crash writes the same file again.
        Raises DiskFull or DataRootReadOnly and leaves no half file.
        """
        created = datetime.now(UTC)
        data = metadata.png_bytes(
            artifact.image,
            recipe,
            index=artifact.index,
            seed=artifact.seed,
            model_name=model_name,
            model_hash=artifact.model_hash,
            lora_hashes=artifact.lora_hashes,
            job_id=job_id,
            created_at=created,
            crop=artifact.crop,
            graph=artifact.graph,
        )
        picture = Picture(
            id=f"{job_id}-{artifact.index:02d}",
            kind=PictureKind.generated,
            job_id=job_id,
            index=artifact.index,
            path=f"pictures/{_month(job_id)}/{job_id}-{artifact.index:02d}.png",
            width=artifact.image.width,
            height=artifact.image.height,
            bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            seed=artifact.seed,
            recipe=recipe,
            model_hash=artifact.model_hash,
            lora_hashes=artifact.lora_hashes,
            duration_s=artifact.duration_s,
            created_at=created,
            trashed_at=None,
            character_id=recipe.character,
            real_person=recipe.real_person,
        )
        self._write(picture, data, artifact.image)
        return picture

    def record(self, saved: Sequence[Picture], connection: sa.Connection) -> None:
        """Put saved pictures into the library, in the caller's transaction. Recording one again changes nothing but its facts."""
        for picture in saved:
            values = _row(picture)
            known = connection.execute(sa.select(pictures.c.id).where(pictures.c.id == picture.id)).first()
            if known is None:
                connection.execute(sa.insert(pictures).values(values))
            else:
                kept = {key: value for key, value in values.items() if key not in ("id", "trashed_at", "favourite", "caption", "category")}
                connection.execute(sa.update(pictures).where(pictures.c.id == picture.id).values(kept))
        if saved:
            _mark(connection)

    def record_photos(self, saved: Sequence[Picture], character_id: str, connection: sa.Connection) -> tuple[Picture, ...]:
        """Put those photos into the library that a character doesn't have yet, in the caller's transaction, and give them.

        Whoever else adds photos to this character waits until the transaction ends.
        """
        connection.execute(sa.update(characters).where(characters.c.id == character_id).values(id=characters.c.id))
        there = set(connection.execute(_photo_hashes(character_id)).scalars())
        new = tuple(photo for photo in saved if photo.sha256 not in there)
        self.record(new, connection)
        return new

    def upload(self, data: bytes, name: str, *, max_megapixels: int, kind: PictureKind = PictureKind.upload, category: str = "") -> Picture:
        """Take in a picture from outside: checked, turned upright, stripped of EXIF and GPS, kept as PNG under its own name.

        Raises ImageInvalid or FileTooLarge and keeps nothing.
        """
        metadata.check_upload(data, max_megapixels)
        image = metadata.normalised_upload(data)
        png = metadata.upload_png(image)
        picture_id = new_id()
        picture = Picture(
            id=picture_id,
            kind=kind,
            job_id=None,
            index=0,
            path=f"uploads/{_month(picture_id)}/{picture_id}.png",
            width=image.width,
            height=image.height,
            bytes=len(png),
            sha256=hashlib.sha256(png).hexdigest(),
            seed=None,
            recipe=None,
            model_hash=None,
            duration_s=None,
            created_at=datetime.now(UTC),
            trashed_at=None,
            category=category,
            name=plain_name(name),
        )
        self._write(picture, png, image)
        with self.database.begin() as connection:
            self.record([picture], connection)
        return picture

    def keep_photo(
        self, photo: Photo, *, character_id: str, name: str, real_person: bool, caption: str = "", made: Picture | None = None
    ) -> Picture:
        """Write a character's photo and its thumbnail to disk; `record` puts it into the library. Raises DiskFull, DataRootReadOnly.

        `made` is the picture that it is a copy of, where it was made here: the photo has its recipe then, which marks it as generated.
        """
        picture_id = new_id()
        picture = Picture(
            id=picture_id,
            kind=PictureKind.photo,
            job_id=None,
            index=0,
            path=f"photos/{character_id}/{picture_id}{photo.suffix}",
            width=photo.image.width,
            height=photo.image.height,
            bytes=len(photo.data),
            sha256=hashlib.sha256(photo.data).hexdigest(),
            seed=made.seed if made else None,
            recipe=made.recipe if made else None,
            model_hash=made.model_hash if made else None,
            lora_hashes=made.lora_hashes if made else {},
            duration_s=None,
            created_at=datetime.now(UTC),
            trashed_at=None,
            character_id=character_id,
            caption=caption,
            name=name,
            real_person=real_person,
        )
        self._write(picture, photo.data, photo.image)
        return picture

    def forget(self, unrecorded: Sequence[Picture]) -> None:
        """Remove the files of pictures that were written and will not be recorded."""
        for picture in unrecorded:
            (self.data / picture.path).unlink(missing_ok=True)
            self._thumbnail_path(picture.id).unlink(missing_ok=True)

    def set_caption(self, picture_id: str, caption: str) -> None:
        """Write a picture's caption."""
        with self.database.begin() as connection:
            connection.execute(sa.update(pictures).where(pictures.c.id == picture_id).values(caption=caption))

    def write_caption(self, picture_id: str, caption: str, *, was: str, connection: sa.Connection) -> bool:
        """Write a caption in the caller's transaction, where it is still what it `was`; False where it isn't, or the picture is gone."""
        mine = (pictures.c.id == picture_id, pictures.c.caption == was, pictures.c.trashed_at == 0)
        written = connection.execute(sa.update(pictures).where(*mine).values(caption=caption)).rowcount
        _mark(connection)
        return bool(written)

    def real_people(self, ids: Sequence[str]) -> frozenset[str]:
        """Which of these pictures are known to show real people."""
        found: set[str] = set()
        with self.database.read() as connection:
            for start in range(0, len(ids), MOST_AT_ONCE):
                real = (pictures.c.id.in_(ids[start : start + MOST_AT_ONCE]), pictures.c.real_person.is_(True))
                found.update(connection.execute(sa.select(pictures.c.id).where(*real)).scalars())
        return frozenset(found)

    def photo_hashes(self, character_id: str) -> frozenset[str]:
        """The SHA-256 of every photo that a character has and has not thrown away."""
        with self.database.read() as connection:
            return frozenset(connection.execute(_photo_hashes(character_id)).scalars())

    def of_jobs(self, job_ids: Sequence[str]) -> Mapping[str, Picture]:
        """The first picture of each of these jobs that made one, whether in the trash or not."""
        wanted = sa.select(pictures).where(pictures.c.job_id.in_(job_ids), pictures.c.index == 0)
        with self.database.read() as connection:
            return {row["job_id"]: _picture(row) for row in connection.execute(wanted).mappings()}

    def photos(self, character_id: str) -> tuple[Picture, ...]:
        """A character's photos, oldest first."""
        wanted = (
            sa.select(pictures)
            .where(pictures.c.character_id == character_id, pictures.c.kind == PictureKind.photo.value, pictures.c.trashed_at == 0)
            .order_by(pictures.c.created_at, pictures.c.id)
        )
        with self.database.read() as connection:
            return tuple(_picture(row) for row in connection.execute(wanted).mappings())

    # Finding

    def picture(self, picture_id: str) -> Picture:
        """One picture. Raises NotFound."""
        with self.database.read() as connection:
            row = connection.execute(sa.select(pictures).where(pictures.c.id == picture_id)).mappings().first()
        if row is None:
            raise NotFound(f"There is no picture {picture_id!r}.")
        return _picture(row)

    def pictures(self, *, limit: int = 100, cursor: str | None = None, offset: int = 0, **filters: Unpack[Filters]) -> Page[Picture]:
        """Newest first. `cursor` continues after the last picture seen; `offset` jumps. `total` counts all that fit the filters."""
        fits = _fits(filters)
        newest = (pictures.c.created_at.desc(), pictures.c.id.desc())
        window = sa.select(pictures.c.id).where(*fits).order_by(*newest).limit(limit + 1).offset(offset)
        if cursor is not None:
            created_at, last_id = decode_cursor(cursor, float, str)
            window = window.where(sa.tuple_(pictures.c.created_at, pictures.c.id) < sa.tuple_(sa.literal(created_at), sa.literal(last_id)))
        # Where it can, the index alone finds the window; whole rows are read for the window only.
        shown_ids = window.subquery()
        page = sa.select(pictures).where(pictures.c.id.in_(sa.select(shown_ids.c.id))).order_by(*newest)
        with self.database.read() as connection:
            rows = connection.execute(page).mappings().all()
            total = connection.execute(sa.select(sa.func.count()).select_from(pictures).where(*fits)).scalar_one()
        shown = rows[:limit]
        more = encode_cursor(shown[-1]["created_at"], shown[-1]["id"]) if len(rows) > limit else None
        return Page[Picture](items=tuple(_picture(row) for row in shown), next=more, total=total)

    def facets(self, *, kind: PictureKind | None = PictureKind.generated, trashed: bool = False) -> Facets:
        """What occurs among these pictures, and how often: the most frequent first, months (UTC) newest first."""
        fits = _fits({"kind": kind, "trashed": trashed})
        day = day_of(pictures.c.created_at)
        # One walk through the table for all of them: there is no index that has them, and each by itself would take as long.
        by = (pictures.c.character_id, pictures.c.preset, pictures.c.style, pictures.c.category, day)
        groups = sa.select(*by, sa.func.count()).where(*fits).group_by(*by)
        with self.database.read() as connection:
            rows = connection.execute(groups).all()
            names = {row.id: row.name for row in connection.execute(sa.select(characters.c.id, characters.c.name))}
        whose, presets, styles, categories, months = (Counter[str]() for _ in range(5))
        for character_id, preset, style, category, days, count in rows:
            months[f"{date_of(days):%Y-%m}"] += count
            for counter, found in ((whose, character_id), (presets, preset), (styles, style), (categories, category)):
                if found:
                    counter[found] += count
        return Facets(
            characters=_facets(whose, names),
            presets=_facets(presets),
            styles=_facets(styles),
            categories=_facets(categories),
            months=tuple(Facet(id=month, name=month, count=months[month]) for month in sorted(months, reverse=True)),
        )

    def chosen(self, ids: Sequence[str]) -> Iterator[Picture]:
        """These pictures in this order, each once, read a few hundred at a time; those that are not there are left out."""
        wanted = list(dict.fromkeys(ids))
        for start in range(0, len(wanted), MOST_AT_ONCE):
            some = wanted[start : start + MOST_AT_ONCE]
            with self.database.read() as connection:
                rows = connection.execute(sa.select(pictures).where(pictures.c.id.in_(some))).mappings().all()
            found = {row["id"]: row for row in rows}
            yield from (_picture(found[picture_id]) for picture_id in some if picture_id in found)

    def of_job(self, job_id: str) -> tuple[Picture, ...]:
        """What one job made, in order, whether in the trash or not."""
        with self.database.read() as connection:
            rows = connection.execute(sa.select(pictures).where(pictures.c.job_id == job_id).order_by(pictures.c.index)).mappings().all()
        return tuple(_picture(row) for row in rows)

    def version(self) -> int:
        """A number that grows whenever the library changes."""
        with self.database.read() as connection:
            return connection.execute(sa.select(marks.c.value).where(marks.c.name == MARK)).scalar() or 0

    def file(self, picture_id: str) -> Path:
        """Where the picture lies. Raises NotFound."""
        path = self.data / self.picture(picture_id).path
        if not path.is_file():
            raise NotFound(f"The file of picture {picture_id!r} is gone.", remedy=f"Put {path.name} back into {path.parent}.")
        return path

    def pixels(self, picture_id: str, mode: str = "RGB") -> Image.Image:
        """The picture itself, in a Pillow mode. Raises NotFound or ImageInvalid."""
        try:
            with Image.open(self.file(picture_id)) as image:
                return image.convert(mode)
        except (OSError, UnidentifiedImageError) as error:
            raise ImageInvalid(f"The file of picture {picture_id!r} can't be read.") from error

    def thumbnail(self, picture_id: str) -> Path:
        """The WebP thumbnail, made now if it is missing. Raises NotFound."""
        path = self._thumbnail_path(picture_id)
        if path.is_file():
            return path
        source = self.file(picture_id)
        try:
            with Image.open(source) as image:
                made = metadata.thumbnail(image.convert("RGB"))
        except (OSError, UnidentifiedImageError) as error:
            raise ImageInvalid(f"The file of picture {picture_id!r} can't be read.") from error
        try:
            write_atomically(path, made)
        except OSError as error:
            raise from_os_error(error, "save the thumbnail") from error
        return path

    # Changing

    def change(self, ids: Sequence[str], change: PictureChange) -> int:
        """Change what people say about pictures; gives how many there were. What the change leaves open stays."""
        values = {name: value for name, value in change.model_dump().items() if value is not None}
        return self._set(ids, values) if values else 0

    # The trash

    def trash(self, ids: Sequence[str]) -> int:
        """Move pictures to the trash; gives how many were moved. Files stay where they are."""
        return self._set_trashed(ids, time.time(), pictures.c.trashed_at == 0)

    def restore(self, ids: Sequence[str]) -> int:
        """Take pictures out of the trash; gives how many came back."""
        return self._set_trashed(ids, 0, pictures.c.trashed_at > 0)

    def empty_trash(self) -> int:
        """Delete what is in the trash for good: rows first, so that no row ever points at a missing file."""
        with self.database.begin() as connection:
            gone = connection.execute(sa.select(pictures.c.id, pictures.c.path).where(pictures.c.trashed_at > 0)).all()
            connection.execute(sa.delete(pictures).where(pictures.c.trashed_at > 0))
            _mark(connection)
        for picture_id, path in gone:
            (self.data / path).unlink(missing_ok=True)
            self._thumbnail_path(picture_id).unlink(missing_ok=True)
        return len(gone)

    def _set_trashed(self, ids: Sequence[str], when: float, fits: sa.ColumnElement[bool]) -> int:
        return self._set(ids, {"trashed_at": when}, fits)

    def _set(self, ids: Sequence[str], values: dict[str, object], *fits: sa.ColumnElement[bool]) -> int:
        changed = 0
        with self.database.begin() as connection:
            for start in range(0, len(ids), MOST_AT_ONCE):
                chosen = pictures.c.id.in_(ids[start : start + MOST_AT_ONCE])
                changed += connection.execute(sa.update(pictures).where(chosen, *fits).values(values)).rowcount
            _mark(connection)
        return changed

    def _write(self, picture: Picture, data: bytes, image: Image.Image) -> None:
        try:
            write_atomically(self.data / picture.path, data)
            write_atomically(self._thumbnail_path(picture.id), metadata.thumbnail(image))
        except OSError as error:
            (self.data / picture.path).unlink(missing_ok=True)
            sync_folder((self.data / picture.path).parent)
            raise from_os_error(error, "save the picture") from error

    def _thumbnail_path(self, picture_id: str) -> Path:
        return self.data / "thumbnails" / _month(picture_id) / f"{picture_id}.webp"


def day_of(column: sa.Column[float], ahead_s: int = 0) -> sa.ColumnElement[int]:
    """The day of a time in SQL, counted from 1970-01-01, on a clock that is so many seconds ahead of UTC."""
    return (sa.cast(column, sa.BigInteger) + ahead_s) // DAY_S


def date_of(day: int) -> date:
    """The date of a day counted from 1970-01-01."""
    return date(1970, 1, 1) + timedelta(days=day)


def moment(text: str, *, field: str) -> datetime:
    """The time that a date or an ISO time names, in UTC where it says no other zone; a date alone means its beginning, or its end
    where the field is `until`. Raises InvalidFieldValue.
    """
    try:
        found = datetime.fromisoformat(text)
        aware = found if found.tzinfo else found.replace(tzinfo=UTC)
        return aware + timedelta(days=1) if field == "until" and len(text.strip()) <= len("2026-01-31") else aware
    except (ValueError, OverflowError) as error:
        remedy = "Write it like 2026-01-31 or 2026-01-31T18:00."
        raise InvalidFieldValue(f"“{text}” is neither a date nor a time.", field=field, remedy=remedy) from error


def _fits(filters: Filters) -> list[sa.ColumnElement[bool]]:
    kind = filters.get("kind", PictureKind.generated)
    fits = [pictures.c.trashed_at > 0 if filters.get("trashed") else pictures.c.trashed_at == 0]
    if kind is not None:
        fits.append(pictures.c.kind == kind.value)
    exactly = {
        pictures.c.job_id: filters.get("job_id"),
        pictures.c.preset: filters.get("preset"),
        pictures.c.style: filters.get("style"),
        pictures.c.model: filters.get("model"),
        pictures.c.category: filters.get("category"),
        pictures.c.favourite: filters.get("favourite"),
    }
    fits += [column == value for column, value in exactly.items() if value is not None]
    if (character := filters.get("character")) is not None:
        by_slug = sa.select(characters.c.id).where(characters.c.slug == character).scalar_subquery()
        fits.append(pictures.c.character_id == sa.func.coalesce(by_slug, character))
    if (since := filters.get("since")) is not None:
        fits.append(pictures.c.created_at >= since.timestamp())
    if (until := filters.get("until")) is not None:
        fits.append(pictures.c.created_at < until.timestamp())
    for word in filters.get("search", "").split():
        named = sa.select(characters.c.id).where(mentions(characters.c.name, word))
        fits.append(sa.or_(mentions(pictures.c.prompt, word), mentions(pictures.c.caption, word), pictures.c.character_id.in_(named)))
    return fits


def _facets(counts: Counter[str], names: dict[str, str] | None = None) -> tuple[Facet, ...]:
    return tuple(Facet(id=found, name=(names or {}).get(found, found), count=count) for found, count in counts.most_common())


def _month(made_id: str) -> str:
    # Ids begin with their creation time in milliseconds: the folder of a job's pictures never depends on when it ran.
    try:
        return datetime.fromtimestamp(int(made_id[:11], 16) / 1000, UTC).strftime("%Y-%m")
    except (ValueError, OverflowError, OSError) as error:
        raise NotFound(f"There is no picture {made_id!r}.") from error


def _mark(connection: sa.Connection) -> None:
    grown = connection.execute(sa.update(marks).where(marks.c.name == MARK).values(value=marks.c.value + 1))
    if grown.rowcount == 0:
        connection.execute(sa.insert(marks).values(name=MARK, value=1))


def _photo_hashes(character_id: str) -> sa.Select[str]:
    mine = (pictures.c.character_id == character_id, pictures.c.kind == PictureKind.photo.value, pictures.c.trashed_at == 0)
    return sa.select(pictures.c.sha256).where(*mine)


def _row(picture: Picture) -> dict[str, object]:
    recipe = picture.recipe
    return {
        "id": picture.id,
        "kind": picture.kind.value,
        "job_id": picture.job_id,
        "index": picture.index,
        "path": picture.path,
        "width": picture.width,
        "height": picture.height,
        "bytes": picture.bytes,
        "sha256": picture.sha256,
        "seed": picture.seed,
        "prompt": recipe.prompt if recipe else "",
        "preset": recipe.preset if recipe else None,
        "style": recipe.style if recipe else None,
        "engine": recipe.engine if recipe else None,
        "model": recipe.model if recipe else None,
        "model_hash": picture.model_hash,
        "lora_hashes": json.dumps(picture.lora_hashes),
        "recipe": recipe.model_dump_json() if recipe else None,
        "duration_s": picture.duration_s,
        "created_at": picture.created_at.timestamp(),
        "trashed_at": picture.trashed_at.timestamp() if picture.trashed_at else 0,
        "character_id": picture.character_id,
        "favourite": picture.favourite,
        "caption": picture.caption,
        "category": picture.category,
        "name": picture.name,
        "real_person": picture.real_person,
    }


def _picture(row: sa.RowMapping) -> Picture:
    return Picture(
        id=row["id"],
        kind=PictureKind(row["kind"]),
        job_id=row["job_id"],
        index=row["index"],
        path=row["path"],
        width=row["width"],
        height=row["height"],
        bytes=row["bytes"],
        sha256=row["sha256"],
        seed=row["seed"],
        recipe=Recipe.model_validate_json(row["recipe"]) if row["recipe"] else None,
        model_hash=row["model_hash"],
        lora_hashes=json.loads(row["lora_hashes"]),
        duration_s=row["duration_s"],
        created_at=datetime.fromtimestamp(row["created_at"], UTC),
        trashed_at=datetime.fromtimestamp(row["trashed_at"], UTC) if row["trashed_at"] else None,
        character_id=row["character_id"],
        favourite=row["favourite"],
        caption=row["caption"],
        category=row["category"],
        name=row["name"],
        real_person=row["real_person"],
    )
