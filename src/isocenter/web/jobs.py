"""Pipelines and the jobs that run them: started, followed, steered."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from dataclasses import asdict
from itertools import islice
from typing import Annotated, Any, Literal

import anyio.to_thread
import orjson
import structlog
from fastapi import APIRouter, Header, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import StreamingResponse

from isocenter.errors import Forbidden, NotFound
from isocenter.jobs import Job, JobState
from isocenter.pipeline.outputs import images_of
from isocenter.pipeline.plan import Plan
from isocenter.records import ImageQuery
from isocenter.web.access import Access, requires
from isocenter.web.auth import Scope
from isocenter.web.errors import problems
from isocenter.web.sending import json_response
from isocenter.web.services import Services

log = structlog.get_logger()
router = APIRouter(tags=["jobs"])

Processor = Annotated[Access, requires(Scope.PROCESS)]
JobId = Annotated[str, Path(pattern=r"^[a-z0-9-]{1,64}$", description="A job's id.")]
PipelineName = Annotated[str, Path(pattern=r"^[a-z0-9-]{1,64}$", description="A pipeline's name.")]
_UID = r"^[0-9.]{1,64}$"
_LOOK = 0.5  # seconds between looks at a job that is followed
_LONGEST = 3600.0  # seconds that a job is followed by one request; the browser asks again by itself
_MOST_FAULTS = 1000


class StepCounts(BaseModel):
    """What one step came to so far, in images."""

    name: str
    done: int
    rejected: int = Field(description="Kept out by their own fault.")
    unavailable: int = Field(description="Kept out by a fault of the surroundings; they may be tried again.")
    findings: int


class JobView(BaseModel):
    """A job and how far it is."""

    id: str
    pipeline: str
    state: JobState
    store: str
    images: int
    finished: int = Field(description="Came through every step, or were kept out by one.")
    rejected: int
    unavailable: int
    findings: int
    images_per_second: float
    seconds_left: float | None
    created: str
    changed: str | None
    priority: int
    attempt: int
    retry_of: str | None
    code: str | None = Field(description="Why it failed as a whole.")
    steps: list[StepCounts]


class JobPage(BaseModel):
    jobs: list[JobView]
    next: str | None = Field(description="Give it as `after` for the rest; null at the end.")


class FaultView(BaseModel):
    image: str = Field(description="Internal id.")
    step: str
    code: str
    retriable: bool


class FaultPage(BaseModel):
    faults: list[FaultView]
    next: int | None = Field(description="Give it as `after` for the rest; null at the end.")


class PlaceView(BaseModel):
    """Where an image lies; its UIDs only for those who may read it."""

    id: str
    store: str | None
    study_uid: str | None
    series_uid: str | None


class JobImage(BaseModel):
    image: PlaceView
    made: list[PlaceView] = Field(description="What the job's steps made of it.")


class JobImages(BaseModel):
    images: list[JobImage]
    next: int | None = Field(description="Give it as `after` for the rest; null at the end.")


class PipelineView(BaseModel):
    name: str
    description: str
    store: str
    steps: list[dict[str, Any]]


class PipelineList(BaseModel):
    pipelines: list[PipelineView]


class _Over(BaseModel):
    """What a pipeline is to run over."""

    model_config = ConfigDict(extra="forbid")

    priority: int = Field(100, ge=1, le=1000, description="Lower goes first.")


class OverImages(_Over):
    images: list[str] = Field(min_length=1, max_length=100_000, description="Internal ids.")


class OverSubject(_Over):
    subject_id: str = Field(min_length=1, max_length=256, description="All images of a subject.")


class OverStudy(_Over):
    study_uid: str = Field(pattern=_UID, description="All images of a study.")
    series_uid: str | None = Field(None, pattern=_UID, description="Of one series of it only.")


class OverAll(_Over):
    all: Literal[True] = Field(description="Every image of the pipeline's store.")


RunOf = OverImages | OverSubject | OverStudy | OverAll


@router.get("/pipelines", response_model=PipelineList, responses=problems())
def pipelines(request: Request, access: Processor) -> Response:
    """The pipelines that the caller may run."""
    services: Services = request.app.state.services
    found = (services.plans.load(name) for name in services.plans.names())
    return json_response({"pipelines": [_pipeline(plan) for plan in found if plan.stores <= set(access.stores)]})


@router.get("/pipelines/{name}", response_model=PipelineView, responses=problems())
def pipeline(request: Request, access: Processor, name: PipelineName) -> Response:
    """One pipeline, its steps with all that they leave to defaults."""
    return json_response(_pipeline(_plan(request, access, name)))


@router.post("/pipelines/{name}/runs", status_code=202, response_model=JobView, responses=problems(409, 422))
def run(
    request: Request,
    access: Processor,
    name: PipelineName,
    over: RunOf,
    idempotency_key: Annotated[
        str | None, Header(min_length=1, max_length=200, description="The same key again is the same job.")
    ] = None,
) -> Response:
    """Start a job. It is kept before this is answered: it will be done whatever happens to this server."""
    services: Services = request.app.state.services
    plan = _plan(request, access, name)
    id = None if idempotency_key is None else job_id(access.principal.actor, plan.name, idempotency_key)
    if isinstance(over, OverImages):
        job = services.jobs.start_with(plan, over.images, access.caller, id=id, priority=over.priority)
    else:
        job = services.jobs.start(plan, _query(plan, over), access.caller, id=id, priority=over.priority)
    log.info("a job begins", job=job.id)  # with the id of this request, which joins them
    return json_response(_view(services, job), 202, headers={"Location": f"/jobs/{job.id}"})


@router.get("/jobs", response_model=JobPage, responses=problems())
def jobs(
    request: Request,
    access: Processor,
    state: Annotated[list[JobState] | None, Query(description="Only those in this state; may be repeated.")] = None,
    after: Annotated[str | None, Query(max_length=200, description="The `next` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=100, description="Jobs a page.")] = 20,
) -> Response:
    """The jobs on stores that the caller may work on, newest first."""
    services: Services = request.app.state.services
    page = services.platform.jobs.jobs(states=tuple(state or ()), stores=access.stores, after=after, limit=limit)
    return json_response({"jobs": [_view(services, job) for job in page.items], "next": page.next})


@router.get("/jobs/{id}", response_model=JobView, responses=problems())
def job(request: Request, access: Processor, id: JobId) -> Response:
    """One job and how far it is."""
    services: Services = request.app.state.services
    return json_response(_view(services, _job(services, access, id)))


@router.get("/jobs/{id}/faults", response_model=FaultPage, responses=problems())
def faults(
    request: Request,
    access: Processor,
    id: JobId,
    after: Annotated[int, Query(ge=0, le=2**40, description="The `next` of the page before.")] = 0,
    limit: Annotated[int, Query(ge=1, le=_MOST_FAULTS, description="Faults a page.")] = 100,
) -> Response:
    """The images that a job kept out, the step that did, and the reason as a code."""
    services: Services = request.app.state.services
    found = list(islice(services.jobs.faults(_job(services, access, id).id), after, after + limit + 1))
    more = after + limit if len(found) > limit else None
    return json_response({"faults": [asdict(fault) for fault in found[:limit]], "next": more})


@router.get("/jobs/{id}/images", response_model=JobImages, responses=problems())
def images(
    request: Request,
    access: Processor,
    id: JobId,
    after: Annotated[int, Query(ge=0, le=2**40, description="The `next` of the page before.")] = 0,
    limit: Annotated[int, Query(ge=1, le=100, description="Images a page.")] = 100,
) -> Response:
    """The images that a job has worked on so far, and what it made of each."""
    services: Services = request.app.state.services
    found = images_of(services.platform, _job(services, access, id))
    readable = access.policy.readable(access.principal)

    def place(image: str) -> dict[str, str | None]:
        record = services.platform.index.get(image)
        if record is None or record.store not in readable:
            return {"id": image, "store": None, "study_uid": None, "series_uid": None}
        return {"id": image, "store": record.store, "study_uid": record.study_uid, "series_uid": record.series_uid}

    page = list(islice(found.items(), after, after + limit))
    told = [{"image": place(image), "made": [place(each) for each in made]} for image, made in page]
    more = after + limit if len(found) > after + limit else None
    return json_response({"images": told, "next": more})


@router.get(
    "/jobs/{id}/results",
    response_model=dict[str, Any],
    responses=problems(),
)
def results(
    request: Request,
    access: Processor,
    id: JobId,
    image: Annotated[list[str], Query(max_length=100, description="Internal ids; may be repeated.")],
) -> Response:
    """What a job's steps said of some images: validation reports, findings, evidence of de-identification."""
    services: Services = request.app.state.services
    found = services.platform.results.of_job(_job(services, access, id).id, images=image)
    access.note("read", count=max(1, len(found)))
    told = [
        {"image": one.image, "step": one.step, "kind": one.kind, "said": orjson.loads(one.document)} for one in found
    ]
    return json_response({"results": told})


