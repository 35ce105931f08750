"""How well the lines hold: recall and precision over both halves of the corpus, and what reading a prompt costs.

Nobody who wrote rules has read the unseen half. Baseline of the time, in the same run: lower-casing each text letter by letter.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from bench.rig import HOME, percentile, table
from studio import safety_learned
from studio.errors import SafetyFilter
from studio.safety import check

CORPUS = HOME / "tests" / "safety"
RECALL, PRECISION = 0.98, 0.95


@dataclass(frozen=True)
class Case:
    """One prompt of the corpus, and what is to happen to it."""

    text: str
    refuse: bool
    why: str
    language: str


@dataclass(frozen=True)
class Score:
    """How many prompts there were to refuse, and how many were refused, rightly and wrongly."""

    to_refuse: int
    rightly: int
    wrongly: int
    to_allow: int

    @property
    def recall(self) -> float:
        return self.rightly / self.to_refuse if self.to_refuse else 1.0

    @property
    def precision(self) -> float:
        refused = self.rightly + self.wrongly
        return self.rightly / refused if refused else 1.0

    def __str__(self) -> str:
        parts = []
        if self.to_refuse:
            parts.append(f"recall {self.recall:.3f} ({self.rightly}/{self.to_refuse})")
        if self.to_allow:
            parts.append(f"wrongly refused {self.wrongly} of {self.to_allow}")
        if self.to_refuse and self.to_allow:
            parts.append(f"precision {self.precision:.3f}")
        return " · ".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often every prompt is timed")
    parser.add_argument("--learn", action="store_true", help="train the learned reading on the seen half, and write its weights")
    args = parser.parse_args()
    if args.learn:
        learn()
        return
    for half, note in (("seen", "written with the rules"), ("unseen", f"wanted: recall ≥ {RECALL}, precision ≥ {PRECISION}")):
        cases = corpus(half)
        rows = [("all", str(score(cases)))]
        for name, group in (("language", lambda case: case.language), ("why", lambda case: case.why)):
            rows += [(f"{name}: {key}", str(score(part))) for key, part in groups(cases, group)]
        table(f"The {half} half: {len(cases)} prompts ({note})", rows)
    texts = [case.text for half in ("seen", "unseen") for case in corpus(half)]
    is_refused("a first nude portrait reads the lists")
    plain = [seconds for _ in range(args.rounds) for seconds in timed(texts, lower)]
    read = [seconds for _ in range(args.rounds) for seconds in timed(texts, is_refused)]
    table(
        f"Reading a prompt ({len(texts)} prompts, {args.rounds} times; milliseconds)",
        [
            ("lower-casing loop (baseline)", spread(plain)),
            ("the whole check", f"{spread(read)}   (wanted: p95 below 1)"),
            ("check ÷ baseline, p50", f"{percentile(read, 0.5) / percentile(plain, 0.5):.0f}"),
        ],
    )


def learn() -> None:
    """Train the learned reading on the seen half, and say what each threshold would cost."""
    from bench import safety_fit

    cases = corpus("seen")
    texts, refuse = [case.text for case in cases], [case.refuse for case in cases]
    found = safety_fit.out_of_sample(texts, refuse)
    read = ((threshold, safety_fit.counted(found, refuse, threshold)) for threshold in safety_fit.THRESHOLDS)
    table(
        f"The learned reading alone, {safety_fit.FOLDS} folds, each read by weights fitted without it",
        [
            (f"{threshold:.2f}{' (taken)' if threshold == safety_fit.THRESHOLD else ''}", str(Score(*numbers)))
            for threshold, numbers in read
        ],
    )
    safety_learned.store(safety_fit.learn(texts, refuse))
    print(f"Written: {safety_learned.WEIGHTS}, {safety_learned.WEIGHTS.stat().st_size / 1000:.0f} kB")


def corpus(half: str) -> tuple[Case, ...]:
    """One half of the corpus: `seen` or `unseen`. A prompt that both writers thought of counts as seen."""
    lines = (CORPUS / f"{half}.jsonl").read_text(encoding="utf-8").splitlines()
    read = (json.loads(line) for line in lines if line)
    cases = tuple(Case(case["text"], case["expect"] == "refuse", case["why"], case["language"]) for case in read)
    if half == "seen":
        return cases
    seen = {case.text for case in corpus("seen")}
    return tuple(case for case in cases if case.text not in seen)


def score(cases: Iterable[Case]) -> Score:
    """Let the rules read every case, and count."""
    results = [(case.refuse, is_refused(case.text)) for case in cases]
    return Score(
        to_refuse=sum(wanted for wanted, _ in results),
        rightly=sum(wanted and got for wanted, got in results),
        wrongly=sum(got and not wanted for wanted, got in results),
        to_allow=sum(not wanted for wanted, _ in results),
    )


def groups(cases: Sequence[Case], key: Callable[[Case], str]) -> list[tuple[str, list[Case]]]:
    """The cases by language or by reason, in the order of the names."""
    return [(name, [case for case in cases if key(case) == name]) for name in sorted({key(case) for case in cases})]


def is_refused(text: str) -> bool:
    """Whether the rules refuse a text."""
    try:
        check([text])
    except SafetyFilter:
        return True
    return False


def lower(text: str) -> str:
    """The least that any reading must do."""
    return "".join([letter.lower() for letter in text])


def timed(texts: Sequence[str], read: Callable[[str], object]) -> list[float]:
    """Seconds that each text takes."""
    seconds = []
    for text in texts:
        started = time.perf_counter()
        read(text)
        seconds.append(time.perf_counter() - started)
    return seconds


def spread(seconds: list[float]) -> str:
    """p50, p95 and the largest, in milliseconds."""
    return f"p50 {percentile(seconds, 0.5) * 1000:.3f} · p95 {percentile(seconds, 0.95) * 1000:.3f} · max {max(seconds) * 1000:.3f}"


if __name__ == "__main__":
    main()
