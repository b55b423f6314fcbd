"""Accept headers, kind ones and others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.web.negotiation import accepted, prefers

JSON, DICOM = "application/dicom+json", "application/dicom"


@pytest.mark.parametrize(
    ("header", "chosen"),
    [
        (None, JSON), ("", JSON), ("*/*", JSON), ("application/*", JSON), ("image/*", "image/png"),
        ("application/dicom", DICOM), ("APPLICATION/DICOM", DICOM), ("text/html", None),
        ("image/png;q=0", None),
        ("application/dicom+json;q=0.5, image/png", "image/png"), ("image/png; q=1.5", None),
        ("image/png;q=x, application/dicom;q=0.1", DICOM), ("text/html, */*;q=0.1", JSON), (", ,", None),
        ("image/png;q=nan", None),
    ],
)  # fmt: skip
def test_the_best_of_what_there_is_is_chosen(header: str | None, chosen: str | None) -> None:
    assert prefers(header, (JSON, DICOM, "image/png")) == chosen


def test_a_quoted_comma_does_not_part_members() -> None:
    found = accepted('multipart/related; type="application/dicom, x"; transfer-syntax=*, image/png;q=0.1')
    assert [member.type for member in found] == ["multipart/related", "image/png"]
    assert found[0].parameters["type"] == "application/dicom, x"
    assert found[0].parameters["transfer-syntax"] == "*"


@given(st.text(st.characters(max_codepoint=255), max_size=300))
def test_no_header_makes_it_fail(header: str) -> None:
    assert prefers(header, (JSON,)) in (JSON, None)


def test_a_long_header_is_read_in_part() -> None:
    assert prefers("image/x," * 100_000, (JSON,)) is None
