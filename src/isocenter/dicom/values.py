"""Values of the DICOM JSON model (PS3.18 F.2.3) to the bytes of their VR (PS3.5 6.2), Explicit VR Little Endian."""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable, Mapping
from struct import error, pack
from typing import Any, Final

from isocenter.dicom.dictionary import keyword_of
from isocenter.errors import Malformed

_INTEGERS = {"US": "H", "SS": "h", "UL": "L", "SL": "l", "UV": "Q", "SV": "q"}
_REALS = {"FL": "f", "FD": "d"}
_WORDS = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}
BINARY_VRS: Final = frozenset(("OB", "OD", "OF", "OL", "OV", "OW", "UN"))
_UNICODE = frozenset(("LO", "LT", "SH", "ST", "UC", "UT", "PN"))
_WHOLE = frozenset(("LT", "ST", "UR", "UT"))  # one value, backslashes and all
_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
_TAG = re.compile(r"[0-9A-Fa-f]{8}\Z")
_DIGITS = re.compile(r"[+-]?[0-9]{1,20}\Z")
_ODD_NUMBERS = {"NaN": math.nan, "inf": math.inf, "-inf": -math.inf, "Infinity": math.inf, "-Infinity": -math.inf}
_DECIMAL_LENGTH, _INTEGER_LENGTH = 16, 12


def value_bytes(tag: int, vr: str, values: Any) -> bytes:
    """The bytes of a Value array, without padding; Malformed names the Keyword and what is expected."""
    if not isinstance(values, list):
        raise Malformed(f"{keyword_of(tag)}: Value is not a list", code="bad-value")
    if vr in BINARY_VRS:
        raise Malformed(f"{keyword_of(tag)} is binary: send InlineBinary or BulkDataURI", code="bad-value")
    if not values or (len(values) == 1 and values[0] is None):
        return b""
    if vr in _INTEGERS:
        return b"".join(_packed(tag, vr, _INTEGERS[vr], _integer(tag, vr, value)) for value in values)
    if vr in _REALS:
        return b"".join(_packed(tag, vr, _REALS[vr], _real(tag, vr, value)) for value in values)
    if vr == "AT":
        return b"".join(_tag(tag, value) for value in values)
    if vr in _WHOLE and len(values) > 1:
        raise Malformed(f"{keyword_of(tag)} has more than one value, which {vr} does not allow", code="bad-value")
    convert = _TEXTS.get(vr, _text)
    return _encoded(tag, vr, "\\".join("" if value is None else convert(tag, vr, value) for value in values))


def inline_binary(tag: int, vr: str, text: Any) -> bytes:
    """The bytes of InlineBinary (PS3.18 F.2.7), which binary VRs alone have."""
    if vr not in BINARY_VRS:
        raise Malformed(f"{keyword_of(tag)}: InlineBinary does not go with {vr}; send Value", code="bad-value")
    try:
        value = base64.b64decode(text, validate=True)
    except (ValueError, TypeError, binascii.Error):
        raise Malformed(f"{keyword_of(tag)}: InlineBinary is not base64", code="bad-value") from None
    if len(value) % _WORDS.get(vr, 1):
        raise Malformed(f"{keyword_of(tag)}: InlineBinary is no whole number of {vr} words", code="bad-value")
    return value


def _expected(tag: int, vr: str, what: str) -> Malformed:
    return Malformed(f"{keyword_of(tag)}: a value of {vr} is {what}", code="bad-value")


def _packed(tag: int, vr: str, code: str, number: float) -> bytes:
    try:
        return pack(f"<{code}", number)
    except (error, OverflowError):
        raise Malformed(f"{keyword_of(tag)}: a value does not fit {vr}", code="bad-value") from None


def _integer(tag: int, vr: str, value: Any) -> int:
    if isinstance(value, str) and vr in ("UV", "SV") and _DIGITS.match(value):
        return int(value)  # PS3.18 F.2.3.1: 64 bits are more than some JSON readers have
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _expected(tag, vr, "a whole number")
    return value


def _real(tag: int, vr: str, value: Any) -> float:
    if isinstance(value, str) and value in _ODD_NUMBERS:
        return _ODD_NUMBERS[value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _expected(tag, vr, 'a number, "NaN", "inf" or "-inf"')
    try:
        return float(value)
    except OverflowError:
        raise Malformed(f"{keyword_of(tag)}: a value does not fit {vr}", code="bad-value") from None


def _tag(tag: int, value: Any) -> bytes:
    if not isinstance(value, str) or not _TAG.match(value):
        raise _expected(tag, "AT", "a tag of eight hexadecimal digits")
    return pack("<HH", int(value[:4], 16), int(value[4:], 16))


def _text(tag: int, vr: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _expected(tag, vr, "text")
    if "\\" in value and vr not in _WHOLE:
        raise Malformed(f"{keyword_of(tag)}: a value holds a backslash; send its parts as values", code="bad-value")
    return value


def _name(tag: int, vr: str, value: Any) -> str:
    """Component groups joined by "=" (PS3.5 6.2.1), empty ones at the end left out."""
    if not isinstance(value, Mapping) or not value.keys() <= set(_GROUPS):
        raise _expected(tag, vr, f"an object of {', '.join(_GROUPS)}")
    groups = [_text(tag, vr, value.get(group) or "") for group in _GROUPS]
    if any("=" in group for group in groups):
        raise Malformed(f"{keyword_of(tag)}: a component group holds an equals sign", code="bad-value")
    return "=".join(groups).rstrip("=")


def _decimal_string(tag: int, vr: str, value: Any) -> str:
    if isinstance(value, str):
        return _text(tag, vr, value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _expected(tag, vr, "a number or its text")
    return decimal_text(value)


def decimal_text(number: float) -> str:
    """A number in the 16 characters that DS has, as precisely as they allow."""
    text = repr(number)
    if isinstance(number, int) and len(text) <= _DECIMAL_LENGTH:
        return text
    if isinstance(number, float) and number.is_integer() and abs(number) < 1e15:
        return f"{number:.1f}" if len(f"{number:.1f}") <= _DECIMAL_LENGTH else f"{number:.0f}"
    digits = 17
    while len(text) > _DECIMAL_LENGTH:
        digits -= 1
        text = f"{float(number):.{digits}g}"
    return text


def _integer_string(tag: int, vr: str, value: Any) -> str:
    if isinstance(value, str):
        return _text(tag, vr, value)
    text = str(_integer(tag, vr, value))
    if len(text) > _INTEGER_LENGTH:
        raise Malformed(f"{keyword_of(tag)}: a value does not fit {vr}", code="bad-value")
    return text


_TEXTS: Final[dict[str, Callable[[int, str, Any], str]]] = {
    "PN": _name,
    "DS": _decimal_string,
    "IS": _integer_string,
}


def _encoded(tag: int, vr: str, text: str) -> bytes:
    """UTF-8 where a character set applies, ASCII elsewhere."""
    if vr not in _UNICODE and not text.isascii():
        raise Malformed(f"{keyword_of(tag)}: {vr} is ASCII only", code="bad-value")
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise Malformed(
            f"{keyword_of(tag)}: a value holds half a character (a lone surrogate)", code="bad-value"
        ) from None
