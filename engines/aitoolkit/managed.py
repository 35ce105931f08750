"""The AI-Toolkit that Likeness installs: it is got, held to another commit, and taken away again, and never under a training."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import psutil

from engines.aitoolkit.config import CPU
from engines.installing.caretaker import Caretaker
from engines.installing.install import Proof, install
from engines.installing.torch_builds import CUDA, CUDA_12, Choice, Machine, choose, this_machine
from studio.errors import Conflict, DependencyMissing, DownloadFailed, LikenessError
from studio.managed import Installation, Order, unfit_toolkit
from studio.pins import AITOOLKIT, pin_of
from studio.settings import Settings

# A job of a kind that it doesn't know: it says so once it has imported everything that a training begins with.
PROOF = Proof(
    ("run.py",),
    json.dumps({"job": "extension", "config": {"name": "likeness-proof", "process": [{"type": "likeness_proof"}]}}).encode(),
    "Unknown process type: likeness_proof",
)
COMMON = ("ai-toolkit", "AI-Toolkit", "Documents/ai-toolkit", "Desktop/ai-toolkit", "git/ai-toolkit", "src/ai-toolkit")
ELSEWHERE = ("/workspace/ai-toolkit", "/app/ai-toolkit", "/opt/ai-toolkit", "/root/ai-toolkit")


class ManagedToolkit(Caretaker):
    """Does what is ordered of the AI-Toolkit of this computer, in a thread of its own. One per data root: it needs the worker's lock.

    `resting` keeps trainings from beginning while its block runs; it gives False where one runs.
    """

    def __init__(self, settings: Callable[[], Settings], resting: Callable[[], AbstractContextManager[bool]]) -> None:
        self._resting = resting
        super().__init__(AITOOLKIT, settings)

    def _act(self, order: Order) -> None:
        _ACTS[order.act](self, order)

    def _install(self, order: Order) -> None:
        found = self._installed(order.commit)
        self._tell(installation=found)
        self._keep_only(found)

    def _update(self, order: Order) -> None:
        before = self._there()
        try:
            found = self._installed(order.commit)
        except LikenessError as error:
            if not isinstance(error, DownloadFailed):
                # Whatever is wrong with it stays wrong; a line that broke is another matter.
                self._keep_only(before)
            if isinstance(error, DependencyMissing):
                error.remedy = "Look at the log; another commit may do."
            error.message = f"The new AI-Toolkit could not be installed, so the one before was kept: {error.message}"
            raise
        while True:
            with self._resting() as rests:
                if rests and not _in_use(before):
                    self._tell(installation=found)
                    self._keep_only(found)
                    return
            self._say(0.98, "It waits until the training has ended")
            self._closed.wait(0.5)

    def _remove(self, order: Order) -> None:
        there = self._there()
        with self._resting() as rests:
            if not rests or _in_use(there):
                raise Conflict("A training runs with this AI-Toolkit.", remedy="Wait until it has ended, or stop it on the Train tab.")
            self._tell(installation=None)
            self._into_trash()

    def _find(self, order: Order) -> None:
        home = Path.home()
        places = [*(home / name for name in COMMON), *(Path(name) for name in ELSEWHERE)]
        folders = [str(place) for place in dict.fromkeys(places) if unfit_toolkit(place) is None]
        self._tell(found_folders=tuple(folders), looked=True)

    def _keep_only(self, installation: Installation) -> None:
        kept = Path(installation.folder).parent
        for folder in (self._root / "versions").iterdir():
            if folder != kept:
                shutil.rmtree(folder, ignore_errors=True)

    def _installed(self, commit: str) -> Installation:
        settings = self._settings()
        return install(
            AITOOLKIT,
            self._root,
            pin_of(settings, AITOOLKIT),
            commit,
            self._say,
            shared=settings.aitoolkit_python,
            build=settings.aitoolkit_torch,
            choice=lambda: choice_of(this_machine(), settings.device),
            proof=PROOF,
        )


_ACTS: dict[str, Callable[[ManagedToolkit, Order], None]] = {
    "install": ManagedToolkit._install,
    "update": ManagedToolkit._update,
    "remove": ManagedToolkit._remove,
    "find": ManagedToolkit._find,
}


def choice_of(machine: Machine, device: str) -> Choice:
    """The torch for a computer whose setting `device` is that. Gigabytes that no training would ever use are not downloaded."""
    if device == CPU:
        return Choice(CPU, "LIKENESS_DEVICE says so")
    choice = choose(machine, AITOOLKIT)
    anyway = "or set LIKENESS_DEVICE=cpu to train on the processor, which takes far longer."
    if choice.driver:
        return dataclasses.replace(choice, remedy=f"Install driver {choice.driver} or newer, {anyway}")
    if choice.build in (CUDA, CUDA_12):
        return choice
    return Choice(
        CPU,
        choice.because,
        problem="AI-Toolkit needs an NVIDIA graphics card, and none was found here that it could use.",
        remedy=f"Train with the embedded trainer, {anyway}",
    )


def _in_use(installation: Installation) -> bool:
    """Whether a program runs with its Python: also a trainer that outlived a crash of ours."""
    return any((process.info["cmdline"] or ("",))[0] == installation.python for process in psutil.process_iter(("cmdline",)))
