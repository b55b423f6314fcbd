"""Stored values of grey images to display levels: modality, VOI and presentation transforms (PS3.3 C.11, PS3.4 N.2)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from isocenter.dicom.data_set import DataSet
from isocenter.dicom.pixel_description import PixelDescription
from isocenter.errors import Malformed
from isocenter.render.asked import WindowFunction
from isocenter.render.functional_groups import functional_group
from isocenter.render.lookup import Lookup, look_up, read_lookup

Reals = npt.NDArray[np.float64]
Levels = npt.NDArray[np.uint8]

# A table pays while it has fewer entries than an image has pixels.
_MOST_TABLE = 2**17
_BLOCK_PIXELS = 2**20


@dataclass(frozen=True, slots=True)
class Window:
    """Centre and width in units of the modality transform's output."""

    center: float
    width: float
    function: WindowFunction = "LINEAR"


@dataclass(frozen=True, slots=True)
class Span:
    """Everything from `low` to `high`, shown from black to white."""

    low: float
    high: float


Voi = Window | Lookup | Span


@dataclass(frozen=True, slots=True)
class GreyTransform:
    """How stored values of one frame become display levels; `voi` None is the range of the frame's own values.

    `presentation` is a Presentation LUT (PS3.3 C.11.6), which then decides the polarity too.
    """

    slope: float = 1.0
    intercept: float = 0.0
    modality: Lookup | None = None
    voi: Voi | None = None
    padding: tuple[float, float] | None = None
    inverted: bool = False
    presentation: Lookup | None = None

    def values(self, stored: npt.NDArray[Any]) -> Reals:
        """The modality transform; what overflows is held to the ends of the number range, NaN becomes the least."""
        if self.modality is not None:
            return self.modality.apply(stored).astype(np.float64)
        found = stored.astype(np.float64)
        if (self.slope, self.intercept) != (1.0, 0.0):
            found = found * self.slope + self.intercept
        return np.nan_to_num(found, copy=False, nan=-1e300, posinf=1e300, neginf=-1e300)


def read_transform(
    data_set: DataSet,
    description: PixelDescription,
    frame_number: int,
    window: tuple[float, float] | None,
    function: WindowFunction | None = None,
) -> GreyTransform:
    """Read the transforms of one frame (1-based); `window` (centre, width) goes before those of the Data Set.

    `function` is the window's VOI LUT Function, the Data Set's own where None.
    """
    group = functional_group(data_set, 0x00289145, frame_number) or data_set
    slope, intercept = read_rescale(group)
    lookups = [] if group is not data_set else data_set.items(0x00283000)
    modality = read_lookup(lookups[0], signed=description.signed) if lookups else None
    voi: Voi | None
    if window is not None:
        voi = Window(*window, function or _function(_voi_group(data_set, frame_number)))
    else:
        voi = _voi(_voi_group(data_set, frame_number), description.signed or intercept < 0)
    if voi is None and modality is None and (slope, intercept) == (1.0, 0.0):
        voi = _whole_range(description)
    shape = (data_set.text(0x20500020) or "").strip()
    # A Presentation LUT overrides Photometric Interpretation (PS3.4 N.2.1.4).
    presentation = data_set.items(0x20500010)
    return GreyTransform(
        slope=slope,
        intercept=intercept,
        modality=modality,
        voi=voi,
        padding=read_padding(data_set, description),
        inverted=description.photometric_interpretation == "MONOCHROME1" or shape == "INVERSE",
        presentation=read_lookup(presentation[0], signed=False) if presentation else None,
    )


def read_rescale(group: DataSet) -> tuple[float, float]:
    """Rescale Slope and Rescale Intercept; those that are missing or of no use change nothing."""
    slope, intercept = group.number(0x00281053), group.number(0x00281052)
    # A slope of nought would make one grey of any image; the standard forbids it and writers mean "none".
    if slope is None or not math.isfinite(slope) or slope == 0:
        slope = 1.0
    if intercept is None or not math.isfinite(intercept):
        intercept = 0.0
    return slope, intercept


def _function(group: DataSet) -> WindowFunction:
    named = (group.text(0x00281056) or "LINEAR").strip()
    if named == "LINEAR_EXACT":
        return "LINEAR_EXACT"
    return "SIGMOID" if named == "SIGMOID" else "LINEAR"


def _voi_group(data_set: DataSet, frame_number: int) -> DataSet:
    return functional_group(data_set, 0x00289132, frame_number) or data_set


def _voi(group: DataSet, signed: bool) -> Voi | None:
    """The Data Set's own: a VOI LUT before a window, being the more particular; the first where there are many."""
    lookups = group.items(0x00283010)
    if lookups:
        return read_lookup(lookups[0], signed=signed)
    center, width = group.number(0x00281050), group.number(0x00281051)
    if center is None or width is None or not (math.isfinite(center) and math.isfinite(width)):
        return None
    return Window(center, width, _function(group))


def _whole_range(description: PixelDescription) -> Span | None:
    """Grey of 8 bits or fewer without any transform is shown as it is, so that frames of a cine keep one brightness."""
    if description.keyword != "PixelData" or description.bits_stored > 8 or description.signed:
        return None
    return Span(0, (1 << description.bits_stored) - 1)


