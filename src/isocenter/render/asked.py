"""How a picture is to look, as it is asked for (PS3.18 8.3.5.1): without pixels, and without what works on them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal, cast

from isocenter.errors import BadRequest

MOST_WIDTH = 16384

Annotation = Literal["patient", "technique"]
ANNOTATIONS: Final[tuple[Annotation, ...]] = ("patient", "technique")
IccProfile = Literal["no", "yes", "srgb", "adobergb", "rommrgb"]
PROFILES: Final[tuple[IccProfile, ...]] = ("no", "yes", "srgb", "adobergb", "rommrgb")
WindowFunction = Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"]
# The `window` parameter's names for the functions (PS3.18 8.3.5.1.4).
_NAMES: dict[str, WindowFunction] = {"linear": "LINEAR", "linear-exact": "LINEAR_EXACT", "sigmoid": "SIGMOID"}


@dataclass(frozen=True, slots=True)
class Viewport:
    """The `viewport` parameter: the largest picture that fits `width` x `height`, of a region of the source image.

    The region is `region_width` x `region_height` source pixels, to the image's edge where None, from (`left`,
    `top`) on. A negative width mirrors left and right, a negative height top and bottom.
    """

    width: int
    height: int
    left: float = 0.0
    top: float = 0.0
    region_width: float | None = None
    region_height: float | None = None

    @classmethod
    def parse(cls, text: str) -> Viewport:
        """Read `vw,vh[,sx,sy,sw,sh]`, in which values after the first two may be left empty; raises BadRequest."""
        parts = [part.strip() for part in text.split(",")]
        if not 2 <= len(parts) <= 6:
            raise _wrong()
        try:
            width, height = int(parts[0]), int(parts[1])
            left, top, wide, high = (float(part) if part else None for part in (*parts[2:], *[""] * (6 - len(parts))))
        except ValueError:
            raise _wrong() from None
        found = cls(width, height, abs(left or 0.0), abs(top or 0.0), wide, high)
        found.check()
        return found

    def check(self) -> None:
        """Raise BadRequest where the numbers cannot be those of a viewport."""
        if not (1 <= self.width <= MOST_WIDTH and 1 <= self.height <= MOST_WIDTH):
            raise BadRequest(f"the viewport's width and height are between 1 and {MOST_WIDTH} pixels")
        region = (self.left, self.top, self.region_width or 1.0, self.region_height or 1.0)
        if not all(map(math.isfinite, region)) or 0 in (self.region_width, self.region_height):
            raise _wrong()

    def region(self, rows: int, columns: int) -> tuple[slice, slice]:
        """Rows and columns of the region, in whole pixels; BadRequest where none of it lies in the image."""
        down = _extent(self.top, self.region_height, rows)
        across = _extent(self.left, self.region_width, columns)
        if down.start >= down.stop or across.start >= across.stop:
            raise BadRequest("the viewport's source region lies outside the image")
        return down, across

    @property
    def mirrored(self) -> bool:
        return self.region_width is not None and self.region_width < 0

    @property
    def upside_down(self) -> bool:
        return self.region_height is not None and self.region_height < 0


def _wrong() -> BadRequest:
    return BadRequest("viewport is vw,vh or vw,vh,sx,sy,sw,sh: whole pixels, then decimal numbers (PS3.18 8.3.5.1.3)")


def _extent(start: float, length: float | None, most: int) -> slice:
    first = min(abs(start), float(most))
    end = float(most) if length is None else min(first + abs(length), float(most))
    return slice(math.floor(first), math.ceil(end))


@dataclass(frozen=True, slots=True)
class Look:
    """How a picture should look, as `FrameRequest` explains; `frame` counts from 1.

    Volumes and pictures have no overlays and no annotations, pictures no window either.
    """

    media_type: str = "image/png"
    frame: int = 1
    window: tuple[float, float] | None = None
    width: int | None = None
    quality: int = 90
    window_function: WindowFunction | None = None
    viewport: Viewport | None = None
    annotations: tuple[Annotation, ...] = ()
    icc_profile: IccProfile | None = None
    overlays: bool = True


def parse_window(text: str) -> tuple[tuple[float, float], WindowFunction | None]:
    """Read `center,width[,function]` as (centre, width) and function, None where unnamed; raises BadRequest."""
    parts = [part.strip() for part in text.split(",")]
    try:
        center, width = float(parts[0]), float(parts[1])
        function = _NAMES[parts[2]] if len(parts) > 2 else None
    except (ValueError, LookupError):
        center = width = math.nan
        function = None
    if len(parts) > 3 or not math.isfinite(center) or not math.isfinite(width) or width <= 0:
        raise BadRequest(
            "window is center,width,function: numbers, the width above nought, then linear,"
            " linear-exact or sigmoid (PS3.18 8.3.5.1.4)"
        )
    return (center, width), function


def parse_annotation(text: str) -> tuple[Annotation, ...]:
    """The keywords of an `annotation` parameter, each once; raises BadRequest for others than PS3.18 names."""
    named = [part.strip() for part in text.split(",")]
    if any(name not in ANNOTATIONS for name in named):
        raise BadRequest("annotation is patient, technique or both, parted by a comma (PS3.18 8.3.5.1.2)")
    return tuple(cast("Annotation", name) for name in dict.fromkeys(named))
