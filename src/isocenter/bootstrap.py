"""Settings to Platform, Services and application: the only place where a backend is chosen."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from secrets import token_bytes
from threading import Lock
from typing import TYPE_CHECKING

import structlog

from isocenter.adapters.blobs.folder import INCOMING, FolderBlobStore
from isocenter.adapters.detectors.on_demand import OnDemand
from isocenter.adapters.home import Home
from isocenter.adapters.processes import ProcessSandbox
from isocenter.adapters.sql.api_keys import SqlApiKeys
from isocenter.adapters.sql.audit import SqlAuditLog
from isocenter.adapters.sql.database import Database
from isocenter.adapters.sql.events import SqlEventFeed
from isocenter.adapters.sql.index import SqlIndex
from isocenter.adapters.sql.job_ledger import SqlJobLedger
from isocenter.adapters.sql.migrate import migrate
from isocenter.adapters.sql.results import SqlResults
from isocenter.adapters.sql.search import SqlSearchIndex
from isocenter.adapters.sql.secrets import SqlSecrets
from isocenter.adapters.sql.step_ledger import SqlStepLedger
from isocenter.adapters.vault import FolderVault
from isocenter.adapters.worker_process import WorkerProcess
from isocenter.archive.audit import ReadTrail
from isocenter.archive.delete import Delete
from isocenter.archive.file_set import FileSets
from isocenter.archive.housekeeping import Housekeeping
from isocenter.archive.reindex import reindex
from isocenter.archive.rendered import Rendered
from isocenter.archive.retrieve import Retrieve
from isocenter.archive.search import BASE, Searching, prepare
from isocenter.archive.store import Store
from isocenter.archive.transcoded import Transcoded
from isocenter.deid.encrypted import recipient
from isocenter.deid.engine import Deidentifier
from isocenter.deid.pixels import PixelCleaner
from isocenter.deid.profile import Profile
from isocenter.deid.profile import load as deidentification_profile
from isocenter.deid.pseudonyms import Pseudonyms
from isocenter.dicom.elements import Limits
from isocenter.dicom.guards import guard_pydicom
from isocenter.errors import BadRequest, NotFound
from isocenter.jobs import Job
from isocenter.pipeline.ingest import Ingest
from isocenter.pipeline.jobs import Jobs, OnceOpened
from isocenter.pipeline.plan import Plans, StepPlan
from isocenter.pipeline.run_task import TaskRunner
from isocenter.pipeline.steps.base import Step
from isocenter.pipeline.steps.deidentify import DeidentifyStep
from isocenter.pipeline.steps.parameters import Deidentification, Parameters, Validation
from isocenter.pipeline.steps.validate import ValidateStep
from isocenter.pipeline.validation.validator import Validator
from isocenter.pipeline.work import Worker
from isocenter.ports.audit_log import AuditLog
from isocenter.ports.blob_store import BlobStore
from isocenter.ports.detector import TextDetector
from isocenter.ports.platform import Platform
from isocenter.ports.workflow import Workflow
from isocenter.settings import LOOPBACK, Settings
from isocenter.web.auth import Anyone, Authenticator, FirstOf, KeyAuthenticator, Policy
from isocenter.web.services import Services, WebLimits

if TYPE_CHECKING:
    from fastapi import FastAPI

AUDIT_KEY, SIGNING_KEY, DEID_KEY = "audit-chain", "deid-signing", "deid:"
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Backends:
    """An open platform; `close` gives back what it holds."""

    platform: Platform
    home: Home
    audit_key: bytes
    close: Callable[[], None]


def open_backends(settings: Settings) -> Backends:
    """Choose and open the backends; the database's schema is brought up to date."""
    guard_pydicom()
    home = Home(settings.home)
    url = settings.database_url
    database = Database(url.get_secret_value() if url else f"sqlite:///{settings.home / 'isocenter.sqlite'}")
    migrate(database)
    secrets = SqlSecrets(database)
    if settings.audit_key is not None:
        audit_key = settings.audit_key.get_secret_value().encode()
    elif url is None:
        audit_key = home.audit_key()
    else:
        # Machines that share a database share the key; whoever comes first makes it.
        audit_key = secrets.create(AUDIT_KEY, token_bytes(32))
    sandbox = ProcessSandbox(settings.decode_workers, settings.decode_memory_bytes, preload=("isocenter.render.frame",))
    platform = Platform(
        blobs=_blobs(settings),
        index=SqlIndex(database, audit_key),
        search=SqlSearchIndex(database),
        events=SqlEventFeed(database),
        audit=SqlAuditLog(database, audit_key),
        jobs=SqlJobLedger(database),
        steps=SqlStepLedger(database),
        results=SqlResults(database),
        secrets=secrets,
        api_keys=SqlApiKeys(database, audit_key),
        sandbox=sandbox,
    )

    missing = prepare(platform, settings.searched)
    if BASE in missing:
        # Made by an older version: nothing is found before this, so it cannot wait for someone to ask for it.
        reindex(platform, settings.searched)
    elif missing:
        log.warning("search_attributes are not indexed for every image; run isocenter reindex", attributes=len(missing))

    def close() -> None:
        sandbox.close()
        database.close()
        home.close()

    return Backends(platform, home, audit_key, close)


