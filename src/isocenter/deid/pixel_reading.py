"""Reads the text of a frame: in several views, at several scales, in both polarities, and only where it is new."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from isocenter.deid.boxes import Box
from isocenter.deid.pixel_views import Display, Picture, View
from isocenter.ports.detector import TextBox, TextDetector

_TILE: Final = 1024  # pixels a detector is given at once, either way, after scaling: its memory grows with them
_OVERLAP: Final = 192
_FLAT: Final = 6  # levels of 255: what differs by less holds no text
_SMALL, _LARGE, _HUGE = 800, 1000, 3000  # of a frame's longer side: enlarged, reduced to half, and to a quarter
_BLOCK: Final = 32
_KEPT: Final = 8  # contents of each block that are remembered


@dataclass(frozen=True, slots=True)
class Look:
    """What one look read, in the frame's coordinates, and how large it saw the frame."""

    boxes: list[TextBox]
    scale: float


class Reader:
    """Looks at frames with one detector."""

    def __init__(self, detector: TextDetector, display: Display) -> None:
        self._detector = detector
        self._display = display
        self.looks = 0  # pictures the detector was given

    def read(self, pixels: npt.NDArray[Any], photometric: str, regions: list[Box]) -> Iterator[Look]:
        """For each look at a region what it read; the finest come first."""
        if not regions:
            return
        longest = max(pixels.shape[:2])
        first, others = self._display.views(pixels, photometric)
        for region in regions:
            yield self._look(first, region, 1.0, inverted=False)
            yield self._look(first, region, 1.0, inverted=True)
            for number, view in enumerate(others):
                yield self._look(view, region, 1.0, inverted=number == 0)
            if longest <= _SMALL:
                yield self._look(first, region, 2.0, inverted=False)
            for least, scale in ((_LARGE, 0.5), (_HUGE, 0.25)):
                if longest >= least:
                    yield self._look(first, region, scale, inverted=False)

    def _look(self, view: View, region: Box, scale: float, *, inverted: bool) -> Look:
        left, top = max(region.x, view.part.x), max(region.y, view.part.y)
        right, bottom = min(region.right, view.part.right), min(region.bottom, view.part.bottom)
        found: list[TextBox] = []
        if right <= left or bottom <= top:
            return Look(found, scale)
        for tile in _tiles(Box(left, top, right - left, bottom - top), round(_TILE / scale), round(_OVERLAP / scale)):
            picture = view.picture[tile.slices]
            if int(picture.max()) - int(picture.min()) < _FLAT:
                continue
            scaled = _scaled(255 - picture if inverted else picture, scale)
            self.looks += 1
            for box in self._detector.find(np.ascontiguousarray(scaled)):
                x, y = int(box.x / scale), int(box.y / scale)
                width, height = int(np.ceil(box.width / scale)) + 1, int(np.ceil(box.height / scale)) + 1
                if scale == 1:
                    width, height = box.width, box.height
                found.append(TextBox(box.text, box.confidence, tile.x + x, tile.y + y, width, height))
        return Look(found, scale)


