"""Rules of the Image Pixel Module (PS3.3 C.7.6.3) and of pixel data's length against it (PS3.5 8)."""

from __future__ import annotations

from dataclasses import dataclass

from isocenter.dicom.elements import PIXEL_TAGS, UNDEFINED
from isocenter.dicom.part10 import Header
from isocenter.dicom.pixel_description import MOST_FRAMES
from isocenter.dicom.transfer_syntax import NATIVE
from isocenter.pipeline.validation.elements import Values
from isocenter.pipeline.validation.encapsulated import LOSSY, check_encapsulated
from isocenter.pipeline.validation.report import Collector

_SAMPLES, _PHOTOMETRIC, _PLANAR, _FRAMES = 0x00280002, 0x00280004, 0x00280006, 0x00280008
_ROWS, _COLUMNS, _ALLOCATED, _STORED, _HIGH = 0x00280010, 0x00280011, 0x00280100, 0x00280101, 0x00280102
_REPRESENTATION, _LOSSY = 0x00280103, 0x00282110
_PIXEL_DATA, _FLOAT, _DOUBLE = 0x7FE00010, 0x7FE00008, 0x7FE00009
_SHARED, _PER_FRAME = 0x52009229, 0x52009230
# Defined Terms with their samples per pixel, PS3.3 C.7.6.3.1.2.
_IN_FORCE = {
    "MONOCHROME1": 1, "MONOCHROME2": 1, "PALETTE COLOR": 1, "RGB": 3, "YBR_FULL": 3, "YBR_FULL_422": 3,
    "YBR_PARTIAL_420": 3, "YBR_RCT": 3, "YBR_ICT": 3, "XYB": 3,
}  # fmt: skip
_RETIRED = {"YBR_PARTIAL_422": 3, "HSV": 3, "ARGB": 4, "CMYK": 4}
_JPEG_BASELINE, _J2K = "1.2.840.10008.1.2.4.50", ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")
_HTJ2K = ("1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.202", "1.2.840.10008.1.2.4.203")
_PALETTES = ((0x00281101, 0x00281201, 0x00281221), (0x00281102, 0x00281202, 0x00281222),
             (0x00281103, 0x00281203, 0x00281223))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Described:
    """What the description says, None where it says nothing usable; sizes in pixels, depths in bits."""

    rows: int | None
    columns: int | None
    samples: int | None
    photometric: str
    allocated: int | None
    stored: int | None
    signed: bool
    frames: int

    def native_bytes(self) -> int | None:
        """So many bytes the native pixel data takes, without padding."""
        if not (self.rows and self.columns and self.samples and self.allocated):
            return None
        across = self.columns * self.samples
        if self.photometric in ("YBR_FULL_422", "YBR_PARTIAL_422"):
            across = (self.columns + 1) // 2 * 4
        return (self.rows * across * self.allocated * self.frames + 7) // 8


def check_pixels(found: Collector, header: Header, values: Values, codestream: bytes, *, is_image: bool) -> None:
    """The description and the pixel data; `codestream` is the beginning of the first fragment as far as it is known.

    `is_image` tells that the SOP Class is one of images.
    """
    present = [tag for tag in PIXEL_TAGS if tag in header.elements]
    if not present:
        if is_image:
            found.add("pixel-data-missing", _PIXEL_DATA)
        return
    if len(present) > 1:
        found.add("pixel-data-twice", present[0])
        return
    tag = present[0]
    element = header.elements[tag]
    described = _described(found, values, tag)
    _check_photometric(found, values, described, header.transfer_syntax_uid)
    if described.photometric == "PALETTE COLOR":
        _check_palettes(found, values)
    if header.fragments is None and element.length == 0:
        found.add("pixel-data-empty", tag)
        return
    encapsulated = header.fragments is not None or element.length == UNDEFINED
    if encapsulated == (header.transfer_syntax_uid in NATIVE):
        found.add("pixel-encapsulation-wrong", tag)
    elif header.fragments is not None:
        if element.vr != "OB" and not header.encoding.implicit:
            found.add("pixel-vr-wrong", tag)
        check_encapsulated(found, header, header.fragments, described, codestream)
    elif element.length != UNDEFINED:  # else only the beginning of the fragments is known
        _check_length(found, described, tag, element.length)
        if (
            tag == _PIXEL_DATA
            and not header.encoding.implicit
            and element.vr == "OB"
            and (described.allocated or 0) > 8
        ):
            found.add("pixel-vr-wrong", tag)
    if header.transfer_syntax_uid in LOSSY and values.code(_LOSSY) != "01":
        found.add("lossy-not-stated", _LOSSY)


