"""A ComfyUI that Likeness installs, starts and looks after: from a local archive of the real one, with its real Python."""

from __future__ import annotations

import functools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from comfyui.server import KIT, Server, free_port, install
from fastapi.testclient import TestClient
from shop import COMMIT, NEXT, Shop, open_shop, quiet, tiny_wheel, tree_of

from app import HOME, main, open_studio
from bench.rig import Running, running_studio, wait_until
from engines.comfyui import NotComfy
from engines.comfyui.engine import check_version
from engines.comfyui.managed import ManagedComfy
from engines.installing.caretaker import Caretaker
from engines.installing.install import install as install_program
from studio.api import create_api
from studio.errors import ChecksumMismatch, ChecksumMissing, Conflict, DiskFull, DownloadFailed, InvalidFieldValue
from studio.managed import Connect, Managed, Order, is_alive, managed_folder, read_log, waiting
from studio.pins import COMFYUI, Torch
from studio.settings import Settings, load_settings

VENV = "venv/Scripts/python.exe" if os.name == "nt" else "venv/bin/python"
BROKEN = "raise SystemExit('this version does not start')\n"


install_engine = functools.partial(install_program, COMFYUI)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with open_shop(tmp_path / "shop") as shop:
        yield shop


def small_archive(path: Path, *, commit: str = COMMIT, size: int = 300_000, **files: str) -> Path:
    """An archive as git makes it of something that only looks like ComfyUI."""
    with zipfile.ZipFile(path, "w") as archive:
        contents = {"main.py": "", "nodes.py": "", "requirements.txt": "", "comfyui_version.py": '__version__ = "0.3.75"\n', **files}
        for name, content in contents.items():
            archive.writestr(f"ComfyUI-{commit}/{name}", content)
        archive.writestr(f"ComfyUI-{commit}/ballast.bin", os.urandom(size))
        archive.comment = commit.encode()
    return path


def real_archive(path: Path, *, commit: str = COMMIT, main: str | None = None) -> Path:
    """The ComfyUI of the tests, packed as git packs a commit; its requirements are those that the tests installed."""
    source = install() / "comfyui"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(source.rglob("*")):
            name = file.relative_to(source).as_posix()
            if file.is_dir() or "__pycache__" in name or name.split("/")[0] in ("input", "output", "user", "temp", "models", "tests"):
                continue
            content = (KIT / "requirements.txt").read_bytes() if name == "requirements.txt" else file.read_bytes()
            archive.writestr(f"ComfyUI-{commit}/{name}", main.encode() if main and name == "main.py" else content)
        archive.comment = commit.encode()
    return path


def test_an_interrupted_download_goes_on_where_it_stopped(shop: Shop, tmp_path: Path) -> None:
    size = small_archive(shop.folder / f"{COMMIT}.zip").stat().st_size
    shop.cut = [100_000, 50_000]
    found = install_engine(tmp_path / "engine", shop.pin(), COMMIT, quiet, shared=Path(sys.executable))
    assert shop.asked == ["", "bytes=100000-", "bytes=150000-"] and size > 150_000
    assert found.version == "0.3.75" and Path(found.python).exists()
    assert not list((tmp_path / "engine" / "downloads").iterdir())
    install_engine(tmp_path / "engine", shop.pin(), COMMIT, quiet, shared=Path(sys.executable))
    assert len(shop.asked) == 3, "what is installed is not installed again"


def test_an_installation_that_was_ended_keeps_what_it_got(shop: Shop, tmp_path: Path) -> None:
    small_archive(shop.folder / f"{COMMIT}.zip", size=2_000_000)

    class Ended(Exception):
        pass

    def end(progress: float, _note: str) -> None:
        if progress > 0.1:
            raise Ended

    with pytest.raises(Ended):
        install_engine(tmp_path / "engine", shop.pin(), COMMIT, end, shared=Path(sys.executable))
    (part,) = (tmp_path / "engine" / "downloads").iterdir()
    assert part.stat().st_size > 0
    install_engine(tmp_path / "engine", shop.pin(), COMMIT, quiet, shared=Path(sys.executable))
    assert shop.asked[1].startswith("bytes=")


