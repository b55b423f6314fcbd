"""What starts jobs and takes in uploads; what does the work of jobs is in `pipelines`."""

from __future__ import annotations

from collections.abc import Callable
from secrets import token_bytes
from typing import TYPE_CHECKING

from isocenter.bootstrap.backends import is_on_aws
from isocenter.pipeline.ingest import Ingest
from isocenter.pipeline.jobs import Jobs, OnceOpened
from isocenter.pipeline.plan import Plan, Plans
from isocenter.ports.platform import Platform
from isocenter.ports.workflow import Workflow
from isocenter.settings import Settings

if TYPE_CHECKING:
    from isocenter.pipeline.uploads import Uploads

UPLOADS_KEY = "uploads"


def plans_of(settings: Settings) -> Plans:
    """The pipelines there are."""
    return Plans(settings.pipelines or settings.home / "pipelines")


def plan_on_completion(settings: Settings) -> Plan | None:
    """What is run over studies that are complete; NotFound where there is no such pipeline."""
    name = settings.on_study_complete
    return None if name is None else plans_of(settings).load(name)


def queue_url(settings: Settings) -> str:
    """Where tasks queue: in the database they share, or in a file of their own: looking at a queue locks it."""
    url = settings.database_url
    return url.get_secret_value() if url else f"sqlite:///{(settings.home / 'queue.sqlite').resolve()}"


def jobs_of(settings: Settings, platform: Platform, given: Callable[[], None] = lambda: None) -> Jobs:
    """What starts and steers jobs; `given` is called where a worker has something to do."""

    def workflow() -> Workflow:
        if is_on_aws(settings):
            from isocenter.adapters.aws.step_functions import StepFunctionsWorkflow  # boto3, loaded to start a job

            return StepFunctionsWorkflow(settings.state_machines, platform.jobs.get)
        from isocenter.adapters.durable.dbos_workflow import DbosWorkflow  # takes half a second to load

        return DbosWorkflow(queue_url(settings))

    return Jobs(platform, OnceOpened(workflow), most_waiting=settings.max_waiting_images, given=given)


def uploads_of(settings: Settings, platform: Platform, ingest: Ingest, jobs: Jobs) -> Uploads:
    """Upload sessions over the blobs."""
    from isocenter.pipeline.uploads import Uploads  # with cryptography, loaded only where uploads end

    key = platform.secrets.create(UPLOADS_KEY, token_bytes(32))
    return Uploads(
        platform.blobs, ingest, jobs, key, presigned=settings.upload_links == "presigned", events=platform.events
    )
