"""The connection to SQLite or PostgreSQL: pool, transactions, snapshots, and statements compiled once."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Executable, create_engine, event, make_url, text
from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.dml import Insert, Update

from isocenter.adapters.sql.errors import translated
from isocenter.errors import BackendUnavailable, Misconfigured

_WRITES = "isocenter_writes"


class Database:
    """One database; safe to share between threads, not to be carried over a fork.

    `url` is SQLAlchemy's: `sqlite:///folder/index.sqlite` (always a file) or `postgresql://user@host/name`.
    `patience` is how many seconds a transaction waits for a lock before it raises BackendUnavailable.
    """

    def __init__(self, url: str | URL, *, pool_size: int = 8, overflow: int = 32, patience: float = 10.0) -> None:
        self.url = _driver(make_url(url))
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.patience = patience
        # SQLite lets one writer in and makes the others poll; in one process they queue here instead.
        self._turn = threading.Lock()
        options: dict[str, Any] = {
            # Statements may be logged or raised; their parameters carry attribute values.
            "hide_parameters": True,
            "pool_size": pool_size,
            "max_overflow": overflow,
            "pool_timeout": patience,
        }
        if self.is_sqlite:
            options |= {"connect_args": {"timeout": patience, "check_same_thread": False}}
            self.engine = create_engine(self.url, **options)
            event.listen(self.engine, "connect", self._sqlite_opened)
            event.listen(self.engine, "begin", _sqlite_begins)
            self._readers = self.engine
        else:
            options |= {
                "connect_args": _postgresql_arguments(self.url, patience),
                "pool_pre_ping": True,
                "pool_recycle": 1800,
                "paramstyle": "format",
            }
            self.engine = create_engine(self.url, **options)
            self._readers = self.engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        dbapi = self.engine.dialect.dbapi
        assert dbapi is not None
        self._driver_error: type[Exception] = dbapi.Error
        self._writers = self.engine.execution_options(**{_WRITES: True})

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A writing transaction: committed durably at the end, rolled back when anything is raised."""
        with translated(self._driver_error):
            if not self.is_sqlite:
                with self._writers.begin() as connection:
                    yield connection
                return
            if not self._turn.acquire(timeout=self.patience):
                raise BackendUnavailable("The database is locked by another thread.", code="database-locked")
            try:
                with self._writers.begin() as connection:
                    yield connection
            finally:
                self._turn.release()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A snapshot: every statement in it sees the same rows."""
        with translated(self._driver_error), self._readers.begin() as connection:
            yield connection

    def fetched(self, statement: str, values: Sequence[Any]) -> list[Any]:
        """The rows of one compiled statement, as the driver gives them: a snapshot without a transaction around it."""
        with translated(self._driver_error):
            connection = self.engine.raw_connection()
            driver: Any = connection.driver_connection
            try:
                if not self.is_sqlite:  # SQLite's are in autocommit as they are
                    driver.autocommit = True
                rows: list[Any] = driver.execute(statement, values).fetchall()
                if not self.is_sqlite:
                    driver.autocommit = False
            except BaseException:  # whatever it was: no transaction may come to be run in autocommit
                connection.invalidate()
                raise
            finally:
                connection.close()
            return rows

    def check(self) -> None:
        """Answer a trivial question, or raise what `translated` raises."""
        with self.reading() as connection:
            connection.execute(text("SELECT 1"))

    def cursor(self, connection: Connection) -> DBAPICursor:
        """The driver's own cursor: for the statements of a commit SQLAlchemy takes longer than SQLite."""
        return connection.connection.cursor()

    def write(self, connection: Connection, statements: Sequence[tuple[str, Sequence[tuple[Any, ...]]]]) -> None:
        """Run each compiled statement over its rows; to PostgreSQL all go out without waiting between."""
        cursor = self.cursor(connection)
        driver: Any = connection.connection.dbapi_connection
        with nullcontext() if self.is_sqlite else driver.pipeline():
            for statement, rows in statements:
                run(cursor, statement, rows)
        cursor.close()

    def close(self) -> None:
        """Close every idle connection; SQLite then folds its write-ahead log into the file."""
        self.engine.dispose()

    def compiled(self, statement: Executable, columns: Sequence[str] | None = None) -> str:
        """The text of a statement for `cursor`, its parameters in the order of `columns`."""
        names = list(columns) if columns is not None and isinstance(statement, Insert | Update) else None
        made = statement.compile(dialect=self.engine.dialect, column_keys=names)  # type: ignore[attr-defined]
        assert isinstance(made, SQLCompiler)
        order = list(made.positiontup or ())
        if columns is not None and order != list(columns):
            raise AssertionError(f"the statement takes {order}, not {list(columns)}")
        return str(made)

    def _sqlite_opened(self, connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        # We say BEGIN ourselves: Python's sqlite3 would do so late and without IMMEDIATE.
        connection.isolation_level = None
        cursor = connection.cursor()
        _write_ahead(cursor, self.patience)
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute("PRAGMA cache_size=-4096")
        # A checkpoint each 16 MiB instead of 4, and a log that shrinks after a long reader kept it growing.
        cursor.execute("PRAGMA wal_autocheckpoint=4096")
        cursor.execute("PRAGMA journal_size_limit=67108864")
        cursor.close()


def run(cursor: DBAPICursor, statement: str, rows: Sequence[tuple[Any, ...]]) -> int:
    """Run a compiled statement over rows and return how many it changed."""
    if len(rows) == 1:
        cursor.execute(statement, rows[0])  # psycopg's executemany has a price of its own
    elif rows:
        cursor.executemany(statement, rows)
    return cursor.rowcount if rows else 0


def _driver(url: URL) -> URL:
    backend = url.get_backend_name()
    if backend == "postgresql":
        return url.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise Misconfigured("The database must be sqlite:///<file> or postgresql://<user>@<host>/<name>.")
    if not url.database or url.database == ":memory:":
        raise Misconfigured("SQLite needs a file, sqlite:///<file>: in memory nothing is durable.")
    _private_file(Path(url.database))
    return url.set(drivername="sqlite+pysqlite")


def _private_file(path: Path) -> None:
    """Create the file readable by its owner only, as it holds secrets; SQLite's files beside it follow."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise BackendUnavailable(f"The database file cannot be opened: {error.strerror}.") from None


def _postgresql_arguments(url: URL, patience: float) -> dict[str, Any]:
    wait = int(patience * 1000)
    arguments: dict[str, Any] = {
        "connect_timeout": max(2, int(patience)),
        "application_name": "isocenter",
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "tcp_user_timeout": 60_000,
        "client_encoding": "UTF8",
        "options": f"-c lock_timeout={wait} -c idle_in_transaction_session_timeout=60000",
    }
    return {name: value for name, value in arguments.items() if name not in url.query}


def _sqlite_begins(connection: Connection) -> None:
    driver: Any = connection.connection.driver_connection
    driver.execute("BEGIN IMMEDIATE" if connection.get_execution_options().get(_WRITES, False) else "BEGIN")


def _write_ahead(cursor: Any, patience: float) -> None:
    """Turn the log on; two processes that do so first at once may collide in spite of the busy timeout."""
    deadline = time.monotonic() + patience
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
