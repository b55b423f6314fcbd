"""The key store port in memory."""

from __future__ import annotations

import threading
from collections.abc import Sequence


class MemorySecrets:
    """The reference key store."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, bytes] = {}

    def get(self, name: str) -> bytes | None:
        with self._lock:
            return self._values.get(name)

    def create(self, name: str, value: bytes) -> bytes:
        with self._lock:
            return self._values.setdefault(name, bytes(value))

    def replace(self, name: str, value: bytes) -> None:
        with self._lock:
            self._values[name] = bytes(value)

    def delete(self, name: str) -> None:
        with self._lock:
            self._values.pop(name, None)

    def names(self) -> Sequence[str]:
        with self._lock:
            return sorted(self._values)
