"""What is refused and what is not: the corpus in tests/safety, whose unseen half was written by somebody who had not read the rules."""

from __future__ import annotations

import re
import time

import pytest

from bench.safety import PRECISION, Case, corpus, is_refused, score
from studio.errors import SafetyFilter
from studio.safety import check

SEEN = corpus("seen")


@pytest.mark.parametrize("case", [case for case in SEEN if case.refuse], ids=lambda case: ascii(case.text))
def test_it_is_refused(case: Case) -> None:
    with pytest.raises(SafetyFilter) as caught:
        check([case.text])
    assert caught.value.remedy


@pytest.mark.parametrize("case", [case for case in SEEN if not case.refuse], ids=lambda case: ascii(case.text))
def test_it_is_allowed(case: Case) -> None:
    check([case.text])


@pytest.mark.skipif(not corpus("unseen"), reason="the unseen half has been read, and no new one has come yet")
def test_the_unseen_half_is_read_as_well_as_promised() -> None:
    # Only numbers may show in a failure: rules that were fitted to single prompts would measure nothing.
    read = score(corpus("unseen"))
    assert read.to_refuse and read.to_allow
    # 0.98 is wanted; what was measured is in docs/safety.md.
    assert read.recall >= 0.97
    assert read.precision >= PRECISION


def test_the_seen_half_is_as_large_and_as_mixed_as_promised() -> None:
    assert len(SEEN) >= 1200
    assert len({case.text for case in SEEN}) == len(SEEN)
    assert {case.why for case in SEEN} == {"minor", "real", "swap", "obfuscated", "near-miss", "ordinary"}
    assert {case.language for case in SEEN} >= {"en", "de", "fr", "es", "pt", "it", "nl"}


def test_a_prompt_is_read_in_a_moment() -> None:
    texts = [case.text for case in SEEN]
    check(["a first nude portrait reads the lists"])
    started = time.perf_counter()
    for text in texts:
        score([Case(text, False, "", "")])
    assert (time.perf_counter() - started) / len(texts) < 0.003


def test_halves_in_different_fields_meet() -> None:
    with pytest.raises(SafetyFilter):
        check(["portrait of a teenage girl", "nude"])


def test_a_long_prompt_is_read_in_steps_that_grow_with_its_length() -> None:
    # Nested repetition would need hours for this; a suite that ends has proved that there is none.
    for prompts in (
        ["a " * 5_000, "a-" * 5_000, "remove all of " * 700, "put " + "x " * 4_000, "1" * 10_000, "remove" + " " * 9_000 + "x"],
        [
            "visage " * 1_400,
            "cara x " * 1_400,
            "no " * 3_000,
            "strip of " * 1_000,
            "12 years " * 1_000,
            "q" * 10_000,
            "a.-" * 3_000,
            "girl (1" * 1_400,
        ],
    ):
        is_refused("\n".join(prompts))
        for prompt in prompts:
            is_refused(prompt)


PIECES = """
my; not; no; x y; the face; put; replace her head with; on; swap; take off; remove all the; clothes; zieh sie; enleve la; quita la
tira roupa; make her; mach sie; gesicht auf; cara de; en; photo of my best; 12 years; her's; from; mon; mi; minha; sur cette; auf dem
strip them of; twenty-; n*d; a.b; n.u; aa; 1x; @; whisky 10; a,; face of someone I know; head of; under the age of; born in; vingt et
strip the old; treinta y; put my; take the; body from; face from the; photo 1; remove her; under the; looks like; at 12,; born 20
grade 7 of; my best old; make the man in; put on his; clothes of the; foto de mi; en la foto; zieh meine; im bild; a; de la
the face of my boss; image 1 face onto; n u d; na ke d; nuade
instead of x,; the woman who; same photo but; replace the x with; dress x; head of a body of
"""


@pytest.mark.parametrize("piece", re.split(r"[;\n] ?", PIECES.strip()))
def test_no_word_makes_reading_slow_when_it_is_repeated(piece: str) -> None:
    started = time.perf_counter()
    is_refused(f"{piece} " * (9_000 // (len(piece) + 1)))
    assert time.perf_counter() - started < 3
