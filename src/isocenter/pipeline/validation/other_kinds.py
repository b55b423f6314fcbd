"""Rules of NIfTI volumes and of JPEG, PNG and GIF pictures."""

from __future__ import annotations

import math
import struct
import zlib

from isocenter.dicom.elements import Limits
from isocenter.errors import LimitExceeded, Malformed, NotAnImage, Rejected
from isocenter.nifti.header import NiftiHeader, read_header
from isocenter.picture import HEAD_BYTES, recognise
from isocenter.pipeline.validation.report import Collector

_NIFTI_HEAD = 64 << 10
_STEP = 1 << 20
NIFTI_SIZES = (b"\x5c\x01\0\0", b"\0\0\x01\x5c", b"\x1c\x02\0\0", b"\0\0\x02\x1c")  # 348 and 540, both orders
_ENDS = {"jpeg": b"\xff\xd9", "png": b"IEND", "gif": b"\x3b"}


class NiftiCheck:
    """Takes a volume, inflating it where it is gzip, and keeps its head."""

    def __init__(self, limits: Limits, *, packed: bool) -> None:
        self._most = limits.inflated_bytes
        self._inflate = zlib.decompressobj(wbits=31) if packed else None
        self._head = bytearray()
        self._size = 0

    @property
    def may_skip(self) -> bool:
        """Whether the rest need not be looked at."""
        return self._inflate is None and len(self._head) >= _NIFTI_HEAD

    def skip(self, size: int) -> None:
        self._size += size

    def feed(self, chunk: bytes) -> None:
        """Raises Malformed, LimitExceeded, NotAnImage."""
        while self._inflate is not None and chunk:
            if self._inflate.eof:
                if not any(chunk):
                    return  # zero padding after the last member
                self._inflate = zlib.decompressobj(wbits=31)
            try:
                self._take(self._inflate.decompress(chunk, _STEP))
            except zlib.error:
                raise Malformed("the gzip stream is damaged", code="bad-gzip") from None
            chunk = self._inflate.unused_data if self._inflate.eof else self._inflate.unconsumed_tail
        if self._inflate is None:
            self._take(chunk)

    def _take(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._most:
            raise LimitExceeded(f"larger than {self._most} bytes when inflated (setting max_inflated_bytes)")
        if len(self._head) < _NIFTI_HEAD:
            self._head += data[: _NIFTI_HEAD - len(self._head)]
            if len(self._head) >= 4 and self._head[:4] not in NIFTI_SIZES:
                raise NotAnImage("gzip of something that is no NIfTI volume", code="not-nifti")

    def finish(self, found: Collector) -> None:
        """Raises NotAnImage where this was no volume at all."""
        if self._inflate is not None and not self._inflate.eof:
            found.add("truncated", detail="the gzip stream ends in the middle")
            return
        head = bytes(self._head)
        try:
            header = read_header(head)
        except NotAnImage:
            raise
        except Rejected as error:
            found.add("nifti-header-invalid", detail=error.detail)
            return
        needed = header.vox_offset + header.data_bytes
        if self._size < needed:
            found.add("nifti-too-short")
        elif self._size > needed:
            found.add("nifti-too-long")
        _check_place(found, header, head)


def _check_place(found: Collector, header: NiftiHeader, head: bytes) -> None:
    spatial = header.pixdim[1 : 1 + min(3, len(header.dim))]
    if any(not math.isfinite(each) or each <= 0 for each in spatial):
        found.add("nifti-spacing-invalid")
    at, code = (252, "2h") if header.version == 1 else (344, "2i")
    qform, sform = struct.unpack_from(header.byte_order + code, head, at)
    if qform <= 0 and sform <= 0:
        found.add("nifti-no-orientation")
        return
    rows = _rows(head, header)
    if sform > 0 and (not all(map(math.isfinite, rows)) or abs(_determinant(rows)) < 1e-12):
        found.add("nifti-affine-invalid")
    elif sform > 0 and qform > 0 and _differs(rows, header, head, at):
        found.add("nifti-orientations-differ")


def _rows(head: bytes, header: NiftiHeader) -> tuple[float, ...]:
    at, code = (280, "12f") if header.version == 1 else (400, "12d")
    return struct.unpack_from(header.byte_order + code, head, at)


def _determinant(rows: tuple[float, ...]) -> float:
    a, b, c, _, d, e, f, _, g, h, i, _ = rows
    return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)


def _differs(rows: tuple[float, ...], header: NiftiHeader, head: bytes, form: int) -> bool:
    """Whether qform places the voxels elsewhere: read again with the code of sform taken out."""
    width = 2 if header.version == 1 else 4
    without = head[: form + width] + bytes(width) + head[form + 2 * width :]
    other = read_header(without).affine
    reach = max(header.dim[:3])
    return any(
        abs(rows[4 * row + column] - other[row][column]) * (reach if column < 3 else 1) > 1.0
        for row in range(3)
        for column in range(4)
    )


class PictureCheck:
    """Takes a picture and keeps its head and its last bytes."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail = b""

    may_skip = False

    def skip(self, size: int) -> None:
        """Nothing of a picture is passed over: its end is looked at."""

    def feed(self, chunk: bytes) -> None:
        if len(self._head) < HEAD_BYTES:
            self._head += chunk[: HEAD_BYTES - len(self._head)]
        self._tail = (self._tail + chunk[-64:])[-64:]

    def finish(self, found: Collector) -> None:
        try:
            picture = recognise(bytes(self._head))
        except Rejected as error:
            found.add("picture-unreadable", detail=error.detail)
            return
        if picture is None:
            found.add("picture-unreadable")
        elif _ENDS[picture.kind] not in self._tail:
            found.add("picture-truncated")
