"""Decoding of frames: against pydicom's own, against encoders, and against lies."""

from __future__ import annotations

import struct
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest

from isocenter.dicom.data_set import DataSet
from isocenter.dicom.decode import DecodedFrame, decode_frame
from isocenter.dicom.pixel_description import EXPLICIT_BIG, PixelDescription
from isocenter.errors import LimitExceeded, Malformed, Rejected, Unsupported
from isocenter.testing.pixel_samples import (
    EXPLICIT_LITTLE,
    bundled_image,
    bundled_images,
    image_model,
    read_sample,
)

JPEG, JPEG_12, LOSSLESS, SV1 = (f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 57, 70))
JLS, J2K, HTJ2K, JXL, MPEG = (f"1.2.840.10008.1.2.4.{n}" for n in (80, 90, 201, 110, 102))
RLE = "1.2.840.10008.1.2.5"
RANDOM = np.random.default_rng(5)
GREY_12 = RANDOM.integers(0, 4096, (37, 53)).astype("u2")
COLOUR = RANDOM.integers(0, 256, (37, 53, 3)).astype("u1")
# Broken on purpose by pydicom's authors: cut short, and with a delimiter written over the image's width.
BROKEN = {"MR_truncated.dcm", "JPEG2000-embedded-sequence-delimiter.dcm", "badVR.dcm"}


def describe(model: dict[str, dict[str, Any]], syntax: str) -> PixelDescription:
    return PixelDescription.from_data_set(DataSet(model), syntax)


def decode(model: dict[str, dict[str, Any]], syntax: str, data: bytes | bytearray, **options: int) -> DecodedFrame:
    return decode_frame(describe(model, syntax), bytes(data), **options)


@pytest.mark.parametrize("path", [p for p in bundled_images() if p.name not in BROKEN], ids=lambda path: path.name)
def test_every_frame_of_a_real_file_is_what_pydicom_decodes(path: Path) -> None:
    sample = read_sample(path)
    description = sample.description
    decoded = [
        decode_frame(description, sample.frame(n), skip_bits=_skip(description, n)) for n in _numbers(description)
    ]
    pixels = np.stack([frame.pixels for frame in decoded])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data_set = pydicom.dcmread(path)
        data_set.pixel_array_options(raw=decoded[0].photometric_interpretation != "RGB")
        try:
            expected = data_set.pixel_array
        except (RuntimeError, NotImplementedError, OSError):
            pytest.skip("pydicom has no decoder for it here")
    if description.photometric_interpretation == "YBR_FULL_422" and not description.encapsulated:
        expected = expected.reshape(*pixels.shape)
    assert pixels.dtype == expected.dtype.newbyteorder("=")
    np.testing.assert_array_equal(pixels, expected.reshape(pixels.shape))


def _numbers(description: PixelDescription) -> range:
    return range(1, description.number_of_frames + 1)


def _skip(description: PixelDescription, number: int) -> int:
    return 0 if description.encapsulated else description.frame_span(number).skip_bits


@pytest.mark.parametrize("name", sorted(BROKEN - {"badVR.dcm"}))
def test_a_broken_file_is_malformed(name: str) -> None:
    sample = read_sample(bundled_image(name))
    with pytest.raises(Malformed):
        decode_frame(sample.description, sample.frame())


# Native -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2", "u4", "i4"])
def test_native_integers_of_any_width_sign_and_byte_order(kind: str, big: bool) -> None:
    limits = np.iinfo(kind)
    pixels = RANDOM.integers(limits.min, limits.max, (5, 6), endpoint=True).astype(kind)
    model = image_model(5, 6, bits=8 * pixels.itemsize, signed=kind[0] == "i", vr="OB" if kind[1] == "1" else "OW")
    data = pixels.astype(f"{'>' if big else '<'}{kind}").tobytes()
    found = decode(model, EXPLICIT_BIG if big else EXPLICIT_LITTLE, data).pixels
    assert found.dtype == np.dtype(kind)
    np.testing.assert_array_equal(found, pixels)


