"""Every frame is found where it lies: by offset tables right, wrong or absent, in one fragment or many."""

from __future__ import annotations

import logging
import warnings
from array import array
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from struct import pack

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.encaps import generate_frames

from isocenter.dicom.data_set import DataSet
from isocenter.dicom.frames import FrameTable, frame_table, little_endian, read_frame
from isocenter.dicom.instance import describe
from isocenter.dicom.json_model import encode
from isocenter.dicom.part10 import HeaderReader
from isocenter.dicom.pixel_description import PixelDescription
from isocenter.errors import Malformed, NotFound, Rejected, Unsupported
from isocenter.testing.elements import (
    EXPLICIT,
    JPEG_2000,
    RLE,
    description,
    element,
    encapsulated,
    instance,
    native,
)
from isocenter.testing.pixel_samples import bundled_images


def opened(data: bytes) -> tuple[FrameTable, PixelDescription]:
    reader = HeaderReader()
    reader.feed(data)
    header = reader.finish()
    model = encode(header.elements, big_endian=header.encoding.big_endian).model
    described = PixelDescription.from_data_set(DataSet(model), header.transfer_syntax_uid)
    return frame_table(header, described), described


def frames_of(data: bytes) -> list[bytes]:
    table, described = opened(data)
    again = FrameTable.from_bytes(table.to_bytes())
    assert again == table
    return [
        read_frame(again, described, number, lambda offset, length: data[offset : offset + length])
        for number in range(1, table.count + 1)
    ]


def _whole() -> list[Path]:
    found = []
    for path in bundled_images():
        try:
            table, _ = opened(path.read_bytes())
        except Rejected:
            continue
        # Bytes in big-endian words: there a frame ends with a word, not with its last byte.
        if not table.inflated and path.name != "SC_rgb_small_odd_big_endian.dcm":
            found.append(path)
    return found


