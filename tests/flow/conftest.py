"""The real server as a process of its own, on both platforms: SQLite with a folder, PostgreSQL with S3."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from isocenter.testing.postgres import postgres_server
from isocenter.testing.s3 import s3_server


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@dataclass
class Server:
    """One `isocenter serve`; `settings` are its ISOCENTER_ variables, `home` its folder."""

    home: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.home.parent / f"{self.home.name}.log"

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, **self.settings, "ISOCENTER_HOME": str(self.home)}

    def start(self) -> Server:
        code = "import sys; sys.argv[0] = 'isocenter'; from isocenter.cli.main import main; main()"
        command = [sys.executable, "-c", code, "serve", "--port", str(self.port)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
        self.wait()
        return self

    def wait(self, seconds: float = 30) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert self.process is not None
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            with suppress(OSError), urlopen(f"{self.url}/health", timeout=2) as answer:
                if answer.status == 200:
                    return
            time.sleep(0.05)
        raise AssertionError("the server does not answer")

    def run(self, *arguments: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        """Another verb of `isocenter` on the same home and settings."""
        code = "import sys; sys.argv[0] = 'isocenter'; from isocenter.cli.main import main; main()"
        return subprocess.run(
            [sys.executable, "-c", code, *arguments],
            env=self.environment,
            input=stdin,
            capture_output=True,
            timeout=300,
            check=False,
        )

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """kill -9 of the server and the processes it started."""
        assert self.process is not None
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)

    def memory(self, name: str = "VmRSS") -> int:
        """Resident bytes of the server's own process; VmHWM is their peak."""
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith(f"{name}:"))
        return int(line.split()[1]) * 1024

    def forget_peak(self) -> None:
        """Let VmHWM begin anew at what is resident now."""
        assert self.process is not None
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")


@pytest.fixture(scope="session")
def cloud() -> Iterator[Mapping[str, str]]:
    """Settings of a platform on PostgreSQL and S3."""
    with postgres_server() as postgres, s3_server() as s3:
        database = postgres.url(postgres.new_database()).replace("postgresql://", "postgresql+psycopg://")
        yield {
            "ISOCENTER_DATABASE_URL": database,
            "ISOCENTER_BLOBS_URL": s3.new_bucket(),
            "ISOCENTER_BLOBS_OPTIONS": json.dumps(s3.options),
        }


@pytest.fixture(scope="session", params=["laptop", "cloud"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running server of each platform, shared by the tests of a session: take identities of your own."""
    settings = request.getfixturevalue("cloud") if request.param == "cloud" else {}
    found = Server(tmp_path_factory.mktemp("server") / "home", settings).start()
    yield found
    found.stop()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A running server on SQLite and a folder, of one test alone."""
    found = Server(tmp_path / "home").start()
    yield found
    found.stop()


@pytest.fixture(scope="session")
def make_server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Makes servers that are not started yet."""
    return lambda **settings: Server(tmp_path_factory.mktemp("server") / "home", settings)
