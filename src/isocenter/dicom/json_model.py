"""Turns raw elements into the DICOM JSON model (PS3.18 F.2), bulk data by reference."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass, field
from functools import lru_cache, partial
from struct import unpack
from typing import Any

from isocenter.dicom.characters import Convert, Text, text_decoder
from isocenter.dicom.dictionary import private_vr_of, vr_of
from isocenter.dicom.elements import PIXEL_TAGS, UNDEFINED, Element

Model = dict[str, dict[str, Any]]

_NUMBERS = {"US": "H", "SS": "h", "UL": "L", "SL": "l", "FL": "f", "FD": "d", "UV": "Q", "SV": "q"}
_SIZES = {"H": 2, "h": 2, "L": 4, "l": 4, "f": 4, "d": 8, "Q": 8, "q": 8}
_CHARACTER_SET = 0x00080005
_PIXEL_REPRESENTATION = 0x00280103


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
        self.numeric: dict[str, Convert] = {
            vr: partial(_numbers, f"{self.order}{code}", _SIZES[code], code in "fd") for vr, code in _NUMBERS.items()
        }
        self.numeric["AT"] = partial(_tags, self.order)

    def data_set(self, elements: dict[int, Element], text: Text, path: str, *, signed: bool) -> Model:
        stated = elements.get(_CHARACTER_SET)
        if stated is not None and isinstance(stated.value, bytes):
            text = text_decoder(stated.value)
        representation = elements.get(_PIXEL_REPRESENTATION)
        if representation is not None and isinstance(representation.value, bytes):
            signed = any(representation.value[:2])
        convert: dict[str, Convert] = {**text.converters, **self.numeric}
        model: Model = {}
        previous = -1
        ordered = True
        # The loop over every attribute of every instance that comes in: what is common is done in place.
        for tag, element in elements.items():
            vr, value, _, length = element
            if vr == "UN":
                vr = self.known_vr(tag, elements)
            if len(vr) > 2:
                vr = settled_vr(vr, tag, length, signed)
            ordered = ordered and tag > previous
            previous = tag
            simple = convert.get(vr)
            if simple is not None and tag & 0xFFFF and value and isinstance(value, bytes):
                try:
                    found = simple(value)
                except (ValueError, OverflowError):
                    self.done.unreadable.append(tag)
                    found = None
                model[tag_name(tag)] = {"vr": vr, "Value": found} if found and found != [None] else {"vr": vr}
            elif tag & 0xFFFF:  # group lengths are not part of the model
                name = tag_name(tag)
                model[name] = self.attribute(vr, element, text, path + name, signed)
        if text.is_extended and _CHARACTER_SET in elements:
            model[tag_name(_CHARACTER_SET)] = {"vr": "CS", "Value": ["ISO_IR 192"]}  # PS3.18 F.2: it is UTF-8
        return model if ordered else dict(sorted(model.items()))

    def known_vr(self, tag: int, elements: dict[int, Element]) -> str:
        """The VR of an attribute written as UN, where we know it; its value is little endian."""
        found = vr_of(tag)
        if found == "UN" and tag >> 16 & 1:
            creator = elements.get(tag & 0xFFFF0000 | (tag & 0xFF00) >> 8)
            if creator is not None and isinstance(creator.value, bytes):
                found = private_vr_of(creator.value.rstrip(b"\0 ").decode("latin-1"), tag)
        return "UN" if found == "SQ" or self.order == ">" else found

    def attribute(self, vr: str, element: Element, text: Text, path: str, signed: bool) -> dict[str, Any]:
        """What the loop does not do itself: sequences, bulk data, binary values, empty ones."""
        value = element.value
        if value is None:
            if element.length != UNDEFINED:
                self.done.bulk[path] = (element.offset, element.length)
            return {"vr": vr, "BulkDataURI": path}
        if not value:
            return {"vr": vr}
        if isinstance(value, list):
            items = [self.data_set(item, text, f"{path}/{number}/", signed=signed) for number, item in enumerate(value)]
            return {"vr": vr, "Value": items}
        return {"vr": vr, "InlineBinary": base64.b64encode(self.little(vr, value)).decode("ascii")}

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


def settled_vr(vr: str, tag: int, length: int, signed: bool) -> str:
    """Settles a VR that the dictionary leaves open (PS3.5 A.1, PS3.6 6)."""
    if vr == "US or SS":
        return "SS" if signed else "US"
    if vr == "US or OW" or vr == "US or SS or OW":
        return "OW" if length > 6 else "US"
    if vr == "OB or OW":
        return "OW"
    return "UN" if tag not in PIXEL_TAGS else "OW"


def _numbers(code: str, size: int, real: bool, value: bytes) -> list[Any]:
    count, rest = divmod(len(value), size)
    if rest:
        raise ValueError(code)
    found: list[Any] = list(unpack(f"{code[0]}{count}{code[1]}", value))
    return [x if math.isfinite(x) else _odd(x) for x in found] if real else found


def _tags(order: str, value: bytes) -> list[Any]:
    pairs = _numbers(order + "H", 2, False, value)
    if len(pairs) % 2:
        raise ValueError("AT")
    return [f"{pairs[i]:04X}{pairs[i + 1]:04X}" for i in range(0, len(pairs), 2)]


def _odd(number: float) -> str:
    return "NaN" if math.isnan(number) else "inf" if number > 0 else "-inf"
