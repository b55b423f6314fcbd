"""Viewports: what is asked for, which part is shown, which way round and how large."""

from __future__ import annotations

from typing import Any

import imagecodecs
import numpy as np
import pytest

from isocenter.errors import BadRequest, LimitExceeded
from isocenter.render.asked import Viewport
from isocenter.render.frame import FrameRequest, render_frame
from isocenter.render.resize import resize
from isocenter.render.viewport import frame_picture, picture_size
from isocenter.testing.pixel_samples import EXPLICIT_LITTLE, image_model

GRID = np.arange(24, dtype="u1").reshape(4, 6)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("512,256", Viewport(512, 256)),
        (" 512 , 256 ", Viewport(512, 256)),
        ("512,256,1.5,2", Viewport(512, 256, 1.5, 2.0)),
        ("512,256,,,100,-50", Viewport(512, 256, 0.0, 0.0, 100.0, -50.0)),
        ("512,256,-3,4,-100.5", Viewport(512, 256, 3.0, 4.0, -100.5)),
    ],
)
def test_the_parameter_is_read_as_ps3_18_writes_it(text: str, expected: Viewport) -> None:
    assert Viewport.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "5", "5,", ",5", "5,5,5,5,5,5,5", "5.5,5", "-5,5", "0,5", "5,99999", "a,b", "5,5,nan", "5,5,,,inf", "5,5,,,0"],
)
def test_what_is_no_viewport_is_a_bad_request(text: str) -> None:
    with pytest.raises(BadRequest):
        Viewport.parse(text)


@pytest.mark.parametrize(
    ("rows", "columns", "tall", "viewport", "expected"),
    [
        (512, 512, 1.0, Viewport(128, 128), (128, 128)),
        (300, 600, 1.0, Viewport(128, 128), (64, 128)),
        (600, 300, 1.0, Viewport(128, 128), (128, 64)),
        (10, 10, 1.0, Viewport(40, 100), (40, 40)),  # it is enlarged as well
        (100, 100, 2.0, Viewport(50, 50), (50, 25)),  # pixels twice as tall as wide
        (1, 1000, 1.0, Viewport(10, 10), (1, 10)),
    ],
)
def test_the_picture_is_the_largest_that_fits(
    rows: int, columns: int, tall: float, viewport: Viewport, expected: tuple[int, int]
) -> None:
    assert picture_size(rows, columns, tall, None, viewport) == expected


def test_a_region_is_cut_out_before_it_is_scaled() -> None:
    found = frame_picture(GRID, 1.0, None, Viewport(2, 2, 1, 2, 2, 2))
    np.testing.assert_array_equal(found, [[13, 14], [19, 20]])
    # Parts of pixels are shown whole.
    np.testing.assert_array_equal(frame_picture(GRID, 1.0, None, Viewport(2, 2, 1.4, 2.4, 1.2, 1.2)), found)


def test_a_region_beyond_the_edge_ends_there_and_one_outside_is_refused() -> None:
    found = frame_picture(GRID, 1.0, None, Viewport(2, 2, 4, 2, 100, 100))
    np.testing.assert_array_equal(found, [[16, 17], [22, 23]])
    for viewport in (Viewport(2, 2, 6, 0), Viewport(2, 2, 0, 4, 1, 1)):
        with pytest.raises(BadRequest):
            frame_picture(GRID, 1.0, None, viewport)


def test_negative_sizes_flip() -> None:
    whole = {"region_width": 6.0, "region_height": 4.0}
    for changes, expected in (
        ({"region_width": -6.0}, GRID[:, ::-1]),
        ({"region_height": -4.0}, GRID[::-1]),
        ({"region_width": -6.0, "region_height": -4.0}, GRID[::-1, ::-1]),
    ):
        np.testing.assert_array_equal(frame_picture(GRID, 1.0, None, Viewport(6, 4, **{**whole, **changes})), expected)


def test_a_rendered_frame_fits_its_viewport_whatever_its_pixels_shape() -> None:
    pixels = np.zeros((10, 20), "u1")
    model: dict[str, Any] = image_model(10, 20, bits=8, more={0x00280030: [4.0, 1.0]})
    request = FrameRequest(model, EXPLICIT_LITTLE, pixels.tobytes(), media_type="image/png", viewport=Viewport(30, 80))
    assert imagecodecs.png_decode(render_frame(request)).shape == (60, 30)


def test_the_largest_picture_is_bounded() -> None:
    with pytest.raises(LimitExceeded):
        frame_picture(GRID, 1.0, 16385)
    with pytest.raises(LimitExceeded):
        resize(GRID, 2**14, 2**14)


# Scaling ------------------------------------------------------------------------------------------------------


def test_enlarging_draws_straight_lines_between_pixels() -> None:
    found = resize(np.array([[0, 100]], "u1"), 1, 8)
    # Centres at -0.25, 0, 0.25 ... of the way from the first to the second.
    np.testing.assert_array_equal(found, [[0, 0, 13, 38, 63, 88, 100, 100]])


@pytest.mark.parametrize(("old", "new"), [(100, 60), (101, 13), (512, 128), (3000, 128), (1000, 1), (9, 8)])
def test_reducing_keeps_means_and_slopes(old: int, new: int) -> None:
    ramp = np.tile(np.linspace(0, 255, old).round().astype("u1")[:, None], (1, 3))
    found = resize(ramp, new, 3).astype(float)
    assert abs(found.mean() - 127.5) < 2
    centres = ((np.arange(new) + 0.5) * old / new - 0.5) * 255 / (old - 1)
    inner = slice(1, -1) if new > 2 else slice(0, 0)
    assert np.abs(found[inner, 0] - centres[inner]).max(initial=0) < 3


def test_colours_are_scaled_each_for_itself() -> None:
    pixels = np.zeros((40, 40, 3), "u1")
    pixels[..., 1] = 200
    found = resize(pixels, 7, 90)
    assert found.shape == (7, 90, 3)
    assert (found == [0, 200, 0]).all()
