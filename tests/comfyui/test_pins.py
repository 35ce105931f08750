"""What is installed: which commit, held to by its files; which torch, by what the drivers say; and which packages."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from comfyui.server import KIT, install
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from engines.installing.install import Step, python_in, what_failed
from engines.installing.install import _Said as Listening  # pyright: ignore[reportPrivateUsage]  # what hears a program's lines
from engines.installing.torch_builds import CPU, CUDA, CUDA_12, MPS, ROCM, Machine, choose
from engines.installing.tree import NotATree, archive_ids
from studio.errors import DependencyMissing, DiskFull, DownloadFailed
from studio.pins import COMFYUI, pin_of
from studio.settings import Settings

# A repository with everything that could go wrong, and what git 2.39 calls its tree in both of its formats.
ODD = {
    "a/b/c": ("x\n", 0),
    "a.b/d": ("y\n", 0),
    "a-b": ("z\n", 0o100755),
    "link": ("a-b", 0o120777),
    "v": ("$Format:%H$\n", 0),
    "ümlaut.txt": ("ä\n", 0),
}
ODD_IDS = {
    "sha1": "bf88ee47ad2187b9c8a79b5a8d136f5ab5df7aaf",
    "sha256": "219ad27b712566ef45b6d1d69387e06827234ed81fd8ecc3d7e8192e7a119688",
}
Files = dict[str, tuple[str, int]]


def archive(files: Files, *, folders: tuple[str, ...] = (), twice: str = "") -> zipfile.ZipFile:
    """An archive as git makes it: one folder around everything, modes where they aren't the usual one."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as writing:
        for folder in folders:
            writing.writestr(f"top/{folder}/", "")
        for name, (content, mode) in files.items():
            entry = zipfile.ZipInfo(f"top/{name}")
            entry.external_attr = mode << 16
            writing.writestr(entry, content)
        if twice:
            with pytest.warns(UserWarning, match="Duplicate name"):
                writing.writestr(f"top/{twice}", "another")
    return zipfile.ZipFile(made)


def test_the_id_of_an_archive_s_files_is_the_one_that_git_gives_them() -> None:
    assert archive_ids(archive(ODD, folders=("a", "a/b", "a.b"))) == ODD_IDS


@pytest.mark.skipif(not shutil.which("git"), reason="there is no git here; the recorded pair was checked")
def test_git_itself_says_so_too(tmp_path: Path) -> None:
    for kind in ("sha1", "sha256"):
        repository = tmp_path / kind

        def git(*words: str, repository: Path = repository) -> str:
            settings = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
            done = subprocess.run(["git", *words], cwd=repository, env=settings, capture_output=True, text=True, check=True)
            return done.stdout.strip()

        repository.mkdir()
        git("init", "--quiet", f"--object-format={kind}")
        for name in ("b.py", "a/deep/c.py", "a.py"):
            (repository / name).parent.mkdir(parents=True, exist_ok=True)
            (repository / name).write_bytes(name.encode() * 40)
        (repository / "b.py").chmod(0o755)
        git("-c", "core.filemode=true", "add", "--all")
        tree = git("write-tree")
        git("archive", "--format=zip", "--prefix=top/", "--output=../made.zip", tree)
        with zipfile.ZipFile(tmp_path / "made.zip") as made:
            assert archive_ids(made)[kind] == tree


@pytest.mark.parametrize(
    "change",
    [
        lambda files: {**files, "v": ("f8b981ae\n", 0)},
        lambda files: {**files, "a/b/c": ("x\n", 0o100755)},
        lambda files: {**files, "more.py": ("", 0)},
        lambda files: {name: file for name, file in files.items() if name != "a.b/d"},
        lambda files: {name.replace("a/b/c", "a/b/C"): file for name, file in files.items()},
        lambda files: {**files, "link": ("a-b", 0)},
    ],
    ids=["a word that git fills in", "an exec bit", "a file more", "a file less", "another name", "a link that became a file"],
)
def test_whatever_is_changed_gives_another_id(change: Callable[[Files], Files]) -> None:
    found = archive_ids(archive(change(ODD)))
    assert found["sha1"] != ODD_IDS["sha1"] and found["sha256"] != ODD_IDS["sha256"]


