"""Palette colour, plain and segmented, within the bounds of its tables."""

from __future__ import annotations

import struct
from typing import Any

import imagecodecs
import numpy as np
import pytest

from isocenter.dicom.data_set import DataSet
from isocenter.errors import Malformed, Unsupported
from isocenter.render.frame import FrameRequest, render_frame
from isocenter.render.palette import expand_segments, read_palette
from isocenter.testing.pixel_samples import EXPLICIT_LITTLE, attributes, image_model


def palette(entries: list[tuple[int, int, int]], first: int = 0, bits: int = 16, count: int | None = None) -> DataSet:
    model: dict[int, Any] = {}
    for channel in range(3):
        model[0x00281101 + channel] = [len(entries) if count is None else count, first, bits]
        model[0x00281201 + channel] = struct.pack(f"<{len(entries)}H", *(entry[channel] for entry in entries))
    return DataSet(attributes(model))


def coloured(data_set: DataSet, *indices: int, signed: bool = False) -> list[list[int]]:
    pixels = np.array([indices], "i2" if signed else "u2")
    found: list[list[int]] = read_palette(data_set, signed=signed).apply(pixels)[0].tolist()
    return found


ENTRIES = [(0x0100, 0x0200, 0x0300), (0x1000, 0x2000, 0x3000), (0xFF00, 0xFFFF, 0)]


def test_sixteen_bit_entries_show_their_upper_byte() -> None:
    assert coloured(palette(ENTRIES), 0, 1, 2) == [[1, 2, 3], [16, 32, 48], [255, 255, 0]]


def test_indices_outside_take_the_nearest_entry() -> None:
    assert coloured(palette(ENTRIES, first=10), 0, 10, 12, 65535) == [
        [1, 2, 3],
        [1, 2, 3],
        [255, 255, 0],
        [255, 255, 0],
    ]


def test_the_first_value_mapped_may_be_negative() -> None:
    for first in (-1, 65535):
        assert coloured(palette(ENTRIES, first=first), -1, 0, 1, signed=True)[:2] == [[1, 2, 3], [16, 32, 48]]


def test_entries_that_use_eight_of_sixteen_bits_are_not_shifted_away() -> None:
    assert coloured(palette([(1, 2, 3), (255, 0, 9)]), 0, 1) == [[1, 2, 3], [255, 0, 9]]


def test_a_count_of_nought_means_65536() -> None:
    with pytest.raises(Malformed, match="shorter"):
        coloured(palette(ENTRIES, count=0), 0)


def test_tables_shorter_than_they_say_missing_or_kept_elsewhere_are_rejected() -> None:
    with pytest.raises(Malformed, match="PaletteColorLookupTable"):
        coloured(palette(ENTRIES, count=9), 0)
    with pytest.raises(Malformed, match="Descriptor"):
        coloured(DataSet({}), 0)
    model = dict(palette(ENTRIES).model)
    with pytest.raises(Unsupported):
        coloured(DataSet(model | {"00281202": {"vr": "OW", "BulkDataURI": "x"}}), 0)
    with pytest.raises(Malformed):
        coloured(DataSet(model | {"00281202": {"vr": "US", "Value": [1e9]}}), 0)
    del model["00281203"]
    with pytest.raises(Malformed, match="missing"):
        coloured(DataSet(model), 0)


def expand(count: int, *words: int) -> list[int]:
    found: list[int] = expand_segments(np.array(words, "u2"), count, "SegmentedTable").tolist()
    return found


def test_segments_discrete_linear_and_indirect_expand_as_in_c_7_9_2() -> None:
    assert expand(3, 0, 3, 5, 6, 7) == [5, 6, 7]
    assert expand(6, 0, 1, 10, 1, 5, 60) == [10, 20, 30, 40, 50, 60]
    # Indirect: copy two segments from byte offset 0.
    assert expand(6, 0, 1, 10, 1, 2, 30, 2, 2, 0, 0) == [10, 20, 30, 10, 20, 30]


def test_segments_render_as_the_plain_table_would() -> None:
    model: dict[int, Any] = {}
    for channel in range(3):
        model[0x00281101 + channel] = [256, 0, 16]
        model[0x00281221 + channel] = struct.pack("<6H", 0, 1, 0, 1, 255, 65535)
    assert coloured(DataSet(attributes(model)), 0, 128, 255) == [[0, 0, 0], [128, 128, 128], [255, 255, 255]]


