"""Raw elements as they lie in a stream, and the limits within which they are read."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import NamedTuple

UNDEFINED = 0xFFFFFFFF
PIXEL_DATA = 0x7FE00010
PIXEL_TAGS = (0x7FE00008, 0x7FE00009, PIXEL_DATA)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a header may hold before it is refused."""

    depth: int = 16
    elements: int = 300_000
    header_bytes: int = 64 << 20  # all values kept in memory together
    value_bytes: int = 64 << 10  # a longer value is bulk data, kept by reference
    inline_bytes: int = 1 << 10  # the same for binary VRs
    inflated_bytes: int = 1 << 30


class Element(NamedTuple):
    """One raw element. `value` is its bytes, the items of a sequence, or None where it is bulk data."""

    vr: str
    value: bytes | list[dict[int, Element]] | None
    offset: int  # of the value, from the start of the blob (of the inflated Data Set where deflated)
    length: int  # in bytes; UNDEFINED for encapsulated data


@dataclass(slots=True)
class Fragments:
    """The encapsulated pixel data of the top level: Basic Offset Table and fragments in order (PS3.5 A.4)."""

    table: bytes = b""
    offsets: array[int] = field(default_factory=lambda: array("Q"))  # of each fragment's first byte
    lengths: array[int] = field(default_factory=lambda: array("I"))
    starts: bytearray = field(default_factory=bytearray)  # 1 where a fragment begins with a codestream's SOI or SOC
