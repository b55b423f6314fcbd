"""Databases for the tests of the SQL backend."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from isocenter.adapters.sql.database import Database
from isocenter.adapters.sql.migrate import migrate
from isocenter.testing.postgres import PostgresServer, postgres_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "index.sqlite"


@pytest.fixture
def sqlite(path: Path) -> Iterator[Database]:
    """A migrated SQLite database that gives up on a lock after 0.3 seconds."""
    database = Database(f"sqlite:///{path}", patience=0.3)
    migrate(database)
    yield database
    database.close()


@pytest.fixture
def postgres_name(postgres: PostgresServer) -> Iterator[str]:
    """The name of a new and empty PostgreSQL database."""
    name = postgres.new_database()
    yield name
    postgres.drop(name)


@pytest.fixture
def postgresql(postgres: PostgresServer, postgres_name: str) -> Iterator[Database]:
    """A migrated PostgreSQL database."""
    database = Database(postgres.url(postgres_name), patience=0.5)
    migrate(database)
    yield database
    database.close()
