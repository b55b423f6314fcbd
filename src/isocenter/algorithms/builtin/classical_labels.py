"""A detector without a model: body, air, implants and markers, told by intensity and shape."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from isocenter.algorithms.base import Finding, Frame
from isocenter.algorithms.builtin.levels import Reals, luminance, otsu
from isocenter.algorithms.builtin.regions import Mask, Region, filled, regions_of, widened
from isocenter.ports.detector import LabelBox

_MOST_SIDE: Final = 1024  # what is larger is looked at reduced
# Of CT, in Hounsfield units: between lung and fat; above any bone but the petrous; above what the table is made of.
_AIR_HU, _METAL_HU, _DENSE_HU = -400.0, 2500.0, 300.0
_LEAST_BODY, _LEAST_AIR = 0.02, 0.002  # shares of the image
_MOST_IMPLANT, _MOST_MARKER = 0.05, 0.02
_LEAST_PIXELS: Final = 4
_LEAST_SEPARATION: Final = 0.5  # of levels into bright and dark, from 0 to 1 (Otsu)
_LEAST_STEP: Final = 50.0  # levels by which what is foreign is brighter than what is around it
_RING: Final = 4


@dataclass(frozen=True, slots=True)
class _Scene:
    """What is told from body, air, and what is bright."""

    body: Mask  # may be of several pieces
    air: Mask
    bright: Mask  # as metal is
    dense: Mask  # as markers are, outside the body
    sureness: float
    values: Reals


class ClassicalLabels:
    """A LabelDetector of pictures of 8 bits."""

    name = "classical 1.0.0"

    def find(self, picture: npt.NDArray[np.uint8]) -> Sequence[LabelBox]:
        return [
            LabelBox(found.label, found.confidence, *found.box)
            for found in labels_of(Frame(picture, picture))
            if found.box is not None
        ]


def labels_of(frame: Frame) -> list[Finding]:
    """What is in a frame, the surest first.

    In CT by Hounsfield units, elsewhere by the levels shown, which Otsu's threshold parts. `area` is the share of the
    image, `inside` 1 for air that the body encloses.
    """
    step = max(1, -(-max(frame.shown.shape[:2]) // _MOST_SIDE))
    # A localizer is a projection, and its values are no Hounsfield units.
    units = frame.modality == "CT" and frame.stored.ndim == 2 and "LOCALIZER" not in frame.image_type
    scene = _of_ct(frame, step) if units else _of_levels(frame, step)
    if scene is None:
        return []
    found = [_scaled(each, step, frame.shown.shape) for each in _found(scene, frame.number)]
    return sorted(found, key=lambda each: -each.confidence)


def _of_ct(frame: Frame, step: int) -> _Scene | None:
    values = _reduced(frame.stored.astype(np.float64) * frame.slope + frame.intercept, step)
    air = values < _AIR_HU
    body = _largest(~air, _LEAST_BODY)
    if body is None:
        return None
    return _Scene(body, air, values > _METAL_HU, values > _DENSE_HU, 0.95, values)


def _of_levels(frame: Frame, step: int) -> _Scene | None:
    values = _reduced(luminance(frame.shown), step)
    threshold, separation = otsu(values)
    if separation < _LEAST_SEPARATION:
        return None
    if _is_negative(values > threshold):
        values, threshold = 255 - values, 255 - threshold
    light = values > threshold
    body = _largest(light, _LEAST_BODY)
    if body is None:
        return None
    inside = values[body]
    # Foreign and bright: nearer to white than to what the body mostly is.
    usual = float(np.median(inside))
    return _Scene(body, ~light, values > (usual + 255) / 2, light, separation, values)


def _is_negative(light: Mask) -> bool:
    """Whether air is shown white, as in a radiograph that is not inverted: all around, and less in the middle."""
    rows, columns = light.shape
    edges = np.concatenate([light[0], light[-1], light[:, 0], light[:, -1]])
    middle = light[rows // 4 : -(-3 * rows // 4), columns // 4 : -(-3 * columns // 4)]
    return bool(edges.mean() > 0.75 and edges.mean() - middle.mean() > 0.25)


def _found(scene: _Scene, number: int) -> Iterator[Finding]:
    size = scene.body.size
    whole = filled(scene.body)
    _, pieces = regions_of(scene.body)
    for region in pieces:
        yield _finding("body", scene.sureness, region, number, size)
    labels, spaces = regions_of(scene.air)
    for region in spaces:
        if region.area >= _LEAST_AIR * size:
            inside = float(whole[labels == region.number].mean() > 0.5)
            yield _finding("air", scene.sureness, region, number, size, inside=inside)
    yield from _foreign(scene, scene.bright & whole, "implant", _MOST_IMPLANT, number)
    yield from _foreign(scene, scene.dense & ~whole, "marker", _MOST_MARKER, number)


def _foreign(scene: _Scene, mask: Mask, label: str, most: float, number: int) -> Iterator[Finding]:
    """Small things with a sharp edge; markers are compact besides, which tables and cables are not."""
    labels, regions = regions_of(mask)
    for region in regions:
        if not _LEAST_PIXELS <= region.area <= most * mask.size:
            continue
        if label == "marker" and (region.solidity < 0.3 or not 0.2 <= region.width / region.height <= 5):
            continue
        step = _step(scene.values, labels, region)
        if step < _LEAST_STEP:
            continue
        yield _finding(label, min(1.0, 0.5 + step / 512), region, number, mask.size)


def _step(values: Reals, labels: npt.NDArray[np.int32], region: Region) -> float:
    """How much brighter a region is than the ring around it."""
    reach = _RING + 1
    rows = slice(max(0, region.y - reach), region.y + region.height + reach)
    columns = slice(max(0, region.x - reach), region.x + region.width + reach)
    own = labels[rows, columns] == region.number
    ring = widened(own, _RING) & ~widened(own, 1)
    if not ring.any():
        return 0.0
    return float(values[rows, columns][own].mean() - values[rows, columns][ring].mean())


def _largest(mask: Mask, least: float) -> Mask | None:
    """The largest region, and others a tenth as large, which are limbs; None where it is too small to be a body."""
    labels, regions = regions_of(mask)
    if not regions or regions[0].area < least * mask.size:
        return None
    kept = [region.number for region in regions if region.area >= max(regions[0].area / 10, least * mask.size)]
    found: Mask = np.isin(labels, kept)
    return found


def _reduced(values: Reals, step: int) -> Reals:
    if step == 1:
        return values
    rows, columns = (-(-side // step) for side in values.shape)
    padded = np.pad(values, ((0, rows * step - values.shape[0]), (0, columns * step - values.shape[1])), mode="edge")
    reduced: Reals = padded.reshape(rows, step, columns, step).mean(axis=(1, 3))
    return reduced


def _finding(label: str, confidence: float, region: Region, number: int, size: int, **values: float) -> Finding:
    box = (float(region.x), float(region.y), float(region.width), float(region.height))
    return Finding(label, round(confidence, 4), number, box, values={"area": region.area / size, **values})


def _scaled(found: Finding, step: int, shape: tuple[int, ...]) -> Finding:
    """In pixels of the frame itself."""
    assert found.box is not None
    x, y, width, height = (each * step for each in found.box)
    box = (x, y, min(width, shape[1] - x), min(height, shape[0] - y))
    return Finding(found.label, found.confidence, found.frame, box, None, found.values)