@pytest.mark.parametrize(
    ("made_of", "pinned", "refusal"),
    [(COMMIT, "another", ChecksumMismatch), (NEXT, "this", ChecksumMismatch), (NEXT, "", ChecksumMismatch), ("", "", ChecksumMissing)],
    ids=["other files", "another commit with the files", "another commit", "nothing to check by"],
)
def test_what_is_not_the_pinned_archive_is_refused_and_thrown_away(
    shop: Shop, tmp_path: Path, made_of: str, pinned: str, refusal: type[Exception]
) -> None:
    this = tree_of(small_archive(shop.folder / f"{COMMIT}.zip", commit=made_of))
    another = tree_of(small_archive(tmp_path / "another.zip"))
    pin = shop.pin(tree={"": None, "this": this, "another": another}[pinned])
    with pytest.raises(refusal):
        install_engine(tmp_path / "engine", pin, COMMIT, quiet, shared=Path(sys.executable))
    assert not list((tmp_path / "engine" / "downloads").iterdir())
    assert not (tmp_path / "engine" / "versions").exists()


def test_an_archive_that_somebody_packed_anew_is_taken_by_its_files(shop: Shop, tmp_path: Path) -> None:
    tree = tree_of(small_archive(shop.folder / f"{COMMIT}.zip", commit=""))
    assert install_engine(tmp_path / "engine", shop.pin(tree=tree), COMMIT, quiet, shared=Path(sys.executable)).own
    assert f"tree {tree.sha1}" in (tmp_path / "engine" / "install.log").read_text("utf-8")


