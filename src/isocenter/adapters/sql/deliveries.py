"""The deliveries port on SQL."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import fields, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, select, update
from sqlalchemy.dialects.postgresql import insert

from isocenter.adapters.sql.cursor import cursor, position
from isocenter.adapters.sql.database import Database
from isocenter.adapters.sql.head import HeadLock
from isocenter.adapters.sql.tables import delivered, deliveries
from isocenter.adapters.sql.text import clean
from isocenter.errors import NotFound
from isocenter.records import AuditEntry, Delivery, Page

_COLUMNS = tuple(field.name for field in fields(Delivery))
_AT_ONCE = 500


class SqlDeliveries:
    """Deliveries, each change with its audit entry."""

    def __init__(self, database: Database, audit_key: bytes) -> None:
        self._database = database
        self._lock = HeadLock(database, audit_key)

    def create(self, delivery: Delivery, images: Sequence[str], entry: AuditEntry) -> Delivery:
        values = {name: getattr(delivery, name) for name in _COLUMNS}
        rows = [{"delivery": delivery.id, "number": number, "image": image} for number, image in enumerate(images)]
        with self._database.transaction() as connection:
            head = self._lock.taken(connection)
            fresh = insert(deliveries).values(values).on_conflict_do_nothing(index_elements=[deliveries.c.id])
            if connection.execute(fresh.returning(deliveries.c.id)).one_or_none() is not None:
                if rows:
                    connection.execute(insert(delivered), rows)
                head.note(entry)
                head.save()
            found = _found(connection, delivery.id)
        assert found is not None
        return found

    def get(self, id: str) -> Delivery | None:
        with self._database.reading() as connection:
            return _found(connection, id)

    def holds(self, id: str, image: str) -> bool:
        wanted = select(delivered.c.number).where(delivered.c.delivery == clean(id), delivered.c.image == clean(image))
        with self._database.reading() as connection:
            return connection.execute(wanted).one_or_none() is not None

    def images(self, id: str, *, after: int = 0, limit: int = 1000) -> Sequence[str]:
        wanted = select(delivered.c.image).where(delivered.c.delivery == clean(id), delivered.c.number >= after)
        with self._database.reading() as connection:
            return list(connection.execute(wanted.order_by(delivered.c.number).limit(max(0, limit))).scalars())

    def page(
        self, *, stores: Collection[str] | None = None, after: str | None = None, limit: int = 100
    ) -> Page[Delivery]:
        chosen = select(deliveries).order_by(deliveries.c.position.desc()).limit(limit + 1)
        if after is not None:
            chosen = chosen.where(deliveries.c.position < position("deliveries", after))
        if stores is not None:
            chosen = chosen.where(deliveries.c.store.in_(list(stores)))
        if limit < 1:
            return Page(())
        with self._database.reading() as connection:
            rows = connection.execute(chosen).all()
        following = cursor("deliveries", rows[limit - 1].position) if len(rows) > limit else None
        return Page(tuple(_delivery(row) for row in rows[:limit]), following)

    def revoke(self, id: str, entry: AuditEntry) -> Delivery:
        with self._database.transaction() as connection:
            head = self._lock.taken(connection)
            known = _found(connection, id)
            if known is None:
                raise NotFound("no delivery has this id")
            if known.revoked is not None:
                return known
            connection.execute(update(deliveries).where(deliveries.c.id == known.id).values(revoked=entry.at))
            head.note(entry)
            head.save()
        return replace(known, revoked=entry.at)

    def sweep(self, before: datetime) -> int:
        swept = 0
        over = select(deliveries.c.id).where(deliveries.c.expires < before).limit(_AT_ONCE)
        while True:
            with self._database.transaction() as connection:
                ids = list(connection.execute(over).scalars())
                connection.execute(delete(delivered).where(delivered.c.delivery.in_(ids)))
                connection.execute(delete(deliveries).where(deliveries.c.id.in_(ids)))
            swept += len(ids)
            if len(ids) < _AT_ONCE:
                return swept


def _found(connection: Connection, id: str) -> Delivery | None:
    row = connection.execute(select(deliveries).where(deliveries.c.id == clean(id))).one_or_none()
    return None if row is None else _delivery(row)


def _delivery(row: Row[Any]) -> Delivery:
    return Delivery(**{name: getattr(row, name) for name in _COLUMNS})
