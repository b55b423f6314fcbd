"""What identifies the people, places and moments of one study: gathered from its headers, looked for everywhere."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from isocenter.deid.words import ORDINARY
from isocenter.dicom.characters import Text

# Attributes that hold identifying codes, and such that hold names of people and places besides those of VR PN.
_CODES = frozenset(
    (
        0x00080050, 0x00080094, 0x00100020, 0x00101000, 0x00101090, 0x00102154, 0x00102155, 0x00120040, 0x00181000,
        0x00181002, 0x00185011, 0x0018700A, 0x00200010, 0x00321010, 0x00380010, 0x00380060, 0x00400009, 0x00400253,
        0x00400512, 0x00400551, 0x00401001, 0x00401103, 0x00402001, 0x00402010, 0x00402016, 0x00402017, 0x30080105,
    )
)  # fmt: skip
_PLACES = frozenset(
    (
        0x00080080, 0x00080081, 0x00080092, 0x00081010, 0x00081040, 0x00100021, 0x00100217, 0x00101040, 0x00101050,
        0x00101081, 0x00102150, 0x00102152, 0x00102297, 0x00102299, 0x00120030, 0x00120031, 0x00120060, 0x00321020,
        0x00380011, 0x00380061, 0x00380300, 0x00380400, 0x00400010, 0x00400011, 0x00400242, 0x00400243, 0x00401102,
        0x00401104, 0x00402008, 0x00402009, 0x0040A027, 0x300A00B2,
    )
)  # fmt: skip
_WORD = re.compile(r"[^\W\d_]{2,}")
_CODE = re.compile(r"[\W_]+")
_ESCAPED = re.compile(rb"\x1b\$[()]?[@-Z]([^\x1b]{4,})")  # characters of two bytes (ISO 2022), up to the next escape
_FEWEST_LETTERS, _FEWEST_SIGNS = 3, 4
_SHORT = 128  # bytes of a value that is worth remembering
_MOST = 2000  # identifiers of one instance: a list of more is no longer of one person

# Where names of people stand besides VR PN, and dates of an instance: what a first look at a study gathers.
TELLING = _CODES | _PLACES | {0x00080020, 0x00080021, 0x00080022, 0x00080023, 0x00080012, 0x00100030, 0x0008002A}

__all__ = ["TELLING", "Gathered", "Known", "folded"]


def folded(text: str) -> str:
    """Text without case and diacritics, as identifiers are compared."""
    if text.isascii():
        return text.lower()
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in plain if not unicodedata.combining(letter))


@dataclass(frozen=True, slots=True)
class Known:
    """Identifiers of one study, `folded`.

    `words` are single words of names, institutions, places (three letters or more); `codes` are patient IDs, accession
    numbers, telephone numbers and the like, letters and digits only; `dates` are YYYYMMDD. `exact` are values as they
    were written: names in scripts without words, identifiers with their signs, UIDs.
    """

    words: frozenset[str] = frozenset()
    codes: frozenset[str] = frozenset()
    dates: frozenset[str] = frozenset()
    exact: frozenset[str] = frozenset()
    raw: frozenset[bytes] = frozenset()  # the same as bytes, where they are not ASCII

    def __or__(self, other: Known) -> Known:
        return Known(
            self.words | other.words,
            self.codes | other.codes,
            self.dates | other.dates,
            self.exact | other.exact,
            self.raw | other.raw,
        )


class Gathered:
    """Collects identifiers out of attributes that may not stay."""

    def __init__(self) -> None:
        self.words: set[str] = set()
        self.codes: set[str] = set()
        self.dates: set[str] = set()
        self.exact: set[str] = set()
        self.raw: set[bytes] = set()

    def known(self) -> Known:
        return Known(
            frozenset(self.words),
            frozenset(self.codes),
            frozenset(self.dates),
            frozenset(self.exact),
            frozenset(self.raw),
        )

    def items(self, items: Any, text: Text, is_uid: Callable[[int], bool]) -> None:
        """All that identifies in the items of a sequence that goes; `is_uid` tells UIDs of instances from codes'."""
        for item in items if isinstance(items, list) else ():
            for tag, element in item.items():
                if isinstance(element.value, list):
                    self.items(element.value, text, is_uid)
                elif element.value and (element.vr != "UI" or is_uid(tag)):
                    self.value(tag, element.vr, element.value, text)

    def value(self, tag: int, vr: str, raw: bytes, text: Text) -> None:
        """What one value identifies by; most attributes, such as descriptions, identify nobody by their own words."""
        if len(raw) > _SHORT:
            self._value(tag, vr, raw, text)
            return
        learned = _learned(tag, vr, raw, text)
        if learned is not None and (vr != "PN" or len(self.words) <= _MOST):
            self.words |= learned.words
            self.codes |= learned.codes
            self.dates |= learned.dates
            self.exact |= learned.exact
            self.raw |= learned.raw

    def _value(self, tag: int, vr: str, raw: bytes, text: Text) -> None:
        if vr == "PN":
            self.name(text.decode(raw, "PN"), raw)
        elif vr == "UI":
            self.exact.update(uid for uid in _parts(raw.decode("latin-1")) if len(uid) > 10 and _is_own(uid))
        elif vr in ("DA", "DT"):
            self.dates.update(day for part in _parts(raw.decode("latin-1")) if (day := _day(part)))
        elif tag in _CODES:
            self.code(text.decode(raw, vr), raw)
        elif tag in _PLACES:
            self.place(text.decode(raw, vr))

    def name(self, written: str, raw: bytes = b"") -> None:
        """A person's name: its components, in every group."""
        if len(self.words) > _MOST:
            return
        for component in re.split(r"[\\^=]", written):
            component = component.strip(" \0")
            words = [word for word in _WORD.findall(folded(component)) if word not in ORDINARY]
            # Two signs are a whole name where each is a word.
            self.words.update(word for word in words if len(word) >= _FEWEST_LETTERS or not word.isascii())
            if words and (len(component) >= _FEWEST_LETTERS or not component.isascii()):
                self.exact.add(folded(component))
            self._coded(component)
        if b"\x1b" in raw:
            self.raw.update(_ESCAPED.findall(raw))
        elif not raw.isascii():
            self.raw.update(part for part in re.split(rb"[\\^=]", raw.strip(b" \0")) if len(part) > 2)

    def code(self, written: str, raw: bytes = b"") -> None:
        """An identifier: as it is written, and without its signs."""
        for part in _parts(written):
            self._coded(part)
            if len(part) >= _FEWEST_SIGNS and not part.isalpha():
                self.exact.add(folded(part))
        if not raw.isascii():
            self.raw.add(raw.strip(b" \0"))

    def place(self, written: str) -> None:
        """The name or address of an institution: words that are its own, and numbers."""
        for word in _WORD.findall(folded(written)):
            if len(word) >= _FEWEST_SIGNS and word not in ORDINARY:
                self.words.add(word)

    def line(self, written: str) -> None:
        """One line of a site's own list: a date, a number or a name."""
        if day := _day(written.replace("-", "")):
            self.dates.add(day)
        elif any(sign.isdigit() for sign in written):
            self.code(written)
        else:
            self.name(written.replace(" ", "^"))

    def _coded(self, part: str) -> None:
        code = _CODE.sub("", folded(part))
        if len(code) >= _FEWEST_SIGNS and any(sign.isdigit() for sign in code):
            self.codes.add(code)


@lru_cache(maxsize=4096)
def _learned(tag: int, vr: str, raw: bytes, text: Text) -> Known | None:
    """What a short value identifies by, if anything; kept, as a study says the same in every instance."""
    found = Gathered()
    found._value(tag, vr, raw, text)
    known = found.known()
    return None if known == _NOTHING else known


_NOTHING = Known()


def _parts(text: str) -> Iterable[str]:
    return (part for written in text.split("\\") if (part := written.strip(" \0")))


def _is_own(uid: str) -> bool:
    return not uid.startswith("1.2.840.10008.")


def _day(written: str) -> str | None:
    """The YYYYMMDD that a date or date-time begins with; None for one that says nothing (1900-01-01, 0000)."""
    digits = written.strip(" \0").replace(".", "", 2)[:8] if written[4:5] == "." else written.strip(" \0")[:8]
    if len(digits) != 8 or not digits.isdigit() or digits[:4] in ("0000", "0001") or digits == "19000101":
        return None
    return digits if "01" <= digits[4:6] <= "12" and "01" <= digits[6:] <= "31" else None
