"""What every keeper of webhooks must do."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from isocenter.errors import NotFound
from isocenter.ports.audit_log import AuditLog
from isocenter.ports.webhooks import Letter, Standing, Webhooks
from isocenter.testing.chain import assert_chained
from isocenter.testing.records import new_entry, new_moment, new_subscription
from isocenter.testing.threads import together

LONG = 60.0


@dataclass(frozen=True)
class WebhookRooms:
    """No webhooks yet, the audit log their changes go to, and that log's key."""

    webhooks: Webhooks
    audit: AuditLog
    audit_key: bytes


def new_letter(sequence: int, **changes: object) -> Letter:
    made = Letter(sequence, 1, "http-500", new_moment(), new_moment())
    return replace(made, **changes)  # type: ignore[arg-type]  # fields by their names


class WebhooksContract:
    """Subclass this, and override the fixture `rooms`."""

    @pytest.fixture
    def rooms(self) -> WebhookRooms:
        raise NotImplementedError("override the fixture `rooms`")

    def held(self, rooms: WebhookRooms, cursor: int = 0) -> str:
        """The id of a new subscription that `a` holds."""
        made = new_subscription()
        rooms.webhooks.add(made, cursor, new_entry("webhook.add"))
        assert rooms.webhooks.claim(made.id, "a", LONG) == cursor
        return made.id

    def test_a_subscription_comes_back_as_it_went_in(self, rooms: WebhookRooms) -> None:
        plain = new_subscription()
        other = new_subscription(store="deidentified", events=frozenset({"image.deleted"}), actor="key:x")
        rooms.webhooks.add(plain, 0, new_entry("webhook.add"))
        rooms.webhooks.add(other, 7, new_entry("webhook.add"))
        assert list(rooms.webhooks.all()) == [Standing(plain, 0), Standing(other, 7)]

    def test_the_same_id_again_changes_and_notes_nothing(self, rooms: WebhookRooms) -> None:
        made = new_subscription()
        rooms.webhooks.add(made, 3, new_entry("webhook.add"))
        rooms.webhooks.add(replace(made, url="https://other.example/"), 9, new_entry("webhook.add"))
        assert list(rooms.webhooks.all()) == [Standing(made, 3)]
        assert [each.action for each in assert_chained(rooms.audit, rooms.audit_key)] == ["webhook.add"]

    def test_what_is_removed_is_gone_with_its_letters(self, rooms: WebhookRooms) -> None:
        id, other = self.held(rooms), self.held(rooms)
        for each in (id, other):
            assert rooms.webhooks.record(each, "a", LONG, letter=new_letter(1, due=None))
        rooms.webhooks.remove(id, new_entry("webhook.remove"))
        assert [each.subscription.id for each in rooms.webhooks.all()] == [other]
        assert list(rooms.webhooks.dead(id)) == []
        assert len(rooms.webhooks.dead(other)) == 1
        assert rooms.webhooks.claim(id, "a", LONG) is None
        assert not rooms.webhooks.record(id, "a", LONG, cursor=5)
        with pytest.raises(NotFound):
            rooms.webhooks.remove(id, new_entry("webhook.remove"))
        actions = [each.action for each in assert_chained(rooms.audit, rooms.audit_key)]
        assert actions == ["webhook.add", "webhook.add", "webhook.remove"]

    def test_one_holds_it_until_it_is_given_back(self, rooms: WebhookRooms) -> None:
        id = self.held(rooms, cursor=4)
        assert rooms.webhooks.claim(id, "b", LONG) is None
        assert rooms.webhooks.claim(id, "a", LONG) == 4
        assert rooms.webhooks.claim(id, "a", 0) == 4
        assert rooms.webhooks.claim(id, "b", LONG) == 4
        assert not rooms.webhooks.record(id, "a", LONG, cursor=9)
        assert rooms.webhooks.claim("nothing", "b", LONG) is None
        assert rooms.webhooks.claim("no\0thing", "b", LONG) is None

    def test_a_claim_runs_out_and_recording_renews_it(self, rooms: WebhookRooms) -> None:
        made = new_subscription()
        rooms.webhooks.add(made, 0, new_entry())
        assert rooms.webhooks.claim(made.id, "a", 0.05) == 0
        time.sleep(0.1)
        assert rooms.webhooks.record(made.id, "a", LONG, cursor=1)  # nobody took it meanwhile
        assert rooms.webhooks.claim(made.id, "b", LONG) is None
        assert rooms.webhooks.record(made.id, "a", 0.05)
        time.sleep(0.1)
        assert rooms.webhooks.claim(made.id, "b", LONG) == 1
        assert not rooms.webhooks.record(made.id, "a", LONG, cursor=2)

    def test_of_many_who_claim_at_once_one_gets_it(self, rooms: WebhookRooms) -> None:
        made = new_subscription()
        rooms.webhooks.add(made, 2, new_entry())
        got = together(lambda number: rooms.webhooks.claim(made.id, f"owner-{number}", LONG), range(8))
        assert sorted(got, key=str) == [2, *[None] * 7]

    def test_the_cursor_only_goes_on(self, rooms: WebhookRooms) -> None:
        id = self.held(rooms, cursor=5)
        for cursor in (8, 6):
            assert rooms.webhooks.record(id, "a", LONG, cursor=cursor)
        assert rooms.webhooks.all()[0].cursor == 8

    def test_letters_wait_until_they_are_due_and_go_when_they_are_delivered(self, rooms: WebhookRooms) -> None:
        id = self.held(rooms)
        late, early = new_letter(2), new_letter(5)
        early, late = replace(early, due=late.due), replace(late, due=early.due)
        for each in (late, early):
            assert rooms.webhooks.record(id, "a", LONG, cursor=each.sequence, letter=each)
        assert late.due is not None
        assert early.due is not None
        after = late.due + timedelta(microseconds=1)
        assert list(rooms.webhooks.due(id, early.due)) == []
        assert list(rooms.webhooks.due(id, late.due)) == [early]
        assert list(rooms.webhooks.due(id, after)) == [early, late]
        assert list(rooms.webhooks.due(id, after, limit=1)) == [early]
        assert list(rooms.webhooks.due("nothing", after)) == []
        (standing,) = rooms.webhooks.all()
        assert (standing.waiting, standing.dead, standing.due, standing.cursor) == (2, 0, early.due, 5)
        assert rooms.webhooks.record(id, "a", LONG, delivered=5)
        again = replace(late, attempts=2, code="http-503", due=new_moment())
        assert rooms.webhooks.record(id, "a", LONG, letter=again)
        assert list(rooms.webhooks.due(id, new_moment())) == [again]
        assert rooms.webhooks.record(id, "a", LONG, delivered=99)

    def test_who_holds_it_no_more_changes_no_letter(self, rooms: WebhookRooms) -> None:
        id = self.held(rooms)
        kept = new_letter(1)
        assert rooms.webhooks.record(id, "a", 0, letter=kept)
        assert rooms.webhooks.claim(id, "b", LONG) == 0
        assert not rooms.webhooks.record(id, "a", LONG, delivered=1)
        assert not rooms.webhooks.record(id, "a", LONG, letter=new_letter(2))
        assert list(rooms.webhooks.due(id, new_moment())) == [kept]

    def test_dead_letters_are_listed_in_order_and_tried_no_more(self, rooms: WebhookRooms) -> None:
        id = self.held(rooms)
        dead = [new_letter(sequence, due=None, code="gone") for sequence in (3, 1, 2)]
        waiting = new_letter(4)
        for each in (*dead, waiting):
            assert rooms.webhooks.record(id, "a", LONG, letter=each)
        assert list(rooms.webhooks.dead(id)) == [dead[1], dead[2], dead[0]]
        assert list(rooms.webhooks.dead(id, after=1, limit=1)) == [dead[2]]
        assert list(rooms.webhooks.dead("nothing")) == list(rooms.webhooks.dead(id, limit=0)) == []
        assert list(rooms.webhooks.due(id, new_moment())) == [waiting]
        (standing,) = rooms.webhooks.all()
        assert (standing.waiting, standing.dead) == (1, 3)

    def test_dead_letters_are_tried_again_as_if_for_the_first_time(self, rooms: WebhookRooms) -> None:
        id = self.held(rooms)
        dead, waiting = new_letter(1, due=None, attempts=10), new_letter(2, attempts=3)
        for each in (dead, waiting):
            assert rooms.webhooks.record(id, "a", LONG, letter=each)
        entry = new_entry("webhook.redrive")
        assert rooms.webhooks.redrive(id, entry) == 1
        assert rooms.webhooks.redrive(id, new_entry("webhook.redrive")) == 0
        assert list(rooms.webhooks.dead(id)) == []
        found = rooms.webhooks.due(id, new_moment())
        assert sorted(found, key=lambda each: each.sequence) == [replace(dead, attempts=0, due=entry.at), waiting]
        noted = assert_chained(rooms.audit, rooms.audit_key)
        assert [(each.action, each.count) for each in noted] == [("webhook.add", 1), ("webhook.redrive", 1)]
        with pytest.raises(NotFound):
            rooms.webhooks.redrive("nothing", new_entry())
