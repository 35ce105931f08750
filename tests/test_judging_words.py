"""What the checkpoint picker concludes from figures, without drawing anything."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from studio import judging
from studio.contracts import Family
from studio.judging import ANY, STARTER, FreedomMeasure, Judgement, Look, Measure, Prompt, Trial, Verdict
from studio.training import TrainingPicture, TrainRecipe

TWO_BY_TWO = Trial((Prompt("a", "red, plain"), Prompt("b", "blue, plain")), (1, 2), steps=1)


def test_the_most_alike_that_still_obeys_is_taken_and_the_earliest_of_those_alike() -> None:
    verdicts = [_verdict(50, 0.5), _verdict(100, 0.80), _verdict(150, 0.82), _verdict(200, 0.95, freedom=0.8)]
    step, why = judging.propose(verdicts, _verdict(0, 0.0, freedom=0.96))
    assert step == 100
    assert "Step 100 looks 80% like the person" in why
    assert "Step 200 looks more alike (95%) but follows 18 points less" in why
    assert "Step 150 looks no more alike" in why


def test_where_nothing_reads_the_pictures_nobody_says_that_they_show_what_was_asked() -> None:
    verdicts = [_verdict(100, 0.80), _verdict(200, 0.95, freedom=0.8)]
    _, why = judging.propose(verdicts, _verdict(0, 0.0, freedom=1.0), FreedomMeasure.change)
    assert "% as much as without the LoRA; nothing here reads what is in them" in why
    assert "Step 200 looks more alike (95%) but changes 18 points less with the prompts" in why
    assert "asked" not in why and "follows" not in why


def test_five_points_of_freedom_may_be_given_for_likeness_and_no_more() -> None:
    base = _verdict(0, 0.0, freedom=1.0)
    assert judging.propose([_verdict(50, 0.5), _verdict(100, 0.9, freedom=0.95)], base)[0] == 100
    assert judging.propose([_verdict(50, 0.5), _verdict(100, 0.9, freedom=0.94)], base)[0] == 50


def test_where_every_checkpoint_is_amiss_the_words_say_so() -> None:
    step, why = judging.propose([_verdict(50, 0.3, freedom=0.5), _verdict(100, 0.45, freedom=0.5)], _verdict(0, 0.0, freedom=1.0))
    assert step == 100
    assert "No checkpoint is both free and clear" in why
    assert "That is little" in why


def test_a_dataset_that_tells_nobody_apart_gives_no_likeness_and_says_so() -> None:
    told = judging.conclude(_judgement([_verdict(50, distance=0.5), _verdict(100, distance=0.4)], own=0.6, stranger=0.62))
    assert [one.likeness for one in told.verdicts] == [None, None]
    assert told.proposed == 100
    assert "Likeness can't be told" in told.why


def test_likeness_is_none_at_a_strangers_distance_and_full_at_the_datasets_own() -> None:
    told = judging.conclude(_judgement([_verdict(50, distance=0.5), _verdict(20, distance=0.9), _verdict(90, distance=0.05)], 0.1, 0.9))
    assert [(one.step, one.likeness) for one in told.verdicts] == [(20, 0.0), (50, pytest.approx(0.5)), (90, 1.0)]
    assert told.baseline.likeness == 0.0
    assert told.proposed == 90
    assert judging.conclude(told) == told, "what was concluded once stays"


def test_faces_where_none_was_drawn_count_as_a_stranger() -> None:
    verdicts = [_verdict(50, distance=None), _verdict(100, distance=0.35)]
    told = judging.conclude(_judgement(verdicts, own=0.3, stranger=None))
    assert told.baseline.likeness == 0.0
    assert [one.likeness for one in told.verdicts] == [0.0, pytest.approx((0.6 - 0.35) / (0.6 - 0.3))]


def test_overfitting_shows_in_lost_freedom_in_copies_and_in_seeds_that_agree() -> None:
    freer = _verdict(50, 0.8, freedom=0.98)
    base = _verdict(0, 0.0)
    (lost,) = judging.overfit_signs(_verdict(100, 0.81, freedom=0.9), [freer], base)
    assert lost == "It obeys prompts less than step 50 (8 points) and looks no more like the person."
    assert not judging.overfit_signs(_verdict(100, 0.9, freedom=0.9), [freer], base), "more of a likeness was had for it"
    (copied,) = judging.overfit_signs(_verdict(100, 0.8, copies=3), [freer], base)
    assert copied.startswith("3 of ")
    (agree,) = judging.overfit_signs(_verdict(100, 0.8, diversity=0.01), [freer], base)
    assert "1% of the variety" in agree


def test_a_copy_is_a_training_picture_where_another_was_asked_for() -> None:
    dataset = _unit([[1, 0, 0], [0, 1, 0], [0, 0, 1]])
    captions = ["red, plain", "green", "green"]
    drawn = _unit([[1, 0.01, 0], [1, 0.01, 0], [1, 0.01, 0], [1, 1, 1]])
    assert judging.copies(TWO_BY_TWO, drawn, dataset, captions) == 1, "only the third: the first two were asked for red"
    assert judging.copies(TWO_BY_TWO, drawn, dataset[:1], captions[:1]) == 0


def test_freedom_by_change_and_diversity_are_shares_of_what_the_model_does_alone() -> None:
    free = _unit([[1, 0], [1, 0.1], [0, 1], [0.1, 1]])
    stuck = _unit([[1, 0], [1, 0.1], [1, 0], [1, 0.1]])
    assert judging.freedom_by_change(TWO_BY_TWO, free, free) == 1
    assert judging.freedom_by_change(TWO_BY_TWO, stuck, free) == pytest.approx(0, abs=1e-6)
    assert judging.diversity(TWO_BY_TWO, stuck, free) == pytest.approx(1)
    assert judging.diversity(TWO_BY_TWO, _unit([[1, 0], [1, 0], [0, 1], [0, 1]]), free) == pytest.approx(0, abs=1e-6)


def test_the_reader_counts_what_was_asked_for() -> None:
    right = [dict(prompt.asked) for prompt, _ in STARTER.cells]
    assert judging.freedom_by_reader(STARTER, right) == 1
    wrong = [one | {"bg": "nowhere"} for one in right]
    assert judging.freedom_by_reader(STARTER, wrong) == 0.5
    assert judging.freedom_measure(STARTER) is FreedomMeasure.reader
    assert judging.freedom_measure(ANY) is FreedomMeasure.change


def test_every_family_has_prompts_with_names_of_their_own() -> None:
    for family in Family:
        trial = judging.trial_for(family)
        files = {judging.sample_file(50, prompt, seed) for prompt, seed in trial.cells}
        assert len(files) == len(trial.prompts) * len(trial.seeds)


@pytest.mark.parametrize(
    ("trigger", "captions", "subject"),
    [
        ("zxmia", ["portrait of zxmia person, sad", "zxmia person"], "zxmia person"),
        ("zxmia", ["photo of zxmia woman in the rain", "zxmia woman", "a cat"], "zxmia woman"),
        ("zxmia", ["zxmia, sad", "a zxmia person"], "zxmia"),
        ("", ["somebody"], "a person"),
    ],
)
def test_the_person_is_named_as_the_captions_do(trigger: str, captions: list[str], subject: str) -> None:
    assert judging.subject_of(trigger, captions) == subject


def test_pictures_without_a_face_are_left_out_of_the_distance_and_counted() -> None:
    dataset = Look(_unit([[1, 0], [0, 1]]), np.array([[0.0, 0.0], [0.0, 0.2]]))
    person = np.array([[0.0, 0.1], [np.nan, np.nan], [0.0, 0.5], [np.nan, np.nan]])
    look = Look(_unit([[1, 0], [1, 0.2], [0, 1], [0.2, 1]]), person)
    verdict = judging.weigh(50, "sha", TWO_BY_TWO, (), look, dataset, ["", ""], look, Measure.faces, 0.1)
    assert verdict.distance == pytest.approx(0.2)
    assert verdict.faceless == 2
    assert judging.own_distance(dataset.person, Measure.faces) == pytest.approx(0.2)
    nobody = judging.weigh(50, "sha", TWO_BY_TWO, (), Look(look.whole, person * np.nan), dataset, ["", ""], look, Measure.faces, None)
    assert nobody.distance is None


def test_another_dataset_another_trigger_or_other_faces_are_another_basis(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"a")
    pictures = [TrainingPicture(tmp_path / "a.png", "somebody")]
    recipe = TrainRecipe(model="starter", trigger="zxmia")

    def basis(recipe: TrainRecipe = recipe, pictures: list[TrainingPicture] = pictures, measure: Measure = Measure.illustrated) -> str:
        return judging.basis_of(recipe, "hash", STARTER, pictures, measure)

    before = basis()
    assert basis() == before
    others = {
        basis(recipe.model_copy(update={"trigger": "ohwx"})),
        basis(pictures=[TrainingPicture(tmp_path / "a.png", "somebody else")]),
        basis(measure=Measure.faces),
    }
    (tmp_path / "a.png").write_bytes(b"b")
    assert len({before, basis(), *others}) == 5


def test_a_judgement_that_cannot_be_read_is_made_anew(tmp_path: Path) -> None:
    assert judging.read_judgement(tmp_path) is None
    kept = judging.conclude(_judgement([_verdict(50, distance=0.2)], 0.1, 0.9))
    judging.write_judgement(tmp_path, kept)
    assert judging.read_judgement(tmp_path) == kept
    (tmp_path / judging.JUDGEMENT).write_text('{"basis": ')
    assert judging.read_judgement(tmp_path) is None


def _verdict(
    step: int,
    likeness: float | None = None,
    *,
    freedom: float = 0.98,
    distance: float | None = 0.3,
    copies: int = 0,
    diversity: float = 0.5,
) -> Verdict:
    return Verdict(
        step=step,
        sha256=str(step),
        measure=Measure.illustrated,
        distance=distance,
        spread=0.01,
        likeness=likeness,
        prompt_freedom=freedom,
        diversity=diversity if step else 1.0,
        copies=copies,
        loss=0.1,
        samples=(),
    )


def _judgement(verdicts: list[Verdict], own: float, stranger: float | None) -> Judgement:
    baseline = _verdict(0, distance=stranger)
    return Judgement(
        basis="b",
        measure=Measure.illustrated,
        freedom_measure=FreedomMeasure.reader,
        own=own,
        baseline=baseline,
        verdicts=tuple(verdicts),
    )


def _unit(rows: list[list[float]]) -> np.ndarray:
    made = np.array(rows, dtype=np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)
