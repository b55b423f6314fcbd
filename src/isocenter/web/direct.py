"""Routes that take their path and nothing else: described by FastAPI, their guard and path looked at by hand."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from functools import partial
from inspect import signature
from typing import Any, cast

import anyio.to_thread
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response


class Direct(APIRoute):
    """Calls `endpoint(request, access, <parts of the path>)` in a thread.

    What FastAPI does in general before it calls an endpoint takes longer than most look-ups in the index. Whatever
    else is read from a request is read by the endpoint.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """As FastAPI's: who asks is found out before anything is said of the path."""
        endpoint = self.endpoint
        guard, patterns = _guard(self), _patterns(self)

        async def handler(request: Request) -> Response:
            access = await guard(request)
            given = request.path_params
            path = {name: given[name] for name in patterns}
            wrong = [name for name, text in path.items() if patterns[name].fullmatch(text) is None]
            if wrong:
                raise RequestValidationError(
                    [{"loc": ("path", name), "type": "string_pattern_mismatch"} for name in wrong]
                )
            return await anyio.to_thread.run_sync(partial(endpoint, request, access, **path))

        return handler


def _guard(route: APIRoute) -> Callable[[Request], Coroutine[Any, Any, Any]]:
    """The one dependency there may be, and its place: anything else would be passed over."""
    (found,) = [each for each in route.dependant.dependencies if each.name is not None]
    taken = {"request", "access", *(field.name for field in route.dependant.path_params)}
    if found.name != "access" or taken != set(signature(route.endpoint).parameters):
        raise TypeError(f"{route.path} takes more than a direct route gives")
    return cast("Callable[[Request], Coroutine[Any, Any, Any]]", found.call)  # the guard is a coroutine of the request


def _patterns(route: APIRoute) -> dict[str, re.Pattern[str]]:
    found: dict[str, re.Pattern[str]] = {}
    for field in route.dependant.path_params:
        (pattern,) = [each.pattern for each in field.field_info.metadata if hasattr(each, "pattern")]
        found[field.name] = re.compile(pattern)
    return found
