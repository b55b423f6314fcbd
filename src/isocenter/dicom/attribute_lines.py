"""Attributes of a study, series or instance as JSON text, a line each: put together without being taken apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

Lines = Mapping[str, str]
_BETWEEN = ",\n"
_NAME = slice(1, 9)  # ggggeeee, behind its quotation mark


def _plain(value: Any) -> str:
    return orjson.dumps(value).decode()


def line(name: str, attribute: Any, dumped: Callable[[Any], str] = _plain) -> str:
    """One attribute of a DICOM JSON model as the member of a JSON object."""
    return f'"{name}":{dumped(attribute)}'


def lines_of(model: Mapping[str, Any]) -> dict[str, str]:
    """The lines of a DICOM JSON model by the attributes' names."""
    return {name: line(name, attribute) for name, attribute in model.items()}


def text_of(model: Mapping[str, Any], dumped: Callable[[Any], str]) -> str:
    """A model as the text of a JSON object, which `lines_in` reads fast; `dumped` writes JSON of one line."""
    if any(len(name) != 8 for name in model):
        return dumped(model)
    return "{" + _BETWEEN.join([line(name, model[name], dumped) for name in sorted(model)]) + "}"


def lines_in(text: str) -> dict[str, str]:
    """The lines of a text by the attributes' names.

    JSON has no line feed inside a string, so those there are stand between attributes. A text without any, of one
    attribute or written in another way, is taken apart.
    """
    if "\n" not in text:
        return lines_of(orjson.loads(text))
    return {each[_NAME]: each for each in text[1:-1].split(_BETWEEN)}


def joined(lines: Lines) -> str:
    """A JSON object of these attributes in the order of their names (PS3.18 F.2.2)."""
    return "{" + ",".join(sorted(lines.values())) + "}"


def model_of(lines: Lines) -> dict[str, Any]:
    """The DICOM JSON model itself."""
    found: dict[str, Any] = orjson.loads(joined(lines))
    return found
