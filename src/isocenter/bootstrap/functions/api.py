"""The HTTP API as one function: the same application as `isocenter serve`, asked by API Gateway."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mangum import Mangum

from isocenter.bootstrap.functions.opened import joined, metrics_of, open_function
from isocenter.bootstrap.serving import application, services_of
from isocenter.errors import Misconfigured

# API Gateway takes 10 MB and Lambda gives 6 MB, of which base64 leaves three quarters.
MOST_ANSWERED = 4_400_000


def open_api() -> Callable[[dict[str, Any], Any], dict[str, Any]]:
    """The handler; reads are audited before their answer goes out, as threads stand still between requests."""
    settings, backends = open_function()
    if settings.auth == "none":
        raise Misconfigured("anybody reaches this function: set auth to oidc or keys", code="open-to-the-network")
    if settings.max_answer_bytes is None:
        settings = settings.model_copy(update={"max_answer_bytes": MOST_ANSWERED})
    services = services_of(settings, backends)
    metrics = metrics_of(settings)
    ask = Mangum(
        application(settings, services, metrics), lifespan="off"
    )  # "on" would close the services after a request

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        joined(context)
        answer = ask(event, context)
        services.policy.trail.flush()
        metrics.flush()
        return answer

    return handler
