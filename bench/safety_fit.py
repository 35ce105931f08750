"""How the learned half of the safety check is made: regularised logistic regression over the seen half of the corpus. Numpy alone.

Nothing is drawn at random but the folds, whose seed is fixed: the same corpus and rules give the same weights.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from studio.safety import told_of
from studio.safety_learned import DOUBT, FEW, SLOTS, Learned, stretches

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
# How little is held back against weights; larger fits the corpus more closely.
FIT = 50.0
FOLDS = 5
SEED = 20
# Log-odds; what each costs is printed when the weights are fitted.
THRESHOLDS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
THRESHOLD = 0.5
# What a text scores of which nothing is known: it is harmless until something says otherwise.
BIAS = -1.0


@dataclass(frozen=True)
class Rows:
    """Stretches of texts as a sparse matrix: `slots` of all, where each begins (`starts`), which text it is of, and that text's label."""

    slots: NDArray[np.int64]
    starts: NDArray[np.int64]
    text: NDArray[np.int64]
    refuse: Bools

    @property
    def lengths(self) -> NDArray[np.int64]:
        """How many features each has."""
        return np.diff(np.append(self.starts, len(self.slots)))

    def of(self, texts: Bools) -> Rows:
        """The rows of the texts that are chosen."""
        chosen = texts[self.text]
        lengths = self.lengths
        starts = np.concatenate([[0], np.cumsum(lengths[chosen])[:-1]]).astype(np.int64)
        return Rows(self.slots[np.repeat(chosen, lengths)], starts, self.text[chosen], self.refuse[chosen])


def rows_of(told: Sequence[str], refuse: Sequence[bool]) -> Rows:
    """The rows of texts as the model reads them."""
    slots: list[int] = []
    starts: list[int] = []
    texts: list[int] = []
    for number, text in enumerate(told):
        for stretch in stretches(text):
            starts.append(len(slots))
            texts.append(number)
            slots += sorted(stretch)
    labels = np.array(refuse, bool)
    return Rows(np.array(slots, np.int64), np.array(starts, np.int64), np.array(texts, np.int64), labels[texts])


def fitted(rows: Rows) -> Floats:
    """Weights that separate the rows, both kinds counting the same in all."""
    lengths = rows.lengths
    scale = 1 / np.sqrt(np.maximum(lengths, FEW))
    row = np.repeat(np.arange(len(lengths)), lengths)
    sign = np.where(rows.refuse, 1.0, -1.0)
    # A text of many stretches counts no more than a short one.
    share = 1 / np.bincount(rows.text)[rows.text]
    cost = FIT * share * share.sum() / 2 / np.where(rows.refuse, share[rows.refuse].sum(), share[~rows.refuse].sum())

    def loss(at: Floats) -> tuple[float, Floats]:
        margin = sign * (np.add.reduceat(at[rows.slots], rows.starts) * scale + BIAS)
        pull = -cost * sign / (1 + np.exp(np.clip(margin, -50, 50)))
        slope = np.bincount(rows.slots, (pull * scale)[row], SLOTS) + at
        return float((cost * np.logaddexp(0, -margin)).sum() + at @ at / 2), slope

    return minimum(loss, np.zeros(SLOTS))


def minimum(loss: Callable[[Floats], tuple[float, Floats]], at: Floats, steps: int = 120, memory: int = 10) -> Floats:
    """Where a smooth convex function is least: L-BFGS (Nocedal and Wright, algorithm 7.5) with halved steps."""
    value, slope = loss(at)
    moves: list[tuple[Floats, Floats]] = []
    for _ in range(steps):
        way = slope.copy()
        parts = []
        for move, turn in reversed(moves):
            part = move @ way / (turn @ move)
            parts.append(part)
            way -= part * turn
        way *= moves[-1][0] @ moves[-1][1] / (moves[-1][1] @ moves[-1][1]) if moves else 1 / np.linalg.norm(slope)
        for (move, turn), part in zip(moves, reversed(parts), strict=True):
            way += move * (part - turn @ way / (turn @ move))
        size = 1.0
        next_value, next_slope = loss(at - way)
        while next_value > value - 1e-4 * size * (slope @ way) and size > 1e-8:
            size /= 2
            next_value, next_slope = loss(at - size * way)
        moves = [*moves, (-size * way, next_slope - slope)][-memory:]
        done = value - next_value < 1e-6 * abs(value)
        at, value, slope = at - size * way, next_value, next_slope
        if done:
            break
    return at


def scores(rows: Rows, weights: Floats, texts: int) -> Floats:
    """The score of each text: that of its worst stretch."""
    each = np.add.reduceat(weights[rows.slots], rows.starts) / np.sqrt(np.maximum(rows.lengths, FEW)) + BIAS
    worst = np.full(texts, -np.inf)
    np.maximum.at(worst, rows.text, each)
    worst -= DOUBT * (np.bincount(rows.text, minlength=texts) > 1)
    return worst


def out_of_sample(texts: Sequence[str], refuse: Sequence[bool]) -> Floats:
    """The score of each text by weights that were fitted without it."""
    told = [told_of(text) for text in texts]
    rows = rows_of(told, refuse)
    fold = np.random.default_rng(SEED).integers(0, FOLDS, len(told))
    found = np.zeros(len(told))
    for held in range(FOLDS):
        found[fold == held] = scores(rows, fitted(rows.of(fold != held)), len(told))[fold == held]
    return found


def counted(found: Floats, refuse: Sequence[bool], threshold: float) -> tuple[int, int, int, int]:
    """How many there were to refuse, how many scores above the threshold are right and how many wrong, and how many there were to allow."""
    wanted = np.array(refuse, bool)
    refused = found > threshold
    return int(wanted.sum()), int((wanted & refused).sum()), int((refused & ~wanted).sum()), int((~wanted).sum())


def learn(texts: Sequence[str], refuse: Sequence[bool]) -> Learned:
    """Weights for all the texts, in whole numbers of one byte."""
    told = [told_of(text) for text in texts]
    weights = fitted(rows_of(told, refuse))
    # Beyond this few weights lie; they are cut off, so that the others are rounded less.
    step = float(np.quantile(np.abs(weights[weights != 0]), 0.9995) / 127)
    whole = np.clip(np.rint(weights / step), -127, 127).astype(np.int8)
    return Learned(array("b", whole.tobytes()), step, BIAS, THRESHOLD, fingerprint(texts, refuse))


def fingerprint(texts: Sequence[str], refuse: Sequence[bool]) -> str:
    """What the weights were trained on, as the rules read it: other texts, labels or names give another."""
    lines = sorted(json.dumps([told_of(text), bool(no)]) for text, no in zip(texts, refuse, strict=True))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