@pytest.mark.parametrize(("kind", "tag"), [("f4", 0x7FE00008), ("f8", 0x7FE00009)])
def test_floating_point_keeps_nan_and_infinity(kind: str, tag: int) -> None:
    pixels = np.array([[1.5, np.nan], [np.inf, -2]], kind)
    model = image_model(2, 2, bits=8 * pixels.itemsize, keyword_tag=tag)
    np.testing.assert_array_equal(decode(model, EXPLICIT_LITTLE, pixels.tobytes()).pixels, pixels)


def test_sign_is_extended_from_the_stored_bits_and_overlays_above_them_go() -> None:
    words = np.array([[0xF800, 0x0FFF], [0x07FF, 0x1001]], "<u2")
    signed = decode(image_model(2, 2, stored=12, signed=True), EXPLICIT_LITTLE, words.tobytes()).pixels
    np.testing.assert_array_equal(signed, np.array([[-2048, -1], [2047, 1]], "i2"))
    unsigned = decode(image_model(2, 2, stored=12), EXPLICIT_LITTLE, words.tobytes()).pixels
    np.testing.assert_array_equal(unsigned, words & 0xFFF)


def test_samples_kept_high_in_their_words_are_brought_down() -> None:
    words = np.array([[0x8010, 0x7FF0]], "<u2")
    model = image_model(1, 2, stored=12, more={0x00280102: 15})
    np.testing.assert_array_equal(decode(model, EXPLICIT_LITTLE, words.tobytes()).pixels, [[0x801, 0x7FF]])
    model = image_model(1, 2, stored=12, signed=True, more={0x00280102: 15})
    np.testing.assert_array_equal(decode(model, EXPLICIT_LITTLE, words.tobytes()).pixels, [[0x801 - 0x1000, 0x7FF]])


@pytest.mark.parametrize("syntax", [EXPLICIT_LITTLE, EXPLICIT_BIG])
def test_packed_bits_of_frames_that_begin_inside_a_byte(syntax: str) -> None:
    frames = RANDOM.integers(0, 2, (5, 3, 7)).astype("u1")
    packed = np.packbits(frames.ravel(), bitorder="little").tobytes()
    packed += bytes(len(packed) % 2)
    if syntax == EXPLICIT_BIG:
        packed = np.frombuffer(packed, "<u2").byteswap().tobytes()
    description = describe(image_model(3, 7, bits=1, more={0x00280008: 5}), syntax)
    for number in range(1, 6):
        span = description.frame_span(number)
        data = packed[span.offset : span.offset + span.length]
        np.testing.assert_array_equal(
            decode_frame(description, data, skip_bits=span.skip_bits).pixels, frames[number - 1]
        )


def test_odd_frames_of_bytes_in_big_endian_words() -> None:
    frames = RANDOM.integers(0, 256, (2, 3, 3)).astype("u1")
    data = np.frombuffer(frames.tobytes(), "<u2").byteswap().tobytes()
    description = describe(image_model(3, 3, bits=8, more={0x00280008: 2}), EXPLICIT_BIG)
    for number in (1, 2):
        span = description.frame_span(number)
        part = data[span.offset : span.offset + span.length]
        np.testing.assert_array_equal(
            decode_frame(description, part, skip_bits=span.skip_bits).pixels, frames[number - 1]
        )


def test_colour_by_plane_comes_back_by_pixel() -> None:
    model = image_model(37, 53, bits=8, photometric="RGB", more={0x00280006: 1}, vr="OB")
    data = np.ascontiguousarray(COLOUR.transpose(2, 0, 1)).tobytes()
    np.testing.assert_array_equal(decode(model, EXPLICIT_LITTLE, data).pixels, COLOUR)


