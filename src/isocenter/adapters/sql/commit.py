"""The hot path: making images visible, one transaction for a batch, a dozen statements whatever its size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Insert, Table, bindparam, select, update
from sqlalchemy.dialects.postgresql import insert

from isocenter.adapters.sql.database import Database, run
from isocenter.adapters.sql.head import Head, HeadLock
from isocenter.adapters.sql.levels import follow, modality, write_levels
from isocenter.adapters.sql.rows import COLUMNS, cleaned, image_record, image_row, same_identity
from isocenter.adapters.sql.tables import details, images, images_terms, metadata, series, studies
from isocenter.adapters.sql.terms import COLUMNS as COLUMNS_OF_TERMS
from isocenter.adapters.sql.terms import TERMS, term_rows
from isocenter.adapters.sql.text import dumped
from isocenter.dicom.attribute_lines import text_of
from isocenter.dicom.attributes import named_only
from isocenter.errors import Conflict
from isocenter.records import AuditEntry, CommitOutcome, Committed, Event, ImageRecord, NewImage, State

_STUDY = ["position", "store", "study_uid", "instances"]
_SERIES = ["position", "store", "study_uid", "series_uid", "modality", "instances"]
_DETAILS = ["position", "metadata", "frames", "attributes"]
_ATTRIBUTES = ["position", "attributes"]


class Committing:
    """Commits batches; holds the statements compiled once.

    PostgreSQL's INSERT ... ON CONFLICT is SQLite's word for word, so that its construct serves both.
    """

    def __init__(self, database: Database, lock: HeadLock) -> None:
        self._database = database
        self._lock = lock
        self._images = database.compiled(_unless_there(insert(images)), COLUMNS)
        self._details = database.compiled(insert(details), _DETAILS)
        self._image_terms = database.compiled(insert(images_terms), COLUMNS_OF_TERMS)
        self._levels = [_Level(database, "study", studies, _STUDY), _Level(database, "series", series, _SERIES)]

    def __call__(self, new: Sequence[tuple[NewImage, AuditEntry]], keep_versions: bool) -> Sequence[Committed]:
        if not new:
            return ()
        records = [cleaned(image.record) for image, _ in new]
        with self._database.transaction() as connection:
            head = self._lock.taken(connection)
            first = head.position + 1
            rows = [image_row(first + i, record) for i, record in enumerate(records)]
            replaced: list[ImageRecord] = []
            if run(head.cursor, self._images, rows) == len(rows):
                committed = [Committed(CommitOutcome.STORED, record) for record in records]
            else:
                committed = self._sorted_out(connection, head, records, new, keep_versions, replaced)
            self._keep(connection, head, new, committed)
            for (_, entry), answer in zip(new, committed, strict=True):
                _tell(head, entry, answer)
            head.position += len(rows)
            head.save()
            if replaced:
                follow(connection, replaced)
        return committed

    def _sorted_out(
        self,
        connection: Connection,
        head: Head,
        records: Sequence[ImageRecord],
        new: Sequence[tuple[NewImage, AuditEntry]],
        keep_versions: bool,
        replaced: list[ImageRecord],
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
                    replaced.append(there)
                self._insert_one(head, first + i, record)
                committed.append(Committed(CommitOutcome.REPLACED, record))
        return committed

    def _insert_one(self, head: Head, position: int, record: ImageRecord) -> None:
        if run(head.cursor, self._images, [image_row(position, record)]) != 1:
            raise Conflict("Another image has this internal id already.", code="id-taken")

    def _keep(
        self,
        connection: Connection,
        head: Head,
        new: Sequence[tuple[NewImage, AuditEntry]],
        committed: Sequence[Committed],
    ) -> None:
        """Details, attributes and terms of what was stored, and the counts of its studies and series."""
        first = head.position + 1
        beside: list[tuple[Any, ...]] = []
        named: list[tuple[Any, ...]] = []
        held: tuple[dict[Any, _Held], dict[Any, _Held]] = ({}, {})
        for i, ((image, _), answer) in enumerate(zip(new, committed, strict=True)):
            if answer.outcome not in (CommitOutcome.STORED, CommitOutcome.REPLACED):
                continue
            record, position = answer.record, first + i
            beside.append((position, image.details.metadata, image.details.frames, text_of(image.instance, dumped)))
            named += term_rows(position, named_only(image.instance))
            if record.study_uid is None:
                continue
            study = (record.store, record.study_uid)
            held[0].setdefault(study, _Held(position, study, image.study)).count += 1
            if record.series_uid is not None:
                key = (*study, record.series_uid)
                held[1].setdefault(key, _Held(position, (*key, modality(image.series)), image.series)).count += 1
        head.queue(self._details, beside)
        head.queue(self._image_terms, named)
        for level, levels in zip(self._levels, held, strict=True):
            level.hold(connection, head, list(levels.values()))


@dataclass(slots=True)
class _Held:
    """A study or series that images came to: the first one's position, its row without the count, its model."""

    position: int
    row: tuple[Any, ...]
    model: Mapping[str, Any]
    count: int = 0


class _Level:
    """Keeps studies, or series: rows that count, and beside each new one its attributes and terms."""

    def __init__(self, database: Database, level: str, table: Table, columns: list[str]) -> None:
        made = insert(table)
        self._level = level
        self._key = [column.name for column in table.columns if column.name in ("store", "study_uid", "series_uid")]
        more = made.on_conflict_do_update(
            index_elements=self._key, set_={"instances": table.c.instances + made.excluded.instances}
        )
        self._hold = database.compiled(more, columns)
        same = [table.c[name] == bindparam(name) for name in self._key]
        self._there = database.compiled(select(table.c.position, table.c.instances).where(*same))
        self._attributes = database.compiled(insert(metadata.tables[f"{table.name}_attributes"]), _ATTRIBUTES)
        self._terms = database.compiled(insert(TERMS[level]), COLUMNS_OF_TERMS)

    def hold(self, connection: Connection, head: Head, held: Sequence[_Held]) -> None:
        if not held:
            return
        run(head.cursor, self._hold, [(each.position, *each.row, each.count) for each in held])
        brought: list[_Held] = []
        revived: dict[int, Mapping[str, Any]] = {}
        for each in held:
            head.cursor.execute(self._there, each.row[: len(self._key)])
            place, instances = head.cursor.fetchone() or (0, 0)
            if place == each.position:
                brought.append(each)
            elif instances == each.count:
                # All it held was deleted, and says nothing of it any more.
                revived[place] = each.model
        write_levels(connection, self._level, revived)
        head.queue(self._attributes, [(each.position, text_of(each.model, dumped)) for each in brought])
        head.queue(self._terms, [row for each in brought for row in term_rows(each.position, each.model)])


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
