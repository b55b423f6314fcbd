"""Processing by URL: an algorithm on one image, wherever it lies."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import anyio
import anyio.to_thread
from fastapi import APIRouter, Header, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from isocenter.errors import NotFound
from isocenter.jobs import Job
from isocenter.pipeline.process import Processed
from isocenter.web.auth import Scope
from isocenter.web.errors import answer, problems
from isocenter.web.jobs import JobId, Processor, job_id
from isocenter.web.sending import json_response
from isocenter.web.services import Services

if TYPE_CHECKING:
    from isocenter.algorithms.registry import Registry

router = APIRouter(tags=["jobs"])

_LOOK = 0.05  # seconds between looks at a job that is waited for; they grow
# What an image was refused for, as a status; any other reason is the image's own.
_STATUS = {
    "no-such-object": 404, "place-not-allowed": 403, "address-not-public": 403, "result-name-taken": 409,
    "conflict": 409, "too-large": 413,
}  # fmt: skip


class ProcessRequest(BaseModel):
    """What is to be done with which image."""

    model_config = ConfigDict(extra="forbid")

    url: str = Field(
        min_length=1,
        max_length=2048,
        description="s3://, gs://, az:// or https:// of a place on the list process_urls, or isocenter:<file_id>.",
    )
    algorithm: str = Field(min_length=1, max_length=64, description="GET /algorithms lists them.")
    parameters: dict[str, Any] = Field(default_factory=dict, description="As the algorithm has them.")


class MadeView(BaseModel):
    image_id: str | None = Field(None, description="Of a result that is kept here.")
    url: str | None = Field(None, description="Of a result that was written beside its source.")
    media_type: str


class ProcessView(BaseModel):
    """What came of it; while it is under way only the job."""

    job: str
    state: str
    algorithm: str | None = None
    version: str | None = None
    image_id: str | None = Field(None, description="Of the first result.")
    url: str | None = Field(None, description="Of the first result.")
    made: list[MadeView] = Field(default_factory=list)
    findings: list[dict[str, Any]] = Field(default_factory=list)


class AlgorithmView(BaseModel):
    name: str
    version: str
    description: str
    takes: list[str] = Field(description="In order of preference.")
    gives: list[str]
    parameters: dict[str, Any] = Field(description="JSON Schema.")


class AlgorithmList(BaseModel):
    algorithms: list[AlgorithmView]


@router.get("/algorithms", response_model=AlgorithmList, responses=problems())
def algorithms(request: Request, access: Processor) -> Response:
    """The algorithms there are, each with its parameters as JSON Schema."""
    services: Services = request.app.state.services
    known = services.process.analysis().known
    return json_response(
        {"algorithms": [_algorithm(known, name) for name in known.names() if known.fault(name) is None]}
    )


@router.post(
    "/process",
    response_model=ProcessView,
    responses={
        202: {"model": ProcessView, "description": "It takes longer; follow the job"},
        **problems(409, 413, 415, 422),
    },
)
async def process(
    request: Request,
    access: Processor,
    what: ProcessRequest,
    idempotency_key: Annotated[
        str | None, Header(min_length=1, max_length=200, description="The same key again is the same job.")
    ] = None,
) -> Response:
    """Run an algorithm on the image at a URL; the result is written beside it, or kept where the image is kept.

    It is a durable job. Where it is over within 25 seconds this answers with what came of it, else with 202.
    """
    services: Services = request.app.state.services
    id = None if idempotency_key is None else job_id(access.principal.actor, "process", idempotency_key)

    def start() -> Job:
        return services.process.start(
            what.url,
            what.algorithm,
            what.parameters,
            access.caller,
            stores=access.stores,
            may_reach_out=access.principal.may(Scope.PROCESS),
            id=id,
        )

    begun = await anyio.to_thread.run_sync(start)
    until, wait = time.monotonic() + services.limits.process_seconds, _LOOK
    job = begun
    while not job.is_final and time.monotonic() < until:
        await anyio.sleep(wait)
        wait = min(wait * 1.2, 0.5)
        job = await anyio.to_thread.run_sync(services.jobs.get, begun.id)
    return await anyio.to_thread.run_sync(_answer, request, services, job)


@router.get("/process/{id}", response_model=ProcessView, responses=problems(409, 413, 415, 422))
def processed(request: Request, access: Processor, id: JobId) -> Response:
    """What came of a processing that took longer: as POST /process answers, 200 also while it is under way."""
    services: Services = request.app.state.services
    job = services.jobs.get(id)
    if job.store not in access.stores:
        raise NotFound("there is no job with this id")
    return _answer(request, services, job, under_way=200)


def _answer(request: Request, services: Services, job: Job, under_way: int = 202) -> Response:
    found = services.process.outcome(job)
    where = {"Location": f"/jobs/{job.id}"}
    if not job.is_final:
        return json_response(_view(found), under_way, headers=where)
    if found.fault is not None:
        retriable = any(fault.retriable for fault in services.jobs.faults(job.id))
        status = 503 if retriable else _STATUS.get(found.fault, 422)
        if retriable:
            where["Retry-After"] = "30"
        detail = f"the image was not processed: {found.fault}; job {job.id} says more"
        return answer(request, status, found.fault, detail, headers=where, job=job.id)
    return json_response(_view(found), headers=where)


def _algorithm(known: Registry, name: str) -> dict[str, Any]:
    found = known.get(name)
    return {
        "name": name,
        "version": found.version,
        "description": found.description,
        "takes": [str(each) for each in found.takes],
        "gives": [str(each) for each in found.gives],
        "parameters": known.schema(name),
    }


def _view(found: Processed) -> dict[str, Any]:
    first = dict(found.made[0]) if found.made else {}
    return {
        "job": found.job.id,
        "state": found.job.state.value,
        "algorithm": found.algorithm,
        "version": found.version,
        "image_id": first.get("image_id"),
        "url": first.get("url"),
        "made": [{"image_id": None, "url": None, **one} for one in found.made],
        "findings": list(found.findings),
    }
