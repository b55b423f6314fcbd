"""The JSON model of every file in pydicom's wheel is pydicom's own, but for differences that are named."""

from __future__ import annotations

import logging
import warnings
from io import BytesIO
from pathlib import Path

import pydicom
import pytest

from isocenter.dicom.json_model import Encoded, encode
from isocenter.dicom.part10 import HeaderReader
from isocenter.errors import Malformed, Rejected
from isocenter.testing.elements import EXPLICIT, element, identity, meta, short
from isocenter.testing.models import differences, pydicom_model

_DATA = Path(pydicom.__file__).parent / "data"


def encoded(data: bytes) -> Encoded:
    reader = HeaderReader()
    reader.feed(data)
    header = reader.finish()
    return encode(header.elements, big_endian=header.encoding.big_endian)


def readable() -> list[Path]:
    """The files in the wheel that both read to their end, by a native Data Set."""
    found = []
    for path in sorted([*_DATA.glob("test_files/**/*"), *_DATA.glob("charset_files/*.dcm")]):
        if not path.is_file() or path.suffix in (".txt", ".json", ".icc", ".gz", ".dump"):
            continue
        try:
            encoded(path.read_bytes())
        except Rejected:
            continue
        found.append(path)
    return found


_DROPPED = "pydicom leaves out what it cannot write, and with it the whole sequence around it"
_UNPARSED = "a sequence written as UN of defined length stays the bytes it is"
# File and path: what differs, and why.
KNOWN = {
    ("badVR.dcm", "00280008"): _DROPPED,
    ("badVR.dcm", "300C0002"): _DROPPED,
    ("rtdose.dcm", "300C0002"): _DROPPED,
    ("rtdose_1frame.dcm", "300C0002"): _DROPPED,
    ("rtdose_expb.dcm", "300C0002"): _DROPPED,
    ("rtdose_expb_1frame.dcm", "300C0002"): _DROPPED,
    ("rtdose_rle.dcm", "300C0002"): _UNPARSED,
    ("rtdose_rle_1frame.dcm", "300C0002"): _UNPARSED,
}


@pytest.mark.parametrize("path", readable(), ids=lambda path: path.name)
def test_the_model_is_that_of_pydicom(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = path.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        caplog.set_level(logging.CRITICAL)
        theirs = pydicom_model(pydicom.dcmread(BytesIO(data), force=True))
    found = differences(encoded(data), theirs, data)
    assert [line for line in found if (path.name, line.partition(" ")[0].rstrip(":")) not in KNOWN] == []


def model(*parts: bytes) -> dict[str, dict[str, object]]:
    return encoded(meta(EXPLICIT, "2.25.1") + b"".join(parts) + short(0x00280010, 1)).model


@pytest.mark.parametrize(
    ("vr", "value", "expected"),
    [
        ("DS", b"1.50\\2\\-3e2", [1.5, 2, -300.0]),
        ("DS", b" 7 ", [7]),
        ("DS", b"text", ["text"]),
        ("DS", b"1\\\\2 ", [1, None, 2]),
        ("IS", b"-12\\+7", [-12, 7]),
        ("IS", b"1.5 ", ["1.5"]),
        ("FD", b"\0\0\0\0\0\0\xf8\x7f", ["NaN"]),
        ("FD", b"\0\0\0\0\0\0\xf0\x7f", ["inf"]),
        ("FD", b"\0\0\0\0\0\0\xf0\xff", ["-inf"]),
        ("FL", b"\0\0\x20\x40", [2.5]),
        ("US", b"\1\0\2\0", [1, 2]),
        ("SS", b"\xff\xff", [-1]),
        ("UV", b"\xff" * 8, [2**64 - 1]),
        ("SV", b"\xff" * 8, [-1]),
        ("AT", b"\x10\0\x20\0", ["00100020"]),
        ("PN", b"A^B=C=D", [{"Alphabetic": "A^B", "Ideographic": "C", "Phonetic": "D"}]),
        ("PN", b"==D ", [{"Phonetic": "D"}]),
        ("PN", b"A\\\\B ", [{"Alphabetic": "A"}, None, {"Alphabetic": "B"}]),
        ("LO", b"a\\ b \\c ", ["a", "b", "c"]),
        ("LT", b"a\\b ", ["a\\b"]),
        ("UI", b"1.2\\3.4\0", ["1.2", "3.4"]),
    ],
)
def test_a_value_becomes_json_as_part_18_says(vr: str, value: bytes, expected: list[object]) -> None:
    assert model(element(0x00091001, vr, value))["00091001"] == {"vr": vr, "Value": expected}


@pytest.mark.parametrize("vr", ["LO", "PN", "DS", "SQ", "OB", "UI", "FD"])
def test_an_empty_value_has_no_value_at_all(vr: str) -> None:
    assert model(element(0x00091001, vr, b""))["00091001"] == {"vr": vr}


@pytest.mark.parametrize(("vr", "value"), [("US", b"\1"), ("FD", b"\1" * 9), ("AT", b"\1" * 3), ("SL", b"\1\2\3")])
def test_bytes_that_do_not_fit_their_vr_are_left_out_and_told(vr: str, value: bytes) -> None:
    found = encoded(meta(EXPLICIT, "2.25.1") + element(0x00091001, vr, value, pad=False) + short(0x00280010, 1))
    assert found.model["00091001"] == {"vr": vr}
    assert found.unreadable == [0x00091001]


def test_binary_values_are_little_endian_whatever_the_file() -> None:
    assert model(element(0x00091001, "OW", b"\1\2"))["00091001"]["InlineBinary"] == "AQI="


def test_what_is_written_as_unknown_but_known_to_us_is_read() -> None:
    frames, pointer = element(0x00280008, "UN", b"7 "), element(0x00280009, "UN", b"\x18\0\x63\x10")
    found = model(identity("2.25.1"), frames, pointer)
    assert found["00280008"] == {"vr": "IS", "Value": [7]}
    assert found["00280009"] == {"vr": "AT", "Value": ["00181063"]}


def test_a_long_value_is_told_by_its_place() -> None:
    found = encoded(meta(EXPLICIT, "2.25.1") + element(0x00091001, "OB", bytes(2000)))
    assert found.model["00091001"] == {"vr": "OB", "BulkDataURI": "00091001"}
    offset, length = found.bulk["00091001"]
    assert (offset, length) == (len(meta(EXPLICIT, "2.25.1")) + 12, 2000)


def test_the_model_of_a_file_of_another_character_set_says_utf_8() -> None:
    found = model(identity("2.25.1", character_set="ISO_IR 100", patient_name=b"\xc4rger"))
    assert found["00080005"]["Value"] == ["ISO_IR 192"]
    assert found["00100010"]["Value"] == [{"Alphabetic": "\xc4rger"}]


def test_a_damaged_file_has_no_model() -> None:
    with pytest.raises(Malformed):
        encoded((_DATA / "test_files" / "MR_truncated.dcm").read_bytes())
