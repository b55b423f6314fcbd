"""GIF pictures and animations (GIF89a): colours chosen for each frame, frames written one at a time."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any, Final

import imagecodecs
import numpy as np
import numpy.typing as npt

from isocenter.dicom.data_set import DataSet
from isocenter.errors import LimitExceeded, Unsupported

Bytes = npt.NDArray[np.uint8]

END: Final = b"\x3b"
_MOST_SIDE: Final = 65535
_SHADES: Final = 32  # levels of a channel that colours are told apart by while they are counted
_FRAMES_A_SECOND: Final = 10.0
# Viewers take shorter delays for a mistake and show such frames slowly.
_LEAST_CENTISECONDS: Final = 2
_MOST_CENTISECONDS: Final = 65535


def encode_gif(pixels: Bytes) -> bytes:
    """A GIF of (rows, columns) or (rows, columns, 3): grey and up to 256 colours exactly, more by 256 of them."""
    if max(pixels.shape[:2]) > _MOST_SIDE:
        raise LimitExceeded(f"a GIF has at most {_MOST_SIDE} pixels a side")
    indices, colours = (pixels, None) if pixels.ndim == 2 else quantise(pixels)
    # Codes take 12 bits at most; the encoder does not enlarge what it is given.
    room = indices.size * 8 // 5 + 4096
    found: Any = imagecodecs.gif_encode(np.ascontiguousarray(indices), colormap=colours, out=room)
    return b"GIF89a" + bytes(found[6:])


def quantise(pixels: Bytes) -> tuple[Bytes, Bytes]:
    """Indices (rows, columns) and a colour table (256, 3) for (rows, columns, 3), by cutting the space of colours."""
    keys = (pixels[..., 0].astype(np.uint32) << 16) | (pixels[..., 1].astype(np.uint32) << 8) | pixels[..., 2]
    sample = np.unique(keys[:: max(1, keys.shape[0] // 16), :: max(1, keys.shape[1] // 16)])
    # A look at a few hundred pixels spares sorting all of a photograph's.
    if len(sample) <= 256:
        exact = np.unique(keys)
        if len(exact) <= 256:
            table = np.zeros((256, 3), np.uint8)
            table[: len(exact)] = np.stack([exact >> 16, (exact >> 8) & 255, exact & 255], axis=1)
            return np.searchsorted(exact, keys).astype(np.uint8), table
    return _cut(pixels)


@dataclass(frozen=True, slots=True)
class _Box:
    """Some of the colours: their numbers, the axis they lie widest along, and how much there is to gain by a cut.

    The gain counts pixels by their root alone: a red marker of few pixels in a grey image keeps a red of its own.
    """

    members: npt.NDArray[np.intp]
    axis: int
    middle: float
    spread: float

    @classmethod
    def of(cls, members: npt.NDArray[Any], coordinates: npt.NDArray[Any], weights: npt.NDArray[Any]) -> _Box:
        inside = coordinates[members]
        low, high = inside.min(axis=0), inside.max(axis=0)
        axis = int(np.argmax(high - low))
        spread = float(high[axis] - low[axis]) * math.sqrt(float(weights[members].sum()))
        return cls(members, axis, (int(low[axis]) + int(high[axis])) / 2, spread)


def _cut(pixels: Bytes) -> tuple[Bytes, Bytes]:
    bins = (pixels >> 3).astype(np.uint16)
    keys = (bins[..., 0] << 10) | (bins[..., 1] << 5) | bins[..., 2]
    counts = np.bincount(keys.ravel(), minlength=_SHADES**3)
    present = np.flatnonzero(counts)
    coordinates = np.stack([present >> 10, (present >> 5) & 31, present & 31], axis=1)
    weights = counts[present]
    boxes = [_Box.of(np.arange(len(present)), coordinates, weights)]
    while len(boxes) < 256:
        widest = max(range(len(boxes)), key=lambda number: boxes[number].spread)
        if not boxes[widest].spread:
            break
        box = boxes.pop(widest)
        upper = coordinates[box.members, box.axis] > box.middle
        boxes += [_Box.of(box.members[side], coordinates, weights) for side in (~upper, upper)]
    table = np.zeros((256, 3), np.uint8)
    lookup = np.zeros(_SHADES**3, np.uint8)
    for number, box in enumerate(boxes):
        shares = weights[box.members]
        mean = (coordinates[box.members] * shares[:, None]).sum(axis=0) / shares.sum()
        table[number] = np.rint(mean * 255 / (_SHADES - 1))
        lookup[present[box.members]] = number
    return lookup.take(keys), table


def animation_start(first: bytes) -> bytes:
    """What an animation begins with that shows GIFs of the size of `first`, over and over."""
    return b"GIF89a" + first[6:10] + b"\x70\x00\x00" + b"\x21\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00"


def animation_frame(gif: bytes, first: bytes, centiseconds: int) -> bytes:
    """A GIF of one image, as `encode_gif` makes it, as a frame of an animation of the size of `first`."""
    flags = gif[10] if len(gif) > 13 else 0
    table = 3 << ((flags & 7) + 1)
    start = 13 + table
    if not flags & 0x80 or gif[:4] != b"GIF8" or gif[start : start + 1] != b"\x2c" or len(gif) < start + 12:
        raise Unsupported("the picture made is no GIF of one image", code="decode-failed")
    if gif[6:10] != first[6:10]:
        raise Unsupported("the frames differ in size, so they make no animation", code="frames-differ")
    control = struct.pack("<2sBBHBB", b"\x21\xf9", 4, 0x04, centiseconds, 0, 0)
    descriptor = gif[start : start + 9] + bytes((0x80 | flags & 7,))
    return control + descriptor + gif[13:start] + gif[start + 10 : -1]


def frame_delays(data_set: DataSet, frames: list[int]) -> list[int]:
    """How long to show each of `frames` (1-based), in 1/100 s, so that their sum keeps time (PS3.3 C.7.6.5).

    From Frame Time, Frame Time Vector, Recommended Display Frame Rate, Cine Rate; ten a second without any.
    """
    delays: list[int] = []
    due = 0.0
    for milliseconds in _frame_times(data_set, frames):
        due += milliseconds / 10
        delay = min(_MOST_CENTISECONDS, max(_LEAST_CENTISECONDS, round(due)))
        delays.append(delay)
        # What rounding took is given back with the next frame; what the limits took is not.
        due = due - delay if abs(due - delay) <= 0.5 else 0.0
    return delays


def _frame_times(data_set: DataSet, frames: list[int]) -> list[float]:
    each = data_set.number(0x00181063)
    if each is not None and 0 < each < 1e6:
        return [each] * len(frames)
    vector = data_set.numbers(0x00181065)
    if any(0 < time < 1e6 for time in vector):
        # The vector holds the time from the frame before, so a frame is shown for what the next one states.
        usual = next(time for time in vector if 0 < time < 1e6)
        after = [vector[frame] if frame < len(vector) else usual for frame in frames]
        return [time if 0 < time < 1e6 else usual for time in after]
    rates = (data_set.number(tag) for tag in (0x00082144, 0x00180040))
    rate = next((rate for rate in rates if rate is not None and 1e-3 < rate < 1e6), _FRAMES_A_SECOND)
    return [1000.0 / rate] * len(frames)
