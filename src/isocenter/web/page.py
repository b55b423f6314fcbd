"""The page that people see: the files that Vite built from page/, with a policy under which nothing else runs."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Annotated, Final

from fastapi import APIRouter, Request, Response
from fastapi import Path as InPath

from isocenter.errors import NotFound
from isocenter.web.access import open_to_all
from isocenter.web.sending import not_modified

router = APIRouter(tags=["page"], include_in_schema=False)

FILES: Final = Path(__file__).with_name("page_files")
# Named here, since what an operating system calls them differs from machine to machine.
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".woff2": "font/woff2",
}
_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,150}\Z")
_ABSENT: Final = (
    "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
    "<link rel=icon href='data:,'><title>Isocenter</title><h1>Isocenter</h1>"
    "<p>The server runs; its page was not built. In a checkout, with Node.js 20 or later: <code>make page</code>,"
    " then load this again. Wheels hold it already."
    "<p><a href=/docs>Every route</a> works without it.</html>"
)


def _policy(connects: tuple[str, ...]) -> dict[str, str]:
    """Headers of the page. `connects` are the origins besides our own that parts of uploads are sent to."""
    rules = (
        "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data: blob:",
        " ".join(("connect-src 'self'", *connects)), "worker-src 'self' blob:", "font-src 'self'",
        "manifest-src 'self'", "base-uri 'none'", "form-action 'self'", "frame-ancestors 'none'",
    )  # fmt: skip
    return {
        "Content-Security-Policy": "; ".join(rules),
        "Referrer-Policy": "no-referrer",
        "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
        "X-Content-Type-Options": "nosniff",
    }


@router.get("/", dependencies=[open_to_all()])
def index(request: Request) -> Response:
    """The page, asked for anew each time; what it loads has its content in its name."""
    path = FILES / "index.html"
    content = path.read_bytes() if path.is_file() else _ABSENT.encode()
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {**_policy(request.app.state.page_connects), "Cache-Control": "no-cache", "ETag": etag}
    if not_modified(request, etag):
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=_TYPES[".html"])


@router.get("/assets/{name}", dependencies=[open_to_all()])
def asset(request: Request, name: Annotated[str, InPath(max_length=160)]) -> Response:
    """One of its files; the name changes with the content."""
    return _sent(request, FILES / "assets", name, "public, max-age=31536000, immutable")


@router.get("/licences.txt", dependencies=[open_to_all()])
def licences(request: Request) -> Response:
    """The licences of what the page is built from."""
    return _sent(request, FILES, "licences.txt", "no-cache")


def _sent(request: Request, folder: Path, name: str, caching: str) -> Response:
    """A file of the page, compressed where the build left it so and the caller takes it."""
    path = folder / name
    media_type = _TYPES.get(path.suffix)
    if media_type is None or _NAME.match(name) is None or not path.is_file():
        raise NotFound("the page has no such file")
    headers = {"Cache-Control": caching, "Vary": "Accept-Encoding", "X-Content-Type-Options": "nosniff"}
    packed = path.with_name(f"{name}.gz")
    if "gzip" in request.headers.get("accept-encoding", "") and packed.is_file():
        path = packed
        headers["Content-Encoding"] = "gzip"
    return Response(path.read_bytes(), headers=headers, media_type=media_type)
