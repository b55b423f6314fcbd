"""Where each frame of an instance lies in its blob (PS3.5 8.2 and A.4), found without reading the pixel data."""

from __future__ import annotations

import sys
import zlib
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from struct import Struct, error

from isocenter.dicom.elements import Element, Fragments
from isocenter.dicom.part10 import Header
from isocenter.dicom.pixel_description import PixelDescription
from isocenter.dicom.transfer_syntax import VIDEO
from isocenter.errors import Malformed, NotFound, Unsupported

_HEAD = Struct("<BBIQQ")
_EXTENDED_OFFSETS, _EXTENDED_LENGTHS = 0x7FE00001, 0x7FE00002
_NATIVE, _ENCAPSULATED = 0, 1
_RLE = "1.2.840.10008.1.2.5"


@dataclass(frozen=True, slots=True)
class FrameTable:
    """The frames of one instance.

    Native: `offset` and `length` are those of the whole pixel data. Encapsulated: frame n (1-based) is made of
    the fragments `first[n-1]` to `first[n] - 1`, each with an offset and a length in bytes.
    `inflated` tells that offsets count in the inflated Data Set, not in the blob.
    """

    count: int
    offset: int = 0
    length: int = 0
    inflated: bool = False
    offsets: array[int] = field(default_factory=lambda: array("Q"))
    lengths: array[int] = field(default_factory=lambda: array("I"))
    first: array[int] = field(default_factory=lambda: array("I"))

    @property
    def encapsulated(self) -> bool:
        return len(self.first) > 0

    @property
    def memory(self) -> int:
        """About how many bytes it takes."""
        return 512 + sum(part.itemsize * len(part) for part in (self.offsets, self.lengths, self.first))

    def spans(self, frame: int) -> list[tuple[int, int]]:
        """Offset and length of each fragment of encapsulated frame `frame` (1-based)."""
        if not 1 <= frame <= self.count:
            raise NotFound(f"there is no such frame; the instance has {self.count}")
        return [(self.offsets[i], self.lengths[i]) for i in range(self.first[frame - 1], self.first[frame])]

    def to_bytes(self) -> bytes:
        kind = _ENCAPSULATED if self.encapsulated else _NATIVE
        head = _HEAD.pack(kind, self.inflated, self.count, self.offset, self.length)
        if kind == _NATIVE:
            return head
        arrays = b"".join(_little(a).tobytes() for a in (self.offsets, self.lengths, self.first))
        return head + zlib.compress(arrays, 1)

    @classmethod
    def from_bytes(cls, data: bytes) -> FrameTable:
        """Read what `to_bytes` wrote; raises Malformed where it was not that."""
        try:
            kind, inflated, count, offset, length = _HEAD.unpack_from(data)
            table = cls(count, offset, length, bool(inflated))
            if kind == _NATIVE:
                return table
            arrays = zlib.decompress(data[_HEAD.size :])
            fragments = (len(arrays) - 4 * (count + 1)) // 12
            table.offsets.frombytes(arrays[: 8 * fragments])
            table.lengths.frombytes(arrays[8 * fragments : 12 * fragments])
            table.first.frombytes(arrays[12 * fragments :])
            for part in (table.offsets, table.lengths, table.first):
                _little(part)
        except (error, zlib.error, ValueError) as cause:
            raise Malformed("the frame table is damaged; `isocenter fsck` says more", code="bad-frame-table") from cause
        return table


def frame_table(header: Header, description: PixelDescription) -> FrameTable:
    """The frame table of an instance with pixel data; Malformed where pixel data and description disagree."""
    if header.fragments is not None and not description.encapsulated:
        raise Malformed("PixelData is encapsulated under a native TransferSyntaxUID", code="pixel-data-mismatch")
    if header.fragments is not None:
        return _encapsulated(header, header.fragments, description)
    element = next(e for tag, e in header.elements.items() if tag in (0x7FE00008, 0x7FE00009, 0x7FE00010))
    if description.encapsulated:
        raise Malformed("PixelData is native under an encapsulated TransferSyntaxUID", code="pixel-data-mismatch")
    if element.length < description.native_bytes:
        raise Malformed(
            f"{description.keyword} has {element.length} bytes where Rows, Columns, SamplesPerPixel, BitsAllocated"
            f" and NumberOfFrames ask for {description.native_bytes}",
            code="pixel-data-too-short",
        )
    return FrameTable(description.number_of_frames, element.offset, element.length, inflated=header.encoding.deflated)


