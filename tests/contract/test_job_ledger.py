"""The job ledger contract on every backend."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from isocenter.adapters.memory.job_ledger import MemoryJobLedger
from isocenter.adapters.sql.database import Database
from isocenter.adapters.sql.job_ledger import SqlJobLedger
from isocenter.testing.job_ledger_contract import JobLedgerContract


class TestMemoryJobLedger(JobLedgerContract):
    @pytest.fixture
    def ledger(self) -> MemoryJobLedger:
        return MemoryJobLedger()


class TestSqliteJobLedger(JobLedgerContract):
    @pytest.fixture
    def ledger(self, open_sqlite: Callable[[], Database]) -> SqlJobLedger:
        return SqlJobLedger(open_sqlite())


class TestPostgresJobLedger(JobLedgerContract):
    @pytest.fixture
    def ledger(self, open_postgres: Callable[[], Database]) -> SqlJobLedger:
        return SqlJobLedger(open_postgres())
