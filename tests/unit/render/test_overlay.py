"""Overlay planes: which are drawn, where, on which frame; by hand-made bits."""

from __future__ import annotations

from typing import Any

import imagecodecs
import numpy as np
import pytest

from isocenter.dicom.pixel_description import EXPLICIT_BIG
from isocenter.render.frame import FrameRequest, render_frame
from isocenter.render.functional_groups import rendering_model
from isocenter.testing.pixel_samples import EXPLICIT_LITTLE, attributes, image_model

ROWS, COLUMNS = 3, 5


def overlay(bits: Any, *, group: int = 0x6000, **changes: Any) -> dict[int, Any]:
    """A plane of `bits` (frames x rows x columns, or rows x columns); `changes` replace attributes, None takes away."""
    plane = np.asarray(bits, "u1")
    kept: dict[str, Any] = {
        "rows": (0x10, plane.shape[-2]),
        "columns": (0x11, plane.shape[-1]),
        "type": (0x40, "G"),
        "origin": (0x50, [1, 1]),
        "allocated": (0x100, 1),
        "position": (0x102, 0),
        "data": (0x3000, np.packbits(plane.ravel(), bitorder="little").tobytes()),
    }
    extra = {"frames": 0x15, "frame_origin": 0x51, "layer": 0x1001}
    for name, value in changes.items():
        kept[name] = (extra.get(name) or kept[name][0], value)
    return {group << 16 | element: value for element, value in kept.values() if value is not None}


def drawn(more: dict[int, Any], *, pixels: Any = None, frame: int = 1, **options: Any) -> np.ndarray[Any, Any]:
    data = np.zeros((ROWS, COLUMNS), "u1") if pixels is None else np.asarray(pixels)
    options.setdefault("transfer_syntax_uid", EXPLICIT_LITTLE)
    shape = {key: options.pop(key) for key in ("bits", "stored", "photometric") if key in options}
    model = image_model(ROWS, COLUMNS, **{"bits": 8, **shape}, more=more)
    request = FrameRequest(
        rendering_model(model, frame), data=data.tobytes(), media_type="image/png", frame_number=frame, **options
    )
    found: np.ndarray[Any, Any] = imagecodecs.png_decode(render_frame(request))
    return found


CROSS = np.array([[1, 0, 0, 0, 1], [0, 1, 1, 1, 0], [1, 0, 0, 0, 1]], "u1")


def test_a_plane_is_drawn_white_and_only_where_its_bits_are() -> None:
    np.testing.assert_array_equal(drawn(overlay(CROSS)), CROSS * 255)
    grey = np.full((ROWS, COLUMNS), 70, "u1")
    np.testing.assert_array_equal(drawn(overlay(CROSS), pixels=grey), np.where(CROSS, 255, 70))


def test_a_plane_is_white_in_an_inverted_image_too() -> None:
    grey = np.full((ROWS, COLUMNS), 70, "u1")
    np.testing.assert_array_equal(
        drawn(overlay(CROSS), pixels=grey, photometric="MONOCHROME1"), np.where(CROSS, 255, 185)
    )


def test_a_plane_is_drawn_over_colour() -> None:
    pixels = np.full((ROWS, COLUMNS, 3), [10, 20, 30], "u1")
    found = drawn(overlay(CROSS), pixels=pixels, photometric="RGB")
    np.testing.assert_array_equal(found, np.where(CROSS[..., None], 255, pixels))


def test_overlays_are_left_out_on_request() -> None:
    assert not drawn(overlay(CROSS), overlays=False).any()


@pytest.mark.parametrize(("origin", "place"), [([2, 3], (1, 2)), ([0, -1], (-1, -2)), ([3, 5], (2, 4)), ([9, 9], None)])
def test_the_origin_places_a_plane_and_the_image_cuts_it(origin: list[int], place: tuple[int, int] | None) -> None:
    expected = np.zeros((ROWS + 20, COLUMNS + 20), "u1")
    if place is not None:
        expected[10 + place[0] : 13 + place[0], 10 + place[1] : 15 + place[1]] = CROSS * 255
    np.testing.assert_array_equal(drawn(overlay(CROSS, origin=origin)), expected[10 : 10 + ROWS, 10 : 10 + COLUMNS])


