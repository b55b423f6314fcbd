"""The search port on SQL: keys become conditions on terms; what no index holds is looked at one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import orjson
from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Table,
    and_,
    delete,
    exists,
    false,
    func,
    insert,
    literal,
    or_,
    select,
    tuple_,
    update,
)

from isocenter.adapters.sql.cursor import cursor, position
from isocenter.adapters.sql.database import Database
from isocenter.adapters.sql.reindex import reindex
from isocenter.adapters.sql.rows import CHUNK, chunks
from isocenter.adapters.sql.search_statements import HELD, IS_CURRENT, TABLES, SearchStatements, is_plain, rows_of
from isocenter.adapters.sql.tables import (
    details,
    head,
    images,
    search_names,
    series,
    series_attributes,
    studies,
    studies_attributes,
)
from isocenter.adapters.sql.terms import TERMS, Conditions
from isocenter.adapters.sql.text import clean
from isocenter.dicom.attribute_lines import Lines, lines_in
from isocenter.dicom.matching import Absent, Key, matches, order_path, order_value
from isocenter.errors import UnknownCursor
from isocenter.records import Found, Indexed, LevelRecord, Order, Search

_MODALITIES, _SOP_CLASSES, _SOP_CLASS = 0x00080061, 0x00080062, 0x00080016

_MOST_TOTALS = 256
_Totals = dict[Search, tuple[tuple[int, ...], int]]


class SqlSearchIndex:
    """Search on SQLite or PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._conditions = Conditions(sqlite=database.is_sqlite)
        self._totals: _Totals = {}
        self._statements = SearchStatements(database)

    def search(self, search: Search) -> Found:
        with self._database.reading() as connection:
            return _Searching(connection, self._conditions, self._totals, self._statements, search).found()

    def names(self) -> frozenset[str]:
        with self._database.reading() as connection:
            return frozenset(connection.execute(select(search_names.c.name)).scalars())

    def complete(self, names: frozenset[str]) -> None:
        with self._database.transaction() as connection:
            # Processes that start at once all come here: one after the other, by the lock on the head's row.
            connection.execute(update(head).values(position=head.c.position))
            connection.execute(delete(search_names))
            for name in sorted(names):
                connection.execute(insert(search_names).values(name=name))

    def reindex(self, batch: Sequence[Indexed]) -> None:
        with self._database.transaction() as connection:
            connection.execute(update(head).values(position=head.c.position + 1))
            for part in chunks(range(len(batch)), CHUNK):
                chosen = [batch[i] for i in part]
                found = select(images.c.id, images.c.position).where(images.c.id.in_([each.id for each in chosen]))
                positions = {row.id: row.position for row in connection.execute(found)}
                reindex(connection, {positions[each.id]: each for each in chosen if each.id in positions})


