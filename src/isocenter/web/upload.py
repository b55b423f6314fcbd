"""Request bodies on their way in: counted, gathered into pieces, and handed to threads without being held whole."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from contextlib import AbstractContextManager

import anyio.to_thread
from fastapi import Request
from starlette.requests import ClientDisconnect

from isocenter.errors import BadRequest, PayloadTooLarge, Saturated
from isocenter.web.services import Services

PIECE = 1 << 20


class Gate(AbstractContextManager["Gate"]):
    """Lets a fixed number of uploads in at a time; the rest are told to come back (used in the event loop only)."""

    def __init__(self, most: int) -> None:
        self._free = most

    def __enter__(self) -> Gate:
        if self._free <= 0:
            raise Saturated("too many uploads at a time; send this one again later", retry_after=2)
        self._free -= 1
        return self

    def __exit__(self, *_: object) -> None:
        self._free += 1


async def pump(request: Request, services: Services, sink: Callable[[bytes], None]) -> bytes:
    """Pass the body to `sink`, called in a thread with pieces of about 1 MiB; return the last piece.

    The caller hands that one over in the same thread call that ends the upload: most uploads are one piece, and
    each change of threads costs more than reading a header. Pieces are joined because every hash and write of a
    smaller one would give the interpreter lock away and wait for it again.
    """
    most = services.limits.body_bytes
    stated = request.headers.get("content-length", "")
    if stated.isdigit() and int(stated) > most:
        raise PayloadTooLarge(f"a request may hold {most} bytes at most (setting max_upload_bytes)")
    pieces: list[bytes] = []
    waiting = total = 0
    try:
        async for chunk in request.stream():
            total += len(chunk)
            if total > most:
                raise PayloadTooLarge(f"a request may hold {most} bytes at most (setting max_upload_bytes)")
            pieces.append(chunk)
            waiting += len(chunk)
            if waiting >= PIECE:
                piece, pieces, waiting = b"".join(pieces), [], 0
                await anyio.to_thread.run_sync(sink, piece)
    except ClientDisconnect as error:
        raise BadRequest("the request ended before its body did", code="incomplete") from error
    return b"".join(pieces)


class Base64Body:
    """Decodes a base64 body as it comes; a JSON body {"data": "..."} is unwrapped by its quotes."""

    def __init__(self, sink: Callable[[bytes], None], *, json: bool) -> None:
        self._sink = sink
        self._json = json
        self._rest = b""
        self._begun = not json
        self._ended = False
        self._padded = False

    def __call__(self, chunk: bytes) -> None:
        data = self._rest + chunk
        self._rest = b""
        if not self._begun:
            data = self._begin(data)
        if self._begun and data:
            self._take(data)

    def _begin(self, data: bytes) -> bytes:
        place = data.find(b'"data"')
        colon = data.find(b":", place) if place >= 0 else -1
        quote = data.find(b'"', colon) if colon >= 0 else -1
        if quote >= 0:
            self._begun = True
            return data[quote + 1 :]
        if len(data) > 4096:
            raise BadRequest('the JSON body must begin with {"data": "<base64>"}', code="bad-json")
        self._rest = data
        return b""

    def _take(self, data: bytes) -> None:
        if self._ended:
            return
        if self._json:
            data = data.replace(b"\\/", b"/")
            end = data.find(b'"')
            if end >= 0:
                data, self._ended = data[:end], True
            elif data.endswith(b"\\"):
                data, self._rest = data[:-1], b"\\"
        compact = b"".join(data.split())
        whole = len(compact) if self._ended else len(compact) // 4 * 4
        self._decode(compact[:whole])
        self._rest = compact[whole:] + self._rest

    def _decode(self, text: bytes) -> None:
        if self._padded and text:  # wherever the network cut the text, nothing follows its padding
            raise BadRequest("the data is not base64", code="bad-base64")
        try:
            decoded = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError) as error:
            raise BadRequest("the data is not base64", code="bad-base64") from error
        self._padded = text.endswith(b"=")
        if decoded:
            self._sink(decoded)

    def finish(self) -> None:
        if self._json and not self._ended:
            raise BadRequest('the JSON body must be {"data": "<base64>"}', code="bad-json")
        if self._rest:
            self._decode(self._rest)
            self._rest = b""
