"""The change feed port on DynamoDB, and how the numbered logs are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from isocenter.adapters.aws import keys
from isocenter.adapters.aws.head import Head, Journal
from isocenter.adapters.aws.rows import event_of
from isocenter.adapters.aws.table import ABSENT, Table
from isocenter.adapters.aws.text import expanded
from isocenter.records import Event


class DynamoEventFeed:
    """Reads the events that the index appended; their numbers are given with the head, so none comes late."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._journal = Journal(table)

    def read(self, after: int = 0, limit: int = 100) -> Sequence[Event]:
        return [event_of(values) for values in logged(self._table, "EVENTS", after, self.last(), limit)]

    def last(self) -> int:
        head = self._table.get(keys.HEAD)
        return 0 if head is None else int(head["evt"])

    def append(self, event: Event) -> bool:
        told = keys.told(self._table, event.type, event.image)

        def tell(head: Head) -> bool:
            if head.at(told) is not None:
                return False
            head.put({"pk": told[0], "sk": told[1]}, ABSENT)
            head.tell(event)
            return True

        return self._journal.change(tell, [told])


def logged(table: Table, name: str, after: int, last: int, limit: int) -> Iterator[Sequence[Any]]:
    """Rows of a log with numbers above `after`, at most `limit` of them, in order and without gap.

    A transaction becomes visible item by item: what lies behind a row that cannot be seen yet is read another time,
    since a reader who saw it would never come back for the row.
    """
    if limit < 1 or after >= last:
        return
    yield from islice(_rows(table, name, after, last, min(limit, 1000)), limit)


def _rows(table: Table, name: str, after: int, last: int, page: int) -> Iterator[Sequence[Any]]:
    reached = max(0, after)
    for number in range((reached + 1) // keys.BLOCK, last // keys.BLOCK + 1):
        for item in table.query(keys.block(name, number * keys.BLOCK), low=keys.padded(reached + 1), page=page):
            for row in expanded(item["dat"]):
                if row[0] <= reached:
                    continue
                if row[0] != reached + 1:
                    return
                reached = row[0]
                yield row
