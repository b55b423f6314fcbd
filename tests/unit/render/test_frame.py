"""Whole frames rendered: pictures that can be read back; tests/flow has DCMTK as an independent opinion."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest

from isocenter.dicom.pixel_description import EXPLICIT_BIG
from isocenter.errors import LimitExceeded, Malformed, Unsupported
from isocenter.render.colour import ybr_to_rgb
from isocenter.render.encode import encode
from isocenter.render.frame import FrameRequest, render_frame
from isocenter.render.functional_groups import rendering_model
from isocenter.render.resize import resize
from isocenter.testing.pixel_samples import (
    EXPLICIT_LITTLE,
    attributes,
    bundled_images,
    image_model,
    read_sample,
)

BROKEN = {"MR_truncated.dcm", "JPEG2000-embedded-sequence-delimiter.dcm", "badVR.dcm"}


def render(model: dict[str, Any], pixels: Any, **options: Any) -> np.ndarray[Any, Any]:
    """Render native pixels to PNG and read it back."""
    options.setdefault("transfer_syntax_uid", EXPLICIT_LITTLE)
    request = FrameRequest(model=model, data=np.asarray(pixels).tobytes(), media_type="image/png", **options)
    found: np.ndarray[Any, Any] = imagecodecs.png_decode(render_frame(request))
    return found


@pytest.mark.parametrize("path", [p for p in bundled_images() if p.name not in BROKEN], ids=lambda path: path.name)
def test_every_real_image_renders_as_png_and_jpeg(path: Path) -> None:
    sample = read_sample(path)
    for media_type, decode in (
        ("image/png", imagecodecs.png_decode),
        ("image/jpeg", imagecodecs.jpeg8_decode),
    ):
        request = FrameRequest(
            sample.model, sample.transfer_syntax_uid, sample.frame(), media_type=media_type, width=96
        )
        assert decode(render_frame(request)).shape[1] == 96


def test_colour_of_8_and_16_bits() -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (6, 5, 3)).astype("u1")
    np.testing.assert_array_equal(render(image_model(6, 5, bits=8, photometric="RGB"), pixels), pixels)
    wide = (pixels.astype("u2") << 8) | 0x55
    np.testing.assert_array_equal(render(image_model(6, 5, photometric="RGB"), wide), pixels)
    twelve = pixels.astype("u2") << 4
    np.testing.assert_array_equal(render(image_model(6, 5, stored=12, photometric="RGB"), twelve), pixels)


def test_ybr_full_is_the_equation_of_the_standard() -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (60, 50, 3)).astype("u1")
    y, cb, cr = (pixels[..., n].astype(float) for n in range(3))
    red, blue = y + 1.402 * (cr - 128), y + 1.772 * (cb - 128)
    green = y - 0.344136 * (cb - 128) - 0.714136 * (cr - 128)
    expected = np.clip(np.rint(np.stack([red, green, blue], axis=-1)), 0, 255)
    assert np.abs(ybr_to_rgb(pixels) - expected).max() <= 1
    np.testing.assert_array_equal(
        render(image_model(60, 50, bits=8, photometric="YBR_FULL"), pixels), ybr_to_rgb(pixels)
    )


def test_native_422_renders_in_colour() -> None:
    grey = np.full((4, 2, 4), 128, "u1")
    model = image_model(4, 4, bits=8, photometric="YBR_FULL_422")
    np.testing.assert_array_equal(render(model, grey), np.full((4, 4, 3), 128))


def test_native_422_of_16_bits_shares_chrominance_between_two_pixels() -> None:
    # Luminance 100 and 200 over a blue chrominance of 160 and a red one of 120, of 12 bits.
    groups = np.array([[[100 << 4, 200 << 4, 160 << 4, 120 << 4]] * 2] * 2, "u2")
    found = render(image_model(2, 4, stored=12, photometric="YBR_FULL_422"), groups)
    # R = Y + 1.402 (Cr - 128), G = Y - 0.344136 (Cb - 128) - 0.714136 (Cr - 128), B = Y + 1.772 (Cb - 128).
    assert found[0].tolist() == [[89, 95, 157], [189, 195, 255]] * 2
    odd = render(image_model(2, 3, stored=12, photometric="YBR_FULL_422"), groups)
    assert odd[1].tolist() == [[89, 95, 157], [189, 195, 255], [89, 95, 157]]
    swapped = render(
        image_model(2, 4, stored=12, photometric="YBR_FULL_422"), groups.astype(">u2"), transfer_syntax_uid=EXPLICIT_BIG
    )
    np.testing.assert_array_equal(swapped, found)


def test_ybr_partial_keeps_black_at_16_and_white_at_235() -> None:
    groups = np.array([[[16, 235, 128, 128], [126, 126, 128, 240]]], "u1")
    found = render(image_model(1, 4, bits=8, photometric="YBR_PARTIAL_422"), groups)
    # (126 - 16) 255 / 219 = 128.08; red adds 1.402 / 224 * 255 * 112 = 178.76, green loses 0.714136 of the same.
    assert found[0].tolist() == [[0, 0, 0], [255, 255, 255], [255, 37, 128], [255, 37, 128]]


def test_colour_by_plane_and_by_pixel_are_the_same() -> None:
    pixels = np.random.default_rng(8).integers(0, 256, (4, 5, 3)).astype("u1")
    planes = pixels.transpose(2, 0, 1)
    model = image_model(4, 5, bits=8, photometric="RGB", more={0x00280006: 1})
    np.testing.assert_array_equal(render(model, planes), pixels)


def test_colour_labelled_signed_is_read_without_sign() -> None:
    pixels = np.random.default_rng(9).integers(0, 256, (4, 5, 3)).astype("u1")
    np.testing.assert_array_equal(render(image_model(4, 5, bits=8, photometric="RGB", signed=True), pixels), pixels)
    wide = pixels.astype("u2") << 2
    model = image_model(4, 5, stored=10, photometric="RGB", signed=True)
    np.testing.assert_array_equal(render(model, wide), pixels)


@pytest.mark.parametrize(
    ("bits", "stored", "signed", "values", "expected"),
    [
        (8, 1, False, [0, 1], [0, 255]),
        (8, 4, False, [0, 3, 15], [0, 51, 255]),
        (16, 10, False, [0, 341, 1023], [0, 85, 255]),
        (16, 12, True, [0x800, 0x000, 0x7FF], [0, 128, 255]),
        (16, 16, True, [-32768, 0, 32767], [0, 128, 255]),
        (32, 20, False, [0, 0x55555, 0xFFFFF], [0, 85, 255]),
        (32, 24, True, [0x800000, 0, 0x7FFFFF], [0, 128, 255]),
        (32, 32, False, [0, 0x55555555, 0xFFFFFFFF], [0, 85, 255]),
        (32, 32, True, [-(2**31), 0, 2**31 - 1], [0, 128, 255]),
    ],
)
def test_grey_of_any_depth_and_sign(
    bits: int, stored: int, signed: bool, values: list[int], expected: list[int]
) -> None:
    pixels = (np.array([values], "i8") & ((1 << bits) - 1)).astype(f"u{bits // 8}")
    assert render(image_model(1, len(values), bits=bits, stored=stored, signed=signed), pixels).tolist() == [expected]


def test_double_floating_point_renders_and_in_colour_does_not() -> None:
    model = image_model(1, 3, bits=64, keyword_tag=0x7FE00009)
    assert render(model, np.array([[-1e300, 0.0, 1e300]], "f8")).tolist() == [[0, 128, 255]]
    for photometric in ("RGB", "YBR_FULL", "YBR_FULL_422", "PALETTE COLOR"):
        coloured = image_model(1, 2, bits=32, keyword_tag=0x7FE00008, photometric=photometric)
        with pytest.raises(Unsupported):
            render(coloured, np.zeros((1, 2, 3), "f4"))


def test_pixels_that_are_not_square_are_made_square() -> None:
    pixels = np.arange(200, dtype="u1").reshape(10, 20)
    assert render(image_model(10, 20, bits=8, more={0x00280030: [2.0, 1.0]}), pixels).shape == (20, 20)
    assert render(image_model(10, 20, bits=8, more={0x00280030: [1.0, 2.0]}), pixels).shape == (10, 40)
    assert render(image_model(10, 20, bits=8, more={0x00280034: [2, 1]}), pixels).shape == (20, 20)
    assert render(image_model(10, 20, bits=8, more={0x00280030: [2.0, 1.0]}), pixels, width=40).shape == (
        40,
        40,
    )
    measures = attributes({0x00289110: [attributes({0x00280030: [2.0, 1.0]})]})
    assert render(image_model(10, 20, bits=8, more={0x52009229: [measures]}), pixels).shape == (20, 20)


@pytest.mark.parametrize("spacing", [[0, 1], [1e9, 1], ["a", "b"], [1], [-1, 1], [1e-300, 1e300]])
def test_spacing_that_cannot_be_is_taken_as_square(spacing: list[object]) -> None:
    assert render(image_model(10, 20, bits=8, more={0x00280030: spacing}), np.zeros((10, 20), "u1")).shape == (10, 20)


def test_a_width_keeps_the_aspect() -> None:
    pixels = np.zeros((100, 50), "u1")
    assert render(image_model(100, 50, bits=8), pixels, width=25).shape == (50, 25)
    assert render(image_model(100, 50, bits=8), pixels, width=200).shape == (400, 200)
    assert render(image_model(1, 1000, bits=8), np.zeros((1, 1000), "u1"), width=10).shape == (1, 10)


@pytest.mark.parametrize("width", [0, -1, 10**6])
def test_a_width_out_of_bounds_is_a_limit(width: int) -> None:
    with pytest.raises(LimitExceeded):
        render(image_model(4, 4, bits=8), np.zeros((4, 4), "u1"), width=width)


def test_a_narrow_image_cannot_be_blown_up_to_gigabytes() -> None:
    with pytest.raises(LimitExceeded):
        render(image_model(60000, 1, bits=8), np.zeros((60000, 1), "u1"), width=16000)


def test_reducing_averages_and_never_aliases() -> None:
    checks = (np.indices((512, 512)).sum(axis=0) % 2 * 255).astype("u1")
    small = resize(checks, 64, 64)
    assert np.abs(small.astype(int) - 127.5).max() <= 2
    flat = np.full((37, 41, 3), 200, "u1")
    assert (resize(flat, 100, 7) == 200).all()
    np.testing.assert_array_equal(resize(checks, 512, 512), checks)


def test_packed_bits_of_a_frame_that_begins_inside_a_byte_render() -> None:
    frames = np.random.default_rng(4).integers(0, 2, (3, 3, 3)).astype("u1")
    packed = np.packbits(frames.ravel(), bitorder="little")
    found = render(image_model(3, 3, bits=1, more={0x00280008: 3}), packed[1:3], frame_number=2)
    np.testing.assert_array_equal(found, frames[1] * 255)


def test_floating_point_renders_by_its_own_range_and_by_a_window() -> None:
    model = image_model(1, 3, bits=32, keyword_tag=0x7FE00008)
    pixels = np.array([[0.0, 0.25, 1.0]], "f4")
    assert render(model, pixels).tolist() == [[0, 64, 255]]
    assert render(model, pixels, window=(0.25, 0.5)).tolist() == [[0, 128, 255]]


def test_big_endian_pixels_render() -> None:
    pixels = np.array([[0, 256, 512]], ">u2")
    model = image_model(1, 3)
    assert render(model, pixels, transfer_syntax_uid=EXPLICIT_BIG).tolist() == [[0, 128, 255]]


def test_a_header_cut_down_for_a_worker_renders_the_same() -> None:
    def frame(center: float) -> dict[str, Any]:
        return attributes({0x00289132: [attributes({0x00281050: center, 0x00281051: 21})]})

    more = {0x00280008: 500, 0x52009230: [frame(10.5 + n) for n in range(500)], 0x00100010: "Doe^Jane"}
    model = image_model(1, 3, signed=True, more=more)
    small = rendering_model(model, 300)
    pixels = np.array([[0, 310, 400]], "i2")
    np.testing.assert_array_equal(
        render(dict(small), pixels, frame_number=300), render(model, pixels, frame_number=300)
    )
    assert len(pickle.dumps(small)) < 1500
    assert b"Doe" not in pickle.dumps(small)


def test_requests_out_of_bounds_are_refused() -> None:
    pixels = np.zeros((4, 4), "u1")
    with pytest.raises(Malformed):
        render(image_model(4, 4, bits=8), pixels, frame_number=2)
    with pytest.raises(Malformed):
        render(image_model(4, 4, bits=8), pixels, window=(float("nan"), 1.0))
    with pytest.raises(Unsupported):
        encode(pixels, "image/webp")


def test_a_retired_photometric_interpretation_is_unsupported() -> None:
    for photometric in ("HSV", "YBR_PARTIAL_420"):
        with pytest.raises(Unsupported):
            render(image_model(4, 4, bits=8, photometric=photometric), np.zeros((4, 4, 3), "u1"))


def test_quality_counts_for_jpeg() -> None:
    noise = np.random.default_rng(6).integers(0, 256, (64, 64, 3)).astype("u1")
    assert len(encode(noise, "image/jpeg", 30)) < len(encode(noise, "image/jpeg", 95))
    assert np.abs(imagecodecs.jpeg8_decode(encode(noise, "image/jpeg", 100)).astype(int) - noise).max() < 12