@pytest.mark.parametrize("columns", [4, 5])
def test_native_422_shares_each_chroma_pair_between_two_pixels(columns: int) -> None:
    pairs = (columns + 1) // 2
    groups = np.arange(2 * pairs * 4, dtype="u1").reshape(2, pairs, 4)
    found = decode(image_model(2, columns, bits=8, photometric="YBR_FULL_422"), EXPLICIT_LITTLE, groups.tobytes())
    assert found.photometric_interpretation == "YBR_FULL"
    assert found.pixels.shape == (2, columns, 3)
    np.testing.assert_array_equal(found.pixels[0, :4], [[0, 2, 3], [1, 2, 3], [4, 6, 7], [5, 6, 7]])


def test_data_too_short_for_a_frame_is_malformed() -> None:
    with pytest.raises(Malformed, match="PixelData"):
        decode(image_model(4, 4), EXPLICIT_LITTLE, bytes(31))


def test_a_frame_over_the_ceiling_is_refused_before_its_length_is_looked_at() -> None:
    with pytest.raises(LimitExceeded):
        decode(image_model(65535, 65535), EXPLICIT_LITTLE, bytes(64))
    with pytest.raises(LimitExceeded):
        decode(image_model(4, 4), EXPLICIT_LITTLE, bytes(32), most_samples=15)


# Compressed ---------------------------------------------------------------------------------------------------


def rle(pixels: np.ndarray[Any, Any]) -> bytes:
    """Literal runs alone, segments most significant byte first, colour by plane."""
    planes = pixels.transpose(2, 0, 1) if pixels.ndim == 3 else pixels[None]
    segments = []
    for plane in planes:
        for byte in reversed(range(plane.itemsize)):
            raw = (plane.astype(np.uint64) >> np.uint64(8 * byte)).astype("u1").tobytes()
            packed = b"".join(bytes([len(raw[i : i + 128]) - 1]) + raw[i : i + 128] for i in range(0, len(raw), 128))
            segments.append(packed + bytes(len(packed) % 2))
    offsets = [64 + sum(map(len, segments[:n])) for n in range(len(segments))]
    return struct.pack("<16I", len(segments), *offsets, *[0] * (15 - len(segments))) + b"".join(segments)


@pytest.mark.parametrize("kind", ["u1", "u2", "u4"])
@pytest.mark.parametrize("samples", [1, 3])
def test_run_length_frames_of_any_width_and_colour(kind: str, samples: int) -> None:
    pixels = RANDOM.integers(0, np.iinfo(kind).max, (7, 9, samples), endpoint=True, dtype=kind)
    pixels = pixels if samples == 3 else pixels[..., 0]
    photometric = "RGB" if samples == 3 else "MONOCHROME2"
    # Planar Configuration 0, as most writers have it: the segments are planes all the same.
    model = image_model(7, 9, bits=8 * pixels.itemsize, photometric=photometric)
    np.testing.assert_array_equal(decode(model, RLE, rle(pixels)).pixels, pixels)


def _lossless(codec: str, pixels: np.ndarray[Any, Any]) -> bytes:
    if codec == LOSSLESS:
        return bytes(imagecodecs.jpeg8_encode(pixels, lossless=True, predictor=4, bitspersample=8 * pixels.itemsize))
    if codec == SV1:
        return bytes(imagecodecs.ljpeg_encode(pixels, bitspersample=8 * pixels.itemsize))
    if codec == JLS:
        return bytes(imagecodecs.jpegls_encode(pixels))
    if codec == J2K:
        return bytes(imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="j2k", reversible=True))
    if codec == HTJ2K:
        return bytes(imagecodecs.htj2k_encode(pixels))
    return bytes(imagecodecs.jpegxl_encode(pixels, lossless=True))


@pytest.mark.parametrize("codec", [LOSSLESS, SV1, JLS, J2K, HTJ2K, JXL])
def test_lossless_grey_is_bit_exact(codec: str) -> None:
    found = decode(image_model(37, 53, stored=12), codec, _lossless(codec, GREY_12))
    assert found.pixels.dtype == np.uint16
    np.testing.assert_array_equal(found.pixels, GREY_12)


