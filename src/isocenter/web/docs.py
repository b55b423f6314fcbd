"""The description of the interface: OpenAPI for programs, and a plain page of it for people."""

from __future__ import annotations

from html import escape
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response

from isocenter.web.auth import open_to_all
from isocenter.web.errors import Problem
from isocenter.web.sending import json_response

router = APIRouter(tags=["running"])

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b2733}"
    "code{background:#eef2f5;padding:.1rem .3rem;border-radius:.2rem}table{border-collapse:collapse;width:100%}"
    "td{border-top:1px solid #d5dde3;padding:.4rem .6rem;vertical-align:top}"
    "@media(prefers-color-scheme:dark){body{background:#10161b;color:#dce5ec}code{background:#22303a}"
    "td{border-color:#2c3a45}}"
)


def openapi(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, with the schema that all errors follow and the ways to authenticate."""
    found: dict[str, Any] = app.openapi()
    components = found.setdefault("components", {})
    components.setdefault("schemas", {})["Problem"] = Problem.model_json_schema()
    components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
    found["security"] = [{"bearer": []}, {}]
    return found


@router.get("/openapi.json", include_in_schema=False, dependencies=[open_to_all()])
def description(request: Request) -> Response:
    return json_response(openapi(request.app))


@router.get("/docs", include_in_schema=False, dependencies=[open_to_all()])
@router.get("/", include_in_schema=False, dependencies=[open_to_all()])
def page(request: Request) -> Response:
    """Every route with its sentence, without any script."""
    rows = []
    for path, operations in sorted(openapi(request.app)["paths"].items()):
        if path.startswith("/stores/"):
            continue
        for method, operation in operations.items():
            told = escape(operation.get("description") or operation.get("summary") or "")
            rows.append(f"<tr><td><code>{method.upper()} {escape(path)}</code></td><td>{told}</td></tr>")
    html = (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>Isocenter</title><style>{_STYLE}</style><h1>Isocenter</h1>"
        "<p>Every route, one line each; <a href=/openapi.json>openapi.json</a> has all there is to know. What is under "
        "<code>/dicomweb</code> is also under <code>/stores/{store}/dicomweb</code> for each archive.</p>"
        f"<table>{''.join(rows)}</table></html>"
    )
    policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
    return Response(html, media_type="text/html; charset=utf-8", headers={"Content-Security-Policy": policy})