@router.get(
    "/jobs/{id}/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}, "description": "Server-sent events"}, **problems()},
)
async def events(request: Request, access: Processor, id: JobId) -> Response:
    """How far a job is, as server-sent events: one `progress` at each change, the last one named `end`."""
    services: Services = request.app.state.services
    await anyio.to_thread.run_sync(_job, services, access, id)
    return StreamingResponse(
        _followed(services, id, request), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
    )


async def _followed(services: Services, id: str, request: Request) -> AsyncIterator[bytes]:
    told, waited = b"", 0.0
    while waited < _LONGEST:
        far = await anyio.to_thread.run_sync(services.jobs.progress, id)
        view = orjson.dumps(far.as_json())
        if far.job.is_final:
            yield b"event: end\ndata: %s\n\n" % view
            return
        if (counted := orjson.dumps([far.finished, far.job.state.value, far.findings])) != told:
            told = counted
            yield b"event: progress\ndata: %s\n\n" % view
        elif waited % 15 < _LOOK:
            yield b": still there\n\n"
        if await request.is_disconnected():
            return
        await asyncio.sleep(_LOOK)
        waited += _LOOK


@router.post("/jobs/{id}/cancel", response_model=JobView, responses=problems(409))
def cancel(request: Request, access: Processor, id: JobId) -> Response:
    """End a job; what was done stays done."""
    services: Services = request.app.state.services
    return json_response(_view(services, services.jobs.cancel(_job(services, access, id).id, access.caller)))


