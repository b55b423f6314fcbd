"""The inbox port on a prefix of a bucket: a claim is a numbered marker that can be created once, and runs out."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta

from isocenter.errors import Conflict, NotFound
from isocenter.ports.blob_store import BlobStore
from isocenter.ports.inbox import Waiting
from isocenter.records import BlobStat, now

CLAIMED, PROCESSED, FAILED = "claimed/", "processed/", "failed/"
_LEASE = timedelta(minutes=15)


class BucketInbox:
    """Objects of a store, which is the prefix that is watched: an object shows only when it is whole.

    What ended lies below `processed/` and `failed/` (or another place); markers of claims below `claimed/`, named by a
    hash. With `names`, those that events told of, nothing is listed and nothing else is looked at.
    """

    def __init__(
        self,
        store: BlobStore,
        clock: Callable[[], datetime] = now,
        *,
        names: Sequence[str] | None = None,
        failed: str = FAILED,
        lease: timedelta = _LEASE,
    ) -> None:
        self._store = store
        self._clock = clock
        self._names = None if names is None else tuple(dict.fromkeys(names))
        self._failed = failed
        self._lease = lease
        self._claims: dict[str, int] = {}  # the number of our claim on each

    def look(self, limit: int) -> Sequence[Waiting]:
        found = []
        for stat in self._lying():
            if not stat.key.startswith((CLAIMED, PROCESSED, self._failed)) and not stat.key.endswith("/"):
                found.append((stat.modified, Waiting(stat.key, stat.size)))
        found.sort(key=lambda entry: (entry[0], entry[1].name))
        if self._names is not None:
            return [waiting for _, waiting in found][:limit]  # claiming looks whether they are held: one listing less
        return [waiting for _, waiting in found if not self._last(waiting)[1]][:limit]

    def _lying(self) -> Iterator[BlobStat]:
        if self._names is None:
            yield from self._store.list()
            return
        for name in self._names:
            try:
                yield self._store.stat(name)
            except NotFound:
                continue  # it was ended before, or taken away by whoever put it there

    def _markers(self, waiting: Waiting) -> str:
        return CLAIMED + hashlib.sha256(waiting.name.encode()).hexdigest() + "/"

    def _last(self, waiting: Waiting) -> tuple[int, bool]:
        """The number of the last claim, 0 where there was none, and whether its time still runs."""
        prefix = self._markers(waiting)
        number = max((int(stat.key.removeprefix(prefix)) for stat in self._store.list(prefix)), default=0)
        if not number:
            return 0, False
        try:
            until = datetime.fromisoformat(self._store.read(f"{prefix}{number}").decode("ascii"))
        except NotFound:  # what it claims was ended this moment
            return number, True
        return number, until > self._clock()

    def claim(self, waiting: Waiting) -> bool:
        number, held = self._last(waiting)
        if held:
            return False
        try:
            # Numbered, so that of many who take over a claim that ran out one alone creates the next.
            _put(
                self._store, f"{self._markers(waiting)}{number + 1}", (self._clock() + self._lease).isoformat().encode()
            )
            self._store.stat(waiting.name)
        except (Conflict, NotFound):
            return False
        self._claims[waiting.name] = number + 1
        return True

    def read(self, waiting: Waiting) -> Iterator[bytes]:
        return self._store.stream(waiting.name)

    def processed(self, waiting: Waiting) -> None:
        self._end(waiting, PROCESSED)

    def failed(self, waiting: Waiting, code: str) -> None:
        target = self._end(waiting, self._failed)
        if target is not None:
            _put_once(self._store, f"{target}.reason.txt", f"{code}\n".encode())

    def _end(self, waiting: Waiting, place: str) -> str | None:
        """Copy it to its place, then take it from where it lay: at each moment it lies somewhere whole."""
        target = place + waiting.name
        try:
            data = self._store.stream(waiting.name)
            try:
                _stream(self._store, target, data)
            except Conflict:  # another object of that name ended before, or this one did and its removal was cut short
                target = f"{place}{secrets.token_hex(8)}/{waiting.name}"
                _stream(self._store, target, self._store.stream(waiting.name))
        except NotFound:
            return None  # it was ended before
        self._store.delete(waiting.name)
        claims = self._claims.pop(waiting.name, 0) or self._last(waiting)[0]
        for number in range(1, claims + 1):
            self._store.delete(f"{self._markers(waiting)}{number}")
        return target


def _put(store: BlobStore, key: str, data: bytes) -> None:
    _stream(store, key, iter((data,)))


def _put_once(store: BlobStore, key: str, data: bytes) -> None:
    try:
        _put(store, key, data)
    except Conflict:
        return


def _stream(store: BlobStore, key: str, chunks: Iterator[bytes]) -> None:
    writer = store.create(key)
    try:
        for chunk in chunks:
            writer.write(chunk)
        writer.commit()
    except BaseException:  # whatever it was: nothing half written is left, and it goes on up
        writer.abort()
        raise
