"""A header is the same in any chunks, its values are pydicom's, and broken streams are refused."""

from __future__ import annotations

import random
import string
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID

from isocenter.dicom.elements import Element, Limits
from isocenter.dicom.json_model import encode
from isocenter.dicom.part10 import Header, HeaderReader
from isocenter.errors import LimitExceeded, Malformed, Rejected, Unsupported
from isocenter.testing.elements import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
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
from isocenter.testing.hostile import corpus
from isocenter.testing.models import differences, pydicom_model

NATIVE = (EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED)


def read(data: bytes, sizes: tuple[int, ...] = (), limits: Limits | None = None) -> Header:
    """The header of a stream fed in chunks of these sizes, the rest at once."""
    reader = HeaderReader(limits)
    at = 0
    for size in sizes:
        reader.feed(data[at : at + size])
        at += size
    reader.feed(data[at:])
    return reader.finish()


def comparable(header: Header) -> tuple[Any, ...]:
    fragments = header.fragments
    pieces = None
    if fragments is not None:
        pieces = (
            fragments.table,
            fragments.offsets.tobytes(),
            fragments.lengths.tobytes(),
            bytes(fragments.starts),
        )
    return (
        header.meta, header.elements, header.transfer_syntax_uid, header.encoding, header.body_offset,
        header.has_part10_header, header.preamble_is_zero, header.size, pieces, header.warnings,
    )  # fmt: skip


_text = st.text(string.ascii_letters + string.digits + " ^=-.", max_size=16).map(str.strip)
_long_text = st.text(string.printable.replace("\\", "").replace("\x0b", "").replace("\x0c", ""), max_size=300)
_uids = st.lists(st.integers(1, 10**6), min_size=2, max_size=6).map(lambda parts: ".".join(map(str, parts)))
_dates = st.dates().map(lambda day: f"{day.year:04}{day.month:02}{day.day:02}")
_reals = st.floats(allow_nan=False, allow_infinity=False)