def test_what_no_tree_can_look_like_is_refused() -> None:
    with pytest.raises(NotATree, match="submodule"):
        archive_ids(archive(ODD, folders=("a", "sub")))
    with pytest.raises(NotATree, match="twice"):
        archive_ids(archive(ODD, twice="v"))
    with pytest.raises(NotATree, match="a file and a folder"):
        archive_ids(archive({**ODD, "v/inside": ("", 0)}))


def test_the_shipped_pins_fit_together(settings: Settings) -> None:
    pin = pin_of(settings, COMFYUI)
    assert pin.tree is not None and pin.constraints is not None
    assert set(pin.torch) == {CPU, CUDA, CUDA_12, ROCM, MPS}
    indexes = {name: torch.index and torch.index.rpartition("/")[2] for name, torch in pin.torch.items()}
    assert indexes == {CPU: "cpu", CUDA: "cu130", CUDA_12: "cu126", ROCM: "rocm6.4", MPS: None}
    assert all("==" in package for torch in pin.torch.values() for package in torch.packages)


def test_every_package_that_comfyui_asks_for_has_a_version_that_it_takes(settings: Settings) -> None:
    pin = pin_of(settings, COMFYUI)
    assert pin.constraints is not None
    fixed = versions(Path(pin.constraints).read_text("utf-8").splitlines())
    for torch in pin.torch.values():
        asked = {**fixed, **versions(torch.packages)}
        for line in (install() / "comfyui" / "requirements.txt").read_text("utf-8").splitlines():
            if not line or line.startswith("#"):
                continue
            wanted = Requirement(line)
            assert wanted.specifier.contains(asked[canonicalize_name(wanted.name)]), line
    tested = versions((KIT / "requirements.txt").read_text("utf-8").splitlines())
    assert {name: fixed[name] for name in tested} == tested, "what is installed is what the tests ran"


def versions(lines: tuple[str, ...] | list[str]) -> dict[str, str]:
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in pairs}


# In the words of rocminfo, of nvidia-smi (below) and of the kernel.
ROCMINFO = """ROCk module version 6.10.5 is loaded
=====================
HSA Agents
=====================
*******
Agent 1
*******
  Name:                    AMD Ryzen 9 7900X 12-Core Processor
  Uuid:                    CPU-XX
  Marketing Name:          AMD Ryzen 9 7900X 12-Core Processor
  Device Type:             CPU
*******
Agent 2
*******
  Name:                    gfx1100
  Uuid:                    GPU-2d7a1f0d3d9e6d52
  Marketing Name:          Radeon RX 7900 XTX
  Device Type:             GPU
  ISA Info:
    ISA 1
      Name:                    amdgcn-amd-amdhsa--gfx1100
"""
KFD_CPU = "cpu_cores_count 24\nsimd_count 0\ngfx_target_version 0\n"
KFD_GPU = "cpu_cores_count 0\nsimd_count 192\nvendor_id 4098\ngfx_target_version 90010\n"


