"""Specific Character Set (0008,0005) in terms that readers know, as whatever else stands there cannot be read again."""

from __future__ import annotations

from functools import lru_cache

from isocenter.dicom.character_sets import CODECS

_AS_READ = "ISO_IR 100"  # as which text of an unknown character set is read here, cleaned and searched


@lru_cache(maxsize=64)
def known_terms(stated: bytes) -> bytes:
    """The value without terms that the standard does not define; the same object where there are none."""
    terms = [term.strip(" \0") for term in stated.decode("latin-1").strip(" \0").split("\\")]
    known = [term for term in terms if term in CODECS]
    if len(known) == len(terms):
        return stated
    return ("\\".join(known) or _AS_READ).encode("ascii")