@pytest.mark.parametrize("codec", [LOSSLESS, J2K, HTJ2K, JXL])
def test_lossless_colour_is_bit_exact_and_rgb(codec: str) -> None:
    photometric = "YBR_RCT" if codec in (J2K, HTJ2K) else "RGB"
    found = decode(image_model(37, 53, bits=8, photometric=photometric), codec, _lossless(codec, COLOUR))
    assert found.photometric_interpretation == "RGB"
    np.testing.assert_array_equal(found.pixels, COLOUR)


def test_lossless_jpeg_of_ybr_is_not_transformed() -> None:
    found = decode(image_model(37, 53, bits=8, photometric="YBR_FULL"), LOSSLESS, _lossless(LOSSLESS, COLOUR))
    assert found.photometric_interpretation == "YBR_FULL"
    np.testing.assert_array_equal(found.pixels, COLOUR)


@pytest.mark.parametrize("codec", [LOSSLESS, SV1, JLS, J2K, HTJ2K])
def test_signed_values_written_without_sign_are_sign_extended(codec: str) -> None:
    signed = GREY_12.astype("i2") - 2048
    found = decode(image_model(37, 53, stored=12, signed=True), codec, _lossless(codec, signed.view("u2") & 0xFFF))
    assert found.pixels.dtype == np.int16
    np.testing.assert_array_equal(found.pixels, signed)


@pytest.mark.parametrize("codec", [J2K, HTJ2K])
def test_signed_codestreams_keep_their_sign_or_lose_it_as_the_data_set_says(codec: str) -> None:
    signed = GREY_12.astype("i2") - 2048
    data = _lossless(codec, signed)
    np.testing.assert_array_equal(decode(image_model(37, 53, signed=True), codec, data).pixels, signed)
    np.testing.assert_array_equal(decode(image_model(37, 53), codec, data).pixels, signed.view("u2"))


def test_a_codestream_in_jp2_boxes_is_found() -> None:
    data = bytes(imagecodecs.jpeg2k_encode(GREY_12, level=0, codecformat="jp2", reversible=True))
    assert data[:4] == b"\0\0\0\x0c"
    np.testing.assert_array_equal(decode(image_model(37, 53, stored=12), J2K, data).pixels, GREY_12)


@pytest.mark.parametrize(("bits", "codec"), [(8, JPEG), (12, JPEG_12)])
def test_lossy_grey_of_8_and_12_bits_is_close(bits: int, codec: str) -> None:
    y, x = np.mgrid[:64, :48]
    smooth = ((x + y) * ((1 << bits) - 1) / 110).astype("u1" if bits == 8 else "u2")
    data = bytes(imagecodecs.jpeg8_encode(smooth, level=95, bitspersample=bits))
    found = decode(image_model(64, 48, bits=8 if bits == 8 else 16, stored=bits), codec, data).pixels
    assert np.abs(found.astype(int) - smooth).max() <= (1 << bits) / 64


BLOCKS = np.kron(RANDOM.integers(0, 256, (4, 4, 3)), np.ones((16, 16, 1))).astype("u1")


@pytest.mark.parametrize("subsampling", ["444", "422", "420"])
def test_jpeg_colour_written_as_ybr_comes_back_as_rgb(subsampling: str) -> None:
    data = imagecodecs.jpeg8_encode(BLOCKS, level=98, colorspace="RGB", outcolorspace="YCBCR", subsampling=subsampling)
    found = decode(image_model(64, 64, bits=8, photometric="YBR_FULL_422"), JPEG, data)
    assert found.photometric_interpretation == "RGB"
    assert np.abs(found.pixels.astype(int) - BLOCKS).mean() < 6


