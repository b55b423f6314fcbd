"""What nearly every search asks the database, in statements compiled once."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, Select, Text, and_, bindparam, literal_column, select

from isocenter.adapters.sql.database import Database
from isocenter.adapters.sql.sized import Sized
from isocenter.adapters.sql.tables import (
    details,
    head,
    images,
    series,
    series_attributes,
    studies,
    studies_attributes,
)
from isocenter.adapters.sql.text import clean
from isocenter.records import Search

TABLES = {"study": studies, "series": series, "instance": images}
# Written into the text, since a bound value would not tell the planner that a partial index will do.
IS_CURRENT = literal_column("'current'", Text())
_NONE: ColumnElement[int] = literal_column("0")
HELD = {
    "study": studies.c.instances > _NONE,
    "series": series.c.instances > _NONE,
    "instance": and_(images.c.state == IS_CURRENT, images.c.sop_instance_uid.is_not(None)),
}
_UIDS = ("study_uid", "series_uid", "sop_instance_uid")


def rows_of(level: str) -> Select[Any]:
    """Rows of a level with their attributes."""
    if level == "instance":
        names = ("position", "store", *_UIDS, "id")
        return select(*(images.c[name] for name in names), details.c.attributes).join_from(images, details)
    table, beside = (studies, studies_attributes) if level == "study" else (series, series_attributes)
    return select(table, beside.c.attributes).join_from(table, beside)


def is_plain(search: Search) -> bool:
    """Whether nothing but UIDs, each alone, narrows a search and it comes in order of arrival."""
    uids = (search.study_uids, search.series_uids, search.sop_instance_uids)
    return not search.keys and not search.order and all(each is None or len(each) == 1 for each in uids)


_row: Callable[[list[str]], Any] = partial(namedtuple, "row")


class SearchStatements:
    """For these SQLAlchemy would take several times as long as the database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # Every change to what is found appends an event or takes a position.
        self._version = database.compiled(select(head.c.event, head.c.position))
        chosen = select(series.c.study_uid, series.c.modality)
        self._pages: dict[tuple[str, tuple[str, ...]], tuple[str, Callable[[Any], Any]]] = {}
        here = (series.c.store == bindparam("store"), HELD["series"])
        self._held = Sized(database, lambda uids: chosen.where(series.c.study_uid.in_(uids), *here))

    def version(self, connection: Connection) -> tuple[int, ...]:
        return tuple(self._fetched(connection, self._version, ())[0])

    def held(self, connection: Connection, uids: Sequence[str], store: str) -> list[Any]:
        """Study and modality of each series with a current image in these studies."""
        statement, values = self._held.of(uids)
        return self._fetched(connection, statement, (*values, store))

    def page(self, connection: Connection, search: Search, after: int) -> list[Any]:
        """Rows behind a position for a search that `is_plain`, one more than its limit."""
        uids = (search.study_uids, search.series_uids, search.sop_instance_uids)
        named = tuple(name for name, each in zip(_UIDS, uids, strict=True) if each is not None)
        known = self._pages.get((search.level, named))
        if known is None:
            table, chosen = TABLES[search.level], rows_of(search.level)
            same = [table.c[name] == bindparam(name) for name in ("store", *named)]
            chosen = chosen.where(*same, HELD[search.level], table.c.position > bindparam("after"))
            limit, offset = (bindparam(name, type_=BigInteger()) for name in ("limit", "offset"))
            chosen = chosen.order_by(table.c.position).limit(limit).offset(offset)
            row = _row([column.name for column in chosen.selected_columns])
            known = self._pages[search.level, named] = (self._database.compiled(chosen), row._make)
        statement, row_of = known
        texts = [clean(each[0]) for each in uids if each is not None]
        values = (clean(search.store), *texts, after, search.limit + 1, search.offset)
        return list(map(row_of, self._fetched(connection, statement, values)))

    def _fetched(self, connection: Connection, statement: str, values: Sequence[Any]) -> list[Any]:
        cursor = self._database.cursor(connection)
        cursor.execute(statement, values)
        rows = list(cursor.fetchall())
        cursor.close()
        return rows
