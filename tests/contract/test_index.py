"""The index contract on every backend."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from isocenter.adapters.aws.audit import DynamoAuditLog
from isocenter.adapters.aws.events import DynamoEventFeed
from isocenter.adapters.aws.index import DynamoIndex
from isocenter.adapters.aws.search import DynamoSearchIndex
from isocenter.adapters.aws.table import Table
from isocenter.adapters.memory.audit import MemoryAuditLog
from isocenter.adapters.memory.database import MemoryDatabase
from isocenter.adapters.memory.events import MemoryEventFeed
from isocenter.adapters.memory.index import MemoryIndex
from isocenter.adapters.memory.search import MemorySearchIndex
from isocenter.adapters.sql.audit import SqlAuditLog
from isocenter.adapters.sql.database import Database
from isocenter.adapters.sql.events import SqlEventFeed
from isocenter.adapters.sql.index import SqlIndex
from isocenter.adapters.sql.search import SqlSearchIndex
from isocenter.testing.index_contract import IndexContract
from isocenter.testing.index_rooms import IndexRooms

KEY = b"audit key of the tests, 32 bytes"


def sql_rooms(open_database: Callable[[], Database]) -> IndexRooms:
    database = open_database()
    return IndexRooms(
        SqlIndex(database, KEY),
        SqlSearchIndex(database),
        SqlEventFeed(database),
        SqlAuditLog(database, KEY),
        KEY,
        lambda: SqlIndex(open_database(), KEY),
    )


class TestMemoryIndex(IndexContract):
    @pytest.fixture
    def rooms(self) -> IndexRooms:
        database = MemoryDatabase()
        return IndexRooms(
            MemoryIndex(database, KEY),
            MemorySearchIndex(database),
            MemoryEventFeed(database),
            MemoryAuditLog(database, KEY),
            KEY,
            lambda: MemoryIndex(database, KEY),
        )


class TestSqliteIndex(IndexContract):
    @pytest.fixture
    def rooms(self, open_sqlite: Callable[[], Database]) -> IndexRooms:
        return sql_rooms(open_sqlite)


class TestPostgresIndex(IndexContract):
    @pytest.fixture
    def rooms(self, open_postgres: Callable[[], Database]) -> IndexRooms:
        return sql_rooms(open_postgres)


class TestDynamoIndex(IndexContract):
    many = 240  # a transaction takes a dozen, a request a hundred

    @pytest.fixture
    def rooms(self, open_dynamo: Callable[[], Table]) -> IndexRooms:
        table = open_dynamo()
        return IndexRooms(
            DynamoIndex(table, KEY),
            DynamoSearchIndex(table),
            DynamoEventFeed(table),
            DynamoAuditLog(table, KEY),
            KEY,
            lambda: DynamoIndex(open_dynamo(), KEY),
        )
