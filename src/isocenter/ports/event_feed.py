"""The port to the ordered, replayable change feed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from isocenter.records import Event


class EventFeed(Protocol):
    """Events are appended with the change they tell of (see Index), or alone, where they tell of no change."""

    def read(self, after: int = 0, limit: int = 100) -> Sequence[Event]:
        """Events with a sequence above `after`, in order. None is ever inserted before one already read."""

    def last(self) -> int:
        """The highest sequence, 0 where there is none."""

    def append(self, event: Event) -> bool:
        """Append a study.complete; False where the feed has one of this image already, and nothing was changed."""
