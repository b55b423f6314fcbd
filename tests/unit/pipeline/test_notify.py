"""Sending to webhooks, against a clock of the tests' own: order, waits, letters, senders that end anywhere."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from isocenter.archive.store import Caller
from isocenter.errors import BackendUnavailable, BadRequest, Conflict, Forbidden, NotFound
from isocenter.pipeline.notify import Notifier, Patience, has_work
from isocenter.pipeline.webhooks import MOST, WebhookDesk
from isocenter.ports.platform import Platform
from isocenter.ports.webhooks import Letter, Subscription
from isocenter.records import State, now
from isocenter.testing.records import new_entry, new_image
from isocenter.testing.threads import together

ME = Caller("tester")
URL = "https://listener.example/arrived"
Reply = Callable[[dict[str, Any]], int]


class World:
    """One platform, and a listener that answers as it is told."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.now = now()
        self.heard: list[dict[str, Any]] = []
        self.urls: list[str] = []
        self.reply: Reply = lambda told: 204
        self.desk = WebhookDesk(platform, ("raw", "deidentified"), lambda url: None)
        self.patience = Patience(attempts=4, first=10.0, longest=25.0, lease=30.0)

    def clock(self) -> datetime:
        return self.now

    def send(self, url: str, secret: bytes, body: bytes) -> int:
        assert len(secret) > 40
        told = json.loads(body)
        self.urls.append(url)
        self.heard.append(told)
        return self.reply(told)

    def notifier(self, owner: str = "me", chance: float = 0.0) -> Notifier:
        return Notifier(
            self.platform, self.send, self.patience, owner, clock=self.clock, chance=lambda: chance
        )  # fmt: skip

    def added(self, *events: str, store: str | None = None, url: str = URL) -> Subscription:
        return self.desk.add(url, events or ("image.stored",), store, ME)[0]

    def stored(self, count: int, store: str = "raw") -> list[str]:
        new = [new_image(store=store) for _ in range(count)]
        self.platform.index.commit([(each, new_entry()) for each in new])
        return [each.record.id for each in new]

    def images(self) -> list[str]:
        return [told["image"] for told in self.heard]

    def letters(self, id: str) -> list[Letter]:
        return list(self.platform.webhooks.due(id, self.now + timedelta(days=9)))


@pytest.fixture
def world(make_platform: Callable[..., Platform]) -> World:
    return World(make_platform())


def test_what_is_sent_is_ids_and_nothing_else(world: World) -> None:
    hook = world.added()
    (image,) = world.stored(1)
    (event,) = world.platform.events.read()
    assert world.notifier().serve(hook) == 1
    assert world.heard == [
        {
            "id": f"{hook.id}-{event.sequence}", "sequence": event.sequence, "event": "image.stored", "store": "raw",
            "image": image, "time": event.at.isoformat(), "attempt": 1,
        }
    ]  # fmt: skip


def test_events_come_in_order_once_and_only_those_that_are_wanted(world: World) -> None:
    world.stored(2)  # before anybody listened
    hook = world.added("image.stored", "image.deleted", store="raw")
    images = world.stored(250)
    world.stored(3, "deidentified")
    world.platform.index.transition(images[:1], State.DELETED, new_entry())
    world.platform.index.transition(images[:1], State.CURRENT, new_entry())
    notifier = world.notifier()
    assert notifier.serve(hook) == 251
    assert world.images() == [*images, images[0]]
    assert world.heard[-1]["event"] == "image.deleted"
    assert notifier.serve(hook) == 0
    (standing,) = world.desk.all()
    assert standing.cursor == world.platform.events.last()
    assert not has_work(world.platform)


def test_what_fails_holds_up_nothing_and_is_tried_again_ever_later(world: World) -> None:
    hook = world.added()
    first, second, third = world.stored(3)
    world.reply = lambda told: 503 if told["image"] == second else 200
    notifier = world.notifier()
    assert notifier.serve(hook) == 3
    assert world.images() == [first, second, third]
    (letter,) = world.letters(hook.id)
    assert (letter.attempts, letter.code) == (1, "http-503")
    waits = []
    while letters := world.letters(hook.id):
        due = letters[0].due
        assert due is not None
        waits.append((due - world.now).total_seconds())
        world.now = due - timedelta(microseconds=1)
        assert notifier.serve(hook) == 0
        world.now = due
        assert notifier.serve(hook) == 1
    assert waits == [10.0, 20.0, 25.0]
    assert [told["attempt"] for told in world.heard if told["image"] == second] == [1, 2, 3, 4]
    assert len({told["id"] for told in world.heard if told["image"] == second}) == 1
    (dead,) = world.desk.dead(hook.id)
    assert (dead.attempts, dead.code, dead.due) == (4, "http-503", None)


