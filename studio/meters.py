"""How busy this computer is: processor, memory, and NVIDIA's graphics cards. Read in threads of their own, and only while somebody asks.

Cards are asked through NVML (the package nvidia-ml-py and the driver's own library), or by `nvidia-smi` where that package is missing. A
computer without such a card has none of them, and nothing is wrong with it.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from pydantic import Field

from studio.contracts import Contract

log = logging.getLogger(__name__)

MB = 2**20
ALONE_S = 15.0  # after so long without a question nothing is read any more
MACHINE_EVERY_S, CARDS_EVERY_S, PROGRAM_EVERY_S = 1.0, 1.0, 5.0
_CPU_OVER_S = 0.5
_TEMPERATURE_GPU = 0  # NVML_TEMPERATURE_GPU of nvml.h
_QUERY = "name,utilization.gpu,memory.used,memory.total,temperature.gpu"

T = TypeVar("T")


class Card(Contract):
    """One graphics card. None is what it doesn't tell; memory in MB."""

    name: str
    use: float | None = Field(description="The share of the last moment in which it computed, 0 to 1")
    memory_mb: float | None
    memory_total_mb: float | None
    temperature: float | None = Field(description="Degrees Celsius")


class System(Contract):
    """How busy the computer of the studio is now. None: not read yet; memory in MB."""

    cpu: float | None = Field(description="The share of all processors that is busy, 0 to 1")
    memory_mb: float | None
    memory_total_mb: float | None
    cards: tuple[Card, ...] = Field(description="NVIDIA's graphics cards; none where there are none")


class Meters:
    """The meters of this computer. Asking never waits longer than it is told to; nothing is read while nobody asks."""

    def __init__(self) -> None:
        self._machine = _Sampled(_read_machine, "meters")
        self._cards = _Sampled(_card_reader(), "meters-gpu")

    def now(self, wait_s: float = 0.0) -> System:
        """What was read last; the first time after a while it waits so long for it."""
        until = time.monotonic() + wait_s
        self._cards.latest()
        cpu, used, total = self._machine.latest(wait_s) or (None, None, None)
        cards = self._cards.latest(max(0.0, until - time.monotonic())) or ()
        return System(cpu=cpu, memory_mb=used, memory_total_mb=total, cards=cards)

    def video_memory_mb(self, wait_s: float = 0.0) -> float | None:
        """The memory of the largest card; 0 where there is none, None where that is not known after so long."""
        cards = self._cards.latest(wait_s, fresh=False)
        return None if cards is None else max((card.memory_total_mb or 0.0 for card in cards), default=0.0)


def program_memory_mb(pids: Iterable[int]) -> float | None:
    """The memory that programs hold on NVIDIA's cards, in MB; None where nobody tells. May take a moment the first time."""
    nvml = _nvml()
    wanted, held = set(pids), 0.0
    if nvml is None:
        return None
    try:
        for number in range(nvml.nvmlDeviceGetCount()):
            running = nvml.nvmlDeviceGetComputeRunningProcesses(nvml.nvmlDeviceGetHandleByIndex(number))
            held += sum((one.usedGpuMemory or 0) / MB for one in running if one.pid in wanted)
    except nvml.NVMLError:
        return None
    return round(held, 1) or None


def cards_by(nvml: Any) -> tuple[Card, ...]:
    """Every card as NVML tells of it. `nvml` is the module pynvml after nvmlInit."""
    return tuple(_card(nvml, nvml.nvmlDeviceGetHandleByIndex(number)) for number in range(nvml.nvmlDeviceGetCount()))


def cards_in(text: str) -> tuple[Card, ...]:
    """The cards in an answer of nvidia-smi: a line of comma-separated values for each; `[N/A]` is what a card doesn't tell."""
    cards: list[Card] = []
    for line in text.splitlines():
        name, *rest = (part.strip() for part in line.rsplit(",", 4))
        if len(rest) == 4:
            use, used, total, temperature = (_number(part) for part in rest)
            cards.append(
                Card(name=name, use=None if use is None else use / 100, memory_mb=used, memory_total_mb=total, temperature=temperature)
            )
    return tuple(cards)


