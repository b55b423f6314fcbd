"""The webhooks contract on every backend."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from isocenter.adapters.aws.audit import DynamoAuditLog
from isocenter.adapters.aws.table import Table
from isocenter.adapters.aws.webhooks import DynamoWebhooks
from isocenter.adapters.memory.audit import MemoryAuditLog
from isocenter.adapters.memory.database import MemoryDatabase
from isocenter.adapters.memory.webhooks import MemoryWebhooks
from isocenter.adapters.sql.audit import SqlAuditLog
from isocenter.adapters.sql.database import Database
from isocenter.adapters.sql.webhooks import SqlWebhooks
from isocenter.testing.webhooks_contract import WebhookRooms, WebhooksContract

KEY = b"audit key of the tests, 32 bytes"


def sql_rooms(open_database: Callable[[], Database]) -> WebhookRooms:
    database = open_database()
    return WebhookRooms(SqlWebhooks(database, KEY), SqlAuditLog(database, KEY), KEY)


class TestMemoryWebhooks(WebhooksContract):
    @pytest.fixture
    def rooms(self) -> WebhookRooms:
        database = MemoryDatabase()
        return WebhookRooms(MemoryWebhooks(database, KEY), MemoryAuditLog(database, KEY), KEY)


class TestSqliteWebhooks(WebhooksContract):
    @pytest.fixture
    def rooms(self, open_sqlite: Callable[[], Database]) -> WebhookRooms:
        return sql_rooms(open_sqlite)


class TestPostgresWebhooks(WebhooksContract):
    @pytest.fixture
    def rooms(self, open_postgres: Callable[[], Database]) -> WebhookRooms:
        return sql_rooms(open_postgres)


class TestDynamoWebhooks(WebhooksContract):
    @pytest.fixture
    def rooms(self, open_dynamo: Callable[[], Table]) -> WebhookRooms:
        table = open_dynamo()
        return WebhookRooms(DynamoWebhooks(table, KEY), DynamoAuditLog(table, KEY), KEY)
