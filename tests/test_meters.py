"""The meters of this computer: really read, in the background, and only while somebody asks."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.rig import wait_until
from studio import meters
from studio.meters import Meters, _Sampled, cards_by, cards_in, program_memory_mb

HOME = Path(__file__).resolve().parent.parent


def test_processor_and_memory_are_read() -> None:
    found = Meters().now(wait_s=30)
    assert found.cpu is not None and 0 <= found.cpu <= 1
    assert found.memory_mb and found.memory_total_mb and found.memory_mb < found.memory_total_mb
    assert found.memory_total_mb == pytest.approx(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**20, rel=0.02)


def test_a_computer_that_works_hard_says_so() -> None:
    def work() -> None:
        while not done.is_set():
            sum(range(10_000))

    done = threading.Event()
    threading.Thread(target=work, daemon=True).start()
    try:
        here = Meters()
        wait_until(lambda: (here.now().cpu or 0) >= 0.8 / (os.cpu_count() or 1), 60, "one busy processor was not seen")
    finally:
        done.set()


def test_asking_does_not_wait_for_a_meter_that_hangs() -> None:
    never = threading.Event()

    def hangs() -> tuple[int, float]:
        never.wait(60)
        return 1, 0.01

    slow = _Sampled(hangs, "hangs")
    try:
        began = time.monotonic()
        assert slow.latest() is None and slow.latest(0.05) is None
        assert time.monotonic() - began < 2
        assert sum(thread.name == "hangs" for thread in threading.enumerate()) == 1
    finally:
        never.set()


def test_nothing_is_read_while_nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meters, "ALONE_S", 0.2)
    count = [0]

    def read() -> tuple[int, float]:
        count[0] += 1
        return count[0], 0.02

    counter = _Sampled(read, "counter")
    assert counter.latest(5)
    wait_until(lambda: not any(thread.name == "counter" for thread in threading.enumerate()), 10, "it was read on")
    before = count[0]
    assert counter.latest(5) == before + 1, "what was read before the pause doesn't count"


def test_a_meter_that_fails_is_read_anew_by_the_next_who_asks() -> None:
    count = [0]

    def read() -> tuple[int, float]:
        count[0] += 1
        if count[0] == 1:
            raise RuntimeError("the first time")
        return count[0], 0.02

    shaky = _Sampled(read, "shaky")
    wait_until(lambda: shaky.latest() == 2 or shaky.latest() is not None, 10, "it did not come back")


PROGRAM = """
from studio.meters import Meters, _nvml, program_memory_mb
meters = Meters()
assert _nvml() is None and program_memory_mb([1]) is None
found = meters.now(wait_s=30)
assert found.cards == () and found.cpu is not None, found
assert meters.video_memory_mb(30) == 0
print("well")
"""


@pytest.mark.skipif(os.path.exists("/proc/driver/nvidia"), reason="this machine has an NVIDIA driver, and this is about having none")
@pytest.mark.parametrize("package", [True, False], ids=["with the package", "without the package"])
def test_a_computer_without_nvidia_has_no_cards_and_nothing_is_wrong(package: bool, tmp_path: Path) -> None:
    pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed") if package else None
    program = PROGRAM if package else f"import sys\nsys.modules['pynvml'] = None\n{PROGRAM}"
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], cwd=HOME, capture_output=True, text=True, timeout=120)
    assert (done.stdout.strip(), done.stderr) == ("well", "")


# ruff: noqa: N802 - the names are NVIDIA's
class NvmlShaped:
    """What pynvml answers on a machine with two cards, in its shapes. A stand-in: there is no card where these tests run."""

    class NVMLError(Exception):
        pass

    def __init__(self, *, dumb: bool = False) -> None:
        self.dumb = dumb

    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, number: int) -> int:
        return number

    def nvmlDeviceGetName(self, handle: int) -> str | bytes:
        return b"NVIDIA A" if handle else "NVIDIA B"  # releases before 12 gave bytes

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> Any:
        if self.dumb:
            raise self.NVMLError("Not Supported")
        return SimpleNamespace(gpu=87, memory=40)

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:
        return SimpleNamespace(total=24 * 2**30, used=(10 + handle) * 2**30, free=0)

    def nvmlDeviceGetTemperature(self, handle: int, sensor: int) -> int:
        if self.dumb:
            raise self.NVMLError("Not Supported")
        assert sensor == 0
        return 61

    def nvmlDeviceGetComputeRunningProcesses(self, handle: int) -> list[Any]:
        return [
            SimpleNamespace(pid=7, usedGpuMemory=2**30),
            SimpleNamespace(pid=8, usedGpuMemory=None),
            SimpleNamespace(pid=9, usedGpuMemory=5),
        ]


def test_every_card_is_told_with_what_it_tells() -> None:
    first, second = cards_by(NvmlShaped())
    assert (first.name, second.name) == ("NVIDIA B", "NVIDIA A")
    assert (first.use, first.memory_mb, first.memory_total_mb, first.temperature) == (0.87, 10 * 1024, 24 * 1024, 61)
    part, _ = cards_by(NvmlShaped(dumb=True))
    assert (part.use, part.temperature, part.memory_mb) == (None, None, 10 * 1024)


def test_the_memory_of_programs_on_all_cards_is_added_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meters, "_nvml_found", [NvmlShaped()])  # what is opened once in a process
    assert program_memory_mb([7, 8]) == 2 * 1024
    assert program_memory_mb([1]) is None


def test_what_nvidia_smi_says_is_read() -> None:
    text = "NVIDIA GeForce RTX 4090, 35, 10240, 24564, 54\nNVIDIA A100-SXM4-80GB MIG 1g.10gb, [N/A], 12, 9856, [N/A]\n\n"
    one, other = cards_in(text)
    assert (one.name, one.use, one.memory_mb, one.memory_total_mb, one.temperature) == ("NVIDIA GeForce RTX 4090", 0.35, 10240, 24564, 54)
    assert (other.use, other.memory_mb, other.temperature) == (None, 12, None)
    assert cards_in("") == cards_in("No devices were found\n") == ()
