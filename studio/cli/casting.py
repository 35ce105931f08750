"""The verbs `characters …`."""

from __future__ import annotations

import argparse
from datetime import date
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from studio.casting import EVIDENCE
from studio.cli.desk import FAILED, OK, Answer, Desk
from studio.cli.words import handles_of, items_of, read_file, table
from studio.contracts import Character, CharacterChange, CharacterFields, CharacterStatus
from studio.errors import ConsentMissing, InvalidFieldValue, from_os_error, from_validation
from studio.files import write_atomically

C = TypeVar("C", CharacterFields, CharacterChange)
LOOKS = ("age", "gender", "skin", "hair", "eyes", "build", "marks")
TEXTS = ("personality", "voice", "wardrobe", "backstory", "negative_prompt", "preset", "engine", "model", "lora")


def list_characters(desk: Desk) -> Answer:
    found = desk.studio.characters(CharacterStatus(desk.args.status))
    counts = desk.studio.character_counts([character.id for character in found])
    rows = [
        (each.slug, each.name, each.kind, each.trigger_word, f"{counts[each.id].photos} photos", f"{counts[each.id].pictures} pictures")
        for each in found
    ]
    return Answer(items_of(found), table(rows) or "No characters yet. `python launch.py characters create NAME` makes one.")


def show_character(desk: Desk) -> Answer:
    return _shown(desk.studio.character(desk.args.id))


def create_character(desk: Desk) -> Answer:
    args = desk.args
    start = {}
    if args.template:
        template = next((each for each in desk.studio.templates() if each.id == args.template), None)
        if template is None:
            known = ", ".join(each.id for each in desk.studio.templates())
            raise InvalidFieldValue(f"There is no template “{args.template}”.", field="template", remedy=f"Choose one of: {known}.")
        start = template.fields.model_dump(exclude_unset=True)
    looks = {**start.get("appearance", {}), **_looks(args)}
    fields = _valid(CharacterFields, {**start, **_said(args), "name": args.name, "appearance": looks})
    # Read before anybody is made: a wrong name leaves nothing behind.
    evidence = _evidence(args)
    if evidence and fields.consent is None:
        raise ConsentMissing("Evidence of what?", field="consent", remedy="Give --consent-by as well: who agreed.")
    return _shown(_with_evidence(desk, desk.studio.create_character(fields), evidence))


def edit_character(desk: Desk) -> Answer:
    args = desk.args
    before = desk.studio.character(args.id)
    said = _said(args)
    if looks := _looks(args):
        said["appearance"] = {**before.appearance.model_dump(), **looks}
    for name in ("name", "status", "portrait"):
        if getattr(args, name) is not None:
            said[name] = getattr(args, name)
    evidence = _evidence(args)
    return _shown(_with_evidence(desk, desk.studio.change_character(before.id, _valid(CharacterChange, said)), evidence))


def _evidence(args: argparse.Namespace) -> tuple[str, bytes] | None:
    if args.evidence is None:
        return None
    if args.evidence.suffix.lower() not in EVIDENCE:
        raise InvalidFieldValue(
            "This kind of file can't be kept as evidence.", field="evidence", remedy=f"Choose one of {', '.join(EVIDENCE)}."
        )
    return args.evidence.name, read_file(args.evidence)


def _with_evidence(desk: Desk, character: Character, evidence: tuple[str, bytes] | None) -> Character:
    return desk.studio.keep_evidence(character.id, *evidence) if evidence else character


def delete_character(desk: Desk) -> Answer:
    gone = desk.studio.change_character(desk.args.id, _valid(CharacterChange, {"status": CharacterStatus.trashed}))
    return Answer(
        gone.model_dump(mode="json"), f"{gone.name} is in the trash. `characters edit {gone.slug} --status active` brings it back."
    )


def duplicate_character(desk: Desk) -> Answer:
    return _shown(desk.studio.duplicate_character(desk.args.id))


def add_photos(desk: Desk) -> Answer:
    # All files are read before the first is kept: a wrong name among them changes nothing.
    files = [(path.name, read_file(path)) for path in desk.args.files]
    added = desk.studio.add_photos(desk.args.id, files)
    lines = [f"{photo.id}  {photo.name}" for photo in added.items]
    lines += [f"{each.name}: {each.error.message} {each.error.remedy}" for each in added.refused]
    value = {"ok": not added.refused, **added.model_dump(mode="json")}
    return Answer(value, "\n".join(lines), FAILED if added.refused and not added.items else OK)


def export_character(desk: Desk) -> Answer:
    name, data = desk.studio.export_character(desk.args.id)
    out: Path = desk.args.out or Path.cwd() / name
    target = out / name if out.is_dir() else out
    try:
        write_atomically(target, data)
    except OSError as error:
        raise from_os_error(error, f"write {target}") from error
    return Answer({"ok": True, "path": str(target.resolve()), "bytes": len(data)}, str(target.resolve()))


def import_character(desk: Desk) -> Answer:
    return _shown(desk.studio.import_character(read_file(desk.args.file)))


def _said(args: argparse.Namespace) -> dict[str, object]:
    said: dict[str, object] = {name: getattr(args, name) for name in ("slug", "kind", "trigger_word", "lora_strength", *TEXTS)}
    said["consent"] = consent_of(args)
    if args.handle is not None:
        said["handles"] = handles_of(args.handle)
    return {name: value for name, value in said.items() if value is not None}


def consent_of(args: argparse.Namespace) -> dict[str, object] | None:
    """The consent that the options of a command tell of, None without any. Raises InvalidFieldValue."""
    if not args.consent_by:
        if args.consent_for or args.consent_until:
            raise InvalidFieldValue("Nobody is named who agreed.", field="consent.who", remedy="Give --consent-by as well.")
        return None
    try:
        until = date.fromisoformat(args.consent_until) if args.consent_until else None
    except ValueError as error:
        raise InvalidFieldValue("“consent-until” is no date.", field="consent.until", remedy="Write it as 2027-12-31.") from error
    return {"who": args.consent_by, "what_for": args.consent_for or "pictures of them", "until": until}


def _looks(args: argparse.Namespace) -> dict[str, object]:
    return {name: getattr(args, name) for name in LOOKS if getattr(args, name) is not None}


def _valid(kind: type[C], values: dict[str, object]) -> C:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise from_validation(error) from error


def _shown(character: Character) -> Answer:
    said = character.model_dump(mode="json", exclude={"appearance", "consent"})
    looks = {name: value for name, value in character.appearance.model_dump(mode="json").items() if value}
    rows = [(name, value) for name, value in {**said, **looks}.items() if value not in (None, "", [], {})]
    if character.consent:
        rows.append(("consent", f"{character.consent.who}, {character.consent.what_for}, until {character.consent.until or 'taken back'}"))
    return Answer(character.model_dump(mode="json"), table(rows))
