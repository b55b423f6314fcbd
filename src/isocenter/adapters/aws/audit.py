"""The audit log port on DynamoDB."""

from __future__ import annotations

from collections.abc import Sequence

from isocenter.adapters.aws import keys
from isocenter.adapters.aws.events import logged
from isocenter.adapters.aws.head import Head, Journal, TooLarge
from isocenter.adapters.aws.rows import entry_of
from isocenter.adapters.aws.table import Table
from isocenter.records import AuditEntry, AuditHead

_AT_ONCE = 5000  # entries of one transaction: some 300 bytes each, of which a third is left when deflated


class DynamoAuditLog:
    """The hash-chained audit log; `audit_key` is its HMAC key. The first entry follows the digest ""."""

    def __init__(self, table: Table, audit_key: bytes) -> None:
        self._table = table
        self._journal = Journal(table, audit_key)

    def append(self, entries: Sequence[AuditEntry]) -> None:
        rest, most = list(entries), _AT_ONCE
        while rest:
            some = rest[:most]

            def note(head: Head, some: Sequence[AuditEntry] = some) -> None:
                for entry in some:
                    head.note(entry)

            try:
                self._journal.change(note)
            except TooLarge:
                most = max(1, most // 2)
            else:
                rest = rest[len(some) :]

    def read(self, after: int = 0, limit: int = 1000) -> Sequence[AuditEntry]:
        head = self.head()
        last = 0 if head is None else head.sequence
        return [entry_of(values) for values in logged(self._table, "AUDIT", after, last, limit)]

    def head(self) -> AuditHead | None:
        found = self._table.get(keys.HEAD)
        return AuditHead(found["aud"], found["dig"], found["sea"]) if found is not None and found["aud"] else None
