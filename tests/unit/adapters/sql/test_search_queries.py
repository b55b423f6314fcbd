"""A page of a search takes the same few queries whatever the archive holds."""

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
from isocenter.records import Order, Search
from isocenter.testing.records import new_entry, new_image

MOST = 5


def queries_of(path: Path, images: int, search: Search) -> int:
    """How many statements the first page takes of an archive with so many studies, the total included."""
    database = Database(f"sqlite:///{path}")
    asked: list[str] = []

    def listen(connection: sqlite3.Connection, _: object) -> None:
        connection.set_trace_callback(asked.append)

    event.listen(database.engine, "connect", listen)
    migrate(database)
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
