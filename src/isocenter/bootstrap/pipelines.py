"""Jobs, the steps of their plans, and the worker that does them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from secrets import token_bytes
from threading import Lock

from isocenter.bootstrap.backends import Backends, ingest_of, limits_of
from isocenter.bootstrap.deidentifying import DEID_KEY, deidentifier_of
from isocenter.deid.profile import load as deidentification_profile
from isocenter.jobs import Job
from isocenter.pipeline.jobs import Jobs, OnceOpened
from isocenter.pipeline.plan import Plans, StepPlan
from isocenter.pipeline.run_task import TaskRunner
from isocenter.pipeline.steps.base import Step
from isocenter.pipeline.steps.deidentify import DeidentifyStep
from isocenter.pipeline.steps.parameters import Deidentification, Parameters, Validation
from isocenter.pipeline.steps.validate import ValidateStep
from isocenter.pipeline.validation.validator import Validator
from isocenter.pipeline.work import Worker
from isocenter.ports.platform import Platform
from isocenter.ports.workflow import Workflow
from isocenter.settings import Settings


def plans_of(settings: Settings) -> Plans:
    """The pipelines there are."""
    return Plans(settings.pipelines or settings.home / "pipelines")


def queue_url(settings: Settings) -> str:
    """Where tasks queue: in the database they share, or in a file of their own: looking at a queue locks it."""
    url = settings.database_url
    return url.get_secret_value() if url else f"sqlite:///{(settings.home / 'queue.sqlite').resolve()}"


def jobs_of(settings: Settings, platform: Platform, given: Callable[[], None] = lambda: None) -> Jobs:
    """What starts and steers jobs; `given` is called where a worker has something to do."""

    def workflow() -> Workflow:
        from isocenter.adapters.durable.dbos_workflow import DbosWorkflow  # takes half a second to load

        return DbosWorkflow(queue_url(settings))

    return Jobs(platform, OnceOpened(workflow), most_waiting=settings.max_waiting_images, given=given)


def open_worker(settings: Settings, backends: Backends) -> Worker:
    """What takes tasks in this process."""
    from isocenter.adapters.durable.dbos_workflow import DbosWorkers, DbosWorkflow  # loaded only to work

    platform, url = backends.platform, queue_url(settings)
    workflow = DbosWorkflow(url)
    jobs = Jobs(platform, OnceOpened(lambda: workflow), most_waiting=settings.max_waiting_images)
    # On SQLite there is one worker, which takes up at once what it left when it was killed.
    executor = "local" if url.startswith("sqlite") else f"worker-{token_bytes(8).hex()}"
    slots = max(1, settings.worker_slots)
    lease = settings.worker_lease_seconds
    runner = TaskRunner(platform, jobs, _Steps(settings, platform), executor, slots=slots, lease=lease)
    workers = DbosWorkers(url, executor=executor, slots=slots)
    return Worker(jobs, platform.jobs, workflow, workers, runner, timedelta(days=settings.jobs_kept_days))


class _Steps:
    """Makes the steps of plans; what takes long to make is made once for each way it is told."""

    def __init__(self, settings: Settings, platform: Platform) -> None:
        self._settings = settings
        self._platform = platform
        self._ingest = ingest_of(settings, platform)
        self._made: dict[str, Step] = {}
        self._lock = Lock()

    def __call__(self, plan: StepPlan, job: Job) -> Step:
        key = plan.model_dump_json()
        with self._lock:
            if key not in self._made:
                self._made[key] = self._make(plan.checked)
            return self._made[key]

    def _make(self, parameters: Parameters) -> Step:
        if isinstance(parameters, Validation):
            return ValidateStep(Validator(parameters.profile, limits=limits_of(self._settings)), self._platform.index)
        assert isinstance(parameters, Deidentification)
        secret = self._platform.secrets.create(DEID_KEY + parameters.project, token_bytes(32))
        deidentifier, _ = deidentifier_of(self._settings, deidentification_profile(parameters.profile), secret)
        return DeidentifyStep(deidentifier, self._ingest, self._platform.index, parameters.into)
