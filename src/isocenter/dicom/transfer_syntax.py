"""Transfer syntaxes (PS3.5 Annex A): how a Data Set is encoded and which are known."""

from __future__ import annotations

import re
from dataclasses import dataclass

from isocenter.dicom.tables import UIDS

IMPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2"
EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1.99"
EXPLICIT_VR_BIG_ENDIAN = "1.2.840.10008.1.2.2"
JPIP_DEFLATED = ("1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205")

# Newer than pydicom's dictionary (PS3.5 10.20, 2024d): JPEG XL lossless, JPEG XL made of JPEG, JPEG XL.
JPEG_XL = tuple(f"1.2.840.10008.1.2.4.11{number}" for number in range(3))
KNOWN = frozenset(uid for uid, entry in UIDS.items() if entry[1] == "Transfer Syntax") | set(JPEG_XL)
NATIVE = frozenset(
    (
        IMPLICIT_VR_LITTLE_ENDIAN,
        EXPLICIT_VR_LITTLE_ENDIAN,
        DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
        EXPLICIT_VR_BIG_ENDIAN,
    )
)
# MPEG-2, MPEG-4, HEVC: one stream for all frames (PS3.5 A.4.5 to A.4.7).
VIDEO = frozenset(uid for uid in KNOWN if re.match(r"1\.2\.840\.10008\.1\.2\.4\.10[0-8](\.1)?\Z", uid))


@dataclass(frozen=True, slots=True)
class Encoding:
    """How the elements of a Data Set are written."""

    implicit: bool = False
    big_endian: bool = False
    deflated: bool = False


def encoding_of(uid: str) -> Encoding:
    """The encoding that a transfer syntax prescribes; every encapsulated one is Explicit VR Little Endian."""
    return Encoding(
        implicit=uid == IMPLICIT_VR_LITTLE_ENDIAN,
        big_endian=uid == EXPLICIT_VR_BIG_ENDIAN,
        deflated=uid == DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN or uid in JPIP_DEFLATED,
    )
