"""Hostile pixel data: descriptions that do not fit, fragments that lie, codestreams that explode."""

from __future__ import annotations

from collections.abc import Iterator
from struct import pack

from isocenter.testing.elements import (
    EXPLICIT,
    HTJ2K,
    JPEG,
    JPEG_2000,
    JPEG_LOSSLESS,
    JPEG_LS,
    RLE,
    UNDEFINED,
    description,
    element,
    encapsulated,
    item,
    native,
    sequence,
    short,
)
from isocenter.testing.hostile_data_sets import Hostile, odd


def lies() -> Iterator[Hostile]:
    """Native pixel data under descriptions that do not fit, and look-up tables out of bounds."""
    few, sound = native(bytes(64)), description() + native(bytes(32))
    yield odd("pixels/largest-frame", description(65535, 65535), few)
    yield odd("pixels/most-frames", description(512, 512, frames="2147483647"), few)
    for name, frames in (
        ("negative", "-1"),
        ("text", "ten"),
        ("zero", "0"),
        ("many-digits", "9" * 300),
        ("two", "1\\2"),
    ):
        yield odd(f"pixels/frames-{name}", description(frames=frames), few, expect="either")
    yield odd("pixels/no-rows", description(0, 0), native(b""), expect="either")
    for bits in (0, 1, 7, 12, 13, 24, 65535):
        yield odd(f"pixels/bits-{bits}", description(bits=bits, stored=min(bits, 16)), few, expect="either")
    yield odd("pixels/stored-above-allocated", description(bits=8, stored=16), few, expect="either")
    yield odd(
        "pixels/samples-65535",
        description(64, 64, bits=8, samples=65535, photometric="RGB"),
        few,
        expect="either",
    )
    yield odd("pixels/photometric-markup", description(bits=8, photometric="<script>"), few, expect="either")
    yield odd("pixels/rows-as-text", element(0x00280010, "LO", "many"), few, expect="either")
    yield odd("pixels/rows-as-long", element(0x00280010, "UL", pack("<L", 0x80000001)), few, expect="either")
    yield odd("pixels/no-description", few, expect="either")
    yield odd("pixels/empty", description(), native(b""), expect="either")
    yield odd("pixels/one-short", description(), native(bytes(30)))
    yield odd("pixels/far-too-long", description(), native(bytes(100_000)), expect="either")
    yield odd("pixels/three-kinds", sound[:-44], element(0x7FE00008, "OF", bytes(64)), few, expect="either")
    yield from _looks(few)


def _looks(few: bytes) -> Iterator[Hostile]:
    """Windows, rescaling and look-up tables out of bounds."""
    sound = description() + native(bytes(32))
    yield odd(
        "pixels/window-of-none",
        element(0x00281050, "DS", "40"),
        element(0x00281051, "DS", "0"),
        sound,
        expect="either",
    )
    yield odd(
        "pixels/window-nan",
        element(0x00281050, "DS", "nan"),
        element(0x00281051, "DS", "inf"),
        sound,
        expect="either",
    )
    yield odd(
        "pixels/rescale-overflows",
        element(0x00281052, "DS", "1e300"),
        element(0x00281053, "DS", "1e300"),
        sound,
        expect="either",
    )
    palette = [short(tag, 4, 0, 16) for tag in (0x00281101, 0x00281102, 0x00281103)]
    palette += [element(tag, "OW", bytes(8)) for tag in (0x00281201, 0x00281202, 0x00281203)]
    indices = native(b"\xff" * 16, vr="OB")
    yield odd(
        "pixels/palette-index-outside",
        description(bits=8, photometric="PALETTE COLOR"),
        *palette,
        indices,
        expect="either",
    )
    yield odd("pixels/palette-missing", description(bits=8, photometric="PALETTE COLOR"), indices, expect="either")
    table = item(short(0x00283002, 0, 0, 16) + element(0x00283006, "OW", bytes(2)))
    yield odd("pixels/voi-table-short", sequence(0x00283010, table), sound, expect="either")


def _rle(offsets: tuple[int, ...], body: bytes, *, count: int | None = None) -> bytes:
    words = (len(offsets) if count is None else count, *offsets)
    return pack(f"<{len(words)}L", *words).ljust(64, b"\0") + body


def _j2k(width: int, height: int, *, tile: tuple[int, int] | None = None, components: int = 1) -> bytes:
    """A JPEG 2000 codestream with main header and one empty tile part (ISO/IEC 15444-1 Annex A)."""
    tile_width, tile_height = tile or (width, height)
    sizes = (width, height, 0, 0, tile_width, tile_height, 0, 0)
    size = pack(">HH8LH", 38 + 3 * components, 0, *sizes, components) + b"\x0f\x01\x01" * components
    coding = pack(">HBBHBBBBBB", 12, 0, 0, 1, 0, 5, 4, 4, 0, 1)
    quantisation = pack(">HB", 19, 0x40) + b"\x80" * 16
    tile_part = b"\xff\x90" + pack(">HHLBB", 10, 0, 0, 0, 1) + b"\xff\x93" + bytes(32)
    return b"\xff\x4f\xff\x51" + size + b"\xff\x52" + coding + b"\xff\x5c" + quantisation + tile_part + b"\xff\xd9"


def _jpeg(width: int, height: int, *, marker: int = 0xC0, bits: int = 8, scans: int = 1) -> bytes:
    """A JPEG with a frame header of that size and scans of nothing (ITU-T T.81 Annex B)."""
    frame = b"\xff" + bytes((marker,)) + pack(">HBHHB", 11, bits, height, width, 1) + b"\x01\x11\0"
    huffman = b"\xff\xc4" + pack(">H", 20) + b"\0\1" + bytes(16)
    quantisation = b"\xff\xdb" + pack(">H", 67) + b"\0" + b"\1" * 64
    scan = b"\xff\xda" + pack(">HB", 8, 1) + b"\1\0\1\0\0" + bytes(8)
    return b"\xff\xd8" + quantisation + frame + huffman + scan * scans + b"\xff\xd9"


