"""Addresses of attributes in every spelling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.dicom.tag_path import parse
from isocenter.errors import BadRequest


@pytest.mark.parametrize(
    "text", ["(0010,0010)", "00100010", "0010,0010", "(0010, 0010)", "PatientName", " PatientName "]
)
def test_one_attribute_has_many_spellings(text: str) -> None:
    assert parse(text).tag == 0x00100010
    assert parse(text).through == ()


@pytest.mark.parametrize(
    ("text", "item"),
    [
        ("ReferencedImageSequence.ReferencedSOPInstanceUID", 0),
        ("ReferencedImageSequence.2.ReferencedSOPInstanceUID", 2),
        ("ReferencedImageSequence[2].ReferencedSOPInstanceUID", 2),
        ("(0008,1140)[2].(0008,1155)", 2),
        ("00081140.00081155", 0),
        ("00081140.00002.00081155", 2),
    ],
)
def test_a_path_goes_through_sequences(text: str, item: int) -> None:
    path = parse(text)
    assert path.through == ((0x00081140, item),)
    assert path.tag == 0x00081155
    assert path.name == f"00081140/{item}/00081155"


@pytest.mark.parametrize(
    "text",
    [
        "", ".", "..", "PatientNames", "patientname", "0010001", "(0010,001)", "0010 0010 0010",
        "PatientName.",
        "A[B]", "PatientName[x]",
        "'; DROP TABLE", "<script>", "0010\n0010", "\uff100100010", "x" * 500,
        ".".join(["ReferencedImageSequence"] * 30),
    ],
)  # fmt: skip
def test_anything_else_is_a_bad_request_that_does_not_repeat_it(text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse(text)
    assert len(text) < 3 or text not in caught.value.detail


@given(st.text(max_size=60))
def test_no_text_does_anything_worse(text: str) -> None:
    try:
        path = parse(text)
    except BadRequest:
        return
    assert 0 <= path.tag <= 0xFFFFFFFF
