"""A page of a search takes the same few queries whatever the archive holds, and a look-up one statement."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import event

from isocenter.adapters.sql.database import Database
from isocenter.adapters.sql.index import SqlIndex
from isocenter.adapters.sql.migrate import migrate
from isocenter.adapters.sql.search import SqlSearchIndex
from isocenter.dicom.matching import Key, make_key
from isocenter.records import ImageQuery, Order, Search
from isocenter.testing.records import new_entry, new_image

MOST = 5


def traced(path: Path) -> tuple[Database, list[str]]:
    """A database whose statements are listed as they run, BEGIN and COMMIT included."""
    database = Database(f"sqlite:///{path}")
    asked: list[str] = []

    def listen(connection: sqlite3.Connection, _: object) -> None:
        connection.set_trace_callback(asked.append)

    event.listen(database.engine, "connect", listen)
    migrate(database)
    return database, asked


def queries_of(path: Path, images: int, search: Search) -> int:
    """How many statements the first page takes of an archive with so many studies, the total included."""
    database, asked = traced(path)
    patient = {"00100010": {"vr": "PN", "Value": [{"Alphabetic": "Doe^Jane"}]}}
    batch = [
        new_image(study_model=patient, instance_model={"00280010": {"vr": "US", "Value": [8]}}) for _ in range(images)
    ]
    SqlIndex(database, b"key").commit([(image, new_entry()) for image in batch])
    asked.clear()
    found = SqlSearchIndex(database).search(search)
    database.close()
    assert found.total == images
    assert len(found.items) == search.limit
    return sum(each.lstrip().upper().startswith("SELECT") for each in asked)


def key(tag: int, level: str, text: str) -> Key:
    made = make_key((tag,), level, text)
    assert made is not None
    return made


@pytest.mark.parametrize(
    "search",
    [
        Search("study", "raw", limit=20),
        Search("study", "raw", (key(0x00100010, "study", "DOE*"), key(0x00080061, "study", "CT")), limit=20),
        Search("study", "raw", order=(Order(0x00100010, "study", True),), limit=20),
        Search("series", "raw", (key(0x00100010, "study", "DOE*"),), limit=20),
        Search("instance", "raw", (key(0x00100010, "study", "DOE*"),), limit=20),
        Search("instance", "raw", (key(0x00280010, "instance", "8"),), limit=20),
    ],
    ids=["all", "keys", "sorted", "series", "instances", "looked at"],
)
def test_a_page_takes_the_same_few_queries_of_few_and_of_many(tmp_path: Path, search: Search) -> None:
    few = queries_of(tmp_path / "few.sqlite", 21, search)
    many = queries_of(tmp_path / "many.sqlite", 900, search)
    assert 2 <= few == many <= MOST


def test_what_a_retrieve_looks_up_is_one_statement_each_and_no_transaction(tmp_path: Path) -> None:
    database, asked = traced(tmp_path / "index.sqlite")
    index = SqlIndex(database, b"key")
    batch = [new_image(study="1.2", series="1.3") for _ in range(5)]
    index.commit([(image, new_entry()) for image in batch])
    records = [image.record for image in batch]
    series, ids = ImageQuery(("raw",), study_uid="1.2", series_uid="1.3"), [record.id for record in records]
    asked.clear()
    assert list(index.images(series).items) == records
    assert list(index.images(ImageQuery(("raw",), study_uid="1.2")).items) == records
    one = ImageQuery(
        ("raw",), study_uid="1.2", series_uid="1.3", sop_instance_uids=(records[1].sop_instance_uid or "",)
    )
    assert list(index.images(one).items) == records[1:2]
    assert index.get(ids[2]) == records[2]
    assert list(index.details(ids)) == ids
    assert len(asked) == 5
    assert all(each.startswith("SELECT") for each in asked)
    database.close()


def test_pages_of_a_series_follow_each_other(tmp_path: Path) -> None:
    database, _ = traced(tmp_path / "index.sqlite")
    index = SqlIndex(database, b"key")
    batch = [new_image(study="1.2", series="1.3") for _ in range(7)]
    index.commit([(image, new_entry()) for image in batch])
    found, after = [], None
    for _ in range(3):
        page = index.images(ImageQuery(("raw",), study_uid="1.2", series_uid="1.3", after=after, limit=3))
        found.append([item.id for item in page.items])
        after = page.next
    ids = [image.record.id for image in batch]
    assert (found, after) == ([ids[:3], ids[3:6], ids[6:]], None)
    database.close()