def test_waits_are_shorter_by_chance_and_never_above_the_longest() -> None:
    patience = Patience(first=10.0, longest=3600.0)
    assert [patience.wait(n, 0.0).total_seconds() for n in (1, 2, 3, 9, 10, 99)] == [10, 20, 40, 2560, 3600, 3600]
    assert [patience.wait(n, 1.0).total_seconds() for n in (1, 10)] == [5, 1800]


def test_what_gets_through_at_last_leaves_no_letter(world: World) -> None:
    hook = world.added()
    world.stored(1)
    world.reply = lambda told: 200 if told["attempt"] == 3 else 500
    for _ in range(3):
        world.notifier().serve(hook)
        world.now += timedelta(minutes=1)
    assert [told["attempt"] for told in world.heard] == [1, 2, 3]
    assert world.letters(hook.id) == list(world.desk.dead(hook.id)) == []


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (410, "gone"),
        (Forbidden("no", code="address-not-public"), "address-not-public"),
        (Forbidden("no", code="not-https"), "not-https"),
        (BadRequest("no", code="bad-url"), "bad-url"),
    ],
)
def test_what_cannot_get_better_is_dead_at_once(world: World, answer: int | Exception, code: str) -> None:
    hook = world.added()
    world.stored(1)

    def reply(told: dict[str, Any]) -> int:
        if isinstance(answer, Exception):
            raise answer
        return answer

    world.reply = reply
    assert world.notifier().serve(hook) == 1
    (dead,) = world.desk.dead(hook.id)
    assert (dead.attempts, dead.code) == (1, code)


@pytest.mark.parametrize("status", [302, 307, 308, 400, 404, 429, 500, 199, 600])
def test_nothing_but_2xx_is_heard_and_no_redirect_is_followed(world: World, status: int) -> None:
    hook = world.added()
    world.stored(1)
    world.reply = lambda told: status
    assert world.notifier().serve(hook) == 1
    assert [each.code for each in world.letters(hook.id)] == [f"http-{status}"]


def test_dead_letters_are_tried_again_when_that_is_asked_for(world: World) -> None:
    hook = world.added()
    images = world.stored(3)
    world.reply = lambda told: 410
    world.notifier().serve(hook)
    assert world.desk.redrive(hook.id, ME) == 3
    assert has_work(world.platform)
    world.heard.clear()
    world.reply = lambda told: 200
    world.now = now()
    assert world.notifier().serve(hook) == 3
    assert world.images() == images
    assert [told["attempt"] for told in world.heard] == [1, 1, 1]
    assert list(world.desk.dead(hook.id)) == []
    assert world.desk.redrive(hook.id, ME) == 0


class Killed(BaseException):
    """What a process that is killed does not get past."""


def test_whenever_a_sender_is_killed_nothing_is_missing(world: World) -> None:
    """Killed before each call to the ports and to the listener in turn; the next one sends what is left."""
    sent = 0
    for fatal in range(1, 40):
        hook = world.added()
        images = world.stored(4)
        world.heard.clear()
        calls = [0]

        def counted(function: Callable[..., Any], calls: list[int] = calls, fatal: int = fatal) -> Callable[..., Any]:
            def call(*given: Any, **named: Any) -> Any:
                calls[0] += 1
                if calls[0] == fatal:
                    raise Killed
                return function(*given, **named)

            return call

        notifier = world.notifier(owner="first")
        notifier._send = counted(notifier._send)
        notifier._webhooks = _Counted(world.platform.webhooks, counted)
        try:
            notifier.serve(hook)
        except Killed:
            sent += 1
        # The same process started again; another waits for the lease.
        world.notifier(owner="first").serve(hook)
        assert sorted(set(world.images())) == sorted(images)
        assert len(world.heard) <= len(images) + 1  # the one it was killed over may come twice, by the same id
        assert len({told["id"] for told in world.heard}) == len(images)
        world.desk.remove(hook.id, ME)
    assert sent > 8


