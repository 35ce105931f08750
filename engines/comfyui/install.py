"""Getting a ComfyUI onto this computer: the archive of a commit, an environment of its own, and the packages it needs.

Every step is done or not done, and a step that is done is not done again: an installation that was interrupted goes on.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import signal
import stat
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

import httpx

from studio.errors import (
    ChecksumMismatch,
    ChecksumMissing,
    ContractMismatch,
    DependencyMissing,
    DiskFull,
    DownloadFailed,
    LikenessError,
    from_os_error,
)
from studio.files import write_atomically
from studio.managed import Installation, Pin, is_comfyui, tail, version_in

MB = 1_000_000
TRIES = 4
STALLED_S = 30.0
LARGEST_ARCHIVE = 2000 * MB
LARGEST_UNPACKED = 4000 * MB
DONE = "installed.json"

Say = Callable[[float, str], None]
"""Progress from 0 to 1 and what is being done. Raises what ends the installation."""


def install(root: Path, pin: Pin, commit: str, say: Say, *, shared: Path | None = None) -> Installation:
    """Install a commit below `root/versions`. `shared` is a Python whose packages it uses.

    Raises DiskFull before anything is written or with nothing half done, DownloadFailed, ChecksumMismatch, ChecksumMissing,
    DependencyMissing, and what `say` raises. What was downloaded is kept for the next time.
    """
    place = root / "versions" / commit[:12]
    source, venv, log = place / "source", place / "venv", root / "install.log"
    python = venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    found = Installation(folder=str(source), python=str(python), version="", commit=commit, own=True)
    if (place / DONE).is_file():
        return found.model_copy(update={"version": version_in(source)})
    device = "shared" if shared else device_here()
    try:
        root.mkdir(parents=True, exist_ok=True)
        _check_disk(root, pin, device)
        _note(log, f"Installing ComfyUI {commit} for {device}")
        if not source.is_dir():
            archive = _download(root / "downloads", pin, commit, say)
            say(0.2, "Unpacking ComfyUI")
            _unpack(archive, source, say)
            archive.unlink()
        _environment(venv, python, log, say, shared)
        if shared is None:
            torch = pin.torch[device]
            say(0.3, f"Installing torch for {device}: the largest part")
            index = ["--index-url", torch.index] if torch.index else []
            _run(
                [str(python), *_PIP, "install", "torch", "torchvision", "torchaudio", *index],
                log,
                lambda: say(0.3, ""),
                what="install torch",
            )
        say(0.8, "Installing what ComfyUI needs")
        command = [str(python), *_PIP, "install", "-r", str(source / "requirements.txt")]
        _run(command, log, lambda: say(0.8, ""), what="install what ComfyUI needs")
        say(0.98, "Almost done")
        found = found.model_copy(update={"version": version_in(source)})
        write_atomically(place / DONE, found.model_dump_json().encode())
        _note(log, "Installed")
    except OSError as error:
        problem = from_os_error(error, "install ComfyUI")
        if isinstance(problem, DiskFull):
            _make_room(root, place)
        raise problem from error
    except DiskFull:
        _make_room(root, place)
        raise
    return found


def device_here() -> str:
    """What torch is to compute on here: cuda, rocm, mps or cpu. Asks the drivers, not torch, which isn't there yet."""
    if sys.platform == "darwin":
        return "mps" if platform.machine() == "arm64" else "cpu"
    if shutil.which("nvidia-smi") and subprocess.run(["nvidia-smi", "-L"], capture_output=True).stdout.strip():
        return "cuda"
    return "rocm" if sys.platform == "linux" and Path("/dev/kfd").exists() else "cpu"


def _check_disk(root: Path, pin: Pin, device: str) -> None:
    # An environment that shares its packages holds ComfyUI and little more.
    needed = min(torch.disk_mb for torch in pin.torch.values()) // 5 if device == "shared" else pin.torch[device].disk_mb
    free = shutil.disk_usage(root).free // MB
    if free < needed:
        raise DiskFull(
            f"ComfyUI needs about {needed / 1000:.1f} GB, and {free / 1000:.1f} GB are free.",
            remedy="Free some space on the drive of the data folder, or choose another folder with --data.",
        )


def _make_room(root: Path, place: Path) -> None:
    """A full disk keeps everything else from working: nothing half done stays on it."""
    shutil.rmtree(root / "downloads", ignore_errors=True)
    shutil.rmtree(place, ignore_errors=True)
    shutil.rmtree(place.with_name(f"{place.name}.part"), ignore_errors=True)


