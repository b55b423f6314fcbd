"""Jobs, the steps of their plans, and the worker that does them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import cache
from secrets import token_bytes
from threading import Lock
from typing import TYPE_CHECKING

from isocenter.adapters.outgoing import Outgoing
from isocenter.bootstrap.backends import Backends, ingest_of, limits_of, object_store
from isocenter.bootstrap.jobs import plan_on_completion, queue_url
from isocenter.bootstrap.notifying import completing, sending
from isocenter.jobs import Job
from isocenter.pipeline.jobs import Jobs, OnceOpened
from isocenter.pipeline.locations import Allowed, InBucket
from isocenter.pipeline.places import Places
from isocenter.pipeline.plan import StepPlan
from isocenter.pipeline.process import Process
from isocenter.pipeline.run_task import StepsOf, TaskRunner
from isocenter.pipeline.steps.base import Step
from isocenter.pipeline.steps.parameters import Algorithm, Deidentification, Delivering, Parameters, Validation
from isocenter.pipeline.work import Worker
from isocenter.ports.blob_store import BlobStore
from isocenter.ports.platform import Platform
from isocenter.settings import Settings

if TYPE_CHECKING:
    from isocenter.pipeline.analyse import Analysis

PLACES_KEY = "places"
_FETCH_SECONDS = 120.0


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
    places = places_of(settings, platform)
    steps = steps_of(settings, platform, places)
    runner = TaskRunner(platform, jobs, steps, executor, slots=slots, lease=lease, places=places)
    workers = DbosWorkers(url, executor=executor, slots=slots)
    beside = (sending(settings, platform), completing(settings, platform, jobs, plan_on_completion(settings)))
    return Worker(jobs, platform.jobs, workflow, workers, runner, timedelta(days=settings.jobs_kept_days), beside)


def places_of(settings: Settings, platform: Platform) -> Places:
    """The outside as the settings allow it."""
    stores: dict[str, BlobStore] = {}

    def bucket(location: InBucket) -> BlobStore:
        url = f"{location.scheme}://{location.bucket}"
        if url not in stores:
            stores[url] = object_store(settings, url)
        return stores[url]

    outgoing = Outgoing(most_bytes=settings.process_max_bytes, seconds=_FETCH_SECONDS)
    allowed = tuple(map(Allowed.parse, settings.process_urls))

    @cache
    def key() -> bytes:
        return platform.secrets.create(PLACES_KEY, token_bytes(64))

    return Places(allowed, bucket, outgoing.fetch, key, settings.process_max_bytes)


def analysis_when_asked(settings: Settings, platform: Platform) -> Callable[[], Analysis]:
    """What opens what runs algorithms, once: NumPy and pydicom are loaded with it."""

    @cache
    def opened() -> Analysis:
        from isocenter.bootstrap.analysing import analysis_of

        return analysis_of(settings, platform)

    return opened


def process_of(settings: Settings, platform: Platform, jobs: Jobs) -> Process:
    """What processes images by URL."""
    endpoint = settings.blobs_options.get("endpoint")
    return Process(
        jobs,
        analysis_when_asked(settings, platform),
        places_of(settings, platform),
        platform.index,
        platform.results,
        settings.default_store,
        None if endpoint is None else endpoint.get_secret_value(),
    )


def steps_of(settings: Settings, platform: Platform, places: Places) -> StepsOf:
    """What makes the steps of plans."""
    return _Steps(settings, platform, places)


class _Steps:
    """Makes the steps of plans; what takes long to make is made once for each way it is told."""

    def __init__(self, settings: Settings, platform: Platform, places: Places) -> None:
        self._settings = settings
        self._places = places
        self._analysis = analysis_when_asked(settings, platform)
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
        """Each kind loads what it needs when it is first made."""
        if isinstance(parameters, Validation):
            from isocenter.pipeline.steps.validate import ValidateStep
            from isocenter.pipeline.validation.validator import Validator

            return ValidateStep(Validator(parameters.profile, limits=limits_of(self._settings)), self._platform.index)
        if isinstance(parameters, Algorithm):
            from isocenter.pipeline.steps.algorithm import AlgorithmStep

            analysis = self._analysis()
            checked = analysis.check(parameters.algorithm, parameters.parameters)
            return AlgorithmStep(
                analysis,
                checked,
                self._ingest,
                self._places,
                default_store=self._settings.default_store,
                reports=parameters.reports,
            )
        if isinstance(parameters, Delivering):
            from isocenter.bootstrap.delivering import delivering_step

            return delivering_step(self._settings, self._platform, parameters)
        assert isinstance(parameters, Deidentification)
        return self._deidentifying(parameters)

    def _deidentifying(self, parameters: Deidentification) -> Step:
        from isocenter.bootstrap.deidentifying import DEID_KEY, deidentifier_of
        from isocenter.deid.profile import load as deidentification_profile
        from isocenter.pipeline.steps.deidentify import DeidentifyStep

        secret = self._platform.secrets.create(DEID_KEY + parameters.project, token_bytes(32))
        deidentifier, _ = deidentifier_of(self._settings, deidentification_profile(parameters.profile), secret)
        return DeidentifyStep(deidentifier, self._ingest, self._platform.index, parameters.into)