class _Searching:
    """One search within one snapshot."""

    def __init__(
        self,
        connection: Connection,
        conditions: Conditions,
        totals: _Totals,
        statements: SearchStatements,
        search: Search,
    ) -> None:
        self._connection = connection
        self._conditions = conditions
        self._totals = totals
        self._statements = statements
        self._search = search
        self._table = TABLES[search.level]
        self._scanned = search.scanned
        self._order = [(self._sorted_by(each), each.descending) for each in search.order]

    def found(self) -> Found:
        search = self._search
        after = None if search.after is None else position(self._list, search.after)
        if self._scanned or any(each.level == "instance" for each in search.order):
            places, total, more = self._looked_through(after)
            rows: Sequence[Row[Any]] = self._at(places)
        elif self._order:
            places, more = self._places(after)
            rows = self._at(places)
            total = self._total(len(rows), more)
        else:
            rows, more = self._page(after)
            total = self._total(len(rows), more)
        items = self._records(rows)
        return Found(items, total, cursor(self._list, rows[-1].position) if more and rows else None)

    @cached_property
    def _where(self) -> list[ColumnElement[bool]]:
        return self._scope() + self._keys()

    @property
    def _list(self) -> str:
        by = [f"{'-' if each.descending else ''}{each.tag:08X}" for each in self._search.order]
        return " ".join([self._search.level, *by])

    def _scope(self) -> list[ColumnElement[bool]]:
        search, table = self._search, self._table
        where: list[ColumnElement[bool]] = [table.c.store == clean(search.store)]
        where.append(HELD[search.level])
        for column, uids in (
            ("study_uid", search.study_uids),
            ("series_uid", search.series_uids),
            ("sop_instance_uid", search.sop_instance_uids),
        ):
            if uids is not None:
                where.append(table.c[column].in_([clean(uid) for uid in uids]))
        return where

    def _keys(self) -> list[ColumnElement[bool]]:
        where: list[ColumnElement[bool]] = []
        by_level: dict[str, list[Key]] = {"study": [], "series": [], "instance": []}
        for key in self._search.keys:
            if key in self._scanned:
                continue
            special = self._computed(key)
            if special is None:
                by_level[key.level].append(key)
            else:
                where += special
        for level, keys in by_level.items():
            held: list[ColumnElement[bool]] = [
                table.c.position.in_(chosen) if inside else table.c.position.not_in(chosen)
                for table in (TABLES[level],)
                for inside, chosen in self._conditions.positions(keys)
            ]
            where += held if level == self._search.level else self._in_level(level, held)
        return where

    def _in_level(self, level: str, held: list[ColumnElement[bool]]) -> list[ColumnElement[bool]]:
        """What the level above has to meet, as a condition on this one."""
        if not held:
            return []
        table, store = self._table, clean(self._search.store)
        if level == "study":
            return [table.c.study_uid.in_(select(studies.c.study_uid).where(studies.c.store == store, *held))]
        named = select(series.c.study_uid, series.c.series_uid).where(series.c.store == store, *held)
        return [tuple_(table.c.study_uid, table.c.series_uid).in_(named)]

    def _computed(self, key: Key) -> list[ColumnElement[bool]] | None:
        """Keys that are answered by what a level holds, or by a column; None for the others."""
        tag = key.tags[0]
        if len(key.tags) > 1 or not (
            tag in (_MODALITIES, _SOP_CLASSES) or (tag == _SOP_CLASS and key.level == "instance")
        ):
            return None
        where = []
        for clause in key.clauses:
            absent = isinstance(clause.test, Absent)
            if tag == _SOP_CLASS:  # every instance has one
                where.append(false() if absent else self._conditions.test(images.c.sop_class_uid, clause.test))
                continue
            inner = (series if tag == _MODALITIES else images).alias()
            column = inner.c.modality if tag == _MODALITIES else inner.c.sop_class_uid
            holds = inner.c.instances > 0 if tag == _MODALITIES else inner.c.state == IS_CURRENT
            same = (inner.c.store == self._table.c.store, inner.c.study_uid == self._table.c.study_uid)
            tests = [] if absent else [self._conditions.test(column, clause.test)]
            there = exists(select(inner.c.position).where(holds, column.is_not(None), *same, *tests))
            where.append(~there if absent else there)
        return where

    def _sorted_by(self, order: Order) -> ColumnElement[str]:
        """The least value of an attribute as a text, "" where there is none."""
        if order.level == "instance":
            return literal("")  # looked up in the attributes themselves
        terms, above = TERMS[order.level], TABLES[order.level]
        # The empty text keeps SQLite from walking the index of values to find the least one.
        least = select(func.min(terms.c.head)).where(terms.c.path + "" == order_path(order.tag))
        if above is self._table:
            least = least.where(terms.c.position == above.c.position)
        else:
            inner = above.alias()
            least = least.where(terms.c.position == inner.c.position, inner.c.store == self._table.c.store)
            least = least.where(inner.c.study_uid == self._table.c.study_uid)
            if order.level == "series":
                least = least.where(inner.c.series_uid == self._table.c.series_uid)
        return func.coalesce(least.correlate(self._table).scalar_subquery(), "")

    def _page(self, after: int | None) -> tuple[Sequence[Any], bool]:
        """Rows of the page in order of arrival, and whether there are more."""
        search, table = self._search, self._table
        if is_plain(search):
            plain = self._statements.page(self._connection, search, after or 0)
            return plain[: search.limit], len(plain) > search.limit
        chosen = rows_of(search.level).where(*self._where)
        if after is not None:
            chosen = chosen.where(table.c.position > after)
        chosen = chosen.order_by(table.c.position).offset(search.offset or None).limit(search.limit + 1)
        rows = self._connection.execute(chosen).all()
        return rows[: search.limit], len(rows) > search.limit

    def _places(self, after: int | None) -> tuple[list[int], bool]:
        """Positions of the page in the order asked for, so that sorting need not carry attributes along."""
        search, table = self._search, self._table
        chosen = select(table.c.position).where(*self._where)
        if after is not None:
            chosen = chosen.where(self._behind(after))
        ordered = [by.desc() if descending else by.asc() for by, descending in self._order]
        chosen = chosen.order_by(*ordered, table.c.position).offset(search.offset or None).limit(search.limit + 1)
        places = list(self._connection.execute(chosen).scalars())
        return places[: search.limit], len(places) > search.limit

    def _at(self, places: Sequence[int]) -> list[Row[Any]]:
        found: dict[int, Row[Any]] = {}
        for part in chunks(places):
            chosen = rows_of(self._search.level).where(self._table.c.position.in_(part))
            found |= {row.position: row for row in self._connection.execute(chosen)}
        return [found[place] for place in places]

    def _behind(self, after: int) -> ColumnElement[bool]:
        """What comes after a position in the order asked for; the values there are looked up, not carried along."""
        table = self._table
        row = self._connection.execute(
            select(*(by for by, _ in self._order)).where(table.c.position == after)
        ).one_or_none()
        if row is None:
            raise _gone()
        ways: list[ColumnElement[bool]] = []
        same: list[ColumnElement[bool]] = []
        for (by, descending), value in zip(self._order, row, strict=True):
            ways.append(and_(*same, by < value if descending else by > value))
            same.append(by == value)
        return or_(*ways, and_(*same, table.c.position > after))

    def _total(self, shown: int, more: bool) -> int:
        """How many there are in all; counted once for as long as nothing changes."""
        search, table = self._search, self._table
        if not more and search.after is None and (not search.offset or shown):
            return search.offset + shown
        asked = replace(search, order=(), offset=0, after=None, limit=0)
        known = self._totals.get(asked)
        version = self._statements.version(self._connection)
        if known is not None and known[0] == version:
            return known[1]
        counted = select(func.count()).select_from(table).where(*self._where)
        if table is images and search.sop_instance_uids is None and all(k.level != "instance" for k in search.keys):
            # What series hold is counted as it changes, so that a million rows need not be.
            above = _Searching(self._connection, self._conditions, self._totals, self._statements, _of_series(search))
            counted = select(func.coalesce(func.sum(series.c.instances), 0)).where(*above._where)
        total = int(self._connection.execute(counted).scalar_one())
        if len(self._totals) >= _MOST_TOTALS:
            self._totals.clear()
        self._totals[asked] = (version, total)
        return total

    def _looked_through(self, after: int | None) -> tuple[list[int], int, bool]:
        """Positions of the page where attributes of instances have to be looked at themselves."""
        search = self._search
        columns = [by.label(f"by_{i}") for i, (by, _) in enumerate(self._order)]
        chosen = select(images.c.position, details.c.attributes, *columns).join_from(images, details)
        rows = self._connection.execute(chosen.where(*self._where).limit(search.most_scanned + 1)).all()
        if len(rows) > search.most_scanned:
            raise search.too_wide()
        kept: list[tuple[int, tuple[str, ...]]] = []
        for place, text, *above in rows:
            model = orjson.loads(text)
            if matches(self._scanned, model):
                kept.append((place, self._values(model, above)))
        kept.sort(key=lambda each: each[0])
        for i in reversed(range(len(search.order))):
            kept.sort(key=lambda each: each[1][i], reverse=search.order[i].descending)
        places = [place for place, _ in kept]
        begin = 0
        if after is not None:
            if not search.order:
                begin = sum(place <= after for place in places)
            elif after in places:
                begin = places.index(after) + 1
            else:
                raise _gone()
        begin += search.offset
        return places[begin : begin + search.limit], len(places), len(places) > begin + search.limit

    def _values(self, model: Mapping[str, Any], above: Sequence[str]) -> tuple[str, ...]:
        return tuple(
            order_value(model, order.tag) if order.level == "instance" else value
            for order, value in zip(self._search.order, above, strict=True)
        )

    def _records(self, rows: Sequence[Row[Any]]) -> tuple[LevelRecord, ...]:
        if self._table is studies:
            held = self._held([row.study_uid for row in rows])
            return tuple(_study(row, held.get(row.study_uid, [])) for row in rows)
        studies_of: dict[str, dict[str, str]] = {}
        series_of: dict[str, dict[str, str]] = {}
        if self._search.with_above:
            studies_of = self._attributes(studies, {row.study_uid for row in rows})
            if self._table is images:
                series_of = self._attributes(series, {f"{row.study_uid} {row.series_uid}" for row in rows})
        make = _series if self._table is series else _instance
        return tuple(
            make(row, {**studies_of.get(row.study_uid, {}), **series_of.get(f"{row.study_uid} {row.series_uid}", {})})
            for row in rows
        )

    def _held(self, study_uids: Sequence[str]) -> dict[str, list[str | None]]:
        """The modality of each series with a current image, by study."""
        held: dict[str, list[str | None]] = {}
        for uids in chunks(study_uids):
            for study_uid, kind in self._statements.held(self._connection, uids, clean(self._search.store)):
                held.setdefault(study_uid, []).append(kind)
        return held

    def _attributes(self, table: Table, keys: set[str]) -> dict[str, dict[str, str]]:
        """The attributes of studies by their UID, of series by those of study and series."""
        beside = studies_attributes if table is studies else series_attributes
        uid = table.c.study_uid if table is studies else table.c.series_uid
        found: dict[str, dict[str, str]] = {}
        for part in chunks(sorted(keys)):
            chosen = select(table.c.study_uid, uid, beside.c.attributes).join_from(table, beside)
            chosen = chosen.where(uid.in_([key.rpartition(" ")[2] for key in part]))
            for study_uid, own, text in self._connection.execute(
                chosen.where(table.c.store == clean(self._search.store))
            ):
                found[study_uid if table is studies else f"{study_uid} {own}"] = lines_in(text)
        return found


def _of_series(search: Search) -> Search:
    return Search("series", search.store, search.keys, search.study_uids, search.series_uids)


def _study(row: Row[Any], held: Sequence[str | None]) -> LevelRecord:
    modalities = tuple(sorted({each for each in held if each}))
    return LevelRecord(
        row.store, row.study_uid, None, None, None, lines_in(row.attributes), {}, modalities,
        len(held), row.instances,
    )  # fmt: skip


def _series(row: Row[Any], above: Lines) -> LevelRecord:
    return LevelRecord(
        row.store, row.study_uid, row.series_uid, None, None, lines_in(row.attributes), above,
        (row.modality,) if row.modality else (), 1, row.instances,
    )  # fmt: skip


def _instance(row: Row[Any], above: Lines) -> LevelRecord:
    return LevelRecord(
        row.store, row.study_uid, row.series_uid, row.sop_instance_uid, row.id, lines_in(row.attributes), above
    )


def _gone() -> UnknownCursor:
    return UnknownCursor("what the cursor stood at is no longer found; begin again without it")
