"""Image records as rows and back, and the selections that answer an ImageQuery."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Boolean, ColumnElement, Row, Select, Text, and_, literal_column, select, type_coerce

from isocenter.adapters.sql.moments import Moment, from_micros, to_micros
from isocenter.adapters.sql.tables import Number, images
from isocenter.adapters.sql.text import clean, indexed
from isocenter.dicom.matching import Pattern
from isocenter.records import BlobRef, ImageQuery, ImageRecord, Kind, State

T = TypeVar("T")


def fits(column: ColumnElement[str], pattern: Pattern, *, sqlite: bool) -> ColumnElement[bool]:
    """Whether a text fits a pattern of * and ?, in the words of each database."""
    if sqlite:
        return column.op("GLOB", is_comparison=True)(pattern.text.replace("[", "[[]"))
    escaped = "".join(f"\\{each}" if each in "%_\\" else each for each in pattern.text)
    return column.like(escaped.replace("*", "%").replace("?", "_"), escape="\\")


# One statement carries at most this many bound values of a list: SQLite may allow as few as 32,766.
CHUNK = 1000

COLUMNS = [column.name for column in images.columns]
# The same as the drivers give them, without the price of a conversion for each value; `raw_record` reads them.
RAW = [
    type_coerce(column, Number).label(column.name) if isinstance(column.type, Moment | Boolean) else column
    for column in images.columns
]
_KINDS = {kind.value: kind for kind in Kind}
_STATES = {state.value: state for state in State}


def chunks(values: Iterable[T], size: int = CHUNK) -> Iterator[list[T]]:
    """The values once each, in order, in lists of at most `size`."""
    rest = iter(dict.fromkeys(values))
    while part := list(islice(rest, size)):
        yield part


def cleaned(record: ImageRecord) -> ImageRecord:
    """The record as it will be read back: current, its text without what a database cannot keep."""
    identifiers = (
        indexed("Store", record.store),
        indexed("SubjectID", record.subject_id),
        indexed("ImageID", record.image_id),
        _optional("StudyInstanceUID", record.study_uid),
        _optional("SeriesInstanceUID", record.series_uid),
        _optional("SOPInstanceUID", record.sop_instance_uid),
        _optional("SOPClassUID", record.sop_class_uid),
        _optional("TransferSyntaxUID", record.transfer_syntax_uid),
        clean(record.media_type),
    )
    if record.state is State.CURRENT and identifiers == (
        record.store, record.subject_id, record.image_id, record.study_uid, record.series_uid,
        record.sop_instance_uid, record.sop_class_uid, record.transfer_syntax_uid, record.media_type,
    ):  # fmt: skip
        return record
    store, subject, image, study, series, instance, sop_class, syntax, media_type = identifiers
    return replace(
        record, state=State.CURRENT, changed=None, store=store or "", subject_id=subject or "",
        image_id=image or "", study_uid=study, series_uid=series, sop_instance_uid=instance,
        sop_class_uid=sop_class, transfer_syntax_uid=syntax, media_type=media_type or "",
    )  # fmt: skip


def _optional(keyword: str, text: str | None) -> str | None:
    return None if text is None else indexed(keyword, text)


def image_row(position: int, record: ImageRecord) -> tuple[Any, ...]:
    """The values of `COLUMNS`, as the drivers take them."""
    blob = record.blob
    return (
        position, record.id, record.store, record.kind.value, record.media_type, record.subject_id,
        record.image_id, blob.key, blob.size, blob.sha256, to_micros(record.created), record.state.value,
        None if record.changed is None else to_micros(record.changed), record.study_uid, record.series_uid,
        record.sop_instance_uid, record.sop_class_uid, record.transfer_syntax_uid, record.number_of_frames,
        record.body_offset, record.has_part10_header, record.preamble_is_zero,
    )  # fmt: skip


def raw_record(row: Sequence[Any]) -> ImageRecord:
    """The record of a row of `COLUMNS` or `RAW`, as the drivers give it."""
    (
        _, id, store, kind, media_type, subject, image, key, size, sha256, created, state, changed, study,
        series, instance, sop_class, syntax, frames, body, part10, preamble,
    ) = row  # fmt: skip
    return ImageRecord(
        id, store, _KINDS[kind], media_type, subject, image, BlobRef(key, size, sha256), from_micros(created),
        _STATES[state], None if changed is None else from_micros(changed), study, series, instance, sop_class, syntax,
        frames, body, bool(part10), bool(preamble),
    )  # fmt: skip


def image_record(row: Row[Any]) -> ImageRecord:
    """The record of a row of `select(images)`."""
    (
        _, id, store, kind, media_type, subject, image, key, size, sha256, created, state, changed, study,
        series, instance, sop_class, syntax, frames, body, part10, preamble,
    ) = tuple(row)  # fmt: skip
    return ImageRecord(
        id, store, Kind(kind), media_type, subject, image, BlobRef(key, size, sha256), created, State(state),
        changed, study, series, instance, sop_class, syntax, frames, body, part10, preamble,
    )  # fmt: skip


def same_identity(record: ImageRecord) -> Select[Any]:
    """The image that is current under the record's identity."""
    current = images.c.state == literal_column("'current'", Text())
    chosen = select(images).where(images.c.store == record.store, current)
    if record.sop_instance_uid is not None:
        return chosen.where(images.c.sop_instance_uid == record.sop_instance_uid)
    return chosen.where(
        images.c.subject_id == record.subject_id,
        images.c.image_id == record.image_id,
        images.c.sop_instance_uid.is_(None),
    )


