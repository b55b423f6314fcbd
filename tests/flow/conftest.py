"""Servers for whole scenarios on each platform: SQLite with a folder, PostgreSQL with S3, DynamoDB with S3."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from secrets import token_hex

import pytest

from isocenter.adapters.aws.table import create_table, dynamodb
from isocenter.testing.aws_server import aws_server
from isocenter.testing.postgres import postgres_server
from isocenter.testing.s3 import s3_server
from isocenter.testing.server import Server, running


@pytest.fixture(scope="session")
def cloud() -> Iterator[Mapping[str, str]]:
    """Settings of a platform on PostgreSQL and S3."""
    with postgres_server() as postgres, s3_server() as s3:
        database = postgres.url(postgres.new_database()).replace("postgresql:", "postgresql+psycopg:")
        yield {
            "ISOCENTER_DATABASE_URL": database,
            "ISOCENTER_BLOBS_URL": s3.new_bucket(),
            "ISOCENTER_BLOBS_OPTIONS": json.dumps(s3.options),
        }


@pytest.fixture(scope="session")
def aws() -> Iterator[Mapping[str, str]]:
    """Settings of a platform on DynamoDB, Secrets Manager and S3."""
    with aws_server() as server, s3_server() as s3:
        table = f"table-{token_hex(8)}"
        create_table(dynamodb(**server.options), table)
        yield {
            "ISOCENTER_DATABASE_URL": f"dynamodb://{table}",
            "ISOCENTER_BLOBS_URL": s3.new_bucket(),
            "ISOCENTER_BLOBS_URLS": json.dumps({"deidentified": s3.new_bucket()}),
            "ISOCENTER_BLOBS_OPTIONS": json.dumps(s3.options),
            "ISOCENTER_SECRETS_PREFIX": f"{table}/",
            "AWS_ENDPOINT_URL": server.endpoint,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }


@pytest.fixture(scope="session", params=["laptop", "cloud", "aws"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running server of each platform, shared by all tests: each takes identities of its own."""
    settings = {} if request.param == "laptop" else request.getfixturevalue(request.param)
    with running(tmp_path_factory.mktemp("server") / "home", **settings) as found:
        yield found


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A running server on SQLite and a folder, for one test alone."""
    with running(tmp_path / "home") as found:
        yield found