@router.post("/jobs/{id}/pause", response_model=JobView, responses=problems(409))
def pause(request: Request, access: Processor, id: JobId) -> Response:
    """Let a job begin nothing more until it is resumed."""
    services: Services = request.app.state.services
    return json_response(_view(services, services.jobs.pause(_job(services, access, id).id, access.caller)))


@router.post("/jobs/{id}/resume", response_model=JobView, responses=problems(409))
def resume(request: Request, access: Processor, id: JobId) -> Response:
    """Go on with a paused job."""
    services: Services = request.app.state.services
    return json_response(_view(services, services.jobs.resume(_job(services, access, id).id, access.caller)))


@router.post("/jobs/{id}/retry", status_code=202, response_model=JobView, responses=problems(409))
def retry(
    request: Request,
    access: Processor,
    id: JobId,
    retriable_only: Annotated[bool, Query(description="Only what the surroundings failed.")] = False,
) -> Response:
    """Run a job's pipeline again, as a new job, over the images that were kept out and no others."""
    services: Services = request.app.state.services
    before = _job(services, access, id)
    again = services.jobs.retry(before.id, access.caller, retriable_only=retriable_only)
    return json_response(_view(services, again), 202, headers={"Location": f"/jobs/{again.id}"})


def _query(plan: Plan, over: OverSubject | OverStudy | OverAll) -> ImageQuery:
    stores = (plan.store,)
    if isinstance(over, OverSubject):
        return ImageQuery(stores, subject_id=over.subject_id)
    if isinstance(over, OverStudy):
        return ImageQuery(stores, study_uid=over.study_uid, series_uid=over.series_uid)
    return ImageQuery(stores)


def _plan(request: Request, access: Access, name: str) -> Plan:
    services: Services = request.app.state.services
    if name not in services.plans.names() or (plan := services.plans.load(name)).store not in access.stores:
        raise NotFound("there is no pipeline of this name; GET /pipelines lists those there are")
    if not plan.stores <= set(access.stores):
        raise Forbidden("this pipeline writes to a store that the caller may not work on")
    return plan


def _job(services: Services, access: Access, id: str) -> Job:
    """A job on a store that the caller may work on; NotFound also where it is another's."""
    job = services.jobs.get(id)
    if job.store not in access.stores:
        raise NotFound("there is no job with this id")
    return job


def _view(services: Services, job: Job) -> dict[str, Any]:
    return services.jobs.progress(job.id).as_json()


def _pipeline(plan: Plan) -> dict[str, Any]:
    told = plan.model_dump(mode="json", by_alias=True)
    return {name: told[name] for name in ("name", "description", "store", "steps")}


def job_id(actor: str, pipeline: str, key: str) -> str:
    """The job that this caller means by this key."""
    digest = hashlib.sha256("\0".join((actor, pipeline, key)).encode("utf-8", "surrogatepass")).digest()
    return base64.b32encode(digest)[:26].decode("ascii").lower()
