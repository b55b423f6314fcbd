"""The real server as a process of its own, for tests that talk to it as clients do."""

from __future__ import annotations

import http.client
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_START_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A started `isocenter serve`; `log` is what it writes to standard error."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def program() -> str:
    """The `isocenter` command of the Python that runs this."""
    return str(Path(sys.executable).with_name("isocenter"))


@contextmanager
def running_server(
    home: Path, *options: str, environment: Mapping[str, str] | None = None
) -> Iterator[RunningServer]:
    """Start the server in `home` on a free port, wait until it answers, and stop it at the end."""
    server = start_server(home, *options, environment=environment)
    try:
        yield server
    finally:
        server.process.send_signal(signal.SIGTERM)
        try:
            server.process.wait(30)
        except subprocess.TimeoutExpired:
            server.process.kill()
            server.process.wait()


def start_server(
    home: Path, *options: str, environment: Mapping[str, str] | None = None, port: int | None = None
) -> RunningServer:
    """Start the server in a session of its own, so that a test can kill all of it at once."""
    number = port or free_port()
    home.parent.mkdir(parents=True, exist_ok=True)
    log = home.with_name(home.name + ".log")
    with log.open("ab") as errors:
        process = subprocess.Popen(
            [program(), "serve", "--home", str(home), "--port", str(number), *options],
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env=None if environment is None else dict(environment),
            start_new_session=True,
        )
    server = RunningServer(process, number, log)
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        with suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", number, timeout=2)
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                connection.close()
                return server
        if process.poll() is not None:
            break
        time.sleep(0.05)
    process.kill()
    raise AssertionError(f"the server did not start:\n{log.read_text(errors='replace')[-2000:]}")
