"""Tasks of jobs as one function, brought by state machines."""

from __future__ import annotations

import threading
from collections.abc import Callable
from secrets import token_hex
from typing import Any

import structlog

from isocenter.bootstrap.functions.opened import joined, metrics_of, open_function
from isocenter.bootstrap.jobs import jobs_of
from isocenter.bootstrap.pipelines import places_of, steps_of
from isocenter.errors import Unavailable
from isocenter.jobs import StepOutcome, Task
from isocenter.pipeline.run_task import TaskRunner
from isocenter.ports.workflow import LeftUndone

log = structlog.get_logger()

_ENDING = 5.0  # seconds before the function is ended in which what is under way is given up, to be brought again


def open_step() -> Callable[[dict[str, Any], Any], dict[str, Any]]:
    """The handler of {"job", "attempt", "stage", "chunk"}, and of {"job", "attempt", "end": true}."""
    settings, backends = open_function()
    platform = backends.platform
    jobs = jobs_of(settings, platform)
    places = places_of(settings, platform)
    steps = steps_of(settings, platform, places)
    metrics = metrics_of(settings)

    def told(use: str, outcome: StepOutcome, seconds: float) -> None:
        counts = {"ImagesDone": len(outcome.done), "ImagesRejected": len(outcome.rejected)}
        counts["ImagesUnavailable"] = len(outcome.unavailable)
        metrics.step(use, counts, seconds)
        log.info("a chunk went through a step", step=outcome.step, ms=round(seconds * 1000, 1), **counts)

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        joined(context, job=event["job"])
        if event.get("end"):
            return {"left": jobs.end(event["job"], event["attempt"])}
        task = Task(event["job"], event["stage"], event["chunk"], event["attempt"])
        owner, lease = f"step-{token_hex(8)}", settings.worker_lease_seconds
        runner = TaskRunner(platform, jobs, steps, owner, lease=lease, places=places, told=told)
        left = max(1.0, context.get_remaining_time_in_millis() / 1000 - _ENDING)
        timer = threading.Timer(left, runner.close)
        timer.start()
        try:
            runner.run(task)
        except LeftUndone:
            raise Unavailable("the time of this function is over; the rest is brought again") from None
        finally:
            timer.cancel()
            runner.close()
        return {"task": task.id}

    return handler
