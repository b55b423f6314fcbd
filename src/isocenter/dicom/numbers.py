"""Numbers as texts that compare as the numbers do, for search and order."""

from __future__ import annotations

import struct
from decimal import Decimal, InvalidOperation


def number_value(text: str) -> str:
    """Sixteen hexadecimal digits in the order of the numbers, then the number itself; ValueError for none.

    Equal numbers give equal texts however they were written ("1.50", "15e-1").
    """
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ValueError("not a number") from None
    if not number.is_finite():
        raise ValueError("not a finite number")
    (bits,) = struct.unpack(">Q", struct.pack(">d", _double(number)))
    # The bits of doubles order as unsigned numbers once the sign is turned and negative ones are mirrored.
    ordered = bits ^ (0xFFFF_FFFF_FFFF_FFFF if bits >> 63 else 1 << 63)
    return f"{ordered:016x}:{_canonical(number)}"


def _double(number: Decimal) -> float:
    return float(number) + 0.0  # minus zero becomes zero


def _canonical(number: Decimal) -> str:
    if not number:
        return "0"
    sign, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    kept = "".join(map(str, digits)).lstrip("0")
    short = kept.rstrip("0")
    return f"{'-' if sign else ''}{short}e{exponent + len(kept) - len(short)}"
