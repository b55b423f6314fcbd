"""The contract of open studies on every backend."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from isocenter.adapters.aws.open_studies import DynamoOpenStudies
from isocenter.adapters.aws.table import Table
from isocenter.adapters.memory.open_studies import MemoryOpenStudies
from isocenter.adapters.sql.database import Database
from isocenter.adapters.sql.open_studies import SqlOpenStudies
from isocenter.ports.open_studies import OpenStudies
from isocenter.testing.open_studies_contract import OpenStudiesContract


class TestMemoryOpenStudies(OpenStudiesContract):
    @pytest.fixture
    def studies(self) -> OpenStudies:
        return MemoryOpenStudies()


class TestSqliteOpenStudies(OpenStudiesContract):
    @pytest.fixture
    def studies(self, open_sqlite: Callable[[], Database]) -> OpenStudies:
        return SqlOpenStudies(open_sqlite())


class TestPostgresOpenStudies(OpenStudiesContract):
    @pytest.fixture
    def studies(self, open_postgres: Callable[[], Database]) -> OpenStudies:
        return SqlOpenStudies(open_postgres())


class TestDynamoOpenStudies(OpenStudiesContract):
    @pytest.fixture
    def studies(self, open_dynamo: Callable[[], Table]) -> OpenStudies:
        return DynamoOpenStudies(open_dynamo())
