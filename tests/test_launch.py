"""launch.py, copied into a folder of its own beside a tiny program with tiny requirements, and really run."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BASE = getattr(sys, "_base_executable", None) or sys.executable

APP = """
import sys
try:
    import tiny
    found = tiny.VERSION
except ImportError:
    found = "none"
print("app", sys.argv[1:], "tiny", found, "inside" if sys.prefix != sys.base_prefix else "outside", flush=True)
if "exit" in sys.argv:
    sys.exit(7)
if "wait" in sys.argv:
    import time
    try:
        print("waiting", flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        print("app was interrupted", flush=True)
        sys.exit(130)
"""


class Project:
    """A folder with launch.py, app.py, requirements.txt and the wheels they name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.wheels = folder / "wheels"
        self.wheels.mkdir(parents=True)
        shutil.copy(ROOT / "launch.py", folder)
        (folder / "app.py").write_text(APP)
        self.add_wheel("tiny", "1.0")
        self.require("tiny==1.0")

    def require(self, *lines: str, dev: tuple[str, ...] = ()) -> None:
        (self.folder / "requirements.txt").write_text("\n".join(lines) + "\n")
        (self.folder / "requirements-dev.txt").write_text("\n".join(["-r requirements.txt", *dev]) + "\n")

    def add_wheel(self, name: str, version: str, **files: str) -> None:
        """Make a wheel of pure Python by hand (PyPA's binary distribution format)."""
        info = f"{name}-{version}.dist-info"
        content = {
            f"{name}/__init__.py": f"VERSION = {version!r}\n",
            **{path.replace("__slash__", "/"): text for path, text in files.items()},
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
            f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        record = [f"{path},sha256={_digest(text)},{len(text.encode())}" for path, text in content.items()] + [f"{info}/RECORD,,"]
        with zipfile.ZipFile(self.wheels / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
            for path, text in {**content, f"{info}/RECORD": "\n".join(record) + "\n"}.items():
                wheel.writestr(path, text)

    @property
    def environment(self) -> dict[str, str]:
        # pip may look nowhere but here: these tests pass without a network, and whatever this computer's pip is set to.
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "PYTHON"))}
        return {**kept, "PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.wheels)}

    def command(self, *arguments: str, python: str = BASE) -> list[str]:
        return [python, str(self.folder / "launch.py"), *arguments]

    def launch(self, *arguments: str, python: str = BASE, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments, python=python),
            capture_output=True,
            text=True,
            encoding="utf-8",
            env={**self.environment, **environment},
            cwd=self.folder.parent,
            timeout=120,
        )

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start it as a terminal would: leading a group of its own."""
        return subprocess.Popen(
            self.command(*arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            env={**self.environment, **environment},
            start_new_session=True,
        )

    @property
    def packages(self) -> Path:
        return next((self.folder / ".venv").rglob("site-packages"))

    @property
    def stamp(self) -> Path:
        return self.folder / ".venv" / "installed-requirements.txt"


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")


def wait_for(fact: Callable[[], object], timeout: float = 60) -> None:
    until = time.monotonic() + timeout
    while not fact():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that was launched once: its .venv is there, and copied for the tests that start from that."""
    project = Project(tmp_path_factory.mktemp("made") / "likeness")
    first = project.launch()
    assert first.returncode == 0, first.stdout + first.stderr
    assert "Making a Python environment" in first.stdout
    assert "1 packages installed" in first.stdout
    assert "app ['run'] tiny 1.0 inside" in first.stdout
    return project


@pytest.fixture
def project(made: Project, tmp_path: Path) -> Project:
    """A project that was launched before, in a folder of the test's own."""
    shutil.copytree(made.folder, tmp_path / "likeness", symlinks=True)
    copy = object.__new__(Project)
    copy.folder = tmp_path / "likeness"
    copy.wheels = copy.folder / "wheels"
    return copy


def test_the_second_launch_installs_nothing_and_says_nothing(made: Project) -> None:
    assert made.launch().stdout == "app ['run'] tiny 1.0 inside\n"


def test_a_warm_launch_costs_no_more_than_a_moment(made: Project) -> None:
    def seconds(command: list[str]) -> float:
        # Of the processor: what else runs on this machine doesn't count.
        before = os.times()
        subprocess.run(command, env=made.environment, check=True, stdout=subprocess.DEVNULL)
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system

    python = str(made.folder / ".venv" / "bin" / "python")
    direct = min(seconds([python, str(made.folder / "app.py"), "run"]) for _ in range(5))
    launched = min(seconds(made.command()) for _ in range(5))

    assert launched - direct < 0.15


