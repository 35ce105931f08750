"""Cursors of keyset paging: where the last slice ended, as one opaque word."""

from __future__ import annotations

import base64
import json
from typing import TypeVar

from studio.errors import InvalidFieldValue

A = TypeVar("A")
B = TypeVar("B")


def encode_cursor(*parts: object) -> str:
    """The cursor that continues after a row with these sort values."""
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, first: type[A], second: type[B]) -> tuple[A, B]:
    """The sort values in a cursor. Raises InvalidFieldValue for anything `encode_cursor` did not make."""
    try:
        parts = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        a, b = parts
    except ValueError as error:
        raise InvalidFieldValue("That cursor is not one of ours.", field="cursor", remedy="Start again without a cursor.") from error
    if not isinstance(a, first) or not isinstance(b, second):
        raise InvalidFieldValue("That cursor is not one of ours.", field="cursor", remedy="Start again without a cursor.")
    return a, b
