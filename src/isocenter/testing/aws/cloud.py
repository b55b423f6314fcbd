"""The harness as a test uses it: a server in a process of its own, and clients for it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import boto3
from botocore.config import Config

from isocenter.testing.aws.state import Faults
from isocenter.testing.server import free_port

REGION = "us-east-1"


@dataclass(frozen=True)
class Cloud:
    """A running server; the keys that `environment` holds may do everything."""

    port: int
    log: Path

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"  # the number, not localhost: clients address buckets by path then

    @property
    def environment(self) -> dict[str, str]:
        """All that leads AWS's own tools and Terraform here."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION, "AWS_EC2_METADATA_DISABLED": "true",
        }  # fmt: skip

    def client(self, service: str) -> Any:
        config = Config(signature_version="s3v4") if service == "s3" else None
        return boto3.client(
            service, endpoint_url=self.endpoint, region_name=REGION, config=config, aws_access_key_id="test",
            aws_secret_access_key="test",
        )  # fmt: skip

    def api(self, id: str) -> str:
        """Where an HTTP API answers."""
        return f"http://127.0.0.1:{self.port + 1}/_api/{id}"

    def seen(self) -> dict[str, Any]:
        """errors, denied and lacking, which are to be empty; reports of invocations; how many were made to fail."""
        with urlopen(f"http://127.0.0.1:{self.port + 1}/_harness/seen", timeout=30) as answer:
            return dict(json.load(answer))

    def ask(self, faults: Faults) -> None:
        """What is to go wrong from here on."""
        self._post("faults", json.dumps(asdict(faults)).encode())

    def forget(self) -> None:
        """Empty what was seen."""
        self._post("forget", b"")

    def _post(self, door: str, body: bytes) -> None:
        with urlopen(Request(f"http://127.0.0.1:{self.port + 1}/_harness/{door}", body, method="POST"), timeout=30):
            return


@contextmanager
def cloud(folder: Path) -> Iterator[Cloud]:
    """AWS for as long as the context lasts; what it printed lies in the folder."""
    found = Cloud(_two_ports(), folder / "cloud.log")
    source = str(Path(__file__).parents[3])
    environment = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": "harness",
        "AWS_SECRET_ACCESS_KEY": "harness",
        "PYTHONPATH": source,
    }
    command = [sys.executable, "-W", "ignore", "-m", "isocenter.testing.aws.server", str(found.port)]
    with found.log.open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
    try:
        _wait(process, found)
        yield found
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(30)
        process.kill()
        process.wait(30)


def _two_ports() -> int:
    while True:
        port = free_port()
        with suppress(OSError), socket.socket() as next_one:
            next_one.bind(("127.0.0.1", port + 1))
            return port


def _wait(process: subprocess.Popen[bytes], found: Cloud) -> None:
    end = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < end:
        with suppress(OSError), socket.create_connection(("127.0.0.1", found.port + 1), timeout=1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"the AWS harness does not start: {found.log.read_text()[-3000:]}")
