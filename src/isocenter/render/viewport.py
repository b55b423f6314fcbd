"""Which part of an image is shown, which way round and how large (PS3.18 8.3.5.1.3, PS3.3 10.7)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from isocenter.dicom.data_set import DataSet
from isocenter.errors import LimitExceeded
from isocenter.render.asked import MOST_WIDTH, Viewport
from isocenter.render.functional_groups import functional_group
from isocenter.render.resize import MOST_PIXELS, resize

# Beyond this a spacing is a mistake, and honouring it would draw a line.
_MOST_ASPECT = 20.0
_PIXEL_MEASURES = 0x00289110
# Pixel Spacing, Imager Pixel Spacing, Nominal Scanned Pixel Spacing, Pixel Aspect Ratio.
_SPACINGS = (0x00280030, 0x00181164, 0x00182010, 0x00280034)


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
