"""JPEG, PNG and GIF pictures: which one it is, and how large, from the first bytes."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Final, Literal

from isocenter.dicom.codestream import read_jpeg
from isocenter.errors import LimitExceeded, Malformed, Unsupported

Kind = Literal["jpeg", "png", "gif"]

MOST_SIDE: Final = 65535
# Cameras put previews and profiles before a JPEG's frame header, seldom more than this.
HEAD_BYTES: Final = 1 << 20
_PNG = b"\x89PNG\r\n\x1a\n"
# Bit depths each PNG colour type may have (ISO/IEC 15948, Table 12).
_PNG_DEPTHS: Final = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture's kind and its size in pixels, as its header declares them."""

    kind: Kind
    media_type: str
    width: int
    height: int


def recognise(head: bytes) -> Picture | None:
    """The picture that begins with `head`, best HEAD_BYTES of it; None where the bytes are of no such kind.

    Raises Malformed where the signature is there and a sane header is not; Unsupported and LimitExceeded.
    """
    if head.startswith(_PNG):
        return _png(head)
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return _gif(head)
    if head[:3] == b"\xff\xd8\xff":
        return _jpeg(head)
    return None


def _picture(kind: Kind, width: int, height: int) -> Picture:
    if not width or not height:
        raise Malformed(f"the {kind.upper()} header declares no width or no height")
    if max(width, height) > MOST_SIDE:
        raise LimitExceeded(f"the {kind.upper()} picture has a side over {MOST_SIDE} pixels")
    return Picture(kind, f"image/{kind}", width, height)


def _png(head: bytes) -> Picture:
    if len(head) < 33 or head[8:16] != b"\0\0\0\rIHDR":
        raise Malformed("the PNG signature is not followed by an IHDR chunk")
    width, height, depth, colour, compression, filtering, interlace = struct.unpack_from(">IIBBBBB", head, 16)
    if zlib.crc32(head[12:29]) != struct.unpack_from(">I", head, 29)[0]:
        raise Malformed("the PNG IHDR chunk fails its checksum")
    if depth not in _PNG_DEPTHS.get(colour, ()) or compression or filtering or interlace > 1:
        raise Malformed("the PNG IHDR chunk holds values the standard does not know")
    return _picture("png", width, height)


def _gif(head: bytes) -> Picture:
    if len(head) < 13:
        raise Malformed("the GIF logical screen descriptor is cut short")
    width, height, flags = struct.unpack_from("<HHB", head, 6)
    first = 13 + (3 << ((flags & 7) + 1) if flags & 0x80 else 0)
    if head[first : first + 1] not in (b"\x21", b"\x2c"):
        raise Malformed("the GIF logical screen descriptor is not followed by a block")
    return _picture("gif", width, height)


def _jpeg(head: bytes) -> Picture:
    stream = read_jpeg(head)
    if stream.family != "jpeg" or stream.precision != 8 or stream.components not in (1, 3, 4):
        raise Unsupported("only 8-bit baseline and progressive JPEG pictures are taken")
    return _picture("jpeg", stream.width, stream.height)
