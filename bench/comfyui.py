"""100 jobs on a real ComfyUI through the studio against a bare client on the same server, two in flight each, A/B/A/B, median of 3.

The bare client posts the same graphs over one kept connection, waits on a WebSocket, fetches each picture and writes it to disk: what
anybody has to do. Tiny models of random weights (tests/comfyui) stand in for large ones; weightless jobs (an empty picture is saved)
show the studio's own cost alone.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
import urllib.error
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
from websockets.sync.client import connect

from bench.rig import Running, percentile, running_studio, table, wait_until
from tests.comfyui.server import Server, install
from tests.comfyui.wire import Line

SIDE, STEPS = 64, 2
MODEL = "comfyui/checkpoints/tiny_sd15.safetensors"
EMPTY = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": SIDE, "height": SIDE, "batch_size": 1, "color": "{{seed}}"}},
    "2": {"class_type": "SaveImage", "inputs": {"filename_prefix": "bench/empty", "images": ["1", 0]}},
}
EMPTY_MANIFEST = """id: empty
name: Empty
kind: text_to_image
parameters:
- {name: seed, label: Seed, type: integer, minimum: 0, maximum: 16777215, default: 0}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3, help="how often each side is measured; 0 leaves the comparison out")
    parser.add_argument(
        "--memory",
        type=int,
        default=1000,
        help="jobs over which its memory is watched; 0: none",
    )
    args = parser.parse_args()
    install()
    with tempfile.TemporaryDirectory() as name, Server(Path(name) / "comfyui", previews="none") as server:
        folder = Path(name)
        own = folder / "data" / "workflows" / "empty"
        own.mkdir(parents=True)
        (own / "graph.json").write_text(json.dumps(EMPTY))
        (own / "manifest.yaml").write_text(EMPTY_MANIFEST)
        os.environ["COMFYUI_URL"] = server.url
        with running_studio(folder / "data") as studio:
            wait_until(lambda: MODEL in models(studio), 60, "the server was not seen")
            start = memory_of(studio)
            through_studio(studio, tiny_request, 1)
            print(f"The worker's memory: {start:.0f} MB before its first job, {memory_of(studio):.0f} MB after it", flush=True)
            with Bare(server.url, folder) as bare:
                for title, graph, request in (
                    ("the tiny checkpoint, 2 steps of 64 × 64", tiny_graph(studio, server), tiny_request),
                    ("weightless: an empty picture is saved", EMPTY, empty_request),
                ):
                    if args.rounds:
                        compare(title, studio, bare, graph, request, args.jobs, args.rounds)
            if args.memory:
                watch_memory(studio, args.memory)
    if args.rounds:
        previews(args.jobs)


def compare(
    title: str, studio: Running, bare: Bare, graph: Mapping[str, Any], request: Callable[[int], dict[str, Any]], jobs: int, rounds: int
) -> None:
    """Both sides in turns, and a table."""
    bare.make(graph, 5)
    through_studio(studio, request, 5)
    rates: dict[str, list[float]] = {"bare": [], "studio": []}
    alone: dict[str, list[float]] = {"bare": [], "studio": [], "ordered": []}
    spent, worker = 0.0, psutil.Process(worker_of(studio))
    for _ in range(rounds):
        rates["bare"].append(jobs / bare.make(graph, jobs))
        before = sum(worker.cpu_times()[:2])
        rates["studio"].append(jobs / through_studio(studio, request, jobs))
        spent += sum(worker.cpu_times()[:2]) - before
    for _ in range(60):
        alone["bare"].append(bare.make(graph, 1))
        ran, waited_and_ran = alone_in_studio(studio, request)
        alone["studio"].append(ran)
        alone["ordered"].append(waited_and_ran)
    middle = {side: statistics.median(found) for side, found in rates.items()}
    added, ordered = ((percentile(alone[side], 0.5) - percentile(alone["bare"], 0.5)) * 1000 for side in ("studio", "ordered"))
    table(
        f"ComfyUI, {title} ({jobs} jobs, two in flight, median of {rounds})",
        [
            ("bare client", f"{middle['bare']:.1f} jobs/s"),
            ("studio", f"{middle['studio']:.1f} jobs/s"),
            ("studio ÷ bare", f"{middle['studio'] / middle['bare']:.3f}   (wanted: at least 0.95 on the tiny checkpoint)"),
            ("rounds", ", ".join(f"{a / b:.3f}" for a, b in zip(rates["studio"], rates["bare"], strict=True))),
            ("one job alone, bare", f"p50 {percentile(alone['bare'], 0.5) * 1000:.0f} ms"),
            ("one job alone, from start to done in the studio", f"p50 {percentile(alone['studio'], 0.5) * 1000:.0f} ms"),
            ("one job alone, from its order to done in the studio", f"p50 {percentile(alone['ordered'], 0.5) * 1000:.0f} ms"),
            ("added by the studio, from its start", f"p50 {added:.0f} ms   (wanted: at most 30)"),
            ("added by the studio, from its order", f"p50 {ordered:.0f} ms   (wanted: at most 30)"),
            ("worker, processor per job", f"{spent / (jobs * rounds) * 1000:.1f} ms"),
        ],
    )


