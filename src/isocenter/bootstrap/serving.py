"""The services of a server, and its application."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isocenter.adapters.worker_process import WorkerProcess
from isocenter.archive.audit import ReadTrail
from isocenter.archive.file_set import FileSets
from isocenter.archive.housekeeping import Housekeeping
from isocenter.archive.rendered import Rendered
from isocenter.archive.retrieve import Retrieve
from isocenter.archive.search import Searching
from isocenter.archive.transcoded import Transcoded
from isocenter.bootstrap.backends import deletes_of, ingest_of, limits_of, open_backends
from isocenter.bootstrap.delivering import deliver_of
from isocenter.bootstrap.notifying import completing, webhooks_of, worker_needed
from isocenter.bootstrap.pipelines import jobs_of, plan_on_completion, plans_of, process_of, uploads_of
from isocenter.ports.platform import Platform
from isocenter.settings import LOOPBACK, Settings
from isocenter.web.auth import Anyone, Authenticator, FirstOf, KeyAuthenticator, Policy
from isocenter.web.services import Services, WebLimits

if TYPE_CHECKING:
    from fastapi import FastAPI


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
    on_completion = plan_on_completion(settings)
    backends = open_backends(settings)
    platform = backends.platform
    retrieve = Retrieve(platform)
    delete = deletes_of(settings, platform)
    file_sets = FileSets(retrieve)
    trail = ReadTrail(platform.audit)
    # Only where database and blobs both lie in the home folder does its lock say who else works on them.
    ours = settings.database_url is None and settings.blobs_url is None
    sweep_before = backends.home.alone_since if ours else None
    worker = None
    if settings.worker_slots:
        worker = WorkerProcess(settings.home, lambda: worker_needed(platform))
    jobs = jobs_of(settings, platform, worker.wake if worker is not None else lambda: None)
    ingest = ingest_of(settings, platform)
    uploads = uploads_of(platform, ingest, jobs)
    housekeeping = Housekeeping(platform, delete, sweep_before=sweep_before, also=(uploads.sweep,))
    studies = completing(settings, platform, jobs, on_completion)
    housekeeping.start()
    studies.start()

    def close() -> None:
        studies.close()
        if worker is not None:
            worker.close()
        jobs.close()
        housekeeping.close()
        trail.close()
        backends.close()

    return Services(
        platform=platform,
        ingest=ingest,
        retrieve=retrieve,
        rendered=Rendered(platform, retrieve, settings.decode_seconds),
        transcoded=Transcoded(platform, retrieve, settings.decode_seconds),
        file_sets=file_sets,
        delete=delete,
        deliver=deliver_of(settings, platform, retrieve, file_sets),
        searching=Searching(platform, settings.searched),
        plans=plans_of(settings),
        jobs=jobs,
        process=process_of(settings, platform, jobs),
        uploads=uploads,
        webhooks=webhooks_of(settings, platform),
        authenticator=_authenticator(settings, platform),
        policy=Policy(settings.stores, frozenset(settings.identified_stores), trail),
        limits=WebLimits(
            body_bytes=settings.max_upload_bytes,
            parts=settings.max_parts,
            part_header_bytes=settings.max_part_header_bytes,
            concurrent_uploads=settings.max_concurrent_uploads,
            process_seconds=settings.process_seconds,
            data_set=limits_of(settings),
        ),
        close=close,
    )


def application(settings: Settings, services: Services) -> FastAPI:
    """The ASGI application of these settings; it closes the services when it ends."""
    from isocenter.web.app import create_app  # FastAPI is loaded only to serve

    # Without authentication the Host header is all that tells a page of another site from the owner's own.
    hosts = tuple(LOOPBACK | {settings.host}) if settings.auth == "none" else ()
    return create_app(services, hosts=hosts, cors_origins=settings.cors_origins)
