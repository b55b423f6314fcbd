"""Frames as JPEG and PNG files, pixel for pixel as their own window shows them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pydantic import Field

from isocenter.algorithms.base import DataSetInput, Gives, Made, Output, Parameters, Picture, Shown, Takes, algorithm
from isocenter.errors import Unsupported
from isocenter.render.encode import DEFAULT_QUALITY, JPEG, PNG, encode

_TAKES: Final = (Takes.DATA_SET, Takes.PICTURE)
_SUFFIXES: Final = {JPEG: ".jpg", PNG: ".png"}


class Which(Parameters):
    """Which frames."""

    frame: int | None = Field(None, ge=1, description="Number of the one frame wanted; all of them without.")


class WhichAndHow(Which):
    """Which frames, and how well they are kept."""

    quality: int = Field(DEFAULT_QUALITY, ge=1, le=100, description="Of the JPEG.")


@algorithm(name="to-jpeg", version="1.0.0", takes=_TAKES, gives=Gives.IMAGE, parameters=WhichAndHow, suffix="_jpeg")
def to_jpeg(source: DataSetInput | Picture, parameters: WhichAndHow) -> Output:
    """Makes a JPEG of each frame, as its own window shows it."""
    return Output(made=tuple(_made(source, parameters, JPEG, parameters.quality)))


@algorithm(name="to-png", version="1.0.0", takes=_TAKES, gives=Gives.IMAGE, parameters=Which, suffix="_png")
def to_png(source: DataSetInput | Picture, parameters: Which) -> Output:
    """Makes a PNG of each frame, as its own window shows it."""
    return Output(made=tuple(_made(source, parameters, PNG, DEFAULT_QUALITY)))


def _made(source: DataSetInput | Picture, parameters: Which, media_type: str, quality: int) -> Iterator[Made]:
    """Without overlays or a change of size, so that what is found in the picture lies there in the frame too."""
    single, found = _frames(source, parameters.frame)
    for number, pixels in found:
        place = "" if single else f"_{number:04d}"
        yield Made(media_type, encode(pixels, media_type, quality), place + _SUFFIXES[media_type])


def _frames(source: DataSetInput | Picture, wanted: int | None) -> tuple[bool, Iterator[tuple[int, Shown]]]:
    """Whether there is but one, and the frames with their numbers."""
    count = 1 if isinstance(source, Picture) else source.count
    if wanted is not None and wanted > count:
        raise Unsupported(f"there is no such frame; the image has {count}", code="no-frame")
    if isinstance(source, Picture):
        return True, iter(((1, source.pixels),))
    if wanted is not None:
        return True, iter(((wanted, source.frame(wanted).shown),))
    return count == 1, ((frame.number, frame.shown) for frame in source.frames())
