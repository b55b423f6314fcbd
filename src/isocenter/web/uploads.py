"""Upload sessions over the wire: a manifest in, signed addresses out, parts to them, receipts at the end."""

from __future__ import annotations

from typing import Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from isocenter.errors import BadRequest, Forbidden, NotFound, UnsupportedMediaType
from isocenter.pipeline.plan import Plan
from isocenter.pipeline.uploads import MOST_FILES, PART, Announced, Arriving, Completed, Session
from isocenter.web.access import Access, Writer, open_to_all
from isocenter.web.auth import Scope
from isocenter.web.errors import only_problems, problems
from isocenter.web.multipart import media_type
from isocenter.web.sending import json_response
from isocenter.web.services import Services
from isocenter.web.upload import Gate, pump

router = APIRouter(tags=["uploads"])

UploadId = Annotated[str, Path(pattern=r"^[a-z0-9-]{1,64}$", description="An upload's id.")]
_NO_CONTROL = r"^[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]*$"


class FileAnnounced(BaseModel):
    """One file that is to come."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(
        min_length=1, max_length=1024, pattern=_NO_CONTROL, description="Yours; it comes back in receipts."
    )
    size: int = Field(ge=1, le=1 << 40, description="In bytes.")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="Lower-case hex, over the whole file.")
    media_type: str | None = Field(
        None, max_length=100, pattern=r"^[a-z]+/[a-z0-9.+-]+$", description="If given, parts must come with it."
    )
    subject_id: str | None = Field(None, min_length=1, max_length=256, pattern=_NO_CONTROL)
    image_id: str | None = Field(None, min_length=1, max_length=256, pattern=_NO_CONTROL)


class NewUpload(BaseModel):
    """What is to come, and what is to be done with it."""

    model_config = ConfigDict(extra="forbid")

    files: list[FileAnnounced] = Field(min_length=1, max_length=MOST_FILES)
    store: str | None = Field(None, max_length=64, description="The archive; the first one without it.")
    pipeline: str | None = Field(
        None, pattern=r"^[a-z0-9-]{1,64}$", description="Run over what was taken in; it has to begin at that store."
    )
    seconds: int = Field(900, ge=60, le=86_400, description="How long parts are taken.")


class PartView(BaseModel):
    part: int
    offset: int
    size: int
    received: bool
    url: str | None = Field(description="PUT the bytes here; null once they are here.")
    headers: dict[str, str] = Field(description="Send these with the bytes; the address takes them no other way.")


class FileView(BaseModel):
    file: int
    name: str
    parts: list[PartView]


class UploadView(BaseModel):
    id: str
    expires: str
    store: str
    pipeline: str | None
    complete_url: str = Field(description="POST here when all parts were sent.")
    files: list[FileView]


class ReceiptView(BaseModel):
    file: int
    name: str
    outcome: str = Field(description="stored, duplicate, replaced, rejected or failed.")
    image_id: str | None
    code: str | None
    detail: str | None
    warnings: list[str]


class CompletedView(BaseModel):
    id: str
    receipts: list[ReceiptView]
    job: str | None = Field(description="The pipeline's job; GET /jobs/{id} follows it.")


class PartReceived(BaseModel):
    received: int = Field(description="Bytes of this part, durable.")


@router.post("/uploads", status_code=201, response_model=UploadView, responses=problems(422))
def begin(request: Request, access: Writer, new: NewUpload) -> Response:
    """Open a session: every part of every file gets an address of its own, good for that part and time alone."""
    services: Services = request.app.state.services
    store = access.store(new.store)
    if new.pipeline is not None:
        _plan(services, access, new.pipeline, store)
    files = [Announced(**file.model_dump()) for file in new.files]
    session = services.uploads.begin(files, store, new.pipeline, access.caller, new.seconds)
    return json_response(_view(request, services, session), 201, headers={"Location": f"/uploads/{session.id}"})


@router.get("/uploads/{id}", response_model=UploadView, responses=problems())
def session(request: Request, access: Writer, id: UploadId) -> Response:
    """What has come and what has not: send the parts that have an address, and nothing twice."""
    services: Services = request.app.state.services
    return json_response(_view(request, services, _session(services, access, id)))


@router.put(
    "/uploaded/{token}",
    response_model=PartReceived,
    responses=only_problems(400, 404, 409, 413, 415, 422, 429, 503, 507),
    dependencies=[open_to_all()],
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def part(
    request: Request, token: Annotated[str, Path(max_length=300, description="From POST /uploads.")]
) -> Response:
    """Take one part. The address is the permission; size, type and, of a file in one part, SHA-256 have to be right."""
    services: Services = request.app.state.services
    gate: Gate = request.app.state.gate
    with gate:
        arriving = await anyio.to_thread.run_sync(services.uploads.arriving, token)
        try:
            _require_form(request, arriving)
            last = await pump(request, services, arriving.write)
            await anyio.to_thread.run_sync(_ended, arriving, last)
        except BaseException:  # whatever it was, a sender that went away too: nothing half is left
            arriving.abort()
            raise
    return json_response({"received": arriving.size})


def _require_form(request: Request, arriving: Arriving) -> None:
    stated = request.headers.get("content-length", "")
    if stated != str(arriving.size):
        raise BadRequest(f"this part has {arriving.size} bytes; Content-Length has to say so", code="wrong-size")
    kind, _ = media_type(request.headers.get("content-type"))
    if arriving.media_type is not None and kind != arriving.media_type:
        raise UnsupportedMediaType("the Content-Type is not the one that was announced")


def _ended(arriving: Arriving, last: bytes) -> None:
    if last:
        arriving.write(last)
    arriving.finish()


@router.post("/uploads/{id}/complete", response_model=CompletedView, responses=problems(409, 422))
def complete(request: Request, access: Writer, id: UploadId) -> Response:
    """Check every file against its SHA-256, take in what is an image, begin the pipeline; again, it answers alike."""
    services: Services = request.app.state.services
    found = _session(services, access, id)
    plan = None if found.pipeline is None else _plan(services, access, found.pipeline, found.store)
    done = services.uploads.complete(found, plan, access.caller)
    return json_response(_completed(found, done))


@router.delete(
    "/uploads/{id}",
    status_code=204,
    response_class=Response,
    responses={204: {"description": "Given up; what had come is gone"}, **problems(409)},
)
def abandon(request: Request, access: Writer, id: UploadId) -> Response:
    """Give a session up."""
    services: Services = request.app.state.services
    services.uploads.abandon(_session(services, access, id))
    return Response(status_code=204)


def _session(services: Services, access: Access, id: str) -> Session:
    """A session of the caller's own; NotFound also where it is another's."""
    found = services.uploads.session(id)
    if found.store not in access.stores or found.actor != access.caller.actor:
        raise NotFound("there is no upload with this id, or its time is over", code="no-such-upload")
    return found


def _plan(services: Services, access: Access, name: str, store: str) -> Plan:
    if name not in services.plans.names() or (plan := services.plans.load(name)).store != store:
        raise NotFound(f"there is no pipeline of this name that begins at the store {store}", code="no-such-pipeline")
    if not all(access.principal.may(Scope.PROCESS, each) for each in plan.stores):
        raise Forbidden("this pipeline takes the scope process for every store that it works on")
    return plan


def _view(request: Request, services: Services, session: Session) -> dict[str, Any]:
    here = services.uploads.received(session)
    done = services.uploads.completed(session) is not None
    base = str(request.base_url).rstrip("/")
    files = []
    for number, file in enumerate(session.files):
        parts = []
        for part in range(file.parts):
            received = done or (number, part) in here
            url, headers = (None, {}) if received else _address(services, base, session, number, part)
            parts.append(
                {
                    "part": part,
                    "offset": part * PART,
                    "size": file.part_size(part),
                    "received": received,
                    "url": url,
                    "headers": headers,
                }
            )
        files.append({"file": number, "name": file.name, "parts": parts})
    return {
        "id": session.id,
        "expires": session.expires.isoformat(),
        "store": session.store,
        "pipeline": session.pipeline,
        "complete_url": f"{base}/uploads/{session.id}/complete",
        "files": files,
    }


def _address(services: Services, base: str, session: Session, file: int, part: int) -> tuple[str, dict[str, str]]:
    signed = services.uploads.signed_put(session, file, part)
    if signed is not None:
        return signed.url, dict(signed.headers)
    kind = session.files[file].media_type
    headers = {} if kind is None else {"content-type": kind}
    return f"{base}/uploaded/{services.uploads.token(session, file, part)}", headers


def _completed(session: Session, done: Completed) -> dict[str, Any]:
    return {"id": session.id, "receipts": list(done.receipts), "job": done.job}