def _several(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(values, min_size=1, max_size=4)


# A standard attribute of each VR, so that implicit encodings find it too.
_VALUES: dict[int, tuple[str, st.SearchStrategy[Any]]] = {
    0x00080054: ("AE", _several(_text.filter(bool))),
    0x00101010: ("AS", st.integers(0, 999).map(lambda age: f"{age:03}Y")),
    0x00209165: ("AT", st.integers(0x00080000, 0x7FDFFFFF)),
    0x00080008: ("CS", _several(st.text(string.ascii_uppercase, min_size=1, max_size=16))),
    0x00080020: ("DA", _dates),
    0x00181050: ("DS", _several(st.integers(-(10**9), 10**9).map(str))),
    0x0008002A: ("DT", _dates.map(lambda day: day + "120000")),
    0x00180050: ("DS", st.decimals(-999, 999, places=4).map(lambda number: str(number)[:16])),
    0x00720074: ("FD", _several(_reals)),
    0x00189461: ("FL", _several(st.floats(width=32, allow_nan=False, allow_infinity=False))),
    0x00200013: ("IS", st.integers(-(2**31), 2**31 - 1).map(str)),
    0x00081030: ("LO", _text),
    0x00104000: ("LT", _long_text),
    0x00420011: ("OB", st.binary(max_size=64)),
    0x00720073: ("OD", st.binary(max_size=8).map(lambda data: data * 8)),
    0x00660016: ("OF", st.binary(max_size=8).map(lambda data: data * 4)),
    0x00660040: ("OL", st.binary(max_size=8).map(lambda data: data * 4)),
    0x00720081: ("OV", st.binary(max_size=8).map(lambda data: data * 8)),
    0x00281201: ("OW", st.binary(max_size=40).map(lambda data: data * 2)),
    0x00100010: ("PN", _text.filter(lambda text: text.count("=") < 3)),
    0x00080050: ("SH", _text),
    0x00186020: ("SL", st.integers(-(2**31), 2**31 - 1)),
    0x00189219: ("SS", st.integers(-(2**15), 2**15 - 1)),
    0x00102000: ("LO", _several(_text.filter(bool))),
    0x00400280: ("ST", _long_text),
    0x00720082: ("SV", st.integers(-(2**63), 2**63 - 1)),
    0x00080030: ("TM", st.just("101112")),
    0x00080119: ("UC", _several(_text.filter(bool))),
    0x00081150: ("UI", _uids),
    0x00186016: ("UL", st.integers(0, 2**32 - 1)),
    0x0008010E: ("UR", st.just("urn:oid:1.2.3")),
    0x00280010: ("US", st.integers(0, 2**16 - 1)),
    0x00287FE0: ("UR", st.just("http://a/b")),
    0x0040A160: ("UT", _long_text),
    0x00720083: ("UV", st.integers(0, 2**64 - 1)),
}  # fmt: skip


@st.composite
def data_sets(draw: st.DrawFn, depth: int = 3) -> Dataset:
    """A random Data Set, its sequences nested up to `depth`."""
    data_set = Dataset()
    for tag in draw(st.lists(st.sampled_from(sorted(_VALUES)), max_size=8, unique=True)):
        vr, values = _VALUES[tag]
        data_set.add_new(tag, vr, draw(values))
    if depth:
        for tag in draw(st.lists(st.sampled_from((0x00081140, 0x00081115, 0x00400275)), max_size=2, unique=True)):
            data_set.add_new(tag, "SQ", draw(st.lists(data_sets(depth - 1), max_size=2)))
            data_set[tag].is_undefined_length = draw(st.booleans())
            for each in data_set[tag].value:
                each.is_undefined_length_sequence_item = draw(st.booleans())
    if draw(st.booleans()):
        block = data_set.private_block(0x0009, "ISOCENTER TEST", create=True)
        block.add_new(1, "LO", draw(_text))
    return data_set


def written(data_set: Dataset, syntax: str) -> bytes:
    data_set.file_meta = FileMetaDataset()
    data_set.file_meta.TransferSyntaxUID = UID(syntax)
    data_set.file_meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.7")
    data_set.file_meta.MediaStorageSOPInstanceUID = UID("2.25.1")
    data_set.SOPInstanceUID = "2.25.1"
    file = BytesIO()
    dcmwrite(
        file,
        data_set,
        implicit_vr=syntax == IMPLICIT,
        little_endian=syntax != BIG_ENDIAN,
        enforce_file_format=True,
    )
    return file.getvalue()


@settings(max_examples=150, deadline=None)
@given(data_sets(), st.sampled_from(NATIVE), st.lists(st.integers(1, 400), max_size=30))
def test_any_data_set_reads_the_same_in_any_chunks_and_as_pydicom_reads_it(
    data_set: Dataset, syntax: str, sizes: list[int]
) -> None:
    data = written(data_set, syntax)
    header = read(data)
    assert comparable(read(data, tuple(sizes))) == comparable(header)
    assert header.transfer_syntax_uid == syntax
    found = encode(header.elements, big_endian=header.encoding.big_endian)
    assert found.unreadable == []
    theirs = pydicom_model(dcmread(BytesIO(data)))
    assert differences(found, theirs, big_endian=syntax == BIG_ENDIAN) == []


@settings(max_examples=40, deadline=None)
@given(data_sets(depth=2), st.sampled_from(NATIVE))
def test_any_data_set_reads_the_same_byte_by_byte(data_set: Dataset, syntax: str) -> None:
    data = written(data_set, syntax)
    assert comparable(read(data, (1,) * len(data))) == comparable(read(data))


@settings(max_examples=60, deadline=None)
@given(data_sets(depth=2), st.sampled_from((EXPLICIT, IMPLICIT, BIG_ENDIAN)))
def test_every_offset_leads_to_the_value(data_set: Dataset, syntax: str) -> None:
    data = written(data_set, syntax)

    def check(elements: dict[int, Element]) -> None:
        for _, value, offset, length in elements.values():
            if isinstance(value, bytes):
                assert data[offset : offset + length] == value
            for each in value if isinstance(value, list) else ():
                check(each)

    check(read(data).elements)


@settings(max_examples=100, deadline=None)
@given(data_sets(depth=2), st.sampled_from(NATIVE), st.data())
def test_a_stream_cut_anywhere_is_refused_or_whole_up_to_there(
    data_set: Dataset, syntax: str, draw: st.DataObject
) -> None:
    data = written(data_set, syntax)
    cut = draw.draw(st.integers(0, len(data) - 1))
    try:
        header = read(data[:cut])
    except Rejected:
        return
    whole = read(data)
    assert header.elements.items() <= whole.elements.items()
    assert len(header.elements) < len(whole.elements) or syntax == DEFLATED


@settings(max_examples=150, deadline=None)
@given(data_sets(depth=2), st.sampled_from(NATIVE), st.data())
def test_flipped_bytes_raise_nothing_but_rejections(data_set: Dataset, syntax: str, draw: st.DataObject) -> None:
    data = bytearray(written(data_set, syntax))
    for at in draw.draw(st.lists(st.integers(0, len(data) - 1), min_size=1, max_size=5)):
        data[at] = draw.draw(st.integers(0, 255))
    try:
        header = read(bytes(data))
    except Rejected:
        return
    encode(header.elements, big_endian=header.encoding.big_endian)


def test_every_hostile_file_reads_the_same_in_chunks_or_is_refused_the_same() -> None:
    chance = random.Random(5)
    for file in corpus():
        if len(file.data) > 300_000 or file.name.startswith("deflated/bomb"):
            continue
        sizes = tuple(chance.choice((1, 7, 8, 13, 132, 1000, 4096)) for _ in range(200))
        found = []
        for chunks in ((), sizes):
            try:
                found.append(comparable(read(file.data, chunks)))
            except Rejected as error:
                found.append((type(error), error.code))
        assert found[0] == found[1], file.name


def test_pixel_data_is_passed_over_and_not_kept() -> None:
    data = instance("2.25.1", description(512, 512), native(bytes(512 * 512 * 2)))
    header = read(data, (100,) * 50)
    pixels = header.elements[0x7FE00010]
    assert pixels.value is None
    assert (pixels.offset, pixels.length) == (len(data) - 512 * 512 * 2, 512 * 512 * 2)


@pytest.mark.parametrize("depth", [1, 5, 16])
@pytest.mark.parametrize("undefined", [True, False])
def test_sequences_may_be_nested_up_to_the_limit(depth: int, undefined: bool) -> None:
    def nested(levels: int) -> bytes:
        core = element(0x00081150, "UI", "1.2")
        for _ in range(levels):
            core = sequence(0x00081140, item(core, undefined=undefined), undefined=undefined)
        return instance("2.25.1", core)

    limits = Limits(depth=depth)
    assert read(nested(depth), limits=limits).elements
    with pytest.raises(LimitExceeded) as caught:
        read(nested(depth + 1), limits=limits)
    assert caught.value.code == "too-deep"


def test_elements_are_counted() -> None:
    data = instance("2.25.1", *(short(0x00091000 + n, n) for n in range(100)))
    assert len(read(data, limits=Limits(elements=112)).elements) > 100
    with pytest.raises(LimitExceeded) as caught:
        read(data, limits=Limits(elements=80))
    assert caught.value.code == "too-many-elements"


def test_the_header_is_bounded() -> None:
    data = instance("2.25.1", *(element(0x00091000 + n, "LT", "x" * 1000) for n in range(100)))
    with pytest.raises(LimitExceeded) as caught:
        read(data, limits=Limits(header_bytes=50_000))
    assert caught.value.code == "header-too-large"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (identity("2.25.1"), EXPLICIT),
        (implicit(0x00080018, "2.25.1") + implicit(0x00100010, "A"), IMPLICIT),
        (b"\0\x08\0\x18UI\0\x062.25.1\0\x10\0\x10PN\0\x02A ", BIG_ENDIAN),
    ],
)
def test_the_encoding_of_a_bare_data_set_is_told_from_its_bytes(data: bytes, expected: str) -> None:
    header = read(data)
    assert header.transfer_syntax_uid == expected
    assert not header.has_part10_header
    assert header.body_offset == 0


