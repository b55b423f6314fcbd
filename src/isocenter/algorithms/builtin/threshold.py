"""Regions of a frame whose values lie between two limits, pixel by pixel."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from isocenter.algorithms.base import (
    MOST_RUNS,
    Finding,
    Frame,
    Gives,
    Output,
    Parameters,
    Picture,
    Takes,
    algorithm,
    runs_of,
)
from isocenter.algorithms.builtin.levels import Reals, luminance, otsu
from isocenter.algorithms.builtin.regions import Region, filled, regions_of


class Range(Parameters):
    """Which values count, and which regions of them are told."""

    lower: float | None = Field(None, description="Lowest value that counts, in modality units (in CT HU).")
    upper: float | None = Field(None, description="Highest value that counts.")
    least: float = Field(0.001, ge=0, le=1, description="Share of the frame below which a region is left out.")
    most: int = Field(20, ge=1, le=200, description="Regions of one frame, the largest first.")
    fill: bool = Field(False, description="Whether what a region encloses is a part of it.")

    @model_validator(mode="after")
    def _in_order(self) -> Range:
        if self.lower is not None and self.upper is not None and self.lower > self.upper:
            raise ValueError("lower has to lie at or below upper")
        return self


@algorithm(
    name="threshold",
    version="1.0.0",
    takes=(Takes.FRAME, Takes.PICTURE),
    gives=Gives.FINDINGS,
    parameters=Range,
)
def threshold(source: Frame | Picture, parameters: Range) -> Output:
    """Finds the regions whose values lie between two limits, each with its box and its mask.

    Pixels that touch by their sides are one region. Without limits the brighter part of the levels shown counts, by
    the level that parts them best (Otsu, 1979). Each finding `region` has `area` (share of the frame), `area_mm2` where
    the spacing is known, and `mean`, `lowest` and `highest` of its values. Padding is no part of a region. One too
    ragged to be told pixel by pixel has its box alone.
    """
    frame = source if isinstance(source, Frame) else Frame(source.pixels, source.pixels, source.number, source.spacing)
    values = _values(frame)
    if parameters.lower is None and parameters.upper is None:
        shown = luminance(frame.shown)
        inside = shown > otsu(shown)[0]
    else:
        with np.errstate(invalid="ignore"):  # what is not a number lies in no range
            inside = values >= (-np.inf if parameters.lower is None else parameters.lower)
            inside &= values <= (np.inf if parameters.upper is None else parameters.upper)
    if frame.background is not None:
        inside &= ~frame.background
    if parameters.fill:
        inside = filled(inside)
    labels, regions = regions_of(inside)
    kept = [region for region in regions if region.area >= parameters.least * inside.size][: parameters.most]
    return Output(tuple(_finding(region, labels, values, frame) for region in kept))


def _finding(region: Region, labels: npt.NDArray[np.int32], values: Reals, frame: Frame) -> Finding:
    place = slice(region.y, region.y + region.height), slice(region.x, region.x + region.width)
    mask = labels[place] == region.number
    own = values[place][mask]
    own = own[np.isfinite(own)]
    told = {"area": region.area / labels.size}
    if frame.spacing is not None:
        told["area_mm2"] = region.area * frame.spacing[0] * frame.spacing[1]
    if own.size:
        told |= {"mean": float(own.mean()), "lowest": float(own.min()), "highest": float(own.max())}
    runs = runs_of(mask)
    box = (region.x, region.y, region.width, region.height)
    return Finding("region", 1.0, frame.number, box, values=told, mask=runs if len(runs) <= MOST_RUNS else None)


def _values(frame: Frame) -> Reals:
    """In modality units where the frame is grey; of colour and palettes the luminance shown."""
    if frame.stored.ndim == frame.shown.ndim == 2:
        return np.asarray(frame.stored.astype(np.float64) * frame.slope + frame.intercept)
    return luminance(frame.shown)
