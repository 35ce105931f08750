"""Logs tell which click a line belongs to, and never a secret."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from studio import logs
from studio.errors import InvalidFieldValue
from studio.settings import Settings

log = logging.getLogger("studio.test")


@pytest.fixture(autouse=True)
def calm_root() -> Iterator[None]:
    """Put the root logger back as it was."""
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    yield
    for handler in root.handlers:
        if handler not in before[0]:
            handler.close()
    root.handlers[:], root.level = before


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_line_says_when_who_and_which_click(settings: Settings, tmp_path: Path) -> None:
    logs.setup_logging(settings, "web", tmp_path)
    with logs.log_context(correlation_id="click", job_id="job"):
        log.info("Made %d pictures", 3)
    (line,) = lines(tmp_path / "web.jsonl")
    found = {key: line[key] for key in ("level", "logger", "process", "msg", "correlation_id", "job_id")}
    assert found == {
        "level": "INFO",
        "logger": "studio.test",
        "process": "web",
        "msg": "Made 3 pictures",
        "correlation_id": "click",
        "job_id": "job",
    }


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer lk_abcdefgh12345678",
        "token=s3cr3t-value",
        "password: s3cr3t-value",
        "api_key='s3cr3t-value'",
        "postgresql://me:s3cr3t-value@host/db",
        "GET /file?token=s3cr3t-value&x=1",
        "hf_abcdefgh12345678 was refused",
        "the value my-own-secret was set",
        "HF_TOKEN=s3cr3t-value python launch.py",
        "LIKENESS_PASSWORD='s3cr3t-value'",
        '{"password": "s3cr3t-value with spaces"}',
        r"{\"api_key\": \"s3cr3t-value\"}",
        "X-Api-Key: s3cr3t-value",
        "Authorization: Basic s3cr3t-value",
        "Cookie: theme=dark; likeness=s3cr3t-value",
        "postgresql://me:two@s3cr3t-value@host/db",
        "could not reach tailored%2Fsecret at all",
        'it said "tailored\\"quote"',
        "password authentication failed for in%40side",
        "password authentication failed for in@side",
    ],
)
def test_secrets_are_blanked(text: str) -> None:
    blanked = logs.Redactor(["my-own-secret", "tailored/secret", 'tailored"quote', "postgresql://me:in%40side@host/db"])(text)
    assert logs.BLANK in blanked
    for secret in ("abcdefgh12345678", "s3cr3t-value", "my-own-secret", "tailored", "side"):
        assert secret not in blanked


@pytest.mark.parametrize(
    "text",
    [
        "The page answers at http://127.0.0.1:7860/api/v1/jobs?limit=3",
        "Loaded a tokenizer with 1,014 tokens; max_tokens 77",
        "POST /api/v1/generate 202",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert logs.Redactor(["my-own-secret"])(text) == text


def test_secrets_in_arguments_and_events_are_blanked(settings: Settings, tmp_path: Path) -> None:
    logs.setup_logging(settings, "web", tmp_path)
    log.info("asked %s with %r", "http://me:s3cr3t@host", {"token": "s3cr3t"})
    logs.write_event("failed", folder=tmp_path, reason="token=s3cr3t", number=3)
    (event,) = lines(tmp_path / "events.jsonl")
    assert (event["event"], event["number"]) == ("failed", 3)
    assert "s3cr3t" not in (tmp_path / "events.jsonl").read_text() + (tmp_path / "web.jsonl").read_text()


def test_names_that_are_no_text_can_be_logged(settings: Settings, tmp_path: Path) -> None:
    logs.setup_logging(settings, "web", tmp_path)
    with logs.job_log(settings.data, "abcdef1"):
        log.info("read %s", b"caf\xe9.png".decode(errors="surrogateescape"))
    logs.write_event("read", folder=tmp_path, file=b"caf\xe9.png".decode(errors="surrogateescape"))
    assert len(lines(tmp_path / "web.jsonl")) == len(lines(tmp_path / "events.jsonl")) == 1
    assert len(logs.read_job_log(settings.data, "abcdef1")) == 1


def test_a_job_goes_on_when_its_log_can_not_be_opened(settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup_logging(settings, "worker", tmp_path)
    (logs.job_folder(settings.data, "abcdef1") / "log.jsonl").mkdir(parents=True)
    with logs.job_log(settings.data, "abcdef1"):
        log.info("mine")
    assert [line["msg"] for line in lines(tmp_path / "worker.jsonl")] == ["mine"]
    assert "IsADirectoryError" in capsys.readouterr().err


def test_a_long_line_is_read_in_steps_that_grow_with_its_length() -> None:
    # Patterns that try everything twice would need hours for these; a suite that ends has proved that there are none.
    for text in ("token" * 20_000, "password" + " " * 100_000, "://a:" * 20_000, "bearer " * 15_000, "://" + "a" * 100_000, "sk-" * 30_000):
        logs.Redactor()(text)


def test_secrets_in_exceptions_are_blanked(settings: Settings, tmp_path: Path) -> None:
    logs.setup_logging(settings, "web", tmp_path)
    try:
        raise RuntimeError("password=hunter2hunter2")
    except RuntimeError:
        log.exception("It broke")
    (line,) = lines(tmp_path / "web.jsonl")
    assert "RuntimeError" in str(line["exc"])
    assert "hunter2" not in (tmp_path / "web.jsonl").read_text()


def test_a_job_keeps_its_own_lines_and_no_others(settings: Settings, tmp_path: Path) -> None:
    logs.setup_logging(settings, "worker", tmp_path)
    with logs.log_context(job_id="abcdef1"), logs.job_log(settings.data, "abcdef1"):
        log.info("mine")
        log.warning("mine too")
        other = threading.Thread(target=lambda: log.info("another thread's"))
        other.start()
        other.join()
    log.info("nobody's")
    assert [line["msg"] for line in logs.read_job_log(settings.data, "abcdef1")] == ["mine", "mine too"]
    assert [line["msg"] for line in logs.read_job_log(settings.data, "abcdef1", "warning")] == ["mine too"]
    assert logs.read_job_log(settings.data, "no such job") == ()
    with pytest.raises(InvalidFieldValue):
        logs.read_job_log(settings.data, "abcdef1", "loud")


def test_a_line_that_a_crash_cut_short_is_left_out(settings: Settings) -> None:
    folder = logs.job_folder(settings.data, "abcdef1")
    folder.mkdir(parents=True)
    (folder / "log.jsonl").write_text('{"level": "INFO", "msg": "whole"}\n{"level": "INF', encoding="utf-8")
    assert [line["msg"] for line in logs.read_job_log(settings.data, "abcdef1")] == ["whole"]


def test_events_of_many_threads_are_whole_lines(tmp_path: Path) -> None:
    def write() -> None:
        for number in range(50):
            logs.write_event("tested", folder=tmp_path, number=number, text="x" * 300)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lines(tmp_path / "events.jsonl")) == 200


def test_talkative_libraries_are_quiet(settings: Settings, tmp_path: Path) -> None:
    logs.setup_logging(settings, "web", tmp_path)
    logging.getLogger("httpx").info("a request")
    log.info("ours")
    assert [line["msg"] for line in lines(tmp_path / "web.jsonl")] == ["ours"]
