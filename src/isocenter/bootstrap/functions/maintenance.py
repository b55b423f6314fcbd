"""What a server does by itself, as one function that is called every ten minutes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import structlog

from isocenter.archive.check import Check
from isocenter.archive.housekeeping import Housekeeping
from isocenter.bootstrap.backends import deletes_of, ingest_of
from isocenter.bootstrap.functions.opened import joined, metrics_of, open_function
from isocenter.bootstrap.jobs import jobs_of, plan_on_completion, uploads_of
from isocenter.bootstrap.notifying import completeness_of, notifier_of
from isocenter.jobs import JobState
from isocenter.records import now

log = structlog.get_logger()
_SAMPLED, _SAMPLED_BYTES = 20, 64 << 20  # images that are checked each time
_GIVEN = timedelta(minutes=2)  # a job that is queued longer than this may never have been given


def open_maintenance() -> Callable[[dict[str, Any], Any], dict[str, Any]]:
    """The handler: purges what was deleted long ago, sweeps uploads and deliveries, gives jobs that nobody gave, sees
    which studies are complete, and tells webhooks."""
    settings, backends = open_function()
    platform = backends.platform
    jobs = jobs_of(settings, platform)
    uploads = uploads_of(settings, platform, ingest_of(settings, platform), jobs)
    keeping = Housekeeping(platform, deletes_of(settings, platform), sweep_before=None, also=(uploads.sweep,))
    completeness = completeness_of(settings, platform, jobs, plan_on_completion(settings))
    notifier = notifier_of(settings, platform)
    check, metrics = Check(platform), metrics_of(settings)

    def sampled() -> int:
        """Read some images anew: what lies there may be damaged, and nobody would ask for it for years."""
        report = check.sample(_SAMPLED, _SAMPLED_BYTES)
        if report.damaged:
            log.error("images are damaged: isocenter scrub tells which", damaged=report.damaged)
        metrics.count("ImagesChecked", report.images)
        metrics.count("ImagesDamaged", report.damaged)
        return report.images

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        joined(context)
        keeping.round()
        given = 0
        after: str | None = None
        while True:
            page = platform.jobs.jobs(states=(JobState.QUEUED,), after=after)
            for job in page.items:
                if job.created <= now() - _GIVEN:
                    jobs.carry_on(job)
                    given += 1
            after = page.next
            if after is None:
                break
        completeness.look()
        told = sum(notifier.serve(standing.subscription) for standing in platform.webhooks.all())
        checked = sampled()
        metrics.count("JobsGivenAgain", given)
        metrics.flush()
        forgotten = jobs.forget(timedelta(days=settings.jobs_kept_days))
        return {"told": told, "given": given, "forgotten": forgotten, "checked": checked}

    return handler