def _blobs(settings: Settings) -> BlobStore:
    url = settings.blobs_url
    if url is None:
        return FolderBlobStore(settings.home / "blobs")
    if "://" not in url:
        return FolderBlobStore(Path(url))
    return object_store(settings, url)


@dataclass(frozen=True, slots=True)
class Project:
    """The secrets of one de-identification project, out of the key store."""

    name: str
    secret: bytes
    is_new: bool
    pseudonyms: Pseudonyms
    signing_key: bytes  # Ed25519, of this installation
    vault: FolderVault
    audit: AuditLog
    close: Callable[[], None]


def open_project(settings: Settings, name: str, *, make: bool = True) -> Project:
    """A project's secrets; there is no default one, so the first use of a name makes it, if `make`."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", name):
        raise BadRequest("a project's name is lower-case letters, digits and hyphens")
    backends = open_backends(settings)
    secrets = backends.platform.secrets
    entry = DEID_KEY + name
    if not make and secrets.get(entry) is None:
        backends.close()
        raise NotFound("there is no project of that name; isocenter key list shows those there are")
    made = token_bytes(32)
    secret = secrets.create(entry, made)
    pseudonyms = Pseudonyms(secret)
    vault = FolderVault(settings.home / "vault" / name, pseudonyms.vault_key())

    def close() -> None:
        vault.close()
        backends.close()

    signing_key = secrets.create(SIGNING_KEY, token_bytes(32))
    return Project(name, secret, secret == made, pseudonyms, signing_key, vault, backends.platform.audit, close)


def object_store(settings: Settings, url: str) -> BlobStore:
    """A bucket, or a prefix in one, by its URL; the options of the connection are those of `blobs_options`."""
    from isocenter.adapters.blobs.objects import ObjectBlobStore  # obstore is loaded only where it serves

    return ObjectBlobStore(url, {name: value.get_secret_value() for name, value in settings.blobs_options.items()})


def folder_store(folder: Path, *, read_only: bool = False) -> BlobStore:
    """A folder as a destination: its files appear whole and durable. `read_only` leaves no trace in it."""
    return FolderBlobStore(folder, read_only=read_only)


def left_tidy(folder: Path) -> None:
    """Take away what a destination has only while it is written to."""
    with suppress(OSError):  # somebody else writes to it
        (folder / INCOMING).rmdir()


def deidentifier_of(
    settings: Settings, profile: Profile, secret: bytes, certificate: bytes | None = None
) -> tuple[Deidentifier, Callable[[], None]]:
    """What de-identifies in one process, and how it is closed. Misconfigured where it takes a part not installed."""
    guard_pydicom()
    pseudonyms, limits = Pseudonyms(secret), _limits(settings)
    to = None if certificate is None else recipient(certificate)
    pixels = profile.pixels
    if not (pixels.takes_a_detector or pixels.masks or pixels.ultrasound_regions):
        return Deidentifier(profile, pseudonyms, limits=limits, recipient=to), lambda: None
    detector = OnDemand(_rapid_ocr, ("rapidocr", "onnxruntime", "cv2")) if pixels.takes_a_detector else None
    sandbox = ProcessSandbox(1, settings.decode_memory_bytes, preload=("isocenter.dicom.decode",))
    cleaner = PixelCleaner(profile.pixels, detector, sandbox, seconds=settings.decode_seconds)
    return Deidentifier(profile, pseudonyms, pixels=cleaner, limits=limits, recipient=to), sandbox.close


def _rapid_ocr() -> TextDetector:
    from isocenter.adapters.detectors.rapid_ocr import RapidOcr  # loaded only where text is read

    return RapidOcr(threads=1)


def ingest_of(settings: Settings, platform: Platform) -> Ingest:
    """The front door with the limits of the settings."""
    return Ingest(Store(platform, _limits(settings), keep_versions=settings.keep_versions, searched=settings.searched))


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
            return ValidateStep(Validator(parameters.profile, limits=_limits(self._settings)), self._platform.index)
        assert isinstance(parameters, Deidentification)
        secret = self._platform.secrets.create(DEID_KEY + parameters.project, token_bytes(32))
        deidentifier, _ = deidentifier_of(self._settings, deidentification_profile(parameters.profile), secret)
        return DeidentifyStep(deidentifier, self._ingest, self._platform.index, parameters.into)


def _limits(settings: Settings) -> Limits:
    return Limits(
        depth=settings.max_depth,
        elements=settings.max_elements,
        header_bytes=settings.max_header_bytes,
        inflated_bytes=settings.max_inflated_bytes,
    )


def deletes_of(settings: Settings, platform: Platform) -> Delete:
    return Delete(platform, timedelta(days=settings.deleted_grace_days))


def _authenticator(settings: Settings, platform: Platform) -> Authenticator:
    if settings.auth == "none":
        return Anyone()
    keys = KeyAuthenticator(platform.api_keys)
    if settings.auth == "keys":
        return keys
    from isocenter.web.oidc import TokenAuthenticator  # jwt and cryptography are loaded only where they serve

    tokens = TokenAuthenticator(
        issuer=settings.oidc_issuer or "",
        audience=settings.oidc_audience or "",
        jwks_url=settings.oidc_jwks_url,
        scope_prefix=settings.oidc_scope_prefix,
    )
    return tokens if settings.auth == "oidc" else FirstOf(keys, tokens)


def open_services(settings: Settings) -> Services:
    """Everything the routes work with; opened in the process that serves."""
    backends = open_backends(settings)
    platform = backends.platform
    retrieve = Retrieve(platform)
    delete = deletes_of(settings, platform)
    trail = ReadTrail(platform.audit)
    # Only where database and blobs both lie in the home folder does its lock say who else works on them.
    ours = settings.database_url is None and settings.blobs_url is None
    sweep_before = backends.home.alone_since if ours else None
    housekeeping = Housekeeping(platform, delete, sweep_before=sweep_before)
    housekeeping.start()
    worker = None
    if settings.worker_slots:
        worker = WorkerProcess(settings.home, lambda: platform.jobs.waiting() > 0)
    jobs = jobs_of(settings, platform, worker.wake if worker is not None else lambda: None)

    def close() -> None:
        if worker is not None:
            worker.close()
        jobs.close()
        housekeeping.close()
        trail.close()
        backends.close()

    return Services(
        platform=platform,
        ingest=ingest_of(settings, platform),
        retrieve=retrieve,
        rendered=Rendered(platform, retrieve, settings.decode_seconds),
        transcoded=Transcoded(platform, retrieve, settings.decode_seconds),
        file_sets=FileSets(retrieve),
        delete=delete,
        searching=Searching(platform, settings.searched),
        plans=plans_of(settings),
        jobs=jobs,
        authenticator=_authenticator(settings, platform),
        policy=Policy(settings.stores, frozenset(settings.identified_stores), trail),
        limits=WebLimits(
            body_bytes=settings.max_upload_bytes,
            parts=settings.max_parts,
            part_header_bytes=settings.max_part_header_bytes,
            concurrent_uploads=settings.max_concurrent_uploads,
            data_set=_limits(settings),
        ),
        close=close,
    )


def application(settings: Settings, services: Services) -> FastAPI:
    """The ASGI application of these settings; it closes the services when it ends."""
    from isocenter.web.app import create_app  # FastAPI is loaded only to serve

    # Without authentication the Host header is all that tells a page of another site from the owner's own.
    hosts = tuple(LOOPBACK | {settings.host}) if settings.auth == "none" else ()
    return create_app(services, hosts=hosts, cors_origins=settings.cors_origins)
