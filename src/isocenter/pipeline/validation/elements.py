"""Typed reading of raw elements; what is missing or unusable reads as None or nothing."""

from __future__ import annotations

import math
from struct import error, unpack

from isocenter.dicom.characters import Text, text_decoder
from isocenter.dicom.dictionary import vr_of
from isocenter.dicom.elements import Element

Items = dict[int, Element]

_CODES = {"US": "H", "SS": "h", "UL": "L", "SL": "l", "FL": "f", "FD": "d", "UV": "Q", "SV": "q"}
_SIZES = {"US": 2, "SS": 2, "UL": 4, "SL": 4, "FL": 4, "FD": 8, "UV": 8, "SV": 8, "AT": 4}
_CHARACTER_SET = 0x00080005


class Values:
    """The values of one data set or item by tag."""

    __slots__ = ("elements", "order", "text")

    def __init__(self, elements: Items, *, big_endian: bool = False, outer: Text | None = None) -> None:
        self.elements = elements
        self.order = ">" if big_endian else "<"
        stated = elements.get(_CHARACTER_SET)
        given = stated.value if stated is not None and isinstance(stated.value, bytes) else None
        self.text = outer if given is None and outer is not None else text_decoder(given)

    def __contains__(self, tag: int) -> bool:
        return tag in self.elements

    def raw(self, tag: int) -> bytes:
        """The bytes, none where it is missing, a sequence or bulk data."""
        element = self.elements.get(tag)
        return element.value if element is not None and isinstance(element.value, bytes) else b""

    def has_value(self, tag: int) -> bool:
        element = self.elements.get(tag)
        return element is not None and not is_empty(element)

    def uid(self, tag: int) -> str:
        return self.raw(tag).rstrip(b"\0 ").decode("latin-1")

    def code(self, tag: int) -> str:
        """The first value of a CS."""
        return self.raw(tag).split(b"\\")[0].strip(b" \0").decode("latin-1")

    def codes(self, tag: int) -> list[str]:
        raw = self.raw(tag)
        return [part.strip(b" \0").decode("latin-1") for part in raw.split(b"\\")] if raw else []

    def string(self, tag: int) -> str:
        """Text in the character set that is declared."""
        raw = self.raw(tag)
        return self.text.decode(raw, self._vr(tag)).strip(" \0") if raw else ""

    def numbers(self, tag: int) -> list[float]:
        """All values as numbers; none at all where one of them is no finite number."""
        raw = self.raw(tag)
        if not raw:
            return []
        vr = self._vr(tag)
        try:
            if vr in ("DS", "IS"):
                found = [float(part) for part in raw.split(b"\\")]
            elif vr in _CODES:
                count = len(raw) // _SIZES[vr]
                found = [float(each) for each in unpack(f"{self.order}{count}{_CODES[vr]}", raw)]
            else:
                return []
        except (ValueError, error):
            return []
        return found if all(map(math.isfinite, found)) else []

    def number(self, tag: int) -> float | None:
        found = self.numbers(tag)
        return found[0] if found else None

    def integer(self, tag: int) -> int | None:
        """The first value where it is a whole number."""
        found = self.number(tag)
        return int(found) if found is not None and found == int(found) else None

    def items(self, tag: int) -> list[Items]:
        element = self.elements.get(tag)
        return element.value if element is not None and isinstance(element.value, list) else []

    def inner(self, items: Items) -> Values:
        """The values of an item of one of its sequences."""
        return Values(items, big_endian=self.order == ">", outer=self.text)

    def _vr(self, tag: int) -> str:
        vr = self.elements[tag].vr
        if vr == "UN":
            vr = vr_of(tag)
        if len(vr) > 2:
            vr = "SS" if vr == "US or SS" and any(self.raw(0x00280103)[:2]) else vr[:2]
        return vr


def is_empty(element: Element) -> bool:
    """Whether an element has no value (PS3.5 7.4): no bytes, only padding, or no items."""
    if isinstance(element.value, list):
        return not element.value
    if element.value is None:
        return element.length == 0
    return not element.value.strip(b" \0") if element.vr not in _BINARY else not element.value


_BINARY = frozenset(("AT", "FD", "FL", "OB", "OD", "OF", "OL", "OV", "OW", "SL", "SS", "SV", "UL", "UN", "US", "UV"))
