"""What operators do with webhooks: add, list, remove, look at dead letters and have them tried again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from secrets import token_urlsafe

from isocenter.archive.store import Caller, new_id
from isocenter.errors import BadRequest, Conflict, NotFound
from isocenter.pipeline.notify import PREFIX
from isocenter.ports.platform import Platform
from isocenter.ports.webhooks import Letter, Standing, Subscription
from isocenter.records import EVENTS, now

MOST = 100


class WebhookDesk:
    """`check` raises where a URL may not be told anything."""

    def __init__(self, platform: Platform, stores: Sequence[str], check: Callable[[str], None]) -> None:
        self._platform = platform
        self._webhooks = platform.webhooks
        self._stores = stores
        self._check = check

    def add(self, url: str, events: Collection[str], store: str | None, caller: Caller) -> tuple[Subscription, str]:
        """A subscription to what happens from now on, and its secret, which is not shown again."""
        if not events or not set(events) <= set(EVENTS):
            raise BadRequest(f"name events, each one of {', '.join(EVENTS)}", code="unknown-event")
        if store is not None and store not in self._stores:
            raise NotFound("there is no such store", code="no-such-store")
        self._check(url)
        if len(self._webhooks.all()) >= MOST:
            raise Conflict(f"there are {MOST} webhooks already; remove one", code="too-many-webhooks")
        made = Subscription(new_id(), url, frozenset(events), now(), store, caller.actor)
        secret = token_urlsafe(32)
        # First, so that there is no subscription without one.
        self._platform.secrets.create(PREFIX + made.id, secret.encode())
        self._webhooks.add(made, self._platform.events.last(), caller.entry("webhook.add", store=store))
        return made, secret

    def all(self) -> Sequence[Standing]:
        return self._webhooks.all()

    def get(self, id: str) -> Standing:
        for standing in self._webhooks.all():
            if standing.subscription.id == id:
                return standing
        raise NotFound("no webhook has this id")

    def remove(self, id: str, caller: Caller) -> None:
        """Nothing is sent to it any more, but for what is on its way."""
        self._webhooks.remove(id, caller.entry("webhook.remove"))
        self._platform.secrets.delete(PREFIX + id)

    def dead(self, id: str, after: int = 0, limit: int = 100) -> Sequence[Letter]:
        """Its dead letters in order; NotFound where there is no such webhook."""
        return self._webhooks.dead(self.get(id).subscription.id, after=after, limit=limit)

    def redrive(self, id: str, caller: Caller) -> int:
        """Have every dead letter tried again; how many there are."""
        return self._webhooks.redrive(id, caller.entry("webhook.redrive"))
