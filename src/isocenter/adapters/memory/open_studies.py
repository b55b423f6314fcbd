"""The port of open studies in memory."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime

from isocenter.ports.open_studies import OpenStudy


class MemoryOpenStudies:
    """The reference open studies."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cursor = 0
        self._open: dict[str, OpenStudy] = {}

    def cursor(self) -> int:
        with self._lock:
            return self._cursor

    def follow(self, before: int, to: int, opened: Sequence[OpenStudy]) -> bool:
        with self._lock:
            if self._cursor != before:
                return False
            self._cursor = to
            self._open |= {each.study: each for each in opened}
            return True

    def quiet(self, before: datetime, limit: int = 100) -> Sequence[OpenStudy]:
        with self._lock:
            found = sorted((each for each in self._open.values() if each.at < before), key=lambda each: each.at)
        return found[: max(0, limit)]

    def close(self, study: OpenStudy) -> None:
        with self._lock:
            known = self._open.get(study.study)
            if known is not None and known.image == study.image:
                del self._open[study.study]
