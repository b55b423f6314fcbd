"""The audit trail: reads gathered and flushed within a second, the chain verified, entries exported."""

from __future__ import annotations

import hmac
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from isocenter.errors import Unavailable
from isocenter.ports.audit_log import AuditLog
from isocenter.records import AuditEntry, AuditHead

_FLUSH_SECONDS = 0.5
_FLUSH_ENTRIES = 500
_MOST_WAITING = 100_000
_PAGE = 1000


class ReadTrail:
    """Gathers entries of reads and refusals; a thread appends them. Nothing is dropped: a full trail blocks."""

    def __init__(self, log: AuditLog) -> None:
        self._log = log
        self._waiting: list[AuditEntry] = []
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="audit-trail", daemon=True)
        self._thread.start()

    def add(self, entry: AuditEntry) -> None:
        """Note an entry; it is durable within a second."""
        with self._changed:
            if len(self._waiting) >= _MOST_WAITING:
                raise Unavailable("the audit log cannot be written, and nothing is read unaudited", retry_after=30)
            self._waiting.append(entry)
            if len(self._waiting) == _FLUSH_ENTRIES:
                self._changed.notify()

    def close(self) -> None:
        """Append what waits and stop."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait(_FLUSH_SECONDS)
                batch, self._waiting = self._waiting, []
                closing = self._closing
            if batch and not self._append(batch) and not closing:
                continue
            if closing:
                return

    def _append(self, batch: list[AuditEntry]) -> bool:
        try:
            self._log.append(batch)
        except Unavailable:
            with self._changed:
                self._waiting = batch + self._waiting
            return False
        return True


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the chain holds: `broken_at` is the first sequence that does not follow from the one before."""

    entries: int
    broken_at: int | None
    truncated: bool

    @property
    def intact(self) -> bool:
        return self.broken_at is None and not self.truncated


def entries(log: AuditLog, after: int = 0) -> Iterator[AuditEntry]:
    """All entries in order, page by page."""
    while True:
        page = log.read(after, _PAGE)
        if not page:
            return
        yield from page
        after = page[-1].sequence


def verify(log: AuditLog, key: bytes) -> Verdict:
    """Recompute the chain from its beginning and hold its end against the sealed head."""
    previous, count = "", 0
    head = log.head()
    for entry in entries(log):
        expected = entry.chained(key, previous, count + 1)
        if entry.sequence != count + 1 or not hmac.compare_digest(expected.digest, entry.digest):
            return Verdict(count, count + 1, False)
        previous, count = entry.digest, count + 1
        if head is not None and count == head.sequence and head != AuditHead.sealed(key, count, previous):
            return Verdict(count, count, False)
    # Entries appended while we read come after the head we took; fewer than it says means a cut-off tail.
    return Verdict(count, None, truncated=head is None and count > 0 or head is not None and count < head.sequence)
