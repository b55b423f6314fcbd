"""Health, readiness, metrics and the list of events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

import anyio.to_thread
import orjson
from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.responses import StreamingResponse

from isocenter import __version__
from isocenter.errors import IsocenterError, NotFound
from isocenter.jobs import JobState
from isocenter.records import Event
from isocenter.web.access import Access, open_to_all, requires
from isocenter.web.auth import Scope
from isocenter.web.errors import answer, only_problems, problems
from isocenter.web.observe import Metrics
from isocenter.web.sending import json_response
from isocenter.web.services import Services

router = APIRouter(tags=["running"])

_PAGE = 500
_LOOK = 0.5  # seconds between looks at the feed

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


class StoreTold(BaseModel):
    name: str
    identified: bool = Field(description="Whether it holds identity.")
    instances: int = Field(description="DICOM instances that can be found.")


class System(BaseModel):
    """What an operator looks at first."""

    version: str
    stores: list[StoreTold]
    last_event: int
    jobs: dict[str, int] = Field(description="Jobs under way, by state; counted up to a thousand.")
    disk: dict[str, int] | None = Field(None, description="total and free bytes, where images lie in a folder.")


_UNDER_WAY = (JobState.QUEUED, JobState.RUNNING, JobState.PAUSED)


@router.get("/system", response_model=System, responses=problems())
def system(request: Request, access: Admin) -> Response:
    """Version, stores with what is in them, jobs under way, room on the disk."""
    services: Services = request.app.state.services
    platform, policy = services.platform, services.policy
    jobs = platform.jobs.jobs(states=_UNDER_WAY, limit=1000).items
    told = {
        "version": __version__,
        "stores": [
            {"name": name, "identified": name in policy.identified, "instances": services.searching.total(name)}
            for name in policy.stores
        ],
        "last_event": platform.events.last(),
        "jobs": {state.value: sum(job.state is state for job in jobs) for state in _UNDER_WAY},
        "disk": services.disk(),
    }
    return json_response(told)


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}, **problems()})
def metrics(request: Request, access: Admin) -> Response:
    """Prometheus metrics; labels are route templates and statuses, never values."""
    counted: Metrics = request.app.state.metrics
    page = counted.page()
    if page is None:
        raise NotFound("this server tells its metrics to CloudWatch", code="metrics-elsewhere")
    return Response(page, media_type=counted.media_type)


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
    shown = [_told(event) for event in found if event.store in access.stores]
    return json_response({"events": shown, "last": found[-1].sequence if found else after})


@router.get(
    "/events/stream",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}, "description": "Server-sent events"}, **problems()},
)
async def stream(
    request: Request,
    access: Reading,
    after: Annotated[int, Query(ge=0, le=2**62, description="The last sequence already seen.")] = 0,
    seconds: Annotated[int, Query(ge=0, le=3600, description="How long to go on; a browser asks again itself.")] = 3600,
    last_event_id: Annotated[
        str | None,
        Header(description="As browsers send it; comes before `after`. What is no id of ours is passed over."),
    ] = None,
) -> Response:
    """The change feed as it grows: each event's id is its sequence, so that nothing is missed or told twice."""
    known = last_event_id is not None and last_event_id.isascii() and last_event_id.isdigit()
    begin = min(int(last_event_id[:20]), 2**62) if known and last_event_id is not None else after
    events = _growing(request, access, begin, seconds)
    return StreamingResponse(events, media_type="text/event-stream", headers={"Cache-Control": "no-store"})


async def _growing(request: Request, access: Access, after: int, seconds: int) -> AsyncIterator[bytes]:
    services: Services = request.app.state.services
    waited = 0.0
    while True:
        found = await anyio.to_thread.run_sync(services.platform.events.read, after, _PAGE)
        for event in found:
            after = event.sequence
            if event.store in access.stores:
                yield b"id: %d\nevent: %s\ndata: %s\n\n" % (after, event.type.encode(), orjson.dumps(_told(event)))
        if len(found) == _PAGE:
            continue
        if waited >= seconds or await request.is_disconnected():
            return
        if waited % 15 < _LOOK:
            yield b": still there\n\n"
        await asyncio.sleep(_LOOK)
        waited += _LOOK


def _told(event: Event) -> dict[str, object]:
    return {
        "sequence": event.sequence, "type": event.type, "store": event.store, "image": event.image,
        "at": event.at.isoformat(),
    }  # fmt: skip
