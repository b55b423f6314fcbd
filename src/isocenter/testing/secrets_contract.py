"""What every key store must do."""

from __future__ import annotations

import pytest

from isocenter.ports.secrets import Secrets
from isocenter.testing.threads import together


class SecretsContract:
    """Subclass this, and override the fixture `secrets` with an empty store."""

    @pytest.fixture
    def secrets(self) -> Secrets:
        raise NotImplementedError("override the fixture `secrets`")

    def test_an_unknown_name_has_no_value(self, secrets: Secrets) -> None:
        assert secrets.get("nothing") is None
        assert list(secrets.names()) == []

    @pytest.mark.parametrize("value", [b"", b"\0", b"value", bytes(range(256)) * 40])
    def test_a_value_comes_back_as_it_went_in(self, secrets: Secrets, value: bytes) -> None:
        assert secrets.create("audit-key", value) == value
        assert secrets.get("audit-key") == value

    def test_the_first_value_wins(self, secrets: Secrets) -> None:
        assert secrets.create("name", b"first") == b"first"
        assert secrets.create("name", b"second") == b"first"
        assert secrets.get("name") == b"first"

    def test_an_empty_first_value_wins_too(self, secrets: Secrets) -> None:
        secrets.create("name", b"")
        assert secrets.create("name", b"second") == b""

    def test_a_value_is_replaced_whether_there_was_one_or_not(self, secrets: Secrets) -> None:
        for value in (b"first", b"second", b"second"):
            secrets.replace("name", value)
            assert secrets.get("name") == value

    def test_a_value_can_be_deleted_twice_and_created_anew(self, secrets: Secrets) -> None:
        secrets.create("name", b"first")
        secrets.delete("name")
        secrets.delete("name")
        assert secrets.get("name") is None
        assert secrets.create("name", b"second") == b"second"

    def test_names_are_sorted_and_told_apart_by_every_letter(self, secrets: Secrets) -> None:
        names = ["b", "a", "a-b", "a.b", "a_b", "ab", "B", "pseudonym-key"]
        for name in names:
            secrets.create(name, name.encode())
        assert list(secrets.names()) == sorted(names)
        assert [secrets.get(name) for name in names] == [name.encode() for name in names]

    def test_of_32_creators_one_wins_and_all_get_its_value(self, secrets: Secrets) -> None:
        kept = set(together(lambda i: secrets.create("name", b"%d" % i), range(32)))
        assert kept == {secrets.get("name")}
