"""Bringing a database's schema up to this version, safely when several processes start at once."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text

from isocenter.adapters.sql.database import Database
from isocenter.errors import Misconfigured

_SCRIPTS = Path(__file__).with_name("migrations")
# Any fixed number of ours: who holds this PostgreSQL advisory lock migrates.
_LOCK = 7_464_230_519


def migrate(database: Database) -> None:
    """Apply every migration that is missing, all or none; one process does it while the others wait.

    A schema made by a newer version raises Misconfigured.
    """
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    # BEGIN IMMEDIATE is SQLite's lock: nobody else writes until we are through.
    with database.transaction() as connection:
        if not database.is_sqlite:
            connection.execute(text("SET LOCAL lock_timeout = 0"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        if _is_current(connection, config):
            return
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError:
            raise Misconfigured("The database was made by a newer version of Isocenter.") from None


def _is_current(connection: Connection, config: Config) -> bool:
    return MigrationContext.configure(connection).get_current_heads() == tuple(
        ScriptDirectory.from_config(config).get_heads()
    )
