"""The API keys contract on every backend."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from isocenter.adapters.aws.api_keys import DynamoApiKeys
from isocenter.adapters.aws.audit import DynamoAuditLog
from isocenter.adapters.aws.table import Table
from isocenter.adapters.memory.api_keys import MemoryApiKeys
from isocenter.adapters.memory.audit import MemoryAuditLog
from isocenter.adapters.memory.database import MemoryDatabase
from isocenter.adapters.sql.api_keys import SqlApiKeys
from isocenter.adapters.sql.audit import SqlAuditLog
from isocenter.adapters.sql.database import Database
from isocenter.testing.api_keys_contract import ApiKeysContract, KeyRooms

KEY = b"audit key of the tests, 32 bytes"


def sql_rooms(open_database: Callable[[], Database]) -> KeyRooms:
    database = open_database()
    return KeyRooms(SqlApiKeys(database, KEY), SqlAuditLog(database, KEY), KEY)


class TestMemoryApiKeys(ApiKeysContract):
    @pytest.fixture
    def rooms(self) -> KeyRooms:
        database = MemoryDatabase()
        return KeyRooms(MemoryApiKeys(database, KEY), MemoryAuditLog(database, KEY), KEY)


class TestSqliteApiKeys(ApiKeysContract):
    @pytest.fixture
    def rooms(self, open_sqlite: Callable[[], Database]) -> KeyRooms:
        return sql_rooms(open_sqlite)


class TestPostgresApiKeys(ApiKeysContract):
    @pytest.fixture
    def rooms(self, open_postgres: Callable[[], Database]) -> KeyRooms:
        return sql_rooms(open_postgres)


class TestDynamoApiKeys(ApiKeysContract):
    @pytest.fixture
    def rooms(self, open_dynamo: Callable[[], Table]) -> KeyRooms:
        table = open_dynamo()
        return KeyRooms(DynamoApiKeys(table, KEY), DynamoAuditLog(table, KEY), KEY)
