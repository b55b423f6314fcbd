"""Three circles down the middle of an image: red, green and blue, evenly spaced."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
from pydantic import Field

from isocenter.algorithms.base import DataSetInput, Finding, Gives, Made, Output, Parameters, Picture, Takes, algorithm
from isocenter.algorithms.derived import derive, described, rgb
from isocenter.render.encode import PNG, encode

NAME: Final = "three-circles"
VERSION: Final = "1.0.0"
COLOURS: Final = (("red", (255, 0, 0)), ("green", (0, 255, 0)), ("blue", (0, 0, 255)))


class Circles(Parameters):
    """How the circles are drawn."""

    line_width: float | None = Field(
        None, gt=0, le=65535, description="Of the ring, in pixels, inwards; a 128th of the height, 1 at least, without."
    )
    fill: bool = Field(False, description="Discs instead of rings.")


@algorithm(
    name=NAME,
    version=VERSION,
    takes=(Takes.DATA_SET, Takes.PICTURE),
    gives=(Gives.DATA_SET, Gives.IMAGE, Gives.FINDINGS),
    parameters=Circles,
    suffix="_annot",
)
def three_circles(source: DataSetInput | Picture, parameters: Circles) -> Output:
    """Draws three circles down the middle: red, green and blue, evenly spaced from each other and the edges.

    For a height of H pixels each has the diameter H/4, and the four gaps are H/16. A DICOM instance gives a new one in
    RGB, shown as its own window says; a picture gives a PNG.
    """
    if isinstance(source, Picture):
        drawn = draw(rgb(source.pixels), parameters)
        made = Made(PNG, encode(drawn, PNG), ".png")
        return Output(_findings(drawn.shape[0], drawn.shape[1], 1), (made,))
    shape: list[int] = []

    def frames() -> Iterator[npt.NDArray[np.uint8]]:
        for frame in source.frames():
            shape[:] = frame.shown.shape[:2]
            yield draw(rgb(frame.shown), parameters)

    data = derive(
        source,
        frames(),
        name=NAME,
        version=VERSION,
        parameters=parameters.model_dump(mode="json"),
        description=described("circles drawn into the pixels", parameters.model_dump(mode="json")),
        code=("three-circles", "Circles drawn into the pixels"),
    )
    findings = (each for number in range(1, source.count + 1) for each in _findings(shape[0], shape[1], number))
    return Output(tuple(findings), (Made("application/dicom", data, ".dcm"),))


def centres(rows: int, columns: int) -> tuple[tuple[float, float], ...]:
    """Row and column of the three centres, in pixel coordinates: (0, 0) is the corner of the first pixel."""
    return tuple((rows * (3 + 5 * place) / 16, columns / 2) for place in range(3))


def draw(pixels: npt.NDArray[np.uint8], parameters: Circles) -> npt.NDArray[np.uint8]:
    """Draws on RGB pixels, which are given back.

    With R = rows/8 and d the distance of a pixel's centre (row + 1/2, column + 1/2) from a circle's, the pixel is in
    the ring if R - line_width <= d <= R, and in the disc if d <= R. What lies beside a narrow image is cut off. All is
    in pixels: where these are not square, the circles are not round in millimetres.
    """
    rows, columns = pixels.shape[:2]
    radius = rows / 8
    width = max(1.0, rows / 128) if parameters.line_width is None else parameters.line_width
    # In sixteenths of a pixel everything but a width somebody chose is a whole number, and no rounding decides.
    outer, inner = 4 * rows * rows, 0.0 if parameters.fill else max(0.0, 2 * rows - 16 * width) ** 2
    for place, (down, across) in enumerate(centres(rows, columns)):
        top, bottom = max(0, int(down - radius) - 1), min(rows, int(down + radius) + 2)
        left, right = max(0, int(across - radius) - 1), min(columns, int(across + radius) + 2)
        y = 16 * np.arange(top, bottom)[:, None] + 8 - rows * (3 + 5 * place)
        x = 16 * np.arange(left, right)[None, :] + 8 - 8 * columns
        distance = y * y + x * x
        pixels[top:bottom, left:right][(distance <= outer) & (distance >= inner)] = COLOURS[place][1]
    return pixels


def _findings(rows: int, columns: int, number: int) -> tuple[Finding, ...]:
    size = rows / 4
    return tuple(
        Finding(f"{name} circle", 1.0, number, (across - size / 2, down - size / 2, size, size))
        for (down, across), (name, _) in zip(centres(rows, columns), COLOURS, strict=True)
    )
