"""What identifies the people, places and moments of one study: gathered from its headers, looked for everywhere."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

__all__ = ["Known", "folded"]


def folded(text: str) -> str:
    """Text without case and diacritics, as identifiers are compared."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in plain if not unicodedata.combining(letter))


@dataclass(frozen=True, slots=True)
class Known:
    """Identifiers of one study, `folded`.

    `words` are single words of names, institutions, places (three letters or more); `codes` are patient IDs, accession
    numbers, telephone numbers and the like, letters and digits only; `dates` are YYYYMMDD.
    """

    words: frozenset[str] = frozenset()
    codes: frozenset[str] = frozenset()
    dates: frozenset[str] = frozenset()
