"""WADO-RS of frames (PS3.18 10.4.1.1.1): as stored, decoded, or in another transfer syntax, by media type."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from isocenter.dicom.media_types import OCTET_STREAM, SYNTAXES, chosen_syntax, media_type_of
from isocenter.dicom.transfer_syntax import IMPLICIT_VR_LITTLE_ENDIAN, NATIVE
from isocenter.records import ImageRecord
from isocenter.web.access import Reader
from isocenter.web.dicomweb.resources import (
    EXPLICIT,
    INSTANCE,
    InstanceUid,
    SeriesUid,
    StudyUid,
    address,
    instance_of,
    root_of,
)
from isocenter.web.direct import Direct
from isocenter.web.errors import problems
from isocenter.web.negotiation import Accepted, Form, NothingAcceptable, accept_of, choices
from isocenter.web.sending import BodyPart, multipart_response, not_modified
from isocenter.web.services import Services
from isocenter.web.streaming import Streamed

router = APIRouter(tags=["dicomweb"], route_class=Direct)

FRAME_CONTENT: dict[str, Any] = {"multipart/related": {}, **{kind: {} for kind in SYNTAXES}}
_FRAMES: dict[int | str, dict[str, Any]] = {
    200: {"description": "Frames, uncompressed little endian or a codestream each", "content": FRAME_CONTENT},
    304: {"description": "Not modified"},
    **problems(406, 413, 422),
}
FrameList = Annotated[str, Path(pattern=r"^[0-9]{1,9}(,[0-9]{1,9}){0,999}$", description="Numbers from 1, by comma.")]


@router.get(f"{INSTANCE}/frames/{{frames}}", responses=_FRAMES, response_class=Response)
def frames(
    request: Request,
    access: Reader,
    study: StudyUid,
    series: SeriesUid,
    instance: InstanceUid,
    frames: FrameList,
) -> Response:
    """Frames: `application/octet-stream` decodes them, `transfer-syntax=*` or `*/*` gives them as stored."""
    services: Services = request.app.state.services
    record = instance_of(request, access, study, series, instance)
    wanted = [int(number) for number in frames.split(",")]
    way = way_of(services, record, accept_of(request), single=len(wanted) == 1)
    if way is None:
        raise no_way(services, record, "several frames come as multipart/related; " if len(wanted) > 1 else "")
    etag = f"{record.blob.sha256[:32]}-{way.syntax}-f{'-'.join(map(str, wanted))}"
    etag = f'W/"{services.retrieve.fingerprint([record], etag)}"'
    headers = {"ETag": etag, "Vary": "Accept", "Cache-Control": "private, no-cache"}
    access.note("read.frames", record=record)
    if not_modified(request, etag):
        return Response(status_code=304, headers=headers)
    pieces = way.frames(services, record, wanted)
    if not way.multipart:
        return Streamed(pieces, headers=headers, media_type=way.media_type)
    base = f"{address(root_of(request), record)}/frames/"
    parts = (way.part(piece, f"{base}{number}") for number, piece in zip(wanted, pieces, strict=True))
    return multipart_response(parts, way.kind, headers=headers)


@dataclass(frozen=True, slots=True)
class Way:
    """How the frames of an instance are given: in which transfer syntax, and that one's media type."""

    kind: str
    syntax: str
    multipart: bool
    stored: bool

    @property
    def media_type(self) -> str:
        return f"{self.kind}; transfer-syntax={self.syntax}"

    def frames(self, services: Services, record: ImageRecord, numbers: Sequence[int]) -> Iterator[bytes]:
        if self.stored:
            return services.retrieve.frames(record, numbers)
        return services.transcoded.frames(record, numbers, self.syntax)

    def part(self, piece: bytes, location: str) -> BodyPart:
        return BodyPart(self.media_type, (piece,), len(piece), {"Content-Location": location})


def way_of(services: Services, record: ImageRecord, accept: str | None, *, single: bool) -> Way | None:
    """The best way that Accept leaves to give frames, None where there is none; `single` where a body can be one.

    PS3.18 8.7.3.3: application/octet-stream is uncompressed little endian unless a wildcard leaves the transfer
    syntax to us; compressed frames have the media type of their codestream.
    """
    own = record.transfer_syntax_uid or ""
    stored = media_type_of(own)
    for form, member in choices(accept, _forms(stored, single)):
        syntax = _syntax(services, record, form.type, member)
        if syntax is None:
            continue
        if syntax == own or (own in NATIVE and syntax == EXPLICIT):
            return Way(stored, EXPLICIT if own in NATIVE else own, form.multipart, stored=True)
        return Way(form.type, syntax, form.multipart, stored=False)
    return None


@cache
def _forms(stored: str, single: bool) -> tuple[Form, ...]:
    """What frames come as, the media type they are stored in first."""
    kinds = dict.fromkeys((stored, *SYNTAXES))
    return tuple(Form(kind, parts) for kind in kinds for parts in ((True, False) if single else (True,)))


def _syntax(services: Services, record: ImageRecord, kind: str, member: Accepted) -> str | None:
    own = record.transfer_syntax_uid or ""
    stored = kind == media_type_of(own)
    asked = member.syntax
    if kind == OCTET_STREAM and asked == IMPLICIT_VR_LITTLE_ENDIAN:
        asked = EXPLICIT  # the same bytes (PS3.5 A.1 and A.2); OHIF can be set to name either
    if member.named is None and stored:
        return own if asked in (None, "*", own) else None
    if asked == "*" and (stored or kind == OCTET_STREAM):
        return own
    if kind == OCTET_STREAM and own in NATIVE:
        return EXPLICIT if asked in (None, EXPLICIT) else None
    if stored and asked == own:
        return own
    return chosen_syntax(kind, asked, services.transcoded.targets(record))


def no_way(services: Services, record: ImageRecord, hint: str = "") -> NothingAcceptable:
    """Nothing that Accept names can be made of these frames."""
    targets = services.transcoded.targets(record)
    kinds = list(dict.fromkeys(f"{media_type_of(syntax)}; transfer-syntax={syntax}" for syntax in targets))
    detail = f"{hint}the frames of this instance come in the media types that `available` lists"
    return NothingAcceptable(detail, kinds, code="transfer-syntax-not-possible")
