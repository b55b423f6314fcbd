"""Grey levels: modality, VOI and presentation transforms against the standard's formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from isocenter.dicom.data_set import DataSet
from isocenter.dicom.pixel_description import PixelDescription
from isocenter.errors import BadRequest, Malformed, Unsupported
from isocenter.render.asked import parse_window
from isocenter.render.voi import GreyTransform, Span, Window, read_transform, to_levels, voi_fraction
from isocenter.testing.pixel_samples import EXPLICIT_LITTLE, attributes, image_model

CENTER, WIDTH, FUNCTION = 0x00281050, 0x00281051, 0x00281056
INTERCEPT, SLOPE, PADDING, PADDING_LIMIT = 0x00281052, 0x00281053, 0x00280120, 0x00280121


def levels(
    pixels: Any,
    more: dict[int, Any] | None = None,
    window: tuple[float, float] | None = None,
    frame: int = 1,
    **options: Any,
) -> list[int]:
    """Display levels of a row of pixels."""
    row = np.atleast_2d(np.asarray(pixels))
    options.setdefault("signed", row.dtype.kind == "i")
    model = image_model(1, row.shape[1], bits=8 * row.itemsize, more=more, **options)
    data_set = DataSet(model)
    description = PixelDescription.from_data_set(data_set, EXPLICIT_LITTLE)
    found: list[int] = to_levels(row, read_transform(data_set, description, frame, window))[0].tolist()
    return found


def grey(*values: int, kind: str = "i2") -> np.ndarray[Any, Any]:
    return np.array(values, kind)


def lookup(first: int, bits: int, *entries: int) -> dict[str, Any]:
    return attributes({0x00283002: [len(entries), first, bits], 0x00283006: list(entries)})


def test_a_linear_window_is_the_formula_of_c_11_2_1_2() -> None:
    values = np.arange(-200.0, 400.0)
    center, width = 40.0, 400.0
    expected = ((values - (center - 0.5)) / (width - 1) + 0.5) * 255
    expected[values <= center - 0.5 - (width - 1) / 2] = 0
    expected[values > center - 0.5 + (width - 1) / 2] = 255
    found = levels(values.astype("i2"), {CENTER: center, WIDTH: width})
    np.testing.assert_array_equal(found, np.floor(expected + 0.5))


def test_linear_exact_and_sigmoid_are_the_formulas_of_c_11_2_1_3() -> None:
    values = np.arange(-100.0, 100.0)
    exact = np.clip((values - 10) / 80 + 0.5, 0, 1)
    np.testing.assert_allclose(voi_fraction(values, Window(10, 80, "LINEAR_EXACT")), exact)
    sigmoid = 1 / (1 + np.exp(-4 * (values - 10) / 80))
    np.testing.assert_allclose(voi_fraction(values, Window(10, 80, "SIGMOID")), sigmoid)
    found = levels(values.astype("i2"), {CENTER: 10, WIDTH: 80, FUNCTION: "SIGMOID"})
    np.testing.assert_array_equal(found, np.floor(sigmoid * 255 + 0.5))


def test_rescale_comes_before_the_window() -> None:
    assert levels(grey(0, 512, 1024, kind="u2"), {SLOPE: 2, INTERCEPT: -1024, CENTER: 0.5, WIDTH: 2049}) == [
        0,
        128,
        255,
    ]


def test_the_window_asked_for_goes_before_the_headers() -> None:
    assert levels(grey(0, 10, 20), {CENTER: 500, WIDTH: 10}, window=(10.5, 21)) == [0, 128, 255]


def test_the_first_of_many_windows_counts() -> None:
    assert levels(grey(0, 10, 20), {CENTER: [10.5, 900], WIDTH: [21, 4]}) == [0, 128, 255]


def test_a_window_of_no_width_is_a_threshold() -> None:
    for width in (0, 1, -5):
        assert levels(grey(39, 41), {CENTER: 40, WIDTH: width}) == [0, 255]


def test_a_window_narrower_than_one_is_exact_as_real_valued_images_need() -> None:
    assert levels(grey(0, 50, 100), {SLOPE: 0.001, INTERCEPT: 0, CENTER: 0.05, WIDTH: 0.1}) == [0, 128, 255]


def test_without_a_window_the_frames_own_range_is_shown() -> None:
    assert levels(grey(-1000, 0, 1000)) == [0, 128, 255]
    assert levels(grey(7, 7)) == [0, 0]


def test_8_bits_without_any_transform_are_shown_as_they_are() -> None:
    assert levels(grey(3, 60, 200, kind="u1")) == [3, 60, 200]
    assert levels(grey(0, 1, kind="u1"), stored=1) == [0, 255]


def test_padding_is_black_and_does_not_count_for_contrast() -> None:
    assert levels(grey(-2000, 0, 100), {PADDING: -2000}) == [0, 0, 255]
    assert levels(grey(-2000, -1999, 0, 100), {PADDING: -2000, PADDING_LIMIT: -1990}) == [0, 0, 0, 255]
    # Written as unsigned.
    assert levels(grey(-2000, 0, 100), {PADDING: 63536}) == [0, 0, 255]


def test_padding_stays_black_in_an_inverted_image() -> None:
    assert levels(grey(0, 100, 4000, kind="u2"), {PADDING: 4000}, photometric="MONOCHROME1") == [255, 0, 0]


def test_padding_amid_the_values_is_black_too() -> None:
    for kind in ("u2", "u4"):
        assert levels(grey(10, 50, 110, kind=kind), {PADDING: 50}) == [0, 0, 255]


def test_an_image_of_padding_alone_is_black() -> None:
    assert levels(grey(5, 5, 5), {PADDING: 5}) == [0, 0, 0]


def test_monochrome1_and_inverse_presentation_are_turned_over() -> None:
    assert levels(grey(0, 100), photometric="MONOCHROME1") == [255, 0]
    assert levels(grey(0, 100), {0x20500020: "INVERSE"}) == [255, 0]
    assert levels(grey(0, 100), {0x20500020: "IDENTITY"}) == [0, 255]


def test_a_voi_table_goes_before_a_window_and_holds_its_ends() -> None:
    more = {0x00283010: [lookup(10, 8, 0, 100, 255)], CENTER: 0, WIDTH: 10}
    assert levels(grey(-5, 10, 11, 12, 900), more) == [0, 0, 100, 255, 255]


def test_a_modality_table_feeds_the_window() -> None:
    more = {0x00283000: [lookup(0, 16, 1000, 2000, 3000)], CENTER: 2000.5, WIDTH: 2001}
    assert levels(grey(0, 1, 2, kind="u2"), more) == [0, 128, 255]


def test_a_table_that_uses_more_bits_than_it_says_is_believed_not_clipped() -> None:
    more = {0x00283010: [lookup(0, 8, 0, 2048, 4095)]}
    assert levels(grey(0, 1, 2), more) == [0, 128, 255]


def test_table_entries_of_8_bits_may_be_packed_two_to_a_word() -> None:
    item = attributes({0x00283002: [4, 0, 8], 0x00283006: bytes([0, 10, 20, 255])})
    assert levels(grey(0, 1, 2, 3), {0x00283010: [item]}) == [0, 10, 20, 255]


def test_a_table_shorter_than_its_descriptor_or_without_one_is_malformed() -> None:
    short = attributes({0x00283002: [0, 0, 16], 0x00283006: bytes(2)})
    for item in (
        short,
        attributes({0x00283006: bytes(2)}),
        attributes({0x00283002: [4, 0, 99], 0x00283006: bytes(8)}),
    ):
        with pytest.raises(Malformed):
            levels(grey(0, 1), {0x00283010: [item]})


def test_a_table_kept_by_reference_is_unsupported() -> None:
    item = attributes({0x00283002: [4, 0, 16]}) | {"00283006": {"vr": "OW", "BulkDataURI": "x"}}
    with pytest.raises(Unsupported):
        levels(grey(0, 1), {0x00283010: [item]})


def test_each_frame_of_an_enhanced_object_has_its_own_transforms() -> None:
    def frame(center: float, slope: float) -> dict[str, Any]:
        window = attributes({CENTER: center, WIDTH: 21})
        rescale = attributes({SLOPE: slope, INTERCEPT: 0})
        return attributes({0x00289132: [window], 0x00289145: [rescale]})

    more = {0x00280008: 2, 0x52009230: [frame(10.5, 1), frame(20.5, 2)]}
    assert levels(grey(0, 10, 20), more, frame=1) == [0, 128, 255]
    assert levels(grey(0, 10, 20), more, frame=2) == levels(grey(0, 20, 40), {CENTER: 20.5, WIDTH: 21})
    shared = {0x52009229: [frame(10.5, 1)]}
    assert levels(grey(0, 10, 20), shared) == [0, 128, 255]


@pytest.mark.parametrize("slope", [1e300, -1e300, 1e-320, float("inf"), float("nan"), 0])
def test_a_rescale_that_overflows_is_shown_without_a_warning(slope: float) -> None:
    found = levels(grey(-32768, 0, 32767), {SLOPE: slope, INTERCEPT: 1e300})
    assert all(0 <= level <= 255 for level in found)


def test_a_window_of_any_size_stays_without_a_warning() -> None:
    for center, width in ((1e300, 1e-300), (-1e300, 1e300), (0, 1e-320), (1e308, 1e308)):
        for function in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
            assert len(levels(grey(-32768, 0, 32767), {CENTER: center, WIDTH: width, FUNCTION: function})) == 3


def test_floating_point_with_nan_and_infinity_shows_what_is_finite() -> None:
    pixels = np.array([[0.0, 0.5, 1.0, np.nan, np.inf, -np.inf]], "f4")
    assert to_levels(pixels, GreyTransform()).tolist() == [[0, 128, 255, 0, 255, 0]]
    assert to_levels(np.full((2, 2), np.nan), GreyTransform()).tolist() == [[0, 0], [0, 0]]


def test_wide_integers_are_shown_with_and_without_a_table() -> None:
    assert levels(grey(0, 2**31, 2**32 - 1, kind="u4")) == [0, 128, 255]
    assert levels(grey(-(2**31), -(2**31) + 100, kind="i4")) == [0, 255]


def test_the_table_and_the_arithmetic_agree() -> None:
    pixels = np.random.default_rng(1).integers(-3000, 3000, (64, 64)).astype("i2")
    transform = GreyTransform(1.5, -100, None, Window(40, 400), (-2000, -1990), inverted=True)
    by_table = to_levels(pixels, transform)
    np.testing.assert_array_equal(by_table, to_levels(pixels.astype("f8"), transform))
    np.testing.assert_array_equal(by_table, to_levels(pixels.astype("i4"), transform))


def test_a_span_of_the_whole_number_range_does_not_overflow() -> None:
    assert voi_fraction(np.array([-1e308, 0, 1e308]), Span(-1e308, 1e308)).tolist() == [0, 0.5, 1]


def test_a_presentation_lut_comes_last_and_decides_the_polarity() -> None:
    # Four P-Values of 10 bits for the whole range of what the VOI transform gives.
    presentation = {0x20500010: [lookup(0, 10, 0, 1023, 341, 682)]}
    values = grey(0, 1000, 2000, 3000)
    window = {CENTER: 1500.5, WIDTH: 3001}
    assert levels(values, {**presentation, **window}) == [0, 255, 85, 170]
    assert levels(values, {**presentation, **window}, photometric="MONOCHROME1") == [0, 255, 85, 170]
    assert levels(values, {**presentation, **window, 0x20500020: "INVERSE"}) == [0, 255, 85, 170]
    # Inputs between two entries take the nearer.
    assert levels(grey(0, 499, 501, 3000), {**presentation, **window}) == [0, 0, 255, 170]


def test_the_function_asked_for_goes_before_the_headers() -> None:
    row = np.array([[0, 10, 20]], "i2")
    model = image_model(1, 3, signed=True, more={CENTER: 1, WIDTH: 2, FUNCTION: "SIGMOID"})
    data_set = DataSet(model)
    description = PixelDescription.from_data_set(data_set, EXPLICIT_LITTLE)

    def shown(function: Any) -> list[int]:
        found: list[int] = to_levels(row, read_transform(data_set, description, 1, (10.0, 20.0), function))[0].tolist()
        return found

    assert shown("LINEAR_EXACT") == [0, 128, 255]
    assert shown("LINEAR") == [0, 134, 255]
    assert shown("SIGMOID") == shown(None) == [30, 128, 225]


def test_the_window_parameter_is_read_as_ps3_18_writes_it() -> None:
    assert parse_window("40,400") == ((40.0, 400.0), None)
    assert parse_window(" -600.5 , 1500 , linear-exact ") == ((-600.5, 1500.0), "LINEAR_EXACT")
    assert parse_window("1,2,sigmoid")[1] == "SIGMOID"
    assert parse_window("1,2,linear")[1] == "LINEAR"
    for text in ("", "1", "1,", "1,0", "1,-2", "nan,1", "1,inf", "1,2,LINEAR", "1,2,linear,3", "a,b"):
        with pytest.raises(BadRequest):
            parse_window(text)
