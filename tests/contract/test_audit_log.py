"""The audit log contract on every backend."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from isocenter.adapters.aws.audit import DynamoAuditLog
from isocenter.adapters.aws.table import Table
from isocenter.adapters.memory.audit import MemoryAuditLog
from isocenter.adapters.memory.database import MemoryDatabase
from isocenter.adapters.sql.audit import SqlAuditLog
from isocenter.adapters.sql.database import Database
from isocenter.testing.audit_log_contract import AuditLogContract, AuditRooms

KEY = b"audit key of the tests, 32 bytes"


def sql_rooms(open_database: Callable[[], Database]) -> AuditRooms:
    return AuditRooms(SqlAuditLog(open_database(), KEY), KEY, lambda: SqlAuditLog(open_database(), KEY))


class TestMemoryAuditLog(AuditLogContract):
    @pytest.fixture
    def rooms(self) -> AuditRooms:
        audit = MemoryAuditLog(MemoryDatabase(), KEY)
        return AuditRooms(audit, KEY, lambda: audit)


class TestSqliteAuditLog(AuditLogContract):
    @pytest.fixture
    def rooms(self, open_sqlite: Callable[[], Database]) -> AuditRooms:
        return sql_rooms(open_sqlite)


class TestPostgresAuditLog(AuditLogContract):
    @pytest.fixture
    def rooms(self, open_postgres: Callable[[], Database]) -> AuditRooms:
        return sql_rooms(open_postgres)


class TestDynamoAuditLog(AuditLogContract):
    @pytest.fixture
    def rooms(self, open_dynamo: Callable[[], Table]) -> AuditRooms:
        return AuditRooms(DynamoAuditLog(open_dynamo(), KEY), KEY, lambda: DynamoAuditLog(open_dynamo(), KEY))
