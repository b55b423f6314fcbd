"""Images of a study come in order of arrival, however its series lie to each other."""

from __future__ import annotations

import pytest

from isocenter.adapters.aws.index import DynamoIndex
from isocenter.adapters.aws.search import DynamoSearchIndex
from isocenter.adapters.aws.table import Table
from isocenter.records import ImageQuery, NewImage, Search, State
from isocenter.testing.index_rooms import every_image
from isocenter.testing.records import new_entry, new_image
from isocenter.testing.search_contract import every_page

KEY = b"audit key"
# Which series each image is of: some of many, some of one, one in two stores.
ARRIVALS = "aabacbadaaebbfaagbhaiaajk"


@pytest.fixture
def batch(table: Table) -> list[NewImage]:
    made = [
        new_image(study="1.2", series=f"1.2.{ord(each)}", store="other" if each == "f" else "raw") for each in ARRIVALS
    ]
    for start in range(0, len(made), 4):
        DynamoIndex(table, KEY).commit([(new, new_entry()) for new in made[start : start + 4]])
    return made


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 24, 25, 100])
def test_pages_of_a_study_are_its_images_in_order(table: Table, batch: list[NewImage], limit: int) -> None:
    index = DynamoIndex(table, KEY)
    everywhere = [new.record for new in batch]
    raw = [record for record in everywhere if record.store == "raw"]
    assert every_image(index, ImageQuery(study_uid="1.2", limit=limit)) == everywhere
    assert every_image(index, ImageQuery(("raw",), study_uid="1.2", limit=limit)) == raw
    found = every_page(DynamoSearchIndex(table), Search("instance", "raw", study_uids=("1.2",), limit=limit))
    assert [each.id for each in found] == [record.id for record in raw]


@pytest.mark.parametrize("limit", [1, 4, 100])
def test_pages_of_what_is_left_of_a_study(table: Table, batch: list[NewImage], limit: int) -> None:
    index = DynamoIndex(table, KEY)
    ids = [new.record.id for new in batch]
    gone = set(ids[::3])
    index.transition(sorted(gone), State.DELETED, new_entry())
    index.purge(sorted(gone)[::2], new_entry())
    left = [id for id in ids if id not in gone]
    assert [each.id for each in every_image(index, ImageQuery(study_uid="1.2", limit=limit))] == left
    every = every_image(index, ImageQuery(study_uid="1.2", limit=limit, states=tuple(State)))
    assert [each.id for each in every] == [id for id in ids if id not in sorted(gone)[::2]]
    raw = [new.record.id for new in batch if new.record.store == "raw" and new.record.id not in gone]
    search = Search("instance", "raw", study_uids=("1.2",), limit=limit)
    assert [each.id for each in every_page(DynamoSearchIndex(table), search)] == raw
    assert DynamoSearchIndex(table).search(search).total == len(raw)
