"""The doctor: looks at everything a studio needs, says what is wrong and what to do, and packs what a bug report needs."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import io
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from studio import VERSION
from studio.contracts import Contract
from studio.errors import LikenessError, from_os_error
from studio.files import prepare_data_root

if TYPE_CHECKING:
    from studio.contracts import EngineState
    from studio.settings import Settings

HOME = Path(__file__).resolve().parent.parent
STARTER_MODEL = HOME / "engines" / "embedded" / "starter_model"

DISK_WARN, DISK_FAIL = 5 * 2**30, 2**28
RAM_WARN, RAM_FAIL = 4 * 2**30, 2**30
MOST_OF_A_LOG = 2 * 2**20
WORKER_SILENT_S = 20.0


class Status(StrEnum):
    """How a check ended: green, amber or red."""

    ok = "ok"
    warn = "warn"
    fail = "fail"


class Check(Contract):
    """One thing that was looked at. `remedy` is empty where nothing needs to be done."""

    name: str
    status: Status
    detail: str
    remedy: str = ""


def checkup(settings: Settings) -> tuple[Check, ...]:
    """Look at everything, in the order in which it matters. Raises nothing; takes a second or two."""
    looks: tuple[Callable[[Settings], Check], ...] = (
        _engine,
        _comfyui,
        _toolkit,
        _gpu,
        _starter_model,
        _models,
        _classifier,
        _memory,
        _disk,
        _data_folder,
        _database,
        _port,
        _packages,
        _python,
        _sqlite,
        _last_run,
    )
    return tuple(look(settings) for look in looks)


def diagnose(settings: Settings, as_json: bool = False) -> int:
    """Print the checkup, pack the bundle for a bug report, and give the exit status: 0 when nothing fails."""
    checks = checkup(settings)
    failed = any(check.status is Status.fail for check in checks)
    bundle, problem = None, None
    try:
        bundle = pack(settings, checks)
    except LikenessError as error:
        problem = error
    if as_json:
        told = {"ok": not failed, "version": VERSION, "checks": [check.model_dump(mode="json") for check in checks]}
        print(json.dumps({**told, "bundle": str(bundle) if bundle else None}, ensure_ascii=False))
        return int(failed)
    print(_table(checks))
    if bundle is not None:
        print(f"\nFor a bug report: {bundle}\n(this report, your settings without secrets, the last run's logs, package versions)")
    if problem is not None:
        print(f"\nNo bundle was written: {problem.message}\n{problem.remedy}")
    return int(failed)


@functools.cache
def gpu_available() -> bool:
    """True with an NVIDIA card and its driver, or Apple silicon. Asks the system once, and never torch."""
    return bool(_gpus())


def pack(settings: Settings, checks: tuple[Check, ...]) -> Path:
    """Write `diagnose/likeness-<time>.zip` in the data folder and return its path. Raises DiskFull or DataRootReadOnly."""
    data = io.BytesIO()
    hidden = _redactor(settings)
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("report.txt", hidden(f"Likeness {VERSION} on {platform.platform()}\n\n{_table(checks)}\n"))
        bundle.writestr("report.json", hidden(json.dumps([check.model_dump(mode="json") for check in checks], indent=1)))
        shown = {name: hidden(value) if isinstance(value, str) else value for name, value in shown_settings(settings).items()}
        bundle.writestr("settings.json", json.dumps(shown, indent=1))
        bundle.writestr("packages.txt", "\n".join(_installed()) + "\n")
        for path in _log_files(settings.data):
            bundle.writestr(f"logs/{path.name}", hidden(_end_of(path, MOST_OF_A_LOG)))
    path = settings.data / "diagnose" / f"likeness-{time.strftime('%Y%m%d-%H%M%S')}.zip"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.getvalue())
    except OSError as error:
        raise from_os_error(error, "write the bundle") from error
    return path


def shown_settings(settings: Settings) -> dict[str, object]:
    """Every setting's value as it may be shown: secrets only as set or not set."""
    from pydantic import SecretStr

    values = {name: getattr(settings, name) for name in type(settings).model_fields}
    return {
        name: ("set" if value.get_secret_value() else "not set")
        if isinstance(value, SecretStr)
        else (value if isinstance(value, bool | int | float | None) else str(value))
        for name, value in values.items()
    }


