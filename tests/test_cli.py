"""The command line, as a terminal or a script runs it: real processes, real pictures, real exit statuses."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from app import HOME, main, open_studio
from studio.cli.generating import progress_line
from studio.cli.parser import build_parser, with_verb
from studio.contracts import GenerateRequest, JobState
from studio.settings import Settings, load_settings
from studio.studio import Studio
from studio.worker import data_root_lock

SMALL = ("--width", "64", "--height", "64", "--steps", "2")
SLOW = ("--width", "128", "--height", "128", "--steps", "150", "--count", "16")


@pytest.fixture
def data(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Path:
    # On a busy machine threads that wait for each other take many times as long as one.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("LIKENESS_THREADS", "1")
    return settings.data


@pytest.fixture
def studio(settings: Settings) -> Studio:
    return open_studio(settings)


def command(*words: str | Path) -> list[str]:
    return [sys.executable, str(HOME / "app.py"), *map(str, words)]


def run(*words: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*words), capture_output=True, text=True, input=stdin, timeout=120)


def value(done: subprocess.CompletedProcess[str], status: int = 0) -> Any:
    """The one JSON value on stdout."""
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    return json.loads(done.stdout)


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it took too long"
        time.sleep(0.02)


@pytest.fixture
def worker(data: Path, studio: Studio) -> Iterator[None]:
    """A worker that runs on the data root, as a studio's does."""
    process = subprocess.Popen(command("worker", "--data", data), stderr=subprocess.DEVNULL)
    wait_until(studio.ready)
    yield
    process.terminate()
    process.wait(30)


# generate


def test_a_picture_is_made_in_place_when_no_studio_runs(data: Path) -> None:
    made = value(run("generate", "a girl with red hair", *SMALL, "--count", "2", "--seed", "5", "--data", data, "--json"))

    assert set(made) == {"job_id", "state", "images"}
    assert made["state"] == "done"
    assert [(image["seed"], image["width"], image["height"]) for image in made["images"]] == [(5, 64, 64), (6, 64, 64)]
    for image in made["images"]:
        assert Path(image["path"]).is_absolute()
        with Image.open(image["path"]) as picture:
            assert picture.size == (64, 64)
    lines = value(run("jobs", "logs", made["job_id"], "--data", data, "--json"))["items"]
    assert any("Done" in line["msg"] for line in lines)
    with data_root_lock(load_settings(data)):
        pass  # the command has left nothing locked


