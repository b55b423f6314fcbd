"""What every function begins with: its settings, its logs, and the platform."""

from __future__ import annotations

import logging
from typing import Any

import structlog

from isocenter.bootstrap.backends import Backends, open_backends
from isocenter.settings import Settings, load


def open_function() -> tuple[Settings, Backends]:
    """Settings from the environment, and from SSM parameters where it names a path; open backends; JSON logs."""
    settings = load()
    if settings.parameters is not None:
        from isocenter.adapters.aws.parameters import read  # asked only where the environment says so

        settings = load(parameters=read(settings.parameters))
    _log(settings.log_level)
    return settings, open_backends(settings)


def _log(level: str) -> None:
    """One JSON object a line on standard output, which is what CloudWatch keeps; no attribute value is in any."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
    )


def joined(context: Any, **more: str | None) -> None:
    """Log lines from here on carry the request's id, and by what it belongs to others (a job, an upload)."""
    structlog.contextvars.clear_contextvars()
    known = {name: value for name, value in more.items() if value is not None}
    structlog.contextvars.bind_contextvars(request_id=getattr(context, "aws_request_id", None), **known)
