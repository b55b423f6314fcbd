"""The port to the hash-chained audit log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from isocenter.records import AuditEntry, AuditHead


class AuditLog(Protocol):
    """Entries chained by `AuditEntry.chained`; changes write theirs in their own transaction (see Index)."""

    def append(self, entries: Sequence[AuditEntry]) -> None:
        """Add entries at the end of the chain, durably."""

    def read(self, after: int = 0, limit: int = 1000) -> Sequence[AuditEntry]:
        """Entries with a sequence above `after`, in order, with their digests."""

    def head(self) -> AuditHead | None:
        """Where the chain ends as recorded at the last append; None where there is no entry."""
