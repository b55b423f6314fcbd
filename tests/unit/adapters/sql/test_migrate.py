"""The migrations: they make what `tables` says, once, and know what they do not know."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from isocenter.adapters.sql import migrate as migrate_module
from isocenter.adapters.sql.database import Database
from isocenter.adapters.sql.index import SqlIndex
from isocenter.adapters.sql.migrate import migrate
from isocenter.adapters.sql.open_studies import SqlOpenStudies
from isocenter.adapters.sql.search import SqlSearchIndex
from isocenter.adapters.sql.tables import head, metadata
from isocenter.dicom.attribute_lines import model_of
from isocenter.dicom.matching import AnyOf, Clause, Key
from isocenter.errors import IsocenterError, Misconfigured
from isocenter.records import ImageQuery, Indexed, Search
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


def test_what_the_first_version_kept_is_counted_and_found_after_reindexing(
    empty_sqlite: Database, empty_postgresql: Database
) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrate_module.__file__).with_name("migrations")))
    study = {"00100020": {"vr": "LO", "Value": ["ID"]}}
    kept = zlib.compress(json.dumps({"meta": {}, "model": study, "bulk": {}}).encode())
    for database in (empty_sqlite, empty_postgresql):
        with database.transaction() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "0001")
            for position, state in ((1, "current"), (2, "current"), (3, "deleted")):
                values = (
                    f"{position}, 'i{position}', 'raw', 'dicom', 'application/dicom', 's', 'u{position}', 'k', 1, 'h',"
                    f" 1, '{state}', 1, '1.2', '1.3', '1.4.{position}', '1.5', '1.6', 1, 0, true, true"
                )
                connection.execute(text(f"INSERT INTO images VALUES ({values})"))
                row = {"position": position, "metadata": kept}
                connection.execute(text("INSERT INTO details (position, metadata) VALUES (:position, :metadata)"), row)
            old = {"model": json.dumps(study)}
            connection.execute(text("INSERT INTO studies VALUES (1, 'raw', '1.2', :model)"), old)
            connection.execute(text("INSERT INTO series VALUES (1, 'raw', '1.2', '1.3', 'CT', :model)"), old)
        migrate(database)
        search = SqlSearchIndex(database)
        wanted = Search("study", "raw", (Key((0x00100020,), "study", (Clause(("00100020",), AnyOf(("ID",))),)),))
        (found,) = search.search(Search("study", "raw")).items
        assert (model_of(found.attributes), found.number_of_instances, found.modalities) == (study, 2, ("CT",))
        assert search.names() == frozenset()
        assert search.search(wanted).total == 0
        search.reindex([Indexed("i1", study, {"00080060": {"vr": "CS", "Value": ["MR"]}}, {})])
        (found,) = search.search(wanted).items
        assert found.modalities == ("MR",)


def test_studies_that_came_before_anybody_followed_the_feed_are_not_open(
    empty_sqlite: Database, empty_postgresql: Database
) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrate_module.__file__).with_name("migrations")))
    for database in (empty_sqlite, empty_postgresql):
        with database.transaction() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "0004")
            connection.execute(text("UPDATE head SET event = 7"))
        migrate(database)
        assert SqlOpenStudies(database).cursor() == 7


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
