"""An AI-Toolkit that Likeness installs, updates and removes: from local archives, with the stand-in inside, and trained with."""

from __future__ import annotations

import base64
import contextlib
import functools
import io
import json
import os
import shutil
import subprocess
import sys
import threading
import urllib.error
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from aitoolkit.toolkits import Said, behave, small_recipe, stand_in
from packaging.requirements import Requirement
from PIL import Image
from shop import COMMIT, NEXT, Shop, open_shop, quiet, tiny_wheel, tree_of

from app import HOME
from bench.rig import Running, running_studio, wait_until
from engines.aitoolkit import AIToolkit, ManagedToolkit
from engines.aitoolkit.managed import PROOF, choice_of
from engines.aitoolkit.process import environment, find_toolkit
from engines.installing.install import install as install_program
from engines.installing.torch_builds import CPU, CUDA, CUDA_12, Machine
from studio.errors import ChecksumMismatch, ContractMismatch, DependencyMissing, EngineFailed, InvalidFieldValue
from studio.managed import Managed, Order, managed_folder, read_managed, waiting
from studio.pins import AITOOLKIT, COMFYUI, pin_of
from studio.settings import Settings, load_settings
from studio.training import TrainingPicture

HERE = Path(__file__).parent
SOURCE = "c" * 40
BROKEN = "import a_package_that_nobody_has\n"
# A package that builds itself: no network and no setuptools are needed for it.
BACKEND = """import base64, pathlib, zipfile
WHEEL = {wheel!r}
def build_wheel(folder, config_settings=None, metadata_directory=None):
    name = "likeness_test_source-1.0-py3-none-any.whl"
    pathlib.Path(folder, name).write_bytes(base64.b64decode(WHEEL))
    return name
"""

install = functools.partial(install_program, AITOOLKIT, proof=PROOF)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with open_shop(tmp_path / "shop") as shop:
        yield shop


