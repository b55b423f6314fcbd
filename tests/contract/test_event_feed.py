"""The event feed contract on every backend."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from isocenter.adapters.aws.events import DynamoEventFeed
from isocenter.adapters.aws.index import DynamoIndex
from isocenter.adapters.aws.table import Table
from isocenter.adapters.memory.database import MemoryDatabase
from isocenter.adapters.memory.events import MemoryEventFeed
from isocenter.adapters.memory.index import MemoryIndex
from isocenter.adapters.sql.database import Database
from isocenter.adapters.sql.events import SqlEventFeed
from isocenter.adapters.sql.index import SqlIndex
from isocenter.testing.event_feed_contract import EventFeedContract, FeedRooms

KEY = b"audit key of the tests, 32 bytes"


def sql_rooms(open_database: Callable[[], Database]) -> FeedRooms:
    database = open_database()
    return FeedRooms(SqlEventFeed(database), SqlIndex(database, KEY))


class TestMemoryEventFeed(EventFeedContract):
    @pytest.fixture
    def rooms(self) -> FeedRooms:
        database = MemoryDatabase()
        return FeedRooms(MemoryEventFeed(database), MemoryIndex(database, KEY))


class TestSqliteEventFeed(EventFeedContract):
    @pytest.fixture
    def rooms(self, open_sqlite: Callable[[], Database]) -> FeedRooms:
        return sql_rooms(open_sqlite)


class TestPostgresEventFeed(EventFeedContract):
    @pytest.fixture
    def rooms(self, open_postgres: Callable[[], Database]) -> FeedRooms:
        return sql_rooms(open_postgres)


class TestDynamoEventFeed(EventFeedContract):
    @pytest.fixture
    def rooms(self, open_dynamo: Callable[[], Table]) -> FeedRooms:
        table = open_dynamo()
        return FeedRooms(DynamoEventFeed(table), DynamoIndex(table, KEY))
