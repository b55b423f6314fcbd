"""HEAD (RFC 9110 9.3.2): every GET route answers it, with the status and headers of GET and without a body."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from isocenter.web.streaming import HEADERS_ALONE


class Head:
    """ASGI middleware: hands the application a GET whose answer ends with its headers.

    So the same guards are passed and the same audit is written. What is made before the headers of a GET go out is
    made here too, at most the first piece of a body, since status and length may follow from it; no more of it is.
    Range is defined for GET alone (RFC 9110 14.2).
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        headers = [pair for pair in scope["headers"] if pair[0] != b"range"]
        asked = {**scope, "method": "GET", "headers": headers, HEADERS_ALONE: True}

        async def without_body(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
            elif not message.get("more_body", False):
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        try:
            await self._app(asked, receive, without_body)
        finally:
            if "route" in asked:  # for the log line and the metrics
                scope["route"] = asked["route"]