class _Counted:
    def __init__(self, inner: object, counted: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        self._inner = inner
        self._counted = counted

    def __getattr__(self, name: str) -> Any:
        return self._counted(getattr(self._inner, name))


def test_of_many_senders_at_once_one_sends(world: World) -> None:
    hook = world.added()
    images = world.stored(30)
    together(lambda number: world.notifier(f"owner-{number}").serve(hook), range(6))
    world.notifier("last").serve(hook)
    assert world.images() == images


def test_a_sender_that_lost_its_lease_stops(world: World) -> None:
    hook = world.added()
    world.stored(5)
    world.patience = Patience(lease=0.0)

    def taken(told: dict[str, Any]) -> int:
        if len(world.heard) == 2:
            assert world.platform.webhooks.claim(hook.id, "another", 60) is not None
        return 200

    world.reply = taken
    assert world.notifier().serve(hook) == 2
    assert world.desk.all()[0].cursor == 1


def test_one_listener_that_hangs_holds_up_no_other(world: World) -> None:
    slow, quick = world.added(url="https://slow.example/"), world.added(url="https://quick.example/")
    release, through = threading.Event(), threading.Event()

    def reply(told: dict[str, Any]) -> int:
        if told["id"].startswith(slow.id):
            assert release.wait(30)
        elif world.urls.count(quick.url) == 10:
            through.set()
        return 200

    world.reply = reply
    world.stored(10)
    notifier = world.notifier()
    notifier.look()
    assert through.wait(30)
    notifier.look()  # the slow one is at it: no second thread
    assert world.urls.count(slow.url) == 1
    release.set()
    notifier.close()
    assert world.urls.count(quick.url) == 10


def test_a_clean_end_gives_the_subscription_back(world: World) -> None:
    hook = world.added()
    world.stored(3)
    notifier = world.notifier()

    def reply(told: dict[str, Any]) -> int:
        notifier._stopping.set()
        return 200

    world.reply = reply
    assert notifier.serve(hook) == 1
    world.reply = lambda told: 200
    assert world.notifier("another").serve(hook) == 2


def test_a_removed_webhook_is_told_nothing_more(world: World) -> None:
    hook = world.added()
    world.stored(3)

    def reply(told: dict[str, Any]) -> int:
        world.desk.remove(hook.id, ME)
        return 200

    world.reply = reply
    assert world.notifier().serve(hook) == 1
    assert world.notifier().serve(hook) == 0
    assert (list(world.desk.all()), list(world.platform.secrets.names())) == ([], [])


def test_what_could_not_be_reached_is_told_by_its_code(world: World) -> None:
    hook = world.added()

    def reply(told: dict[str, Any]) -> int:
        raise BackendUnavailable("it took over 10 s", code="fetch-timeout")

    world.reply = reply
    world.stored(1)
    world.notifier().serve(hook)
    assert [each.code for each in world.letters(hook.id)] == ["fetch-timeout"]
    said = world.notifier().ping(hook)
    assert (said.status, said.code) == (None, "fetch-timeout")
    world.reply = lambda told: 418
    assert world.notifier().ping(hook).code == "http-418"
    told = world.heard[-1]
    assert (told["event"], told["store"], told["image"], told["sequence"]) == ("ping", None, None, 0)


def test_there_is_work_while_something_is_to_be_tried_again_soon(world: World) -> None:
    assert not has_work(world.platform)
    hook = world.added()
    assert not has_work(world.platform)
    world.stored(1)
    assert has_work(world.platform)
    world.reply = lambda told: 500
    world.notifier().serve(hook)
    assert not has_work(world.platform)
    assert has_work(world.platform, timedelta(seconds=60))


def test_what_cannot_be_added_is_refused(world: World) -> None:
    with pytest.raises(BadRequest):
        world.desk.add(URL, (), None, ME)
    with pytest.raises(BadRequest):
        world.desk.add(URL, ("image.viewed",), None, ME)
    with pytest.raises(NotFound):
        world.desk.add(URL, ("image.stored",), "nowhere", ME)
    for call in (world.desk.get, world.desk.dead, lambda hook: world.desk.redrive(hook, ME)):
        with pytest.raises(NotFound):
            call("a" * 26)
    for _ in range(MOST):
        world.added()
    with pytest.raises(Conflict):
        world.added()
    assert URL not in repr(world.desk.all()[0])
