"""Health, readiness, metrics and the list of events."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field

from isocenter.errors import IsocenterError
from isocenter.web.access import Access, open_to_all, requires
from isocenter.web.auth import Scope
from isocenter.web.errors import answer, only_problems, problems
from isocenter.web.sending import json_response
from isocenter.web.services import Services

router = APIRouter(tags=["running"])

Admin = Annotated[Access, requires(Scope.ADMIN, server_wide=True)]
Reading = Annotated[Access, requires(Scope.READ)]


class Health(BaseModel):
    status: str = Field(description="ok")


class EventView(BaseModel):
    """One change to what is kept."""

    sequence: int
    type: str
    store: str
    image: str = Field(description="Internal id.")
    at: str


class EventPage(BaseModel):
    events: list[EventView]
    last: int = Field(description="Ask again with after=last.")


@router.get("/health", response_model=Health, dependencies=[open_to_all()])
async def health() -> Response:
    """The process answers."""
    return json_response({"status": "ok"})


@router.get("/ready", response_model=Health, responses=only_problems(503), dependencies=[open_to_all()])
def ready(request: Request) -> Response:
    """The backends answer too."""
    services: Services = request.app.state.services
    try:
        services.platform.events.last()
        next(iter(services.platform.blobs.list("ready-probe/")), None)
    except IsocenterError:
        return answer(
            request,
            503,
            "not-ready",
            "the database or the blob store does not answer",
            headers={"Retry-After": "5"},
        )
    return json_response({"status": "ok"})


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}, **problems()})
def metrics(request: Request, access: Admin) -> Response:
    """Prometheus metrics; labels are route templates and statuses, never values."""
    return Response(generate_latest(request.app.state.metrics.registry), media_type=CONTENT_TYPE_LATEST)


@router.get("/events", response_model=EventPage, responses=problems())
def events(
    request: Request,
    access: Reading,
    after: Annotated[int, Query(ge=0, le=2**62, description="The last sequence already seen.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Response:
    """The change feed of the stores the caller may read, in order and replayable."""
    services: Services = request.app.state.services
    found = services.platform.events.read(after, limit)
    shown = [
        {"sequence": e.sequence, "type": e.type, "store": e.store, "image": e.image, "at": e.at.isoformat()}
        for e in found
        if e.store in access.stores
    ]
    return json_response({"events": shown, "last": found[-1].sequence if found else after})
