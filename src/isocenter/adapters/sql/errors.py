"""What the databases' errors mean to us: translated here, in one context manager."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from isocenter.errors import (
    BackendUnavailable,
    Corrupted,
    IsocenterError,
    LimitExceeded,
    Saturated,
    StorageFull,
)

# SQLSTATE classes and codes: PostgreSQL, Appendix A.
_FULL = ("53100",)
_SATURATED = ("53200", "53300", "53400")
_AWAY = ("08", "25006", "25P03", "40", "53000", "55P03", "57", "58")
_SQLITE_AWAY = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_AUTH,
    }
)
_SQLITE_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


@contextmanager
def translated(driver_error: type[Exception]) -> Iterator[None]:
    """Turn what SQLAlchemy and the driver raise into our errors, without their texts, which carry values."""
    try:
        yield
    except PoolTimeout:
        raise Saturated("Every connection to the database is in use.") from None
    except DBAPIError as error:
        raise meaning(error.orig) from None
    except driver_error as error:
        raise meaning(error) from None


def meaning(cause: BaseException | None) -> IsocenterError:
    """Our error for one of a driver's; one that should not happen becomes a bare IsocenterError."""
    if isinstance(cause, sqlite3.Error):
        return _of_sqlite(cause)
    state: str | None = getattr(cause, "sqlstate", None)
    if state is None:
        if type(cause).__name__ in ("OperationalError", "InterfaceError"):
            return BackendUnavailable("The database cannot be reached.")
    elif state.startswith(_FULL):
        return StorageFull("The database has no room left.", retry_after=60)
    elif state.startswith(_SATURATED):
        return Saturated("The database serves as many connections as it can.")
    elif state.startswith("54"):
        return LimitExceeded("A value is larger than the database takes.")
    elif state.startswith(_AWAY):
        return BackendUnavailable(f"The database did not answer (SQLSTATE {state}).")
    elif state in ("XX001", "XX002"):
        return Corrupted("The database is damaged: restore it from a backup.")
    return IsocenterError(f"The database refused a statement ({type(cause).__name__}, SQLSTATE {state}).")


def _of_sqlite(cause: sqlite3.Error) -> IsocenterError:
    code = getattr(cause, "sqlite_errorcode", None)
    name = getattr(cause, "sqlite_errorname", type(cause).__name__)
    primary = None if code is None else code & 0xFF
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return BackendUnavailable("The database is locked by another process.", code="database-locked")
    if primary == sqlite3.SQLITE_TOOBIG:
        return LimitExceeded("A value is larger than the database takes.")
    if primary == sqlite3.SQLITE_FULL:
        return StorageFull("The disk that holds the database is full.", retry_after=60)
    if primary in _SQLITE_DAMAGED:
        return Corrupted("The database file is damaged: restore it from a backup.")
    if primary in _SQLITE_AWAY:
        return BackendUnavailable(f"The database file cannot be used ({name}).")
    return IsocenterError(f"The database refused a statement ({name}).")