def codestreams() -> Iterator[Hostile]:
    """Encapsulated pixel data (PS3.5 A.4) that does not hold what it says."""
    small = description()

    def made(
        name: str,
        syntax: str,
        *fragments: bytes,
        head: bytes = small,
        table: bytes = b"",
        closed: bool = True,
    ) -> Hostile:
        return odd(name, head, encapsulated(fragments, table=table, closed=closed), syntax=syntax, expect="either")

    yield made("codes/rle-bomb", RLE, _rle((64,), b"\x81\0" * 120_000), head=description(65535, 65535, bits=8))
    plane = b"\x81\0" * 131_072
    many = tuple(_rle((64, 64 + len(plane)), plane + plane) for _ in range(12))
    yield made("codes/rle-many-large-frames", RLE, *many, head=description(4096, 4096, frames="12"))
    yield made("codes/rle-segment-outside", RLE, _rle((64, 0xFFFFFF00), b"\0\1\2\3"))
    yield made("codes/rle-most-segments", RLE, _rle((), b"", count=0xFFFFFFFF))
    yield made("codes/rle-short", RLE, _rle((64, 66), b"\0\1\0\1"), head=description(512, 512))
    yield made("codes/empty-fragment", RLE, b"")
    yield made("codes/no-fragment", RLE)
    yield made("codes/never-closed", RLE, _rle((64, 66), b"\x0f\0\x0f\0"), closed=False)
    for name, size in (
        ("largest", (65535, 65535)),
        ("beyond", (0x7FFFFFFF, 0x7FFFFFFF)),
        ("other", (4096, 4096)),
        ("none", (0, 0)),
    ):
        yield made(f"codes/j2k-{name}", JPEG_2000, _j2k(*size))
        yield made(f"codes/htj2k-{name}", HTJ2K, _j2k(*size))
    yield made(
        "codes/j2k-billions-of-tiles",
        JPEG_2000,
        _j2k(60_000, 60_000, tile=(1, 1)),
        head=description(60_000, 60_000),
    )
    yield made("codes/j2k-no-tile-size", JPEG_2000, _j2k(4, 4, tile=(0, 0)))
    yield made("codes/j2k-components", JPEG_2000, _j2k(512, 512, components=16_384), head=description(512, 512))
    yield made("codes/j2k-cut", JPEG_2000, _j2k(4, 4)[:60])
    for name, marker, bits, syntax in (
        ("jpeg", 0xC0, 8, JPEG),
        ("lossless", 0xC3, 16, JPEG_LOSSLESS),
        ("ls", 0xF7, 16, JPEG_LS),
    ):
        for width in (0, 4, 65_500):
            head = description(width or 4, width or 4, bits=bits)
            yield made(f"codes/{name}-{width}", syntax, _jpeg(width, width, marker=marker, bits=bits), head=head)
    scans = _jpeg(2000, 2000, marker=0xC2, scans=15_000)
    yield made("codes/jpeg-scans", JPEG, scans, head=description(2000, 2000, bits=8))
    yield from _fragments(small)


def _fragments(small: bytes) -> Iterator[Hostile]:
    """Offset tables and items that lie."""
    frame = _rle((64, 66), b"\x0f\0\x0f\0")
    two = description(frames="2")
    for name, table in (
        ("outside", pack("<LL", 0, 0xFFFFFF00)), ("backwards", pack("<LL", 80, 0)), ("odd", b"\0\0\0\0\1\1"),
        ("same", pack("<LL", 0, 0)), ("many", pack("<9L", *range(9))),
    ):  # fmt: skip
        yield odd(f"codes/table-{name}", two, encapsulated((frame, frame), table=table), syntax=RLE, expect="either")
    extended = element(0x7FE00001, "OV", pack("<QQ", 0, 1 << 60)) + element(0x7FE00002, "OV", pack("<QQ", 1 << 60, 1))
    yield odd(
        "codes/extended-table-outside",
        two,
        extended,
        encapsulated((frame, frame)),
        syntax=RLE,
        expect="either",
    )
    yield odd("codes/frames-missing", description(frames="900"), encapsulated((frame,)), syntax=RLE)
    yield odd("codes/fragment-flood", small, encapsulated((b"",) * 250_000), syntax=JPEG, expect="either")
    yield odd(
        "codes/fragment-undefined",
        small,
        element(0x7FE00010, "OB", item(b"") + item(b"", length=UNDEFINED), length=UNDEFINED),
        syntax=RLE,
    )
    yield odd(
        "codes/fragment-too-long",
        small,
        element(0x7FE00010, "OB", item(b"") + item(b"ab", length=1 << 30), length=UNDEFINED),
        syntax=RLE,
    )
    yield odd(
        "codes/element-for-fragment",
        small,
        element(0x7FE00010, "OB", item(b"") + short(0x00280010, 1), length=UNDEFINED),
        syntax=RLE,
    )
    yield odd("codes/encapsulated-under-native", small, encapsulated((frame,)), syntax=EXPLICIT)
    yield odd("codes/native-under-encapsulated", small, native(bytes(32)), syntax=RLE)
    yield odd(
        "codes/video-noise",
        small,
        encapsulated((b"\0\0\1\xb3" * 50,)),
        syntax="1.2.840.10008.1.2.4.100",
        expect="either",
    )
