"""A private DynamoDB and Secrets Manager for tests (moto's server, with what it lacks), gone when the tests are."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from isocenter.testing.s3 import wait_for
from isocenter.testing.server import free_port


@dataclass(frozen=True)
class AwsServer:
    """A running server; any credentials open it."""

    endpoint: str

    @property
    def options(self) -> dict[str, str]:
        """What boto3.client takes to reach it."""
        return {
            "endpoint_url": self.endpoint,
            "region_name": "us-east-1",
            "aws_access_key_id": "test",
            "aws_secret_access_key": "test",
        }


@contextmanager
def aws_server() -> Iterator[AwsServer]:
    """A server on a free port of this machine, in a process of its own."""
    port = free_port()
    command = [sys.executable, "-W", "ignore", "-m", "isocenter.testing.aws_server_process", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(process, port)
        yield AwsServer(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(timeout=30)
