"""What every keeper of API keys must do."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from isocenter.errors import Conflict, NotFound
from isocenter.ports.api_keys import ApiKeys
from isocenter.ports.audit_log import AuditLog
from isocenter.testing.chain import assert_chained
from isocenter.testing.records import new_entry, new_key, new_moment
from isocenter.testing.threads import together


@dataclass(frozen=True)
class KeyRooms:
    """No API keys yet, the audit log their changes go to, and that log's key."""

    keys: ApiKeys
    audit: AuditLog
    audit_key: bytes


class ApiKeysContract:
    """Subclass this, and override the fixture `rooms`."""

    @pytest.fixture
    def rooms(self) -> KeyRooms:
        raise NotImplementedError("override the fixture `rooms`")

    def test_a_key_comes_back_as_it_went_in(self, rooms: KeyRooms) -> None:
        for key in (new_key(), new_key(expires=new_moment(), scopes=frozenset(), label="Jörg's \U0001f9e0")):
            rooms.keys.add(key, new_entry("key.new"))
            assert rooms.keys.get(key.id) == key

    def test_an_unknown_id_is_none(self, rooms: KeyRooms) -> None:
        assert rooms.keys.get("nothing") is None
        assert rooms.keys.get("no\0thing") is None

    def test_every_key_is_listed_oldest_first(self, rooms: KeyRooms) -> None:
        keys = [new_key() for _ in range(5)]
        for i in (3, 0, 4, 1, 2):
            rooms.keys.add(keys[i], new_entry("key.new"))
        assert list(rooms.keys.all()) == keys

    def test_revoking_sets_the_time_of_the_entry_once(self, rooms: KeyRooms) -> None:
        key, entry = new_key(), new_entry("key.revoke")
        rooms.keys.add(key, new_entry("key.new"))
        revoked = replace(key, revoked=entry.at)
        assert rooms.keys.revoke(key.id, entry) == revoked
        assert rooms.keys.revoke(key.id, new_entry("key.revoke")) == revoked
        assert rooms.keys.get(key.id) == revoked
        assert list(rooms.keys.all()) == [revoked]

    def test_revoking_an_unknown_key_is_not_found_and_noted_nowhere(self, rooms: KeyRooms) -> None:
        with pytest.raises(NotFound):
            rooms.keys.revoke("nothing", new_entry("key.revoke"))
        assert rooms.audit.head() is None

    def test_each_change_is_noted_once(self, rooms: KeyRooms) -> None:
        key = new_key()
        for _ in range(2):
            rooms.keys.add(key, new_entry("key.new"))
        for _ in range(2):
            rooms.keys.revoke(key.id, new_entry("key.revoke"))
        noted = assert_chained(rooms.audit, rooms.audit_key)
        assert [each.action for each in noted] == ["key.new", "key.revoke"]

    def test_another_key_under_a_taken_id_is_a_conflict(self, rooms: KeyRooms) -> None:
        key = new_key()
        rooms.keys.add(key, new_entry("key.new"))
        with pytest.raises(Conflict):
            rooms.keys.add(replace(key, secret_sha256="11" * 32), new_entry("key.new"))
        assert rooms.keys.get(key.id) == key
        assert len(assert_chained(rooms.audit, rooms.audit_key)) == 1

    def test_a_key_revoked_by_many_at_once_is_revoked_once(self, rooms: KeyRooms) -> None:
        key = new_key()
        rooms.keys.add(key, new_entry("key.new"))
        revoked = together(lambda _: rooms.keys.revoke(key.id, new_entry("key.revoke")), range(8))
        assert set(revoked) == {rooms.keys.get(key.id)}
        assert len(assert_chained(rooms.audit, rooms.audit_key)) == 2