@pytest.mark.parametrize(
    ("machine", "build", "because", "problem"),
    [
        (Machine("linux", "x86_64", "NVIDIA H200, 580.95.05, 9.0\n"), CUDA, "H200, driver 580", ""),
        (Machine("win32", "amd64", "NVIDIA GeForce RTX 4090, 581.29, 8.9\r\n"), CUDA, "RTX 4090", ""),
        (Machine("linux", "x86_64", "NVIDIA GeForce RTX 2060, 535.183.01, 7.5\n"), CUDA_12, "driver 535", ""),
        (Machine("linux", "x86_64", "NVIDIA GeForce GTX 1080 Ti, 580.95.05, 6.1\n"), CUDA_12, "GTX 1080", ""),
        (Machine("linux", "x86_64", "Tesla V100-SXM2-16GB, 550.54.15, 7.0\n"), CUDA_12, "V100", ""),
        (Machine("linux", "x86_64", "NVIDIA GeForce RTX 5090, 590.44.01, 12.0\n"), CUDA, "RTX 5090", ""),
        (
            Machine("linux", "x86_64", "NVIDIA GeForce RTX 5090, 570.86.16, 12.0\n"),
            CPU,
            "",
            "driver 570 is too old for",
        ),
        (Machine("linux", "x86_64", "NVIDIA GeForce RTX 3090, 470.256.02, 8.6\n"), CPU, "", "driver 470 is too old"),
        (Machine("linux", "x86_64", "Tesla K80, 470.256.02, 3.7\n"), CPU, "older than", ""),
        (Machine("linux", "x86_64", "NVIDIA GeForce GTX 1060, 460.91.03\n"), CPU, "", "driver 460 is too old"),
        (Machine("linux", "x86_64", "GRID A100X-40C, 550.90.07, [N/A]\n"), CUDA_12, "A100X", ""),
        (Machine("linux", "x86_64", "NVIDIA T600, 580.95.05, 7.5\nNVIDIA GeForce RTX 4090, 580.95.05, 8.9\n"), CUDA, "RTX 4090", ""),
        (Machine("linux", "x86_64", "No devices were found\n"), CPU, "no graphics card", ""),
        (
            Machine("linux", "x86_64", "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."),
            CPU,
            "no graphics card",
            "",
        ),
        (Machine("linux", "x86_64", "", ROCMINFO), ROCM, "AMD gfx1100", ""),
        (Machine("linux", "x86_64", "", KFD_CPU + KFD_GPU), ROCM, "AMD gfx90a", ""),
        (Machine("linux", "x86_64", "", KFD_CPU), CPU, "no graphics card", ""),
        (Machine("win32", "amd64", "", ROCMINFO), CPU, "no graphics card", ""),
        (Machine("darwin", "arm64"), MPS, "Apple silicon", ""),
        (Machine("darwin", "x86_64"), CPU, "", "no longer made for Macs"),
        (Machine("linux", "aarch64"), CPU, "no graphics card", ""),
    ],
    ids=lambda value: value.nvidia.strip()[:40] or f"{value.system} {value.architecture}" if isinstance(value, Machine) else "",
)
def test_the_drivers_decide_which_torch_it_is(machine: Machine, build: str, because: str, problem: str) -> None:
    choice = choose(machine, COMFYUI)
    assert choice.build == build and because in choice.because
    assert problem in choice.problem and bool(choice.problem) == bool(problem) == bool(choice.remedy)


def test_an_environment_s_python_lies_where_the_system_puts_it() -> None:
    assert python_in("/data/engines/venv", windows=False) == "/data/engines/venv/bin/python"
    assert python_in(r"C:\Users\Ann Lee\likeness\venv", windows=True) == r"C:\Users\Ann Lee\likeness\venv\Scripts\python.exe"


# What pip 26.3 said, word by word.
NO_LINE = (
    (
        "WARNING: Retrying (Retry(total=0, connect=None, read=None, redirect=None, status=None)) after connection broken by "
        "'NameResolutionError(\"HTTPSConnection(host='download.pytorch.org', port=443): Failed to resolve 'download.pytorch.org' "
        "([Errno -2] Name or service not known)\")': /whl/cpu/torch/"
    ),
    "ERROR: Could not find a version that satisfies the requirement torch==2.9.1 (from versions: none)",
    "ERROR: No matching distribution found for torch==2.9.1",
)


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        (NO_LINE, DownloadFailed, "can't be reached"),
        (NO_LINE[1:], DependencyMissing, "No matching distribution found for torch==2.9.1"),
        (["ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device"], DiskFull, "disk is full"),
        (["Collecting torch", "ERROR: Wheel 'torch' located at /x.whl is invalid."], DependencyMissing, "is invalid"),
        ([], DependencyMissing, "it said nothing"),
    ],
)
def test_a_failed_pip_is_told_in_words_with_a_remedy(said: list[str], kind: type[Exception], words: str) -> None:
    told = what_failed("install torch", said)
    assert isinstance(told, kind) and words in told.message and told.remedy and "install torch" in told.message


def test_progress_follows_the_large_downloads_and_never_goes_back() -> None:
    said = Listening(Step("install torch", "Installing torch for cpu", 0.3, 0.8))
    assert said.hear("Collecting torch==2.9.1")
    assert said.hear("  Downloading https://download.pytorch.org/whl/cpu/torch-2.9.1%2Bcpu-cp311-cp311-linux_x86_64.whl (184 MB)")
    assert not said.hear("Progress 92250000 of 184500000")
    assert (round(said.progress, 3), said.note) == (0.525, "Installing torch for cpu: torch 92 of 184 MB")
    assert said.hear("  Downloading sympy-1.14.0-py3-none-any.whl (6.3 MB)")
    assert not said.hear("Progress 10 of 6300000")
    assert said.progress > 0.5
    assert said.hear("Installing collected packages: mpmath, sympy, torch")
    assert said.note.endswith("putting it in place")
    assert not any("Progress" in line for line in said.lines), "the log is for people"
