"""The results port on SQL; documents are kept deflated."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.dialects.postgresql import insert

from isocenter.adapters.sql.database import Database
from isocenter.adapters.sql.tables import results
from isocenter.adapters.sql.text import clean
from isocenter.jobs import Result

_COLUMNS = ("image", "job", "step", "kind", "document", "at")


class SqlResults:
    """What steps said of images."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, found: Sequence[Result]) -> None:
        if not found:
            return
        rows = [
            {**{name: getattr(each, name) for name in _COLUMNS}, "document": zlib.compress(each.document)}
            for each in found
        ]
        wanted = insert(results)
        again = wanted.on_conflict_do_update(
            index_elements=[results.c.job, results.c.step, results.c.image],
            set_={name: wanted.excluded[name] for name in ("kind", "document", "at")},
        )
        with self._database.transaction() as connection:
            connection.execute(again, rows)

    def of_image(self, image: str) -> Sequence[Result]:
        return self._found(select(results).where(results.c.image == clean(image)))

    def of_job(self, job: str, *, images: Sequence[str] | None = None) -> Sequence[Result]:
        chosen = select(results).where(results.c.job == clean(job))
        return self._found(chosen if images is None else chosen.where(results.c.image.in_(map(clean, images))))

    def _found(self, chosen: Select[Any]) -> Sequence[Result]:
        with self._database.reading() as connection:
            rows = connection.execute(chosen.order_by(results.c.position)).all()
        return [Result(row.image, row.job, row.step, row.kind, zlib.decompress(row.document), row.at) for row in rows]
