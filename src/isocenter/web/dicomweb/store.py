"""STOW-RS (PS3.18 10.5): instances come in as parts of one request, each with its own result."""

from __future__ import annotations

import re
from typing import Any

import anyio.to_thread
from fastapi import APIRouter, Request, Response

from isocenter.archive.store import Placement
from isocenter.dicom.xml_write import to_xml
from isocenter.errors import BadRequest, NotAcceptable, NotAnImage, Unavailable, UnsupportedMediaType
from isocenter.pipeline.ingest import Batch, Intake
from isocenter.records import Receipt
from isocenter.web.access import Access, Writer
from isocenter.web.dicomweb.composed import ComposedParts
from isocenter.web.dicomweb.resources import DICOM, DICOM_JSON, DICOM_XML, StudyUid, address, root_of, store_of
from isocenter.web.errors import answer_error, problems
from isocenter.web.multipart import Headers, MultipartReader, Part, boundary_of, media_type
from isocenter.web.negotiation import prefers
from isocenter.web.receiving import counted, finished
from isocenter.web.sending import json_response
from isocenter.web.services import Services, WebLimits
from isocenter.web.upload import Gate, pump

router = APIRouter(tags=["dicomweb"])

_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/related": {"schema": {"type": "string", "format": "binary"}},
            DICOM: {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
_FORMS = (DICOM_JSON, DICOM_XML, "application/json")  # the last gets what the first does
_MODULE: dict[str, Any] = {DICOM_JSON: {}, DICOM_XML: {}}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "All instances are kept", "content": _MODULE},
    202: {"description": "Some instances are kept, some failed", "content": _MODULE},
    **problems(406, 413, 415, 507),
    409: {"description": "No instance is kept; the body says why of each", "content": _MODULE},
}
_TYPE = re.compile(r"application/dicom(;|\s|$)")


@router.post("/studies", responses=_ANSWERS, response_class=Response, openapi_extra=_BODY)
async def store(request: Request, access: Writer) -> Response:
    """Keep DICOM instances: multipart/related; type="application/dicom", or a single application/dicom body.

    With type="application/dicom+json" or "application/dicom+xml" the parts are metadata, and bulk data under the
    Content-Location that its BulkDataURI names.
    """
    return await _store(request, access, None)


@router.post("/studies/{study}", responses=_ANSWERS, response_class=Response, openapi_extra=_BODY)
async def store_in_study(request: Request, access: Writer, study: StudyUid) -> Response:
    """Keep instances of one study; one of another study fails with Failure Reason A900."""
    return await _store(request, access, study)


async def _store(request: Request, access: Access, study: str | None) -> Response:
    services: Services = request.app.state.services
    gate: Gate = request.app.state.gate
    placement = Placement(store_of(request, access), study_uid=study, dicom_only=True)
    media_type = prefers(request.headers.get("accept"), _FORMS)
    if media_type is None:
        raise NotAcceptable(f"the answer to Store comes as {' or '.join(_FORMS)}")
    with gate:
        batch = services.ingest.batch(access.caller)
        parts = _Parts(batch, placement)
        reader = _reader(request, services, parts)
        try:
            last = await pump(request, services, reader.feed)
            receipts = await anyio.to_thread.run_sync(finished, reader.feed, last, reader.finish, batch)
        except BaseException:
            reader.abandon()
            batch.abandon()
            raise
    counted(request, receipts)
    if not receipts:
        raise BadRequest("the request holds no part", code="no-part")
    access.failed(sum(not receipt.accepted for receipt in receipts), placement.store)
    return _answer(request, receipts, media_type)


class _Parts:
    """Opens an intake for each part; a part of another type fails alone."""

    def __init__(self, batch: Batch, placement: Placement) -> None:
        self._batch = batch
        self._placement = placement
        self._count = 0

    def next(self) -> Intake:
        """The intake of the next instance, whichever part it comes from."""
        self._count += 1
        return self._batch.begin(f"part {self._count}", self._placement)

    def begin(self, headers: Headers) -> Part:
        intake = self.next()
        stated = headers.get("content-type", "").strip().lower()
        if stated and not _TYPE.match(stated) and stated != "application/octet-stream":
            intake.fail(NotAnImage(f"part {self._count} is not application/dicom", code="not-dicom"))
        return intake


class _Single:
    """A body that is one instance."""

    def __init__(self, parts: _Parts) -> None:
        self._intake = parts.begin({})
        self.feed = self._intake.write

    def finish(self) -> None:
        self._intake.finish()

    def abandon(self) -> None:
        pass  # the batch does