@pytest.mark.parametrize(
    "words",
    [
        (),
        (0, 3, 5),
        (0, 65535, 1),
        (1, 3, 9),
        (0, 1, 5, 1, 2),
        (2, 1, 0, 0),
        (0, 1, 5, 2, 1, 65535, 65535),
        (0, 1, 5, 2, 1),
        (9, 1, 1),
        (0, 0, 0, 0),
    ],
)
def test_segments_that_run_out_point_forward_or_are_unknown_are_malformed(words: tuple[int, ...]) -> None:
    with pytest.raises(Malformed):
        expand(1000, *words)


def test_segments_never_make_more_than_the_descriptor_says() -> None:
    assert len(expand(4, 0, 1, 1, 1, 65535, 60000)) == 4


def test_segments_of_bytes_expand_where_entries_have_eight_bits() -> None:
    model: dict[int, Any] = {}
    for channel in range(3):
        model[0x00281101 + channel] = [256, 0, 8]
        # Discrete 0; linear over 127 to 127; the last two segments again, from byte 0: 0, then to 127.
        model[0x00281221 + channel] = bytes([0, 1, 0, 1, 127, 127, 2, 2, 0, 0, 0, 0])
    found = coloured(DataSet(attributes(model)), 0, 1, 127, 128, 255)
    assert [colour[0] for colour in found] == [0, 1, 127, 0, 127]


def test_segments_of_nothing_end() -> None:
    # Each indirect segment copies thousands that are empty: without a bound, hours.
    words = [0, 0] * 30000 + [2, 60000, 0, 0] * 30000
    with pytest.raises(Malformed, match="too many"):
        expand(65536, *words)


# Supplemental palettes ----------------------------------------------------------------------------------------


def supplemental(first: int, **changes: Any) -> dict[int, Any]:
    """Colours for the stored values from `first` on: red, green, blue."""
    more: dict[int, Any] = {0x00089205: "COLOR"}
    for channel in range(3):
        more[0x00281101 + channel] = [3, first, 8]
        more[0x00281201 + channel] = bytes(255 if entry == channel else 0 for entry in range(3)) + b"\0"
    return more | {int(tag[1:], 16): value for tag, value in changes.items()}


def partly_coloured(pixels: list[int], more: dict[int, Any], **options: Any) -> list[Any]:
    data = np.array([pixels], "u2")
    model = image_model(1, len(pixels), more=more, **options)
    request = FrameRequest(model, EXPLICIT_LITTLE, data.tobytes(), media_type="image/png")
    found: list[Any] = imagecodecs.png_decode(render_frame(request))[0].tolist()
    return found


RED, GREEN, BLUE = [255, 0, 0], [0, 255, 0], [0, 0, 255]


def test_values_from_the_first_mapped_on_are_colours_and_those_below_grey_by_their_own_range() -> None:
    found = partly_coloured([0, 50, 100, 4000, 4001, 4002, 9000], supplemental(4000))
    assert found == [[0] * 3, [128] * 3, [255] * 3, RED, GREEN, BLUE, BLUE]


def test_a_window_applies_to_the_grey_alone() -> None:
    found = partly_coloured([0, 10, 20, 4001], {**supplemental(4000), 0x00281050: 10.5, 0x00281051: 21})
    assert found == [[0] * 3, [128] * 3, [255] * 3, GREEN]


def test_a_frame_of_colours_alone_needs_no_grey() -> None:
    assert partly_coloured([4000, 4001], supplemental(4000)) == [RED, GREEN]


def test_pixel_presentation_decides_and_each_frame_has_its_own() -> None:
    grey = [0, 128, 255]
    values = [0, 2000, 4000]
    assert partly_coloured(values, supplemental(4000, x00089205="MONOCHROME")) == grey
    plain = supplemental(4000)
    del plain[0x00089205]
    assert partly_coloured(values, plain) == grey
    assert partly_coloured(values, supplemental(4000, x00089205="MIXED"))[2] == RED
    frame_type = attributes({0x00189226: [attributes({0x00089205: "MONOCHROME"})]})
    assert partly_coloured(values, {**supplemental(4000), 0x52009229: [frame_type]}) == grey
