"""Group commit: who waits together is committed together, and one's fault is not another's."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import pytest

from isocenter.archive.commit import GroupCommit
from isocenter.errors import BackendUnavailable, LimitExceeded
from isocenter.ports.platform import Platform
from isocenter.records import AuditEntry, Committed, NewImage
from isocenter.testing.faults import FaultyIndex, Plan
from isocenter.testing.records import new_entry, new_image
from isocenter.testing.threads import together

Make = Callable[..., Platform]


class SlowIndex(FaultyIndex):
    """An index whose first commit waits until it is let go; it notes how many images each transaction had."""

    def __init__(self, inner: Platform, plan: Plan, bad: str | None = None) -> None:
        super().__init__(inner.index, plan)
        self.go = threading.Event()
        self.sizes: list[int] = []
        self._bad = bad

    def commit(self, new: Sequence[tuple[NewImage, AuditEntry]], *, keep_versions: bool = False) -> Sequence[Committed]:
        self.sizes.append(len(new))
        if len(self.sizes) == 1:
            self.go.wait(10)
        if any(image.record.subject_id == self._bad for image, _ in new):
            raise LimitExceeded("a fault of one image", code="test")
        return super().commit(new, keep_versions=keep_versions)


def committed(group: GroupCommit, index: SlowIndex, count: int, bad: str | None = None) -> list[object]:
    """What `count` callers at once get: one that begins, the others while it is held up."""
    items = [new_image(subject=bad if bad and number == 3 else "subject") for number in range(count)]

    def call(number: int) -> object:
        if number == 0:
            return group.commit([(items[0], new_entry())])
        while not index.sizes:
            pass
        if number == count - 1:
            while len(group._waiting) < count - 2:
                pass
            threading.Timer(0.05, index.go.set).start()
        try:
            return group.commit([(items[number], new_entry())])
        except (LimitExceeded, BackendUnavailable) as error:
            return error

    return list(together(call, range(count)))


def test_callers_that_wait_share_one_transaction(make_platform: Make) -> None:
    index = SlowIndex(make_platform(), Plan())
    answers = committed(GroupCommit(index), index, 12)
    assert index.sizes[0] == 1
    assert sum(index.sizes) == 12
    assert len(index.sizes) <= 3
    assert all(isinstance(answer, Sequence) and len(answer) == 1 for answer in answers)


def test_each_caller_gets_the_answer_for_its_own_image(make_platform: Make) -> None:
    group = GroupCommit(make_platform().index)
    items = [new_image() for _ in range(16)]
    answers = together(lambda item: group.commit([(item, new_entry())]), items)
    assert [answer[0].record.id for answer in answers] == [item.record.id for item in items]


def test_one_caller_s_fault_does_not_fail_the_others(make_platform: Make) -> None:
    index = SlowIndex(make_platform(), Plan(), bad="bad")
    answers = committed(GroupCommit(index), index, 8, bad="bad")
    assert [isinstance(answer, LimitExceeded) for answer in answers] == [number == 3 for number in range(8)]


def test_an_index_that_does_not_answer_fails_all_who_shared_it_and_nobody_after(make_platform: Make) -> None:
    platform = make_platform()
    index = SlowIndex(platform, Plan(("commit", 2)))
    group = GroupCommit(index)
    answers = committed(group, index, 6)
    failed = [answer for answer in answers if isinstance(answer, BackendUnavailable)]
    assert 1 <= len(failed) <= 5
    assert len(group.commit([(new_image(), new_entry())])) == 1


def test_a_bug_of_the_index_reaches_every_caller_and_leaves_the_group_usable(make_platform: Make) -> None:
    platform = make_platform()
    group = GroupCommit(FaultyIndex(platform.index, Plan(("commit", 1), error=lambda: ZeroDivisionError("bug"))))
    with pytest.raises(ZeroDivisionError):
        group.commit([(new_image(), new_entry())])
    assert len(group.commit([(new_image(), new_entry())])) == 1


def test_nothing_to_commit_is_no_transaction(make_platform: Make) -> None:
    index = FaultyIndex(make_platform().index, Plan())
    assert list(GroupCommit(index).commit([])) == []
    assert index.plan.calls["commit"] == 0
