"""Specific Character Set (PS3.3 C.12.1.1.2, PS3.5 6.1): bytes of text to str, whatever they hold."""

from __future__ import annotations

import warnings
from functools import lru_cache

from pydicom.charset import decode_bytes, python_encoding
from pydicom.valuerep import PN_DELIMS, TEXT_VR_DELIMS

_EXTENDED = frozenset(("LO", "LT", "SH", "ST", "UC", "UT", "PN"))  # VRs that the character set governs
_DIRECT = {"": "ascii", "ISO_IR 6": "ascii", "ISO_IR 192": "utf-8"}
_DELIMITERS = TEXT_VR_DELIMS | {0x5C}


class Text:
    """A decoder for one Specific Character Set; bytes that do not fit become U+FFFD or Latin-1, never an error."""

    def __init__(self, terms: tuple[str, ...]) -> None:
        known = [term for term in terms if term in python_encoding or term in _DIRECT]
        self.is_extended = any(term not in ("", "ISO_IR 6", "ISO 2022 IR 6") for term in terms)
        first = terms[0] if terms else ""
        single = len(terms) <= 1 and not first.startswith("ISO 2022")
        self._codec = _codec(first) if single else None
        self._encodings = [python_encoding.get(term, "iso8859") for term in known] or ["iso8859"]

    def decode(self, value: bytes, vr: str) -> str:
        """The text of a value; backslashes that separate values stay."""
        if value.isascii() and b"\x1b" not in value:
            return value.decode("ascii")
        if vr not in _EXTENDED:
            return value.decode("latin-1")
        if self._codec is not None:
            return self._plain(value)
        return self._extended(value, _DELIMITERS)

    def person(self, value: bytes) -> list[str]:
        """The names of a PN value, each with its component groups still joined by "="."""
        if self._codec is not None or (value.isascii() and b"\x1b" not in value):
            return self.decode(value, "PN").split("\\")
        names = value.split(b"\\")
        return ["=".join(self._extended(group, PN_DELIMS) for group in name.split(b"=")) for name in names]

    def _plain(self, value: bytes) -> str:
        try:
            return value.decode(self._codec or "ascii")
        except UnicodeDecodeError:
            # Writers that say ASCII, or nothing, mostly mean Latin-1; in UTF-8 the rest of the text is worth keeping.
            return value.decode("latin-1") if self._codec == "ascii" else value.decode(self._codec or "", "replace")

    def _extended(self, value: bytes, delimiters: set[int]) -> str:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return decode_bytes(value, self._encodings, delimiters)
        except (UnicodeError, LookupError, ValueError):
            return value.decode("latin-1")


def _codec(term: str) -> str | None:
    """The Python codec of a character set without code extensions; Latin-1 for one that is not known."""
    return _DIRECT.get(term) or python_encoding.get(term, "latin-1")


@lru_cache(maxsize=64)
def text_decoder(stated: bytes | None) -> Text:
    """The decoder for a value of Specific Character Set (0008,0005); None where there is none."""
    if stated is None:
        return Text(())
    text = stated.decode("latin-1").strip(" \0")
    return Text(tuple(part.strip(" \0") for part in text.split("\\")))
