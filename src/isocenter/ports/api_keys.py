"""The port to the API keys that callers hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from isocenter.records import ApiKey, AuditEntry


class ApiKeys(Protocol):
    """API keys; each change writes its audit entry in the same transaction."""

    def add(self, key: ApiKey, entry: AuditEntry) -> None: ...

    def get(self, id: str) -> ApiKey | None: ...

    def revoke(self, id: str, entry: AuditEntry) -> ApiKey:
        """Set `revoked` to the entry's time (unless it is set); an unknown id raises NotFound."""

    def all(self) -> Sequence[ApiKey]:
        """Every key, oldest first."""
