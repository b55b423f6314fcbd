"""Connected regions of a mask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Region:
    """Pixels that touch by their sides: `number` marks them in the labelled array; the box is in whole pixels."""

    number: int
    area: int
    x: int
    y: int
    width: int
    height: int
    at_edge: bool

    @property
    def solidity(self) -> float:
        """How much of its box it fills."""
        return self.area / (self.width * self.height)


def regions_of(mask: Mask) -> tuple[npt.NDArray[np.int32], list[Region]]:
    """The mask with each region's number, 0 elsewhere, and the regions, largest first."""
    rows, columns = mask.shape
    steps = np.diff(np.pad(mask.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    row, start = np.nonzero(steps == 1)
    end = np.nonzero(steps == -1)[1]
    labels = np.zeros(mask.shape, np.int32)
    if not row.size:
        return labels, []
    roots = _united(row, start, end, rows)
    numbers, of_run = np.unique(roots, return_inverse=True)
    labels[mask] = np.repeat(of_run + 1, end - start)
    count = len(numbers)
    area = np.bincount(of_run, weights=end - start, minlength=count).astype(int)
    left, top = np.full(count, columns), np.full(count, rows)
    right, bottom = np.zeros(count, int), np.zeros(count, int)
    np.minimum.at(left, of_run, start)
    np.maximum.at(right, of_run, end)
    np.minimum.at(top, of_run, row)
    np.maximum.at(bottom, of_run, row + 1)
    edge = (left == 0) | (top == 0) | (right == columns) | (bottom == rows)
    order = np.argsort(-area, kind="stable")
    return labels, [
        Region(
            int(n) + 1, int(area[n]), int(left[n]), int(top[n]), int(right[n] - left[n]), int(bottom[n] - top[n]),
            bool(edge[n]),
        )
        for n in order
    ]  # fmt: skip


def _united(
    row: npt.NDArray[np.intp], start: npt.NDArray[np.intp], end: npt.NDArray[np.intp], rows: int
) -> npt.NDArray[np.intp]:
    """For each run of pixels the first run of its region."""
    parent = list(range(len(row)))

    def root(run: int) -> int:
        while parent[run] != run:
            parent[run] = parent[parent[run]]
            run = parent[run]
        return run

    first = np.searchsorted(row, np.arange(rows + 1)).tolist()
    starts, ends = start.tolist(), end.tolist()
    for line in range(1, rows):
        above, here = first[line - 1], first[line]
        while above < first[line] and here < first[line + 1]:
            if starts[above] < ends[here] and starts[here] < ends[above]:
                one, other = root(above), root(here)
                parent[max(one, other)] = min(one, other)
            if ends[above] < ends[here]:
                above += 1
            else:
                here += 1
    return np.array([root(run) for run in range(len(parent))], np.intp)


def filled(mask: Mask) -> Mask:
    """With everything that the mask encloses."""
    labels, regions = regions_of(~mask)
    outside = np.array([0, *(0 for _ in regions)], np.bool_)
    for region in regions:
        outside[region.number] = region.at_edge
    found: Mask = ~outside[labels] | mask
    return found


def widened(mask: Mask, by: int) -> Mask:
    """With every pixel within `by` rows and columns of it."""
    found = mask
    for axis in (0, 1):
        padded = np.pad(found, [(by, by) if each == axis else (0, 0) for each in (0, 1)])
        sums = np.cumsum(padded, axis=axis)
        sums = np.concatenate([np.zeros_like(np.take(sums, [0], axis)), sums], axis=axis)
        size = mask.shape[axis]
        found = np.take(sums, range(2 * by + 1, 2 * by + 1 + size), axis) > np.take(sums, range(size), axis)
    return found
