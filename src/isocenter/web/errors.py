"""One table from our errors to HTTP statuses; every error is answered as problem+json (RFC 9457)."""

from __future__ import annotations

from typing import Any

import orjson
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from isocenter import errors
from isocenter.web.observe import allowed_methods, template_of

log = structlog.get_logger()

# The first class that fits counts, so subclasses stand before their bases.
STATUS: tuple[tuple[type[errors.IsocenterError], int], ...] = (
    (errors.NotAnImage, 415),
    (errors.Conflict, 409),
    (errors.OtherStudy, 409),
    (errors.LimitExceeded, 413),
    (errors.Unsupported, 422),
    (errors.Rejected, 422),
    (errors.Saturated, 429),
    (errors.StorageFull, 507),
    (errors.Unavailable, 503),
    (errors.NotFound, 404),
    (errors.UnknownCursor, 404),
    (errors.NotAcceptable, 406),
    (errors.UnsupportedMediaType, 415),
    (errors.PayloadTooLarge, 413),
    (errors.Unauthenticated, 401),
    (errors.Forbidden, 403),
    (errors.RequestError, 400),
    (errors.Corrupted, 500),
    (errors.Misconfigured, 500),
)
_TITLES = {
    400: "The request cannot be understood",
    401: "Who is asking?",
    403: "Not allowed",
    404: "Not found",
    405: "This address does not know that method",
    406: "Not available in an acceptable form",
    409: "In conflict with what is kept",
    412: "A precondition does not hold",
    413: "Too large",
    415: "Not a kind that is taken here",
    416: "No such range",
    422: "The data cannot be used",
    429: "Too much at once",
    500: "A fault of ours",
    503: "Unavailable for the moment",
    507: "No room left",
}


class Problem(BaseModel):
    """An error as RFC 9457 describes it."""

    type: str = Field("about:blank", description="Always about:blank; `code` tells errors apart.")
    title: str = Field(description="What kind of error it is.")
    status: int = Field(description="The HTTP status again.")
    code: str = Field(description="A stable slug for programs.")
    detail: str = Field(description="What is wrong and what to do, for people. Names keywords, never contents.")
    request_id: str | None = Field(None, description="Name this when you ask for help.")
    available: list[str] | None = Field(None, description="Of 406: the forms that there are.")


def status_of(error: errors.IsocenterError) -> int:
    return next((status for kind, status in STATUS if isinstance(error, kind)), 500)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a guarded route for OpenAPI; 400, 401, 403, 404, 429 and 503 can come from any."""
    return only_problems(*statuses, 400, 401, 403, 404, 429, 503)


def only_problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route for OpenAPI, these alone."""
    schema = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": _TITLES[status], "content": schema} for status in sorted(set(statuses))}


def answer(
    request: Request,
    status: int,
    code: str,
    detail: str,
    *,
    headers: dict[str, str] | None = None,
    **more: Any,
) -> Response:
    """A problem+json response."""
    body = {
        "type": "about:blank",
        "title": _TITLES.get(status, "Error"),
        "status": status,
        "code": code,
        "detail": detail,
        "request_id": request.scope.get("isocenter.request_id"),
        **more,
    }
    return Response(orjson.dumps(body), status, headers, media_type="application/problem+json")


def answer_error(request: Request, error: errors.IsocenterError, **more: Any) -> Response:
    headers: dict[str, str] = {}
    if isinstance(error, errors.Unavailable):
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, errors.Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    return answer(request, status_of(error), error.code, error.detail, headers=headers, **more)


def install(app: FastAPI) -> None:
    """Answer every exception of ours that leaves a route; `Observe` answers those that nobody expected."""

    async def ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, errors.IsocenterError)
        if status_of(error) >= 500:
            log.error("request failed", code=error.code, route=template_of(request.scope))
        access = getattr(request.state, "access", None)
        if access is not None and isinstance(error, errors.NotFound | errors.Forbidden):
            access.refused(error)
        available = getattr(error, "available", None)
        return answer_error(request, error, **({} if available is None else {"available": list(available)}))

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        wrong = [".".join(str(part) for part in e["loc"]) + ": " + _reason(e["type"]) for e in error.errors()[:10]]
        return answer(request, 400, "bad-parameter", "; ".join(wrong) or "a parameter is wrong")

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        detail = _TITLES.get(error.status_code, "Error")
        if error.status_code == 404:
            detail = "nothing is at this address; /docs lists what there is"
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = ", ".join(allowed_methods(request.scope))
        return answer(request, error.status_code, "http", detail, headers=headers)

    app.add_exception_handler(errors.IsocenterError, ours)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)


def _reason(kind: str) -> str:
    """What pydantic calls the fault, in words; its own message would quote the value."""
    known = {"missing": "is missing", "extra_forbidden": "is not known here", "json_invalid": "is not JSON"}
    return known.get(kind, kind.replace("_", " "))
