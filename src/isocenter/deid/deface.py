"""Takes recognizable visual features out of pixels (PS3.15 E.3.2) by a defacer that a site brings along."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from isocenter.deid.source import Readable
from isocenter.dicom.data_set import DataSet
from isocenter.dicom.elements import PIXEL_DATA, UNDEFINED, Element
from isocenter.dicom.json_model import encode
from isocenter.dicom.part10 import Header
from isocenter.errors import Misconfigured, Rejected, Unsupported

GROUP = "isocenter.defacers"  # of entry points
Volume = npt.NDArray[Any]
_MOST_BYTES = 1 << 30
_BITS_ALLOCATED, _SAMPLES, _SIGN = 0x00280100, 0x00280002, 0x00280103
_ROWS, _COLUMNS, _FRAMES = 0x00280010, 0x00280011, 0x00280008
_ORIENTATION, _POSITION, _SPACING, _THICKNESS = 0x00200037, 0x00200032, 0x00280030, 0x00180050
_MODALITY = 0x00080060


@dataclass(frozen=True, slots=True)
class Geometry:
    """How the frames of one instance lie in the patient (PS3.3 C.7.6.2), millimetres; empty where it is not stated."""

    modality: str
    orientation: tuple[float, ...]  # direction cosines of a row and a column
    position: tuple[float, ...]  # of the first pixel
    spacing: tuple[float, ...]  # between rows, between columns
    thickness: float | None


class Defacer(Protocol):
    """Blurs or takes away what a person could be recognized by; safe to call from many threads at once."""

    @property
    def name(self) -> str:
        """What it is and its version, for the evidence."""
        ...

    def deface(self, frames: Volume, geometry: Geometry) -> Volume:
        """Stored values of one instance, (frames, rows, columns): the same shape and type without a face.

        Whatever it raises keeps the instance back.
        """
        ...


def defacer_of(name: str) -> Defacer:
    """The defacer that is installed under this name. Raises Misconfigured."""
    found = list(entry_points(group=GROUP, name=name))
    if len(found) != 1:
        raise Misconfigured(
            f"the profile names a defacer that is not installed (entry points of the group {GROUP})",
            code="defacer-missing",
        )
    defacer: Defacer = found[0].load()()
    return defacer


class Defaced:
    """A source whose pixel data is that of the defacer, byte for byte as long as it was."""

    def __init__(self, source: Readable, offset: int, pixels: bytes) -> None:
        self.size = source.size
        self._source = source
        self._offset = offset
        self._pixels = pixels

    def read(self, offset: int, length: int) -> bytes:
        start, end = self._offset, self._offset + len(self._pixels)
        stop = min(offset + length, self.size)
        if stop <= start or offset >= end:
            return self._source.read(offset, length)
        before = self._source.read(offset, start - offset) if offset < start else b""
        after = self._source.read(end, stop - end) if stop > end else b""
        return before + self._pixels[max(0, offset - start) : stop - start] + after


def defaced(source: Readable, header: Header, defacer: Defacer) -> Defaced:
    """The source without a face. Raises Unsupported where its pixels are not of a kind that defacers take, and
    Rejected (`defacing-failed`) where the defacer failed or gave anything but the same pixels with other values.
    """
    elements = header.elements
    about = DataSet(
        encode({tag: elements[tag] for tag in _NEEDED if tag in elements}, big_endian=_is_big(header)).model
    )
    pixels = elements.get(PIXEL_DATA)
    frames = _frames(source, header, about, pixels)
    assert pixels is not None
    geometry = Geometry(
        about.text(_MODALITY) or "",
        tuple(about.numbers(_ORIENTATION)),
        tuple(about.numbers(_POSITION)),
        tuple(about.numbers(_SPACING)),
        about.number(_THICKNESS),
    )
    try:
        found = defacer.deface(frames.astype(frames.dtype.newbyteorder("=")), geometry)
    except Exception as error:  # noqa: BLE001  it is the site's own code, and whatever it raises keeps the face in
        raise Rejected(f"the defacer failed ({type(error).__name__})", code="defacing-failed") from None
    wanted = frames.dtype.newbyteorder("=")
    if not isinstance(found, np.ndarray) or found.shape != frames.shape or found.dtype != wanted:
        raise Rejected("the defacer gave pixels of another shape or type", code="defacing-failed")
    return Defaced(source, pixels.offset, found.astype(frames.dtype).tobytes())


_NEEDED = (
    _BITS_ALLOCATED, _SAMPLES, _SIGN, _ROWS, _COLUMNS, _FRAMES, _ORIENTATION, _POSITION, _SPACING, _THICKNESS,
    _MODALITY,
)  # fmt: skip


def _is_big(header: Header) -> bool:
    return header.encoding.big_endian


def _frames(source: Readable, header: Header, about: DataSet, pixels: Element | None) -> Volume:
    """Stored values as they lie; Unsupported for compressed, packed and colour pixels."""
    bits, rows, columns = (about.integer(tag) or 0 for tag in (_BITS_ALLOCATED, _ROWS, _COLUMNS))
    count = about.integer(_FRAMES) or 1
    size = count * rows * columns * bits // 8
    native = pixels is not None and pixels.length != UNDEFINED and not header.encoding.deflated
    plain = bits in (8, 16, 32) and (about.integer(_SAMPLES) or 1) == 1
    if pixels is None or not native or not plain or not 0 < size <= min(pixels.length, _MOST_BYTES):
        raise Unsupported(
            "a face may show, and these pixels are not of a kind that is defaced: grey, not compressed, one gigabyte"
            " at most",
            code="recognizable-face",
        )
    sign = "i" if about.integer(_SIGN) else "u"
    kind = np.dtype(f"{'>' if _is_big(header) else '<'}{sign}{bits // 8}")
    return np.frombuffer(source.read(pixels.offset, size), kind).reshape(count, rows, columns)
