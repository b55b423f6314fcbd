"""What the index contract is run on: the ports of one backend under test, and words to use them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pytest

from isocenter.ports.audit_log import AuditLog
from isocenter.ports.event_feed import EventFeed
from isocenter.ports.index import Index
from isocenter.ports.search import SearchIndex
from isocenter.records import (
    Committed,
    ImageQuery,
    ImageRecord,
    NewImage,
)
from isocenter.testing.records import new_entry


@dataclass(frozen=True)
class IndexRooms:
    """One backend under test: the ports over the same rows, and the audit key.

    `again` opens the index once more as another process would: nothing shared in memory, if possible.
    """

    index: Index
    search: SearchIndex
    events: EventFeed
    audit: AuditLog
    key: bytes
    again: Callable[[], Index]


def commit(index: Index, *new: NewImage, keep_versions: bool = False) -> Sequence[Committed]:
    return index.commit([(image, new_entry()) for image in new], keep_versions=keep_versions)


def outcomes(committed: Sequence[Committed]) -> list[str]:
    return [each.outcome.value for each in committed]


def every_image(index: Index, query: ImageQuery) -> list[ImageRecord]:
    """All pages of a query."""
    found: list[ImageRecord] = []
    while True:
        page = index.images(query)
        found += page.items
        if page.next is None:
            return found
        query = replace(query, after=page.next)


class IndexTests:
    """Tests of an index; a backend overrides the fixture `rooms`."""

    many = 2100  # images that are more than a backend takes at once; one that takes few at once may say fewer

    @pytest.fixture
    def rooms(self) -> IndexRooms:
        raise NotImplementedError("override the fixture `rooms`")

    @pytest.fixture
    def index(self, rooms: IndexRooms) -> Index:
        return rooms.index
