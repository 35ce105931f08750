"""The verbs that sort pictures and count them: favourites, captions, ZIPs, analytics."""

from __future__ import annotations

import os
import tempfile
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from studio.analytics import Analytics, Times
from studio.cli.desk import Answer, Desk
from studio.cli.words import table
from studio.contracts import PictureChange
from studio.errors import InvalidFieldValue, NotFound, from_os_error, from_validation


def favourite_images(desk: Desk) -> Answer:
    return _changed(desk, PictureChange(favourite=True))


def unfavourite_images(desk: Desk) -> Answer:
    return _changed(desk, PictureChange(favourite=False))


def caption_image(desk: Desk) -> Answer:
    try:
        change = PictureChange(caption=desk.args.text)
    except ValidationError as error:
        raise from_validation(error) from error
    picture = desk.studio.change_picture(desk.args.id, change)
    return Answer(picture.model_dump(mode="json"), picture.caption or "The picture has no caption now.")


def zip_images(desk: Desk) -> Answer:
    out: Path = desk.args.out
    parcel = desk.studio.parcel(desk.args.ids)
    try:
        # Half a ZIP never stands under the name that was asked for.
        handle, half = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.writelines(parcel)
            Path(half).chmod(0o644)
            Path(half).replace(out)
        except BaseException:
            Path(half).unlink(missing_ok=True)
            raise
    except FileNotFoundError as error:
        raise InvalidFieldValue(f"There is no folder {out.parent}.", field="out", remedy="Make it first, or choose another one.") from error
    except OSError as error:
        raise from_os_error(error, f"write {out}") from error
    size = out.stat().st_size
    return Answer({"ok": True, "file": str(out.resolve()), "bytes": size}, f"{out.resolve()}  {size / 2**20:.1f} MB")


def show_analytics(desk: Desk) -> Answer:
    days = desk.args.days
    if not 1 <= days <= 3650:
        raise InvalidFieldValue("“days” is a number from 1 to 3650.", field="days")
    offset = datetime.now().astimezone().utcoffset()
    found = desk.studio.analytics(days=days, ahead_s=int(offset.total_seconds()) if offset else 0)
    return Answer(found.model_dump(mode="json"), _words(found))


def _changed(desk: Desk, change: PictureChange) -> Answer:
    ids = desk.args.ids
    count = desk.studio.change_pictures(ids, change)
    if count == 0:
        raise NotFound("None of these pictures is there.", remedy="`images list` shows the ids.")
    return Answer({"ok": True, "count": count}, f"{count} {'picture' if count == 1 else 'pictures'} changed.")


def _words(found: Analytics) -> str:
    if found.empty:
        return "Nothing was made yet. `python launch.py generate PROMPT` makes the first picture."
    rows = [
        ("Jobs", ", ".join(f"{count:,} {state}" for state, count in found.jobs.items() if count) or "none"),
        ("Success", _percent(found.success_rate)),
        ("Waited", _spans(found.queue_s)),
        ("Ran", _spans(found.run_s)),
        ("Pictures", f"{found.pictures:,}"),
        ("Favourites", f"{found.favourites:,} ({_percent(found.favourite_rate)})"),
    ]
    parts = [f"Since {found.since}, {found.days} days", table(rows)]
    for title, shares in (("Characters", found.by_character), ("Presets", found.by_preset), ("Styles", found.by_style)):
        if shares:
            lines = [(share.name, f"{share.pictures:,}", f"{_percent(share.favourite_rate)} favourites") for share in shares]
            parts.append(f"{title}\n{table(lines)}")
    if found.errors:
        parts.append("Errors\n" + table((fault.code, fault.count, fault.remedy) for fault in found.errors))
    return "\n\n".join(parts)


def _percent(rate: float | None) -> str:
    return "–" if rate is None else f"{rate:.0%}"


def _spans(times: Times) -> str:
    if times.p50 is None or times.p95 is None:
        return "–"
    return f"half within {times.p50:.1f} s, 95 of 100 within {times.p95:.1f} s"
