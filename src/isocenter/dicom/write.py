"""From the DICOM JSON model (PS3.18 F.2) and bulk data to a PS3.10 file in Explicit VR Little Endian, in pieces."""

from __future__ import annotations

import re
from bisect import insort
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from struct import pack
from typing import Any

from isocenter.dicom.dictionary import LONG_VRS, VRS, keyword_of
from isocenter.dicom.elements import PIXEL_DATA, UNDEFINED, Limits
from isocenter.dicom.file_meta import part10_header
from isocenter.dicom.recode import element_bytes, element_head, padding
from isocenter.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN, KNOWN, NATIVE, VIDEO
from isocenter.dicom.values import inline_binary, value_bytes
from isocenter.errors import LimitExceeded, Malformed, Unsupported

_TAG = re.compile(r"[0-9A-Fa-f]{8}\Z")
_UID = re.compile(r"[0-9]+(\.[0-9]+)*\Z")
_CHARACTER_SET, _SOP_CLASS, _SOP_INSTANCE = 0x00080005, 0x00080016, 0x00080018
_AVAILABLE_SYNTAX, _SYNTAX = "00083002", "00020010"
_MOST_LENGTH = 0xFFFFFFFE
# What may be sent by reference: PS3.18 F.2.6 leaves it open, so only what can be long at all.
_BULK_VRS = (frozenset(vr.decode() for vr in LONG_VRS) - {"SQ"}) | {
    "DS", "FL", "FD", "IS", "LT", "SL", "SS", "ST", "UL", "US",
}  # fmt: skip
_TEXT_VRS = frozenset(("LO", "LT", "SH", "ST", "UC", "UT", "PN"))
_ITEM = pack("<HHL", 0xFFFE, 0xE000, UNDEFINED)
_ITEM_END = pack("<HHL", 0xFFFE, 0xE00D, 0)
_SEQUENCE_END = pack("<HHL", 0xFFFE, 0xE0DD, 0)


@dataclass(frozen=True, slots=True)
class BulkPart:
    """Bulk data that is sent on without being held: its size in bytes, and what gives its bytes, once."""

    size: int
    chunks: Callable[[], Iterable[bytes]]

    @classmethod
    def of(cls, data: bytes) -> BulkPart:
        return cls(len(data), lambda: (data,))


