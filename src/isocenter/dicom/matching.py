"""Matching of attributes against search keys (PS3.4 C.2.2.2, PS3.18 8.3.4): a Data Set's terms, and the reference.

Every backend keeps the same terms (a path of tags, a normalised text) and runs the same tests on them; what they find
is held against `matches`, which needs no index.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from isocenter.dicom.dictionary import keyword_of, vr_of
from isocenter.dicom.moments import date_span, date_value, datetime_span, datetime_value, time_span, time_value
from isocenter.dicom.numbers import number_value
from isocenter.errors import BadRequest

Model = Mapping[str, Mapping[str, Any]]
Tags = tuple[int, ...]

MOST_STARS = 8
LONGEST_KEY = 1024
# Date and time attributes that a range of dates and a range of times span together (PS3.4 C.2.2.2.5.4).
PAIRS = {
    0x00080020: 0x00080030, 0x00080021: 0x00080031, 0x00080022: 0x00080032, 0x00080023: 0x00080033,
    0x00080012: 0x00080013, 0x00400244: 0x00400245,
}  # fmt: skip
_WILD = frozenset(["AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"])
_KEEP_LEADING = frozenset(["LT", "ST", "UC", "UR", "UT"])
_NUMBERS = frozenset(["DS", "IS", "FL", "FD", "SL", "SS", "SV", "UL", "US", "UV"])
_WORD = re.compile(r"[\s^=,.;\-'\"()/]+")
_EMPTY = '""'


class Term(NamedTuple):
    """One value: `path` names the attribute, `item` the items of sequences gone through ("" outside of any)."""

    path: str
    item: str
    value: str


@dataclass(frozen=True, slots=True)
class AnyOf:
    """The value is one of these."""

    values: tuple[str, ...]

    def __call__(self, value: str) -> bool:
        return value in self.values


@dataclass(frozen=True, slots=True)
class Pattern:
    """The value fits `text`, where * stands for any characters and ? for one."""

    text: str

    def __call__(self, value: str) -> bool:
        return re.fullmatch(self.expression, value, re.DOTALL) is not None

    @property
    def expression(self) -> str:
        return "".join({"*": ".*", "?": "."}.get(each) or re.escape(each) for each in self.text)

    @property
    def prefix(self) -> str:
        """What every value that fits begins with."""
        return re.split(r"[*?]", self.text, maxsplit=1)[0]


@dataclass(frozen=True, slots=True)
class Span:
    """The value lies between these, both included; None leaves a side open. Texts compare by code point."""

    low: str | None
    high: str | None

    def __call__(self, value: str) -> bool:
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


@dataclass(frozen=True, slots=True)
class Absent:
    """There is no value (empty value matching, PS3.4 C.2.2.2.7)."""


Test = AnyOf | Pattern | Span | Absent


@dataclass(frozen=True, slots=True)
class Clause:
    """Some term of one of `paths` passes `test`."""

    paths: tuple[str, ...]
    test: Test


@dataclass(frozen=True, slots=True)
class Key:
    """One search key: every clause must hold. `tags` leads through sequences to the attribute."""

    tags: Tags
    level: str  # study, series or instance: whose attribute it is
    clauses: tuple[Clause, ...]


def path_of(tags: Tags) -> str:
    return ".".join([f"{tag:08X}" for tag in tags])


def make_key(tags: Tags, level: str, text: str, *, fuzzy: bool = False) -> Key | None:
    """The key for what a caller gave as `text`; None where it matches everything (PS3.4 C.2.2.2.3)."""
    keyword, text = keyword_of(tags[-1]), _clean(text)
    if len(text) > LONGEST_KEY:
        raise BadRequest(f"the value given for {keyword} is over {LONGEST_KEY} characters", code="bad-key")
    vr, path = _class_of(tags[-1]), path_of(tags)
    if vr == "SQ":
        raise BadRequest(f"{keyword} is a sequence; name an attribute in it: {keyword}.Keyword=...", code="bad-key")
    if not text or (set(text) == {"*"} and vr in _WILD):
        return None
    if text == _EMPTY:
        if len(tags) > 1:
            raise BadRequest(f'{keyword} lies in a sequence, where "" is not searched for', code="bad-key")
        paths = tuple(f"{path}={group}" for group in range(3)) if vr == "PN" else (path,)
        return Key(tags, level, (Clause(paths, Absent()),))
    if vr == "PN":
        return Key(tags, level, _words(path, text) if fuzzy else _names(path, text))
    return Key(tags, level, (Clause((path,), _test(vr, keyword, text)),))


def combine(keys: Sequence[Key], texts: Mapping[Tags, str]) -> list[Key]:
    """Join a range of dates and a range of times of one pair into a range of moments (PS3.4 C.2.2.2.5.4)."""
    found = {key.tags: key for key in keys}
    for date in [key.tags for key in keys if key.tags[-1] in PAIRS]:
        time = (*date[:-1], PAIRS[date[-1]])
        if time not in found or "-" not in texts.get(date, "") or "-" not in texts.get(time, ""):
            continue
        days, times = _ends(found[date]), _ends(found.pop(time))
        # Where the dates are open to one side, so are the times there.
        low = None if days[0] is None else days[0] + (times[0] or "000000.000000")
        high = None if days[1] is None else days[1] + (times[1] or "235959.999999")
        clause = Clause((f"{path_of(date)}+",), Span(low, high))
        found[date] = Key(date, found[date].level, (clause,))
    return list(found.values())


def _ends(key: Key) -> tuple[str | None, str | None]:
    test = key.clauses[0].test
    if isinstance(test, AnyOf):
        return test.values[0], test.values[0]
    assert isinstance(test, Span)
    return test.low, test.high


def _test(vr: str, keyword: str, text: str) -> Test:
    try:
        if vr == "DA":
            return _between(date_span(text))
        if vr == "TM":
            return _between(time_span(text))
        if vr == "DT":
            return _between(datetime_span(text))
        if vr in _NUMBERS:
            return AnyOf(tuple(number_value(each.strip()) for each in text.split("\\")))
    except ValueError:
        takes = {"DA": "YYYYMMDD or a range", "TM": "HHMMSS or a range", "DT": "YYYYMMDDHHMMSS or a range"}
        raise BadRequest(f"{keyword} takes {takes.get(vr, 'a number')}", code="bad-key") from None
    if vr == "UI":
        return AnyOf(tuple(each.strip() for each in re.split(r"[,\\]", text)))
    if vr == "AT":
        return AnyOf(tuple(re.sub(r"[(), ]", "", each).upper() for each in text.split("\\")))
    values = tuple(_text(vr, each) for each in text.split("\\"))
    if len(values) == 1 and vr in _WILD and ("*" in text or "?" in text):
        return _pattern(values[0], keyword)
    return AnyOf(values)


def _between(span: tuple[str | None, str | None]) -> Test:
    low, high = span
    return AnyOf((low,)) if low is not None and low == high else Span(low, high)


def _pattern(text: str, keyword: str) -> Pattern:
    text = re.sub(r"\*+", "*", text)
    if text.count("*") > MOST_STARS:
        raise BadRequest(f"the value given for {keyword} has more than {MOST_STARS} asterisks", code="bad-key")
    return Pattern(text)


def _names(path: str, text: str) -> tuple[Clause, ...]:
    """Person names regardless of case; without "=" any of the three component groups may fit (PS3.5 6.2.1)."""
    groups = text.split("=")
    if len(groups) > 3:
        raise BadRequest("a person name has at most three component groups", code="bad-key")
    clauses = []
    for number, group in enumerate(groups):
        value = _name(group)
        if not value:
            continue
        paths = (f"{path}={number}",) if len(groups) > 1 else tuple(f"{path}={each}" for each in range(3))
        wild = "*" in value or "?" in value
        clauses.append(Clause(paths, _pattern(value, "a person name") if wild else AnyOf((value,))))
    return tuple(clauses)


def _words(path: str, text: str) -> tuple[Clause, ...]:
    """Each word asked for begins a word of the name, in any order, regardless of case and diacritics."""
    words = [word for word in _WORD.split(_plain(text)) if word.strip("*")]
    if len(words) > 16:
        raise BadRequest("fuzzymatching takes at most 16 words of a name", code="bad-key")
    return tuple(Clause((f"{path}~",), _pattern(f"{word}*", "a person name")) for word in words)


def _class_of(tag: int) -> str:
    """The VR that decides how an attribute is matched: the dictionary's; text for private and unknown ones."""
    vr = vr_of(tag).partition(" ")[0]
    return "LO" if vr == "UN" else vr


