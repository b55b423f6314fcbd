"""Dates moved by days (DA, DT of PS3.5 6.2): times of day, precision and intervals stay."""

from __future__ import annotations

import re
from datetime import date, timedelta

_DATE = re.compile(r"(\d{4})([.\-/]?)(\d{2})\2(\d{2})\Z")
_DATE_TIME = re.compile(r"(\d{4})(\d{2})?(\d{2})?(\d{2,6}(?:\.\d{1,6})?)?([+-]\d{4})?\Z")


def moved(value: str, vr: str, days: int) -> str | None:
    """A value (several joined by backslashes) with its dates `days` later.

    None where something in it is no date that can be moved: a year alone, or no date at all.
    """
    found = [_moved_part(part.strip(" \0"), vr, days) for part in value.split("\\")]
    parts = [part for part in found if part is not None]
    return "\\".join(parts) if len(parts) == len(found) else None


def _moved_part(part: str, vr: str, days: int) -> str | None:
    if not part:
        return ""
    if vr == "DA":
        match = _DATE.match(part)  # ACR-NEMA wrote 1993.08.22, some write dashes
        return _later(match[1], match[3], match[4], days) if match else None
    match = _DATE_TIME.match(part)
    if match is None or match[2] is None or match[3] is None:
        return None
    moved_date = _later(match[1], match[2], match[3], days)
    return None if moved_date is None else moved_date + (match[4] or "") + (match[5] or "")


def _later(year: str, month: str, day: str, days: int) -> str | None:
    try:
        return (date(int(year), int(month), int(day)) + timedelta(days=days)).strftime("%Y%m%d").rjust(8, "0")
    except (ValueError, OverflowError):
        return None


def capped_age(value: str, oldest: int) -> str:
    """An Age String (AS): above `oldest` years it is the next year, "090Y" for 89; what is no age is left empty."""
    match = re.match(r"(\d{3})([DWMY])\Z", value.strip(" \0"))
    if match is None:
        return ""
    years = int(match[1]) * {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1}[match[2]]
    return f"{oldest + 1:03d}Y" if years > oldest else match[0]
