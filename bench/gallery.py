"""The gallery and the analytics at 100,000 pictures: what their routes cost beside the same library of 1,000."""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from bench.rig import table
from studio.analytics import analyse
from studio.contracts import Appearance, Character, CharacterStatus, GenerateRequest, PictureChange, Recipe
from studio.db import Database, characters, jobs, migrate, open_database, pictures
from studio.gallery import Gallery

LAST = int(time.time())
RECIPE = Recipe(
    prompt="portrait of a person with long red hair, tan skin, round glasses, cartoon style",
    negative_prompt="",
    preset="portrait_v1",
    engine="embedded",
    model="starter",
    loras=(),
    width=128,
    height=128,
    steps=16,
    cfg=4,
    sampler="dpmpp_2m",
    scheduler="normal",
    seed=1,
    count=1,
)

REQUEST = GenerateRequest(prompt=RECIPE.prompt).model_dump_json()  # pyright: ignore[reportCallIssue]  # the rest has defaults


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=100_000)
    args = parser.parse_args()
    small, large = measure(1_000), measure(args.pictures)
    rows = [(name, f"{small[name]:7.2f} → {large[name]:7.2f}   × {large[name] / small[name]:.1f}") for name in large]
    table(f"Milliseconds at 1,000 → {args.pictures:,} pictures (median of 15)", rows)


def measure(count: int) -> dict[str, float]:
    """Milliseconds of each thing the gallery asks, in a library of `count` pictures."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/likeness.db"
        migrate(url)
        database = open_database(url)
        fill(database, count)
        gallery = Gallery(database, Path(folder))
        ids = [picture.id for picture in gallery.pictures(limit=20).items]
        month = datetime.fromtimestamp(LAST - 30 * 86_400, UTC), datetime.fromtimestamp(LAST, UTC)
        found = {
            "first window of 100": timed(lambda: gallery.pictures(limit=100)),
            "window in the middle": timed(lambda: gallery.pictures(limit=100, offset=count // 2)),
            "last window": timed(lambda: gallery.pictures(limit=100, offset=count - 100)),
            "next page by cursor": timed(lambda: gallery.pictures(limit=100, cursor=gallery.pictures(limit=100).next)),
            "search for a rare word": timed(lambda: gallery.pictures(limit=100, search="zebra")),
            "one character": timed(lambda: gallery.pictures(character="mira")),
            "favourites": timed(lambda: gallery.pictures(favourite=True)),
            "one preset": timed(lambda: gallery.pictures(preset="preset_3")),
            "one category": timed(lambda: gallery.pictures(category="beach")),
            "a character's favourites in a month": timed(
                lambda: gallery.pictures(character="mira", favourite=True, since=month[0], until=month[1])
            ),
            "every kind": timed(lambda: gallery.pictures(kind=None)),
            "every kind, in the middle": timed(lambda: gallery.pictures(kind=None, offset=count // 2)),
            "facets": timed(gallery.facets),
            "one favourite more": timed(lambda: gallery.change(ids[:1], PictureChange(favourite=True))),
            "analytics of 30 days": timed(lambda: analyse(database, days=30)),
            "analytics of 10 years": timed(lambda: analyse(database, days=3650)),
            "one picture": timed(lambda: gallery.picture(ids[0])),
            "20 to the trash and back": timed(lambda: (gallery.trash(ids), gallery.restore(ids))),
        }
        database.close()
        return found


def fill(database: Database, count: int) -> None:
    """A library of `count` pictures up to now, one every 40 s, of 20 characters, without their files; a job for every five of them."""
    recipe = RECIPE.model_dump_json()
    first = LAST - count * 40
    with database.begin() as connection:
        connection.execute(sa.insert(characters), [_character(number, picture_id(number, count)) for number in range(20)])
        for start in range(0, count, 5_000):
            rows = [
                {
                    "id": picture_id(number, count),
                    "kind": "generated",
                    "job_id": f"{number // 5:x}",
                    "index": 0,
                    "path": f"pictures/{number}.png",
                    "width": 128,
                    "height": 128,
                    "bytes": 20_000,
                    "sha256": f"{number:064x}",
                    "seed": number,
                    "prompt": RECIPE.prompt + (" with a zebra" if number % 9_973 == 0 else ""),
                    "preset": f"preset_{number % 7}",
                    "engine": "embedded",
                    "model": "starter",
                    "model_hash": "0" * 64,
                    "lora_hashes": "{}",
                    "recipe": recipe,
                    "duration_s": 0.4,
                    "created_at": first + number * 40,
                    "trashed_at": 0,
                    "character_id": f"c{number % 21}" if number % 21 < 20 else None,
                    "favourite": number % 8 == 0,
                    "category": "beach" if number % 50 == 0 else "",
                }
                for number in range(start, min(start + 5_000, count))
            ]
            connection.execute(sa.insert(pictures), rows)
        for start in range(0, count // 5, 5_000):
            connection.execute(sa.insert(jobs), [_job(number, first, recipe) for number in range(start, min(start + 5_000, count // 5))])


def picture_id(number: int, count: int) -> str:
    """The id of the picture of that number, the oldest being 0, in a library of `count`."""
    return f"{(LAST - (count - number) * 40) * 1000:011x}{number:010x}-00"


def _character(number: int, portrait: str) -> dict[str, object]:
    slug = "mira" if number == 0 else f"character-{number}"
    when = datetime.fromtimestamp(LAST, UTC)
    character = Character(
        id=f"c{number}",
        slug=slug,
        trigger_word=slug,
        name=slug.replace("-", " ").title(),
        appearance=Appearance(age=None, hair="long red hair", skin="tan", marks="round glasses"),
        status=CharacterStatus.active,
        portrait=portrait,
        version=1,
        created_at=when,
        updated_at=when,
    )  # pyright: ignore[reportCallIssue]  # the rest has defaults
    times = {"created_at": LAST, "updated_at": LAST}
    body = character.model_dump_json()
    kept = {"id": character.id, "slug": slug, "trigger_word": slug, "name": character.name, "status": "active", "version": 1, "body": body}
    return {**kept, **times}


def _job(number: int, first: int, recipe: str) -> dict[str, object]:
    failed = number % 40 == 0
    asked = first + number * 200
    return {
        "id": f"{number:x}",
        "kind": "generate",
        "state": "failed" if failed else "done",
        "lane": "embedded",
        "batch_id": f"{number:x}",
        "attempt": 1,
        "run_id": f"{number:x}-1",
        "priority": 1,
        "request": REQUEST,
        "recipe": recipe,
        "progress": 1.0,
        "step": 16,
        "steps": 16,
        "note": "",
        "preview": 0,
        "cancel_requested": False,
        "crashes": 0,
        "correlation_id": "",
        "created_at": asked,
        "started_at": asked + number % 90,
        "finished_at": asked + number % 90 + number % 30,
        "changed_at": asked,
        "error_code": "OUT_OF_MEMORY" if failed else None,
        "error_message": "There was not enough memory." if failed else None,
        "error_remedy": "Choose a smaller size." if failed else None,
    }


def timed(ask: Callable[[], object]) -> float:
    """The median of 15 calls, in milliseconds."""
    values = []
    for _ in range(15):
        started = time.perf_counter()
        ask()
        values.append((time.perf_counter() - started) * 1000)
    return statistics.median(values)


if __name__ == "__main__":
    main()
