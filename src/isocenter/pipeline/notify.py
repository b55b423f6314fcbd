"""Tells webhooks of events: in order, again where it did not get through, and each by one sender at a time."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import orjson
import structlog

from isocenter.archive.store import new_id
from isocenter.errors import BadRequest, Forbidden, IsocenterError
from isocenter.ports.platform import Platform
from isocenter.ports.webhooks import Letter, Standing, Subscription
from isocenter.records import Event, now

PREFIX = "webhook:"  # of the names of their secrets
_GONE = 410
_PAGE = 100
_TURN = 5  # letters between two pages of events, so that what fails slowly does not hold up what is new
_MICROSECOND = timedelta(microseconds=1)
log = structlog.get_logger()

# POSTs a body, signed, and says the status of the answer; what it cannot do it raises as an error of ours.
Send = Callable[[str, bytes, bytes], int]


@dataclass(frozen=True, slots=True)
class Patience:
    """How often, and after how many seconds, an event is tried again; `lease` is how long a sender that says nothing
    is taken to be at it."""

    attempts: int = 10
    first: float = 10.0
    longest: float = 3600.0
    lease: float = 30.0

    def wait(self, attempts: int, chance: float) -> timedelta:
        """After so many attempts: twice as long each time, and by chance up to half of it less."""
        seconds = min(self.longest, self.first * 2.0 ** min(attempts - 1, 40))
        return timedelta(seconds=seconds * (1 - chance / 2))


@dataclass(frozen=True, slots=True)
class Said:
    """What came back: a status, and without one, or where it is no good one, the code of what went wrong.

    `is_final`: trying again will not help.
    """

    status: int | None
    code: str | None
    is_final: bool = False


@dataclass(slots=True)
class _Turn:
    """One turn at one subscription, which this process holds."""

    subscription: Subscription
    secret: bytes
    cursor: int
    attempts: int = 0


class _Lost(Exception):
    """Another sender holds the subscription now, or it is gone."""


class Notifier:
    """Sends from one process; `owner` is what no other process is called. `clock` and `chance` are for tests."""

    def __init__(
        self,
        platform: Platform,
        send: Send,
        patience: Patience,
        owner: str,
        *,
        clock: Callable[[], datetime] = now,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._webhooks = platform.webhooks
        self._events = platform.events
        self._secrets = platform.secrets
        self._send = send
        self._patience = patience
        self._owner = owner
        self._clock = clock
        self._chance = chance
        self._stopping = threading.Event()
        self._threads: dict[str, threading.Thread] = {}

    def look(self) -> None:
        """See that every subscription for which there is something to do has a thread; none waits for another."""
        standings = self._webhooks.all()
        self._threads = {id: thread for id, thread in self._threads.items() if thread.is_alive()}
        last = self._events.last() if standings else 0
        for standing in standings:
            id = standing.subscription.id
            if id not in self._threads and _is_behind(standing, last, self._clock()) and not self._stopping.is_set():
                thread = threading.Thread(target=self._work, args=(standing.subscription,), name="webhook", daemon=True)
                self._threads[id] = thread
                thread.start()

    def close(self) -> None:
        """Begin nothing more, and wait for what is under way; the next sender goes on at once."""
        self._stopping.set()
        for thread in self._threads.values():
            thread.join(self._patience.lease)

    def _work(self, subscription: Subscription) -> None:
        try:
            self.serve(subscription)
        except IsocenterError as error:
            log.warning("a webhook waits for its surroundings", webhook=subscription.id, code=error.code)

    def serve(self, subscription: Subscription) -> int:
        """Send all that is to be sent to one subscription now, unless another sender is at it; how many attempts."""
        secret = self._secrets.get(PREFIX + subscription.id)
        cursor = self._webhooks.claim(subscription.id, self._owner, self._patience.lease)
        if cursor is None or secret is None:
            return 0
        turn = _Turn(subscription, secret, cursor)
        try:
            while not self._stopping.is_set():
                before = turn.cursor, turn.attempts
                self._tell_fresh(turn)
                self._tell_again(turn)
                if (turn.cursor, turn.attempts) == before:
                    break
        except _Lost:
            log.info("a webhook is another sender's now", webhook=subscription.id)
        else:
            self._webhooks.claim(subscription.id, self._owner, 0)
        return turn.attempts

    def _tell_fresh(self, turn: _Turn) -> None:
        """Events after the cursor. It moves with each that is delivered or has become a letter."""
        passed = turn.cursor
        for event in self._events.read(turn.cursor, _PAGE):
            if self._stopping.is_set():
                break
            if turn.subscription.wants(event):
                self._record(turn, cursor=event.sequence, letter=self._tried(turn, event, 0))
                turn.cursor = event.sequence
            passed = event.sequence
        if passed > turn.cursor:
            self._record(turn, cursor=passed)
            turn.cursor = passed

    def _tell_again(self, turn: _Turn) -> None:
        """Letters that are due."""
        for letter in self._webhooks.due(turn.subscription.id, self._clock() + _MICROSECOND, _TURN):
            if self._stopping.is_set():
                return
            found = self._events.read(letter.sequence - 1, 1)
            if not found or found[0].sequence != letter.sequence:
                self._record(turn, letter=replace(letter, code="no-such-event", due=None))
                continue
            left = self._tried(turn, found[0], letter.attempts)
            self._record(turn, letter=left, delivered=letter.sequence if left is None else None)

    def _tried(self, turn: _Turn, event: Event, attempts: int) -> Letter | None:
        """One attempt; the letter that it leaves where it did not get through."""
        turn.attempts += 1
        id, attempts = turn.subscription.id, attempts + 1
        said = self._posted(turn.subscription, turn.secret, _body(f"{id}-{event.sequence}", event, attempts))
        if said.code is None:
            return None
        is_dead = said.is_final or attempts >= self._patience.attempts
        moment = self._clock()
        due = None if is_dead else moment + self._patience.wait(attempts, self._chance())
        log.warning(
            "a webhook was not heard", webhook=id, sequence=event.sequence, attempts=attempts, code=said.code,
            dead=is_dead,
        )  # fmt: skip
        return Letter(event.sequence, attempts, said.code, moment, due)

    def _record(
        self, turn: _Turn, *, cursor: int | None = None, letter: Letter | None = None, delivered: int | None = None
    ) -> None:
        id, lease = turn.subscription.id, self._patience.lease
        if not self._webhooks.record(id, self._owner, lease, cursor=cursor, letter=letter, delivered=delivered):
            raise _Lost

    def ping(self, subscription: Subscription) -> Said:
        """Send an event that tells of nothing, and say what came back."""
        secret = self._secrets.get(PREFIX + subscription.id) or b""
        told = _body(f"{subscription.id}-ping-{new_id()}", Event("ping", "", "", self._clock()), 1)
        return self._posted(subscription, secret, told)

    def _posted(self, subscription: Subscription, secret: bytes, body: bytes) -> Said:
        try:
            status = self._send(subscription.url, secret, body)
        except IsocenterError as error:
            return Said(None, error.code, isinstance(error, Forbidden | BadRequest))
        if 200 <= status < 300:
            return Said(status, None)
        return Said(status, "gone", is_final=True) if status == _GONE else Said(status, f"http-{status}")


def has_work(platform: Platform, within: timedelta = timedelta(0)) -> bool:
    """Whether there is something to send now, or to try again within so long."""
    standings = platform.webhooks.all()
    last = platform.events.last() if standings else 0
    return any(_is_behind(standing, last, now() + within) for standing in standings)


def _is_behind(standing: Standing, last: int, by: datetime) -> bool:
    return standing.cursor < last or (standing.due is not None and standing.due <= by)


def _body(id: str, event: Event, attempt: int) -> bytes:
    return orjson.dumps({
        "id": id, "sequence": event.sequence, "event": event.type, "store": event.store or None,
        "image": event.image or None, "time": event.at.isoformat(), "attempt": attempt,
    })  # fmt: skip