def toolkit_archive(shop: Shop, commit: str = COMMIT, *, version: str = "0.12.26", size: int = 1000, **files: str) -> Path:
    """An archive as git makes it of a folder as AI-Toolkit's, with the stand-in as its trainer."""
    path = shop.folder / f"{commit}.zip"
    contents = {
        "run.py": (HERE / "stand_in" / "run.py").read_text("utf-8"),
        "version.py": f'VERSION = "{version}"\n',
        "requirements.txt": "",
        "extensions_built_in/sd_trainer/__init__.py": 'uid = "diffusion_trainer"\n',
        **files,
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(f"ai-toolkit-{commit}/{name}", content)
        archive.writestr(f"ai-toolkit-{commit}/ballast.bin", os.urandom(size))
        archive.comment = commit.encode()
    return path


def source_archive(shop: Shop) -> Path:
    """The archive of a repository with a package, by the name that hosts give such archives."""
    wheel = io.BytesIO()
    with zipfile.ZipFile(wheel, "w") as packed:
        info = "likeness_test_source-1.0.dist-info"
        packed.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: likeness-test-source\nVersion: 1.0\n")
        packed.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        packed.writestr(f"{info}/RECORD", "")
    path = shop.folder / f"{SOURCE}.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"x-{SOURCE}/pyproject.toml", '[build-system]\nrequires = []\nbuild-backend = "own"\nbackend-path = ["."]\n')
        archive.writestr(f"x-{SOURCE}/own.py", BACKEND.format(wheel=base64.b64encode(wheel.getvalue()).decode()))
        archive.comment = SOURCE.encode()
    return path


def pins_file(shop: Shop, folder: Path, **changes: Any) -> Path:
    path = folder / "pins.json"
    path.write_text(json.dumps({"aitoolkit": shop.pin(version="0.12.26", licence="MIT", **changes).model_dump()}), "utf-8")
    return path


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """pip gets nothing but what lies in `tmp_path`."""
    for name, value in {"CONFIG_FILE": os.devnull, "NO_INDEX": "1", "FIND_LINKS": str(tmp_path)}.items():
        monkeypatch.setenv(f"PIP_{name}", value)


@pytest.fixture
def installing(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings by which AI-Toolkit is installed from the shop, with the packages of this Python, to train on the processor."""
    monkeypatch.delenv("AITOOLKIT_PATH", raising=False)
    for name, value in {
        "LIKENESS_ENGINE_PINS": str(pins_file(shop, tmp_path)),
        "LIKENESS_AITOOLKIT_PYTHON": sys.executable,
        "LIKENESS_DEVICE": "cpu",
    }.items():
        monkeypatch.setenv(name, value)
    return load_settings(tmp_path / "data")


# What is installed


@pytest.mark.usefixtures("offline")
def test_a_repository_among_the_requirements_comes_as_a_checked_archive_without_git(shop: Shop, tmp_path: Path) -> None:
    asked = f"# what it needs\ngit+{shop.url}/some/likeness-test-source.git@{SOURCE}\nlikeness-test-wheel  # and this\n"
    toolkit_archive(shop, **{"requirements.txt": "-r requirements_base.txt\n", "requirements_base.txt": asked})
    tiny_wheel(tmp_path, "1.0")
    tree = tree_of(source_archive(shop))
    pin = shop.pin(sources={SOURCE: tree})
    found = install(tmp_path / "engine", pin, COMMIT, quiet, shared=Path(sys.executable))
    place = Path(found.folder).parent
    assert found.version == "0.12.26"
    assert {path.name for path in place.glob("venv/**/likeness_test_*.dist-info")} == {
        "likeness_test_source-1.0.dist-info",
        "likeness_test_wheel-1.0.dist-info",
    }
    said = (tmp_path / "engine" / "install.log").read_text("utf-8")
    assert f"Getting {shop.url}/some/likeness-test-source/archive/{SOURCE}.zip" in said and f"tree {tree.sha1}" in said
    assert "Unknown process type: likeness_proof" in said, "it was seen to start"
    assert not list((tmp_path / "engine" / "downloads").iterdir())


def test_a_repository_that_is_not_the_pinned_one_is_thrown_away(shop: Shop, tmp_path: Path) -> None:
    toolkit_archive(shop, **{"requirements.txt": f"git+{shop.url}/x.git@{SOURCE}\n"})
    source_archive(shop)
    pin = shop.pin(sources={SOURCE: tree_of(toolkit_archive(shop, NEXT))})
    with pytest.raises(ChecksumMismatch, match="not the x that was pinned"):
        install(tmp_path / "engine", pin, COMMIT, quiet, shared=Path(sys.executable))
    assert not list((tmp_path / "engine" / "downloads").iterdir())


def test_requirements_that_name_each_other_end(shop: Shop, tmp_path: Path) -> None:
    toolkit_archive(shop, **{"requirements.txt": "-r requirements.txt\n"})
    with pytest.raises(ContractMismatch, match="in a circle"):
        install(tmp_path / "engine", shop.pin(), COMMIT, quiet, shared=Path(sys.executable))


def test_what_is_no_toolkit_is_refused(shop: Shop, tmp_path: Path) -> None:
    with zipfile.ZipFile(shop.folder / f"{COMMIT}.zip", "w") as archive:
        archive.writestr("x/run.py", "")
        archive.comment = COMMIT.encode()
    with pytest.raises(ContractMismatch, match="not AI-Toolkit"):
        install(tmp_path / "engine", shop.pin(), COMMIT, quiet, shared=Path(sys.executable))


def test_the_settings_of_the_studio_are_out_of_its_reach(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """AI-Toolkit reads the next .env above its run.py: ours, where the data folder lies in ours."""
    (tmp_path / ".env").write_text("LIKENESS_CAPTION_KEY=secret\n", "utf-8")
    monkeypatch.setenv("LIKENESS_CAPTION_KEY", "secret")
    monkeypatch.setenv("RUNPOD_API_KEY", "secret")
    look = "import os\nfrom dotenv import load_dotenv\nload_dotenv()\nprint(sorted(name for name in os.environ if 'KEY' in name))\n"
    look += "print('Unknown process type: likeness_proof')\n"
    toolkit_archive(shop, **{"run.py": look})
    found = install(tmp_path / "engine", shop.pin(), COMMIT, quiet, shared=Path(sys.executable))
    assert (Path(found.folder) / ".env").read_bytes() == b""
    assert "\n[]\n" in (tmp_path / "engine" / "install.log").read_text("utf-8")
    trained = subprocess.run(
        [found.python, "run.py"], cwd=found.folder, env=environment(Settings(data=tmp_path), "x", "cpu"), capture_output=True, text=True
    )
    assert trained.stdout.startswith("[]\n")


@pytest.mark.parametrize(
    ("run", "words"),
    [(BROKEN, "ModuleNotFoundError"), ("print('it ends well')\n", "it ends well")],
    ids=["a package that is missing", "an end without the proof"],
)
def test_one_that_does_not_start_is_not_installed(shop: Shop, tmp_path: Path, run: str, words: str) -> None:
    toolkit_archive(shop, **{"run.py": run})
    for _ in range(2):
        with pytest.raises(DependencyMissing, match=f"start AI-Toolkit: {words}") as caught:
            install(tmp_path / "engine", shop.pin(), COMMIT, quiet, shared=Path(sys.executable))
    assert "Look at the log" in caught.value.remedy
    assert not list(tmp_path.rglob("installed.json"))


def test_a_python_that_it_does_not_run_with_is_told_and_another_of_the_computer_is_taken(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toolkit_archive(shop)
    pin = shop.pin(python=("2.6", "2.7"), version="0.12.26")
    with pytest.raises(DependencyMissing, match=r"0\.12\.26 runs with Python 2\.6 to 2\.7, and this is 3\.") as caught:
        install(tmp_path / "engine", pin, COMMIT, quiet, build="cpu")
    assert "Install Python 2.7" in caught.value.remedy and shop.asked == [], "it is told before anything is downloaded"
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "python2.6").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\nexec {sys.executable} "$@"\n', "utf-8")
    (programs / "python2.6").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(DependencyMissing, match="get a newer pip"):
        install(tmp_path / "engine", pin, COMMIT, quiet, build="cpu")
    assert "-m venv" in (tmp_path / "asked").read_text("utf-8"), "the environment is made with that one"


def test_no_requirement_brings_another_torch(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its parts fit together; a torch that is too old for the rest ends the installation and is not replaced behind our back."""
    toolkit_archive(shop, **{"requirements.txt": "likeness-test-wheel>=2\n"})
    for version in ("1.0", "2.0"):
        tiny_wheel(tmp_path, version)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    torch = {"cpu": {"packages": ["likeness-test-wheel==1.0"], "index": None, "disk_mb": 1}}
    with pytest.raises(DependencyMissing, match="install what AI-Toolkit needs"):
        install(tmp_path / "engine", shop.pin(torch=torch), COMMIT, quiet, build="cpu")


@pytest.mark.skipif(not sys.platform.startswith("linux") or os.geteuid() != 0, reason="needs root on Linux to mount a small disk")
@pytest.mark.parametrize("where", ["in the download", "in the packages"])
def test_a_disk_that_fills_up_keeps_nothing_half_done(shop: Shop, tmp_path: Path, where: str) -> None:
    size, what = {"in the download": (6_000_000, "install AI-Toolkit"), "in the packages": (1000, "install what AI-Toolkit needs")}[where]
    toolkit_archive(shop, size=size, **{"requirements.txt": "likeness-test-wheel\n"})
    tiny_wheel(tmp_path, "1.0", size=8_000_000)
    disk = tmp_path / "disk"
    disk.mkdir()
    script = (
        "import sys; from pathlib import Path; from engines.installing.install import install; from studio.pins import AITOOLKIT, Pin\n"
        "from studio.errors import DiskFull\n"
        "pin, root = Pin.model_validate_json(sys.argv[1]), Path(sys.argv[2])\n"
        "try:\n    install(AITOOLKIT, root, pin, pin.commit, lambda *_: None, shared=Path(sys.executable))\n"
        "except DiskFull as error:\n    print(error.message)\n"
        "print(sorted(path.name for path in root.rglob('*') if path.is_file()))\n"
    )
    inside = f'mount -t tmpfs -o size=4m tmpfs "{disk}" && exec "$@"'
    command = ["unshare", "-m", "sh", "-c", inside, "sh", sys.executable, "-c", script, shop.pin().model_dump_json(), str(disk / "engine")]
    pip = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=HOME, env=os.environ | pip)
    if "unshare failed" in done.stderr or "mount:" in done.stderr:
        pytest.skip("this machine lets nobody mount")
    assert done.stdout.splitlines() == [f"The disk is full: could not {what}.", "['install.log']"], done.stderr


@pytest.mark.parametrize(
    ("machine", "device", "build", "problem"),
    [
        (Machine("linux", "x86_64", "NVIDIA H200, 580.95.05, 9.0\n"), "auto", CUDA, ""),
        (Machine("linux", "x86_64", "NVIDIA GeForce GTX 1080 Ti, 580.95.05, 6.1\n"), "auto", CUDA_12, ""),
        (Machine("linux", "x86_64", "NVIDIA H200, 580.95.05, 9.0\n"), "cpu", CPU, ""),
        (Machine("linux", "x86_64", "NVIDIA GeForce RTX 5090, 570.86.16, 12.0\n"), "auto", CPU, "driver 570 is too old"),
        (Machine("linux", "x86_64"), "auto", CPU, "needs an NVIDIA graphics card"),
        (Machine("linux", "x86_64", "", "  Name:   gfx1100\n"), "auto", CPU, "needs an NVIDIA graphics card"),
        (Machine("darwin", "arm64"), "auto", CPU, "needs an NVIDIA graphics card"),
        (Machine("darwin", "x86_64"), "auto", CPU, "needs an NVIDIA graphics card"),
        (Machine("linux", "x86_64"), "cpu", CPU, ""),
    ],
)
def test_nothing_is_downloaded_that_no_training_could_use(machine: Machine, device: str, build: str, problem: str) -> None:
    choice = choice_of(machine, device)
    assert choice.build == build and problem in choice.problem and bool(choice.problem) == bool(problem)
    assert not problem or "LIKENESS_DEVICE=cpu" in choice.remedy


def test_the_shipped_pin_fits_together(settings: Settings) -> None:
    pin = pin_of(settings, AITOOLKIT)
    assert (pin.version, pin.commit[:7], pin.licence) == ("0.12.26", "27a03a9", "MIT")
    assert pin.tree is not None and pin.sources and pin.constraints is not None
    assert {name: torch.index and torch.index.rpartition("/")[2] for name, torch in pin.torch.items()} == {
        CPU: "cpu",
        CUDA: "cu130",
        CUDA_12: "cu126",
    }
    lines = [line for line in Path(pin.constraints).read_text("utf-8").splitlines() if not line.startswith("#")]
    fixed = {Requirement(line).name for line in lines}
    assert len(fixed) == len(lines) and not fixed & {"torch", "torchvision", "torchaudio", "torchcodec", "diffusers"}
    assert all("==" in line for line in lines)
    # Those that AI-Toolkit 0.12.26 names itself.
    assert {"scipy==1.12.0", "transformers==5.5.3", "peft==0.18.1", "huggingface_hub==1.23.0", "av==16.0.1"} <= set(lines)


def test_another_pins_file_may_speak_of_one_program_alone(shop: Shop, installing: Settings, tmp_path: Path) -> None:
    assert pin_of(installing, AITOOLKIT).archive.startswith(shop.url)
    assert pin_of(installing, COMFYUI).archive.startswith("https://github.com/")
    for broken in ("{", "[]", "{}", '{"toolkit": {}}', '{"aitoolkit": {}}'):
        (tmp_path / "pins.json").write_text(broken, "utf-8")
        with pytest.raises(ContractMismatch, match="can't be read"):
            pin_of(installing, AITOOLKIT)


# Looked after


def placed(settings: Settings, act: str, **more: str) -> Path:
    root = managed_folder(settings, AITOOLKIT)
    root.mkdir(parents=True, exist_ok=True)
    (root / "order.json").write_text(Order(id=act, act=act, **more).model_dump_json(), "utf-8")
    return root


@contextlib.contextmanager
def looked_after(settings: Settings, toolkit: AIToolkit | None = None) -> Iterator[ManagedToolkit]:
    managed = ManagedToolkit(lambda: settings, (toolkit or AIToolkit(lambda: settings)).resting)
    try:
        yield managed
    finally:
        managed.close()


def done(settings: Settings, act: str, **more: str) -> Managed:
    root = placed(settings, act, **more)
    with looked_after(settings):
        wait_until(lambda: waiting(root) is None, 240, "the order was not done")
    return read_managed(root)


def test_a_studio_that_stops_in_the_middle_goes_on_at_its_next_start(shop: Shop, installing: Settings) -> None:
    toolkit_archive(shop, size=3_000_000)
    shop.slow = 0.05
    root = placed(installing, "install", commit=COMMIT)
    with looked_after(installing):
        wait_until(lambda: any(part.stat().st_size for part in root.glob("downloads/*.part")), 240, "it did not begin")
    assert waiting(root) is not None, "the order waits for the next start"
    assert AIToolkit(lambda: installing).state().state == "unset"
    shop.slow = 0
    with looked_after(installing):
        wait_until(lambda: waiting(root) is None, 240, "it did not go on")
    told = read_managed(root)
    assert told.installation is not None and told.problem is None
    assert [asked.startswith("bytes=") for asked in shop.asked] == [False, True]
    assert find_toolkit(installing).folder == Path(told.installation.folder)
    assert AIToolkit(lambda: installing).state().state == "asleep"


def test_one_that_was_deleted_by_hand_says_so(shop: Shop, installing: Settings) -> None:
    toolkit_archive(shop)
    there = done(installing, "install", commit=COMMIT).installation
    assert there is not None
    (Path(there.folder) / "run.py").unlink()
    with pytest.raises(EngineFailed, match="not whole any more") as caught:
        find_toolkit(installing)
    assert "install it again" in caught.value.remedy
    assert AIToolkit(lambda: installing).state().state == "offline"


def test_an_update_waits_for_the_training_that_began_meanwhile(
    shop: Shop, installing: Settings, pictures: list[TrainingPicture], model: Path, tmp_path: Path
) -> None:
    toolkit_archive(shop)
    toolkit_archive(shop, NEXT, version="0.13.0")
    before = done(installing, "install", commit=COMMIT).installation
    assert before is not None
    toolkit, begun, go_on = AIToolkit(lambda: installing), threading.Event(), threading.Event()
    trained: list[Any] = []

    def hold(step: int) -> None:
        begun.set()
        go_on.wait(120)

    said = Said(when=hold)
    training = threading.Thread(target=lambda: trained.append(toolkit.train(small_recipe(), model, pictures, tmp_path / "run", said)))
    training.start()
    try:
        assert begun.wait(120)
        root = placed(installing, "update", commit=NEXT)
        with looked_after(installing, toolkit):
            wait_until(lambda: read_managed(root).note == "It waits until the training has ended", 120, "it did not wait")
            assert read_managed(root).installation == before and Path(before.folder).is_dir()
            go_on.set()
            wait_until(lambda: waiting(root) is None, 120, "it was not updated")
    finally:
        go_on.set()
        training.join(120)
    assert trained and trained[0].steps == 30, "the training ended as if nothing had been"
    after = read_managed(root).installation
    assert after is not None and after.version == "0.13.0" and not Path(before.folder).exists()


def test_a_trainer_that_outlived_its_worker_keeps_its_program(shop: Shop, installing: Settings) -> None:
    toolkit_archive(shop)
    there = done(installing, "install", commit=COMMIT).installation
    assert there is not None
    with subprocess.Popen([there.python, "-c", "input()"], stdin=subprocess.PIPE) as trainer:
        told = done(installing, "remove")
        trainer.communicate(b"\n")
    assert told.problem is not None and told.problem.code == "CONFLICT" and told.installation == there
    assert done(installing, "remove").installation is None
    assert not Path(there.folder).exists()


def test_the_usual_folders_are_looked_through(installing: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    mine = stand_in(tmp_path / "home" / "ai-toolkit")
    (tmp_path / "home" / "git" / "ai-toolkit").mkdir(parents=True)
    told = done(installing, "find")
    assert told.looked and str(mine) in told.found_folders
    assert str(tmp_path / "home" / "git" / "ai-toolkit") not in told.found_folders, "an empty folder is none"


# Through the doors


@pytest.fixture
def studio(installing: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    monkeypatch.setenv("LIKENESS_THREADS", "1")
    with running_studio(installing.data) as running:
        yield running


def info(studio: Running) -> dict[str, Any]:
    found: Any = studio.get("engines/aitoolkit")
    return found


def ordered(studio: Running, act: str, body: object = None) -> dict[str, Any]:
    try:
        answer: Any = studio.post(f"engines/aitoolkit/{act}", body or {})
    except urllib.error.HTTPError as error:
        raise AssertionError(error.read().decode()) from error
    return answer


def refused(studio: Running, act: str, body: object = None) -> dict[str, Any]:
    with pytest.raises(urllib.error.HTTPError) as caught:
        studio.post(f"engines/aitoolkit/{act}", body or {})
    return json.load(caught.value)["error"]


def until_done(studio: Running) -> dict[str, Any]:
    wait_until(lambda: not info(studio)["busy"], 240, "the order was not done", every=0.1)
    return info(studio)


def somebody(studio: Running) -> str:
    """A character with three photos; its id."""
    with httpx.Client(base_url=f"{studio.url}/api/v1/", timeout=60) as api:
        character = api.post("characters", json={"name": "Mara", "trigger_word": "zmara"}).json()["id"]
        for number in range(3):
            made = io.BytesIO()
            Image.new("RGB", (128, 128), (60 * number, 120, 200)).save(made, "PNG")
            api.post(f"characters/{character}/images", files={"file": (f"{number}.png", made.getvalue())}).raise_for_status()
    return character


def order_training(studio: Running, character: str) -> httpx.Response:
    body = {"character": character, "engine": "aitoolkit", "model": "sd15", "steps": 20, "save_every": 10, "sample_every": 10}
    return httpx.post(f"{studio.url}/api/v1/training", json=body, timeout=60)


def job(studio: Running, job_id: str) -> dict[str, Any]:
    found: Any = studio.get(f"jobs/{job_id}")
    return found


def train(studio: Running, character: str) -> None:
    job_id = order_training(studio, character).json()["id"]
    wait_until(lambda: job(studio, job_id)["state"] not in {"queued", "running"}, 240, "the training did not end", every=0.2)
    assert job(studio, job_id)["state"] == "done", job(studio, job_id)["error"]
    run: Any = studio.get(f"training/{job_id}")
    assert [one["step"] for one in run["checkpoints"]] == [10, 20]


@pytest.mark.timeout(600, func_only=True)
def test_from_nothing_to_a_trained_lora_and_back(studio: Running, shop: Shop) -> None:
    """Install, train without a further setting, refuse what would pull it away, update with rollback, remove."""
    toolkit_archive(shop, size=5_000_000)
    character = somebody(studio)
    there = info(studio)
    assert (there["state"], there["action_required"], there["licence"], there["update_version"]) == (
        "not_installed",
        "install",
        "MIT",
        "0.12.26",
    )
    offer: Any = studio.get(f"training/offer?character={character}")
    assert offer["toolkit"] == []
    said = order_training(studio, character).json()["error"]
    assert said["code"] == "DEPENDENCY_MISSING" and "Setup" in said["remedy"]
    assert refused(studio, "update")["code"] == refused(studio, "remove")["code"] == refused(studio, "start")["code"] == "CONFLICT"

    # Cancelled and begun again: what arrived is kept.
    shop.slow = 0.05
    assert ordered(studio, "install")["busy"] == "install"
    assert refused(studio, "install")["code"] == "CONFLICT"
    downloads = studio.data / "engines" / "aitoolkit" / "downloads"
    wait_until(lambda: sum(part.stat().st_size for part in downloads.glob("*.part")) > 0, 60, "nothing arrived", every=0.05)
    ordered(studio, "cancel")
    assert until_done(studio)["state"] == "not_installed"
    shop.slow = 0
    ordered(studio, "install")
    there = until_done(studio)
    assert shop.asked[-1].startswith("bytes="), shop.asked
    assert (there["state"], there["action_required"], there["version"], there["own"]) == ("installed", None, "0.12.26", True), there
    log: Any = studio.get("engines/aitoolkit/log?lines=3")
    assert "Installed" in log["lines"][-1]

    # Nothing else has to be set.
    offer = studio.get(f"training/offer?character={character}")
    assert "flux" in {one["arch"] for one in offer["toolkit"]}
    behave(Path(there["folder"]), step_s=0.5)
    job_id = order_training(studio, character).json()["id"]
    wait_until(lambda: info(studio)["state"] == "training", 120, "it was not seen to train")
    there = info(studio)
    assert there["running"] and not {"update", "remove", "connect"} & set(there["actions"])
    assert refused(studio, "remove")["code"] == refused(studio, "update", {"commit": NEXT})["code"] == "CONFLICT"
    assert refused(studio, "connect", {"folder": there["folder"]})["code"] == "CONFLICT"
    behave(Path(there["folder"]))
    wait_until(lambda: job(studio, job_id)["state"] not in {"queued", "running"}, 240, "the training did not end", every=0.2)
    assert job(studio, job_id)["state"] == "done", job(studio, job_id)["error"]

    # A new one that doesn't start is taken back, one that does is kept.
    toolkit_archive(shop, NEXT, version="0.13.0", **{"run.py": BROKEN})
    ordered(studio, "update", {"commit": NEXT})
    after = until_done(studio)
    assert "the one before was kept" in after["problem"] and (after["version"], after["folder"]) == ("0.12.26", there["folder"])
    assert len(list((studio.data / "engines" / "aitoolkit" / "versions").iterdir())) == 1
    train(studio, character)
    toolkit_archive(shop, NEXT, version="0.13.0")
    ordered(studio, "update", {"commit": NEXT})
    after = until_done(studio)
    assert (after["version"], after["commit"], after["problem"]) == ("0.13.0", NEXT, "")
    assert after["update_to"] == COMMIT and after["update_version"] == "0.12.26", "back to the pinned one"
    assert not Path(there["folder"]).exists()
    train(studio, character)

    ordered(studio, "remove")
    assert until_done(studio)["state"] == "not_installed"
    (trash,) = (studio.data / "engines" / "trash").iterdir()
    assert trash.name.startswith("aitoolkit-") and (trash / "versions").is_dir()
    assert order_training(studio, character).json()["error"]["code"] == "DEPENDENCY_MISSING"


@pytest.mark.timeout(600, func_only=True)
def test_a_folder_of_one_s_own_is_used_as_it_lies_there(studio: Running, tmp_path: Path) -> None:
    mine = stand_in(tmp_path / "mine")
    (mine / "version.py").write_text('VERSION = "0.9.1"\n', "utf-8")
    assert refused(studio, "connect", {"folder": str(tmp_path)})["field"] == "folder"
    bare = tmp_path / "bare"
    shutil.copytree(mine, bare, ignore=shutil.ignore_patterns("venv"))
    assert "no environment of its own" in refused(studio, "connect", {"folder": str(bare)})["message"]
    assert refused(studio, "connect", {"url": "http://127.0.0.1:8675"})["field"] == "url"
    assert refused(studio, "connect", {})["field"] == "folder"
    assert info(studio)["state"] == "not_installed"
    before = snapshot(mine)
    there = ordered(studio, "connect", {"folder": str(mine)})
    assert (there["state"], there["own"], there["version"], there["folder"]) == ("installed", False, "0.9.1", str(mine))
    assert not {"install", "update"} & set(there["actions"])
    assert refused(studio, "install")["code"] == refused(studio, "update")["code"] == "CONFLICT"
    train(studio, somebody(studio))
    (mine / "run.py").rename(mine / "gone.py")
    there = info(studio)
    assert (there["state"], there["action_required"]) == ("unusable", "connect") and "no AI-Toolkit in" in there["problem"]
    (mine / "gone.py").rename(mine / "run.py")
    assert ordered(studio, "remove")["state"] == "not_installed"
    assert snapshot(mine) == before, "nothing in it was changed"


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.timeout(600, func_only=True)
def test_the_environment_s_folder_stays_and_the_command_line_does_the_rest(
    shop: Shop, installing: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toolkit_archive(shop)
    toolkit_archive(shop, NEXT, version="0.13.0")

    def said(*words: str, status: int = 0) -> dict[str, Any]:
        command = [sys.executable, str(HOME / "app.py"), "engines", *words, "--data", str(installing.data), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=200)
        assert done.returncode == status, (done.stdout, done.stderr)
        return json.loads(done.stdout)

    assert said("install", "aitoolkit")["state"] == "installed"
    assert "Installed" in said("log", "aitoolkit", "--lines", "1")["lines"][-1]
    assert said("update", "aitoolkit", NEXT)["version"] == "0.13.0"
    assert said("start", "aitoolkit", status=1)["error"]["code"] == "CONFLICT"
    monkeypatch.setenv("AITOOLKIT_PATH", str(stand_in(tmp_path / "mine")))
    there = said("status", "aitoolkit")
    assert (there["folder"], there["own"], there["fixed_by"]) == (str(tmp_path / "mine"), False, "AITOOLKIT_PATH in the environment")
    assert said("connect", "aitoolkit", "--folder", "", status=1)["error"]["code"] == "CONFLICT"
    assert said("update", "aitoolkit", status=1)["error"]["code"] == "CONFLICT"
    assert said("remove", "aitoolkit")["folder"] == str(tmp_path / "mine"), "what Likeness installed goes, the other stays"
    assert (tmp_path / "mine" / "run.py").is_file() and not list((managed_folder(installing, AITOOLKIT)).glob("versions"))
    assert said("remove", "aitoolkit", status=1)["error"]["code"] == "CONFLICT", "nothing of ours is left"
    monkeypatch.setenv("AITOOLKIT_PATH", str(tmp_path / "nowhere"))
    assert said("status", "aitoolkit", status=1)["state"] == "unusable"
    with pytest.raises(InvalidFieldValue, match="no AI-Toolkit"):
        find_toolkit(load_settings(installing.data))
