"""Specific Character Set (PS3.3 C.12.1.1.2): whether its terms may be used, and texts be read by them."""

from __future__ import annotations

from functools import lru_cache

from isocenter.dicom.character_sets import CODECS, DESIGNATED

_ALONE = frozenset(("ISO_IR 192", "GB18030", "GBK"))
_ESCAPE = b"\x1b"
_UTF_8 = "utf-8"


class CharacterSet:
    """A declared character set. `fault` is the rule that the declaration itself breaks."""

    def __init__(self, terms: tuple[str, ...]) -> None:
        self.fault: str | None = None
        unknown = [term for term in terms if term not in CODECS]
        if unknown:
            self.fault = "charset-unknown"
        elif len(terms) > 1 and (
            _ALONE & set(terms) or any(term and not term.startswith("ISO 2022") for term in terms)
        ):
            self.fault = "charset-mixed"
        self.declares = any(term not in ("", "ISO_IR 6", "ISO 2022 IR 6") for term in terms)
        self._known = not unknown
        self._codecs = [_codec(term) for term in terms if term in CODECS] or ["ascii"]

    def read(self, value: bytes) -> tuple[str | None, str | None]:
        """The text, and the rule it breaks; no text where it cannot be read."""
        if value.isascii() and _ESCAPE not in value:
            return value.decode("ascii"), None
        if not self.declares:
            return None, "charset-undeclared"
        if not self._known:
            return None, None  # what is declared is wrong already
        try:
            return self._decoded(value), None
        except (UnicodeError, LookupError):
            return None, "charset-undecodable"

    def _decoded(self, value: bytes) -> str:
        first, *rest = value.split(_ESCAPE)
        text = first.decode(self._codecs[0] if self._codecs[0] != "ascii" or len(self._codecs) > 1 else "ascii")
        for part in rest:
            text += self._escaped(_ESCAPE + part)
        return text

    def _escaped(self, part: bytes) -> str:
        """Text after an escape sequence, in the character set that it designates (PS3.5 6.1.2.5)."""
        for code, codec in DESIGNATED.items():
            if not part.startswith(code):
                continue
            if codec not in self._codecs and code != b"\x1b(B" and not (code == b"\x1b(J" and self._codecs):
                raise UnicodeError
            if codec.startswith("iso2022"):
                return part.decode(codec)  # these codecs read the escape sequence themselves
            return part[len(code) :].decode("latin-1" if codec == "iso8859" else codec)
        raise UnicodeError


def _codec(term: str) -> str:
    if term in ("", "ISO_IR 6", "ISO 2022 IR 6"):
        return "ascii"
    return _UTF_8 if term == "ISO_IR 192" else CODECS[term]


@lru_cache(maxsize=64)
def character_set_of(stated: bytes | None) -> CharacterSet:
    """The character set that a value of Specific Character Set (0008,0005) declares; ASCII without one."""
    if not stated:
        return CharacterSet(())
    return CharacterSet(tuple(part.strip(" \0") for part in stated.decode("latin-1").split("\\")))