def terms(model: Model) -> list[Term]:
    """The terms of a Data Set in the JSON model (PS3.18 F.2), sequences included, each once."""
    return list(dict.fromkeys(_terms(model, "", "")))


def _terms(model: Model, path: str, item: str) -> Iterator[Term]:
    for name, attribute in model.items():
        here = f"{path}.{name}" if path else name
        if attribute.get("vr") == "SQ":
            for number, value in enumerate(attribute.get("Value", ())):
                if isinstance(value, Mapping):
                    yield from _terms(value, here, f"{item}/{number:06d}" if item else f"{number:06d}")
            continue
        for suffix, text in attribute_terms(model, int(name, 16)):
            yield Term(f"{here}{suffix}", item, text)


def attribute_terms(model: Model, tag: int) -> Iterator[tuple[str, str]]:
    """(suffix of the path, value) for each value of one attribute of a Data Set."""
    attribute = model.get(f"{tag:08X}")
    if attribute is None:
        return
    vr = _class_of(tag)
    for value in attribute.get("Value", ()):
        if vr == "PN":
            yield from _name_terms(value)
        elif (text := _value(vr, value)) is not None:
            yield "", text
            if tag in PAIRS and (moment := _moment(text, model.get(f"{PAIRS[tag]:08X}"))):
                yield "+", moment


