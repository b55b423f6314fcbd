"""The databases that the contracts are run on: a new one for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from isocenter.adapters.aws.table import Table, create_table, dynamodb
from isocenter.adapters.sql.database import Database
from isocenter.adapters.sql.migrate import migrate
from isocenter.testing.aws_server import AwsServer, aws_server
from isocenter.testing.postgres import PostgresServer, postgres_server

KEY = b"key of the table in the tests"

# Opens a database; called again, it opens the same one once more, as another process would.
Open = Callable[[], Database]
OpenTable = Callable[[], Table]


@contextmanager
def _closing(url: str) -> Iterator[Open]:
    opened: list[Database] = []

    def open_again() -> Database:
        opened.append(Database(url))
        return opened[-1]

    yield open_again
    for database in opened:
        database.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_template(postgres: PostgresServer) -> str:
    """The name of an empty database that has been migrated."""
    name = postgres.new_database()
    database = Database(postgres.url(name))
    migrate(database)
    database.close()
    return name


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of an empty database that has been migrated."""
    path = tmp_path_factory.mktemp("template") / "index.sqlite"
    database = Database(f"sqlite:///{path}")
    migrate(database)
    database.close()
    return path.read_bytes()


@pytest.fixture
def open_sqlite(tmp_path: Path, sqlite_template: bytes) -> Iterator[Open]:
    path = tmp_path / "index.sqlite"
    path.write_bytes(sqlite_template)
    with _closing(f"sqlite:///{path}") as opened:
        yield opened


@pytest.fixture
def open_postgres(postgres: PostgresServer, postgres_template: str) -> Iterator[Open]:
    name = postgres.new_database(postgres_template)
    with _closing(postgres.url(name)) as opened:
        yield opened
    postgres.drop(name)


@pytest.fixture(scope="session")
def aws() -> Iterator[AwsServer]:
    with aws_server() as server:
        yield server


@pytest.fixture(scope="session")
def dynamo_client(aws: AwsServer) -> Iterator[Any]:
    client = dynamodb(**aws.options)
    yield client
    client.close()


@pytest.fixture
def open_dynamo(dynamo_client: Any) -> Iterator[OpenTable]:
    name = f"test-{uuid4().hex}"
    create_table(dynamo_client, name)
    yield lambda: Table(name, KEY, client=dynamo_client)
    dynamo_client.delete_table(TableName=name)
