"""WADO-RS of bulk data and pixel data (PS3.18 10.4.1.1.5 and 10.4.1.1.6): one value, or all of some instances."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from isocenter.archive.retrieve import PIXEL_PATH, PIXEL_PATHS
from isocenter.dicom.media_types import OCTET_STREAM
from isocenter.dicom.transfer_syntax import NATIVE
from isocenter.errors import NotFound
from isocenter.records import ImageRecord
from isocenter.web.access import Access, Reader
from isocenter.web.dicomweb.frames import FRAME_CONTENT, Way, no_way, way_of
from isocenter.web.dicomweb.resources import (
    INSTANCE,
    SERIES,
    STUDY,
    InstanceUid,
    SeriesUid,
    StudyUid,
    address,
    instance_of,
    left_out,
    noted,
    records_of,
    root_of,
)
from isocenter.web.errors import problems
from isocenter.web.negotiation import Form, NothingAcceptable, accept_of, choices
from isocenter.web.sending import BodyPart, content_response, multipart_response, not_modified, requested_range
from isocenter.web.services import Services
from isocenter.web.streaming import Streamed

router = APIRouter(tags=["dicomweb"])

_PARTS, _SINGLE = Form(OCTET_STREAM, multipart=True), Form(OCTET_STREAM)
_BULK: dict[int | str, dict[str, Any]] = {
    200: {"description": "Bytes", "content": FRAME_CONTENT},
    206: {"description": "A range, or those that can be given in this form", "content": FRAME_CONTENT},
    304: {"description": "Not modified"},
    **problems(406, 413, 416, 422),
}


@router.get(f"{INSTANCE}/bulkdata/{{path:path}}", responses=_BULK, response_class=Response)
def bulk_value(
    request: Request,
    access: Reader,
    study: StudyUid,
    series: SeriesUid,
    instance: InstanceUid,
    path: Annotated[str, Path(max_length=400, description="As a BulkDataURI of the metadata names it.")],
) -> Response:
    """One bulk value, or a range of it; encapsulated pixel data as a part for each frame."""
    services: Services = request.app.state.services
    record = instance_of(request, access, study, series, instance)
    noted(access, "read.bulkdata", [record])
    if path == PIXEL_PATH and _encapsulated(record):
        way = way_of(services, record, accept_of(request), single=record.number_of_frames == 1)
        if way is not None and not way.multipart:
            return _frame(request, services, record, way)
        return _all(request, [record], pixels=True)
    content = services.retrieve.bulk_value(record, path)
    form, _ = next(choices(accept_of(request), (_PARTS, _SINGLE)), (None, None))
    if form is None:
        raise NothingAcceptable(f"bulk data comes as {OCTET_STREAM}, alone or in multipart/related", [OCTET_STREAM])
    headers = {"Vary": "Accept"}
    if form is _SINGLE:
        return content_response(request, content, OCTET_STREAM, headers)
    told = {"Content-Location": str(request.url.path)}
    headers["ETag"] = f'W/"{content.etag}"'
    if not_modified(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    wanted = None if content.span is None else requested_range(request, headers["ETag"], content.size)
    if content.span is None or wanted is None:
        part = BodyPart(OCTET_STREAM, content.chunks, content.size, told)
        return multipart_response([part], OCTET_STREAM, headers=headers)
    start, stop = wanted
    if start >= stop:
        return content_response(request, content, OCTET_STREAM, headers)  # 416
    # As in multipart/byteranges the part says which range it is (RFC 9110 14.6), and not the whole answer.
    told["Content-Range"] = f"bytes {start}-{stop - 1}/{content.size}"
    part = BodyPart(OCTET_STREAM, content.span(start, stop), stop - start, told)
    return multipart_response([part], OCTET_STREAM, status=206, headers=headers)


@router.get(f"{STUDY}/bulkdata", responses=_BULK, response_class=Response)
def study_bulkdata(request: Request, access: Reader, study: StudyUid) -> Response:
    """Every bulk value of a study, a part each, with its address in Content-Location."""
    return _noted(request, access, records_of(request, access, study))


@router.get(f"{SERIES}/bulkdata", responses=_BULK, response_class=Response)
def series_bulkdata(request: Request, access: Reader, study: StudyUid, series: SeriesUid) -> Response:
    """Every bulk value of a series."""
    return _noted(request, access, records_of(request, access, study, series))


@router.get(f"{INSTANCE}/bulkdata", responses=_BULK, response_class=Response)
def instance_bulkdata(
    request: Request,
    access: Reader,
    study: StudyUid,
    series: SeriesUid,
    instance: InstanceUid,
) -> Response:
    """Every bulk value of an instance."""
    return _noted(request, access, records_of(request, access, study, series, instance))


@router.get(f"{STUDY}/pixeldata", responses=_BULK, response_class=Response)
def study_pixeldata(request: Request, access: Reader, study: StudyUid) -> Response:
    """The pixel data of a study, a part for each value or encapsulated frame."""
    return _noted(request, access, records_of(request, access, study), pixels=True)


@router.get(f"{SERIES}/pixeldata", responses=_BULK, response_class=Response)
def series_pixeldata(request: Request, access: Reader, study: StudyUid, series: SeriesUid) -> Response:
    """The pixel data of a series."""
    return _noted(request, access, records_of(request, access, study, series), pixels=True)


@router.get(f"{INSTANCE}/pixeldata", responses=_BULK, response_class=Response)
def instance_pixeldata(
    request: Request,
    access: Reader,
    study: StudyUid,
    series: SeriesUid,
    instance: InstanceUid,
) -> Response:
    """The pixel data of an instance."""
    return _noted(request, access, records_of(request, access, study, series, instance), pixels=True)


def _noted(request: Request, access: Access, records: Sequence[ImageRecord], *, pixels: bool = False) -> Response:
    noted(access, "read.bulkdata", records)
    return _all(request, records, pixels=pixels)


def _encapsulated(record: ImageRecord) -> bool:
    """Whether its pixel data are frames of their own and not one value; a video's are neither."""
    return record.number_of_frames > 0 and record.transfer_syntax_uid not in NATIVE