def last_run_folder(data: Path) -> Path | None:
    """The folder of the newest run's logs, None when the studio never ran here."""
    latest = data / "logs" / "latest"
    if latest.is_file():
        # Where links can't be made, `latest` is a file that names the folder.
        latest = latest.parent / latest.read_text(encoding="utf-8").strip()
    return latest.resolve() if latest.is_dir() else None


def _python(_settings: Settings) -> Check:
    bits = "64-bit" if sys.maxsize > 2**32 else "32-bit"
    detail = f"{platform.python_version()}, {bits}, on {platform.platform(terse=True)}"
    if sys.version_info < (3, 11) or bits != "64-bit":
        return _fail("Python", detail, "Install a 64-bit Python 3.11 or newer from python.org and run launch.py with it.")
    return _ok("Python", detail)


def _packages(_settings: Settings) -> Check:
    from packaging.requirements import InvalidRequirement, Requirement

    missing, wrong, count = [], [], 0
    for line in (HOME / "requirements.txt").read_text(encoding="utf-8").splitlines():
        named, _, remark = line.partition("#")
        try:
            wanted = Requirement(named.strip())
        except InvalidRequirement:
            continue
        if wanted.marker and not wanted.marker.evaluate():
            continue  # not made for this computer
        count += 1
        try:
            found = importlib.metadata.version(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            if remark.strip() != "optional":
                missing.append(wanted.name)
            continue
        if not wanted.specifier.contains(found, prereleases=True):
            wrong.append(f"{wanted.name} {found} instead of {wanted.specifier}")
    remedy = "Run `python launch.py setup`. If that doesn't help, delete the .venv folder and run it again."
    if missing:
        return _fail("Packages", f"missing: {', '.join(missing)}", remedy)
    if wrong:
        return _warn("Packages", ", ".join(wrong), remedy)
    return _ok("Packages", f"all {count} of requirements.txt are there")


def _data_folder(settings: Settings) -> Check:
    try:
        prepare_data_root(settings.data)
    except LikenessError as error:
        return _fail("Data folder", f"{settings.data}: {error.message}", error.remedy)
    return _ok("Data folder", f"{settings.data} can be written")


def _disk(settings: Settings) -> Check:
    place = next(folder for folder in (settings.data, *settings.data.parents) if folder.exists())
    try:
        free = shutil.disk_usage(place).free
    except OSError as error:
        return _fail("Disk", f"The drive of {settings.data} can't be read: {error.strerror}.", "Check that it is connected.")
    detail = f"{_size(free)} free on the drive of the data folder"
    remedy = "Free some space there, or choose a folder on another drive with --data."
    if free < DISK_FAIL:
        return _fail("Disk", detail, remedy)
    return _warn("Disk", detail, remedy) if free < DISK_WARN else _ok("Disk", detail)


def _memory(_settings: Settings) -> Check:
    import psutil

    memory = psutil.virtual_memory()
    detail = f"{_size(memory.total)}, {_size(memory.available)} of it free"
    remedy = "Close other programs. The starter model needs about 1 GB, bigger models far more."
    if memory.available < RAM_FAIL:
        return _fail("Memory", detail, remedy)
    return _warn("Memory", detail, remedy) if memory.available < RAM_WARN else _ok("Memory", detail)


def _gpu(_settings: Settings) -> Check:
    found = _gpus()
    if not found:
        return _ok("GPU", "none found; pictures are made on the processor, which takes longer")
    try:
        torch = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        torch = ""
    if torch.endswith("+cpu"):
        remedy = "Delete the .venv folder and run `python launch.py setup`: it then installs the build that uses the card."
        return _warn("GPU", f"{'; '.join(found)}: not used, the installed PyTorch {torch} is the one without GPU support", remedy)
    return _ok("GPU", "; ".join(found))


def _sqlite(_settings: Settings) -> Check:
    import sqlite3

    if sqlite3.sqlite_version_info < (3, 35):
        return _fail("SQLite", f"{sqlite3.sqlite_version} is too old", "Use a newer Python, which brings a newer SQLite.")
    return _ok("SQLite", sqlite3.sqlite_version)


def _database(settings: Settings) -> Check:
    if settings.database.startswith("sqlite") and not (settings.data / "likeness.db").exists():
        return _ok("Database", "not there yet; the first start makes it")
    try:
        return _ask_database(settings)
    except LikenessError as error:
        return _fail("Database", error.message, error.remedy)


def _ask_database(settings: Settings) -> Check:
    import sqlalchemy as sa

    from studio.db import head_revision, open_database

    database = open_database(settings.database)
    try:
        with database.read() as connection:
            if not sa.inspect(connection).has_table("alembic_version"):
                return _ok("Database", "empty; the first start fills it")
            revision = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
            dialect = connection.dialect.name
            version = ".".join(str(part) for part in connection.dialect.server_version_info or ())
    finally:
        database.close()
    detail = f"{dialect} {version} answers, schema {revision}"
    if revision != head_revision():
        return _warn(
            "Database", f"{detail} (this version of Likeness has {head_revision()})", "Start the studio once: it brings it up to date."
        )
    return _ok("Database", detail)


def _starter_model(_settings: Settings) -> Check:
    remedy = "Get the files again: `git checkout -- engines/embedded/starter_model`."
    sums = STARTER_MODEL / "SHA256SUMS"
    try:
        lines = [line.split(maxsplit=1) for line in sums.read_text(encoding="utf-8").splitlines() if line.strip()]
        bad = [name.lstrip("*") for wanted, name in lines if _sha256(STARTER_MODEL / name.lstrip("*")) != wanted]
    except (OSError, ValueError) as error:
        return _fail("Starter model", f"can't be read: {error}", remedy)
    if bad:
        return _fail("Starter model", f"changed or damaged: {', '.join(bad)}", remedy)
    return _ok("Starter model", f"all {len(lines)} files are as published")


def _models(settings: Settings) -> Check:
    from studio.models import find_loras, find_models

    missing = [str(folder) for folder in (settings.models_dir, settings.loras_dir) if folder is not None and not folder.is_dir()]
    if missing:
        remedy = "Connect its drive, make the folder, or choose another one in the settings."
        return _warn("Models", f"the chosen folder is not there: {', '.join(missing)}", remedy)
    try:
        own, loras = len(find_models(settings.models_path, [])), len(find_loras(settings.loras_path))
    except OSError as error:
        return _warn("Models", f"the folder can't be read: {error.strerror or error}", "Check its access rights.")
    return _ok("Models", f"the starter model, {own} of your own, {loras} LoRA{'' if loras == 1 else 's'}")


def _classifier(settings: Settings) -> Check:
    from studio.shelf import find_classifier

    found = find_classifier(settings.data)
    if found is None:
        return _ok("Picture check", "no image classifier; only edits of real people's photos need one, and are refused until then")
    return _ok("Picture check", f"{found.name} looks at edits of real people's photos")


def _engine(settings: Settings) -> Check:
    asleep = "embedded: asleep; it wakes with the first picture"
    if settings.database.startswith("sqlite") and not (settings.data / "likeness.db").exists():
        return _ok("Engine", asleep)
    try:
        told = _told_states(settings)
    except LikenessError as error:
        return _fail("Engine", f"its state can't be read: {error.message}", error.remedy)
    heard = told.get("worker")
    if running_url(settings.data) is not None:
        if heard is None:
            return _warn("Engine", "the worker is starting", "Check again in a few seconds.")
        silent = time.time() - heard[1]
        if silent > WORKER_SILENT_S:
            remedy = "The studio starts it again by itself. If this stays: close other programs, then stop and start the studio."
            return _fail("Engine", f"the worker has said nothing for {silent:.0f} s, so no picture is being made", remedy)
    state = told["embedded"][0] if "embedded" in told else None
    if state is None or state.state == "asleep" or running_url(settings.data) is None:
        return _ok("Engine", asleep)
    parts = [f"embedded: {state.state}", f"on {state.device}" if state.device else "", f"with {state.model}" if state.model else ""]
    return _ok("Engine", " ".join(part for part in parts if part))


def _comfyui(settings: Settings) -> Check:
    from studio.settings import reread

    name = "ComfyUI"
    try:
        urls = [url.strip() for url in reread(settings).comfyui_url.split(",") if url.strip()]
        if not urls:
            return _ok(name, "no address of a server; only larger models need one")
        if running_url(settings.data) is None:
            return _ok(name, f"{', '.join(urls)}: asked while the studio runs")
        return _asked(name, urls, settings)
    except LikenessError as error:
        return _fail(name, f"its state can't be read: {error.message}", error.remedy)


def _toolkit(settings: Settings) -> Check:
    from studio.managed import managed_folder, read_managed, unfit_toolkit
    from studio.pins import AITOOLKIT
    from studio.settings import reread

    name = "AI-Toolkit"
    try:
        used = reread(settings).aitoolkit_path
    except LikenessError as error:
        return _fail(name, f"its state can't be read: {error.message}", error.remedy)
    if used is not None:
        folder = used.expanduser()
        unfit = unfit_toolkit(folder)
        if unfit is not None:
            return _warn(name, unfit.message, unfit.remedy)
        return _ok(name, " ".join(filter(None, (AITOOLKIT.version_in(folder), f"in {folder}"))))
    managed = read_managed(managed_folder(settings, AITOOLKIT))
    if managed.problem is not None:
        return _warn(name, managed.problem.message, managed.problem.remedy)
    if managed.installation is None:
        return _ok(name, "not installed; only trainings of larger models need it")
    return _ok(name, f"{managed.installation.version or managed.installation.commit} in {managed.installation.folder}")


def _asked(name: str, urls: list[str], settings: Settings) -> Check:
    import sqlalchemy as sa

    from studio.contracts import Inventory
    from studio.db import INVENTORY, engine_states, open_database
    from studio.managed import servers_at
    from studio.pins import COMFYUI

    database = open_database(settings.database)
    try:
        with database.read() as connection:
            body = connection.execute(sa.select(engine_states.c.body).where(engine_states.c.name == f"{INVENTORY}{COMFYUI.name}")).scalar()
    finally:
        database.close()
    servers = servers_at(urls, Inventory.model_validate_json(body) if body else Inventory())
    ill = [server for server in servers if server.state == "offline"]
    if ill:
        return _warn(name, f"{', '.join(server.url for server in ill)} can't be used: {ill[0].problem}", ill[0].remedy)
    if len(servers) < len(urls) or any(server.state == "asking" for server in servers):
        return _ok(name, f"asking {', '.join(urls)}")
    return _ok(name, f"{', '.join(urls)} answer{'s' if len(urls) == 1 else ''}")


def _told_states(settings: Settings) -> dict[str, tuple[EngineState, float]]:
    import sqlalchemy as sa

    from studio.contracts import EngineState
    from studio.db import INVENTORY, engine_states, open_database

    database = open_database(settings.database)
    try:
        with database.read() as connection:
            if not sa.inspect(connection).has_table("engine_states"):
                return {}
            rows = connection.execute(sa.select(engine_states).where(~engine_states.c.name.startswith(INVENTORY))).all()
    finally:
        database.close()
    return {row.name: (EngineState.model_validate_json(row.body), row.updated_at) for row in rows}


def _port(settings: Settings) -> Check:
    url = running_url(settings.data)
    if url is not None:
        return _ok("Port", f"the studio is running at {url}")
    family = socket.AF_INET6 if ":" in settings.listen else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        if os.name != "nt":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.listen, settings.port))
        except OSError as error:
            detail = f"{settings.port} on {settings.listen}: {error.strerror or error}"
            return _warn("Port", detail, "The studio takes the next free one. To choose one yourself: --port.")
    return _ok("Port", f"{settings.port} is free")


