"""The head: one locked row that numbers images, events and audit entries, and where the audit chain ends."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, insert, select, update

from isocenter.adapters.sql.database import Database
from isocenter.adapters.sql.moments import to_micros
from isocenter.adapters.sql.tables import audit, events, head
from isocenter.adapters.sql.text import clean
from isocenter.records import AuditEntry, AuditHead, Event

_EVENT = [column.name for column in events.columns]
_ENTRY = [column.name for column in audit.columns]
ALTERED = "altered"  # stands for a digest that no entry can have, so that verification stops there for good
_HEAD = ["position", "event", "audit", "digest", "seal"]


class HeadLock:
    """Opens the head within a transaction; holds the audit key and the compiled statements."""

    def __init__(self, database: Database, audit_key: bytes) -> None:
        self.database = database
        self.key = audit_key
        chosen = select(*(head.c[name] for name in _HEAD)).with_for_update()
        self.lock = database.compiled(chosen)
        self.insert_events = database.compiled(insert(events), _EVENT)
        self.insert_entries = database.compiled(insert(audit), _ENTRY)
        self.save = database.compiled(update(head), _HEAD)

    def taken(self, connection: Connection) -> Head:
        """Wait for the head and hold it to the end of the transaction."""
        return Head(self, connection)


class Head:
    """What one transaction appends; nothing is written before `save`."""

    def __init__(self, lock: HeadLock, connection: Connection) -> None:
        self._lock = lock
        self._connection = connection
        self.cursor = lock.database.cursor(connection)
        self.cursor.execute(lock.lock)
        row = self.cursor.fetchone()
        assert row is not None
        self.position: int = row[0]
        self._event: int = row[1]
        self._audit: int = row[2]
        self._digest: str = row[3] if self._is_sealed(row[3], row[4]) else ALTERED
        self._queue: list[tuple[str, Sequence[tuple[Any, ...]]]] = []
        self._events: list[tuple[Any, ...]] = []
        self._entries: list[tuple[Any, ...]] = []

    def _is_sealed(self, digest: str, seal: str) -> bool:
        """Whether the head is the one we left. What is appended to an altered one must not make it whole again."""
        if self._audit == 0:
            return digest == "" and self._event == 0
        return hmac.compare_digest(AuditHead.sealed(self._lock.key, self._audit, digest).seal, seal)

    def queue(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Have `save` run a compiled statement over these rows, before the events and entries."""
        self._queue.append((statement, rows))

    def tell(self, event: Event) -> None:
        self._event += 1
        self._events.append((self._event, event.type, event.store, event.image, to_micros(event.at)))

    def note(self, entry: AuditEntry) -> None:
        """Chain an entry; its text is cleaned first so that the digest is over what is kept."""
        self._audit += 1
        kept = _cleaned(entry).chained(self._lock.key, self._digest, self._audit)
        self._digest = kept.digest
        self._entries.append((
            kept.sequence, kept.actor, kept.action, kept.outcome, to_micros(kept.at), kept.store, kept.image,
            kept.request_id, kept.address, kept.count, kept.digest,
        ))  # fmt: skip

    def note_all(self, entries: Iterable[AuditEntry]) -> None:
        for entry in entries:
            self.note(entry)

    def save(self) -> None:
        """Write what was queued, told and noted, and the numbers reached."""
        seal = AuditHead.sealed(self._lock.key, self._audit, self._digest).seal
        numbers = (self.position, self._event, self._audit, self._digest, seal)
        self.queue(self._lock.insert_events, self._events)
        self.queue(self._lock.insert_entries, self._entries)
        self.queue(self._lock.save, [numbers])
        self.cursor.close()
        self._lock.database.write(self._connection, self._queue)


def _cleaned(entry: AuditEntry) -> AuditEntry:
    texts = (
        entry.actor,
        entry.action,
        entry.outcome,
        entry.store,
        entry.image,
        entry.request_id,
        entry.address,
    )
    kept = tuple(None if each is None else clean(each) for each in texts)
    if kept == texts:
        return entry
    actor, action, outcome, store, image, request_id, address = kept
    return replace(
        entry, actor=actor or "", action=action or "", outcome=outcome or "", store=store, image=image,
        request_id=request_id, address=address,
    )  # fmt: skip
