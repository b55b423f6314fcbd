"""What tells webhooks of events, and when studies are complete."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from secrets import token_bytes, token_hex

from isocenter.adapters.destinations.webhook import SIGNATURE, signature
from isocenter.adapters.outgoing import Outgoing
from isocenter.errors import Forbidden
from isocenter.pipeline.completeness import Completeness
from isocenter.pipeline.jobs import Jobs
from isocenter.pipeline.listeners import Listener, trusted_origins
from isocenter.pipeline.notify import Notifier, Patience, has_work
from isocenter.pipeline.plan import Plan
from isocenter.pipeline.rounds import Rounds
from isocenter.pipeline.webhooks import WebhookDesk
from isocenter.ports.platform import Platform
from isocenter.settings import Settings

STUDIES_KEY = "open-studies"
_ROUND = 1.0  # seconds


class Posting:
    """Signed POSTs to listeners, each checked again before anything goes out."""

    def __init__(self, settings: Settings) -> None:
        self._trusted = trusted_origins(settings.webhook_urls)
        self._outgoing = Outgoing(most_bytes=0, seconds=settings.webhook_seconds)

    def __call__(self, url: str, secret: bytes, body: bytes) -> int:
        listener = Listener.parse(url)
        headers = {
            "Content-Type": "application/json", "User-Agent": "isocenter",
            SIGNATURE: signature(secret, int(time.time()), body),
        }  # fmt: skip
        return self._outgoing.post(
            listener.host, listener.port, listener.target, headers, body,
            trusted=listener.is_trusted(self._trusted), tls=listener.scheme == "https",
        )  # fmt: skip

    def check(self, url: str) -> None:
        """BadRequest where it is no address of a listener, Forbidden where it may not be told anything."""
        listener = Listener.parse(url)
        if listener.is_trusted(self._trusted):
            return
        if listener.scheme != "https":
            raise Forbidden(
                "a webhook leads to a public address by https, or to one of the setting webhook_urls", code="not-https"
            )
        self._outgoing.may_reach(listener.host, listener.port)


def webhooks_of(settings: Settings, platform: Platform) -> WebhookDesk:
    """What adds, lists and removes webhooks."""
    return WebhookDesk(platform, settings.stores, Posting(settings).check)


def notifier_of(settings: Settings, platform: Platform) -> Notifier:
    """What sends, in one process."""
    patience = Patience(
        settings.webhook_attempts,
        settings.webhook_retry_seconds,
        settings.webhook_longest_retry_seconds,
        settings.webhook_seconds + settings.worker_lease_seconds,
    )
    return Notifier(platform, Posting(settings), patience, f"{os.getpid()}-{token_hex(8)}")


def sending(settings: Settings, platform: Platform) -> Rounds:
    """The thread that sees that webhooks are told."""
    notifier = notifier_of(settings, platform)
    return Rounds("webhooks", _ROUND, notifier.look, notifier.close)


def completeness_of(settings: Settings, platform: Platform, jobs: Jobs, plan: Plan | None) -> Completeness:
    """What sees when studies are complete, and has a plan run over them."""
    key = platform.secrets.create(STUDIES_KEY, token_bytes(32))
    return Completeness(platform, jobs, key, quiet=settings.study_quiet_seconds, plan=plan)


def completing(settings: Settings, platform: Platform, jobs: Jobs, plan: Plan | None) -> Rounds:
    """The thread that does so."""
    return Rounds("studies", _ROUND, completeness_of(settings, platform, jobs, plan).look)


def worker_needed(platform: Platform, *, soon: float = 0.0) -> bool:
    """Whether there is something for a worker to do now or within so many seconds."""
    return platform.jobs.waiting() > 0 or has_work(platform, timedelta(seconds=soon))
