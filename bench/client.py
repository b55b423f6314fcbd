"""A plain HTTP client that keeps its connection and says how long an answer took."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from email.message import EmailMessage, Message
from urllib.parse import urlsplit

_PIECE = 1 << 20


@dataclass(frozen=True)
class Address:
    """The DICOMweb base URL of a server, and headers that it wants with every request."""

    host: str
    port: int
    root: str
    secure: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, url: str, headers: Mapping[str, str] | None = None) -> Address:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url} is not a base URL like http://host:port/dicom-web")
        secure = parts.scheme == "https"
        return cls(parts.hostname, parts.port or (443 if secure else 80), parts.path.rstrip("/"), secure, headers or {})

    def connect(self, seconds: float = 600) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self.secure else http.client.HTTPConnection
        return kind(self.host, self.port, timeout=seconds)


@dataclass(frozen=True)
class Request:
    """What to ask for, below the base URL."""

    path: str
    accept: str = "*/*"


@dataclass(frozen=True)
class Answer:
    """`size` counts the bytes of the body, `body` holds them where they were kept; times in seconds."""

    status: int
    headers: Message
    size: int
    body: bytes
    first_byte: float
    seconds: float

    def parts(self) -> list[bytes]:
        """The bodies of a multipart answer."""
        stated = EmailMessage()
        stated["Content-Type"] = self.headers.get("Content-Type", "")
        boundary = stated.get_param("boundary")
        if not isinstance(boundary, str):
            raise WrongAnswer("the answer is not multipart")
        pieces = (b"\r\n" + self.body).split(b"\r\n--" + boundary.encode())
        if len(pieces) < 2 or not pieces[-1].startswith(b"--"):
            raise WrongAnswer("the multipart answer is cut off")
        return [piece.partition(b"\r\n\r\n")[2] for piece in pieces[1:-1]]


class WrongAnswer(Exception):
    """An answer that is not what was asked for; its time means nothing."""


class Client:
    """One client on one connection."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._connection = address.connect()
        self._room = memoryview(bytearray(_PIECE))

    def get(self, request: Request, *, keep: bool = False) -> Answer:
        """GET; without `keep` the body is counted and dropped."""
        started = time.perf_counter()
        headers = {**self._address.headers, "Accept": request.accept}
        try:
            self._connection.request("GET", self._address.root + request.path, headers=headers)
            answer = self._connection.getresponse()
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            self._connection.close()  # the server had closed a connection at rest
            started = time.perf_counter()
            self._connection.request("GET", self._address.root + request.path, headers=headers)
            answer = self._connection.getresponse()
        first = answer.read(1)
        first_byte = time.perf_counter() - started
        kept, size = [first], len(first)
        while count := answer.readinto(self._room):
            size += count
            if keep:
                kept.append(bytes(self._room[:count]))
        seconds = time.perf_counter() - started
        stated = answer.getheader("Content-Length")
        if stated is not None and int(stated) != size:
            raise WrongAnswer(f"{size} bytes came of {stated}")
        return Answer(answer.status, answer.headers, size, b"".join(kept) if keep else b"", first_byte, seconds)

    def post(self, path: str, body: bytes | Iterable[bytes], headers: Mapping[str, str]) -> Answer:
        """POST on the same connection; the answer's body is kept."""
        started = time.perf_counter()
        self._connection.request("POST", self._address.root + path, body, {**self._address.headers, **headers})
        answer = self._connection.getresponse()
        text = answer.read()
        seconds = time.perf_counter() - started
        return Answer(answer.status, answer.headers, len(text), text, seconds, seconds)

    def close(self) -> None:
        self._connection.close()
