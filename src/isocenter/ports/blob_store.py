"""The port to where bytes are kept."""

from __future__ import annotations

from collections.abc import Iterator
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

    def signed_url(self, key: str, seconds: int) -> str:
        """A URL that a GET of the blob works at for so long, and that nothing takes back before."""
