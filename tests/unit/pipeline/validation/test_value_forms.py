"""Values of each VR, right and wrong, and how many the dictionary allows."""

from __future__ import annotations

import pytest

from isocenter.pipeline.validation.value_forms import FORMS, entry_of, text_fault

RIGHT = {
    "CS": ["ORIGINAL\\PRIMARY", "A B_1", "", "A " * 8],
    "AS": ["018M", "050Y"],
    "DA": ["20240229", "", "20240101\\20240102", "19700101 "],
    "TM": ["10", "1030", "103059", "235960.123456", "10 "],
    "DT": ["2024", "20240229103059.5+0100", "202402-0500"],
    "DS": ["1", "-1.5e-3", " 12.0 ", ".5", "1.", "1\\2\\3", ""],
    "IS": ["1", "-2147483648", "+5 ", "1\\2"],
    "UI": ["1.2.840\0", "0.1", "1.2\\1.3", ""],
    "AE": ["STORE_SCP", ""],
    "UR": ["https://example.org/a?b=c"],
}
WRONG = {
    "CS": ["lower", "Ä", "A-B"],
    "AS": ["18M", "018X"],
    "DA": ["20230229", "20241301", "today", "00000000"],
    "TM": ["25", "1060", "10:3x"],
    "DT": ["24", "20241301", "2024+9900"],
    "DS": ["one", "1,5", "1e", "--1", "nan"],
    "IS": ["1.0", "x", "99999999999"],
    "UI": ["1..2", "1.2.", "a", "1." * 40 + "1", ".1"],
    "AE": ["A\tB"],
    "UR": [" https://example.org"],
}


@pytest.mark.parametrize("vr", sorted(FORMS))
def test_forms(vr: str) -> None:
    for value in RIGHT[vr]:
        assert FORMS[vr](value.encode()) is None, value
    for value in WRONG[vr]:
        assert FORMS[vr](value.encode("latin-1")) is not None, value


@pytest.mark.parametrize(
    ("vr", "value", "rule"),
    [
        ("DA", "2024.02.15", "date-form-retired"),
        ("TM", "10:30:59", "date-form-retired"),
        ("DS", "1.00000000000000000", "value-too-long"),
        ("CS", "SEVENTEEN LETTERS", "value-too-long"),
        ("AE", "S" * 17, "value-too-long"),
        ("UI", "1.02", "uid-leading-zero"),
        ("DS", "one", "number-invalid"),
    ],
)
def test_the_rule_that_is_broken(vr: str, value: str, rule: str) -> None:
    assert FORMS[vr](value.encode()) == rule


@pytest.mark.parametrize("vr", sorted(FORMS))
@pytest.mark.parametrize("value", [b"1" * 65_000, b" " * 65_000, b"1 " * 32_000, b"1\\" * 32_000, b"1." * 32_000])
def test_long_values_end(vr: str, value: bytes) -> None:
    """Going back and forth over these would take minutes."""
    FORMS[vr](value + b"x")


@pytest.mark.parametrize(
    ("vr", "text", "rule"),
    [
        ("PN", "A^B^C^D^E=F=G", None),
        ("PN", "A^B^C^D^E^F", "vr-invalid"),
        ("PN", "A=B=C=D", "vr-invalid"),
        ("PN", "N" * 65, "value-too-long"),
        ("PN", "Ö" * 64, None),
        ("LO", "Ö" * 64, None),
        ("LO", "Ö" * 65, "value-too-long"),
        ("LO", "A\\" + "B" * 65, "value-too-long"),
        ("LO", "A\nB", "vr-invalid"),
        ("LT", "A\r\nB\\C", None),
        ("LT", "A\x07", "vr-invalid"),
        ("ST", "A" * 1025, "value-too-long"),
        ("UC", "A" * 5000, None),
    ],
)
def test_texts(vr: str, text: str, rule: str | None) -> None:
    assert text_fault(text, vr) == rule


@pytest.mark.parametrize(
    ("tag", "allowed", "refused"),
    [
        (0x00280030, {2}, {1, 3}),  # PixelSpacing 2
        (0x00080008, {2, 3, 9}, {1}),  # ImageType 2-n
        (0x30060050, {3, 6, 9}, {1, 4}),  # ContourData 3-3n
        (0x00281055, {1, 2, 7}, set()),  # WindowCenterWidthExplanation 1-n
        (0x00200062, {1}, {2}),  # ImageLaterality 1
        (0x00291010, {1, 5}, set()),  # private
    ],
)
def test_multiplicity(tag: int, allowed: set[int], refused: set[int]) -> None:
    entry = entry_of(tag)
    assert all(entry.allows(count) for count in allowed)
    assert not any(entry.allows(count) for count in refused)
