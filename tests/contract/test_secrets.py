"""The key store contract on every backend."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest

from isocenter.adapters.aws.secrets import SecretsManagerSecrets
from isocenter.adapters.memory.secrets import MemorySecrets
from isocenter.adapters.sql.database import Database
from isocenter.adapters.sql.secrets import SqlSecrets
from isocenter.testing.aws_server import AwsServer
from isocenter.testing.secrets_contract import SecretsContract


class TestMemorySecrets(SecretsContract):
    @pytest.fixture
    def secrets(self) -> MemorySecrets:
        return MemorySecrets()


class TestSqliteSecrets(SecretsContract):
    @pytest.fixture
    def secrets(self, open_sqlite: Callable[[], Database]) -> SqlSecrets:
        return SqlSecrets(open_sqlite())


class TestPostgresSecrets(SecretsContract):
    @pytest.fixture
    def secrets(self, open_postgres: Callable[[], Database]) -> SqlSecrets:
        return SqlSecrets(open_postgres())


class TestSecretsManagerSecrets(SecretsContract):
    @pytest.fixture
    def secrets(self, aws: AwsServer) -> SecretsManagerSecrets:
        return SecretsManagerSecrets(f"test-{uuid4().hex}/", **aws.options)