def test_jpeg_colour_written_as_rgb_is_not_transformed() -> None:
    data = bytes(imagecodecs.jpeg8_encode(BLOCKS, level=98, colorspace="RGB", outcolorspace="RGB"))
    found = decode(image_model(64, 64, bits=8, photometric="RGB"), JPEG, data)
    assert np.abs(found.pixels.astype(int) - BLOCKS).mean() < 6


def test_jpeg_labelled_rgb_but_subsampled_is_ybr_all_the_same() -> None:
    data = imagecodecs.jpeg8_encode(BLOCKS, level=98, colorspace="RGB", outcolorspace="YCBCR", subsampling="420")
    found = decode(image_model(64, 64, bits=8, photometric="RGB"), JPEG, data)
    assert np.abs(found.pixels.astype(int) - BLOCKS).mean() < 6


@pytest.mark.parametrize("syntax", [MPEG, "1.2.840.10008.1.2.4.92", "1.2.3"])
def test_what_is_not_decoded_is_unsupported(syntax: str) -> None:
    with pytest.raises(Unsupported):
        decode(image_model(4, 4, bits=8), syntax, bytes(64))


# Lies ---------------------------------------------------------------------------------------------------------


def siz(width: int, height: int, *, tile: int = 0, components: int = 1, step: int = 1) -> bytes:
    sizes = bytes([15, step, step]) * components
    tile_w, tile_h = (tile, tile) if tile else (width, height)
    head = struct.pack(">HH8IH", 38 + len(sizes), 0, width, height, 0, 0, tile_w, tile_h, 0, 0, components)
    return b"\xff\x4f\xff\x51" + head + sizes + bytes(64)


def sof(
    width: int, height: int, marker: int = 0xC0, precision: int = 8, components: int = 1, factor: int = 0x11
) -> bytes:
    body = struct.pack(">BHHB", precision, height, width, components) + bytes([1, factor, 0]) * components
    return (
        b"\xff\xd8\xff"
        + bytes([marker])
        + struct.pack(">H", 2 + len(body))
        + body
        + b"\xff\xda\0\x08\1\1\0\0\0\0\xff\xd9"
    )


LIES = {
    "J2K of another size": (J2K, siz(4096, 4096)),
    "J2K of 2^31 a side": (J2K, siz(0x7FFFFFFF, 0x7FFFFFFF)),
    "J2K of more tiles than bytes": (J2K, siz(512, 512, tile=1)),
    "J2K of empty tiles": (J2K, siz(512, 512)[:24] + bytes(8) + siz(512, 512)[32:]),
    "J2K of 16384 components": (J2K, siz(512, 512, components=16384)),
    "J2K subsampled": (J2K, siz(512, 512, step=2)),
    "J2K cut in its header": (J2K, siz(512, 512)[:30]),
    "J2K of nothing after its header": (J2K, siz(512, 512)),
    "HTJ2K of nothing after its header": (HTJ2K, siz(512, 512)),
    "JPEG of another size": (JPEG, sof(511, 512)),
    "JPEG of no size": (JPEG, sof(0, 0)),
    "JPEG of three components": (JPEG, sof(512, 512, components=3)),
    "JPEG of 16 bits in 8": (SV1, sof(512, 512, 0xC3, 17)),
    "JPEG with a sampling factor of nought": (JPEG, sof(512, 512, factor=0)),
    "JPEG of arithmetic coding": (JPEG, sof(512, 512, 0xC9)),
    "JPEG of 20,000 scans": (
        "1.2.840.10008.1.2.4.55",
        sof(512, 512, 0xC2) + b"\xff\xda\0\x08\1\1\0\1\1\0" * 20000,
    ),
    "JPEG lossless of 20 bytes": (SV1, sof(512, 512, 0xC3, 16)),
    "JPEG cut in a segment": (JPEG, sof(512, 512)[:12]),
    "JPEG-LS of nothing": (JLS, sof(512, 512, 0xF7)),
    "JPEG XL of another size": (JXL, b"\xff\x0a" + bytes(64)),
    "JPEG XL container of nothing": (JXL, b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(64)),
    "RLE with no header": (RLE, bytes(10)),
    "RLE of 2^32 segments": (RLE, b"\xff" * 4 + bytes(60)),
    "RLE segment past the end": (RLE, struct.pack("<16I", 2, 64, 0xFFFFFF00, *[0] * 13) + bytes(9000)),
    "RLE segments in reverse": (RLE, struct.pack("<16I", 2, 64, 60, *[0] * 13) + bytes(9000)),
    "RLE too short": (RLE, struct.pack("<16I", 2, 64, 66, *[0] * 13) + b"\0\1\0\1"),
    "RLE of no-ops": (RLE, struct.pack("<16I", 2, 64, 5064, *[0] * 13) + b"\x80" * 10000),
    "nothing at all": (JPEG, b""),
    "text": (J2K, b"<!DOCTYPE html>" * 10),
}


