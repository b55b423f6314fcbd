"""Which of the texts read in a frame go: those that hold known identifiers, or look like some; or all of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, Literal

from isocenter.deid.boxes import Why
from isocenter.deid.identifiers import Known, folded
from isocenter.deid.identifying_text import TIME, dates_in, label_in, looks_identifying, may_be_a_name, normal
from isocenter.ports.detector import TextBox

_WORD: Final = re.compile(r"[^\W_]+")
# Letters and digits that readers take for one another, each kind written as one of them.
_LETTERS: Final = str.maketrans("01i|!58", "olllls" + "b")
_DIGITS: Final = str.maketrans("oqil|!sbz", "001111582")
# Words of institutions' names that stand in pictures for what they mean: known as they may be, they tell nobody.
_COMMON: Final = frozenset(
    _WORD.findall(
        """the and for von der med medical medicine center centre central clinic hospital health care healthcare
        general regional university school college institute department dept radiology imaging diagnostic diagnostics
        ultrasound breast chest heart cardiac vascular women womens children childrens north south east west image
        images unit mri left right liver kidney thyroid abdomen pelvis head neck spine knee brain carotid venous
        arterial obstetrics gynecology physician physicians none unknown anonymous male female"""
    )
)
_SHORTEST_FUZZY, _SHORTEST_LOOSE = 5, 8  # letters from which one, and two, may have been misread
_LONGEST_JOIN = 3  # boxes
_IDEOGRAPHS = "\u3040"  # kana and what follows: names of two signs, with no space between words
_NEAR = 12  # heights of a line: so near, what stands beside an identifier may be a name


class Wanted:
    """What is looked for in one study's pictures."""

    def __init__(self, known: Known, remove: Literal["identifiers", "all"]) -> None:
        self._all = remove == "all"
        words = {_as_letters(folded(word)) for word in known.words if folded(word) not in _COMMON}
        self._words = frozenset(word for word in words if len(word) >= 3)
        self._fuzzy = sorted(word for word in self._words if len(word) >= _SHORTEST_FUZZY)
        self._ideographs = tuple(word for word in words if len(word) >= 2 and min(word) >= _IDEOGRAPHS)
        plain = {"".join(_WORD.findall(folded(code))) for code in known.codes}
        self._codes = frozenset(code for code in plain if len(code) >= 3)
        self._long_codes = sorted(_as_digits(code) for code in self._codes if len(code) >= 5)
        self._dates = known.dates

    def found(self, boxes: Sequence[TextBox]) -> dict[int, Why]:
        """The boxes that go, by their place in `boxes`, which one look at one picture found."""
        texts = [normal(box.text) for box in boxes]
        found: dict[int, Why] = {}
        for place, text in enumerate(texts):
            why = self.reason(text)
            if why is not None:
                found[place] = why
        for places in _neighbours(boxes):
            for place, why in self._joined({place: folded(texts[place]) for place in places}):
                found.setdefault(place, why)
        for place, text in enumerate(texts):
            self._follow(place, text, texts, boxes, found)
        return found

    def reason(self, text: str) -> Why | None:
        """Why a line of text goes, taken by itself; None where it stays."""
        plain = folded(text)
        if self._is_known(plain):
            return "identifier"
        if looks_identifying(text):
            return "pattern"
        return "text" if self._all and _WORD.search(plain) else None

    def _joined(self, texts: dict[int, str]) -> Iterator[tuple[int, Why]]:
        """What of boxes beside one another lies across them: a name or number in parts, a date in parts."""
        parts = {place: "".join(_WORD.findall(text)) for place, text in texts.items()}
        owners = [place for place, part in parts.items() for _ in part]
        whole = "".join(parts.values())
        for read, sought in ((_as_letters(whole), self._fuzzy), (_as_digits(whole), self._long_codes)):
            for identifier in sought:
                at = read.find(identifier)
                while at >= 0:
                    yield from ((place, "identifier") for place in dict.fromkeys(owners[at : at + len(identifier)]))
                    at = read.find(identifier, at + 1)
        if _has_date("".join(texts.values())) and not any(_has_date(text) for text in texts.values()):
            yield from ((place, "pattern") for place in texts)

    def _follow(self, place: int, text: str, texts: list[str], boxes: Sequence[TextBox], found: dict[int, Why]) -> None:
        """What a label stands before or over goes with it; so do a name and the time beside a date or number."""
        if label_in(text) == "":
            after = _after(place, boxes)
            found.setdefault(place, "pattern")
            if after is not None:
                found.setdefault(after, "pattern")
        if place not in found and may_be_a_name(text):
            beside = (other for other in found if _same_line(boxes[place], boxes[other]))
            if any(_gap(boxes[place], boxes[other]) < _NEAR * boxes[place].height for other in beside):
                found[place] = "pattern"
        if place not in found and TIME.search(folded(text)):
            beside = (other for other in found if _same_line(boxes[place], boxes[other]))
            if any(_has_date(folded(texts[other])) for other in beside):
                found[place] = "pattern"

    # ---- known identifiers

    def _is_known(self, plain: str) -> bool:
        tokens = _WORD.findall(plain)
        if any(self._is_known_word(token) for token in tokens) or self._has_known_code(tokens):
            return True
        whole = _as_letters("".join(tokens))
        if any(word in whole for word in self._ideographs):
            return True
        # A name that was read with a gap in it.
        if any(len(word) > _SHORTEST_FUZZY and word in whole for word in self._fuzzy):
            return True
        return bool(self._dates) and any(day in self._dates for day in self._days(plain, tokens))

    def _days(self, plain: str, tokens: list[str]) -> Iterator[str]:
        yield from dates_in(plain)
        for token in tokens:
            if len(token) == 6 and token.isdigit():  # 020317, 170302
                for year, rest in ((token[4:], token[:4]), (token[:2], token[2:])):
                    for century in ("19", "20"):
                        yield century + year + rest
                        yield century + year + rest[2:] + rest[:2]
            elif len(token) == 8 and token.isdigit():
                yield token
                yield token[4:] + token[:4]
                yield token[4:] + token[2:4] + token[:2]

    def _is_known_word(self, token: str) -> bool:
        if 2 * sum(letter.isdigit() for letter in token) > len(token) or token in _COMMON:
            return False
        read = _as_letters(token)
        if read in self._words:
            return True
        if len(read) < _SHORTEST_FUZZY:
            return False
        for word in self._fuzzy:
            # Cut off at the edge of its field, run into the next word, or misread.
            if word.startswith(read) or word in read:
                return True
            if len(read) > _SHORTEST_FUZZY and len(word) > len(read) and _within(word[: len(read)], read, 1):
                return True
            shorter = min(len(word), len(read))
            if _within(word, read, 2 if shorter >= _SHORTEST_LOOSE else 1):
                return True
        return self._is_made_of_words(read)

    def _is_made_of_words(self, read: str) -> bool:
        """Whether it is several known words run together, as short ones may be."""
        reached = {0}
        for end in range(3, len(read) + 1):
            if any(read[start:end] in self._words for start in tuple(reached)):
                reached.add(end)
        return len(read) in reached

    def _has_known_code(self, tokens: list[str]) -> bool:
        if not self._codes:
            return False
        if any(token in self._codes for token in tokens):
            return True
        whole = _as_digits("".join(tokens))
        read = {*map(_as_digits, tokens), whole}
        parts = [part for part in read if len(part) >= 4 and sum(letter.isdigit() for letter in part) >= 2]
        for code in self._long_codes:
            # Run into others, cut off where the picture was too bright or dark to read on, or misread.
            if code in whole or any(code.startswith(part) or code.endswith(part) for part in parts):
                return True
            if any(len(part) >= 7 and _within(code, part, 1) for part in parts):
                return True
        return False


