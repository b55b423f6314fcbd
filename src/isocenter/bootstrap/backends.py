"""Platforms, and what works over them without a web: the only place where a backend is chosen."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import structlog

from isocenter.adapters.blobs.folder import INCOMING, FolderBlobStore
from isocenter.adapters.blobs.routed import RoutedBlobStore
from isocenter.adapters.home import Home
from isocenter.adapters.inboxes.bucket import BucketInbox
from isocenter.adapters.inboxes.folder import FolderInbox
from isocenter.adapters.processes import ProcessSandbox
from isocenter.archive.delete import Delete
from isocenter.archive.reindex import reindex
from isocenter.archive.search import BASE, prepare
from isocenter.archive.store import Store
from isocenter.dicom.elements import Limits
from isocenter.pipeline.ingest import Ingest
from isocenter.ports.blob_store import BlobStore
from isocenter.ports.inbox import Inbox
from isocenter.ports.platform import Platform
from isocenter.settings import Settings

_DYNAMODB = "dynamodb://"
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Backends:
    """An open platform; `close` gives back what it holds."""

    platform: Platform
    home: Home
    audit_key: bytes
    close: Callable[[], None]


def is_on_aws(settings: Settings) -> bool:
    """Whether everything but images lies in DynamoDB, and Step Functions bring the tasks of jobs."""
    url = settings.database_url
    return url is not None and url.get_secret_value().startswith(_DYNAMODB)


def open_backends(settings: Settings) -> Backends:
    """Choose and open the backends; a database's schema is brought up to date."""

    home = Home(settings.home)
    sandbox = ProcessSandbox(settings.decode_workers, settings.decode_memory_bytes, preload=("isocenter.render.frame",))
    if is_on_aws(settings):
        from isocenter.bootstrap.on_dynamodb import open_rooms  # boto3 or SQLAlchemy, as it is chosen
    else:
        from isocenter.bootstrap.on_sql import open_rooms
    rooms = open_rooms(settings, home)
    platform = Platform(blobs=_blobs(settings), sandbox=sandbox, **rooms.parts)

    missing = prepare(platform, settings.searched)
    if BASE in missing:
        # Made by an older version: nothing is found before this, so it cannot wait for someone to ask for it.
        reindex(platform, settings.searched)
    elif missing:
        log.warning("search_attributes are not indexed for every image; run isocenter reindex", attributes=len(missing))

    def close() -> None:
        sandbox.close()
        rooms.close()
        home.close()

    return Backends(platform, home, rooms.audit_key, close)


def _blobs(settings: Settings) -> BlobStore:
    """Where images lie, and apart from the rest those of stores that have a place of their own."""
    rest = _blob_store(settings, settings.blobs_url)
    if not settings.blobs_urls:
        return rest
    return RoutedBlobStore(rest, {name: _blob_store(settings, url) for name, url in settings.blobs_urls.items()})


def _blob_store(settings: Settings, url: str | None) -> BlobStore:
    if url is None:
        return FolderBlobStore(settings.home / "blobs")
    if "://" not in url:
        return FolderBlobStore(Path(url))
    return object_store(settings, url)


def object_store(settings: Settings, url: str) -> BlobStore:
    """A bucket, or a prefix in one, by its URL; the options of the connection are those of `blobs_options`."""
    from isocenter.adapters.blobs.objects import ObjectBlobStore  # obstore is loaded only where it serves

    return ObjectBlobStore(url, {name: value.get_secret_value() for name, value in settings.blobs_options.items()})


def folder_store(folder: Path, *, read_only: bool = False) -> BlobStore:
    """A folder as a destination: its files appear whole and durable. `read_only` leaves no trace in it."""
    return FolderBlobStore(folder, read_only=read_only)


def folder_inbox(folder: Path) -> Inbox:
    """A folder that is watched."""
    return FolderInbox(folder)


def object_inbox(settings: Settings, url: str) -> Inbox:
    """A prefix of a bucket that is watched."""
    return BucketInbox(object_store(settings, url))


def left_tidy(folder: Path) -> None:
    """Take away what a destination has only while it is written to."""
    with suppress(OSError):  # somebody else writes to it
        (folder / INCOMING).rmdir()


def limits_of(settings: Settings) -> Limits:
    return Limits(
        depth=settings.max_depth,
        elements=settings.max_elements,
        header_bytes=settings.max_header_bytes,
        inflated_bytes=settings.max_inflated_bytes,
    )


def ingest_of(settings: Settings, platform: Platform) -> Ingest:
    """The front door with the limits of the settings."""
    return Ingest(
        Store(platform, limits_of(settings), keep_versions=settings.keep_versions, searched=settings.searched)
    )


def deletes_of(settings: Settings, platform: Platform) -> Delete:
    return Delete(platform, timedelta(days=settings.deleted_grace_days))
