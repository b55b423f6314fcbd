"""`isocenter serve`: the HTTP server."""

from __future__ import annotations

import logging
import socket
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import structlog
import typer
import uvicorn
from uvicorn.supervisors import Multiprocess

from isocenter.bootstrap.backends import open_backends
from isocenter.bootstrap.serving import application, open_services, prometheus
from isocenter.cli.memory import calm_collector, lean_heap
from isocenter.cli.sample import load_sample, show_sample
from isocenter.errors import Misconfigured, traced
from isocenter.settings import Settings, load

_GRACE_SECONDS = 20


def serve(
    home: Annotated[Path | None, typer.Option(help="Folder that holds everything.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes any that is free.")] = None,
    workers: Annotated[int | None, typer.Option(help="Server processes.")] = None,
    sample: Annotated[bool, typer.Option("--sample", help="Load a small made-up study and show what to try.")] = False,
) -> None:
    """Serve over HTTP until stopped; SIGTERM and Ctrl-C let requests under way end first."""
    settings = load(home=home, host=host, port=port, workers=workers)
    lean_heap()
    configure_logs(settings.log_level)
    listening = _listen(settings)
    address, number = listening.getsockname()[:2]
    if sample:
        receipts = load_sample(settings)
    # Opened before the server begins, so that what is wrong shows here and in words; worker processes open their own.
    if settings.workers == 1:
        app: Callable[[], object] = partial(application, settings, open_services(settings), prometheus())
    else:
        open_backends(settings).close()
        app = partial(serving, settings)
    if sample:
        scheme = "https" if settings.tls_certificate else "http"
        show_sample(settings, f"{scheme}://{address}:{number}", receipts)
    structlog.get_logger().info("listening", host=address, port=number, workers=settings.workers, auth=settings.auth)
    calm_collector()
    config = uvicorn.Config(
        app,
        factory=True,
        http="httptools",
        loop="uvloop",
        lifespan="on",
        workers=settings.workers,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=str(settings.tls_key) if settings.tls_key else None,
        headers=[("Strict-Transport-Security", "max-age=31536000")] if settings.tls_certificate else None,
    )
    if settings.workers > 1:
        Multiprocess(config, [listening]).run()
    else:
        uvicorn.Server(config).run(sockets=[listening])


def serving(settings: Settings) -> object:
    """The application in the process that serves it."""
    lean_heap()
    configure_logs(settings.log_level)
    app = application(settings, open_services(settings), prometheus())
    calm_collector()
    return app


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        # The protocol is named because event loops switch Nagle's delay off only where they see TCP.
        found = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((settings.host, settings.port))
        found.listen(1024)
    except OSError as error:
        raise Misconfigured(
            f"port {settings.port} cannot be listened on (in use, or not allowed); choose another by --port",
            code="port-unusable",
        ) from error
    found.set_inheritable(True)
    return found


def configure_logs(level: str) -> None:
    """JSON lines on standard error, from us and from the libraries; exceptions as types and places, as their messages
    may quote values."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.ExceptionRenderer(lambda found: traced(found[1])),
    ]
    number = getattr(logging, level.upper())
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processor=structlog.processors.JSONRenderer()
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(number, logging.WARNING))