# The parts behind a BulkDataURI, None where nothing came under it: one part holds a native value; encapsulated
# PixelData has one for each frame, in order.
BulkSource = Callable[[str], Sequence[BulkPart] | None]


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A PS3.10 file of known size on its way out, and what it says of itself."""

    size: int
    transfer_syntax_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    pieces: tuple[bytes | BulkPart, ...]

    def chunks(self) -> Iterator[bytes]:
        """Raises Malformed where a part gives another number of bytes than it said."""
        for piece in self.pieces:
            if isinstance(piece, bytes):
                yield piece
                continue
            sent = 0
            for chunk in piece.chunks():
                sent += len(chunk)
                yield chunk
            if sent != piece.size:
                raise Malformed("a bulk data part is not as long as it said", code="bulk-data-length")


def part10_file(
    model: Mapping[str, Any],
    bulk: BulkSource | None = None,
    *,
    transfer_syntax_uid: str | None = None,
    limits: Limits | None = None,
) -> WrittenFile:
    """The file of a model whose bulk values `bulk` finds, as STOW-RS of metadata and bulk data takes them.

    The transfer syntax is the one given, else TransferSyntaxUID or AvailableTransferSyntaxUID of the model, else
    Explicit VR Little Endian. Native ones all become Explicit VR Little Endian, as bulk data always is (PS3.18 8.7.1).
    Under an encapsulated one PixelData must be bulk data. SpecificCharacterSet becomes ISO_IR 192 where any text is
    not ASCII: JSON and XML are Unicode, whatever set they name, and text sent as bulk data is taken for UTF-8.
    Group 0002, group lengths and AvailableTransferSyntaxUID are not part of what is written.

    Raises Malformed naming the Keyword and what to do; LimitExceeded for too deep or too many; Unsupported for a
    transfer syntax that is not of the standard.
    """
    syntax = _syntax(model, transfer_syntax_uid)
    writer = _Writer(bulk, syntax, limits or Limits())
    body = writer.data_set(model)
    sop_class, sop_instance = _uid(model, _SOP_CLASS), _uid(model, _SOP_INSTANCE)
    pieces = (part10_header(sop_class, sop_instance, syntax), *body)
    size = sum(len(piece) if isinstance(piece, bytes) else piece.size for piece in pieces)
    return WrittenFile(size, syntax, sop_class, sop_instance, pieces)


def data_set_bytes(model: Mapping[str, Any], limits: Limits | None = None) -> bytes:
    """A Data Set without bulk data, encoded as `part10_file` does; no attribute is required."""
    pieces = _Writer(None, EXPLICIT_VR_LITTLE_ENDIAN, limits or Limits()).data_set(model)
    return b"".join(piece for piece in pieces if isinstance(piece, bytes))


def _syntax(model: Mapping[str, Any], given: str | None) -> str:
    if not isinstance(model, Mapping):
        raise Malformed("a Data Set is a JSON object with tags for its keys", code="bad-model")
    uid = given or _first(model, _SYNTAX) or _first(model, _AVAILABLE_SYNTAX) or EXPLICIT_VR_LITTLE_ENDIAN
    if uid not in KNOWN:
        raise Unsupported("TransferSyntaxUID names no transfer syntax of the standard", code="unknown-transfer-syntax")
    return EXPLICIT_VR_LITTLE_ENDIAN if uid in NATIVE else uid


def _first(model: Mapping[str, Any], name: str) -> str | None:
    attribute = model.get(name)
    values = attribute.get("Value") if isinstance(attribute, Mapping) else None
    found = values[0] if isinstance(values, list) and values else None
    return found.strip() if isinstance(found, str) else None


def _uid(model: Mapping[str, Any], tag: int) -> str:
    found = _first(model, f"{tag:08X}")
    if not found:
        raise Malformed(f"{keyword_of(tag)} is missing; every instance has one", code="missing-identifier")
    if len(found) > 64 or not _UID.match(found):
        raise Malformed(f"{keyword_of(tag)} is no UID (PS3.5 9.1: digits and dots, 64 at most)", code="bad-identifier")
    return found


class _Writer:
    """Collects what is written; bulk data stays a reference until it is sent."""

    def __init__(self, bulk: BulkSource | None, syntax: str, limits: Limits) -> None:
        self._bulk = bulk
        self._syntax = syntax
        self._limits = limits
        self._out: list[bytes | BulkPart] = []
        self._sets: list[tuple[int, bytes]] = []  # where Specific Character Set stands, and what it says
        self._count = 0
        self._ascii = True

    def data_set(self, model: Mapping[str, Any]) -> list[bytes | BulkPart]:
        """The whole Data Set, its character set settled once all text has been seen."""
        self._elements(model, 0)
        if not self._ascii:
            unicode = element_bytes(_CHARACTER_SET, "CS", b"ISO_IR 192")
            for place, _ in self._sets:
                self._out[place] = unicode
        return _joined(self._out)

    def _elements(self, model: Mapping[str, Any], depth: int) -> None:
        if not isinstance(model, Mapping):
            raise Malformed("a Data Set is a JSON object with tags for its keys", code="bad-model")
        tags = sorted(self._tag(name) for name in model)
        if len(tags) != len({tag for tag, _ in tags}):
            raise Malformed("a Data Set names a tag twice", code="bad-model")
        self._count += len(tags) + 1
        if self._count > self._limits.elements:
            raise LimitExceeded(f"more than {self._limits.elements} elements", code="too-many-elements")
        if depth == 0 and "00080005" not in model:
            insort(tags, (_CHARACTER_SET, ""))  # its place, should it be needed
        for tag, name in tags:
            group = tag >> 16
            if not name:
                self._place_character_set(b"")
                continue
            if tag & 0xFFFF == 0 or (depth == 0 and (group == 2 or name == _AVAILABLE_SYNTAX)):
                continue
            if group in (0, 2, 4, 0xFFFE, 0xFFFF) or (group & 1 and group < 9):
                raise Malformed(f"{keyword_of(tag)} does not belong in a Data Set; leave it out", code="bad-element")
            self._element(tag, model[name], depth)

    def _tag(self, name: object) -> tuple[int, str]:
        if not isinstance(name, str) or not _TAG.match(name):
            raise Malformed("a key of a Data Set is not a tag of eight hexadecimal digits", code="bad-model")
        return int(name, 16), name

    def _place_character_set(self, stated: bytes) -> None:
        self._sets.append((len(self._out), stated))
        self._out.append(stated)

    def _element(self, tag: int, attribute: Any, depth: int) -> None:
        vr = attribute.get("vr") if isinstance(attribute, Mapping) else None
        if not isinstance(vr, str) or vr.encode("ascii", "replace") not in VRS:
            raise Malformed(f"{keyword_of(tag)} has no `vr` of PS3.5 6.2", code="bad-vr")
        ways = [way for way in ("Value", "InlineBinary", "BulkDataURI") if way in attribute]
        if len(ways) > 1:
            raise Malformed(f"{keyword_of(tag)} has both {ways[0]} and {ways[1]}; send one", code="bad-value")
        if ways == ["BulkDataURI"]:
            self._by_reference(tag, vr, attribute["BulkDataURI"], depth)
        elif vr == "SQ":
            self._sequence(tag, attribute, ways, depth)
        else:
            encapsulated = tag == PIXEL_DATA and depth == 0 and self._syntax not in NATIVE
            if encapsulated and ways:
                raise Malformed("PixelData of a compressed transfer syntax has to be bulk data", code="bad-pixel-data")
            self._value(tag, vr, attribute, ways)

    def _value(self, tag: int, vr: str, attribute: Mapping[str, Any], ways: list[str]) -> None:
        if ways == ["InlineBinary"]:
            value = inline_binary(tag, vr, attribute["InlineBinary"])
        elif ways:
            value = value_bytes(tag, vr, attribute["Value"])
            self._ascii = self._ascii and (vr not in _TEXT_VRS or value.isascii())
        else:
            value = b""
        if len(value) > (_MOST_LENGTH if vr.encode() in LONG_VRS else 0xFFFE):
            raise Malformed(f"{keyword_of(tag)} is longer than its VR allows", code="value-too-long")
        written = element_bytes(tag, vr, value)
        if tag == _CHARACTER_SET:
            self._place_character_set(written)
        else:
            self._out.append(written)

    def _sequence(self, tag: int, attribute: Mapping[str, Any], ways: list[str], depth: int) -> None:
        items = attribute["Value"] if ways == ["Value"] else []
        if ways == ["InlineBinary"] or not isinstance(items, list):
            raise Malformed(f"{keyword_of(tag)} is a sequence: its Value is a list of Data Sets", code="bad-value")
        if depth >= self._limits.depth:
            raise LimitExceeded(
                f"sequences are nested deeper than {self._limits.depth} (setting max_depth)", code="too-deep"
            )
        self._out.append(element_head(tag, "SQ", UNDEFINED))
        for item in items:
            self._out.append(_ITEM)
            if item is not None:  # PS3.18 F.2.5 writes an empty item as {}, some write null
                self._elements(item, depth + 1)
            self._out.append(_ITEM_END)
        self._out.append(_SEQUENCE_END)

    def _by_reference(self, tag: int, vr: str, uri: Any, depth: int) -> None:
        keyword = keyword_of(tag)
        if vr not in _BULK_VRS or tag == _CHARACTER_SET:
            raise Malformed(f"{keyword} cannot be bulk data; give its Value", code="bad-value")
        parts = self._bulk(uri) if self._bulk is not None and isinstance(uri, str) and uri else None
        if not parts:
            raise Malformed(
                f"{keyword} refers to bulk data that did not come; send it as a part with that Content-Location",
                code="bulk-data-missing",
            )
        if tag == PIXEL_DATA and depth == 0 and self._syntax not in NATIVE:
            self._fragments(parts)
            return
        if vr in _TEXT_VRS:
            self._ascii = False  # text of whose letters nobody knows yet; ASCII is the same in UTF-8
        size = sum(part.size for part in parts)
        if size > (_MOST_LENGTH if vr.encode() in LONG_VRS else 0xFFFE):
            raise Malformed(f"{keyword} is longer than its VR allows", code="value-too-long")
        pad = padding(vr, size)
        self._out += [element_head(tag, vr, size + len(pad)), *parts, pad]

    def _fragments(self, parts: Sequence[BulkPart]) -> None:
        """Encapsulated, one fragment a part; a video's parts are one stream all the same (PS3.5 A.4)."""
        if self._syntax in VIDEO:
            parts = [BulkPart(sum(part.size for part in parts), lambda: _chained(parts))]
        self._out.append(element_head(PIXEL_DATA, "OB", UNDEFINED) + pack("<HHL", 0xFFFE, 0xE000, 0))
        for part in parts:
            if part.size >= _MOST_LENGTH:
                raise Malformed("a frame of PixelData is over 4 GiB", code="value-too-long")
            odd = part.size % 2
            self._out += [pack("<HHL", 0xFFFE, 0xE000, part.size + odd), part, b"\0" * odd]
        self._out.append(_SEQUENCE_END)


def _chained(parts: Sequence[BulkPart]) -> Iterator[bytes]:
    for part in parts:
        yield from part.chunks()


def _joined(pieces: Iterable[bytes | BulkPart]) -> list[bytes | BulkPart]:
    """Bytes between bulk parts made one."""
    out: list[bytes | BulkPart] = []
    held: list[bytes] = []
    for piece in pieces:
        if isinstance(piece, bytes):
            held.append(piece)
            continue
        out += [b"".join(held), piece]
        held = []
    return [*out, b"".join(held)] if held else out
