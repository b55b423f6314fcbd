"""The audit log port on SQL."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from isocenter.adapters.sql.database import Database
from isocenter.adapters.sql.head import HeadLock
from isocenter.adapters.sql.tables import audit, head
from isocenter.records import AuditEntry, AuditHead


class SqlAuditLog:
    """The hash-chained audit log; `audit_key` is its HMAC key. The first entry follows the digest ""."""

    def __init__(self, database: Database, audit_key: bytes) -> None:
        self._database = database
        self._lock = HeadLock(database, audit_key)

    def append(self, entries: Sequence[AuditEntry]) -> None:
        if not entries:
            return
        with self._database.transaction() as connection:
            end = self._lock.taken(connection)
            end.note_all(entries)
            end.save()

    def read(self, after: int = 0, limit: int = 1000) -> Sequence[AuditEntry]:
        columns = audit.c
        chosen = (
            select(
                columns.actor, columns.action, columns.outcome, columns.at, columns.store, columns.image,
                columns.request_id, columns.address, columns.count, columns.sequence, columns.digest,
            )
            .where(columns.sequence > after)
            .order_by(columns.sequence)
            .limit(max(limit, 0))
        )  # fmt: skip
        with self._database.reading() as connection:
            return [AuditEntry(*row) for row in connection.execute(chosen)]

    def head(self) -> AuditHead | None:
        with self._database.reading() as connection:
            row = connection.execute(select(head.c.audit, head.c.digest, head.c.seal)).one_or_none()
        return AuditHead(*row) if row is not None and row.audit else None