def watch_memory(studio: Running, jobs: int) -> None:
    """The worker's resident memory over many jobs.

    What it keeps, it keeps from early on, but for the database's prepared statements, of which each connection has met all after some 2,000
    jobs, and one block of 1.9 MB that comes between 2,400 and 3,200. So the second half of 8,000 jobs says whether it grows.
    """
    seen: list[tuple[int, float]] = []
    began = time.perf_counter()
    for part in range(1, 11):
        done = seen[-1][0] if seen else 0
        through_studio(studio, empty_request, jobs * part // 10 - done)
        seen.append((jobs * part // 10, memory_of(studio)))
    rows = [(f"after {done:,} jobs", f"{memory:.0f} MB") for done, memory in (seen[0], seen[4], seen[9])]
    rows.append(("growth since the first tenth", f"{seen[9][1] - seen[0][1]:+.1f} MB   (wanted: none)"))
    rows.append(("growth in the second half", f"{seen[9][1] - seen[4][1]:+.1f} MB"))
    rows.append(("took", f"{time.perf_counter() - began:.0f} s"))
    table(f"The worker's memory over {jobs:,} weightless jobs", rows)


class Bare:
    """A client with nothing around it: one connection, one socket, two jobs in flight."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url, self._folder = url, folder / "bare"
        self._folder.mkdir()
        self._id = uuid.uuid4().hex
        self._http = httpx.Client(base_url=url, timeout=60)
        self._socket = connect(f"{url.replace('http', 'ws', 1)}/ws?clientId={self._id}", max_size=None)
        self._made = 0
        self._writing = ThreadPoolExecutor(1)

    def __enter__(self) -> Bare:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._http.close()
        self._writing.shutdown()

    def make(self, graph: Mapping[str, Any], count: int) -> float:
        """Seconds for so many pictures, each fetched and on disk."""
        began = time.perf_counter()
        left = count
        live: set[str] = set()
        written: list[Any] = []
        while left or live:
            while left and len(live) < 2:
                live.add(self._post(graph))
                left -= 1
            message = self._socket.recv()
            if isinstance(message, bytes):
                continue
            said = json.loads(message)
            data = said.get("data", {})
            if said["type"] == "executing" and data.get("node") is None and data.get("prompt_id") in live:
                live.discard(data["prompt_id"])
                written.append(self._writing.submit(self._fetch, data["prompt_id"]))
        for each in written:
            each.result()
        return time.perf_counter() - began

    def _post(self, graph: Mapping[str, Any]) -> str:
        self._made += 1
        seed = 1_000_000 + self._made
        filled = json.loads(json.dumps(graph).replace('"{{seed}}"', str(seed)))
        answer = self._http.post("/prompt", json={"prompt": filled, "client_id": self._id})
        return answer.raise_for_status().json()["prompt_id"]

    def _fetch(self, prompt_id: str) -> None:
        entry = self._http.get(f"/history/{prompt_id}").raise_for_status().json()[prompt_id]
        for output in entry["outputs"].values():
            for image in output.get("images", []):
                where = {"filename": image["filename"], "subfolder": image["subfolder"], "type": image["type"]}
                content = self._http.get("/view", params=where).raise_for_status().content
                (self._folder / image["filename"]).write_bytes(content)


def tiny_graph(studio: Running, server: Server) -> Mapping[str, Any]:
    """The graph that the studio itself posts, with a place for the seed."""
    through_studio(studio, tiny_request, 1)
    history = httpx.get(f"{server.url}/history", timeout=30).json()
    graph = next(iter(history.values()))["prompt"][2]
    for node in graph.values():
        if "seed" in node["inputs"]:
            node["inputs"]["seed"] = "{{seed}}"
        if "filename_prefix" in node["inputs"]:
            node["inputs"]["filename_prefix"] = "bench/bare"
    return graph


def tiny_request(seed: int) -> dict[str, Any]:
    return {"engine": "comfyui", "model": MODEL, "prompt": "a cat", "width": SIDE, "height": SIDE, "steps": STEPS, "seed": seed}


def empty_request(seed: int) -> dict[str, Any]:
    return {**tiny_request(seed), "workflow": "empty"}


_seeds = iter(range(1, 10**6))


def through_studio(studio: Running, request: Callable[[int], dict[str, Any]], count: int) -> float:
    """Seconds from the first job's start to the last one's end, as the studio's own rows tell."""
    if not count:
        return 0.0
    ids = set[str]()
    for _ in range(count):
        ids.add(asked(studio, request(next(_seeds))))
    wait_until(lambda: not live(studio), 300 + count, "the jobs did not end", every=0.05)
    found: list[Any] = []
    cursor = ""
    while len(found) < count:
        page: Any = studio.get(f"jobs?limit=100{cursor}")
        found += [job for job in page["items"] if job["id"] in ids]
        cursor = f"&cursor={page['next']}" if page["next"] else cursor
    assert all(job["state"] == "done" for job in found), [job["error"] for job in found if job["error"]][:1]
    return (max(seconds(job["finished_at"]) for job in found)) - min(seconds(job["started_at"]) for job in found)


def asked(studio: Running, request: dict[str, Any]) -> str:
    """The id of a job that was taken. On a crowded machine the server is away for moments, and its models with it."""
    until = time.monotonic() + 60
    while True:
        try:
            answer: Any = studio.post("generate", request)
        except urllib.error.HTTPError as error:
            if error.code not in (422, 503) or time.monotonic() > until:
                raise
            time.sleep(0.5)
        else:
            return answer["job_id"]


def alone_in_studio(studio: Running, request: Callable[[int], dict[str, Any]]) -> tuple[float, float]:
    """Seconds that one job ran when nothing else does, and from its order to its end."""
    ran = through_studio(studio, request, 1)
    newest: Any = studio.get("jobs?limit=1")
    (job,) = newest["items"]
    return ran, seconds(job["finished_at"]) - seconds(job["created_at"])


def previews(jobs: int) -> None:
    """What comes from a server for a picture of twenty steps, with its previews and without."""
    received: dict[str, float] = {}
    for kind in ("none", "latent2rgb"):
        with tempfile.TemporaryDirectory() as name, Server(Path(name) / "comfyui", previews=kind) as server, Line(server.port) as line:
            os.environ["COMFYUI_URL"] = line.url
            with running_studio(Path(name) / "data") as studio:
                wait_until(lambda studio=studio: MODEL in models(studio), 60, "the server was not seen")
                through_studio(studio, many_steps, 1)
                before = line.carried_back
                through_studio(studio, many_steps, jobs // 5)
                received[kind] = (line.carried_back - before) / (jobs // 5)
    table(
        f"Bytes that a server sends for one picture of {SIDE} × {SIDE} in 20 steps ({jobs // 5} jobs)",
        [
            ("without previews", f"{received['none'] / 1024:.0f} kB (the picture, its queue and events)"),
            ("with previews", f"{received['latent2rgb'] / 1024:.0f} kB"),
            ("received for previews", f"{(received['latent2rgb'] - received['none']) / 1024:.1f} kB"),
        ],
    )


def many_steps(seed: int) -> dict[str, Any]:
    return {**tiny_request(seed), "steps": 20}


def seconds(moment: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(moment).timestamp()


def live(studio: Running) -> bool:
    health: Any = studio.get("health")
    return health["jobs_queued"] + health["jobs_running"] > 0


def models(studio: Running) -> set[str]:
    found: Any = studio.get("models")
    return {model["id"] for model in found["items"]}


def memory_of(studio: Running) -> float:
    """The worker's resident memory in MB."""
    return psutil.Process(worker_of(studio)).memory_info().rss / 2**20


def worker_of(studio: Running) -> int:
    for child in psutil.Process(studio.pid).children(recursive=True):
        if "worker" in child.cmdline():
            return child.pid
    raise RuntimeError("there is no worker")


if __name__ == "__main__":
    main()
