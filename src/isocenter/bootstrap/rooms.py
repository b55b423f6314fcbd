"""What keeps everything but images, as a choice of one database brings it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from secrets import token_bytes
from typing import TypedDict

from isocenter.ports.api_keys import ApiKeys
from isocenter.ports.audit_log import AuditLog
from isocenter.ports.deliveries import Deliveries
from isocenter.ports.event_feed import EventFeed
from isocenter.ports.index import Index
from isocenter.ports.job_ledger import JobLedger
from isocenter.ports.open_studies import OpenStudies
from isocenter.ports.results import Results
from isocenter.ports.search import SearchIndex
from isocenter.ports.secrets import Secrets
from isocenter.ports.step_ledger import StepLedger
from isocenter.ports.webhooks import Webhooks
from isocenter.settings import Settings

AUDIT_KEY = "audit-chain"


class Parts(TypedDict):
    """The ports of a platform that lie in a database."""

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


@dataclass(frozen=True, slots=True)
class Rooms:
    parts: Parts
    audit_key: bytes
    close: Callable[[], None]


def audit_key_of(settings: Settings, secrets: Secrets) -> bytes:
    """The key of the settings, or the one that machines with one database share; whoever comes first makes it."""
    if settings.audit_key is not None:
        return settings.audit_key.get_secret_value().encode()
    return secrets.create(AUDIT_KEY, token_bytes(32))
