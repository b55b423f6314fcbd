"""The API keys port on SQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson
from sqlalchemy import Connection, Row, select, update
from sqlalchemy.dialects.postgresql import insert

from isocenter.adapters.sql.database import Database
from isocenter.adapters.sql.head import HeadLock
from isocenter.adapters.sql.tables import api_keys
from isocenter.adapters.sql.text import clean
from isocenter.errors import Conflict, NotFound
from isocenter.records import ApiKey, AuditEntry


class SqlApiKeys:
    """API keys, each change with its audit entry; adding or revoking again changes and notes nothing."""

    def __init__(self, database: Database, audit_key: bytes) -> None:
        self._database = database
        self._lock = HeadLock(database, audit_key)

    def add(self, key: ApiKey, entry: AuditEntry) -> None:
        key = replace(key, label=clean(key.label))
        values = {
            "id": key.id,
            "label": key.label,
            "secret_sha256": key.secret_sha256,
            "scopes": orjson.dumps(sorted(key.scopes)).decode(),
            "created": key.created,
            "expires": key.expires,
            "revoked": key.revoked,
        }
        with self._database.transaction() as connection:
            head = self._lock.taken(connection)
            added = insert(api_keys).values(values).on_conflict_do_nothing().returning(api_keys.c.id)
            if connection.execute(added).one_or_none() is not None:
                head.note(entry)
                head.save()
            elif _found(connection, key.id) != key:
                raise Conflict("Another API key has this id already.", code="id-taken")

    def get(self, id: str) -> ApiKey | None:
        with self._database.reading() as connection:
            return _found(connection, id)

    def revoke(self, id: str, entry: AuditEntry) -> ApiKey:
        with self._database.transaction() as connection:
            head = self._lock.taken(connection)
            key = _found(connection, id)
            if key is None:
                raise NotFound("No API key has this id.")
            if key.revoked is not None:
                return key
            connection.execute(update(api_keys).where(api_keys.c.id == key.id).values(revoked=entry.at))
            head.note(entry)
            head.save()
        return replace(key, revoked=entry.at)

    def all(self) -> Sequence[ApiKey]:
        with self._database.reading() as connection:
            rows = connection.execute(select(api_keys).order_by(api_keys.c.created, api_keys.c.id))
            return [_key(row) for row in rows]


def _found(connection: Connection, id: str) -> ApiKey | None:
    row = connection.execute(select(api_keys).where(api_keys.c.id == clean(id))).one_or_none()
    return None if row is None else _key(row)


def _key(row: Row[Any]) -> ApiKey:
    scopes = frozenset(orjson.loads(row.scopes))
    return ApiKey(row.id, row.label, row.secret_sha256, scopes, row.created, row.expires, row.revoked)
