"""Turns raw elements into the DICOM JSON model (PS3.18 F.2), bulk data by reference."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from struct import Struct
from typing import Any

from isocenter.dicom.characters import Text, text_decoder
from isocenter.dicom.elements import PIXEL_TAGS, UNDEFINED, Element

Model = dict[str, dict[str, Any]]

_NUMBERS = {"US": "H", "SS": "h", "UL": "L", "SL": "l", "FL": "f", "FD": "d", "UV": "Q", "SV": "q"}
_SIZES = {"H": 2, "h": 2, "L": 4, "l": 4, "f": 4, "d": 8, "Q": 8, "q": 8}
_LISTED = frozenset(("AE", "CS", "DA", "DT", "LO", "SH", "TM", "UC", "AS"))
_SINGLE = frozenset(("LT", "ST", "UT", "UR"))
_CHARACTER_SET = 0x00080005
_PIXEL_REPRESENTATION = 0x00280103
_INTEGER = re.compile(r"[+-]?\d{1,12}$")
_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")


@dataclass(slots=True)
class Encoded:
    """A Data Set as JSON model; `bulk` maps the path of each bulk value to (offset, length) in the blob.

    A path is tags and item numbers, as "7FE00010" or "00880200/0/7FE00010". `unreadable` are the tags whose
    bytes do not fit their VR: their `vr` is told, their value left out.
    """

    model: Model
    bulk: dict[str, tuple[int, int]] = field(default_factory=dict)
    unreadable: list[int] = field(default_factory=list)


def encode(elements: dict[int, Element], *, big_endian: bool = False) -> Encoded:
    """The JSON model of a Data Set read by `part10.HeaderReader`."""
    done = Encoded({})
    done.model = _Encoder(done, big_endian).data_set(elements, text_decoder(None), "", signed=False)
    return done


class _Encoder:
    def __init__(self, done: Encoded, big_endian: bool) -> None:
        self.done = done
        self.order = ">" if big_endian else "<"

    def data_set(self, elements: dict[int, Element], text: Text, path: str, *, signed: bool) -> Model:
        stated = elements.get(_CHARACTER_SET)
        if stated is not None and isinstance(stated.value, bytes):
            text = text_decoder(stated.value)
        representation = elements.get(_PIXEL_REPRESENTATION)
        if representation is not None and isinstance(representation.value, bytes):
            signed = any(representation.value[:2])
        model: Model = {}
        previous = -1
        ordered = True
        for tag, element in elements.items():
            ordered = ordered and tag > previous
            previous = tag
            if tag & 0xFFFF == 0:  # group lengths are not part of the model
                continue
            name = tag_name(tag)
            if tag == _CHARACTER_SET and text.is_extended:
                model[name] = {"vr": "CS", "Value": ["ISO_IR 192"]}  # PS3.18 F.2: the model is UTF-8
                continue
            model[name] = self.attribute(tag, element, text, path + name, signed)
        return model if ordered else dict(sorted(model.items()))

    def attribute(self, tag: int, element: Element, text: Text, path: str, signed: bool) -> dict[str, Any]:
        vr, value = element.vr, element.value
        if len(vr) > 2:
            vr = _settled(vr, tag, element.length, signed)
        if value is None:
            if element.length != UNDEFINED:
                self.done.bulk[path] = (element.offset, element.length)
            return {"vr": vr, "BulkDataURI": path}
        if isinstance(value, list):
            if not value:
                return {"vr": vr}
            items = [
                self.data_set(item, text, f"{path}/{number}/", signed=signed) for number, item in enumerate(value)
            ]
            return {"vr": vr, "Value": items}
        if not value:
            return {"vr": vr}
        try:
            found = self.values(vr, value, text)
        except (ValueError, OverflowError):
            self.done.unreadable.append(tag)
            return {"vr": vr}
        if isinstance(found, str):
            return {"vr": vr, "InlineBinary": found}
        return {"vr": vr, "Value": found} if found else {"vr": vr}

    def values(self, vr: str, value: bytes, text: Text) -> list[Any] | str:
        """The Value array, or the base64 text of InlineBinary."""
        if vr == "UI":
            return _parts(value.rstrip(b"\0 ").decode("latin-1"))
        if vr in _LISTED:
            return _parts(text.decode(value, vr))
        if vr == "DS":
            return [_decimal(part) for part in _split(value.decode("latin-1"))]
        if vr == "IS":
            return [_integer(part) for part in _split(value.decode("latin-1"))]
        if vr == "PN":
            return [_person(name) for name in text.person(value)]
        code = _NUMBERS.get(vr)
        if code is not None:
            return self.numbers(code, value)
        if vr in _SINGLE:
            whole = text.decode(value, vr).rstrip("\0 ")
            return [whole] if whole else []
        if vr == "AT":
            pairs = self.numbers("H", value)
            if len(pairs) % 2:
                raise ValueError("AT")
            return [f"{pairs[i]:04X}{pairs[i + 1]:04X}" for i in range(0, len(pairs), 2)]
        return base64.b64encode(self.little(vr, value)).decode("ascii")

    def numbers(self, code: str, value: bytes) -> list[Any]:
        count, rest = divmod(len(value), _SIZES[code])
        if rest:
            raise ValueError(code)
        found: list[Any] = list(_struct(f"{self.order}{count}{code}")(value))
        if code in "fd":
            return [x if math.isfinite(x) else _odd(x) for x in found]
        return found

    def little(self, vr: str, value: bytes) -> bytes:
        """InlineBinary is little endian (PS3.18 F.2.7)."""
        width = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}.get(vr, 1)
        if self.order == "<" or width == 1:
            return value
        return b"".join(value[i : i + width][::-1] for i in range(0, len(value), width))


@lru_cache(maxsize=8192)
def tag_name(tag: int) -> str:
    """The key of an attribute in the model: eight upper-case hexadecimal digits."""
    return f"{tag:08X}"


@lru_cache(maxsize=256)
def _struct(form: str) -> Callable[[bytes], tuple[Any, ...]]:
    return Struct(form).unpack


def _settled(vr: str, tag: int, length: int, signed: bool) -> str:
    """Settles a VR that the dictionary leaves open (PS3.5 A.1, PS3.6 6)."""
    if vr == "US or SS":
        return "SS" if signed else "US"
    if vr == "US or OW" or vr == "US or SS or OW":
        return "OW" if length > 6 else "US"
    if vr == "OB or OW":
        return "OW"
    return "UN" if tag not in PIXEL_TAGS else "OW"


def _split(text: str) -> list[str]:
    return [part.strip(" \0") for part in text.split("\\")]


def _parts(text: str) -> list[str | None]:
    found = text.strip(" \0")
    if "\\" not in found:
        return [found] if found else []
    return [part.strip(" \0") or None for part in text.split("\\")]


def _decimal(part: str) -> float | int | str | None:
    if not part:
        return None
    if _INTEGER.match(part):
        return int(part)
    try:
        number = float(part)
    except ValueError:
        return part
    return number if math.isfinite(number) and "_" not in part else part


def _integer(part: str) -> int | str | None:
    return int(part) if _INTEGER.match(part) else part or None


def _odd(number: float) -> str:
    return "NaN" if math.isnan(number) else "inf" if number > 0 else "-inf"


def _person(name: str) -> dict[str, str] | None:
    groups = {group: part.strip(" \0") for group, part in zip(_GROUPS, name.split("="), strict=False)}
    return {group: part for group, part in groups.items() if part} or None
