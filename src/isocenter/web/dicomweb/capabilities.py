"""Retrieve Capabilities (PS3.18 8.9): what there is under a DICOMweb root as WADL, told by the routes themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from fastapi import APIRouter, Request, Response

from isocenter.web.access import Reader
from isocenter.web.dicomweb.resources import root_of, store_of
from isocenter.web.docs import openapi
from isocenter.web.errors import problems
from isocenter.web.negotiation import Form, NothingAcceptable, accept_of, choices
from isocenter.web.sending import json_response

router = APIRouter(tags=["dicomweb"])

WADL = "application/vnd.sun.wadl+xml"
_FORMS = (Form(WADL), Form("application/json"))
_ROOT = "/dicomweb"
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Resources, their methods, and the media types they come in",
        "content": {WADL: {}, "application/json": {}},
    },
    **problems(406),
}


@router.get("", responses=_ANSWERS, response_class=Response)
@router.options("", include_in_schema=False)
def capabilities(request: Request, access: Reader) -> Response:
    """What this DICOMweb service can do, as WADL or JSON."""
    access.note("read.capabilities", store=store_of(request, access))
    form, _ = next(choices(accept_of(request), _FORMS), (None, None))
    if form is None:
        raise NothingAcceptable(f"capabilities come as {WADL} or application/json", [form.type for form in _FORMS])
    found = {
        path.removeprefix(_ROOT): operations
        for path, operations in openapi(request.app)["paths"].items()
        if path.startswith(f"{_ROOT}/") or path == _ROOT
    }
    if form is _FORMS[1]:
        return json_response({"resources": [_told(path, operations) for path, operations in found.items()]})
    return Response("".join(_wadl(root_of(request), found)), media_type=WADL)


def _told(path: str, operations: Mapping[str, Any]) -> dict[str, Any]:
    methods = [
        {
            "name": method.upper(),
            "accepts": sorted(operation.get("requestBody", {}).get("content", {})),
            "gives": {status: sorted(answer.get("content", {})) for status, answer in operation["responses"].items()},
            "parameters": [each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"],
        }
        for method, operation in operations.items()
    ]
    return {"path": path, "methods": methods}


def _wadl(root: str, found: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """The description as https://www.w3.org/Submission/wadl/ has it."""
    yield '<?xml version="1.0" encoding="UTF-8"?>\n<application xmlns="http://wadl.dev.java.net/2009/02">'
    yield f"<resources base={quoteattr(root)}>"
    for path, operations in found.items():
        yield f"<resource path={quoteattr(path)}>"
        first = next(iter(operations.values()))
        yield from (_parameter(each, "template") for each in first.get("parameters", ()) if each["in"] == "path")
        for method, operation in operations.items():
            yield f"<method name={quoteattr(method.upper())}><doc>{escape(operation.get('description', ''))}</doc>"
            queries = [each for each in operation.get("parameters", ()) if each["in"] == "query"]
            kinds = operation.get("requestBody", {}).get("content", {})
            yield f"<request>{''.join(_parameter(each, 'query') for each in queries)}{_kinds(kinds)}</request>"
            for status, answer in operation["responses"].items():
                yield f"<response status={quoteattr(str(status))}>{_kinds(answer.get('content', {}))}</response>"
            yield "</method>"
        yield "</resource>"
    yield "</resources></application>\n"


def _parameter(each: Mapping[str, Any], style: str) -> str:
    needed = "true" if each.get("required") else "false"
    return f'<param name={quoteattr(each["name"])} style="{style}" required="{needed}"/>'


def _kinds(content: Mapping[str, Any]) -> str:
    return "".join(f"<representation mediaType={quoteattr(kind)}/>" for kind in content)
