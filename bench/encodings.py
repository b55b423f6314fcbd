"""Transfer syntaxes of the corpus, and codecs to write and read them apart from the servers' own code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[Any]

EXPLICIT = "1.2.840.10008.1.2.1"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"


@dataclass(frozen=True)
class Encoding:
    """A lossless transfer syntax for 12-bit grey pixels in 16."""

    name: str
    syntax: str
    encode: Callable[[Pixels], bytes]
    decode: Callable[[bytes], Pixels]


def _rle(pixels: Pixels) -> bytes:
    """PS3.5 Annex G: the high bytes, then the low ones, each row by PackBits, behind a header of offsets."""
    planes = pixels.astype(">u2").view("u1").reshape(*pixels.shape, 2)
    segments = [bytes(imagecodecs.packbits_encode(np.ascontiguousarray(planes[..., n]), axis=-1)) for n in (0, 1)]
    segments = [segment + b"\0" * (len(segment) % 2) for segment in segments]
    header = np.zeros(16, "<u4")
    header[:3] = 2, 64, 64 + len(segments[0])
    return header.tobytes() + b"".join(segments)


def _read_rle(data: bytes) -> Pixels:
    return np.frombuffer(imagecodecs.dicomrle_decode(data, "u2"), "<u2")


def _jpeg(pixels: Pixels) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(pixels, lossless=True, predictor=1, bitspersample=12))


def _jpeg_2000(pixels: Pixels) -> bytes:
    return bytes(imagecodecs.jpeg2k_encode(pixels, 0, codecformat="j2k", bitspersample=12, reversible=True, mct=False))


ENCODINGS = (
    Encoding("jpeg-lossless", "1.2.840.10008.1.2.4.70", _jpeg, imagecodecs.jpeg8_decode),
    Encoding(
        "jpeg-ls", "1.2.840.10008.1.2.4.80",
        lambda pixels: bytes(imagecodecs.jpegls_encode(pixels)), imagecodecs.jpegls_decode,
    ),
    Encoding("jpeg-2000", "1.2.840.10008.1.2.4.90", _jpeg_2000, imagecodecs.jpeg2k_decode),
    Encoding(
        "htj2k", "1.2.840.10008.1.2.4.201",
        lambda pixels: bytes(imagecodecs.htj2k_encode(pixels, reversible=True)), imagecodecs.htj2k_decode,
    ),
    Encoding("rle", "1.2.840.10008.1.2.5", _rle, _read_rle),
)  # fmt: skip


def by_name(name: str) -> Encoding:
    return next(encoding for encoding in ENCODINGS if encoding.name == name)
