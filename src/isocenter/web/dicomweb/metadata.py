"""WADO-RS of metadata (PS3.18 10.4.1.1.2): every attribute as DICOM JSON or XML, bulk data by reference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fastapi import APIRouter, Request, Response

from isocenter.dicom.xml_write import to_xml
from isocenter.records import ImageRecord
from isocenter.web.access import Access, Reader
from isocenter.web.dicomweb.resources import (
    DICOM_JSON,
    DICOM_XML,
    INSTANCE,
    SERIES,
    STUDY,
    InstanceUid,
    SeriesUid,
    StudyUid,
    address,
    noted,
    records_of,
    root_of,
    with_addresses,
)
from isocenter.web.direct import Direct
from isocenter.web.errors import problems
from isocenter.web.negotiation import Form, NothingAcceptable, accept_of, choices
from isocenter.web.sending import BodyPart, multipart_response, not_modified
from isocenter.web.services import Services
from isocenter.web.streaming import Streamed

router = APIRouter(tags=["dicomweb"], route_class=Direct)

_JSON, _PLAIN_JSON = Form(DICOM_JSON), Form("application/json")
_XML_PARTS, _XML = Form(DICOM_XML, multipart=True), Form(DICOM_XML)
_METADATA: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Data Sets as DICOM JSON, or as Native DICOM Models in XML",
        "content": {DICOM_JSON: {}, "application/json": {}, "multipart/related": {}, DICOM_XML: {}},
    },
    304: {"description": "Not modified"},
    **problems(406),
}


@router.get(f"{STUDY}/metadata", responses=_METADATA, response_class=Response)
def study_metadata(request: Request, access: Reader, study: StudyUid) -> Response:
    """Metadata of every instance of a study."""
    return _answer(request, access, records_of(request, access, study))


@router.get(f"{SERIES}/metadata", responses=_METADATA, response_class=Response)
def series_metadata(request: Request, access: Reader, study: StudyUid, series: SeriesUid) -> Response:
    """Metadata of every instance of a series."""
    return _answer(request, access, records_of(request, access, study, series))


@router.get(f"{INSTANCE}/metadata", responses=_METADATA, response_class=Response)
def instance_metadata(
    request: Request,
    access: Reader,
    study: StudyUid,
    series: SeriesUid,
    instance: InstanceUid,
) -> Response:
    """Metadata of one instance; bulk data by reference."""
    return _answer(request, access, records_of(request, access, study, series, instance))


def _answer(request: Request, access: Access, records: Sequence[ImageRecord]) -> Response:
    services: Services = request.app.state.services
    forms = [_JSON, _PLAIN_JSON, _XML_PARTS] + ([_XML] if len(records) == 1 else [])
    form, _ = next(choices(accept_of(request), forms), (None, None))
    if form is None:
        there = [DICOM_JSON, f'multipart/related; type="{DICOM_XML}"']
        raise NothingAcceptable(f"metadata comes as {' or '.join(there)}", there)
    noted(access, "read.metadata", records)
    root = root_of(request)
    # The addresses in it are part of what is answered.
    etag = f'W/"{services.retrieve.fingerprint(records, f"{form} {root}")}"'
    headers = {"ETag": etag, "Vary": "Accept", "Cache-Control": "private, no-cache"}
    if not_modified(request, etag):
        return Response(status_code=304, headers=headers)
    if form is _XML_PARTS:
        parts = (BodyPart(DICOM_XML, (document,), len(document)) for document in _documents(services, records, root))
        return multipart_response(parts, DICOM_XML, headers=headers)
    body = _documents(services, records, root) if form is _XML else _array(services, records, root)
    return Streamed(body, headers=headers, media_type=form.type)


def _array(services: Services, records: Sequence[ImageRecord], root: str) -> Iterator[bytes]:
    """The models as a JSON array, without taking apart what is kept as JSON."""
    before = b"["
    for _, text in services.retrieve.models(records, lambda record: f"{address(root, record)}/bulkdata/"):
        yield before + text
        before = b","
    yield b"[]" if before == b"[" else b"]"


def _documents(services: Services, records: Sequence[ImageRecord], root: str) -> Iterator[bytes]:
    for record, metadata in services.retrieve.each_metadata(records):
        yield to_xml(with_addresses(metadata.model, address(root, record)))
