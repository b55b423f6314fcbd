"""Routes called without FastAPI between: they check their path, and take nothing that would be passed over."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Query, Request, Response
from fastapi.exceptions import RequestValidationError

from isocenter.web.access import Reader, requires
from isocenter.web.auth import Scope
from isocenter.web.dicomweb.resources import StudyUid
from isocenter.web.direct import Direct


def route(endpoint: Any) -> Direct:
    router = APIRouter(route_class=Direct)
    router.get("/studies/{study}", response_class=Response)(endpoint)
    (made,) = router.routes
    assert isinstance(made, Direct)
    return made


def asked(made: Direct, study: str) -> Response:
    request = Request({"type": "http", "method": "GET", "headers": [], "path_params": {"study": study, "store": "x"}})
    return asyncio.run(made.get_route_handler()(request))


def test_the_endpoint_gets_what_the_guard_returned_and_the_parts_of_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    def endpoint(request: Request, access: Reader, study: StudyUid) -> Response:
        return Response(f"{access} {study}")

    async def guard(request: Request) -> str:
        return "reader"

    made = route(endpoint)
    made.dependant.dependencies[0].call = guard
    assert asked(made, "1.2.3").body == b"reader 1.2.3"
    for wrong in ("", "1.2\n", "x", "1" * 65, "1.2/3"):
        with pytest.raises(RequestValidationError):
            asked(made, wrong)


def test_who_asks_is_found_out_before_the_path_is_looked_at() -> None:
    def endpoint(request: Request, access: Reader, study: StudyUid) -> Response:
        raise AssertionError("nobody gets here")

    async def guard(request: Request) -> str:
        raise PermissionError

    made = route(endpoint)
    made.dependant.dependencies[0].call = guard
    with pytest.raises(PermissionError):
        asked(made, "not a UID")


def test_an_endpoint_that_takes_more_is_refused_when_it_is_declared() -> None:
    def by_query(request: Request, access: Reader, study: StudyUid, limit: Annotated[int, Query()] = 1) -> Response:
        raise AssertionError

    def two(
        request: Request, access: Reader, other: Annotated[Any, requires(Scope.WRITE)], study: StudyUid
    ) -> Response:
        raise AssertionError

    def unchecked(request: Request, access: Reader, study: str) -> Response:
        raise AssertionError

    for endpoint in (by_query, two, unchecked):
        with pytest.raises((TypeError, ValueError)):
            route(endpoint)
