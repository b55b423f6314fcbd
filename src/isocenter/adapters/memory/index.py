"""The index port in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from isocenter.adapters.memory.database import (
    Level,
    MemoryDatabase,
    Row,
    clean,
    clean_or_none,
    cursor,
    dumped,
    indexed,
    position,
)
from isocenter.errors import Conflict
from isocenter.records import (
    AuditEntry,
    CommitOutcome,
    Committed,
    Details,
    Event,
    ImageQuery,
    ImageRecord,
    NewImage,
    Page,
    State,
)

_LEAVES = {State.DELETED: State.CURRENT, State.CURRENT: State.DELETED}
_EVENTS = {State.DELETED: "image.deleted", State.CURRENT: "image.restored"}


class MemoryIndex:
    """The reference index; `audit_key` is the HMAC key of the audit chain."""

    def __init__(self, database: MemoryDatabase, audit_key: bytes) -> None:
        self._database = database
        self._key = audit_key

    def commit(self, new: Sequence[tuple[NewImage, AuditEntry]], *, keep_versions: bool = False) -> Sequence[Committed]:
        items = [(replace(image, record=_cleaned(image.record)), entry) for image, entry in new]
        with self._database.lock:
            self._check_ids([image.record for image, _ in items], keep_versions)
            return [self._commit_one(image, entry, keep_versions) for image, entry in items]

    def _check_ids(self, records: Sequence[ImageRecord], keep_versions: bool) -> None:
        """Raise Conflict, before anything is changed, where a row would go in under an id that is taken."""
        newly: set[str] = set()
        latest: dict[tuple[str, tuple[str, ...]], ImageRecord] = {}
        for record in records:
            row = self._current(record)
            there = latest.get(_identity(record), None if row is None else row.record)
            if there is not None and (there.blob.sha256 == record.blob.sha256 or not keep_versions):
                continue
            if record.id in self._database.rows or record.id in newly:
                raise Conflict("Another image has this internal id already.", code="id-taken")
            newly.add(record.id)
            latest[_identity(record)] = record

    def _commit_one(self, image: NewImage, entry: AuditEntry, keep_versions: bool) -> Committed:
        database, record = self._database, image.record
        there = self._current(record)
        if there is None:
            outcome = CommitOutcome.STORED
        elif there.record.blob.sha256 == record.blob.sha256:
            outcome = CommitOutcome.DUPLICATE
        else:
            outcome = CommitOutcome.REPLACED if keep_versions else CommitOutcome.CONFLICT
        database.position += 1
        if there is not None and outcome in (CommitOutcome.DUPLICATE, CommitOutcome.CONFLICT):
            kept = there.record
            noted = replace(entry, outcome=outcome.value, store=kept.store, image=kept.id)
            database.note(self._key, noted)
            return Committed(outcome, kept)
        if there is not None:
            there.record = replace(there.record, state=State.SUPERSEDED, changed=entry.at)
        database.rows[record.id] = Row(
            database.position, record, image.details, dumped(image.instance), dumped(image.study), dumped(image.series)
        )
        database.current[_identity(record)] = record.id
        self._keep_levels(image)
        database.speak()
        database.tell(Event(f"image.{outcome.value}", record.store, record.id, entry.at))
        database.note(self._key, replace(entry, store=record.store, image=record.id))
        return Committed(outcome, record)

    def _keep_levels(self, image: NewImage) -> None:
        database, record = self._database, image.record
        if record.study_uid is None:
            return
        study = (record.store, record.study_uid)
        database.studies.setdefault(study, Level(database.position, dumped(image.study)))
        if record.series_uid is not None:
            level = Level(database.position, dumped(image.series))
            database.series.setdefault((*study, record.series_uid), level)

    def get(self, id: str) -> ImageRecord | None:
        with self._database.lock:
            row = self._database.rows.get(clean(id))
            return None if row is None else row.record

    def images(self, query: ImageQuery) -> Page[ImageRecord]:
        after = 0 if query.after is None else position("images", query.after)
        with self._database.lock:
            rows = [row for row in self._rows() if row.position > after and _matches(row.record, query)]
        if query.limit < 1:
            return Page(())
        page = rows[: query.limit]
        following = cursor("images", page[-1].position) if len(rows) > query.limit else None
        return Page(tuple(row.record for row in page), following)

    def details(self, ids: Sequence[str]) -> Mapping[str, Details]:
        with self._database.lock:
            rows = self._database.rows
            return {id: rows[id].details for id in ids if id in rows}

    def transition(self, ids: Sequence[str], to: State, entry: AuditEntry) -> Sequence[ImageRecord]:
        if to not in _LEAVES:
            raise ValueError(f"images are deleted or restored, not made {to.value}")
        with self._database.lock:
            rows = self._in_states(ids, (_LEAVES[to],))
            if to is State.CURRENT:
                identities = {_identity(row.record) for row in rows}
                if len(identities) < len(rows) or any(self._current(row.record) for row in rows):
                    raise Conflict(
                        "Another current image has the identity of one to be restored.", code="identity-taken"
                    )
            for row in rows:
                row.record = replace(row.record, state=to, changed=entry.at)
                if to is State.CURRENT:
                    self._database.current[_identity(row.record)] = row.record.id
                else:
                    del self._database.current[_identity(row.record)]
            self._database.speak()
            return self._tell([row.record for row in rows], _EVENTS[to], entry)

    def purge(self, ids: Sequence[str], entry: AuditEntry) -> Sequence[ImageRecord]:
        database = self._database
        with database.lock:
            gone = [row.record for row in self._in_states(ids, (State.DELETED, State.SUPERSEDED))]
            for record in gone:
                del database.rows[record.id]
            left = [row.record for row in self._rows()]
            studies = {(record.store, record.study_uid) for record in left}
            series = {(record.store, record.study_uid, record.series_uid) for record in left}
            database.studies = {key: kept for key, kept in database.studies.items() if key in studies}
            database.series = {key: kept for key, kept in database.series.items() if key in series}
            return self._tell(gone, "image.purged", entry)

    def blob_keys(self) -> Iterator[str]:
        with self._database.lock:
            keys = [row.record.blob.key for row in self._rows()]
        return iter(keys)

    def _rows(self) -> Iterator[Row]:
        return iter(self._database.rows.values())

    def _current(self, record: ImageRecord) -> Row | None:
        id = self._database.current.get(_identity(record))
        return None if id is None else self._database.rows[id]

    def _in_states(self, ids: Sequence[str], states: Sequence[State]) -> list[Row]:
        rows = self._database.rows
        return [rows[id] for id in dict.fromkeys(ids) if id in rows and rows[id].record.state in states]

    def _tell(self, changed: list[ImageRecord], event: str, entry: AuditEntry) -> list[ImageRecord]:
        for record in changed:
            self._database.tell(Event(event, record.store, record.id, entry.at))
            self._database.note(self._key, replace(entry, store=record.store, image=record.id))
        return changed


def _identity(record: ImageRecord) -> tuple[str, tuple[str, ...]]:
    return record.store, record.identity


def _cleaned(record: ImageRecord) -> ImageRecord:
    """The record as it will be read back."""
    return replace(
        record,
        state=State.CURRENT,
        changed=None,
        store=indexed("Store", record.store),
        media_type=clean(record.media_type),
        subject_id=indexed("SubjectID", record.subject_id),
        image_id=indexed("ImageID", record.image_id),
        study_uid=_optional("StudyInstanceUID", record.study_uid),
        series_uid=_optional("SeriesInstanceUID", record.series_uid),
        sop_instance_uid=_optional("SOPInstanceUID", record.sop_instance_uid),
        sop_class_uid=_optional("SOPClassUID", record.sop_class_uid),
        transfer_syntax_uid=_optional("TransferSyntaxUID", record.transfer_syntax_uid),
    )


def _optional(keyword: str, text: str | None) -> str | None:
    return None if text is None else indexed(keyword, text)


def _matches(record: ImageRecord, query: ImageQuery) -> bool:
    exact = (
        (record.subject_id, clean_or_none(query.subject_id)),
        (record.image_id, clean_or_none(query.image_id)),
        (record.study_uid, clean_or_none(query.study_uid)),
        (record.series_uid, clean_or_none(query.series_uid)),
        (record.kind, query.kind),
    )
    stores, uids = query.stores, query.sop_instance_uids
    return (
        record.state in query.states
        and all(wanted is None or value == wanted for value, wanted in exact)
        and (stores is None or record.store in {clean(store) for store in stores})
        and (uids is None or record.sop_instance_uid in {clean(uid) for uid in uids})
        and (query.subject_like is None or query.subject_like(record.subject_id))
        and (query.image_like is None or query.image_like(record.image_id))
        and (query.created_from is None or record.created >= query.created_from)
        and (query.created_before is None or record.created < query.created_before)
        and (query.changed_before is None or (record.changed is not None and record.changed < query.changed_before))
    )
