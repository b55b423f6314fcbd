"""How many requests things take: few, the same few whatever the archive holds, and never a Scan."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from isocenter.adapters.aws.events import DynamoEventFeed
from isocenter.adapters.aws.index import DynamoIndex
from isocenter.adapters.aws.search import DynamoSearchIndex
from isocenter.adapters.aws.table import Table
from isocenter.dicom.matching import Key, make_key
from isocenter.records import ImageQuery, NewImage, Search, State
from isocenter.testing.records import new_entry, new_image, new_uid

KEY = b"audit key"
Tables = Callable[[], Table]


def key(tag: int, text: str) -> Key:
    made = make_key((tag,), "study", text)
    assert made is not None
    return made


def stored(table: Table, images: list[NewImage]) -> DynamoIndex:
    index = DynamoIndex(table, KEY)
    index.commit([(image, new_entry()) for image in images])
    return index


@pytest.mark.parametrize("images", [1, 10])
def test_a_commit_of_one_or_of_ten_is_one_transaction(table: Table, asked: list[str], images: int) -> None:
    study, series = new_uid(), new_uid()
    index = stored(table, [new_image(study=study, series=series)])
    asked.clear()
    index.commit([(new_image(study=study, series=series), new_entry()) for _ in range(images)])
    assert Counter(asked) == {"BatchGetItem": 2, "TransactWriteItems": 1}


def test_a_duplicate_takes_no_look_at_its_study(table: Table, asked: list[str]) -> None:
    new = new_image()
    index = stored(table, [new])
    asked.clear()
    index.commit([(new, new_entry())])
    assert Counter(asked) == {"BatchGetItem": 2, "TransactWriteItems": 1}


def pages(search: Search, many: int) -> Callable[[Table, list[str]], Counter[str]]:
    def count(table: Table, asked: list[str]) -> Counter[str]:
        study, series = new_uid(), new_uid()
        spread = [new_image() for _ in range(8)]
        stored(table, [*(new_image(study=study, series=series) for _ in range(many)), *spread])
        asked.clear()
        found = DynamoSearchIndex(table).search(search)
        assert len(found.items) == search.limit
        assert found.total >= 9
        return Counter(asked)

    return count


@pytest.mark.parametrize("level", ["study", "series", "instance"])
def test_a_first_page_takes_as_many_requests_whatever_lies_below(
    new_table: Tables, asked: list[str], level: str
) -> None:
    few, many = (pages(Search(level, "raw", limit=5), images)(new_table(), asked) for images in (2, 150))
    assert few == many
    assert sum(few.values()) <= 7
    assert "Scan" not in few


@pytest.mark.parametrize(
    ("tag", "text"),
    [(0x00100020, "P7"), (0x00080050, "A7"), (0x00080020, "20200107"), (0x00080020, "20200107-20200107")],
)
def test_what_is_looked_up_reads_the_studies_that_have_it_alone(
    table: Table, asked: list[str], client: Any, tag: int, text: str
) -> None:
    def model(number: int) -> dict[str, Any]:
        return {
            "00100020": {"vr": "LO", "Value": [f"P{number}"]},
            "00080050": {"vr": "SH", "Value": [f"A{number}"]},
            "00080020": {"vr": "DA", "Value": [f"202001{number:02d}"]},
        }

    stored(table, [new_image(study_model=model(number)) for number in range(1, 28)])
    read: list[int] = []

    def answered(parsed: dict[str, Any], **_: Any) -> None:
        read.append(sum(map(len, parsed.get("Responses", {}).values())) + len(parsed.get("Items", ())))

    client.meta.events.register("after-call.dynamodb", answered)
    asked.clear()
    assert DynamoSearchIndex(table).search(Search("study", "raw", (key(tag, text),))).total == 1
    assert Counter(asked) == {"Query": 2, "BatchGetItem": 1}
    assert sum(read) == 2  # where it stands, and the study


def test_retrieving_a_series_or_an_instance_takes_a_request_or_two(table: Table, asked: list[str]) -> None:
    study, series = new_uid(), new_uid()
    batch = [new_image(study=study, series=series) for _ in range(30)]
    index = stored(table, batch)
    asked.clear()
    assert len(index.images(ImageQuery(("raw",), study_uid=study, series_uid=series)).items) == 30
    assert asked == ["Query"]
    asked.clear()
    uid = batch[3].record.sop_instance_uid or ""
    assert index.images(ImageQuery(("raw",), study_uid=study, sop_instance_uids=(uid,), limit=1)).items
    assert asked == ["BatchGetItem", "BatchGetItem"]
    asked.clear()
    one = batch[7].record
    assert index.images(ImageQuery(("raw",), one.subject_id, one.image_id, limit=1)).items == (one,)
    assert asked == ["Query", "BatchGetItem"]
    asked.clear()
    assert len(index.details([each.record.id for each in batch])) == 30
    assert asked == ["BatchGetItem"]


def everything(table: Table) -> None:
    """Calls that between them take every way of reading."""
    batch = [new_image() for _ in range(12)]
    index, ids = stored(table, batch), [each.record.id for each in batch]
    index.transition(ids, State.DELETED, new_entry())
    index.images(ImageQuery(states=(State.DELETED,)))
    index.purge(ids[:6], new_entry())
    index.transition(ids[6:], State.CURRENT, new_entry())
    list(index.blob_keys())
    record = batch[-1].record
    for query in (
        ImageQuery(study_uid=record.study_uid), ImageQuery(series_uid=record.series_uid), ImageQuery(),
        ImageQuery(subject_id=record.subject_id), ImageQuery(sop_instance_uids=(record.sop_instance_uid or "",)),
    ):  # fmt: skip
        assert index.images(query).items
    for level in ("study", "series", "instance"):
        for keys in ((), (key(0x00100010, "Doe*"),), (key(0x00100020, "P1"),)):
            DynamoSearchIndex(table).search(Search(level, "raw", keys))
    DynamoEventFeed(table).read()


def test_nothing_ever_scans(table: Table, asked: list[str]) -> None:
    everything(table)
    assert set(asked) - {"CreateTable", "DescribeTable", "UpdateTimeToLive"} == {
        "BatchGetItem",
        "GetItem",
        "Query",
        "TransactWriteItems",
    }


def test_every_read_is_consistent(table: Table, client: Any) -> None:
    reads: list[bool] = []

    def told(params: dict[str, Any], model: Any, **_: Any) -> None:
        body = json.loads(params["body"])
        if model.name in ("GetItem", "Query"):
            reads.append(body.get("ConsistentRead", False))
        elif model.name == "BatchGetItem":
            reads.extend(each.get("ConsistentRead", False) for each in body["RequestItems"].values())

    client.meta.events.register("before-call.dynamodb", told)
    everything(table)
    assert len(reads) > 30
    assert all(reads)


def test_the_feed_is_read_from_where_it_was_left(table: Table, asked: list[str]) -> None:
    index, feed = DynamoIndex(table, KEY), DynamoEventFeed(table)
    for _ in range(30):
        index.commit([(new_image(), new_entry())])
    asked.clear()
    assert [each.sequence for each in feed.read(28)] == [29, 30]
    assert asked == ["GetItem", "Query"]
