"""The data dictionary (PS3.6) as plain look-ups by tag number, from pydicom's tables."""

from __future__ import annotations

import re
from functools import lru_cache

from isocenter.dicom.tables import ATTRIBUTES, REPEATERS, private_attributes, tags

VRS = frozenset(
    b"AE AS AT CS DA DS DT FL FD IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN UR US UT UV".split()
)
# PS3.5 7.1.2: these have two reserved bytes and a 32-bit length in explicit VR.
LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
# The others by their code, with a 16-bit length.
SHORT_VRS = {code: code.decode() for code in VRS - LONG_VRS}

_REPEATERS = [(re.compile(mask.replace("x", "[0-9A-F]") + "$", re.I), entry) for mask, entry in REPEATERS.items()]


@lru_cache(maxsize=4096)
def vr_of(tag: int) -> str:
    """The VR of a standard attribute, "UN" where the dictionary has none; may be ambiguous ("US or SS")."""
    entry = ATTRIBUTES.get(tag)
    if entry is not None:
        return str(entry[0])
    group, element = tag >> 16, tag & 0xFFFF
    if element == 0:
        return "UL"
    if group & 1:
        return "LO" if 0x10 <= element <= 0xFF else "UN"
    name = f"{tag:08X}"
    return next((str(entry[0]) for mask, entry in _REPEATERS if mask.match(name)), "UN")


@lru_cache(maxsize=4096)
def private_vr_of(creator: str, tag: int) -> str:
    """The VR of a private attribute by its creator, "UN" where it is not known."""
    known = private_attributes().get(creator)
    if known is None:
        return "UN"
    name = f"{tag:08X}"
    entry = known.get(f"{name[:4]}xx{name[6:]}") or known.get(name)
    return str(entry[0]) if entry is not None else "UN"


@lru_cache(maxsize=4096)
def keyword_of(tag: int) -> str:
    """The keyword of an attribute, or its tag as (gggg,eeee) where it has none."""
    entry = ATTRIBUTES.get(tag)
    return str(entry[4]) if entry is not None and entry[4] else f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def tag_of(keyword: str) -> int | None:
    """The tag of a keyword, None where there is no such keyword."""
    return tags().get(keyword)
