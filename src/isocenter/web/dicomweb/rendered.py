"""Rendered resources and thumbnails (PS3.18 10.4.1.1.3 and 10.4.1.1.4): pictures for those who read no DICOM."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from typing import Any

import structlog
from fastapi import APIRouter, Request, Response

from isocenter.errors import BadRequest, NotAcceptable, Rejected, Unsupported
from isocenter.records import ImageRecord
from isocenter.render.asked import Viewport
from isocenter.web.access import Access, Reader
from isocenter.web.dicomweb.frames import FrameList
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
from isocenter.web.direct import Direct
from isocenter.web.errors import problems
from isocenter.web.negotiation import Form, NothingAcceptable, accept_of, choices
from isocenter.web.pictures import GIF, JPEG, PNG, RENDERED, THUMBNAIL, Wishes, picture_etag, size_of, wishes_of
from isocenter.web.sending import BodyPart, multipart_response, not_modified
from isocenter.web.services import Services
from isocenter.web.streaming import Streamed

router = APIRouter(tags=["dicomweb"], route_class=Direct)
log = structlog.get_logger()

_KINDS = (JPEG, PNG, GIF)
_SINGLE = tuple(Form(kind) for kind in _KINDS)
_PARTS = tuple(Form(kind, multipart=True) for kind in _KINDS)
_CONTENT: dict[str, Any] = {kind: {} for kind in _KINDS}
_PICTURES: dict[int | str, dict[str, Any]] = {
    200: {"description": "A picture, an animation, or a part for each picture",
          "content": {**_CONTENT, "multipart/related": {}}},
    206: {"description": "Pictures of those instances that have any", "content": {"multipart/related": {}}},
    304: {"description": "Not modified"},
    **problems(406, 413, 422),
}  # fmt: skip
_THUMBNAILS: dict[int | str, dict[str, Any]] = {
    200: {"description": "A small picture", "content": _CONTENT},
    304: {"description": "Not modified"},
    **problems(406, 413, 422),
}
_TRIED = 8  # instances for a thumbnail of many, before it is given up
_NO_PICTURE = frozenset(("no-pixel-data", "video", "encapsulated-document", "no-frames"))


@router.get(f"{STUDY}/rendered", responses=_PICTURES, response_class=Response, openapi_extra=RENDERED)
def study_rendered(request: Request, access: Reader, study: StudyUid) -> Response:
    """A picture of each instance of a study, of several frames the middle one, as multipart/related."""
    wishes = wishes_of(request)
    return _many(request, access, records_of(request, access, study), wishes)


@router.get(f"{SERIES}/rendered", responses=_PICTURES, response_class=Response, openapi_extra=RENDERED)
def series_rendered(
    request: Request,
    access: Reader,
    study: StudyUid,
    series: SeriesUid,
) -> Response:
    """A picture of each instance of a series."""
    wishes = wishes_of(request)
    return _many(request, access, records_of(request, access, study, series), wishes)


@router.get(f"{INSTANCE}/rendered", responses=_PICTURES, response_class=Response, openapi_extra=RENDERED)
def instance_rendered(
    request: Request,
    access: Reader,
    study: StudyUid,
    series: SeriesUid,
    instance: InstanceUid,
) -> Response:
    """A picture of an instance: its first frame, all as an animation (`image/gif`) or all in parts."""
    wishes = wishes_of(request)
    record = instance_of(request, access, study, series, instance)
    return _frames(request, access, record, range(1, max(1, record.number_of_frames) + 1), wishes, whole=True)


@router.get(
    f"{INSTANCE}/frames/{{frames}}/rendered", responses=_PICTURES, response_class=Response, openapi_extra=RENDERED
)
def frames_rendered(
    request: Request,
    access: Reader,
    study: StudyUid,
    series: SeriesUid,
    instance: InstanceUid,
    frames: FrameList,
) -> Response:
    """Pictures of frames: of one as it is, of several in parts or as an animation."""
    wishes = wishes_of(request)
    record = instance_of(request, access, study, series, instance)
    return _frames(request, access, record, [int(number) for number in frames.split(",")], wishes)


@router.get(f"{STUDY}/thumbnail", responses=_THUMBNAILS, response_class=Response, openapi_extra=THUMBNAIL)
def study_thumbnail(request: Request, access: Reader, study: StudyUid) -> Response:
    """A small picture of a study: the middle frame of its middle instance."""
    viewport = size_of(request)
    return _thumbnail(request, access, records_of(request, access, study), viewport)


@router.get(f"{SERIES}/thumbnail", responses=_THUMBNAILS, response_class=Response, openapi_extra=THUMBNAIL)
def series_thumbnail(
    request: Request,
    access: Reader,
    study: StudyUid,
    series: SeriesUid,
) -> Response:
    """A small picture of a series."""
    viewport = size_of(request)
    return _thumbnail(request, access, records_of(request, access, study, series), viewport)


@router.get(f"{INSTANCE}/thumbnail", responses=_THUMBNAILS, response_class=Response, openapi_extra=THUMBNAIL)
def instance_thumbnail(
    request: Request,
    access: Reader,
    study: StudyUid,
    series: SeriesUid,
    instance: InstanceUid,
) -> Response:
    """A small picture of an instance."""
    viewport = size_of(request)
    return _thumbnail(request, access, records_of(request, access, study, series, instance), viewport)


@router.get(
    f"{INSTANCE}/frames/{{frames}}/thumbnail", responses=_THUMBNAILS, response_class=Response, openapi_extra=THUMBNAIL
)
def frames_thumbnail(
    request: Request,
    access: Reader,
    study: StudyUid,
    series: SeriesUid,
    instance: InstanceUid,
    frames: FrameList,
) -> Response:
    """A small picture of the middle one of these frames."""
    numbers = [int(number) for number in frames.split(",")]
    viewport = size_of(request)
    records = records_of(request, access, study, series, instance)
    return _thumbnail(request, access, records, viewport, numbers[(len(numbers) - 1) // 2])


def _chosen(request: Request, forms: Sequence[Form], hint: str = "") -> Form:
    form, _ = next(choices(accept_of(request), forms), (None, None))
    if form is None:
        kinds = [f'multipart/related; type="{form.type}"' if form.multipart else form.type for form in forms]
        raise NothingAcceptable(f"{hint}it comes as {', '.join(kinds)}", kinds)
    return form


def _headers(etag: str) -> dict[str, str]:
    return {"ETag": etag, "Vary": "Accept", "Cache-Control": "private, no-cache"}


def _frames(
    request: Request,
    access: Access,
    record: ImageRecord,
    frames: Sequence[int],
    wishes: Wishes,
    *,
    whole: bool = False,
) -> Response:
    """Pictures of frames; of a whole instance a single JPEG or PNG shows the first."""
    services: Services = request.app.state.services
    if len(frames) == 1 or whole:
        form = _chosen(request, (*_SINGLE, *_PARTS))
    else:
        form = _chosen(request, (*_PARTS, Form(GIF)), "of several frames ")
    etag = picture_etag([record], wishes, form, list(frames))
    headers = _headers(f"W/{etag}" if form.multipart else etag)
    access.note("read.rendered", record=record)
    if not_modified(request, etag):
        return Response(status_code=304, headers=headers)
    look = wishes.look(form.type, frames[0])
    with _showable():
        if form.multipart:
            pictures = services.rendered.pictures(record, look, frames)
            base = f"{address(root_of(request), record)}/frames/"
            parts = (_part(form.type, data, f"{base}{n}/rendered") for n, data in zip(frames, pictures, strict=True))
            return multipart_response(parts, form.type, headers=headers)
        if form.type == GIF and len(frames) > 1:
            return Streamed(services.rendered.animation(record, look, frames), headers=headers, media_type=GIF)
        return Response(services.rendered.picture(record, look), headers=headers, media_type=form.type)


def _many(request: Request, access: Access, records: Sequence[ImageRecord], wishes: Wishes) -> Response:
    services: Services = request.app.state.services
    shown = [record for record in records if record.number_of_frames]
    if not shown:
        raise _nothing_to_show()
    forms = _PARTS if len(shown) > 1 else (*_SINGLE, *_PARTS)
    form = _chosen(request, forms, "a picture of an instance comes alone by its own address; of several instances ")
    etag = picture_etag(records, wishes, form)
    status, headers = left_out(len(records) - len(shown), len(records))
    headers |= _headers(f"W/{etag}" if form.multipart else etag)
    noted(access, "read.rendered", shown)
    if not_modified(request, etag):
        return Response(status_code=304, headers=headers)
    if not form.multipart:
        look = wishes.look(form.type, _middle(shown[0]))
        with _showable():
            return Response(services.rendered.picture(shown[0], look), headers=headers, media_type=form.type)
    parts = _representatives(services, shown, wishes, form.type, root_of(request))
    first = next(parts, None)
    if first is None:
        raise _nothing_to_show()
    return multipart_response(chain((first,), parts), form.type, status=status, headers=headers)


def _representatives(
    services: Services, records: Sequence[ImageRecord], wishes: Wishes, media_type: str, root: str
) -> Iterator[BodyPart]:
    """A picture of each instance; one whose pixels turn out to be undecodable has none (Content-Location tells)."""
    for record in records:
        frame = _middle(record)
        try:
            with _showable():
                data = services.rendered.picture(record, wishes.look(media_type, frame))
        except (Rejected, NotAcceptable):
            log.warning("an instance was left out of a rendered answer", image=record.id)
            continue
        yield _part(media_type, data, f"{address(root, record)}/rendered")


def _thumbnail(
    request: Request,
    access: Access,
    records: Sequence[ImageRecord],
    viewport: Viewport | None,
    frame: int | None = None,
) -> Response:
    services: Services = request.app.state.services
    shown = [record for record in records if record.number_of_frames]
    if not shown:
        raise _nothing_to_show()
    form = _chosen(request, _SINGLE)
    middle = len(shown) // 2
    tried = sorted(range(len(shown)), key=lambda place: abs(place - middle))[:_TRIED]
    etag = picture_etag([shown[place] for place in tried], form, viewport, frame)
    headers = _headers(etag)
    noted(access, "read.rendered", [shown[tried[0]]])
    if not_modified(request, etag):
        return Response(status_code=304, headers=headers)
    for place in tried[:-1]:
        with suppress(Rejected):
            data = services.rendered.thumbnail(shown[place], form.type, viewport, frame)
            return Response(data, headers=headers, media_type=form.type)
    with _showable():
        data = services.rendered.thumbnail(shown[tried[-1]], form.type, viewport, frame)
    return Response(data, headers=headers, media_type=form.type)


@contextmanager
def _showable() -> Iterator[None]:
    """What has no pixels to show is in no acceptable form (406), unlike pixels that cannot be read (422).

    A region outside of the image is the image's fault as much as the request's: 422, whichever process finds it.
    """
    try:
        yield
    except BadRequest as error:
        raise Unsupported(error.detail, code="viewport-outside") from error
    except Unsupported as error:
        if error.code not in _NO_PICTURE:
            raise
        raise NotAcceptable(error.detail, code=error.code) from error


def _nothing_to_show() -> NotAcceptable:
    return NotAcceptable("no picture can be made of what is here; retrieve it as DICOM", code="no-pixel-data")


def _part(media_type: str, data: bytes, location: str) -> BodyPart:
    return BodyPart(media_type, (data,), len(data), {"Content-Location": location})


def _middle(record: ImageRecord) -> int:
    return (record.number_of_frames + 1) // 2
