"""Which part of an image is shown, which way round and how large (PS3.18 8.3.5.1.3, PS3.3 10.7)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from isocenter.dicom.data_set import DataSet
from isocenter.errors import BadRequest, LimitExceeded
from isocenter.render.functional_groups import functional_group
from isocenter.render.resize import MOST_PIXELS, resize

MOST_WIDTH = 16384
# Beyond this a spacing is a mistake, and honouring it would draw a line.
_MOST_ASPECT = 20.0
_PIXEL_MEASURES = 0x00289110
# Pixel Spacing, Imager Pixel Spacing, Nominal Scanned Pixel Spacing, Pixel Aspect Ratio.
_SPACINGS = (0x00280030, 0x00181164, 0x00182010, 0x00280034)


@dataclass(frozen=True, slots=True)
class Viewport:
    """The `viewport` parameter: the largest picture that fits `width` x `height`, of a region of the source image.

    The region is `region_width` x `region_height` source pixels, to the image's edge where None, from (`left`,
    `top`) on. A negative width mirrors left and right, a negative height top and bottom.
    """

    width: int
    height: int
    left: float = 0.0
    top: float = 0.0
    region_width: float | None = None
    region_height: float | None = None

    @classmethod
    def parse(cls, text: str) -> Viewport:
        """Read `vw,vh[,sx,sy,sw,sh]`, in which values after the first two may be left empty; raises BadRequest."""
        parts = [part.strip() for part in text.split(",")]
        if not 2 <= len(parts) <= 6:
            raise _wrong()
        try:
            width, height = int(parts[0]), int(parts[1])
            left, top, wide, high = (float(part) if part else None for part in (*parts[2:], *[""] * (6 - len(parts))))
        except ValueError:
            raise _wrong() from None
        found = cls(width, height, abs(left or 0.0), abs(top or 0.0), wide, high)
        found.check()
        return found

    def check(self) -> None:
        """Raise BadRequest where the numbers cannot be those of a viewport."""
        if not (1 <= self.width <= MOST_WIDTH and 1 <= self.height <= MOST_WIDTH):
            raise BadRequest(f"the viewport's width and height are between 1 and {MOST_WIDTH} pixels")
        region = (self.left, self.top, self.region_width or 1.0, self.region_height or 1.0)
        if not all(map(math.isfinite, region)) or 0 in (self.region_width, self.region_height):
            raise _wrong()

    def region(self, rows: int, columns: int) -> tuple[slice, slice]:
        """Rows and columns of the region, in whole pixels; BadRequest where none of it lies in the image."""
        down = _extent(self.top, self.region_height, rows)
        across = _extent(self.left, self.region_width, columns)
        if down.start >= down.stop or across.start >= across.stop:
            raise BadRequest("the viewport's source region lies outside the image")
        return down, across

    @property
    def mirrored(self) -> bool:
        return self.region_width is not None and self.region_width < 0

    @property
    def upside_down(self) -> bool:
        return self.region_height is not None and self.region_height < 0


def _wrong() -> BadRequest:
    return BadRequest("viewport is vw,vh or vw,vh,sx,sy,sw,sh: whole pixels, then decimal numbers (PS3.18 8.3.5.1.3)")


def _extent(start: float, length: float | None, most: int) -> slice:
    first = min(abs(start), float(most))
    end = float(most) if length is None else min(first + abs(length), float(most))
    return slice(math.floor(first), math.ceil(end))


def frame_picture(
    pixels: npt.NDArray[np.uint8], tall: float, width: int | None = None, viewport: Viewport | None = None
) -> npt.NDArray[np.uint8]:
    """Crop, turn and scale (rows, columns[, samples]) to square pixels; `tall` is a pixel's height over its width.

    `width` is the picture's in pixels; without it and a viewport, nothing is lost where pixels are not square.
    """
    if viewport is not None:
        viewport.check()
        pixels = pixels[viewport.region(*pixels.shape[:2])]
        if viewport.mirrored:
            pixels = pixels[:, ::-1]
        if viewport.upside_down:
            pixels = pixels[::-1]
    rows, columns = pixels.shape[:2]
    height, across = picture_size(rows, columns, tall, width, viewport)
    return resize(pixels, height, across)


def picture_size(
    rows: int, columns: int, tall: float, width: int | None = None, viewport: Viewport | None = None
) -> tuple[int, int]:
    """Height and width of the picture of so many rows and columns."""
    if width is not None and not 1 <= width <= MOST_WIDTH:
        raise LimitExceeded(f"the width of a rendered picture is between 1 and {MOST_WIDTH} pixels")
    height, natural = (rows * tall, float(columns)) if tall >= 1 else (float(rows), columns / tall)
    if height * natural > MOST_PIXELS:
        # Where stretching one way would be too much, the other way is shrunk; a huge frame itself keeps its size.
        height, natural = (float(rows), columns / tall) if tall >= 1 else (rows * tall, float(columns))
    scale = 1.0
    if viewport is not None:
        scale = min(viewport.width / natural, viewport.height / height)
    elif width is not None:
        scale = width / natural
    return max(1, round(height * scale)), max(1, round(natural * scale))


def pixel_aspect(data_set: DataSet, frame_number: int) -> float:
    """Height of a pixel over its width: from the spacing between rows and columns, else Pixel Aspect Ratio."""
    measures = functional_group(data_set, _PIXEL_MEASURES, frame_number)
    sources: list[tuple[Any, int]] = [(measures, 0x00280030)] if measures is not None else []
    sources += [(data_set, tag) for tag in _SPACINGS]
    for source, tag in sources:
        spacing = source.numbers(tag)
        if len(spacing) == 2 and all(math.isfinite(s) and s > 0 for s in spacing):
            tall = spacing[0] / spacing[1]
            # A thousandth is rounding in the header, not a shape.
            if 1 / _MOST_ASPECT <= tall <= _MOST_ASPECT and abs(tall - 1) > 1e-3:
                return float(tall)
            return 1.0
    return 1.0
