"""A private S3 server for tests (moto's), gone when the tests are."""

from __future__ import annotations

import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.request import Request, urlopen

from isocenter.testing.server import free_port


@dataclass(frozen=True)
class S3Server:
    """A running server; any credentials open it."""

    endpoint: str

    def new_bucket(self) -> str:
        """The URL of a new, empty bucket."""
        name = f"test-{secrets.token_hex(8)}"
        with urlopen(Request(f"{self.endpoint}/{name}", method="PUT"), timeout=30):
            return f"s3://{name}"

    @property
    def options(self) -> dict[str, str]:
        """The options with which obstore reaches it."""
        return {
            "endpoint": self.endpoint,
            "region": "us-east-1",
            "access_key_id": "test",
            "secret_access_key": "test",
            "allow_http": "true",
            "virtual_hosted_style_request": "false",
        }


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """A server on a free port of this machine, in a process of its own."""
    port = free_port()
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(process, port)
        yield S3Server(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(timeout=30)


def wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < end:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise RuntimeError("moto's server does not start: install the extra moto[s3,server].")
