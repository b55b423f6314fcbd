"""What every keeper of open studies must do."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from isocenter.ports.open_studies import OpenStudies, OpenStudy
from isocenter.testing.records import new_moment
from isocenter.testing.threads import together


def new_open(study: str = "a", image: str = "1", **changes: object) -> OpenStudy:
    return replace(OpenStudy(study, "raw", image, new_moment()), **changes)  # type: ignore[arg-type]  # fields by name


class OpenStudiesContract:
    """Subclass this, and override the fixture `studies`: none is open, and the feed was empty."""

    @pytest.fixture
    def studies(self) -> OpenStudies:
        raise NotImplementedError("override the fixture `studies`")

    def test_it_begins_where_the_feed_was(self, studies: OpenStudies) -> None:
        assert studies.cursor() == 0
        assert list(studies.quiet(new_moment())) == []

    def test_who_follows_moves_the_cursor_from_where_it_was(self, studies: OpenStudies) -> None:
        assert studies.follow(0, 5, [new_open()])
        assert studies.cursor() == 5
        assert not studies.follow(0, 9, [new_open("b")])
        assert studies.cursor() == 5
        assert [each.study for each in studies.quiet(new_moment())] == ["a"]

    def test_of_many_who_follow_at_once_one_does(self, studies: OpenStudies) -> None:
        done = together(lambda number: studies.follow(0, 7, [new_open(str(number))]), range(8))
        assert sorted(done) == [False] * 7 + [True]
        assert len(studies.quiet(new_moment())) == 1

    def test_the_last_image_is_known(self, studies: OpenStudies) -> None:
        first, second = new_open("a", "1"), new_open("a", "2")
        studies.follow(0, 1, [first])
        studies.follow(1, 2, [second])
        assert list(studies.quiet(second.at)) == []
        assert list(studies.quiet(second.at + timedelta(microseconds=1))) == [second]

    def test_those_that_wait_longest_come_first(self, studies: OpenStudies) -> None:
        opened = [new_open(name) for name in "cab"]
        studies.follow(0, 3, list(reversed(opened)))
        assert list(studies.quiet(new_moment())) == opened
        assert list(studies.quiet(opened[2].at)) == opened[:2]
        assert list(studies.quiet(new_moment(), limit=1)) == opened[:1]
        assert list(studies.quiet(new_moment(), limit=0)) == []

    def test_what_is_closed_is_forgotten_unless_another_image_came(self, studies: OpenStudies) -> None:
        first, other = new_open("a", "1"), new_open("b", "1")
        studies.follow(0, 2, [first, other])
        studies.follow(2, 3, [replace(first, image="2")])
        studies.close(first)
        studies.close(other)
        studies.close(other)
        assert [(each.study, each.image) for each in studies.quiet(new_moment())] == [("a", "2")]
