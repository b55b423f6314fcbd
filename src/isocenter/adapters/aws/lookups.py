"""Which attributes of studies are looked up by value, and which partitions a search key leads to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from isocenter.adapters.aws import keys
from isocenter.adapters.aws.table import Table
from isocenter.dicom.matching import AnyOf, Key, Span, attribute_terms, path_of

_STUDY_DATE: Final = 0x00080020
_LOOKED_UP: Final = (0x00100020, 0x00080050, _STUDY_DATE)  # Patient ID, Accession Number, Study Date; best first
_MOST_VALUES = 4  # of one attribute of a study
_MOST_PARTITIONS = 40  # that one search asks; a month of days


def lookups_of(table: Table, store: str, model: Mapping[str, Any]) -> set[str]:
    """The partitions that lead to a study."""
    found = set()
    for tag in _LOOKED_UP:
        values = {value for suffix, value in attribute_terms(model, tag) if not suffix}
        if len(values) > _MOST_VALUES or (tag == _STUDY_DATE and not all(map(_is_day, values))):
            values = {keys.MANY}
        found |= {keys.lookup(table, store, _kind(tag, value), value) for value in values}
    return found


def leading(table: Table, store: str, wanted: Sequence[Key]) -> list[str] | None:
    """Partitions that lead to every study that meets these keys, and to others; None where no key is looked up."""
    for tag in _LOOKED_UP:
        for key in wanted:
            if key.tags != (tag,) or key.level != "study":
                continue
            for clause in key.clauses:
                values = _values(tag, clause.test) if clause.paths == (path_of(key.tags),) else None
                if values is not None and len(values) < _MOST_PARTITIONS:
                    asked = [(path_of((tag,)), value) for value in dict.fromkeys(values)]
                    return [keys.lookup(table, store, *each) for each in (*asked, (_kind(tag, keys.MANY), keys.MANY))]
    return None


def _kind(tag: int, value: str) -> str:
    return f"{path_of((tag,))}{'*' if value == keys.MANY else ''}"


def _values(tag: int, test: object) -> list[str] | None:
    if isinstance(test, AnyOf):
        return list(test.values)
    if isinstance(test, Span) and tag == _STUDY_DATE and test.low is not None and test.high is not None:
        days = _days(test.low, test.high)
        return None if days is None else list(days)
    return None


def _days(low: str, high: str) -> Iterator[str] | None:
    first, last = _day(low), _day(high)
    for _ in range(3):
        if last is None and high.isdigit():  # the last day of a month that has fewer
            high = str(int(high) - 1)
            last = _day(high)
    if first is None or last is None or (last - first).days >= _MOST_PARTITIONS:
        return None
    return ((first + timedelta(days=number)).strftime("%Y%m%d") for number in range((last - first).days + 1))


def _day(text: str) -> datetime | None:
    if len(text) != 8 or not (text.isascii() and text.isdigit()):
        return None
    try:
        return datetime(int(text[:4]), int(text[4:6]), int(text[6:]))  # noqa: DTZ001 - a day of no time zone
    except ValueError:
        return None


def _is_day(text: str) -> bool:
    return _day(text) is not None
