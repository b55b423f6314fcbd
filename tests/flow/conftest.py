"""Servers for whole scenarios on both platforms: SQLite with a folder, PostgreSQL with S3."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

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


@pytest.fixture(scope="session", params=["laptop", "cloud"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running server of each platform, shared by all tests: each takes identities of its own."""
    settings = request.getfixturevalue("cloud") if request.param == "cloud" else {}
    with running(tmp_path_factory.mktemp("server") / "home", **settings) as found:
        yield found


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A running server on SQLite and a folder, for one test alone."""
    with running(tmp_path / "home") as found:
        yield found
