"""Values to bytes: each VR as PS3.5 6.2 writes it, and what is wrong told by its Keyword."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from isocenter.dicom.values import decimal_text, inline_binary, value_bytes
from isocenter.errors import Malformed

ROWS, SECRET = 0x00280010, "SECRET^VALUE"


@pytest.mark.parametrize(
    ("vr", "values", "expected"),
    [
        ("US", [1, 65535], b"\1\0\xff\xff"),
        ("SS", [-2], b"\xfe\xff"),
        ("UL", [2**32 - 1], b"\xff\xff\xff\xff"),
        ("SL", [-1], b"\xff\xff\xff\xff"),
        ("UV", ["18446744073709551615", 1], b"\xff" * 8 + b"\1" + bytes(7)),
        ("SV", ["-1"], b"\xff" * 8),
        ("FL", [1.5], b"\0\0\xc0\x3f"),
        ("FD", ["NaN", "inf", "-inf"], bytes.fromhex("000000000000f87f000000000000f07f000000000000f0ff")),
        ("AT", ["00209057", "7fe00010"], b"\x20\0\x57\x90\xe0\x7f\x10\0"),
        ("IS", [1, "-2", 3.0], b"1\\-2\\3"),
        ("DS", [0.1, "1.50", 7], b"0.1\\1.50\\7"),
        ("CS", ["A", None, "B"], b"A\\\\B"),
        ("LO", [None], b""),
        ("UI", ["1.2", "1.3"], b"1.2\\1.3"),
        ("LT", ["a\\b"], b"a\\b"),
        ("LO", ["\u00e9"], b"\xc3\xa9"),
        ("PN", [{"Alphabetic": "A^B", "Ideographic": "\u5c71", "Phonetic": "x"}], b"A^B=\xe5\xb1\xb1=x"),
        ("PN", [{"Alphabetic": "A"}, None, {"Phonetic": "P"}, {}], b"A\\\\==P\\"),
    ],
)  # fmt: skip
def test_values_are_written_as_their_vr_asks(vr: str, values: list[Any], expected: bytes) -> None:
    assert value_bytes(ROWS, vr, values) == expected


@pytest.mark.parametrize(
    ("vr", "values"),
    [
        ("US", [65536]), ("US", [-1]), ("US", [1.5]), ("US", [True]), ("US", [None, 1]), ("US", ["1"]), ("US", SECRET),
        ("FL", [1e39]), ("FD", ["nan?"]), ("FD", [10**400]), ("AT", ["0020"]), ("AT", [209057]), ("IS", [1.5]),
        ("IS", [10**12]), ("DS", [float("nan")]), ("DS", [True]), ("CS", ["\u00e9"]), ("CS", [1]), ("LO", ["a\\b"]),
        ("LT", ["a", "b"]), ("PN", [SECRET]), ("PN", [{"Family": SECRET}]), ("PN", [{"Alphabetic": "a=b"}]),
        ("PN", [{"Alphabetic": 5}]), ("OB", [1]), ("UN", ["x"]), ("LO", ["\ud800"]), ("LO", [{"a": SECRET}]),
    ],
)  # fmt: skip
def test_a_value_of_another_kind_is_refused_by_keyword_and_without_the_value(vr: str, values: Any) -> None:
    with pytest.raises(Malformed) as caught:
        value_bytes(ROWS, vr, values)
    assert "Rows" in caught.value.detail
    assert SECRET not in caught.value.detail


def test_inline_binary_is_base64_of_whole_words() -> None:
    assert inline_binary(ROWS, "OW", base64.b64encode(b"\1\2").decode()) == b"\1\2"
    assert inline_binary(ROWS, "UN", base64.b64encode(b"\1").decode()) == b"\1"
    for vr, text in (("OW", "AQ=="), ("OB", "*"), ("OB", 5), ("OF", "AQI="), ("US", "AQI=")):
        with pytest.raises(Malformed):
            inline_binary(ROWS, vr, text)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1, "1"), (0.5, "0.5"), (-1024.0, "-1024.0"), (1 / 3, "0.33333333333333"), (-1 / 3, "-0.3333333333333"),
        (1e-7, "1e-07"), (123456789012345678, "1.2345678901e+17"), (1e15, "1e+15"),
        (-2 / 3 * 1e-10, "-6.6666666667e-11"),
    ],
)  # fmt: skip
def test_a_decimal_string_is_as_precise_as_16_characters_allow(number: float, text: str) -> None:
    assert decimal_text(number)[:16] == decimal_text(number)
    assert float(decimal_text(number)) == pytest.approx(float(text), rel=1e-9)
