"""Upright rectangles in a frame, and why one was taken out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt

# What a rectangle went for: text that is a known identifier, text that looks like one, any text (where all goes),
# a mask of the profile for the device, or lying outside the Sequence of Ultrasound Regions.
Why = Literal["identifier", "pattern", "text", "mask", "region"]


@dataclass(frozen=True, slots=True)
class Box:
    """Pixels from column `x` and row `y` on, counted from 0."""

    x: int
    y: int
    width: int
    height: int

    @property
    def right(self) -> int:
        return self.x + self.width

    @property
    def bottom(self) -> int:
        return self.y + self.height

    @property
    def area(self) -> int:
        return self.width * self.height

    def clipped(self, rows: int, columns: int) -> Box:
        """What of it lies in a frame; its area may be 0."""
        x, y = min(max(self.x, 0), columns), min(max(self.y, 0), rows)
        right, bottom = min(max(self.right, x), columns), min(max(self.bottom, y), rows)
        return Box(x, y, right - x, bottom - y)

    def padded(self, by: int) -> Box:
        return Box(self.x - by, self.y - by, self.width + 2 * by, self.height + 2 * by)

    def moved(self, x: int, y: int) -> Box:
        return Box(self.x + x, self.y + y, self.width, self.height)

    def united(self, other: Box) -> Box:
        x, y = min(self.x, other.x), min(self.y, other.y)
        return Box(x, y, max(self.right, other.right) - x, max(self.bottom, other.bottom) - y)

    def common(self, other: Box) -> int:
        """Pixels they share."""
        width = min(self.right, other.right) - max(self.x, other.x)
        height = min(self.bottom, other.bottom) - max(self.y, other.y)
        return max(0, width) * max(0, height)

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns of an array; for boxes that lie within it."""
        return slice(self.y, self.bottom), slice(self.x, self.right)


@dataclass(frozen=True, slots=True)
class Cut:
    """A rectangle to take out, and why; `text` is the part of it that the text itself covered."""

    box: Box
    why: Why
    text: Box | None = None


def merged(cuts: Iterable[Cut]) -> list[Cut]:
    """The same text found by several looks as one cut: those of like size that lie mostly on one another are united."""
    done: list[Cut] = []
    for cut in cuts:
        rest = []
        for other in done:
            if _is_same(cut, other):
                why = "identifier" if "identifier" in (cut.why, other.why) else other.why
                text = None if cut.text is None or other.text is None else cut.text.united(other.text)
                cut = Cut(cut.box.united(other.box), why, text)
            else:
                rest.append(other)
        done = [*rest, cut]
    return done


def _is_same(first: Cut, second: Cut) -> bool:
    if first.text is None or second.text is None:
        return False
    smaller, larger = sorted((first.box, second.box), key=lambda box: box.area)
    return larger.area <= 4 * smaller.area and 2 * smaller.common(larger) > smaller.area


def covered(boxes: Iterable[Box], rows: int, columns: int) -> npt.NDArray[np.bool_]:
    """Which pixels of a frame lie in any of the boxes."""
    found = np.zeros((rows, columns), np.bool_)
    for box in boxes:
        found[box.clipped(rows, columns).slices] = True
    return found


def outside(regions: Iterable[Box], rows: int, columns: int) -> list[Box]:
    """The frame without `regions`, as boxes that do not overlap, in bands of rows between their edges."""
    inside = [region for region in (each.clipped(rows, columns) for each in regions) if region.area]
    edges = sorted({0, rows, *(region.y for region in inside), *(region.bottom for region in inside)})
    found: list[Box] = []
    for top, bottom in pairwise(edges):
        across = sorted((region.x, region.right) for region in inside if region.y <= top and region.bottom >= bottom)
        x = 0
        for left, right in [*across, (columns, columns)]:
            if left > x:
                found.append(Box(x, top, left - x, bottom - top))
            x = max(x, right)
    return found
