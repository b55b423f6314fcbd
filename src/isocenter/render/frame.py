"""One frame of a DICOM image, as a picture people can look at (PS3.18 8.3.5.1, Rendered Media Types)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from isocenter.dicom.data_set import DataSet
from isocenter.dicom.decode import MOST_SAMPLES, DecodedFrame, decode_frame
from isocenter.dicom.pixel_description import PixelDescription
from isocenter.errors import LimitExceeded, Malformed, Unsupported
from isocenter.render.encode import DEFAULT_QUALITY, encode
from isocenter.render.functional_groups import functional_group
from isocenter.render.palette import apply_palette
from isocenter.render.resize import MOST_PIXELS, resize
from isocenter.render.voi import read_transform, to_levels

Colours = npt.NDArray[np.uint8]

MOST_WIDTH = 16384
# Beyond this a spacing is a mistake, and honouring it would draw a line.
_MOST_ASPECT = 20.0


@dataclass(frozen=True, slots=True)
class FrameRequest:
    """What to render: picklable, so that it can go to a worker.

    `model` is the header in the DICOM JSON model, best cut down by `rendering_model`; `data` the frame's codestream
    or, for native pixel data, the bytes `PixelDescription.frame_span(frame_number)` names. `frame_number` counts
    from 1. `window` is (centre, width) in modality units; `width` the picture's in pixels, as is when None.
    """

    model: Mapping[str, Mapping[str, Any]]
    transfer_syntax_uid: str
    data: bytes
    frame_number: int = 1
    media_type: str = "image/jpeg"
    window: tuple[float, float] | None = None
    width: int | None = None
    quality: int = DEFAULT_QUALITY
    most_samples: int = MOST_SAMPLES


def render_frame(request: FrameRequest) -> bytes:
    """PNG or JPEG bytes; raises Malformed, Unsupported or LimitExceeded for data that cannot be shown."""
    if request.width is not None and not 1 <= request.width <= MOST_WIDTH:
        raise LimitExceeded(f"the width of a rendered picture is between 1 and {MOST_WIDTH} pixels")
    if request.window is not None and not all(map(math.isfinite, request.window)):
        raise Malformed("the window asked for is not finite")
    data_set = DataSet(request.model)
    description = PixelDescription.from_data_set(data_set, request.transfer_syntax_uid)
    if not 1 <= request.frame_number <= description.number_of_frames:
        raise Malformed("the frame number lies outside NumberOfFrames")
    skip_bits = 0 if description.encapsulated else description.frame_span(request.frame_number).skip_bits
    decoded = decode_frame(description, request.data, skip_bits=skip_bits, most_samples=request.most_samples)
    shown = _to_display(decoded, data_set, description, request)
    height, width = display_size(data_set, description, request.frame_number, request.width)
    if shown.shape[:2] != (height, width):
        shown = resize(shown, height, width)
    return encode(shown, request.media_type, request.quality)


def _to_display(
    decoded: DecodedFrame, data_set: DataSet, description: PixelDescription, request: FrameRequest
) -> npt.NDArray[np.uint8]:
    photometric = decoded.photometric_interpretation
    if photometric in ("MONOCHROME1", "MONOCHROME2"):
        return to_levels(decoded.pixels, read_transform(data_set, description, request.frame_number, request.window))
    if photometric == "PALETTE COLOR":
        return apply_palette(decoded.pixels, data_set, signed=description.signed)
    if photometric == "RGB" and description.keyword == "PixelData":
        return _to_bytes(decoded.pixels, description)
    if photometric in ("YBR_RCT", "YBR_ICT"):
        # Only a JPEG 2000 codestream has these, and its decoder has undone them; elsewhere the label is a leftover.
        return _to_bytes(decoded.pixels, description)
    if photometric == "YBR_FULL":
        return ybr_to_rgb(_to_bytes(decoded.pixels, description))
    raise Unsupported("this PhotometricInterpretation is not rendered", code="unsupported-photometric")


def _to_bytes(pixels: npt.NDArray[Any], description: PixelDescription) -> Colours:
    """Colour of any depth to 8 bits a sample; no window applies to colour (PS3.3 C.11.2)."""
    stored = description.bits_stored
    if description.signed:
        raise Unsupported("PixelRepresentation is signed in a colour image", code="unsupported-depth")
    if stored > 8:
        return (pixels >> (stored - 8)).astype(np.uint8)
    if stored < 8:
        return (pixels.astype(np.uint16) * 255 // ((1 << stored) - 1)).astype(np.uint8)
    return pixels.astype(np.uint8, copy=False)


def ybr_to_rgb(pixels: Colours) -> Colours:
    """YBR_FULL to RGB (PS3.3 C.7.6.3.1.2, after ITU-R BT.601), by tables of the products in 1/65536."""
    chroma = np.arange(-128, 128)
    red = np.rint(chroma * 1.402 * 65536).astype(np.int32) + 32768
    blue = np.rint(chroma * 1.772 * 65536).astype(np.int32) + 32768
    green_blue = np.rint(chroma * -0.344136 * 65536).astype(np.int32) + 32768
    green_red = np.rint(chroma * -0.714136 * 65536).astype(np.int32)
    luma, first, second = (pixels[..., channel] for channel in range(3))
    base = luma.astype(np.int32)
    found = np.empty(pixels.shape, np.uint8)
    found[..., 0] = np.clip(base + (red.take(second) >> 16), 0, 255)
    found[..., 1] = np.clip(base + ((green_blue.take(first) + green_red.take(second)) >> 16), 0, 255)
    found[..., 2] = np.clip(base + (blue.take(first) >> 16), 0, 255)
    return found


def display_size(
    data_set: DataSet, description: PixelDescription, frame_number: int, width: int | None = None
) -> tuple[int, int]:
    """Height and width, in square pixels, of the picture of a frame; nothing is lost where pixels are not square."""
    rows, columns = description.rows, description.columns
    tall = _aspect(data_set, frame_number)
    height, natural = (rows * tall, float(columns)) if tall >= 1 else (float(rows), columns / tall)
    if height * natural > MOST_PIXELS:
        # Where stretching one way would be too much, the other way is shrunk; a huge frame itself keeps its size.
        height, natural = (float(rows), columns / tall) if tall >= 1 else (rows * tall, float(columns))
    if width is not None:
        height, natural = height * width / natural, float(width)
    return max(1, round(height)), max(1, round(natural))


def _aspect(data_set: DataSet, frame_number: int) -> float:
    """Height of a pixel over its width: from the spacing between rows and columns, else Pixel Aspect Ratio."""
    measures = functional_group(data_set, 0x00289110, frame_number)
    sources = [(measures, 0x00280030)] if measures is not None else []
    sources += [(data_set, tag) for tag in (0x00280030, 0x00181164, 0x00182010, 0x00280034)]
    for source, tag in sources:
        spacing = source.numbers(tag)
        if len(spacing) == 2 and all(math.isfinite(s) and s > 0 for s in spacing):
            tall = spacing[0] / spacing[1]
            # A thousandth is rounding in the header, not a shape.
            if 1 / _MOST_ASPECT <= tall <= _MOST_ASPECT and abs(tall - 1) > 1e-3:
                return tall
            return 1.0
    return 1.0
