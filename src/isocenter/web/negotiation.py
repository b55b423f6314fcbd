"""Content negotiation by the Accept header (RFC 9110 12.5.1), with the type parameter of multipart/related."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from isocenter.web.multipart import media_type


@dataclass(frozen=True, slots=True)
class Accepted:
    """One member of an Accept header."""

    type: str
    parameters: dict[str, str]
    quality: float


def accepted(header: str | None) -> list[Accepted]:
    """The members of an Accept header, best first; none at all means anything."""
    found = []
    for part in _members(header or "*/*"):
        kind, parameters = media_type(part)
        try:
            quality = float(parameters.pop("q", "1"))
        except ValueError:
            quality = 0.0
        if kind and 0 < quality <= 1:
            found.append(Accepted(kind, parameters, quality))
    return sorted(found, key=lambda member: -member.quality)


def prefers(header: str | None, available: Sequence[str]) -> str | None:
    """The first of `available` that the caller likes best; None where nothing fits."""
    for member in accepted(header):
        for candidate in available:
            if member.type in ("*/*", candidate, candidate.partition("/")[0] + "/*"):
                return candidate
    return None


def _members(header: str) -> list[str]:
    """Splits at commas outside quotes."""
    parts, current, quoted = [], "", False
    for character in header[:4096]:
        if character == '"':
            quoted = not quoted
        if character == "," and not quoted:
            parts.append(current)
            current = ""
        else:
            current += character
    return [part.strip() for part in [*parts, current] if part.strip()]
