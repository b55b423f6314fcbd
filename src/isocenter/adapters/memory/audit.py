"""The audit log port in memory."""

from __future__ import annotations

from collections.abc import Sequence

from isocenter.adapters.memory.database import MemoryDatabase
from isocenter.records import AuditEntry, AuditHead


class MemoryAuditLog:
    """The reference audit log; `audit_key` is the HMAC key of the chain."""

    def __init__(self, database: MemoryDatabase, audit_key: bytes) -> None:
        self._database = database
        self._key = audit_key

    def append(self, entries: Sequence[AuditEntry]) -> None:
        with self._database.lock:
            for entry in entries:
                self._database.note(self._key, entry)

    def read(self, after: int = 0, limit: int = 1000) -> Sequence[AuditEntry]:
        with self._database.lock:
            return [entry for entry in self._database.audit if entry.sequence > after][: max(limit, 0)]

    def head(self) -> AuditHead | None:
        with self._database.lock:
            return self._database.head
