"""Studies and series as rows: what they hold is counted as it changes, and they go with their last image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, delete, exists, func, select, tuple_, update

from isocenter.adapters.sql.rows import chunks
from isocenter.adapters.sql.tables import images, series, studies
from isocenter.records import ImageRecord, State

_CURRENT = images.c.state == State.CURRENT.value
_IN_STUDY = (images.c.store == studies.c.store, images.c.study_uid == studies.c.study_uid)
_IN_SERIES = (
    images.c.store == series.c.store,
    images.c.study_uid == series.c.study_uid,
    images.c.series_uid == series.c.series_uid,
)


def recount(connection: Connection, changed: Iterable[ImageRecord]) -> None:
    """Count anew what the studies and series of these images hold."""
    for part in chunks((r.store, r.study_uid) for r in changed if r.study_uid is not None):
        for table, same in ((studies, _IN_STUDY), (series, _IN_SERIES)):
            counted = select(func.count()).where(_CURRENT, *same).scalar_subquery()
            named = tuple_(table.c.store, table.c.study_uid).in_(part)
            connection.execute(update(table).where(named).values(instances=counted))


def forget_empty_levels(connection: Connection, purged: Sequence[ImageRecord]) -> None:
    """Delete the studies and series that these images were the last of, in any state."""
    for part in chunks((r.store, r.study_uid, r.series_uid) for r in purged if r.series_uid is not None):
        named = tuple_(series.c.store, series.c.study_uid, series.c.series_uid).in_(part)
        connection.execute(delete(series).where(named, ~exists().where(*_IN_SERIES)))
    for level in chunks((r.store, r.study_uid) for r in purged if r.study_uid is not None):
        named = tuple_(studies.c.store, studies.c.study_uid).in_(level)
        connection.execute(delete(studies).where(named, ~exists().where(*_IN_STUDY)))
