"""Tables for the tests of the backends on AWS, and a count of what is asked of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from isocenter.adapters.aws.table import Table, create_table, dynamodb
from isocenter.testing.aws_server import AwsServer, aws_server

KEY = b"audit key"  # of the tables too


@pytest.fixture(scope="session")
def aws() -> Iterator[AwsServer]:
    with aws_server() as server:
        yield server


@pytest.fixture
def client(aws: AwsServer) -> Iterator[Any]:
    made = dynamodb(**aws.options)
    yield made
    made.close()


@pytest.fixture
def new_table(client: Any) -> Iterator[Callable[[], Table]]:
    names: list[str] = []

    def make() -> Table:
        names.append(f"test-{uuid4().hex}")
        create_table(client, names[-1])
        return Table(names[-1], KEY, client=client)

    yield make
    for name in names:
        client.delete_table(TableName=name)


@pytest.fixture
def table(new_table: Callable[[], Table]) -> Table:
    return new_table()


@pytest.fixture
def asked(client: Any) -> list[str]:
    """The requests made so far, by their names."""
    made: list[str] = []
    client.meta.events.register("before-call.dynamodb", lambda model, **_: made.append(model.name))
    return made
