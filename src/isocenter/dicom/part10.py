"""Reads the header of a DICOM stream (PS3.10) once, as it comes in, from raw elements without conversion."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from struct import unpack_from
from typing import Any

from isocenter.dicom.dictionary import LONG_VRS, VRS, keyword_of
from isocenter.dicom.elements import UNDEFINED, Element, Fragments, Limits
from isocenter.dicom.transfer_syntax import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    KNOWN,
    Encoding,
    encoding_of,
)
from isocenter.dicom.walk import Walker
from isocenter.errors import LimitExceeded, Malformed, Unsupported

_INFLATE_STEP = 1 << 20
_MOST_META = 1 << 20  # bytes before the Data Set begins
_ENOUGH = 140  # so many bytes tell how a stream begins


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


class HeaderReader:
    """Push parser: `feed` the stream in any chunks, then `finish`. Bulk values are passed over, not buffered.

    Raises Malformed, LimitExceeded or Unsupported at the first place that cannot be read.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._warnings: list[str] = []
        self._size = 0
        self._head = b""  # all there is, until the Data Set begins
        self._meta: dict[int, Element] = {}
        self._part10 = True
        self._zero_preamble = True
        self._syntax = ""
        self._encoding = Encoding()
        self._body_offset = 0
        self._inflate: Any = None
        self._inflated = 0
        self._walker: Walker | None = None

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the stream."""
        self._size += len(chunk)
        if self._walker is None:
            self._head += chunk
            if len(self._head) >= _ENOUGH:
                self._begin(final=False)
        elif self._inflate is not None:
            self._feed_deflated(self._walker, chunk)
        else:
            self._walker.take(chunk)

    @property
    def elements(self) -> dict[int, Element]:
        """The elements of the top level read so far."""
        return {} if self._walker is None else self._walker.elements

    @property
    def encoding(self) -> Encoding:
        """How the Data Set is written; settled as soon as there are elements."""
        return self._encoding

    @property
    def passing_over(self) -> int:
        """So many of the next bytes are bulk data: `pass_over` may be told of them instead of `feed`."""
        return 0 if self._walker is None or self._inflate is not None else self._walker.passing_over

    def pass_over(self, size: int) -> None:
        """The next `size` bytes have gone by; not more than `passing_over`."""
        self._size += size
        if self._walker is not None:
            self._walker.pass_over(size)

    def finish(self) -> Header:
        """The whole header; the stream has ended."""
        if self._walker is None:
            self._begin(final=True)
        walker = self._walker
        if walker is None:
            raise Malformed("the file ends before its Data Set begins", code="truncated")
        if self._inflate is not None and not self._inflate.eof and not walker.trailing:
            raise Malformed("the deflated Data Set ends in the middle", code="truncated")
        walker.finish()
        return Header(
            self._meta, walker.elements, self._syntax, self._encoding, self._body_offset, self._part10,
            self._zero_preamble, self._size, walker.fragments, self._warnings,
        )  # fmt: skip

    # ---- the beginning (PS3.10 7.1)

    def _begin(self, *, final: bool) -> None:
        """Read up to the Data Set, if it is there yet."""
        head = self._head
        self._part10 = False
        if head[128:132] == b"DICM":
            self._part10 = True
            self._zero_preamble = not any(head[:128])
            start = 132
        elif head[:4] == b"DICM":
            start = 4
        elif head[:2] == b"\x02\0" and head[4:6] in VRS:
            start = 0
        else:
            self._warnings.append("preamble and File Meta Information are missing")
            self._begin_data_set(0)
            return
        end = self._read_meta(start, final)
        if end is not None:
            if not self._part10:
                self._warnings.append("the preamble is missing")
            self._begin_data_set(end)
        elif len(head) > _MOST_META:
            raise LimitExceeded(f"File Meta Information is larger than {_MOST_META} bytes", code="header-too-large")

    def _read_meta(self, at: int, final: bool) -> int | None:
        """Where group 0002 ends; None when more bytes are needed. Its own group length is not relied on."""
        head = self._head
        found: dict[int, Element] = {}
        while True:
            left = len(head) - at
            if left < 12:
                if final and left:
                    raise Malformed("the file ends inside the File Meta Information", code="truncated")
                return None
            group, number, code, length = unpack_from("<HH2sH", head, at)
            if group != 2:
                self._meta = found
                return at
            tag, start = group << 16 | number, at + 8
            if code in LONG_VRS:
                length, start = unpack_from("<L", head, at + 8)[0], at + 12
            if code not in VRS or code == b"SQ" or length == UNDEFINED:
                raise Malformed(f"{keyword_of(tag)} cannot stand in the File Meta Information", code="bad-meta")
            if tag in found:
                raise Malformed(f"{keyword_of(tag)} occurs twice in the File Meta Information", code="bad-meta")
            if start + length > len(head):
                if final:
                    raise Malformed(f"the file ends inside {keyword_of(tag)}", code="truncated")
                return None
            found[tag] = Element(code.decode(), head[start : start + length], start, length)
            at = start + length

    def _begin_data_set(self, start: int) -> None:
        self._body_offset = start
        head = self._head[start : start + 8]
        element = self._meta.get(0x00020010)
        stated = element.value if element is not None else None
        uid = stated.rstrip(b"\0 ").decode("ascii", "replace") if isinstance(stated, bytes) else ""
        if not uid:
            if self._meta:
                self._warnings.append("TransferSyntaxUID is missing and was told from the encoding")
            uid = _told_from(head)
        elif uid not in KNOWN:
            raise Unsupported(
                "TransferSyntaxUID names no transfer syntax of the standard", code="unknown-transfer-syntax"
            )
        self._syntax = uid
        self._encoding = encoding_of(uid)
        rest, self._head = self._head[start:], b""
        if self._encoding.deflated:
            self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
            self._walker = Walker(self._encoding, 0, self._limits, self._warnings)
            self._feed_deflated(self._walker, rest)
            return
        self._check_encoding(head)
        self._walker = Walker(self._encoding, start, self._limits, self._warnings)
        self._walker.take(rest)

    def _check_encoding(self, head: bytes) -> None:
        """Writers exist that state one little-endian encoding and use the other: the bytes decide."""
        little = head[0] | head[1] << 8
        if self._encoding.big_endian:
            if head[0] and not head[1] and head[4:6] in VRS:
                raise Malformed(
                    "TransferSyntaxUID says big endian, the Data Set is little endian",
                    code="encoding-mismatch",
                )
            return
        explicit = head[4:6] in VRS
        if explicit == self._encoding.implicit:
            if not explicit and little > 0x00FF and head[0] == 0:
                raise Malformed(
                    "TransferSyntaxUID says little endian, the Data Set is big endian",
                    code="encoding-mismatch",
                )
            self._warnings.append("TransferSyntaxUID and the VR encoding of the Data Set disagree")
            self._encoding = Encoding(implicit=not explicit)

    def _feed_deflated(self, walker: Walker, chunk: bytes) -> None:
        data = b"more"
        while (chunk or data) and not self._inflate.eof:
            try:
                data = self._inflate.decompress(chunk, _INFLATE_STEP)
            except zlib.error as error:
                raise Malformed("the deflated Data Set cannot be inflated", code="bad-deflate") from error
            self._inflated += len(data)
            if self._inflated > self._limits.inflated_bytes:
                raise LimitExceeded(
                    f"the deflated Data Set is larger than {self._limits.inflated_bytes} bytes when inflated"
                    " (setting max_inflated_bytes)",
                    code="inflated-too-large",
                )
            chunk = self._inflate.unconsumed_tail
            walker.take(data)


def _told_from(head: bytes) -> str:
    """The transfer syntax of a Data Set without File Meta Information, by the look of its first element."""
    if head[4:6] in VRS:
        return EXPLICIT_VR_BIG_ENDIAN if head[0] == 0 and head[1] else EXPLICIT_VR_LITTLE_ENDIAN
    if len(head) == 8 and head[1] == 0 and head[0] in (0x02, 0x04, 0x08):
        return IMPLICIT_VR_LITTLE_ENDIAN
    raise Malformed("this is no DICOM Data Set", code="not-dicom")
