"""Terms as rows, and search keys as conditions on them; what they mean is `dicom.matching`'s."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Select, Table, and_, func, or_, select

from isocenter.adapters.sql.rows import fits
from isocenter.adapters.sql.tables import HEAD, images_terms, series_terms, studies_terms
from isocenter.dicom.matching import Absent, AnyOf, Clause, Key, Pattern, Span, Test, terms

TERMS = {"study": studies_terms, "series": series_terms, "instance": images_terms}
COLUMNS = [column.name for column in studies_terms.columns]
# More characters than any text begins with.
_LAST = "\U0010ffff"
# An item's number and the slash before the next, as dicom.matching writes them.
_ITEM = 7


def term_rows(position: int, model: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """The rows of `COLUMNS` for a Data Set."""
    return [(position, term.path, term.item, term.value[:HEAD], term.value[HEAD:]) for term in terms(model)]


class Conditions:
    """Search keys as SQL, for one kind of database."""

    def __init__(self, *, sqlite: bool) -> None:
        self._sqlite = sqlite

    def positions(self, keys: Sequence[Key]) -> list[tuple[bool, Select[Any]]]:
        """Selections of positions at the level of these keys, all one level: (whether to be in it, selection)."""
        found: list[tuple[bool, Select[Any]]] = []
        nested: dict[int, list[Key]] = {}
        for key in keys:
            table = TERMS[key.level]
            if len(key.tags) > 1:
                nested.setdefault(key.tags[0], []).append(key)
                continue
            for clause in key.clauses:
                found.append((not isinstance(clause.test, Absent), self._chosen(table, clause)))
        found += [(True, self._in_one_item(held)) for held in nested.values() if any(key.clauses for key in held)]
        return found

    def test(self, column: ColumnElement[str], test: Test) -> ColumnElement[bool]:
        """A test on a text that is kept whole in a column of its own."""
        if isinstance(test, AnyOf):
            return column.in_(test.values)
        assert isinstance(test, Pattern)
        return self._fits(column, test)

    def _chosen(self, table: Table, clause: Clause) -> Select[Any]:
        return select(table.c.position).where(*self._clause(table, clause))

    def _clause(self, table: FromClause, clause: Clause) -> list[ColumnElement[bool]]:
        path = table.c.path.in_(clause.paths) if len(clause.paths) > 1 else table.c.path == clause.paths[0]
        return [path] if isinstance(clause.test, Absent) else [path, self._term(table, clause.test)]

    def _term(self, table: FromClause, test: Test) -> ColumnElement[bool]:
        head, rest = table.c.head, table.c.rest
        if isinstance(test, AnyOf):
            short = [value for value in test.values if len(value) < HEAD]
            long = [and_(head == value[:HEAD], rest == value[HEAD:]) for value in test.values if len(value) >= HEAD]
            return or_(*([head.in_(short)] if short else []), *long)
        if isinstance(test, Pattern):
            begins = _begins(head, test.prefix[:HEAD])
            if test.text == f"{test.prefix}*" and len(test.prefix) <= HEAD:
                return and_(*begins)
            return and_(*begins, self._fits(head + rest, test))
        assert isinstance(test, Span)
        return and_(*_between(head, test))

    def _fits(self, column: ColumnElement[str], pattern: Pattern) -> ColumnElement[bool]:
        return fits(column, pattern, sqlite=self._sqlite)

    def _in_one_item(self, keys: Sequence[Key]) -> Select[Any]:
        """Positions where one item of the sequence that the keys share meets them all."""
        wanted = [(key, clause, TERMS[key.level].alias()) for key in keys for clause in key.clauses]
        joined: list[ColumnElement[bool]] = []
        for (key, _, one), (other, _, two) in combinations(wanted, 2):
            length = _ITEM * _shared(key.tags, other.tags) - 1
            joined += [
                one.c.position == two.c.position,
                func.substr(one.c.item, 1, length) == func.substr(two.c.item, 1, length),
            ]
        tests = [condition for _, clause, table in wanted for condition in self._clause(table, clause)]
        return select(wanted[0][2].c.position).where(*tests, *joined)


def _shared(one: Sequence[int], two: Sequence[int]) -> int:
    """How many sequences two attributes lie in together."""
    depth = 0
    for first, second in zip(one[:-1], two[:-1], strict=False):
        if first != second:
            break
        depth += 1
    return depth


def _begins(column: ColumnElement[str], prefix: str) -> Iterable[ColumnElement[bool]]:
    return (column >= prefix, column < prefix + _LAST) if prefix else ()


def _between(column: ColumnElement[str], span: Span) -> Iterable[ColumnElement[bool]]:
    if span.low is not None:
        yield column >= span.low
    if span.high is not None:
        yield column <= span.high
