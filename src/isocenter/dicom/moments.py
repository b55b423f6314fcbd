"""DA, TM and DT values (PS3.5 6.2) as texts that compare as the moments do, and the ranges a search names."""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

Bounds = tuple[str | None, str | None]

_DATE = re.compile(r"(\d{4})(\d{2})?(\d{2})?\Z", re.ASCII)
_OLD_DATE = re.compile(r"(\d{4})\.(\d{2})\.(\d{2})\Z", re.ASCII)
_TIME = re.compile(r"(\d{2})(?::?(\d{2})(?::?(\d{2})(?:\.(\d{1,6}))?)?)?\Z", re.ASCII)
_MOMENT = r"\d{4}(?:\d{2}){0,5}(?:\.\d{1,6})?(?:[+-](?:0\d|1[0-4])[0-5]\d)?"
_RANGE = re.compile(rf"({_MOMENT})?-({_MOMENT})?\Z", re.ASCII)
_PARTS = re.compile(
    r"(\d{4})(\d{2})?(\d{2})?(\d{2})?(\d{2})?(\d{2})?(?:\.(\d{1,6}))?([+-](?:0\d|1[0-4])[0-5]\d)?\Z",
    re.ASCII,
)
_LEAST = ("0001", "01", "01", "00", "00", "00", "000000")
_MOST = ("9999", "12", "31", "23", "59", "59", "999999")


def date_value(text: str) -> str:
    """A date as YYYYMMDD; one that is none stays as it is."""
    old = _OLD_DATE.match(text)
    return "".join(old.groups()) if old else text


def time_value(text: str) -> str:
    """A time as HHMMSS.FFFFFF, what is left out as zero; one that is none stays as it is."""
    found = _TIME.match(text)
    return _filled_time(found, "00", "0") if found else text


def datetime_value(text: str) -> str:
    """A moment as YYYYMMDDHHMMSS.FFFFFF, brought to UTC where it states an offset; one that is none stays as it is."""
    try:
        return _filled_moment(text, _LEAST)
    except ValueError:
        return text


def date_span(text: str) -> Bounds:
    """The first and last day that `text` names: a date, a year or month, or a range; ValueError for none."""
    return _span(text.strip(), lambda part: _filled_date(part, _LEAST), lambda part: _filled_date(part, _MOST))


def time_span(text: str) -> Bounds:
    """The first and last time that `text` names: "10" is the whole hour; ValueError for none."""
    return _span(text.strip(), lambda part: _bound_time(part, "00", "0"), lambda part: _bound_time(part, "59", "9"))


def datetime_span(text: str) -> Bounds:
    text = text.strip()
    if _PARTS.match(text):
        return _filled_moment(text, _LEAST), _filled_moment(text, _MOST)
    found = _RANGE.match(text)
    if not found or found[1] == found[2] is None:
        raise ValueError("not a moment or range")
    low = _filled_moment(found[1], _LEAST) if found[1] else None
    return low, _filled_moment(found[2], _MOST) if found[2] else None


def _span(text: str, low: Callable[[str], str], high: Callable[[str], str]) -> Bounds:
    first, dash, last = text.partition("-")
    first, last = first.strip(), last.strip()
    if not dash:
        return low(first), high(first)
    if not first and not last:
        raise ValueError("a range names one end at least")
    return low(first) if first else None, high(last) if last else None


def _filled_date(text: str, rest: tuple[str, ...]) -> str:
    found = _DATE.match(date_value(text))
    if not found:
        raise ValueError("not a date")
    return "".join(part or rest[i] for i, part in enumerate(found.groups()))


def _bound_time(text: str, rest: str, fraction: str) -> str:
    found = _TIME.match(text)
    if not found:
        raise ValueError("not a time")
    return _filled_time(found, rest, fraction)


def _filled_time(found: re.Match[str], rest: str, fraction: str) -> str:
    hour, minute, second, part = found.groups()
    return f"{hour}{minute or rest}{second or rest}.{(part or '').ljust(6, fraction)}"


def _filled_moment(text: str, rest: tuple[str, ...]) -> str:
    found = _PARTS.match(text)
    if not found:
        raise ValueError("not a moment")
    *parts, fraction, offset = found.groups()
    filled = [part or rest[i] for i, part in enumerate(parts)]
    micros = (fraction or "").ljust(6, rest[6][0])
    if offset is None:
        return "".join(filled) + "." + micros
    zone = timezone((1 if offset[0] == "+" else -1) * timedelta(hours=int(offset[1:3]), minutes=int(offset[3:])))
    year, month, day, hour, minute, second = map(int, filled)
    try:
        # 31 stands for the last day where the day was left out; a leap second is the second before it.
        day = day if found[3] else min(day, calendar.monthrange(year, month)[1])
        moment = datetime(year, month, day, hour, minute, min(second, 59), int(micros), zone).astimezone(UTC)
    except (OverflowError, calendar.IllegalMonthError):
        raise ValueError("not a moment") from None
    return f"{moment.year:04d}{moment:%m%d%H%M%S.%f}"
