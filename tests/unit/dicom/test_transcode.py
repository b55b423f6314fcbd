"""Whole files in another transfer syntax: headers made right, pieces bounded, frames in their order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from io import BytesIO
from struct import pack
from typing import Any

import numpy as np
import pydicom
import pytest

from isocenter.dicom.data_set import DataSet
from isocenter.dicom.elements import Element
from isocenter.dicom.json_model import encode
from isocenter.dicom.part10 import HeaderReader
from isocenter.dicom.pixel_description import PixelDescription
from isocenter.dicom.pixel_encode import (
    JPEG_2000,
    JPEG_2000_LOSSLESS,
    JPEG_BASELINE,
    JPEG_LS,
    JPEG_LS_NEAR,
    RLE,
    EncodedFrame,
    FrameWork,
    recompress,
)
from isocenter.dicom.recode import Source
from isocenter.dicom.transcode import icon_description, rewritten, transcoded
from isocenter.errors import Malformed, NotAcceptable
from isocenter.testing.elements import (
    BIG_ENDIAN,
    EXPLICIT,
    IMPLICIT,
    description,
    element,
    encapsulated,
    instance,
    item,
    meta,
    native,
    sequence,
    short,
)
from isocenter.testing.instances import ct_slice, us_cine


def no_icon(siblings: Mapping[int, Element], pixels: Element) -> bytes:
    raise AssertionError("there is no icon here")


class File:
    """A file in memory as transcoding takes it."""

    def __init__(self, data: bytes) -> None:
        reader = HeaderReader()
        reader.feed(data)
        header = reader.finish()
        self.data = data
        self.source = Source(header.elements, header.encoding, lambda at, size: data[at : at + size])
        self.pixels = header.elements[0x7FE00010]
        self.syntax = header.transfer_syntax_uid
        self.model = encode(header.elements, big_endian=header.encoding.big_endian).model

    @property
    def description(self) -> PixelDescription:
        return PixelDescription.from_data_set(DataSet(self.model), self.syntax)

    def frame(self, target: str, number: int) -> EncodedFrame:
        span = self.description.frame_span(number)
        data = self.source.read(self.pixels.offset + span.offset, span.length)
        return recompress(FrameWork(self.description, data, target, skip_bits=span.skip_bits))

    def pieces(self, target: str, **options: Any) -> Iterator[bytes]:
        return transcoded(
            self.source, self.description, target, lambda n: self.frame(target, n), icon=no_icon, **options
        )

    def to(self, target: str, **options: Any) -> pydicom.Dataset:
        return pydicom.dcmread(BytesIO(b"".join(self.pieces(target, **options))))


def test_a_lossless_target_changes_the_transfer_syntax_and_the_pixels_alone() -> None:
    file = File(ct_slice(size=32))
    before, after = pydicom.dcmread(BytesIO(file.data)), file.to(RLE)
    assert after.file_meta.TransferSyntaxUID == RLE
    assert after.file_meta.MediaStorageSOPInstanceUID == before.SOPInstanceUID
    assert {part.tag for part in before} == {part.tag for part in after}
    assert all(part == after[part.tag] for part in before if part.tag != 0x7FE00010)
    assert after["PixelData"].VR == "OB"
    assert after["PixelData"].is_undefined_length
    np.testing.assert_array_equal(after.pixel_array, before.pixel_array)


def test_encapsulated_pixels_have_an_empty_offset_table_and_even_fragments() -> None:
    data = b"".join(File(us_cine(frames=2, rows=24, columns=32)).pieces(RLE))
    pixels = data[data.index(pack("<HH2sHL", 0x7FE0, 0x10, b"OB", 0, 0xFFFFFFFF)) + 12 :]
    assert pixels[:8] == pack("<HHL", 0xFFFE, 0xE000, 0)
    position, lengths = 8, []
    while pixels[position : position + 4] == pack("<HH", 0xFFFE, 0xE000):
        lengths.append(int.from_bytes(pixels[position + 4 : position + 8], "little"))
        position += 8 + lengths[-1]
    assert len(lengths) == 2
    assert all(length % 2 == 0 for length in lengths)
    assert pixels[position:] == pack("<HHL", 0xFFFE, 0xE0DD, 0)


def test_colour_changes_its_name_with_the_transform() -> None:
    file = File(us_cine(frames=1, rows=24, columns=32))
    for target, name in (
        (JPEG_2000_LOSSLESS, "YBR_RCT"),
        (JPEG_2000, "YBR_ICT"),
        (JPEG_BASELINE, "YBR_FULL_422"),
        (RLE, "RGB"),
    ):
        found = file.to(target)
        assert (found.PhotometricInterpretation, found.PlanarConfiguration, found.SamplesPerPixel) == (name, 0, 3)


def test_a_lossy_target_says_so_and_keeps_its_identity() -> None:
    file = File(us_cine(frames=1, rows=240, columns=320))
    found = file.to(JPEG_BASELINE)
    assert found.SOPInstanceUID == pydicom.dcmread(BytesIO(file.data)).SOPInstanceUID
    assert list(found.ImageType) == ["DERIVED", "PRIMARY", "ABDOMINAL", "0001"]
    assert (found.LossyImageCompression, found.LossyImageCompressionMethod) == ("01", "ISO_10918_1")
    encoded = len(file.frame(JPEG_BASELINE, 1).data)
    assert float(found.LossyImageCompressionRatio) == pytest.approx(240 * 320 * 3 / encoded, abs=0.01)


def test_earlier_losses_stay_on_record() -> None:
    lossy: dict[str, Any] = {
        "LossyImageCompression": "01",
        "LossyImageCompressionRatio": "10",
        "LossyImageCompressionMethod": "ISO_10918_1",
    }
    found = File(ct_slice(size=32, **lossy)).to(JPEG_LS_NEAR)
    assert list(found.LossyImageCompressionMethod) == ["ISO_10918_1", "ISO_14495_1"]
    assert found.LossyImageCompressionRatio[0] == 10
    assert len(found.LossyImageCompressionRatio) == 2
    kept = File(ct_slice(size=32, **lossy)).to(JPEG_LS)
    assert (kept.LossyImageCompression, kept.LossyImageCompressionRatio) == ("01", 10)


def test_a_new_identity_refers_to_the_old_one() -> None:
    file = File(ct_slice(size=32))
    before, found = pydicom.dcmread(BytesIO(file.data)), file.to(JPEG_LS_NEAR, new_uid="2.25.99")
    assert found.SOPInstanceUID == found.file_meta.MediaStorageSOPInstanceUID == "2.25.99"
    (reference,) = found.SourceImageSequence
    assert reference.ReferencedSOPInstanceUID == before.SOPInstanceUID
    assert reference.ReferencedSOPClassUID == before.SOPClassUID


def test_references_to_earlier_sources_stay() -> None:
    earlier = sequence(0x00082112, item(element(0x00081155, "UI", "2.25.3") + element(0x00081199, "SQ", b"")))
    parts = (earlier, description(2, 2), native(bytes(8)))
    found = File(instance("2.25.4", *parts)).to(RLE, new_uid="2.25.99")
    assert [part.ReferencedSOPInstanceUID for part in found.SourceImageSequence] == ["2.25.3", "2.25.4"]


def test_samples_kept_high_come_down_and_the_header_follows() -> None:
    pixels = np.array([[0x1230, 0x4560], [0x7890, 0xFFF0]], "<u2")
    image = description(2, 2, stored=12).replace(short(0x00280102, 11), short(0x00280102, 15))
    found = File(instance("2.25.4", image, native(pixels.tobytes()))).to(RLE)
    assert (found.BitsStored, found.HighBit) == (12, 11)
    np.testing.assert_array_equal(found.pixel_array, pixels >> 4)


def test_eight_bits_in_words_become_bytes_under_baseline() -> None:
    pixels = np.arange(64, dtype="<u2").reshape(8, 8)
    found = File(instance("2.25.4", description(8, 8, stored=8), native(pixels.tobytes()))).to(JPEG_BASELINE)
    assert (found.BitsAllocated, found.BitsStored, found.HighBit) == (8, 8, 7)


def test_what_describes_the_old_pixels_goes() -> None:
    signatures = sequence(0xFFFAFFFA, item(short(0x04000005, 1)))
    parts = (
        description(2, 2), element(0x4FFE0001, "SQ", b""), element(0x7FE00001, "OV", bytes(8)), native(bytes(8)),
        element(0x7FE10010, "LO", "ACME"), element(0x7FE11001, "OB", b"\1\2"), signatures,
        element(0xFFFCFFFC, "OB", bytes(10)),
    )  # fmt: skip
    found = File(instance("2.25.4", *parts)).to(RLE)
    for tag in (0x4FFE0001, 0x7FE00001, 0xFFFAFFFA, 0xFFFCFFFC):
        assert tag not in found
    assert found[0x7FE11001].value == b"\1\2"  # what follows the pixels stays


def test_a_lossy_source_that_does_not_say_so_is_made_to() -> None:
    jpeg = File(us_cine(frames=1, rows=24, columns=32)).frame(JPEG_BASELINE, 1)
    image = description(24, 32, bits=8, samples=3, photometric="YBR_FULL_422")
    reader = HeaderReader()
    data = instance("2.25.4", image, encapsulated((jpeg.data,)), transfer_syntax=JPEG_BASELINE)
    reader.feed(data)
    header = reader.finish()
    stated = PixelDescription.from_data_set(DataSet(encode(header.elements).model), JPEG_BASELINE)
    source = Source(header.elements, header.encoding, lambda at, size: data[at : at + size])
    work = FrameWork(stated, jpeg.data, EXPLICIT)
    pieces = transcoded(source, stated, EXPLICIT, lambda n: recompress(work), icon=no_icon)
    found = pydicom.dcmread(BytesIO(b"".join(pieces)))
    assert found.LossyImageCompression == "01"
    assert found.PhotometricInterpretation == "RGB"
    assert found["PixelData"].VR == "OB"
    assert len(found.PixelData) == 24 * 32 * 3


@pytest.mark.parametrize("target", [EXPLICIT, IMPLICIT])
def test_odd_pixel_data_is_padded(target: str) -> None:
    file = File(instance("2.25.4", description(3, 3, bits=8, frames="1"), native(bytes(range(10)), vr="OB")))
    found = file.to(target)
    assert found.PixelData == bytes((*range(9), 0))
    assert ("OW" if target == IMPLICIT else "OB") == found["PixelData"].VR


def test_a_frame_is_asked_for_only_when_it_is_its_turn() -> None:
    file = File(us_cine(frames=4, rows=200, columns=300))
    asked: list[int] = []

    def get_frame(number: int) -> EncodedFrame:
        asked.append(number)
        return file.frame(EXPLICIT, number)

    pieces = transcoded(file.source, file.description, EXPLICIT, get_frame, icon=no_icon)
    assert asked == [1]  # so that an error can still become a status
    head = next(pieces)
    assert head[128:132] == b"DICM"
    assert len(asked) <= 2
    assert max(map(len, pieces)) == 200 * 300 * 3
    assert asked == [1, 2, 3, 4]


def test_frames_that_come_out_of_different_kinds_are_refused() -> None:
    file = File(us_cine(frames=2, rows=24, columns=32))

    def get_frame(number: int) -> EncodedFrame:
        return EncodedFrame(b"\0\0", "RGB" if number == 1 else "YBR_FULL", 8, 8)

    pieces = transcoded(file.source, file.description, RLE, get_frame, icon=no_icon)
    with pytest.raises(Malformed):
        list(pieces)


def test_native_pixels_of_over_four_gigabytes_are_not_acceptable() -> None:
    file = File(us_cine(frames=2, rows=24, columns=32))
    huge = EncodedFrame(b"", "RGB", 8, 8)

    class Long(bytes):
        def __len__(self) -> int:
            return 1 << 31

    huge = EncodedFrame(Long(), "RGB", 8, 8)
    with pytest.raises(NotAcceptable):
        transcoded(file.source, file.description, EXPLICIT, lambda n: huge, icon=no_icon)


def test_big_endian_pixels_are_turned_without_being_decoded() -> None:
    header = meta(BIG_ENDIAN, "2.25.4")
    parts = [(0x00080016, b"UI", b"1.2\0"), (0x00080018, b"UI", b"2.25.4")]
    body = b"".join(pack(">HH2sH", tag >> 16, tag & 0xFFFF, vr, len(v)) + v for tag, vr, v in parts)
    words = pack(">HH2sHL", 0x7FE0, 0x10, b"OW", 0, 8) + b"\x01\x02\x03\x04\x05\x06\x07\x08"
    reader = HeaderReader()
    data = header + body + words
    reader.feed(data)
    found = reader.finish()
    source = Source(found.elements, found.encoding, lambda at, size: data[at : at + size])
    for bits, expected in ((16, b"\2\1\4\3\6\5\x08\7"), (8, b"\2\1\4\3\6\5\x08\7"), (32, b"\4\3\2\1\x08\7\6\5")):
        made = b"".join(rewritten(source, EXPLICIT, icon=no_icon, bits_allocated=bits))
        assert made.endswith(pack("<HH2sHL", 0x7FE0, 0x10, b"OW", 0, 8) + expected)


def test_a_native_source_keeps_the_overlays_in_its_high_bits() -> None:
    pixels = np.array([[0xF123, 0x0456]], "<u2").tobytes()
    file = File(instance("2.25.4", description(1, 2, stored=12), native(pixels)))
    made = b"".join(rewritten(file.source, IMPLICIT, icon=no_icon))
    assert made.endswith(pixels)
    assert pydicom.dcmread(BytesIO(made)).Rows == 1


def test_no_pixels_no_compression() -> None:
    file = File(ct_slice(size=16))
    with pytest.raises(NotAcceptable):
        list(rewritten(file.source, RLE, icon=no_icon))


def test_an_icon_describes_itself() -> None:
    icon = item(description(4, 6, bits=8) + encapsulated((b"\xff\xd8",)))
    reader = HeaderReader()
    reader.feed(instance("2.25.4", sequence(0x00880200, icon), transfer_syntax=JPEG_BASELINE))
    (found,) = reader.finish().elements[0x00880200].value or []
    assert isinstance(found, dict)
    described = icon_description(found, found[0x7FE00010], JPEG_BASELINE)
    assert (described.rows, described.columns, described.bits_allocated) == (4, 6, 8)
