"""Accept headers, kind ones and others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.web.negotiation import Form, accepted, choices, prefers

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


@pytest.mark.parametrize(
    "header",
    ["image/x-jls", "IMAGE/X-JLS", 'multipart/related; type="image/x-jls"', "multipart/related; type=Image/X-JLS"],
)
def test_a_former_name_asks_for_what_replaced_it(header: str) -> None:
    forms = [Form("image/jls", multipart=True), Form("image/jls"), Form("image/x-jls")]
    assert [form.type for form, _ in choices(header, forms)] == ["image/jls"]
    assert accepted("image/x-dicom-rle")[0].named == "image/dicom-rle"


def test_a_caller_gets_its_own_forms_back_whoever_asked_the_same_before() -> None:
    for _ in range(2):
        mine = Form("application/dicom")
        assert next(choices("application/dicom", [mine]))[0] is mine


@given(st.text(st.characters(max_codepoint=255), max_size=300))
def test_no_header_makes_it_fail(header: str) -> None:
    assert prefers(header, (JSON,)) in (JSON, None)


def test_a_long_header_is_read_in_part() -> None:
    assert prefers("image/x," * 100_000, (JSON,)) is None


PARTS, SINGLE, PNG = Form("application/dicom", multipart=True), Form("application/dicom"), Form("image/png")


@pytest.mark.parametrize(
    ("header", "chosen"),
    [
        (None, [PARTS, SINGLE, PNG]), ("*/*", [PARTS, SINGLE, PNG]), ("multipart/*", [PARTS]),
        ("multipart/related", [PARTS]), ('multipart/related; type="application/dicom"', [PARTS]),
        ("multipart/related; type=application/*", [PARTS]), ('multipart/related; type="image/png"', []),
        ("application/dicom", [SINGLE]), ("application/*", [SINGLE]),
        ("image/*;q=0.5, application/dicom;q=0.4", [PNG, SINGLE]),
        ("*/*;q=0.1, image/png", [PNG, PARTS, SINGLE]), ("*/*, image/png;q=0", [PARTS, SINGLE]),
        ("image/*, image/png;q=0.2, application/dicom;q=0.3", [SINGLE, PNG]), ("image/*;q=0", []),
    ],
)  # fmt: skip
def test_forms_come_in_the_order_they_are_liked(header: str | None, chosen: list[Form]) -> None:
    assert [form for form, _ in choices(header, (PARTS, SINGLE, PNG))] == chosen


def test_members_that_name_one_form_in_several_transfer_syntaxes_are_all_told() -> None:
    header = (
        "application/dicom; transfer-syntax=1.2; q=0.5, application/dicom; transfer-syntax=1.3, application/dicom;q=0.1"
    )
    assert [member.syntax for _, member in choices(header, (SINGLE,))] == ["1.3", "1.2", None]


@pytest.mark.parametrize(
    ("header", "named"),
    [
        ("*/*", None), ("image/*", None), ("multipart/related", None), ("image/png", "image/png"),
        ('multipart/related; type="image/*"', None), ('multipart/related; type="image/png"', "image/png"),
    ],
)  # fmt: skip
def test_wildcards_name_nothing(header: str, named: str | None) -> None:
    assert accepted(header)[0].named == named