@pytest.mark.parametrize("path", _whole(), ids=lambda path: path.name)
def test_the_frames_of_bundled_files_are_those_of_pydicom(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    data = path.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data_set = pydicom.dcmread(BytesIO(data))
        count = int(data_set.get("NumberOfFrames") or 1)
        pixels = data_set.PixelData
        if data_set.file_meta.TransferSyntaxUID.is_encapsulated:
            expected = list(generate_frames(pixels, number_of_frames=count))
        else:
            size = data_set.Rows * data_set.Columns * data_set.SamplesPerPixel * data_set.BitsAllocated // 8
            if data_set.PhotometricInterpretation == "YBR_FULL_422":
                size = size * 2 // 3
            expected = [pixels[start * size : (start + 1) * size] for start in range(count)]
    assert frames_of(data) == expected


_ONE, _TWO, _THREE = b"\xff\x4f" + b"a" * 20, b"\xff\x4f" + b"b" * 30, b"\xff\x4f" + b"c" * 10


def made(
    fragments: tuple[bytes, ...],
    *,
    frames: int = 3,
    table: bytes = b"",
    more: bytes = b"",
    syntax: str = JPEG_2000,
) -> bytes:
    head = description(8, 8, frames=str(frames))
    return instance("2.25.1", head, more, encapsulated(fragments, table=table), transfer_syntax=syntax)


_RIGHT = pack("<3L", 0, len(_ONE) + 8, len(_ONE) + len(_TWO) + 16)


@pytest.mark.parametrize(
    "table",
    [
        b"",
        _RIGHT,
        pack("<3L", 0, 4, 8),
        pack("<3L", 0, 0, 0),
        pack("<3L", 99, 0, 5),
        pack("<2L", 0, 30),
        b"\0\0\0\0\1\1",
        pack("<3L", 0, 0xFFFFFFFF, 0xFFFFFFFE),
    ],
)
def test_one_fragment_a_frame_needs_no_table_and_survives_a_wrong_one(table: bytes) -> None:
    assert frames_of(made((_ONE, _TWO, _THREE), table=table)) == [_ONE, _TWO, _THREE]


_SPLIT = (_ONE[:10], _ONE[10:], _TWO, _THREE[:4], _THREE[4:8], _THREE[8:])
_STARTS = (0, len(_ONE) + 16, len(_ONE) + len(_TWO) + 24)


def test_frames_of_many_fragments_are_joined_by_the_basic_offset_table() -> None:
    assert frames_of(made(_SPLIT, table=pack("<3L", *_STARTS))) == [_ONE, _TWO, _THREE]


def test_frames_of_many_fragments_are_joined_by_the_extended_offset_table() -> None:
    extended = element(0x7FE00001, "OV", pack("<3Q", *_STARTS)) + element(0x7FE00002, "OV", pack("<3Q", 22, 32, 12))
    assert frames_of(made(_SPLIT, more=extended)) == [_ONE, _TWO, _THREE]


def test_without_a_table_frames_begin_where_codestreams_begin() -> None:
    assert frames_of(made(_SPLIT)) == [_ONE, _TWO, _THREE]


def test_a_wrong_extended_table_gives_way_to_a_right_basic_one() -> None:
    extended = element(0x7FE00001, "OV", pack("<3Q", 0, 1 << 60, 5))
    split = (b"xx" + _ONE[:8], _ONE[8:], _TWO, _THREE)
    right = pack("<3L", 0, len(_ONE) + 2 + 16, len(_ONE) + 2 + len(_TWO) + 24)
    assert frames_of(made(split, table=right, more=extended)) == [b"xx" + _ONE, _TWO, _THREE]


def test_all_fragments_of_a_single_frame_are_one_frame() -> None:
    assert frames_of(made(_SPLIT, frames=1)) == [_ONE + _TWO + _THREE]


def test_fragments_that_cannot_be_told_apart_are_unsupported() -> None:
    with pytest.raises(Unsupported):
        opened(made((b"aaaa", b"bbbb", b"cccc"), frames=2))
    with pytest.raises(Unsupported):
        opened(made((b"aaaa", b"bbbb"), frames=1, syntax=RLE))


def test_fewer_fragments_than_frames_are_malformed() -> None:
    with pytest.raises(Malformed):
        opened(made((_ONE, _TWO)))


def test_native_frames_lie_one_behind_the_other() -> None:
    data = instance("2.25.1", description(2, 2, frames="3"), native(bytes(range(24))))
    assert frames_of(data) == [bytes(range(start, start + 8)) for start in (0, 8, 16)]


def test_frames_of_one_bit_begin_inside_bytes() -> None:
    """Three frames of 3x3 bits: 27 bits, packed without gaps (PS3.5 8.1.1)."""
    data = instance("2.25.1", description(3, 3, bits=1, frames="3"), native(b"\x01\x02\x03\x04", vr="OB"))
    table, described = opened(data)
    for number in (1, 2, 3):
        span = described.frame_span(number)
        first = (number - 1) * 9
        assert (span.offset, span.length) == (first // 8, (first + 9 + 7) // 8 - first // 8)
        got = read_frame(table, described, number, lambda offset, length: data[offset : offset + length])
        assert got == b"\x01\x02\x03\x04"[span.offset : span.offset + span.length]


@pytest.mark.parametrize("number", [0, -1, 4, 10**9])
@pytest.mark.parametrize(
    "data", [made((_ONE, _TWO, _THREE)), instance("2.25.1", description(2, 2, frames="3"), native(bytes(24)))]
)
def test_a_frame_that_is_not_there_is_not_found(data: bytes, number: int) -> None:
    table, described = opened(data)
    with pytest.raises(NotFound):
        read_frame(table, described, number, lambda offset, length: b"")


def test_pixel_data_and_transfer_syntax_must_agree() -> None:
    with pytest.raises(Malformed):
        opened(instance("2.25.1", description(8, 8), encapsulated((_ONE,)), transfer_syntax=EXPLICIT))
    with pytest.raises(Malformed):
        opened(instance("2.25.1", description(2, 2), native(bytes(8)), transfer_syntax=JPEG_2000))


@given(st.lists(st.tuples(st.integers(0, 2**40), st.integers(0, 2**32 - 1)), min_size=1, max_size=50), st.data())
def test_any_table_survives_the_round_trip(fragments: list[tuple[int, int]], draw: st.DataObject) -> None:
    count = draw.draw(st.integers(1, len(fragments)))
    starts = sorted(draw.draw(st.lists(st.integers(1, len(fragments)), min_size=count - 1, max_size=count - 1)))
    table = FrameTable(
        count,
        inflated=draw.draw(st.booleans()),
        offsets=array("Q", [offset for offset, _ in fragments]),
        lengths=array("I", [length for _, length in fragments]),
        first=array("I", [0, *starts, len(fragments)]),
    )
    assert FrameTable.from_bytes(table.to_bytes()) == table


@given(st.binary(max_size=200))
def test_damaged_tables_are_told_as_such(data: bytes) -> None:
    with suppress(Malformed):
        FrameTable.from_bytes(data)


def test_big_endian_frames_leave_little_endian() -> None:
    files = Path(pydicom.data.__file__).parent / "test_files"
    frames = []
    for name in ("MR_small.dcm", "MR_small_bigendian.dcm"):
        reader = HeaderReader()
        data = (files / name).read_bytes()
        reader.feed(data)
        found = describe(reader.finish())
        description = PixelDescription.from_data_set(DataSet(found.model), found.transfer_syntax_uid)
        assert found.frames is not None
        span = description.frame_span(1)
        start = found.frames.offset + span.offset
        frame = data[start : start + span.length]
        frames.append(little_endian(description, frame))
    assert frames[0] == frames[1]
