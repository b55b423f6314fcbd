"""The port to a place where others leave images to be taken in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Waiting:
    """Something that lies in the inbox, whole. `name` is the inbox's own; it may name a patient, so nobody logs it."""

    name: str
    size: int

    def __repr__(self) -> str:
        return f"Waiting({self.size} bytes)"


class Inbox(Protocol):
    """Files come in, are claimed by one watcher, and end as processed or failed; nothing is ever deleted unkept."""

    def look(self, limit: int) -> Sequence[Waiting]:
        """What lies there whole and unclaimed, oldest first: no file that is still being written.

        What a watcher that is gone had claimed and not ended is there again.
        """

    def claim(self, waiting: Waiting) -> bool:
        """Take one; False where another watcher was faster or it is gone."""

    def read(self, waiting: Waiting) -> Iterator[bytes]:
        """The bytes of what was claimed."""

    def processed(self, waiting: Waiting) -> None:
        """It was taken in: move it to the place of what is done. May be said twice."""

    def failed(self, waiting: Waiting, code: str) -> None:
        """It could not be taken in: move it to the place of what failed, with the reason beside. May be said twice."""
