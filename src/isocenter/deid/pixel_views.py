"""Stored pixel values as 8-bit pictures in which text shows, wherever in the range of values it was written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from isocenter.deid.boxes import Box
from isocenter.dicom.data_set import DataSet
from isocenter.dicom.elements import Element
from isocenter.dicom.pixel_description import PixelDescription
from isocenter.errors import Malformed, Unsupported

Picture = npt.NDArray[np.uint8]
Pixels = npt.NDArray[Any]
Read = Callable[[int, int], bytes]

_PALETTE_DESCRIPTORS: Final = (0x00281101, 0x00281102, 0x00281103)
_PALETTE_DATA: Final = (0x00281201, 0x00281202, 0x00281203)
_MOST_LEVELS: Final = 1 << 16  # of histograms
_BAND_PIXELS: Final = 1 << 20
# Marks are pixels of the very highest or lowest value, as burned-in text mostly has: some, but not much of a frame.
_FEWEST_MARKS: Final = 20
_MOST_MARKS: Final = 0.1


@dataclass(frozen=True, slots=True)
class View:
    """One picture of a frame, (rows, columns) or (rows, columns, 3), and the part of it worth a look."""

    picture: Picture
    part: Box


@dataclass(frozen=True, slots=True)
class Display:
    """How stored values are shown: `window` is the lowest and highest stored value of the first VOI window."""

    bits_stored: int
    window: tuple[float, float] | None = None
    palette: tuple[int, Picture] | None = None

    def views(self, pixels: Pixels, photometric: str) -> tuple[View, list[View]]:
        """The view that shows most, and those that show what it may hide; of values as `decode_frame` gives them."""
        whole = Box(0, 0, pixels.shape[1], pixels.shape[0])
        if pixels.ndim == 3 or photometric == "PALETTE COLOR":
            colour = self._colour(pixels, photometric)
            return View(colour, whole), [View(_equalised(colour.max(axis=2)), whole)]
        values = np.nan_to_num(pixels, posinf=0, neginf=0) if pixels.dtype.kind == "f" else pixels
        ranges = self._ranges(values)
        first = View(_windowed(values, *ranges[0]), whole)
        others = [View(_equalised(values), whole), *(View(_windowed(values, *ends), whole) for ends in ranges[1:])]
        if values.dtype.itemsize > 1:
            others += [_marks(values == extreme) for extreme in (values.max(), values.min())]
        return first, [view for view in others if view.part.area]

    def _ranges(self, values: Pixels) -> list[tuple[float, float]]:
        """The window that is meant to be seen, and what nearly all values lie in."""
        if values.dtype.itemsize == 1:
            return [(float(values.min()), float(values.max()))]
        some = values[:: max(1, values.shape[0] // 512), :: max(1, values.shape[1] // 512)]
        low, high = (float(end) for end in np.percentile(some, (0.5, 99.5)))
        return [(low, high)] if self.window is None else [self.window, (low, high)]

    def _colour(self, pixels: Pixels, photometric: str) -> Picture:
        if photometric == "PALETTE COLOR":
            first, colours = self.palette if self.palette is not None else (0, np.zeros((1, 3), np.uint8))
            found: Picture = colours[np.clip(pixels.astype(np.int64) - first, 0, len(colours) - 1)]
            return found
        shift = max(0, self.bits_stored - 8)
        narrow = (pixels >> shift if shift else pixels).astype(np.uint8)
        return _rgb(narrow) if photometric.startswith("YBR") else narrow


def display_of(data_set: DataSet, description: PixelDescription, elements: dict[int, Element], read: Read) -> Display:
    """From the header; Unsupported or Malformed where a palette is needed and cannot be read."""
    palette = None
    if description.photometric_interpretation == "PALETTE COLOR":
        palette = _palette(data_set, elements, read, description.big_endian)
    slope, intercept = data_set.number(0x00281053) or 1.0, data_set.number(0x00281052) or 0.0
    centre, width = data_set.number(0x00281050), data_set.number(0x00281051)
    window = None
    if centre is not None and width is not None and width > 0 and np.isfinite([centre, width, slope, intercept]).all():
        ends = sorted(((centre - width / 2 - intercept) / slope, (centre + width / 2 - intercept) / slope))
        window = (ends[0], ends[1])
    return Display(description.bits_stored, window, palette)


def darkest_entry(palette: tuple[int, Picture]) -> int:
    """The stored value that a palette shows darkest."""
    first, colours = palette
    return first + int(colours.astype(np.int64).sum(axis=1).argmin())


def _palette(data_set: DataSet, elements: dict[int, Element], read: Read, big_endian: bool) -> tuple[int, Picture]:
    """First stored value mapped, and colours of 8 bits (PS3.3 C.7.6.3.1.5 and .6)."""
    planes, start = [], 0
    for descriptor, data in zip(_PALETTE_DESCRIPTORS, _PALETTE_DATA, strict=True):
        numbers = data_set.numbers(descriptor)
        element = elements.get(data)
        if len(numbers) != 3 or element is None:
            raise Unsupported(
                "the palette is segmented or missing, and pixels under it are not read", code="no-palette"
            )
        count, start, bits = (int(number) for number in numbers)
        count = (count & 0xFFFF) or 0x10000
        table = (
            element.value if isinstance(element.value, bytes) else read(element.offset, min(element.length, 1 << 18))
        )
        if len(table) >= 2 * count:
            entries = np.frombuffer(table, ">u2" if big_endian else "<u2", count)
            # Writers say 16 bits of entries that only use 8.
            narrow = entries >> 8 if bits > 8 and int(entries.max()) > 0xFF else entries
        elif len(table) >= count:
            narrow = np.frombuffer(table, np.uint8, count)
        else:
            raise Malformed("the palette is shorter than its descriptor says", code="bad-palette")
        planes.append(np.minimum(narrow, 0xFF).astype(np.uint8))
    length = min(len(plane) for plane in planes)
    return start, np.stack([plane[:length] for plane in planes], axis=1)


def _rgb(pixels: Picture) -> Picture:
    """YBR_FULL to RGB (ITU-R BT.601), near enough to read by."""
    light, blue, red = (pixels[..., channel].astype(np.int32) for channel in range(3))
    blue, red = blue - 128, red - 128
    parts = (light + (359 * red >> 8), light - (88 * blue + 183 * red >> 8), light + (454 * blue >> 8))
    found: Picture = np.stack([np.clip(part, 0, 255).astype(np.uint8) for part in parts], axis=-1)
    return found


def _bands(values: Pixels) -> Iterator[slice]:
    """Some rows at a time, so that what is made on the way stays small beside the frame."""
    step = max(1, _BAND_PIXELS // max(1, values.shape[1]))
    return (slice(start, start + step) for start in range(0, values.shape[0], step))


def _windowed(values: Pixels, low: float, high: float) -> Picture:
    scale = 255.0 / max(high - low, 1e-6)
    shown = np.empty(values.shape, np.uint8)
    for band in _bands(values):
        shown[band] = np.clip((values[band].astype(np.float32) - low) * scale, 0, 255)
    return shown


def _equalised(values: Pixels) -> Picture:
    """Each value by how many pixels lie below it: what is faint anywhere in the range shows as well as what is not."""
    low, span = float(values.min()), float(values.max()) - float(values.min())
    shown = np.zeros(values.shape, np.uint8)
    if span == 0:
        return shown
    whole = values.dtype.kind in "iu" and span < _MOST_LEVELS
    scale = 1.0 if whole else (_MOST_LEVELS - 1) / span

    def levels(band: slice) -> npt.NDArray[np.intp]:
        found: npt.NDArray[np.intp] = ((values[band].astype(np.float64) - low) * scale).astype(np.intp)
        return found

    counts = np.zeros(_MOST_LEVELS, np.int64)
    for band in _bands(values):
        counts += np.bincount(levels(band).reshape(-1), minlength=_MOST_LEVELS)
    below = np.cumsum(counts) - counts / 2
    # Ends at the ends: a frame that is mostly background keeps its black.
    first, last = below[0], below[int(span * scale)]
    table = np.clip((below - first) * (255.0 / max(last - first, 1.0)), 0, 255).round().astype(np.uint8)
    for band in _bands(values):
        shown[band] = table[levels(band)]
    return shown


def _marks(marked: npt.NDArray[np.bool_]) -> View:
    """Marked pixels in white, within the box they lie in; nothing where they are too few or too many for text."""
    count = int(np.count_nonzero(marked))
    rows, columns = marked.shape
    if not _FEWEST_MARKS <= count <= _MOST_MARKS * marked.size:
        return View(np.zeros((1, 1), np.uint8), Box(0, 0, 0, 0))
    down, across = np.nonzero(marked.any(axis=1))[0], np.nonzero(marked.any(axis=0))[0]
    box = Box(int(across[0]), int(down[0]), int(across[-1] - across[0]) + 1, int(down[-1] - down[0]) + 1)
    return View(marked.astype(np.uint8) * np.uint8(255), box.padded(8).clipped(rows, columns))
