"""Dummy values (PS3.15 E.1.1): valid for their VR, the same everywhere, and meaning nothing."""

from __future__ import annotations

from isocenter.dicom.dictionary import vr_of

_TEXT = {
    "AE": b"REMOVED",
    "AS": b"000Y",
    "CS": b"REMOVED",
    "DA": b"19000101",
    "DS": b"0",
    "DT": b"19000101000000",
    "IS": b"0",
    "LO": b"REMOVED",
    "LT": b"REMOVED",
    "PN": b"REMOVED",
    "SH": b"REMOVED",
    "ST": b"REMOVED",
    "TM": b"000000",
    "UC": b"REMOVED",
    "UR": b"urn:removed",
    "UT": b"REMOVED",
}
_WIDTHS = {"AT": 4, "FD": 8, "FL": 4, "SL": 4, "SS": 2, "SV": 8, "UL": 4, "US": 2, "UV": 8}
# Attributes whose Defined Terms or Enumerated Values do not admit the word above (PS3.3).
_LEGAL = {
    0x00100040: b"O",  # Patient's Sex
    0x00102203: b"UNALTERED",  # Patient's Sex Neutered
    0x04000565: b"COERCE",  # Reason for the Attribute Modification
    0x04000600: b"LOCAL",  # Instance Origin Status
    0x001021C0: b"\4\0",  # Pregnancy Status: unknown
}
MODEST_BYTES = 16
# Enumerated Values of attributes that options retain: a value that is none of them may be anything.
ENUMERATED = {0x00100040: (b"M", b"F", b"O"), 0x00102203: (b"ALTERED", b"UNALTERED")}


def settled(vr: str, tag: int) -> str:
    """The VR to write: what the element says, the dictionary's where it says UN, the first of several."""
    known = vr_of(tag) if vr == "UN" else vr
    return known[:2]


def dummy(tag: int, vr: str) -> bytes:
    """A dummy value for an attribute, little endian; `vr` is two letters."""
    if tag in _LEGAL:
        return _LEGAL[tag]
    return _TEXT.get(vr) or bytes(_WIDTHS.get(vr, MODEST_BYTES))
