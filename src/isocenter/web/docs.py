"""The description of the interface: OpenAPI for programs, and a plain page of it for people."""

from __future__ import annotations

import base64
import copy
import hashlib
import re
from html import escape
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.routing import RouteContext, iter_route_contexts

from isocenter.web.access import open_to_all
from isocenter.web.auth import Anyone, Scope
from isocenter.web.errors import Problem
from isocenter.web.sending import json_response

router = APIRouter(tags=["running"])

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b2733}"
    "code{background:#eef2f5;padding:.1rem .3rem;border-radius:.2rem}"
    "table{border-collapse:collapse;width:100%}"
    "td{border-top:1px solid #d5dde3;padding:.4rem .6rem;vertical-align:top}"
    "td:first-child{width:55%}td:first-child code{background:none;padding:0;overflow-wrap:anywhere}"
    "@media(prefers-color-scheme:dark){body{background:#10161b;color:#dce5ec}code{background:#22303a}"
    "td{border-color:#2c3a45}}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()


def openapi(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document: the schema that all errors follow, and for each operation the scope it takes."""
    known: dict[str, Any] | None = getattr(app.state, "description", None)
    if known is not None:
        return known
    found: dict[str, Any] = copy.deepcopy(app.openapi())
    components = found.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    schemas["Problem"] = Problem.model_json_schema()
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    guarded = not isinstance(app.state.services.authenticator, Anyone)
    if guarded:
        told = "An API key (`isocenter keys new`) or an OIDC access token; each operation names its scope."
        components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer", "description": told}}
    for context in iter_route_contexts(app.routes):
        operations = found["paths"].get(context.path_format, {})
        scope = scope_of(context)
        for method in context.methods or ():
            operation = operations.get(method.lower())
            if operation is not None:
                _corrected(operation, scope if guarded else None)
    app.state.description = found
    return found


def scope_of(context: RouteContext) -> Scope | None:
    """The scope that a route declares; None where it is open to all."""
    guards = [each.call for each in context.dependant.dependencies if hasattr(each.call, "scope")]
    return getattr(guards[0], "scope", None) if guards else None


def _corrected(operation: dict[str, Any], scope: Scope | None) -> None:
    """What FastAPI assumes of every route, replaced by what ours do: parameters that are wrong answer 400."""
    refused = operation["responses"].get("422", {}).get("content", {})
    if "application/json" in refused:
        del operation["responses"]["422"]
    operation["security"] = [] if scope is None else [{"bearer": [str(scope)]}]


@router.get("/openapi.json", include_in_schema=False, dependencies=[open_to_all()])
def description(request: Request) -> Response:
    return json_response(openapi(request.app))


@router.get("/docs", include_in_schema=False, dependencies=[open_to_all()])
def page(request: Request) -> Response:
    """Every route with its sentence, without any script."""
    rows = []
    for path, operations in sorted(openapi(request.app)["paths"].items()):
        if path.startswith("/stores/"):
            continue
        for method, operation in operations.items():
            told = escape(operation.get("description") or operation.get("summary") or "")
            told = re.sub(r"`([^`]+)`", r"<code>\1</code>", told)
            rows.append(f"<tr><td><code>{method.upper()} {escape(path)}</code></td><td>{told}</td></tr>")
    html = (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>Isocenter</title><style>{_STYLE}</style><h1>Isocenter</h1>"
        "<p>Every route, one line each; <a href=/openapi.json>openapi.json</a> has all there is to know. "
        "What is under "
        "<code>/dicomweb</code> is also under <code>/stores/{store}/dicomweb</code> for each archive.</p>"
        f"<table>{''.join(rows)}</table></html>"
    )
    policy = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; frame-ancestors 'none'; base-uri 'none'"
    return Response(html, media_type="text/html; charset=utf-8", headers={"Content-Security-Policy": policy})