def test_a_pip_without_a_connection_says_so_and_the_installation_goes_on_later(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_archive(shop.folder / f"{COMMIT}.zip", **{"requirements.txt": "likeness-test-wheel>=1\n"})
    (tmp_path / "kept.txt").write_text("likeness-test-wheel==1.0\n", "utf-8")
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for version in ("1.0", "2.0"):
        tiny_wheel(wheels, version)
    for name, value in {
        "CONFIG_FILE": os.devnull,
        "FIND_LINKS": "",
        "RETRIES": "1",
        "INDEX_URL": f"http://127.0.0.1:{free_port()}",
    }.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    root, pin = tmp_path / "engine", shop.pin(constraints=str(tmp_path / "kept.txt"))
    with pytest.raises(DownloadFailed, match="can't be reached") as caught:
        install_engine(root, pin, COMMIT, quiet, shared=Path(sys.executable))
    assert "press Install again" in caught.value.remedy
    ends = read_log(root / "install.log", 20).lines
    assert any("Failed to establish a new connection" in line for line in ends) and "ERROR" in ends[-1], "the log's end says why"
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    place = Path(install_engine(root, pin, COMMIT, quiet, shared=Path(sys.executable)).folder).parent
    assert len(shop.asked) == 1, "what was there is not downloaded again"
    assert [path.name for path in place.glob("venv/**/likeness_test_wheel*.dist-info")] == ["likeness_test_wheel-1.0.dist-info"], (
        "the version kept to"
    )


def test_a_step_that_outlived_a_killed_worker_is_ended_before_it_is_done_again(shop: Shop, tmp_path: Path) -> None:
    small_archive(shop.folder / f"{COMMIT}.zip")
    root = tmp_path / "engine"
    root.mkdir()
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as leftover:
        try:
            (root / "step.json").write_text(json.dumps([leftover.pid, psutil.Process(leftover.pid).create_time()]), "utf-8")
            install_engine(root, shop.pin(), COMMIT, quiet, shared=Path(sys.executable))
            assert not psutil.pid_exists(leftover.pid)
        finally:
            leftover.kill()
    assert not (root / "step.json").exists()


def test_a_torch_that_is_not_in_the_pins_file_is_refused_before_anything_is_downloaded(shop: Shop, tmp_path: Path) -> None:
    with pytest.raises(InvalidFieldValue, match="no torch “warp”") as caught:
        install_engine(tmp_path / "engine", shop.pin(), COMMIT, quiet, build="warp")
    assert "cpu, cuda, mps, rocm" in caught.value.remedy and shop.asked == []


def test_a_path_that_leads_out_of_the_archive_is_refused(shop: Shop, tmp_path: Path) -> None:
    small_archive(shop.folder / f"{COMMIT}.zip", **{"../../../../out.txt": "out"})
    with pytest.raises(ChecksumMismatch):
        install_engine(tmp_path / "engine", shop.pin(), COMMIT, quiet, shared=Path(sys.executable))
    assert not list(tmp_path.rglob("out.txt"))


def test_a_commit_that_is_not_there_says_so(shop: Shop, tmp_path: Path) -> None:
    with pytest.raises(DownloadFailed, match="not there"):
        install_engine(tmp_path / "engine", shop.pin(), NEXT, quiet, shared=Path(sys.executable))


def test_too_little_space_is_told_before_anything_is_downloaded(shop: Shop, tmp_path: Path) -> None:
    torch = {name: Torch(index=None, disk_mb=10**9) for name in ("cpu", "cuda", "rocm", "mps")}
    with pytest.raises(DiskFull, match="GB are free"):
        install_engine(tmp_path / "engine", shop.pin(torch=torch), COMMIT, quiet)
    assert shop.asked == []


@pytest.mark.skipif(not sys.platform.startswith("linux") or os.geteuid() != 0, reason="needs root on Linux to mount a small disk")
@pytest.mark.parametrize("where", ["in the download", "in the environment", "in the packages"])
def test_a_disk_that_fills_up_keeps_nothing_half_done(shop: Shop, tmp_path: Path, where: str) -> None:
    size, what = {
        "in the download": (6_000_000, "install ComfyUI"),
        "in the environment": (100_000, "make a Python environment"),
        "in the packages": (100_000, "install what ComfyUI needs"),
    }[where]
    small_archive(shop.folder / f"{COMMIT}.zip", size=size, **{"requirements.txt": "likeness-test-wheel\n"})
    tiny_wheel(tmp_path, "1.0", size=8_000_000)
    disk = tmp_path / "disk"
    disk.mkdir()
    script = (
        "import sys; from pathlib import Path; from engines.installing.install import install; from studio.pins import COMFYUI, Pin\n"
        "from studio.errors import DiskFull\n"
        "pin, root = Pin.model_validate_json(sys.argv[1]), Path(sys.argv[2])\n"
        "shared = None if sys.argv[3] == 'in the environment' else Path(sys.executable)\n"
        "try:\n    install(COMFYUI, root, pin, pin.commit, lambda *_: None, shared=shared, build='cpu')\n"
        "except DiskFull as error:\n    print(error.message)\n"
        "print(sorted(path.name for path in root.rglob('*') if path.is_file()))\n"
    )
    inside = f'mount -t tmpfs -o size=4m tmpfs "{disk}" && exec "$@"'
    command = ["unshare", "-m", "sh", "-c", inside, "sh", sys.executable, "-c", script]
    command += [shop.pin().model_dump_json(), str(disk / "engine"), where]
    pip = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], env=os.environ | pip)
    if "unshare failed" in done.stderr or "mount:" in done.stderr:
        pytest.skip("this machine lets nobody mount")
    assert done.stdout.splitlines() == [f"The disk is full: could not {what}.", "['install.log']"], done.stderr


@pytest.mark.parametrize("words", ["--listen 0.0.0.0", "--port=1", "--lis 0.0.0.0", "--base-directory /x", "'"])
def test_arguments_never_move_the_server_to_another_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    from engines.comfyui.managed import extra_arguments

    monkeypatch.setenv("LIKENESS_COMFYUI_ARGUMENTS", words)
    with pytest.raises(InvalidFieldValue):
        extra_arguments(load_settings(tmp_path))


