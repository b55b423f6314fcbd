"""What every event feed must do: tell changes in order, again and again, without gap."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from isocenter.ports.event_feed import EventFeed
from isocenter.ports.index import Index
from isocenter.records import Event, State
from isocenter.testing.records import new_entry, new_image, new_moment
from isocenter.testing.threads import together


@dataclass(frozen=True)
class FeedRooms:
    """An empty feed under test and the index that writes it."""

    events: EventFeed
    index: Index


class EventFeedContract:
    """Subclass this, and override the fixture `rooms`."""

    @pytest.fixture
    def rooms(self) -> FeedRooms:
        raise NotImplementedError("override the fixture `rooms`")

    def test_an_empty_feed_ends_at_zero(self, rooms: FeedRooms) -> None:
        assert rooms.events.last() == 0
        assert list(rooms.events.read()) == []

    def test_an_event_says_what_happened_to_which_image_when(self, rooms: FeedRooms) -> None:
        new, entries = new_image(store="deidentified"), [new_entry(), new_entry()]
        rooms.index.commit([(new, entries[0])])
        rooms.index.transition([new.record.id], State.DELETED, entries[1])
        stored, deleted = rooms.events.read()
        id = new.record.id
        assert stored == Event("image.stored", "deidentified", id, entries[0].at, stored.sequence)
        assert deleted == Event("image.deleted", "deidentified", id, entries[1].at, deleted.sequence)
        assert 0 < stored.sequence < deleted.sequence == rooms.events.last()

    def test_the_events_of_a_batch_are_in_the_order_of_the_batch(self, rooms: FeedRooms) -> None:
        batch = [new_image() for _ in range(50)]
        rooms.index.commit([(new, new_entry()) for new in batch])
        assert [each.image for each in rooms.events.read()] == [new.record.id for new in batch]

    def test_the_feed_is_read_in_parts_and_again(self, rooms: FeedRooms) -> None:
        rooms.index.commit([(new_image(), new_entry()) for _ in range(10)])
        whole = list(rooms.events.read())
        assert list(rooms.events.read()) == whole
        found: list[Event] = []
        while part := rooms.events.read(found[-1].sequence if found else 0, 3):
            found += part
        assert found == whole
        assert list(rooms.events.read(0, 0)) == list(rooms.events.read(whole[-1].sequence)) == []

    def test_a_purged_image_stays_in_the_feed(self, rooms: FeedRooms) -> None:
        new = new_image()
        rooms.index.commit([(new, new_entry())])
        rooms.index.transition([new.record.id], State.DELETED, new_entry())
        rooms.index.purge([new.record.id], new_entry())
        assert [each.type for each in rooms.events.read()] == [
            "image.stored",
            "image.deleted",
            "image.purged",
        ]

    def test_sequences_of_many_threads_are_each_given_once(self, rooms: FeedRooms) -> None:
        together(lambda _: rooms.index.commit([(new_image(), new_entry()) for _ in range(3)]), range(16))
        sequences = [each.sequence for each in rooms.events.read()]
        assert sequences == sorted(set(sequences))
        assert len(sequences) == 48
        assert sequences[-1] == rooms.events.last()

    def test_a_study_is_told_complete_once_of_an_image_whoever_asks(self, rooms: FeedRooms) -> None:
        images = [new_image() for _ in range(2)]
        rooms.index.commit([(new, new_entry()) for new in images])
        told = [Event("study.complete", "raw", new.record.id, new_moment()) for new in images]
        assert sorted(together(lambda _: rooms.events.append(told[0]), range(8))) == [False] * 7 + [True]
        assert rooms.events.append(told[1])
        assert not rooms.events.append(told[0])
        found = [each for each in rooms.events.read() if each.type == "study.complete"]
        assert found == [replace(each, sequence=3 + number) for number, each in enumerate(told)]
        assert rooms.events.last() == 4
        rooms.index.commit([(new_image(), new_entry())])
        assert rooms.events.last() == 5