def parts(query: ImageQuery, *, sqlite: bool) -> Iterator[Select[Any]]:
    """Selections that together are what the query asks for, without order, `after` and `limit`.

    Current images and the others are asked for apart, and long lists of UIDs a part at a time: this way every
    selection can use an index, and none has more bound values than a database takes.
    """
    exact = _conditions(query, sqlite=sqlite)
    for states in _state_conditions(query.states):
        if query.sop_instance_uids is None:
            yield select(*RAW).where(states, *exact)
        else:
            for uids in chunks(clean(uid) for uid in query.sop_instance_uids):
                yield select(*RAW).where(states, *exact, images.c.sop_instance_uid.in_(uids))


def _state_conditions(states: Sequence[State]) -> Iterator[ColumnElement[bool]]:
    # Written into the text, since a bound value would not tell the planner that a partial index will do.
    current = literal_column("'current'", Text())
    if State.CURRENT in states:
        yield images.c.state == current
    gone = [state.value for state in dict.fromkeys(states) if state is not State.CURRENT]
    if gone:
        yield and_(images.c.state != current, images.c.state.in_(gone))


def _conditions(query: ImageQuery, *, sqlite: bool) -> list[ColumnElement[bool]]:
    wanted: list[ColumnElement[bool]] = []
    if query.stores is not None:
        wanted.append(images.c.store.in_([clean(store) for store in query.stores]))
    exact: Sequence[tuple[ColumnElement[str], str | None]] = (
        (images.c.subject_id, query.subject_id),
        (images.c.image_id, query.image_id),
        (images.c.study_uid, query.study_uid),
        (images.c.series_uid, query.series_uid),
    )
    wanted += [column == clean(value) for column, value in exact if value is not None]
    if query.kind is not None:
        wanted.append(images.c.kind == query.kind.value)
        if query.kind is not Kind.DICOM:
            wanted.append(images.c.kind != literal_column("'dicom'", Text()))
    liked = ((images.c.subject_id, query.subject_like), (images.c.image_id, query.image_like))
    wanted += [fits(column, pattern, sqlite=sqlite) for column, pattern in liked if pattern is not None]
    if query.created_from is not None:
        wanted.append(images.c.created >= query.created_from)
    if query.created_before is not None:
        wanted.append(images.c.created < query.created_before)
    if query.changed_before is not None:
        wanted.append(images.c.changed < query.changed_before)
    return wanted
