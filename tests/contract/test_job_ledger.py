"""The job and the step ledger contract on every backend."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from isocenter.adapters.aws.job_ledger import DynamoJobLedger
from isocenter.adapters.aws.step_ledger import DynamoStepLedger
from isocenter.adapters.aws.table import Table
from isocenter.adapters.memory.job_ledger import MemoryJobLedger
from isocenter.adapters.sql.database import Database
from isocenter.adapters.sql.job_ledger import SqlJobLedger
from isocenter.adapters.sql.step_ledger import SqlStepLedger
from isocenter.ports.job_ledger import JobLedger
from isocenter.ports.step_ledger import StepLedger
from isocenter.testing.job_ledger_contract import JobLedgerContract
from isocenter.testing.step_ledger_contract import StepLedgerContract


@dataclass(frozen=True)
class _Ledgers:
    jobs: JobLedger
    steps: StepLedger


def _sql(database: Database) -> _Ledgers:
    return _Ledgers(SqlJobLedger(database), SqlStepLedger(database))


class TestMemoryLedgers(JobLedgerContract, StepLedgerContract):
    @pytest.fixture
    def ledgers(self) -> _Ledgers:
        ledger = MemoryJobLedger()
        return _Ledgers(ledger, ledger)


class TestSqliteLedgers(JobLedgerContract, StepLedgerContract):
    @pytest.fixture
    def ledgers(self, open_sqlite: Callable[[], Database]) -> _Ledgers:
        return _sql(open_sqlite())


class TestPostgresLedgers(JobLedgerContract, StepLedgerContract):
    @pytest.fixture
    def ledgers(self, open_postgres: Callable[[], Database]) -> _Ledgers:
        return _sql(open_postgres())


class TestDynamoLedgers(JobLedgerContract, StepLedgerContract):
    @pytest.fixture
    def ledgers(self, open_dynamo: Callable[[], Table]) -> _Ledgers:
        table = open_dynamo()
        return _Ledgers(DynamoJobLedger(table), DynamoStepLedger(table))
