"""Text and JSON as every backend keeps them: no NUL, no lone surrogates; and compressed."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping
from typing import Any

import orjson

from isocenter.errors import LimitExceeded

LONGEST = 512  # bytes of an identifier, as with the other backends


def clean(text: str) -> str:
    """The text without NUL, its lone surrogates as question marks."""
    text = text.replace("\0", "")
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def clean_or_none(text: str | None) -> str | None:
    return None if text is None else clean(text)


def indexed(keyword: str, text: str) -> str:
    """Clean text that is looked up; above 512 bytes it raises LimitExceeded."""
    text = clean(text)
    if len(text) > LONGEST // 4 and len(text.encode()) > LONGEST:
        raise LimitExceeded(f"{keyword} is longer than {LONGEST} bytes.")
    return text


def indexed_or_none(keyword: str, text: str | None) -> str | None:
    return None if text is None else indexed(keyword, text)


def dumped(model: Any) -> str:
    """A JSON model as text."""
    try:
        made = orjson.dumps(model)
        if b"\\u0000" not in made:
            return made.decode()
    except TypeError:  # a lone surrogate, a number above 64 bits, or a Mapping that is no dict
        pass
    return json.dumps(_cleaned(model), separators=(",", ":"))


def squeezed(value: Any) -> bytes:
    """A JSON value, deflated."""
    return zlib.compress(dumped(value).encode(), 6)


def expanded(data: bytes) -> Any:
    """What `squeezed` made small."""
    return orjson.loads(zlib.decompress(data))


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
