"""A private PostgreSQL server for tests, from Debian's package, gone when the tests are."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import sql

BINARIES = Path("/usr/lib/postgresql/15/bin")
USER = "isocenter"


@dataclass
class PostgresServer:
    """A running server, reached by the socket in its folder."""

    folder: Path
    _names: Iterator[int] = field(default_factory=lambda: count(1))

    def url(self, database: str) -> str:
        """The address of a database, for SQLAlchemy, libpq and whoever else reads such addresses."""
        return f"postgresql://{USER}@/{database}?host={quote(str(self.folder), safe='')}"

    def new_database(self, template: str = "template1") -> str:
        """The name of a new database like the template; nobody may be connected to the template."""
        name = f"test_{next(self._names)}"
        self._run(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template)))
        return name

    def drop(self, database: str) -> None:
        """Remove a database, whoever is connected to it."""
        self._run(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database)))

    def disconnect_all(self, database: str) -> None:
        """Cut every connection to a database, as a restart of the server would."""
        cut = sql.SQL("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {}")
        self._run(cut.format(sql.Literal(database)))

    def _run(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)


@contextmanager
def postgres_server(binaries: Path = BINARIES) -> Iterator[PostgresServer]:
    """A server in a temporary folder, reached by a socket there, stopped and removed at the end.

    PostgreSQL refuses to run as root: root starts it as the user `postgres`. It does not sync its files, so
    it says nothing about durability.
    """
    if not (binaries / "initdb").exists():
        raise RuntimeError(f"There is no PostgreSQL in {binaries}: install the Debian package postgresql-15.")
    folder = Path(tempfile.mkdtemp(prefix="isocenter-postgres-"))
    data, log = folder / "data", folder / "log"
    options = (
        f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off -c full_page_writes=off "
        "-c max_connections=200 -c shared_buffers=64MB"
    )
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", pwd.getpwnam("postgres").pw_gid)
        locale = ("-E", "UTF8", "--locale=C.UTF-8", "-N")
        _run(folder, binaries / "initdb", "-D", data, "-U", USER, "-A", "trust", *locale)
        control = (binaries / "pg_ctl", "-D", data, "-l", log, "-w", "-t", "60")
        _run(folder, *control, "-o", options, "start")
        try:
            yield PostgresServer(folder)
        finally:
            with suppress(RuntimeError):
                _run(folder, *control, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(folder: Path, *command: str | Path) -> None:
    """Run a command as the user who owns the server, in a folder that this user may enter."""
    other: dict[str, Any] = {}
    if os.geteuid() == 0:
        other = {"user": "postgres", "group": pwd.getpwnam("postgres").pw_gid, "extra_groups": []}
    parts, output = [str(part) for part in command], folder / "output"
    with output.open("wb") as out:  # a pipe would stay open as long as the server runs
        done = subprocess.run(
            parts,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            timeout=120,
            check=False,
            **other,
        )
    if done.returncode:
        raise RuntimeError(f"{parts[0]} failed: {output.read_text(errors='replace')[-2000:]}")
