"""What the page's viewer asks for: manifests of series and images, raw frames, headers with names."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, Field

from isocenter.records import ImageQuery
from isocenter.web.access import Reader
from isocenter.web.auth import Scope
from isocenter.web.dicomweb.resources import SeriesUid, StudyUid, noted
from isocenter.web.errors import problems
from isocenter.web.files import FileId
from isocenter.web.sending import json_response, not_modified
from isocenter.web.services import Services

router = APIRouter(tags=["viewing"])

StoreInPath = Annotated[str, Path(max_length=64, description="Name of the archive.")]
FrameInPath = Annotated[int, Path(ge=1, le=2**31 - 1, description="Which frame, counted from 1.")]
_FRESH = {"Cache-Control": "private, no-cache"}
# The bytes of an image never change under its id; who may see them can, so nobody else's answer is taken for it.
_LASTING = {"Cache-Control": "private, max-age=600, immutable", "Vary": "Authorization"}
_VALUES: dict[int | str, dict[str, Any]] = {
    200: {"description": "Values, row by row, little endian", "content": {"application/octet-stream": {}}},
    304: {"description": "Not modified"},
    **problems(406, 413, 415, 422),
}


class StoreView(BaseModel):
    name: str
    identified: bool = Field(description="Whether it holds identity.")
    scopes: list[str] = Field(description="What the caller may do there.")


class Stores(BaseModel):
    """The stores that the caller may read, the first one that addresses without a store speak of first."""

    stores: list[StoreView]


class Stack(BaseModel):
    """Frames that are scrolled through as one; `frames` are in the order to show them in."""

    rows: int
    columns: int
    form: str = Field(description="Of values: u8, u16, i16, f32, or rgb8 for colour interleaved by pixel.")
    frames: list[dict[str, Any]] = Field(description="Image, frame, slope, intercept, windows, spacing, position.")


class LeftOut(BaseModel):
    image: str
    code: str
    detail: str


class Manifest(BaseModel):
    """All that a viewer has to know before the first frame."""

    kind: str = Field(description="dicom, nifti, jpeg, png or gif.")
    store: str
    told: dict[str, str] = Field(description="Attributes to show beside the image.")
    stacks: list[Stack] = Field(description="The largest first; a series of several shapes has several.")
    volume: dict[str, Any] | None = Field(None, description="Of NIfTI: sides, spacing and form of its voxels.")
    leftOut: list[LeftOut] = Field(description="What of the series cannot be shown, and why.")  # noqa: N815 - JSON


class Header(BaseModel):
    """Attributes in order; sequences have `items`, bulk values `bytes`, all others `value`."""

    elements: list[dict[str, Any]]
    leftOut: int = Field(description="Elements and items beyond what is given at once.")  # noqa: N815 - JSON


@router.get("/viewing/stores", response_model=Stores, responses=problems())
def stores(request: Request, access: Reader) -> Response:
    """The stores that the caller may read, and what else they may do there."""
    services: Services = request.app.state.services
    found = [
        {
            "name": name,
            "identified": name in services.policy.identified,
            "scopes": [str(scope) for scope in Scope if access.principal.may(scope, name)],
        }
        for name in access.stores
    ]
    access.note("search")
    return json_response({"stores": found}, headers=_FRESH)


@router.get("/viewing/series/{store}/{study}/{series}", response_model=Manifest, responses=problems(422))
def series(request: Request, access: Reader, store: StoreInPath, study: StudyUid, series: SeriesUid) -> Response:
    """Every frame of a series in display order, with what it takes to show it; no pixels are read."""
    services: Services = request.app.state.services
    query = ImageQuery((access.store(store),), study_uid=study, series_uid=series)
    records = services.retrieve.instances(query)
    noted(access, "read.metadata", records)
    etag = f'W/"{services.retrieve.fingerprint(records, "viewing")}"'
    headers = {**_FRESH, "ETag": etag}
    if not_modified(request, etag):
        return Response(status_code=304, headers=headers)
    return json_response(services.viewing.series(records), headers=headers)


@router.get("/viewing/images/{file_id}", response_model=Manifest, responses=problems(415, 422))
def image(request: Request, access: Reader, file_id: FileId) -> Response:
    """The same of one image: a DICOM instance, a NIfTI volume, a picture."""
    services: Services = request.app.state.services
    record = services.retrieve.image(file_id, access.stores)
    access.note("read.metadata", record=record)
    return json_response(services.viewing.image(record), headers=_FRESH)


@router.get("/viewing/images/{file_id}/frames/{frame}", response_class=Response, responses=_VALUES)
def frame(request: Request, access: Reader, file_id: FileId, frame: FrameInPath) -> Response:
    """One frame, decoded: stored values of grey, RGB of colour; all of a volume or picture as its frame 1."""
    services: Services = request.app.state.services
    record = services.retrieve.image(file_id, access.stores)
    access.note("read.frames", record=record)
    etag = f'W/"{record.blob.sha256[:32]}-v{frame}"'
    headers = {**_LASTING, "ETag": etag}
    if not_modified(request, etag):
        return Response(status_code=304, headers=headers)
    data = services.viewing.values(record, frame)
    return Response(data, headers=headers, media_type="application/octet-stream")


@router.get("/viewing/images/{file_id}/header", response_model=Header, responses=problems(422))
def header(request: Request, access: Reader, file_id: FileId) -> Response:
    """Every attribute of an instance with its keyword, sequences nested."""
    services: Services = request.app.state.services
    record = services.retrieve.image(file_id, access.stores)
    access.note("read.metadata", record=record)
    return json_response(services.viewing.header(record), headers=_FRESH)
