"""Characters: who they are, kept so that no two share a slug or a trigger word and no edit is lost to another.

A character's page says what a person wrote; its photos are pictures of the library with the kind `photo`.
"""

from __future__ import annotations

import re
import time
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import sqlalchemy as sa
import yaml
from pydantic import ValidationError
from sqlalchemy.exc import IntegrityError

from studio.contracts import (
    Character,
    CharacterChange,
    CharacterFields,
    CharacterStatus,
    Consent,
    Contract,
    Picture,
    PictureKind,
    new_id,
)
from studio.db import Database, characters, jobs, pictures
from studio.errors import Conflict, ConsentMissing, ContractMismatch, InvalidFieldValue, NotFound, from_validation
from studio.files import read_yaml

MOST = 2000
TRIES = 50


class Template(Contract):
    """A ready-made character to start from."""

    id: str
    name: str
    about: str
    fields: CharacterFields


class Counts(Contract):
    """How much there is of one character."""

    photos: int = 0
    pictures: int = 0
    jobs: int = 0


class Characters:
    """The characters of one database."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def create(self, fields: CharacterFields) -> Character:
        """Keep a new character. What is left open is suggested. Raises InvalidFieldValue naming a slug or trigger word that is taken."""
        _check_words(fields)
        return _insisting(lambda: self._create(fields))

    def _create(self, fields: CharacterFields) -> Character:
        now = time.time()
        with self.database.begin() as connection:
            taken_slugs, taken_triggers = self._taken(connection)
            slug = fields.slug or _free(slug_of(fields.name), taken_slugs, "-")
            trigger = fields.trigger_word or _free(trigger_of(fields.name), taken_triggers, "")
            made = _character(
                fields.model_dump(exclude={"slug", "trigger_word"}) | {"slug": slug, "trigger_word": trigger},
                id=new_id(),
                status=CharacterStatus.active,
                portrait=None,
                version=1,
                created_at=_utc(now),
                updated_at=_utc(now),
            )
            _check_free(made, taken_slugs, taken_triggers)
            _write(connection, sa.insert(characters).values(_row(made)))
        return made

    def character(self, name: str) -> Character:
        """One character by its id or slug. Raises NotFound."""
        with self.database.read() as connection:
            return self._read(connection, name)

    def characters(self, status: CharacterStatus | None = CharacterStatus.active) -> tuple[Character, ...]:
        """Characters by name; None gives those of every status."""
        wanted = sa.select(characters.c.body).order_by(sa.func.lower(characters.c.name), characters.c.id).limit(MOST)
        if status is not None:
            wanted = wanted.where(characters.c.status == status.value)
        with self.database.read() as connection:
            return tuple(Character.model_validate_json(body) for body in connection.execute(wanted).scalars())

    def change(self, name: str, change: CharacterChange) -> Character:
        """Change what the change names. Raises Conflict when its `version` is an older one, InvalidFieldValue, NotFound."""
        _check_words(change)
        return _insisting(lambda: self._change(name, change))

    def _change(self, name: str, change: CharacterChange) -> Character:
        said = change.model_dump(exclude_unset=True, exclude={"version"})
        # Only a preset, an engine, a model, a LoRA, a portrait or a consent can be taken away.
        said = {key: value for key, value in said.items() if value is not None or key in _OPTIONAL}
        with self.database.begin() as connection:
            before = self._read(connection, name)
            if change.version is not None and change.version != before.version:
                raise Conflict(
                    f"{before.name} was changed somewhere else meanwhile.",
                    remedy="Load it again and make your change once more.",
                    field="version",
                )
            after = _character(
                {**before.model_dump(), **said},
                version=before.version + 1,
                updated_at=datetime.now(UTC),
            )
            if after.portrait and after.portrait != before.portrait:
                _check_portrait(connection, after)
            taken_slugs, taken_triggers = self._taken(connection, but=before.id)
            _check_free(after, taken_slugs, taken_triggers)
            # Only if nobody changed it since the look above.
            mine = sa.update(characters).where(characters.c.id == before.id, characters.c.version == before.version)
            if _write(connection, mine.values(_row(after))) == 0:
                raise _Overtaken
        return after

    def adopt_portrait(self, character_id: str, picture_id: str, connection: sa.Connection) -> None:
        """Make a picture the portrait of a character that has none, in the caller's transaction. No edit in progress is disturbed."""
        body = connection.execute(sa.select(characters.c.body).where(characters.c.id == character_id)).scalar()
        if body is None:
            return
        character = Character.model_validate_json(body)
        if character.portrait is None:
            shown = character.model_copy(update={"portrait": picture_id})
            same = sa.update(characters).where(characters.c.id == character_id, characters.c.version == character.version)
            connection.execute(same.values(body=shown.model_dump_json()))

    def duplicate(self, name: str) -> Character:
        """A new character with the same words and looks; photos, portrait and LoRA stay with the first. Raises NotFound."""
        first = self.character(name)
        kept = first.model_dump(include=set(CharacterFields.model_fields) - {"slug", "trigger_word", "lora"})
        return self.create(CharacterFields.model_validate({**kept, "name": f"{first.name[:70]} (copy)"}))

    def suggest(self, name: str) -> tuple[str, str]:
        """A slug and a trigger word that nobody has."""
        with self.database.read() as connection:
            taken_slugs, taken_triggers = self._taken(connection)
        return _free(slug_of(name), taken_slugs, "-"), _free(trigger_of(name), taken_triggers, "")

    def counts(self, ids: Sequence[str]) -> Mapping[str, Counts]:
        """How many photos, pictures and jobs characters have."""
        shown = pictures.c.trashed_at == 0
        counted = (
            sa.select(pictures.c.character_id, pictures.c.kind, sa.func.count())
            .where(pictures.c.character_id.in_(ids), pictures.c.kind.in_(["photo", "generated"]), shown)
            .group_by(pictures.c.character_id, pictures.c.kind)
        )
        worked = sa.select(jobs.c.character_id, sa.func.count()).where(jobs.c.character_id.in_(ids)).group_by(jobs.c.character_id)
        found: dict[str, dict[str, int]] = {each: {} for each in ids}
        with self.database.read() as connection:
            for character_id, kind, count in connection.execute(counted):
                found[character_id]["photos" if kind == PictureKind.photo.value else "pictures"] = count
            for character_id, count in connection.execute(worked):
                found[character_id]["jobs"] = count
        return {each: Counts(**counts) for each, counts in found.items()}

    def _read(self, connection: sa.Connection, name: str) -> Character:
        wanted = sa.select(characters.c.body).where(sa.or_(characters.c.id == name, characters.c.slug == name))
        body = connection.execute(wanted).scalar()
        if body is None:
            raise NotFound(f"There is no character {name!r}.", remedy="GET /api/v1/characters lists them.")
        return Character.model_validate_json(body)

    def _taken(self, connection: sa.Connection, but: str = "") -> tuple[frozenset[str], frozenset[str]]:
        rows = connection.execute(sa.select(characters.c.slug, characters.c.trigger_word).where(characters.c.id != but)).all()
        return frozenset(row.slug for row in rows), frozenset(row.trigger_word.casefold() for row in rows)


