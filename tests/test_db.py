"""The database is made once, upgraded in place, and never opened by an older version."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from studio import db
from studio.errors import DatabaseTooNew, DatabaseUnavailable, DataRootReadOnly


def test_migrations_build_exactly_the_tables_that_the_code_describes(database: db.Database) -> None:
    with database.read() as connection:
        context = MigrationContext.configure(
            connection, opts={"include_object": lambda _o, name, kind, _r, _c: kind != "table" or name in db.metadata.tables}
        )
        assert compare_metadata(context, db.metadata) == []


def test_the_newest_file_is_alembics_head() -> None:
    config = Config()
    config.set_main_option("script_location", str(db.MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_current_head() == db.head_revision()


def test_migrating_again_changes_nothing(database: db.Database) -> None:
    with database.begin() as connection:
        connection.execute(sa.insert(db.marks).values(name="kept", value=7))
    db.migrate(database.url)
    with database.read() as connection:
        assert connection.execute(sa.select(db.marks.c.value)).scalar() == 7


def test_pictures_whose_preset_was_a_style_have_that_style(database: db.Database) -> None:
    plain = {"kind": "generated", "index": 0, "width": 1, "height": 1, "bytes": 1, "sha256": "", "prompt": "", "lora_hashes": "{}"}
    with database.begin() as connection:
        connection.execute(sa.text("ALTER TABLE pictures DROP COLUMN style"))
        for newer in (
            "sheets",
            "sheet_views",
            "datasets",
            "dataset_pictures",
            "examined",
            "dataset_changes",
            "trainings",
            "lora_versions",
            "captionings",
            "captioned",
        ):
            connection.execute(sa.text(f"DROP TABLE {newer}"))
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '0002'"))
        older = sa.table("pictures", *(sa.column(name) for name in (*plain, "id", "path", "preset", "created_at", "trashed_at")))
        for preset in ("anime_v1", "portrait_v1"):
            row = {**plain, "id": preset, "path": preset, "preset": preset, "created_at": 1.0, "trashed_at": 0}
            connection.execute(sa.insert(older).values(row))
    db.migrate(database.url)
    with database.read() as connection:
        styles = {row.id: row.style for row in connection.execute(sa.select(db.pictures.c.id, db.pictures.c.style))}
    assert styles == {"anime_v1": "anime_v1", "portrait_v1": None}


@pytest.mark.parametrize(
    ("text", "word", "found"),
    [
        ("Long RED hair", "red", True),
        ("long red hair", "ED H", True),
        ("long red hair", "green", False),
        ("100 % cotton", "%", True),
        ("cotton", "%", False),
        ("a_b", "_", True),
        ("ab", "a_b", False),
        ("and/or", "D/O", True),
        ("and\\or", "\\", True),
    ],
)
def test_words_are_found_as_they_are_whatever_their_capitals(database: db.Database, text: str, word: str, found: bool) -> None:
    with database.read() as connection:
        assert connection.execute(sa.select(db.mentions(sa.literal(text), word))).scalar_one() == found


def test_two_processes_may_migrate_at_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new' / 'likeness.db'}"
    faults: list[Exception] = []

    def one() -> None:
        try:
            db.migrate(url)
        except Exception as error:  # noqa: BLE001 - counted below
            faults.append(error)

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []


def test_a_database_of_a_newer_version_is_refused_and_left_alone(database: db.Database) -> None:
    with database.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseTooNew):
        db.migrate(database.url)
    with database.read() as connection:
        assert connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar() == "9999"


def test_sqlite_keeps_an_accepted_job_through_a_power_cut(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'likeness.db'}"
    db.migrate(url)
    database = db.open_database(url)
    full = 2
    with database.read() as connection:
        assert connection.execute(sa.text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(sa.text("PRAGMA synchronous")).scalar() == full
    database.close()


def test_a_server_that_is_not_there_is_named_as_such() -> None:
    with pytest.raises(DatabaseUnavailable) as caught:
        db.migrate("postgresql+psycopg://nobody@127.0.0.1:9/likeness?connect_timeout=2")
    assert caught.value.remedy


def test_a_database_in_a_place_that_can_not_be_written_is_named_as_such(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises((DataRootReadOnly, DatabaseUnavailable)):
        with db.open_database(f"sqlite:///{tmp_path / 'file' / 'likeness.db'}").read() as connection:
            connection.execute(sa.text("SELECT 1"))


def test_the_change_mark_moves_with_every_commit_and_rests_otherwise(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'likeness.db'}"
    db.migrate(url)
    database = db.open_database(url)
    before = database.change_mark()
    assert database.change_mark() == before
    with database.begin_quick() as connection:
        connection.execute(sa.insert(db.marks).values(name="moved", value=1))
    assert database.change_mark() != before
    database.close()
