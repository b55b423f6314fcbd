"""The port of open studies on SQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert

from isocenter.adapters.sql.database import Database
from isocenter.adapters.sql.tables import open_studies, studies_followed
from isocenter.ports.open_studies import OpenStudy

_FIELDS = ("store", "image", "at")


class SqlOpenStudies:
    """Open studies; those who follow at once go one after the other, by a lock on the cursor's row."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def cursor(self) -> int:
        with self._database.reading() as connection:
            return int(connection.execute(select(studies_followed.c.sequence)).scalar_one())

    def follow(self, before: int, to: int, opened: Sequence[OpenStudy]) -> bool:
        moved = update(studies_followed).where(studies_followed.c.sequence == before).values(sequence=to)
        with self._database.transaction() as connection:
            if connection.execute(moved).rowcount != 1:
                return False
            if opened:
                put = insert(open_studies)
                kept = {name: put.excluded[name] for name in _FIELDS}
                put = put.on_conflict_do_update(index_elements=[open_studies.c.study], set_=kept)
                connection.execute(put, [asdict(each) for each in opened])
        return True

    def quiet(self, before: datetime, limit: int = 100) -> Sequence[OpenStudy]:
        chosen = select(open_studies).where(open_studies.c.at < before).order_by(open_studies.c.at)
        with self._database.reading() as connection:
            rows = connection.execute(chosen.limit(max(0, limit)))
            return [OpenStudy(row.study, row.store, row.image, row.at) for row in rows]

    def close(self, study: OpenStudy) -> None:
        same = (open_studies.c.study == study.study, open_studies.c.image == study.image)
        with self._database.transaction() as connection:
            connection.execute(delete(open_studies).where(*same))
