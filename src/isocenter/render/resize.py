"""Scaling of 8-bit images by a triangle filter as wide as the reduction, so that nothing aliases."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from isocenter.errors import LimitExceeded

MOST_PIXELS = 2**26


def resize(pixels: npt.NDArray[np.uint8], height: int, width: int) -> npt.NDArray[np.uint8]:
    """Scale (rows, columns[, samples]) to `height` x `width` pixels."""
    if height * width > MOST_PIXELS:
        raise LimitExceeded(f"the picture asked for is over {MOST_PIXELS} pixels", code="render-limit")
    found = pixels
    if found.shape[0] != height:
        found = _along_rows(found, height)
    if found.shape[1] != width:
        found = np.swapaxes(_along_rows(np.ascontiguousarray(np.swapaxes(found, 0, 1)), width), 0, 1)
    return np.ascontiguousarray(found)


def _along_rows(pixels: npt.NDArray[np.uint8], height: int) -> npt.NDArray[np.uint8]:
    """Resample the first axis: each output row is a weighted sum of the few input rows under its triangle."""
    old = pixels.shape[0]
    scale = old / height
    support = max(scale, 1.0)
    centers = (np.arange(height) + 0.5) * scale - 0.5
    lowest = np.ceil(centers - support).astype(np.intp)
    taps = np.arange(2 * int(np.ceil(support)) + 1)
    index = lowest[:, None] + taps[None, :]
    weights = np.maximum(0.0, 1.0 - np.abs(index - centers[:, None]) / support)
    weights[(index < 0) | (index >= old)] = 0.0
    weights /= weights.sum(axis=1, keepdims=True)
    index = np.clip(index, 0, old - 1)
    found = np.empty((height, *pixels.shape[1:]), np.uint8)
    for row in range(height):
        used = weights[row] > 0
        # A product of weights (1, taps) and rows (taps, columns x samples) runs in BLAS.
        rows = pixels[index[row][used]].reshape(int(used.sum()), -1).astype(np.float32)
        total = weights[row][used].astype(np.float32) @ rows
        found[row] = np.clip(total + 0.5, 0, 255).astype(np.uint8).reshape(pixels.shape[1:])
    return found
