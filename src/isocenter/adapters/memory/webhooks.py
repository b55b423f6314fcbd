"""The webhooks port in memory."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from isocenter.adapters.memory.database import MemoryDatabase, clean
from isocenter.errors import NotFound
from isocenter.ports.webhooks import Letter, Standing, Subscription
from isocenter.records import AuditEntry


@dataclass
class _Kept:
    subscription: Subscription
    cursor: int
    letters: dict[int, Letter] = field(default_factory=dict)
    owner: str = ""
    until: float = 0.0


class MemoryWebhooks:
    """The reference webhooks."""

    def __init__(self, database: MemoryDatabase, audit_key: bytes) -> None:
        self._database = database
        self._audit_key = audit_key
        self._kept: dict[str, _Kept] = {}  # by id, in order of arrival

    def add(self, subscription: Subscription, cursor: int, entry: AuditEntry) -> None:
        with self._database.lock:
            if subscription.id not in self._kept:
                self._kept[subscription.id] = _Kept(subscription, cursor)
                self._database.note(self._audit_key, entry)

    def remove(self, id: str, entry: AuditEntry) -> None:
        with self._database.lock:
            self._known(id)
            del self._kept[clean(id)]
            self._database.note(self._audit_key, entry)

    def all(self) -> Sequence[Standing]:
        with self._database.lock:
            return [_standing(kept) for kept in self._kept.values()]

    def claim(self, id: str, owner: str, seconds: float) -> int | None:
        moment = time.monotonic()
        with self._database.lock:
            kept = self._kept.get(clean(id))
            if kept is None or (kept.owner != owner and kept.until > moment):
                return None
            kept.owner, kept.until = owner, moment + seconds
            return kept.cursor

    def record(
        self,
        id: str,
        owner: str,
        seconds: float,
        *,
        cursor: int | None = None,
        letter: Letter | None = None,
        delivered: int | None = None,
    ) -> bool:
        with self._database.lock:
            kept = self._kept.get(clean(id))
            if kept is None or kept.owner != owner:
                return False
            kept.until = time.monotonic() + seconds
            if cursor is not None:
                kept.cursor = max(kept.cursor, cursor)
            if letter is not None:
                kept.letters[letter.sequence] = letter
            if delivered is not None:
                kept.letters.pop(delivered, None)
            return True

    def due(self, id: str, before: datetime, limit: int = 100) -> Sequence[Letter]:
        with self._database.lock:
            kept = self._kept.get(clean(id))
            waiting = [] if kept is None else [each for each in kept.letters.values() if each.due is not None]
        found = [(each.due, each.sequence, each) for each in waiting if each.due is not None and each.due < before]
        return [each for *_, each in sorted(found, key=lambda pair: pair[:2])][: max(0, limit)]

    def dead(self, id: str, *, after: int = 0, limit: int = 100) -> Sequence[Letter]:
        with self._database.lock:
            kept = self._kept.get(clean(id))
            letters = [] if kept is None else [each for each in kept.letters.values() if each.due is None]
        found = sorted((each for each in letters if each.sequence > after), key=lambda each: each.sequence)
        return found[: max(0, limit)]

    def redrive(self, id: str, entry: AuditEntry) -> int:
        with self._database.lock:
            letters = self._known(id).letters
            dead = [each for each in letters.values() if each.due is None]
            for each in dead:
                letters[each.sequence] = replace(each, attempts=0, due=entry.at)
            if dead:
                self._database.note(self._audit_key, replace(entry, count=len(dead)))
            return len(dead)

    def _known(self, id: str) -> _Kept:
        kept = self._kept.get(clean(id))
        if kept is None:
            raise NotFound("no webhook has this id")
        return kept


def _standing(kept: _Kept) -> Standing:
    due = [each.due for each in kept.letters.values() if each.due is not None]
    return Standing(kept.subscription, kept.cursor, len(due), len(kept.letters) - len(due), min(due) if due else None)
