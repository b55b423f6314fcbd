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
from isocenter.deid.text_patterns import SPANS
from isocenter.deid.words import is_defined_term, word_list

# Digital radiography and magnetic resonance, which are written as titles are, and what follows besides body parts.
_MODALITIES = ("MR ", "DR ")
_AFTER_MODALITY = frozenset(
    (
        "angio", "angiogram", "angiography", "arthrogram", "bilateral", "brain", "breast", "cardiac", "cervical",
        "cholangiopancreatography", "elastography", "enterography", "fetal", "guided", "left", "liver", "lower",
        "lumbar", "orbits", "perfusion", "prostate", "renal",
        "right", "sacrum", "spectroscopy", "spine", "thoracic", "upper",
        "urogram", "venography", "w", "with", "without", "wo",
    )
)  # fmt: skip
_TOKEN = re.compile(r"[^\W_]+(?:\.\d+)?")
_LETTERS = re.compile(r"[^\W\d_]+")
_MIXED = re.compile(r"(?:b\d{2,4}|[a-z]{1,4}\d{1,3}[a-z]{0,2}|\d{1,4}(?:\.\d+)?[a-z]{1,4}|\d[a-z]\d)\Z")
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
    text = _without(text, [match.span() for match in SPANS.finditer(text) if not _is_harmless(text, match)])
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


def _is_harmless(text: str, match: re.Match[str]) -> bool:
    """A long number that a unit follows is a measurement; MR BRAIN names nobody, nor does 2 MM NECK ST."""
    if match["titled"] is not None:
        word = folded(match["titled"])
        return match[0].startswith(_MODALITIES) and (is_defined_term(word) or word in _AFTER_MODALITY)
    if match["graduate"] is not None:
        return match[0].endswith(" do")
    if match["street"] is not None:
        return match["street"].split()[0].lower() in _UNITS
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