def read_padding(data_set: DataSet, description: PixelDescription) -> tuple[float, float] | None:
    """The first and last stored value that stand for no pixel; None without Pixel Padding Value."""
    if description.keyword != "PixelData":
        tags = (0x00280122, 0x00280124) if description.keyword == "FloatPixelData" else (0x00280123, 0x00280125)
        value = data_set.number(tags[0])
        limit = data_set.number(tags[1])
    else:
        value, limit = data_set.number(0x00280120), data_set.number(0x00280121)
    if value is None:
        return None
    ends = [value, value if limit is None else limit]
    if description.signed and description.keyword == "PixelData":
        # Written as unsigned though the pixels are signed.
        half = float(2 ** (description.bits_allocated - 1))
        ends = [end - 2 * half if end >= half else end for end in ends]
    return min(ends), max(ends)


def to_levels(pixels: npt.NDArray[Any], transform: GreyTransform) -> Levels:
    """Display levels 0-255 of stored values (rows, columns); padding comes out black."""
    with np.errstate(all="ignore"):
        kept = _kept(pixels, transform.padding)
        if kept.size == 0:
            return np.zeros(pixels.shape, np.uint8)
        low, high = kept.min(), kept.max()
        if pixels.dtype.kind in "iu" and int(high) - int(low) < _MOST_TABLE:
            return _by_table(pixels, transform, int(low), int(high))
        return _by_block(pixels, transform, kept)


def _kept(pixels: npt.NDArray[Any], padding: tuple[float, float] | None) -> npt.NDArray[Any]:
    """The values that count for contrast: neither padding nor NaN nor infinite."""
    kept = pixels
    if pixels.dtype.kind == "f":
        kept = kept[np.isfinite(kept)]
    if padding is not None:
        inside = kept >= padding[0]
        inside &= kept <= padding[1]
        if inside.any():
            kept = kept[~inside]
    return kept


def _by_table(pixels: npt.NDArray[Any], transform: GreyTransform, low: int, high: int) -> Levels:
    """One table over the stored values that occur, then one look-up a pixel."""
    values = transform.values(np.arange(low, high + 1))
    levels = _levels(values, transform, transform.voi or Span(float(values.min()), float(values.max())))
    if pixels.dtype.itemsize > 2:
        padded = np.concatenate([levels, np.zeros(1, np.uint8)])
        index = pixels.astype(np.int64) - low
        index[(index < 0) | (index > high - low)] = len(levels)
        return padded.take(_without_padding(index, pixels, transform, len(levels)))
    # Two's complement as table index; what is not between low and high is padding and stays black.
    size = 1 << (8 * pixels.dtype.itemsize)
    table = np.zeros(size, np.uint8)
    stored = np.arange(low, high + 1)
    table[stored & (size - 1)] = levels
    if transform.padding is not None:
        table[stored[(stored >= transform.padding[0]) & (stored <= transform.padding[1])] & (size - 1)] = 0
    return look_up(table, pixels.view(f"u{pixels.dtype.itemsize}"))


def _without_padding(
    index: npt.NDArray[np.int64], pixels: npt.NDArray[Any], transform: GreyTransform, black: int
) -> npt.NDArray[np.int64]:
    if transform.padding is not None:
        index[(pixels >= transform.padding[0]) & (pixels <= transform.padding[1])] = black
    return index


def _by_block(pixels: npt.NDArray[Any], transform: GreyTransform, kept: npt.NDArray[Any]) -> Levels:
    """Floating point and wide integers, some rows at a time so that the doubles in between stay few."""
    voi = transform.voi
    if voi is None:
        ends = transform.values(np.asarray([kept.min(), kept.max()]))
        voi = Span(float(ends.min()), float(ends.max()))
    found = np.empty(pixels.shape, np.uint8)
    step = max(1, _BLOCK_PIXELS // pixels.shape[1])
    for start in range(0, pixels.shape[0], step):
        block = pixels[start : start + step]
        levels = _levels(transform.values(block), transform, voi)
        if block.dtype.kind == "f":
            levels[np.isnan(block)] = 0
        if transform.padding is not None:
            levels[(block >= transform.padding[0]) & (block <= transform.padding[1])] = 0
        found[start : start + step] = levels
    return found


def _levels(values: Reals, transform: GreyTransform, voi: Voi) -> Levels:
    shown = voi_fraction(values, voi)
    if transform.presentation is not None:
        table = transform.presentation
        shown = table.apply(table.first + shown * (len(table.entries) - 1)) / float((1 << table.bits) - 1)
    elif transform.inverted:
        shown = 1.0 - shown
    shown *= 255.0
    shown += 0.5
    return shown.astype(np.uint8)


def voi_fraction(values: Reals, voi: Voi) -> Reals:
    """The VOI transform (PS3.3 C.11.2) to 0..1; values must be finite."""
    if isinstance(voi, Lookup):
        return voi.apply(values) / float((1 << voi.bits) - 1)
    if isinstance(voi, Span):
        if not voi.high > voi.low:
            return np.zeros(values.shape)
        # Halved first, so that the difference of two ends of the number range does not overflow.
        return np.clip((values / 2 - voi.low / 2) / (voi.high / 2 - voi.low / 2), 0.0, 1.0)
    return _windowed(values, voi)


def _windowed(values: Reals, window: Window) -> Reals:
    center, width = window.center, window.width
    if not (math.isfinite(center) and math.isfinite(width)):
        raise Malformed("WindowCenter or WindowWidth is not finite")
    if window.function == "SIGMOID" and width > 0:
        return np.asarray(1.0 / (1.0 + np.exp(-4.0 * (values - center) / width)))
    if window.function == "LINEAR" and width >= 1:
        center, width = center - 0.5, width - 1
    # LINEAR needs a width of 1 at least; writers of real-valued images use less and mean LINEAR_EXACT.
    if width <= 0:
        return (values > center).astype(np.float64)
    return np.clip((values - center) / width + 0.5, 0.0, 1.0)
