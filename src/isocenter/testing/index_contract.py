"""What every index must do: the class of tests that each backend subclasses, and states and concurrency."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace

import pytest

from isocenter.errors import Conflict
from isocenter.ports.index import Index
from isocenter.records import (
    Committed,
    Event,
    ImageQuery,
    Search,
    State,
)
from isocenter.testing.chain import assert_chained
from isocenter.testing.index_commit_contract import CommitContract, TellContract
from isocenter.testing.index_query_contract import QueryContract
from isocenter.testing.index_rooms import IndexRooms, IndexTests, commit, every_image, outcomes
from isocenter.testing.records import new_entry, new_image, new_uid, new_volume
from isocenter.testing.search_contract import SearchContract
from isocenter.testing.threads import together

DELETED = (State.DELETED,)


class StateContract(IndexTests):
    """Deleting, restoring and purging."""

    def test_a_deleted_image_is_found_only_among_the_deleted(self, index: Index) -> None:
        new, other = new_image(), new_image()
        commit(index, new, other)
        entry = new_entry("delete")
        (changed,) = index.transition([new.record.id], State.DELETED, entry)
        assert changed == replace(new.record, state=State.DELETED, changed=entry.at)
        assert index.get(new.record.id) == changed
        assert index.images(ImageQuery()).items == (other.record,)
        assert index.images(ImageQuery(states=DELETED)).items == (changed,)

    def test_a_restored_image_is_found_again_in_its_place(self, index: Index) -> None:
        batch = [new_image(), new_image()]
        commit(index, *batch)
        id = batch[0].record.id
        index.transition([id], State.DELETED, new_entry("delete"))
        entry = new_entry("restore")
        (changed,) = index.transition([id], State.CURRENT, entry)
        assert changed == replace(batch[0].record, changed=entry.at)
        assert index.images(ImageQuery()).items == (changed, batch[1].record)

    def test_each_transition_can_run_twice(self, index: Index) -> None:
        new = new_image()
        commit(index, new)
        ids = [new.record.id, new.record.id, "nowhere"]
        for to in (State.DELETED, State.CURRENT):
            assert len(index.transition(ids, to, new_entry())) == 1
            assert list(index.transition(ids, to, new_entry())) == []

    def test_changes_come_back_in_the_order_of_the_ids(self, index: Index) -> None:
        batch = [new_image() for _ in range(5)]
        commit(index, *batch)
        ids = [batch[i].record.id for i in (3, 0, 4, 1, 2)]
        assert [each.id for each in index.transition(ids, State.DELETED, new_entry())] == ids
        assert [each.id for each in index.purge(ids[::-1], new_entry())] == ids[::-1]

    def test_thousands_of_images_are_deleted_restored_and_purged_at_once(self, rooms: IndexRooms) -> None:
        batch = [new_image() for _ in range(self.many)]
        commit(rooms.index, *batch)
        ids = [each.record.id for each in batch]
        for to in (State.DELETED, State.CURRENT, State.DELETED):
            assert len(rooms.index.transition(ids, to, new_entry())) == self.many
        assert len(rooms.index.purge(ids, new_entry())) == self.many
        assert list(rooms.index.blob_keys()) == []
        assert rooms.search.search(Search("study", "raw")).items == ()
        assert rooms.events.last() == 5 * self.many

    def test_superseded_images_are_neither_deleted_nor_restored(self, index: Index) -> None:
        first = new_image()
        commit(index, first)
        commit(index, new_image(instance=first.record.sop_instance_uid, content=b"2"), keep_versions=True)
        assert list(index.transition([first.record.id], State.DELETED, new_entry())) == []
        assert list(index.transition([first.record.id], State.CURRENT, new_entry())) == []

    def test_nothing_is_made_superseded_by_hand(self, index: Index) -> None:
        with pytest.raises(ValueError, match="superseded"):
            index.transition([], State.SUPERSEDED, new_entry())

    def test_restoring_onto_a_taken_identity_raises_conflict_and_changes_nothing(self, rooms: IndexRooms) -> None:
        index, first, fine = rooms.index, new_image(), new_image()
        commit(index, first, fine)
        ids = [fine.record.id, first.record.id]
        index.transition(ids, State.DELETED, new_entry())
        commit(index, new_image(instance=first.record.sop_instance_uid))
        before = rooms.audit.head()
        with pytest.raises(Conflict):
            index.transition(ids, State.CURRENT, new_entry())
        assert [each.id for each in index.images(ImageQuery(states=DELETED)).items] == ids[::-1]
        assert rooms.audit.head() == before

    def test_restoring_two_of_one_identity_at_once_raises_conflict(self, index: Index) -> None:
        uid = new_uid()
        batch = [new_image(instance=uid), new_image(instance=uid)]
        for new in batch:
            commit(index, new)
            index.transition([new.record.id], State.DELETED, new_entry())
        with pytest.raises(Conflict):
            index.transition([new.record.id for new in batch], State.CURRENT, new_entry())
        assert index.images(ImageQuery()).items == ()

    def test_a_volume_is_restored_onto_its_own_identity_only(self, index: Index) -> None:
        first = new_volume(image="a")
        commit(index, first)
        index.transition([first.record.id], State.DELETED, new_entry())
        commit(index, new_volume(image="a"))
        with pytest.raises(Conflict):
            index.transition([first.record.id], State.CURRENT, new_entry())

    def test_purging_forgets_deleted_and_superseded_images_only(self, index: Index) -> None:
        uid = new_uid()
        old, new, gone = new_image(instance=uid), new_image(instance=uid, content=b"2"), new_image()
        commit(index, old, new, gone, keep_versions=True)
        index.transition([gone.record.id], State.DELETED, new_entry())
        ids = [each.record.id for each in (old, new, gone)]
        assert [each.id for each in index.purge(ids, new_entry())] == [ids[0], ids[2]]
        assert list(index.purge(ids, new_entry())) == []
        assert index.get(ids[0]) is None
        assert list(index.details(ids)) == [ids[1]]
        assert list(index.blob_keys()) == [new.record.blob.key]

    def test_the_blob_key_of_every_row_in_any_state_is_listed(self, index: Index) -> None:
        uid = new_uid()
        batch = [new_image(instance=uid), new_image(instance=uid, content=b"2"), new_image(), new_volume()]
        commit(index, *batch, keep_versions=True)
        index.transition([batch[2].record.id], State.DELETED, new_entry())
        assert sorted(index.blob_keys()) == sorted(each.record.blob.key for each in batch)


class ConcurrencyContract(IndexTests):
    """Many at once."""

    def test_32_writers_of_one_instance_make_one_row(self, rooms: IndexRooms) -> None:
        uid, ways = new_uid(), [rooms.index, rooms.again()]
        batch = [new_image(instance=uid) for _ in range(32)]
        answers = together(lambda i: commit(ways[i % 2], batch[i])[0], range(32))
        assert sorted(outcomes(answers)) == ["duplicate"] * 31 + ["stored"]
        assert len({each.record.id for each in answers}) == 1
        assert len(list(rooms.index.blob_keys())) == 1
        assert rooms.events.last() == 1
        assert len(assert_chained(rooms.audit, rooms.key)) == 32

    def test_32_writers_of_different_bytes_keep_one_and_conflict(self, rooms: IndexRooms) -> None:
        uid, ways = new_uid(), [rooms.index, rooms.again()]
        batch = [new_image(instance=uid, content=b"%d" % i) for i in range(32)]
        answers = together(lambda i: commit(ways[i % 2], batch[i])[0], range(32))
        assert sorted(outcomes(answers)) == ["conflict"] * 31 + ["stored"]
        (kept,) = rooms.index.images(ImageQuery()).items
        assert {each.record for each in answers} == {kept}

    def test_writers_that_keep_versions_lose_none(self, rooms: IndexRooms) -> None:
        uid, ways = new_uid(), [rooms.index, rooms.again()]
        batch = [new_image(instance=uid, content=b"%d" % i) for i in range(16)]
        answers = together(lambda i: commit(ways[i % 2], batch[i], keep_versions=True)[0], range(16))
        assert sorted(outcomes(answers)) == ["replaced"] * 15 + ["stored"]
        assert len(every_image(rooms.index, ImageQuery(states=tuple(State)))) == 16
        assert len(rooms.index.images(ImageQuery()).items) == 1

    def test_overlapping_batches_in_opposite_order_neither_lock_up_nor_double(self, rooms: IndexRooms) -> None:
        uids, ways = [new_uid() for _ in range(40)], [rooms.index, rooms.again()]

        def write(i: int) -> Sequence[Committed]:
            order = uids if i % 2 else uids[::-1]
            return commit(ways[i // 2 % 2], *(new_image(instance=uid) for uid in order))

        answers = [each for part in together(write, range(8)) for each in part]
        assert outcomes(answers).count("stored") == 40
        assert len(every_image(rooms.index, ImageQuery())) == 40
        assert_chained(rooms.audit, rooms.key)

    def test_an_image_deleted_by_many_is_deleted_once(self, rooms: IndexRooms) -> None:
        new, ways = new_image(), [rooms.index, rooms.again()]
        commit(rooms.index, new)
        changed = together(lambda i: len(ways[i % 2].transition([new.record.id], State.DELETED, new_entry())), range(8))
        assert sum(changed) == 1

    def test_a_reader_of_the_feed_never_misses_an_event(self, rooms: IndexRooms) -> None:
        ways, done, seen = [rooms.index, rooms.again()], threading.Event(), list[Event]()

        def follow() -> None:
            while True:
                last = done.is_set()
                part = rooms.events.read(seen[-1].sequence if seen else 0, 7)
                seen.extend(part)
                if last and not part:
                    return
                if not part:
                    time.sleep(0.001)

        follower = threading.Thread(target=follow)
        follower.start()
        try:
            together(lambda i: [commit(ways[i % 2], new_image(), new_image()) for _ in range(8)], range(6))
        finally:
            done.set()
            follower.join()
        assert [each.sequence for each in seen] == sorted({each.sequence for each in seen})
        assert len({each.image for each in seen}) == len(seen) == 96

    def test_a_reader_of_pages_never_misses_an_image(self, rooms: IndexRooms) -> None:
        ways, done, seen = [rooms.index, rooms.again()], threading.Event(), list[str]()
        commit(rooms.index, new_image(), new_image())
        first = rooms.index.images(ImageQuery(limit=1))
        cursor = first.next

        def follow(cursor: str | None) -> None:
            while cursor is not None:
                last = done.is_set()
                page = rooms.index.images(ImageQuery(after=cursor, limit=5))
                if page.next is not None or last:
                    seen.extend(each.id for each in page.items)
                    cursor = page.next
                else:
                    time.sleep(0.001)

        follower = threading.Thread(target=follow, args=(cursor,))
        follower.start()
        try:
            together(lambda i: [commit(ways[i % 2], new_image()) for _ in range(12)], range(6))
        finally:
            done.set()
            follower.join()
        assert [first.items[0].id, *seen] == [each.id for each in every_image(rooms.index, ImageQuery())]
        assert len(seen) == 73


class IndexContract(CommitContract, TellContract, StateContract, QueryContract, SearchContract, ConcurrencyContract):
    """All of it: the class for a backend to subclass."""
