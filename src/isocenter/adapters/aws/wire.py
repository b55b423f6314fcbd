"""Items as DynamoDB's requests and answers have them: each value with its type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def wired_key(key: tuple[str, str]) -> dict[str, Any]:
    return {"pk": {"S": key[0]}, "sk": {"S": key[1]}}


def wired(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _typed(value) for name, value in item.items() if value is not None}


def plain(typed_values: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {
        name: int(typed["N"]) if "N" in typed else typed["S"] if "S" in typed else typed["B"]
        for name, typed in typed_values.items()
    }


def size_of(item: Mapping[str, Any]) -> int:
    """About the bytes that an item counts for."""
    return sum(len(name) + (len(value) if isinstance(value, str | bytes) else 8) for name, value in item.items())


def _typed(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        return {"S": value}
    if isinstance(value, int):
        return {"N": str(int(value))}
    return {"B": bytes(value)}
