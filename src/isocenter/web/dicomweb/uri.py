"""The URI Service (PS3.18 9, WADO-URI): one instance named by query parameters, as a file or as a picture."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response

from isocenter.errors import BadRequest, NotAcceptable
from isocenter.records import ImageQuery, ImageRecord
from isocenter.render.asked import MOST_WIDTH, Viewport, parse_annotation
from isocenter.web.access import Reader
from isocenter.web.dicomweb.resources import DICOM, store_of
from isocenter.web.dicomweb.retrieve import INSTANCES, file_response
from isocenter.web.errors import problems
from isocenter.web.negotiation import Form, choices
from isocenter.web.pictures import GIF, JPEG, PNG, Wishes, picture_etag
from isocenter.web.sending import not_modified
from isocenter.web.services import Services

router = APIRouter(tags=["dicomweb"])

_KINDS = (JPEG, PNG, GIF)
_ANSWERS: dict[int | str, dict[str, Any]] = {
    **INSTANCES,
    200: {"description": "A picture or a PS3.10 file", "content": {DICOM: {}, **{kind: {} for kind in _KINDS}}},
    206: {"description": "A range of a file", "content": {DICOM: {}}},
    **problems(406, 413, 416, 422),
}
Uid = Annotated[str, Query(pattern=r"^[0-9.]{1,64}$")]
Side = Annotated[int | None, Query(ge=1, le=MOST_WIDTH)]
_REGION = r"^(0(\.[0-9]{1,6})?|1(\.0{1,6})?)(,(0(\.[0-9]{1,6})?|1(\.0{1,6})?)){3}$"


# N803 is off for the parameters: they are spelt as PS3.18 9.1.2 spells them.
@router.get("/wado", responses=_ANSWERS, response_class=Response)
def wado(
    request: Request,
    access: Reader,
    requestType: Annotated[Literal["WADO"], Query(description="Always WADO.")],  # noqa: N803 - PS3.18 names it
    studyUID: Uid,  # noqa: N803
    seriesUID: Uid,  # noqa: N803
    objectUID: Uid,  # noqa: N803
    contentType: Annotated[  # noqa: N803
        str | None, Query(max_length=400, description="application/dicom, image/jpeg, image/png or image/gif.")
    ] = None,
    transferSyntax: Annotated[str | None, Query(pattern=r"^(\*|[0-9.]{1,64})$")] = None,  # noqa: N803 - likewise
    rows: Side = None,
    columns: Side = None,
    region: Annotated[str | None, Query(pattern=_REGION, description="Left, top, right, bottom as parts of 1.")] = None,
    windowCenter: Annotated[float | None, Query(ge=-1e9, le=1e9)] = None,  # noqa: N803 - likewise
    windowWidth: Annotated[float | None, Query(gt=0, le=1e9)] = None,  # noqa: N803 - likewise
    frameNumber: Annotated[int, Query(ge=1, le=2**31 - 1)] = 1,  # noqa: N803
    imageQuality: Annotated[int, Query(ge=1, le=100)] = 90,  # noqa: N803
    annotation: Annotated[
        str | None, Query(pattern="^(patient|technique|patient,technique|technique,patient)$")
    ] = None,
    anonymize: Annotated[str | None, Query(max_length=16)] = None,
) -> Response:
    """An instance as a picture (the default, where it has any) or as a file in the transfer syntax asked for."""
    services: Services = request.app.state.services
    stores = (store_of(request, access),)
    record = services.retrieve.instance(
        ImageQuery(stores, study_uid=studyUID, series_uid=seriesUID, sop_instance_uids=(objectUID,), limit=1)
    )
    if anonymize is not None:
        # Fails closed: nothing that is not de-identified goes out to someone who asked for it to be.
        raise NotAcceptable("this service does not de-identify; retrieve from a de-identified store", code="anonymize")
    if (windowCenter is None) != (windowWidth is None):
        raise BadRequest("windowCenter and windowWidth belong together", code="bad-parameter")
    offered = [Form(kind) for kind in ((*_KINDS, DICOM) if record.number_of_frames else (DICOM, *_KINDS))]
    form, _ = next(choices(contentType, offered), (None, None))
    if form is None:
        raise NotAcceptable(f"instances come as {', '.join((DICOM, *_KINDS))}")
    if form.type == DICOM:
        access.note("read", record=record)
        return file_response(request, services, record, transferSyntax)
    wishes = Wishes(
        viewport=_viewport(services, record, rows, columns, region),
        window=(windowCenter, windowWidth) if windowCenter is not None and windowWidth is not None else None,
        quality=imageQuality,
        annotations=parse_annotation(annotation) if annotation else (),
    )
    access.note("read.rendered", record=record)
    etag = picture_etag([record], wishes, form, [frameNumber])
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    if not_modified(request, etag):
        return Response(status_code=304, headers=headers)
    return Response(
        services.rendered.picture(record, wishes.look(form.type, frameNumber)), headers=headers, media_type=form.type
    )


def _viewport(
    services: Services, record: ImageRecord, rows: int | None, columns: int | None, region: str | None
) -> Viewport | None:
    """The picture's size, and the region in pixels of the source; sides not given do not limit."""
    if rows is None and columns is None and region is None:
        return None
    if region is None:
        return Viewport(columns or MOST_WIDTH, rows or MOST_WIDTH)
    left, top, right, bottom = map(float, region.split(","))
    if not (left < right and top < bottom):
        raise BadRequest("region names left, top, right and bottom, in this order", code="bad-parameter")
    model = services.retrieve.metadata(record).model
    high, wide = (float(next(iter(model.get(tag, {}).get("Value", [])), 0)) for tag in ("00280010", "00280011"))
    width, height = (right - left) * wide, (bottom - top) * high
    if rows is None and columns is None:
        columns, rows = max(1, round(width)), max(1, round(height))
    return Viewport(columns or MOST_WIDTH, rows or MOST_WIDTH, left * wide, top * high, width or None, height or None)
