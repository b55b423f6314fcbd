"""Writes black into stored pixel values: into decoded frames, and into native pixel data as it streams by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from isocenter.deid.boxes import Box, covered
from isocenter.deid.pixel_views import Picture, darkest_entry
from isocenter.dicom.decode import DecodedFrame, decode_frame
from isocenter.dicom.pixel_description import PixelDescription
from isocenter.dicom.pixel_encode import EncodedFrame, encode_frame

Pixels = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
Fill = tuple[float, ...]  # one value for each sample of a pixel

_SUBSAMPLED: Final = ("YBR_FULL_422", "YBR_PARTIAL_422")


@dataclass(frozen=True, slots=True)
class FrameBytes:
    """A frame as it lies in its file, for a worker to decode; as `decode_frame` takes it."""

    description: PixelDescription
    data: bytes
    skip_bits: int = 0


@dataclass(frozen=True, slots=True)
class Refill:
    """A frame to be decoded, filled within boxes and encoded as `target`."""

    frame: FrameBytes
    boxes: tuple[Box, ...]
    fill: Fill
    target: str


def decoded(work: FrameBytes) -> DecodedFrame:
    """A task of a sandbox worker; raises as `decode_frame` does."""
    return decode_frame(work.description, work.data, skip_bits=work.skip_bits)


def refilled(work: Refill) -> EncodedFrame:
    """A task of a sandbox worker; raises as `decode_frame` and `encode_frame` do."""
    frame = decoded(work.frame)
    pixels = filled(frame.pixels, work.boxes, work.fill) if work.boxes else frame.pixels
    return encode_frame(pixels, work.frame.description, frame.photometric_interpretation, work.target)


def fill_of(
    description: PixelDescription, photometric: str, palette: tuple[int, Picture] | None, pixels: Callable[[], Pixels]
) -> Fill:
    """The stored value that is shown black under this Photometric Interpretation; `pixels` gives those of a frame.

    Where values are signed the lowest there can be would wreck every display that adapts itself to the range:
    it is the lowest of the frame then, or nought if that is lower still (for MONOCHROME1 the highest).
    """
    if photometric == "PALETTE COLOR":
        return (0.0 if palette is None else float(darkest_entry(palette)),)
    if description.samples_per_pixel > 1:
        middle = float(1 << description.bits_stored - 1)
        if not photometric.startswith("YBR"):
            return (0.0, 0.0, 0.0)
        dark = float(1 << max(0, description.bits_stored - 4)) if photometric.startswith("YBR_PARTIAL") else 0.0
        return (dark, middle, middle)
    if description.keyword == "PixelData" and not description.signed:
        return (float((1 << description.bits_stored) - 1) if photometric == "MONOCHROME1" else 0.0,)
    values = pixels()
    if photometric == "MONOCHROME1":
        return (max(0.0, float(values.max())),)
    return (min(0.0, float(np.nan_to_num(values).min())),)


def filled(pixels: Pixels, boxes: Iterable[Box], fill: Fill) -> Pixels:
    """A copy with `fill` in the boxes; all else as it was."""
    found = pixels.copy()
    value = np.asarray(fill if pixels.ndim == 3 else fill[0]).astype(pixels.dtype)
    for box in boxes:
        found[box.clipped(*pixels.shape[:2]).slices] = value
    return found


# Native pixel data --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Patch:
    """Bytes to write from `start` on; of packed bits `keep` names those that stay."""

    start: int
    data: bytes
    keep: bytes | None = None


def patched(element: Iterable[bytes], patches: Iterator[Patch]) -> Iterator[bytes]:
    """An element's head and then its value in pieces, with `patches`, in rising order, written into the value."""
    pieces = iter(element)
    yield next(pieces)
    position = 0
    due = next(patches, None)
    for piece in pieces:
        end = position + len(piece)
        if due is None or due.start >= end:
            yield piece
        else:
            changed = bytearray(piece)
            while due is not None and due.start < end:
                at, size = due.start - position, min(len(due.data), end - due.start)
                old = changed[at : at + size]
                changed[at : at + size] = due.data[:size] if due.keep is None else _mixed(old, due, size)
                # What reaches into the next piece waits for it.
                rest = Patch(end, due.data[size:], None if due.keep is None else due.keep[size:])
                due = rest if rest.data else next(patches, None)
            yield bytes(changed)
        position = end


def _mixed(old: bytearray, patch: Patch, size: int) -> bytes:
    keep = patch.keep or b""
    return bytes(was & mask | new for was, mask, new in zip(old, keep[:size], patch.data[:size], strict=True))


def patches_of(
    description: PixelDescription,
    frames: Iterable[tuple[int, Sequence[Box]]],
    fill: Fill,
    *,
    length: int,
    overlays: bool,
) -> Iterator[Patch]:
    """What makes boxes black in native little-endian pixel data of `length` bytes; frames (from 1) in rising order.

    Whole words are written, so that overlays in their unused high bits go too; where there are none (`overlays`),
    negative values fill them, as they do beside them.
    """
    rows, columns = description.rows, description.columns
    for number, boxes in frames:
        mask = covered(boxes, rows, columns)
        if not mask.any():
            continue
        first = (number - 1) * description.frame_bits
        if description.bits_allocated == 1:
            yield from _bit_patches(mask, first, bool(fill[0]))
            continue
        words = [_word(description, value, overlays) for value in fill]
        whole = description.number_of_frames == 1 and length >= 3 * rows * columns * len(words[0])
        if description.photometric_interpretation in _SUBSAMPLED and not (whole and rows > 1):
            wide = np.zeros((rows, -(-columns // 2) * 2), np.bool_)
            wide[:, :columns] = mask
            pairs = wide[:, ::2] | wide[:, 1::2]
            yield from _row_patches(pairs, first // 8, words[0] * 2 + words[1] + words[2])
        elif description.samples_per_pixel > 1 and description.planar_configuration == 1:
            plane = rows * columns * len(words[0])
            yield from chain.from_iterable(
                _row_patches(mask, first // 8 + place * plane, word) for place, word in enumerate(words)
            )
        else:
            yield from _row_patches(mask, first // 8, b"".join(words))


def _word(description: PixelDescription, value: float, overlays: bool) -> bytes:
    """One sample as its bytes, little endian, its bits where High Bit has them."""
    size = description.bits_allocated // 8
    stored, high = description.bits_stored, description.high_bit
    bits = int(value) & (1 << stored) - 1
    if value < 0 and not overlays and high == stored - 1:
        bits = int(value) & (1 << 8 * size) - 1
    return (bits << high - stored + 1).to_bytes(size, "little")


def _row_patches(mask: Mask, start: int, unit: bytes) -> Iterator[Patch]:
    width = mask.shape[1]
    for row in np.nonzero(mask.any(axis=1))[0].tolist():
        for left, right in _runs(mask[row]):
            yield Patch(start + (row * width + left) * len(unit), unit * (right - left))


def _bit_patches(mask: Mask, first: int, light: bool) -> Iterator[Patch]:
    """Of bits that lie packed, the first in the lowest place; a frame may begin inside a byte."""
    bits = np.concatenate([np.zeros(first % 8, np.bool_), mask.reshape(-1)])
    packed = np.packbits(bits, bitorder="little")
    for left, right in _runs(packed != 0):
        chosen = packed[left:right]
        yield Patch(first // 8 + left, chosen.tobytes() if light else bytes(right - left), (~chosen).tobytes())


def _runs(marked: Mask) -> Iterator[tuple[int, int]]:
    """Where marked elements begin and end."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], marked, [False]]).astype(np.int8)))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
