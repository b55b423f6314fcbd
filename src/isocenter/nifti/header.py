"""The header of a NIfTI-1 or NIfTI-2 file, either byte order, checked before anything relies on it."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Final

from isocenter.errors import LimitExceeded, Malformed, NotAnImage, Unsupported

Row = tuple[float, float, float, float]
Affine = tuple[Row, Row, Row, Row]

# Bits per voxel of each datatype code (nifti1.h, nifti2.h).
BITS: Final = {
    2: 8, 4: 16, 8: 32, 16: 32, 32: 64, 64: 64, 128: 24, 256: 8, 512: 16, 768: 32,
    1024: 64, 1280: 64, 1536: 128, 1792: 128, 2048: 256, 2304: 32,
}  # fmt: skip
MOST_BYTES: Final = 2**40
# Extensions sit before the voxels and are kilobytes; a gigabyte before the data hides something else.
MOST_OFFSET: Final = 2**30
# What is enough of a file for `read_header` to see everything but the later extensions.
HEAD_BYTES: Final = 544


@dataclass(frozen=True, slots=True)
class NiftiHeader:
    """`dim` holds the sizes that count, 1 to 7 of them; `affine` maps voxel indices to RAS+ millimetres."""

    version: int
    byte_order: str
    dim: tuple[int, ...]
    datatype: int
    bitpix: int
    pixdim: tuple[float, ...]
    vox_offset: int
    slope: float
    inter: float
    affine: Affine
    has_extensions: bool

    @property
    def header_bytes(self) -> int:
        """Where the fixed header and its extension flag end, and extensions begin."""
        return 352 if self.version == 1 else 544

    @property
    def data_bytes(self) -> int:
        """Length of the voxels in bytes, as declared."""
        return math.prod(self.dim) * (self.bitpix // 8)

    @property
    def scaled(self) -> bool:
        return (self.slope, self.inter) != (1.0, 0.0)


@dataclass(frozen=True, slots=True)
class _Layout:
    """Byte offsets of the fields read, and the struct codes of dimensions and reals."""

    version: int
    size: int
    whole: str
    code: str
    real: str
    offset: str
    dim: int
    datatype: int
    pixdim: int
    vox_offset: int
    slope: int
    form: int
    quaternion: int
    rows: int


_NIFTI_1 = _Layout(1, 348, "h", "h", "f", "f", 40, 70, 76, 108, 112, 252, 256, 280)
_NIFTI_2 = _Layout(2, 540, "q", "i", "d", "q", 16, 12, 104, 168, 176, 344, 352, 400)


def read_header(data: bytes) -> NiftiHeader:
    """Read the header from the first bytes of an uncompressed file.

    Raises NotAnImage where this is no NIfTI, Malformed, Unsupported (pairs of .hdr and .img), LimitExceeded.
    """
    layout, order = _recognise(data)
    _check_magic(data, layout)
    if len(data) < layout.size:
        raise Malformed("the NIfTI header is cut short")

    def field(offset: int, codes: str) -> tuple[float, ...]:
        return struct.unpack_from(order + codes, data, offset)

    dim = _dim([int(n) for n in field(layout.dim, f"8{layout.whole}")])
    datatype, bitpix = (int(n) for n in field(layout.datatype, "2h"))
    if datatype not in BITS:
        raise Malformed("the NIfTI datatype is none of the standard's")
    if bitpix != BITS[datatype]:
        raise Malformed("the NIfTI bitpix does not fit its datatype")
    if math.prod(dim) * bitpix // 8 > MOST_BYTES:
        raise LimitExceeded(f"the NIfTI dimensions declare over {MOST_BYTES} bytes")
    pixdim = field(layout.pixdim, f"8{layout.real}")
    slope, inter = field(layout.slope, f"2{layout.real}")
    # The standard: a slope of nought means no scaling; writers put NaN for the same.
    if slope == 0 or not math.isfinite(slope) or not math.isfinite(inter):
        slope, inter = 1.0, 0.0
    vox_offset = _vox_offset(field(layout.vox_offset, layout.offset)[0], layout.size + 4)
    qform, sform = (int(n) for n in field(layout.form, f"2{layout.code}"))
    quaternion = field(layout.quaternion, f"6{layout.real}")
    rows = field(layout.rows, f"12{layout.real}")
    flagged = len(data) > layout.size and data[layout.size] != 0
    if flagged:
        _check_extensions(data, layout.size + 4, vox_offset, order)
    affine = (_sform(rows) if sform > 0 else None) or (_qform(quaternion, pixdim) if qform > 0 else None)
    return NiftiHeader(
        version=layout.version,
        byte_order=order,
        dim=dim,
        datatype=datatype,
        bitpix=bitpix,
        pixdim=pixdim,
        vox_offset=vox_offset,
        slope=slope,
        inter=inter,
        affine=affine or _scaling(pixdim),
        has_extensions=flagged,
    )


def _recognise(data: bytes) -> tuple[_Layout, str]:
    for layout in (_NIFTI_1, _NIFTI_2):
        for order in "<>":
            if data[:4] == struct.pack(order + "i", layout.size):
                return layout, order
    raise NotAnImage("the file does not begin as a NIfTI header")


def _check_magic(data: bytes, layout: _Layout) -> None:
    magic = data[344:348] if layout.version == 1 else data[4:12]
    if magic[:3] in (b"ni1", b"ni2"):
        raise Unsupported("NIfTI kept as a pair of .hdr and .img is not taken; convert it to a single .nii file")
    if layout.version == 1:
        if magic == b"n+1\0":
            return
        if magic.strip(b"\0") == b"":
            raise Unsupported("ANALYZE 7.5 is not taken; convert it to a single .nii file")
        raise Malformed("the NIfTI magic is neither n+1 nor ni1")
    if magic[:4] != b"n+2\0":
        raise Malformed("the NIfTI magic is neither n+2 nor ni2")
    if magic[4:] != b"\r\n\x1a\n":
        raise Malformed("the NIfTI-2 signature was damaged by a text-mode transfer")


def _dim(dim: list[int]) -> tuple[int, ...]:
    if not 1 <= dim[0] <= 7:
        raise Malformed("the NIfTI number of dimensions is not between 1 and 7")
    sizes = tuple(dim[1 : dim[0] + 1])
    if any(size < 1 for size in sizes):
        raise Malformed("a NIfTI dimension is not positive")
    return sizes


def _vox_offset(declared: float, least: int) -> int:
    if not math.isfinite(declared) or declared != int(declared):
        raise Malformed("the NIfTI vox_offset is not a whole number")
    # Nought is what several writers leave for "right after the header".
    offset = int(declared) or least
    if offset < least:
        raise Malformed("the NIfTI vox_offset lies inside the header")
    if offset > MOST_OFFSET:
        raise LimitExceeded(f"the NIfTI vox_offset is over {MOST_OFFSET}")
    return offset


def _check_extensions(data: bytes, position: int, end: int, order: str) -> None:
    """Walk the extensions as far as the bytes at hand go; each must keep before the voxels."""
    while position + 8 <= min(end, len(data)):
        (size,) = struct.unpack_from(order + "i", data, position)
        if size < 8 or position + size > end:
            raise Malformed("a NIfTI extension's size does not fit before vox_offset")
        position += size


def _sform(rows: tuple[float, ...]) -> Affine | None:
    if not all(map(math.isfinite, rows)):
        return None
    first, second, third = (rows[4 * n : 4 * n + 4] for n in range(3))
    a, b, c = first[:3], second[:3], third[:3]
    cross = (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])
    # A flat matrix places no voxel anywhere.
    if sum(x * y for x, y in zip(cross, c, strict=True)) == 0:
        return None
    return _affine(first, second, third)


def _affine(first: tuple[float, ...], second: tuple[float, ...], third: tuple[float, ...]) -> Affine:
    def row(values: tuple[float, ...]) -> Row:
        return (values[0], values[1], values[2], values[3])

    return (row(first), row(second), row(third), (0.0, 0.0, 0.0, 1.0))


def _spacings(pixdim: tuple[float, ...]) -> tuple[float, float, float]:
    """Spacing of the three spatial axes, 1 where it is no positive number."""
    x, y, z = (abs(p) if math.isfinite(p) and p != 0 else 1.0 for p in pixdim[1:4])
    return (x, y, z)


def _qform(quaternion: tuple[float, ...], pixdim: tuple[float, ...]) -> Affine | None:
    """Method 2 of nifti1.h: a unit quaternion, the spacings, and pixdim[0] as the sign of the third axis."""
    b, c, d, x, y, z = quaternion
    if not all(map(math.isfinite, quaternion)):
        return None
    squares = b * b + c * c + d * d
    if squares > 1.0 + 1e-5:
        return None
    a = math.sqrt(max(0.0, 1.0 - squares))
    dx, dy, dz = _spacings(pixdim)
    dz = -dz if pixdim[0] < 0 else dz
    return _affine(
        ((a * a + b * b - c * c - d * d) * dx, 2 * (b * c - a * d) * dy, 2 * (b * d + a * c) * dz, x),
        (2 * (b * c + a * d) * dx, (a * a + c * c - b * b - d * d) * dy, 2 * (c * d - a * b) * dz, y),
        (2 * (b * d - a * c) * dx, 2 * (c * d + a * b) * dy, (a * a + d * d - c * c - b * b) * dz, z),
    )


def _scaling(pixdim: tuple[float, ...]) -> Affine:
    """Method 1 of nifti1.h: spacings alone."""
    dx, dy, dz = _spacings(pixdim)
    return _affine((dx, 0.0, 0.0, 0.0), (0.0, dy, 0.0, 0.0), (0.0, 0.0, dz, 0.0))