@pytest.mark.parametrize("version", ["", "0.2.7", "0.1"])
def test_a_version_that_is_too_old_says_so(version: str) -> None:
    with pytest.raises(NotComfy, match="too old"):
        check_version("http://127.0.0.1:8188", version)
    check_version("http://127.0.0.1:8188", "0.3.0")
    check_version("http://127.0.0.1:8188", "1.0")


def test_a_process_that_got_the_number_of_another_is_not_taken_for_it() -> None:
    born = psutil.Process().create_time()
    assert is_alive(os.getpid(), born)
    assert not is_alive(os.getpid(), born - 100)
    assert not Managed(pid=os.getpid(), born=born - 100).alive


def test_a_studio_that_stops_in_the_middle_goes_on_at_its_next_start(
    shop: Shop, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_archive(shop.folder / f"{COMMIT}.zip", size=3_000_000)
    shop.slow = 0.05
    monkeypatch.setenv("LIKENESS_ENGINE_PINS", str(pins_file(shop, tmp_path)))
    monkeypatch.setenv("LIKENESS_COMFYUI_PYTHON", sys.executable)
    settings = load_settings(settings.data)
    root = managed_folder(settings)
    root.mkdir(parents=True)
    (root / "order.json").write_text(Order(id="1", act="install", commit=COMMIT).model_dump_json(), "utf-8")
    first = ManagedComfy(lambda: settings)
    wait_until(lambda: any(part.stat().st_size for part in root.glob("downloads/*.part")), 240, "it did not begin")
    first.close()
    assert waiting(root) is not None, "the order waits for the next start"
    shop.slow = 0
    second = ManagedComfy(lambda: settings)
    wait_until(lambda: waiting(root) is None, 240, "it did not go on")
    second.close()
    told = Managed.model_validate_json((root / "state.json").read_bytes())
    assert told.installation is not None and told.problem is None
    assert [asked.startswith("bytes=") for asked in shop.asked] == [False, True]


def test_the_command_line_says_how_comfyui_is_installs_it_and_follows_its_log(
    shop: Shop, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small_archive(shop.folder / f"{COMMIT}.zip")
    monkeypatch.setenv("LIKENESS_ENGINE_PINS", str(pins_file(shop, tmp_path)))
    monkeypatch.setenv("LIKENESS_COMFYUI_PYTHON", sys.executable)

    def said(*words: str, status: int = 0) -> dict[str, Any]:
        capsys.readouterr()
        assert main(["engines", *words, "--data", str(settings.data), "--json"]) == status
        return json.loads(capsys.readouterr().out)

    def command(*words: str) -> list[str]:
        return [sys.executable, str(HOME / "app.py"), "engines", *words, "--data", str(settings.data)]

    assert [one["name"] for one in said("status")["items"]] == ["embedded", "comfyui", "aitoolkit"]
    assert said("status", "comfyui")["state"] == "not_installed"
    assert said("status", "nobody", status=1)["error"]["code"] == "NOT_FOUND"
    assert said("update", "comfyui", status=1)["error"]["code"] == "CONFLICT"
    # It ends its process with what works in it.
    done = subprocess.run(command("install", "comfyui"), capture_output=True, text=True, timeout=100)
    assert done.returncode == 0 and COMMIT in done.stdout, (done.stdout, done.stderr)
    assert said("update", "comfyui", "main", status=1)["error"]["field"] == "commit"
    assert said("update", "comfyui", COMMIT, status=1)["error"]["message"] == "This commit is installed already."
    assert "Installed" in said("log", "comfyui", "--install", "--lines", "3")["lines"][-1]

    log = managed_folder(settings) / "server.log"
    log.write_text("what was there\n", "utf-8")
    with subprocess.Popen(command("log", "comfyui", "--follow"), stdout=subprocess.PIPE, text=True) as following:
        try:
            assert following.stdout is not None
            assert following.stdout.readline() == "what was there\n"
            with log.open("a", encoding="utf-8") as more:
                more.write("just now\nnot yet whole")
            assert following.stdout.readline() == "just now\n"
            following.send_signal(signal.SIGINT)
            assert following.wait(60) == 130
        finally:
            following.kill()


def pins_file(shop: Shop, folder: Path) -> Path:
    path = folder / "pins.json"
    path.write_text(json.dumps({"comfyui": shop.pin().model_dump()}), "utf-8")
    return path


@pytest.fixture
def studio(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    """A studio that installs from the shop, with the Python and the models of the tests' own ComfyUI."""
    there = install()
    front = tmp_path / "front"
    front.mkdir()
    (front / "index.html").write_text("<html></html>", "utf-8")
    pins = pins_file(shop, tmp_path)
    monkeypatch.delenv("COMFYUI_URL", raising=False)
    for name, value in {
        "LIKENESS_ENGINE_PINS": str(pins),
        "LIKENESS_COMFYUI_PYTHON": str(there / VENV),
        "LIKENESS_COMFYUI_ARGUMENTS": f"--cpu --disable-api-nodes --front-end-root '{front}'",
        "LIKENESS_MODELS_DIR": str(there / "models" / "checkpoints"),
        "PYTHONPATH": str(KIT / "stand_ins"),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
    }.items():
        monkeypatch.setenv(name, value)
    with running_studio(tmp_path / "data") as running:
        yield running


@pytest.mark.timeout(600, func_only=True)
def test_from_nothing_to_a_picture_and_back(studio: Running, shop: Shop) -> None:
    """Install, start, generate, survive a crash of ours, refuse everyone else, update with rollback, stop, remove."""
    real_archive(shop.folder / f"{COMMIT}.zip")
    assert (info(studio)["state"], info(studio)["action_required"]) == ("not_installed", "install")
    assert ordered(studio, "install")["busy"] == "install"
    assert refused(studio, "install") == "CONFLICT"
    until_done(studio)
    there = info(studio)
    assert (there["state"], there["action_required"], there["version"]) == ("installed", "start", "0.3.75"), there

    ordered(studio, "start")
    wait_until(lambda: info(studio)["state"] == "reachable", 240, "it was not reached")
    there = info(studio)
    assert there["action_required"] is None and there["servers"][0]["version"] == "0.3.75" and there["servers"][0]["vram_mb"] > 0
    wait_until(lambda: "comfyui/checkpoints/tiny_sd15.safetensors" in models(studio), 240, "our own models were not seen")
    server = psutil.Process(state(studio).pid)
    assert all(at.laddr.ip == "127.0.0.1" for at in server.net_connections("inet") if at.status == psutil.CONN_LISTEN)
    refuses_other_addresses(there["url"])

    draw(studio)
    os.kill(worker_of(studio), signal.SIGKILL)
    wait_until(lambda: worker_runs(studio), 240, "the worker did not come back")
    assert server.is_running(), "a crash of ours does not end it"
    wait_until(lambda: info(studio)["state"] == "reachable", 240, "it was not taken up again")
    assert state(studio).pid == server.pid

    small_archive(shop.folder / f"{NEXT}.zip", commit=NEXT, **{"main.py": BROKEN})
    ordered(studio, "update", {"commit": NEXT})
    until_done(studio)
    after = info(studio)
    assert "does not start" in after["problem"] or "did not start" in after["problem"], after
    assert after["commit"] == COMMIT
    wait_until(lambda: info(studio)["state"] == "reachable", 240, "the one before does not run again")

    ordered(studio, "stop")
    until_done(studio)
    assert info(studio)["state"] == "installed"
    assert not server.is_running() and state(studio).pid is None
    ordered(studio, "remove")
    until_done(studio)
    assert info(studio)["state"] == "not_installed"
    (trash,) = (studio.data / "engines" / "trash").iterdir()
    assert (trash / "versions").is_dir() and not (studio.data / "engines" / "comfyui" / "versions").exists()


def test_an_installation_can_be_cancelled_and_goes_on_after_a_restart(shop: Shop, studio: Running) -> None:
    small_archive(shop.folder / f"{COMMIT}.zip", size=40_000_000)
    shop.slow = 0.05
    ordered(studio, "install")
    wait_until(lambda: arrived(studio) > 0, 240, "it did not begin")
    os.kill(worker_of(studio), signal.SIGKILL)
    wait_until(lambda: worker_runs(studio) and len(shop.asked) > 1, 240, "it did not go on")
    assert shop.asked[1].startswith("bytes=")
    ordered(studio, "cancel")
    until_done(studio)
    assert info(studio)["state"] == "not_installed" and not info(studio)["problem"]
    assert list((studio.data / "engines" / "comfyui" / "downloads").iterdir())


def test_a_search_makes_way_for_what_somebody_wants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIKENESS_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("COMFYUI_URL", raising=False)
    studio = open_studio(load_settings(tmp_path / "data"))
    assert studio.engines.find("comfyui").busy == "find"
    with pytest.raises(Conflict):
        studio.engines.find("comfyui")
    assert studio.engines.install("comfyui").busy == "install"
    with pytest.raises(Conflict):
        studio.engines.install("comfyui")
    done: list[str] = []

    class Slow(Caretaker):
        def _act(self, order: Order) -> None:
            done.append(order.act)
            if order.act == "find":
                studio.engines.connect("comfyui", Connect(folder=str(own)))

    own = tmp_path / "own"
    (own / "venv" / "bin").mkdir(parents=True)
    for name in ("main.py", "nodes.py", "comfyui_version.py", "venv/bin/python"):
        (own / name).touch()
    root = managed_folder(studio.settings)
    (root / "order.json").unlink()
    studio.engines.find("comfyui")
    slow = Slow(COMFYUI, lambda: studio.settings)
    try:
        wait_until(lambda: done == ["find", "adopt"] and waiting(root) is None, 20, "what came during the search was not done")
    finally:
        slow.close()


def test_a_running_one_is_found_and_connected_by_one_field(studio: Running, comfy: Server) -> None:
    ordered(studio, "find")
    until_done(studio)
    assert info(studio)["looked"]
    assert ordered(studio, "connect", {"url": comfy.url})["state"] == "asking", "it was not asked yet"
    wait_until(lambda: info(studio)["state"] == "reachable", 240, "it was not reached")
    assert info(studio)["servers"][0]["url"] == comfy.url
    ordered(studio, "connect", {"url": f"{comfy.url}, http://127.0.0.1:{free_port()}"})
    wait_until(lambda: [one["state"] for one in info(studio)["servers"]] == ["reachable", "offline"], 240, "one answers, one doesn't")
    ordered(studio, "connect", {"url": ""})
    wait_until(lambda: info(studio)["state"] == "not_installed", 240, "it was not forgotten")


def test_a_folder_that_is_there_is_started_and_stopped(studio: Running, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(install() / "comfyui", folder, ignore=shutil.ignore_patterns("__pycache__"))
    assert refused(studio, "connect", {"folder": str(folder)}) == "INVALID_FIELD_VALUE"
    assert refused(studio, "connect", {"folder": str(tmp_path)}) == "INVALID_FIELD_VALUE"
    python = folder / VENV
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{install() / VENV}" "$@"\n', "utf-8")
    python.chmod(0o755)
    ordered(studio, "connect", {"folder": str(folder)})
    until_done(studio)
    assert info(studio)["state"] == "installed" and not info(studio)["own"]
    ordered(studio, "start")
    wait_until(lambda: info(studio)["state"] == "reachable", 240, "it was not reached")
    lines: Any = studio.get("engines/comfyui/log")
    assert any("--listen 127.0.0.1" in line for line in lines["lines"])
    assert refused(studio, "update") == "CONFLICT"
    server = psutil.Process(state(studio).pid)
    os.kill(studio.pid, signal.SIGTERM)
    wait_until(lambda: not server.is_running(), 240, "it does not end with the studio")
    assert folder.is_dir()


def test_the_embedded_engine_needs_nothing(settings: Settings) -> None:
    client = TestClient(create_api(open_studio(settings)), base_url="http://127.0.0.1")
    engines = {one["name"]: one for one in client.get("/api/v1/engines").json()["items"]}
    assert engines["embedded"]["installed"] and engines["embedded"]["action_required"] is None
    assert client.post("/api/v1/engines/embedded/install").status_code == 409
    assert client.get("/api/v1/engines/nobody").status_code == 404
    assert client.post("/api/v1/engines/comfyui/start").status_code == 409
    assert client.post("/api/v1/engines/comfyui/install", json={"commit": "master"}).status_code == 422
    assert client.post("/api/v1/engines/comfyui/connect", json={}).status_code == 422
    assert client.post("/api/v1/engines/comfyui/cancel").status_code == 409


def info(studio: Running) -> dict[str, Any]:
    found: Any = studio.get("engines/comfyui")
    return found


def ordered(studio: Running, act: str, body: object = None) -> dict[str, Any]:
    try:
        answer: Any = studio.post(f"engines/comfyui/{act}", body or {})
    except urllib.error.HTTPError as error:
        raise AssertionError(error.read().decode()) from error
    return answer


def refused(studio: Running, act: str, body: object = None) -> str:
    with pytest.raises(urllib.error.HTTPError) as caught:
        studio.post(f"engines/comfyui/{act}", body or {})
    return json.load(caught.value)["error"]["code"]


def until_done(studio: Running) -> None:
    wait_until(lambda: not info(studio)["busy"], 240, "the order was not done", every=0.1)


def arrived(studio: Running) -> int:
    """Bytes of the archive that are on disk."""
    parts = (studio.data / "engines" / "comfyui" / "downloads").glob("*.part")
    return sum(part.stat().st_size for part in parts)


def state(studio: Running) -> Managed:
    return Managed.model_validate_json((studio.data / "engines" / "comfyui" / "state.json").read_bytes())


def models(studio: Running) -> set[str]:
    found: Any = studio.get("models")
    return {model["id"] for model in found["items"]}


def draw(studio: Running) -> None:
    model = "comfyui/checkpoints/tiny_sd15.safetensors"
    request = {"engine": "comfyui", "model": model, "prompt": "a cat", "width": 64, "height": 64, "steps": 2}
    answer: Any = studio.post("generate", request)

    def job() -> dict[str, Any]:
        found: Any = studio.get(f"jobs/{answer['job_id']}")
        return found

    wait_until(lambda: job()["state"] not in {"queued", "running"}, 240, "no picture came")
    assert job()["state"] == "done", job()["error"]


def refuses_other_addresses(url: str) -> None:
    port = int(url.rpartition(":")[2])
    assert httpx.get(f"{url}/system_stats", trust_env=False).status_code == 200
    others = {at.address for them in psutil.net_if_addrs().values() for at in them if at.family == socket.AF_INET} - {"127.0.0.1"}
    for address in {*others, "127.0.0.2"}:
        with pytest.raises(OSError), socket.create_connection((address, port), timeout=3):
            pass


def worker_of(studio: Running) -> int:
    for child in psutil.Process(studio.pid).children(recursive=True):
        if "worker" in child.cmdline():
            return child.pid
    raise AssertionError("there is no worker")


def worker_runs(studio: Running) -> bool:
    try:
        worker_of(studio)
    except (AssertionError, psutil.Error):
        return False
    return info(studio)["problem"] == "" or info(studio)["reachable"]
