"""Text and JSON as both databases can keep them: no NUL, no lone surrogates."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import orjson

from isocenter.errors import LimitExceeded

# PostgreSQL cannot index a row above 2,704 bytes, and the widest index has three texts and a short one.
LONGEST = 512


def clean(text: str) -> str:
    """The text without NUL, its lone surrogates as question marks."""
    if "\0" in text:
        text = text.replace("\0", "")
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def indexed(keyword: str, text: str) -> str:
    """Clean text that goes into an index; above 512 bytes it raises LimitExceeded."""
    text = clean(text)
    if len(text) > LONGEST // 4 and len(text.encode()) > LONGEST:
        raise LimitExceeded(f"{keyword} is longer than {LONGEST} bytes.")
    return text


def dumped(model: Mapping[str, Any]) -> str:
    """A JSON model as text."""
    try:
        made = orjson.dumps(model)
        if b"\\u0000" not in made:
            return made.decode()
    except TypeError:  # a lone surrogate, a number above 64 bits, or a Mapping that is no dict
        pass
    return json.dumps(_cleaned(model), separators=(",", ":"))


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {clean(str(key)): _cleaned(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
