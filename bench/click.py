"""How long a click waits: until its job is visible with 1,000 jobs queued and the worker busy, and until an idle worker has started it.

Baseline in the same run: GET /api/v1/health, the cheapest route that asks the database, over the same connection.
"""

from __future__ import annotations

import argparse
import http.client
import json
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from bench.rig import Running, percentile, running_studio, table, wait_until

BODY = {"prompt": "portrait of a person with black hair, cartoon style", "width": 64, "height": 64, "steps": 1}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clicks", type=int, default=200)
    parser.add_argument("--queued", type=int, default=1000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running_studio(Path(folder) / "data") as studio:
        line = Line(studio)
        wait_for(line, line.post("generate", BODY)["job_id"])
        starts = [start_delay(line) for _ in range(args.clicks)]
        slow = {**BODY, "steps": 100, "width": 192, "height": 192, "count": 8}
        for _ in range(args.queued):
            line.post("generate", slow)
        wait_until(lambda: line.get("health")["jobs_running"] == 1, 30, "no job runs")
        baseline, clicks = [], []
        for _ in range(args.clicks):
            baseline.append(timed(lambda: line.get("health")))
            clicks.append(timed(lambda: line.get("jobs/" + line.post("generate", slow)["job_id"])))
        health = line.get("health")
        line.post("jobs/cancel", {})
    table(
        f"A click ({args.clicks} times; milliseconds)",
        [
            ("jobs queued while measuring", f"{health['jobs_queued']} (running: {health['jobs_running']})"),
            ("GET health (baseline)", spread(baseline)),
            ("click → job row visible", f"{spread(clicks)}   (wanted: p95 at most 50)"),
            ("click ÷ baseline, p50", f"{percentile(clicks, 0.5) / percentile(baseline, 0.5):.1f}"),
            ("enqueue → started, worker idle", f"{spread(starts)}   (wanted: p95 at most 150)"),
        ],
    )


class Line:
    """One kept-alive connection to a studio."""

    def __init__(self, studio: Running) -> None:
        self.connection = http.client.HTTPConnection(urlsplit(studio.url).netloc, timeout=60)

    def get(self, path: str) -> dict:
        return self._ask("GET", path, None)

    def post(self, path: str, body: object) -> dict:
        return self._ask("POST", path, json.dumps(body).encode())

    def _ask(self, method: str, path: str, body: bytes | None) -> dict:
        self.connection.request(method, f"/api/v1/{path}", body, {"Content-Type": "application/json"} if body else {})
        answer = self.connection.getresponse()
        found = json.load(answer)
        if answer.status >= 400:
            raise RuntimeError(found)
        return found


def start_delay(line: Line) -> float:
    """Seconds from sending one click to an idle studio until the worker marked its job as started, by the rows' own clocks."""
    sent = time.time()
    job = wait_for(line, line.post("generate", BODY)["job_id"])
    time.sleep(0.05)
    return datetime.fromisoformat(job["started_at"]).timestamp() - sent


def wait_for(line: Line, job_id: str) -> dict:
    """The job once it is done."""
    wait_until(lambda: line.get(f"jobs/{job_id}")["state"] == "done", 120, "the job did not finish")
    return line.get(f"jobs/{job_id}")


def timed(act: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def spread(seconds: list[float]) -> str:
    """p50, p95 and the largest, in milliseconds."""
    return f"p50 {percentile(seconds, 0.5) * 1000:.1f} · p95 {percentile(seconds, 0.95) * 1000:.1f} · max {max(seconds) * 1000:.1f}"


if __name__ == "__main__":
    main()