def _last_run(settings: Settings) -> Check:
    folder = last_run_folder(settings.data)
    if folder is None:
        return _ok("Last run", "none yet")
    root_cause = folder / "error_root_cause.json"
    if root_cause.exists():
        return _warn("Last run", f"{folder}: it met an error", f"Read {root_cause}.")
    return _ok("Last run", str(folder))


def running_url(data: Path) -> str | None:
    """The address of the studio that runs on this data folder, None when none does."""
    from filelock import FileLock, Timeout

    try:
        url = str(json.loads((data / "studio.json").read_text(encoding="utf-8"))["url"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    try:
        # A studio that was killed leaves its note behind, never its lock.
        with FileLock(data / "studio.lock", timeout=0):
            return None
    except Timeout:
        return url
    except OSError:
        return None


def _gpus() -> list[str]:
    if sys.platform == "darwin":
        return ["Apple silicon"] if platform.machine() == "arm64" else []
    program = shutil.which("nvidia-smi")
    if program is None:
        folder = Path("/proc/driver/nvidia/gpus")
        return [f"NVIDIA card {card.name}" for card in sorted(folder.iterdir())] if folder.is_dir() else []
    ask = [program, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(ask, capture_output=True, text=True, timeout=10, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line.strip() for line in answer.stdout.splitlines() if line.strip()] if answer.returncode == 0 else []


def _installed() -> list[str]:
    return sorted({f"{found.name}=={found.version}" for found in importlib.metadata.distributions()}, key=str.lower)


def _log_files(data: Path) -> list[Path]:
    found = last_run_folder(data)
    return sorted(path for path in found.iterdir() if path.is_file()) if found else []


def _end_of(path: Path, most: int) -> str:
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - most))
            return file.read().decode("utf-8", "replace")
    except OSError as error:
        return f"This log can't be read: {error}"


def _redactor(settings: Settings) -> Callable[[str], str]:
    from urllib.parse import unquote, urlsplit

    from studio.logs import Redactor

    # A database's address is also written in other spellings, its password in any of them is the same.
    password = urlsplit(settings.database_url.get_secret_value()).password or ""
    values = {*settings.secrets(), password, unquote(password)} - {""}
    return Redactor([*values, *(json.dumps(value)[1:-1] for value in values)])


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _table(checks: tuple[Check, ...]) -> str:
    width = max(len(check.name) for check in checks)
    lines = []
    for check in checks:
        lines.append(f"{check.status.value:<4}  {check.name:<{width}}  {check.detail}")
        if check.remedy:
            lines.append(f"{'':<{width + 8}}→ {check.remedy}")
    counts = [f"{sum(check.status is status for check in checks)} {status.value}" for status in Status]
    return "\n".join([*lines, "", ", ".join(counts)])


def _size(count: float) -> str:
    return f"{count / 2**30:.1f} GB"


def _ok(name: str, detail: str) -> Check:
    return Check(name=name, status=Status.ok, detail=detail)


def _warn(name: str, detail: str, remedy: str) -> Check:
    return Check(name=name, status=Status.warn, detail=detail, remedy=remedy)


def _fail(name: str, detail: str, remedy: str) -> Check:
    return Check(name=name, status=Status.fail, detail=detail, remedy=remedy)
