"""Pictures decoded, scaled and encoded anew."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import imagecodecs
import numpy as np
import pytest

from isocenter.errors import LimitExceeded, Malformed, NotAnImage, Rejected
from isocenter.render.picture import PictureRequest, decode_picture, exif_orientation, render_picture, upright

COLOUR = np.kron(np.random.default_rng(8).integers(0, 256, (4, 3, 3)), np.ones((8, 8, 1))).astype("u1")


def png(pixels: Any) -> bytes:
    return bytes(imagecodecs.png_encode(pixels))


def jpeg_of(pixels: Any, **options: Any) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(pixels, **options))


def gif(pixels: Any) -> bytes:
    return bytes(imagecodecs.gif_encode(pixels))


@pytest.mark.parametrize("pixels", [COLOUR, COLOUR[..., 0].copy()], ids=["colour", "grey"])
def test_png_comes_through_exactly(pixels: np.ndarray[Any, Any]) -> None:
    found = render_picture(PictureRequest(png(pixels), media_type="image/png"))
    np.testing.assert_array_equal(imagecodecs.png_decode(found), pixels)


def test_jpeg_comes_through_closely_and_at_the_width_asked_for() -> None:
    data = jpeg_of(COLOUR, level=98)
    assert np.abs(decode_picture(data).astype(int) - COLOUR).mean() < 8
    small = imagecodecs.jpeg8_decode(render_picture(PictureRequest(data, width=12)))
    assert small.shape == (16, 12, 3)


def test_sixteen_bits_and_transparency_become_eight_bits_on_white() -> None:
    np.testing.assert_array_equal(decode_picture(png(COLOUR.astype("u2") * 257)), COLOUR)
    clear = np.dstack([COLOUR, np.zeros(COLOUR.shape[:2], "u1")])
    assert (decode_picture(png(clear)) == 255).all()
    solid = np.dstack([COLOUR, np.full(COLOUR.shape[:2], 255, "u1")])
    np.testing.assert_array_equal(decode_picture(png(solid)), COLOUR)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _png(depth: int, colour: int, rows: bytes, *chunks: bytes) -> bytes:
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")


def test_png_of_one_bit_and_of_a_palette_are_read() -> None:
    assert decode_picture(_png(1, 0, b"\0\x40")).tolist() == [[0, 255]]
    palette = _chunk(b"PLTE", bytes([9, 8, 7, 1, 2, 3]))
    assert decode_picture(_png(8, 3, b"\0\1\0", palette)).tolist() == [[[1, 2, 3], [9, 8, 7]]]


def test_the_first_image_of_an_animated_gif_is_shown() -> None:
    frames = np.stack([np.full((6, 5), 10, "u1"), np.full((6, 5), 200, "u1")])
    found = decode_picture(gif(frames))
    assert found.shape == (6, 5, 3)
    assert (found == found[0, 0]).all()


def test_a_gif_whose_image_is_larger_than_its_screen_is_a_limit() -> None:
    data = b"GIF89a" + struct.pack("<HHBBB", 4, 4, 0, 0, 0) + b"\x2c" + struct.pack("<4HB", 0, 0, 60000, 60000, 0)
    with pytest.raises(LimitExceeded):
        decode_picture(data + b"\x02\x02\x4c\x01\0\x3b")


def test_a_picture_over_the_ceiling_is_refused_undecoded() -> None:
    with pytest.raises(LimitExceeded):
        render_picture(PictureRequest(png(COLOUR), most_pixels=100))


def test_what_is_no_picture_or_a_broken_one_is_rejected() -> None:
    with pytest.raises(NotAnImage):
        decode_picture(b"plain text")
    whole = png(COLOUR)
    with pytest.raises(Malformed):
        decode_picture(whole[:60])
    for data in (whole, jpeg_of(COLOUR), gif(COLOUR[..., 0])):
        for length in range(6, len(data), 11):
            try:
                decode_picture(data[:length])
            except Rejected:
                continue


@pytest.mark.parametrize("order", ["<", ">"])
def test_exif_turns_a_photograph_upright(order: str) -> None:
    tiff = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0)
    body = b"Exif\0\0" + tiff
    jpeg = jpeg_of(COLOUR)
    data = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(body)) + body + jpeg[2:]
    assert exif_orientation(data) == 6
    assert exif_orientation(jpeg) == 1
    assert decode_picture(data).shape == (24, 32, 3)


def test_each_orientation_is_undone_as_exif_defines_it() -> None:
    # The upright picture, and how each orientation stores it (TIFF 6.0: where row 0 and column 0 lie).
    image = np.arange(6).reshape(2, 3)
    stored = {
        1: image,
        2: image[:, ::-1],
        3: image[::-1, ::-1],
        4: image[::-1],
        5: image.T,
        6: np.rot90(image, 1),
        7: image[::-1, ::-1].T,
        8: np.rot90(image, -1),
    }
    for orientation, pixels in stored.items():
        np.testing.assert_array_equal(upright(pixels, orientation), image)
