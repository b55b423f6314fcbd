"""Look-up tables as the standard keeps them (PS3.3 C.11.1, C.11.2, C.7.6.3.1.5), read within bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from isocenter.dicom.data_set import DataSet
from isocenter.errors import Malformed, Unsupported

# numpy widens indices to 64 bits: some at a time, these stay in the processor's cache.
_BLOCK_PIXELS = 2**17


def look_up(table: npt.NDArray[np.uint8], indices: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """`table[indices]` for indices that all lie inside the table."""
    found = np.empty(indices.shape, np.uint8)
    flat, out = indices.reshape(-1), found.reshape(-1)
    for start in range(0, flat.size, _BLOCK_PIXELS):
        part = slice(start, start + _BLOCK_PIXELS)
        # Any mode but "raise" writes straight into `out`.
        table.take(flat[part], out=out[part], mode="clip")
    return found


@dataclass(frozen=True, slots=True)
class Lookup:
    """`entries` for the inputs from `first` on; inputs outside take the nearest entry."""

    first: int
    bits: int
    entries: npt.NDArray[np.uint16]

    def apply(self, values: npt.NDArray[Any]) -> npt.NDArray[np.uint16]:
        """Map whole or real inputs; NaN must be gone."""
        last = len(self.entries) - 1
        index = np.clip(np.rint(values.astype(np.float64) - self.first), 0, last).astype(np.intp)
        return self.entries[index]


def read_descriptor(data_set: DataSet, tag: int, keyword: str, *, signed: bool) -> tuple[int, int, int]:
    """Entries, first input mapped, and bits per entry."""
    numbers = data_set.numbers(tag)
    if len(numbers) != 3 or any(not (-0x8000 <= n <= 0xFFFF) or n != int(n) for n in numbers):
        raise Malformed(f"{keyword} is not three whole numbers of 16 bits")
    count, first, bits = (int(n) for n in numbers)
    if bits not in range(8, 17):
        raise Malformed(f"{keyword} names a depth that is not 8 to 16 bits")
    # 65,536 does not fit the 16 bits it is written in and reads 0; read as signed, counts over 32,767 are negative.
    count = (count & 0xFFFF) or 0x10000
    if signed and first > 0x7FFF:
        first -= 0x10000
    return count, first, bits


def read_words(data_set: DataSet, tag: int, keyword: str) -> bytes:
    """Table data as little-endian words, wherever the model keeps it."""
    binary = data_set.binary(tag)
    if binary is not None:
        return binary
    numbers = data_set.numbers(tag)
    if any(not -0x8000 <= n <= 0xFFFF for n in numbers):
        raise Malformed(f"{keyword} is not of 16-bit numbers")
    if numbers:
        return (np.asarray(numbers, np.int64) & 0xFFFF).astype("<u2").tobytes()
    if tag in data_set and "BulkDataURI" in data_set.model[f"{tag:08X}"]:
        raise Unsupported(f"{keyword} is kept by reference and cannot be read here", code="table-by-reference")
    raise Malformed(f"{keyword} is missing")


def unpack_entries(data: bytes, count: int, bits: int, keyword: str) -> npt.NDArray[np.uint16]:
    """Entries from words, or from bytes where 8-bit entries are packed two to a word."""
    if len(data) >= 2 * count:
        return np.frombuffer(data, "<u2", count)
    if bits == 8 and len(data) >= count:
        return np.frombuffer(data, "u1", count).astype(np.uint16)
    raise Malformed(f"{keyword} is shorter than its descriptor says")


def read_lookup(item: DataSet, *, signed: bool) -> Lookup:
    """An item of the Modality LUT Sequence or VOI LUT Sequence."""
    count, first, bits = read_descriptor(item, 0x00283002, "LUTDescriptor", signed=signed)
    entries = unpack_entries(read_words(item, 0x00283006, "LUTData"), count, bits, "LUTData")
    # Some writers name fewer bits than their entries use; the entries are believed.
    return Lookup(first, max(bits, int(entries.max()).bit_length()), entries)
