"""Everything a transaction needs of the world outside, in one frozen bundle."""

from __future__ import annotations

from dataclasses import dataclass

from isocenter.ports.api_keys import ApiKeys
from isocenter.ports.audit_log import AuditLog
from isocenter.ports.blob_store import BlobStore
from isocenter.ports.deliveries import Deliveries
from isocenter.ports.event_feed import EventFeed
from isocenter.ports.index import Index
from isocenter.ports.job_ledger import JobLedger
from isocenter.ports.open_studies import OpenStudies
from isocenter.ports.results import Results
from isocenter.ports.sandbox import Sandbox
from isocenter.ports.search import SearchIndex
from isocenter.ports.secrets import Secrets
from isocenter.ports.step_ledger import StepLedger
from isocenter.ports.webhooks import Webhooks


@dataclass(frozen=True, slots=True)
class Platform:
    """The backends chosen in `bootstrap`."""

    blobs: BlobStore
    index: Index
    search: SearchIndex
    events: EventFeed
    audit: AuditLog
    jobs: JobLedger
    steps: StepLedger
    results: Results
    secrets: Secrets
    api_keys: ApiKeys
    deliveries: Deliveries
    webhooks: Webhooks
    open_studies: OpenStudies
    sandbox: Sandbox