def load_templates(folder: Path) -> tuple[Template, ...]:
    """Every ready-made character of a folder, in the order of its file names. Raises ContractMismatch naming the file."""
    found: list[Template] = []
    for path in sorted(folder.glob("*.yaml")):
        try:
            found.append(Template.model_validate(read_yaml(path.read_text(encoding="utf-8"))))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ContractMismatch(f"{path.name} can't be read as YAML.", remedy="Mend the file or take it away.") from error
        except ValidationError as error:
            raise ContractMismatch(f"{path.name}: {from_validation(error).message}", remedy="Mend the file or take it away.") from error
    return tuple(found)


def check_consent(consent: Consent | None, who: str, *, field: str = "consent", today: date | None = None) -> None:
    """Raises ConsentMissing when there is no consent, or it has run out."""
    if consent is None:
        raise ConsentMissing(
            f"{who} is a real person, and nothing says that they agreed.",
            field=field,
            remedy="Write down who agreed to what in the consent record on the Characters tab.",
        )
    if consent.until is not None and consent.until < (today or datetime.now(UTC).date()):
        raise ConsentMissing(
            f"The consent of {consent.who} ended on {consent.until:%d %B %Y}.",
            field=field,
            remedy="Ask again and renew the consent record.",
        )


def slug_of(name: str) -> str:
    """A name as it stands in addresses and file names: plain letters, digits and hyphens."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:50].rstrip("-") or "character"


def trigger_of(name: str) -> str:
    """A word that no model knows yet: the name's first consonants and vowels, turned into something unused."""
    letters = slug_of(name).replace("-", "")[:12]
    return f"{letters}_lk"


