"""The gallery at 100,000 pictures: what its routes cost beside the same library of 1,000."""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

from bench.rig import table
from studio.contracts import Recipe
from studio.db import Database, migrate, open_database, pictures
from studio.gallery import Gallery

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
        found = {
            "first window of 100": timed(lambda: gallery.pictures(limit=100)),
            "window in the middle": timed(lambda: gallery.pictures(limit=100, offset=count // 2)),
            "last window": timed(lambda: gallery.pictures(limit=100, offset=count - 100)),
            "next page by cursor": timed(lambda: gallery.pictures(limit=100, cursor=gallery.pictures(limit=100).next)),
            "search for a rare word": timed(lambda: gallery.pictures(limit=100, search="zebra")),
            "one picture": timed(lambda: gallery.picture(ids[0])),
            "20 to the trash and back": timed(lambda: (gallery.trash(ids), gallery.restore(ids))),
        }
        database.close()
        return found


def fill(database: Database, count: int) -> None:
    """A library of `count` pictures, one every 40 s, without their files."""
    recipe = RECIPE.model_dump_json()
    with database.begin() as connection:
        for start in range(0, count, 5_000):
            rows = [
                {
                    "id": f"{1_700_000_000_000 + number * 40_000:011x}{number:010x}-00",
                    "kind": "generated",
                    "job_id": f"{number:x}",
                    "index": 0,
                    "path": f"pictures/{number}.png",
                    "width": 128,
                    "height": 128,
                    "bytes": 20_000,
                    "sha256": f"{number:064x}",
                    "seed": number,
                    "prompt": RECIPE.prompt + (" with a zebra" if number % 9_973 == 0 else ""),
                    "preset": "portrait_v1",
                    "engine": "embedded",
                    "model": "starter",
                    "model_hash": "0" * 64,
                    "lora_hashes": "{}",
                    "recipe": recipe,
                    "duration_s": 0.4,
                    "created_at": 1_700_000_000 + number * 40,
                    "trashed_at": 0,
                }
                for number in range(start, min(start + 5_000, count))
            ]
            connection.execute(sa.insert(pictures), rows)


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
