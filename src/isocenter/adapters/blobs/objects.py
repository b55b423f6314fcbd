"""Blobs in an object store (S3 and what speaks it, Google Cloud Storage, Azure, or memory) through obstore."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from types import ModuleType
from typing import Any

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    NotFoundError,
    PermissionDeniedError,
    UnauthenticatedError,
    UnknownConfigurationKeyError,
)
from obstore.store import AzureStore, GCSStore, S3Store, from_url

from isocenter.errors import BackendUnavailable, Conflict, Misconfigured, NotFound
from isocenter.ports.blob_store import SignedPut
from isocenter.records import BlobStat

CHUNK = 1 << 20
PART = 8 << 20  # a blob up to this size is one put, a larger one a multipart upload in parts of it
_CONCURRENT_PARTS = 3
# Options of the connection: obstore takes them apart from those of the store, and panics where they are mixed.
_CONNECTION = frozenset(
    (
        "allow_http", "allow_invalid_certificates", "connect_timeout", "http1_only", "http2_only",
        "http2_keep_alive_interval", "http2_keep_alive_timeout", "http2_keep_alive_while_idle",
        "pool_idle_timeout", "pool_max_idle_per_host", "proxy_url", "timeout", "user_agent",
    )
)  # fmt: skip


@contextmanager
def _translated() -> Iterator[None]:
    """Turns obstore's errors into ours; their texts name buckets and keys and stay out of the message."""
    try:
        yield
    except (NotFoundError, FileNotFoundError) as error:
        raise NotFound("no blob has this key") from error
    except AlreadyExistsError as error:
        raise Conflict("a blob with this key exists") from error
    except (PermissionDeniedError, UnauthenticatedError, PermissionError) as error:
        raise BackendUnavailable("the object store refuses our credentials (setting blobs_options)") from error
    except (BaseError, OSError, ValueError) as error:
        raise BackendUnavailable(f"the object store did not answer as it should ({type(error).__name__})") from error


class ObjectWriter:
    """Buffers up to one part; a longer blob becomes a multipart upload, which shows up only at its end."""

    def __init__(self, store: ObjectBlobStore, key: str) -> None:
        self._store = store
        self._key = key
        self._buffer = bytearray()
        self._upload: obstore.WritableFile | None = None
        self._open = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._upload is None and len(self._buffer) + len(data) <= PART:
            self._buffer += data
            return
        with _translated():
            if self._upload is None:
                self._upload = obstore.open_writer(
                    self._store.client, self._key, buffer_size=PART, max_concurrency=_CONCURRENT_PARTS
                )
                self._upload.write(bytes(self._buffer))
                self._buffer = bytearray()
            self._upload.write(bytes(data))

    def commit(self) -> None:
        try:
            self._commit()
        except NotFound as error:  # of the bucket: a blob is not looked for here
            raise BackendUnavailable("the bucket that keeps the images is not there (setting blobs_url)") from error
        self._open = False
        self._buffer = bytearray()

    def _commit(self) -> None:
        with _translated():
            if self._upload is None:
                obstore.put(self._store.client, self._key, bytes(self._buffer), mode="create")
            else:
                with suppress(NotFound):
                    self._store.stat(self._key)
                    raise Conflict("a blob with this key exists")
                self._upload.close()

    def abort(self) -> None:
        """A multipart upload is left without its end; the bucket's lifecycle rule removes the parts."""
        self._open = False
        self._upload = None
        self._buffer = bytearray()


class ObjectBlobStore:
    """BlobStore over any store of obstore."""

    def __init__(self, url: str, options: Mapping[str, str] | None = None) -> None:
        try:
            retry = {"max_retries": 4, "retry_timeout": timedelta(seconds=30)}
            given: dict[str, Any] = {name.lower(): value for name, value in (options or {}).items()}
            self._given = dict(given)
            connection = {name: given.pop(name) for name in _CONNECTION & given.keys()}
            given = {**given, "client_options": connection, "retry_config": retry}
            self.client = from_url(url) if url.startswith("memory:") else from_url(url, **given)
        except (BaseError, UnknownConfigurationKeyError, ValueError) as error:
            raise Misconfigured(
                "blobs_url or blobs_options name no object store that can be used; see docs/deployment.md"
            ) from error

    def create(self, key: str) -> ObjectWriter:
        return ObjectWriter(self, key)

    def read(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        with _translated():
            if offset == 0 and length is None:
                return bytes(obstore.get(self.client, key).bytes())
            size = obstore.head(self.client, key)["size"]
            end = size if length is None else min(size, offset + length)
            if offset >= end:
                return b""
            return bytes(obstore.get_range(self.client, key, start=offset, end=end))

    def stream(self, key: str, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        with _translated():
            size = obstore.head(self.client, key)["size"]
            end = size if length is None else min(size, offset + length)
            if offset >= end:
                return
            options: obstore.GetOptions = {"range": (offset, end)}
            chunks = iter(obstore.get(self.client, key, options=options).stream(min_chunk_size=CHUNK))
        while True:
            with _translated():
                chunk = next(chunks, None)
            if chunk is None:
                return
            view = memoryview(chunk)  # the store in memory hands over all in one piece
            for start in range(0, len(view), CHUNK):
                yield bytes(view[start : start + CHUNK])

    def signed_url(self, key: str, seconds: int, media_type: str | None = None) -> str:
        """A GET of the blob by the store's own signature; Misconfigured where the store cannot sign (memory)."""
        if not isinstance(self.client, S3Store | GCSStore | AzureStore):
            raise Misconfigured("this object store signs no URLs (setting delivery_links)")
        if media_type is None:
            with _translated():
                return obstore.sign(self.client, "GET", key, timedelta(seconds=seconds))
        client, signing = self._signing()
        with _translated():
            url: str = signing.signed_get(client, self._given, key, seconds, media_type)
        return url

    def signed_put(self, key: str, size: int, seconds: int, *, media_type: str | None, sha256: str | None) -> SignedPut:
        """A PUT of one new blob by S3's own signature; Misconfigured where the store is not S3."""
        client, signing = self._signing()
        with _translated():
            put: SignedPut = signing.signed_put(
                client, self._given, key, size, seconds, media_type=media_type, sha256=sha256
            )
        return put

    def _signing(self) -> tuple[S3Store, ModuleType]:
        if not isinstance(self.client, S3Store):
            raise Misconfigured("this object store signs no such URLs, S3 does (setting upload_links)")
        try:
            from isocenter.adapters.blobs import signed  # noqa: PLC0415 - optional: botocore, only to sign
        except ImportError as error:
            raise Misconfigured("presigned uploads take the extra: pip install 'isocenter[aws]'") from error
        return self.client, signed

    def stat(self, key: str) -> BlobStat:
        with _translated():
            found = obstore.head(self.client, key)
        return BlobStat(key, found["size"], found["last_modified"])

    def delete(self, key: str) -> None:
        with suppress(NotFound), _translated():
            obstore.delete(self.client, key)

    def list(self, prefix: str = "") -> Iterator[BlobStat]:
        # obstore lists whole path segments only; the rest of the prefix is matched here.
        start = prefix.rpartition("/")[0]
        with _translated():
            pages = iter(obstore.list(self.client, prefix=start or None))
        while True:
            with _translated():
                page = next(pages, None)
            if page is None:
                return
            for found in page:
                if found["path"].startswith(prefix):
                    yield BlobStat(found["path"], found["size"], found["last_modified"])
