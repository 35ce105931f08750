"""The learned reading: a linear model over pieces of words, pairs of words and kinds of words, for what no rule has foreseen.

It was trained on tests/safety/seen.jsonl (`python launch.py bench safety --learn`), and reads what the rules read: normalised text in which
whoever the asker or the world knows goes by one name. Weights are whole numbers, so a text has the same score on every machine.
"""

from __future__ import annotations

import json
import re
import zlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import combinations, pairwise, starmap
from math import inf, sqrt
from pathlib import Path

from studio.safety_kinds import kinds

WEIGHTS = Path(__file__).with_name("safety_learned.bin")
SLOTS = 1 << 18
# Requests are short. In a long text each stretch is read by itself, so that harmless words around a request do not hide it.
WHOLE = 32
STRETCHES = (12, 24)
# Of many stretches one reads oddly by chance.
DOUBT = 0.75
# Fewer features than this say less.
FEW = 32
# Shorter texts are for the rules: of two or three words too little can be learned.
FEWEST = 4
_TOKEN = re.compile(r"[a-z0-9]+|[^\sa-z0-9]")
_SHORTEST, _LONGEST = 2, 5
# A word of thousands of letters is no word.
_WORD_END = 40
# How many words further one is still near.
_NEAR = 3


@dataclass(frozen=True)
class Learned:
    """The trained weights: a text's score is `step` × their sum ÷ the root of their number, plus `bias`; refused above `threshold`."""

    weights: array[int]
    step: float
    bias: float
    threshold: float
    corpus: str


def suspicious(told: str) -> bool:
    """Whether a text reads like those that are refused."""
    return sum(map(str.isalpha, _TOKEN.findall(told))) >= FEWEST and score(told) > learned().threshold


def score(told: str) -> float:
    """How much a text, or the worst stretch of a long one, reads like those that are refused: a log-odds."""
    known = learned()
    scores = [_score(slots, known) for slots in stretches(told)]
    return max(scores, default=-inf) - DOUBT * (len(scores) > 1)


def stretches(told: str) -> Iterator[frozenset[int]]:
    """The features of a text that is short, or of each overlapping stretch of a long one. Each feature counts once."""
    words = [word[:_WORD_END] for word in _TOKEN.findall(told)]
    if not words:
        return
    if len(words) <= WHOLE:
        yield features(words)
        return
    for length in STRETCHES:
        for start in range(0, len(words) - length // 2, length // 2):
            yield features(words[start : start + length])


def features(words: list[str]) -> frozenset[int]:
    """The slots of every word, its pieces of two to five letters, pairs of neighbours; of kinds of words, every two, and every two near."""
    slots: set[int] = set()
    for word in words:
        slots.update(_pieces(word))
    slots.update(zlib.crc32(f"{first} {second}".encode()) % SLOTS for first, second in pairwise(words))
    said = [kinds(word) for word in words]
    slots.update(starmap(_together, combinations(sorted({kind for each in said for kind in each}), 2)))
    for at, each in enumerate(said):
        if each:
            near = [kind for other in said[at + 1 : at + 1 + _NEAR] for kind in other]
            slots.update(_in_turn(first, second) for first in each for second in near)
    return frozenset(slots)


@lru_cache(maxsize=1 << 13)
def _pieces(word: str) -> tuple[int, ...]:
    edged = f" {word} "
    pieces = {edged[at : at + size] for size in range(_SHORTEST, _LONGEST + 1) for at in range(len(edged) - size + 1)}
    named = (f"={word}", *(f"#{kind}" for kind in kinds(word)))
    return tuple({zlib.crc32(piece.encode()) % SLOTS for piece in (*pieces, *named)})


@cache
def _together(kind: str, other: str) -> int:
    return zlib.crc32(f"#{kind}&{other}".encode()) % SLOTS


@cache
def _in_turn(kind: str, other: str) -> int:
    return zlib.crc32(f"#{kind}>{other}".encode()) % SLOTS


def _score(slots: frozenset[int], known: Learned) -> float:
    return known.step * sum(map(known.weights.__getitem__, slots)) / sqrt(max(len(slots), FEW)) + known.bias


@cache
def learned() -> Learned:
    """The weights in `safety_learned.bin`: a line of JSON, then one signed byte for each slot, compressed."""
    head, _, body = WEIGHTS.read_bytes().partition(b"\n")
    said = json.loads(head)
    return Learned(array("b", zlib.decompress(body)), said["step"], said["bias"], said["threshold"], said["corpus"])


def store(known: Learned, to: Path = WEIGHTS) -> None:
    """Write weights as `learned` reads them."""
    head = {"step": known.step, "bias": known.bias, "threshold": known.threshold, "corpus": known.corpus}
    to.write_bytes(json.dumps(head).encode() + b"\n" + zlib.compress(known.weights.tobytes(), 9))
