"""The form that each VR gives a value (PS3.5 6.2) and how many values the dictionary allows (PS3.6)."""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from isocenter.dicom.dictionary import vr_of
from isocenter.dicom.tables import ATTRIBUTES

# A rule that the value breaks, or None.
Form = Callable[[bytes], str | None]

_DAY = rb"\d{4}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
_OLD_DAY = rb"\d{4}\.\d{2}\.\d{2}"
_CLOCK = rb"(?:[01]\d|2[0-3])(?:[0-5]\d(?:(?:[0-5]\d|60)(?:\.\d{1,6})?)?)?"
_OLD_CLOCK = rb"\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?"
_MOMENT = (
    rb"\d{4}(?:(?:0[1-9]|1[0-2])(?:(?:0[1-9]|[12]\d|3[01])(?:(?:[01]\d|2[0-3])(?:[0-5]\d(?:(?:[0-5]\d|60)"
    rb"(?:\.\d{1,6})?)?)?)?)?)?(?:[+-](?:0\d|1[0-4])[0-5]\d)?"
)


def _several(one: bytes, *, pad: bytes = rb"[ \0]*") -> re.Pattern[bytes]:
    """Values of a form, each possibly empty, with backslashes between and padding at the end.

    Runs of any length in `one` are possessive (`*+`): a value of 64 KB must not make a search go back and forth.
    """
    return re.compile(rb"(?:%b)?(?:\\(?:%b)?)*%b\Z" % (one, one, pad))


_CS = _several(rb"[A-Z0-9_ ]{1,16}", pad=rb"\0*")
_AS = _several(rb"\d{3}[DWMY]")
_DA = _several(_DAY)
_DA_OLD = _several(rb"(?:%b|%b)" % (_DAY, _OLD_DAY))
_TM = _several(rb"%b *+" % _CLOCK)
_TM_OLD = _several(rb"(?:%b|%b) *+" % (_CLOCK, _OLD_CLOCK))
_DT = _several(rb"%b *+" % _MOMENT)
_DS = _several(rb" *+[+-]?(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][+-]?\d++)? *+")
_IS = _several(rb" *+[+-]?\d++ *+")
_UI = re.compile(rb"(?:[0-9]+(?:\.[0-9]+)*)?(?:\\(?:[0-9]+(?:\.[0-9]+)*)?)*[\0 ]*\Z")
_LEADING_ZERO = re.compile(rb"(?:\A|[.\\])0[0-9]")
_AE = re.compile(rb"[\x20-\x7e]*\0*\Z")
_UR = re.compile(rb"(?! )[\x21-\x7e]*[ \0]*\Z")
_CONTROL_LINE = re.compile("[\x00-\x1a\x1c-\x1f\x7f]")
_CONTROL_TEXT = re.compile("[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f]")
_MOST_CHARACTERS = {"SH": 16, "LO": 64, "ST": 1024, "LT": 10240}


def _longest(value: bytes) -> int:
    return max(map(len, value.rstrip(b"\0").split(b"\\"))) if b"\\" in value else len(value.rstrip(b"\0"))


def _code(value: bytes) -> str | None:
    if _CS.match(value):
        return None
    return "value-too-long" if _longest(value) > 16 and _CS.match(value.replace(b" ", b"")) else "vr-invalid"


def _age(value: bytes) -> str | None:
    return None if _AS.match(value) else "vr-invalid"


def _date(value: bytes) -> str | None:
    if not _DA.match(value):
        return "date-form-retired" if _DA_OLD.match(value) else "vr-invalid"
    for part in value.split(b"\\"):
        day = part.strip(b" \0")
        if (
            day
            and int(day[6:8]) > 28
            and (not int(day[:4]) or int(day[6:8]) > calendar.monthrange(int(day[:4]), int(day[4:6]))[1])
        ):
            return "vr-invalid"
    return None


def _time(value: bytes) -> str | None:
    if _TM.match(value):
        return None
    return "date-form-retired" if _TM_OLD.match(value) else "vr-invalid"


def _moment(value: bytes) -> str | None:
    return None if _DT.match(value) else "vr-invalid"


def _decimal(value: bytes) -> str | None:
    if not _DS.match(value):
        return "number-invalid"
    return "value-too-long" if len(value) > 16 and _longest(value) > 16 else None


