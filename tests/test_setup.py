"""Setting up: settings that are shown and changed, the doctor behind the API, where things lie, and when a studio is new."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from app import open_studio
from studio import setup
from studio.api import create_api
from studio.contracts import CharacterFields
from studio.doctor import checkup
from studio.errors import Conflict, ContractMismatch, InvalidFieldType, InvalidFieldValue, LikenessError
from studio.settings import Settings, load_settings, save_settings
from studio.studio import Studio
from studio.supervisor import new_run_folder


@pytest.fixture
def studio(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Studio:
    monkeypatch.setitem(Settings.model_config, "env_file", tmp_path / ".env")
    return open_studio(settings)


@pytest.fixture
def client(studio: Studio) -> TestClient:
    return TestClient(create_api(studio), base_url="http://127.0.0.1/api/v1/")


def shown(client: TestClient, name: str) -> dict[str, Any]:
    return next(item for item in client.get("settings").json()["items"] if item["name"] == name)


def test_every_setting_is_shown_with_its_variable_and_its_help(client: TestClient) -> None:
    items = client.get("settings").json()["items"]

    assert [item["name"] for item in items] == list(Settings.model_fields)
    for item in items:
        assert item["environment"].startswith("LIKENESS_")
        assert item["help"]
    assert shown(client, "data")["aliases"] == ["VOLUME_ROOT"]
    assert (shown(client, "port")["least"], shown(client, "port")["most"]) == (1, 65535)
    assert shown(client, "device")["choices"] == ["auto", "cpu", "cuda", "mps"]


def test_secrets_are_only_said_to_be_set(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(client, "hf_token")["set"] is False
    monkeypatch.setenv("HF_TOKEN", "hf_never_to_be_seen")

    answer = client.get("settings")

    assert shown(client, "hf_token")["set"] is True
    assert shown(client, "hf_token")["value"] is None
    assert "never_to_be_seen" not in answer.text


def test_a_change_is_kept_and_says_that_it_waits_for_the_next_start(client: TestClient, settings: Settings) -> None:
    answer = client.patch("settings", json={"idle_unload_s": 60, "open_browser": False}).json()

    assert answer["restart"] is True
    assert [(item["name"], item["value"], item["pending"]) for item in answer["items"]] == [
        ("idle_unload_s", 60, True),
        ("open_browser", False, True),
    ]
    assert load_settings(settings.data).idle_unload_s == 60
    again = client.patch("settings", json={"idle_unload_s": None, "open_browser": None}).json()
    assert again["restart"] is False
    assert load_settings(settings.data).idle_unload_s == 600


def test_what_needs_no_restart_applies_at_once(client: TestClient, studio: Studio) -> None:
    answer = client.patch("settings", json={"max_upload_megapixels": 7}).json()

    assert answer["restart"] is False
    assert studio.settings.max_upload_megapixels == 7


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("port", 99_999, "INVALID_FIELD_VALUE"),
        ("port", "soon", "INVALID_FIELD_TYPE"),
        ("listen", "nowhere.example", "INVALID_FIELD_VALUE"),
        ("listen", "203.0.113.250", "INVALID_FIELD_VALUE"),
        ("session_hours", "inf", "INVALID_FIELD_VALUE"),
        ("log_level", "LOUD", "INVALID_FIELD_VALUE"),
        ("models_dir", "/no/such/folder", "INVALID_FIELD_VALUE"),
        ("models_dir", "models", "INVALID_FIELD_VALUE"),
        ("comfyui_url", "http://x\0y", "INVALID_FIELD_VALUE"),
        ("prompt_template", "x" * 5000, "INVALID_FIELD_VALUE"),
        ("hf_token", "hf_x", "CONTRACT_MISMATCH"),
        ("password", "correct horse", "CONTRACT_MISMATCH"),
        ("colour", "red", "CONTRACT_MISMATCH"),
    ],
)
def test_a_value_that_cannot_work_names_its_field_and_changes_nothing(client: TestClient, name: str, value: object, code: str) -> None:
    answer = client.patch("settings", json={"idle_unload_s": 60, name: value})

    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["field"]) == (422, code, name)
    assert error["remedy"]
    assert shown(client, "idle_unload_s")["value"] == 600


@pytest.mark.parametrize("name", ["idle_unload_s", "comfyui_url"])
def test_a_setting_that_the_environment_fixes_is_a_conflict(client: TestClient, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    variable = {"idle_unload_s": "likeness_idle_unload_s", "comfyui_url": "COMFYUI_URL"}[name]
    monkeypatch.setenv(variable, {"idle_unload_s": "60", "comfyui_url": "http://127.0.0.1:8188"}[name])

    answer = client.patch("settings", json={name: 5})

    assert answer.status_code == 409
    assert answer.json()["error"]["field"] == name
    assert "in the environment" in shown(client, name)["fixed_by"]


def test_a_setting_in_dotenv_is_a_conflict_that_names_the_file(studio: Studio, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("LIKENESS_THREADS=2\nLIKENESS_DEVICE=\n")

    with pytest.raises(Conflict, match=r"LIKENESS_THREADS in \.env"):
        studio.change_settings({"threads": 4})
    assert studio.change_settings({"device": "cpu"}).device == "cpu"


def test_the_data_folder_is_never_saved(studio: Studio) -> None:
    with pytest.raises(Conflict, match="data"):
        studio.change_settings({"data": "/tmp"})
    with pytest.raises(ContractMismatch):
        save_settings(studio.settings, {"data": "/tmp"})


def test_a_list_is_no_value(studio: Studio, client: TestClient) -> None:
    with pytest.raises(InvalidFieldType):
        setup.change_settings(studio.settings, {"port": [1]})
    assert client.patch("settings", json={"port": [1]}).status_code == 422
    assert client.patch("settings", json=[1]).status_code == 422


def test_a_models_folder_is_taken_when_it_is_there(studio: Studio, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    folder.mkdir()

    assert studio.change_settings({"models_dir": f" {folder} "}).models_path == folder
    assert studio.change_settings({"models_dir": ""}).models_path == studio.settings.data / "models"
    studio.change_settings({"models_dir": str(folder)})
    folder.rmdir()
    check = next(check for check in checkup(load_settings(studio.settings.data)) if check.name == "Models")
    assert check.status == "warn" and str(folder) in check.detail and check.remedy


def test_two_people_who_save_at_once_both_keep_their_change(studio: Studio) -> None:
    names = ["idle_unload_s", "engine_timeout_s", "session_hours", "max_upload_mb", "threads", "previews_per_s"]
    failed: list[LikenessError] = []

    def save(name: str) -> None:
        try:
            studio.change_settings({name: 5})
        except LikenessError as error:
            failed.append(error)

    threads = [threading.Thread(target=save, args=[name]) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failed == []
    assert json.loads((studio.settings.data / "settings.json").read_text()) == dict.fromkeys(names, 5)


def test_the_doctor_answers_through_the_api(client: TestClient, settings: Settings) -> None:
    answer = client.get("doctor").json()

    assert [check["name"] for check in answer["checks"]] == [check.name for check in checkup(settings)]
    assert answer["ok"] is all(check["status"] != "fail" for check in answer["checks"])


def test_places_are_absolute_paths_and_never_hold_a_password(client: TestClient, settings: Settings) -> None:
    found = client.get("where").json()
    assert found["data"] == str(settings.data)
    assert found["database"] == "SQLite"
    assert found["latest_log"] is None
    run = new_run_folder(settings.data)
    assert client.get("where").json()["latest_log"] == str(run)

    others = setup.places(_on_postgres(settings))

    assert (others.database, others.database_file) == ("PostgreSQL", None)
    assert "sesame" not in others.model_dump_json()


def test_a_studio_is_new_until_it_has_a_character(studio: Studio, client: TestClient) -> None:
    assert client.get("welcome").json() == {"fresh": True, "walked_through": False}
    studio.create_character(CharacterFields.model_validate({"name": "Nova"}))
    assert client.get("welcome").json() == {"fresh": False, "walked_through": False}


def test_a_port_of_the_command_line_is_told_beside_the_saved_one(settings: Settings) -> None:
    shown = {item.name: item for item in setup.all_settings(settings.model_copy(update={"port": 7999}))}
    assert (shown["port"].value, shown["port"].now, shown["listen"].now) == (settings.port, 7999, None)


def test_a_walkthrough_that_was_skipped_does_not_come_back(studio: Studio, client: TestClient) -> None:
    assert client.patch("settings", json={"walked_through": True}).json()["restart"] is False

    assert client.get("welcome").json() == {"fresh": False, "walked_through": True}
    assert load_settings(studio.settings.data).walked_through is True


def test_a_number_is_refused_before_it_is_kept(studio: Studio) -> None:
    with pytest.raises(InvalidFieldValue):
        studio.change_settings({"idle_unload_s": float("nan")})


def _on_postgres(settings: Settings) -> Settings:
    return settings.model_copy(update={"database_url": SecretStr("postgresql://me:sesame@127.0.0.1:1/x")})


@pytest.mark.parametrize(
    ("said", "one", "two", "stranger"),
    [
        ("", "", "", ""),
        ("secret", "secret", "secret", "secret"),
        ("mara:pass=word", "mara:pass=word", "mara:pass=word", "mara:pass=word"),
        ("http://one:8188=a,b=c, https://two/=mara:secret", "a,b=c", "mara:secret", ""),
        ("https://two=x", "", "x", ""),
    ],
)
def test_each_comfyui_is_told_its_own_token(settings: Settings, said: str, one: str, two: str, stranger: str) -> None:
    held = settings.model_copy(update={"comfyui_token": SecretStr(said)})
    told = [held.comfyui_token_for(url) for url in ("http://one:8188", "https://two", "http://three:8188")]
    assert told == [one, two, stranger]