def test_planes_of_many_groups_are_drawn_together() -> None:
    first, last = np.zeros_like(CROSS), np.zeros_like(CROSS)
    first[0, 0] = last[2, 4] = 1
    found = drawn(overlay(first) | overlay(last, group=0x601E))
    np.testing.assert_array_equal(found, (first | last) * 255)


def test_regions_of_interest_layers_and_other_types_are_not_drawn() -> None:
    for changes in ({"type": "R"}, {"type": None}, {"layer": "GRAPHICS"}):
        assert not drawn(overlay(CROSS, **changes)).any()
    assert drawn(overlay(CROSS, layer="")).any()


def test_frames_of_an_overlay_belong_to_frames_of_the_image() -> None:
    frames = np.zeros((2, ROWS, COLUMNS), "u1")
    frames[0, 0, 1] = frames[1, 2, 3] = 1
    more = {0x00280008: 4} | overlay(frames, frames=2, frame_origin=2)
    assert not drawn(more, frame=1).any()
    np.testing.assert_array_equal(drawn(more, frame=2), frames[0] * 255)
    np.testing.assert_array_equal(drawn(more, frame=3), frames[1] * 255)
    assert not drawn(more, frame=4).any()
    # Without an origin they begin with the first frame; without a count one plane goes with all.
    np.testing.assert_array_equal(drawn({0x00280008: 4} | overlay(frames, frames=2), frame=2), frames[1] * 255)
    np.testing.assert_array_equal(drawn({0x00280008: 4} | overlay(CROSS), frame=4), CROSS * 255)
    assert not drawn({0x00280008: 4} | overlay(CROSS, frames=1, frame_origin=2), frame=1).any()


@pytest.mark.parametrize("syntax", [EXPLICIT_LITTLE, EXPLICIT_BIG])
def test_a_plane_in_a_spare_bit_of_the_pixels_is_drawn(syntax: str) -> None:
    words = np.full((ROWS, COLUMNS), 2048, "u2")
    words[CROSS == 1] |= 0x4000
    more = overlay(CROSS, data=None, rows=None, columns=None, allocated=16, position=14)
    more |= {0x00281050: 2048, 0x00281051: 4096}
    ordered = words.astype(">u2" if syntax == EXPLICIT_BIG else "<u2")
    found = drawn(more, pixels=ordered, bits=16, stored=12, transfer_syntax_uid=syntax)
    np.testing.assert_array_equal(found, np.where(CROSS, 255, 128))


def test_an_overlay_that_cannot_be_read_costs_itself_not_the_picture() -> None:
    grey = np.full((ROWS, COLUMNS), 70, "u1")
    for changes in (
        {"data": b"\1"},
        {"data": None},
        {"rows": 65535, "columns": 65535},
        {"rows": -4},
        {"columns": 0},
        {"origin": [1e300, 5]},
        {"data": None, "allocated": 16, "position": 99},
    ):
        assert drawn(overlay(CROSS, **changes), pixels=grey).shape == (ROWS, COLUMNS)
    kept_elsewhere = image_model(ROWS, COLUMNS, bits=8, more=overlay(CROSS))
    kept_elsewhere["60003000"] = {"vr": "OW", "BulkDataURI": "x"}
    request = FrameRequest(kept_elsewhere, EXPLICIT_LITTLE, grey.tobytes(), media_type="image/png")
    assert (imagecodecs.png_decode(render_frame(request)) == 70).all()


def test_only_what_drawing_needs_goes_to_a_worker() -> None:
    model = attributes(overlay(CROSS) | {0x60000022: "Doe^Jane", 0x60001500: "Doe"})
    assert sorted(key[4:] for key in rendering_model(model, 1)) == sorted(
        ["0010", "0011", "0040", "0050", "0100", "0102", "3000"]
    )