def _whole(value: bytes) -> str | None:
    if not _IS.match(value):
        return "number-invalid"
    if len(value) <= 10:
        return None
    for part in value.split(b"\\"):
        digits = part.strip(b" \0")
        if len(part.rstrip(b"\0")) > 12 and len(digits) <= 12:
            return "value-too-long"
        if len(digits) > 12 or (digits and not -(2**31) <= int(digits) < 2**31):
            return "vr-invalid"
    return None


def _uid(value: bytes) -> str | None:
    if not _UI.match(value) or (len(value) > 64 and _longest(value.rstrip(b"\0 ")) > 64):
        return "uid-invalid"
    if b"0" in value and _LEADING_ZERO.search(value):
        return "uid-leading-zero"
    return None


def _entity(value: bytes) -> str | None:
    if not _AE.match(value):
        return "vr-invalid"
    return "value-too-long" if len(value) > 16 and _longest(value) > 16 else None


def _address(value: bytes) -> str | None:
    return None if _UR.match(value) else "vr-invalid"


FORMS: dict[str, Form] = {
    "CS": _code, "AS": _age, "DA": _date, "TM": _time, "DT": _moment, "DS": _decimal, "IS": _whole, "UI": _uid,
    "AE": _entity, "UR": _address,
}  # fmt: skip
# Bytes in one value of a VR that is written in binary.
WIDTHS = {
    "AT": 4, "FD": 8, "FL": 4, "OD": 8, "OF": 4, "OL": 4, "OV": 8, "OW": 2, "SL": 4, "SS": 2, "SV": 8, "UL": 4,
    "US": 2, "UV": 8,
}  # fmt: skip
TEXTS = frozenset(("LO", "LT", "PN", "SH", "ST", "UC", "UT"))
_ONE_VALUE = frozenset(("LT", "ST", "UR", "UT", "OB", "OD", "OF", "OL", "OV", "OW", "UN", "SQ"))


def text_fault(text: str, vr: str) -> str | None:
    """What is wrong with a decoded text of a VR that the character set governs."""
    if vr == "PN":
        return _name_fault(text)
    several = vr not in ("LT", "ST", "UT")
    if not text.isprintable() and (_CONTROL_LINE if several else _CONTROL_TEXT).search(text.rstrip("\0")):
        return "vr-invalid"
    most = _MOST_CHARACTERS.get(vr)
    if most is None or len(text) <= most:
        return None
    longest = max(len(part.strip(" \0")) for part in (text.split("\\") if several else [text]))
    return "value-too-long" if longest > most else None


def _name_fault(text: str) -> str | None:
    """Component groups of at most 64 characters, three of them, of five components (PS3.5 6.2.1)."""
    if not text.isprintable() and _CONTROL_LINE.search(text.rstrip("\0")):
        return "vr-invalid"
    for name in text.split("\\"):
        groups = name.split("=")
        if len(groups) > 3 or any(group.count("^") > 4 for group in groups):
            return "vr-invalid"
        if len(name) > 64 and any(len(group.strip(" \0")) > 64 for group in groups):
            return "value-too-long"
    return None


class Entry(NamedTuple):
    """What the dictionary says of an attribute: the VRs it may have, how many values, whether it is retired."""

    vrs: frozenset[str]
    least: int
    most: int  # 0 for any number
    step: int
    retired: bool

    def allows(self, count: int) -> bool:
        return count >= self.least and (not self.most or count <= self.most) and not (count - self.least) % self.step


_UNKNOWN = Entry(frozenset(), 0, 0, 1, False)


@lru_cache(maxsize=8192)
def entry_of(tag: int) -> Entry:
    """The dictionary's entry; no VR where it has none. Repeating groups share the entry of the first."""
    found = ATTRIBUTES.get(tag)
    if found is None:
        vr = vr_of(tag)
        return _UNKNOWN if vr == "UN" or tag >> 16 & 1 else _UNKNOWN._replace(vrs=frozenset(vr.split(" or ")))
    vrs = frozenset(str(found[0]).split(" or ")) - {"NONE"}
    least, _, most = str(found[1]).partition("-")
    if vrs & _ONE_VALUE:
        return Entry(vrs, 0, 0, 1, bool(found[3]))
    first = int(least)
    if not most:
        return Entry(vrs, first, first, 1, bool(found[3]))
    if most.endswith("n"):
        return Entry(vrs, first, 0, int(most[:-1] or 1), bool(found[3]))
    return Entry(vrs, first, int(most), 1, bool(found[3]))
