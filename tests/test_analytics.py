"""Analytics: what the numbers are, on real databases of either kind."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from plotly.graph_objects import Figure

from app import open_studio
from studio.analytics import Share, analyse, percentile
from studio.contracts import GenerateRequest, JobState, new_id
from studio.db import Database, characters, jobs, pictures
from studio.errors import OutOfMemory
from studio.settings import Settings
from tabs.analytics import MOST_BARS, asked, days_figure, on_ask, shares_figure, size_of, top
from tests.test_gallery import RECIPE

NOW = time.time()
DAY = 86_400.0


def add_job(database: Database, state: JobState, *, ago: float = 60, waited: float = 1, ran: float = 2, code: str | None = None) -> None:
    """A job that was asked for `ago` seconds ago, waited, and ran; times in seconds."""
    asked = NOW - ago
    started = None if state is JobState.queued else asked + waited
    job_id = new_id()
    row = {
        "id": job_id,
        "kind": "generate",
        "state": state.value,
        "lane": "embedded",
        "batch_id": job_id,
        "attempt": 1,
        "run_id": f"{job_id}-1",
        "priority": 1,
        "request": GenerateRequest(prompt="a").model_dump_json(),
        "recipe": RECIPE.model_dump_json(),
        "progress": 0,
        "step": 0,
        "steps": 4,
        "note": "",
        "preview": 0,
        "cancel_requested": False,
        "crashes": 0,
        "correlation_id": "",
        "created_at": asked,
        "started_at": started,
        "finished_at": started and (started + ran if state.ended else None),
        "changed_at": asked,
        "error_code": code,
        "error_message": code and "It failed.",
        "error_remedy": code and "Try again.",
    }
    with database.begin() as connection:
        connection.execute(sa.insert(jobs).values(row))


def add_picture(
    database: Database,
    *,
    at: float | None = None,
    character: str | None = None,
    preset: str | None = None,
    liked: bool = False,
    kind: str = "generated",
) -> None:
    """A picture's row, without its file."""
    picture_id = new_id()
    row = {
        "id": picture_id,
        "kind": kind,
        "index": 0,
        "path": picture_id,
        "width": 1,
        "height": 1,
        "bytes": 1,
        "sha256": "",
        "prompt": "",
        "preset": preset,
        "lora_hashes": "{}",
        "created_at": NOW - 60 if at is None else at,
        "trashed_at": 0,
        "character_id": character,
        "favourite": liked,
    }
    with database.begin() as connection:
        connection.execute(sa.insert(pictures).values(row))


def test_a_fresh_studio_has_no_numbers_and_no_error(database: Database) -> None:
    found = analyse(database, days=30)
    assert found.empty
    assert (found.jobs_total, found.success_rate, found.pictures, found.favourite_rate) == (0, None, 0, None)
    assert (found.queue_s.p50, found.run_s.p95) == (None, None)
    assert len(found.per_day) == 30 and not any(day.pictures for day in found.per_day)
    assert found.by_character == found.by_preset == found.errors == ()


def test_jobs_are_counted_by_state_and_success_leaves_out_what_was_cancelled(database: Database) -> None:
    for _ in range(3):
        add_job(database, JobState.done)
    add_job(database, JobState.failed, code="OUT_OF_MEMORY")
    for state in (JobState.cancelled, JobState.queued, JobState.running):
        add_job(database, state)
    found = analyse(database, days=7)
    assert not found.empty
    assert found.jobs == {state: {"done": 3, "poisoned": 0, "paused": 0}.get(state.value, 1) for state in JobState}
    assert (found.jobs_total, found.success_rate) == (7, 0.75)


def test_times_are_nearest_ranks_of_what_was_measured(database: Database) -> None:
    for number in range(1, 21):
        add_job(database, JobState.done, ago=3600, waited=number, ran=number / 10)
    add_job(database, JobState.failed, ago=3600, waited=100, ran=900)
    add_job(database, JobState.queued, ago=3600)
    found = analyse(database, days=2)
    assert found.run_s.p50 == pytest.approx(1.0, abs=1e-5), "failed jobs do not count for how long a picture takes"
    assert found.run_s.p95 == pytest.approx(1.9, abs=1e-5)
    assert found.queue_s.p50 == pytest.approx(11, abs=1e-5)
    assert found.queue_s.p95 == pytest.approx(20, abs=1e-5)


def test_percentiles_of_few_values() -> None:
    assert [percentile([], 0.5), percentile([3], 0.95), percentile([1, 2], 0.5), percentile([1, 2], 0.95)] == [None, 3, 1, 2]


