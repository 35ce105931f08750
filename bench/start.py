"""How long until the page answers: a warm `python launch.py` beside a bare Gradio app of one textbox."""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.rig import HOME, answers, free_port, table, wait_until

BARE = """
import sys, gradio
with gradio.Blocks(analytics_enabled=False) as page:
    gradio.Textbox(label="One textbox")
page.launch(server_port=int(sys.argv[1]), quiet=True, inbrowser=False)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    bare, ours = [], []
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        first_page(["launch.py", "run", "--no-browser", "--data", str(data), "--port"])
        for _ in range(args.rounds):
            bare.append(first_page(["-c", BARE]))
            ours.append(first_page(["launch.py", "run", "--no-browser", "--data", str(data), "--port"]))
    a, b = statistics.median(bare), statistics.median(ours)
    table(
        f"From the command to the first 200 (seconds, median of {args.rounds}, all warm)",
        [
            ("a bare Gradio app of one textbox", f"{a:.2f}   ({', '.join(f'{value:.2f}' for value in bare)})"),
            ("python launch.py", f"{b:.2f}   ({', '.join(f'{value:.2f}' for value in ours)})"),
            ("launch.py ÷ bare", f"{b / a:.2f}   (wanted: at most 1.5)"),
        ],
    )


def first_page(command: Sequence[str]) -> float:
    """Seconds from starting a command (a port is added to it) until its page answers with 200; then it is stopped."""
    port = free_port()
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *command, str(port)],
        cwd=HOME,
        env={**os.environ, "GRADIO_ANALYTICS_ENABLED": "False"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/"), 120, "the page did not answer")
        return time.perf_counter() - started
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


if __name__ == "__main__":
    main()