def test_a_wrong_statement_of_vr_encoding_is_put_right_with_a_warning() -> None:
    data = meta(IMPLICIT, "2.25.1") + identity("2.25.1")
    header = read(data)
    assert header.elements[0x00080018].value == b"2.25.1"
    assert any("disagree" in warning for warning in header.warnings)


def test_a_wrong_statement_of_byte_order_is_refused() -> None:
    with pytest.raises(Malformed) as caught:
        read(meta(BIG_ENDIAN, "2.25.1") + identity("2.25.1"))
    assert caught.value.code == "encoding-mismatch"


def test_an_unknown_transfer_syntax_is_unsupported() -> None:
    with pytest.raises(Unsupported):
        read(meta("1.2.3.4", "2.25.1") + identity("2.25.1"))


def test_a_preamble_that_is_not_zero_is_noted() -> None:
    assert read(instance("2.25.1")).preamble_is_zero
    assert not read(instance("2.25.1", preamble=b"MZ".ljust(128, b"\0"))).preamble_is_zero


def test_fragments_are_found_with_their_places() -> None:
    parts = (b"\xff\xd8ab", b"cdef", b"\xff\x4fgh")
    data = instance(
        "2.25.1",
        description(),
        encapsulated(parts, table=b"\0\0\0\0"),
        transfer_syntax="1.2.840.10008.1.2.4.90",
    )
    fragments = read(data, (7,) * 100).fragments
    assert fragments is not None
    assert fragments.table == b"\0\0\0\0"
    assert [data[o : o + n] for o, n in zip(fragments.offsets, fragments.lengths, strict=True)] == list(parts)
    assert bytes(fragments.starts) == b"\1\0\1"


def test_a_sequence_of_unknown_vr_and_undefined_length_is_read_as_implicit() -> None:
    inside = item(implicit(0x00081150, "1.2\0"), undefined=True)
    data = instance("2.25.1", element(0x00091010, "UN", inside, length=UNDEFINED) + SEQUENCE_END)
    found = read(data).elements[0x00091010]
    assert isinstance(found.value, list)
    assert found.value[0][0x00081150].value == b"1.2\0"


@pytest.mark.parametrize("detail", ["a name that is secret", "1.2.3.4.5.6.7"])
def test_a_refusal_never_repeats_a_value(detail: str) -> None:
    for parts in ((element(0x00100010, "PN", detail),), (element(0x00100010, "PN", detail, length=5000),)):
        data = instance("2.25.1", *parts, b"\xff\xff\xff\xff\xff\xff\xff\xff")
        with pytest.raises(Rejected) as caught:
            read(data)
        assert detail not in caught.value.detail
