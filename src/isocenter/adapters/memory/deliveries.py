"""The deliveries port in memory."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime

from isocenter.adapters.memory.database import MemoryDatabase, clean, cursor, position
from isocenter.errors import NotFound
from isocenter.records import AuditEntry, Delivery, Page


class MemoryDeliveries:
    """The reference deliveries."""

    def __init__(self, database: MemoryDatabase, audit_key: bytes) -> None:
        self._database = database
        self._audit_key = audit_key
        self._positions: dict[str, int] = {}
        self._arrived = 0

    def create(self, delivery: Delivery, images: Sequence[str], entry: AuditEntry) -> Delivery:
        with self._database.lock:
            if delivery.id not in self._database.deliveries:
                self._arrived += 1
                self._positions[delivery.id] = self._arrived
                self._database.deliveries[delivery.id] = delivery, tuple(images)
                self._database.note(self._audit_key, entry)
            return self._database.deliveries[delivery.id][0]

    def get(self, id: str) -> Delivery | None:
        with self._database.lock:
            return self._database.deliveries.get(clean(id), (None, ()))[0]

    def holds(self, id: str, image: str) -> bool:
        with self._database.lock:
            return clean(image) in self._database.deliveries.get(clean(id), (None, ()))[1]

    def images(self, id: str, *, after: int = 0, limit: int = 1000) -> Sequence[str]:
        with self._database.lock:
            found = self._database.deliveries.get(clean(id), (None, ()))[1]
        return list(found[max(0, after) :][: max(0, limit)])

    def page(
        self, *, stores: Collection[str] | None = None, after: str | None = None, limit: int = 100
    ) -> Page[Delivery]:
        with self._database.lock:
            numbered = [(self._positions[id], each) for id, (each, _) in self._database.deliveries.items()]
        before = self._arrived + 1 if after is None else position("deliveries", after)
        found = [
            (number, each)
            for number, each in sorted(numbered, key=lambda pair: -pair[0])
            if number < before and (stores is None or each.store in stores)
        ]
        if limit < 1:
            return Page(())
        following = cursor("deliveries", found[limit - 1][0]) if len(found) > limit else None
        return Page(tuple(each for _, each in found[:limit]), following)

    def revoke(self, id: str, entry: AuditEntry) -> Delivery:
        with self._database.lock:
            known, images = self._database.deliveries.get(clean(id), (None, ()))
            if known is None:
                raise NotFound("no delivery has this id")
            if known.revoked is None:
                known = replace(known, revoked=entry.at)
                self._database.deliveries[known.id] = known, images
                self._database.note(self._audit_key, entry)
            return known

    def sweep(self, before: datetime) -> int:
        with self._database.lock:
            over = [id for id, (each, _) in self._database.deliveries.items() if each.expires < before]
            for id in over:
                del self._database.deliveries[id]
                del self._positions[id]
        return len(over)
