"""System D: images of a subject, in by any encoding and out as JSON or bytes."""

from __future__ import annotations

import base64
import re
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, BeforeValidator, Field

from isocenter.archive.file_names import EXTENSIONS
from isocenter.archive.store import Placement
from isocenter.dicom.matching import MOST_STARS, Pattern
from isocenter.errors import LimitExceeded, NotAcceptable
from isocenter.records import ImageQuery, Kind
from isocenter.web.access import Deleter, Reader, Writer
from isocenter.web.errors import problems
from isocenter.web.negotiation import prefers
from isocenter.web.receiving import IMAGE_BODY, described, kept, receive_one
from isocenter.web.sending import content_response, download_headers, json_response
from isocenter.web.services import Services

router = APIRouter(tags=["gateway"])

_MOST_JSON = 64 << 20  # a larger image is not worth holding as base64; it comes as bytes

# Text without control characters and what turns its direction about, and not blank.
_NO = r"\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069"
_TEXT = rf"^[^{_NO}]*[^{_NO}\s][^{_NO}]*$"
SubjectId = Annotated[str, Query(min_length=1, max_length=256, pattern=_TEXT, description="Whom the image is of.")]
ImageId = Annotated[
    str, Query(min_length=1, max_length=256, pattern=_TEXT, description="Which of the subject's images.")
]


def _with_date(text: object) -> object:
    """RFC 3339 only: left to itself, pydantic takes numbers as seconds since 1970."""
    if isinstance(text, str) and "T" not in text.upper():
        raise ValueError("a moment is written as 2026-11-20T10:00:00Z")
    return text


# In a search, * stands for any characters and ? for one.
_SOUGHT = rf"^([^{_NO}*]*\*){{0,{MOST_STARS}}}[^{_NO}*]*$"
SubjectSought = Annotated[
    str | None, Query(max_length=256, pattern=_SOUGHT, description="Whom images are of; * and ? are wildcards.")
]
MomentSought = Annotated[
    Annotated[AwareDatetime, BeforeValidator(_with_date)] | None,
    Query(description="When it was kept: from this moment on, or before it, as 2026-11-20T10:00:00Z."),
]
ImageSought = Annotated[
    str | None, Query(max_length=256, pattern=_SOUGHT, description="Which images of a subject; * and ? are wildcards.")
]
StoreName = Annotated[str | None, Query(max_length=64, description="The archive; the first one without it.")]


class Image(BaseModel):
    """One kept image."""

    id: str = Field(description="Opaque internal id: the file_id of /dicom-image.")
    store: str
    kind: str = Field(description="dicom, nifti, jpeg, png or gif, told by its content.")
    subject_id: str
    image_id: str
    media_type: str
    size: int = Field(description="In bytes.")
    sha256: str = Field(description="Lower-case hex, taken as it came in.")
    created: str
    number_of_frames: int


class ImageCreated(Image):
    outcome: str
    warnings: list[str] = Field(default_factory=list)


class ImageList(BaseModel):
    """A page of images; follow `next` until it is null."""

    images: list[Image]
    next: str | None = Field(None, description="Give it as `after` for the rest; null at the end.")


class ImageData(BaseModel):
    data: str = Field(description="The image's bytes, base64.")


@router.post(
    "/images",
    status_code=201,
    response_model=ImageCreated,
    responses={
        200: {"model": ImageCreated, "description": "Kept before"},
        **problems(409, 413, 415, 422, 507),
    },
    openapi_extra=IMAGE_BODY,
)
async def create(
    request: Request, access: Writer, subject_id: SubjectId, image_id: ImageId, store: StoreName = None
) -> Response:
    """Keep one image under a subject and an image id: DICOM, NIfTI, JPEG, PNG or GIF, told by its content.

    The body is the bytes themselves, `{"data": "<base64>"}` as application/json, base64 text with
    Content-Transfer-Encoding: base64, or a form with the field `file`.
    """
    placement = Placement(access.store(store), subject_id, image_id)
    receipt = await receive_one(request, access, placement)
    body = {**described(kept(receipt)), "outcome": receipt.outcome, "warnings": list(receipt.warnings)}
    return json_response(body, 200 if receipt.outcome == "duplicate" else 201)


