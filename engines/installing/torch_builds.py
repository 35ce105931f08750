"""Which build of torch suits a computer, by what its drivers say: torch itself isn't there yet to be asked.

NVIDIA: CUDA 13 needs driver 580 and a card of compute capability 7.5 (GeForce 16 and 20) or newer; CUDA 12 runs with driver 525 and
newer on older cards, from 5.0 (Maxwell) on, and knows no Blackwell (10.0 and newer). https://docs.nvidia.com/deploy/cuda-compatibility/,
https://docs.nvidia.com/cuda/cuda-toolkit-release-notes/, and the choice of builds in ComfyUI's own README.
"""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from studio.pins import Program

CPU, CUDA, CUDA_12, ROCM, MPS = "cpu", "cuda", "cuda12", "rocm", "mps"
CUDA_13_DRIVER, CUDA_12_DRIVER = 580, 525
CUDA_13_CARDS, CUDA_12_CARDS, CUDA_12_TOO_NEW = 7.5, 5.0, 10.0
NVIDIA_SMI = ("nvidia-smi", "--query-gpu=name,driver_version,compute_cap", "--format=csv,noheader")
# Drivers before 2021 don't know of compute_cap, and refuse the whole question.
OLD_NVIDIA_SMI = ("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader")
PATIENCE_S = 20


@dataclass(frozen=True)
class Machine:
    """What a computer says of itself. `nvidia` is what NVIDIA_SMI printed, `amd` what rocminfo did or else the kernel's list of GPUs."""

    system: str
    architecture: str
    nvidia: str = ""
    amd: str = ""


@dataclass(frozen=True)
class Choice:
    """The build by its name in the pins file. With `problem` there is a card that none suits as it is, and `build` is for the processor.

    `driver` is the oldest driver of NVIDIA's that would do, 0 where that isn't the problem.
    """

    build: str
    because: str
    problem: str = ""
    remedy: str = ""
    driver: int = 0


def choose(machine: Machine, program: Program) -> Choice:
    """The build of a program's torch for a computer."""
    if machine.system == "darwin":
        if machine.architecture == "arm64":
            return Choice(MPS, "Apple silicon")
        return Choice(
            CPU,
            "a Mac with an Intel processor",
            problem="torch is no longer made for Macs with an Intel processor.",
            remedy=f"Use {program.title} on another computer, or set {program.variable('python')} to a Python that has torch.",
        )
    card = _nvidia_card(machine.nvidia)
    if card is not None:
        return _for_nvidia(*card, program)
    if machine.system == "linux" and (found := _amd_card(machine.amd)):
        return Choice(ROCM, f"AMD {found}")
    return Choice(CPU, "no graphics card that torch can use was found")


def this_machine() -> Machine:
    """This computer; takes a second or two where a driver has to be asked."""
    system = sys.platform
    nvidia = "" if system == "darwin" else _said(NVIDIA_SMI) or _said(OLD_NVIDIA_SMI)
    amd = ""
    if system == "linux" and Path("/dev/kfd").exists():
        amd = _said(("rocminfo",)) or _kernel_list(Path("/sys/class/kfd/kfd/topology/nodes"))
    return Machine(system, platform.machine().lower(), nvidia, amd)


def _for_nvidia(name: str, driver: int, capability: float, program: Program) -> Choice:
    because = f"{name}, driver {driver}"
    if 0 < capability < CUDA_12_CARDS:
        return Choice(CPU, f"{name} is older than what torch computes on")
    if capability >= CUDA_13_CARDS and driver >= CUDA_13_DRIVER:
        return Choice(CUDA, because)
    if capability < CUDA_12_TOO_NEW and driver >= CUDA_12_DRIVER:
        return Choice(CUDA_12, because)
    needed = CUDA_13_DRIVER if capability >= CUDA_12_TOO_NEW else CUDA_12_DRIVER
    return Choice(
        CPU,
        because,
        problem=f"The NVIDIA driver {driver} is too old for {name}.",
        remedy=f"Install driver {needed} or newer, or set {program.variable('torch')}=cpu to do without the card.",
        driver=needed,
    )


def _nvidia_card(said: str) -> tuple[str, int, float] | None:
    """Name, main number of the driver, and compute capability (0 where an old driver doesn't tell) of the newest card."""
    found: list[tuple[float, str, int]] = []
    for line in said.splitlines():
        # A driver that doesn't work explains itself here as well, in sentences.
        match = re.fullmatch(r"\s*([^,]+?)\s*,\s*(\d+)(?:\.\d+)*\s*(?:,\s*(\d+\.\d+|\[[^]]*\]))?\s*", line)
        if match:
            name, driver, capability = match.groups()
            found.append((float(capability) if capability and capability[0] != "[" else 0.0, name, int(driver)))
    if not found:
        return None
    capability, name, driver = max(found)
    return name, driver, capability


def _amd_card(said: str) -> str:
    """The name of the first GPU, such as gfx1100; empty where there is none."""
    # rocminfo lists the processor as an agent as well; only a GPU has a name with gfx.
    match = re.search(r"^\s*Name:\s+(gfx[0-9a-f]+)\s*$", said, re.MULTILINE)
    if match:
        return match[1]
    # The kernel says 110000 for 11.0.0, in two digits each, and 0 for the processor.
    version = re.search(r"^gfx_target_version (?!0$)(\d+)$", said, re.MULTILINE)
    if not version:
        return ""
    number = int(version[1])
    return f"gfx{number // 10000}{number // 100 % 100:x}{number % 100:x}"


def _kernel_list(nodes: Path) -> str:
    said: list[str] = []
    for node in sorted(nodes.glob("*/properties")):
        try:
            said.append(node.read_text("ascii", "replace"))
        except OSError:
            # Not everyone may read what a GPU of another container can do.
            continue
    return "\n".join(said)


def _said(command: tuple[str, ...]) -> str:
    """What a program printed; nothing where it isn't there, fails or hangs."""
    program = shutil.which(command[0])
    if program is None:
        return ""
    try:
        done = subprocess.run([program, *command[1:]], capture_output=True, text=True, errors="replace", timeout=PATIENCE_S)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
