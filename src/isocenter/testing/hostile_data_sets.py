"""Hostile Data Sets: cut, nested, with lengths, headers, values, text and compression that lie."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator
from struct import pack
from typing import Literal, NamedTuple

from isocenter.testing.elements import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    ITEM_END,
    SEQUENCE_END,
    UNDEFINED,
    description,
    element,
    encapsulated,
    identity,
    implicit,
    instance,
    item,
    meta,
    native,
    sequence,
    short,
)
from isocenter.testing.instances import uid

Expectation = Literal["accept", "reject", "either"]
_PIXELS = description() + native(bytes(range(32)))
_REFERENCED = 0x00081140


class Hostile(NamedTuple):
    """One file: its name, its bytes, and what must become of it."""

    name: str
    data: bytes
    expectation: Expectation


def uid_of(name: str) -> str:
    return uid(0, "hostile", name)


def odd(name: str, *parts: bytes, expect: Expectation = "reject", syntax: str = EXPLICIT) -> Hostile:
    """A file with a sound identity, then whatever `parts` say."""
    return Hostile(name, instance(uid_of(name), *parts, transfer_syntax=syntax), expect)


def structure() -> Iterator[Hostile]:
    """Files that end too soon, begin wrong, or hold what belongs elsewhere."""
    noise = random.Random(20).randbytes
    for name, data in (
        ("empty", b""), ("one-byte", b"D"), ("preamble-alone", bytes(128)),
        ("prefix-alone", bytes(128) + b"DICM"),
        ("noise", noise(70_000)), ("noise-after-prefix", bytes(128) + b"DICM" + noise(70_000)),
        ("noise-after-meta", meta(EXPLICIT, "2.25.7") + noise(70_000)),
        ("markup", b"<!doctype html><title>502</title>" * 50), ("pdf", b"%PDF-1.7\n" + noise(900)),
        ("elf", b"\x7fELF" + noise(900)), ("zeros", bytes(100_000)), ("ones", b"\xff" * 100_000),
    ):  # fmt: skip
        yield Hostile(f"structure/{name}", data, "reject")
    whole = instance(uid_of("structure/cut"), element(0x00081030, "LO", "x" * 20), _PIXELS)
    # Elements have even lengths, so that an odd place is always inside one.
    for cut in (133, 137, 145, 161, 171, 201, 251, 301, *range(321, len(whole), 16)):
        yield Hostile(f"structure/cut-at-{cut:03}", whole[:cut], "reject")
    uid_data = identity("2.25.8")
    yield odd("structure/element-twice", element(0x00100020, "LO", "ANOTHER"), _PIXELS)
    yield odd("structure/element-twice-alike", element(0x00100020, "LO", "HOSTILE"), _PIXELS, expect="either")
    yield odd("structure/pixels-twice", _PIXELS, native(bytes(32)), expect="either")
    yield Hostile("structure/out-of-order", meta(EXPLICIT, "2.25.8") + _PIXELS + uid_data, "either")
    yield odd("structure/stray-item-ends", ITEM_END * 300, _PIXELS)
    yield odd("structure/stray-sequence-end", SEQUENCE_END, _PIXELS)
    yield odd("structure/item-at-the-top", item(b"abcd"), _PIXELS)
    yield odd("structure/stray-after-pixels", _PIXELS, ITEM_END * 300, expect="either")
    yield odd("structure/trailing-noise", _PIXELS, noise(5_000), expect="either")
    yield odd("structure/group-two-in-the-body", element(0x00020010, "UI", IMPLICIT), _PIXELS)
    yield odd("structure/group-zero", element(0x00000002, "UI", "1.2"), _PIXELS)
    flood = b"".join(element(0x00091000 + (n // 60_000 << 17) + n % 60_000, "SH", "a") for n in range(400_000))
    yield odd("structure/element-flood", flood)
    yield odd("structure/item-flood", sequence(_REFERENCED, item(b"") * 600_000), expect="either")
    yield odd("structure/backslash-flood", element(0x00091001, "UC", "\\" * 3_000_000), _PIXELS, expect="either")
    yield odd("structure/number-flood", element(0x00091001, "UC", "1\\" * 1_500_000), expect="either")
    yield odd(
        "structure/short-flood",
        *(element(0x00091000 + n, "LT", "y" * 60_000) for n in range(99)),
        expect="either",
    )


def _nested(depth: int, core: bytes) -> bytes:
    for _ in range(depth):
        core = sequence(_REFERENCED, item(core))
    return core


def nesting() -> Iterator[Hostile]:
    """Sequences in sequences: within the limit, one past it, and far past it; and broken ones."""
    opened = element(_REFERENCED, "SQ", b"", length=UNDEFINED) + pack("<HHL", 0xFFFE, 0xE000, UNDEFINED)
    closed = ITEM_END + SEQUENCE_END
    inner = element(0x00081150, "UI", "1.2")
    for depth in (1, 10, 16, 17, 100, 2_000, 100_000):
        expect: Expectation = "accept" if depth <= 16 else "reject"
        yield odd(f"nesting/open-{depth}", opened * depth + inner + closed * depth, _PIXELS, expect=expect)
        if depth <= 2_000:
            yield odd(f"nesting/counted-{depth}", _nested(depth, inner), _PIXELS, expect=expect)
    yield odd("nesting/never-closed", opened * 10)
    yield odd("nesting/never-closed-deep", opened * 100_000)
    yield odd("nesting/empty-open-sequence", element(_REFERENCED, "SQ", b"", length=UNDEFINED))
    yield odd("nesting/private-unknown", _unknown_nested(60))
    for depth in (8, 16):  # pydicom's exception text grows by a factor at each level of these
        yield odd(
            f"nesting/short-value-{depth}",
            _nested(depth, element(0x00280010, "US", b"\1", pad=False)),
            expect="either",
        )
        yield odd(f"nesting/bad-vr-{depth}", _nested(depth, element(0x00280010, "ZZ", b"\1\0")))
    yield odd("nesting/wrong-item-tag", sequence(_REFERENCED, pack("<HHL", 0xFFFE, 0xE001, 4) + b"abcd"))
    yield odd("nesting/element-for-item", sequence(_REFERENCED, inner))
    yield odd("nesting/item-past-sequence", element(_REFERENCED, "SQ", item(b"x" * 8, length=900)))
    yield odd(
        "nesting/element-past-item",
        sequence(_REFERENCED, item(element(0x00081150, "UI", b"1.2.", length=90))),
    )
    yield odd("nesting/sequence-past-item", sequence(_REFERENCED, item(element(0x00081199, "SQ", b"", length=900))))
    yield odd("nesting/half-item-head", element(_REFERENCED, "SQ", b"\xfe\xff\0\xe0"), _PIXELS)


def _unknown_nested(depth: int) -> bytes:
    inside = implicit(0x00091001, b"abcd")
    for _ in range(depth):
        inside = implicit(0x00091010, item(inside, undefined=True), length=UNDEFINED) + SEQUENCE_END
    return element(0x00091010, "UN", item(inside, undefined=True), length=UNDEFINED) + SEQUENCE_END


def lengths() -> Iterator[Hostile]:
    """Values that say they are far longer than the file."""
    for name, size in (("64k", 0xFFFE), ("1g", 1 << 30), ("2g", 0x7FFFFFFE), ("4g", 0xFFFFFFFE)):
        yield odd(f"lengths/unknown-{name}", element(0x00091001, "UN", b"abcd", length=size))
        yield odd(f"lengths/text-{name}", element(0x00091001, "UT", b"abcd", length=size))
        yield odd(f"lengths/pixels-{name}", description(65535, 65535), native(b"abcd", length=size))
        yield odd(f"lengths/sequence-{name}", element(_REFERENCED, "SQ", item(b""), length=size))
        name_data = implicit(0x00100010, b"abcd", length=size)
        whole = meta(IMPLICIT, uid_of(name)) + implicit(0x00080018, uid_of(name)) + name_data
        yield Hostile(f"lengths/implicit-{name}", whole, "reject")
    yield odd("lengths/undefined-text", element(0x00091001, "UT", b"abcd", length=UNDEFINED))
    yield odd("lengths/odd", element(0x00081030, "LO", b"abc", pad=False), _PIXELS, expect="either")
    yield odd(
        "lengths/table-too-large",
        description(),
        encapsulated((b"\0" * 8,), table=bytes(10 << 20)),
        syntax="1.2.840.10008.1.2.5",
    )


def headers() -> Iterator[Hostile]:
    """File Meta Information that lies."""
    body = identity("2.25.9") + _PIXELS
    for name, group_length in (("huge", 0xFFFFFFFF), ("zero", 0), ("short", 10), ("long", 400)):
        yield Hostile(
            f"headers/group-length-{name}",
            meta(EXPLICIT, "2.25.9", group_length=group_length) + body,
            "either",
        )
    yield odd("headers/says-implicit", _PIXELS, syntax=IMPLICIT, expect="either")
    yield odd("headers/says-big-endian", _PIXELS, syntax=BIG_ENDIAN)
    yield odd("headers/says-deflated", _PIXELS, syntax=DEFLATED)
    for name, syntax in (
        ("unknown", "1.2.3.4"),
        ("path", "../../../etc/passwd"),
        ("empty", ""),
        ("nul", "1.2\0.840"),
    ):
        yield odd(f"headers/syntax-{name}", _PIXELS, syntax=syntax, expect="either" if name == "empty" else "reject")
    yield Hostile("headers/other-instance", meta(EXPLICIT, "2.25.10") + identity("2.25.11") + _PIXELS, "either")
    yield Hostile("headers/no-meta", identity("2.25.12") + _PIXELS, "accept")
    yield Hostile("headers/no-preamble", meta(EXPLICIT, "2.25.13")[128:] + identity("2.25.13") + _PIXELS, "accept")
    huge = element(0x00020102, "OB", bytes(3 << 20))
    yield Hostile(
        "headers/huge-private-meta",
        meta(EXPLICIT, "2.25.14") + huge + identity("2.25.14") + _PIXELS,
        "either",
    )
    nested = element(0x00020102, "SQ", item(b""))
    yield Hostile(
        "headers/sequence-in-meta",
        meta(EXPLICIT, "2.25.15") + nested + identity("2.25.15") + _PIXELS,
        "reject",
    )
    yield Hostile("headers/meta-twice", meta(EXPLICIT, "2.25.16") + meta(EXPLICIT, "2.25.16")[132:] + body, "reject")
    for name in ("sop_class", "sop_instance", "study", "series"):
        missing = identity("2.25.17", **{name: None})
        yield Hostile(f"headers/without-{name}", meta(EXPLICIT, "2.25.17") + missing + _PIXELS, "reject")


_VALUES: tuple[tuple[str, bytes], ...] = (
    ("DS", b"1e999999"), ("DS", b"nan"), ("DS", b"inf"), ("DS", b"-" * 16), ("DS", b"1_000"),
    ("DS", b"\xff" * 16),
    ("IS", b"9" * 400), ("IS", b"0x10"), ("IS", b"1_0"), ("IS", b"2147483648"),
    ("IS", "\u0661\u0662".encode()),
    ("DA", b"99999999"), ("DA", b"20240230"), ("TM", b"999999.999"), ("DT", b"x" * 26), ("AS", b"-1Y "),
    ("UI", b"1..2"), ("UI", b"-1.2"), ("UI", b"9" * 66), ("UI", b"1.2\0.3"), ("UI", b"1.2\n3 "),
    ("CS", b"lower case " * 20), ("PN", b"=" * 500), ("PN", b"^" * 500), ("PN", b"\\" * 500),
    ("PN", b"a=b=c=d=e=f"),
    ("FD", b"\xff" * 8), ("FD", b"\x01"), ("FL", b"\0\0\xc0\x7f"), ("FL", b"\0\0\x80\x7f"),
    ("AT", b"\1" * 3),
    ("US", b"\1"), ("SV", b"\xff" * 8), ("UV", b"\xff" * 8), ("OD", b"\0" * 7), ("OF", b"\0" * 3),
    ("SS", b"\xff" * 5),
    ("UR", b"javascript:alert(1)"), ("LO", b"\0" * 64), ("UC", b"\0"), ("AE", b"\x1b[2J\r\n"),
)  # fmt: skip


def values() -> Iterator[Hostile]:
    """Values that do not fit their VR, and VRs that do not exist."""
    for number, (vr, value) in enumerate(_VALUES):
        part = element(0x00090010, "LO", "MAKER") + element(0x00091001, vr, value, pad=False)
        yield odd(f"values/{vr.lower()}-{number:02}", part, _PIXELS, expect="either")
    for name, code in (("unknown", b"ZZ"), ("nul", b"\0\0"), ("lower", b"us"), ("space", b"  ")):
        yield odd(f"values/vr-{name}", pack("<HH", 9, 0x1001) + code + b"\4\0abcd", _PIXELS)
    for name, value in (
        ("empty", b""), ("letters", b"abc"), ("path", b"../../../../etc/passwd"), ("long", b"1." * 40),
        ("nul", b"1.2\0.3"),
        ("newline", b"1.2\n.3"), ("markup", b"1.2<script>"), ("quote", b"1.2' OR '1'='1"),
        ("two", b"1.2\\1.3"),
        ("percent", b"1.2%2e%2e"), ("arabic", "\u0661.\u0662".encode()),
    ):  # fmt: skip
        body = identity("2.25.18", sop_instance=value) + _PIXELS
        yield Hostile(f"values/instance-uid-{name}", meta(EXPLICIT, "2.25.18") + body, "reject")
        body = identity("2.25.19", study=value) + _PIXELS
        yield Hostile(f"values/study-uid-{name}", meta(EXPLICIT, "2.25.19") + body, "reject")
    name_data = implicit(0x00100010, "A^" * 500_000) + implicit(0x00080018, "2.25.20")
    yield Hostile("values/name-of-a-megabyte", meta(IMPLICIT, "2.25.20") + name_data, "reject")


INJECTIONS = (
    "'; DROP TABLE images; --", "<script>window.hit=1</script>", "<img src=x onerror=hit()>",
    "{{7*7}}${7*7}",
    "$(touch /tmp/isocenter-hit)", "`id`", "../../../../tmp/isocenter-hit", "..\\..\\hit", "%2e%2e%2fhit",
    "a\r\nSet-Cookie: hit=1", "a\0b", "\u202egnp.exe", "=HYPERLINK(\"http://hit\")",
    "%n%s%x" * 5, "\x1b]0;hit\x07",
    "\ufeff", "null", "NaN", "\U0001f480" * 8, "a" * 5_000, "\ud800".encode("utf-8",
    "surrogatepass").decode("latin-1"),
)  # fmt: skip


def text() -> Iterator[Hostile]:
    """Text that means something to a shell, a database, a browser, a log or a terminal; and charset junk."""
    for number, attack in enumerate(INJECTIONS):
        name = f"text/injection-{number:02}"
        body = identity(
            uid_of(name), character_set="ISO_IR 192", patient_name=attack.encode(), patient_id=attack.encode()
        )
        more = element(0x00080050, "SH", attack.encode()) + element(0x00081030, "LO", attack.encode())
        yield Hostile(name, meta(EXPLICIT, uid_of(name)) + body + more + _PIXELS, "either")
    junk = random.Random(21).randbytes(200)
    for number, terms in enumerate(
        (
            "ISO_IR 999", "NOPE", "\\ISO 2022 IR 87", "ISO 2022 IR 13\\ISO 2022 IR 87\\ISO 2022 IR 159",
            "GB18030",
            "GBK", "ISO_IR 192\\ISO_IR 100", "\\" * 500, "utf-8", "ISO 2022 IR 58", "ISO_IR 13",
            "x" * 2_000,
            "rot13", "unicode_escape", "zlib_codec", "../../etc", "ISO 2022 IR 149",
        )
    ):  # fmt: skip
        for kind, value in (
            ("junk", junk),
            ("escapes", b"\x1b$B\x1b(J\x1b$)C\x1b" + b"\x1b" * 50),
            ("high", b"\xff\xfe" * 90),
        ):
            name = f"text/charset-{number:02}-{kind}"
            body = identity(uid_of(name), character_set=terms, patient_name=value[:60], patient_id=value[:60])
            yield Hostile(
                name,
                meta(EXPLICIT, uid_of(name)) + body + element(0x00104000, "LT", value) + _PIXELS,
                "either",
            )


def _deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def zeros(size: int) -> bytes:
    """`size` zeros (a multiple of 1 MiB) as deflate blocks that may stand anywhere before the last block."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return (packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)) * (size >> 20)


