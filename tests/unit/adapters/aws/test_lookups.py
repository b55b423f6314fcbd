"""Looking studies up by value finds what looking at all of them would."""

from __future__ import annotations

from typing import Any

import pytest

from isocenter.adapters.aws.index import DynamoIndex
from isocenter.adapters.aws.lookups import leading
from isocenter.adapters.aws.search import DynamoSearchIndex
from isocenter.adapters.aws.table import Table
from isocenter.dicom.matching import Key, make_key, matches
from isocenter.records import Search, State
from isocenter.testing.records import new_entry, new_image

PATIENT_ID, ACCESSION, STUDY_DATE = 0x00100020, 0x00080050, 0x00080020
MODELS: list[dict[str, Any]] = [
    {"00100020": {"vr": "LO", "Value": ["A"]}, "00080020": {"vr": "DA", "Value": ["20200228"]}},
    {"00100020": {"vr": "LO", "Value": [" A "]}, "00080020": {"vr": "DA", "Value": ["2020.02.29"]}},
    {"00100020": {"vr": "LO", "Value": list("ABCDEFG")}, "00080020": {"vr": "DA", "Value": ["2020021"]}},
    {"00100020": {"vr": "LO", "Value": ["B", "C"]}, "00080020": {"vr": "DA", "Value": ["20200230"]}},
    {"00080050": {"vr": "SH", "Value": ["x" * 900]}, "00080020": {"vr": "DA", "Value": ["20200301", "20190101"]}},
    {"00080020": {"vr": "DA", "Value": ["20200215junk"]}},
    {"00100020": {"vr": "LO", "Value": ["many"]}},
    {},
]


def key(tag: int, text: str) -> Key:
    made = make_key((tag,), "study", text)
    assert made is not None
    return made


KEYS = [
    *(key(PATIENT_ID, text) for text in ("A", "B\\G", "many", "nobody")),
    *(key(ACCESSION, text) for text in ("x" * 900, "x")),
    *(key(STUDY_DATE, t) for t in ("20200228", "202002", "20200215-20200301", "20190101", "20200229-20200229")),
]


def test_what_is_looked_up_is_what_matches(table: Table) -> None:
    batch = [new_image(study_model=model) for model in MODELS]
    DynamoIndex(table, b"key").commit([(new, new_entry()) for new in batch])
    for wanted in KEYS:
        assert leading(table, "raw", [wanted]) is not None
        found = DynamoSearchIndex(table).search(Search("study", "raw", (wanted,)))
        expected = [new.record.study_uid for new in batch if matches([wanted], new.study)]
        assert [each.study_uid for each in found.items] == expected, wanted
        assert found.total == len(expected)


@pytest.mark.parametrize(
    "wanted",
    [
        key(PATIENT_ID, "A*"), key(PATIENT_ID, '""'), key(STUDY_DATE, "20200101-"), key(STUDY_DATE, "2020"),
        key(0x00100010, "Doe^Jane"), key(0x00081030, "x"), key(PATIENT_ID, "\\".join(map(str, range(50)))),
    ],
)  # fmt: skip
def test_what_no_value_leads_to_is_looked_for_among_all(table: Table, wanted: Key) -> None:
    assert leading(table, "raw", [wanted]) is None


def test_the_best_of_several_keys_leads(table: Table) -> None:
    both = leading(table, "raw", [key(STUDY_DATE, "20200101"), key(PATIENT_ID, "A")])
    assert both == leading(table, "raw", [key(PATIENT_ID, "A")])


def test_lookups_follow_what_a_study_says(table: Table) -> None:
    index, search = DynamoIndex(table, b"key"), DynamoSearchIndex(table)
    first, second = (
        new_image(study="1.2", study_model={"00100020": {"vr": "LO", "Value": [text]}}) for text in ("A", "B")
    )
    index.commit([(first, new_entry()), (second, new_entry())])

    def found() -> list[int]:
        return [search.search(Search("study", "raw", (key(PATIENT_ID, text),))).total for text in ("A", "B")]

    def looked_up() -> list[int]:
        partitions = [leading(table, "raw", [key(PATIENT_ID, text)]) for text in ("A", "B")]
        return [len(list(table.query(each[0]))) for each in partitions if each is not None]

    assert found() == looked_up() == [1, 0]
    index.transition([first.record.id], State.DELETED, new_entry())
    assert found() == looked_up() == [0, 1]
    index.transition([first.record.id], State.CURRENT, new_entry())
    assert found() == looked_up() == [1, 0]
    ids = [first.record.id, second.record.id]
    index.transition(ids, State.DELETED, new_entry())
    index.purge(ids, new_entry())
    assert found() == looked_up() == [0, 0]
