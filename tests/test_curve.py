"""The curve of a run's loss: few points, only what is new, and never a step of a file that is gone."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from studio import training
from studio.curve import _KEPT, Curve, Curves, Points
from studio.training import PROGRESS


def line(step: int, loss: float | None = None) -> str:
    return json.dumps({"step": step, "loss": 1 / step if loss is None else loss, "rate": 0.001, "seconds": 0.1}) + "\n"


def write(folder: Path, steps: range, loss: float | None = None) -> None:
    with (folder / PROGRESS).open("a", encoding="utf-8") as file:
        file.write("".join(line(step, loss) for step in steps))


def steps_of(found: Points) -> list[int]:
    return [point.step for point in found.points]


class Page:
    """What a page that follows a run does with the answers."""

    def __init__(self, curve: Curve) -> None:
        self.curve = curve
        self.last = curve.points()
        self.points = list(self.last.points)
        self.told = 0

    def ask(self) -> None:
        since = self.points[-2].step if len(self.points) > 1 else 0
        self.last = self.curve.points(since, self.last.curve)
        self.told = len(self.last.points)
        kept = [point for point in self.points if point.step <= self.last.since] if self.last.since else []
        self.points = [*kept, *self.last.points]


def test_the_loss_is_told_in_a_few_points_that_keep_its_ends(tmp_path: Path) -> None:
    write(tmp_path, range(1, 5001))
    points = Curve(tmp_path).points().points
    assert 300 <= len(points) <= 600
    assert points[-1].step == 5000 and points[0].step < 20
    assert points[0].loss > points[10].loss > points[-1].loss
    assert points[-1].smooth < points[0].smooth


def test_a_run_without_a_step_has_no_points(tmp_path: Path) -> None:
    assert Curve(tmp_path).points().points == ()
    (tmp_path / PROGRESS).touch()
    assert Curve(tmp_path).points(since=5, curve="whatever").points == ()


def test_up_to_600_steps_are_told_one_by_one(tmp_path: Path) -> None:
    write(tmp_path, range(1, 601))
    assert steps_of(Curve(tmp_path).points()) == list(range(1, 601))
    write(tmp_path, range(601, 602))
    points = Curve(tmp_path).points().points
    assert [point.step for point in points][:3] == [2, 4, 6] and points[-1].step == 601
    assert points[0].loss == pytest.approx((1 + 1 / 2) / 2)


def test_who_follows_a_run_is_told_only_what_is_new_and_knows_all(tmp_path: Path) -> None:
    write(tmp_path, range(1, 101))
    curve = Curve(tmp_path)
    page = Page(curve)
    told = []
    for begin in range(101, 5001, 7):
        write(tmp_path, range(begin, begin + 7))
        page.ask()
        told.append(page.told)
        assert page.points == list(curve.points().points)
    assert page.points == list(Curve(tmp_path).points().points), "whoever comes later is told the same"
    assert sum(count > 20 for count in told) <= 6, "all of them only when they were put together otherwise"


def test_a_hundred_thousand_steps_are_read_once(tmp_path: Path) -> None:
    write(tmp_path, range(1, 100_001))
    page = Page(Curve(tmp_path))
    began = time.perf_counter()
    training.read_progress(tmp_path)
    all_of_them = time.perf_counter() - began
    write(tmp_path, range(100_001, 100_011))
    began = time.perf_counter()
    page.ask()
    assert time.perf_counter() - began < all_of_them / 20
    assert page.told <= 2 and page.points[-1].step == 100_010


def test_a_run_that_goes_on_from_a_checkpoint_is_told_anew(tmp_path: Path) -> None:
    write(tmp_path, range(1, 101), loss=9.0)
    page = Page(Curve(tmp_path))
    training.forget_after(tmp_path, 40)
    write(tmp_path, range(41, 121), loss=1.0)
    page.ask()
    assert page.last.since == 0
    assert [point.step for point in page.points] == list(range(1, 121))
    assert [point.loss for point in page.points[38:42]] == [9.0, 9.0, 1.0, 1.0]


def test_a_file_that_was_written_over_in_place_is_told_anew(tmp_path: Path) -> None:
    write(tmp_path, range(1, 51), loss=9.0)
    page = Page(Curve(tmp_path))
    # As when the system gives the number of a removed file to the one that follows: longer, and with other lines.
    (tmp_path / PROGRESS).write_text("".join(line(step, 1.25) for step in range(1, 91)))
    page.ask()
    assert {point.loss for point in page.points} == {1.25} and page.points[-1].step == 90


def test_half_a_line_is_waited_for_and_a_broken_one_left_out(tmp_path: Path) -> None:
    write(tmp_path, range(1, 4))
    with (tmp_path / PROGRESS).open("a") as file:
        file.write(line(4)[:-9])
    curve = Curve(tmp_path)
    assert steps_of(curve.points()) == [1, 2, 3]
    with (tmp_path / PROGRESS).open("a") as file:
        file.write(line(4)[-9:] + '{"step": "x"}\nnot JSON\n[]\n' + line(6))
    assert steps_of(curve.points()) == [1, 2, 3, 4, 6]


def test_a_curve_of_another_name_or_step_is_told_whole(tmp_path: Path) -> None:
    write(tmp_path, range(1, 21))
    curve = Curve(tmp_path)
    name = curve.points().curve
    assert steps_of(curve.points(18, name)) == [19, 20]
    for since, said in ((18, ""), (18, "other"), (999, name)):
        found = curve.points(since, said)
        assert found.since == 0 and len(found.points) == 20


def test_the_curves_that_nobody_looks_at_are_forgotten(tmp_path: Path) -> None:
    curves = Curves()
    first = curves.of(tmp_path / "0")
    for number in range(_KEPT):
        assert curves.of(tmp_path / str(number)) is curves.of(tmp_path / str(number))
    assert curves.of(tmp_path / "0") is first
    for number in range(_KEPT + 1):
        curves.of(tmp_path / str(number))
    assert curves.of(tmp_path / "0") is not first
