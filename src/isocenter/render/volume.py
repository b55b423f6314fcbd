"""Three middle slices of a NIfTI volume side by side, as radiologists look at them."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from isocenter.errors import LimitExceeded, Malformed, Unsupported
from isocenter.nifti.header import NiftiHeader, read_header
from isocenter.render.asked import IccProfile, Viewport
from isocenter.render.encode import DEFAULT_QUALITY, encode
from isocenter.render.icc import with_profile
from isocenter.render.resize import resize
from isocenter.render.viewport import frame_picture, picture_size

# A volume of 512 x 512 x 1,000 doubles is 2 GiB; what is larger is not drawn.
MOST_BYTES: Final = 2**31
_MOST_PANEL: Final = 1024
_CHUNK: Final = 2**20
_RGB, _RGBA = 128, 2304
_KINDS: Final = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 32: "c8", 64: "f8", 128: "u1", 256: "i1",
    512: "u2", 768: "u4", 1024: "i8", 1280: "u8", 1792: "c16", 2304: "u1",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class VolumeRequest:
    """What to draw: `data` is a .nii or .nii.gz file, of which the header and first volume suffice.

    `window` is (centre, width) in scaled units, of the voxels' own percentiles when None.
    """

    data: bytes
    media_type: str = "image/png"
    width: int | None = None
    quality: int = DEFAULT_QUALITY
    most_bytes: int = MOST_BYTES
    window: tuple[float, float] | None = None
    viewport: Viewport | None = None
    icc_profile: IccProfile | None = None


def render_volume(request: VolumeRequest) -> bytes:
    """Axial, coronal and sagittal slice through the middle, in radiological convention, as PNG or JPEG bytes.

    The patient's right is on the picture's left, anterior and superior are up; in the sagittal slice anterior is
    left. Of more than three dimensions the first volume is drawn. Raises NotAnImage, Malformed, Unsupported,
    LimitExceeded, and BadRequest for a viewport outside.
    """
    if request.window is not None and not all(map(math.isfinite, request.window)):
        raise Malformed("the window asked for is not finite")
    picture_size(1, 1, 1.0, request.width, request.viewport)
    gzipped = request.data[:2] == b"\x1f\x8b"
    header = read_header(inflate(request.data, 65536) if gzipped else request.data)
    needed = needed_bytes(header, request.most_bytes)
    data = inflate(request.data, needed) if gzipped else request.data
    if len(data) < needed:
        raise Malformed("the NIfTI file is shorter than its dimensions require")
    canvas = _canvas(_panels(first_volume(header, data), header, request.window))
    canvas = frame_picture(canvas, 1.0, request.width, request.viewport)
    profile = None
    if request.icc_profile is not None:
        canvas, profile = with_profile(canvas, request.icc_profile, None)
    return encode(canvas, request.media_type, request.quality, profile)


def needed_bytes(header: NiftiHeader, most_bytes: int = MOST_BYTES) -> int:
    """Where the first volume ends in the inflated file; LimitExceeded where that is beyond `most_bytes`."""
    volume = math.prod(header.dim[:3]) * (header.bitpix // 8)
    if header.vox_offset + volume > most_bytes:
        raise LimitExceeded(f"the NIfTI volume is over {most_bytes} bytes and is not drawn", code="render-limit")
    return header.vox_offset + volume


def inflate(data: bytes, wanted: int) -> bytes:
    """The first `wanted` bytes of a gzip file, of one or more members; fewer where it ends."""
    found = bytearray()
    rest: bytes | memoryview = memoryview(data)
    while len(found) < wanted and len(rest) >= 2 and bytes(rest[:2]) == b"\x1f\x8b":
        inflater = zlib.decompressobj(wbits=31)
        try:
            while len(found) < wanted and not inflater.eof:
                piece = inflater.decompress(rest, min(_CHUNK, wanted - len(found)))
                rest = inflater.unconsumed_tail
                if not piece and not rest and not inflater.eof:
                    return bytes(found)
                found += piece
        except zlib.error:
            raise Malformed("the gzip stream is damaged") from None
        rest = inflater.unused_data if inflater.eof else b""
    return bytes(found)


def first_volume(header: NiftiHeader, data: bytes) -> npt.NDArray[Any]:
    """Voxels (i, j, k) or (i, j, k, 3), a view of `data`."""
    kind = _KINDS.get(header.datatype)
    if kind is None:
        raise Unsupported("voxels of 128-bit floating point are not drawn")
    shape = (*header.dim[:3], 1, 1)[:3]
    dtype = np.dtype(header.byte_order + kind)
    channels = {_RGB: 3, _RGBA: 4}.get(header.datatype, 1)
    flat = np.frombuffer(data, dtype, math.prod(shape) * channels, offset=header.vox_offset)
    if channels == 1:
        return flat.reshape(shape, order="F")
    return np.moveaxis(flat.reshape((channels, *shape), order="F"), 0, -1)[..., :3]


def oriented(voxels: npt.NDArray[Any], header: NiftiHeader) -> tuple[npt.NDArray[Any], list[float]]:
    """Axes turned to left, posterior, inferior (the picture's right and down), with their spacings in millimetres."""
    matrix = np.asarray(header.affine)[:3, :3]
    with np.errstate(all="ignore"):
        spacing = np.nan_to_num(np.sqrt((matrix**2).sum(axis=0)), nan=1.0, posinf=1.0)
    spacing[spacing <= 0] = 1.0
    cosines = np.abs(matrix / spacing)
    order: list[int] = []
    # Each world axis takes the voxel axis nearest to it, the clearest first, so that oblique volumes find three.
    taken = np.zeros((3, 3), bool)
    places = [0, 0, 0]
    for _ in range(3):
        world, voxel = divmod(int(np.where(taken, -1.0, cosines).argmax()), 3)
        places[world] = voxel
        taken[world, :] = taken[:, voxel] = True
    order = places
    turned = np.transpose(voxels, [*order, *range(3, voxels.ndim)])
    for world, voxel in enumerate(order):
        # RAS+ grows to right, anterior and superior; a picture grows to the patient's left, and down.
        if matrix[world, voxel] > 0:
            turned = np.flip(turned, world)
    return turned, [float(spacing[voxel]) for voxel in order]


def _panels(
    voxels: npt.NDArray[Any], header: NiftiHeader, window: tuple[float, float] | None
) -> list[npt.NDArray[np.uint8]]:
    turned, (dx, dy, dz) = oriented(voxels, header)
    x, y, z = (size // 2 for size in turned.shape[:3])
    axial = (np.swapaxes(turned[:, :, z], 0, 1), dy, dx)
    coronal = (np.swapaxes(turned[:, y], 0, 1), dz, dx)
    sagittal = (np.swapaxes(turned[x], 0, 1), dz, dy)
    slices = [axial]
    # A volume of one slice has nothing to show from the side.
    slices += [found for found in (coronal, sagittal) if min(found[0].shape[:2]) > 1]
    levels = _levels([found[0] for found in slices], header, window)
    finest = min(min(down, across) for _, down, across in slices)
    largest = max(max(s.shape[0] * d, s.shape[1] * a) for s, d, a in slices)
    step = max(finest, largest / _MOST_PANEL)
    return [
        resize(level, max(1, round(level.shape[0] * down / step)), max(1, round(level.shape[1] * across / step)))
        for level, (_, down, across) in zip(levels, slices, strict=True)
    ]


def _levels(
    slices: list[npt.NDArray[Any]], header: NiftiHeader, window: tuple[float, float] | None
) -> list[npt.NDArray[np.uint8]]:
    if header.datatype in (_RGB, _RGBA):
        return [np.ascontiguousarray(found, np.uint8) for found in slices]
    with np.errstate(all="ignore"):
        reals = [_real(found, header) for found in slices]
        low, high = _range(reals) if window is None else (window[0] - window[1] / 2, window[0] + window[1] / 2)
        span = high - low if high > low and math.isfinite(high - low) else math.inf
        found = [np.clip(np.nan_to_num((real - low) / span, nan=0.0), 0.0, 1.0) for real in reals]
        return [(level * 255.0 + 0.5).astype(np.uint8) for level in found]


def _range(reals: list[npt.NDArray[np.float64]]) -> tuple[float, float]:
    """What is shown from black to white: nearly all of the finite values."""
    known = np.concatenate([found[np.isfinite(found)] for found in reals])
    if not known.size:
        return 0.0, 0.0
    low, high = np.percentile(known, [1.0, 99.5])
    if not high > low:
        # A mask of few voxels has its percentiles in the background.
        low, high = known.min(), known.max()
    return float(low), float(high)


def _real(voxels: npt.NDArray[Any], header: NiftiHeader) -> npt.NDArray[np.float64]:
    real = np.abs(voxels) if voxels.dtype.kind == "c" else voxels
    return real.astype(np.float64) * header.slope + header.inter


def _canvas(panels: list[npt.NDArray[np.uint8]]) -> npt.NDArray[np.uint8]:
    """Panels side by side on black, each in the middle of the height."""
    gap = 4 if len(panels) > 1 else 0
    height = max(panel.shape[0] for panel in panels)
    width = sum(panel.shape[1] for panel in panels) + gap * (len(panels) - 1)
    canvas = np.zeros((height, width, *panels[0].shape[2:]), np.uint8)
    left = 0
    for panel in panels:
        top = (height - panel.shape[0]) // 2
        canvas[top : top + panel.shape[0], left : left + panel.shape[1]] = panel
        left += panel.shape[1] + gap
    return canvas
