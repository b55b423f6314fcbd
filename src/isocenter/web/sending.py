"""Content on its way out: conditional requests, ranges, digests, parts of multipart/related."""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import orjson
from fastapi import Request
from starlette.responses import Response

from isocenter.archive.retrieve import Content
from isocenter.records import ImageRecord
from isocenter.web.errors import answer
from isocenter.web.streaming import Streamed

_RANGE = re.compile(r"bytes=\s*(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))\s*\Z")
_PRIVATE = "private, no-cache"


def content_response(request: Request, content: Content, media_type: str, headers: Mapping[str, str]) -> Response:
    """Content with its ETag and Repr-Digest (RFC 9530): all of it, a range, or 304 where the caller has it already."""
    etag = f'"{content.etag}"'
    sent = {"ETag": etag, "Cache-Control": _PRIVATE, **headers}
    if not_modified(request, etag):
        return Response(status_code=304, headers=sent)
    if content.span is not None:
        sent["Accept-Ranges"] = "bytes"
        wanted = requested_range(request, etag, content.size)
        if wanted is not None:
            return _part(request, content, wanted, media_type, sent)
    if content.sha256 is not None:
        digest = base64.b64encode(bytes.fromhex(content.sha256)).decode("ascii")
        sent["Repr-Digest"] = f"sha-256=:{digest}:"
    return Streamed(content.chunks, headers=sent, media_type=media_type, size=content.size)


def _part(
    request: Request, content: Content, wanted: tuple[int, int], media_type: str, headers: dict[str, str]
) -> Response:
    start, stop = wanted
    if start >= stop:
        detail = f"the range lies beyond the {content.size} bytes there are"
        told = {"Content-Range": f"bytes */{content.size}"}
        return answer(request, 416, "no-such-range", detail, headers=told)
    assert content.span is not None
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{content.size}"
    return Streamed(content.span(start, stop), 206, headers, media_type, size=stop - start)


def requested_range(request: Request, etag: str, size: int) -> tuple[int, int] | None:
    """First byte and the one after the last (RFC 9110 14.2), an empty span where there is no such range.

    None for everything: without a range, with several of them or one of another unit, and where If-Range names
    another state of the content than this one.
    """
    found = _RANGE.match(request.headers.get("range", ""))
    if found is None or request.headers.get("if-range", etag).strip() != etag:
        return None
    first, last, suffix = found.groups()
    if suffix is not None:
        return max(0, size - int(suffix)), size
    if last and int(last) < int(first):
        return None  # RFC 9110 14.1.1: such a range is invalid, and to be passed over
    return min(int(first), size), size if not last else min(int(last) + 1, size)


def not_modified(request: Request, etag: str) -> bool:
    """Whether If-None-Match names this ETag; compared weakly (RFC 9110 13.1.2)."""
    given = request.headers.get("if-none-match")
    if given is None:
        return False
    known = etag.removeprefix("W/")
    return given.strip() == "*" or known in [tag.strip().removeprefix("W/") for tag in given.split(",")]


@dataclass(frozen=True, slots=True)
class BodyPart:
    """One part of a multipart/related answer; `size` in bytes where it is known beforehand."""

    media_type: str
    chunks: Iterable[bytes]
    size: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def head(self, boundary: str) -> bytes:
        lines = [f"--{boundary}", f"Content-Type: {self.media_type}"]
        lines += [] if self.size is None else [f"Content-Length: {self.size}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join((*lines, "\r\n")).encode("ascii")


def multipart_response(
    parts: Iterable[BodyPart],
    media_type: str,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Parts as multipart/related (RFC 2387), made and sent one after another.

    Where they are given as a list and all have sizes, the answer has a Content-Length: clients can tell how far they
    are, and the server need not copy each chunk to say how long it is.
    """
    boundary = secrets.token_hex(16)
    end = f"--{boundary}--\r\n".encode("ascii")
    size: int | None = None
    if isinstance(parts, list):
        sizes = [part.size for part in parts if part.size is not None]
        if len(sizes) == len(parts):
            size = sum(sizes) + sum(len(part.head(boundary)) + 2 for part in parts) + len(end)

    def body() -> Iterator[bytes]:
        for part in parts:
            yield part.head(boundary)
            yield from part.chunks
            yield b"\r\n"
        yield end

    sent = {"Cache-Control": _PRIVATE, **(headers or {})}
    kind = f'multipart/related; type="{media_type}"; boundary={boundary}'
    return Streamed(body(), status, sent, kind, size=size)


def download_headers(record: ImageRecord, extension: str) -> dict[str, str]:
    """An original goes out as a file to keep, named by its internal id; its preamble is as it came."""
    headers = {"Content-Disposition": f'attachment; filename="{record.id}{extension}"'}
    if record.has_part10_header and not record.preamble_is_zero:
        headers["Isocenter-Preamble"] = "original, not zero"
    return headers


def json_response(
    body: object,
    status: int = 200,
    *,
    media_type: str = "application/json",
    headers: Mapping[str, str] | None = None,
) -> Response:
    return Response(orjson.dumps(body), status, headers, media_type=media_type)
