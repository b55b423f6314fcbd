"""What the doors share: bodies into the front door, receipts into answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio.to_thread
from fastapi import Request

from isocenter.archive.store import Placement
from isocenter.errors import BadRequest
from isocenter.pipeline.ingest import Batch, Intake
from isocenter.records import ImageRecord, Receipt
from isocenter.web.access import Access
from isocenter.web.multipart import Headers, MultipartReader, Part, boundary_of, media_type
from isocenter.web.services import Services
from isocenter.web.upload import Base64Body, Gate, pump

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_FORM = {
    "schema": {
        "type": "object",
        "required": ["file"],
        "properties": {"file": {"type": "string", "format": "binary"}},
    }
}
_BASE64 = {
    "schema": {
        "type": "object",
        "required": ["data"],
        "properties": {
            "data": {
                "type": "string",
                "format": "byte",
                "minLength": 4,
                "pattern": "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})$",
            }
        },
        "additionalProperties": False,
    },
    "example": {"data": "R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"},
}
# What OpenAPI says of bodies that are read as they come.
FILE_BODY = {"requestBody": {"required": True, "content": {"multipart/form-data": _FORM, "application/dicom": _BINARY}}}
IMAGE_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/octet-stream": _BINARY,
            "application/json": _BASE64,
            "multipart/form-data": _FORM,
        },
    }
}


async def receive_one(request: Request, access: Access, placement: Placement) -> Receipt:
    """The one image that a body holds: as bytes, base64 (text or JSON) or the `file` field of a form."""
    services: Services = request.app.state.services
    gate: Gate = request.app.state.gate
    with gate:
        batch = services.ingest.batch(access.caller)
        feed, finish = _reader(request, services, batch, placement)
        try:
            last = await pump(request, services, feed)
            receipts = await anyio.to_thread.run_sync(finished, feed, last, finish, batch)
        except BaseException:
            batch.abandon()
            raise
    counted(request, receipts)
    if not receipts:
        raise BadRequest("the body holds no file", code="no-file")
    return receipts[0]


def finished(feed: Callable[[bytes], None], last: bytes, finish: Callable[[], None], batch: Batch) -> list[Receipt]:
    """The end of an upload, in one call for a thread: its last piece, its end, and the commit."""
    if last:
        feed(last)
    finish()
    return batch.close()


def _reader(
    request: Request, services: Services, batch: Batch, placement: Placement
) -> tuple[Callable[[bytes], None], Callable[[], None]]:
    kind, _ = media_type(request.headers.get("content-type"))
    if kind == "multipart/form-data":
        form = FormFile(batch, placement)
        limits = services.limits
        reader = MultipartReader(
            boundary_of(request.headers.get("content-type"), kind),
            form.begin,
            most_parts=100,
            most_header_bytes=limits.part_header_bytes,
        )
        return reader.feed, reader.finish
    intake = batch.begin("body", placement)
    encoding = request.headers.get("content-transfer-encoding", "").lower()
    if kind == "application/json" or encoding == "base64":
        body = Base64Body(intake.write, json=kind == "application/json")

        def finish() -> None:
            body.finish()
            intake.finish()

        return body, finish
    return intake.write, intake.finish


class FormFile:
    """Takes the first file of a form; other fields are passed over."""

    def __init__(self, batch: Batch, placement: Placement) -> None:
        self._batch = batch
        self._placement = placement
        self._found = False

    def begin(self, headers: Headers) -> Part | None:
        kind, parameters = media_type(headers.get("content-disposition"))
        if kind != "form-data" or self._found:
            return None
        if parameters.get("name") != "file" and "filename" not in parameters:
            return None
        self._found = True
        intake = self._batch.begin("file", self._placement)
        if headers.get("content-transfer-encoding", "").strip().lower() == "base64":
            return _Base64Part(intake)
        return intake


class _Base64Part:
    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._body = Base64Body(intake.write, json=False)

    def write(self, chunk: bytes | memoryview) -> None:
        self._body(bytes(chunk))

    def finish(self) -> None:
        self._body.finish()
        self._intake.finish()


def counted(request: Request, receipts: list[Receipt]) -> None:
    """Count what came of an upload in the metrics."""
    for receipt in receipts:
        request.app.state.metrics.received(receipt.outcome)


def kept(receipt: Receipt) -> ImageRecord:
    """The record of an accepted image; raises what a refused one was refused for."""
    if receipt.record is not None:
        return receipt.record
    raise receipt.error or BadRequest("the image was not accepted")


def described(record: ImageRecord) -> dict[str, Any]:
    """An image as the JSON routes show it."""
    return {
        "id": record.id,
        "store": record.store,
        "kind": str(record.kind),
        "subject_id": record.subject_id,
        "image_id": record.image_id,
        "media_type": record.media_type,
        "size": record.blob.size,
        "sha256": record.blob.sha256,
        "created": record.created.isoformat(),
        "number_of_frames": record.number_of_frames,
    }
