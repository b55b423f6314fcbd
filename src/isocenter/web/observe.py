"""Around every request: an id, a log line, metrics and the headers that keep browsers safe; never a path or value."""

from __future__ import annotations

import re
import secrets
import time

import structlog
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.registry import CollectorRegistry
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.get_logger()

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}\Z")
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"private, no-store"),
)


class Metrics:
    """Counts and times by route template, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ("route", "method", "status")
        self.requests = Counter("isocenter_requests", "Requests answered.", labels, registry=self.registry)
        self.seconds = Histogram(
            "isocenter_request_seconds", "Time to the end of the answer.", ("route", "method"), registry=self.registry
        )
        self.in_progress = Gauge("isocenter_requests_in_progress", "Requests under way.", registry=self.registry)
        self.stored = Counter("isocenter_images", "Images sent in, by outcome.", ("outcome",), registry=self.registry)


class Observe:
    """ASGI middleware, outermost."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope["isocenter.request_id"] = request_id
        status = 500
        started = time.perf_counter()

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                given = message.setdefault("headers", [])
                present = {name.lower() for name, _ in given}
                given.extend(pair for pair in _HEADERS if pair[0] not in present)
                given.append((b"x-request-id", request_id.encode("ascii")))
            await send(message)

        self._metrics.in_progress.inc()
        try:
            await self._app(scope, receive, watched)
        finally:
            self._metrics.in_progress.dec()
            self._told(scope, status, time.perf_counter() - started, request_id)

    def _told(self, scope: Scope, status: int, seconds: float, request_id: str) -> None:
        route = getattr(scope.get("route"), "path", "(none)")
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        self._metrics.requests.labels(route, method, str(status)).inc()
        self._metrics.seconds.labels(route, method).observe(seconds)
        log.info(
            "request", route=route, method=method, status=status, ms=round(seconds * 1000, 1), request_id=request_id
        )


_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


def _request_id(scope: Scope) -> str:
    """The caller's own id where it is harmless, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.match(value):
            return str(value.decode("ascii"))
    return secrets.token_hex(8)


class Origins:
    """ASGI middleware: refuses names we are not called by, and changes that another site's page asks for.

    A page anywhere on the web can make a browser send requests to 127.0.0.1, by name tricks (DNS rebinding) or
    plain forms; without authentication those would be the owner's own.
    """

    def __init__(self, app: ASGIApp, hosts: tuple[str, ...], origins: tuple[str, ...]) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
            if self._hosts and _host(headers.get(b"host", "")) not in self._hosts:
                await _refuse(send, 421, "unknown-host", "the server is not known by the name in the Host header")
                return
            if scope["method"] not in ("GET", "HEAD", "OPTIONS") and not self._same_site(headers):
                await _refuse(send, 403, "cross-site", "a page of another site asked for this (setting cors_origins)")
                return
        await self._app(scope, receive, send)

    def _same_site(self, headers: dict[bytes, str]) -> bool:
        origin = headers.get(b"origin")
        if origin in self._origins:
            return True
        if headers.get(b"sec-fetch-site", "none") not in ("none", "same-origin"):
            return False
        return origin is None or origin.partition("://")[2].lower() == headers.get(b"host", "").lower()


def _host(value: str) -> str:
    if value.startswith("["):
        return value.partition("]")[0].lstrip("[").lower()
    return value.rpartition(":")[0].lower() if ":" in value else value.lower()


async def _refuse(send: Send, status: int, code: str, detail: str) -> None:
    body = f'{{"type":"about:blank","title":"Not allowed","status":{status},"code":"{code}","detail":"{detail}"}}'
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body.encode()})
