"""Scaling of 8-bit images by a triangle filter as wide as the reduction, so that nothing aliases."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from isocenter.errors import LimitExceeded

MOST_PIXELS = 2**26
# Output rows made by one product of matrices: more waste on weights of nought, fewer waste on calls.
_ROWS_AT_ONCE = 8
_BLOCK_PIXELS = 2**18

Bytes = npt.NDArray[np.uint8]


def resize(pixels: Bytes, height: int, width: int) -> Bytes:
    """Scale (rows, columns[, samples]) to `height` x `width` pixels."""
    if height * width > MOST_PIXELS:
        raise LimitExceeded(f"the picture asked for is over {MOST_PIXELS} pixels", code="render-limit")
    found = pixels
    if found.shape[0] != height:
        found = _along_rows(found, height)
    if found.shape[1] != width:
        found = np.swapaxes(_along_rows(np.ascontiguousarray(np.swapaxes(found, 0, 1)), width), 0, 1)
    return np.ascontiguousarray(found)


def _along_rows(pixels: Bytes, height: int) -> Bytes:
    """Resample the first axis."""
    flat = pixels.reshape(pixels.shape[0], -1)
    made = _stretched(flat, height) if height > flat.shape[0] else _reduced(flat, height)
    return made.reshape(height, *pixels.shape[1:])


def _stretched(rows: Bytes, height: int) -> Bytes:
    """Each output row lies between two input rows."""
    old = rows.shape[0]
    places = np.clip((np.arange(height) + 0.5) * (old / height) - 0.5, 0, old - 1)
    upper = np.minimum(places.astype(np.intp), max(0, old - 2))
    lower = np.minimum(upper + 1, old - 1)
    # In 1/256, where 255 * 256 + 128 still fits 16 bits.
    share = np.rint((places - upper) * 256).astype(np.uint16)[:, None]
    found = np.empty((height, rows.shape[1]), np.uint8)
    step = max(1, _BLOCK_PIXELS // max(1, rows.shape[1]))
    for start in range(0, height, step):
        part = slice(start, start + step)
        mixed = rows[upper[part]] * (np.uint16(256) - share[part])
        mixed += rows[lower[part]] * share[part]
        mixed += np.uint16(128)
        found[part] = mixed >> 8
    return found


def _reduced(rows: Bytes, height: int) -> Bytes:
    """Each output row is a weighted sum of the input rows under its triangle."""
    old = rows.shape[0]
    # Rows are first averaged as far as at least two are left for each output row: adding is cheap.
    together = min(255, old // (2 * height))
    source: npt.NDArray[Any] = _averaged(rows, together) if together > 1 else rows
    scale = old / height / max(1, together)
    left = source.shape[0]
    centers = (np.arange(height) + 0.5) * scale - 0.5
    found = np.empty((height, rows.shape[1]), np.uint8)
    for start in range(0, height, _ROWS_AT_ONCE):
        some = centers[start : start + _ROWS_AT_ONCE]
        first = max(0, int(np.floor(some[0] - scale)))
        last = min(left, int(np.ceil(some[-1] + scale)) + 1)
        weights = np.maximum(0.0, 1.0 - np.abs(np.arange(first, last)[None, :] - some[:, None]) / scale)
        weights /= weights.sum(axis=1, keepdims=True)
        total = weights.astype(np.float32) @ source[first:last].astype(np.float32, copy=False)
        found[start : start + _ROWS_AT_ONCE] = np.clip(total + 0.5, 0, 255)
    return found


def _averaged(rows: Bytes, together: int) -> npt.NDArray[np.float32]:
    """Means of `together` rows each; the last of fewer, where they do not come out even."""
    whole = rows.shape[0] // together * together
    # 255 rows of 255 at most: their sum fits 16 bits.
    total = rows[0:whole:together].astype(np.uint16)
    for place in range(1, together):
        total += rows[place:whole:together]
    means = total * np.float32(1 / together)
    if whole < rows.shape[0]:
        means = np.concatenate([means, rows[whole:].mean(axis=0, dtype=np.float32)[None]])
    return means
