"""The migrations: they make what `tables` says, once, and know what they do not know."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from isocenter.adapters.sql import migrate as migrate_module
from isocenter.adapters.sql.database import Database
from isocenter.adapters.sql.index import SqlIndex
from isocenter.adapters.sql.migrate import migrate
from isocenter.adapters.sql.tables import head, metadata
from isocenter.errors import IsocenterError, Misconfigured
from isocenter.records import ImageQuery
from isocenter.testing.postgres import PostgresServer
from isocenter.testing.records import new_entry, new_image

POSTGRES_SCHEMA = (
    "SELECT table_name, column_name, data_type, is_nullable, column_default "
    "FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version' "
    "ORDER BY table_name, ordinal_position",
    "SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = 'public' "
    "AND tablename <> 'alembic_version' ORDER BY indexname",
    "SELECT conname, conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint "
    "WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text <> 'alembic_version' "
    "ORDER BY 1",
)
SQLITE_SCHEMA = ("SELECT name, sql FROM sqlite_master WHERE tbl_name <> 'alembic_version' ORDER BY name",)


def schema(connection: Connection, queries: tuple[str, ...]) -> list[tuple[object, ...]]:
    rows = [tuple(row) for query in queries for row in connection.execute(text(query))]
    return [tuple(re.sub(r"\s+", " ", str(value)).strip() for value in row) for row in rows]


@pytest.fixture
def empty_sqlite(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'empty.sqlite'}")
    yield database
    database.close()


@pytest.fixture
def empty_postgresql(postgres: PostgresServer) -> Iterator[Database]:
    name = postgres.new_database()
    database = Database(postgres.url(name))
    yield database
    database.close()
    postgres.drop(name)


def test_migrated_sqlite_is_what_the_tables_say_to_the_letter(sqlite: Database, empty_sqlite: Database) -> None:
    with empty_sqlite.transaction() as connection:
        metadata.create_all(connection)
        wanted = schema(connection, SQLITE_SCHEMA)
    with sqlite.reading() as connection:
        assert schema(connection, SQLITE_SCHEMA) == wanted


def test_migrated_postgresql_is_what_the_tables_say_to_the_letter(
    postgresql: Database, empty_postgresql: Database
) -> None:
    with empty_postgresql.transaction() as connection:
        metadata.create_all(connection)
        wanted = schema(connection, POSTGRES_SCHEMA)
    with postgresql.reading() as connection:
        assert schema(connection, POSTGRES_SCHEMA) == wanted


def test_alembic_finds_nothing_left_to_migrate(sqlite: Database, postgresql: Database) -> None:
    for database in (sqlite, postgresql):
        with database.reading() as connection:
            assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_migrating_again_changes_nothing_and_loses_nothing(sqlite: Database, postgresql: Database) -> None:
    for database in (sqlite, postgresql):
        index = SqlIndex(database, b"key")
        new = new_image()
        index.commit([(new, new_entry())])
        migrate(database)
        assert index.images(ImageQuery()).items == (new.record,)


def test_a_database_of_a_newer_version_is_refused(sqlite: Database) -> None:
    with sqlite.transaction() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Misconfigured, match="newer"):
        migrate(sqlite)


def test_processes_that_start_at_once_migrate_once(tmp_path: Path, postgres: PostgresServer) -> None:
    program = (
        "import sys; from isocenter.adapters.sql.database import Database; "
        "from isocenter.adapters.sql.migrate import migrate; d = Database(sys.argv[1]); migrate(d); d.close()"
    )
    name = postgres.new_database()
    for url in (f"sqlite:///{tmp_path / 'shared.sqlite'}", postgres.url(name)):
        started = [subprocess.Popen([sys.executable, "-c", program, url], stderr=subprocess.PIPE) for _ in range(5)]
        for process in started:
            _, errors = process.communicate(timeout=60)
            assert process.returncode == 0, errors.decode()
        database = Database(url)
        with database.reading() as connection:
            assert len(connection.execute(head.select()).all()) == 1
        database.close()
    postgres.drop(name)


def test_a_migration_that_fails_leaves_nothing_behind(empty_sqlite: Database, empty_postgresql: Database) -> None:
    for database in (empty_sqlite, empty_postgresql):
        with database.transaction() as connection:
            connection.execute(text("CREATE TABLE outcomes (x INTEGER)"))
        with pytest.raises(IsocenterError, match="refused"):
            migrate(database)
        with database.transaction() as connection:
            connection.execute(text("DROP TABLE outcomes"))
        migrate(database)


def test_the_newest_migration_is_the_one_a_start_looks_for() -> None:
    scripts = ScriptDirectory(str(Path(migrate_module.__file__).with_name("migrations")))
    assert scripts.get_current_head() == migrate_module.HEAD
