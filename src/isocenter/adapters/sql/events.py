"""The change feed port on SQL."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Text, insert, literal_column, select, update

from isocenter.adapters.sql.database import Database
from isocenter.adapters.sql.tables import events, head
from isocenter.records import STUDY_COMPLETE, Event

# Spelt out, as the databases use the index of these alone only where they see the condition.
_COMPLETE = events.c.type == literal_column(f"'{STUDY_COMPLETE}'", Text())


class SqlEventFeed:
    """Reads the events that the index appended; their numbers are given under the head's lock, so none comes late."""

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

    def append(self, event: Event) -> bool:
        known = select(events.c.sequence).where(_COMPLETE, events.c.image == event.image)
        with self._database.transaction() as connection:
            last = connection.execute(select(head.c.event).with_for_update()).scalar_one()
            if connection.execute(known.limit(1)).first() is not None:
                return False
            values = {"type": STUDY_COMPLETE, "store": event.store, "image": event.image, "at": event.at}
            connection.execute(insert(events).values(sequence=last + 1, **values))
            connection.execute(update(head).values(event=last + 1))
        return True
