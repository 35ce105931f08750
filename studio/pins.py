"""The programs of others that Likeness installs: how their folders are known, and the version of each that it was tested with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, StringConstraints, ValidationError

from studio.contracts import Contract
from studio.errors import ContractMismatch
from studio.settings import Settings

HOME = Path(__file__).resolve().parent.parent
PINS = HOME / "engines" / "pins.json"

Commit = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]


@dataclass(frozen=True)
class Program:
    """A program that can be installed: `files` are what only its folder has, `version_file` holds its version after `version_mark`.

    `blank` are files that are made without content beside its own, where it has none.
    """

    name: str
    title: str
    files: tuple[str, ...]
    version_file: str
    version_mark: str
    blank: tuple[str, ...] = ()

    def is_in(self, folder: Path) -> bool:
        """Whether a folder holds it."""
        return all((folder / name).is_file() for name in self.files)

    def version_in(self, folder: Path) -> str:
        """What a folder says of its version; empty where it says nothing."""
        try:
            text = (folder / self.version_file).read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            return ""
        return text.partition(self.version_mark)[2].partition('"')[0]

    def variable(self, word: str) -> str:
        """The environment's name for a setting of it: LIKENESS_COMFYUI_TORCH."""
        return f"LIKENESS_{self.name}_{word}".upper()


COMFYUI = Program("comfyui", "ComfyUI", ("main.py", "nodes.py", "comfyui_version.py"), "comfyui_version.py", '__version__ = "')
AITOOLKIT = Program(
    "aitoolkit",
    "AI-Toolkit",
    ("run.py", "version.py", "requirements.txt", "extensions_built_in/sd_trainer/__init__.py"),
    "version.py",
    'VERSION = "',
    # It reads the next .env above itself, which may be ours, with what is secret in it.
    blank=(".env",),
)
PROGRAMS = {program.name: program for program in (COMFYUI, AITOOLKIT)}


class Torch(Contract):
    """One build of torch: what pip is asked for, from which index (None: the usual one), and the disk that all takes, in MB."""

    packages: tuple[str, ...] = ("torch", "torchvision", "torchaudio")
    index: str | None
    disk_mb: int


class Tree(Contract):
    """The ids of a commit's tree: what git calls it, and what a git that hashes by SHA-256 would call it."""

    sha1: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Pin(Contract):
    """The version of a program that Likeness was tested with.

    `archive` holds `{commit}`. `tree` is what the pinned commit's archive must hold; None leaves it at the commit that the archive names.
    `constraints` is a file of package versions for the pinned commit, beside the pins file. `python` are the oldest and the newest Python
    that it runs with, empty where any does. `sources` are the trees of repositories that its requirements name, by their commits; `more` is
    installed after its requirements, whatever those say of it.
    """

    repository: str
    version: str
    licence: str = ""
    commit: Commit
    tree: Tree | None = None
    archive: str
    constraints: str | None = None
    python: tuple[str, ...] = ()
    sources: dict[Commit, Tree] = Field(default_factory=dict)
    more: tuple[str, ...] = ()
    torch: dict[str, Torch]


def pin_of(settings: Settings, program: Program) -> Pin:
    """The pinned version of a program; Likeness's own where LIKENESS_ENGINE_PINS names a file that doesn't speak of it.

    Raises ContractMismatch for a file that can't be read.
    """
    path = settings.engine_pins or PINS
    found = _read(path)
    if program.name not in found and path != PINS:
        path, found = PINS, _read(PINS)
    try:
        pin = Pin.model_validate(found[program.name])
    except (KeyError, ValidationError) as error:
        raise _unreadable(path) from error
    return pin.model_copy(update={"constraints": str(path.resolve().parent / pin.constraints)}) if pin.constraints else pin


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise _unreadable(path) from error
    if not isinstance(found, dict) or not found or set(found) - set(PROGRAMS):
        raise _unreadable(path)
    return found


def _unreadable(path: Path) -> ContractMismatch:
    return ContractMismatch(f"{path} can't be read.", remedy="Mend it, or unset LIKENESS_ENGINE_PINS.")
