"""Grey levels of what is shown: of colour, and where they part."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Reals = npt.NDArray[np.float64]


def luminance(pixels: npt.NDArray[Any]) -> Reals:
    """Grey as it is, colour by its luminance (ITU-R BT.601)."""
    return np.asarray(pixels if pixels.ndim == 2 else pixels @ np.array([0.299, 0.587, 0.114]), np.float64)


def otsu(values: Reals) -> tuple[float, float]:
    """The level that parts dark from bright best (Otsu, 1979), and how well: the part of the variance it explains."""
    counts = np.bincount(np.clip(values, 0, 255).astype(np.uint8).reshape(-1), minlength=256).astype(np.float64)
    levels = np.arange(256)
    total, mean = counts.sum(), (counts * levels).sum() / counts.sum()
    variance = (counts * (levels - mean) ** 2).sum() / total
    if variance == 0:
        return 0.0, 0.0
    below = np.cumsum(counts) / total
    moment = np.cumsum(counts * levels) / total
    with np.errstate(divide="ignore", invalid="ignore"):
        between = np.nan_to_num((mean * below - moment) ** 2 / (below * (1 - below)))
    best = between.max()
    # All levels of a gap part alike: its middle.
    ties = np.nonzero(between >= best * (1 - 1e-12))[0]
    return float(ties.mean()), float(best / variance)
