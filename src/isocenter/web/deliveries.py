"""Deliveries: links to images for people without credentials, which expire and can be revoked."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from isocenter.archive.deliver import (
    DEFAULT_SECONDS,
    LEAST_SECONDS,
    MOST_IMAGES,
    MOST_SECONDS,
    PAGE,
    PATH,
    DeadLink,
    Links,
    Terms,
)
from isocenter.archive.store import Caller
from isocenter.errors import Forbidden, NotFound
from isocenter.pipeline.outputs import outputs_of
from isocenter.records import Delivery, ImageQuery, ImageRecord
from isocenter.web.access import Access, open_to_all, requires
from isocenter.web.auth import Scope
from isocenter.web.errors import only_problems, problems
from isocenter.web.sending import content_response, json_response
from isocenter.web.services import Services

router = APIRouter(tags=["deliveries"])

Deliverer = Annotated[Access, requires(Scope.DELIVER)]
DeliveryId = Annotated[str, Path(pattern=r"^[a-z2-7]{26}$", description="A delivery's id.")]
_UID = r"^[0-9.]{1,64}$"


class LinkView(BaseModel):
    """One link."""

    image_id: str | None = Field(description="Internal id; null for the ZIP archive of all.")
    url: str = Field(description="Whoever has it can GET it until it expires: treat it as the image itself.")
    file_name: str
    media_type: str
    size: int = Field(description="Bytes.")
    sha256: str | None = Field(description="Of exactly these bytes; null where they are made on the way out.")


class DeliveryView(BaseModel):
    """A delivery."""

    id: str
    store: str
    images: int
    zip: bool
    created: str
    expires: str
    revoked: str | None
    revocable: bool = Field(description="Whether DELETE stops its links; those of an object store nobody can stop.")


class DeliveryLinksView(DeliveryView):
    """A delivery with up to 1,000 of its links."""

    links: list[LinkView]
    missing: list[str] = Field(description="Images that were asked for and are not there.")
    next: int | None = Field(description="GET /deliveries/{id} with it as `after` has the rest; null at the end.")


class DeliveryPage(BaseModel):
    deliveries: list[DeliveryView]
    next: str | None = Field(description="Give it as `after` for the rest; null at the end.")


class _Terms(BaseModel):
    """How images are given out."""

    model_config = ConfigDict(extra="forbid")

    store: str | None = Field(None, pattern=r"^[a-z0-9-]{1,64}$", description="The default store without it.")
    seconds: int = Field(DEFAULT_SECONDS, ge=LEAST_SECONDS, le=MOST_SECONDS, description="How long the links live.")
    zip: bool = Field(False, description="One link to a ZIP archive of all, a File-set with DICOMDIR (PS3.10).")
    preamble: Literal["zero", "original"] = Field(
        "zero", description="Programs can hide in preambles: zeros go out unless the original is asked for."
    )


class OfImages(_Terms):
    images: list[str] = Field(min_length=1, max_length=MOST_IMAGES, description="Internal ids.")


class OfSubject(_Terms):
    subject_id: str = Field(min_length=1, max_length=256, description="All images of a subject.")


class OfStudy(_Terms):
    study_uid: str = Field(pattern=_UID, description="All images of a study.")
    series_uid: str | None = Field(None, pattern=_UID, description="Of one series of it only.")


class OfJob(_Terms):
    job: str = Field(pattern=r"^[a-z0-9-]{1,64}$", description="What came of a job, as far as it lies in the store.")


DeliveryOf = OfImages | OfSubject | OfStudy | OfJob


@router.post("/deliveries", status_code=201, response_model=DeliveryLinksView, responses=problems(409, 422))
def create(request: Request, access: Deliverer, of: DeliveryOf) -> Response:
    """Give images out by links that need no credentials and end by themselves."""
    services: Services = request.app.state.services
    images = _of_job(services, of) if isinstance(of, OfJob) else None
    store = access.store(images[0].store if images and of.store is None else of.store)
    if store not in _reach(access):
        raise Forbidden(f"delivering from this store takes {Scope.READ} there, and {Scope.IDENTIFIED} for identity")
    terms = Terms(of.seconds, of.zip, of.preamble == "original")
    made, missing = services.deliver.create(store, _images(services, store, of, images), terms, access.caller)
    links = services.deliver.links(made)
    view = _view(made) | _links(request, links) | {"missing": [*missing, *links.missing]}
    return json_response(view, 201, headers={"Location": f"/deliveries/{made.id}"})


@router.get("/deliveries", response_model=DeliveryPage, responses=problems())
def deliveries(
    request: Request,
    access: Deliverer,
    after: Annotated[str | None, Query(max_length=200, description="The `next` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=100, description="Deliveries a page.")] = 20,
) -> Response:
    """The deliveries from stores that the caller may deliver from, newest first; those that are over for a day."""
    services: Services = request.app.state.services
    page = services.deliver.page(_reach(access), after, limit)
    return json_response({"deliveries": [_view(each) for each in page.items], "next": page.next})


@router.get("/deliveries/{id}", response_model=DeliveryLinksView, responses=problems())
def delivery(
    request: Request,
    access: Deliverer,
    id: DeliveryId,
    after: Annotated[int, Query(ge=0, le=2**40, description="The `next` of the page before.")] = 0,
    limit: Annotated[int, Query(ge=1, le=PAGE, description="Links a page.")] = PAGE,
) -> Response:
    """A delivery whose links work, and the links."""
    services: Services = request.app.state.services
    found = services.deliver.get(id, _reach(access))
    links = services.deliver.links(found, after, limit)
    access.note("deliver.show", store=found.store, count=max(1, len(links.items)))
    return json_response(_view(found) | _links(request, links))


@router.delete(
    "/deliveries/{id}",
    status_code=204,
    response_class=Response,
    responses={204: {"description": "Revoked; its links give nothing any more"}, **problems()},
)
def revoke(request: Request, access: Deliverer, id: DeliveryId) -> Response:
    """Revoke a delivery: its links stop at once. Links of an object store (not `revocable`) work to their end."""
    services: Services = request.app.state.services
    services.deliver.revoke(id, _reach(access), access.caller)
    return Response(status_code=204)


@router.get(
    "/delivered/{token:path}",
    response_class=Response,
    responses={
        200: {"description": "The image, or the archive", "content": {"application/dicom": {}, "application/zip": {}}},
        206: {"description": "A range of it", "content": {"application/dicom": {}, "application/zip": {}}},
        304: {"description": "Not modified"},
        **only_problems(404, 416, 503),
    },
    dependencies=[open_to_all()],
)
def delivered(request: Request, token: Annotated[str, Path(description="What a delivery's link ends in.")]) -> Response:
    """What a link gives out. A link that does not work answers 404, whatever the reason."""
    services: Services = request.app.state.services
    trail = services.policy.trail
    try:
        # Not the parameter: a route's pattern passes over a line feed at the end of the path.
        given = services.deliver.fetch(str(request.scope["path"]).removeprefix(PATH))
    except DeadLink as dead:
        store = None if dead.delivery is None else dead.delivery.store
        trail.refuse(_holder(request, dead.delivery).entry("deliver.fetch", "denied", store=store))
        raise
    image = None if given.delivery.zipped else given.images[0].id
    trail.add(
        _holder(request, given.delivery).entry(
            "deliver.fetch", store=given.delivery.store, image=image, count=len(given.images)
        )
    )
    headers = {
        "Content-Disposition": f'attachment; filename="{given.file_name}"',
        "Cache-Control": "private, no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    return content_response(request, given.content, given.media_type, headers)


def _holder(request: Request, delivery: Delivery | None) -> Caller:
    """Whoever holds a link: known by the delivery alone."""
    address = (request.client.host or None) if request.client else None
    actor = "unknown" if delivery is None else f"link:{delivery.id}"
    return Caller(actor, request.scope.get("isocenter.request_id"), address)


def _reach(access: Access) -> tuple[str, ...]:
    """Stores that the caller may deliver from: those he may read himself."""
    readable = access.policy.readable(access.principal)
    return tuple(store for store in access.stores if store in readable)


def _images(services: Services, store: str, of: DeliveryOf, of_job: list[ImageRecord] | None) -> list[str]:
    if of_job is not None:
        return [record.id for record in of_job if record.store == store]
    if isinstance(of, OfImages):
        return of.images
    if isinstance(of, OfSubject):
        return services.deliver.matching(ImageQuery((store,), subject_id=of.subject_id))
    assert isinstance(of, OfStudy)
    return services.deliver.matching(ImageQuery((store,), study_uid=of.study_uid, series_uid=of.series_uid))


def _of_job(services: Services, of: OfJob) -> list[ImageRecord]:
    """What came of a job, whatever store it lies in."""
    job = services.platform.jobs.get(of.job)
    if job is None:
        raise NotFound("none of these images is there", code="no-images")
    found = (services.platform.index.get(id) for id in outputs_of(services.platform, job))
    return [record for record in found if record is not None]


def _view(delivery: Delivery) -> dict[str, Any]:
    return {
        "id": delivery.id, "store": delivery.store, "images": delivery.images, "zip": delivery.zipped,
        "created": delivery.created.isoformat(), "expires": delivery.expires.isoformat(),
        "revoked": None if delivery.revoked is None else delivery.revoked.isoformat(),
        "revocable": not delivery.presigned,
    }  # fmt: skip


def _links(request: Request, links: Links) -> dict[str, Any]:
    base = str(request.base_url).rstrip("/")
    told = [
        {
            "image_id": link.image_id, "url": link.url or f"{base}{link.path}", "file_name": link.file_name,
            "media_type": link.media_type, "size": link.size, "sha256": link.sha256,
        }
        for link in links.items
    ]  # fmt: skip
    return {"links": told, "missing": list(links.missing), "next": links.next}
