"""The blob store port in memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from isocenter.errors import Conflict, NotFound
from isocenter.records import BlobStat, now

CHUNK = 1 << 20


class MemoryBlobWriter:
    """A blob being written; it is in the store once committed."""

    def __init__(self, store: MemoryBlobStore, key: str) -> None:
        self._store = store
        self._key = key
        self._data = bytearray()
        self._open = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._open:
            raise ValueError("the blob was committed or aborted already")
        self._data += data

    def commit(self) -> None:
        if not self._open:
            raise ValueError("the blob was committed or aborted already")
        self._open = False
        self._store.put(self._key, bytes(self._data))

    def abort(self) -> None:
        self._open = False
        self._data = bytearray()


class MemoryBlobStore:
    """The reference blob store."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._blobs: dict[str, tuple[bytes, BlobStat]] = {}

    def create(self, key: str) -> MemoryBlobWriter:
        return MemoryBlobWriter(self, key)

    def put(self, key: str, data: bytes) -> None:
        """Keep a whole blob; Conflict where the key exists."""
        with self._lock:
            if key in self._blobs:
                raise Conflict("A blob with this key exists already.", code="blob-exists")
            self._blobs[key] = (data, BlobStat(key, len(data), now()))

    def read(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        data, _ = self._found(key)
        return data[offset : None if length is None else offset + length]

    def stream(self, key: str, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        data = self.read(key, offset, length)
        return (data[start : start + CHUNK] for start in range(0, len(data), CHUNK))

    def stat(self, key: str) -> BlobStat:
        return self._found(key)[1]

    def delete(self, key: str) -> None:
        with self._lock:
            self._blobs.pop(key, None)

    def list(self, prefix: str = "") -> Iterator[BlobStat]:
        with self._lock:
            stats = [stat for key, (_, stat) in self._blobs.items() if key.startswith(prefix)]
        return iter(stats)

    def _found(self, key: str) -> tuple[bytes, BlobStat]:
        with self._lock:
            found = self._blobs.get(key)
        if found is None:
            raise NotFound("No blob has this key.")
        return found
