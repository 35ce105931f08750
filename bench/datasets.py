"""Photos of a dataset taken in, looked at and judged, beside plain Pillow decoding: `python launch.py bench datasets [--photos 1000]`.

Photos are generated: one portrait at many sizes and places, in changing colours, before changing backgrounds. Each step takes turns with
the others, a quarter of the photos at a time, with as many threads; decoding is Pillow's, whole, and nothing else.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path

import sqlalchemy as sa
from fastapi.testclient import TestClient
from PIL import Image, ImageEnhance

from app import open_studio
from bench.rig import HOME, table
from studio.api import create_api
from studio.contracts import CharacterFields
from studio.dataset_contracts import DatasetFields
from studio.db import dataset_pictures
from studio.photos import read_photo
from studio.preflight import Examined, examine, preflight
from studio.settings import load_settings

PORTRAIT = HOME / "tests" / "files" / "portrait.jpg"
ROUNDS = 4


def main() -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--grid", type=int, default=10_000, help="how many pictures the grid has that is opened")
    parser.add_argument("--megapixels", type=float, default=12)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="threads, or processes (one per core)")
    parser.add_argument("--processes", action="store_true", help="processes instead of threads")
    args = parser.parse_args()
    pool: Executor = (
        ProcessPoolExecutor(args.workers, mp_context=get_context("spawn")) if args.processes else ThreadPoolExecutor(args.workers)
    )
    with tempfile.TemporaryDirectory() as folder, pool:
        paths = list(pool.map(partial(draw_photo, Path(folder), args.megapixels), range(args.photos)))
        # Models are loaded once, and before the first photo counts.
        for seen in pool.map(examine, paths[: args.workers]):
            assert seen.faces, "without faces there is less to do"
        seconds = dict.fromkeys(STEPS, 0.0)
        examined: list[Examined] = []
        for number in range(ROUNDS):
            part = paths[number::ROUNDS]
            for name in list(STEPS) if number % 2 == 0 else reversed(list(STEPS)):
                results, spent = timed(pool, STEPS[name], part)
                seconds[name] += spent
                examined += [one for one in results if isinstance(one, Examined)]
        began = time.perf_counter()
        found = preflight(examined, [f"zxmia number {i}" for i in range(len(examined))], trigger="zxmia", resolution=1024)
        judged = time.perf_counter() - began
    rates = {name: args.photos / spent for name, spent in seconds.items()}
    kind = "processes" if args.processes else "threads"
    together = args.photos / (seconds["taken in"] + seconds["looked at"] + judged)
    rows = [
        *((f"{name}, photos a second", f"{rate:6.1f}   {rate / rates['decoded']:.2f} × decoding") for name, rate in rates.items()),
        ("all of them judged", f"{judged:6.2f} s   {len(found)} findings"),
        ("with a face found", f"{sum(bool(one.faces) for one in examined):6} of {args.photos}"),
        ("import and preflight ÷ plain Pillow decoding", f"{together / rates['decoded']:6.2f}   ({together:.1f} photos a second)"),
    ]
    table(f"A grid over {args.grid:,} pictures, milliseconds (median of 9)", open_grid(args.grid))
    table(f"{args.photos} photos of {args.megapixels:g} megapixels, {args.workers} {kind}", rows)
    return 0


def open_grid(count: int) -> list[tuple[str, str]]:
    """What the page asks when it opens a dataset of so many pictures, and what it asks later, over the studio's own API."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        studio = open_studio(load_settings(data))
        somebody = studio.create_character(CharacterFields.model_validate({"name": "Mira"}))
        made, _ = studio.datasets.create(DatasetFields.model_validate({"character": somebody.id}))
        rows = [
            {
                "id": f"p{number:06}",
                "dataset_id": made.id,
                "sha256": f"{number:064x}",
                "path": f"datasets/files/{number:064x}.jpg",
                "name": f"{number}.jpg",
                "width": 1024,
                "height": 1024,
                "caption": f"mira_lk, laughing, wearing a red coat, on bridge number {number}, in the rain" if number % 3 else "",
                "tags": '["outdoor"]' if number % 5 else "[]",
                "flags": '["blurry"]' if number % 50 == 0 else "[]",
                "source": None,
                "created_at": float(number),
            }
            for number in range(count)
        ]
        with studio.database.begin() as connection:
            connection.execute(sa.insert(dataset_pictures), rows)
        base = f"/api/v1/datasets/{made.id}"
        with TestClient(create_api(studio), base_url="http://127.0.0.1") as client:
            asked = {
                "the list of datasets": f"/api/v1/datasets?character={somebody.id}",
                "the first hundred": f"{base}/images?limit=100",
                "what they can be found by": f"{base}/facets",
                "a hundred in the middle": f"{base}/images?limit=100&offset={count // 2}",
                "those without a caption": f"{base}/images?limit=100&caption=missing",
                "a search": f"{base}/images?limit=100&search=bridge+77",
            }
            times = {name: _median(lambda path=path: client.get(path).raise_for_status()) for name, path in asked.items()}
        studio.database.close()
    opened = sum(list(times.values())[:3])
    return [("opened: the first three together", f"{opened:7.1f}"), *((name, f"{time:7.1f}") for name, time in times.items())]


def _median(act: Callable[[], object]) -> float:
    times: list[float] = []
    for _ in range(9):
        began = time.perf_counter()
        act()
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


def draw_photo(folder: Path, megapixels: float, number: int) -> Path:
    """One JPEG of 4 : 3 or 3 : 4 with a face in it."""
    with Image.open(PORTRAIT) as image:
        person = image.convert("RGB")
    long = round((megapixels * 1e6 * 4 / 3) ** 0.5)
    size = (long, long * 3 // 4) if number % 3 else (long * 3 // 4, long)
    ground = Image.new("RGB", size, (number * 53 % 256, number * 97 % 256, number * 29 % 256))
    photo = Image.blend(ground, noise(long).crop((0, 0, *size)), 0.3)
    side = round(min(size) * (0.5 + 0.05 * (number % 10)))
    shown = ImageEnhance.Brightness(person.resize((side, side))).enhance(0.7 + 0.06 * (number % 11))
    photo.paste(shown, ((size[0] - side) * (number % 5) // 4, size[1] - side))
    path = folder / f"{number:04}.jpg"
    photo.save(path, quality=88)
    return path


@cache
def noise(side: int) -> Image.Image:
    """What makes a plain background as large a file as a photo's."""
    return Image.effect_noise((side, side), 24).convert("RGB")


def timed(pool: Executor, step: Callable[[Path], object], paths: Sequence[Path]) -> tuple[list[object], float]:
    """What a step gives for each photo, and the seconds for all."""
    began = time.perf_counter()
    results = list(pool.map(step, paths))
    return results, time.perf_counter() - began


def decode(path: Path) -> None:
    """What Pillow alone does."""
    with Image.open(path) as image:
        image.load()


def take_in(path: Path) -> None:
    """Check and clean a photo, as it is done before one is kept."""
    read_photo(path.read_bytes(), 100)


STEPS: dict[str, Callable[[Path], object]] = {"decoded": decode, "taken in": take_in, "looked at": examine}

if __name__ == "__main__":
    sys.exit(main())
