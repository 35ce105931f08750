"""Logs: JSON lines with the click they belong to, secrets blanked, one file per process and one per job."""

from __future__ import annotations

import contextlib
import json
import logging
import logging.handlers
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, unquote

from studio.contracts import new_id
from studio.errors import InvalidFieldValue
from studio.settings import Settings

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
LOG_DIR = "LIKENESS_LOG_DIR"
ROTATE_BYTES = 20 * 2**20
# They tell their developers more than anyone here wants to know.
TALKATIVE = ("httpx", "httpcore", "dbos", "alembic", "urllib3", "uvicorn.access", "asyncio", "PIL", "filelock", "diffusers", "transformers")
BLANK = "•••"
# File names may hold bytes that are no text; in JSON they become the escapes that they are.
UNSPEAKABLE = "backslashreplace"

_correlation_id: ContextVar[str] = ContextVar("correlation_id", default="")
_job_id: ContextVar[str] = ContextVar("job_id", default="")
_job_lines: ContextVar[logging.Handler | None] = ContextVar("job_lines", default=None)

_SECRETS = re.compile(
    r"""(?ix)
    # a word that says what follows, as HF_TOKEN=…, "password": "…", ?token=…
    (?P<key> (?: password | passwd | token | api[_-]?key | secret ) \\? ["']? \s* [=:] \s* (?P<quote> \\? ["'] )? )
        (?(quote) [^"'\\]+ | [^\s"'&,;]+ )
    | (?P<header> \b bearer \s+ | \b authorization ["']? \s* [=:] \s* ["']? (?: basic | token ) \s+ ) [^\s"',;]+
    | (?P<cookie> \b cookie ["']? \s* : \s* ["']? ) [^\r\n"']+
    # the password in an address, up to the last @ before the path; a port has no @ behind it
    | (?P<url> :// [^/\s:@]* : ) [^\s/]+ (?= @ )
    | \b (?: lk_ | hf_ | rpa_ | sk- ) [A-Za-z0-9_-]{8,}
    """
)


def setup_logging(settings: Settings, process: str, folder: Path | None) -> None:
    """Log into `<folder>/<process>.jsonl`, rotated at 20 MB; without a folder to standard error, in words."""
    redact = Redactor(settings.secrets())
    root = logging.getLogger()
    root.setLevel(settings.log_level)
    for handler in root.handlers[:]:
        root.removeHandler(handler)
    if folder is None:
        main: logging.Handler = logging.StreamHandler(sys.stderr)
        main.setFormatter(_Words(redact))
    else:
        folder.mkdir(parents=True, exist_ok=True)
        main = logging.handlers.RotatingFileHandler(
            folder / f"{process}.jsonl", maxBytes=ROTATE_BYTES, backupCount=3, encoding="utf-8", errors=UNSPEAKABLE, delay=True
        )
        main.setFormatter(_Lines(redact, process))
    root.addHandler(main)
    root.addHandler(_ToJob(_Lines(redact, process)))
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)


@contextlib.contextmanager
def log_context(*, correlation_id: str = "", job_id: str = "") -> Iterator[None]:
    """Everything logged inside belongs to this click and this job."""
    tokens = (_correlation_id.set(correlation_id), _job_id.set(job_id))
    try:
        yield
    finally:
        _correlation_id.reset(tokens[0])
        _job_id.reset(tokens[1])


@contextlib.contextmanager
def job_log(data: Path, job_id: str) -> Iterator[None]:
    """What this thread logs inside is kept with the job as well, all levels that are logged at all."""
    handler = logging.FileHandler(_job_log_path(data, job_id), encoding="utf-8", errors=UNSPEAKABLE, delay=True)
    token = _job_lines.set(handler)
    try:
        job_folder(data, job_id).mkdir(parents=True, exist_ok=True)
        yield
    finally:
        _job_lines.reset(token)
        handler.close()


def job_folder(data: Path, job_id: str) -> Path:
    """The folder of a job's log and preview."""
    return data / "jobs" / job_id[:6] / job_id


