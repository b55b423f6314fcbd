"""Encoding of frames: read back by our decoder and by others, and refused where the standard refuses."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import Any

import imagecodecs
import numpy as np
import pytest

from isocenter.dicom.codestream import read_jpeg, read_jpeg_2000
from isocenter.dicom.data_set import DataSet
from isocenter.dicom.decode import decode_frame
from isocenter.dicom.pixel_description import EXPLICIT_LITTLE, PixelDescription
from isocenter.dicom.pixel_encode import (
    HTJ2K,
    HTJ2K_LOSSLESS,
    HTJ2K_LOSSLESS_RPCL,
    JPEG_2000,
    JPEG_2000_LOSSLESS,
    JPEG_BASELINE,
    JPEG_LOSSLESS_SV1,
    JPEG_LS,
    JPEG_LS_NEAR,
    LOSSLESS_TARGETS,
    LOSSY_TARGETS,
    NATIVE_TARGETS,
    RLE,
    EncodedFrame,
    FrameWork,
    Quality,
    encode_frame,
    recompress,
    targets_of,
)
from isocenter.errors import NotAcceptable
from isocenter.testing.pixel_samples import image_model

RANDOM = np.random.default_rng(11)
WAVES = 1000 + 900 * np.sin(np.mgrid[0:60, 0:80][0] / 9) * np.cos(np.mgrid[0:60, 0:80][1] / 7)


def describe(syntax: str = EXPLICIT_LITTLE, rows: int = 37, columns: int = 53, **options: Any) -> PixelDescription:
    return PixelDescription.from_data_set(DataSet(image_model(rows, columns, **options)), syntax)


def encode(pixels: Any, description: PixelDescription, target: str, quality: Quality | None = None) -> EncodedFrame:
    return encode_frame(pixels, description, description.photometric_interpretation, target, quality)


def decoded(frame: EncodedFrame, description: PixelDescription, target: str) -> Any:
    encoded = replace(
        description,
        transfer_syntax_uid=target,
        photometric_interpretation=frame.photometric_interpretation,
        bits_allocated=frame.bits_allocated,
        bits_stored=frame.bits_stored,
        high_bit=frame.bits_stored - 1,
    )
    return decode_frame(encoded, frame.data)


@pytest.mark.parametrize("target", LOSSLESS_TARGETS)
@pytest.mark.parametrize(
    ("allocated", "stored", "signed"),
    [(8, 8, False), (8, 5, False), (8, 8, True), (16, 8, False), (16, 12, False), (16, 12, True), (16, 16, False),
     (16, 16, True), (16, 13, True)],
)  # fmt: skip
def test_grey_of_any_depth_and_sign_comes_back_to_the_bit(
    target: str, allocated: int, stored: int, signed: bool
) -> None:
    low, high = (-(2 ** (stored - 1)), 2 ** (stored - 1) - 1) if signed else (0, 2**stored - 1)
    pixels = RANDOM.integers(low, high, (37, 53), endpoint=True).astype(f"{'i' if signed else 'u'}{allocated // 8}")
    pixels[0, :2] = low, high
    description = describe(bits=allocated, stored=stored, signed=signed)
    frame = encode(pixels, description, target)
    assert (frame.bits_allocated, frame.bits_stored) == (allocated, stored)
    found = decoded(frame, description, target)
    assert found.pixels.dtype == pixels.dtype
    np.testing.assert_array_equal(found.pixels, pixels)


@pytest.mark.parametrize("target", LOSSLESS_TARGETS)
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL"])
def test_colour_comes_back_to_the_bit_under_its_own_name(target: str, bits: int, photometric: str) -> None:
    pixels = RANDOM.integers(0, 2**bits, (37, 53, 3)).astype(f"u{bits // 8}")
    description = describe(bits=bits, photometric=photometric)
    if target not in targets_of(description):
        assert photometric == "YBR_FULL"
        assert target.startswith("1.2.840.10008.1.2.4.20")
        return
    found = decoded(encode(pixels, description, target), description, target)
    np.testing.assert_array_equal(found.pixels, pixels)
    assert found.photometric_interpretation == photometric


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (3, 3), (2, 300), (300, 2)])
@pytest.mark.parametrize("target", LOSSLESS_TARGETS)
def test_small_and_narrow_images_are_encoded(target: str, shape: tuple[int, int]) -> None:
    pixels = RANDOM.integers(0, 4096, shape).astype("u2")
    description = describe(rows=shape[0], columns=shape[1], stored=12)
    np.testing.assert_array_equal(decoded(encode(pixels, description, target), description, target).pixels, pixels)


@pytest.mark.parametrize("target", LOSSLESS_TARGETS)
@pytest.mark.parametrize(("allocated", "stored"), [(8, 8), (8, 1), (8, 3), (16, 16), (16, 1)])
@pytest.mark.parametrize("colour", [False, True])
def test_noise_that_grows_when_it_is_compressed_still_fits(
    target: str, allocated: int, stored: int, colour: bool
) -> None:
    """What codecs make room for is not enough for these, unless they are told."""
    shape = (300, 200, 3) if colour else (300, 200)
    description = describe(
        rows=300, columns=200, bits=allocated, stored=stored, photometric="RGB" if colour else "MONOCHROME2"
    )
    for pixels in (RANDOM.integers(0, 2**stored, shape), RANDOM.choice([0, 2**stored - 1], shape)):
        pixels = pixels.astype(f"u{allocated // 8}")
        found = decoded(encode(pixels, description, target), description, target)
        np.testing.assert_array_equal(found.pixels, pixels)


@pytest.mark.parametrize("target", [RLE, HTJ2K_LOSSLESS, HTJ2K])
def test_doses_of_32_bits_are_encoded_where_a_codec_has_so_many(target: str) -> None:
    pixels = RANDOM.integers(0, 2**32, (37, 53)).astype("u4")
    description = describe(bits=32)
    np.testing.assert_array_equal(decoded(encode(pixels, description, target), description, target).pixels, pixels)
    assert JPEG_2000_LOSSLESS not in targets_of(description)
    assert JPEG_2000_LOSSLESS in targets_of(describe(bits=32, stored=26))


def test_the_codestream_states_the_depth_and_sign_of_the_data_set() -> None:
    pixels = (WAVES - 1000).astype("i2")
    description = describe(rows=60, columns=80, stored=12, signed=True)
    for target in (JPEG_2000_LOSSLESS, HTJ2K_LOSSLESS, HTJ2K_LOSSLESS_RPCL):
        stream = read_jpeg_2000(encode(pixels, description, target).data)
        assert (stream.precision, stream.signed, stream.components, stream.start) == (12, True, 1, 0)
    stream = read_jpeg(encode(pixels, description, JPEG_LOSSLESS_SV1).data)
    assert (stream.family, stream.precision) == ("jpeg-lossless", 12)


@pytest.mark.parametrize("signed", [False, True])
def test_htj2k_is_read_by_another_decoder_in_spite_of_its_restated_depth(signed: bool) -> None:
    pixels = (WAVES - 1000 * signed).astype("i2" if signed else "u2")
    frame = encode(pixels, describe(rows=60, columns=80, stored=12, signed=signed), HTJ2K_LOSSLESS_RPCL)
    np.testing.assert_array_equal(imagecodecs.jpeg2k_decode(frame.data), pixels)  # OpenJPEG; the encoder is OpenJPH


def test_jpeg_lossless_has_selection_value_1() -> None:
    data = encode(WAVES.astype("u2"), describe(rows=60, columns=80, stored=12), JPEG_LOSSLESS_SV1).data
    scan = data.index(b"\xff\xda")
    assert data[scan + 4] == 1  # components in the scan
    assert data[scan + 7] == 1  # the predictor


def test_rpcl_has_its_order_its_marks_and_a_base_of_64_pixels() -> None:
    pixels = RANDOM.integers(0, 4096, (300, 5000)).astype("u2")
    data = encode(pixels, describe(rows=300, columns=5000, stored=12), HTJ2K_LOSSLESS_RPCL).data
    coding = data.index(b"\xff\x52")
    assert data[coding + 5] == 2  # RPCL
    assert 5000 / 2 ** data[coding + 9] <= 64
    assert b"\xff\x55" in data[: data.index(b"\xff\x93")]  # TLM before the first tile's data
    assert data[data.index(b"\xff\x50") :][:2] == b"\xff\x50"  # CAP: this is Part 15


@pytest.mark.parametrize("target", [HTJ2K_LOSSLESS, JPEG_2000_LOSSLESS])
def test_values_of_more_bits_than_the_header_says_do_not_wrap_around(target: str) -> None:
    """A JPEG 2000 source of 12 bits under BitsStored 10: what was decoded is what is encoded."""
    pixels = RANDOM.integers(0, 4096, (37, 53)).astype("u2")
    source = describe(JPEG_2000_LOSSLESS, stored=10)
    data = encode(pixels, describe(stored=12), JPEG_2000_LOSSLESS).data
    assert decode_frame(source, data).pixels.max() > 1023
    frame = recompress(FrameWork(source, data, target))
    np.testing.assert_array_equal(decoded(frame, source, target).pixels, pixels)
    assert frame.bits_stored == 10


def test_rle_is_as_annex_g_writes_it() -> None:
    """Two rows of two 16-bit samples: high bytes first, a run as 257 - n, literals as n - 1, segments even."""
    pixels = np.array([[0x0102, 0x0103], [0x0104, 0x0104]], "u2")
    data = encode(pixels, describe(rows=2, columns=2), RLE).data
    assert struct.unpack_from("<4I", data) == (2, 64, 68, 0)
    assert data[64:68] == bytes((255, 1, 255, 1))
    assert data[68:] == bytes((1, 2, 3, 255, 4, 0))


def test_near_lossless_keeps_its_bound() -> None:
    for near in (1, 3, 10):
        for signed in (False, True):
            pixels = (WAVES + RANDOM.normal(0, 20, WAVES.shape) - 1000 * signed).astype("i2" if signed else "u2")
            description = describe(rows=60, columns=80, stored=12, signed=signed)
            frame = encode(pixels, description, JPEG_LS_NEAR, Quality(near=near))
            error = np.abs(decoded(frame, description, JPEG_LS_NEAR).pixels.astype(int) - pixels)
            assert 0 < error.max() <= near


@pytest.mark.parametrize(("stored", "signed"), [(12, False), (12, True), (16, True), (16, False), (8, False)])
def test_near_lossless_never_wraps_around_at_the_ends_of_the_range(stored: int, signed: bool) -> None:
    low, high = (-(2 ** (stored - 1)), 2 ** (stored - 1) - 1) if signed else (0, 2**stored - 1)
    pixels = RANDOM.choice([low, low + 1, 0, 1, high - 1, high], (37, 53)).astype("i2" if signed else "u2")
    description = describe(stored=stored, signed=signed)
    frame = encode(pixels, description, JPEG_LS_NEAR, Quality(near=5))
    assert np.abs(decoded(frame, description, JPEG_LS_NEAR).pixels.astype(int) - pixels).max() <= 5


def test_baseline_is_close_and_says_what_it_is() -> None:
    grey = (WAVES / 10).astype("u2")
    description = describe(rows=60, columns=80, stored=8)
    frame = encode(grey, description, JPEG_BASELINE)
    assert (frame.bits_allocated, frame.bits_stored, frame.photometric_interpretation) == (8, 8, "MONOCHROME2")
    assert np.abs(decoded(frame, description, JPEG_BASELINE).pixels.astype(int) - grey).mean() < 1
    colour = np.stack([WAVES / 10, 200 - WAVES / 10, WAVES / 20], axis=-1).astype("u1")
    description = describe(rows=60, columns=80, bits=8, photometric="RGB")
    frame = encode(colour, description, JPEG_BASELINE)
    assert frame.photometric_interpretation == "YBR_FULL_422"
    assert read_jpeg(frame.data).family == "jpeg"
    found = decoded(frame, description, JPEG_BASELINE)
    assert found.photometric_interpretation == "RGB"
    assert np.abs(found.pixels.astype(int) - colour).mean() < 2


def test_baseline_of_ybr_full_is_not_transformed_twice() -> None:
    """A grey ramp in YBR_FULL has chrominance 128; as RGB it is three equal samples."""
    ramp = np.full((40, 60, 3), 128, "u1")
    ramp[..., 0] = np.arange(60) * 4
    description = describe(rows=40, columns=60, bits=8, photometric="YBR_FULL")
    found = decoded(encode(ramp, description, JPEG_BASELINE), description, JPEG_BASELINE).pixels.astype(int)
    assert np.abs(found - ramp[..., :1]).max() < 6


def test_jpeg_2000_loses_as_many_decibels_as_asked_of_the_range_that_is_used() -> None:
    pixels = (WAVES + RANDOM.normal(0, 30, WAVES.shape)).astype("u2")
    for stored in (12, 16):
        description = describe(rows=60, columns=80, stored=stored)
        frame = encode(pixels, description, JPEG_2000, Quality(psnr=45))
        assert len(frame.data) < pixels.size
        error = decoded(frame, description, JPEG_2000).pixels.astype(float) - pixels
        span = float(pixels.max()) - float(pixels.min())
        assert 43 < 20 * np.log10(span / np.sqrt((error**2).mean())) < 50
    colour = RANDOM.integers(0, 256, (60, 80, 3)).astype("u1")
    frame = encode(colour, describe(rows=60, columns=80, bits=8, photometric="RGB"), JPEG_2000)
    assert frame.photometric_interpretation == "YBR_ICT"


def test_native_frames_are_little_endian() -> None:
    frame = encode(np.array([[1, 258]], ">u2"), describe(rows=1, columns=2), EXPLICIT_LITTLE)
    assert frame.data == b"\1\0\2\1"


@pytest.mark.parametrize(
    ("options", "refused"),
    [
        ({"bits": 1}, {*LOSSLESS_TARGETS, *LOSSY_TARGETS}),
        ({"photometric": "PALETTE COLOR"}, set(LOSSY_TARGETS)),
        ({"stored": 12}, {JPEG_BASELINE}),
        ({"bits": 8, "signed": True}, {JPEG_BASELINE}),
        ({"bits": 32}, {JPEG_LOSSLESS_SV1, JPEG_LS, JPEG_2000_LOSSLESS, *LOSSY_TARGETS}),
        ({"bits": 8, "photometric": "HSV"}, {*LOSSLESS_TARGETS, *LOSSY_TARGETS}),
        ({"keyword_tag": 0x7FE00008, "bits": 32}, {*LOSSLESS_TARGETS, *LOSSY_TARGETS}),
        ({"bits": 8}, set()),
    ],
)
def test_what_is_possible_is_what_the_standard_and_the_codecs_allow(options: dict[str, Any], refused: set[str]) -> None:
    description = describe(**options)
    possible = set(targets_of(description))
    assert possible == {*NATIVE_TARGETS, *LOSSLESS_TARGETS, *LOSSY_TARGETS} - refused
    for target in refused:
        with pytest.raises(NotAcceptable):
            encode(np.zeros((37, 53), "u2"), description, target)


def test_an_unknown_target_is_not_acceptable() -> None:
    with pytest.raises(NotAcceptable):
        encode(np.zeros((37, 53), "u2"), describe(), "1.2.840.10008.1.2.4.100")


def test_a_video_has_only_its_own_syntax() -> None:
    assert targets_of(describe("1.2.840.10008.1.2.4.102", bits=8)) == ("1.2.840.10008.1.2.4.102",)


def test_bits_of_an_overlay_above_the_stored_ones_are_taken_off() -> None:
    words = np.array([[0xF123, 0x0456]], "<u2")
    description = describe(rows=1, columns=2, stored=12)
    frame = recompress(FrameWork(description, words.tobytes(), JPEG_LS))
    np.testing.assert_array_equal(decoded(frame, description, JPEG_LS).pixels, [[0x123, 0x456]])
