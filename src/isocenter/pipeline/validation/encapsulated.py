"""Rules of encapsulated pixel data (PS3.5 A.4): fragments, offset tables, the header of the first codestream."""

from __future__ import annotations

from array import array
from struct import unpack_from
from typing import TYPE_CHECKING

from isocenter.dicom.codestream import Codestream, read_jpeg, read_jpeg_2000, read_jpeg_xl
from isocenter.dicom.elements import Fragments
from isocenter.dicom.part10 import Header
from isocenter.dicom.transfer_syntax import VIDEO
from isocenter.errors import Rejected
from isocenter.pipeline.validation.report import Collector

if TYPE_CHECKING:
    from isocenter.pipeline.validation.pixels import Described

_PIXEL_DATA, _EXTENDED, _ALLOCATED = 0x7FE00010, 0x7FE00001, 0x00280100
_ROWS, _COLUMNS, _SAMPLES, _STORED, _REPRESENTATION = 0x00280010, 0x00280011, 0x00280002, 0x00280101, 0x00280103
_ROOT = "1.2.840.10008.1.2.4."
_RLE = "1.2.840.10008.1.2.5"
# Families of codestreams by transfer syntax (PS3.5 10).
_FAMILIES = {
    "jpeg": tuple(f"{_ROOT}{n}" for n in (50, 51, 53, 55)),
    "jpeg-lossless": tuple(f"{_ROOT}{n}" for n in (57, 70)),
    "jpeg-ls": tuple(f"{_ROOT}{n}" for n in (80, 81)),
    "jpeg-2000": tuple(f"{_ROOT}{n}" for n in (90, 91, 92, 93, 201, 202, 203)),
    "jpeg-xl": tuple(f"{_ROOT}{n}" for n in (110, 111, 112)),
}
_FAMILY = {uid: family for family, uids in _FAMILIES.items() for uid in uids}
# Always lossy; others may be either.
LOSSY = frozenset((f"{_ROOT}50", f"{_ROOT}51", f"{_ROOT}81"))

_MOST_TILES = 65535 * 14  # bytes of as many tiles as there may be


def check_encapsulated(
    found: Collector, header: Header, fragments: Fragments, described: Described, codestream: bytes
) -> None:
    """Fragments against NumberOfFrames, and the first codestream's header against the description."""
    if header.transfer_syntax_uid in VIDEO:
        return
    count, frames = len(fragments.offsets), described.frames
    if any(length & 1 for length in fragments.lengths):
        found.add("fragment-odd-length", _PIXEL_DATA)
    if count < frames:
        found.add("fragments-too-few", _PIXEL_DATA)
        return
    tabled = _check_tables(found, header, fragments, frames)
    starts = sum(fragments.starts)
    if not tabled and count != frames and starts != frames and (frames != 1 or header.transfer_syntax_uid == _RLE):
        found.add("fragments-cannot-be-told", _PIXEL_DATA)
    if header.transfer_syntax_uid == _RLE:
        _check_rle(found, described, codestream)
    elif codestream:
        whole = fragments.lengths[0] if count == frames else sum(fragments.lengths)
        _check_codestream(found, header.transfer_syntax_uid, described, codestream, whole)


def _check_tables(found: Collector, header: Header, fragments: Fragments, frames: int) -> bool:
    """The Basic and the Extended Offset Table; whether one of them tells the frames apart."""
    places = {offset - fragments.offsets[0] for offset in fragments.offsets}
    good = False
    extended = header.elements.get(_EXTENDED)
    tables: list[tuple[int, bytes, str]] = [(_PIXEL_DATA, fragments.table, "I")]
    if extended is not None and isinstance(extended.value, bytes):
        tables.append((_EXTENDED, extended.value, "Q"))
    for tag, table, code in tables:
        if not table:
            continue
        offsets = array(code)
        if len(table) % offsets.itemsize == 0:
            offsets.frombytes(table)  # little endian, as every machine that this runs on
        if len(offsets) == frames and offsets[0] == 0 and places.issuperset(offsets) and _rises(offsets):
            good = True
        else:
            found.add("offset-table-wrong", tag)
    return good


def _rises(offsets: array[int]) -> bool:
    return all(offsets[n] < offsets[n + 1] for n in range(len(offsets) - 1))


def _check_rle(found: Collector, described: Described, codestream: bytes) -> None:
    """The RLE header (PS3.5 G.5): one segment for each byte of each sample."""
    if not codestream:
        return
    if len(codestream) < 64:
        found.add("codestream-unreadable", _PIXEL_DATA)
        return
    segments, first = unpack_from("<2L", codestream)
    if not 1 <= segments <= 15 or first != 64:
        found.add("codestream-unreadable", _PIXEL_DATA)
    elif described.samples and described.allocated and segments != described.samples * -(-described.allocated // 8):
        found.add("codestream-samples", _SAMPLES)


def _check_codestream(found: Collector, syntax: str, described: Described, data: bytes, whole: int) -> None:
    """`data` is the beginning of a codestream of up to `whole` bytes."""
    family = _FAMILY.get(syntax)
    if family is None:
        return
    told = _family_of(data)
    try:
        if family == "jpeg-2000":
            # The reader counts tiles against the bytes of the frame, of which these are only the first.
            counted = data.ljust(min(whole, _MOST_TILES))
            stream = read_jpeg_2000(counted) if told in (None, "jpeg-2000") else None
        elif family == "jpeg-xl":
            stream = read_jpeg_xl(data) if told in (None, "jpeg-xl") else None
        else:
            stream = read_jpeg(data) if told in (None, "jpeg") else None
    except Rejected:
        if told != "jpeg" or len(data) >= whole:  # a JPEG's frame header may lie behind long comments
            found.add("codestream-unreadable", _PIXEL_DATA)
        return
    # A progressive or extended process is read by the same decoders; lossless and JPEG-LS are not the same.
    if stream is None or stream.family != family:
        found.add("codestream-other", _PIXEL_DATA)
        return
    _compare(found, described, stream)


def _family_of(data: bytes) -> str | None:
    if data[:3] == b"\xff\xd8\xff":
        return "jpeg"
    if data[:4] == b"\xff\x4f\xff\x51" or data[4:8] == b"jP  ":
        return "jpeg-2000"
    return "jpeg-xl" if data[:2] == b"\xff\x0a" or data[4:8] == b"JXL " else None


def _compare(found: Collector, described: Described, stream: Codestream) -> None:
    if described.rows is not None and stream.height != described.rows:
        found.add("codestream-size", _ROWS)
    if described.columns is not None and stream.width != described.columns:
        found.add("codestream-size", _COLUMNS)
    if stream.components is not None and described.samples is not None and stream.components != described.samples:
        found.add("codestream-samples", _SAMPLES)
    if stream.precision is not None and described.allocated is not None and stream.precision > described.allocated:
        found.add("codestream-too-deep", _ALLOCATED)
    elif stream.precision is not None and described.stored is not None and stream.precision > described.stored:
        found.add("codestream-depth", _STORED)
    if stream.family == "jpeg-2000" and described.samples == 1 and stream.signed != described.signed:
        found.add("codestream-sign", _REPRESENTATION)
