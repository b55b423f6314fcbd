"""The port to where bytes are kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from isocenter.records import BlobStat


class BlobWriter(Protocol):
    """One blob being written; nothing can be read under its key until `commit` has returned."""

    def write(self, data: bytes | bytearray | memoryview) -> None: ...

    def commit(self) -> None:
        """Make the blob durable and readable: after this returns, no power cut takes it away."""

    def abort(self) -> None:
        """Leave nothing behind. Harmless after `commit` or a second time."""


class BlobStore(Protocol):
    """Immutable blobs under keys that we choose. A missing key raises NotFound; a full store StorageFull."""

    def create(self, key: str) -> BlobWriter:
        """Begin a new blob; `commit` raises Conflict where the key exists."""

    def read(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        """`length` bytes from `offset` (to the end without it); fewer where the blob ends sooner."""

    def stream(self, key: str, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The same in chunks of about 1 MiB, so that memory stays bounded."""

    def stat(self, key: str) -> BlobStat: ...

    def delete(self, key: str) -> None:
        """Remove the blob; a missing key is no error."""

    def list(self, prefix: str = "") -> Iterator[BlobStat]:
        """Every blob whose key begins with `prefix`, in any order."""


@runtime_checkable
class SignsUrls(Protocol):
    """A blob store, besides, that can let somebody without credentials read one blob for a while."""

    def signed_url(self, key: str, seconds: int, media_type: str | None = None) -> str:
        """A URL that a GET of the blob works at for so long, and that nothing takes back before.

        It is answered with `media_type` where one is said.
        """


@dataclass(frozen=True, slots=True)
class SignedPut:
    """Where to PUT the bytes of one new blob, and the headers that have to come with them."""

    url: str
    headers: Mapping[str, str]


@runtime_checkable
class SignsPuts(Protocol):
    """A blob store, besides, that can let somebody without credentials write one new blob for a while."""

    def signed_put(self, key: str, size: int, seconds: int, *, media_type: str | None, sha256: str | None) -> SignedPut:
        """A PUT that takes exactly `size` bytes, of this media type and SHA-256 (hex) where said, under a new key."""
