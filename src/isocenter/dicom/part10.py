"""Reads the header of a DICOM stream (PS3.10) once, as it comes in, from raw elements without conversion."""

from __future__ import annotations

import zlib
from array import array
from dataclasses import dataclass, field
from struct import Struct
from typing import Any, NamedTuple

from isocenter.dicom.dictionary import LONG_VRS, VRS, keyword_of, private_vr_of, vr_of
from isocenter.dicom.transfer_syntax import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    KNOWN,
    Encoding,
    encoding_of,
)
from isocenter.errors import LimitExceeded, Malformed, Unsupported

UNDEFINED = 0xFFFFFFFF
PIXEL_DATA = 0x7FE00010
PIXEL_TAGS = (0x7FE00008, 0x7FE00009, PIXEL_DATA)
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD


@dataclass(frozen=True, slots=True)
class Limits:
    """What a header may hold before it is refused."""

    depth: int = 16
    elements: int = 300_000
    header_bytes: int = 64 << 20  # all values kept in memory together
    value_bytes: int = 64 << 10  # a longer value is bulk data, kept by reference
    inline_bytes: int = 1 << 10  # the same for binary VRs
    inflated_bytes: int = 1 << 30


class Element(NamedTuple):
    """One raw element. `value` is its bytes, the items of a sequence, or None where it is bulk data."""

    vr: str
    value: bytes | list[dict[int, Element]] | None
    offset: int  # of the value, from the start of the blob (of the inflated Data Set where deflated)
    length: int  # in bytes; UNDEFINED for encapsulated data


@dataclass(slots=True)
class Fragments:
    """The encapsulated pixel data of the top level: Basic Offset Table and fragments in order (PS3.5 A.4)."""

    table: bytes = b""
    offsets: array[int] = field(default_factory=lambda: array("Q"))  # of each fragment's first byte
    lengths: array[int] = field(default_factory=lambda: array("I"))
    starts: bytearray = field(default_factory=bytearray)  # 1 where a fragment begins with a codestream's SOI or SOC


@dataclass(slots=True)
class Header:
    """What one pass over a DICOM stream found."""

    meta: dict[int, Element]
    elements: dict[int, Element]
    transfer_syntax_uid: str
    encoding: Encoding
    body_offset: int
    has_part10_header: bool
    preamble_is_zero: bool
    size: int
    fragments: Fragments | None
    warnings: list[str]


class _Level:
    """An open sequence, item or run of fragments."""

    __slots__ = ("elements", "end", "implicit", "items", "kind", "owner")

    def __init__(self, kind: str, end: int | None, implicit: bool, owner: int = 0) -> None:
        self.kind = kind  # "data set", "sequence", "fragments"
        self.end = end  # offset where it ends, None for undefined length
        self.implicit = implicit
        self.owner = owner  # tag of the sequence
        self.elements: dict[int, Element] = {}
        self.items: list[dict[int, Element]] = []


