"""The audit trail: reads gathered and flushed within a second, refusals coalesced, the chain verified."""

from __future__ import annotations

import hmac
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from isocenter.errors import Corrupted, IsocenterError, Unavailable
from isocenter.ports.audit_log import AuditLog
from isocenter.records import AuditEntry, AuditHead

_FLUSH_SECONDS = 0.5
_FLUSH_ENTRIES = 500
_MOST_WAITING = 100_000
_MOST_REFUSALS = 1000  # different ones in one flush; what comes beyond is counted together
_CLOSING_SECONDS = 8.0
_PAGE = 1000
# What a row altered behind our back makes the log's reader raise, besides our own errors.
_UNREADABLE = (TypeError, ValueError, AttributeError, OverflowError)

_Refusal = tuple[str, str, str, str | None, str | None]


class ReadTrail:
    """Gathers entries of reads and refusals; a thread appends them. Nothing is dropped: a full trail refuses.

    Refusals alike (same actor, action, store and address) within one flush become one entry with their count,
    so that a flood of wrong keys neither fills the log nor keeps honest reads from being audited.
    """

    def __init__(self, log: AuditLog) -> None:
        self._log = log
        self._waiting: list[AuditEntry] = []
        self._refused: dict[_Refusal, AuditEntry] = {}
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="audit-trail", daemon=True)
        self._thread.start()

    def add(self, entry: AuditEntry) -> None:
        """Note an entry; it is durable within a second."""
        with self._changed:
            if len(self._waiting) >= _MOST_WAITING or self._closing or not self._thread.is_alive():
                told = "the audit log cannot be written, and nothing is read unaudited"
                raise Unavailable(told, retry_after=30)
            self._waiting.append(entry)
            if len(self._waiting) == _FLUSH_ENTRIES:
                self._changed.notify()

    def refuse(self, entry: AuditEntry) -> None:
        """Note a refusal; never raises, as nothing was given out."""
        kind = (entry.actor, entry.action, entry.outcome, entry.store, entry.address)
        with self._changed:
            if kind not in self._refused and len(self._refused) >= _MOST_REFUSALS:
                entry = replace(entry, address=None, request_id=None)
                kind = (entry.actor, entry.action, entry.outcome, entry.store, None)
            same = self._refused.get(kind)
            self._refused[kind] = entry if same is None else replace(same, count=same.count + entry.count)

    def flush(self) -> None:
        """Append what waits before this returns: for where threads stand still between requests.

        Unavailable where it cannot be written; it waits on, and is appended with what comes next.
        """
        with self._changed:
            batch = self._taken()
        if not self._append(batch):
            raise Unavailable("the audit log cannot be written, and nothing is read unaudited", retry_after=30)

    def _taken(self) -> list[AuditEntry]:
        """What waits, no longer waiting; the lock is held."""
        reads, self._waiting = self._waiting, []
        refused, self._refused = self._refused, {}
        return [*reads, *refused.values()]

    def close(self) -> None:
        """Append what waits and stop."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout=_CLOSING_SECONDS + 2)

    def _run(self) -> None:
        last_try: float | None = None
        while True:
            with self._changed:
                if not self._closing:
                    self._changed.wait(_FLUSH_SECONDS)
                elif last_try is None:
                    last_try = time.monotonic() + _CLOSING_SECONDS
                batch = self._taken()
                closing = self._closing
            done = self._append(batch)
            if closing and (done or time.monotonic() > (last_try or 0.0)):
                return
            if not done:
                time.sleep(_FLUSH_SECONDS)

    def _append(self, batch: list[AuditEntry]) -> bool:
        if not batch:
            return True
        try:
            self._log.append(batch)
        except IsocenterError:  # tried again until the trail is full, and from then on nothing is read
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
    digest: str = ""  # of the last entry that holds; noted elsewhere, it anchors a later `verify`

    @property
    def intact(self) -> bool:
        return self.broken_at is None and not self.truncated


@dataclass(frozen=True, slots=True)
class Anchor:
    """An entry known from elsewhere; a log put back to an older copy, or begun anew, lacks it."""

    sequence: int
    digest: str


def entries(log: AuditLog, after: int = 0) -> Iterator[AuditEntry]:
    """All entries in order, page by page."""
    while True:
        page = log.read(after, _PAGE)
        if not page:
            return
        yield from page
        after = page[-1].sequence


def verify(log: AuditLog, key: bytes, anchor: Anchor | None = None) -> Verdict:
    """Recompute the chain from its beginning; hold its end against the sealed head, and an anchor."""
    head = _head(log)
    if isinstance(head, _Unreadable):
        return Verdict(0, None, truncated=True)
    previous, count = "", 0
    for entry in _readable_entries(log):
        if isinstance(entry, _Unreadable) or not _follows(entry, key, previous, count + 1):
            return Verdict(count, count + 1, False, previous)
        previous, count = entry.digest, count + 1
        if anchor is not None and count == anchor.sequence and previous != anchor.digest:
            return Verdict(count, count, False, previous)
        if head is None:  # the first entry of all may have come after we looked
            head = _head(log)
            if head is None or isinstance(head, _Unreadable):
                return Verdict(count, None, truncated=True, digest=previous)
        if count == head.sequence and head != AuditHead.sealed(key, count, previous):
            return Verdict(count, count, False, previous)
    # Entries appended while we read come after the head we took; fewer than it says means a cut-off tail.
    least = max(head.sequence if head is not None else 0, anchor.sequence if anchor is not None else 0)
    reached = count >= least and (head is None or 1 <= head.sequence <= count)
    return Verdict(count, None, truncated=not reached, digest=previous)


class _Unreadable:
    """Stands for what was altered so that it cannot even be read."""


def _head(log: AuditLog) -> AuditHead | _Unreadable | None:
    try:
        head = log.head()
    except (*_UNREADABLE, IsocenterError) as error:
        if isinstance(error, Unavailable):
            raise
        return _Unreadable()
    if head is None or (type(head.sequence) is int and type(head.digest) is str and type(head.seal) is str):
        return head
    return _Unreadable()


def _readable_entries(log: AuditLog) -> Iterator[AuditEntry | _Unreadable]:
    after = 0
    while True:
        page = _page(log, after, _PAGE)
        if page is None:  # read singly up to the entry that cannot be
            page = _page(log, after, 1)
            if page is None:
                yield _Unreadable()
                return
        if not page:
            return
        yield from page
        after = page[-1].sequence


def _page(log: AuditLog, after: int, limit: int) -> Sequence[AuditEntry] | None:
    try:
        return log.read(after, limit)
    except (*_UNREADABLE, Corrupted):
        return None


def _follows(entry: AuditEntry, key: bytes, previous: str, sequence: int) -> bool:
    if entry.sequence != sequence or not isinstance(entry.digest, str) or not entry.digest.isascii():
        return False
    try:
        expected = entry.chained(key, previous, sequence).digest
    except _UNREADABLE:
        return False
    return hmac.compare_digest(expected, entry.digest)
