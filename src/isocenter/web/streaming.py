"""Bodies that are made while they go out: the next piece in a thread while the one before it is sent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import anyio.to_thread
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

_PIECE = 4 << 20
_FIRST = 1 << 20
# What is slow to make is not held back for long: the first picture of many goes out before the second is made.
_PATIENCE, _FIRST_PATIENCE = 0.02, 0.005  # seconds
_SMALL = 64 << 10  # below this joining chunks costs less than sending each
HEADERS_ALONE = "isocenter.headers_alone"  # in the ASGI scope: no body is wanted


class _Piece(NamedTuple):
    chunks: list[bytes]
    last: bool


class Streamed(Response):
    """A body from an iterator of chunks; `size` in bytes where it is known beforehand.

    Chunks are gathered to about 4 MiB before threads are changed, and no thread waits for a slow client. The first
    piece is made here, so that what is missing or altered is an error answer and not a broken stream.
    """

    def __init__(
        self,
        chunks: Iterable[bytes],
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
        *,
        size: int | None = None,
    ) -> None:
        self._chunks = iter(chunks)
        self._first = self._gathered(_FIRST, _FIRST_PATIENCE)
        if self._first.last:
            size = sum(map(len, self._first.chunks))
        self.status_code = status_code
        self.media_type = media_type
        self.background = None
        self.init_headers(headers)
        if size is not None:
            self.headers["content-length"] = str(size)

    def _gathered(self, enough: int = _PIECE, patience: float = _PATIENCE) -> _Piece:
        found: list[bytes] = []
        small: list[bytes] = []
        size, end, last = 0, time.monotonic() + patience, True
        for chunk in self._chunks:
            if len(chunk) < _SMALL:
                small.append(chunk)
            else:
                found += [b"".join(small), chunk]
                small = []
            size += len(chunk)
            if size >= enough or (size and time.monotonic() >= end):
                last = False
                break
        return _Piece([chunk for chunk in (*found, b"".join(small)) if chunk], last)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if HEADERS_ALONE in scope:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            await self._close()
            return
        if not self._first.last:
            await self._rest(receive, send)
            return
        *before, last = self._first.chunks or [b""]
        for chunk in before:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": last, "more_body": False})

    async def _rest(self, receive: Receive, send: Send) -> None:
        gone = asyncio.ensure_future(_disconnected(receive))
        piece = self._first
        ahead: asyncio.Future[_Piece] | None = None
        try:
            while not gone.done():
                if not piece.last:
                    ahead = asyncio.ensure_future(anyio.to_thread.run_sync(self._gathered))
                for chunk in piece.chunks:
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
                if piece.last:
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
                    return
                assert ahead is not None
                piece = await ahead
        finally:
            gone.cancel()
            if ahead is not None and not ahead.done():
                await asyncio.wait([ahead])
            if ahead is not None and not ahead.cancelled():
                ahead.exception()  # told above where anyone is still there to be told
            await self._close()

    async def _close(self) -> None:
        close = getattr(self._chunks, "close", None)
        if close is not None and not self._first.last:
            await anyio.to_thread.run_sync(close)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
