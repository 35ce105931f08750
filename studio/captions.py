"""Captions of a dataset as text: many changed at once with a preview that can be undone, and the `.txt` files beside pictures.

Every change takes the captions by their picture's id and gives a `CaptionPreview`: what would become of each caption that differs.
Nothing here writes a picture's caption; whoever does writes what `apply` or `undo` gives.
"""

from __future__ import annotations

import codecs
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePath

import regex

from studio.contracts import MAX_PROMPT, Contract
from studio.errors import Conflict, FileTooLarge, InvalidFieldValue, MissingRequiredField, from_os_error
from studio.files import write_atomically

Captions = Mapping[str, str]
"""The caption of each picture by its id; empty where it has none."""

# In the order in which they are looked for: kohya's own default is `.caption`.
SUFFIXES = (".txt", ".caption")
_LONGEST_PATTERN = 1000
# For all captions together: a pattern that tries every way to share one would otherwise hold the page for ever.
_PATIENCE_S = 1.5
# Four bytes are the most a character takes in UTF-8 and in UTF-16.
_MOST_BYTES = 4 * MAX_PROMPT + 4
_PLACEHOLDER = re.compile(r"\[(?:trigger|name)\]", re.IGNORECASE)


class CaptionChange(Contract):
    """What would become of one caption."""

    id: str
    before: str
    after: str


class CaptionPreview(Contract):
    """What a change would do: only the captions that differ afterwards, in the order they were given."""

    changes: tuple[CaptionChange, ...]

    def apply(self, captions: Captions) -> dict[str, str]:
        """The captions to write. Raises Conflict when one of them is not what it was any more."""
        return self._turned(captions, undo=False)

    def undo(self, captions: Captions) -> dict[str, str]:
        """The captions to write to have it as it was before. Raises Conflict when one of them was changed since."""
        return self._turned(captions, undo=True)

    def _turned(self, captions: Captions, *, undo: bool) -> dict[str, str]:
        changed = [one for one in self.changes if captions.get(one.id) != (one.after if undo else one.before)]
        if changed:
            many = f"{len(changed)} captions were" if len(changed) > 1 else "A caption was"
            raise Conflict(f"{many} changed meanwhile.", remedy="Look at the captions as they are now, then do it again.")
        return {one.id: one.before if undo else one.after for one in self.changes}


# Changes of many


def find_and_replace(
    captions: Captions, find: str, replace: str, *, pattern: bool = False, case: bool = False, words: bool = False
) -> CaptionPreview:
    r"""Every `find` becomes `replace`. As a `pattern` it is a regular expression, and `replace` may name its groups (`\1`, `\g<name>`).

    `case` tells capitals from small letters, `words` finds whole words only. Where something is taken out (`replace` is empty and it is
    no pattern), commas and spaces that are left over go too. Raises MissingRequiredField, InvalidFieldValue naming what is wrong.
    """
    if not find:
        raise MissingRequiredField("There is nothing to look for.", field="find", remedy="Write what is to be replaced.")
    for field, text in (("find", find), ("replace", replace)):
        if len(text) > _LONGEST_PATTERN:
            raise InvalidFieldValue(f"“{field}” can have {_LONGEST_PATTERN:,} characters at most.", field=field)
    searched = find if pattern else regex.escape(find)
    try:
        found = regex.compile(rf"(?<!\w)(?:{searched})(?!\w)" if words else searched, 0 if case else regex.IGNORECASE)
    except regex.error as error:
        raise InvalidFieldValue(
            f"This is not a regular expression: {error}.", field="find", remedy="Mend it, or look for the words as they are."
        ) from error
    into = replace if pattern else replace.replace("\\", r"\\")
    until = time.monotonic() + _PATIENCE_S

    def replaced(caption: str) -> str:
        try:
            after, count = found.subn(into, caption, timeout=max(0.01, until - time.monotonic()))
        except TimeoutError as error:
            raise InvalidFieldValue(
                "This regular expression takes too long.", field="find", remedy="Make it simpler: fewer * and + inside each other."
            ) from error
        except (regex.error, IndexError) as error:
            raise InvalidFieldValue(
                f"The replacement can't be used: {error}.", field="replace", remedy=r"Name only groups that the expression has, such as \1."
            ) from error
        return tidied(after) if count and not replace and not pattern else after

    return _preview(captions, replaced)