def bomb(head: bytes, size: int) -> bytes:
    """`head` and then `size` zeros, deflated; made without holding them."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    start = packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)
    return start + zeros(size) + packer.flush()


def deflated() -> Iterator[Hostile]:
    """Deflated Data Sets: sound, cut, damaged, and ones that inflate beyond all measure."""
    own = uid_of("deflated/sound")
    head, good = meta(DEFLATED, own), _deflate(identity(own) + _PIXELS)
    yield Hostile("deflated/sound", head + good, "accept")
    yield Hostile("deflated/cut", head + good[:-9], "reject")
    yield Hostile("deflated/damaged", head + good[:20] + b"\xff\xff\xff" + good[23:], "reject")
    yield Hostile("deflated/nothing", head, "reject")
    yield Hostile("deflated/zlib-wrapped", head + zlib.compress(identity(own) + _PIXELS), "reject")
    yield Hostile("deflated/trailing", head + good + b"trailing" * 100, "either")
    head, body = meta(DEFLATED, uid_of("deflated")), identity(uid_of("deflated"))
    size = 1200 << 20
    yield Hostile(
        "deflated/bomb-in-pixels",
        head + bomb(body + description(65535, 8000) + native(b"", length=size), size),
        "reject",
    )
    yield Hostile("deflated/bomb-of-zeros", head + bomb(b"", 300 << 20), "reject")
    yield Hostile(
        "deflated/bomb-in-text",
        head + bomb(body + element(0x00091001, "UT", b"", length=200 << 20), 200 << 20),
        "either",
    )
    yield Hostile(
        "deflated/bomb-after-the-end",
        head + bomb(body + short(0x00280010, 1) + native(b""), 1300 << 20),
        "reject",
    )
