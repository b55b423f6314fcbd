"""What the routes work with, put together once at start by `bootstrap`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from isocenter.archive.delete import Delete
from isocenter.archive.deliver import Deliver
from isocenter.archive.file_set import FileSets
from isocenter.archive.rendered import Rendered
from isocenter.archive.retrieve import Retrieve
from isocenter.archive.search import Searching
from isocenter.archive.transcoded import Transcoded
from isocenter.dicom.elements import Limits
from isocenter.pipeline.ingest import Ingest
from isocenter.pipeline.jobs import Jobs
from isocenter.pipeline.plan import Plans
from isocenter.pipeline.process import Process
from isocenter.pipeline.uploads import Uploads
from isocenter.pipeline.webhooks import WebhookDesk
from isocenter.ports.platform import Platform
from isocenter.web.auth import Authenticator, Policy


@dataclass(frozen=True, slots=True)
class WebLimits:
    """Ceilings for one request and for one process."""

    body_bytes: int
    parts: int
    part_header_bytes: int
    concurrent_uploads: int
    process_seconds: float
    answer_bytes: int | None  # a larger answer is given by an address of the object store
    data_set: Limits  # what metadata that is sent in may hold


@dataclass(frozen=True, slots=True)
class Services:
    platform: Platform
    ingest: Ingest
    retrieve: Retrieve
    rendered: Rendered
    transcoded: Transcoded
    file_sets: FileSets
    delete: Delete
    deliver: Deliver
    searching: Searching
    plans: Plans
    jobs: Jobs
    process: Process
    uploads: Uploads
    webhooks: WebhookDesk
    authenticator: Authenticator
    policy: Policy
    limits: WebLimits
    close: Callable[[], None]
