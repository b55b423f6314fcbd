"""The data plane of API Gateway's HTTP APIs (payload format 2.0), and the harness's own doors below /_harness/.

An API answers below /_api/<id>/. Of authorizers there are those of JWT, others answer 501; throttling is not done.
"""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooLong
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import uuid4

from moto.apigatewayv2.models import apigatewayv2_backends
from moto.awslambda.models import lambda_backends

from isocenter.testing.aws.actions import ACCOUNT
from isocenter.testing.aws.authorizer import Turned, authorized, of_origin
from isocenter.testing.aws.state import SEEN, Faults

MOST_ASKED: Final = 10 * 1024 * 1024
MOST_GIVEN: Final = 6_291_456  # of an event to a function
_CALLS = ThreadPoolExecutor(32)


def serve(port: int) -> ThreadingHTTPServer:
    """On a port of this machine, in threads."""
    server = ThreadingHTTPServer(("127.0.0.1", port), _Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    _origin: dict[str, str] | None = None

    def log_message(self, *arguments: Any) -> None:
        """Says nothing."""

    def _any(self) -> None:
        self._origin = None  # one handler serves all requests of a connection
        length = int(self.headers.get("Content-Length") or 0)
        if length > MOST_ASKED:
            for start in range(0, length, 1 << 20):  # a client that still sends would not see the answer
                self.rfile.read(min(1 << 20, length - start))
            self._message(413, "Request Entity Too Large")
            return
        body = self.rfile.read(length)
        asked = urlsplit(self.path)
        if asked.path.startswith("/_harness/"):
            self._own(asked.path.removeprefix("/_harness/"), body)
            return
        found = re.fullmatch(r"/_api/([a-z0-9]+)(/.*)", asked.path)
        api = None if found is None else _api(found[1])
        if found is None or api is None:
            self._message(404, "Not Found")
            return
        asking = {name.lower(): text for name, text in self.headers.items()}
        preflight = self.command == "OPTIONS" and "access-control-request-method" in asking
        self._origin = of_origin(api, asking, preflight=preflight)
        if preflight and self._origin is not None:
            self._send(204, b"", {})
            return
        self._call(api, unquote(found[2]), asked.query, body)

    def _own(self, door: str, body: bytes) -> None:
        """What was seen, what is to fail, and a clean slate."""
        match self.command, door:
            case "GET", "seen":
                self._send(200, json.dumps(SEEN.told()).encode(), {"content-type": "application/json"})
            case "POST", "faults":
                SEEN.ask(Faults(**json.loads(body or b"{}")))
                self._send(204, b"", {})
            case "POST", "forget":
                SEEN.forget()
                self._send(204, b"", {})
            case _:
                self._message(404, "Not Found")

    def _call(self, api: Any, path: str, query: str, body: bytes) -> None:
        route = _route(api, self.command, path)
        if route is None:
            self._message(404, "Not Found")
            return
        try:
            more = authorized(api, route, {name.lower(): text for name, text in self.headers.items()})
        except Turned as turned:
            self._message(turned.status, turned.message, {"www-authenticate": turned.challenge})
            return
        integration = api.integrations[route.target.rpartition("/")[2]]
        told = self._event(api, route, path, query, body)
        told["requestContext"] |= more
        event = json.dumps(told).encode()
        if len(event) > MOST_GIVEN:
            self._message(413, "Request Entity Too Large")
            return
        arn = re.search(r"functions/(arn:[^/]+)/", integration.integration_uri)
        headers: dict[str, str] = {}
        backend: Any = lambda_backends[ACCOUNT][_region(api)]
        under_way = _CALLS.submit(
            backend.invoke, arn[1] if arn else integration.integration_uri, None, event, {}, headers
        )
        try:
            result = under_way.result((integration.timeout_in_millis or 30000) / 1000)
        except TooLong:
            self._message(503, "Service Unavailable")
            return
        if "x-amz-function-error" in headers:
            self._message(500, "Internal Server Error")
            return
        self._answer(json.loads(result))

    def _event(self, api: Any, route: Any, path: str, query: str, body: bytes) -> dict[str, Any]:
        headers: dict[str, str] = {}
        for name, text in self.headers.items():
            headers[name.lower()] = f"{headers[name.lower()]},{text}" if name.lower() in headers else text
        cookies = [each.strip() for each in headers.pop("cookie", "").split(";") if each.strip()]
        kind = headers.get("content-type", "").partition(";")[0].strip()
        plain = kind.startswith("text/") or kind in ("application/json", "application/javascript", "application/xml")
        now = time.time()
        event: dict[str, Any] = {
            "version": "2.0",
            "routeKey": route.route_key,
            "rawPath": path,
            "rawQueryString": query,
            "headers": headers,
            "requestContext": {
                "accountId": ACCOUNT, "apiId": api.api_id, "domainName": headers.get("host", ""),
                "domainPrefix": api.api_id, "requestId": uuid4().hex[:16], "routeKey": route.route_key,
                "stage": "$default", "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
                "timeEpoch": int(now * 1000),
                "http": {
                    "method": self.command, "path": path, "protocol": "HTTP/1.1",
                    "sourceIp": self.client_address[0], "userAgent": headers.get("user-agent", ""),
                },
            },
            "isBase64Encoded": bool(body) and not plain,
        }  # fmt: skip
        if query:
            parameters = parse_qs(query, keep_blank_values=True)
            event["queryStringParameters"] = {name: ",".join(values) for name, values in parameters.items()}
        if cookies:
            event["cookies"] = cookies
        if body:
            event["body"] = body.decode() if plain else base64.b64encode(body).decode()
        return event

    def _answer(self, given: Any) -> None:
        if not isinstance(given, dict) or "statusCode" not in given:
            self._send(200, json.dumps(given).encode(), {"content-type": "application/json"})
            return
        text = given.get("body") or ""
        body = base64.b64decode(text) if given.get("isBase64Encoded") else text.encode()
        self._send(int(given["statusCode"]), body, given.get("headers") or {}, given.get("cookies") or [])

    def _message(self, status: int, message: str, more: dict[str, str] | None = None) -> None:
        headers = {"content-type": "application/json", **(more or {})}
        self._send(status, json.dumps({"message": message}).encode(), headers)

    def _send(self, status: int, body: bytes, headers: dict[str, str], cookies: list[str] | None = None) -> None:
        self.send_response(status)
        if self._origin is not None:  # what the function says of origins is passed over
            headers = {name: text for name, text in headers.items() if not name.lower().startswith("access-control-")}
            headers |= self._origin
        for name, text in headers.items():
            if name.lower() not in ("content-length", "connection"):
                self.send_header(name, text)
        for cookie in cookies or ():
            self.send_header("Set-Cookie", cookie)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD" and status != 204:
            self.wfile.write(body)
        self.wfile.flush()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _any  # noqa: N815 - as http.server has them


def _api(id: str) -> Any:
    regions: Any = apigatewayv2_backends[ACCOUNT]
    return next((backend.apis[id] for backend in list(regions.values()) if id in backend.apis), None)


def _region(api: Any) -> str:
    regions: Any = apigatewayv2_backends[ACCOUNT]
    return next(str(region) for region, backend in list(regions.items()) if api.api_id in backend.apis)


def _route(api: Any, method: str, path: str) -> Any:
    """The most specific: whole paths, then those with names in them, then `$default`; a method before ANY."""
    found: list[tuple[tuple[int, int, bool], Any]] = []
    for route in api.routes.values():
        if route.route_key == "$default":
            found.append(((9, 0, True), route))
            continue
        verb, pattern = route.route_key.split(" ", 1)
        if verb not in (method, "ANY"):
            continue
        expression = re.sub(r"\\\{\w+\\\+\\\}", ".+", re.escape(pattern))
        if re.fullmatch(re.sub(r"\\\{\w+\\\}", "[^/]+", expression), path):
            rank = 2 if "+}" in pattern else 1 if "{" in pattern else 0
            found.append(((rank, -len(pattern), verb == "ANY"), route))
    return min(found, key=lambda each: each[0])[1] if found else None
