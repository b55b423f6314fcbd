"""Around every request: an id, a log line, metrics, and headers that keep browsers safe; never a value."""

from __future__ import annotations

import re
import secrets
import time
from typing import Any, Protocol

import orjson
import structlog
from fastapi.routing import iter_route_contexts
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from isocenter.errors import traced

log = structlog.get_logger()

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}\Z")
# A name, an address or a bracketed IPv6 address, and a port: what a link in an answer may be made of.
_HOST = re.compile(r"([A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{0,5})?\Z")
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (
        b"content-security-policy",
        b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"private, no-store"),
)


class Metrics(Protocol):
    """What is counted. Labels are route templates, statuses and outcomes, never values."""

    media_type: str | None  # of the page

    def begun(self) -> None: ...

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """A request that had begun is over."""

    def received(self, outcome: str) -> None:
        """An image came in, or was refused."""

    def page(self) -> bytes | None:
        """All of it for who asks GET /metrics; None where it is told elsewhere."""


class Observe:
    """ASGI middleware, outermost: what leaves the application unexpectedly becomes a bare 500 here."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope["isocenter.request_id"] = request_id
        status = 0  # until the answer begins
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

        self._metrics.begun()
        try:
            # What is logged on the way carries the id: so a job is joined to the request that began it.
            with structlog.contextvars.bound_contextvars(request_id=request_id):
                await self._app(scope, receive, watched)
        except ClientDisconnect:
            pass  # nobody is there to be answered
        except Exception as error:  # noqa: BLE001  # the web edge
            log.error("unexpected fault", route=template_of(scope), request_id=request_id, **traced(error))
            if status:  # the answer has begun: only a broken connection says that it is not whole
                raise AnswerCutOffError("an answer was cut off") from None
            await refuse(watched, 500, "internal", "an unexpected fault, which is logged under request_id", request_id)
        finally:
            self._told(scope, status or 499, time.perf_counter() - started, request_id)

    def _told(self, scope: Scope, status: int, seconds: float, request_id: str) -> None:
        route = template_of(scope)
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        self._metrics.answered(route, method, status, seconds)
        log.info(
            "request",
            route=route,
            method=method,
            status=status,
            ms=round(seconds * 1000, 1),
            request_id=request_id,
        )


class AnswerCutOffError(Exception):
    """Closes the connection of an answer that cannot be finished; carries nothing of what went wrong."""


class RouteTable:
    """The routes of an application as they are included: templates and methods by path."""

    def __init__(self, app: Any) -> None:
        contexts = list(iter_route_contexts(app.routes))
        self._all = [(each.path_regex, frozenset(each.methods or ())) for each in contexts]
        self._by_route: dict[int, list[tuple[re.Pattern[str], str]]] = {}
        for each in contexts:
            self._by_route.setdefault(id(each.original_route), []).append((each.path_regex, str(each.path_format)))

    @classmethod
    def of(cls, scope: Scope) -> RouteTable:
        app = scope["app"]
        if getattr(app.state, "routes", None) is None:
            app.state.routes = cls(app)
        found: RouteTable = app.state.routes
        return found

    def template(self, route: object, path: str) -> str:
        found = self._by_route.get(id(route), [])
        if len(found) > 1:
            found = [each for each in found if each[0].match(path)] or found
        return found[0][1] if found else "(other)"

    def methods(self, path: str) -> list[str]:
        found = {method for regex, methods in self._all if regex.match(path) for method in methods}
        return sorted(found | {"HEAD"} if "GET" in found else found)


def template_of(scope: Scope) -> str:
    """The path template of the route that answers, its router's prefix included; never a value."""
    route = scope.get("route")
    return "(none)" if route is None else RouteTable.of(scope).template(route, scope["path"])


def allowed_methods(scope: Scope) -> list[str]:
    """Every method that some route takes at the path of a request (RFC 9110 10.2.1)."""
    return RouteTable.of(scope).methods(scope["path"])


_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


def _request_id(scope: Scope) -> str:
    """The caller's own id where it is harmless, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.match(value):
            return str(value.decode("ascii"))
    return secrets.token_hex(8)


class Origins:
    """ASGI middleware: refuses names we are not called by, and changes that another site's page asks for.

    A page anywhere on the web can make a browser send requests to 127.0.0.1, by name tricks (DNS rebinding)
    or plain forms; without authentication those would be the owner's own.
    """

    def __init__(self, app: ASGIApp, hosts: tuple[str, ...], origins: tuple[str, ...]) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
            request_id = scope.get("isocenter.request_id")
            host = headers.get(b"host", "")
            if host and not _HOST.match(host):
                await refuse(send, 400, "bad-host", "the Host header names no host", request_id)
                return
            if self._hosts and host_name(host) not in self._hosts:
                detail = "the server is not known by the name in the Host header"
                await refuse(send, 421, "unknown-host", detail, request_id)
                return
            if scope["method"] not in ("GET", "HEAD", "OPTIONS") and not self._same_site(headers):
                detail = "a page of another site asked for this (setting cors_origins)"
                await refuse(send, 403, "cross-site", detail, request_id)
                return
        await self._app(scope, receive, send)

    def _same_site(self, headers: dict[bytes, str]) -> bool:
        origin = headers.get(b"origin")
        if origin in self._origins:
            return True
        if headers.get(b"sec-fetch-site", "none") not in ("none", "same-origin"):
            return False
        if origin is None:
            return True
        scheme, _, name = origin.partition("://")
        return scheme in ("http", "https") and bool(name) and name.lower() == headers.get(b"host", "").lower()


def host_name(value: str) -> str:
    """The name in a Host header (RFC 9110 7.2), without its port and an IPv6 address's brackets."""
    if value.startswith("["):
        return value.partition("]")[0].lstrip("[").lower()
    return value.rpartition(":")[0].lower() if ":" in value else value.lower()


async def refuse(send: Send, status: int, code: str, detail: str, request_id: str | None = None) -> None:
    """Answer problem+json from a middleware, before any route is reached."""
    titles = {400: "The request cannot be understood", 500: "A fault of ours"}
    body = orjson.dumps({
        "type": "about:blank",
        "title": titles.get(status, "Not allowed"),
        "status": status,
        "code": code,
        "detail": detail,
        "request_id": request_id,
    })  # fmt: skip
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
