"""Many small images of every kind and transfer syntax, each with an identity of its own."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import imagecodecs
import numpy as np
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from isocenter.testing.elements import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    HTJ2K,
    IMPLICIT,
    JPEG_2000,
    JPEG_LS,
    RLE,
)
from isocenter.testing.instances import (
    ct_slice,
    gif_picture,
    jpeg_picture,
    nifti_volume,
    png_picture,
    us_cine,
    written,
)

_ENCODERS: dict[str, Callable[[Any], bytes]] = {
    JPEG_2000: lambda pixels: bytes(imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="j2k")),
    HTJ2K: lambda pixels: bytes(imagecodecs.htj2k_encode(pixels)),
    JPEG_LS: lambda pixels: bytes(imagecodecs.jpegls_encode(pixels)),
}


def transcoded(data: bytes, transfer_syntax: str) -> bytes:
    """A native single-frame instance of 16 bits, written in another transfer syntax without loss."""
    data_set = dcmread(BytesIO(data))
    if transfer_syntax in (EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED):
        return _native(data_set, transfer_syntax)
    if transfer_syntax == RLE:
        data_set.compress(UID(RLE), generate_instance_uid=False)
        return written(data_set, RLE)
    shape = (int(data_set.Rows), int(data_set.Columns))
    pixels = np.frombuffer(data_set.PixelData, "<u2").reshape(shape)
    data_set.PixelData = encapsulate([_ENCODERS[transfer_syntax](pixels)])
    data_set["PixelData"].VR = "OB"
    return written(data_set, transfer_syntax)


def _native(data_set: Dataset, transfer_syntax: str) -> bytes:
    if transfer_syntax == BIG_ENDIAN:
        data_set.PixelData = np.frombuffer(data_set.PixelData, "<u2").astype(">u2").tobytes()
    data_set.file_meta.TransferSyntaxUID = UID(transfer_syntax)
    file = BytesIO()
    dcmwrite(
        file,
        data_set,
        implicit_vr=transfer_syntax == IMPLICIT,
        little_endian=transfer_syntax != BIG_ENDIAN,
        enforce_file_format=True,
    )
    return file.getvalue()


def mixture(count: int, seed: int = 1) -> Iterator[tuple[str, bytes]]:
    """`count` files in turn of every kind: file names and bytes."""
    syntaxes = (EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED, RLE, JPEG_2000, HTJ2K, JPEG_LS)
    for number in range(count):
        turn, own = number % 16, seed * 1_000_000 + number
        if turn < 10:
            data = ct_slice(own, 1 + number % 12, size=32)
            yield f"{number:04}.dcm", transcoded(data, syntaxes[turn % len(syntaxes)])
        elif turn == 10:
            yield f"{number:04}-cine", us_cine(own, frames=2, rows=24, columns=32)
        elif turn == 11:
            yield f"{number:04}-bare", ct_slice(own, size=16)[132:]
        elif turn == 12:
            yield f"{number:04}.nii", _told_apart(nifti_volume(own, size=8), own)
        elif turn == 13:
            volume = _told_apart(nifti_volume(own, size=8), own)
            yield f"{number:04}.nii.gz", gzip.compress(volume, mtime=0)
        else:
            picture = (png_picture, jpeg_picture, gif_picture)[number // 16 % 3]
            yield f"{number:04}.picture", picture(own)


def _told_apart(volume: bytes, number: int) -> bytes:
    """The volume with a description of its own (80 bytes at 148)."""
    return volume[:148] + b"%d" % number + volume[148 + len(b"%d" % number) :]
