"""The verbs `datasets …`."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from studio.captions import CaptionPreview
from studio.cli.desk import FAILED, OK, Answer, Desk
from studio.cli.words import items_of, read_file, table
from studio.contracts import Contract, Page
from studio.dataset_check import Preflight
from studio.dataset_contracts import (
    CaptionEdit,
    CaptionState,
    Cut,
    Dataset,
    DatasetChange,
    DatasetFields,
    DatasetPicture,
    DatasetPicturesAdded,
    PicturesChange,
)
from studio.dataset_files import DatasetFolder, DatasetZip
from studio.errors import InvalidFieldValue, MissingRequiredField, NotFound, from_os_error, from_validation
from studio.preflight import Code, Severity

C = TypeVar("C", bound=Contract)
SHOWN = 20


def list_datasets(desk: Desk) -> Answer:
    found = desk.studio.datasets.datasets(desk.args.character)
    who = {each.id: each.slug for each in desk.studio.characters(None)}
    rows = [
        (each.id, who.get(each.character_id, ""), each.name, _pictures(each.pictures), f"{each.captioned} with a caption") for each in found
    ]
    return Answer(items_of(found), table(rows) or "No datasets yet. `python launch.py datasets create CHARACTER --photos` makes one.")


def create_dataset(desk: Desk) -> Answer:
    args = desk.args
    said = {"character": args.character, "photos": args.photos, "pictures": args.picture} | ({"name": args.name} if args.name else {})
    made, refused = desk.studio.datasets.create(_valid(DatasetFields, said))
    lines = [f"{made.id}  {made.name}  {_pictures(made.pictures)}", *(f"{one.name}: {one.error.message}" for one in refused)]
    value = {**made.model_dump(mode="json"), "refused": [one.model_dump(mode="json") for one in refused]}
    return Answer(value, "\n".join(lines))


def show_dataset(desk: Desk) -> Answer:
    found = _named(desk)
    page = _page(desk, found.id)
    head = f"{found.name}, version {found.version}: {_pictures(found.pictures)}, {found.captioned} with a caption"
    value = {**found.model_dump(mode="json", exclude={"covers"}), **page.model_dump(mode="json")}
    return Answer(value, "\n".join([head, table(_rows(page))]).strip())


def list_dataset_pictures(desk: Desk) -> Answer:
    page = _page(desk, None, character=desk.args.character)
    whose = {one.id: one.name for one in desk.studio.datasets.datasets(desk.args.character)}
    rows = [(*row, whose.get(one.dataset_id, "")) for row, one in zip(_rows(page), page.items, strict=True)]
    return Answer(page.model_dump(mode="json"), table(rows) or "No pictures here.")


def rename_dataset(desk: Desk) -> Answer:
    return _told(desk, desk.studio.datasets.rename(_named(desk).id, desk.args.name))


def delete_dataset(desk: Desk) -> Answer:
    gone = desk.studio.datasets.delete(_named(desk).id)
    return Answer(gone.model_dump(mode="json"), f"“{gone.name}” is deleted. `datasets undo {gone.id}` brings it back.")


def add_to_dataset(desk: Desk) -> Answer:
    found = _named(desk)
    # All files are read before the first is kept: a wrong name among them changes nothing.
    files = [(path.name, read_file(path)) for path in desk.args.files]
    if not files and not desk.args.picture:
        raise MissingRequiredField(
            "There is nothing to add.", field="files", remedy="Name files, or pictures of the library with --picture."
        )
    added = desk.studio.datasets.add_files(found.id, files) if files else DatasetPicturesAdded(items=(), refused=())
    if desk.args.picture:
        more = desk.studio.datasets.add_pictures(found.id, desk.args.picture)
        added = DatasetPicturesAdded(items=(*added.items, *more.items), refused=(*added.refused, *more.refused))
    return _added(added)


def import_dataset(desk: Desk) -> Answer:
    found, path = _named(desk), desk.args.path
    if path.is_dir():
        return _added(desk.studio.datasets.take_in(found.id, DatasetFolder(path)))
    if not path.is_file():
        raise NotFound(f"There is no folder and no file {path}.", field="path", remedy="Check its name.")
    with DatasetZip(path) as parcel:
        return _added(desk.studio.datasets.take_in(found.id, parcel))


def export_dataset(desk: Desk) -> Answer:
    name, pieces = desk.studio.datasets.export(_named(desk).id, repeats=desk.args.repeats)
    out: Path = desk.args.out or Path.cwd()
    target = out / name if out.is_dir() else out
    try:
        # Half a ZIP never stands under the name that was asked for.
        handle, half = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.writelines(pieces)
            Path(half).chmod(0o644)
            Path(half).replace(target)
        except BaseException:
            Path(half).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise from_os_error(error, f"write {target}") from error
    return Answer({"ok": True, "path": str(target.resolve()), "bytes": target.stat().st_size}, str(target.resolve()))


def caption_dataset(desk: Desk) -> Answer:
    args = desk.args
    acts = {"write": args.write, "replace": args.find, "prefix": args.prefix, "suffix": args.suffix}
    act = next((name for name, said in acts.items() if said is not None), "trigger")
    text = args.replace if act == "replace" else acts.get(act) or ""
    ways = {"pattern": args.pattern, "case": args.case, "words": args.words}
    edit = _valid(CaptionEdit, {"act": act, "text": text, "find": args.find or "", "ids": args.picture or None, **ways})
    store, found = desk.studio.datasets, _named(desk)
    return _captions(store.preview_captions(found.id, edit) if args.preview else store.edit_captions(found.id, edit), args.preview)


def tag_pictures(desk: Desk) -> Answer:
    return _changed(desk, {"add_tags": desk.args.add, "remove_tags": desk.args.remove})


def move_pictures(desk: Desk) -> Answer:
    return _changed(desk, {"to": desk.args.to})


def remove_pictures(desk: Desk) -> Answer:
    count = desk.studio.datasets.remove(_named(desk).id, desk.args.pictures)
    return Answer({"ok": True, "count": count}, f"{_pictures(count)} removed. `datasets undo` brings them back.")


def crop_picture(desk: Desk) -> Answer:
    args = desk.args
    said = {"turns": args.turns, "left": args.left, "top": args.top, "width": args.width, "height": args.height}
    after = desk.studio.datasets.cut(_named(desk).id, args.picture, _valid(Cut, said))
    return Answer(after.model_dump(mode="json"), f"{after.name} has {after.width}×{after.height} now.")


def check_dataset(desk: Desk) -> Answer:
    found = _named(desk)
    return _until_looked(lambda: desk.studio.dataset_check.check(found.id, resolution=desk.args.resolution))


def check_training(desk: Desk) -> Answer:
    args = desk.args
    return _until_looked(lambda: desk.studio.check_training(args.character, dataset=args.dataset, resolution=args.resolution))


def _until_looked(check: Callable[[], Preflight]) -> Answer:
    while (said := check()).pending:
        print(f"{said.pictures - said.pending} of {said.pictures} looked at", file=sys.stderr)
    return _checked(said)


def fix_dataset(desk: Desk) -> Answer:
    codes = [code.value for code in Code]
    if desk.args.code not in codes:
        raise InvalidFieldValue(f"The check never says “{desk.args.code}”.", field="code", remedy=f"Choose one of: {', '.join(codes)}.")
    change = desk.studio.dataset_check.fix(_named(desk).id, Code(desk.args.code), resolution=desk.args.resolution)
    return Answer(change.model_dump(mode="json"), f"{_pictures(change.count)} {change.kind}. `datasets undo` takes it back.")


def undo_dataset(desk: Desk) -> Answer:
    # A deleted dataset is found by its own id alone.
    try:
        dataset_id = _named(desk).id
    except NotFound:
        dataset_id = desk.args.id
    return _undone(desk.studio.datasets.undo(dataset_id, desk.args.to, with_newer=desk.args.to is not None))


def list_changes(desk: Desk) -> Answer:
    found = desk.studio.datasets.changes(_named(desk).id)
    rows = [(one.id, f"{_pictures(one.count)} {one.kind}", f"{one.created_at:%Y-%m-%d %H:%M}") for one in found]
    return Answer(items_of(found), table(rows) or "Nothing to take back.")


def _named(desk: Desk) -> Dataset:
    """The dataset with that id, or the newest one of the character with that slug."""
    name = desk.args.id
    try:
        return desk.studio.datasets.dataset(name)
    except NotFound:
        try:
            found = desk.studio.datasets.datasets(name)
        except NotFound:
            found = ()
        if not found:
            raise
        return found[0]


def _page(desk: Desk, dataset_id: str | None, *, character: str | None = None) -> Page[DatasetPicture]:
    args = desk.args
    if not 1 <= args.limit <= 500:
        raise InvalidFieldValue("“limit” is a number from 1 to 500.", field="limit")
    caption = CaptionState(args.caption) if args.caption else None
    return desk.studio.datasets.pictures(
        dataset_id,
        character=character,
        tag=args.tag,
        flag=args.flag,
        caption=caption,
        search=args.search,
        limit=args.limit,
        cursor=args.cursor,
    )


def _rows(page: Page[DatasetPicture]) -> list[tuple[str, ...]]:
    return [(one.id, one.name, f"{one.width}×{one.height}", " ".join(one.tags), one.caption or "(no caption)") for one in page.items]


def _changed(desk: Desk, said: dict[str, object]) -> Answer:
    change = _valid(PicturesChange, said)
    count = desk.studio.datasets.change_pictures(_named(desk).id, desk.args.pictures, change)
    return Answer({"ok": True, "count": count}, f"{_pictures(count)} changed.")


def _added(added: DatasetPicturesAdded) -> Answer:
    lines = [f"{one.id}  {one.name}" for one in added.items]
    lines += [f"{one.name}: {one.error.message} {one.error.remedy}" for one in added.refused]
    lines += [f"{path}: left out, a picture to learn the class by" for path in added.left_out]
    value = {"ok": not added.refused, **added.model_dump(mode="json")}
    return Answer(value, "\n".join(lines) or "Nothing new.", FAILED if added.refused and not added.items else OK)


def _checked(said: Preflight) -> Answer:
    lines: list[str] = []
    for one in said.findings:
        count = f" ({_pictures(len(one.pictures))})" if one.pictures else ""
        fix = f" `datasets fix {said.dataset} {one.code}` helps." if one.fixed else ""
        lines.append(f"{one.severity}  {one.title}{count}. {one.explanation}{fix}")
    lines += [f"blocks  The file of {picture_id} can't be read. Remove it." for picture_id in said.unreadable]
    blocked = any(one.severity is Severity.blocks for one in said.findings) or bool(said.unreadable)
    value = {"ok": not blocked, **said.model_dump(mode="json")}
    return Answer(value, "\n".join(lines) or "Nothing to say against it.", FAILED if blocked else OK)


def _captions(said: CaptionPreview, preview: bool) -> Answer:
    count = len(said.changes)
    lines = [f"- {one.before or '(none)'}\n+ {one.after or '(none)'}" for one in said.changes[:SHOWN]]
    lines += [f"… and {count - SHOWN} more"] if count > SHOWN else []
    lines.append(f"{count} caption{'' if count == 1 else 's'} {'would change' if preview else 'changed'}.")
    value = {"ok": True, "preview": preview, "count": count, "items": [one.model_dump(mode="json") for one in said.changes]}
    return Answer(value, "\n".join(lines))


def _undone(change: DatasetChange) -> Answer:
    return Answer(change.model_dump(mode="json"), f"Undone: {_pictures(change.count)} {change.kind}.")


def _told(desk: Desk, found: Dataset) -> Answer:
    return Answer(found.model_dump(mode="json"), f"{found.id}  {found.name}  {_pictures(found.pictures)}")


def _pictures(count: int) -> str:
    return f"{count} picture" if count == 1 else f"{count} pictures"


def _valid(kind: type[C], said: dict[str, object]) -> C:
    try:
        return kind.model_validate(said)
    except ValidationError as error:
        raise from_validation(error) from error
