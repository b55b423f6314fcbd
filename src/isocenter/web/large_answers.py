"""Answers too large for the way out: kept for a while, and given by an address of the object store instead.

A Lambda function answers with 6 MB at most. What is larger is written to the object store as it comes, and the caller
sent there by 307; a client that asked for a range asks it of the object store, which knows ranges too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import anyio.to_thread
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from isocenter.archive.store import new_id
from isocenter.ports.blob_store import BlobStore, BlobWriter, SignsUrls

ANSWERS: Final = "answers/"  # what keys of such answers begin with
_SECONDS: Final = 900  # that such an address works
_OF_THE_BODY = ("content-length", "content-type", "content-range", "etag", "repr-digest", "accept-ranges")
_RANGES = (b"range", b"if-range")


class LargeAnswers:
    """Middleware over a blob store that signs URLs; answers of up to `most` bytes go out as they are."""

    def __init__(self, app: ASGIApp, *, blobs: BlobStore, most: int) -> None:
        assert isinstance(blobs, SignsUrls)  # the settings see to it
        self._app = app
        self._blobs = blobs
        self._signed: Callable[[str, int, str | None], str] = blobs.signed_url
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # All is given or the object store gives the part: a range of what lies there would be one of a range.
        headers = [(name, value) for name, value in scope["headers"] if name not in _RANGES]
        answer = _Answer(self, send)
        try:
            await self._app({**scope, "headers": headers}, receive, answer.take)
        except BaseException:  # whatever it was, a caller that went away too: nothing half is left
            await answer.abort()
            raise

    def begin(self) -> tuple[str, BlobWriter]:
        key = f"{ANSWERS}{new_id()}"
        return key, self._blobs.create(key)

    def address(self, key: str, media_type: str | None) -> str:
        return self._signed(key, _SECONDS, media_type)

    @property
    def most(self) -> int:
        return self._most


class _Answer:
    """One answer on its way: held back until it is over, or has become too large and goes another way."""

    def __init__(self, way: LargeAnswers, send: Send) -> None:
        self._way = way
        self._send = send
        self._start: Message | None = None
        self._held: list[bytes] = []
        self._size = 0
        self._key = ""
        self._writer: BlobWriter | None = None

    async def take(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            return
        if message["type"] != "http.response.body":
            await self._send(message)
            return
        body = message.get("body", b"")
        self._size += len(body)
        self._held.append(body)
        if self._size > self._way.most:
            await anyio.to_thread.run_sync(self._write)
        if not message.get("more_body", False):
            await self._end()

    def _write(self) -> None:
        if self._writer is None:
            self._key, self._writer = self._way.begin()
        for piece in self._held:
            self._writer.write(piece)
        self._held = []

    async def _end(self) -> None:
        assert self._start is not None
        if self._writer is None:
            await self._send(self._start)
            await self._send({"type": "http.response.body", "body": b"".join(self._held)})
            return
        await anyio.to_thread.run_sync(self._writer.commit)
        headers = MutableHeaders(raw=list(self._start["headers"]))
        url = self._way.address(self._key, headers.get("content-type"))
        for name in _OF_THE_BODY:
            if name in headers:
                del headers[name]
        headers["location"] = url
        headers["content-length"] = "0"
        headers["cache-control"] = "no-store"
        await self._send({"type": "http.response.start", "status": 307, "headers": headers.raw})
        await self._send({"type": "http.response.body", "body": b""})

    async def abort(self) -> None:
        if self._writer is not None:
            await anyio.to_thread.run_sync(self._writer.abort)
