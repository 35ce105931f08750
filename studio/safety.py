"""The lines that never move: no sexualised minors, no undressing or sexualising of real people, no face of one person on another's photo.

Words are normalised first (Unicode, accents, look-alike letters and digits, letters pulled apart, doubled, scrambled or turned round), then
a request is refused when the two halves of a forbidden thing meet in one text, such as a minor and sexual content. Word lists
(`studio/safety_words.py`), not a language model: docs/safety.md says what that can and can't do.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from studio.errors import SafetyFilter
from studio.safety_words import (
    AGE_WORDS,
    AGES,
    ALWAYS,
    ALWAYS_ON_PEOPLE,
    BARE,
    EXPLICIT,
    EXPLICIT_PHRASES,
    EXPLICIT_STEMS,
    GROWN,
    HARMLESS,
    KNOWN,
    MINOR,
    MINOR_BESIDE,
    NUMBERS,
    ORDER,
    PUBLIC,
    SUGGESTIVE,
    SUGGESTIVE_PHRASES,
    SWAP,
    UNDRESSING,
    YOUNG,
)

_LETTERS: dict[int, int | str] = {
    **str.maketrans(
        "авеёзкмнорстухіїјѕԁһԛԝɡαβεικνορτυχηωγμσλδθєӏпиьвɐɔǝɥɯɹʇʌʎʟɴɪᴀʙᴄᴅᴇꜰɢʜᴊᴋᴍᴏᴘǫʀꜱᴛᴜᴠᴡʏᴢıłđøƒħŧ",
        "abee3kmhopctyxiijsdhqwgabeiknoptuxnwyusldoelnnbbacehmrtvylniabcdefghjkmopqrstuvwyzildofht",
    ),
    ord("œ"): "oe",
    ord("æ"): "ae",
    # Letters in squares and circles, and those that flags are spelled with.
    **{first + at: ord("a") + at for first in (0x1F130, 0x1F150, 0x1F170, 0x1F1E6) for at in range(26)},
}
# Letters to Unicode, nothing to the eye.
_BLANKS = frozenset("\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
_LOOKALIKES = tuple(str.maketrans("0345789+62@$|€£¢(¡¥×!1", "oeastbgtgzaslelcciyx" + one * 2) for one in "il")
_DISGUISE = re.compile(r"(?<=[a-z])[0-9@$!|€£¢+(¡¥×]|[0-9@$!|€£¢+(¡¥×](?=[a-z])")
_SPACED = re.compile(r"(?<![a-z0-9@$])[a-z0-9@$!]( [.\-_*/|·•~+] |[,;] |[ .\-_*/|,·•~+])[a-z0-9@$!](?:\1[a-z0-9@$!])+(?![a-z0-9@$])")
_SPACED_YEARS = re.compile(r"\b(1) ([0-7])(?= ?-?(?:year|yo\b|y/o|jahr|ans\b|anos\b|anyos\b))")
_SPLIT = re.compile(r"(?<=[a-z])[._*~^+|/\\-]+(?=[a-z])")
_DRAWN_OUT = re.compile(r"([a-z])\1{2,}")
_DOUBLED = re.compile(r"\b(?:([a-z])\1){3,}\b")
_MASKED = re.compile(r"(?<![a-z*#])[a-z]+[*#]+[a-z]+(?![a-z*#])|(?<![a-z*#])[*#][a-z]{2,}(?![a-z*#])")
_WORD = re.compile(r"[a-z]+(?:-[a-z]+)?")
_NAMES = Path(__file__).with_name("public_names.txt")

_SEXUAL = EXPLICIT | SUGGESTIVE
_LISTED = MINOR | _SEXUAL | UNDRESSING
_LONG = tuple(word for word in _LISTED if len(word) >= 4 and "-" not in word)
_LONG_MINOR = tuple(word for word in _LONG if word in MINOR)
_LONG_SEXUAL = tuple(word for word in _LONG if word not in MINOR)
_SHORTEST_PAIR, _LONGEST_PAIR = 7, 48


def check(texts: Sequence[str]) -> None:
    """Refuse what crosses a line. Every text of a request is read by itself and together with the others. Raises SafetyFilter."""
    read = [normalise(text) for text in texts if text]
    joined = "\n".join(read)
    for text in {*read, joined}:
        for reading in _readings(text):
            reason = _crossed(reading)
            if reason:
                raise SafetyFilter(reason, field="prompt")


def normalise(text: str) -> str:
    """Lower case without accents, invisible characters and letters pulled apart; digits stay (ages need them)."""
    # The ñ of niña tells a girl from the name Nina.
    plain = unicodedata.normalize("NFC", text).casefold().replace("niñ", "niny")
    if not plain.isascii():
        plain = unicodedata.normalize("NFKD", plain).casefold()
        plain = "".join(ch for ch in plain if unicodedata.category(ch) not in _UNSEEN and ch not in _BLANKS).translate(_LETTERS)
    together = _SPACED.sub(lambda found: re.sub(r"[^a-z0-9@$!]+", "", found[0]), plain)
    together = _SPACED_YEARS.sub(r"\1\2", together)
    # One space at most: patterns that may skip spaces would otherwise try every way to share a long run of them.
    return " ".join(together.split())


_UNSEEN = frozenset({"Mn", "Me", "Cf"})


def _readings(text: str) -> Iterator[str]:
    """A text as it is written, and as it may be meant; each once."""
    seen = {text}
    yield text
    for reading in _other_readings(text):
        if reading not in seen:
            seen.add(reading)
            yield reading


def _other_readings(text: str) -> Iterator[str]:
    if _DISGUISE.search(text):
        for table in _LOOKALIKES:
            # Numbers that stand alone are ages, and no letters.
            meant = re.sub(r"\S*[^\s\d,.;:]\S*", lambda found, table=table: found[0].translate(table), text)
            yield meant
            yield _SPLIT.sub("", meant)
    yield _SPLIT.sub("", text)
    for letters in (r"\1", r"\1\1"):
        yield _DRAWN_OUT.sub(letters, text)
    yield _DOUBLED.sub(lambda found: found[0][::2], text)


def _crossed(text: str) -> str | None:
    text = GROWN.sub("30", HARMLESS.sub(" ", text))
    words = _words(text)
    explicit = (
        bool(words & EXPLICIT) or any(map(EXPLICIT_STEMS.fullmatch, words)) or bool(BARE.search(text) or EXPLICIT_PHRASES.search(text))
    )
    sexual = explicit or bool(words & SUGGESTIVE) or bool(SUGGESTIVE_PHRASES.search(text))
    if words & ALWAYS or ((sexual or words & UNDRESSING) and _has_minor(text, words)):
        return "Likeness never makes sexual pictures of minors."
    if SWAP.search(text):
        return "Likeness never puts one person's face on another's photo."
    explicit = explicit or bool(words & UNDRESSING)
    real = words & ALWAYS_ON_PEOPLE or ORDER.search(text)
    if real or ((explicit or sexual) and (KNOWN.search(text) or _has_public_name(text))) or (explicit and PUBLIC.search(text)):
        return "Likeness never undresses or sexualises a real person."
    return None


def _words(text: str) -> set[str]:
    """The words of a text, their parts, and the listed ones that they hide."""
    words = set(_WORD.findall(text))
    words |= {part for word in words if "-" in word for part in word.split("-")}
    words |= {_DRAWN_OUT.sub(letters, word) for word in words if _DRAWN_OUT.search(word) for letters in (r"\1", r"\1\1")}
    hidden = {part for word in words for part in _hidden(word)}
    hidden |= {meant for masked in _MASKED.findall(text) for meant in _unmasked(masked)}
    turned = {word[::-1] for word in words if len(word) > 3 and word[::-1] in _LISTED}
    # Turned round, a word alone may be chance ("neet"); two are not.
    return words | hidden | (turned if len(turned) > 1 else set())


def _hidden(word: str) -> Iterator[str]:
    """What was written as one ("nakedchild"), where both halves are on a list, or with its inner letters shuffled ("chlid")."""
    if word not in _LISTED:
        yield from _scrambled().get(_shape(word), ())
    if len(word) < _SHORTEST_PAIR or len(word) > _LONGEST_PAIR:
        return
    for at in range(3, len(word) - 2):
        if word[:at] in _LISTED and word[at:] in _LISTED:
            yield word[:at]
            yield word[at:]
    if len(word) > 8:
        minor = [part for part in _LONG_MINOR if part in word]
        if minor:
            sexual = [part for part in _LONG_SEXUAL if part in word]
            if sexual:
                yield from minor
                yield from sexual


def _shape(word: str) -> tuple[str, str, str]:
    return word[:1], "".join(sorted(word[1:-1])), word[-1:]


@cache
def _scrambled() -> dict[tuple[str, str, str], tuple[str, ...]]:
    shapes: dict[tuple[str, str, str], tuple[str, ...]] = {}
    for word in _LONG:
        if len(word) > 4:
            shapes[_shape(word)] = (*shapes.get(_shape(word), ()), word)
    return shapes


def _unmasked(word: str) -> Iterator[str]:
    """The listed words that a word with hidden letters may be: "n*de"."""
    pattern = re.compile(re.sub(r"[*#]", ".", word))
    return (listed for listed in _LONG if pattern.fullmatch(listed))


def _has_minor(text: str, words: set[str]) -> bool:
    if words & MINOR or YOUNG.search(text) or any(map(AGE_WORDS.search, words)):
        return True
    if any(word in words and words & company for word, company in MINOR_BESIDE.items()):
        return True
    ages = (found["years"] for pattern in AGES for found in pattern.finditer(text))
    return any(0 < (NUMBERS[age] if age in NUMBERS else int(age)) < 18 for age in ages)


def _has_public_name(text: str) -> bool:
    return bool(_public_names().search(text))


@cache
def _public_names() -> re.Pattern[str]:
    """People whose pictures are abused most: full names only, so that a character may share a first name with one."""
    names = [line for line in _NAMES.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    return re.compile(r"\b(?:" + "|".join(re.escape(normalise(name)).replace(r"\ ", r"[\s_-]*") for name in names) + r")\b")
