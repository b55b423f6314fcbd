"""Wrappers of ports that fail when a test asks, and ones that count what passes through them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from isocenter.errors import BackendUnavailable
from isocenter.ports.blob_store import BlobStore, BlobWriter
from isocenter.ports.index import Index
from isocenter.records import (
    AuditEntry,
    BlobStat,
    Committed,
    Details,
    ImageQuery,
    ImageRecord,
    NewImage,
    Page,
    State,
)


def unavailable() -> Exception:
    return BackendUnavailable("a fault that the test asked for")


class Plan:
    """Says which calls fail: the `number`th (from 1) of each operation in `at`; thread-safe."""

    def __init__(self, *at: tuple[str, int], error: Callable[[], Exception] = unavailable) -> None:
        self._at = set(at)
        self._error = error
        self._lock = threading.Lock()
        self.calls: Counter[str] = Counter()

    def fails(self, operation: str) -> bool:
        """Count a call and say whether this one is to fail."""
        with self._lock:
            self.calls[operation] += 1
            return (operation, self.calls[operation]) in self._at

    def pass_or_raise(self, operation: str) -> None:
        if self.fails(operation):
            raise self._error()

    def error(self) -> Exception:
        return self._error()


class FaultyBlobStore:
    """A blob store whose calls fail by plan: create, write, commit, committed, read, stream and the rest.

    "commit" fails before anything was made durable, "committed" after: the blob is there, and nobody is told.
    """

    def __init__(self, inner: BlobStore, plan: Plan) -> None:
        self.inner = inner
        self.plan = plan

    def create(self, key: str) -> BlobWriter:
        self.plan.pass_or_raise("create")
        return _FaultyWriter(self.inner.create(key), self.plan)

    def read(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        self.plan.pass_or_raise("read")
        return self.inner.read(key, offset, length)

    def stream(self, key: str, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        self.plan.pass_or_raise("stream")
        return self.inner.stream(key, offset, length)

    def stat(self, key: str) -> BlobStat:
        self.plan.pass_or_raise("stat")
        return self.inner.stat(key)

    def delete(self, key: str) -> None:
        self.plan.pass_or_raise("delete")
        self.inner.delete(key)

    def list(self, prefix: str = "") -> Iterator[BlobStat]:
        self.plan.pass_or_raise("list")
        return self.inner.list(prefix)


class _FaultyWriter:
    def __init__(self, inner: BlobWriter, plan: Plan) -> None:
        self._inner = inner
        self._plan = plan

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._plan.pass_or_raise("write")
        self._inner.write(data)

    def commit(self) -> None:
        self._plan.pass_or_raise("commit")
        self._inner.commit()
        self._plan.pass_or_raise("committed")

    def abort(self) -> None:
        self._inner.abort()


class CountingBlobStore:
    """A blob store that counts the bytes read through it."""

    def __init__(self, inner: BlobStore) -> None:
        self.inner = inner
        self.bytes_read = 0
        self.reads: list[tuple[str, int, int]] = []

    def create(self, key: str) -> BlobWriter:
        return self.inner.create(key)

    def read(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        data = self.inner.read(key, offset, length)
        self.bytes_read += len(data)
        self.reads.append((key, offset, len(data)))
        return data

    def stream(self, key: str, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        for chunk in self.inner.stream(key, offset, length):
            self.bytes_read += len(chunk)
            yield chunk

    def stat(self, key: str) -> BlobStat:
        return self.inner.stat(key)

    def delete(self, key: str) -> None:
        self.inner.delete(key)

    def list(self, prefix: str = "") -> Iterator[BlobStat]:
        return self.inner.list(prefix)


class FaultyIndex:
    """An index whose commits fail by plan: "commit" before the transaction, "committed" after it."""

    def __init__(self, inner: Index, plan: Plan) -> None:
        self.inner = inner
        self.plan = plan

    def commit(self, new: Sequence[tuple[NewImage, AuditEntry]], *, keep_versions: bool = False) -> Sequence[Committed]:
        self.plan.pass_or_raise("commit")
        done = self.inner.commit(new, keep_versions=keep_versions)
        self.plan.pass_or_raise("committed")
        return done

    def get(self, id: str) -> ImageRecord | None:
        return self.inner.get(id)

    def images(self, query: ImageQuery) -> Page[ImageRecord]:
        return self.inner.images(query)

    def details(self, ids: Sequence[str]) -> Mapping[str, Details]:
        return self.inner.details(ids)

    def transition(self, ids: Sequence[str], to: State, entry: AuditEntry) -> Sequence[ImageRecord]:
        return self.inner.transition(ids, to, entry)

    def purge(self, ids: Sequence[str], entry: AuditEntry) -> Sequence[ImageRecord]:
        self.plan.pass_or_raise("purge")
        return self.inner.purge(ids, entry)

    def blob_keys(self) -> Iterator[str]:
        return self.inner.blob_keys()
