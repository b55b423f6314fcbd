"""What every audit log must do: one chain, every entry in it, and no change to it unseen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from isocenter.ports.audit_log import AuditLog
from isocenter.records import AuditEntry, AuditHead
from isocenter.testing.chain import all_entries, assert_chained, broken_at
from isocenter.testing.records import new_entry
from isocenter.testing.threads import together


@dataclass(frozen=True)
class AuditRooms:
    """An empty log under test, its key, and a second way in to it, as another process would have."""

    audit: AuditLog
    key: bytes
    again: Callable[[], AuditLog]


def plain(entry: AuditEntry) -> AuditEntry:
    """The entry as it was before it was chained."""
    return replace(entry, sequence=0, digest="")


class AuditLogContract:
    """Subclass this, and override the fixture `rooms`."""

    @pytest.fixture
    def rooms(self) -> AuditRooms:
        raise NotImplementedError("override the fixture `rooms`")

    def test_an_empty_log_has_no_head_and_no_entries(self, rooms: AuditRooms) -> None:
        rooms.audit.append([])
        assert rooms.audit.head() is None
        assert list(rooms.audit.read()) == []
        assert broken_at([], None, rooms.key) is None

    def test_entries_come_back_as_they_went_in_numbered_from_one(self, rooms: AuditRooms) -> None:
        entries = [
            new_entry(),
            new_entry(store="raw", image="some id", address="127.0.0.1", count=2**40, outcome="denied"),
            new_entry(request_id=None),
        ]
        rooms.audit.append(entries[:1])
        rooms.audit.append(entries[1:])
        found = list(rooms.audit.read())
        assert [plain(each) for each in found] == entries
        assert [each.sequence for each in found] == [1, 2, 3]

    def test_each_digest_is_over_the_entry_and_the_one_before(self, rooms: AuditRooms) -> None:
        entries = [new_entry(), new_entry()]
        rooms.audit.append(entries)
        first = entries[0].chained(rooms.key, "", 1)
        assert list(rooms.audit.read()) == [first, entries[1].chained(rooms.key, first.digest, 2)]

    def test_the_head_seals_the_last_entry(self, rooms: AuditRooms) -> None:
        for _ in range(3):
            rooms.audit.append([new_entry(), new_entry()])
            last = all_entries(rooms.audit)[-1]
            assert rooms.audit.head() == AuditHead.sealed(rooms.key, last.sequence, last.digest)

    def test_entries_are_read_in_parts(self, rooms: AuditRooms) -> None:
        rooms.audit.append([new_entry() for _ in range(25)])
        assert [each.sequence for each in rooms.audit.read(3, 4)] == [4, 5, 6, 7]
        assert [each.sequence for each in all_entries(rooms.audit, page=7)] == list(range(1, 26))
        assert list(rooms.audit.read(25)) == list(rooms.audit.read(99)) == list(rooms.audit.read(0, 0)) == []

    def test_a_large_batch_is_chained_whole(self, rooms: AuditRooms) -> None:
        rooms.audit.append([new_entry() for _ in range(5000)])
        assert len(assert_chained(rooms.audit, rooms.key)) == 5000

    def test_odd_text_is_kept_in_a_form_whose_digest_holds(self, rooms: AuditRooms) -> None:
        rooms.audit.append([new_entry(actor="a\0\ud800", address="::1\0", request_id="\U0001f9e0é"), new_entry()])
        first, _ = assert_chained(rooms.audit, rooms.key)
        assert (first.actor, first.address, first.request_id) == ("a?", "::1", "\U0001f9e0é")

    def test_entries_of_many_threads_form_one_chain(self, rooms: AuditRooms) -> None:
        ways = [rooms.audit, rooms.again()]
        batches = [[new_entry(actor=f"{i}/{k}") for k in range(5)] for i in range(32)]
        together(lambda i: ways[i % 2].append(batches[i]), range(32))
        found = [each.actor for each in assert_chained(rooms.audit, rooms.key)]
        assert len(found) == 160
        for i in range(32):  # each batch together and in its order
            start = found.index(f"{i}/0")
            assert found[start : start + 5] == [f"{i}/{k}" for k in range(5)]

    def test_another_key_does_not_fit(self, rooms: AuditRooms) -> None:
        rooms.audit.append([new_entry()])
        assert broken_at(all_entries(rooms.audit), rooms.audit.head(), b"another key") == 1

    def test_every_edit_deletion_swap_and_cut_shows(self, rooms: AuditRooms) -> None:
        rooms.audit.append([new_entry(actor=f"actor {i}", store="raw", image="id") for i in range(12)])
        entries, head = all_entries(rooms.audit), rooms.audit.head()
        assert broken_at(entries, head, rooms.key) is None
        edits = ("actor", "action", "outcome", "store", "image", "request_id", "address", "digest")
        for i, entry in enumerate(entries):
            for field in edits:
                changed: dict[str, str] = {field: "x"}
                edited = [*entries[:i], replace(entry, **changed), *entries[i + 1 :]]  # type: ignore[arg-type]
                assert broken_at(edited, head, rooms.key) == i + 1
            later = replace(entry, at=new_entry().at)
            counted = replace(entry, count=entry.count + 1)
            for edited_entry in (later, counted, replace(entry, sequence=99)):
                assert broken_at([*entries[:i], edited_entry, *entries[i + 1 :]], head, rooms.key) == i + 1
            assert broken_at(entries[:i] + entries[i + 1 :], head, rooms.key) in (i + 1, 0)
            assert broken_at(entries[:i], head, rooms.key) == 0
        assert broken_at([entries[1], entries[0], *entries[2:]], head, rooms.key) == 1
        assert broken_at(entries, None, rooms.key) == 0
