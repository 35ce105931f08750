"""AI-Toolkit as a process: found, started, taken up again after our own restart, and ended. It is known by its number and its start."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from engines.aitoolkit.config import CPU, CUDA, DIFFUSION_TRAINER, SD_TRAINER
from engines.installing.install import harmless
from studio.errors import DependencyMissing, EngineFailed
from studio.files import write_atomically
from studio.managed import is_alive, managed_folder, python_of, read_managed, unfit_toolkit
from studio.pins import AITOOLKIT
from studio.settings import Settings

PROCESS = "process.json"
STDOUT, STDERR = "stdout.log", "stderr.log"
# What AI-Toolkit takes for another kind of file anywhere in a path, and what it would read as a pattern.
_MISREAD = ("_lora", "_refiner", "_t2i", "_cn", "[", "]", "*", "?", "$")
# Should we ignore SIGINT, so would the trainer: an ignored signal is inherited.
_START = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
END_S = 10.0


@dataclass(frozen=True)
class Toolkit:
    """An AI-Toolkit on this computer: its folder, its Python, and the kind of trainer it has."""

    folder: Path
    python: Path
    trainer: str


@dataclass(frozen=True)
class Trainer:
    """A trainer that was started: `pid` and `born` are who it is, `resumed` the step it has to go on after, 0 for a new run.

    `alias` is the folder under which it knows its files; `kills` is how often the system had ended programs for memory before.
    """

    pid: int
    born: float
    resumed: int
    alias: str
    kills: int

    @property
    def alive(self) -> bool:
        """Whether this very process runs: its number may have gone to another."""
        return is_alive(self.pid, self.born)


def find_toolkit(settings: Settings) -> Toolkit:
    """The AI-Toolkit of AITOOLKIT_PATH, or else the one that Likeness installed.

    Raises DependencyMissing where there is none, InvalidFieldValue for a folder that has none, EngineFailed for one that is broken.
    """
    if settings.aitoolkit_path is not None:
        folder = settings.aitoolkit_path.expanduser()
        if unfit := unfit_toolkit(folder):
            raise unfit
        python = python_of(folder)
        assert python is not None
        return Toolkit(folder.resolve(), python.absolute(), _trainer_in(folder))
    there = read_managed(managed_folder(settings, AITOOLKIT)).installation
    if there is None:
        raise DependencyMissing(
            "AI-Toolkit is not set up.",
            remedy="Install it on the Setup tab, set AITOOLKIT_PATH to the folder of yours, or train with the embedded trainer.",
        )
    folder, python = Path(there.folder), Path(there.python)
    if not python.is_file() or not AITOOLKIT.is_in(folder):
        raise EngineFailed(f"The AI-Toolkit in {folder} is not whole any more.", remedy="Remove it on the Setup tab and install it again.")
    return Toolkit(folder, python, _trainer_in(folder))


def device_of(settings: Settings) -> str:
    """Where it will train: cpu or cuda. Raises DependencyMissing where no NVIDIA card is: it would take the processor and not say so."""
    if settings.device == CPU:
        return CPU
    if settings.device == CUDA or video_memory_mb():
        return CUDA
    raise no_card()


def no_card() -> DependencyMissing:
    """The fault of a computer without an NVIDIA card."""
    return DependencyMissing(
        "AI-Toolkit needs an NVIDIA graphics card, and none was found here.",
        remedy="Train with the embedded trainer. Or set LIKENESS_DEVICE=cpu to train on the processor, which takes far longer.",
    )


def video_memory_mb() -> int:
    """The memory of the largest NVIDIA card in MiB; 0 where there is none."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return 0
    try:
        done = subprocess.run(
            [program, "--query-gpu=memory.total", "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=20,
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return max((int(line) for line in done.stdout.split() if line.isdigit()), default=0) if done.returncode == 0 else 0


def memory_kills() -> int:
    """How often Linux ended a program because memory ran out, in all and in this container; 0 where nobody counts."""
    count = 0
    for path, word in ((Path("/proc/vmstat"), "oom_kill"), (Path("/sys/fs/cgroup/memory.events"), "oom_kill")):
        try:
            lines = path.read_text("ascii", "replace").splitlines()
        except OSError:
            continue
        count += sum(int(line.split()[1]) for line in lines if line.startswith(f"{word} "))
    return count


def safe_alias(folder: Path) -> Path:
    """A path to `folder` that AI-Toolkit doesn't misread: itself, or a link to it under another name. Raises EngineFailed."""
    folder = folder.resolve()
    if not is_misread(folder):
        return folder
    for _ in range(20):
        place = Path(tempfile.mkdtemp(prefix="likeness-")).resolve()
        if not is_misread(place):
            try:
                (place / "run").symlink_to(folder, target_is_directory=True)
                return place / "run"
            except OSError:
                place.rmdir()
                break
        place.rmdir()
    raise EngineFailed(
        f"AI-Toolkit can't resume a training in “{folder}”: it misreads paths with {', '.join(_MISREAD[:4])} or brackets in them.",
        remedy="Move the data folder to a path without them.",
    )


def is_misread(path: Path) -> bool:
    """Whether AI-Toolkit would take a path for something else than it is."""
    text = str(path).lower()
    return any(word in text for word in _MISREAD)


def drop_alias(alias: str, folder: Path) -> None:
    """Remove the link that `safe_alias` made, if it made one."""
    link = Path(alias)
    if link.is_symlink() and link != folder:
        link.unlink(missing_ok=True)
        try:
            link.parent.rmdir()
        except OSError:
            pass


def start(toolkit: Toolkit, config: Path, environment: Mapping[str, str], folder: Path, *, resumed: int, alias: Path) -> Trainer:
    """Start it on a config, its words going to files of `folder`. Raises EngineFailed when it can't be started at all."""
    for name in (STDOUT, STDERR):
        if (folder / name).exists():
            (folder / name).replace(folder / f"{name}.1")
    command = [str(toolkit.python), "run.py", str(config)]
    if os.name != "nt":
        command[1:1] = ["-c", _START]
    kills = memory_kills()
    try:
        with (folder / STDOUT).open("wb") as out, (folder / STDERR).open("wb") as err:
            # A session of its own: it outlives a crash of ours.
            process = subprocess.Popen(
                command, cwd=toolkit.folder, env=dict(environment), stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True
            )
    except OSError as error:
        raise EngineFailed(f"AI-Toolkit can't be started: {error.strerror or error}.", remedy="Check AITOOLKIT_PATH.") from error
    _CHILDREN[process.pid] = process
    trainer = Trainer(process.pid, _born(process.pid), resumed, str(alias), kills)
    write_atomically(folder / PROCESS, json.dumps(trainer.__dict__).encode())
    return trainer


def environment(settings: Settings, job: str, device: str) -> dict[str, str]:
    """What the trainer is told beside its config: no secret of ours but the token that it needs."""
    kept = {name: value for name, value in harmless().items() if name != "PYTHONPATH"}
    kept |= {
        "AITK_JOB_ID": job,
        "IS_AI_TOOLKIT_UI": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONUTF8": "1",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_VISIBLE_DEVICES": "" if device == CPU else os.environ.get("CUDA_VISIBLE_DEVICES", "0"),
        "NO_ALBUMENTATIONS_UPDATE": "1",
    }
    if token := settings.hf_token.get_secret_value():
        kept["HF_TOKEN"] = token
    return kept


def last_trainer(folder: Path) -> Trainer | None:
    """The trainer that was last started for a run; None where none was, or nobody can tell."""
    try:
        said = json.loads((folder / PROCESS).read_bytes())
        return Trainer(**said)
    except (OSError, ValueError, TypeError):
        return None


def stray_trainer(config: Path) -> Trainer | None:
    """A trainer that runs on this config although nobody wrote it down: we died right after starting it."""
    for process in psutil.process_iter(("pid", "cmdline", "create_time", "status")):
        if process.info["status"] != psutil.STATUS_ZOMBIE and (process.info["cmdline"] or ())[-2:] == ["run.py", str(config)]:
            return Trainer(process.info["pid"], process.info["create_time"], 0, "", memory_kills())
    return None


def exit_status(trainer: Trainer) -> int | None:
    """How it ended; None while it runs, and for one that we took up again: only its parent is told."""
    child = _CHILDREN.get(trainer.pid)
    if child is None:
        return None
    if child.poll() is None and not trainer.alive:
        # A program of many threads is dead before the last of them is gone, and only then its parent is told.
        try:
            child.wait(END_S)
        except subprocess.TimeoutExpired:
            return None
    return child.returncode


def end(trainer: Trainer, *, gently: bool = True) -> None:
    """End it and what it started, gently at first: SIGINT, and after ten seconds SIGKILL. Nothing happens where it has ended."""
    if gently and trainer.alive:
        _signal(trainer.pid, signal.SIGINT)
        until = time.monotonic() + END_S
        while trainer.alive and time.monotonic() < until:
            exit_status(trainer)
            time.sleep(0.05)
    if trainer.alive:
        _signal(trainer.pid, signal.SIGKILL if os.name != "nt" else signal.SIGTERM)
        until = time.monotonic() + END_S
        while trainer.alive and time.monotonic() < until:
            exit_status(trainer)
            time.sleep(0.05)
    if exit_status(trainer) is not None:
        _CHILDREN.pop(trainer.pid, None)


def family(trainer: Trainer) -> tuple[int, ...]:
    """Its number, and those of the programs that it started."""
    try:
        return (trainer.pid, *(child.pid for child in psutil.Process(trainer.pid).children(recursive=True)))
    except psutil.Error:
        return (trainer.pid,)


def spent_s(trainer: Trainer) -> float:
    """Seconds of processor time that it has used; 0 when it is gone."""
    try:
        times = psutil.Process(trainer.pid).cpu_times()
    except psutil.Error:
        return 0.0
    return times.user + times.system


# Ours to reap: a child that ended stays until its parent asks for it.
_CHILDREN: dict[int, subprocess.Popen[bytes]] = {}


def _born(pid: int) -> float:
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return 0.0


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        if os.name == "nt":
            psutil.Process(pid).terminate()
        else:
            os.killpg(pid, number)
    except (psutil.Error, ProcessLookupError, PermissionError):
        pass


def _trainer_in(folder: Path) -> str:
    """The kind of trainer by its sources: before 2025 there was none that could be asked through a database."""
    try:
        said = (folder / "extensions_built_in" / "sd_trainer" / "__init__.py").read_text("utf-8", "replace")
    except OSError:
        return SD_TRAINER
    return DIFFUSION_TRAINER if f'"{DIFFUSION_TRAINER}"' in said or f"'{DIFFUSION_TRAINER}'" in said else SD_TRAINER
