"""The change feed port on SQL."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from isocenter.adapters.sql.database import Database
from isocenter.adapters.sql.tables import events, head
from isocenter.records import Event


class SqlEventFeed:
    """Reads the events that the index appended; their numbers are given under a lock, so none comes late."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self, after: int = 0, limit: int = 100) -> Sequence[Event]:
        columns = events.c
        chosen = (
            select(columns.type, columns.store, columns.image, columns.at, columns.sequence)
            .where(columns.sequence > after)
            .order_by(columns.sequence)
            .limit(max(limit, 0))
        )
        with self._database.reading() as connection:
            return [Event(*row) for row in connection.execute(chosen)]

    def last(self) -> int:
        with self._database.reading() as connection:
            last: int = connection.execute(select(head.c.event)).scalar_one()
        return last
