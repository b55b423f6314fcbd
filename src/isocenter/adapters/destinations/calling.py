"""Requests to servers that the operator named: TLS verified, no redirects, with time-outs."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

from isocenter.errors import BackendUnavailable, IsocenterError, LimitExceeded, Misconfigured, Rejected

_MOST = 64 << 20  # bytes of an answer


@dataclass(frozen=True, slots=True)
class Called:
    """What a server answered."""

    status: int
    content_type: str
    body: bytes


class Remote:
    """One server at one URL. A token goes out as Bearer, and to nobody else: redirects are not followed."""

    def __init__(
        self, url: str, token: str | None = None, *, seconds: float = 60.0, context: ssl.SSLContext | None = None
    ) -> None:
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in ("http", "https") or not parts.hostname or port == -1 or parts.query or parts.fragment:
            raise Misconfigured("a destination's url is http:// or https:// with a host, and no query")
        if parts.username or parts.password:
            raise Misconfigured("a destination's credentials are given as token, not in its url")
        self._host, self._port, self._is_tls = parts.hostname, port, parts.scheme == "https"
        self._root = parts.path.rstrip("/")
        self._token = token
        self._seconds = seconds
        self._context = context

    def call(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | Iterable[bytes] | None = None,
        *,
        most: int = _MOST,
    ) -> Called:
        """One request; BackendUnavailable where it cannot be made, LimitExceeded where its answer is above `most`."""
        sent = dict(headers) | ({} if self._token is None else {"Authorization": f"Bearer {self._token}"})
        try:
            with closing(self._connection()) as connection:
                connection.request(method, (self._root + path) or "/", body, sent)
                answer = connection.getresponse()
                read = answer.read(most + 1)
                if len(read) > most:
                    raise LimitExceeded("the destination's answer is too long", code="destination-answer-too-long")
                return Called(answer.status, answer.headers.get("Content-Type", ""), read)
        except (OSError, HTTPException) as error:
            raise BackendUnavailable(
                f"the destination cannot be reached ({type(error).__name__})", code="destination-unreachable"
            ) from None

    def _connection(self) -> HTTPConnection:
        if not self._is_tls:
            return HTTPConnection(self._host, self._port, timeout=self._seconds)
        context = self._context or ssl.create_default_context()
        return HTTPSConnection(self._host, self._port, timeout=self._seconds, context=context)


def refusal(status: int) -> IsocenterError:
    """What an answer that is no good one means: of the data's fault only what the status says so of."""
    if status in (413, 415, 422):
        return Rejected(f"the destination answers {status}", code=f"destination-{status}")
    return BackendUnavailable(f"the destination answers {status}", code=f"destination-{status}")
