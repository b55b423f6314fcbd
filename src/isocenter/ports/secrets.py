"""The port to the key store: small secrets by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Secrets(Protocol):
    """Named secrets. Names are ours (slugs), values are bytes that are never logged."""

    def get(self, name: str) -> bytes | None: ...

    def create(self, name: str, value: bytes) -> bytes:
        """Keep `value` unless the name has one already; return the value that is kept (the first one wins)."""

    def replace(self, name: str, value: bytes) -> None: ...

    def delete(self, name: str) -> None: ...

    def names(self) -> Sequence[str]:
        """All names, sorted."""