@pytest.mark.parametrize("name", LIES)
def test_a_codestream_that_lies_is_rejected_in_a_sentence(name: str) -> None:
    syntax, data = LIES[name]
    with pytest.raises(Rejected) as caught:
        decode(image_model(512, 512), syntax, data)
    assert len(caught.value.detail) > 10


@pytest.mark.parametrize(("syntax", "data"), [(J2K, siz(11000, 11000)), (JLS, sof(11000, 11000, 0xF7))])
def test_a_huge_frame_from_a_few_bytes_is_refused_unread(syntax: str, data: bytes) -> None:
    with pytest.raises(LimitExceeded) as caught:
        decode(image_model(11000, 11000), syntax, data)
    assert caught.value.code == "decode-limit"


def test_a_blank_frame_that_compressed_to_almost_nothing_decodes() -> None:
    blank = np.full((2048, 2048), 7, "u2")
    data = bytes(imagecodecs.jpeg2k_encode(blank, level=0, codecformat="j2k", reversible=True))
    assert len(data) < 2048 * 2048 / 1000
    assert (decode(image_model(2048, 2048), J2K, data).pixels == 7).all()


@pytest.mark.parametrize("codec", [JPEG, SV1, JLS, J2K, HTJ2K, JXL, RLE])
def test_a_truncated_codestream_is_rejected_or_decoded_but_never_fails_otherwise(codec: str) -> None:
    grey = (GREY_12 >> 4).astype("u1")
    data = imagecodecs.jpeg8_encode(grey) if codec == JPEG else rle(grey) if codec == RLE else _lossless(codec, grey)
    for length in range(0, len(data), max(1, len(data) // 40)):
        with suppress(Rejected):
            assert decode(image_model(37, 53, bits=8), codec, data[:length]).pixels.shape == (37, 53)


def test_an_error_that_openjph_only_reports_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    """It returns what it had when it failed, which must never pass for a picture."""

    def no_other(*_: object, **__: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(imagecodecs, "jpeg2k_decode", no_other)
    data = bytes(imagecodecs.htj2k_encode(GREY_12 << 4))
    model = image_model(*GREY_12.shape, stored=16)
    assert np.array_equal(decode(model, HTJ2K, data).pixels, GREY_12 << 4)
    # The main header ends before byte 120; a code block whose own trailer is overwritten cannot be decoded.
    broken = [data[:place] + b"\xff" * 6 + data[place + 6 :] for place in range(120, len(data) - 8, 37)]
    refused = 0
    for each in broken:
        try:
            decode(model, HTJ2K, each)
        except Malformed:
            refused += 1
    assert refused > len(broken) // 10


def test_htj2k_colour_without_a_transform_comes_by_pixel() -> None:
    data = bytes(imagecodecs.htj2k_encode(np.ascontiguousarray(COLOUR.transpose(2, 0, 1)), planar=True))
    model = image_model(*COLOUR.shape[:2], bits=8, photometric="RGB", more={0x00280002: 3, 0x00280006: 0})
    assert np.array_equal(decode(model, HTJ2K, data).pixels, COLOUR)
