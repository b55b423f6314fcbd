"""The check that an audit log's chain holds, as an auditor would make it."""

from __future__ import annotations

from collections.abc import Sequence

from isocenter.ports.audit_log import AuditLog
from isocenter.records import AuditEntry, AuditHead


def all_entries(audit: AuditLog, page: int = 1000) -> list[AuditEntry]:
    """Every entry, read a page at a time."""
    found: list[AuditEntry] = []
    while part := audit.read(found[-1].sequence if found else 0, page):
        found += part
    return found


def broken_at(entries: Sequence[AuditEntry], head: AuditHead | None, key: bytes) -> int | None:
    """The first sequence that does not hold, 0 where only the end is wrong, None where all is well."""
    previous = ""
    for expected, entry in enumerate(entries, start=1):
        if entry != entry.chained(key, previous, expected):
            return expected
        previous = entry.digest
    if not entries:
        return None if head is None else 0
    return None if head == AuditHead.sealed(key, entries[-1].sequence, previous) else 0


def assert_chained(audit: AuditLog, key: bytes) -> list[AuditEntry]:
    """Every entry of a log whose chain holds."""
    entries = all_entries(audit)
    assert broken_at(entries, audit.head(), key) is None
    return entries
