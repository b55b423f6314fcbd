"""Takes what is no picture out of codestreams: comments, application data, and bytes after the end."""

from __future__ import annotations

import re
from struct import unpack_from

from isocenter.errors import Malformed

# ITU-T T.81 Table B.1, T.87: markers that stand alone, and what may follow an FF within entropy-coded data.
_ALONE = frozenset((0x01, *range(0xD0, 0xD8)))
_SOI, _EOI, _SOS, _COM, _APP0, _APP14 = 0xD8, 0xD9, 0xDA, 0xFE, 0xE0, 0xEE
_NEXT = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_NEXT_LS = re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]")  # JPEG-LS stuffs a bit: any byte from 80 is a marker
# ITU-T T.800 Table A.2.
_SOC, _SOT, _SOD, _EOC, _COM2 = 0xFF4F, 0xFF90, 0xFF93, 0xFFD9, 0xFF64

_JPEG = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 57, 70, *range(52, 57), *range(58, 67)))
_JPEG_LS = frozenset(("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"))
_JPEG_2000 = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (90, 91, 92, 93, 201, 202, 203))
_JPEG_XL = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (110, 111, 112))


def is_cleaned(syntax: str) -> bool:
    """Whether frames of a transfer syntax carry segments that `cleaned` knows."""
    return syntax in _JPEG or syntax in _JPEG_LS or syntax in _JPEG_2000 or syntax in _JPEG_XL


def cleaned(data: bytes, syntax: str) -> bytes:
    """A frame's codestream without comments, application segments and what follows its end; the same object if clean.

    JFIF and Adobe segments stay in their standard form, since colours depend on them. Raises Malformed for one whose
    segments cannot be told apart.
    """
    if syntax in _JPEG_2000:
        return _jpeg_2000(data)
    if syntax in _JPEG_XL:
        if data[:2] != b"\xff\x0a":
            raise Malformed("a JPEG XL frame is in a container, which may hold more than pixels", code="metadata-box")
        return data
    return _jpeg(data, _NEXT_LS if syntax in _JPEG_LS else _NEXT)


def _jpeg(data: bytes, following: re.Pattern[bytes]) -> bytes:
    if data[:2] != b"\xff\xd8":
        raise Malformed("a JPEG frame does not begin with SOI", code="bad-codestream")
    kept: list[tuple[int, int]] = []
    start, at = 0, 2
    while True:
        while data[at : at + 2] == b"\xff\xff":
            at += 1  # fill bytes
        if at + 2 > len(data):
            return _joined(data, [*kept, (start, len(data))])  # cut short, as some writers leave it
        if data[at] != 0xFF:
            raise Malformed("a JPEG frame has bytes between its segments", code="bad-codestream")
        marker = data[at + 1]
        if marker == _EOI:
            # A byte of padding may follow, more is no part of the picture.
            end = at + 2
            return _joined(data, [*kept, (start, end)]) if kept or len(data) - end > 1 or any(data[end:]) else data
        if marker in _ALONE:
            at += 2
            continue
        if at + 4 > len(data):
            raise Malformed("a JPEG frame ends inside a segment", code="bad-codestream")
        end = at + 2 + unpack_from(">H", data, at + 2)[0]
        if end > len(data):
            raise Malformed("a JPEG frame ends inside a segment", code="bad-codestream")
        if marker == _COM or (0xE0 <= marker <= 0xEF and not _is_plain(data[at + 4 : end], marker)):
            kept.append((start, at))
            start = end
        at = end
        if marker == _SOS:
            found = following.search(data, at)
            at = found.start() if found else len(data)


def _is_plain(content: bytes, marker: int) -> bool:
    """JFIF without a thumbnail, Adobe's transform flag, JPEG-LS's colour transform, and nothing besides."""
    if marker == _APP0:
        return len(content) == 14 and content[:5] == b"JFIF\0" and content[12:] == b"\0\0"
    if marker == 0xE8:
        return len(content) == 5 and content[:4] == b"mrfx"
    return marker == _APP14 and len(content) == 12 and content[:5] == b"Adobe"


def _jpeg_2000(data: bytes) -> bytes:
    start = 0
    if data[4:8] == b"jP  ":  # a whole JP2 file, which some writers put in: its codestream is the picture (A.4.4)
        start = data.find(b"jp2c") + 4
        if start < 12:
            raise Malformed("a JP2 file holds no codestream", code="bad-codestream")
    if data[start : start + 2] != b"\xff\x4f":
        raise Malformed("a JPEG 2000 frame does not begin with SOC", code="bad-codestream")
    kept: list[tuple[int, int]] = []
    at = start + 2
    while at + 2 <= len(data):
        marker = unpack_from(">H", data, at)[0]
        if marker == _EOC:
            end = at + 2
            whole = start == 0 and not kept and len(data) - end <= 1 and not any(data[end:])
            return data if whole else _joined(data, [*kept, (start, end)])
        if at + 4 > len(data):
            break
        end = at + 2 + unpack_from(">H", data, at + 2)[0]
        if marker == _SOT:
            part = unpack_from(">L", data, at + 6)[0] if at + 10 <= len(data) else 0
            end = at + part if part else len(data)  # zero: up to the end of the codestream
            _no_comments(data, at, end)
        elif marker == _COM2:
            kept.append((start, at))
            start = end
        if end <= at:
            break
        at = end
    return _joined(data, [*kept, (start, len(data))]) if kept else data


def _no_comments(data: bytes, at: int, end: int) -> None:
    """Comments in a tile-part's header would shift the lengths it states; nobody writes them, so such are refused."""
    at += 2 + unpack_from(">H", data, at + 2)[0]
    while at + 4 <= min(end, len(data)):
        marker, length = unpack_from(">HH", data, at)
        if marker == _SOD or marker < 0xFF00:
            return
        if marker == _COM2:
            raise Malformed("a JPEG 2000 tile-part holds a comment", code="codestream-comment")
        at += 2 + length


def _joined(data: bytes, spans: list[tuple[int, int]]) -> bytes:
    return b"".join(data[start:end] for start, end in spans)
