"""One frame of a DICOM image, as a picture people can look at (PS3.18 8.3.5.1, Rendered Media Types)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from isocenter.dicom.data_set import DataSet
from isocenter.dicom.decode import MOST_SAMPLES, DecodedFrame, decode_frame
from isocenter.dicom.pixel_description import NATIVE, PixelDescription
from isocenter.errors import Malformed, Unsupported
from isocenter.render.annotation import PATIENT_TAGS, TECHNIQUE_TAGS, annotate
from isocenter.render.asked import Annotation, IccProfile, Viewport, WindowFunction
from isocenter.render.colour import to_bytes, ybr_to_rgb
from isocenter.render.encode import DEFAULT_QUALITY, GIF, encode
from isocenter.render.icc import OPTICAL_PATHS, PROFILE_TAG, own_profile, with_profile
from isocenter.render.overlay import FrameSource, draw_overlays, has_overlays
from isocenter.render.palette import Palette, read_palette, supplemental_palette
from isocenter.render.viewport import frame_picture, picture_size, pixel_aspect
from isocenter.render.voi import GreyTransform, Voi, read_transform, to_levels

Bytes = npt.NDArray[np.uint8]

# What may be drawn outside a worker: arithmetic on so much takes well under a second.
_PLAIN_BYTES: Final = 64 << 20
_PLAIN_TABLES: Final = 4 << 20
_PLAIN_PIXELS: Final = 1 << 24


@dataclass(frozen=True, slots=True)
class FrameRequest:
    """What to render: picklable, so that it can go to a worker.

    `model` is the header in the DICOM JSON model, best cut down by `rendering_model`; `data` the frame's codestream
    or, for native pixel data, the bytes `PixelDescription.frame_span(frame_number)` names. `frame_number` counts
    from 1. `window` is (centre, width) in modality units, by `window_function` or the Data Set's own where None;
    `width` the picture's in pixels, as is when None; `viewport` goes before it. `overlays` of type G are drawn
    unless it is False, `annotations` only where named. `icc_profile` None leaves pictures without one.
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
    window_function: WindowFunction | None = None
    viewport: Viewport | None = None
    overlays: bool = True
    annotations: tuple[Annotation, ...] = ()
    icc_profile: IccProfile | None = None


def needed_tags(annotations: tuple[Annotation, ...], icc_profile: IccProfile | None) -> list[int]:
    """Attributes that such a request needs beside those `rendering_model` keeps."""
    found = list(PATIENT_TAGS) if "patient" in annotations else []
    found += TECHNIQUE_TAGS if "technique" in annotations else ()
    return found + ([PROFILE_TAG, OPTICAL_PATHS] if icc_profile not in (None, "no") else [])


def render_frame(request: FrameRequest) -> bytes:
    """PNG, JPEG or GIF bytes; raises Malformed, Unsupported or LimitExceeded for data that cannot be shown.

    The order is PS3.4 N.2's: stored values to display levels, overlays, the region and size asked for, the colour
    space, and annotations over it all. BadRequest says that the viewport lies outside the image.
    """
    if request.window is not None and not all(map(math.isfinite, request.window)):
        raise Malformed("the window asked for is not finite")
    data_set = DataSet(request.model)
    description = PixelDescription.from_data_set(data_set, request.transfer_syntax_uid)
    number = request.frame_number
    if not 1 <= number <= description.number_of_frames:
        raise Malformed("the frame number lies outside NumberOfFrames")
    tall = pixel_aspect(data_set, number)
    # Before anything is decoded: what was asked for has to be possible.
    picture_size(description.rows, description.columns, tall, request.width, request.viewport)
    skip_bits = 0 if description.encapsulated else description.frame_span(number).skip_bits
    decoded = decode_frame(description, request.data, skip_bits=skip_bits, most_samples=request.most_samples)
    shown, voi = _to_display(decoded, data_set, description, request)
    if request.overlays and has_overlays(data_set):
        source = FrameSource(number, request.data, skip_bits, request.most_samples)
        shown = draw_overlays(shown, data_set, description, source)
    shown = frame_picture(shown, tall, request.width, request.viewport)
    profile = None
    if request.icc_profile is not None:
        shown, profile = with_profile(shown, request.icc_profile, own_profile(data_set))
    if request.annotations:
        shown = annotate(shown, data_set, description, number, request.annotations, voi)
    return encode(shown, request.media_type, request.quality, profile)


def is_plain(request: FrameRequest) -> bool:
    """Whether no codec and no colour engine reads the data, and what is to be computed is bounded and short.

    Native pixel data is only arithmetic on arrays of a size that was checked; the encoder that follows reads
    nothing but what that made.
    """
    if request.transfer_syntax_uid not in NATIVE or len(request.data) > _PLAIN_BYTES:
        return False
    if request.icc_profile not in (None, "no") or request.media_type == GIF:
        return False
    tables = sum(len(value["InlineBinary"]) for value in request.model.values() if "InlineBinary" in value)
    if tables > _PLAIN_TABLES:
        return False
    data_set = DataSet(request.model)
    pixels = (data_set.integer(0x00280010) or 0) * (data_set.integer(0x00280011) or 0)
    asked = 0 if request.width is None else request.width * request.width
    if request.viewport is not None:
        asked = request.viewport.width * request.viewport.height
    return max(pixels, asked) <= _PLAIN_PIXELS


def _to_display(
    decoded: DecodedFrame, data_set: DataSet, description: PixelDescription, request: FrameRequest
) -> tuple[Bytes, Voi | None]:
    """Display levels or colours, and the VOI transform where it is known from the request or the Data Set."""
    photometric = decoded.photometric_interpretation
    whole = description.keyword == "PixelData"
    if photometric in ("MONOCHROME1", "MONOCHROME2"):
        number = request.frame_number
        transform = read_transform(data_set, description, number, request.window, request.window_function)
        palette = supplemental_palette(data_set, number, signed=description.signed) if whole else None
        if palette is None:
            return to_levels(decoded.pixels, transform), transform.voi
        return _partly_coloured(decoded.pixels, transform, palette), transform.voi
    if photometric == "PALETTE COLOR" and whole:
        return read_palette(data_set, signed=description.signed).apply(decoded.pixels), None
    # YBR_RCT and YBR_ICT: only a JPEG 2000 codestream has these, and its decoder has undone them; elsewhere the label
    # is a leftover.
    if photometric in ("RGB", "YBR_RCT", "YBR_ICT") and whole:
        return to_bytes(decoded.pixels, description), None
    if photometric in ("YBR_FULL", "YBR_PARTIAL_422") and whole:
        partial = photometric == "YBR_PARTIAL_422"
        return ybr_to_rgb(to_bytes(decoded.pixels, description), partial=partial), None
    raise Unsupported("this PhotometricInterpretation is not rendered", code="unsupported-photometric")


def _partly_coloured(pixels: npt.NDArray[Any], transform: GreyTransform, palette: Palette) -> Bytes:
    """Grey below the first value that the supplemental palette maps, colour from it on (PS3.3 C.7.6.19)."""
    coloured = pixels >= palette.first
    if coloured.all():
        return palette.apply(pixels)
    # Colours are no greys: they must not count for the grey values' range.
    grey = np.where(coloured, pixels[~coloured].min(), pixels)
    found = np.repeat(to_levels(grey, transform)[..., None], 3, axis=2)
    found[coloured] = palette.apply(pixels)[coloured]
    return found
