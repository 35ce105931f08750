"""What an idle studio costs: memory and processor time of web and worker, after every route and both tabs were visited.

Baseline in the same run: a Python process that has imported Gradio and does nothing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil

from bench.rig import Running, running_studio, table, wait_until

SECONDS = 30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    args = parser.parse_args()
    bare = subprocess.Popen([sys.executable, "-c", "import gradio, time; print(1, flush=True); time.sleep(3600)"], stdout=subprocess.PIPE)
    assert bare.stdout
    bare.stdout.readline()
    with tempfile.TemporaryDirectory() as folder, running_studio(Path(folder) / "data") as studio:
        visited = visit_everything(studio)
        web, worker = children(studio)
        time.sleep(5)
        web_share, worker_share = shares([web, worker], args.seconds)
        rows = [
            ("routes visited", str(visited)),
            (
                "web, resident memory",
                f"{megabytes(web):.0f} MB   (wanted: at most 300; importing Gradio alone: {megabytes(psutil.Process(bare.pid)):.0f} MB)",
            ),
            ("web ÷ bare Gradio", f"{megabytes(web) / megabytes(psutil.Process(bare.pid)):.2f}"),
            ("libtorch in the web's memory map", "yes (wanted: no)" if has_torch(web) else "no"),
            ("web, processor", f"{web_share:.1%} of a core   (wanted: at most 2 %)"),
            ("worker, processor", f"{worker_share:.1%} of a core   (wanted: at most 3 %)"),
            ("worker, resident memory", f"{megabytes(worker):.0f} MB (it made one picture, the model is still loaded)"),
        ]
    bare.kill()
    table(f"Idle for {args.seconds:.0f} s", rows)


def visit_everything(studio: Running) -> int:
    """Make a picture, then GET every route of the API and the page's own; gives how many answered."""
    job = studio.post("generate", {"prompt": "portrait of a person", "width": 64, "height": 64, "steps": 2})
    job_id = job["job_id"]  # pyright: ignore[reportIndexIssue,reportCallIssue,reportArgumentType]  # JSON
    wait_until(lambda: studio.get(f"jobs/{job_id}")["state"] == "done", 120, "the job did not finish")  # pyright: ignore[reportIndexIssue,reportCallIssue,reportArgumentType]  # JSON
    with urllib.request.urlopen(f"{studio.url}/api/openapi.json", timeout=30) as answer:
        routes = [path for path, verbs in json.load(answer)["paths"].items() if "get" in verbs and not path.endswith("/events")]
    names = {"{job_id}": job_id, "{picture_id}": f"{job_id}-00", "{image_id}": f"{job_id}-00", "{preset_id}": "portrait_v1", "{id}": job_id}
    visited = 0
    for path in [*routes, "/", "/config", "/theme.css", "/gradio_api/info", "/api/docs"]:
        for name, value in names.items():
            path = path.replace(name, value)
        try:
            with urllib.request.urlopen(studio.url + path, timeout=30) as answer:
                answer.read()
        except urllib.error.HTTPError:
            pass
        visited += 1
    return visited


def children(studio: Running) -> tuple[psutil.Process, psutil.Process]:
    """The web process and the worker of a running studio."""
    found = {
        verb: child
        for child in psutil.Process(studio.pid).children(recursive=True)
        for verb in ("web", "worker")
        if verb in child.cmdline()
    }
    return found["web"], found["worker"]


def shares(processes: list[psutil.Process], seconds: float) -> list[float]:
    """The share of one core that each process used during the next `seconds`."""
    before = [sum(process.cpu_times()[:2]) for process in processes]
    time.sleep(seconds)
    return [(sum(process.cpu_times()[:2]) - start) / seconds for process, start in zip(processes, before, strict=True)]


def megabytes(process: psutil.Process) -> float:
    """Resident memory."""
    return process.memory_info().rss / 1e6


def has_torch(process: psutil.Process) -> bool:
    """True when any torch library is mapped into the process."""
    return any("libtorch" in area.path or "libc10" in area.path for area in process.memory_maps())


if __name__ == "__main__":
    main()