class _Overtaken(Exception):
    """Somebody else wrote between our look and our write."""


def _insisting(act: Callable[[], Character]) -> Character:
    for _ in range(TRIES):
        try:
            return act()
        except _Overtaken:
            continue
    raise Conflict("Too many people change characters at this very moment.", remedy="Try again.")


def _write(connection: sa.Connection, statement: sa.Insert | sa.Update) -> int:
    try:
        return connection.execute(statement).rowcount
    except IntegrityError as error:
        raise _Overtaken from error


_OPTIONAL = frozenset({"preset", "engine", "model", "lora", "portrait", "consent"})


def _free(wanted: str, taken: frozenset[str], between: str) -> str:
    if wanted.casefold() not in taken:
        return wanted
    return next(name for number in range(2, MOST * 2) if (name := f"{wanted}{between}{number}").casefold() not in taken)


def _check_free(character: Character, slugs: frozenset[str], triggers: frozenset[str]) -> None:
    if character.slug in slugs:
        raise InvalidFieldValue(
            f"Another character has the short name “{character.slug}”.",
            field="slug",
            remedy=f"“{_free(character.slug, slugs, '-')}” is free.",
        )
    if character.trigger_word.casefold() in triggers:
        raise InvalidFieldValue(
            f"Another character has the trigger word “{character.trigger_word}”.",
            field="trigger_word",
            remedy=f"“{_free(character.trigger_word, triggers, '')}” is free.",
        )


def _check_portrait(connection: sa.Connection, character: Character) -> None:
    found = connection.execute(sa.select(pictures.c.id).where(pictures.c.id == character.portrait)).first()
    if found is None:
        raise InvalidFieldValue("There is no such picture.", field="portrait", remedy="Choose one of the character's pictures.")


def _character(fields: Mapping[str, object], **more: object) -> Character:
    try:
        return Character.model_validate({**fields, **more})
    except ValidationError as error:
        raise from_validation(error) from error


def _check_words(said: CharacterFields | CharacterChange) -> None:
    # Its rules take a second to read, which the page must not wait for: `Studio.warm_up` has read them by the first click.
    from studio import safety

    safety.check(_words(said))


def _words(fields: CharacterFields | CharacterChange) -> list[str]:
    # Judged together: what is harmless in each of two fields may not be side by side.
    looks = fields.appearance.model_dump().values() if fields.appearance else ()
    parts = [*looks, fields.personality, fields.wardrobe, fields.backstory]
    return [", ".join(str(part) for part in parts if part)]


def _row(character: Character) -> dict[str, object]:
    return {
        "id": character.id,
        "slug": character.slug,
        "trigger_word": character.trigger_word,
        "name": character.name,
        "status": character.status.value,
        "version": character.version,
        "body": character.model_dump_json(),
        "created_at": character.created_at.timestamp(),
        "updated_at": character.updated_at.timestamp(),
    }


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def belongs_to(picture: Picture, character: Character | None) -> bool:
    """Whether a picture is one of a character's own photos or pictures."""
    return character is not None and picture.character_id == character.id
