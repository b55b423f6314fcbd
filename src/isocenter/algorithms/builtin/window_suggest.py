"""A window that shows what an image holds."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from isocenter.algorithms.base import DataSetInput, Finding, Gives, Output, Parameters, Takes, Volume, algorithm
from isocenter.errors import Unsupported

_MOST_VALUES: Final = 1 << 22  # of all frames together; of more, every second or third and so on counts


class Percentiles(Parameters):
    """What part of the values is shown from black to white."""

    low: float = Field(1.0, ge=0, lt=100, description="Percentile shown black.")
    high: float = Field(99.0, gt=0, le=100, description="Percentile shown white.")
    background: bool = Field(False, description="Whether the value of the background counts too.")

    @model_validator(mode="after")
    def _in_order(self) -> Percentiles:
        if self.low >= self.high:
            raise ValueError("low has to lie below high")
        return self


@algorithm(
    name="window-suggest",
    version="1.0.0",
    takes=(Takes.DATA_SET, Takes.VOLUME),
    gives=Gives.FINDINGS,
    parameters=Percentiles,
)
def window_suggest(source: DataSetInput | Volume, parameters: Percentiles) -> Output:
    """Suggests Window Center and Window Width, in modality units, for the whole image.

    The finding `window` has `center` and `width` for the VOI LUT Function LINEAR (PS3.3 C.11.2.1.2), and `low` and
    `high`, which it shows black and white. Padding does not count, nor does a background: the lowest value there is,
    where a tenth of the pixels has it.
    """
    values = _values(source)
    if not values.size:
        raise Unsupported("the image has no grey values", code="no-values")
    if not parameters.background:
        values = without_background(values)
    low, high = (float(end) for end in np.percentile(values, (parameters.low, parameters.high)))
    if high - low < 1e-9:
        low, high = float(values.min()), float(values.max())
    center, width = window_of(low, high)
    return Output((Finding("window", 1.0, values={"center": center, "width": width, "low": low, "high": high}),))


def window_of(low: float, high: float) -> tuple[float, float]:
    """Centre and width that show `low` black and `high` white by LINEAR; the width is 1 at least."""
    return (low + high + 1) / 2, high - low + 1


def without_background(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Without the lowest value where a tenth has it."""
    lowest = values == values.min()
    if np.count_nonzero(lowest) < values.size / 10 or lowest.all():
        return values
    return np.asarray(values[~lowest])


def _values(source: DataSetInput | Volume) -> npt.NDArray[np.float64]:
    """The finite values of all frames or voxels, evenly thinned where they are many."""
    if isinstance(source, Volume):
        return _finite(_thinned(source.voxels.reshape(-1), _MOST_VALUES))
    pieces = []
    for frame in source.frames():
        if frame.stored.ndim != 2:
            raise Unsupported("no window applies to colour (PS3.3 C.11.2)", code="unsupported-photometric")
        inside = frame.stored.reshape(-1) if frame.background is None else frame.stored[~frame.background]
        thinned = _thinned(inside, max(4096, _MOST_VALUES // source.count))
        pieces.append(_finite(thinned) * frame.slope + frame.intercept)
    return np.concatenate(pieces)


def _thinned(values: npt.NDArray[Any], most: int) -> npt.NDArray[Any]:
    return values[:: max(1, -(-values.size // most))]


def _finite(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    reals: npt.NDArray[np.float64] = values.astype(np.float64)
    return np.asarray(reals[np.isfinite(reals)])