def _has_date(plain: str) -> bool:
    return next(dates_in(plain), None) is not None


def _as_letters(text: str) -> str:
    return text.translate(_LETTERS)


def _as_digits(text: str) -> str:
    """Read as a number where it is one for the most part: "S" in "SMITH" is no 5."""
    return text.translate(_DIGITS) if sum(letter.isdigit() for letter in text) * 2 >= len(text) else text


def _within(first: str, second: str, most: int) -> bool:
    """Whether so many letters added, left out or changed make one of the other."""
    if abs(len(first) - len(second)) > most:
        return False
    above = list(range(len(second) + 1))
    for row, letter in enumerate(first, 1):
        line = [row]
        for column, other in enumerate(second, 1):
            line.append(min(above[column] + 1, line[-1] + 1, above[column - 1] + (letter != other)))
        if min(line) > most:
            return False
        above = line
    return above[-1] <= most


# ---- boxes beside one another


def _gap(first: TextBox, second: TextBox) -> int:
    return max(first.x, second.x) - min(first.x + first.width, second.x + second.width)


def _same_line(first: TextBox, second: TextBox) -> bool:
    shared = min(first.y + first.height, second.y + second.height) - max(first.y, second.y)
    return 2 * shared > min(first.height, second.height)


def _neighbours(boxes: Sequence[TextBox]) -> Iterator[tuple[int, ...]]:
    """Runs of two and three boxes that follow one another on a line with little between them."""
    order = sorted(range(len(boxes)), key=lambda place: boxes[place].x)
    following: dict[int, int] = {}
    for at, place in enumerate(order):
        box = boxes[place]
        for other in order[at + 1 :]:
            gap = boxes[other].x - (box.x + box.width)
            if _same_line(box, boxes[other]) and -box.height < gap < 1.5 * box.height:
                following[place] = other
                break
    for place in order:
        run = [place]
        while run[-1] in following and len(run) < _LONGEST_JOIN:
            run.append(following[run[-1]])
            yield tuple(run)


def _after(place: int, boxes: Sequence[TextBox]) -> int | None:
    """What stands to the right of a label on its line, else right below it."""
    label = boxes[place]
    right = [
        other
        for other, box in enumerate(boxes)
        if other != place and _same_line(label, box) and 0 <= box.x - label.x - label.width // 2 < 12 * label.height
    ]
    if right:
        return min(right, key=lambda other: boxes[other].x)
    below = [
        other
        for other, box in enumerate(boxes)
        if other != place
        and 0 <= box.y - label.y - label.height // 2 < 2 * label.height
        and min(box.x + box.width, label.x + label.width) > max(box.x, label.x)
    ]
    return min(below, key=lambda other: boxes[other].y) if below else None