def _download(folder: Path, pin: Pin, commit: str, say: Say) -> Path:
    url, whole = pin.archive.replace("{commit}", commit), folder / f"{commit}.zip"
    part = whole.with_suffix(".zip.part")
    folder.mkdir(parents=True, exist_ok=True)
    if not whole.is_file():
        for attempt in range(TRIES):
            try:
                _fetch(url, part, say)
                break
            except httpx.HTTPError as error:
                if attempt == TRIES - 1:
                    words = f"ComfyUI could not be downloaded from {httpx.URL(url).host}: {_reason(error)}."
                    raise DownloadFailed(words, remedy="Check the connection and press Install again; what arrived is kept.") from error
                for _ in range(10 * 2**attempt):
                    say(0.0, f"The line broke ({_reason(error)}); it goes on in a moment")
                    time.sleep(0.1)
        part.rename(whole)
    try:
        _check(whole, commit, pin.sha256 if commit == pin.commit else None)
    except LikenessError:
        # Bytes that are wrong don't become right by going on with them.
        whole.unlink()
        raise
    return whole


def _fetch(url: str, part: Path, say: Say) -> None:
    have = part.stat().st_size if part.is_file() else 0
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
    with httpx.stream("GET", url, headers=headers, follow_redirects=True, timeout=STALLED_S) as answer:
        if answer.status_code == 416:
            # All of it was here already, or it is another file by now: from the start, then.
            part.unlink()
            raise httpx.ReadError("what was here does not fit")
        if answer.status_code in (404, 410):
            raise DownloadFailed("This commit of ComfyUI is not there to download.", remedy="Check the commit, or take the pinned one.")
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
                    raise DownloadFailed("What came is far too large to be ComfyUI.", remedy="Check the address in engines/pins.json.")
                of = f" of {total / MB:.0f}" if total else ""
                say(0.2 * got / total if total else 0.05, f"Downloading ComfyUI: {got / MB:.0f}{of} MB")
        if total and got < total:
            raise httpx.ReadError("the line broke")


def _check(archive: Path, commit: str, sha256: str | None) -> None:
    if sha256 is not None:
        with archive.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != sha256:
            raise ChecksumMismatch("What was downloaded is not the ComfyUI that was pinned; it was thrown away.")
        return
    # An archive that git made says which commit it is.
    try:
        with zipfile.ZipFile(archive) as opened:
            said = opened.comment.decode("ascii", "replace").strip()
    except (zipfile.BadZipFile, OSError) as error:
        raise ChecksumMismatch("What was downloaded is not an archive; it was thrown away.") from error
    if not said:
        raise ChecksumMissing(
            "The archive doesn't say which commit it is, and no checksum is known for it.", remedy="Write its SHA-256 into the pins file."
        )
    if said != commit:
        raise ChecksumMismatch("What was downloaded is another commit than was asked for; it was thrown away.")


def _unpack(archive: Path, source: Path, say: Say) -> None:
    part = source.parent.with_name(f"{source.parent.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = opened.infolist()
            if sum(entry.file_size for entry in entries) > LARGEST_UNPACKED:
                raise DownloadFailed("What came is far too large to be ComfyUI.", remedy="Check the address in engines/pins.json.")
            for entry in entries:
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
        if not is_comfyui(part):
            raise ContractMismatch("What was downloaded is not ComfyUI.", remedy="Check the address in engines/pins.json.")
        source.parent.mkdir(parents=True, exist_ok=True)
        part.rename(source)
    except zipfile.BadZipFile as error:
        archive.unlink()
        raise ChecksumMismatch("What was downloaded is broken; it was thrown away.") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _environment(venv: Path, python: Path, log: Path, say: Say, shared: Path | None) -> None:
    say(0.25, "Making its Python environment")
    base = str(shared or sys.executable)
    if not (python.exists() and subprocess.run([str(python), *_PIP, "--version"], capture_output=True).returncode == 0):
        _run([base, "-m", "venv", "--clear", str(venv)], log, lambda: say(0.25, ""), what="make a Python environment")
    if shared is None:
        return
    ask = "import json, sysconfig; print(json.dumps([sysconfig.get_path('purelib'), sysconfig.get_path('platlib')]))"
    theirs = _asked([base, "-c", ask])
    own = _asked([str(python), "-c", ask])
    write_atomically(Path(own[0]) / "shared.pth", "".join(f"{path}\n" for path in dict.fromkeys(theirs)).encode())


def _asked(command: Sequence[str]) -> list[str]:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise DependencyMissing(f"{command[0]} doesn't work as a Python.", remedy="Check LIKENESS_COMFYUI_PYTHON.")
    return json.loads(done.stdout)


_PIP = ("-m", "pip", "--disable-pip-version-check", "--no-input")


def _run(command: Sequence[str], log: Path, check: Callable[[], None], *, what: str) -> None:
    _note(log, f"$ {' '.join(command)}")
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        while process.poll() is None:
            check()
            time.sleep(0.1)
    except BaseException:
        end_group(process)
        raise
    if process.returncode:
        said = tail(log, 12)
        if any("No space left on device" in line for line in said):
            raise DiskFull(f"The disk is full: could not {what}.")
        last = next((line for line in reversed(said) if "ERROR" in line), said[-1] if said else "")
        raise DependencyMissing(
            f"Could not {what}: {last[:300]}", remedy="Look at the log, check the connection, and install again; it goes on where it was."
        )


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
