"""Whole frames rendered: pictures that can be read back, and DCMTK as an independent opinion."""

from __future__ import annotations

import pickle
import shutil
import subprocess
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest

from isocenter.dicom.pixel_description import EXPLICIT_BIG
from isocenter.errors import LimitExceeded, Malformed, Unsupported
from isocenter.render.encode import encode
from isocenter.render.frame import FrameRequest, render_frame, ybr_to_rgb
from isocenter.render.functional_groups import rendering_model
from isocenter.render.resize import resize
from isocenter.testing.pixel_samples import (
    EXPLICIT_LITTLE,
    attributes,
    bundled_image,
    bundled_images,
    image_model,
    read_sample,
)

BROKEN = {"MR_truncated.dcm", "JPEG2000-embedded-sequence-delimiter.dcm", "badVR.dcm"}
# DCMTK stretches pixels that are not square one way, we do the other; and it reads 32-bit big-endian otherwise.
OTHERWISE = {"6293", "6924", "rtdose_expb.dcm", "rtdose_expb_1frame.dcm"}


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


def _dcmtk(path: Path, folder: Path, *options: str) -> np.ndarray[Any, Any] | None:
    assert shutil.which("dcmj2pnm"), "DCMTK is missing; on Debian: apt-get install dcmtk"
    target = folder / "dcmtk.png"
    ran = subprocess.run(["dcmj2pnm", "-O", *options, "+on", str(path), str(target)], capture_output=True, check=False)
    if ran.returncode:
        return None
    found: np.ndarray[Any, Any] = imagecodecs.png_decode(target.read_bytes())
    return found


@pytest.mark.parametrize(
    "path", [p for p in bundled_images() if p.name not in BROKEN | OTHERWISE], ids=lambda path: path.name
)
def test_a_rendered_image_is_within_a_grey_level_of_dcmtks(path: Path, tmp_path: Path) -> None:
    sample = read_sample(path)
    expected = _dcmtk(path, tmp_path, *(["+Wi", "1"] if "00281050" in sample.model else ["+Wm"]))
    if expected is None:
        pytest.skip("DCMTK does not decode it")
    request = FrameRequest(sample.model, sample.transfer_syntax_uid, sample.frame(), media_type="image/png")
    found = imagecodecs.png_decode(render_frame(request))
    if found.ndim == 3 and expected.ndim == 2:
        expected = np.repeat(expected[..., None], 3, axis=2)
    assert found.shape == expected.shape
    difference = np.abs(found.astype(int) - expected)
    assert difference.max() <= 1
    assert difference.mean() < 1


@pytest.mark.parametrize(("center", "width"), [(40.0, 400.0), (-600.0, 1500.0), (300.0, 50.0)])
def test_a_window_asked_for_is_within_a_grey_level_of_dcmtks(center: float, width: float, tmp_path: Path) -> None:
    sample = read_sample(bundled_image("CT_small.dcm"))
    expected = _dcmtk(sample.path, tmp_path, "+Ww", str(center), str(width))
    request = FrameRequest(
        sample.model,
        sample.transfer_syntax_uid,
        sample.frame(),
        media_type="image/png",
        window=(center, width),
    )
    assert expected is not None
    assert np.abs(imagecodecs.png_decode(render_frame(request)).astype(int) - expected).max() <= 1


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
    for photometric in ("HSV", "YBR_PARTIAL_422"):
        with pytest.raises(Unsupported):
            render(image_model(4, 4, bits=8, photometric=photometric), np.zeros((4, 4, 3), "u1"))


def test_quality_counts_for_jpeg() -> None:
    noise = np.random.default_rng(6).integers(0, 256, (64, 64, 3)).astype("u1")
    assert len(encode(noise, "image/jpeg", 30)) < len(encode(noise, "image/jpeg", 95))
    assert np.abs(imagecodecs.jpeg8_decode(encode(noise, "image/jpeg", 100)).astype(int) - noise).max() < 12
