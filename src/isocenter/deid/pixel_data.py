"""The pixel data of an instance whose pixels stay: copied as it lies, its codestreams without comments."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from struct import pack

import numpy as np

from isocenter.deid.segments import cleaned, is_cleaned
from isocenter.deid.source import STEP
from isocenter.dicom.elements import PIXEL_DATA, UNDEFINED, Element, Fragments
from isocenter.dicom.part10 import Header
from isocenter.dicom.pixel_description import IMPLICIT_LITTLE
from isocenter.dicom.recode import element_head
from isocenter.errors import Malformed, Unsupported

Read = Callable[[int, int], bytes]
_ITEM = 0xE000
_END = pack("<HHL", 0xFFFE, 0xE0DD, 0)


@dataclass(frozen=True, slots=True)
class Range:
    """Bytes of the source that are copied as they lie."""

    offset: int
    length: int


Piece = bytes | Range


def encapsulated(header: Header, read: Read) -> tuple[list[Piece | Iterator[Piece]], int]:
    """The pieces of encapsulated pixel data, and how many codestreams had to be cleaned.

    Raises Malformed for a codestream whose segments cannot be told apart.
    """
    fragments = header.fragments
    if fragments is None:
        raise Malformed("PixelData is encapsulated in an item of a sequence", code="bad-pixel-data")
    syntax = header.transfer_syntax_uid
    frames = _frames(fragments) if is_cleaned(syntax) else []
    count = 0
    for frame in frames:
        data = _joined(frame, read)
        count += cleaned(data, syntax) is not data
    if count:
        return [element_head(PIXEL_DATA, "OB", UNDEFINED), _rewritten(frames, syntax, read)], count
    return [*_as_it_lies(header, fragments)], 0


def without_overlay_bits(
    read: Read, offset: int, length: int, allocated: int, stored: int, high: int
) -> Iterator[Piece]:
    """Native pixel data, little endian, with the bits cleared in which retired overlays lie (PS3.5 8.1.1, 2004)."""
    kind = {8: "<u1", 16: "<u2", 32: "<u4"}[allocated]
    mask = np.array(((1 << stored) - 1) << (high + 1 - stored), dtype=kind)
    for start in range(offset, offset + length, STEP):
        piece = read(start, min(STEP, offset + length - start))
        whole = len(piece) // mask.itemsize * mask.itemsize
        yield (np.frombuffer(piece[:whole], dtype=kind) & mask).tobytes() + piece[whole:]


def _as_it_lies(header: Header, fragments: Fragments) -> list[Piece | Iterator[bytes]]:
    start = header.elements[PIXEL_DATA].offset
    end = fragments.offsets[-1] + fragments.lengths[-1] if fragments.offsets else start
    implicit = header.transfer_syntax_uid == IMPLICIT_LITTLE
    head = element_head(PIXEL_DATA, "OB", UNDEFINED, implicit=implicit)
    if not fragments.offsets:
        return [head + pack("<HHL", 0xFFFE, _ITEM, 0) + _END]
    return [head, Range(start, end - start), _END]


def _frames(fragments: Fragments) -> list[array[int]]:
    """Fragments, by number, of each codestream."""
    whole = all(fragments.starts) or not any(fragments.starts)
    frames: list[array[int]] = []
    for number in range(len(fragments.offsets)):
        if whole or fragments.starts[number] or not frames:
            frames.append(array("Q"))
        frames[-1].extend((fragments.offsets[number], fragments.lengths[number]))
    return frames


def _joined(frame: array[int], read: Read) -> bytes:
    if len(frame) == 2:
        return read(frame[0], frame[1])
    return b"".join(read(frame[number], frame[number + 1]) for number in range(0, len(frame), 2))


def _rewritten(frames: list[array[int]], syntax: str, read: Read) -> Iterator[Piece]:
    """An empty Basic Offset Table and one fragment a frame."""
    yield pack("<HHL", 0xFFFE, _ITEM, 0)
    for frame in frames:
        data = cleaned(_joined(frame, read), syntax)
        yield pack("<HHL", 0xFFFE, _ITEM, len(data) + len(data) % 2) + data + b"\0" * (len(data) % 2)
    yield _END


def no_icon(siblings: Mapping[int, Element], element: Element) -> bytes:
    raise Unsupported("an item of a sequence holds compressed pixels", code="nested-pixel-data")
