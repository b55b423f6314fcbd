"""The change feed port in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from isocenter.adapters.memory.database import MemoryDatabase
from isocenter.records import STUDY_COMPLETE, Event


class MemoryEventFeed:
    """Reads the events that the index told."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database

    def read(self, after: int = 0, limit: int = 100) -> Sequence[Event]:
        with self._database.lock:
            return [event for event in self._database.events if event.sequence > after][: max(limit, 0)]

    def last(self) -> int:
        with self._database.lock:
            return len(self._database.events)

    def append(self, event: Event) -> bool:
        with self._database.lock:
            if any((each.type, each.image) == (STUDY_COMPLETE, event.image) for each in self._database.events):
                return False
            self._database.tell(replace(event, type=STUDY_COMPLETE))
            return True
