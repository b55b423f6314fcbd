"""Content on its way out: conditional requests, digests, streams."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from itertools import chain

import orjson
from fastapi import Request
from starlette.responses import Response, StreamingResponse

from isocenter.archive.retrieve import Content
from isocenter.records import ImageRecord


def content_response(request: Request, content: Content, media_type: str, headers: Mapping[str, str]) -> Response:
    """Stream content with its ETag and Repr-Digest (RFC 9530); 304 where the caller has it already."""
    etag = f'"{content.etag}"'
    sent = {"ETag": etag, "Cache-Control": "private, no-cache", **headers}
    if not_modified(request, etag):
        return Response(status_code=304, headers=sent)
    if content.sha256 is not None:
        digest = base64.b64encode(bytes.fromhex(content.sha256)).decode("ascii")
        sent["Repr-Digest"] = f"sha-256=:{digest}:"
    first = next(content.chunks, b"")  # what is missing or altered is an error answer, not a broken stream
    if len(first) == content.size:
        return Response(first, headers=sent, media_type=media_type)
    sent["Content-Length"] = str(content.size)
    return StreamingResponse(chain((first,), content.chunks), headers=sent, media_type=media_type)


def not_modified(request: Request, etag: str) -> bool:
    given = request.headers.get("if-none-match")
    if given is None:
        return False
    return given.strip() == "*" or etag in [tag.strip().removeprefix("W/") for tag in given.split(",")]


def download_headers(record: ImageRecord, extension: str) -> dict[str, str]:
    """An original goes out as a file to keep, named by its internal id; its preamble is as it came."""
    headers = {"Content-Disposition": f'attachment; filename="{record.id}{extension}"'}
    if record.has_part10_header and not record.preamble_is_zero:
        headers["Isocenter-Preamble"] = "original, not zero"
    return headers


EXTENSIONS = {
    "application/dicom": ".dcm",
    "application/x-nifti": ".nii",
    "application/gzip": ".nii.gz",
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/gif": ".gif",
}


def json_response(
    body: object,
    status: int = 200,
    *,
    media_type: str = "application/json",
    headers: Mapping[str, str] | None = None,
) -> Response:
    return Response(orjson.dumps(body), status, headers, media_type=media_type)
