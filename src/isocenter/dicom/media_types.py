"""The media type of each transfer syntax's frames, and the default transfer syntax of each media type.

PS3.18 8.7.3.3 (tables for single frame and multi-frame media types) and 8.7.3.5.2 (bulk data), edition 2024e.
"""

from __future__ import annotations

from typing import Final

from isocenter.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN, NATIVE

OCTET_STREAM: Final = "application/octet-stream"
_JPEG_FAMILY = "1.2.840.10008.1.2.4."

# The first of each is the default of its media type.
SYNTAXES: Final[dict[str, tuple[str, ...]]] = {
    OCTET_STREAM: (EXPLICIT_VR_LITTLE_ENDIAN,),
    "image/jpeg": tuple(_JPEG_FAMILY + end for end in ("70", "50", "51", "57")),
    "image/jls": tuple(_JPEG_FAMILY + end for end in ("80", "81")),
    "image/jp2": tuple(_JPEG_FAMILY + end for end in ("90", "91")),
    "image/jpx": tuple(_JPEG_FAMILY + end for end in ("92", "93")),
    "image/jphc": tuple(_JPEG_FAMILY + end for end in ("201", "202", "203")),
    "image/jxl": tuple(_JPEG_FAMILY + end for end in ("110", "111", "112")),
    "image/dicom-rle": ("1.2.840.10008.1.2.5",),
}
# What two of them were called before the standard settled on their names (PS3.18 8.7.3.3.2, note 3).
FORMER: Final = {"image/x-jls": "image/jls", "image/x-dicom-rle": "image/dicom-rle"}
_MEDIA_TYPES: Final = {syntax: media for media, syntaxes in SYNTAXES.items() for syntax in syntaxes}


def media_type_of(transfer_syntax_uid: str) -> str:
    """What frames in this transfer syntax are sent as; octets where they are native or no media type is theirs."""
    return OCTET_STREAM if transfer_syntax_uid in NATIVE else _MEDIA_TYPES.get(transfer_syntax_uid, OCTET_STREAM)


def chosen_syntax(media_type: str, wanted: str | None, possible: tuple[str, ...]) -> str | None:
    """The transfer syntax to answer a media type in: the one wanted, else the default, else another of that type.

    `wanted` is the media type's transfer-syntax parameter, "*" for any; `possible` as `pixel_encode.targets_of` gives
    them, the instance's own first, which is preferred where it is of that media type. None where nothing fits: 406.
    """
    syntaxes = SYNTAXES.get(media_type, ())
    if media_type == OCTET_STREAM and wanted in (None, "*"):
        return EXPLICIT_VR_LITTLE_ENDIAN if EXPLICIT_VR_LITTLE_ENDIAN in possible else None
    if wanted is not None and wanted != "*":
        return wanted if wanted in syntaxes and wanted in possible else None
    if wanted == "*" and possible and possible[0] in syntaxes:
        return possible[0]
    return next((syntax for syntax in syntaxes if syntax in possible), None)
