"""What gives images out: links, and the destinations of the settings."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import partial

from pydantic import SecretStr

from isocenter.archive.deliver import Deliver
from isocenter.archive.file_set import FileSets
from isocenter.archive.retrieve import Retrieve
from isocenter.bootstrap.backends import folder_store, left_tidy
from isocenter.errors import BackendUnavailable
from isocenter.pipeline.destinations import BucketAt, FolderAt, PeerAt
from isocenter.pipeline.send import Send
from isocenter.pipeline.steps.base import Step
from isocenter.pipeline.steps.deliver import LinksStep, SendStep
from isocenter.pipeline.steps.parameters import Delivering
from isocenter.ports.destination import Destination
from isocenter.ports.platform import Platform
from isocenter.settings import Settings


def deliver_of(
    settings: Settings, platform: Platform, retrieve: Retrieve | None = None, file_sets: FileSets | None = None
) -> Deliver:
    """Deliveries by links, as the settings have them."""
    retrieve = retrieve or Retrieve(platform)
    return Deliver(
        platform,
        retrieve,
        file_sets or FileSets(retrieve),
        settings.identified_stores,
        presigned=settings.delivery_links == "presigned",
    )


def send_of(settings: Settings, platform: Platform) -> Send:
    """What sends images to destinations."""
    return Send(deliver_of(settings, platform), platform.audit, settings.identified_stores)


def destination_of(settings: Settings, name: str) -> Destination:
    """A destination by its name in the settings; one that is not there may be named yet, so it is Unavailable."""
    at = settings.destinations.get(name)
    if at is None:
        raise BackendUnavailable(
            "the setting destinations names no such destination", code="no-such-destination", retry_after=60
        )
    from isocenter.adapters.destinations.stored import StoredDestination  # loaded only where something is sent

    if isinstance(at, FolderAt):
        return StoredDestination(name, folder_store(at.path), partial(left_tidy, at.path))
    if isinstance(at, BucketAt):
        from isocenter.adapters.blobs.objects import ObjectBlobStore

        return StoredDestination(name, ObjectBlobStore(at.url, _revealed(at.options)))
    from isocenter.adapters.destinations.calling import Remote

    if isinstance(at, PeerAt):
        from isocenter.adapters.destinations.stow import StowPeer

        token = None if at.token is None else at.token.get_secret_value()
        return StowPeer(name, Remote(at.url, token, seconds=at.seconds), at.url, verify=at.verify)
    from isocenter.adapters.destinations.webhook import Webhook

    return Webhook(name, Remote(at.url, seconds=at.seconds), at.secret.get_secret_value().encode())


def delivering_step(settings: Settings, platform: Platform, told: Delivering) -> Step:
    """The step of these parameters."""
    if told.links is not None:
        return LinksStep(deliver_of(settings, platform), seconds=told.links.seconds, zipped=told.links.zip)
    assert told.to is not None
    return SendStep(send_of(settings, platform), _once(partial(destination_of, settings, told.to)))


def _once(open: Callable[[], Destination]) -> Callable[[], Destination]:
    lock = threading.Lock()
    opened: list[Destination] = []

    def get() -> Destination:
        with lock:
            if not opened:
                opened.append(open())
            return opened[0]

    return get


def _revealed(options: Mapping[str, SecretStr]) -> dict[str, str]:
    return {name: value.get_secret_value() for name, value in options.items()}
