"""The doctor on real folders, ports and databases, well and ill."""

from __future__ import annotations

import json
import shutil
import socket
import sqlite3
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import sqlalchemy as sa
from filelock import FileLock
from pydantic import SecretStr

from studio import doctor
from studio.contracts import Inventory, ServerState
from studio.db import engine_states, migrate, open_database
from studio.doctor import Check, Status, checkup
from studio.settings import Settings, save_setting
from studio.supervisor import new_run_folder

ROOT = Path(__file__).resolve().parent.parent
NAMES = ["Engine", "ComfyUI", "AI-Toolkit", "GPU", "Starter model", "Models", "Picture check", "Memory", "Disk"]
NAMES += ["Data folder", "Database", "Port", "Packages", "Python", "SQLite", "Last run"]


def check_named(name: str, settings: Settings) -> Check:
    return next(check for check in checkup(settings) if check.name == name)


def test_every_check_is_there_and_names_a_remedy_where_one_is_needed(settings: Settings) -> None:
    checks = checkup(settings)

    assert [check.name for check in checks] == NAMES
    for check in checks:
        assert check.detail
        assert bool(check.remedy) == (check.status is not Status.ok), check


def test_a_well_studio_has_nothing_that_fails(settings: Settings) -> None:
    settings.data.mkdir(parents=True)
    migrate(settings.database)

    assert [check for check in checkup(settings) if check.status is Status.fail] == []
    assert "schema" in check_named("Database", settings).detail


def test_a_comfyui_that_does_not_answer_is_told_and_one_that_was_not_asked_is_not_blamed(settings: Settings) -> None:
    settings.data.mkdir(parents=True)
    migrate(settings.database)
    assert check_named("ComfyUI", settings).detail.startswith("no address")
    save_setting(settings, "comfyui_url", "http://127.0.0.1:9")
    assert "asked while the studio runs" in check_named("ComfyUI", settings).detail
    (settings.data / "studio.json").write_text('{"url": "http://127.0.0.1:7999"}')
    with FileLock(settings.data / "studio.lock"):
        assert check_named("ComfyUI", settings).detail == "asking http://127.0.0.1:9"
        gone = ServerState(url="http://127.0.0.1:9", state="offline", problem="Nobody answers.", remedy="Start it.")
        told = {"name": "inventory:comfyui", "body": Inventory(servers=(gone,)).model_dump_json(), "updated_at": 0.0}
        database = open_database(settings.database)
        with database.begin_quick() as connection:
            connection.execute(sa.insert(engine_states).values(told))
        database.close()
        check = check_named("ComfyUI", settings)
    assert (check.status, check.remedy) == (Status.warn, "Start it.")
    assert "Nobody answers." in check.detail


def test_an_ai_toolkit_that_can_not_train_is_told(settings: Settings, tmp_path: Path) -> None:
    settings.data.mkdir(parents=True)
    assert check_named("AI-Toolkit", settings).detail.startswith("not installed")
    folder = tmp_path / "ai-toolkit"
    folder.mkdir()
    save_setting(settings, "aitoolkit_path", str(folder))
    empty = check_named("AI-Toolkit", settings)
    assert empty.status is Status.warn
    assert str(folder) in empty.detail
    (folder / "run.py").touch()
    (folder / "version.py").write_text('VERSION = "0.7.1"')
    assert "venv" in check_named("AI-Toolkit", settings).remedy
    python = folder / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    assert (check_named("AI-Toolkit", settings).status, check_named("AI-Toolkit", settings).detail) == (Status.ok, f"0.7.1 in {folder}")


def test_whether_edits_of_real_photos_can_be_looked_at_is_said(settings: Settings) -> None:
    assert "refused until then" in check_named("Picture check", settings).detail
    folder = settings.data / "classifiers" / "modest"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"architectures": ["ViTForImageClassification"]}')
    assert check_named("Picture check", settings).detail.startswith("modest looks at")