def add_prefix(captions: Captions, text: str, separator: str = ", ") -> CaptionPreview:
    """`text` before each caption that does not begin with it. Raises MissingRequiredField, InvalidFieldValue."""
    text = _said(text)
    return _preview(captions, lambda caption: caption if caption.startswith(text) else separator.join(filter(None, (text, caption))))


def add_suffix(captions: Captions, text: str, separator: str = ", ") -> CaptionPreview:
    """`text` behind each caption that does not end with it. Raises MissingRequiredField, InvalidFieldValue."""
    text = _said(text)

    def added(caption: str) -> str:
        if caption.endswith(text):
            return caption
        # A list goes on after a comma, not after a full stop.
        begun = caption.rstrip(" ,") if separator.startswith(",") else caption
        return separator.join(filter(None, (begun, text)))

    return _preview(captions, added)


def add_trigger(captions: Captions, trigger: str) -> CaptionPreview:
    """The trigger word first in each caption; AI-Toolkit's `[trigger]` becomes it. Raises MissingRequiredField."""
    trigger = _said(trigger, "trigger")
    return _preview(captions, lambda caption: with_trigger(caption, trigger))


def remove_tag(captions: Captions, tag: str) -> CaptionPreview:
    """Without that tag, however its spaces and capitals are written. Raises MissingRequiredField."""
    gone = _key(_said(tag, "tag"))
    return _preview(captions, lambda caption: _retagged(caption, lambda each: None if _key(each) == gone else each))


def replace_tag(captions: Captions, tag: str, other: str) -> CaptionPreview:
    """Another tag in its place; where the other is there already, the first one gone. Raises MissingRequiredField."""
    old, new = _key(_said(tag, "tag")), _said(other, "other")

    def replaced(caption: str) -> str:
        if old not in map(_key, tags_of(caption)):
            return caption
        tags = [new if _key(each) == old else each for each in tags_of(caption)]
        first = next(at for at, each in enumerate(tags) if _key(each) == _key(new))
        return ", ".join(each for at, each in enumerate(tags) if at == first or _key(each) != _key(new))

    return _preview(captions, replaced)


def deduplicate_tags(captions: Captions) -> CaptionPreview:
    """Each tag once, the first one kept."""

    def once(caption: str) -> str:
        seen: dict[str, str] = {}
        for tag in tags_of(caption):
            seen.setdefault(_key(tag), tag)
        return caption if len(seen) == len(tags_of(caption)) else ", ".join(seen.values())

    return _preview(captions, once)


# One caption


def tags_of(caption: str) -> tuple[str, ...]:
    """The parts of a caption between its commas."""
    return tuple(tag for part in caption.split(",") if (tag := " ".join(part.split())))


def count_tags(captions: Iterable[str]) -> Counter[str]:
    """In how many captions each tag stands, whatever its capitals."""
    return Counter(key for caption in captions for key in {_key(tag) for tag in tags_of(caption)})


def with_trigger(caption: str, trigger: str) -> str:
    """The caption with the trigger word first and nowhere else as a tag of its own."""
    caption = _PLACEHOLDER.sub(lambda _: trigger, caption)
    if re.match(rf"{re.escape(trigger)}(?!\w)", caption):
        return caption
    tags = tags_of(caption)
    if trigger in tags:
        caption = ", ".join(tag for tag in tags if tag != trigger)
    return f"{trigger}, {caption}" if caption else trigger


