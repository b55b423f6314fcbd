"""What every keeper of deliveries must do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from isocenter.errors import BadRequest, NotFound
from isocenter.ports.audit_log import AuditLog
from isocenter.ports.deliveries import Deliveries
from isocenter.testing.chain import assert_chained
from isocenter.testing.records import new_delivery, new_entry, new_moment
from isocenter.testing.threads import together


@dataclass(frozen=True)
class DeliveryRooms:
    """No deliveries yet, the audit log their changes go to, and that log's key."""

    deliveries: Deliveries
    audit: AuditLog
    audit_key: bytes


class DeliveriesContract:
    """Subclass this, and override the fixture `rooms`."""

    @pytest.fixture
    def rooms(self) -> DeliveryRooms:
        raise NotImplementedError("override the fixture `rooms`")

    def test_a_delivery_comes_back_as_it_went_in(self, rooms: DeliveryRooms) -> None:
        plain = new_delivery()
        other = new_delivery(zipped=True, original=True, presigned=True, actor="key:x", store="deidentified")
        for each in (plain, other):
            assert rooms.deliveries.create(each, ["a", "b"], new_entry("deliver.create")) == each
            assert rooms.deliveries.get(each.id) == each
        assert rooms.deliveries.get("nothing") is None
        assert rooms.deliveries.get("no\0thing") is None

    def test_its_images_come_in_their_order_page_by_page(self, rooms: DeliveryRooms) -> None:
        images = [f"image-{number}" for number in (3, 1, 2, 5, 4)]
        delivery, empty = new_delivery(images=5), new_delivery(images=0)
        rooms.deliveries.create(delivery, images, new_entry())
        rooms.deliveries.create(empty, [], new_entry())
        assert list(rooms.deliveries.images(delivery.id)) == images
        assert list(rooms.deliveries.images(delivery.id, limit=2)) == images[:2]
        assert list(rooms.deliveries.images(delivery.id, after=2, limit=2)) == images[2:4]
        assert list(rooms.deliveries.images(delivery.id, after=5)) == []
        assert list(rooms.deliveries.images(empty.id)) == list(rooms.deliveries.images("nothing")) == []

    def test_it_holds_its_images_and_no_others(self, rooms: DeliveryRooms) -> None:
        one, other = new_delivery(), new_delivery()
        rooms.deliveries.create(one, ["a", "b"], new_entry())
        rooms.deliveries.create(other, ["b", "c"], new_entry())
        assert [rooms.deliveries.holds(one.id, image) for image in ("a", "b", "c", "A", "")] == [
            True,
            True,
            *[False] * 3,
        ]
        assert not rooms.deliveries.holds("nothing", "a")

    def test_the_same_id_again_is_the_same_delivery_and_noted_once(self, rooms: DeliveryRooms) -> None:
        delivery = new_delivery()
        again = replace(delivery, expires=new_moment() + timedelta(days=7), zipped=True)
        rooms.deliveries.create(delivery, ["a", "b"], new_entry("deliver.create"))
        assert rooms.deliveries.create(again, ["c"], new_entry("deliver.create")) == delivery
        assert list(rooms.deliveries.images(delivery.id)) == ["a", "b"]
        assert [each.action for each in assert_chained(rooms.audit, rooms.audit_key)] == ["deliver.create"]

    def test_they_are_listed_newest_first_by_store(self, rooms: DeliveryRooms) -> None:
        made = [new_delivery(store=("raw", "deidentified")[number % 2]) for number in range(5)]
        for each in made:
            rooms.deliveries.create(each, [], new_entry())
        first = rooms.deliveries.page(limit=2)
        assert list(first.items) == [made[4], made[3]]
        second = rooms.deliveries.page(limit=3, after=first.next)
        assert (list(second.items), second.next) == ([made[2], made[1], made[0]], None)
        assert list(rooms.deliveries.page(stores=["deidentified"]).items) == [made[3], made[1]]
        assert rooms.deliveries.page(stores=[]).items == rooms.deliveries.page(limit=0).items == ()
        with pytest.raises(BadRequest):
            rooms.deliveries.page(after="bm90IG91cnM=")

    def test_revoking_sets_the_time_of_the_entry_once(self, rooms: DeliveryRooms) -> None:
        delivery, entry = new_delivery(), new_entry("deliver.revoke")
        rooms.deliveries.create(delivery, ["a"], new_entry("deliver.create"))
        revoked = replace(delivery, revoked=entry.at)
        assert rooms.deliveries.revoke(delivery.id, entry) == revoked
        assert set(together(lambda _: rooms.deliveries.revoke(delivery.id, new_entry("deliver.revoke")), range(8))) == {
            revoked
        }
        assert rooms.deliveries.get(delivery.id) == revoked
        assert [e.action for e in assert_chained(rooms.audit, rooms.audit_key)] == ["deliver.create", "deliver.revoke"]

    def test_revoking_what_is_unknown_is_not_found_and_noted_nowhere(self, rooms: DeliveryRooms) -> None:
        with pytest.raises(NotFound):
            rooms.deliveries.revoke("nothing", new_entry("deliver.revoke"))
        assert rooms.audit.head() is None

    def test_what_expired_is_swept_with_its_images(self, rooms: DeliveryRooms) -> None:
        moment = new_moment()
        old = [new_delivery(expires=moment - timedelta(microseconds=number + 1)) for number in range(3)]
        kept = new_delivery(expires=moment)
        for each in (*old, kept):
            rooms.deliveries.create(each, ["a", "b"], new_entry())
        assert rooms.deliveries.sweep(moment) == 3
        assert rooms.deliveries.sweep(moment) == 0
        assert [each.id for each in rooms.deliveries.page().items] == [kept.id]
        assert rooms.deliveries.get(old[0].id) is None
        assert not rooms.deliveries.holds(old[0].id, "a")
        assert list(rooms.deliveries.images(kept.id)) == ["a", "b"]
