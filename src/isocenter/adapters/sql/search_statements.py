"""What nearly every search asks the database, in statements compiled once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, literal_column, select

from isocenter.adapters.sql.database import Database
from isocenter.adapters.sql.sized import Sized
from isocenter.adapters.sql.tables import head, series


class SearchStatements:
    """For these SQLAlchemy would take several times as long as the database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # Every change to what is found appends an event or takes a position.
        self._version = database.compiled(select(head.c.event, head.c.position))
        chosen = select(series.c.study_uid, series.c.modality)
        here = (series.c.store == bindparam("store"), series.c.instances > literal_column("0"))
        self._held = Sized(database, lambda uids: chosen.where(series.c.study_uid.in_(uids), *here))

    def version(self, connection: Connection) -> tuple[int, ...]:
        return tuple(self._fetched(connection, self._version, ())[0])

    def held(self, connection: Connection, uids: Sequence[str], store: str) -> list[Any]:
        """Study and modality of each series with a current image in these studies."""
        statement, values = self._held.of(uids)
        return self._fetched(connection, statement, (*values, store))

    def _fetched(self, connection: Connection, statement: str, values: Sequence[str]) -> list[Any]:
        cursor = self._database.cursor(connection)
        cursor.execute(statement, values)
        rows = list(cursor.fetchall())
        cursor.close()
        return rows