@pytest.mark.parametrize(
    ("given", "passed_on"),
    [
        ([], ["run"]),
        (["--port", "8000"], ["run", "--port", "8000"]),
        (["--data", "d"], ["--data", "d", "run"]),
        (["--data=d", "--no-browser"], ["--data=d", "run", "--no-browser"]),
        (["--data", "test", "--port", "1"], ["--data", "test", "run", "--port", "1"]),
        (["--data", "d", "jobs", "list", "--json"], ["--data", "d", "jobs", "list", "--json"]),
        (["generate", "setup a test", "--data", "d"], ["generate", "setup a test", "--data", "d"]),
        (["--json", "health"], ["--json", "health"]),
        (["--version"], ["--version"]),
        (["jobs", "--help"], ["jobs", "--help"]),
    ],
)
def test_verbs_and_options_reach_the_program(made: Project, given: list[str], passed_on: list[str]) -> None:
    assert made.launch(*given).stdout == f"app {passed_on} tiny 1.0 inside\n"


def test_the_programs_exit_status_is_the_launchers(made: Project) -> None:
    assert made.launch("exit").returncode == 7


def test_ctrl_c_reaches_the_program(made: Project) -> None:
    with made.start("wait") as running:
        assert running.stdout is not None
        assert running.stdout.readline().startswith("app")
        assert running.stdout.readline() == "waiting\n"
        os.killpg(running.pid, signal.SIGINT)

        assert running.wait(10) == 130
        assert "app was interrupted" in running.stdout.read()


def test_help_needs_nothing_installed(tmp_path: Path) -> None:
    project = Project(tmp_path / "fresh")

    answer = project.launch("--help")

    assert answer.returncode == 0
    for verb in ("run", "generate", "setup", "test", "check", "fix", "bench", "smoke", "diagnose", "token"):
        assert re.search(rf"^  {verb} +\w", answer.stdout, re.MULTILINE), verb
    assert project.launch("--data", "d", "setup", "--help").returncode == 0
    assert not (project.folder / ".venv").exists()


def test_setup_installs_and_says_where(project: Project) -> None:
    project.stamp.unlink()

    answer = project.launch("--data", "d", "setup")

    assert answer.returncode == 0
    assert str(project.folder / ".venv") in answer.stdout
    assert "app" not in answer.stdout
    assert project.stamp.exists()


def test_changed_requirements_are_installed(project: Project) -> None:
    project.add_wheel("tiny", "2.0")
    project.require("tiny==2.0")

    answer = project.launch()

    assert "tiny 2.0" in answer.stdout
    assert "Making a Python environment" not in answer.stdout
    assert project.launch().stdout == "app ['run'] tiny 2.0 inside\n"


def test_a_launch_from_inside_another_environment_stands_on_the_real_python(tmp_path: Path) -> None:
    project = Project(tmp_path / "likeness")
    venv.create(tmp_path / "other", symlinks=True, with_pip=False)

    answer = project.launch(python=str(tmp_path / "other" / "bin" / "python"))

    assert "tiny 1.0 inside" in answer.stdout, answer.stderr
    shutil.rmtree(tmp_path / "other")
    assert "tiny 1.0 inside" in project.launch().stdout


def test_an_unwritten_stamp_makes_the_next_launch_go_on(project: Project) -> None:
    # As after a kill: what claims to be there without its list of files is only half there.
    project.stamp.unlink()
    (project.packages / "tiny-1.0.dist-info" / "RECORD").unlink()
    (project.packages / "tiny" / "__init__.py").unlink()

    assert "tiny 1.0 inside" in project.launch().stdout


def test_a_half_made_environment_is_made_again(project: Project) -> None:
    project.stamp.unlink()
    shutil.rmtree(project.packages / "pip")

    answer = project.launch()

    assert "Making a Python environment" in answer.stdout
    assert "tiny 1.0 inside" in answer.stdout


def test_an_environment_whose_python_is_gone_is_made_again(project: Project) -> None:
    for program in (project.folder / ".venv" / "bin").glob("python*"):
        program.unlink()
        program.symlink_to("/nowhere/python")

    assert "tiny 1.0 inside" in project.launch().stdout


