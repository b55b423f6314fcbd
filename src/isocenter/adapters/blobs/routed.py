"""A blob store made of several: each key lies where its first segment, the store's name, says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from isocenter.errors import Misconfigured
from isocenter.ports.blob_store import BlobStore, BlobWriter, SignedPut, SignsPuts, SignsUrls
from isocenter.records import BlobStat


class RoutedBlobStore:
    """Keys that begin with one of `places` and a slash lie there under the same key; all others lie in `rest`."""

    def __init__(self, rest: BlobStore, places: Mapping[str, BlobStore]) -> None:
        self._rest = rest
        self._places = dict(places)

    def _of(self, key: str) -> BlobStore:
        name, slash, _ = key.partition("/")
        return self._places.get(name, self._rest) if slash else self._rest

    def create(self, key: str) -> BlobWriter:
        return self._of(key).create(key)

    def read(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        return self._of(key).read(key, offset, length)

    def stream(self, key: str, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        return self._of(key).stream(key, offset, length)

    def stat(self, key: str) -> BlobStat:
        return self._of(key).stat(key)

    def delete(self, key: str) -> None:
        self._of(key).delete(key)

    def list(self, prefix: str = "") -> Iterator[BlobStat]:
        first, slash, _ = prefix.partition("/")
        if slash:
            yield from self._of(prefix).list(prefix)
            return
        yield from (stat for stat in self._rest.list(prefix) if self._of(stat.key) is self._rest)
        for name, store in self._places.items():
            if name.startswith(first):
                yield from store.list(f"{name}/")

    def signed_url(self, key: str, seconds: int, media_type: str | None = None) -> str:
        """As the store does in which the key lies; Misconfigured where that one cannot sign."""
        store = self._of(key)
        if not isinstance(store, SignsUrls):
            raise Misconfigured("this object store signs no URLs (setting delivery_links)")
        return store.signed_url(key, seconds, media_type)

    def signed_put(self, key: str, size: int, seconds: int, *, media_type: str | None, sha256: str | None) -> SignedPut:
        """As the store does in which the key will lie; Misconfigured where that one cannot sign."""
        store = self._of(key)
        if not isinstance(store, SignsPuts):
            raise Misconfigured("this object store takes no presigned uploads, S3 does (setting upload_links)")
        return store.signed_put(key, size, seconds, media_type=media_type, sha256=sha256)
