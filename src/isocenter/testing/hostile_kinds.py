"""Hostile files that are not DICOM, or not DICOM alone: volumes, pictures, polyglots, gzip and ZIP."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from struct import pack, pack_into

from isocenter.testing.elements import EXPLICIT, description, identity, instance, meta, native
from isocenter.testing.hostile_data_sets import Expectation, Hostile, bomb, uid_of
from isocenter.testing.instances import gif_picture, jpeg_picture, nifti_volume, png_picture

_BODY = description() + native(bytes(32))


def nifti(
    dim: tuple[int, ...] = (3, 4, 4, 2),
    *,
    datatype: int = 4,
    bits: int = 16,
    offset: float = 352.0,
    magic: bytes = b"n+1\0",
    size: int = 348,
    extension: bytes = bytes(4),
    data: bytes | None = None,
    slope: float = 1.0,
    codes: tuple[int, int] = (0, 1),
) -> bytes:
    """A NIfTI-1 file byte by byte."""
    head = bytearray(348)
    pack_into("<l", head, 0, size)
    pack_into("<8h", head, 40, *(dim + (1,) * 8)[:8])
    pack_into("<hh", head, 70, datatype, bits)
    pack_into("<8f", head, 76, *(1.0,) * 8)
    pack_into("<fff", head, 108, offset, slope, 0.0)
    pack_into("<hh", head, 252, *codes)
    for row in range(3):
        pack_into("<4f", head, 280 + 16 * row, *(float(column == row) for column in range(4)))
    head[344:348] = magic
    return bytes(head) + extension + (bytes(64) if data is None else data)


def volumes() -> Iterator[Hostile]:
    """NIfTI headers that lie (https://nifti.nimh.nih.gov/nifti-1)."""
    cases: tuple[tuple[str, bytes, Expectation], ...] = (
        ("sound", nifti_volume(), "accept"),
        ("largest", nifti((7, *(32767,) * 7)), "reject"),
        ("negative", nifti((3, -1, -4, 4)), "reject"),
        ("nine-dimensions", nifti((9, 2, 2, 2)), "reject"),
        ("minus-dimensions", nifti((-3, 2, 2, 2)), "reject"),
        ("no-voxels", nifti((3, 0, 0, 0)), "either"),
        ("offset-far", nifti(offset=3.4e38), "reject"),
        ("offset-negative", nifti(offset=-352.0), "either"),
        ("offset-nan", nifti(offset=float("nan")), "either"),
        ("offset-infinite", nifti(offset=float("inf")), "reject"),
        ("slope-nan", nifti(slope=float("nan")), "either"),
        ("unknown-datatype", nifti(datatype=9999), "reject"),
        ("bits-lie", nifti(bits=1), "either"),
        ("bad-magic", nifti(magic=b"abcd"), "reject"),
        ("pair", nifti(magic=b"ni1\0"), "either"),
        ("short", nifti((3, 64, 64, 64)), "reject"),
        ("cut", nifti()[:200], "reject"),
        ("other-size", nifti(size=540), "reject"),
        ("extension-huge", nifti(extension=b"\1\0\0\0" + pack("<ll", 0x7FFFFFFF, 6)), "either"),
        (
            "extension-of-nothing",
            nifti(offset=400, extension=b"\1\0\0\0" + pack("<ll", 0, 6), data=bytes(200)),
            "either",
        ),
        (
            "extension-negative",
            nifti(offset=400, extension=b"\1\0\0\0" + pack("<ll", -16, 6), data=bytes(200)),
            "either",
        ),
        ("codes-odd", nifti(codes=(99, -5)), "either"),
        ("complex", nifti(datatype=32, bits=64, data=bytes(256)), "either"),
        ("float128", nifti(datatype=1536, bits=128, data=bytes(512)), "either"),
    )
    for name, data, expect in cases:
        yield Hostile(f"volumes/{name}", data, expect)
    whole = nifti()
    for name, data, expect in (
        ("gzip-sound", gzip.compress(whole, mtime=0), "accept"),
        (
            "gzip-two-members",
            gzip.compress(whole[:100], mtime=0) + gzip.compress(whole[100:], mtime=0),
            "accept",
        ),
        ("gzip-cut", gzip.compress(whole, mtime=0)[:50], "reject"),
        ("gzip-bad-sum", gzip.compress(whole, mtime=0)[:-8] + bytes(8), "reject"),
        ("gzip-of-text", gzip.compress(b"text " * 1000, mtime=0), "reject"),
        ("gzip-of-gzip", gzip.compress(gzip.compress(whole, mtime=0), mtime=0), "reject"),
        ("gzip-bomb", gzip_bomb(nifti((4, 1024, 1024, 600), data=b""), 1200 << 20), "reject"),
        ("gzip-empty-members", gzip.compress(b"", mtime=0) * 50_000, "reject"),
    ):
        yield Hostile(f"volumes/{name}", data, "accept" if expect == "accept" else "reject")


def gzip_bomb(head: bytes, size: int) -> bytes:
    """The sum at the end is wrong: nobody should come as far."""
    return gzip.compress(b"", mtime=0)[:10] + bomb(head, size) + bytes(8)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return pack(">L", len(data)) + kind + data + pack(">L", zlib.crc32(kind + data))


def pictures() -> Iterator[Hostile]:
    """PNG, JPEG and GIF: sound, cut, and of a size that no memory holds."""
    for name, data in (("png", png_picture()), ("jpeg", jpeg_picture()), ("gif", gif_picture())):
        yield Hostile(f"pictures/{name}-sound", data, "accept")
        for part in (4, 12, 24, len(data) // 2):
            yield Hostile(f"pictures/{name}-cut-{part}", data[:part], "either")
        yield Hostile(f"pictures/{name}-trailing", data + b"PK\3\4" + bytes(2000), "either")
    signature = b"\x89PNG\r\n\x1a\n"
    for name, size in (("largest", 0x7FFFFFFF), ("beyond", 0xFFFFFFFF), ("none", 0)):
        head = _chunk(b"IHDR", pack(">LLBBBBB", size, size, 16, 6, 0, 0, 0))
        data = signature + head + _chunk(b"IDAT", zlib.compress(bytes(1000))) + _chunk(b"IEND", b"")
        yield Hostile(f"pictures/png-{name}", data, "either")
    head = _chunk(b"IHDR", pack(">LLBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0))
    squeezed = zlib.compress(bytes(100 << 20), 1)
    text = _chunk(b"zTXt", b"k\0\0" + squeezed)
    yield Hostile("pictures/png-bomb", signature + head + _chunk(b"IDAT", squeezed) + _chunk(b"IEND", b""), "either")
    yield Hostile("pictures/png-text-bomb", signature + head + text + _chunk(b"IEND", b""), "either")
    yield Hostile(
        "pictures/gif-largest",
        b"GIF89a" + pack("<HHBBB", 65535, 65535, 0x80, 0, 0) + bytes(6) + b";",
        "either",
    )
    yield Hostile("pictures/jpeg-endless-segments", b"\xff\xd8" + b"\xff\xe1\0\2" * 400_000, "reject")


def polyglots() -> Iterator[Hostile]:
    """Programs and pages in the preamble of sound instances, which DICOMweb never hands out."""
    for name, start in (
        ("exe", b"MZ" + bytes(58) + pack("<L", 0x80)), ("elf", b"\x7fELF\2\1\1"),
        ("script", b"#!/bin/sh\ntouch /tmp/hit\n"),
        ("markup", b"<script>hit()</script>"), ("pdf", b"%PDF-1.4\n"), ("tiff", b"II*\0\x08\0\0\0"),
        ("gif", b"GIF89a"), ("png", b"\x89PNG\r\n\x1a\n"), ("zip", b"PK\3\4"), ("gzip", b"\x1f\x8b\x08"),
        ("nifti", pack("<l", 348)),
    ):  # fmt: skip
        full = f"polyglots/{name}"
        yield Hostile(full, instance(uid_of(full), _BODY, preamble=start.ljust(128, b"\0")), "accept")


def _zip(*files: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    found = io.BytesIO()
    with zipfile.ZipFile(found, "w", method) as archive:
        for name, data in files:
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return found.getvalue()


def packed() -> Iterator[Hostile]:
    """ZIP archives at a door that takes single images."""
    for name, data in archives():
        yield Hostile(f"zip/{name}", data, "reject")


def _sound(name: str) -> bytes:
    return meta(EXPLICIT, uid_of(name)) + identity(uid_of(name)) + _BODY


def archives() -> Iterator[tuple[str, bytes]]:
    """Hostile ZIP archives for `isocenter ingest`; the members that are sound are called "sound"."""
    sound = _sound("zip")
    yield (
        "escape.zip",
        _zip(("../../../../tmp/isocenter-hit", sound), ("/tmp/isocenter-hit", sound), ("C:\\hit", sound)),
    )
    yield "bomb.zip", _zip_of_one(bomb(b"", 1100 << 20), 1100 << 20)
    image = meta(EXPLICIT, "2.25.30") + identity("2.25.30") + native(b"", length=0xFFFFFFFE)
    yield "image-bomb.zip", _zip_of_one(bomb(image, 300 << 20), len(image) + (300 << 20))
    yield "nested.zip", _zip(("inner.zip", _zip(("innermost.zip", _zip(("sound", sound))))))
    yield (
        "names.zip",
        _zip(("a\0b", sound), ("\u202e", sound), ("x" * 60_000, sound), ("con", b""), (" ", b"junk")),
    )
    yield "overlapping.zip", _overlapping(sound, 2_000)
    yield "many-empty.zip", _many_empty(100_000)
    whole = _zip(("sound", sound), ("second", _sound("zip-2")))
    yield "cut.zip", whole[: len(whole) - 30]
    yield "wrong-sum.zip", whole.replace(pack("<L", zlib.crc32(sound)), bytes(4))
    yield "encrypted.zip", whole.replace(b"PK\1\2\x14\3\x14\0\0\0", b"PK\1\2\x14\3\x14\0\1\0")
    yield "lzma.zip", _zip(("sound", sound), method=zipfile.ZIP_LZMA)
    yield "bzip2.zip", _zip(("sound", sound), method=zipfile.ZIP_BZIP2)
    yield (
        "directory-lies.zip",
        whole[:-22] + pack("<4s4H2LH", b"PK\5\6", 0, 0, 65535, 65535, 0xFFFFFFF0, 0, 0),
    )
    yield "no-directory.zip", b"PK\3\4" + bytes(5_000)


def _overlapping(data: bytes, count: int) -> bytes:
    """One member that the directory lists many times."""
    whole = _zip(("a", data))
    at = whole.index(b"PK\1\2")
    entry, end = whole[at:-22], len(whole) - 22
    entries = b"".join(entry[:46] + entry[46:47].replace(b"a", b"%c" % (33 + n % 90)) for n in range(count))
    return whole[:at] + entries + pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(entries), end - len(entry), 0)


def _zip_of_one(squeezed: bytes, size: int) -> bytes:
    """A member that inflates to `size` bytes; its sum is wrong, which nobody should come to see."""
    name = b"bomb.dcm"
    head = pack("<5H3L2H", 20, 0, 8, 0, 0x21, 0, len(squeezed), size, len(name), 0)
    local = b"PK\3\4" + head + name + squeezed
    central = b"PK\1\2" + pack("<H", 20) + head + pack("<HHHLL", 0, 0, 0, 0, 0) + name
    return local + central + pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(central), len(local), 0)


def _many_empty(count: int) -> bytes:
    local, central, at = [], [], 0
    for number in range(count):
        name = b"%06d" % number
        head = pack("<5H3L2H", 20, 0, 0, 0, 0x21, 0, 0, 0, len(name), 0)
        local.append(b"PK\3\4" + head + name)
        central.append(b"PK\1\2" + pack("<H", 20) + head + pack("<HHHLL", 0, 0, 0, 0, at) + name)
        at += len(local[-1])
    directory = b"".join(central)
    stated = min(count, 65535)
    end = pack("<4s4H2LH", b"PK\5\6", 0, 0, stated, stated, len(directory), at, 0)
    return b"".join(local) + directory + end