def test_a_data_folder_that_cannot_be_made_fails_with_a_remedy(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    check = check_named("Data folder", settings.model_copy(update={"data": tmp_path / "file" / "data"}))

    assert check.status is Status.fail
    assert check.remedy


def test_a_damaged_database_fails(settings: Settings) -> None:
    settings.data.mkdir(parents=True)
    (settings.data / "likeness.db").write_bytes(b"this is no database" * 1000)

    check = check_named("Database", settings)

    assert check.status is Status.fail
    assert check.remedy


def test_a_database_server_that_is_not_there_fails_without_showing_its_password(settings: Settings) -> None:
    url = SecretStr("postgresql://someone:hunter2hunter2@127.0.0.1:1/likeness")

    check = check_named("Database", settings.model_copy(update={"database_url": url}))

    assert check.status is Status.fail
    assert "hunter2" not in check.detail + check.remedy


def test_a_database_of_another_version_is_pointed_out(settings: Settings) -> None:
    settings.data.mkdir(parents=True)
    migrate(settings.database)
    with sqlite3.connect(settings.data / "likeness.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()

    assert check_named("Database", settings).status is Status.warn


def test_a_taken_port_is_pointed_out(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        check = check_named("Port", settings.model_copy(update={"port": port}))

    assert check.status is Status.warn
    assert str(port) in check.detail


def test_a_running_studio_is_recognised_by_its_lock_and_a_killed_one_is_not(settings: Settings) -> None:
    settings.data.mkdir(parents=True)
    (settings.data / "studio.json").write_text('{"pid": 1, "url": "http://127.0.0.1:7999"}')

    assert doctor.running_url(settings.data) is None
    with FileLock(settings.data / "studio.lock"):
        assert doctor.running_url(settings.data) == "http://127.0.0.1:7999"
        assert check_named("Port", settings).detail == "the studio is running at http://127.0.0.1:7999"


def test_a_changed_model_file_fails(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "model"
    shutil.copytree(doctor.STARTER_MODEL, copy)
    monkeypatch.setattr(doctor, "STARTER_MODEL", copy)
    name = (copy / "SHA256SUMS").read_text().splitlines()[0].split()[1]
    with (copy / name).open("ab") as file:
        file.write(b"!")

    check = check_named("Starter model", settings)

    assert check.status is Status.fail
    assert name in check.detail
    (copy / name).unlink()
    assert check_named("Starter model", settings).status is Status.fail


def test_an_error_of_the_last_run_is_pointed_out(settings: Settings) -> None:
    folder = new_run_folder(settings.data)
    assert check_named("Last run", settings).detail == str(folder)

    (folder / "error_root_cause.json").write_text("{}")

    assert check_named("Last run", settings).status is Status.warn


def test_the_last_run_is_found_where_latest_is_a_text_file(tmp_path: Path) -> None:
    folder = new_run_folder(tmp_path)
    (tmp_path / "logs" / "latest").unlink()
    (tmp_path / "logs" / "latest").write_text(folder.name)

    assert doctor.last_run_folder(tmp_path) == folder


def test_the_bundle_holds_report_logs_and_packages_and_no_secret(settings: Settings) -> None:
    ill = settings.model_copy(
        update={"password": SecretStr('pass"word-in-a-log'), "database_url": SecretStr("postgresql://me:sesame@127.0.0.1:1/x")}
    )
    folder = new_run_folder(ill.data)
    (folder / "web.out").write_text('signing in with pass"word-in-a-log at postgresql+psycopg://me:sesame@127.0.0.1:1/x\n')
    (folder / "events.jsonl").write_text(json.dumps({"said": 'pass"word-in-a-log'}) + "\n")
    (folder / "worker.out").write_bytes(b"x" * 5_000_000 + b"the end")

    bundle = doctor.pack(ill, checkup(ill))

    with zipfile.ZipFile(bundle) as packed:
        files = {name: packed.read(name).decode() for name in packed.namelist()}
    assert set(files) == {
        "report.txt",
        "report.json",
        "settings.json",
        "packages.txt",
        "logs/web.out",
        "logs/worker.out",
        "logs/events.jsonl",
    }
    everything = "".join(files.values())
    assert "sesame" not in everything
    assert "word-in-a-log" not in everything
    assert json.loads(files["settings.json"])["password"] == "set"
    assert json.loads(files["settings.json"])["hf_token"] == "not set"
    assert "torch==" in files["packages.txt"]
    assert files["logs/worker.out"].endswith("the end")
    assert len(files["logs/worker.out"]) == doctor.MOST_OF_A_LOG


def test_diagnose_prints_a_table_and_where_the_bundle_is(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.diagnose(settings) == 0

    said = capsys.readouterr().out
    for name in NAMES:
        assert name in said
    assert "0 fail" in said
    assert str(settings.data / "diagnose") in said


def test_diagnose_as_json_is_one_value_and_its_status_says_what_fails(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    settings.data.mkdir(parents=True)
    (settings.data / "likeness.db").write_bytes(b"this is no database" * 1000)

    assert doctor.diagnose(settings, as_json=True) == 1

    said = json.loads(capsys.readouterr().out)
    assert said["ok"] is False
    assert [check["name"] for check in said["checks"]] == NAMES
    assert Path(said["bundle"]).exists()


def test_diagnose_still_reports_when_no_bundle_can_be_written(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()

    assert doctor.diagnose(settings.model_copy(update={"data": tmp_path / "file" / "data"})) == 1

    assert "No bundle was written" in capsys.readouterr().out


def test_the_doctor_never_imports_torch(tmp_path: Path) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from studio import doctor
from studio.settings import load_settings
doctor.checkup(load_settings(Path({str(tmp_path)!r})))
doctor.gpu_available()
print([name for name in ("torch", "gradio", "diffusers") if name in sys.modules])
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert answer.stdout.strip() == "[]"
