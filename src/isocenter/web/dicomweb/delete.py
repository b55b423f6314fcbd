"""Deletion of studies, series and instances by their DICOMweb addresses."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from isocenter.errors import NotFound
from isocenter.records import ImageQuery
from isocenter.web.access import Access, Deleter
from isocenter.web.dicomweb.resources import InstanceUid, SeriesUid, StudyUid, store_of
from isocenter.web.errors import problems
from isocenter.web.services import Services

router = APIRouter(tags=["dicomweb"])

_GONE = {204: {"description": "Deleted; restorable within the grace time"}, **problems()}


@router.delete("/studies/{study}", status_code=204, responses=_GONE, response_class=Response)
def study(request: Request, access: Deleter, study: StudyUid) -> Response:
    """Delete a study."""
    return _delete(request, access, study)


@router.delete("/studies/{study}/series/{series}", status_code=204, responses=_GONE, response_class=Response)
def series(request: Request, access: Deleter, study: StudyUid, series: SeriesUid) -> Response:
    """Delete a series."""
    return _delete(request, access, study, series)


@router.delete(
    "/studies/{study}/series/{series}/instances/{instance}",
    status_code=204,
    responses=_GONE,
    response_class=Response,
)
def instance(request: Request, access: Deleter, study: StudyUid, series: SeriesUid, instance: InstanceUid) -> Response:
    """Delete an instance."""
    return _delete(request, access, study, series, instance)


def _delete(
    request: Request, access: Access, study: str, series: str | None = None, instance: str | None = None
) -> Response:
    services: Services = request.app.state.services
    store = store_of(request, access)
    uids = None if instance is None else (instance,)
    records = services.delete.matching(ImageQuery((store,), None, None, study, series, uids))
    if not records:
        raise NotFound("there is no such study, series or instance")
    services.delete.delete(records, access.caller)
    return Response(status_code=204)
