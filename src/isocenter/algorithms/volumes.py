"""Volumes with their geometry, out of a NIfTI file or the slices of a DICOM series."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from typing import Any, Final

import nibabel
import numpy as np
import numpy.typing as npt

from isocenter.algorithms.base import Volume
from isocenter.algorithms.instances import InstanceSource
from isocenter.errors import LimitExceeded, Malformed, Unsupported
from isocenter.nifti.header import read_header
from isocenter.render.functional_groups import functional_group

_POSITION, _ORIENTATION, _SPACING = 0x00200032, 0x00200037, 0x00280030
_GROUPS: Final = {_POSITION: 0x00209113, _ORIENTATION: 0x00209116, _SPACING: 0x00289110}
_HEAD: Final = 64 << 10
_MOST_VOXELS: Final = 1 << 29
_TOLERANCE: Final = 0.05  # of the distance between slices: by so much may one lie elsewhere
_RAS_TO_LPS: Final = np.diag([-1.0, -1.0, 1.0, 1.0])


def nifti_volume(data: bytes, most_bytes: int) -> Volume:
    """The first volume of a NIfTI file. Raises NotAnImage, Malformed, Unsupported and LimitExceeded."""
    packed = data[:2] == b"\x1f\x8b"
    header = read_header(_inflated(data, _HEAD) if packed else data)
    shape = (*header.dim[:3], 1, 1)[:3]
    voxel_count = math.prod(shape)
    needed = header.vox_offset + voxel_count * (header.bitpix // 8)
    if voxel_count > _MOST_VOXELS or needed > most_bytes:
        raise LimitExceeded(f"the volume is over {_MOST_VOXELS} voxels or {most_bytes} bytes", code="volume-too-large")
    if packed:
        data = _inflated(data, needed)
    if len(data) < needed:
        raise Malformed("the NIfTI file is shorter than its dimensions require", code="truncated")
    make: Any = nibabel.Nifti2Image if header.version == 2 else nibabel.Nifti1Image
    try:
        image = make.from_bytes(data)
        voxels = np.asarray(image.dataobj[(..., *(0 for _ in header.dim[3:]))])
    except (ValueError, TypeError, OSError, LookupError, nibabel.spatialimages.HeaderDataError) as error:
        raise Malformed(f"the NIfTI volume cannot be read ({type(error).__name__})") from None
    if voxels.dtype.kind not in "iuf":
        raise Unsupported("voxels of colour or of complex numbers are not analysed", code="unsupported-voxels")
    # (i, j, k) turned to (slice, row, column), and the affine with it.
    affine = _RAS_TO_LPS @ np.asarray(header.affine, np.float64) @ np.eye(4)[:, [2, 1, 0, 3]]
    return Volume(np.ascontiguousarray(voxels.reshape(shape).transpose(2, 1, 0)), affine)


def _inflated(data: bytes, wanted: int) -> bytes:
    """The first bytes of a gzip file of one member; fewer where it ends."""
    try:
        return zlib.decompressobj(wbits=31).decompress(data, wanted)
    except zlib.error:
        raise Malformed("the gzip stream is damaged") from None


def series_volume(instances: Sequence[InstanceSource]) -> Volume:
    """Grey slices of one series, in order along their normal (PS3.3 C.7.6.2.1.1), in modality units.

    Unsupported with code `no-volume` where they do not make one: other sizes or directions, one missing or twice.
    """
    slices = [(source, number) for source in instances for number in range(1, source.count + 1)]
    first = instances[0].description
    size = (first.rows, first.columns)
    if len(slices) < 2 or any((each.description.rows, each.description.columns) != size for each in instances):
        raise _no_volume("it takes two slices at least, all of one size")
    if len(slices) * first.pixels > _MOST_VOXELS:
        raise LimitExceeded(f"the volume is over {_MOST_VOXELS} voxels", code="volume-too-large")
    places = [_place(source, number) for source, number in slices]
    across, down, spacing = places[0][1][:3], places[0][1][3:], places[0][2]
    normal = np.cross(across, down)
    if any(np.abs(place[1] - places[0][1]).max() > 1e-3 for place in places):
        raise _no_volume("its slices are not parallel")
    along = np.array([float(place[0] @ normal) for place in places])
    order = np.argsort(along, kind="stable")
    steps = np.diff(along[order])
    step = float(np.median(steps))
    if step <= 0 or np.abs(steps - step).max() > _TOLERANCE * step:
        raise _no_volume("a slice is missing or there twice")
    voxels = np.empty((len(slices), *size), np.float32)
    for target, place in zip(voxels, order, strict=True):
        source, number = slices[int(place)]
        frame = source.frame(number)
        if frame.stored.ndim != 2:
            raise _no_volume("its slices are in colour")
        target[...] = frame.stored * frame.slope + frame.intercept
    affine = np.eye(4)
    origin, last = places[int(order[0])][0], places[int(order[-1])][0]
    affine[:3, 0] = (last - origin) / (len(slices) - 1)
    affine[:3, 1], affine[:3, 2], affine[:3, 3] = down * spacing[0], across * spacing[1], origin
    return Volume(voxels, affine)


def _place(
    source: InstanceSource, number: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Position, orientation and pixel spacing of a slice."""
    found = []
    for tag, count in ((_POSITION, 3), (_ORIENTATION, 6), (_SPACING, 2)):
        group = functional_group(source.model, _GROUPS[tag], number) or source.model
        numbers = np.asarray(group.numbers(tag))
        if len(numbers) != count or not np.isfinite(numbers).all():
            raise _no_volume("a slice does not say where it lies")
        found.append(numbers)
    return found[0], found[1], found[2]


def _no_volume(why: str) -> Unsupported:
    return Unsupported(f"the series is no volume: {why}", code="no-volume")