def read_frame(
    table: FrameTable, description: PixelDescription, frame: int, read: Callable[[int, int], bytes]
) -> bytes:
    """The bytes of one frame (1-based), fragments joined; `read` gets offset and length in the blob."""
    if table.encapsulated:
        return _joined(table.spans(frame), read)
    if not 1 <= frame <= table.count:
        raise NotFound(f"there is no such frame; the instance has {table.count}")
    span = description.frame_span(frame)
    length = min(span.length, table.length - span.offset)
    return read(table.offset + span.offset, length)


def little_endian(description: PixelDescription, data: bytes) -> bytes:
    """Native pixel data as Explicit VR Little Endian has it, which is how frames leave (PS3.18 8.7.3.5)."""
    width = 2 if description.in_swapped_words else description.bits_allocated // 8
    if not description.big_endian or width < 2 or len(data) % width:
        return data
    swapped = array({2: "H", 4: "I", 8: "Q"}[width], data)
    swapped.byteswap()
    return swapped.tobytes()


def _joined(spans: list[tuple[int, int]], read: Callable[[int, int], bytes]) -> bytes:
    """The fragments of one frame, read in one go: they follow one another, each after an item header of 8 bytes."""
    if len(spans) == 1:
        return read(*spans[0])
    start = spans[0][0]
    data = read(start, spans[-1][0] + spans[-1][1] - start)
    return b"".join(data[offset - start : offset - start + length] for offset, length in spans)


def _encapsulated(header: Header, fragments: Fragments, description: PixelDescription) -> FrameTable:
    count = description.number_of_frames
    if description.transfer_syntax_uid in VIDEO:
        raise Unsupported("its PixelData is a video stream, whose frames do not lie apart", code="video")
    if len(fragments.offsets) < count:
        raise Malformed(
            f"PixelData has {len(fragments.offsets)} fragments for NumberOfFrames {count}",
            code="frames-missing",
        )
    first = (
        _from_extended(header.elements, fragments, count)
        or _from_basic(fragments, count)
        or _from_order(fragments, count, description.transfer_syntax_uid)
    )
    if first is None:
        raise Unsupported(
            f"the {len(fragments.offsets)} fragments of PixelData cannot be told apart into {count} frames",
            code="frames-cannot-be-told",
        )
    return FrameTable(
        count,
        inflated=header.encoding.deflated,
        offsets=fragments.offsets,
        lengths=fragments.lengths,
        first=first,
    )


def _from_offsets(wanted: array[int], fragments: Fragments, count: int) -> array[int] | None:
    """Fragment numbers for item offsets; None unless each names the start of a fragment, in rising order."""
    if len(wanted) != count or not fragments.offsets:
        return None
    origin = fragments.offsets[0] - 8
    places = {offset - 8 - origin: number for number, offset in enumerate(fragments.offsets)}
    first = array("I")
    for offset in wanted:
        number = places.get(offset)
        if number is None or (first and number <= first[-1]):
            return None
        first.append(number)
    if first[0] != 0:
        return None
    first.append(len(fragments.offsets))
    return first


def _from_extended(elements: dict[int, Element], fragments: Fragments, count: int) -> array[int] | None:
    """By the Extended Offset Table (PS3.3 C.7.6.3.1.8) where it is kept whole and holds."""
    offsets = elements.get(_EXTENDED_OFFSETS)
    if offsets is None or not isinstance(offsets.value, bytes) or len(offsets.value) % 8:
        return None
    return _from_offsets(_little(array("Q", offsets.value)), fragments, count)


def _from_basic(fragments: Fragments, count: int) -> array[int] | None:
    """By the Basic Offset Table where there is one and it holds."""
    if not fragments.table or len(fragments.table) % 4:
        return None
    return _from_offsets(_little(array("I", fragments.table)), fragments, count)


def _from_order(fragments: Fragments, count: int, transfer_syntax_uid: str) -> array[int] | None:
    """Without a usable table: one fragment a frame, all fragments one frame, or by where codestreams begin."""
    total = len(fragments.offsets)
    if total == 0:
        return None
    if total == count:
        return array("I", range(count + 1))
    if count == 1 and transfer_syntax_uid != _RLE:  # PS3.5 A.4.2: RLE has exactly one fragment a frame
        return array("I", (0, total))
    starts = [number for number, start in enumerate(fragments.starts) if start]
    if len(starts) == count and starts[0] == 0:
        return array("I", (*starts, total))
    return None


def _little(values: array[int]) -> array[int]:
    if sys.byteorder == "big":
        values.byteswap()
    return values
