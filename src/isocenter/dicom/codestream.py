"""What a compressed frame says of itself before it is decoded: JPEG, JPEG-LS, JPEG 2000 and JPEG XL headers."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from isocenter.errors import LimitExceeded, Malformed, Unsupported

# Real progressive files have about ten scans; thousands of empty ones make a decoder walk the image each time.
MOST_SCANS = 100
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})
_START_OF_FRAME = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_J2K_START = b"\xff\x4f\xff\x51"
# JPEG XL SizeHeader (ISO/IEC 18181-1 D.2): width to height for each non-zero `ratio`.
_JXL_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}

Family = Literal["jpeg", "jpeg-lossless", "jpeg-ls", "jpeg-2000", "jpeg-xl"]


@dataclass(frozen=True, slots=True)
class Codestream:
    """Declared size in pixels, components and bits; `start` is where the codestream begins in the bytes."""

    family: Family
    width: int
    height: int
    components: int | None
    precision: int | None
    signed: bool = False
    start: int = 0
    adobe_transform: int | None = None
    component_ids: bytes = b""
    subsampled: bool = False


def read_jpeg(data: bytes) -> Codestream:
    """The first frame header (SOF) of a JPEG or JPEG-LS stream; raises Malformed, Unsupported, LimitExceeded."""
    adobe: int | None = None
    for marker, body in _jpeg_segments(data):
        if marker == 0xEE and body[:5] == b"Adobe" and len(body) >= 12:
            adobe = body[11]
        elif marker in _START_OF_FRAME or marker == 0xF7:
            _check_scans(data)
            return _frame_header(marker, body, adobe)
    raise Malformed("the JPEG stream has no frame header")


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Marker segments up to the first scan."""
    if data[:2] != b"\xff\xd8":
        raise Malformed("the frame does not begin as a JPEG stream")
    position = 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            raise Malformed("the JPEG stream has bytes between its marker segments")
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if marker in _STANDALONE:
            position += 2
            continue
        if marker in (0xD9, 0xDA):
            return
        (length,) = struct.unpack_from(">H", data, position + 2)
        if length < 2 or position + 2 + length > len(data):
            raise Malformed("a JPEG marker segment runs past the end")
        yield marker, data[position + 4 : position + 2 + length]
        position += 2 + length


def _check_scans(data: bytes) -> None:
    # Entropy-coded data stuffs a zero after 0xFF, so these two bytes are a scan header almost without fail.
    if data.count(b"\xff\xda") > MOST_SCANS:
        raise LimitExceeded(f"the JPEG stream has over {MOST_SCANS} scans", code="decode-limit")


def _frame_header(marker: int, body: bytes, adobe: int | None) -> Codestream:
    if len(body) < 6:
        raise Malformed("the JPEG frame header is cut short")
    precision, height, width, components = struct.unpack_from(">BHHB", body)
    if not components or len(body) < 6 + 3 * components:
        raise Malformed("the JPEG frame header is cut short")
    if not width or not height:
        raise Malformed("the JPEG frame header declares no width or no height")
    if marker in (0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF):
        raise Unsupported("hierarchical and arithmetic-coded JPEG are not supported", code="unsupported-codec")
    factors = [body[7 + 3 * index] for index in range(components)]
    # A sampling factor outside 1-4 is read past the ends of tables by some decoders.
    if any(not (1 <= factor >> 4 <= 4 and 1 <= factor & 15 <= 4) for factor in factors):
        raise Malformed("a JPEG sampling factor is not between 1 and 4")
    family: Family = "jpeg-ls" if marker == 0xF7 else "jpeg-lossless" if marker == 0xC3 else "jpeg"
    return Codestream(
        family,
        width,
        height,
        components,
        precision,
        adobe_transform=adobe,
        component_ids=bytes(body[6 + 3 * index] for index in range(components)),
        subsampled=len(set(factors)) > 1,
    )


