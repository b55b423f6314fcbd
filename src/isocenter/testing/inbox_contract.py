"""What every inbox must do."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from isocenter.ports.inbox import Inbox, Waiting
from isocenter.testing.threads import together


class InboxContract:
    """Subclass this, and override the fixtures: `open_inbox` opens the one place, `leave` puts a file there,
    `lying` tells what lies there by name, `expire` lets claims of watchers that are gone run out."""

    @pytest.fixture
    def open_inbox(self) -> Callable[[], Inbox]:
        raise NotImplementedError("override the fixture `open_inbox`")

    @pytest.fixture
    def leave(self) -> Callable[[str, bytes], None]:
        raise NotImplementedError("override the fixture `leave`")

    @pytest.fixture
    def lying(self) -> Callable[[], dict[str, bytes]]:
        raise NotImplementedError("override the fixture `lying`")

    @pytest.fixture
    def expire(self) -> Callable[[], None]:
        raise NotImplementedError("override the fixture `expire`")

    @pytest.fixture
    def inbox(self, open_inbox: Callable[[], Inbox]) -> Inbox:
        return open_inbox()

    def found(self, inbox: Inbox, limit: int = 100) -> list[Waiting]:
        """What two looks see, as some inboxes take a file for whole at the second."""
        inbox.look(limit)
        return list(inbox.look(limit))

    def test_what_was_left_is_seen_claimed_and_read(self, inbox: Inbox, leave: Callable[[str, bytes], None]) -> None:
        assert self.found(inbox) == []
        data = bytes(range(256)) * 20_000
        leave("a/b.dcm", data)
        (waiting,) = self.found(inbox)
        assert (waiting.name, waiting.size) == ("a/b.dcm", len(data))
        assert "b.dcm" not in repr(waiting)
        assert inbox.claim(waiting)
        assert b"".join(inbox.read(waiting)) == data

    def test_the_oldest_come_first_and_no_more_than_are_asked_for(
        self, inbox: Inbox, leave: Callable[[str, bytes], None]
    ) -> None:
        for number in range(5):
            leave(f"{number}.dcm", b"x")
        assert len(self.found(inbox, 3)) == 3
        assert sorted(each.name for each in self.found(inbox)) == [f"{number}.dcm" for number in range(5)]

    def test_of_many_watchers_one_claims(
        self, open_inbox: Callable[[], Inbox], leave: Callable[[str, bytes], None]
    ) -> None:
        leave("a.dcm", b"x")
        inboxes = [open_inbox() for _ in range(8)]
        seen = [self.found(inbox)[0] for inbox in inboxes]
        won = together(lambda number: inboxes[number].claim(seen[number]), range(8))
        assert won.count(True) == 1
        assert not any(inbox.claim(seen[0]) for inbox in inboxes)
        winner = inboxes[won.index(True)]
        assert self.found(winner) == []
        winner.processed(seen[0])
        assert not any(inbox.claim(seen[0]) for inbox in inboxes)

    def test_what_ended_lies_where_it_belongs_and_is_not_seen_again(
        self, inbox: Inbox, leave: Callable[[str, bytes], None], lying: Callable[[], dict[str, bytes]]
    ) -> None:
        leave("a/good.dcm", b"good")
        leave("a/bad.dcm", b"bad")
        for waiting in self.found(inbox):
            assert inbox.claim(waiting)
            for _ in range(2):
                if waiting.name == "a/good.dcm":
                    inbox.processed(waiting)
                else:
                    inbox.failed(waiting, "not-an-image")
        assert self.found(inbox) == []
        assert lying() == {
            "processed/a/good.dcm": b"good",
            "failed/a/bad.dcm": b"bad",
            "failed/a/bad.dcm.reason.txt": b"not-an-image\n",
        }

    def test_a_second_file_of_the_same_name_takes_nothing_away(
        self, inbox: Inbox, leave: Callable[[str, bytes], None], lying: Callable[[], dict[str, bytes]]
    ) -> None:
        for data in (b"first", b"second", b"third"):
            leave("a.dcm", data)
            (waiting,) = self.found(inbox)
            assert inbox.claim(waiting)
            inbox.processed(waiting)
        assert sorted(lying().values()) == [b"first", b"second", b"third"]
        assert all(name.startswith("processed/") for name in lying())

    def test_what_a_watcher_that_is_gone_had_claimed_is_there_again(
        self,
        open_inbox: Callable[[], Inbox],
        leave: Callable[[str, bytes], None],
        lying: Callable[[], dict[str, bytes]],
        expire: Callable[[], None],
    ) -> None:
        leave("a.dcm", b"data")
        gone = open_inbox()
        (waiting,) = self.found(gone)
        assert gone.claim(waiting)
        expire()
        after = open_inbox()
        (again,) = self.found(after)
        assert after.claim(again)
        assert b"".join(after.read(again)) == b"data"
        after.processed(again)
        assert lying() == {"processed/a.dcm": b"data"}
