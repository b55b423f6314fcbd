"""A folder or a bucket as a destination: images under their paths, whole and durable or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence

from isocenter.errors import Conflict, Corrupted, IsocenterError
from isocenter.ports.blob_store import BlobStore
from isocenter.records import Parcel


class StoredDestination:
    """A destination over any blob store; `tidied` is called when it is closed."""

    def __init__(self, name: str, blobs: BlobStore, tidied: Callable[[], None] = lambda: None) -> None:
        self.name = name
        self._blobs = blobs
        self._tidied = tidied

    def put(self, parcels: Sequence[Parcel]) -> Mapping[str, str | IsocenterError]:
        found: dict[str, str | IsocenterError] = {}
        for parcel in parcels:
            try:
                found[parcel.id] = self._put(parcel)
            except IsocenterError as error:
                found[parcel.id] = error
        return found

    def close(self) -> None:
        self._tidied()

    def _put(self, parcel: Parcel) -> str:
        writer = self._blobs.create(parcel.path)
        size, digest = 0, hashlib.sha256()
        try:
            for chunk in parcel.chunks():
                writer.write(chunk)
                digest.update(chunk)
                size += len(chunk)
            if size != parcel.size or parcel.sha256 not in (None, digest.hexdigest()):
                raise Corrupted("what was read to be sent is not what was kept")
            writer.commit()
        except Conflict:
            if digest_of(self._blobs.stream(parcel.path)) != digest.hexdigest():
                raise Conflict("other bytes lie at the destination already", code="destination-conflict") from None
        finally:
            writer.abort()
        return parcel.path


def digest_of(chunks: Iterator[bytes]) -> str:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()
