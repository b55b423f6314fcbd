"""Recognising pictures from their first bytes."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import imagecodecs
import numpy as np
import pytest

from isocenter.errors import LimitExceeded, Malformed, Rejected, Unsupported
from isocenter.picture import Picture, recognise

PIXELS = np.zeros((30, 20, 3), "u1")


def png(pixels: Any) -> bytes:
    return bytes(imagecodecs.png_encode(pixels))


def jpeg_of(pixels: Any, **options: Any) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(pixels, **options))


def gif(pixels: Any) -> bytes:
    return bytes(imagecodecs.gif_encode(pixels))


def png_head(width: int, height: int, depth: int = 8, colour: int = 2) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n\0\0\0\r" + body + struct.pack(">I", zlib.crc32(body))


def test_pictures_are_recognised_with_their_size() -> None:
    jpeg = jpeg_of(PIXELS)
    assert recognise(jpeg) == Picture("jpeg", "image/jpeg", 20, 30)
    assert recognise(png(PIXELS)) == Picture("png", "image/png", 20, 30)
    assert recognise(gif(PIXELS[..., 0])) == Picture("gif", "image/gif", 20, 30)
    preview = b"\xff\xd8\xff\xe1" + struct.pack(">H", 60002) + bytes(60000)
    assert recognise(preview + jpeg[2:]) == Picture("jpeg", "image/jpeg", 20, 30)


@pytest.mark.parametrize(
    "head", [b"", b"\x89PNG", b"GIF", b"\xff\xd8", b"<svg>", b"BM" + bytes(60), bytes(132) + b"DICM"]
)
def test_anything_else_is_no_picture(head: bytes) -> None:
    assert recognise(head) is None


@pytest.mark.parametrize(
    "head",
    [
        b"\x89PNG\r\n\x1a\n" + bytes(500),
        png_head(4, 4)[:-1] + b"\0",
        png_head(4, 4)[:20],
        png_head(0, 4),
        png_head(4, 4, depth=3),
        png_head(4, 4, colour=5),
        b"GIF89a",
        b"GIF89a" + bytes(100),
        b"GIF89a" + struct.pack("<HHBBB", 4, 4, 0, 0, 0) + b"junk",
        b"GIF89a" + struct.pack("<HHBBB", 0, 4, 0, 0, 0) + b"\x2c",
        b"\xff\xd8\xff" + bytes(100),
        b"\xff\xd8\xff\xe0\0\x04ab",
        b"\xff\xd8\xff\xe0\0\x01" + bytes(90),
        b"\xff\xd8\xff\xc0\0\x0b\x08\0\0\0\0\x01\x01\x11\0",
        b"\xff\xd8\xff\xd9",
    ],
)
def test_a_signature_followed_by_junk_is_malformed(head: bytes) -> None:
    with pytest.raises(Malformed):
        recognise(head)


def test_absurd_sizes_are_a_limit() -> None:
    with pytest.raises(LimitExceeded):
        recognise(png_head(2**31 - 1, 4))


def test_jpeg_of_no_browsers_kind_is_unsupported() -> None:
    grey = np.zeros((8, 8), "u2")
    for data in (bytes(imagecodecs.jpegls_encode(grey)), jpeg_of(grey, bitspersample=12)):
        with pytest.raises(Unsupported):
            recognise(data)


def test_every_cut_of_a_picture_is_recognised_or_rejected() -> None:
    for data in (
        jpeg_of(PIXELS),
        png(PIXELS),
        gif(PIXELS[..., 0]),
    ):
        for length in range(len(data)):
            try:
                found = recognise(data[:length])
            except Rejected:
                continue
            assert found is None or (found.width, found.height) == (20, 30)
