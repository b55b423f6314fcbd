"""A read-only view of a Data Set in the DICOM JSON model (PS3.18 F.2)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any

Model = Mapping[str, Mapping[str, Any]]


class DataSet:
    """Typed access by tag number to a DICOM JSON model; a missing or unusable value reads as None or empty."""

    __slots__ = ("model",)

    def __init__(self, model: Model) -> None:
        self.model = model

    def __contains__(self, tag: int) -> bool:
        return f"{tag:08X}" in self.model

    def values(self, tag: int) -> list[Any]:
        """The Value array; empty where the attribute is missing, empty or bulk."""
        found: list[Any] = self.model.get(f"{tag:08X}", {}).get("Value", [])
        return found

    def text(self, tag: int) -> str | None:
        """The first value as text; for PN its Alphabetic group."""
        first = next(iter(self.values(tag)), None)
        if isinstance(first, Mapping):
            first = first.get("Alphabetic")
        return None if first is None else str(first)

    def numbers(self, tag: int) -> list[float]:
        """All values that are numbers, in order."""
        return list(_numbers(self.values(tag)))

    def number(self, tag: int) -> float | None:
        return next(_numbers(self.values(tag)), None)

    def integer(self, tag: int) -> int | None:
        """The first value as an integer; None where it is not a whole, finite number."""
        found = self.number(tag)
        return (
            int(found) if found is not None and found == found and abs(found) < 2**63 and found == int(found) else None
        )

    def items(self, tag: int) -> list[DataSet]:
        """The items of a sequence."""
        return [DataSet(item) for item in self.values(tag) if isinstance(item, Mapping)]

    def binary(self, tag: int) -> bytes | None:
        """InlineBinary, decoded; None where the value is absent or kept by reference (BulkDataURI)."""
        inline = self.model.get(f"{tag:08X}", {}).get("InlineBinary")
        if not isinstance(inline, str):
            return None
        try:
            return base64.b64decode(inline, validate=True)
        except (ValueError, binascii.Error):
            return None


def _numbers(values: list[Any]) -> Iterator[float]:
    for value in values:
        if isinstance(value, bool) or value is None:
            continue
        try:
            yield float(value)
        except (TypeError, ValueError):
            continue
