"""How a caller wants a picture to look: the parameters of PS3.18 8.3.5, and the validator of what is made by them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, cast

from fastapi import Query, Request

from isocenter.errors import BadRequest
from isocenter.records import ImageRecord
from isocenter.render.asked import (
    PROFILES,
    Annotation,
    IccProfile,
    Look,
    Viewport,
    WindowFunction,
    parse_annotation,
    parse_window,
)

JPEG, PNG, GIF = "image/jpeg", "image/png", "image/gif"

_SIDE = r"(1[0-5][0-9]{3}|[1-9][0-9]{0,3})"
_REAL = r"[0-9]{1,5}(\.[0-9]{1,4})?"
_SPAN = r"-?[1-9][0-9]{0,4}(\.[0-9]{1,4})?"
_VIEWPORT = f"^{_SIDE},{_SIDE}(,({_REAL})?,({_REAL})?(,({_SPAN})?,({_SPAN})?)?)?$"
_WINDOW = (
    r"^-?[0-9]{1,9}(\.[0-9]{1,9})?,(0?\.[0-9]{0,8}[1-9]|[1-9][0-9]{0,8}(\.[0-9]{1,9})?)"
    r"(,(linear|linear-exact|sigmoid))?$"
)
_VIEWPORT_TOLD = (
    "Largest width and height, then left, top, width and height of the source region;"
    " a negative width or height mirrors."
)
_WINDOW_TOLD = 'Window centre and width in modality units, as "40,400"; then linear, linear-exact or sigmoid.'
ViewportText = Annotated[str | None, Query(alias="viewport", pattern=_VIEWPORT, description=_VIEWPORT_TOLD)]
WindowText = Annotated[str | None, Query(alias="window", pattern=_WINDOW, description=_WINDOW_TOLD)]
# Of rendered resources and thumbnails: pattern and meaning of each parameter, which is read by hand.
_LOOKS = {
    "viewport": (_VIEWPORT, _VIEWPORT_TOLD),
    "window": (_WINDOW, _WINDOW_TOLD),
    "quality": ("^([1-9][0-9]?|100)$", "Of JPEG: 1 the smallest, 100 the best, 90 unless given."),
    "annotation": (
        "^(patient|technique|patient,technique|technique,patient)$",
        "Text to burn in: patient, technique or both by comma.",
    ),
    "iccprofile": (f"^({'|'.join(PROFILES)})$", "ICC profile to convert to and embed."),
}
_SIZES = {"viewport": (f"^{_SIDE},{_SIDE}$", "Largest width and height in pixels.")}


def _documented(parameters: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    told = [
        {"name": name, "in": "query", "schema": {"type": "string", "pattern": pattern}, "description": description}
        for name, (pattern, description) in parameters.items()
    ]
    return {"parameters": told}


RENDERED, THUMBNAIL = _documented(_LOOKS), _documented(_SIZES)


@dataclass(frozen=True, slots=True)
class Wishes:
    """The parameters of a rendered resource."""

    viewport: Viewport | None = None
    window: tuple[float, float] | None = None
    function: WindowFunction | None = None
    quality: int = 90
    annotations: tuple[Annotation, ...] = ()
    icc_profile: IccProfile | None = None

    def look(self, media_type: str, frame: int = 1) -> Look:
        return Look(
            media_type,
            frame,
            self.window,
            quality=self.quality,
            window_function=self.function,
            viewport=self.viewport,
            annotations=self.annotations,
            icc_profile=self.icc_profile,
        )


def wishes_of(request: Request) -> Wishes:
    """The parameters of a request for a rendered resource, as `RENDERED` describes them."""
    given = _given(request, _LOOKS)
    viewport, window, annotation = given.get("viewport"), given.get("window"), given.get("annotation")
    limits, function = (None, None) if window is None else parse_window(window)
    return Wishes(
        None if viewport is None else Viewport.parse(viewport),
        limits,
        function,
        int(given.get("quality", 90)),
        () if annotation is None else parse_annotation(annotation),
        cast("IccProfile | None", given.get("iccprofile")),
    )


def size_of(request: Request) -> Viewport | None:
    """The parameter of a request for a thumbnail, as `THUMBNAIL` describes it."""
    viewport = _given(request, _SIZES).get("viewport")
    return None if viewport is None else Viewport.parse(viewport)


def _given(request: Request, parameters: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    found = {name: text for name, text in request.query_params.items() if name in parameters}
    for name, text in found.items():
        if re.fullmatch(parameters[name][0], text) is None:
            raise BadRequest(f"{name} is not written as /openapi.json describes it", code="bad-parameter")
    return found


def picture_etag(records: Sequence[ImageRecord], *made_by: Any) -> str:
    """A validator of pictures: they follow from the stored bytes and from everything that `made_by` names."""
    digest = hashlib.sha256(repr(made_by).encode())
    for record in records:
        digest.update(f"{record.id}:{record.blob.sha256};".encode("ascii"))
    return f'"{digest.hexdigest()[:32]}"'
