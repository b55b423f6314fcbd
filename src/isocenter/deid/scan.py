"""Looks for identifiers in finished bytes and in text that stays: whatever rule let them pass, none may be left."""

from __future__ import annotations

import re
from collections.abc import Iterable

from isocenter.deid.identifiers import Known, folded
from isocenter.deid.words import is_defined_term

_WORDS = re.compile(r"[^\W_]+")
_SURE = 5  # so many letters or digits are hardly met by chance, wherever they stand
_PLAIN = re.compile(rb"[a-z0-9]{3,}")


class Finder:
    """Finds the identifiers of one study; made once and used for all of its instances."""

    def __init__(self, known: Known) -> None:
        self.known = known
        # A name that is a term of anatomy or technique too (CHEST) is looked for in text; codes may say it.
        terms = frozenset(word for word in known.words if is_defined_term(word))
        self._anywhere = sorted(word for word in known.words if len(word) >= _SURE and word not in terms)
        self._alone = frozenset(word for word in known.words | known.codes if len(word) < _SURE) | terms
        self._alone_bytes = frozenset(word.encode() for word in self._alone if word.isascii())
        numbers = {code for code in known.codes if len(code) >= _SURE} | known.dates
        self._numbers = sorted(numbers)
        self._exact = sorted(
            text for text in known.exact if len(text) >= _SURE and text not in numbers and text not in terms
        )
        self._sought = [(word.encode(), False) for word in self._anywhere if word.isascii()]
        self._sought += [(number.encode(), True) for number in self._numbers if number.isascii()]
        self._sought += [(text.encode(), _is_number(text)) for text in self._exact if text.isascii()]
        others = {text for text in (*self._exact, *known.words) if not text.isascii()}
        self._foreign = {text.encode("utf-8") for text in others} | {raw for raw in known.raw if len(raw) > 3}

    def __len__(self) -> int:
        """How many identifiers are looked for."""
        return len(self._sought) + len(self._foreign) + len(self._alone)

    def places(self, data: bytes) -> Iterable[int]:
        """Where in these bytes identifiers stand; short ones, which bytes hold by chance, are left to `spans`."""
        low = data.lower()
        for token, is_number in self._sought:
            at = low.find(token)
            while at >= 0:
                if not is_number or _stands_alone(low, at, at + len(token)):
                    yield at
                at = low.find(token, at + 1)
        for raw in self._foreign:
            at = data.find(raw)
            if at >= 0:
                yield at

    def has_alone(self, data: bytes) -> bool:
        """Whether one of the short identifiers stands in these bytes as a word of its own: text has to be looked at."""
        return bool(self._alone) and not self._alone_bytes.isdisjoint(_PLAIN.findall(data.lower()))

    def is_clean(self, data: bytes) -> bool:
        """Whether no identifier is in these bytes."""
        return next(iter(self.places(data)), None) is None

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where in a text identifiers stand, as whole words and numbers: start and end, in order, not overlapping."""
        plain = folded(text)
        if len(plain) != len(text):  # letters that fold to several: no position is sure, so all of it counts
            return [(0, len(text))] if self._in(plain) else []
        found = []
        for match in _WORDS.finditer(plain):
            if match[0] in self._alone or match[0] in self.known.words or match[0] in self.known.codes:
                found.append(match.span())
        for token in (*self._anywhere, *self._numbers, *self._exact):
            at = plain.find(token)
            while at >= 0:
                if not _is_number(token) or _alone_in(plain, at, at + len(token)):
                    found.append(_whole(plain, at, at + len(token)))
                at = plain.find(token, at + 1)
        if self._foreign:
            raw = text.encode("utf-8")
            found += [(0, len(text)) for token in self._foreign if token in raw]
        return _merged(found)

    def _in(self, plain: str) -> bool:
        words = set(_WORDS.findall(plain))
        return bool(words & (self._alone | self.known.words)) or any(
            token in plain for token in (*self._anywhere, *self._numbers, *self._exact)
        )


def _is_number(token: str) -> bool:
    return not any(sign.isalpha() for sign in token)


def _stands_alone(data: bytes, start: int, end: int) -> bool:
    """Whether a number is not part of a longer one, as digits of measurements and UIDs are."""
    before, after = data[start - 1 : start], data[end : end + 1]
    if before == b"." and data[start - 2 : start - 1].isdigit():
        return False
    if after == b"." and data[end + 1 : end + 2].isdigit() and end - start != 8:
        return False
    return not before.isdigit() and not after.isdigit()


def _alone_in(text: str, start: int, end: int) -> bool:
    return _stands_alone(text.encode("latin-1", "replace"), start, end)


def _whole(text: str, start: int, end: int) -> tuple[int, int]:
    """A find in the middle of a word takes the letters around it along."""
    while start > 0 and text[start - 1].isalnum() and text[start].isalnum():
        start -= 1
    while end < len(text) and text[end - 1].isalnum() and text[end].isalnum():
        end += 1
    return start, end


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