class HeaderReader:
    """Push parser: `feed` the stream in any chunks, then `finish`. Bulk values are passed over, not buffered.

    Raises Malformed, LimitExceeded or Unsupported at the first place that cannot be read.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.warnings: list[str] = []
        self._buffer = b""
        self._at = 0  # position in the buffer
        self._base = 0  # offset of the buffer's first byte
        self._skip = 0  # bytes of bulk data still to come
        self._size = 0  # bytes fed
        self._count = 0
        self._kept = 0
        self._phase = self._preamble
        self._final = False
        self._inflate: Any = None
        self._inflated = 0
        self._meta: dict[int, Element] = {}
        self._root = _Level("data set", None, False)
        self._stack = [self._root]
        self._fragments: Fragments | None = None
        self._syntax = ""
        self._encoding = Encoding()
        self._body_offset = 0
        self._part10 = True
        self._zero_preamble = True
        self._trailing = False
        self._set_byte_order(False)

    # ---- feeding

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the stream."""
        self._size += len(chunk)
        if self._trailing:
            return
        if self._inflate is not None:
            self._feed_deflated(chunk)
        else:
            self._take(chunk)

    def _take(self, chunk: bytes) -> None:
        if self._skip:
            if self._skip >= len(chunk):
                self._skip -= len(chunk)
                self._base += len(chunk)
                return
            self._base += self._skip
            chunk, self._skip = chunk[self._skip :], 0
        rest = len(self._buffer) - self._at
        self._base += self._at
        self._buffer = chunk if rest == 0 else self._buffer[self._at :] + chunk
        self._at = 0
        self._run()

    def _run(self) -> None:
        while self._phase():
            pass
        consumed = self._at
        if consumed == len(self._buffer):
            self._base += consumed
            self._buffer, self._at = b"", 0

    def _feed_deflated(self, chunk: bytes) -> None:
        data = b"more"
        while (chunk or data) and not self._inflate.eof:
            try:
                data = self._inflate.decompress(chunk, 1 << 20)
            except zlib.error as error:
                raise Malformed("the deflated Data Set cannot be inflated", code="bad-deflate") from error
            self._inflated += len(data)
            if self._inflated > self.limits.inflated_bytes:
                raise LimitExceeded(
                    f"the deflated Data Set is larger than {self.limits.inflated_bytes} bytes when inflated"
                    " (setting max_inflated_bytes)",
                    code="inflated-too-large",
                )
            chunk = self._inflate.unconsumed_tail
            if data and not self._trailing:
                self._take(data)

    def finish(self) -> Header:
        """The whole header; the stream has ended."""
        self._final = True
        if self._inflate is not None and not self._inflate.eof and not self._trailing:
            raise Malformed("the deflated Data Set ends in the middle", code="truncated")
        if not self._trailing and not self._skip:
            self._run()
        if self._phase == self._preamble or self._phase == self._read_meta:
            raise Malformed("the file ends before its Data Set begins", code="truncated")
        if not self._trailing:
            self._check_end()
        return Header(
            self._meta, self._root.elements, self._syntax, self._encoding, self._body_offset, self._part10,
            self._zero_preamble, self._size, self._fragments, self.warnings,
        )  # fmt: skip

    def _check_end(self) -> None:
        if self._skip:
            last = keyword_of(next(reversed(self._stack[-1].elements), 0))
            raise Malformed(f"the file ends {self._skip} bytes before the end of {last}", code="truncated")
        if self._at < len(self._buffer):
            raise Malformed("the file ends in the middle of an element", code="truncated")
        if len(self._stack) > 1:
            level = self._stack[-1]
            if len(self._stack) == 2 and level.kind == "fragments" and self._fragments and self._fragments.offsets:
                # Whole fragments, only the delimiter is missing: some writers leave it out.
                self.warnings.append("PixelData has no Sequence Delimitation Item")
                self._close()
                return
            owner = next((x.owner for x in reversed(self._stack) if x.owner), 0)
            raise Malformed(f"the file ends inside {keyword_of(owner)}", code="truncated")
        if not self._root.elements:
            raise Malformed("the Data Set is empty", code="empty-data-set")

    # ---- the beginning (PS3.10 7.1)

    def _preamble(self) -> bool:
        head = self._buffer
        if len(head) < 140 and not self._final:
            return False
        if head[128:132] == b"DICM":
            self._zero_preamble = not any(head[:128])
            self._at = 132
        elif head[:4] == b"DICM":
            self._at = 4
            self._part10 = False
            self.warnings.append("the preamble is missing")
        elif head[:2] == b"\x02\0" and head[4:6] in VRS:
            self._part10 = False
            self.warnings.append("preamble and DICM prefix are missing")
        else:
            self._part10 = False
            self.warnings.append("preamble and File Meta Information are missing")
            return self._begin_data_set(guess=True)
        self._phase = self._read_meta
        return True

    def _read_meta(self) -> bool:
        left = len(self._buffer) - self._at
        if left < 8:
            if self._final and left == 0:
                raise Malformed("the file ends before its Data Set begins", code="truncated")
            return False
        if self._buffer[self._at : self._at + 2] != b"\x02\0":
            return self._begin_data_set(guess=False)
        before = len(self._meta)
        if not self._element(self._root):
            return False
        tag, element = self._root.elements.popitem()
        if element.vr == "SQ" or element.length == UNDEFINED or len(self._stack) > 1:
            raise Malformed(f"File Meta Information holds a sequence at {keyword_of(tag)}", code="bad-meta")
        self._meta[tag] = element
        if len(self._meta) == before:
            raise Malformed(f"{keyword_of(tag)} occurs twice in the File Meta Information", code="bad-meta")
        return True

    def _begin_data_set(self, *, guess: bool) -> bool:
        head = self._buffer[self._at : self._at + 8]
        self._body_offset = self._base + self._at
        element = self._meta.get(0x00020010)
        stated = element.value if element is not None else None
        uid = stated.rstrip(b"\0 ").decode("ascii", "replace") if isinstance(stated, bytes) else ""
        if guess or not uid:
            if self._meta:
                self.warnings.append("TransferSyntaxUID is missing and was told from the encoding")
            uid = _told_from(head)
        elif uid not in KNOWN:
            raise Unsupported(
                "TransferSyntaxUID names no transfer syntax of the standard", code="unknown-transfer-syntax"
            )
        self._syntax = uid
        self._encoding = encoding_of(uid)
        if self._encoding.deflated:
            rest, self._buffer, self._at, self._base = self._buffer[self._at :], b"", 0, 0
            self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
            self._phase = self._data_set
            self._feed_deflated(rest)
            return False
        self._check_encoding(head)
        self._set_byte_order(self._encoding.big_endian)
        self._root.implicit = self._encoding.implicit
        self._phase = self._data_set
        return True

    def _check_encoding(self, head: bytes) -> None:
        """Writers exist that state one little-endian encoding and use the other: the bytes decide."""
        if len(head) < 8:
            return
        little = head[0] | head[1] << 8
        if self._encoding.big_endian:
            if little <= 0xFF and head[1] == 0 and head[0] and head[4:6] in VRS:
                raise Malformed(
                    "TransferSyntaxUID says big endian, the Data Set is little endian", code="encoding-mismatch"
                )
            return
        explicit = head[4:6] in VRS
        if explicit == self._encoding.implicit:
            if not explicit and little > 0x00FF and head[0] == 0:
                raise Malformed(
                    "TransferSyntaxUID says little endian, the Data Set is big endian", code="encoding-mismatch"
                )
            self.warnings.append("TransferSyntaxUID and the VR encoding of the Data Set disagree")
            self._encoding = Encoding(implicit=not explicit)

    def _set_byte_order(self, big: bool) -> None:
        order = ">" if big else "<"
        self._short = Struct(order + "HH2sH").unpack_from
        self._long = Struct(order + "L").unpack_from
        self._plain = Struct(order + "HHL").unpack_from

    # ---- the Data Set (PS3.5 7)

    def _data_set(self) -> bool:
        """One step of the walk; False when more bytes are needed."""
        if self._skip:
            return self._skip_more()
        level = self._stack[-1]
        if level.end is not None:
            here = self._base + self._at
            if here >= level.end:
                if here > level.end:
                    raise Malformed(f"an element goes past the end of {keyword_of(level.owner)}", code="bad-length")
                self._close()
                return True
        elif len(self._buffer) == self._at:
            return False
        if level.kind == "data set":
            return self._element(level)
        if level.kind == "sequence":
            return self._item(level)
        return self._fragment()

    def _skip_more(self) -> bool:
        left = len(self._buffer) - self._at
        if left == 0:
            return False
        step = min(left, self._skip)
        self._at += step
        self._skip -= step
        return True

    def _element(self, level: _Level) -> bool:
        buffer, at = self._buffer, self._at
        if len(buffer) - at < 8:
            return self._starved(level)
        if level.implicit:
            group, number, length = self._plain(buffer, at)
            tag = group << 16 | number
            vr = self._implicit_vr(level, tag) if group != 0xFFFE else ""
            start = at + 8
        else:
            group, number, code, length = self._short(buffer, at)
            tag = group << 16 | number
            if group == 0xFFFE:
                length = self._long(buffer, at + 4)[0]
                vr, start = "", at + 8
            elif code in LONG_VRS:
                if len(buffer) - at < 12:
                    return self._starved(level)
                length = self._long(buffer, at + 8)[0]
                vr, start = code.decode(), at + 12
            elif code in VRS:
                vr, start = code.decode(), at + 8
            else:
                return self._no_element(level, f"{keyword_of(tag)} has no known VR")
        if group == 0xFFFE:
            return self._delimiter(level, tag, start)
        if tag in level.elements and not self._repeated(level.elements[tag], length, start):
            return self._no_element(level, f"{keyword_of(tag)} occurs twice")
        if group == 0 or (group == 2 and self._phase == self._data_set):
            return self._no_element(level, f"{keyword_of(tag)} does not belong in a Data Set")
        return self._value(level, tag, vr, length, start)

    def _starved(self, level: _Level) -> bool:
        """Too few bytes for an element's head: wait, or at the end of the file say what is wrong."""
        if self._final and self._past_pixels(level):
            return self._trail()
        return False

    def _past_pixels(self, level: _Level) -> bool:
        return level is self._root and any(tag in level.elements for tag in PIXEL_TAGS)

    def _no_element(self, level: _Level, message: str) -> bool:
        """After the pixel data, what is no element is padding that writers leave; elsewhere it is a fault."""
        if self._past_pixels(level):
            return self._trail()
        raise Malformed(message, code="bad-element")

    def _repeated(self, before: Element, length: int, start: int) -> bool:
        """Whether the element at `start` says again, to the byte, what was said before: harmless, so allowed."""
        if not isinstance(before.value, bytes) or length != before.length:
            return False
        if len(self._buffer) - start < length:
            return not self._final
        return self._buffer[start : start + length] == before.value

    def _trail(self) -> bool:
        self.warnings.append("bytes follow the end of the Data Set")
        self._trailing = True
        self._buffer, self._at = b"", 0
        return False

    def _delimiter(self, level: _Level, tag: int, start: int) -> bool:
        if tag == _ITEM_END and level is not self._root and level.end is None:
            self._at = start
            self._close()
            return True
        return self._no_element(level, "an item or delimiter stands where an element should")

    def _counted(self) -> None:
        self._count += 1
        if self._count > self.limits.elements:
            raise LimitExceeded(
                f"more than {self.limits.elements} elements (setting max_elements)", code="too-many-elements"
            )

    def _value(self, level: _Level, tag: int, vr: str, length: int, start: int) -> bool:
        self._counted()
        offset = self._base + start
        if length == UNDEFINED:
            self._at = start
            return self._open_undefined(level, tag, vr, offset)
        if vr == "SQ":
            self._at = start
            if level.end is not None and offset + length > level.end:
                raise Malformed(f"{keyword_of(tag)} is longer than what holds it", code="bad-length")
            self._push(_Level("sequence", offset + length, level.implicit, tag), level, tag, offset, length)
            return True
        if level.end is not None and offset + length > level.end:
            raise Malformed(f"{keyword_of(tag)} is longer than what holds it", code="bad-length")
        binary = vr[0] == "O" or vr == "UN" or vr == "US or OW" or vr == "OB or OW"
        if tag in PIXEL_TAGS or length > (self.limits.inline_bytes if binary else self.limits.value_bytes):
            level.elements[tag] = Element(vr, None, offset, length)
            self._at, self._skip = start, length
            return True
        if len(self._buffer) - start < length:
            return self._starved_value(tag)
        self._kept += length + 64
        if self._kept > self.limits.header_bytes:
            raise LimitExceeded(
                f"the header is larger than {self.limits.header_bytes} bytes (setting max_header_bytes)",
                code="header-too-large",
            )
        value = self._buffer[start : start + length]
        level.elements[tag] = Element(vr, value, offset, length)
        self._at = start + length
        return True

    def _starved_value(self, tag: int) -> bool:
        self._count -= 1
        if self._final:
            raise Malformed(f"the file ends inside {keyword_of(tag)}", code="truncated")
        return False

    def _implicit_vr(self, level: _Level, tag: int) -> str:
        group = tag >> 16
        if not group & 1 or tag & 0xFFFF < 0x1000:
            return vr_of(tag)
        creator = level.elements.get(group << 16 | (tag & 0xFF00) >> 8)
        if creator is None or not isinstance(creator.value, bytes):
            return "UN"
        return private_vr_of(creator.value.rstrip(b"\0 ").decode("latin-1"), tag)

    def _open_undefined(self, level: _Level, tag: int, vr: str, offset: int) -> bool:
        if tag == PIXEL_DATA or vr in ("OB", "OW", "OB or OW"):
            if level is self._root and tag == PIXEL_DATA:
                self._fragments = Fragments()
            self._push(_Level("fragments", None, level.implicit, tag), level, tag, offset, UNDEFINED, vr="OB")
            return True
        if vr not in ("SQ", "UN"):
            raise Malformed(f"{keyword_of(tag)} has an undefined length, which its VR does not allow", code="bad-length")
        # PS3.5 6.2.2 note 4: the content of an undefined-length UN is Implicit VR Little Endian.
        self._push(_Level("sequence", None, level.implicit or vr == "UN", tag), level, tag, offset, UNDEFINED)
        return True

    def _push(
        self, new: _Level, level: _Level, tag: int, offset: int, length: int, vr: str = "SQ"
    ) -> None:
        if sum(x.kind != "data set" for x in self._stack) >= self.limits.depth:
            raise LimitExceeded(
                f"sequences are nested deeper than {self.limits.depth} (setting max_depth)", code="too-deep"
            )
        level.elements[tag] = Element(vr, new.items if vr == "SQ" else None, offset, length)
        self._stack.append(new)

    def _close(self) -> None:
        level = self._stack.pop()
        if level.kind == "data set":
            self._stack[-1].items.append(level.elements)

    def _item(self, level: _Level) -> bool:
        if len(self._buffer) - self._at < 8:
            return False
        group, number, length = self._plain(self._buffer, self._at)
        tag = group << 16 | number
        self._counted()
        self._at += 8
        if tag == _SEQUENCE_END and level.end is None:
            self._close()
            return True
        if tag != _ITEM:
            raise Malformed(f"{keyword_of(level.owner)} holds something that is no item", code="bad-sequence")
        end = None if length == UNDEFINED else self._base + self._at + length
        if end is not None and level.end is not None and end > level.end:
            raise Malformed(f"an item is longer than {keyword_of(level.owner)}", code="bad-length")
        self._stack.append(_Level("data set", end if end is not None else None, level.implicit, level.owner))
        return True

    def _fragment(self) -> bool:
        buffer, at = self._buffer, self._at
        left = len(buffer) - at
        if left < 8:
            return False
        group, number, length = self._plain(buffer, at)
        tag = group << 16 | number
        if tag == _SEQUENCE_END:
            self._at += 8
            self._close()
            return True
        if tag != _ITEM or length == UNDEFINED:
            raise Malformed("PixelData holds something that is no fragment", code="bad-fragment")
        top = len(self._stack) == 2 and self._stack[-1].owner == PIXEL_DATA
        return self._take_fragment(self._fragments if top else None, length, left)

    def _take_fragment(self, found: Fragments | None, length: int, left: int) -> bool:
        level = self._stack[-1]
        start = self._at + 8
        if not level.items:  # the first item is the Basic Offset Table
            if length > self.limits.header_bytes // 8:
                raise LimitExceeded("the Basic Offset Table is too large", code="header-too-large")
            if left - 8 < length:
                return False
            if found is not None:
                found.table = self._buffer[start : start + length]
            level.items.append({})
            self._at = start + length
            return True
        if left - 8 < min(length, 4):
            return False
        if found is not None:
            found.offsets.append(self._base + start)
            found.lengths.append(length)
            found.starts.append(self._buffer[start : start + 2] in (b"\xff\xd8", b"\xff\x4f"))
        self._at, self._skip = start, length
        return True


def _told_from(head: bytes) -> str:
    """The transfer syntax of a Data Set without File Meta Information, by the look of its first element."""
    if head[4:6] in VRS:
        return EXPLICIT_VR_BIG_ENDIAN if head[0] == 0 and head[1] else EXPLICIT_VR_LITTLE_ENDIAN
    if len(head) == 8 and head[1] == 0 and head[0] in (0x00, 0x02, 0x04, 0x08, 0x10):
        return IMPLICIT_VR_LITTLE_ENDIAN
    raise Malformed("this is no DICOM Data Set", code="not-dicom")