@router.get("/images", response_model=ImageList, responses=problems())
def images(
    request: Request,
    access: Reader,
    subject_id: SubjectSought = None,
    image_id: ImageSought = None,
    kind: Annotated[Kind | None, Query(description="dicom, nifti, jpeg, png or gif.")] = None,
    created_from: MomentSought = None,
    created_before: MomentSought = None,
    store: StoreName = None,
    after: Annotated[str | None, Query(max_length=200, description="The `next` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Images a page.")] = 100,
) -> Response:
    """The images of a subject, or of all that fit, oldest first; an unknown subject has none."""
    services: Services = request.app.state.services
    stores = access.stores if store is None else (access.store(store),)
    subject, subjects = _sought(subject_id)
    image, images_like = _sought(image_id)
    page = services.platform.index.images(
        ImageQuery(
            stores,
            subject,
            image,
            kind=kind,
            after=after,
            limit=limit,
            subject_like=subjects,
            image_like=images_like,
            created_from=created_from,
            created_before=created_before,
        )
    )
    access.note("search", count=max(1, len(page.items)))
    return json_response({"images": [described(record) for record in page.items], "next": page.next})


def _sought(text: str | None) -> tuple[str | None, Pattern | None]:
    """What was asked for, as the exact text or as a pattern."""
    if text is None or not ("*" in text or "?" in text):
        return text, None
    return None, Pattern(re.sub(r"\*+", "*", text))


@router.get(
    "/images/content",
    response_model=ImageData,
    responses={
        200: {
            "description": "JSON with base64, or by Accept the bytes themselves",
            "content": {"application/octet-stream": {}, **{kind: {} for kind in EXTENSIONS}},
        },
        206: {
            "description": "A range of the bytes",
            "content": {"application/octet-stream": {}, **{kind: {} for kind in EXTENSIONS}},
        },
        304: {"description": "Not modified"},
        **problems(406, 413, 416),
    },
)
def content(
    request: Request, access: Reader, subject_id: SubjectId, image_id: ImageId, store: StoreName = None
) -> Response:
    """One image: `{"data": "<base64>"}`, or its bytes where Accept asks for them."""
    services: Services = request.app.state.services
    record = services.retrieve.subject_image(access.store(store), subject_id, image_id)
    access.note("read", record=record)
    offered = ("application/json", record.media_type, "application/octet-stream")
    chosen = prefers(request.headers.get("accept"), offered)
    if chosen is None:
        raise NotAcceptable(f"this image comes as {', '.join(offered)}")
    found = services.retrieve.original(record)
    if chosen != "application/json":
        headers = download_headers(record, EXTENSIONS.get(record.media_type, ""))
        return content_response(request, found, chosen, headers)
    if found.size > _MOST_JSON:
        raise LimitExceeded(
            f"an image over {_MOST_JSON} bytes comes as bytes; send Accept: application/octet-stream",
            code="too-large-for-json",
        )
    data = base64.b64encode(b"".join(found.chunks)).decode("ascii")
    return json_response({"data": data}, headers={"ETag": f'"{found.etag}-json"', "Vary": "Accept"})


@router.delete(
    "/images/content",
    status_code=204,
    response_class=Response,
    responses={
        204: {"description": "Deleted; `isocenter restore` brings it back within the grace time"},
        **problems(),
    },
)
def delete(
    request: Request, access: Deleter, subject_id: SubjectId, image_id: ImageId, store: StoreName = None
) -> Response:
    """Delete one image; its bytes stay restorable for the grace time."""
    services: Services = request.app.state.services
    record = services.retrieve.subject_image(access.store(store), subject_id, image_id)
    services.delete.delete([record], access.caller)
    return Response(status_code=204)