def tidied(caption: str) -> str:
    """The caption without the spaces and commas that something left behind when it was taken out."""
    caption = re.sub(r"\s+", " ", caption)
    caption = re.sub(r" (?=[,.;:!?])", "", caption)
    caption = re.sub(r",(?: ?,)+", ",", caption)
    return re.sub(r",(?=[.;!?])", "", caption).strip(" ,")


# Files beside pictures


def caption_files(picture: PurePath) -> tuple[str, ...]:
    """The names under which a picture's caption may lie beside it, the likeliest first."""
    return tuple(f"{start}{suffix}" for start in (picture.stem, picture.name) for suffix in SUFFIXES)


def read_caption(data: bytes, name: str) -> str:
    """The caption in a text file, as one line. `name` is the file's, for what is said of it.

    UTF-8, with or without the mark that Windows puts before it, and UTF-16 with its mark. Lines are parts of one caption, as AI-Toolkit
    reads them. Raises InvalidFieldValue for other encodings and binary files, FileTooLarge above 10,000 characters.
    """
    if len(data) > _MOST_BYTES:
        raise _too_long(name)
    kind = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        text = data.decode(kind)
    except UnicodeDecodeError as error:
        raise InvalidFieldValue(
            f"“{name}” is not written in UTF-8: byte {error.start + 1} can't be read.",
            field="caption",
            remedy="Open it in a text editor, save it with the encoding UTF-8, and try again.",
        ) from error
    if any(ord(ch) < 32 and ch not in "\t\n\r\f\v" for ch in text):
        raise InvalidFieldValue(f"“{name}” is not a text file.", field="caption", remedy="Take it away, or write the caption anew.")
    lines = [" ".join(line.split()) for line in text.splitlines()]
    joined = ""
    for line in filter(None, lines):
        joined += ("" if not joined else " " if joined[-1] in ".,;:!?" else ", ") + line
    if len(joined) > MAX_PROMPT:
        raise _too_long(name)
    return joined


def write_caption(picture: Path, caption: str) -> Path:
    """Write a caption beside its picture, as UTF-8 in one line; gives the file. Raises FileTooLarge, DiskFull and the like."""
    if len(caption) > MAX_PROMPT:
        raise _too_long(picture.name)
    path = picture.with_suffix(".txt")
    try:
        write_atomically(path, caption_bytes(caption))
    except OSError as error:
        raise from_os_error(error, f"write {path.name}") from error
    return path


def caption_bytes(caption: str) -> bytes:
    """What stands in a caption's file."""
    # kohya reads the first line alone.
    return (" ".join(caption.split()) + "\n").encode()


def _preview(captions: Captions, change: Callable[[str], str]) -> CaptionPreview:
    changes: list[CaptionChange] = []
    for picture_id, before in captions.items():
        after = change(before)
        if len(after) > MAX_PROMPT:
            raise InvalidFieldValue(
                f"A caption would have {len(after):,} characters; {MAX_PROMPT:,} are the most.",
                field=None,
                remedy="Add less, or shorten the captions first.",
            )
        if after != before:
            changes.append(CaptionChange(id=picture_id, before=before, after=after))
    return CaptionPreview(changes=tuple(changes))


def _retagged(caption: str, change: Callable[[str], str | None]) -> str:
    before = tags_of(caption)
    after = [kept for tag in before if (kept := change(tag)) is not None]
    # Spaces and commas that somebody wrote differently are no change of tags.
    return caption if list(before) == after else ", ".join(after)


def _key(tag: str) -> str:
    return " ".join(tag.replace("_", " ").split()).casefold()


def _said(text: str, field: str = "text") -> str:
    text = " ".join(text.split())
    if not text:
        raise MissingRequiredField("There is nothing to add." if field == "text" else f"“{field}” is empty.", field=field)
    return text


def _too_long(name: str) -> FileTooLarge:
    return FileTooLarge(
        f"The caption in “{name}” has more than {MAX_PROMPT:,} characters.",
        field="caption",
        remedy="Shorten it: models read some hundred words at most.",
    )
