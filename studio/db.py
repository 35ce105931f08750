"""The database: its tables, how it is opened, and how an older one is brought up to date.

SQLite (WAL) in the data folder by default, PostgreSQL by one URL. The tables that DBOS keeps in the same database are its own.
Times are Unix seconds (UTC). A transaction is one `with`; no connection leaves its function.
"""

from __future__ import annotations

import sqlite3
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Boolean, Column, Double, Index, Integer, MetaData, Table, Text, event, exc
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from studio.errors import DatabaseTooNew, DatabaseUnavailable, DataRootReadOnly, DiskFull, LikenessError

MIGRATIONS = Path(__file__).parent / "migrations"

metadata = MetaData()

jobs = Table(
    "jobs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("lane", Text, nullable=False),
    Column("batch_id", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("run_id", Text, nullable=False, unique=True),
    Column("priority", Integer, nullable=False),
    Column("request", Text, nullable=False),
    Column("recipe", Text, nullable=False),
    Column("progress", Double, nullable=False),
    Column("step", Integer, nullable=False),
    Column("steps", Integer, nullable=False),
    Column("note", Text, nullable=False),
    Column("eta_s", Double),
    Column("preview", Integer, nullable=False),
    Column("cancel_requested", Boolean, nullable=False),
    Column("crashes", Integer, nullable=False),
    Column("correlation_id", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("finished_at", Double),
    Column("changed_at", Double, nullable=False),
    Column("error_code", Text),
    Column("error_message", Text),
    Column("error_remedy", Text),
    Column("error_field", Text),
    Column("character_id", Text),
    Index("ix_jobs_character", "character_id", "created_at"),
    Index("ix_jobs_state", "state", "priority", "id"),
    Index("ix_jobs_batch", "batch_id", "id"),
    Index("ix_jobs_changed", "changed_at"),
)

pictures = Table(
    "pictures",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("job_id", Text),
    Column("index", Integer, nullable=False),
    Column("path", Text, nullable=False, unique=True),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("bytes", Integer, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("seed", sa.BigInteger),
    Column("prompt", Text, nullable=False),
    Column("preset", Text),
    Column("style", Text),
    Column("engine", Text),
    Column("model", Text),
    Column("model_hash", Text),
    Column("lora_hashes", Text, nullable=False),
    Column("recipe", Text),
    Column("duration_s", Double),
    Column("created_at", Double, nullable=False),
    Column("trashed_at", Double, nullable=False, comment="0: not in the trash"),
    Column("character_id", Text),
    Column("favourite", Boolean, nullable=False, server_default=sa.false()),
    Column("caption", Text, nullable=False, server_default=""),
    Column("category", Text, nullable=False, server_default=""),
    Column("name", Text, nullable=False, server_default=""),
    Column("real_person", Boolean, nullable=False, server_default=sa.false()),
    Index("ix_pictures_character", "character_id", "kind", "trashed_at", "created_at", "id"),
    Index("ix_pictures_favourite", "favourite", "kind", "trashed_at", "created_at", "id"),
    Index("ix_pictures_shelf", "kind", "trashed_at", "created_at", "id"),
    Index("ix_pictures_job", "job_id", "index"),
)

characters = Table(
    "characters",
    metadata,
    Column("id", Text, primary_key=True),
    Column("slug", Text, nullable=False, unique=True),
    Column("trigger_word", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("body", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    Index("ix_characters_status", "status", "created_at", "id"),
)

# A sheet's id is that of the batch that makes it.
sheets = Table(
    "sheets",
    metadata,
    Column("id", Text, primary_key=True),
    Column("character_id", Text, nullable=False),
    Column("portrait", Text, nullable=False),
    Column("workflow", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Index("ix_sheets_character", "character_id", "created_at", "id"),
)

sheet_views = Table(
    "sheet_views",
    metadata,
    Column("job_id", Text, primary_key=True),
    Column("sheet_id", Text, nullable=False),
    Column("place", Integer, nullable=False),
    Column("view", Text, nullable=False),
    Column("view_group", Text, nullable=False),
    Column("caption", Text, nullable=False),
    Column("kept", Boolean, nullable=False),
    Index("ix_sheet_views_sheet", "sheet_id", "place"),
)

# A dataset's version grows with every change. Its files lie under the names of their contents and are kept as long as a training used them.
datasets = Table(
    "datasets",
    metadata,
    Column("id", Text, primary_key=True),
    Column("character_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    Index("ix_datasets_character", "character_id", "created_at", "id"),
)

dataset_pictures = Table(
    "dataset_pictures",
    metadata,
    Column("id", Text, primary_key=True),
    Column("dataset_id", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("caption", Text, nullable=False),
    Column("tags", Text, nullable=False),
    Column("flags", Text, nullable=False),
    Column("source", Text),
    Column("created_at", Double, nullable=False),
    Index("ix_dataset_pictures_place", "dataset_id", "created_at", "id"),
    Index("ix_dataset_pictures_file", "dataset_id", "sha256", unique=True),
)

# What the costly look at a picture found, by its file's contents.
examined = Table(
    "examined",
    metadata,
    Column("sha256", Text, primary_key=True),
    Column("body", Text, nullable=False),
)

dataset_changes = Table(
    "dataset_changes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("dataset_id", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("before", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Index("ix_dataset_changes_dataset", "dataset_id", "id"),
)

# `pictures` are the files and captions as they were when training was asked for; `asked` is "stop" while a stop is wanted.
trainings = Table(
    "trainings",
    metadata,
    Column("job_id", Text, primary_key=True),
    Column("character_id", Text, nullable=False),
    Column("dataset_id", Text, nullable=False),
    Column("dataset_version", Integer, nullable=False),
    Column("pictures", Text, nullable=False),
    Column("asked", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Index("ix_trainings_character", "character_id", "created_at", "job_id"),
)

lora_versions = Table(
    "lora_versions",
    metadata,
    Column("path", Text, primary_key=True),
    Column("character_id", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("job_id", Text, nullable=False),
    Column("step", Integer, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Index("ix_lora_versions_character", "character_id", "version", unique=True),
)

# `spent` is JSON of what the vision model used up; `change_id` is the dataset's change that the captions are part of.
captionings = Table(
    "captionings",
    metadata,
    Column("job_id", Text, primary_key=True),
    Column("dataset_id", Text),
    Column("url", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("spent", Text, nullable=False),
    Column("change_id", Text),
    Column("created_at", Double, nullable=False),
    Index("ix_captionings_dataset", "dataset_id", "created_at", "job_id"),
)

# What became of each picture of such a job; `before` is the caption that it had, `problem` JSON of why it has none.
captioned = Table(
    "captioned",
    metadata,
    Column("job_id", Text, primary_key=True),
    Column("place", Integer, primary_key=True),
    Column("picture_id", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("real_person", Boolean, nullable=False),
    Column("before", Text, nullable=False),
    Column("caption", Text, nullable=False),
    Column("traits", Text, nullable=False),
    Column("problem", Text, nullable=False),
)

# Before an engine's name: the row with its inventory. The bare name has its state.
INVENTORY = "inventory:"
MOST_QUEUED = 500
engine_states = Table(
    "engine_states",
    metadata,
    Column("name", Text, primary_key=True),
    Column("body", Text, nullable=False),
    Column("updated_at", Double, nullable=False),
)

marks = Table(
    "marks",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", sa.BigInteger, nullable=False),
)


@dataclass(frozen=True)
class Database:
    """An open database. `engine` waits for the disk at every commit; `quick` does not and is for progress alone."""

    url: str
    engine: sa.Engine
    quick: sa.Engine
    watcher: Watcher | None = None

    @property
    def is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        """One transaction that survives a power cut once it returns. Raises DatabaseUnavailable, DiskFull, DataRootReadOnly."""
        with translated(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """One consistent look. Raises as `begin` does."""
        with translated(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def begin_quick(self) -> Iterator[sa.Connection]:
        """One transaction that a power cut may undo, never a crash of a process: for progress."""
        with translated(), self.quick.begin() as connection:
            yield connection

    def change_mark(self) -> int | None:
        """A number that is another one whenever something was committed since; None where only looking can tell (PostgreSQL).

        Ten times cheaper than the smallest query, for those who look several times a second.
        """
        return self.watcher.mark() if self.watcher else None

    def queued_lanes(self) -> frozenset[str] | None:
        """The lanes in which jobs wait, a hundred times cheaper than through the pool; None where only looking can tell."""
        return self.watcher.queued_lanes() if self.watcher else None

    def close(self) -> None:
        self.engine.dispose()
        self.quick.dispose()
        if self.watcher:
            self.watcher.close()


def mentions(column: sa.ColumnElement[str], word: str) -> sa.ColumnElement[bool]:
    """Whether a text has a word or a piece of one, whatever its capitals. On SQLite capitals are those of ASCII, as for its `lower`."""
    escaped = word.replace("/", "//").replace("%", "/%").replace("_", "/_")
    return _Mentions(column, sa.literal(f"%{escaped}%"))


class _Mentions(FunctionElement[bool]):
    """SQLite's LIKE does not look at capitals: `lower` on both sides, which `icontains` writes, takes twice as long there."""

    type = sa.Boolean()
    name = "mentions"
    inherit_cache = True


@compiles(_Mentions)
def _with_ilike(element: _Mentions, compiler: SQLCompiler, **options: Any) -> str:
    text, pattern = (compiler.process(each, **options) for each in element.clauses)
    return f"({text} ILIKE {pattern} ESCAPE '/')"


@compiles(_Mentions, "sqlite")
def _with_like(element: _Mentions, compiler: SQLCompiler, **options: Any) -> str:
    text, pattern = (compiler.process(each, **options) for each in element.clauses)
    return f"({text} LIKE {pattern} ESCAPE '/')"


def open_database(url: str) -> Database:
    """Open the database at a SQLAlchemy URL; nothing is created. `migrate` makes the tables."""
    if not url.startswith("sqlite"):
        options = {"pool_pre_ping": True, "pool_size": 8, "max_overflow": 24}
        engine = sa.create_engine(url, **options)
        quick = sa.create_engine(url, **options)
        event.listen(quick, "connect", _relax_postgres)
        return Database(url, engine, quick)
    options = {"pool_size": 8, "max_overflow": 40, "connect_args": {"timeout": 30, "check_same_thread": False}}
    engine = sa.create_engine(url, **options)
    quick = sa.create_engine(url, **options)
    event.listen(engine, "connect", _full_sqlite)
    event.listen(quick, "connect", _quick_sqlite)
    return Database(url, engine, quick, Watcher(_sqlite_path(url)))


class Watcher:
    """Tells whether anyone committed to a SQLite file, over a connection of its own that never writes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def mark(self) -> int | None:
        """SQLite's data_version: grows with every commit of any other connection; None when the file can't be read."""
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = sqlite3.connect(self._path, check_same_thread=False, timeout=5)
                return self._connection.execute("PRAGMA data_version").fetchone()[0]
            except sqlite3.Error:
                return None

    def queued_lanes(self) -> frozenset[str] | None:
        """The lanes in which jobs wait; None where they can't be told, or where so many wait that to look would take long."""
        with self._lock:
            try:
                if self._connection is None:
                    return None
                found = self._connection.execute("SELECT lane FROM jobs WHERE state = 'queued' LIMIT ?", (MOST_QUEUED,)).fetchall()
            except sqlite3.Error:
                return None
        return frozenset(lane for (lane,) in found) if len(found) < MOST_QUEUED else None

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None


def migrate(url: str) -> None:
    """Create or upgrade every table, ours and DBOS's. Does next to nothing when all is up to date.

    Raises DatabaseTooNew for a database of a newer version, DatabaseUnavailable when it can't be reached.
    """
    if _is_current(url):
        return
    with _one_migrator(url):
        if _is_current(url):
            return
        _upgrade(url)


def head_revision() -> str:
    """The newest schema this version knows: files in migrations/versions are named in order."""
    return revisions()[-1]


def revisions() -> tuple[str, ...]:
    """Every schema revision, oldest first."""
    return tuple(sorted(path.stem.split("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py")))


@contextmanager
def translated() -> Iterator[None]:
    """Turn the driver's faults into ours, with a remedy."""
    try:
        yield
    except exc.DBAPIError as error:
        raise _translate(error) from error
    except exc.TimeoutError as error:
        raise DatabaseUnavailable("The database is too busy.", remedy="Wait a moment and try again.") from error


def _translate(error: exc.DBAPIError) -> LikenessError:
    words = str(error.orig)
    if "disk is full" in words or "No space left" in words:
        return DiskFull("The disk is full: the database could not be written.")
    if "readonly" in words or "read-only" in words or "unable to open" in words:
        return DataRootReadOnly(f"The database can't be written ({words}).")
    if "locked" in words:
        return DatabaseUnavailable("The database is busy.", remedy="Wait a moment and try again.")
    return DatabaseUnavailable(f"The database does not answer: {words.splitlines()[0] if words else 'no reason given'}.")


def _full_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    _prepare_sqlite(connection, "FULL")


def _quick_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    _prepare_sqlite(connection, "NORMAL")


def _prepare_sqlite(connection: sqlite3.Connection, synchronous: str) -> None:
    # IMMEDIATE: a transaction that will write takes its place at once, instead of failing when it tries to upgrade.
    connection.isolation_level = "IMMEDIATE"
    connection.execute("PRAGMA busy_timeout=30000")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute(f"PRAGMA synchronous={synchronous}")
    connection.execute("PRAGMA cache_size=-16000")


def _relax_postgres(connection: object, _record: object) -> None:
    with connection.cursor() as cursor:  # pyright: ignore[reportAttributeAccessIssue]  # a psycopg connection
        cursor.execute("SET synchronous_commit TO off")
    connection.commit()  # pyright: ignore[reportAttributeAccessIssue]


def _sqlite_path(url: str) -> Path:
    return Path(sa.make_url(url).database or "")


def _is_current(url: str) -> bool:
    if not url.startswith("sqlite"):
        return False
    path = _sqlite_path(url)
    if not path.exists():
        return False
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10) as connection:
            found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            (mark,) = connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.Error:
        return False
    if found and found[0] not in revisions():
        raise DatabaseTooNew()
    return bool(found) and found[0] == head_revision() and mark == _dbos_mark()


def _dbos_mark() -> int:
    """Stands in the file's header when this version of DBOS has made its tables: importing it to ask takes a quarter of a second."""
    return zlib.crc32(version("dbos").encode()) & 0x7FFFFFFF


@contextmanager
def _one_migrator(url: str) -> Iterator[None]:
    if not url.startswith("sqlite"):
        engine = sa.create_engine(url)
        try:
            with translated(), engine.connect() as connection:
                connection.execute(sa.text("SELECT pg_advisory_lock(7860786)"))
                yield
        finally:
            engine.dispose()
        return
    from filelock import FileLock

    path = _sqlite_path(url)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".migrating"), timeout=120):
            yield
    except OSError as error:
        from studio.errors import from_os_error

        raise from_os_error(error, "create the database") from error


def _upgrade(url: str) -> None:
    import logging

    from alembic import command
    from alembic.config import Config
    from dbos import DBOS

    database = open_database(url)
    try:
        if database.is_sqlite:
            # DBOS leaves the journal mode alone; WAL lets readers and a writer work side by side, and is kept in the file.
            with translated(), database.engine.connect() as connection:
                connection.execute(sa.text("PRAGMA journal_mode=WAL"))
        with database.begin() as connection:
            found = _our_version(connection)
            if found and found not in revisions():
                raise DatabaseTooNew()
            config = Config()
            config.set_main_option("script_location", str(MIGRATIONS))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        logging.getLogger("dbos").setLevel(logging.WARNING)
        with translated():
            DBOS.migrate(url)
            if database.is_sqlite:
                with database.engine.connect() as connection:
                    connection.execute(sa.text(f"PRAGMA user_version={_dbos_mark()}"))
    finally:
        database.close()


def _our_version(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
