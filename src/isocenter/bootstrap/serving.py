"""The services of a server, and its application."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from secrets import token_bytes
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from isocenter.adapters.worker_process import WorkerProcess
from isocenter.archive.audit import ReadTrail
from isocenter.archive.file_set import FileSets
from isocenter.archive.housekeeping import Housekeeping
from isocenter.archive.retrieve import Retrieve
from isocenter.archive.search import Searching
from isocenter.bootstrap.backends import Backends, deletes_of, ingest_of, is_on_aws, limits_of, open_backends
from isocenter.bootstrap.delivering import deliver_of
from isocenter.bootstrap.jobs import jobs_of, plan_on_completion, plans_of, uploads_of
from isocenter.bootstrap.notifying import completing, webhooks_of, worker_needed
from isocenter.bootstrap.pipelines import process_of
from isocenter.ports.platform import Platform
from isocenter.settings import LOOPBACK, Settings
from isocenter.web.auth import Anyone, Authenticator, FirstOf, KeyAuthenticator, Policy
from isocenter.web.services import Pixels, Services, WebLimits

if TYPE_CHECKING:
    from fastapi import FastAPI

    from isocenter.deid.engine import Deidentifier
    from isocenter.pipeline.preview import Previews
    from isocenter.web.observe import Metrics

_REGIONS = ("region", "aws_region")
_ENDPOINTS = ("endpoint", "endpoint_url", "aws_endpoint", "aws_endpoint_url")


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
    """Everything the routes work with, and what goes on beside them; opened in the process that serves."""
    on_completion = plan_on_completion(settings)
    backends = open_backends(settings)
    platform = backends.platform
    # Only where database and blobs both lie in the home folder does its lock say who else works on them.
    ours = settings.database_url is None and settings.blobs_url is None
    sweep_before = backends.home.alone_since if ours else None
    worker = None
    if settings.worker_slots and not is_on_aws(settings):  # there state machines bring the tasks
        worker = WorkerProcess(settings.home, lambda: worker_needed(platform))
    services = services_of(settings, backends, worker.wake if worker is not None else lambda: None)
    services.open_pixels()  # a server is asked for them sooner or later, and nobody is to wait for it
    sweep = services.uploads.sweep
    housekeeping = Housekeeping(platform, services.delete, sweep_before=sweep_before, also=(sweep,))
    studies = completing(settings, platform, services.jobs, on_completion)
    housekeeping.start()
    studies.start()

    def close() -> None:
        studies.close()
        if worker is not None:
            worker.close()
        housekeeping.close()
        services.close()

    return replace(services, close=close)


def services_of(settings: Settings, backends: Backends, given: Callable[[], None] = lambda: None) -> Services:
    """What the routes work with and no more; `given` is called where a worker has something to do."""
    platform = backends.platform
    retrieve = Retrieve(platform)
    file_sets = FileSets(retrieve)
    trail = ReadTrail(platform.audit)
    jobs = jobs_of(settings, platform, given)
    ingest = ingest_of(settings, platform)

    closing: list[Callable[[], None]] = []

    def close() -> None:
        for ended in closing:
            ended()
        jobs.close()
        trail.close()
        backends.close()

    return Services(
        platform=platform,
        ingest=ingest,
        retrieve=retrieve,
        open_pixels=cache(partial(_pixels, settings, platform, retrieve)),
        open_previews=cache(partial(_previews, settings, retrieve, closing.append)),
        disk=partial(_disk, settings),
        file_sets=file_sets,
        delete=deletes_of(settings, platform),
        deliver=deliver_of(settings, platform, retrieve, file_sets),
        searching=Searching(platform, settings.searched),
        plans=plans_of(settings),
        jobs=jobs,
        process=process_of(settings, platform, jobs),
        uploads=uploads_of(settings, platform, ingest, jobs),
        webhooks=webhooks_of(settings, platform),
        authenticator=_authenticator(settings, platform),
        policy=Policy(settings.stores, frozenset(settings.identified_stores), trail),
        limits=WebLimits(
            body_bytes=settings.max_upload_bytes,
            parts=settings.max_parts,
            part_header_bytes=settings.max_part_header_bytes,
            concurrent_uploads=settings.max_concurrent_uploads,
            process_seconds=settings.process_seconds,
            answer_bytes=settings.max_answer_bytes,
            data_set=limits_of(settings),
        ),
        close=close,
    )


def _pixels(settings: Settings, platform: Platform, retrieve: Retrieve) -> Pixels:
    """NumPy and the codecs, loaded when somebody looks."""
    from isocenter.archive.rendered import Rendered
    from isocenter.archive.transcoded import Transcoded
    from isocenter.archive.viewing import Viewing

    rendered = Rendered(platform, retrieve, settings.decode_seconds)
    return Pixels(rendered, Viewing(retrieve, rendered), Transcoded(platform, retrieve, settings.decode_seconds))


def _previews(settings: Settings, retrieve: Retrieve, at_end: Callable[[Callable[[], None]], None]) -> Previews:
    """What de-identifies for a look; `at_end` is given what closes it."""
    from isocenter.bootstrap.deidentifying import deidentifier_of
    from isocenter.deid.profile import load
    from isocenter.pipeline.preview import Previews

    secret = token_bytes(32)  # of this process alone: what is shown is no pseudonym of any project

    @cache
    def deidentifier(profile: str) -> Deidentifier:
        made, close = deidentifier_of(settings, load(profile), secret)
        at_end(close)
        return made

    return Previews(retrieve, deidentifier, limits_of(settings))


def _disk(settings: Settings) -> dict[str, int] | None:
    """Room where images lie, None where that is no folder of this machine."""
    if settings.blobs_url is not None and "://" in settings.blobs_url:
        return None
    found = shutil.disk_usage(settings.home if settings.blobs_url is None else settings.blobs_url)
    return {"total": found.total, "free": found.free}


def prometheus() -> Metrics:
    """What a server counts with."""
    from isocenter.web.prometheus import PrometheusMetrics  # its client is loaded only to serve

    return PrometheusMetrics()


def application(settings: Settings, services: Services, metrics: Metrics) -> FastAPI:
    """The ASGI application of these settings; it closes the services when it ends."""
    from isocenter.web.app import create_app  # FastAPI is loaded only to serve

    # Without authentication the Host header is all that tells a page of another site from the owner's own.
    hosts = tuple(LOOPBACK | {settings.host}) if settings.auth == "none" else ()
    return create_app(
        services, metrics, hosts=hosts, cors_origins=settings.cors_origins, page_connects=_buckets(settings)
    )


def _buckets(settings: Settings) -> tuple[str, ...]:
    """The origins that parts of uploads go to straight from a browser; none where they come through this server."""
    if settings.upload_links != "presigned":
        return ()
    endpoint = next((settings.blobs_options[name] for name in _ENDPOINTS if name in settings.blobs_options), None)
    if endpoint is not None:
        parts = urlsplit(endpoint.get_secret_value())
        return (f"{parts.scheme}://{parts.netloc}",)
    urls = (settings.blobs_url, *settings.blobs_urls.values())
    buckets = sorted({urlsplit(url).netloc for url in urls if url is not None and url.startswith("s3://")})
    region = next((settings.blobs_options[name] for name in _REGIONS if name in settings.blobs_options), None)
    if region is None:  # the store's client finds it in its surroundings
        return ("https://*.amazonaws.com",)
    host = f"s3.{region.get_secret_value()}.amazonaws.com"
    return (f"https://{host}", *(f"https://{bucket}.{host}" for bucket in buckets))
