"""Getting a program onto this computer: the archive of a commit, an environment of its own, and the packages it needs.

Every step is done or not done, and a step that is done is not done again: an installation that was interrupted goes on.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

import httpx
import psutil

from engines.installing.torch_builds import Choice, choose, this_machine
from engines.installing.tree import SHA1, SHA256, NotATree, archive_ids
from studio.errors import (
    ChecksumMismatch,
    ChecksumMissing,
    ContractMismatch,
    DependencyMissing,
    DiskFull,
    DownloadFailed,
    InvalidFieldValue,
    LikenessError,
    from_os_error,
)
from studio.files import replace_quickly, write_atomically
from studio.managed import Installation, is_alive
from studio.pins import Pin, Program, Tree

MB = 1_000_000
TRIES = 4
STALLED_S = 30.0
LARGEST_ARCHIVE = 2000 * MB
LARGEST_UNPACKED = 4000 * MB
# A repository at a commit, as requirements name it.
GIT = re.compile(r"(?:[\w.\[\]-]+ *@ *)?git\+(?P<repository>https?://[^@\s#]+)@(?P<commit>[0-9a-f]{40})(?:#\S*)?")
DONE = "installed.json"
# From this version on pip says how far a download is in lines that a program can read. Python 3.11 and 3.12 come with older ones.
TELLS_PROGRESS, NO_PIP = (24, 1), (0, 0)
PIP = "pip==26.3"
LINES_KEPT = 60
RUNNING = "step.json"
NO_LINE = (
    "Failed to establish a new connection",
    "NewConnectionError",
    "NameResolutionError",
    "Temporary failure in name resolution",
    "getaddrinfo failed",
    "Max retries exceeded",
    "ReadTimeoutError",
    "ConnectTimeoutError",
    "Connection broken",
    "IncompleteRead",
    "ProxyError",
    "SSLError",
)

Say = Callable[[float, str], None]
"""Progress from 0 to 1 and what is being done. Raises what ends the installation."""


@dataclass(frozen=True)
class Proof:
    """A first run of what was installed: a `command` of its Python in its folder, with a file that holds what is `given`, and what it
    says once everything was there.
    """

    command: tuple[str, ...]
    given: bytes
    says: str


@dataclass(frozen=True)
class Place:
    """Where a program is put: `root` is all of it, `folder` one commit's, with `source` and `venv` in it, `log` what is said meanwhile."""

    root: Path
    folder: Path

    @property
    def source(self) -> Path:
        return self.folder / "source"

    @property
    def python(self) -> Path:
        return Path(python_in(str(self.folder / "venv"), windows=os.name == "nt"))

    @property
    def log(self) -> Path:
        return self.root / "install.log"


