"""What becomes of the databases' errors: locked, full, damaged and lost databases are said to be so."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from isocenter.adapters.sql.audit import SqlAuditLog
from isocenter.adapters.sql.database import Database
from isocenter.adapters.sql.errors import meaning
from isocenter.adapters.sql.index import SqlIndex
from isocenter.adapters.sql.migrate import migrate
from isocenter.errors import (
    BackendUnavailable,
    Corrupted,
    IsocenterError,
    LimitExceeded,
    Misconfigured,
    Saturated,
    StorageFull,
)
from isocenter.records import ImageQuery
from isocenter.testing.chain import assert_chained
from isocenter.testing.postgres import PostgresServer, postgres_server
from isocenter.testing.records import new_entry, new_image

KEY = b"key"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another connection that writes and does not end."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def test_a_database_locked_by_another_process_is_unavailable_and_recovers(sqlite: Database, path: Path) -> None:
    index, new = SqlIndex(sqlite, KEY), new_image()
    with locked(path):
        with pytest.raises(BackendUnavailable) as raised:
            index.commit([(new, new_entry())])
        assert raised.value.code == "database-locked"
        assert index.images(ImageQuery()).items == ()  # reading goes on
    index.commit([(new, new_entry())])
    assert index.get(new.record.id) == new.record


def test_a_database_locked_by_another_thread_is_unavailable(sqlite: Database) -> None:
    with (
        ThreadPoolExecutor(1) as pool,
        sqlite.transaction(),
        pytest.raises(BackendUnavailable, match="another thread"),
    ):
        pool.submit(SqlAuditLog(sqlite, KEY).append, [new_entry()]).result()


def test_a_head_locked_too_long_on_postgresql_is_unavailable(postgresql: Database) -> None:
    audit = SqlAuditLog(postgresql, KEY)
    with postgresql.transaction() as connection:
        connection.execute(text("SELECT * FROM head FOR UPDATE"))
        with ThreadPoolExecutor(1) as pool, pytest.raises(BackendUnavailable, match="55P03"):
            pool.submit(audit.append, [new_entry()]).result()
    audit.append([new_entry()])


def test_a_full_disk_is_storage_full_and_what_was_acknowledged_stays(sqlite: Database) -> None:
    index, audit = SqlIndex(sqlite, KEY), SqlAuditLog(sqlite, KEY)
    with sqlite.reading() as connection:
        pages = connection.execute(text("PRAGMA page_count")).scalar_one()
    # The pool hands the same connection out again, and this limit is one connection's.
    with sqlite.reading() as connection:
        connection.execute(text(f"PRAGMA max_page_count={pages + 40}"))
    kept = []
    with pytest.raises(StorageFull) as raised:
        for _ in range(1000):
            new = new_image()
            index.commit([(new, new_entry())])
            kept.append(new.record)
    assert raised.value.retry_after > 0
    assert len(kept) > 10
    assert list(index.images(ImageQuery(limit=2000)).items) == kept
    assert len(assert_chained(audit, KEY)) == len(kept)
    with sqlite.reading() as connection:
        connection.execute(text("PRAGMA max_page_count=1000000"))
    index.commit([(new_image(), new_entry())])


def test_a_lost_connection_is_unavailable_once_and_then_replaced(postgres: PostgresServer, postgres_name: str) -> None:
    database = Database(postgres.url(postgres_name))
    migrate(database)
    index, new = SqlIndex(database, KEY), new_image()
    with pytest.raises(BackendUnavailable), database.transaction() as connection:
        connection.execute(text("SELECT 1"))
        postgres.disconnect_all(postgres_name)
        connection.execute(text("SELECT 1"))
    postgres.disconnect_all(postgres_name)  # between transactions the pool notices by itself
    index.commit([(new, new_entry())])
    assert index.get(new.record.id) == new.record
    database.close()


def test_a_connection_lost_in_the_middle_of_a_commit_is_unavailable_and_leaves_nothing(
    postgres: PostgresServer, postgres_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(postgres.url(postgres_name))
    migrate(database)
    index, new = SqlIndex(database, KEY), new_image()

    def cut(*_: object) -> None:
        postgres.disconnect_all(postgres_name)

    monkeypatch.setattr("isocenter.adapters.sql.commit._tell", cut)
    with pytest.raises(BackendUnavailable):
        index.commit([(new, new_entry())])
    monkeypatch.undo()
    assert index.get(new.record.id) is None
    index.commit([(new, new_entry())])
    database.close()


def test_a_look_up_that_breaks_off_leaves_no_connection_in_autocommit(
    postgresql: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    statement = postgresql.compiled(text("SELECT 1"))
    assert [tuple(row) for row in postgresql.fetched(statement, ())] == [(1,)]

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("psycopg.Connection.execute", interrupted)
    with pytest.raises(KeyboardInterrupt):
        postgresql.fetched(statement, ())
    monkeypatch.undo()
    with pytest.raises(RuntimeError), postgresql.transaction() as connection:
        connection.execute(text("CREATE TABLE half (a int)"))
        raise RuntimeError
    with pytest.raises(IsocenterError):
        postgresql.fetched("SELECT * FROM half", ())
    assert [tuple(row) for row in postgresql.fetched(statement, ())] == [(1,)]


def test_a_server_that_went_away_is_unavailable() -> None:
    with postgres_server() as server:
        database = Database(server.url("postgres"), patience=2)
        database.check()
    with pytest.raises(BackendUnavailable):
        database.check()
    database.close()


def test_a_pool_without_a_free_connection_is_saturated(path: Path) -> None:
    database = Database(f"sqlite:///{path}", pool_size=1, overflow=0, patience=0.1)
    with database.reading(), ThreadPoolExecutor(1) as pool, pytest.raises(Saturated):
        pool.submit(database.check).result()
    database.close()


def test_a_file_that_is_no_database_is_corrupted(path: Path) -> None:
    path.write_bytes(b"this is no database " * 1000)
    database = Database(f"sqlite:///{path}")
    with pytest.raises(Corrupted):
        database.check()
    database.close()


def test_a_folder_that_is_missing_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(BackendUnavailable):
        Database(f"sqlite:///{tmp_path / 'missing' / 'index.sqlite'}")


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://host/name"])
def test_a_database_we_cannot_use_is_misconfigured(url: str) -> None:
    with pytest.raises(Misconfigured):
        Database(url)


def test_a_refused_statement_says_nothing_of_its_values(sqlite: Database, postgresql: Database) -> None:
    for database in (sqlite, postgresql):
        with pytest.raises(IsocenterError) as raised, database.transaction() as connection:
            for _ in range(2):
                insert = text("INSERT INTO secrets (name, value) VALUES (:name, :value)")
                connection.execute(insert, {"name": "CANARY", "value": b"CANARY"})
        assert type(raised.value) is IsocenterError
        assert "CANARY" not in raised.value.detail
        assert raised.value.__suppress_context__


def test_our_own_errors_pass_through_untouched(sqlite: Database) -> None:
    with pytest.raises(StorageFull, match="mine"), sqlite.transaction():
        raise StorageFull("mine")


@pytest.mark.parametrize(
    ("state", "wanted"),
    [
        ("53100", StorageFull), ("53300", Saturated), ("08006", BackendUnavailable),
        ("40P01", BackendUnavailable),
        ("57P01", BackendUnavailable), ("57014", BackendUnavailable), ("XX001", Corrupted),
        ("54000", LimitExceeded),
        ("23505", IsocenterError), ("42P01", IsocenterError),
    ],
)  # fmt: skip
def test_each_sqlstate_has_its_meaning(state: str, wanted: type[IsocenterError]) -> None:
    cause = psycopg.errors.lookup(state)("CANARY")
    error = meaning(cause)
    assert type(error) is wanted
    assert "CANARY" not in error.detail


def test_the_file_of_a_new_database_is_its_owners_alone(sqlite: Database, path: Path) -> None:
    SqlAuditLog(sqlite, KEY).append([new_entry()])
    for file in path.parent.glob("index.sqlite*"):
        assert file.stat().st_mode & 0o077 == 0


def test_writers_in_threads_take_turns_without_polling(sqlite: Database) -> None:
    audit = SqlAuditLog(sqlite, KEY)
    began = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: audit.append([new_entry()]), range(80)))
    assert time.monotonic() - began < 30
    assert len(assert_chained(audit, KEY)) == 80
