"""Cleans descriptions and comments: known identifiers first, patterns next, a word policy last.

The word policy, for attributes that Clean Descriptors names: words of the standard and of radiology stay
(`data/medical-words.txt`), and so do small numbers, measurements and the names of kernels and sequences; what is not
known stays out. In attributes that no rule names only identifiers and what looks like one go.
"""

from __future__ import annotations

import re
from functools import lru_cache

from isocenter.deid.identifiers import folded
from isocenter.deid.scan import Finder
from isocenter.deid.words import word_list

_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|sept|oct|nov|dec)[a-z]*"
_PATTERNS = re.compile(
    "|".join(
        (
            # Mail, web and network addresses.
            r"(?<![\w.+-])[\w.+-]++@[\w-]+\.[\w.-]+",
            r"\b(?:https?|ftp)://\S+|\bwww\.\S+",
            r"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b",
            # Labels with what they announce.
            r"\b(?:mrn|pid|patient\s*id|id|acc(?:ession)?|ssn|dob|birth\s*date|date\s*of\s*birth|phone|tel|fax|pager"
            r"|zip|account|acct|order|room|bed)"
            r"\s*(?:no|nr|number|num)?\s*\.?\s*[:#=]+\s*[\w./-]+",
            r"\b(?:name|patient|pt|physician|dr|doctor|referring|ref|ordering|operator|tech(?:nologist)?|radiologist"
            r"|nurse|rn|md)"
            r"\s*[:=]\s*[^\W\d_][\w'.-]*(?:[ ,^]+[^\W\d_][\w'.-]*){0,2}",
            # Titles with a name.
            r"\b(?:dr|mr|mrs|ms|miss|prof|professor|doctor)\b\.?\s+[^\W\d_][\w'-]+(?:\s+[A-Z][\w'-]+)?",
            r"\b[^\W\d_][\w'-]{1,40},?\s+(?:m\.?d\.?|ph\.?d\.?|r\.?n\.?|d\.?o\.?|frcr)(?=\W|$)",
            # Social security, telephone.
            r"(?<!\d)\d{3}-\d{2}-\d{4}(?!\d)",
            r"(?<![\d.])(?:\+?\d{1,3}[ .-]?)?(?:\(\d{2,4}\)|\d{3})[ .-]\d{3}[ .-]\d{4}(?!\d)",
            r"(?<![\d.])\d{3}[-.]\d{4}(?![\d.])",
            r"\+\d[\d ().-]{7,}\d",
            # Dates, and times of day after them.
            r"(?<![\d.])(?:19|20)\d{2}([-/. _]?)(?:0[1-9]|1[0-2])\1(?:0[1-9]|[12]\d|3[01])(?!\d)"
            r"(?:[ tT_-]?\d{1,2}:?\d{2}(?::?\d{2})?)?",
            r"(?<![\d.])\d{1,2}([-/.])\d{1,2}\2(?:19|20)?\d{2}(?![\d.])(?:\s+\d{1,2}:\d{2}(?::\d{2})?)?",
            rf"\b\d{{1,2}}(?:st|nd|rd|th)?[-/. ]*{_MONTH}[-/., ]*(?:\d{{4}}|\d{{2}})\b",
            rf"\b{_MONTH}[-/. ]*\d{{1,2}}(?:st|nd|rd|th)?[-/, ]+(?:\d{{4}}|\d{{2}})\b",
            rf"\b{_MONTH}[-/., ]+(?:19|20)\d{{2}}\b",
            r"\b\d{1,2}:\d{2}(?::\d{2})?\s*(?:[ap]m)?\b",
            # Street addresses.
            r"\b\d{1,6}\s+(?:[A-Z][\w'-]*\s+){1,3}"
            r"(?:st|street|ave|avenue|rd|road|blvd|boulevard|ln|lane|drive|court|way|place|strasse|str)\b\.?",
            r"\b[A-Z]{2}\s+\d{5}(?:-\d{4})?\b",
            # UIDs, and long numbers whatever they are.
            r"\b\d+(?:\.\d+){4,}\b",
            r"(?<![\d.])\d{6,}(?![\d.])",
        )
    ),
    re.I,
)
_TOKEN = re.compile(r"[^\W_]+(?:\.\d+)?")
_LETTERS = re.compile(r"[^\W\d_]+")
_MIXED = re.compile(r"(?:[a-z]{1,4}\d{1,3}[a-z]{0,2}|\d{1,4}(?:\.\d+)?[a-z]{1,4}|\d[a-z]\d)\Z")
_NUMBER = re.compile(r"\d{1,4}(?:\.\d+)?\Z")
_YEAR = re.compile(r"(?:19|20)\d\d\Z")
_UNITS = frozenset(
    (
        "mm", "cm", "ml", "msec", "ms", "sec", "s", "min", "hz", "khz", "mhz", "kv",
        "kvp", "ma", "mas", "mgy", "mbq", "mci", "kg", "g", "mg", "t", "x", "hu",
        "d", "th", "st", "nd", "rd",
    )
)  # fmt: skip
_LOOSE = re.compile(r"(?<=\s)[,;:/#&()\[\]^*-]+(?=\s|$)|^[,;:/#&^* -]+|[,;:/#&^* -]+$|\(\s*\)|\[\s*\]")


@lru_cache(maxsize=4096)
def _cleaned(text: str, only_known: bool) -> str:
    """The text with blanks for patterns and unknown words; kept, as a series says the same in every instance."""
    text = _without(text, [match.span() for match in _PATTERNS.finditer(text) if not _is_measure(text, match)])
    return _without(text, _unknown(text)) if only_known else text


@lru_cache(maxsize=1)
def _medical() -> frozenset[str]:
    return word_list("medical-words.txt")


def clean_text(text: str, finder: Finder, *, only_known: bool) -> str:
    """The text without what identifies; `only_known` keeps but words known to be medical. The same if nothing went."""
    known = finder.spans(text)
    left = _without(_cleaned(text, only_known), known)
    if left == text:
        return text
    return " ".join(_LOOSE.sub(" ", " ".join(left.split())).split())


def _is_measure(text: str, match: re.Match[str]) -> bool:
    """A long number or pair that a unit follows is a measurement."""
    after = re.match(r"\s*([a-zA-Z]+)", text[match.end() :])
    return match[0].isdigit() and after is not None and after[1].lower() in _UNITS


def _without(text: str, spans: list[tuple[int, int]]) -> str:
    """Spaces in the place of the spans, so that positions stay."""
    for start, end in spans:
        text = text[:start] + " " * (end - start) + text[end:]
    return text


def _unknown(text: str) -> list[tuple[int, int]]:
    """Words and numbers that nobody knows to be harmless."""
    found: list[tuple[int, int]] = []
    for match in _TOKEN.finditer(text):
        word = folded(match[0])
        beside = bool(found) and found[-1][1] >= match.start() - 2
        if not _is_known(word) or (len(word) == 1 and word.isalpha() and word not in "lr" and beside):
            found.append(match.span())  # an initial goes with the name that it stands beside
    return found


def _is_known(word: str) -> bool:
    if _NUMBER.match(word):
        return not _YEAR.match(word)
    if _MIXED.match(word):
        return all(len(part) <= 2 or part in _medical() or part in _UNITS for part in _LETTERS.findall(word))
    return len(word) == 1 or word in _medical()
