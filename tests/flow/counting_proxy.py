"""A proxy before moto's server that counts what AWS would be paid for: requests by operation, and DynamoDB's units."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

WRITES = {"PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"}
_HOP = {"connection", "transfer-encoding", "content-length"}


class Counted:
    """Requests as "service:Operation", and write and read units."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.requests: Counter[str] = Counter()
        self.units: Counter[str] = Counter()
        self.stored = 0  # bytes of items put, their keys included

    def forget(self) -> None:
        with self._lock:
            self.requests.clear()
            self.units.clear()
            self.stored = 0

    def see(self, name: str, write: int = 0, read: int = 0, stored: int = 0) -> None:
        with self._lock:
            self.requests[name] += 1
            self.units["write"] += write
            self.units["read"] += read
            self.stored += stored


def size(item: Mapping[str, Any]) -> int:
    """Bytes of an item as DynamoDB counts them: names and values; a number takes about a byte for two digits."""
    return sum(len(name.encode()) + _size(value) for name, value in item.items())


def _size(value: Mapping[str, Any]) -> int:
    ((kind, held),) = value.items()
    match kind:
        case "S":
            return len(held.encode())
        case "B":
            return len(held) * 3 // 4
        case "N":
            return len(held) // 2 + 2
        case "M":
            return 3 + sum(1 + len(name) + _size(each) for name, each in held.items())
        case "L":
            return 3 + sum(1 + _size(each) for each in held)
        case "SS" | "NS" | "BS":
            return sum(map(len, held))
    return 1


def _kilobytes(bytes_: int, each: int = 1024) -> int:
    return max(1, -(-bytes_ // each))


def written(operation: str, asked: Mapping[str, Any]) -> tuple[int, int]:
    """Write units, and bytes put; an update or a deletion counts as one KB, which none of ours exceeds."""
    match operation:
        case "PutItem":
            return _kilobytes(size(asked["Item"])), size(asked["Item"])
        case "UpdateItem" | "DeleteItem":
            return 1, 0
        case "BatchWriteItem":
            puts = [
                each["PutRequest"]["Item"]
                for all in asked["RequestItems"].values()
                for each in all
                if "PutRequest" in each
            ]
            deletions = sum(len(all) for all in asked["RequestItems"].values()) - len(puts)
            return sum(_kilobytes(size(item)) for item in puts) + deletions, sum(map(size, puts))
        case "TransactWriteItems":
            puts = [each["Put"]["Item"] for each in asked["TransactItems"] if "Put" in each]
            others = len(asked["TransactItems"]) - len(puts)
            return 2 * (sum(_kilobytes(size(item)) for item in puts) + others), sum(map(size, puts))
    return 0, 0


def read(operation: str, asked: Mapping[str, Any], answer: Mapping[str, Any]) -> int:
    """Read units of strongly consistent reads; what is not there takes one too."""
    match operation:
        case "GetItem":
            return _kilobytes(size(answer.get("Item", {})), 4096)
        case "BatchGetItem":
            found = [item for all in answer.get("Responses", {}).values() for item in all]
            keys = sum(len(each["Keys"]) for each in asked["RequestItems"].values())
            return sum(_kilobytes(size(item), 4096) for item in found) + keys - len(found)
        case "Query":
            return _kilobytes(sum(map(size, answer.get("Items", ()))), 4096)
    return 0


def _of_s3(method: str, path: str, headers: Mapping[str, str]) -> str:
    query = parse_qs(urlsplit(path).query, keep_blank_values=True)
    key = urlsplit(path).path.strip("/").partition("/")[2]
    if not key and method == "GET":
        return "s3:List"
    if "delete" in query:
        return "s3:Delete"
    return {"GET": "s3:Get", "HEAD": "s3:Head", "DELETE": "s3:Delete", "POST": "s3:Post"}.get(
        method, "s3:Copy" if "x-amz-copy-source" in headers else "s3:Put"
    ) + ("Part" if "partNumber" in query else "")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, *arguments: Any) -> None:
        """Says nothing."""

    def _any(self) -> None:
        server: Any = self.server
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        inner = HTTPConnection("127.0.0.1", server.behind, timeout=60)
        headers = {name: text for name, text in self.headers.items() if name.lower() not in _HOP}
        inner.request(self.command, self.path, body, headers)
        answer = inner.getresponse()
        data = answer.read()
        inner.close()
        self._count(server.counted, body, data, answer.status)
        self.send_response(answer.status)
        for name, text in answer.getheaders():
            if name.lower() not in _HOP | {"date", "server"}:
                self.send_header(name, text)
        length = answer.getheader("content-length") if self.command == "HEAD" else None
        self.send_header("Content-Length", length or str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _count(self, counted: Counted, body: bytes, data: bytes, status: int) -> None:
        target = self.headers.get("X-Amz-Target")
        if target is None:
            counted.see(_of_s3(self.command, self.path, {name.lower(): text for name, text in self.headers.items()}))
            return
        service = "dynamodb" if target.startswith("DynamoDB") else re.split(r"[._]", target)[0].lower()
        operation = target.rpartition(".")[2]
        if service != "dynamodb":
            counted.see(f"{service}:{operation}")
            return
        asked = json.loads(body)
        units, stored = written(operation, asked) if operation in WRITES else (0, 0)
        counted.see(f"dynamodb:{operation}", units, read(operation, asked, json.loads(data or b"{}")), stored)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _any  # noqa: N815 - http.server's names


@contextmanager
def counting(behind: int) -> Iterator[tuple[str, Counted]]:
    """The proxy's address, and what it counts, for as long as the context lasts."""
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.behind, server.counted = behind, Counted()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", server.counted
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