class _Sampled(Generic[T]):
    """A value that a thread reads again and again as long as somebody asks for it. `read` gives it, and after how long to read anew."""

    def __init__(self, read: Callable[[], tuple[T, float]], name: str) -> None:
        self._read = read
        self._name = name
        self._changed = threading.Condition()
        self._value: T | None = None
        self._asked_at = float("-inf")
        self._runs = False

    def latest(self, wait_s: float = 0.0, *, fresh: bool = True) -> T | None:
        """What was read last, after so many seconds of waiting for it at most; None where it isn't known.

        With `fresh` what was read before a pause doesn't count.
        """
        with self._changed:
            self._asked_at = time.monotonic()
            if not self._runs:
                self._runs = True
                if fresh:
                    self._value = None
                threading.Thread(target=self._run, name=self._name, daemon=True).start()
            self._changed.wait_for(lambda: self._value is not None, wait_s)
            return self._value

    def _run(self) -> None:
        try:
            while True:
                value, again_s = self._read()
                with self._changed:
                    self._value = value
                    self._changed.notify_all()
                time.sleep(again_s)
                with self._changed:
                    if time.monotonic() - self._asked_at > ALONE_S:
                        return
        except Exception:
            log.debug("A meter can't be read", exc_info=True)
        finally:
            with self._changed:
                self._runs = False


def _read_machine() -> tuple[tuple[float, float, float], float]:
    import psutil

    cpu = psutil.cpu_percent(interval=_CPU_OVER_S) / 100
    memory = psutil.virtual_memory()
    return (round(cpu, 3), round((memory.total - memory.available) / MB, 1), round(memory.total / MB, 1)), MACHINE_EVERY_S


def _card_reader() -> Callable[[], tuple[tuple[Card, ...], float]]:
    def read() -> tuple[tuple[Card, ...], float]:
        nvml = _nvml()
        if nvml is None:
            program = shutil.which("nvidia-smi")
            return (() if program is None else cards_in(_said(program))), PROGRAM_EVERY_S
        try:
            return cards_by(nvml), CARDS_EVERY_S
        except nvml.NVMLError as error:
            # As when a driver is updated beneath a studio that runs.
            log.debug("The graphics cards don't answer: %s", error)
            return (), PROGRAM_EVERY_S

    return read


_nvml_lock = threading.Lock()
_nvml_found: list[Any] = []


def _nvml() -> Any | None:
    """The module pynvml, its library opened; None where the package or a driver is missing. Looked for once."""
    with _nvml_lock:
        if not _nvml_found:
            _nvml_found.append(_open_nvml())
        return _nvml_found[0]


def _open_nvml() -> Any | None:
    try:
        import pynvml  # pyright: ignore[reportMissingImports]  # optional: a package of NVIDIA's
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        log.debug("No graphics card of NVIDIA's: %s", error)
        return None
    return pynvml


def _card(nvml: Any, handle: Any) -> Card:
    def told(ask: Callable[[], Any]) -> Any | None:
        # Some cards don't tell everything: of a part of one (MIG) nobody knows how busy it is.
        with contextlib.suppress(nvml.NVMLError):
            return ask()
        return None

    name = told(lambda: nvml.nvmlDeviceGetName(handle)) or "GPU"
    rates = told(lambda: nvml.nvmlDeviceGetUtilizationRates(handle))
    memory = told(lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
    temperature = told(lambda: nvml.nvmlDeviceGetTemperature(handle, _TEMPERATURE_GPU))
    return Card(
        name=name.decode() if isinstance(name, bytes) else name,
        use=None if rates is None else rates.gpu / 100,
        memory_mb=None if memory is None else round(memory.used / MB, 1),
        memory_total_mb=None if memory is None else round(memory.total / MB, 1),
        temperature=temperature,
    )


def _said(program: str) -> str:
    command = [program, f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=20, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
