"""Studies and series: what was kept of them, and what they hold now, counted when asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson
from sqlalchemy import ColumnElement, Connection, Row, Select, and_, delete, exists, func, select, tuple_

from isocenter.adapters.sql.cursor import cursor, position
from isocenter.adapters.sql.rows import chunks
from isocenter.adapters.sql.tables import images, series, studies
from isocenter.adapters.sql.text import clean
from isocenter.records import ImageQuery, ImageRecord, LevelRecord, Page, State

_CURRENT = images.c.state == State.CURRENT.value


class _Count(NamedTuple):
    series_uid: str | None
    modality: str | None
    instances: int


def level_page(connection: Connection, level: str, query: ImageQuery) -> Page[LevelRecord]:
    """One page of studies or series with at least one current image, oldest first."""
    if level not in ("study", "series"):
        raise ValueError(f"levels are study and series, not {level}")
    after = 0 if query.after is None else position(level, query.after)
    if query.limit < 1:
        return Page(())
    chosen = _studies(query) if level == "study" else _series(query)
    table = studies if level == "study" else series
    chosen = chosen.where(table.c.position > after).order_by(table.c.position).limit(query.limit + 1)
    rows = connection.execute(chosen).all()
    page = rows[: query.limit]
    held = _holdings(connection, {row.study_uid for row in page})
    records = tuple(_record(row, level, held.get((row.store, row.study_uid), ())) for row in page)
    return Page(records, cursor(level, page[-1].position) if len(rows) > query.limit else None)


def forget_empty_levels(connection: Connection, purged: Sequence[ImageRecord]) -> None:
    """Delete the studies and series that these images were the last of, in any state."""
    for part in chunks((r.store, r.study_uid, r.series_uid) for r in purged if r.series_uid is not None):
        left = exists().where(
            images.c.store == series.c.store,
            images.c.study_uid == series.c.study_uid,
            images.c.series_uid == series.c.series_uid,
        )
        named = tuple_(series.c.store, series.c.study_uid, series.c.series_uid).in_(part)
        connection.execute(delete(series).where(named, ~left))
    for level in chunks((r.store, r.study_uid) for r in purged if r.study_uid is not None):
        left = exists().where(images.c.store == studies.c.store, images.c.study_uid == studies.c.study_uid)
        named = tuple_(studies.c.store, studies.c.study_uid).in_(level)
        connection.execute(delete(studies).where(named, ~left))


def _studies(query: ImageQuery) -> Select[Any]:
    same = (images.c.store == studies.c.store, images.c.study_uid == studies.c.study_uid)
    return select(studies).where(*_named(studies.c, query), exists().where(_CURRENT, *same, *_held(query)))


def _series(query: ImageQuery) -> Select[Any]:
    same = (
        images.c.store == series.c.store,
        images.c.study_uid == series.c.study_uid,
        images.c.series_uid == series.c.series_uid,
    )
    chosen = select(series).where(*_named(series.c, query), exists().where(_CURRENT, *same, *_held(query)))
    return chosen if query.series_uid is None else chosen.where(series.c.series_uid == clean(query.series_uid))


def _named(columns: Any, query: ImageQuery) -> list[ColumnElement[bool]]:
    wanted: list[ColumnElement[bool]] = []
    if query.stores is not None:
        wanted.append(columns.store.in_([clean(store) for store in query.stores]))
    if query.study_uid is not None:
        wanted.append(columns.study_uid == clean(query.study_uid))
    elif held := _held(query):
        # Says nothing new, but lets the database begin at the few images instead of at all the studies.
        wanted.append(columns.study_uid.in_(select(images.c.study_uid).where(*held)))
    return wanted


def _held(query: ImageQuery) -> list[ColumnElement[bool]]:
    """What the query says of the images that a level holds."""
    wanted: list[ColumnElement[bool]] = []
    if query.subject_id is not None:
        wanted.append(images.c.subject_id == clean(query.subject_id))
    if query.series_uid is not None:
        wanted.append(images.c.series_uid == clean(query.series_uid))
    return wanted


def _holdings(connection: Connection, study_uids: set[str]) -> dict[tuple[str, str], list[_Count]]:
    """What each study holds now, by (store, study), one entry for each series."""
    level = (images.c.store, images.c.study_uid, images.c.series_uid)
    held: dict[tuple[str, str], list[_Count]] = {}
    for part in chunks(study_uids):
        # Counted before it is joined, as the count alone can be read off an index.
        counted = (
            select(*level, func.count().label("instances"))
            .where(_CURRENT, images.c.study_uid.in_(part))
            .group_by(*level)
            .subquery()
        )
        same = and_(
            series.c.store == counted.c.store,
            series.c.study_uid == counted.c.study_uid,
            series.c.series_uid == counted.c.series_uid,
        )
        named = select(counted, series.c.modality).select_from(counted.outerjoin(series, same))
        for store, study, uid, instances, modality in connection.execute(named):
            held.setdefault((store, study), []).append(_Count(uid, modality, instances))
    return held


def _record(row: Row[Any], level: str, held: Sequence[_Count]) -> LevelRecord:
    uid = row.series_uid if level == "series" else None
    mine = [each for each in held if uid is None or each.series_uid == uid]
    return LevelRecord(
        row.store,
        row.study_uid,
        uid,
        orjson.loads(row.attributes),
        tuple(sorted({each.modality for each in mine if each.modality})),
        sum(each.series_uid is not None for each in mine),
        sum(each.instances for each in mine),
    )