def test_people_get_the_paths_and_copies_where_they_want_them(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "my pictures" / "new"

    done = run("--data", data, "generate", "a boy", *SMALL, "--out", out)

    assert done.returncode == 0, done.stderr
    copy = Path(done.stdout.strip())
    assert copy.parent == out
    assert copy.read_bytes() == next((data / "pictures").rglob("*.png")).read_bytes()
    assert "\r" not in done.stderr, "no progress line where no terminal is"


def test_a_running_studio_does_the_work(data: Path, worker: None) -> None:
    made = value(run("generate", "a girl", *SMALL, "--json", "--data", data))

    assert made["state"] == "done" and Path(made["images"][0]["path"]).is_file()


def test_its_own_job_comes_first_in_place_and_others_stay_queued(data: Path, studio: Studio) -> None:
    waiting = [studio.generate(GenerateRequest(prompt="a cat", steps=100, count=16)).job_id for _ in range(3)]

    made = value(run("generate", "a girl", *SMALL, "--json", "--data", data))

    assert made["state"] == "done"
    states = [studio.job(job_id).state for job_id in waiting]
    assert states[1:] == [JobState.queued, JobState.queued]
    assert states[0] in (JobState.queued, JobState.done)
    assert studio.job(made["job_id"]).priority < studio.job(waiting[0]).priority


def test_in_a_running_studio_a_command_waits_its_turn(data: Path, studio: Studio) -> None:
    earlier = studio.generate(GenerateRequest(prompt="a cat")).job_id
    with data_root_lock(load_settings(data)):
        receipt = value(run("generate", "a girl", "--no-wait", "--json", "--data", data))

    assert receipt == {"job_id": receipt["job_id"], "state": "queued", "images": []}
    assert studio.job(receipt["job_id"]).priority == studio.job(earlier).priority


def test_without_waiting_the_job_stays_for_the_next_studio(data: Path) -> None:
    done = run("generate", "a girl", "--no-wait", "--data", data)

    assert done.returncode == 0
    assert "No studio runs" in done.stderr
    assert open_studio(load_settings(data)).job(done.stdout.strip()).state is JobState.queued


def test_two_commands_at_once_both_get_their_pictures(data: Path) -> None:
    both = [
        subprocess.Popen(command("generate", f"a girl {n}", *SMALL, "--json", "--data", data), stdout=subprocess.PIPE, text=True)
        for n in range(2)
    ]
    made = [json.loads(process.communicate(timeout=120)[0]) for process in both]

    assert [process.returncode for process in both] == [0, 0]
    assert [one["state"] for one in made] == ["done", "done"]
    assert made[0]["images"][0]["path"] != made[1]["images"][0]["path"]


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_command_that_is_stopped_cancels_its_job(data: Path, studio: Studio, sign: signal.Signals) -> None:
    process = subprocess.Popen(
        command("generate", "a girl", *SLOW, "--json", "--data", data), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_until(lambda: any(job.step > 0 for job in studio.jobs().items))
    process.send_signal(sign)
    out, _ = process.communicate(timeout=60)

    assert process.returncode == 130
    stopped = json.loads(out)
    assert (stopped["ok"], stopped["state"], stopped["error"]["code"]) == (False, "cancelled", "CONFLICT")
    assert studio.job(stopped["job_id"]).state is JobState.cancelled
    with data_root_lock(load_settings(data)):
        pass


def test_a_terminal_shows_progress_on_one_line(data: Path) -> None:
    leader, follower = pty.openpty()
    words = command("generate", "a girl", "--width", "64", "--height", "64", "--steps", "60", "--count", "2", "--data", data)
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=follower, text=True)
    os.close(follower)
    shown = b""
    while True:
        try:
            piece = os.read(leader, 4096)
        except OSError:
            break  # Linux says so when the other end is closed
        if not piece:
            break
        shown += piece
    out, _ = process.communicate(timeout=60)
    os.close(leader)

    assert process.returncode == 0
    assert len(out.split()) == 2
    assert b"\r\x1b[K" in shown and b"of 60" in shown
    assert b"\n" not in shown.replace(b"\r\n", b"\n").strip(), shown


def test_a_job_that_fails_says_why(data: Path, studio: Studio) -> None:
    models = data / "models"
    broken = models / "broken"
    broken.mkdir(parents=True)
    (broken / "model_index.json").write_text("{}")

    failed = value(run("generate", "a girl", "--model", "broken", "--json", "--data", data), status=1)

    assert failed["ok"] is False
    assert failed["error"]["code"] in ("MODEL_INVALID", "INVALID_FIELD_VALUE")


@pytest.mark.parametrize(
    ("words", "code", "field"),
    [
        ((" ",), "MISSING_REQUIRED_FIELD", "prompt"),
        (("x" * 20_000,), "INVALID_FIELD_VALUE", "prompt"),
        (("a", "--steps", "0"), "INVALID_FIELD_VALUE", "steps"),
        (("a", "--width", "65"), "INVALID_FIELD_VALUE", "width"),
        (("a", "--width", "40000"), "INVALID_FIELD_VALUE", "width"),
        (("a", "--count", "99"), "INVALID_FIELD_VALUE", "count"),
        (("a", "--preset", "nope"), "INVALID_FIELD_VALUE", "preset"),
        (("a", "--preset", "anime_v1"), "INVALID_FIELD_VALUE", "preset"),
        (("a", "--style", "night_v1"), "INVALID_FIELD_VALUE", "style"),
        (("a", "--grain", "1.5"), "INVALID_FIELD_VALUE", "grain"),
        (("a", "--model", "nope"), "INVALID_FIELD_VALUE", "model"),
        (("a", "--engine", "nope"), "INVALID_FIELD_VALUE", "engine"),
        (("a", "--lora", "nope:0.5"), "INVALID_FIELD_VALUE", "loras"),
        (("a", "--lora", "nope:77"), "INVALID_FIELD_VALUE", "loras.0.strength"),
        (("a", "--out", "/proc/nowhere"), "INVALID_FIELD_VALUE", "out"),
    ],
)
def test_a_bad_request_ends_with_an_error_and_no_job(
    data: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: str, field: str
) -> None:
    status = main(["generate", *words, "--json", "--data", str(data)])

    told = json.loads(capsys.readouterr().out)
    assert status == 1
    assert (told["ok"], told["error"]["code"], told["error"]["field"]) == (False, code, field)
    assert told["error"]["message"] and told["error"]["remedy"]
    assert open_studio(load_settings(data)).jobs().items == ()


def test_a_lora_path_may_hold_colons_and_lie_anywhere(tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lora = tmp_path / "a:b.safetensors"
    lora.write_bytes(b"no tensors")

    assert main(["generate", "a", "--lora", f"{lora}:0.5", "--json", "--data", str(data)]) == 1
    told = json.loads(capsys.readouterr().out)["error"]
    assert told["code"] == "MODEL_INVALID", told
    assert main(["generate", "a", "--lora", str(lora), "--json", "--data", str(data)]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "MODEL_INVALID"


# What every verb keeps to


def test_the_data_folder_is_named_before_or_after_any_verb(data: Path) -> None:
    for words in (("--data", data, "jobs", "list"), ("jobs", "--data", data, "list"), ("jobs", "list", "--data", data)):
        assert build_parser().parse_args([str(word) for word in words]).data == data
    assert build_parser().parse_args(["jobs", "list"]).data is None


def test_without_a_verb_the_studio_runs() -> None:
    assert with_verb([]) == ["run"]
    assert with_verb(["--no-browser"]) == ["run", "--no-browser"]
    assert with_verb(["--data", "jobs", "--port", "1"]) == ["run", "--data", "jobs", "--port", "1"]
    assert with_verb(["--data", "x", "jobs", "list"]) == ["--data", "x", "jobs", "list"]
    assert with_verb(["--help"]) == ["--help"]
    assert build_parser().parse_args(with_verb(["--data", "x", "--port", "7"])).port == 7


@pytest.mark.parametrize("words", [("frob",), ("jobs",), ("generate", "a", "--steps", "x"), ("jobs", "cancel")])
def test_a_wrong_command_line_ends_with_two(capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    assert main(words) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and "usage:" in shown.err
    assert main([*words, "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "CONTRACT_MISMATCH"


def test_errors_are_told_to_people_on_stderr(data: Path) -> None:
    done = run("jobs", "show", "nope", "--data", data)

    assert (done.returncode, done.stdout) == (1, "")
    assert "NOT_FOUND" in done.stderr and "Traceback" not in done.stderr


def test_a_data_folder_that_is_a_file_is_an_error_with_a_remedy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file"
    file.write_text("x")

    assert main(["jobs", "list", "--json", "--data", str(file)]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["error"]["code"] != "UNKNOWN_ERROR" and told["error"]["remedy"]


# The queue, the pictures, the rest


def ask(capsys: pytest.CaptureFixture[str], data: Path, *words: str | Path, status: int = 0) -> Any:
    assert main([*map(str, words), "--json", "--data", str(data)]) == status
    return json.loads(capsys.readouterr().out)


def test_the_queue_is_steered(data: Path, studio: Studio, capsys: pytest.CaptureFixture[str]) -> None:
    made = [studio.generate(GenerateRequest(prompt="a")) for _ in range(3)]
    first = made[0].job_id

    assert [job["id"] for job in ask(capsys, data, "jobs", "list")["items"]] == [one.job_id for one in made][::-1]
    page = ask(capsys, data, "jobs", "list", "--limit", "2")
    assert [job["id"] for job in ask(capsys, data, "jobs", "list", "--cursor", page["next"])["items"]] == [first]
    assert ask(capsys, data, "jobs", "move", first, "last")["attempt"] == 2
    assert ask(capsys, data, "jobs", "cancel", first)["state"] == "cancelled"
    assert ask(capsys, data, "jobs", "cancel", first, status=1)["error"]["code"] == "CONFLICT"
    assert ask(capsys, data, "jobs", "list", "--state", "cancelled")["items"][0]["id"] == first
    assert ask(capsys, data, "jobs", "retry", first)["state"] == "queued"
    assert ask(capsys, data, "jobs", "cancel", "--batch", made[1].batch_id) == {"ok": True, "count": 1}
    assert ask(capsys, data, "jobs", "cancel", "--all") == {"ok": True, "count": 2}
    assert ask(capsys, data, "jobs", "show", first)["state"] == "cancelled"
    assert ask(capsys, data, "jobs", "logs", first) == {"items": []}
    assert ask(capsys, data, "jobs", "list", "--limit", "0", status=1)["error"]["field"] == "limit"


def test_pictures_are_taken_in_shown_and_thrown_away(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "me.jpg"
    Image.new("RGB", (80, 64), (9, 9, 9)).save(file)

    picture = ask(capsys, data, "images", "upload", file)["items"][0]
    assert Path(picture["path"]).is_file() and picture["width"] == 80
    assert ask(capsys, data, "images", "list")["total"] == 0
    assert ask(capsys, data, "images", "list", "--kind", "upload")["items"][0]["id"] == picture["id"]
    assert "infotext" in ask(capsys, data, "images", "show", picture["id"])["metadata"]
    assert ask(capsys, data, "images", "trash", picture["id"])["count"] == 1
    assert ask(capsys, data, "images", "restore", picture["id"])["count"] == 1
    assert ask(capsys, data, "images", "trash", picture["id"])["count"] == 1
    assert ask(capsys, data, "images", "list", "--kind", "all", "--trashed")["total"] == 1
    assert ask(capsys, data, "images", "empty-trash")["count"] == 1
    assert not Path(picture["path"]).exists()
    assert ask(capsys, data, "images", "upload", file, tmp_path / "none.png", status=1)["error"]["field"] == "file"
    assert ask(capsys, data, "images", "list", "--kind", "all")["total"] == 0


def test_pictures_become_references_of_a_category_all_or_none(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, bad = tmp_path / "pose.png", tmp_path / "bad.png"
    Image.new("RGB", (80, 64), (9, 9, 9)).save(file)
    bad.write_bytes(b"no picture")

    upload = ("images", "upload", "--kind", "reference", "--category", "Poses")
    assert ask(capsys, data, *upload, file, bad, status=1)["error"]["code"] == "IMAGE_INVALID"
    assert ask(capsys, data, "images", "list", "--kind", "reference")["total"] == 0
    kept = ask(capsys, data, *upload, file)["items"][0]
    assert (kept["kind"], kept["category"]) == ("reference", "Poses")


def test_consent_to_use_a_strangers_photo_can_be_told(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "me.png"
    Image.new("RGB", (80, 64), (9, 9, 9)).save(file)
    asked = ("generate", "smiling", "--image", file, "--real-person", "yes", "--no-wait")
    assert ask(capsys, data, *asked, status=1)["error"]["code"] == "CONSENT_MISSING"
    assert ask(capsys, data, *asked, "--consent-for", "portraits", status=1)["error"]["field"] == "consent.who"
    assert ask(capsys, data, *asked, "--consent-by", "Mia", "--consent-until", "soon", status=1)["error"]["field"] == "consent.until"
    # With it there is one thing left: what looks at the result is not installed.
    told = ask(capsys, data, *asked, "--consent-by", "Mia", "--consent-for", "portraits", status=1)["error"]
    assert told["code"] == "SAFETY_FILTER" and "looked at" in told["message"]


def test_a_characters_handles_and_the_proof_of_a_consent_are_kept(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    letter, tune = tmp_path / "letter.pdf", tmp_path / "tune.exe"
    letter.write_bytes(b"%PDF-1.4 signed")
    tune.write_bytes(b"MZ")
    create = ("characters", "create", "Mia", "--kind", "consented", "--evidence")
    assert ask(capsys, data, *create, letter, status=1)["error"]["code"] == "CONSENT_MISSING"
    assert ask(capsys, data, *create, tune, "--consent-by", "Mia", status=1)["error"]["field"] == "evidence"
    assert ask(capsys, data, *create, tmp_path / "none.pdf", "--consent-by", "Mia", status=1)["error"]["field"] == "file"
    assert ask(capsys, data, "characters", "list")["items"] == []

    made = ask(capsys, data, *create, letter, "--consent-by", "Mia", "--handle", "instagram=@mia")
    assert (made["handles"], made["consent"]["evidence"]) == ({"instagram": "@mia"}, "letter.pdf")
    edited = ask(capsys, data, "characters", "edit", "mia", "--handle", "x=mia_x")
    assert (edited["handles"], edited["consent"]["evidence"]) == ({"x": "mia_x"}, "letter.pdf")
    assert ask(capsys, data, "characters", "edit", "mia", "--handle", "nonsense", status=1)["error"]["field"] == "handle"


def test_choices_are_listed(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    preset = ask(capsys, data, "presets", "list")["items"][0]

    assert ask(capsys, data, "presets", "show", preset["id"]) == preset
    assert ask(capsys, data, "presets", "list", "--category", "nope")["items"] == []
    told = {each["id"]: each for each in ask(capsys, data, "presets", "list", "--model", "starter")["items"]}
    assert told["portrait_v1"]["runs"] and not told["anime_v1"]["runs"]
    assert ask(capsys, data, "presets", "show", "anime_v1", "--model", "starter") == told["anime_v1"]
    assert ask(capsys, data, "models", "list")["items"][0]["id"] == "starter"
    assert ask(capsys, data, "loras", "list") == {"items": []}
    assert ask(capsys, data, "health")["ok"] is True


def test_a_token_is_shown_once_and_can_be_revoked(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret = ask(capsys, data, "token", "create", "my phone", "--days", "3")["token"]
    listed = ask(capsys, data, "token", "list")

    assert secret not in json.dumps(listed)
    assert [(token["name"], token["state"]) for token in listed["items"]] == [("my phone", "live")]
    assert ask(capsys, data, "token", "revoke", listed["items"][0]["id"])["name"] == "my phone"
    assert ask(capsys, data, "token", "list")["items"][0]["state"] == "revoked"


def test_the_password_is_read_from_stdin(data: Path) -> None:
    assert value(run("password", "set", "--json", "--data", data, stdin="correct horse battery\n")) == {"ok": True}
    assert value(run("password", "set", "--json", "--data", data, stdin="short\n"), 1)["error"]["code"] == "INVALID_FIELD_VALUE"
    assert value(run("password", "set", "--json", "--data", data), 1)["error"]["code"] == "MISSING_REQUIRED_FIELD"
    assert "correct" not in "".join(path.read_text() for path in (data / "secrets").iterdir() if path.is_file())


def test_settings_are_changed_and_secrets_never_shown(
    data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_very_secret_token")

    assert ask(capsys, data, "settings", "set", "port", "7999")["value"] == 7999
    listed = {item["name"]: item for item in ask(capsys, data, "settings", "list")["items"]}
    assert set(listed) == set(Settings.model_fields)
    assert listed["port"]["value"] == 7999
    assert listed["hf_token"]["set"] is True and listed["password"]["set"] is False
    assert "very_secret" not in json.dumps(listed)
    assert main(["settings", "list", "--data", str(data)]) == 0
    shown = capsys.readouterr().out
    assert "very_secret" not in shown and "(set)" in shown
    assert ask(capsys, data, "settings", "set", "port", "99999", status=1)["error"]["field"] == "port"
    assert ask(capsys, data, "settings", "set", "hf_token", "x", status=1)["error"]["code"] == "CONTRACT_MISMATCH"


def test_the_progress_line_says_where_a_job_stands(studio: Studio) -> None:
    job = studio.job(studio.generate(GenerateRequest(prompt="a")).job_id)

    assert progress_line(job) == "Waiting in the queue"
    running = job.model_copy(update={"state": JobState.running, "progress": 0.5, "step": 4, "steps": 8, "note": "Drawing", "eta_s": 2.4})
    assert progress_line(running) == " 50% · step 4 of 8 · Drawing · 2 s left"


def test_the_command_line_opens_without_the_heavy_libraries() -> None:
    code = "import sys, studio.cli; print([name for name in ('torch', 'gradio', 'sqlalchemy', 'PIL') if name in sys.modules])"

    assert subprocess.run([sys.executable, "-c", code], cwd=HOME, capture_output=True, text=True, check=True).stdout.strip() == "[]"
