"""Decoded frames as display levels or colours of 8 bits, pixel for pixel: nothing is drawn over or scaled."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from isocenter.dicom.data_set import DataSet
from isocenter.dicom.decode import DecodedFrame
from isocenter.dicom.pixel_description import PixelDescription
from isocenter.errors import Unsupported
from isocenter.render.colour import to_bytes, ybr_to_rgb
from isocenter.render.palette import read_palette, supplemental_palette
from isocenter.render.voi import GreyTransform, read_transform, to_levels

GREY: Final = ("MONOCHROME1", "MONOCHROME2")
# YBR_RCT and YBR_ICT: their decoder has undone them.
_RGB: Final = ("RGB", "YBR_RCT", "YBR_ICT")


def shown(
    decoded: DecodedFrame,
    data_set: DataSet,
    description: PixelDescription,
    transform: GreyTransform | None,
    number: int,
) -> npt.NDArray[np.uint8]:
    """(rows, columns) of levels, or (rows, columns, 3) of red, green and blue."""
    photometric = decoded.photometric_interpretation
    whole = description.keyword == "PixelData"
    if transform is not None:
        levels = to_levels(decoded.pixels, transform)
        palette = supplemental_palette(data_set, number, signed=description.signed) if whole else None
        if palette is None:
            return levels
        # PS3.3 C.7.6.19: grey below the first value that the palette maps, colour from it on.
        coloured = decoded.pixels >= palette.first
        return np.where(coloured[..., None], palette.apply(decoded.pixels), levels[..., None]).astype(np.uint8)
    if photometric == "PALETTE COLOR" and whole:
        return read_palette(data_set, signed=description.signed).apply(decoded.pixels)
    if photometric in _RGB and whole:
        return to_bytes(decoded.pixels, description)
    if photometric in ("YBR_FULL", "YBR_PARTIAL_422") and whole:
        return ybr_to_rgb(to_bytes(decoded.pixels, description), partial=photometric == "YBR_PARTIAL_422")
    raise Unsupported("this PhotometricInterpretation is not shown", code="unsupported-photometric")


def transform_of(
    decoded: DecodedFrame, data_set: DataSet, description: PixelDescription, number: int
) -> GreyTransform | None:
    """How the stored values of a grey frame become levels; None for colour."""
    if decoded.photometric_interpretation not in GREY:
        return None
    return read_transform(data_set, description, number, None)


def padding_of(pixels: npt.NDArray[Any], transform: GreyTransform | None) -> npt.NDArray[np.bool_] | None:
    """Where a frame has Pixel Padding (PS3.3 C.7.5.1.1.2); None where it has none."""
    if transform is None or transform.padding is None or pixels.dtype.kind not in "iu":
        return None
    low, high = transform.padding
    marked: npt.NDArray[np.bool_] = (pixels >= low) & (pixels <= high)
    return marked if marked.any() else None
