"""The PostgreSQL server of the tests says what it lacks and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from isocenter.testing.postgres import postgres_server


def test_where_postgresql_is_missing_the_package_to_install_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError, match="install the Debian package postgresql-15"),
        postgres_server(tmp_path),
    ):
        raise AssertionError("there is no server to run")


def test_a_server_leaves_nothing_behind() -> None:
    with postgres_server() as server:
        assert server.new_database() != server.new_database()
        assert server.folder.exists()
    assert not server.folder.exists()
