"""WADO-RS of instances (PS3.18 10.4.1.1.1): files in the transfer syntax asked for, alone, in parts or as a ZIP."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response

from isocenter.dicom.transfer_syntax import IMPLICIT_VR_LITTLE_ENDIAN
from isocenter.errors import NotAcceptable, Rejected
from isocenter.records import ImageRecord
from isocenter.web.access import Access, Reader
from isocenter.web.dicomweb.resources import (
    DICOM,
    EXPLICIT,
    INSTANCE,
    SERIES,
    STUDY,
    InstanceUid,
    SeriesUid,
    StudyUid,
    left_out,
    noted,
    records_of,
)
from isocenter.web.dicomweb.zipped import ZIP, zip_response
from isocenter.web.direct import Direct
from isocenter.web.errors import problems
from isocenter.web.negotiation import Accepted, Form, NothingAcceptable, accept_of, choices
from isocenter.web.sending import BodyPart, content_response, multipart_response, not_modified
from isocenter.web.services import Services
from isocenter.web.streaming import Streamed

if TYPE_CHECKING:
    from isocenter.archive.transcoded import Representation

router = APIRouter(tags=["dicomweb"], route_class=Direct)

_PARTS, _SINGLE, _ZIP = Form(DICOM, multipart=True), Form(DICOM), Form(ZIP)
_FORMS = f'multipart/related; type="{DICOM}", {DICOM}, {ZIP}'.split(", ")
_CONTENT: dict[str, Any] = {"multipart/related": {}, DICOM: {}, ZIP: {}}
INSTANCES: dict[int | str, dict[str, Any]] = {
    200: {"description": "PS3.10 files", "content": _CONTENT},
    206: {"description": "A range, or those of the instances that can be given in this form", "content": _CONTENT},
    304: {"description": "Not modified"},
    **problems(406, 416, 422),
}


@router.get(STUDY, responses=INSTANCES, response_class=Response)
def study(request: Request, access: Reader, study: StudyUid) -> Response:
    """Every instance of a study; as `application/zip` a File-set with its DICOMDIR."""
    return _answer(request, access, records_of(request, access, study))


@router.get(SERIES, responses=INSTANCES, response_class=Response)
def series(request: Request, access: Reader, study: StudyUid, series: SeriesUid) -> Response:
    """Every instance of a series; as `application/zip` a File-set with its DICOMDIR."""
    return _answer(request, access, records_of(request, access, study, series))


@router.get(INSTANCE, responses=INSTANCES, response_class=Response)
def instance(
    request: Request,
    access: Reader,
    study: StudyUid,
    series: SeriesUid,
    instance: InstanceUid,
) -> Response:
    """One instance: a multipart body of one part, or by Accept: application/dicom the file alone."""
    return _answer(request, access, records_of(request, access, study, series, instance))


@dataclass(frozen=True, slots=True)
class _Given:
    """An instance and the transfer syntax it is given in; as stored where `or_stored` and it cannot be had."""

    record: ImageRecord
    syntax: str
    or_stored: bool = False

    @property
    def stored(self) -> bool:
        return self.syntax == self.record.transfer_syntax_uid


def _answer(request: Request, access: Access, records: Sequence[ImageRecord]) -> Response:
    services: Services = request.app.state.services
    forms = (_PARTS, _SINGLE, _ZIP) if len(records) == 1 else (_PARTS, _ZIP)
    for form, member in choices(accept_of(request), forms):
        if form is _ZIP:
            if member.syntax in (None, "*"):
                noted(access, "read", records)
                return zip_response(request, services, records)
            continue
        given = [each for each in (_given(services, record, member) for record in records) if each is not None]
        if given:
            noted(access, "read", [each.record for each in given])
            if form is _SINGLE:
                return _single(request, services, given[0])
            return _multipart(request, services, given, len(records))
    raise _nothing(request, services, records)


def _given(services: Services, record: ImageRecord, member: Accepted) -> _Given | None:
    """How a member of Accept wants an instance; None where that cannot be (PS3.18 8.7.3.5.2, 8.7.8).

    A wildcard is content with what is stored. Who names the media type and no transfer syntax is told to expect
    Explicit VR Little Endian, unless there is no way to it, as of videos. Implicit VR Little Endian counts as that:
    every reader has to know it (PS3.5 10.1), and what was stored goes out to the byte.
    """
    own = record.transfer_syntax_uid or ""
    if member.syntax in ("*", own) or (member.syntax is None and member.named is None):
        return _Given(record, own)
    if member.syntax is None:
        return _Given(record, own if own == IMPLICIT_VR_LITTLE_ENDIAN else EXPLICIT, or_stored=True)
    return _Given(record, member.syntax) if member.syntax in services.transcoded.targets(record) else None


def _transcoded(services: Services, given: _Given) -> Representation | None:
    """The file in another transfer syntax; None where what is stored will do, or will have to."""
    if given.stored:
        return None
    try:
        return services.transcoded.part10(given.record, given.syntax)
    except (NotAcceptable, Rejected):
        if given.or_stored:
            return None
        raise


def file_response(request: Request, services: Services, record: ImageRecord, syntax: str | None) -> Response:
    """One file alone, in a transfer syntax or the default one."""
    wanted = {} if syntax is None else {"transfer-syntax": syntax}
    given = _given(services, record, Accepted(DICOM, wanted, 1.0))
    if given is None:
        raise _not_possible(services, record)
    return _single(request, services, given)


def _single(request: Request, services: Services, given: _Given) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{given.record.id}.dcm"', "Vary": "Accept"}
    made = _transcoded(services, given)
    if made is None:
        return content_response(request, services.retrieve.part10(given.record), _kind(given.record), headers)
    headers |= {"ETag": f'W/"{made.etag}"', "Cache-Control": "private, no-cache"}
    if not_modified(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Streamed(made.chunks, 200, headers, f"{DICOM}; transfer-syntax={made.transfer_syntax_uid}", size=made.size)


def _multipart(request: Request, services: Services, given: Sequence[_Given], of: int) -> Response:
    names = "" if all(each.stored for each in given) else ",".join(each.syntax for each in given)
    etag = f'W/"{services.retrieve.fingerprint([each.record for each in given], names)}"'
    status, headers = left_out(of - len(given), of)
    headers |= {"ETag": etag, "Vary": "Accept"}
    if not_modified(request, etag):
        return Response(status_code=304, headers=headers)
    parts = _stored(services, given) if not names else _made(services, given)
    return multipart_response(parts, DICOM, status=status, headers=headers)


def _stored(services: Services, given: Sequence[_Given]) -> list[BodyPart]:
    """The files as they are kept; they are read one after another, each at its turn or a little before."""
    files = services.retrieve.part10_files(each.record for each in given)

    def chunks() -> Iterator[bytes]:
        yield from next(files)[1].chunks

    size = services.retrieve.part10_size
    return [BodyPart(_kind(each.record), chunks(), size(each.record)) for each in given]


def _made(services: Services, given: Sequence[_Given]) -> Iterator[BodyPart]:
    for each in given:
        # Of several, one whose pixels turn out to be undecodable comes as it is stored; its part says so.
        made = _transcoded(services, replace(each, or_stored=each.or_stored or len(given) > 1))
        if made is not None:
            yield BodyPart(f"{DICOM}; transfer-syntax={made.transfer_syntax_uid}", made.chunks, made.size)
        else:
            content = services.retrieve.part10(each.record)
            yield BodyPart(_kind(each.record), content.chunks, content.size)


def _kind(record: ImageRecord) -> str:
    return f"{DICOM}; transfer-syntax={record.transfer_syntax_uid}"


def _nothing(request: Request, services: Services, records: Sequence[ImageRecord]) -> NothingAcceptable:
    if len(records) > 1 and next(choices(accept_of(request), (_SINGLE,)), None) is not None:
        return NothingAcceptable(f'several instances come as multipart/related; type="{DICOM}" or as {ZIP}', _FORMS)
    if next(choices(accept_of(request), (_PARTS, _SINGLE, _ZIP)), None) is None:
        return NothingAcceptable(f"instances come as {', '.join(_FORMS)}", _FORMS)
    return _not_possible(services, records[0])


def _not_possible(services: Services, record: ImageRecord) -> NothingAcceptable:
    return NothingAcceptable(
        "no instance can be given in that transfer syntax; `available` lists those of the first",
        services.transcoded.targets(record),
        code="transfer-syntax-not-possible",
    )
