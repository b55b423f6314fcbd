"""Palette colour (PS3.3 C.7.6.3.1.5 and C.7.9): plain and segmented look-up tables, read within bounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from isocenter.dicom.data_set import DataSet
from isocenter.errors import Malformed
from isocenter.render.lookup import read_descriptor, read_words, unpack_entries

_DESCRIPTORS = (0x00281101, 0x00281102, 0x00281103)
_PLAIN = (0x00281201, 0x00281202, 0x00281203)
_SEGMENTED = (0x00281221, 0x00281222, 0x00281223)
_COLOURS = ("Red", "Green", "Blue")


def apply_palette(pixels: npt.NDArray[Any], data_set: DataSet, *, signed: bool) -> npt.NDArray[np.uint8]:
    """Colours (rows, columns, 3) of palette indices (rows, columns); indices outside take the nearest entry."""
    tables: list[npt.NDArray[np.uint16]] = []
    first = bits = 0
    for place, colour in enumerate(_COLOURS):
        name = f"{colour}PaletteColorLookupTable"
        count, start, depth = read_descriptor(data_set, _DESCRIPTORS[place], f"{name}Descriptor", signed=signed)
        if place and start != first:
            raise Malformed("the palette's three descriptors differ in the first value mapped")
        first, bits = start, max(bits, depth)
        if _SEGMENTED[place] in data_set and _PLAIN[place] not in data_set:
            words = np.frombuffer(_even(read_words(data_set, _SEGMENTED[place], f"Segmented{name}Data")), "<u2")
            tables.append(expand_segments(words, count, f"Segmented{name}Data"))
        else:
            data = read_words(data_set, _PLAIN[place], f"{name}Data")
            tables.append(unpack_entries(data, count, depth, f"{name}Data"))
    length = min(len(table) for table in tables)
    colours: npt.NDArray[Any] = np.stack([table[:length] for table in tables], axis=1)
    # Writers say 16 bits of entries that only use 8; shifting those away would leave black.
    if bits > 8 and int(colours.max()) > 0xFF:
        colours = colours >> (bits - 8)
    palette = np.minimum(colours, 0xFF).astype(np.uint8)
    index = np.clip(pixels.astype(np.int64) - first, 0, length - 1)
    shown: npt.NDArray[np.uint8] = palette[index]
    return shown


def _even(data: bytes) -> bytes:
    return data[: len(data) & ~1]


def expand_segments(words: npt.NDArray[np.uint16], count: int, keyword: str) -> npt.NDArray[np.uint16]:
    """Segmented table data to `count` entries (PS3.3 C.7.9.2); never makes more than it was told to."""
    table = np.zeros(count, np.uint16)
    values = words.tolist()
    filled = _expand(values, 0, len(values), None, table, 0, keyword)
    if filled < count:
        raise Malformed(f"{keyword} has fewer entries than its descriptor says")
    return table


def _expand(
    words: list[int],
    position: int,
    end: int,
    segments: int | None,
    table: npt.NDArray[np.uint16],
    filled: int,
    keyword: str,
) -> int:
    """Run segments from `position` into `table`; `segments` limits their number inside an indirect one."""
    done = 0
    while position + 2 <= end and filled < len(table) and (segments is None or done < segments):
        opcode, length = words[position], words[position + 1]
        position, done = position + 2, done + 1
        if opcode == 0:
            chunk = words[position : min(position + length, end)]
            if len(chunk) < length:
                raise Malformed(f"{keyword} ends inside a segment")
            position += length
            new = np.asarray(chunk, np.uint16)
        elif opcode == 1:
            if position >= end or not filled:
                raise Malformed(f"{keyword} has a linear segment with nothing to begin or end with")
            new = np.linspace(float(table[filled - 1]), words[position], length + 1)[1:].round().astype(np.uint16)
            position += 1
        elif opcode == 2 and segments is None:
            if position + 2 > end:
                raise Malformed(f"{keyword} ends inside a segment")
            # The offset counts bytes from the table's first, least significant word first.
            target = (words[position] | words[position + 1] << 16) // 2
            position += 2
            if target >= position - 4:
                raise Malformed(f"{keyword} has an indirect segment that does not point back")
            filled = _expand(words, target, end, length, table, filled, keyword)
            continue
        else:
            raise Malformed(f"{keyword} has a segment of unknown or nested kind")
        new = new[: len(table) - filled]
        table[filled : filled + len(new)] = new
        filled += len(new)
    return filled
