"""Palette colour (PS3.3 C.7.6.3.1.5, C.7.6.19 and C.7.9): plain and segmented look-up tables, read within bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from isocenter.dicom.data_set import DataSet
from isocenter.errors import Malformed
from isocenter.render.functional_groups import FRAME_TYPES, functional_group
from isocenter.render.lookup import read_descriptor, read_words, unpack_entries

Colours = npt.NDArray[np.uint8]

_DESCRIPTORS: Final = (0x00281101, 0x00281102, 0x00281103)
_PLAIN: Final = (0x00281201, 0x00281202, 0x00281203)
_SEGMENTED: Final = (0x00281221, 0x00281222, 0x00281223)
_COLOURS: Final = ("Red", "Green", "Blue")
_PIXEL_PRESENTATION: Final = 0x00089205


@dataclass(frozen=True, slots=True)
class Palette:
    """`colours` (entries, 3) for the stored values from `first` on; values outside take the nearest entry."""

    first: int
    colours: Colours

    def apply(self, pixels: npt.NDArray[Any]) -> Colours:
        """Colours (rows, columns, 3) of stored values (rows, columns)."""
        last = len(self.colours) - 1
        if pixels.dtype.itemsize > 2:
            return self.colours.take(np.clip(pixels.astype(np.int64) - self.first, 0, last), axis=0)
        # One entry for each stored value there can be, two's complement as index: then a look-up is all a pixel costs.
        size = 1 << (8 * pixels.dtype.itemsize)
        stored = np.arange(size)
        if pixels.dtype.kind == "i":
            stored = np.where(stored < size // 2, stored, stored - size)
        table = self.colours[np.clip(stored - self.first, 0, last)]
        return table.take(pixels.view(f"u{pixels.dtype.itemsize}"), axis=0)


def read_palette(data_set: DataSet, *, signed: bool) -> Palette:
    """The Red, Green and Blue Palette Color Lookup Tables as 8-bit colours."""
    tables: list[npt.NDArray[np.uint16]] = []
    first = bits = 0
    for place, colour in enumerate(_COLOURS):
        name = f"{colour}PaletteColorLookupTable"
        count, start, depth = read_descriptor(data_set, _DESCRIPTORS[place], f"{name}Descriptor", signed=signed)
        if place and start != first:
            raise Malformed("the palette's three descriptors differ in the first value mapped")
        first, bits = start, max(bits, depth)
        if _SEGMENTED[place] in data_set and _PLAIN[place] not in data_set:
            data = read_words(data_set, _SEGMENTED[place], f"Segmented{name}Data")
            tables.append(read_segments(data, count, depth, f"Segmented{name}Data"))
        else:
            data = read_words(data_set, _PLAIN[place], f"{name}Data")
            tables.append(unpack_entries(data, count, depth, f"{name}Data"))
    length = min(len(table) for table in tables)
    colours: npt.NDArray[Any] = np.stack([table[:length] for table in tables], axis=1)
    # Writers say 16 bits of entries that only use 8; shifting those away would leave black.
    if bits > 8 and int(colours.max()) > 0xFF:
        colours = colours >> (bits - 8)
    return Palette(first, np.minimum(colours, 0xFF).astype(np.uint8))


def supplemental_palette(data_set: DataSet, frame_number: int, *, signed: bool) -> Palette | None:
    """The palette for the stored values of a grey frame that are colours (PS3.3 C.7.6.19); None where all are grey.

    Only where Pixel Presentation says so: plain grey images carry palettes too, as a suggestion for a workstation.
    """
    if _DESCRIPTORS[0] not in data_set or (_PLAIN[0] not in data_set and _SEGMENTED[0] not in data_set):
        return None
    presentation = data_set.text(_PIXEL_PRESENTATION)
    for tag in FRAME_TYPES:
        group = functional_group(data_set, tag, frame_number)
        if group is not None:
            presentation = group.text(_PIXEL_PRESENTATION) or presentation
    if (presentation or "").strip() not in ("COLOR", "MIXED"):
        return None
    return read_palette(data_set, signed=signed)


def read_segments(data: bytes, count: int, depth: int, keyword: str) -> npt.NDArray[np.uint16]:
    """Segmented table data of words, or of bytes where entries have 8 bits and the words make no table."""
    words = np.frombuffer(data, "<u2", len(data) // 2)
    if depth > 8:
        return expand_segments(words, count, keyword)
    try:
        return expand_segments(words, count, keyword)
    except Malformed:
        return expand_segments(np.frombuffer(data, "u1").astype(np.uint16), count, keyword, bytewise=True)


def expand_segments(
    words: npt.NDArray[np.uint16], count: int, keyword: str, *, bytewise: bool = False
) -> npt.NDArray[np.uint16]:
    """Segmented table data to `count` entries (PS3.3 C.7.9.2); never makes more than it was told to."""
    expansion = _Expansion(words.tolist(), np.zeros(count, np.uint16), keyword, 4 if bytewise else 2)
    expansion.run(0, None)
    if expansion.filled < count:
        raise Malformed(f"{keyword} has fewer entries than its descriptor says")
    return expansion.table


class _Expansion:
    def __init__(self, words: list[int], table: npt.NDArray[np.uint16], keyword: str, offset_words: int) -> None:
        self.words = words
        self.table = table
        self.keyword = keyword
        self.filled = 0
        self._offset_words = offset_words
        self._steps = len(table) + len(words)

    def run(self, position: int, segments: int | None) -> None:
        """Segments from `position` on; `segments` limits their number inside an indirect one."""
        words, done = self.words, 0
        while position + 2 <= len(words) and self.filled < len(self.table) and (segments is None or done < segments):
            opcode, length = words[position], words[position + 1]
            position, done = position + 2, done + 1
            # Segments of no length, copied over and over, would let a small table take for ever.
            self._steps -= 1
            if self._steps < 0 or opcode not in (0, 1, 2) or (opcode == 2 and segments is not None):
                raise Malformed(f"{self.keyword} has a segment of unknown or nested kind, or too many of them")
            size = (length, 1, self._offset_words)[opcode]
            if position + size > len(words):
                raise Malformed(f"{self.keyword} ends inside a segment")
            if opcode == 2:
                self.run(self._target(position), length)
            elif opcode == 0:
                self._append(np.asarray(words[position : position + size], np.uint16))
            elif not self.filled:
                raise Malformed(f"{self.keyword} has a linear segment with nothing to begin with")
            else:
                ends = float(self.table[self.filled - 1]), words[position]
                self._append(np.linspace(*ends, length + 1)[1:].round().astype(np.uint16))
            position += size

    def _target(self, position: int) -> int:
        """Where an indirect segment points: the offset counts bytes from the table's first, least significant first."""
        wide = 32 // self._offset_words
        parts = self.words[position : position + self._offset_words]
        target = sum(part << wide * place for place, part in enumerate(parts)) * 8 // wide
        if target >= position - 2:
            raise Malformed(f"{self.keyword} has an indirect segment that does not point back")
        return target

    def _append(self, new: npt.NDArray[np.uint16]) -> None:
        new = new[: len(self.table) - self.filled]
        self.table[self.filled : self.filled + len(new)] = new
        self.filled += len(new)
