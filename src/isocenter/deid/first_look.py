"""Reads the few top-level attributes of a header that a first look at a study wants, and steps over all others."""

from __future__ import annotations

from collections.abc import Collection
from struct import Struct

from isocenter.deid.source import Readable
from isocenter.dicom.dictionary import LONG_VRS, SHORT_VRS, VRS
from isocenter.dicom.elements import PIXEL_TAGS, UNDEFINED, Element
from isocenter.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN

_FIRST = 1 << 16  # bytes in which most headers lie
_LONGEST = 1 << 15  # bytes of a value that is taken
_SYNTAX = 0x00020010
_ITEM, _ITEM_END, _SEQUENCE_END = 0xE000, 0xE00D, 0xE0DD
_short = Struct("<HH2sH").unpack_from
_long = Struct("<L").unpack_from


class _Unusual(Exception):
    """Something that has to be read in full."""


def told(source: Readable, wanted: Collection[int]) -> dict[int, Element] | None:
    """Attributes of VR PN and those `wanted`, of an ordinary file: Part 10, Explicit VR Little Endian, native pixels.

    None for any other, and wherever a byte is not as expected: `header_of` knows what to make of it.
    """
    data = source.read(0, _FIRST)
    try:
        start = _body(data)
        return _elements(data, start, source.size, wanted)
    except _Unusual:
        return None


def _body(data: bytes) -> int:
    """Where the Data Set begins."""
    at, syntax = 132, b""
    if data[128:132] != b"DICM":
        raise _Unusual
    while at + 12 <= len(data):
        group, number, code, length = _short(data, at)
        if group != 2:
            break
        start = at + 8
        if code in LONG_VRS:
            length, start = _long(data, at + 8)[0], at + 12
        elif code not in VRS:
            raise _Unusual
        at = start + length
        if number == _SYNTAX & 0xFFFF:
            syntax = data[start:at]
    if syntax.rstrip(b"\0 ") != EXPLICIT_VR_LITTLE_ENDIAN.encode():
        raise _Unusual
    return at


def _elements(data: bytes, at: int, size: int, wanted: Collection[int]) -> dict[int, Element]:
    found: dict[int, Element] = {}
    last = len(data) - 12
    while at != size:
        if at > last:
            raise _Unusual
        group, number, code, length = _short(data, at)
        vr = SHORT_VRS.get(code)
        start = at + 8
        if vr is None:
            if code not in LONG_VRS:
                raise _Unusual
            length, start = _long(data, at + 8)[0], at + 12
            if length == UNDEFINED:
                if code != b"SQ":
                    raise _Unusual
                at = _past_items(data, start)
                continue
            if start + length > size:
                raise _Unusual
        tag = group << 16 | number
        at = start + length
        if group <= 2 or (at > len(data) and tag not in PIXEL_TAGS):
            raise _Unusual
        if vr == "PN" or tag in wanted:
            if tag in found or length > _LONGEST:
                raise _Unusual
            found[tag] = Element(vr or code.decode(), data[start:at], start, length)
    return found


def _past_items(data: bytes, at: int) -> int:
    """Behind a sequence of undefined length."""
    while at + 8 <= len(data):
        group, number, _, _ = _short(data, at)
        length = _long(data, at + 4)[0]
        if group != 0xFFFE:
            raise _Unusual
        at += 8
        if number == _SEQUENCE_END:
            return at
        if number != _ITEM:
            raise _Unusual
        at = _past_item(data, at) if length == UNDEFINED else at + length
    raise _Unusual


def _past_item(data: bytes, at: int) -> int:
    while at + 12 <= len(data):
        group, number, code, length = _short(data, at)
        if code in LONG_VRS:
            length = _long(data, at + 8)[0]
            if length != UNDEFINED:
                at += 12 + length
            elif code == b"SQ":
                at = _past_items(data, at + 12)
            else:
                raise _Unusual
        elif code in SHORT_VRS:
            at += 8 + length
        elif group == 0xFFFE and number == _ITEM_END:
            return at + 8
        else:
            raise _Unusual
    raise _Unusual
