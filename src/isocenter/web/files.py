"""System E: a DICOM file goes in by a form and comes out whole, as one attribute, or as a PNG."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, Field

from isocenter.archive.file_names import EXTENSIONS
from isocenter.archive.store import Placement
from isocenter.dicom import tag_path
from isocenter.dicom.dictionary import keyword_of
from isocenter.errors import NotAcceptable
from isocenter.records import ImageRecord
from isocenter.render.asked import Look, Viewport, parse_window
from isocenter.web.access import Access, Deleter, Reader, Writer
from isocenter.web.errors import problems
from isocenter.web.negotiation import prefers
from isocenter.web.pictures import ViewportText, WindowText, picture_etag
from isocenter.web.receiving import FILE_BODY, kept, receive_one
from isocenter.web.sending import (
    content_response,
    download_headers,
    json_response,
    not_modified,
)
from isocenter.web.services import Services

router = APIRouter(tags=["files"])

FileId = Annotated[str, Path(description="The id that POST answered with.", max_length=64)]
Frame = Annotated[int, Query(ge=1, le=2**31 - 1, description="Which frame, counted from 1.")]
Width = Annotated[int | None, Query(ge=1, le=8192, description="Width of the picture in pixels.")]


class FileCreated(BaseModel):
    """The answer to a file that is kept."""

    file_id: str = Field(description="Opaque; names the image in every route.")
    outcome: str = Field(description="stored, or duplicate where the same bytes were kept already.")
    warnings: list[str] = Field(default_factory=list, description="What is odd about the file.")


class AttributeValue(BaseModel):
    """One attribute of a Data Set."""

    tag: str
    keyword: str
    vr: str
    value: Any = Field(None, description="The plain value; a list where there are several; null for bulk data.")
    attribute: dict[str, Any] = Field(description="The same in the DICOM JSON model (PS3.18 F.2).")


@router.post(
    "/dicom-image",
    status_code=201,
    responses={
        200: {"model": FileCreated, "description": "Kept before"},
        **problems(409, 413, 415, 422, 507),
    },
    response_model=FileCreated,
    openapi_extra=FILE_BODY,
)
async def create(request: Request, access: Writer) -> Response:
    """Keep one DICOM file, sent as the form field `file`."""
    placement = Placement(access.store(None), dicom_only=True)
    receipt = await receive_one(request, access, placement)
    record = kept(receipt)
    body = {"file_id": record.id, "outcome": receipt.outcome, "warnings": list(receipt.warnings)}
    location = {"Location": f"/dicom-image/{record.id}"}
    return json_response(body, 200 if receipt.outcome == "duplicate" else 201, headers=location)


@router.get(
    "/dicom-image/{file_id}",
    response_class=Response,
    responses={
        200: {
            "description": "The file exactly as it came, or the attribute that `dicom_tag` names",
            "content": {
                "application/dicom": {},
                "application/json": {"schema": AttributeValue.model_json_schema()},
                "text/plain": {},
            },
        },
        206: {"description": "A range of the file", "content": {"application/dicom": {}}},
        304: {"description": "Not modified"},
        **problems(406, 416),
    },
)
def read(
    request: Request,
    access: Reader,
    file_id: FileId,
    dicom_tag: Annotated[
        str | None,
        Query(max_length=500, description="(gggg,eeee), ggggeeee or Keyword; dotted to go through sequences."),
    ] = None,
) -> Response:
    """The file byte for byte; with `dicom_tag` one of its attributes."""
    services: Services = request.app.state.services
    record = services.retrieve.image(file_id, access.stores)
    if dicom_tag is not None:
        return _attribute(request, access, record, dicom_tag)
    access.note("read", record=record)
    content = services.retrieve.original(record)
    headers = download_headers(record, EXTENSIONS.get(record.media_type, ""))
    return content_response(request, content, record.media_type, headers)


def _attribute(request: Request, access: Access, record: ImageRecord, dicom_tag: str) -> Response:
    services: Services = request.app.state.services
    path = tag_path.parse(dicom_tag)
    found = services.retrieve.attribute(record, path)
    access.note("read.attribute", record=record)
    name = f"{path.tag:08X}"
    value = plain_value(found)
    accepted = prefers(request.headers.get("accept"), ("application/json", "application/dicom+json", "text/plain"))
    if accepted is None:
        raise NotAcceptable("an attribute comes as application/json, application/dicom+json or text/plain")
    if accepted == "text/plain":
        parts = value if isinstance(value, list) else [value]
        text = "\\".join("" if part is None else str(part) for part in parts)
        return Response(text, media_type="text/plain; charset=utf-8")
    if accepted == "application/dicom+json":
        return json_response({name: found}, media_type=accepted)
    body = {
        "tag": f"({name[:4]},{name[4:]})",
        "keyword": keyword_of(path.tag),
        "vr": found["vr"],
        "value": value,
        "attribute": {name: found},
    }
    return json_response(body)


def plain_value(attribute: Any) -> Any:
    """The value as people expect it: names as they are written, one value without its list."""
    values = [_plain(value) for value in attribute.get("Value", [])]
    if not values:
        return attribute.get("InlineBinary")
    return values[0] if len(values) == 1 else values


def _plain(value: Any) -> Any:
    if isinstance(value, dict) and value.keys() <= {"Alphabetic", "Ideographic", "Phonetic"}:
        groups = [value.get(group, "") for group in ("Alphabetic", "Ideographic", "Phonetic")]
        return "=".join(groups).rstrip("=")
    return value


@router.get(
    "/dicom-image/{file_id}/png",
    response_class=Response,
    responses={
        200: {"description": "A picture", "content": {"image/png": {}, "image/jpeg": {}}},
        304: {"description": "Not modified"},
        **problems(406, 413, 415, 422),
    },
)
def picture(
    request: Request,
    access: Reader,
    file_id: FileId,
    frame: Frame = 1,
    window: WindowText = None,
    width: Width = None,
    viewport: ViewportText = None,
) -> Response:
    """A PNG (a JPEG where Accept prefers it) of one frame, with the window of the header unless one is given."""
    services: Services = request.app.state.services
    record = services.retrieve.image(file_id, access.stores)
    media_type = prefers(request.headers.get("accept"), ("image/png", "image/jpeg"))
    if media_type is None:
        raise NotAcceptable("pictures come as image/png or image/jpeg")
    limits, function = (None, None) if window is None else parse_window(window)
    look = Look(
        media_type,
        frame,
        limits,
        width,
        window_function=function,
        viewport=None if viewport is None else Viewport.parse(viewport),
    )
    etag = picture_etag([record], look)
    headers = {"ETag": etag, "Vary": "Accept", "Cache-Control": "private, no-cache"}
    if not_modified(request, etag):
        access.note("read.rendered", record=record)
        return Response(status_code=304, headers=headers)
    data = services.rendered.picture(record, look)
    access.note("read.rendered", record=record)
    return Response(data, headers=headers, media_type=media_type)


@router.delete(
    "/dicom-image/{file_id}",
    status_code=204,
    response_class=Response,
    responses={
        204: {"description": "Deleted; `isocenter restore` brings it back within the grace time"},
        **problems(),
    },
)
def delete(request: Request, access: Deleter, file_id: FileId) -> Response:
    """Delete an image; its bytes stay restorable for the grace time."""
    services: Services = request.app.state.services
    record = services.retrieve.image(file_id, access.stores)
    services.delete.delete([record], access.caller)
    return Response(status_code=204)
