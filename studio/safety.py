"""The lines that never move: no sexualised minors, no undressing or sexualising of real people, no face of one person on another's photo.

Words are normalised first (Unicode, accents, look-alike letters and digits, letters pulled apart, doubled, scrambled or turned round), then
a request is refused when the two halves of a forbidden thing meet in one text, such as a minor and sexual content. Word lists
(`studio/safety_words.py`), not a language model: docs/safety.md says what that can and can't do.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from itertools import accumulate, chain
from pathlib import Path

from studio.errors import SafetyFilter
from studio.safety_learned import suspicious
from studio.safety_names import SHOWN, THEIRS, with_names
from studio.safety_swap import (
    FACE_MOVES,
    HONEST,
    LIT_FACE,
    NOBODYS_FACE,
    PICTURE,
    POINTED,
    SOMEBODY,
    SWAP_GRAMMAR,
    SWAP_HINT,
    SWAP_LOOSE,
    SWAP_NAMED,
    SWAP_NEAR,
)
from studio.safety_wide import KIN, heated, mine, nothing_on, points, swaps, uncensored, young
from studio.safety_words import (
    AGE_WORDS,
    AGES,
    ALWAYS,
    ALWAYS_ON_PEOPLE,
    ALWAYS_STEMS,
    BARE,
    BARE_OF,
    CLOTHES_GONE,
    ELEVEN,
    EXPLICIT,
    EXPLICIT_PHRASES,
    EXPLICIT_STEMS,
    GROWN,
    HANDLE,
    HARMLESS,
    INVENTED_GIRL,
    INVENTED_ROLE,
    KEYWORDS,
    KNOWN,
    MINOR,
    MINOR_BESIDE,
    NOTHING_ON,
    NUMBERS,
    ORDER,
    ORDER_WIDE,
    PUBLIC,
    RELATION,
    ROLE,
    SHORT_WORDS,
    SUGGESTIVE,
    SUGGESTIVE_PHRASES,
    SWAP,
    TOOLS,
    UNDRESSING,
    YOUNG,
)

_LETTERS: dict[int, int | str] = {
    **str.maketrans(
        "авеёзкмнорстухіїјѕԁһԛԝɡαβεικνορτυχηωγμσλδθєӏпиьвɐɔǝɥɯɹʇʌʎʟɴɪᴀʙᴄᴅᴇꜰɢʜᴊᴋᴍᴏᴘǫʀꜱᴛᴜᴠᴡʏᴢıłđøƒħŧ",
        "abee3kmhopctyxiijsdhqwgabeiknoptuxnwyusldoelnnbbacehmrtvylniabcdefghjkmopqrstuvwyzildofht",
    ),
    ord("ξ"): "e",
    ord("ς"): "s",
    ord("ζ"): "z",
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
_SPACED_YEARS = re.compile(r"\b(1)[ ._-]([0-7])(?= ?-?(?:year|yo\b|y/o|y\.o|yr|jahr|ans\b|anos\b|anyos\b|anni\b|jaar))")
_SPLIT = re.compile(r"(?<=[a-z])[._*~^+|/\\-]+(?=[a-z])")
_TOKEN = re.compile(r"\S+")
_A_NUMBER = re.compile(r"[0-9,.;:]+|[0-9]{1,2}(?:-?yo|-?y/o|-?yrs?|-?years?|f|m)[,.;:]*")
_HYPHEN = re.compile(r"(?<=[a-z0-9])-(?=[a-z0-9])")
_DRAWN_OUT = re.compile(r"([a-z])\1{2,}")
_DOUBLED = re.compile(r"\b(?:([a-z])\1){3,}\b")
_MASKED = re.compile(r"(?<![a-z*#])[a-z]+[*#]+[a-z]+(?![a-z*#])|(?<![a-z*#])[*#][a-z]{2,}(?![a-z*#])")
_WORD = re.compile(r"[a-z]+(?:-[a-z]+)?")
_NO_SLIPS = Path(__file__).with_name("safety_no_slips.txt")
_NAMES = Path(__file__).with_name("public_names.txt")

_SEXUAL = EXPLICIT | SUGGESTIVE
_LISTED = MINOR | _SEXUAL | UNDRESSING
_LONG = tuple(word for word in _LISTED if len(word) >= 4 and "-" not in word)
_LONG_MINOR = tuple(word for word in _LONG if word in MINOR)
_LONG_SEXUAL = tuple(word for word in _LONG if word not in MINOR)
_REAL = "Likeness never undresses or sexualises a real person."
_LIKE_REFUSED = (
    "This reads like what Likeness never makes: sexual pictures of minors, real people undressed or sexualised, "
    "one person's face on another's photo."
)
_SAY_IT_PLAINLY = (
    "If it is meant otherwise, say so in other words: that the character is invented and adult, or which thing is to change and to what."
)
_VOWELS = "aeiou"
_TWO_WORDS = re.compile(r"\b([a-z]{4,}) (?=([a-z]{4,})\b)")
_LETTERS_ONLY = re.compile(r"[a-z]+")
_PIECE = re.compile(r"[a-z]+|[^a-z]+")
_GLUE = frozenset(" -_./|~+")
_AGE_INSIDE = re.compile(r"\b([a-z]{3,})(\d{1,2})([a-z]*)\b")
_SHORTEST_PAIR, _LONGEST_PAIR = 7, 48


def check(texts: Sequence[str]) -> None:
    """Refuse what crosses a line. Every text of a request is read by itself and together with the others. Raises SafetyFilter."""
    texts = [text for text in texts if text]
    read = [normalise(text) for text in texts]
    named = [normalise(with_names(text, SOMEBODY)) for text in texts]
    readings = (reading for text in {*read, "\n".join(read)} for reading in _readings(text))
    for reading in chain(readings, {*named, "\n".join(named)} - {*read, "\n".join(read)}):
        reason = _crossed(reading)
        if reason:
            raise SafetyFilter(reason, field="prompt")
    # What has no spaces is a name, such as those of files and choices in a graph.
    prose = dict.fromkeys(text for text in named if " " in text)
    if any(suspicious(_called_by_one_name(text)) for text in {*prose, "\n".join(prose)}):
        raise SafetyFilter(_LIKE_REFUSED, field="prompt", remedy=_SAY_IT_PLAINLY)


def told_of(text: str) -> str:
    """A text as the learned reading gets it: normalised, and whoever the asker or the world knows by one name."""
    return _called_by_one_name(normalise(with_names(text, SOMEBODY)))


def _called_by_one_name(text: str) -> str:
    text = _meant_well(text)
    return _told(text, set(_WORD.findall(text)))


def normalise(text: str) -> str:
    """Lower case without accents, invisible characters and letters pulled apart; digits stay (ages need them)."""
    # The ñ of niña tells a girl from the name Nina.
    plain = unicodedata.normalize("NFC", text).casefold().replace("niñ", "niny").translate(_QUOTES).replace(" w/", " with ")
    if not plain.isascii():
        plain = unicodedata.normalize("NFKD", plain).casefold()
        plain = "".join(ch for ch in plain if unicodedata.category(ch) not in _UNSEEN and ch not in _BLANKS).translate(_LETTERS)
    together = _SPACED.sub(lambda found: re.sub(r"[^a-z0-9@$!]+", "", found[0]), plain)
    together = _SPACED_YEARS.sub(r"\1\2", together)
    # One space at most: patterns that may skip spaces would otherwise try every way to share a long run of them.
    return " ".join(together.split())


_QUOTES = dict.fromkeys(map(ord, '"“”„«»‟'), " ")
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
            # Numbers that stand alone are ages, and no letters; "15yo" is one too.
            meant = _TOKEN.sub(lambda found, table=table: found[0] if _A_NUMBER.fullmatch(found[0]) else found[0].translate(table), text)
            yield meant
            yield _LETTERS_ONLY.sub(lambda found: _mended(found[0]), meant)
            yield _SPLIT.sub("", meant)
    yield _SPLIT.sub("", text)
    if "-" in text:
        yield _HYPHEN.sub(" ", text)
    for letters in (r"\1", r"\1\1"):
        yield _DRAWN_OUT.sub(letters, text)
    if _AGE_INSIDE.search(text):
        yield _AGE_INSIDE.sub(r"\1 \2 \3", text)
    whole = _put_together(text)
    yield whole
    yield _names_mended(_LETTERS_ONLY.sub(lambda found: _mended(found[0]), whole))
    yield _DOUBLED.sub(lambda found: found[0][::2], text)


def _put_together(text: str) -> str:
    """The text with listed words in one piece that were written in several: "fa ce-s wap", "nak ed"."""
    pieces = _PIECE.findall(text)
    read: list[str] = []
    at = 0
    while at < len(pieces):
        end, word = at + 1, pieces[at]
        if word in _starts():
            longest, grown = at + 1, word
            while end + 1 < len(pieces) and len(pieces[end]) == 1 and pieces[end] in _GLUE:
                grown += pieces[end + 1]
                end += 2
                if grown not in _starts():
                    break
                parts = pieces[at:end:2]
                if grown in _wholes() and min(map(len, parts)) < 4 and not all(part in SHORT_WORDS for part in parts):
                    longest, word = end, grown
            end = longest
        read.append(word)
        at = end
    return "".join(read)


@cache
def _wholes() -> frozenset[str]:
    return frozenset(word for word in _LISTED | KEYWORDS if len(word) > 3 and "-" not in word)


@cache
def _starts() -> frozenset[str]:
    return frozenset(word[:length] for word in _wholes() for length in range(1, len(word) + 1))


def _names_mended(text: str) -> str:
    """The text with names of two words right of which either has a slip of the finger: no word alone ("back" is no "Black")."""
    pairs = _pairs_of_names()

    def right(found: re.Match[str]) -> str:
        meant = ((first, second) for first in _slips_of_names(found[1]) for second in _slips_of_names(found[2]))
        return next((f"{first} {second} " for first, second in meant if (first, second) in pairs), found[0])

    return _TWO_WORDS.sub(right, text)


@cache
def _long_names() -> tuple[frozenset[str], int]:
    names = frozenset(name for line in _name_lines() if len(name := re.sub("[^a-z]+", "", normalise(line))) > 8)
    return names, max(map(len, names))


@cache
def _pairs_of_names() -> frozenset[tuple[str, ...]]:
    return frozenset(parts for line in _name_lines() if len(parts := tuple(normalise(line).split())) == 2)


@lru_cache(maxsize=1 << 15)
def _slips_of_names(word: str) -> tuple[str, ...]:
    return tuple(_slips(word, _parts_of_names(), _shortened_names()))


@lru_cache(maxsize=1 << 15)
def _mended(word: str) -> str:
    """The listed word that a word with one slip of the finger, or without its vowels, was meant to be."""
    if len(word) > 20 or word in _wholes() or word in _no_slips():
        return word
    if not any(vowel in word for vowel in _VOWELS) and word in _skeletons():
        return _skeletons()[word]
    return next(_slips(word, _wholes(), _shortened()), word)


def _slips(word: str, meant: frozenset[str], shortened: dict[str, tuple[str, ...]]) -> Iterator[str]:
    """The words that this one may be with one slip; only itself when it is one of them."""
    if word in meant:
        yield word
    if word in meant or len(word) < 4:
        return
    for at in range(len(word) - 1):
        turned = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        if turned in meant:
            yield turned
        # A letter too many: any in a long word, a doubled one in a short.
        if (len(word) > 5 or word[at] == word[at + 1]) and (fewer := word[:at] + word[at + 1 :]) in meant:
            yield fewer
    for seen, letter in (("v", "u"), ("u", "v"), ("vv", "w"), ("rn", "m"), ("q", "g"), ("ph", "f")):
        if seen in word and (alike := word.replace(seen, letter)) in meant:
            yield alike
    if len(word) > 5 and word[:-1] in meant and word[-1] not in "sey":
        yield word[:-1]
    yield from shortened.get(word, ())
    for at, letter in enumerate(word[1:], 1):
        if letter in _VOWELS and len(word) > 4:
            for other in _VOWELS:
                if word[:at] + other + word[at + 1 :] in meant:
                    yield word[:at] + other + word[at + 1 :]


@cache
def _no_slips() -> frozenset[str]:
    lines = _NO_SLIPS.read_text(encoding="utf-8").splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())


@cache
def _parts_of_names() -> frozenset[str]:
    return frozenset(part for pair in _pairs_of_names() for part in pair if part.isalpha())


@cache
def _shortened() -> dict[str, tuple[str, ...]]:
    return _without_a_letter(_wholes())


@cache
def _shortened_names() -> dict[str, tuple[str, ...]]:
    return _without_a_letter(_parts_of_names())


def _without_a_letter(words: frozenset[str]) -> dict[str, tuple[str, ...]]:
    """Every longer word without one of its letters, and what it was."""
    short: dict[str, tuple[str, ...]] = {}
    for word in sorted(words):
        if len(word) > 4:
            for less in {word[:at] + word[at + 1 :] for at in range(1, len(word))}:
                short[less] = (*short.get(less, ()), word)
    return short


@cache
def _skeletons() -> dict[str, str]:
    bones = ((re.sub("[aeiou]", "", word), word) for word in sorted(_wholes(), reverse=True))
    return {bone: word for bone, word in bones if len(bone) > 2}


def _meant_well(text: str) -> str:
    """The text without phrases that only sound forbidden; whoever is said to be invented reads so."""
    return INVENTED_GIRL.sub(r"my character \1", INVENTED_ROLE.sub("invented adult", GROWN.sub("30", HARMLESS.sub(" ", text))))


def _crossed(text: str) -> str | None:
    text = _meant_well(text)
    words = _words(text)
    explicit = (
        bool(words & EXPLICIT) or any(map(EXPLICIT_STEMS.fullmatch, words)) or bool(BARE.search(text) or EXPLICIT_PHRASES.search(text))
    )
    sexual = explicit or bool(words & SUGGESTIVE) or bool(SUGGESTIVE_PHRASES.search(text))
    if words & ALWAYS or any(map(ALWAYS_STEMS.search, words)):
        return "Likeness never makes sexual pictures of minors."
    told = _told(text, words)
    bare = explicit or bool(words & UNDRESSING)
    if (_has_minor(text, words) or young(text)) and (sexual or bare or heated(text) or nothing_on(text) or NOTHING_ON.search(text)):
        return "Likeness never makes sexual pictures of minors."
    if _swaps(text, told) or any(map(swaps, {told, text})):
        return "Likeness never puts one person's face on another's photo."
    explicit = bare
    if words & ALWAYS_ON_PEOPLE or TOOLS.search(text) or ORDER.search(text) or ORDER_WIDE.search(text):
        return _REAL
    if (sexual or explicit or BARE_OF.search(text)) and _is_real(text, told):
        return _REAL
    if (explicit and PUBLIC.search(text)) or (sexual and ROLE.search(text)):
        return _REAL
    if (_is_real(text, told) or PUBLIC.search(text) or ROLE.search(text) or points(text)) and (NOTHING_ON.search(told) or nothing_on(told)):
        return _REAL
    if uncensored(text):
        return _REAL
    if ((sexual or bare) and points(text)) or (bare and mine(text)):
        return _REAL
    if POINTED.search(text) and (BARE_OF.search(text) or CLOTHES_GONE.search(text)):
        return _REAL
    return None


def _told(text: str, words: set[str]) -> str:
    """The text with everybody whom the asker or the world knows by one name."""
    for pattern in _names_in(words):
        text = pattern.sub(SOMEBODY, text)
    return KIN.sub(SOMEBODY, THEIRS.sub(SOMEBODY, RELATION.sub(SOMEBODY, text)))


def _swaps(text: str, told: str) -> bool:
    return _moves_faces(text, told) and _moves_faces(LIT_FACE.sub("thing", text), LIT_FACE.sub("thing", told))


def _moves_faces(text: str, told: str) -> bool:
    if SWAP.search(text) and SWAP.search(NOBODYS_FACE.sub("thing", text)):
        return True
    if not SWAP_HINT.search(told):
        return False
    told = NOBODYS_FACE.sub("thing", told)
    if SWAP_NAMED.search(told) or SWAP_GRAMMAR.search(told) or SWAP_LOOSE.search(told):
        return True
    if PICTURE.search(told) and SWAP_NEAR.search(told):
        return True
    return all(part.search(told) for part in FACE_MOVES) and not HONEST.search(told)


def _is_real(text: str, told: str) -> bool:
    if SOMEBODY in told or KNOWN.search(text) or HANDLE.search(text) or SHOWN.search(text):
        return True
    # "Em ma Wat son"
    pieces = _LETTERS_ONLY.findall(text)
    letters = "".join(pieces)
    edges = [0, *accumulate(map(len, pieces))]
    names, longest = _long_names()
    for at, start in enumerate(edges):
        for end in edges[at + 1 :]:
            if end - start > longest:
                break
            if letters[start:end] in names:
                return True
    return False


def _words(text: str) -> set[str]:
    """The words of a text, their parts, and the listed ones that they hide."""
    words = set(_WORD.findall(text))
    words |= {part for word in words if "-" in word for part in word.split("-")}
    words |= {_DRAWN_OUT.sub(letters, word) for word in words if _DRAWN_OUT.search(word) for letters in (r"\1", r"\1\1")}
    hidden = {part for word in words for part in _hidden(word)}
    hidden |= {meant for masked in set(_MASKED.findall(text)) for meant in _unmasked(masked)}
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
    if ELEVEN.search(text):
        return True
    ages = (found["years"] for pattern in AGES for found in pattern.finditer(text))
    return any(0 < (NUMBERS[age] if age in NUMBERS else int(age)) < 18 for age in ages)


def _names_in(words: set[str]) -> Iterator[re.Pattern[str]]:
    """The names that may be in a text of these words."""
    names = _public_names()
    # In order: names may overlap, and a text must read the same every time.
    return (pattern for word in sorted(words) if word in names for pattern in names[word])


@cache
def _public_names() -> dict[str, tuple[re.Pattern[str], ...]]:
    """People whose pictures are abused most, by the first word: full names only, so that a character may share a first name with one."""
    names: dict[str, tuple[re.Pattern[str], ...]] = {}
    for line in _name_lines():
        name = normalise(line)
        pattern = re.compile(r"\b" + re.escape(name).replace(r"\ ", r"[\s_-]*") + r"s?\b")
        # Also as one word, or joined by a hyphen as `_WORD` reads it.
        for first in {*_WORD.findall(name)[:1], *_WORD.findall(re.sub("[^a-z-]+", "", name)), *_WORD.findall(name.replace(" ", "-"))[:1]}:
            for written in (first,) if " " in name else (first, f"{first}s"):
                names[written] = (*names.get(written, ()), pattern)
    return names


@cache
def _name_lines() -> tuple[str, ...]:
    return tuple(line for line in _NAMES.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#"))
