"""How verbs read files and write lists."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import BaseModel

from studio.errors import InvalidFieldValue


def read_file(path: Path) -> bytes:
    """The bytes of a file that was named. Raises InvalidFieldValue."""
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise InvalidFieldValue(f"There is no file {path}.", field="file", remedy="Check its name.") from error
    except OSError as error:
        raise InvalidFieldValue(f"{path} can't be read: {error.strerror}.", field="file", remedy="Check its access rights.") from error


def items_of(values: Sequence[BaseModel]) -> dict[str, object]:
    """A list as `--json` shows it."""
    return {"items": [value.model_dump(mode="json") for value in values]}


def table(rows: Iterable[Sequence[object]]) -> str:
    """Rows as columns of even width."""
    cells = [[str(cell) for cell in row] for row in rows]
    if not cells:
        return ""
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells)


def handles_of(said: Sequence[str]) -> dict[str, str]:
    """Social handles written as CHANNEL=NAME, by channel. Raises InvalidFieldValue."""
    handles: dict[str, str] = {}
    for text in said:
        channel, equals, handle = text.partition("=")
        if not equals:
            raise InvalidFieldValue(f"“{text}” is no handle.", field="handle", remedy="Write CHANNEL=NAME, as in instagram=mara.")
        handles[channel] = handle
    return handles