def _name_terms(value: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(value, Mapping):
        return
    for number, group in enumerate(("Alphabetic", "Ideographic", "Phonetic")):
        text = _clean(str(value.get(group, "")))
        if name := _name(text):
            yield f"={number}", name
            for word in _WORD.split(_plain(text)):
                if word:
                    yield "~", word


def _moment(date: str, time: Mapping[str, Any] | None) -> str | None:
    values = [] if time is None else time.get("Value", ())
    found = next((each for each in (_value("TM", value) for value in values) if each), "000000.000000")
    return date + found


def _value(vr: str, value: Any) -> str | None:
    """A value as it is kept and compared; None where there is nothing to compare."""
    if value is None or isinstance(value, Mapping | list):
        return None
    text = _clean(str(value))
    if vr in _NUMBERS:
        try:
            return number_value(text.strip())
        except ValueError:
            return None
    found = _text(vr, text)
    if not found:
        return None
    return {"DA": date_value, "TM": time_value, "DT": datetime_value}.get(vr, str)(found)


def _clean(text: str) -> str:
    text = text.replace("\0", "")
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _text(vr: str, text: str) -> str:
    text = text if text.isascii() else unicodedata.normalize("NFC", text)
    text = text.rstrip() if vr in _KEEP_LEADING else text.strip()
    return text.upper() if vr == "AT" else text


def _name(group: str) -> str:
    """One component group without what says nothing: case, spaces around components, empty ones at the end."""
    group = unicodedata.normalize("NFC", group.casefold())
    return "^".join(part.strip() for part in group.split("^")).rstrip("^")


def _plain(text: str) -> str:
    """Without case and diacritics."""
    split = unicodedata.normalize("NFKD", text.casefold())
    return unicodedata.normalize("NFC", "".join(each for each in split if not unicodedata.combining(each)))


def matches(keys: Sequence[Key], model: Model) -> bool:
    """Whether a Data Set meets all keys; those under one sequence must be met by one of its items."""
    return _met([(key, key.tags) for key in keys], model)


def _met(keys: Sequence[tuple[Key, Tags]], model: Model) -> bool:
    below: dict[int, list[tuple[Key, Tags]]] = {}
    for key, (first, *rest) in keys:
        if rest:
            below.setdefault(first, []).append((key, tuple(rest)))
        elif not _met_here(key, model):
            return False
    return all(any(_met(held, item) for item in _items(model, sequence)) for sequence, held in below.items())


def _items(model: Model, tag: int) -> Iterator[Model]:
    for item in model.get(f"{tag:08X}", {}).get("Value", ()):
        if isinstance(item, Mapping):
            yield item


def _met_here(key: Key, model: Model) -> bool:
    path = path_of(key.tags)
    found = [(path + suffix, value) for suffix, value in attribute_terms(model, key.tags[-1])]
    for clause in key.clauses:
        values = [value for at, value in found if at in clause.paths]
        if isinstance(clause.test, Absent):
            if values:
                return False
        elif not any(map(clause.test, values)):
            return False
    return True


def order_value(model: Model, tag: int) -> str:
    """What an attribute is sorted by: its least value, "" where it has none; a name by its first group."""
    wanted = "=0" if _class_of(tag) == "PN" else ""
    return min((value[:SORTED] for suffix, value in attribute_terms(model, tag) if suffix == wanted), default="")


# Sorting looks at so many characters.
SORTED = 200


def order_path(tag: int) -> str:
    return f"{tag:08X}=0" if _class_of(tag) == "PN" else f"{tag:08X}"