def _frame(request: Request, services: Services, record: ImageRecord, way: Way) -> Response:
    """Encapsulated pixel data of one frame, alone."""
    etag = f'W/"{services.retrieve.fingerprint([record], f"True {way.syntax} alone")}"'
    headers = {"ETag": etag, "Vary": "Accept", "Cache-Control": "private, no-cache"}
    if not_modified(request, etag):
        return Response(status_code=304, headers=headers)
    return Streamed(way.frames(services, record, [1]), headers=headers, media_type=way.media_type)


def _all(request: Request, records: Sequence[ImageRecord], *, pixels: bool) -> Response:
    """Bulk values, or pixel data alone, each in a part (PS3.18 10.4.3.3.5 and 10.4.3.3.6)."""
    services: Services = request.app.state.services
    accept = accept_of(request)
    if pixels and not any(record.number_of_frames for record in records):
        raise NotFound("there is no pixel data here that can be told apart")
    ways: list[tuple[ImageRecord, Way | None]] = []
    for record in records:
        if not _encapsulated(record):
            if next(choices(accept, (_PARTS,)), None) is not None:
                ways.append((record, None))
        elif (way := way_of(services, record, accept, single=False)) is not None:
            ways.append((record, way))
    if not ways:
        raise no_way(services, records[0], "bulk data of instances comes as multipart/related; ")
    given = [record for record, _ in ways]
    names = ",".join("" if way is None else way.syntax for _, way in ways)
    etag = f'W/"{services.retrieve.fingerprint(given, f"{pixels} {names}")}"'
    status, headers = left_out(len(records) - len(given), len(records))
    headers |= {"ETag": etag, "Vary": "Accept"}
    if not_modified(request, etag):
        return Response(status_code=304, headers=headers)
    kind = next((way.kind for _, way in ways if way is not None), OCTET_STREAM)
    parts = _parts(services, {record.id: way for record, way in ways}, given, root_of(request), pixels)
    return multipart_response(parts, kind, status=status, headers=headers)


def _parts(
    services: Services, ways: dict[str, Way | None], records: Sequence[ImageRecord], root: str, pixels: bool
) -> Iterator[BodyPart]:
    for record, metadata in services.retrieve.each_metadata(records):
        base = f"{address(root, record)}/bulkdata/"
        for path in metadata.bulk:
            if not pixels or path in PIXEL_PATHS:
                content = services.retrieve.bulk_value(record, path, metadata)
                yield BodyPart(OCTET_STREAM, content.chunks, content.size, {"Content-Location": base + path})
        way = ways[record.id]
        if way is not None:
            for piece in way.frames(services, record, range(1, record.number_of_frames + 1)):
                yield way.part(piece, base + PIXEL_PATH)
