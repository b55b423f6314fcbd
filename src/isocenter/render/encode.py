"""Display levels to PNG, JPEG or GIF bytes."""

from __future__ import annotations

from typing import Any, Literal

import imagecodecs
import numpy as np
import numpy.typing as npt

from isocenter.errors import LimitExceeded, Unsupported
from isocenter.render.gif import encode_gif
from isocenter.render.icc import embed

MediaType = Literal["image/png", "image/jpeg", "image/gif"]
JPEG = "image/jpeg"
PNG = "image/png"
GIF = "image/gif"
DEFAULT_QUALITY = 90
# The JPEG format's own limit is 65,535; libjpeg keeps a margin.
_MOST_JPEG_SIDE = 65500


def encode(
    pixels: npt.NDArray[np.uint8], media_type: str, quality: int = DEFAULT_QUALITY, profile: bytes | None = None
) -> bytes:
    """Encode (rows, columns) or (rows, columns, 3) with an ICC profile; `quality` 1-100 counts for JPEG alone."""
    # Views of one row or column count as contiguous whatever their strides, on which the encoders insist.
    pixels = pixels.copy(order="C") if 1 in pixels.shape else np.ascontiguousarray(pixels)
    if media_type == PNG:
        made = _png(pixels)
    elif media_type == GIF:
        made = encode_gif(pixels)
    elif media_type == JPEG:
        made = _jpeg(pixels, min(100, max(1, quality)))
    else:
        raise Unsupported("pictures are made as image/png, image/jpeg or image/gif only")
    return made if profile is None else embed(made, profile, media_type)


def _png(pixels: npt.NDArray[np.uint8]) -> bytes:
    # Filtering by the row above and coding runs only is three times as fast as level 1, and no larger.
    found: Any = imagecodecs.png_encode(
        pixels, level=1, strategy=imagecodecs.PNG.STRATEGY.RLE, filter=imagecodecs.PNG.FILTER.UP
    )
    return bytes(found)


def _jpeg(pixels: npt.NDArray[np.uint8], quality: int) -> bytes:
    if max(pixels.shape[:2]) > _MOST_JPEG_SIDE:
        raise LimitExceeded(f"a JPEG has at most {_MOST_JPEG_SIDE} pixels a side; ask for image/png or a width")
    if pixels.ndim == 2:
        return bytes(imagecodecs.jpeg8_encode(pixels, level=quality))
    # Colour overlays and Doppler are one pixel wide: chrominance is kept whole.
    return bytes(
        imagecodecs.jpeg8_encode(pixels, level=quality, colorspace="RGB", outcolorspace="YCBCR", subsampling="444")
    )
