"""Bringing a database's schema up to this version, safely when several processes start at once."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from isocenter.adapters.sql.database import Database
from isocenter.errors import Misconfigured

# The newest migration; known here so that a start with nothing to migrate need not load Alembic (0.3 s).
HEAD = "0005"
_SCRIPTS = Path(__file__).with_name("migrations")
# Any fixed number of ours: who holds this PostgreSQL advisory lock migrates.
_LOCK = 7_464_230_519


def migrate(database: Database) -> None:
    """Apply every migration that is missing, all or none; one process does it while the others wait.

    A schema made by a newer version raises Misconfigured.
    """
    # BEGIN IMMEDIATE is SQLite's lock: nobody else writes until we are through.
    with database.transaction() as connection:
        if not database.is_sqlite:
            connection.execute(text("SET LOCAL lock_timeout = 0"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        if _version(connection) != HEAD:
            _upgrade(connection)


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError:
        raise Misconfigured("The database was made by a newer version of Isocenter.") from None