def test_an_environment_of_another_python_version_is_made_again(project: Project) -> None:
    # As after an upgrade of the system: the same link, another Python behind it.
    config = project.folder / ".venv" / "pyvenv.cfg"
    config.write_text(re.sub(r"version = \d+\.\d+", "version = 3.9", config.read_text()))
    project.stamp.write_text(project.stamp.read_text().replace("# python 3.11", "# python 3.9"))

    answer = project.launch()

    assert "Making a Python environment" in answer.stdout
    assert "tiny 1.0 inside" in answer.stdout


def _slow_package(project: Project) -> Path:
    """A requirement that is built from source and, while it is, waits for a file; gives that file."""
    source = project.folder / "slow"
    source.mkdir()
    (source / "pyproject.toml").write_text('[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n')
    (source / "backend.py").write_text(f"""
import pathlib, shutil, time
here = pathlib.Path(__file__).parent
def build_wheel(folder, *_):
    with (here / "building").open("a") as file:
        file.write("x")
    while not (here / "go").exists():
        time.sleep(0.05)
    shutil.copy({str(project.wheels)!r} + "/slow-1.0-py3-none-any.whl", folder)
    return "slow-1.0-py3-none-any.whl"
""")
    project.add_wheel("slow", "1.0")
    project.require("tiny==1.0", f"slow @ {source.as_uri()}")
    return source


def test_ctrl_c_while_installing_stops_pip_and_the_next_launch_goes_on(project: Project) -> None:
    source = _slow_package(project)
    running = project.start()
    wait_for((source / "building").exists)
    os.killpg(running.pid, signal.SIGINT)

    said, _ = running.communicate(timeout=20)

    assert running.returncode == 130
    assert "Run the same command again" in said
    assert "Traceback" not in said
    (source / "go").touch()
    assert "tiny 1.0 inside" in project.launch().stdout
    assert (project.packages / "slow").exists()


def test_sigterm_while_installing_leaves_no_pip_behind(project: Project) -> None:
    source = _slow_package(project)
    running = project.start()
    wait_for((source / "building").exists)
    running.terminate()

    running.communicate(timeout=20)

    assert running.returncode == 143
    (source / "go").touch()
    assert "tiny 1.0 inside" in project.launch().stdout


def test_two_launches_at_once_install_once(project: Project) -> None:
    source = _slow_package(project)
    first = project.start()
    wait_for((source / "building").exists)
    second = project.start()
    assert second.stdout is not None
    assert "Another launch is installing" in second.stdout.readline()
    (source / "go").touch()

    first_said, _ = first.communicate(timeout=60)
    second_said, _ = second.communicate(timeout=60)

    assert first.returncode == second.returncode == 0
    assert "installed" in first_said
    assert second_said == "app ['run'] tiny 1.0 inside\n"
    assert (source / "building").read_text() == "x"


def test_a_killed_launch_keeps_the_next_one_waiting_until_its_pip_is_through(project: Project) -> None:
    source = _slow_package(project)
    first = project.start()
    wait_for((source / "building").exists)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    second = project.start()
    assert second.stdout is not None
    assert "Another launch is installing" in second.stdout.readline()

    (source / "go").touch()
    said, _ = second.communicate(timeout=60)
    assert first.stdout is not None
    first.stdout.close()

    assert second.returncode == 0, said
    assert "tiny 1.0 inside" in said


def test_what_pip_cannot_find_is_said_with_a_remedy_and_tried_again(project: Project) -> None:
    project.require("tiny==1.0", "not-there==3.0")

    answer = project.launch()

    assert answer.returncode == 1
    assert "ERROR: No matching distribution found for not-there==3.0" in answer.stderr
    assert "Then run the same command again" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert "app" not in answer.stdout
    project.add_wheel("not_there", "3.0")
    assert "tiny 1.0 inside" in project.launch().stdout