def read_jpeg_2000(data: bytes) -> Codestream:
    """The SIZ segment (ISO/IEC 15444-1 A.5.1) of a JPEG 2000 or HTJ2K codestream, bare or wrapped in JP2 boxes."""
    # Some writers keep the JP2 boxes, which DICOM forbids; the codestream inside them is what is meant.
    start = data.find(_J2K_START, 0, 65536)
    if start < 0:
        raise Malformed("the frame has no JPEG 2000 codestream")
    if len(data) < start + 42:
        raise Malformed("the JPEG 2000 SIZ segment is cut short")
    length, _, right, bottom, left, top, tile_w, tile_h, tile_x, tile_y, components = struct.unpack_from(
        ">HH8IH", data, start + 4
    )
    sizes = data[start + 42 : start + 4 + length]
    if not components or len(sizes) != 3 * components:
        raise Malformed("the JPEG 2000 SIZ segment is cut short")
    if right <= left or bottom <= top or not tile_w or not tile_h or tile_x > left or tile_y > top:
        raise Malformed("the JPEG 2000 SIZ segment declares an empty image or tile")
    tiles = -(-(right - tile_x) // tile_w) * -(-(bottom - tile_y) // tile_h)
    # Each tile needs a tile-part header of at least 14 bytes (SOT and SOD), and the standard allows 65,535.
    if tiles > 65535 or tiles * 14 > len(data):
        raise Malformed("the JPEG 2000 codestream declares more tiles than it can hold")
    if any(size != 1 for index, size in enumerate(sizes) if index % 3):
        raise Unsupported("JPEG 2000 with subsampled components is not supported", code="unsupported-codec")
    depths = set(sizes[0::3])
    if len(depths) > 1:
        raise Unsupported("JPEG 2000 whose components differ in depth is not supported", code="unsupported-codec")
    depth = depths.pop()
    return Codestream(
        "jpeg-2000", right - left, bottom - top, components, (depth & 0x7F) + 1, bool(depth & 0x80), start
    )


def read_jpeg_xl(data: bytes) -> Codestream:
    """The SizeHeader of a JPEG XL codestream, bare or in its container; components and depth stay unknown."""
    head = data[:4096]
    if head[4:8] == b"JXL ":
        head = _jxl_first_box(data)
    if head[:2] != b"\xff\x0a":
        raise Malformed("the frame does not begin as a JPEG XL codestream")
    bits = _Bits(head[2:18])
    small = bits.take(1)
    height = 8 * (bits.take(5) + 1) if small else bits.u32()
    ratio = bits.take(3)
    if ratio:
        numerator, denominator = _JXL_RATIOS[ratio]
        width = height * numerator // denominator
    else:
        width = 8 * (bits.take(5) + 1) if small else bits.u32()
    return Codestream("jpeg-xl", width, height, None, None)


def _jxl_first_box(data: bytes) -> bytes:
    position = 0
    for _ in range(64):
        if position + 8 > len(data):
            break
        (length,) = struct.unpack_from(">I", data, position)
        kind, body = data[position + 4 : position + 8], position + 8
        if length == 1 and position + 16 <= len(data):
            (length,) = struct.unpack_from(">Q", data, position + 8)
            body = position + 16
        if kind in (b"jxlc", b"jxlp"):
            body += 4 if kind == b"jxlp" else 0
            return data[body : body + 4096]
        if length < body - position:
            break
        position += length
    raise Malformed("the JPEG XL container has no codestream")


class _Bits:
    """Reads little-endian bit fields; bits past the end read as zero."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "little")

    def take(self, count: int) -> int:
        found = self._value & ((1 << count) - 1)
        self._value >>= count
        return found

    def u32(self) -> int:
        """U32(1 + u(9), 1 + u(13), 1 + u(18), 1 + u(30))."""
        return 1 + self.take((9, 13, 18, 30)[self.take(2)])
