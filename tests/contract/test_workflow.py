"""The workflow contract in memory and on DBOS, over SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from isocenter.adapters.durable.dbos_workflow import DbosWorkers, DbosWorkflow
from isocenter.adapters.memory.workflow import MemoryWorkflow
from isocenter.adapters.sql.database import Database
from isocenter.testing.workflow_contract import WorkflowContract


class TestMemoryWorkflow(WorkflowContract):
    @pytest.fixture
    def workflow(self) -> MemoryWorkflow:
        return MemoryWorkflow()

    @pytest.fixture
    def new_workers(self, workflow: MemoryWorkflow) -> Callable[[], MemoryWorkflow]:
        return lambda: workflow


class _OnDbos(WorkflowContract):
    @pytest.fixture
    def workflow(self, url: str) -> Iterator[DbosWorkflow]:
        made = DbosWorkflow(url)
        yield made
        made.close()

    @pytest.fixture
    def new_workers(self, url: str) -> Callable[[], DbosWorkers]:
        return lambda: DbosWorkers(url, executor="local", slots=1)


class TestDbosOnSqlite(_OnDbos):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path / 'queue.sqlite'}"


class TestDbosOnPostgres(_OnDbos):
    @pytest.fixture
    def url(self, open_postgres: Callable[[], Database]) -> str:
        database = open_postgres()
        return database.url.render_as_string(hide_password=False)