def test_without_a_network_it_says_to_check_the_connection(project: Project) -> None:
    project.require("tiny==1.0", "not-there==3.0")

    # Port 9 of this computer: nobody listens, as behind a cable that is not plugged in.
    nowhere = {"PIP_NO_INDEX": "0", "PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "1"}
    answer = project.launch(**nowhere)

    assert answer.returncode == 1
    assert "Check the connection" in answer.stderr


def test_a_package_that_does_not_build_names_the_pythons_that_work(project: Project) -> None:
    source = _slow_package(project)
    (source / "backend.py").write_text("def build_wheel(*_):\n    raise SystemExit('no compiler here')\n")

    answer = project.launch()

    assert answer.returncode == 1
    assert "3.11, 3.12 or 3.13" in answer.stderr


def test_a_disk_that_is_too_small_is_said_before_anything_is_made(tmp_path: Path) -> None:
    answer = _setup_on_disk_of("100m", Project(tmp_path / "likeness"), "test ! -e .venv/bin")

    assert "Likeness needs about 0.5 GB" in answer.stderr
    assert "Free some space" in answer.stderr


def test_a_disk_that_fills_up_while_installing_is_said_in_words(tmp_path: Path) -> None:
    project = Project(tmp_path / "likeness")
    with (
        zipfile.ZipFile(project.wheels / "tiny-1.0-py3-none-any.whl", "a", zipfile.ZIP_DEFLATED) as wheel,
        wheel.open("tiny/big", "w") as big,
    ):
        for _ in range(70):
            big.write(bytes(10_000_000))

    answer = _setup_on_disk_of("600m", project, "test ! -e .venv/installed-requirements.txt")

    assert "The disk is full" in answer.stderr
    assert "it goes on where it stopped" in answer.stderr


def test_a_folder_that_cannot_be_written_is_said_in_words(tmp_path: Path) -> None:
    answer = _setup_on_disk_of("600m", Project(tmp_path / "likeness"), "test ! -e .venv", before="mount -o remount,ro .")

    assert "can't be written" in answer.stderr
    assert "write access" in answer.stderr


def _setup_on_disk_of(size: str, project: Project, afterwards: str, before: str = "true") -> subprocess.CompletedProcess[str]:
    """Run `setup` in a copy of the project on a small disk: a tmpfs that only this command and its children see."""
    if sys.platform != "linux" or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode != 0:
        pytest.skip("a small disk takes a mount namespace, which this system or user doesn't have")
    disk = project.folder.parent / "disk"
    disk.mkdir()
    mount = f"mount -t tmpfs -o size={size} none {disk} && cp -r {project.folder}/. {disk} && cd {disk} && {before}"
    command = ["unshare", "-m", "sh", "-c", f"{mount} && ! {BASE} launch.py setup && {afterwards}"]
    answer = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", env=project.environment, timeout=120)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "Traceback" not in answer.stderr
    return answer


@pytest.mark.skipif(sys.platform != "linux", reason="Python's library is taken apart with links, as Debian's package does it")
def test_a_python_without_ensurepip_says_what_to_install(tmp_path: Path) -> None:
    # Debian ships venv without ensurepip until python3-venv is installed: the same library, without that one package.
    project = Project(tmp_path / "likeness")
    home = Path(os.path.realpath(BASE)).parent.parent
    name = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    library = tmp_path / "python" / "lib" / name
    library.mkdir(parents=True)
    for part in (home / "lib" / name).iterdir():
        if part.name != "ensurepip":
            (library / part.name).symlink_to(part)

    answer = project.launch(PYTHONHOME=str(tmp_path / "python"))

    assert answer.returncode == 1
    assert "ensurepip module is missing" in answer.stderr
    if Path("/etc/debian_version").exists():
        assert f"sudo apt install {name}-venv" in answer.stderr


def test_an_old_python_is_told_what_is_needed(tmp_path: Path) -> None:
    old = _old_python()
    if old is None:
        pytest.skip("this computer has no Python older than 3.11")
    project = Project(tmp_path / "likeness")

    answer = project.launch(python=old)

    assert answer.returncode == 1
    assert "Likeness needs Python 3.11 or newer; this is 3." in answer.stderr
    assert "Traceback" not in answer.stderr
    assert not (project.folder / ".venv").exists()


def _old_python() -> str | None:
    places = [Path(found) for found in (shutil.which(f"python3.{minor}") for minor in (8, 9, 10)) if found]
    places += sorted(Path.home().glob(".pyenv/versions/3.[789].*/bin/python")) + sorted(
        Path.home().glob(".pyenv/versions/3.10.*/bin/python")
    )
    for place in places:
        ask = subprocess.run([str(place), "-c", "import sys; print(sys.version_info[:2] < (3, 11))"], capture_output=True, text=True)
        if ask.stdout.strip() == "True":
            return str(place)
    return None


def _with_tools(project: Project) -> None:
    """Checkers and a pytest that only say that they were called, with a status from the environment."""
    tool = "import os, sys\nprint('{0} was run with', sys.argv[1:], flush=True)\nsys.exit(int(os.environ.get('{0}_status', '0')))\n"
    for name in ("ruff", "basedpyright", "pytest"):
        project.add_wheel(name, "1.0", **{f"{name}__slash____main__.py": tool.format(name)})
    project.add_wheel("importlinter", "1.0", importlinter__slash__cli="", **{"importlinter__slash__cli.py": _LINT_IMPORTS})
    project.require("tiny==1.0", dev=("ruff", "basedpyright", "pytest", "importlinter"))


_LINT_IMPORTS = """
import os, sys
def lint_imports_command():
    print("importlinter was run", flush=True)
    sys.exit(int(os.environ.get("importlinter_status", "0")))
"""


def test_check_runs_everything_and_reports_everything(project: Project) -> None:
    _with_tools(project)

    well = project.launch("check")
    ill = project.launch("check", ruff_status="1", importlinter_status="3")

    assert well.returncode == 0, well.stdout + well.stderr
    assert ill.returncode == 1
    for words in ("ruff was run with ['check']", "['format', '--check']", "basedpyright was run", "importlinter was run"):
        assert words in well.stdout
        assert words in ill.stdout
    report = ill.stdout.rpartition("---")[2].split("\n")
    assert [" ".join(line.split()) for line in report if line] == [
        "lint failed (exit status 1)",
        "formatting failed (exit status 1)",
        "types ok",
        "imports failed (exit status 3)",
    ]


def test_fix_mends(project: Project) -> None:
    _with_tools(project)

    answer = project.launch("fix")

    assert "ruff was run with ['check', '--fix']" in answer.stdout
    assert "ruff was run with ['format']" in answer.stdout


def test_test_runs_pytest_with_what_was_given_and_its_status(project: Project, tmp_path: Path) -> None:
    _with_tools(project)
    # The browser and the web server are there already, as far as a search for them can tell.
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("chromium", "nginx"):
        (programs / name).write_text("#!/bin/sh\n")
        (programs / name).chmod(0o755)

    answer = project.launch("test", "--long", "tests/test_x.py", PATH=f"{programs}:{os.environ['PATH']}", pytest_status="5")

    assert "pytest was run with ['--long', 'tests/test_x.py']" in answer.stdout
    assert answer.returncode == 5
    assert "Getting" not in answer.stdout


def test_what_testing_needs_is_installed_beside_what_running_needs(project: Project) -> None:
    _with_tools(project)
    project.launch("fix")
    assert project.launch().stdout == "app ['run'] tiny 1.0 inside\n"

    project.add_wheel("tiny", "2.0")
    project.require("tiny==2.0", dev=("ruff", "basedpyright", "pytest", "importlinter"))
    answer = project.launch("fix")

    assert "packages installed" in answer.stdout
    assert project.launch().stdout == "app ['run'] tiny 2.0 inside\n"


def test_bench_runs_all_or_the_named_and_lists_them(project: Project) -> None:
    folder = project.folder / "bench"
    folder.mkdir()
    (folder / "__init__.py").write_text('"""Benchmarks."""\n')
    (folder / "rig.py").write_text('"""What benchmarks share."""\n')
    for name, status in (("quick", 0), ("slow", 4)):
        (folder / f"{name}.py").write_text(
            f'"""How {name} it is.\n\nMore."""\nimport sys\nif __name__ == "__main__":\n'
            f"    print('{name} ran with', sys.argv[1:], flush=True)\n    sys.exit({status})\n"
        )

    listed = project.launch("bench", "--list")
    everything = project.launch("bench")
    one = project.launch("bench", "quick", "--runs", "3")
    unknown = project.launch("bench", "neither")

    assert [line.split(maxsplit=1)[0] for line in listed.stdout.splitlines()] == ["quick", "slow"]
    assert "How quick it is." in listed.stdout
    assert everything.returncode == 1
    assert "quick ran with []" in everything.stdout
    assert "slow ran with []" in everything.stdout
    assert one.returncode == 0
    assert "quick ran with ['--runs', '3']" in one.stdout
    assert "slow" not in one.stdout
    assert unknown.returncode == 2
    assert "no benchmark called neither" in unknown.stderr


def test_the_size_of_pytorch_is_said_before_it_is_installed(project: Project) -> None:
    project.add_wheel("torch", "2.13.0")
    project.require("tiny==1.0", "torch==2.13.0")

    # A proxy that isn't there stands for an index that doesn't answer.
    answer = project.launch(https_proxy="http://127.0.0.1:9", no_proxy="")

    assert answer.returncode == 0, answer.stderr
    before, _, after = answer.stdout.partition("packages installed")
    assert after
    if sys.platform == "linux":
        assert "GB" in before
    assert "PyTorch" in before
    assert "PyTorch" not in project.launch("setup").stdout
