"""The real server as a process of its own, and a plain HTTP client for it."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from email.message import Message
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

_VERB = "import sys; sys.argv[0] = 'isocenter'; from isocenter.cli.main import main; main()"


@dataclass(frozen=True)
class Answer:
    """What came back for a request."""

    status: int
    headers: Message
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Server:
    """One `isocenter serve`; `settings` are its ISOCENTER_ variables, `home` its folder."""

    home: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=lambda: free_port())
    process: subprocess.Popen[bytes] | None = None
    options: tuple[str, ...] = ()  # of `isocenter serve`
    python: str = sys.executable

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """What the server wrote to standard output and standard error."""
        return self.home.parent / f"{self.home.name}.log"

    def command(self, *arguments: str) -> list[str]:
        given = {**self.settings, "ISOCENTER_HOME": str(self.home), "PYTHONWARNINGS": "default"}
        variables = [f"{name}={value}" for name, value in given.items()]
        return ["/usr/bin/env", *variables, self.python, "-c", _VERB, *arguments]

    def start(self) -> Server:
        command = self.command("serve", "--port", str(self.port), *self.options)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._wait(time.monotonic() + 30)
        return self

    def _wait(self, end: float) -> None:
        while time.monotonic() < end:
            if self.process is None or self.process.poll() is not None:
                break
            with suppress(OSError):
                if self.request("GET", "/health", seconds=2).status == 200:
                    return
            time.sleep(0.02)
        raise RuntimeError(f"The server does not answer: {self.log.read_text()[-3000:]}")

    def run(self, *arguments: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        """Another verb of `isocenter` on the same home and settings."""
        command = self.command(*arguments)
        return subprocess.run(command, input=stdin, capture_output=True, timeout=600, check=False)

    def request(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        seconds: float = 60,
    ) -> Answer:
        """One request on a connection of its own."""
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=seconds)) as connection:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())

    def drained(self, path: str, headers: Mapping[str, str] | None = None) -> int:
        """How many bytes a GET answers with, read without being held."""
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request("GET", path, headers=dict(headers or {}))
            answer, total = connection.getresponse(), 0
            while chunk := answer.read(1 << 20):
                total += len(chunk)
            return total

    def stow(self, *instances: bytes, path: str = "/dicomweb/studies") -> Answer:
        """Store instances in one request."""
        boundary = secrets.token_hex(16)
        head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        body = b"".join((*(head + each + b"\r\n" for each in instances), f"--{boundary}--\r\n".encode()))
        kind = f'multipart/related; type="application/dicom"; boundary={boundary}'
        return self.request("POST", path, body, {"Content-Type": kind})

    def post_form(self, data: bytes, path: str = "/dicom-image") -> Answer:
        """Send a file as the form field `file`."""
        boundary = secrets.token_hex(16)
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'.encode()
        body = head + data + f"\r\n--{boundary}--\r\n".encode()
        return self.request("POST", path, body, {"Content-Type": f"multipart/form-data; boundary={boundary}"})

    def stop(self) -> None:
        """SIGTERM, and where that does not do within 30 seconds SIGKILL."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """SIGKILL to the server and the processes it started."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(30)

    def memory(self, name: str = "VmRSS") -> int:
        """Resident bytes of the server's own process; VmHWM is their peak (proc(5))."""
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith(f"{name}:"))
        return int(line.split()[1]) * 1024

    def forget_peak(self) -> None:
        """Let the peak begin anew at what is resident now."""
        assert self.process is not None
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")


@contextmanager
def running(home: Path, *options: str, python: str = sys.executable, **settings: str) -> Iterator[Server]:
    """A server for as long as the context lasts."""
    server = Server(home, settings, options=options, python=python).start()
    try:
        yield server
    finally:
        server.stop()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
