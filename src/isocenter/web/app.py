"""The ASGI application, put together from its routers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio.to_thread
from fastapi import Depends, FastAPI
from starlette.middleware.cors import CORSMiddleware

from isocenter import __version__
from isocenter.web import (
    admin,
    deidentification,
    deliveries,
    docs,
    errors,
    files,
    gateway,
    jobs,
    page,
    process,
    uploads,
    viewing,
    webhooks,
)
from isocenter.web.dicomweb import (
    bulkdata,
    capabilities,
    delete,
    frames,
    metadata,
    rendered,
    retrieve,
    search,
    store,
    uri,
)
from isocenter.web.dicomweb.resources import named_store
from isocenter.web.head import Head
from isocenter.web.large_answers import LargeAnswers
from isocenter.web.observe import Metrics, Observe, Origins
from isocenter.web.services import Services
from isocenter.web.upload import Gate

_THREADS_BESIDES_UPLOADS = 40


def create_app(
    services: Services,
    metrics: Metrics,
    *,
    hosts: tuple[str, ...] = (),
    cors_origins: tuple[str, ...] = (),
    page_connects: tuple[str, ...] = (),
) -> FastAPI:
    """The application over open services, which it closes at its end.

    `hosts` are the names the server may be called by, empty for any. `page_connects` are the origins of object stores
    that the page sends parts of uploads to.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        threads = services.limits.concurrent_uploads + _THREADS_BESIDES_UPLOADS
        anyio.to_thread.current_default_thread_limiter().total_tokens = threads
        try:
            yield
        finally:
            await anyio.to_thread.run_sync(services.close)

    app = FastAPI(
        title="Isocenter",
        version=__version__,
        summary="A medical-imaging gateway: DICOM, NIfTI and pictures in; found, shown and given back.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        # Traces would carry addresses, and addresses carry UIDs.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.state.metrics = metrics
    app.state.services = services
    app.state.page_connects = page_connects
    app.state.gate = Gate(services.limits.concurrent_uploads)
    app.add_middleware(Head)
    if services.limits.answer_bytes is not None:
        app.add_middleware(LargeAnswers, blobs=services.platform.blobs, most=services.limits.answer_bytes)
    if cors_origins:
        _answer_pages_of(app, cors_origins)
    app.add_middleware(Origins, hosts=hosts, origins=cors_origins)
    app.add_middleware(Observe, metrics=metrics)
    errors.install(app)
    _include_routes(app)
    return app


def _include_routes(app: FastAPI) -> None:
    # Routes are tried in this order for every request, so what is asked most stands first.
    pages = (store, retrieve, frames, metadata, search, rendered, bulkdata, delete, capabilities)
    dicomweb = tuple(page.router for page in pages)
    for part in dicomweb:
        app.include_router(part, prefix="/dicomweb")
    for router in (
        viewing.router,
        files.router,
        gateway.router,
        jobs.router,
        process.router,
        deidentification.router,
        uploads.router,
        deliveries.router,
        webhooks.router,
        admin.router,
        docs.router,
        page.router,
        uri.router,
    ):
        app.include_router(router)
    for part in dicomweb:
        app.include_router(part, prefix="/stores/{store}/dicomweb", dependencies=[Depends(named_store)])
    app.include_router(uri.router, prefix="/stores/{store}", dependencies=[Depends(named_store)])


def _answer_pages_of(app: FastAPI, cors_origins: tuple[str, ...]) -> None:
    """Let pages of these origins ask, and see the headers that answers have."""
    app.add_middleware(
        CORSMiddleware,
        allow_origins=list(cors_origins),
        allow_methods=["GET", "HEAD", "POST", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "Accept", "If-None-Match", "Range", "X-Request-ID"],
        expose_headers=[
            "Accept-Ranges",
            "Content-Range",
            "ETag",
            "Link",
            "Location",
            "Repr-Digest",
            "Warning",
            "X-Total-Count",
            "X-Request-ID",
        ],
    )
