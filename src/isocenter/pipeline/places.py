"""Images that lie outside: read where they are, results written beside them; their addresses sealed wherever kept."""

from __future__ import annotations

import base64
import hashlib
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import IO, TYPE_CHECKING

import orjson

from isocenter.deid.source import InMemory, Readable
from isocenter.errors import BadRequest, Conflict, LimitExceeded, NotFound
from isocenter.pipeline.locations import Allowed, InBucket, OnHost, require_allowed
from isocenter.ports.blob_store import BlobStore

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV

PREFIX = "outside-"
_AT_ONCE = 16 << 20  # an object up to this size is read at once
_IN_MEMORY = 64 << 20

Fetch = Callable[[str, int, str], Iterator[bytes]]
Buckets = Callable[[InBucket], BlobStore]


@dataclass(frozen=True)
class Places:
    """The outside as the settings allow it. `key` gives 64 bytes that seal addresses: file names may name patients."""

    allowed: Sequence[Allowed]
    buckets: Buckets
    fetch: Fetch
    key: Callable[[], bytes]
    most_bytes: int

    def require(self, location: InBucket | OnHost) -> None:
        """Forbidden where the location is not on the list."""
        require_allowed(location, self.allowed)

    def sealed(self, location: InBucket | OnHost) -> str:
        """The location as an opaque id that can be kept anywhere; the same location has the same one."""
        if isinstance(location, InBucket):
            told: list[str | int] = ["bucket", location.scheme, location.bucket, location.key]
        else:
            told = ["host", location.host, location.port, location.target]
        sealed = self._cipher().encrypt(orjson.dumps(told), [b"isocenter location"])
        return PREFIX + base64.urlsafe_b64encode(sealed).decode("ascii").rstrip("=")

    def opened(self, id: str) -> InBucket | OnHost:
        """The location behind an id of `sealed`; BadRequest where it is none of ours."""
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - as below

        text = id.removeprefix(PREFIX)
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            told = orjson.loads(self._cipher().decrypt(raw, [b"isocenter location"]))
        except (ValueError, InvalidTag):
            raise BadRequest("that is no sealed location of this installation") from None
        if told[0] == "bucket":
            return InBucket(*told[1:])
        return OnHost(*told[1:])

    def _cipher(self) -> AESSIV:
        from cryptography.hazmat.primitives.ciphers.aead import AESSIV  # noqa: PLC0415 - heavy, at a cold start

        return AESSIV(self.key())

    def read(self, location: InBucket | OnHost) -> Readable:
        """The bytes that are there now. NotFound, LimitExceeded, Forbidden, Unavailable."""
        self.require(location)  # the list may have become shorter since the job began
        if isinstance(location, OnHost):
            return _spooled(self.fetch(location.host, location.port, location.target))
        store = self.buckets(location)
        try:
            size = store.stat(location.key).size
        except NotFound:
            raise NotFound("nothing is at that URL", code="no-such-object") from None
        if size > self.most_bytes:
            raise LimitExceeded(f"what is there is larger than {self.most_bytes} bytes", code="too-large")
        return StoredBlob(store, location.key, size)

    def put(self, location: InBucket, data: bytes, may_replace: Callable[[bytes], bool]) -> None:
        """Write an object. One that is there already and holds other bytes is replaced only if `may_replace` them."""
        self.require(location)
        store = self.buckets(location)
        for _ in range(3):
            try:
                written(store, location.key, data)
            except Conflict:
                try:
                    kept = store.read(location.key)
                except NotFound:
                    continue  # it went away this moment
                if hashlib.sha256(kept).digest() == hashlib.sha256(data).digest():
                    return
                if not may_replace(kept):
                    break
                store.delete(location.key)
            else:
                return
        raise Conflict(
            "an object of the result's name is there already, and it was not made from this image by this algorithm;"
            " it was left as it is",
            code="result-name-taken",
        )


def written(store: BlobStore, key: str, data: bytes) -> None:
    """Keep a blob, whole or not at all; Conflict where there is one of this key."""
    writer = store.create(key)
    try:
        writer.write(data)
        writer.commit()
    except BaseException:  # whatever it was: nothing half written is left, and it goes on up
        writer.abort()
        raise


class StoredBlob:
    """An object, read by ranges; a small one at once."""

    def __init__(self, store: BlobStore, key: str, size: int) -> None:
        self._store = store
        self._key = key
        self.size = size
        self._data = store.read(key) if size <= _AT_ONCE else None

    def read(self, offset: int, length: int) -> bytes:
        if self._data is not None:
            return self._data[offset : offset + length]
        return self._store.read(self._key, offset, length)


class _Spool:
    """A file without a name, read by position."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self.size = size
        weakref.finalize(self, file.close)  # it goes with its last reader

    def read(self, offset: int, length: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(length)


def _spooled(chunks: Iterator[bytes]) -> Readable:
    file: IO[bytes] = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115  it lives as long as its reader
    size = 0
    try:
        for chunk in chunks:
            file.write(chunk)
            size += len(chunk)
    except BaseException:  # whatever ended the fetch: nothing of it is left, and it goes on up
        file.close()
        raise
    if size <= _IN_MEMORY:
        file.seek(0)
        data = file.read()
        file.close()
        return InMemory(data)
    return _Spool(file, size)
