"""The Delete transaction: deleted images stay restorable for a grace time, then leave for good."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

from isocenter.archive.store import Caller
from isocenter.errors import Unavailable
from isocenter.ports.platform import Platform
from isocenter.records import ImageQuery, ImageRecord, State, now

_BATCH = 500


class Delete:
    """Deletes, restores and purges."""

    def __init__(self, platform: Platform, grace: timedelta) -> None:
        self._index = platform.index
        self._blobs = platform.blobs
        self._grace = grace

    def delete(self, records: Sequence[ImageRecord], caller: Caller) -> Sequence[ImageRecord]:
        """Hide images; their bytes stay until the grace time is over. Deleting twice changes nothing."""
        return self._index.transition([record.id for record in records], State.DELETED, caller.entry("delete"))

    def restore(self, ids: Sequence[str], caller: Caller) -> Sequence[ImageRecord]:
        """Bring deleted images back; Conflict where another took the identity in the meantime."""
        return self._index.transition(ids, State.CURRENT, caller.entry("restore"))

    def matching(self, query: ImageQuery) -> list[ImageRecord]:
        """Every image that a query names, whatever its page size."""
        found: list[ImageRecord] = []
        cursor: str | None = None
        while True:
            page = self._index.images(_page_of(query, cursor))
            found.extend(page.items)
            cursor = page.next
            if cursor is None:
                return found

    def purge_expired(self, caller: Caller) -> int:
        """Forget what was deleted longer ago than the grace: rows first, so that no row ever lacks its blob."""
        purged = 0
        query = ImageQuery(states=(State.DELETED,), changed_before=now() - self._grace, limit=_BATCH)
        while True:
            ids = [record.id for record in self._index.images(query).items]
            gone = self._index.purge(ids, caller.entry("purge")) if ids else ()
            if not gone:
                return purged
            for record in gone:
                with suppress(Unavailable):  # fsck sweeps what cannot be deleted now
                    self._blobs.delete(record.blob.key)
            purged += len(gone)


def _page_of(query: ImageQuery, cursor: str | None) -> ImageQuery:
    return ImageQuery(
        query.stores, query.subject_id, query.image_id, query.study_uid, query.series_uid, query.sop_instance_uids,
        query.kind, query.states, query.changed_before, cursor, _BATCH,
    )  # fmt: skip
