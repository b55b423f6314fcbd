"""The API keys port in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from isocenter.adapters.memory.database import MemoryDatabase, clean
from isocenter.errors import Conflict, NotFound
from isocenter.records import ApiKey, AuditEntry


class MemoryApiKeys:
    """The reference API keys; adding or revoking again changes and notes nothing."""

    def __init__(self, database: MemoryDatabase, audit_key: bytes) -> None:
        self._database = database
        self._audit_key = audit_key

    def add(self, key: ApiKey, entry: AuditEntry) -> None:
        key = replace(key, label=clean(key.label))
        with self._database.lock:
            there = self._database.api_keys.get(key.id)
            if there is None:
                self._database.api_keys[key.id] = key
                self._database.note(self._audit_key, entry)
            elif there != key:
                raise Conflict("Another API key has this id already.", code="id-taken")

    def get(self, id: str) -> ApiKey | None:
        with self._database.lock:
            return self._database.api_keys.get(clean(id))

    def revoke(self, id: str, entry: AuditEntry) -> ApiKey:
        with self._database.lock:
            key = self._database.api_keys.get(clean(id))
            if key is None:
                raise NotFound("No API key has this id.")
            if key.revoked is None:
                key = replace(key, revoked=entry.at)
                self._database.api_keys[key.id] = key
                self._database.note(self._audit_key, entry)
            return key

    def all(self) -> Sequence[ApiKey]:
        with self._database.lock:
            return sorted(self._database.api_keys.values(), key=lambda key: (key.created, key.id))
