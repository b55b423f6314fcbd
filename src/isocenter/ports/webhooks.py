"""The port to webhooks: who listens to the event feed, how far each has been told, and what did not get through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from isocenter.records import AuditEntry, Event


@dataclass(frozen=True, slots=True)
class Subscription:
    """A listener and what it wants to hear. Its secret lies in the key store."""

    id: str
    url: str
    events: frozenset[str]  # types
    created: datetime
    store: str | None = None  # only this one's events
    actor: str = "local"

    def wants(self, event: Event) -> bool:
        return event.type in self.events and self.store in (None, event.store)

    def __repr__(self) -> str:
        return f"Subscription({self.id})"  # a URL may hold a secret


@dataclass(frozen=True, slots=True)
class Letter:
    """An event that did not get through: tried again when it is due; without `due` it is dead."""

    sequence: int
    attempts: int
    code: str  # why, the last time
    at: datetime  # of that time
    due: datetime | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a subscription is: every event up to `cursor` is delivered, not wanted, or stands in a letter."""

    subscription: Subscription
    cursor: int
    waiting: int = 0  # letters that are tried again
    dead: int = 0
    due: datetime | None = None  # of the first that is tried again


class Webhooks(Protocol):
    """Subscriptions with their letters. One sender at a time holds one of them, by a claim that runs out."""

    def add(self, subscription: Subscription, cursor: int, entry: AuditEntry) -> None:
        """Keep a subscription to what comes after the cursor, and write the entry; an id again changes nothing."""

    def remove(self, id: str, entry: AuditEntry) -> None:
        """Forget a subscription with its letters, and write the entry; an unknown id raises NotFound."""

    def all(self) -> Sequence[Standing]:
        """Every subscription, oldest first."""

    def claim(self, id: str, owner: str, seconds: float) -> int | None:
        """Hold a subscription for so long, and say its cursor; None where another holds it or it is gone.

        Zero seconds give it back.
        """

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
        """Move the cursor on, keep a letter, forget the letter of what was delivered, all in one transaction; and hold
        the subscription for so long again. False, and nothing changed, where the owner holds it no more."""

    def due(self, id: str, before: datetime, limit: int = 100) -> Sequence[Letter]:
        """Letters that are due before a moment, those that wait longest first."""

    def dead(self, id: str, *, after: int = 0, limit: int = 100) -> Sequence[Letter]:
        """Dead letters with a sequence above `after`, in order."""

    def redrive(self, id: str, entry: AuditEntry) -> int:
        """Have every dead letter tried as if for the first time, due at the entry's time, and write the entry with
        their count where there are any; how many there were. An unknown id raises NotFound."""
