"""Looks for identifiers in finished bytes and in text that stays: whatever rule let them pass, none may be left."""

from __future__ import annotations

import re
from collections.abc import Iterator

from isocenter.deid.identifiers import Known, folded
from isocenter.deid.words import is_defined_term
from isocenter.errors import LimitExceeded

_WORDS = re.compile(r"[^\W_]+")
_SURE = 5  # so many letters or digits are hardly met by chance, wherever they stand
_PLAIN = re.compile(rb"[a-z0-9]{3,}")
_DIGITS = re.compile(rb"[0-9]{5,}")
_DOTTED = re.compile(rb"[0-9]+(?:\.[0-9]+)+")
_FEW = 24  # so many are looked for one by one sooner than all numbers of the bytes are looked at
_WINDOW = 1 << 20
_MOST_WORK = 4_000_000_000  # bytes times identifiers: some seconds
_EACH = 100  # bytes that are looked through in the time of one look
_AGAIN = 16  # looks in the time of going on from a place that does not count
_SEAM = 4  # bytes around an identifier that tell whether it stands alone


class Finder:
    """Finds the identifiers of one study in one instance; what would take too long raises LimitExceeded."""

    def __init__(self, known: Known) -> None:
        self.known = known
        # A name that is a term of anatomy or technique too (CHEST) is looked for in text; codes may say it.
        terms = frozenset(word for word in known.words if is_defined_term(word))
        anywhere = sorted(word for word in known.words - terms if len(word) >= _SURE)
        numbers = {code for code in known.codes if len(code) >= _SURE} | known.dates
        exact = sorted(text for text in known.exact - terms if len(text) >= _SURE and text not in numbers)
        self._whole = known.words | known.codes
        self._alone = frozenset(word for word in self._whole if len(word) < _SURE) | terms
        self._alone_bytes = frozenset(word.encode() for word in self._alone if word.isascii())
        tokens = (*anywhere, *sorted(numbers), *exact)
        plain = [token.encode() for token in tokens if token.isascii()]
        self._runs = (
            (_DIGITS, *_apart(plain, _DIGITS)),
            (_DOTTED, *_apart(plain, _DOTTED)),
        )
        taken = {token for _, many, _ in self._runs for token in many}
        # Codes with letters stand alone in bytes, which hold them by chance; in text they may be part of a word.
        alone = {code.encode() for code in numbers if code.isascii()}
        self._sought = [(t, t in alone or _is_number(t), _is_number(t)) for t in plain if t not in taken]
        self._others = [token for token in tokens if not token.isascii()]
        self._foreign = {text.encode("utf-8") for text in (*exact, *known.words) if not text.isascii()}
        self._foreign |= {raw for raw in known.raw if len(raw) > 3}
        longest = max(map(len, (*tokens, *self._foreign, *self._alone)), default=0)
        self.reach = 4 * longest + 2 * _SEAM  # bytes in which each of them stands with what is around it
        self._count = len(plain) + len(self._foreign) + len(self._alone)
        self._work = 0

    def __len__(self) -> int:
        """How many identifiers are looked for."""
        return self._count

    def places(self, data: bytes, *, first: bool = True, last: bool = True) -> Iterator[int]:
        """Where in these bytes identifiers stand; short ones, which bytes hold by chance, are left to `spans`.

        Bytes that are not the `first` or `last` are a window: what touches its ends is whole in the window beside it.
        """
        least, most = 0 if first else _SEAM, len(data) if last else len(data) - _SEAM
        for start, end in self._found(data.lower(), in_text=False):
            if start >= least and end <= most:
                yield start
        self._spend(len(self._foreign), len(data))
        for raw in self._foreign:
            at = data.find(raw)
            if at >= 0:
                yield at

    def has_alone(self, data: bytes) -> bool:
        """Whether one of the short identifiers stands in these bytes as a word of its own: text has to be looked at."""
        if not self._alone_bytes:
            return bool(self._alone)
        low, over = data.lower(), max(map(len, self._alone_bytes))
        return any(
            not self._alone_bytes.isdisjoint(_PLAIN.findall(low, max(0, start - over), start + _WINDOW))
            for start in range(0, len(low), _WINDOW)
        )

    def is_clean(self, data: bytes, *, first: bool = True, last: bool = True) -> bool:
        """Whether no identifier is in these bytes."""
        return next(self.places(data, first=first, last=last), None) is None

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where in a text identifiers stand, as whole words and numbers: start and end, in order, not overlapping."""
        plain = folded(text)
        if len(plain) != len(text):  # letters that fold to several: no position is sure, so all of it counts
            return [(0, len(text))] if self._in(plain) else []
        found = [match.span() for match in _WORDS.finditer(plain) if match[0] in self._whole]
        found += [_whole(plain, *span) for span in self._found(plain.encode("latin-1", "replace"), in_text=True)]
        if not plain.isascii():
            found += [_whole(plain, *span) for span in self._found_others(plain)]
        if self._foreign:
            raw = text.encode("utf-8")
            self._spend(len(self._foreign), len(raw))
            for token in self._foreign:
                if token in raw:
                    found += _where(text, token)
        return _merged(found)

    def _in(self, plain: str) -> bool:
        words = {match[0] for match in _WORDS.finditer(plain)}
        if not words.isdisjoint(self._alone | self.known.words):
            return True
        found = self._found(plain.encode("latin-1", "replace"), in_text=True)
        return next(found, None) is not None or next(self._found_others(plain), None) is not None

    def _found(self, low: bytes, *, in_text: bool) -> Iterator[tuple[int, int]]:
        """Start and end of each identifier of ASCII letters and digits; numbers where they stand alone."""
        for pattern, many, shortest in self._runs:
            if not many or len(low) < shortest:
                continue
            for match in pattern.finditer(low):
                if match[0] in many and _stands_alone(low, *match.span()):
                    yield match.span()
        self._spend(len(self._sought), len(low))
        for token, alone_in_bytes, alone_in_text in [one for one in self._sought if one[0] in low]:
            at = low.find(token)
            while at >= 0:
                end = at + len(token)
                if not (alone_in_text if in_text else alone_in_bytes) or _stands_alone(low, at, end):
                    yield at, end
                self._spend(_AGAIN, 0)
                at = low.find(token, at + 1)

    def _found_others(self, plain: str) -> Iterator[tuple[int, int]]:
        self._spend(len(self._others), len(plain))
        for token in self._others:
            at = plain.find(token)
            while at >= 0:
                yield at, at + len(token)
                at = plain.find(token, at + 1)

    def _spend(self, looks: int, size: int) -> None:
        """A list of more identifiers than people have, looked for in very much data, would keep everyone waiting."""
        self._work += looks * (size + _EACH)
        if self._work > _MOST_WORK:
            raise LimitExceeded("it names too many identifiers to look for all of them", code="too-many-identifiers")


class Windows:
    """Searches bytes as they come, a window at a time, so that memory stays bounded whatever their number.

    Windows share as many bytes as the longest identifier needs: none hides on a seam. With `alone` the short ones
    that stand as words of their own count too.
    """

    def __init__(self, finder: Finder, *, alone: bool) -> None:
        self.is_clean = True
        self.size = 0
        self._finder = finder
        self._alone = alone
        self._pieces: list[bytes] = []
        self._held = 0
        self._first = True
        self._full = max(_WINDOW, 2 * finder.reach)

    def take(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._held += len(piece)
        self.size += len(piece)
        if self._held >= self._full:
            self._look(last=False)

    def end(self) -> None:
        """What was taken is whole; what comes next stands apart from it."""
        self._look(last=True)
        self._pieces, self._held, self._first = [], 0, True

    def _look(self, *, last: bool) -> None:
        data = b"".join(self._pieces)
        if self.is_clean:
            found = not self._finder.is_clean(data, first=self._first, last=last)
            self.is_clean = not (found or (self._alone and self._finder.has_alone(data)))
        shared = data[max(0, len(data) - self._finder.reach) :]
        self._pieces, self._held, self._first = [shared], len(shared), False


def _apart(tokens: list[bytes], pattern: re.Pattern[bytes]) -> tuple[frozenset[bytes], int]:
    """Those that are found as runs of digits, if they are many; the length of the shortest."""
    runs = frozenset(token for token in tokens if pattern.fullmatch(token))
    return (runs, min(map(len, runs))) if len(runs) > _FEW else (frozenset(), 0)


def _is_number(token: bytes) -> bool:
    return token.lower() == token.upper()


def _stands_alone(data: bytes, start: int, end: int) -> bool:
    """Whether a number is not part of a longer one, as digits of measurements and UIDs are."""
    before, after = data[start - 1 : start], data[end : end + 1]
    if before == b"." and data[start - 2 : start - 1].isdigit():
        return False
    if after == b"." and data[end + 1 : end + 2].isdigit() and end - start != 8:
        return False
    return not before.isdigit() and not after.isdigit()


def _where(text: str, token: bytes) -> list[tuple[int, int]]:
    """The words of a text that hold these bytes; all of it where they are no letters of its own."""
    written = token.decode("utf-8", "replace")
    found = []
    at = text.find(written)
    while at >= 0:
        found.append(_whole(text, at, at + len(written)))
        at = text.find(written, at + 1)
    return found or [(0, len(text))]


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