def _described(found: Collector, values: Values, tag: int) -> Described:
    rows, columns = _side(found, values, _ROWS), _side(found, values, _COLUMNS)
    samples = _needed(found, values, _SAMPLES)
    if tag != _PIXEL_DATA:
        width = 32 if tag == _FLOAT else 64
        if values.integer(_ALLOCATED) not in (None, width):
            found.add("pixel-attribute-invalid", _ALLOCATED)
        return Described(
            rows, columns, samples, values.code(_PHOTOMETRIC), width, width, signed=True, frames=_frames(found, values)
        )
    allocated = _needed(found, values, _ALLOCATED)
    stored = _needed(found, values, _STORED)
    high = _needed(found, values, _HIGH)
    sign = _needed(found, values, _REPRESENTATION)
    if allocated is not None and allocated not in (1, 8, 16, 32):
        impossible = allocated < 1 or (allocated % 8 and allocated != 12)
        found.add("pixel-attribute-invalid" if impossible else "bits-allocated-unusual", _ALLOCATED)
    if stored is not None and allocated is not None and not 1 <= stored <= allocated:
        found.add("bits-stored-range", _STORED)
    if high is not None and stored is not None and high != stored - 1:
        found.add("high-bit-wrong", _HIGH)
    if sign not in (None, 0, 1):
        found.add("pixel-attribute-invalid", _REPRESENTATION)
    frames = _frames(found, values)
    return Described(rows, columns, samples, values.code(_PHOTOMETRIC), allocated, stored, sign == 1, frames)


def _needed(found: Collector, values: Values, tag: int) -> int | None:
    number = values.integer(tag)
    if number is None:
        found.add("pixel-attribute-missing", tag)
    return number


def _side(found: Collector, values: Values, tag: int) -> int | None:
    side = _needed(found, values, tag)
    if side is not None and not 1 <= side <= 0xFFFF:
        found.add("pixel-attribute-invalid", tag)
        return None
    return side


def _frames(found: Collector, values: Values) -> int:
    if not values.has_value(_FRAMES):
        return 1
    frames = values.integer(_FRAMES)
    if frames is None or not 1 <= frames <= MOST_FRAMES:
        found.add("number-of-frames-invalid", _FRAMES)
        return 1
    groups = values.items(_PER_FRAME)
    if groups and len(groups) != frames:
        found.add("frame-groups-count", _PER_FRAME)
    return frames


def _check_photometric(found: Collector, values: Values, described: Described, syntax: str) -> None:
    term, samples = described.photometric, described.samples
    if not term:
        found.add("pixel-attribute-missing", _PHOTOMETRIC)
        return
    expected = _IN_FORCE.get(term) or _RETIRED.get(term)
    if expected is None:
        found.add("photometric-unknown", _PHOTOMETRIC)
        return
    if term in _RETIRED:
        found.add("photometric-retired", _PHOTOMETRIC)
    if samples is not None and samples != expected:
        found.add("samples-mismatch", _SAMPLES)
    if expected > 1:
        planar = values.integer(_PLANAR)
        if planar is None:
            found.add("planar-configuration-missing", _PLANAR)
        elif planar not in (0, 1):
            found.add("pixel-attribute-invalid", _PLANAR)
    wavelet = syntax in _J2K or syntax in _HTJ2K
    if (term in ("YBR_RCT", "YBR_ICT") and not wavelet) or (
        term == "YBR_FULL_422" and syntax not in NATIVE and syntax != _JPEG_BASELINE and not syntax.endswith(".4.51")
    ) or (term == "PALETTE COLOR" and syntax in LOSSY):  # fmt: skip
        found.add("photometric-transfer-syntax", _PHOTOMETRIC)


def _check_palettes(found: Collector, values: Values) -> None:
    """Descriptors and data of the three palettes (PS3.3 C.7.6.3.1.5 and .6)."""
    for descriptor, data, segmented in _PALETTES:
        three = values.numbers(descriptor)
        element = values.elements.get(data)
        if descriptor not in values or (element is None and segmented not in values):
            found.add("palette-missing", descriptor if descriptor not in values else data)
            continue
        if len(three) != 3 or three[2] not in (8, 16):
            found.add("palette-invalid", descriptor)
            continue
        entries = int(three[0]) % 65536 or 65536
        # Eight-bit entries lie in bytes, or one in each word.
        lengths = (entries + entries % 2, 2 * entries) if three[2] == 8 else (2 * entries,)
        if element is not None and element.length not in lengths:
            found.add("palette-invalid", data)


def _check_length(found: Collector, described: Described, tag: int, length: int) -> None:
    needed = described.native_bytes()
    if needed is None:
        return
    if length < needed:
        found.add("pixel-length-short", tag)
    elif length > needed + (needed & 1):
        found.add("pixel-length-long", tag)
