"""Colour pixels of any depth and Photometric Interpretation to RGB of 8 bits (PS3.3 C.7.6.3.1.2)."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from isocenter.dicom.pixel_description import PixelDescription

Colours = npt.NDArray[np.uint8]

# What one step of blue and of red chrominance adds to green, blue and red, ITU-R BT.601; for the full range of
# 8 bits, and for luminance of 16 to 235 with chrominance of 16 to 240.
_FULL: Final = (1.0, 0.0, -0.344136, -0.714136, 1.772, 1.402)
_PARTIAL: Final = (255 / 219, -16.0, -0.344136 * 255 / 224, -0.714136 * 255 / 224, 1.772 * 255 / 224, 1.402 * 255 / 224)


def to_bytes(pixels: npt.NDArray[Any], description: PixelDescription) -> Colours:
    """Colour of any depth to 8 bits a sample; no window applies to colour (PS3.3 C.11.2)."""
    stored = description.bits_stored
    if pixels.dtype.kind == "i":
        # Colour is unsigned by definition: a Pixel Representation that says otherwise is a writer's slip.
        unsigned = np.dtype(f"u{pixels.dtype.itemsize}")
        pixels = pixels.view(unsigned) & unsigned.type((1 << stored) - 1)
    if stored > 8:
        return (pixels >> (stored - 8)).astype(np.uint8)
    if stored < 8:
        return (pixels.astype(np.uint16) * 255 // ((1 << stored) - 1)).astype(np.uint8)
    return pixels.astype(np.uint8, copy=False)


def ybr_to_rgb(pixels: Colours, *, partial: bool = False) -> Colours:
    """YBR_FULL, or with `partial` YBR_PARTIAL_4xx, to RGB by tables of the products in 1/65536."""
    gain, offset, green_blue, green_red, blue_step, red_step = _PARTIAL if partial else _FULL
    chroma = np.arange(-128, 128)

    def table(factor: float) -> npt.NDArray[np.int32]:
        steps: npt.NDArray[np.int32] = np.rint(chroma * factor * 65536).astype(np.int32)
        return steps

    luma, first, second = (pixels[..., channel] for channel in range(3))
    light = np.rint((np.arange(256) + offset) * gain * 65536).astype(np.int32) + 32768
    base = light.take(luma)
    found = np.empty(pixels.shape, np.uint8)
    found[..., 0] = np.clip((base + table(red_step).take(second)) >> 16, 0, 255)
    found[..., 1] = np.clip((base + table(green_blue).take(first) + table(green_red).take(second)) >> 16, 0, 255)
    found[..., 2] = np.clip((base + table(blue_step).take(first)) >> 16, 0, 255)
    return found
