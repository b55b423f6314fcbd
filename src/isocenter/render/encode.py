"""Display levels to PNG or JPEG bytes."""

from __future__ import annotations

from typing import Any, Literal

import imagecodecs
import numpy as np
import numpy.typing as npt

from isocenter.errors import LimitExceeded, Unsupported

MediaType = Literal["image/png", "image/jpeg"]
JPEG = "image/jpeg"
PNG = "image/png"
DEFAULT_QUALITY = 90
# The JPEG format's own limit is 65,535; libjpeg keeps a margin.
_MOST_JPEG_SIDE = 65500


def encode(pixels: npt.NDArray[np.uint8], media_type: str, quality: int = DEFAULT_QUALITY) -> bytes:
    """Encode (rows, columns) or (rows, columns, 3); `quality` 1-100 counts for JPEG alone."""
    pixels = np.ascontiguousarray(pixels)
    if media_type == PNG:
        # Filtering by the row above and coding runs only is three times as fast as level 1, and no larger.
        found: Any = imagecodecs.png_encode(
            pixels, level=1, strategy=imagecodecs.PNG.STRATEGY.RLE, filter=imagecodecs.PNG.FILTER.UP
        )
        return bytes(found)
    if media_type != JPEG:
        raise Unsupported("pictures are made as image/png or image/jpeg only")
    if max(pixels.shape[:2]) > _MOST_JPEG_SIDE:
        raise LimitExceeded(f"a JPEG has at most {_MOST_JPEG_SIDE} pixels a side; ask for image/png or a width")
    quality = min(100, max(1, quality))
    if pixels.ndim == 2:
        return bytes(imagecodecs.jpeg8_encode(pixels, level=quality))
    # Colour overlays and Doppler are one pixel wide: chrominance is kept whole.
    return bytes(
        imagecodecs.jpeg8_encode(pixels, level=quality, colorspace="RGB", outcolorspace="YCBCR", subsampling="444")
    )