class News:
    """Tells which parts of a frame were in no frame before it, by blocks; remembers a few contents of each."""

    def __init__(self) -> None:
        self._known: npt.NDArray[np.uint64] | None = None
        self._next = 0
        # Random, so that nobody can make two blocks that only seem the same.
        self._weights = np.random.default_rng().integers(1, 1 << 63, (_BLOCK, _BLOCK), np.uint64) | np.uint64(1)

    def regions(self, pixels: npt.NDArray[Any]) -> list[Box]:
        """Boxes around what is new in this frame, with room for the text it may be a part of."""
        sums = self._sums(pixels)
        rows, columns = pixels.shape[:2]
        if self._known is None:
            self._known = np.repeat(sums[np.newaxis], _KEPT, axis=0)
            return [Box(0, 0, columns, rows)]
        new = ~(self._known == sums).any(axis=0)
        if not new.any():
            return []
        self._next = (self._next + 1) % _KEPT
        self._known[self._next][new] = sums[new]
        wide = _widened(_widened(new))
        if np.count_nonzero(wide) > wide.size // 2:
            return [Box(0, 0, columns, rows)]
        return [
            Box(box.x * _BLOCK, box.y * _BLOCK, box.width * _BLOCK, box.height * _BLOCK).clipped(rows, columns)
            for box in _islands(wide)
        ]

    def forget(self, boxes: Iterable[Box]) -> None:
        """Let what stands in these boxes be new wherever it is seen next."""
        known = self._known
        for box in boxes if known is not None else ():
            assert known is not None
            down = slice(box.y // _BLOCK, -(-box.bottom // _BLOCK))
            known[:, down, box.x // _BLOCK : -(-box.right // _BLOCK)] = 0

    def _sums(self, pixels: npt.NDArray[Any]) -> npt.NDArray[np.uint64]:
        """A number for the content of each block."""
        rows, columns = pixels.shape[:2]
        down, across = -(-rows // _BLOCK), -(-columns // _BLOCK)
        total = np.zeros((down, across), np.uint64)
        planes = pixels if pixels.ndim == 3 else pixels[..., np.newaxis]
        for number in range(planes.shape[2]):
            words = np.ascontiguousarray(planes[..., number]).view(f"u{planes.dtype.itemsize}")
            factor = np.uint64((2 * number + 1) * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF)
            for band in range(down):
                part = words[band * _BLOCK : (band + 1) * _BLOCK].astype(np.uint64) + np.uint64(1)
                part *= np.tile(self._weights[: part.shape[0]], across)[:, :columns]
                # Mixed, as sums of products alone keep low bits apart from high ones.
                part ^= part >> np.uint64(29)
                ends = np.arange(0, columns, _BLOCK)
                total[band] += np.add.reduceat(part.sum(axis=0, dtype=np.uint64), ends) * factor
        return np.maximum(total, np.uint64(1))


def _widened(marked: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """With every marked block its eight neighbours."""
    down = marked.copy()
    down[1:] |= marked[:-1]
    down[:-1] |= marked[1:]
    found = down.copy()
    found[:, 1:] |= down[:, :-1]
    found[:, :-1] |= down[:, 1:]
    return found


def _islands(marked: npt.NDArray[np.bool_]) -> list[Box]:
    """Boxes around marked blocks that touch; boxes that overlap become one."""
    left = {(int(row), int(column)) for row, column in np.argwhere(marked)}
    found: list[Box] = []
    while left:
        start = left.pop()
        box, edge = Box(start[1], start[0], 1, 1), [start]
        while edge:
            row, column = edge.pop()
            for near in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
                if near in left:
                    left.remove(near)
                    edge.append(near)
                    box = box.united(Box(near[1], near[0], 1, 1))
        for other in [each for each in found if each.common(box)]:
            found.remove(other)
            box = box.united(other)
        found.append(box)
    return found


def _tiles(region: Box, size: int, overlap: int) -> Iterator[Box]:
    for y, height in _steps(region.y, region.height, size, overlap):
        for x, width in _steps(region.x, region.width, size, overlap):
            yield Box(x, y, width, height)


def _steps(start: int, length: int, size: int, overlap: int) -> Iterator[tuple[int, int]]:
    """Parts of equal length that overlap by at least so much; one where it fits."""
    if length <= size:
        yield start, length
        return
    count = -(-(length - overlap) // (size - overlap))
    for number in range(count):
        yield start + number * (length - size) // (count - 1), size


def _scaled(picture: Picture, scale: float) -> Picture:
    """Twice as large by linear interpolation, or smaller by means of whole pixels."""
    if scale == 1:
        return picture
    if scale > 1:
        return _doubled(_doubled(picture, 0), 1)
    by = round(1 / scale)
    rows, columns = picture.shape[0] // by * by, picture.shape[1] // by * by
    if not rows or not columns:
        return picture[:1, :1]
    shape = (rows // by, by, columns // by, by, *picture.shape[2:])
    found: Picture = picture[:rows, :columns].reshape(shape).mean(axis=(1, 3), dtype=np.float32).astype(np.uint8)
    return found


def _doubled(picture: Picture, axis: int) -> Picture:
    """Each pixel and the mean of it and the next."""
    wide = np.repeat(picture, 2, axis=axis)
    lines = np.moveaxis(wide, axis, 0)
    lines[1:-1:2] = (lines[1:-1:2].astype(np.uint16) + lines[2::2] + 1) // 2
    return wide
