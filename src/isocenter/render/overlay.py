"""Overlay planes (PS3.3 C.9.2 and C.9.3): graphics drawn over a picture, white."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from isocenter.dicom.data_set import DataSet
from isocenter.dicom.decode import MOST_SAMPLES, decode_frame
from isocenter.dicom.pixel_description import PixelDescription
from isocenter.errors import IsocenterError

Bytes = npt.NDArray[np.uint8]

GROUPS: Final = tuple(range(0x6000, 0x6020, 2))
_WHITE: Final = np.uint8(255)


@dataclass(frozen=True, slots=True)
class FrameSource:
    """The frame that is drawn over: its number, and its bytes, which may hold overlays in bits no sample uses."""

    number: int
    data: bytes
    skip_bits: int = 0
    most_samples: int = MOST_SAMPLES


def has_overlays(data_set: DataSet) -> bool:
    """Whether there is anything to draw."""
    return any(f"{group:04X}0040" in data_set.model for group in GROUPS)


def draw_overlays(shown: Bytes, data_set: DataSet, description: PixelDescription, source: FrameSource) -> Bytes:
    """Draw each graphics plane (type G) over (rows, columns[, 3]); what cannot be read is left out.

    Planes with an Overlay Activation Layer wait for a presentation state to name it, and regions of interest
    (type R) mark pixels for measurement, so neither is drawn.
    """
    drawn = np.array(shown)
    for group in GROUPS:
        if f"{group:04X}0040" not in data_set.model:
            continue
        try:
            for top, left, bits in _planes(data_set, group << 16, description, source):
                _draw(drawn, top, left, bits)
        except IsocenterError:
            # A picture without a broken overlay is worth more than no picture.
            continue
    return drawn


def _planes(
    data_set: DataSet, group: int, description: PixelDescription, source: FrameSource
) -> Iterator[tuple[int, int, Bytes]]:
    """The plane of a group at a frame, as top, left and bits 0 or 1: one, or none where nothing is to be drawn."""
    if (data_set.text(group | 0x0040) or "").strip() != "G" or (data_set.text(group | 0x1001) or "").strip():
        return
    place = _frame_in_overlay(data_set, group, source.number)
    if place is None:
        return
    origin = [int(n) for n in data_set.numbers(group | 0x0050) if abs(n) < 2**16]
    top, left = origin if len(origin) == 2 else (1, 1)
    packed = data_set.binary(group | 0x3000)
    if packed is None and (data_set.integer(group | 0x0100) or 1) > 1:
        bit = data_set.integer(group | 0x0102)
        if bit is not None and 0 <= bit < description.bits_allocated:
            yield top - 1, left - 1, _embedded(description, source, bit)
        return
    rows, columns = data_set.integer(group | 0x0010), data_set.integer(group | 0x0011)
    if packed is None or not rows or not columns or rows < 0 or columns < 0:
        return
    # Rows below the image need not be unpacked.
    wanted = min(rows, max(0, description.rows - top + 1))
    first, size = place * rows * columns, wanted * columns
    if (first + size + 7) // 8 > len(packed):
        return
    piece = np.frombuffer(packed, np.uint8, (first + size + 7) // 8 - first // 8, offset=first // 8)
    bits = np.unpackbits(piece, bitorder="little", count=first % 8 + size)[first % 8 :]
    yield top - 1, left - 1, bits.reshape(wanted, columns)


def _frame_in_overlay(data_set: DataSet, group: int, frame_number: int) -> int | None:
    """Which of the overlay's own frames, from 0, belongs to an image frame; a plane without a count goes with all."""
    count = data_set.integer(group | 0x0015)
    if count is None:
        return 0
    place = frame_number - (data_set.integer(group | 0x0051) or 1)
    return place if 0 <= place < max(1, count) else None


def _embedded(description: PixelDescription, source: FrameSource, bit: int) -> Bytes:
    """A plane in one bit of the pixel data's words (PS3.5 8.1.2, retired in 2004): the words decoded whole."""
    allocated = description.bits_allocated
    words = replace(description, bits_stored=allocated, high_bit=allocated - 1, pixel_representation=0)
    decoded: npt.NDArray[Any] = decode_frame(
        words, source.data, skip_bits=source.skip_bits, most_samples=source.most_samples
    ).pixels
    if decoded.ndim != 2:
        return np.zeros((0, 0), np.uint8)
    return ((decoded >> bit) & 1).astype(np.uint8)


def _draw(shown: Bytes, top: int, left: int, bits: Bytes) -> None:
    """Turn pixels white where bits are set; what lies outside the image is cut off."""
    rows = slice(max(0, top), min(shown.shape[0], top + bits.shape[0]))
    columns = slice(max(0, left), min(shown.shape[1], left + bits.shape[1]))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return
    mask = bits[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] * _WHITE
    target = shown[rows, columns]
    np.maximum(target, mask if shown.ndim == 2 else mask[..., None], out=target)
