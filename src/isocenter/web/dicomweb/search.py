"""QIDO-RS (PS3.18 10.6) by UIDs; any other matching key is refused rather than passed over."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response

from isocenter.dicom.attributes import of_level
from isocenter.dicom.dictionary import tag_of
from isocenter.errors import BadRequest, NotAcceptable
from isocenter.records import ImageQuery, ImageRecord, Kind, LevelRecord
from isocenter.web.access import Access, Reader
from isocenter.web.dicomweb.resources import DICOM_JSON, SeriesUid, StudyUid, address, root_of, store_of
from isocenter.web.errors import problems
from isocenter.web.negotiation import prefers
from isocenter.web.sending import json_response
from isocenter.web.services import Services

router = APIRouter(tags=["dicomweb"])

_FOUND: dict[int | str, dict[str, Any]] = {
    200: {"description": "DICOM JSON, a list", "content": {DICOM_JSON: {}, "application/json": {}}},
    **problems(406),
}
Limit = Annotated[int, Query(ge=1, le=1000, description="Results a page; the Link header leads to the next.")]
After = Annotated[str | None, Query(max_length=200, description="Cursor of the next page, from the Link header.")]
StudyKey = Annotated[str | None, Query(alias="StudyInstanceUID", pattern=r"^[0-9.]{1,64}$")]
SeriesKey = Annotated[str | None, Query(alias="SeriesInstanceUID", pattern=r"^[0-9.]{1,64}$")]
InstanceKey = Annotated[
    str | None,
    Query(
        alias="SOPInstanceUID",
        pattern=r"^[0-9.]{1,64}(,[0-9.]{1,64}){0,499}$",
        description="One, or several by comma.",
    ),
]


@router.get("/studies", responses=_FOUND, response_class=Response)
def studies(
    request: Request, access: Reader, study: StudyKey = None, limit: Limit = 100, after: After = None
) -> Response:
    """Studies, all or by StudyInstanceUID."""
    return _levels(request, access, "study", ImageQuery(study_uid=study, limit=limit, after=after))


@router.get("/series", responses=_FOUND, response_class=Response)
def all_series(
    request: Request,
    access: Reader,
    study: StudyKey = None,
    series: SeriesKey = None,
    limit: Limit = 100,
    after: After = None,
) -> Response:
    """Series of all studies."""
    query = ImageQuery(study_uid=study, series_uid=series, limit=limit, after=after)
    return _levels(request, access, "series", query)


@router.get("/studies/{study}/series", responses=_FOUND, response_class=Response)
def series_of_study(
    request: Request,
    access: Reader,
    study: StudyUid,
    series: SeriesKey = None,
    limit: Limit = 100,
    after: After = None,
) -> Response:
    """Series of a study."""
    query = ImageQuery(study_uid=study, series_uid=series, limit=limit, after=after)
    return _levels(request, access, "series", query)


@router.get("/instances", responses=_FOUND, response_class=Response)
def all_instances(
    request: Request,
    access: Reader,
    study: StudyKey = None,
    series: SeriesKey = None,
    instance: InstanceKey = None,
    limit: Limit = 100,
    after: After = None,
) -> Response:
    """Instances of all studies."""
    return _instances(
        request,
        access,
        ImageQuery(None, None, None, study, series, _list(instance), limit=limit, after=after),
    )


@router.get("/studies/{study}/instances", responses=_FOUND, response_class=Response)
def instances_of_study(
    request: Request,
    access: Reader,
    study: StudyUid,
    series: SeriesKey = None,
    instance: InstanceKey = None,
    limit: Limit = 100,
    after: After = None,
) -> Response:
    """Instances of a study."""
    return _instances(
        request,
        access,
        ImageQuery(None, None, None, study, series, _list(instance), limit=limit, after=after),
    )


@router.get("/studies/{study}/series/{series}/instances", responses=_FOUND, response_class=Response)
def instances_of_series(
    request: Request,
    access: Reader,
    study: StudyUid,
    series: SeriesUid,
    instance: InstanceKey = None,
    limit: Limit = 100,
    after: After = None,
) -> Response:
    """Instances of a series."""
    return _instances(
        request,
        access,
        ImageQuery(None, None, None, study, series, _list(instance), limit=limit, after=after),
    )


def _list(uids: str | None) -> tuple[str, ...] | None:
    return None if uids is None else tuple(uids.split(","))


def _levels(request: Request, access: Access, level: str, query: ImageQuery) -> Response:
    services: Services = request.app.state.services
    media_type, store = _begin(request, access)
    page = services.platform.index.levels(level, _in_store(query, store))
    access.note("search", store=store, count=max(1, len(page.items)))
    root = root_of(request)
    body = [_level(found, level, root) for found in page.items]
    return _paged(request, body, page.next, media_type)


def _instances(request: Request, access: Access, query: ImageQuery) -> Response:
    services: Services = request.app.state.services
    media_type, store = _begin(request, access)
    page = services.platform.index.images(_in_store(query, store))
    access.note("search", store=store, count=max(1, len(page.items)))
    found = services.retrieve.metadata_of(page.items)
    root = root_of(request)
    body = [_instance(record, found[record.id].model, root) for record in page.items if record.id in found]
    return _paged(request, body, page.next, media_type)


def _begin(request: Request, access: Access) -> tuple[str, str]:
    """What to answer in, and from which store; BadRequest for a key that is not searched by."""
    known = {"limit", "after", "includefield"}
    uids = {"StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"}
    for name in request.query_params:
        if name in known or name in uids:
            continue
        keyword = "a matching key" if tag_of(name) is None else name
        raise BadRequest(
            f"{keyword} is not searched by yet; StudyInstanceUID, SeriesInstanceUID and SOPInstanceUID are",
            code="unknown-key",
        )
    media_type = prefers(request.headers.get("accept"), (DICOM_JSON, "application/json"))
    if media_type is None:
        raise NotAcceptable(f"search results come as {DICOM_JSON}")
    return media_type, store_of(request, access)


def _in_store(query: ImageQuery, store: str) -> ImageQuery:
    return ImageQuery(
        (store,), study_uid=query.study_uid, series_uid=query.series_uid, sop_instance_uids=query.sop_instance_uids,
        kind=Kind.DICOM, after=query.after, limit=query.limit,
    )  # fmt: skip


def _level(found: LevelRecord, level: str, root: str) -> dict[str, Any]:
    """A study or series with its counts (PS3.18 Tables 10.6.3-3 and 10.6.3-4)."""
    url = f"{root}/studies/{found.study_uid}" + (f"/series/{found.series_uid}" if level == "series" else "")
    model: dict[str, Any] = {**found.attributes, "00081190": {"vr": "UR", "Value": [url]}}
    if level == "study":
        model["00080061"] = {"vr": "CS", "Value": list(found.modalities)} if found.modalities else {"vr": "CS"}
        model["00201206"] = {"vr": "IS", "Value": [found.number_of_series]}
        model["00201208"] = {"vr": "IS", "Value": [found.number_of_instances]}
    else:
        model["0020000D"] = {"vr": "UI", "Value": [found.study_uid]}
        model["00201209"] = {"vr": "IS", "Value": [found.number_of_instances]}
    return dict(sorted(model.items()))


def _instance(record: ImageRecord, model: dict[str, Any], root: str) -> dict[str, Any]:
    url = {"vr": "UR", "Value": [address(root, record)]}
    return dict(sorted({**of_level(model, "instance"), "00081190": url}.items()))


def _paged(request: Request, body: list[dict[str, Any]], cursor: str | None, media_type: str) -> Response:
    """Never cut silently: where there is more, Link leads on and Warning says so (PS3.18 8.3.4.4)."""
    headers: dict[str, str] = {}
    if cursor is not None:
        pairs = [(name, value) for name, value in request.query_params.multi_items() if name != "after"]
        headers["Link"] = f'<{request.url.path}?{urlencode([*pairs, ("after", cursor)])}>; rel="next"'
        headers["Warning"] = '299 isocenter "there are more results; follow the Link header"'
    return json_response(body, media_type=media_type, headers=headers)
