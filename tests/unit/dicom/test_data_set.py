"""A Data Set reads as what it holds, and what is missing or unusable reads as nothing."""

from __future__ import annotations

from typing import Any

import pytest

from isocenter.dicom.data_set import DataSet

MODEL: dict[str, dict[str, Any]] = {
    "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Doe^J", "Phonetic": "x"}]},
    "00100020": {"vr": "LO", "Value": ["ID"]},
    "00280010": {"vr": "US", "Value": [512]},
    "00281050": {"vr": "DS", "Value": [40, "60.5", None, "wide"]},
    "00189999": {"vr": "FD", "Value": ["NaN"]},
    "00188888": {"vr": "FD", "Value": ["inf"]},
    "00081140": {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": ["1.2"]}}, None]},
    "00282000": {"vr": "OB", "InlineBinary": "AQI="},
    "00282001": {"vr": "OB", "InlineBinary": "no base64!"},
    "7FE00010": {"vr": "OW", "BulkDataURI": "7FE00010"},
    "00080005": {"vr": "CS"},
}


def test_values_are_read_by_their_tag() -> None:
    data_set = DataSet(MODEL)
    assert data_set.text(0x00100010) == "Doe^J"
    assert data_set.text(0x00100020) == "ID"
    assert data_set.integer(0x00280010) == 512
    assert data_set.numbers(0x00281050) == [40.0, 60.5]
    assert data_set.number(0x00281050) == 40.0
    assert [each.text(0x00081155) for each in data_set.items(0x00081140)] == ["1.2"]
    assert data_set.binary(0x00282000) == b"\1\2"
    assert 0x00100010 in data_set
    assert 0x00100030 not in data_set


@pytest.mark.parametrize("tag", [0x00080005, 0x7FE00010, 0x00400040])
def test_what_is_not_there_reads_as_nothing(tag: int) -> None:
    data_set = DataSet(MODEL)
    assert not any((data_set.values(tag), data_set.numbers(tag), data_set.items(tag)))
    found = [data_set.text(tag), data_set.number(tag), data_set.integer(tag), data_set.binary(tag)]
    assert found == [None] * 4


@pytest.mark.parametrize("tag", [0x00189999, 0x00188888, 0x00100020])
def test_what_is_no_whole_number_is_no_integer(tag: int) -> None:
    assert DataSet(MODEL).integer(tag) is None


def test_what_is_not_base64_is_no_binary_value() -> None:
    assert DataSet(MODEL).binary(0x00282001) is None