def install(
    program: Program,
    root: Path,
    pin: Pin,
    commit: str,
    say: Say,
    *,
    shared: Path | None = None,
    build: str = "",
    choice: Callable[[], Choice] | None = None,
    proof: Proof | None = None,
) -> Installation:
    """Install a commit below `root/versions`. `shared` is a Python whose packages it uses, `build` a torch of the pins file by its name,
    `choice` finds one where none is named. With `proof` it is only installed once that was run.

    Raises DiskFull before anything is written or with nothing half done, DownloadFailed, ChecksumMismatch, ChecksumMissing,
    DependencyMissing, InvalidFieldValue, and what `say` raises. What was downloaded is kept for the next time.
    """
    place = Place(root, root / "versions" / commit[:12])
    found = Installation(folder=str(place.source), python=str(place.python), version="", commit=commit, own=True)
    if (place.folder / DONE).is_file():
        before = Installation.model_validate_json((place.folder / DONE).read_bytes())
        return found.model_copy(update={"version": program.version_in(place.source), "torch": before.torch})
    try:
        root.mkdir(parents=True, exist_ok=True)
        _end_leftover(root)
        if shared is None:
            base = _base_python(program, pin)
            build, because = _torch_for(program, pin, build, choice or (lambda: choose(this_machine(), program)))
            found = found.model_copy(update={"torch": build})
            _check_disk(program, root, pin.torch[build].disk_mb)
            _note(place.log, f"Installing {program.title} {commit} with torch for {build}: {because}")
        else:
            base = shared
            # An environment that shares its packages holds the program and little more.
            _check_disk(program, root, min(torch.disk_mb for torch in pin.torch.values()) // 5)
            _note(place.log, f"Installing {program.title} {commit} with the packages of {shared}")
        _fill(program, place, pin, commit, say, base, build, shared=shared)
        if proof is not None:
            _prove(program, place, proof, say)
        say(0.98, "Almost done")
        found = found.model_copy(update={"version": program.version_in(place.source)})
        write_atomically(place.folder / DONE, found.model_dump_json().encode())
        _note(place.log, "Installed")
    except OSError as error:
        problem = from_os_error(error, f"install {program.title}")
        if isinstance(problem, DiskFull):
            _make_room(place)
        raise problem from error
    except DiskFull:
        _make_room(place)
        raise
    return found


def _fill(program: Program, place: Place, pin: Pin, commit: str, say: Say, base: Path, build: str, *, shared: Path | None) -> None:
    log, downloads = place.log, place.root / "downloads"
    if not place.source.is_dir():
        tree = pin.tree if commit == pin.commit else None
        archive = _fetched(Archive(program.title, pin.archive.replace("{commit}", commit), commit, tree), downloads, log, say, 0.0, 0.2)
        say(0.2, f"Unpacking {program.title}")
        _unpack(program, archive, place.source, say)
        archive.unlink()
    pip = _environment(program, place, base, say, shared)
    kept = ["-c", pin.constraints] if pin.constraints and commit == pin.commit else []
    if shared is None:
        torch = pin.torch[build]
        index = ["--index-url", torch.index] if torch.index else []
        run_step([*pip, *torch.packages, *index], log, say, Step("install torch", f"Installing torch for {build}", 0.3, 0.8))
        # Nothing that is asked for afterwards may bring another torch: the parts of this one fit together.
        versions = "".join(f"{package}\n" for package in torch.packages if "==" in package)
        write_atomically(place.folder / "torch.txt", versions.encode())
    own_torch = ["-c", str(place.folder / "torch.txt")] if shared is None else []
    what = f"what {program.title} needs"
    requirements = _without_git(program, place, pin, downloads, say)
    run_step([*pip, "-r", str(requirements), *kept, *own_torch], log, say, Step(f"install {what}", f"Installing {what}", 0.8, 0.96))
    if pin.more and shared is None:
        run_step([*pip, *pin.more, *own_torch], log, say, Step(f"install {what}", f"Installing {what}", 0.96, 0.97))
    for archive in downloads.glob("*.zip"):
        archive.unlink()


def python_in(venv: str, *, windows: bool) -> str:
    """The Python of a virtual environment, where the system is Windows or isn't."""
    return str(PureWindowsPath(venv, "Scripts", "python.exe") if windows else PurePosixPath(venv, "bin", "python"))


def _prove(program: Program, place: Place, proof: Proof, say: Say) -> None:
    given = place.folder / "proof.json"
    write_atomically(given, proof.given)
    step = Step(f"start {program.title}", f"Seeing whether {program.title} starts", 0.97, 0.98)
    run_step([str(place.python), *proof.command, str(given)], place.log, say, step, folder=place.source, says=proof.says)


def _torch_for(program: Program, pin: Pin, wanted: str, choice: Callable[[], Choice]) -> tuple[str, str]:
    """The build by its name, and why it is that one. Raises DependencyMissing for a driver that suits none, InvalidFieldValue."""
    variable = program.variable("torch")
    if wanted:
        if wanted not in pin.torch:
            raise InvalidFieldValue(
                f"There is no torch “{wanted}”.", field=f"{program.name}_torch", remedy=f"Choose one of {', '.join(sorted(pin.torch))}."
            )
        return wanted, f"{variable} says so"
    chosen = choice()
    if chosen.problem:
        raise DependencyMissing(chosen.problem, remedy=chosen.remedy)
    if chosen.build not in pin.torch:
        raise ContractMismatch(f"The pins file says nothing of a torch “{chosen.build}”.", remedy=f"Add it, or set {variable}.")
    return chosen.build, chosen.because


def _base_python(program: Program, pin: Pin) -> Path:
    """A Python that the program runs with: ours, or another one of this computer. Raises DependencyMissing."""
    own = sys.version_info[:2]
    if not pin.python:
        return Path(sys.executable)
    oldest, newest = (tuple(int(part) for part in version.split(".")) for version in (pin.python[0], pin.python[-1]))
    if oldest <= own <= newest:
        return Path(sys.executable)
    for minor in range(newest[1], oldest[1] - 1, -1):
        found = shutil.which(f"python{newest[0]}.{minor}")
        if found and not subprocess.run([found, "-c", "import venv, ensurepip"], capture_output=True).returncode:
            return Path(found)
    raise DependencyMissing(
        f"{program.title} {pin.version} runs with Python {pin.python[0]} to {pin.python[-1]}, and this is {own[0]}.{own[1]}.",
        remedy=f"Install Python {pin.python[-1]} beside it, so that `python{pin.python[-1]}` starts it, then press Install again.",
    )


def _check_disk(program: Program, root: Path, needed: int) -> None:
    free = shutil.disk_usage(root).free // MB
    if free < needed:
        raise DiskFull(
            f"{program.title} needs about {needed / 1000:.1f} GB, and {free / 1000:.1f} GB are free.",
            remedy="Free some space on the drive of the data folder, or choose another folder with --data.",
        )


def _make_room(place: Place) -> None:
    """A full disk keeps everything else from working: nothing half done stays on it."""
    shutil.rmtree(place.root / "downloads", ignore_errors=True)
    shutil.rmtree(place.folder, ignore_errors=True)
    shutil.rmtree(_part(place.folder), ignore_errors=True)


def _part(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.part")


@dataclass(frozen=True)
class Archive:
    """An archive of a commit: of what, where it is, and its tree where that is known."""

    title: str
    url: str
    commit: str
    tree: Tree | None


def _fetched(archive: Archive, folder: Path, log: Path, say: Say, begin: float, end: float) -> Path:
    """Download what isn't there yet, and check it; what is wrong is thrown away."""
    whole = folder / f"{archive.commit}.zip"
    _note(log, f"Getting {archive.url}")
    _download(archive, whole, say, begin, end)
    try:
        proven = _check(whole, archive, lambda note: say(end, note))
    except LikenessError:
        # Bytes that are wrong don't become right by going on with them.
        whole.unlink()
        raise
    _note(log, proven)
    return whole


def _download(archive: Archive, whole: Path, say: Say, begin: float, end: float) -> None:
    part = whole.with_suffix(".zip.part")
    whole.parent.mkdir(parents=True, exist_ok=True)
    if whole.is_file():
        return
    for attempt in range(TRIES):
        try:
            _fetch(archive, part, say, begin, end)
            break
        except httpx.HTTPError as error:
            if attempt == TRIES - 1:
                words = f"{archive.title} could not be downloaded from {httpx.URL(archive.url).host}: {_reason(error)}."
                raise DownloadFailed(words, remedy="Check the connection and press Install again; what arrived is kept.") from error
            for _ in range(10 * 2**attempt):
                say(begin, f"The line broke ({_reason(error)}); it goes on in a moment")
                time.sleep(0.1)
    part.rename(whole)


def _fetch(archive: Archive, part: Path, say: Say, begin: float, end: float) -> None:
    have = part.stat().st_size if part.is_file() else 0
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
    with httpx.stream("GET", archive.url, headers=headers, follow_redirects=True, timeout=STALLED_S) as answer:
        if answer.status_code == 416:
            # All of it was here already, or it is another file by now: from the start, then.
            part.unlink()
            raise httpx.ReadError("what was here does not fit")
        if answer.status_code in (404, 410):
            raise DownloadFailed(
                f"This commit of {archive.title} is not there to download.", remedy="Check the commit, or take the pinned one."
            )
        answer.raise_for_status()
        goes_on = answer.status_code == 206
        got = have if goes_on else 0
        length = int(answer.headers.get("content-length") or 0)
        total = got + length if length else 0
        with part.open("ab" if goes_on else "wb") as file:
            for chunk in answer.iter_raw():
                file.write(chunk)
                got += len(chunk)
                if got > LARGEST_ARCHIVE:
                    raise _too_large(archive.title)
                of = f" of {total / MB:.0f}" if total else ""
                far = got / total if total else 0.25
                say(begin + (end - begin) * far, f"Downloading {archive.title}: {got / MB:.0f}{of} MB")
        if total and got < total:
            raise httpx.ReadError("the line broke")


def _check(path: Path, archive: Archive, tell: Callable[[str], None]) -> str:
    """What is proven of an archive, in words. Raises ChecksumMismatch, ChecksumMissing, DownloadFailed."""
    title, tree = archive.title, archive.tree
    try:
        with zipfile.ZipFile(path) as opened:
            _check_size(opened, title)
            # An archive that git made says which commit it is; one that was packed anew holds the same files and doesn't.
            said = opened.comment.decode("ascii", "replace").strip()
            if said and said != archive.commit:
                raise ChecksumMismatch("What was downloaded is another commit than was asked for; it was thrown away.")
            if tree is not None:
                tell("Checking what was downloaded")
                found = archive_ids(opened, lambda: tell(""))
                if found != {SHA1: tree.sha1, SHA256: tree.sha256}:
                    raise ChecksumMismatch(f"What was downloaded is not the {title} that was pinned; it was thrown away.")
                return f"Every file is that of the pinned commit: tree {tree.sha1}, by SHA-256 {tree.sha256}"
    except NotATree as error:
        raise ChecksumMismatch(f"What was downloaded is not the {title} that was pinned; it was thrown away. {error}") from error
    except (zipfile.BadZipFile, EOFError) as error:
        raise ChecksumMismatch("What was downloaded is not a whole archive; it was thrown away.") from error
    if not said:
        raise ChecksumMissing(
            "The archive doesn't say which commit it is, and nothing is known to check it by.",
            remedy="Write the ids of its tree into the pins file.",
        )
    return "The archive says that it is this commit. Its files were not checked one by one: nothing is pinned for it"


def _too_large(title: str) -> LikenessError:
    return DownloadFailed(f"What came is far too large to be {title}.", remedy="Check the address in engines/pins.json.")


def _check_size(archive: zipfile.ZipFile, title: str) -> None:
    if sum(entry.file_size for entry in archive.infolist()) > LARGEST_UNPACKED:
        raise _too_large(title)


def _unpack(program: Program, archive: Path, source: Path, say: Say) -> None:
    part = _part(source.parent)
    shutil.rmtree(part, ignore_errors=True)
    try:
        with zipfile.ZipFile(archive) as opened:
            for entry in opened.infolist():
                # Archives of a commit hold one folder with everything in it.
                inside = PurePosixPath(*PurePosixPath(entry.filename).parts[1:])
                if entry.is_dir() or inside == PurePosixPath() or stat.S_ISLNK(entry.external_attr >> 16):
                    continue
                if entry.filename.startswith("/") or ".." in inside.parts or "\\" in entry.filename or ":" in entry.filename:
                    raise ChecksumMismatch("The archive holds a path that leads out of its folder; nothing of it was used.")
                say(0.2, "")
                target = part / inside
                target.parent.mkdir(parents=True, exist_ok=True)
                with opened.open(entry) as packed, target.open("wb") as file:
                    shutil.copyfileobj(packed, file)
        if not program.is_in(part):
            raise ContractMismatch(f"What was downloaded is not {program.title}.", remedy="Check the address in engines/pins.json.")
        for name in program.blank:
            (part / name).touch()
        source.parent.mkdir(parents=True, exist_ok=True)
        part.rename(source)
    except zipfile.BadZipFile as error:
        archive.unlink()
        raise ChecksumMismatch("What was downloaded is broken; it was thrown away.") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _without_git(program: Program, place: Place, pin: Pin, downloads: Path, say: Say) -> Path:
    """The requirements as a file in which what lies in repositories comes as archives of its commits: git need not be here, and what is
    pinned is checked. A repository without a commit is left to pip.
    """
    plain = place.source / "requirements.txt"
    lines = _lines(plain)
    if not any(GIT.fullmatch(line) for line in lines):
        return plain
    made: list[str] = []
    for line in lines:
        if (found := GIT.fullmatch(line)) is None:
            made.append(line)
            continue
        repository, commit = found["repository"].removesuffix(".git"), found["commit"]
        title = repository.rpartition("/")[2]
        archive = Archive(title, f"{repository}/archive/{commit}.zip", commit, pin.sources.get(commit))
        made.append(str(_fetched(archive, downloads, place.log, say, 0.8, 0.8)))
    flat = place.folder / "requirements.txt"
    write_atomically(flat, "".join(f"{line}\n" for line in made).encode())
    return flat


def _lines(file: Path, depth: int = 0) -> list[str]:
    """What a file of requirements asks for, with the files that it names. Raises ContractMismatch for one that names itself."""
    if depth > 9:
        raise ContractMismatch("The requirements name each other in a circle.", remedy="Take another commit.")
    found: list[str] = []
    for raw in file.read_text("utf-8").splitlines():
        line = re.sub(r"(^|\s)#.*", "", raw).strip()
        if other := re.fullmatch(r"(?:-r|--requirement)[ =]?\s*(\S+)", line):
            found += _lines(file.parent / other[1], depth + 1)
        elif line:
            found.append(line)
    return found


def _environment(program: Program, place: Place, base: Path, say: Say, shared: Path | None) -> list[str]:
    """Make it where it isn't yet; gives the command that installs packages into it."""
    python, log = place.python, place.log
    step = Step("make a Python environment", "Making its Python environment", 0.25, 0.25)
    say(step.begin, step.note)
    version = _pip_version(python)
    if version == NO_PIP:
        venv = place.folder / "venv"
        run_step([str(base), "-m", "venv", "--without-pip", "--clear", str(venv)], log, say, step)
        if shared is not None:
            _share(program, shared, python)
            version = _pip_version(python)
    if version == NO_PIP:
        # Not by venv itself, which keeps to itself what went wrong in it.
        run_step([str(python), "-m", "ensurepip"], log, say, step)
        version = _pip_version(python)
    if shared is None and version < TELLS_PROGRESS:
        run_step([str(python), *_PIP, "install", PIP], log, say, Step("get a newer pip", step.note, 0.28, 0.28))
        version = TELLS_PROGRESS
    return [str(python), *_PIP, "install", *(["--progress-bar", "raw"] if version >= TELLS_PROGRESS else [])]


def _share(program: Program, shared: Path, python: Path) -> None:
    """Let one Python find what another has installed."""
    ask = "import json, sysconfig; print(json.dumps([sysconfig.get_path('purelib'), sysconfig.get_path('platlib')]))"
    theirs = _asked(program, [str(shared), "-c", ask])
    own = _asked(program, [str(python), "-c", ask])
    write_atomically(Path(own[0]) / "shared.pth", "".join(f"{path}\n" for path in dict.fromkeys(theirs)).encode())


def _pip_version(python: Path) -> tuple[int, int]:
    """The version of a Python's pip; NO_PIP where there is none."""
    if not python.exists():
        return NO_PIP
    done = subprocess.run([str(python), *_PIP, "--version"], capture_output=True, text=True)
    version = re.match(r"pip (\d+)\.(\d+)", done.stdout)
    return (int(version[1]), int(version[2])) if version else NO_PIP


def _asked(program: Program, command: Sequence[str]) -> list[str]:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise DependencyMissing(f"{command[0]} doesn't work as a Python.", remedy=f"Check {program.variable('python')}.")
    return json.loads(done.stdout)


_SECRET = ("TOKEN", "SECRET", "PASSWORD", "API_KEY", "DATABASE_URL")
_PIP = ("-m", "pip", "--disable-pip-version-check", "--no-input")


@dataclass(frozen=True)
class Step:
    """A program that runs for a while: what it does, for an error and for the page, and from where to where progress goes with it."""

    what: str
    note: str
    begin: float
    end: float


def run_step(command: Sequence[str], log: Path, say: Say, step: Step, *, folder: Path | None = None, says: str = "") -> None:
    """Run a program to its end, in `folder`; what it says goes to the log line by line, how far its downloads are to `say`.

    It ended well with the status 0; with `says` when it said that, whatever its status.

    Raises DiskFull, DownloadFailed, DependencyMissing, and what `say` raises, having ended the program.
    """
    _note(log, f"$ {' '.join(command)}")
    say(step.begin, step.note)
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        cwd=folder,
        env={**harmless(), "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8:replace"},
    )
    running = log.parent / RUNNING
    replace_quickly(running, json.dumps([process.pid, _born(process.pid)]).encode())
    said = _Said(step)
    reader = threading.Thread(target=_read, args=(process, log, said), name="what a program says", daemon=True)
    reader.start()
    try:
        while process.poll() is None:
            say(said.progress, said.note)
            time.sleep(0.1)
        reader.join()
    except BaseException:
        end_group(process)
        raise
    finally:
        running.unlink(missing_ok=True)
    if said.trouble:
        raise said.trouble
    well = any(says in line for line in said.lines) if says else not process.returncode
    if not well:
        raise what_failed(step.what, said.lines)


def harmless() -> dict[str, str]:
    """Our environment without our settings and without what is secret, for programs of others."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("LIKENESS_") and not any(word in name.upper() for word in _SECRET)
    }


class _Said:
    """What a program said so far: its last lines, and how far that is."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self._name = ""
        self.progress, self.note = step.begin, step.note
        self.lines: list[str] = []
        self.trouble: OSError | None = None

    def hear(self, line: str) -> bool:
        """Take a line; False for one that only says how far a download is."""
        if far := re.fullmatch(r"Progress (\d+) of (\d+)", line):
            done, whole = int(far[1]), max(int(far[2]), 1)
            if whole >= 10 * MB:
                self.note = f"{self._step.note}: {self._name} {done / MB:.0f} of {whole / MB:.0f} MB"
                # pip doesn't say how much is still to come: the largest file so far stands for all of it.
                self.progress = max(self.progress, self._step.begin + 0.9 * (self._step.end - self._step.begin) * done / whole)
            return False
        if got := re.match(r"\s*Downloading (?:\S*/)?([A-Za-z0-9_.]+?)-\d", line):
            self._name = got[1]
        elif line.startswith("Installing collected packages"):
            self.note = f"{self._step.note}: putting it in place"
        self.lines = [*self.lines[-LINES_KEPT:], line]
        return True


def _read(process: subprocess.Popen[bytes], log: Path, said: _Said) -> None:
    assert process.stdout is not None
    try:
        with process.stdout, log.open("ab") as output:
            for raw in process.stdout:
                if said.hear(raw.decode("utf-8", "replace").rstrip()):
                    output.write(raw)
                    output.flush()
    except OSError as error:
        said.trouble = error
        end_group(process)


def what_failed(what: str, said: Sequence[str]) -> LikenessError:
    """What to tell a person whose pip failed, by its last lines."""
    if any(sign in line for line in said for sign in ("No space left on device", "[Errno 28]", "not enough space on the disk")):
        return DiskFull(f"The disk is full: could not {what}.")
    last = next((line for line in reversed(said) if "ERROR" in line), said[-1] if said else "it said nothing")
    last = f"{last[:300].rstrip('.')}."
    if any(sign in line for line in said for sign in NO_LINE):
        return DownloadFailed(
            f"Could not {what}: the place where Python packages come from can't be reached.",
            remedy="Check the connection, then press Install again: what arrived is kept. The log says which address it was.",
        )
    if any("No matching distribution found" in line for line in said):
        return DependencyMissing(
            f"Could not {what}: {last}",
            remedy=f"Perhaps there is none for Python {sys.version_info.major}.{sys.version_info.minor} on this system: "
            "install Python 3.12 and start Likeness with it. "
            "Perhaps the connection is down: then press Install again.",
        )
    return DependencyMissing(f"Could not {what}: {last}", remedy="Look at the log, then press Install again; it goes on where it was.")


def _end_leftover(root: Path) -> None:
    """End the program of an installation whose worker was killed: two of them must not write into one environment."""
    try:
        pid, born = json.loads((root / RUNNING).read_bytes())
    except (OSError, ValueError):
        return
    if is_alive(pid, born):
        end_process(pid)
    (root / RUNNING).unlink(missing_ok=True)


def end_process(pid: int) -> None:
    """End a process that isn't a child of ours, with what it started, and wait until it is gone."""
    try:
        process = psutil.Process(pid)
        for each in (*process.children(recursive=True), process):
            each.kill()
        process.wait(10)
    except (psutil.NoSuchProcess, psutil.TimeoutExpired):
        pass


def _born(pid: int) -> float:
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return 0.0


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process and what it started, at once."""
    if os.name == "nt":
        process.kill()
    else:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    process.wait()


def _note(log: Path, line: str) -> None:
    with log.open("a", encoding="utf-8") as file:
        file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")


def _reason(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        return f"it answered {error.response.status_code}"
    return str(error) or type(error).__name__
