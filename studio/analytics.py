"""How the studio is doing, in numbers: jobs, times, pictures and errors of the last days, computed by the database."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, timedelta

import sqlalchemy as sa

from studio.contracts import Contract, JobKind, JobState, PictureKind
from studio.db import Database, characters, jobs, pictures
from studio.errors import UnknownError, all_errors
from studio.gallery import DAY_S, date_of, day_of

FAILED = (JobState.failed, JobState.poisoned)


class Times(Contract):
    """How long something took, in seconds: half of them at most `p50`, 95 of 100 at most `p95`; None when nothing was measured."""

    p50: float | None
    p95: float | None


class Day(Contract):
    """One day and the pictures made on it."""

    date: date
    pictures: int


class Share(Contract):
    """The pictures of one character, preset or style; `id` is None for those without one. `favourite_rate` runs from 0 to 1."""

    id: str | None
    name: str
    pictures: int
    favourites: int
    favourite_rate: float


class Fault(Contract):
    """An error code, how many jobs ended with it, and what to do about it."""

    code: str
    count: int
    message: str
    remedy: str


class Analytics(Contract):
    """The last `days` days up to today. Rates run from 0 to 1 and are None where there is nothing to compare.

    `empty` says that nothing was ever made here. `success_rate` counts done against failed; what was cancelled is neither.
    """

    days: int
    since: date
    empty: bool
    jobs: dict[JobState, int]
    jobs_total: int
    success_rate: float | None
    queue_s: Times
    run_s: Times
    pictures: int
    favourites: int
    favourite_rate: float | None
    per_day: tuple[Day, ...]
    by_character: tuple[Share, ...]
    by_preset: tuple[Share, ...]
    by_style: tuple[Share, ...]
    errors: tuple[Fault, ...]


def analyse(database: Database, *, days: int, ahead_s: int = 0, preset_names: Mapping[str, str] | None = None) -> Analytics:
    """The numbers of the last `days` days; today is the last of them, on a clock that is `ahead_s` seconds ahead of UTC.

    Pictures count as long as they are kept or in the trash; jobs count for the day on which they were asked for.
    """
    today = int(time.time() + ahead_s) // DAY_S
    first = today - days + 1
    since = first * DAY_S - ahead_s
    recent = jobs.c.created_at >= since
    day = day_of(pictures.c.created_at, ahead_s)
    by = (day, pictures.c.character_id, pictures.c.preset, pictures.c.style)
    made = (
        sa.select(*by, sa.func.count(), sa.func.sum(sa.cast(pictures.c.favourite, sa.Integer)))
        .where(pictures.c.kind == PictureKind.generated.value, pictures.c.created_at >= since)
        .group_by(*by)
    )
    with database.read() as connection:
        by_state = sa.select(jobs.c.state, sa.func.count().label("jobs")).where(recent).group_by(jobs.c.state)
        states = {row.state: row.jobs for row in connection.execute(by_state)}
        waited = sa.select(jobs.c.started_at - jobs.c.created_at).where(recent, jobs.c.started_at.is_not(None))
        waits = connection.execute(waited).scalars().all()
        # A training takes hours and captions a moment: how long pictures take is told of pictures.
        ran = sa.select(jobs.c.finished_at - jobs.c.started_at).where(
            recent, jobs.c.state == JobState.done.value, jobs.c.kind == JobKind.generate.value
        )
        runs = connection.execute(ran.where(jobs.c.started_at.is_not(None), jobs.c.finished_at.is_not(None))).scalars().all()
        failed = sa.select(jobs.c.error_code, sa.func.count()).where(recent, jobs.c.state.in_([state.value for state in FAILED]))
        codes = [(code, count) for code, count in connection.execute(failed.group_by(jobs.c.error_code))]
        groups = connection.execute(made).all()
        names = {row.id: row.name for row in connection.execute(sa.select(characters.c.id, characters.c.name))}
        empty = not states and not groups and not _anything(connection)
    per_day, totals = Counter[int](), [0, 0]
    whose: dict[str | None, list[int]] = {}
    presets: dict[str | None, list[int]] = {}
    styles: dict[str | None, list[int]] = {}
    for on, character_id, preset, style, count, liked in groups:
        per_day[on] += count
        shares = (whose.setdefault(character_id, [0, 0]), presets.setdefault(preset, [0, 0]), styles.setdefault(style, [0, 0]))
        for sums in (totals, *shares):
            sums[0] += count
            sums[1] += liked
    counted = {state: states.get(state.value, 0) for state in JobState}
    bad = sum(counted[state] for state in FAILED)
    return Analytics(
        days=days,
        since=date_of(first),
        empty=empty,
        jobs=counted,
        jobs_total=sum(counted.values()),
        success_rate=_rate(counted[JobState.done], counted[JobState.done] + bad),
        queue_s=_times(waits),
        run_s=_times(runs),
        pictures=totals[0],
        favourites=totals[1],
        favourite_rate=_rate(totals[1], totals[0]),
        per_day=tuple(Day(date=date_of(first) + timedelta(days=number), pictures=per_day[first + number]) for number in range(days)),
        by_character=_shares(whose, names, "No character"),
        by_preset=_shares(presets, preset_names or {}, "No preset"),
        by_style=_shares(styles, preset_names or {}, "No style"),
        errors=_faults(codes),
    )


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """The smallest value that `share` (0 to 1) of the sorted values do not exceed (the nearest-rank method); None of no values."""
    if not ordered:
        return None
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _anything(connection: sa.Connection) -> bool:
    kept = sa.select(pictures.c.id).where(pictures.c.kind == PictureKind.generated.value)
    return any(connection.execute(look.limit(1)).first() for look in (sa.select(jobs.c.id), kept))


def _times(seconds: Sequence[float]) -> Times:
    # A clock that was set back between two stamps is no reason to show a time below zero.
    ordered = sorted(max(0.0, value) for value in seconds)
    return Times(p50=percentile(ordered, 0.5), p95=percentile(ordered, 0.95))


def _rate(some: int, of: int) -> float | None:
    return some / of if of else None


def _shares(sums: Mapping[str | None, list[int]], names: Mapping[str, str], nobody: str) -> tuple[Share, ...]:
    shares = [
        Share(
            id=found,
            name=names.get(found, found) if found is not None else nobody,
            pictures=count,
            favourites=liked,
            favourite_rate=liked / count,
        )
        for found, (count, liked) in sums.items()
    ]
    return tuple(sorted(shares, key=lambda share: (-share.pictures, share.name)))


def _faults(codes: Sequence[tuple[str | None, int]]) -> tuple[Fault, ...]:
    known = {error.code: error for error in all_errors()}
    counts = Counter[str]()
    for code, count in codes:
        counts[code or UnknownError.code] += count
    return tuple(
        Fault(
            code=code,
            count=count,
            message=known.get(code, UnknownError).default_message,
            remedy=known.get(code, UnknownError).default_remedy,
        )
        for code, count in counts.most_common()
    )
