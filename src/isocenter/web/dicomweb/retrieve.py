"""WADO-RS (PS3.18 10.4): instances, metadata, bulk data and frames."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from itertools import chain
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from starlette.responses import StreamingResponse

from isocenter.archive.retrieve import Content
from isocenter.errors import NotAcceptable, NotFound
from isocenter.records import ImageQuery, ImageRecord
from isocenter.web.access import Access, Reader
from isocenter.web.dicomweb.resources import (
    DICOM,
    DICOM_JSON,
    InstanceUid,
    SeriesUid,
    StudyUid,
    address,
    instance_of,
    root_of,
    store_of,
    with_addresses,
)
from isocenter.web.errors import problems
from isocenter.web.negotiation import accepted, prefers
from isocenter.web.sending import content_response, json_response, not_modified
from isocenter.web.services import Services

router = APIRouter(tags=["dicomweb"])

_EXPLICIT = "1.2.840.10008.1.2.1"
_OCTETS = "application/octet-stream"
_INSTANCES: dict[int | str, dict[str, Any]] = {
    200: {"description": "PS3.10 files", "content": {"multipart/related": {}, DICOM: {}}},
    304: {"description": "Not modified"},
    **problems(406),
}
_METADATA: dict[int | str, dict[str, Any]] = {
    200: {"description": "DICOM JSON", "content": {DICOM_JSON: {}, "application/json": {}}},
    304: {"description": "Not modified"},
    **problems(406),
}
_BULK: dict[int | str, dict[str, Any]] = {
    200: {"description": "Bytes", "content": {"multipart/related": {}, _OCTETS: {}}},
    **problems(406),
}


@router.get("/studies/{study}", responses=_INSTANCES, response_class=Response)
def study(request: Request, access: Reader, study: StudyUid) -> Response:
    """Every instance of a study."""
    return _many(request, access, ImageQuery(study_uid=study))


@router.get("/studies/{study}/series/{series}", responses=_INSTANCES, response_class=Response)
def series(request: Request, access: Reader, study: StudyUid, series: SeriesUid) -> Response:
    """Every instance of a series."""
    return _many(request, access, ImageQuery(study_uid=study, series_uid=series))


@router.get("/studies/{study}/series/{series}/instances/{instance}", responses=_INSTANCES, response_class=Response)
def instance(request: Request, access: Reader, study: StudyUid, series: SeriesUid, instance: InstanceUid) -> Response:
    """One instance: a multipart body of one part, or by Accept: application/dicom the file alone."""
    services: Services = request.app.state.services
    record = instance_of(request, access, study, series, instance)
    form = _form(request.headers.get("accept"))
    _acceptable(form[1], record)
    access.note("read", record=record)
    content = services.retrieve.part10(record)
    if form[0] == DICOM:
        name = {"Content-Disposition": f'attachment; filename="{record.id}.dcm"'}
        return content_response(request, content, _typed(record), name)
    return _multipart(iter([(record, content)]), DICOM)


def _many(request: Request, access: Access, query: ImageQuery) -> Response:
    services: Services = request.app.state.services
    records = _records(request, access, query)
    form = _form(request.headers.get("accept"))
    if form[0] != "multipart/related":
        raise NotAcceptable('several instances come as multipart/related; type="application/dicom"')
    for record in records:
        _acceptable(form[1], record)
    access.note("read", store=records[0].store, count=len(records))
    return _multipart(((record, services.retrieve.part10(record)) for record in records), DICOM)


def _records(request: Request, access: Access, query: ImageQuery) -> list[ImageRecord]:
    services: Services = request.app.state.services
    store = store_of(request, access)
    records = services.delete.matching(
        ImageQuery(
            (store,),
            study_uid=query.study_uid,
            series_uid=query.series_uid,
            sop_instance_uids=query.sop_instance_uids,
        )
    )
    if not records:
        raise NotFound("there is no such study, series or instance")
    return records


def _form(header: str | None) -> tuple[str, str | None]:
    """How instances should come, and in which transfer syntax; NotAcceptable where Accept leaves no way."""
    for member in accepted(header):
        syntax = member.parameters.get("transfer-syntax")
        if member.type in ("*/*", "multipart/*"):
            return "multipart/related", None
        if member.type == "multipart/related" and member.parameters.get("type", DICOM) in (DICOM, "*/*"):
            return "multipart/related", syntax
        if member.type in (DICOM, "application/*"):
            return DICOM, syntax
    raise NotAcceptable('instances come as multipart/related; type="application/dicom" or as application/dicom')


def _acceptable(syntax: str | None, record: ImageRecord) -> None:
    if syntax not in (None, "*", record.transfer_syntax_uid):
        raise NotAcceptable(
            "instances come in the transfer syntax they were stored in; ask for transfer-syntax=*",
            code="no-transcoding",
        )


def _typed(record: ImageRecord) -> str:
    return f"{DICOM}; transfer-syntax={record.transfer_syntax_uid}"


def _multipart(parts: Iterator[tuple[ImageRecord, Content]], kind: str) -> Response:
    boundary = secrets.token_hex(16)

    def body() -> Iterator[bytes]:
        for record, content in parts:
            head = f"--{boundary}\r\nContent-Type: {_typed(record)}\r\nContent-Length: {content.size}\r\n\r\n"
            first = next(content.chunks, b"")
            yield head.encode("ascii") + first
            yield from content.chunks
            yield b"\r\n"
        yield f"--{boundary}--\r\n".encode("ascii")

    return _streamed(body(), f'multipart/related; type="{kind}"; boundary={boundary}')


def _streamed(body: Iterator[bytes], media_type: str) -> Response:
    """The first piece is made before the answer begins, so that what is missing or altered is an error answer."""
    return StreamingResponse(chain((next(body),), body), media_type=media_type)


@router.get("/studies/{study}/metadata", responses=_METADATA, response_class=Response)
def study_metadata(request: Request, access: Reader, study: StudyUid) -> Response:
    """Metadata of every instance of a study (PS3.18 10.4.1.1.2)."""
    return _metadata(request, access, ImageQuery(study_uid=study))


@router.get("/studies/{study}/series/{series}/metadata", responses=_METADATA, response_class=Response)
def series_metadata(request: Request, access: Reader, study: StudyUid, series: SeriesUid) -> Response:
    """Metadata of every instance of a series."""
    return _metadata(request, access, ImageQuery(study_uid=study, series_uid=series))


@router.get(
    "/studies/{study}/series/{series}/instances/{instance}/metadata",
    responses=_METADATA,
    response_class=Response,
)
def instance_metadata(
    request: Request, access: Reader, study: StudyUid, series: SeriesUid, instance: InstanceUid
) -> Response:
    """Metadata of one instance; bulk data by reference."""
    query = ImageQuery(study_uid=study, series_uid=series, sop_instance_uids=(instance,))
    return _metadata(request, access, query)


def _metadata(request: Request, access: Access, query: ImageQuery) -> Response:
    services: Services = request.app.state.services
    chosen = prefers(request.headers.get("accept"), (DICOM_JSON, "application/json"))
    if chosen is None:
        raise NotAcceptable(f"metadata comes as {DICOM_JSON} or application/json")
    records = _records(request, access, query)
    access.note("read.metadata", store=records[0].store, count=len(records))
    root = root_of(request)
    etag = f'"{services.retrieve.fingerprint(records)}"'
    if not_modified(request, etag):
        return Response(status_code=304, headers={"ETag": etag})
    found = services.retrieve.metadata_of(records)
    body = [with_addresses(found[r.id].model, address(root, r)) for r in records if r.id in found]
    return json_response(body, media_type=chosen, headers={"ETag": etag})


@router.get(
    "/studies/{study}/series/{series}/instances/{instance}/bulkdata/{path:path}",
    responses=_BULK,
    response_class=Response,
)
def bulk_data(
    request: Request,
    access: Reader,
    study: StudyUid,
    series: SeriesUid,
    instance: InstanceUid,
    path: Annotated[str, Path(max_length=400, description="As a BulkDataURI of the metadata names it.")],
) -> Response:
    """One bulk value, its bytes as stored; encapsulated pixel data as a part for each frame."""
    services: Services = request.app.state.services
    record = instance_of(request, access, study, series, instance)
    access.note("read.bulkdata", record=record)
    pieces = services.retrieve.bulk(record, path)
    return _pieces(request, pieces, _OCTETS)


@router.get(
    "/studies/{study}/series/{series}/instances/{instance}/frames/{frames}",
    responses=_BULK,
    response_class=Response,
)
def frames(
    request: Request,
    access: Reader,
    study: StudyUid,
    series: SeriesUid,
    instance: InstanceUid,
    frames: Annotated[str, Path(pattern=r"^[0-9]{1,9}(,[0-9]{1,9}){0,999}$", description="Numbers from 1, by comma.")],
) -> Response:
    """Frames as stored: native little endian pixels, or one codestream each."""
    services: Services = request.app.state.services
    record = instance_of(request, access, study, series, instance)
    access.note("read.frames", record=record)
    pieces = services.retrieve.frames(record, [int(number) for number in frames.split(",")])
    return _pieces(request, pieces, f"{_OCTETS}; transfer-syntax={record.transfer_syntax_uid}")


def _pieces(request: Request, pieces: Iterator[bytes], kind: str) -> Response:
    chosen = prefers(request.headers.get("accept"), ("multipart/related", _OCTETS))
    if chosen is None:
        raise NotAcceptable(f"bulk data comes as multipart/related or {_OCTETS}")
    if chosen == _OCTETS:
        first = next(pieces)
        if next(pieces, None) is not None:
            raise NotAcceptable("several frames come as multipart/related")
        return Response(first, media_type=_OCTETS)
    boundary = secrets.token_hex(16)

    def body() -> Iterator[bytes]:
        for piece in pieces:
            yield f"--{boundary}\r\nContent-Type: {kind}\r\nContent-Length: {len(piece)}\r\n\r\n".encode("ascii")
            yield piece
            yield b"\r\n"
        yield f"--{boundary}--\r\n".encode("ascii")

    return _streamed(body(), f'multipart/related; type="{_OCTETS}"; boundary={boundary}')
