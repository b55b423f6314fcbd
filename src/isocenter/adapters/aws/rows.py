"""Records as JSON and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from isocenter.adapters.aws.text import clean, clean_or_none, indexed, indexed_or_none
from isocenter.records import AuditEntry, BlobRef, Event, ImageQuery, ImageRecord, Kind, State

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICRO = timedelta(microseconds=1)


def to_micros(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICRO


def from_micros(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


def micros_or_none(moment: datetime | None) -> int | None:
    return None if moment is None else to_micros(moment)


def moment_or_none(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(micros)


def cleaned(record: ImageRecord) -> ImageRecord:
    """The record as it will be read back: current, its text without what a database cannot keep."""
    return replace(
        record,
        state=State.CURRENT,
        changed=None,
        store=indexed("Store", record.store),
        media_type=clean(record.media_type),
        subject_id=indexed("SubjectID", record.subject_id),
        image_id=indexed("ImageID", record.image_id),
        study_uid=indexed_or_none("StudyInstanceUID", record.study_uid),
        series_uid=indexed_or_none("SeriesInstanceUID", record.series_uid),
        sop_instance_uid=indexed_or_none("SOPInstanceUID", record.sop_instance_uid),
        sop_class_uid=indexed_or_none("SOPClassUID", record.sop_class_uid),
        transfer_syntax_uid=indexed_or_none("TransferSyntaxUID", record.transfer_syntax_uid),
    )


def record_values(record: ImageRecord) -> list[Any]:
    blob = record.blob
    return [
        record.id, record.store, record.kind.value, record.media_type, record.subject_id, record.image_id, blob.key,
        blob.size, blob.sha256, to_micros(record.created), record.state.value, micros_or_none(record.changed),
        record.study_uid, record.series_uid, record.sop_instance_uid, record.sop_class_uid,
        record.transfer_syntax_uid, record.number_of_frames, record.body_offset, record.has_part10_header,
        record.preamble_is_zero,
    ]  # fmt: skip


def record_of(values: Sequence[Any]) -> ImageRecord:
    (
        id, store, kind, media_type, subject, image, key, size, sha256, created, state, changed, study, series,
        instance, sop_class, syntax, frames, body, part10, preamble,
    ) = values  # fmt: skip
    return ImageRecord(
        id, store, Kind(kind), media_type, subject, image, BlobRef(key, size, sha256), from_micros(created),
        State(state), moment_or_none(changed), study, series, instance, sop_class, syntax, frames, body, part10,
        preamble,
    )  # fmt: skip


def record_text(record: ImageRecord) -> str:
    return orjson.dumps(record_values(record)).decode()


def record_in(text: str) -> ImageRecord:
    return record_of(orjson.loads(text))


def event_values(event: Event) -> list[Any]:
    return [event.sequence, event.type, event.store, event.image, to_micros(event.at)]


def event_of(values: Sequence[Any]) -> Event:
    sequence, type, store, image, at = values
    return Event(type, store, image, from_micros(at), sequence)


def entry_values(entry: AuditEntry) -> list[Any]:
    return [
        entry.sequence, entry.actor, entry.action, entry.outcome, to_micros(entry.at), entry.store, entry.image,
        entry.request_id, entry.address, entry.count, entry.digest,
    ]  # fmt: skip


def entry_of(values: Sequence[Any]) -> AuditEntry:
    sequence, actor, action, outcome, at, store, image, request, address, count, digest = values
    return AuditEntry(actor, action, outcome, from_micros(at), store, image, request, address, count, sequence, digest)


def matches_query(record: ImageRecord, query: ImageQuery) -> bool:
    """Whether every field of the query but `after` and `limit` holds."""
    exact = (
        (record.subject_id, query.subject_id),
        (record.image_id, query.image_id),
        (record.study_uid, query.study_uid),
        (record.series_uid, query.series_uid),
        (record.kind, query.kind),
    )
    return (
        record.state in query.states
        and all(wanted is None or value == wanted for value, wanted in exact)
        and (query.stores is None or record.store in query.stores)
        and (query.sop_instance_uids is None or record.sop_instance_uid in query.sop_instance_uids)
        and (query.subject_like is None or query.subject_like(record.subject_id))
        and (query.image_like is None or query.image_like(record.image_id))
        and (query.created_from is None or record.created >= query.created_from)
        and (query.created_before is None or record.created < query.created_before)
        and (query.changed_before is None or (record.changed is not None and record.changed < query.changed_before))
    )


def cleaned_query(query: ImageQuery) -> ImageQuery:
    """The query with its texts as those kept are."""
    return replace(
        query,
        stores=None if query.stores is None else tuple(dict.fromkeys(map(clean, query.stores))),
        subject_id=clean_or_none(query.subject_id),
        image_id=clean_or_none(query.image_id),
        study_uid=clean_or_none(query.study_uid),
        series_uid=clean_or_none(query.series_uid),
        sop_instance_uids=(
            None if query.sop_instance_uids is None else tuple(dict.fromkeys(map(clean, query.sop_instance_uids)))
        ),
    )
