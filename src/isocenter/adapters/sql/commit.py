"""The hot path: making images visible, one transaction for a batch, a dozen statements whatever its size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Insert, select, update
from sqlalchemy.dialects.postgresql import insert

from isocenter.adapters.sql.database import Database, run
from isocenter.adapters.sql.head import Head, HeadLock
from isocenter.adapters.sql.rows import COLUMNS, cleaned, image_record, image_row, same_identity
from isocenter.adapters.sql.tables import details, images, series, studies
from isocenter.adapters.sql.text import clean, dumped
from isocenter.errors import Conflict
from isocenter.records import AuditEntry, CommitOutcome, Committed, Event, ImageRecord, NewImage, State

_MODALITY = "00080060"
_STUDY = ["position", "store", "study_uid", "attributes"]
_SERIES = ["position", "store", "study_uid", "series_uid", "modality", "attributes"]


class Committing:
    """Commits batches; holds the statements compiled once.

    PostgreSQL's INSERT ... ON CONFLICT is SQLite's word for word, so that its construct serves both.
    """

    def __init__(self, database: Database, lock: HeadLock) -> None:
        self._database = database
        self._lock = lock
        self._images = database.compiled(_unless_there(insert(images)), COLUMNS)
        self._details = database.compiled(insert(details), ["position", "metadata", "frames"])
        self._studies = database.compiled(_unless_there(insert(studies)), _STUDY)
        self._series = database.compiled(_unless_there(insert(series)), _SERIES)

    def __call__(self, new: Sequence[tuple[NewImage, AuditEntry]], keep_versions: bool) -> Sequence[Committed]:
        if not new:
            return ()
        records = [cleaned(image.record) for image, _ in new]
        with self._database.transaction() as connection:
            head = self._lock.taken(connection)
            first = head.position + 1
            rows = [image_row(first + i, record) for i, record in enumerate(records)]
            if run(head.cursor, self._images, rows) == len(rows):
                committed = [Committed(CommitOutcome.STORED, record) for record in records]
            else:
                committed = self._sorted_out(connection, head, records, new, keep_versions)
            self._queue_details(head, new, committed)
            for (_, entry), answer in zip(new, committed, strict=True):
                _tell(head, entry, answer)
            head.position += len(rows)
            head.save()
        return committed

    def _sorted_out(
        self,
        connection: Connection,
        head: Head,
        records: Sequence[ImageRecord],
        new: Sequence[tuple[NewImage, AuditEntry]],
        keep_versions: bool,
    ) -> list[Committed]:
        """Tell for each item whether its row went in and, where not, what stood in its way.

        The head is locked, so nobody else changes an image meanwhile; and identities do not affect each
        other, so that going through the rows left out in order is the same as going through all in order.
        """
        first = head.position + 1
        found = connection.execute(select(images.c.position).where(images.c.position >= first))
        inserted = set(found.scalars())
        committed = []
        for i, record in enumerate(records):
            if first + i in inserted:
                committed.append(Committed(CommitOutcome.STORED, record))
                continue
            row = connection.execute(same_identity(record)).one_or_none()
            there = None if row is None else image_record(row)
            if there is not None and there.blob.sha256 == record.blob.sha256:
                committed.append(Committed(CommitOutcome.DUPLICATE, there))
            elif there is not None and not keep_versions:
                committed.append(Committed(CommitOutcome.CONFLICT, there))
            else:
                if there is not None:
                    leave = update(images).where(images.c.id == there.id)
                    connection.execute(leave.values(state=State.SUPERSEDED.value, changed=new[i][1].at))
                self._insert_one(head, first + i, record)
                committed.append(Committed(CommitOutcome.REPLACED, record))
        return committed

    def _insert_one(self, head: Head, position: int, record: ImageRecord) -> None:
        if run(head.cursor, self._images, [image_row(position, record)]) != 1:
            raise Conflict("Another image has this internal id already.", code="id-taken")

    def _queue_details(
        self, head: Head, new: Sequence[tuple[NewImage, AuditEntry]], committed: Sequence[Committed]
    ) -> None:
        first = head.position + 1
        beside: list[tuple[Any, ...]] = []
        study_rows: dict[tuple[str, str], tuple[Any, ...]] = {}
        series_rows: dict[tuple[str, str, str], tuple[Any, ...]] = {}
        for i, ((image, _), answer) in enumerate(zip(new, committed, strict=True)):
            if answer.outcome not in (CommitOutcome.STORED, CommitOutcome.REPLACED):
                continue
            record, position = answer.record, first + i
            beside.append((position, image.details.metadata, image.details.frames))
            if record.study_uid is None:
                continue
            study = (record.store, record.study_uid)
            if study not in study_rows:
                study_rows[study] = (position, *study, dumped(image.study))
            if record.series_uid is None or (*study, record.series_uid) in series_rows:
                continue
            level = (*study, record.series_uid)
            series_rows[level] = (position, *level, modality(image.series), dumped(image.series))
        head.queue(self._details, beside)
        head.queue(self._studies, list(study_rows.values()))
        head.queue(self._series, list(series_rows.values()))


def _unless_there(statement: Any) -> Insert:
    made = statement.on_conflict_do_nothing()
    assert isinstance(made, Insert)
    return made


def _tell(head: Head, entry: AuditEntry, answer: Committed) -> None:
    stored = answer.outcome in (CommitOutcome.STORED, CommitOutcome.REPLACED)
    if stored:
        head.tell(Event(f"image.{answer.outcome.value}", answer.record.store, answer.record.id, entry.at))
    outcome = entry.outcome if stored else answer.outcome.value
    # Spelt out, as dataclasses.replace would take a good part of what the chain takes.
    head.note(AuditEntry(
        entry.actor, entry.action, outcome, entry.at, answer.record.store, answer.record.id, entry.request_id,
        entry.address, entry.count,
    ))  # fmt: skip


def modality(model: Mapping[str, Any]) -> str | None:
    """The first value of Modality (0008,0060) of a series as a DICOM JSON model."""
    element = model.get(_MODALITY)
    values = element.get("Value") if isinstance(element, Mapping) else None
    value = values[0] if isinstance(values, list | tuple) and values else None
    return clean(value) if isinstance(value, str) and value else None
