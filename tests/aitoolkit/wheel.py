"""A real AI-Toolkit for tests: the wheel of November 2024, installed once from the package index into a folder of its own.

It is a process of its own in an environment of its own; nothing of it is imported here or shipped. Its submodules, which the wheel
lacks, are stood in for by kit/stand_ins.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
from filelock import FileLock

VERSION = "0.2.7"
HERE = Path(__file__).resolve().parent
KIT = HERE / "kit"
# Named by their own needs too: those are old, and not all of them are there for this Python.
WHEELS = (f"ostris-ai-toolkit=={VERSION}", "ip-adapter==0.1.0")
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
# `python run.py CONFIG` is how today's is started; the wheel has the same program inside a package.
RUN = """import os, runpy
os.environ.setdefault("OMP_NUM_THREADS", "1")
runpy.run_module("ostris_ai_toolkit.run", run_name="__main__", alter_sys=True)
"""


class ToolkitTrouble(Exception):
    """The trainer can't be installed; the message says why."""


def home() -> Path:
    """Where it is installed: LIKENESS_TEST_AITOOLKIT, otherwise `.cache/aitoolkit-<version>` beside the sources."""
    chosen = os.environ.get("LIKENESS_TEST_AITOOLKIT")
    return Path(chosen) if chosen else HERE.parent.parent / ".cache" / f"aitoolkit-{VERSION}"


def install() -> Path:
    """Install it where it isn't yet; about a minute and 1.8 GB. What an interrupted install got is kept. Raises ToolkitTrouble.

    The folder is laid out as a clone of AI-Toolkit with its own environment: `run.py` and `venv`; `tiny-sd15` is a model to train.
    """
    folder = home()
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(folder.name + ".lock")):
        stamp = folder / "installed"
        if stamp.is_file() and stamp.read_text("utf-8") == _fingerprint():
            return folder
        stamp.unlink(missing_ok=True)
        _environment(folder)
        _model(folder)
        (folder / "run.py").write_text(RUN, "utf-8")
        stamp.write_text(_fingerprint(), "utf-8")
    return folder


def _fingerprint() -> str:
    """What an install was made from: another recipe is another install."""
    recipe = [path for path in sorted(KIT.rglob("*")) if path.suffix in (".py", ".txt")]
    return hashlib.sha256(b"".join(path.read_bytes() for path in recipe) + "".join(WHEELS).encode() + RUN.encode()).hexdigest()


def _environment(folder: Path) -> None:
    python = _python(folder)
    if not python.exists() or subprocess.run([str(python), "-m", "pip", "--version"], capture_output=True).returncode:
        _run("make its environment", sys.executable, "-m", "venv", "--clear", str(folder / "venv"))
    _pip(folder, "install", "-r", str(KIT / "requirements.txt"), *_torch())
    # Its own list of needs is of its day, and some of them are for graphics cards alone.
    _pip(folder, "install", "--no-deps", *WHEELS)
    (packages,) = (folder / "venv").glob("lib/python*/site-packages") if os.name != "nt" else [folder / "venv" / "Lib" / "site-packages"]
    shutil.copytree(KIT / "stand_ins", packages, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))


def _torch() -> list[str]:
    """The build of torch that the studio has, where its index answers: builds differ by gigabytes."""
    version = importlib.metadata.version("torch")
    if version.endswith("+cpu") and _answers(f"{TORCH_INDEX}/torch/"):
        return ["--extra-index-url", TORCH_INDEX, f"torch=={version}"]
    return [f"torch=={version.partition('+')[0]}"]


def _model(folder: Path) -> None:
    part = folder / "tiny-sd15.part"
    shutil.rmtree(part, ignore_errors=True)
    _run("write its tiny model", str(_python(folder)), str(KIT / "tiny_model.py"), str(part))
    shutil.rmtree(folder / "tiny-sd15", ignore_errors=True)
    part.rename(folder / "tiny-sd15")


def _pip(folder: Path, *arguments: str) -> None:
    command = (str(_python(folder)), "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments)
    _run("get its packages (is the package index reachable?)", *command)


def _python(folder: Path) -> Path:
    return folder / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _run(what: str, *command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
        raise ToolkitTrouble(f"AI-Toolkit for the tests can't be installed into {home()}: could not {what}.\n{said}")


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=3).status_code == 200
    except httpx.TransportError:
        return False


if __name__ == "__main__":
    print(install())
