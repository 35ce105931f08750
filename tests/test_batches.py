"""One request becomes exactly the jobs that it stands for."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.batches import Part, count_jobs, expand, is_dynamic, resolve
from studio.contracts import Axis, AxisField, GenerateRequest, Grid, LoraUse
from studio.errors import InvalidFieldValue, LikenessError


def _expand(request: GenerateRequest, tmp_path: Path, **captions: str) -> tuple[Part, ...]:
    return expand(request, captions, seed=100, wildcards=tmp_path)


def test_a_plain_request_is_one_job_with_its_seed(tmp_path: Path) -> None:
    (part,) = _expand(GenerateRequest(prompt="a person", count=4), tmp_path)
    assert (part.request.seed, part.request.count, part.reference, part.cell) == (100, 4, None, None)


def test_references_times_variations(tmp_path: Path) -> None:
    parts = _expand(GenerateRequest(references=("a", "b", "c"), variations=2), tmp_path, a="at the sea", b="in a café")
    assert [(part.reference, part.caption, part.request.seed) for part in parts] == [
        ("a", "at the sea", 100),
        ("a", "at the sea", 101),
        ("b", "in a café", 100),
        ("b", "in a café", 101),
        ("c", "", 100),
        ("c", "", 101),
    ]


def test_variations_of_several_pictures_never_share_a_seed(tmp_path: Path) -> None:
    first, second = _expand(GenerateRequest(prompt="x", count=4, variations=2), tmp_path)
    assert second.request.seed == first.request.seed + 4


def test_a_grid_varies_both_axes_with_one_seed(tmp_path: Path) -> None:
    grid = Grid(x=Axis(field=AxisField.steps, values=("4", "8")), y=Axis(field=AxisField.cfg, values=("2", "4.5", "7")))
    parts = _expand(GenerateRequest(prompt="x", seed=7, grid=grid), tmp_path)
    assert [(part.cell, part.request.steps, part.request.cfg) for part in parts] == [
        ((0, 0), 4, 2),
        ((1, 0), 8, 2),
        ((0, 1), 4, 4.5),
        ((1, 1), 8, 4.5),
        ((0, 2), 4, 7),
        ((1, 2), 8, 7),
    ]
    assert {part.request.seed for part in parts} == {7}


def test_a_grid_over_presets_and_styles(tmp_path: Path) -> None:
    grid = Grid(
        x=Axis(field=AxisField.style, values=("none", "ink_comic_v1")), y=Axis(field=AxisField.preset, values=("night_v1", "fine_v1"))
    )
    parts = _expand(GenerateRequest(prompt="x", grid=grid), tmp_path)
    cells = [("none", "night_v1"), ("ink_comic_v1", "night_v1"), ("none", "fine_v1"), ("ink_comic_v1", "fine_v1")]
    assert [(part.request.style, part.request.preset) for part in parts] == cells


def test_a_grid_over_the_prompt_and_a_loras_strength(tmp_path: Path) -> None:
    grid = Grid(x=Axis(field=AxisField.prompt, values=("smiling", "sad")), y=Axis(field=AxisField.lora_strength, values=("0.5", "1")))
    parts = _expand(GenerateRequest(prompt="a {grid} person", loras=(LoraUse(path="me"),), grid=grid), tmp_path)
    assert [(part.request.prompt, part.request.loras[0].strength) for part in parts] == [
        ("a smiling person", 0.5),
        ("a sad person", 0.5),
        ("a smiling person", 1),
        ("a sad person", 1),
    ]


def test_a_grid_over_the_strength_varies_the_characters_own_lora_where_no_other_is_named(tmp_path: Path) -> None:
    grid = Grid(x=Axis(field=AxisField.lora_strength, values=("0", "0.5")))
    own = LoraUse(path="nova", strength=0.8)

    def drawn_with(*loras: LoraUse) -> list[list[tuple[str, float]]]:
        parts = expand(GenerateRequest(prompt="x", grid=grid, loras=loras), {}, seed=1, wildcards=tmp_path, own=own)
        return [[(use.path, use.strength) for use in part.request.loras] for part in parts]

    assert drawn_with() == [[("nova", 0)], [("nova", 0.5)]]
    assert drawn_with(LoraUse(path="film", strength=1)) == [[("film", 0)], [("film", 0.5)]]


@pytest.mark.parametrize(
    ("field", "value", "where"),
    [(AxisField.steps, "many", "grid.x.values"), (AxisField.cfg, "99", "grid.x.values"), (AxisField.lora_strength, "1", "grid.x.values")],
)
def test_a_value_that_does_not_fit_names_its_axis(tmp_path: Path, field: AxisField, value: str, where: str) -> None:
    with pytest.raises(LikenessError) as refused:
        _expand(GenerateRequest(prompt="x", grid=Grid(x=Axis(field=field, values=(value,)))), tmp_path)
    assert refused.value.field == where


def test_alternatives_make_one_job_a_picture(tmp_path: Path) -> None:
    parts = _expand(GenerateRequest(prompt="a person in {red|blue|green}", count=8), tmp_path)
    assert [part.request.count for part in parts] == [1] * 8
    assert [part.request.seed for part in parts] == list(range(100, 108))
    assert {part.request.prompt for part in parts} <= {f"a person in {colour}" for colour in ("red", "blue", "green")}
    assert len({part.request.prompt for part in parts}) > 1


def test_the_same_seed_resolves_to_the_same_words(tmp_path: Path) -> None:
    (tmp_path / "hair.txt").write_text("red hair\nblue hair\nblack hair\n", encoding="utf-8")
    prompt = "a person with __hair__, {smiling|sad|calm}"
    assert resolve(prompt, 6, seed=5, wildcards=tmp_path) == resolve(prompt, 6, seed=5, wildcards=tmp_path)
    assert resolve(prompt, 6, seed=5, wildcards=tmp_path) != resolve(prompt, 6, seed=6, wildcards=tmp_path)


def test_an_unknown_wildcard_says_where_its_file_belongs(tmp_path: Path) -> None:
    with pytest.raises(InvalidFieldValue, match="__shoes__") as refused:
        _expand(GenerateRequest(prompt="with __shoes__"), tmp_path)
    assert "shoes.txt" in refused.value.remedy
    assert refused.value.field == "prompt"


@pytest.mark.parametrize("prompt", ["a {b", "{}", "(a:1.2) [b] {c}", "1$$2", "snake_case__x", "a | b"])
def test_other_brackets_stay_as_they_are(prompt: str, tmp_path: Path) -> None:
    assert not is_dynamic(GenerateRequest(prompt=prompt))
    (part,) = _expand(GenerateRequest(prompt=prompt), tmp_path)
    assert part.request.prompt == prompt


def test_alternatives_can_be_turned_off(tmp_path: Path) -> None:
    (part,) = _expand(GenerateRequest(prompt="{a|b}", wildcards=False), tmp_path)
    assert part.request.prompt == "{a|b}"


def test_more_than_five_hundred_jobs_are_refused() -> None:
    request = GenerateRequest(prompt="{a|b}", references=tuple(str(number) for number in range(100)), variations=5, count=2)
    with pytest.raises(InvalidFieldValue, match="1,000 jobs"):
        count_jobs(request)
    assert count_jobs(request.model_copy(update={"count": 1})) == 500
