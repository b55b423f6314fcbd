"""The Image Pixel Module as one checked value."""

from __future__ import annotations

from typing import Any

import pytest

from isocenter.dicom.data_set import DataSet
from isocenter.dicom.pixel_description import EXPLICIT_BIG, PixelDescription
from isocenter.errors import LimitExceeded, Malformed, Rejected, Unsupported
from isocenter.testing.pixel_samples import EXPLICIT_LITTLE, image_model

JPEG_2000 = "1.2.840.10008.1.2.4.90"


def describe(model: dict[str, dict[str, Any]], syntax: str = EXPLICIT_LITTLE) -> PixelDescription:
    return PixelDescription.from_data_set(DataSet(model), syntax)


def test_a_ct_is_described_as_its_header_says() -> None:
    found = describe(image_model(512, 500, bits=16, stored=12, signed=True))
    assert (found.rows, found.columns, found.samples_per_pixel) == (512, 500, 1)
    assert (found.bits_allocated, found.bits_stored, found.high_bit, found.signed) == (16, 12, 11, True)
    assert (found.keyword, found.number_of_frames, found.encapsulated) == ("PixelData", 1, False)
    assert found.frame_bytes == 512 * 500 * 2
    assert describe(image_model(4, 4), JPEG_2000).encapsulated


@pytest.mark.parametrize(
    ("tag", "value", "kind", "keyword"),
    [
        (0x00280010, 0, Malformed, "Rows"),
        (0x00280011, 0, Malformed, "Columns"),
        (0x00280011, -4, Malformed, "Columns"),
        (0x00280010, 70000, Malformed, "Rows"),
        (0x00280010, "many", Malformed, "Rows"),
        (0x00280010, 4.5, Malformed, "Rows"),
        (0x00280100, 0, Malformed, "BitsAllocated"),
        (0x00280100, 13, Malformed, "BitsAllocated"),
        (0x00280100, 65535, Malformed, "BitsAllocated"),
        (0x00280100, 12, Unsupported, "BitsAllocated"),
        (0x00280100, 24, Unsupported, "BitsAllocated"),
        (0x00280101, 17, Malformed, "BitsStored"),
        (0x00280101, 0, Malformed, "BitsStored"),
        (0x00280103, 2, Malformed, "PixelRepresentation"),
        (0x00280002, 65535, Malformed, "SamplesPerPixel"),
        (0x00280002, 3, Malformed, "SamplesPerPixel"),
        (0x00280004, "<script>", Malformed, "PhotometricInterpretation"),
        (0x00280004, "", Malformed, "PhotometricInterpretation"),
        (0x00280008, -1, Malformed, "NumberOfFrames"),
        (0x00280008, "ten", Malformed, "NumberOfFrames"),
        (0x00280008, 2**31 - 1, LimitExceeded, "NumberOfFrames"),
    ],
)
def test_a_value_that_cannot_be_is_rejected_by_keyword_and_not_repeated(
    tag: int, value: object, kind: type[Rejected], keyword: str
) -> None:
    with pytest.raises(kind) as caught:
        describe(image_model(4, 4, more={tag: value}))
    assert keyword in caught.value.detail
    assert "<script>" not in caught.value.detail
    assert "ten" not in caught.value.detail.split()


@pytest.mark.parametrize("tag", [0x00280010, 0x00280011, 0x00280100, 0x00280004])
def test_what_is_required_must_be_there(tag: int) -> None:
    model = image_model(4, 4)
    del model[f"{tag:08X}"]
    with pytest.raises(Malformed):
        describe(model)


def test_no_pixel_data_and_two_kinds_of_it_are_rejected() -> None:
    model = image_model(4, 4)
    model["7FE00008"] = {"vr": "OF", "BulkDataURI": "x"}
    with pytest.raises(Malformed, match="both"):
        describe(model)
    del model["7FE00008"], model["7FE00010"]
    with pytest.raises(Unsupported) as caught:
        describe(model)
    assert caught.value.code == "no-pixel-data"


def test_no_frames_or_none_said_means_one() -> None:
    assert describe(image_model(4, 4, more={0x00280008: 0})).number_of_frames == 1
    assert describe(image_model(4, 4)).number_of_frames == 1


def test_a_high_bit_that_cannot_be_is_taken_as_the_standard_has_it() -> None:
    assert describe(image_model(4, 4, stored=12, more={0x00280102: 3})).high_bit == 11
    assert describe(image_model(4, 4, stored=12, more={0x00280102: 15})).high_bit == 15


def test_planar_configuration_counts_for_colour_alone() -> None:
    assert describe(image_model(4, 4, bits=8, photometric="RGB", more={0x00280006: 1})).planar_configuration == 1
    assert describe(image_model(4, 4, more={0x00280006: 7})).planar_configuration == 0
    with pytest.raises(Malformed, match="PlanarConfiguration"):
        describe(image_model(4, 4, bits=8, photometric="RGB", more={0x00280006: 7}))


def test_floating_point_has_the_depth_its_keyword_gives() -> None:
    model = image_model(4, 4, bits=32, keyword_tag=0x7FE00008, vr="OF")
    found = describe(model)
    assert (found.keyword, found.bits_allocated, found.frame_bytes) == ("FloatPixelData", 32, 64)
    with pytest.raises(Malformed, match="BitsAllocated"):
        describe(image_model(4, 4, bits=16, keyword_tag=0x7FE00009, vr="OD"))


def test_422_takes_two_bytes_a_pixel_native_and_an_odd_column_takes_a_whole_pair() -> None:
    assert describe(image_model(10, 6, bits=8, photometric="YBR_FULL_422")).frame_bytes == 120
    assert describe(image_model(10, 5, bits=8, photometric="YBR_FULL_422")).frame_bytes == 120
    assert describe(image_model(10, 6, bits=8, photometric="YBR_FULL_422"), JPEG_2000).frame_bytes == 180


def test_packed_bits_run_on_over_the_borders_of_frames() -> None:
    found = describe(image_model(3, 3, bits=1, more={0x00280008: 4}))
    assert (found.frame_bytes, found.native_bytes) == (2, 5)
    spans = [found.frame_span(number) for number in range(1, 5)]
    assert [(span.offset, span.length, span.skip_bits) for span in spans] == [
        (0, 2, 0),
        (1, 2, 1),
        (2, 2, 2),
        (3, 2, 3),
    ]


def test_bytes_in_big_endian_words_are_read_by_whole_words() -> None:
    found = describe(image_model(3, 3, bits=8, more={0x00280008: 2}), EXPLICIT_BIG)
    assert found.frame_span(1).length == 10
    assert (found.frame_span(2).offset, found.frame_span(2).skip_bits) == (8, 8)


def test_a_frame_outside_the_count_has_no_span() -> None:
    for number in (0, 2):
        with pytest.raises(Malformed):
            describe(image_model(4, 4)).frame_span(number)
