"""Words that identify nobody although they stand in names of people, institutions and places."""

from __future__ import annotations

from importlib.resources import files


def word_list(name: str) -> frozenset[str]:
    """A list of this room's data: one word in a line, lines that begin with # left out."""
    text = files("isocenter.deid").joinpath("data", name).read_text("utf-8")
    return frozenset(line for line in text.splitlines() if line and not line.startswith("#"))


ORDINARY = word_list("ordinary-words.txt")
_TERMS = word_list("defined-terms.txt")


def is_defined_term(text: str) -> bool:
    """Whether a code string is a word of anatomy or technique that a name happens to equal (patient CHEST^JOHN)."""
    return text.strip().lower() in _TERMS
