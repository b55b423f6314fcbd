"""Images sent to destinations, and the audit of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial

from isocenter.archive.deliver import Deliver
from isocenter.archive.file_names import file_path, is_uid, media_type_of
from isocenter.archive.store import Caller
from isocenter.errors import IsocenterError
from isocenter.ports.audit_log import AuditLog
from isocenter.ports.destination import Destination
from isocenter.records import ImageRecord, Parcel


class Send:
    """Sends images as they are delivered: PS3.10 files with preambles of zeros, what is not DICOM as it came."""

    def __init__(self, deliver: Deliver, audit: AuditLog, identified: Collection[str]) -> None:
        self._deliver = deliver
        self._audit = audit
        self._identified = frozenset(identified)

    def send(
        self, records: Sequence[ImageRecord], destination: Destination, caller: Caller
    ) -> Mapping[str, str | IsocenterError]:
        """Where each image went, by its internal id, or why it did not go."""
        said = destination.put([self._parcel(record) for record in records])
        counts = Counter((record.store, isinstance(said[record.id], str)) for record in records)
        self._audit.append([
            caller.entry("deliver.send", "success" if gone else "failed", store=store, count=count)
            for (store, gone), count in counts.items()
        ])  # fmt: skip
        return said

    def _parcel(self, record: ImageRecord) -> Parcel:
        content = self._deliver.content(record, original=False)
        uids = (record.study_uid or "", record.series_uid or "", record.sop_instance_uid or "")
        return Parcel(
            record.id,
            file_path(record, identified=record.store in self._identified),
            media_type_of(record),
            content.size,
            content.sha256,
            partial(self._chunks, record),
            uids if all(map(is_uid, uids)) else None,
        )

    def _chunks(self, record: ImageRecord) -> Iterator[bytes]:
        return self._deliver.content(record, original=False).chunks
