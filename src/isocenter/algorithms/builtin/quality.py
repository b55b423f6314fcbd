"""How good an image is to look at: noise, contrast, clipping, blankness and motion."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydantic import Field

from isocenter.algorithms.base import DataSetInput, Finding, Frame, Gives, Output, Parameters, Picture, Takes, algorithm
from isocenter.algorithms.builtin.levels import luminance

Values = npt.NDArray[np.float64]

_MOST_SIDE: Final = 2048  # what is larger is measured on its middle: noise must not be averaged away
_BLOCK: Final = 16
_EXPECTED: Final = 0.6745 * 6  # the median of |N(0, 1)|, times what the kernel makes of a deviation of 1


class Thresholds(Parameters):
    """From where on a measure is a finding of its own."""

    clipped: float = Field(0.25, ge=0, le=1, description="Share of the pixels shown pure white.")
    low_contrast: float = Field(0.05, ge=0, le=1, description="Contrast below which it is low.")
    noisy: float = Field(0.1, ge=0, description="Noise as a part of the range of values shown.")
    blank: float = Field(0.001, ge=0, le=1, description="Share of the pixels that differ from the most usual level.")
    motion: float = Field(0.1, ge=0, le=1, description="Mean change of level from one frame to the next.")


@algorithm(
    name="quality",
    version="1.0.0",
    takes=(Takes.DATA_SET, Takes.PICTURE),
    gives=Gives.FINDINGS,
    parameters=Thresholds,
)
def quality(source: DataSetInput | Picture, parameters: Thresholds) -> Output:
    """Measures noise, contrast, clipping and motion of each frame, and says which are blank.

    Each frame gives a finding `quality` with `noise` (standard deviation, in modality units), `noise_shown` (in parts
    of the range from black to white), `contrast` (standard deviation of the levels over 255), `clipped_low` and
    `clipped_high` (shares of pixels shown black and white), `varied` (share of pixels off the most usual level) and,
    from the second on, `motion` (mean change of level since the frame before, over 255). Padding counts for none.
    """
    frames = (_as_frame(source),) if isinstance(source, Picture) else source.frames()
    found: list[Finding] = []
    before: npt.NDArray[np.uint8] | None = None
    for frame in frames:
        values = measured(frame)
        if before is not None and before.shape == frame.shown.shape:
            values["motion"] = float(np.abs(frame.shown.astype(np.int16) - before).mean() / 255)
        before = frame.shown
        found.append(Finding("quality", 1.0, frame.number, values=values))
        found += [Finding(label, 1.0, frame.number) for label in _told(values, parameters)]
    return Output(tuple(found))


def measured(frame: Frame) -> dict[str, float]:
    """All that one frame says of itself."""
    inside = None if frame.background is None else ~frame.background
    levels = luminance(frame.shown)
    kept = levels if inside is None else levels[inside]
    if not kept.size:
        kept = levels
    counts = np.bincount(kept.astype(np.uint8).reshape(-1), minlength=256) / kept.size
    usual = int(counts.argmax())
    near = counts[max(0, usual - 1) : usual + 2].sum()
    # Stored values of colour are of many spaces, and of a palette no measure at all.
    stored = frame.stored if frame.stored.ndim == frame.shown.ndim == 2 else levels
    return {
        "noise": noise(stored, inside) * abs(frame.slope),
        "noise_shown": noise(levels, inside) / 255,
        "contrast": float(kept.std() / 255),
        "clipped_low": float(counts[0]),
        "clipped_high": float(counts[255]),
        "varied": max(0.0, float(1 - near)),
    }


def noise(values: npt.NDArray[Any], inside: npt.NDArray[np.bool_] | None = None) -> float:
    """The standard deviation of white noise, by a Laplacian that sees neither slopes nor, mostly, edges.

    The kernel is Immerkaer's (1996). Of each block of 16 x 16 its median answer counts, which keeps edges out, and of
    all blocks the median again. Blocks without any, as in air that was cut off, tell nothing; where they are more than
    nine in ten the image has no noise.
    """
    rows, columns = values.shape
    top, left = max(0, (rows - _MOST_SIDE) // 2), max(0, (columns - _MOST_SIDE) // 2)
    middle = slice(top, top + _MOST_SIDE), slice(left, left + _MOST_SIDE)
    part = values[middle].astype(np.float64)
    if min(part.shape) < 3:
        return 0.0
    part = np.nan_to_num(part, posinf=0, neginf=0)
    down = part[:-2] - 2 * part[1:-1] + part[2:]
    answer = np.abs(down[:, :-2] - 2 * down[:, 1:-1] + down[:, 2:])
    if inside is not None:
        answer[~_eroded(inside[middle])] = np.nan
    found = np.median(_blocks(answer), axis=1)
    found = found[np.isfinite(found)]  # blocks with padding in them do not count
    noisy = found[found > 0]
    return float(np.median(noisy) / _EXPECTED) if noisy.size > found.size / 10 else 0.0


def _blocks(values: Values) -> Values:
    """The values of each whole block as a row; of an image of less than one block, all of them."""
    down, across = values.shape[0] // _BLOCK, values.shape[1] // _BLOCK
    if not down or not across:
        return values.reshape(1, -1)
    whole = values[: down * _BLOCK, : across * _BLOCK].reshape(down, _BLOCK, across, _BLOCK)
    return whole.swapaxes(1, 2).reshape(-1, _BLOCK * _BLOCK)


def _eroded(inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    across = inside[:, :-2] & inside[:, 1:-1] & inside[:, 2:]
    found: npt.NDArray[np.bool_] = across[:-2] & across[1:-1] & across[2:]
    return found


def _told(values: dict[str, float], limits: Thresholds) -> list[str]:
    if values["varied"] < limits.blank:
        return ["blank"]  # of which nothing else is worth saying
    told = []
    if values["clipped_high"] > limits.clipped:
        told.append("clipped at white")
    if values["contrast"] < limits.low_contrast:
        told.append("low contrast")
    if values["noise_shown"] > limits.noisy:
        told.append("noisy")
    if values.get("motion", 0.0) > limits.motion:
        told.append("motion")
    return told


def _as_frame(picture: Picture) -> Frame:
    return Frame(picture.pixels, picture.pixels, picture.number, picture.spacing)
