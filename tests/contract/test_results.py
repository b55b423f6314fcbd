"""The results contract on every backend."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from isocenter.adapters.aws.results import DynamoResults
from isocenter.adapters.aws.table import Table
from isocenter.adapters.memory.results import MemoryResults
from isocenter.adapters.sql.database import Database
from isocenter.adapters.sql.results import SqlResults
from isocenter.testing.results_contract import ResultsContract


class TestMemoryResults(ResultsContract):
    @pytest.fixture
    def results(self) -> MemoryResults:
        return MemoryResults()


class TestSqliteResults(ResultsContract):
    @pytest.fixture
    def results(self, open_sqlite: Callable[[], Database]) -> SqlResults:
        return SqlResults(open_sqlite())


class TestPostgresResults(ResultsContract):
    @pytest.fixture
    def results(self, open_postgres: Callable[[], Database]) -> SqlResults:
        return SqlResults(open_postgres())


class TestDynamoResults(ResultsContract):
    @pytest.fixture
    def results(self, open_dynamo: Callable[[], Table]) -> DynamoResults:
        return DynamoResults(open_dynamo())
