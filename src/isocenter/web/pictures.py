"""How a caller wants a picture to look: the parameters of PS3.18 8.3.5, and the validator of what is made by them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, cast

from fastapi import Depends, Query

from isocenter.archive.rendered import Look
from isocenter.records import ImageRecord
from isocenter.render.annotation import Annotation, parse_annotation
from isocenter.render.icc import PROFILES, IccProfile
from isocenter.render.viewport import Viewport
from isocenter.render.voi import WindowFunction, parse_window

JPEG, PNG, GIF = "image/jpeg", "image/png", "image/gif"

_SIDE = r"(1[0-5][0-9]{3}|[1-9][0-9]{0,3})"
_REAL = r"[0-9]{1,5}(\.[0-9]{1,4})?"
_SPAN = r"-?[1-9][0-9]{0,4}(\.[0-9]{1,4})?"
ViewportText = Annotated[
    str | None,
    Query(
        alias="viewport",
        pattern=f"^{_SIDE},{_SIDE}(,({_REAL})?,({_REAL})?(,({_SPAN})?,({_SPAN})?)?)?$",
        description="Largest width and height, then left, top, width and height of the source region;"
        " a negative width or height mirrors.",
    ),
]
WindowText = Annotated[
    str | None,
    Query(
        alias="window",
        pattern=r"^-?[0-9]{1,9}(\.[0-9]{1,9})?,(0?\.[0-9]{0,8}[1-9]|[1-9][0-9]{0,8}(\.[0-9]{1,9})?)"
        r"(,(linear|linear-exact|sigmoid))?$",
        description='Window centre and width in modality units, as "40,400"; then linear, linear-exact or sigmoid.',
    ),
]
_ViewportSize = Annotated[
    str | None,
    Query(alias="viewport", pattern=f"^{_SIDE},{_SIDE}$", description="Largest width and height in pixels."),
]


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


async def _wishes(
    viewport: ViewportText = None,
    window: WindowText = None,
    quality: Annotated[int, Query(ge=1, le=100, description="Of JPEG: 1 the smallest, 100 the best.")] = 90,
    annotation: Annotated[
        str | None,
        Query(
            pattern="^(patient|technique|patient,technique|technique,patient)$",
            description="Text to burn in: patient, technique or both by comma.",
        ),
    ] = None,
    iccprofile: Annotated[
        str | None, Query(pattern=f"^({'|'.join(PROFILES)})$", description="ICC profile to convert to and embed.")
    ] = None,
) -> Wishes:
    limits, function = (None, None) if window is None else parse_window(window)
    return Wishes(
        None if viewport is None else Viewport.parse(viewport),
        limits,
        function,
        quality,
        () if annotation is None else parse_annotation(annotation),
        cast("IccProfile | None", iccprofile),
    )


async def _size(viewport: _ViewportSize = None) -> Viewport | None:
    return None if viewport is None else Viewport.parse(viewport)


WishesOf = Annotated[Wishes, Depends(_wishes)]
ThumbnailSize = Annotated[Viewport | None, Depends(_size)]


def picture_etag(records: Sequence[ImageRecord], *made_by: Any) -> str:
    """A validator of pictures: they follow from the stored bytes and from everything that `made_by` names."""
    digest = hashlib.sha256(repr(made_by).encode())
    for record in records:
        digest.update(f"{record.id}:{record.blob.sha256};".encode("ascii"))
    return f'"{digest.hexdigest()[:32]}"'
