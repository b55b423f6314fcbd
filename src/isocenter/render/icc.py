"""ICC profiles of pictures (PS3.18 8.3.5.1.5, PS3.3 C.11.15): which one holds, conversion to another, embedding."""

from __future__ import annotations

import struct
import zlib
from functools import lru_cache
from typing import Any, Final

import imagecodecs
import numpy as np
import numpy.typing as npt

from isocenter.dicom.data_set import DataSet
from isocenter.errors import LimitExceeded, Malformed, Unsupported
from isocenter.render.asked import IccProfile

Bytes = npt.NDArray[np.uint8]

PROFILE_TAG: Final = 0x00282000
OPTICAL_PATHS: Final = 0x00480105
# A marker segment holds 65,533 bytes, and each piece of a profile is headed by 14; there may be 255 pieces.
_JPEG_PIECE: Final = 65519
_MOST_PROFILE: Final = 255 * _JPEG_PIECE
_HEADER: Final = 128
_ROMM_PRIMARIES: Final = [0.7347, 0.2653, 1.0, 0.1596, 0.8404, 1.0, 0.0366, 0.0001, 1.0]
_D50: Final = [0.3457, 0.3585, 1.0]
_ENCODED_BY: Final = (RuntimeError, ValueError, TypeError, OverflowError)


def own_profile(data_set: DataSet) -> bytes | None:
    """The image's ICC Profile, for whole slides that of the first optical path; None where it has none."""
    places = [data_set, *data_set.items(OPTICAL_PATHS)[:1]]
    return next((found for found in (place.binary(PROFILE_TAG) for place in places) if found), None)


def with_profile(pixels: Bytes, wanted: IccProfile, own: bytes | None) -> tuple[Bytes, bytes | None]:
    """Pixels and the profile to embed with them, for the `iccprofile` asked for.

    Colour without a profile is taken as sRGB. Grey has no ICC profile in DICOM: with "yes" it gets one of grey with
    sRGB's curve, and a named space makes RGB of it.
    """
    if wanted == "no":
        return pixels, None
    if not imagecodecs.CMS.available:
        raise Unsupported("colour management is not built in here", code="no-colour-management")
    if pixels.ndim == 2:
        if wanted == "yes":
            return pixels, _grey()
        pixels, own = np.repeat(pixels[..., None], 3, axis=2), None
    if own is not None:
        _check(own)
    if wanted == "yes":
        return pixels, own or named_profile("srgb")
    target = named_profile(wanted)
    if own is None and wanted == "srgb":
        return pixels, target
    return _converted(pixels, own or named_profile("srgb"), target), target


def _check(profile: bytes) -> None:
    """An input profile of RGB, as C.11.15.1.1 asks; its inside is read by the colour engine alone."""
    if len(profile) > _MOST_PROFILE:
        raise LimitExceeded(f"ICCProfile is over {_MOST_PROFILE} bytes", code="render-limit")
    if len(profile) < _HEADER + 4 or profile[36:40] != b"acsp":
        raise Malformed("ICCProfile is no ICC profile")
    if profile[16:20] != b"RGB ":
        raise Unsupported("ICCProfile is of another colour space than RGB")


def _converted(pixels: Bytes, source: bytes, target: bytes) -> Bytes:
    try:
        found: Any = imagecodecs.cms_transform(
            np.ascontiguousarray(pixels), source, target, colorspace="rgb", outcolorspace="rgb"
        )
    except _ENCODED_BY as error:
        raise Malformed(f"ICCProfile cannot be used ({type(error).__name__})") from None
    return np.asarray(found, np.uint8)


@lru_cache(maxsize=4)
def named_profile(space: str) -> bytes:
    """The profile of sRGB (IEC 61966-2-1), Adobe RGB (1998) or ROMM RGB (ISO 22028-2, of gamma 1.8)."""
    if space == "rommrgb":
        made = imagecodecs.cms_profile("rgb", whitepoint=_D50, primaries=_ROMM_PRIMARIES, gamma=1.8)
    else:
        made = imagecodecs.cms_profile(space)
    return _undated(made)


@lru_cache(maxsize=1)
def _grey() -> bytes:
    level = np.arange(4096) / 4095
    linear = np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)
    curve = np.rint(linear * 65535).astype(np.uint16)
    return _undated(imagecodecs.cms_profile("gray", transferfunction=curve))


def _undated(profile: bytes) -> bytes:
    """Without the moment it was made, so that the same request gives the same bytes."""
    return profile[:24] + struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + profile[36:]


def embed(picture: bytes, profile: bytes, media_type: str) -> bytes:
    """An encoded picture with a profile in it: APP2 of JPEG, iCCP of PNG; GIF has no place for one."""
    if media_type == "image/png":
        body = b"ICC profile\0\0" + zlib.compress(profile)
        chunk = struct.pack(">I", len(body)) + b"iCCP" + body + struct.pack(">I", zlib.crc32(b"iCCP" + body))
        return picture[:33] + chunk + picture[33:]  # after the signature and IHDR
    if media_type != "image/jpeg":
        raise Unsupported("an ICC profile goes into image/jpeg and image/png only", code="no-profile-in-gif")
    pieces = [profile[at : at + _JPEG_PIECE] for at in range(0, len(profile), _JPEG_PIECE)]
    segments = b"".join(
        b"\xff\xe2" + struct.pack(">H", len(piece) + 16) + b"ICC_PROFILE\0" + bytes((number, len(pieces))) + piece
        for number, piece in enumerate(pieces, 1)
    )
    # JFIF's own segment comes first in the file, where there is one.
    start = 4 + struct.unpack_from(">H", picture, 4)[0] if picture[2:4] == b"\xff\xe0" else 2
    return picture[:start] + segments + picture[start:]