class _Multipart:
    """A body of parts, each an instance, or metadata and bulk data that instances are made of."""

    def __init__(self, boundary: bytes, kind: str, parts: _Parts, limits: WebLimits) -> None:
        self._composed = None if kind == DICOM else ComposedParts(kind, parts.next, limits.data_set)
        self._reader = MultipartReader(
            boundary,
            parts.begin if self._composed is None else self._composed.part,
            most_parts=limits.parts,
            most_header_bytes=limits.part_header_bytes,
        )
        self.feed = self._reader.feed

    def finish(self) -> None:
        self._reader.finish()
        if self._composed is not None:
            self._composed.finish()

    def abandon(self) -> None:
        if self._composed is not None:
            self._composed.close()


def _reader(request: Request, services: Services, parts: _Parts) -> _Multipart | _Single:
    stated = request.headers.get("content-type")
    kind, parameters = media_type(stated)
    if kind == DICOM:
        return _Single(parts)
    boundary = boundary_of(stated, "multipart/related")
    inside = parameters.get("type", DICOM).lower()
    if inside not in (DICOM, DICOM_JSON, DICOM_XML):
        raise UnsupportedMediaType(f"multipart/related must have type={DICOM}, {DICOM_JSON} or {DICOM_XML}")
    return _Multipart(boundary, inside, parts, services.limits)


def _answer(request: Request, receipts: list[Receipt], media_type: str) -> Response:
    """The Store Instances Response Module (PS3.18 Annex I); 200, 202 or 409, or 503 where nothing could be kept."""
    failed = [receipt for receipt in receipts if not receipt.accepted]
    if len(failed) == len(receipts):
        for receipt in failed:
            if isinstance(receipt.error, Unavailable):
                return answer_error(request, receipt.error)
    root = root_of(request)
    body: dict[str, Any] = {"00081190": {"vr": "UR"}}  # type 2: empty where there is no one study
    done = [_referenced(receipt, root) for receipt in receipts if receipt.accepted]
    if done:
        body["00081199"] = {"vr": "SQ", "Value": done}
        studies = {receipt.record.study_uid for receipt in receipts if receipt.record is not None}
        if len(studies) == 1:
            body["00081190"] = {"vr": "UR", "Value": [f"{root}/studies/{studies.pop()}"]}
    # Who has not both UIDs cannot be referenced: both are of type 1 there.
    named = [_failure(receipt) for receipt in failed if _identified(receipt)]
    others = [_failure(receipt) for receipt in failed if not _identified(receipt)]
    if named:
        body["00081198"] = {"vr": "SQ", "Value": named}
    if others:
        body["0008119A"] = {"vr": "SQ", "Value": others}
    status = 200 if not failed else 202 if done else 409
    headers = _warnings(failed)
    if media_type == DICOM_XML:
        return Response(to_xml(body), status, headers, media_type=DICOM_XML)
    return json_response(body, status, media_type=DICOM_JSON, headers=headers)


def _referenced(receipt: Receipt, root: str) -> dict[str, Any]:
    assert receipt.record is not None
    return {**_sop(receipt), "00081190": {"vr": "UR", "Value": [address(root, receipt.record)]}}


def _sop(receipt: Receipt) -> dict[str, Any]:
    return {
        "00081150": {"vr": "UI", "Value": [receipt.sop_class_uid]},
        "00081155": {"vr": "UI", "Value": [receipt.sop_instance_uid]},
    }


def _failure(receipt: Receipt) -> dict[str, Any]:
    reason = {"00081197": {"vr": "US", "Value": [receipt.reason]}}
    return {**_sop(receipt), **reason} if _identified(receipt) else reason


def _identified(receipt: Receipt) -> bool:
    return bool(receipt.sop_class_uid and receipt.sop_instance_uid)


def _warnings(failed: list[Receipt]) -> dict[str, str]:
    """The module has codes only; the sentences go into a Warning header (RFC 7234 5.5), the first few of them."""
    told = [f'299 isocenter "{receipt.source}: {_told(receipt)}"' for receipt in failed[:5]]
    if len(failed) > len(told):
        told.append(f'299 isocenter "and {len(failed) - len(told)} more"')
    return {"Warning": ", ".join(told)} if told else {}


def _told(receipt: Receipt) -> str:
    detail = receipt.error.detail if receipt.error is not None else "failed"
    return detail.replace('"', "'").encode("ascii", "replace").decode("ascii")
