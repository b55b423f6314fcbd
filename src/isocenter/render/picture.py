"""A JPEG, PNG or GIF picture decoded within bounds, scaled and encoded anew, free of everything but its pixels."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, Final

import imagecodecs
import numpy as np
import numpy.typing as npt

from isocenter.errors import LimitExceeded, Malformed, NotAnImage
from isocenter.picture import Picture, recognise
from isocenter.render.asked import IccProfile, Viewport
from isocenter.render.encode import DEFAULT_QUALITY, encode
from isocenter.render.icc import with_profile
from isocenter.render.resize import MOST_PIXELS
from isocenter.render.viewport import frame_picture, picture_size

_CODEC_ERRORS: Final = (RuntimeError, ValueError, TypeError, OverflowError, IndexError)
_ORIENTATION: Final = 0x0112


@dataclass(frozen=True, slots=True)
class PictureRequest:
    """What to make of a whole JPEG, PNG or GIF file; `width` in pixels, as is when None."""

    data: bytes
    media_type: str = "image/jpeg"
    width: int | None = None
    quality: int = DEFAULT_QUALITY
    most_pixels: int = MOST_PIXELS
    viewport: Viewport | None = None
    icc_profile: IccProfile | None = None


def render_picture(request: PictureRequest) -> bytes:
    """The picture as PNG, JPEG or GIF, of the first image where it is animated, turned upright as Exif says."""
    picture_size(1, 1, 1.0, request.width, request.viewport)
    pixels = frame_picture(decode_picture(request.data, request.most_pixels), 1.0, request.width, request.viewport)
    profile = None
    if request.icc_profile is not None:
        pixels, profile = with_profile(pixels, request.icc_profile, None)
    return encode(pixels, request.media_type, request.quality, profile)


def decode_picture(data: bytes, most_pixels: int = MOST_PIXELS) -> npt.NDArray[np.uint8]:
    """Pixels (rows, columns) or (rows, columns, 3) of 8 bits; transparency is laid on white."""
    picture = recognise(data)
    if picture is None:
        raise NotAnImage("the file is no JPEG, PNG or GIF")
    if picture.width * picture.height > most_pixels:
        raise LimitExceeded(f"the picture is over {most_pixels} pixels", code="render-limit")
    try:
        pixels = _decode(data, picture, most_pixels)
    except _CODEC_ERRORS as error:
        raise Malformed(
            f"the {picture.kind.upper()} picture cannot be decoded ({type(error).__name__})",
            code="decode-failed",
        ) from None
    return _plain(pixels)


def _decode(data: bytes, picture: Picture, most_pixels: int) -> npt.NDArray[Any]:
    found: npt.NDArray[Any]
    if picture.kind == "png":
        found = imagecodecs.png_decode(data)
    elif picture.kind == "gif":
        found = imagecodecs.gif_decode(_first_image(data, most_pixels), index=0)
    else:
        found = imagecodecs.jpeg8_decode(data)
        if found.ndim == 3 and found.shape[2] == 4:
            # Four inks; writers keep them inverted, with Adobe's marker to say so.
            inks = found.astype(np.uint16)
            found = (inks[..., :3] * inks[..., 3:] // 255).astype(np.uint8)
        found = upright(found, exif_orientation(data))
    return found


def _plain(pixels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Grey or RGB of 8 bits."""
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * np.uint8(255)
    if pixels.dtype.itemsize == 2:
        pixels = (pixels >> 8).astype(np.uint8)
    if pixels.ndim == 3 and pixels.shape[2] in (2, 4):
        alpha = pixels[..., -1:].astype(np.uint16)
        pixels = ((pixels[..., :-1] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] != 3):
        raise Malformed("the picture decodes to neither grey nor colour")
    return pixels


def _first_image(data: bytes, most_pixels: int) -> bytes:
    """A GIF cut after its first image, since the decoder would unpack every one of an animation."""
    flags = data[10]
    position = 13 + (3 << ((flags & 7) + 1) if flags & 0x80 else 0)
    while data[position : position + 1] == b"\x21":
        position = _after_blocks(data, position + 2)
    if data[position : position + 1] != b"\x2c" or position + 10 > len(data):
        raise Malformed("the GIF picture holds no image")
    _, _, width, height, local = struct.unpack_from("<4HB", data, position + 1)
    if width * height > most_pixels:
        raise LimitExceeded(f"the picture is over {most_pixels} pixels", code="render-limit")
    position += 10 + (3 << ((local & 7) + 1) if local & 0x80 else 0)
    return data[: _after_blocks(data, position + 1)] + b"\x3b"


def _after_blocks(data: bytes, position: int) -> int:
    """The place after a chain of sub-blocks, which a block of no length ends."""
    while position < len(data) and data[position]:
        position += 1 + data[position]
    return position + 1


def exif_orientation(data: bytes) -> int:
    """Exif Orientation 1-8 of a JPEG; 1 where there is none that can be read."""
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF and data[position + 1] not in (0xD9, 0xDA):
        (length,) = struct.unpack_from(">H", data, position + 2)
        body = data[position + 4 : position + 2 + length]
        if data[position + 1] == 0xE1 and body.startswith(b"Exif\0\0"):
            return _orientation(body[6:])
        position += 2 + length
    return 1


def _orientation(tiff: bytes) -> int:
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None or len(tiff) < 8:
        return 1
    (directory,) = struct.unpack_from(order + "I", tiff, 4)
    if directory + 2 > len(tiff):
        return 1
    (count,) = struct.unpack_from(order + "H", tiff, directory)
    for entry in range(directory + 2, min(directory + 2 + 12 * count, len(tiff) - 11), 12):
        tag, _, _, value = struct.unpack_from(order + "HHIH", tiff, entry)
        if tag == _ORIENTATION:
            return value if 1 <= value <= 8 else 1
    return 1


def upright(pixels: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """Undo Exif Orientation: 5 to 8 exchange rows and columns, then each value names the sides to flip."""
    if orientation >= 5:
        pixels = np.swapaxes(pixels, 0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = np.flip(pixels, 1)
    if orientation in (3, 4, 7, 8):
        pixels = np.flip(pixels, 0)
    return np.ascontiguousarray(pixels)
