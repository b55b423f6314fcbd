"""What every function begins with: its settings, its logs, what it counts, and the platform."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from typing import Any

import structlog

from isocenter.adapters.aws.metrics import CloudWatchMetrics
from isocenter.bootstrap.backends import Backends, open_backends
from isocenter.errors import IsocenterError, Unavailable, traced
from isocenter.settings import Settings, load

Handler = Callable[[dict[str, Any], Any], dict[str, Any]]
log = structlog.get_logger()


class UnexpectedFault(Exception):
    """Ends an invocation in place of what nobody foresaw, whose message may quote what was sent."""


def ready(open: Callable[[], Handler]) -> Handler:
    """The open handler: what it is made of stays for good, and nothing that it raises tells of an image.

    AWS writes what a function raises into logs and into the history of executions.
    """
    handler = open()
    gc.freeze()
    gc.enable()  # isocenter.lambdas took it off

    def guarded(event: dict[str, Any], context: Any) -> dict[str, Any]:
        try:
            return handler(event, context)
        except Unavailable as error:
            raise Unavailable(str(error)) from None  # machines know it by this name
        except IsocenterError:
            raise  # ours name keywords, not contents
        except Exception as error:  # noqa: BLE001  # the edge of a function
            log.error("unexpected fault", **traced(error))
        raise UnexpectedFault("an unexpected fault, which is logged with its place")

    return guarded


def open_function() -> tuple[Settings, Backends]:
    """Settings from the environment, and from SSM parameters where it names a path; open backends; JSON logs."""
    settings = load()
    if settings.parameters is not None:
        from isocenter.adapters.aws.parameters import read  # asked only where the environment says so

        settings = load(parameters=read(settings.parameters))
    _log(settings.log_level)
    return settings, open_backends(settings)


def metrics_of(settings: Settings) -> CloudWatchMetrics:
    """Counts under the name of the deployment, which is that of its table."""
    assert settings.database_url is not None
    return CloudWatchMetrics(settings.database_url.get_secret_value().removeprefix("dynamodb://"))


def _log(level: str) -> None:
    """One JSON object a line on standard output, which is what CloudWatch keeps; no attribute value is in any."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.ExceptionRenderer(lambda found: traced(found[1])),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
    )


def joined(context: Any, **more: str | None) -> None:
    """Log lines from here on carry the request's id, and by what it belongs to others (a job, an upload)."""
    structlog.contextvars.clear_contextvars()
    known = {name: value for name, value in more.items() if value is not None}
    structlog.contextvars.bind_contextvars(request_id=getattr(context, "aws_request_id", None), **known)
