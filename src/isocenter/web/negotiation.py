"""Content negotiation by Accept (RFC 9110 12.5.1) as PS3.18 8.7 has it, with types of parts and transfer syntaxes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from fastapi import Request

from isocenter.dicom.media_types import FORMER
from isocenter.errors import NotAcceptable
from isocenter.web.multipart import media_type

MULTIPART = "multipart/related"
_MOST = 4096
_REMEMBERED = 512  # characters of a header


@dataclass(frozen=True, slots=True)
class Form:
    """One way an answer can come: a body of this media type, or parts of it."""

    type: str
    multipart: bool = False


@dataclass(frozen=True, slots=True)
class Accepted:
    """One member of an Accept header; requests share it."""

    type: str
    parameters: Mapping[str, str]
    quality: float

    @property
    def syntax(self) -> str | None:
        """The transfer syntax asked for, "*" for whichever there is; None where none is named (PS3.18 8.7.3.5.2)."""
        return self.parameters.get("transfer-syntax")

    @property
    def named(self) -> str | None:
        """The media type of the body or of its parts where it is named in full; None behind a wildcard."""
        kind = self.parameters.get("type", "*/*").lower() if self.type == MULTIPART else self.type
        return None if "*" in kind else kind

    def precision(self, form: Form) -> int:
        """How closely this member names a form, 0 where it does not take it at all."""
        if self.type == "*/*":
            return 1
        if not form.multipart:
            return _closeness(self.type, form.type, 2)
        if self.type == "multipart/*":
            return 2
        if self.type != MULTIPART:
            return 0
        stated = self.parameters.get("type", "").lower()
        return _closeness(stated, form.type, 4) if stated not in ("", "*/*") else 3


def _closeness(stated: str, kind: str, base: int) -> int:
    if stated == kind:
        return base + 1
    return base if stated == kind.partition("/")[0] + "/*" else 0


class NothingAcceptable(NotAcceptable):
    """Nothing of what there is was asked for; `available` are the media types or transfer syntaxes there are."""

    def __init__(self, detail: str, available: Sequence[str], *, code: str | None = None) -> None:
        super().__init__(detail, code=code)
        self.available = tuple(available)


def accept_of(request: Request) -> str | None:
    """What the caller accepts: the `accept` parameter of the address, else the header.

    Browsers cannot set the header of a link or an image, so the address may say it (PS3.18 8.3.3.1). OpenAPI has no
    more to say of it than of the header: the routes' answers tell which media types there are.
    """
    return request.query_params.get("accept") or request.headers.get("accept")


def accepted(header: str | None) -> list[Accepted]:
    """The members of an Accept header, best first; none at all means anything."""
    return [member for member in _ranked(header) if member.quality > 0]


def _ranked(header: str | None) -> list[Accepted]:
    """The members, best first. Former names count as those that replaced them, which answers then have too."""
    found = []
    for part in _members(header or "*/*"):
        kind, parameters = media_type(part)
        kind = FORMER.get(kind, kind)
        if (of_parts := FORMER.get(parameters.get("type", "").lower())) is not None:
            parameters["type"] = of_parts
        try:
            quality = float(parameters.pop("q", "1"))
        except ValueError:
            continue
        if kind and 0 <= quality <= 1:
            found.append(Accepted(kind, parameters, quality))
    return sorted(found, key=lambda member: -member.quality)


def choices(header: str | None, forms: Sequence[Form]) -> Iterator[tuple[Form, Accepted]]:
    """The forms that fit, best first, each with the member that takes it; of equals the first of `forms`.

    A form counts by the members that name it most closely: `image/*, image/png;q=0` leaves PNG out.
    """
    # Clients send the same few headers again and again.
    chosen = _chosen if header is None or len(header) <= _REMEMBERED else _chosen.__wrapped__
    return ((forms[place], member) for place, member in chosen(header, tuple(forms)))


@lru_cache(maxsize=512)
def _chosen(header: str | None, forms: tuple[Form, ...]) -> tuple[tuple[int, Accepted], ...]:
    """Places in `forms`: callers know their own forms again, not those of another that are equal."""
    ranked = _ranked(header)
    closest = {form: max((member.precision(form) for member in ranked), default=0) for form in forms}
    return tuple(
        (place, member)
        for member in ranked
        for place, form in enumerate(forms)
        if member.quality > 0 and 0 < member.precision(form) == closest[form]
    )


def prefers(header: str | None, available: Sequence[str]) -> str | None:
    """The first of `available` that the caller likes best; None where nothing fits."""
    chosen = next(choices(header, [_plain(kind) for kind in available]), None)
    return None if chosen is None else MULTIPART if chosen[0].multipart else chosen[0].type


def _plain(kind: str) -> Form:
    return Form("*/*", multipart=True) if kind == MULTIPART else Form(kind)


def _members(header: str) -> list[str]:
    """Splits at commas outside quotes."""
    if '"' not in header:
        return [part.strip() for part in header[:_MOST].split(",") if part.strip()]
    found = re.findall(r'(?:"[^"]*"?|[^",])+', header[:_MOST])
    return [part.strip() for part in found if part.strip()]
