"""An instance in another transfer syntax (PS3.5 Annex A): the Part 10 file piece by piece, its header made right.

What is decided here:

- The pieces come as they are made, memory bounded by one frame. Encapsulated pixel data gets an empty Basic Offset
  Table, which PS3.5 A.4 allows, and one fragment a frame: offsets would have to be known before the first frame
  leaves. So there is no Extended Offset Table either, and no limit of 4 GiB.
- A source that is Explicit VR Little Endian has its header copied byte for byte, but for the elements named in
  `encapsulated`; any other is written anew element by element, values as they were.
- SOP Instance UID stays, also where the target is lossy. PS3.18 8.7.3 makes the transfer syntax a property of the
  representation, not of the resource: who asks for an instance in .4.91 asks for that instance, and an answer under
  another UID could neither be matched to the request nor be found again. PS3.3 C.7.6.1.1.2 asks for a new UID where
  the change is expected to affect interpretation; that is for those who keep the result, who give `new_uid`, and
  the source is then referenced (Source Image Sequence). A lossy result always says so: Lossy Image Compression,
  its Ratio and Method are extended (C.7.6.1.1.5) and Image Type becomes DERIVED.
- Icons and other pixel data inside sequences become native, which every transfer syntax allows.
- Overlays in unused high bits (retired) stay in place between native syntaxes. Decoding takes those bits off, so
  they are not in an encapsulated target, nor in a native one made from an encapsulated source.
- Digital Signatures are left out where pixel data is decoded: the bytes they were made over are gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from struct import pack
from typing import Final

from isocenter.dicom.data_set import DataSet
from isocenter.dicom.elements import PIXEL_DATA, PIXEL_TAGS, UNDEFINED, Element
from isocenter.dicom.file_meta import part10_header
from isocenter.dicom.json_model import encode
from isocenter.dicom.pixel_description import IMPLICIT_LITTLE, PixelDescription
from isocenter.dicom.pixel_encode import LOSSY_METHODS, LOSSY_TARGETS, NATIVE_TARGETS, EncodedFrame
from isocenter.dicom.recode import (
    Changes,
    IconDecoder,
    Recoder,
    Source,
    copied,
    element_bytes,
    element_head,
    swapped,
)
from isocenter.errors import Malformed, NotAcceptable, Unsupported

_MOST_NATIVE = 0xFFFFFFFE  # what a 32-bit length can say
_SOP_CLASS, _SOP_INSTANCE = 0x00080016, 0x00080018
_IMAGE_TYPE, _SOURCE_IMAGES = 0x00080008, 0x00082112
_LOSSY, _RATIO, _METHOD = 0x00282110, 0x00282112, 0x00282114
# Extended Offset Table and its lengths, and Encapsulated Pixel Data Value Total Length.
_OFFSET_TABLES = (0x7FE00001, 0x7FE00002, 0x7FE00003)
_MAC_PARAMETERS, _SIGNATURES, _TRAILING_PADDING = 0x4FFE0001, 0xFFFAFFFA, 0xFFFCFFFC
# Sources that are lossy whatever they say; the others may be either.
_LOSSY_SOURCES: Final = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 53, 55))

GetFrame = Callable[[int], EncodedFrame]


def rewritten(source: Source, target: str, *, icon: IconDecoder, bits_allocated: int = 16) -> Iterator[bytes]:
    """The file in a native `target`, from a source without pixel data or with native ones; nothing is decoded.

    `bits_allocated` is the width of native samples, which counts for big-endian sources alone.
    """
    implicit = _implicit(target)
    changes: dict[int, Iterable[bytes] | None] = {_TRAILING_PADDING: None}
    for tag in PIXEL_TAGS:
        element = source.elements.get(tag)
        if element is not None:
            if element.length == UNDEFINED:
                raise Malformed("PixelData is encapsulated under a native TransferSyntaxUID", code="bad-pixel-data")
            changes[tag] = native_pixels(source, tag, element, bits_allocated, implicit)
    body = Recoder(source, implicit=implicit, icon=icon).rewritten(changes)
    return _gathered(chain((_file_head(source, target, None),), body))


def transcoded(
    source: Source,
    description: PixelDescription,
    target: str,
    get_frame: GetFrame,
    *,
    icon: IconDecoder,
    new_uid: str | None = None,
) -> Iterator[bytes]:
    """The file in `target`; `get_frame(n)` gives frame n (from 1) in it, as `pixel_encode.recompress` makes it.

    The first frame is made before the first piece is given, so that what cannot be made is known by then.
    Raises what `get_frame` raises; Malformed where frames come out of different kinds; NotAcceptable where native
    pixel data would be over 4 GiB.
    """
    implicit = target == IMPLICIT_LITTLE
    changes = {**pixel_changes(source, description, target, get_frame)}
    recoder = Recoder(source, implicit=implicit, icon=icon)
    if new_uid is not None:
        changes |= _identity_changes(source, recoder, new_uid, implicit)
    return _gathered(chain((_file_head(source, target, new_uid),), recoder.rewritten(changes)))


def pixel_changes(source: Source, description: PixelDescription, target: str, get_frame: GetFrame) -> Changes:
    """What takes the place of elements where all frames are made anew in `target`: pixels and what speaks of them.

    Raises as `transcoded` does; the first frame is made before this returns, the others as the pieces are taken.
    """
    first = get_frame(1)
    implicit = target == IMPLICIT_LITTLE
    pixels = (
        _native_frames(description, first, get_frame, implicit)
        if target in NATIVE_TARGETS
        else _fragments(description, first, get_frame)
    )
    changes = {**_image_pixel_changes(description, first, implicit)}
    if target in LOSSY_TARGETS:
        changes |= _lossy_changes(source, description, target, first, implicit)
    elif description.transfer_syntax_uid in _LOSSY_SOURCES and _text(source, _LOSSY) != "01":
        changes[_LOSSY] = (element_bytes(_LOSSY, "CS", b"01", implicit=implicit),)
    for tag in (*_OFFSET_TABLES, _MAC_PARAMETERS, _SIGNATURES, _TRAILING_PADDING):
        changes[tag] = None
    changes[PIXEL_DATA] = pixels
    return changes


def _implicit(target: str) -> bool:
    if target not in NATIVE_TARGETS:
        raise NotAcceptable("a Data Set without pixels has native transfer syntaxes only", code="not-native")
    return target == IMPLICIT_LITTLE


def _file_head(source: Source, target: str, new_uid: str | None) -> bytes:
    """Preamble and File Meta Information of our own: it is we who write this file (PS3.10 7.1)."""
    return part10_header(_text(source, _SOP_CLASS), new_uid or _text(source, _SOP_INSTANCE), target)


def _text(source: Source, tag: int) -> str:
    """A value of the top level as text, for VRs that no character set governs (UI, CS, DS)."""
    element = source.elements.get(tag)
    value = element.value if element is not None else None
    return value.rstrip(b"\0 ").decode("latin-1") if isinstance(value, bytes) else ""


# Pixel data ---------------------------------------------------------------------------------------------------


def native_pixels(source: Source, tag: int, element: Element, bits: int, implicit: bool) -> Iterator[bytes]:
    """The element of native pixel data from one native encoding to another, values as they were."""
    vr = element.vr if len(element.vr) == 2 else "OW"
    length = element.length
    yield element_head(tag, vr, length + length % 2, implicit=implicit)
    pieces = copied(source.read, element.offset, length) if element.value is None else iter((element.value,))
    width = {8: None, 16: "H", 32: "I", 64: "Q"}.get(bits)
    if vr == "OW" and bits <= 8:
        width = "H"  # bytes and packed bits lie in words too (PS3.5 8.1.2)
    for piece in pieces:
        assert isinstance(piece, bytes)
        yield swapped(piece, "", width) if source.encoding.big_endian and width else piece
    if length % 2:
        yield b"\0"


def _native_frames(
    description: PixelDescription, first: EncodedFrame, get_frame: GetFrame, implicit: bool
) -> Iterator[bytes]:
    total = len(first.data) * description.number_of_frames
    if total > _MOST_NATIVE:
        raise NotAcceptable(
            "native PixelData would be over 4 GiB; ask for a compressed transfer syntax", code="too-large-for-native"
        )
    return _checked_native_frames(description, first, get_frame, total, implicit)


def _checked_native_frames(
    description: PixelDescription, first: EncodedFrame, get_frame: GetFrame, total: int, implicit: bool
) -> Iterator[bytes]:
    vr = "OW" if implicit or first.bits_allocated > 8 else "OB"
    yield element_head(PIXEL_DATA, vr, total + total % 2, implicit=implicit)
    for frame in _frames(description, first, get_frame):
        if len(frame.data) != len(first.data):
            raise Malformed("the frames differ in size", code="frames-differ")
        yield frame.data
    if total % 2:
        yield b"\0"


def _fragments(description: PixelDescription, first: EncodedFrame, get_frame: GetFrame) -> Iterator[bytes]:
    """Encapsulated pixel data with an empty Basic Offset Table (PS3.5 A.4)."""
    yield element_head(PIXEL_DATA, "OB", UNDEFINED) + pack("<HHL", 0xFFFE, 0xE000, 0)
    for frame in _frames(description, first, get_frame):
        length = len(frame.data)
        if length >= _MOST_NATIVE:
            raise Unsupported("a compressed frame is over 4 GiB", code="frame-too-large")
        yield pack("<HHL", 0xFFFE, 0xE000, length + length % 2) + frame.data + b"\0" * (length % 2)
    yield pack("<HHL", 0xFFFE, 0xE0DD, 0)


def _frames(description: PixelDescription, first: EncodedFrame, get_frame: GetFrame) -> Iterator[EncodedFrame]:
    yield first
    kind = (first.photometric_interpretation, first.bits_allocated, first.bits_stored)
    for number in range(2, description.number_of_frames + 1):
        frame = get_frame(number)
        if (frame.photometric_interpretation, frame.bits_allocated, frame.bits_stored) != kind:
            raise Malformed("the frames differ in their colour or depth", code="frames-differ")
        yield frame


# Attributes ---------------------------------------------------------------------------------------------------


def _image_pixel_changes(description: PixelDescription, first: EncodedFrame, implicit: bool) -> Changes:
    """The Image Pixel Module as it now is (PS3.3 C.7.6.3); what does not change is left as it lies."""
    samples = description.samples_per_pixel
    wanted: list[tuple[int, int | None]] = [
        (0x00280006, 0 if samples > 1 else None),
        (0x00280100, first.bits_allocated),
        (0x00280101, first.bits_stored),
        (0x00280102, first.bits_stored - 1),
        (0x00280103, description.pixel_representation),
    ]
    changes: dict[int, Iterable[bytes] | None] = {}
    for tag, number in wanted:
        changes[tag] = None if number is None else (element_bytes(tag, "US", pack("<H", number), implicit=implicit),)
    photometric = first.photometric_interpretation.encode("ascii")
    changes[0x00280004] = (element_bytes(0x00280004, "CS", photometric, implicit=implicit),)
    return changes


def _lossy_changes(
    source: Source, description: PixelDescription, target: str, first: EncodedFrame, implicit: bool
) -> Changes:
    """Image Type and the Lossy Image Compression attributes (PS3.3 C.7.6.1.1.2 and C.7.6.1.1.5).

    The ratio is that of the first frame: it is said in the header, before the other frames are made, and the
    attribute asks for an approximate one.
    """
    native = -(-description.pixels * description.samples_per_pixel * description.bits_stored // 8)
    ratio = f"{min(99999.0, native / len(first.data)):.2f}"
    image_type = _text(source, _IMAGE_TYPE).split("\\")
    before = _text(source, _LOSSY) == "01"
    new = {
        _IMAGE_TYPE: ("CS", "\\".join(("DERIVED", *(image_type[1:] or ("PRIMARY",))))),
        _LOSSY: ("CS", "01"),
        _RATIO: ("DS", _appended(_text(source, _RATIO) if before else "", ratio)),
        _METHOD: ("CS", _appended(_text(source, _METHOD) if before else "", LOSSY_METHODS[target])),
    }
    return {
        tag: (element_bytes(tag, vr, value.encode("latin-1"), implicit=implicit),) for tag, (vr, value) in new.items()
    }


def _appended(values: str, value: str) -> str:
    return f"{values}\\{value}" if values else value


def _identity_changes(source: Source, recoder: Recoder, new_uid: str, implicit: bool) -> Changes:
    """A new SOP Instance UID, and the source added to Source Image Sequence (PS3.3 C.7.6.1.1.4)."""
    reference = b"".join(
        element_bytes(tag, "UI", _text(source, of).encode("latin-1"), implicit=implicit)
        for tag, of in ((0x00081150, _SOP_CLASS), (0x00081155, _SOP_INSTANCE))
    )
    known = source.elements.get(_SOURCE_IMAGES)
    items = known.value if known is not None and isinstance(known.value, list) else []
    contents = [b"".join(recoder.item(item, signed=False)) for item in items]
    sequence = b"".join(pack("<HHL", 0xFFFE, 0xE000, len(part)) + part for part in (*contents, reference))
    head = element_head(_SOURCE_IMAGES, "SQ", len(sequence), implicit=implicit)
    return {
        _SOP_INSTANCE: (element_bytes(_SOP_INSTANCE, "UI", new_uid.encode("ascii"), implicit=implicit),),
        _SOURCE_IMAGES: (head + sequence,),
    }


def icon_description(item: Mapping[int, Element], element: Element, transfer_syntax_uid: str) -> PixelDescription:
    """The description of pixel data inside a sequence (Icon Image Sequence, PS3.3 C.7.6.1.1.6)."""
    described = {tag: part for tag, part in item.items() if tag >> 16 == 0x0028}
    model = encode({**described, PIXEL_DATA: element}).model
    return PixelDescription.from_data_set(DataSet(model), transfer_syntax_uid)


def _gathered(pieces: Iterable[bytes], step: int = 64 << 10) -> Iterator[bytes]:
    """Small pieces joined up to `step` bytes, so that a header is not sent in hundreds of chunks."""
    held: list[bytes] = []
    size = 0
    for piece in pieces:
        if size + len(piece) > step and held:
            yield b"".join(held)
            held, size = [], 0
        if len(piece) >= step:
            yield piece
        else:
            held.append(piece)
            size += len(piece)
    if held:
        yield b"".join(held)
