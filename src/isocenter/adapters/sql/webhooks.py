"""The webhooks port on SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import Connection, Row, case, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from isocenter.adapters.sql.database import Database
from isocenter.adapters.sql.head import HeadLock
from isocenter.adapters.sql.moments import DatabaseClock
from isocenter.adapters.sql.tables import webhook_letters, webhooks
from isocenter.adapters.sql.text import clean
from isocenter.errors import NotFound
from isocenter.ports.webhooks import Letter, Standing, Subscription
from isocenter.records import AuditEntry

_LETTER = ("sequence", "attempts", "code", "at", "due")


class SqlWebhooks:
    """Webhooks. Changes to one go one after the other, by a lock on its row; claims run by the database's clock."""

    def __init__(self, database: Database, audit_key: bytes) -> None:
        self._database = database
        self._lock = HeadLock(database, audit_key)

    def add(self, subscription: Subscription, cursor: int, entry: AuditEntry) -> None:
        values = {
            "id": subscription.id, "url": clean(subscription.url), "store": subscription.store, "cursor": cursor,
            "events": orjson.dumps(sorted(subscription.events)).decode(), "created": subscription.created,
            "actor": subscription.actor,
        }  # fmt: skip
        with self._database.transaction() as connection:
            head = self._lock.taken(connection)
            fresh = insert(webhooks).values(values).on_conflict_do_nothing(index_elements=[webhooks.c.id])
            if connection.execute(fresh.returning(webhooks.c.id)).one_or_none() is not None:
                head.note(entry)
                head.save()

    def remove(self, id: str, entry: AuditEntry) -> None:
        with self._database.transaction() as connection:
            head = self._lock.taken(connection)
            _locked(connection, id)
            connection.execute(delete(webhook_letters).where(webhook_letters.c.webhook == clean(id)))
            connection.execute(delete(webhooks).where(webhooks.c.id == clean(id)))
            head.note(entry)
            head.save()

    def all(self) -> Sequence[Standing]:
        columns = webhook_letters.c
        counted = select(
            columns.webhook,
            func.count(columns.due).label("waiting"),
            func.sum(case((columns.due.is_(None), 1), else_=0)).label("dead"),
            func.min(columns.due).label("due"),
        ).group_by(columns.webhook)
        with self._database.reading() as connection:
            rows = connection.execute(select(webhooks).order_by(webhooks.c.position)).all()
            counts = {row.webhook: row for row in connection.execute(counted)} if rows else {}
        return [_standing(row, counts) for row in rows]

    def claim(self, id: str, owner: str, seconds: float) -> int | None:
        with self._database.transaction() as connection:
            moment = connection.execute(select(DatabaseClock())).scalar_one()
            free = or_(webhooks.c.owner == owner, webhooks.c.until <= moment)
            taken = update(webhooks).where(webhooks.c.id == clean(id), free)
            taken = taken.values(owner=owner, until=moment + timedelta(seconds=seconds))
            return connection.execute(taken.returning(webhooks.c.cursor)).scalar_one_or_none()

    def record(
        self,
        id: str,
        owner: str,
        seconds: float,
        *,
        cursor: int | None = None,
        letter: Letter | None = None,
        delivered: int | None = None,
    ) -> bool:
        with self._database.transaction() as connection:
            moment = connection.execute(select(DatabaseClock())).scalar_one()
            held = update(webhooks).where(webhooks.c.id == clean(id), webhooks.c.owner == owner)
            values: dict[str, Any] = {"until": moment + timedelta(seconds=seconds)}
            if cursor is not None:
                values["cursor"] = case((webhooks.c.cursor < cursor, cursor), else_=webhooks.c.cursor)
            if connection.execute(held.values(values)).rowcount != 1:
                return False
            if letter is not None:
                put = insert(webhook_letters).values(webhook=id, **asdict(letter))
                kept = {name: put.excluded[name] for name in _LETTER}
                same = [webhook_letters.c.webhook, webhook_letters.c.sequence]
                connection.execute(put.on_conflict_do_update(index_elements=same, set_=kept))
            if delivered is not None:
                of = (webhook_letters.c.webhook == id, webhook_letters.c.sequence == delivered)
                connection.execute(delete(webhook_letters).where(*of))
        return True

    def due(self, id: str, before: datetime, limit: int = 100) -> Sequence[Letter]:
        columns = webhook_letters.c
        chosen = select(webhook_letters).where(columns.webhook == clean(id), columns.due < before)
        with self._database.reading() as connection:
            rows = connection.execute(chosen.order_by(columns.due, columns.sequence).limit(max(0, limit)))
            return [_letter(row) for row in rows]

    def dead(self, id: str, *, after: int = 0, limit: int = 100) -> Sequence[Letter]:
        columns = webhook_letters.c
        of = (columns.webhook == clean(id), columns.due.is_(None), columns.sequence > after)
        with self._database.reading() as connection:
            chosen = select(webhook_letters).where(*of).order_by(columns.sequence).limit(max(0, limit))
            return [_letter(row) for row in connection.execute(chosen)]

    def redrive(self, id: str, entry: AuditEntry) -> int:
        of = (webhook_letters.c.webhook == clean(id), webhook_letters.c.due.is_(None))
        with self._database.transaction() as connection:
            head = self._lock.taken(connection)
            _locked(connection, id)
            again = update(webhook_letters).where(*of).values(attempts=0, due=entry.at)
            count = int(connection.execute(again).rowcount)
            if count:
                head.note(replace(entry, count=count))
                head.save()
        return count


def _locked(connection: Connection, id: str) -> None:
    """Wait for a webhook's row and hold it to the end of the transaction."""
    known = select(webhooks.c.id).where(webhooks.c.id == clean(id)).with_for_update()
    if connection.execute(known).one_or_none() is None:
        raise NotFound("no webhook has this id")


def _standing(row: Row[Any], counts: Mapping[str, Row[Any]]) -> Standing:
    subscription = Subscription(row.id, row.url, frozenset(orjson.loads(row.events)), row.created, row.store, row.actor)
    found = counts.get(row.id)
    if found is None:
        return Standing(subscription, row.cursor)
    return Standing(subscription, row.cursor, found.waiting, int(found.dead), found.due)


def _letter(row: Row[Any]) -> Letter:
    return Letter(**{name: getattr(row, name) for name in _LETTER})
