"""The port to studies that images came to and that nobody has called complete yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class OpenStudy:
    """A study of a store under an opaque name, the last image that came to it (internal id), and when."""

    study: str
    store: str
    image: str
    at: datetime


class OpenStudies(Protocol):
    """What came of following the event feed up to a cursor; several may follow at once."""

    def cursor(self) -> int:
        """How far the feed was followed; where it ended when this was first set up, before anybody followed it."""

    def follow(self, before: int, to: int, opened: Sequence[OpenStudy]) -> bool:
        """Move the cursor on and, in the same transaction, keep what was opened in place of what was known of each
        study. False, and nothing changed, where the cursor is not at `before` any more."""

    def quiet(self, before: datetime, limit: int = 100) -> Sequence[OpenStudy]:
        """Studies whose last image came before a moment, those that wait longest first."""

    def close(self, study: OpenStudy) -> None:
        """Forget a study, unless another image came to it since."""