def test_pictures_are_counted_by_day_character_and_preset(database: Database) -> None:
    today = NOW // DAY * DAY
    mira = new_id()
    row = {"id": mira, "slug": "mira", "trigger_word": "mirax", "name": "Mira", "status": "active", "version": 1, "body": "{}"}
    with database.begin() as connection:
        connection.execute(sa.insert(characters).values(**row, created_at=0, updated_at=0))
    add_picture(database, at=today, character=mira, preset="portrait_v1", liked=True)
    add_picture(database, at=today, character=mira, preset="portrait_v1")
    add_picture(database, at=today - 1, character="gone")
    add_picture(database, at=today - 2 * DAY, liked=True)
    add_picture(database, at=today - 2 * DAY - 2, liked=True, preset="portrait_v1")
    add_picture(database, kind="upload", at=today)
    found = analyse(database, days=3, preset_names={"portrait_v1": "Portrait"})
    assert [day.pictures for day in found.per_day] == [1, 1, 2]
    assert found.per_day[-1].date == datetime.fromtimestamp(NOW, UTC).date() == found.since + timedelta(days=2)
    assert (found.pictures, found.favourites, found.favourite_rate) == (4, 2, 0.5)
    assert [(share.id, share.name, share.pictures, share.favourite_rate) for share in found.by_character] == [
        (mira, "Mira", 2, 0.5),
        (None, "No character", 1, 1.0),
        ("gone", "gone", 1, 0.0),
    ]
    assert [(share.name, share.pictures, share.favourites) for share in found.by_preset] == [("No preset", 2, 1), ("Portrait", 2, 1)]


@pytest.mark.parametrize("hours", [-11, 0, 5.5, 14])
def test_days_are_those_of_the_clock_that_is_asked_for(database: Database, hours: float) -> None:
    ahead = int(hours * 3600)
    # Not NOW: the days may have changed since this file was read.
    midnight = (time.time() + ahead) // DAY * DAY - ahead
    add_picture(database, at=midnight + 1)
    add_picture(database, at=midnight - 1)
    add_picture(database, at=midnight - DAY - 1)
    found = analyse(database, days=2, ahead_s=ahead)
    assert [day.pictures for day in found.per_day] == [1, 1]


def test_errors_are_told_by_frequency_with_their_remedies(database: Database) -> None:
    for code in ("OUT_OF_MEMORY", "DISK_FULL", "OUT_OF_MEMORY", "A_CODE_OF_LATER", None):
        add_job(database, JobState.poisoned if code is None else JobState.failed, code=code)
    found = analyse(database, days=1 + int(NOW % DAY < 120))
    assert (found.errors[0].code, found.errors[0].count) == ("OUT_OF_MEMORY", 2)
    assert found.errors[0].remedy == OutOfMemory.default_remedy
    assert {fault.code for fault in found.errors} == {"OUT_OF_MEMORY", "DISK_FULL", "A_CODE_OF_LATER", "UNKNOWN_ERROR"}
    assert all(fault.remedy and fault.message for fault in found.errors)


def test_what_is_older_than_the_days_does_not_count_but_is_no_fresh_start(database: Database) -> None:
    add_job(database, JobState.done, ago=40 * DAY)
    add_picture(database, at=NOW - 40 * DAY)
    found = analyse(database, days=30)
    assert (found.empty, found.jobs_total, found.pictures) == (False, 0, 0)
    assert len(drawable(days_figure(found))["data"][0]["x"]) == 30
    assert analyse(database, days=50).pictures == 1


def test_charts_show_the_largest_and_sum_up_the_rest() -> None:
    shares = [Share(id=f"c{number}", name="Twin", pictures=20 - number, favourites=1, favourite_rate=0.5) for number in range(15)]
    bars = top(shares)
    assert len(bars) == MOST_BARS + 1
    assert bars[0] == ("Twin", 20, 1)
    assert bars[-1] == ("3 others", 8 + 7 + 6, 3)
    figure = drawable(shares_figure(shares))
    assert [bar["name"] for bar in figure["data"]] == ["Favourites", "Others"]
    assert len(figure["layout"]["yaxis"]["ticktext"]) == MOST_BARS + 1, "two of one name are two bars"
    assert top([]) == []
    for empty in (shares_figure([]), shares_figure(shares[:1])):
        drawable(empty)


def drawable(figure: dict[str, Any]) -> dict[str, Any]:
    """A chart as Plotly's Python half reads it: it knows every word of the JavaScript one, and refuses others."""
    return json.loads(Figure(json.loads(json.dumps(figure))).to_json() or "")


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (None, (30, 0)),
        ({"days": 90, "minutes": 330}, (90, 19_800)),
        ({"days": 31, "minutes": 100_000}, (30, 0)),
        ({"days": "7", "minutes": "x"}, (30, 0)),
        ([], (30, 0)),
    ],
)
def test_what_the_page_asks_for_is_read_with_care(value: object, wanted: tuple[int, int]) -> None:
    assert asked(value) == wanted


@pytest.mark.parametrize(
    ("value", "size"),
    [(None, 1), ({"size": 1.5}, 1.5), ({"size": 40}, 2), ({"size": 0.5}, 1), ({"size": float("nan")}, 1), ({"size": "x"}, 1)],
)
def test_charts_are_drawn_as_large_as_the_pages_letters(value: object, size: float) -> None:
    assert size_of(value) == size
    layout = drawable(shares_figure([], size=size))["layout"]
    assert (layout["height"], layout["font"]["size"]) == (160 * size, round(13 * size))


def test_the_page_is_told_the_numbers_or_why_there_are_none(settings: Settings) -> None:
    studio = open_studio(settings)
    told, found = on_ask(studio, {"days": 7, "minutes": 60})
    assert found is not None and found.empty
    assert (told["days"], told["minutes"], told["report"]["empty"]) == (7, 60, True)
    with studio.database.begin() as connection:
        connection.execute(sa.text("DROP TABLE jobs"))
    told, found = on_ask(studio, None)
    assert found is None
    assert told["error"]["code"] == "DB_UNAVAILABLE" and told["error"]["remedy"]
