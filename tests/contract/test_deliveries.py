"""The deliveries contract on every backend."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from isocenter.adapters.aws.audit import DynamoAuditLog
from isocenter.adapters.aws.deliveries import DynamoDeliveries
from isocenter.adapters.aws.table import Table
from isocenter.adapters.memory.audit import MemoryAuditLog
from isocenter.adapters.memory.database import MemoryDatabase
from isocenter.adapters.memory.deliveries import MemoryDeliveries
from isocenter.adapters.sql.audit import SqlAuditLog
from isocenter.adapters.sql.database import Database
from isocenter.adapters.sql.deliveries import SqlDeliveries
from isocenter.testing.deliveries_contract import DeliveriesContract, DeliveryRooms

KEY = b"audit key of the tests, 32 bytes"


def sql_rooms(open_database: Callable[[], Database]) -> DeliveryRooms:
    database = open_database()
    return DeliveryRooms(SqlDeliveries(database, KEY), SqlAuditLog(database, KEY), KEY)


class TestMemoryDeliveries(DeliveriesContract):
    @pytest.fixture
    def rooms(self) -> DeliveryRooms:
        database = MemoryDatabase()
        return DeliveryRooms(MemoryDeliveries(database, KEY), MemoryAuditLog(database, KEY), KEY)


class TestSqliteDeliveries(DeliveriesContract):
    @pytest.fixture
    def rooms(self, open_sqlite: Callable[[], Database]) -> DeliveryRooms:
        return sql_rooms(open_sqlite)


class TestPostgresDeliveries(DeliveriesContract):
    @pytest.fixture
    def rooms(self, open_postgres: Callable[[], Database]) -> DeliveryRooms:
        return sql_rooms(open_postgres)


class TestDynamoDeliveries(DeliveriesContract):
    @pytest.fixture
    def rooms(self, open_dynamo: Callable[[], Table]) -> DeliveryRooms:
        table = open_dynamo()
        return DeliveryRooms(DynamoDeliveries(table, KEY), DynamoAuditLog(table, KEY), KEY)