def read_job_log(data: Path, job_id: str, level: str = "DEBUG", *, last: int | None = None) -> tuple[dict[str, object], ...]:
    """The lines that were logged while a job ran, from `level` up, oldest first; with `last` at most so many, the newest.

    Raises InvalidFieldValue for an unknown level.
    """
    if level.upper() not in LEVELS:
        raise InvalidFieldValue(f"There is no log level “{level}”.", field="level", remedy=f"Choose one of: {', '.join(LEVELS)}.")
    levels = logging.getLevelNamesMapping()
    least = levels[level.upper()]
    try:
        raws = _job_log_path(data, job_id).read_bytes().splitlines()
    except FileNotFoundError:
        return ()
    lines: list[dict[str, object]] = []
    for raw in reversed(raws):
        if last is not None and len(lines) >= last:
            break
        # A crash can cut the last line short.
        with contextlib.suppress(ValueError):
            line = json.loads(raw.decode("utf-8", "replace"))
            if levels.get(str(line.get("level")), 0) >= least:
                lines.append(line)
    return tuple(reversed(lines))


def write_event(name: str, *, folder: Path | None = None, **facts: object) -> None:
    """Append one line to `events.jsonl` of this run's log folder; does nothing where there is none."""
    found = folder or (Path(os.environ[LOG_DIR]) if os.environ.get(LOG_DIR) else None)
    if found is None:
        return
    redact = Redactor()
    told = {key: redact(fact) if isinstance(fact, str) else fact for key, fact in facts.items()}
    line = json.dumps({"ts": _now(), "event": name, **told}, ensure_ascii=False, default=str) + "\n"
    # One write of one line, appended: processes may write side by side. An event that can't be kept must not stop the work it tells of.
    with contextlib.suppress(OSError):
        descriptor = os.open(found / "events.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(descriptor, line.encode(errors=UNSPEAKABLE))
        finally:
            os.close(descriptor)


def new_correlation_id() -> str:
    """A name for one click, from the page to the engine."""
    return new_id()


class Redactor:
    """Blanks secrets: the values that are set, and whatever looks like one."""

    def __init__(self, secrets: Sequence[str] = ()) -> None:
        spellings = {spelling for value in secrets for spelling in _spellings(value)}
        self._values = tuple(sorted((value for value in spellings if len(value) >= 4), key=len, reverse=True))

    def __call__(self, text: str) -> str:
        for value in self._values:
            text = text.replace(value, BLANK)
        return _SECRETS.sub(lambda found: (found["key"] or found["header"] or found["cookie"] or found["url"] or "") + BLANK, text)


class _Lines(logging.Formatter):
    """One JSON object per line."""

    def __init__(self, redact: Redactor, process: str) -> None:
        super().__init__()
        self._redact = redact
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "ts": _now(record.created),
            "level": record.levelname,
            "logger": record.name,
            "process": self._process,
            "msg": self._redact(record.getMessage()),
        }
        if _correlation_id.get():
            line["correlation_id"] = _correlation_id.get()
        if _job_id.get():
            line["job_id"] = _job_id.get()
        if record.exc_info:
            line["exc"] = self._redact(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)


class _Words(logging.Formatter):
    """For a terminal."""

    def __init__(self, redact: Redactor) -> None:
        super().__init__("%(levelname)s %(name)s: %(message)s")
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        return self._redact(super().format(record))


class _ToJob(logging.Handler):
    """Hands what is logged while a job runs to that job's own file."""

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(formatter)

    def emit(self, record: logging.LogRecord) -> None:
        handler = _job_lines.get()
        if handler is None:
            return
        try:
            handler.setFormatter(self.formatter)
            handler.handle(record)
        except OSError:
            # Opening its file is where FileHandler lets errors out: a full disk must not fail the job that only wanted to tell.
            self.handleError(record)


def _spellings(secret: str) -> Iterator[str]:
    """A secret as it may stand in a log: as it is, in an address, in JSON; and the password inside an address."""
    password = secret.partition("://")[2].rpartition("@")[0].partition(":")[2]
    for value in (secret, password, unquote(password)):
        yield from (value, quote(value, safe=""), json.dumps(value)[1:-1])


def _job_log_path(data: Path, job_id: str) -> Path:
    return job_folder(data, job_id) / "log.jsonl"


def _now(seconds: float | None = None) -> str:
    return datetime.fromtimestamp(time.time() if seconds is None else seconds, UTC).isoformat(timespec="milliseconds")
