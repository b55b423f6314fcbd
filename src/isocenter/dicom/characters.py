"""Text values (PS3.5 6.2) under a Specific Character Set (PS3.3 C.12.1.1.2): bytes to str, whatever they hold."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

from isocenter.dicom.character_sets import CODECS, read_extended

Convert = Callable[[bytes], list[Any]]

_EXTENDED = frozenset(("LO", "LT", "SH", "ST", "UC", "UT", "PN"))  # VRs that the character set governs
_DIRECT = {"": "ascii", "ISO_IR 6": "ascii", "ISO_IR 192": "utf-8"}
# What ends the reach of an escape sequence (PS3.5 6.1.2.5.3).
_DELIMITERS = frozenset(b"\r\n\t\f\\")
_IN_NAMES = frozenset(b"^")
_LISTED = ("AE", "AS", "CS", "DA", "DT", "LO", "SH", "TM", "UC")
_SINGLE = ("LT", "ST", "UR", "UT")
_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
_INTEGER = re.compile(r"[+-]?\d{1,12}\Z")


class Text:
    """A decoder for one Specific Character Set; bytes that do not fit become U+FFFD or Latin-1, never an error."""

    def __init__(self, terms: tuple[str, ...]) -> None:
        known = [term for term in terms if term in CODECS or term in _DIRECT]
        self.is_extended = any(term not in ("", "ISO_IR 6", "ISO 2022 IR 6") for term in terms)
        first = terms[0] if terms else ""
        single = len(terms) <= 1 and not first.startswith("ISO 2022")
        # The Python codec of a character set without code extensions, None for one with them.
        self.codec = _codec(first) if single else None
        # A Value array of the JSON model for each VR that is written as text (PS3.18 F.2.3).
        self.converters: dict[str, Convert] = {
            "UI": _identifiers,
            "DS": _decimals,
            "IS": _integers,
            "PN": self._names,
        }
        self.converters |= {vr: partial(self._listed, vr) for vr in _LISTED}
        self.converters |= {vr: partial(self._single, vr) for vr in _SINGLE}
        self._encodings = [CODECS.get(term, "iso8859") for term in known] or ["iso8859"]

    def decode(self, value: bytes, vr: str) -> str:
        """The text of a value; backslashes that separate values stay."""
        if value.isascii() and b"\x1b" not in value:
            return value.decode("ascii")
        if vr not in _EXTENDED:
            return value.decode("latin-1")
        if self.codec is not None:
            return self._plain(value)
        return self._extended(value, _DELIMITERS)

    def _listed(self, vr: str, value: bytes) -> list[str | None]:
        return _parts(self.decode(value, vr))

    def _single(self, vr: str, value: bytes) -> list[str]:
        whole = self.decode(value, vr).rstrip("\0 ")
        return [whole] if whole else []

    def _names(self, value: bytes) -> list[dict[str, str] | None]:
        found = []
        for name in self.person(value):
            groups = {group: part.strip(" \0") for group, part in zip(_GROUPS, name.split("="), strict=False)}
            found.append({group: part for group, part in groups.items() if part} or None)
        return found if found != [None] else []

    def person(self, value: bytes) -> list[str]:
        """The names of a PN value, each with its component groups still joined by "="."""
        if self.codec is not None or (value.isascii() and b"\x1b" not in value):
            return self.decode(value, "PN").split("\\")
        names = value.split(b"\\")
        return ["=".join(self._extended(group, _IN_NAMES) for group in name.split(b"=")) for name in names]

    def _plain(self, value: bytes) -> str:
        try:
            return value.decode(self.codec or "ascii")
        except UnicodeDecodeError:
            # Writers that say ASCII, or nothing, mostly mean Latin-1; in UTF-8 the rest of the text is worth keeping.
            return value.decode("latin-1") if self.codec == "ascii" else value.decode(self.codec or "", "replace")

    def _extended(self, value: bytes, delimiters: frozenset[int]) -> str:
        try:
            return read_extended(value, self._encodings, delimiters)
        except (UnicodeError, LookupError, ValueError):
            return value.decode("latin-1")


def _codec(term: str) -> str | None:
    """The Python codec of a character set without code extensions; Latin-1 for one that is not known."""
    return _DIRECT.get(term) or CODECS.get(term, "latin-1")


@lru_cache(maxsize=64)
def text_decoder(stated: bytes | None) -> Text:
    """The decoder for a value of Specific Character Set (0008,0005); None where there is none."""
    if stated is None:
        return Text(())
    text = stated.decode("latin-1").strip(" \0")
    return Text(tuple(part.strip(" \0") for part in text.split("\\")))


def _parts(text: str) -> list[str | None]:
    found = text.strip(" \0")
    if "\\" not in text:
        return [found] if found else []
    return [part.strip(" \0") or None for part in text.split("\\")]


def _identifiers(value: bytes) -> list[str | None]:
    return _parts(value.rstrip(b"\0 ").decode("latin-1"))


def _decimals(value: bytes) -> list[float | int | str | None]:
    return [_decimal(part.strip(" \0")) for part in value.decode("latin-1").split("\\")]


def _decimal(part: str) -> float | int | str | None:
    """A number where it is one; else the text as it stands, which PS3.18 F.2.3.1 allows."""
    if not part:
        return None
    if _INTEGER.match(part):
        return int(part)
    try:
        number = float(part)
    except ValueError:
        return part
    return number if math.isfinite(number) and "_" not in part else part


def _integers(value: bytes) -> list[int | str | None]:
    parts = [part.strip(" \0") for part in value.decode("latin-1").split("\\")]
    return [int(part) if _INTEGER.match(part) else part or None for part in parts]
