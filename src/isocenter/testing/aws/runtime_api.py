"""Lambda's Runtime API for one execution environment: gives invocations to the runtime, and takes its answers."""

from __future__ import annotations

import json
import queue
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from uuid import uuid4

_API: Final = "/2018-06-01/runtime"


@dataclass
class Invocation:
    """One event on its way through the function."""

    payload: bytes
    arn: str
    deadline: float  # seconds since the epoch
    id: str = field(default_factory=lambda: str(uuid4()))
    done: threading.Event = field(default_factory=threading.Event)
    result: bytes = b""
    error: str | None = None

    def fail(self, kind: str, message: str) -> None:
        self.error = kind
        self.result = json.dumps({"errorType": kind, "errorMessage": f"RequestId: {self.id} Error: {message}"}).encode()
        self.done.set()


class RuntimeApi:
    """A server on a port of its own, that one runtime asks for work."""

    def __init__(self) -> None:
        self.ready = threading.Event()  # asked for its first invocation, or failed before
        self.ready_at = 0.0
        self.init_error: bytes | None = None
        self.current: Invocation | None = None
        self._waiting: queue.Queue[Invocation | None] = queue.Queue()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    def give(self, invocation: Invocation) -> None:
        self._waiting.put(invocation)

    def next(self) -> Invocation | None:
        if not self.ready.is_set():
            self.ready_at = time.perf_counter()
            self.ready.set()
        self.current = self._waiting.get()
        return self.current

    def answered(self, path: str, body: bytes) -> None:
        if path == f"{_API}/init/error":
            self.init_error = body
            self.ready.set()
        elif self.current is not None and path.startswith(f"{_API}/invocation/{self.current.id}/"):
            self.current.result = body
            if path.endswith("/error"):
                self.current.error = str(json.loads(body).get("errorType", "Unhandled"))
            self.current.done.set()

    def close(self) -> None:
        self._waiting.put(None)
        self._server.shutdown()
        self._server.server_close()


def _handler(api: RuntimeApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # one segment for each answer: Nagle and delayed acknowledgement would cost 40 ms
        disable_nagle_algorithm = True

        def log_message(self, *arguments: Any) -> None:
            """Says nothing."""

        def do_GET(self) -> None:
            invocation = api.next() if self.path == f"{_API}/invocation/next" else None
            if invocation is None:
                self._send(410, b"", {})
                return
            headers = {
                "Lambda-Runtime-Aws-Request-Id": invocation.id,
                "Lambda-Runtime-Deadline-Ms": str(int(invocation.deadline * 1000)),
                "Lambda-Runtime-Invoked-Function-Arn": invocation.arn,
                "Lambda-Runtime-Trace-Id": f"Root=1-{int(time.time()):08x}-{uuid4().hex[:24]};Sampled=0",
            }
            self._send(200, invocation.payload, headers)

        def do_POST(self) -> None:
            api.answered(self.path, self.rfile.read(int(self.headers.get("Content-Length", 0))))
            self._send(202, b'{"status":"OK"}', {})

        def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            given = {"Content-Type": "application/json", **headers, "Content-Length": str(len(body))}
            for name, text in given.items():
                self.send_header(name, text)
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()

    return Handler
